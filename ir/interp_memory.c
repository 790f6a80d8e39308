// Tensors, views, loads, stores, atomics; who owns which element.
#include <math.h>

#include "ir/interp.h"

#define MANY UINT32_MAX

// ---- parameters

static void evaluate_dims(tg_interp_run *run, const tg_param *p, int64_t *dim) {
  for (int i = 0; i < p->rank; i++) {
    const char *missing = NULL;
    if (tg_e_eval(p->dims[i], run->lookup, run->lookup_user, &dim[i], &missing)) continue;
    if (missing)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': '%s' of %s's axis %d has no value; give its tensor or a shape", run->kernel->name,
               missing, p->name, i);
    tg_throw(run->ctx, TG_INVALID, "kernel '%s': axis %d of %s cannot be computed (overflow or division by 0)", run->kernel->name, i,
             p->name);
  }
}

// Storage that the parameter needs; throws when it does not fit an int64.
static int64_t bytes_of(tg_interp_run *run, const tg_param *p, const int64_t *dim) {
  int64_t n = 1;
  for (int i = 0; i < p->rank; i++) {
    if (dim[i] < 0)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': axis %d of %s would have %lld elements", run->kernel->name, i, p->name,
               (long long)dim[i]);
    if (__builtin_mul_overflow(n, dim[i], &n) || n > INT64_MAX / 64)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': %s is too large", run->kernel->name, p->name);
  }
  return (int64_t)tg_dtype_bytes(p->dtype, n);
}

static void bind_storage(tg_interp_run *run, tg_interp_tensor *t, int ntensors, const tg_tensor *tensors) {
  const tg_param *p = t->param;
  const int64_t need = bytes_of(run, p, t->dim);
  for (int i = 0; i < ntensors; i++) {
    if (strcmp(tensors[i].name, p->name)) continue;
    t->storage = tensors[i];
    if (!(p->flags & TG_PARAM_PACKED)) t->storage.bytes = t->storage.data ? (size_t)need : 0;
    if (!t->storage.data && (need == 0 || (p->flags & TG_PARAM_OPTIONAL))) return;
    if (!t->storage.data || tensors[i].bytes < (size_t)need)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': %s needs %lld bytes, its buffer has %zu", run->kernel->name, p->name, (long long)need,
               t->storage.data ? tensors[i].bytes : 0);
    return;
  }
  t->storage = (tg_tensor){.name = p->name, .dtype = (uint8_t)p->dtype, .rank = p->rank};
  if (p->flags & TG_PARAM_OPTIONAL || need == 0) return;
  if (p->kind != TG_WORKSPACE) tg_throw(run->ctx, TG_INVALID, "kernel '%s': no tensor was given for %s", run->kernel->name, p->name);
  t->storage.data = tg_arena_alloc(&run->arena, (size_t)need);
  t->storage.bytes = (size_t)need;
}

static void find_reinterpreting(tg_op *op, void *user) {
  bool *found = user;
  if (op->code == TG_OP_VIEW && tg_dtypes[op->in[0]->type.dtype].bits != tg_dtypes[op->out[0]->type.dtype].bits) *found = true;
}

void tg_interp_bind(tg_interp_run *run, int ntensors, const tg_tensor *tensors) {
  tg_kernel *kernel = run->kernel;
  bool reinterpreting = false; // then bytes are what is owned, else elements
  for (int l = 0; l < kernel->nlaunches; l++) tg_walk(kernel->launches[l]->body, find_reinterpreting, &reinterpreting);
  run->tensors = TG_NEWN(&run->arena, tg_interp_tensor, kernel->nparams + 1);
  for (int i = 0; i < kernel->nparams; i++) {
    const tg_param *p = &kernel->params[i];
    if (p->kind == TG_SCALAR_PARAM) continue;
    tg_interp_tensor *t = &run->tensors[run->ntensors++];
    t->param = p;
    t->writable = p->kind != TG_INPUT;
    t->unit = reinterpreting ? 1 : tg_interp_width(p->dtype);
    evaluate_dims(run, p, t->dim);
    bind_storage(run, t, ntensors, tensors);
    if (t->writable && t->storage.data && !(run->options && run->options->no_race_check))
      t->owners = TG_NEWN(&run->arena, tg_interp_owner, t->storage.bytes / (size_t)t->unit + 1);
  }
}

static uint8_t poison_byte(int dtype) { return dtype == TG_E4M3FNUZ ? 0x80 : 0xff; } // NaN where the dtype has one, -1 in integers

