// What single instructions give, lane by lane, against C written from the ISA's descriptions: integers, logic, shifts, floats with their
// rounding, conversions of every code.
#include "sim/ptx.h"

typedef struct operation {
  const char *text;   // with %d %a %b %c %e, as wide as `widths` says in bytes: result, then sources
  const char *widths; // "4444"
  uint64_t (*want)(uint64_t a, uint64_t b, uint64_t c, uint64_t e);
} operation;

static const uint64_t values[] = {0,
                                  1,
                                  2,
                                  5,
                                  31,
                                  32,
                                  33,
                                  63,
                                  64,
                                  100,
                                  0x7f,
                                  0x80,
                                  0xff,
                                  0x1234,
                                  0x7fff,
                                  0x8000,
                                  0xffff,
                                  0x10001,
                                  0x7fffffff,
                                  0x80000000,
                                  0xffffffff,
                                  0xdeadbeef,
                                  0x12345678,
                                  0x00ff00ff,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0xffffffffffffffff,
                                  0x123456789abcdef0,
                                  0xfedcba9876543210,
                                  7,
                                  3,
                                  0xf0f0f0f0f0f0f0f0};
enum { NVALUES = 32, CASES = 2048 };

static uint64_t inputs[4][CASES], outputs[CASES];

#define WANT(name) static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e)
#define U(x)       ((uint64_t)(uint32_t)(x))
WANT(add_carry) { return (void)e, U(c + ((U(a) + U(b)) >> 32)); }
WANT(add_carry_twice) { return (void)e, (U(a) + U(c) + ((U(a) + U(b)) >> 32)) >> 32; }
WANT(add_carry_64) { return (void)e, c + 1 + (a + b < a); }
WANT(sub_borrow) { return (void)e, U(c - (U(a) < U(b))); }
WANT(mad_high) { return (void)e, U((U(a) * U(b) >> 32) + ((U(U(a) * U(b)) + U(c)) >> 32)); }
WANT(mad_high_signed) {
  const uint64_t product = (uint64_t)((int64_t)(int32_t)a * (int32_t)b);
  return (void)e, U((product >> 32) + ((U(product) + U(c)) >> 32));
}
WANT(lop3_or) { return (void)e, U(a & b & c) || !(U(a) < U(b)) ? 7 : (a & b & c); }
WANT(lop3_and) { return (void)e, U(a & b & c) && U(a) < U(b) ? 7 : 9; }

static void fill(void) {
  uint64_t x = 88172645463325252ull;
  for (int i = 0; i < CASES; i++)
    for (int k = 0; k < 4; k++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      inputs[k][i] = i < CASES / 2 || x % 3 == 0 ? values[(x >> 20) % NVALUES] : x;
    }
}

// Every input is loaded into a register of its width; with less than all threads of a block every second time.
static void text_of(char *out, size_t size, const operation *o, bool partial) {
  static const char *const names[] = {"%d", "%a", "%b", "%c", "%e"};
  size_t n = (size_t)snprintf(out, size, PTX_HEAD ".visible .entry k(.param .u64 in, .param .u64 out)\n{\n");
  const int count = (int)strlen(o->widths);
  for (int i = 0; i < count; i++)
    n += (size_t)snprintf(out + n, size - n, ".reg .%s %s;\n",
                          o->widths[i] == 'p'   ? "pred"
                          : o->widths[i] == '2' ? "b16"
                          : o->widths[i] == '4' ? "b32"
                                                : "b64",
                          names[i]);
  n += (size_t)snprintf(
      out + n, size - n,
      ".reg .b32 %%t, %%u, %%v, %%w;\n.reg .b64 %%i, %%o, %%p, %%q;\n.reg .pred %%go;\nld.param.u64 %%i, [in];\nld.param.u64 "
      "%%o, [out];\nmov.u32 %%t, %%tid.x;\nmov.u32 %%u, %%ctaid.x;\nmov.u32 %%v, %%ntid.x;\nmad.lo.u32 %%t, %%u, %%v, "
      "%%t;\nmad.wide.u32 %%p, %%t, 8, %%i;\nmad.wide.u32 %%q, %%t, 8, %%o;\nand.b32 %%w, %%t, %d;\nsetp.eq.u32 %%go, "
      "%%w, 0;\n@!%%go bra END;\n",
      partial ? 1 : 0);
  for (int i = 1; i < count; i++) {
    const int offset = (i - 1) * CASES * 8;
    if (o->widths[i] == 'p')
      n += (size_t)snprintf(out + n, size - n, "ld.global.u32 %%w, [%%p+%d];\nsetp.ne.u32 %s, %%w, 0;\n", offset, names[i]);
    else n += (size_t)snprintf(out + n, size - n, "ld.global.b%d %s, [%%p+%d];\n", 8 * (o->widths[i] - '0'), names[i], offset);
  }
  n += (size_t)snprintf(out + n, size - n, "%s\n", o->text);
  if (o->widths[0] == 'p') n += (size_t)snprintf(out + n, size - n, "selp.u32 %%w, 1, 0, %%d;\nst.global.u32 [%%q], %%w;\n");
  else n += (size_t)snprintf(out + n, size - n, "st.global.b%d [%%q], %%d;\n", 8 * (o->widths[0] - '0'));
  snprintf(out + n, size - n, "END:\nret;\n}\n");
}

