// The driver's own declarations against NVIDIA's cuda.h, where it is installed: sizes, places of fields, values, and the symbols that its
// macros lead to.
#include "targets/cuda/types.h"
#include "test.h"

#if __has_include("/usr/local/cuda/include/cuda.h")
#include "/usr/local/cuda/include/cuda.h"
#define HAVE_HEADER 1
#endif

#ifdef HAVE_HEADER
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define SAME(ours, theirs, field, their_field)                                                                                             \
  CHECK(offsetof(ours, field) == offsetof(theirs, their_field) && sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->their_field))

static const struct {
  const char *name;
  long long ours, theirs;
} constants[] = {
#define CONSTANT(name, value) {#name, value, (long long)name},
#include "targets/cuda/constants.def"
#undef CONSTANT
};

static void symbols(void) {
  static const struct {
    const char *name, *ours;
  } rows[] = {
#define FUNCTION(field, name, older, need, arguments) {#field, name},
#include "targets/cuda/functions.def"
#undef FUNCTION
  };
  static const char *const theirs[] = {
      TEXT(cuDeviceTotalMem),  TEXT(cuDevicePrimaryCtxRelease), TEXT(cuMemGetInfo),    TEXT(cuMemAlloc),     TEXT(cuMemFree),
      TEXT(cuMemcpyHtoDAsync), TEXT(cuMemcpyDtoHAsync),         TEXT(cuStreamDestroy), TEXT(cuEventDestroy), TEXT(cuEventElapsedTime)};
  for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
    int found = 0;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) found = found || !strcmp(rows[k].ours, theirs[i]);
    CHECKF(found, "%s is what cuda.h calls it", theirs[i]);
  }
}

int main(void) {
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    CHECKF(constants[i].ours == constants[i].theirs, "%s is %lld, not %lld", constants[i].name, constants[i].theirs, constants[i].ours);
  CHECK(sizeof(cu_device) == sizeof(CUdevice) && sizeof(cu_pointer) == sizeof(CUdeviceptr) && sizeof(cu_stream) == sizeof(CUstream));
  CHECK(sizeof(cu_tensor_map) == sizeof(CUtensorMap) && _Alignof(cu_tensor_map) == _Alignof(CUtensorMap));
  CHECK(sizeof(cu_launch_config) == sizeof(CUlaunchConfig) && sizeof(cu_launch_attribute) == sizeof(CUlaunchAttribute));
  SAME(cu_launch_config, CUlaunchConfig, grid[0], gridDimX);
  SAME(cu_launch_config, CUlaunchConfig, grid[2], gridDimZ);
  SAME(cu_launch_config, CUlaunchConfig, block[0], blockDimX);
  SAME(cu_launch_config, CUlaunchConfig, shared_bytes, sharedMemBytes);
  SAME(cu_launch_config, CUlaunchConfig, stream, hStream);
  SAME(cu_launch_config, CUlaunchConfig, attributes, attrs);
  SAME(cu_launch_config, CUlaunchConfig, nattributes, numAttrs);
  SAME(cu_launch_attribute, CUlaunchAttribute, id, id);
  SAME(cu_launch_attribute, CUlaunchAttribute, value, value);
  SAME(cu_launch_attribute, CUlaunchAttribute, value.cluster.z, value.clusterDim.z);
  symbols();
  return test_done();
}
#else
int main(void) {
  printf("skipped: there is no /usr/local/cuda/include/cuda.h\n");
  return 0;
}
#endif
