// tcgen05: products of whole matrices of small numbers, exact in any order, with operands laid out in shared memory by the canonical
// layouts of the ISA (9.7.16.5) and the swizzle of the CUDA programming guide, and sums read from the lanes that the ISA's figures say
// (9.7.16.10.5); then every fault beside the same text without it.
#include "sim/ptx.h"

#define HEAD ".version 8.6\n.target sm_100a\n.address_size 64\n"

enum { BF16, F16, TF32, E4M3, E5M2 };
static const struct {
  const char *kind;
  int bytes;
  uint32_t number; // in the instruction descriptor (table 42)
} types[] = {{"f16", 2, 1}, {"f16", 2, 0}, {"tf32", 4, 2}, {"f8f6f4", 1, 0}, {"f8f6f4", 1, 1}};

enum { MOST_K = 128, B_AT = 64 * 1024, IMAGE = 160 * 1024 };
static int A[128][MOST_K], B[256][MOST_K];
static uint8_t image[IMAGE];
static float D[128 * 256];
static char text[1 << 16];
static size_t used;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
  va_list args;
  va_start(args, format);
  used += (size_t)vsnprintf(text + used, sizeof text - used, format, args);
  va_end(args);
}

static uint32_t code_of(int type, int v) { // of -3 to 3
  static const uint8_t e4m3[] = {0, 0x38, 0x40, 0x44}, e5m2[] = {0, 0x3c, 0x40, 0x42};
  static const uint16_t f16[] = {0, 0x3c00, 0x4000, 0x4200};
  const int m = v < 0 ? -v : v;
  const float f = (float)v;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  switch (type) {
  case BF16: return bits >> 16;
  case F16: return f16[m] | (v < 0 ? 0x8000u : 0);
  case TF32: return bits | 0x1abc; // the low 13 bits are not looked at
  case E4M3: return e4m3[m] | (v < 0 ? 0x80u : 0);
  default: return e5m2[m] | (v < 0 ? 0x80u : 0);
  }
}

typedef struct product {
  int m, n, a, b, swizzle_a, swizzle_b, steps; // steps: along K, each its own instruction, of 32 bytes
  bool negated_a, negated_b, twice;            // twice: all of it is added once more
} product;

// K-major: atoms of 8 rows by the swizzle's width, one after another along the rows; panels beyond the width. Without swizzle core matrices
// of 8 rows by 16 bytes, those along the rows 128 bytes apart.
static uint32_t place(int swizzle, int rows, int bytes, int row, int k) {
  const int at = k * bytes;
  if (!swizzle) return (uint32_t)(at / 16 * rows * 16 + row * 16 + at % 16);
  const int panel = at / swizzle, x = at % swizzle / 16;
  return (uint32_t)(panel * rows * swizzle + row * swizzle + (x ^ (row * swizzle / 128 % (swizzle / 16))) * 16 + at % 16);
}

static uint64_t descriptor(int swizzle, int rows, uint32_t start) {
  const uint64_t mode = swizzle == 128 ? 2 : swizzle == 64 ? 4 : swizzle == 32 ? 6 : 0;
  const uint64_t leading = swizzle ? 1 : (uint64_t)rows, stride = swizzle ? (uint64_t)swizzle / 2 : 8;
  return start >> 4 | leading << 16 | stride << 32 | 1ull << 46 | mode << 61;
}

static uint32_t step_bytes(int swizzle, int rows, int step) { // from the operand's begin
  if (!swizzle) return (uint32_t)(step * rows * 32);
  return (uint32_t)(step * 32 % swizzle + step * 32 / swizzle * rows * swizzle);
}

static void fill(const product *p, int k) {
  memset(image, 0, sizeof image);
  for (int i = 0; i < p->m; i++)
    for (int t = 0; t < k; t++) {
      A[i][t] = (i * 7 + t * 5 + i * t) % 7 - 3;
      const uint32_t code = code_of(p->a, A[i][t]);
      memcpy(image + place(p->swizzle_a, p->m, types[p->a].bytes, i, t), &code, (size_t)types[p->a].bytes);
    }
  for (int j = 0; j < p->n; j++)
    for (int t = 0; t < k; t++) {
      B[j][t] = (j * 3 + t * 11 + j * t) % 5 - 2;
      const uint32_t code = code_of(p->b, B[j][t]);
      memcpy(image + B_AT + place(p->swizzle_b, p->n, types[p->b].bytes, j, t), &code, (size_t)types[p->b].bytes);
    }
}

