// wgmma (ISA 9.7.15): products of a warpgroup. Each warp makes its own 16 rows when the instruction is issued; what it reads and writes
// counts as under way until its wgmma.wait_group.
#include <stdlib.h>

#include "targets/sim/decode.h"
#include "targets/sim/number.h"
#include "targets/sim/operand.h"

enum { MOST_N = 256, MOST_K = 32, WARPGROUP = 4 };

// sim_instr: select; items N / 8; type of D, from of A, mode of B; packed: A in registers; negated, sat: A, B transposed; relu, ftz: A, B
// negated. args: accumulators, then A (4 registers or a descriptor), B's descriptor, scale-d.
enum { SUM_F32, SUM_F16, SUM_S32 };

// ---- matrix descriptors (ISA 9.7.15.5.1): start, leading and stride byte offsets in units of 16, base offset, swizzle

static sim_matrix matrix_of(uint64_t bits) {
  static const uint8_t modes[] = {0, 128, 64, 32};
  return (sim_matrix){.start = (uint32_t)(bits & 0x3fff) << 4,
                      .leading = (uint32_t)(bits >> 16 & 0x3fff) << 4,
                      .stride = (uint32_t)(bits >> 32 & 0x3fff) << 4,
                      .base = (uint32_t)(bits >> 49 & 7),
                      .swizzle = modes[bits >> 62]};
}

// ---- registers under way: 4 × (group + 1), + what it is

enum { HELD_SUM, HELD_A, HELD_COPY };

static bool is_held(const sim_warp *w, uint32_t mark) { return mark >> 2 > w->retired; }

static uint32_t mark_of(const sim_warp *w, const sim_arg *a) {
  uint32_t m = 0;
  for (int h = 0; h < a->halves; h++)
    if (w->held[a->valid + (uint32_t)h] > m) m = w->held[a->valid + (uint32_t)h];
  return is_held(w, m) ? m : 0;
}

static void set_mark(sim_warp *w, const sim_arg *a, uint32_t mark) {
  for (int h = 0; h < a->halves; h++) w->held[a->valid + (uint32_t)h] = mark;
}

static uint32_t line_of_group(const sim_warp *w, uint32_t group) {
  for (int i = 0; i < w->products.n; i++)
    if (w->products.at[i].group == group) return w->block->code->instrs[w->products.at[i].pc].line;
  return 0;
}

static void report_held(sim_warp *w, const sim_arg *a, uint32_t mark, const char *does) {
  const bool is_a = (mark & 3) == HELD_A;
  const int lane = __builtin_ctz(w->alive);
  (void)a;
  sim_report(w, lane, is_a ? SIM_FAULT_OVERWRITTEN : SIM_FAULT_PRODUCT,
             "it %s a register that is %s of the wgmma of line %u, which nobody waited for", does,
             is_a ? "the operand A" : "an accumulator", line_of_group(w, (mark >> 2) - 1));
}

// Moves hand a held value on: where the assembler is to keep one register, the text may have several.
static void move_held(sim_warp *w, const sim_instr *in) {
  uint32_t marks[64];
  int n = 0;
  for (int i = in->nouts; i < in->nargs; i++)
    for (int h = 0; h < in->args[i].bytes / 2 && n < 64; h++)
      marks[n++] = in->args[i].halves ? w->held[in->args[i].valid + (uint32_t)h] : 0;
  int at = 0;
  for (int i = 0; i < in->nouts; i++) {
    const uint32_t old = mark_of(w, &in->args[i]);
    for (int h = 0; h < in->args[i].halves && at < n; h++, at++) {
      const uint32_t mark = is_held(w, marks[at]) ? marks[at] : 0;
      if (old && (old & 3) != HELD_COPY && !mark) report_held(w, &in->args[i], old, "writes");
      w->held[in->args[i].valid + (uint32_t)h] = mark && (mark & 3) != HELD_A ? (mark & ~3u) | HELD_COPY : 0;
    }
  }
}

