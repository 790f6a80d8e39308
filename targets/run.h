// Between the public calls and the drivers: settings told apart, artifacts by variant, and what bench and tuner ask of a launchable.
#ifndef TG_RUN_H
#define TG_RUN_H

#include "targets/target.h"

typedef struct tg_split {
  tg_kernel *signature; // under the kernel's part; borrowed from the source
  tg_bindings kernel;   // options and meta-parameters that the kernel declares
  tg_bindings knobs;    // the rest: parameters of the lowering
} tg_split;
// Settings may decide which other settings a kernel declares (an option that brings a meta-parameter), so the split is a fixed point.
// Throws on a name given twice; names that neither kernel nor lowering know are found by tg_check_knobs.
void tg_split_settings(tg_context *ctx, tg_source *source, const tg_bindings *given, tg_arena *arena, tg_split *out);
// A setting's default on a machine (NULL: none) under the options of the signature: its description's, else the kernel's own.
const char *tg_setting_default(const tg_machine *machine, const tg_kernel *signature, const tg_setting *setting);
typedef struct tg_machine_knobs { // parameters of the lowering that a machine's description names for a kernel
  tg_bindings list;
  const char *file; // of a description of the user's own, NULL = a built-in one
} tg_machine_knobs;
// Adds to the kernel's part of the settings what the machine's description says that it takes; the lowering's part is left in `knobs`, none
// where the user chose another tile than the one that it belongs to. Throws when the user's own description names what the kernel does not
// take.
void tg_add_defaults(tg_context *ctx, tg_arena *arena, const tg_kernel *signature, const tg_machine *machine, tg_bindings *given,
                     tg_machine_knobs *knobs);
// Adds those to the lowering's settings of a traced kernel, unless they are given.
void tg_join_knobs(tg_context *ctx, tg_arena *arena, const tg_kernel *kernel, const tg_family *family, const tg_machine *machine,
                   const tg_machine_knobs *from, tg_bindings *knobs);
// Throws TG_INVALID when a setting is none of the lowering's for this kernel and machine, or has a value that is not among the allowed.
void tg_check_knobs(tg_context *ctx, const tg_kernel *kernel, const tg_family *family, const tg_machine *machine, const tg_bindings *knobs);
// Looks up a name in a list; NULL = absent.
const char *tg_bindings_find(const tg_bindings *bindings, const char *name);
void tg_check_status(tg_context *ctx, tg_status status); // rethrows what a public function reported

void tg_artifact_for(tg_artifact *artifact, const tg_device *device); // before the first of them: the form that the device loads
// Compiles a variant on first use; throws. The first whose preconditions hold for dims and tensors (NULL: aligned) is the one to launch.
const tg_record *tg_artifact_variant(tg_artifact *artifact, int variant, tg_bytes *object);
const tg_record *tg_artifact_choose(tg_artifact *artifact, const tg_dims *dims, int ntensors, const tg_tensor *tensors, tg_bytes *object);

// Throws TG_INVALID naming the first element that is not what the parameter's declaration promises; tensors in host memory, dims solved.
void tg_check_indices(tg_context *ctx, tg_arena *arena, const tg_record *record, int ntensors, const tg_tensor *tensors,
                      const tg_dims *dims);

// Of a prepared launch, borrowed. seconds: compiling, the cache included.
const tg_record *tg_launchable_record(const tg_launchable *launchable);
double tg_launchable_compile_seconds(const tg_launchable *launchable);
tg_context *tg_launchable_context(const tg_launchable *launchable);
const tg_dims *tg_launchable_dims(const tg_launchable *launchable);
const char *tg_launchable_clock(const tg_launchable *launchable); // whose its seconds are: "processor", "wall", "device"
bool tg_launchable_cold(const tg_launchable *launchable);         // are the device's caches emptied before each timed run?

#endif
