-- NVIDIA publishes no peaks, bandwidth or number of multiprocessors of it: what compute capability 9.0 says alone.
return {
  name = "h20",
  target = "nvptx:sm_90a",
  arch = "sm_90a",
  doc = "NVIDIA H20 96 GB",
  figures = {
    warp = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: warp size" },
    max_threads = { 1024, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: threads per block" },
    shared_bytes = { 232448, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 227 KB per block on 9.0" },
    shared_sm = { 233472, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 228 KB per multiprocessor on 9.0" },
    shared_reserved = { 1024, source = "CUDA C++ Programming Guide, Compute Capability, Shared Memory: 1 KB of each block is the system's from 8.0 on" },
    max_registers = { 255, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 255 per thread" },
    registers_sm = { 65536, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 K per multiprocessor" },
    warps_sm = { 64, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 resident warps on 9.0" },
    blocks_sm = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 32 resident blocks on 9.0" },
    tensor_maps = { 1, source = "PTX ISA, cp.async.bulk.tensor: from sm_90 on" },
    warpgroup_mma = { 1, source = "PTX ISA, wgmma.mma_async: sm_90a" },
  },
}
