return {
  name = "cpu-avx512bf16",
  target = "cpu:avx512bf16",
  like = "cpu-avx512",
  features = "+avx512bf16,+avx512vnni,+avx512vbmi",
  doc = "x86-64-v4 with AVX512_BF16 and AVX512_VBMI (Intel Sapphire Rapids and AMD Zen 4 onwards)",
  figures = {
    bf16_dot = { 1, source = "Intel Architecture Instruction Set Extensions Programming Reference: VDPBF16PS, CPUID.(7,1):EAX[5]" },
    byte_table = { 128, source = "Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: VPERMI2B, CPUID.7:ECX[1]" },
  },
}
