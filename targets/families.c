// Families: one row each, and the way from a target's name to its machine.
#include "targets/machines.h"
#include "targets/nvptx/assemble.h"

static const char *const cpu_archs[] = {"native", "generic", "avx2", "avx512", "avx512bf16", "aarch64", NULL};
static const tg_family cpu = {"cpu", "the host's own processor, through LLVM", "llvm", &tg_lowering_loops, cpu_archs, NULL, NULL};

static const char *const nvptx_archs[] = {
#define ARCH(name, ptx, units, doc) name,
#include "targets/nvptx/archs.def"
#undef ARCH
    NULL};
static const char *const nvptx_units[] = {
#define ARCH(name, ptx, units, doc) units,
#include "targets/nvptx/archs.def"
#undef ARCH
    NULL};
static int nvptx_tools(tg_arena *arena, const char *want, const char **paths) {
  const bool report = !strcmp(want, "report");
  const char *assembler = report || !strcmp(want, "obj") ? tg_assembler_find(arena) : NULL;
  const char *disassembler = report ? tg_disassembler_find(arena) : NULL;
  int n = 0;
  if (assembler) paths[n++] = assembler;
  if (disassembler) paths[n++] = disassembler;
  return n;
}
static const tg_family nvptx = {
    "nvptx",    "NVIDIA GPUs: PTX through LLVM, cubin through ptxas or nvJitLink", "llvm", &tg_lowering_simt, nvptx_archs, nvptx_units,
    nvptx_tools};

const tg_family *const tg_families[] = {&cpu, &nvptx, NULL};

static const tg_family *family_of(const char *target, const char **arch) {
  const char *colon = strchr(target, ':');
  size_t n = colon ? (size_t)(colon - target) : strlen(target);
  for (int i = 0; tg_families[i]; i++) {
    const tg_family *family = tg_families[i];
    if (strlen(family->name) != n || memcmp(family->name, target, n) != 0) continue;
    *arch = colon ? colon + 1 : family->archs[0];
    return family;
  }
  return NULL;
}

static bool has_arch(const tg_family *family, const char *arch) {
  for (int i = 0; family->archs[i]; i++) {
    if (strcmp(family->archs[i], arch) == 0) return true;
  }
  return false;
}

bool tg_target_known(const char *target) {
  const char *arch;
  const tg_family *family = family_of(target, &arch);
  return family && has_arch(family, arch);
}

