return {
  name = "sm_100a",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_100a",
  arch = "sm_100a",
  doc = "compute capability 10.0",
  figures = {
    shared_bytes = { 232448, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 227 KB per block on 10.0" },
    shared_sm = { 233472, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 228 KB per multiprocessor on 10.0" },
    warps_sm = { 64, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 resident warps on 10.0" },
    blocks_sm = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 32 resident blocks on 10.0" },
    tensor_maps = { 1, source = "PTX ISA, cp.async.bulk.tensor: from sm_90 on" },
    tensor_memory = { 512, source = "PTX ISA, tcgen05, Tensor Memory: 512 columns of 128 lanes" },
  },
  -- Tiles of 128 rows: those of one product into tensor memory.
  defaults = {
    { "gemm_fp8", when = { packed = 0 }, BM = 128, BN = 128 },
    { "grouped_gemm_bf16", BM = 128, BN = 128, BK = 64 },
    { "grouped_gemm_fp8", when = { packed = 0 }, BM = 128, BN = 128 },
    { "grouped_gemm_fp8_masked", BM = 128, BN = 128 },
    { "bmm", when = { dtype = "bf16" }, BT = 128, BM = 128, BK = 64 },
  },
}
