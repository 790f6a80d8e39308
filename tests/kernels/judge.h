// How results are judged: shared by the tables of cases (moe.c, model.c, training.c, losses.c). Elements are f32 or bf16 as the array says.
#ifndef TG_CONFORMANCE_JUDGE_H
#define TG_CONFORMANCE_JUDGE_H
#include <stdio.h>

#include "conformance.h"

#define ARRAY(dtype, ...) conform_array(dtype, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})
#define FREE(...)         conform_free(sizeof((tg_array *[]){__VA_ARGS__}) / sizeof(tg_array *), (tg_array *[]){__VA_ARGS__})

typedef struct verdict {
  const char *kernel, *settings, *what;
  char shape[96];
} verdict;

#define VERDICT(kernel, settings, ...)                                                                                                     \
  {kernel, settings, "bounds", {0}};                                                                                                       \
  snprintf(v.shape, sizeof v.shape, __VA_ARGS__)

const char *dtype_of(const char *settings); // what they ask for: "f32" or "bf16"
oracle_format format_of(const tg_array *a);
int64_t elements(const tg_array *a);
double element_at(const tg_array *a, int64_t i);
void set_element(tg_array *a, int64_t i, double x); // a number that the dtype has
double *doubles(int64_t n);                         // zeroed, room for one more
bool fits(double got, double want, double bound);
int unwritten(void); // the bytes that an output holds where nobody wrote: 0, but for what interp poisons it with

void judge(const verdict *v, int64_t wrong, int64_t first, double got, double want);
// |got - want| <= relative*|want| + absolute*scale[i], NULL = 0; NaN and Inf where the oracle has them.
void judge_bounds(const verdict *v, const tg_array *out, const double *want, const double *scale, double relative, double absolute);
// The same with the bound of a result whose honest error is that of f32 arithmetic before it is rounded to the dtype: 1.5 bf16 roundings,
// or 2^-20 of |want|, and 2^-20 of the scale.
void judge_rounded(const verdict *v, const tg_array *out, const double *want, const double *scale);
void judge_bits(verdict v, const char *what, const tg_array *a, const tg_array *b); // the same bits
// Elements with touched[i] are not finite, others have the clean run's bits.
void judge_reach(verdict v, const char *what, const tg_array *dirty, const tg_array *clean, const bool *touched);
// Runs again with two and three threads: outputs args[from] … must have the same bits.
void judge_same_bits(const verdict *v, int nargs, tg_argument *args, int from);

#endif
