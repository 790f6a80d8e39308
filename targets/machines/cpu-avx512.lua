return {
  name = "cpu-avx512",
  target = "cpu:avx512",
  arch = "x86-64-v4",
  doc = "x86-64-v4: AVX-512 F, BW, CD, DQ and VL (Intel Skylake-SP and AMD Zen 4 onwards)",
  figures = {
    vector_bits = { 512, source = "System V ABI, AMD64 supplement: level x86-64-v4 has AVX512F" },
    micro_rows = { 14, source = "32 registers hold 14 x 32 accumulators of f32 (28), a row of B (2) and broadcasts of A (2)" },
    micro_lanes = { 32, source = "32 registers hold 14 x 32 accumulators of f32 (28), a row of B (2) and broadcasts of A (2)" },
    fma = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has FMA" },
    f16c = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has F16C" },
    bf16_dot = { 0, source = "System V ABI, AMD64 supplement: not in level x86-64-v4" },
  },
}
