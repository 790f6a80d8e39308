// PTX that Triton made of our own kernels (tests/golden/make_triton_ptx.py): cp.async in three stages, ldmatrix, mma, reductions; for sm_90
// wgmma on what cp.async and what tensor copies brought.
#include "sim/ptx.h"

static char text[1 << 17];

static void read_text(const char *name) {
  char path[512];
  snprintf(path, sizeof path, TESTS_DIR "/golden/ptx/%s.ptx", name);
  FILE *f = fopen(path, "rb");
  if (!f) abort();
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
}

#define ARRAY(a)  {#a, a, sizeof a, false, 0, NULL}
#define EMPTY(a)  {#a, a, sizeof a, true, 0, NULL}
#define NUMBER(v) {NULL, NULL, 0, false, v, NULL}

// With one of these instructions taken out of the text at a time: at least one of them must be missed.
static void missing(const ptx_call *call, const char *what) {
  static char changed[1 << 17];
  int missed = 0, tried = 0;
  for (const char *at = text; (at = strstr(at, what)); at++, tried++) {
    memcpy(changed, text, sizeof text);
    char *line = changed + (at - text); // its predicate goes too
    while (line > changed && line[-1] != '\n') line--;
    memcpy(line, "//", 2);
    ptx_call less = *call;
    less.text = changed;
    missed += ptx_run(&less) == TG_OK && ptx_result.nfindings > 0;
  }
  CHECKF(tried > 0 && missed > 0, "%d of %d '%s' are missed when they are not there", missed, tried, what);
}

// Halves and whole numbers, whose products and sums f32 holds exactly.
static void matmul(int threads) {
  enum { M = 100, N = 72, K = 144 };
  static uint16_t a[M * K], b[N * K];
  static float c[M * N];
  static int x[M * K], y[N * K];
  for (int i = 0; i < M * K; i++) {
    x[i] = i * 7 % 11 - 5;
    const float f = (float)x[i] / 2;
    memcpy(&a[i], (const char *)&f + 2, 2);
  }
  for (int i = 0; i < N * K; i++) {
    y[i] = i * 5 % 13 - 6;
    const float f = (float)y[i];
    memcpy(&b[i], (const char *)&f + 2, 2);
  }
  read_text("triton_matmul");
  const ptx_call call = {.text = text,
                         .entry = "matmul",
                         .grid = {2, 2},
                         .block = {128},
                         .shared = 16384,
                         .threads = threads,
                         .nargs = 8,
                         .args = {ARRAY(a), ARRAY(b), EMPTY(c), NUMBER(M), NUMBER(N), NUMBER(K), NUMBER(0), NUMBER(0)}};
  PTX_CLEAN(&call);
  int wrong = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      int s = 0;
      for (int k = 0; k < K; k++) s += x[i * K + k] * y[j * K + k];
      wrong += c[i * N + j] != (float)s / 2;
    }
  CHECKF(wrong == 0, "%d", wrong);
  CHECK(ptx_result.counts.instrs[SIM_CLASS_MATRIX] > 0 && ptx_result.counts.instrs[SIM_CLASS_ASYNC] > 0);
  missing(&call, "cp.async.wait_group");
  missing(&call, "bar.sync");
}

// ---- sm_90

enum { M = 128, N = 192, K = 256 };
static _Alignas(64) uint16_t a90[M * K], b90[N * K];
static _Alignas(64) float c90[M * N];

static int fill_90(int i, int which) { return which ? i * 5 % 13 - 6 : i * 7 % 11 - 5; }

static void fill_halves(uint16_t *out, int n, int which) {
  for (int i = 0; i < n; i++) {
    const float f = (float)fill_90(i, which) / 2;
    memcpy(&out[i], (const char *)&f + 2, 2);
  }
}

static void check_90(const ptx_call *call) {
  fill_halves(a90, M * K, 0), fill_halves(b90, N * K, 1);
  memset(c90, 0, sizeof c90);
  PTX_CLEAN(call);
  int wrong = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      int s = 0;
      for (int k = 0; k < K; k++) s += fill_90(i * K + k, 0) * fill_90(j * K + k, 1);
      wrong += c90[i * N + j] != (float)s / 4;
    }
  CHECKF(wrong == 0, "%d", wrong);
  CHECK(ptx_result.counts.instrs[SIM_CLASS_MATRIX] > 0);
}

