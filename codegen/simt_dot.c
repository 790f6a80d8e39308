// Matrix products: layouts of operands and accumulators from the fragments of a matrix instruction, and the instructions themselves.
#include "codegen/matrix.h"
#include "codegen/simt.h"

static int log2_of(int n) { return __builtin_ctz((unsigned)n); }

// Load that an operand comes from, through casts and renamings alone; NULL when it is computed.
static const tg_op *load_of(const tg_value *v) {
  while (v->def && v->def->nin && (v->def->code == TG_OP_CAST || v->def->code == TG_OP_TRANSPOSE || v->def->code == TG_OP_RESHAPE))
    v = v->def->in[0];
  return v->def && v->def->code == TG_OP_LOAD ? v->def : NULL;
}

// NULL where there is none, or where the tile of k is shorter than the instruction: then lanes multiply and add.
static const tg_matrix_row *choose_row(const tg_op *op) {
  int a = op->in[0]->type.dtype, b = op->in[1]->type.dtype, c = op->in[2]->type.dtype, k = op->in[0]->type.dim[1];
  for (const tg_matrix_row *row = tg_matrix_rows; row->name; row++)
    if (row->operands == a && row->operands == b && row->accumulators == c && k % row->k == 0) return row;
  return NULL;
}

// Where the bits of an instruction's k lie in the tile's: those of the registers first, as many as make 16 bytes, so that a lane's own
// elements are neighbours in memory and one load fetches the operands of several instructions. Sums over k may be taken in any order, as
// long as A and B agree.
static void place_k(const tg_op *op, int bits, int at[8]) {
  const tg_op *a = load_of(op->in[0]), *b = load_of(op->in[1]);
  for (int i = 0; i < bits; i++) at[i] = i;
  if (!a || !b) return;
  int size = tg_dtypes[a->out[0]->type.dtype].bits, other = tg_dtypes[b->out[0]->type.dtype].bits,
      vector = log2_of(128 / (size > other ? size : other));
  if (vector > bits - 2) vector = bits - 2;
  for (int i = 0, reg = 0; reg < bits; i++, reg = i < 1 ? 0 : i + 2) at[reg] = i < vector ? i : i + 2; // 0, then 3 and up
  at[1] = vector;
  at[2] = vector + 1;
}

// Bit `bit` of an axis for a holder, or a replica where the tile is smaller than the instruction. A replicated register is left out
// altogether.
static void add_bit(tg_layout *l, tg_holder holder, int axis, int bit) {
  if (bit < l->out[axis]) tg_layout_add(l, holder, axis, bit);
  else if (holder != TG_REGISTER) tg_layout_add(l, holder, -1, 0);
}

typedef struct warp_split { // which bit of m (axis 0) or n (axis 1) each warp bit holds; axis -1: none left
  int axis[8], bit[8], n;
} warp_split;

// The outer bits, taken alternately from the axis that has more left.
static warp_split split_warps(const tg_layout *c, const tg_matrix_row *row, int warp_bits) {
  warp_split w = {.n = warp_bits};
  int left[2] = {c->out[0] - log2_of(row->m), c->out[1] - log2_of(row->n)};
  for (int i = 0; i < warp_bits; i++) {
    int axis = left[0] >= left[1] ? 0 : 1;
    w.axis[i] = left[axis] > 0 ? axis : -1;
    if (left[axis] > 0) w.bit[i] = (axis ? log2_of(row->n) : log2_of(row->m)) + --left[axis];
  }
  return w;
}

static bool warp_has(const warp_split *w, int axis, int bit) {
  for (int i = 0; i < w->n; i++)
    if (w->axis[i] == axis && w->bit[i] == bit) return true;
  return false;
}

static void add_rest(tg_layout *l, int axis, int from, const warp_split *w, int tile_axis) {
  for (int b = from; b < l->out[axis]; b++)
    if (!warp_has(w, tile_axis, b)) tg_layout_add(l, TG_REGISTER, axis, b);
}

// Warps split m and n among them; an operand that does not have a warp's axis is held by each.
static void add_warps(tg_layout *l, const warp_split *w, int m_axis, int n_axis) {
  for (int i = 0; i < w->n; i++) {
    int axis = w->axis[i] == 0 ? m_axis : w->axis[i] == 1 ? n_axis : -1;
    tg_layout_add(l, TG_WARP, axis, w->bit[i]);
  }
}

