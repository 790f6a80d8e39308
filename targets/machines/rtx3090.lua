return {
  name = "rtx3090",
  like = "sm_86",
  doc = "NVIDIA GeForce RTX 3090 24 GB",
  figures = {
    sms = { 82, source = "NVIDIA Ampere GA102 GPU Architecture, Appendix A, Table 9: 82 SMs" },
    l2 = { 6, source = "NVIDIA Ampere GA102 GPU Architecture, Appendix A, Table 9: 6144 KB" },
    bandwidth = { 936, source = "NVIDIA Ampere GA102 GPU Architecture, Appendix A, Table 9: 936 GB/sec" },
    peak_f32 = { 35600, source = "NVIDIA Ampere GA102 GPU Architecture, Appendix A, Table 9: 35.6 TFLOPS" },
    peak_bf16 = { 71000, source = "NVIDIA Ampere GA102 GPU Architecture, Appendix A, Table 9: 71 TFLOPS with FP32 accumulate, dense" },
  },
}
