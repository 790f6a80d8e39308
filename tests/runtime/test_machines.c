// Targets and machines: names, the host, a user's own descriptions and everything that can be wrong with them.
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
#include <unistd.h>

#include "targets/machines.h"

#include "test.h"

static char path[] = "/tmp/tegula-machine-XXXXXX";

static tg_status load_bytes(tg_context *ctx, const char *text, size_t size) {
  FILE *file = fopen(path, "w");
  fwrite(text, 1, size, file);
  fclose(file);
  return tg_machine_load(ctx, path);
}

static tg_status load(tg_context *ctx, const char *text) { return load_bytes(ctx, text, strlen(text)); }

static void refuse(tg_context *ctx, const char *text, const char *says) {
  tg_status status = load(ctx, text);
  const char *message = tg_error_message(ctx);
  CHECKF(status == TG_INVALID && strstr(message, says) && strstr(message, "tegula-machine-"), "%.200s\n%s", text, message);
}

static const tg_machine_info *machine(tg_context *ctx, const char *name) {
  const tg_machine_info *all;
  int n = tg_machines(ctx, &all);
  for (int i = 0; i < n; i++) {
    if (strcmp(all[i].name, name) == 0) return &all[i];
  }
  return NULL;
}

static double figure(const tg_machine_info *machine, const char *name) {
  for (int i = 0; machine && i < machine->nfigures; i++) {
    if (strcmp(machine->figures[i].name, name) == 0) return machine->figures[i].value;
  }
  return -1;
}

struct find_call {
  tg_context *ctx;
  const char *name;
  const tg_machine *machine;
  const tg_family *family;
};
static void find_body(void *arg) {
  struct find_call *call = arg;
  call->machine = tg_target_find(call->ctx, call->name, &call->family);
}

