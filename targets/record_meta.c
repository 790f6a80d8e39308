// The document of `compile --emit meta`: the launch record for readers outside, evaluated when a shape is given.
#include "targets/json.h"
#include "targets/record.h"

struct meta {
  tg_context *ctx;
  const tg_record *record;
  const tg_dims *dims; // NULL: expressions stay text
  tg_text text;
};

// Statics and fixed dims are part of the compile: readers see their values.
static const tg_expr *resolve(struct meta *m, const tg_expr *e) {
  if (e->op == TG_EXPR_CONST) return e;
  if (e->op != TG_EXPR_SYM) return tg_e_bin(m->text.arena, e->op, resolve(m, e->a), resolve(m, e->b));
  for (int i = 0; i < m->record->statics.n; i++) {
    const tg_binding *fixed = &m->record->statics.at[i];
    if (strcmp(fixed->name, e->name) == 0) return tg_e_const(m->text.arena, tg_binding_int(m->ctx, fixed, "--fix"));
  }
  return e;
}

static void put_expr(struct meta *m, const tg_expr *e, const char *what) {
  if (m->dims) {
    tg_text_add(&m->text, "%lld", (long long)tg_record_eval(m->ctx, e, m->dims, what));
  } else {
    int64_t value;
    e = resolve(m, e);
    if (tg_expr_is_const(e, &value)) {
      tg_text_add(&m->text, "%lld", (long long)value);
    } else {
      tg_json_string(&m->text, tg_e_text(m->text.arena, e));
    }
  }
}

static void put_triple(tg_text *text, const char *key, const int value[3]) {
  tg_json_key(text, key);
  tg_text_add(text, "[%d,%d,%d]", value[0], value[1], value[2]);
}

static const tg_expr *bytes_expr(tg_arena *arena, const tg_record_param *param) {
  const tg_expr *elements = tg_e_const(arena, 1);
  for (int i = 0; i < param->rank; i++) elements = tg_e_bin(arena, TG_EXPR_MUL, elements, param->dims[i]);
  const tg_expr *bits = tg_e_bin(arena, TG_EXPR_MUL, elements, tg_e_const(arena, tg_dtype_bits(param->dtype)));
  if (tg_dtype_bits(param->dtype) % 8 == 0)
    return tg_e_bin(arena, TG_EXPR_MUL, elements, tg_e_const(arena, tg_dtype_bits(param->dtype) / 8));
  return tg_e_bin(arena, TG_EXPR_CEILDIV, bits, tg_e_const(arena, 8));
}

static void put_workspaces(struct meta *m) {
  tg_json_key(&m->text, "workspaces");
  tg_text_add(&m->text, "[");
  for (int i = 0; i < m->record->nparams; i++) {
    const tg_record_param *param = &m->record->params[i];
    if (param->kind != TG_WORKSPACE) continue;
    tg_json_comma(&m->text);
    tg_text_add(&m->text, "{");
    tg_json_put_string(&m->text, "name", param->name);
    tg_json_key(&m->text, "bytes");
    put_expr(m, bytes_expr(m->text.arena, param), param->name);
    tg_json_put_string(&m->text, "init", param->flags & TG_PARAM_ZERO ? "zero" : "none");
    tg_text_add(&m->text, "}");
  }
  tg_text_add(&m->text, "]");
}

static void put_exprs(struct meta *m, const char *key, int n, const tg_expr *const *e, const char *what) {
  tg_json_key(&m->text, key);
  tg_text_add(&m->text, "[");
  for (int i = 0; i < n; i++) {
    tg_json_comma(&m->text);
    put_expr(m, e[i], what);
  }
  tg_text_add(&m->text, "]");
}

static void put_ints(struct meta *m, const char *key, int n, const int *values) {
  tg_json_key(&m->text, key);
  tg_text_add(&m->text, "[");
  for (int i = 0; i < n; i++) tg_text_add(&m->text, "%s%d", i ? "," : "", values[i]);
  tg_text_add(&m->text, "]");
}

static void put_map(struct meta *m, const tg_record_arg *arg) {
  const tg_arg_map *map = arg->map;
  tg_json_key(&m->text, "tensormap");
  tg_text_add(&m->text, "{");
  tg_json_put_string(&m->text, "of", map->of);
  tg_json_put_string(&m->text, "dtype", tg_dtype_name(arg->dtype));
  tg_json_key(&m->text, "byte_offset");
  put_expr(m, map->byte_offset, arg->name);
  put_exprs(m, "dims", map->rank, map->dims, arg->name);
  put_exprs(m, "strides_bytes", map->rank - 1, map->strides_bytes, arg->name);
  put_ints(m, "box", map->rank, map->box);
  put_ints(m, "element_strides", map->rank, map->element_strides);
  tg_json_put_int(&m->text, "swizzle", map->swizzle);
  tg_json_put_string(&m->text, "fill", tg_map_fills[map->fill]);
  tg_text_add(&m->text, "}");
}

