// Launch-time expressions: + - * ceildiv floordiv min max over dims and statics, in exact int64 arithmetic.
#include "ir/ir.h"

static int deeper(const tg_expr *a, const tg_expr *b) {
  int x = a ? a->depth : 0, y = b ? b->depth : 0;
  return x > y ? x : y;
}

static const tg_expr *make(tg_arena *arena, tg_expr e) {
  e.size = 1 + (e.a ? e.a->size : 0) + (e.b ? e.b->size : 0);
  e.depth = 1 + deeper(e.a, e.b);
  if (e.size > TG_MAX_EXPR) tg_throw(arena->ctx, TG_INVALID, "a launch-time expression has more than %d terms", TG_MAX_EXPR);
  if (e.depth > TG_MAX_EXPR_DEPTH) tg_throw(arena->ctx, TG_INVALID, "a launch-time expression nests more than %d deep", TG_MAX_EXPR_DEPTH);
  tg_expr *p = TG_NEW(arena, tg_expr);
  *p = e;
  return p;
}

const tg_expr *tg_e_const(tg_arena *arena, int64_t v) { return make(arena, (tg_expr){.op = TG_EXPR_CONST, .value = v}); }
const tg_expr *tg_e_sym(tg_arena *arena, const char *name) {
  return make(arena, (tg_expr){.op = TG_EXPR_SYM, .name = tg_arena_strdup(arena, name)});
}

const tg_expr *tg_e_copy(tg_arena *arena, const tg_expr *e) {
  tg_expr copy = *e;
  if (e->name) copy.name = tg_arena_strdup(arena, e->name);
  if (e->a) copy.a = tg_e_copy(arena, e->a);
  if (e->b) copy.b = tg_e_copy(arena, e->b);
  return make(arena, copy);
}

bool tg_is_name(const char *text) {
  static const char *const words[] = {"min", "max", "ceildiv", "floordiv"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (!strcmp(text, words[i])) return false;
  }
  if (*text >= '0' && *text <= '9') return false;
  const char *p = text;
  while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_') p++;
  return p > text && !*p;
}

