// Building a kernel op by op from outside: launches, ops and regions are opened and closed, and every mistake is named with its line.
#include "ir/kernel.h"

// ---- what an op may refer to

static const tg_attr *find(int n, const tg_attr *attrs, const char *key) {
  for (int i = 0; i < n; i++) {
    if (!strcmp(attrs[i].key, key)) return &attrs[i];
  }
  return NULL;
}

static const char *misplaced_param(tg_arena *arena, const tg_kernel *kernel, int code, int nattrs, const tg_attr *attrs) {
  const char *name = find(nattrs, attrs, "name")->s;
  tg_type t = find(nattrs, attrs, "type")->type;
  const tg_param *p = tg_find_param(kernel, name);
  bool scalar = code == TG_OP_SCALAR;
  if (!p) return tg_arena_printf(arena, "the kernel has no parameter %s", name);
  if ((p->kind == TG_SCALAR_PARAM) != scalar)
    return tg_arena_printf(arena, "%s is %s", name, scalar ? "a tensor, not a scalar" : "a scalar, not a tensor");
  if (t.dtype != p->dtype || t.rank != p->rank) {
    tg_type want = scalar ? tg_scalar_type(p->dtype) : (tg_type){.kind = TG_VIEW, .dtype = (uint8_t)p->dtype, .rank = (uint8_t)p->rank};
    return tg_arena_printf(arena, "the type is %s but %s is declared as %s", tg_type_text(arena, t), name, tg_type_text(arena, want));
  }
  return NULL;
}

// The parameter that a view looks into; NULL when it cannot be seen.
static const tg_param *base_param(const tg_kernel *kernel, const tg_value *view) {
  while (view->def && view->def->code == TG_OP_VIEW) view = view->def->in[0];
  if (!view->def || view->def->code != TG_OP_PARAM) return NULL;
  return tg_find_param(kernel, tg_attr_str(view->def, "name", ""));
}

const char *tg_misplaced(tg_arena *arena, const tg_launch *launch, int code, int nin, tg_value *const *in, int nattrs,
                         const tg_attr *attrs) {
  const tg_kernel *kernel = launch->kernel;
  const char *name;
  switch (code) {
  case TG_OP_PID:
  case TG_OP_CTAID:
    if (find(nattrs, attrs, "axis")->i < launch->naxes) return NULL;
    return tg_arena_printf(arena, "axis %lld is not one of the grid's %d", (long long)find(nattrs, attrs, "axis")->i + 1, launch->naxes);
  case TG_OP_EXPR:
    name = tg_unknown_symbol(kernel, find(nattrs, attrs, "e")->e);
    return name ? tg_arena_printf(arena, "%s is not declared as a dim or static", name) : NULL;
  case TG_OP_PARAM:
  case TG_OP_SCALAR: return misplaced_param(arena, kernel, code, nattrs, attrs);
  case TG_OP_STORE:
  case TG_OP_SCATTER:
  case TG_OP_ATOMIC: {
    const tg_param *p = nin ? base_param(kernel, in[0]) : NULL;
    return p && p->kind == TG_INPUT ? tg_arena_printf(arena, "%s is an input and cannot be written; declare it as output or inout", p->name)
                                    : NULL;
  }
  default: return NULL;
  }
}

static const char *unlike(tg_arena *arena, const char *what, int i, tg_type from, tg_type to) {
  const char *a = tg_type_text(arena, from), *b = tg_type_text(arena, to);
  tg_type same = to;
  same.dtype = from.dtype;
  if (from.kind == TG_TILE && tg_type_equal(from, same))
    return tg_arena_printf(arena, "%s %d changes from %s to %s; cast it with :to(%s)", what, i + 1, a, b, tg_dtype_name(from.dtype));
  return tg_arena_printf(arena, "%s %d changes from %s to %s; its type must stay the same", what, i + 1, a, b);
}

// Branches yield alike; the first one decides.
static const char *bad_branch(tg_arena *arena, const tg_op *op, int index, int n, tg_value *const *values) {
  if (index == 0) {
    for (int i = 0; i < n; i++) {
      if (values[i]->type.kind != TG_TILE && values[i]->type.kind != TG_PTR)
        return tg_arena_printf(arena, "result %d is %s; only tiles can leave a branch", i + 1, tg_type_text(arena, values[i]->type));
    }
    return n > TG_MAX_RESULTS ? tg_arena_printf(arena, "%d results are too many; %d are the most", n, TG_MAX_RESULTS) : NULL;
  }
  const tg_op *first = op->regions[0] ? op->regions[0]->last : NULL;
  if (!first || first->code != TG_OP_YIELD) return "the first branch does not end in a yield";
  if (first->nin != n) return tg_arena_printf(arena, "the branches give %d and %d results", first->nin, n);
  for (int i = 0; i < n; i++) {
    if (!tg_type_equal(first->in[i]->type, values[i]->type)) {
      return tg_arena_printf(arena, "result %d is %s in one branch and %s in the other; make them alike", i + 1,
                             tg_type_text(arena, first->in[i]->type), tg_type_text(arena, values[i]->type));
    }
  }
  return NULL;
}

