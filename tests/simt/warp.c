#include "simt/warp.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

enum { MAX_THREADS = 256, LANES = 32 };

// Value of one lane value in all threads: elements as bit patterns, thread by thread. Pointers are a buffer number and a byte offset.
typedef struct lanes {
  int n; // elements of a thread
  uint64_t *bits;
} lanes;

typedef struct touch {            // of a byte since the last barrier
  int16_t writer, reader, atomic; // thread, -1 none, -2 several
} touch;

typedef struct buffer {
  const char *name;
  unsigned char *data;
  int64_t bytes;
  bool shared, readonly;
  touch *touched; // NULL: nobody writes it
} buffer;

// Copies that a thread has asked for: they land when it waits for their group, the latest moment that the PTX ISA allows.
typedef struct copying {
  unsigned char *to;
  unsigned char data[16];
  int bytes, group;
} copying;

typedef struct block {
  warp_job *job;
  tg_kernel *lane;
  tg_launch *launch;
  int threads;
  int64_t id;
  lanes *values; // by value id
  uint32_t nvalues;
  buffer buffers[64];
  int nbuffers;
  copying *copies[MAX_THREADS];
  int ncopies[MAX_THREADS], groups[MAX_THREADS];
  jmp_buf stop;
} block;

static _Noreturn void stop(block *b, const tg_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));
static _Noreturn void stop(block *b, const tg_op *op, const char *format, ...) {
  int n =
      snprintf(b->job->error, sizeof b->job->error, "block %lld: %s: ", (long long)b->id, op ? tg_op_rows()[op->code].info.name : "launch");
  va_list args;
  va_start(args, format);
  vsnprintf(b->job->error + n, sizeof b->job->error - (size_t)n, format, args);
  va_end(args);
  longjmp(b->stop, 1);
}

static int elements(tg_type type) { return type.rank ? type.dim[0] : 1; }
static lanes *at(block *b, const tg_value *v) { return &b->values[v->id]; }
static uint64_t get(block *b, const tg_value *v, int thread, int i) {
  return at(b, v)->bits[(size_t)thread * (size_t)at(b, v)->n + (size_t)i];
}

static lanes *make(block *b, const tg_value *v) {
  lanes *l = at(b, v);
  if (!l->bits) {
    l->n = elements(v->type);
    l->bits = calloc((size_t)l->n * (size_t)b->threads, sizeof *l->bits);
  }
  return l;
}

static void set(block *b, const tg_value *v, int thread, int i, uint64_t bits) {
  make(b, v)->bits[(size_t)thread * (size_t)at(b, v)->n + (size_t)i] = bits;
}

// ---- numbers

static bool is_float(int dtype) { return tg_dtypes[dtype].cls == 'f' || tg_dtypes[dtype].cls == 'e'; }

static int64_t as_int(int dtype, uint64_t bits) {
  switch (dtype) {
  case TG_I1: return bits & 1;
  case TG_I8: return (int8_t)bits;
  case TG_I32: return (int32_t)bits;
  default: return (int64_t)bits;
  }
}

static uint64_t from_int(int dtype, int64_t value) {
  switch (dtype) {
  case TG_I1: return value & 1;
  case TG_I8: return (uint8_t)value;
  case TG_I32: return (uint32_t)value;
  default: return (uint64_t)value;
  }
}

static double as_float(int dtype, uint64_t bits) { return tg_decode(dtype, bits); }
static uint64_t from_float(int dtype, double value) { return tg_encode(dtype, value, TG_ROUND_IEEE); }

