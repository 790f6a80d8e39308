-- The figures of cpu-avx512 with the instructions of cpu-avx2: what is made for AVX-512, on processors that lack it.
return {
  name = "wide",
  target = "cpu:avx2",
  arch = "x86-64-v3",
  doc = "AVX2 code in the shapes of AVX-512",
  figures = {
    vector_bits = { 512, source = "cpu-avx512" },
    micro_rows = { 14, source = "cpu-avx512" },
    micro_lanes = { 32, source = "cpu-avx512" },
    fma = { 1, source = "cpu-avx512" },
    f16c = { 1, source = "cpu-avx512" },
  },
}
