// Running kernels: arguments bound to parameters, dims solved, config chosen, compiled as needed, launched.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

#include "targets/buffer.h"
#include "targets/run.h"

typedef struct bound { // a parameter or workspace and its memory on the device
  void *memory;        // its own, copied to and from `host`
  size_t bytes;
  tg_array *host;    // the caller's array; NULL for workspaces and dropped outputs
  tg_buffer *buffer; // the caller's, counted, in the place of `memory`
  bool lent;         // a workspace in the launchable's lent memory, at `offset`
  size_t offset;
  void *look; // room for a copy of an index tensor in a buffer, NULL: nothing to look at
} bound;

struct tg_launchable {
  tg_context *ctx;
  tg_device *device;
  tg_arena arena;
  tg_artifact *artifact; // NULL where the device takes tile IR
  const tg_record *record;
  void *module;
  tg_dims dims;
  tg_bindings shape; // the same as text
  int nparams, nbound;
  bound *bound;       // in the order of the record; room for all its parameters
  tg_tensor *tensors; // the same, for the driver
  int nscalars;
  tg_argument *scalars;
  int threads;
  const char *config_source;
  double compile_seconds;
  bool check_indices, warm_caches;
  size_t workspace; // bytes of lent memory that it needs
  tg_buffer *lent;  // counted
};

const tg_record *tg_launchable_record(const tg_launchable *launchable) { return launchable->record; }
tg_context *tg_launchable_context(const tg_launchable *launchable) { return launchable->ctx; }
const tg_dims *tg_launchable_dims(const tg_launchable *launchable) { return &launchable->dims; }
tg_bindings tg_launchable_shape(const tg_launchable *launchable) { return launchable->shape; }
size_t tg_launchable_workspace(const tg_launchable *launchable) { return launchable->workspace; }
tg_bindings tg_launchable_config(const tg_launchable *launchable) { return launchable->record->config; }
const char *tg_launchable_config_source(const tg_launchable *launchable) { return launchable->config_source; }
double tg_launchable_compile_seconds(const tg_launchable *launchable) { return launchable->compile_seconds; }

struct call {
  tg_context *ctx;
  tg_device *device;
  tg_source *source;
  const tg_run_options *options;
  int nargs;
  tg_argument *args;
  bool allocate_outputs;
  bool declare; // of outputs alone: nothing is compiled
  tg_launchable *l;
  tg_split split;
  const tg_record *signature; // parameters and dims alone
  tg_kernel *kernel;          // traced, where the device takes tile IR
};

// ---- arguments

static const tg_argument *argument_of(const struct call *call, const char *name) {
  for (int i = 0; i < call->nargs; i++) {
    if (strcmp(call->args[i].name, name) == 0) return &call->args[i];
  }
  return NULL;
}

static const char *parameter_list(const struct call *call) {
  tg_text text = {.arena = &call->l->arena};
  for (int i = 0; i < call->signature->nparams; i++) {
    const tg_record_param *param = &call->signature->params[i];
    if (param->kind == TG_WORKSPACE) continue;
    tg_text_add(&text, "%s%s", text.size ? ", " : "", param->name);
  }
  return text.size ? text.data : "none";
}

static bool is_given(const tg_argument *arg) { return arg && (arg->array || arg->buffer); }

static void check_number(tg_context *ctx, const char *kernel, const tg_record_param *param, double number) {
  if (tg_dtype_is_float(param->dtype)) return;
  // From 2^53 on a double may stand for the number that was meant and for its neighbours.
  const double least = param->dtype == TG_I32 ? INT32_MIN : -0x1p53 + 1, most = param->dtype == TG_I32 ? INT32_MAX : 0x1p53 - 1;
  if (number == rint(number) && number >= least && number <= most) return;
  tg_throw(ctx, TG_INVALID, "%s = %.17g, but kernel '%s' declares %s: give a whole number from %.0f to %.0f", param->name, number, kernel,
           tg_dtype_name(param->dtype), least, most);
}

