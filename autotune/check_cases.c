// One case of `tegula check`: a kernel run on a device and compared with the interpreter, or compiled for a target.
#include <stdlib.h>
#include <unistd.h>

#include "autotune/check.h"
#include "targets/run.h"

typedef struct one_case {
  tg_checking *c;
  const tg_case *given;
  tg_arena arena;
  tg_subject subject;
  tg_device *device;
  tg_inputs inputs;
  tg_launchable *launchable;
  tg_artifact *artifact;
  tg_reference reference;
  const char *wrong; // NULL = right
  const char *found; // what is worth saying of code that is right, "" = nothing
} one_case;

// ---- shapes around the edges of tiles, scales and vectors, and empty ones

// Extents by letter; the i-th shape takes the i-th of each, so that unlike lists meet in many ways. K is what fp8 weights are packed along:
// a multiple of 16, as the kernel's row in the documentation says.
static const struct {
  const char *letter;
  int n;
  int values[9];
} extents[] = {{"M", 9, {1, 3, 17, 0, 64, 65, 129, 2, 5}},
               {"N", 8, {33, 24, 1, 129, 160, 32, 7, 0}},
               {"K", 7, {144, 16, 128, 272, 0, 64, 400}},
               {"H", 6, {300, 1, 128, 72, 513, 0}},
               {"I", 5, {100, 128, 300, 1, 64}},
               {"E", 4, {16, 72, 24, 256}}, // of experts: groups of 8 that keep 8
               {"B", 5, {1, 3, 0, 4, 2}}, // sequences, queries each, pages of the cache and of one sequence: lengths grow as their products
               {"S", 3, {1, 2, 3}},
               {"P", 4, {1, 5, 2, 7}},
               {"W", 3, {1, 3, 2}},
               {"Dqk", 3, {48, 192, 33}},
               {"Dv", 3, {24, 128, 33}}};
static const int other_extents[] = {3, 17, 1, 64, 0, 33, 2};

// H is hidden elements, but where a kernel is made for it heads.
static const int heads[] = {64, 1, 24, 33};

static int extent_of(const char *letter, tg_symbol_kind kind, int i) {
  if (kind == TG_SYM_STATIC && strcmp(letter, "H") == 0) return heads[i % (int)(sizeof heads / sizeof *heads)];
  for (size_t k = 0; k < sizeof extents / sizeof *extents; k++) {
    if (strcmp(extents[k].letter, letter) == 0) return extents[k].values[i % extents[k].n];
  }
  return other_extents[i % (int)(sizeof other_extents / sizeof *other_extents)];
}

tg_bindings tg_check_shape(tg_arena *arena, const tg_kernel *signature, int i) {
  tg_binding *at = TG_NEWN(arena, tg_binding, signature->nsymbols + 1);
  int n = 0;
  for (int s = 0; s < signature->nsymbols; s++) {
    if (signature->symbols[s].value >= 0) continue;
    int extent = extent_of(signature->symbols[s].name, signature->symbols[s].kind, i);
    if (signature->symbols[s].kind == TG_SYM_STATIC && extent == 0) extent = 1; // often a tile's extent
    at[n++] = (tg_binding){signature->symbols[s].name, tg_arena_printf(arena, "%d", extent)};
  }
  return (tg_bindings){n, at};
}

tg_bindings tg_check_statics(tg_arena *arena, const tg_kernel *signature) {
  tg_bindings shape = tg_check_shape(arena, signature, TG_CHECK_UNEVEN);
  tg_binding *at = TG_NEWN(arena, tg_binding, shape.n + 1);
  int n = 0;
  for (int i = 0; i < shape.n; i++) {
    for (int s = 0; s < signature->nsymbols; s++) {
      if (signature->symbols[s].kind == TG_SYM_STATIC && strcmp(signature->symbols[s].name, shape.at[i].name) == 0) at[n++] = shape.at[i];
    }
  }
  return (tg_bindings){n, at};
}

// ---- a device

