return {
  name = "sm_86",
  base = true,
  like = "nvptx",
  target = "nvptx:sm_86",
  arch = "sm_86",
  doc = "compute capability 8.6",
  figures = {
    shared_bytes = { 101376, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 99 KB per block on 8.6" },
    shared_sm = { 102400, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 100 KB per multiprocessor on 8.6" },
    warps_sm = { 48, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 48 resident warps on 8.6" },
    blocks_sm = { 16, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 16 resident blocks on 8.6" },
  },
  defaults = {
    { "mla_decode", BM = 16, BK = 32 }, -- two slots of 32 keys and Q have room
    { "mla_decode_sparse", BM = 16, BK = 32 },
  },
}
