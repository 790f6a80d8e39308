// The launch record as JSON: the wire form between compile helper, cache and drivers. Reading refuses whatever tg_record_to_json would not
// write.
#include <cjson/cJSON.h>
#include <math.h>

#include "targets/json.h"
#include "targets/record.h"

static const char *const param_kinds[] = {"input", "output", "inout", "workspace", "scalar"};
static const char *const arg_kinds[] = {"pointer", "scalar", "tensormap"};

// ---- writing

static void put_exprs(tg_text *text, const char *key, int n, const tg_expr *const *e) {
  tg_json_key(text, key);
  tg_text_append(text, "[", 1);
  for (int i = 0; i < n; i++) {
    tg_json_comma(text);
    tg_json_string(text, tg_e_text(text->arena, e[i]));
  }
  tg_text_append(text, "]", 1);
}

static void put_bindings(tg_text *text, const char *key, tg_bindings bindings) {
  tg_json_key(text, key);
  tg_text_append(text, "[", 1);
  for (int i = 0; i < bindings.n; i++) {
    tg_json_comma(text);
    tg_text_append(text, "[", 1);
    tg_json_string(text, bindings.at[i].name);
    tg_text_append(text, ",", 1);
    tg_json_string(text, bindings.at[i].value);
    tg_text_append(text, "]", 1);
  }
  tg_text_append(text, "]", 1);
}

static void put_param(tg_text *text, const tg_record_param *param) {
  tg_text_append(text, "{", 1);
  tg_json_put_string(text, "name", param->name);
  tg_json_put_string(text, "kind", param_kinds[param->kind]);
  tg_json_put_string(text, "dtype", tg_dtype_name(param->dtype));
  tg_json_put_int(text, "flags", param->flags);
  put_exprs(text, "dims", param->rank, param->dims);
  if (param->flags & TG_PARAM_PACKED) put_exprs(text, "packed", param->packed[2] ? 3 : 2, param->packed);
  if (param->below) put_exprs(text, "below", 1, &param->below);
  tg_text_append(text, "}", 1);
}

static void put_ints(tg_text *text, const char *key, int n, const int *values) {
  tg_json_key(text, key);
  tg_text_append(text, "[", 1);
  for (int i = 0; i < n; i++) tg_text_add(text, "%s%d", i ? "," : "", values[i]);
  tg_text_append(text, "]", 1);
}

static void put_map(tg_text *text, const tg_arg_map *map) {
  tg_json_key(text, "tensormap");
  tg_text_append(text, "{", 1);
  tg_json_put_string(text, "of", map->of);
  put_exprs(text, "byte_offset", 1, &map->byte_offset);
  put_exprs(text, "dims", map->rank, map->dims);
  put_exprs(text, "strides_bytes", map->rank - 1, map->strides_bytes);
  put_ints(text, "box", map->rank, map->box);
  put_ints(text, "element_strides", map->rank, map->element_strides);
  tg_json_put_int(text, "swizzle", map->swizzle);
  tg_json_put_string(text, "fill", tg_map_fills[map->fill]);
  tg_text_append(text, "}", 1);
}

static void put_launch(tg_text *text, const tg_record_launch *launch) {
  tg_text_append(text, "{", 1);
  tg_json_put_string(text, "entry", launch->entry);
  put_exprs(text, "grid", launch->naxes, launch->grid);
  for (int i = 0; i < 3; i++) tg_json_put_int(text, (const char *[]){"bx", "by", "bz"}[i], launch->block[i]);
  for (int i = 0; i < 3; i++) tg_json_put_int(text, (const char *[]){"cx", "cy", "cz"}[i], launch->cluster[i]);
  tg_json_put_int(text, "shared", launch->shared_bytes);
  tg_json_put_int(text, "static_shared", launch->static_shared_bytes);
  tg_json_put_int(text, "registers", launch->registers);
  tg_json_put_int(text, "spilled", launch->spilled_bytes);
  tg_json_put_int(text, "loop", launch->loop_instructions);
  tg_json_put_int(text, "matrix", launch->loop_matrix);
  tg_json_key(text, "args");
  tg_text_append(text, "[", 1);
  for (int i = 0; i < launch->nargs; i++) {
    const tg_record_arg *arg = &launch->args[i];
    tg_json_comma(text);
    tg_text_append(text, "{", 1);
    tg_json_put_string(text, "name", arg->name);
    tg_json_put_string(text, "kind", arg_kinds[arg->kind]);
    tg_json_put_string(text, "dtype", tg_dtype_name(arg->dtype));
    if (arg->value) tg_json_put_string(text, "value", tg_e_text(text->arena, arg->value));
    if (arg->map) put_map(text, arg->map);
    tg_text_append(text, "}", 1);
  }
  tg_text_append(text, "]}", 2);
}

