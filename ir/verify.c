// Checks a kernel and collects every complaint: what is defined where it is used, types, attributes, regions and their yields, levels,
// launches.
#include "ir/kernel.h"

enum { MAX_COMPLAINTS = 20 };

typedef struct verifier {
  tg_kernel *kernel;
  tg_arena arena;
  tg_text text;
  int complaints;
  bool *visible; // by id of a value
  tg_launch *launch;
  int depth;
} verifier;

static void complain(verifier *v, tg_loc loc, const char *op, const char *text) {
  if (v->complaints++ >= MAX_COMPLAINTS) return;
  tg_text_add(&v->text, "%s%sin kernel '%s': %s%s%s", v->text.size ? "\n" : "", tg_loc_text(&v->arena, loc), v->kernel->name, op ? op : "",
              op ? ": " : "", text);
}

static void complain_op(verifier *v, const tg_op *op, const char *text) { complain(v, op->loc, tg_opcode_info(op->code)->name, text); }

// ---- values

// At lane level values are scalars, short vectors and pointers; at tile level there are no pointers.
static bool type_at_level(tg_level level, tg_type t) {
  return level == TG_LEVEL_TILE ? t.kind == TG_TILE || t.kind == TG_VIEW || t.kind == TG_RANGE
                                : t.kind == TG_PTR || (t.kind == TG_TILE && t.rank <= 1);
}

static bool define(verifier *v, const tg_value *value, const tg_op *def, const tg_region *region, int index) {
  if (!value || value->def != def || value->region != region || value->index != (uint32_t)index || value->id >= v->kernel->next_id)
    return false;
  v->visible[value->id] = true;
  return true;
}

static void hide(verifier *v, const tg_value *value) {
  if (value && value->id < v->kernel->next_id) v->visible[value->id] = false;
}

static void check_operands(verifier *v, const tg_op *op) {
  for (int i = 0; i < op->nin; i++) {
    const tg_value *x = op->in[i];
    if (!x || x->id >= v->kernel->next_id) {
      complain_op(v, op, tg_arena_printf(&v->arena, "operand %d is no value of this kernel", i + 1));
    } else if (!v->visible[x->id]) {
      const tg_op *owner = x->region->owner;
      tg_loc at = tg_value_loc(x);
      const char *where = at.file ? tg_arena_printf(&v->arena, " at %s:%d", at.file, at.line) : "";
      const char *why = x->region->launch != v->launch      ? "in another launch"
                        : !owner || x->region == op->parent ? "after this use"
                        : owner->loc.file ? tg_arena_printf(&v->arena, "inside the %s opened at line %d", tg_opcode_info(owner->code)->name,
                                                            owner->loc.line)
                                          : tg_arena_printf(&v->arena, "inside the %s before it", tg_opcode_info(owner->code)->name);
      complain_op(v, op, tg_arena_printf(&v->arena, "operand %d, %%%u, is defined%s %s", i + 1, x->id, where, why));
    }
  }
}

// ---- ops

static void check_types(verifier *v, const tg_op *op) {
  tg_type types[TG_MAX_RESULTS];
  tg_attr *attrs;
  int n, nattrs;
  const char *complaint = NULL;
  bool ok = tg_match_attrs(&v->arena, op->code, op->nattrs, op->attrs, &nattrs, &attrs, &complaint) &&
            tg_infer(&v->arena, op->code, op->nin, op->in, nattrs, attrs, &n, types, &complaint);
  if (!ok) {
    complain_op(v, op, complaint);
    return;
  }
  for (int i = 0; i < nattrs; i++) {
    if (strcmp(attrs[i].key, op->attrs[i].key)) complain_op(v, op, "attributes are not in the order of the op's row");
  }
  if ((complaint = tg_misplaced(&v->arena, v->launch, op->code, op->nin, op->in, nattrs, attrs))) complain_op(v, op, complaint);
  if (n >= 0 && n != op->nout) complain_op(v, op, tg_arena_printf(&v->arena, "it has %d results but should have %d", op->nout, n));
  for (int i = 0; i < op->nout; i++) {
    tg_type t = op->out[i]->type;
    if (!type_at_level(v->kernel->level, t))
      complain_op(v, op,
                  tg_arena_printf(&v->arena, "result %d is %s, which does not exist at %s level", i + 1, tg_type_text(&v->arena, t),
                                  v->kernel->level == TG_LEVEL_TILE ? "tile" : "lane"));
    if (i < n && !tg_type_equal(t, types[i]))
      complain_op(v, op,
                  tg_arena_printf(&v->arena, "result %d is %s but should be %s", i + 1, tg_type_text(&v->arena, t),
                                  tg_type_text(&v->arena, types[i])));
  }
}

static void check_region(verifier *v, tg_region *region);

