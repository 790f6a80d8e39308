// Matrix instructions against products of whole matrices, with the places of their elements as the ISA's formulas have them (9.7.14.5):
// groupID = lane >> 2, threadID_in_group = lane % 4.
#include "sim/ptx.h"

// ---- mma.sync.m16n8kK: the formulas of each shape and type, as they stand in the ISA

typedef struct shape {
  const char *text;   // of the instruction
  int k, na, nb, per; // depth; registers of A and B; elements in a register
  int kind;           // of elements
} shape;
enum { BF16, F16, TF32, E4M3, S8 };

// Row and column of element i of A in a lane, i running over all its registers.
static void place_a(const shape *s, int lane, int i, int *row, int *col) {
  const int group = lane >> 2, in_group = lane % 4;
  switch (s->kind) {
  case BF16:
  case F16: // m16n8k8: row = group for a0, a1, else group + 8; m16n8k16: a0 a1 a4 a5 in row group; columns + 8 from a4 on
    if (s->k == 8) *row = i < 2 ? group : group + 8, *col = in_group * 2 + (i & 1);
    else *row = (i >= 0 && i < 2) || (i >= 4 && i < 6) ? group : group + 8, *col = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    break;
  case TF32: // m16n8k8: rows group (a0, a2), group + 8 (a1, a3); columns in_group (a0, a1), in_group + 4 (a2, a3)
    *row = i == 0 || i == 2 ? group : group + 8, *col = i < 2 ? in_group : in_group + 4;
    break;
  default: // 8 bits. m16n8k32: row group for 0 <= i < 4 and 8 <= i < 12; m16n8k16: for i < 4
    if (s->k == 16) *row = i < 4 ? group : group + 8, *col = in_group * 4 + (i & 3);
    else *row = i < 4 || (i >= 8 && i < 12) ? group : group + 8, *col = in_group * 4 + (i & 3) + (i >= 8 ? 16 : 0);
  }
}

static void place_b(const shape *s, int lane, int i, int *row, int *col) {
  const int group = lane >> 2, in_group = lane % 4;
  *col = group;
  switch (s->kind) {
  case BF16:
  case F16: *row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0); break;
  case TF32: *row = i == 0 ? in_group : in_group + 4; break;
  default: *row = in_group * 4 + (i & 3) + (i >= 4 ? 16 : 0);
  }
}

static void place_c(int lane, int i, int *row, int *col) {
  *row = i < 2 ? lane >> 2 : (lane >> 2) + 8;
  *col = lane % 4 * 2 + (i & 1);
}

// Small whole numbers and halves, which every format holds, so that products and sums are exact in any order.
static uint32_t code_of(int kind, int v) {
  float f = (float)v / 2;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  const int magnitude = v < 0 ? -v : v;
  switch (kind) {
  case BF16: return bits >> 16;
  case TF32: return bits | 0x1234; // the low 13 bits are not looked at
  case F16: return magnitude ? (bits >> 16 & 0x8000) | (((bits >> 23 & 0xff) - 112) << 10 | (bits >> 13 & 0x3ff)) : 0;
  case E4M3: return magnitude ? (bits >> 24 & 0x80) | (((bits >> 23 & 0xff) - 120) << 3 | (bits >> 20 & 7)) : 0;
  default: return (uint32_t)v & 0xff;
  }
}

