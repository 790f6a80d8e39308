return {
  name = "cpu-generic",
  target = "cpu:generic",
  arch = "x86-64",
  doc = "any 64-bit x86: SSE2, no fused multiply-add",
  figures = {
    vector_bits = { 128, source = "System V ABI, AMD64 supplement: the x86-64 baseline has SSE2" },
    vector_registers = { 16, source = "Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1: XMM0-XMM15" },
    micro_rows = { 6, source = "16 registers hold 6 x 8 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    micro_lanes = { 8, source = "16 registers hold 6 x 8 accumulators of f32 (12), a row of B (2) and a broadcast of A" },
    fma = { 0, source = "System V ABI, AMD64 supplement: FMA comes with level x86-64-v3" },
    f16c = { 0, source = "System V ABI, AMD64 supplement: F16C comes with level x86-64-v3" },
    bf16_dot = { 0, source = "System V ABI, AMD64 supplement: not in the baseline" },
    l1_bytes = { 32768, source = "Intel 64 and IA-32 Architectures Optimization Reference Manual: 32 KiB on every core since Core" },
    l2_bytes = { 262144, source = "Intel 64 and IA-32 Architectures Optimization Reference Manual: 256 KiB on Nehalem to Broadwell" },
  },
}
