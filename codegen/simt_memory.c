// Loads, stores and atomics.
#include "codegen/simt_pipe.h"

static int bytes_of(int dtype) { return tg_dtypes[dtype].bits / 8; }

static tg_value *splat(simt *s, tg_value *x, int n) { return n > 1 ? tg_build(&s->b, TG_OP_SPLAT, 1, &x, 1, &TG_AINT("n", n))->out[0] : x; }

static tg_type group_type(const simt_access *a) {
  return a->width > 1 ? tg_vector_type(a->view.dtype, a->width) : tg_scalar_type(a->view.dtype);
}

static tg_value *fill_value(const simt_access *a) {
  const tg_attr *fill = tg_find_attr(a->op, "fill");
  double value = !fill ? 0 : fill->kind == TG_ATTR_INT ? (double)fill->i : fill->f;
  const tg_dtype_row *row = &tg_dtypes[a->view.dtype];
  tg_builder *b = &a->s->prologue;
  return row->cls == 'i' || row->cls == 'b' ? tg_const_int(b, group_type(a), fill && fill->kind == TG_ATTR_INT ? fill->i : (int64_t)value)
                                            : tg_const_float(b, group_type(a), value);
}

// ---- loads and stores -----------------------------------------------------------------------------------------------------

bool simt_reads_input(simt *s, const tg_op *op) {
  const tg_value *v = simt_is_load(op) ? op->in[0] : NULL;
  while (v && v->def && v->def->code == TG_OP_VIEW) v = v->def->in[0];
  const tg_param *p = v && v->def && v->def->code == TG_OP_PARAM ? tg_find_param(s->tile, tg_attr_str(v->def, "name", "")) : NULL;
  return p && p->kind == TG_INPUT;
}

simt_tile *simt_load_in(simt *s, const tg_op *op, const tg_layout *layout) {
  simt_access a;
  simt_open_access(&a, s, op, op->out[0]->type);
  simt_tile *t = simt_new_tile(s, layout);
  const bool always = s->trip && simt_clamp_access(&a); // beside products of warp groups
  if (always) a.fast = -1;
  else memset(a.clamped, 0, sizeof a.clamped);
  simt_start_access(&a, layout);
  for (int i = 0; i < a.rank; i++)
    if (a.clamped[i] && simt_load_is_unkept(s, op, i, a.range[i])) a.bound[i] = NULL; // what is there will do for what is not
  bool readonly = a.view.param->kind == TG_INPUT;
  for (int i = 0, n = tg_layout_registers(layout); i < n; i += a.width) {
    tg_value *inside, *ptr = simt_element(&a, i, &inside), *v;
    tg_attr attrs[] = {TG_ATYPE("type", group_type(&a)), TG_AINT("align", a.width * bytes_of(a.view.dtype)), TG_AINT("const", 1)};
    if (inside && always) {
      v = tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, readonly ? 3 : 2, attrs)->out[0];
      v = tg_build3(&s->b, TG_OP_SELECT, inside, v, fill_value(&a));
    } else if (inside) {
      tg_value *in[] = {ptr, splat(s, inside, a.width), fill_value(&a)};
      v = tg_build(&s->b, TG_OP_LOADM, 3, in, readonly ? 2 : 1, attrs + 1)->out[0];
    } else {
      v = tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, readonly ? 3 : 2, attrs)->out[0];
    }
    simt_unpack(s, v, &t->reg[i], a.width);
  }
  return t;
}

void simt_load(simt *s, tg_op *op) {
  const tg_value *out = op->out[0];
  tg_layout layout = simt_plan_of(s, out);
  simt_order(s, op, &layout);
  simt_tile *t = simt_load_in(s, op, &layout);
  if (out->type.rank == 0) simt_note_of(s, out)->scalar = t->reg[0];
  else simt_set(s, out, t);
}

// What a store or an atomic writes, in which layout, under which masks.
typedef struct written {
  simt_access a;
  simt_tile *tile, *mask; // mask: NULL = none
  tg_layout layout;
  tg_value *owner; // of elements that several hold; NULL = all
} written;

