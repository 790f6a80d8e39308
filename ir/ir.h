// Tile IR and lane IR: one arena, one structure, two op tables.
//
// A kernel is a list of launches; a launch is a grid and a region; a region is a list of ops in SSA form; ops own nested regions (for, if,
// while). Everything lives in the kernel's arena and is freed with it. Passes rewrite in place.
#ifndef TG_IR_H
#define TG_IR_H

#include "ir/base.h"

typedef enum tg_dtype_id {
#define DTYPE(enum_, name, bits, cls, e, m, bias, npy, doc) TG_##enum_,
#include "ir/dtypes.def"
#undef DTYPE
  TG_NDTYPES
} tg_dtype_id;

typedef struct tg_dtype_row {
  const char *name;
  uint8_t bits, exp, man;
  char cls; // 'b' 'i' 'f' 'e'
  int16_t bias;
  const char *npy, *doc;
} tg_dtype_row;
extern const tg_dtype_row tg_dtypes[TG_NDTYPES];

typedef enum tg_opcode {
#define OP(enum_, name, lo, hi, outs, regions, traits, rule, attrs, doc) TG_OP_##enum_,
#include "ir/elementwise.def"
#include "ir/tile.def"
#include "ir/lane.def"
#undef OP
  TG_NOPCODES
} tg_opcode;

typedef enum tg_level { TG_LEVEL_TILE, TG_LEVEL_LANE } tg_level;

typedef enum tg_trait { // bits of tg_op_row.traits, letters in the tables
  TG_PURE = 1,
  TG_ELEMENTWISE = 2,
  TG_COMMUTATIVE = 4,
  TG_READS = 8,
  TG_WRITES = 16,
  TG_TERMINATOR = 32,
  TG_AT_TILE = 64,
  TG_AT_LANE = 128
} tg_trait;

typedef struct tg_op_row {
  tg_op_info info;
  unsigned traits;
} tg_op_row;
const tg_op_row *tg_op_rows(void);                               // TG_NOPCODES rows, traits decoded
int tg_op_find(const char *name, size_t length, tg_level level); // among the ops of a level; -1 if unknown

// One entry of a row's attribute column, read by tg_next_attr_spec; false at the end of the column.
typedef struct tg_attr_spec {
  const char *key; // `length` characters, not NUL-terminated
  int length;
  tg_attr_kind kind;
  bool num; // int or float
  bool optional;
} tg_attr_spec;
bool tg_next_attr_spec(const char **cursor, tg_attr_spec *out);

enum {
  TG_MAX_RESULTS = 1024,     // of one op
  TG_MAX_ELEMENTS = 1 << 24, // of one tile
  TG_MAX_NESTING = 64,       // of regions
  TG_MAX_EXPR = 4096,        // nodes of one launch-time expression
  TG_MAX_EXPR_DEPTH = 256    // of its tree
};

typedef struct tg_use tg_use;
typedef struct tg_region tg_region;

struct tg_value {
  tg_type type;
  tg_op *def;        // NULL for a region argument
  tg_region *region; // region whose argument it is, or that holds `def`
  uint32_t index;    // among def's results or the region's arguments
  uint32_t id;       // number in print; unique in the kernel, assigned on creation
  void *note;        // scratch for the pass or lowering at work; NULL between passes
};

struct tg_op {
  uint16_t code; // tg_opcode
  uint16_t nin, nout, nregions, nattrs;
  tg_value **in;
  tg_value **out;
  tg_region **regions;
  tg_attr *attrs; // in the table's order
  tg_op *prev, *next;
  tg_region *parent;
  tg_loc loc;
  void *note;
};

struct tg_region {
  tg_op *first, *last;
  tg_value **args;
  int nargs;
  tg_op *owner;             // NULL for a launch's body
  struct tg_launch *launch; // the launch it belongs to
};

struct tg_expr {
  tg_expr_op op;
  int64_t value;    // CONST
  const char *name; // SYM
  const tg_expr *a, *b;
  int size, depth; // nodes, as a tree; levels of it
};

