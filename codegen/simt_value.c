// Registers of tile values: getting them in a layout, and the coordinates of what they hold.
#include "codegen/simt.h"

// ---- small builders --------------------------------------------------------------------------------------------------

tg_value *simt_int(simt *s, int dtype, int64_t value) { return tg_const_int(&s->prologue, tg_scalar_type(dtype), value); }

tg_value *simt_add(tg_builder *b, tg_value *x, tg_value *y) {
  int64_t i;
  if (!x || !y) return x ? x : y;
  if (tg_const_as_int(x, &i) && i == 0) return y;
  if (tg_const_as_int(y, &i) && i == 0) return x;
  return tg_build2(b, TG_OP_ADD, x, y);
}

tg_value *simt_mul(tg_builder *b, tg_value *x, tg_value *y) {
  int64_t i, j;
  bool cx = tg_const_as_int(x, &i), cy = tg_const_as_int(y, &j);
  if (cx && cy) return tg_const_int(b, x->type, (int64_t)((uint64_t)i * (uint64_t)j));
  if ((cx && i == 0) || (cy && j == 1)) return x;
  if ((cy && j == 0) || (cx && i == 1)) return y;
  return tg_build2(b, TG_OP_MUL, x, y);
}

tg_value *simt_and(tg_builder *b, tg_value *x, tg_value *y) { return x && y && x != y ? tg_build2(b, TG_OP_AND, x, y) : x ? x : y; }

tg_value *simt_offset(simt *s, tg_value *ptr, tg_value *bytes) {
  int64_t i;
  if (!bytes || (tg_const_as_int(bytes, &i) && i == 0)) return ptr;
  return tg_build2(&s->b, TG_OP_PTRADD, ptr, bytes);
}

static tg_value *extract(tg_builder *b, tg_value *vector, int i) {
  return tg_build(b, TG_OP_EXTRACT, 1, &vector, 1, &TG_AINT("i", i))->out[0];
}

// How many of the registers from `reg` on were taken in order from one vector, which is at least so long; its first element in *base.
static int taken_in_order(tg_value *const *reg, int n, int64_t *base) {
  const tg_op *first = reg[0]->def;
  if (!first || first->code != TG_OP_EXTRACT || first->nin != 1) return 0;
  *base = tg_attr_int(first, "i", 0);
  int i = 1;
  for (; i < n; i++) {
    const tg_op *op = reg[i]->def;
    if (!op || op->code != TG_OP_EXTRACT || op->nin != 1 || op->in[0] != first->in[0] || tg_attr_int(op, "i", 0) != *base + i) break;
  }
  return i;
}

static tg_value *shuffle_vectors(simt *s, tg_value *x, tg_value *y, int64_t base, int n) {
  int64_t mask[16];
  for (int i = 0; i < n; i++) mask[i] = base + i;
  tg_value *both[] = {x, y};
  return tg_build(&s->b, TG_OP_SHUFFLE, 2, both, 1, &TG_AINTS("mask", mask, n))->out[0];
}

tg_value *simt_pack(simt *s, tg_value *const *reg, int n) {
  int64_t base;
  if (n == 1) return reg[0];
  if (n <= 16 && taken_in_order(reg, n, &base) == n) { // from one vector: that vector, or a slice of it
    tg_value *vector = reg[0]->def->in[0];
    return vector->type.dim[0] == n ? vector : shuffle_vectors(s, vector, vector, base, n);
  }
  if (n > 2 && n <= 16 && n % 2 == 0 && taken_in_order(reg, 2, &base) == 2) { // from several: halves side by side
    tg_value *low = simt_pack(s, reg, n / 2), *high = simt_pack(s, reg + n / 2, n / 2);
    return shuffle_vectors(s, low, high, 0, n);
  }
  // Codes go into a register of zeros: between two branches a register would hold bytes with a value and bytes without.
  tg_type type = tg_vector_type(reg[0]->type.dtype, n);
  const bool codes = tg_dtypes[type.dtype].bits == 8 && tg_dtypes[type.dtype].cls == 'f';
  tg_value *v = codes ? tg_const_float(&s->prologue, type, 0) : tg_build0(&s->b, TG_OP_UNDEF, 1, &TG_ATYPE("type", type));
  for (int i = 0; i < n; i++) {
    tg_value *in[] = {v, reg[i]};
    v = tg_build(&s->b, TG_OP_INSERT, 2, in, 1, &TG_AINT("i", i))->out[0];
  }
  return v;
}

