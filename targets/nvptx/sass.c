// Instructions of a disassembled kernel, their control flow, and its loops.
//
// nvdisasm -c writes "        /*0a60*/              @!P1 BRA `(.L_x_2) ;" and labels on lines of their own, cuobjdump -sass
// "        /*0a60*/              @!P1 BRA 0x1230 ;  /* 0x… */". Sections begin with ".text.ENTRY:" and "Function : ENTRY".
#include "targets/nvptx/sass.h"

#include <ctype.h>
#include <stdlib.h>

enum { MAX_INSTRUCTIONS = 1 << 18, MAX_BARRIERS = 64 };

typedef struct instruction {
  uint64_t address;
  const char *text; // of the line, after the address
  int n;            // its characters, up to the ';'
  const char *op;   // the mnemonic, with its modifiers
  int op_length;
  bool predicated;
} instruction;

typedef struct label {
  const char *name;
  int length, at; // at: index of the instruction that follows
} label;

typedef struct code {
  tg_arena *arena;
  instruction *at;
  int n, capacity;
  label *labels;
  int nlabels, label_capacity;
} code;

// ---- reading

static void *grown(tg_arena *arena, void *from, size_t size, int n, int *capacity) {
  if (n < *capacity) return from;
  *capacity = *capacity ? 2 * *capacity : 256;
  char *to = tg_arena_alloc(arena, size * (size_t)*capacity);
  if (n) memcpy(to, from, size * (size_t)n);
  return to;
}

static bool is_mnemonic(char c) { return isalnum((unsigned char)c) || c == '.' || c == '_'; }

// Takes a line as an instruction: "/*HEX*/ [@[!]P] OP … ;".
static void read_instruction(code *c, const char *p, const char *end) {
  char *after;
  if (end - p < 6 || p[0] != '/' || p[1] != '*' || !isxdigit((unsigned char)p[2]) || (p[2] == '0' && p[3] == 'x')) return;
  const uint64_t address = strtoull(p + 2, &after, 16);
  if (after + 2 > end || after[0] != '*' || after[1] != '/') return;
  for (p = after + 2; p < end && (isspace((unsigned char)*p) || *p == '{' || *p == '}');) p++;
  const char *stop = memchr(p, ';', (size_t)(end - p));
  if (!stop) return;
  instruction i = {.address = address, .predicated = *p == '@'};
  if (i.predicated) {
    while (p < stop && !isspace((unsigned char)*p)) p++;
    while (p < stop && isspace((unsigned char)*p)) p++;
  }
  i.op = i.text = p;
  while (p < stop && is_mnemonic(*p)) p++;
  i.op_length = (int)(p - i.op);
  i.n = (int)(stop - i.text);
  if (!i.op_length || c->n == MAX_INSTRUCTIONS) return;
  c->at = grown(c->arena, c->at, sizeof *c->at, c->n, &c->capacity);
  c->at[c->n++] = i;
}

static void read_label(code *c, const char *p, const char *end) {
  const char *name = p;
  while (p < end && (is_mnemonic(*p) || *p == '$')) p++;
  if (p == name || p == end || *p != ':') return;
  c->labels = grown(c->arena, c->labels, sizeof *c->labels, c->nlabels, &c->label_capacity);
  c->labels[c->nlabels++] = (label){name, (int)(p - name), c->n};
}

static bool is_word(const char *p, const char *end, const char *prefix, const char *word, const char *suffix) {
  const char *const parts[] = {prefix, word, suffix};
  for (int i = 0; i < 3; i++) {
    const size_t n = strlen(parts[i]);
    if ((size_t)(end - p) < n || memcmp(p, parts[i], n)) return false;
    p += n;
  }
  while (p < end && isspace((unsigned char)*p)) p++;
  return p == end;
}

static bool read_code(code *c, const char *text, size_t size, const char *entry) {
  bool inside = false, found = false;
  for (const char *p = text, *last = text + size; p < last;) {
    const char *end = memchr(p, '\n', (size_t)(last - p)), *next;
    if (!end) end = last;
    next = end + 1;
    while (p < end && isspace((unsigned char)*p)) p++;
    if (is_word(p, end, ".text.", entry, ":") || is_word(p, end, "Function : ", entry, "")) {
      inside = found = true;
    } else if (inside && ((end - p > 8 && !memcmp(p, ".section", 8)) || (end - p > 10 && !memcmp(p, "Function :", 10)))) {
      inside = false;
    } else if (inside && *p == '/') {
      read_instruction(c, p, end);
    } else if (inside && p < end) {
      read_label(c, p, end);
    }
    p = next;
  }
  return found && c->n > 0 && c->n < MAX_INSTRUCTIONS;
}