static void check_scalar(struct call *call, const tg_record_param *param, const tg_argument *arg) {
  if (is_given(arg))
    tg_throw(call->ctx, TG_INVALID, "%s is a scalar of kernel '%s': give a number, not an array", param->name, call->signature->kernel);
  check_number(call->ctx, call->signature->kernel, param, arg->number);
}

static void check_buffer(struct call *call, const tg_argument *arg) {
  if (!arg->buffer) return;
  if (arg->array) tg_throw(call->ctx, TG_INVALID, "%s is given as an array and as a buffer: one of them", arg->name);
  if (tg_buffer_device(arg->buffer) != call->device)
    tg_throw(call->ctx, TG_INVALID, "%s of kernel '%s' is a buffer of another device ('%s', the kernel runs on '%s')", arg->name,
             call->signature->kernel, tg_device_name(tg_buffer_device(arg->buffer)), call->device->name);
}

static bool is_written(const tg_record_param *param) { return param->kind == TG_OUTPUT || param->kind == TG_INOUT; }

static bool overlap(const tg_array *a, const tg_array *b) {
  const uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
  return a->bytes && b->bytes && x < y + b->bytes && y < x + a->bytes;
}

_Noreturn static void throw_shared(tg_context *ctx, const char *kernel, const tg_record_param *a, const tg_record_param *b) {
  const tg_record_param *written = is_written(a) ? a : b, *other = written == a ? b : a;
  tg_throw(ctx, TG_INVALID, "%s of kernel '%s' is written to memory that %s lies in: give it a buffer of its own", written->name, kernel,
           other->name);
}

// An array that is read may be written too, for what is read is copied before the launch; of two that are written one would be lost.
// Buffers are not copied.
static void check_destinations(struct call *call) {
  for (int i = 0; i < call->nargs; i++)
    for (int j = 0; j < i; j++) {
      const tg_argument *a = &call->args[j], *b = &call->args[i];
      const tg_record_param *x = tg_record_param_find(call->signature, a->name), *y = tg_record_param_find(call->signature, b->name);
      if (a->buffer && b->buffer && (is_written(x) || is_written(y)) && tg_buffer_overlap(a->buffer, b->buffer))
        throw_shared(call->ctx, call->signature->kernel, x, y);
      if (!a->array || !b->array || !overlap(a->array, b->array)) continue;
      if (is_written(x) && is_written(y))
        tg_throw(call->ctx, TG_INVALID, "%s and %s of kernel '%s' are written to the same memory: give each an array of its own", a->name,
                 b->name, call->signature->kernel);
    }
}

// Every argument names a parameter, once; every input is there.
static void check_arguments(struct call *call) {
  for (int i = 0; i < call->nargs; i++) {
    const tg_record_param *param = tg_record_param_find(call->signature, call->args[i].name);
    if (!param || param->kind == TG_WORKSPACE) {
      tg_throw(call->ctx, TG_INVALID, "kernel '%s' has no parameter '%s'; its parameters are %s", call->signature->kernel,
               call->args[i].name, parameter_list(call));
    }
    if (argument_of(call, call->args[i].name) != &call->args[i]) tg_throw(call->ctx, TG_INVALID, "%s is given twice", call->args[i].name);
    if (param->kind == TG_SCALAR_PARAM) check_scalar(call, param, &call->args[i]);
    check_buffer(call, &call->args[i]);
  }
  for (int i = 0; i < call->signature->nparams; i++) {
    const tg_record_param *param = &call->signature->params[i];
    const tg_argument *arg = argument_of(call, param->name);
    if (param->kind == TG_SCALAR_PARAM && !arg) {
      tg_throw(call->ctx, TG_INVALID, "scalar '%s' of kernel '%s' is missing: give it as %s=NUMBER", param->name, call->signature->kernel,
               param->name);
    }
    if ((param->kind == TG_INPUT || param->kind == TG_INOUT) && !is_given(arg)) {
      tg_throw(call->ctx, TG_INVALID, "input '%s' of kernel '%s' is missing; its parameters are %s", param->name, call->signature->kernel,
               parameter_list(call));
    }
    bool dropped = !arg || (!is_given(arg) && !call->allocate_outputs);
    if (param->kind == TG_OUTPUT && dropped && !(param->flags & TG_PARAM_OPTIONAL)) {
      tg_throw(call->ctx, TG_INVALID, "output '%s' of kernel '%s' has no destination: give it as --out %s=FILE.npy", param->name,
               call->signature->kernel, param->name);
    }
  }
  check_destinations(call);
}

