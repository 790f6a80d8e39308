return {
  name = "sm_90a",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_90a",
  arch = "sm_90a",
  doc = "compute capability 9.0",
  figures = {
    shared_bytes = { 232448, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 227 KB per block on 9.0" },
    shared_sm = { 233472, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 228 KB per multiprocessor on 9.0" },
    warps_sm = { 64, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 resident warps on 9.0" },
    blocks_sm = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 32 resident blocks on 9.0" },
    tensor_maps = { 1, source = "PTX ISA, cp.async.bulk.tensor: from sm_90 on" },
    warpgroup_mma = { 1, source = "PTX ISA, wgmma.mma_async: sm_90a" },
  },
  -- Tiles of 64 rows or more, so that warp groups multiply.
  defaults = {
    { "gemm_fp8", BM = 128, BN = 128 },
    { "gemm_fp8_dgrad", BM = 64, BK = 128, warps = 8 },
    { "gemm_fp8_wgrad", BN = 64, BK = 128, warps = 8 },
    { "grouped_gemm_fp8_wgrad", BN = 64, BK = 128, warps = 8 },
    { "grouped_gemm_fp8", when = { packed = 0 }, BM = 128, BN = 128 },
    { "grouped_gemm_fp8_masked", BM = 128, BN = 128 },
    { "bmm", when = { dtype = "bf16" }, BT = 64, BM = 128, BK = 64 },
    { "mla_decode", when = { dtype = "bf16", cache = "plain" }, BM = 64, BK = 64 },
    { "mla_decode_sparse", when = { dtype = "bf16", cache = "plain" }, BM = 64, BK = 64 },
    { "mla_prefill", when = { dtype = "bf16" }, BQ = 64, BK = 64 },
  },
}
