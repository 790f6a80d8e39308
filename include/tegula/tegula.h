/* tegula: write, tune and ship tile kernels. The one public header.
 *
 * Conventions
 *   - Everything hangs off a tg_context; the core has no globals, never exits and never prints.
 *   - Functions return a tg_status; the sentence that explains a failure is tg_error_message(ctx).
 *   - Objects come from a `*_new`, `*_open` or `*_load` and go by the `*_free` or `*_close` of the same name. Borrowed pointers say so.
 *   - Shapes are int64_t, outermost axis first; sizes are bytes; times are seconds.
 *   - One context is used by one thread at a time; unlike contexts are independent.
 */
#ifndef TEGULA_H
#define TEGULA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TG_VERSION  "0.1.0"
#define TG_MAX_RANK 4 /* of tiles and views */

/* ---- status, context --------------------------------------------------------------------------------------------- */

typedef enum tg_status {
  TG_OK = 0,
  TG_FAILED = 1,   /* the work failed: wrong result, compile error, device error */
  TG_INVALID = 2,  /* the call was wrong: bad shape, dtype, file, script, environment */
  TG_NO_MEMORY = 3 /* the allocator returned NULL */
} tg_status;

typedef enum tg_log_level { TG_LOG_DEBUG, TG_LOG_INFO, TG_LOG_WARNING } tg_log_level;

typedef struct tg_context tg_context;

typedef struct tg_config {
  /* realloc-like: ptr NULL allocates, size 0 frees. NULL = the C library's. */
  void *(*allocate)(void *user, void *ptr, size_t size);
  void (*log)(void *user, tg_log_level level, const char *text); /* NULL = silent */
  void *user;
  const char *root;      /* directory that holds kernels/ and lua/ (NULL: beside the executable, then the installed place) */
  const char *cache_dir; /* compile cache and measured limits (NULL: $TEGULA_CACHE, $XDG_CACHE_HOME/tegula, ~/.cache/tegula) */
  const char *database;  /* user's tuning database file (NULL: $TEGULA_DATABASE, else in the cache directory) */
  const char *worker;    /* compile helper program (NULL: $TEGULA_WORKER, tegula-worker beside the executable) */
  int compile_seconds;   /* time limit of one compile in the helper (0: $TEGULA_COMPILE_SECONDS, else 60) */
  /* Compiled kernels to take where the compile helper cannot be run (NULL: $TEGULA_PACK, pack/ in `root` if there is one), under names that
   * hold for every machine. fill_pack: what is compiled is kept there too ($TEGULA_FILL_PACK=1). */
  const char *pack_dir;
  bool fill_pack;
  const char *dump_dir; /* numbered files after each pass (NULL: $TEGULA_DUMP; none if unset) */
} tg_config;

