// Planned memory: no two buffers that are in use together share a byte, the total is between what is alive at once and the sum.
#include <stdint.h>

#include "tegula/tegula.h"
#include "test.h"

enum { MOST = 120, STEPS = 40 };

static uint64_t state = 88172645463325252u; // xorshift64 (Marsaglia, 2003)
static uint64_t below(uint64_t bound) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state % bound;
}

static tg_context *ctx;

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

static void judge(int n, const tg_lifetime *l, const size_t *offset, size_t total) {
  size_t sum = 0, most = 0;
  for (int i = 0; i < n; i++) {
    sum += rounded(l[i].bytes);
    CHECK(offset[i] % 64 == 0 && offset[i] + l[i].bytes <= total);
    for (int j = 0; j < i; j++) {
      bool together = l[i].first <= l[j].last && l[j].first <= l[i].last;
      bool shared = l[i].bytes && l[j].bytes && offset[i] < offset[j] + l[j].bytes && offset[j] < offset[i] + l[i].bytes;
      CHECKF(!together || !shared, "%d and %d of %d: [%d, %d] and [%d, %d] at %zu+%zu and %zu+%zu", i, j, n, l[i].first, l[i].last,
             l[j].first, l[j].last, offset[i], l[i].bytes, offset[j], l[j].bytes);
    }
  }
  for (int s = 0; s < STEPS; s++) {
    size_t alive = 0;
    for (int i = 0; i < n; i++) alive += l[i].first <= s && s <= l[i].last ? rounded(l[i].bytes) : 0;
    most = alive > most ? alive : most;
  }
  CHECKF(total <= sum && total >= most, "total %zu, sum %zu, alive at once %zu", total, sum, most);
}

int main(void) {
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  tg_lifetime l[MOST];
  size_t offset[MOST], total = 1;
  CHECK(tg_plan_memory(ctx, 0, NULL, NULL, &total) == TG_OK && total == 0);
  for (int round = 0; round < 400; round++) {
    int n = 1 + (int)below(MOST);
    for (int i = 0; i < n; i++) {
      int first = (int)below(STEPS), last = first + (int)below(round % 2 ? 4 : STEPS);
      l[i] = (tg_lifetime){below(8) ? below(round % 3 ? 100000 : 300) : 0, first, last < STEPS ? last : STEPS - 1};
    }
    CHECKF(tg_plan_memory(ctx, n, l, offset, &total) == TG_OK, "%s", tg_error_message(ctx));
    judge(n, l, offset, total);
  }
  // a chain, each used by its maker and the next step: two buffers' worth
  for (int i = 0; i < 30; i++) l[i] = (tg_lifetime){640, i, i + 1};
  CHECK(tg_plan_memory(ctx, 30, l, offset, &total) == TG_OK && total == 1280);
  CHECK(tg_plan_memory(ctx, 1, &(tg_lifetime){10, 3, 2}, offset, &total) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "from step 3 to step 2"));
  const tg_lifetime huge[] = {{SIZE_MAX, 0, 0}, {INT64_MAX - 64, 0, 0}, {INT64_MAX - 64, 1, 1}};
  CHECK(tg_plan_memory(ctx, 1, huge, offset, &total) == TG_INVALID);
  CHECK(tg_plan_memory(ctx, 2, huge + 1, offset, &total) == TG_INVALID);
  tg_context_free(ctx);
  return test_done();
}
