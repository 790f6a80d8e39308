// The correctness gate. The interpreter runs the kernel with its smallest tiles, on sampled blocks and on the last block along every axis
// of the grid; a candidate's outputs must agree with it wherever it wrote. The reference does not depend on the candidate: its last row and
// column of small blocks lie in every edge block of every candidate.
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/run.h"

enum { MAX_BLOCKS = 1 << 16, MAX_INNER = 1024, MAGNITUDE_BITS = 12 };
static const double FLOPS = 1e8; // of the sampled blocks; the interpreter does some 4e8 a second

typedef struct reference_run {
  tg_context *ctx;
  tg_arena *arena;
  const tg_subject *subject;
  const tg_inputs *inputs;
  uint64_t seed;
  tg_kernel *tile;
  tg_tensor *tensors;
  int ntensors;
  int nbuffers;
  void **buffers; // workspaces and copies, freed at the end
  int fd;
  char *map;
  size_t size;
} reference_run;

// ---- the file: per output its values, then its magnitudes

static size_t round_up(size_t n) { return (n + 63) & ~(size_t)63; }

static int64_t elements_of(const tg_array *array) {
  int64_t n = 1;
  for (int i = 0; i < array->rank; i++) n *= array->dim[i];
  return n;
}

static size_t layout(const tg_inputs *inputs, char *base, tg_reference *out) {
  size_t offset = 0;
  for (int i = 0; i < inputs->n; i++) {
    const tg_array *array = inputs->args[i].array;
    if (!inputs->is_output[i] || !array) continue;
    size_t values = offset, magnitudes = values + round_up(array->bytes);
    offset = magnitudes + round_up(sizeof(float) * (size_t)elements_of(array));
    if (!out) continue;
    out->at[out->n++] = (struct tg_reference_tensor){.name = inputs->args[i].name,
                                                     .dtype = (uint8_t)array->dtype,
                                                     .elements = elements_of(array),
                                                     .values = base + values,
                                                     .magnitude = (const float *)(base + magnitudes)};
  }
  return offset;
}

