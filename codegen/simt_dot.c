// Matrix products: layouts of operands and accumulators from the fragments of a matrix instruction, and the instructions themselves.
#include "codegen/matrix.h"
#include "codegen/simt_pipe.h"

static int log2_of(int n) { return __builtin_ctz((unsigned)n); }

// Load that an operand comes from, through casts and renamings alone; NULL when it is computed.
static const tg_op *load_of(const tg_value *v) {
  while (v->def && v->def->nin && (v->def->code == TG_OP_CAST || v->def->code == TG_OP_TRANSPOSE || v->def->code == TG_OP_RESHAPE))
    v = v->def->in[0];
  return v->def && v->def->code == TG_OP_LOAD ? v->def : NULL;
}

// The same when it goes from memory straight to where the instruction wants it. Without assumptions elements come one by one: they are held
// in a register each on their way, and all warps that share an operand load it. Then they are better brought once, and read from shared
// memory, where that has room for them.
static const tg_op *straight_load(const simt *s, const tg_value *v) {
  const tg_op *load = load_of(v);
  return load && (s->assume || s->lean || s->warp_bits == 0) ? load : NULL;
}

const tg_matrix_row *simt_dot_row(const tg_machine *machine, const tg_op *op) {
  int a = op->in[0]->type.dtype, b = op->in[1]->type.dtype, c = op->in[2]->type.dtype, k = op->in[0]->type.dim[1];
  for (const tg_matrix_row *row = tg_matrix_rows; row->name; row++)
    if (row->a == a && row->b == b && row->accumulators == c && k % row->k == 0 && tg_matrix_on(row, machine)) return row;
  return NULL;
}

static int bits_of(const tg_value *v) { return tg_dtypes[v->type.dtype].bits; }

// log2 of the operands in 32 bits
static int word_bits(const tg_matrix_row *row) { return log2_of(32 / tg_dtypes[row->a].bits); }

// Where the bits of an instruction's k lie in the tile's: those of the registers first, as many as make 16 bytes, so that a lane's own
// elements are neighbours in memory and one load fetches the operands of several instructions. Sums over k may be taken in any order, as
// long as A and B agree. Matrices from shared memory are in k's own order. Of the fragment's bits the lowest `own` tell the elements of a
// register apart, two are lanes', all others registers'.
static void place_k(simt *s, const tg_op *op, int own, int bits, int at[12]) {
  const tg_op *a = straight_load(s, op->in[0]), *b = straight_load(s, op->in[1]);
  for (int i = 0; i < bits; i++) at[i] = i;
  bool ahead = simt_note_of(s, simt_staged(s, op->in[0]))->ahead && simt_note_of(s, simt_staged(s, op->in[1]))->ahead;
  if (!a || !b) return;
  int size = bits_of(a->out[0]), other = bits_of(b->out[0]), vector = log2_of(128 / (size > other ? size : other));
  if (ahead) vector = size == 8 && other == 8 ? 2 : own; // as many as make a word of a matrix
  if (vector > bits - 2) vector = bits - 2;
  for (int i = 0, reg = 0; reg < bits; i++, reg = i < own ? i : i + 2) at[reg] = i < vector ? i : i + 2;
  at[own] = vector;
  at[own + 1] = vector + 1;
}

// Codes on their way from memory that runs along the tile's rows (or columns) come as pairs of neighbours (simt_stage.c, PAIRS): the bit
// that tells two neighbours apart is then a register's, the one beyond the fragment's lane bits.
static bool comes_in_pairs(simt *s, const tg_op *op, int operand) {
  const tg_value *v = simt_staged(s, op->in[operand]);
  return simt_note_of(s, v)->ahead && !simt_note_of(s, v)->widened && bits_of(v) == 8 && op->in[2]->type.dim[operand] % 16 == 0 &&
         simt_runs_along(s, op->in[operand], operand);
}

static void place_side(bool pairs, uint32_t image[4]) {
  for (int i = 0; i < 4; i++) image[i] = 1u << (pairs ? (i + 1) % 4 : i);
}