static tg_tensor tensor_of(struct call *call, const tg_record_param *param, const tg_array *array) {
  if (array->rank > TG_MAX_RANK) {
    tg_throw(call->ctx, TG_INVALID, "%s has %d axes, but kernel '%s' declares %d", param->name, array->rank, call->signature->kernel,
             param->rank);
  }
  tg_tensor tensor = {.name = param->name, .dtype = (uint8_t)array->dtype, .rank = array->rank, .data = array->data, .bytes = array->bytes};
  for (int i = 0; i < array->rank; i++) tensor.dim[i] = array->dim[i];
  return tensor;
}

// Of a buffer only what dims are solved from is fetched: the header of packed weights.
static tg_tensor buffer_tensor(struct call *call, const tg_record_param *param, const tg_buffer *buffer) {
  enum { HEADER = 64 };
  tg_array array = tg_buffer_as_array(buffer);
  if (param->flags & TG_PARAM_PACKED && param->kind != TG_OUTPUT && array.bytes >= HEADER) {
    if (!tg_buffer_placed(buffer))
      tg_throw(
          call->ctx, TG_INVALID,
          "%s takes packed weights, whose header says their dims, but this buffer has nothing in it yet: pack them beforehand and give "
          "the result",
          param->name);
    array.data = tg_arena_alloc(&call->l->arena, HEADER);
    call->device->driver->copy_out(call->device, array.data, tg_buffer_data(buffer, param->name), HEADER);
  }
  return tensor_of(call, param, &array);
}

static void solve(struct call *call) {
  const tg_record *record = call->signature;
  tg_tensor *tensors = TG_NEWN(&call->l->arena, tg_tensor, record->nparams + 1);
  int n = 0;
  for (int i = 0; i < record->nparams; i++) { // arrays first: their contents can be looked at now
    const tg_argument *arg = argument_of(call, record->params[i].name);
    if (arg && arg->array) tensors[n++] = tensor_of(call, &record->params[i], arg->array);
  }
  const int arrays = n;
  for (int i = 0; i < record->nparams; i++) {
    const tg_argument *arg = argument_of(call, record->params[i].name);
    if (arg && arg->buffer) tensors[n++] = buffer_tensor(call, &record->params[i], arg->buffer);
  }
  tg_dims_solve(call->ctx, record, n, tensors, &call->options->shape, &call->l->dims);
  if (call->options->check_indices) tg_check_indices(call->ctx, &call->l->arena, record, arrays, tensors, &call->l->dims);
}

static void declare_outputs(struct call *call) {
  for (int i = 0; i < call->nargs; i++) {
    const tg_record_param *param = tg_record_param_find(call->signature, call->args[i].name);
    if (param->kind != TG_OUTPUT || is_given(&call->args[i])) continue;
    int64_t dim[TG_MAX_RANK];
    tg_record_bytes(call->ctx, param, &call->l->dims, dim);
    tg_check_status(call->ctx, tg_buffer_declare(call->device, param->dtype, param->rank, dim, &call->args[i].buffer));
  }
}

// ---- config

