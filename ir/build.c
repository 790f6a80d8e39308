// Making, moving and removing ops.
#include "ir/kernel.h"

#include <math.h>

// ---- attributes

static bool attr_kind_fits(const tg_attr_spec *spec, const tg_attr *a) {
  return spec->num ? a->kind == TG_ATTR_INT || a->kind == TG_ATTR_FLOAT : a->kind == spec->kind;
}

static void copy_attr(tg_arena *arena, const tg_attr_spec *spec, const tg_attr *from, tg_attr *to) {
  *to = (tg_attr){.key = tg_arena_strndup(arena, spec->key, (size_t)spec->length), .kind = from->kind};
  switch (from->kind) {
  case TG_ATTR_INT: to->i = from->i; break;
  case TG_ATTR_FLOAT: to->f = isnan(from->f) ? (double)NAN : from->f; break;
  case TG_ATTR_STR: to->s = tg_arena_strdup(arena, from->s); break;
  case TG_ATTR_INTS: {
    int64_t *ints = TG_NEWN(arena, int64_t, from->n);
    if (from->n) memcpy(ints, from->ints, sizeof *ints * (size_t)from->n);
    to->ints = ints;
    to->n = from->n;
    break;
  }
  case TG_ATTR_TYPE: to->type = from->type; break;
  case TG_ATTR_EXPR: to->e = tg_e_copy(arena, from->e); break;
  }
}

static const char *const kind_names[] = {"an integer", "a float", "a string", "a list of integers", "a type", "an expression"};

// Constants of a float dtype are floats, rounded to the dtype where it has arithmetic, so that equal constants look equal.
static void normalise_const(int n, tg_attr *attrs) {
  if (n != 2 || attrs[0].type.kind != TG_TILE || !tg_dtype_is_float(attrs[0].type.dtype)) return;
  tg_attr *v = &attrs[1];
  if (v->kind == TG_ATTR_INT) *v = (tg_attr){.key = v->key, .kind = TG_ATTR_FLOAT, .f = (double)v->i};
  int d = attrs[0].type.dtype;
  if (d == TG_F32 || d == TG_F16 || d == TG_BF16) v->f = tg_decode(d, tg_encode(d, v->f, TG_ROUND_IEEE));
  if (isnan(v->f)) v->f = (double)NAN;
}

bool tg_match_attrs(tg_arena *arena, int code, int nattrs, const tg_attr *attrs, int *nout, tg_attr **out, const char **complaint) {
  const char *column = tg_opcode_info(code)->attrs;
  tg_attr_spec spec;
  int n = 0;
  *out = nattrs ? TG_NEWN(arena, tg_attr, nattrs) : NULL;
  *nout = 0;
  while (tg_next_attr_spec(&column, &spec)) {
    const tg_attr *found = NULL;
    for (int i = 0; i < nattrs; i++) {
      if (strncmp(attrs[i].key, spec.key, (size_t)spec.length) || attrs[i].key[spec.length]) continue;
      if (found) {
        *complaint = tg_arena_printf(arena, "attribute %s is given twice", attrs[i].key);
        return false;
      }
      found = &attrs[i];
    }
    if (!found) {
      if (spec.optional) continue;
      *complaint = tg_arena_printf(arena, "attribute %.*s is missing", spec.length, spec.key);
      return false;
    }
    if (!attr_kind_fits(&spec, found)) {
      *complaint = tg_arena_printf(arena, "attribute %.*s is %s; %s is needed", spec.length, spec.key, kind_names[found->kind],
                                   spec.num ? "a number" : kind_names[spec.kind]);
      return false;
    }
    copy_attr(arena, &spec, found, &(*out)[n++]);
  }
  if (n < nattrs) {
    for (int i = 0; i < nattrs; i++) {
      bool taken = false;
      for (int j = 0; j < n; j++) taken |= !strcmp((*out)[j].key, attrs[i].key);
      if (!taken)
        *complaint = tg_arena_printf(arena, "there is no attribute %.40s; the op takes \"%s\"", attrs[i].key, tg_opcode_info(code)->attrs);
    }
    return false;
  }
  if (code == TG_OP_CONST) normalise_const(n, *out);
  *nout = n;
  return true;
}

