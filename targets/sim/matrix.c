// Matrix instructions of a warp: ldmatrix, stmatrix, movmatrix, mma.sync. Fragments as the figures of ISA 9.7.14.5 have them.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"
#include "targets/sim/number.h"

// ---- 8x8 matrices of 16 bits: lane l has the elements of row l / 4 at columns 2 (l % 4) and the next; row r of matrix m is at the address
// that lane 8 m + r gives. .trans: rows and columns change places.

typedef struct matrix8 {
  uint16_t at[8][8];
} matrix8;

static uint32_t fragment(const matrix8 *m, int lane, bool transposed) {
  const int r = lane / 4, c = 2 * (lane % 4);
  const uint16_t low = transposed ? m->at[c][r] : m->at[r][c], high = transposed ? m->at[c + 1][r] : m->at[r][c + 1];
  return (uint32_t)high << 16 | low;
}

static void set_fragment(matrix8 *m, int lane, bool transposed, uint32_t v) {
  const int r = lane / 4, c = 2 * (lane % 4);
  *(transposed ? &m->at[c][r] : &m->at[r][c]) = (uint16_t)v;
  *(transposed ? &m->at[c + 1][r] : &m->at[r][c + 1]) = (uint16_t)(v >> 16);
}

static void ldmatrix(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *address = &in->args[in->nouts];
  uint32_t needed = in->items == 4 ? UINT32_MAX : (1u << (8 * in->items)) - 1;
  sim_want(w, in, address, active & needed, "the address");
  for (int k = 0; k < in->items; k++) {
    matrix8 m = {0};
    uint64_t offsets[LANES];
    uint32_t good = 0;
    for (int r = 0; r < 8; r++) {
      const int l = 8 * k + r;
      sim_place place;
      if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, address, l), 16, false, &place)) continue;
      sim_touch_place(w, l, &place, 16, SIM_READ, true, true);
      memcpy(m.at[r], place.memory, 16);
      good |= 1u << r;
      offsets[r] = place.offset;
    }
    for (int l = 0; l < LANES; l++) sim_put(w, &in->args[k], l, fragment(&m, l, in->negated));
    sim_set_valid(w, &in->args[k], active, UINT32_MAX);
    if (good) sim_count_banks(w, offsets, good, 16);
  }
}

static void stmatrix(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *address = &in->args[0];
  sim_want(w, in, address, active, "the address");
  for (int k = 0; k < in->items; k++) {
    matrix8 m;
    uint64_t offsets[LANES];
    uint32_t good = 0;
    const uint32_t valid = sim_valid(w, &in->args[k + 1]);
    for (int l = 0; l < LANES; l++) set_fragment(&m, l, in->negated, (uint32_t)sim_get(w, &in->args[k + 1], l));
    for (int r = 0; r < 8; r++) {
      const int l = 8 * k + r;
      sim_place place;
      if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, address, l), 16, true, &place)) continue;
      sim_touch_place(w, l, &place, 16, SIM_WRITE, valid == UINT32_MAX, !memcmp(place.memory, m.at[r], 16));
      memcpy(place.memory, m.at[r], 16);
      good |= 1u << r;
      offsets[r] = place.offset;
    }
    if (good) sim_count_banks(w, offsets, good, 16);
  }
}

static void decode_8x8(sim_decoder *d, bool loads) {
  static const char *const counts[] = {"x1", "x2", "x4"};
  sim_instr *out = d->out;
  sim_take(d, "sync"), sim_take(d, "aligned");
  const bool shape = sim_take(d, "m8n8");
  const int n = sim_take_one(d, counts, 3);
  out->negated = sim_take(d, "trans");
  out->space = (uint8_t)sim_take_space(d);
  if (!shape || n < 0 || sim_take_type(d) != PTX_b16) sim_bad(d, "only .m8n8 of .b16, .x1, .x2 or .x4, is known");
  out->items = (uint8_t)(1 << n);
  sim_operands(d, 2, 2);
  if (loads) sim_add_vector(d, sim_operand(d, 0), out->items, 4, true);
  sim_add_address(d, sim_operand(d, loads ? 1 : 0));
  if (!loads) sim_add_vector(d, sim_operand(d, 1), out->items, 4, false);
  sim_set_op(d, loads ? ldmatrix : stmatrix, SIM_TOGETHER);
}

void sim_decode_ldmatrix(sim_decoder *d) { decode_8x8(d, true); }
void sim_decode_stmatrix(sim_decoder *d) { decode_8x8(d, false); }

