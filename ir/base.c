// Contexts, protected calls, arenas, growing text, directories and clocks.
#include "ir/base.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// ---- errors

static void format_message(tg_context *ctx, const char *format, va_list args) {
  char text[sizeof ctx->message]; // arguments may point into ctx->message
  int n = vsnprintf(text, sizeof text, format, args);
  if (n < 0) n = 0;
  if ((size_t)n >= sizeof text) memcpy(text + sizeof text - 4, "...", 4);
  for (char *c = text; *c; c++) // names and texts of files that are quoted may hold control characters, which terminals obey
    if (((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f) *c = '?';
  memcpy(ctx->message, text, strlen(text) + 1);
}

void tg_throw(tg_context *ctx, tg_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  format_message(ctx, format, args);
  va_end(args);
  ctx->status = status;
  tg_rethrow(ctx);
}

void tg_rethrow(tg_context *ctx) {
  if (!ctx->frame) abort(); // a bug in the core: something that throws was called outside tg_protect
  longjmp(ctx->frame->jump, 1);
}

tg_status tg_protect(tg_context *ctx, void (*body)(void *arg), void *arg) {
  tg_frame frame;
  frame.outer = ctx->frame;
  ctx->frame = &frame;
  if (setjmp(frame.jump) == 0) {
    body(arg);
    ctx->frame = frame.outer;
    return TG_OK;
  }
  ctx->frame = frame.outer;
  return ctx->status;
}

tg_status tg_error(tg_context *ctx, tg_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  format_message(ctx, format, args);
  va_end(args);
  ctx->status = status;
  return status;
}

const char *tg_error_message(const tg_context *ctx) { return ctx ? ctx->message : "out of memory"; }

void tg_log(tg_context *ctx, tg_log_level level, const char *format, ...) {
  if (!ctx->config.log) return;
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  ctx->config.log(ctx->config.user, level, text);
}

// ---- memory

static void *default_allocate(void *user, void *ptr, size_t size) {
  (void)user;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, size);
}

void *tg_realloc(tg_context *ctx, void *ptr, size_t size) {
  void *p = ctx->config.allocate(ctx->config.user, ptr, size);
  if (!p && size) tg_throw(ctx, TG_NO_MEMORY, "out of memory: %zu bytes were refused", size);
  return p;
}

struct tg_arena_block {
  tg_arena_block *next;
  size_t size;
};

enum { BLOCK_FIRST = 4096, BLOCK_LARGEST = 1 << 20, BLOCK_HEADER = 16 };
_Static_assert(sizeof(tg_arena_block) <= BLOCK_HEADER, "the header keeps what follows 16-byte aligned");

void tg_arena_init(tg_arena *arena, tg_context *ctx) { *arena = (tg_arena){.ctx = ctx}; }

void tg_arena_free(tg_arena *arena) {
  for (tg_arena_block *b = arena->head, *next; b; b = next) {
    next = b->next;
    tg_realloc(arena->ctx, b, 0);
  }
  *arena = (tg_arena){.ctx = arena->ctx};
}

void *tg_arena_alloc(tg_arena *arena, size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) tg_throw(arena->ctx, TG_NO_MEMORY, "out of memory: %zu bytes were asked for", bytes);
  bytes = bytes ? (bytes + 15) & ~(size_t)15 : 16;
  if (bytes > arena->capacity - arena->used) {
    size_t size = arena->head ? arena->head->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_LARGEST) size = BLOCK_LARGEST;
    if (size < bytes) size = bytes;
    tg_arena_block *b = tg_realloc(arena->ctx, NULL, BLOCK_HEADER + size);
    b->size = size;
    b->next = arena->head;
    arena->head = b;
    arena->used = 0;
    arena->capacity = size;
  }
  void *p = (char *)arena->head + BLOCK_HEADER + arena->used;
  arena->used += bytes;
  return memset(p, 0, bytes);
}

