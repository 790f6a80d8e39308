// wgmma: products of whole matrices of small numbers, exact in any order, with operands laid out in shared memory by the tables of the ISA
// (9.7.15.5: core matrices, canonical layouts) and the swizzle of the CUDA programming guide (rows of the swizzle's width, 16-byte column x
// of row y at x ^ y * width / 128), and D read by the figures of its fragments.
#include "sim/ptx.h"

typedef struct element {
  const char *name;
  int bytes;
} element;
enum { BF16, F16, TF32, E4M3, E5M2, S8, U8 };
static const element elements[] = {{"bf16", 2}, {"f16", 2}, {"tf32", 4}, {"e4m3", 1}, {"e5m2", 1}, {"s8", 1}, {"u8", 1}};

typedef struct product {
  int n, a, b;              // N; element types
  char d;                   // 'f' f32, 'h' f16, 'i' s32
  int swizzle_a, swizzle_b; // bytes; swizzle_a -1: A in registers
  bool transposed_a, transposed_b, negated_a, negated_b;
  int steps; // along K, each its own instruction
} product;

enum { MOST_K = 128, IMAGE = 160 * 1024, B_AT = 64 * 1024 };
static int A[64][MOST_K], B[256][MOST_K];
static uint8_t image[IMAGE];
static uint32_t registers_a[128 * 4 * 4], D[128 * 128];

static uint32_t code_of(int type, int v) {
  static const uint8_t e4m3[] = {0, 0x38, 0x40, 0x44, 0x48, 0x4a}, e5m2[] = {0, 0x3c, 0x40, 0x42, 0x44, 0x45};
  static const uint16_t f16[] = {0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500};
  const int m = v < 0 ? -v : v;
  const float f = (float)v;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  switch (type) {
  case BF16: return bits >> 16;
  case F16: return f16[m] | (v < 0 ? 0x8000 : 0);
  case TF32: return bits | 0x1abc; // the low 13 bits are not looked at
  case E4M3: return e4m3[m] | (v < 0 ? 0x80u : 0);
  case E5M2: return e5m2[m] | (v < 0 ? 0x80u : 0);
  default: return (uint32_t)v & 0xff;
  }
}

// Where element (row, k) of an operand with `rows` rows lies: rows of the swizzle's width one after another, one atom of 8 × width after
// another. along K: an atom is 8 rows × width bytes of K. Transposed: 8 k × width bytes of rows.
static uint32_t place(int swizzle, bool transposed, int rows, int bytes, int row, int k) {
  if (!transposed) {
    if (!swizzle) { // core matrices of 8 rows × 16 bytes: those along K are 128 bytes apart, those along the rows 2 of them further
      const int chunk = k * bytes / 16;
      return (uint32_t)(chunk * (rows / 8) * 128 + row / 8 * 128 + row % 8 * 16 + k * bytes % 16);
    }
    const int per = swizzle / bytes, atom = k / per; // K beyond the width: another panel
    const int y = row, x = k % per * bytes / 16;
    return (uint32_t)(atom * rows * swizzle + y * swizzle + (x ^ (y * swizzle / 128 % (swizzle / 16))) * 16 + k * bytes % 16);
  }
  if (!swizzle) { // core matrices of 8 k × 8 rows
    return (uint32_t)(k / 8 * (rows / 8) * 128 + row / 8 * 128 + k % 8 * 16 + row % 8 * bytes);
  }
  const int per = swizzle / bytes, panel = row / per; // rows beyond the width: another panel of all k
  const int y = k, x = row % per * bytes / 16;
  return (uint32_t)(panel * MOST_K * swizzle + y * swizzle + (x ^ (y * swizzle / 128 % (swizzle / 16))) * 16 + row * bytes % 16);
}

