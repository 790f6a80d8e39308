// The CUDA driver as a library that is opened when it is asked for: one table of its functions, and what a context and a device keep of it.
// Names and values are cuda.h's (tests/cuda/test_cuda_header.c).
#ifndef TG_CUDA_H
#define TG_CUDA_H

#include "targets/cuda/types.h"
#include "targets/target.h"

enum cu_constant {
#define CONSTANT(name, value) name = value,
#include "targets/cuda/constants.def"
#undef CONSTANT
};

// ---- the library, one for each tegula context that asked for it

typedef struct cuda_library {
  const char *file;    // as it was looked for
  const char *problem; // why there are no devices: not found, too old, refused; NULL: it works
  int version;         // of CUDA that the driver is for: 12040 = 12.4
  int ndevices;
#define FUNCTION(field, name, older, need, arguments) int(*field) arguments;
#include "targets/cuda/functions.def"
#undef FUNCTION
} cuda_library;

// Opens it on the first call. It is never unloaded: the driver has threads of its own.
const cuda_library *cuda_library_get(tg_context *ctx);
// "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)"
const char *cuda_result_text(const cuda_library *library, tg_arena *arena, int result);
// Highest PTX version that drivers for this CUDA take, 80 = 8.0; 0: older than all that are known.
int cuda_ptx_of(int cuda_version);

// ---- devices

typedef struct cuda_facts { // of a device, as the driver tells them
  char name[128];
  int major, minor, multiprocessors, clock_khz, memory_clock_khz, bus_bits, l2_bytes, shared_bytes;
  size_t memory_bytes;
  const char *target; // best for it: "nvptx:sm_80"; NULL with a reason
  const char *why;
} cuda_facts;
const tg_machine *cuda_machine_of(tg_context *ctx, const char *name); // the description of a GPU of this name, NULL = there is none
int cuda_enumerate(tg_context *ctx, tg_device_info *out, int max);
// Throws as a driver's `open` does.
void cuda_facts_get(tg_context *ctx, const cuda_library *library, int ordinal, cuda_facts *out);

typedef struct cuda_device { // an open one
  tg_device *device;
  const cuda_library *lib;
  tg_arena arena; // of messages and the two below
  int ordinal;
  cu_device handle;
  cu_context context; // the primary one, retained
  cu_stream stream;
  cu_event start, end;
  cuda_facts facts;
  cu_pointer flush_memory; // larger than the L2 cache, made by the first flush; 0 = none
  size_t flush_bytes;
  char running[200]; // kernel that was launched since the last wait, "" = none
  const char *lost;  // what ended the context; NULL: it lives
} cuda_device;

// Makes the device's context current in this thread; throws when the device is lost.
cuda_device *cuda_use(tg_device *device);
// Throws when `result` is not success, saying what was being done. An error that ends the context marks the device as lost and names the
// kernel that was running.
void cuda_check(cuda_device *d, int result, const char *doing, ...) __attribute__((format(printf, 3, 4)));

// For what frees, which has to work where nothing can be thrown. False: the device is lost, and with it what there was to free.
bool cuda_use_quietly(cuda_device *d);
void cuda_warn(cuda_device *d, int result, const char *doing); // logs a result that is no success

// A launch's argument that is a tensor map; throws where the driver has none, or refuses it.
void cuda_encode_map(cuda_device *d, const tg_record_arg *arg, const tg_record_values *values, cu_tensor_map *out);

// ---- modules and launches (module.c)

typedef struct cuda_module {
  tg_arena arena;
  cu_module module;
  cu_function *functions; // of each launch
  uint64_t *slots;        // of the launch at hand
  cu_tensor_map *maps;    // the same, of arguments that are tensor maps
  void **arguments;       // where each of them lies
} cuda_module;
void *cuda_load(tg_device *device, const tg_record *record, tg_bytes object);
void cuda_unload(tg_device *device, void *module);
void cuda_launch(tg_device *device, void *module, const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors,
                 bool (*scalar)(void *user, const char *name, double *value), void *user, int threads);

#endif