void *tg_arena_grow(tg_arena *arena, void *array, size_t n, size_t element) {
  if (n && (n < 4 || (n & (n - 1)))) return array;
  void *p = tg_arena_alloc(arena, (n ? n * 2 : 4) * element);
  if (n) memcpy(p, array, n * element);
  return p;
}

char *tg_arena_strndup(tg_arena *arena, const char *text, size_t n) {
  char *p = tg_arena_alloc(arena, n + 1);
  memcpy(p, text, n);
  return p;
}

char *tg_arena_strdup(tg_arena *arena, const char *text) { return tg_arena_strndup(arena, text, strlen(text)); }

static char *arena_vprintf(tg_arena *arena, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (n < 0) n = 0;
  char *p = tg_arena_alloc(arena, (size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, format, args);
  return p;
}

char *tg_arena_printf(tg_arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *p = arena_vprintf(arena, format, args);
  va_end(args);
  return p;
}

// ---- text

static void text_reserve(tg_text *text, size_t n) {
  if (text->capacity - text->size > n) return;
  size_t capacity = text->capacity ? text->capacity * 2 : 128;
  while (capacity - text->size <= n) capacity *= 2;
  char *data = tg_arena_alloc(text->arena, capacity);
  if (text->size) memcpy(data, text->data, text->size);
  text->data = data;
  text->capacity = capacity;
}

void tg_text_append(tg_text *text, const char *data, size_t n) {
  text_reserve(text, n);
  memcpy(text->data + text->size, data, n);
  text->size += n;
  text->data[text->size] = 0;
}

void tg_text_add(tg_text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  text_reserve(text, 64);
  va_list again;
  va_copy(again, args);
  size_t room = text->capacity - text->size;
  int n = vsnprintf(text->data + text->size, room, format, args);
  va_end(args);
  if (n > 0 && (size_t)n >= room) {
    text_reserve(text, (size_t)n);
    vsnprintf(text->data + text->size, (size_t)n + 1, format, again);
  }
  va_end(again);
  if (n > 0) text->size += (size_t)n;
}

// ---- hash: multiply and xor-shift over 8-byte words (the finaliser of MurmurHash3 by A. Appleby, public domain, as mixing step)

static uint64_t mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdu;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53u;
  return h ^ h >> 33;
}

uint64_t tg_hash(const void *data, size_t n, uint64_t seed) {
  const unsigned char *p = data;
  uint64_t h = mix(seed ^ n ^ 0x9e3779b97f4a7c15u);
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    h = mix(h ^ w);
  }
  uint64_t w = 0;
  if (n) memcpy(&w, p, n);
  return mix(h ^ w);
}

// ---- context

