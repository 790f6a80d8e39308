// Tiles in shared memory: operands of dots on their way from memory, or from the lanes that computed them, to the fragments of matrix
// instructions. A tile lies there in row-major order, units of 16 bytes moved so that neither those who write nor those who read meet in a
// bank (tg_map_swizzle).
#include "codegen/simt_stage.h"
#include "codegen/matrix.h"
#include "codegen/simt_access.h"

enum { BANK_BITS = SIMT_BANK_BITS, UNIT = SIMT_UNIT };

static int size_of(const simt_stage *g) { return tg_dtypes[g->type.dtype].bits / 8; }
static int unit_bits(const simt_stage *g) { return __builtin_ctz((unsigned)(UNIT / size_of(g))); }

// ---- places ----------------------------------------------------------------------------------------------------------------

static uint32_t image_of(const tg_layout *l, int reg) {
  uint32_t image = 0;
  for (int b = 0; b < l->in[TG_REGISTER]; b++)
    if (reg >> b & 1) image ^= tg_layout_image(l, TG_REGISTER, b);
  return image;
}

uint32_t simt_stage_byte(const simt_stage *g, uint32_t packed) { return tg_map_apply(&g->at, packed) * (uint32_t)size_of(g); }

int64_t simt_stage_block(const simt_stage *g) { return (int64_t)size_of(g) << g->tile.map.nout; }

tg_value *simt_stage_part(simt *s, const simt_stage *g, const uint32_t *lanes, const tg_layout *l, uint32_t *bits) {
  uint32_t lane[TG_MAP_BITS], warp[TG_MAP_BITS];
  *bits = 0;
  for (int b = 0; b < s->lane_bits; b++) *bits |= lane[b] = simt_stage_byte(g, lanes[b]);
  for (int b = 0; b < s->warp_bits; b++) *bits |= warp[b] = simt_stage_byte(g, tg_layout_image(l, TG_WARP, b));
  tg_value *x = simt_linear(s, s->lane_id, s->lane_bits, lane), *y = simt_linear(s, s->warp_id, s->warp_bits, warp);
  x = x && y ? tg_build2(&s->prologue, TG_OP_XOR, x, y) : x ? x : y;
  return x ? x : simt_int(s, TG_I32, 0);
}

tg_value *simt_stage_address(simt *s, tg_value *base, tg_value *part, uint32_t bits, uint32_t bytes, int64_t more) {
  if (bytes & bits) part = tg_build2(&s->prologue, TG_OP_XOR, part, simt_int(s, TG_I32, bytes & bits));
  return simt_offset(s, simt_offset(s, base, part), simt_int(s, TG_I32, (bytes & ~bits) + more));
}

// ---- swizzles --------------------------------------------------------------------------------------------------------------

// The eight lanes that write units, or read them, at once.
static tg_map eight(const simt_stage *g, uint32_t a, uint32_t b, uint32_t c) {
  tg_map f = tg_map_zero(BANK_BITS, g->tile.map.nout);
  f.col[0] = a, f.col[1] = b, f.col[2] = c;
  return f;
}

static void choose_places(simt_stage *g, int n, const tg_map *accesses) {
  int bits = g->tile.map.nout;
  while (!tg_map_swizzle(bits, unit_bits(g), BANK_BITS, n, accesses, &g->at)) n--; // the first ones count most; none is always possible
}

// ---- readers: fragments from a stage ---------------------------------------------------------------------------------------

// How a layout of the stage's tile can be read: whole 8 x 8 matrices of 16 bits, transposed or not; codes of 8 bits out of transposed
// matrices of pairs; or as many neighbours as a lane has.
typedef enum how { PLAIN, MATRICES, TRANSPOSED, PAIRS } how;

static int own_bits(const simt_stage *g) { return size_of(g) == 1 ? 2 : 1; } // register bits of a word

// Neighbours of a row go to one lane, two lane bits are the row's next, everything else picks rows and units.
static bool in_rows(const tg_layout *l, int own, uint32_t low) {
  bool good = true;
  for (int b = 0; b < own; b++) good &= tg_layout_image(l, TG_REGISTER, b) == 1u << b;
  for (int b = 0; b < 5; b++) {
    uint32_t image = tg_layout_image(l, TG_LANE, b);
    good &= b < 2 ? image == 1u << (own + b) : !(image & low);
  }
  return good;
}