static void movmatrix(sim_warp *w, const sim_instr *in, uint32_t active) {
  matrix8 m;
  sim_want(w, in, &in->args[1], active, "the matrix");
  for (int l = 0; l < LANES; l++) set_fragment(&m, l, false, (uint32_t)sim_get(w, &in->args[1], l));
  for (int l = 0; l < LANES; l++) sim_put(w, &in->args[0], l, fragment(&m, l, true));
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

void sim_decode_movmatrix(sim_decoder *d) {
  sim_take(d, "sync"), sim_take(d, "aligned"), sim_take(d, "trans");
  if (!sim_take(d, "m8n8") || sim_take_type(d) != PTX_b16) sim_bad(d, "only .m8n8.trans.b16 is known");
  sim_operands(d, 2, 2);
  sim_add_result(d, sim_operand(d, 0), 4);
  sim_add_source(d, sim_operand(d, 1), 4);
  sim_set_op(d, movmatrix, SIM_TOGETHER);
}

// ---- mma.sync.m16n8kK: with e elements in 4 bytes, lane l = 4 g + t holds
//   A: register r has row g + 8 (r % 2), columns e (t + 4 (r / 2)) …;  B: register r has column g, rows e (t + 4 r) …
//   C, D of 32 bits: element i has row g + 8 (i / 2), column 2 t + i % 2; of f16 two of them to a register.

enum { MMA_F32, MMA_F16, MMA_S32 };

static float element(int type, uint32_t word, int i) {
  switch (type) {
  case PTX_bf16: return sim_from_bf16((uint16_t)(word >> (16 * i)));
  case PTX_f16: return sim_from_f16((uint16_t)(word >> (16 * i)));
  case PTX_tf32: return sim_f32(word & 0xffffe000);
  case PTX_s8: return (int8_t)(word >> (8 * i));
  case PTX_u8: return (uint8_t)(word >> (8 * i));
  default: return (float)sim_decode_float(sim_format_of(type), word >> (8 * i) & 0xff);
  }
}

typedef struct mma_form {
  int k, per_word; // depth; elements in 4 bytes
  const sim_arg *d, *a, *b, *c;
} mma_form;

static mma_form form_of(const sim_instr *in) {
  const int bytes = ptx_types[in->from].bytes, words = in->items * bytes / 4; // of a row of A
  mma_form f = {.k = in->items, .per_word = 4 / bytes, .d = in->args, .a = in->args + in->nouts};
  f.b = f.a + words / 2;
  f.c = f.b + words / 4;
  return f;
}

static void gather(const sim_warp *w, const sim_instr *in, const mma_form *f, float *a, float *b) {
  const int words = f->k / f->per_word;
  for (int l = 0; l < LANES; l++) {
    const int g = l / 4, t = l % 4;
    for (int r = 0; r < words / 2; r++) {
      const uint32_t word = (uint32_t)sim_get(w, &f->a[r], l);
      for (int i = 0; i < f->per_word; i++) a[(g + 8 * (r % 2)) * f->k + f->per_word * (t + 4 * (r / 2)) + i] = element(in->from, word, i);
    }
    for (int r = 0; r < words / 4; r++) {
      const uint32_t word = (uint32_t)sim_get(w, &f->b[r], l);
      for (int i = 0; i < f->per_word; i++) b[(f->per_word * (t + 4 * r) + i) * 8 + g] = element(in->mode, word, i);
    }
  }
}

static void accumulators(const sim_warp *w, const sim_instr *in, const mma_form *f, float *c, int32_t *whole) {
  for (int l = 0; l < LANES; l++)
    for (int i = 0; i < 4; i++) {
      const int at = (l / 4 + 8 * (i / 2)) * 8 + 2 * (l % 4) + i % 2;
      const uint32_t word = (uint32_t)sim_get(w, &f->c[in->select == MMA_F16 ? i / 2 : i], l);
      if (in->select == MMA_F32) c[at] = sim_f32(word);
      else if (in->select == MMA_F16) c[at] = sim_from_f16((uint16_t)(word >> (16 * (i % 2))));
      else whole[at] = (int32_t)word;
    }
}

static void scatter(sim_warp *w, const sim_instr *in, const mma_form *f, const float *d, const int32_t *whole) {
  for (int l = 0; l < LANES; l++)
    for (int i = 0; i < 4; i++) {
      const int at = (l / 4 + 8 * (i / 2)) * 8 + 2 * (l % 4) + i % 2;
      if (in->select == MMA_F16) {
        if (i % 2 == 0) sim_put(w, &f->d[i / 2], l, (uint32_t)sim_to_f16(d[at + 1]) << 16 | sim_to_f16(d[at]));
      } else {
        sim_put(w, &f->d[i], l, in->select == MMA_F32 ? sim_f32_bits(d[at]) : (uint32_t)whole[at]);
      }
    }
}

static void mma_float(sim_warp *w, const sim_instr *in, uint32_t active) {
  const mma_form f = form_of(in);
  float a[16 * 32], b[32 * 8], d[16 * 8];
  uint32_t valid = UINT32_MAX;
  (void)active;
  gather(w, in, &f, a, b);
  accumulators(w, in, &f, d, NULL);
  w->block->worker->lanes->mma(d, a, b, f.k);
  for (int i = 0; i < 16 * 8; i++)
    if (d[i] != d[i]) d[i] = sim_f32(0x7fffffff);
  for (int i = in->nouts; i < in->nargs; i++) valid &= sim_valid(w, &in->args[i]);
  scatter(w, in, &f, d, NULL);
  for (int i = 0; i < in->nouts; i++) sim_set_valid(w, &in->args[i], UINT32_MAX, valid == UINT32_MAX ? valid : 0);
}

static void mma_integer(sim_warp *w, const sim_instr *in, uint32_t active) {
  const mma_form f = form_of(in);
  float a[16 * 32], b[32 * 8];
  int32_t d[16 * 8];
  uint32_t valid = UINT32_MAX;
  (void)active;
  gather(w, in, &f, a, b);
  accumulators(w, in, &f, NULL, d);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++) {
      int64_t sum = d[8 * i + j];
      for (int t = 0; t < f.k; t++) sum += (int64_t)a[f.k * i + t] * (int64_t)b[8 * t + j];
      if (in->sat) sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
      d[8 * i + j] = (int32_t)(uint32_t)sum;
    }
  for (int i = in->nouts; i < in->nargs; i++) valid &= sim_valid(w, &in->args[i]);
  scatter(w, in, &f, NULL, d);
  for (int i = 0; i < in->nouts; i++) sim_set_valid(w, &in->args[i], UINT32_MAX, valid == UINT32_MAX ? valid : 0);
}

