// Launch record: what a driver needs to launch an artifact, as data. Written by the compile side, read by every driver, pack and built
// library. Expressions are kept as text on the wire (JSON) and as tg_expr in memory; one evaluator serves all.
#ifndef TG_RECORD_H
#define TG_RECORD_H

#include "ir/ir.h"

typedef struct tg_record_arg {
  const char *name;
  tg_arg_kind kind;
  uint8_t dtype;
  const tg_expr *value;  // scalars of the launch; NULL for pointers and for a k.scalar
  const tg_arg_map *map; // of a tensor map; else NULL
} tg_record_arg;

typedef struct tg_record_launch {
  const char *entry;
  int naxes;
  const tg_expr *grid[4];
  int block[3], cluster[3];
  int64_t shared_bytes, static_shared_bytes;
  int registers, spilled_bytes;       // of a thread, as the assembler says; -1 unknown
  int loop_instructions, loop_matrix; // of the main loop (tg_sass_main_loop): all, those of matrix units; -1 unknown, 0 none
  int nargs;
  tg_record_arg *args;
} tg_record_launch;

typedef struct tg_record_param { // the kernel's parameters, in declaration order
  const char *name;
  tg_param_kind kind;
  uint8_t dtype;
  int rank;
  unsigned flags;
  const tg_expr *dims[TG_MAX_RANK];
  const tg_expr *packed[3], *below;
} tg_record_param;

typedef struct tg_record_view {              // a view whose extent only the launch knows: nothing, or elements first … last of `have`
  const char *what;                          // "the view of 'A' at kernel.lua:7"
  const tg_expr *some, *first, *last, *have; // see tg_reach
} tg_record_view;

typedef struct tg_record {
  tg_arena *arena;
  const char *kernel, *target;
  tg_bindings config;  // every setting in force, options, meta-parameters and knobs
  tg_bindings statics; // and fixed dims
  int nsymbols, nparams, npreconditions, nlaunches;
  const char **symbols;
  tg_record_param *params;
  const char **preconditions;
  tg_record_launch *launches;
  int nviews;
  tg_record_view *views;
  int64_t scratch_bytes;        // loops: per worker
  int registers, spilled_bytes; // the worst of the launches; -1 unknown
  const char *tool;             // that made the object from text: "ptxas 13.0"; "" none
  int nwarnings;                // what it warned of
  const char **warnings;
} tg_record;

// From a lowered kernel (lane level).
tg_record *tg_record_make(tg_arena *arena, const tg_kernel *lane, const char *target);
void tg_record_add_views(tg_record *record, const tg_kernel *tile);                              // of the tile kernel that was lowered
char *tg_record_to_json(tg_arena *arena, const tg_record *record, size_t *size);                 // wire form, read back by the next
tg_record *tg_record_from_json(tg_context *ctx, tg_arena *arena, const char *json, size_t size); // throws on anything malformed
// The document of `compile --emit meta` (design §6); `shape` NULL leaves expressions as text, else evaluates grid, bytes and values.
char *tg_record_meta(tg_arena *arena, const tg_record *record, const tg_bindings *shape, size_t *size);

// Dims solved from given tensor shapes, statics and a shape binding. Throws TG_INVALID naming the letter, the tensors and both values.
typedef struct tg_dims {
  int n;
  struct tg_dim {
    const char *name;
    int64_t value;
    const char *from; // "A's axis 0", "--shape", for messages
  } at[64];
} tg_dims;
bool tg_dims_lookup(void *dims, const char *name, int64_t *value); // a tg_lookup_fn
// An integer of a name=value list; `option` names the list in the message.
int64_t tg_binding_int(tg_context *ctx, const tg_binding *binding, const char *option);
void tg_dims_solve(tg_context *ctx, const tg_record *record, int ntensors, const tg_tensor *tensors, const tg_bindings *shape,
                   tg_dims *out);
// True when every precondition holds for dims and pointers (tensors NULL: aligned, as a driver's own allocations are).
bool tg_record_admits(const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors);
// Throws TG_INVALID naming the first view that leads outside of its tensor for these dims. What the launch does not tell the code looks at.
void tg_record_check_views(tg_context *ctx, const tg_record *record, const tg_dims *dims);
// Evaluated grid of a launch; returns the number of blocks, 0 = the launch is skipped. Throws TG_INVALID when that exceeds 63 bits, or what
// a GPU's grid takes where blocks have threads.
int64_t tg_record_grid(tg_context *ctx, const tg_record_launch *launch, const tg_dims *dims, int64_t grid[4]);
// An expression's value; throws TG_INVALID naming `what` and the letter that is open.
int64_t tg_record_eval(tg_context *ctx, const tg_expr *e, const tg_dims *dims, const char *what);
// What a launch's argument is in 8 bytes: a pointer, an integer as int64, a float as its own bits in the low bytes. Throws TG_INVALID for
// a name that no tensor or scalar has.
typedef struct tg_record_values {
  const tg_dims *dims;
  int ntensors;
  const tg_tensor *tensors;
  bool (*scalar)(void *user, const char *name, double *value);
  void *user;
} tg_record_values;
uint64_t tg_record_address(tg_context *ctx, const char *name, const tg_record_values *values);      // of a tensor's memory
uint64_t tg_record_slot(tg_context *ctx, const tg_record_arg *arg, const tg_record_values *values); // of all but tensor maps

// A tensor map for one launch, in the terms of the CUDA Driver API's cuTensorMapEncodeTiled: axes innermost first, which is contiguous.
typedef struct tg_tensor_map {
  uint64_t address; // of the tensor's memory as the values give it, plus the map's offset
  uint8_t dtype;
  int rank;                                                   // 1 to 5
  uint64_t dims[TG_MAP_RANK], strides_bytes[TG_MAP_RANK - 1]; // dims: elements
  uint32_t box[TG_MAP_RANK], element_strides[TG_MAP_RANK];    // elements
  int swizzle;                                                // 0, 32, 64 or 128 bytes
  int fill;                                                   // a tg_map_fill
} tg_tensor_map;
// Throws TG_INVALID where cuTensorMapEncodeTiled would refuse it: a variant's preconditions see to it that it does not.
void tg_record_tensor_map(tg_context *ctx, const tg_record_arg *arg, const tg_record_values *values, tg_tensor_map *out);
// Extents and storage of a parameter or workspace; throws TG_INVALID on negative extents and sizes beyond 64 bits.
size_t tg_record_bytes(tg_context *ctx, const tg_record_param *param, const tg_dims *dims, int64_t dim[TG_MAX_RANK]);
const tg_record_param *tg_record_param_find(const tg_record *record, const char *name); // NULL = none

#endif
