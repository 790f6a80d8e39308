// Runs pieces of .tile text on a device: every input is loaded whole as %NAME, every output stored whole from %oNAME; the body between is
// the test's. What each op must give is written by hand, so the same cases hold for the interpreter and for every lowering.
#ifndef TG_OPS_H
#define TG_OPS_H
#include <math.h>
#include <stdint.h>

#include "ir/ir.h"
#include "targets/run.h"
#include "test.h"

typedef struct io {
  const char *name, *dtype;
  int rank;
  int64_t dim[4];
  void *data; // elements as stored
  bool output;
  const char *kind; // "input", "output", "inout …"; NULL: by `output`
} io;

static tg_context *ctx;

static inline int64_t io_elements(const io *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= t->dim[i];
  return n;
}

static inline bool no_symbol(void *user, const char *name, int64_t *value) {
  (void)user, (void)name, (void)value;
  return false;
}

typedef struct job {
  const char *text;
  int ntensors;
  tg_tensor tensors[8];
  const tg_interp_options *options;
  tg_lookup_fn lookup;
  bool (*scalar)(void *user, const char *name, double *value);
  void *user;
} job;

typedef struct interpretation {
  tg_kernel *kernel;
  job *job;
} interpretation;

static inline void interpret(void *arg) {
  const interpretation *i = arg;
  job *j = i->job;
  tg_interp_options all = {.only_launch = -1};
  tg_interpret(i->kernel, j->ntensors, j->tensors, j->lookup ? j->lookup : no_symbol, j->user, j->scalar, j->user,
               j->options ? j->options : &all);
}

// What the device may say that it cannot do, words of its sentences; anything else that it refuses is a failure.
static const char *const *may_refuse;
static int refused;

// In place of compiling for `device` and launching there: for a lowering's tests that need no device. NULL = not so.
extern tg_status (*ops_elsewhere)(tg_kernel *kernel, job *j);

static tg_bindings ops_settings; // of the lowering, for what is compiled from now on

static tg_device *device; // NULL: the interpreter itself, with its reports
static inline bool on_interpreter(void) { return !device; }

// The compiled kernel and its launch. Outputs and workspaces are poisoned as the interpreter does it.
typedef struct launch {
  tg_kernel *kernel;
  job *job;
  tg_artifact *artifact;
  void *module;
  int nworkspaces;
  void *workspaces[8];
  tg_tensor tensors[16];
  int ntensors;
} launch;

static inline void bind_parameter(launch *l, const tg_param *p, const tg_dims *dims) {
  tg_tensor *t = &l->tensors[l->ntensors++];
  int64_t n = 1;
  for (int i = 0; i < p->rank; i++) {
    const char *missing;
    if (!tg_e_eval(p->dims[i], tg_dims_lookup, (void *)(uintptr_t)dims, &t->dim[i], &missing))
      tg_throw(ctx, TG_INVALID, "'%s' has no value", missing);
    n *= t->dim[i];
  }
  t->name = p->name, t->dtype = (uint8_t)p->dtype, t->rank = p->rank, t->bytes = tg_dtype_bytes(p->dtype, n);
  for (int i = 0; i < l->job->ntensors; i++)
    if (!strcmp(l->job->tensors[i].name, p->name)) t->data = l->job->tensors[i].data;
  if (!t->data) t->data = l->workspaces[l->nworkspaces++] = calloc(1, t->bytes + 64);
  if (p->kind == TG_OUTPUT || p->kind == TG_WORKSPACE) memset(t->data, p->flags & TG_PARAM_ZERO ? 0 : 0xff, t->bytes);
}

static inline void launch_body(void *arg) {
  launch *l = arg;
  const tg_compile_options options = {.target = device->target, .settings = ops_settings, .no_cache = true};
  tg_dims dims = {0};
  if (tg_compile_kernel(ctx, l->kernel, &options, &l->artifact)) tg_rethrow(ctx);
  for (int i = 0; i < l->kernel->nsymbols; i++) {
    int64_t value;
    if (!l->job->lookup || !l->job->lookup(l->job->user, l->kernel->symbols[i].name, &value))
      tg_throw(ctx, TG_INVALID, "'%s' has no value", l->kernel->symbols[i].name);
    dims.at[dims.n].name = l->kernel->symbols[i].name;
    dims.at[dims.n++].value = value;
  }
  for (int i = 0; i < l->kernel->nparams; i++)
    if (l->kernel->params[i].kind != TG_SCALAR_PARAM) bind_parameter(l, &l->kernel->params[i], &dims);
  tg_bytes object;
  tg_artifact_for(l->artifact, device);
  const tg_record *record = tg_artifact_choose(l->artifact, &dims, l->ntensors, l->tensors, &object);
  l->module = device->driver->load(device, record, object);
  device->driver->launch(device, l->module, record, &dims, l->ntensors, l->tensors, l->job->scalar, l->job->user, 2);
}

static inline tg_status launch_job(tg_kernel *kernel, job *j) {
  launch l = {.kernel = kernel, .job = j};
  const tg_status status = tg_protect(ctx, launch_body, &l);
  if (l.module) device->driver->unload(device, l.module);
  tg_artifact_free(l.artifact);
  for (int i = 0; i < l.nworkspaces; i++) free(l.workspaces[i]);
  return status;
}

