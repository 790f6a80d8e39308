// PTX of library kernels: what the text must contain, what ptxas says of it where it is installed, and the launch record beside it.
#include "targets/finish.h"
#include "targets/nvptx/ptxas.h"
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
  const char *text;
  tg_arena *arena;
  tg_bytes ptx;
} lane_job;

static void lane_body(void *arg) {
  lane_job *j = arg;
  const tg_family *family;
  const tg_machine *machine = tg_target_find(ctx, "nvptx:sm_80", &family);
  tg_kernel *lane = tg_parse(ctx, j->text, strlen(j->text), "test.lane");
  if (tg_verify(lane)) tg_rethrow(ctx);
  tg_record *record = tg_record_make(j->arena, lane, "nvptx:sm_80");
  CHECK(record->launches[0].static_shared_bytes == 1024);
  j->ptx = tg_finish_nvptx(lane, machine, "asm", j->arena, record);
  if (tg_ptxas_find(j->arena)) CHECK(tg_finish_nvptx(lane, machine, "obj", j->arena, record).size > 64);
  tg_kernel_free(lane);
}

static void test_lane(void) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  lane_job j = {
      .arena = &arena,
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

static void test_report(void) {
  tg_ptxas_report r = tg_ptxas_read_report("ptxas info    : Compiling entry function 'a' for 'sm_80'\n"
                                           "    8 bytes stack frame, 16 bytes spill stores, 12 bytes spill loads\n"
                                           "ptxas info    : Used 40 registers, used 1 barriers, 388 bytes cmem[0]\n"
                                           "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                                           "ptxas info    : Used 128 registers, used 0 barriers\n");
  CHECK(r.registers == 128 && r.spilled_bytes == 16);
  r = tg_ptxas_read_report("nothing to see");
  CHECK(r.registers == -1 && r.spilled_bytes == -1);
}

typedef struct bad_job {
  tg_arena *arena;
} bad_job;

static void bad_body(void *arg) {
  bad_job *j = arg;
  char text[] = ".version 7.0\n.target sm_80\nnonsense\n";
  tg_ptxas_report report;
  tg_ptxas_run(ctx, tg_ptxas_find(j->arena), "sm_80", (tg_bytes){text, sizeof text - 1}, j->arena, &report);
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
  if (!tg_ptxas_find(&arena)) {
    compile_job j = {.name = "rmsnorm", .want = "obj"};
    CHECK(compile(&j) == TG_INVALID && strstr(tg_error_message(ctx), "no cubin without ptxas"));
    tg_arena_free(&j.arena);
    printf("skipped: ptxas is not installed, so nothing has checked the PTX but its text\n");
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

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  test_text();
  test_forms();
  test_lane();
  test_report();
  test_ptxas();
  tg_context_free(ctx);
  return test_done();
}
