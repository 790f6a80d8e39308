// Lane kernel to LLVM text, assembly, or a shared object that the driver opens.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "targets/finish.h"
#include "targets/lld_shim.h"

// ---- what the object may ask of the process that opens it

// The C library's functions that LLVM itself calls for large copies and for fused multiply-add where the processor has none.
static const char *const allowed[] = {"memcpy", "memmove", "memset", "fma", "fmaf", NULL};

static bool is_allowed(const char *name) {
  for (int i = 0; allowed[i]; i++) {
    if (!strcmp(name, allowed[i])) return true;
  }
  return false;
}

static const Elf64_Shdr *symbol_table(const char *data, size_t size) {
  const Elf64_Ehdr *head = (const Elf64_Ehdr *)data;
  if (size < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64) return NULL;
  const Elf64_Shdr *sections = (const Elf64_Shdr *)(data + head->e_shoff);
  for (int i = 0; i < head->e_shnum; i++) {
    if (sections[i].sh_type == SHT_SYMTAB) return &sections[i];
  }
  return NULL;
}

static void check_undefined(tg_context *ctx, const tg_kernel *lane, tg_bytes object) {
  const char *data = object.data;
  const Elf64_Shdr *table = symbol_table(data, object.size);
  if (!table) tg_throw(ctx, TG_FAILED, "LLVM's object of kernel %s is no 64-bit ELF file", lane->name);
  const Elf64_Shdr *sections = (const Elf64_Shdr *)(data + ((const Elf64_Ehdr *)data)->e_shoff);
  const char *names = data + sections[table->sh_link].sh_offset;
  const Elf64_Sym *symbols = (const Elf64_Sym *)(data + table->sh_offset);
  for (size_t i = 1; i < table->sh_size / sizeof *symbols; i++) {
    const char *name = names + symbols[i].st_name;
    if (symbols[i].st_shndx == SHN_UNDEF && *name && !is_allowed(name))
      tg_throw(ctx, TG_FAILED, "the code of kernel %s calls %s, which no driver provides: the emitter must expand it", lane->name, name);
  }
}

// ---- linking, in memory: lld reads a memory file and writes, since it renames its output into place where that is a file, into a pipe

typedef struct drain {
  int fd;
  char *data; // malloc's
  size_t size, capacity;
  bool failed;
} drain;

static void *drain_pipe(void *arg) {
  drain *d = arg;
  for (;;) {
    if (d->size == d->capacity) {
      const size_t more = d->capacity ? 2 * d->capacity : 1 << 16;
      char *data = realloc(d->data, more);
      if (!data) break;
      d->data = data, d->capacity = more;
    }
    const ssize_t n = read(d->fd, d->data + d->size, d->capacity - d->size);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return NULL;
    if (n < 0) break;
    d->size += (size_t)n;
  }
  d->failed = true;
  char rest[4096];
  while (read(d->fd, rest, sizeof rest) > 0) continue; // the writer must not wait for ever
  return NULL;
}

