// What LLVM knows of processors and its interface for C does not tell.
#ifndef TG_LLVM_SHIM_H
#define TG_LLVM_SHIM_H

#include <llvm-c/TargetMachine.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Code for a processor or with a feature that LLVM does not know ends the process, at best. False: `unknown` has the name, cut to `size`.
// `features` is a list as LLVM takes it: "+avx2,-sse4a".
bool tg_llvm_knows(LLVMTargetMachineRef target, const char *processor, const char *features, char *unknown, size_t size);

#ifdef __cplusplus
}
#endif
#endif
