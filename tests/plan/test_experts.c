// Placing experts: DeepSeek's published example, properties of many random cases, the best there is in small ones, awkward loads, mistakes.
#include <math.h>
#include <stdint.h>

#include "tegula/tegula.h"
#include "test.h"

static tg_context *ctx;
static uint64_t state = 1;

static uint64_t random_bits(void) { // xorshift64* (Vigna 2016)
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return state * 0x2545f4914f6cdd1du;
}
static int below(int n) { return (int)(random_bits() >> 33) % n; }

// The example in the README of github.com/deepseek-ai/EPLB: 12 experts, 16 replicas, 4 groups, 2 nodes, 8 devices, two layers.
static void check_published(void) {
  const double loads[2][12] = {{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86}, {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27}};
  const int want[2][16] = {{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1}, {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}};
  const tg_experts shape = {12, 16, 4, 2, 8};
  for (int layer = 0; layer < 2; layer++) {
    int slots[16], copies[12];
    CHECK(tg_place_experts(ctx, &shape, loads[layer], slots, copies) == TG_OK);
    for (int i = 0; i < 16; i++) CHECKF(slots[i] == want[layer][i], "layer %d, slot %d: %d, want %d", layer, i, slots[i], want[layer][i]);
  }
}

enum { MOST = 512 };

// Loads of a kind: 0 uniform, 1 skewed, 2 mostly zero, 3 all alike, 4 all zero.
static void fill(double *loads, int n, int kind) {
  for (int i = 0; i < n; i++) {
    const double x = (double)(random_bits() >> 11) * 0x1p-53;
    loads[i] = kind == 0 ? x : kind == 1 ? pow(x, -1.2) : kind == 2 ? (below(8) ? 0 : x) : kind == 3 ? 3 : 0;
  }
}

static void check_counts(const tg_experts *s, const int *slots, const int *copies) {
  int seen[MOST] = {0};
  for (int i = 0; i < s->replicas; i++) {
    CHECK(slots[i] >= 0 && slots[i] < s->experts);
    seen[slots[i]]++;
  }
  for (int e = 0; e < s->experts; e++)
    CHECKF(seen[e] == copies[e] && copies[e] >= 1, "expert %d: %d slots, %d copies", e, seen[e], copies[e]);
}

// No device has more than its node's average and the node's heaviest replica; spare slots went where they help: no replica is busier than
// one of an expert with more copies would be, had it one copy less.
static void check_balance(const tg_experts *s, const double *loads, const int *slots, const int *copies) {
  const int nodes = tg_experts_hierarchical(s) ? s->nodes : 1, devices = s->devices / nodes, each = s->replicas / s->devices;
  for (int n = 0; n < nodes; n++) {
    const int *of = slots + n * devices * each;
    double sum = 0, heaviest = 0, least = INFINITY;
    for (int i = 0; i < devices * each; i++) {
      const int e = of[i];
      const double mine = loads[e] / copies[e];
      sum += mine;
      heaviest = fmax(heaviest, mine);
      if (copies[e] > 1) least = fmin(least, loads[e] / (copies[e] - 1));
    }
    CHECKF(heaviest <= least * (1 + 1e-12), "a replica of %g beside one that could be spared at %g", heaviest, least);
    for (int d = 0; d < devices; d++) {
      double load = 0;
      for (int i = 0; i < each; i++) load += loads[of[d * each + i]] / copies[of[d * each + i]];
      CHECKF(load <= (sum / devices + heaviest) * (1 + 1e-12), "a device has %g, average %g, heaviest %g", load, sum / devices, heaviest);
    }
  }
}

// All replicas of a group on one node, as many groups on each.
static void check_groups(const tg_experts *s, const int *slots) {
  int node_of[MOST], groups_of[MOST] = {0};
  const int size = s->experts / s->groups, each = s->replicas / s->nodes;
  for (int g = 0; g < s->groups; g++) node_of[g] = -1;
  for (int i = 0; i < s->replicas; i++) {
    int *node = &node_of[slots[i] / size];
    if (*node < 0) groups_of[ *node = i / each]++;
    CHECKF(*node == i / each, "group %d is on nodes %d and %d", slots[i] / size, *node, i / each);
  }
  for (int n = 0; n < s->nodes; n++) CHECK(groups_of[n] == s->groups / s->nodes);
}

