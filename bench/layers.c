// tegula-layers PEER: tegula's side of the benches of attention and of mixtures of experts, as a process with a line protocol that
// bench/run.py drives. Weights are packed once, in `prepare`.
//
//   peers     mla_decode | moe | gate | dispatch | combine, each with [:P=V,…], settings of that one kernel
//             moe: gate, dispatch, quantize_rows, grouped_gemm_fp8, swiglu_quantize, grouped_gemm_fp8, combine
//   stdin     prepare N=V …          ->  "ready" or "error WHY"; threads, and of mla_decode: heads, batch, keys;
//                                        else: tokens, experts, hidden, inter, logits (a file, [tokens, experts] f32)
//             run R                  ->  "SECONDS": least of R runs; CPU time of the thread with one thread, wall time else
//             steps                  ->  "NAME SECONDS …": the last run, kernel by kernel
//             quit
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gemm_host.h"

enum { MOST = 48, FLUSH = 96 << 20, SMALL = 8 /* tokens whose experts may stay in a cache from run to run */ };
enum { GROUPS = 8, KEPT = 4, TOPK = 8 };

typedef struct layers {
  const char *kernel;
  tg_context *ctx;
  tg_device *device;
  tg_binding settings[16], words[16]; // of the peer; of `prepare`
  int nsettings, nwords;
  tg_array *arrays[MOST];
  int narrays, nsteps;
  struct {
    const char *name;
    tg_launchable *launchable;
    double seconds;
  } steps[8];
  unsigned char *flush; // read before each run, so that small layers find their weights in memory, as the layers of a model do
  uint64_t seed;
  int threads;
  char prepared[512]; // the line that `words` points into
} layers;

static int64_t word(const layers *l, const char *name) {
  for (int i = 0; i < l->nwords; i++)
    if (!strcmp(l->words[i].name, name)) return atoll(l->words[i].value);
  return 1;
}

static const char *text(const layers *l, const char *name) {
  for (int i = 0; i < l->nwords; i++)
    if (!strcmp(l->words[i].name, name)) return l->words[i].value;
  return "";
}

// ---- arrays; NULL when memory ran out, which the kernel that is given it reports

static tg_array *keep(layers *l, tg_array *array) {
  if (array && l->narrays < MOST) l->arrays[l->narrays++] = array;
  return array;
}

static tg_array *array_of(layers *l, const char *dtype, int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3) {
  tg_array *array;
  return tg_array_new(l->ctx, tg_dtype_find(dtype), rank, (int64_t[]){d0, d1, d2, d3}, &array) ? NULL : keep(l, array);
}

static tg_array *numbers(layers *l, tg_array *array) { // bf16, roughly standard normal
  if (!array) return NULL;
  for (size_t i = 0; i < array->bytes / 2; i++) ((uint16_t *)array->data)[i] = host_to_bf16((float)host_normal(&l->seed));
  return array;
}

static tg_array *codes(layers *l, tg_array *array) { // e4m3, any finite code below 1.875
  if (!array) return NULL;
  for (size_t i = 0; i < array->bytes / 8; i++) ((uint64_t *)array->data)[i] = host_random(&l->seed) & 0xbfbfbfbfbfbfbfbfu;
  return array;
}

static tg_array *scales(layers *l, tg_array *array) {
  if (!array) return NULL;
  for (size_t i = 0; i < array->bytes / 4; i++) ((float *)array->data)[i] = 0.5f + (float)(host_random(&l->seed) >> 40) * 0x1p-24f;
  return array;
}

// ---- steps

// One more kernel, run once, so that its outputs, which must be among the arguments, are there for the next.
static tg_status step(layers *l, const char *name, tg_bindings settings, int nargs, const tg_argument *args) {
  tg_source *source;
  tg_status status = tg_source_load(l->ctx, name, &source);
  if (status) return status;
  tg_launchable *launchable = NULL;
  tg_run_options options = {.settings = settings, .threads = l->threads};
  status = tg_prepare(l->device, source, &options, nargs, args, &launchable);
  if (!status) status = tg_launchable_run(launchable, 1, NULL);
  if (!status) status = tg_launchable_fetch(launchable);
  tg_source_free(source);
  if (status) {
    tg_launchable_free(launchable);
    return status;
  }
  l->steps[l->nsteps].name = name;
  l->steps[l->nsteps++].launchable = launchable;
  return TG_OK;
}

