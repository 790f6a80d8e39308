// compile: a kernel to any of its forms, for any target, without a device.
#include <cjson/cJSON.h>
#include <math.h>

#include "cli/cli.h"

static const cli_option options[] = {
    {"--target", "T", "what to compile for: a target, a machine (tegula targets, tegula machines) or a description's FILE.lua", "@targets"},
    {"--set", "P=V,…", "options and meta-parameters", NULL},
    {"--shape", "S=V,…", "values of dims for --emit meta; specialises statics alone", NULL},
    {"--fix", "S=V,…", "specialise on these dims", NULL},
    {"--emit", "FORM", "tile, lane, layouts, layouts-svg, llvm, asm, obj, source or meta (default asm)",
     "tile lane layouts layouts-svg llvm asm obj source meta"},
    {"-o", "FILE", "write there instead of standard output", "@files"},
    {"--report", NULL, "registers, spills, shared memory, occupancy, main loop; with --shape waves and roofline", NULL},
    {"--json", NULL, "with --report: one JSON document on standard output", NULL},
    {"--no-cache", NULL, "compile even when the cache has it", NULL},
    {0}};

// ---- the report

static double number_of(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *text_of(const cJSON *object, const char *key) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
  return text ? text : "";
}

static void print_launch(const cJSON *launch) {
  const cJSON *occupancy = cJSON_GetObjectItemCaseSensitive(launch, "occupancy"), *loop = cJSON_GetObjectItemCaseSensitive(launch, "loop");
  const double registers = number_of(launch, "registers"), spilled = number_of(launch, "spilled_bytes"), waves = number_of(launch, "waves");
  printf("  %s: %.0f threads", text_of(launch, "entry"), number_of(launch, "threads"));
  if (!isnan(registers)) printf(", %.0f registers", registers);
  if (!isnan(spilled)) printf(", %.0f bytes spilled", spilled);
  printf(", shared memory %.0f bytes static, %.0f dynamic\n", number_of(launch, "static_shared_bytes"), number_of(launch, "shared_bytes"));
  if (cJSON_IsObject(occupancy))
    printf("    occupancy  %s%.0f blocks a multiprocessor, %.0f of %.0f warps; %s allow%s no more%s\n", isnan(registers) ? "at most " : "",
           number_of(occupancy, "blocks"), number_of(occupancy, "warps"), number_of(occupancy, "most_warps"), text_of(occupancy, "limiter"),
           strcmp(text_of(occupancy, "limiter"), "shared memory") ? "" : "s",
           isnan(registers) ? ", registers may: no assembler says how many" : "");
  if (cJSON_IsObject(loop))
    printf("    main loop  %.0f instructions, %.0f of them matrix instructions\n", number_of(loop, "instructions"),
           number_of(loop, "matrix_instructions"));
  if (!isnan(number_of(launch, "blocks"))) printf("    grid       %.0f blocks", number_of(launch, "blocks"));
  if (!isnan(waves)) printf(", %.2f waves", waves);
  if (!isnan(number_of(launch, "blocks"))) printf("\n");
}

static void print_roofline(const cJSON *roofline) {
  const double compute = number_of(roofline, "compute_seconds"), memory = number_of(roofline, "memory_seconds");
  printf("  roofline, by published figures:\n");
  if (!isnan(compute))
    printf("    compute    %.3f ms: %.4g flops at the %s peak\n", 1e3 * compute, number_of(roofline, "flops"), text_of(roofline, "units"));
  if (!isnan(memory))
    printf("    memory     %.3f ms: %.4g bytes once each%s\n", 1e3 * memory, number_of(roofline, "bytes"),
           cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(roofline, "fits_cache")) ? "; they fit the second-level cache" : "");
}

static void print_report(const cJSON *json) {
  const cJSON *item, *roofline = cJSON_GetObjectItemCaseSensitive(json, "roofline");
  char *config = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(json, "config"));
  const char *tool = text_of(json, "tool");
  printf("%s for %s (%s), variant %.0f%s%s\n  config %s\n", text_of(json, "kernel"), text_of(json, "target"), text_of(json, "machine"),
         number_of(json, "variant"), *tool ? ", assembled by " : "", tool, config ? config : "");
  free(config);
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "launches")) print_launch(item);
  if (roofline) print_roofline(roofline);
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "warnings")) printf("  warning: %s\n", cJSON_GetStringValue(item));
}

static int report(cli *c, const tg_compile_options *options) {
  tg_source *source = NULL;
  char *document = NULL;
  tg_status status = cli_source(c, &source);
  if (!status) status = tg_report(c->ctx, source, options, &document);
  const int exit_status = status ? cli_fail(c, status) : 0;
  if (!status && cli_has(c, "--json")) {
    printf("%s\n", document);
  } else if (!status) {
    cJSON *json = cJSON_Parse(document);
    print_report(json);
    cJSON_Delete(json);
  }
  tg_string_free(c->ctx, document);
  tg_source_free(source);
  return exit_status;
}

// ---- the command

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
  if (cli_has(c, "--report") && (cli_has(c, "--emit") || file))
    cli_usage("compile: --report goes to standard output, in the place of --emit and -o");
  if (cli_has(c, "--json") && !cli_has(c, "--report")) cli_usage("compile: --json is for --report; '--emit meta' is JSON already");
  if (cli_has(c, "--report")) return report(c, &compile);
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
                "  tegula compile gemm_bf16 --target nvptx:sm_80 --set variant=0 --emit layouts-svg -o layouts.svg\n"
                "  tegula compile gemm_f32 --target mychip.lua --emit asm\n"
                "  tegula compile gemm_bf16 --target nvptx:sm_80 --set variant=0 --emit meta\n"
                "  tegula compile gemm_bf16 --target nvptx:sm_80 --shape M=64,N=576,K=512 --emit meta\n"
                "  tegula compile gemm_fp8 --target l40s --set variant=0 --shape M=4096,N=7168,K=2048 --report\n",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .words = "@kernels",
    .run = run,
};
