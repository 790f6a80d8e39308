return {
  name = "sm_120a",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_120a",
  arch = "sm_120a",
  doc = "compute capability 12.0",
  figures = {
    shared_bytes = { 101376, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 99 KB per block on 12.0" },
    shared_sm = { 102400, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 100 KB per multiprocessor on 12.0" },
    warps_sm = { 48, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 48 resident warps on 12.0" },
    blocks_sm = { 24, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 24 resident blocks on 12.0" },
  },
  defaults = {
    { "mla_decode", BM = 16, BK = 32 }, -- two slots of 32 keys and Q have room
    { "mla_decode_sparse", BM = 16, BK = 32 },
  },
}