static uint64_t cut(uint64_t x, char width) {
  return width == 'p' ? (uint32_t)x != 0 : width == '2' ? (uint16_t)x : width == '4' ? (uint32_t)x : x;
}

static void check(const operation *o) {
  char text[8192];
  for (int partial = 0; partial < 2; partial++) {
    text_of(text, sizeof text, o, partial);
    memset(outputs, 0, sizeof outputs);
    PTX_CLEAN((&(ptx_call){.text = text,
                           .entry = "k",
                           .grid = {CASES / 128},
                           .block = {128},
                           .nargs = 2,
                           .args = {{"in", inputs, sizeof inputs, false, 0}, {"out", outputs, sizeof outputs, true, 0}}}));
    int wrong = 0;
    for (int i = 0; i < CASES; i += 1 + partial) {
      uint64_t in[4] = {0};
      for (int k = 1; o->widths[k]; k++) in[k - 1] = cut(inputs[k - 1][i], o->widths[k]);
      const uint64_t want = cut(o->want(in[0], in[1], in[2], in[3]), o->widths[0]);
      CHECKF(want == outputs[i] || wrong++, "%s: of %llx %llx %llx %llx: %llx, want %llx", o->text, (unsigned long long)in[0],
             (unsigned long long)in[1], (unsigned long long)in[2], (unsigned long long)in[3], (unsigned long long)outputs[i],
             (unsigned long long)want);
    }
  }
}

#define OP(name, expression)                                                                                                               \
  static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {                                                                   \
    (void)a, (void)b, (void)c, (void)e;                                                                                                    \
    return (uint64_t)(expression);                                                                                                         \
  }
#define S32(x) ((int64_t)(int32_t)(uint32_t)(x))
#define S16(x) ((int64_t)(int16_t)(uint16_t)(x))

// ---- integers

