// Elements of tile values at a position, on demand and once per region.
#include "codegen/loops.h"

void loops_refuse(lower *L, const tg_op *op, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  const tg_loc *loc = op ? &op->loc : &L->loc;
  if (loc->file) tg_throw(L->ctx, TG_INVALID, "%s:%d: %s", loc->file, loc->line, text);
  tg_throw(L->ctx, TG_INVALID, "%s: %s", L->tile->name, text);
}

info *loops_info(lower *L, tg_value *v) {
  if (!v->note) v->note = TG_NEW(L->arena, info);
  return v->note;
}

int loops_memory_dtype(int dtype) { return dtype == TG_I1 || dtype == TG_E2M1 ? TG_I8 : dtype; }

static uint64_t hash_pos(const pos *p) {
  uint64_t h = (uint64_t)(p->rank * 64 + p->lanes);
  for (int a = 0; a < p->rank; a++) {
    h = tg_hash(p->at[a].t, sizeof(term) * (size_t)p->at[a].n, h);
    h = tg_hash(p->at[a].c, sizeof(int32_t) * (size_t)p->lanes, h);
  }
  return h;
}

static bool same_pos(const pos *p, const pos *q) {
  if (p->rank != q->rank || p->lanes != q->lanes) return false;
  for (int a = 0; a < p->rank; a++) {
    const lane_index *x = &p->at[a], *y = &q->at[a];
    if (x->n != y->n || memcmp(x->t, y->t, sizeof(term) * (size_t)x->n) || memcmp(x->c, y->c, sizeof(int32_t) * (size_t)p->lanes))
      return false;
  }
  return true;
}

static tg_value *recall(lower *L, info *f, uint64_t hash, const pos *p) {
  for (memo **m = &f->memos; *m;) {
    if (!loops_alive(L, (*m)->value)) {
      *m = (*m)->next; // its loop is closed
      continue;
    }
    if ((*m)->hash == hash && same_pos(&(*m)->at, p)) return (*m)->value;
    m = &(*m)->next;
  }
  return NULL;
}

void loops_bind(lower *L, tg_value *v, tg_value *ssa) {
  info *f = loops_info(L, v);
  f->ssa = ssa, f->buf = NULL, f->memos = NULL;
}

void loops_bind_buffer(lower *L, tg_value *v, const buffer *b) {
  info *f = loops_info(L, v);
  f->buf = b, f->ssa = NULL, f->memos = NULL;
}

// Each lane by itself, put together: for what no vector form says.
static tg_value *lane_by_lane(lower *L, tg_value *v, const pos *p) {
  tg_value *all = NULL;
  for (int l = 0; l < p->lanes; l++) {
    pos q = loops_lane(p, l);
    tg_value *x = loops_eval(L, v, &q);
    if (!all) {
      all = loops_splat(L, x, p->lanes);
      continue;
    }
    tg_value *in[] = {all, x};
    all = loops_pure(L, TG_OP_INSERT, 2, in, 1, (tg_attr[]){TG_AINT("i", l)});
  }
  return all;
}

static pos broadcast_pos(const tg_value *x, const pos *p) {
  pos q = {.rank = x->type.rank, .lanes = p->lanes};
  int shift = p->rank - q.rank;
  for (int a = 0; a < q.rank; a++)
    if (x->type.dim[a] != 1) q.at[a] = p->at[a + shift];
  return q;
}

