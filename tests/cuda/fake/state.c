// Books: devices, the thread's context, objects, calls that are told to fail, complaints.
#include <stdlib.h>
#include <unistd.h>

#include "fake.h"

fake_device fake_devices[MAX_FAKES];
int fake_ndevices, fake_version = 13000;
size_t fake_capacity = (size_t)8 << 30;
tg_context *fake_ctx;
static _Thread_local fake_device *thread_context;
static pthread_mutex_t lock;
static bool initialised, bad;

// ---- complaints

void fake_complain(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("fake libcuda: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  bad = true;
}

static void complain_of_leaks(const fake_device *d) {
  static const char *const names[FAKE_NKINDS] = {"stream", "event", "module"};
  int n[FAKE_NKINDS] = {0}, memory = 0;
  for (const fake_memory *m = d->memory; m; m = m->next) memory++;
  for (const fake_object *o = d->objects; o; o = o->next) n[o->kind]++;
  if (d->error || d->excused) return; // nothing can be given back
  if (memory) fake_complain("%s: %d allocations are left", d->name, memory);
  for (int i = 0; i < FAKE_NKINDS; i++)
    if (n[i]) fake_complain("%s: %d %ss are left", d->name, n[i], names[i]);
}

__attribute__((destructor)) static void at_the_end(void) {
  for (int i = 0; i < fake_ndevices; i++) {
    if (fake_devices[i].retained && !fake_devices[i].error && !fake_devices[i].excused)
      fake_complain("%s: the primary context is retained %d times too often", fake_devices[i].name, fake_devices[i].retained);
    complain_of_leaks(&fake_devices[i]);
  }
  if (!bad) return;
  fflush(NULL);
  _exit(FAKE_BAD);
}

// ---- what the environment says

static void read_devices(const char *text) {
  fake_ndevices = 0;
  while (*text && fake_ndevices < MAX_FAKES) {
    fake_device *d = &fake_devices[fake_ndevices];
    int used = 0;
    if (sscanf(text, "%127[^:,]:%d.%d%n", d->name, &d->major, &d->minor, &used) != 3) abort();
    fake_ndevices++;
    text += used;
    text += *text == ',';
  }
}

__attribute__((constructor)) static void at_the_start(void) {
  const char *devices = getenv("FAKE_CUDA_DEVICES"), *version = getenv("FAKE_CUDA_VERSION"), *memory = getenv("FAKE_CUDA_MEMORY");
  pthread_mutexattr_t recursive;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&lock, &recursive);
  read_devices(devices ? devices : "NVIDIA A100-SXM4-40GB:8.0");
  if (version) fake_version = atoi(version);
  if (memory) fake_capacity = strtoull(memory, NULL, 10);
}

// ---- entering

typedef struct count {
  const char *name;
  long calls;
} count;

// The result that this call of the function is to give, 0: its own. Calls are counted from the last change of the environment on.
static int told_to_fail(const char *function) {
  static count counts[64];
  static char before[256];
  const char *text = getenv("FAKE_CUDA_FAIL");
  if (strcmp(before, text ? text : "") != 0) {
    snprintf(before, sizeof before, "%s", text ? text : "");
    memset(counts, 0, sizeof counts);
  }
  int i = 0;
  while (counts[i].name && strcmp(counts[i].name, function) != 0) i++;
  counts[i].name = function;
  counts[i].calls++;
  char name[64];
  long number;
  int result, used;
  for (const char *at = text; at && sscanf(at, "%63[^:]:%ld:%d%n", name, &number, &result, &used) == 3; at += used + (at[used] == ','))
    if (!strcmp(name, function) && number == counts[i].calls) return result;
  return 0;
}

int fake_enter(const char *function) {
  pthread_mutex_lock(&lock);
  if (!fake_ctx && tg_context_new(NULL, &fake_ctx)) abort();
  const int told = told_to_fail(function);
  for (int i = 0; told && i < fake_ndevices; i++) fake_devices[i].excused = true; // it may have been told not to give something back
  if (told) return told;
  const bool before = !strcmp(function, "cuInit") || !strcmp(function, "cuDriverGetVersion");
  return initialised || before ? 0 : NOT_INITIALIZED;
}

void fake_leave(int *result) {
  (void)result;
  pthread_mutex_unlock(&lock);
}

static bool ends_context(int result) { return result >= 700 && result < 720 && result != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES; }

int fake_enter_context(const char *function, fake_device **current) {
  *current = thread_context;
  const int told = fake_enter(function);
  if (!thread_context || !thread_context->retained) {
    fake_complain("%s without a context that lives", function);
    return INVALID_CONTEXT;
  }
  if (ends_context(told)) thread_context->error = told;
  return thread_context->error ? thread_context->error : told;
}

// ---- objects

fake_object *fake_object_new(fake_device *d, fake_kind kind) {
  fake_object *o = calloc(1, sizeof *o);
  if (!o) abort();
  o->kind = kind;
  o->next = d->objects;
  d->objects = o;
  return o;
}

