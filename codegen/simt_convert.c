// Conversions between layouts as lane IR. What is done, and that it is the cheapest, is planned by layout_convert.c.
#include "codegen/simt_stage.h"

// ---- within warps

static tg_value *parity(simt *s, uint32_t lanes, uint32_t warps) { // i1
  uint32_t by_lane[TG_MAP_BITS], by_warp[TG_MAP_BITS];
  if (!warps && !(lanes & (lanes - 1))) return simt_lane_bit(s, __builtin_ctz(lanes));
  for (int b = 0; b < s->lane_bits; b++) by_lane[b] = lanes >> b & 1;
  for (int b = 0; b < s->warp_bits; b++) by_warp[b] = warps >> b & 1;
  tg_value *x = simt_linear(s, s->lane_id, s->lane_bits, by_lane), *y = simt_linear(s, s->warp_id, s->warp_bits, by_warp);
  return tg_build2(&s->prologue, TG_OP_NE, x && y ? tg_build2(&s->prologue, TG_OP_XOR, x, y) : x ? x : y, simt_int(s, TG_I32, 0));
}

// Which lane each lane takes from, beyond what a step flips; NULL: lane 0.
static tg_value *other_lane(simt *s, const tg_map *other) {
  tg_value *x = simt_linear(s, s->lane_id, s->lane_bits, other->col),
           *y = simt_linear(s, s->warp_id, s->warp_bits, other->col + s->lane_bits);
  return x && y ? tg_build2(&s->prologue, TG_OP_XOR, x, y) : x ? x : y;
}

typedef struct moving {
  simt *s;
  const tg_conversion *c;
  int dtype;
  tg_value **value; // by number
  tg_value **parts; // words taken apart, once
  tg_value *other;
} moving;

static tg_value *bits_in_word(moving *m, const tg_step *step) {
  tg_builder *b = &m->s->b;
  tg_value *word = NULL;
  for (int i = 0; i < step->n; i++) {
    tg_value *bit = tg_build3(b, TG_OP_SELECT, m->value[step->in[i]], simt_int(m->s, TG_I32, 1 << i), simt_int(m->s, TG_I32, 0));
    word = word ? tg_build2(b, TG_OP_OR, word, bit) : bit;
  }
  return word;
}

static tg_value *in_word(moving *m, const tg_step *step) {
  simt *s = m->s;
  if (m->dtype == TG_I1) return bits_in_word(m, step);
  int n = 32 / tg_dtypes[m->dtype].bits;
  tg_value *reg[4], *v;
  for (int i = 0; i < step->n; i++) reg[i] = m->value[step->in[i]];
  if (step->n == n) {
    v = simt_pack(s, reg, n);
  } else {
    v = tg_build0(&s->b, TG_OP_UNDEF, 1, &TG_ATYPE("type", tg_vector_type(m->dtype, n)));
    for (int i = 0; i < step->n; i++) v = tg_build(&s->b, TG_OP_INSERT, 2, (tg_value *[]){v, reg[i]}, 1, &TG_AINT("i", i))->out[0];
  }
  return tg_build(&s->b, TG_OP_REGROUP, 1, &v, 1, &TG_ATYPE("type", tg_scalar_type(TG_I32)))->out[0];
}

static tg_value *part(moving *m, const tg_step *step) {
  simt *s = m->s;
  tg_value **apart = &m->parts[step->in[0]], *word = m->value[step->in[0]];
  if (m->dtype == TG_I1)
    return tg_build2(&s->b, TG_OP_NE, tg_build2(&s->b, TG_OP_AND, word, simt_int(s, TG_I32, 1 << step->part)), simt_int(s, TG_I32, 0));
  tg_type type = tg_vector_type(m->dtype, 32 / tg_dtypes[m->dtype].bits);
  if (!*apart) *apart = tg_build(&s->b, TG_OP_REGROUP, 1, &word, 1, &TG_ATYPE("type", type))->out[0];
  return tg_build(&s->b, TG_OP_EXTRACT, 1, apart, 1, &TG_AINT("i", step->part))->out[0];
}

