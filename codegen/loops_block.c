// Transposing loads: lanes run along an axis that is not contiguous in memory while the loop around runs along one that is. The loop asks
// for several consecutive indices; a square of rows is read along the contiguous axis and turned in registers.
#include "codegen/loops.h"

struct blockmemo {
  struct blockmemo *next;
  const tg_op *op;
  pos at;
  tg_value *rows[16];
};

static tg_value *shuffle(lower *L, tg_value *a, tg_value *b, int n, const int64_t *mask) {
  int64_t *copy = TG_NEWN(&L->lane->arena, int64_t, n);
  memcpy(copy, mask, sizeof *mask * (size_t)n);
  tg_value *in[] = {a, b};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", copy, n)});
}

// n vectors of n elements: element j of vector i goes to element i of vector j, in log2 n rounds of interleaving halves.
static void transpose(lower *L, tg_value **v, int n) {
  int64_t low[16], high[16];
  for (int i = 0; i < n / 2; i++) {
    low[2 * i] = i, low[2 * i + 1] = n + i;
    high[2 * i] = n / 2 + i, high[2 * i + 1] = n + n / 2 + i;
  }
  for (int round = 1; round < n; round *= 2) {
    tg_value *next[16];
    for (int i = 0; i < n / 2; i++) {
      next[2 * i] = shuffle(L, v[i], v[i + n / 2], n, low);
      next[2 * i + 1] = shuffle(L, v[i], v[i + n / 2], n, high);
    }
    memcpy(v, next, sizeof *next * (size_t)n);
  }
}

static tg_value *join(lower *L, tg_value *a, tg_value *b) {
  int64_t mask[2 * LOOPS_LANES];
  int n = loops_lanes(a);
  for (int i = 0; i < 2 * n; i++) mask[i] = i;
  return shuffle(L, a, b, 2 * n, mask);
}

static bool same(const pos *p, const pos *q) {
  for (int a = 0; a < p->rank; a++) {
    const lane_index *x = &p->at[a], *y = &q->at[a];
    if (x->n != y->n || memcmp(x->t, y->t, sizeof(term) * (size_t)x->n) || memcmp(x->c, y->c, sizeof(int32_t) * (size_t)p->lanes))
      return false;
  }
  return p->rank == q->rank && p->lanes == q->lanes;
}

// `axis` of the position runs with the loop; pointer(lane) is where a lane's element of the first row lies.
tg_value *loops_block_load(lower *L, const tg_op *op, const pos *p, int axis, int dtype,
                           tg_value *(*pointer)(lower *L, const tg_op *op, const pos *at), int level, bool constant) {
  int n = L->block->rows, row = L->block->row;
  pos first = *p;
  for (int l = 0; l < p->lanes; l++) first.at[axis].c[l] -= row;
  for (struct blockmemo *m = L->block->memos; m; m = m->next)
    if (m->op == op && same(&m->at, &first)) return m->rows[row];
  struct blockmemo *m = TG_NEW(L->arena, struct blockmemo);
  *m = (struct blockmemo){.next = L->block->memos, .op = op, .at = first};
  L->block->memos = m;
  tg_type type = tg_vector_type(dtype, n);
  tg_value *parts[LOOPS_LANES / 4][16];
  int groups = p->lanes / n;
  for (int g = 0; g < groups; g++) {
    for (int i = 0; i < n; i++) {
      pos one = loops_lane(&first, g * n + i);
      parts[g][i] = loops_load_at(L, level, pointer(L, op, &one), type, tg_dtypes[dtype].bits / 8, constant);
    }
    transpose(L, parts[g], n);
  }
  for (int r = 0; r < n; r++) {
    for (int have = groups; have > 1; have /= 2)
      for (int g = 0; g < have / 2; g++) parts[g][r] = join(L, parts[2 * g][r], parts[2 * g + 1][r]);
    m->rows[r] = parts[0][r];
  }
  return m->rows[row];
}
