// Kernels and their headers: declarations, launches, copies.
#include "ir/kernel.h"

tg_kernel *tg_kernel_create(tg_context *ctx, const char *name, tg_level level) {
  tg_kernel *k = tg_realloc(ctx, NULL, sizeof *k);
  *k = (tg_kernel){.ctx = ctx, .level = level};
  tg_arena_init(&k->arena, ctx);
  k->name = name; // until it is copied, for messages
  return k;
}

void tg_kernel_free(tg_kernel *kernel) {
  if (!kernel) return;
  tg_context *ctx = kernel->ctx;
  tg_realloc(ctx, kernel->printed, 0);
  tg_arena_free(&kernel->arena);
  tg_realloc(ctx, kernel, 0);
}

const char *tg_kernel_name(const tg_kernel *kernel) { return kernel->name; }

void tg_complain(tg_kernel *kernel, tg_loc loc, const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tg_throw(kernel->ctx, TG_INVALID, "%sin kernel '%s': %s", tg_loc_text(&kernel->arena, loc), kernel->name, text);
}

// ---- symbols

const tg_symbol *tg_find_symbol(const tg_kernel *kernel, const char *name) {
  for (int i = 0; i < kernel->nsymbols; i++) {
    if (!strcmp(kernel->symbols[i].name, name)) return &kernel->symbols[i];
  }
  return NULL;
}

const char *tg_unknown_symbol(const tg_kernel *kernel, const tg_expr *e) {
  if (e->op == TG_EXPR_CONST) return NULL;
  if (e->op == TG_EXPR_SYM) return tg_find_symbol(kernel, e->name) ? NULL : e->name;
  const char *a = tg_unknown_symbol(kernel, e->a);
  return a ? a : tg_unknown_symbol(kernel, e->b);
}

static void check_name(tg_kernel *kernel, const char *what, const char *name, tg_loc loc) {
  if (!name || !tg_is_name(name))
    tg_complain(kernel, loc,
                "\"%.60s\" cannot name a %s; use letters, digits and _, not starting with a digit, and not min, max, ceildiv, floordiv",
                name ? name : "", what);
  if (tg_find_symbol(kernel, name)) tg_complain(kernel, loc, "%s %s: a dim or static of that name is declared already", what, name);
  if (tg_find_param(kernel, name)) tg_complain(kernel, loc, "%s %s: a parameter of that name is declared already", what, name);
}

void tg_declare_symbol(tg_kernel *kernel, const char *name, tg_symbol_kind kind, int64_t value, tg_loc loc) {
  tg_arena *arena = &kernel->arena;
  check_name(kernel, kind == TG_SYM_DIM ? "dim" : "static", name, loc);
  kernel->symbols = tg_arena_grow(arena, kernel->symbols, (size_t)kernel->nsymbols, sizeof *kernel->symbols);
  kernel->symbol_names = tg_arena_grow(arena, kernel->symbol_names, (size_t)kernel->nsymbols, sizeof *kernel->symbol_names);
  name = tg_arena_strdup(arena, name);
  kernel->symbols[kernel->nsymbols] = (tg_symbol){name, kind, value < 0 ? -1 : value};
  kernel->symbol_names[kernel->nsymbols++] = name;
}

// ---- settings

void tg_declare_setting(tg_kernel *kernel, const tg_setting *setting, tg_loc loc) {
  tg_arena *arena = &kernel->arena;
  if (!setting->name || !tg_is_name(setting->name))
    tg_complain(kernel, loc, "\"%.60s\" cannot name an option", setting->name ? setting->name : "");
  if (tg_setting_value(kernel, setting->name, NULL)) tg_complain(kernel, loc, "option %s is declared twice", setting->name);
  if (!setting->value || !setting->fallback) tg_complain(kernel, loc, "option %s has no value", setting->name);
  if (setting->nallowed < 0 || (setting->kind == TG_TUNE && setting->nallowed == 0))
    tg_complain(kernel, loc, "meta-parameter %s has no values", setting->name);
  tg_setting s = {tg_arena_strdup(arena, setting->name),     setting->kind,     tg_arena_strdup(arena, setting->value),
                  tg_arena_strdup(arena, setting->fallback), setting->nallowed, NULL};
  const char **allowed = TG_NEWN(arena, const char *, setting->nallowed);
  bool found = setting->nallowed == 0;
  tg_text all = {.arena = arena};
  for (int i = 0; i < setting->nallowed; i++) {
    allowed[i] = tg_arena_strdup(arena, setting->allowed[i]);
    found |= !strcmp(allowed[i], s.value);
    tg_text_add(&all, "%s%s", i ? ", " : "", allowed[i]);
  }
  if (!found) tg_complain(kernel, loc, "%s = %.60s is not among the values it can have: %.900s", s.name, s.value, all.data);
  s.allowed = allowed;
  kernel->settings = tg_arena_grow(arena, kernel->settings, (size_t)kernel->nsettings, sizeof s);
  kernel->settings[kernel->nsettings++] = s;
}

