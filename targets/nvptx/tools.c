// NVIDIA's own programs and libraries: where they lie, and running the programs.
#include "targets/nvptx/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- finding them

static const struct {
  const char *variable, *file;
  bool library;
} tools[TG_NCUDA_TOOLS] = {{"TEGULA_PTXAS", "ptxas", false},
                           {"TEGULA_NVJITLINK", "libnvJitLink.so.13", true},
                           {"TEGULA_NVDISASM", "nvdisasm", false},
                           {"TEGULA_CUOBJDUMP", "cuobjdump", false}};

static const char *in_directory(tg_arena *arena, tg_cuda_tool tool, const char *directory, size_t n, const char *below) {
  const char *path = tg_arena_printf(arena, "%.*s%s/%s", (int)n, directory, below, tools[tool].file);
  return n && access(path, tools[tool].library ? R_OK : X_OK) == 0 ? path : NULL;
}

static const char *in_toolkit(tg_arena *arena, tg_cuda_tool tool, const char *home) {
  static const char *const programs[] = {"/bin", NULL}, *const libraries[] = {"/lib64", "/lib", NULL};
  const char *found = NULL;
  for (const char *const *below = tools[tool].library ? libraries : programs; *below && !found; below++)
    found = in_directory(arena, tool, home, strlen(home), *below);
  return found;
}

const char *tg_cuda_find(tg_arena *arena, tg_cuda_tool tool) {
  static const char *const homes[] = {"CUDA_HOME", "CUDA_PATH"};
  const char *named = getenv(tools[tool].variable), *found = NULL;
  if (named) return *named && access(named, tools[tool].library ? R_OK : X_OK) == 0 ? tg_arena_strdup(arena, named) : NULL;
  for (int i = 0; i < 2 && !found; i++) {
    const char *home = getenv(homes[i]);
    if (home) found = in_toolkit(arena, tool, home);
  }
  for (const char *p = getenv(tools[tool].library ? "LD_LIBRARY_PATH" : "PATH"); p && *p && !found;) {
    const size_t n = strcspn(p, ":");
    found = in_directory(arena, tool, p, n, "");
    p += n + (p[n] == ':');
  }
  return found ? found : in_toolkit(arena, tool, "/usr/local/cuda");
}

const char *tg_cuda_names(tg_arena *arena, tg_cuda_tool first, tg_cuda_tool last) {
  tg_text text = {.arena = arena};
  for (int i = (int)first; i <= (int)last; i++) {
    const char *named = getenv(tools[i].variable);
    tg_text_add(&text, "%s%s (%s", i > (int)first ? ", " : "", tools[i].file, tools[i].variable);
    if (named) tg_text_add(&text, "=%.200s", named);
    tg_text_add(&text, ")");
  }
  return text.data;
}

// ---- running one

// What a tool reads and writes is in memory and lies in no directory: nothing is left when this process is killed during a run.
enum { INPUT, OUTPUT, SAID, NFILES };
enum { MOST_BYTES = 1 << 28 }; // of each: a tool that never stops writing is ended

typedef struct files {
  tg_context *ctx;
  tg_arena *arena;
  tg_tool_run *run;
  int fd[NFILES];
} files;

static void open_files(files *f) {
  for (int i = 0; i < NFILES; i++) {
    f->fd[i] = memfd_create("tegula-tool", MFD_CLOEXEC);
    if (f->fd[i] < 0) tg_throw(f->ctx, TG_FAILED, "cannot make a file in memory for %s: %s", f->run->argv[0], strerror(errno));
  }
}

static void write_input(files *f) {
  for (size_t done = 0; done < f->run->input.size;) {
    const ssize_t n = write(f->fd[INPUT], f->run->input.data + done, f->run->input.size - done);
    if (n < 0 && errno != EINTR) tg_throw(f->ctx, TG_FAILED, "cannot hand %s its input: %s", f->run->argv[0], strerror(errno));
    if (n > 0) done += (size_t)n;
  }
}

static tg_bytes read_file(const files *f, int fd) {
  tg_text text = {.arena = f->arena};
  char chunk[16384];
  off_t at = 0;
  for (ssize_t n; (n = pread(fd, chunk, sizeof chunk, at)) > 0; at += n) tg_text_append(&text, chunk, (size_t)n);
  return at ? (tg_bytes){text.data, text.size} : (tg_bytes){NULL, 0};
}

void tg_tool_plain(char *text, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') || text[i] == 0x7f) text[i] = '?';
}

// In the child, between vfork and exec: system calls alone.
_Noreturn static void become(const char *const *argv, const files *f, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL); // whoever stops the compile stops this too
  if (getppid() != parent) _exit(127);
  signal(SIGXFSZ, SIG_DFL);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){MOST_BYTES, MOST_BYTES});
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(127);
  dup2(null, 0);
  dup2(f->fd[SAID], 1);
  dup2(f->run->separate ? null : f->fd[SAID], 2);
  fcntl(f->fd[INPUT], F_SETFD, 0);
  fcntl(f->fd[OUTPUT], F_SETFD, 0);
  execv(argv[0], (char *const *)(uintptr_t)argv);
  _exit(127);
}

static int wait_status(const files *f, const char *const *argv) {
  const pid_t parent = getpid();
  pid_t pid = vfork(); // the compiler's memory is large, and none of it is wanted there
  if (pid == 0) become(argv, f, parent);
  if (pid < 0) tg_throw(f->ctx, TG_FAILED, "cannot run %s: %s", argv[0], strerror(errno));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) tg_throw(f->ctx, TG_FAILED, "cannot wait for %s: %s", argv[0], strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void execute_body(void *arg) {
  files *f = arg;
  enum { MOST = 16 };
  const char *argv[MOST + 1] = {NULL};
  open_files(f);
  for (int i = 0; i < MOST && f->run->argv[i]; i++) {
    const char *word = f->run->argv[i];
    const int file = !strcmp(word, "INPUT") ? INPUT : !strcmp(word, "OUTPUT") ? OUTPUT : NFILES;
    argv[i] = file == NFILES ? word : tg_arena_printf(f->arena, "/proc/self/fd/%d", f->fd[file]);
  }
  write_input(f);
  f->run->status = wait_status(f, argv);
  f->run->said = read_file(f, f->fd[SAID]);
  tg_tool_plain(f->run->said.data, f->run->said.size);
  f->run->output = read_file(f, f->fd[OUTPUT]);
  if (f->run->status == 127 && !f->run->said.size) tg_throw(f->ctx, TG_FAILED, "%s cannot be run", argv[0]);
}

void tg_tool_execute(tg_context *ctx, tg_arena *arena, tg_tool_run *run) {
  files f = {.ctx = ctx, .arena = arena, .run = run, .fd = {-1, -1, -1}};
  const tg_status status = tg_protect(ctx, execute_body, &f);
  for (int i = 0; i < NFILES; i++)
    if (f.fd[i] >= 0) close(f.fd[i]);
  if (status) tg_rethrow(ctx);
}