static int64_t floor_div(int64_t a, int64_t b) {
  int64_t q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

// False on overflow and division by 0.
static bool apply(tg_expr_op op, int64_t a, int64_t b, int64_t *out) {
  switch (op) {
  case TG_EXPR_ADD: return !__builtin_add_overflow(a, b, out);
  case TG_EXPR_SUB: return !__builtin_sub_overflow(a, b, out);
  case TG_EXPR_MUL: return !__builtin_mul_overflow(a, b, out);
  case TG_EXPR_MIN: *out = a < b ? a : b; return true;
  case TG_EXPR_MAX: *out = a > b ? a : b; return true;
  case TG_EXPR_FLOORDIV:
  case TG_EXPR_CEILDIV:
    if (b == 0 || (a == INT64_MIN && b == -1)) return false;
    *out = floor_div(a, b) + (op == TG_EXPR_CEILDIV && a % b != 0);
    return true;
  default: return false;
  }
}

static bool is_const(const tg_expr *e, int64_t *v) {
  *v = e->value;
  return e->op == TG_EXPR_CONST;
}

const tg_expr *tg_e_bin(tg_arena *arena, tg_expr_op op, const tg_expr *a, const tg_expr *b) {
  int64_t x, y, z;
  bool ca = is_const(a, &x), cb = is_const(b, &y);
  if (ca && cb && apply(op, x, y, &z)) return tg_e_const(arena, z);
  switch (op) {
  case TG_EXPR_ADD:
    if (ca && x == 0) return b;
    if (cb && y == 0) return a;
    if (cb && a->op == TG_EXPR_ADD && is_const(a->b, &x) && apply(op, x, y, &z)) return tg_e_bin(arena, op, a->a, tg_e_const(arena, z));
    break;
  case TG_EXPR_SUB:
    if (cb && y == 0) return a;
    if (tg_e_equal(a, b)) return tg_e_const(arena, 0);
    break;
  case TG_EXPR_MUL:
    if ((ca && x == 0) || (cb && y == 1)) return a;
    if ((cb && y == 0) || (ca && x == 1)) return b;
    break;
  case TG_EXPR_CEILDIV:
  case TG_EXPR_FLOORDIV:
    if (cb && y == 1) return a;
    break;
  case TG_EXPR_MIN:
  case TG_EXPR_MAX:
    if (tg_e_equal(a, b)) return a;
    break;
  default: break;
  }
  return make(arena, (tg_expr){.op = op, .a = a, .b = b});
}

bool tg_e_equal(const tg_expr *a, const tg_expr *b) {
  if (a == b) return true;
  if (a->op != b->op || a->size != b->size) return false;
  if (a->op == TG_EXPR_CONST) return a->value == b->value;
  if (a->op == TG_EXPR_SYM) return !strcmp(a->name, b->name);
  return tg_e_equal(a->a, b->a) && tg_e_equal(a->b, b->b);
}

// ---- text

// A buffer that counts what it had no room for.
typedef struct sink {
  char *data;
  size_t size, used;
} sink;

static void put(sink *out, const char *text) {
  for (; *text; text++, out->used++) {
    if (out->used < out->size) out->data[out->used] = *text;
  }
}

static void print(sink *out, const tg_expr *e, int outer) {
  static const char *const names[] = {"", "", " + ", " - ", " * ", "ceildiv", "floordiv", "min", "max"};
  char number[24];
  switch (e->op) {
  case TG_EXPR_CONST:
    snprintf(number, sizeof number, "%lld", (long long)e->value);
    put(out, number);
    break;
  case TG_EXPR_SYM: put(out, e->name); break;
  case TG_EXPR_ADD:
  case TG_EXPR_SUB:
  case TG_EXPR_MUL: {
    int level = e->op == TG_EXPR_MUL ? 2 : 1;
    if (level < outer) put(out, "(");
    print(out, e->a, level);
    put(out, names[e->op]);
    print(out, e->b, level + 1);
    if (level < outer) put(out, ")");
    break;
  }
  default:
    put(out, names[e->op]);
    put(out, "(");
    print(out, e->a, 0);
    put(out, ", ");
    print(out, e->b, 0);
    put(out, ")");
  }
}

size_t tg_expr_print(const tg_expr *e, char *buffer, size_t size) {
  sink out = {.data = buffer, .size = size ? size - 1 : 0};
  print(&out, e, 0);
  if (size) buffer[out.used < out.size ? out.used : out.size] = 0;
  return out.used;
}

const char *tg_e_text(tg_arena *arena, const tg_expr *e) {
  size_t n = tg_expr_print(e, NULL, 0);
  char *text = tg_arena_alloc(arena, n + 1);
  tg_expr_print(e, text, n + 1);
  return text;
}

typedef struct parser {
  tg_arena *arena;
  const char *p, *end;
  int depth, size;
} parser;

static void spaces(parser *s) {
  while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static bool accept(parser *s, char c) {
  spaces(s);
  if (s->p == s->end || *s->p != c) return false;
  s->p++;
  return true;
}

static const tg_expr *parse_sum(parser *s);

static const tg_expr *bin(parser *s, tg_expr_op op, const tg_expr *a, const tg_expr *b) {
  if (!a || !b || a->size + b->size >= TG_MAX_EXPR || deeper(a, b) >= TG_MAX_EXPR_DEPTH) return NULL;
  return tg_e_bin(s->arena, op, a, b);
}

static const tg_expr *parse_number(parser *s, bool negative) {
  uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
  const char *start = s->p;
  for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
    unsigned digit = (unsigned)(*s->p - '0');
    if (v > (limit - digit) / 10) return NULL;
    v = v * 10 + digit;
  }
  return s->p == start ? NULL : tg_e_const(s->arena, (int64_t)(negative ? 0 - v : v));
}

static const tg_expr *parse_name(parser *s) {
  static const struct {
    const char *name;
    tg_expr_op op;
  } calls[] = {{"min", TG_EXPR_MIN}, {"max", TG_EXPR_MAX}, {"ceildiv", TG_EXPR_CEILDIV}, {"floordiv", TG_EXPR_FLOORDIV}};
  const char *start = s->p;
  while (s->p < s->end &&
         ((*s->p >= 'a' && *s->p <= 'z') || (*s->p >= 'A' && *s->p <= 'Z') || (*s->p >= '0' && *s->p <= '9') || *s->p == '_'))
    s->p++;
  char *name = tg_arena_strndup(s->arena, start, (size_t)(s->p - start));
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(name, calls[i].name)) continue;
    if (!accept(s, '(')) return NULL;
    const tg_expr *a = parse_sum(s);
    if (!a || !accept(s, ',')) return NULL;
    const tg_expr *e = bin(s, calls[i].op, a, parse_sum(s));
    return e && accept(s, ')') ? e : NULL;
  }
  return tg_is_name(name) ? tg_e_sym(s->arena, name) : NULL;
}