// What an image of `axis` flips, for a holder; a replica where the tile is smaller than the instruction. A replicated register is left out
// altogether.
static void add_bit(tg_layout *l, tg_holder holder, int axis, uint32_t image) {
  if (image < 1u << l->out[axis]) tg_layout_add(l, holder, axis, __builtin_ctz(image));
  else if (holder != TG_REGISTER) tg_layout_add(l, holder, -1, 0);
}

typedef struct warp_split { // which bit of m (axis 0) or n (axis 1) each warp bit holds; axis -1: none left
  int axis[8], bit[8], n;
} warp_split;

// The outer bits beyond `atom` ones: those of as many warps as m is to be split among and then n's, or (warps_m 0) alternately from the
// axis that has more left.
static warp_split split_warps(const tg_layout *c, const int atom[2], int warp_bits, int warps_m) {
  warp_split w = {.n = warp_bits};
  int left[2] = {c->out[0] - atom[0], c->out[1] - atom[1]};
  for (int i = 0; i < warp_bits; i++) {
    int axis = warps_m ? 1 << i >= warps_m : left[0] < left[1];
    if (warps_m && left[axis] <= 0) axis = 1 - axis;
    w.axis[i] = left[axis] > 0 ? axis : -1;
    if (left[axis] > 0) w.bit[i] = atom[axis] + --left[axis];
  }
  return w;
}

static bool warp_has(const warp_split *w, int axis, int bit) {
  for (int i = 0; i < w->n; i++)
    if (w->axis[i] == axis && w->bit[i] == bit) return true;
  return false;
}

// Registers for what neither the lanes nor the warps hold, from bit `from` on.
static void add_rest(tg_layout *l, int axis, int from, uint32_t lanes, const warp_split *w, int tile_axis) {
  for (int b = from; b < l->out[axis]; b++)
    if (!(lanes >> b & 1) && !warp_has(w, tile_axis, b)) tg_layout_add(l, TG_REGISTER, axis, b);
}

// Registers for the lowest bits, as far as they are registers' without a gap: what a lane stores at once. Returns how far that is.
static int add_near(tg_layout *l, int axis, uint32_t lanes, const warp_split *w) {
  int b = 0;
  for (; b < l->out[axis] && !(lanes >> b & 1) && !warp_has(w, axis, b); b++) tg_layout_add(l, TG_REGISTER, axis, b);
  return b;
}

// Columns that go to stores are dealt out so that a lane has neighbours, where B's rows (columns of the tile) may be read in any order.
static void place_columns(simt *s, const tg_op *op, bool pairs, const tg_layout *c, const warp_split *w, uint32_t image[4]) {
  int left = c->out[1] - 2;
  for (int i = 0; i < w->n; i++) left -= w->axis[i] == 1;
  place_side(pairs, image);
  if (pairs || left < 2 || !simt_runs_along(s, op->in[1], 0)) return;
  const int together = log2_of(simt_columns_together(s, op)), near = together < left ? together : left;
  if (near > 1) image[1] = 1u << near, image[2] = 1u << (near + 1);
}

// Warps split m and n among them; an operand that does not have a warp's axis is held by each.
static void add_warps(tg_layout *l, const warp_split *w, int m_axis, int n_axis) {
  for (int i = 0; i < w->n; i++) {
    int axis = w->axis[i] == 0 ? m_axis : w->axis[i] == 1 ? n_axis : -1;
    tg_layout_add(l, TG_WARP, axis, w->bit[i]);
  }
}

// A fragment's rows along an axis: three bits of lanes, one of registers.
static void add_rows(tg_layout *l, int axis, const uint32_t image[4]) {
  add_bit(l, TG_REGISTER, axis, image[3]);
  for (int i = 0; i < 3; i++) add_bit(l, TG_LANE, axis, image[i]);
}

// The instruction's left or right operand: which of the dot's it is, along which of its axes rows or columns and k run, and the result's
// axis.
typedef struct side {
  int index, axis, k_axis, c_axis;
} side;

static side side_of(const simt_dot_layouts *l, bool left) {
  return left != l->turned ? (side){.index = 0, .axis = 0, .k_axis = 1, .c_axis = 0}
                           : (side){.index = 1, .axis = 1, .k_axis = 0, .c_axis = 1};
}