static tg_value *shuffled(moving *m, const tg_step *step) {
  simt *s = m->s;
  tg_value *lane = simt_int(s, TG_I32, step->lane);
  if (!m->c->moves) return simt_shuffle(s, m->value[step->in[0]], "xor", lane);
  if (m->other) lane = step->lane ? tg_build2(&s->prologue, TG_OP_XOR, m->other, lane) : m->other;
  return simt_shuffle(s, m->value[step->in[0]], "idx", lane);
}

static tg_value *carry_out(moving *m, const tg_step *step) {
  switch (step->kind) {
  case TG_STEP_WORD: return in_word(m, step);
  case TG_STEP_PART: return part(m, step);
  case TG_STEP_SHUFFLE: return shuffled(m, step);
  default: {
    tg_value *clear = m->value[step->in[0]], *set = m->value[step->in[1]];
    return clear == set ? clear : tg_build3(&m->s->b, TG_OP_SELECT, parity(m->s, step->lanes, step->warps), set, clear);
  }
  }
}

static void by_lanes(simt *s, const tg_conversion *c, const simt_tile *from, int dtype, simt_tile *to) {
  int have = 1 << c->from.in[TG_REGISTER], want = 1 << c->to.in[TG_REGISTER];
  size_t n = (size_t)(have + c->nsteps);
  moving m = {s, c, dtype, TG_NEWN(s->arena, tg_value *, n), NULL, c->moves ? other_lane(s, &c->other) : NULL};
  for (int r = 0; r < tg_layout_repetitions(&c->to); r++) {
    memcpy(m.value, from->reg + r * have, sizeof *m.value * (size_t)have);
    m.parts = TG_NEWN(s->arena, tg_value *, n);
    for (int i = 0; i < c->nsteps; i++) m.value[have + i] = carry_out(&m, &c->step[i]);
    for (int i = 0; i < want; i++) to->reg[r * want + i] = m.value[c->result[i]];
  }
}

// ---- through shared memory

typedef struct accesses { // of one side
  simt *s;
  const tg_map *at;
  const tg_layout *layout;
  int dtype, size, width;
  const uint32_t *reg;
  tg_value *base, *part;
  uint32_t bits; // that the part may set
} accesses;

static accesses open_accesses(simt *s, const tg_conversion *c, bool load, int dtype, tg_value *base) {
  accesses a = {.s = s,
                .at = &c->at,
                .layout = load ? &c->to : &c->from,
                .dtype = dtype,
                .size = (tg_dtypes[dtype].bits + 7) / 8,
                .width = 1 << (load ? c->load_bits : c->store_bits),
                .reg = load ? c->load_reg : c->store_reg,
                .base = base};
  uint32_t lane[TG_MAP_BITS], warp[TG_MAP_BITS];
  for (int b = 0; b < s->lane_bits; b++) a.bits |= lane[b] = tg_map_apply(a.at, tg_layout_image(a.layout, TG_LANE, b)) * (uint32_t)a.size;
  for (int b = 0; b < s->warp_bits; b++) a.bits |= warp[b] = tg_map_apply(a.at, tg_layout_image(a.layout, TG_WARP, b)) * (uint32_t)a.size;
  tg_value *x = simt_linear(s, s->lane_id, s->lane_bits, lane), *y = simt_linear(s, s->warp_id, s->warp_bits, warp);
  a.part = x && y ? tg_build2(&s->prologue, TG_OP_XOR, x, y) : x ? x : y ? y : simt_int(s, TG_I32, 0);
  return a;
}

// Where the access that begins with a register goes; NULL: none does.
static tg_value *place(const accesses *a, int reg) {
  uint32_t element = tg_map_apply(a->at, simt_register_image(a->layout, reg));
  int64_t repetition = reg >> a->layout->in[TG_REGISTER];
  if (element % (uint32_t)a->width) return NULL;
  return simt_stage_address(a->s, a->base, a->part, a->bits, element * (uint32_t)a->size, (repetition << a->layout->map.nout) * a->size);
}

