// Reproducible arguments for a kernel: by dtype and by what the declaration says about a parameter.
#include <math.h>
#include <stdlib.h>

#include "autotune/autotune.h"
#include "targets/run.h"

typedef struct maker {
  tg_context *ctx;
  tg_arena *arena;
  const tg_subject *subject;
  tg_device *device;
  uint64_t seed;
  tg_inputs *out;
} maker;

static int64_t extent(maker *m, const tg_param *param, const tg_expr *e) {
  int64_t value;
  const char *missing = NULL;
  if (tg_e_eval(e, tg_shape_lookup, (void *)(uintptr_t)m->subject, &value, &missing) && value >= 0) return value;
  tg_throw(m->ctx, TG_INVALID, "%s: the extent %s has no value under this shape", param->name, tg_e_text(m->arena, e));
}

// Scales are tensors with one value for every so many elements: their extents are rounded quotients.
static bool has_quotient(const tg_expr *e) {
  return e && (e->op == TG_EXPR_CEILDIV || (e->op != TG_EXPR_CONST && e->op != TG_EXPR_SYM && (has_quotient(e->a) || has_quotient(e->b))));
}

static bool is_scale(const tg_param *param) {
  bool quotient = false;
  for (int i = 0; i < param->rank; i++) quotient |= has_quotient(param->dims[i]);
  return quotient && param->dtype == TG_F32 && !(param->flags & TG_PARAM_PACKED);
}

// Codes of a narrow float that are numbers: no NaN, no Inf.
static void fill_codes(tg_rng *rng, uint8_t *codes, size_t n, int dtype) {
  bool usable[256];
  uint8_t replacement = 0;
  for (int code = 0; code < 256; code++) usable[code] = dtype == TG_E2M1 || isfinite(tg_decode(dtype, (uint64_t)code));
  for (size_t i = 0; i < n; i += 8) {
    uint64_t bits = tg_rng_next(rng);
    for (size_t k = i; k < n && k < i + 8; k++, bits >>= 8) {
      uint8_t code = (uint8_t)bits;
      codes[k] = usable[code] ? code : replacement++ & 0x3f;
    }
  }
}

// Offsets that share out what there is alike; indices that all differ as long as there are enough, else any. Few of many count down from
// the greatest, so that lengths are long: workload.c takes them for the greatest.
static void fill_indices(maker *m, tg_rng *rng, const tg_param *param, tg_array *array) {
  enum { MOST = 1 << 24 };
  int64_t n = 1, limit = extent(m, param, param->below);
  for (int i = 0; i < array->rank; i++) n *= array->dim[i];
  if (param->flags & TG_PARAM_OFFSETS) {
    for (int64_t i = 0; i < n; i++) tg_array_set(array, i, n > 1 ? (double)limit * (double)i / (double)(n - 1) : 0);
    return;
  }
  if (n <= limit / TG_MANY_INDICES) {
    for (int64_t i = 0; i < n; i++) tg_array_set(array, i, (double)(limit - 1 - i));
    return;
  }
  const bool differ = n <= limit && limit <= MOST;
  int32_t *left = differ ? TG_NEWN(m->arena, int32_t, limit + 1) : NULL;
  for (int64_t i = 0; left && i < limit; i++) left[i] = (int32_t)i;
  for (int64_t i = 0; i < n; i++) {
    int64_t value = limit > 0 ? (int64_t)(tg_rng_next(rng) >> 1) % (differ ? limit - i : limit) : 0;
    if (differ) {
      const int64_t at = i + value;
      value = left[at], left[at] = left[i];
    }
    tg_array_set(array, i, (double)value);
  }
}

static void fill(maker *m, tg_rng *rng, const tg_param *param, tg_array *array) {
  if (param->below) {
    fill_indices(m, rng, param, array);
    return;
  }
  int64_t n = 1;
  for (int i = 0; i < array->rank; i++) n *= array->dim[i];
  float *f32 = array->data;
  uint16_t *bf16 = array->data;
  switch (param->dtype) {
  case TG_E4M3:
  case TG_E4M3FNUZ:
  case TG_E5M2:
  case TG_E8M0:
  case TG_E2M1:
  case TG_I8: fill_codes(rng, array->data, array->bytes, param->dtype == TG_I8 ? TG_E2M1 : param->dtype); break;
  case TG_F32:
    for (int64_t i = 0; i < n; i++) f32[i] = (float)(is_scale(param) ? 0.5 + tg_rng_unit(rng) : 2 * tg_rng_unit(rng) - 1);
    break;
  case TG_BF16:
    for (int64_t i = 0; i < n; i++) bf16[i] = tg_f32_to_bf16((float)(2 * tg_rng_unit(rng) - 1));
    break;
  case TG_F16:
  case TG_F64:
    for (int64_t i = 0; i < n; i++) tg_array_set(array, i, 2 * tg_rng_unit(rng) - 1);
    break;
  default: break; // integers of no stated meaning: 0
  }
}

