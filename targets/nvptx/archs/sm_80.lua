return {
  name = "sm_80",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_80",
  arch = "sm_80",
  doc = "compute capability 8.0",
  figures = {
    shared_bytes = { 166912, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 163 KB per block on 8.0" },
    shared_sm = { 167936, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 164 KB per multiprocessor on 8.0" },
    warps_sm = { 64, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 resident warps on 8.0" },
    blocks_sm = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 32 resident blocks on 8.0" },
  },
  defaults = { { "grouped_gemm_fp8_wgrad", BN = 128, BK = 64, warps = 8 } },
}