void sim_held_check(sim_warp *w, const sim_instr *in) {
  if (in->own) return;
  if (in->flow == SIM_LANE && in->parts == SIM_MOVED) {
    move_held(w, in);
    return;
  }
  for (int i = 0; i < in->nargs; i++) {
    const uint32_t mark = mark_of(w, &in->args[i]);
    if (!mark || (i >= in->nouts && (mark & 3) == HELD_A) || (i < in->nouts && (mark & 3) == HELD_COPY)) continue;
    report_held(w, &in->args[i], mark, i < in->nouts ? "writes" : "reads");
    set_mark(w, &in->args[i], 0);
  }
}

// What a plain instruction wrote since the last wgmma.fence; moves hand on what their source is.
void sim_wrote(sim_warp *w, const sim_instr *in) {
  const bool moves = in->flow == SIM_LANE && in->parts == SIM_MOVED && in->nouts == 1 && in->nargs == 2;
  for (int i = 0; i < in->nouts; i++)
    for (int h = 0; h < in->args[i].halves; h++) {
      const sim_arg *from = moves ? &in->args[1] : NULL;
      const bool plain = in->flow == SIM_LANE && in->parts == SIM_MOVED;
      w->wrote[in->args[i].valid + (uint32_t)h] = from && from->halves ? w->wrote[from->valid + (uint32_t)h] : plain ? 0 : w->fences + 1;
    }
}

static void check_register(sim_warp *w, const sim_arg *a, bool is_a) {
  const uint32_t mark = mark_of(w, a);
  if (mark && is_a && (mark & 3) != HELD_A) report_held(w, a, mark, "takes as operand A");
  if (mark && !is_a && (mark & 3) == HELD_A) report_held(w, a, mark, "accumulates into");
  for (int h = 0; h < a->halves; h++)
    if (w->wrote[a->valid + (uint32_t)h] == w->fences + 1) {
      sim_report(w, __builtin_ctz(w->alive), SIM_FAULT_PRODUCT, "%s was written with no wgmma.fence between",
                 is_a ? "a register of its operand A" : "an accumulator of it");
      w->wrote[a->valid + (uint32_t)h] = 0;
    }
}

// ---- one product

typedef struct product {
  const sim_arg *a, *b, *scale;
  int n, k;
  bool keeps; // scale-d: D = A·B + D
  uint32_t pieces_a[2 * 16], pieces_b[2 * MOST_N];
  int na, nb;
} product;

static bool uniform(sim_warp *w, const sim_arg *a, uint64_t *out) {
  *out = sim_get(w, a, 0);
  for (int l = 1; l < LANES; l++)
    if (sim_get(w, a, l) != *out) return false;
  return true;
}

static bool operand(sim_warp *w, const sim_instr *in, const sim_arg *a, uint32_t first, uint32_t rows, bool transposed, uint32_t *pieces,
                    int *n) {
  uint64_t bits;
  sim_want(w, in, a, UINT32_MAX, "a descriptor");
  if (!uniform(w, a, &bits)) {
    sim_report(w, 0, SIM_FAULT_TENSOR, "the lanes of the warp give different descriptors");
    return false;
  }
  const sim_matrix m = matrix_of(bits);
  if (m.base) {
    sim_report(w, 0, SIM_FAULT_TENSOR, "descriptor 0x%016llx has a base offset, which the simulator does not know",
               (unsigned long long)bits);
    return false;
  }
  *n = sim_matrix_pieces(&m, transposed, first, rows, pieces);
  for (int i = 0; i < *n; i++)
    if (pieces[i] + 16 > w->block->shared_bytes) {
      sim_report(w, 0, SIM_FAULT_OUT_OF_BOUNDS, "descriptor 0x%016llx leads to byte %u of the shared memory, which has %llu",
                 (unsigned long long)bits, pieces[i], (unsigned long long)w->block->shared_bytes);
      return false;
    }
  for (int i = 0; i < *n; i++) sim_shared_touch(w, LANES, w->block, pieces[i], 16, SIM_ASYNC_READ, true, true);
  return true;
}

