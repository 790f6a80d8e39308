// Decoding of instructions that are functions of their operands, lane by lane; and of conversions between all the formats.
#include <fenv.h>
#include <math.h>
#include <stdlib.h>

#include "targets/sim/block.h"
#include "targets/sim/decode.h"
#include "targets/sim/number.h"

// ---- rounding modes: the same loops under another mode of the host's floating point unit

static void under_mode(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  fesetround(modes[in->mode]);
  in->inner(regs, preds, in, active);
  fesetround(FE_TONEAREST);
}

void sim_set_lane(sim_decoder *d, sim_lane_fn *run) {
  d->out->run.lane = run;
  d->out->flow = SIM_LANE;
  if (d->out->mode == SIM_RN || d->out->mode == SIM_RNA) return;
  d->out->inner = run;
  d->out->run.lane = under_mode;
}

// ---- alu.def

static bool has_key(const char *keys, const char *key) {
  const size_t n = strlen(key);
  for (const char *at = keys; (at = strstr(at, key)); at++)
    if ((at == keys || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
  return false;
}

// Attributes of floats do not choose the function; what is left with the mnemonic is the key.
static const sim_alu_row *find_row(sim_decoder *d) {
  const ptx_instr *in = d->in;
  sim_instr *out = d->out;
  int type = 0;
  for (int i = in->nmods; i-- > 0 && !type;) type = ptx_type_find(in->mods[i]) > 0 ? ptx_type_find(in->mods[i]) : 0;
  if (ptx_types[type].cls == 'f') {
    sim_take_rounding(d);
    out->ftz = sim_take(d, "ftz");
    out->sat = sim_take(d, "sat");
    out->relu = sim_take(d, "relu");
    out->cls = SIM_CLASS_FLOAT;
  } else if (out->cls == SIM_CLASS_FLOAT) {
    out->cls = SIM_CLASS_INTEGER;
  }
  out->type = (uint8_t)type;
  out->packed = type == PTX_f16x2 || type == PTX_bf16x2;
  char key[96];
  size_t n = (size_t)snprintf(key, sizeof key, "%s", in->mnemonic);
  for (int i = 0; i < in->nmods && n < sizeof key; i++)
    if (!(d->taken >> i & 1)) n += (size_t)snprintf(key + n, sizeof key - n, ".%s", in->mods[i]);
  if (n < sizeof key)
    for (const sim_alu_row *row = d->lanes->alu; row->keys; row++)
      if (has_key(row->keys, key)) return row;
  sim_bad(d, "the simulator does not know this form");
}

void sim_decode_alu(sim_decoder *d) {
  if (sim_decode_carry(d)) return;
  const sim_alu_row *row = find_row(d);
  d->taken = UINT32_MAX;
  sim_operands(d, row->nsources + 1, row->nsources + 1);
  const int wide = d->out->packed && row->bytes[0] == 2 ? 2 : 1; // rows of halves serve pairs of them
  sim_add_result(d, sim_operand(d, 0), row->bytes[0] * wide);
  for (int i = 0; i < row->nsources; i++) sim_add_source(d, sim_operand(d, i + 1), row->bytes[i + 1] * wide);
  d->out->parts = wide == 2 ? SIM_HALVES : SIM_WHOLE;
  sim_set_lane(d, row->run);
}

// ---- predicates

enum { LOGIC_AND, LOGIC_OR, LOGIC_XOR, LOGIC_NOT };

static void logic(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  (void)regs;
  uint32_t v[2] = {0, 0};
  for (int i = 0; i < in->nargs - 1; i++) v[i] = in->args[i + 1].negated ? ~preds[in->args[i + 1].at] : preds[in->args[i + 1].at];
  const uint32_t r = in->select == LOGIC_AND   ? v[0] & v[1]
                     : in->select == LOGIC_OR  ? v[0] | v[1]
                     : in->select == LOGIC_XOR ? v[0] ^ v[1]
                                               : ~v[0];
  uint32_t *to = &preds[in->args[0].at];
  *to = (*to & ~active) | (r & active);
}

static void move_pred(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  (void)regs;
  const uint32_t v = in->args[1].negated ? ~preds[in->args[1].at] : preds[in->args[1].at];
  uint32_t *to = &preds[in->args[0].at];
  *to = (*to & ~active) | (v & active);
}

void sim_decode_logic(sim_decoder *d) {
  static const char *const names[] = {"and", "or", "xor", "not"};
  if (!sim_take(d, "pred")) {
    sim_decode_alu(d);
    return;
  }
  while (strcmp(names[d->out->select], d->in->mnemonic)) d->out->select++;
  const int sources = d->out->select == LOGIC_NOT ? 1 : 2;
  sim_operands(d, sources + 1, sources + 1);
  sim_add_result(d, sim_operand(d, 0), 0);
  for (int i = 0; i < sources; i++) sim_add_source(d, sim_operand(d, i + 1), 0);
  sim_set_lane(d, logic);
}

static sim_lane_fn *comparison(sim_decoder *d, int type) {
  const int bytes = ptx_types[type].bytes, cls = ptx_types[type].cls;
  int which = -1;
  if (cls == 'f') {
    which = type == PTX_f32    ? SIM_LANE_COMPARE_f32
            : type == PTX_f64  ? SIM_LANE_COMPARE_f64
            : type == PTX_f16  ? SIM_LANE_COMPARE_f16
            : type == PTX_bf16 ? SIM_LANE_COMPARE_bf16
                               : -1;
  } else if (bytes == 2 || bytes == 4 || bytes == 8) {
    const int at = bytes == 2 ? SIM_LANE_COMPARE_u16 : bytes == 4 ? SIM_LANE_COMPARE_u32 : SIM_LANE_COMPARE_u64;
    which = at + (cls == 's');
    d->out->cls = SIM_CLASS_INTEGER;
  }
  if (which < 0) sim_bad(d, "comparing .%s is not known", ptx_types[type].name);
  return d->lanes->lane[which];
}

// setp.CMP[.BOOL][.ftz].TYPE p[|q], a, b[, [!]c]; set.CMP[.BOOL][.ftz].RESULT.TYPE
void sim_decode_compare(sim_decoder *d) {
  static const char *const compares[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge", "equ", "neu", "ltu",
                                         "leu", "gtu", "geu", "num", "nan", "lo", "ls",  "hi",  "hs"};
  static const uint8_t as[] = {SIM_EQ,  SIM_NE,  SIM_LT,  SIM_LE,  SIM_GT,  SIM_GE, SIM_EQU, SIM_NEU, SIM_LTU,
                               SIM_LEU, SIM_GTU, SIM_GEU, SIM_NUM, SIM_NAN, SIM_LT, SIM_LE,  SIM_GT,  SIM_GE};
  static const char *const bools[] = {"and", "or", "xor"};
  const bool set = !strcmp(d->in->mnemonic, "set");
  const int compare = sim_take_one(d, compares, 18), with = sim_take_one(d, bools, 3);
  if (compare < 0) sim_bad(d, "a comparison is missing");
  d->out->ftz = sim_take(d, "ftz");
  const int result = set ? sim_take_type(d) : PTX_pred, type = sim_take_type(d), bytes = ptx_types[type].bytes;
  sim_lane_fn *run = comparison(d, type);
  d->out->select = as[compare];
  sim_operands(d, with < 0 ? 3 : 4, with < 0 ? 3 : 4);
  const ptx_operand *to = sim_operand(d, 0);
  if (set && result != PTX_u32 && result != PTX_s32 && result != PTX_f32)
    sim_bad(d, "a result of .%s is not known", ptx_types[result].name);
  d->out->packed = result == PTX_f32;
  if (set && with >= 0) sim_bad(d, "the simulator does not know 'set' with a predicate");
  sim_add_result(d, to, set ? 4 : 0);
  if (to->kind == PTX_REG && to->nitems == 2 && !set)
    sim_add_result(d, &(ptx_operand){.kind = to->pair < 0 ? PTX_SINK : PTX_REG, .reg = to->pair}, 0);
  sim_add_source(d, sim_operand(d, 1), bytes);
  sim_add_source(d, sim_operand(d, 2), bytes);
  if (with >= 0) sim_add_source(d, sim_operand(d, 3), 0);
  sim_set_lane(d, run);
  d->out->mode = (uint8_t)(with + 1);
}

enum { TEST_FINITE, TEST_INFINITE, TEST_NUMBER, TEST_NAN, TEST_NORMAL, TEST_SUBNORMAL };

static void test(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  uint32_t m = 0;
  for (int l = 0; l < LANES; l++) {
    const char *at = regs + in->args[1].at + (size_t)l * in->args[1].bytes;
    float f;
    double x;
    if (in->type == PTX_f32) memcpy(&f, at, sizeof f), x = f;
    else memcpy(&x, at, sizeof x);
    const double normal = in->type == PTX_f32 ? 0x1p-126 : 0x1p-1022;
    const bool is[] = {isfinite(x), isinf(x), !isnan(x), isnan(x), isfinite(x) && fabs(x) >= normal, x != 0 && fabs(x) < normal};
    m |= (uint32_t)is[in->select] << l;
  }
  preds[in->args[0].at] = (preds[in->args[0].at] & ~active) | (m & active);
}

void sim_decode_test(sim_decoder *d) {
  static const char *const names[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  const int what = sim_take_one(d, names, 6), type = sim_take_type(d);
  if (what < 0 || (type != PTX_f32 && type != PTX_f64)) sim_bad(d, "the simulator does not know this test");
  d->out->select = (uint8_t)what, d->out->type = (uint8_t)type;
  sim_operands(d, 2, 2);
  sim_add_result(d, sim_operand(d, 0), 0);
  sim_add_source(d, sim_operand(d, 1), ptx_types[type].bytes);
  sim_set_lane(d, test);
}

// ---- moves

static int register_bytes(const sim_decoder *d, const ptx_operand *o) {
  return o->kind == PTX_REG && o->reg >= 0 ? ptx_types[d->entry->regs[o->reg].type].bytes : -1;
}

static void pack(sim_decoder *d, const ptx_operand *parts, int whole, bool unpack) {
  if (whole % parts->nitems) sim_bad(d, "%d registers do not make %d bits", parts->nitems, 8 * whole);
  sim_add_vector(d, parts, parts->nitems, whole / parts->nitems, unpack);
}

void sim_decode_move(sim_decoder *d) {
  const int type = sim_take_type(d), bytes = ptx_types[type].bytes;
  sim_operands(d, 2, 2);
  const ptx_operand *to = sim_operand(d, 0), *from = sim_operand(d, 1);
  sim_lane_fn *run = d->lanes->lane[SIM_LANE_MOVE];
  if (type == PTX_pred) {
    sim_add_result(d, to, 0);
    sim_add_source(d, from, 0);
    run = move_pred;
  } else if (to->kind == PTX_VECTOR) {
    pack(d, to, bytes, true);
    sim_add_source(d, from, bytes);
    run = d->lanes->lane[SIM_LANE_UNPACK];
  } else if (from->kind == PTX_VECTOR) {
    sim_add_result(d, to, bytes);
    pack(d, from, bytes, false);
    run = d->lanes->lane[SIM_LANE_PACK];
  } else {
    sim_add_result(d, to, bytes);
    sim_add_source(d, from, bytes);
  }
  sim_set_lane(d, run);
  bool even = type != PTX_pred;
  for (int i = 0; i < d->nargs; i++) even &= d->args[i].bytes % 2 == 0;
  if (even) d->out->parts = SIM_MOVED;
}

void sim_decode_select(sim_decoder *d) {
  const int bytes = ptx_types[sim_take_type(d)].bytes;
  if (bytes != 2 && bytes != 4 && bytes != 8) sim_bad(d, "selp of this type is not known");
  sim_operands(d, 4, 4);
  sim_add_result(d, sim_operand(d, 0), bytes);
  sim_add_source(d, sim_operand(d, 1), bytes);
  sim_add_source(d, sim_operand(d, 2), bytes);
  sim_add_source(d, sim_operand(d, 3), 0);
  sim_set_lane(d, d->lanes->lane[SIM_LANE_SELECT]);
  d->out->parts = SIM_CHOSEN;
}

// ---- cvt

enum { INTEGRAL_NONE, INTEGRAL_RN, INTEGRAL_RZ, INTEGRAL_RM, INTEGRAL_RP };

static double integral(double x, int how) {
  return how == INTEGRAL_RN   ? nearbyint(x)
         : how == INTEGRAL_RZ ? trunc(x)
         : how == INTEGRAL_RM ? floor(x)
         : how == INTEGRAL_RP ? ceil(x)
                              : x;
}

typedef struct number { // exact: an integer of 65 bits with sign, or a double
  bool is_float;
  double real;
  __int128 whole;
} number;

static number read_number(const sim_instr *in, uint64_t bits) {
  const ptx_type_row *t = &ptx_types[in->from];
  const int width = 8 * t->bytes;
  if (in->from == PTX_f64) return (number){.is_float = true, .real = sim_f64(bits)};
  if (in->from == PTX_f32) {
    const uint32_t b = (uint32_t)bits;
    return (number){.is_float = true, .real = sim_f32(in->ftz && !(b & 0x7f800000) ? b & 0x80000000 : b)};
  }
  if (t->cls == 'f') return (number){.is_float = true, .real = sim_decode_float(sim_format_of(in->from), (uint32_t)bits)};
  const uint64_t low = width < 64 ? bits & (((uint64_t)1 << width) - 1) : bits;
  if (t->cls == 's') return (number){.whole = (int64_t)(low << (64 - width)) >> (64 - width)};
  return (number){.whole = low};
}

static uint64_t to_integer(const sim_instr *in, number x) {
  const ptx_type_row *t = &ptx_types[in->type];
  const int width = 8 * t->bytes;
  const bool is_signed = t->cls == 's';
  const __int128 most = is_signed ? ((__int128)1 << (width - 1)) - 1 : ((__int128)1 << width) - 1;
  const __int128 least = is_signed ? -((__int128)1 << (width - 1)) : 0;
  if (x.is_float) {
    // NaN: 0, or with 64 bits on either side the number with only the highest bit set (ISA, cvt).
    if (isnan(x.real)) return in->from == PTX_f64 || width == 64 ? (uint64_t)1 << (width - 1) : 0;
    const double r = integral(x.real, in->select);
    if (r <= -0x1p64) return (uint64_t)least;
    if (r >= 0x1p64) return (uint64_t)most;
    x.whole = (__int128)r;
    return (uint64_t)(x.whole > most ? most : x.whole < least ? least : x.whole);
  }
  if (in->sat) x.whole = x.whole > most ? most : x.whole < least ? least : x.whole;
  return (uint64_t)x.whole;
}

// Of 64-bit integers the low bits that a double cannot hold become one sticky bit, so that the next rounding is the only one.
static double to_double(number x, bool sticky) {
  if (x.is_float) return x.real;
  if (!sticky || (x.whole < ((__int128)1 << 53) && x.whole > -((__int128)1 << 53))) return (double)x.whole;
  const bool negative = x.whole < 0;
  uint64_t magnitude = (uint64_t)(negative ? -x.whole : x.whole);
  magnitude = (magnitude & ~(uint64_t)0xfff) | (magnitude & 0xfff ? 0x1000 : 0);
  return negative ? -(double)magnitude : (double)magnitude;
}

static uint64_t to_float(const sim_instr *in, number n) {
  double x = to_double(n, in->type != PTX_f64);
  if (in->select) x = integral(x, in->select);
  if (in->sat) x = x > 0 ? x < 1 ? x : 1 : 0;
  if (in->relu) x = isnan(x) || x > 0 ? x : 0;
  if (in->type == PTX_f64) return isnan(x) ? UINT64_C(0x7fffffffffffffff) : sim_f64_bits(x);
  const uint32_t code = sim_encode_float(sim_format_of(in->type), x, in->mode, in->negated);
  if (in->type == PTX_tf32) return (uint64_t)code << 13;
  return in->type == PTX_f32 && in->ftz && !(code & 0x7f800000) ? code & 0x80000000 : code;
}

// One number, or a pair: of two sources the first is the high half.
static void convert(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  (void)preds;
  const int to_bits = 8 * ptx_types[in->type].bytes, from_bits = 8 * ptx_types[in->from].bytes;
  for (int l = 0; l < LANES; l++) {
    if (!(active >> l & 1)) continue;
    uint64_t sources[2] = {0, 0}, result = 0;
    for (int k = 1; k < in->nargs; k++) memcpy(&sources[k - 1], regs + in->args[k].at + (size_t)l * in->args[k].bytes, in->args[k].bytes);
    if (in->packed && in->nargs == 2) sources[1] = sources[0], sources[0] = sources[1] >> from_bits;
    for (int k = 0; k < (in->packed ? 2 : 1); k++) {
      const number x = read_number(in, from_bits == 64 ? sources[k] : sources[k] & (((uint64_t)1 << from_bits) - 1));
      const uint64_t bits = ptx_types[in->type].cls == 'f' ? to_float(in, x) : to_integer(in, x);
      result = in->packed ? result << to_bits | bits : bits;
    }
    const int bytes = in->args[0].bytes;
    memcpy(regs + in->args[0].at + (size_t)l * bytes, &result, (size_t)bytes);
  }
}

// The element of a packed type; itself otherwise.
static int element_of(int type, bool *packed) {
  static const uint8_t pairs[][2] = {{PTX_f16x2, PTX_f16}, {PTX_bf16x2, PTX_bf16}, {PTX_e4m3x2, PTX_e4m3}, {PTX_e5m2x2, PTX_e5m2}};
  for (int i = 0; i < 4; i++)
    if (pairs[i][0] == type) return *packed = true, pairs[i][1];
  return type;
}

// Loops over all lanes for the conversions that kernels live on.
static int quick(const sim_instr *in, int sources) {
  const bool plain = !in->ftz && !in->sat && !in->relu && !in->negated && in->mode == SIM_RN && !in->select;
  if (!plain) return -1;
  if (in->packed) return in->type == PTX_bf16 && in->from == PTX_f32 && sources == 2 ? SIM_LANE_F32_BF16X2 : -1;
  if (in->type == PTX_bf16 && in->from == PTX_f32) return SIM_LANE_F32_BF16;
  if (in->type == PTX_f32 && in->from == PTX_f16) return SIM_LANE_F16_F32;
  if (in->type == PTX_f32 && in->from == PTX_bf16) return SIM_LANE_BF16_F32;
  if (in->type == PTX_f32 && in->from == PTX_s32) return SIM_LANE_S32_F32;
  return in->type == PTX_f64 && in->from == PTX_f32 ? SIM_LANE_F32_F64 : -1;
}

void sim_decode_convert(sim_decoder *d) {
  static const char *const whole[] = {"rni", "rzi", "rmi", "rpi"};
  sim_instr *out = d->out;
  bool packed = false, from_packed = false;
  sim_take_rounding(d);
  out->select = (uint8_t)(sim_take_one(d, whole, 4) + 1);
  out->ftz = sim_take(d, "ftz"), out->sat = sim_take(d, "sat"), out->relu = sim_take(d, "relu");
  out->negated = sim_take(d, "satfinite");
  const int to = element_of(sim_take_type(d), &packed), from = element_of(sim_take_type(d), &from_packed);
  const char tc = ptx_types[to].cls, fc = ptx_types[from].cls;
  out->type = (uint8_t)to, out->from = (uint8_t)from, out->packed = packed;
  if (tc == 'b' || fc == 'b' || tc == 'p' || fc == 'p' || to == PTX_u16x2 || to == PTX_s16x2) sim_bad(d, "no such conversion");
  if (from_packed && !packed) sim_bad(d, "a pair cannot become a single number");
  const int sources = packed && !from_packed ? 2 : 1;
  sim_operands(d, sources + 1, sources + 1);
  // Registers may be wider than the type (ISA 9.4.1); of floats and pairs they are as wide.
  const int to_bytes = tc == 'f' ? ptx_types[to].bytes * (packed ? 2 : 1) : -1;
  const int from_bytes = fc == 'f' ? ptx_types[from].bytes * (from_packed ? 2 : 1) : -1;
  sim_add_result(d, sim_operand(d, 0), to_bytes);
  for (int k = 0; k < sources; k++) {
    const ptx_operand *o = sim_operand(d, k + 1);
    sim_add_source(d, o, o->kind == PTX_REG ? from_bytes : ptx_types[from].bytes);
    if (d->args[d->nargs - 1].bytes < ptx_types[from].bytes) sim_bad(d, "the source is narrower than .%s", ptx_types[from].name);
  }
  if (d->args[0].bytes < ptx_types[to].bytes) sim_bad(d, "the result is narrower than .%s", ptx_types[to].name);
  const int fast = tc != 'f' && fc != 'f' && !out->sat ? fc == 's' ? SIM_LANE_EXTEND_s : SIM_LANE_EXTEND_u : quick(out, sources);
  out->run.lane = fast < 0 ? convert : d->lanes->lane[fast];
  out->flow = SIM_LANE;
  if (sources == 2 && to_bytes == 4) out->parts = SIM_PAIRED;
  if (register_bytes(d, sim_operand(d, 0)) == 16) sim_bad(d, "a result of 128 bits");
}

// ---- addresses

// cvta[.to].SPACE.u64: into the window of the space, or out of it. Global memory has none.
void sim_decode_address(sim_decoder *d) {
  const bool out = sim_take(d, "to");
  const ptx_space space = sim_take_space(d);
  const int bytes = ptx_types[sim_take_type(d)].bytes;
  if (bytes != 8) sim_bad(d, "addresses have 64 bits");
  const uint64_t window = space == PTX_GLOBAL || space == PTX_CONST ? 0 : SIM_WINDOW(space);
  static const char *const names[] = {"sub.u64", "add.u64"};
  sim_operands(d, 2, 2);
  sim_add_result(d, sim_operand(d, 0), 8);
  sim_add_source(d, sim_operand(d, 1), 8);
  sim_add_source(d, &(ptx_operand){.kind = PTX_INT, .value = (int64_t)window}, 8);
  for (const sim_alu_row *row = d->lanes->alu; row->keys; row++)
    if (has_key(row->keys, names[!out])) sim_set_lane(d, row->run);
}

static void is_space(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active) {
  uint32_t m = 0;
  for (int l = 0; l < LANES; l++) {
    uint64_t address = 0;
    memcpy(&address, regs + in->args[1].at + (size_t)l * in->args[1].bytes, in->args[1].bytes);
    const uint64_t window = address >> 56;
    m |= (uint32_t)(in->space == PTX_GLOBAL ? window == 0 : window == SIM_WINDOW(in->space) >> 56) << l;
  }
  preds[in->args[0].at] = (preds[in->args[0].at] & ~active) | (m & active);
}

void sim_decode_space(sim_decoder *d) {
  const ptx_space space = sim_take_space(d);
  if (space == PTX_GENERIC) sim_bad(d, "a state space is missing");
  d->out->space = 0;
  sim_operands(d, 2, 2);
  sim_add_result(d, sim_operand(d, 0), 0);
  sim_add_source(d, sim_operand(d, 1), -1);
  sim_set_lane(d, is_space);
  d->out->space = (uint8_t)space;
}
