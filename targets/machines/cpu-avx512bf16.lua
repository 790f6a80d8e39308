return {
  name = "cpu-avx512bf16",
  target = "cpu:avx512bf16",
  like = "cpu-avx512",
  features = "+avx512bf16,+avx512vnni",
  doc = "x86-64-v4 with AVX512_BF16 (Intel Cooper Lake and Sapphire Rapids, AMD Zen 4 onwards)",
  figures = {
    bf16_dot = { 1, source = "Intel Architecture Instruction Set Extensions Programming Reference: VDPBF16PS, CPUID.(7,1):EAX[5]" },
  },
}