// Neighbouring pieces become one part.
static void hold(sim_warp *w, const product *p) {
  sim_reading *parts = sim_reading_add(w, &w->products, w->committed, UINT32_MAX, p->na + p->nb);
  if (!parts) return;
  int n = 0;
  for (int i = 0; i < p->na + p->nb; i++) {
    const uint32_t at = i < p->na ? p->pieces_a[i] : p->pieces_b[i - p->na];
    if (n && parts[n - 1].at + parts[n - 1].bytes == at) parts[n - 1].bytes += 16;
    else parts[n++] = (sim_reading){w->block, at, 16};
    sim_shared_hold(w->block, at, 16);
  }
  w->products.at[w->products.n - 1].nparts = n;
}

// A in registers: lane 4 g + t holds in register r row g + 8 (r % 2), columns e (t + 4 (r / 2)) … (ISA 9.7.15.5.1, register fragments).
static void gather_a(const sim_warp *w, const sim_instr *in, const product *p, float *a) {
  const int e = 4 / ptx_types[in->from].bytes;
  for (int r = 0; r < 4; r++)
    for (int l = 0; l < LANES; l++)
      sim_numbers(in->from, w->regs + p->a[r].at + (size_t)l * 4, 4, &a[(l / 4 + 8 * (r % 2)) * p->k + e * (l % 4 + 4 * (r / 2))], 1);
}

// D: of lane 4 g + t, f32 and s32 element i has row g + 8 (i / 2 % 2), column 8 (i / 4) + 2 t + i % 2; of f16 two of them to a register.
static int place_in_d(int i, int lane, int n) { return (lane / 4 + 8 * (i / 2 % 2)) * n + 8 * (i / 4) + 2 * (lane % 4) + i % 2; }

static uint32_t *words_of(const sim_warp *w, const sim_arg *a) { return (uint32_t *)(void *)(w->regs + a->at); }

static void read_d(const sim_warp *w, const sim_instr *in, const product *p, float *d) {
  for (int i = 0; i < p->n / 2; i++) {
    const uint32_t *words = words_of(w, &in->args[in->select == SUM_F16 ? i / 2 : i]);
    for (int l = 0; l < LANES; l++)
      d[place_in_d(i, l, p->n)] = in->select == SUM_F16 ? sim_from_f16((uint16_t)(words[l] >> (16 * (i % 2)))) : sim_f32(words[l]);
  }
}

static uint32_t whole_sum(const sim_instr *in, const product *p, uint32_t old, float sum) {
  int64_t v = (int64_t)sum + (p->keeps ? (int32_t)old : 0);
  if (in->satfinite) v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
  return (uint32_t)v;
}

static void write_d(sim_warp *w, const sim_instr *in, const product *p, const float *d) {
  for (int i = 0; i < p->n / 2; i++) {
    uint32_t *words = words_of(w, &in->args[in->select == SUM_F16 ? i / 2 : i]);
    const uint32_t shift = 16 * (uint32_t)(i % 2);
    for (int l = 0; l < LANES; l++) {
      const float sum = d[place_in_d(i, l, p->n)];
      if (in->select == SUM_F32) words[l] = sum != sum ? 0x7fffffff : sim_f32_bits(sum);
      else if (in->select == SUM_F16) words[l] = (words[l] & ~(0xffffu << shift)) | (uint32_t)sim_to_f16(sum) << shift;
      else words[l] = whole_sum(in, p, words[l], sum);
    }
  }
}

