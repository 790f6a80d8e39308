#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "judge.h"
#include "oracle_training.h"
#include "test.h"
#include "training.h"

static oracle_random randomness;

static int64_t below(int64_t n) { return (int64_t)(oracle_next(&randomness) >> 16) % n; }

static const double STEP = 1e-5; // of central differences in float64: off by STEP^2 of the third derivative and 1e-16/STEP

static double setting(const char *settings, const char *name, double otherwise) {
  const char *at = strstr(settings, name);
  return at ? strtod(at + strlen(name), NULL) : otherwise;
}

// ---- logits

enum { LOGITS_NORMAL, LOGITS_HUGE, LOGITS_WILD };

// Normal ones; huge: ±10^4 among them; wild: rows with -Inf, a NaN, an Inf, nothing but -Inf.
static void fill_logits(int kind, tg_array *L) {
  const int64_t T = L->dim[0], V = L->dim[1];
  oracle_fill(format_of(L), &randomness, T * V, kind == LOGITS_HUGE ? 1e4 : 3, L->data);
  if (kind != LOGITS_WILD) return;
  for (int64_t t = 0; t < T; t++)
    for (int64_t v = 0; v < V; v++) {
      if (t % 6 == 1 && below(3)) set_element(L, t * V + v, -INFINITY);
      if (t % 6 == 2 && v == V / 2) set_element(L, t * V + v, NAN);
      if (t % 6 == 3 && v == V - 1) set_element(L, t * V + v, INFINITY);
      if (t % 6 == 4) set_element(L, t * V + v, -INFINITY);
    }
}

static double *widen(const tg_array *L) {
  double *x = doubles(elements(L));
  oracle_widen(format_of(L), elements(L), L->data, x);
  return x;
}

// What a gradient row may be off by, besides its own rounding: errors of exp of x - lse, both f32.
static double exponent_error(double x, double lse) { return isfinite(x) ? 0x1p-20 + 0x1p-23 * (fabs(x) + fabs(lse)) : 0; }

// The closed form of a row's gradient against central differences of its loss. Rows whose loss is not finite have none.
typedef double row_loss(const void *case_, int64_t V, const double *x);
static void differences(const verdict *v, row_loss *loss, const void *case_, int64_t V, double *x, const double *d) {
  const double here = loss(case_, V, x);
  if (!isfinite(here)) return;
  double worst = 0;
  for (int64_t i = 0; i < V; i += V > 64 ? 1 + below(V / 8) : 1) {
    const double old = x[i];
    if (!isfinite(old)) continue;
    x[i] = old + STEP;
    const double above = loss(case_, V, x);
    x[i] = old - STEP;
    const double slope = (above - loss(case_, V, x)) / (2 * STEP);
    x[i] = old;
    worst = fmax(worst, fabs(slope - d[i]) / (1e-8 + 1e-15 / STEP * (fabs(here) + fabs(old))));
  }
  CHECKF(worst <= 1, "%s, %s: the closed form and differences of the loss are %g times too far apart", v->kernel, v->shape, worst);
}

// ---- cross-entropy

typedef struct entropy {
  int64_t T, V, target;
  double smoothing, z;
  tg_array *L, *targets, *loss, *lse, *g, *dL;
  double *x;
} entropy;

static double entropy_of_row(const void *case_, int64_t V, const double *x) {
  const entropy *c = case_;
  return oracle_cross_entropy(V, x, c->target, c->smoothing, c->z);
}

enum { TARGETS_ALL, TARGETS_SOME, TARGETS_NONE };

static void fill_targets(int kind, int64_t T, int64_t V, int32_t *targets) {
  const int32_t outside[] = {-100, -1, (int32_t)V, INT_MIN, INT_MAX};
  for (int64_t t = 0; t < T; t++) {
    targets[t] = (int32_t)below(V);
    if (kind == TARGETS_NONE || (kind == TARGETS_SOME && below(3) == 0)) targets[t] = outside[below(5)];
  }
  if (T && kind == TARGETS_ALL) targets[0] = (int32_t)V - 1;
}

