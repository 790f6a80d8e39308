// Arithmetic with more than one result: sums that hand on a carry (ISA 9.7.2), logic that gives a predicate too.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

// ---- add.cc, addc, sub.cc, subc, mad.cc, madc. The carry is a predicate of its own, which .cc writes and addc and its like read.
// args: d [, carry], a, b [, c] [, carry].

enum { SUM, DIFFERENCE, PRODUCT_LOW, PRODUCT_HIGH };

static uint64_t source(const char *regs, const sim_arg *a, int l) {
  uint64_t v = 0;
  memcpy(&v, regs + a->at + (size_t)l * a->bytes, a->bytes);
  return v;
}

// A term of the sum: a itself, or the half of a product.
static uint64_t term(const sim_instr *in, uint64_t a, uint64_t b) {
  const int bits = 8 * in->bytes;
  const bool is_signed = ptx_types[in->type].cls == 's';
  if (in->select == SUM || in->select == DIFFERENCE) return a;
  unsigned __int128 product = (unsigned __int128)a * b;
  if (is_signed)
    product = (unsigned __int128)((__int128)((int64_t)(a << (64 - bits)) >> (64 - bits)) * ((int64_t)(b << (64 - bits)) >> (64 - bits)));
  return (uint64_t)(in->select == PRODUCT_HIGH ? product >> bits : product);
}

static void carry(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  const sim_arg *from = &in->args[in->nouts];
  const bool product = in->select >= PRODUCT_LOW, reads = in->packed;
  const sim_arg *second = &from[product ? 2 : 1], *last = second + 1;
  const uint64_t mask = in->bytes == 8 ? UINT64_MAX : UINT32_MAX;
  uint32_t out = 0;
  for (int l = 0; l < LANES; l++) {
    if (!(active >> l & 1)) continue;
    const uint64_t a = term(in, source(regs, from, l), source(regs, from + 1, l)) & mask, b = source(regs, second, l);
    const uint64_t before = reads ? preds[last->at] >> l & 1 : 0;
    const unsigned __int128 sum = in->select == DIFFERENCE ? (unsigned __int128)a - b - before : (unsigned __int128)a + b + before;
    const uint64_t d = (uint64_t)sum & mask;
    out |= (uint32_t)(sum >> (8 * in->bytes) & 1) << l; // a difference below 0 borrows
    memcpy(regs + in->args[0].at + (size_t)l * in->bytes, &d, in->bytes);
  }
  if (in->nouts > 1) preds[in->args[1].at] = (preds[in->args[1].at] & ~active) | out;
}

bool sim_decode_carry(sim_decoder *d) {
  static const char *const names[] = {"add", "addc", "sub", "subc", "mad", "madc"};
  sim_instr *out = d->out;
  int which = 0;
  while (which < 6 && strcmp(names[which], d->in->mnemonic)) which++;
  const bool reads = which % 2, writes = which < 6 && sim_take(d, "cc");
  if (which == 6 || (!reads && !writes)) return false;
  const bool product = which >= 4, high = product && sim_take(d, "hi");
  if (product && !high && !sim_take(d, "lo")) sim_bad(d, "mad with a carry is .lo or .hi");
  out->type = (uint8_t)sim_take_type(d), out->bytes = ptx_types[out->type].bytes, out->packed = reads;
  out->select = (uint8_t)(which < 2 ? SUM : which < 4 ? DIFFERENCE : high ? PRODUCT_HIGH : PRODUCT_LOW);
  out->cls = SIM_CLASS_INTEGER;
  if ((out->bytes != 4 && out->bytes != 8) || ptx_types[out->type].cls == 'f') sim_bad(d, "sums with a carry are of 32 or 64 bits");
  const int sources = product ? 3 : 2;
  sim_operands(d, sources + 1, sources + 1);
  sim_add_result(d, sim_operand(d, 0), out->bytes);
  if (writes) sim_add_carry(d, true);
  for (int i = 0; i < sources; i++) sim_add_source(d, sim_operand(d, i + 1), out->bytes);
  if (reads) sim_add_carry(d, false);
  sim_set_lane(d, carry);
  return true;
}

// ---- lop3.or|and.b32 d|p, a, b, c, table, q: p is whether d is not 0, or that and q

enum { WITH_AND, WITH_OR };

static void lop3_predicate(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  const sim_arg *q = &in->args[5];
  const uint32_t given = q->negated ? ~preds[q->at] : preds[q->at];
  uint32_t some = 0;
  for (int l = 0; l < LANES; l++) {
    if (!(active >> l & 1)) continue;
    const uint32_t a = (uint32_t)source(regs, &in->args[2], l), b = (uint32_t)source(regs, &in->args[3], l),
                   c = (uint32_t)source(regs, &in->args[4], l);
    uint32_t v = 0;
    for (int i = 0; i < 8; i++)
      if (in->imm >> i & 1) v |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    some |= (uint32_t)(v != 0) << l;
    memcpy(regs + in->args[0].at + (size_t)l * in->args[0].bytes, &v, sizeof v);
  }
  const uint32_t p = in->select == WITH_AND ? some & given : some | given;
  preds[in->args[1].at] = (preds[in->args[1].at] & ~active) | (p & active);
}

void sim_decode_lop3(sim_decoder *d) {
  static const char *const bools[] = {"and", "or"};
  const int with = sim_take_one(d, bools, 2);
  if (with < 0) {
    sim_decode_alu(d);
    return;
  }
  if (sim_take_type(d) != PTX_b32) sim_bad(d, "lop3 is of .b32");
  sim_operands(d, 6, 6);
  const ptx_operand *to = sim_operand(d, 0);
  if (to->kind != PTX_REG || to->nitems != 2) sim_bad(d, "results d|p are wanted");
  sim_add_result(d, &(ptx_operand){.kind = to->reg < 0 ? PTX_SINK : PTX_REG, .reg = to->reg}, 4);
  sim_add_result(d, &(ptx_operand){.kind = to->pair < 0 ? PTX_SINK : PTX_REG, .reg = to->pair}, 0);
  for (int i = 1; i < 4; i++) sim_add_source(d, sim_operand(d, i), 4);
  sim_add_source(d, sim_operand(d, 5), 0);
  d->out->imm = sim_immediate(d, sim_operand(d, 4));
  if (d->out->imm < 0 || d->out->imm > 255) sim_bad(d, "a table of 8 bits is wanted");
  d->out->select = (uint8_t)with;
  sim_set_lane(d, lop3_predicate);
}
