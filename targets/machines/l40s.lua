return {
  name = "l40s",
  like = "sm_89",
  doc = "NVIDIA L40S 48 GB",
  figures = {
    sms = { 142, source = "NVIDIA L40S datasheet, Technical Specifications: 142 third-generation RT cores, one an SM" },
    bandwidth = { 864, source = "NVIDIA L40S datasheet, Technical Specifications: 864 GB/s" },
    peak_f32 = { 91600, source = "NVIDIA L40S datasheet, Technical Specifications: 91.6 TFLOPS" },
    peak_bf16 = { 362050, source = "NVIDIA L40S datasheet, Technical Specifications: 362.05 TFLOPS, dense" },
    peak_fp8 = { 733000, source = "NVIDIA L40S datasheet, Technical Specifications: 733 TFLOPS, dense" },
  },
}
