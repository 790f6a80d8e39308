// PTX text to ptx_module: one pass; labels are looked up when an entry ends, for they may stand behind the branch.
#include <stdlib.h>

#include "targets/sim/lex.h"
#include "targets/sim/ptx.h"

const ptx_type_row ptx_types[PTX_NTYPES] = {
#define TYPE(name, bytes, cls) {#name, bytes, cls},
#include "targets/sim/types.def"
#undef TYPE
};

int ptx_type_find(const char *name) {
  for (int i = 0; i < PTX_NTYPES; i++)
    if (!strcmp(ptx_types[i].name, name)) return i;
  return -1;
}

static const char *const specials[PTX_NSPECIALS] = {
#define SPECIAL(id, name, bytes) name,
#include "targets/sim/special.def"
#undef SPECIAL
};

enum { MAX_DEPTH = 64, MAX_REGS = 1 << 20, MAX_BYTES = 1 << 30 };

typedef struct named { // a declared name: a register or family, a variable, a label, a branch table
  const char *name;
  int scope;
  enum { NAMED_REG, NAMED_FAMILY, NAMED_VAR, NAMED_LABEL, NAMED_TABLE } kind;
  int first, count; // registers; instruction; table
  ptx_var *var;
  struct named *next; // of the same bucket
} named;

typedef struct table_text { // .branchtargets, its labels by name
  int n, scope;
  const char **labels;
} table_text;

enum { BUCKETS = 4096 };
typedef struct parser {
  ptx_lexer lex;
  tg_arena *arena;
  ptx_module *module;
  ptx_entry *entry;
  named *buckets[BUCKETS];
  int scope, nscopes; // 0 = module
  int *parents;       // of each scope
  int depth;
  int *instr_scope; // of each instruction of the entry
  table_text *tables;
  uint64_t local_bytes, shared_bytes;
} parser;

// ---- names

static named *find(const parser *p, const char *name, int scope, bool labels) {
  for (; scope >= 0; scope = p->parents[scope])
    for (named *n = p->buckets[tg_hash(name, strlen(name), 0) % BUCKETS]; n; n = n->next)
      if (n->scope == scope && (n->kind >= NAMED_LABEL) == labels && n->kind != NAMED_FAMILY && !strcmp(n->name, name)) return n;
  return NULL;
}

static named *find_family(const parser *p, const char *name, size_t length, int scope) {
  for (; scope >= 0; scope = p->parents[scope])
    for (named *n = p->buckets[tg_hash(name, length, 0) % BUCKETS]; n; n = n->next)
      if (n->scope == scope && n->kind == NAMED_FAMILY && strlen(n->name) == length && !memcmp(n->name, name, length)) return n;
  return NULL;
}

static named *declare(parser *p, const char *name, int kind) {
  named *n = TG_NEW(p->arena, named), **bucket = &p->buckets[tg_hash(name, strlen(name), 0) % BUCKETS];
  *n = (named){.name = name, .scope = p->scope, .kind = kind, .next = *bucket};
  for (named *other = *bucket; other; other = other->next)
    if (other->scope == n->scope && !strcmp(other->name, name) && (other->kind >= NAMED_LABEL) == (kind >= NAMED_LABEL))
      ptx_fail(&p->lex, "'%s' is declared twice", name);
  return *bucket = n;
}

// "%r12": a register of its own, or the 12th of the family %r.
static int find_reg(const parser *p, const char *name) {
  const named *n = find(p, name, p->scope, false);
  if (n) return n->kind == NAMED_REG ? n->first : -1;
  size_t length = strlen(name);
  while (length && name[length - 1] >= '0' && name[length - 1] <= '9') length--;
  if (!name[length] || strlen(name + length) > 7) return -1;
  const named *family = find_family(p, name, length, p->scope);
  const int number = atoi(name + length);
  return family && number < family->count ? family->first + number : -1;
}

static int find_special(const char *name) {
  for (int i = 0; i < PTX_NSPECIALS; i++)
    if (!strcmp(specials[i], name)) return i;
  return -1;
}

static void open_scope(parser *p) {
  if (++p->depth > MAX_DEPTH) ptx_fail(&p->lex, "more than %d braces are open", MAX_DEPTH);
  p->parents = tg_arena_grow(p->arena, p->parents, (size_t)p->nscopes, sizeof *p->parents);
  p->parents[p->nscopes] = p->scope;
  p->scope = p->nscopes++;
}