static void multiply(sim_warp *w, const sim_instr *in, const product *p) {
  static _Thread_local float a[16 * MOST_K], b[MOST_K * MOST_N], d[16 * MOST_N];
  if (in->packed) gather_a(w, in, p, a);
  else sim_matrix_read(w->block, in->from, p->pieces_a, p->na, 16, in->negated, a, p->k, 1);
  sim_matrix_read(w->block, in->mode, p->pieces_b, p->nb, (uint32_t)p->n, in->sat, b, 1, p->n);
  if (in->relu != in->ftz)
    for (int i = 0; i < 16 * p->k; i++) a[i] = -a[i];
  if (p->keeps && in->select != SUM_S32) read_d(w, in, p, d);
  else memset(d, 0, sizeof *d * 16 * (size_t)p->n);
  w->block->worker->lanes->product(d, a, b, p->n, p->k);
  write_d(w, in, p, d);
}

static void mark_registers(sim_warp *w, const sim_instr *in, const product *p) {
  const uint32_t mark = 4 * (w->committed + 1);
  for (int i = 0; i < in->nouts; i++) {
    check_register(w, &in->args[i], false);
    set_mark(w, &in->args[i], mark | HELD_SUM);
  }
  for (int i = 0; in->packed && i < 4; i++) {
    check_register(w, &p->a[i], true);
    set_mark(w, &p->a[i], mark | HELD_A);
  }
}

// The four warps execute the same products; each leaves a trail of them, which is compared when it ends.
static void leave_trail(sim_warp *w, const sim_instr *in, const product *p) {
  const uint64_t what[] = {(uint64_t)w->pc, in->packed ? 0 : sim_get(w, p->a, 0), sim_get(w, p->b, 0), p->keeps, w->trail};
  w->trail = (uint32_t)tg_hash(what, sizeof what, 0);
  w->issued++;
  w->trails[w->issued % SIM_TRAILS] = w->trail;
  const sim_warp *first = w - w->index % WARPGROUP;
  for (const sim_warp *o = first; o < first + WARPGROUP; o++) {
    const bool comparable = o->issued >= w->issued && o->issued - w->issued < SIM_TRAILS;
    if (!comparable || o->trails[w->issued % SIM_TRAILS] == w->trail) continue;
    sim_report(w, 0, SIM_FAULT_WARPGROUP, "warp %d of its warpgroup executed another wgmma, or with other descriptors, as its product %u",
               o->index, w->issued);
    return;
  }
}

void sim_products_end(sim_warp *w) {
  if (!w->block->code->products || w->block->nwarps % WARPGROUP) return;
  const sim_warp *first = w - w->index % WARPGROUP;
  for (const sim_warp *o = first; o < first + WARPGROUP; o++) {
    if (o->alive || o->issued == w->issued) continue;
    sim_report(w, 0, SIM_FAULT_WARPGROUP, "the warp ends after %u wgmma, warp %d of its warpgroup after %u", w->issued, o->index,
               o->issued);
    return;
  }
}

static void mma_async(sim_warp *w, const sim_instr *in, uint32_t active) {
  product p = {.n = 8 * in->items, .k = SIM_ROW_BYTES / ptx_types[in->from].bytes, .a = in->args + in->nouts};
  uint32_t valid = UINT32_MAX;
  p.b = p.a + (in->packed ? 4 : 1), p.scale = p.b + 1;
  if (active != UINT32_MAX || w->block->nwarps % WARPGROUP) {
    sim_report(w, __builtin_ctz(active), SIM_FAULT_WARPGROUP, "all 128 threads of a warpgroup have to execute it");
    return;
  }
  sim_want(w, in, p.scale, active, "scale-d");
  const uint32_t keeps = sim_pred(w, p.scale);
  if (keeps && keeps != UINT32_MAX) sim_report(w, 0, SIM_FAULT_TENSOR, "the lanes of the warp give different values of scale-d");
  p.keeps = keeps & 1;
  if (!in->packed && !operand(w, in, p.a, 16 * (uint32_t)(w->index % WARPGROUP), 16, in->negated, p.pieces_a, &p.na)) return;
  if (!operand(w, in, p.b, 0, (uint32_t)p.n, in->sat, p.pieces_b, &p.nb)) return;
  for (int i = 0; in->packed && i < 4; i++) valid &= sim_valid(w, &p.a[i]);
  for (int i = 0; p.keeps && i < in->nouts; i++) valid &= sim_valid(w, &in->args[i]);
  if (!w->fences) sim_report(w, 0, SIM_FAULT_PRODUCT, "the first wgmma of a warp comes with no wgmma.fence before it");
  w->fences += !w->fences;
  mark_registers(w, in, &p);
  leave_trail(w, in, &p);
  hold(w, &p);
  multiply(w, in, &p);
  for (int i = 0; i < in->nouts; i++) sim_set_valid(w, &in->args[i], UINT32_MAX, valid == UINT32_MAX ? valid : 0);
}