typedef enum tg_symbol_kind { TG_SYM_DIM, TG_SYM_STATIC } tg_symbol_kind;
typedef struct tg_symbol {
  const char *name;
  tg_symbol_kind kind;
  int64_t value; // static, or a dim that was fixed; -1 unknown
} tg_symbol;

// What the entry of a lowered launch takes, in order; lane level only. The region's argument i is the value of arg i.
typedef enum tg_arg_kind { TG_ARG_POINTER, TG_ARG_SCALAR, TG_ARG_MAP } tg_arg_kind;
typedef enum tg_map_fill { TG_FILL_ZERO, TG_FILL_NAN, TG_NFILLS } tg_map_fill;
extern const char *const tg_map_fills[TG_NFILLS]; // their names
enum { TG_MAP_RANK = 5 };

// A tensor map (CUDA Driver API, cuTensorMapEncodeTiled): how the machine's copy unit sees a tensor. It copies boxes of it by the
// coordinates of their first element; what of a box lies outside reads as the fill. Axes are innermost first; the innermost is contiguous.
typedef struct tg_arg_map {
  const char *of; // parameter or workspace
  int rank;       // 1 to TG_MAP_RANK
  const tg_expr *byte_offset, *dims[TG_MAP_RANK], *strides_bytes[TG_MAP_RANK - 1];
  int box[TG_MAP_RANK], element_strides[TG_MAP_RANK];
  int swizzle; // bytes of a row of the box whose 16-byte units change places in shared memory: 0 (none), 32, 64, 128
  tg_map_fill fill;
} tg_arg_map;

typedef struct tg_arg {
  const char *name; // parameter or workspace for pointers; expression's text, "A.stride0" or the k.scalar's name for scalars; "A.map0"
  tg_arg_kind kind;
  uint8_t dtype;         // of a map: of the elements that the copy unit sees
  const tg_expr *value;  // scalars; NULL for a k.scalar
  const tg_arg_map *map; // of a map alone
} tg_arg;
bool tg_arg_map_equal(const tg_arg_map *a, const tg_arg_map *b);
tg_arg_map *tg_arg_map_copy(tg_arena *arena, const tg_arg_map *map);
tg_type tg_arg_type(const tg_arg *arg); // of its value

typedef struct tg_launch {
  tg_kernel *kernel;
  int index;
  int naxes;
  const tg_expr *grid[4];
  tg_region *body;
  tg_loc loc;
  // lane level
  const char *entry; // symbol
  int block[3];      // threads; 1,1,1 on loops
  int cluster;       // neighbouring blocks of grid axis x that run together and reach into each other's shared memory; 1: none
  int nargs;
  tg_arg *args;
} tg_launch;

struct tg_kernel {
  tg_context *ctx;
  tg_arena arena;
  const char *name;
  tg_level level;
  tg_loc loc;
  int nsymbols, nparams, nsettings, nlaunches;
  tg_symbol *symbols;
  const char **symbol_names; // parallel to symbols, for the public API
  tg_param *params;
  tg_setting *settings;
  tg_launch **launches;
  int npreconditions; // of this compiled variant, text of boolean expressions "K % 16 == 0", "aligned(A, 16)"
  const char **preconditions;
  uint32_t next_id;
  // tracing
  tg_launch *open_launch;
  tg_region **open; // stack of open regions
  int nopen, open_capacity;
  char *printed;         // of tg_kernel_print
  const char *last_file; // of locations: the last one copied
};