static int64_t floor_div(int64_t x, int64_t y) {
  if (y == 0) return 0;
  if (y == -1) return (int64_t)(0 - (uint64_t)x);
  return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

static uint64_t int_op(block *b, const tg_op *op, int dtype, int64_t x, int64_t y, int64_t z) {
  int width = tg_dtypes[dtype].bits;
  switch (op->code) {
  case TG_OP_NEG: return from_int(dtype, (int64_t)(0 - (uint64_t)x));
  case TG_OP_ABS: return from_int(dtype, x < 0 ? (int64_t)(0 - (uint64_t)x) : x);
  case TG_OP_NOT: return from_int(dtype, dtype == TG_I1 ? !x : ~x);
  case TG_OP_ADD: return from_int(dtype, (int64_t)((uint64_t)x + (uint64_t)y));
  case TG_OP_SUB: return from_int(dtype, (int64_t)((uint64_t)x - (uint64_t)y));
  case TG_OP_MUL: return from_int(dtype, (int64_t)((uint64_t)x * (uint64_t)y));
  case TG_OP_DIV: return from_int(dtype, floor_div(x, y));
  case TG_OP_REM: return from_int(dtype, y == 0 ? 0 : (int64_t)((uint64_t)x - (uint64_t)y * (uint64_t)floor_div(x, y)));
  case TG_OP_MIN:
  case TG_OP_MINNUM: return from_int(dtype, x < y ? x : y);
  case TG_OP_MAX:
  case TG_OP_MAXNUM: return from_int(dtype, x > y ? x : y);
  case TG_OP_AND: return from_int(dtype, x & y);
  case TG_OP_OR: return from_int(dtype, x | y);
  case TG_OP_XOR: return from_int(dtype, x ^ y);
  case TG_OP_SHL: return y < 0 || y >= width ? 0 : from_int(dtype, (int64_t)((uint64_t)x << y));
  case TG_OP_SHR: return y < 0 || y >= width ? 0 : from_int(dtype, x >> y);
  case TG_OP_EQ: return x == y;
  case TG_OP_NE: return x != y;
  case TG_OP_LT: return x < y;
  case TG_OP_LE: return x <= y;
  case TG_OP_GT: return x > y;
  case TG_OP_GE: return x >= y;
  default: (void)z; stop(b, op, "not an integer op here");
  }
}

static double both(double x, double y, bool take_x) { return isnan(x) || isnan(y) ? NAN : take_x ? x : y; }

static uint64_t float_op(block *b, const tg_op *op, int dtype, double x, double y, double z) {
  switch (op->code) {
  case TG_OP_NEG: return from_float(dtype, -x);
  case TG_OP_ABS: return from_float(dtype, fabs(x));
  case TG_OP_SQRT: return from_float(dtype, sqrt(x));
  case TG_OP_EXP2: return from_float(dtype, exp2(x));
  case TG_OP_FLOOR: return from_float(dtype, floor(x));
  case TG_OP_CEIL: return from_float(dtype, ceil(x));
  case TG_OP_TRUNC: return from_float(dtype, trunc(x));
  case TG_OP_RINT: return from_float(dtype, nearbyint(x));
  case TG_OP_ISNAN: return isnan(x);
  case TG_OP_ADD: return from_float(dtype, x + y);
  case TG_OP_SUB: return from_float(dtype, x - y);
  case TG_OP_MUL: return from_float(dtype, x * y);
  case TG_OP_DIV: return from_float(dtype, x / y);
  case TG_OP_FMA: return from_float(dtype, dtype == TG_F32 ? (double)fmaf((float)x, (float)y, (float)z) : fma(x, y, z));
  case TG_OP_MIN: return from_float(dtype, both(x, y, x < y || (x == y && signbit(x))));
  case TG_OP_MAX: return from_float(dtype, both(x, y, x > y || (x == y && signbit(y))));
  case TG_OP_MINNUM: return from_float(dtype, x == y ? (signbit(x) ? x : y) : fmin(x, y)); // C leaves zeros' order open
  case TG_OP_MAXNUM: return from_float(dtype, x == y ? (signbit(x) ? y : x) : fmax(x, y));
  case TG_OP_EQ: return x == y;
  case TG_OP_NE: return x != y;
  case TG_OP_LT: return x < y;
  case TG_OP_LE: return x <= y;
  case TG_OP_GT: return x > y;
  case TG_OP_GE: return x >= y;
  default: stop(b, op, "not a float op here");
  }
}

static uint64_t cast(int from, int to, uint64_t bits, bool saturate) {
  if (!is_float(from) && !is_float(to)) return to == TG_I1 ? as_int(from, bits) != 0 : from_int(to, as_int(from, bits));
  if (!is_float(from) && to == TG_F32) return tg_encode(to, (float)as_int(from, bits), TG_ROUND_IEEE); // rounded once
  if (!is_float(from)) return tg_encode(to, (double)as_int(from, bits), saturate ? TG_ROUND_SAT : TG_ROUND_IEEE);
  double x = as_float(from, bits);
  if (is_float(to)) return tg_encode(to, x, saturate ? TG_ROUND_SAT : TG_ROUND_IEEE);
  if (to == TG_I1) return x != 0;
  double limit = ldexp(1, tg_dtypes[to].bits - 1);
  if (isnan(x)) return 0;
  if (x >= limit) return from_int(to, to == TG_I64 ? INT64_MAX : (int64_t)limit - 1);
  return from_int(to, x < -limit ? (to == TG_I64 ? INT64_MIN : -(int64_t)limit) : (int64_t)x);
}

static uint64_t element_op(block *b, const tg_op *op, int thread, int i) {
  const tg_value *x = op->in[0];
  int dtype = x->type.dtype;
  uint64_t in[3] = {0};
  for (int k = 0; k < op->nin; k++) in[k] = get(b, op->in[k], thread, i);
  if (op->code == TG_OP_SELECT) return in[0] & 1 ? in[1] : in[2];
  if (op->code == TG_OP_BITCAST) return in[0];
  if (op->code == TG_OP_CAST) return cast(dtype, op->out[0]->type.dtype, in[0], !strcmp(tg_attr_str(op, "mode", ""), "sat"));
  if (is_float(dtype)) return float_op(b, op, dtype, as_float(dtype, in[0]), as_float(dtype, in[1]), as_float(dtype, in[2]));
  return int_op(b, op, dtype, as_int(dtype, in[0]), as_int(dtype, in[1]), as_int(dtype, in[2]));
}

// ---- memory

static int64_t storage(int dtype) { return tg_dtypes[dtype].bits / 8; }

typedef enum how { READ, WRITE, UPDATE } how; // UPDATE: atomically

static int16_t joined(int16_t who, int thread) { return who == -1 || who == thread ? (int16_t)thread : -2; }

static void touch_byte(block *b, const tg_op *op, const buffer *buf, int64_t at, int thread, how what) {
  touch *t = &buf->touched[at];
  int16_t me = (int16_t)thread;
  if (t->writer != -1 && t->writer != me)
    stop(b, op, "thread %d and %d meet at byte %lld of %s without a barrier", thread, t->writer, (long long)at, buf->name);
  if (what != READ && t->reader != -1 && t->reader != me)
    stop(b, op, "thread %d writes byte %lld of %s that another still reads", thread, (long long)at, buf->name);
  if (what != UPDATE && t->atomic != -1 && t->atomic != me)
    stop(b, op, "thread %d meets an atomic at byte %lld of %s without a barrier", thread, (long long)at, buf->name);
  if (what == WRITE) t->writer = me;
  else if (what == READ) t->reader = joined(t->reader, thread);
  else t->atomic = joined(t->atomic, thread);
}

static unsigned char *address_of(block *b, const tg_op *op, int operand, int thread, int64_t bytes, int64_t align, how what) {
  uint64_t pointer = get(b, op->in[operand], thread, 0);
  buffer *buf = &b->buffers[pointer >> 48];
  int64_t offset = (int64_t)(pointer << 16) >> 16;
  if (offset < 0 || offset + bytes > buf->bytes)
    stop(b, op, "thread %d touches bytes %lld to %lld of %s, which has %lld", thread, (long long)offset, (long long)(offset + bytes),
         buf->name, (long long)buf->bytes);
  if (((uintptr_t)buf->data + (uintptr_t)offset) % (uintptr_t)align)
    stop(b, op, "thread %d: offset %lld of %s is not aligned to %lld", thread, (long long)offset, buf->name, (long long)align);
  if (what != READ && buf->readonly) stop(b, op, "thread %d writes to input %s", thread, buf->name);
  for (int64_t i = offset; buf->touched && i < offset + bytes; i++) touch_byte(b, op, buf, i, thread, what);
  return buf->data + offset;
}

static unsigned char *address(block *b, const tg_op *op, int thread, int64_t bytes, how what) {
  return address_of(b, op, 0, thread, bytes, tg_attr_int(op, "align", 1), what);
}

static void load(block *b, const tg_op *op, int thread) {
  const tg_value *out = op->out[0];
  int n = elements(out->type), size = (int)storage(out->type.dtype);
  if (op->code == TG_OP_LOADM && !(get(b, op->in[1], thread, 0) & 1)) {
    for (int i = 0; i < n; i++) set(b, out, thread, i, get(b, op->in[2], thread, i));
    return;
  }
  const unsigned char *p = address(b, op, thread, (int64_t)n * size, READ);
  for (int i = 0; i < n; i++) {
    uint64_t bits = 0;
    memcpy(&bits, p + (ptrdiff_t)i * size, (size_t)size);
    set(b, out, thread, i, bits);
  }
}

static void store(block *b, const tg_op *op, int thread) {
  const tg_value *v = op->in[1];
  int n = elements(v->type), size = (int)storage(v->type.dtype);
  if (op->code == TG_OP_STOREM && !(get(b, op->in[2], thread, 0) & 1)) return;
  unsigned char *p = address(b, op, thread, (int64_t)n * size, WRITE);
  for (int i = 0; i < n; i++) {
    uint64_t bits = get(b, v, thread, i);
    memcpy(p + (ptrdiff_t)i * size, &bits, (size_t)size);
  }
}

static uint64_t updated(block *b, const tg_op *op, int dtype, uint64_t old, uint64_t x) {
  static const struct {
    const char *kind;
    int code;
  } kinds[] = {{"add", TG_OP_ADD}, {"min", TG_OP_MIN}, {"max", TG_OP_MAX}, {"and", TG_OP_AND}, {"or", TG_OP_OR}, {"xor", TG_OP_XOR}};
  const char *kind = tg_attr_str(op, "kind", "");
  if (!strcmp(kind, "exch")) return x;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    tg_op combining = {.code = (uint16_t)kinds[i].code};
    if (strcmp(kinds[i].kind, kind)) continue;
    return is_float(dtype) ? float_op(b, &combining, dtype, as_float(dtype, old), as_float(dtype, x), 0)
                           : int_op(b, &combining, dtype, as_int(dtype, old), as_int(dtype, x), 0);
  }
  stop(b, op, "there is no atomic '%s'", kind);
}

