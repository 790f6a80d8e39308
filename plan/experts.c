// Replicas of experts over devices.
#include <math.h>
#include <stdlib.h>

#include "ir/base.h"

#define MOST 16384

typedef struct weighted {
  double load;
  int item;
} weighted;

static int heavier(const void *a, const void *b) {
  const weighted *x = a, *y = b;
  return x->load != y->load ? (x->load < y->load) - (x->load > y->load) : x->item - y->item;
}

// Packs n items into packs of n/packs each, the heaviest first, each into the least loaded pack with room. place[i] is the place of item i:
// pack * (n/packs) + its rank there.
static void pack_evenly(tg_arena *arena, const double *load, int n, int packs, int *place) {
  const int room = n / packs;
  weighted *order = TG_NEWN(arena, weighted, n);
  double *sum = TG_NEWN(arena, double, packs);
  int *count = TG_NEWN(arena, int, packs);
  for (int i = 0; i < n; i++) order[i] = (weighted){load[i], i};
  if (room > 1) qsort(order, (size_t)n, sizeof *order, heavier); // with one item a pack they stay where they are
  for (int i = 0; i < n; i++) {
    int best = -1;
    for (int p = 0; p < packs; p++)
      if (count[p] < room && (best < 0 || sum[p] < sum[best])) best = p;
    if (room == 1) best = i;
    place[order[i].item] = best * room + count[best]++;
    sum[best] += order[i].load;
  }
}

// Gives each of n experts a replica, and each spare one to the expert whose replicas are busiest. expert_of[i] is replica i's.
static void replicate(const double *load, int n, int replicas, int *copies, int *expert_of) {
  for (int i = 0; i < n; i++) copies[i] = 1, expert_of[i] = i;
  for (int r = n; r < replicas; r++) {
    int best = 0;
    for (int i = 1; i < n; i++) {
      const double mine = load[i] / copies[i], top = load[best] / copies[best];
      if (mine > top || (mine == top && copies[i] < copies[best])) best = i;
    }
    expert_of[r] = best;
    copies[best]++;
  }
}

typedef struct place_args {
  tg_context *ctx;
  tg_experts shape;
  const double *loads;
  int *slots, *copies;
  tg_arena arena;
} place_args;

// Experts in the order of nodes and of their groups' ranks there.
static void order_by_node(place_args *a, int *order) {
  const tg_experts *s = &a->shape;
  const int size = s->experts / s->groups;
  double *sum = TG_NEWN(&a->arena, double, s->groups);
  int *place = TG_NEWN(&a->arena, int, s->groups);
  for (int e = 0; e < s->experts; e++) sum[e / size] += a->loads[e];
  pack_evenly(&a->arena, sum, s->groups, s->nodes, place);
  for (int e = 0; e < s->experts; e++) order[place[e / size] * size + e % size] = e;
}

// One node: these n experts over its slots.
static void fill_node(place_args *a, const int *experts, int n, int *slots) {
  const tg_experts *s = &a->shape;
  const int replicas = s->replicas / s->nodes;
  double *load = TG_NEWN(&a->arena, double, replicas);
  int *copies = TG_NEWN(&a->arena, int, n), *expert_of = TG_NEWN(&a->arena, int, replicas), *place = TG_NEWN(&a->arena, int, replicas);
  for (int i = 0; i < n; i++) load[i] = a->loads[experts[i]];
  replicate(load, n, replicas, copies, expert_of);
  for (int i = 0; i < n; i++) a->copies[experts[i]] = copies[i];
  for (int r = 0; r < replicas; r++) load[r] = a->loads[experts[expert_of[r]]] / copies[expert_of[r]];
  pack_evenly(&a->arena, load, replicas, s->devices / s->nodes, place);
  for (int r = 0; r < replicas; r++) slots[place[r]] = experts[expert_of[r]];
}

static void check_shape(const place_args *a) {
  tg_context *ctx = a->ctx;
  const tg_experts *s = &a->shape;
  const struct {
    const char *name;
    int value;
  } sizes[] = {{"experts", s->experts}, {"replicas", s->replicas}, {"groups", s->groups}, {"nodes", s->nodes}, {"devices", s->devices}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (sizes[i].value < 1 || sizes[i].value > MOST)
      tg_throw(ctx, TG_INVALID, "placing experts: %s is %d, it must be 1 to %d", sizes[i].name, sizes[i].value, MOST);
  if (s->replicas < s->experts)
    tg_throw(ctx, TG_INVALID, "placing experts: %d replicas do not hold %d experts; give each one slot at least", s->replicas, s->experts);
  if (s->replicas % s->devices)
    tg_throw(ctx, TG_INVALID, "placing experts: %d replicas are not a multiple of %d devices", s->replicas, s->devices);
  if (!tg_experts_hierarchical(s)) return;
  if (s->experts % s->groups)
    tg_throw(ctx, TG_INVALID, "placing experts: %d experts are not a multiple of %d groups", s->experts, s->groups);
  if (s->devices % s->nodes) tg_throw(ctx, TG_INVALID, "placing experts: %d devices are not a multiple of %d nodes", s->devices, s->nodes);
}

static void check_loads(const place_args *a) {
  double sum = 0;
  for (int e = 0; e < a->shape.experts; e++) {
    if (!isfinite(a->loads[e]) || a->loads[e] < 0)
      tg_throw(a->ctx, TG_INVALID, "placing experts: the load of expert %d is %g, it must be a number of 0 or more", e, a->loads[e]);
    sum += a->loads[e];
  }
  if (!isfinite(sum)) tg_throw(a->ctx, TG_INVALID, "placing experts: the loads' sum is beyond the largest number; scale them down");
}

static void place_body(void *arg) {
  place_args *a = arg;
  check_shape(a);
  check_loads(a);
  if (!tg_experts_hierarchical(&a->shape)) a->shape.groups = a->shape.nodes = 1;
  const tg_experts *s = &a->shape;
  int *order = TG_NEWN(&a->arena, int, s->experts);
  order_by_node(a, order);
  const int experts = s->experts / s->nodes, slots = s->replicas / s->nodes;
  for (int n = 0; n < s->nodes; n++) fill_node(a, order + n * experts, experts, a->slots + n * slots);
}

bool tg_experts_hierarchical(const tg_experts *s) { return s->nodes > 1 && s->groups % s->nodes == 0; }

tg_status tg_place_experts(tg_context *ctx, const tg_experts *shape, const double *loads, int *slots, int *copies) {
  place_args a = {.ctx = ctx, .shape = *shape, .loads = loads, .slots = slots, .copies = copies};
  tg_arena_init(&a.arena, ctx);
  const tg_status status = tg_protect(ctx, place_body, &a);
  tg_arena_free(&a.arena);
  return status;
}
