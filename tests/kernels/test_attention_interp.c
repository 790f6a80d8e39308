// The attention kernels on device interp.
#include "kernels/attention.h"

int main(void) {
  attention_open("interp");
  attention_all();
  return attention_close();
}
