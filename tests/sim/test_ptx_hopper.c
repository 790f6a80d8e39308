// PTX that nvcc made of tests/golden/ptx/hopper.cu: clusters through cooperative groups, bulk copies through cuda::barrier, a lock. Without
// one of its fences, waits or barriers each is found wrong.
#include "sim/ptx.h"

static char text[1 << 16], changed[1 << 16];
static int in[1024], out[1024];

static void read_text(void) {
  FILE *f = fopen(TESTS_DIR "/golden/ptx/hopper.ptx", "rb");
  if (!f) abort();
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  for (int i = 0; i < 1024; i++) in[i] = i * 7;
}

// The text without one instruction of an entry, the nth of its kind.
static bool without(const char *entry, const char *what, int n) {
  char head[64];
  snprintf(head, sizeof head, ".entry %s(", entry);
  memcpy(changed, text, sizeof text);
  char *at = strstr(changed, head), *end = at ? strstr(at, "\n}") : NULL;
  for (int i = 0; at && i <= n; i++) at = strstr(at + 1, what);
  if (!at || at > end) return false;
  while (at[-1] != '\n') at--;
  memcpy(at, "//", 2);
  return true;
}

static void missing(const ptx_call *call, const char *what) {
  int tried = 0, missed = 0;
  for (; without(call->entry, what, tried); tried++) {
    ptx_call less = *call;
    less.text = changed;
    missed += ptx_run(&less) == TG_OK && ptx_result.nfindings > 0;
  }
  CHECKF(tried > 0 && missed == tried, "%s: %d of %d '%s' are missed when they are not there", call->entry, missed, tried, what);
}

static ptx_call call(const char *entry, int threads, bool has_input) {
  memset(out, 0, sizeof out);
  ptx_call c = {.text = text, .entry = entry, .grid = {4}, .block = {256}, .threads = threads};
  if (has_input) c.args[c.nargs++] = (ptx_arg){"in", in, sizeof in, false, 0, NULL};
  c.args[c.nargs++] = (ptx_arg){"out", out, sizeof out, true, 0, NULL};
  return c;
}

static void swap_blocks(int threads) {
  const ptx_call c = call("swap_blocks", threads, true);
  PTX_CLEAN(&c);
  int wrong = 0;
  for (int i = 0; i < 1024; i++) wrong += out[i] != in[i ^ 256] + (i >> 8 & 1);
  CHECKF(wrong == 0, "%d", wrong);
  missing(&c, "barrier.cluster.wait");
}

static void through_bulk(int threads) {
  const ptx_call c = call("through_bulk", threads, true);
  PTX_CLEAN(&c);
  int wrong = 0;
  for (int i = 0; i < 1024; i++) wrong += out[i] != in[i] * 2 + 1;
  CHECKF(wrong == 0, "%d", wrong);
  missing(&c, "fence.proxy.async.shared::cta");
  missing(&c, "cp.async.bulk.wait_group");
  missing(&c, "bar.sync");
}

static void locked_sum(int threads) {
  const ptx_call c = call("locked_sum", threads, false);
  PTX_CLEAN(&c);
  for (int b = 0; b < 4; b++) CHECKF(out[b] == 7 * 8 / 2 * 32, "%d", out[b]);
  missing(&c, "membar.cta");
}

int main(void) {
  read_text();
  for (int threads = 1; threads < 3; threads++) swap_blocks(threads), through_bulk(threads), locked_sum(threads);
  tg_context_free(ptx_ctx);
  return test_done();
}