static void plain_90(void) {
  read_text("triton_plain_90");
  const ptx_call call = {.text = text,
                         .entry = "plain",
                         .grid = {M / 64, N / 64},
                         .block = {128},
                         .shared = 49152,
                         .nargs = 7,
                         .args = {ARRAY(a90), ARRAY(b90), EMPTY(c90), NUMBER(N), NUMBER(K), NUMBER(0), NUMBER(0)}};
  check_90(&call);
  missing(&call, "cp.async.wait_group");
  missing(&call, "wgmma.wait_group");
  missing(&call, "fence.proxy.async");
}

// A descriptor passes its map, then extents and strides that the code does not look at.
static void tensors_90(int threads) {
  read_text("triton_tensors_90");
  sim_tensor maps[3] = {{.type = PTX_bf16, .dims = {K, M}, .strides = {0, 2 * K}, .box = {64, 64}},
                        {.type = PTX_bf16, .dims = {K, N}, .strides = {0, 2 * K}, .box = {64, 64}},
                        {.type = PTX_f32, .dims = {N, M}, .strides = {0, 4 * N}, .box = {32, 64}}};
  for (int i = 0; i < 3; i++) maps[i].rank = 2, maps[i].swizzle = 128, maps[i].step[0] = maps[i].step[1] = 1;
  ptx_call call = {
      .text = text, .entry = "tensors", .grid = {M / 64, N / 64}, .block = {128}, .shared = 49176, .threads = threads, .nargs = 18};
  for (int i = 0; i < 18; i++) call.args[i] = (ptx_arg)NUMBER(0);
  call.args[0] = (ptx_arg)ARRAY(a90), call.args[5] = (ptx_arg)ARRAY(b90), call.args[10] = (ptx_arg)EMPTY(c90), call.args[15].value = K;
  for (int i = 0; i < 3; i++) call.args[5 * i].map = &maps[i];
  check_90(&call);
  missing(&call, "mbarrier.try_wait");
  missing(&call, "mbarrier.init");
  missing(&call, "wgmma.wait_group");
  missing(&call, "fence.proxy.async");
}

// Each block makes its three maps in shared memory and copies them to scratch memory of its own.
static void made_90(void) {
  enum { BLOCKS = M / 64 * N / 64 };
  static _Alignas(128) uint8_t scratch[BLOCKS * 384];
  read_text("triton_made_90");
  const ptx_call call = {.text = text,
                         .entry = "made",
                         .grid = {M / 64, N / 64},
                         .block = {128},
                         .shared = 49176,
                         .nargs = 8,
                         .args = {ARRAY(a90), ARRAY(b90), EMPTY(c90), NUMBER(M), NUMBER(N), NUMBER(K), EMPTY(scratch), NUMBER(0)}};
  check_90(&call);
  missing(&call, "tensormap.cp_fenceproxy");
  missing(&call, "tensormap.replace");
}

static void softmax(void) {
  enum { ROWS = 3, COLUMNS = 200 };
  static float x[ROWS * COLUMNS], y[ROWS * COLUMNS];
  for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (float)(i * 37 % 101) / 16 - 3;
  read_text("triton_softmax");
  PTX_CLEAN((&(ptx_call){.text = text,
                         .entry = "softmax",
                         .grid = {ROWS},
                         .block = {64},
                         .shared = 64,
                         .nargs = 5,
                         .args = {ARRAY(x), EMPTY(y), NUMBER(COLUMNS), NUMBER(0), NUMBER(0)}}));
  for (int r = 0; r < ROWS; r++) {
    double total = 0;
    for (int i = 0; i < COLUMNS; i++) total += exp(x[r * COLUMNS + i]);
    int wrong = 0;
    for (int i = 0; i < COLUMNS; i++) {
      const double want = exp(x[r * COLUMNS + i]) / total;
      wrong += fabs(y[r * COLUMNS + i] - want) > 1e-5 * want;
    }
    CHECKF(wrong == 0, "row %d: %d", r, wrong);
  }
}

int main(void) {
  matmul(1), matmul(2), softmax();
  plain_90(), tensors_90(1), tensors_90(2), made_90();
  tg_context_free(ptx_ctx);
  return test_done();
}