void tg_interp_poison(tg_interp_run *run) {
  for (int i = 0; i < run->ntensors; i++) {
    tg_interp_tensor *t = &run->tensors[i];
    if (!t->storage.data || (t->param->kind != TG_OUTPUT && t->param->kind != TG_WORKSPACE)) continue;
    memset(t->storage.data, t->param->flags & TG_PARAM_ZERO ? 0 : poison_byte(t->param->dtype), t->storage.bytes);
  }
}

void tg_interp_forget_owners(tg_interp_run *run) {
  for (int i = 0; i < run->ntensors; i++) {
    tg_interp_tensor *t = &run->tensors[i];
    if (t->owners) memset(t->owners, 0, sizeof *t->owners * (t->storage.bytes / (size_t)t->unit + 1));
  }
}

// ---- views

void tg_interp_param(tg_interp_run *run, const tg_op *op) {
  const char *name = tg_attr_str(op, "name", "");
  tg_interp_slot *s = tg_interp_slot_of(run, op->out[0]);
  for (s->tensor = 0; s->tensor < run->ntensors && strcmp(run->tensors[s->tensor].param->name, name);) s->tensor++;
  if (s->tensor == run->ntensors) tg_interp_fail(run, op, "the kernel has no tensor parameter '%s'", name);
  const tg_interp_tensor *t = &run->tensors[s->tensor];
  if (op->out[0]->type.dtype != t->param->dtype || op->out[0]->type.rank != t->param->rank)
    tg_interp_fail(run, op, "'%s' is used with another dtype or rank than it is declared with", name);
  s->offset = 0;
  int64_t n = 1;
  for (int i = t->param->rank - 1; i >= 0; i--) {
    s->dim[i] = t->dim[i];
    s->stride[i] = n;
    n *= t->dim[i];
  }
}

void tg_interp_view(tg_interp_run *run, const tg_op *op) {
  tg_interp_slot *s = tg_interp_slot_of(run, op->out[0]);
  const int rank = op->out[0]->type.rank;
  s->tensor = tg_interp_slot_of(run, op->in[0])->tensor;
  s->offset = tg_interp_int(run, op->in[1]);
  for (int i = 0; i < rank; i++) {
    s->dim[i] = tg_interp_int(run, op->in[2 + i]);
    s->stride[i] = tg_interp_int(run, op->in[2 + rank + i]);
  }
}

// ---- access: which elements of a tensor a tile's elements are

typedef struct axis {
  int64_t length;        // along the tile
  const int64_t *vector; // indices; NULL: start, start + 1, …
  int64_t start, limit;  // inside while 0 <= index < limit
  int64_t stride;
} axis;

typedef struct access {
  tg_interp_run *run;
  const tg_op *op;
  tg_interp_tensor *tensor;
  int dtype, bits;
  int64_t width; // bytes of an element in the tile
  int naxes;     // kept ones, outermost first; the last one's elements are a row
  axis axes[TG_MAX_RANK + 1];
  __int128 base; // of the axes that were dropped, in elements
  bool outside;  // a dropped axis is out of bounds
} access;

static const int64_t *vector_of(tg_interp_run *run, const tg_value *v) {
  return tg_interp_ints(run, v->type.dtype, tg_interp_slot_of(run, v)->data, v->type.dim[0], 4);
}

static access access_of(tg_interp_run *run, const tg_op *op) {
  const tg_interp_slot *view = tg_interp_slot_of(run, op->in[0]);
  const tg_type t = op->in[0]->type;
  access a = {.run = run, .op = op, .tensor = &run->tensors[view->tensor], .dtype = t.dtype, .bits = tg_dtypes[t.dtype].bits};
  a.width = tg_interp_width(t.dtype);
  a.base = view->offset;
  for (int i = 0; i < t.rank; i++) {
    const tg_value *index = op->in[1 + i];
    const tg_interp_slot *s = tg_interp_slot_of(run, index);
    axis x = {.limit = view->dim[i], .stride = view->stride[i]};
    if (index->type.kind == TG_RANGE) {
      x.length = index->type.dim[0];
      x.start = s->start;
      if (s->end < x.limit) x.limit = s->end;
      a.axes[a.naxes++] = x;
    } else if (index->type.rank == 1) {
      x.length = index->type.dim[0];
      x.vector = vector_of(run, index);
      a.axes[a.naxes++] = x;
    } else {
      const int64_t at = tg_interp_int(run, index);
      if (at < 0 || at >= x.limit) a.outside = true;
      else a.base += (__int128)at * x.stride;
    }
  }
  if (a.naxes == 0) a.axes[a.naxes++] = (axis){.length = 1, .limit = 1};
  return a;
}

