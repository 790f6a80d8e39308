// The compile helper: a warm process that is sent jobs and sends back products, within limits of time and memory.
//
// LLVM may abort on what it cannot select and may run away on what it can; in a process of its own that costs one compile. The helper
// leaves when its end of the socket closes, which it does when this process ends in whatever way; a limit on its CPU time ends it even in a
// loop.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "targets/compiler.h"
#include "targets/wire.h"

enum { DEFAULT_SECONDS = 60 };
#if !defined(__SANITIZE_ADDRESS__) // whose shadow memory alone is larger
static const rlim_t max_memory = (rlim_t)4 << 30;
#endif

static int time_limit(tg_context *ctx) {
  const char *text = getenv("TEGULA_COMPILE_SECONDS");
  int seconds = ctx->config.compile_seconds > 0 ? ctx->config.compile_seconds : text ? atoi(text) : 0;
  return seconds > 0 ? seconds : DEFAULT_SECONDS;
}

// ---- starting and stopping

_Noreturn static void become_helper(const tg_config *config, int fd, int errors) { // between fork and exec: system calls alone
  dup2(fd, STDIN_FILENO);
  dup2(fd, STDOUT_FILENO);
  if (errors >= 0) dup2(errors, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGINT, SIG_IGN); // Ctrl-C is for the program at the terminal, which closes the socket
#if !defined(__SANITIZE_ADDRESS__)
  setrlimit(RLIMIT_AS, &(struct rlimit){max_memory, max_memory});
#endif
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  const char *argv[] = {config->worker, config->dump_dir ? "--dump" : NULL, config->dump_dir, NULL};
  execv(config->worker, (char *const *)(uintptr_t)argv);
  _exit(127);
}

// The helper would say so to nobody.
static void check_dump(tg_context *ctx) {
  const char *directory = ctx->config.dump_dir;
  if (!directory) return;
  mkdir(directory, 0777);
  if (access(directory, W_OK | X_OK) == 0) return;
  tg_log(ctx, TG_LOG_WARNING, "%s: cannot write the dumps: %s", directory, strerror(errno));
}

static void start(tg_context *ctx, tg_helper *helper) {
  check_dump(ctx);
  const char *program = ctx->config.worker;
  if (!program || access(program, X_OK) != 0) {
    tg_throw(ctx, TG_FAILED, "the compile helper %s cannot be run (%s); name it in the environment variable TEGULA_WORKER",
             program ? program : "tegula-worker", program ? strerror(errno) : "not found");
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    tg_throw(ctx, TG_FAILED, "cannot make a socket for the compile helper: %m");
  int errors = memfd_create("tegula-worker-errors", MFD_CLOEXEC);
  pid_t pid = fork();
  if (pid == 0) become_helper(&ctx->config, ends[1], errors);
  int problem = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    if (errors >= 0) close(errors);
    tg_throw(ctx, TG_FAILED, "cannot start the compile helper %s: %s", program, strerror(problem));
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK); // a deadline holds even when the helper reads half a job
  *helper = (tg_helper){.pid = pid, .owner = getpid(), .fd = ends[0], .errors = errors};
}

