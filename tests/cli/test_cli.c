// The command line as its users meet it: exit statuses, messages, JSON documents, exec on .npy files.
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tegula/tegula.h"
#include "test.h"

static char directory[64];

// Runs `tegula ARGS` in a shell; standard output and error are left in out and err; returns the exit status.
static char out[1 << 20], err[1 << 16];
static int call(const char *args) {
  char command[4096];
  snprintf(command, sizeof command, "cd %s && '%s/tegula' %s >out.txt 2>err.txt </dev/null", directory, BUILD_DIR, args);
  int status = system(command);
  const char *names[] = {"out.txt", "err.txt"};
  char *buffers[] = {out, err};
  size_t sizes[] = {sizeof out, sizeof err};
  for (int i = 0; i < 2; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, names[i]);
    FILE *f = fopen(path, "rb");
    buffers[i][f ? fread(buffers[i], 1, sizes[i] - 1, f) : 0] = 0;
    if (f) fclose(f);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// A wrong call: status 2, nothing on standard output, a sentence that holds `words`.
static void check_refused(const char *args, const char *words) {
  int status = call(args);
  CHECKF(status == 2, "'%s' ended with %d: %s", args, status, err);
  CHECKF(strstr(err, "tegula: error: ") && strstr(err, words), "'%s' says '%s', not '%s'", args, err, words);
  CHECKF(!out[0], "'%s' printed '%s'", args, out);
}

static cJSON *check_json(const char *args) {
  int status = call(args);
  CHECKF(status == 0, "'%s' ended with %d: %s", args, status, err);
  cJSON *document = cJSON_Parse(out);
  CHECKF(document != NULL, "'%s' printed no JSON: %.200s", args, out);
  return document;
}

static void check_keys(const cJSON *object, const char *args, const char *const *keys) {
  for (; *keys; keys++) CHECKF(cJSON_GetObjectItemCaseSensitive(object, *keys), "'%s' lacks \"%s\"", args, *keys);
}

static void test_wrong_calls(void) {
  CHECK(call("") == 2);
  check_refused("frobnicate", "no command 'frobnicate'");
  check_refused("help frobnicate", "no command 'frobnicate'");
  check_refused("compile gemm_f32", "--target is missing");
  check_refused("compile gemm_f32 --target pentium", "pentium");
  check_refused("compile gemm_f32 --target sm_90a", "there is no target 'sm_90a' (nvptx:sm_90a is one); targets: ");
  check_refused("compile no_such_kernel --target cpu", "no_such_kernel");
  check_refused("compile gemm_f32 --target cpu --emit wine", "wine");
  check_refused("compile gemm_f32 --target cpu --set BM=3", "BM");
  check_refused("compile gemm_f32 --target cpu --bogus", "--bogus");
  check_refused("kernels surplus", "surplus");
  check_refused("exec rmsnorm X=missing.npy W=missing.npy eps=1 --out O=o.npy", "missing.npy");
  check_refused("exec rmsnorm Y=1 --out O=o.npy", "no parameter 'Y'");
  check_refused("exec gemm_f32 --threads zero", "--threads");
  check_refused("bench gemm_f32 --shape M", "--shape");
  check_refused("bench gemm_f32 --shape M=4,N=4", "K");
  check_refused("check", "--device");
  check_refused("check --device interp --kernels gemm_f32,no_such", "no kernel 'no_such'");
  check_refused("check --device interp --kernels ,", "--kernels names none");
  check_refused("check --device interp --emit obj", "--emit is for a target");
  check_refused("check --target cpu --emit wine", "'wine'");
  check_refused("check --target cpu --budget 3", "--configs");
  check_refused("run missing.lua", "missing.lua");
}

// docs/cli.md has the synopsis of each command as its help has it, which follows from the table of options.
static void test_synopses(void) {
  static char page[1 << 16];
  FILE *f = fopen(ROOT_DIR "/docs/cli.md", "rb");
  CHECK(f != NULL);
  if (!f) return;
  page[fread(page, 1, sizeof page - 1, f)] = 0;
  fclose(f);
  char names[32][32];
  int n = 0, documented = 0;
  CHECK(call("--help") == 0);
  for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
    if (n < 32 && sscanf(line, "  %31[a-z] ", names[n]) == 1 && !strncmp(line, "  ", 2)) n++;
  for (int i = 0; i < n; i++) {
    char args[48], want[512];
    snprintf(args, sizeof args, "%.31s --help", names[i]);
    CHECK(call(args) == 0 && !strncmp(out, "usage: ", 7));
    snprintf(want, sizeof want, "\n    %.*s\n", (int)strcspn(out + 7, "\n"), out + 7);
    CHECKF(strstr(page, want), "docs/cli.md lacks the line%s", want);
  }
  for (const char *at = page; (at = strstr(at, "\n    tegula ")); at++) documented++;
  CHECKF(n == 12 && documented >= n, "%d commands, %d synopses", n, documented);
  CHECK(call("tune --help") == 0);
  CHECKF(strstr(out, "\n  --device D             where") && strstr(out, "\n  --shape S=V,…          every"), "%s", out);
}

static void test_help(void) {
  const char *const commands[] = {"targets", "machines", "devices", "kernels", "compile", "exec",
                                  "tune",    "bench",    "check",   "sim",     "run",     NULL};
  CHECK(call("--help") == 0);
  for (int i = 0; commands[i]; i++) {
    CHECKF(strstr(out, commands[i]) || i, "the overview lacks %s", commands[i]);
    char args[64];
    snprintf(args, sizeof args, "%s --help", commands[i]);
    CHECK(call(args) == 0);
    CHECKF(strstr(out, "examples:"), "no examples in %s", args);
  }
  CHECK(call("completion") == 0);
  char command[128];
  snprintf(command, sizeof command, "bash -n %s/out.txt", directory);
  CHECK(system(command) == 0);
}

static void test_lists(void) {
  const char *const list_keys[] = {"name", NULL};
  const char *const lists[] = {"targets --json", "machines --json", "devices --json", "kernels --json", NULL};
  for (int i = 0; lists[i]; i++) {
    cJSON *document = check_json(lists[i]);
    CHECKF(cJSON_GetArraySize(document) > 0, "%s is empty", lists[i]);
    cJSON *item;
    cJSON_ArrayForEach(item, document) check_keys(item, lists[i], list_keys);
    cJSON_Delete(document);
  }
  const char *const kernels[] = {"gemm_f32",
                                 "gemm_bf16",
                                 "gemm_fp8",
                                 "pack_weights",
                                 "quantize_rows",
                                 "quantize_blocks",
                                 "rmsnorm",
                                 "swiglu",
                                 "swiglu_quantize",
                                 "rope",
                                 "moe_gate",
                                 "moe_dispatch",
                                 "moe_combine",
                                 "grouped_gemm_fp8",
                                 "grouped_gemm_fp8_masked",
                                 "mtp",
                                 "bmm",
                                 "grouped_gemm_bf16",
                                 "grouped_gemm_f32",
                                 "embed",
                                 "add",
                                 "add_rmsnorm",
                                 "cast",
                                 "dequantize_blocks",
                                 "argmax",
                                 "append_cache",
                                 "gemm_fp8_dgrad",
                                 "gemm_fp8_wgrad",
                                 "grouped_gemm_fp8_wgrad",
                                 "quantize_columns",
                                 "cross_entropy",
                                 "cross_entropy_grad",
                                 "kl_loss",
                                 "kl_loss_grad",
                                 "grpo_advantages",
                                 "grpo_loss",
                                 NULL};
  CHECK(call("kernels") == 0);
  for (int i = 0; kernels[i]; i++) CHECKF(strstr(out, kernels[i]), "no kernel %s", kernels[i]);
}

static tg_array *save(tg_context *ctx, const char *name, const char *dtype, int rank, int64_t d0, int64_t d1) {
  tg_array *a;
  CHECK(tg_array_new(ctx, tg_dtype_find(dtype), rank, (int64_t[]){d0, d1}, &a) == TG_OK);
  for (int64_t i = 0; i < d0 * (rank > 1 ? d1 : 1); i++) tg_array_set(a, i, (double)(i * 7 % 13 - 6) / 8);
  char path[128];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  CHECK(tg_npy_write(ctx, path, a) == TG_OK);
  return a;
}

static void check_product(tg_context *ctx, const tg_array *a, const tg_array *b, const char *file) {
  char path[128];
  tg_array *c = NULL;
  snprintf(path, sizeof path, "%s/%s", directory, file);
  CHECKF(tg_npy_read(ctx, path, tg_dtype_find("f32"), &c) == TG_OK, "%s", tg_error_message(ctx));
  if (!c) return;
  int64_t M = a->dim[0], N = b->dim[0], K = a->dim[1];
  CHECK(c->rank == 2 && c->dim[0] == M && c->dim[1] == N);
  for (int64_t m = 0; m < M; m++)
    for (int64_t n = 0; n < N; n++) {
      double want = 0; // small multiples of 1/64: exact in f32 in any order
      for (int64_t k = 0; k < K; k++) want += tg_array_get(a, m * K + k) * tg_array_get(b, n * K + k);
      CHECKF(tg_array_get(c, m * N + n) == want, "%s[%d,%d] = %g, not %g", file, (int)m, (int)n, tg_array_get(c, m * N + n), want);
    }
  tg_array_free(ctx, c);
}

static void test_exec(tg_context *ctx) {
  tg_array *a = save(ctx, "a.npy", "f32", 2, 17, 29), *b = save(ctx, "b.npy", "f32", 2, 23, 29),
           *odd = save(ctx, "odd.npy", "f32", 2, 23, 28);
  tg_array *x = save(ctx, "x.npy", "bf16", 2, 3, 8), *w = save(ctx, "w.npy", "bf16", 1, 8, 1);
  const char *const devices[] = {"interp", "cpu", NULL};
  for (int i = 0; devices[i]; i++) {
    char args[256];
    snprintf(args, sizeof args, "exec gemm_f32 --device %s A=a.npy B=b.npy --out C=c.npy", devices[i]);
    CHECKF(call(args) == 0, "%s: %s", args, err);
    check_product(ctx, a, b, "c.npy");
  }
  check_refused("exec gemm_f32 A=a.npy B=odd.npy --out C=never.npy", "K");
  char path[128];
  struct stat file;
  snprintf(path, sizeof path, "%s/never.npy", directory);
  CHECK(stat(path, &file) != 0);
  check_refused("exec gemm_f32 A=a.npy --out C=never.npy", "parameter B is missing");
  check_refused("exec gemm_f32 A=a.npy B=b.npy", "--out");
  check_refused("exec gemm_f32 A=a.npy B=b.npy --out C=c.npy --device gpu9", "gpu9");
  check_refused("exec gemm_f32 A=a.npy A=a.npy B=b.npy --out C=never.npy", "A is given twice");
  check_refused("exec quantize_rows X=x.npy --out Q=never.npy --out S=never.npy", "outputs Q and S have one file");
  check_refused("exec quantize_rows X=x.npy --out Q=x.npy S=./x.npy", "outputs Q and S have one file");
  check_refused("exec rmsnorm X=x.npy W=w.npy eps=1 eps=2 --out O=never.npy", "eps is given twice");
  check_refused("exec gemm_f32 A=a.npy B=b.npy --out C=no/such/place.npy", "no/such/place.npy");
  tg_array_free(ctx, a), tg_array_free(ctx, b), tg_array_free(ctx, odd);
  tg_array_free(ctx, x), tg_array_free(ctx, w);
}

// A letter of a shape that an option sets is one of --shape's, and must not contradict the option.
static void test_option_letters(void) {
  char path[128];
  snprintf(path, sizeof path, "%s/letter.lua", directory);
  FILE *f = fopen(path, "w");
  CHECK(f != NULL);
  if (!f) return;
  fputs("local tg <const> = require 'tegula'\n"
        "return tg.kernel('letter', function(k)\n"
        "  local D, M = k.option('D', 64, 32, 64), k.dim 'M'\n"
        "  local A, C = k.input('A', tg.f32, M, D), k.output('C', tg.f32, M, D)\n"
        "  k.blocks(M:by(4), function(m) C[{m, tg.range(0, D)}] = A[{m, tg.range(0, D)}] end)\n"
        "end)\n",
        f);
  fclose(f);
  cJSON_Delete(check_json("compile letter.lua --target cpu --shape M=4,D=64 --emit meta"));
  cJSON_Delete(check_json("compile letter.lua --target cpu --set D=32 --shape D=32,M=4 --emit meta"));
  cJSON_Delete(check_json("bench letter.lua --shape M=4,D=64 --threads 1 --runs 1 --json"));
  cJSON_Delete(check_json("bench letter.lua --shape M=04,D=064 --threads 1 --runs 1 --json")); // the number counts, not how it is written
  check_refused("compile letter.lua --target cpu --shape M=4,D=32 --emit meta", "D=32 contradicts");
  check_refused("bench letter.lua --shape M=4,D=32", "D=32 contradicts");
  check_refused("compile letter.lua --target cpu --shape M=4,E=32 --emit meta", "no dim 'E'");
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return;
  tg_array_free(ctx, save(ctx, "l.npy", "f32", 2, 5, 64));
  tg_context_free(ctx);
  CHECKF(call("exec letter.lua A=l.npy --shape M=5,D=64 --out C=m.npy") == 0, "%s", err);
  check_refused("exec letter.lua A=l.npy --shape D=32 --out C=never.npy", "D=32 contradicts");
}

static void put(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *f = fopen(path, "w");
  CHECK(f != NULL);
  if (!f) return;
  fputs(text, f);
  fclose(f);
}

// A machine of one's own by its description's file.
static void test_own_machine(void) {
  put("mychip.lua", "return {\n  name = 'mychip', like = 'cpu-avx2', target = 'cpu:avx2', doc = 'mine',\n"
                    "  figures = { micro_rows = { 4, source = 'the test' } },\n}\n");
  cJSON *meta = check_json("compile gemm_f32 --target mychip.lua --emit meta");
  cJSON_Delete(check_json("compile mla_prefill --target cpu --shape T=4,N=1,Dqk=48,Dv=32,B=1 --emit meta")); // statics come from it
  check_refused("compile mla_prefill --target cpu --emit meta", "Dqk");
  CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(meta, "target")), "mychip");
  CHECK(cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(meta, "config"), "mr")) == 4);
  cJSON_Delete(meta);
  CHECKF(call("compile gemm_f32 --target mychip.lua --emit asm") == 0 && strstr(out, "gemm_f32"), "%s", err);
  put("wrong.lua", "return {\n  name = 'mychip', like = 'cpu-avx2', target = 'cpu:avx2', doc = 'mine',\n"
                   "  figures = { micro_rowz = { 4, source = 'the test' } },\n}\n");
  check_refused("compile gemm_f32 --target wrong.lua", "wrong.lua:3: field 'figures.micro_rowz' does not exist");
  check_refused("check --target wrong.lua", "wrong.lua:3: field");
  check_refused("compile gemm_f32 --target none.lua", "none.lua");
}