// Throws unless element `at` of the view's storage lies in the tensor.
static int64_t checked(const access *a, __int128 at) {
  if (at >= 0 && (at + 1) * a->bits <= (__int128)a->tensor->storage.bytes * 8) return (int64_t)at;
  const bool far = at < INT64_MIN || at > INT64_MAX;
  tg_interp_fail(a->run, a->op,
                 "the view of '%s' leads outside its storage: to element %lld%s (%s) of %zu bytes; its offset, dims or strides are wrong",
                 a->tensor->param->name, far ? 0 : (long long)at, far ? " and beyond" : "", tg_dtypes[a->dtype].name,
                 a->tensor->storage.bytes);
}

// A row of the access: elements [from, to) of it are inside (a vector's are looked at one by one), the first at tile element `tile`, row
// element 0 at `base` of the storage.
typedef struct row {
  int64_t tile, from, to;
  __int128 base;
} row;

// The next row in *state (tile = -1 to begin with); false at the end.
static bool next_row(const access *a, row *r, int64_t *state) {
  const axis *inner = &a->axes[a->naxes - 1];
  int64_t rows = 1;
  for (int i = 0; i < a->naxes - 1; i++) rows *= a->axes[i].length;
  if (*state == rows) return false;
  int64_t rest = *state;
  bool outside = a->outside;
  *r = (row){.tile = *state * inner->length, .base = a->base};
  for (int i = a->naxes - 2; i >= 0; i--) {
    const axis *x = &a->axes[i];
    const int64_t j = rest % x->length;
    rest /= x->length;
    const __int128 at = x->vector ? x->vector[j] : (__int128)x->start + j;
    if (at < 0 || at >= x->limit) outside = true;
    else r->base += at * x->stride;
  }
  if (!outside && inner->vector) {
    r->to = inner->length;
  } else if (!outside) {
    const __int128 from = inner->start < 0 ? -(__int128)inner->start : 0, to = (__int128)inner->limit - inner->start;
    r->from = from > inner->length ? inner->length : (int64_t)from;
    r->to = to > inner->length ? inner->length : to < r->from ? r->from : (int64_t)to;
    if (r->to > r->from) { // the ends bound what lies between
      r->base += (__int128)inner->start * inner->stride;
      checked(a, r->base + (__int128)r->from * inner->stride);
      checked(a, r->base + (__int128)(r->to - 1) * inner->stride);
    }
  }
  ++*state;
  return true;
}

// Storage element of the row's element j, or -1 where a vector points outside.
static inline int64_t element_at(const access *a, const row *r, int64_t j) {
  const axis *inner = &a->axes[a->naxes - 1];
  if (!inner->vector) return (int64_t)(r->base + (__int128)j * inner->stride);
  const int64_t at = inner->vector[j];
  if (at < 0 || at >= inner->limit) return -1;
  return checked(a, r->base + (__int128)at * inner->stride);
}

// ---- owners

typedef enum touch { READ, WRITE, ATOMIC } touch;

_Noreturn static void report_race(const access *a, int64_t element, const tg_interp_owner *o, uint32_t me, touch how) {
  static const char *const verbs[] = {"read", "written", "updated atomically"};
  const uint32_t other = o->writer && o->writer != me ? o->writer : o->atomic && o->atomic != me ? o->atomic : o->reader;
  const char *did = o->writer == other ? "written" : o->atomic == other ? "updated atomically" : "read";
  if (other == MANY)
    tg_interp_fail(a->run, a->op, "a race: element %lld of '%s' is %s here and was %s by other blocks of the same launch",
                   (long long)element, a->tensor->param->name, verbs[how], did);
  tg_interp_fail(
      a->run, a->op,
      "a race: element %lld of '%s' is %s here and was %s by block %u of the same launch; blocks have no order, use two launches",
      (long long)element, a->tensor->param->name, verbs[how], did, other - 1);
}

static void touch_one(const access *a, int64_t element, touch how) {
  tg_interp_tensor *t = a->tensor;
  if (!t->owners) return;
  const uint32_t me = (uint32_t)a->run->block + 1;
  const int64_t first = element * a->bits / 8 / t->unit, last = ((element + 1) * a->bits + 7) / 8;
  for (int64_t u = first; u * t->unit < last; u++) {
    tg_interp_owner *o = &t->owners[u];
    const bool writer = o->writer && o->writer != me, reader = o->reader && o->reader != me, atomic = o->atomic && o->atomic != me;
    if (writer || (how != READ && reader) || (how != ATOMIC && atomic)) report_race(a, element, o, me, how);
    uint32_t *mine = how == READ ? &o->reader : how == WRITE ? &o->writer : &o->atomic;
    *mine = *mine && *mine != me ? MANY : me;
  }
}

