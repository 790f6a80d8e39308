// PTX of library kernels: what the text must contain, what ptxas says of it where it is installed, and the launch record beside it.
#include "targets/finish.h"
#include "targets/nvptx/assemble.h"
#include "test.h"

static tg_context *ctx;

typedef struct compile_job {
  const char *name, *want, *target; // target: NULL = nvptx:sm_80
  int variant;
  tg_bindings settings;
  tg_arena arena;
  tg_product product;
} compile_job;

static void compile_body(void *arg) {
  compile_job *j = arg;
  tg_source *source;
  tg_kernel *tile;
  tg_bindings none = {0};
  if (tg_source_load(ctx, j->name, &source) || tg_source_trace(source, &none, &none, &tile)) tg_rethrow(ctx);
  tg_source_free(source);
  tg_job job = {.target = j->target ? j->target : "nvptx:sm_80", .want = j->want, .variant = j->variant, .settings = j->settings};
  job.ir = tg_print(&j->arena, tile, &job.ir_size);
  tg_kernel_free(tile);
  tg_compile_here(ctx, &job, &j->arena, &j->product);
}

static tg_status compile(compile_job *j) {
  tg_arena_init(&j->arena, ctx);
  return tg_protect(ctx, compile_body, j);
}

static char *text_of(compile_job *j) {
  char *text = calloc(j->product.bytes.size + 1, 1);
  memcpy(text, j->product.bytes.data, j->product.bytes.size);
  return text;
}

static int count(const char *text, const char *what) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, what)); p++) n++;
  return n;
}

static const tg_binding one_warp = {"warps", "1"};

