// Small kernels for tests of the PTX simulator; cuda.ptx is what nvcc makes of them: ../make_ptx.sh.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void saxpy(const float *x, float *y, float a, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}

// Trips that depend on the lane, 64-bit division.
extern "C" __global__ void collatz(const int *x, int *steps, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  long long v = x[i];
  int s = 0;
  for (; v != 1; s++) v = v & 1 ? 3 * v + 1 : v / 2;
  steps[i] = s;
}

// Shuffles, static shared memory, an atomic.
extern "C" __global__ void sum(const float *x, float *out, int n) {
  __shared__ float part[32];
  float s = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) s += x[i];
  for (int o = 16; o; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = s;
  __syncthreads();
  if (threadIdx.x < 32) {
    float v = threadIdx.x < blockDim.x / 32 ? part[threadIdx.x] : 0;
    for (int o = 16; o; o >>= 1) v += __shfl_down_sync(~0u, v, o);
    if (threadIdx.x == 0) atomicAdd(out, v);
  }
}

// Dynamic shared memory with atomics in it.
extern "C" __global__ void histogram(const unsigned *x, unsigned *bins, int n) {
  extern __shared__ unsigned mine[];
  if (threadIdx.x < 64) mine[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&mine[x[i] & 63], 1u);
  __syncthreads();
  if (threadIdx.x < 64) atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
}

// The same with a barrier left out.
extern "C" __global__ void histogram_race(const unsigned *x, unsigned *bins, int n) {
  extern __shared__ unsigned mine[];
  if (threadIdx.x < 64) mine[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(&mine[x[i] & 63], 1u);
  if (threadIdx.x < 64) atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
}

// A 16x16 tile of a product at a time, with one tile's bank conflicts.
extern "C" __global__ void matmul(const float *a, const float *b, float *c, int n) {
  __shared__ float as[16][16], bs[16][16];
  const int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
  float s = 0;
  for (int k = 0; k < n; k += 16) {
    as[y][x] = row < n && k + x < n ? a[row * n + k + x] : 0;
    bs[y][x] = col < n && k + y < n ? b[(k + y) * n + col] : 0;
    __syncthreads();
    for (int t = 0; t < 16; t++) s += as[y][t] * bs[t][x];
    __syncthreads();
  }
  if (row < n && col < n) c[row * n + col] = s;
}

// A local array, a switch, constants, votes, math.
__constant__ int table[4] = {3, -4, 5, 7};
extern "C" __global__ void odds(const int *x, int *out, float *f, int n) {
  const int i = threadIdx.x;
  int local[8];
  for (int k = 0; k < 8; k++) local[k] = x[(i + k) % n];
  int r;
  switch (x[i] & 7) {
  case 0: r = 11; break;
  case 1: r = x[i] * 3; break;
  case 2: r = -x[i]; break;
  case 3: r = x[i] ^ 0x55; break;
  case 4: r = x[i] / 5; break;
  case 5: r = x[i] % 7; break;
  default: r = local[x[i] & 7];
  }
  out[4 * i] = r + table[i & 3];
  out[4 * i + 1] = __popc(x[i]) + __clz(x[i]) * 64;
  out[4 * i + 2] = __ballot_sync(~0u, x[i] & 1);
  out[4 * i + 3] = __reduce_add_sync(~0u, x[i] & 255);
  f[2 * i] = expf(-0.125f * i) + sqrtf(i + 1.f) / (i + 2.f);
  f[2 * i + 1] = __half2float(__float2half(x[i] * 0.37f)) + __bfloat162float(__float2bfloat16(x[i] * 0.11f));
}