static void atomic(block *b, const tg_op *op, int thread) {
  int dtype = op->in[1]->type.dtype;
  size_t size = (size_t)storage(dtype);
  unsigned char *p = address(b, op, thread, (int64_t)size, UPDATE);
  uint64_t old = 0;
  memcpy(&old, p, size);
  uint64_t now = updated(b, op, dtype, old, get(b, op->in[1], thread, 0));
  memcpy(p, &now, size);
  set(b, op->out[0], thread, 0, old);
}

// PTX ISA, cp.async: reads the bytes that operand 3 names, zeros make up the rest; nothing is read where it is 0.
static void copy_async(block *b, const tg_op *op, int thread) {
  int bytes = (int)tg_attr_int(op, "bytes", 0), real = (int)as_int(TG_I32, get(b, op->in[2], thread, 0));
  if (real < 0 || real > bytes) stop(b, op, "thread %d asks for %d bytes of %d", thread, real, bytes);
  copying c = {.to = address_of(b, op, 0, thread, bytes, bytes, WRITE), .bytes = bytes, .group = b->groups[thread]};
  if (real) memcpy(c.data, address_of(b, op, 1, thread, real, bytes, READ), (size_t)real);
  b->copies[thread] = realloc(b->copies[thread], sizeof c * (size_t)(b->ncopies[thread] + 1));
  b->copies[thread][b->ncopies[thread]++] = c;
}