const char *tg_setting_value(const tg_kernel *kernel, const char *name, const char *fallback) {
  for (int i = 0; i < kernel->nsettings; i++) {
    if (!strcmp(kernel->settings[i].name, name)) return kernel->settings[i].value;
  }
  return fallback;
}

// ---- parameters

const tg_param *tg_find_param(const tg_kernel *kernel, const char *name) {
  for (int i = 0; i < kernel->nparams; i++) {
    if (!strcmp(kernel->params[i].name, name)) return &kernel->params[i];
  }
  return NULL;
}

static const tg_expr *copy_declared(tg_kernel *kernel, const char *what, const char *name, const tg_expr *e, tg_loc loc) {
  if (!e) tg_complain(kernel, loc, "%s of %s is missing", what, name);
  const char *unknown = tg_unknown_symbol(kernel, e);
  if (unknown) tg_complain(kernel, loc, "%s of %s uses %s, which is not declared as a dim or static", what, name, unknown);
  return tg_e_copy(&kernel->arena, e);
}

void tg_declare_param(tg_kernel *kernel, const tg_param *param, tg_loc loc) {
  static const char *const kinds[] = {"input", "output", "inout", "workspace", "scalar"};
  if ((unsigned)param->kind > TG_SCALAR_PARAM) tg_complain(kernel, loc, "parameter kind %d does not exist", (int)param->kind);
  check_name(kernel, kinds[param->kind], param->name, loc);
  tg_param p = {.name = tg_arena_strdup(&kernel->arena, param->name),
                .kind = param->kind,
                .dtype = param->dtype,
                .rank = param->rank,
                .flags = param->flags};
  p.loc = tg_keep_loc(kernel, loc);
  if (p.dtype < 0 || p.dtype >= TG_NDTYPES) tg_complain(kernel, loc, "%s has no dtype", p.name);
  bool scalar = p.kind == TG_SCALAR_PARAM;
  if (scalar ? p.rank != 0 : p.rank < 1 || p.rank > TG_MAX_RANK)
    tg_complain(kernel, loc, "%s %s has %d axes; %s", kinds[p.kind], p.name, p.rank, scalar ? "a scalar has none" : "a tensor has 1 to 4");
  if (scalar && (tg_dtypes[p.dtype].bits < 32 || tg_dtypes[p.dtype].cls == 'b'))
    tg_complain(kernel, loc, "scalar %s is %s; it can be i32, i64, f32 or f64", p.name, tg_dtype_name(p.dtype));
  if ((p.flags & TG_PARAM_OPTIONAL) && (scalar || p.kind == TG_WORKSPACE))
    tg_complain(kernel, loc, "%s %s cannot be optional", kinds[p.kind], p.name);
  if ((p.flags & TG_PARAM_ZERO) && p.kind != TG_WORKSPACE)
    tg_complain(kernel, loc, "%s %s cannot be zeroed; only a workspace can", kinds[p.kind], p.name);
  if ((p.flags & TG_PARAM_PACKED) && p.kind != TG_INPUT)
    tg_complain(kernel, loc, "%s %s cannot be packed; only an input can", kinds[p.kind], p.name);
  for (int i = 0; i < p.rank; i++) p.dims[i] = copy_declared(kernel, "a dim", p.name, param->dims[i], loc);
  for (int i = 0; i < (param->packed[2] ? 3 : 2) && (p.flags & TG_PARAM_PACKED); i++)
    p.packed[i] = copy_declared(kernel, "a packed dim", p.name, param->packed[i], loc);
  if ((p.flags & (TG_PARAM_NONE | TG_PARAM_DROPS)) && !(p.flags & TG_PARAM_INDEX))
    tg_complain(kernel, loc, "%s cannot say what stands for none: it holds no indices", p.name);
  if (p.flags & (TG_PARAM_INDEX | TG_PARAM_OFFSETS)) {
    if (p.kind != TG_INPUT || tg_dtypes[p.dtype].cls != 'i')
      tg_complain(kernel, loc, "%s %s cannot hold indices; an integer input can", kinds[p.kind], p.name);
    if ((p.flags & TG_PARAM_OFFSETS) && (p.rank != 1 || p.flags & TG_PARAM_INDEX))
      tg_complain(kernel, loc, "%s cannot be offsets: they have one axis, and are no indices at the same time", p.name);
    p.below = copy_declared(kernel, "the bound", p.name, param->below, loc);
  }
  kernel->params = tg_arena_grow(&kernel->arena, kernel->params, (size_t)kernel->nparams, sizeof p);
  kernel->params[kernel->nparams++] = p;
}