static void open_written(written *w, simt *s, const tg_op *op) {
  bool masked = tg_attr_int(op, "mask", 0);
  const tg_value *value = op->in[op->nin - 1 - masked], *mask = masked ? op->in[op->nin - 1] : NULL;
  simt_open_access(&w->a, s, op, value->type);
  w->layout = simt_plan_of(s, value);
  w->tile = simt_get(s, value, &w->layout);
  w->mask = mask ? simt_get(s, mask, &w->layout) : NULL;
  w->owner = simt_owner(s, &w->layout);
  if (mask || op->code == TG_OP_ATOMIC) w->a.fast = -1; // each element by itself
  simt_order(s, op, &w->layout);
  simt_start_access(&w->a, &w->layout);
}

// Whether a register's element is to be written: NULL = always.
static tg_value *place_written(written *w, simt *s, int reg, tg_value **ptr) {
  tg_value *inside;
  *ptr = simt_element(&w->a, reg, &inside);
  inside = simt_and(&s->b, inside, w->owner);
  return w->mask ? simt_and(&s->b, inside, w->mask->reg[reg]) : inside;
}

void simt_store(simt *s, tg_op *op) {
  written w;
  open_written(&w, s, op);
  const int width = w.a.width;
  for (int i = 0, n = tg_layout_registers(&w.layout); i < n; i += width) {
    if (simt_is_replica(&w.layout, i)) continue;
    tg_value *ptr, *inside = place_written(&w, s, i, &ptr), *v = simt_pack(s, &w.tile->reg[i], width);
    tg_attr align = TG_AINT("align", width * bytes_of(w.a.view.dtype));
    tg_value *in[] = {ptr, v, inside ? splat(s, inside, width) : NULL};
    tg_build(&s->b, inside ? TG_OP_STOREM : TG_OP_LSTORE, inside ? 3 : 2, in, 1, &align);
  }
}

// ---- atomics ----------------------------------------------------------------------------------------------------------------

static tg_value *guarded_atomic(simt *s, const tg_op *op, tg_value *guard, tg_value *ptr, tg_value *x) {
  tg_attr attrs[] = {TG_ASTR("kind", tg_attr_str(op, "kind", "add")), TG_ASTR("order", tg_attr_str(op, "order", "relaxed")),
                     TG_ASTR("scope", tg_attr_str(op, "scope", "device"))};
  tg_value *in[] = {ptr, x};
  if (!guard) return tg_build(&s->b, TG_OP_ATOMICL, 2, in, 3, attrs)->out[0];
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &guard, 0, NULL, 1, &x->type);
  tg_builder then = s->b, otherwise = s->b;
  then.before = otherwise.before = NULL;
  then.region = tg_add_region(&s->b, branch, 0, 0, NULL), otherwise.region = tg_add_region(&s->b, branch, 1, 0, NULL);
  tg_value *old = tg_build(&then, TG_OP_ATOMICL, 2, in, 3, attrs)->out[0];
  tg_build_yield(&then, 1, &old);
  bool real = tg_dtypes[x->type.dtype].cls == 'f';
  old = real ? tg_const_float(&otherwise, x->type, 0) : tg_const_int(&otherwise, x->type, 0);
  tg_build_yield(&otherwise, 1, &old);
  return branch->out[0];
}

void simt_atomic(simt *s, tg_op *op) {
  if (!strcmp(tg_attr_str(op, "scope", "device"), "system"))
    simt_fail(s, op, "atomics of scope \"system\" are not supported; \"block\" and \"device\" are");
  written w;
  open_written(&w, s, op);
  simt_tile *old = simt_new_tile(s, &w.layout);
  for (int i = 0, n = tg_layout_registers(&w.layout); i < n; i++) {
    if (simt_is_replica(&w.layout, i)) {
      old->reg[i] = w.tile->reg[i]; // any value: nobody reads it
      continue;
    }
    tg_value *ptr, *inside = place_written(&w, s, i, &ptr);
    old->reg[i] = guarded_atomic(s, op, inside, ptr, w.tile->reg[i]);
  }
  if (w.owner && simt_is_used(s, op->out[0])) old = simt_share(s, old, op->out[0]->type.dtype); // the owner tells the others
  if (op->out[0]->type.rank == 0) simt_note_of(s, op->out[0])->scalar = old->reg[0];
  else simt_set(s, op->out[0], old);
}
