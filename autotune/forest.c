// Sequential model-based search: a forest of extremely randomised trees (Geurts, Ernst and Wehenkel, "Extremely randomized trees", Machine
// Learning 63, 2006) is fitted to log(seconds) of what was measured; the next config is the one with the greatest expected improvement
// (Jones, Schonlau and Welch, J. Global Optimization 13, 1998) among all that remain, as in SMAC (Hutter, Hoos and Leyton-Brown, LION 5,
// 2011).
#include <math.h>

#include "autotune/autotune.h"

enum {
  TREES = 32,
  FIRST = 10,     // random configs before the first fit
  LEAF = 2,       // a node of fewer samples is not split
  POOL = 1 << 15, // configs scored at a time; larger spaces are sampled
  MAX_AXES = TG_MAX_AXES
};

typedef struct node {
  int axis;  // -1: leaf
  float cut; // digits <= cut go left
  int left, right;
  float mean;
} node;

typedef struct forest {
  const tg_search_space *space;
  tg_rng rng;
  bool *seen;
  int n; // told
  int asked;
  int *index;   // told configs
  float *value; // their log(seconds)
  bool *failed;
  uint8_t *digits; // of every told config, naxes each
  node *nodes;     // of the tree being grown and used, all trees one after the other
  int nnodes, node_capacity;
  int roots[TREES];
  int *order;     // scratch of the fit
  float *target;  // what the trees are fitted to
  double *sorted; // scratch of its median
} forest;

void *tg_forest_start(tg_arena *arena, const tg_search_space *space, uint64_t seed) {
  forest *f = TG_NEW(arena, forest);
  int most = space->n;
  f->space = space;
  tg_rng_seed(&f->rng, seed);
  f->seen = TG_NEWN(arena, bool, most);
  f->index = TG_NEWN(arena, int, most);
  f->value = TG_NEWN(arena, float, most);
  f->failed = TG_NEWN(arena, bool, most);
  f->digits = TG_NEWN(arena, uint8_t, (int64_t)most * space->naxes + 1);
  f->order = TG_NEWN(arena, int, most);
  f->target = TG_NEWN(arena, float, most);
  f->sorted = TG_NEWN(arena, double, most);
  f->node_capacity = 1 << 16;
  f->nodes = TG_NEWN(arena, node, f->node_capacity);
  return f;
}

void tg_forest_tell(void *state, int index, double seconds) {
  forest *f = state;
  f->seen[index] = true;
  for (int i = 0; i < f->n; i++)
    if (f->index[i] == index) return;
  int digits[MAX_AXES];
  tg_space_digits(f->space, index, digits);
  for (int a = 0; a < f->space->naxes; a++) f->digits[f->n * f->space->naxes + a] = (uint8_t)(digits[a] < 255 ? digits[a] : 255);
  f->index[f->n] = index;
  f->failed[f->n] = !isfinite(seconds) || seconds <= 0;
  f->value[f->n] = f->failed[f->n] ? 0 : (float)log(seconds);
  f->n++;
}

static int add_node(forest *f, node value) {
  f->nodes[f->nnodes] = value;
  return f->nnodes++;
}

static int digit(const forest *f, int sample, int axis) { return f->digits[sample * f->space->naxes + axis]; }

// Best of one random cut on about half of the axes that vary in order[0..n), by the squared error it removes. False when nothing varies.
static bool best_cut(forest *f, const int *order, int n, int *axis, float *cut) {
  double best = -1;
  for (int a = 0; a < f->space->naxes; a++) {
    int low = 255, high = 0;
    for (int i = 0; i < n; i++) {
      int d = digit(f, order[i], a);
      low = d < low ? d : low;
      high = d > high ? d : high;
    }
    if (low >= high || (best >= 0 && tg_rng_below(&f->rng, 2))) continue;
    float at = (float)low + (float)tg_rng_below(&f->rng, (uint64_t)(high - low)) + 0.5f;
    double left = 0, right = 0;
    int nleft = 0;
    for (int i = 0; i < n; i++) {
      if ((float)digit(f, order[i], a) <= at) left += f->target[order[i]], nleft++;
      else right += f->target[order[i]];
    }
    double gain = left * left / nleft + right * right / (n - nleft); // sum of squares explained, up to a constant
    double mean = (left + right) / n;
    gain -= mean * mean * n;
    if (gain > best) best = gain, *axis = a, *cut = at;
  }
  return best >= 0;
}