static void drop_steps(layers *l) {
  for (int i = 0; i < l->nsteps; i++) tg_launchable_free(l->steps[i].launchable);
  l->nsteps = 0;
}

static void release(layers *l) {
  drop_steps(l);
  for (int i = 0; i < l->narrays; i++) tg_array_free(l->ctx, l->arrays[i]);
  l->narrays = 0;
}

static tg_bindings own_settings(layers *l) { return (tg_bindings){l->nsettings, l->settings}; }

static tg_status prepare_mla(layers *l) {
  int64_t N = word(l, "heads"), B = word(l, "batch"), T = word(l, "keys"), W = (T + 63) / 64, P = B * W;
  tg_array *q = numbers(l, array_of(l, "bf16", 4, B, 1, N, 576)), *kv = numbers(l, array_of(l, "bf16", 3, P, 64, 576, 0));
  tg_array *table = array_of(l, "i32", 2, B, W, 0, 0), *lens = array_of(l, "i32", 1, B, 0, 0, 0);
  if (!table || !lens) return TG_FAILED;
  int32_t *page = table->data;
  for (int64_t i = 0; i < P; i++) { // pages in no order, as a cache that has served for a while holds them
    int64_t j = (int64_t)(host_random(&l->seed) % (uint64_t)(i + 1));
    page[i] = page[j], page[j] = (int32_t)i;
  }
  for (int64_t b = 0; b < B; b++) ((int32_t *)lens->data)[b] = (int32_t)T;
  tg_argument args[] = {{.name = "Q", .array = q},
                        {.name = "KV", .array = kv},
                        {.name = "table", .array = table},
                        {.name = "lens", .array = lens},
                        {.name = "scale", .number = 0.0417},
                        {.name = "O", .array = array_of(l, "bf16", 4, B, 1, N, 512)},
                        {.name = "LSE"}};
  return step(l, "mla_decode", own_settings(l), 7, args);
}

// Weights of all experts from pack_weights, as an array; the rows they were made of are gone.
static tg_status packed(layers *l, int64_t E, int64_t N, int64_t K, tg_array **out) {
  tg_array *rows;
  tg_status status = tg_array_new(l->ctx, tg_dtype_find("e4m3"), 3, (int64_t[]){E, N, K}, &rows);
  if (status) return status;
  codes(l, rows);
  tg_source *source;
  char experts[16];
  snprintf(experts, sizeof experts, "%lld", (long long)E);
  tg_argument args[] = {{.name = "B", .array = rows}, {.name = "Bp"}};
  status = tg_source_load(l->ctx, "pack_weights", &source);
  if (!status) {
    tg_run_options options = {.settings = {1, &(tg_binding){"experts", experts}}};
    status = tg_run(l->device, source, &options, 2, args, true);
    tg_source_free(source);
  }
  tg_array_free(l->ctx, rows);
  *out = args[1].array;
  return status;
}

static tg_status product(layers *l, int64_t E, int64_t N, int64_t K, tg_array *A, tg_array *As, tg_array *offsets, tg_array *C) {
  tg_array *weights;
  tg_status status = packed(l, E, N, K, &weights);
  if (status) return status;
  tg_argument args[] = {{.name = "A", .array = A},
                        {.name = "As", .array = As},
                        {.name = "B", .array = weights},
                        {.name = "Bs", .array = scales(l, array_of(l, "f32", 3, E, (N + 127) / 128, (K + 127) / 128, 0))},
                        {.name = "offsets", .array = offsets},
                        {.name = "C", .array = C}};
  status = step(l, "grouped_gemm_fp8", (tg_bindings){1, &(tg_binding){"packed", "1"}}, 6, args);
  tg_array_free(l->ctx, weights); // the step holds its own copy
  return status;
}