static uint64_t descriptor(int swizzle, bool transposed, int rows, uint32_t start, int *step) {
  const uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  uint64_t leading, stride;
  if (!transposed) {
    leading = swizzle ? 16 : (uint64_t)rows / 8 * 128, stride = swizzle ? 8 * (uint64_t)swizzle : 128;
    *step = swizzle ? 32 : rows / 8 * 128 * 2;
  } else if (swizzle) {
    leading = (uint64_t)MOST_K * (uint64_t)swizzle, stride = 8 * (uint64_t)swizzle;
    *step = 16 * swizzle;
  } else {
    stride = 128, leading = (uint64_t)rows / 8 * 128;
    *step = 2 * rows / 8 * 128;
  }
  return start >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | mode << 62;
}

static char text[1 << 17];
static size_t used;
__attribute__((format(printf, 1, 2))) static void put(const char *format, ...) {
  va_list args;
  va_start(args, format);
  used += (size_t)vsnprintf(text + used, sizeof text - used, format, args);
  va_end(args);
}

static void write_text(const product *p, uint64_t da, uint64_t db, int step_a, int step_b, bool keeps) {
  const int registers = p->d == 'h' ? p->n / 4 : p->n / 2, k = 32 / elements[p->a].bytes;
  const char *type = p->d == 'f' ? "f32" : p->d == 'h' ? "f16" : "s32";
  used = 0;
  put(PTX_HEAD
      ".extern .shared .align 1024 .b8 sm[];\n.entry k(.param .u64 I, .param .u64 A, .param .u64 D)\n{\n.reg .b32 %%t, %%i, %%s, %%v<4>, "
      "%%d<%d>, %%a<16>; .reg .b64 %%p, %%q, %%x, %%y; .reg .pred %%e;\n",
      registers);
  put("ld.param.u64 %%p, [I];\nld.param.u64 %%q, [D];\nmov.u32 %%t, %%tid.x;\nshl.b32 %%i, %%t, 4;\nL:\ncvt.u64.u32 %%x, %%i;\nadd.u64 "
      "%%x, %%x, "
      "%%p;\nld.global.v4.u32 {%%v0, %%v1, %%v2, %%v3}, [%%x];\nmov.u32 %%s, sm;\nadd.u32 %%s, %%s, %%i;\nst.shared.v4.u32 [%%s], {%%v0, "
      "%%v1, %%v2, "
      "%%v3};\nadd.u32 %%i, %%i, 2048;\nsetp.lt.u32 %%e, %%i, %d;\n@%%e bra L;\nfence.proxy.async;\nbar.sync 0;\n",
      IMAGE);
  put("ld.param.u64 %%x, [A];\nmad.wide.u32 %%x, %%t, %d, %%x;\n", 64);
  for (int i = 0; i < 4 * p->steps; i++) put("ld.global.u32 %%a%d, [%%x+%d];\n", i, 4 * i);
  for (int i = 0; i < registers; i++) put("mov.b32 %%d%d, %s;\n", i, p->d == 'f' ? "0f40400000" : p->d == 'h' ? "0x42004200" : "3");
  put("wgmma.fence.sync.aligned;\n");
  for (int s = 0; s < p->steps; s++) {
    put("mov.u64 %%x, %llu;\nmov.u64 %%y, %llu;\n", (unsigned long long)(da + (uint64_t)(s * step_a >> 4)),
        (unsigned long long)(db + (uint64_t)(s * step_b >> 4)));
    put("wgmma.mma_async.sync.aligned.m64n%dk%d.%s.%s.%s {", p->n, k, type, elements[p->a].name, elements[p->b].name);
    for (int i = 0; i < registers; i++) put("%s%%d%d", i ? ", " : "", i);
    if (p->swizzle_a < 0) put("}, {%%a%d, %%a%d, %%a%d, %%a%d}", 4 * s, 4 * s + 1, 4 * s + 2, 4 * s + 3);
    else put("}, %%x");
    put(", %%y, %d", keeps || s);
    if (p->d != 'i') put(", %d, %d", p->negated_a ? -1 : 1, p->negated_b ? -1 : 1);
    if (elements[p->a].bytes == 2 && p->swizzle_a >= 0) put(", %d", p->transposed_a);
    if (elements[p->a].bytes == 2) put(", %d", p->transposed_b);
    put(";\n");
  }
  put("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\nmad.wide.u32 %%x, %%t, %d, %%q;\n", 4 * registers);
  for (int i = 0; i < registers; i++) put("st.global.u32 [%%x+%d], %%d%d;\n", 4 * i, i);
  put("ret;\n}\n");
}

