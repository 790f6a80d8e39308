#include "targets/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

// ---- frames

static tg_wire_status wait_for(int fd, short events, double deadline) {
  for (;;) {
    int timeout = -1;
    if (deadline > 0) {
      const double left = deadline - tg_seconds();
      if (left <= 0) return TG_WIRE_TIMEOUT;
      timeout = left > 3600 ? 3600 * 1000 : (int)(left * 1000) + 1;
    }
    struct pollfd p = {.fd = fd, .events = events};
    const int n = poll(&p, 1, timeout);
    if (n > 0) return TG_WIRE_OK; // errors and hang-ups show in the read or write that follows
    if (n < 0 && errno != EINTR && errno != EAGAIN) return TG_WIRE_CLOSED;
  }
}

static tg_wire_status write_all(int fd, const void *data, size_t size, double deadline) {
  const char *p = data;
  while (size) {
    tg_wire_status status = wait_for(fd, POLLOUT, deadline);
    if (status) return status;
    // At most PIPE_BUF bytes at a time: what poll promises not to block.
    const ssize_t n = write(fd, p, size < 4096 || deadline <= 0 ? size : 4096);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return TG_WIRE_CLOSED;
    p += n, size -= (size_t)n;
  }
  return TG_WIRE_OK;
}

static tg_wire_status read_all(int fd, void *data, size_t size, double deadline) {
  char *p = data;
  while (size) {
    tg_wire_status status = wait_for(fd, POLLIN, deadline);
    if (status) return status;
    const ssize_t n = read(fd, p, size);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return TG_WIRE_CLOSED;
    p += n, size -= (size_t)n;
  }
  return TG_WIRE_OK;
}

static void put_u64(unsigned char out[8], uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_u64(const unsigned char in[8]) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v |= (uint64_t)in[i] << 8 * i;
  return v;
}

tg_wire_status tg_wire_send(int fd, tg_bytes payload, double deadline) {
  unsigned char head[8];
  put_u64(head, payload.size);
  tg_wire_status status = write_all(fd, head, sizeof head, deadline);
  return status ? status : write_all(fd, payload.data, payload.size, deadline);
}

tg_wire_status tg_wire_receive(int fd, double deadline, tg_arena *arena, tg_bytes *payload) {
  unsigned char head[8];
  tg_wire_status status = read_all(fd, head, sizeof head, deadline);
  if (status) return status;
  const uint64_t size = get_u64(head);
  if (size > TG_WIRE_LIMIT) return TG_WIRE_BROKEN;
  payload->size = (size_t)size;
  payload->data = tg_arena_alloc(arena, payload->size + 1);
  return read_all(fd, payload->data, payload->size, deadline);
}

// ---- payloads

static void add_u64(tg_text *text, uint64_t v) {
  unsigned char bytes[8];
  put_u64(bytes, v);
  tg_text_append(text, (const char *)bytes, sizeof bytes);
}

static void add_bytes(tg_text *text, const void *data, size_t size) {
  add_u64(text, size);
  if (size) tg_text_append(text, data, size);
}

static void add_string(tg_text *text, const char *s) { add_bytes(text, s ? s : "", s ? strlen(s) : 0); }

static void add_bindings(tg_text *text, const tg_bindings *bindings) {
  add_u64(text, (uint64_t)bindings->n);
  for (int i = 0; i < bindings->n; i++) {
    add_string(text, bindings->at[i].name);
    add_string(text, bindings->at[i].value);
  }
}

typedef struct wire_reader {
  tg_context *ctx;
  tg_arena *arena;
  const unsigned char *p;
  size_t left;
} wire_reader;

static uint64_t take_u64(wire_reader *r) {
  if (r->left < 8) tg_throw(r->ctx, TG_FAILED, "the message of the compile helper ends in the middle of a number");
  const uint64_t v = get_u64(r->p);
  r->p += 8, r->left -= 8;
  return v;
}

