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

// The elements in a register of every lane, lowest first.
static void elements(int type, const uint32_t *words, float (*out)[LANES]) {
  switch (type) {
  case PTX_bf16:
    for (int l = 0; l < LANES; l++) out[0][l] = sim_f32(words[l] << 16), out[1][l] = sim_f32(words[l] & 0xffff0000);
    break;
  case PTX_f16:
    for (int i = 0; i < 2; i++)
      for (int l = 0; l < LANES; l++) out[i][l] = sim_from_f16((uint16_t)(words[l] >> (16 * i)));
    break;
  case PTX_tf32:
    for (int l = 0; l < LANES; l++) out[0][l] = sim_f32(words[l] & 0xffffe000);
    break;
  default:
    for (int i = 0; i < 4; i++)
      for (int l = 0; l < LANES; l++) {
        const uint8_t code = (uint8_t)(words[l] >> (8 * i));
        out[i][l] = type == PTX_s8     ? (int8_t)code
                    : type == PTX_u8   ? code
                    : type == PTX_e4m3 ? sim_from_e4m3(code)
                                       : sim_from_f16((uint16_t)(code << 8));
      }
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

static const uint32_t *words_of(const sim_warp *w, const sim_arg *a) { return (const uint32_t *)(const void *)(w->regs + a->at); }

static void gather(const sim_warp *w, const sim_instr *in, const mma_form *f, float *a, float *b) {
  const int words = f->k / f->per_word;
  float v[4][LANES];
  for (int r = 0; r < words / 2; r++) {
    elements(in->from, words_of(w, &f->a[r]), v);
    for (int i = 0; i < f->per_word; i++)
      for (int l = 0; l < LANES; l++) a[(l / 4 + 8 * (r % 2)) * f->k + f->per_word * (l % 4 + 4 * (r / 2)) + i] = v[i][l];
  }
  for (int r = 0; r < words / 4; r++) {
    elements(in->mode, words_of(w, &f->b[r]), v);
    for (int i = 0; i < f->per_word; i++)
      for (int l = 0; l < LANES; l++) b[(f->per_word * (l % 4 + 4 * r) + i) * 8 + l / 4] = v[i][l];
  }
}

// Row g, column 2 t of the upper and of the lower half is element 2 l of its 64; registers 2 h and 2 h + 1 of 32 bits are neighbours in
// half h.
static void accumulators(const sim_warp *w, const sim_instr *in, const mma_form *f, float *c, int32_t *whole) {
  float v[4][LANES];
  for (int h = 0; h < 2; h++) {
    if (in->select == MMA_F16) elements(PTX_f16, words_of(w, &f->c[h]), v);
    for (int i = 0; i < 2; i++) {
      const uint32_t *r = in->select == MMA_F16 ? NULL : words_of(w, &f->c[2 * h + i]);
      for (int l = 0; l < LANES; l++) {
        if (whole) whole[64 * h + 2 * l + i] = (int32_t)r[l];
        else c[64 * h + 2 * l + i] = r ? sim_f32(r[l]) : v[i][l];
      }
    }
  }
}

static void scatter(sim_warp *w, const sim_instr *in, const mma_form *f, const float *d, const int32_t *whole) {
  for (int h = 0; h < 2; h++)
    for (int i = 0; i < 2; i++) {
      uint32_t *r = (uint32_t *)(void *)(w->regs + f->d[in->select == MMA_F16 ? h : 2 * h + i].at);
      for (int l = 0; l < LANES; l++) {
        const int at = 64 * h + 2 * l + i;
        if (in->select != MMA_F16) r[l] = whole ? (uint32_t)whole[at] : sim_f32_bits(d[at]);
        else r[l] = i ? (r[l] & 0xffff) | (uint32_t)sim_to_f16(d[at]) << 16 : sim_to_f16(d[at]);
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
