return {
  name = "rtx5090",
  like = "sm_120a",
  doc = "NVIDIA GeForce RTX 5090 32 GB",
  figures = {
    sms = { 170, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 170 SMs" },
    l2 = { 96, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 98304 KB" },
    bandwidth = { 1792, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 1792 GB/sec" },
    peak_f32 = { 104800, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 104.8 TFLOPS" },
    peak_bf16 = { 209500, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 209.5 TFLOPS with FP32 accumulate, dense" },
    peak_fp8 = { 419000, source = "NVIDIA RTX Blackwell GPU Architecture, Appendix A, GeForce RTX 5090: 419 TFLOPS with FP32 accumulate, dense" },
  },
}