static void close_scope(parser *p) {
  p->depth--;
  p->scope = p->parents[p->scope];
}

// ---- operands

static void parse_operand(parser *p, ptx_operand *out, int nested);

static void parse_items(parser *p, ptx_operand *out, int nested) {
  if (nested > 2) ptx_fail(&p->lex, "braces within braces within an operand");
  ptx_expect(&p->lex, '{');
  do {
    out->items = tg_arena_grow(p->arena, out->items, (size_t)out->nitems, sizeof *out->items);
    parse_operand(p, &out->items[out->nitems++], nested + 1);
    if (out->nitems > 256) ptx_fail(&p->lex, "a vector of more than 256");
  } while (ptx_accept(&p->lex, ','));
  ptx_expect(&p->lex, '}');
}

// NAME [+ NUMBER]: a register, a variable or a label.
static void parse_name(parser *p, ptx_operand *out) {
  const char *name = ptx_name(&p->lex);
  const int special = name[0] == '%' ? find_special(name) : -1;
  if (!strcmp(name, "_")) {
    out->kind = PTX_SINK;
  } else if ((out->reg = find_reg(p, name)) >= 0) {
    out->kind = PTX_REG;
  } else if (special >= 0) {
    out->kind = PTX_SPECIAL, out->value = special;
  } else if (!strcmp(name, "WARP_SZ")) {
    out->kind = PTX_INT, out->value = 32;
  } else {
    const named *n = find(p, name, p->scope, false);
    if (!n && name[0] == '%') ptx_fail(&p->lex, "register '%s' is not declared", name);
    out->kind = n && n->var ? PTX_SYMBOL : PTX_LABEL;
    out->var = n ? n->var : NULL;
    out->text = name;
  }
}

static int64_t parse_offset(parser *p) {
  int64_t total = 0;
  while (ptx_peek(&p->lex) == '+' || ptx_peek(&p->lex) == '-') {
    bool minus = false, real;
    for (int c; (c = ptx_peek(&p->lex)) == '+' || c == '-'; ptx_accept(&p->lex, c)) minus ^= c == '-'; // LLVM writes +-4
    const int64_t n = ptx_number(&p->lex, &real);
    if (real) ptx_fail(&p->lex, "an offset is an integer");
    total = (int64_t)((uint64_t)total + (minus ? -(uint64_t)n : (uint64_t)n));
  }
  return total;
}

static void parse_address(parser *p, ptx_operand *out, int nested) {
  ptx_expect(&p->lex, '[');
  bool real = false;
  if (ptx_peek(&p->lex) >= '0' && ptx_peek(&p->lex) <= '9') {
    *out = (ptx_operand){.kind = PTX_INT, .reg = -1, .pair = -1, .value = ptx_number(&p->lex, &real)};
  } else {
    parse_name(p, out);
  }
  if (real || (out->kind != PTX_REG && out->kind != PTX_SYMBOL && out->kind != PTX_INT))
    ptx_fail(&p->lex, "what stands in brackets must be a register, a variable or a number%s%s", out->text ? ": " : "",
             out->text ? out->text : "");
  if (out->kind != PTX_REG) out->reg = -1;
  out->kind = PTX_ADDRESS;
  out->value = (int64_t)((uint64_t)out->value + (uint64_t)parse_offset(p));
  if (ptx_accept(&p->lex, ',')) parse_items(p, out, nested);
  ptx_expect(&p->lex, ']');
}

