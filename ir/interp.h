// What the files of the interpreter share; private to ir/interp*.c.
//
// Every SSA value of the kernel has one slot, found by its id; its buffer is made when it is first needed and used again for the next
// block, so that a run allocates once. Tiles hold their elements one after the other in row-major order, each in its dtype's storage width
// (e2m1: a byte).
#ifndef TG_INTERP_H
#define TG_INTERP_H

#include "ir/ir.h"

// Who touched a unit of a writable tensor in the launch at work: 0 nobody, b + 1 block b alone, MANY several.
typedef struct tg_interp_owner {
  uint32_t writer, reader, atomic;
} tg_interp_owner;

typedef struct tg_interp_tensor {
  const tg_param *param;
  tg_tensor storage;        // data NULL: empty, or an optional output that is dropped
  int64_t dim[TG_MAX_RANK]; // declared, evaluated
  bool writable;
  int64_t unit;            // bytes that share an owner
  tg_interp_owner *owners; // of bytes / unit units; NULL when not checked
} tg_interp_tensor;

typedef struct tg_interp_slot {
  uint8_t *data; // tiles
  // views
  int tensor;
  int64_t offset, dim[TG_MAX_RANK], stride[TG_MAX_RANK]; // in elements of the view's dtype, from the start of the tensor's storage
  // ranges
  int64_t start, end;
} tg_interp_slot;

typedef struct tg_interp_scratch {
  void *data;
  size_t size;
} tg_interp_scratch;

typedef struct tg_interp_run {
  tg_context *ctx;
  tg_kernel *kernel;
  tg_arena arena;
  const tg_interp_options *options;
  tg_lookup_fn lookup;
  void *lookup_user;
  bool (*scalar)(void *user, const char *name, double *value);
  void *scalar_user;
  int ntensors;
  tg_interp_tensor *tensors;
  tg_interp_slot *slots; // by value id
  tg_interp_scratch scratch[6];
  float small[TG_NDTYPES][256]; // decoded 8-bit floats
  const tg_launch *launch;
  int64_t block, grid[4], pid[4];
  bool told_division, told_shift, told_nan; // each is reported once a run
} tg_interp_run;

static inline tg_interp_slot *tg_interp_slot_of(const tg_interp_run *run, const tg_value *v) { return &run->slots[v->id]; }
// Bytes of an element in a tile.
static inline int64_t tg_interp_width(int dtype) { return tg_dtypes[dtype].bits < 8 ? 1 : tg_dtypes[dtype].bits / 8; }

// One element of 1, 2, 4 or 8 bytes: copies of a known size need no call.
static inline void tg_interp_copy(void *to, const void *from, int64_t width) {
  switch (width) {
  case 1: memcpy(to, from, 1); break;
  case 2: memcpy(to, from, 2); break;
  case 4: memcpy(to, from, 4); break;
  default: memcpy(to, from, 8);
  }
}
void tg_interp_fill(uint8_t *to, int64_t n, int64_t width, uint64_t code); // n elements, all the low `width` bytes of the code

// Throws TG_FAILED: place in the source, kernel, launch and block, then the sentence.
_Noreturn void tg_interp_fail(tg_interp_run *run, const tg_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));
// The same place and sentence to the log, as debugging information.
void tg_interp_note(tg_interp_run *run, const tg_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *tg_interp_buffer(tg_interp_run *run, const tg_value *v);           // of a tile value
void *tg_interp_scratch_of(tg_interp_run *run, int which, size_t bytes); // 0 … 5; contents are lost on the next call with the same number
int64_t tg_interp_int(tg_interp_run *run, const tg_value *v);            // rank-0 integer tile

// Elements as numbers to compute with: `from` points to n elements of dtype. f32 holds every float but f64 exactly.
const float *tg_interp_floats(tg_interp_run *run, int dtype, const void *from, int64_t n, int which);
const double *tg_interp_doubles(tg_interp_run *run, int dtype, const void *from, int64_t n, int which);
const int64_t *tg_interp_ints(tg_interp_run *run, int dtype, const void *from, int64_t n, int which);
// And back, rounded or wrapped.
void tg_interp_put_floats(int dtype, const float *from, int64_t n, void *to);
void tg_interp_put_ints(int dtype, const int64_t *from, int64_t n, void *to);

// Op bodies.
void tg_interp_elementwise(tg_interp_run *run, const tg_op *op); // interp_elementwise.c
void tg_interp_cast(tg_interp_run *run, const tg_op *op);        // interp_cast.c
void tg_interp_shape(tg_interp_run *run, const tg_op *op);       // interp_shape.c: const, iota, index … split
void tg_interp_reduce(tg_interp_run *run, const tg_op *op);      // interp_reduce.c: reduce, scan, argmax, sort
void tg_interp_dot(tg_interp_run *run, const tg_op *op);         // interp_dot.c
void tg_interp_param(tg_interp_run *run, const tg_op *op);       // interp_memory.c
void tg_interp_view(tg_interp_run *run, const tg_op *op);
void tg_interp_load(tg_interp_run *run, const tg_op *op);  // load, gather
void tg_interp_store(tg_interp_run *run, const tg_op *op); // store, scatter
void tg_interp_atomic(tg_interp_run *run, const tg_op *op);
void tg_interp_bind(tg_interp_run *run, int ntensors, const tg_tensor *tensors); // parameters to storage
void tg_interp_poison(tg_interp_run *run);                                       // outputs and workspaces before the first launch
void tg_interp_forget_owners(tg_interp_run *run);                                // between launches

#endif
