// What the simulator reports of mbarriers, bulk copies, products and clusters: each fault beside the same text without it.
#include "sim/ptx.h"

// Before the body: %t tid, %w its warp, %p and %q addresses of A and B, %m of the tensor map of A (64 × 64 bf16, boxes of 64 × 8, swizzle
// 128); shared memory sm of 16384 bytes, aligned to 1024; predicates %first (thread 0), %rest.
static char text[1 << 15];
static _Alignas(64) uint16_t A[64 * 64];
static _Alignas(64) uint32_t B[4096];
static sim_tensor map;

static ptx_call call(const char *body, uint32_t block, uint32_t cluster) {
  snprintf(text, sizeof text,
           PTX_HEAD ".entry k(.param .align 64 .b8 M[128], .param .u64 A, .param .u64 B)\n{\n.shared .align 1024 .b8 sm[16384];\n.reg .b32 "
                    "%%t, %%w, %%r<16>; "
                    ".reg .b64 %%p, %%q, %%m, %%d<8>; .reg .pred %%first, %%rest, %%e<8>; .reg .f32 %%f<16>; .reg .b16 %%h;\nld.param.u64 "
                    "%%p, [A]; ld.param.u64 %%q, [B]; "
                    "mov.b64 %%m, M; cvta.param.u64 %%m, %%m; mov.u32 %%t, %%tid.x; shr.u32 %%w, %%t, 5; setp.eq.u32 %%first, %%t, 0; "
                    "setp.ne.u32 %%rest, "
                    "%%t, 0;\n%s\nret;\n}\n",
           body);
  for (int i = 0; i < 64 * 64; i++) A[i] = (uint16_t)i;
  memset(B, 0, sizeof B);
  map = (sim_tensor){.type = PTX_bf16, .rank = 2, .swizzle = 128, .dims = {64, 64}, .strides = {0, 128}, .box = {64, 8}, .step = {1, 1}};
  return (ptx_call){.text = text,
                    .entry = "k",
                    .grid = {cluster ? cluster : 1},
                    .block = {block},
                    .cluster = {cluster},
                    .nargs = 3,
                    .max_steps = 1 << 20,
                    .args = {{"A", A, sizeof A, false, 0, &map}, {"A", A, sizeof A, false, 0, NULL}, {"B", B, sizeof B, true, 0, NULL}}};
}

#define CLEAN(body, block, cluster)                                                                                                        \
  do {                                                                                                                                     \
    const ptx_call c_ = call(body, block, cluster);                                                                                        \
    PTX_CLEAN(&c_);                                                                                                                        \
  } while (0)
#define FINDS(body, block, cluster, words)                                                                                                 \
  do {                                                                                                                                     \
    const ptx_call c_ = call(body, block, cluster);                                                                                        \
    PTX_FINDS(&c_, words);                                                                                                                 \
  } while (0)

// ---- mbarriers

#define INIT(n)      "@%first mbarrier.init.shared.b64 [sm], " #n "; bar.sync 0; "
#define WAIT(parity) "{ .reg .pred P; W: mbarrier.try_wait.parity.shared.b64 P, [sm], " #parity "; @!P bra W; } "
#define SEEN         "ld.shared.u32 %r1, [sm+64]; st.global.u32 [%q], %r1; "

