return {
  name = "a800",
  like = "a100",
  doc = "NVIDIA A800 40 GB: an A100 with a slower NVLink",
  figures = {
    bandwidth = { 1555, source = "NVIDIA A800 40GB Active datasheet: 1,555.2 GB/s" },
  },
}
