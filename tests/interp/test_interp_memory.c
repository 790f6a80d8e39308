// Memory, control and promises on the interpreter, and what it reports.
#include "interp/ops.h"

int main(void) { return ops_memory("interp", NULL); }
