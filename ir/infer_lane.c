// Type rules of lane-level ops.
#include "ir/infer.h"

static bool needs_ptr(tg_infer_state *s, int i) {
  return s->in[i]->type.kind == TG_PTR ? true : tg_rule_fail(s, "operand %d is %s; a pointer is needed", i + 1, tg_rule_text(s, i));
}

static bool needs_vector(tg_infer_state *s, int i) {
  tg_type t = s->in[i]->type;
  return t.kind == TG_TILE && t.rank == 1 ? true : tg_rule_fail(s, "operand %d is %s; a vector is needed", i + 1, tg_rule_text(s, i));
}

static bool needs_type(tg_infer_state *s, int i, tg_type want) {
  if (tg_type_equal(s->in[i]->type, want)) return true;
  return tg_rule_fail(s, "operand %d is %s; %s is needed", i + 1, tg_rule_text(s, i), tg_type_text(s->arena, want));
}

// A scalar or vector of the length and rank of operand i, of another dtype.
static tg_type like(const tg_infer_state *s, int i, int dtype) {
  tg_type t = s->in[i]->type;
  t.dtype = (uint8_t)dtype;
  return t;
}

static bool needs_align(tg_infer_state *s) {
  int64_t a = tg_rule_int(s, "align", 1);
  return a > 0 && a <= 4096 && !(a & (a - 1)) ? true : tg_rule_fail(s, "align is %lld; it must be a power of two up to 4096", (long long)a);
}

static bool nothing(tg_infer_state *s) {
  s->nout = 0;
  return true;
}

bool tg_infer_PTR(tg_infer_state *s) {
  static const char *const spaces[] = {"shared", "local", NULL};
  int64_t bytes = tg_rule_int(s, "bytes", 0);
  if (!tg_rule_choice(s, "space", spaces) || !needs_align(s)) return false;
  if (bytes < 1 || bytes > (int64_t)1 << 40) return tg_rule_fail(s, "bytes is %lld; it must be positive", (long long)bytes);
  return tg_rule_one(s, tg_ptr_type(!strcmp(tg_rule_attr(s, "space")->s, "shared") ? TG_SHARED : TG_LOCAL));
}