// {"BM": 64, "kc": "256"} to a list; what the caller set himself wins.
static tg_bindings merge_config(struct call *call, const cJSON *config) {
  const tg_bindings *given = &call->options->settings;
  int n = cJSON_IsObject(config) ? cJSON_GetArraySize(config) : 0;
  tg_binding *at = TG_NEWN(&call->l->arena, tg_binding, n + given->n + 1);
  int used = 0;
  const cJSON *item;
  for (int i = 0; i < given->n; i++) at[used++] = given->at[i];
  cJSON_ArrayForEach(item, config) {
    if (!item->string || tg_bindings_find(given, item->string)) continue;
    const char *value = cJSON_IsString(item)   ? tg_arena_strdup(&call->l->arena, item->valuestring)
                        : cJSON_IsNumber(item) ? tg_arena_printf(&call->l->arena, "%.0f", item->valuedouble)
                                               : NULL;
    if (value) at[used++] = (tg_binding){tg_arena_strdup(&call->l->arena, item->string), value};
  }
  return (tg_bindings){used, at};
}

struct merge_call {
  struct call *call;
  cJSON *config;
  tg_bindings out;
};

static void merge_body(void *arg) {
  struct merge_call *merge = arg;
  merge->out = merge_config(merge->call, merge->config);
}

static tg_bindings dims_as_bindings(struct call *call) {
  const tg_dims *dims = &call->l->dims;
  tg_binding *at = TG_NEWN(&call->l->arena, tg_binding, dims->n + 1);
  for (int i = 0; i < dims->n; i++)
    at[i] = (tg_binding){dims->at[i].name, tg_arena_printf(&call->l->arena, "%lld", (long long)dims->at[i].value)};
  return (tg_bindings){dims->n, at};
}

static bool tunes(const struct call *call) { // does the caller fix more than options?
  if (call->split.knobs.n) return true;
  for (int i = 0; i < call->split.signature->nsettings; i++) {
    const tg_setting *setting = &call->split.signature->settings[i];
    if (setting->kind == TG_TUNE && tg_bindings_find(&call->split.kernel, setting->name)) return true;
  }
  return false;
}

static tg_bindings choose_config(struct call *call) {
  call->l->config_source = "set";
  if (tunes(call)) return call->options->settings;
  char *json = NULL;
  tg_check_status(call->ctx, tg_config_lookup(call->ctx, call->source, call->device->name, &call->l->shape, &call->split.kernel,
                                              call->options->threads, &json, &call->l->config_source));
  struct merge_call merge = {.call = call, .config = json ? cJSON_Parse(json) : NULL};
  tg_string_free(call->ctx, json);
  tg_status status = tg_protect(call->ctx, merge_body, &merge);
  cJSON_Delete(merge.config);
  tg_check_status(call->ctx, status);
  return merge.out;
}

// ---- code

// Statics that no option fixed take their values from the shapes.
static tg_bindings open_statics(struct call *call) {
  const tg_kernel *signature = call->split.signature;
  tg_binding *at = TG_NEWN(&call->l->arena, tg_binding, signature->nsymbols + 1);
  int n = 0;
  for (int i = 0; i < signature->nsymbols; i++) {
    const tg_symbol *symbol = &signature->symbols[i];
    int64_t value;
    if (symbol->kind != TG_SYM_STATIC || symbol->value >= 0) continue;
    if (!tg_dims_lookup(&call->l->dims, symbol->name, &value)) {
      tg_throw(call->ctx, TG_INVALID, "static %s of kernel '%s' is open: give it, as in --shape %s=8", symbol->name, signature->name,
               symbol->name);
    }
    at[n++] = (tg_binding){symbol->name, tg_arena_printf(&call->l->arena, "%lld", (long long)value)};
  }
  return (tg_bindings){n, at};
}

// ---- memory