// ---- types (types.c)
static inline tg_type tg_tile(int dtype, int rank, const int32_t *dim) {
  tg_type t = {.kind = TG_TILE, .dtype = (uint8_t)dtype, .rank = (uint8_t)rank};
  for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
  return t;
}
static inline tg_type tg_scalar_type(int dtype) { return (tg_type){.kind = TG_TILE, .dtype = (uint8_t)dtype}; }
static inline tg_type tg_vector_type(int dtype, int n) {
  return (tg_type){.kind = TG_TILE, .dtype = (uint8_t)dtype, .rank = 1, .dim = {n}};
}
static inline tg_type tg_ptr_type(tg_space space) { return (tg_type){.kind = TG_PTR, .space = (uint8_t)space}; }
static inline bool tg_type_equal(tg_type a, tg_type b) { return memcmp(&a, &b, sizeof a) == 0; }
int64_t tg_type_elements(tg_type t);
const char *tg_type_text(tg_arena *arena, tg_type t);                   // "f32[64x32]", "i64", "view<e4m3,2>", "range<64>", "ptr<shared>"
bool tg_type_parse(const char **cursor, const char *end, tg_type *out); // advances the cursor

// Type rule of an op: fills `out` from operands and attributes, or describes what is wrong in ctx->message style text and returns false.
// `complaint` is a sentence without the op's name; it names operands by their position and says the cure where one is common.
// *nout = -1 for ops whose result types are not a matter of their operands: `if` (its yields say) and `mma` (the target's table says).
bool tg_infer(tg_arena *arena, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs, int *nout,
              tg_type out[TG_MAX_RESULTS], const char **complaint);
// Attributes in the order of the op's row, kinds checked, all copied into `arena`; an integer that stands for a float is made one. False
// with a complaint when one is missing, unknown, twice or of another kind.
bool tg_match_attrs(tg_arena *arena, int code, int nattrs, const tg_attr *attrs, int *nout, tg_attr **out, const char **complaint);

// ---- building (build.c)
// In passes and lowerings: makes an op at `before` (or at the end of `region` when NULL). Result types are inferred; for ops whose
// row has outs = -1, `types` gives them. Throws on a type error, which there is a bug.
typedef struct tg_builder {
  tg_kernel *kernel;
  tg_region *region;
  tg_op *before;
  tg_loc loc;
} tg_builder;
tg_op *tg_build(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs);
tg_op *tg_build_typed(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs, int nout,
                      const tg_type *types);
tg_region *tg_add_region(tg_builder *b, tg_op *op, int index, int nargs, const tg_type *types); // sets the region's arguments; returns it
// One-result shorthands.
tg_value *tg_build0(tg_builder *b, int code, int nattrs, const tg_attr *attrs);
tg_value *tg_build1(tg_builder *b, int code, tg_value *x);
tg_value *tg_build2(tg_builder *b, int code, tg_value *x, tg_value *y);
tg_value *tg_build3(tg_builder *b, int code, tg_value *x, tg_value *y, tg_value *z);
tg_value *tg_const_int(tg_builder *b, tg_type type, int64_t value);
tg_value *tg_const_float(tg_builder *b, tg_type type, double value);
tg_value *tg_cast_to(tg_builder *b, tg_value *x, int dtype, const char *mode);
int64_t tg_wrap_int(int dtype, int64_t value); // to the bits that the dtype keeps; i1 keeps the lowest
// `for lb..ub step` with carried values: returns the op; body region has arguments (i64, carried…). The caller fills it and ends it by
// yield.
tg_op *tg_build_for(tg_builder *b, tg_value *lb, tg_value *ub, int64_t step, int ninit, tg_value *const *init);
void tg_build_yield(tg_builder *b, int n, tg_value *const *values);

const tg_attr *tg_find_attr(const tg_op *op, const char *key); // NULL if absent
int64_t tg_attr_int(const tg_op *op, const char *key, int64_t fallback);
const char *tg_attr_str(const tg_op *op, const char *key, const char *fallback);
bool tg_is_const(const tg_value *v); // made by `const`
bool tg_const_as_int(const tg_value *v, int64_t *out);
bool tg_const_as_float(const tg_value *v, double *out);
#define TG_AINT(k, v)     ((tg_attr){.key = (k), .kind = TG_ATTR_INT, .i = (v)})
#define TG_AFLOAT(k, v)   ((tg_attr){.key = (k), .kind = TG_ATTR_FLOAT, .f = (v)})
#define TG_ASTR(k, v)     ((tg_attr){.key = (k), .kind = TG_ATTR_STR, .s = (v)})
#define TG_AINTS(k, p, c) ((tg_attr){.key = (k), .kind = TG_ATTR_INTS, .ints = (p), .n = (c)})
#define TG_ATYPE(k, t)    ((tg_attr){.key = (k), .kind = TG_ATTR_TYPE, .type = (t)})
#define TG_AEXPR(k, x)    ((tg_attr){.key = (k), .kind = TG_ATTR_EXPR, .e = (x)})