void tg_reference_map(tg_context *ctx, tg_arena *arena, int fd, const tg_inputs *inputs, tg_reference *out) {
  *out = (tg_reference){.at = TG_NEWN(arena, struct tg_reference_tensor, inputs->n + 1)};
  out->size = layout(inputs, NULL, NULL);
  out->base = out->size ? mmap(NULL, out->size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
  if (out->base == MAP_FAILED) tg_throw(ctx, TG_FAILED, "cannot map the reference result");
  layout(inputs, out->base, out);
}

void tg_reference_unmap(tg_reference *reference) {
  if (reference->base) munmap(reference->base, reference->size);
  reference->base = NULL;
}

// ---- the kernel with its smallest tiles

static bool smaller(const char *a, const char *b) { return strtoll(a, NULL, 10) < strtoll(b, NULL, 10); }

static void trace_smallest(reference_run *r) {
  const tg_subject *s = r->subject;
  const tg_setting *settings;
  int n = tg_kernel_settings(s->signature, &settings), used = 0;
  tg_binding *at = TG_NEWN(r->arena, tg_binding, n + 1);
  for (int i = 0; i < n; i++) {
    if (settings[i].kind != TG_TUNE || !settings[i].nallowed) continue;
    const char *least = settings[i].allowed[0];
    for (int v = 1; v < settings[i].nallowed; v++) least = smaller(settings[i].allowed[v], least) ? settings[i].allowed[v] : least;
    at[used++] = (tg_binding){settings[i].name, least};
  }
  tg_bindings small = tg_bindings_join(r->arena, (tg_bindings){used, at}, s->options);
  if (tg_source_trace(s->source, &small, &s->statics, &r->tile) == TG_OK) return;
  tg_check_status(r->ctx, tg_source_trace(s->source, &s->options, &s->statics, &r->tile)); // not every combination need be one
}

// ---- memory

static void *new_buffer(reference_run *r, size_t bytes) {
  void *memory = tg_realloc(r->ctx, NULL, bytes + 64);
  memset(memory, 0, bytes + 64);
  return r->buffers[r->nbuffers++] = memory;
}

static const tg_argument *argument_of(const tg_inputs *inputs, const char *name) {
  for (int i = 0; i < inputs->n; i++)
    if (!strcmp(inputs->args[i].name, name)) return &inputs->args[i];
  return NULL;
}

static void bind_tensor(reference_run *r, const tg_param *param) {
  const tg_argument *arg = argument_of(r->inputs, param->name);
  tg_tensor *tensor = &r->tensors[r->ntensors++];
  *tensor = (tg_tensor){.name = param->name, .dtype = (uint8_t)param->dtype, .rank = param->rank};
  int64_t elements = 1;
  const char *missing;
  for (int i = 0; i < param->rank; i++) {
    if (!tg_e_eval(param->dims[i], tg_shape_lookup, (void *)(uintptr_t)r->subject, &tensor->dim[i], &missing))
      tg_throw(r->ctx, TG_INVALID, "%s: the extent %s has no value under this shape", param->name, tg_e_text(r->arena, param->dims[i]));
    elements *= tensor->dim[i];
  }
  tensor->bytes = tg_dtype_bytes(param->dtype, elements);
  if (param->kind == TG_INPUT) tensor->data = arg->array->data;
  else tensor->data = new_buffer(r, tensor->bytes);
  if (param->kind == TG_INOUT && tensor->bytes) memcpy(tensor->data, arg->array->data, tensor->bytes);
}

static void bind_all(reference_run *r) {
  int n = r->tile->nparams;
  r->tensors = TG_NEWN(r->arena, tg_tensor, n + 1);
  r->buffers = TG_NEWN(r->arena, void *, 2 * n + 1); // one for the tensor, one for its absolute values
  for (int i = 0; i < n; i++)
    if (r->tile->params[i].kind != TG_SCALAR_PARAM) bind_tensor(r, &r->tile->params[i]);
}

// ---- which blocks

static bool launches_communicate(const tg_kernel *tile) {
  if (tile->nlaunches == 1) return false;
  for (int i = 0; i < tile->nparams; i++)
    if (tile->params[i].kind == TG_WORKSPACE || tile->params[i].kind == TG_INOUT) return true;
  return false;
}

// Adds blocks that lie in the last, possibly partial block along an axis of candidates with larger tiles: where a tile of `step` small ones
// starts last, and one at random from there on. Returns their number, at most MAX_INNER.
static int sample_inner(tg_rng *rng, const int64_t grid[4], int64_t *blocks) {
  int n = 0;
  for (int axis = 0; axis < 4; axis++) {
    for (int64_t step = 2; step < grid[axis]; step = step & (step - 1) ? step / 3 * 4 : step / 2 * 3) { // 2 3 4 6 8 12 …
      int64_t start = (grid[axis] - 1) / step * step;
      for (int i = 0; i < 2; i++) {
        int64_t block = 0;
        for (int a = 3; a >= 0; a--) {
          int64_t at = (int64_t)tg_rng_below(rng, (uint64_t)(a == axis ? grid[a] - start : grid[a]));
          block = block * grid[a] + (a != axis ? at : i ? start + at : start);
        }
        blocks[n++] = block;
      }
    }
  }
  return n;
}

// Fills `blocks` with the last block along every axis longer than 1, some further inside, and as many others as `most` allows; returns
// their number, 0 for all.
static int sample_blocks(reference_run *r, const int64_t grid[4], double most, int64_t *blocks) {
  int64_t total = grid[0] * grid[1] * grid[2] * grid[3];
  int n = 0;
  if ((double)total <= most) return 0;
  for (int64_t b = 0; b < total && n < MAX_BLOCKS / 2; b++) {
    bool edge = false;
    int64_t rest = b;
    for (int axis = 0; axis < 4; rest /= grid[axis++]) edge |= grid[axis] > 1 && rest % grid[axis] == grid[axis] - 1;
    if (edge) blocks[n++] = b;
  }
  tg_rng rng;
  tg_rng_seed(&rng, r->seed);
  int samples = most < 16 ? 16 : most > MAX_BLOCKS / 2 ? MAX_BLOCKS / 2 : (int)most;
  for (int i = 0; i < samples; i++) blocks[n++] = (int64_t)tg_rng_below(&rng, (uint64_t)total);
  return n + sample_inner(&rng, grid, blocks + n);
}

static int compare_blocks(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static bool scalar_of(void *user, const char *name, double *value) {
  const tg_argument *arg = argument_of(((reference_run *)user)->inputs, name);
  if (arg) *value = arg->number;
  return arg != NULL;
}

static void interpret(reference_run *r) {
  void *subject = (void *)(uintptr_t)r->subject;
  int64_t *blocks = TG_NEWN(r->arena, int64_t, MAX_BLOCKS + MAX_INNER);
  double flops = tg_work_of(r->tile, tg_shape_lookup, subject).flops;
  bool all = launches_communicate(r->tile) || !isfinite(flops);
  for (int l = 0; l < r->tile->nlaunches; l++) {
    const tg_launch *launch = r->tile->launches[l];
    int64_t grid[4] = {1, 1, 1, 1};
    const char *missing;
    for (int i = 0; i < launch->naxes; i++)
      if (!tg_e_eval(launch->grid[i], tg_shape_lookup, subject, &grid[i], &missing)) tg_throw(r->ctx, TG_FAILED, "the grid has no value");
    double total = (double)grid[0] * (double)grid[1] * (double)grid[2] * (double)grid[3];
    if (total == 0) continue;
    int n = all ? 0 : sample_blocks(r, grid, flops > 0 ? fmin(FLOPS / flops, 1) * total : total, blocks);
    qsort(blocks, (size_t)n, sizeof *blocks, compare_blocks);
    int unique = 0;
    for (int i = 0; i < n; i++)
      if (!i || blocks[i] != blocks[i - 1]) blocks[unique++] = blocks[i];
    tg_interp_options options = {.nblocks = unique, .blocks = blocks, .only_launch = l, .no_race_check = true};
    tg_interpret(r->tile, r->ntensors, r->tensors, tg_shape_lookup, subject, scalar_of, r, &options);
  }
}

// ---- magnitudes: the same kernel on absolute values

static uint64_t sign_bits(int dtype) {
  switch (dtype) {
  case TG_E2M1: return 0x8888888888888888u;
  case TG_E4M3:
  case TG_E5M2:
  case TG_E4M3FNUZ: return 0x8080808080808080u;
  case TG_F16:
  case TG_BF16: return 0x8000800080008000u;
  case TG_F32: return 0x8000000080000000u;
  case TG_F64: return 0x8000000000000000u;
  default: return 0;
  }
}

static void make_absolute(reference_run *r) {
  for (int i = 0; i < r->ntensors; i++) {
    tg_tensor *tensor = &r->tensors[i];
    const tg_param *param = tg_find_param(r->tile, tensor->name);
    uint64_t mask = sign_bits(tensor->dtype);
    if (param->kind != TG_INPUT || !mask) continue;
    uint64_t *copy = new_buffer(r, tensor->bytes);
    if (tensor->bytes) memcpy(copy, tensor->data, tensor->bytes);
    size_t header = param->flags & TG_PARAM_PACKED ? 8 : 0; // words that say what the packed bytes are
    for (size_t w = header; w < (tensor->bytes + 7) / 8; w++) copy[w] &= ~mask;
    tensor->data = copy;
  }
}

static const tg_tensor *tensor_of(const reference_run *r, const char *name) {
  for (int i = 0; i < r->ntensors; i++)
    if (!strcmp(r->tensors[i].name, name)) return &r->tensors[i];
  tg_throw(r->ctx, TG_FAILED, "the traced kernel has no parameter %s", name);
}

static double element(const void *values, int dtype, int64_t i) {
  tg_array array = {.dtype = dtype, .rank = 1, .dim = {i + 1}, .data = (void *)(uintptr_t)values};
  return tg_array_get(&array, i);
}

static tg_reference mapped(reference_run *r) {
  tg_reference reference = {.at = TG_NEWN(r->arena, struct tg_reference_tensor, r->inputs->n + 1)};
  layout(r->inputs, r->map, &reference);
  return reference;
}

static void store_values(reference_run *r) {
  tg_reference reference = mapped(r);
  for (int i = 0; i < reference.n; i++) {
    const tg_tensor *from = tensor_of(r, reference.at[i].name);
    if (from->bytes) memcpy((void *)(uintptr_t)reference.at[i].values, from->data, from->bytes);
  }
}

// Values narrowed on the way, not for the last time: two right results differ by a rounding of each, not only of f32 sums.
static void find_narrowed(tg_op *op, void *user) {
  for (int i = 0; i < op->nin; i++) {
    const tg_op *cast = op->in[i]->def;
    if (op->code != TG_OP_DOT || !cast || cast->code != TG_OP_CAST || cast->in[0]->type.dtype != TG_F32) continue;
    const int man = tg_dtypes[op->in[i]->type.dtype].man;
    if (!*(int *)user || man < *(int *)user) *(int *)user = man;
  }
}

static void store_magnitudes(reference_run *r) {
  tg_reference reference = mapped(r);
  int narrowest = 0; // mantissa of computed operands of dots; 0 = none is narrowed
  for (int i = 0; i < r->tile->nlaunches; i++) tg_walk(r->tile->launches[i]->body, find_narrowed, &narrowest);
  const double factor = narrowest ? ldexp(1, MAGNITUDE_BITS - 1 - narrowest) : 1;
  for (int i = 0; i < reference.n; i++) {
    const struct tg_reference_tensor *to = &reference.at[i];
    const tg_tensor *from = tensor_of(r, to->name);
    float *magnitude = (float *)(uintptr_t)to->magnitude;
    for (int64_t e = 0; e < to->elements && tg_dtype_is_float(to->dtype); e++) {
      double value = fabs(element(from->data, to->dtype, e));
      magnitude[e] = isnan(value) ? 0 : (float)(value * factor); // Inf: right results may differ by any number
    }
  }
}

static void make(void *arg) {
  reference_run *r = arg;
  r->size = layout(r->inputs, NULL, NULL);
  r->fd = memfd_create("tegula-reference", MFD_CLOEXEC);
  if (r->fd < 0 || ftruncate(r->fd, (off_t)r->size)) tg_throw(r->ctx, TG_FAILED, "cannot make room for the reference result");
  if (r->size) r->map = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
  if (r->map == MAP_FAILED) tg_throw(r->ctx, TG_FAILED, "cannot map the reference result");
  trace_smallest(r);
  bind_all(r);
  interpret(r);
  store_values(r);
  make_absolute(r);
  interpret(r);
  store_magnitudes(r);
}

int tg_reference_make(tg_context *ctx, tg_arena *arena, const tg_subject *subject, const tg_inputs *inputs, uint64_t seed) {
  reference_run r = {.ctx = ctx, .arena = arena, .subject = subject, .inputs = inputs, .seed = seed, .fd = -1};
  tg_status status = tg_protect(ctx, make, &r);
  for (int i = 0; i < r.nbuffers; i++) tg_realloc(ctx, r.buffers[i], 0);
  if (r.tile) tg_kernel_free(r.tile);
  if (r.map && r.map != MAP_FAILED) munmap(r.map, r.size);
  if (status != TG_OK && r.fd >= 0) close(r.fd);
  tg_check_status(ctx, status);
  return r.fd;
}

// ---- comparing

// Difference that two right results of this dtype may show at one element. Library kernels are judged within 2^-8 |ref| + 2^-13 sum|a||b|
// of a float64 oracle for 16-bit outputs (docs/tuning.md): two right results are within twice that. Wider and narrower outputs scale the
// first term with their own precision; f32 sums in another order differ by far less.
static double tolerance_of(int dtype, double reference, double magnitude) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  if (!tg_dtype_is_float(dtype)) return 0;
  if (dtype == TG_F32 || dtype == TG_F64) return ldexp(fabs(reference), -20) + ldexp(magnitude, -16);
  double least = ldexp(1, 1 - row->bias - row->man); // smallest subnormal
  return ldexp(fabs(reference), -row->man) + ldexp(magnitude, -MAGNITUDE_BITS) + least;
}

static bool is_poison(const struct tg_reference_tensor *t, int64_t i) {
  size_t size = (size_t)tg_dtype_bits(t->dtype) / 8;
  unsigned char poison = t->dtype == TG_E4M3FNUZ ? 0x80 : 0xff;
  const unsigned char *bytes = (const unsigned char *)t->values + (size ? (size_t)i * size : (size_t)i / 2);
  for (size_t b = 0; b < (size ? size : 1); b++)
    if (bytes[b] != poison) return false;
  return true;
}

static bool agrees(double got, double want, double tolerance) {
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
  if (isinf(want) || isinf(got)) return want == got;
  return fabs(got - want) <= tolerance;
}

// Of f32 and f64, what is subtracted within a kernel may cancel (p - 1 of a softmax), and two right exponentials differ by 3 ulp
// (ir/elementwise.def), which the element's own size does not show: the tensor's largest element tells the scale.
static double cancelled(const struct tg_reference_tensor *t) {
  double largest = 0;
  if (t->dtype != TG_F32 && t->dtype != TG_F64) return 0;
  for (int64_t i = 0; i < t->elements; i++) {
    const double size = is_poison(t, i) ? 0 : fabs(element(t->values, t->dtype, i));
    if (isfinite(size) && size > largest) largest = size;
  }
  return ldexp(largest, -20);
}

const char *tg_gate(tg_arena *arena, const tg_reference *reference, const tg_inputs *outputs) {
  for (int k = 0; k < reference->n; k++) {
    const struct tg_reference_tensor *t = &reference->at[k];
    const tg_array *array = argument_of(outputs, t->name)->array;
    const double least = cancelled(t);
    int64_t wrong = 0, covered = 0, first = 0;
    for (int64_t i = 0; i < t->elements; i++) {
      if (is_poison(t, i)) continue;
      double want = element(t->values, t->dtype, i), got = tg_array_get(array, i);
      covered++;
      if (!agrees(got, want, tolerance_of(t->dtype, want, t->magnitude[i]) + least) && !wrong++) first = i;
    }
    if (wrong)
      return tg_arena_printf(
          arena, "wrong result: %s's element %lld is %.9g where the interpreter has %.9g; %lld of %lld compared are wrong", t->name,
          (long long)first, tg_array_get(array, first), element(t->values, t->dtype, first), (long long)wrong, (long long)covered);
  }
  return NULL;
}
