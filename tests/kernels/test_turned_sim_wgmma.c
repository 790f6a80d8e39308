// Products by warp groups of operands that lie in memory with their rows along k, brought by the copy unit, on the simulated GPU: either
// and both, tiles split along m and along n, tails of k, rows and columns that stick out, swizzles of 64 and 128 bytes.
#include <stdlib.h>
#include <string.h>

#include "kernels/judge.h"
#include "kernels/model.h"

static oracle_random randomness = {3};

// in[r][c] to out[c][r]
static uint16_t *turned(const tg_array *in, int64_t rows, int64_t columns) {
  uint16_t *out = malloc((size_t)(rows * columns) * sizeof *out + 1);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) out[c * rows + r] = ((const uint16_t *)in->data)[r * columns + c];
  return out;
}

static void product(const char *tiles, bool ta, bool tb, int64_t M, int64_t N, int64_t K) {
  char settings[96];
  snprintf(settings, sizeof settings, "ta=%d,tb=%d,%s", ta, tb, tiles);
  verdict v = VERDICT(TESTS_DIR "/kernels/turned.lua", settings, "%lld x %lld x %lld", (long long)M, (long long)N, (long long)K);
  tg_array *A = ta ? ARRAY("bf16", K, M) : ARRAY("bf16", M, K), *B = tb ? ARRAY("bf16", K, N) : ARRAY("bf16", N, K),
           *C = ARRAY("bf16", M, N);
  oracle_fill(ORACLE_BF16, &randomness, M * K, 1, A->data), oracle_fill(ORACLE_BF16, &randomness, N * K, 1, B->data);
  uint16_t *a = ta ? turned(A, K, M) : NULL, *b = tb ? turned(B, K, N) : NULL;
  double *want = doubles(M * N), *sum = doubles(M * N);
  if (conform_run(v.kernel, settings, 1, 3,
                  (tg_argument[]){{.name = "A", .array = A}, {.name = "B", .array = B}, {.name = "C", .array = C}})) {
    oracle_gemm(ORACLE_BF16, M, N, K, a ? a : A->data, NULL, b ? b : B->data, NULL, want, sum);
    judge_bounds(&v, C, want, sum, 0x1p-8, 0x1p-13);
  }
  free(a), free(b), free(want), free(sum);
  FREE(A, B, C);
}

int main(void) {
  conformance_open("sim:sm_90a");
  product("BM=128,BN=128,BK=64", true, true, 136, 200, 168);
  product("BM=128,BN=64,BK=32", true, false, 72, 130 + 6, 72);
  product("BM=64,BN=128,BK=128,warps=8", false, true, 64, 136, 200); // columns split among groups
  product("BM=192,BN=32,BK=64,warps=4", true, true, 200, 40, 72);    // three blocks of rows; half a pattern of columns
  product("BM=64,BN=256,BK=32,warps=4", true, true, 8, 264, 40);
  conform_bmm("transpose_b=1,BT=64,BM=64,BK=64", 65, 3, 72, 136);
  return conformance_close();
}
