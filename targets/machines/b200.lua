return {
  name = "b200",
  like = "sm_100a",
  doc = "NVIDIA B200 180 GB",
  figures = {
    l2 = { 126, source = "NVIDIA Blackwell Tuning Guide, Increased L2 Capacity: 126 MB" },
    bandwidth = { 8000, source = "NVIDIA Blackwell Architecture Technical Brief, HGX B200: up to 8 TB/s" },
    peak_bf16 = { 2250000, source = "NVIDIA Blackwell Architecture Technical Brief, HGX B200: 2.25 PFLOPS, dense" },
    peak_fp8 = { 4500000, source = "NVIDIA Blackwell Architecture Technical Brief, HGX B200: 4.5 PFLOPS, dense" },
  },
}