// Neighbours of a row go to one register bit, if `pair` (else to none), then to three lane bits; what is in a word or in the lanes beside
// it picks rows.
static bool in_columns(const tg_layout *l, int own, uint32_t low, int pair) {
  bool good = tg_layout_image(l, TG_REGISTER, 0) != 0;
  for (int b = 0; b < own; b++) good &= !(tg_layout_image(l, TG_REGISTER, b) & low);
  for (int b = 0; b < 5; b++) {
    uint32_t image = tg_layout_image(l, TG_LANE, b);
    good &= b < 2 ? !(image & low) : image == 1u << (b - 2 + pair);
  }
  return good;
}

static int register_of(const tg_layout *l, uint32_t image) {
  for (int b = 0; b < l->in[TG_REGISTER]; b++)
    if (tg_layout_image(l, TG_REGISTER, b) == image) return b;
  return -1;
}

static bool others_stay_out(const tg_layout *l, int own, uint32_t low, int except) { // of units
  for (int h = TG_REGISTER; h < TG_NHOLDERS; h++)
    for (int b = h == TG_REGISTER ? own : h == TG_LANE ? 5 : 0; b < l->in[h]; b++)
      if ((h != TG_REGISTER || b != except) && tg_layout_image(l, (tg_holder)h, b) & low) return false;
  return true;
}

static how how_to_read(const simt_stage *g, const tg_layout *l) {
  const int size = size_of(g), own = own_bits(g);
  const uint32_t low = (uint32_t)(UNIT / size) - 1;
  if (size > 2 || l->out[l->rank - 1] < unit_bits(g) || l->in[TG_REGISTER] < own) return PLAIN;
  if (size == 1 && register_of(l, 1) >= own)
    return in_columns(l, own, low, 1) && others_stay_out(l, own, low, register_of(l, 1)) ? PAIRS : PLAIN;
  if (!others_stay_out(l, own, low, -1)) return PLAIN;
  return in_rows(l, own, low) ? MATRICES : size == 2 && in_columns(l, own, low, 0) ? TRANSPOSED : PLAIN;
}

// What the eight lanes differ in that give the addresses of a matrix's rows.
static void rows_of(how h, const tg_layout *l, uint32_t rows[3]) {
  for (int i = 0; i < 3; i++) rows[i] = tg_layout_image(l, TG_LANE, h == MATRICES ? 2 + i : h == PLAIN ? i : i ? i - 1 : 0);
  if (h == TRANSPOSED || h == PAIRS) rows[0] = tg_layout_image(l, TG_REGISTER, 0);
}

static tg_map reads_of(const simt_stage *g, const tg_layout *l) {
  uint32_t rows[3];
  rows_of(how_to_read(g, l), l, rows);
  return eight(g, rows[0], rows[1], rows[2]);
}

bool simt_follow(const tg_value *operand, const tg_value *staged, const tg_layout *fragment, tg_layout *out, int *repetition) {
  tg_layout want;
  *out = *fragment;
  for (int i = 0, n = tg_layout_repetitions(fragment); repetition && i < n; i++) repetition[i] = i;
  for (const tg_value *v = operand; v != staged; v = simt_under(v)) {
    if (v->def->code == TG_OP_CAST || v->def->code == TG_OP_SELECT) continue;
    if (!simt_operand_layout(v->def, out, &want)) return false;
    for (int i = 0, n = tg_layout_repetitions(fragment); repetition && i < n; i++)
      repetition[i] = simt_operand_repetition(v->def, out, &want, repetition[i]);
    *out = want;
  }
  return true;
}

// The fragment as a layout of what lies there: where pairs of a unit are turned, bits 2, 3 and 1 of the last axis are bits 1, 2 and 3.
static bool lies(const simt_stage *g, const tg_value *operand, const tg_layout *fragment, tg_layout *out, int *repetition) {
  if (!simt_follow(operand, g->value, fragment, out, repetition)) return false;
  if (!g->turned) return true;
  tg_map f = tg_map_identity(out->map.nout);
  f.col[2] = 1u << 1, f.col[3] = 1u << 2, f.col[1] = 1u << 3;
  *out = tg_layout_rename(out, &f, g->type.rank, g->type.dim);
  return true;
}