static void wait_copies(block *b, const tg_op *op, int thread) {
  int left = 0, pending = (int)tg_attr_int(op, "pending", 0);
  for (int i = 0; i < b->ncopies[thread]; i++) {
    copying *c = &b->copies[thread][i];
    if (c->group < b->groups[thread] - pending) memcpy(c->to, c->data, (size_t)c->bytes);
    else b->copies[thread][left++] = *c;
  }
  b->ncopies[thread] = left;
}

// ---- warps

static void together(block *b, const tg_op *op, const bool *active) {
  for (int t = 1; t < b->threads; t++)
    if (active[t] != active[0]) stop(b, op, "only some threads come here");
}

// PTX ISA, shfl.sync, with full segments of `width` lanes.
static void shuffle(block *b, const tg_op *op) {
  const char *kind = tg_attr_str(op, "kind", "");
  int width = (int)tg_attr_int(op, "width", LANES);
  uint64_t *out = calloc((size_t)b->threads, sizeof *out);
  for (int t = 0; t < b->threads; t++) {
    int lane = t % LANES, first = lane / width * width, from = lane, by = (int)as_int(TG_I32, get(b, op->in[1], t, 0));
    if (!strcmp(kind, "idx")) from = first + (by & (width - 1));
    else if (!strcmp(kind, "xor")) from = lane ^ by;
    else if (!strcmp(kind, "up")) from = lane - by < first ? lane : lane - by;
    else from = lane + by > first + width - 1 ? lane : lane + by;
    if (from > first + width - 1) from = lane;
    out[t] = get(b, op->in[0], t / LANES * LANES + from, 0);
  }
  for (int t = 0; t < b->threads; t++) set(b, op->out[0], t, 0, out[t]);
  free(out);
}

// PTX ISA, mma.sync.aligned.m16n8k16.row.col.f32.{bf16,f16} and m16n8k32 with 8-bit operands: "Matrix Fragments for mma.m16n8k16 with
// floating point type", "Matrix Fragments for mma.m16n8k32".
typedef struct matrix_form {
  const char *row;
  int a, b; // dtypes
} matrix_form;

static double operand_of(block *b, const tg_op *op, int operand, int thread, int i, int dtype) {
  if (op->in[operand]->type.dtype != TG_I32) return as_float(dtype, get(b, op->in[operand], thread, i));
  const int bits = tg_dtypes[dtype].bits; // 32 bits of them as one word, the first one lowest
  return as_float(dtype, get(b, op->in[operand], thread, 0) >> bits * i & ((1u << bits) - 1));
}

