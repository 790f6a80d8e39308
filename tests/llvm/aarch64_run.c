// Runs one launch of an AArch64 object under qemu-user, for test_aarch64_run.c, which compiles this file with a cross compiler:
// run OBJECT ENTRY MEMORY BLOCKS SCRATCH GRID0..3 ARG…, where ARG is p<offset in MEMORY> or s<64 bits>.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef const char *entry_fn(const uint64_t *args, const int64_t *grid, int64_t first, int64_t last, void *scratch, const void *hooks);

int main(int argc, char **argv) {
  void *object = dlopen(argv[1], RTLD_NOW);
  entry_fn *entry = object ? (entry_fn *)dlsym(object, argv[2]) : NULL;
  if (!entry) return fprintf(stderr, "%s\n", dlerror()), 1;
  const int fd = open(argv[3], O_RDWR);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return 1;
  char *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  void *scratch;
  if (memory == MAP_FAILED || posix_memalign(&scratch, 4096, strtoull(argv[5], NULL, 10) + 4096)) return 1;
  int64_t grid[4];
  uint64_t args[64];
  for (int i = 0; i < 4; i++) grid[i] = strtoll(argv[6 + i], NULL, 10);
  for (int i = 10; i < argc && i < 74; i++) {
    const uint64_t x = strtoull(argv[i] + 1, NULL, 10);
    args[i - 10] = argv[i][0] == 'p' ? (uint64_t)(uintptr_t)(memory + x) : x;
  }
  const char *trap = entry(args, grid, 0, strtoll(argv[4], NULL, 10), scratch, NULL);
  if (trap) fprintf(stderr, "trap: %s\n", trap);
  return trap != NULL;
}
