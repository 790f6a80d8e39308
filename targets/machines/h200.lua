return {
  name = "h200",
  like = "h100",
  doc = "NVIDIA H200 SXM 141 GB",
  figures = {
    bandwidth = { 4800, source = "NVIDIA H200 Tensor Core GPU datasheet: 4.8 TB/s" },
    peak_f32 = { 67000, source = "NVIDIA H200 Tensor Core GPU datasheet: 67 TFLOPS of FP32" },
    peak_bf16 = { 989500, source = "NVIDIA H200 Tensor Core GPU datasheet: 1,979 TFLOPS of BFLOAT16 with sparsity, half of that dense" },
    peak_fp8 = { 1979000, source = "NVIDIA H200 Tensor Core GPU datasheet: 3,958 TFLOPS of FP8 with sparsity, half of that dense" },
  },
}
