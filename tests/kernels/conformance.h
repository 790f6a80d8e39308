// The library's kernels on a device, judged element by element against the float64 oracles. What runs is a table of cases; the device is a
// parameter, so that every device is held to the same.
//
// For each shape: a run on NaN alone comes first, so that whatever scratch and freed memory hold afterwards shows if it leaks into a
// result; then the bounds, the same bits from one, two and three threads, and NaN and Inf put into single places, which must reach exactly
// the elements that depend on them and leave every other one as it was, bit by bit.
#ifndef TG_CONFORMANCE_H
#define TG_CONFORMANCE_H
#include <math.h>

#include "oracle.h"
#include "tegula/tegula.h"

typedef struct shape {
  int64_t M, N, K;
} shape;

void conformance_open(const char *device);
void conformance_machine(const char *file, const char *name); // the device runs code for that machine, described in the file
// From now on each array lies between two pages that cannot be touched: it ends where the second begins, or begins where the first ends.
void conformance_guard(bool at_end);
int conformance_close(void); // says what was checked; the exit status of the program
// For tables of cases in other files: a run, checked for its status; arrays, zeroed.
bool conform_run(const char *kernel, const char *settings, int threads, int nargs, tg_argument *args);
tg_array *conform_array(const char *dtype, int rank, const int64_t *dims);
void conform_free(int n, tg_array *const *arrays);
const char *conform_device(void);
// One shape of each kernel. `settings` as in --set, "" = the config that the device takes by itself.
void conform_gemm(const char *kernel, const char *settings, shape s);
void conform_quantize(const char *kernel, const char *settings, int64_t rows, int64_t columns);
void conform_rmsnorm(const char *settings, int64_t T, int64_t H);
void conform_swiglu(const char *kernel, const char *settings, int64_t T, int64_t I);
void conform_pack(int64_t N, int64_t K);
// The tables: a few shapes of every kind in seconds; every combination of the awkward sizes in minutes.
void conform_some(void);
void conform_pairs(void); // products with the lowering's dot2 = 1
void conform_few(void);   // the same for few rows: every kind of edge
void conform_all(void);

#endif
