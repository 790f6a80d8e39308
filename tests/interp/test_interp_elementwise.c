// Every elementwise op on the interpreter.
#include "interp/ops.h"

int main(void) { return ops_elementwise("interp", NULL); }
