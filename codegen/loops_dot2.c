// dot by instructions that multiply pairs of bf16 and add to f32: twice the products of an f32 multiply-add. Operands are bf16, or e4m3,
// which bf16 holds exactly and without subnormals; both are packed as bf16 with two steps of the reduced axis side by side:
//
//   a  rows x kc, as it lies in memory
//   b  per panel kc/2 x nr pairs
//
// Scales would not survive the rounding to bf16, so each block of the reduced axis that shares one is summed from 0 and then joins the
// result by one multiplication with both scales. The instruction takes subnormal bf16 as 0 and gives no subnormal f32.
#include "codegen/loops_dot.h"

enum { FEWEST_ROWS = 5, STEP = 4 /* elements of the reduced axis that a trip of the micro-kernel takes */ };

static bool exact_in_bf16(int dtype) { return dtype == TG_BF16 || dtype == TG_E4M3; }

// Elements of the reduced axis that share a scale, in a step of the fold.
static int64_t block_of(const tg_op *dot) {
  int32_t K = dot->in[0]->type.dim[1];
  if (dot->code != TG_OP_DOT_SCALED) return K;
  int32_t a = dot->in[3]->type.dim[1], b = dot->in[4]->type.dim[1];
  return K / (a > b ? a : b);
}

bool loops_dot2_takes(const tg_op *dot) {
  return exact_in_bf16(dot->in[0]->type.dtype) && exact_in_bf16(dot->in[1]->type.dtype) && dot->out[0]->type.dtype == TG_F32;
}

bool loops_dot2_fits(const tg_op *dot) {
  const tg_type *a = &dot->in[0]->type;
  if (!loops_dot2_takes(dot) || a->dim[0] < FEWEST_ROWS || a->dim[1] % 2) return false;
  if (dot->code != TG_OP_DOT_SCALED) return true;
  int64_t block = block_of(dot);
  return block % STEP == 0 && a->dim[1] / dot->in[3]->type.dim[1] % block == 0 && a->dim[1] / dot->in[4]->type.dim[1] % block == 0;
}

void loops_dot2_describe(dot_job *J) { J->pairs = true, J->unroll = STEP, J->block = block_of(J->dot); }

void loops_dot2_begin(lower *L, dot_job *J) {
  if (!J->sa) return;
  int64_t blocks = (J->kc + J->block - 1) / J->block;
  J->sapack = loops_dot_matrix(L, TG_F32, blocks, J->M + J->mr, "sa");
  J->sbpack = loops_dot_matrix(L, TG_F32, blocks, J->nr, "sb");
}

// ---- packing

// Number of the first block of this trip in the strip.
static tg_value *first_block(lower *L, dot_job *J) { return loops_divc(L, J->offset, J->block); }

static lane_index scale_of_block(lower *L, dot_job *J, const lane_index *block, int lanes, int64_t scales) {
  lane_index k = loops_zero();
  loops_add_index(&k, block, lanes, J->block);
  return loops_dot_scale_index(L, J, &k, lanes, J->K, scales);
}

static void pack_sa_body(lower *L, nest *N, const pos *p) { // at (block, row)
  dot_job *J = N->user;
  pos q = {.rank = 2, .lanes = p->lanes}, to = *p;
  q.at[0] = loops_dot_scale_index(L, J, &p->at[1], p->lanes, J->M, J->sa->type.dim[0]);
  q.at[1] = scale_of_block(L, J, &p->at[0], p->lanes, J->sa->type.dim[1]);
  lane_index first = loops_var(first_block(L, J));
  loops_add_index(&to.at[0], &first, p->lanes, 1);
  loops_write_buffer(L, J->sapack, &to, loops_eval_lanes(L, J->sa, &q), TG_F32);
}

void loops_dot2_pack_sa(lower *L, dot_job *J) {
  if (!J->sa) return;
  nest N;
  loops_nest_init(L, &N, 2, (int32_t[]){(int32_t)(J->K / J->block), J->M});
  N.need[1] = J->rows;
  N.lanes = 1; // rows lie far apart in memory
  N.body = pack_sa_body, N.user = J;
  loops_nest_run(L, &N);
}