static tg_layout *layout_of(simt_dot_layouts *l, side x) { return x.index ? &l->b : &l->a; }

void simt_dot_plan(simt *s, const tg_op *op, simt_dot_layouts *out) {
  const simt_wgmma *groups = simt_groups_of_dot(s, op);
  if (groups) {
    *out = (simt_dot_layouts){.turned = groups->turned};
    simt_wgmma_layout(groups, &op->out[0]->type, &out->c);
    return;
  }
  const tg_type *ta = &op->in[0]->type, *tb = &op->in[1]->type, *tc = &op->in[2]->type;
  const tg_matrix_row *row = out->row = simt_dot_row(s->machine, op);
  out->turned = row && simt_dot_is_turned(s, op);
  if (!row) {
    simt_fma_plan(s, op, out);
    return;
  }
  out->a = tg_layout_empty(2, ta->dim);
  out->b = tg_layout_empty(2, tb->dim);
  out->c = tg_layout_empty(2, tc->dim);
  int kbits = out->a.out[1], most = (int)(sizeof out->k_image / sizeof out->k_image[0]), own = word_bits(row);
  if (kbits > most) simt_fail(s, op, "dot over k tiles of %d is not supported; up to %d is", ta->dim[1], 1 << most);
  const side left = side_of(out, true), right = side_of(out, false);
  const bool pairs[] = {comes_in_pairs(s, op, left.index), comes_in_pairs(s, op, right.index)};
  int at[12], atom[2];
  atom[left.c_axis] = log2_of(row->m), atom[right.c_axis] = log2_of(row->n) + pairs[1];
  warp_split w = split_warps(&out->c, atom, s->warp_bits, s->warps_m);
  place_k(s, op, own, kbits, at);
  for (int i = 0; i < kbits; i++) out->k_image[i] = 1u << at[i];
  place_side(pairs[0], out->m_image);
  place_columns(s, op, pairs[1], &out->c, &w, out->n_image);
  // The fragments of layout.c's tg_layout_mma_*, with the bits where they were placed and what exceeds the tile left out.
  tg_layout *a = layout_of(out, left), *b = layout_of(out, right), *c = &out->c;
  const uint32_t *k = out->k_image, *n = out->n_image;
  for (int i = 0; i < kbits; i = i == own - 1 ? own + 2 : i + 1)
    add_bit(a, TG_REGISTER, left.k_axis, k[i]), add_bit(b, TG_REGISTER, right.k_axis, k[i]);
  const int near = add_near(c, right.c_axis, n[1] | n[2], &w);
  for (int i = 0; i < 2; i++) {
    add_bit(a, TG_LANE, left.k_axis, k[own + i]), add_bit(b, TG_LANE, right.k_axis, k[own + i]);
    add_bit(c, TG_LANE, right.c_axis, n[1 + i]);
  }
  add_rows(a, left.axis, out->m_image), add_rows(c, left.c_axis, out->m_image);
  for (int i = 0; i < 3; i++) add_bit(b, TG_LANE, right.axis, n[i]);
  add_rest(a, left.axis, 4, 0, &w, left.c_axis);
  add_rest(b, right.axis, 0, n[0] | n[1] | n[2], &w, right.c_axis);
  add_rest(c, right.c_axis, near, n[1] | n[2], &w, right.c_axis);
  add_rest(c, left.c_axis, 4, 0, &w, left.c_axis);
  add_warps(&out->a, &w, 0, -1);
  add_warps(&out->b, &w, -1, 1);
  add_warps(c, &w, 0, 1);
}

// k that one load of 16 bytes covers, with the lanes beside it: what is held of operands at a time.
static int64_t depth_held(int64_t k) {
  enum { AT_ONCE = 4 * 128 / 16 };
  return k < AT_ONCE ? k : AT_ONCE;
}