// ---- where an instruction goes

static bool op_is(const instruction *i, const char *name) {
  const int n = (int)strlen(name);
  return i->op_length >= n && !memcmp(i->op, name, (size_t)n) && (i->op_length == n || i->op[n] == '.');
}

static int compare_labels(const void *a, const void *b) {
  const label *x = a, *y = b;
  const int n = x->length < y->length ? x->length : y->length, order = memcmp(x->name, y->name, (size_t)n);
  return order ? order : x->length - y->length;
}

static int at_address(const code *c, uint64_t address) {
  int low = 0, high = c->n;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (c->at[middle].address < address) low = middle + 1;
    else high = middle;
  }
  return low < c->n && c->at[low].address == address ? low : -1;
}

// The instruction that an operand `(LABEL) or 0xADDRESS names, -1 = none.
static int target_of(const code *c, const instruction *i) {
  const char *p = memchr(i->text, '`', (size_t)i->n), *end = i->text + i->n;
  if (p && end - p > 2 && p[1] == '(') {
    const char *name = p + 2, *close = memchr(name, ')', (size_t)(end - name));
    if (!close) return -1;
    const label key = {name, (int)(close - name), 0},
                *found = c->nlabels ? bsearch(&key, c->labels, (size_t)c->nlabels, sizeof key, compare_labels) : NULL;
    return found && found->at < c->n ? found->at : -1;
  }
  for (p = i->op + i->op_length; p + 2 < end; p++)
    if (p[0] == '0' && p[1] == 'x' && (p[-1] == ' ' || p[-1] == ',')) return at_address(c, strtoull(p, NULL, 16));
  return -1;
}

// A branch is taken for sure when neither a predicate before it nor one among its operands decides.
static bool is_certain(const instruction *i) {
  if (i->predicated || op_is(i, "BRA.DIV") || op_is(i, "BRA.CONV")) return false;
  const char *p = i->op + i->op_length, *end = i->text + i->n;
  while (p < end && *p == ' ') p++;
  return p < end && (*p == '`' || *p == '0');
}

typedef struct flow {
  int next[2]; // instructions, -1 = none
} flow;

static flow flow_of(const code *c, int k, const int *sync) {
  const instruction *i = &c->at[k];
  flow f = {{k + 1 < c->n ? k + 1 : -1, -1}};
  if (op_is(i, "BRA") || op_is(i, "JMP")) {
    f.next[1] = target_of(c, i);
    if (is_certain(i)) f.next[0] = -1;
  } else if (op_is(i, "BSYNC") && sync[k] >= 0) {
    f.next[1] = sync[k];
    if (!i->predicated) f.next[0] = -1;
  } else if ((op_is(i, "EXIT") || op_is(i, "RET") || op_is(i, "KILL") || op_is(i, "BRX") || op_is(i, "JMX")) && !i->predicated) {
    f.next[0] = -1;
  }
  return f;
}

// Where each BSYNC leads: to the label of the BSSY before it that set its barrier.
static int *find_syncs(const code *c) {
  int *sync = TG_NEWN(c->arena, int, c->n), set[MAX_BARRIERS];
  for (int b = 0; b < MAX_BARRIERS; b++) set[b] = -1;
  for (int k = 0; k < c->n; k++) {
    const instruction *i = &c->at[k];
    sync[k] = -1;
    const bool sets = op_is(i, "BSSY");
    if (!sets && !op_is(i, "BSYNC")) continue;
    const char *p = i->op + i->op_length, *end = i->text + i->n;
    while (p < end && *p == ' ') p++;
    const int barrier = p + 1 < end && *p == 'B' && isdigit((unsigned char)p[1]) ? atoi(p + 1) : MAX_BARRIERS;
    if (barrier < 0 || barrier >= MAX_BARRIERS) continue;
    if (sets) set[barrier] = target_of(c, i);
    else sync[k] = set[barrier];
  }
  return sync;
}

// ---- blocks and dominators

typedef struct block {
  int first, last; // instructions
  int next[2];     // blocks, -1 = none
  int order;       // in reverse postorder, -1 = cannot be reached
  int dominator;
} block;

typedef struct graph {
  const code *c;
  block *at;
  int n;
  int *order; // blocks in reverse postorder
  int norder;
} graph;