static void mma(block *b, const tg_op *op, int warp, const matrix_form *form) {
  double A[16][32], Bm[32][8], C[16][8];
  const int each = 32 / tg_dtypes[form->a].bits, depth = 8 * each; // operands of a register
  for (int lane = 0; lane < LANES; lane++) {
    int group = lane >> 2, inside = lane % 4, t = warp * LANES + lane;
    for (int r = 0; r < 4; r++) // registers: row + 8, then column + depth / 2
      for (int i = 0; i < each; i++) A[group + 8 * (r % 2)][inside * each + i + r / 2 * depth / 2] = operand_of(b, op, r, t, i, form->a);
    for (int r = 0; r < 2; r++)
      for (int i = 0; i < each; i++) Bm[inside * each + i + r * depth / 2][group] = operand_of(b, op, 4 + r, t, i, form->b);
    for (int i = 0; i < 4; i++) C[group + (i >= 2 ? 8 : 0)][inside * 2 + (i & 1)] = as_float(TG_F32, get(b, op->in[6 + i], t, 0));
  }
  for (int lane = 0; lane < LANES; lane++)
    for (int i = 0; i < 4; i++) {
      int row = (lane >> 2) + (i >= 2 ? 8 : 0), col = lane % 4 * 2 + (i & 1);
      double sum = C[row][col];
      for (int k = 0; k < depth; k++) sum += A[row][k] * Bm[k][col];
      set(b, op->out[i], warp * LANES + lane, 0, from_float(TG_F32, sum));
    }
}

static void run_mma(block *b, const tg_op *op) {
  static const matrix_form forms[] = {{"mma.m16n8k16.bf16", TG_BF16, TG_BF16},      {"mma.m16n8k16.f16", TG_F16, TG_F16},
                                      {"mma.m16n8k32.e4m3", TG_E4M3, TG_E4M3},      {"mma.m16n8k32.e5m2", TG_E5M2, TG_E5M2},
                                      {"mma.m16n8k32.e4m3.e5m2", TG_E4M3, TG_E5M2}, {"mma.m16n8k32.e5m2.e4m3", TG_E5M2, TG_E4M3}};
  const char *row = tg_attr_str(op, "row", "");
  const matrix_form *form = NULL;
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
    if (!strcmp(row, forms[i].row)) form = &forms[i];
  if (!form || op->nin != 10 || op->nout != 4) stop(b, op, "unknown matrix instruction '%s' with %d operands", row, op->nin);
  for (int i = 0; i < 10; i++)
    if (elements(op->in[i]->type) != (i < 6 && op->in[i]->type.dtype != TG_I32 ? 32 / tg_dtypes[form->a].bits : 1))
      stop(b, op, "operand %d has %d elements", i + 1, elements(op->in[i]->type));
  for (int warp = 0; warp < b->threads / LANES; warp++) mma(b, op, warp, form);
}

// PTX ISA, ldmatrix: lanes 8j .. 8j+7 give the rows' addresses of matrix j; lane l gets elements 2(l%4), 2(l%4)+1 of row l/4, or with
// .trans of column l/4.
static void ldmatrix(block *b, const tg_op *op) {
  bool trans = tg_attr_int(op, "trans", 0);
  for (int t = 0; t < b->threads; t++)
    for (int j = 0; j < op->nout; j++) {
      uint32_t word = 0;
      for (int e = 0; e < 2; e++) {
        int lane = t % LANES, near = lane % 4 * 2 + e, row = trans ? near : lane / 4, col = trans ? lane / 4 : near;
        uint16_t half;
        memcpy(&half, address(b, op, t / LANES * LANES + 8 * j + row, 16, READ) + 2 * col, 2);
        word |= (uint32_t)half << 16 * e;
      }
      set(b, op->out[j], t, 0, word);
    }
}

// ---- control

static void run_region(block *b, const tg_region *region, const bool *active);

static bool any(const block *b, const bool *active) {
  for (int t = 0; t < b->threads; t++)
    if (active[t]) return true;
  return false;
}

static void copy(block *b, const tg_value *from, const tg_value *to, const bool *active) {
  make(b, to);
  uint64_t *bits = calloc((size_t)at(b, from)->n, sizeof *bits);
  for (int t = 0; t < b->threads; t++)
    for (int i = 0; active[t] && i < at(b, from)->n; i++) set(b, to, t, i, get(b, from, t, i));
  free(bits);
}

// All at once, as a yield may hand on the loop's own arguments in another order.
static void copy_all(block *b, int n, tg_value *const *from, tg_value *const *to, const bool *active) {
  uint64_t **kept = calloc((size_t)n + 1, sizeof *kept);
  for (int i = 0; i < n; i++) {
    size_t size = (size_t)at(b, from[i])->n * (size_t)b->threads * sizeof(uint64_t);
    kept[i] = malloc(size);
    memcpy(kept[i], at(b, from[i])->bits, size);
  }
  for (int i = 0; i < n; i++) {
    int m = at(b, from[i])->n;
    make(b, to[i]);
    for (int t = 0; t < b->threads; t++)
      for (int e = 0; active[t] && e < m; e++) set(b, to[i], t, e, kept[i][t * m + e]);
    free(kept[i]);
  }
  free(kept);
}

