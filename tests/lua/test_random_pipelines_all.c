// label: long
// More random pipelines (random_pipelines.lua) on the interpreter and on the processor.
#include "lua/random_pipelines.h"

int main(void) { return random_pipelines("600", "1000"); }