// ---- fences and groups

static void fence(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in, (void)active;
  w->fences++;
}

static void commit(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in, (void)active;
  w->committed++;
}

static void wait_group(sim_warp *w, const sim_instr *in, uint32_t active) {
  const uint32_t left = (uint32_t)in->offset, retired = w->committed > left ? w->committed - left : 0;
  uint32_t before[LANES];
  for (int l = 0; l < LANES; l++) before[l] = retired;
  (void)active;
  if (retired > w->retired) w->retired = retired;
  sim_readings_retire(w, &w->products, UINT32_MAX, before);
}

// ---- decoding

static void decode_group(sim_decoder *d, sim_op_fn *run, bool number) {
  if (!sim_take(d, "sync") || !sim_take(d, "aligned")) sim_bad(d, "it is .sync.aligned");
  sim_operands(d, number, number);
  if (number) {
    d->out->offset = sim_immediate(d, sim_operand(d, 0));
    if (d->out->offset < 0 || d->out->offset > 7) sim_bad(d, "0 to 7 groups may be left");
  }
  d->out->own = true;
  sim_set_op(d, run, SIM_TOGETHER);
}

static bool good_types(int d, int a, int b) {
  const bool small = (a == PTX_e4m3 || a == PTX_e5m2) && (b == PTX_e4m3 || b == PTX_e5m2);
  const bool whole = (a == PTX_s8 || a == PTX_u8) && (b == PTX_s8 || b == PTX_u8);
  if (whole) return d == PTX_s32;
  if (small || (a == PTX_f16 && b == PTX_f16)) return d == PTX_f32 || d == PTX_f16;
  return d == PTX_f32 && a == b && (a == PTX_bf16 || a == PTX_tf32);
}

static bool take_shape(sim_decoder *d, int *n, int *k) {
  const char *shape;
  char *end;
  if (!sim_take_prefix(d, "m64n", &shape)) return false;
  *n = (int)strtol(shape + 4, &end, 10);
  *k = *end == 'k' ? (int)strtol(end + 1, &end, 10) : 0;
  return !*end && *n >= 8 && *n <= MOST_N && *n % 8 == 0;
}

// 1 or -1: whether it is negated.
static bool take_sign(sim_decoder *d, int i) {
  const int64_t v = sim_immediate(d, sim_operand(d, i));
  if (v != 1 && v != -1) sim_bad(d, "imm-scale is 1 or -1");
  return v < 0;
}

static bool take_bit(sim_decoder *d, int i) {
  const int64_t v = sim_immediate(d, sim_operand(d, i));
  if (v != 0 && v != 1) sim_bad(d, "imm-trans is 0 or 1");
  return v == 1;
}