static void put_view(tg_text *text, const tg_record_view *view) {
  tg_text_append(text, "{", 1);
  tg_json_put_string(text, "what", view->what);
  put_exprs(text, "reach", 4, (const tg_expr *[]){view->some, view->first, view->last, view->have});
  tg_text_append(text, "}", 1);
}

char *tg_record_to_json(tg_arena *arena, const tg_record *record, size_t *size) {
  tg_text text = {.arena = arena};
  tg_text_append(&text, "{", 1);
  tg_json_put_string(&text, "kernel", record->kernel);
  tg_json_put_string(&text, "target", record->target);
  put_bindings(&text, "config", record->config);
  put_bindings(&text, "statics", record->statics);
  tg_json_put_strings(&text, "symbols", record->nsymbols, record->symbols);
  tg_json_put_strings(&text, "preconditions", record->npreconditions, record->preconditions);
  tg_json_put_int(&text, "scratch", record->scratch_bytes);
  tg_json_put_int(&text, "registers", record->registers);
  tg_json_put_int(&text, "spilled", record->spilled_bytes);
  tg_json_put_string(&text, "tool", record->tool);
  tg_json_put_strings(&text, "warnings", record->nwarnings, record->warnings);
  tg_json_key(&text, "params");
  tg_text_append(&text, "[", 1);
  for (int i = 0; i < record->nparams; i++) {
    tg_json_comma(&text);
    put_param(&text, &record->params[i]);
  }
  tg_text_append(&text, "]", 1);
  tg_json_key(&text, "launches");
  tg_text_append(&text, "[", 1);
  for (int i = 0; i < record->nlaunches; i++) {
    tg_json_comma(&text);
    put_launch(&text, &record->launches[i]);
  }
  tg_text_append(&text, "]", 1);
  tg_json_key(&text, "views");
  tg_text_append(&text, "[", 1);
  for (int i = 0; i < record->nviews; i++) {
    tg_json_comma(&text);
    put_view(&text, &record->views[i]);
  }
  tg_text_append(&text, "]}", 2);
  *size = text.size;
  return text.data;
}

// ---- reading

struct reading {
  tg_context *ctx;
  tg_arena *arena;
  cJSON *root;
  tg_record *record;
};

_Noreturn static void malformed(struct reading *r, const char *what) { tg_throw(r->ctx, TG_FAILED, "malformed launch record: %s", what); }

static const cJSON *member(struct reading *r, const cJSON *object, const char *key) {
  const cJSON *item = cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
  if (!item) malformed(r, key);
  return item;
}

static const char *text_of(struct reading *r, const cJSON *item, const char *what) {
  if (!cJSON_IsString(item) || strlen(item->valuestring) > 1 << 16) malformed(r, what);
  return tg_arena_strdup(r->arena, item->valuestring);
}

static const char *get_text(struct reading *r, const cJSON *object, const char *key) { return text_of(r, member(r, object, key), key); }

static int64_t get_int(struct reading *r, const cJSON *object, const char *key, int64_t low, int64_t high) {
  const cJSON *item = member(r, object, key);
  double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
  if (!(value >= (double)low && value <= (double)high) || value != floor(value)) malformed(r, key);
  return (int64_t)value;
}

static const cJSON *get_list(struct reading *r, const cJSON *object, const char *key, int max, int *n) {
  const cJSON *list = member(r, object, key);
  if (!cJSON_IsArray(list)) malformed(r, key);
  *n = cJSON_GetArraySize(list);
  if (*n > max) malformed(r, key);
  return list;
}

static int one_of(struct reading *r, const cJSON *object, const char *key, int n, const char *const *names) {
  const char *text = get_text(r, object, key);
  for (int i = 0; i < n; i++) {
    if (strcmp(text, names[i]) == 0) return i;
  }
  malformed(r, key);
}

static uint8_t get_dtype(struct reading *r, const cJSON *object) {
  tg_dtype dtype = tg_dtype_find(get_text(r, object, "dtype"));
  if (dtype < 0) malformed(r, "dtype");
  return (uint8_t)dtype;
}

