// Targets (what is compiled for) and devices (where it runs). A target is a row: lowering x emitter x finishing x driver.
#ifndef TG_TARGET_H
#define TG_TARGET_H

#include "codegen/codegen.h"
#include "targets/record.h"

enum { TG_MAX_TOOLS = 4 };
// One row per family, in targets/families.c. Everything that the command line, the tuner and `check` know about a family comes from here.
typedef struct tg_family {
  const char *name, *doc; // "cpu", "nvptx"
  const char *emitter;    // "llvm"
  const tg_lowering *lowering;
  const char *const *archs; // accepted after "name:", NULL-terminated; archs[0] = default
  // Figures that descriptions of some archs alone may state: in the order of `archs` those of each, as words. NULL: no such figures.
  const char *const *units;
  // Files of others that have a hand in `want`, for the cache to tell their versions apart: at most TG_MAX_TOOLS; returns how many. NULL:
  // LLVM and lld do it all.
  int (*tools)(tg_arena *arena, const char *want, const char **paths);
} tg_family;
extern const tg_family *const tg_families[]; // NULL-terminated

// The part of a family that needs LLVM or other heavy libraries: files named finish*.c, linked into the compile helper alone.
// Lane kernel to one of the artifact's forms: `want` is "llvm", "asm", "obj", "source" or "report" (the object, with all that its tools can
// tell of it in the record); throws TG_INVALID naming what exists. May fill in
// registers and spills of the record.
typedef struct tg_finisher {
  const char *family;
  tg_bytes (*finish)(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record);
} tg_finisher;
extern const tg_finisher tg_finishers[]; // ends with family NULL

// "cpu", "cpu:avx2", "nvptx:sm_80", "a100", or "FILE.lua", which is loaded: the machine and its family. Throws TG_INVALID listing what
// exists.
const tg_machine *tg_target_find(tg_context *ctx, const char *target, const tg_family **family);
bool tg_target_known(const char *target); // "cpu" or "cpu:avx2", by family and arch alone
// May a description for that target, or of that arch of its family, state this figure above 0? And which archs may, for messages.
bool tg_target_may(const char *target, const char *arch, const char *figure);
const char *tg_target_having(tg_arena *arena, const char *target, const char *figure);
// The host's own description: the best level that it has. No LLVM needed.
const tg_machine *tg_machine_host(tg_context *ctx);

// ---- the serialisable boundary (targets/compile.c)
typedef struct tg_job { // request
  const char *ir;       // .tile text
  size_t ir_size;
  const char *target;
  const char *machine; // text of the user's own description that the target names (the helper has not loaded it); NULL = a built-in one
  const char *want;    // "lane" "layouts" "layouts-svg" "llvm" "asm" "obj" "source" "report"
  int variant;         // which of the lowering's variants
  tg_bindings settings, statics;
} tg_job;
typedef struct tg_product { // reply
  tg_bytes bytes;           // what was wanted
  const char *record;       // JSON of the launch record
  size_t record_size;
  int variants;   // how many variants this kernel has on this target; the last has no preconditions
  double seconds; // CPU time of the compile
} tg_product;
// Parses, runs the tile passes, lowers, emits: the whole compile, in this process. Lives in the helper and in programs that link LLVM.
void tg_compile_here(tg_context *ctx, const tg_job *job, tg_arena *arena, tg_product *out);
// The same through the cache, then by the function of tg_compile_with if there is one, else by the warm helper process (spawned on first
// use, time and memory limits, restarted after a crash).
void tg_compile_job(tg_context *ctx, const tg_job *job, bool no_cache, tg_arena *arena, tg_product *out);
// From now on the context compiles by this function, in this process; the core itself links no compiler. Throws TG_NO_MEMORY.
typedef void tg_compile_fn(tg_context *ctx, const tg_job *job, tg_arena *arena, tg_product *out);
void tg_compile_with(tg_context *ctx, tg_compile_fn *compile);
// Is there a compiler here? Else what is not in the cache comes from a pack (tg_config.pack_dir), or from nowhere.
bool tg_can_compile(tg_context *ctx);
// Of what compiles for the family here, as the cache's keys have it: another number after a rebuild or an upgrade. family: NULL = host
// alone.
uint64_t tg_compiler_identity(tg_context *ctx, const tg_family *family, tg_arena *arena);