static const tg_expr *parse_factor(parser *s) {
  spaces(s);
  if (s->p == s->end || s->depth >= TG_MAX_EXPR_DEPTH) return NULL;
  s->depth++;
  const tg_expr *e;
  if (accept(s, '(')) {
    e = parse_sum(s);
    if (e && !accept(s, ')')) e = NULL;
  } else if (accept(s, '-')) {
    e = parse_number(s, true);
  } else if (*s->p >= '0' && *s->p <= '9') {
    e = parse_number(s, false);
  } else {
    e = parse_name(s);
  }
  s->depth--;
  return e;
}

static const tg_expr *parse_product(parser *s) {
  const tg_expr *e = parse_factor(s);
  while (e && accept(s, '*')) e = bin(s, TG_EXPR_MUL, e, parse_factor(s));
  return e;
}

static const tg_expr *parse_sum(parser *s) {
  const tg_expr *e = parse_product(s);
  while (e) {
    tg_expr_op op = TG_EXPR_ADD;
    if (accept(s, '-')) op = TG_EXPR_SUB;
    else if (!accept(s, '+')) break;
    e = bin(s, op, e, parse_product(s));
  }
  return e;
}

const tg_expr *tg_e_parse(tg_arena *arena, const char *text, const char *end, const char **stopped) {
  parser s = {.arena = arena, .p = text, .end = end};
  const tg_expr *e = parse_sum(&s);
  *stopped = s.p;
  return e;
}

// ---- values

bool tg_e_eval(const tg_expr *e, tg_lookup_fn lookup, void *user, int64_t *out, const char **missing) {
  int64_t a, b;
  if (e->op == TG_EXPR_CONST) {
    *out = e->value;
    return true;
  }
  if (e->op == TG_EXPR_SYM) {
    if (lookup && lookup(user, e->name, out)) return true;
    if (missing) *missing = e->name;
    return false;
  }
  if (missing) *missing = NULL;
  return tg_e_eval(e->a, lookup, user, &a, missing) && tg_e_eval(e->b, lookup, user, &b, missing) && apply(e->op, a, b, out);
}

// Number of occurrences of unknown symbols, stopping at 2.
static int unknowns(const tg_expr *e, tg_lookup_fn lookup, void *user) {
  int64_t v;
  if (e->op == TG_EXPR_CONST) return 0;
  if (e->op == TG_EXPR_SYM) return lookup && lookup(user, e->name, &v) ? 0 : 1;
  int n = unknowns(e->a, lookup, user);
  return n > 1 ? n : n + unknowns(e->b, lookup, user);
}

// The value that the side with the unknown must take so that `op` of it and `k` is v. `left`: the unknown is the first operand.
static bool invert(tg_expr_op op, bool left, int64_t k, int64_t v, int64_t *out) {
  switch (op) {
  case TG_EXPR_ADD: return apply(TG_EXPR_SUB, v, k, out);
  case TG_EXPR_SUB: return left ? apply(TG_EXPR_ADD, v, k, out) : apply(TG_EXPR_SUB, k, v, out);
  case TG_EXPR_MUL: return k != 0 && apply(TG_EXPR_FLOORDIV, v, k, out);
  case TG_EXPR_CEILDIV: return left && k > 0 && apply(TG_EXPR_MUL, v, k, out);
  case TG_EXPR_FLOORDIV: return left && k > 0 && apply(TG_EXPR_MUL, v, k, out) && apply(TG_EXPR_ADD, *out, k - 1, out);
  case TG_EXPR_MIN:
  case TG_EXPR_MAX: *out = v; return true;
  default: return false;
  }
}

bool tg_e_solve(const tg_expr *e, int64_t value, tg_lookup_fn lookup, void *user, const char **name, int64_t *out) {
  if (e->op == TG_EXPR_CONST || unknowns(e, lookup, user) != 1) return false;
  if (e->op == TG_EXPR_SYM) {
    *name = e->name;
    *out = value;
    return true;
  }
  bool left = unknowns(e->a, lookup, user) == 1;
  int64_t k, inner, back;
  if (!tg_e_eval(left ? e->b : e->a, lookup, user, &k, NULL) || !invert(e->op, left, k, value, &inner)) return false;
  // Only what gives the value again is a solution; with min and max, one that is bounded.
  if (!apply(e->op, left ? inner : k, left ? k : inner, &back) || back != value) return false;
  if (e->op == TG_EXPR_MIN && value == k) return false;
  return tg_e_solve(left ? e->a : e->b, inner, lookup, user, name, out);
}
