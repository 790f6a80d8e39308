// Type rules of views, ranges and the ops that touch memory at tile level.
#include "ir/infer.h"

bool tg_infer_PARAM(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (t.kind != TG_VIEW) return tg_rule_fail(s, "type is %s; a tensor parameter is a view", tg_type_text(s->arena, t));
  return tg_rule_one(s, t);
}

bool tg_infer_VIEW(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (s->in[0]->type.kind != TG_VIEW) return tg_rule_fail(s, "operand 1 is %s; a view is made of a tensor or view", tg_rule_text(s, 0));
  if (t.kind != TG_VIEW || t.rank < 1) return tg_rule_fail(s, "type is %s; it must be a view's", tg_type_text(s->arena, t));
  if (s->nin != 2 + 2 * t.rank)
    return tg_rule_fail(s, "%d operands were given; a view of rank %d takes base, offset, %d dims and %d strides", s->nin, t.rank, t.rank,
                        t.rank);
  for (int i = 1; i < s->nin; i++) {
    if (!tg_rule_scalar(s, i, TG_M_I64)) return false;
  }
  return tg_rule_one(s, t);
}

bool tg_infer_RANGE(tg_infer_state *s) {
  int64_t len = tg_rule_int(s, "len", 0);
  if (!tg_rule_scalar(s, 0, TG_M_I64) || !tg_rule_scalar(s, 1, TG_M_I64)) return false;
  if (len < 1 || len > TG_MAX_ELEMENTS) return tg_rule_fail(s, "the length %lld is out of range", (long long)len);
  if (tg_rule_int(s, "align", 1) < 1) return tg_rule_fail(s, "align is %lld; it must be positive", (long long)tg_rule_int(s, "align", 1));
  return tg_rule_one(s, (tg_type){.kind = TG_RANGE, .dim = {(int32_t)len}});
}

static bool needs_range(tg_infer_state *s) {
  return s->in[0]->type.kind == TG_RANGE ? true : tg_rule_fail(s, "operand 1 is %s; a range is needed", tg_rule_text(s, 0));
}

bool tg_infer_FIRST(tg_infer_state *s) { return needs_range(s) && tg_rule_one(s, tg_scalar_type(TG_I64)); }
bool tg_infer_INDEX(tg_infer_state *s) { return needs_range(s) && tg_rule_one(s, tg_vector_type(TG_I64, s->in[0]->type.dim[0])); }

// Type of what view (operand 0) holds at the indices that follow; `vector` allows (and asks for) one rank-1 tile among them.
static bool place(tg_infer_state *s, bool vector, tg_type *out) {
  tg_type v = s->in[0]->type;
  if (v.kind != TG_VIEW) return tg_rule_fail(s, "operand 1 is %s; a tensor or view is indexed", tg_rule_text(s, 0));
  if (s->nin < 1 + v.rank) return tg_rule_fail(s, "%d indices for the %d axes of %s", s->nin - 1, v.rank, tg_rule_text(s, 0));
  int vectors = 0;
  *out = (tg_type){.kind = TG_TILE, .dtype = v.dtype};
  for (int i = 1; i <= v.rank; i++) {
    tg_type t = s->in[i]->type;
    if (t.kind == TG_RANGE) {
      out->dim[out->rank++] = t.dim[0];
    } else if (t.kind == TG_TILE && (TG_M_INDEX >> t.dtype & 1) && t.rank <= 1) {
      if (t.rank) out->dim[out->rank++] = t.dim[0];
      vectors += t.rank;
    } else {
      return tg_rule_fail(s, "the index on axis %d is %s; it can be a range, an i32 or i64 scalar%s", i, tg_rule_text(s, i),
                          vector ? ", or on one axis a rank-1 tile of them" : "");
    }
  }
  if (vector && vectors != 1)
    return tg_rule_fail(s, "%d indices are vectors; one axis takes a vector of indices, the others ranges or scalars", vectors);
  if (!vector && vectors) return tg_rule_fail(s, "an index is a vector; that is a gather or a scatter");
  return true;
}

