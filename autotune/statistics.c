// Robust statistics of a few timings.
#include <math.h>
#include <stdlib.h>

#include "autotune/autotune.h"

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double tg_median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, compare);
  return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

double tg_mad(const double *sorted, int n, double median) {
  double away[4096];
  if (n > 4096) n = 4096;
  for (int i = 0; i < n; i++) away[i] = fabs(sorted[i] - median);
  return n > 0 ? tg_median(away, n) : 0;
}
