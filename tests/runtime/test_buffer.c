// Buffers: in the place of arrays, launched again while their contents change, placed and shared, freed in any order, wrong calls.
#include "tegula/tegula.h"
#include "cuda/use_fake.h"
#include "test.h"

#if defined(__SANITIZE_ADDRESS__)
// More memory than there is has to be refused, not reported.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
#endif

// O = X * a + Y's row of I; S is scratch: the columns' sums of X, added to O's first row
static const char script[] =
    "local tg <const> = require 'tegula'\n"
    "local f32 = tg.f32\n"
    "return tg.kernel('mixed', function(k)\n"
    "  local M, N = k.dim 'M', k.dim 'N'\n"
    "  local X, I, Y = k.input('X', f32, M, N), k.input('I', tg.i32, M, { index = M }), k.inout('Y', f32, M)\n"
    "  local a = k.scalar('a', f32)\n"
    "  local O, P = k.output('O', f32, M, N), k.output('P', f32, M, { optional = true })\n"
    "  local S = k.workspace('S', f32, N, { zero = true })\n"
    "  local C = k.workspace('C', tg.i32, 3)\n"
    "  k.blocks(N:by(16), function(n)\n"
    "    S[{n}] = S[{n}] + M:by(4):fold(tg.zeros(f32, 1, 16), function(s, m) return s + X[{m, n}]:rsum(1) end):reshape(16)\n"
    "    C[{n:first() // 16}] = 1\n"
    "  end)\n"
    "  k.blocks(M:by(4), N:by(16), function(m, n)\n"
    "    O[{m, n}] = X[{m, n}] * a + Y[{I[{m}]}]:reshape(4, 1) + tg.where(m:index():eq(0):reshape(4, 1), S[{n}]:reshape(1, 16), 0)\n"
    "  end)\n"
    "  k.blocks(M:by(4), function(m)\n"
    "    P[{m}] = Y[{m}]\n"
    "    Y[{m}] = Y[{m}] + 1\n"
    "  end)\n"
    "end)\n";

enum { M = 5, N = 33 };
static tg_context *ctx;
static tg_source *source;
static tg_dtype f32, i32;

static tg_array *array(tg_dtype dtype, int rank, int64_t a, int64_t b) {
  tg_array *out = NULL;
  CHECK(tg_array_new(ctx, dtype, rank, (int64_t[]){a, b}, &out) == TG_OK);
  return out;
}

static void fill(tg_array *x, int seed) {
  for (int64_t i = 0; i < (int64_t)(x->bytes / 4); i++)
    tg_array_set(x, i, x->dtype == i32 ? (double)((i * 3 + seed) % M) : (double)((i * 7 + seed) % 31) - 11);
}

// From the definition; every number is exact in f32.
static void right(const tg_array *o, const tg_array *x, const tg_array *index, int adds, double a) {
  int wrong = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int r = 0; r < M && i == 0; r++) sum += tg_array_get(x, r * N + j);
      wrong += tg_array_get(o, i * N + j) != tg_array_get(x, i * N + j) * a + tg_array_get(index, i) + adds + sum;
    }
  CHECKF(!wrong, "%d wrong", wrong);
}

static void refuse(tg_status status, const char *says) {
  CHECKF(status == TG_INVALID && strstr(tg_error_message(ctx), says), "status %d, '%s' instead of '%s'", status, tg_error_message(ctx),
         says);
}

enum { X, I, Y, A, O, NARGS };

typedef struct set {
  tg_argument at[NARGS];
  tg_buffer *x, *i, *y, *o;
} set;

static set make(tg_device *device) {
  set s;
  CHECK(tg_buffer_new(device, f32, 2, (int64_t[]){M, N}, &s.x) == TG_OK);
  CHECK(tg_buffer_new(device, i32, 1, (int64_t[]){M}, &s.i) == TG_OK);
  CHECK(tg_buffer_new(device, f32, 1, (int64_t[]){M}, &s.y) == TG_OK);
  CHECK(tg_buffer_declare(device, f32, 2, (int64_t[]){M, N}, &s.o) == TG_OK);
  const tg_argument at[] = {{.name = "X", .buffer = s.x},
                            {.name = "I", .buffer = s.i},
                            {.name = "Y", .buffer = s.y},
                            {.name = "a", .number = 2},
                            {.name = "O", .buffer = s.o}};
  memcpy(s.at, at, sizeof at);
  return s;
}