OP(add, a + b)
OP(sub, a - b)
OP(mul, a *b)
OP(mul_hi_u32, a *b >> 32)
OP(mul_hi_s32, (S32(a) * S32(b)) >> 32)
OP(mul_hi_u64, (unsigned __int128)a *b >> 64)
OP(mul_hi_s64, (__int128)(int64_t)a *(int64_t)b >> 64)
OP(mul_wide_s32, S32(a) * S32(b))
OP(mul_wide_s16, S16(a) * S16(b))
OP(mad_wide_s32, (uint64_t)(S32(a) * S32(b)) + c)
OP(mad_lo, a *b + c)
OP(div_u32, b ? a / b : 0xffffffff)
OP(div_s32, S32(b) ? S32(a) / S32(b) : -1)
OP(rem_s32, S32(b) ? S32(a) % S32(b) : S32(a))
OP(rem_u64, b ? a % b : a)
OP(div_s64, !b ? -1 : (int64_t)b == -1 ? (int64_t)(0 - a) : (int64_t)a / (int64_t)b)
OP(add_sat, S32(a) + S32(b) > INT32_MAX ? INT32_MAX : S32(a) + S32(b) < INT32_MIN ? INT32_MIN : S32(a) + S32(b))
OP(abs_s32, S32(a) < 0 ? -S32(a) : S32(a))
OP(min_s16, S16(a) < S16(b) ? a : b)
OP(max_u16, a > b ? a : b)
OP(max_s64, (int64_t)a > (int64_t)b ? a : b)
OP(min_s32, S32(a) < S32(b) ? a : b)
OP(sad, c + (S32(a) > S32(b) ? S32(a) - S32(b) : S32(b) - S32(a)))
static uint64_t popc(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)b, (void)c, (void)e;
  int n = 0;
  for (; a; a &= a - 1) n++;
  return (uint64_t)n;
}
static uint64_t clz32(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)b, (void)c, (void)e;
  int n = 0;
  while (n < 32 && !(a >> (31 - n) & 1)) n++;
  return (uint64_t)n;
}
static uint64_t bfind_s32(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)b, (void)c, (void)e;
  const uint32_t x = (uint32_t)a >> 31 ? ~(uint32_t)a : (uint32_t)a;
  for (int i = 31; i >= 0; i--)
    if (x >> i & 1) return (uint64_t)i;
  return 0xffffffff;
}
static uint64_t brev32(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)b, (void)c, (void)e;
  uint64_t r = 0;
  for (int i = 0; i < 32; i++) r |= (a >> i & 1) << (31 - i);
  return r;
}
// The pseudocode of ISA 9.7.1.19, bit by bit.
static uint64_t bfe(uint64_t a, uint64_t b, uint64_t c, int msb, bool is_signed) {
  const uint64_t pos = b & 0xff, len = c & 0xff;
  const uint64_t last = pos + len - 1 < (uint64_t)msb ? pos + len - 1 : (uint64_t)msb;
  const uint64_t sbit = !is_signed || len == 0 ? 0 : a >> last & 1;
  uint64_t d = 0;
  for (int i = 0; i <= msb; i++) d |= ((uint64_t)i < len && pos + (uint64_t)i <= (uint64_t)msb ? a >> (pos + (uint64_t)i) & 1 : sbit) << i;
  return d;
}
OP(bfe_u32, bfe(a, b, c, 31, false))
OP(bfe_s32, bfe(a, b, c, 31, true))
OP(bfe_s64, bfe(a, b, c, 63, true))
static uint64_t bfi32(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  const uint64_t pos = c & 0xff, len = e & 0xff;
  uint64_t f = b;
  for (uint64_t i = 0; i < len && pos + i <= 31; i++) f = (f & ~(1ull << (pos + i))) | (a >> i & 1) << (pos + i);
  return f;
}
OP(shl32, b > 31 ? 0 : a << b)
OP(shr_s32, S32(a) >> (b > 31 ? 31 : b))
OP(shr_u64, b > 63 ? 0 : a >> b)
OP(shr_s16, S16(a) >> (b > 15 ? 15 : b))
OP(shf_l_wrap, ((b << 32 | a) << (c & 31)) >> 32)
OP(shf_r_clamp, c > 31 ? b : (b << 32 | a) >> c)
OP(lop3_e8, (a & b) | (b & c) | (a & c))
OP(lop3_96, a ^ b ^ c)
static uint64_t prmt(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)e;
  uint64_t d = 0;
  for (int i = 0; i < 4; i++) {
    const uint64_t pick = c >> (4 * i) & 15, byte = (b << 32 | a) >> (8 * (pick & 7)) & 0xff;
    d |= (pick & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << (8 * i);
  }
  return d;
}
static uint64_t dp4a(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
  (void)e;
  for (int i = 0; i < 4; i++) c += (uint64_t)((int8_t)(a >> (8 * i)) * (int64_t)(uint8_t)(b >> (8 * i)));
  return c;
}
OP(selected, c ? a : b)
OP(lt_s32, S32(a) < S32(b))
OP(ls_u64, a <= b)
OP(ge_and, a >= b && c)
OP(not_less_or, !(S16(a) < S16(b)) || c)
OP(packed_hi, a << 32 | b)
OP(first_half, a & 0xffff)
OP(extend_s8, (int8_t)a)
OP(cut_u8, a & 0xff)
OP(s64_s32, S32(a))
OP(sat_s8, S32(a) > 127 ? 127 : S32(a) < -128 ? -128 : S32(a))
OP(sat_u16, S32(a) < 0 ? 0 : S32(a) > 65535 ? 65535 : S32(a))

