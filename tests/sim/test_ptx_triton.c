// PTX that Triton made of our own kernels (tests/golden/make_triton_ptx.py): cp.async in three stages, ldmatrix, mma, reductions.
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

#define ARRAY(a)  {#a, a, sizeof a, false, 0}
#define EMPTY(a)  {#a, a, sizeof a, true, 0}
#define NUMBER(v) {NULL, NULL, 0, false, v}

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
  // Each of its waits and barriers taken out: the wait, and a barrier of the loop, must be missed.
  static char changed[1 << 17];
  int missed = 0, tried = 0;
  for (const char *at = text; (at = strstr(at, "cp.async.wait_group")); at++, tried++) {
    memcpy(changed, text, sizeof text);
    memcpy(changed + (at - text), "//", 2);
    ptx_call less = call;
    less.text = changed;
    missed += ptx_run(&less) == TG_OK && ptx_result.nfindings > 0;
  }
  CHECKF(tried > 0 && missed > 0, "%d of %d waits are missed when they are not there", missed, tried);
  tried = missed = 0;
  for (const char *at = text; (at = strstr(at, "bar.sync")); at++, tried++) {
    memcpy(changed, text, sizeof text);
    memcpy(changed + (at - text), "//", 2);
    ptx_call less = call;
    less.text = changed;
    missed += ptx_run(&less) == TG_OK && ptx_result.nfindings > 0;
  }
  CHECKF(tried > 0 && missed > 0, "%d of %d barriers are missed when they are not there", missed, tried);
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
  tg_context_free(ptx_ctx);
  return test_done();
}
