// A libcuda that needs no GPU: it keeps books of contexts, memory, modules, streams and events as the driver does, refuses what the driver
// refuses, and executes launches with the project's PTX simulator. Work is done when it is waited for and not before, device memory cannot
// be touched by the host, and what is left at the end is complained about: the program then ends with FAKE_BAD.
//
// Environment:
//   FAKE_CUDA_DEVICES  "NAME:MAJOR.MINOR,…" (default one A100); "" = none
//   FAKE_CUDA_VERSION  of CUDA: 13000 (default) = 13.0
//   FAKE_CUDA_FAIL     "FUNCTION:N:RESULT,…": the N-th call (1, 2, …) of the function gives that CUresult; one that ends the
//                      context does, until the context is made anew
//   FAKE_CUDA_MEMORY   bytes of a device's memory (default 8 GiB)
#ifndef TG_FAKE_CUDA_H
#define TG_FAKE_CUDA_H

#include <pthread.h>

#include "targets/cuda/cuda.h"
#include "targets/sim/sim.h"

#define EXPORT __attribute__((visibility("default")))

enum { FAKE_BAD = 99, MAX_FAKES = 8, SHARED_OPTIN = 166912, L2_BYTES = 1 << 20 };
enum { // CUresults that only the fake gives
  INVALID_VALUE = 1,
  NOT_INITIALIZED = 3,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
};

typedef struct fake_memory {
  struct fake_memory *next;
  char *base;
  size_t bytes, mapped;
  uint8_t *written; // a bit for each byte
} fake_memory;

typedef enum fake_kind { FAKE_STREAM, FAKE_EVENT, FAKE_MODULE, FAKE_NKINDS } fake_kind;

typedef struct fake_op { // queued on a stream
  struct fake_op *next;
  enum { OP_SET, OP_COPY_IN, OP_COPY_OUT, OP_LAUNCH, OP_RECORD } kind;
  char *memory;
  size_t bytes;
  char *host; // copies: in, a copy of what was given; out, where it goes
  int value;
  struct fake_object *event;
  const sim_code *code;
  uint32_t grid[3], block[3], cluster[3];
  uint64_t shared;
  char *params;
} fake_op;

typedef struct fake_object { // a stream, an event or a module
  struct fake_object *next;
  fake_kind kind;
  fake_op *first, *last;          // of a stream
  bool recorded;                  // of an event
  struct fake_object *pending_on; // stream whose queue has its record
  double seconds;
  tg_arena arena; // of a module
  const ptx_module *module;
  struct fake_function *functions;
} fake_object;

typedef struct fake_function {
  struct fake_function *next;
  fake_object *module;
  const char *name;
  const sim_code *code;
  int dynamic_shared; // allowed
} fake_function;

typedef struct fake_device {
  char name[128];
  int major, minor;
  int retained; // of the primary context
  int error;    // that ended it
  bool excused; // a call was told to fail: what is left is not the caller's fault
  size_t used;
  fake_memory *memory;
  fake_object *objects;
} fake_device;

extern fake_device fake_devices[MAX_FAKES];
extern int fake_ndevices, fake_version;
extern size_t fake_capacity;
extern tg_context *fake_ctx;

// Every entry takes the lock, is counted and may be told to fail. `current` is the thread's context, which has to be there and live.
int fake_enter(const char *function);
int fake_enter_context(const char *function, fake_device **current);
void fake_leave(int *result);
#define ENTER(name)                                                                                                                        \
  __attribute__((cleanup(fake_leave))) int entered_ = fake_enter(name);                                                                    \
  if (entered_) return entered_
#define ENTER_CONTEXT(name)                                                                                                                \
  fake_device *current;                                                                                                                    \
  __attribute__((cleanup(fake_leave))) int entered_ = fake_enter_context(name, &current);                                                  \
  if (entered_) return entered_

// A sentence on standard error; the program ends with FAKE_BAD.
void fake_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

fake_object *fake_object_new(fake_device *d, fake_kind kind);
fake_object *fake_object_find(fake_device *d, fake_kind kind, const void *handle); // NULL: none of this context
void fake_object_drop(fake_device *d, fake_object *object);
fake_memory *fake_memory_of(fake_device *d, const void *at); // the allocation that has this byte
// Lets the fake itself, and nobody else, at the memory; false where [at, at + bytes) is not within one allocation.
bool fake_reach(fake_device *d, const void *at, size_t bytes);
void fake_memory_drop(fake_device *d, fake_memory *memory);
void fake_open_memory(fake_device *d);
void fake_close_memory(fake_device *d);
void fake_mark_written(fake_device *d, const char *at, size_t bytes);
fake_op *fake_queue(fake_object *stream, fake_op op);
int fake_run(fake_device *d, fake_object *stream, const fake_object *until); // what is queued, up to an event's record
int fake_run_all(fake_device *d);
int fake_execute(fake_device *d, const fake_op *op); // a launch

#endif