// The launch writes into the arrays, which were made zero; what it should not write stays so.
static void run_case(void *arg) {
  one_case *k = arg;
  tg_context *ctx = k->c->ctx;
  const char *device = k->c->options->device;
  tg_request request = {.device = device, .shape = k->given->shape, .settings = k->given->settings};
  tg_subject_make(ctx, &k->arena, k->given->source, &request, &k->subject);
  tg_check_status(ctx, tg_device_open(ctx, device, &k->device));
  tg_inputs_make(ctx, &k->arena, &k->subject, k->device, 1, &k->inputs);
  tg_run_options options = {.settings = k->given->settings, .shape = tg_bindings_join(&k->arena, k->subject.shape, k->subject.statics)};
  tg_check_status(ctx, tg_prepare(k->device, k->given->source, &options, k->inputs.n, k->inputs.args, &k->launchable));
  tg_check_status(ctx, tg_launchable_run(k->launchable, 1, NULL));
  int fd = tg_reference_make(ctx, &k->arena, &k->subject, &k->inputs, 1);
  tg_reference_map(ctx, &k->arena, fd, &k->inputs, &k->reference);
  close(fd);
  tg_check_status(ctx, tg_launchable_fetch(k->launchable));
  k->wrong = tg_gate(&k->arena, &k->reference, &k->inputs);
}

// ---- a target

static void compile_case(void *arg) {
  one_case *k = arg;
  tg_context *ctx = k->c->ctx;
  tg_split split;
  tg_split_settings(ctx, k->given->source, &k->given->settings, &k->arena, &split);
  tg_compile_options options = {.target = k->c->options->target, .settings = k->given->settings, .shape = k->given->shape};
  if (!options.shape.n) options.statics = tg_check_statics(&k->arena, split.signature);
  tg_check_status(ctx, tg_compile(ctx, k->given->source, &options, &k->artifact));
  k->artifact->form = k->c->options->form ? k->c->options->form : "asm";
  tg_text found = {.arena = &k->arena};
  for (int v = 0; v < k->artifact->nvariants; v++) {
    tg_bytes code;
    const tg_record *record = tg_artifact_variant(k->artifact, v, &code);
    if (!code.size) k->wrong = tg_arena_printf(&k->arena, "no code came out of variant %d", v);
    if (record->registers >= 0) tg_text_add(&found, "%s%d registers", found.size ? ", " : "", record->registers);
    if (record->spilled_bytes > 0) tg_text_add(&found, " and %d bytes spilled", record->spilled_bytes);
  }
  if (found.size) k->found = found.data;
}

// ---- both

static const char *listed(tg_arena *arena, tg_bindings list) {
  tg_text text = {.arena = arena};
  for (int i = 0; i < list.n; i++) tg_text_add(&text, "%s%s=%s", i ? "," : "", list.at[i].name, list.at[i].value);
  return text.size ? text.data : "";
}

static void release(one_case *k) {
  tg_context *ctx = k->c->ctx;
  tg_reference_unmap(&k->reference);
  tg_launchable_free(k->launchable);
  tg_artifact_free(k->artifact);
  tg_inputs_free(ctx, &k->inputs);
  if (k->device) tg_device_close(k->device);
  tg_arena_free(&k->arena);
}

bool tg_check_case(tg_checking *c, const tg_case *given) {
  const tg_check_options *o = c->options;
  if (c->counting) {
    c->total++;
    return true;
  }
  one_case k = {.c = c, .given = given, .found = ""};
  tg_arena_init(&k.arena, c->ctx);
  const tg_status status = tg_protect(c->ctx, o->device ? run_case : compile_case, &k);
  const char *wrong = status != TG_OK ? tg_error_message(c->ctx) : k.wrong, *say = wrong ? wrong : k.found;
  const char *what = listed(&k.arena, given->settings), *where = listed(&k.arena, given->shape);
  const char *line = tg_arena_printf(&k.arena, "%s%s%s%s%s%s%s", given->kernel, *where ? " " : "", where, *what ? " --set " : "", what,
                                     *say ? ": " : "", say);
  const bool refused = given->may_refuse && status == TG_INVALID;
  const tg_verdict verdict = !wrong ? TG_VERDICT_OK : refused ? TG_VERDICT_REFUSED : TG_VERDICT_FAIL;
  c->done++;
  c->failed += verdict == TG_VERDICT_FAIL;
  if (o->report) o->report(o->user, line, verdict, c->done, c->total);
  release(&k);
  return verdict != TG_VERDICT_FAIL;
}
