// Offsets of buffers in one allocation, by their lifetimes.
#include <stdlib.h>

#include "ir/base.h"

enum { ALIGNMENT = 64 };

typedef struct placed { // an item, sorted by size; those placed are linked by offset
  size_t bytes, offset;
  int item, first, last;
  struct placed *next;
} placed;

typedef struct planning {
  tg_context *ctx;
  int n;
  const tg_lifetime *lifetimes;
  size_t *offsets, *total;
  tg_arena arena;
} planning;

static int larger(const void *a, const void *b) {
  const placed *x = a, *y = b;
  return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes) : x->item - y->item;
}

// The tightest gap between the ones that are in use at the same time, which come in the order of their offsets; else behind them all.
static size_t find_gap(const placed *first, const placed *p) {
  size_t end = 0, best = SIZE_MAX, at = 0;
  for (const placed *q = first; q; q = q->next) {
    if (q->last < p->first || q->first > p->last) continue;
    if (q->offset > end && q->offset - end >= p->bytes && q->offset - end < best) best = q->offset - end, at = end;
    if (q->offset + q->bytes > end) end = q->offset + q->bytes;
  }
  return best < SIZE_MAX ? at : end;
}

static void plan(void *arg) {
  planning *c = arg;
  placed *items = TG_NEWN(&c->arena, placed, c->n + 1), *first = NULL;
  size_t sum = 0;
  *c->total = 0;
  for (int i = 0; i < c->n; i++) {
    const tg_lifetime *l = &c->lifetimes[i];
    if (l->first > l->last)
      tg_throw(c->ctx, TG_INVALID, "buffer %d is used from step %d to step %d: the last comes first", i, l->first, l->last);
    if (l->bytes > INT64_MAX - ALIGNMENT || __builtin_add_overflow(sum, l->bytes + ALIGNMENT, &sum) || sum > INT64_MAX)
      tg_throw(c->ctx, TG_INVALID, "the buffers are larger than any memory");
    items[i] = (placed){.bytes = (l->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, .item = i, .first = l->first, .last = l->last};
  }
  if (c->n) qsort(items, (size_t)c->n, sizeof *items, larger);
  for (int i = 0; i < c->n; i++) {
    placed *p = &items[i], **at = &first;
    p->offset = find_gap(first, p);
    while (*at && (*at)->offset < p->offset) at = &(*at)->next;
    p->next = *at;
    *at = p;
    c->offsets[p->item] = p->offset;
    if (p->offset + p->bytes > *c->total) *c->total = p->offset + p->bytes;
  }
}

tg_status tg_plan_memory(tg_context *ctx, int n, const tg_lifetime *lifetimes, size_t *offsets, size_t *total) {
  planning c = {.ctx = ctx, .n = n, .lifetimes = lifetimes, .offsets = offsets, .total = total};
  tg_arena_init(&c.arena, ctx);
  tg_status status = tg_protect(ctx, plan, &c);
  tg_arena_free(&c.arena);
  return status;
}