struct tg_artifact {
  tg_context *ctx;
  tg_arena arena;
  tg_job job; // ir, target, settings, statics; `want` and `variant` vary
  bool no_cache;
  int nvariants;
  int shown;        // variant that tg_artifact_emit shows: the last, which serves every call, unless `--set variant=N` names another
  bool pinned;      // it does: launches take it too
  const char *form; // what launches take: "obj", unless tg_artifact_for says otherwise
  struct tg_variant {
    tg_record *record; // NULL until compiled
    tg_bytes obj;
  } *variants;
};

// ---- the cpu family's entry, the contract between loops lowering, llvm emitter and cpu driver
// args: one 8-byte slot per launch arg, in order (pointers; i64 and i32 as int64; floats as their own bits in the low bytes).
// Runs the linear blocks [first, last) of a grid (axis 0 fastest). scratch: record->scratch_bytes, 4096-byte aligned, this worker's own;
// the emitter places the launch's `scratch {space = "local"}` ops in it by tg_scratch_layout. Returns NULL, or the text of the trap that
// fired.
typedef struct tg_cpu_hooks {
  void *user;
  void (*print)(void *user, const char *text, const char *types, const uint64_t *slots); // of debug_print; slots: see tg_print_value
} tg_cpu_hooks;
typedef const char *tg_cpu_entry(const uint64_t *args, const int64_t *grid, int64_t first, int64_t last, void *scratch,
                                 const tg_cpu_hooks *hooks);

// ---- drivers
typedef struct tg_driver tg_driver;
struct tg_device {
  tg_context *ctx;
  const tg_driver *driver;
  const char *name; // "cpu"
  // What to compile for; NULL: the device takes tile IR itself (its `object` is .tile text, its launches have no entries).
  const char *target;
  const char *form; // of an artifact that `load` takes: the driver's, unless `open` chose another
  void *state;
  int64_t users; // see targets/buffer.h
  bool closed;   // by its owner; buffers and launchables may be left
};
struct tg_driver {
  const char *family; // "cpu", "interp"
  const char *doc;
  const char *form; // of an artifact that `load` takes: "obj"; "asm" where the device reads text
  int (*enumerate)(tg_context *ctx, tg_device_info *out, int max);
  void (*open)(tg_device *device, const char *name); // throws
  void (*close)(tg_device *device);
  // Device memory; host families return ordinary memory, 64-byte aligned.
  void *(*alloc)(tg_device *device, size_t bytes);
  void (*free)(tg_device *device, void *memory);
  void (*copy_in)(tg_device *device, void *to, const void *from, size_t bytes);
  void (*copy_out)(tg_device *device, void *to, const void *from, size_t bytes);
  void (*zero)(tg_device *device, void *memory, size_t bytes);
  // Code: `load` once, `launch` many times. tensors: one per pointer name of the record (parameters and workspaces).
  void *(*load)(tg_device *device, const tg_record *record, tg_bytes object);
  void (*unload)(tg_device *device, void *module);
  void (*launch)(tg_device *device, void *module, const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors,
                 bool (*scalar)(void *user, const char *name, double *value), void *user, int threads);
  void (*sync)(tg_device *device);
  // Devices with a clock and caches of their own; NULL: the host's clock is taken around launch and sync, and caches are left as they are.
  void (*flush)(tg_device *device);      // the next launch finds nothing of its tensors in the caches
  void (*time_begin)(tg_device *device); // from here on, when the device gets there
  double (*time_end)(tg_device *device); // waits; seconds since the beginning
  // What it can do at most, 0 = not known. NULL: the host's limits, which are measured, are its own.
  tg_limits (*limits)(tg_device *device);
};
extern const tg_driver *const tg_drivers[]; // NULL-terminated
extern const tg_driver tg_driver_cpu, tg_driver_interp, tg_driver_sim, tg_driver_cuda;
// Of a device by its name; asks only the driver of its family. Throws TG_INVALID listing what exists.
const tg_device_info *tg_device_find(tg_context *ctx, const char *name, const tg_driver **driver);

#endif
