// Asking for measurements: a process of its own runs the candidates, so that one that crashes, hangs or eats the memory costs itself alone.
// The process is started by fork and exec, not by fork alone: neither vendors' drivers nor OpenMP's thread pools survive a fork, and the
// caller may have used both. It stays alive, with its compiler warm and its inputs made, until a candidate brings it down.
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "autotune/autotune.h"

enum { MAX_REPLY = 1 << 16, REFERENCE_FD = TG_MEASURE_FD + 1 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void tg_measurer_init(tg_measurer *m, tg_context *ctx, const char *const *argv, const tg_setup *setup) {
  *m = (tg_measurer){.ctx = ctx, .argv = argv, .setup = *setup, .fd = -1};
}

// ---- starting and ending the process

static void limit_memory(void) {
#if !defined(__SANITIZE_ADDRESS__) // whose shadow memory is larger than any limit
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) {
    rlim_t bytes = (rlim_t)pages / 10 * 8 * (rlim_t)page;
    setrlimit(RLIMIT_DATA, &(struct rlimit){bytes, bytes});
  }
#endif
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); // when memory does run out, this process is the one to go
  if (fd >= 0) {
    ssize_t ignored = write(fd, "1000", 4);
    (void)ignored;
    close(fd);
  }
}

// In the child, between fork and exec: system calls only.
_Noreturn static void become(const tg_measurer *m, int socket, pid_t parent) {
  setpgid(0, 0); // its helpers end with it, and the terminal's interrupt goes to the caller alone
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  limit_memory();
  int from = fcntl(socket, F_DUPFD, 16), reference = m->setup.reference_fd >= 0 ? fcntl(m->setup.reference_fd, F_DUPFD, 16) : -1;
  int null = open("/dev/null", O_RDONLY);
  if (from < 0 || null < 0) _exit(127);
  dup2(null, 0);
  dup2(2, 1); // what a kernel prints must not reach the caller's own output
  dup2(from, TG_MEASURE_FD);
  if (reference >= 0) dup2(reference, REFERENCE_FD);
  close_range(reference >= 0 ? REFERENCE_FD + 1 : TG_MEASURE_FD + 1, ~0u, 0);
  execv(m->argv[0], (char *const *)m->argv);
  _exit(127);
}