static void fill(const product *p, int depth) {
  memset(image, 0, sizeof image);
  const int ba = elements[p->a].bytes, bb = elements[p->b].bytes;
  for (int i = 0; i < 64; i++)
    for (int k = 0; k < depth; k++) {
      A[i][k] = (i * 7 + k * 5 + i * k % 3) % 9 - (p->a == U8 ? 0 : 4);
      if (A[i][k] > 5) A[i][k] = 5;
      const uint32_t code = code_of(p->a, A[i][k]);
      if (p->swizzle_a >= 0) memcpy(image + place(p->swizzle_a, p->transposed_a, 64, ba, i, k), &code, (size_t)ba);
    }
  for (int j = 0; j < p->n; j++)
    for (int k = 0; k < depth; k++) {
      B[j][k] = (j * 3 + k * 11 + j * k % 5) % 9 - (p->b == U8 ? 0 : 4);
      if (B[j][k] > 5) B[j][k] = 5;
      const uint32_t code = code_of(p->b, B[j][k]);
      memcpy(image + B_AT + place(p->swizzle_b, p->transposed_b, p->n, bb, j, k), &code, (size_t)bb);
    }
  // Fragments of A: register r of lane l of warp w holds row 16 w + l / 4 + 8 (r % 2) and 4 / bytes columns from (4 / bytes) (l % 4 + 4 (r
  // / 2)).
  memset(registers_a, 0, sizeof registers_a);
  const int per = 4 / ba, k = 32 / ba;
  for (int t = 0; t < 128; t++)
    for (int s = 0; s < p->steps; s++)
      for (int r = 0; r < 4; r++)
        for (int i = 0; i < per; i++) {
          const int row = t / 32 * 16 + t % 32 / 4 + 8 * (r % 2), column = s * k + per * (t % 4 + 4 * (r / 2)) + i;
          registers_a[t * 16 + 4 * s + r] |= code_of(p->a, A[row][column]) << (8 * ba * i);
        }
}

static void try(product p, bool keeps) {
  const int k = 32 / elements[p.a].bytes, depth = k * p.steps;
  int step_a = 0, step_b = 0;
  fill(&p, depth);
  const uint64_t da = p.swizzle_a < 0 ? 0 : descriptor(p.swizzle_a, p.transposed_a, 64, 0, &step_a);
  const uint64_t db = descriptor(p.swizzle_b, p.transposed_b, p.n, B_AT, &step_b);
  write_text(&p, da, db, step_a, step_b, keeps);
  const ptx_call call = {.text = text,
                         .entry = "k",
                         .block = {128},
                         .shared = IMAGE,
                         .nargs = 3,
                         .args = {{"I", image, sizeof image, false, 0, NULL},
                                  {"A", registers_a, sizeof registers_a, false, 0, NULL},
                                  {"D", D, sizeof D, true, 0, NULL}}};
  PTX_CLEAN(&call);
  const int registers = p.d == 'h' ? p.n / 4 : p.n / 2;
  int wrong = 0;
  for (int t = 0; t < 128; t++)
    for (int i = 0; i < p.n / 2; i++) {
      const int row = 16 * (t / 32) + t % 32 / 4 + 8 * (i / 2 % 2), column = 8 * (i / 4) + 2 * (t % 4) + i % 2;
      int sum = 0;
      for (int x = 0; x < depth; x++) sum += A[row][x] * B[column][x];
      if (p.negated_a != p.negated_b) sum = -sum;
      sum += keeps ? 3 : 0;
      const uint32_t word = D[t * registers + (p.d == 'h' ? i / 2 : i)];
      float f;
      memcpy(&f, &word, 4);
      if (p.d == 'f') wrong += f != (float)sum;
      else if (p.d == 'i') wrong += (int)word != sum;
      else {
        const uint16_t half = (uint16_t)(word >> (16 * (i % 2)));
        const double got = ldexp((half & 0x7c00 ? 1024 : 0) + (half & 0x3ff), (half >> 10 & 31 ? half >> 10 & 31 : 1) - 25);
        wrong += (half & 0x8000 ? -got : got) != sum;
      }
    }
  CHECKF(wrong == 0, "m64n%dk%d %s.%s swizzle %d %d transposed %d %d: %d wrong", p.n, k, elements[p.a].name, elements[p.b].name,
         p.swizzle_a, p.swizzle_b, p.transposed_a, p.transposed_b, wrong);
}