int tg_kernel_params(const tg_kernel *kernel, const tg_param **out) {
  if (out) *out = kernel->params;
  return kernel->nparams;
}
int tg_kernel_settings(const tg_kernel *kernel, const tg_setting **out) {
  if (out) *out = kernel->settings;
  return kernel->nsettings;
}
int tg_kernel_symbols(const tg_kernel *kernel, const char *const **names) {
  if (names) *names = kernel->symbol_names;
  return kernel->nsymbols;
}

// ---- launches

tg_launch *tg_add_launch(tg_kernel *kernel, int naxes, const tg_expr *const *grid) {
  tg_arena *arena = &kernel->arena;
  tg_launch *l = TG_NEW(arena, tg_launch);
  *l = (tg_launch){.kernel = kernel, .index = kernel->nlaunches, .naxes = naxes, .block = {1, 1, 1}, .cluster = 1};
  for (int i = 0; i < naxes; i++) l->grid[i] = tg_e_copy(arena, grid[i]);
  l->body = TG_NEW(arena, tg_region);
  l->body->launch = l;
  kernel->launches = tg_arena_grow(arena, kernel->launches, (size_t)kernel->nlaunches, sizeof l);
  kernel->launches[kernel->nlaunches++] = l;
  return l;
}

const char *const tg_map_fills[] = {"zero", "nan"};

bool tg_arg_map_equal(const tg_arg_map *a, const tg_arg_map *b) {
  if (strcmp(a->of, b->of) || a->rank != b->rank || a->swizzle != b->swizzle || a->fill != b->fill) return false;
  if (!tg_e_equal(a->byte_offset, b->byte_offset)) return false;
  for (int i = 0; i < a->rank; i++) {
    if (!tg_e_equal(a->dims[i], b->dims[i]) || (i + 1 < a->rank && !tg_e_equal(a->strides_bytes[i], b->strides_bytes[i]))) return false;
    if (a->box[i] != b->box[i] || a->element_strides[i] != b->element_strides[i]) return false;
  }
  return true;
}

tg_arg_map *tg_arg_map_copy(tg_arena *arena, const tg_arg_map *map) {
  tg_arg_map *copy = TG_NEW(arena, tg_arg_map);
  *copy = *map;
  copy->of = tg_arena_strdup(arena, map->of);
  copy->byte_offset = tg_e_copy(arena, map->byte_offset);
  for (int i = 0; i < map->rank; i++) copy->dims[i] = tg_e_copy(arena, map->dims[i]);
  for (int i = 0; i + 1 < map->rank; i++) copy->strides_bytes[i] = tg_e_copy(arena, map->strides_bytes[i]);
  return copy;
}

tg_type tg_arg_type(const tg_arg *arg) {
  return arg->kind == TG_ARG_SCALAR ? tg_scalar_type(arg->dtype) : tg_ptr_type(arg->kind == TG_ARG_MAP ? TG_PARAMETER : TG_GLOBAL);
}

tg_value *tg_add_arg(tg_launch *launch, const tg_arg *arg) {
  tg_kernel *kernel = launch->kernel;
  tg_arena *arena = &kernel->arena;
  tg_arg a = {tg_arena_strdup(arena, arg->name), arg->kind, arg->dtype, arg->value ? tg_e_copy(arena, arg->value) : NULL,
              arg->map ? tg_arg_map_copy(arena, arg->map) : NULL};
  size_t n = (size_t)launch->nargs;
  launch->args = tg_arena_grow(arena, launch->args, n, sizeof a);
  launch->body->args = tg_arena_grow(arena, launch->body->args, n, sizeof(tg_value *));
  tg_value *v = TG_NEW(arena, tg_value);
  *v = (tg_value){.type = tg_arg_type(&a), .region = launch->body, .index = (uint32_t)n};
  v->id = kernel->next_id++;
  launch->args[n] = a;
  launch->body->args[n] = v;
  launch->nargs = launch->body->nargs = (int)n + 1;
  return v;
}

