// Dead code: ops that write nothing and whose results nobody needs; carried values of loops and results of branches that nobody reads.
//
// What is needed is found from the writes backwards: value->note and op->note are marks while the pass runs. A carried value is needed when
// its result or its region argument is, so that one which only feeds itself goes.
#include "ir/ir.h"

static const char mark_of_needed; // its address is the mark
#define NEEDED ((void *)&mark_of_needed)

typedef struct marker {
  tg_arena arena;
  tg_kernel *kernel;
  tg_value **stack; // needed, what they need not yet looked at
  size_t n, capacity;
} marker;

static void need(marker *m, tg_value *v) {
  if (v->note) return;
  v->note = NEEDED;
  if (m->n == m->capacity) {
    m->capacity = m->capacity ? m->capacity * 2 : 256;
    tg_value **stack = TG_NEWN(&m->arena, tg_value *, m->capacity);
    if (m->n) memcpy(stack, m->stack, sizeof v * m->n);
    m->stack = stack;
  }
  m->stack[m->n++] = v;
}

// An op that has to stay: the ops around it stay too, with what decides whether it runs.
static void keep(marker *m, tg_op *op) {
  for (; op && !op->note; op = op->parent->owner) {
    op->note = NEEDED;
    // A loop's and branch's other operands are needed one by one, with their results.
    int n = op->code == TG_OP_FOR ? 2 : op->code == TG_OP_YIELD ? 0 : op->nin;
    for (int i = 0; i < n; i++) need(m, op->in[i]);
    for (int i = 0; i < op->nregions; i++) op->regions[i]->last->note = NEEDED;
    if (op->code != TG_OP_WHILE) continue;
    need(m, op->regions[0]->last->in[0]);
    for (int i = 0; i < op->regions[1]->last->nin; i++) need(m, op->regions[1]->last->in[i]);
  }
}

// Carried value i of a loop: where it starts and what each trip makes of it.
static void need_carried(marker *m, tg_op *loop, int i) {
  need(m, loop->in[2 + i]);
  need(m, loop->regions[0]->last->in[i]);
  need(m, loop->regions[0]->args[1 + i]);
  need(m, loop->out[i]);
}

static void look_at(marker *m, tg_value *v) {
  tg_op *op = v->def ? v->def : v->region->owner;
  if (!op) return; // a launch's argument
  keep(m, op);
  if (op->code == TG_OP_FOR && (v->def || v->index > 0)) need_carried(m, op, (int)(v->def ? v->index : v->index - 1));
  if (op->code == TG_OP_IF) {
    for (int r = 0; r < 2; r++) need(m, op->regions[r]->last->in[v->index]);
  }
}

// `while` may not end: removing it would change what the kernel does.
static void find_roots(tg_op *op, void *user) {
  unsigned traits = tg_op_rows()[op->code].traits;
  bool reads_or_pure = traits & (TG_READS | TG_PURE), writes = traits & TG_WRITES;
  bool control = op->code == TG_OP_FOR || op->code == TG_OP_IF || op->code == TG_OP_YIELD;
  if (!control && (writes || !reads_or_pure)) keep(user, op);
}

static void mark(void *arg) {
  marker *m = arg;
  for (int l = 0; l < m->kernel->nlaunches; l++) tg_walk(m->kernel->launches[l]->body, find_roots, m);
  while (m->n) look_at(m, m->stack[--m->n]);
}

static void drop(tg_value **values, int from, int n) {
  for (int k = from; k + 1 < n; k++) values[k] = values[k + 1];
}
static void drop_value(tg_value **values, int from, int n) {
  drop(values, from, n);
  for (int k = from; k + 1 < n; k++) values[k]->index = (uint32_t)k;
}

static void drop_unneeded(tg_op *op) {
  for (int i = op->nout; i-- > 0;) {
    if (op->out[i]->note) continue;
    for (int r = 0; r < op->nregions; r++) {
      tg_op *yield = op->regions[r]->last;
      drop(yield->in, i, yield->nin--);
    }
    if (op->code == TG_OP_FOR) {
      drop(op->in, 2 + i, op->nin--);
      drop_value(op->regions[0]->args, 1 + i, op->regions[0]->nargs--);
    }
    drop_value(op->out, i, op->nout--);
  }
}

static void sweep(tg_op *op, void *user) {
  (void)user;
  if (!op->note) tg_remove_op(op);
  else if (op->code == TG_OP_FOR || op->code == TG_OP_IF) drop_unneeded(op);
}

static void clear(tg_op *op, void *user) {
  (void)user;
  op->note = NULL;
  for (int i = 0; i < op->nout; i++) op->out[i]->note = NULL;
  for (int r = 0; r < op->nregions; r++) {
    for (int i = 0; i < op->regions[r]->nargs; i++) op->regions[r]->args[i]->note = NULL;
  }
}

static void clear_all(tg_kernel *kernel) {
  for (int l = 0; l < kernel->nlaunches; l++) {
    tg_region *body = kernel->launches[l]->body;
    for (int i = 0; i < body->nargs; i++) body->args[i]->note = NULL;
    tg_walk(body, clear, NULL);
  }
}

void tg_pass_dce(tg_kernel *kernel) {
  marker m = {.kernel = kernel};
  tg_arena_init(&m.arena, kernel->ctx);
  tg_status status = tg_protect(kernel->ctx, mark, &m);
  if (!status) {
    for (int l = 0; l < kernel->nlaunches; l++) tg_walk(kernel->launches[l]->body, sweep, NULL);
  }
  clear_all(kernel);
  tg_arena_free(&m.arena);
  if (status) tg_rethrow(kernel->ctx);
}
