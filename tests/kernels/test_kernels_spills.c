// label: long
// Every library kernel in its default config, every variant, for every NVIDIA architecture: ptxas spills no byte and warns of no C75xx,
// which is what it says when it cannot keep wgmma in flight. Skipped where there is no assembler.
#include "targets/machines.h"
#include "targets/nvptx/assemble.h"
#include "targets/run.h"
#include "test.h"

static tg_context *ctx;

// What is not helped yet, with the reason. An entry that holds no more is said.
#define ALONE "elements come one by one, each in a register of its own, and ptxas moves more of them ahead than there is room for"
static const struct {
  const char *kernel, *arch;
  int variant, most; // bytes
  const char *why;
} exceptions[] = {
    {"gemm_fp8", "sm_100a", 1, 12, ALONE},
    {"gemm_fp8_dgrad", "sm_100a", 1, 8, ALONE},
    {"gemm_fp8_wgrad", "sm_100a", 1, 4, ALONE},
    {"grouped_gemm_fp8", "sm_100a", 1, 88, ALONE},
    {"grouped_gemm_fp8_masked", "sm_100a", 1, 104, ALONE},
    {"grouped_gemm_fp8_wgrad", "sm_100a", 1, 24, ALONE},
    {"moe_combine", "sm_100a", 1, 24, ALONE},
    {"grouped_gemm_fp8_masked", "sm_80", 1, 20, ALONE},
    {"grouped_gemm_fp8_masked", "sm_86", 1, 20, ALONE},
    {"grouped_gemm_fp8_wgrad", "sm_86", 1, 8, ALONE},
    {"grouped_gemm_fp8", "sm_90a", 1, 92, ALONE},
    {"grouped_gemm_fp8_masked", "sm_90a", 1, 76, ALONE},
    {"grouped_gemm_fp8_wgrad", "sm_90a", 1, 12, ALONE},
    {"mla_decode", "sm_90a", 1, 52, ALONE},
    {"mla_decode_sparse", "sm_90a", 1, 12, ALONE},
    {"mla_prefill", "sm_90a", 1, 24, ALONE},
    {NULL, NULL, 0, 0, NULL},
};

// The statics of DeepSeek-V3.2's model: heads of the indexer, experts, experts of a token, widths of a head.
static const tg_binding model[] = {{"H", "64"}, {"E", "256"}, {"k", "8"}, {"Dqk", "192"}, {"Dv", "128"}};

static tg_bindings statics_of(const tg_kernel *signature) {
  static tg_binding at[sizeof model / sizeof *model];
  int n = 0;
  for (int i = 0; i < signature->nsymbols; i++)
    for (size_t k = 0; k < sizeof model / sizeof *model; k++)
      if (signature->symbols[i].kind == TG_SYM_STATIC && signature->symbols[i].value < 0 &&
          !strcmp(signature->symbols[i].name, model[k].name))
        at[n++] = model[k];
  return (tg_bindings){n, at};
}

typedef struct one_kernel {
  const char *kernel, *arch;
  int products; // compiled
} one_kernel;

// The row of what is excepted; the last, of nothing, when there is none.
static int exception_of(const one_kernel *c, int variant) {
  int i = 0;
  while (exceptions[i].kernel &&
         (strcmp(exceptions[i].kernel, c->kernel) || strcmp(exceptions[i].arch, c->arch) || exceptions[i].variant != variant))
    i++;
  return i;
}

static void check_record(const one_kernel *c, const tg_record *record, int variant) {
  const int row = exception_of(c, variant), spilled = record->spilled_bytes;
  CHECKF(spilled >= 0 && spilled <= exceptions[row].most, "%s on %s, variant %d: %d bytes spilled", c->kernel, c->arch, variant, spilled);
  if (exceptions[row].kernel && !spilled)
    printf("%s on %s, variant %d: spills no more; excepted because %s\n", c->kernel, c->arch, variant, exceptions[row].why);
  for (int i = 0; i < record->nwarnings; i++)
    CHECKF(!strstr(record->warnings[i], "C75"), "%s on %s, variant %d: %s", c->kernel, c->arch, variant, record->warnings[i]);
}

static void check_kernel(void *arg) {
  one_kernel *c = arg;
  tg_source *source;
  tg_kernel *signature;
  tg_check_status(ctx, tg_source_load(ctx, c->kernel, &source));
  tg_check_status(ctx, tg_source_signature(source, &(tg_bindings){0}, &signature));
  char target[32];
  snprintf(target, sizeof target, "nvptx:%s", c->arch);
  tg_compile_options options = {.target = target, .statics = statics_of(signature)};
  tg_artifact *artifact;
  tg_check_status(ctx, tg_compile(ctx, source, &options, &artifact));
  for (int v = 0; v < artifact->nvariants; v++) {
    tg_bytes code;
    check_record(c, tg_artifact_variant(artifact, v, &code), v);
    c->products++;
  }
  tg_artifact_free(artifact);
  tg_source_free(source);
}

static const char *const archs[] = {
#define ARCH(name, ptx, units, doc) name,
#include "targets/nvptx/archs.def"
#undef ARCH
};

static bool is_asked(int argc, char **argv, const char *arch) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], arch)) return true;
  return argc < 2;
}

int main(int argc, char **argv) {
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  const char *const *names;
  int n, products = 0;
  if (!tg_assembler_find(&ctx->arena)) {
    printf("skipped: no assembler of NVIDIA's was found\n");
    return 0;
  }
  CHECK(tg_library(ctx, &n, &names) == TG_OK && n >= 38);
  for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
    if (!is_asked(argc, argv, archs[a])) continue;
    for (int k = 0; k < n; k++) {
      one_kernel c = {names[k], archs[a], 0};
      CHECKF(tg_protect(ctx, check_kernel, &c) == TG_OK, "%s on %s: %s", c.kernel, c.arch, tg_error_message(ctx));
      products += c.products;
    }
  }
  CHECK(products >= 2 * n);
  tg_context_free(ctx);
  return test_done();
}