static void run_for(block *b, const tg_op *op, const bool *active) {
  const tg_region *body = op->regions[0];
  int64_t step = tg_attr_int(op, "step", 1);
  bool on[MAX_THREADS];
  memcpy(on, active, sizeof(bool) * (size_t)b->threads);
  copy(b, op->in[0], body->args[0], active);
  copy_all(b, op->nout, op->in + 2, body->args + 1, active);
  for (;;) {
    for (int t = 0; t < b->threads; t++) on[t] = on[t] && (int64_t)get(b, body->args[0], t, 0) < (int64_t)get(b, op->in[1], t, 0);
    if (!any(b, on)) break;
    run_region(b, body, on);
    copy_all(b, op->nout, body->last->in, body->args + 1, on);
    for (int t = 0; t < b->threads; t++)
      if (on[t]) set(b, body->args[0], t, 0, get(b, body->args[0], t, 0) + (uint64_t)step);
  }
  copy_all(b, op->nout, body->args + 1, op->out, active);
}

static void run_while(block *b, const tg_op *op, const bool *active) {
  const tg_region *test = op->regions[0], *body = op->regions[1];
  bool on[MAX_THREADS];
  memcpy(on, active, sizeof(bool) * (size_t)b->threads);
  copy_all(b, op->nout, op->in, test->args, active);
  while (any(b, on)) {
    run_region(b, test, on);
    for (int t = 0; t < b->threads; t++) on[t] = on[t] && (get(b, test->last->in[0], t, 0) & 1);
    copy_all(b, op->nout, test->args, body->args, on);
    if (!any(b, on)) break;
    run_region(b, body, on);
    copy_all(b, op->nout, body->last->in, test->args, on);
  }
  copy_all(b, op->nout, test->args, op->out, active);
}

static void run_if(block *b, const tg_op *op, const bool *active) {
  for (int r = 0; r < 2; r++) {
    bool on[MAX_THREADS];
    for (int t = 0; t < b->threads; t++) on[t] = active[t] && (get(b, op->in[0], t, 0) & 1) == (r == 0);
    if (!any(b, on)) continue;
    run_region(b, op->regions[r], on);
    copy_all(b, op->nout, op->regions[r]->last->in, op->out, on);
  }
}

static touch *touches(int64_t bytes) {
  touch *t = malloc(sizeof *t * (size_t)bytes + 1);
  for (int64_t i = 0; i < bytes; i++) t[i] = (touch){-1, -1, -1};
  return t;
}

static void add_scratch(block *b, const tg_op *op) {
  int64_t bytes = tg_attr_int(op, "bytes", 0);
  buffer *buf = &b->buffers[b->nbuffers];
  *buf = (buffer){"shared memory", aligned_alloc(128, (size_t)((bytes + 127) / 128 * 128)), bytes, true, false, touches(bytes)};
  memset(buf->data, 0xff, (size_t)bytes); // NaN, until somebody writes
  for (int t = 0; t < b->threads; t++) set(b, op->out[0], t, 0, (uint64_t)b->nbuffers << 48);
  b->nbuffers++;
}

static void barrier(block *b) {
  for (int k = 0; k < b->nbuffers; k++)
    for (int64_t i = 0; b->buffers[k].touched && i < b->buffers[k].bytes; i++) b->buffers[k].touched[i] = (touch){-1, -1, -1};
}

static uint64_t constant(const tg_op *op) {
  const tg_attr *a = tg_find_attr(op, "value");
  int dtype = op->out[0]->type.dtype;
  if (is_float(dtype)) return tg_encode(dtype, a->kind == TG_ATTR_INT ? (double)a->i : a->f, TG_ROUND_IEEE);
  return from_int(dtype, a->i);
}

static void regroup(block *b, const tg_op *op, int t) {
  const tg_value *x = op->in[0], *out = op->out[0];
  int have = tg_dtypes[x->type.dtype].bits, want = tg_dtypes[out->type.dtype].bits;
  for (int i = 0; i < elements(out->type); i++) {
    uint64_t bits = 0;
    for (int k = 0; k < want; k++) bits |= (get(b, x, t, (i * want + k) / have) >> (i * want + k) % have & 1) << k;
    set(b, out, t, i, bits);
  }
}

