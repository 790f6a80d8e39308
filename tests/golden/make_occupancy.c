// Writes occupancy.inc: blocks on a multiprocessor, as cuda_occupancy.h of the CUDA toolkit computes them.
//   gcc -I$CUDA_HOME/include make_occupancy.c -o make_occupancy && ./make_occupancy > occupancy.inc
#include <cuda_occupancy.h>
#include <stdio.h>

int main(void) {
  puts("// By make_occupancy.c: machine, threads of a block, registers of a thread, bytes of shared memory; blocks on a multiprocessor.");
  const struct {
    const char *name;
    int major, minor, block_kb, sm_kb, threads;
  } m[] = {{"a100", 8, 0, 163, 164, 2048}, {"rtx3090", 8, 6, 99, 100, 1536}, {"l40s", 8, 9, 99, 100, 1536},
           {"h100", 9, 0, 227, 228, 2048}, {"b200", 10, 0, 227, 228, 2048},  {"rtx5090", 12, 0, 99, 100, 1536}};
  int threads[] = {32, 64, 96, 128, 256, 384, 512, 1024}, regs[] = {16, 32, 40, 64, 90, 128, 168, 255};
  int shared[] = {0, 1024, 16384, 40000, 49152, 65536, 100000, 166912};
  unsigned seed = 1;
  int n = 0;
  for (int i = 0; i < 6; i++)
    for (int k = 0; k < 14; k++) {
      seed = seed * 1103515245 + 12345;
      int t = threads[(seed >> 16) % 8];
      seed = seed * 1103515245 + 12345;
      int r = regs[(seed >> 16) % 8];
      seed = seed * 1103515245 + 12345;
      int s = shared[(seed >> 16) % 8];
      cudaOccDeviceProp p = {.computeMajor = m[i].major,
                             .computeMinor = m[i].minor,
                             .maxThreadsPerBlock = 1024,
                             .maxThreadsPerMultiprocessor = m[i].threads,
                             .regsPerBlock = 65536,
                             .regsPerMultiprocessor = 65536,
                             .warpSize = 32,
                             .sharedMemPerBlock = 49152,
                             .sharedMemPerMultiprocessor = m[i].sm_kb * 1024,
                             .numSms = 1,
                             .sharedMemPerBlockOptin = m[i].block_kb * 1024,
                             .reservedSharedMemPerBlock = 1024};
      int dyn = s > 48 * 1024;
      cudaOccFuncAttributes a = {.maxThreadsPerBlock = 1024,
                                 .numRegs = r,
                                 .sharedSizeBytes = dyn ? 0 : s,
                                 .partitionedGCConfig = PARTITIONED_GC_OFF,
                                 .shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN,
                                 .maxDynamicSharedSizeBytes = dyn ? s : 0,
                                 .numBlockBarriers = 1};
      cudaOccDeviceState st = {.cacheConfig = CACHE_PREFER_NONE, .carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED};
      cudaOccResult res;
      int e = cudaOccMaxActiveBlocksPerMultiprocessor(&res, &p, &a, &st, t, dyn ? s : 0);
      printf("{\"%s\", %d, %d, %d, %d}, ", m[i].name, t, r, s, e ? -e : res.activeBlocksPerMultiprocessor);
      if (++n % 4 == 0) puts("");
    }
  puts("");
  return 0;
}