// Axes are split into the smallest groups of equal products; within a group the flat index is divided up again.
static bool reshape_pos(lower *L, const tg_type *from, const tg_type *to, const pos *p, pos *q) {
  *q = (pos){.rank = from->rank, .lanes = p->lanes};
  int i = 0, j = 0;
  while (i < from->rank || j < to->rank) {
    int i0 = i, j0 = j;
    int64_t a = i < from->rank ? from->dim[i++] : 1, b = j < to->rank ? to->dim[j++] : 1;
    while (a != b || (i == from->rank && j < to->rank && to->dim[j] == 1 && (j++, true))) {
      if (a == b) continue;
      if (a < b) a *= from->dim[i++];
      else b *= to->dim[j++];
    }
    if (i - i0 == 1 && j - j0 == 1) {
      q->at[i0] = p->at[j0];
      continue;
    }
    lane_index flat = loops_zero();
    int64_t scale = 1;
    for (int k = j - 1; k >= j0; k--) {
      if (to->dim[k] != 1 && !loops_add_index(&flat, &p->at[k], p->lanes, scale)) return false;
      scale *= to->dim[k];
    }
    int last = i0; // the outermost axis with more than one element takes what is left
    while (last < i - 1 && from->dim[last] == 1) last++;
    for (int k = i - 1; k >= i0; k--) {
      if (from->dim[k] == 1) continue;
      if (k <= last) {
        q->at[k] = flat;
        continue;
      }
      lane_index quotient, rem;
      if (!loops_index_div(L, &flat, p->lanes, from->dim[k], &quotient, &rem)) return false;
      q->at[k] = rem, flat = quotient;
    }
  }
  return true;
}

static tg_value *eval_join(lower *L, tg_op *op, const pos *p) {
  int axis = p->rank - 1;
  pos q = *p;
  q.rank = axis;
  const lane_index *x = &p->at[axis];
  if (!loops_uniform(x, p->lanes)) return lane_by_lane(L, op->out[0], p);
  if (x->n == 0) return loops_eval(L, op->in[x->c[0] != 0], &q); // lanes beyond the tile may be asked for; nobody keeps them
  tg_value *a = loops_eval(L, op->in[0], &q), *b = loops_eval(L, op->in[1], &q);
  if (L->probe) L->probe->varies = true;
  tg_value *first = loops_bin(L, TG_OP_EQ, loops_index_value(L, x, 1), loops_int(L, 0));
  return loops_select(L, first, a, b);
}

static tg_value *eval_elementwise(lower *L, tg_op *op, const pos *p) {
  tg_value *in[3];
  int lanes = 1;
  for (int i = 0; i < op->nin; i++) {
    in[i] = loops_eval(L, op->in[i], p);
    if (loops_lanes(in[i]) > lanes) lanes = loops_lanes(in[i]);
  }
  if (op->nin == 1 && op->nattrs == 0) return loops_un(L, op->code, in[0]);
  if (op->code == TG_OP_FMA) return loops_fma(L, in[0], in[1], in[2]);
  for (int i = 0; i < op->nin; i++) in[i] = loops_splat(L, in[i], lanes);
  if (op->nin == 2 && in[0]->type.dtype == TG_I64 && lanes == 1) {
    int64_t c;
    switch (op->code) {
    case TG_OP_ADD: return loops_add(L, in[0], in[1]);
    case TG_OP_SUB: return loops_sub(L, in[0], in[1]);
    case TG_OP_MUL: return loops_mul(L, in[0], in[1]);
    case TG_OP_MIN: return loops_min(L, in[0], in[1]);
    case TG_OP_MAX: return loops_max(L, in[0], in[1]);
    case TG_OP_DIV:
      if (tg_const_as_int(in[1], &c) && c > 0) return loops_divc(L, in[0], c);
      break;
    default: break;
    }
  }
  return loops_pure(L, op->code, op->nin, in, op->nattrs, op->attrs);
}