static tg_bytes take_bytes(wire_reader *r) { // copied, a NUL behind
  const uint64_t size = take_u64(r);
  if (size > r->left)
    tg_throw(r->ctx, TG_FAILED, "the message of the compile helper ends in the middle of a string of %llu bytes", (unsigned long long)size);
  tg_bytes bytes = {tg_arena_alloc(r->arena, (size_t)size + 1), (size_t)size};
  if (size) memcpy(bytes.data, r->p, (size_t)size);
  r->p += size, r->left -= (size_t)size;
  return bytes;
}

static const char *take_string(wire_reader *r) { return take_bytes(r).data; }

static tg_bindings take_bindings(wire_reader *r) {
  const uint64_t n = take_u64(r);
  if (n > r->left / 16) tg_throw(r->ctx, TG_FAILED, "the message of the compile helper claims %llu settings", (unsigned long long)n);
  tg_binding *at = TG_NEWN(r->arena, tg_binding, n + 1);
  for (uint64_t i = 0; i < n; i++) {
    at[i].name = take_string(r);
    at[i].value = take_string(r);
  }
  return (tg_bindings){(int)n, at};
}

static void expect_end(wire_reader *r) {
  if (r->left) tg_throw(r->ctx, TG_FAILED, "the message of the compile helper has %zu bytes too many", r->left);
}

tg_bytes tg_wire_encode_job(tg_arena *arena, const tg_job *job) {
  tg_text text = {.arena = arena};
  add_string(&text, arena->ctx->config.dump_dir);
  add_bytes(&text, job->ir, job->ir_size);
  add_string(&text, job->target);
  add_string(&text, job->machine);
  add_string(&text, job->want);
  add_u64(&text, (uint64_t)job->variant);
  add_bindings(&text, &job->settings);
  add_bindings(&text, &job->statics);
  return (tg_bytes){text.data, text.size};
}

void tg_wire_decode_job(tg_context *ctx, tg_arena *arena, tg_bytes payload, tg_job *job) {
  wire_reader r = {ctx, arena, payload.data, payload.size};
  const char *dump = take_string(&r);
  const char *old = ctx->config.dump_dir ? ctx->config.dump_dir : "";
  if (strcmp(dump, old)) ctx->config.dump_dir = *dump ? tg_arena_strdup(&ctx->arena, dump) : NULL;
  const tg_bytes ir = take_bytes(&r);
  job->ir = ir.data, job->ir_size = ir.size;
  job->target = take_string(&r);
  job->machine = take_string(&r);
  if (!*job->machine) job->machine = NULL;
  job->want = take_string(&r);
  job->variant = (int)take_u64(&r);
  job->settings = take_bindings(&r);
  job->statics = take_bindings(&r);
  expect_end(&r);
}

tg_bytes tg_wire_encode_product(tg_arena *arena, const tg_product *product) {
  tg_text text = {.arena = arena};
  uint64_t seconds;
  memcpy(&seconds, &product->seconds, sizeof seconds);
  add_u64(&text, TG_OK);
  add_bytes(&text, product->bytes.data, product->bytes.size);
  add_bytes(&text, product->record, product->record_size);
  add_u64(&text, (uint64_t)product->variants);
  add_u64(&text, seconds);
  return (tg_bytes){text.data, text.size};
}

tg_bytes tg_wire_encode_error(tg_arena *arena, tg_status status, const char *message) {
  tg_text text = {.arena = arena};
  add_u64(&text, (uint64_t)status);
  add_string(&text, message);
  return (tg_bytes){text.data, text.size};
}

void tg_wire_decode_reply(tg_context *ctx, tg_arena *arena, tg_bytes payload, tg_product *product) {
  wire_reader r = {ctx, arena, payload.data, payload.size};
  const uint64_t status = take_u64(&r);
  if (status != TG_OK) {
    const char *message = take_string(&r);
    expect_end(&r);
    tg_throw(ctx, status == TG_INVALID || status == TG_NO_MEMORY ? (tg_status)status : TG_FAILED, "%s", message);
  }
  product->bytes = take_bytes(&r);
  const tg_bytes record = take_bytes(&r);
  product->record = record.data, product->record_size = record.size;
  product->variants = (int)take_u64(&r);
  const uint64_t seconds = take_u64(&r);
  memcpy(&product->seconds, &seconds, sizeof seconds);
  expect_end(&r);
}
