// Type rules of the lane ops for barriers in memory, the copy unit, wgmma and tensor memory.
#include "ir/infer.h"

static bool needs(tg_infer_state *s, int i, tg_type want) {
  if (tg_type_equal(s->in[i]->type, want)) return true;
  return tg_rule_fail(s, "operand %d is %s; %s is needed", i + 1, tg_type_text(s->arena, s->in[i]->type), tg_type_text(s->arena, want));
}

static bool needs_barrier(tg_infer_state *s, int i) { return needs(s, i, tg_ptr_type(TG_SHARED)); }

static bool no_result(tg_infer_state *s) {
  s->nout = 0;
  return true;
}

bool tg_infer_ELECT(tg_infer_state *s) { return tg_rule_one(s, tg_scalar_type(TG_I1)); }

bool tg_infer_BARRIER(tg_infer_state *s) {
  int64_t id = tg_rule_int(s, "id", 0), threads = tg_rule_int(s, "threads", 32);
  if (id < 0 || id > 15 || threads < 32 || threads > 1024 || threads % 32)
    return tg_rule_fail(s, "id is %lld and threads %lld; they can be 0 to 15, and 32 to 1024 in whole warps", (long long)id,
                        (long long)threads);
  return no_result(s);
}

// PTX ISA, mbarrier: counts of arrivals and of bytes have 20 bits.
bool tg_infer_MBAR(tg_infer_state *s) {
  int64_t count = tg_rule_int(s, "count", 0);
  if (count < 1 || count >= 1 << 20) return tg_rule_fail(s, "count is %lld; it can be 1 to 2^20 - 1", (long long)count);
  return needs_barrier(s, 0) && no_result(s);
}

bool tg_infer_MBAR_ARRIVE(tg_infer_state *s) { return needs_barrier(s, 0) && tg_rule_scalar(s, 1, TG_M_I1) && no_result(s); }
bool tg_infer_MBAR_WAIT(tg_infer_state *s) { return needs_barrier(s, 0) && tg_rule_scalar(s, 1, TG_M_I32) && no_result(s); }
bool tg_infer_PREFETCH_MAP(tg_infer_state *s) { return needs(s, 0, tg_ptr_type(TG_PARAMETER)) && no_result(s); }

bool tg_infer_MAPA(tg_infer_state *s) {
  return needs(s, 0, tg_ptr_type(TG_SHARED)) && tg_rule_scalar(s, 1, TG_M_I32) && tg_rule_one(s, tg_ptr_type(TG_SHARED));
}

// PTX ISA, cp.async.bulk.tensor: the mask of blocks has 16 bits.
bool tg_infer_COPY_BOX(tg_infer_state *s) {
  const int64_t blocks = tg_rule_int(s, "blocks", 1);
  if (blocks < 1 || blocks >= 1 << 16) return tg_rule_fail(s, "blocks is %lld; it can be 1 to 2^16 - 1", (long long)blocks);
  if (!needs(s, 0, tg_ptr_type(TG_SHARED)) || !needs(s, 1, tg_ptr_type(TG_PARAMETER)) || !needs_barrier(s, 2)) return false;
  for (int i = 3; i < s->nin; i++)
    if (!tg_rule_scalar(s, i, TG_M_I32)) return false;
  return no_result(s);
}

bool tg_infer_SMEM_DESC(tg_infer_state *s) {
  int64_t swizzle = tg_rule_int(s, "swizzle", 0);
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
    return tg_rule_fail(s, "swizzle is %lld; it can be 0, 32, 64 or 128", (long long)swizzle);
  int64_t version = tg_rule_int(s, "version", 0);
  if (version != 0 && version != 1) return tg_rule_fail(s, "version is %lld; it can be 0 or 1", (long long)version);
  return needs(s, 0, tg_ptr_type(TG_SHARED)) && tg_rule_one(s, tg_scalar_type(TG_I64));
}

bool tg_infer_DESC_ADD(tg_infer_state *s) {
  return tg_rule_scalar(s, 0, TG_M_I64) && tg_rule_scalar(s, 1, TG_M_I32) && tg_rule_one(s, tg_scalar_type(TG_I64));
}

