// The few types of the CUDA driver API that are used, under names of our own: cuda.h is not needed to build, and can be there too
// (tests/cuda/test_cuda_header.c compares the two).
#ifndef TG_CUDA_TYPES_H
#define TG_CUDA_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef int cu_device;
typedef struct cu_context_t *cu_context;
typedef struct cu_module_t *cu_module;
typedef struct cu_function_t *cu_function;
typedef struct cu_stream_t *cu_stream;
typedef struct cu_event_t *cu_event;
typedef unsigned long long cu_pointer;

typedef struct cu_tensor_map {
  _Alignas(128) uint64_t opaque[16]; // 64 before CUDA 13
} cu_tensor_map;

typedef struct cu_launch_attribute {
  int id;
  char pad[4];
  union {
    char pad[64];
    struct {
      unsigned x, y, z;
    } cluster;
  } value;
} cu_launch_attribute;

typedef struct cu_launch_config {
  unsigned grid[3], block[3], shared_bytes;
  cu_stream stream;
  cu_launch_attribute *attributes;
  unsigned nattributes;
} cu_launch_config;

#endif