// ---- elements of storage

static bool is_dropped(const access *a) { return !a->tensor->storage.data && (a->tensor->param->flags & TG_PARAM_OPTIONAL); }

static inline void get(const access *a, int64_t element, uint8_t *to) {
  const uint8_t *data = a->tensor->storage.data;
  if (a->bits == 4) *to = data[element / 2] >> (element & 1 ? 4 : 0) & 0xf;
  else tg_interp_copy(to, data + element * a->width, a->width);
  if (a->dtype == TG_I1) *to = *to != 0;
}

static inline void put(const access *a, int64_t element, const uint8_t *from) {
  uint8_t *data = a->tensor->storage.data;
  if (a->bits != 4) {
    tg_interp_copy(data + element * a->width, from, a->width);
    return;
  }
  uint8_t *byte = data + element / 2;
  *byte = element & 1 ? (uint8_t)((*byte & 0x0f) | *from << 4) : (uint8_t)((*byte & 0xf0) | *from);
}

static bool is_contiguous(const access *a) {
  const axis *inner = &a->axes[a->naxes - 1];
  return !inner->vector && inner->stride == 1 && a->bits >= 8 && a->dtype != TG_I1;
}

// What a load gives outside: 0, the fill, or bytes that no store should let through.
static uint64_t outside_value(const access *a) {
  const tg_attr *value = tg_find_attr(a->op, "fill");
  if (tg_attr_int(a->op, "any", 0)) {
    if (a->dtype == TG_I1) return 1;
    if (a->dtype == TG_E2M1) return 0x7;
    if (tg_dtype_is_float(a->dtype)) return poison_byte(a->dtype) == 0xff ? UINT64_MAX : 0x80;
    return UINT64_C(0x5555555555555555);
  }
  if (!value) return 0; // the code 0, which is 2^-127 in e8m0
  if (!tg_dtype_is_float(a->dtype)) return (uint64_t)value->i;
  return tg_encode(a->dtype, value->kind == TG_ATTR_INT ? (double)value->i : value->f, TG_ROUND_IEEE);
}

void tg_interp_load(tg_interp_run *run, const tg_op *op) {
  const access a = access_of(run, op);
  const int64_t n = tg_type_elements(op->out[0]->type);
  uint8_t *tile = tg_interp_buffer(run, op->out[0]);
  const uint64_t outside = outside_value(&a);
  tg_interp_fill(tile, n, a.width, outside);
  if (is_dropped(&a)) return;
  const bool run_of_bytes = is_contiguous(&a);
  row r;
  for (int64_t state = 0; next_row(&a, &r, &state);) {
    if (run_of_bytes && r.to > r.from) {
      const int64_t first = element_at(&a, &r, r.from);
      memcpy(tile + (r.tile + r.from) * a.width, (const uint8_t *)a.tensor->storage.data + first * a.width,
             (size_t)((r.to - r.from) * a.width));
      if (a.tensor->owners)
        for (int64_t j = r.from; j < r.to; j++) touch_one(&a, element_at(&a, &r, j), READ);
      continue;
    }
    for (int64_t j = r.from; j < r.to; j++) {
      const int64_t element = element_at(&a, &r, j);
      if (element < 0) continue;
      touch_one(&a, element, READ);
      get(&a, element, tile + (r.tile + j) * a.width);
    }
  }
}

// ---- stores

// The tile and the mask of a store, scatter or atomic.
static const uint8_t *stored_tile(tg_interp_run *run, const tg_op *op, const uint8_t **mask) {
  const int rank = op->in[0]->type.rank;
  *mask = tg_attr_int(op, "mask", 0) ? tg_interp_slot_of(run, op->in[2 + rank])->data : NULL;
  return tg_interp_slot_of(run, op->in[1 + rank])->data;
}

static void refuse_input(const access *a) {
  if (!a->tensor->writable)
    tg_interp_fail(a->run, a->op, "'%s' is an input and cannot be stored to; declare it k.inout", a->tensor->param->name);
}