static void entropy_loss(const char *settings, entropy *c) {
  const int64_t T = c->T, V = c->V;
  double *want = doubles(T), *scale = doubles(T), *log = doubles(T), *log_scale = doubles(T);
  verdict v = VERDICT("cross_entropy", settings, "T %lld, V %lld", (long long)T, (long long)V);
  tg_argument args[] = {{.name = "L", .array = c->L},
                        {.name = "targets", .array = c->targets},
                        {.name = "loss", .array = c->loss},
                        {.name = "lse", .array = c->lse}};
  for (int64_t t = 0; t < T; t++) {
    double *x = c->x + t * V, most = 0;
    c->target = ((int32_t *)c->targets->data)[t];
    want[t] = entropy_of_row(c, V, x), log[t] = oracle_lse(V, x), log_scale[t] = 1 + fabs(log[t]);
    for (int64_t i = 0; i < V && c->smoothing > 0; i++) most = fmax(most, fabs(x[i]));
    const bool counts = c->target >= 0 && c->target < V; // else exactly 0, whatever the row holds
    scale[t] = counts ? 1 + fabs(want[t]) + most + (c->z > 0 ? c->z * log[t] * log[t] : 0) : 0;
  }
  if (conform_run(v.kernel, settings, 1, 4, args)) {
    judge_bounds(&v, c->loss, want, scale, 0, 0x1p-20);
    v.what = "lse";
    judge_bounds(&v, c->lse, log, log_scale, 0, 0x1p-20);
    judge_same_bits(&v, 4, args, 2);
  }
  free(want), free(scale), free(log), free(log_scale);
}

static void entropy_grad(const char *settings, entropy *c) {
  const int64_t T = c->T, V = c->V;
  const bool narrow = strcmp(dtype_of(settings), "f32");
  double *want = doubles(T * V), *scale = doubles(T * V);
  verdict v = VERDICT("cross_entropy_grad", settings, "T %lld, V %lld", (long long)T, (long long)V);
  tg_argument args[] = {{.name = "L", .array = c->L},
                        {.name = "targets", .array = c->targets},
                        {.name = "lse", .array = c->lse},
                        {.name = "g", .array = c->g},
                        {.name = "dL", .array = c->dL}};
  for (int64_t t = 0; t < T; t++) {
    double *x = c->x + t * V, *d = want + t * V, g = ((float *)c->g->data)[t];
    const double lse = oracle_lse(V, x);
    c->target = ((int32_t *)c->targets->data)[t];
    const bool counts = c->target >= 0 && c->target < V;
    oracle_cross_entropy_grad(V, x, c->target, c->smoothing, c->z, d);
    if (t < 20) differences(&v, entropy_of_row, c, V, x, d);
    for (int64_t i = 0; i < V && counts; i++) {
      const double p = exp(x[i] - lse) * (1 + fabs(2 * c->z * lse));
      d[i] *= g, scale[t * V + i] = fabs(g) * (p * exponent_error(x[i], lse) + 0x1p-23);
    }
  }
  if (conform_run(v.kernel, settings, 1, 5, args)) {
    judge_bounds(&v, c->dL, want, scale, narrow ? 0x1.01p-8 : 0x1p-22, 1);
    judge_same_bits(&v, 5, args, 4);
  }
  free(want), free(scale);
}

static void cross_entropy(const char *settings, int64_t T, int64_t V, int kind, int targets) {
  const char *dtype = dtype_of(settings);
  entropy c = {.T = T, .V = V, .smoothing = setting(settings, "smoothing=", 0), .z = setting(settings, "z=", 0)};
  c.L = ARRAY(dtype, T, V), c.targets = ARRAY("i32", T), c.dL = ARRAY(dtype, T, V);
  c.loss = ARRAY("f32", T), c.lse = ARRAY("f32", T), c.g = ARRAY("f32", T);
  fill_logits(kind, c.L);
  fill_targets(targets, T, V, c.targets->data);
  oracle_fill(ORACLE_F32, &randomness, T, 1, c.g->data);
  c.x = widen(c.L);
  entropy_loss(settings, &c);
  entropy_grad(settings, &c);
  free(c.x);
  FREE(c.L, c.targets, c.dL, c.loss, c.lse, c.g);
}

