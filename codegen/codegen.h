// From tile IR to lane IR (two lowerings) and from lane IR to a module of an emitter. Knows machines as data; no drivers, no devices.
#ifndef TG_CODEGEN_H
#define TG_CODEGEN_H

#include "ir/ir.h"

// What a chip offers, as its description in targets/machines/*.lua says. One row per figure in targets/machines/figures.def; read by name.
typedef struct tg_machine tg_machine;
struct tg_machine {
  const char *name, *target, *arch, *doc; // arch: LLVM's processor name ("x86-64-v3", "sm_80"); NULL on cpu:native until asked
  const char *features;                   // LLVM feature string, "" = by processor
  const struct tg_defaults *defaults;     // targets/machines.h: which config kernels take; no business of a lowering's
  // figures.def; 0 = unknown or absent
#define FIGURE(name, unit, doc) double name;
#include "targets/machines/figures.def"
#undef FIGURE
};

// A meta-parameter that a lowering adds to the kernel's own.
typedef struct tg_knob {
  const char *name, *doc;
  int nvalues;
  int nmore;          // values beyond those that are not worth a trial here, but taken when asked for
  int64_t values[16]; // values[0] = default
  bool keeps_room;    // whether a config has room does not depend on it, as far as that shows before lowering
} tg_knob;

typedef struct tg_lower_options {
  const tg_machine *machine;
  tg_bindings settings;   // all of --set; the lowering reads its own knobs
  struct tg_shown *shown; // filled with who holds what by lowerings that have layouts (layout_show.h); NULL: not asked for
  int variant;            // 0 … variants-1: the first make assumptions (preconditions of the lane kernel), the last makes none
} tg_lower_options;

typedef struct tg_lowering {
  const char *name; // "loops", "simt"
  // Tile kernel to lane kernel, owned by the caller. Throws TG_INVALID with a sentence on what it cannot lower and what it could.
  tg_kernel *(*lower)(tg_kernel *tile, const tg_lower_options *options);
  // Knobs with the values that make sense for this kernel on this machine; returns the number, fills at most `max`.
  int (*knobs)(const tg_kernel *tile, const tg_machine *machine, tg_knob *out, int max);
  int (*variants)(const tg_kernel *tile, const tg_machine *machine); // NULL = 1
  // Whether a config's tiles have room on the machine, as far as that shows before anything is lowered; false: the context's message says
  // what has none. What has room may still be refused by `lower`. NULL: they always have.
  bool (*has_room)(const tg_kernel *tile, const tg_lower_options *options);
  bool has_layouts;
} tg_lowering;
extern const tg_lowering tg_lowering_loops, tg_lowering_simt;

// ---- views.c
// A launch-time scalar as an expression; NULL = it is not one.
const tg_expr *tg_launch_expr(tg_arena *arena, const tg_value *v);
const tg_param *tg_view_param(const tg_kernel *kernel, const tg_op *view);         // whose storage a `view` op shows; NULL = unknown
const tg_expr *tg_view_storage(tg_arena *arena, const tg_param *param, int dtype); // its elements, counted in another dtype
// What a `view` op covers: elements first … last of the `have` that its tensor has, counted in the view's dtype, when `some` is above 0.
typedef struct tg_reach {
  const tg_expr *some, *first, *last, *have;
} tg_reach;
bool tg_view_reach(tg_arena *arena, const tg_kernel *kernel, const tg_op *view, tg_reach *out); // false: the launch does not tell

// Byte offset of every `scratch {space = "local"}` op of a launch's body, stored in op->note as (void *)(intptr_t)offset; returns the
// total. Ops in walking order, each at its align.
int64_t tg_scratch_layout(tg_launch *launch);
// Bytes of shared memory that the `scratch {space = "shared"}` ops of a launch take. Up to TG_STATIC_SHARED they are the kernel's own; a
// launch that takes more has one such op, and asks for it when it is launched.
enum { TG_STATIC_SHARED = 48 << 10 };
int64_t tg_shared_bytes(const tg_launch *launch);

// ---- llvm emitter (codegen/llvm*.c): lane kernel to LLVM module, then to text, assembly or object
typedef struct tg_llvm_options {
  const tg_machine *machine; // figures: vector_bits, fma, f16c, bf16_dot
  const char *triple, *cpu, *features;
  const char *passes; // LLVM pass pipeline; NULL = the family's own
  bool nvptx;         // calling convention, address spaces and attributes of NVPTX
} tg_llvm_options;
typedef struct tg_bytes {
  void *data;
  size_t size;
} tg_bytes;
// Each output is filled when its pointer is not NULL; memory from `arena`. Throws TG_FAILED with LLVM's own words.
void tg_emit_llvm(tg_kernel *lane, const tg_llvm_options *options, tg_arena *arena, tg_bytes *llvm_text, tg_bytes *assembly,
                  tg_bytes *object);

#endif