bool simt_runs_along(simt *s, const tg_value *operand, int axis) {
  tg_layout l = tg_layout_empty(operand->type.rank, operand->type.dim), staged;
  if (!l.out[axis]) return false;
  tg_layout_add(&l, TG_REGISTER, axis, 0);
  return simt_follow(operand, simt_staged(s, operand), &l, &staged, NULL) && tg_layout_image(&staged, TG_REGISTER, 0) == 1;
}

// Without the bits of an axis from `bits` on.
static tg_layout without_top(const tg_layout *l, int axis, int bits, const tg_type *type) {
  tg_layout empty = tg_layout_empty(type->rank, type->dim);
  tg_map f = tg_map_zero(l->map.nout, empty.map.nout);
  for (int a = 0; a < l->rank; a++)
    for (int b = 0; b < (a == axis ? bits : l->out[a]); b++)
      f.col[tg_layout_axis_shift(l, a) + b] = 1u << (tg_layout_axis_shift(&empty, a) + b);
  return tg_layout_rename(l, &f, type->rank, type->dim);
}

struct simt_reader {
  const simt_stage *stage;
  tg_layout layout;
  int *repetition;
  how how;
  int select[2], nmatrices; // register bits that tell the matrices of one instruction apart
  int pair;                 // PAIRS: the register bit of two neighbours
  int width;                // PLAIN: elements
  int own;                  // registers of a word
  bool widens;              // codes to bf16
  tg_value **word, *part;
  uint32_t bits;
};

static int neighbours(const tg_layout *l, int most) {
  int n = 1;
  for (int b = 0; b < l->in[TG_REGISTER] && tg_layout_image(l, TG_REGISTER, b) == (uint32_t)n && n < most; b++) n *= 2;
  return n;
}

// Which register bits an instruction takes at once, in the order in which the matrix instruction wants what comes of them side by side: A's
// rows then k, B's k then columns.
static void choose_matrices(simt_reader *r, bool is_a, int other) {
  int n = r->layout.in[TG_REGISTER], first = own_bits(r->stage);
  if (r->how == PAIRS) { // the halves of a word, then k
    r->pair = register_of(&r->layout, 1);
    r->select[r->nmatrices++] = 1;
    if (first != r->pair) r->select[r->nmatrices++] = first;
    return;
  }
  if (n > first) r->select[r->nmatrices++] = first;
  if (n > first + 1) r->select[r->nmatrices++] = other > first && other < n ? other : first + 1;
  if (!is_a || r->nmatrices < 2) return;
  int k = r->select[0];
  r->select[0] = r->select[1], r->select[1] = k;
}

simt_reader *simt_open_reader(simt *s, const simt_stage *stage, const tg_value *operand, const tg_layout *fragment, bool is_a, int other) {
  simt_reader *r = TG_NEW(s->arena, simt_reader);
  r->stage = stage;
  r->repetition = TG_NEWN(s->arena, int, tg_layout_repetitions(fragment));
  if (!lies(stage, operand, fragment, &r->layout, r->repetition)) tg_throw(s->ctx, TG_FAILED, "simt: an operand cannot be followed");
  if (stage->chunk_bits) r->layout = without_top(&r->layout, stage->chunk_axis, stage->tile.out[stage->chunk_axis], &stage->type);
  const tg_layout *l = &r->layout;
  uint32_t lanes[5] = {0};
  r->how = how_to_read(stage, l);
  r->own = 32 / tg_dtypes[operand->type.dtype].bits;
  r->widens = size_of(stage) == 1 && r->own == 2;
  r->word = TG_NEWN(s->arena, tg_value *, tg_layout_registers(fragment));
  if (r->how == PLAIN) {
    r->width = neighbours(l, UNIT / size_of(stage));
    for (int b = 0; b < 5; b++) lanes[b] = tg_layout_image(l, TG_LANE, b);
  } else {
    choose_matrices(r, is_a, other);
    rows_of(r->how, l, lanes);
    for (int i = 0; i < r->nmatrices; i++) lanes[3 + i] = tg_layout_image(l, TG_REGISTER, r->select[i]);
  }
  r->part = simt_stage_part(s, stage, lanes, l, &r->bits);
  return r;
}

