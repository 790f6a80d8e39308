// A sample of a search space that meets every value of every axis, then every pair of values of two axes, then others at random.
#include <stdlib.h>

#include "autotune/autotune.h"

enum { CANDIDATES = 48 };

struct tg_cover {
  const tg_search_space *space;
  tg_rng rng;
  int nvalues; // of all axes together
  int *first;  // number of each axis's first value
  bool *value; // [nvalues]: met
  bool *pair;  // [nvalues x nvalues], the lower number first
  bool *taken; // [space->n]
  int at;      // where the next search for what is left begins
  int values_left, pairs_left;
  int values, pairs, left; // that allowed configs have; configs not taken
};

// Numbers of a config's values, one of each axis.
static void values_of(const tg_cover *c, int index, int *out) {
  tg_space_digits(c->space, index, out);
  for (int a = 0; a < c->space->naxes; a++) out[a] += c->first[a];
}

// What a config adds: values not met count for more than all pairs.
static int64_t gain(const tg_cover *c, int index) {
  int at[TG_MAX_AXES], naxes = c->space->naxes;
  int64_t values = 0, pairs = 0;
  values_of(c, index, at);
  for (int a = 0; a < naxes; a++) {
    values += !c->value[at[a]];
    for (int b = a + 1; b < naxes; b++) pairs += !c->pair[at[a] * c->nvalues + at[b]];
  }
  return values * TG_MAX_AXES * TG_MAX_AXES + pairs;
}

static void mark(tg_cover *c, int index, bool met) {
  int at[TG_MAX_AXES], naxes = c->space->naxes;
  values_of(c, index, at);
  for (int a = 0; a < naxes; a++) {
    bool *value = &c->value[at[a]];
    c->values_left += *value - met, *value = met;
    for (int b = a + 1; b < naxes; b++) {
      bool *pair = &c->pair[at[a] * c->nvalues + at[b]];
      c->pairs_left += *pair - met, *pair = met;
    }
  }
}

tg_cover *tg_cover_make(tg_arena *arena, const tg_search_space *space, uint64_t seed) {
  tg_cover *c = TG_NEW(arena, tg_cover);
  *c = (tg_cover){.space = space, .first = TG_NEWN(arena, int, space->naxes + 1), .taken = TG_NEWN(arena, bool, space->n + 1)};
  tg_rng_seed(&c->rng, seed);
  for (int a = 0; a < space->naxes; a++) c->first[a] = c->nvalues, c->nvalues += space->axes[a].n;
  const size_t all = (size_t)c->nvalues * (size_t)c->nvalues;
  c->value = TG_NEWN(arena, bool, c->nvalues + 1);
  c->pair = TG_NEWN(arena, bool, all + 1);
  memset(c->value, true, (size_t)c->nvalues), memset(c->pair, true, all); // nothing is left of what no allowed config has
  memset(c->taken, 0, (size_t)space->n);
  for (int i = 0; i < space->n; i++) mark(c, i, false);
  c->values = c->values_left, c->pairs = c->pairs_left, c->left = space->n;
  return c;
}

// The i-th config from a random place on that is not taken.
static int any_left(tg_cover *c) {
  int i = (int)tg_rng_below(&c->rng, (uint64_t)c->space->n);
  while (c->taken[i]) i = (i + 1) % c->space->n;
  return i;
}

// The first config that adds anything, from where the search before ended: what is behind it adds nothing, now or later.
static int first_useful(tg_cover *c) {
  while (c->at < c->space->n && (c->taken[c->at] || !gain(c, c->at))) c->at++;
  return c->at < c->space->n ? c->at : -1;
}

int tg_cover_next(tg_cover *c) {
  if (!c->left) return -1;
  int best = any_left(c);
  if (c->pairs_left || c->values_left) {
    int64_t most = gain(c, best);
    for (int i = 1; i < CANDIDATES; i++) {
      const int other = any_left(c);
      const int64_t more = gain(c, other);
      if (more > most) best = other, most = more;
    }
    const int useful = most ? -1 : first_useful(c);
    if (useful >= 0) best = useful;
  }
  c->taken[best] = true;
  c->left--;
  mark(c, best, true);
  return best;
}

tg_covered tg_cover_count(const tg_cover *c) {
  return (tg_covered){
      .values = c->values - c->values_left, .of_values = c->values, .pairs = c->pairs - c->pairs_left, .of_pairs = c->pairs};
}