bool simt_dot_seeds(simt *s, const tg_op *op, int operand) {
  const simt_note *note = simt_note_of(s, simt_staged(s, op->in[operand]));
  if (simt_groups_of_dot(s, op) || (!simt_dot_row(s->machine, op) && simt_fma_loops(op, s->warp_bits))) return false;
  return !note->stage && !note->kept && !note->box &&
         (!simt_dot_row(s->machine, op) || straight_load(s, op->in[operand]) || !op->in[operand]->def);
}

static int fma_registers(const tg_op *op, int warp_bits) {
  int64_t m = op->in[2]->type.dim[0], n = op->in[2]->type.dim[1], sum = m * n >> (5 + warp_bits), side = 1;
  const int64_t depth = op->in[0]->type.dim[1] < 4 ? op->in[0]->type.dim[1] : 4;
  while (side * side < sum) side++;
  if (simt_fma_loops(op, warp_bits)) return (int)(sum + side * (depth + 1));
  return (int)(sum + 2 * side * depth); // operands: rows and columns of a lane, up to four neighbours in k
}

int simt_dot_registers(const tg_machine *machine, const tg_op *op, int warp_bits) {
  const tg_matrix_row *row = simt_dot_row(machine, op);
  if (!row) return fma_registers(op, warp_bits);
  tg_layout c = tg_layout_empty(2, op->in[2]->type.dim);
  warp_split w = split_warps(&c, (int[]){log2_of(row->m), log2_of(row->n)}, warp_bits, 0);
  int64_t m = op->in[2]->type.dim[0], n = op->in[2]->type.dim[1], k = depth_held(op->in[0]->type.dim[1]);
  for (int i = 0; i < warp_bits; i++) {
    if (w.axis[i] == 0) m /= 2;
    if (w.axis[i] == 1) n /= 2;
  }
  m = m < row->m ? row->m : m;
  n = n < row->n ? row->n : n;
  bool apart = row->depth || (op->in[2]->def && op->in[2]->def->code == TG_OP_CONST); // what it is added to is held beside it
  return (int)((m * n * (apart ? 2 : 1) + (m + n) * k * tg_dtypes[op->in[0]->type.dtype].bits / 32) / 32);
}

int simt_dot_sharers(simt *s, const tg_op *op, int operand) {
  const tg_matrix_row *row = simt_dot_row(s->machine, op);
  tg_layout c = tg_layout_empty(2, op->in[2]->type.dim);
  warp_split w = split_warps(&c, (int[]){log2_of(row->m), log2_of(row->n)}, s->warp_bits, s->warps_m);
  int n = 1;
  for (int i = 0; i < w.n; i++) n <<= w.axis[i] != operand;
  return n;
}

bool simt_dot_streams(const tg_machine *machine, const tg_op *op) {
  return !simt_dot_row(machine, op) || depth_held(op->in[0]->type.dim[1]) < op->in[0]->type.dim[1];
}

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

typedef struct operand {
  const tg_value *value;
  finder find;
  simt_reader *reader;     // NULL: held in registers
  const simt_stage *stage; // that the dot fills itself, from these registers; NULL: none
  const simt_tile *from;
  int chunk; // that lies there; -1: nothing, and nobody reads there
  int k_axis;
} operand;

typedef struct dot {
  simt *s;
  simt_dot_layouts l;
  operand left, right; // the instruction's
  finder c;
  simt_tile *sum, *total; // total: what earlier stretches of k sum to, beside the instruction's own accumulators; NULL: nothing
  int own;                // log2 of the operands in a register
  int rows, columns;      // of the result, as the instruction has them
  int m_extent, n_extent; // of their 2^n parts
  int m_half;             // distance of the second half of a fragment's rows; 0 when the tile has only one
  uint32_t k_inner;       // bits of k inside one instruction
} dot;

static int find_in(const operand *o, int x, int k) { return o->k_axis ? find(&o->find, x, k) : find(&o->find, k, x); }
static int find_sum(const dot *d, int m, int n) { return d->l.turned ? find(&d->c, n, m) : find(&d->c, m, n); }