static void pack_sb_body(lower *L, nest *N, const pos *p) { // at (block, column)
  dot_job *J = N->user;
  pos q = {.rank = 2, .lanes = p->lanes}, to = *p;
  q.at[0] = loops_dot_scale_index(L, J, &p->at[1], p->lanes, J->N, J->sb->type.dim[0]);
  q.at[1] = scale_of_block(L, J, &p->at[0], p->lanes, J->sb->type.dim[1]);
  lane_index first = loops_var(first_block(L, J)), panel = loops_var(J->panel);
  loops_add_index(&to.at[0], &first, p->lanes, 1);
  loops_add_index(&to.at[1], &panel, p->lanes, -1);
  loops_write_buffer(L, J->sbpack, &to, loops_eval_lanes(L, J->sb, &q), TG_F32);
}

void loops_dot2_pack_sb(lower *L, dot_job *J, tg_value *column, int lanes) {
  if (!J->sb) return;
  nest N;
  loops_nest_init(L, &N, 2, (int32_t[]){(int32_t)(J->K / J->block), 1});
  N.lanes = 1, N.fixed_lanes = lanes;
  N.start.at[1] = loops_var(column), N.start.lanes = lanes;
  for (int l = 0; l < lanes; l++) N.start.at[1].c[l] += l;
  N.body = pack_sb_body, N.user = J;
  loops_nest_run(L, &N);
}

// Lanes of x, one step of the reduced axis: every other half of a row of pairs.
static void store_half(lower *L, dot_job *J, tg_value *k, tg_value *column, const pos *to, tg_value *x) {
  tg_value *odd = loops_bin(L, TG_OP_AND, k, loops_int(L, 1));
  tg_value *at = loops_ptradd(L, J->bpack->ptr, loops_mulc(L, loops_sub(L, k, odd), J->nr * 2));
  at = loops_ptradd(L, at, loops_add(L, loops_mulc(L, odd, 2), loops_mulc(L, column, 4)));
  for (int l = 0; l < to->lanes; l++) {
    tg_value *e = to->lanes == 1 ? x : loops_pure(L, TG_OP_EXTRACT, 1, &x, 1, (tg_attr[]){TG_AINT("i", l)});
    loops_store_at(L, loops_ptradd(L, at, loops_int(L, to->at[1].c[l] * 4)), e, 2);
  }
}

// Pairs of step k, an odd one, and the one before.
static void store_pairs(lower *L, dot_job *J, tg_value *k, tg_value *column, const pos *to, tg_value *pairs) {
  tg_value *at = loops_ptradd(L, J->bpack->ptr, loops_mulc(L, loops_addc(L, k, -1), J->nr * 2));
  loops_store_at(L, loops_ptradd(L, at, loops_mulc(L, loops_addc(L, column, to->at[1].c[0]), 4)), pairs, 4);
}

// Where a trip of the loop around covers several steps, which begin at an even one, the even ones wait for the odd ones.
void loops_dot2_pack_b(lower *L, dot_job *J, const pos *to, tg_value *x) {
  tg_value *k = loops_index_value(L, &to->at[0], 1), *column = loops_index_base(L, &to->at[1]);
  if (!L->block || L->probe) {
    store_half(L, J, k, column, to, loops_cast(L, x, TG_BF16));
    return;
  }
  if (x->type.dtype == TG_E4M3) {
    tg_value *both[] = {J->even, x};
    if (L->block->row % 2 == 0) J->even = x;
    else store_pairs(L, J, k, column, to, loops_pure(L, TG_OP_PAIRS, 2, both, 0, NULL));
    return;
  }
  x = loops_cast(L, x, TG_F32); // whose upper half is the bf16
  tg_value *bits = loops_pure(L, TG_OP_BITCAST, 1, &x, 1, (tg_attr[]){TG_ASTR("to", "i32")});
  if (L->block->row % 2 == 0) {
    J->even = loops_bin(L, TG_OP_AND, loops_bin(L, TG_OP_SHR, bits, loops_const(L, TG_I32, 16)), loops_const(L, TG_I32, 0xffff));
    return;
  }
  tg_value *pair = loops_bin(L, TG_OP_OR, J->even, loops_bin(L, TG_OP_AND, bits, loops_const(L, TG_I32, -65536)));
  store_pairs(L, J, k, column, to, pair);
}