static void put_arg(struct meta *m, const tg_record_arg *arg) {
  static const char *const kinds[] = {[TG_ARG_POINTER] = "pointer", [TG_ARG_SCALAR] = "scalar", [TG_ARG_MAP] = "tensormap"};
  const tg_record_param *param = tg_record_param_find(m->record, arg->name);
  tg_json_comma(&m->text);
  tg_text_add(&m->text, "{");
  tg_json_put_string(&m->text, "name", arg->name);
  tg_json_put_string(&m->text, "kind", kinds[arg->kind]);
  tg_json_put_string(&m->text, "dtype", tg_dtype_name(arg->kind == TG_ARG_POINTER && param ? param->dtype : arg->dtype));
  if (arg->value) {
    tg_json_key(&m->text, "value");
    put_expr(m, arg->value, arg->name);
  }
  if (arg->map) put_map(m, arg);
  tg_text_add(&m->text, "}");
}

static void put_grid(struct meta *m, const tg_record_launch *launch) {
  int64_t checked[4];
  if (m->dims) tg_record_grid(m->ctx, launch, m->dims, checked);
  tg_json_key(&m->text, "grid");
  tg_text_add(&m->text, "[");
  for (int i = 0; i < 3; i++) {
    const tg_expr *axis = i < launch->naxes ? launch->grid[i] : tg_e_const(m->text.arena, 1);
    if (i == 2 && launch->naxes == 4) axis = tg_e_bin(m->text.arena, TG_EXPR_MUL, axis, launch->grid[3]); // three axes are all a reader has
    tg_json_comma(&m->text);
    put_expr(m, axis, "a grid axis");
  }
  tg_text_add(&m->text, "]");
}

static void put_launch(struct meta *m, const tg_record_launch *launch) {
  tg_json_comma(&m->text);
  tg_text_add(&m->text, "{");
  tg_json_put_string(&m->text, "entry", launch->entry);
  put_grid(m, launch);
  put_triple(&m->text, "block", launch->block);
  put_triple(&m->text, "cluster", launch->cluster);
  tg_json_put_int(&m->text, "shared_bytes", launch->shared_bytes);
  tg_json_put_int(&m->text, "static_shared_bytes", launch->static_shared_bytes);
  if (launch->registers >= 0) tg_json_put_int(&m->text, "registers", launch->registers);
  if (launch->spilled_bytes >= 0) tg_json_put_int(&m->text, "spilled_bytes", launch->spilled_bytes);
  tg_json_key(&m->text, "args");
  tg_text_add(&m->text, "[");
  for (int i = 0; i < launch->nargs; i++) put_arg(m, &launch->args[i]);
  tg_text_add(&m->text, "]}");
}

char *tg_record_meta(tg_arena *arena, const tg_record *record, const tg_bindings *shape, size_t *size) {
  tg_dims dims;
  struct meta m = {.ctx = arena->ctx, .record = record, .text = {.arena = arena}};
  if (shape) {
    tg_dims_solve(m.ctx, record, 0, NULL, shape, &dims);
    m.dims = &dims;
  }
  tg_text_add(&m.text, "{");
  tg_json_put_string(&m.text, "kernel", record->kernel);
  tg_json_put_string(&m.text, "target", record->target);
  tg_json_put_bindings(&m.text, "config", record->config);
  tg_json_put_strings(&m.text, "preconditions", record->npreconditions, record->preconditions);
  put_workspaces(&m);
  tg_json_key(&m.text, "launches");
  tg_text_add(&m.text, "[");
  for (int i = 0; i < record->nlaunches; i++) put_launch(&m, &record->launches[i]);
  tg_text_add(&m.text, "]");
  if (*record->tool) tg_json_put_string(&m.text, "tool", record->tool);
  if (record->nwarnings) tg_json_put_strings(&m.text, "warnings", record->nwarnings, record->warnings);
  if (record->registers >= 0) {
    tg_json_put_int(&m.text, "registers", record->registers);
  }
  if (record->spilled_bytes >= 0) {
    tg_json_put_int(&m.text, "spilled_bytes", record->spilled_bytes);
  }
  tg_text_add(&m.text, "}\n");
  *size = m.text.size;
  return m.text.data;
}