static void check_destination(struct call *call, const tg_record_param *param, tg_tensor *tensor, tg_argument *arg) {
  if (is_given(arg) || !call->allocate_outputs) return;
  tg_check_status(call->ctx, tg_array_new(call->ctx, param->dtype, tensor->rank, tensor->dim, &arg->array));
}

static void bind_buffer(struct call *call, const tg_record_param *param, bound *bound, tg_tensor *tensor, tg_buffer *buffer) {
  tg_buffer_hold(buffer);
  bound->buffer = buffer;
  tensor->data = tg_buffer_alignment(buffer);
  const unsigned watched = TG_PARAM_INDEX | TG_PARAM_OFFSETS;
  if (call->options->check_indices && param->flags & watched && !(param->flags & TG_PARAM_DROPS))
    bound->look = tg_arena_alloc(&call->l->arena, bound->bytes + 1);
}

static void bind(struct call *call, const tg_record_param *param, bound *bound, tg_tensor *tensor) {
  tg_device *device = call->device;
  *tensor = (tg_tensor){.name = param->name, .dtype = param->dtype, .rank = param->rank};
  tensor->bytes = bound->bytes = tg_record_bytes(call->ctx, param, &call->l->dims, tensor->dim);
  tg_argument *arg = (tg_argument *)(uintptr_t)argument_of(call, param->name);
  if (arg && param->kind == TG_OUTPUT) check_destination(call, param, tensor, arg);
  bound->host = arg ? arg->array : NULL;
  if (arg && arg->buffer) {
    bind_buffer(call, param, bound, tensor, arg->buffer);
    return;
  }
  if (param->kind == TG_WORKSPACE && call->options->lent_workspace) {
    bound->lent = true;
    bound->offset = call->l->workspace;
    if (__builtin_add_overflow(call->l->workspace, (bound->bytes + 63) / 64 * 64, &call->l->workspace) || call->l->workspace > INT64_MAX)
      tg_throw(call->ctx, TG_INVALID, "the workspaces of kernel '%s' are larger than any memory", call->signature->kernel);
    tensor->data = (void *)(uintptr_t)64; // aligned; never read
    return;
  }
  bound->memory = tensor->data = device->driver->alloc(device, bound->bytes);
  if (param->kind == TG_INPUT || param->kind == TG_INOUT) {
    device->driver->copy_in(device, bound->memory, bound->host->data, bound->bytes);
  } else {
    device->driver->zero(device, bound->memory, bound->bytes);
  }
}

// The signature knows the parameters, the traced kernel its workspaces too, so memory is bound by the record of the compiled kernel.
static void bind_all(struct call *call, const tg_record *record) {
  tg_launchable *l = call->l;
  l->nbound = record->nparams;
  l->bound = TG_NEWN(&l->arena, bound, record->nparams + 1);
  l->tensors = TG_NEWN(&l->arena, tg_tensor, record->nparams + 1);
  l->scalars = TG_NEWN(&l->arena, tg_argument, record->nparams + 1);
  for (int i = 0; i < record->nparams; i++) {
    const tg_record_param *param = &record->params[i];
    if (param->kind == TG_SCALAR_PARAM) {
      l->scalars[l->nscalars++] = (tg_argument){.name = param->name, .number = argument_of(call, param->name)->number};
    } else {
      bind(call, param, &l->bound[l->nparams], &l->tensors[l->nparams]);
      l->nparams++;
    }
  }
}

// ---- prepare

static void compile_for_device(struct call *call) {
  tg_launchable *l = call->l;
  tg_compile_options options = {.target = call->device->target, .settings = choose_config(call), .statics = open_statics(call)};
  double start = tg_seconds();
  tg_check_status(call->ctx, tg_compile(call->ctx, call->source, &options, &l->artifact));
  tg_artifact_for(l->artifact, call->device);
  tg_bytes object;
  bind_all(call, tg_artifact_variant(l->artifact, 0, &object));
  l->record = tg_artifact_choose(l->artifact, &l->dims, l->nparams, l->tensors, &object);
  l->compile_seconds = tg_seconds() - start;
  l->module = call->device->driver->load(call->device, l->record, object);
}