static void check_config(const char *command, const char *first, const char *second) {
  cJSON *meta = check_json(command);
  char *config = cJSON_PrintUnformatted(cJSON_GetObjectItem(meta, "config"));
  CHECKF(config && strstr(config, first) && strstr(config, second), "%s: %s", command, config ? config : "no config");
  cJSON_free(config);
  cJSON_Delete(meta);
}

// What the machine's description says that a kernel takes: shown, taken, and given way to --set.
static void test_defaults(void) {
  put("tiles.lua", "return {\n  name = 'tiles', like = 'a100', doc = 'mine',\n"
                   "  defaults = { { 'gemm_f32', BM = 32, BN = 128, warps = 8 }, { 'swiglu', when = { dtype = 'f32' }, BM = 4 } },\n}\n");
  check_config("compile gemm_f32 --target tiles.lua --emit meta", "\"BM\":32,\"BN\":128", "\"warps\":8");
  check_config("compile gemm_f32 --target tiles.lua --set warps=2 --emit meta", "\"BM\":32,\"BN\":128", "\"warps\":2");
  check_config("compile gemm_f32 --target tiles.lua --set BM=16,BN=32 --emit meta", "\"BM\":16,\"BN\":32", "\"warps\":1");
  check_config("compile swiglu --target tiles.lua --emit meta", "\"BM\":1", "\"bf16\"");
  check_config("compile swiglu --target tiles.lua --set dtype=f32 --emit meta", "\"BM\":4", "\"f32\"");
  CHECK(call("kernels --target tiles.lua") == 0 && strstr(out, "set BM=32 BN=128 BK=32 warps=8\n"));
  CHECK(call("kernels") == 0 && strstr(out, "set BM=64 BN=64 BK=32\n") && !strstr(out, "warps"));
  CHECK(strstr(out, "B bf16[N,M,K] -> C bf16[T,N,M]\n") && strstr(out, " eps f32 scalar -> A f32[G,R]\n") &&
        strstr(out, " -> KV bf16[P,64,D + R]\n"));
  cJSON *machines = check_json("machines --json"), *item, *entries = NULL;
  cJSON_ArrayForEach(item, machines) if (!strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "name")), "a100")) entries =
      cJSON_GetObjectItem(item, "defaults");
  CHECK(cJSON_GetArraySize(entries) > 0 && cJSON_GetObjectItem(cJSON_GetArrayItem(entries, 0), "kernel"));
  cJSON_Delete(machines);
  static const struct {
    const char *set, *says;
  } wrong[] = {{"BM = 3", "tiles.lua: defaults of kernel 'gemm_f32': BM = 3: it takes 1, "},
               {"warps = 3", "tiles.lua: defaults of kernel 'gemm_f32': warps = 3: the lowering takes "},
               {"wraps = 3", "tiles.lua: defaults of kernel 'gemm_f32': wraps = 3: neither kernel nor lowering has it"},
               {"when = { mode = 1 }", "tiles.lua: defaults of kernel 'gemm_f32': mode = 1: it has no such option for a `when`"},
               {"when = { BM = 64 }", "tiles.lua: defaults of kernel 'gemm_f32': BM = 64: it has no such option for a `when`"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char text[256];
    snprintf(text, sizeof text, "return {\n  name = 'tiles', like = 'a100', doc = 'mine', defaults = { { 'gemm_f32', %s } },\n}\n",
             wrong[i].set);
    put("tiles.lua", text);
    check_refused("compile gemm_f32 --target tiles.lua", wrong[i].says);
    CHECK(call("compile gemm_bf16 --target tiles.lua --emit tile") == 0);
  }
  put("tiles.lua",
      "return { name = 'tiles', like = 'a100', doc = 'mine', defaults = { { 'swiglu', when = { dtype = 'f23' }, BM = 4 } } }\n");
  check_refused("compile swiglu --target tiles.lua", "kernel 'swiglu': dtype = f23: `when`: it takes bf16, f32");
}