static const operation integers[] = {
    {"add.s32 %d, %a, %b;", "444", add},
    {"add.u64 %d, %a, %b;", "888", add},
    {"add.u16 %d, %a, %b;", "222", add},
    {"sub.s64 %d, %a, %b;", "888", sub},
    {"mul.lo.s32 %d, %a, %b;", "444", mul},
    {"mul.lo.u64 %d, %a, %b;", "888", mul},
    {"mul.hi.u32 %d, %a, %b;", "444", mul_hi_u32},
    {"mul.hi.s32 %d, %a, %b;", "444", mul_hi_s32},
    {"mul.hi.u64 %d, %a, %b;", "888", mul_hi_u64},
    {"mul.hi.s64 %d, %a, %b;", "888", mul_hi_s64},
    {"mul.wide.s32 %d, %a, %b;", "844", mul_wide_s32},
    {"mul.wide.s16 %d, %a, %b;", "422", mul_wide_s16},
    {"mad.wide.s32 %d, %a, %b, %c;", "8448", mad_wide_s32},
    {"mad.lo.s32 %d, %a, %b, %c;", "4444", mad_lo},
    {"div.u32 %d, %a, %b;", "444", div_u32},
    {"div.s32 %d, %a, %b;", "444", div_s32},
    {"rem.s32 %d, %a, %b;", "444", rem_s32},
    {"rem.u64 %d, %a, %b;", "888", rem_u64},
    {"div.s64 %d, %a, %b;", "888", div_s64},
    {"add.sat.s32 %d, %a, %b;", "444", add_sat},
    {"abs.s32 %d, %a;", "44", abs_s32},
    {"min.s16 %d, %a, %b;", "222", min_s16},
    {"max.u16 %d, %a, %b;", "222", max_u16},
    {"max.s64 %d, %a, %b;", "888", max_s64},
    {"min.s32 %d, %a, %b;", "444", min_s32},
    {"sad.s32 %d, %a, %b, %c;", "4444", sad},
    {"popc.b32 %d, %a;", "44", popc},
    {"popc.b64 %d, %a;", "48", popc},
    {"clz.b32 %d, %a;", "44", clz32},
    {"bfind.s32 %d, %a;", "44", bfind_s32},
    {"brev.b32 %d, %a;", "44", brev32},
    {"bfe.u32 %d, %a, %b, %c;", "4444", bfe_u32},
    {"bfe.s32 %d, %a, %b, %c;", "4444", bfe_s32},
    {"bfe.s64 %d, %a, %b, %c;", "8844", bfe_s64},
    {"bfi.b32 %d, %a, %b, %c, %e;", "44444", bfi32},
    {"shl.b32 %d, %a, %b;", "444", shl32},
    {"shr.s32 %d, %a, %b;", "444", shr_s32},
    {"shr.u64 %d, %a, %b;", "884", shr_u64},
    {"shr.s16 %d, %a, %b;", "224", shr_s16},
    {"shf.l.wrap.b32 %d, %a, %b, %c;", "4444", shf_l_wrap},
    {"shf.r.clamp.b32 %d, %a, %b, %c;", "4444", shf_r_clamp},
    {"lop3.b32 %d, %a, %b, %c, 0xe8;", "4444", lop3_e8},
    {"lop3.b32 %d, %a, %b, %c, 0x96;", "4444", lop3_96},
    {"{ .reg .b32 t; add.cc.u32 t, %a, %b; addc.u32 %d, %c, 0; }", "4444", add_carry},
    {"{ .reg .b32 t; add.cc.u32 t, %a, %b; addc.cc.u32 t, %a, %c; addc.u32 %d, 0, 0; }", "4444", add_carry_twice},
    {"{ .reg .b64 t; add.cc.u64 t, %a, %b; addc.u64 %d, %c, 1; }", "8888", add_carry_64},
    {"{ .reg .b32 t; sub.cc.u32 t, %a, %b; subc.u32 %d, %c, 0; }", "4444", sub_borrow},
    {"{ .reg .b32 t; mad.lo.cc.u32 t, %a, %b, %c; madc.hi.u32 %d, %a, %b, 0; }", "4444", mad_high},
    {"{ .reg .b32 t; mad.lo.cc.s32 t, %a, %b, %c; madc.hi.s32 %d, %a, %b, 0; }", "4444", mad_high_signed},
    {"{ .reg .pred p, q; .reg .b32 t; setp.lt.u32 q, %a, %b; lop3.or.b32 t|p, %a, %b, %c, 0x80, !q; selp.u32 %d, 7, t, p; }", "4444",
     lop3_or},
    {"{ .reg .pred p, q; .reg .b32 t; setp.lt.u32 q, %a, %b; lop3.and.b32 _|p, %a, %b, %c, 0x80, q; selp.u32 %d, 7, 9, p; }", "4444",
     lop3_and},
    {"prmt.b32 %d, %a, %b, %c;", "4444", prmt},
    {"dp4a.s32.u32 %d, %a, %b, %c;", "4444", dp4a},
    {"selp.b64 %d, %a, %b, %c;", "888p", selected},
    {"setp.lt.s32 %d, %a, %b;", "p44", lt_s32},
    {"setp.ls.u64 %d, %a, %b;", "p88", ls_u64},
    {"setp.ge.and.u32 %d, %a, %b, %c;", "p44p", ge_and},
    {"{ .reg .pred q; setp.lt.or.s16 q|%d, %a, %b, %c; }", "p22p", not_less_or},
    {"mov.b64 %d, {%b, %a};", "844", packed_hi},
    {"{ .reg .b16 x; mov.b32 {%d, x}, %a; }", "24", first_half},
    {"cvt.s32.s8 %d, %a;", "44", extend_s8},
    {"cvt.u16.u8 %d, %a;", "22", cut_u8},
    {"cvt.s64.s32 %d, %a;", "84", s64_s32},
    {"cvt.sat.s8.s32 %d, %a;", "44", sat_s8},
    {"cvt.sat.u16.s32 %d, %a;", "24", sat_u16},
};