// ---- the micro-kernel

static tg_value *pair_at(lower *L, tg_value *p, int64_t bytes, tg_type type) {
  return loops_load_at(L, L->top, loops_ptradd(L, p, loops_int(L, bytes)), type, 4, false);
}

// acc[row] += a[row][from … to] . b[from … to], `from` and `to` multiples of STEP
static void multiply(lower *L, dot_job *J, tg_value *row, tg_value *from, tg_value *to, int height, tg_value **acc) {
  tg_value *a = loops_ptradd(L, J->apack->ptr, loops_mulc(L, row, J->lda * 2));
  tg_value *k = loops_open(L, from, to, STEP, height, acc);
  tg_value *ak = loops_ptradd(L, a, loops_mulc(L, k, 2)), *bk = loops_ptradd(L, J->bpack->ptr, loops_mulc(L, k, J->nr * 2));
  for (int u = 0; u < STEP; u += 2) {
    tg_value *b = pair_at(L, bk, u * J->nr * 2, tg_vector_type(TG_I32, J->nr));
    for (int r = 0; r < height; r++) {
      tg_value *x = pair_at(L, ak, (r * J->lda + u) * 2, tg_scalar_type(TG_I32));
      tg_value *in[] = {acc[r], loops_splat(L, x, J->nr), b};
      acc[r] = loops_pure(L, TG_OP_DOT2, 3, in, 0, NULL);
    }
  }
  loops_close(L, height, acc);
}

// Both scales of a block of row r: one multiplication, so that it overflows only where the product does.
static tg_value *scales(lower *L, dot_job *J, tg_value *row, tg_value *block, int r) {
  tg_value *sa = loops_ptradd(L, J->sapack->ptr, loops_mulc(L, loops_add(L, loops_mulc(L, block, J->M + J->mr), row), 4));
  tg_value *sb = loops_ptradd(L, J->sbpack->ptr, loops_mulc(L, block, J->nr * 4));
  tg_value *x = loops_load_at(L, L->top, loops_ptradd(L, sa, loops_int(L, r * 4)), tg_scalar_type(TG_F32), 4, false);
  return loops_dot_sum_scale(L, loops_bin(L, TG_OP_MUL, x, loops_load_at(L, L->top, sb, tg_vector_type(TG_F32, J->nr), 16, false)));
}

// c[rows][panel] += a[rows][from … to] . b[from … to]
static void add_block(lower *L, dot_job *J, tg_value *row, tg_value *from, tg_value *to, int height) {
  tg_value *acc[LOOPS_LANES];
  for (int r = 0; r < height; r++) acc[r] = loops_splat(L, loops_const(L, TG_F32, 0), J->nr);
  multiply(L, J, row, from, to, height, acc);
  tg_value *c = loops_ptradd(L, loops_ptradd(L, J->c->ptr, loops_mulc(L, J->panel, 4)), loops_mulc(L, row, J->ldc * 4));
  for (int r = 0; r < height; r++) {
    tg_value *at = loops_ptradd(L, c, loops_int(L, r * J->ldc * 4));
    tg_value *old = loops_load_at(L, L->top, at, tg_vector_type(TG_F32, J->nr), 16, false);
    tg_value *sum =
        J->sa ? loops_fma(L, acc[r], scales(L, J, row, loops_divc(L, from, J->block), r), old) : loops_bin(L, TG_OP_ADD, old, acc[r]);
    loops_store_at(L, at, sum, 16);
  }
}

void loops_dot2_micro(lower *L, dot_job *J, tg_value *row, int height) {
  if (!J->sa) {
    add_block(L, J, row, loops_int(L, 0), J->padded, height);
    return;
  }
  tg_value *from = loops_open(L, loops_int(L, 0), J->padded, J->block, 0, NULL);
  add_block(L, J, row, from, loops_min(L, loops_addc(L, from, J->block), J->padded), height);
  loops_close(L, 0, NULL);
}
