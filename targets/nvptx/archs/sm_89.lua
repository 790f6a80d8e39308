return {
  name = "sm_89",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_89",
  arch = "sm_89",
  doc = "compute capability 8.9",
  figures = {
    shared_bytes = { 101376, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 99 KB per block on 8.9" },
    shared_sm = { 102400, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 100 KB per multiprocessor on 8.9" },
    warps_sm = { 48, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 48 resident warps on 8.9" },
    blocks_sm = { 24, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 24 resident blocks on 8.9" },
  },
  defaults = {
    { "gemm_fp8", BM = 128, BN = 128 },
    { "mla_decode", BM = 16, BK = 32 }, -- two slots of 32 keys and Q have room
    { "mla_decode_sparse", BM = 16, BK = 32 },
  },
}