// ---- floats

static float f32(uint64_t bits) {
  const uint32_t low = (uint32_t)bits;
  float f;
  memcpy(&f, &low, 4);
  return f;
}
static uint64_t bits32(float f) {
  uint32_t b;
  memcpy(&b, &f, 4);
  return f != f ? 0x7fffffff : b; // NaN is canonical
}
static double f64(uint64_t bits) {
  double d;
  memcpy(&d, &bits, 8);
  return d;
}
static uint64_t bits64(double d) {
  uint64_t b;
  memcpy(&b, &d, 8);
  return d != d ? 0x7fffffffffffffff : b;
}
static uint64_t flushed(uint64_t a) { return (a & 0x7f800000) ? a : a & 0x80000000; }
static float less(float a, float b) { return a != a ? b : b != b ? a : a == b ? (signbit(a) ? a : b) : a < b ? a : b; }
OP(f_add, bits32(f32(a) + f32(b)))
OP(fmul_ftz, flushed(bits32(f32(flushed(a)) * f32(flushed(b)))))
OP(f_fma, bits32(fmaf(f32(a), f32(b), f32(c))))
OP(f_div, bits32(f32(a) / f32(b)))
OP(f_sqrt, bits32(sqrtf(f32(a))))
OP(fmin_, bits32(less(f32(a), f32(b))))
OP(fmin_nan, f32(a) != f32(a) || f32(b) != f32(b) ? 0x7fffffff : bits32(less(f32(a), f32(b))))
OP(fneg, a ^ 0x80000000)
OP(fsat, f32(a) + f32(b) > 0 ? bits32(f32(a) + f32(b) < 1 ? f32(a) + f32(b) : 1) : 0)
OP(d_fma, bits64(fma(f64(a), f64(b), f64(c))))
OP(d_add, bits64(f64(a) + f64(b)))
OP(gt, f32(a) > f32(b))
OP(gtu, !(f32(a) <= f32(b)))
OP(f_ne, f32(a) < f32(b) || f32(a) > f32(b))
OP(is_nan, f32(a) != f32(a) || f32(b) != f32(b))
OP(f_to_s32, f32(a) != f32(a) ? 0 : f32(a) >= 0x1p31f ? INT32_MAX : f32(a) <= -0x1p31f ? INT32_MIN : (int64_t)truncf(f32(a)))
OP(f_to_u8, f32(a) != f32(a) || f32(a) <= 0 ? 0 : f32(a) >= 255 ? 255 : (int64_t)nearbyintf(f32(a)))
OP(d_to_s64, f64(a) != f64(a) ? INT64_MIN : f64(a) >= 0x1p63 ? INT64_MAX : f64(a) <= -0x1p63 ? INT64_MIN : (int64_t)floor(f64(a)))
OP(s32_to_f, bits32((float)(int32_t)a))
OP(u64_to_f, bits32((float)a))
OP(d_to_f, bits32((float)f64(a)))
OP(f_to_d, bits64((double)f32(a)))
OP(f_floor, bits32(floorf(f32(a))))

