// NVIDIA's own programs and libraries: where they lie, and running the programs.
#include "targets/nvptx/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
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

typedef struct files {
  tg_context *ctx;
  tg_arena *arena;
  tg_tool_run *run;
  char directory[512], input[544], output[544], said[544];
} files;

static void write_input(files *f) {
  FILE *file = fopen(f->input, "wbe");
  bool good = file && fwrite(f->run->input.data, 1, f->run->input.size, file) == f->run->input.size;
  if (file) good = fclose(file) == 0 && good;
  if (!good) tg_throw(f->ctx, TG_FAILED, "cannot write %s for %s: %s", f->input, f->run->argv[0], strerror(errno));
}

static tg_bytes read_file(files *f, const char *path) {
  tg_bytes bytes = {NULL, 0};
  FILE *file = fopen(path, "rbe");
  if (!file) return bytes;
  tg_text text = {.arena = f->arena};
  char chunk[16384];
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) tg_text_append(&text, chunk, n);
  fclose(file);
  return (tg_bytes){text.data, text.size};
}

// In the child, between vfork and exec: system calls alone.
_Noreturn static void become(const char *const *argv, const char *said, bool separate, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL); // whoever stops the compile stops this too
  if (getppid() != parent) _exit(127);
  const int in = open("/dev/null", O_RDONLY), out = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (in < 0 || out < 0) _exit(127);
  dup2(in, 0);
  dup2(out, 1);
  dup2(separate ? open("/dev/null", O_WRONLY) : out, 2);
  execv(argv[0], (char *const *)(uintptr_t)argv);
  _exit(127);
}

static int wait_status(files *f, const char *const *argv) {
  const pid_t parent = getpid();
  pid_t pid = vfork(); // the compiler's memory is large, and none of it is wanted there
  if (pid == 0) become(argv, f->said, f->run->separate, parent);
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
  for (int i = 0; i < MOST && f->run->argv[i]; i++) {
    const char *word = f->run->argv[i];
    argv[i] = !strcmp(word, "INPUT") ? f->input : !strcmp(word, "OUTPUT") ? f->output : word;
  }
  write_input(f);
  f->run->status = wait_status(f, argv);
  f->run->said = read_file(f, f->said);
  f->run->output = read_file(f, f->output);
  if (f->run->status == 127 && !f->run->said.size) tg_throw(f->ctx, TG_FAILED, "%s cannot be run", argv[0]);
}

void tg_tool_execute(tg_context *ctx, tg_arena *arena, tg_tool_run *run) {
  files f = {.ctx = ctx, .arena = arena, .run = run};
  const char *tmp = getenv("TMPDIR");
  if (!tmp || !*tmp) tmp = "/tmp";
  const int n = snprintf(f.directory, sizeof f.directory, "%s/tegula-XXXXXX", tmp);
  if (n >= (int)sizeof f.directory || !mkdtemp(f.directory))
    tg_throw(ctx, TG_FAILED, "cannot make a directory in %.200s for %s: %s", tmp, run->argv[0], strerror(errno));
  snprintf(f.input, sizeof f.input, "%s/k%s", f.directory, run->suffix);
  snprintf(f.output, sizeof f.output, "%s/out", f.directory);
  snprintf(f.said, sizeof f.said, "%s/said", f.directory);
  const tg_status status = tg_protect(ctx, execute_body, &f);
  unlink(f.input), unlink(f.output), unlink(f.said), rmdir(f.directory);
  if (status) tg_rethrow(ctx);
}
