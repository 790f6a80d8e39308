return {
  name = "cpu-aarch64",
  target = "cpu:aarch64",
  arch = "generic",
  doc = "any 64-bit ARM (Armv8.0-A): Advanced SIMD; objects for other machines, cross-compiled",
  figures = {
    vector_bits = { 128, source = "Arm ARM (DDI 0487), A1.5: Advanced SIMD registers have 128 bits" },
    micro_rows = { 6, source = "32 registers hold 6 x 16 accumulators of f32 (24), a row of B (4) and a broadcast of A" },
    micro_lanes = { 16, source = "32 registers hold 6 x 16 accumulators of f32 (24), a row of B (4) and a broadcast of A" },
    fma = { 1, source = "Arm ARM (DDI 0487), C7: FMLA is in the base instruction set" },
    f16c = { 1, source = "Arm ARM (DDI 0487), C7: FCVTL and FCVTN convert f16 in the base instruction set" },
    bf16_dot = { 0, source = "AVX512_BF16 is of x86" },
  },
}
