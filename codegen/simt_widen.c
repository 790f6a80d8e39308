// Codes of e4m3 that wait in a ring for an instruction that multiplies bf16. Where several warps use each, they are widened once: every
// thread takes units of 16 codes, and what becomes of them lies in a second stage, beside the ring, for as long as the dot.
//
// Of k's bits in such a unit, the fragments want 0, 2 and 3 in neighbouring lanes, as a word of codes gives them to those warps that widen
// by themselves (simt_dot.c, place_k). Pairs of k are therefore written in that order: bit 1 last.
#include "codegen/simt_stage.h"

enum { CODES = SIMT_UNIT }; // of a unit

static simt_stage *wide_stage(simt *s, const tg_value *operand, const tg_layout *fragment, int k_axis) {
  const tg_value *codes = simt_staged(s, operand);
  const tg_layout held = tg_layout_blocked(codes->type.rank, codes->type.dim, CODES, s->lane_bits, s->warp_bits);
  if (tg_dtypes[operand->type.dtype].bits != 16 || held.out[held.rank - 1] < 4) return NULL;
  if (tg_map_rank(&held.map) < held.map.nin) return NULL; // fewer units than threads
  simt_stage *g = simt_make_stage(s, codes, operand->type.dtype, &held);
  g->turned = simt_runs_along(s, operand, k_axis);
  return simt_stage_has_matrices(g, operand, fragment) ? g : NULL;
}

bool simt_can_widen(simt *s, const tg_value *operand, const tg_layout *fragment, int k_axis) {
  return wide_stage(s, operand, fragment, k_axis);
}

// The codes' own units lie in order: those who bring them read them.
simt_stage *simt_stage_to_widen(simt *s, const tg_op *load, const tg_value *operand, const tg_layout *fragment, const tg_layout *held,
                                int k_axis) {
  simt_stage *g = simt_make_stage(s, load->out[0], load->out[0]->type.dtype, held);
  g->at = tg_map_identity(g->tile.map.nout);
  g->wide = wide_stage(s, operand, fragment, k_axis);
  if (!g->wide) return NULL;
  uint32_t writes[3];
  for (int b = 0; b < 3; b++) writes[b] = tg_layout_image(&g->wide->held, TG_LANE, b);
  simt_choose_places(g->wide, operand, fragment, writes);
  return g;
}

static tg_value *word_of(simt *s, tg_value *vector, int i) {
  return tg_build(&s->b, TG_OP_EXTRACT, 1, &vector, 1, &TG_AINT("i", i))->out[0];
}

// Sixteen codes as eight words of two, in k's order or (along n) as they are.
static void widen_unit(simt *s, tg_value *codes, bool turned, tg_value **word) {
  for (int i = 0; i < 4; i++) {
    tg_value *both = tg_build1(&s->b, TG_OP_QUADS, word_of(s, codes, i));
    for (int j = 0; j < 2; j++) word[turned ? i + 4 * j : 2 * i + j] = word_of(s, both, j);
  }
}

void simt_widen_stage(simt *s, const simt_stage *codes) {
  const simt_stage *wide = codes->wide;
  const tg_layout *l = &wide->held;
  uint32_t lanes[5], from_bits, to_bits;
  for (int b = 0; b < 5; b++) lanes[b] = tg_layout_image(l, TG_LANE, b);
  tg_value *from = simt_stage_part(s, codes, lanes, l, &from_bits), *to = simt_stage_part(s, wide, lanes, l, &to_bits);
  for (int i = 0, n = tg_layout_registers(l), bits = l->in[TG_REGISTER]; i < n; i += CODES) {
    uint32_t image = 0;
    for (int b = 0; b < bits; b++)
      if (i >> b & 1) image ^= tg_layout_image(l, TG_REGISTER, b);
    tg_value *ptr =
        simt_stage_address(s, codes->base, from, from_bits, simt_stage_byte(codes, image), (i >> bits) * simt_stage_block(codes));
    tg_attr attrs[] = {TG_ATYPE("type", tg_vector_type(TG_I32, 4)), TG_AINT("align", SIMT_UNIT)};
    tg_value *word[8], *unit = tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, attrs)->out[0];
    widen_unit(s, unit, wide->turned, word);
    for (int half = 0; half < 2; half++) {
      const uint32_t byte = simt_stage_byte(wide, image ^ (half ? CODES / 2 : 0));
      tg_value *in[] = {simt_stage_address(s, wide->base, to, to_bits, byte, (i >> bits) * simt_stage_block(wide)),
                        simt_pack(s, word + 4 * half, 4)};
      tg_build(&s->b, TG_OP_LSTORE, 2, in, 1, &TG_AINT("align", SIMT_UNIT));
    }
  }
}
