return {
  name = "h100",
  like = "sm_90a",
  doc = "NVIDIA H100 SXM5 80 GB",
  figures = {
    sms = { 132, source = "NVIDIA H100 Tensor Core GPU Architecture: 132 SMs, SXM5" },
    l2 = { 50, source = "NVIDIA H100 Tensor Core GPU Architecture: 50 MB L2 cache" },
    bandwidth = { 3352, source = "NVIDIA H100 Tensor Core GPU Architecture: 3352 GB/s, SXM5" },
    peak_f32 = { 66900, source = "NVIDIA H100 Tensor Core GPU Architecture: 66.9 TFLOPS of FP32, SXM5" },
    peak_bf16 = { 989400, source = "NVIDIA H100 Tensor Core GPU Architecture: 989.4 TFLOPS of BF16, dense, SXM5" },
    peak_fp8 = { 1978900, source = "NVIDIA H100 Tensor Core GPU Architecture: 1978.9 TFLOPS of FP8, dense, SXM5" },
  },
}