// Types of the arguments of region `index` of an op; returns their number.
int tg_region_types(const tg_op *op, int index, tg_type out[TG_MAX_RESULTS + 1]);
void tg_add_results(tg_kernel *kernel, tg_op *op, int n, const tg_type *types);
tg_loc tg_keep_loc(tg_kernel *kernel, tg_loc loc);    // file name copied into the kernel
const char *tg_loc_text(tg_arena *arena, tg_loc loc); // "gemm.lua:12: " or ""

void tg_replace_all(tg_kernel *kernel, tg_value *from, tg_value *to);
void tg_remove_op(tg_op *op);                                                   // unlinks; results must be unused
void tg_move_before(tg_op *op, tg_op *before);                                  // also across regions
tg_kernel *tg_kernel_create(tg_context *ctx, const char *name, tg_level level); // throws
tg_kernel *tg_kernel_clone(const tg_kernel *kernel);                            // throws; loc and settings included
// A fresh kernel of another level with the same header (symbols, params, settings), no launches.
tg_kernel *tg_kernel_like(const tg_kernel *kernel, tg_level level);
tg_launch *tg_add_launch(tg_kernel *kernel, int naxes, const tg_expr *const *grid); // copies the expressions
tg_value *tg_add_arg(tg_launch *launch, const tg_arg *arg); // lane level: one more argument, copied; ptr<global> or a scalar of its dtype
const tg_param *tg_find_param(const tg_kernel *kernel, const char *name);
const char *tg_setting_value(const tg_kernel *kernel, const char *name, const char *fallback);
// Walks all ops of a region, outer before inner; `visit` may remove the op it is given.
void tg_walk(tg_region *region, void (*visit)(tg_op *op, void *user), void *user);

// ---- expressions (expr.c); `arena` of the kernel they are for
const tg_expr *tg_e_const(tg_arena *arena, int64_t v);
const tg_expr *tg_e_sym(tg_arena *arena, const char *name);
const tg_expr *tg_e_bin(tg_arena *arena, tg_expr_op op, const tg_expr *a, const tg_expr *b); // folds
const tg_expr *tg_e_copy(tg_arena *arena, const tg_expr *e);
bool tg_is_name(const char *text); // an identifier that expressions can use: not min, max, ceildiv, floordiv
bool tg_e_equal(const tg_expr *a, const tg_expr *b);
const char *tg_e_text(tg_arena *arena, const tg_expr *e);
const tg_expr *tg_e_parse(tg_arena *arena, const char *text, const char *end, const char **stopped); // NULL = syntax error
typedef bool (*tg_lookup_fn)(void *user, const char *name, int64_t *value);
// False when a symbol is unknown (its name in *missing) or the value overflows int64 or divides by 0 (*missing = NULL).
bool tg_e_eval(const tg_expr *e, tg_lookup_fn lookup, void *user, int64_t *out, const char **missing);
// Solves e == value for its one unknown symbol; false when there is none, more than one, or no solution. ceildiv picks the largest.
bool tg_e_solve(const tg_expr *e, int64_t value, tg_lookup_fn lookup, void *user, const char **name, int64_t *out);