static tg_value *place(simt *s, const simt_reader *r, int reg) {
  int bits = r->layout.in[TG_REGISTER], low = reg & ((1 << bits) - 1);
  return simt_stage_address(s, r->stage->base, r->part, r->bits, simt_stage_byte(r->stage, image_of(&r->layout, low)),
                            r->repetition[reg >> bits] * simt_stage_block(r->stage));
}

// Four registers' word of codes; widened to bf16, two words, of the pairs that begin at the first and the third.
static void set_codes(simt *s, simt_reader *r, int reg, tg_value *codes) {
  r->word[reg] = codes;
  if (!r->widens) return;
  tg_value *both = tg_build1(&s->b, TG_OP_QUADS, codes);
  for (int i = 0; i < 2; i++) r->word[reg + 2 * i] = tg_build(&s->b, TG_OP_EXTRACT, 1, &both, 1, &TG_AINT("i", i))->out[0];
}

static tg_value *every_other_byte(simt *s, tg_value *low, tg_value *high, int first) {
  tg_value *in[] = {low, high};
  const int64_t at[] = {first, first + 2, first + 4, first + 6};
  return tg_build(&s->b, TG_OP_BYTES, 2, in, 1, &TG_AINTS("at", at, 4))->out[0];
}

// Matrices of pairs of columns, a lane's column being the pair's: each word has two rows of both columns, which are put together by column.
static void read_pairs(simt *s, simt_reader *r, int reg) {
  int group = reg & ~3 & ~(1 << r->pair);
  for (int i = 0; i < r->nmatrices; i++) group &= ~(1 << r->select[i]);
  tg_value *ptr = place(s, r, group);
  tg_attr attrs[] = {TG_AINT("count", 1 << r->nmatrices), TG_AINT("trans", 1)};
  tg_op *op = tg_build(&s->b, TG_OP_LDMATRIX, 1, &ptr, 2, attrs);
  for (int j = 0; j < 1 << r->nmatrices; j += 2)
    for (int column = 0; column < 2; column++)
      set_codes(s, r, group | (j ? 1 << r->select[1] : 0) | column << r->pair, every_other_byte(s, op->out[j], op->out[j + 1], column));
}

static void read_matrices(simt *s, simt_reader *r, int reg) {
  bool codes = size_of(r->stage) == 1;
  int group = reg & (codes ? ~3 : ~1);
  for (int i = 0; i < r->nmatrices; i++) group &= ~(1 << r->select[i]);
  tg_value *ptr = place(s, r, group);
  tg_attr attrs[] = {TG_AINT("count", 1 << r->nmatrices), TG_AINT("trans", 1)};
  tg_op *op = tg_build(&s->b, TG_OP_LDMATRIX, 1, &ptr, r->how == TRANSPOSED ? 2 : 1, attrs);
  for (int j = 0; j < 1 << r->nmatrices; j++) {
    int at = group;
    for (int i = 0; i < r->nmatrices; i++) at |= (j >> i & 1) << r->select[i];
    if (codes) set_codes(s, r, at, op->out[j]);
    else r->word[at] = op->out[j];
  }
}

static void read_plain(simt *s, simt_reader *r, int reg) {
  int first = reg & ~(r->width - 1), size = size_of(r->stage), dtype = r->stage->type.dtype;
  tg_value *ptr = place(s, r, first), *element[16];
  tg_attr attrs[] = {TG_ATYPE("type", r->width > 1 ? tg_vector_type(dtype, r->width) : tg_scalar_type(dtype)),
                     TG_AINT("align", r->width * size)};
  simt_unpack(s, tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, attrs)->out[0], element, r->width);
  for (int i = 0; i < r->width; i++) r->word[first + i] = element[i];
}

tg_value *simt_read_word(simt *s, simt_reader *r, int reg) {
  reg &= ~(r->own - 1);
  if (r->how != PLAIN) {
    if (!r->word[reg]) (r->how == PAIRS ? read_pairs : read_matrices)(s, r, reg);
    return r->word[reg];
  }
  for (int i = 0; i < r->own; i++)
    if (!r->word[reg + i]) read_plain(s, r, reg + i);
  return simt_pack(s, &r->word[reg], r->own);
}

// ---- writers ---------------------------------------------------------------------------------------------------------------

static uint32_t all_bits(const tg_layout *l, tg_holder holder) {
  uint32_t bits = 0;
  for (int b = 0; b < l->in[holder]; b++) bits |= tg_layout_image(l, holder, b);
  return bits;
}

