// Whether a variant takes a call: what its preconditions say.
#ifndef TG_ADMIT_H
#define TG_ADMIT_H

#include "ir/ir.h"
#include "test.h"

// The few forms that the simt lowering asks for: "EXPR % n == 0" and "aligned(...)", which holds for the tests' buffers.
static inline bool admitted(tg_context *ctx, const tg_kernel *lane, tg_lookup_fn lookup, const void *user) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  bool all = true;
  for (int i = 0; i < lane->npreconditions; i++) {
    const char *text = lane->preconditions[i], *stopped, *missing;
    if (!strncmp(text, "aligned(", 8)) continue;
    int64_t value = 0, modulus = 1;
    const tg_expr *e = tg_e_parse(&arena, text, text + strlen(text), &stopped);
    CHECKF(e && tg_e_eval(e, lookup, (void *)(uintptr_t)user, &value, &missing) && sscanf(stopped, " %% %ld == 0", &modulus) == 1, "%s",
           text);
    all &= value % modulus == 0;
  }
  tg_arena_free(&arena);
  return all;
}

#endif
