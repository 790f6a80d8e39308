// The compile boundary: a job goes through the cache, then to the helper process or, in a program that embeds LLVM, to the
// compiler in this process.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "targets/compiler.h"
#include "targets/machines.h"
#include "targets/sha256.h"
#include "targets/wire.h"

typedef struct compiler {
  tg_cache_state cache;
  tg_helper helper;
  tg_compile_fn *here; // NULL: this program links no compiler
} compiler;

static void free_compiler(tg_context *ctx, void *state) {
  compiler *c = state;
  tg_helper_stop(ctx, &c->helper);
}

static compiler *compiler_of(tg_context *ctx) {
  if (!ctx->slots[TG_SLOT_COMPILER]) {
    ctx->slots[TG_SLOT_COMPILER] = TG_NEW(&ctx->arena, compiler);
    ctx->slot_free[TG_SLOT_COMPILER] = free_compiler;
  }
  return ctx->slots[TG_SLOT_COMPILER];
}

// ---- the key

static void add_text(tg_sha256 *hash, const char *text) {
  uint64_t n = text ? strlen(text) : 0;
  tg_sha256_add(hash, &n, sizeof n);
  tg_sha256_add(hash, text, n);
}

static void add_bindings(tg_sha256 *hash, tg_bindings bindings) {
  uint64_t n = (uint64_t)bindings.n;
  tg_sha256_add(hash, &n, sizeof n);
  for (int i = 0; i < bindings.n; i++) add_text(hash, bindings.at[i].name), add_text(hash, bindings.at[i].value);
}

