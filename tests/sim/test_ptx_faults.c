// What the simulator reports, each fault beside the same text without it: it names kind, line and thread, and is silent otherwise.
#include "sim/ptx.h"

// A kernel of a few lines. Before them: %t tid, %c ctaid, %p and %q addresses of A and B (and [%pt], [%qt] at 4 bytes a thread), shared
// memory sm of 1024 bytes with %s = its start, %st = at 4 bytes a thread. Line 15 is the first of the body.
static char text[8192];
static const char *kernel(const char *body) {
  snprintf(
      text, sizeof text,
      PTX_HEAD
      ".entry k(.param .u64 A, .param .u64 B)\n{\n.shared .align 16 .b8 sm[1024];\n.reg .b32 %%t, %%c, %%s, %%st, %%r<16>; .reg .b64 %%p, "
      "%%q, %%pt, %%qt, %%d<8>; .reg .pred %%e<4>; .reg .f32 %%f<4>;\nld.param.u64 %%p, [A];\nld.param.u64 %%q, [B];\nmov.u32 %%t, "
      "%%tid.x;\nmov.u32 %%c, %%ctaid.x;\nmad.wide.u32 %%pt, %%t, 4, %%p;\nmad.wide.u32 %%qt, %%t, 4, %%q;\nmov.u32 %%s, sm; mad.lo.u32 "
      "%%st, "
      "%%t, 4, %%s;\n%s\nret;\n}\n",
      body);
  return text;
}

static uint32_t A[256], B[256];
static ptx_call call(const char *body, uint32_t grid, uint32_t block) {
  for (int i = 0; i < 256; i++) A[i] = (uint32_t)i, B[i] = 0;
  return (ptx_call){.text = kernel(body),
                    .entry = "k",
                    .grid = {grid},
                    .block = {block},
                    .nargs = 2,
                    .max_steps = 100000,
                    .args = {{"A", A, sizeof A, false, 0}, {"B", B, sizeof B, true, 0}}};
}

#define CLEAN(body, grid, block)                                                                                                           \
  do {                                                                                                                                     \
    const ptx_call c_ = call(body, grid, block);                                                                                           \
    PTX_CLEAN(&c_);                                                                                                                        \
  } while (0)
#define FINDS(body, grid, block, words)                                                                                                    \
  do {                                                                                                                                     \
    const ptx_call c_ = call(body, grid, block);                                                                                           \
    PTX_FINDS(&c_, words);                                                                                                                 \
  } while (0)

static void bounds(void) {
  CLEAN("ld.global.u32 %r1, [%pt+896]; st.global.u32 [%qt], %r1;", 1, 32);
  FINDS("ld.global.u32 %r1, [%pt+900]; st.global.u32 [%qt], 1;", 1, 32,
        "line 15: out of bounds: thread (31,0,0) of block (0,0,0): it reads 4 bytes at byte 1024 of A, which has 1024");
  FINDS("st.global.u32 [%q+-4], 1;", 1, 1, "line 15: out of bounds");
  CHECK(strstr(ptx_said, "it writes 4 bytes at ") != NULL);
  FINDS("mov.u64 %d1, 64; ld.global.u32 %r1, [%d1];", 1, 1, "out of bounds");
  FINDS("st.shared.u32 [%st+1020], 1;", 1, 2,
        "thread (1,0,0) of block (0,0,0): it writes 4 bytes at byte 1024 of the shared memory, which has 1024");
  FINDS("ld.global.u32 %r1, [%p+2];", 1, 1, "misaligned");
  FINDS("st.shared.v4.u32 [%s+8], {%t, %t, %t, %t};", 1, 1, "misaligned");
  FINDS("ld.param.u64 %d1, [A+16];", 1, 1, "of the param memory, which has 16");
}

