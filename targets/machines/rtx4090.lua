return {
  name = "rtx4090",
  like = "sm_89",
  doc = "NVIDIA GeForce RTX 4090 24 GB",
  figures = {
    sms = { 128, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 128 SMs" },
    l2 = { 72, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 73728 KB" },
    bandwidth = { 1008, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 1008 GB/sec" },
    peak_f32 = { 82600, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 82.6 TFLOPS" },
    peak_bf16 = { 165200, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 165.2 TFLOPS with FP32 accumulate, dense" },
    peak_fp8 = { 330300, source = "NVIDIA Ada GPU Architecture, Appendix A, GeForce RTX 4090: 330.3 TFLOPS with FP32 accumulate, dense" },
  },
}