// Indices of a scatter's vector that lie inside and keep an element under the mask must differ.
static void check_scatter(const access *a, const uint8_t *mask) {
  int which = -1;
  int64_t inner = 1, outer = 1;
  for (int i = 0; i < a->naxes; i++) {
    if (a->axes[i].vector) which = i;
    else *(which < 0 ? &outer : &inner) *= a->axes[i].length;
  }
  if (which < 0) return;
  const axis *x = &a->axes[which];
  bool *used = tg_interp_scratch_of(a->run, 5, (size_t)x->length);
  for (int64_t j = 0; j < x->length; j++) {
    used[j] = !mask;
    for (int64_t o = 0; mask && o < outer; o++)
      for (int64_t i = 0; i < inner; i++) used[j] |= mask[(o * x->length + j) * inner + i] != 0;
    if (x->vector[j] < 0 || x->vector[j] >= x->limit) used[j] = false;
    for (int64_t i = 0; used[j] && i < j; i++)
      if (used[i] && x->vector[i] == x->vector[j])
        tg_interp_fail(a->run, a->op, "a scatter stores to index %lld of '%s' twice (elements %lld and %lld of the index tile)",
                       (long long)x->vector[j], a->tensor->param->name, (long long)i, (long long)j);
  }
}

void tg_interp_store(tg_interp_run *run, const tg_op *op) {
  const access a = access_of(run, op);
  const uint8_t *mask, *tile = stored_tile(run, op, &mask);
  refuse_input(&a);
  if (is_dropped(&a)) return;
  check_scatter(&a, mask);
  row r;
  for (int64_t state = 0; next_row(&a, &r, &state);)
    for (int64_t j = r.from; j < r.to; j++) {
      if (mask && !mask[r.tile + j]) continue;
      const int64_t element = element_at(&a, &r, j);
      if (element < 0) continue;
      touch_one(&a, element, WRITE);
      put(&a, element, tile + (r.tile + j) * a.width);
    }
}

// ---- atomics

static double combine_float(const char *kind, double old, double x) {
  if (!strcmp(kind, "add")) return old + x;
  if (!strcmp(kind, "exch")) return x;
  if (old != old || x != x) return old != old ? old : x;
  const bool below = x == old ? signbit(x) && !signbit(old) : x < old; // -0 < +0
  return !strcmp(kind, "min") == below ? x : old;
}

static int64_t combine_int(const char *kind, int64_t old, int64_t x) {
  if (!strcmp(kind, "add")) return (int64_t)((uint64_t)old + (uint64_t)x);
  if (!strcmp(kind, "min")) return x < old ? x : old;
  if (!strcmp(kind, "max")) return x > old ? x : old;
  if (!strcmp(kind, "and")) return old & x;
  if (!strcmp(kind, "or")) return old | x;
  if (!strcmp(kind, "xor")) return old ^ x;
  return x;
}

// A sum of two floats in double, rounded to float, is the float sum: no double rounding (53 >= 2*24 + 2).
static uint64_t combined(const char *kind, int dtype, uint64_t old, uint64_t x) {
  if (tg_dtype_is_float(dtype)) return tg_encode(dtype, combine_float(kind, tg_decode(dtype, old), tg_decode(dtype, x)), TG_ROUND_IEEE);
  if (dtype == TG_I32) return (uint32_t)combine_int(kind, (int32_t)old, (int32_t)x);
  return (uint64_t)combine_int(kind, (int64_t)old, (int64_t)x);
}

void tg_interp_atomic(tg_interp_run *run, const tg_op *op) {
  const access a = access_of(run, op);
  const uint8_t *mask, *tile = stored_tile(run, op, &mask);
  uint8_t *olds = tg_interp_buffer(run, op->out[0]);
  memset(olds, 0, (size_t)(tg_type_elements(op->out[0]->type) * a.width));
  refuse_input(&a);
  if (is_dropped(&a)) return;
  const char *kind = tg_attr_str(op, "kind", "add");
  row r;
  for (int64_t state = 0; next_row(&a, &r, &state);)
    for (int64_t j = r.from; j < r.to; j++) {
      if (mask && !mask[r.tile + j]) continue;
      const int64_t element = element_at(&a, &r, j);
      if (element < 0) continue;
      touch_one(&a, element, ATOMIC);
      uint64_t old = 0, x = 0;
      get(&a, element, (uint8_t *)&old);
      memcpy(&x, tile + (r.tile + j) * a.width, (size_t)a.width);
      const uint64_t now = combined(kind, a.dtype, old, x);
      put(&a, element, (const uint8_t *)&now);
      memcpy(olds + (r.tile + j) * a.width, &old, (size_t)a.width);
    }
}