static const operation floats[] = {
    {"add.f32 %d, %a, %b;", "444", f_add},
    {"add.rn.f32 %d, %a, %b;", "444", f_add},
    {"mul.rn.ftz.f32 %d, %a, %b;", "444", fmul_ftz},
    {"fma.rn.f32 %d, %a, %b, %c;", "4444", f_fma},
    {"div.rn.f32 %d, %a, %b;", "444", f_div},
    {"sqrt.rn.f32 %d, %a;", "44", f_sqrt},
    {"min.f32 %d, %a, %b;", "444", fmin_},
    {"min.NaN.f32 %d, %a, %b;", "444", fmin_nan},
    {"neg.f32 %d, %a;", "44", fneg},
    {"add.sat.f32 %d, %a, %b;", "444", fsat},
    {"fma.rn.f64 %d, %a, %b, %c;", "8888", d_fma},
    {"add.f64 %d, %a, %b;", "888", d_add},
    {"setp.gt.f32 %d, %a, %b;", "p44", gt},
    {"setp.gtu.f32 %d, %a, %b;", "p44", gtu},
    {"setp.ne.f32 %d, %a, %b;", "p44", f_ne},
    {"setp.nan.f32 %d, %a, %b;", "p44", is_nan},
    {"cvt.rzi.s32.f32 %d, %a;", "44", f_to_s32},
    {"cvt.rni.u8.f32 %d, %a;", "44", f_to_u8},
    {"cvt.rmi.s64.f64 %d, %a;", "88", d_to_s64},
    {"cvt.rn.f32.s32 %d, %a;", "44", s32_to_f},
    {"cvt.rn.f32.u64 %d, %a;", "48", u64_to_f},
    {"cvt.rn.f32.f64 %d, %a;", "48", d_to_f},
    {"cvt.f64.f32 %d, %a;", "84", f_to_d},
    {"cvt.rmi.f32.f32 %d, %a;", "44", f_floor},
};

// Floats of every size: the inputs' bits, read as floats, are mostly huge or NaN; these are near each other.
static void fill_floats(void) {
  uint64_t x = 1234567;
  for (int i = 0; i < CASES; i++)
    for (int k = 0; k < 4; k++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      const double v = ldexp((double)(int64_t)(x >> 20) * 0x1p-43, (int)(x % 40) - 20) * (x & 64 ? -1 : 1);
      static const uint64_t odd[] = {0, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 1, 0x80000001, 0x007fffff, 0x3f800000, 0xbf800000};
      inputs[k][i] = x % 5 == 0 ? odd[(x >> 8) % 10] : bits32((float)v);
    }
}
static void fill_doubles(void) {
  uint64_t x = 7654321;
  for (int i = 0; i < CASES; i++)
    for (int k = 0; k < 4; k++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      const double v = ldexp((double)(int64_t)x, (int)(x % 90) - 80);
      static const double odd[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e-310, 1, -1, 9.5, -2.5};
      inputs[k][i] = bits64(x % 5 == 0 ? odd[(x >> 8) % 10] : v);
    }
}

// ---- rounding modes, on sums that lie between two floats