// Splits a vector into registers.
void simt_unpack(simt *s, tg_value *v, tg_value **reg, int n) {
  if (n == 1) reg[0] = v;
  else
    for (int i = 0; i < n; i++) reg[i] = extract(&s->b, v, i);
}

static tg_value *shuffle32(simt *s, tg_value *v, const char *kind, tg_value *lane, int width) {
  tg_value *in[] = {v, lane};
  tg_attr attrs[] = {TG_ASTR("kind", kind), TG_AINT("width", width)};
  return tg_build(&s->b, TG_OP_SHFL, 2, in, 2, attrs)->out[0];
}

// Shuffles move 32 bits: narrower values travel in wider ones (exactly), wider ones in two halves.
tg_value *simt_shuffle_in(simt *s, tg_value *v, const char *kind, tg_value *lane, int width) {
  int dtype = v->type.dtype;
  const tg_dtype_row *row = &tg_dtypes[dtype];
  if (row->bits == 32) return shuffle32(s, v, kind, lane, width);
  if (row->bits == 8 && row->cls != 'i' && row->cls != 'b') {
    tg_value *code = tg_build(&s->b, TG_OP_BITCAST, 1, &v, 1, &TG_ASTR("to", "i8"))->out[0];
    code = simt_shuffle_in(s, code, kind, lane, width);
    return tg_build(&s->b, TG_OP_BITCAST, 1, &code, 1, &TG_ASTR("to", row->name))->out[0];
  }
  if (dtype == TG_I1) {
    tg_value *wide = shuffle32(s, tg_cast_to(&s->b, v, TG_I32, NULL), kind, lane, width);
    return tg_build2(&s->b, TG_OP_NE, wide, simt_int(s, TG_I32, 0));
  }
  if (row->bits < 32)
    return tg_cast_to(&s->b, shuffle32(s, tg_cast_to(&s->b, v, row->cls == 'f' ? TG_F32 : TG_I32, NULL), kind, lane, width), dtype, NULL);
  tg_value *bits = dtype == TG_I64 ? v : tg_build(&s->b, TG_OP_BITCAST, 1, &v, 1, &TG_ASTR("to", "i64"))->out[0];
  tg_value *half = simt_int(s, TG_I64, 32), *mask = simt_int(s, TG_I64, 0xffffffff);
  tg_value *low = shuffle32(s, tg_cast_to(&s->b, bits, TG_I32, NULL), kind, lane, width);
  tg_value *high = shuffle32(s, tg_cast_to(&s->b, tg_build2(&s->b, TG_OP_SHR, bits, half), TG_I32, NULL), kind, lane, width);
  low = tg_build2(&s->b, TG_OP_AND, tg_cast_to(&s->b, low, TG_I64, NULL), mask);
  high = tg_build2(&s->b, TG_OP_SHL, tg_cast_to(&s->b, high, TG_I64, NULL), half);
  bits = tg_build2(&s->b, TG_OP_OR, low, high);
  return dtype == TG_I64 ? bits : tg_build(&s->b, TG_OP_BITCAST, 1, &bits, 1, &TG_ASTR("to", row->name))->out[0];
}

tg_value *simt_shuffle(simt *s, tg_value *v, const char *kind, tg_value *lane) {
  return simt_shuffle_in(s, v, kind, lane, 1 << s->lane_bits);
}