static const shape shapes[] = {
    {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, 4, 2, 2, BF16},
    {"mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 8, 2, 1, 2, BF16},
    {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, 4, 2, 2, F16},
    {"mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 16, 4, 2, 2, F16},
    {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8, 4, 2, 1, TF32},
    {"mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", 32, 4, 2, 4, E4M3},
    {"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", 32, 4, 2, 4, S8},
    {"mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32", 16, 2, 1, 4, S8},
};

static size_t list(char *out, size_t size, const char *name, int n) {
  size_t used = (size_t)snprintf(out, size, "{");
  for (int i = 0; i < n; i++) used += (size_t)snprintf(out + used, size - used, "%s%%%s%d", i ? ", " : "", name, i);
  return used + (size_t)snprintf(out + used, size - used, "}");
}

// Registers come from memory: register r of lane l is word 32 r + l of an array of each operand.
static void text_of(const shape *s, int nd, char *text, size_t size) {
  char d[64], a[64], b[64], c[64];
  list(d, sizeof d, "d", nd), list(a, sizeof a, "a", s->na), list(b, sizeof b, "b", s->nb), list(c, sizeof c, "c", nd);
  size_t n = (size_t)snprintf(text, size,
                              PTX_HEAD ".entry k(.param .u64 A, .param .u64 B, .param .u64 C, .param .u64 D)\n{\n.reg .b32 %%a<4>, %%b<2>, "
                                       "%%c<4>, %%d<4>, %%t;\n.reg .b64 %%p<4>;\nmov.u32 %%t, %%tid.x;\n");
  const char *const names[] = {"A", "B", "C", "D"};
  for (int i = 0; i < 4; i++)
    n += (size_t)snprintf(text + n, size - n, "ld.param.u64 %%p%d, [%s];\nmad.wide.u32 %%p%d, %%t, 4, %%p%d;\n", i, names[i], i, i);
  for (int i = 0; i < s->na; i++) n += (size_t)snprintf(text + n, size - n, "ld.global.b32 %%a%d, [%%p0+%d];\n", i, 128 * i);
  for (int i = 0; i < s->nb; i++) n += (size_t)snprintf(text + n, size - n, "ld.global.b32 %%b%d, [%%p1+%d];\n", i, 128 * i);
  for (int i = 0; i < nd; i++) n += (size_t)snprintf(text + n, size - n, "ld.global.b32 %%c%d, [%%p2+%d];\n", i, 128 * i);
  n += (size_t)snprintf(text + n, size - n, "%s %s, %s, %s, %s;\n", s->text, d, a, b, c);
  for (int i = 0; i < nd; i++) n += (size_t)snprintf(text + n, size - n, "st.global.b32 [%%p3+%d], %%d%d;\n", 128 * i, i);
  snprintf(text + n, size - n, "ret;\n}\n");
}

static void products(const shape *s) {
  const bool half = strstr(s->text, ".f16.f16.f16.f16") != NULL, whole = s->kind == S8;
  const int nd = half ? 2 : 4, width = 32 / s->per, limit = 5;
  static int A[16][32], B[32][8], C[16][8];
  uint32_t a[4 * 32] = {0}, b[2 * 32] = {0}, c[4 * 32] = {0}, d[4 * 32] = {0};
  uint64_t r = 5;
#define NEXT (r ^= r << 13, r ^= r >> 7, r ^= r << 17, (int)(r >> 33) % (2 * limit + 1) - limit)
  for (int i = 0; i < 16; i++)
    for (int t = 0; t < s->k; t++) A[i][t] = NEXT;
  for (int t = 0; t < s->k; t++)
    for (int j = 0; j < 8; j++) B[t][j] = NEXT;
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 8; j++) C[i][j] = NEXT;
  for (int l = 0; l < 32; l++) {
    int row, col;
    for (int i = 0; i < s->na * s->per; i++)
      place_a(s, l, i, &row, &col), a[32 * (i / s->per) + l] |= code_of(s->kind, A[row][col]) << (width * (i % s->per) % 32);
    for (int i = 0; i < s->nb * s->per; i++)
      place_b(s, l, i, &row, &col), b[32 * (i / s->per) + l] |= code_of(s->kind, B[row][col]) << (width * (i % s->per) % 32);
    for (int i = 0; i < 4; i++) {
      place_c(l, i, &row, &col);
      const float f = (float)C[row][col];
      if (half) c[32 * (i / 2) + l] |= code_of(F16, 2 * C[row][col]) << (16 * (i % 2));
      else if (whole) c[32 * i + l] = (uint32_t)C[row][col];
      else memcpy(&c[32 * i + l], &f, 4);
    }
  }
  char text[8192];
  text_of(s, nd, text, sizeof text);
  PTX_CLEAN((&(ptx_call){
      .text = text,
      .entry = "k",
      .block = {32},
      .nargs = 4,
      .args = {{"A", a, sizeof a, false, 0}, {"B", b, sizeof b, false, 0}, {"C", c, sizeof c, false, 0}, {"D", d, sizeof d, true, 0}}}));
  int wrong = 0;
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) {
      int row, col;
      place_c(l, i, &row, &col);
      double want = C[row][col], got;
      for (int t = 0; t < s->k; t++) want += A[row][t] * B[t][col] * (whole ? 1 : 0.25);
      float f;
      memcpy(&f, &d[32 * i + l], 4);
      got = whole ? (double)(int32_t)d[32 * i + l] : f;
      if (half) {
        const uint32_t h = d[32 * (i / 2) + l] >> (16 * (i % 2)) & 0xffff;
        const int e = (int)(h >> 10 & 31);
        got = (e ? ldexp(1 + (h & 0x3ff) / 1024.0, e - 15) : ldexp(h & 0x3ff, -24)) * (h & 0x8000 ? -1 : 1);
      }
      CHECKF(got == want || wrong++, "%s: element (%d, %d): %g, want %g", s->text, row, col, got, want);
    }
}