static void built_in(tg_context *ctx) {
  static const struct {
    const char *target, *machine, *arch, *family;
  } cases[] = {{"cpu:generic", "cpu-generic", "x86-64", "cpu"},
               {"cpu:avx2", "cpu-avx2", "x86-64-v3", "cpu"},
               {"cpu:avx512", "cpu-avx512", "x86-64-v4", "cpu"},
               {"cpu-avx512bf16", "cpu-avx512bf16", "x86-64-v4", "cpu"},
               {"nvptx:sm_80", "a100", "sm_80", "nvptx"},
               {"nvptx", "a100", "sm_80", "nvptx"},
               {"a100", "a100", "sm_80", "nvptx"},
               {"nvptx:sm_86", "rtx3090", "sm_86", "nvptx"},
               {"nvptx:sm_89", "l40s", "sm_89", "nvptx"},
               {"rtx4090", "rtx4090", "sm_89", "nvptx"},
               {"nvptx:sm_90a", "h100", "sm_90a", "nvptx"},
               {"h200", "h200", "sm_90a", "nvptx"},
               {"nvptx:sm_100a", "b200", "sm_100a", "nvptx"},
               {"nvptx:sm_120a", "rtx5090", "sm_120a", "nvptx"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct find_call call = {.ctx = ctx, .name = cases[i].target};
    CHECKF(tg_protect(ctx, find_body, &call) == TG_OK, "%s: %s", cases[i].target, tg_error_message(ctx));
    CHECK_STR(call.machine->name, cases[i].machine);
    CHECK_STR(call.machine->arch, cases[i].arch);
    CHECK_STR(call.family->name, cases[i].family);
  }
  static const char *const unknown[] = {"", "gpu", "cpu:", "cpu:sse9", "nvptx:sm_10", "cpu:avx2:x", "A100", "cpu-avx3"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    struct find_call call = {.ctx = ctx, .name = unknown[i]};
    CHECKF(tg_protect(ctx, find_body, &call) == TG_INVALID && strstr(tg_error_message(ctx), "cpu:avx512bf16") &&
               strstr(tg_error_message(ctx), "a100"),
           "%s: %s", unknown[i], tg_error_message(ctx));
  }
  // Every figure is declared with its unit and says where it comes from.
  const tg_machine_info *all;
  int n = tg_machines(ctx, &all);
  CHECK(n >= 5);
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < all[i].nfigures; j++)
      CHECKF(strlen(all[i].figures[j].source) > 8 && all[i].figures[j].unit, "%s.%s", all[i].name, all[i].figures[j].name);
  }
  CHECK(figure(machine(ctx, "a100"), "shared_bytes") == 163 * 1024 && figure(machine(ctx, "a100"), "micro_rows") == -1);
  // The CUDA C++ Programming Guide's table, by compute capability: KB of a block and of a multiprocessor, warps and blocks of one.
  static const struct {
    const char *machine;
    int block, sm, warps, blocks;
  } specified[] = {{"a100", 163, 164, 64, 32},   {"a800", 163, 164, 64, 32}, {"rtx3090", 99, 100, 48, 16}, {"l40s", 99, 100, 48, 24},
                   {"rtx4090", 99, 100, 48, 24}, {"b200", 227, 228, 64, 32}, {"h100", 227, 228, 64, 32},   {"h20", 227, 228, 64, 32},
                   {"h200", 227, 228, 64, 32},   {"h800", 227, 228, 64, 32}, {"rtx5090", 99, 100, 48, 24}};
  for (size_t i = 0; i < sizeof specified / sizeof *specified; i++) {
    const tg_machine_info *m = machine(ctx, specified[i].machine);
    CHECKF(m && figure(m, "shared_bytes") == specified[i].block * 1024 && figure(m, "shared_sm") == specified[i].sm * 1024 &&
               figure(m, "warps_sm") == specified[i].warps && figure(m, "blocks_sm") == specified[i].blocks,
           "%s", specified[i].machine);
    CHECK(figure(m, "registers_sm") == 65536 && figure(m, "warp") == 32);
  }
  const char *const like[] = {"cpu-avx512", "cpu-avx512bf16"}; // the second states only what differs
  for (int i = 0; i < 2; i++) {
    CHECK(figure(machine(ctx, like[i]), "vector_bits") == 512 && figure(machine(ctx, like[i]), "micro_lanes") == 32);
    CHECK(figure(machine(ctx, like[i]), "bf16_dot") == i);
  }
  const tg_target_info *targets;
  n = tg_targets(ctx, &targets);
  bool cpu = false, sm80 = false;
  for (int i = 0; i < n; i++) cpu |= !strcmp(targets[i].name, "cpu"), sm80 |= !strcmp(targets[i].name, "nvptx:sm_80");
  CHECK(cpu && sm80);
}

// Whether the processor that this runs on, or what plays it, says that it has AVX-512F.
static bool says_avx512(void) {
  unsigned b = 0;
#if defined(__x86_64__)
  unsigned a, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) b = 0;
#endif
  return b >> 16 & 1;
}

// Against what the kernel says of this processor.
static void host(tg_context *ctx) {
  struct find_call call = {.ctx = ctx, .name = "cpu"};
  CHECK(tg_protect(ctx, find_body, &call) == TG_OK && call.machine->arch == NULL);
  char line[8192];
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file && fgets(line, sizeof line, file) && strncmp(line, "flags", 5) != 0) continue;
  if (file) fclose(file);
  if (!file || strncmp(line, "flags", 5) != 0) return;
  for (char *p = line; *p; p++) *p = *p == '\n' || *p == '\t' ? ' ' : *p;
  if (!strstr(line, " avx512f ") != !says_avx512()) return; // as under valgrind, which has no AVX-512
  bool avx2 = strstr(line, " avx2 ") && strstr(line, " fma ") && strstr(line, " f16c "),
       avx512 = strstr(line, " avx512vl ") && strstr(line, " avx512bw ");
  CHECK(call.machine->vector_bits == (avx512 ? 512 : avx2 ? 256 : 128));
  CHECK(call.machine->bf16_dot == (strstr(line, " avx512_bf16 ") && strstr(line, " avx512vbmi ") ? 1 : 0));
  CHECK_STR(tg_machine_host_signature(ctx), tg_machine_host_signature(ctx));
}