static uint32_t instruction(const product *p) {
  return 1u << 4 | types[p->a].number << 7 | types[p->b].number << 10 | (uint32_t)p->negated_a << 13 | (uint32_t)p->negated_b << 14 |
         (uint32_t)p->n / 8 << 17 | (uint32_t)p->m / 16 << 24;
}

// 128 threads copy the image to shared memory; what follows has the address of the columns in %d, and warps their lanes' in %mine.
static void begin(int columns) {
  used = 0;
  say(HEAD ".visible .entry k(.param .u64 i, .param .u64 o) {\n.reg .b32 %%r<300>;\n.reg .b32 %%d, %%mine, %%t;\n.reg .b64 %%l<20>;\n"
           ".reg .pred %%p<9>;\n.shared .align 1024 .b8 s[%d];\n.shared .align 8 .b64 bar;\n.shared .align 8 .b64 bar2;\n"
           ".shared .b32 where;\n"
           "ld.param.u64 %%l0, [i];\nld.param.u64 %%l1, [o];\nmov.u32 %%t, %%tid.x;\nmul.lo.u32 %%r0, %%t, 16;\nmov.u32 %%r1, s;\n"
           "LOOP: cvt.u64.u32 %%l2, %%r0;\nadd.s64 %%l3, %%l0, %%l2;\nadd.u32 %%r2, %%r1, %%r0;\n"
           "ld.global.v4.b32 {%%r3, %%r4, %%r5, %%r6}, [%%l3];\nst.shared.v4.b32 [%%r2], {%%r3, %%r4, %%r5, %%r6};\n"
           "add.u32 %%r0, %%r0, 2048;\nsetp.lt.u32 %%p1, %%r0, %d;\n@%%p1 bra LOOP;\nfence.proxy.async.shared::cta;\n"
           "setp.eq.u32 %%p2, %%t, 0;\n@%%p2 mbarrier.init.shared::cta.b64 [bar], 1;\n@%%p2 mbarrier.init.shared::cta.b64 [bar2], 1;\n"
           "setp.ge.u32 %%p3, %%t, 32;\n@%%p3 bra ON;\n"
           "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [where], %d;\n"
           "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;\nON: bar.sync 0;\nld.shared.b32 %%d, [where];\n"
           "shr.u32 %%r7, %%t, 5;\nshl.b32 %%r7, %%r7, 21;\nadd.u32 %%mine, %%d, %%r7;\n",
      IMAGE, IMAGE, columns);
}

static void end(int columns) {
  say("bar.sync 0;\ntcgen05.fence::after_thread_sync;\n@%%p3 bra GONE;\ntcgen05.dealloc.cta_group::1.sync.aligned.b32 %%d, %d;\n"
      "GONE: ret;\n}\n",
      columns);
}

static ptx_call call_of(void) {
  return (ptx_call){
      .text = text, .entry = "k", .block = {128}, .nargs = 2, .args = {{"image", image, sizeof image}, {"D", D, sizeof D, true}}};
}

static const char await[] = "W%d: mbarrier.try_wait.parity.shared::cta.b64 %%p4, [bar], 0;\n@!%%p4 bra W%d;\n";