const char *tg_bad_yield(tg_arena *arena, const tg_op *op, int index, int n, tg_value *const *values) {
  if (op->code == TG_OP_IF) return bad_branch(arena, op, index, n, values);
  if (op->code == TG_OP_WHILE && index == 0) {
    if (n == 1 && tg_type_equal(values[0]->type, tg_scalar_type(TG_I1))) return NULL;
    return tg_arena_printf(arena, "the loop's condition must be one scalar i1%s%s", n ? ", not " : "",
                           n ? tg_type_text(arena, values[0]->type) : "");
  }
  int first = op->code == TG_OP_FOR ? 2 : 0, want = op->nin - first;
  if (n != want) return tg_arena_printf(arena, "the loop carries %d value%s but its body returns %d", want, want == 1 ? "" : "s", n);
  for (int i = 0; i < n; i++) {
    if (!tg_type_equal(op->in[first + i]->type, values[i]->type))
      return unlike(arena, "carried value", i, op->in[first + i]->type, values[i]->type);
  }
  return NULL;
}

// ---- scopes

static tg_region *innermost(const tg_kernel *kernel) { return kernel->nopen ? kernel->open[kernel->nopen - 1] : NULL; }

static void check_open(tg_kernel *kernel, tg_loc loc) {
  if (!kernel->open_launch) tg_complain(kernel, loc, "this stands outside of k.blocks; ops belong into the body of a launch");
  const tg_op *last = innermost(kernel)->last;
  for (int i = 0; last && i < last->nregions; i++) {
    if (!last->regions[i])
      tg_complain(kernel, loc, "the body of the %s at line %d was not given", tg_opcode_info(last->code)->name, last->loc.line);
  }
}

static const char *place_text(tg_kernel *kernel, tg_loc loc) {
  if (!loc.file) return "";
  return tg_arena_printf(&kernel->arena, " at %s:%d", loc.file, loc.line);
}

// Complains unless the value may be used where the kernel is open now.
static void check_scope(tg_kernel *kernel, const tg_value *v, const char *what, int i, tg_loc loc) {
  if (!v) tg_complain(kernel, loc, "%s: operand %d is missing", what, i + 1);
  if (v->region->launch->kernel != kernel)
    tg_complain(kernel, loc, "%s: operand %d belongs to another kernel, '%s'", what, i + 1, v->region->launch->kernel->name);
  bool open = false;
  for (int r = 0; r < kernel->nopen; r++) {
    if (v->def && kernel->open[r]->owner == v->def)
      tg_complain(kernel, loc, "%s: operand %d is the result of the loop opened at line %d, used inside of it; use the carried value", what,
                  i + 1, v->def->loc.line);
    open |= kernel->open[r] == v->region;
  }
  if (open) return;
  const char *where = place_text(kernel, tg_value_loc(v));
  const tg_op *owner = v->region->owner;
  if (v->region->launch != kernel->open_launch) {
    tg_complain(
        kernel, loc,
        "%s: the value defined%s belongs to another launch, opened at line %d; compute it again here, or pass it through a workspace", what,
        where, v->region->launch->loc.line);
  }
  if (owner && owner->code == TG_OP_IF)
    tg_complain(kernel, loc, "%s: the value defined%s belongs to the branch opened at line %d; return it from the branch", what, where,
                owner->loc.line);
  tg_complain(kernel, loc, "%s: the value defined%s belongs to the loop opened at line %d; return it from the fold", what, where,
              owner ? owner->loc.line : 0);
}

static void push_region(tg_kernel *kernel, tg_region *region) {
  kernel->open = tg_arena_grow(&kernel->arena, kernel->open, (size_t)kernel->nopen, sizeof region);
  kernel->open[kernel->nopen++] = region;
}

// ---- launches, ops, regions