static void rounding(void) {
  static const struct {
    const char *text;
    float a, b, want;
  } cases[] = {
      {"add.rn.f32", 1, 0x1p-24f, 1},
      {"add.rz.f32", 1, 0x1.8p-24f, 1},
      {"add.rp.f32", 1, 0x1p-40f, 0x1.000002p0f},
      {"add.rm.f32", 1, 0x1p-40f, 1},
      {"add.rm.f32", -1, -0x1p-40f, -0x1.000002p0f},
      {"sub.rp.f32", -1, 0x1p-40f, -1},
      {"mul.rz.f32", 0x1.000002p0f, 0x1.000002p0f, 0x1.000004p0f},
      {"mul.rp.f32", 0x1.000002p0f, 0x1.000002p0f, 0x1.000006p0f},
      {"div.rz.f32", 2, 3, 0x1.555554p-1f},
      {"div.rp.f32", 1, 3, 0x1.555556p-2f},
      {"div.rm.f32", 1, 3, 0x1.555554p-2f},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[1024];
    float in[2] = {cases[i].a, cases[i].b}, out = 0;
    snprintf(
        text, sizeof text,
        PTX_HEAD
        ".entry k(.param .u64 in, .param .u64 out)\n{\n.reg .b64 %%a<3>;\n.reg .f32 %%f<4>;\nld.param.u64 %%a1, [in];\n"
        "ld.param.u64 %%a2, [out];\nld.global.v2.f32 {%%f1, %%f2}, [%%a1];\n%s %%f3, %%f1, %%f2;\nst.global.f32 [%%a2], %%f3;\nret;\n}\n",
        cases[i].text);
    PTX_CLEAN((&(ptx_call){.text = text, .entry = "k", .nargs = 2, .args = {{"in", in, 8, false, 0}, {"out", &out, 4, true, 0}}}));
    CHECKF(out == cases[i].want, "%s of %a and %a: %a, want %a", cases[i].text, cases[i].a, cases[i].b, out, cases[i].want);
  }
}

// ---- small floats: every code decoded from its definition, every rounding to the nearest of all codes

typedef struct format {
  const char *name;
  int exponent, mantissa, width;
  bool has_infinity, e4m3;
} format;
static const format formats[] = {{"f16", 5, 10, 2, true, false}, {"bf16", 8, 7, 2, true, false}};

static double decode(const format *f, uint32_t code) {
  const int bias = (1 << (f->exponent - 1)) - 1, e = (int)(code >> f->mantissa) & ((1 << f->exponent) - 1);
  const double m = code & ((1u << f->mantissa) - 1), one = 1 << f->mantissa;
  const double sign = code >> (f->exponent + f->mantissa) & 1 ? -1 : 1;
  if (f->e4m3 && (code & 0x7f) == 0x7f) return NAN;
  if (f->has_infinity && e == (1 << f->exponent) - 1) return m == 0 ? sign * INFINITY : NAN;
  return sign * (e ? ldexp(1 + m / one, e - bias) : ldexp(m / one, 1 - bias));
}

static void every_code(void) {
  static uint16_t codes[65536];
  static float got[65536];
  char text[1024];
  for (int i = 0; i < 65536; i++) codes[i] = (uint16_t)i;
  for (int k = 0; k < 2; k++) {
    snprintf(text, sizeof text,
             PTX_HEAD
             ".entry k(.param .u64 in, .param .u64 out)\n{\n.reg .b64 %%a<5>;\n.reg .b16 %%h;\n.reg .f32 %%f;\n.reg .b32 %%t<4>;\n"
             "ld.param.u64 %%a1, [in];\nld.param.u64 %%a2, [out];\nmov.u32 %%t1, %%tid.x;\nmov.u32 %%t2, %%ctaid.x;\nmad.lo.u32 "
             "%%t3, %%t2, 256, %%t1;\nmad.wide.u32 %%a3, %%t3, 2, %%a1;\nmad.wide.u32 %%a4, %%t3, 4, %%a2;\nld.global.b16 %%h, [%%a3];\n"
             "cvt.f32.%s %%f, %%h;\nst.global.f32 [%%a4], %%f;\nret;\n}\n",
             formats[k].name);
    PTX_CLEAN((&(ptx_call){.text = text,
                           .entry = "k",
                           .grid = {256},
                           .block = {256},
                           .threads = 2,
                           .nargs = 2,
                           .args = {{"in", codes, sizeof codes, false, 0}, {"out", got, sizeof got, true, 0}}}));
    int wrong = 0;
    for (int i = 0; i < 65536; i++) {
      const double want = decode(&formats[k], (uint32_t)i);
      const bool same = want != want ? got[i] != got[i] : (double)got[i] == want && !signbit(got[i]) == !signbit(want);
      CHECKF(same || wrong++, "%s %04x: %a, want %a", formats[k].name, i, got[i], want);
    }
  }
}

