// The attention kernels on device cpu.
#include "kernels/attention.h"

int main(void) {
  attention_open("cpu");
  attention_all();
  return attention_close();
}