static const tg_expr *expr_of(struct reading *r, const cJSON *item, const char *what) {
  const char *text = text_of(r, item, what), *stopped = NULL;
  const char *end = text + strlen(text);
  const tg_expr *e = tg_e_parse(r->arena, text, end, &stopped);
  if (!e || stopped != end) malformed(r, what);
  return e;
}

static int get_exprs(struct reading *r, const cJSON *object, const char *key, int max, const tg_expr **out) {
  int n, i = 0;
  const cJSON *list = get_list(r, object, key, max, &n), *item;
  cJSON_ArrayForEach(item, list) out[i++] = expr_of(r, item, key);
  return n;
}

static int get_strings(struct reading *r, const cJSON *object, const char *key, const char ***out) {
  int n, i = 0;
  const cJSON *list = get_list(r, object, key, 256, &n), *item;
  *out = TG_NEWN(r->arena, const char *, n + 1);
  cJSON_ArrayForEach(item, list)(*out)[i++] = text_of(r, item, key);
  return n;
}

static tg_bindings get_bindings(struct reading *r, const cJSON *object, const char *key) {
  int n, i = 0;
  const cJSON *list = get_list(r, object, key, 256, &n), *item;
  tg_binding *at = TG_NEWN(r->arena, tg_binding, n + 1);
  cJSON_ArrayForEach(item, list) {
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2) malformed(r, key);
    at[i++] = (tg_binding){text_of(r, cJSON_GetArrayItem(item, 0), key), text_of(r, cJSON_GetArrayItem(item, 1), key)};
  }
  return (tg_bindings){n, at};
}

static void get_param(struct reading *r, const cJSON *from, tg_record_param *to) {
  to->name = get_text(r, from, "name");
  to->kind = one_of(r, from, "kind", 5, param_kinds);
  to->dtype = get_dtype(r, from);
  to->flags = (unsigned)get_int(r, from, "flags", 0, 2 * TG_PARAM_DROPS - 1);
  to->rank = get_exprs(r, from, "dims", TG_MAX_RANK, to->dims);
  if ((to->flags & TG_PARAM_PACKED) && get_exprs(r, from, "packed", 3, to->packed) < 2) malformed(r, "packed");
  if ((to->flags & (TG_PARAM_INDEX | TG_PARAM_OFFSETS)) && get_exprs(r, from, "below", 1, &to->below) != 1) malformed(r, "below");
}

static void get_ints(struct reading *r, const cJSON *object, const char *key, int n, int high, int *out) {
  int given, i = 0;
  const cJSON *list = get_list(r, object, key, n, &given), *item;
  if (given != n) malformed(r, key);
  cJSON_ArrayForEach(item, list) {
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= high) || item->valuedouble != floor(item->valuedouble))
      malformed(r, key);
    out[i++] = (int)item->valuedouble;
  }
}

// Extents of boxes and steps: CUDA Driver API, cuTensorMapEncodeTiled.
static const tg_arg_map *get_map(struct reading *r, const cJSON *from) {
  tg_arg_map *to = TG_NEW(r->arena, tg_arg_map);
  to->of = get_text(r, from, "of");
  if (get_exprs(r, from, "byte_offset", 1, &to->byte_offset) != 1) malformed(r, "byte_offset");
  to->rank = get_exprs(r, from, "dims", TG_MAP_RANK, to->dims);
  if (to->rank < 1 || get_exprs(r, from, "strides_bytes", to->rank - 1, to->strides_bytes) != to->rank - 1) malformed(r, "strides_bytes");
  get_ints(r, from, "box", to->rank, 256, to->box);
  get_ints(r, from, "element_strides", to->rank, 8, to->element_strides);
  to->swizzle = (int)get_int(r, from, "swizzle", 0, 128);
  if (to->swizzle && to->swizzle != 32 && to->swizzle != 64 && to->swizzle != 128) malformed(r, "swizzle");
  to->fill = one_of(r, from, "fill", TG_NFILLS, tg_map_fills);
  return to;
}