static void mbarriers(void) {
  // Warp 0 writes and arrives, warp 1 waits and reads.
  CLEAN(INIT(1) "setp.ne.u32 %e1, %w, 0; @%e1 bra R; @%first st.shared.u32 [sm+64], 7; @%first mbarrier.arrive.shared.b64 _, [sm]; bra X; "
                "R: " WAIT(0) SEEN "X:",
        64, 0);
  CHECK(B[0] == 7);
  FINDS(INIT(1) "setp.ne.u32 %e1, %w, 0; @%e1 bra R; @%first mbarrier.arrive.shared.b64 _, [sm]; @%first st.shared.u32 [sm+64], 7; bra X; "
                "R: " WAIT(0) SEEN "X:",
        64, 0, "race: ");
  FINDS(INIT(1) "setp.ne.u32 %e1, %w, 0; @%e1 bra R; @%first st.shared.u32 [sm+64], 7; @%first mbarrier.arrive.relaxed.cta.shared.b64 _, "
                "[sm]; bra X; "
                "R: " WAIT(0) SEEN "X:",
        64, 0, "race: ");
  FINDS(INIT(1) "setp.ne.u32 %e1, %w, 0; @%e1 bra R; @%first st.shared.u32 [sm+64], 7; @%first mbarrier.arrive.shared.b64 _, [sm]; bra X; "
                "R: " WAIT(1) SEEN "X:",
        64, 0, "race: "); // the phase before the first is over from the start
  // By state; the count that was pending.
  CLEAN(INIT(64) "mbarrier.arrive.shared.b64 %d1, [sm]; W: mbarrier.test_wait.shared.b64 %e1, [sm], %d1; @!%e1 bra W; "
                 "mbarrier.pending_count.b64 %r1, "
                 "%d1; mad.wide.u32 %d2, %t, 4, %q; st.global.u32 [%d2], %r1;",
        64, 0);
  CHECK(B[32] == 64 && B[31] == 1); // the warp that came last to the barrier goes first
  // cp.async of each thread, complete on an mbarrier; without .noinc it makes the arrival that it takes.
#define COPY                                                                                                                               \
  "mad.lo.u32 %r2, %t, 4, 1024; mov.u32 %r3, sm; add.u32 %r2, %r2, %r3; mad.wide.u32 %d1, %t, 4, %p; cp.async.ca.shared.global [%r2], "    \
  "[%d1], 4; "
#define NEXT "xor.b32 %r2, %r2, 4; ld.shared.u32 %r4, [%r2]; mad.wide.u32 %d2, %t, 4, %q; st.global.u32 [%d2], %r4;"
  CLEAN(INIT(64) COPY "cp.async.mbarrier.arrive.noinc.shared.b64 [sm]; " WAIT(0) NEXT, 64, 0);
  CHECK(B[0] == (2 | 3 << 16) && B[63] == (124 | 125 << 16));
  CLEAN(INIT(64) COPY "cp.async.mbarrier.arrive.shared.b64 [sm]; mbarrier.arrive.shared.b64 _, [sm]; " WAIT(0) NEXT, 64, 0);
  FINDS(INIT(64) COPY "mbarrier.arrive.shared.b64 _, [sm]; " WAIT(0) NEXT, 64, 0, "copy not waited for");
}