void simt_dot_plan(simt *s, const tg_op *op, simt_dot_layouts *out) {
  const tg_type *ta = &op->in[0]->type, *tb = &op->in[1]->type, *tc = &op->in[2]->type;
  const tg_matrix_row *row = out->row = choose_row(op);
  if (!row) {
    simt_fma_plan(s, op, out);
    return;
  }
  out->a = tg_layout_empty(2, ta->dim);
  out->b = tg_layout_empty(2, tb->dim);
  out->c = tg_layout_empty(2, tc->dim);
  int kbits = out->a.out[1], most = (int)(sizeof out->k_image / sizeof out->k_image[0]);
  if (kbits > most) simt_fail(s, op, "dot over k tiles of %d is not supported; up to %d is", ta->dim[1], 1 << most);
  warp_split w = split_warps(&out->c, row, s->warp_bits);
  int k[8];
  place_k(op, kbits, k);
  for (int i = 0; i < kbits; i++) out->k_image[i] = 1u << k[i];
  // The fragments of layout.c's tg_layout_mma_*, with k's bits where place_k put them and what exceeds the tile left out.
  tg_layout *a = &out->a, *b = &out->b, *c = &out->c;
  add_bit(a, TG_REGISTER, 1, k[0]), add_bit(b, TG_REGISTER, 0, k[0]), add_bit(c, TG_REGISTER, 1, 0);
  for (int i = 3; i < kbits; i++) add_bit(a, TG_REGISTER, 1, k[i]), add_bit(b, TG_REGISTER, 0, k[i]);
  add_bit(a, TG_REGISTER, 0, 3), add_bit(c, TG_REGISTER, 0, 3);
  for (int i = 0; i < 2; i++) add_bit(a, TG_LANE, 1, k[1 + i]), add_bit(b, TG_LANE, 0, k[1 + i]), add_bit(c, TG_LANE, 1, 1 + i);
  for (int i = 0; i < 3; i++) add_bit(a, TG_LANE, 0, i), add_bit(b, TG_LANE, 1, i), add_bit(c, TG_LANE, 0, i);
  add_rest(a, 0, 4, &w, 0);
  add_rest(b, 1, 3, &w, 1);
  add_rest(c, 1, 3, &w, 1);
  add_rest(c, 0, 4, &w, 0);
  add_warps(a, &w, 0, -1);
  add_warps(b, &w, -1, 1);
  add_warps(c, &w, 0, 1);
}

// k that one load of 16 bytes covers, with the lanes beside it: what is held of operands from memory at a time.
static int64_t depth_held(const tg_op *op, int64_t k) {
  const tg_op *a = load_of(op->in[0]), *b = load_of(op->in[1]);
  int64_t at_once = a && b ? 4 * (128 / tg_dtypes[a->out[0]->type.dtype].bits) : k;
  return k < at_once ? k : at_once;
}

static int fma_registers(const tg_op *op, int warp_bits) {
  int64_t m = op->in[2]->type.dim[0], n = op->in[2]->type.dim[1], sum = m * n >> (5 + warp_bits), side = 1;
  while (side * side < sum) side++;
  return (int)(sum + 2 * side * 4); // operands: rows and columns of a lane, four neighbours in k
}

int simt_dot_registers(const tg_op *op, int warp_bits) {
  const tg_matrix_row *row = choose_row(op);
  if (!row) return fma_registers(op, warp_bits);
  tg_layout c = tg_layout_empty(2, op->in[2]->type.dim);
  warp_split w = split_warps(&c, row, warp_bits);
  int64_t m = op->in[2]->type.dim[0], n = op->in[2]->type.dim[1], k = depth_held(op, op->in[0]->type.dim[1]);
  for (int i = 0; i < warp_bits; i++) {
    if (w.axis[i] == 0) m /= 2;
    if (w.axis[i] == 1) n /= 2;
  }
  m = m < row->m ? row->m : m;
  n = n < row->n ? row->n : n;
  bool apart = op->in[2]->def && op->in[2]->def->code == TG_OP_CONST; // what it is added to is held beside it
  return (int)((m * n * (apart ? 2 : 1) + (m + n) * k * tg_dtypes[op->in[0]->type.dtype].bits / 32) / 32);
}

bool simt_dot_streams(const tg_op *op) { return !choose_row(op) || depth_held(op, op->in[0]->type.dim[1]) < op->in[0]->type.dim[1]; }

// ---- instructions ----------------------------------------------------------------------------------------------------------

// Registers by the coordinates of lane 0's element, repetitions included.
typedef struct finder {
  const simt_tile *tile;
  int columns;
  int *reg; // rows x columns; -1 = held elsewhere
  int rows;
} finder;

