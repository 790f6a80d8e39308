-- A B200 with three multiprocessors, so that blocks of a persistent grid have several of the kernel's to compute.
return {
  name = "few_b200",
  like = "b200",
  doc = "B200 with three multiprocessors",
  figures = { sms = { 3, source = "none: for tests" } },
}