bool tg_infer_PTRADD(tg_infer_state *s) {
  if (!needs_ptr(s, 0)) return false;
  unsigned offsets = s->in[0]->type.space == TG_SHARED ? TG_M_INDEX : TG_M_I64;
  return tg_rule_scalar(s, 1, offsets) && tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_MISALIGN(tg_infer_state *s) {
  const int64_t to = tg_rule_int(s, "to", 0);
  if (!needs_ptr(s, 0)) return false;
  if (to < 1 || to > 4096 || (to & (to - 1))) return tg_rule_fail(s, "to is %lld; it must be a power of two up to 4096", (long long)to);
  return tg_rule_one(s, tg_scalar_type(TG_I64));
}

static bool any_type(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (t.kind != TG_TILE && t.kind != TG_PTR)
    return tg_rule_fail(s, "type is %s; it must be a scalar, vector or pointer", tg_type_text(s->arena, t));
  return tg_rule_one(s, t);
}

bool tg_infer_UNDEF(tg_infer_state *s) { return any_type(s); }
bool tg_infer_LLOAD(tg_infer_state *s) { return needs_ptr(s, 0) && needs_align(s) && any_type(s); }

bool tg_infer_LSTORE(tg_infer_state *s) {
  if (!needs_ptr(s, 0) || !needs_align(s)) return false;
  if (s->in[1]->type.kind != TG_TILE && s->in[1]->type.kind != TG_PTR)
    return tg_rule_fail(s, "operand 2 is %s, not a value to store", tg_rule_text(s, 1));
  return nothing(s);
}

bool tg_infer_LOADM(tg_infer_state *s) {
  return needs_ptr(s, 0) && needs_align(s) && tg_rule_tile(s, 2) && needs_type(s, 1, like(s, 2, TG_I1)) && tg_rule_one(s, s->in[2]->type);
}

bool tg_infer_STOREM(tg_infer_state *s) {
  return needs_ptr(s, 0) && needs_align(s) && tg_rule_tile(s, 1) && needs_type(s, 2, like(s, 1, TG_I1)) && nothing(s);
}

bool tg_infer_GATHERV(tg_infer_state *s) {
  return needs_ptr(s, 0) && needs_vector(s, 3) && needs_type(s, 1, like(s, 3, TG_I64)) && needs_type(s, 2, like(s, 3, TG_I1)) &&
         tg_rule_one(s, s->in[3]->type);
}

bool tg_infer_SCATTERV(tg_infer_state *s) {
  return needs_ptr(s, 0) && needs_vector(s, 2) && needs_type(s, 1, like(s, 2, TG_I64)) && needs_type(s, 3, like(s, 2, TG_I1)) && nothing(s);
}

bool tg_infer_ATOMICL(tg_infer_state *s) {
  static const char *const kinds[] = {"add", "min", "max", "and", "or", "xor", "exch", NULL};
  static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst", NULL};
  static const char *const scopes[] = {"block", "device", "system", NULL};
  if (!tg_rule_choice(s, "kind", kinds) || !tg_rule_choice(s, "order", orders) || !tg_rule_choice(s, "scope", scopes)) return false;
  unsigned dtypes = TG_M_INDEX | 1u << TG_F32 | 1u << TG_F64;
  return needs_ptr(s, 0) && tg_rule_scalar(s, 1, dtypes) && tg_rule_one(s, s->in[1]->type);
}

bool tg_infer_PREFETCH(tg_infer_state *s) {
  int64_t level = tg_rule_int(s, "level", 1);
  if (level < 1 || level > 3) return tg_rule_fail(s, "level is %lld; it can be 1, 2 or 3", (long long)level);
  return needs_ptr(s, 0) && nothing(s);
}

bool tg_infer_SPLAT(tg_infer_state *s) {
  int64_t n = tg_rule_int(s, "n", 0);
  if (!tg_rule_tile(s, 0)) return false;
  if (s->in[0]->type.rank) return tg_rule_fail(s, "operand 1 is %s; a scalar is needed", tg_rule_text(s, 0));
  if (n < 1 || n > TG_MAX_ELEMENTS) return tg_rule_fail(s, "n is %lld, which is out of range", (long long)n);
  return tg_rule_one(s, tg_vector_type(s->in[0]->type.dtype, (int)n));
}

static bool element_in(tg_infer_state *s) {
  int64_t i = tg_rule_int(s, "i", 0);
  return i >= 0 && i < s->in[0]->type.dim[0] ? true : tg_rule_fail(s, "element %lld is not in %s", (long long)i, tg_rule_text(s, 0));
}

bool tg_infer_EXTRACT(tg_infer_state *s) {
  if (!needs_vector(s, 0)) return false;
  if (!tg_rule_attr(s, "i") == (s->nin == 1)) return tg_rule_fail(s, "the element is said either by i or by operand 2");
  if (s->nin == 2 ? !tg_rule_scalar(s, 1, TG_M_INDEX) : !element_in(s)) return false;
  return tg_rule_one(s, tg_scalar_type(s->in[0]->type.dtype));
}

bool tg_infer_INSERT(tg_infer_state *s) {
  return needs_vector(s, 0) && needs_type(s, 1, tg_scalar_type(s->in[0]->type.dtype)) && element_in(s) && tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_SHUFFLE(tg_infer_state *s) {
  if (!needs_vector(s, 0) || !needs_type(s, 1, s->in[0]->type)) return false;
  const tg_attr *mask = tg_rule_attr(s, "mask");
  int64_t n = s->in[0]->type.dim[0];
  if (mask->n < 1) return tg_rule_fail(s, "the mask is empty");
  for (int i = 0; i < mask->n; i++) {
    if (mask->ints[i] < -1 || mask->ints[i] >= 2 * n)
      return tg_rule_fail(s, "mask element %lld is not in -1 ... %lld", (long long)mask->ints[i], (long long)(2 * n - 1));
  }
  return tg_rule_one(s, tg_vector_type(s->in[0]->type.dtype, mask->n));
}

bool tg_infer_VREDUCE(tg_infer_state *s) {
  return needs_vector(s, 0) && tg_rule_reduction(s, s->in[0]->type.dtype) && tg_rule_one(s, tg_scalar_type(s->in[0]->type.dtype));
}

bool tg_infer_SHFL(tg_infer_state *s) {
  static const char *const kinds[] = {"idx", "xor", "up", "down", NULL};
  int64_t width = tg_rule_int(s, "width", 32);
  if (!tg_rule_choice(s, "kind", kinds) || !tg_rule_scalar(s, 0, TG_M_I32 | 1u << TG_F32) || !tg_rule_scalar(s, 1, TG_M_I32)) return false;
  if (width < 2 || width > 64 || (width & (width - 1)))
    return tg_rule_fail(s, "width is %lld; it must be a power of two from 2 to 64", (long long)width);
  return tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_MMA(tg_infer_state *s) {
  s->nout = -1;
  for (int i = 0; i < s->nin; i++) {
    if (!tg_rule_tile(s, i)) return false;
  }
  return true;
}

bool tg_infer_LDMATRIX(tg_infer_state *s) {
  int64_t count = tg_rule_int(s, "count", 0);
  if (count != 1 && count != 2 && count != 4) return tg_rule_fail(s, "count is %lld; it can be 1, 2 or 4", (long long)count);
  if (!needs_type(s, 0, tg_ptr_type(TG_SHARED))) return false;
  s->nout = (int)count;
  for (int i = 0; i < count; i++) s->out[i] = tg_scalar_type(TG_I32);
  return true;
}

bool tg_infer_CP_ASYNC(tg_infer_state *s) {
  int64_t bytes = tg_rule_int(s, "bytes", 0);
  if (bytes != 4 && bytes != 8 && bytes != 16) return tg_rule_fail(s, "bytes is %lld; it can be 4, 8 or 16", (long long)bytes);
  return needs_type(s, 0, tg_ptr_type(TG_SHARED)) && needs_type(s, 1, tg_ptr_type(TG_GLOBAL)) && tg_rule_scalar(s, 2, TG_M_I32) &&
         nothing(s);
}

bool tg_infer_DOT2(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || !needs_type(s, 0, like(s, 0, TG_F32))) return false;
  if (s->in[0]->type.rank > 1) return tg_rule_fail(s, "operand 1 is %s; a scalar or vector is needed", tg_rule_text(s, 0));
  return needs_type(s, 1, like(s, 0, TG_I32)) && needs_type(s, 2, like(s, 0, TG_I32)) && tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_PAIRS(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || (s->nin > 1 && !needs_type(s, 1, s->in[0]->type))) return false;
  const tg_type *x = &s->in[0]->type;
  if ((x->dtype != TG_E4M3 && x->dtype != TG_BF16) || x->rank != 1 || (s->nin == 1 && x->dim[0] % 2))
    return tg_rule_fail(s, "operand 1 is %s; a vector of e4m3 or bf16 is needed, alone of even length", tg_rule_text(s, 0));
  return tg_rule_one(s, tg_vector_type(TG_I32, x->dim[0] * s->nin / 2));
}

static int64_t bits_of(tg_type t) { return tg_dtypes[t.dtype].bits * (t.rank ? t.dim[0] : 1); }

bool tg_infer_REGROUP(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (!tg_rule_tile(s, 0)) return false;
  if (t.kind != TG_TILE || t.rank > 1) return tg_rule_fail(s, "type is %s; it must be a scalar or a vector", tg_type_text(s->arena, t));
  if (t.dtype == TG_I1 || s->in[0]->type.dtype == TG_I1) return tg_rule_fail(s, "i1 has no bits to look at");
  if (bits_of(t) != bits_of(s->in[0]->type))
    return tg_rule_fail(s, "%s has %lld bits and %s %lld", tg_rule_text(s, 0), (long long)bits_of(s->in[0]->type),
                        tg_type_text(s->arena, t), (long long)bits_of(t));
  return tg_rule_one(s, t);
}

bool tg_infer_QUADS(tg_infer_state *s) { return tg_rule_scalar(s, 0, TG_M_I32) && tg_rule_one(s, tg_vector_type(TG_I32, 2)); }

bool tg_infer_BYTES(tg_infer_state *s) {
  const tg_attr *at = tg_rule_attr(s, "at");
  if (at->n != 4) return tg_rule_fail(s, "at has %d numbers; there are 4 bytes", (int)at->n);
  for (int i = 0; i < 4; i++)
    if (at->ints[i] < 0 || at->ints[i] > 7) return tg_rule_fail(s, "at has %lld; the bytes are 0 to 7", (long long)at->ints[i]);
  return tg_rule_scalar(s, 0, TG_M_I32) && tg_rule_scalar(s, 1, TG_M_I32) && tg_rule_one(s, tg_scalar_type(TG_I32));
}

bool tg_infer_SINGLE(tg_infer_state *s) { return tg_rule_scalar(s, 0, 1 << TG_F32) && tg_rule_one(s, tg_scalar_type(TG_F32)); }

bool tg_infer_TRAP(tg_infer_state *s) { return tg_rule_scalar(s, 0, TG_M_I1) && nothing(s); }

// Operands `bytes` and `high` of the same shape, i8 and i1.
static bool needs_nibbles(tg_infer_state *s, int bytes, int high) {
  return tg_rule_tile(s, bytes) && needs_type(s, bytes, like(s, bytes, TG_I8)) && needs_type(s, high, like(s, bytes, TG_I1));
}

bool tg_infer_UNPACK4(tg_infer_state *s) { return needs_nibbles(s, 0, 1) && tg_rule_one(s, like(s, 0, TG_E2M1)); }

bool tg_infer_PACK4(tg_infer_state *s) {
  return needs_nibbles(s, 0, 2) && needs_type(s, 1, like(s, 0, TG_E2M1)) && tg_rule_one(s, s->in[0]->type);
}
