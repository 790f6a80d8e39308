// What compile.c keeps in a context: the on-disk cache's state and the helper process.
#ifndef TG_COMPILER_H
#define TG_COMPILER_H

#include <sys/types.h>

#include "targets/target.h"

typedef struct tg_cache_state {
  bool warned; // that it cannot be written: once
  int writes;  // of this context; the size bound is looked after now and then
} tg_cache_state;

// One entry per key under <cache_dir>/compile. Damaged, truncated and foreign entries count as absent. Neither throws on anything that the
// file system does: without a cache everything works, only slower.
bool tg_cache_get(tg_context *ctx, const unsigned char key[32], tg_arena *arena, tg_bytes *payload);
void tg_cache_put(tg_context *ctx, tg_cache_state *state, const unsigned char key[32], tg_bytes payload);
void tg_cache_evict(const char *directory, int64_t limit); // removes the oldest entries until `limit` bytes are left
// The same in a directory of its own, without a bound: a pack of compiled kernels. False: it cannot be written (errno).
bool tg_pack_get(const char *directory, const unsigned char key[32], tg_arena *arena, tg_bytes *payload);
bool tg_pack_put(const char *directory, const unsigned char key[32], tg_bytes payload);

typedef struct tg_helper {
  pid_t pid;   // 0 = none
  pid_t owner; // process that started it: a fork of it must leave it alone
  int fd;      // our end of the socket that is its stdin and stdout
  int errors;  // anonymous file that is its stderr
} tg_helper;

// Sends an encoded job and gives back the encoded reply. Throws TG_FAILED when the helper cannot be started, dies twice over this job or
// exceeds its time; `key` names the file that keeps the job for a replay.
tg_bytes tg_helper_call(tg_context *ctx, tg_helper *helper, tg_bytes job, const char *what, const unsigned char key[32], tg_arena *arena);
void tg_helper_stop(tg_context *ctx, tg_helper *helper);

#endif
