return {
  name = "h800",
  like = "h100",
  target = "nvptx:sm_90a",
  doc = "NVIDIA H800 SXM5 80 GB: an H100 with a slower NVLink",
  figures = {},
}