// mma.sync.aligned.m16n8kK.row.col[.satfinite].D.A.B.C d, a, b, c
void sim_decode_mma(sim_decoder *d) {
  static const struct {
    const char *shape;
    int k, bytes;
  } shapes[] = {{"m16n8k4", 4, 4}, {"m16n8k8", 8, 0}, {"m16n8k16", 16, 0}, {"m16n8k32", 32, 1}};
  sim_instr *out = d->out;
  const bool known = sim_take(d, "sync") && sim_take(d, "aligned") && sim_take(d, "row") && sim_take(d, "col");
  int k = 0;
  for (int i = 0; i < 4; i++)
    if (sim_take(d, shapes[i].shape)) k = shapes[i].k;
  out->sat = sim_take(d, "satfinite");
  const int td = sim_take_type(d), ta = sim_take_type(d), tb = sim_take_type(d), tc = sim_take_type(d);
  const int bytes = ptx_types[ta].bytes, words = k * bytes / 4;
  const bool whole = ta == PTX_s8 || ta == PTX_u8;
  const bool floats = (ta == PTX_bf16 && tb == PTX_bf16) || (ta == PTX_f16 && tb == PTX_f16) || (ta == PTX_tf32 && tb == PTX_tf32) ||
                      ((ta == PTX_e4m3 || ta == PTX_e5m2) && (tb == PTX_e4m3 || tb == PTX_e5m2));
  const bool depth = k * bytes == 32 || k * bytes == 16;
  const bool sums = td == tc && (whole ? td == PTX_s32 : td == PTX_f32 || (td == PTX_f16 && (ta == PTX_f16 || bytes == 1)));
  if (!known || !depth || !sums || !(floats || (whole && (tb == PTX_s8 || tb == PTX_u8))))
    sim_bad(d, "no such matrix instruction is known");
  out->items = (uint8_t)k, out->from = (uint8_t)ta, out->mode = (uint8_t)tb;
  out->select = td == PTX_f32 ? MMA_F32 : td == PTX_f16 ? MMA_F16 : MMA_S32;
  sim_operands(d, 4, 4);
  const int registers = td == PTX_f16 ? 2 : 4;
  sim_add_vector(d, sim_operand(d, 0), registers, 4, true);
  sim_add_vector(d, sim_operand(d, 1), words / 2, 4, false);
  sim_add_vector(d, sim_operand(d, 2), words / 4, 4, false);
  sim_add_vector(d, sim_operand(d, 3), registers, 4, false);
  sim_set_op(d, whole ? mma_integer : mma_float, SIM_TOGETHER);
}
