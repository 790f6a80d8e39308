// Runs pieces of .tile text on the interpreter: every input is loaded whole as %NAME, every output stored whole from %oNAME; the body between is
// the test's.
#ifndef TG_INTERP_TEST_H
#define TG_INTERP_TEST_H
#include <math.h>
#include <stdint.h>

#include "ir/ir.h"
#include "test.h"

typedef struct io {
  const char *name, *dtype;
  int rank;
  int64_t dim[4];
  void *data;      // elements as stored
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
  tg_interpret(i->kernel, j->ntensors, j->tensors, j->lookup ? j->lookup : no_symbol, j->user, j->scalar, j->user, j->options ? j->options : &all);
}

static inline tg_status run_job(job *j) {
  tg_kernel *kernel = NULL;
  if (tg_kernel_parse(ctx, j->text, strlen(j->text), "test.tile", &kernel)) return ctx->status;
  const tg_status status = tg_protect(ctx, interpret, &(interpretation){kernel, j});
  tg_kernel_free(kernel);
  return status;
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
      ADD("    %%r%s%d = range %%zero, %%n%s%d {len = %lld, align = 1} : range<%lld>\n", t->name, a, t->name, a, (long long)t->dim[a], (long long)t->dim[a]);
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

// The body must run; shows the message and the text when it does not.
#define RUN(n, tensors, body)                                                        \
  do {                                                                               \
    const tg_status status_ = run_body(n, tensors, body);                            \
    CHECKF(status_ == TG_OK, "%s\nof\n%s", tg_error_message(ctx), body);             \
  } while (0)

static inline bool same_double(double a, double b) {
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
  return a == b && signbit(a) == signbit(b);
}
#endif