void simt_store_stage(simt *s, const simt_stage *g, const simt_tile *from, int chunk) {
  tg_layout l = from->layout, whole = l;
  int size = size_of(g), width = neighbours(&l, UNIT / size), bits = l.in[TG_REGISTER];
  while (width > 1 && (all_bits(&l, TG_LANE) | all_bits(&l, TG_WARP)) & (uint32_t)(width - 1)) width /= 2;
  if (g->chunk_bits) l = without_top(&l, g->chunk_axis, g->tile.out[g->chunk_axis], &g->type);
  uint32_t lanes[5], may = 0;
  for (int b = 0; b < 5; b++) lanes[b] = tg_layout_image(&l, TG_LANE, b);
  tg_value *part = simt_stage_part(s, g, lanes, &l, &may), *owner = simt_owner(s, &whole);
  for (int i = 0, n = tg_layout_registers(&whole); i < n; i += width) {
    if (simt_is_replica(&whole, i)) continue;
    if (g->chunk_bits && (simt_register_offset(&whole, i, g->chunk_axis) >> g->tile.out[g->chunk_axis]) % (1 << g->chunk_bits) != chunk)
      continue;
    tg_value *ptr = simt_stage_address(s, g->base, part, may, simt_stage_byte(g, image_of(&l, i & ((1 << bits) - 1))),
                                       (i >> bits) * simt_stage_block(g));
    tg_value *in[] = {ptr, simt_pack(s, &from->reg[i], width), owner};
    if (owner && width > 1) in[2] = tg_build(&s->b, TG_OP_SPLAT, 1, &owner, 1, &TG_AINT("n", width))->out[0];
    tg_build(&s->b, owner ? TG_OP_STOREM : TG_OP_LSTORE, owner ? 3 : 2, in, 1, &TG_AINT("align", width * size));
  }
}

static bool mask_layout(const simt_stage *g, const tg_layout *held, tg_layout *out) {
  return simt_result_layout(g->mask->in[1], g->value, held, out);
}

// The condition of each register of what the copies bring.
static simt_tile *mask_of(simt *s, const simt_stage *g) {
  tg_layout as_select;
  if (!mask_layout(g, &g->held, &as_select)) tg_throw(s->ctx, TG_FAILED, "simt: a mask cannot be followed");
  return simt_remake(s, g->mask->in[0], &as_select);
}

// Whether copies can do what a mask does: it is the same all along the tile's last axis, and cheap to make where they are made.
static bool mask_can_be_copied(simt *s, const simt_stage *g) {
  const tg_value *condition = g->mask->in[0];
  const tg_op *op = condition->def;
  tg_layout l;
  int repeated = 0;
  for (int a = 0; a < g->tile.rank; a++) repeated += g->tile.odd[a] > 1;
  if (repeated > 1 || !mask_layout(g, &g->held, &l) || !simt_can_remake(s, condition, 12)) return false;
  int last = condition->type.rank - 1;
  return op && op->code == TG_OP_BROADCAST && condition->type.dim[last] == g->type.dim[g->type.rank - 1] && last >= 0 &&
         (op->in[0]->type.rank == 0 || op->in[0]->type.dim[op->in[0]->type.rank - 1] == 1);
}