// Processors and features that LLVM does not know would end the compile helper.
static void test_processors(void) {
  static const struct {
    const char *fields, *says;
  } wrong[] = {{"like = 'sm_80', target = 'cpu:avx2'", "'sm_80'"},
               {"like = 'cpu-avx2', arch = 'x86-65'", "'x86-65'"},
               {"like = 'cpu-avx2', features = '+avx,-nonsense,+sse'", "'-nonsense'"},
               {"like = 'cpu-avx2', features = 'avx'", "'avx'"},
               {"like = 'a100', features = '+ptx1000'", "'+ptx1000'"},
               {"like = 'a100', arch = '\\27[31m'", "'?[31m'"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char text[256];
    snprintf(text, sizeof text, "return { name = 'odd', doc = 'mine', %s }\n", wrong[i].fields);
    put("odd.lua", text);
    check_refused("compile gemm_f32 --target odd.lua --emit asm", wrong[i].says);
  }
  put("odd.lua", "return { name = 'odd', doc = 'mine', like = 'cpu-avx2', arch = 'znver3', features = '+avx2,-sse4a' }\n");
  CHECK(call("compile gemm_f32 --target odd.lua --emit asm") == 0);
}

// What --set may not set is refused with what it may, options, meta-parameters and knobs alike.
static void test_settings(void) {
  const char *const commands[] = {"compile swiglu --target cpu", "bench swiglu --shape T=4,I=16", "tune swiglu --shape T=4,I=16"};
  for (int i = 0; i < 3; i++) {
    static const struct {
      const char *set, *says;
    } wrong[] = {{"clamp=-1", "clamp=-1 is not allowed; it is a number of at least 0"},
                 {"clamp=nan", "clamp=nan: it must be a number"},
                 {"clamp=", "clamp=: it must be a number"},
                 {"clamp=1e999", "clamp=1e999: it must be a number"},
                 {"BM=3", "BM=3 is not allowed; it is one of 1, "},
                 {"BM=1.5", "BM=1.5: it must be an integer"},
                 {"stream=5", "32, 4"},
                 {"stream=x", "stream"},
                 {"steam=1", "steam"}};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
      char args[256];
      snprintf(args, sizeof args, "%s --set %s", commands[i], wrong[k].set);
      check_refused(args, wrong[k].says);
    }
  }
  CHECK(call("compile swiglu --target cpu --set clamp=7.5 --emit tile") == 0);
}