static void misuse(void) {
  FINDS("mbarrier.arrive.shared.b64 _, [sm];", 1, 0,
        "mbarrier misused: thread (0,0,0) of block (0,0,0): no mbarrier was initialised at shared memory 0");
  FINDS("@%first mbarrier.init.shared.b64 [sm], 32; mbarrier.arrive.shared.b64 _, [sm];", 32, 0,
        "which line 9 initialised with no barrier between");
  FINDS(INIT(1) "mbarrier.arrive.shared.b64 _, [sm], 2;", 1, 0,
        "it arrives 2 times at the mbarrier at shared memory 0, which waits for 1 of 1 arrivals");
  FINDS(INIT(1) "@%first st.shared.u32 [sm+4], 0;", 1, 0, "it writes shared memory at 4, where an mbarrier lives that line 9 initialised");
  FINDS(INIT(1) "ld.shared.u64 %d1, [sm];", 1, 0, "it reads shared memory at 0, where an mbarrier lives");
  CLEAN(INIT(1) "mbarrier.inval.shared.b64 [sm]; st.shared.u32 [sm+4], 0;", 1, 0);
  FINDS(INIT(1) "mbarrier.init.shared.b64 [sm], 1;", 1, 0, "is initialised again with no mbarrier.inval between");
  CLEAN(INIT(1) "mbarrier.inval.shared.b64 [sm]; mbarrier.init.shared.b64 [sm], 1;", 1, 0);
  FINDS("mbarrier.init.shared.b64 [sm], 0;", 1, 0, "an mbarrier of 0 arrivals");
  FINDS("mbarrier.init.shared.b64 [sm], 1048576;", 1, 0, "an mbarrier of 1048576 arrivals");
  FINDS("mbarrier.init.shared.b64 [sm+4], 1;", 1, 0, "misaligned");
  FINDS(
      INIT(1) "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [sm], 1000000; mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [sm], 100000;",
      1, 0, "expects 1100000 bytes");
  FINDS(INIT(1) "mbarrier.arrive.noComplete.shared.b64 %d1, [sm], 1;", 1, 0, "arrival without completion is the last");
  FINDS(INIT(2) "mbarrier.arrive.shared.b64 %d1, [sm]; mbarrier.arrive.shared.b64 _, [sm]; mbarrier.arrive.shared.b64 _, [sm], 2; "
                "mbarrier.test_wait.shared.b64 %e1, [sm], %d1;",
        1, 0, "the state is not of the current phase");
  // Nobody comes: who waits where, and on what.
  FINDS(INIT(2) "@%first mbarrier.arrive.shared.b64 _, [sm]; " WAIT(0), 64, 0,
        "it waits for phase 0 of the mbarrier at shared memory 0 (initialised at line 9): 1 of 2 arrivals are "
        "missing, and 0 bytes");
  FINDS(INIT(1) "@%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 48; " WAIT(0), 1, 0, "0 of 1 arrivals are missing, and 48 bytes");
  FINDS(INIT(1) "W: mbarrier.test_wait.parity.shared.b64 %e1, [sm], 0; @!%e1 bra W;", 64, 0, "tests an mbarrier again and again");
}

// ---- copies into shared memory

#define LOAD(bytes)                                                                                                                        \
  "@%first mbarrier.init.shared.b64 [sm], 1; @%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], " #bytes                                \
  "; @%first cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [sm+1024], [%m, {0, 8}], [sm]; bar.sync 0; "
#define TAKE "ld.shared.u32 %r1, [sm+1024]; st.global.u32 [%q], %r1; "

static void copies(void) {
  CLEAN(LOAD(1024) WAIT(0) TAKE, 64, 0);
  CHECK(B[0] == (512 | 513 << 16));
  FINDS(LOAD(1024) TAKE WAIT(0), 64, 0,
        "copy not waited for: thread (32,0,0) of block (0,0,0): shared memory at 1024 is the destination of the copy of line 9");
  FINDS(LOAD(1024) WAIT(1) TAKE, 64, 0, "it waits for phase 1"); // the copy is over, the wrong parity is not
  FINDS(LOAD(1008) WAIT(0) TAKE, 64, 0, "barrier not met");      // 16 bytes more come than were announced
  FINDS(LOAD(1040) WAIT(0) TAKE, 64, 0, "0 of 1 arrivals are missing, and 16 bytes");
  FINDS(LOAD(1024) "setp.eq.u32 %e1, %w, 0; @%e1 bra R; " WAIT(0) "bra X; R: " TAKE "X:", 64, 0, "which a bulk copy wrote at line 9");
  FINDS(LOAD(1024), 64, 0, "the block ends and nobody waited for this copy into its shared memory at 1024");
  // Written while it comes, and read before it came.
  FINDS(LOAD(1024) "@%first st.shared.u32 [sm+1100], 1; " WAIT(0), 1, 0, "copy not waited for");
  FINDS("st.shared.u32 [sm+1024], 1; " LOAD(1024) WAIT(0), 1, 0, "proxies not ordered");
  CLEAN("st.shared.u32 [sm+1024], 1; fence.proxy.async; " LOAD(1024) WAIT(0), 1, 0);
  // Its buffer again before others have read it, and after.
  FINDS(LOAD(1024) WAIT(0) TAKE
        "@%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 1024; @%first cp.async.bulk.tensor.2d.shared::cluster.global."
        "mbarrier::complete_tx::bytes [sm+1024], [%m, {0, 8}], [sm]; { .reg .pred P; W: mbarrier.try_wait.parity.shared.b64 P, [sm], "
        "1; @!P bra W; }",
        64, 0, "race: ");
  CLEAN(LOAD(1024) WAIT(0) TAKE
        "bar.sync 0; @%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 1024; @%first cp.async.bulk.tensor.2d.shared::cluster."
        "global.mbarrier::complete_tx::bytes [sm+1024], [%m, {0, 8}], [sm]; { .reg .pred P; W: mbarrier.try_wait.parity.shared.b64 P, "
        "[sm], 1; @!P bra W; }",
        64, 0);
}

