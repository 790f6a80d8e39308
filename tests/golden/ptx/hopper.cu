// Small kernels for sm_90 for tests of the PTX simulator; hopper.ptx is what nvcc makes of them: ../make_ptx.sh.
#include <cooperative_groups.h>
#include <cuda/barrier>
#include <cuda/ptx>

// Each block reads the shared memory of the other one of its cluster.
extern "C" __global__ void __cluster_dims__(2) swap_blocks(const int *in, int *out) {
  __shared__ int tile[256];
  const cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
  const int rank = cluster.block_rank(), i = blockIdx.x * blockDim.x + threadIdx.x;
  tile[threadIdx.x] = in[i];
  cluster.sync();
  const int other = cluster.map_shared_rank(tile, rank ^ 1)[threadIdx.x];
  cluster.sync();
  out[i] = other + rank;
}

// A bulk copy in, waited for by a cuda::barrier, and one out.
extern "C" __global__ void through_bulk(const int *in, int *out) {
  __shared__ alignas(128) int tile[256];
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ cuda::barrier<cuda::thread_scope_block> bar;
  if (threadIdx.x == 0) {
    init(&bar, blockDim.x);
    cuda::ptx::fence_proxy_async();
  }
  __syncthreads();
  if (threadIdx.x == 0) cuda::memcpy_async(tile, in + blockIdx.x * 256, cuda::aligned_size_t<16>(sizeof tile), bar);
  bar.wait(bar.arrive());
  tile[threadIdx.x] = tile[threadIdx.x] * 2 + 1;
  cuda::ptx::fence_proxy_async(cuda::ptx::space_shared);
  __syncthreads();
  if (threadIdx.x == 0) {
    cuda::ptx::cp_async_bulk(cuda::ptx::space_global, cuda::ptx::space_shared, out + blockIdx.x * 256, tile, sizeof tile);
    cuda::ptx::cp_async_bulk_commit_group();
    cuda::ptx::cp_async_bulk_wait_group_read(cuda::ptx::n32_t<0>());
  }
}

// A lock in shared memory: an order that only fences and atomics make.
extern "C" __global__ void locked_sum(int *out) {
  __shared__ int mutex, sum;
  if (threadIdx.x == 0) mutex = 0, sum = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    while (atomicCAS(&mutex, 0, 1) != 0) {
    }
    __threadfence_block();
    sum += threadIdx.x;
    __threadfence_block();
    atomicExch(&mutex, 0);
  }
  __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
