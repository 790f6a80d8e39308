// Instructions between the lanes of a warp: shuffles, votes, matches, reductions (ISA 9.7.9 and 9.7.13).
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

// ---- shfl.sync

enum { SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BFLY, SHUFFLE_IDX };

static void shuffle(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *to = &in->args[0], *a = &in->args[in->nouts], *b = a + 1, *c = a + 2;
  uint64_t got[LANES];
  uint32_t inside = 0, valid = 0;
  const uint32_t have = sim_valid(w, a);
  for (int i = 1; i < 4; i++) sim_want(w, in, a + i, active, "an operand");
  for (int l = 0; l < LANES; l++) {
    const uint32_t bval = (uint32_t)sim_get(w, b, l) & 31, cval = (uint32_t)sim_get(w, c, l) & 31;
    const uint32_t mask = (uint32_t)sim_get(w, c, l) >> 8 & 31, lane = (uint32_t)l;
    const uint32_t most = (lane & mask) | (cval & ~mask), least = lane & mask;
    int j;
    bool p;
    switch (in->select) {
    case SHUFFLE_UP: j = (int)lane - (int)bval, p = j >= (int)most; break;
    case SHUFFLE_DOWN: j = (int)(lane + bval), p = j <= (int)most; break;
    case SHUFFLE_BFLY: j = (int)(lane ^ bval), p = j <= (int)most; break;
    default: j = (int)(least | (bval & ~mask)), p = j <= (int)most; break;
    }
    if (!p) j = l;
    got[l] = sim_get(w, a, j);
    inside |= (uint32_t)p << l;
    valid |= (have >> j & 1) << l;
    // A lane that is not there has no value to give.
    if ((active >> l & 1) && !(active >> j & 1)) valid &= ~(1u << l);
  }
  for (int l = 0; l < LANES; l++)
    if (active >> l & 1) sim_put(w, to, l, got[l]);
  sim_set_valid(w, to, active, valid);
  if (in->nouts < 2) return;
  w->preds[in->args[1].at] = (w->preds[in->args[1].at] & ~active) | (inside & active);
  sim_set_valid(w, &in->args[1], active, UINT32_MAX);
}

void sim_decode_shuffle(sim_decoder *d) {
  static const char *const modes[] = {"up", "down", "bfly", "idx"};
  if (!sim_take(d, "sync")) sim_bad(d, "only shfl.sync is known");
  const int mode = sim_take_one(d, modes, 4), bytes = ptx_types[sim_take_type(d)].bytes;
  if (mode < 0 || bytes != 4) sim_bad(d, "no such shuffle");
  d->out->select = (uint8_t)mode;
  sim_operands(d, 5, 5);
  const ptx_operand *to = sim_operand(d, 0);
  sim_add_result(d, to, 4);
  if (to->kind == PTX_REG && to->nitems == 2)
    sim_add_result(d, &(ptx_operand){.kind = to->pair < 0 ? PTX_SINK : PTX_REG, .reg = to->pair}, 0);
  for (int i = 1; i < 5; i++) sim_add_source(d, sim_operand(d, i), 4);
  sim_set_op(d, shuffle, SIM_TOGETHER);
  d->out->target = d->nargs - 1;
}

// ---- vote.sync, activemask

enum { VOTE_ALL, VOTE_ANY, VOTE_UNI, VOTE_BALLOT, VOTE_ACTIVE };

static void vote(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *to = &in->args[0];
  uint32_t yes = active;
  if (in->select != VOTE_ACTIVE) {
    sim_want(w, in, &in->args[1], active, "the predicate");
    yes = sim_pred(w, &in->args[1]) & active;
  }
  if (in->select >= VOTE_BALLOT) {
    for (int l = 0; l < LANES; l++)
      if (active >> l & 1) sim_put(w, to, l, yes);
  } else {
    const bool r = in->select == VOTE_ALL ? yes == active : in->select == VOTE_ANY ? yes != 0 : yes == active || !yes;
    w->preds[to->at] = (w->preds[to->at] & ~active) | (r ? active : 0);
  }
  sim_set_valid(w, to, active, UINT32_MAX);
}

void sim_decode_vote(sim_decoder *d) {
  static const char *const modes[] = {"all", "any", "uni", "ballot"};
  const bool is_active = !strcmp(d->in->mnemonic, "activemask");
  const bool sync = sim_take(d, "sync");
  const int mode = is_active ? VOTE_ACTIVE : sim_take_one(d, modes, 4);
  sim_take_type(d);
  if (mode < 0 || sync == is_active) sim_bad(d, "no such vote");
  d->out->select = (uint8_t)mode;
  sim_operands(d, is_active ? 1 : 3, is_active ? 1 : 3);
  sim_add_result(d, sim_operand(d, 0), mode >= VOTE_BALLOT ? 4 : 0);
  if (!is_active) {
    sim_add_source(d, sim_operand(d, 1), 0);
    sim_add_source(d, sim_operand(d, 2), 4);
  }
  sim_set_op(d, vote, is_active ? SIM_OP : SIM_TOGETHER);
  d->out->target = is_active ? -1 : d->nargs - 1;
}

// ---- match.sync