static void parse_operand(parser *p, ptx_operand *out, int nested) {
  *out = (ptx_operand){.reg = -1, .pair = -1};
  const int c = ptx_peek(&p->lex);
  if (c == '[') {
    parse_address(p, out, nested);
  } else if (c == '{') {
    out->kind = PTX_VECTOR;
    parse_items(p, out, nested);
  } else if (c == '!') {
    ptx_accept(&p->lex, '!');
    parse_name(p, out);
    out->negated = true;
    if (out->kind != PTX_REG) ptx_fail(&p->lex, "'!' stands before a predicate");
  } else if ((c >= '0' && c <= '9') || c == '-' || c == '+') {
    const bool minus = c == '-';
    bool real;
    if (c == '-' || c == '+') ptx_accept(&p->lex, c);
    out->value = ptx_number(&p->lex, &real);
    out->kind = real ? PTX_FLOAT : PTX_INT;
    if (minus) out->value = real ? out->value ^ INT64_MIN : (int64_t)(0 - (uint64_t)out->value);
  } else {
    parse_name(p, out);
    if (out->kind == PTX_SYMBOL) out->value = parse_offset(p);
    if ((out->kind == PTX_REG || out->kind == PTX_SINK) && ptx_accept(&p->lex, '|')) {
      ptx_operand second = {.reg = -1};
      parse_name(p, &second);
      if (second.kind != PTX_REG && second.kind != PTX_SINK) ptx_fail(&p->lex, "a register must follow '|'");
      if (out->kind == PTX_SINK) out->kind = PTX_REG, out->reg = -1;
      out->pair = second.kind == PTX_REG ? second.reg : -1;
      out->nitems = 2; // two destinations, of which either may be a sink
    }
  }
}

// ---- instructions

static void parse_instruction(parser *p, const char *mnemonic, int guard, bool negated) {
  ptx_entry *e = p->entry;
  ptx_instr in = {.line = p->lex.line, .guard = guard, .guard_negated = negated, .mnemonic = mnemonic};
  const char *mods[PTX_MAX_MODS];
  ptx_operand operands[PTX_MAX_OPERANDS];
  while (ptx_peek_raw(&p->lex) == '.') {
    if (in.nmods == PTX_MAX_MODS) ptx_fail(&p->lex, "an instruction of more than %d parts", PTX_MAX_MODS);
    mods[in.nmods++] = ptx_modifier(&p->lex);
  }
  while (ptx_peek(&p->lex) != ';') {
    if (in.noperands == PTX_MAX_OPERANDS) ptx_fail(&p->lex, "an instruction of more than %d operands", PTX_MAX_OPERANDS);
    if (ptx_peek(&p->lex) == '(') ptx_fail(&p->lex, "'%s' with an argument list: the simulator calls no functions", mnemonic);
    parse_operand(p, &operands[in.noperands++], 0);
    if (!ptx_accept(&p->lex, ',')) break;
  }
  ptx_expect(&p->lex, ';');
  in.mods = TG_NEWN(p->arena, const char *, in.nmods + 1);
  memcpy(in.mods, mods, sizeof *mods * (size_t)in.nmods);
  in.operands = TG_NEWN(p->arena, ptx_operand, in.noperands + 1);
  memcpy(in.operands, operands, sizeof *operands * (size_t)in.noperands);
  p->instr_scope = tg_arena_grow(p->arena, p->instr_scope, (size_t)e->ninstrs, sizeof *p->instr_scope);
  p->instr_scope[e->ninstrs] = p->scope;
  e->instrs = tg_arena_grow(p->arena, e->instrs, (size_t)e->ninstrs, sizeof *e->instrs);
  e->instrs[e->ninstrs++] = in;
}

static int label_target(parser *p, const char *name, int scope, uint32_t line) {
  const named *n = find(p, name, scope, true);
  if (n) return n->kind == NAMED_LABEL ? n->first : -1 - n->first;
  p->lex.line = line;
  ptx_fail(&p->lex, "'%s' is neither a register, nor a variable, nor a label of entry '%s'", name, p->entry->name);
}

static void resolve_labels(parser *p) {
  ptx_entry *e = p->entry;
  for (int i = 0; i < e->ninstrs; i++)
    for (int k = 0; k < e->instrs[i].noperands; k++) {
      ptx_operand *o = &e->instrs[i].operands[k];
      for (int v = 0; v < o->nitems && o->items; v++)
        if (o->items[v].kind == PTX_LABEL) label_target(p, o->items[v].text, -1, e->instrs[i].line);
      if (o->kind != PTX_LABEL) continue;
      const int target = label_target(p, o->text, p->instr_scope[i], e->instrs[i].line);
      o->value = target >= 0 ? target : -1 - target;
      o->negated = target < 0; // a table
    }
  e->tables = TG_NEWN(p->arena, ptx_table, e->ntables + 1);
  for (int i = 0; i < e->ntables; i++) {
    const table_text *t = &p->tables[i];
    e->tables[i] = (ptx_table){t->n, TG_NEWN(p->arena, int, t->n)};
    for (int k = 0; k < t->n; k++) {
      const int target = label_target(p, t->labels[k], t->scope, e->line);
      if (target < 0) ptx_fail(&p->lex, "'%s' in .branchtargets is no label", t->labels[k]);
      e->tables[i].targets[k] = target;
    }
  }
}