// An f32 in a register, subnormal numbers as 0.
static float as_normal(uint64_t bits) {
  float v = (float)tg_decode(TG_F32, bits);
  return fabsf(v) < 0x1p-126f ? copysignf(0, v) : v;
}
static uint64_t normal(float v) { return tg_encode(TG_F32, fabsf(v) < 0x1p-126f ? copysignf(0, v) : v, TG_ROUND_IEEE); }

// Ops whose result in a thread depends on that thread's operands alone.
static void thread_op(block *b, const tg_op *op, int t) {
  const tg_value *out = op->nout ? op->out[0] : NULL;
  int n = out ? elements(out->type) : 0;
  switch (op->code) {
  case TG_OP_TID: set(b, out, t, 0, (uint64_t)t); break;
  case TG_OP_CTAID: set(b, out, t, 0, (uint64_t)b->id); break;
  case TG_OP_CONST:
    for (int i = 0; i < n; i++) set(b, out, t, i, constant(op));
    break;
  case TG_OP_UNDEF:
    for (int i = 0; i < n; i++) set(b, out, t, i, ~0ull >> (64 - tg_dtypes[out->type.dtype].bits));
    break;
  case TG_OP_PTRADD: {
    uint64_t pointer = get(b, op->in[0], t, 0), bytes = (uint64_t)as_int(op->in[1]->type.dtype, get(b, op->in[1], t, 0));
    set(b, out, t, 0, (pointer & ~0ull << 48) | ((pointer + bytes) & ~0ull >> 16));
    break;
  }
  case TG_OP_LLOAD:
  case TG_OP_LOADM: load(b, op, t); break;
  case TG_OP_LSTORE:
  case TG_OP_STOREM: store(b, op, t); break;
  case TG_OP_ATOMICL: atomic(b, op, t); break;
  case TG_OP_CP_ASYNC: copy_async(b, op, t); break;
  case TG_OP_CP_COMMIT: b->groups[t]++; break;
  case TG_OP_CP_WAIT: wait_copies(b, op, t); break;
  case TG_OP_TRAP:
    if (!(get(b, op->in[0], t, 0) & 1)) stop(b, op, "%s", tg_attr_str(op, "text", ""));
    break;
  case TG_OP_QUADS: // one code a byte
    for (int i = 0; i < 2; i++) {
      uint64_t word = get(b, op->in[0], t, 0) >> 16 * i, low = tg_encode(TG_BF16, tg_decode(TG_E4M3, word & 0xff), TG_ROUND_IEEE);
      set(b, out, t, i, low | tg_encode(TG_BF16, tg_decode(TG_E4M3, word >> 8 & 0xff), TG_ROUND_IEEE) << 16);
    }
    break;
  case TG_OP_EX2: set(b, out, t, 0, normal(exp2f(as_normal(get(b, op->in[0], t, 0))))); break;
  case TG_OP_RCP: set(b, out, t, 0, normal(1 / as_normal(get(b, op->in[0], t, 0)))); break;
  case TG_OP_BYTES: {
    const tg_attr *from = tg_find_attr(op, "at");
    uint64_t both = get(b, op->in[0], t, 0) | get(b, op->in[1], t, 0) << 32, word = 0;
    for (int i = 0; i < 4; i++) word |= (both >> 8 * from->ints[i] & 0xff) << 8 * i;
    set(b, out, t, 0, word);
    break;
  }
  case TG_OP_REGROUP: regroup(b, op, t); break;
  case TG_OP_SPLAT:
    for (int i = 0; i < n; i++) set(b, out, t, i, get(b, op->in[0], t, 0));
    break;
  case TG_OP_EXTRACT: set(b, out, t, 0, get(b, op->in[0], t, (int)tg_attr_int(op, "i", 0))); break;
  case TG_OP_INSERT:
    for (int i = 0; i < n; i++) set(b, out, t, i, i == tg_attr_int(op, "i", 0) ? get(b, op->in[1], t, 0) : get(b, op->in[0], t, i));
    break;
  case TG_OP_SHUFFLE: {
    const tg_attr *mask = tg_find_attr(op, "mask");
    int m = elements(op->in[0]->type);
    for (int i = 0; i < n; i++)
      set(b, out, t, i, mask->ints[i] < m ? get(b, op->in[0], t, (int)mask->ints[i]) : get(b, op->in[1], t, (int)mask->ints[i] - m));
    break;
  }
  default:
    if (!(tg_op_rows()[op->code].traits & TG_ELEMENTWISE)) stop(b, op, "the warp interpreter does not know it");
    for (int i = 0; i < n; i++) set(b, out, t, i, element_op(b, op, t, i));
  }
}