fake_object *fake_object_find(fake_device *d, fake_kind kind, const void *handle) {
  for (fake_object *o = d->objects; o; o = o->next)
    if (o == handle && o->kind == kind) return o;
  fake_complain("a handle that is none of this context");
  return NULL;
}

void fake_object_drop(fake_device *d, fake_object *object) {
  fake_object **at = &d->objects;
  while (*at != object) at = &(*at)->next;
  *at = object->next;
  for (fake_function *f = object->functions, *next; f; f = next) next = f->next, free(f);
  if (object->kind == FAKE_MODULE) tg_arena_free(&object->arena);
  free(object);
}

// The context goes, with all that is in it and the error that ended it.
static void fake_forget(fake_device *d) {
  while (d->objects) fake_object_drop(d, d->objects);
  while (d->memory) fake_memory_drop(d, d->memory);
  d->error = 0;
  d->excused = false;
}

// ---- the API: library, devices, contexts

EXPORT int cuGetErrorName(int result, const char **text) {
  static const struct {
    int result;
    const char *name;
  } names[] = {
#define CONSTANT(name, value) {value, #name},
#include "targets/cuda/constants.def"
#undef CONSTANT
      {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
      {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
      {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
      {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
      {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {34, "CUDA_ERROR_STUB_LIBRARY"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].result == result && !strncmp(names[i].name, "CUDA_", 5)) return *text = names[i].name, 0;
  return INVALID_VALUE;
}

EXPORT int cuGetErrorString(int result, const char **text) {
  static const struct {
    int result;
    const char *text;
  } texts[] = {{CUDA_ERROR_OUT_OF_MEMORY, "out of memory"},
               {CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
               {CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"},
               {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain."}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (texts[i].result == result) return *text = texts[i].text, 0;
  return *text = "as the fake says", 0;
}

EXPORT int cuInit(unsigned flags) {
  ENTER("cuInit");
  if (flags) return INVALID_VALUE;
  if (!fake_ndevices) return CUDA_ERROR_NO_DEVICE;
  initialised = true;
  return 0;
}

EXPORT int cuDriverGetVersion(int *version) {
  ENTER("cuDriverGetVersion");
  return *version = fake_version, 0;
}

EXPORT int cuDeviceGetCount(int *n) {
  ENTER("cuDeviceGetCount");
  return *n = fake_ndevices, 0;
}

EXPORT int cuDeviceGet(cu_device *device, int ordinal) {
  ENTER("cuDeviceGet");
  if (ordinal < 0 || ordinal >= fake_ndevices) return INVALID_DEVICE;
  return *device = 100 + ordinal, 0; // a handle is no ordinal
}

static fake_device *device_of(cu_device device) {
  return device >= 100 && device < 100 + fake_ndevices ? &fake_devices[device - 100] : NULL;
}

EXPORT int cuDeviceGetName(char *name, int size, cu_device device) {
  ENTER("cuDeviceGetName");
  if (!device_of(device)) return INVALID_DEVICE;
  snprintf(name, (size_t)size, "%s", device_of(device)->name);
  return 0;
}

EXPORT int cuDeviceTotalMem_v2(size_t *bytes, cu_device device) {
  ENTER("cuDeviceTotalMem_v2");
  if (!device_of(device)) return INVALID_DEVICE;
  return *bytes = fake_capacity, 0;
}

EXPORT int cuDeviceGetAttribute(int *value, int attribute, cu_device device) {
  ENTER("cuDeviceGetAttribute");
  const fake_device *d = device_of(device);
  if (!d) return INVALID_DEVICE;
  switch (attribute) {
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return *value = d->major, 0;
  case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: return *value = d->minor, 0;
  case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return *value = 108, 0;
  case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: return *value = 1410000, 0;
  case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: return *value = 1215000, 0;
  case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: return *value = 5120, 0;
  case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: return *value = L2_BYTES, 0;
  case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: return *value = SHARED_OPTIN, 0;
  default: return INVALID_VALUE;
  }
}

EXPORT int cuDevicePrimaryCtxRetain(cu_context *context, cu_device device) {
  ENTER("cuDevicePrimaryCtxRetain");
  fake_device *d = device_of(device);
  if (!d) return INVALID_DEVICE;
  d->retained++;
  *context = (cu_context)d;
  return 0;
}

// It goes also when the call is told to fail: what comes after starts anew.
EXPORT int cuDevicePrimaryCtxRelease_v2(cu_device device) {
  __attribute__((cleanup(fake_leave))) int told = fake_enter("cuDevicePrimaryCtxRelease_v2");
  fake_device *d = device_of(device);
  if (!d || !d->retained) {
    fake_complain("a primary context is released that is not retained");
    return INVALID_CONTEXT;
  }
  if (--d->retained) return told;
  complain_of_leaks(d);
  fake_forget(d);
  return told;
}

EXPORT int cuCtxSetCurrent(cu_context context) {
  ENTER("cuCtxSetCurrent");
  for (int i = 0; i < fake_ndevices; i++)
    if ((cu_context)&fake_devices[i] == context && fake_devices[i].retained) return thread_context = &fake_devices[i], 0;
  fake_complain("cuCtxSetCurrent of what is no context");
  return INVALID_CONTEXT;
}