// What exec says of the kernels around experts: letters by other names, indices that are wrong and those that are meant to be outside.
static void test_experts(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return;
  tg_array *x = save(ctx, "tokens.npy", "bf16", 2, 2, 8), *idx = save(ctx, "idx.npy", "i32", 2, 2, 3),
           *w = save(ctx, "weights.npy", "f32", 2, 2, 3);
  tg_array *y = save(ctx, "rows.npy", "bf16", 2, 6, 8), *src = save(ctx, "src.npy", "i32", 1, 6, 1);
  for (int i = 0; i < 6; i++) tg_array_set(idx, i, i - 1), tg_array_set(src, i, i - 1); // idx: -1 and 4 drop their rows
  char path[128];
  snprintf(path, sizeof path, "%s/idx.npy", directory);
  CHECK(tg_npy_write(ctx, path, idx) == TG_OK);
  snprintf(path, sizeof path, "%s/src.npy", directory);
  CHECK(tg_npy_write(ctx, path, src) == TG_OK);
  CHECKF(call("exec moe_dispatch --set experts=4 --shape E=4,k=3 X=tokens.npy idx=idx.npy --out offsets=o.npy") == 0, "%s", err);
  check_refused("exec moe_dispatch --set experts=4 --shape E=5 X=tokens.npy idx=idx.npy --out offsets=never.npy", "E = 5");
  CHECKF(call("exec moe_combine Y=rows.npy src=src.npy w=weights.npy --out O=o.npy") == 0, "%s", err);
  tg_array_set(src, 5, 6);
  CHECK(tg_npy_write(ctx, path, src) == TG_OK);
  check_refused("exec moe_combine Y=rows.npy src=src.npy w=weights.npy --out O=never.npy", "src[5] is 6, but these indices lie in 0 ... 5");
  cJSON_Delete(check_json("bench moe_gate --shape T=3,E=16,k=8 --threads 1 --runs 1 --json"));
  check_refused("bench moe_gate --shape T=3,E=16,k=4", "k");
  check_refused("bench moe_gate --shape T=3,E=17", "17 experts");
  tg_array *all[] = {x, idx, w, y, src};
  for (int i = 0; i < 5; i++) tg_array_free(ctx, all[i]);
  tg_context_free(ctx);
}