static void make_blocks(graph *g) {
  const code *c = g->c;
  const int *sync = find_syncs(c);
  bool *starts = TG_NEWN(c->arena, bool, c->n + 1);
  flow *flows = TG_NEWN(c->arena, flow, c->n);
  int *of = TG_NEWN(c->arena, int, c->n);
  starts[0] = true;
  for (int k = 0; k < c->n; k++) {
    flows[k] = flow_of(c, k, sync);
    if (flows[k].next[1] >= 0) starts[flows[k].next[1]] = true;
    if (flows[k].next[1] >= 0 || flows[k].next[0] < 0) starts[k + 1] = true;
  }
  for (int k = 0; k < c->n; k++) g->n += starts[k];
  g->at = TG_NEWN(c->arena, block, g->n + 1);
  int b = -1;
  for (int k = 0; k < c->n; k++) {
    if (starts[k]) g->at[++b] = (block){.first = k, .order = -1, .dominator = -1};
    g->at[b].last = k;
    of[k] = b;
  }
  for (b = 0; b < g->n; b++)
    for (int i = 0; i < 2; i++) {
      const int next = flows[g->at[b].last].next[i];
      g->at[b].next[i] = next < 0 ? -1 : of[next];
    }
}

static void number_blocks(graph *g) {
  typedef struct visit {
    int block, edge;
  } visit;
  visit *stack = TG_NEWN(g->c->arena, visit, g->n + 1);
  bool *seen = TG_NEWN(g->c->arena, bool, g->n + 1);
  int depth = 0, left = g->n;
  g->order = TG_NEWN(g->c->arena, int, g->n + 1);
  stack[depth++] = (visit){0, 0};
  seen[0] = true;
  while (depth) {
    visit *v = &stack[depth - 1];
    if (v->edge == 2) {
      g->order[--left] = v->block;
      depth--;
      continue;
    }
    const int next = g->at[v->block].next[v->edge++];
    if (next < 0 || seen[next]) continue;
    seen[next] = true;
    stack[depth++] = (visit){next, 0};
  }
  g->norder = g->n - left;
  memmove(g->order, g->order + left, sizeof *g->order * (size_t)g->norder);
  for (int i = 0; i < g->norder; i++) g->at[g->order[i]].order = i;
}

static int common(const graph *g, int a, int b) {
  while (a != b) {
    while (g->at[a].order > g->at[b].order) a = g->at[a].dominator;
    while (g->at[b].order > g->at[a].order) b = g->at[b].dominator;
  }
  return a;
}

// Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", 2001, pushed along edges.
static void find_dominators(graph *g) {
  g->at[0].dominator = 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (int i = 0; i < g->norder; i++) {
      const int b = g->order[i];
      for (int e = 0; e < 2; e++) {
        const int next = g->at[b].next[e];
        if (next <= 0) continue; // the entry keeps itself
        const int old = g->at[next].dominator, now = old < 0 ? b : common(g, old, b);
        if (now == old) continue;
        g->at[next].dominator = now;
        changed = true;
      }
    }
  }
}

static bool dominates(const graph *g, int a, int b) {
  while (g->at[b].order > g->at[a].order) b = g->at[b].dominator;
  return a == b;
}

// ---- loops

typedef struct loop {
  int first, last; // instructions
  tg_sass_loop count;
  int64_t work; // multiplications of a warp by matrix instructions
} loop;

static bool is_matrix(const instruction *i) {
  const char *dot = memchr(i->op, '.', (size_t)i->op_length);
  const int n = dot ? (int)(dot - i->op) : i->op_length;
  return n >= 4 && !memcmp(i->op + n - 3, "MMA", 3); // HMMA, QMMA, HGMMA, UTCQMMA, …
}

static int64_t number(const char **at, const char *end) {
  int64_t n = 0;
  for (; *at < end && **at >= '0' && **at <= '9' && n < 4096; ++*at) n = 10 * n + (**at - '0');
  return n;
}

// HGMMA.64x256x16: of a group of four warps. HMMA.16816: 16 x 8 x 16 of a warp. The shape of UTCHMMA lies in a register: as much as the
// largest of a group. Anything else counts as the smallest.
static int64_t work_of(const instruction *i) {
  if (i->op_length > 3 && !memcmp(i->op, "UTC", 3)) return 64 * 256 * 32 / 4;
  const char *end = i->op + i->op_length, *at = memchr(i->op, '.', (size_t)i->op_length);
  if (!at) return 1;
  at++;
  if (end - at > 3 && !memcmp(at, "168", 3) && at[3] != 'x') {
    at += 3;
    return 16 * 8 * number(&at, end) + 1;
  }
  int64_t product = number(&at, end);
  for (int k = 0; k < 2 && at < end && *at == 'x'; k++) at++, product *= number(&at, end);
  return product / 4 + 1;
}