// A file may be named wherever a target is, as often as one likes.
static void by_file(tg_context *ctx) {
  static const char text[] = "return { name = 'filed', target = 'cpu:avx2', arch = 'znver3', doc = 'd', figures = {} }";
  char name[64];
  snprintf(name, sizeof name, "%s.lua", path);
  FILE *file = fopen(name, "w");
  fputs(text, file);
  fclose(file);
  struct find_call call = {.ctx = ctx, .name = name}, again = call;
  CHECKF(tg_protect(ctx, find_body, &call) == TG_OK, "%s", tg_error_message(ctx));
  CHECK_STR(call.machine->name, "filed");
  CHECK_STR(call.family->name, "cpu");
  CHECK(tg_protect(ctx, find_body, &again) == TG_OK && again.machine == call.machine);
  unlink(name);
  struct find_call none = {.ctx = ctx, .name = "/nowhere/chip.lua"};
  CHECK(tg_protect(ctx, find_body, &none) == TG_INVALID && strstr(tg_error_message(ctx), "/nowhere/chip.lua"));
}

#define HEAD "return { name = 'mine', target = 'cpu:avx2', arch = 'znver3', doc = 'my machine', "

static void own(tg_context *ctx) {
  CHECK(tg_machine_load(ctx, "/nowhere/at/all.lua") == TG_INVALID && strstr(tg_error_message(ctx), "/nowhere/at/all.lua"));
  refuse(ctx, "return 5", "does not return a table");
  refuse(ctx, "return {", "expected");
  refuse(ctx, "\x1bLua", "binary");
  refuse(ctx, "return { target = 'cpu:avx2', arch = 'x', doc = 'd', figures = {} }", "'name' is missing");
  refuse(ctx, HEAD "}", "'figures' is not a table");
  refuse(ctx, "-- arch = 'no'\nreturn {\n  name = 'mine',\n  target = 'cpu:avx2',\n  arch = 5,\n}", ":5: field 'arch' is not a string");
  refuse(ctx, "\nreturn { name = 'mine', target = 'cpu:avx2', doc = 'd', figures = {} }", ":2: field 'arch' is missing");
  refuse(ctx, HEAD "\nfigures = {\n['warps'] = { 1, source = 's' } } }", ":3: field 'figures.warps' does not exist");
  refuse(ctx, HEAD "colour = 1, figures = {} }", "'colour' does not exist");
  refuse(ctx, HEAD "figures = { warps = { 1, source = 's' } } }", "figures.warps");
  refuse(ctx, HEAD "figures = { warp = 32 } }", "figures.warp");
  refuse(ctx, HEAD "figures = { warp = { '32', source = 's' } } }", "figures.warp");
  refuse(ctx, HEAD "figures = { warp = { 32 } } }", "names no document");
  refuse(ctx, HEAD "figures = { warp = { -1, source = 's' } } }", "figures.warp");
  refuse(ctx, HEAD "figures = { warp = { 0/0, source = 's' } } }", "figures.warp");
  refuse(ctx, HEAD "figures = { micro_lanes = { 0.5, source = 's' } } }", "is not a whole number from 0 to 16777216");
  refuse(ctx, HEAD "figures = { micro_rows = { 1e300, source = 's' } } }", "is not a whole number from 0 to 16777216");
  refuse(ctx, "return { name = 'a b', target = 'cpu:avx2', arch = 'x', doc = 'd', figures = {} }", "'name'");
  refuse(ctx, "return { name = 'a100', target = 'cpu:avx2', arch = 'x', doc = 'd', figures = {} }", "taken");
  refuse(ctx, "return { name = 'm', target = 'cpu:avx9', arch = 'x', doc = 'd', figures = {} }", "'target'");
  refuse(ctx, "return { name = 5, target = 'cpu:avx2', arch = 'x', doc = 'd', figures = {} }", "'name' is not a string");
  static const char zero[] = HEAD "-- \0\nfigures = {} }";
  CHECK(load_bytes(ctx, zero, sizeof zero - 1) == TG_INVALID && strstr(tg_error_message(ctx), "holds a zero byte"));
  refuse(ctx, "while true do end", "steps");                              // endless
  refuse(ctx, "local t = {} for i = 1, 1e9 do t[i] = {t} end", "");       // all memory, or all steps
  refuse(ctx, "local s = 'x' for i = 1, 60 do s = s .. s end", "memory"); // 2^60 bytes
  refuse(ctx, "return os.exit(1)", "os");                                 // nothing is in reach
  refuse(ctx, "return ('x'):rep(10)", "");                                // not even the methods of strings
  refuse(ctx, "return setmetatable({}, {})", "setmetatable");
  CHECK(machine(ctx, "mine") == NULL);
  refuse(ctx, HEAD "like = 'cpu-avx9', figures = {} }", "'like' names no built-in machine");
  CHECKF(load(ctx, HEAD "features = '+sha', figures = { micro_rows = { 5, source = 'the box it came in' } } }") == TG_OK, "%s",
         tg_error_message(ctx));
  CHECK(figure(machine(ctx, "mine"), "micro_rows") == 5);
  struct find_call call = {.ctx = ctx, .name = "mine"};
  CHECK(tg_protect(ctx, find_body, &call) == TG_OK && call.machine->micro_rows == 5);
  CHECK_STR(call.machine->features, "+sha");
  CHECK(strstr(tg_machine_text(ctx, call.machine), "the box it came in") != NULL);
  call.name = "cpu:avx2"; // the target's own machine is still the built-in one
  CHECK(tg_protect(ctx, find_body, &call) == TG_OK && !strcmp(call.machine->name, "cpu-avx2") && !tg_machine_text(ctx, call.machine));
  refuse(ctx, HEAD "figures = {} }", "taken");
  refuse(ctx, "return { name = 'next', target = 'cpu:avx2', like = 'mine', doc = 'd', figures = {} }", "'like'");
  CHECK(load(ctx, "return { name = 'next', target = 'cpu:avx2', like = 'cpu-avx2', doc = 'd', figures = { fma = { 0, source = 's' } } }") ==
        TG_OK);
  call.name = "next";
  CHECK(tg_protect(ctx, find_body, &call) == TG_OK && call.machine->micro_rows == 6 && call.machine->fma == 0);
  CHECK_STR(call.machine->arch, "x86-64-v3");
}