tg_launch *tg_open_launch(tg_kernel *kernel, int naxes, const tg_expr *const *grid, tg_loc loc) {
  if (kernel->open_launch)
    tg_complain(kernel, loc, "the launch opened at line %d is still open; launches do not nest", kernel->open_launch->loc.line);
  if (naxes < 1 || naxes > 4) tg_complain(kernel, loc, "a grid has 1 to 4 axes, not %d", naxes);
  for (int i = 0; i < naxes; i++) {
    const char *unknown = tg_unknown_symbol(kernel, grid[i]);
    if (unknown) tg_complain(kernel, loc, "axis %d of the grid uses %s, which is not declared as a dim or static", i + 1, unknown);
  }
  tg_launch *l = tg_add_launch(kernel, naxes, grid);
  l->loc = tg_keep_loc(kernel, loc);
  kernel->nopen = 0;
  push_region(kernel, l->body);
  kernel->open_launch = l;
  return l;
}

void tg_close_launch(tg_kernel *kernel, tg_loc loc) {
  check_open(kernel, loc);
  const tg_region *r = innermost(kernel);
  if (r->owner)
    tg_complain(kernel, loc, "the %s opened at line %d is still open", tg_opcode_info(r->owner->code)->name, r->owner->loc.line);
  kernel->nopen = 0;
  kernel->open_launch = NULL;
}

tg_op *tg_emit_op(tg_kernel *kernel, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs, tg_loc loc) {
  tg_arena *arena = &kernel->arena;
  tg_type types[TG_MAX_RESULTS];
  tg_attr *matched;
  const char *complaint = NULL;
  int nout;
  check_open(kernel, loc);
  if (code < 0 || code >= tg_opcode_count() || code == TG_OP_YIELD) tg_complain(kernel, loc, "opcode %d cannot be emitted", code);
  const char *name = tg_opcode_info(code)->name;
  for (int i = 0; i < n; i++) check_scope(kernel, in[i], name, i, loc);
  if (!tg_match_attrs(arena, code, nattrs, attrs, &nattrs, &matched, &complaint) ||
      !tg_infer(arena, code, n, in, nattrs, matched, &nout, types, &complaint) ||
      (complaint = tg_misplaced(arena, kernel->open_launch, code, n, in, nattrs, matched)))
    tg_complain(kernel, loc, "%s: %s", name, complaint);
  tg_builder b = {.kernel = kernel, .region = innermost(kernel), .loc = loc};
  return tg_insert_op(&b, code, n, in, nattrs, matched, nout, types);
}

tg_region *tg_open_region(tg_kernel *kernel, tg_op *op, int index) {
  const char *name = tg_opcode_info(op->code)->name;
  bool next = index >= 0 && index < op->nregions && !op->regions[index] && (index == 0 || op->regions[index - 1]);
  if (!next || op->parent != innermost(kernel) || op->parent->last != op)
    tg_complain(kernel, op->loc, "%s: region %d cannot be opened now; regions are filled in order, right after the op", name, index + 1);
  if (kernel->nopen >= TG_MAX_NESTING) tg_complain(kernel, op->loc, "%s: loops and branches nest deeper than %d", name, TG_MAX_NESTING);
  tg_type types[TG_MAX_RESULTS + 1];
  tg_builder b = {.kernel = kernel, .region = op->parent, .loc = op->loc};
  int n = tg_region_types(op, index, types);
  push_region(kernel, tg_add_region(&b, op, index, n, types));
  return innermost(kernel);
}

void tg_close_region(tg_kernel *kernel, int n, tg_value *const *yield, tg_loc loc) {
  check_open(kernel, loc);
  tg_region *r = innermost(kernel);
  tg_op *op = r->owner;
  if (!op) tg_complain(kernel, loc, "no loop or branch is open");
  const char *name = tg_opcode_info(op->code)->name;
  int index = op->nregions > 1 && op->regions[1] == r;
  for (int i = 0; i < n; i++) check_scope(kernel, yield[i], name, i, loc);
  const char *complaint = tg_bad_yield(&kernel->arena, op, index, n, yield);
  if (complaint) tg_complain(kernel, loc, "%s: %s", name, complaint);
  tg_builder b = {.kernel = kernel, .region = r, .loc = loc};
  tg_insert_op(&b, TG_OP_YIELD, n, yield, 0, NULL, 0, NULL);
  if (op->code == TG_OP_IF && index == 1) {
    tg_type types[TG_MAX_RESULTS];
    for (int i = 0; i < n; i++) types[i] = yield[i]->type;
    tg_add_results(kernel, op, n, types);
  }
  kernel->nopen--;
}