static void check_random(void) {
  for (int round = 0; round < 3000; round++) {
    const int nodes = 1 << below(4), groups = nodes * (1 + below(3)), experts = groups * (1 + below(8));
    const int devices = nodes * (1 + below(4)), each = (experts + devices - 1) / devices + below(4);
    tg_experts s = {experts, devices * each, groups, nodes, devices};
    if (below(4) == 0) s.groups = 1; // global, unless there is one node
    double loads[MOST];
    int slots[MOST], copies[MOST], again[MOST];
    fill(loads, s.experts, round % 5);
    if (tg_place_experts(ctx, &s, loads, slots, copies) != TG_OK) {
      CHECKF(false, "%s", tg_error_message(ctx));
      continue;
    }
    check_counts(&s, slots, copies);
    check_balance(&s, loads, slots, copies);
    if (tg_experts_hierarchical(&s)) check_groups(&s, slots);
    CHECK(tg_place_experts(ctx, &s, loads, again, copies) == TG_OK && !memcmp(slots, again, sizeof *slots * (size_t)s.replicas));
  }
}

// The least that the busiest replica can have: all ways to deal `spare` replicas to experts from `first` on.
static double best_heaviest(const double *loads, int *copies, int n, int first, int spare) {
  if (first == n - 1) copies[first] += spare;
  if (first == n - 1 || spare == 0) {
    double top = 0;
    for (int i = 0; i < n; i++) top = fmax(top, loads[i] / copies[i]);
    if (first == n - 1) copies[first] -= spare;
    return top;
  }
  double best = INFINITY;
  for (int k = 0; k <= spare; k++) {
    copies[first] += k;
    best = fmin(best, best_heaviest(loads, copies, n, first + 1, spare - k));
    copies[first] -= k;
  }
  return best;
}

static void check_replication(void) {
  for (int round = 0; round < 300; round++) {
    const int n = 2 + below(4), spare = below(6);
    double loads[8];
    int slots[16], copies[8], all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    fill(loads, n, round % 3);
    const tg_experts s = {n, n + spare, 1, 1, 1};
    CHECK(tg_place_experts(ctx, &s, loads, slots, copies) == TG_OK);
    double top = 0;
    for (int i = 0; i < n; i++) top = fmax(top, loads[i] / copies[i]);
    CHECKF(top <= best_heaviest(loads, all, n, 0, spare) * (1 + 1e-12), "%d experts, %d spare: %g", n, spare, top);
  }
}

static void check_even(void) {
  double loads[8] = {0};
  int slots[32], copies[8];
  for (int kind = 0; kind < 2; kind++) { // all zero, all alike: spare replicas are spread
    for (int i = 0; i < 8; i++) loads[i] = kind;
    CHECK(tg_place_experts(ctx, &(tg_experts){8, 16, 1, 1, 4}, loads, slots, copies) == TG_OK);
    for (int i = 0; i < 8; i++) CHECK(copies[i] == 2);
  }
  CHECK(tg_place_experts(ctx, &(tg_experts){1, 32, 1, 1, 8}, loads, slots, copies) == TG_OK && copies[0] == 32);
  CHECK(tg_place_experts(ctx, &(tg_experts){8, 8, 8, 8, 8}, loads, slots, copies) == TG_OK);
}

static void refused(tg_experts s, double load, const char *word) {
  double loads[64];
  int slots[64], copies[64];
  for (int i = 0; i < 64; i++) loads[i] = load;
  CHECKF(tg_place_experts(ctx, &s, loads, slots, copies) == TG_INVALID, "not refused: %s", word);
  CHECKF(strstr(tg_error_message(ctx), word), "%s (wanted %s)", tg_error_message(ctx), word);
}

static void check_mistakes(void) {
  refused((tg_experts){0, 8, 1, 1, 1}, 1, "experts is 0");
  refused((tg_experts){8, 8, 1, 1, 0}, 1, "devices is 0");
  refused((tg_experts){8, 8, 0, 1, 1}, 1, "groups is 0");
  refused((tg_experts){8, 8, 1, -1, 1}, 1, "nodes is -1");
  refused((tg_experts){8, 1 << 20, 1, 1, 1}, 1, "replicas is 1048576");
  refused((tg_experts){8, 7, 1, 1, 1}, 1, "7 replicas do not hold 8");
  refused((tg_experts){8, 9, 1, 1, 2}, 1, "multiple of 2 devices");
  refused((tg_experts){9, 12, 2, 2, 2}, 1, "multiple of 2 groups");
  refused((tg_experts){8, 9, 2, 2, 3}, 1, "multiple of 2 nodes");
  refused((tg_experts){8, 8, 1, 1, 1}, -1, "expert 0 is -1");
  refused((tg_experts){8, 8, 1, 1, 1}, NAN, "nan");
  refused((tg_experts){8, 8, 1, 1, 1}, INFINITY, "inf");
  refused((tg_experts){8, 8, 1, 1, 1}, 1e308, "sum");
}

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  check_published();
  check_random();
  check_replication();
  check_even();
  check_mistakes();
  tg_context_free(ctx);
  return test_done();
}
