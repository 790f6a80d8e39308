return {
  name = "a100",
  like = "sm_80",
  doc = "NVIDIA A100 SXM4 40 GB",
  figures = {
    sms = { 108, source = "NVIDIA A100 Tensor Core GPU Architecture, Table 4, Comparison of NVIDIA Data Center GPUs: 108 SMs" },
    l2 = { 40, source = "NVIDIA A100 Tensor Core GPU Architecture, Table 4, Comparison of NVIDIA Data Center GPUs: 40960 KB" },
    bandwidth = { 1555, source = "NVIDIA A100 Tensor Core GPU Architecture, Table 4, Comparison of NVIDIA Data Center GPUs: 1555 GB/sec" },
    peak_f32 = { 19500, source = "NVIDIA A100 Tensor Core GPU Architecture, Table 4, Comparison of NVIDIA Data Center GPUs: 19.5 TFLOPS" },
    peak_bf16 = { 312000, source = "NVIDIA A100 Tensor Core GPU Architecture, Table 4, Comparison of NVIDIA Data Center GPUs: 312 TFLOPS, dense" },
  },
}