// The experts' part between dispatch and combine.
static tg_status prepare_experts(layers *l, tg_array *Xp, tg_array *offsets, tg_array *Y) {
  int64_t S = Xp->dim[0], E = word(l, "experts"), H = word(l, "hidden"), I = word(l, "inter");
  tg_array *xq = array_of(l, "e4m3", 2, S, H, 0, 0), *xs = array_of(l, "f32", 2, S, (H + 127) / 128, 0, 0);
  tg_array *gate_up = array_of(l, "bf16", 2, S, 2 * I, 0, 0);
  tg_array *iq = array_of(l, "e4m3", 2, S, I, 0, 0), *is = array_of(l, "f32", 2, S, (I + 127) / 128, 0, 0);
  tg_bindings none = {0};
  tg_status status = step(l, "quantize_rows", none, 3,
                          (tg_argument[]){{.name = "X", .array = Xp}, {.name = "Q", .array = xq}, {.name = "S", .array = xs}});
  if (!status) status = product(l, E, 2 * I, H, xq, xs, offsets, gate_up);
  if (!status)
    status = step(l, "swiglu_quantize", none, 3,
                  (tg_argument[]){{.name = "G", .array = gate_up}, {.name = "Q", .array = iq}, {.name = "S", .array = is}});
  return status ? status : product(l, E, H, I, iq, is, offsets, Y);
}

static tg_status prepare_moe(layers *l) {
  int64_t T = word(l, "tokens"), E = word(l, "experts"), H = word(l, "hidden");
  tg_array *logits;
  tg_status status = tg_npy_read(l->ctx, text(l, "logits"), -1, &logits);
  if (status) return status;
  keep(l, logits);
  tg_array *idx = array_of(l, "i32", 2, T, TOPK, 0, 0), *w = array_of(l, "f32", 2, T, TOPK, 0, 0);
  tg_bindings none = {0};
  bool all = !strcmp(l->kernel, "moe");
  status = step(l, "moe_gate", !strcmp(l->kernel, "gate") ? own_settings(l) : none, 4,
                (tg_argument[]){{.name = "L", .array = logits},
                                {.name = "bias", .array = array_of(l, "f32", 1, E, 0, 0, 0)},
                                {.name = "idx", .array = idx},
                                {.name = "w", .array = w}});
  if (status || !strcmp(l->kernel, "gate")) return status;
  if (!all) drop_steps(l);
  tg_array *x = numbers(l, array_of(l, "bf16", 2, T, H, 0, 0)), *xp = array_of(l, "bf16", 2, T * TOPK, H, 0, 0);
  tg_array *offsets = array_of(l, "i32", 1, E + 1, 0, 0, 0), *src = array_of(l, "i32", 1, T * TOPK, 0, 0, 0);
  char experts[16];
  snprintf(experts, sizeof experts, "%lld", (long long)E);
  tg_binding dispatch[17] = {{"experts", experts}};
  int n = 1;
  for (int i = 0; i < l->nsettings && !strcmp(l->kernel, "dispatch"); i++) dispatch[n++] = l->settings[i];
  status = step(l, "moe_dispatch", (tg_bindings){n, dispatch}, 5,
                (tg_argument[]){{.name = "X", .array = x},
                                {.name = "idx", .array = idx},
                                {.name = "Xp", .array = xp},
                                {.name = "offsets", .array = offsets},
                                {.name = "src", .array = src}});
  if (status || !strcmp(l->kernel, "dispatch")) return status;
  if (!all) drop_steps(l);
  tg_array *y = all ? array_of(l, "bf16", 2, T * TOPK, H, 0, 0) : xp;
  if (all && (status = prepare_experts(l, xp, offsets, y))) return status;
  return step(l, "moe_combine", all ? none : own_settings(l), 4,
              (tg_argument[]){{.name = "Y", .array = y},
                              {.name = "src", .array = src},
                              {.name = "w", .array = w},
                              {.name = "O", .array = array_of(l, "bf16", 2, T, H, 0, 0)}});
}