static void try(product p) {
  const int k = p.steps * 32 / types[p.a].bytes;
  fill(&p, k);
  begin(256);
  say("setp.ne.u32 %%p5, 0, 0;\nsetp.eq.u32 %%p6, 0, 0;\n@!%%p2 bra WAIT;\n");
  for (int i = 0; i < p.steps << p.twice; i++) {
    const int step = i % p.steps;
    say("tcgen05.mma.cta_group::1.kind::%s [%%d], %llu, %llu, %u, %s;\n", types[p.a].kind,
        (unsigned long long)descriptor(p.swizzle_a, p.m, step_bytes(p.swizzle_a, p.m, step)),
        (unsigned long long)descriptor(p.swizzle_b, p.n, B_AT + step_bytes(p.swizzle_b, p.n, step)), instruction(&p), i ? "%p6" : "%p5");
  }
  say("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [bar];\nWAIT:\n");
  say(await, 1, 1);
  say("tcgen05.fence::after_thread_sync;\nmul.lo.u32 %%r8, %%t, 1024;\ncvt.u64.u32 %%l4, %%r8;\nadd.s64 %%l5, %%l1, %%l4;\n");
  if (p.m == 64) say("and.b32 %%r9, %%t, 16;\nsetp.eq.u32 %%p7, %%r9, 0;\n");
  for (int j = 0; j < p.n; j += 8) { // of M = 64 half of the lanes have no rows, and no values
    say("add.u32 %%r10, %%mine, %d;\ntcgen05.ld.sync.aligned.32x32b.x8.b32 {%%r20, %%r21, %%r22, %%r23, %%r24, %%r25, %%r26, %%r27}, "
        "[%%r10];\ntcgen05.wait::ld.sync.aligned;\n",
        j);
    for (int i = 0; i < 8; i++) say("%sst.global.b32 [%%l5+%d], %%r%d;\n", p.m == 64 ? "@%p7 " : "", 4 * (j + i), 20 + i);
  }
  say("tcgen05.fence::before_thread_sync;\n");
  end(256);
  ptx_call call = call_of();
  PTX_CLEAN(&call);
  int wrong = 0;
  for (int i = 0; i < p.m; i++)
    for (int j = 0; j < p.n; j++) {
      int sum = 0;
      for (int t = 0; t < k; t++) sum += A[i][t] * B[j][t];
      if (p.negated_a != p.negated_b) sum = -sum;
      const int lane = p.m == 128 ? i : i / 16 * 32 + i % 16;
      wrong += D[lane * 256 + j] != (float)(p.twice ? 2 * sum : sum);
    }
  CHECKF(!wrong, "m%d n%d %s %d by %d, swizzles %d and %d, %d steps: %d are wrong", p.m, p.n, types[p.a].kind, p.a, p.b, p.swizzle_a,
         p.swizzle_b, p.steps, wrong);
}

static void products(void) {
  static const int swizzles[] = {0, 32, 64, 128},
                   pairs[][2] = {{BF16, BF16}, {F16, F16}, {F16, BF16}, {TF32, TF32}, {E4M3, E4M3}, {E5M2, E4M3}, {E4M3, E5M2}};
  for (int i = 0; i < 7; i++)
    for (int s = 0; s < 16; s++)
      try((product){.m = 128,
                    .n = 16 + 16 * (s % 3),
                    .a = pairs[i][0],
                    .b = pairs[i][1],
                    .swizzle_a = swizzles[s % 4],
                    .swizzle_b = swizzles[s / 4],
                    .steps = 1 + s % 3,
                    .negated_a = s == 3,
                    .negated_b = s == 5,
                    .twice = s % 2});
  for (int n = 16; n <= 256; n += 80)
    try((product){.m = 128, .n = n, .a = BF16, .b = BF16, .swizzle_a = 128, .swizzle_b = 128, .steps = 4});
  for (int n = 8; n <= 256; n += 80)
    try((product){.m = 64, .n = n, .a = E5M2, .b = E4M3, .swizzle_a = 128, .swizzle_b = 64, .steps = 2, .twice = n == 8});
  try((product){.m = 128, .n = 256, .a = E4M3, .b = E4M3, .swizzle_a = 128, .swizzle_b = 128, .steps = 4});
}

// ---- faults

static const product plain = {.m = 128, .n = 32, .a = BF16, .b = BF16, .swizzle_a = 128, .swizzle_b = 128, .steps = 1};

static void one_product(const char *guard, uint32_t d, uint64_t a) {
  say("%stcgen05.mma.cta_group::1.kind::f16 [%%d], %llu, %llu, %u, 0;\n", guard, (unsigned long long)a,
      (unsigned long long)descriptor(128, 32, B_AT), d);
}

typedef struct story { // what the four warps do after the image lies there; each part may be left out
  const char *mma_guard, *commit, *wait, *after, *ld, *wait_ld, *before, *free;
  uint32_t instruction;
  uint64_t a;
  int columns;
} story;

static story good_story(void) {
  return (story){.mma_guard = "@%p2 ",
                 .commit = "@%p2 tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [bar];\n",
                 .wait = "W: mbarrier.try_wait.parity.shared::cta.b64 %p4, [bar], 0;\n@!%p4 bra W;\n",
                 .after = "tcgen05.fence::after_thread_sync;\n",
                 .ld = "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r20}, [%mine];\n",
                 .wait_ld = "tcgen05.wait::ld.sync.aligned;\n",
                 .before = "tcgen05.fence::before_thread_sync;\n",
                 .free = "@%p3 bra GONE;\ntcgen05.dealloc.cta_group::1.sync.aligned.b32 %d, 32;\n",
                 .instruction = instruction(&plain),
                 .a = descriptor(128, 128, 0),
                 .columns = 32};
}