static tg_value *eval_op(lower *L, tg_value *v, const pos *p) {
  tg_op *op = v->def;
  if (!op) loops_refuse(L, NULL, "internal: a region argument was never bound");
  pos q;
  switch (op->code) {
  case TG_OP_CONST: {
    tg_attr a[2] = {TG_ATYPE("type", tg_scalar_type(v->type.dtype)), *tg_find_attr(op, "value")};
    return loops_pure(L, TG_OP_CONST, 0, NULL, 2, a);
  }
  case TG_OP_PID: return loops_pure(L, TG_OP_CTAID, 0, NULL, 1, (tg_attr[]){TG_AINT("axis", tg_attr_int(op, "axis", 0))});
  case TG_OP_EXPR: return loops_arg_expr(L, tg_find_attr(op, "e")->e);
  case TG_OP_SCALAR: return loops_arg_scalar(L, tg_attr_str(op, "name", ""), v->type.dtype);
  case TG_OP_ASSUME: return loops_eval(L, op->in[0], p);
  case TG_OP_FIRST:
  case TG_OP_LAST:
    if (!op->in[0]->def) loops_refuse(L, op, "a range carried by a loop cannot be lowered; carry its start and end");
    return loops_scalar(L, op->in[0]->def->in[op->code == TG_OP_LAST]);
  case TG_OP_INDEX: {
    if (L->probe) L->probe->varies = true;
    tg_value *start = loops_scalar(L, op->in[0]->def->in[0]);
    return loops_bin(L, TG_OP_ADD, loops_index_value(L, &p->at[0], p->lanes), start);
  }
  case TG_OP_IOTA: {
    if (L->probe) L->probe->varies = true;
    return loops_cast(L, loops_index_value(L, &p->at[0], p->lanes), v->type.dtype);
  }
  case TG_OP_BROADCAST: q = broadcast_pos(op->in[0], p); return loops_eval(L, op->in[0], &q);
  case TG_OP_SPREAD: {
    int axis = (int)tg_attr_int(op, "axis", 0);
    lane_index rem;
    q = *p;
    if (op->in[0]->type.dim[axis] == 1) q.at[axis] = loops_zero();
    else if (!loops_index_div(L, &p->at[axis], p->lanes, tg_attr_int(op, "factor", 1), &q.at[axis], &rem)) return lane_by_lane(L, v, p);
    return loops_eval(L, op->in[0], &q);
  }
  case TG_OP_RESHAPE:
    if (!reshape_pos(L, &op->in[0]->type, &v->type, p, &q)) return lane_by_lane(L, v, p);
    return loops_eval(L, op->in[0], &q);
  case TG_OP_TRANSPOSE: {
    const tg_attr *perm = tg_find_attr(op, "perm");
    q = (pos){.rank = p->rank, .lanes = p->lanes};
    for (int a = 0; a < p->rank; a++) q.at[perm->ints[a]] = p->at[a];
    return loops_eval(L, op->in[0], &q);
  }
  case TG_OP_JOIN: return eval_join(L, op, p);
  case TG_OP_SPLIT: {
    q = *p;
    lane_index half = loops_zero();
    for (int l = 0; l < LOOPS_LANES; l++) half.c[l] = (int32_t)v->index;
    q.at[q.rank++] = half;
    return loops_eval(L, op->in[0], &q);
  }
  case TG_OP_LOAD:
  case TG_OP_GATHER: return loops_eval_load(L, op, p);
  default:
    if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) return eval_elementwise(L, op, p);
    loops_refuse(L, op, "`%s` cannot be evaluated by the loops lowering here", tg_op_rows()[op->code].info.name);
  }
}

tg_value *loops_eval(lower *L, tg_value *v, const pos *p) {
  info *f = loops_info(L, v);
  if (f->ssa) return f->ssa;
  pos one;
  if (p->lanes > 1 && loops_uniform_pos(p)) {
    one = *p;
    one.lanes = 1;
    p = &one;
  }
  uint64_t h = hash_pos(p);
  tg_value *x = recall(L, f, h, p);
  if (x) return x;
  if (L->prefetch_only) return f->buf ? loops_const(L, v->type.dtype, 0) : eval_op(L, v, p); // nothing that may be used again
  x = f->buf ? loops_read_buffer(L, f->buf, p, v->type.dtype) : eval_op(L, v, p);
  memo *m = TG_NEW(L->arena, memo);
  m->next = f->memos, m->hash = h, m->at = *p, m->value = x;
  f->memos = m;
  return x;
}

void loops_prefetch(lower *L, tg_value *v, const pos *p) {
  L->prefetch_only = true;
  loops_eval(L, v, p);
  L->prefetch_only = false;
}

tg_value *loops_eval_lanes(lower *L, tg_value *v, const pos *p) { return loops_splat(L, loops_eval(L, v, p), p->lanes); }

tg_value *loops_scalar(lower *L, tg_value *v) {
  pos p = loops_origin(v->type.rank);
  return loops_eval(L, v, &p);
}