// d, a, b, scale-d [, imm-scale-a, imm-scale-b [, imm-trans-a] [, imm-trans-b]]
static void decode_mma_async(sim_decoder *d) {
  sim_instr *out = d->out;
  int n = 0, k = 0;
  const bool shape = take_shape(d, &n, &k);
  if (!sim_take(d, "sync") || !sim_take(d, "aligned") || !shape) sim_bad(d, "the simulator does not know this product");
  out->satfinite = sim_take(d, "satfinite");
  const int td = sim_take_type(d), ta = sim_take_type(d), tb = sim_take_type(d), bytes = ptx_types[ta].bytes;
  const bool whole = td == PTX_s32, halves = bytes == 2;
  if (!good_types(td, ta, tb) || k * bytes != SIM_ROW_BYTES || (out->satfinite && !whole) || (whole && n > 24 && n % 16))
    sim_bad(d, "no such product: m64nNk16 of 16 bits, k8 of tf32, k32 of 8 bits, N a multiple of 8 up to 256, of integers of 16 above 24");
  out->items = (uint8_t)(n / 8), out->type = (uint8_t)td, out->from = (uint8_t)ta, out->mode = (uint8_t)tb;
  out->select = td == PTX_f32 ? SUM_F32 : td == PTX_f16 ? SUM_F16 : SUM_S32;
  if (d->in->noperands < 4) sim_bad(d, "d, a, b and scale-d are wanted");
  out->packed = sim_operand(d, 1)->kind == PTX_VECTOR;
  const int operands = whole ? 4 : 6 + (halves ? out->packed ? 1 : 2 : 0);
  sim_operands(d, operands, operands);
  sim_add_vector(d, sim_operand(d, 0), out->select == SUM_F16 ? n / 4 : n / 2, 4, true);
  if (out->packed) sim_add_vector(d, sim_operand(d, 1), 4, 4, false);
  else sim_add_source(d, sim_operand(d, 1), 8);
  sim_add_source(d, sim_operand(d, 2), 8);
  sim_add_source(d, sim_operand(d, 3), 0);
  if (!whole) out->relu = take_sign(d, 4), out->ftz = take_sign(d, 5);
  if (halves && !out->packed) out->negated = take_bit(d, 6);
  if (halves) out->sat = take_bit(d, operands - 1);
  out->bytes = 16, out->memory = true, out->space = PTX_SHARED;
  out->own = true;
  d->code->products = true;
  sim_set_op(d, mma_async, SIM_TOGETHER);
}

void sim_decode_wgmma(sim_decoder *d) {
  if (sim_take(d, "mma_async")) decode_mma_async(d);
  else if (sim_take(d, "fence")) decode_group(d, fence, false);
  else if (sim_take(d, "commit_group")) decode_group(d, commit, false);
  else if (sim_take(d, "wait_group")) decode_group(d, wait_group, true);
  else sim_bad(d, "the simulator does not know this operation");
}

// Registers that a product accumulates into or has as A, and those that moves bring there: who writes them is noted.
void sim_mark_products(sim_code *code, tg_arena *arena) {
  if (!code->products) return;
  bool *of = TG_NEWN(arena, bool, code->nvalid), changed = true;
  for (int i = 0; i < code->ninstrs; i++) {
    const sim_instr *in = &code->instrs[i];
    for (int k = 0; in->run.op == mma_async && in->own && k < in->nouts + (in->packed ? 4 : 0); k++)
      of[in->args[k].valid] |= in->args[k].halves > 0;
  }
  while (changed) {
    changed = false;
    for (int i = 0; i < code->ninstrs; i++) {
      sim_instr *in = &code->instrs[i];
      bool writes = false;
      for (int k = 0; k < in->nouts; k++) writes |= in->args[k].halves && of[in->args[k].valid];
      if (!writes || in->own) continue;
      in->product = true;
      if (in->flow != SIM_LANE || in->parts != SIM_MOVED) continue;
      for (int k = in->nouts; k < in->nargs; k++)
        if (in->args[k].halves && !of[in->args[k].valid]) of[in->args[k].valid] = changed = true;
    }
  }
}