// ---- declarations

static void parse_registers(parser *p) {
  ptx_entry *e = p->entry;
  if (!e) ptx_fail(&p->lex, ".reg outside of an entry");
  const char *mod = ptx_modifier(&p->lex);
  const int type = ptx_type_find(mod);
  if (type < 0) ptx_fail(&p->lex, ".reg .%s: no such type of register here", mod);
  do {
    const char *name = ptx_name(&p->lex);
    bool family = ptx_accept(&p->lex, '<'), real = false;
    int64_t count = 1;
    if (family) {
      count = ptx_number(&p->lex, &real);
      ptx_expect(&p->lex, '>');
    }
    if (real || count < 0 || count > MAX_REGS - e->nregs) ptx_fail(&p->lex, "more than %d registers", MAX_REGS);
    named *n = declare(p, name, family ? NAMED_FAMILY : NAMED_REG);
    n->first = e->nregs, n->count = (int)count;
    for (int i = 0; i < count; i++) {
      e->regs = tg_arena_grow(p->arena, e->regs, (size_t)e->nregs, sizeof *e->regs);
      e->regs[e->nregs++] = (ptx_reg){name, family ? i : -1, (ptx_type)type};
    }
  } while (ptx_accept(&p->lex, ','));
  ptx_expect(&p->lex, ';');
}

static uint64_t aligned(uint64_t offset, uint64_t align) { return (offset + align - 1) / align * align; }

static void store_initial(parser *p, ptx_var *v, uint64_t at, ptx_type type) {
  bool real, minus = false;
  if (ptx_peek(&p->lex) == '-') minus = ptx_accept(&p->lex, '-');
  if (ptx_peek(&p->lex) < '0' || ptx_peek(&p->lex) > '9') ptx_fail(&p->lex, "the initial value of '%s' must be made of numbers", v->name);
  int64_t bits = ptx_number(&p->lex, &real);
  if (minus) bits = real ? bits ^ INT64_MIN : (int64_t)(0 - (uint64_t)bits);
  if (type == PTX_f32 && real) {
    double d;
    memcpy(&d, &bits, sizeof d);
    const float f = (float)d;
    bits = 0;
    memcpy(&bits, &f, sizeof f);
  }
  if (at + ptx_types[type].bytes > v->bytes) ptx_fail(&p->lex, "'%s' has more initial values than elements", v->name);
  memcpy((char *)(uintptr_t)v->data + at, &bits, ptx_types[type].bytes);
}

static void parse_initial(parser *p, ptx_var *v, uint64_t *at, ptx_type type, int nested) {
  if (!ptx_accept(&p->lex, '{')) {
    store_initial(p, v, *at, type);
    *at += ptx_types[type].bytes;
    return;
  }
  if (nested > 8) ptx_fail(&p->lex, "braces more than 8 deep");
  do parse_initial(p, v, at, type, nested + 1);
  while (ptx_accept(&p->lex, ','));
  ptx_expect(&p->lex, '}');
}