// ---- coordinates -----------------------------------------------------------------------------------------------------

// xor over the set bits i of `x` of col[i]: one masked shift for each distance that bits move. NULL when it is always 0.
tg_value *simt_linear(simt *s, tg_value *x, int n, const uint32_t *col) {
  tg_builder *b = &s->prologue;
  tg_value *sum = NULL;
  for (int distance = -(TG_MAP_BITS - 1); distance < TG_MAP_BITS; distance++) {
    uint32_t mask = 0;
    for (int i = 0; i < n; i++)
      if (i + distance >= 0 && i + distance < TG_MAP_BITS && col[i] >> (i + distance) & 1) mask |= 1u << i;
    if (!mask) continue;
    tg_value *term = mask == (1u << n) - 1 ? x : tg_build2(b, TG_OP_AND, x, simt_int(s, TG_I32, mask));
    if (distance > 0) term = tg_build2(b, TG_OP_SHL, term, simt_int(s, TG_I32, distance));
    if (distance < 0) term = tg_build2(b, TG_OP_SHR, term, simt_int(s, TG_I32, -distance));
    sum = sum ? tg_build2(b, TG_OP_XOR, sum, term) : term;
  }
  return sum;
}

tg_value *simt_lane_part(simt *s, const tg_layout *layout, uint32_t mask, int shift) {
  tg_value *sum = NULL;
  for (int h = TG_LANE; h <= TG_WARP; h++) {
    uint32_t col[TG_MAP_BITS];
    for (int b = 0; b < layout->in[h]; b++) col[b] = (tg_layout_image(layout, (tg_holder)h, b) & mask) >> shift;
    tg_value *part = layout->in[h] ? simt_linear(s, h == TG_LANE ? s->lane_id : s->warp_id, layout->in[h], col) : NULL;
    sum = sum && part ? tg_build2(&s->prologue, TG_OP_XOR, sum, part) : part ? part : sum;
  }
  return sum;
}

static uint32_t axis_mask(const tg_layout *l, int axis) {
  return l->out[axis] ? ((1u << l->out[axis]) - 1) << tg_layout_axis_shift(l, axis) : 0;
}

uint32_t simt_register_image(const tg_layout *l, int reg) {
  uint32_t image = 0;
  for (int b = 0; b < l->in[TG_REGISTER]; b++)
    if (reg >> b & 1) image ^= tg_layout_image(l, TG_REGISTER, b);
  return image;
}

// Which repetition along an axis a register belongs to.
int simt_repetition(const tg_layout *l, int reg, int axis) {
  int rep = reg >> l->in[TG_REGISTER];
  for (int i = l->rank - 1; i > axis; i--) rep /= l->odd[i];
  return rep % l->odd[axis];
}

int simt_register_offset(const tg_layout *l, int reg, int axis) {
  return (int)tg_layout_axis_part(l, simt_register_image(l, reg), axis) + (simt_repetition(l, reg, axis) << l->out[axis]);
}

bool simt_axis_adds(const tg_layout *l, int axis) {
  uint32_t reg = 0, other = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < l->in[h]; b++) *(h == TG_REGISTER ? &reg : &other) |= tg_layout_image(l, (tg_holder)h, b) & axis_mask(l, axis);
  return !(reg & other);
}

tg_value *simt_coordinate(simt *s, const tg_layout *l, int reg, int axis) {
  tg_value *lane = simt_lane_part(s, l, axis_mask(l, axis), tg_layout_axis_shift(l, axis));
  int offset = simt_register_offset(l, reg, axis);
  if (!lane) return simt_int(s, TG_I32, offset);
  if (simt_axis_adds(l, axis)) return simt_add(&s->prologue, lane, simt_int(s, TG_I32, offset));
  int above = simt_repetition(l, reg, axis) << l->out[axis];
  return simt_add(&s->prologue, tg_build2(&s->prologue, TG_OP_XOR, lane, simt_int(s, TG_I32, offset - above)), simt_int(s, TG_I32, above));
}