#define GPU(arch)  "return { name = 'gpu', target = 'nvptx:" arch "', arch = '" arch "', doc = 'd', "
#define UNIT(name) "figures = { " name " = { 1, source = 's' } } }"

// What a description takes from an architecture, and what it may not say of one.
static void architectures(tg_context *ctx) {
  CHECK(machine(ctx, "sm_90a") == NULL && machine(ctx, "nvptx") == NULL); // no machines themselves
  CHECK(figure(machine(ctx, "h100"), "warpgroup_mma") == 1 && figure(machine(ctx, "h800"), "warps_sm") == 64);
  CHECK_STR(machine(ctx, "h800")->target, "nvptx:sm_90a"); // like one that is like one
  refuse(ctx, GPU("sm_80") UNIT("tensor_maps"),
         "'figures.tensor_maps' is above 0, but sm_80 has nothing of the kind (only these have: sm_90a");
  refuse(ctx, GPU("sm_100a") UNIT("warpgroup_mma"), "but sm_100a has nothing of the kind (only these have: sm_90a)");
  refuse(ctx, "return { name = 'gpu', like = 'h100', target = 'nvptx:sm_80', doc = 'd' }", "but sm_80 has nothing of the kind");
  refuse(ctx, "return { name = 'gpu', like = 'h100', arch = 'sm_89', doc = 'd' }", "but sm_89 has nothing of the kind");
  refuse(ctx, "return { name = 'gpu', like = 'sm_70', doc = 'd' }", "none of the architectures nvptx, ");
  refuse(ctx, "return { name = 'gpu', like = 'nvptx', doc = 'd' }", "'target' is missing");
  refuse(ctx, "return { name = 'gpu', like = 'gpu', doc = 'd' }", "'like'");
  refuse(ctx, "return { name = 'sm_80', like = 'a100', doc = 'd' }", "is taken by an architecture");
  refuse(ctx, "return { name = 'gpu', like = 'sm_80', doc = 'd', base = true }", "'base' does not exist");
  CHECKF(load(ctx, "return { name = 'gpu', like = 'sm_90a', doc = 'd' }") == TG_OK, "%s", tg_error_message(ctx));
  struct find_call call = {.ctx = ctx, .name = "gpu"};
  CHECK(tg_protect(ctx, find_body, &call) == TG_OK && call.machine->tensor_maps == 1 && call.machine->warp == 32 && call.machine->sms == 0);
  CHECK_STR(call.machine->arch, "sm_90a");
}