static bool has_word(const char *words, const char *word) {
  const size_t n = strlen(word);
  for (const char *p = words; (p = strstr(p, word)); p++)
    if ((p == words || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
  return false;
}

bool tg_target_may(const char *target, const char *arch, const char *figure) {
  const char *rest;
  const tg_family *family = family_of(target, &rest);
  bool special = false, mine = false, known = false;
  for (int i = 0; family && family->units && family->archs[i]; i++) {
    const bool has = has_word(family->units[i], figure), here = !strcmp(family->archs[i], arch);
    special |= has;
    known |= here;
    mine |= has && here;
  }
  return !special || !known || mine; // an arch that the family does not know is refused when it compiles
}

const char *tg_target_having(tg_arena *arena, const char *target, const char *figure) {
  const char *rest;
  const tg_family *family = family_of(target, &rest);
  tg_text text = {.arena = arena};
  for (int i = 0; family && family->units && family->archs[i]; i++)
    if (has_word(family->units[i], figure)) tg_text_add(&text, "%s%s", text.size ? ", " : "only these have: ", family->archs[i]);
  return text.size ? text.data : "";
}

static void list_targets(tg_text *text) {
  for (int i = 0; tg_families[i]; i++) {
    tg_text_add(text, "%s%s", i ? ", " : "", tg_families[i]->name);
    for (int j = 0; tg_families[i]->archs[j]; j++) tg_text_add(text, ", %s:%s", tg_families[i]->name, tg_families[i]->archs[j]);
  }
}

// " (nvptx:sm_90a is one)" of sm_90a: an arch alone, as a description's `like` takes it.
static const char *by_arch(tg_arena *arena, const char *arch) {
  for (int i = 0; tg_families[i]; i++)
    for (int j = 0; tg_families[i]->archs[j]; j++)
      if (!strcmp(tg_families[i]->archs[j], arch)) return tg_arena_printf(arena, " (%s:%s is one)", tg_families[i]->name, arch);
  return "";
}

_Noreturn static void unknown(tg_context *ctx, const char *target) {
  tg_text text = {.arena = &ctx->arena};
  list_targets(&text);
  tg_text_add(&text, "; machines: ");
  const tg_machine_state *state = tg_machine_list(ctx);
  for (int i = 0; i < state->n; i++) tg_text_add(&text, "%s%s", i ? ", " : "", state->rows[i]->machine.name);
  tg_throw(ctx, TG_INVALID, "there is no target '%.100s'%s; targets: %s; or FILE.lua, a description of your own", target,
           by_arch(&ctx->arena, target), text.data);
}

const tg_machine *tg_target_find(tg_context *ctx, const char *target, const tg_family **family) {
  const tg_machine_state *state = tg_machine_list(ctx);
  const char *arch;
  for (int i = 0; i < state->n; i++) {
    const tg_machine *machine = &state->rows[i]->machine;
    if (strcmp(machine->name, target) != 0) continue;
    *family = family_of(machine->target, &arch);
    return machine;
  }
  const size_t n = strlen(target);
  if (n > 4 && strcmp(target + n - 4, ".lua") == 0) {
    const tg_machine *machine = tg_machine_file(ctx, target);
    *family = family_of(machine->target, &arch);
    return machine;
  }
  *family = family_of(target, &arch);
  if (!*family || !has_arch(*family, arch)) unknown(ctx, target);
  if (strcmp((*family)->name, "cpu") == 0 && strcmp(arch, "native") == 0) return tg_machine_host(ctx);
  const char *full = tg_arena_printf(&ctx->arena, "%s:%s", (*family)->name, arch);
  for (int i = 0; i < state->n; i++) {
    if (strcmp(state->rows[i]->machine.target, full) == 0) return &state->rows[i]->machine;
  }
  unknown(ctx, target);
}

struct targets_call {
  tg_context *ctx;
  int n;
  const tg_target_info *out;
};

static tg_target_info target_info(const char *name, const tg_family *family, const char *doc) {
  return (tg_target_info){name, family->name, family->lowering->name, family->emitter, doc, true};
}

static void targets_body(void *arg) {
  struct targets_call *call = arg;
  tg_context *ctx = call->ctx;
  struct targets_call *kept = ctx->slots[TG_SLOT_TARGETS];
  if (!kept) {
    kept = TG_NEW(&ctx->arena, struct targets_call);
    int n = 0;
    for (int i = 0; tg_families[i]; i++) {
      n++;
      for (int j = 0; tg_families[i]->archs[j]; j++) n++;
    }
    tg_target_info *infos = TG_NEWN(&ctx->arena, tg_target_info, n);
    for (int i = 0; tg_families[i]; i++) {
      const tg_family *family = tg_families[i];
      infos[kept->n++] = target_info(family->name, family, family->doc);
      for (int j = 0; family->archs[j]; j++) {
        const tg_family *found;
        const char *name = tg_arena_printf(&ctx->arena, "%s:%s", family->name, family->archs[j]);
        infos[kept->n++] = target_info(name, family, tg_target_find(ctx, name, &found)->doc);
      }
    }
    kept->out = infos;
    ctx->slots[TG_SLOT_TARGETS] = kept;
  }
  call->n = kept->n;
  call->out = kept->out;
}

int tg_targets(tg_context *ctx, const tg_target_info **out) {
  struct targets_call call = {.ctx = ctx};
  if (tg_protect(ctx, targets_body, &call) != TG_OK) call.n = 0, call.out = NULL;
  *out = call.out;
  return call.n;
}
