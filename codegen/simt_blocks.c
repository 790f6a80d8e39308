// Persistent grids: a launch of as many blocks as run at once, each of which computes blocks of the kernel's grid one after the other, as
// far apart as there are blocks. Where a launch has pipes, operands of the next one are on their way while the last one's results are
// stored.
#include "codegen/simt_pipe.h"

const char *const simt_persistent_values[2] = {"0", "1"};

// ---- the knob --------------------------------------------------------------------------------------------------------------

typedef struct looking {
  simt *s;
  bool found;
} looking;

static void find_pipe(tg_op *op, void *user) {
  looking *l = user;
  simt_wgmma w;
  if (!l->found && (op->code == TG_OP_DOT || op->code == TG_OP_DOT_SCALED)) l->found = simt_pipe_fits(l->s, op, &w);
}

bool simt_may_pipe(simt *s) {
  looking l = {.s = s};
  for (int i = 0; i < s->tile->nlaunches && !l.found; i++) tg_walk(s->tile->launches[i]->body, find_pipe, &l);
  return l.found;
}

tg_knob simt_persistent_knob(void) {
  return (tg_knob){
      .name = "persistent",
      .doc = "1: as many blocks as run at once, each computes several of the grid's, whose operands come while results are stored",
      .nvalues = 2,
      .values = {0, 1}};
}

bool simt_persistent_setting(const tg_kernel *tile, const tg_lower_options *options, bool may) {
  static const int64_t flags[] = {0, 1};
  const bool set = simt_choice(tile, options, "persistent", 2, flags, 0) == 1;
  if (set && !may)
    tg_throw(
        tile->ctx, TG_INVALID,
        "persistent=1: in kernel '%s' no product has its operands from the copy unit with these settings: that takes tensor maps and "
        "products of warp groups, tiles of 64 rows or more, warps=4 or 8, stages=2 or more and specialise=1; and the machine must say how "
        "many multiprocessors it has",
        tile->name);
  return set;
}

// ---- how many blocks -------------------------------------------------------------------------------------------------------

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Blocks of a multiprocessor, as far as is known before the assembler has been there: by slots, and by registers of accumulators.
static int64_t blocks_of_multiprocessor(const simt *s) {
  enum { CONVERSIONS = 8 << 10, OTHERS = 64 };
  const tg_machine *m = s->machine;
  const int64_t threads = s->out->block[0], shared = s->shared_top + CONVERSIONS;
  int registers = m->max_registers > 0 ? (int)m->max_registers / 2 : 0;
  for (const simt_pipe *p = s->pipes; p; p = p->next) {
    const int held = (p->shape.memory ? p->shape.blocks * p->shape.n_each : simt_wgmma_registers(p->dot, s->warps)) + OTHERS;
    registers = held > registers ? held : registers;
  }
  int64_t n = m->blocks_sm > 0 ? (int64_t)m->blocks_sm : 1;
  if (m->shared_sm > 0) n = least(n, (int64_t)m->shared_sm / (shared + (int64_t)m->shared_reserved));
  if (m->warps_sm > 0) n = least(n, (int64_t)m->warps_sm * 32 / threads);
  if (m->registers_sm > 0 && registers) n = least(n, (int64_t)m->registers_sm / (threads * registers));
  if (s->pipes && s->slots->buffers) n = least(n, (int64_t)m->tensor_memory / simt_tcgen05_columns(s->slots));
  return n > 1 ? n : 1;
}

const tg_expr *simt_grid(simt *s) {
  const tg_expr *all = simt_all_blocks(s);
  if (!s->persistent) return all;
  const int64_t room = (int64_t)s->machine->sms * blocks_of_multiprocessor(s), cluster = s->cluster; // of which they are whole ones
  return tg_e_bin(s->arena, TG_EXPR_MIN, all, tg_e_const(s->arena, room < cluster ? cluster : room / cluster * cluster));
}

// ---- one after the other ---------------------------------------------------------------------------------------------------

static tg_value *argument32(simt *s, const tg_expr *e) { return tg_cast_to(&s->prologue, simt_argument(s, e), TG_I32, NULL); }

// Nothing has to wait between them: whoever uses shared memory first waits for those who used it before, as in any loop.
void simt_each_block(simt *s, void (*compute)(simt *s)) {
  if (!s->persistent) {
    compute(s);
    return;
  }
  tg_builder *p = &s->prologue;
  tg_value *first = tg_cast_to(p, tg_build0(p, TG_OP_CTAID, 1, &TG_AINT("axis", 0)), TG_I32, NULL);
  tg_value *by = argument32(s, s->out->grid[0]), *left = tg_build2(p, TG_OP_SUB, argument32(s, simt_all_blocks(s)), first);
  tg_value *one = simt_int(s, TG_I32, 1), *trips = tg_build2(p, TG_OP_DIV, tg_build2(p, TG_OP_SUB, simt_add(p, left, by), one), by);
  tg_value **count[4], *carried[4];
  const int n = s->pipes ? simt_counts(s, count) : 0;
  for (int i = 0; i < n; i++) carried[i] = *count[i];
  tg_op *loop = tg_build_for(&s->b, simt_int(s, TG_I32, 0), trips, 1, n, carried);
  tg_builder outer = s->b;
  tg_value *const *args = loop->regions[0]->args;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  for (int i = 0; i < n; i++) *count[i] = args[1 + i];
  s->block = simt_add(&s->b, first, simt_mul(&s->b, args[0], by));
  compute(s);
  for (int i = 0; i < n; i++) carried[i] = *count[i];
  tg_build_yield(&s->b, n, carried);
  s->b = outer;
  s->block = NULL;
}