static const tg_machine_default *default_of(const tg_machine_info *machine, const char *kernel) {
  const tg_machine_default *last = NULL;
  for (int i = 0; machine && i < machine->ndefaults; i++)
    if (!strcmp(machine->defaults[i].kernel, kernel)) last = &machine->defaults[i];
  return last;
}

#define NEW "return { name = 'tiled', target = 'cpu:avx2', arch = 'znver3', doc = 'd', "

static void defaults(tg_context *ctx) {
  refuse(ctx, NEW "figures = {},\ndefaults = 3 }", ":2: field 'defaults' is not a table");
  refuse(ctx, NEW "figures = {}, defaults = { 3 } }", "'defaults[1]' is not {");
  refuse(ctx, NEW "figures = {},\n\ndefaults = { { 'a' }, { BM = 3 } } }", ":3: field 'defaults[2]' names no kernel");
  refuse(ctx, NEW "figures = {}, defaults = { a = { BM = 3 } } }", "'defaults' is not a list");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a' }, [7] = { 'b' } } }", "'defaults' is not a list");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', BM = 1.5 } } }", "gives BM a value that is no whole number");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', BM = '64' } } }", "gives BM a value that is no whole number");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', ['B M'] = 64 } } }", "that is not NAME = value");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', 64 } } }", "that is not NAME = value");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', when = 64 } } }", "`when` that is not");
  refuse(ctx, NEW "figures = {}, defaults = { { 'a', when = { dtype = {} } } } }",
         "gives dtype a value that is no whole number and no text");
  CHECKF(load(ctx, "return { name = 'plain', target = 'nvptx:sm_80', arch = 'sm_80', doc = 'd', figures = {},\n"
                   "  defaults = { { 'gemm_f32', when = { mode = 'x' }, b = 2, a = 1 } } }") == TG_OK,
         "%s", tg_error_message(ctx));
  const tg_machine_info *plain = machine(ctx, "plain");
  const tg_machine_default *own = default_of(plain, "gemm_f32"), *arch = default_of(plain, "gemm_bf16");
  CHECK(own && own == &plain->defaults[plain->ndefaults - 1] && own->set.n == 2 && !strcmp(own->set.at[0].name, "a") && own->when.n == 1);
  CHECK(arch && arch->set.n > 0 && default_of(machine(ctx, "a100"), "gemm_bf16")); // of the architecture, though it names no base
  CHECK(!default_of(machine(ctx, "cpu-avx2"), "gemm_bf16"));
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  close(mkstemp(path));
  built_in(ctx);
  host(ctx);
  own(ctx);
  by_file(ctx);
  architectures(ctx);
  defaults(ctx);
  unlink(path);
  tg_context_free(ctx);
  return test_done();
}