static tg_rng rng_for(const maker *m, const char *name) {
  tg_rng rng;
  tg_rng_seed(&rng, m->seed ^ tg_hash(name, strlen(name), 0));
  return rng;
}

static tg_array *new_array(maker *m, tg_dtype dtype, int rank, const int64_t *dim) {
  tg_array *array;
  tg_check_status(m->ctx, tg_array_new(m->ctx, dtype, rank, dim, &array));
  return array;
}

// ---- packed weights: logical rows, through the library's pack_weights on the same device

typedef struct pack_call {
  maker *maker;
  tg_array *weights, *packed;
  tg_binding matrices;
  tg_source *source;
  tg_launchable *launchable;
  double seconds;
} pack_call;

static void pack_body(void *arg) {
  pack_call *p = arg;
  tg_context *ctx = p->maker->ctx;
  tg_check_status(ctx, tg_source_load(ctx, "pack_weights", &p->source));
  tg_argument args[] = {{.name = "B", .array = p->weights}, {.name = "Bp", .array = p->packed}};
  tg_run_options options = {.settings = {p->weights->rank > 2, &p->matrices}, .threads = p->maker->subject->threads};
  tg_check_status(ctx, tg_prepare(p->maker->device, p->source, &options, 2, args, &p->launchable));
  tg_check_status(ctx, tg_launchable_run(p->launchable, 1, &p->seconds));
  tg_check_status(ctx, tg_launchable_fetch(p->launchable));
}

static void pack(maker *m, const tg_param *param, tg_array *packed) {
  const bool several = param->packed[2];
  int64_t dim[3] = {several ? extent(m, param, param->packed[2]) : 1, extent(m, param, param->packed[0]),
                    extent(m, param, param->packed[1])};
  pack_call p = {.maker = m, .weights = new_array(m, param->dtype, several ? 3 : 2, dim + !several), .packed = packed};
  p.matrices = (tg_binding){"experts", tg_arena_printf(m->arena, "%lld", (long long)dim[0])};
  tg_rng rng = rng_for(m, param->name);
  fill(m, &rng, param, p.weights);
  tg_status status = tg_protect(m->ctx, pack_body, &p);
  tg_launchable_free(p.launchable);
  tg_source_free(p.source);
  tg_array_free(m->ctx, p.weights);
  tg_check_status(m->ctx, status);
  m->out->packed[m->out->npacked++] = param->name;
  m->out->pack_seconds += p.seconds;
}

// ---- all of them

static double scalar_for(const tg_param *param) {
  if (!tg_dtype_is_float(param->dtype)) return 1;
  return strstr(param->name, "eps") ? 1e-6 : 0.125;
}

static void make_one(maker *m, const tg_param *param) {
  tg_inputs *out = m->out;
  tg_argument *arg = &out->args[out->n];
  out->is_output[out->n] = param->kind == TG_OUTPUT || param->kind == TG_INOUT;
  *arg = (tg_argument){.name = param->name};
  out->n++;
  if (param->kind == TG_SCALAR_PARAM) {
    arg->number = scalar_for(param);
    return;
  }
  int64_t dim[TG_MAX_RANK];
  for (int i = 0; i < param->rank; i++) dim[i] = extent(m, param, param->dims[i]);
  arg->array = new_array(m, param->dtype, param->rank, dim);
  if (param->kind == TG_OUTPUT) return;
  tg_rng rng = rng_for(m, param->name);
  if (param->flags & TG_PARAM_PACKED && param->packed[0]) pack(m, param, arg->array);
  else fill(m, &rng, param, arg->array);
}

static void make_all(void *arg) {
  maker *m = arg;
  const tg_kernel *signature = m->subject->signature;
  for (int i = 0; i < signature->nparams; i++)
    if (signature->params[i].kind != TG_WORKSPACE) make_one(m, &signature->params[i]);
}

void tg_inputs_make(tg_context *ctx, tg_arena *arena, const tg_subject *subject, tg_device *device, uint64_t seed, tg_inputs *out) {
  int n = subject->signature->nparams + 1;
  *out =
      (tg_inputs){.args = TG_NEWN(arena, tg_argument, n), .is_output = TG_NEWN(arena, bool, n), .packed = TG_NEWN(arena, const char *, n)};
  maker m = {ctx, arena, subject, device, seed, out};
  tg_status status = tg_protect(ctx, make_all, &m);
  if (status != TG_OK) tg_inputs_free(ctx, out);
  tg_check_status(ctx, status);
}

void tg_inputs_free(tg_context *ctx, tg_inputs *inputs) {
  for (int i = 0; i < inputs->n; i++) tg_array_free(ctx, inputs->args[i].array);
  inputs->n = 0;
}