bool tg_infer_LOAD(tg_infer_state *s) {
  tg_type t;
  if (!place(s, s->code == TG_OP_GATHER, &t)) return false;
  if (s->nin != 1 + s->in[0]->type.rank)
    return tg_rule_fail(s, "%d indices for the %d axes of %s", s->nin - 1, s->in[0]->type.rank, tg_rule_text(s, 0));
  const tg_attr *fill = tg_rule_attr(s, "fill");
  int64_t any = tg_rule_int(s, "any", 0);
  if (any != 0 && any != 1) return tg_rule_fail(s, "any is %lld; it can be 0 or 1", (long long)any);
  if (fill && any) return tg_rule_fail(s, "fill and any exclude each other");
  if (fill && fill->kind == TG_ATTR_FLOAT && !tg_dtype_is_float(t.dtype))
    return tg_rule_fail(s, "fill is a float but the tensor is %s", tg_dtype_name(t.dtype));
  if (fill && !tg_dtype_is_float(t.dtype) && !tg_rule_fits(s, fill->i, t.dtype)) return false;
  return tg_rule_one(s, t);
}

// The tile, and the mask when there is one, of a store, scatter or atomic to `t`.
static bool stored(tg_infer_state *s, tg_type t) {
  int64_t mask = tg_rule_int(s, "mask", 0);
  int rank = s->in[0]->type.rank, tile = 1 + rank;
  if (mask != 0 && mask != 1) return tg_rule_fail(s, "mask is %lld; it can be 0 or 1", (long long)mask);
  if (s->nin != tile + 1 + (int)mask) {
    return tg_rule_fail(s, "%d operands were given; a view of rank %d takes %d indices and a tile%s", s->nin, rank, rank,
                        mask ? " and a mask" : "");
  }
  if (!tg_rule_tile(s, tile)) return false;
  tg_type got = s->in[tile]->type;
  if (got.dtype != t.dtype) {
    got.dtype = t.dtype;
    return tg_rule_fail(s, "the tile is %s but the tensor holds %s; cast it with :to(%s)", tg_rule_text(s, tile), tg_dtype_name(t.dtype),
                        tg_dtype_name(t.dtype));
  }
  if (!tg_type_equal(got, t))
    return tg_rule_fail(s, "the tile is %s but the place is %s; broadcast or reshape the tile", tg_rule_text(s, tile),
                        tg_type_text(s->arena, t));
  if (!mask) return true;
  t.dtype = TG_I1;
  if (!tg_type_equal(s->in[tile + 1]->type, t))
    return tg_rule_fail(s, "the mask is %s; it must be %s", tg_rule_text(s, tile + 1), tg_type_text(s->arena, t));
  return true;
}

bool tg_infer_STORE(tg_infer_state *s) {
  tg_type t;
  s->nout = 0;
  return place(s, s->code == TG_OP_SCATTER, &t) && stored(s, t);
}

static bool has_vector(const tg_infer_state *s) {
  for (int i = 1; i < s->nin && s->in[0]->type.kind == TG_VIEW && i <= s->in[0]->type.rank; i++) {
    if (s->in[i]->type.kind == TG_TILE && s->in[i]->type.rank == 1) return true;
  }
  return false;
}

bool tg_infer_ATOMIC(tg_infer_state *s) {
  static const char *const kinds[] = {"add", "min", "max", "and", "or", "xor", "exch", NULL};
  static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst", NULL};
  static const char *const scopes[] = {"block", "device", "system", NULL};
  tg_type t;
  if (!tg_rule_choice(s, "kind", kinds) || !tg_rule_choice(s, "order", orders) || !tg_rule_choice(s, "scope", scopes)) return false;
  if (!place(s, has_vector(s), &t) || !stored(s, t)) return false;
  const char *kind = tg_rule_attr(s, "kind")->s;
  bool logical = !strcmp(kind, "and") || !strcmp(kind, "or") || !strcmp(kind, "xor");
  bool fits = t.dtype == TG_I32 || t.dtype == TG_I64 || (!logical && (t.dtype == TG_F32 || t.dtype == TG_F64));
  if (!fits)
    return tg_rule_fail(s, "\"%s\" does not work on %s; atomics are for i32 and i64, add min max exch also for f32 and f64", kind,
                        tg_dtype_name(t.dtype));
  return tg_rule_one(s, t);
}
