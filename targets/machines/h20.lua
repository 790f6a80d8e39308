-- NVIDIA publishes no peaks, bandwidth or number of multiprocessors of it: what compute capability 9.0 says alone.
return {
  name = "h20",
  like = "sm_90a",
  doc = "NVIDIA H20 96 GB",
}
