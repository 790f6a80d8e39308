// Strategies that need no model: every config in order, and random ones.
#include "autotune/autotune.h"

typedef struct walk {
  int n, next;
  int *order;
  bool *seen; // asked for, or told by somebody else
} walk;

static walk *walk_new(tg_arena *arena, const tg_search_space *space) {
  walk *w = TG_NEW(arena, walk);
  w->n = space->n;
  w->order = TG_NEWN(arena, int, space->n);
  w->seen = TG_NEWN(arena, bool, space->n);
  for (int i = 0; i < space->n; i++) w->order[i] = i;
  return w;
}

static void *exhaustive_start(tg_arena *arena, const tg_search_space *space, uint64_t seed) {
  (void)seed; // the order is the space's own
  return walk_new(arena, space);
}

// Fisher and Yates' shuffle: every order is equally likely, and each config comes once.
static void *random_start(tg_arena *arena, const tg_search_space *space, uint64_t seed) {
  walk *w = walk_new(arena, space);
  tg_rng rng;
  tg_rng_seed(&rng, seed);
  for (int i = w->n - 1; i > 0; i--) {
    int j = (int)tg_rng_below(&rng, (uint64_t)i + 1), t = w->order[i];
    w->order[i] = w->order[j];
    w->order[j] = t;
  }
  return w;
}

static int walk_ask(void *state) {
  walk *w = state;
  while (w->next < w->n && w->seen[w->order[w->next]]) w->next++;
  if (w->next == w->n) return -1;
  int index = w->order[w->next++];
  w->seen[index] = true;
  return index;
}

static void walk_tell(void *state, int index, double seconds) {
  (void)seconds; // these strategies do not learn
  ((walk *)state)->seen[index] = true;
}

const tg_strategy tg_strategies[] = {
    {"random", "random configs without replacement; the seed fixes the order", false, random_start, walk_ask, walk_tell},
    {"exhaustive", "every config once, in order", false, exhaustive_start, walk_ask, walk_tell},
    {"forest", "a random forest over what was measured proposes the next config; starts from the database's records", true, tg_forest_start,
     tg_forest_ask, tg_forest_tell},
    {NULL, NULL, false, NULL, NULL, NULL},
};

const tg_strategy *tg_strategy_find(tg_context *ctx, const char *name) {
  char known[256] = "";
  for (const tg_strategy *s = tg_strategies; s->name; s++) {
    if (!name || !strcmp(s->name, name)) return s;
    size_t used = strlen(known);
    snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", s->name);
  }
  tg_throw(ctx, TG_INVALID, "there is no strategy '%s'; there are %s", name, known);
}