// ---- products: A at sm, B at sm + 8192, both in rows of 128 bytes with swizzle 128

#define FILL                                                                                                                               \
  "mov.u32 %r2, sm; mad.lo.u32 %r1, %t, 128, %r2; mov.u32 %r3, 0; st.shared.v4.u32 [%r1], {%r3, %r3, %r3, %r3}; st.shared.v4.u32 "         \
  "[%r1+16], "                                                                                                                             \
  "{%r3, %r3, %r3, %r3}; st.shared.v4.u32 [%r1+32], {%r3, %r3, %r3, %r3}; st.shared.v4.u32 [%r1+48], {%r3, %r3, %r3, %r3}; "               \
  "st.shared.v4.u32 [%r1+64], {%r3, %r3, %r3, %r3}; st.shared.v4.u32 [%r1+80], {%r3, %r3, %r3, %r3}; st.shared.v4.u32 [%r1+96], {%r3, "    \
  "%r3, %r3, %r3}; st.shared.v4.u32 [%r1+112], {%r3, %r3, %r3, %r3}; "
#define FLOATS "mov.f32 %f0, 0f00000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0; mov.f32 %f5, %f0; "
#define DESC   "mov.u64 %d1, 4611686293305360384; mov.u64 %d2, 4611686293305360896; "
#define READY  FILL FLOATS DESC "fence.proxy.async; bar.sync 0; "
#define FENCE  "wgmma.fence.sync.aligned; "
#define MMA    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %d1, %d2, 1, 1, 1, 0, 0; "
#define MMA_R  "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, {%r4, %r5, %r6, %r7}, %d2, 1, 1, 1, 0; "
#define REGS   "mov.u32 %r4, 0; mov.u32 %r5, 0; mov.u32 %r6, 0; mov.u32 %r7, 0; "
#define COMMIT "wgmma.commit_group.sync.aligned; "
#define DONE   "wgmma.wait_group.sync.aligned 0; "
#define GIVE   "mad.wide.u32 %d3, %t, 4, %q; st.global.f32 [%d3], %f0;"