static void cross_entropies(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257}, Vs[] = {1, 2, 127, 255, 257, 1009, 2053};
  for (int i = 0; i < 5; i++)
    cross_entropy("", Ts[i], 131, LOGITS_NORMAL, TARGETS_SOME), cross_entropy("dtype=f32", Ts[i], 37, LOGITS_WILD, TARGETS_SOME);
  for (int i = 0; i < 7; i++)
    for (int kind = LOGITS_NORMAL; kind <= LOGITS_WILD; kind++) {
      cross_entropy("", 13, Vs[i], kind, TARGETS_ALL);
      cross_entropy("dtype=f32,BV=256", 13, Vs[i], kind, TARGETS_ALL);
      cross_entropy("dtype=f32,smoothing=0.125,z=0.0078125", 13, Vs[i], kind, TARGETS_SOME);
    }
  for (int kind = LOGITS_NORMAL; kind <= LOGITS_WILD; kind++) cross_entropy("smoothing=0.25", 12, 300, kind, TARGETS_NONE);
  cross_entropy("z=0.5,BV=2048", 3, 4097, LOGITS_NORMAL, TARGETS_ALL);
}

// ---- distillation

typedef struct distillation {
  const double *teacher;
  double temperature;
} distillation;

static double kl_of_row(const void *case_, int64_t V, const double *x) {
  const distillation *c = case_;
  double sum;
  return oracle_kl(V, x, c->teacher, c->temperature, &sum);
}

static void kl(const char *settings, int64_t T, int64_t V, double temperature, int student_kind, int teacher_kind) {
  const char *dtype = dtype_of(settings);
  const bool narrow = strcmp(dtype, "f32");
  tg_array *student = ARRAY(dtype, T, V), *teacher = ARRAY(dtype, T, V), *loss = ARRAY("f32", T), *lse = ARRAY("f32", T, 2),
           *g = ARRAY("f32", T), *dS = ARRAY(dtype, T, V);
  fill_logits(student_kind, student), fill_logits(teacher_kind, teacher), oracle_fill(ORACLE_F32, &randomness, T, 1, g->data);
  if (T && V) memcpy(teacher->data, student->data, student->bytes / (size_t)T); // row 0: no divergence
  double *s = widen(student), *q = widen(teacher), *want = doubles(T), *scale = doubles(T), *logs = doubles(2 * T),
         *log_scale = doubles(2 * T), *d = doubles(T * V), *d_scale = doubles(T * V);
  double *part[] = {doubles(V), doubles(V)};
  verdict v = VERDICT("kl_loss", settings, "T %lld, V %lld, temperature %g", (long long)T, (long long)V, temperature);
  for (int64_t t = 0; t < T; t++) {
    const distillation c = {q + t * V, temperature};
    double *x[] = {s + t * V, q + t * V}, sum;
    const double gt = ((float *)g->data)[t];
    want[t] = oracle_kl(V, x[0], x[1], temperature, &sum);
    scale[t] = sum + temperature * temperature * (1 + log((double)V));
    oracle_kl_grad(V, x[0], x[1], temperature, d + t * V);
    if (t < 8) differences(&v, kl_of_row, &c, V, x[0], d + t * V);
    for (int side = 0; side < 2; side++) {
      for (int64_t i = 0; i < V; i++) part[side][i] = x[side][i] / temperature;
      logs[2 * t + side] = oracle_lse(V, part[side]), log_scale[2 * t + side] = 1 + fabs(logs[2 * t + side]);
    }
    for (int64_t i = 0; i < V; i++) {
      double error = 0x1p-23;
      for (int side = 0; side < 2; side++)
        error += exp(part[side][i] - logs[2 * t + side]) * exponent_error(part[side][i], logs[2 * t + side]);
      d[t * V + i] *= gt, d_scale[t * V + i] = fabs(gt) * temperature * error;
    }
  }
  tg_argument args[] = {{.name = "student", .array = student},
                        {.name = "teacher", .array = teacher},
                        {.name = "temperature", .number = temperature},
                        {.name = "loss", .array = loss},
                        {.name = "lse", .array = lse}};
  if (conform_run("kl_loss", settings, 1, 5, args)) {
    judge_bounds(&v, loss, want, scale, 0, 0x1p-19);
    v.what = "lse";
    judge_bounds(&v, lse, logs, log_scale, 0, 0x1p-20);
    judge_same_bits(&v, 5, args, 3);
  }
  tg_argument back[] = {args[0], args[1], args[2], args[4], {.name = "g", .array = g}, {.name = "dS", .array = dS}};
  v.kernel = "kl_loss_grad", v.what = "bounds";
  if (conform_run("kl_loss_grad", settings, 1, 6, back)) {
    judge_bounds(&v, dS, d, d_scale, narrow ? 0x1.01p-8 : 0x1p-21, 1);
    judge_same_bits(&v, 6, back, 5);
  }
  free(s), free(q), free(want), free(scale), free(logs), free(log_scale), free(d), free(d_scale), free(part[0]), free(part[1]);
  FREE(student, teacher, loss, lse, g, dS);
}