static ptx_call tell(const story *s) {
  fill(&plain, 16);
  begin(s->columns);
  one_product(s->mma_guard, s->instruction, s->a);
  say("%s%s%s%s%smul.lo.u32 %%r8, %%t, 4;\ncvt.u64.u32 %%l4, %%r8;\nadd.s64 %%l5, %%l1, %%l4;\nst.global.b32 [%%l5], %%r20;\n%s", s->commit,
      s->wait, s->after, s->ld, s->wait_ld, s->before);
  say("bar.sync 0;\ntcgen05.fence::after_thread_sync;\n%sGONE: ret;\n}\n", s->free);
  return call_of();
}

static void faults(void) {
  story s = good_story();
  ptx_call call = tell(&s);
  PTX_CLEAN(&call);
#define FINDS(words, ...)                                                                                                                  \
  do {                                                                                                                                     \
    s = good_story();                                                                                                                      \
    __VA_ARGS__;                                                                                                                           \
    call = tell(&s);                                                                                                                       \
    PTX_FINDS(&call, words);                                                                                                               \
  } while (0)
  FINDS("into which the tcgen05.mma of line", s.wait = "");
  FINDS("into which the tcgen05.mma of line", s.commit = "@%p2 mbarrier.arrive.shared::cta.b64 _, [bar];\n");
  FINDS("an mbarrier lies in shared memory", s.commit = "@%p2 tcgen05.commit.cta_group::1.mbarrier::arrive::one.b64 [%l1];\n");
  FINDS("with no barrier and tcgen05.fence between", s.after = "");
  FINDS("has no value", s.wait_ld = "");
  FINDS("reads with no barrier and tcgen05.fence between", s.before = "");
  FINDS("has not given back the columns from 0 on", s.free = "");
  FINDS("are not what one tcgen05.alloc gave", s.free = "@%p3 bra GONE;\ntcgen05.dealloc.cta_group::1.sync.aligned.b32 %d, 64;\n");
  FINDS("may touch lanes", s.ld = "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r20}, [%d];\n");
  FINDS("of which the block has not all", s.ld = "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r20}, [%mine+32];\n");
  FINDS("several of the warp did", s.mma_guard = "@!%p3 ");
  FINDS("what it stores to D has no value", s.instruction = (s.instruction & ~(63u << 17)) | 2 << 17,
        s.ld = "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r20}, [%mine+16];\n");
  FINDS("no such shape is known", s.instruction = (s.instruction & ~(63u << 17)) | 3 << 17);
  FINDS("reserved bits are set", s.instruction |= 1u << 6);
  FINDS("transposed operands", s.instruction |= 1u << 15);
  FINDS("its constant bits are others", s.a &= ~(1ull << 46));
  FINDS("leads to byte", s.a |= 0x3f00);
  FINDS("100 columns; they are a power of two", s.columns = 100);
  // Products are waited for before their operands are written again, and before the block ends.
  FINDS("still reads", s.before = "tcgen05.fence::before_thread_sync;\n@%p2 st.shared.b32 [s], 0;\n", s.wait = "", s.ld = "",
        s.wait_ld = "mov.b32 %r20, 0;\n");
  FINDS("nobody waited for this product", s.wait = "", s.ld = "", s.wait_ld = "mov.b32 %r20, 0;\n", s.free = "");
#undef FINDS
}

// Columns: two allocations, more than there are, and one after the permit is gone.
static void columns(void) {
  static const char format[] =
      HEAD ".visible .entry k(.param .u64 i, .param .u64 o) {\n.reg .b32 %%r<9>;\n.shared .b32 w0;\n.shared .b32 w1;\n"
           "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [w0], 256;\n%s"
           "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [w1], %d;\nbar.warp.sync -1;\nld.shared.b32 %%r0, [w0];\n"
           "ld.shared.b32 %%r1, [w1];\ntcgen05.dealloc.cta_group::1.sync.aligned.b32 %%r1, %d;\n"
           "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %%r0, 256;\nret;\n}\n";
  ptx_call call = call_of();
  call.block[0] = 32, call.shared = 0;
  snprintf(text, sizeof text, format, "", 256, 256);
  PTX_CLEAN(&call);
  snprintf(text, sizeof text, format, "", 512, 512);
  PTX_FINDS(&call, "512 columns of tensor memory are asked for, 256 of 512 are taken");
  snprintf(text, sizeof text, format, "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;\n", 32, 32);
  PTX_FINDS(&call, "has relinquished its permit");
}