static bool write_file(int fd, tg_bytes bytes) {
  const char *p = bytes.data;
  for (size_t left = bytes.size; left;) {
    const ssize_t n = write(fd, p, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n, left -= (size_t)n;
  }
  return true;
}

static int run_lld(int in, int out, char *message, size_t size) {
  char input[32], output[32];
  snprintf(input, sizeof input, "/proc/self/fd/%d", in);
  snprintf(output, sizeof output, "/proc/self/fd/%d", out);
  const char *argv[] = {"ld.lld",           "-shared",         "-nostdlib", "--threads=1", "-z", "norelro",
                        "--hash-style=gnu", "--build-id=none", "-o",        output,        input};
  return tg_lld_link((int)(sizeof argv / sizeof *argv), argv, message, size);
}

// The shared object in d->data; else says why not.
static bool link_to(drain *d, tg_bytes object, char *message, size_t size) {
  int ends[2] = {-1, -1}, in = memfd_create("tegula-object", MFD_CLOEXEC);
  pthread_t reader;
  bool done = false;
  if (in < 0 || !write_file(in, object) || pipe2(ends, O_CLOEXEC) != 0) {
    snprintf(message, size, "cannot make a file in memory: %s", strerror(errno));
  } else if (d->fd = ends[0], pthread_create(&reader, NULL, drain_pipe, d) != 0) {
    snprintf(message, size, "cannot start a thread");
  } else {
    done = run_lld(in, ends[1], message, size) == 0;
    close(ends[1]);
    ends[1] = -1;
    pthread_join(reader, NULL);
    if (done && (d->failed || !d->size)) snprintf(message, size, "the linker's output did not come through");
    done = done && !d->failed && d->size;
  }
  for (int i = 0; i < 2; i++) {
    if (ends[i] >= 0) close(ends[i]);
  }
  if (in >= 0) close(in);
  return done;
}

typedef struct copy_out {
  tg_arena *arena;
  const drain *from;
  tg_bytes bytes;
} copy_out;

static void copy_body(void *arg) {
  copy_out *c = arg;
  c->bytes = (tg_bytes){tg_arena_alloc(c->arena, c->from->size), c->from->size};
  memcpy(c->bytes.data, c->from->data, c->from->size);
}

static tg_bytes link_object(tg_context *ctx, const tg_kernel *lane, tg_bytes object, tg_arena *arena) {
  drain d = {0};
  char message[1024] = "";
  if (!link_to(&d, object, message, sizeof message)) {
    free(d.data);
    tg_throw(ctx, TG_FAILED, "lld cannot link kernel %s: %s", lane->name, message);
  }
  copy_out copy = {arena, &d, {NULL, 0}};
  const tg_status status = tg_protect(ctx, copy_body, &copy);
  free(d.data);
  if (status) tg_rethrow(ctx);
  return copy.bytes;
}

// ---- the whole

typedef struct taken {
  tg_arena *arena;
  const char *message, *copy;
} taken;

static void take_body(void *arg) {
  taken *t = arg;
  t->copy = tg_arena_strdup(t->arena, t->message);
}

static const char *take_message(tg_arena *arena, char *message) {
  taken t = {.arena = arena, .message = message};
  const tg_status status = tg_protect(arena->ctx, take_body, &t);
  LLVMDisposeMessage(message);
  if (status) tg_rethrow(arena->ctx);
  return t.copy;
}

// The levels of a family of processors name its triple; the host's own is LLVM's default.
static const char *triple_of(const tg_machine *machine, tg_arena *arena) {
  if (!machine->arch) return take_message(arena, LLVMGetDefaultTargetTriple());
  return !strcmp(machine->target, "cpu:aarch64") ? "aarch64-unknown-linux-gnu" : "x86_64-unknown-linux-gnu";
}

tg_bytes tg_finish_cpu(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record) {
  tg_context *ctx = lane->ctx;
  tg_llvm_options options = {.machine = machine, .cpu = machine->arch, .features = machine->features};
  options.triple = triple_of(machine, arena);
  if (!machine->arch) { // the machine that this runs on
    options.cpu = take_message(arena, LLVMGetHostCPUName());
    options.features = take_message(arena, LLVMGetHostCPUFeatures());
  }
  tg_bytes bytes = {NULL, 0};
  if (!strcmp(want, "llvm")) {
    tg_emit_llvm(lane, &options, arena, &bytes, NULL, NULL);
  } else if (!strcmp(want, "asm")) {
    tg_emit_llvm(lane, &options, arena, NULL, &bytes, NULL);
  } else if (!strcmp(want, "obj")) {
    tg_bytes object;
    tg_emit_llvm(lane, &options, arena, NULL, NULL, &object);
    check_undefined(ctx, lane, object);
    bytes = link_object(ctx, lane, object, arena);
  } else {
    tg_throw(ctx, TG_INVALID, "target %s has no form '%s'; there are tile, lane, llvm, asm, obj and meta", record->target, want);
  }
  return bytes;
}