static void distillations(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257}, Vs[] = {1, 2, 127, 257, 1009, 2053};
  for (int i = 0; i < 5; i++) kl("", Ts[i], 131, 2, LOGITS_NORMAL, LOGITS_NORMAL);
  for (int i = 0; i < 6; i++)
    for (int kind = LOGITS_NORMAL; kind <= LOGITS_WILD; kind++) {
      kl("", 13, Vs[i], 1, kind, LOGITS_NORMAL), kl("dtype=f32,BV=256", 13, Vs[i], 0.75, LOGITS_NORMAL, kind);
      kl("dtype=f32", 13, Vs[i], 4, kind, kind);
    }
}

// ---- GRPO

static void advantages(const char *settings, oracle_deviation kind, int64_t G, int64_t R, double eps) {
  tg_array *rewards = ARRAY("f32", G, R), *A = ARRAY("f32", G, R);
  double *want = doubles(G * R), *scale = doubles(G * R);
  float *r = rewards->data;
  verdict v = VERDICT("grpo_advantages", settings, "%lld groups of %lld, eps %g", (long long)G, (long long)R, eps);
  oracle_fill(ORACLE_F32, &randomness, G * R, 1, r);
  for (int64_t i = 0; i < G * R; i++) {
    const int64_t g = i / R;
    if (g % 5 == 1) r[i] = 0.1f;           // equal ones: advantages are 0, however small eps
    if (g % 5 == 2) r[i] = (float)(i % 2); // right or wrong
    if (g % 5 == 3) r[i] += 1000;          // far from 0
    if (g % 5 == 4 && i % R == R / 2) r[i] = NAN;
  }
  for (int64_t g = 0; g < G; g++) {
    double most = -INFINITY, least = INFINITY, deviation = 0;
    oracle_advantages(R, r + g * R, kind, (float)eps, want + g * R);
    for (int64_t i = g * R; i < (g + 1) * R; i++) {
      most = fmax(most, r[i]), least = fmin(least, r[i]), deviation = fmax(deviation, fabs(want[i]));
      if (g % 5 == 1) want[i] = 0;
    }
    for (int64_t i = g * R; i < (g + 1) * R; i++) scale[i] = most > least ? deviation : 0;
  }
  tg_argument args[] = {{.name = "rewards", .array = rewards}, {.name = "A", .array = A}, {.name = "eps", .number = eps}};
  const int n = kind == ORACLE_NO_DEVIATION ? 2 : 3;
  if (conform_run(v.kernel, settings, 1, n, args)) {
    judge_bounds(&v, A, want, scale, 0, 0x1p-19);
    tg_argument again[] = {args[0], n == 3 ? args[2] : args[1], args[1]};
    judge_same_bits(&v, n, again, n - 1);
  }
  free(want), free(scale);
  FREE(rewards, A);
}

enum { LOGP, OLD, REF, ADVANTAGE, MASK, INPUTS };

static void fill_tokens(int64_t T, tg_array *const *in, const oracle_grpo *g) {
  float *x[INPUTS];
  for (int i = 0; i < INPUTS; i++) x[i] = in[i]->data, oracle_fill(ORACLE_F32, &randomness, T, 1, x[i]);
  for (int64_t t = 0; t < T; t++) {
    x[LOGP][t] = -fabsf(x[LOGP][t]) * 3, x[OLD][t] = x[LOGP][t] + 0.3f * x[OLD][t], x[REF][t] = x[LOGP][t] + 0.5f * x[REF][t];
    x[MASK][t] = t % 4 == 3 ? 0 : t % 4 == 2 ? 0.125f : 1;
    if (t % 9 == 1) x[OLD][t] = x[LOGP][t];                                         // a ratio of exactly 1
    if (t % 9 == 2) x[OLD][t] = x[LOGP][t] - (float)log(1 + g->clip_high * 1.0001); // beside the clips
    if (t % 9 == 3) x[OLD][t] = x[LOGP][t] - (float)log(1 + g->clip_high * 0.9999);
    if (t % 9 == 4) x[OLD][t] = x[LOGP][t] - (float)log(1 - g->clip_low * 1.0001);
    if (t % 9 == 5) x[ADVANTAGE][t] = 0, x[OLD][t] = x[LOGP][t] - 95; // a ratio that overflows
    if (t % 9 == 6) x[REF][t] = x[LOGP][t];
    if (t % 9 == 7 && x[MASK][t] == 0) x[LOGP][t] = NAN, x[ADVANTAGE][t] = INFINITY; // nothing of it counts
    if (t % 9 == 8) x[below(MASK)][t] = NAN;
  }
}