// Neighbours in k, of a row or column.
static tg_value *word(dot *d, const operand *o, int x, int k) {
  tg_value *reg[4];
  if (o->reader) return simt_read_word(d->s, o->reader, find_in(o, x, k));
  for (int i = 0; i < 1 << d->own; i++) {
    int step = 0;
    for (int b = 0; b < d->own; b++) step |= i >> b & 1 ? (int)d->l.k_image[b] : 0;
    reg[i] = o->find.tile->reg[find_in(o, x, k ^ step)];
  }
  return simt_pack(d->s, reg, 1 << d->own);
}

static void one_mma(dot *d, int m, int n, int k) {
  int far = k ^ (int)d->l.k_image[d->own + 2], m2 = m ^ d->m_half, n2 = n ^ (int)d->l.n_image[0];
  int c[4] = {find_sum(d, m, n), -1, find_sum(d, m2, n), -1};
  bool two = d->n_extent > 1; // odd numbers of columns hold each element twice
  c[1] = two ? find_sum(d, m, n2) : c[0];
  c[3] = two ? find_sum(d, m2, n2) : c[2];
  tg_value *in[10] = {word(d, &d->left, m, k),    word(d, &d->left, m2, k), word(d, &d->left, m, far),
                      word(d, &d->left, m2, far), word(d, &d->right, n, k), word(d, &d->right, n, far)};
  for (int i = 0; i < 4; i++) in[6 + i] = d->sum->reg[c[i]];
  tg_type f32 = tg_scalar_type(TG_F32), types[] = {f32, f32, f32, f32};
  tg_op *mma = tg_build_typed(&d->s->b, TG_OP_MMA, 10, in, 1, &TG_ASTR("row", d->l.row->name), 4, types);
  for (int i = 3; i >= 0; i--) d->sum->reg[c[i]] = mma->out[i];
}

static void along_n(dot *d, int m, int k) {
  for (int n = 0; n < d->columns; n++)
    if (find_sum(d, m, n) >= 0 && starts_step(n, d->n_extent, d->l.n_image[0])) one_mma(d, m, n, k);
}

// Number of the register bit that is the first beyond k's.
static int beyond_k(const simt_dot_layouts *l) { return l->a.out[1] - 2; }

// What of an operand's stage fragments are read from: codes that several warps use are widened first, between two barriers.
static const simt_stage *stage_to_read(simt *s, const simt_stage *stage) {
  if (!stage || !stage->wide) return stage;
  const bool fresh = s->fresh;
  stage->wide->base = simt_take_shared(s, stage->wide->bytes);
  if (!fresh) simt_barrier(s);
  simt_widen_stage(s, stage);
  s->fresh = fresh;
  return stage->wide;
}

// In registers where it comes from memory or has its elements in the right lanes, else through shared memory.
static operand open_operand(simt *s, const tg_op *op, simt_dot_layouts *dot, bool left) {
  const side side = side_of(dot, left);
  const tg_value *v = op->in[side.index];
  const tg_layout *l = layout_of(dot, side);
  const int k_axis = side.k_axis;
  operand o = {.value = v, .k_axis = k_axis, .chunk = -1};
  const tg_value *held = simt_renamed(v);
  const simt_stage *stage = stage_to_read(s, simt_note_of(s, simt_staged(s, v))->stage);
  tg_layout have;
  simt_tile *places = simt_new_tile(s, l);
  if (!stage && !straight_load(s, v) && v->def && !simt_is_lazy(held)) {
    have = simt_plan_of(s, held);
    have = tg_layout_compact(&have);
    tg_layout as_operand;
    bool right = simt_result_layout(v, held, &have, &as_operand) && simt_is_free(s, &as_operand, l);
    if (!right) {
      o.from = simt_get(s, held, &have);
      simt_stage *mine = simt_stage_of_tile(s, v, l, o.from, k_axis);
      if (mine) mine->base = simt_take_quiet(s, mine->bytes);
      o.stage = stage = mine;
    }
  }
  if (stage) {
    o.reader = simt_open_reader(s, stage, v, l, left, beyond_k(dot));
  }
  o.find = make_finder(s, stage ? places : simt_get(s, v, l), v->type);
  return o;
}