typedef struct edges { // backwards, and room for a search along them
  int *count, **from;
  bool *in;
  int *stack;
} edges;

// The loop of a header: blocks that reach one of the branches back to it without passing it. matrix 0: there is none, or none that counts.
static loop measure(const graph *g, int header, const edges *e) {
  loop l = {.first = g->at[header].first, .last = -1};
  int depth = 0;
  for (int i = 0; i < e->count[header]; i++) {
    const int b = e->from[header][i];
    if (g->at[b].order < 0 || g->at[b].last < l.first || !dominates(g, header, b)) continue;
    l.last = g->at[b].last > l.last ? g->at[b].last : l.last;
    if (b != header) e->stack[depth++] = b;
  }
  if (l.last < 0) return l;
  memset(e->in, 0, sizeof *e->in * (size_t)g->n);
  for (int i = 0; i < depth; i++) e->in[e->stack[i]] = true;
  e->in[header] = true;
  while (depth) {
    const int b = e->stack[--depth];
    for (int i = 0; i < e->count[b]; i++) {
      const int p = e->from[b][i];
      if (!e->in[p] && g->at[p].order >= 0) e->in[p] = true, e->stack[depth++] = p;
    }
  }
  for (int b = header; b < g->n && g->at[b].last <= l.last; b++) {
    if (!e->in[b]) continue;
    for (int k = g->at[b].first; k <= g->at[b].last; k++) {
      l.count.instructions++;
      if (!is_matrix(&g->c->at[k])) continue;
      l.count.matrix++;
      l.work += work_of(&g->c->at[k]);
    }
  }
  return l;
}

static edges reversed(const graph *g) {
  tg_arena *arena = g->c->arena;
  edges e = {TG_NEWN(arena, int, g->n + 1), TG_NEWN(arena, int *, g->n + 1), TG_NEWN(arena, bool, g->n + 1),
             TG_NEWN(arena, int, 2 * g->n + 2)};
  for (int b = 0; b < g->n; b++)
    for (int i = 0; i < 2; i++)
      if (g->at[b].next[i] >= 0) e.count[g->at[b].next[i]]++;
  for (int b = 0; b < g->n; b++) e.from[b] = TG_NEWN(arena, int, e.count[b] + 1), e.count[b] = 0;
  for (int b = 0; b < g->n; b++)
    for (int i = 0; i < 2; i++) {
      const int next = g->at[b].next[i];
      if (next >= 0) e.from[next][e.count[next]++] = b;
    }
  return e;
}

static bool better(const loop *a, const loop *b) {
  return a->work > b->work || (a->work == b->work && a->count.instructions < b->count.instructions);
}

static void find_loops(graph *g, tg_sass_loop *out) {
  enum { MAX_LOOPS = 1024 };
  const edges e = reversed(g);
  loop *loops = TG_NEWN(g->c->arena, loop, MAX_LOOPS);
  loop best = {0};
  int n = 0;
  for (int b = 0; b < g->n && n < MAX_LOOPS; b++) {
    if (g->at[b].order < 0 || e.count[b] < 1) continue;
    const loop l = measure(g, b, &e);
    if (l.count.matrix) loops[n++] = l;
  }
  for (int i = 0; i < n; i++) {
    bool innermost = true;
    for (int j = 0; j < n; j++) innermost &= j == i || loops[j].first < loops[i].first || loops[j].last > loops[i].last;
    if (innermost && better(&loops[i], &best)) best = loops[i];
  }
  *out = best.count;
}

bool tg_sass_main_loop(tg_arena *arena, const char *text, size_t size, const char *entry, tg_sass_loop *out) {
  code c = {.arena = arena};
  *out = (tg_sass_loop){0, 0};
  if (!read_code(&c, text, size, entry)) return false;
  if (c.nlabels) qsort(c.labels, (size_t)c.nlabels, sizeof *c.labels, compare_labels);
  graph g = {.c = &c};
  make_blocks(&g);
  number_blocks(&g);
  find_dominators(&g);
  find_loops(&g, out);
  return true;
}
