return {
  name = "cpu-avx2",
  target = "cpu:avx2",
  arch = "x86-64-v3",
  doc = "x86-64-v3: AVX2, FMA and F16C (Intel Haswell and AMD Zen onwards)",
  figures = {
    vector_bits = { 256, source = "System V ABI, AMD64 supplement: level x86-64-v3 has AVX2" },
    micro_rows = { 6, source = "16 registers hold 6 x 16 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    micro_lanes = { 16, source = "16 registers hold 6 x 16 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    fma = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has FMA" },
    f16c = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has F16C" },
    bf16_dot = { 0, source = "System V ABI, AMD64 supplement: not in level x86-64-v3" },
  },
}
