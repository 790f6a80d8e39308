// compile: a kernel to any of its forms, for any target, without a device.
#include "cli/cli.h"

static const cli_option options[] = {
    {"--target", "T", "what to compile for: a target, a machine (tegula targets, tegula machines) or a description's FILE.lua", "@targets"},
    {"--set", "P=V,…", "options and meta-parameters", NULL},
    {"--shape", "S=V,…", "values of dims for --emit meta; specialises statics alone", NULL},
    {"--fix", "S=V,…", "specialise on these dims", NULL},
    {"--emit", "FORM", "tile, lane, llvm, asm, obj, source or meta (default asm)", "tile lane llvm asm obj source meta"},
    {"-o", "FILE", "write there instead of standard output", "@files"},
    {"--no-cache", NULL, "compile even when the cache has it", NULL},
    {0}};

static int run(cli *c) {
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  const char *target = cli_value(c, "--target", NULL), *form = cli_value(c, "--emit", "asm"), *file = cli_value(c, "-o", NULL);
  if (!target) cli_usage("compile: --target is missing; 'tegula targets' lists them");
  tg_bindings shape = cli_bindings(c, "--shape");
  tg_compile_options compile = {.target = target,
                                .settings = cli_bindings(c, "--set"),
                                .statics = cli_bindings(c, "--fix"),
                                .shape = shape,
                                .no_cache = cli_has(c, "--no-cache")};
  tg_status status = cli_source(c, &source);
  if (!status) status = tg_compile(c->ctx, source, &compile, &artifact);
  const void *data = NULL;
  size_t size = 0;
  if (!status) status = tg_artifact_emit(artifact, form, shape.n ? &shape : NULL, &data, &size);
  int exit_status = status ? cli_fail(c, status) : 0;
  if (!status && !strcmp(form, "obj") && !file) cli_usage("compile: --emit obj is binary; give -o FILE");
  if (!status) exit_status = cli_write(file, data, size);
  tg_artifact_free(artifact);
  tg_source_free(source);
  return exit_status;
}

const cli_command cli_compile = {
    .name = "compile",
    .arguments = "KERNEL",
    .required = "--target",
    .summary = "Compiles a kernel and prints one of its forms",
    .examples = "  tegula compile gemm_fp8 --target cpu --emit lane\n"
                "  tegula compile rmsnorm --target nvptx:sm_80 --emit asm -o rmsnorm.ptx\n"
                "  tegula compile gemm_f32 --target mychip.lua --emit asm\n"
                "  tegula compile gemm_bf16 --target nvptx:sm_80 --set variant=0 --emit meta\n"
                "  tegula compile gemm_bf16 --target nvptx:sm_80 --shape M=64,N=576,K=512 --emit meta\n",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .words = "@kernels",
    .run = run,
};