static void get_launch(struct reading *r, const cJSON *from, tg_record_launch *to) {
  enum { MOST_CLUSTER = 16 }; // blocks; more no GPU takes (CUDA, cudaFuncAttributeNonPortableClusterSizeAllowed), and ir/parse.c no launch
  to->entry = get_text(r, from, "entry");
  to->naxes = get_exprs(r, from, "grid", 4, to->grid);
  for (int i = 0; i < 3; i++) to->block[i] = (int)get_int(r, from, (const char *[]){"bx", "by", "bz"}[i], 1, 1 << 16);
  for (int i = 0; i < 3; i++) to->cluster[i] = (int)get_int(r, from, (const char *[]){"cx", "cy", "cz"}[i], 1, MOST_CLUSTER);
  to->shared_bytes = get_int(r, from, "shared", 0, INT32_MAX);
  to->static_shared_bytes = get_int(r, from, "static_shared", 0, INT32_MAX);
  to->registers = (int)get_int(r, from, "registers", -1, 1 << 20);
  to->spilled_bytes = (int)get_int(r, from, "spilled", -1, INT32_MAX);
  to->loop_instructions = (int)get_int(r, from, "loop", -1, INT32_MAX);
  to->loop_matrix = (int)get_int(r, from, "matrix", -1, INT32_MAX);
  int i = 0;
  const cJSON *list = get_list(r, from, "args", 4096, &to->nargs), *item;
  to->args = TG_NEWN(r->arena, tg_record_arg, to->nargs + 1);
  cJSON_ArrayForEach(item, list) {
    tg_record_arg *arg = &to->args[i++];
    arg->name = get_text(r, item, "name");
    arg->kind = one_of(r, item, "kind", 3, arg_kinds);
    arg->dtype = get_dtype(r, item);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
    if (value) arg->value = expr_of(r, value, "value");
    if (arg->kind == TG_ARG_MAP) arg->map = get_map(r, member(r, item, "tensormap"));
  }
}

static void get_view(struct reading *r, const cJSON *from, tg_record_view *to) {
  const tg_expr *reach[4];
  to->what = get_text(r, from, "what");
  if (get_exprs(r, from, "reach", 4, reach) != 4) malformed(r, "reach");
  to->some = reach[0], to->first = reach[1], to->last = reach[2], to->have = reach[3];
}

static void read_body(void *argument) {
  struct reading *r = argument;
  const cJSON *root = r->root, *item;
  tg_record *record = TG_NEW(r->arena, tg_record);
  record->arena = r->arena;
  record->kernel = get_text(r, root, "kernel");
  record->target = get_text(r, root, "target");
  record->config = get_bindings(r, root, "config");
  record->statics = get_bindings(r, root, "statics");
  record->nsymbols = get_strings(r, root, "symbols", &record->symbols);
  record->npreconditions = get_strings(r, root, "preconditions", &record->preconditions);
  record->scratch_bytes = get_int(r, root, "scratch", 0, (int64_t)1 << 40);
  record->registers = (int)get_int(r, root, "registers", -1, 1 << 20);
  record->spilled_bytes = (int)get_int(r, root, "spilled", -1, INT32_MAX);
  record->tool = get_text(r, root, "tool");
  record->nwarnings = get_strings(r, root, "warnings", &record->warnings);
  int i = 0;
  const cJSON *params = get_list(r, root, "params", 1024, &record->nparams);
  record->params = TG_NEWN(r->arena, tg_record_param, record->nparams + 1);
  cJSON_ArrayForEach(item, params) get_param(r, item, &record->params[i++]);
  i = 0;
  const cJSON *launches = get_list(r, root, "launches", 1024, &record->nlaunches);
  record->launches = TG_NEWN(r->arena, tg_record_launch, record->nlaunches + 1);
  cJSON_ArrayForEach(item, launches) get_launch(r, item, &record->launches[i++]);
  i = 0;
  const cJSON *views = get_list(r, root, "views", 65536, &record->nviews);
  record->views = TG_NEWN(r->arena, tg_record_view, record->nviews + 1);
  cJSON_ArrayForEach(item, views) get_view(r, item, &record->views[i++]);
  r->record = record;
}

tg_record *tg_record_from_json(tg_context *ctx, tg_arena *arena, const char *json, size_t size) {
  struct reading r = {.ctx = ctx, .arena = arena, .root = cJSON_ParseWithLength(json, size)};
  if (!r.root) malformed(&r, "not JSON");
  tg_status status = tg_protect(ctx, read_body, &r);
  cJSON_Delete(r.root);
  if (status != TG_OK) tg_rethrow(ctx);
  return r.record;
}