static uint32_t pivots(const tg_layout *l) {
  uint32_t basis[TG_MAP_BITS], out = 0;
  int n = tg_map_kernel(&l->map, basis);
  for (int i = 0; i < n; i++) out |= 1u << (31 - __builtin_clz(basis[i]));
  return out;
}

bool simt_is_replica(const tg_layout *l, int reg) { return pivots(l) & (uint32_t)reg & ((1u << l->in[TG_REGISTER]) - 1); }

tg_value *simt_owner(simt *s, const tg_layout *l) {
  uint32_t p = pivots(l) >> l->in[TG_REGISTER], lanes = p & ((1u << l->in[TG_LANE]) - 1), warps = p >> l->in[TG_LANE];
  tg_builder *b = &s->prologue;
  tg_value *zero = simt_int(s, TG_I32, 0), *in_lane = NULL, *in_warp = NULL;
  if (lanes) in_lane = tg_build2(b, TG_OP_EQ, tg_build2(b, TG_OP_AND, s->lane_id, simt_int(s, TG_I32, lanes)), zero);
  if (warps) in_warp = tg_build2(b, TG_OP_EQ, tg_build2(b, TG_OP_AND, s->warp_id, simt_int(s, TG_I32, warps)), zero);
  return simt_and(b, in_lane, in_warp);
}

// ---- tiles ------------------------------------------------------------------------------------------------------------

simt_tile *simt_new_tile(simt *s, const tg_layout *layout) {
  simt_tile *t = TG_NEW(s->arena, simt_tile);
  t->layout = *layout;
  t->reg = TG_NEWN(s->arena, tg_value *, tg_layout_registers(layout));
  t->at = s->b.region;
  return t;
}

tg_value *simt_lane_bit(simt *s, int bit) {
  tg_builder *b = &s->prologue;
  return tg_build2(b, TG_OP_NE, tg_build2(b, TG_OP_AND, s->lane_id, simt_int(s, TG_I32, 1 << bit)), simt_int(s, TG_I32, 0));
}

// ---- getting ----------------------------------------------------------------------------------------------------------

static bool visible(const simt *s, const tg_region *at) {
  for (const tg_region *r = s->b.region; r; r = r->owner ? r->owner->parent : NULL)
    if (r == at) return true;
  return false;
}

void simt_set(simt *s, const tg_value *v, simt_tile *tile) {
  simt_note *note = simt_note_of(s, v);
  tile->next = NULL;
  note->tiles = tile;
}

bool simt_has_scalar(simt *s, const tg_value *v) {
  if (v->type.kind != TG_TILE || v->type.rank) return false;
  if (simt_note_of(s, v)->scalar) return true;
  return v->def && (v->def->code == TG_OP_CONST || v->def->code == TG_OP_EXPR || v->def->code == TG_OP_SCALAR);
}

tg_value *simt_scalar(simt *s, const tg_value *v) {
  simt_note *note = simt_note_of(s, v);
  const tg_op *op = v->def;
  if (note->scalar) return note->scalar;
  switch (op ? (int)op->code : -1) {
  case TG_OP_CONST: {
    const tg_attr *a = tg_find_attr(op, "value");
    return a->kind == TG_ATTR_INT ? tg_const_int(&s->prologue, v->type, a->i) : tg_const_float(&s->prologue, v->type, a->f);
  }
  case TG_OP_EXPR: return simt_argument(s, tg_find_attr(op, "e")->e);
  case TG_OP_SCALAR: return simt_scalar_argument(s, tg_attr_str(op, "name", ""), v->type.dtype);
  default: tg_throw(s->ctx, TG_FAILED, "simt: value %%%u has not been lowered", v->id);
  }
}