static int reap(tg_helper *helper) { // kills; returns the wait status
  int status = 0;
  kill(helper->pid, SIGKILL);
  while (waitpid(helper->pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

static int stop(tg_helper *helper) {
  if (!helper->pid) return 0;
  int status = 0;
  close(helper->fd);
  if (helper->owner == getpid()) status = reap(helper);
  if (helper->errors >= 0) close(helper->errors);
  *helper = (tg_helper){0};
  return status;
}

void tg_helper_stop(tg_context *ctx, tg_helper *helper) {
  (void)ctx;
  stop(helper);
}

// ---- a job

// The limit counts CPU time since the helper started, so it moves with every job. The hard limit stays: only root could raise it again.
static void limit_cpu(tg_helper *helper, int seconds) {
  clockid_t clock;
  struct timespec used = {0};
  struct rlimit limit;
  if (clock_getcpuclockid(helper->pid, &clock) == 0) clock_gettime(clock, &used);
  if (prlimit(helper->pid, RLIMIT_CPU, NULL, &limit) != 0) return;
  limit.rlim_cur = (rlim_t)(used.tv_sec + seconds + 1);
  prlimit(helper->pid, RLIMIT_CPU, &limit, NULL);
}

// A helper that died while idle makes the next write raise SIGPIPE, which ends a program that does not expect it: hold it back in this
// thread.
static tg_wire_status send_quietly(int fd, tg_bytes payload, double deadline) {
  sigset_t pipe, old, pending;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  sigpending(&pending);
  bool had_one = sigismember(&pending, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &old);
  tg_wire_status status = tg_wire_send(fd, payload, deadline);
  while (!had_one && sigtimedwait(&pipe, NULL, &(struct timespec){0}) == SIGPIPE) continue;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return status;
}

static const char *last_words(tg_helper *helper, tg_arena *arena) {
  enum { TAIL = 800 };
  char tail[TAIL + 1];
  off_t size = helper->errors >= 0 ? lseek(helper->errors, 0, SEEK_END) : 0;
  ssize_t n = size > 0 ? pread(helper->errors, tail, TAIL, size > TAIL ? size - TAIL : 0) : 0;
  while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == ' ')) n--;
  return n > 0 ? tg_arena_printf(arena, "; its last words:\n%.*s", (int)n, tail) : "";
}

// Keeps the job where it can be replayed: the helper reads frames from its standard input.
static const char *keep_job(tg_context *ctx, tg_bytes job, const unsigned char key[32], tg_arena *arena) {
  const char *directory = ctx->config.dump_dir ? ctx->config.dump_dir : ctx->config.cache_dir;
  const char *path = tg_arena_printf(arena, "%s/crashed-%02x%02x%02x%02x%02x%02x%02x%02x.job", directory ? directory : "/tmp", key[0],
                                     key[1], key[2], key[3], key[4], key[5], key[6], key[7]);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool kept = fd >= 0 && tg_wire_send(fd, job, 0) == TG_WIRE_OK;
  if (fd >= 0) close(fd);
  if (!kept) {
    if (fd >= 0) unlink(path);
    return tg_arena_printf(arena, "the job could not be kept in %s", path);
  }
  return tg_arena_printf(arena, "to see it again: %s < %s | wc -c", ctx->config.worker, path);
}

static const char *ending(tg_arena *arena, int status) {
  if (WIFSIGNALED(status)) return tg_arena_printf(arena, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return "could not be started";
  return tg_arena_printf(arena, "left with exit code %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

tg_bytes tg_helper_call(tg_context *ctx, tg_helper *helper, tg_bytes job, const char *what, const unsigned char key[32], tg_arena *arena) {
  int seconds = time_limit(ctx);
  for (int attempt = 0;; attempt++) {
    if (helper->pid && helper->owner != getpid()) stop(helper); // a fork of the process that started it
    if (!helper->pid) start(ctx, helper);
    limit_cpu(helper, seconds);
    double deadline = tg_seconds() + seconds;
    tg_bytes reply = {0};
    tg_wire_status status = send_quietly(helper->fd, job, deadline);
    if (status == TG_WIRE_OK) status = tg_wire_receive(helper->fd, deadline, arena, &reply);
    if (status == TG_WIRE_OK) return reply;
    if (status == TG_WIRE_TIMEOUT) {
      stop(helper);
      tg_throw(ctx, TG_FAILED, "compiling %s took longer than %d s and was stopped (TEGULA_COMPILE_SECONDS allows more); %s", what, seconds,
               keep_job(ctx, job, key, arena));
    }
    // A process that closed its end is about to die by itself: give it the time to, so that the status tells how.
    for (int i = 0; i < 100; i++) {
      siginfo_t info = {0};
      if (waitid(P_PID, (id_t)helper->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid) break;
      nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    const char *words = last_words(helper, arena);
    int end = stop(helper);
    if (status == TG_WIRE_BROKEN) tg_throw(ctx, TG_FAILED, "%s does not answer as a compile helper does", ctx->config.worker);
    if (attempt == 0) continue; // killed from outside, perhaps: once more with a fresh one
    tg_throw(ctx, TG_FAILED, "the compile of %s crashed: the helper %s%s\n%s", what, ending(arena, end), words,
             keep_job(ctx, job, key, arena));
  }
}
