return {
  name = "a100",
  target = "nvptx:sm_80",
  arch = "sm_80",
  doc = "NVIDIA A100 SXM4 40 GB",
  figures = {
    warp = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: warp size" },
    max_threads = { 1024, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: threads per block" },
    shared_bytes = { 166912, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 163 KB per block on 8.0" },
    max_registers = { 255, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 255 per thread" },
    ptx = { 70, source = "PTX ISA, release history: sm_80 came with PTX 7.0" },
  },
}
