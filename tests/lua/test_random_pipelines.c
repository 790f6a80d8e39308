// Random pipelines (random_pipelines.lua) on the interpreter and on the processor.
#include "lua/random_pipelines.h"

int main(void) { return random_pipelines("16", "1"); }