// Asynchronous copies of what a load reads; the caller closes their group.
void simt_copy_stage(simt *s, const tg_op *op, const simt_stage *g) {
  simt_access a;
  simt_open_access(&a, s, op, op->out[0]->type);
  simt_start_access(&a, &g->held);
  const tg_layout *l = &g->held;
  int bytes = a.width * size_of(g), bits = l->in[TG_REGISTER];
  if (bytes < 4) tg_throw(s->ctx, TG_FAILED, "simt: a copy of %d bytes was planned", bytes);
  uint32_t lanes[5], may = 0;
  for (int b = 0; b < 5; b++) lanes[b] = tg_layout_image(l, TG_LANE, b);
  tg_value *part = simt_stage_part(s, g, lanes, l, &may), *owner = simt_owner(s, l);
  simt_tile *mask = g->mask ? mask_of(s, g) : NULL;
  tg_builder outer = s->b;
  if (owner) {
    tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &owner, 0, NULL, 0, NULL);
    tg_builder otherwise = s->b;
    otherwise.before = s->b.before = NULL;
    s->b.region = tg_add_region(&outer, branch, 0, 0, NULL), otherwise.region = tg_add_region(&outer, branch, 1, 0, NULL);
    tg_build_yield(&otherwise, 0, NULL);
  }
  for (int i = 0, n = tg_layout_registers(l); i < n; i += a.width) {
    if (simt_is_replica(l, i)) continue;
    tg_value *inside, *from = simt_element(&a, i, &inside), *all = simt_int(s, TG_I32, bytes);
    if (mask) inside = simt_and(&s->b, inside, mask->reg[i]);
    tg_value *to = simt_stage_address(s, g->base, part, may, simt_stage_byte(g, image_of(l, i & ((1 << bits) - 1))),
                                      (i >> bits) * simt_stage_block(g));
    tg_value *in[] = {to, from, inside ? tg_build3(&s->b, TG_OP_SELECT, inside, all, simt_int(s, TG_I32, 0)) : all};
    tg_build(&s->b, TG_OP_CP_ASYNC, 3, in, 1, &TG_AINT("bytes", bytes));
  }
  if (!owner) return;
  tg_build_yield(&s->b, 0, NULL);
  s->b.region = outer.region, s->b.before = outer.before;
}

// ---- making stages ---------------------------------------------------------------------------------------------------------

simt_stage *simt_make_stage(simt *s, const tg_value *value, uint8_t dtype, const tg_layout *held) {
  simt_stage *g = TG_NEW(s->arena, simt_stage);
  g->value = value;
  g->type = value->type;
  g->type.dtype = dtype;
  g->tile = tg_layout_empty(g->type.rank, g->type.dim);
  g->held = *held;
  g->bytes = tg_type_elements(g->type) * size_of(g);
  return g;
}

static tg_map writes_of(const simt_stage *g, const tg_layout *l) {
  return eight(g, tg_layout_image(l, TG_LANE, 0), tg_layout_image(l, TG_LANE, 1), tg_layout_image(l, TG_LANE, 2));
}

int simt_group_swizzle(tg_type type) {
  const tg_layout l = tg_layout_empty(type.rank, type.dim);
  const int columns = l.out[l.rank - 1], bytes = tg_dtypes[type.dtype].bits / 8 << (columns < 7 ? columns : 7);
  for (int i = 0; i < l.rank - 1; i++)
    if (l.odd[i] > 1) return 0;
  return bytes < 32 || l.map.nout - columns < 3 ? 0 : bytes < 128 ? bytes : 128;
}

// PTX ISA, "Shared memory matrix layout": rows of `swizzle` bytes one below the other, what exceeds them in further such parts; bits 7 and
// up of an address, as many as tell a row's units apart, flip those three lower.
void simt_place_for_groups(simt_stage *g) {
  const int size = size_of(g), columns = g->tile.out[g->tile.rank - 1], rows = g->tile.map.nout - columns;
  g->swizzle = simt_group_swizzle(g->type);
  const int line = __builtin_ctz((unsigned)g->swizzle), low = line - __builtin_ctz((unsigned)size);
  g->at = tg_map_zero(g->tile.map.nout, g->tile.map.nout);
  for (int b = 0; b < columns; b++) g->at.col[b] = 1u << (b < low ? b : rows + b);
  for (int r = 0; r < rows; r++) {
    const int byte = line + r;
    g->at.col[columns + r] = 1u << (low + r);
    if (byte >= 7 && byte < 3 + line) g->at.col[columns + r] |= 1u << (low + r - 3);
  }
}

// Places that serve those who read, by their fragments, and one who writes; false where one could not read.
static bool choose_for(simt *s, simt_stage *g, const simt_readers *reads, const tg_layout *fragment, bool copied, tg_map writes) {
  tg_map accesses[SIMT_MOST_READERS + 1];
  int n = 0;
  for (int i = 0; i < reads->n; i++) {
    tg_layout l;
    if (simt_groups_of_dot(s, reads->at[i].op)) {
      simt_place_for_groups(g);
      continue;
    }
    if (!simt_follow(reads->at[i].op->in[reads->at[i].operand], g->value, &fragment[i], &l, NULL)) return false;
    if (copied && how_to_read(g, &l) == PLAIN && (neighbours(&l, 2) < 2 || size_of(g) != 2)) return false;
    accesses[n++] = reads_of(g, &l);
  }
  accesses[n++] = writes;
  if (!g->swizzle) choose_places(g, n, accesses);
  return true;
}