// [.align N] [.ptr [.space] [.align N]] [.vN] .type name [dims] ... ; returns the variable, undeclared.
static ptx_var *parse_variable(parser *p, ptx_space space) {
  ptx_var *v = TG_NEW(p->arena, ptx_var);
  v->space = space, v->line = p->lex.line, v->align = 0, v->sized = true;
  int type = -1;
  uint64_t vector = 1;
  bool real, pointer = false;
  while (ptx_peek(&p->lex) == '.') {
    const char *mod = ptx_modifier(&p->lex);
    if (!strcmp(mod, "align")) {
      const int64_t align = ptx_number(&p->lex, &real);
      if (real || align < 1 || align > 65536 || (align & (align - 1))) ptx_fail(&p->lex, ".align wants a power of two");
      if (!pointer) v->align = (uint32_t)align;
    } else if (!strcmp(mod, "ptr")) {
      pointer = true;
    } else if (!strcmp(mod, "v2") || !strcmp(mod, "v4")) {
      vector = (uint64_t)(mod[1] - '0');
    } else if (!strcmp(mod, "attribute")) {
      ptx_skip_to(&p->lex, ')');
    } else if (ptx_type_find(mod) > 0) {
      type = ptx_type_find(mod);
    } else if (!pointer || (strcmp(mod, "global") && strcmp(mod, "shared") && strcmp(mod, "const") && strcmp(mod, "local"))) {
      ptx_fail(&p->lex, "'.%s' in a declaration is not known", mod);
    }
  }
  if (type < 0) ptx_fail(&p->lex, "a declaration without a type");
  v->type = (ptx_type)type;
  v->bytes = vector * ptx_types[type].bytes;
  if (!v->align) v->align = (uint32_t)v->bytes;
  v->name = ptx_name(&p->lex);
  while (ptx_accept(&p->lex, '[')) {
    if (ptx_accept(&p->lex, ']')) {
      v->sized = false, v->bytes = 0;
      continue;
    }
    const int64_t n = ptx_number(&p->lex, &real);
    if (real || n < 0 || (n && v->bytes > MAX_BYTES / (uint64_t)n)) ptx_fail(&p->lex, "'%s' is larger than %d bytes", v->name, MAX_BYTES);
    v->bytes *= (uint64_t)n;
    ptx_expect(&p->lex, ']');
  }
  if (ptx_accept(&p->lex, '=')) {
    if (!v->bytes) ptx_fail(&p->lex, "'%s' needs a size before its initial values", v->name);
    v->data = tg_arena_alloc(p->arena, v->bytes);
    uint64_t at = 0;
    parse_initial(p, v, &at, v->type, 0);
  }
  return v;
}

static void declare_variable(parser *p, ptx_var *v) { declare(p, v->name, NAMED_VAR)->var = v; }

static void parse_memory(parser *p, ptx_space space) {
  do {
    ptx_var *v = parse_variable(p, space);
    declare_variable(p, v);
    if (space == PTX_SHARED || space == PTX_LOCAL) {
      uint64_t *end = space == PTX_SHARED ? &p->shared_bytes : &p->local_bytes;
      v->offset = aligned(*end, v->align);
      *end = v->offset + v->bytes;
      if (*end > MAX_BYTES) ptx_fail(&p->lex, "more than %d bytes are declared", MAX_BYTES);
    }
    if (p->entry) {
      p->entry->vars = tg_arena_grow(p->arena, p->entry->vars, (size_t)p->entry->nvars, sizeof v);
      p->entry->vars[p->entry->nvars++] = v;
    } else {
      p->module->vars = tg_arena_grow(p->arena, p->module->vars, (size_t)p->module->nvars, sizeof v);
      p->module->vars[p->module->nvars++] = v;
    }
  } while (ptx_accept(&p->lex, ','));
  ptx_expect(&p->lex, ';');
}

static bool parse_space(const char *mod, ptx_space *space) {
  static const struct {
    const char *name;
    ptx_space space;
  } names[] = {{"global", PTX_GLOBAL}, {"const", PTX_CONST}, {"shared", PTX_SHARED}, {"local", PTX_LOCAL}};
  for (int i = 0; i < 4; i++)
    if (!strcmp(names[i].name, mod)) {
      *space = names[i].space;
      return true;
    }
  return false;
}

// ---- bodies

static void parse_table(parser *p, const char *name) {
  table_text t = {.scope = p->scope};
  do {
    t.labels = tg_arena_grow(p->arena, t.labels, (size_t)t.n, sizeof *t.labels);
    t.labels[t.n++] = ptx_name(&p->lex);
  } while (ptx_accept(&p->lex, ','));
  ptx_expect(&p->lex, ';');
  declare(p, name, NAMED_TABLE)->first = p->entry->ntables;
  p->tables = tg_arena_grow(p->arena, p->tables, (size_t)p->entry->ntables, sizeof *p->tables);
  p->tables[p->entry->ntables++] = t;
}

static void parse_body_directive(parser *p) {
  const char *mod = ptx_modifier(&p->lex);
  ptx_space space;
  if (!strcmp(mod, "reg")) parse_registers(p);
  else if (parse_space(mod, &space)) parse_memory(p, space);
  else if (!strcmp(mod, "loc") || !strcmp(mod, "file")) ptx_skip_line(&p->lex);
  else if (!strcmp(mod, "pragma")) ptx_skip_to(&p->lex, ';');
  else ptx_fail(&p->lex, "'.%s' in an entry is not known", mod);
}