static bool accumulators(tg_infer_state *s, int n) {
  for (int i = 0; i < n; i++)
    if (!needs(s, i, tg_scalar_type(TG_F32))) return false;
  return true;
}

// PTX ISA, wgmma.mma_async: n in steps of 8 up to 256; each thread holds n / 2 of the 64 x n accumulators.
bool tg_infer_WGMMA(tg_infer_state *s) {
  int64_t n = tg_rule_int(s, "n", 0);
  if (n < 8 || n > 256 || n % 8) return tg_rule_fail(s, "n is %lld; it can be a multiple of 8 up to 256", (long long)n);
  int held = (int)n / 2, i = s->nin >= held + 2 ? held : 0, a = s->nin - i - 1;
  if (!accumulators(s, i)) return false;
  if (a != 1 && a != 4) return tg_rule_fail(s, "A is %d operands; it can be a descriptor or four i32", a);
  for (int k = 0; k < a; k++, i++)
    if (!needs(s, i, tg_scalar_type(a == 1 ? TG_I64 : TG_I32))) return false;
  if (!needs(s, i, tg_scalar_type(TG_I64))) return false;
  for (s->nout = 0; s->nout < held; s->nout++) s->out[s->nout] = tg_scalar_type(TG_F32);
  return true;
}

bool tg_infer_WGMMA_WAIT(tg_infer_state *s) {
  if (s->nin > TG_MAX_RESULTS) return tg_rule_fail(s, "it has %d operands; at most %d can be had", s->nin, (int)TG_MAX_RESULTS);
  if (!accumulators(s, s->nin)) return false;
  for (s->nout = 0; s->nout < s->nin; s->nout++) s->out[s->nout] = tg_scalar_type(TG_F32);
  return true;
}

// ---- tensor memory

static bool is_power(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

// PTX ISA, tcgen05.alloc: a power of two, 32 to 512.
static bool columns(tg_infer_state *s) {
  int64_t n = tg_rule_int(s, "columns", 0);
  if (n >= 32 && n <= 512 && is_power(n)) return true;
  return tg_rule_fail(s, "columns is %lld; it can be 32, 64, 128, 256 or 512", (long long)n);
}

bool tg_infer_TMEM_ALLOC(tg_infer_state *s) { return columns(s) && needs(s, 0, tg_ptr_type(TG_SHARED)) && no_result(s); }
bool tg_infer_TMEM_FREE(tg_infer_state *s) { return columns(s) && tg_rule_scalar(s, 0, TG_M_I32) && no_result(s); }
bool tg_infer_TMEM_COMMIT(tg_infer_state *s) { return needs_barrier(s, 0) && no_result(s); }

// PTX ISA, tcgen05.mma: of 128 rows, n is a multiple of 16 up to 256.
bool tg_infer_TMEM_MMA(tg_infer_state *s) {
  int64_t n = tg_rule_int(s, "n", 0);
  if (n < 16 || n > 256 || n % 16) return tg_rule_fail(s, "n is %lld; it can be a multiple of 16 up to 256", (long long)n);
  return tg_rule_scalar(s, 0, TG_M_I32) && tg_rule_scalar(s, 1, TG_M_I64) && tg_rule_scalar(s, 2, TG_M_I64) &&
         tg_rule_scalar(s, 3, TG_M_I1) && no_result(s);
}

// PTX ISA, tcgen05.ld, .32x32b: a power of two up to 128.
bool tg_infer_TMEM_LOAD(tg_infer_state *s) {
  int64_t n = tg_rule_int(s, "n", 0);
  if (n > 128 || !is_power(n)) return tg_rule_fail(s, "n is %lld; it can be a power of two up to 128", (long long)n);
  if (!tg_rule_scalar(s, 0, TG_M_I32)) return false;
  for (s->nout = 0; s->nout < n; s->nout++) s->out[s->nout] = tg_scalar_type(TG_F32);
  return true;
}
