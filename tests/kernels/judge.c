#include "judge.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

const char *dtype_of(const char *settings) { return strstr(settings, "dtype=f32") ? "f32" : "bf16"; }

oracle_format format_of(const tg_array *a) { return strcmp(tg_dtype_name(a->dtype), "f32") ? ORACLE_BF16 : ORACLE_F32; }

int64_t elements(const tg_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->rank; i++) n *= a->dim[i];
  return n;
}

double element_at(const tg_array *a, int64_t i) { return oracle_decode(format_of(a), a->data, i); }

void set_element(tg_array *a, int64_t i, double x) {
  if (format_of(a) == ORACLE_F32) ((float *)a->data)[i] = (float)x;
  else ((uint16_t *)a->data)[i] = oracle_to_bf16(x);
}

double *doubles(int64_t n) { return calloc((size_t)n + 1, sizeof(double)); }

bool fits(double got, double want, double bound) {
  if (isnan(want)) return isnan(got);
  if (isinf(want)) return got == want;
  return fabs(got - want) <= bound;
}

int unwritten(void) { return strcmp(conform_device(), "interp") ? 0 : 0xff; }

void judge(const verdict *v, int64_t wrong, int64_t first, double got, double want) {
  CHECKF(wrong == 0, "%s [%s] on %s, %s, %s: %lld wrong, the first at %lld: %.9g, want %.9g", v->kernel, v->settings, conform_device(),
         v->shape, v->what, (long long)wrong, (long long)first, got, want);
}

void judge_bounds(const verdict *v, const tg_array *out, const double *want, const double *scale, double relative, double absolute) {
  int64_t wrong = 0, first = 0;
  for (int64_t i = 0; i < elements(out); i++)
    if (!fits(element_at(out, i), want[i], relative * fabs(want[i]) + (scale ? absolute * scale[i] : 0) + 1e-36) && wrong++ == 0) first = i;
  judge(v, wrong, first, wrong ? element_at(out, first) : 0, want[first]);
}

void judge_rounded(const verdict *v, const tg_array *out, const double *want, const double *scale) {
  judge_bounds(v, out, want, scale, format_of(out) == ORACLE_F32 ? 0x1p-20 : 1.5 * 0x1p-8, 0x1p-20);
}

void judge_bits(verdict v, const char *what, const tg_array *a, const tg_array *b) {
  CHECKF(a->bytes == 0 || !memcmp(a->data, b->data, a->bytes), "%s [%s] on %s, %s, %s: other bits", v.kernel, v.settings, conform_device(),
         v.shape, what);
}

void judge_reach(verdict v, const char *what, const tg_array *dirty, const tg_array *clean, const bool *touched) {
  const size_t width = format_of(dirty) == ORACLE_F32 ? 4 : 2;
  const char *a = dirty->data, *b = clean->data;
  int64_t wrong = 0, first = 0;
  for (int64_t i = 0; i < elements(dirty); i++) {
    const size_t at = (size_t)i * width;
    if (!(touched[i] ? !isfinite(element_at(dirty, i)) : !memcmp(a + at, b + at, width)) && wrong++ == 0) first = i;
  }
  v.what = what;
  judge(&v, wrong, first, wrong ? element_at(dirty, first) : 0, wrong ? element_at(clean, first) : 0);
}

void judge_same_bits(const verdict *v, int nargs, tg_argument *args, int from) {
  for (int threads = 2; threads <= 3; threads++) {
    tg_array *first[4];
    for (int i = from; i < nargs; i++) {
      first[i - from] = args[i].array;
      args[i].array = conform_array(tg_dtype_name(first[i - from]->dtype), first[i - from]->rank, first[i - from]->dim);
    }
    const bool ran = conform_run(v->kernel, v->settings, threads, nargs, args);
    for (int i = from; i < nargs; i++) {
      if (ran) judge_bits(*v, threads == 2 ? "two threads" : "three threads", args[i].array, first[i - from]);
      FREE(args[i].array);
      args[i].array = first[i - from];
    }
  }
}