static void parse_statement(parser *p) {
  int guard = -1;
  bool negated = false;
  if (ptx_accept(&p->lex, '@')) {
    negated = ptx_accept(&p->lex, '!');
    const char *name = ptx_name(&p->lex);
    guard = find_reg(p, name);
    if (guard < 0 || p->entry->regs[guard].type != PTX_pred) ptx_fail(&p->lex, "'%s' is no predicate", name);
  }
  const char *word = ptx_word(&p->lex);
  if (guard < 0 && ptx_accept(&p->lex, ':')) {
    if (ptx_accept_directive(&p->lex, "branchtargets")) parse_table(p, word);
    else declare(p, word, NAMED_LABEL)->first = p->entry->ninstrs;
    return;
  }
  parse_instruction(p, word, guard, negated);
}

static void parse_body(parser *p) {
  open_scope(p);
  ptx_expect(&p->lex, '{');
  for (const int outer = p->depth;;) {
    const int c = ptx_peek(&p->lex);
    if (c == 0) ptx_fail(&p->lex, "entry '%s' has no end", p->entry->name);
    if (c == '{') {
      ptx_accept(&p->lex, '{');
      open_scope(p);
    } else if (c == '}') {
      ptx_accept(&p->lex, '}');
      if (p->depth == outer) break;
      close_scope(p);
    } else if (c == '.') {
      parse_body_directive(p);
    } else if (!ptx_accept(&p->lex, ';')) {
      parse_statement(p);
    }
  }
  resolve_labels(p);
  close_scope(p);
}

static void parse_params(parser *p) {
  ptx_entry *e = p->entry;
  if (!ptx_accept(&p->lex, '(')) return;
  while (!ptx_accept(&p->lex, ')')) {
    if (strcmp(ptx_modifier(&p->lex), "param")) ptx_fail(&p->lex, "a parameter begins with .param");
    ptx_var *v = parse_variable(p, PTX_PARAM);
    if (!v->bytes) ptx_fail(&p->lex, "parameter '%s' has no size", v->name);
    v->offset = aligned(e->param_bytes, v->align);
    e->param_bytes = v->offset + v->bytes;
    if (e->param_bytes > 32764) ptx_fail(&p->lex, "parameters of more than 32764 bytes");
    declare_variable(p, v);
    e->params = tg_arena_grow(p->arena, e->params, (size_t)e->nparams, sizeof v);
    e->params[e->nparams++] = v;
    if (!ptx_accept(&p->lex, ',') && ptx_peek(&p->lex) != ')') ptx_fail(&p->lex, "',' or ')' must follow a parameter");
  }
}

static void parse_extents(parser *p, int *out) {
  int n = 0;
  bool real;
  do {
    const int64_t value = ptx_number(&p->lex, &real);
    if (real || value < 1 || value > 1024 || n == 3) ptx_fail(&p->lex, "up to three numbers from 1 to 1024 are wanted here");
    out[n++] = (int)value;
  } while (ptx_accept(&p->lex, ','));
  while (n < 3) out[n++] = 1;
}

static int parse_count(parser *p) {
  bool real;
  const int64_t n = ptx_number(&p->lex, &real);
  return n > 0 && n < 1 << 16 ? (int)n : 0;
}

