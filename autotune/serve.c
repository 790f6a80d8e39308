// The measuring process: takes requests as JSON lines on a socket, prepares, checks and times candidates through a backend.
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/json.h"

enum { MAX_REQUEST = 1 << 20, MAX_RUNS = 1000, MIN_RUNS = 5 };

typedef struct server {
  int fd;
  tg_context *ctx;
  const tg_backend *backend;
  void *state; // of the backend, NULL before setup
  bool prepared;
} server;

static const char *string_of(tg_arena *arena, const cJSON *json, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
  return cJSON_IsString(item) ? tg_arena_strdup(arena, item->valuestring) : NULL;
}

// ---- requests; each throws what goes wrong

typedef struct call {
  server *s;
  tg_arena *arena;
  const cJSON *request;
  tg_text *reply;
} call;

static tg_bindings bindings_of(call *c, const char *name) {
  tg_bindings read = tg_doc_read_bindings(c->arena, cJSON_GetObjectItemCaseSensitive(c->request, name));
  return read.n < 0 ? (tg_bindings){0} : read;
}

static void set_up(call *c) {
  tg_arena *keep = &c->s->ctx->arena;
  const cJSON *json = c->request;
  const char *seed = string_of(c->arena, json, "seed");
  tg_setup setup = {.root = string_of(keep, json, "root"),
                    .cache_dir = string_of(keep, json, "cache_dir"),
                    .database = string_of(keep, json, "database"),
                    .worker = string_of(keep, json, "worker"),
                    .source = string_of(keep, json, "source"),
                    .device = string_of(keep, json, "device"),
                    .threads = (int)tg_doc_read_number(json, "threads"),
                    .seed = seed ? strtoull(seed, NULL, 10) : 0,
                    .reference_fd = (int)tg_doc_read_number(json, "reference_fd")};
  setup.shape = tg_doc_read_bindings(keep, cJSON_GetObjectItemCaseSensitive(json, "shape"));
  setup.settings = tg_doc_read_bindings(keep, cJSON_GetObjectItemCaseSensitive(json, "settings"));
  c->s->state = c->s->backend->open(c->s->ctx, &setup);
  tg_text_add(c->reply, "{\"ok\":true}\n");
}

static void lane(call *c) {
  uint64_t hash = c->s->backend->lane(c->s->state, bindings_of(c, "config"));
  if (hash) tg_text_add(c->reply, "{\"ok\":true,\"lane\":\"%016llx\"}\n", (unsigned long long)hash);
  else tg_text_add(c->reply, "{\"ok\":true}\n");
}

static bool settled(double *times, int n, double best, double spent, double settle) {
  double low = times[0];
  for (int i = 1; i < n; i++) low = fmin(low, times[i]);
  if (best > 0 && low > 2 * best) return true; // no candidate of interest, however noisy the machine
  if (n >= MIN_RUNS) {
    double sorted[MAX_RUNS];
    memcpy(sorted, times, sizeof *times * (size_t)n);
    double median = tg_median(sorted, n);
    // standard error of the median is about 1.25 * 1.48 * mad / sqrt(n) for Gaussian noise: within half a per cent is enough
    if (1.85 * tg_mad(sorted, n, median) / sqrt(n) < 0.005 * median && (n >= 20 || spent > 0.1 * settle)) return true;
  }
  return n >= MAX_RUNS || (spent > settle && (n >= 3 || spent > 4 * settle));
}

static void measure(call *c) {
  server *s = c->s;
  const tg_backend *backend = s->backend;
  double times[MAX_RUNS], best = tg_doc_read_number(c->request, "best"), settle = tg_doc_read_number(c->request, "settle");
  double compile = backend->prepare(s->state, bindings_of(c, "config"));
  s->prepared = true;
  backend->run(s->state, 1, times); // warms caches and pages; not counted
  const char *wrong = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c->request, "gate")) ? backend->check(s->state) : NULL;
  if (wrong) tg_throw(s->ctx, TG_FAILED, "%s", wrong);
  double begin = tg_seconds();
  int n = 0;
  do {
    backend->run(s->state, 1, times + n);
    n++;
  } while (!settled(times, n, best, tg_seconds() - begin, settle));
  double median = tg_median(times, n);
  tg_text_add(c->reply, "{\"ok\":true");
  tg_json_put_number(c->reply, "seconds", median);
  tg_json_put_number(c->reply, "mad", tg_mad(times, n, median));
  tg_json_put_int(c->reply, "runs", n);
  tg_json_put_number(c->reply, "compile_seconds", compile);
  tg_text_add(c->reply, "}\n");
}

static void handle(void *arg) {
  call *c = arg;
  const char *what = string_of(c->arena, c->request, "do");
  if (what && !strcmp(what, "setup") && !c->s->state) set_up(c);
  else if (what && !strcmp(what, "lane") && c->s->state) lane(c);
  else if (what && !strcmp(what, "measure") && c->s->state) measure(c);
  else tg_throw(c->s->ctx, TG_INVALID, "the measuring process does not understand '%s' here", what ? what : "");
}

static void let_go(void *arg) {
  server *s = arg;
  s->prepared = false;
  s->backend->release(s->state);
}

// ---- the loop

bool tg_measure_send(int fd, const char *data, size_t size) {
  while (size) {
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

static bool serve_line(server *s, const char *line) {
  tg_arena arena;
  tg_arena_init(&arena, s->ctx);
  tg_text reply = {.arena = &arena};
  cJSON *request = cJSON_Parse(line);
  call c = {s, &arena, request, &reply};
  if (tg_protect(s->ctx, handle, &c) != TG_OK) {
    reply = (tg_text){.arena = &arena};
    tg_text_add(&reply, "{\"ok\":false");
    tg_json_put_string(&reply, "reason", tg_error_message(s->ctx));
    tg_text_add(&reply, "}\n");
  }
  if (s->prepared) tg_protect(s->ctx, let_go, s);
  cJSON_Delete(request);
  bool sent = tg_measure_send(s->fd, reply.data, reply.size);
  tg_arena_free(&arena);
  return sent;
}

// Reads one line into `line`; false at the end of the connection or when it does not fit.
static bool read_line(int fd, char *line, size_t size) {
  size_t n = 0;
  while (n < size - 1) {
    ssize_t got = recv(fd, line + n, size - 1 - n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    n += (size_t)got;
    if (line[n - 1] == '\n') {
      line[n - 1] = 0;
      return true;
    }
  }
  return false;
}

// The directories of the setup line, which the context needs before it can be made.
static tg_status context_for(const char *line, tg_context **out) {
  cJSON *setup = cJSON_Parse(line);
  tg_config config = {.root = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setup, "root")),
                      .cache_dir = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setup, "cache_dir")),
                      .database = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setup, "database")),
                      .worker = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(setup, "worker"))};
  tg_status status = tg_context_new(&config, out);
  cJSON_Delete(setup);
  return status;
}

int tg_measure_serve(int fd, const tg_backend *backend) {
  server s = {.fd = fd, .backend = backend};
  char *line = malloc(MAX_REQUEST);
  if (!line || !read_line(fd, line, MAX_REQUEST) || context_for(line, &s.ctx) != TG_OK) {
    free(line);
    return 1;
  }
  while (serve_line(&s, line) && read_line(fd, line, MAX_REQUEST)) continue;
  free(line);
  if (s.state) backend->close(s.state);
  tg_context_free(s.ctx);
  return 0;
}