static void load_tile_body(void *arg) {
  struct call *call = arg;
  tg_launchable *l = call->l;
  l->record = tg_record_make(&l->arena, call->kernel, call->device->name);
  bind_all(call, l->record);
  tg_bytes text;
  text.data = (void *)(uintptr_t)tg_print(&l->arena, call->kernel, &text.size);
  l->module = call->device->driver->load(call->device, l->record, text);
}

static void trace_for_device(struct call *call) {
  tg_bindings statics = open_statics(call);
  call->l->config_source = tunes(call) ? "set" : "default";
  tg_check_knobs(call->ctx, call->split.signature, NULL, NULL, &call->split.knobs);
  tg_check_status(call->ctx, tg_source_trace(call->source, &call->split.kernel, &statics, &call->kernel));
  tg_status status = tg_protect(call->ctx, load_tile_body, call);
  tg_kernel_free(call->kernel);
  tg_check_status(call->ctx, status);
}

static void new_body(void *arg) {
  struct call *call = arg;
  if (call->device->closed) tg_throw(call->ctx, TG_INVALID, "device '%s' is closed", call->device->name);
  tg_launchable *l = tg_realloc(call->ctx, NULL, sizeof *l);
  memset(l, 0, sizeof *l);
  l->ctx = call->ctx;
  l->device = call->device;
  l->threads = call->options->threads;
  l->check_indices = call->options->check_indices;
  l->warm_caches = call->options->warm_caches;
  tg_device_hold(l->device);
  tg_arena_init(&l->arena, call->ctx);
  call->l = l;
}

static void prepare_body(void *arg) {
  struct call *call = arg;
  tg_split_settings(call->ctx, call->source, &call->options->settings, &call->l->arena, &call->split);
  call->signature = tg_record_make(&call->l->arena, call->split.signature, call->device->name);
  check_arguments(call);
  solve(call);
  call->l->shape = dims_as_bindings(call);
  if (call->declare) {
    declare_outputs(call);
  } else if (call->device->target) {
    compile_for_device(call);
  } else {
    trace_for_device(call);
  }
}

static tg_status prepare(struct call *call, tg_launchable **out) {
  *out = NULL;
  tg_status status = tg_protect(call->ctx, new_body, call);
  if (status == TG_OK) status = tg_protect(call->ctx, prepare_body, call);
  if (status == TG_OK) {
    *out = call->l;
  } else {
    tg_launchable_free(call->l);
  }
  return status;
}

tg_status tg_prepare(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, const tg_argument *args,
                     tg_launchable **out) {
  struct call call = {.ctx = device->ctx, .device = device, .source = source, .options = options, .nargs = nargs};
  call.args = (tg_argument *)(uintptr_t)args; // written only to allocate outputs, which is not asked for
  return prepare(&call, out);
}

tg_status tg_declare_outputs(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, tg_argument *args) {
  struct call call = {.ctx = device->ctx,
                      .device = device,
                      .source = source,
                      .options = options,
                      .nargs = nargs,
                      .args = args,
                      .allocate_outputs = true,
                      .declare = true};
  tg_launchable *l;
  tg_status status = prepare(&call, &l);
  tg_launchable_free(l);
  return status;
}

void tg_launchable_free(tg_launchable *l) {
  if (!l) return;
  tg_context *ctx = l->ctx;
  const tg_driver *driver = l->device->driver;
  if (l->module) driver->unload(l->device, l->module);
  for (int i = 0; i < l->nbound; i++) {
    if (l->bound[i].memory) driver->free(l->device, l->bound[i].memory);
    tg_buffer_free(l->bound[i].buffer);
  }
  tg_buffer_free(l->lent);
  tg_device_drop(l->device);
  tg_artifact_free(l->artifact);
  tg_arena_free(&l->arena);
  tg_realloc(ctx, l, 0);
}

