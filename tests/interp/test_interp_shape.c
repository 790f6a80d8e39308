// Ops that move, reduce, sort and multiply, on the interpreter.
#include "interp/ops.h"

int main(void) { return ops_shape("interp", NULL); }
