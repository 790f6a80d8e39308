-- What every architecture of archs.def has.
return {
  name = "nvptx",
  base = true,
  doc = "NVIDIA GPUs from compute capability 8.0 on",
  figures = {
    warp = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: warp size" },
    max_threads = { 1024, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: threads per block" },
    shared_reserved = { 1024, source = "CUDA C++ Programming Guide, Compute Capability, Shared Memory: 1 KB of each block is the system's from 8.0 on" },
    max_registers = { 255, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 255 per thread" },
    registers_sm = { 65536, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 K per multiprocessor" },
  },
  -- A kernel's tile where neither the call nor the tuner names another; an architecture's own come first.
  defaults = {
    { "gemm_bf16", BM = 128, BN = 128, BK = 64 },
    { "grouped_gemm_bf16", BM = 128, BN = 128, BK = 64 },
    { "bmm", when = { dtype = "f32" }, BM = 128, BK = 32 },
    { "embed", BH = 1024, warps = 4 },
    { "grouped_gemm_f32", BM = 64, BN = 64, BK = 16, warps = 8 },
    { "mla_decode", BM = 64, BK = 32 },
    { "mla_decode", when = { dtype = "f32" }, BM = 16, BK = 32 },
    { "mla_decode_sparse", BM = 32, BK = 64 },
    { "mla_decode_sparse", when = { dtype = "f32" }, BM = 16, BK = 32 },
    { "mla_prefill", BQ = 64, BK = 32 },
  },
}