static bool is_directory(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

// Directory of the running program, without a trailing slash; "" when unknown.
static char *program_directory(tg_arena *arena) {
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  while (n > 0 && path[n - 1] != '/') n--;
  return tg_arena_strndup(arena, path, n > 0 ? (size_t)n - 1 : 0);
}

// The nearest directory from `from` upwards that has kernels/ and lua/, else the place of an installation in <prefix>/bin.
static const char *find_root(tg_arena *arena, const char *from) {
  char *dir = tg_arena_strdup(arena, from);
  for (;;) {
    if (is_directory(tg_arena_printf(arena, "%s/kernels", dir)) && is_directory(tg_arena_printf(arena, "%s/lua", dir)))
      return *dir ? dir : "/";
    char *slash = strrchr(dir, '/');
    if (!slash) return tg_arena_printf(arena, "%s/../share/tegula", from);
    *slash = 0;
  }
}

static const char *find_worker(tg_arena *arena, const char *from) {
  const char *path[3] = {tg_arena_printf(arena, "%s/tegula-worker", from), tg_arena_printf(arena, "%s/../tegula-worker", from),
                         tg_arena_printf(arena, "%s/../libexec/tegula/tegula-worker", from)};
  for (int i = 0; i < 3; i++) {
    if (access(path[i], X_OK) == 0) return path[i];
  }
  return path[0];
}

static const char *find_cache(tg_arena *arena) {
  const char *dir = environment("TEGULA_CACHE");
  if (dir) return tg_arena_strdup(arena, dir);
  if ((dir = environment("XDG_CACHE_HOME"))) return tg_arena_printf(arena, "%s/tegula", dir);
  char buffer[4096];
  struct passwd entry, *found = NULL;
  if (!(dir = environment("HOME")) && getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 && found) dir = found->pw_dir;
  return tg_arena_printf(arena, "%s/.cache/tegula", dir ? dir : "");
}

static const char *given_or_environment(tg_arena *arena, const char *given, const char *variable) {
  const char *text = given ? given : environment(variable);
  return text ? tg_arena_strdup(arena, text) : NULL;
}

static void resolve_defaults(void *arg) {
  tg_context *ctx = arg;
  tg_arena *arena = &ctx->arena;
  tg_config *c = &ctx->config;
  const char *here = program_directory(arena);
  c->root = given_or_environment(arena, c->root, "TEGULA_ROOT");
  if (!c->root) c->root = find_root(arena, here);
  c->cache_dir = c->cache_dir ? tg_arena_strdup(arena, c->cache_dir) : find_cache(arena);
  c->database = given_or_environment(arena, c->database, "TEGULA_DATABASE");
  if (!c->database) c->database = tg_arena_printf(arena, "%s/tuning.jsonl", c->cache_dir);
  c->worker = given_or_environment(arena, c->worker, "TEGULA_WORKER");
  if (!c->worker) c->worker = find_worker(arena, here);
  c->pack_dir = given_or_environment(arena, c->pack_dir, "TEGULA_PACK");
  const char *pack = tg_arena_printf(arena, "%s/pack", c->root);
  if (!c->pack_dir && is_directory(pack)) c->pack_dir = pack;
  const char *fill = environment("TEGULA_FILL_PACK");
  c->fill_pack = c->pack_dir && (c->fill_pack || (fill && strcmp(fill, "0") != 0));
  c->dump_dir = given_or_environment(arena, c->dump_dir, "TEGULA_DUMP");
}

tg_status tg_context_new(const tg_config *config, tg_context **out) {
  *out = NULL;
  tg_config c = config ? *config : (tg_config){0};
  if (!c.allocate) c.allocate = default_allocate;
  tg_context *ctx = c.allocate(c.user, NULL, sizeof *ctx);
  if (!ctx) return TG_NO_MEMORY;
  memset(ctx, 0, sizeof *ctx);
  ctx->config = c;
  tg_arena_init(&ctx->arena, ctx);
  tg_status status = tg_protect(ctx, resolve_defaults, ctx);
  if (status) tg_context_free(ctx);
  else *out = ctx;
  return status;
}

// Slots go in the order of tg_slot: the Lua state first, whose objects stand on all the others.
void tg_context_free(tg_context *ctx) {
  if (!ctx) return;
  for (size_t i = 0; i < sizeof ctx->slots / sizeof *ctx->slots; i++) {
    if (ctx->slot_free[i]) ctx->slot_free[i](ctx, ctx->slots[i]);
    ctx->slots[i] = NULL;
    ctx->slot_free[i] = NULL;
  }
  tg_arena_free(&ctx->arena);
  ctx->config.allocate(ctx->config.user, ctx, 0);
}

// ---- directories and clocks

void tg_make_parents(const char *file) {
  char path[4096];
  snprintf(path, sizeof path, "%s", file);
  for (char *p = path; *p; p++) {
    if (*p != '/' || p == path) continue;
    *p = 0;
    mkdir(path, 0777);
    *p = '/';
  }
}

static double read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double tg_seconds(void) { return read_clock(CLOCK_MONOTONIC); }

double tg_processor_seconds(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