static void products(void) {
  CLEAN(READY FENCE MMA MMA COMMIT DONE GIVE, 128, 0);
  FINDS(FILL FLOATS DESC "bar.sync 0; " FENCE MMA COMMIT DONE GIVE, 128, 0,
        "it reads shared memory at 6144, which thread (48,0,0) wrote at line 9 with no fence.proxy.async");
  FINDS(FILL FLOATS DESC "fence.proxy.async; " FENCE MMA COMMIT DONE GIVE, 128, 0, "race: ");
  FINDS(READY MMA COMMIT DONE GIVE, 128, 0, "with no wgmma.fence before it");
  FINDS(READY FENCE MMA DONE GIVE, 128, 0,
        "product not waited for: thread (96,0,0) of block (0,0,0): it reads a register that is an accumulator of the wgmma of line 9");
  FINDS(READY FENCE MMA COMMIT GIVE DONE, 128, 0, "product not waited for");
  FINDS(READY FENCE MMA COMMIT "wgmma.wait_group.sync.aligned 1; " GIVE DONE, 128, 0, "product not waited for");
  CLEAN(READY FENCE MMA COMMIT FENCE
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f10, %f11, %f12, %f13}, %d1, %d2, 0, 1, 1, 0, 0; " COMMIT
        "wgmma.wait_group.sync.aligned 1; " GIVE DONE,
        128, 0);
  FINDS(READY FENCE MMA COMMIT "add.f32 %f1, %f5, %f5; " DONE GIVE, 128, 0, "it writes a register that is an accumulator");
  // Moves hand the value on; it may be used after the wait.
  CLEAN(READY FENCE MMA COMMIT "mov.f32 %f8, %f0; " DONE "mov.f32 %f0, %f8; " GIVE, 128, 0);
  FINDS(READY FENCE MMA COMMIT "mov.f32 %f8, %f0; add.f32 %f9, %f8, %f8; " DONE GIVE, 128, 0, "product not waited for");
  CLEAN(READY FENCE MMA COMMIT DONE "add.f32 %f1, %f1, %f0; " FENCE MMA COMMIT DONE GIVE, 128, 0);
  FINDS(READY FENCE MMA COMMIT DONE "add.f32 %f1, %f1, %f0; " MMA COMMIT DONE GIVE, 128, 0,
        "an accumulator of it was written with no wgmma.fence between");
  // A in registers.
  CLEAN(READY REGS FENCE MMA_R COMMIT DONE "add.u32 %r4, %r4, 1; " GIVE, 128, 0);
  FINDS(READY REGS FENCE MMA_R COMMIT "add.u32 %r4, %r4, 1; " DONE GIVE, 128, 0,
        "overwritten while read: thread (96,0,0) of block (0,0,0): it writes a register that is the operand A of the wgmma of line 9");
  CLEAN(READY REGS FENCE MMA_R COMMIT "add.u32 %r8, %r4, 1; " DONE GIVE, 128, 0);
  // Shared operands: written before the wait, and before the other warps' wait.
  FINDS(READY FENCE MMA COMMIT "@%first st.shared.u32 [%r1], 1; " DONE GIVE, 128, 0,
        "overwritten while read: thread (0,0,0) of block (0,0,0): it writes shared memory at 0");
  FINDS(READY FENCE MMA COMMIT DONE "@%first st.shared.u32 [sm+8192], 1; " GIVE, 128, 0, "race: ");
  CLEAN(READY FENCE MMA COMMIT DONE "bar.sync 0; @%first st.shared.u32 [sm+8192], 1; " GIVE, 128, 0);
  // Warpgroups.
  FINDS(READY FENCE MMA COMMIT DONE GIVE, 64, 0, "all 128 threads of a warpgroup have to execute it");
  FINDS(READY FENCE "setp.eq.u32 %e1, %w, 2; @%e1 bra S; " MMA "bra U; S: add.u64 %d1, %d1, 2; " MMA "U: " COMMIT DONE GIVE, 128, 0,
        "warpgroup apart");
  FINDS(READY FENCE "setp.eq.u32 %e1, %w, 2; @%e1 bra S; " MMA "S: " COMMIT DONE, 128, 0, "the warp ends after ");
  FINDS(READY FENCE MMA COMMIT GIVE "exit;", 128, 0, "the thread ends while the operation of line 9 still reads shared memory");
  // Descriptors.
  FINDS(READY "add.u64 %d1, %d1, 1024; " FENCE MMA COMMIT DONE GIVE, 128, 0, "leads to byte 22528 of the shared memory");
  FINDS(READY "mov.u64 %d5, 562949953421312; add.u64 %d1, %d1, %d5; " FENCE MMA COMMIT DONE GIVE, 128, 0, "base offset");
  FINDS(READY "cvt.u64.u32 %d5, %t; add.u64 %d1, %d1, %d5; " FENCE MMA COMMIT DONE GIVE, 128, 0, "different descriptors");
}

// ---- copies out of shared memory

#define PUT  "@%first cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%m, {0, 8}], [sm]; "
#define PUT1 "@%first cp.async.bulk.global.shared::cta.bulk_group [%q], [sm], 1024; "
#define LEFT "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; "