static void test_text(void) {
  for (int variant = 0; variant < 2; variant++) {
    compile_job j = {.name = "gemm_bf16", .want = "asm", .variant = variant, .settings = {1, &one_warp}};
    CHECKF(compile(&j) == TG_OK, "%s", tg_error_message(ctx));
    char *ptx = text_of(&j);
    CHECK(strstr(ptx, ".target sm_80") && strstr(ptx, ".version 7.0"));
    CHECK(strstr(ptx, ".visible .entry gemm_bf16_0(") && strstr(ptx, ".maxntid 32"));
    CHECK(count(ptx, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") >= 64); // 64x64x32: 4 x 8 x 2 a trip
    CHECK((count(ptx, "cp.async.cg.shared.global [") >= 16) == (variant == 0));     // else straight from memory
    CHECK((count(ptx, "ldmatrix.sync.aligned.m8n8.x4.shared.b16") >= 16) == (variant == 0));
    CHECK(count(ptx, "call") == 0 && count(ptx, ".local") == 0);
    CHECK(j.product.variants == 2);
    free(ptx);
    tg_arena_free(&j.arena);
  }
  compile_job j = {.name = "rmsnorm", .want = "asm", .settings = {1, &one_warp}};
  CHECKF(compile(&j) == TG_OK, "%s", tg_error_message(ctx));
  char *ptx = text_of(&j);
  CHECK(count(ptx, "shfl.sync.bfly.b32") == 5 && count(ptx, "cvt.rn.bf16x2.f32") == 2 * 4);
  CHECK(count(ptx, "sqrt.rn.f32") == 1 && count(ptx, "div.rn.f32") == 1 && count(ptx, "rcp.rn.f32") == 1);
  free(ptx);
  tg_arena_free(&j.arena);
}

static void test_forms(void) {
  compile_job llvm = {.name = "rmsnorm", .want = "llvm"}, wrong = {.name = "rmsnorm", .want = "source"};
  CHECK(compile(&llvm) == TG_OK);
  char *text = text_of(&llvm);
  CHECK(strstr(text, "define ptx_kernel void @rmsnorm_0(ptr addrspace(1)") && strstr(text, "target triple = \"nvptx64-nvidia-cuda\""));
  free(text);
  tg_arena_free(&llvm.arena);
  CHECK(compile(&wrong) == TG_INVALID && strstr(tg_error_message(ctx), "there are tile, lane, llvm, asm, obj and meta"));
  tg_arena_free(&wrong.arena);
}

// Ops that the lowering does not use yet, from lane IR written by hand.
typedef struct lane_job {
  const char *text, *target; // target: NULL = nvptx:sm_80
  int64_t shared_bytes;
  tg_arena *arena;
  tg_bytes ptx;
} lane_job;

static void lane_body(void *arg) {
  lane_job *j = arg;
  const tg_family *family;
  const char *target = j->target ? j->target : "nvptx:sm_80";
  const tg_machine *machine = tg_target_find(ctx, target, &family);
  tg_kernel *lane = tg_parse(ctx, j->text, strlen(j->text), "test.lane");
  if (tg_verify(lane)) tg_rethrow(ctx);
  tg_record *record = tg_record_make(j->arena, lane, target);
  CHECK(record->launches[0].static_shared_bytes == j->shared_bytes);
  j->ptx = tg_finish_nvptx(lane, machine, "asm", j->arena, record);
  if (tg_assembler_find(j->arena)) CHECK(tg_finish_nvptx(lane, machine, "obj", j->arena, record).size > 64);
  tg_kernel_free(lane);
}

static void test_lane(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  lane_job j = {
      .arena = &arena,
      .shared_bytes = 1024,
      .text =
          "kernel k lane {\n  output O : i32[64]\n  launch k_0 (1) block (32, 1, 1) (%o : ptr<global> = O) {\n"
          "    %s = scratch {space = \"shared\", bytes = 1024, align = 16} : ptr<shared>\n    %t = tid {axis = 0} : i32\n"
          "    %f = const {type = i32, value = 4} : i32\n    %b = shl %t, %f : i32\n    %p = ptradd %s, %b : ptr<shared>\n"
          "    lstore %p, %t {align = 4}\n    barrier\n    %m0, %m1, %m2, %m3 = ldmatrix %p {count = 4} : i32, i32, i32, i32\n"
          "    %n0, %n1 = ldmatrix %p {count = 2, trans = 1} : i32, i32\n    %q = ldmatrix %p {count = 1} : i32\n"
          "    %u = shfl %m0, %t {kind = \"up\", width = 16} : i32\n    %d = shfl %m1, %f {kind = \"down\", width = 32} : i32\n"
          "    %a = add %u, %d : i32\n    %c = add %m2, %m3 : i32\n    %e = add %n0, %n1 : i32\n    %g = add %a, %c : i32\n    %h = add "
          "%g, %e : i32\n"
          "    %i = add %h, %q : i32\n    %ok = ne %i, %f : i1\n    trap %ok {text = \"four\"}\n    lstore %o, %i {align = 4}\n  }\n}\n"};
  CHECKF(tg_protect(ctx, lane_body, &j) == TG_OK, "%s", tg_error_message(ctx));
  if (j.ptx.data) {
    char *ptx = calloc(j.ptx.size + 1, 1);
    memcpy(ptx, j.ptx.data, j.ptx.size);
    CHECK(strstr(ptx, "ldmatrix.sync.aligned.m8n8.x4.shared.b16") && strstr(ptx, "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16"));
    CHECK(strstr(ptx, "ldmatrix.sync.aligned.m8n8.x1.shared.b16") && strstr(ptx, "bar.sync"));
    CHECK(strstr(ptx, ".shared .align 16 .b8 k_0_shared[1024]") && strstr(ptx, "trap;"));
    CHECK(strstr(ptx, "shfl.sync.up.b32") && strstr(ptx, ", 4096, -1;")); // segments of 16: mask 16 in bits 8-12, clamp 0
    CHECK(strstr(ptx, "shfl.sync.down.b32") && strstr(ptx, ", 31, -1;"));
    free(ptx);
  }
  tg_arena_free(&arena);
}

// Descriptors by PTX ISA, tcgen05, instruction descriptor and shared memory descriptor: m128 n64, bf16, e4m3 and e5m2 into f32; rows of 128
// bytes.
static void test_tensor_memory(void) {
  enum { BF16 = 1 << 4 | 1 << 7 | 1 << 10 | 8 << 17 | 8 << 24, E4M3 = 1 << 4 | 8 << 17 | 8 << 24, E5M2 = E4M3 | 1 << 7 | 1 << 10 };
  const uint64_t operand = 1ull << 16 | 64ull << 32 | 1ull << 46 | 2ull << 61;
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  lane_job j = {.arena = &arena,
                .shared_bytes = 1024,
                .target = "nvptx:sm_100a",
                .text = "kernel k lane {\n  output O : f32[128]\n  launch k_0 (1) block (128, 1, 1) (%o : ptr<global> = O) {\n"
                        "    %s = scratch {space = \"shared\", bytes = 1024, align = 1024} : ptr<shared>\n    %t = tid {axis = 0} : i32\n"
                        "    %z = const {type = i32, value = 0} : i32\n    %first = eq %t, %z : i1\n    mbar_init %s {count = 1}\n"
                        "    tmem_alloc %s {columns = 64}\n    tmem_fence\n    barrier\n    tmem_fence {after = 1}\n"
                        "    %at = lload %s {type = i32, align = 4} : i32\n"
                        "    %a = smem_desc %s {swizzle = 128, lead = 16, stride = 1024, version = 1} : i64\n"
                        "    if %first {\n      tmem_mma %at, %a, %a, %first {row = \"tcgen05.k16.bf16\", n = 64}\n"
                        "      tmem_mma %at, %a, %a, %first {row = \"tcgen05.k32.e4m3\", n = 64}\n      tmem_mma %at, %a, %a, %first {row "
                        "= \"tcgen05.k32.e5m2\", n = 64}\n      tmem_commit %s\n      yield\n    } {\n      "
                        "yield\n    }\n    mbar_wait %s, %z\n    %x, %y = tmem_load %at {n = 2} : f32, f32\n    %w = add %x, %y : f32\n"
                        "    lstore %o, %w {align = 4}\n    barrier\n    tmem_free %at {columns = 64}\n  }\n}\n"};
  CHECKF(tg_protect(ctx, lane_body, &j) == TG_OK, "%s", tg_error_message(ctx));
  if (j.ptx.data) {
    char *ptx = calloc(j.ptx.size + 1, 1);
    memcpy(ptx, j.ptx.data, j.ptx.size);
    CHECK(strstr(ptx, ".target sm_100a") && strstr(ptx, "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 ["));
    CHECK(strstr(ptx, "], 64; tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;"));
    CHECK(count(ptx, "tcgen05.mma.cta_group::1.kind::f16 [") == 1 && count(ptx, "tcgen05.mma.cta_group::1.kind::f8f6f4 [") == 2);
    CHECK(strstr(ptx, tg_arena_printf(&arena, ", %d;", BF16)) && strstr(ptx, tg_arena_printf(&arena, ", %d;", E4M3)) &&
          strstr(ptx, tg_arena_printf(&arena, ", %d;", E5M2)));
    CHECK(strstr(ptx, tg_arena_printf(&arena, ", %lld;", (long long)operand)));
    CHECK(strstr(ptx, "tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 ["));
    CHECK(strstr(ptx, "tcgen05.ld.sync.aligned.32x32b.x2.b32 {") && strstr(ptx, "]; tcgen05.wait::ld.sync.aligned;"));
    CHECK(strstr(ptx, "tcgen05.fence::before_thread_sync;") && strstr(ptx, "tcgen05.fence::after_thread_sync;"));
    CHECK(strstr(ptx, "tcgen05.dealloc.cta_group::1.sync.aligned.b32 "));
    free(ptx);
  }
  tg_arena_free(&arena);
}

static void test_report(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_assembly r = {0};
  tg_assembly_read(&arena,
                   "ptxas info    : 0 bytes gmem\n"
                   "ptxas info    : Compiling entry function 'a' for 'sm_80'\n"
                   "ptxas info    : Function properties for a\n"
                   "    8 bytes stack frame, 16 bytes spill stores, 12 bytes spill loads\n"
                   "ptxas info    : Used 40 registers, used 1 barriers, 388 bytes cmem[0]\n"
                   "ptxas info    : Compiling entry function 'b' for 'sm_80'\n"
                   "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n" // as nvJitLink has it
                   "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to x\n"
                   "ptxas warning : 'setmaxnreg' ignored\n"
                   "ptxas info    : Used 128 registers, used 0 barriers\n"
                   "ptxas info    : Compile time = 62.0 ms",
                   &r);
  CHECK(r.nentries == 2 && r.nwarnings == 2);
  CHECK(!strcmp(r.entries[0].name, "a") && r.entries[0].registers == 40 && r.entries[0].spilled_bytes == 16);
  CHECK(!strcmp(r.entries[1].name, "b") && r.entries[1].registers == 128 && r.entries[1].spilled_bytes == 0);
  CHECK(!strncmp(r.warnings[0], "b: (C7510) Potential", 20) && !strcmp(r.warnings[1], "b: 'setmaxnreg' ignored"));
  r = (tg_assembly){0};
  tg_assembly_read(&arena, "nothing to see\nptxas info    : Compiling entry function 'c", &r);
  CHECK(r.nentries == 0 && r.nwarnings == 0);
  char ptx[] = "one\n  nonsense %r1;\nthree";
  const char *said = "ptxas k.ptx, line 2; error   : Not a name: 'nonsense'\nptxas k.ptx, line 3; error   : Other\n"
                     "ptxas fatal   : Ptx assembly aborted due to errors\n";
  CHECK_STR(tg_assembly_complaint(&arena, said, (tg_bytes){ptx, sizeof ptx - 1}),
            "line 2: Not a name: 'nonsense', in `nonsense %r1;` (and 1 more)");
  CHECK_STR(tg_assembly_complaint(&arena, "ptxas fatal   : no such arch", (tg_bytes){ptx, sizeof ptx - 1}), "no such arch");
  CHECK_STR(tg_assembly_complaint(&arena, "k, line 99; error : x", (tg_bytes){ptx, sizeof ptx - 1}), "x");
  CHECK_STR(tg_assembly_complaint(&arena, "gibberish", (tg_bytes){ptx, sizeof ptx - 1}), "gibberish");
  tg_arena_free(&arena);
}

typedef struct bad_job {
  tg_arena *arena;
} bad_job;

static void bad_body(void *arg) {
  bad_job *j = arg;
  char text[] = ".version 7.0\n.target sm_80\nnonsense\n";
  tg_assembly assembly;
  tg_assemble(ctx, j->arena, "sm_80", (tg_bytes){text, sizeof text - 1}, &assembly);
}

// What each of the two assemblers makes of one kernel, each looked for alone; a disassembler counts the same in both.
static void test_tools(void) {
  static const struct {
    const char *hidden, *used;
    tg_cuda_tool tool;
  } cases[] = {{"TEGULA_NVJITLINK", "ptxas 1", TG_CUDA_PTXAS}, {"TEGULA_PTXAS", "nvJitLink 13", TG_CUDA_NVJITLINK}};
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  for (int i = 0; i < 2; i++) {
    if (getenv(cases[i].hidden)) continue; // somebody's own choice
    setenv(cases[i].hidden, "", 1);
    bad_job bad = {.arena = &arena};
    const bool found = tg_cuda_find(&arena, cases[i].tool) != NULL;
    CHECK(tg_protect(ctx, bad_body, &bad) == (found ? TG_FAILED : TG_INVALID));
    CHECKF(strstr(tg_error_message(ctx), found ? "line 3: Parsing error" : "no cubin without an assembler"), "%s", tg_error_message(ctx));
    static const tg_binding warps = {"warps", "8"};
    compile_job j = {.name = "gemm_bf16", .want = "report", .settings = {1, &warps}};
    if (found) {
      CHECKF(compile(&j) == TG_OK, "%s", tg_error_message(ctx));
      tg_record *record = tg_record_from_json(ctx, &j.arena, j.product.record, j.product.record_size);
      const tg_record_launch *launch = &record->launches[0];
      CHECKF(!strncmp(record->tool, cases[i].used, strlen(cases[i].used)), "%s", record->tool);
      CHECKF(launch->registers == record->registers && launch->registers > 32 && launch->spilled_bytes == 0, "%d registers, %d spilled",
             launch->registers, launch->spilled_bytes);
      // 64 x 64 x 32 on 8 warps: 4 x 8 x 2 / 8 of m16n8k16 each trip, which no assembler changes.
      const bool counted = tg_disassembler_find(&arena) != NULL;
      CHECKF(launch->loop_matrix == (counted ? 8 : -1), "%d matrix instructions", launch->loop_matrix);
      CHECKF(!counted || (launch->loop_instructions > 16 && launch->loop_instructions < 80), "%d instructions", launch->loop_instructions);
      if (!counted) printf("no disassembler: loops were not counted\n");
      tg_arena_free(&j.arena);
    } else {
      printf("no %s: not tried\n", cases[i].used);
    }
    unsetenv(cases[i].hidden);
  }
  tg_arena_free(&arena);
}

// A product and a reduction for each architecture. (test_nvptx_archs compiles the whole library.)
static void every_arch(void) {
  const tg_target_info *targets;
  const int n = tg_targets(ctx, &targets);
  for (int i = 0; i < 2 * n; i++) {
    const char *name = targets[i / 2].name;
    if (strncmp(name, "nvptx:", 6)) continue;
    compile_job j = {.name = i % 2 ? "gemm_bf16" : "rmsnorm", .want = "obj", .target = name};
    CHECKF(compile(&j) == TG_OK && j.product.bytes.size > 64, "%s: %s", name, tg_error_message(ctx));
    tg_arena_free(&j.arena);
  }
}

// Every kernel that the lowering takes, through NVIDIA's own assembler.
static void test_ptxas(void) {
  static const char *const kernels[] = {"gemm_bf16",     "rmsnorm",         "swiglu",   "swiglu_quantize",
                                        "quantize_rows", "quantize_blocks", "gemm_fp8", "moe_dispatch"};
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  if (!tg_assembler_find(&arena)) {
    compile_job j = {.name = "rmsnorm", .want = "obj"};
    CHECK(compile(&j) == TG_INVALID && strstr(tg_error_message(ctx), "no cubin without an assembler"));
    tg_arena_free(&j.arena);
    printf("skipped: no assembler of NVIDIA's is installed, so nothing has checked the PTX but its text\n");
    tg_arena_free(&arena);
    return;
  }
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    for (int variant = 0; variant < (i < 2 ? 2 : 1); variant++) {
      compile_job j = {.name = kernels[i], .want = "obj", .variant = variant};
      CHECKF(compile(&j) == TG_OK, "%s: %s", kernels[i], tg_error_message(ctx));
      CHECK(j.product.bytes.size > 64 && !memcmp(j.product.bytes.data, "\177ELF", 4));
      tg_record *record = tg_record_from_json(ctx, &j.arena, j.product.record, j.product.record_size);
      CHECKF(record->registers > 8 && record->spilled_bytes == 0, "%s: %d registers, %d bytes spilled", kernels[i], record->registers,
             record->spilled_bytes);
      tg_arena_free(&j.arena);
    }
  every_arch();
  bad_job bad = {.arena = &arena};
  CHECK(tg_protect(ctx, bad_body, &bad) == TG_FAILED && strstr(tg_error_message(ctx), "does not take the PTX"));
  tg_arena_free(&arena);
}

// The least and the greatest are one instruction each, with and without NaN; also of each element of a vector.
static void test_least(void) {
  static const char *const ops[][2] = {{"min", "min.NaN.f32"}, {"max", "max.NaN.f32"}, {"minnum", "min.f32"}, {"maxnum", "max.f32"}};
  for (int i = 0; i < 4; i++) {
    tg_arena arena;
    tg_arena_init(&arena, ctx);
    char text[1024];
    snprintf(text, sizeof text,
             "kernel k lane {\n  output O : f32[64]\n  launch k_0 (1) block (32, 1, 1) (%%o : ptr<global> = O) {\n"
             "    %%x = lload %%o {type = f32[2], align = 8} : f32[2]\n    %%a = extract %%x {i = 0} : f32\n    %%b = extract %%x {i = 1} "
             ": f32\n"
             "    %%y = %s %%a, %%b : f32\n    %%s = splat %%y {n = 2} : f32[2]\n    %%z = %s %%x, %%s : f32[2]\n"
             "    lstore %%o, %%z {align = 8}\n  }\n}\n",
             ops[i][0], ops[i][0]);
    lane_job j = {.arena = &arena, .text = text};
    CHECKF(tg_protect(ctx, lane_body, &j) == TG_OK, "%s", tg_error_message(ctx));
    char *ptx = calloc(j.ptx.size + 1, 1);
    memcpy(ptx, j.ptx.data, j.ptx.size);
    CHECKF(count(ptx, ops[i][1]) == 3 && !strstr(ptx, "setp"), "%s:\n%s", ops[i][0], ptx);
    free(ptx);
    tg_arena_free(&arena);
  }
}

// Powers of two and reciprocals by the machine: subnormal results are kept where the lowering asks for 2^x of any x.
static void test_approximations(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  lane_job j = {
      .arena = &arena,
      .text = "kernel k lane {\n  output O : f32[64]\n  launch k_0 (1) block (32, 1, 1) (%o : ptr<global> = O) {\n"
              "    %x = lload %o {type = f32, align = 4} : f32\n    %a = ex2 %x : f32\n    %b = rcp %a : f32\n    %c = exp2 %b : f32\n"
              "    lstore %o, %c {align = 4}\n  }\n}\n"};
  CHECKF(tg_protect(ctx, lane_body, &j) == TG_OK, "%s", tg_error_message(ctx));
  char *ptx = calloc(j.ptx.size + 1, 1);
  memcpy(ptx, j.ptx.data, j.ptx.size);
  CHECKF(count(ptx, "ex2.approx.ftz.f32") == 1 && count(ptx, "rcp.approx.ftz.f32") == 1 && count(ptx, "ex2.approx.f32") == 1, "%s", ptx);
  free(ptx);
  tg_arena_free(&arena);
  compile_job swiglu = {.name = "swiglu", .want = "asm", .settings = {1, &one_warp}};
  CHECKF(compile(&swiglu) == TG_OK, "%s", tg_error_message(ctx));
  ptx = text_of(&swiglu);
  const int powers = count(ptx, "ex2.approx.ftz.f32");
  CHECK(powers > 0 && count(ptx, "rcp.approx.ftz.f32") == powers && !strstr(ptx, "div.rn.f32"));
  free(ptx);
  tg_arena_free(&swiglu.arena);
}

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  test_text();
  test_forms();
  test_lane();
  test_tensor_memory();
  test_least();
  test_approximations();
  test_report();
  test_tools();
  test_ptxas();
  tg_context_free(ctx);
  return test_done();
}