static void run_op(block *b, const tg_op *op, const bool *active) {
  b->job->executed[op->code]++;
  for (int i = 0; i < op->nout; i++) make(b, op->out[i]);
  switch (op->code) {
  case TG_OP_FOR: run_for(b, op, active); break;
  case TG_OP_WHILE: run_while(b, op, active); break;
  case TG_OP_IF: run_if(b, op, active); break;
  case TG_OP_SCRATCH: add_scratch(b, op); break;
  case TG_OP_BARRIER: together(b, op, active), barrier(b); break;
  case TG_OP_SHFL: together(b, op, active), shuffle(b, op); break;
  case TG_OP_MMA: together(b, op, active), run_mma(b, op); break;
  case TG_OP_LDMATRIX: together(b, op, active), ldmatrix(b, op); break;
  default:
    for (int t = 0; t < b->threads; t++)
      if (active[t]) thread_op(b, op, t);
  }
}

static void run_region(block *b, const tg_region *region, const bool *active) {
  for (const tg_op *op = region->first; op && op->code != TG_OP_YIELD; op = op->next) run_op(b, op, active);
}

// ---- launches

static void bind_arguments(block *b) {
  for (int i = 0; i < b->launch->nargs; i++) {
    const tg_arg *arg = &b->launch->args[i];
    const tg_value *v = b->launch->body->args[i];
    uint64_t bits = 0;
    if (arg->kind == TG_ARG_POINTER) {
      const tg_tensor *tensor = NULL;
      for (int k = 0; k < b->job->ntensors; k++)
        if (!strcmp(b->job->tensors[k].name, arg->name)) tensor = &b->job->tensors[k];
      if (!tensor) stop(b, NULL, "there is no tensor %s", arg->name);
      const tg_param *param = tg_find_param(b->lane, arg->name);
      bool readonly = param && param->kind == TG_INPUT;
      b->buffers[b->nbuffers] =
          (buffer){tensor->name, tensor->data, (int64_t)tensor->bytes, false, readonly, readonly ? NULL : touches((int64_t)tensor->bytes)};
      bits = (uint64_t)b->nbuffers++ << 48;
    } else if (arg->value) {
      int64_t value;
      const char *missing = NULL;
      if (!tg_e_eval(arg->value, b->job->lookup, b->job->user, &value, &missing))
        stop(b, NULL, "%s needs %s", arg->name, missing ? missing : "?");
      bits = from_int(arg->dtype, value);
    } else {
      double value;
      if (!b->job->scalar || !b->job->scalar(b->job->user, arg->name, &value)) stop(b, NULL, "scalar %s has no value", arg->name);
      bits = is_float(arg->dtype) ? from_float(arg->dtype, value) : from_int(arg->dtype, (int64_t)value);
    }
    for (int t = 0; t < b->threads; t++) set(b, v, t, 0, bits);
  }
}

static void free_block(block *b) {
  for (uint32_t i = 0; i < b->nvalues; i++) free(b->values[i].bits);
  for (int i = 0; i < b->nbuffers; i++) {
    if (b->buffers[i].shared) free(b->buffers[i].data);
    free(b->buffers[i].touched);
  }
  for (int t = 0; t < b->threads && t < MAX_THREADS; t++) free(b->copies[t]);
  free(b->values);
}

static bool run_block(warp_job *job, tg_kernel *lane, tg_launch *launch, int64_t id) {
  block *b = calloc(1, sizeof *b);
  *b = (block){.job = job, .lane = lane, .launch = launch, .threads = launch->block[0], .id = id, .nvalues = lane->next_id};
  b->values = calloc(lane->next_id, sizeof *b->values);
  bool active[MAX_THREADS];
  volatile bool good = false;
  for (int t = 0; t < MAX_THREADS; t++) active[t] = true;
  if (!setjmp(b->stop)) {
    if (b->threads > MAX_THREADS || b->threads % LANES) stop(b, NULL, "%d threads", b->threads);
    bind_arguments(b);
    run_region(b, launch->body, active);
    good = true;
  }
  free_block(b);
  free(b);
  return good;
}

bool warp_run(tg_kernel *lane, warp_job *job) {
  job->error[0] = 0;
  memset(job->executed, 0, sizeof job->executed);
  for (int i = 0; i < lane->nlaunches; i++) {
    tg_launch *launch = lane->launches[i];
    int64_t blocks = 1;
    for (int a = 0; a < launch->naxes; a++) {
      int64_t extent;
      const char *missing;
      if (!tg_e_eval(launch->grid[a], job->lookup, job->user, &extent, &missing)) {
        snprintf(job->error, sizeof job->error, "the grid cannot be evaluated");
        return false;
      }
      blocks *= extent;
    }
    for (int64_t id = 0; id < blocks; id++)
      if (!run_block(job, lane, launch, id)) return false;
  }
  return true;
}
