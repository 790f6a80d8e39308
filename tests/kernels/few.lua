-- An H100 with three multiprocessors, so that blocks of a persistent grid have several of the kernel's to compute.
return {
  name = "few",
  target = "nvptx:sm_90a",
  like = "h100",
  doc = "H100 with three multiprocessors",
  figures = { sms = { 3, source = "none: for tests" } },
}