static int member(const accesses *a, int reg, int element) {
  for (int i = 0; element >> i; i++)
    if (element >> i & 1) reg ^= (int)a->reg[i];
  return reg;
}

static void store_registers(const accesses *a, const simt_tile *from) {
  simt *s = a->s;
  tg_value *owner = simt_owner(s, a->layout), *v[16];
  for (int i = 0, n = tg_layout_registers(a->layout); i < n; i++) {
    if (simt_is_replica(a->layout, i)) continue;
    tg_value *ptr = place(a, i);
    if (!ptr) continue;
    for (int e = 0; e < a->width; e++) v[e] = from->reg[member(a, i, e)];
    tg_value *in[] = {ptr, simt_pack(s, v, a->width), owner};
    if (owner && a->width > 1) in[2] = tg_build(&s->b, TG_OP_SPLAT, 1, &owner, 1, &TG_AINT("n", a->width))->out[0];
    tg_build(&s->b, owner ? TG_OP_STOREM : TG_OP_LSTORE, owner ? 3 : 2, in, 1, &TG_AINT("align", a->width * a->size));
  }
}

static void load_registers(const accesses *a, simt_tile *to) {
  simt *s = a->s;
  tg_value *v[16];
  tg_type type = a->width > 1 ? tg_vector_type(a->dtype, a->width) : tg_scalar_type(a->dtype);
  tg_attr attrs[] = {TG_ATYPE("type", type), TG_AINT("align", a->width * a->size)};
  for (int i = 0, n = tg_layout_registers(a->layout); i < n; i++) {
    tg_value *ptr = place(a, i);
    if (!ptr) continue;
    simt_unpack(s, tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, attrs)->out[0], v, a->width);
    for (int e = 0; e < a->width; e++) to->reg[member(a, i, e)] = v[e];
  }
}

static void by_memory(simt *s, const tg_conversion *c, const simt_tile *from, int dtype, simt_tile *to) {
  simt_span span = simt_open_span(s, c->cost.bytes);
  accesses store = open_accesses(s, c, false, dtype, span.base), load = open_accesses(s, c, true, dtype, span.base);
  store_registers(&store, from);
  simt_settle(s);
  load_registers(&load, to);
  simt_close_span(s, &span);
}

// ---- conversions

static int element_bits(int dtype) { return dtype == TG_I1 ? 1 : (int)tg_dtypes[dtype].bits; }

bool simt_is_free(simt *s, const tg_layout *from, const tg_layout *to) {
  tg_conversion c;
  return tg_conversion_by_lanes(s->arena, from, to, 32, &c) && c.kind < TG_CONVERT_WARP;
}

simt_tile *simt_convert(simt *s, const simt_tile *from, uint8_t dtype, const tg_layout *layout) {
  simt_tile *to = simt_new_tile(s, layout);
  int64_t shared = (s->machine->shared_bytes > 0 ? (int64_t)s->machine->shared_bytes : TG_STATIC_SHARED) - s->shared_top;
  tg_conversion c;
  if (!tg_conversion_plan(s->arena, &from->layout, layout, element_bits(dtype), shared, &c))
    tg_throw(s->ctx, TG_FAILED, "simt: a layout lacks elements of its tile");
  if (s->shown) tg_show_conversion(s->shown, tg_arena_printf(s->arena, "%s%s", tg_loc_text(s->arena, s->b.loc), tg_dtypes[dtype].name), &c);
  if (c.kind == TG_CONVERT_SHARED) by_memory(s, &c, from, dtype, to);
  else by_lanes(s, &c, from, dtype, to);
  return to;
}

simt_tile *simt_share(simt *s, const simt_tile *from, uint8_t dtype) {
  simt_tile *to = simt_new_tile(s, &from->layout);
  tg_conversion c;
  if (!tg_conversion_by_memory(&from->layout, &from->layout, element_bits(dtype), &c))
    tg_throw(s->ctx, TG_FAILED, "simt: a layout lacks elements of its tile");
  by_memory(s, &c, from, dtype, to);
  return to;
}