const tg_attr *tg_find_attr(const tg_op *op, const char *key) {
  for (int i = 0; i < op->nattrs; i++) {
    if (!strcmp(op->attrs[i].key, key)) return &op->attrs[i];
  }
  return NULL;
}

int64_t tg_attr_int(const tg_op *op, const char *key, int64_t fallback) {
  const tg_attr *a = tg_find_attr(op, key);
  return a && a->kind == TG_ATTR_INT ? a->i : fallback;
}

const char *tg_attr_str(const tg_op *op, const char *key, const char *fallback) {
  const tg_attr *a = tg_find_attr(op, key);
  return a && a->kind == TG_ATTR_STR ? a->s : fallback;
}

// ---- locations

tg_loc tg_keep_loc(tg_kernel *kernel, tg_loc loc) {
  if (!loc.file || loc.file == kernel->last_file) return loc;
  if (!kernel->last_file || strcmp(kernel->last_file, loc.file)) kernel->last_file = tg_arena_strdup(&kernel->arena, loc.file);
  return (tg_loc){kernel->last_file, loc.line};
}

const char *tg_loc_text(tg_arena *arena, tg_loc loc) { return loc.file ? tg_arena_printf(arena, "%s:%d: ", loc.file, loc.line) : ""; }

tg_loc tg_value_loc(const tg_value *value) {
  if (value->def) return value->def->loc;
  return value->region->owner ? value->region->owner->loc : value->region->launch->loc;
}

const tg_type *tg_value_type(const tg_value *value) { return &value->type; }

// ---- ops

static tg_value *new_value(tg_kernel *kernel, tg_type type, tg_op *def, tg_region *region, uint32_t index) {
  tg_value *v = TG_NEW(&kernel->arena, tg_value);
  *v = (tg_value){.type = type, .def = def, .region = region, .index = index, .id = kernel->next_id++};
  return v;
}

void tg_add_results(tg_kernel *kernel, tg_op *op, int n, const tg_type *types) {
  tg_value **out = TG_NEWN(&kernel->arena, tg_value *, n);
  for (int i = 0; i < n; i++) out[i] = new_value(kernel, types[i], op, op->parent, (uint32_t)i);
  op->out = out;
  op->nout = (uint16_t)n;
}

static void insert(tg_op *op, tg_region *region, tg_op *before) {
  op->parent = region;
  op->next = before;
  op->prev = before ? before->prev : region->last;
  if (op->prev) op->prev->next = op;
  else region->first = op;
  if (before) before->prev = op;
  else region->last = op;
}

// `fill` is a float where the tensor is.
static void normalise_fill(tg_op *op) {
  for (int i = 0; i < op->nattrs; i++) {
    tg_attr *a = &op->attrs[i];
    bool is_int = a->kind == TG_ATTR_INT && !strcmp(a->key, "fill");
    if (is_int && tg_dtype_is_float(op->in[0]->type.dtype)) *a = (tg_attr){.key = a->key, .kind = TG_ATTR_FLOAT, .f = (double)a->i};
  }
}

tg_op *tg_insert_op(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, tg_attr *attrs, int nout, const tg_type *types) {
  tg_arena *arena = &b->kernel->arena;
  const tg_op_info *info = tg_opcode_info(code);
  if (nin > UINT16_MAX) tg_throw(b->kernel->ctx, TG_INVALID, "%s takes %d operands; %d are the most", info->name, nin, UINT16_MAX);
  tg_op *op = TG_NEW(arena, tg_op);
  *op = (tg_op){
      .code = (uint16_t)code, .nin = (uint16_t)nin, .nregions = (uint16_t)info->regions, .nattrs = (uint16_t)nattrs, .attrs = attrs};
  op->loc = tg_keep_loc(b->kernel, b->loc);
  op->parent = b->region;
  if (nin) {
    op->in = TG_NEWN(arena, tg_value *, nin);
    memcpy(op->in, in, sizeof *in * (size_t)nin);
  }
  if (code == TG_OP_LOAD || code == TG_OP_GATHER) normalise_fill(op);
  if (info->regions) op->regions = TG_NEWN(arena, tg_region *, info->regions);
  if (nout > 0) tg_add_results(b->kernel, op, nout, types);
  insert(op, b->region, b->before);
  return op;
}