// Repetition of the operand that a repetition of the result looks at, both as row-major numbers over the odd parts.
int simt_operand_repetition(const tg_op *op, const tg_layout *result, const tg_layout *operand, int rep) {
  int at[TG_MAX_RANK] = {0}, from[TG_MAX_RANK] = {0}, out = 0;
  for (int i = result->rank - 1; i >= 0; i--) {
    at[i] = rep % result->odd[i];
    rep /= result->odd[i];
  }
  if (op->code == TG_OP_RESHAPE) { // the repeated axes correspond in order
    for (int i = 0, j = 0; i < operand->rank; i++) {
      if (operand->odd[i] == 1) continue;
      while (result->odd[j] == 1) j++;
      from[i] = at[j++];
    }
  } else if (op->code == TG_OP_TRANSPOSE) {
    const tg_attr *perm = tg_find_attr(op, "perm");
    for (int i = 0; i < result->rank; i++) from[perm->ints[i]] = at[i];
  } else {
    for (int i = 0; i < operand->rank; i++) from[i] = operand->odd[i] == 1 ? 0 : at[i + result->rank - operand->rank];
  }
  for (int i = 0; i < operand->rank; i++) out = out * operand->odd[i] + from[i];
  return out;
}

// Row-major number of a register's element, i32.
static tg_value *row_major(simt *s, const tg_layout *l, int reg, const int32_t *shape, int spread_axis, int factor) {
  tg_builder *b = &s->prologue;
  tg_value *at = simt_int(s, TG_I32, 0);
  for (int i = 0; i < l->rank; i++) {
    tg_value *c = simt_coordinate(s, l, reg, i);
    if (i == spread_axis) c = shape[i] == 1 ? simt_int(s, TG_I32, 0) : tg_build2(b, TG_OP_DIV, c, simt_int(s, TG_I32, factor));
    at = simt_add(b, simt_mul(b, at, simt_int(s, TG_I32, shape[i])), c);
  }
  return at;
}

// Renamings that do not map bits to bits (reshape across an odd extent, spread by an odd factor): through shared memory, element by
// element.
static simt_tile *rename_by_memory(simt *s, const tg_op *op, const tg_layout *layout) {
  const tg_type *from = &op->in[0]->type, *to = &op->out[0]->type;
  int64_t size = (tg_dtypes[from->dtype].bits + 7) / 8, bytes = tg_type_elements(*from) * size;
  tg_layout held = simt_plan_of(s, op->in[0]);
  held = tg_layout_compact(&held);
  simt_tile *x = simt_get(s, op->in[0], &held), *t = simt_new_tile(s, layout);
  tg_value *scratch = simt_shared(s, bytes), *owner = simt_owner(s, &held), *element = simt_int(s, TG_I32, size);
  simt_barrier(s);
  for (int i = 0, n = tg_layout_registers(&held); i < n; i++) {
    if (simt_is_replica(&held, i)) continue;
    tg_value *in[] = {simt_offset(s, scratch, simt_mul(&s->prologue, row_major(s, &held, i, from->dim, -1, 1), element)), x->reg[i], owner};
    tg_build(&s->b, owner ? TG_OP_STOREM : TG_OP_LSTORE, owner ? 3 : 2, in, 1, &TG_AINT("align", size));
  }
  simt_barrier(s);
  int axis = op->code == TG_OP_SPREAD ? (int)tg_attr_int(op, "axis", 0) : -1, factor = (int)tg_attr_int(op, "factor", 1);
  for (int i = 0, n = tg_layout_registers(layout); i < n; i++) {
    tg_value *at = row_major(s, layout, i, op->code == TG_OP_SPREAD ? from->dim : to->dim, axis, factor);
    tg_value *ptr = simt_offset(s, scratch, simt_mul(&s->prologue, at, element));
    tg_attr attrs[] = {TG_ATYPE("type", tg_scalar_type(from->dtype)), TG_AINT("align", size)};
    t->reg[i] = tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, attrs)->out[0];
  }
  return t;
}