// What threads store there others load, after waits and fences.
static void stores(void) {
  static const char format[] =
      HEAD ".visible .entry k(.param .u64 i, .param .u64 o) {\n.reg .b32 %%r<9>;\n.reg .b64 %%l<9>;\n.shared .b32 w;\n"
           "mov.u32 %%r3, %%tid.x;\nld.param.u64 %%l0, [o];\nmul.wide.u32 %%l1, %%r3, 8;\nadd.s64 %%l0, %%l0, %%l1;\n"
           "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [w], 32;\nbar.warp.sync -1;\nld.shared.b32 %%r0, [w];\n"
           "mul.lo.u32 %%r4, %%r3, 3;\ntcgen05.st.sync.aligned.32x32b.x2.b32 [%%r0+5], {%%r3, %%r4};\n"
           "tcgen05.wait::st.sync.aligned;\ntcgen05.ld.sync.aligned.32x32b.x2.b32 {%%r5, %%r6}, [%%r0+5];\n"
           "tcgen05.wait::ld.sync.aligned;\nst.global.v2.b32 [%%l0], {%%r5, %%r6};\n"
           "%stcgen05.dealloc.cta_group::1.sync.aligned.b32 %%r0, 32;\nret;\n}\n";
  ptx_call call = call_of();
  call.block[0] = 32, call.shared = 0;
  snprintf(text, sizeof text, format, "");
  PTX_CLEAN(&call);
  const uint32_t *words = (const uint32_t *)(const void *)D;
  for (uint32_t l = 0; l < 32; l++) CHECK(words[2 * l] == l && words[2 * l + 1] == 3 * l);
}

// Two blocks of a cluster, each of which tells the other that its products are done.
static void across_blocks(void) {
  ptx_call call = call_of();
  snprintf(text, sizeof text,
           HEAD ".visible .entry k(.param .u64 i, .param .u64 o) {\n.reg .b32 %%r<9>;\n.reg .pred %%p<3>;\n.shared .align 8 .b64 bar;\n"
                "mov.u32 %%r0, %%tid.x;\nsetp.eq.u32 %%p0, %%r0, 0;\n@%%p0 mbarrier.init.shared::cta.b64 [bar], 1;\n"
                "@%%p0 fence.mbarrier_init.release.cluster;\nbarrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n"
                "mov.u32 %%r1, bar;\nmov.u32 %%r2, %%cluster_ctarank;\nxor.b32 %%r2, %%r2, 1;\n"
                "mapa.shared::cluster.u32 %%r3, %%r1, %%r2;\n"
                "@%%p0 tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%%r3];\n"
                "W: mbarrier.try_wait.parity.shared::cta.b64 %%p1, [bar], 0;\n@!%%p1 bra W;\n"
                "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\nret;\n}\n");
  call.grid[0] = call.cluster[0] = 2, call.block[0] = 32, call.shared = 0;
  PTX_CLEAN(&call);
}

static void refused(void) {
  static const struct {
    const char *line, *words;
  } lines[] = {{"tcgen05.cp.cta_group::1.128x256b [%r0], %l0;", "does not know this operation"},
               {"tcgen05.mma.cta_group::2.kind::f16 [%r0], %l0, %l0, %r0, 1;", "only .cta_group::1 is known"},
               {"tcgen05.mma.cta_group::1.kind::i8 [%r0], %l0, %l0, %r0, 1;", "only the kinds f16, tf32 and f8f6f4"},
               {"tcgen05.mma.cta_group::1.kind::f16 [%r0], [%r0], %l0, %r0, 1;", "only products of two descriptors"},
               {"tcgen05.ld.sync.aligned.16x64b.x1.b32 {%r0}, [%r0];", "only .32x32b"}};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    snprintf(text, sizeof text,
             HEAD ".visible .entry k(.param .u64 i, .param .u64 o) {\n.reg .b32 %%r<9>;\n.reg .b64 %%l<9>;\n%s\nret;\n}\n", lines[i].line);
    ptx_call call = call_of();
    PTX_REFUSES(&call, lines[i].words);
  }
}

int main(void) {
  products(), faults(), columns(), stores(), across_blocks(), refused();
  tg_context_free(ptx_ctx);
  return test_done();
}