// Has the chunk that holds this k brought where the reader looks.
static void fill(simt *s, operand *o, int k) {
  if (!o->stage) return;
  int chunk = o->stage->chunk_bits ? (k >> o->stage->tile.out[o->stage->chunk_axis]) % (1 << o->stage->chunk_bits) : 0;
  if (chunk == o->chunk) return;
  if (o->chunk >= 0) simt_barrier(s);
  simt_store_stage(s, o->stage, o->from, chunk);
  simt_settle(s);
  o->chunk = chunk;
}

// The instruction's accumulators begin at 0, what they come to is added to the total.
static void begin_stretch(dot *d) {
  tg_value *zero = tg_const_float(&d->s->prologue, tg_scalar_type(TG_F32), 0);
  for (int i = 0, n = tg_layout_registers(&d->l.c); i < n; i++) d->sum->reg[i] = zero;
}

static void end_stretch(dot *d, bool alone) { // nothing but zeros before it
  for (int i = 0, n = tg_layout_registers(&d->l.c); i < n; i++)
    d->total->reg[i] = alone ? d->sum->reg[i] : tg_build2(&d->s->b, TG_OP_ADD, d->sum->reg[i], d->total->reg[i]);
}

static simt_tile *copy_of(simt *s, const simt_tile *from) {
  simt_tile *t = simt_new_tile(s, &from->layout);
  memcpy(t->reg, from->reg, sizeof(tg_value *) * (size_t)tg_layout_registers(&from->layout));
  return t;
}

static bool is_widened(simt *s, const tg_value *operand) {
  const simt_stage *stage = simt_note_of(s, simt_staged(s, operand))->stage;
  return stage && stage->wide;
}

void simt_dot(simt *s, tg_op *op) {
  dot d = {.s = s};
  if (simt_pipe_of_dot(s, op)) {
    simt_wgmma_dot(s, op);
    return;
  }
  if (simt_groups_of_dot(s, op)) {
    simt_staged_dot(s, op);
    return;
  }
  simt_dot_plan(s, op, &d.l);
  if (!d.l.row) {
    simt_fma(s, op, &d.l);
    return;
  }
  int64_t top = s->shared_top;
  const int depth = d.l.row->depth;
  d.left = open_operand(s, op, &d.l, true);
  d.right = open_operand(s, op, &d.l, false);
  if (is_widened(s, op->in[0]) || is_widened(s, op->in[1])) simt_barrier(s);
  s->fresh = false;
  simt_tile *c = simt_get(s, op->in[2], &d.l.c);
  d.c = make_finder(s, c, op->in[2]->type);
  d.sum = copy_of(s, c);
  d.own = word_bits(d.l.row);
  const side m = side_of(&d.l, true), n = side_of(&d.l, false);
  d.rows = op->in[2]->type.dim[m.c_axis], d.columns = op->in[2]->type.dim[n.c_axis];
  d.m_extent = 1 << d.l.c.out[m.c_axis], d.n_extent = 1 << d.l.c.out[n.c_axis];
  d.m_half = d.l.c.out[m.c_axis] > 3 ? (int)d.l.m_image[3] : 0;
  for (int i = 0; i < d.own + 3; i++) d.k_inner |= d.l.k_image[i];
  const int pk = 1 << d.l.a.out[1], deep = op->in[0]->type.dim[1];
  const bool zero = simt_is_zero(op->in[2]);
  if (depth && (deep > depth || !zero)) d.total = copy_of(s, c);
  int stretch = -1;
  for (int k = 0; k < deep; k++) {
    if (!starts_step(k, pk, d.k_inner)) continue;
    if (d.total && k / depth != stretch) {
      if (stretch >= 0) end_stretch(&d, zero && stretch == 0);
      begin_stretch(&d);
      stretch = k / depth;
    }
    fill(s, &d.left, k), fill(s, &d.right, k);
    for (int i = 0; i < d.rows; i++)
      if (starts_step(i, d.m_extent, (uint32_t)d.m_half) && find_in(&d.left, i, k) >= 0) along_n(&d, i, k);
  }
  if (d.total) end_stretch(&d, zero && stretch <= 0);
  simt_free_shared(s, top);
  simt_set(s, op->out[0], d.total ? d.total : d.sum);
}
