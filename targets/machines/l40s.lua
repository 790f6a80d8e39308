return {
  name = "l40s",
  target = "nvptx:sm_89",
  arch = "sm_89",
  doc = "NVIDIA L40S 48 GB",
  figures = {
    warp = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: warp size" },
    max_threads = { 1024, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: threads per block" },
    shared_bytes = { 101376, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 99 KB per block on 8.9" },
    max_registers = { 255, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 255 per thread" },
    ptx = { 84, source = "PTX ISA, mma: operands of e4m3 and e5m2, from sm_89 on, came with PTX 8.4" },
  },
}