static simt_tile *make_renamed(simt *s, const tg_op *op, const tg_layout *layout) {
  simt_tile *t = simt_new_tile(s, layout);
  int n = tg_layout_registers(layout), regs = layout->in[TG_REGISTER];
  if (op->in[0]->type.rank == 0) {
    tg_value *x = simt_scalar(s, op->in[0]);
    for (int i = 0; i < n; i++) t->reg[i] = x;
    return t;
  }
  tg_layout want;
  if (!simt_operand_layout(op, layout, &want)) return rename_by_memory(s, op, layout);
  simt_tile *x = simt_get(s, op->in[0], &want);
  for (int i = 0; i < n; i++) t->reg[i] = x->reg[simt_operand_repetition(op, layout, &want, i >> regs) << regs | (i & ((1 << regs) - 1))];
  return t;
}

static simt_tile *make_lazy(simt *s, const tg_value *v, const tg_layout *layout) {
  const tg_op *op = v->def;
  if (op->code != TG_OP_CONST && op->code != TG_OP_IOTA && op->code != TG_OP_INDEX) return make_renamed(s, op, layout);
  simt_tile *t = simt_new_tile(s, layout);
  tg_value *same = NULL;
  if (op->code == TG_OP_CONST) {
    const tg_attr *a = tg_find_attr(op, "value");
    tg_type type = tg_scalar_type(v->type.dtype);
    same = a->kind == TG_ATTR_INT && tg_dtypes[type.dtype].cls != 'f' && tg_dtypes[type.dtype].cls != 'e'
               ? tg_const_int(&s->prologue, type, a->i)
               : tg_const_float(&s->prologue, type, a->kind == TG_ATTR_INT ? (double)a->i : a->f);
  }
  for (int i = 0, n = tg_layout_registers(layout); i < n; i++) {
    t->reg[i] = same;
    if (same) continue;
    tg_value *c = simt_coordinate(s, layout, i, 0);
    if (v->type.dtype != TG_I32) c = tg_cast_to(&s->prologue, c, v->type.dtype, NULL);
    t->reg[i] = op->code == TG_OP_INDEX ? simt_add(&s->b, simt_scalar(s, op->in[0]->def->in[0]), c) : c;
  }
  return t;
}

// The same registers, with those added that hold nothing of their own.
simt_tile *simt_widen(simt *s, const simt_tile *compact, const tg_layout *layout) {
  simt_tile *t = simt_new_tile(s, layout);
  int regs = layout->in[TG_REGISTER], held = compact->layout.in[TG_REGISTER];
  for (int i = 0, n = tg_layout_registers(layout); i < n; i++) {
    int from = 0, at = 0;
    for (int b = 0; b < regs; b++)
      if (tg_layout_image(layout, TG_REGISTER, b)) from |= (i >> b & 1) << at++;
    t->reg[i] = compact->reg[from | i >> regs << held];
  }
  return t;
}

simt_tile *simt_get(simt *s, const tg_value *v, const tg_layout *layout) {
  if (simt_is_lazy(v)) return make_lazy(s, v, layout);
  tg_layout compact = tg_layout_compact(layout);
  if (compact.in[TG_REGISTER] != layout->in[TG_REGISTER]) return simt_widen(s, simt_get(s, v, &compact), layout);
  if (v->type.rank == 0) {
    simt_tile *t = simt_new_tile(s, layout);
    for (int i = 0, n = tg_layout_registers(layout); i < n; i++) t->reg[i] = simt_scalar(s, v);
    return t;
  }
  simt_note *note = simt_note_of(s, v);
  if (!note->tiles) tg_throw(s->ctx, TG_FAILED, "simt: value %%%u has not been lowered", v->id);
  for (simt_tile *t = note->tiles; t; t = t->next)
    if (tg_layout_equal(&t->layout, layout) && visible(s, t->at)) return t;
  simt_tile *t = simt_convert(s, note->tiles, v->type.dtype, layout);
  t->next = note->tiles->next;
  note->tiles->next = t;
  return t;
}