static void stores(void) {
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT LEFT, 128, 0);
  CHECK(A[511] == 511 && A[512] == 0 && A[1023] == 0 && A[1024] == 1024);
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT1 LEFT, 128, 0);
  FINDS(FILL "bar.sync 0; " PUT LEFT, 128, 0, "proxies not ordered");
  FINDS(FILL "fence.proxy.async; " PUT LEFT, 128, 0, "race: ");
  CLEAN(FILL "bar.sync 0; fence.proxy.async; " PUT LEFT, 128, 0); // by the one thread that saw all of it
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT "@%first st.shared.u32 [sm+32], 1; " LEFT, 128, 0, "overwritten while read");
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT LEFT "@%first st.shared.u32 [sm+32], 1; ", 128, 0);
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT LEFT "setp.eq.u32 %e1, %t, 64; @%e1 st.shared.u32 [sm+32], 1; ", 128, 0, "race: ");
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT "cp.async.bulk.wait_group.read 0; ", 128, 0,
        "the thread ends while the operation of line 9");
  FINDS("@%first cp.async.bulk.global.shared::cta.bulk_group [%q], [sm], 1024; " LEFT, 32, 0,
        "it reads shared memory at 0, where nothing was written");
  // What they write is to be seen once they are complete, not when their source has been read.
#define DONE_ALL "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; "
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT1 DONE_ALL "bar.sync 0; ld.global.u32 %r1, [%q+1020]; ", 128, 0);
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT1 LEFT "bar.sync 0; ld.global.u32 %r1, [%q+1020]; ", 128, 0,
        "it touches byte 1020 of B, which the bulk copy of line 9 writes");
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT1 LEFT "bar.sync 0; @%first st.global.u32 [%q+1024], 1; ", 128, 0);
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT1 LEFT "bar.sync 0; @%first st.global.u32 [%q], 1; ", 128, 0, "it touches byte 0 of B");
  FINDS(FILL "fence.proxy.async; bar.sync 0; " PUT LEFT "bar.sync 0; ld.global.u16 %h, [%p+1026]; ", 128, 0, "it touches byte 1026 of A");
  CLEAN(FILL "fence.proxy.async; bar.sync 0; " PUT DONE_ALL "bar.sync 0; ld.global.u16 %h, [%p+1026]; ", 128, 0);
}

static void operands(void) {
#define INTO(dst, src, bytes)                                                                                                              \
  LOAD(1024) "@%first cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [" dst "], [" src "], " bytes ", [sm];"
  FINDS(INTO("sm+2056", "%p", "64"), 1, 0, "its address 0x808 in shared memory is no multiple of 16");
  FINDS(INTO("sm+2048", "%p+8", "64"), 1, 0, "in global memory is no multiple of 16");
  FINDS(INTO("sm+2048", "%p", "24"), 1, 0, "24 bytes: a bulk copy takes a multiple of 16");
  FINDS(INTO("sm+16368", "%p", "64"), 1, 0, "it copies 64 bytes at byte 16368 of the shared memory, which has 16384");
  FINDS(INTO("sm+2048", "%p+8176", "64"), 1, 0, "it reads 64 bytes at byte 8176 of A, which has 8192");
#define TILE(dst, map)                                                                                                                     \
  LOAD(1024) "@%first cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [" dst "], [" map "], [sm];"
  FINDS(TILE("sm+2112", "%m, {0, 0}"), 1, 0, "is no multiple of 128");
  FINDS(TILE("sm+15872", "%m, {0, 0}"), 1, 0, "it copies 1024 bytes at byte 15872");
  FINDS(TILE("sm+2048", "%p, {0, 0}"), 1, 0, "no tensor map of the launch's, nor a whole one of the code's, lies at address");
  FINDS(LOAD(1024) "@%first cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [sm+2048], [%m, {0, 0, 0}], [sm];",
        1, 0, "3 coordinates for a tensor map of 2 dimensions");
  ptx_call c = call(LOAD(1024) WAIT(0), 1, 0);
  map.dims[1] = 128; // more than the array has
  c.text = text;
  PTX_CLEAN(&c);
  map.dims[1] = 1 << 20;
  c = call(TILE("sm+2048", "%m, {0, 4096}"), 1, 0);
  map.dims[1] = 1 << 20;
  PTX_FINDS(&c, "it reads 128 bytes at byte ");
}