// ---- launch

static bool scalar_value(void *user, const char *name, double *value) {
  const tg_launchable *l = user;
  for (int i = 0; i < l->nscalars; i++) {
    if (strcmp(l->scalars[i].name, name) != 0) continue;
    *value = l->scalars[i].number;
    return true;
  }
  return false;
}

static void check_placed(const tg_launchable *l) {
  for (int i = 0; i < l->nparams; i++)
    for (int j = 0; j < i; j++) {
      if (!l->bound[i].buffer || !l->bound[j].buffer || !tg_buffer_overlap(l->bound[i].buffer, l->bound[j].buffer)) continue;
      const tg_record_param *a = tg_record_param_find(l->record, l->tensors[j].name),
                            *b = tg_record_param_find(l->record, l->tensors[i].name);
      if (is_written(a) || is_written(b)) throw_shared(l->ctx, l->record->kernel, a, b);
    }
}

// Contents change from launch to launch, so they are looked at anew, in a copy: a device's memory need not be the host's.
static void look_at_indices(tg_launchable *l) {
  for (int i = 0; i < l->nparams; i++) {
    const bound *b = &l->bound[i];
    if (!b->look) continue;
    tg_tensor copy = l->tensors[i];
    copy.data = b->look;
    l->device->driver->copy_out(l->device, copy.data, l->tensors[i].data, b->bytes);
    tg_check_indices(l->ctx, &l->arena, l->record, 1, &copy, &l->dims);
  }
}

// Buffers may lie elsewhere than at the launch before.
static void locate(tg_launchable *l) {
  if (l->device->closed) tg_throw(l->ctx, TG_INVALID, "device '%s' is closed", l->device->name);
  char *lent = NULL;
  if (l->workspace) {
    if (!l->lent)
      tg_throw(l->ctx, TG_INVALID, "kernel '%s' was given no memory for its %zu bytes of workspaces", l->record->kernel, l->workspace);
    lent = tg_buffer_data(l->lent, "the memory lent for workspaces");
  }
  for (int i = 0; i < l->nparams; i++) {
    if (l->bound[i].buffer) l->tensors[i].data = tg_buffer_data(l->bound[i].buffer, l->tensors[i].name);
    else if (l->bound[i].lent) l->tensors[i].data = lent + l->bound[i].offset;
  }
  check_placed(l);
  if (l->check_indices) look_at_indices(l);
}

static void launch_all(tg_launchable *l) {
  const tg_driver *driver = l->device->driver;
  for (int i = 0; i < l->nparams; i++) {
    const tg_record_param *param = tg_record_param_find(l->record, l->tensors[i].name);
    if (param->flags & TG_PARAM_ZERO) driver->zero(l->device, l->tensors[i].data, l->bound[i].bytes);
  }
  driver->launch(l->device, l->module, l->record, &l->dims, l->nparams, l->tensors, scalar_value, l, l->threads);
}

struct lend_call {
  tg_launchable *l;
  tg_buffer *memory;
};

static void lend_body(void *arg) {
  const struct lend_call *call = arg;
  const tg_launchable *l = call->l;
  if (tg_buffer_device(call->memory) != l->device) tg_throw(l->ctx, TG_INVALID, "the memory for workspaces is another device's");
  if (tg_buffer_bytes(call->memory) < l->workspace || !tg_buffer_aligned(call->memory))
    tg_throw(l->ctx, TG_INVALID, "kernel '%s' needs %zu aligned bytes for its workspaces; the buffer has %zu%s", l->record->kernel,
             l->workspace, tg_buffer_bytes(call->memory), tg_buffer_aligned(call->memory) ? "" : " and is not aligned");
}

