// The linker lld, in process, for C.
#ifndef TG_LLD_SHIM_H
#define TG_LLD_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Runs ld.lld with the arguments (argv[0] is its name). Returns 0, or the exit code with what it said in `message`. One link at a time: lld
// keeps process-wide state, so calls from other threads wait.
int tg_lld_link(int argc, const char *const *argv, char *message, size_t size);

#ifdef __cplusplus
}
#endif
#endif