void tg_measurer_stop(tg_measurer *m) {
  if (m->fd >= 0) close(m->fd);
  if (m->pid > 0) {
    kill(-m->pid, SIGKILL);
    kill(m->pid, SIGKILL); // when it had not yet become a group of its own
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  m->fd = -1;
  m->pid = 0;
}

// ---- one request, one reply

typedef enum reply_state { REPLY_OK, REPLY_LATE, REPLY_GONE } reply_state;

static bool send_all(int fd, const char *data, size_t size) {
  while (size) {
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

static reply_state receive_line(int fd, double until, char *line, size_t size) {
  size_t n = 0;
  while (n < size - 1) {
    double left = until - now();
    if (left <= 0) return REPLY_LATE;
    int ready = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, left > 1000 ? 1000000 : (int)(left * 1000) + 1);
    if (ready < 0 && errno != EINTR) return REPLY_GONE;
    if (ready <= 0) continue;
    ssize_t got = recv(fd, line + n, size - 1 - n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return REPLY_GONE;
    n += (size_t)got;
    if (line[n - 1] == '\n') {
      line[n - 1] = 0;
      return REPLY_OK;
    }
  }
  return REPLY_GONE;
}

// How a process that closed its socket ended; it is reaped here.
static void describe_end(tg_measurer *m, char *reason, size_t size) {
  int status = 0;
  for (int i = 0; i < 200; i++) {
    pid_t got = waitpid(m->pid, &status, WNOHANG);
    if (got == m->pid) {
      m->pid = 0;
      break;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
  if (m->pid) snprintf(reason, size, "the measuring process closed its connection");
  else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    snprintf(reason, size, "the measuring process was killed (signal 9), most likely for want of memory");
  else if (WIFSIGNALED(status))
    snprintf(reason, size, "the measuring process crashed: signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else snprintf(reason, size, "the measuring process ended with status %d", WEXITSTATUS(status));
}

// Sends a request and parses the reply. NULL: the reason is in `reason` and the process is gone. The caller deletes the object.
static cJSON *converse(tg_measurer *m, const char *request, size_t request_size, double limit, char *reason, size_t size) {
  char *line = malloc(MAX_REPLY);
  cJSON *reply = NULL;
  reply_state state = REPLY_GONE;
  if (line && send_all(m->fd, request, request_size)) state = receive_line(m->fd, now() + limit, line, MAX_REPLY);
  if (state == REPLY_LATE) snprintf(reason, size, "no result within %.3g seconds", limit);
  else if (state == REPLY_GONE) describe_end(m, reason, size);
  else if (!(reply = cJSON_Parse(line))) snprintf(reason, size, "the measuring process sent an unreadable reply");
  free(line);
  if (!reply) tg_measurer_stop(m);
  return reply;
}

static void add_string(tg_text *text, const char *name, const char *value) {
  if (!value) return;
  tg_text_add(text, ",\"%s\":", name);
  tg_doc_quote(text, value);
}

static void write_setup(tg_text *text, const tg_setup *s) {
  tg_text_add(text, "{\"do\":\"setup\",\"threads\":%d,\"seed\":\"%llu\",\"reference_fd\":%d", s->threads, (unsigned long long)s->seed,
              s->reference_fd >= 0 ? REFERENCE_FD : -1);
  add_string(text, "root", s->root);
  add_string(text, "cache_dir", s->cache_dir);
  add_string(text, "database", s->database);
  add_string(text, "worker", s->worker);
  add_string(text, "source", s->source);
  add_string(text, "device", s->device);
  tg_text_add(text, ",\"shape\":");
  tg_doc_bindings(text, s->shape);
  tg_text_add(text, ",\"settings\":");
  tg_doc_bindings(text, s->settings);
  tg_text_add(text, "}\n");
}

static void start(tg_measurer *m, tg_arena *arena) {
  enum { SETUP_SECONDS = 120 };
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
    tg_throw(m->ctx, TG_FAILED, "cannot make a socket pair: %s", strerror(errno));
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) become(m, ends[1], parent);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    tg_throw(m->ctx, TG_FAILED, "cannot start the measuring process: %s", strerror(errno));
  }
  m->fd = ends[0];
  m->pid = pid;
  tg_text text = {.arena = arena};
  char reason[512] = "";
  write_setup(&text, &m->setup);
  cJSON *reply = converse(m, text.data, text.size, SETUP_SECONDS, reason, sizeof reason);
  const cJSON *why = cJSON_GetObjectItemCaseSensitive(reply, "reason");
  bool ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "ok"));
  if (cJSON_IsString(why)) snprintf(reason, sizeof reason, "%s", why->valuestring);
  cJSON_Delete(reply);
  if (ok) return;
  tg_measurer_stop(m);
  tg_throw(m->ctx, TG_FAILED, "the measuring program %s did not start: %s", m->argv[0], reason);
}

static double number_of(const cJSON *reply, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(reply, name);
  return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

// ---- requests

typedef struct request {
  tg_measurer *m;
  tg_arena arena;
  tg_bindings config;
  const tg_pace *pace; // NULL: the lane IR's hash alone
  double limit;
  tg_trial *out;
} request;

static void read_reply(const cJSON *reply, tg_trial *out) {
  const cJSON *why = cJSON_GetObjectItemCaseSensitive(reply, "reason"), *lane = cJSON_GetObjectItemCaseSensitive(reply, "lane");
  out->ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "ok"));
  out->seconds = number_of(reply, "seconds");
  out->mad = number_of(reply, "mad");
  out->compile_seconds = number_of(reply, "compile_seconds");
  out->runs = (int)number_of(reply, "runs");
  if (cJSON_IsString(why)) snprintf(out->reason, sizeof out->reason, "%s", why->valuestring);
  if (cJSON_IsString(lane)) snprintf(out->lane, sizeof out->lane, "%s", lane->valuestring);
}

static void request_body(void *arg) {
  request *r = arg;
  tg_text text = {.arena = &r->arena};
  if (r->m->fd < 0) start(r->m, &r->arena);
  tg_text_add(&text, "{\"do\":\"%s\",\"config\":", r->pace ? "measure" : "lane");
  tg_doc_bindings(&text, r->config);
  if (r->pace) {
    tg_text_add(&text, ",\"gate\":%s,\"best\":", r->pace->gate ? "true" : "false");
    tg_doc_number(&text, r->pace->best);
    tg_text_add(&text, ",\"settle\":");
    tg_doc_number(&text, r->pace->settle);
  }
  tg_text_add(&text, "}\n");
  cJSON *reply = converse(r->m, text.data, text.size, r->limit, r->out->reason, sizeof r->out->reason);
  if (reply) read_reply(reply, r->out);
  cJSON_Delete(reply);
}

static void ask(request *r) {
  *r->out = (tg_trial){0};
  tg_arena_init(&r->arena, r->m->ctx);
  tg_status status = tg_protect(r->m->ctx, request_body, r);
  tg_arena_free(&r->arena);
  if (status != TG_OK) tg_rethrow(r->m->ctx);
}

void tg_measurer_lane(tg_measurer *m, tg_bindings config, double limit, tg_trial *out) {
  ask(&(request){.m = m, .config = config, .limit = limit, .out = out});
}

void tg_measurer_run(tg_measurer *m, tg_bindings config, const tg_pace *pace, tg_trial *out) {
  ask(&(request){.m = m, .config = config, .pace = pace, .limit = pace->limit, .out = out});
}