tg_status tg_launchable_lend(tg_launchable *launchable, tg_buffer *memory) {
  tg_status status = tg_protect(launchable->ctx, lend_body, &(struct lend_call){launchable, memory});
  if (status != TG_OK) return status;
  tg_buffer_hold(memory);
  tg_buffer_free(launchable->lent);
  launchable->lent = memory;
  return TG_OK;
}

struct scalar_call {
  tg_launchable *l;
  const char *name;
  double number;
};

static void scalar_body(void *arg) {
  const struct scalar_call *call = arg;
  tg_launchable *l = call->l;
  for (int i = 0; i < l->nscalars; i++) {
    if (strcmp(l->scalars[i].name, call->name) != 0) continue;
    check_number(l->ctx, l->record->kernel, tg_record_param_find(l->record, call->name), call->number);
    l->scalars[i].number = call->number;
    return;
  }
  tg_throw(l->ctx, TG_INVALID, "kernel '%s' has no scalar '%s'", l->record->kernel, call->name);
}

tg_status tg_launchable_scalar(tg_launchable *launchable, const char *name, double number) {
  return tg_protect(launchable->ctx, scalar_body, &(struct scalar_call){launchable, name, number});
}

struct run_call {
  tg_launchable *l;
  int repeat;
  double *seconds;
};

const char *tg_launchable_clock(const tg_launchable *l) {
  return l->device->driver->time_begin ? "device" : tg_launchable_own_time(l) ? "processor" : "wall";
}

bool tg_launchable_cold(const tg_launchable *l) { return l->device->driver->flush && !l->warm_caches; }

bool tg_launchable_own_time(const tg_launchable *l) { return l->threads == 1 && strcmp(l->device->driver->family, "cpu") == 0; }

static double timed(tg_launchable *l) {
  const tg_driver *driver = l->device->driver;
  if (driver->flush && !l->warm_caches) driver->flush(l->device);
  if (driver->time_begin) {
    driver->time_begin(l->device);
    launch_all(l);
    return driver->time_end(l->device);
  }
  double (*const now)(void) = tg_launchable_own_time(l) ? tg_processor_seconds : tg_seconds;
  const double start = now();
  launch_all(l);
  driver->sync(l->device);
  return now() - start;
}

static void run_body(void *arg) {
  struct run_call *call = arg;
  tg_launchable *l = call->l;
  locate(l);
  for (int i = 0; i < call->repeat; i++) {
    if (call->seconds) {
      call->seconds[i] = timed(l);
      continue;
    }
    launch_all(l);
    l->device->driver->sync(l->device);
  }
}

tg_status tg_launchable_run(tg_launchable *launchable, int repeat, double *seconds) {
  return tg_protect(launchable->ctx, run_body, &(struct run_call){launchable, repeat, seconds});
}

static void fetch_body(void *arg) {
  tg_launchable *l = arg;
  for (int i = 0; i < l->nparams; i++) {
    const tg_record_param *param = tg_record_param_find(l->record, l->tensors[i].name);
    if ((param->kind != TG_OUTPUT && param->kind != TG_INOUT) || !l->bound[i].host) continue;
    l->device->driver->copy_out(l->device, l->bound[i].host->data, l->bound[i].memory, l->bound[i].bytes);
  }
}

tg_status tg_launchable_fetch(tg_launchable *launchable) { return tg_protect(launchable->ctx, fetch_body, launchable); }

// ---- run

tg_status tg_run(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, tg_argument *args, bool allocate_outputs) {
  struct call call = {.ctx = device->ctx,
                      .device = device,
                      .source = source,
                      .options = options,
                      .nargs = nargs,
                      .args = args,
                      .allocate_outputs = allocate_outputs};
  tg_launchable *l;
  tg_status status = prepare(&call, &l);
  if (status == TG_OK) status = tg_launchable_run(l, 1, NULL);
  if (status == TG_OK) status = tg_launchable_fetch(l);
  tg_launchable_free(l);
  return status;
}