// ---- verify, print, parse
tg_status tg_verify(tg_kernel *kernel); // all complaints, a line each, in ctx->message; TG_OK or TG_INVALID
const char *tg_print(tg_arena *arena, const tg_kernel *kernel, size_t *length);          // locations as trailing `@file:line`
tg_kernel *tg_parse(tg_context *ctx, const char *text, size_t length, const char *file); // throws TG_INVALID with file:line:column
// What `print` shows of a value: of a tile the first TG_PRINTED elements, of a range its start and end, of anything else nothing. They come
// in slots of 8 bytes, floats as f64, everything else as i64. Appends to out[used], never beyond `size`; returns the length with it.
enum { TG_PRINTED = 64 };
int tg_printed_slots(tg_type type);
size_t tg_print_value(char *out, size_t used, size_t size, tg_type type, const uint64_t *slots);

// ---- passes, one file each: pass_<name>.c
typedef struct tg_pass {
  const char *name;
  void (*run)(tg_kernel *kernel); // throws on failure
  const char *doc;
} tg_pass;
extern const tg_pass tg_passes[];             // ends with name NULL; what --passes and tests can name
void tg_pass_canonicalise(tg_kernel *kernel); // fold constants, algebra, unused loop results
void tg_pass_cse(tg_kernel *kernel);
void tg_pass_dce(tg_kernel *kernel);
void tg_pass_licm(tg_kernel *kernel);
// Runs a comma-separated list; verifies after each in debug builds; dumps numbered files when ctx->config.dump_dir is set.
void tg_run_passes(tg_kernel *kernel, const char *names);
void tg_dump(tg_kernel *kernel, const char *stage); // NNN-<kernel>-<stage>.tile|lane into the dump directory; nothing when unset
void tg_dump_text(tg_context *ctx, const char *name, const char *extension, const void *data, size_t size);

// ---- numbers (numeric.c): exact conversions of every dtype
double tg_decode(int dtype, uint64_t bits);
typedef enum tg_round_mode { TG_ROUND_IEEE, TG_ROUND_SAT } tg_round_mode;
// To nearest even. Dtypes without Inf: IEEE gives NaN above the largest (e2m1, which has none, saturates), SAT the largest; NaN stays NaN
// (e2m1: +6). Modes mean nothing to dtypes with Inf. f32 -> e8m0 takes the power of two nearest, 1.5*2^e going up; <= 0 and NaN give NaN.
// Float to integer truncates, saturates, NaN -> 0; to i1 it is x != 0.
uint64_t tg_encode(int dtype, double value, tg_round_mode mode);
// x * y + z of f16 or bf16 numbers as an f32 that rounds to either as the exact value does: by way of the nearest f32 it would be rounded
// twice.
float tg_fma_narrow(float x, float y, float z);
float tg_bf16_to_f32(uint16_t bits);
uint16_t tg_f32_to_bf16(float value);
uint8_t tg_f32_to_e4m3(float value, tg_round_mode mode);

// ---- interpreter (interp.c): the meaning of tile IR
typedef struct tg_tensor { // storage bound to a parameter or workspace
  const char *name;
  uint8_t dtype;
  int rank;
  int64_t dim[TG_MAX_RANK];
  void *data; // row-major; NULL allowed when empty
  size_t bytes;
} tg_tensor;
typedef struct tg_interp_options {
  int nblocks;           // 0 = all blocks of every launch
  const int64_t *blocks; // linear block numbers (axis 0 fastest), of launch `only_launch`
  int only_launch;       // -1 = all
  bool no_race_check;
  void (*print)(void *user, const char *text);
  void *user;
} tg_interp_options;
// Runs a tile-level kernel. `lookup` gives dims and statics, `scalar` the k.scalars. Throws TG_FAILED with the Lua line on out-of-range
// addresses of views, races between blocks, equal scatter indices, broken assume or assert; reports the first.
void tg_interpret(tg_kernel *kernel, int ntensors, const tg_tensor *tensors, tg_lookup_fn lookup, void *lookup_user,
                  bool (*scalar)(void *user, const char *name, double *value), void *scalar_user, const tg_interp_options *options);

#endif