// ---- ldmatrix and stmatrix: element (r, c) of matrix m is in lane 4 r + c / 2, low half for even c; transposed in lane 4 c + r / 2

static void matrices(bool transposed) {
  uint16_t in[4 * 64], out[4 * 64] = {0};
  uint32_t got[4 * 32];
  for (int i = 0; i < 4 * 64; i++) in[i] = (uint16_t)(i * 7 + 1);
  char text[4096];
  snprintf(
      text, sizeof text,
      PTX_HEAD
      ".entry k(.param .u64 in, .param .u64 out, .param .u64 frag)\n{\n.shared .align 16 .b8 sm[1024];\n.reg .b32 %%r<8>, %%s, "
      "%%t;\n.reg .b64 %%p<4>;\nld.param.u64 %%p0, [in];\nld.param.u64 %%p1, [out];\nld.param.u64 %%p2, [frag];\nmov.u32 %%t, "
      "%%tid.x;\nmad.wide.u32 %%p0, %%t, 16, %%p0;\nmad.wide.u32 %%p1, %%t, 16, %%p1;\nmad.wide.u32 %%p2, %%t, 16, %%p2;\nmov.u32 %%s, "
      "sm;\nmad.lo.u32 %%s, %%t, 16, %%s;\nld.global.v4.b32 {%%r0, %%r1, %%r2, %%r3}, [%%p0];\nst.shared.v4.b32 [%%s], {%%r0, %%r1, "
      "%%r2, %%r3};\nbar.sync 0;\nldmatrix.sync.aligned.m8n8.x4%s.shared.b16 {%%r4, %%r5, %%r6, %%r7}, [%%s];\nst.global.v4.b32 [%%p2], "
      "{%%r4, %%r5, %%r6, %%r7};\nbar.sync 0;\nstmatrix.sync.aligned.m8n8.x4%s.shared.b16 [%%s+512], {%%r4, %%r5, %%r6, "
      "%%r7};\nbar.sync 0;\nld.shared.v4.b32 {%%r0, %%r1, %%r2, %%r3}, [%%s+512];\nst.global.v4.b32 [%%p1], {%%r0, %%r1, %%r2, "
      "%%r3};\nret;\n}\n",
      transposed ? ".trans" : "", transposed ? ".trans" : "");
  PTX_CLEAN(
      (&(ptx_call){.text = text,
                   .entry = "k",
                   .block = {32},
                   .nargs = 3,
                   .args = {{"in", in, sizeof in, false, 0}, {"out", out, sizeof out, true, 0}, {"frag", got, sizeof got, true, 0}}}));
  CHECK(!memcmp(in, out, sizeof in)); // there and back
  int wrong = 0;
  for (int m = 0; m < 4; m++)
    for (int r = 0; r < 8; r++)
      for (int c = 0; c < 8; c++) {
        const int lane = transposed ? 4 * c + r / 2 : 4 * r + c / 2, half = transposed ? r % 2 : c % 2;
        const uint32_t v = got[4 * lane + m] >> (16 * half) & 0xffff;
        CHECKF(v == in[64 * m + 8 * r + c] || wrong++, "matrix %d (%d, %d): %x", m, r, c, v);
      }
  CHECKF(ptx_result.counts.shared_wavefronts == ptx_result.counts.shared_ideal, "rows of 16 bytes side by side meet in no bank");
}

int main(void) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) products(&shapes[i]);
  matrices(false), matrices(true);
  tg_context_free(ptx_ctx);
  return test_done();
}