static void test_compile(void) {
  const char *const meta_keys[] = {"kernel", "target", "config", "preconditions", "workspaces", "launches", NULL};
  const char *const launch_keys[] = {"entry", "grid", "block", "cluster", "shared_bytes", "static_shared_bytes", "args", NULL};
  const char *args = "compile gemm_f32 --target cpu --shape M=17,N=23,K=29 --emit meta";
  cJSON *meta = check_json(args);
  check_keys(meta, args, meta_keys);
  const cJSON *launch = cJSON_GetArrayItem(cJSON_GetObjectItem(meta, "launches"), 0), *arg;
  check_keys(launch, args, launch_keys);
  cJSON_ArrayForEach(arg, cJSON_GetObjectItem(launch, "args")) {
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItem(arg, "kind"));
    CHECK(kind && (!strcmp(kind, "pointer") || cJSON_IsNumber(cJSON_GetObjectItem(arg, "value"))));
  }
  cJSON_Delete(meta);
  CHECK(strlen(out) && out[strlen(out) - 1] == '\n');
  const char *const forms[] = {"tile", "lane", "llvm", "asm", NULL};
  for (int i = 0; forms[i]; i++) {
    char line[128];
    snprintf(line, sizeof line, "compile gemm_f32 --target cpu --emit %s", forms[i]);
    CHECKF(call(line) == 0, "%s: %s", line, err);
    CHECKF(strstr(out, "gemm_f32"), "%s does not name the kernel", line);
  }
  check_refused("compile gemm_f32 --target cpu --emit obj", "-o FILE");
  CHECK(call("compile gemm_f32 --target cpu --emit obj -o k.so") == 0);
  char pipe[128]; // what is no regular file is written into, not replaced
  snprintf(pipe, sizeof pipe, "%s/pipe", directory);
  CHECK(mkfifo(pipe, 0600) == 0);
  const int end = open(pipe, O_RDWR | O_NONBLOCK);
  char line[256], head[6];
  snprintf(line, sizeof line, "compile rmsnorm --target cpu --emit tile -o %s", pipe);
  CHECK(call(line) == 0);
  CHECK(read(end, head, sizeof head) == sizeof head && !memcmp(head, "kernel", sizeof head));
  close(end);
  struct stat info;
  CHECK(!stat(pipe, &info) && S_ISFIFO(info.st_mode));
}

