// libFuzzer: any bytes as .tile or .lane text. What parses and verifies must print to text that parses to the same text, and must stay a
// valid kernel through every pass.
#include <stdint.h>
#include <stdlib.h>

#include "ir/ir.h"

static _Noreturn void die(tg_context *ctx, const char *what, const char *text) {
  fprintf(stderr, "%s: %s\n%s\n", what, tg_error_message(ctx), text);
  abort();
}

static void run_passes(void *kernel) { tg_run_passes(kernel, "canonicalise,cse,licm,dce"); }

static void check_text(tg_context *ctx, tg_kernel *kernel) {
  tg_kernel *again;
  const char *one, *two;
  size_t n;
  if (tg_kernel_print(kernel, &one, &n)) die(ctx, "print", "");
  if (tg_kernel_parse(ctx, one, n, "printed", &again)) die(ctx, "parse again", one);
  if (tg_kernel_print(again, &two, &n)) die(ctx, "print again", one);
  if (strcmp(one, two)) die(ctx, one, two);
  tg_kernel_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tg_context *ctx;
  tg_kernel *kernel;
  if (!ctx && tg_context_new(NULL, &ctx)) abort();
  if (tg_kernel_parse(ctx, (const char *)data, size, "fuzz", &kernel)) return 0;
  check_text(ctx, kernel);
  if (tg_protect(ctx, run_passes, kernel)) die(ctx, "passes", "");
  if (tg_verify(kernel)) die(ctx, "after the passes", "");
  check_text(ctx, kernel);
  tg_kernel_free(kernel);
  return 0;
}