static void values(void) {
  FINDS("st.global.u32 [%q], %r1;", 1, 1, "line 15: uninitialised: thread (0,0,0) of block (0,0,0): what it stores to B has no value");
  FINDS("@%e1 bra L; L:", 1, 1, "uninitialised");
  FINDS("ld.global.u32 %r1, [%d1];", 1, 1, "the address of 'ld' has no value");
  FINDS("setp.eq.u32 %e1, %t, 0; @%e1 mov.u32 %r1, 5; st.global.u32 [%qt], %r1;", 1, 4, "thread (1,0,0)"); // lanes 1 to 3 lack it
  CLEAN("setp.eq.u32 %e1, %t, 0; @%e1 mov.u32 %r1, 5; selp.u32 %r2, %r1, 7, %e1; st.global.u32 [%qt], %r2;", 1, 4);
  CLEAN("{ .reg .b16 h<4>; mov.b32 {h1, h2}, %t; mov.b32 %r1, {h1, h3}; mov.b32 {h2, h3}, %r1; cvt.u32.u16 %r2, h2; st.global.u32 [%qt], "
        "%r2; }",
        1, 4);
  FINDS("{ .reg .b16 h<4>; mov.b32 {h1, h2}, %t; mov.b32 %r1, {h1, h3}; st.global.u32 [%qt], %r1; }", 1, 4, "has no value");
  FINDS("ld.shared.u32 %r1, [%st]; st.global.u32 [%qt], %r1;", 1, 1, "it reads shared memory at 0, where nothing was written");
  FINDS("ld.global.u32 %r1, [%qt];", 1, 1, "it reads byte 0 of B, which nothing wrote");
  CLEAN("st.global.u32 [%qt], %t; ld.global.u32 %r1, [%qt];", 1, 32);
}

static void races(void) {
  // One thread's neighbour reads what it wrote.
  FINDS("st.shared.u32 [%st], %t; xor.b32 %r1, %st, 128; ld.shared.u32 %r2, [%r1];", 1, 64, "race: ");
  CHECK(strstr(ptx_said, "of block (0,0,0): it reads shared memory at ") && strstr(ptx_said, "wrote at line 15 with no barrier between"));
  CLEAN("st.shared.u32 [%st], %t; bar.sync 0; xor.b32 %r1, %st, 128; ld.shared.u32 %r2, [%r1]; st.global.u32 [%qt], %r2;", 1, 64);
  CHECK(B[0] == 32 && B[63] == 31);
  // Within a warp: lanes do not run in step.
  FINDS("st.shared.u32 [%st], %t; xor.b32 %r1, %st, 4; ld.shared.u32 %r2, [%r1];", 1, 32, "race: ");
  CLEAN("st.shared.u32 [%st], %t; bar.warp.sync -1; xor.b32 %r1, %st, 4; ld.shared.u32 %r2, [%r1];", 1, 32);
  // Written after it was read.
  FINDS("st.shared.u32 [%st], %t; bar.sync 0; xor.b32 %r1, %st, 128; ld.shared.u32 %r2, [%r1]; st.shared.u32 [%st], %r2;", 1, 64,
        "it writes shared memory at");
  CLEAN("st.shared.u32 [%st], %t; bar.sync 0; xor.b32 %r1, %st, 128; ld.shared.u32 %r2, [%r1]; bar.sync 0; st.shared.u32 [%st], %r2;", 1,
        64);
  // Two lanes of one store: the same value, or not.
  CLEAN("st.shared.u32 [%s], 5;", 1, 96);
  FINDS("st.shared.u32 [%s], %t;", 1, 32, "it writes shared memory at 0, which thread (");
  // Read by many warps, then written by one with a barrier, and without.
  CLEAN("st.shared.u32 [%st], %t; bar.sync 0; ld.shared.u32 %r1, [%s]; bar.sync 0; setp.eq.u32 %e1, %t, 0; @%e1 st.shared.u32 [%s], 1;", 1,
        128);
  FINDS("st.shared.u32 [%st], %t; bar.sync 0; ld.shared.u32 %r1, [%s]; setp.eq.u32 %e1, %t, 127; @%e1 st.shared.u32 [%s], 1;", 1, 128,
        "thread (127,0,0) of block (0,0,0): it writes shared memory at 0, which ");
  // Named barriers: 0 and 1 meet at barrier 1; 2 and 3 are not part of it.
  CLEAN("setp.ge.u32 %e1, %t, 64; @%e1 bra L; st.shared.u32 [%st], %t; bar.sync 1, 64; xor.b32 %r1, %st, 128; ld.shared.u32 %r2, [%r1]; L:",
        1, 128);
  FINDS("setp.ge.u32 %e1, %t, 64; @%e1 bra M; st.shared.u32 [%st], %t; bar.sync 1, 64; bra L; M: ld.shared.u32 %r2, [%st+-256]; L:", 1, 128,
        "race: ");
  // A producer that only arrives.
  CLEAN("setp.lt.u32 %e1, %t, 32; @%e1 bra M; bar.sync 2, 64; ld.shared.u32 %r2, [%st+-128]; st.global.u32 [%qt], %r2; bra L; "
        "M: st.shared.u32 [%st], 9; bar.arrive 2, 64; L:",
        1, 64);
  CHECK(B[32] == 9 && B[63] == 9);
  // Atomics do not race with each other, but with the rest.
  CLEAN("setp.eq.u32 %e1, %t, 0; @%e1 st.shared.u32 [%s], 0; bar.sync 0; atom.shared.add.u32 %r1, [%s], 1; bar.sync 0; ld.shared.u32 %r2, "
        "[%s]; "
        "st.global.u32 [%qt], %r2;",
        1, 96);
  CHECK(B[95] == 96);
  FINDS("setp.eq.u32 %e1, %t, 0; @%e1 st.shared.u32 [%s], 0; bar.sync 0; atom.shared.add.u32 %r1, [%s], 1; ld.shared.u32 %r2, [%s];", 1, 96,
        "race: ");
}