// ---- runs

static const char *prepare(layers *l) {
  release(l);
  l->seed = 1;
  l->threads = (int)word(l, "threads");
  tg_status status = !strcmp(l->kernel, "mla_decode") ? prepare_mla(l) : prepare_moe(l);
  return status ? tg_error_message(l->ctx) : NULL;
}

static void flush(layers *l) {
  if (!l->flush && (l->flush = malloc(FLUSH))) memset(l->flush, 1, FLUSH);
  const volatile unsigned char *p = l->flush;
  for (size_t i = 0; p && i < FLUSH; i += 64) (void)p[i];
}

static double now(const layers *l) { return l->threads == 1 ? host_cpu_seconds() : host_seconds(); }

static bool run_once(layers *l, double *seconds) {
  if (!strcmp(l->kernel, "moe") && word(l, "tokens") <= SMALL) flush(l);
  double start = now(l), last = start;
  for (int i = 0; i < l->nsteps; i++) {
    if (tg_launchable_run(l->steps[i].launchable, 1, NULL)) return false;
    double t = now(l);
    l->steps[i].seconds = t - last, last = t;
  }
  *seconds = last - start;
  return true;
}

static void run(layers *l, int repeat) {
  double best = 1e30, t;
  for (int i = 0; i < repeat; i++) {
    if (!run_once(l, &t)) {
      printf("error %s\n", tg_error_message(l->ctx));
      return;
    }
    if (t < best) best = t;
  }
  printf("%.9g\n", best);
}

// Splits `list` at `separators` into N=V; false: one of them is not of that form.
static bool read_words(char *list, const char *separators, int most, tg_binding *out, int *n) {
  char *save = NULL;
  *n = 0;
  for (char *item = strtok_r(list, separators, &save); item; item = strtok_r(NULL, separators, &save)) {
    char *equals = strchr(item, '=');
    if (!equals || *n == most) return false;
    *equals = 0;
    out[(*n)++] = (tg_binding){item, equals + 1};
  }
  return true;
}

static const char *open_peer(layers *l, char *peer) {
  static const char *const known[] = {"mla_decode", "moe", "gate", "dispatch", "combine"};
  char *settings = strchr(peer, ':');
  if (settings) *settings++ = 0;
  if (settings && !read_words(settings, ",", 16, l->settings, &l->nsettings)) return "settings are P=V,…";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(peer, known[i])) l->kernel = known[i];
  if (!l->kernel) return "no such peer";
  if (tg_context_new(NULL, &l->ctx)) return "out of memory";
  return tg_device_open(l->ctx, "cpu", &l->device) ? tg_error_message(l->ctx) : NULL;
}

static void obey(layers *l, const char *why, char *line) {
  int repeat;
  if (!strncmp(line, "prepare ", 8)) {
    const char *error = why;
    snprintf(l->prepared, sizeof l->prepared, "%s", line + 8);
    if (!error && !read_words(l->prepared, " \n", 16, l->words, &l->nwords)) error = "prepare wants N=V …";
    if (!error && (error = prepare(l))) release(l);
    printf(error ? "error %s\n" : "ready\n", error);
  } else if (sscanf(line, "run %d", &repeat) == 1 && l->nsteps) {
    run(l, repeat);
  } else if (!strncmp(line, "steps", 5)) {
    for (int i = 0; i < l->nsteps; i++) printf("%s %.9g%c", l->steps[i].name, l->steps[i].seconds, i + 1 < l->nsteps ? ' ' : '\n');
  } else {
    printf("error not understood\n");
  }
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: tegula-layers PEER\n");
    return 2;
  }
  static layers l;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *why = open_peer(&l, argv[1]);
  char line[512];
  while (fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4)) obey(&l, why, line);
  if (l.ctx) release(&l);
  if (l.device) tg_device_close(l.device);
  tg_context_free(l.ctx);
  free(l.flush);
  return 0;
}