// ---- copies

static void copy_header(tg_kernel *to, const tg_kernel *from) {
  to->name = tg_arena_strdup(&to->arena, from->name);
  to->loc = tg_keep_loc(to, from->loc);
  for (int i = 0; i < from->nsymbols; i++)
    tg_declare_symbol(to, from->symbols[i].name, from->symbols[i].kind, from->symbols[i].value, from->loc);
  for (int i = 0; i < from->nsettings; i++) tg_declare_setting(to, &from->settings[i], from->loc);
  for (int i = 0; i < from->nparams; i++) tg_declare_param(to, &from->params[i], from->params[i].loc);
}

typedef struct copier {
  const tg_kernel *from;
  tg_kernel *to;
  tg_value **map; // by id of the original
} copier;

static void copy_ops(copier *c, const tg_region *from, tg_region *to) {
  for (const tg_op *op = from->first; op; op = op->next) {
    tg_builder b = {.kernel = c->to, .region = to, .loc = op->loc};
    tg_arena *arena = &c->to->arena;
    tg_value **in = TG_NEWN(arena, tg_value *, op->nin);
    tg_type *types = TG_NEWN(arena, tg_type, op->nout);
    const char *complaint = NULL;
    tg_attr *attrs;
    int nattrs;
    for (int i = 0; i < op->nin; i++) in[i] = c->map[op->in[i]->id];
    for (int i = 0; i < op->nout; i++) types[i] = op->out[i]->type;
    if (!tg_match_attrs(arena, op->code, op->nattrs, op->attrs, &nattrs, &attrs, &complaint))
      tg_complain(c->to, op->loc, "copying: %s", complaint);
    tg_op *copy = tg_insert_op(&b, op->code, op->nin, in, nattrs, attrs, op->nout, types);
    for (int i = 0; i < op->nout; i++) c->map[op->out[i]->id] = copy->out[i];
    for (int r = 0; r < op->nregions; r++) {
      const tg_region *region = op->regions[r];
      if (!region) continue;
      tg_type *args = TG_NEWN(arena, tg_type, region->nargs);
      for (int i = 0; i < region->nargs; i++) args[i] = region->args[i]->type;
      tg_region *inner = tg_add_region(&b, copy, r, region->nargs, args);
      for (int i = 0; i < region->nargs; i++) c->map[region->args[i]->id] = inner->args[i];
      copy_ops(c, region, inner);
    }
  }
}

static void copy_body(void *arg) {
  copier *c = arg;
  tg_arena *arena = &c->to->arena;
  copy_header(c->to, c->from);
  if (!c->map) return; // header only
  c->map = TG_NEWN(arena, tg_value *, c->from->next_id);
  c->to->preconditions = TG_NEWN(arena, const char *, c->from->npreconditions);
  for (int i = 0; i < c->from->npreconditions; i++)
    c->to->preconditions[c->to->npreconditions++] = tg_arena_strdup(arena, c->from->preconditions[i]);
  for (int i = 0; i < c->from->nlaunches; i++) {
    const tg_launch *l = c->from->launches[i];
    tg_launch *copy = tg_add_launch(c->to, l->naxes, l->grid);
    copy->loc = tg_keep_loc(c->to, l->loc);
    copy->entry = l->entry ? tg_arena_strdup(arena, l->entry) : NULL;
    memcpy(copy->block, l->block, sizeof l->block);
    copy->cluster = l->cluster;
    for (int j = 0; j < l->nargs; j++) c->map[l->body->args[j]->id] = tg_add_arg(copy, &l->args[j]);
    copy_ops(c, l->body, copy->body);
  }
}

static tg_kernel *copy_kernel(copier *c, tg_level level) {
  c->to = tg_kernel_create(c->from->ctx, c->from->name, level);
  if (tg_protect(c->from->ctx, copy_body, c)) {
    tg_kernel_free(c->to);
    tg_rethrow(c->from->ctx);
  }
  return c->to;
}

tg_kernel *tg_kernel_like(const tg_kernel *kernel, tg_level level) { return copy_kernel(&(copier){.from = kernel}, level); }

tg_kernel *tg_kernel_clone(const tg_kernel *kernel) {
  tg_value *none[1] = {NULL};
  return copy_kernel(&(copier){.from = kernel, .map = none}, kernel->level);
}