static void judge_tokens(verdict v, const oracle_grpo *g, int64_t T, tg_array *const *in, const tg_array *loss, const tg_array *dlogp) {
  double *want = doubles(T), *scale = doubles(T), *slope = doubles(T), *slope_scale = doubles(T);
  for (int64_t t = 0; t < T; t++) {
    double x[INPUTS], margin;
    for (int i = 0; i < INPUTS; i++) x[i] = ((float *)in[i]->data)[t];
    if (x[MASK] == 0) continue;
    const double value = oracle_grpo_loss(g, x[LOGP], x[OLD], x[REF], x[ADVANTAGE]),
                 by_hand = oracle_grpo_grad(g, x[LOGP], x[OLD], x[REF], x[ADVANTAGE], &margin);
    const double r = exp(x[LOGP] - x[OLD]), off = fabs(x[REF] - x[LOGP]), far = 1 + fabs(x[LOGP] - x[OLD]) + (g->beta ? off : 0);
    want[t] = x[MASK] * value, slope[t] = x[MASK] * by_hand;
    const double terms = fabs(value) + fabs(x[ADVANTAGE]) + (g->beta ? g->beta * (exp(x[REF] - x[LOGP]) + off + 1) : 0);
    scale[t] = x[MASK] * far * terms, slope_scale[t] = x[MASK] * far * (terms + (by_hand != 0 ? fabs(x[ADVANTAGE] * r) : 0));
    if (isfinite(value) && margin > 10 * STEP * r && x[ADVANTAGE] != 0) {
      const double difference = (oracle_grpo_loss(g, x[LOGP] + STEP, x[OLD], x[REF], x[ADVANTAGE]) -
                                 oracle_grpo_loss(g, x[LOGP] - STEP, x[OLD], x[REF], x[ADVANTAGE])) /
                                (2 * STEP);
      CHECKF(fabs(difference - by_hand) <= 1e-8 * terms * (1 + r), "%s, %s: token %lld: the closed form is %.9g, differences give %.9g",
             v.kernel, v.shape, (long long)t, by_hand, difference);
    }
    const double got = ((float *)dlogp->data)[t];
    if (margin < 1e-6 * r && isfinite(got)) { // the clip's decision is one of rounding: either side
      const double other = x[MASK] * (by_hand + x[ADVANTAGE] * r), without = x[MASK] * (by_hand - x[ADVANTAGE] * r);
      if (fabs(got - other) < fabs(got - slope[t])) slope[t] = other;
      if (fabs(got - without) < fabs(got - slope[t])) slope[t] = without;
    }
  }
  judge_bounds(&v, loss, want, scale, 0, 0x1p-20);
  v.what = "gradient";
  judge_bounds(&v, dlogp, slope, slope_scale, 0, 0x1p-20);
  free(want), free(scale), free(slope), free(slope_scale);
}