static void test_bench_and_tune(void) {
  const char *const bench_keys[] = {"kernel",        "device",  "target",       "shape",           "config",
                                    "config_source", "threads", "runs",         "seconds",         "flops",
                                    "bytes",         "gflops",  "gbs",          "peak_gflops",     "bf16_peak_gflops",
                                    "stream_gbs",    "packed",  "pack_seconds", "compile_seconds", NULL};
  const char *args = "bench gemm_f32 --shape M=17,N=64,K=64 --threads 1 --json";
  cJSON *bench = check_json(args);
  check_keys(bench, args, bench_keys);
  const cJSON *flops = cJSON_GetObjectItem(bench, "flops");
  CHECKF(flops && flops->valuedouble == 2.0 * 17 * 64 * 64, "flops %g", flops ? flops->valuedouble : 0);
  cJSON_Delete(bench);
  const char *const tune_keys[] = {"kernel", "device", "shape", "strategy", "seed", "best", "evaluated", "default", NULL};
  args = "tune gemm_f32 --shape M=17,N=64,K=64 --trials 3 --threads 1 --json";
  cJSON *tune = check_json(args);
  check_keys(tune, args, tune_keys);
  CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(tune, "evaluated")) == 3);
  cJSON_Delete(tune);
  cJSON *again = check_json("bench gemm_f32 --shape M=17,N=64,K=64 --threads 1 --json");
  CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(again, "config_source")), "database");
  cJSON_Delete(again);
  bench = check_json("bench gemm_f32 --shape M=0,N=64,K=64 --threads 1 --runs 1 --json"); // nothing is done, and nothing read
  CHECK(cJSON_GetNumberValue(cJSON_GetObjectItem(bench, "gbs")) == 0 && cJSON_GetNumberValue(cJSON_GetObjectItem(bench, "gflops")) == 0);
  cJSON_Delete(bench);
  bench = check_json("bench gemm_f32 --shape M=3,N=4,K=5 --device interp --runs 1 --json");
  CHECK(cJSON_GetNumberValue(cJSON_GetObjectItem(bench, "threads")) == 1);
  cJSON_Delete(bench);
  CHECK(call("bench gemm_fp8 --shape M=1,N=64,K=128 --runs 1 --threads 1") == 0);
  CHECKF(strstr(out, "packing  none") && strstr(out, ", 1 run, 1 thread\n"), "%s", out);
  CHECK(call("bench gemm_fp8 --shape M=1,N=64,K=128 --runs 1 --threads 1 --set packed=1") == 0);
  CHECKF(strstr(out, "packing  B packed by pack_weights before the clock started"), "%s", out);
}

