return {
  name = "cpu-generic",
  target = "cpu:generic",
  arch = "x86-64",
  doc = "any 64-bit x86: SSE2, no fused multiply-add",
  figures = {
    vector_bits = { 128, source = "System V ABI, AMD64 supplement: the x86-64 baseline has SSE2" },
    micro_rows = { 6, source = "16 registers hold 6 x 8 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    micro_lanes = { 8, source = "16 registers hold 6 x 8 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    fma = { 0, source = "System V ABI, AMD64 supplement: FMA comes with level x86-64-v3" },
    f16c = { 0, source = "System V ABI, AMD64 supplement: F16C comes with level x86-64-v3" },
    bf16_dot = { 0, source = "System V ABI, AMD64 supplement: not in the baseline" },
  },
}
