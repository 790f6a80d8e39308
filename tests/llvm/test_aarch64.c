// AArch64 objects: every library kernel cross-compiled, its ELF header and entry; the instructions that its baseline is known for.
#include <elf.h>

#include "targets/finish.h"
#include "test.h"

static tg_context *ctx;

typedef struct compile_job {
  const char *name, *want;
  tg_bindings settings;
  tg_arena arena;
  tg_product product;
} compile_job;

// Values for what a kernel takes from its tensors' shapes when it is traced.
static tg_bindings statics_of(const char *kernel) {
  static const tg_binding heads[] = {{"Dqk", "192"}, {"Dv", "128"}}, chosen = {"k", "8"}, experts = {"E", "256"}, queries = {"H", "64"};
  if (!strcmp(kernel, "mla_prefill")) return (tg_bindings){2, heads};
  if (!strcmp(kernel, "moe_combine")) return (tg_bindings){1, &chosen};
  if (!strcmp(kernel, "moe_gate")) return (tg_bindings){1, &experts};
  if (!strcmp(kernel, "indexer_logits")) return (tg_bindings){1, &queries};
  return (tg_bindings){0};
}

static void compile_body(void *arg) {
  compile_job *j = arg;
  tg_source *source;
  tg_kernel *tile;
  const tg_bindings none = {0}, statics = statics_of(j->name);
  if (tg_source_load(ctx, j->name, &source)) tg_rethrow(ctx);
  const tg_status status = tg_source_trace(source, &none, &statics, &tile);
  tg_source_free(source);
  if (status) tg_rethrow(ctx);
  tg_job job = {.target = "cpu:aarch64", .want = j->want, .settings = j->settings};
  job.ir = tg_print(&j->arena, tile, &job.ir_size);
  tg_kernel_free(tile);
  tg_compile_here(ctx, &job, &j->arena, &j->product);
}

static bool compile(compile_job *j) {
  tg_arena_init(&j->arena, ctx);
  const tg_status status = tg_protect(ctx, compile_body, j);
  CHECKF(status == TG_OK, "%s: %s", j->name, tg_error_message(ctx));
  return status == TG_OK;
}

static void check_object(const char *name) {
  compile_job j = {.name = name, .want = "obj"};
  if (compile(&j)) {
    const tg_bytes object = j.product.bytes;
    const Elf64_Ehdr *head = object.data;
    CHECK(object.size > sizeof *head && !memcmp(head->e_ident, ELFMAG, SELFMAG) && head->e_ident[EI_CLASS] == ELFCLASS64);
    CHECKF(head->e_machine == EM_AARCH64 && head->e_type == ET_DYN, "%s: machine %d, type %d", name, head->e_machine, head->e_type);
    char entry[128];
    snprintf(entry, sizeof entry, "%s_0", name);
    CHECKF(memmem(object.data, object.size, entry, strlen(entry) + 1), "%s is not there", entry);
  }
  tg_arena_free(&j.arena);
}

static bool assembly_has(const char *name, const char *key, const char *value, const char *instruction) {
  const tg_binding one = {key, value};
  compile_job j = {.name = name, .want = "asm", .settings = {key != NULL, &one}};
  const bool has = compile(&j) && memmem(j.product.bytes.data, j.product.bytes.size, instruction, strlen(instruction));
  tg_arena_free(&j.arena);
  return has;
}

int main(void) {
  if (tg_context_new(&(tg_config){.root = ROOT_DIR, .cache_dir = "/nonexistent"}, &ctx) != TG_OK) return 1;
  int n;
  const char *const *names;
  CHECK(tg_library(ctx, &n, &names) == TG_OK && n > 0);
  for (int i = 0; i < n; i++) check_object(names[i]);
  CHECK(assembly_has("gemm_f32", NULL, NULL, "fmla"));
  CHECK(!assembly_has("gemm_f32", NULL, NULL, "xmm"));
  tg_context_free(ctx);
  return test_done();
}