// A library of one kernel: its cases, how they went and what they cost, and nothing else.
static void test_check(void) {
  char command[512];
  snprintf(command, sizeof command, "cd %s && mkdir -p root/kernels && ln -s '%s/lua' root/lua && cp '%s/kernels/swiglu.lua' root/kernels",
           directory, ROOT_DIR, ROOT_DIR);
  CHECK(system(command) == 0);
  setenv("TEGULA_ROOT", "root", 1);
  CHECK(call("check --device interp") == 0);
  unsetenv("TEGULA_ROOT");
  CHECKF(!strncmp(out, "ok      swiglu ", 15) && strstr(out, " passed, 0 refused, 0 failed in ") && !*err, "%s%s", out, err);
}

// The packed route of docs/cli.md, with the arrays that the example leaves.
static void test_packed_route(void) {
  char args[256];
  snprintf(args, sizeof args, "run '%s/examples/packed_weights.lua' .", ROOT_DIR);
  CHECKF(call(args) == 0 && strstr(out, "agree: true"), "%s%s", out, err);
  CHECKF(call("exec pack_weights B=b.npy --out Bp=bp.npy") == 0, "%s", err);
  CHECKF(call("exec gemm_fp8 --set packed=1 A=a.npy As=as.npy B=bp.npy Bs=bs.npy --out C=cp.npy") == 0, "%s", err);
  CHECKF(call("exec gemm_fp8 --device interp A=a.npy As=as.npy B=b.npy Bs=bs.npy --out C=ci.npy") == 0, "%s", err);
  put("same.lua", "local tg <const> = require 'tegula'\nlocal packed, plain, want = tg.read('cp.npy', tg.bf16), tg.read('c.npy', tg.bf16), "
                  "tg.read('ci.npy', tg.bf16)\nassert(packed:compare(want, { rel = 2 ^ -7, abs = 1e-3 }))\n"
                  "assert(plain:compare(want, { rel = 2 ^ -7, abs = 1e-3 }))\n");
  CHECKF(call("run same.lua") == 0, "%s", err);
}