static void block_races(void) {
  FINDS("st.global.u32 [%q], %c;", 2, 1, "race between blocks");
  CHECK(strstr(ptx_said, "it writes byte 0 of B, which block") != NULL);
  CLEAN("mad.wide.u32 %d1, %c, 4, %q; st.global.u32 [%d1], %c;", 2, 1);
  FINDS("mad.wide.u32 %d1, %c, 4, %p; st.global.u32 [%d1], %c; ld.global.u32 %r1, [%p];", 2, 1, "race between blocks");
  CLEAN("red.global.add.u32 [%p], 1;", 8, 32);
  CHECK(A[0] == 256);
  FINDS("red.global.add.u32 [%p], 1; ld.global.u32 %r1, [%p];", 2, 1, "race between blocks");
  // The last block sums up what the others published before a fence and an atomic.
  CLEAN("mad.wide.u32 %d1, %c, 4, %q; st.global.u32 [%d1], %c; membar.gl; atom.global.add.u32 %r1, [%p], 1; membar.gl; setp.ne.u32 %e1, "
        "%r1, 3; "
        "@%e1 bra L; ld.volatile.global.u32 %r2, [%q+4]; ld.volatile.global.u32 %r3, [%q+12]; add.u32 %r2, %r2, %r3; st.global.u32 "
        "[%q+64], %r2; L:",
        4, 1);
  CHECK(B[16] == 4);
}

// Arrays of any size are watched.
static void vast(void) {
  const size_t bytes = (size_t)3 << 28;
  char *memory = calloc(1, bytes);
  if (!memory) return;
  ptx_call c = call("mad.wide.u32 %d1, %c, 4, %p; st.global.u32 [%d1+805306360], %c;", 2, 1);
  c.args[0].data = memory, c.args[0].bytes = bytes;
  PTX_CLEAN(&c);
  c = call("st.global.u32 [%p+805306360], %c;", 2, 1);
  c.args[0].data = memory, c.args[0].bytes = bytes;
  PTX_FINDS(&c, "it writes byte 805306360 of A, which block");
  free(memory);
}

// Strong stores are values like any; acquire and release, or fences, hand on an order in shared memory.
static void strong(void) {
  CLEAN("st.volatile.shared.u32 [%st], %t; ld.shared.u32 %r1, [%st]; st.release.gpu.global.u32 [%qt], %r1; ld.acquire.gpu.global.u32 %r2, "
        "[%qt];",
        1, 32);
  CHECK(B[31] == 31);
#define FLAG(store, load)                                                                                                                  \
  "setp.eq.u32 %e3, %t, 0; @%e3 st.volatile.shared.u32 [%s+512], 0; bar.sync 0; setp.lt.u32 %e1, %t, 32; @%e1 bra M; "                     \
  "setp.eq.u32 %e3, %t, 32; @%e3 st.shared.u32 [%s], 9; " store " bra N; M: " load " setp.ne.u32 %e2, %r1, 7; @%e2 bra M; "                \
  "ld.shared.u32 %r2, [%s]; st.global.u32 [%qt], %r2; N:"
  CLEAN(FLAG("@%e3 st.release.cta.shared.u32 [%s+512], 7;", "ld.acquire.cta.shared.u32 %r1, [%s+512];"), 1, 64);
  CHECK(B[0] == 9);
  FINDS(FLAG("@%e3 st.volatile.shared.u32 [%s+512], 7;", "ld.volatile.shared.u32 %r1, [%s+512];"), 1, 64, "race: ");
  FINDS(FLAG("@%e3 st.release.cta.shared.u32 [%s+512], 7;", "ld.relaxed.cta.shared.u32 %r1, [%s+512];"), 1, 64, "race: ");
}

