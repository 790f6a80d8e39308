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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/json.h"

enum { MAX_REPLY = 1 << 16, REFERENCE_FD = TG_MEASURE_FD + 1 };

void tg_measurer_init(tg_measurer *m, tg_context *ctx, const char *const *argv, const tg_setup *setup) {
  *m = (tg_measurer){.ctx = ctx, .argv = argv, .setup = *setup, .fd = -1, .end = -1};
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
  if (m->end >= 0) close(m->end);
  if (m->pid > 0) { // not reaped before this: the group keeps its number until then
    kill(-m->pid, SIGKILL);
    kill(m->pid, SIGKILL); // when it had not yet become a group of its own
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  m->fd = m->end = -1;
  m->pid = 0;
}

// ---- one request, one reply

typedef enum reply_state { REPLY_OK, REPLY_LATE, REPLY_GONE } reply_state;

// The end of the process is waited for too: a child of its own may hold the connection open.
static reply_state receive_line(const tg_measurer *m, double until, char *line, size_t size) {
  size_t n = 0;
  while (n < size - 1) {
    double left = until - tg_seconds();
    if (left <= 0) return REPLY_LATE;
    struct pollfd watched[] = {{.fd = m->fd, .events = POLLIN}, {.fd = m->end, .events = POLLIN}};
    int ready = poll(watched, 2, left > 1000 ? 1000000 : (int)(left * 1000) + 1);
    if (ready < 0 && errno != EINTR) return REPLY_GONE;
    if (ready <= 0) continue;
    if (!watched[0].revents) return REPLY_GONE; // ended, and all that it sent has been read
    ssize_t got = recv(m->fd, line + n, size - 1 - n, 0);
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

// How a process that closed its socket ended. It is not reaped here: tg_measurer_stop ends its group first.
static void describe_end(const tg_measurer *m, char *reason, size_t size) {
  siginfo_t end = {0};
  for (int i = 0; i < 200 && !end.si_pid; i++) {
    if (i) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (waitid(P_PID, (id_t)m->pid, &end, WEXITED | WNOHANG | WNOWAIT)) end.si_pid = 0;
  }
  if (!end.si_pid) snprintf(reason, size, "the measuring process closed its connection");
  else if (end.si_code == CLD_EXITED) snprintf(reason, size, "the measuring process ended with status %d", end.si_status);
  else if (end.si_status == SIGKILL) snprintf(reason, size, "the measuring process was killed (signal 9), most likely for want of memory");
  else snprintf(reason, size, "the measuring process crashed: signal %d (%s)", end.si_status, strsignal(end.si_status));
}

// Sends a request and parses the reply. NULL: the reason is in `reason` and the process is gone. The caller deletes the object.
static cJSON *converse(tg_measurer *m, const char *request, size_t request_size, double limit, char *reason, size_t size) {
  char *line = malloc(MAX_REPLY);
  cJSON *reply = NULL;
  reply_state state = REPLY_GONE;
  if (line && tg_measure_send(m->fd, request, request_size)) state = receive_line(m, tg_seconds() + limit, line, MAX_REPLY);
  if (state == REPLY_LATE) snprintf(reason, size, "no result within %.3g seconds", limit);
  else if (state == REPLY_GONE) describe_end(m, reason, size);
  else if (!(reply = cJSON_Parse(line))) snprintf(reason, size, "the measuring process sent an unreadable reply");
  free(line);
  if (!reply) tg_measurer_stop(m);
  return reply;
}

static void write_setup(tg_text *text, const tg_setup *s) {
  const struct {
    const char *key, *value;
  } strings[] = {{"root", s->root},     {"cache_dir", s->cache_dir}, {"database", s->database},
                 {"worker", s->worker}, {"source", s->source},       {"device", s->device}};
  tg_text_add(text, "{");
  tg_json_put_string(text, "do", "setup");
  tg_json_put_int(text, "threads", s->threads);
  tg_json_put_string(text, "seed", tg_arena_printf(text->arena, "%llu", (unsigned long long)s->seed));
  tg_json_put_int(text, "reference_fd", s->reference_fd >= 0 ? REFERENCE_FD : -1);
  for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
    if (strings[i].value) tg_json_put_string(text, strings[i].key, strings[i].value);
  tg_json_put_bindings(text, "shape", s->shape);
  tg_json_put_bindings(text, "settings", s->settings);
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
  m->end = (int)syscall(SYS_pidfd_open, pid, 0); // closed on exec; the C library has it by name from 2.36 on alone
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

// ---- requests

typedef struct request {
  tg_measurer *m;
  tg_arena arena;
  tg_bindings config;
  const tg_pace *pace; // NULL: the lane IR's hash alone
  double limit;
  tg_trial *out;
} request;

void tg_trial_read(const cJSON *json, tg_trial *out) {
  const cJSON *why = cJSON_GetObjectItemCaseSensitive(json, "reason"), *lane = cJSON_GetObjectItemCaseSensitive(json, "lane");
  const cJSON *runs = cJSON_GetObjectItemCaseSensitive(json, "runs");
  *out = (tg_trial){.ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ok")),
                    .seconds = tg_doc_read_number(json, "seconds"),
                    .mad = tg_doc_read_number(json, "mad"),
                    .compile_seconds = tg_doc_read_number(json, "compile_seconds"),
                    .runs = cJSON_IsNumber(runs) ? runs->valueint : 0};
  if (cJSON_IsString(why)) snprintf(out->reason, sizeof out->reason, "%s", why->valuestring);
  if (cJSON_IsString(lane)) snprintf(out->lane, sizeof out->lane, "%s", lane->valuestring);
}

static void request_body(void *arg) {
  request *r = arg;
  tg_text text = {.arena = &r->arena};
  if (r->m->fd < 0) start(r->m, &r->arena);
  tg_text_add(&text, "{");
  tg_json_put_string(&text, "do", r->pace ? "measure" : "lane");
  tg_json_put_bindings(&text, "config", r->config);
  if (r->pace) {
    tg_json_put_bool(&text, "gate", r->pace->gate);
    tg_json_put_number(&text, "best", r->pace->best);
    tg_json_put_number(&text, "settle", r->pace->settle);
  }
  tg_text_add(&text, "}\n");
  cJSON *reply = converse(r->m, text.data, text.size, r->limit, r->out->reason, sizeof r->out->reason);
  if (reply) tg_trial_read(reply, r->out);
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