static bool flips_banks(const simt_stage *g, uint32_t image) { return tg_map_apply(&g->at, image) != image; }

// A register whose bit flips banks needs an address of its own, others are a constant apart: warps take such bits, where they have others.
static void give_flips_to_warps(simt_stage *g) {
  tg_layout *l = &g->held;
  const int units = unit_bits(g), regs = l->in[TG_REGISTER], first = regs + l->in[TG_LANE];
  for (int r = 0; r < regs; r++) {
    if (l->map.col[r] >> units == 0 || !flips_banks(g, l->map.col[r])) continue;
    for (int w = first; w < l->map.nin; w++) {
      if (!l->map.col[w] || flips_banks(g, l->map.col[w])) continue;
      const uint32_t image = l->map.col[r];
      l->map.col[r] = l->map.col[w], l->map.col[w] = image;
      break;
    }
  }
}

simt_stage *simt_stage_of_load(simt *s, const tg_value *load, const simt_readers *reads, const tg_layout *fragment, const tg_layout *held) {
  simt_stage *g = simt_make_stage(s, load, load->type.dtype, held);
  g->mask = reads->mask;
  if (g->tile.map.nout < unit_bits(g) || (g->mask && !mask_can_be_copied(s, g))) return NULL;
  if (!choose_for(s, g, reads, fragment, true, writes_of(g, held))) return NULL;
  if (!g->mask) give_flips_to_warps(g); // a mask was looked at as held
  return g;
}

simt_stage *simt_stage_of_kept(simt *s, const tg_value *value, const simt_readers *reads, const tg_layout *fragment,
                               const simt_tile *tile) {
  simt_stage *g = simt_make_stage(s, value, value->type.dtype, &tile->layout);
  if (g->tile.map.nout < unit_bits(g)) return NULL;
  return choose_for(s, g, reads, fragment, false, writes_of(g, &tile->layout)) ? g : NULL;
}

bool simt_stage_has_matrices(const simt_stage *g, const tg_value *operand, const tg_layout *fragment) {
  tg_layout l;
  return lies(g, operand, fragment, &l, NULL) && how_to_read(g, &l) != PLAIN;
}

void simt_choose_places(simt_stage *g, const tg_value *operand, const tg_layout *fragment, const uint32_t writes[3]) {
  tg_layout l;
  if (!lies(g, operand, fragment, &l, NULL)) return;
  tg_map accesses[] = {reads_of(g, &l), eight(g, writes[0], writes[1], writes[2])};
  choose_places(g, 2, accesses);
}

// Of a computed operand, in chunks along k where all of it would take much.
simt_stage *simt_stage_of_tile(simt *s, const tg_value *operand, const tg_layout *fragment, const simt_tile *tile, int k_axis) {
  enum { MUCH = 32 << 10 };
  const tg_value *value = simt_renamed(operand);
  simt_stage *g = simt_make_stage(s, value, value->type.dtype, &tile->layout);
  tg_layout l;
  if (!simt_follow(operand, value, fragment, &l, NULL)) return NULL;
  if (value == operand) { // k's highest bits may be left out one by one, where registers alone hold them
    g->chunk_axis = k_axis;
    while (g->bytes > MUCH && g->tile.out[k_axis] > 4) {
      uint32_t top = 1u << (tg_layout_axis_shift(&tile->layout, k_axis) + g->tile.out[k_axis] - 1);
      if ((all_bits(&tile->layout, TG_LANE) | all_bits(&tile->layout, TG_WARP) | all_bits(&l, TG_LANE) | all_bits(&l, TG_WARP)) & top)
        break;
      g->type.dim[k_axis] /= 2;
      g->tile = tg_layout_empty(g->type.rank, g->type.dim);
      g->bytes /= 2;
      g->chunk_bits++;
    }
    if (g->chunk_bits) l = without_top(&l, k_axis, g->tile.out[k_axis], &g->type);
  }
  tg_map accesses[] = {reads_of(g, &l), writes_of(g, &tile->layout)};
  choose_places(g, neighbours(&tile->layout, UNIT / size_of(g)) * size_of(g) == UNIT && !g->chunk_bits ? 2 : 1, accesses);
  return g;
}