static void check_yield(verifier *v, const tg_op *op, int index) {
  const tg_op *last = op->regions[index]->last;
  if (!last || last->code != TG_OP_YIELD) {
    complain_op(v, op, tg_arena_printf(&v->arena, "region %d does not end in a yield", index + 1));
    return;
  }
  for (int i = 0; i < last->nin; i++) {
    if (!last->in[i]) return; // complained about already
  }
  const char *complaint = tg_bad_yield(&v->arena, op, index, last->nin, last->in);
  if (complaint) complain(v, last->loc.file ? last->loc : op->loc, tg_opcode_info(op->code)->name, complaint);
  if (op->code != TG_OP_IF || index) return;
  bool equal = last->nin == op->nout;
  for (int i = 0; equal && i < op->nout; i++) equal = tg_type_equal(op->out[i]->type, last->in[i]->type);
  if (!equal) complain_op(v, op, "its results are not of the types that its first branch yields");
}

static void check_regions(verifier *v, tg_op *op) {
  if (op->code == TG_OP_FOR && v->kernel->level == TG_LEVEL_TILE && op->nin && op->in[0]->type.dtype != TG_I64)
    complain_op(v, op, "its bounds are i32; at tile level they are i64");
  tg_type types[TG_MAX_RESULTS + 1];
  int n = op->nin <= TG_MAX_RESULTS ? tg_region_types(op, 0, types) : -1;
  for (int r = 0; r < op->nregions; r++) {
    tg_region *region = op->regions[r];
    if (!region || region->owner != op || region->launch != v->launch) {
      complain_op(v, op, tg_arena_printf(&v->arena, "region %d was not filled", r + 1));
      return;
    }
    bool equal = n == region->nargs;
    for (int i = 0; equal && i < n; i++) equal = tg_type_equal(region->args[i]->type, types[i]);
    if (!equal) complain_op(v, op, tg_arena_printf(&v->arena, "the arguments of region %d are not what its operands ask for", r + 1));
  }
}

static void check_inner(verifier *v, tg_op *op) {
  if (v->depth >= TG_MAX_NESTING) {
    complain_op(v, op, tg_arena_printf(&v->arena, "regions nest deeper than %d", TG_MAX_NESTING));
    return;
  }
  v->depth++;
  for (int r = 0; r < op->nregions; r++) {
    if (!op->regions[r]) continue;
    check_region(v, op->regions[r]);
    check_yield(v, op, r);
  }
  v->depth--;
}

static void check_op(verifier *v, tg_op *op) {
  unsigned traits = tg_op_rows()[op->code].traits;
  bool tile = v->kernel->level == TG_LEVEL_TILE;
  int before = v->complaints;
  if (!(traits & (tile ? TG_AT_TILE : TG_AT_LANE)))
    complain_op(v, op, tile ? "the op does not exist at tile level" : "the op does not exist at lane level");
  if (op->code == TG_OP_YIELD && (op->next || !op->parent->owner))
    complain_op(v, op, "a yield stands only at the end of a loop's or branch's body");
  check_operands(v, op);
  for (int i = 0; i < op->nin; i++) {
    if (!op->in[i]) return;
  }
  if (op->nregions) check_regions(v, op);
  for (int i = 0; i < op->nout; i++) {
    if (op->out[i] && op->out[i]->def == op && op->out[i]->region == op->parent) continue;
    complain_op(v, op, tg_arena_printf(&v->arena, "result %d is not linked to it", i + 1));
    return;
  }
  if (v->complaints == before || op->nregions) check_types(v, op);
  if (op->nregions) check_inner(v, op);
  for (int i = 0; i < op->nout; i++) {
    if (!define(v, op->out[i], op, op->parent, i)) complain_op(v, op, tg_arena_printf(&v->arena, "result %d is not linked to it", i + 1));
  }
}

static void check_region(verifier *v, tg_region *region) {
  const tg_op *prev = NULL;
  for (int i = 0; i < region->nargs; i++) {
    if (!define(v, region->args[i], NULL, region, i))
      complain(v, region->owner ? region->owner->loc : region->launch->loc, NULL, "a region's argument is not linked to it");
  }
  for (tg_op *op = region->first; op; op = op->next) {
    if (op->parent != region || op->prev != prev) {
      complain_op(v, op, "it is not linked into its region");
      return;
    }
    check_op(v, op);
    prev = op;
  }
  for (int i = 0; i < region->nargs; i++) hide(v, region->args[i]);
  for (tg_op *op = region->first; op; op = op->next) {
    for (int i = 0; i < op->nout; i++) hide(v, op->out[i]);
  }
}

// ---- launches

