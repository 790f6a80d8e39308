return {
  name = "a100",
  target = "nvptx:sm_80",
  arch = "sm_80",
  doc = "NVIDIA A100 SXM4 40 GB",
  figures = {
    cores = { 108, source = "NVIDIA A100 Tensor Core GPU Architecture whitepaper (2020), comparison of data center GPUs: 108 SMs" },
    warp = { 32, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: warp size" },
    max_threads = { 1024, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: threads per block" },
    shared_bytes = { 166912, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 163 KB per block on 8.0" },
    registers = { 65536, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 64 K per multiprocessor" },
    max_registers = { 255, source = "CUDA C++ Programming Guide, Technical Specifications per Compute Capability: 255 per thread" },
    clock_ghz = { 1.41, source = "NVIDIA A100 Tensor Core GPU Architecture whitepaper (2020), comparison of data center GPUs: GPU boost clock 1410 MHz" },
    dram_gbs = { 1555, source = "NVIDIA A100 Tensor Core GPU Architecture whitepaper (2020), comparison of data center GPUs: memory bandwidth 1555 GB/s" },
    f32_tflops = { 19.5, source = "NVIDIA A100 Tensor Core GPU Architecture whitepaper (2020), comparison of data center GPUs: peak FP32 19.5 TFLOPS" },
    bf16_tflops = { 312, source = "NVIDIA A100 Tensor Core GPU Architecture whitepaper (2020), comparison of data center GPUs: peak BF16 Tensor Core 312 TFLOPS, dense" },
    ptx = { 70, source = "PTX ISA, release history: sm_80 came with PTX 7.0" },
  },
}
