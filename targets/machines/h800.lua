return {
  name = "h800",
  like = "h100",
  doc = "NVIDIA H800 SXM5 80 GB: an H100 with a slower NVLink",
}