// What finds a better config is named as the user named the kernel.
static void test_notes(void) {
  char command[256];
  CHECK(call("bench swiglu --shape T=4,I=16 --runs 1 --threads 1") == 0);
  CHECKF(strstr(err, "; `tegula tune swiglu --shape …` finds"), "%s", err);
  snprintf(command, sizeof command, "cp '%s/kernels/swiglu.lua' %s/own.lua", ROOT_DIR, directory);
  CHECK(system(command) == 0);
  CHECK(call("bench own.lua --shape T=4,I=16 --runs 1 --threads 1") == 0);
  CHECKF(strstr(err, "; `tegula tune own.lua --shape …` finds"), "%s", err);
  CHECK(call("tune own.lua --shape T=4,I=16 --trials 1 --threads 1") == 0);
  CHECKF(!*err, "%s", err); // the one command that needs no such advice
  snprintf(command, sizeof command, "cp '%s/examples/first_kernel.lua' %s/script.lua", ROOT_DIR, directory);
  CHECK(system(command) == 0);
  CHECK(call("run script.lua") == 0);
  CHECKF(strstr(err, "; kernel:tune{shape = {…}} in the script finds"), "%s", err);
  put("refuses.lua",
      "local tg <const> = require 'tegula'\nlocal ok, e = pcall(tg.refuse, 'caught')\nassert(not ok and tostring(e) == 'caught')\n"
      "if arg[1] then error 'at work' end\ntg.refuse 'model.json: lacks hidden_size'\n");
  check_refused("run refuses.lua", "tegula: error: model.json: lacks hidden_size");
  CHECKF(call("run refuses.lua x") == 1 && strstr(err, "refuses.lua:4: at work"), "%s", err);
  put("odd.lua", "local tg <const> = require 'tegula'\ntg.device('cpu'):run(tg.load 'rope', {X = tg.tensor(tg.bf16, {2, 3, 5}), "
                 "pos = tg.tensor(tg.i32, {2}), inv_freq = tg.tensor(tg.f32, {2})})\n");
  CHECKF(call("run odd.lua") == 1 && strstr(err, "X's axis 2 is 5"), "%s", err); // rope turns pairs
}

// What a kernel prints comes by the log; an assert that does not hold ends the command with 1 and names its line. X begins with -0.75.
static void test_debug_ops(tg_context *ctx) {
  static const char kernel[] =
      "local tg <const> = require \"tegula\"\nreturn tg.kernel(\"told\", function(k)\n"
      "  local N, most = k.dim \"N\", k.option(\"most\", 1)\n  local X, Y = k.input(\"X\", tg.f32, N), k.output(\"Y\", tg.f32, N)\n"
      "  k.blocks(N:by(4), function(n)\n    local x = X[{ n }]\n    tg.print(\"x\", x, n:first())\n"
      "    tg.assert(x:lt(most), \"small\")\n    Y[{ n }] = x\n  end)\nend)\n";
  char path[128];
  snprintf(path, sizeof path, "%s/told.lua", directory);
  FILE *f = fopen(path, "w");
  fputs(kernel, f);
  fclose(f);
  tg_array_free(ctx, save(ctx, "told.npy", "f32", 1, 3, 0));
  const char *const devices[] = {"cpu", "interp"};
  for (int i = 0; i < 2; i++) {
    char args[128];
    snprintf(args, sizeof args, "exec told.lua --device %s X=told.npy --out Y=y.npy", devices[i]);
    CHECKF(call(args) == 0, "%s", err);
    CHECKF(strstr(err, "x f32[4] -0.75 0.125 -0.625 0 i64 0\n"), "%s", err);
    strcat(args, " --set most=0");
    CHECKF(call(args) == 1, "%s", err);
    CHECKF(strstr(err, "tegula: error: ") && strstr(err, "told.lua:8: ") && strstr(err, "\"small\" does not hold"), "%s", err);
  }
}

int main(void) {
  strcpy(directory, "/tmp/tegula-cli-XXXXXX");
  if (!mkdtemp(directory)) return 1;
  char cache[128];
  snprintf(cache, sizeof cache, "%s/cache", directory);
  setenv("TEGULA_CACHE", cache, 1);
  unsetenv("TEGULA_DATABASE");
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  test_wrong_calls();
  test_help();
  test_synopses();
  test_lists();
  test_exec(ctx);
  test_debug_ops(ctx);
  test_option_letters();
  test_experts();
  test_compile();
  test_own_machine();
  test_defaults();
  test_processors();
  test_settings();
  test_bench_and_tune();
  test_notes();
  test_packed_route();
  test_check();
  tg_context_free(ctx);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  return test_done() | system(command);
}