static _Noreturn void build_failed(tg_builder *b, int code, const char *complaint) {
  tg_throw(b->kernel->ctx, TG_FAILED, "%sin kernel '%s': building %s: %s", tg_loc_text(&b->kernel->arena, b->loc), b->kernel->name,
           tg_opcode_info(code)->name, complaint);
}

tg_op *tg_build_typed(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs, int nout,
                      const tg_type *types) {
  tg_type inferred[TG_MAX_RESULTS];
  int n;
  tg_attr *matched;
  const char *complaint = NULL;
  if (!tg_match_attrs(&b->kernel->arena, code, nattrs, attrs, &nattrs, &matched, &complaint)) build_failed(b, code, complaint);
  if (!tg_infer(&b->kernel->arena, code, nin, in, nattrs, matched, &n, inferred, &complaint)) build_failed(b, code, complaint);
  if (n >= 0 && types) {
    bool equal = n == nout;
    for (int i = 0; equal && i < n; i++) equal = tg_type_equal(types[i], inferred[i]);
    if (!equal) build_failed(b, code, "the result types given are not those that follow from the operands");
  }
  return n >= 0 ? tg_insert_op(b, code, nin, in, nattrs, matched, n, inferred)
                : tg_insert_op(b, code, nin, in, nattrs, matched, nout, types);
}

tg_op *tg_build(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs) {
  return tg_build_typed(b, code, nin, in, nattrs, attrs, 0, NULL);
}

tg_region *tg_add_region(tg_builder *b, tg_op *op, int index, int nargs, const tg_type *types) {
  tg_arena *arena = &b->kernel->arena;
  tg_region *r = TG_NEW(arena, tg_region);
  *r = (tg_region){.nargs = nargs, .owner = op, .launch = op->parent->launch};
  if (nargs) r->args = TG_NEWN(arena, tg_value *, nargs);
  for (int i = 0; i < nargs; i++) r->args[i] = new_value(b->kernel, types[i], NULL, r, (uint32_t)i);
  return op->regions[index] = r;
}

int tg_region_types(const tg_op *op, int index, tg_type out[TG_MAX_RESULTS + 1]) {
  (void)index; // both regions of `while` carry the same
  int n = 0, first = op->code == TG_OP_FOR ? 2 : 0;
  if (op->code == TG_OP_FOR) out[n++] = op->in[0]->type;
  else if (op->code != TG_OP_WHILE) return 0;
  for (int i = first; i < op->nin; i++) out[n++] = op->in[i]->type;
  return n;
}

tg_value *tg_build0(tg_builder *b, int code, int nattrs, const tg_attr *attrs) { return tg_build(b, code, 0, NULL, nattrs, attrs)->out[0]; }
tg_value *tg_build1(tg_builder *b, int code, tg_value *x) { return tg_build(b, code, 1, &x, 0, NULL)->out[0]; }
tg_value *tg_build2(tg_builder *b, int code, tg_value *x, tg_value *y) {
  return tg_build(b, code, 2, (tg_value *[]){x, y}, 0, NULL)->out[0];
}
tg_value *tg_build3(tg_builder *b, int code, tg_value *x, tg_value *y, tg_value *z) {
  return tg_build(b, code, 3, (tg_value *[]){x, y, z}, 0, NULL)->out[0];
}

int64_t tg_wrap_int(int dtype, int64_t value) {
  if (dtype == TG_I1) return value & 1;
  int shift = 64 - tg_dtypes[dtype].bits;
  return (int64_t)((uint64_t)value << shift) >> shift;
}