static void release(set *s) { tg_buffer_free(s->x), tg_buffer_free(s->i), tg_buffer_free(s->y), tg_buffer_free(s->o); }

static void replayed(tg_device *device) {
  set s = make(device);
  tg_array *x = array(f32, 2, M, N), *o = array(f32, 2, M, N), *index = array(i32, 1, M, 0), *y = array(f32, 1, M, 0);
  for (int i = 0; i < M; i++) tg_array_set(y, i, i);
  CHECK(tg_buffer_write(s.y, y) == TG_OK);
  const tg_run_options options = {.threads = 1, .check_indices = true, .lent_workspace = true};
  tg_launchable *l;
  CHECKF(tg_prepare(device, source, &options, NARGS, s.at, &l) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(tg_launchable_workspace(l) == 192 + 64, "%zu", tg_launchable_workspace(l));
  refuse(tg_launchable_run(l, 1, NULL), "was given no memory for its 256 bytes of workspaces");
  tg_buffer *memory, *lent, *small;
  CHECK(tg_buffer_new(device, tg_dtype_find("i8"), 1, (int64_t[]){4096}, &memory) == TG_OK);
  CHECK(tg_buffer_view(memory, 64, tg_dtype_find("i8"), 1, (int64_t[]){256}, &lent) == TG_OK);
  CHECK(tg_buffer_view(memory, 64, tg_dtype_find("i8"), 1, (int64_t[]){255}, &small) == TG_OK);
  refuse(tg_launchable_lend(l, small), "needs 256 aligned bytes for its workspaces; the buffer has 255");
  CHECKF(tg_launchable_lend(l, lent) == TG_OK, "%s", tg_error_message(ctx));
  refuse(tg_launchable_run(l, 1, NULL), "O has no memory");
  for (int run = 0; run < 3; run++) { // each time elsewhere, with other contents and another scalar
    CHECKF(tg_buffer_place(s.o, memory, 1024 + 64 * (size_t)run) == TG_OK, "%s", tg_error_message(ctx));
    fill(x, run), fill(index, run);
    CHECK(tg_buffer_write(s.x, x) == TG_OK && tg_buffer_write(s.i, index) == TG_OK);
    CHECK(tg_launchable_scalar(l, "a", run + 1) == TG_OK);
    CHECKF(tg_launchable_run(l, 1, NULL) == TG_OK, "%s", tg_error_message(ctx));
    CHECK(tg_buffer_read(s.o, o) == TG_OK);
    right(o, x, index, run, run + 1);
  }
  tg_array_set(index, 2, M);
  CHECK(tg_buffer_write(s.i, index) == TG_OK);
  refuse(tg_launchable_run(l, 1, NULL), "I[2] is 5, but these indices lie in 0 ... 4");
  tg_array_set(index, 2, 0);
  CHECK(tg_buffer_write(s.i, index) == TG_OK);
  CHECK(tg_buffer_place(s.o, s.x, 0) == TG_OK);
  refuse(tg_launchable_run(l, 1, NULL), "O of kernel 'mixed' is written to memory that X lies in");
  refuse(tg_launchable_scalar(l, "b", 1), "has no scalar 'b'");
  CHECK_STR(tg_launchable_config_source(l), "default");
  double flops, bytes;
  CHECKF(tg_launchable_work(l, source, &flops, &bytes) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(bytes == 4.0 * (2 * M * N + M + 2 * M + M), "%g bytes", bytes); // P, which may be dropped, counts too
  tg_buffer_free(lent), tg_buffer_free(memory), tg_buffer_free(small);   // the launchable keeps what it needs
  CHECK(tg_buffer_place(s.o, NULL, 0) == TG_OK);
  refuse(tg_launchable_run(l, 1, NULL), "O has no memory");
  tg_launchable_free(l);
  release(&s);
  tg_array_free(ctx, x), tg_array_free(ctx, o), tg_array_free(ctx, index), tg_array_free(ctx, y);
}

// Arrays and buffers in one call, an output made, one declared.
static void mixed(tg_device *device) {
  set s = make(device);
  tg_array *x = array(f32, 2, M, N), *index = array(i32, 1, M, 0), *y = array(f32, 1, M, 0);
  fill(x, 4), fill(index, 1);
  for (int i = 0; i < M; i++) tg_array_set(y, i, i);
  const tg_run_options options = {.check_indices = true};
  tg_argument args[] = {
      {.name = "X", .array = x}, {.name = "I", .buffer = s.i}, {.name = "Y", .array = y}, {.name = "a", .number = 1}, {.name = "O"}};
  CHECK(tg_buffer_write(s.i, index) == TG_OK);
  CHECKF(tg_run(device, source, &options, NARGS, args, true) == TG_OK, "%s", tg_error_message(ctx));
  right(args[O].array, x, index, 0, 1);
  CHECK(tg_array_get(y, 3) == 4);
  tg_array_free(ctx, args[O].array);
  args[O].array = NULL;
  CHECKF(tg_declare_outputs(device, source, &options, NARGS, args) == TG_OK, "%s", tg_error_message(ctx));
  const int64_t *dim;
  CHECK(args[O].buffer && tg_buffer_dims(args[O].buffer, &dim) == 2 && dim[0] == M && dim[1] == N &&
        tg_buffer_dtype(args[O].buffer) == f32);
  tg_buffer_free(args[O].buffer);
  args[O].buffer = NULL;
  tg_buffer *o;
  CHECK(tg_buffer_new(device, f32, 2, (int64_t[]){M, N}, &o) == TG_OK);
  args[O].buffer = o;
  tg_array *back = array(f32, 2, M, N);
  CHECKF(tg_run(device, source, &options, NARGS, args, true) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(!args[O].array && tg_buffer_read(o, back) == TG_OK);
  right(back, x, index, 1, 1);
  tg_buffer_free(o);
  tg_array_free(ctx, back);
  args[X].buffer = s.x;
  refuse(tg_run(device, source, &options, NARGS, args, true), "X is given as an array and as a buffer");
  args[X].array = NULL;
  args[O].buffer = s.x;
  refuse(tg_run(device, source, &options, NARGS, args, true), "O of kernel 'mixed' is written to memory that X lies in");
  args[O].buffer = s.y;
  refuse(tg_run(device, source, &options, NARGS, args, true), "O has shape [5], but kernel 'mixed' declares O[M, N]");
  tg_device *other;
  CHECK(tg_device_open(ctx, tg_device_name(device), &other) == TG_OK);
  args[O].buffer = NULL;
  refuse(tg_run(other, source, &options, NARGS, args, true), "X of kernel 'mixed' is a buffer of another device");
  refuse(tg_buffer_write(s.x, y), "the buffer is f32[5x33], the tensor f32[5]: they must agree");
  tg_device_close(other);
  release(&s);
  tg_array_free(ctx, x), tg_array_free(ctx, index), tg_array_free(ctx, y);
}

static void made(tg_device *device) {
  tg_buffer *b, *part, *declared;
  refuse(tg_buffer_new(device, f32, 2, (int64_t[]){3, -1}, &b), "axis 1 of the buffer is -1");
  refuse(tg_buffer_new(device, f32, 2, (int64_t[]){INT64_MAX, 2}, &b), "larger than any memory");
  refuse(tg_buffer_new(device, 99, 1, (int64_t[]){1}, &b), "no dtype 99");
  refuse(tg_buffer_new(device, f32, 9, (int64_t[9]){1}, &b), "at most 8 axes");
  CHECK(tg_buffer_new(device, f32, 1, (int64_t[]){INT64_MAX / 64}, &b) == TG_NO_MEMORY);
  CHECK(tg_buffer_new(device, f32, 2, (int64_t[]){0, INT64_MAX}, &b) == TG_OK && tg_buffer_bytes(b) == 0);
  tg_buffer_free(b);
  CHECK(tg_buffer_new(device, f32, 2, (int64_t[]){4, 8}, &b) == TG_OK);
  refuse(tg_buffer_view(b, 2, f32, 1, (int64_t[]){1}, &part), "starts at byte 2, no multiple of 4");
  refuse(tg_buffer_view(b, 64, f32, 1, (int64_t[]){17}, &part), "leads outside of the buffer f32[4x8] of 128 bytes");
  refuse(tg_buffer_view(b, 132, f32, 1, (int64_t[]){0}, &part), "leads outside");
  CHECK(tg_buffer_view(b, 32, f32, 1, (int64_t[]){24}, &part) == TG_OK && !tg_buffer_aligned(part));
  refuse(tg_buffer_place(part, b, 0), "has a place already");
  CHECK(tg_buffer_declare(device, f32, 1, (int64_t[]){16}, &declared) == TG_OK);
  refuse(tg_buffer_place(declared, part, 0), "no multiple of 64");
  CHECKF(tg_buffer_place(declared, part, 32) == TG_OK, "%s", tg_error_message(ctx));
  refuse(tg_buffer_place(declared, part, 96), "64 bytes from byte 96 on lead outside of a buffer of 96 bytes");
  tg_buffer *inside;
  CHECK(tg_buffer_view(declared, 0, f32, 1, (int64_t[]){16}, &inside) == TG_OK);
  refuse(tg_buffer_place(declared, inside, 0), "in itself or in a part of itself");
  tg_buffer_free(b), tg_buffer_free(part); // still held by what lies in them
  tg_array *x = array(f32, 1, 16, 0);
  fill(x, 3);
  CHECKF(tg_buffer_write(inside, x) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(tg_buffer_read(declared, x) == TG_OK && tg_array_get(x, 1) == -1);
  tg_buffer_free(declared), tg_buffer_free(inside);
  tg_array_free(ctx, x);
}

// The device goes first.
static void closed(const char *name) {
  tg_device *device;
  CHECK(tg_device_open(ctx, name, &device) == TG_OK);
  set s = make(device);
  tg_buffer *part;
  CHECK(tg_buffer_place(s.o, s.x, 0) == TG_OK);
  CHECK(tg_buffer_new(device, f32, 2, (int64_t[]){M, N}, &part) == TG_OK && tg_buffer_place(s.o, part, 0) == TG_OK);
  tg_launchable *l;
  CHECKF(tg_prepare(device, source, &(tg_run_options){0}, NARGS, s.at, &l) == TG_OK, "%s", tg_error_message(ctx));
  tg_array *y = array(f32, 1, M, 0);
  tg_device_close(device);
  refuse(tg_launchable_run(l, 1, NULL), "is closed");
  refuse(tg_buffer_read(s.y, y), "is closed");
  tg_buffer *none;
  refuse(tg_buffer_view(s.x, 0, f32, 1, (int64_t[]){1}, &none), "is closed");
  release(&s);
  tg_buffer_free(part);
  tg_launchable_free(l);
  tg_array_free(ctx, y);
}

int main(void) {
  char dir[] = "/tmp/tegula-buffer-XXXXXX", file[64], command[64];
  if (!mkdtemp(dir)) return 1;
  snprintf(file, sizeof file, "%s/mixed.lua", dir);
  FILE *f = fopen(file, "wb");
  fputs(script, f);
  fclose(f);
  tg_config config = {.root = ROOT_DIR, .cache_dir = dir, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  f32 = tg_dtype_find("f32"), i32 = tg_dtype_find("i32");
  CHECKF(tg_source_load(ctx, file, &source) == TG_OK, "%s", tg_error_message(ctx));
  use_fake();
  static const char *const devices[] = {"interp", "cpu", "cuda:0"};
  for (int i = 0; i < 3; i++) {
    tg_device *device;
    CHECK(tg_device_open(ctx, devices[i], &device) == TG_OK);
    replayed(device);
    mixed(device);
    made(device);
    closed(devices[i]);
    tg_device_close(device);
  }
  tg_source_free(source);
  tg_context_free(ctx);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  CHECK(system(command) == 0);
  return test_done();
}