static finder make_finder(simt *s, const simt_tile *tile, tg_type type) {
  finder f = {tile, type.dim[1], TG_NEWN(s->arena, int, (size_t)type.dim[0] * (size_t)type.dim[1]), type.dim[0]};
  for (int i = 0; i < f.rows * f.columns; i++) f.reg[i] = -1;
  for (int i = tg_layout_registers(&tile->layout) - 1; i >= 0; i--)
    f.reg[simt_register_offset(&tile->layout, i, 0) * f.columns + simt_register_offset(&tile->layout, i, 1)] = i;
  return f;
}

static int find(const finder *f, int row, int column) { return f->reg[row * f->columns + column]; }

// Steps along one axis: its repetitions times the registers' own bits beyond the instruction's, which `inner` masks.
static bool starts_step(int coordinate, int pow2, uint32_t inner) { return !((uint32_t)(coordinate % pow2) & inner); }

typedef struct dot {
  simt *s;
  simt_dot_layouts l;
  finder a, b, c;
  simt_tile *sum;
  int m_half;       // distance of the second half of a fragment's rows; 0 when the tile has only one
  uint32_t k_inner; // bits of k inside one instruction
} dot;

// A pair of neighbours in k, packed; `second` is where the other element of the pair lies.
static tg_value *pair(dot *d, const finder *f, int i, int j) {
  tg_value *reg[2] = {f->tile->reg[i], f->tile->reg[j]};
  return simt_pack(d->s, reg, 2);
}

static tg_value *a_pair(dot *d, int m, int k) { return pair(d, &d->a, find(&d->a, m, k), find(&d->a, m, k ^ (int)d->l.k_image[0])); }
static tg_value *b_pair(dot *d, int k, int n) { return pair(d, &d->b, find(&d->b, k, n), find(&d->b, k ^ (int)d->l.k_image[0], n)); }

static void one_mma(dot *d, int m, int n, int k) {
  int far = k ^ (int)d->l.k_image[3], m2 = m + d->m_half;
  int c[4] = {find(&d->c, m, n), -1, find(&d->c, m2, n), -1};
  bool two = d->l.c.out[1] > 0; // odd numbers of columns hold each element twice
  c[1] = two ? find(&d->c, m, n ^ 1) : c[0];
  c[3] = two ? find(&d->c, m2, n ^ 1) : c[2];
  tg_value *in[10] = {a_pair(d, m, k), a_pair(d, m2, k), a_pair(d, m, far), a_pair(d, m2, far), b_pair(d, k, n), b_pair(d, far, n)};
  for (int i = 0; i < 4; i++) in[6 + i] = d->sum->reg[c[i]];
  tg_type f32 = tg_scalar_type(TG_F32), types[] = {f32, f32, f32, f32};
  tg_op *mma = tg_build_typed(&d->s->b, TG_OP_MMA, 10, in, 1, &TG_ASTR("row", d->l.row->name), 4, types);
  for (int i = 3; i >= 0; i--) d->sum->reg[c[i]] = mma->out[i];
}

static void along_n(dot *d, int m, int k) {
  for (int n = 0; n < d->c.columns; n++)
    if (find(&d->c, m, n) >= 0 && starts_step(n, 1 << d->l.c.out[1], 1)) one_mma(d, m, n, k);
}

void simt_dot(simt *s, tg_op *op) {
  dot d = {.s = s};
  simt_dot_plan(s, op, &d.l);
  if (!d.l.row) {
    simt_fma(s, op, &d.l);
    return;
  }
  simt_tile *a = simt_get(s, op->in[0], &d.l.a), *b = simt_get(s, op->in[1], &d.l.b), *c = simt_get(s, op->in[2], &d.l.c);
  d.a = make_finder(s, a, op->in[0]->type);
  d.b = make_finder(s, b, op->in[1]->type);
  d.c = make_finder(s, c, op->in[2]->type);
  d.sum = simt_new_tile(s, &d.l.c);
  memcpy(d.sum->reg, c->reg, sizeof(tg_value *) * (size_t)tg_layout_registers(&d.l.c));
  d.m_half = d.l.c.out[0] > 3 ? 8 : 0;
  for (int i = 0; i < 4; i++) d.k_inner |= d.l.k_image[i];
  int pm = 1 << d.l.c.out[0], pk = 1 << d.l.a.out[1];
  for (int k = 0; k < d.a.columns; k++)
    for (int m = 0; m < d.c.rows; m++)
      if (starts_step(k, pk, d.k_inner) && starts_step(m, pm, (uint32_t)d.m_half) && find(&d.a, m, k) >= 0) along_n(&d, m, k);
  simt_set(s, op->out[0], d.sum);
}