static void grpo(const char *settings, oracle_grpo g, int64_t T, bool masked) {
  tg_array *in[INPUTS], *loss = ARRAY("f32", T), *dlogp = ARRAY("f32", T);
  for (int i = 0; i < INPUTS; i++) in[i] = ARRAY("f32", T);
  g = (oracle_grpo){(float)g.clip_low, (float)g.clip_high, (float)g.beta};
  fill_tokens(T, in, &g);
  for (int64_t t = 0; masked && t < T; t++) ((float *)in[MASK]->data)[t] = 0;
  verdict v = VERDICT("grpo_loss", settings, "T %lld, clip %g and %g, beta %g", (long long)T, g.clip_low, g.clip_high, g.beta);
  const bool kl = g.beta != 0;
  tg_argument args[10] = {{.name = "logp", .array = in[LOGP]},        {.name = "old", .array = in[OLD]},
                          {.name = "A", .array = in[ADVANTAGE]},      {.name = "mask", .array = in[MASK]},
                          {.name = "clip_low", .number = g.clip_low}, {.name = "clip_high", .number = g.clip_high}};
  int n = 6;
  if (kl) args[n++] = (tg_argument){.name = "ref", .array = in[REF]}, args[n++] = (tg_argument){.name = "beta", .number = g.beta};
  args[n++] = (tg_argument){.name = "loss", .array = loss}, args[n++] = (tg_argument){.name = "dlogp", .array = dlogp};
  if (conform_run("grpo_loss", settings, 1, n, args)) {
    judge_tokens(v, &g, T, in, loss, dlogp);
    judge_same_bits(&v, n, args, n - 2);
  }
  for (int i = 0; i < INPUTS; i++) FREE(in[i]);
  FREE(loss, dlogp);
}

// The KL term alone, of policies that hardly differ from the reference: its own relative error.
static void near_reference(void) {
  enum { T = 121 };
  tg_array *in[INPUTS], *loss = ARRAY("f32", T), *dlogp = ARRAY("f32", T);
  for (int i = 0; i < INPUTS; i++) in[i] = ARRAY("f32", T); // logp = old = A = 0
  float *ref = in[REF]->data, *mask = in[MASK]->data, *got = loss->data;
  for (int t = 0; t < T; t++) ref[t] = (float)(pow(10, -(t % 60) / 10.0) * (t < 60 ? 1 : -1)), mask[t] = 1;
  ref[T - 1] = 0;
  tg_argument args[] = {{.name = "logp", .array = in[LOGP]}, {.name = "old", .array = in[OLD]},   {.name = "A", .array = in[ADVANTAGE]},
                        {.name = "mask", .array = in[MASK]}, {.name = "clip_low", .number = 0.2}, {.name = "clip_high", .number = 0.2},
                        {.name = "ref", .array = in[REF]},   {.name = "beta", .number = 1},       {.name = "loss", .array = loss},
                        {.name = "dlogp", .array = dlogp}};
  if (conform_run("grpo_loss", "", 1, 10, args)) {
    for (int t = 0; t < T; t++) {
      const long double d = ref[t], want = expm1l(d) - d;
      CHECKF(fabsl(got[t] - want) <= 0x1p-14L * want, "grpo_loss, ref - logp = %g: the KL term is %.9g, want %.9Lg", ref[t], got[t], want);
    }
  }
  for (int i = 0; i < INPUTS; i++) FREE(in[i]);
  FREE(loss, dlogp);
}

static void policies(void) {
  static const int64_t Ts[] = {0, 1, 17, 129, 257}, Rs[] = {0, 1, 2, 7, 16, 17, 67};
  for (int i = 0; i < 7; i++) {
    advantages("", ORACLE_SAMPLE, 11, Rs[i], 1e-4), advantages("std=population,BR=64", ORACLE_POPULATION, 10, Rs[i], 1e-6);
    advantages("std=none,BR=8", ORACLE_NO_DEVIATION, 10, Rs[i], 0);
  }
  advantages("", ORACLE_SAMPLE, 0, 8, 1e-4);
  for (int i = 0; i < 5; i++) {
    grpo("", (oracle_grpo){0.2, 0.2, 0.04}, Ts[i], false), grpo("kl=0", (oracle_grpo){0.2, 0.28, 0}, Ts[i], false);
    grpo("BT=64", (oracle_grpo){0.25, 0.25, 0.04}, Ts[i], true);
  }
  grpo("BT=1024", (oracle_grpo){0, 0, 1}, 1050, false); // a ratio of 1 is at both clips
  near_reference();
}

void conform_losses(void) {
  cross_entropies();
  distillations();
  policies();
}

void conform_losses_few(void) {
  cross_entropy("BV=256,smoothing=0.125,z=0.0078125", 13, 300, LOGITS_WILD, TARGETS_SOME);
  kl("BV=256", 3, 300, 1, LOGITS_NORMAL, LOGITS_WILD);
  advantages("", ORACLE_SAMPLE, 11, 17, 1e-4), grpo("", (oracle_grpo){0.2, 0.2, 0.04}, 129, false);
}
