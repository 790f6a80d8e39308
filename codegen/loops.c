// The loops lowering: tile IR to lane IR for processors where one worker runs a whole block.
#include <stdlib.h>

#include "codegen/loops.h"
#include "codegen/loops_dot.h"

int64_t loops_knob(lower *L, const char *name, int least, int64_t fallback) {
  const tg_bindings *s = &L->options->settings;
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->at[i].name, name)) {
      char *end;
      long long v = strtoll(s->at[i].value, &end, 10);
      if (*end || v < least || v > 1 << 16)
        tg_throw(L->ctx, TG_INVALID, "%s=%s: an integer from %d to 65536 is wanted", name, s->at[i].value, least);
      return v;
    }
  return fallback;
}

typedef struct found_dots {
  bool any, pairs, fits; // pairs: some dot has dtypes that bf16 pairs take; fits: and a shape
} found_dots;

static void find_dot(tg_op *op, void *user) {
  found_dots *found = user;
  if (op->code != TG_OP_DOT && op->code != TG_OP_DOT_SCALED) return;
  found->any = true;
  found->pairs = found->pairs || loops_dot2_takes(op);
  found->fits = found->fits || loops_dot2_fits(op) || loops_dot2_few(op);
}

enum { STREAM_FROM = 32 }; // MiB

static void lower_launch(tg_kernel *tile, tg_kernel *lane, const tg_lower_options *options, tg_arena *arena, int index) {
  lower *L = TG_NEW(arena, lower);
  L->ctx = tile->ctx, L->tile = tile, L->lane = lane, L->options = options, L->machine = options->machine, L->arena = arena;
  L->from = tile->launches[index];
  L->to = tg_add_launch(lane, L->from->naxes, L->from->grid);
  L->to->loc = L->loc = L->from->loc;
  L->to->entry = tg_arena_printf(&lane->arena, "%s_%d", tile->name, index);
  for (int i = 0; i < 3; i++) L->to->block[i] = 1;
  tg_region *body = L->to->body;
  body->args = TG_NEWN(&lane->arena, tg_value *, sizeof L->args / sizeof *L->args);
  L->levels[0] = (level){.region = body};
  found_dots found = {0}; // which leave their results to the caches: there is more to do than to store
  tg_walk(L->from->body, find_dot, &found);
  if (!found.any) L->stream_from = loops_knob(L, "stream", 1, STREAM_FROM) << 20;
  loops_restore_nan(L);
  loops_reduce_asserts(L);
  loops_plan(L, L->from);
  loops_region(L, L->from->body);
  L->to->nargs = L->nargs;
  L->to->args = TG_NEWN(&lane->arena, tg_arg, L->nargs ? L->nargs : 1);
  memcpy(L->to->args, L->args, sizeof *L->args * (size_t)L->nargs);
}

typedef struct job {
  tg_kernel *tile, *lane;
  const tg_lower_options *options;
  tg_arena arena;
} job;

static void lower_all(void *arg) {
  job *J = arg;
  J->lane = tg_kernel_like(J->tile, TG_LEVEL_LANE);
  for (int i = 0; i < J->tile->nlaunches; i++) lower_launch(J->tile, J->lane, J->options, &J->arena, i);
}

static void forget_region(tg_region *region) {
  for (int i = 0; i < region->nargs; i++) region->args[i]->note = NULL;
  for (tg_op *op = region->first; op; op = op->next) {
    for (int i = 0; i < op->nout; i++) op->out[i]->note = NULL;
    for (int i = 0; i < op->nregions; i++) forget_region(op->regions[i]);
  }
}

static tg_kernel *lower_kernel(tg_kernel *tile, const tg_lower_options *options) {
  job J = {.tile = tile, .options = options};
  tg_arena_init(&J.arena, tile->ctx);
  tg_status status = tg_protect(tile->ctx, lower_all, &J);
  for (int i = 0; i < tile->nlaunches; i++) forget_region(tile->launches[i]->body);
  tg_arena_free(&J.arena);
  if (status != TG_OK) {
    if (J.lane) tg_kernel_free(J.lane);
    tg_rethrow(tile->ctx);
  }
  return J.lane;
}

static int knobs(const tg_kernel *tile, const tg_machine *machine, tg_knob *out, int max) {
  found_dots found = {0};
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, find_dot, &found);
  if (max < 3) return 0;
  if (!found.any) {
    out[0] = (tg_knob){.name = "stream",
                       .doc = "MiB of an output from which on its stores pass by the caches",
                       .nvalues = 3,
                       .values = {STREAM_FROM, 4, 4096}};
    return 1;
  }
  out[0] =
      (tg_knob){.name = "kc", .doc = "elements of the reduced axis that a dot packs at once", .nvalues = 4, .values = {256, 128, 384, 512}};
  int rows = machine->micro_rows > 0 ? (int)machine->micro_rows : 4;
  out[1] = (tg_knob){.name = "mr", .doc = "rows of the dot's micro-kernel", .nvalues = 2, .values = {rows, rows > 8 ? 8 : 4}};
  if (!found.pairs) return 2;
  int native = machine->bf16_dot > 0, worth = native && found.fits;
  out[2] = (tg_knob){.name = "dot2",
                     .doc = "1: dots by pairs of bf16: of e4m3, and of bf16 in tiles of five rows and more, where it takes subnormals as 0",
                     .nvalues = 1 + worth,
                     .nmore = 1 - worth,
                     .values = {native, !native}};
  return 3;
}

const tg_lowering tg_lowering_loops = {.name = "loops", .lower = lower_kernel, .knobs = knobs};