tg_value *tg_const_int(tg_builder *b, tg_type type, int64_t value) {
  if (!tg_dtype_is_float(type.dtype)) value = tg_wrap_int(type.dtype, value);
  return tg_build0(b, TG_OP_CONST, 2, (tg_attr[]){TG_ATYPE("type", type), TG_AINT("value", value)});
}

tg_value *tg_const_float(tg_builder *b, tg_type type, double value) {
  return tg_build0(b, TG_OP_CONST, 2, (tg_attr[]){TG_ATYPE("type", type), TG_AFLOAT("value", value)});
}

tg_value *tg_cast_to(tg_builder *b, tg_value *x, int dtype, const char *mode) {
  if (x->type.dtype == dtype) return x;
  tg_attr attrs[2] = {TG_ASTR("to", tg_dtypes[dtype].name), TG_ASTR("mode", mode)};
  return tg_build(b, TG_OP_CAST, 1, &x, mode ? 2 : 1, attrs)->out[0];
}

tg_op *tg_build_for(tg_builder *b, tg_value *lb, tg_value *ub, int64_t step, int ninit, tg_value *const *init) {
  tg_value **in = TG_NEWN(&b->kernel->arena, tg_value *, ninit + 2);
  in[0] = lb;
  in[1] = ub;
  if (ninit) memcpy(in + 2, init, sizeof *init * (size_t)ninit);
  tg_op *op = tg_build(b, TG_OP_FOR, ninit + 2, in, 1, (tg_attr[]){TG_AINT("step", step)});
  tg_type types[TG_MAX_RESULTS + 1];
  tg_add_region(b, op, 0, tg_region_types(op, 0, types), types);
  return op;
}

void tg_build_yield(tg_builder *b, int n, tg_value *const *values) { tg_build(b, TG_OP_YIELD, n, values, 0, NULL); }

bool tg_is_const(const tg_value *v) { return v->def && v->def->code == TG_OP_CONST; }

bool tg_const_as_int(const tg_value *v, int64_t *out) {
  if (!tg_is_const(v) || tg_dtype_is_float(v->type.dtype)) return false;
  *out = tg_attr_int(v->def, "value", 0);
  return true;
}

bool tg_const_as_float(const tg_value *v, double *out) {
  if (!tg_is_const(v) || !tg_dtype_is_float(v->type.dtype)) return false;
  *out = tg_find_attr(v->def, "value")->f;
  return true;
}

// ---- rewriting

void tg_remove_op(tg_op *op) {
  if (op->prev) op->prev->next = op->next;
  else op->parent->first = op->next;
  if (op->next) op->next->prev = op->prev;
  else op->parent->last = op->prev;
  op->prev = op->next = NULL;
  op->parent = NULL;
}

void tg_move_before(tg_op *op, tg_op *before) {
  if (op == before) return;
  tg_remove_op(op);
  insert(op, before->parent, before);
  for (int i = 0; i < op->nout; i++) op->out[i]->region = before->parent;
}

void tg_walk(tg_region *region, void (*visit)(tg_op *op, void *user), void *user) {
  for (tg_op *op = region->first, *next; op; op = next) {
    next = op->next;
    visit(op, user);
    if (!op->parent) continue; // removed
    for (int i = 0; i < op->nregions; i++) {
      if (op->regions[i]) tg_walk(op->regions[i], visit, user);
    }
  }
}

typedef struct replacement {
  tg_value *from, *to;
} replacement;

static void replace_in(tg_op *op, void *user) {
  replacement *r = user;
  for (int i = 0; i < op->nin; i++) {
    if (op->in[i] == r->from) op->in[i] = r->to;
  }
}

void tg_replace_all(tg_kernel *kernel, tg_value *from, tg_value *to) {
  replacement r = {from, to};
  for (int i = 0; i < kernel->nlaunches; i++) tg_walk(kernel->launches[i]->body, replace_in, &r);
}