static void match(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *to = &in->args[0], *a = &in->args[in->nouts];
  sim_want(w, in, a, active, "the value");
  const uint64_t first = sim_get(w, a, __builtin_ctz(active));
  uint32_t masks[LANES], all = 0;
  for (int l = 0; l < LANES; l++) {
    masks[l] = 0;
    for (int k = 0; k < LANES; k++) masks[l] |= (uint32_t)((active >> k & 1) && sim_get(w, a, k) == sim_get(w, a, l)) << k;
    all |= (uint32_t)((active >> l & 1) && sim_get(w, a, l) == first) << l;
  }
  const bool same = all == active;
  for (int l = 0; l < LANES; l++)
    if (active >> l & 1) sim_put(w, to, l, in->select ? same ? active : 0 : masks[l]);
  sim_set_valid(w, to, active, UINT32_MAX);
  if (in->nouts < 2) return;
  w->preds[in->args[1].at] = (w->preds[in->args[1].at] & ~active) | (same ? active : 0);
  sim_set_valid(w, &in->args[1], active, UINT32_MAX);
}

void sim_decode_match(sim_decoder *d) {
  static const char *const modes[] = {"any", "all"};
  const int mode = sim_take_one(d, modes, 2);
  if (!sim_take(d, "sync") || mode < 0) sim_bad(d, "only match.any.sync and match.all.sync are known");
  const int bytes = ptx_types[sim_take_type(d)].bytes;
  d->out->select = (uint8_t)mode;
  sim_operands(d, 3, 3);
  const ptx_operand *to = sim_operand(d, 0);
  sim_add_result(d, to, 4);
  if (to->kind == PTX_REG && to->nitems == 2)
    sim_add_result(d, &(ptx_operand){.kind = to->pair < 0 ? PTX_SINK : PTX_REG, .reg = to->pair}, 0);
  sim_add_source(d, sim_operand(d, 1), bytes);
  sim_add_source(d, sim_operand(d, 2), 4);
  sim_set_op(d, match, SIM_TOGETHER);
  d->out->target = d->nargs - 1;
}

// ---- redux.sync

enum { REDUX_ADD, REDUX_MIN, REDUX_MAX, REDUX_AND, REDUX_OR, REDUX_XOR };

static void redux(sim_warp *w, const sim_instr *in, uint32_t active) {
  const bool is_signed = ptx_types[in->type].cls == 's';
  sim_want(w, in, &in->args[1], active, "the value");
  uint32_t r = (uint32_t)sim_get(w, &in->args[1], __builtin_ctz(active));
  for (uint32_t rest = active & (active - 1); rest; rest &= rest - 1) {
    const uint32_t v = (uint32_t)sim_get(w, &in->args[1], __builtin_ctz(rest));
    const bool less = is_signed ? (int32_t)v < (int32_t)r : v < r;
    switch (in->select) {
    case REDUX_ADD: r += v; break;
    case REDUX_MIN: r = less ? v : r; break;
    case REDUX_MAX: r = less ? r : v; break;
    case REDUX_AND: r &= v; break;
    case REDUX_OR: r |= v; break;
    default: r ^= v;
    }
  }
  for (int l = 0; l < LANES; l++)
    if (active >> l & 1) sim_put(w, &in->args[0], l, r);
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

void sim_decode_redux(sim_decoder *d) {
  static const char *const ops[] = {"add", "min", "max", "and", "or", "xor"};
  const int op = sim_take_one(d, ops, 6);
  if (!sim_take(d, "sync") || op < 0) sim_bad(d, "no such reduction");
  d->out->select = (uint8_t)op;
  d->out->type = (uint8_t)sim_take_type(d);
  if (ptx_types[d->out->type].bytes != 4 || ptx_types[d->out->type].cls == 'f') sim_bad(d, "no such reduction");
  sim_operands(d, 3, 3);
  sim_add_result(d, sim_operand(d, 0), 4);
  sim_add_source(d, sim_operand(d, 1), 4);
  sim_add_source(d, sim_operand(d, 2), 4);
  sim_set_op(d, redux, SIM_TOGETHER);
  d->out->target = d->nargs - 1;
}

// ---- elect.sync d|p, mask: the lowest lane of the mask

static void elect(sim_warp *w, const sim_instr *in, uint32_t active) {
  const uint32_t mask = (uint32_t)sim_get(w, &in->args[2], __builtin_ctz(active));
  const uint32_t lane = mask ? (uint32_t)__builtin_ctz(mask) : 0;
  sim_want(w, in, &in->args[2], active, "the mask");
  for (int l = 0; l < LANES; l++)
    if (active >> l & 1) sim_put(w, &in->args[0], l, lane);
  w->preds[in->args[1].at] = (w->preds[in->args[1].at] & ~active) | (1u << lane & active);
  for (int i = 0; i < 2; i++) sim_set_valid(w, &in->args[i], active, UINT32_MAX);
}

void sim_decode_elect(sim_decoder *d) {
  if (!sim_take(d, "sync")) sim_bad(d, "only elect.sync is known");
  sim_operands(d, 2, 2);
  const ptx_operand *to = sim_operand(d, 0);
  if (to->kind != PTX_REG || to->nitems != 2) sim_bad(d, "results d|p are wanted");
  sim_add_result(d, &(ptx_operand){.kind = to->reg < 0 ? PTX_SINK : PTX_REG, .reg = to->reg}, 4);
  sim_add_result(d, &(ptx_operand){.kind = to->pair < 0 ? PTX_SINK : PTX_REG, .reg = to->pair}, 0);
  sim_add_source(d, sim_operand(d, 1), 4);
  sim_set_op(d, elect, SIM_TOGETHER);
  d->out->target = 2;
}
