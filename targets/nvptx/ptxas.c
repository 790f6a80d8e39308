// Running ptxas: a temporary directory with the text, the cubin and what it says.
#include "targets/nvptx/ptxas.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// ---- finding it

static const char *in_directory(tg_arena *arena, const char *directory, size_t n, const char *below) {
  const char *path = tg_arena_printf(arena, "%.*s%s/ptxas", (int)n, directory, below);
  return n && access(path, X_OK) == 0 ? path : NULL;
}

const char *tg_ptxas_find(tg_arena *arena) {
  static const char *const homes[] = {"CUDA_HOME", "CUDA_PATH"};
  const char *found = NULL;
  for (int i = 0; i < 2 && !found; i++) {
    const char *home = getenv(homes[i]);
    if (home) found = in_directory(arena, home, strlen(home), "/bin");
  }
  for (const char *p = getenv("PATH"); p && *p && !found;) {
    size_t n = strcspn(p, ":");
    found = in_directory(arena, p, n, "");
    p += n + (p[n] == ':');
  }
  return found ? found : in_directory(arena, "/usr/local/cuda", strlen("/usr/local/cuda"), "/bin");
}

// ---- what it says

static int worst(const char *text, const char *before, const char *after) {
  int most = -1;
  for (const char *p = text; (p = strstr(p, after)); p += strlen(after)) {
    const char *digits = p;
    while (digits > text && digits[-1] >= '0' && digits[-1] <= '9') digits--;
    size_t n = strlen(before);
    if (digits == p || digits - text < (ptrdiff_t)n || memcmp(digits - n, before, n) != 0) continue;
    int value = atoi(digits);
    most = value > most ? value : most;
  }
  return most;
}

tg_ptxas_report tg_ptxas_read_report(const char *text) {
  return (tg_ptxas_report){worst(text, "Used ", " registers"), worst(text, " ", " bytes spill stores")};
}

// ---- running it

typedef struct run {
  tg_context *ctx;
  tg_arena *arena;
  const char *program, *arch;
  char directory[512], input[544], output[544], said[544];
  tg_bytes ptx, cubin;
  tg_ptxas_report *report;
} run;

static void write_file(run *r, const char *path, tg_bytes bytes) {
  FILE *f = fopen(path, "wb");
  bool good = f && fwrite(bytes.data, 1, bytes.size, f) == bytes.size;
  if (f) good = fclose(f) == 0 && good;
  if (!good) tg_throw(r->ctx, TG_FAILED, "cannot write %s for ptxas: %s", path, strerror(errno));
}

// NUL-terminated beyond its size; {NULL, 0} when it cannot be read.
static tg_bytes read_file(run *r, const char *path) {
  tg_bytes bytes = {NULL, 0};
  FILE *f = fopen(path, "rb");
  if (!f) return bytes;
  tg_text text = {.arena = r->arena};
  char chunk[4096];
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) tg_text_append(&text, chunk, n);
  fclose(f);
  return (tg_bytes){text.data, text.size};
}

static int spawn_and_wait(run *r) {
  char *argv[] = {(char *)(uintptr_t)r->program, "-v", "-arch", (char *)(uintptr_t)r->arch, r->input, "-o", r->output, NULL};
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions)) return -1;
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, r->said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid;
  int status = -1, error = posix_spawn(&pid, r->program, &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error) {
    errno = error;
    return -1;
  }
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return status;
}

static void run_body(void *arg) {
  run *r = arg;
  write_file(r, r->input, r->ptx);
  int status = spawn_and_wait(r);
  if (status == -1) tg_throw(r->ctx, TG_FAILED, "cannot run %s: %s", r->program, strerror(errno));
  tg_bytes said = read_file(r, r->said);
  const char *text = said.data ? said.data : "";
  if (!WIFEXITED(status) || WEXITSTATUS(status))
    tg_throw(r->ctx, TG_FAILED, "%s does not take the PTX: %.2000s", r->program, *text ? text : "it says nothing");
  r->cubin = read_file(r, r->output);
  if (!r->cubin.size) tg_throw(r->ctx, TG_FAILED, "%s left no cubin", r->program);
  *r->report = tg_ptxas_read_report(text);
}

tg_bytes tg_ptxas_run(tg_context *ctx, const char *program, const char *arch, tg_bytes ptx, tg_arena *arena, tg_ptxas_report *report) {
  run r = {.ctx = ctx, .arena = arena, .program = program, .arch = arch, .ptx = ptx, .report = report};
  const char *tmp = getenv("TMPDIR");
  int n = snprintf(r.directory, sizeof r.directory, "%s/tegula-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (n >= (int)sizeof r.directory || !mkdtemp(r.directory))
    tg_throw(ctx, TG_FAILED, "cannot make a directory in %.200s for ptxas: %s", tmp && *tmp ? tmp : "/tmp", strerror(errno));
  snprintf(r.input, sizeof r.input, "%s/k.ptx", r.directory);
  snprintf(r.output, sizeof r.output, "%s/k.cubin", r.directory);
  snprintf(r.said, sizeof r.said, "%s/said", r.directory);
  tg_status status = tg_protect(ctx, run_body, &r);
  unlink(r.input), unlink(r.output), unlink(r.said), rmdir(r.directory);
  if (status) tg_rethrow(ctx);
  return r.cubin;
}