tg_status tg_context_new(const tg_config *config, tg_context **out); /* config may be NULL */
void tg_context_free(tg_context *ctx);
const char *tg_error_message(const tg_context *ctx); /* of the last call that failed; borrowed until the next call */
void tg_log(tg_context *ctx, tg_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Records a failure on the context and returns `status`; for bindings that find errors of their own. */
tg_status tg_error(tg_context *ctx, tg_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* For language bindings: where kernels/ and lua/ lie, the context's allocator (realloc-like, NULL when out of memory, size 0 frees), and
 * one pointer of the binding's own, which `release` gets when the context goes. */
const char *tg_context_root(const tg_context *ctx);
void *tg_context_allocate(tg_context *ctx, void *ptr, size_t size);
void tg_context_bind(tg_context *ctx, void *state, void (*release)(tg_context *ctx, void *state));
void *tg_context_binding(const tg_context *ctx); /* NULL before the first bind */

/* ---- dtypes ------------------------------------------------------------------------------------------------------ */

typedef int tg_dtype;                     /* a row of ir/dtypes.def; -1 = none */
tg_dtype tg_dtype_find(const char *name); /* -1 if unknown */
int tg_dtype_count(void);
const char *tg_dtype_name(tg_dtype dtype);
int tg_dtype_bits(tg_dtype dtype);
bool tg_dtype_is_float(tg_dtype dtype);
size_t tg_dtype_bytes(tg_dtype dtype, int64_t elements); /* storage of so many elements (e2m1: two a byte, rounded up) */

/* ---- types and values of the IR ---------------------------------------------------------------------------------- */

typedef enum tg_kind { TG_NOTHING, TG_TILE, TG_VIEW, TG_RANGE, TG_PTR } tg_kind;
typedef enum tg_space {
  TG_GLOBAL,
  TG_SHARED,
  TG_LOCAL /* scratch of one worker */,
  TG_PARAMETER /* what a launch is given by value */
} tg_space;

/* TG_TILE: dtype, rank, dim (at lane level rank 0 = scalar, rank 1 = short vector). TG_VIEW: dtype, rank. TG_RANGE: dim[0] = static length.
 * TG_PTR: space. Unused fields are 0, so that types compare with memcmp. */
typedef struct tg_type {
  uint8_t kind, dtype, rank, space;
  int32_t dim[TG_MAX_RANK];
} tg_type;

typedef struct tg_value tg_value; /* SSA value, owned by its kernel */
typedef struct tg_op tg_op;       /* operation, owned by its kernel */
typedef struct tg_expr tg_expr;   /* launch-time integer expression, owned by its kernel */
typedef struct tg_kernel tg_kernel;

typedef struct tg_loc {
  const char *file; /* copied; NULL = unknown */
  int line;
} tg_loc;

typedef enum tg_attr_kind { TG_ATTR_INT, TG_ATTR_FLOAT, TG_ATTR_STR, TG_ATTR_INTS, TG_ATTR_TYPE, TG_ATTR_EXPR } tg_attr_kind;
typedef struct tg_attr {
  const char *key;
  tg_attr_kind kind;
  int n; /* TG_ATTR_INTS */
  int64_t i;
  double f;
  const char *s;
  const int64_t *ints;
  tg_type type;
  const tg_expr *e;
} tg_attr;

const tg_type *tg_value_type(const tg_value *value);
tg_loc tg_value_loc(const tg_value *value);

/* Reflection over the tile-op table, for bindings: every op of ir/elementwise.def and ir/tile.def. */
typedef struct tg_op_info {
  const char *name, *traits, *attrs, *doc;
  int in_lo, in_hi, outs, regions;
} tg_op_info;
int tg_opcode_find(const char *name); /* -1 if unknown */
int tg_opcode_count(void);
const tg_op_info *tg_opcode_info(int opcode);

/* ---- launch-time expressions: + - * ceildiv floordiv min max over dims and statics -------------------------------- */

typedef enum tg_expr_op {
  TG_EXPR_CONST,
  TG_EXPR_SYM,
  TG_EXPR_ADD,
  TG_EXPR_SUB,
  TG_EXPR_MUL,
  TG_EXPR_CEILDIV,
  TG_EXPR_FLOORDIV,
  TG_EXPR_MIN,
  TG_EXPR_MAX
} tg_expr_op;
tg_status tg_expr_const(tg_kernel *kernel, int64_t value, const tg_expr **out);
tg_status tg_expr_sym(tg_kernel *kernel, const char *name, const tg_expr **out); /* a declared dim or static */
tg_status tg_expr_binary(tg_kernel *kernel, tg_expr_op op, const tg_expr *a, const tg_expr *b, const tg_expr **out); /* folds constants */
bool tg_expr_is_const(const tg_expr *e, int64_t *value);
/* Text such as "ceildiv(M, 128)"; returns the length it needs, writes at most `size` bytes. */
size_t tg_expr_print(const tg_expr *e, char *buffer, size_t size);

/* ---- building a kernel (what the Lua frontend uses) --------------------------------------------------------------- */

typedef enum tg_param_kind { TG_INPUT, TG_OUTPUT, TG_INOUT, TG_WORKSPACE, TG_SCALAR_PARAM } tg_param_kind;
enum {
  TG_PARAM_OPTIONAL = 1,
  TG_PARAM_ZERO = 2,     /* workspace zeroed before the first launch */
  TG_PARAM_PACKED = 4,   /* weights in the layout of pack_weights: see `packed` */
  TG_PARAM_INDEX = 8,    /* integer input whose elements are 0 ... below-1 */
  TG_PARAM_OFFSETS = 16, /* integer input of one axis whose elements never decrease and are 0 ... below */
  TG_PARAM_NONE = 32,    /* with TG_PARAM_INDEX: -1 stands for none */
  TG_PARAM_DROPS = 64    /* with TG_PARAM_INDEX: so does everything outside, which nobody reports */
};

typedef struct tg_param {
  const char *name;
  tg_param_kind kind;
  tg_dtype dtype;
  int rank;
  unsigned flags;
  const tg_expr *dims[TG_MAX_RANK];
  const tg_expr *packed[3]; /* TG_PARAM_PACKED: the logical N and K, read from the buffer's header; then NULL or the number of matrices */
  const tg_expr *below; /* TG_PARAM_INDEX, TG_PARAM_OFFSETS: kernels stay in bounds on any content; tg_run_options.check_indices looks */
  tg_loc loc;
} tg_param;

typedef enum tg_setting_kind { TG_OPTION, TG_TUNE } tg_setting_kind;
/* An option or meta-parameter as it was declared, with the value in force. Values are text; TG_TUNE values are integers. */
typedef struct tg_setting {
  const char *name;
  tg_setting_kind kind;
  const char *value, *fallback;
  int nallowed; /* 0 = any (options only) */
  const char *const *allowed;
} tg_setting;

tg_status tg_kernel_new(tg_context *ctx, const char *name, tg_loc loc, tg_kernel **out);
void tg_kernel_free(tg_kernel *kernel);
const char *tg_kernel_name(const tg_kernel *kernel);
tg_status tg_kernel_dim(tg_kernel *kernel, const char *name, tg_loc loc);                   /* dynamic dim */
tg_status tg_kernel_static(tg_kernel *kernel, const char *name, int64_t value, tg_loc loc); /* value < 0: not yet known (signature trace) */
tg_status tg_kernel_setting(tg_kernel *kernel, const tg_setting *setting, tg_loc loc);
tg_status tg_kernel_param(tg_kernel *kernel, const tg_param *param, tg_loc loc);

/* Signature, for callers that read it back. Borrowed. */
int tg_kernel_params(const tg_kernel *kernel, const tg_param **out);
int tg_kernel_settings(const tg_kernel *kernel, const tg_setting **out);
int tg_kernel_symbols(const tg_kernel *kernel, const char *const **names); /* dims and statics */

/* Opens a launch over a grid of 1..4 axes; ops are emitted into it until tg_launch_end. */
tg_status tg_launch_begin(tg_kernel *kernel, int naxes, const tg_expr *const *grid, tg_loc loc);
tg_status tg_launch_end(tg_kernel *kernel, tg_loc loc);
/* Appends an op to the open region; result types are inferred and checked. *out is borrowed from the kernel. */
tg_status tg_emit(tg_kernel *kernel, int opcode, int n, tg_value *const *operands, int nattrs, const tg_attr *attrs, tg_loc loc,
                  tg_op **out);
int tg_op_results(const tg_op *op, tg_value *const **out);
/* Regions of for, if, while: begin, emit the body, end with the yielded values (this appends `yield`). */
tg_status tg_region_begin(tg_kernel *kernel, tg_op *op, int index, int *nargs, tg_value *const **args);
tg_status tg_region_end(tg_kernel *kernel, int nyield, tg_value *const *yield, tg_loc loc);
tg_status tg_kernel_verify(tg_kernel *kernel); /* collects every complaint into one message */

tg_status tg_kernel_parse(tg_context *ctx, const char *text, size_t length, const char *file, tg_kernel **out); /* .tile or .lane */
/* Text that tg_kernel_parse reads back to the same kernel. Owned by the kernel, NUL-terminated. */
tg_status tg_kernel_print(tg_kernel *kernel, const char **text, size_t *length);

/* ---- name=value lists: shapes, settings ---------------------------------------------------------------------------- */

typedef struct tg_binding {
  const char *name, *value;
} tg_binding;
typedef struct tg_bindings {
  int n;
  const tg_binding *at;
} tg_bindings;

/* ---- kernel sources: Lua files and the library ---------------------------------------------------------------------- */

typedef struct tg_source tg_source;
tg_status tg_source_load(tg_context *ctx, const char *name_or_file, tg_source **out); /* library kernel's name or file.lua */
void tg_source_free(tg_source *source);
/* File it was loaded from; NULL for a kernel that a script made. Borrowed. */
const char *tg_source_file(const tg_source *source);
/* Traces the declarations alone: params, options, meta-parameters. Borrowed from the source. */
tg_status tg_source_signature(tg_source *source, const tg_bindings *settings, tg_kernel **out);
/* Traces the whole kernel under settings (options and meta-parameters) and statics. Caller frees. */
tg_status tg_source_trace(tg_source *source, const tg_bindings *settings, const tg_bindings *statics, tg_kernel **out);
/* Names of the library's kernels, sorted; borrowed from the context. */
tg_status tg_library(tg_context *ctx, int *n, const char *const **names);
/* Runs a Lua script with `tegula` loaded; arguments as in `arg`. */
tg_status tg_script_run(tg_context *ctx, const char *file, int nargs, const char *const *args);
/* Ends the script that tg_script_run is running in this context; may be called in a signal handler of the thread that runs it. NULL: the
 * script ends at its next Lua instruction, with TG_FAILED and "interrupted at FILE:LINE". Else the script waits for a call that cannot be
 * ended (a run, a tuning) at this FILE:LINE, borrowed, and it is for the caller to end the process; "?" when no script runs. */
const char *tg_script_interrupt(tg_context *ctx);

/* ---- targets, machines, compiling ----------------------------------------------------------------------------------- */

typedef struct tg_target_info {
  const char *name, *family, *lowering, *emitter, *doc;
  bool available; /* can be compiled for in this build */
} tg_target_info;
int tg_targets(tg_context *ctx, const tg_target_info **out); /* borrowed */

/* What a kernel takes by default there, where the call's options are these. The last entry of a machine that holds for a call serves. */
typedef struct tg_machine_default {
  const char *kernel;
  tg_bindings when; /* options of the kernel and their values, all of which have to be in force */
  tg_bindings set;  /* meta-parameters of the kernel and parameters of the lowering */
} tg_machine_default;

typedef struct tg_machine_info {
  const char *name, *target, *doc;
  int nfigures;
  const struct tg_figure {
    const char *name;
    double value;
    const char *unit, *source;
  } *figures;
  int ndefaults; /* those of a machine that it is like first */
  const tg_machine_default *defaults;
} tg_machine_info;
int tg_machines(tg_context *ctx, const tg_machine_info **out); /* borrowed */
tg_status tg_machine_load(tg_context *ctx, const char *file);  /* adds a user's own description */
/* What a compile for the target takes where nothing is set: every setting of the kernel, then the parameters of the lowering that the
 * target's description names. Borrowed from the context. */
tg_status tg_target_defaults(tg_context *ctx, tg_source *source, const char *target, tg_bindings *out);

typedef struct tg_artifact tg_artifact; /* bytes + launch record + report */
typedef struct tg_compile_options {
  const char *target;   /* "cpu", "cpu:avx2", "nvptx:sm_80", a machine's name, FILE.lua: a description of one's own */
  tg_bindings settings; /* options, meta-parameters, and the lowering's own parameters */
  tg_bindings statics;  /* --fix and statics: part of the kernel's identity */
  tg_bindings shape;    /* statics that are still open take their values from it; dims do not */
  bool no_cache;
} tg_compile_options;
/* In the library tegula_llvm alone: the context compiles in this process from now on, which saves the helper and its limits: what LLVM
 * cannot select ends the program. For those who embed. */
tg_status tg_embed_llvm(tg_context *ctx);
tg_status tg_compile(tg_context *ctx, tg_source *source, const tg_compile_options *options, tg_artifact **out);
/* The same for IR that is already traced. */
tg_status tg_compile_kernel(tg_context *ctx, tg_kernel *kernel, const tg_compile_options *options, tg_artifact **out);
void tg_artifact_free(tg_artifact *artifact);
/* what: "tile" "lane" "llvm" "asm" "obj" "source" "meta" (shape may be NULL). Borrowed from the artifact. */
tg_status tg_artifact_emit(tg_artifact *artifact, const char *what, const tg_bindings *shape, const void **data, size_t *size);

/* ---- host arrays ------------------------------------------------------------------------------------------------------ */

typedef struct tg_array {
  tg_dtype dtype;
  int rank;
  int64_t dim[8];
  size_t bytes;
  void *data; /* 64-byte aligned, owned */
} tg_array;
tg_status tg_array_new(tg_context *ctx, tg_dtype dtype, int rank, const int64_t *dim, tg_array **out); /* zeroed */
void tg_array_free(tg_context *ctx, tg_array *array);
/* `dtype` says how to read raw bit patterns (|u1, <u2, void descriptors); -1 takes the file's own numeric type. */
tg_status tg_npy_read(tg_context *ctx, const char *file, tg_dtype dtype, tg_array **out);
tg_status tg_npy_write(tg_context *ctx, const char *file, const tg_array *array); /* whole or not at all */
double tg_array_get(const tg_array *array, int64_t flat);                         /* element as a double; i64 beyond 2^53 rounds */
void tg_array_set(tg_array *array, int64_t flat, double value);                   /* to nearest even, saturating where there is no Inf */

/* ---- checkpoints: .safetensors files -------------------------------------------------------------------------------------- */

/* The tensors of one file, of a directory with an index (model.safetensors.index.json) or of a directory of .safetensors files, under one
 * set of names. The headers are checked when it is opened (TG_INVALID names what is wrong), elements are read when asked for. */
typedef struct tg_checkpoint tg_checkpoint;
typedef struct tg_tensor_info {
  const char *name, *file; /* borrowed from the checkpoint */
  const char *stored;      /* dtype as the file calls it: "BF16", "F8_E4M3", ... */
  tg_dtype dtype;          /* U8 counts as i8; -1: a dtype that there is none of here, which can be mapped but not read */
  int rank;
  int64_t dim[8];
  size_t bytes;
} tg_tensor_info;
tg_status tg_checkpoint_open(tg_context *ctx, const char *path, tg_checkpoint **out); /* a file, a directory or an index */
void tg_checkpoint_close(tg_checkpoint *checkpoint);
int tg_checkpoint_count(const tg_checkpoint *checkpoint);
const tg_tensor_info *tg_checkpoint_info(const tg_checkpoint *checkpoint, int i);            /* sorted by name; borrowed */
const tg_tensor_info *tg_checkpoint_find(const tg_checkpoint *checkpoint, const char *name); /* NULL: none of that name; borrowed */
tg_bindings tg_checkpoint_metadata(const tg_checkpoint *checkpoint); /* __metadata__ of the first file that has any; borrowed */
/* A copy of a tensor. `dtype` says how to read the bytes of U8 (any dtype of 8 bits, or e2m1, which doubles the last axis); -1 = its own.
 */
tg_status tg_checkpoint_read(tg_checkpoint *checkpoint, const char *name, tg_dtype dtype, tg_array **out);
/* A tensor's bytes where they are, read-only, aligned as the file happens to be, borrowed from the checkpoint. A file that somebody
 * shortens meanwhile ends the program with SIGBUS; tg_checkpoint_read gives an error. */
tg_status tg_checkpoint_map(tg_checkpoint *checkpoint, const char *name, const void **data, size_t *bytes);

typedef struct tg_named_array {
  const char *name;
  const tg_array *array;
} tg_named_array;
/* Writes one file, whole or not at all, as the safetensors package would: by dtype, then by name. `metadata` may be NULL. */
tg_status tg_safetensors_write(tg_context *ctx, const char *file, int n, const tg_named_array *tensors, const tg_bindings *metadata);

/* ---- devices and execution ----------------------------------------------------------------------------------------------- */

typedef struct tg_device_info {
  const char *name, *family, *target, *description;
  bool available;
  const char *why;   /* not available: what was looked for and not found */
  const char *model; /* what the device calls itself, NULL: it is the host */
  tg_bindings facts; /* what its driver says of it: numbers, versions */
} tg_device_info;
int tg_devices(tg_context *ctx, const tg_device_info **out); /* borrowed */

typedef struct tg_device tg_device;
tg_status tg_device_open(tg_context *ctx, const char *name, tg_device **out); /* "cpu", "interp", "cuda:0", … */
/* Buffers and launchables that are left keep what they need of the device until they are freed; buffers can no longer be used then. */
void tg_device_close(tg_device *device);
const char *tg_device_name(const tg_device *device); /* as it was opened; borrowed */

/* A tensor in a device's memory. What is made here is counted: parts and launchables keep the memory that they lie in, so buffers may be
 * freed in any order. */
typedef struct tg_buffer tg_buffer;
tg_status tg_buffer_new(tg_device *device, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out); /* zeroed */
/* One without memory until tg_buffer_place gives it some: launches can be prepared on it before its place is known. */
tg_status tg_buffer_declare(tg_device *device, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out);
/* Places a declared buffer in another one's memory, `offset` bytes from that one's start, in the place of where it was; `in` NULL takes its
 * memory away. TG_INVALID where it does not fit, or where its first byte would not be aligned to 64 bytes of the device's allocations. */
tg_status tg_buffer_place(tg_buffer *buffer, tg_buffer *in, size_t offset);
/* Part of a buffer, contiguous, under a dtype and dims of its own; the offset is a multiple of the dtype's size. */
tg_status tg_buffer_view(tg_buffer *of, size_t offset, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out);
void tg_buffer_free(tg_buffer *buffer);
/* Copies between host and device; dtypes and dims must agree. */
tg_status tg_buffer_write(tg_buffer *buffer, const tg_array *array);
tg_status tg_buffer_read(tg_buffer *buffer, tg_array *array);
tg_device *tg_buffer_device(const tg_buffer *buffer); /* borrowed */
tg_dtype tg_buffer_dtype(const tg_buffer *buffer);
int tg_buffer_dims(const tg_buffer *buffer, const int64_t **dim); /* gives the rank; dims borrowed */
size_t tg_buffer_bytes(const tg_buffer *buffer);
bool tg_buffer_aligned(const tg_buffer *buffer);                /* starts at a multiple of 64 bytes of the device's allocations */
bool tg_buffer_overlap(const tg_buffer *a, const tg_buffer *b); /* do they share a byte? */

typedef struct tg_argument {
  const char *name;
  tg_array *array;   /* tensors: read for inputs, written for outputs; NULL = optional output dropped */
  double number;     /* scalars; of an integer dtype a whole number that it holds, below 2^53 in magnitude */
  tg_buffer *buffer; /* tensors in the device's memory, in the place of `array`: used where they are, without a copy */
} tg_argument;

typedef struct tg_run_options {
  tg_bindings settings; /* --set */
  tg_bindings shape;    /* dims that the arguments leave open; contradictions are errors */
  int threads;          /* host threads; 0 = all */
  bool check_indices;   /* look at index tensors and name what is wrong before launching */
  bool lent_workspace;  /* the kernel's workspaces lie in memory that tg_launchable_lend names; none is allocated */
  bool warm_caches;     /* timed runs follow each other at once; else a device that can (cuda) empties its caches before each */
} tg_run_options;

/* Compiles as needed and runs once. Outputs that are NULL in `arguments` but not optional are errors; an output's array may be left NULL by
 * passing `allocate_outputs`: then it is made here and the caller frees it. A buffer that is written must not share memory with another
 * argument; what a kernel does not write of one stays. */
tg_status tg_run(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, tg_argument *args, bool allocate_outputs);
/* Checks a call as tg_run does and declares a buffer (tg_buffer_declare) for every output among the arguments that has neither array nor
 * buffer: shapes without compiling. The caller frees them, after an error too. */
tg_status tg_declare_outputs(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, tg_argument *args);

/* A kernel compiled, bound to buffers on the device, ready to be launched many times. Arrays are copied when it is prepared; buffers are
 * used where they lie at each launch, and their index tensors are looked at (check_indices) once for each tg_launchable_run. */
typedef struct tg_launchable tg_launchable;
tg_status tg_prepare(tg_device *device, tg_source *source, const tg_run_options *options, int nargs, const tg_argument *args,
                     tg_launchable **out);
/* seconds: when not NULL, what each of the `repeat` runs took: on `cpu` with `threads` 1 the calling thread's processor time, which other
 * processes do not lengthen; on `cuda:N` time by the GPU's own clock, each run after its caches were emptied unless `warm_caches`; else
 * time by the clock on the wall. */
tg_status tg_launchable_run(tg_launchable *launchable, int repeat, double *seconds);
bool tg_launchable_own_time(const tg_launchable *launchable); /* are its seconds the calling thread's processor time? */
tg_status tg_launchable_fetch(tg_launchable *launchable);     /* copies outputs back into the arguments' arrays */
tg_status tg_launchable_scalar(tg_launchable *launchable, const char *name, double number); /* from the next launch on */
/* Under lent_workspace: bytes that its workspaces take together (0: it has none), and where they lie from now on: an aligned buffer of at
 * least as many. Launchables that do not run at the same time may share it. */
size_t tg_launchable_workspace(const tg_launchable *launchable);
tg_status tg_launchable_lend(tg_launchable *launchable, tg_buffer *memory);
/* Borrowed: where its config came from ("set", "database" or "default"), every setting in force, dims and statics as name=value. */
const char *tg_launchable_config_source(const tg_launchable *launchable);
tg_bindings tg_launchable_config(const tg_launchable *launchable);
tg_bindings tg_launchable_shape(const tg_launchable *launchable);
void tg_launchable_free(tg_launchable *launchable);

/* ---- planning: buffers that share memory ------------------------------------------------------------------------------------ */

typedef struct tg_lifetime {
  size_t bytes;
  int first, last; /* steps, both included, in which it is in use */
} tg_lifetime;
/* Offsets in one allocation, multiples of 64, such that no two share a byte while both are in use; *total is its size, at most the sum of
 * all (each rounded up to 64). The largest first, each in the tightest gap that the placed ones leave it (Pisarchyk and Lee, "Efficient
 * Memory Management for Deep Neural Net Inference", 2020). TG_INVALID when a last step comes before its first or bytes exceed 63 bits. */
tg_status tg_plan_memory(tg_context *ctx, int n, const tg_lifetime *lifetimes, size_t *offsets, size_t *total);

/* ---- PTX of any origin, simulated ------------------------------------------------------------------------------------------ */

/* What a kernel knows as a CUtensorMap: a box that cp.async.bulk.tensor copies. Innermost dimension first, as cuTensorMapEncodeTiled has
 * it, whose limits hold. */
typedef struct tg_ptx_tensor_map {
  void *address;                       /* inside of the argument's array; NULL: its first element */
  tg_dtype dtype;                      /* of an element: 8 to 64 bits */
  int rank;                            /* 1 to 5 */
  uint64_t dims[5], strides[5];        /* elements; bytes between neighbours, strides[0] is not used */
  uint32_t box[5], element_strides[5]; /* elements; an element stride of 0 is taken as 1 */
  int swizzle;                         /* bytes: 0, 32, 64, 128 */
  bool nan_fill;                       /* what lies outside reads as NaN instead of 0 */
} tg_ptx_tensor_map;
typedef struct tg_ptx_argument {
  tg_array *array;    /* a pointer to its elements, which the kernel reads and writes in place; NULL: a number */
  bool empty;         /* of an array that holds nothing yet: reading an element before it was written is a fault */
  const char *number; /* read by the parameter's type; with a point or an exponent the bits of a float of its size */
  const tg_ptx_tensor_map
      *map; /* of the array: passed by value in place of the pointer, or behind it where the parameter is a pointer; or NULL */
} tg_ptx_argument;
typedef struct tg_ptx_launch {
  const char *entry;
  int grid[3], block[3]; /* blocks, threads */
  int64_t shared_bytes;  /* dynamic, beside what the text declares */
  int threads;           /* of the host; 0 = all */
  int nargs;             /* in the order of the entry's parameters */
  const tg_ptx_argument *args;
  int cluster[3]; /* blocks; 0: what the text says, else single blocks */
} tg_ptx_launch;
/* Executes an entry of a PTX text on the host, checking every access; `file` names the text in messages. TG_INVALID: the text cannot be
 * executed, or not launched so; TG_FAILED: it ran with faults, which the message lists. json, when not NULL: what was counted and found
 * (the document of `tegula sim --json`), also with faults; free with tg_string_free. */
tg_status tg_simulate(tg_context *ctx, const char *file, const char *text, size_t size, const tg_ptx_launch *launch, char **json);

/* ---- planning: which expert lives where ---------------------------------------------------------------------------------- */

/* Replicates busy experts and packs the replicas over devices, so that the busiest device has as little as may be (the policies of
 * DeepSeek's EPLB). A device has replicas/devices slots; slot s is on device s / (replicas/devices), devices are dealt to nodes in the same
 * way. Where `nodes` divides `groups` the hierarchical policy packs groups of experts (neighbours by number) over nodes first, so that all
 * replicas of a group stay on one node; else, and with one node, the global one forgets groups and nodes. */
typedef struct tg_experts {
  int experts, replicas; /* replicas >= experts; at most 16384 */
  int groups, nodes;     /* 1 and 1: one flat set */
  int devices;           /* divides replicas; a multiple of nodes under the hierarchical policy */
} tg_experts;
bool tg_experts_hierarchical(const tg_experts *shape); /* the policy that tg_place_experts takes */
/* loads[experts]: tokens or any other measure, 0 or more; an expert's load is shared evenly by its replicas. Gives slots[replicas], the
 * expert in each slot, and copies[experts], 1 or more. The same loads always give the same placement: among equals the expert with fewer
 * replicas, then the lower number comes first. TG_INVALID says which number does not fit. */
tg_status tg_place_experts(tg_context *ctx, const tg_experts *shape, const double *loads, int *slots, int *copies);

/* ---- bench, tune, check: results are JSON documents in the schemas of docs/cli.md ------------------------------------------- */

typedef struct tg_bench_options {
  const char *device;
  tg_bindings shape, settings;
  int threads, runs; /* 0 = default */
  bool warm_caches;  /* as in tg_run_options */
  uint64_t seed;
} tg_bench_options;
/* What a kernel takes of a machine once it is compiled: registers, spills, shared memory, occupancy, instructions of the main loop; with a
 * shape also waves and the least time by the machine's published figures. */
tg_status tg_report(tg_context *ctx, tg_source *source, const tg_compile_options *options, char **json); /* free with tg_string_free */
tg_status tg_bench(tg_context *ctx, tg_source *source, const tg_bench_options *options, char **json);    /* free with tg_string_free */

/* What this machine's processor can do at most with so many threads (0: all), in 1e9 operations or bytes a second: measured now (about
 * half a second), the highest that was ever measured here. */
typedef struct tg_limits {
  double peak_gflops;      /* of f32 multiply-adds, two operations each */
  double bf16_peak_gflops; /* of dots of bf16 pairs; 0: no such instruction here */
  double fp8_peak_gflops;  /* of dots of 8-bit floats; 0: no such instruction here, or not known */
  double stream_gbs;       /* reading from memory */
} tg_limits;
tg_status tg_measure_limits(tg_context *ctx, int threads, tg_limits *out);
/* What a launch of `source`, from which it was prepared, must do at least: operations, and bytes of tensors read and written once each.
 * NAN: depends on data. */
tg_status tg_launchable_work(tg_launchable *launchable, tg_source *source, double *flops, double *bytes);

typedef struct tg_tune_options {
  const char *device, *strategy; /* strategy NULL = "random" */
  tg_bindings shape, settings;
  int trials, threads;
  bool unrecorded; /* the databases stay as they are: the caller tries the best where it is to serve, then calls tg_config_record */
  double budget;   /* seconds, 0 = none */
  uint64_t seed;
  void (*progress)(void *user, int done, int total, double best_seconds, double eta_seconds);
  void *user;
} tg_tune_options;
tg_status tg_tune(tg_context *ctx, tg_source *source, const tg_tune_options *options, char **json);

/* Config for a kernel under the options among `settings` (NULL = defaults), device and shape from the databases, as a JSON object of
 * meta-parameters and knobs, for so many host threads (0 = all): *source_name is "database", or "default" with an empty object. Caller
 * frees *settings_json with tg_string_free. */
tg_status tg_config_lookup(tg_context *ctx, tg_source *source, const char *device, const tg_bindings *shape, const tg_bindings *settings,
                           int threads, char **settings_json, const char **source_name);

/* Puts a config, one of those that tg_tune chooses among, into the database as the best for a kernel, device, shape, settings and threads
 * as tg_tune takes them, with the seconds that a launch takes. TG_INVALID when it is no config of that kernel. */
tg_status tg_config_record(tg_context *ctx, tg_source *source, const char *device, const tg_bindings *shape, const tg_bindings *settings,
                           int threads, const tg_bindings *config, double seconds);

/* Conformance: a device runs library kernels over awkward shapes and is compared with the interpreter, or library kernels are compiled for
 * a target, every variant of them. */
typedef enum tg_verdict {
  TG_VERDICT_OK,
  TG_VERDICT_REFUSED, /* the lowering has no room for this value of a meta-parameter and says so: neither right nor wrong */
  TG_VERDICT_FAIL,
  TG_VERDICT_NOTE /* not a case: how much of a search space was tried */
} tg_verdict;
typedef struct tg_check_options {
  const char *device, *target; /* one of the two, the other NULL */
  int nkernels;                /* 0: the whole library */
  const char *const *kernels;
  bool all_shapes;  /* a target compiles for the statics of every shape that a device is given, where it else has one of them do for all */
  const char *form; /* what a target's code has to come to: "asm" (NULL) or "obj" */
  /* 0: every value of every meta-parameter by itself. Else so many configs of each kernel's search space under every value of its options:
   * such that every value is met, then every pair of values of two parameters, then at random; all of a space that has no more. */
  int configs;
  uint64_t seed;
  double budget; /* seconds that configs may take, shared evenly among the spaces; 0 = no limit */
  /* May be NULL. Gets a line for each case, borrowed during the call, with how many cases are done and how many there are (fewer, should a
   * kernel fail for the target as it stands or the budget end). */
  void (*report)(void *user, const char *line, tg_verdict verdict, int done, int total);
  void *user;
} tg_check_options;
/* TG_FAILED when any case failed; TG_INVALID when the device, the target or a kernel does not exist. */
tg_status tg_check(tg_context *ctx, const tg_check_options *options);
void tg_string_free(tg_context *ctx, char *string);

#ifdef __cplusplus
}
#endif
#endif