// A file's size and time stand for its version: what was rebuilt or upgraded never meets what its predecessor left.
static void add_file(tg_sha256 *hash, const char *path) {
  struct stat info = {0};
  if (path && stat(path, &info) != 0) info = (struct stat){0};
  const int64_t identity[] = {info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
  tg_sha256_add(hash, identity, sizeof identity);
}

// LLVM as the loader finds it: LD_LIBRARY_PATH goes before the place where the build found it.
static void add_llvm(tg_sha256 *hash) {
  const char *name = strrchr(TG_LLVM_LIBRARY, '/');
  char path[4096];
  for (const char *p = getenv("LD_LIBRARY_PATH"); name && p && *p;) {
    size_t n = strcspn(p, ":;");
    struct stat info;
    int length = snprintf(path, sizeof path, "%.*s%s", (int)n, p, name);
    if (n && length < (int)sizeof path && stat(path, &info) == 0) {
      add_file(hash, path);
      return;
    }
    p += n + (p[n] != 0);
  }
  add_file(hash, TG_LLVM_LIBRARY);
}

// What makes code from text: this program's version, the compiling program, LLVM, and what of others the family uses for `want`.
static void add_compiler(tg_context *ctx, tg_sha256 *hash, const tg_family *family, const char *want, tg_arena *arena) {
  add_text(hash, "tegula " TG_VERSION " llvm " TG_LLVM_VERSION);
  add_file(hash, compiler_of(ctx)->here ? "/proc/self/exe" : ctx->config.worker);
  add_llvm(hash);
  const char *paths[TG_MAX_TOOLS];
  const int n = family && family->tools ? family->tools(arena, want, paths) : 0;
  for (int i = 0; i < n; i++) add_text(hash, paths[i]), add_file(hash, paths[i]);
}

uint64_t tg_compiler_identity(tg_context *ctx, const tg_family *family, tg_arena *arena) {
  tg_sha256 hash;
  unsigned char bytes[32];
  uint64_t identity;
  tg_sha256_init(&hash);
  add_compiler(ctx, &hash, family, "obj", arena);
  tg_sha256_end(&hash, bytes);
  memcpy(&identity, bytes, sizeof identity);
  return identity;
}

// packed: of a pack, which serves where the compiler that filled it is not to be seen: this program's version stands for it.
static void make_key(tg_context *ctx, const tg_job *job, const char *packed, tg_arena *arena, unsigned char key[32]) {
  const tg_family *family;
  const tg_machine *machine = tg_target_find(ctx, job->target, &family);
  tg_sha256 hash;
  tg_sha256_init(&hash);
  if (packed) add_text(&hash, packed);
  else add_compiler(ctx, &hash, family, job->want, arena);
  add_text(&hash, job->target);
  add_text(&hash, machine->name);
  add_text(&hash, machine->target);
  add_text(&hash, machine->arch ? machine->arch : tg_machine_host_signature(ctx));
  add_text(&hash, machine->features);
#define FIGURE(name, unit, doc) tg_sha256_add(&hash, &machine->name, sizeof machine->name);
#include "targets/machines/figures.def"
#undef FIGURE
  add_text(&hash, job->want);
  tg_sha256_add(&hash, &job->variant, sizeof job->variant);
  add_bindings(&hash, job->settings);
  add_bindings(&hash, job->statics);
  tg_sha256_add(&hash, job->ir, job->ir_size);
  tg_sha256_end(&hash, key);
}

// ---- the way

void tg_compile_with(tg_context *ctx, tg_compile_fn *compile) { compiler_of(ctx)->here = compile; }

struct decode_call {
  tg_context *ctx;
  tg_arena *arena;
  tg_bytes payload;
  tg_product *out;
};

static void decode_body(void *arg) {
  struct decode_call *call = arg;
  tg_wire_decode_reply(call->ctx, call->arena, call->payload, call->out);
}

static bool decoded(tg_context *ctx, tg_arena *arena, tg_bytes payload, tg_product *out) {
  return tg_protect(ctx, decode_body, &(struct decode_call){ctx, arena, payload, out}) == TG_OK;
}

static bool from_cache(tg_context *ctx, const unsigned char key[32], tg_arena *arena, tg_product *out) {
  tg_bytes payload;
  return tg_cache_get(ctx, key, arena, &payload) && decoded(ctx, arena, payload, out);
}

// "gemm_fp8 for cpu": the first line of the text names the kernel.
static const char *describe(tg_arena *arena, const tg_job *job) {
  char name[128] = "a kernel", text[256] = "";
  snprintf(text, sizeof text, "%.*s", job->ir_size < 255 ? (int)job->ir_size : 255, job->ir);
  if (sscanf(text, "kernel %127s", name) != 1) snprintf(name, sizeof name, "a kernel");
  return tg_arena_printf(arena, "%s for %s (%s)", name, job->target, job->want);
}

// ---- packs

static const char pack_version[] = "tegula " TG_VERSION " pack";

bool tg_can_compile(tg_context *ctx) { return compiler_of(ctx)->here || (ctx->config.worker && access(ctx->config.worker, X_OK) == 0); }

// Where nothing can be compiled the pack has it, or nobody. What the lowering refused when the pack was filled is not there either: `check`
// takes both for a refusal.
static void from_pack(tg_context *ctx, const tg_job *job, tg_arena *arena, tg_product *out) {
  unsigned char key[32];
  tg_bytes payload;
  make_key(ctx, job, pack_version, arena, key);
  if (tg_pack_get(ctx->config.pack_dir, key, arena, &payload) && decoded(ctx, arena, payload, out)) return;
  tg_throw(ctx, TG_INVALID, "%s is not among the compiled kernels of %s, and there is no compile helper here that could make it (%s)",
           describe(arena, job), ctx->config.pack_dir, ctx->config.worker ? ctx->config.worker : "tegula-worker");
}

static void to_pack(tg_context *ctx, const tg_job *job, tg_arena *arena, const tg_product *product) {
  unsigned char key[32];
  if (!ctx->config.fill_pack) return;
  make_key(ctx, job, pack_version, arena, key);
  if (!tg_pack_put(ctx->config.pack_dir, key, tg_wire_encode_product(arena, product)))
    tg_throw(ctx, TG_FAILED, "%s: a compiled kernel cannot be kept there: %m", ctx->config.pack_dir);
}

static void compile_job(tg_context *ctx, const tg_job *job, bool no_cache, tg_arena *arena, tg_product *out) {
  compiler *c = compiler_of(ctx);
  unsigned char key[32];
  make_key(ctx, job, NULL, arena, key);
  const bool look = !no_cache && !ctx->config.dump_dir; // a dump shows what the passes do: they must run
  if (look && from_cache(ctx, key, arena, out)) return;
  if (ctx->config.pack_dir && !tg_can_compile(ctx)) {
    from_pack(ctx, job, arena, out);
    return;
  }
  if (c->here) {
    c->here(ctx, job, arena, out);
    if (!no_cache) tg_cache_put(ctx, &c->cache, key, tg_wire_encode_product(arena, out));
    return;
  }
  tg_bytes reply = tg_helper_call(ctx, &c->helper, tg_wire_encode_job(arena, job), describe(arena, job), key, arena);
  tg_wire_decode_reply(ctx, arena, reply, out);
  if (!no_cache) tg_cache_put(ctx, &c->cache, key, reply);
}

void tg_compile_job(tg_context *ctx, const tg_job *job, bool no_cache, tg_arena *arena, tg_product *out) {
  compile_job(ctx, job, no_cache, arena, out);
  to_pack(ctx, job, arena, out);
}