static void parse_entry(parser *p) {
  ptx_module *m = p->module;
  const uint64_t shared = p->shared_bytes;
  ptx_entry *e = p->entry = TG_NEW(p->arena, ptx_entry);
  e->line = p->lex.line;
  e->name = ptx_name(&p->lex);
  p->local_bytes = 0;
  p->instr_scope = NULL, p->tables = NULL;
  open_scope(p);
  parse_params(p);
  while (ptx_peek(&p->lex) == '.') {
    const char *mod = ptx_modifier(&p->lex);
    if (!strcmp(mod, "maxntid")) parse_extents(p, e->maxntid);
    else if (!strcmp(mod, "reqntid")) parse_extents(p, e->reqntid);
    else if (!strcmp(mod, "reqnctapercluster")) parse_extents(p, e->cluster);
    else if (!strcmp(mod, "maxnreg")) e->maxnreg = parse_count(p);
    else if (!strcmp(mod, "minnctapersm")) e->minnctapersm = parse_count(p);
    else if (!strcmp(mod, "pragma")) ptx_skip_to(&p->lex, ';');
    else
      while (ptx_peek(&p->lex) && !strchr(".{;", ptx_peek(&p->lex))) ptx_skip(&p->lex); // registers, blocks, clusters: matters of speed
  }
  if (!ptx_accept(&p->lex, ';')) {
    parse_body(p);
    m->entries = tg_arena_grow(p->arena, m->entries, (size_t)m->nentries, sizeof e);
    m->entries[m->nentries++] = e;
  }
  close_scope(p);
  p->entry = NULL;
  p->shared_bytes = shared;
}

static void parse_target(parser *p) {
  p->module->target = ptx_name(&p->lex);
  while (ptx_accept(&p->lex, ',')) ptx_name(&p->lex);
}

static void parse_version(parser *p) {
  bool real;
  int64_t bits = ptx_number(&p->lex, &real);
  double version = (double)bits;
  if (real) memcpy(&version, &bits, sizeof version);
  if (version >= 1 && version < 100) p->module->version = (int)(version * 10 + 0.5);
  if (p->module->version < 10) ptx_fail(&p->lex, ".version wants a number such as 8.0");
}

static void parse_top(parser *p) {
  const char *mod = ptx_modifier(&p->lex);
  ptx_space space;
  bool real;
  if (!strcmp(mod, "version")) parse_version(p);
  else if (!strcmp(mod, "target")) parse_target(p);
  else if (!strcmp(mod, "address_size")) {
    if (ptx_number(&p->lex, &real) != 64) ptx_fail(&p->lex, "only .address_size 64 is known");
  } else if (!strcmp(mod, "visible") || !strcmp(mod, "weak") || !strcmp(mod, "extern") || !strcmp(mod, "common")) return;
  else if (!strcmp(mod, "entry")) parse_entry(p);
  else if (!strcmp(mod, "func") || !strcmp(mod, "section")) ptx_skip_definition(&p->lex);
  else if (!strcmp(mod, "alias") || !strcmp(mod, "pragma")) ptx_skip_to(&p->lex, ';');
  else if (!strcmp(mod, "file") || !strcmp(mod, "loc")) ptx_skip_line(&p->lex);
  else if (parse_space(mod, &space) && space != PTX_LOCAL) parse_memory(p, space);
  else ptx_fail(&p->lex, "'.%s' is not known here", mod);
}

ptx_module *ptx_parse(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t size) {
  parser *p = TG_NEW(arena, parser);
  p->lex = (ptx_lexer){.ctx = ctx, .arena = arena, .file = file, .at = text, .end = text + size, .line = 1};
  p->arena = arena;
  p->module = TG_NEW(arena, ptx_module);
  p->module->file = file;
  p->parents = tg_arena_grow(arena, NULL, 0, sizeof *p->parents);
  p->parents[0] = -1, p->nscopes = 1;
  while (ptx_peek(&p->lex)) {
    if (ptx_peek(&p->lex) != '.') ptx_fail(&p->lex, "a directive such as .version, .entry or .global is wanted here");
    parse_top(p);
  }
  if (!p->module->version || !p->module->target) ptx_fail(&p->lex, "a PTX text begins with .version and .target");
  return p->module;
}

const ptx_entry *ptx_entry_find(tg_context *ctx, const ptx_module *module, const char *name) {
  tg_text text = {.arena = &ctx->arena};
  for (int i = 0; i < module->nentries; i++) {
    if (!strcmp(module->entries[i]->name, name)) return module->entries[i];
    if (text.size < 2000) tg_text_add(&text, "%s%.200s", i ? ", " : "", module->entries[i]->name);
  }
  tg_throw(ctx, TG_INVALID, "%s has no entry '%.200s'; it has %s", module->file, name, text.size ? text.data : "none");
}

const char *ptx_reg_name(tg_arena *arena, const ptx_entry *entry, int reg) {
  const ptx_reg *r = &entry->regs[reg];
  return r->number < 0 ? r->prefix : tg_arena_printf(arena, "%s%d", r->prefix, r->number);
}