static int grow(forest *f, int *order, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += f->target[order[i]];
  int here = add_node(f, (node){.axis = -1, .mean = (float)(sum / n)}), axis = 0;
  float cut = 0;
  if (n < LEAF || f->nnodes + 2 * n + 4 > f->node_capacity || !best_cut(f, order, n, &axis, &cut)) return here;
  int nleft = 0;
  for (int i = 0; i < n; i++) {
    if ((float)digit(f, order[i], axis) > cut) continue;
    int t = order[nleft];
    order[nleft++] = order[i];
    order[i] = t;
  }
  int left = grow(f, order, nleft), right = grow(f, order + nleft, n - nleft);
  f->nodes[here] = (node){axis, cut, left, right, f->nodes[here].mean};
  return here;
}

// log(seconds) of what was told, cut off at the median: how bad a bad config is teaches nothing about where the best ones are, and would
// outweigh what does. Failed ones count as bad.
static void set_targets(forest *f) {
  int usable = 0;
  for (int i = 0; i < f->n; i++)
    if (!f->failed[i]) f->sorted[usable++] = f->value[i];
  float median = (float)tg_median(f->sorted, usable);
  for (int i = 0; i < f->n; i++) f->target[i] = f->failed[i] || f->value[i] > median ? median : f->value[i];
}

// Every tree sees a sample of its own, with repetition (Breiman, "Bagging predictors", Machine Learning 24, 1996), so that they differ
// where little is known.
static void fit(forest *f) {
  set_targets(f);
  f->nnodes = 0;
  for (int t = 0; t < TREES; t++) {
    for (int i = 0; i < f->n; i++) f->order[i] = (int)tg_rng_below(&f->rng, (uint64_t)f->n);
    f->roots[t] = grow(f, f->order, f->n);
  }
}

static float predict(const forest *f, int root, const int *digits) {
  const node *at = &f->nodes[root];
  while (at->axis >= 0) at = &f->nodes[(float)digits[at->axis] <= at->cut ? at->left : at->right];
  return at->mean;
}

static double expected_improvement(const forest *f, const int *digits, double best) {
  double sum = 0, squares = 0;
  for (int t = 0; t < TREES; t++) {
    double x = predict(f, f->roots[t], digits);
    sum += x;
    squares += x * x;
  }
  double mean = sum / TREES, deviation = sqrt(fmax(squares / TREES - mean * mean, 0)) + 1e-6;
  double z = (best - mean) / deviation;
  return deviation * (z * 0.5 * erfc(-z * M_SQRT1_2) + exp(-0.5 * z * z) / sqrt(2 * M_PI));
}

static int random_unseen(forest *f) {
  int left = 0;
  for (int i = 0; i < f->space->n; i++) left += !f->seen[i];
  if (!left) return -1;
  int64_t skip = (int64_t)tg_rng_below(&f->rng, (uint64_t)left);
  for (int i = 0;; i++)
    if (!f->seen[i] && skip-- == 0) return i;
}

static int proposed(forest *f) {
  fit(f);
  double best = INFINITY, best_score = -1;
  for (int i = 0; i < f->n; i++)
    if (!f->failed[i] && f->value[i] < best) best = f->value[i];
  int chosen = -1, digits[MAX_AXES], n = f->space->n, tries = n <= POOL ? n : POOL;
  for (int t = 0; t < tries; t++) {
    int i = n <= POOL ? t : (int)tg_rng_below(&f->rng, (uint64_t)n);
    if (f->seen[i]) continue;
    tg_space_digits(f->space, i, digits);
    double score = expected_improvement(f, digits, best);
    if (score > best_score) best_score = score, chosen = i;
  }
  return chosen;
}

int tg_forest_ask(void *state) {
  forest *f = state;
  bool worked = false;
  for (int i = 0; i < f->n && !worked; i++) worked = !f->failed[i];
  int index = f->asked < FIRST || !worked ? random_unseen(f) : proposed(f);
  if (index < 0) index = random_unseen(f);
  if (index >= 0) f->seen[index] = true;
  f->asked++;
  return index;
}