static inline tg_status run_job(job *j) {
  tg_kernel *kernel = NULL;
  if (tg_kernel_parse(ctx, j->text, strlen(j->text), "test.tile", &kernel)) return ctx->status;
  const tg_status status = on_interpreter() ? tg_protect(ctx, interpret, &(interpretation){kernel, j})
                           : ops_elsewhere  ? ops_elsewhere(kernel, j)
                                            : launch_job(kernel, j);
  tg_kernel_free(kernel);
  return status;
}

static inline void ops_open(const char *name, const char *const *refusals) {
  may_refuse = refusals;
  const tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx)) abort();
  static tg_device nowhere;
  if (ops_elsewhere) device = &nowhere;
  else if (strcmp(name, "interp") && tg_device_open(ctx, name, &device)) {
    CHECKF(false, "%s", tg_error_message(ctx));
    exit(test_done());
  }
}

static inline int ops_close(void) {
  if (!ops_elsewhere) tg_device_close(device);
  device = NULL;
  tg_context_free(ctx);
  if (refused) printf("%d pieces were refused, as they may be; ", refused);
  return test_done();
}

static inline void bind(job *j, int n, const io *tensors) {
  j->ntensors = n;
  for (int i = 0; i < n; i++) {
    const io *t = &tensors[i];
    tg_tensor *b = &j->tensors[i];
    *b = (tg_tensor){.name = t->name, .dtype = (uint8_t)tg_dtype_find(t->dtype), .rank = t->rank, .data = t->data};
    b->bytes = tg_dtype_bytes(b->dtype, io_elements(t));
    for (int a = 0; a < t->rank; a++) b->dim[a] = t->dim[a];
  }
}

// "f32[4x8]"
static inline const char *tile_text(const char *dtype, int rank, const int64_t *dim) {
  static char text[8][64];
  static int turn;
  char *out = text[turn++ % 8];
  int used = snprintf(out, 64, "%s", dtype);
  for (int i = 0; i < rank; i++) used += snprintf(out + used, (size_t)(64 - used), "%c%lld", i ? 'x' : '[', (long long)dim[i]);
  if (rank) snprintf(out + used, (size_t)(64 - used), "]");
  return out;
}

// Text of a one-block kernel around `body`.
static inline void wrap(char *out, size_t size, int n, const io *tensors, const char *body) {
  size_t used = (size_t)snprintf(out, size, "kernel t tile {\n");
#define ADD(...) used += (size_t)snprintf(out + used, size - used, __VA_ARGS__)
  for (int i = 0; i < n; i++) {
    const io *t = &tensors[i];
    ADD("  %s %s : %s[", t->kind ? t->kind : t->output ? "output" : "input", t->name, t->dtype);
    for (int a = 0; a < t->rank; a++) ADD("%s%lld", a ? ", " : "", (long long)t->dim[a]);
    ADD("]\n");
  }
  ADD("  launch (1) {\n    %%zero = const {type = i64, value = 0} : i64\n");
  for (int i = 0; i < n; i++) {
    const io *t = &tensors[i];
    ADD("    %%p%s = param {name = \"%s\", type = view<%s,%d>} : view<%s,%d>\n", t->name, t->name, t->dtype, t->rank, t->dtype, t->rank);
    for (int a = 0; a < t->rank; a++) {
      ADD("    %%n%s%d = const {type = i64, value = %lld} : i64\n", t->name, a, (long long)t->dim[a]);
      ADD("    %%r%s%d = range %%zero, %%n%s%d {len = %lld, align = 1} : range<%lld>\n", t->name, a, t->name, a, (long long)t->dim[a],
          (long long)t->dim[a]);
    }
    if (t->output) continue;
    ADD("    %%%s = load %%p%s", t->name, t->name);
    for (int a = 0; a < t->rank; a++) ADD(", %%r%s%d", t->name, a);
    ADD(" : %s\n", tile_text(t->dtype, t->rank, t->dim));
  }
  ADD("%s\n", body);
  for (int i = 0; i < n; i++) {
    const io *t = &tensors[i];
    if (!t->output || t->kind) continue;
    ADD("    store %%p%s", t->name);
    for (int a = 0; a < t->rank; a++) ADD(", %%r%s%d", t->name, a);
    ADD(", %%o%s\n", t->name);
  }
  ADD("  }\n}\n");
#undef ADD
}

static inline tg_status run_text(int n, const io *tensors, const char *text) {
  job j = {.text = text};
  bind(&j, n, tensors);
  return run_job(&j);
}

static inline tg_status run_body(int n, const io *tensors, const char *body) {
  static char text[16384];
  wrap(text, sizeof text, n, tensors, body);
  return run_text(n, tensors, text);
}

static inline bool has_run(tg_status status, const char *text) {
  if (status == TG_OK) return true;
  for (int i = 0; may_refuse && may_refuse[i]; i++) {
    if (status != TG_INVALID || !strstr(tg_error_message(ctx), may_refuse[i])) continue;
    refused++;
    return false;
  }
  CHECKF(status == TG_OK, "%s\nof\n%s", tg_error_message(ctx), text);
  return false;
}

// The body must run, or be refused as the device may; what it gave is looked at only when it ran.
#define RUN(n, tensors, body)                                                                                                              \
  do {                                                                                                                                     \
    if (!has_run(run_body(n, tensors, body), body)) return;                                                                                \
  } while (0)

static inline bool same_double(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b && signbit(a) == signbit(b);
}

// Each runs its cases on a device and says what it checked; 0 = all as it should be. `refusals` ends with NULL; NULL = none.
int ops_elementwise(const char *name, const char *const *refusals);
int ops_shape(const char *name, const char *const *refusals);
int ops_memory(const char *name, const char *const *refusals);
#endif