// To nearest even by looking at all codes; beyond the largest it is infinite, or with eight bits the largest (satfinite).
static uint32_t nearest(const format *f, double x) {
  const uint32_t n = 1u << (f->exponent + f->mantissa), sign = signbit(x) ? n : 0;
  double best = INFINITY;
  uint32_t at = 0;
  x = fabs(x);
  const uint32_t top = f->e4m3 ? 0x7e : (((1u << f->exponent) - 1) << f->mantissa) - 1;
  const double largest = decode(f, top), above = largest + (largest - decode(f, top - 1)); // what the next code would be
  if (x > largest) return sign | (f->width == 1 || x < (largest + above) / 2 ? top : top + 1);
  for (uint32_t c = 0; c <= top; c++) {
    const double d = fabs(decode(f, c) - x);
    if (d < best || (d == best && !(c & 1))) best = d, at = c;
  }
  return sign | at;
}

static void rounded(const format *f, const char *instruction, const float *x, int n, const uint16_t *got, int step) {
  int wrong = 0;
  for (int i = 0; i < n; i++) {
    const uint32_t code = f->width == 1 ? (got[i / 2] >> (i % 2 ? 0 : 8)) & 0xff : got[i * step];
    const bool nan = x[i] != x[i];
    const uint32_t want = nan ? 0 : nearest(f, x[i]);
    const double v = decode(f, code);
    CHECKF((nan ? v != v : code == want) || wrong++, "%s of %a: %x, want %x", instruction, x[i], code, want);
  }
}

static void roundings(void) {
  enum { N = 512 };
  static float x[N];
  static uint16_t got[N];
  uint64_t r = 99;
  for (int i = 0; i < N; i++) {
    r ^= r << 13, r ^= r >> 7, r ^= r << 17;
    const int small = (int)(r % 3 == 0 ? r % 40 : r % 12);
    x[i] = (float)ldexp((double)(int)(r >> 40 & 0xfff) * (r & 32 ? 1 : 0x1.0002p0), small - 24) * (r & 1 ? -1 : 1);
    if (i % 37 == 0) x[i] = i % 74 ? INFINITY : NAN;
  }
  static const format e4m3 = {"e4m3", 4, 3, 1, false, true}, e5m2 = {"e5m2", 5, 2, 1, true, false};
  static const struct {
    const char *text;
    int pairs;
    const format *f;
  } cases[] = {{"cvt.rn.f16.f32 %h, %f1;", 0, &formats[0]},
               {"cvt.rn.bf16.f32 %h, %f1;", 0, &formats[1]},
               {"cvt.rn.satfinite.e4m3x2.f32 %h, %f1, %f2;", 1, &e4m3},
               {"cvt.rn.satfinite.e5m2x2.f32 %h, %f1, %f2;", 1, &e5m2}};
  for (int k = 0; k < 4; k++) {
    char text[2048];
    const int per = cases[k].pairs ? 2 : 1;
    snprintf(
        text, sizeof text,
        PTX_HEAD
        ".entry k(.param .u64 in, .param .u64 out)\n{\n.reg .b64 %%a<5>;\n.reg .b16 %%h;\n.reg .f32 %%f<3>;\n.reg .b32 %%t<4>;\n"
        "ld.param.u64 %%a1, [in];\nld.param.u64 %%a2, [out];\nmov.u32 %%t1, %%tid.x;\nmad.wide.u32 %%a3, %%t1, %d, %%a1;\nmad.wide.u32 "
        "%%a4, %%t1, 2, %%a2;\nld.global.f32 %%f1, [%%a3];\n%s%s\nst.global.b16 [%%a4], %%h;\nret;\n}\n",
        4 * per, per == 2 ? "ld.global.f32 %f2, [%a3+4];\n" : "", cases[k].text);
    PTX_CLEAN((&(ptx_call){.text = text,
                           .entry = "k",
                           .block = {(uint32_t)(N / per)},
                           .nargs = 2,
                           .args = {{"in", x, sizeof x, false, 0}, {"out", got, sizeof got, true, 0}}}));
    rounded(cases[k].f, cases[k].text, x, N, got, 1);
  }
}

int main(void) {
  fill();
  for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) check(&integers[i]);
  fill_floats();
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
    if (!strchr(floats[i].widths + 1, '8')) check(&floats[i]);
  fill_doubles();
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
    if (strchr(floats[i].widths + 1, '8')) check(&floats[i]);
  rounding();
  every_code();
  roundings();
  tg_context_free(ptx_ctx);
  return test_done();
}
