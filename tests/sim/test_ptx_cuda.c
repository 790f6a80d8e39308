// PTX that nvcc made of small CUDA kernels (tests/golden/ptx/cuda.cu), with the results that C gives, on one and on several threads.
#include "sim/ptx.h"

static char *text;

static void read_text(void) {
  FILE *f = fopen(TESTS_DIR "/golden/ptx/cuda.ptx", "rb");
  if (!f) abort();
  text = calloc(1, 1 << 20);
  CHECK(fread(text, 1, (1 << 20) - 1, f) > 1000);
  fclose(f);
}

enum { N = 1000 };
static float x[N], y[N];
static int u[N], out[N];

#define ARRAY(a)  {#a, a, sizeof a, false, 0}
#define EMPTY(a)  {#a, a, sizeof a, true, 0}
#define NUMBER(v) {NULL, NULL, 0, false, v}

static uint64_t float_bits(float f) {
  uint32_t b;
  memcpy(&b, &f, 4);
  return b;
}

static void saxpy(int threads) {
  for (int i = 0; i < N; i++) x[i] = (float)i / 4, y[i] = (float)(N - i);
  PTX_CLEAN((&(ptx_call){.text = text,
                         .entry = "saxpy",
                         .grid = {4},
                         .block = {256},
                         .threads = threads,
                         .nargs = 4,
                         .args = {ARRAY(x), ARRAY(y), NUMBER(float_bits(2.5f)), NUMBER(N)}}));
  int wrong = 0;
  for (int i = 0; i < N; i++) wrong += y[i] != 2.5f * ((float)i / 4) + (float)(N - i);
  CHECK(wrong == 0);
  // A count that is too large runs over the end.
  PTX_FINDS((&(ptx_call){.text = text,
                         .entry = "saxpy",
                         .grid = {4},
                         .block = {256},
                         .threads = threads,
                         .nargs = 4,
                         .args = {ARRAY(x), ARRAY(y), NUMBER(float_bits(2.5f)), NUMBER(N + 1)}}),
            "thread (232,0,0) of block (3,0,0): it reads 4 bytes at byte 4000 of ");
}

static void collatz(int threads) {
  for (int i = 0; i < N; i++) u[i] = i + 1;
  PTX_CLEAN((&(ptx_call){.text = text,
                         .entry = "collatz",
                         .grid = {8},
                         .block = {128},
                         .threads = threads,
                         .nargs = 3,
                         .args = {ARRAY(u), EMPTY(out), NUMBER(N)}}));
  int wrong = 0;
  for (int i = 0; i < N; i++) {
    int s = 0;
    for (long long v = u[i]; v != 1; s++) v = v & 1 ? 3 * v + 1 : v / 2;
    wrong += s != out[i];
  }
  CHECK(wrong == 0);
}

static void sum(int threads) {
  float total[1] = {0};
  for (int i = 0; i < N; i++) x[i] = (float)i;
  PTX_CLEAN((&(ptx_call){.text = text,
                         .entry = "sum",
                         .grid = {3},
                         .block = {96},
                         .threads = threads,
                         .nargs = 3,
                         .args = {ARRAY(x), ARRAY(total), NUMBER(N)}}));
  CHECKF(total[0] == N * (N - 1) / 2, "%g", total[0]); // whole numbers below 2^24: exact in any order
}

static void histogram(int threads) {
  unsigned bins[64] = {0}, want[64] = {0};
  for (int i = 0; i < N; i++) u[i] = i * i, want[(i * i) & 63]++;
  const ptx_call call = {.text = text,
                         .entry = "histogram",
                         .grid = {1},
                         .block = {256},
                         .shared = 256,
                         .threads = threads,
                         .nargs = 3,
                         .args = {ARRAY(u), ARRAY(bins), NUMBER(N)}};
  PTX_CLEAN(&call);
  CHECK(!memcmp(bins, want, sizeof bins));
  ptx_call raced = call;
  raced.entry = "histogram_race";
  PTX_FINDS(&raced, "race: ");
  raced.shared = 128;
  PTX_FINDS(&raced, "of the shared memory, which has 128");
}

static void matmul(int threads) {
  enum { M = 37 };
  static float a[M * M], b[M * M], c[M * M];
  for (int i = 0; i < M * M; i++) a[i] = (float)(i % 7 - 3), b[i] = (float)(i % 5 - 2);
  PTX_CLEAN((&(ptx_call){.text = text,
                         .entry = "matmul",
                         .grid = {3, 3},
                         .block = {16, 16},
                         .threads = threads,
                         .nargs = 4,
                         .args = {ARRAY(a), ARRAY(b), EMPTY(c), NUMBER(M)}}));
  int wrong = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < M; j++) {
      float s = 0;
      for (int k = 0; k < M; k++) s += a[i * M + k] * b[k * M + j];
      wrong += c[i * M + j] != s;
    }
  CHECK(wrong == 0);
}

static int truncated(float f) { // to bf16's 8 bits, to nearest even, as a float's bits
  uint32_t b = (uint32_t)float_bits(f);
  b += 0x7fff + (b >> 16 & 1);
  return (int)(b & 0xffff0000);
}

static void odds(int threads) {
  enum { L = 32 };
  int in[L], got[4 * L], ballot = 0, total = 0, wrong = 0;
  float f[2 * L];
  static const int table[4] = {3, -4, 5, 7};
  for (int i = 0; i < L; i++) in[i] = i * 37 - 300, ballot |= (int)((in[i] & 1u) << i), total += in[i] & 255;
  PTX_CLEAN((&(ptx_call){
      .text = text, .entry = "odds", .block = {L}, .threads = threads, .nargs = 4, .args = {ARRAY(in), EMPTY(got), EMPTY(f), NUMBER(L)}}));
  for (int i = 0; i < L; i++) {
    const int v = in[i], k = v & 7;
    const int r = k == 0 ? 11 : k == 1 ? v * 3 : k == 2 ? -v : k == 3 ? v ^ 0x55 : k == 4 ? v / 5 : k == 5 ? v % 7 : in[(i + k) % L];
    wrong += got[4 * i] != r + table[i & 3];
    wrong += got[4 * i + 1] != __builtin_popcount((unsigned)v) + (v ? __builtin_clz((unsigned)v) : 32) * 64;
    wrong += got[4 * i + 2] != ballot || got[4 * i + 3] != total;
    const double want = exp(-0.125 * i) + sqrt(i + 1.0) / (i + 2.0);
    CHECKF(fabs(f[2 * i] - want) <= 4e-7 * want, "%d: %.9g, want %.9g", i, f[2 * i], want);
    const int bits = truncated((float)v * 0.11f);
    float bf16;
    memcpy(&bf16, &bits, 4);
    CHECKF(fabs(f[2 * i + 1] - ((double)v * 0.37 + bf16)) <= fabs(v * 0.37) * 0x1p-11 + 1e-4, "%d: %.9g", i, f[2 * i + 1]);
  }
  CHECKF(wrong == 0, "%d", wrong);
}

int main(void) {
  read_text();
  for (int threads = 1; threads <= 3; threads += 2)
    saxpy(threads), collatz(threads), sum(threads), histogram(threads), matmul(threads), odds(threads);
  free(text);
  tg_context_free(ptx_ctx);
  return test_done();
}