static void copies(void) {
  static const char *const whole =
      "mad.lo.u32 %r1, %t, 16, %s; mad.wide.u32 %d1, %t, 16, %p; cp.async.ca.shared.global [%r1], [%d1], 16; cp.async.commit_group; ";
  char body[2048];
  snprintf(body, sizeof body, "%scp.async.wait_group 0; bar.sync 0; ld.shared.u32 %%r2, [%%st]; st.global.u32 [%%qt], %%r2;", whole);
  CLEAN(body, 1, 32);
  CHECK(B[0] == 0 && B[31] == 31);
  snprintf(body, sizeof body, "%sld.shared.u32 %%r2, [%%r1]; st.global.u32 [%%qt], %%r2;", whole);
  FINDS(body, 1, 32, "copy not waited for: thread (0,0,0) of block (0,0,0): shared memory at 0 is the destination of the copy of line 15");
  snprintf(body, sizeof body, "%scp.async.wait_group 0; ld.shared.u32 %%r2, [%%st];", whole); // its own only
  FINDS(body, 1, 32, "race: ");
  // Of two groups the older has landed, the newer has not.
  snprintf(
      body, sizeof body,
      "%scp.async.ca.shared.global [%%r1+512], [%%d1+512], 16; cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %%r2, [%%r1]; "
      "st.global.u32 [%%qt], %%r2;",
      whole);
  CLEAN(body, 1, 32);
  CHECK(B[31] == 124);
  snprintf(body, sizeof body,
           "%scp.async.ca.shared.global [%%r1+512], [%%d1+512], 16; cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %%r2, "
           "[%%r1+512];",
           whole);
  FINDS(body, 1, 32, "copy not waited for");
  // Less than all bytes: zeros behind them.
  CLEAN("cp.async.ca.shared.global [%s], [%p+4], 4, 4; cp.async.ca.shared.global [%s+4], [%p+8], 4, 0; cp.async.wait_all; ld.shared.v2.u32 "
        "{%r1, %r2}, "
        "[%s]; st.global.v2.u32 [%q], {%r1, %r2};",
        1, 1);
  CHECK(B[0] == 1 && B[1] == 0);
  FINDS("cp.async.ca.shared.global [%s], [%p+1020], 8;", 1, 1, "misaligned");
  FINDS("cp.async.cg.shared.global [%s], [%p+1024], 16; cp.async.wait_all;", 1, 1, "out of bounds");
}

static void divergence(void) {
  // Each lane its own number of trips, then together again.
  CLEAN("mov.u32 %r1, 0; and.b32 %r2, %t, 7; L: setp.eq.u32 %e1, %r2, 0; @%e1 bra M; add.u32 %r1, %r1, %r2; sub.u32 %r2, %r2, 1; bra L; M: "
        "shfl.sync.bfly.b32 %r3, %r1, 7, 31, -1; st.global.u32 [%qt], %r3;",
        1, 32);
  for (uint32_t t = 0; t < 32; t++) {
    const uint32_t n = (t ^ 7) & 7;
    CHECKF(B[t] == n * (n + 1) / 2, "%u: %u", t, B[t]);
  }
  // A lane with a lower place in the code waits for one with a higher: it must not starve it.
  CLEAN("st.shared.u32 [%s], 0; bar.warp.sync -1; setp.ne.u32 %e1, %t, 0; @%e1 bra M; L: ld.volatile.shared.u32 %r1, [%s]; setp.ne.u32 "
        "%e2, %r1, 7; @%e2 bra "
        "L; bra N; M: st.volatile.shared.u32 [%s], 7; N: st.global.u32 [%qt], 1;",
        1, 2);
  // Branches by table.
  CLEAN("and.b32 %r1, %t, 1; brx.idx %r1, T; T: .branchtargets L, M; L: mov.u32 %r2, 10; bra N; M: mov.u32 %r2, 11; N: st.global.u32 "
        "[%qt], %r2;",
        1, 4);
  CHECK(B[0] == 10 && B[1] == 11 && B[2] == 10);
  FINDS("add.u32 %r1, %t, 2; brx.idx %r1, T; T: .branchtargets L, M; L: M:", 1, 1, "index 2 of a table of 2");
}