// ---- clusters

#define RANK "mov.u32 %r5, %cluster_ctarank; xor.b32 %r6, %r5, 1; mov.u32 %r7, sm; mapa.shared::cluster.u32 %r8, %r7, %r6; "
#define SYNC "barrier.cluster.arrive; barrier.cluster.wait; "
#define SHOW "mad.wide.u32 %d3, %r5, 4, %q; @%first st.global.u32 [%d3], %r1; "
#define PEER "@%first st.shared::cluster.u32 [%r8+64], %r6; "
#define OWN  "ld.shared.u32 %r1, [sm+64]; "

static void clusters(void) {
  CLEAN(RANK PEER SYNC OWN SHOW, 64, 2);
  CHECK(B[0] == 0 && B[1] == 1);
  FINDS(RANK PEER "barrier.cluster.arrive.relaxed; barrier.cluster.wait; " OWN SHOW, 64, 2, "race: ");
  CLEAN(RANK PEER "fence.acq_rel.cluster; barrier.cluster.arrive.relaxed; barrier.cluster.wait; " OWN SHOW, 64, 2);
  FINDS(RANK "@%first st.shared.u32 [sm+64], 1; bar.sync 0; " PEER SYNC, 64, 2, "race: ");
  CHECK(strstr(ptx_said, " of block (1,0,0) wrote at line 9") || strstr(ptx_said, " of block (0,0,0) wrote at line 9"));
  FINDS(RANK "@%first st.shared.u32 [%r8+64], %r6; " SYNC, 64, 2, "needs .shared::cluster");
  FINDS(RANK "mapa.shared::cluster.u32 %r8, %r7, 2; " SYNC, 64, 2, "rank 2 of a cluster of 2 blocks");
  FINDS(RANK "setp.eq.u32 %e1, %r5, 0; @%e1 ret; " PEER, 64, 2, "it touches the shared memory of block (0,0,0), which has ended");
  // Generic addresses, ranks of addresses, special registers.
  CLEAN(RANK "cvt.u64.u32 %d4, %r8; cvta.shared::cluster.u64 %d4, %d4; @%first st.u32 [%d4+64], %r6; isspacep.shared::cluster %e1, %d4; "
             "selp.u32 %r9, 1, 0, "
             "%e1; getctarank.shared::cluster.u32 %r10, %r8; mov.u32 %r11, %clusterid.x; mov.u32 %r12, %cluster_nctaid.x; " SYNC OWN
             "mad.lo.u32 %r1, %r9, 100, %r1; mad.lo.u32 %r1, %r10, 10, %r1; mad.lo.u32 %r1, %r12, 1000, %r1; add.u32 %r1, %r1, %r11; " SHOW,
        64, 2);
  CHECK(B[0] == 2110 && B[1] == 2101);
  // An arrival from the other block; a copy into both.
  CLEAN(RANK INIT(1) SYNC
        "@%first st.shared::cluster.u32 [%r8+64], %r6; @%first mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r8]; " WAIT(0)
            OWN SHOW SYNC,
        64, 2);
  CHECK(B[0] == 0 && B[1] == 1);
  FINDS(RANK INIT(1) "@%first mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r8]; " WAIT(0) SYNC, 64, 2, "mbarrier");
#define MULTICAST(before, after)                                                                                                           \
  RANK before INIT(1) after                                                                                                                \
      "@%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 1024; " SYNC                                                                  \
      "setp.eq.u32 %e1, %r5, 0; and.pred %e1, %e1, %first; mov.u16 %h, 3; "                                                                \
      "@%e1 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [sm+1024], [%m, {0, 8}], "      \
      "[sm], %h; " WAIT(0) "ld.shared.u32 %r1, [sm+1024]; " SHOW SYNC
  CLEAN(MULTICAST("", "fence.proxy.async; "), 64, 2);
  const char *late =
      "its bytes complete on the mbarrier at shared memory 0 of block 1 of the cluster, which line 9 initialised with no fence";
  FINDS(MULTICAST("", ""), 64, 2, late);
  FINDS(MULTICAST("@%first fence.mbarrier_init.release.cluster; ", ""), 64, 2, late);
  CLEAN(MULTICAST("", "@%first fence.mbarrier_init.release.cluster; "), 64, 2);
  CHECK(B[0] == (512 | 513 << 16) && B[1] == B[0]);
  // Values that arrive with their bytes.
#define SEND                                                                                                                               \
  "@%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 8; " SYNC                                                                         \
  "@%first st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.u32 [%r8+64], {%r6, %r5}, [%r8]; "
  CLEAN(RANK INIT(1) SEND WAIT(0) OWN SHOW SYNC, 64, 2);
  CHECK(B[0] == 0 && B[1] == 1);
  FINDS(RANK INIT(1) SEND OWN SHOW WAIT(0) SYNC, 64, 2, "");
  // Sums that arrive likewise, of all threads of both blocks, whichever comes first.
#define REDUCE(op, value) "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes." op " [%r8+64], " value ", [%r8]; "
#define EXPECT(bytes)     "@%first st.shared.u32 [sm+64], 100; @%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], " #bytes "; " SYNC
  CLEAN(RANK INIT(1) EXPECT(256) REDUCE("add.u32", "%t") WAIT(0) OWN SHOW SYNC, 64, 2);
  CHECK(B[0] == 100 + 63 * 64 / 2 && B[1] == B[0]);
  CLEAN(RANK INIT(1) EXPECT(256) REDUCE("max.s32", "%t") WAIT(0) OWN SHOW SYNC, 64, 2);
  CHECK(B[0] == 100);
  CLEAN(RANK INIT(1) EXPECT(128) REDUCE("xor.b32", "%t") WAIT(0) OWN SHOW SYNC, 32, 2);
  CHECK(B[0] == 100);
  FINDS(RANK INIT(1) EXPECT(256) REDUCE("add.u32", "%t") OWN SHOW WAIT(0) SYNC, 64, 2, "copy not waited for");
  FINDS(RANK INIT(1) "@%first mbarrier.arrive.expect_tx.shared.b64 _, [sm], 256; " SYNC REDUCE("add.u32", "%t") WAIT(0) SYNC, 64, 2,
        "uninitialised");
  const ptx_call unknown = call(RANK REDUCE("add.f32", "%f1"), 32, 2);
  PTX_REFUSES(&unknown, "no such reduction");
  FINDS(RANK INIT(1) SYNC "@%first st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r8+64], %r6, [sm]; " SYNC, 64, 2,
        "its mbarrier is in another block");
  FINDS(RANK "barrier.cluster.arrive; barrier.cluster.arrive; barrier.cluster.wait;", 32, 2, "a second time");
  FINDS(RANK "barrier.cluster.wait;", 32, 2, "where it has not arrived");
  FINDS(RANK INIT(1) "setp.eq.u32 %e1, %r5, 0; @%e1 bra X; " WAIT(0) "X: " SYNC, 32, 2,
        "the barrier of the cluster waits for all its threads and 32 have come");
  ptx_call c = call("", 32, 2);
  c.grid[0] = 3;
  PTX_REFUSES(&c, "a grid of 3 x 1 x 1 blocks is no multiple of its clusters of 2 x 1 x 1");
  c.grid[0] = 34, c.cluster[0] = 17;
  PTX_REFUSES(&c, "a cluster of 17 x 1 x 1 blocks; it has at most 16");
}

int main(void) {
  mbarriers(), misuse(), copies(), products(), stores(), operands(), clusters();
  tg_context_free(ptx_ctx);
  return test_done();
}