static const char *map_complaint(verifier *v, const tg_arg *a, tg_type t) {
  const tg_arg_map *map = a->map;
  const tg_param *p = map ? tg_find_param(v->kernel, map->of) : NULL;
  if (!tg_type_equal(t, tg_ptr_type(TG_PARAMETER))) return "it must be a ptr<param>";
  if (!p || p->kind == TG_SCALAR_PARAM) return "a map is of a tensor parameter";
  if (map->rank < 1 || map->rank > TG_MAP_RANK) return "a map has 1 to 5 axes";
  const tg_expr *used[2 * TG_MAP_RANK] = {map->byte_offset};
  int n = 1;
  for (int i = 0; i < map->rank; i++) used[n++] = map->dims[i];
  for (int i = 0; i + 1 < map->rank; i++) used[n++] = map->strides_bytes[i];
  for (int i = 0; i < n; i++) {
    if (tg_unknown_symbol(v->kernel, used[i]))
      return tg_arena_printf(&v->arena, "it uses %s, which is not declared", tg_unknown_symbol(v->kernel, used[i]));
  }
  return NULL;
}

static void check_arg(verifier *v, const tg_launch *l, int i) {
  const tg_arg *a = &l->args[i];
  tg_type t = l->body->args[i]->type;
  const tg_param *p = a->name ? tg_find_param(v->kernel, a->name) : NULL;
  const char *text = NULL;
  if (!a->name) text = "it has no name";
  else if (a->kind == TG_ARG_POINTER && (!p || p->kind == TG_SCALAR_PARAM)) text = "there is no tensor parameter of that name";
  else if (a->kind == TG_ARG_POINTER && (!tg_type_equal(t, tg_ptr_type(TG_GLOBAL)) || a->dtype != p->dtype))
    text = "it must be a ptr<global> of the parameter's dtype";
  else if (a->kind == TG_ARG_SCALAR && !tg_type_equal(t, tg_scalar_type(a->dtype))) text = "it must be a scalar of its dtype";
  else if (a->kind == TG_ARG_SCALAR && !a->value && (!p || p->kind != TG_SCALAR_PARAM || p->dtype != a->dtype))
    text = "it has no value and is no scalar parameter of that dtype";
  else if (a->kind == TG_ARG_MAP) text = map_complaint(v, a, t);
  else if (a->value && tg_unknown_symbol(v->kernel, a->value))
    text = tg_arena_printf(&v->arena, "it uses %s, which is not declared", tg_unknown_symbol(v->kernel, a->value));
  if (text)
    complain(v, l->loc, NULL, tg_arena_printf(&v->arena, "argument %d (%s) of the launch: %s", i + 1, a->name ? a->name : "", text));
}

static void check_launch(verifier *v, tg_launch *l) {
  bool lane = v->kernel->level == TG_LEVEL_LANE;
  v->launch = l;
  if (l->naxes < 1 || l->naxes > 4) complain(v, l->loc, NULL, "a launch has a grid of 1 to 4 axes");
  for (int i = 0; i < l->naxes && i < 4; i++) {
    const char *unknown = l->grid[i] ? tg_unknown_symbol(v->kernel, l->grid[i]) : "nothing";
    if (unknown)
      complain(v, l->loc, NULL, tg_arena_printf(&v->arena, "axis %d of the grid uses %s, which is not declared", i + 1, unknown));
  }
  if (lane && (!l->entry || !tg_is_name(l->entry))) complain(v, l->loc, NULL, "the launch has no entry name");
  if (lane && l->nargs != l->body->nargs) complain(v, l->loc, NULL, "the launch's arguments and its body's differ in number");
  if (!lane && (l->nargs || l->body->nargs)) complain(v, l->loc, NULL, "a launch at tile level takes no arguments");
  for (int i = 0; lane && i < l->nargs && i < l->body->nargs; i++) check_arg(v, l, i);
  for (int i = 0; lane && i < l->index; i++) {
    const char *other = v->kernel->launches[i]->entry;
    if (l->entry && other && !strcmp(l->entry, other))
      complain(v, l->loc, NULL, tg_arena_printf(&v->arena, "two launches have the entry %s", other));
  }
  check_region(v, l->body);
}

static void check_kernel(void *arg) {
  verifier *v = arg;
  tg_kernel *k = v->kernel;
  v->visible = TG_NEWN(&v->arena, bool, k->next_id);
  if (k->open_launch) complain(v, k->open_launch->loc, NULL, "the launch opened here was not ended");
  for (int i = 0; i < k->nlaunches; i++) check_launch(v, k->launches[i]);
  if (v->complaints > MAX_COMPLAINTS) tg_text_add(&v->text, "\nand %d more", v->complaints - MAX_COMPLAINTS);
  if (v->complaints) tg_throw(k->ctx, TG_INVALID, "%s", v->text.data);
}

tg_status tg_verify(tg_kernel *kernel) {
  verifier v = {.kernel = kernel};
  tg_arena_init(&v.arena, kernel->ctx);
  v.text.arena = &v.arena;
  tg_status status = tg_protect(kernel->ctx, check_kernel, &v);
  tg_arena_free(&v.arena);
  return status;
}