static void barriers(void) {
  FINDS("setp.eq.u32 %e1, %t, 0; @%e1 bra L; bar.sync 1, 64; L:", 1, 32, "barrier not met");
  FINDS("bar.sync 3, 64;", 1, 32,
        "line 15: barrier not met: thread (0,0,0) of block (0,0,0): barrier 3 waits for 64 threads and 32 have come");
  CLEAN("setp.lt.u32 %e1, %t, 32; @%e1 exit; bar.sync 0;", 1, 64); // a warp that is gone is not waited for
  FINDS("setp.eq.u32 %e1, %t, 3; @%e1 bra L; bar.sync 0; bra M; L: bar.sync 0; M:", 1, 32,
        "wait at 'bar' for lanes 0x00000008 of their warp");
  FINDS("setp.eq.u32 %e1, %t, 3; @%e1 bra L; shfl.sync.idx.b32 %r1, %t, 0, 31, -1; L: st.global.u32 [%qt], %t; bar.sync 0;", 1, 32,
        "barrier not met");
  CLEAN("setp.lt.u32 %e1, %t, 40; bar.red.popc.u32 %r1, 0, %e1; st.global.u32 [%qt], %r1;", 1, 64);
  CHECK(B[0] == 40 && B[63] == 40);
  FINDS("L: bra L;", 1, 1, "too long");
  FINDS("trap;", 1, 1, "a trap was executed");
}

static void banks(void) {
  CLEAN("st.shared.u32 [%st], %t;", 1, 32);
  CHECK(ptx_result.counts.shared_wavefronts == 1 && ptx_result.counts.shared_ideal == 1);
  CLEAN("and.b32 %r1, %t, 7; mad.lo.u32 %r1, %r1, 128, %s; st.shared.u32 [%r1], 4;", 1, 32); // eight words in one bank
  CHECK(ptx_result.counts.shared_wavefronts == 8 && ptx_result.counts.shared_ideal == 1);
  CLEAN("mad.lo.u32 %r1, %t, 16, %s; st.shared.v4.u32 [%r1], {%t, %t, %t, %t};", 1, 32);
  CHECK(ptx_result.counts.shared_wavefronts == 4 && ptx_result.counts.shared_ideal == 4);
}

// Warps 0 to 3 of twelve give registers back, the others take them: 65536 for 384 threads are 168 for each.
static void registers(void) {
  static const struct {
    const char *says;
    int less, more;
    const char *finds; // NULL: nothing
  } cases[] = {
      {".maxntid 384\n.minnctapersm 1", 40, 232, NULL},
      {".maxntid 384\n.minnctapersm 1", 40, 240, "setmaxnreg.inc waits for 72 registers more of each thread; the block has 8 for a warp"},
      {".reqntid 384, 1, 1\n.minnctapersm 1", 40, 240, "setmaxnreg.inc waits for 72"},
      {".maxntid 384\n.minnctapersm 1", 176, 232,
       "register count: thread (0,0,0) of block (0,0,0): setmaxnreg.dec to 176 registers of a warp that has 168"},
      {".maxntid 384\n.minnctapersm 1", 40, 160, "setmaxnreg.inc to 160 registers of a warp that has 168"},
      {".maxnreg 128", 64, 160, NULL},
      {".maxnreg 128", 64, 168, "setmaxnreg.inc waits for 40"},
      {".maxntid 384", 40, 256, NULL}, // how many there are is not known: no effect
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    snprintf(text, sizeof text,
             PTX_HEAD ".entry k()\n%s\n{\n.reg .b32 %%t; .reg .pred %%p;\nmov.u32 %%t, %%tid.x; setp.ge.u32 %%p, %%t, 128;\n@%%p bra R;\n"
                      "setmaxnreg.dec.sync.aligned.u32 %d;\nret;\nR: setmaxnreg.inc.sync.aligned.u32 %d;\nret;\n}\n",
             cases[i].says, cases[i].less, cases[i].more);
    const ptx_call c = {.text = text, .entry = "k", .block = {384}, .max_steps = 100000};
    if (cases[i].finds) PTX_FINDS(&c, cases[i].finds);
    else PTX_CLEAN(&c);
  }
}

int main(void) {
  registers();
  bounds(), values(), races(), block_races(), vast(), strong(), copies(), divergence(), barriers(), banks();
  tg_context_free(ptx_ctx);
  return test_done();
}
