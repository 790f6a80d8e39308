return {
  name = "cpu-avx512",
  target = "cpu:avx512",
  arch = "x86-64-v4",
  doc = "x86-64-v4: AVX-512 F, BW, CD, DQ and VL (Intel Skylake-SP and AMD Zen 4 onwards)",
  figures = {
    vector_bits = { 512, source = "System V ABI, AMD64 supplement: level x86-64-v4 has AVX512F" },
    vector_registers = { 32, source = "Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1: ZMM0-ZMM31" },
    micro_rows = { 14, source = "32 registers hold 14 x 32 accumulators of f32 (28), a row of B (2) and broadcasts of A (2)" },
    micro_lanes = { 32, source = "32 registers hold 14 x 32 accumulators of f32 (28), a row of B (2) and broadcasts of A (2)" },
    fma = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has FMA" },
    f16c = { 1, source = "System V ABI, AMD64 supplement: level x86-64-v3 has F16C" },
    bf16_dot = { 0, source = "System V ABI, AMD64 supplement: not in level x86-64-v4" },
    l1_bytes = { 32768, source = "Intel 64 and IA-32 Architectures Optimization Reference Manual: 32 KiB on Skylake Server" },
    l2_bytes = { 1048576, source = "Intel 64 and IA-32 Architectures Optimization Reference Manual: 1 MiB on Skylake Server" },
  },
}