static void shapes(void) {
  for (int n = 8; n <= 256; n += n < 32 ? 8 : 56) {
    const int m = n > 256 ? 256 : n;
    try((product){.n = m, .a = BF16, .b = BF16, .d = 'f', .swizzle_a = 128, .swizzle_b = 128, .steps = 4}, false);
    try((product){.n = m, .a = E4M3, .b = E5M2, .d = 'f', .swizzle_a = 128, .swizzle_b = 128, .steps = 4}, true);
  }
  try((product){.n = 256, .a = BF16, .b = BF16, .d = 'f', .swizzle_a = 128, .swizzle_b = 128, .steps = 4}, true);
}

static void types(void) {
  static const int pairs[][3] = {{BF16, BF16, 'f'}, {F16, F16, 'f'},   {F16, F16, 'h'},   {TF32, TF32, 'f'},
                                 {E4M3, E4M3, 'f'}, {E5M2, E4M3, 'f'}, {E5M2, E5M2, 'h'}, {S8, S8, 'i'},
                                 {S8, U8, 'i'},     {U8, S8, 'i'},     {U8, U8, 'i'}};
  static const int swizzles[] = {0, 32, 64, 128};
  for (int i = 0; i < 11; i++)
    for (int a = -1; a < 4; a++)
      for (int b = 0; b < 4; b++) {
        const int swizzle_a = a < 0 ? -1 : swizzles[a];
        int steps = swizzles[b] && swizzles[b] < 64 ? 1 : 2; // a step beyond the swizzle's width is another panel
        if (a >= 0 && swizzles[a] && swizzles[a] < 64) steps = 1;
        try((product){.n = 48,
                      .a = pairs[i][0],
                      .b = pairs[i][1],
                      .d = (char)pairs[i][2],
                      .swizzle_a = swizzle_a,
                      .swizzle_b = swizzles[b],
                      .steps = steps},
            (a + b) % 2 == 0);
      }
}

static void transposed(void) {
  static const int swizzles[] = {0, 32, 64, 128};
  for (int a = -1; a < 4; a++)
    for (int b = 0; b < 4; b++)
      for (int which = 1; which < 4; which++) {
        if (a < 0 && which & 1) continue;
        int steps = 2;
        if (!(which & 1) && a >= 0 && swizzles[a] == 32) steps = 1;
        if (!(which & 2) && swizzles[b] == 32) steps = 1;
        try((product){.n = 128,
                      .a = b % 2 ? BF16 : F16,
                      .b = b % 2 ? BF16 : F16,
                      .d = 'f',
                      .swizzle_a = a < 0 ? -1 : swizzles[a],
                      .swizzle_b = swizzles[b],
                      .transposed_a = which & 1,
                      .transposed_b = which & 2,
                      .negated_a = b == 1,
                      .negated_b = a == 1,
                      .steps = steps},
            true);
      }
}

int main(void) {
  shapes(), types(), transposed();
  tg_context_free(ptx_ctx);
  return test_done();
}
