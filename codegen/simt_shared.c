// Regions of shared memory, and the barriers between those who use one after the other. What lies there for long is taken, in the order of
// a stack; what passes through it for a moment gets a place that nobody uses any more, and a barrier only where there is none.
#include "codegen/simt.h"

int64_t simt_region_align(const simt *s) {
  enum { PLAIN = 128, SWIZZLED = 1024 }; // PTX ISA, wgmma: what is swizzled by 128 bytes repeats after 1024
  return s->pipes || s->grouped ? SWIZZLED : PLAIN;
}

static int64_t aligned(const simt *s, int64_t at) { return (at + simt_region_align(s) - 1) / simt_region_align(s) * simt_region_align(s); }

static int64_t most_shared(const simt *s) { return s->machine->shared_bytes > 0 ? (int64_t)s->machine->shared_bytes : TG_STATIC_SHARED; }

bool simt_has_shared(simt *s, int64_t bytes) { return aligned(s, s->shared_top) + bytes <= most_shared(s); }

// Where they begin, ptr<shared>; the launch's shared memory reaches at least to their end.
static tg_value *bytes_from(simt *s, int64_t from, int64_t bytes) {
  s->fresh = false;
  int64_t most = most_shared(s);
  *s->overflowed = from + bytes > most;
  if (from + bytes > most)
    tg_throw(s->ctx, TG_INVALID, "kernel '%s': tiles of %lld bytes do not fit into shared memory, %lld bytes; choose smaller tiles",
             s->tile->name, (long long)(from + bytes), (long long)most);
  if (!s->scratch) {
    tg_attr attrs[] = {TG_ASTR("space", "shared"), TG_AINT("bytes", bytes), TG_AINT("align", simt_region_align(s))};
    s->scratch = tg_build(&s->prologue, TG_OP_SCRATCH, 0, NULL, 3, attrs);
  }
  for (int i = 0; i < s->scratch->nattrs; i++)
    if (!strcmp(s->scratch->attrs[i].key, "bytes") && s->scratch->attrs[i].i < from + bytes) s->scratch->attrs[i].i = from + bytes;
  return from ? tg_build2(&s->prologue, TG_OP_PTRADD, s->scratch->out[0], simt_int(s, TG_I32, from)) : s->scratch->out[0];
}

// ---- who still uses what -----------------------------------------------------------------------------------------------------

void simt_settle(simt *s) {
  simt_barrier(s);
  s->quiet = (simt_quiet){.at = s->b.region};
}

void simt_publish(simt *s, bool to_groups) {
  if (to_groups) tg_build(&s->b, TG_OP_FENCE_ASYNC, 0, NULL, 0, NULL);
  simt_settle(s);
}

static void note_used(simt *s, int64_t from, int64_t to) {
  simt_quiet *q = &s->quiet;
  if (from >= to) return;
  if (q->n == (int)(sizeof q->used / sizeof q->used[0])) q->at = NULL;
  else q->used[q->n][0] = from, q->used[q->n++][1] = to;
}

// Where those bytes meet some that may be in use still: the end of these; -1: nowhere.
static int64_t in_use_until(const simt *s, int64_t from, int64_t to) {
  for (int i = 0; i < s->quiet.n; i++)
    if (from < s->quiet.used[i][1] && s->quiet.used[i][0] < to) return s->quiet.used[i][1];
  return -1;
}

simt_span simt_open_span(simt *s, int64_t bytes) {
  enum { SMALL = 4 << 10 };
  simt_span span = {.from = aligned(s, s->shared_top), .bytes = bytes};
  if (s->quiet.at != s->b.region) { // what happened elsewhere since its barrier is not known
    simt_settle(s);
  } else if (in_use_until(s, span.from, span.from + bytes) >= 0) {
    int64_t from = span.from, until;
    while ((until = in_use_until(s, from, from + bytes)) >= 0) from = aligned(s, until);
    // Launches with products of warp groups have a multiprocessor's memory for themselves; elsewhere more memory may mean fewer blocks.
    const bool worth = s->grouped || bytes <= SMALL;
    if (worth && from + bytes <= most_shared(s)) span.from = from;
    else simt_settle(s);
  }
  span.base = bytes_from(s, span.from, bytes);
  return span;
}

void simt_close_span(simt *s, const simt_span *span) { note_used(s, span->from, span->from + span->bytes); }

// ---- a stack -----------------------------------------------------------------------------------------------------------------

tg_value *simt_shared(simt *s, int64_t bytes) {
  s->quiet.at = NULL;
  return bytes_from(s, aligned(s, s->shared_top), bytes);
}

tg_value *simt_take_shared(simt *s, int64_t bytes) {
  tg_value *base = simt_shared(s, bytes);
  s->shared_top = aligned(s, s->shared_top) + bytes;
  return base;
}

tg_value *simt_take_quiet(simt *s, int64_t bytes) {
  const simt_span span = simt_open_span(s, bytes);
  s->shared_top = span.from + bytes;
  return span.base;
}

void simt_free_shared(simt *s, int64_t top) {
  note_used(s, top, s->shared_top);
  s->shared_top = top;
}
