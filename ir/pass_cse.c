// Common subexpressions: of two pure ops with equal operands and attributes, the second is replaced by the first where the first is
// visible.
//
// A hash table with an undo list follows the nesting of regions: what was entered inside a region is forgotten when the region ends. A
// value's replacement is kept in value->note while the pass runs.
#include "ir/ir.h"

typedef struct entry {
  tg_op *op;
  uint64_t hash;
  struct entry *chain; // same bucket
  struct entry *below; // entered before this one
} entry;

typedef struct table {
  tg_arena arena;
  entry *bucket[1024];
  entry *top; // most recent
} table;

static uint64_t hash_attr(const tg_attr *a, uint64_t h) {
  h = tg_hash(a->key, strlen(a->key), h);
  switch (a->kind) {
  case TG_ATTR_INT: return tg_hash(&a->i, sizeof a->i, h);
  case TG_ATTR_FLOAT: return tg_hash(&a->f, sizeof a->f, h);
  case TG_ATTR_STR: return tg_hash(a->s, strlen(a->s), h);
  case TG_ATTR_INTS: return tg_hash(a->ints, sizeof *a->ints * (size_t)a->n, h);
  case TG_ATTR_TYPE: return tg_hash(&a->type, sizeof a->type, h);
  case TG_ATTR_EXPR: return h; // told apart by equality
  }
  return h;
}

static bool equal_attr(const tg_attr *a, const tg_attr *b) {
  if (strcmp(a->key, b->key) || a->kind != b->kind) return false;
  switch (a->kind) {
  case TG_ATTR_INT: return a->i == b->i;
  case TG_ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0; // -0 and NaNs stay themselves
  case TG_ATTR_STR: return strcmp(a->s, b->s) == 0;
  case TG_ATTR_INTS: return a->n == b->n && memcmp(a->ints, b->ints, sizeof *a->ints * (size_t)a->n) == 0;
  case TG_ATTR_TYPE: return tg_type_equal(a->type, b->type);
  case TG_ATTR_EXPR: return tg_e_equal(a->e, b->e);
  }
  return false;
}

static uint64_t hash_op(const tg_op *op) {
  uint64_t h = tg_hash(&op->code, sizeof op->code, 0);
  for (int i = 0; i < op->nin; i++) h = tg_hash(&op->in[i]->id, sizeof op->in[i]->id, h);
  for (int i = 0; i < op->nattrs; i++) h = hash_attr(&op->attrs[i], h);
  return h;
}

static bool equal_op(const tg_op *a, const tg_op *b) {
  if (a->code != b->code || a->nin != b->nin || a->nout != b->nout || a->nattrs != b->nattrs) return false;
  for (int i = 0; i < a->nin; i++)
    if (a->in[i] != b->in[i]) return false;
  for (int i = 0; i < a->nout; i++)
    if (!tg_type_equal(a->out[i]->type, b->out[i]->type)) return false;
  for (int i = 0; i < a->nattrs; i++)
    if (!equal_attr(&a->attrs[i], &b->attrs[i])) return false;
  return true;
}

// Two `scratch` ops with equal attributes are two pieces of storage.
static bool mergeable(const tg_op *op) { return (tg_op_rows()[op->code].traits & TG_PURE) && !op->nregions && op->code != TG_OP_SCRATCH; }

static tg_op *find_or_enter(table *t, tg_op *op) {
  uint64_t hash = hash_op(op);
  entry **bucket = &t->bucket[hash % 1024];
  for (entry *e = *bucket; e; e = e->chain)
    if (e->hash == hash && equal_op(e->op, op)) return e->op;
  entry *e = TG_NEW(&t->arena, entry);
  *e = (entry){op, hash, *bucket, t->top};
  *bucket = t->top = e;
  return op;
}

static void leave(table *t, entry *mark) {
  for (; t->top != mark; t->top = t->top->below) t->bucket[t->top->hash % 1024] = t->top->chain;
}

static void visit(table *t, tg_region *region) {
  entry *mark = t->top;
  for (tg_op *op = region->first, *next; op; op = next) {
    next = op->next;
    for (int i = 0; i < op->nin; i++)
      if (op->in[i]->note) op->in[i] = op->in[i]->note;
    for (int i = 0; i < op->nregions; i++) visit(t, op->regions[i]);
    if (!mergeable(op)) continue;
    tg_op *first = find_or_enter(t, op);
    if (first == op) continue;
    for (int i = 0; i < op->nout; i++) op->out[i]->note = first->out[i];
    tg_remove_op(op); // its results keep their notes: later uses are redirected as they are visited
  }
  leave(t, mark);
}

typedef struct {
  tg_kernel *kernel;
  table table;
} job;

static void run(void *arg) {
  job *j = arg;
  for (int l = 0; l < j->kernel->nlaunches; l++) visit(&j->table, j->kernel->launches[l]->body);
}

void tg_pass_cse(tg_kernel *kernel) {
  job j = {.kernel = kernel};
  tg_arena_init(&j.table.arena, kernel->ctx);
  tg_status status = tg_protect(kernel->ctx, run, &j);
  tg_arena_free(&j.table.arena);
  if (status) tg_rethrow(kernel->ctx);
}
