// Text to kernels: the inverse of print.c. Reads any bytes safely; what is wrong is named with file, line and column.
#include "ir/kernel.h"

#include <locale.h>
#include <stdlib.h>

typedef struct name_entry {
  const char *name; // NULL = free
  tg_value *value;
} name_entry;

typedef struct parser {
  tg_context *ctx;
  tg_kernel *kernel;
  tg_arena scratch; // names
  const char *file, *start, *p, *end;
  const char *token; // where the last token began, for messages
  int depth;
  bool positioned;   // the error thrown names its position already
  name_entry *names; // open addressing, a power of two, at most half full
  size_t nnames, capacity;
} parser;

// ---- errors

static const char *position(parser *s, const char *at) {
  int line = 1;
  const char *begin = s->start;
  for (const char *p = s->start; p < at && p < s->end; p++) {
    if (*p != '\n') continue;
    line++;
    begin = p + 1;
  }
  return tg_arena_printf(&s->scratch, "%s:%d:%d: ", s->file, line, (int)(at - begin) + 1);
}

static _Noreturn void fail_at(parser *s, const char *at, const char *text) {
  const char *where = position(s, at);
  s->positioned = true;
  tg_throw(s->ctx, TG_INVALID, "%s%s", where, text);
}

static _Noreturn void expected(parser *s, const char *what) {
  const char *at = s->p;
  if (at == s->end) fail_at(s, at, tg_arena_printf(&s->scratch, "expected %s, found the end of the text", what));
  int n = 0;
  while (at + n < s->end && n < 20 && at[n] > ' ' && at[n] < 127) n++;
  fail_at(s, at, tg_arena_printf(&s->scratch, "expected %s, found '%.*s'", what, n ? n : 1, n ? at : "?"));
}

// ---- tokens

static void skip(parser *s) {
  for (;;) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r')) s->p++;
    if (s->end - s->p < 2 || s->p[0] != '/' || s->p[1] != '/') break;
    while (s->p < s->end && *s->p != '\n') s->p++;
  }
  s->token = s->p;
}

static bool accept(parser *s, char c) {
  skip(s);
  if (s->p == s->end || *s->p != c) return false;
  s->p++;
  return true;
}

static void expect(parser *s, char c) {
  if (!accept(s, c)) expected(s, (char[]){'\'', c, '\'', 0});
}

static bool next_is(parser *s, char c) {
  skip(s);
  return s->p < s->end && *s->p == c;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A name: letters, digits, _ and the characters of `more`; NULL when none stands here.
static char *accept_name(parser *s, const char *more) {
  skip(s);
  const char *p = s->p;
  if (p == s->end || !(is_letter(*p) || (*p && strchr(more, *p)))) return NULL;
  while (p < s->end && *p && (is_letter(*p) || is_digit(*p) || strchr(more, *p))) p++;
  char *name = tg_arena_strndup(&s->scratch, s->p, (size_t)(p - s->p));
  s->p = p;
  return name;
}

static char *expect_name(parser *s, const char *what) {
  char *name = accept_name(s, "");
  if (!name) expected(s, what);
  return name;
}

static bool accept_word(parser *s, const char *word) {
  skip(s);
  size_t n = strlen(word);
  if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n)) return false;
  if (s->p + n < s->end && (is_letter(s->p[n]) || is_digit(s->p[n]))) return false;
  s->p += n;
  return true;
}

static int64_t expect_int(parser *s) {
  skip(s);
  const char *p = s->p;
  bool negative = p < s->end && *p == '-';
  p += negative;
  if (p == s->end || !is_digit(*p)) expected(s, "an integer");
  uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
  for (; p < s->end && is_digit(*p); p++) {
    unsigned digit = (unsigned)(*p - '0');
    if (v > (limit - digit) / 10) fail_at(s, s->p, "the integer does not fit 64 bits");
    v = v * 10 + digit;
  }
  s->p = p;
  return (int64_t)(negative ? 0 - v : v);
}

static int expect_int_in(parser *s, int64_t lo, int64_t hi, const char *what) {
  skip(s);
  const char *at = s->p;
  int64_t v = expect_int(s);
  if (v < lo || v > hi) fail_at(s, at, tg_arena_printf(&s->scratch, "%lld is out of range for %s", (long long)v, what));
  return (int)v;
}

static int hex_digit(char c) {
  return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *expect_string(parser *s) {
  skip(s);
  if (s->p == s->end || *s->p != '"') expected(s, "a string");
  const char *open = s->p++;
  tg_text text = {.arena = &s->scratch};
  tg_text_append(&text, "", 0);
  for (;;) {
    if (s->p == s->end || *s->p == '\n' || *s->p == 0) fail_at(s, open, "the string has no end");
    char c = *s->p++;
    if (c == '"') return text.data;
    if (c == '\\') {
      c = s->p < s->end ? *s->p++ : 0;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
      else if (c == 'x' && s->end - s->p >= 2 && hex_digit(s->p[0]) >= 0 && hex_digit(s->p[1]) >= 0) {
        c = (char)(hex_digit(s->p[0]) * 16 + hex_digit(s->p[1]));
        s->p += 2;
      } else if (c != '"' && c != '\\') {
        c = 0;
      }
      if (!c) fail_at(s, s->p - 1, "unknown escape in a string; there are \\\" \\\\ \\n \\t \\xHH");
    }
    tg_text_append(&text, &c, 1);
  }
}

// The characters of a number, with the locale's decimal point in place of the '.', so that strtod reads them.
static bool number_text(parser *s, char *out, size_t size, const char **end, bool *is_float) {
  const char *p = s->p, *point = localeconv()->decimal_point;
  size_t n = 0;
  *is_float = false;
  if (p < s->end && *p == '-') out[n++] = *p++;
  bool hex = s->end - p >= 2 && p[0] == '0' && p[1] == 'x';
  for (; p < s->end; p++) {
    bool sign = (*p == '+' || *p == '-') && n && (out[n - 1] == 'p' || (!hex && out[n - 1] == 'e'));
    if (!is_digit(*p) && !is_letter(*p) && *p != '.' && !sign) break;
    if (n + strlen(point) + 1 >= size) return false;
    if (*p == '.' || is_letter(*p)) *is_float = true;
    if (*p == '.') n += (size_t)sprintf(out + n, "%s", point);
    else out[n++] = *p;
  }
  out[n] = 0;
  *end = p;
  return n > 0;
}

static tg_attr expect_num(parser *s, const char *key) {
  char text[512];
  const char *end;
  bool is_float;
  skip(s);
  if (!number_text(s, text, sizeof text, &end, &is_float)) expected(s, "a number");
  if (!is_float) return TG_AINT(key, expect_int(s));
  char *stopped;
  double f = strtod(text, &stopped);
  if (*stopped || stopped == text) expected(s, "a number");
  s->p = end;
  return TG_AFLOAT(key, f);
}

static tg_type expect_type(parser *s) {
  tg_type t;
  skip(s);
  if (!tg_type_parse(&s->p, s->end, &t)) expected(s, "a type such as f32[64x32], i64, view<bf16,2>, range<64> or ptr<global>");
  return t;
}

static const tg_expr *expect_expr(parser *s) {
  const char *stopped;
  skip(s);
  const tg_expr *e = tg_e_parse(&s->kernel->arena, s->p, s->end, &stopped);
  s->p = stopped;
  if (!e) expected(s, "an expression over dims: numbers, names, + - * ceildiv(a, b) floordiv(a, b) min(a, b) max(a, b)");
  return e;
}

// `@file:line`, kept by the kernel; nothing when there is none.
static tg_loc accept_loc(parser *s) {
  if (!accept(s, '@')) return (tg_loc){0};
  const char *file = next_is(s, '"') ? expect_string(s) : accept_name(s, "./-+");
  if (!file) expected(s, "a file name");
  expect(s, ':');
  int line = expect_int_in(s, 0, INT32_MAX, "a line");
  return tg_keep_loc(s->kernel, (tg_loc){file, line});
}

// ---- names of values

static const char *accept_value_name(parser *s) {
  if (!accept(s, '%')) return NULL;
  const char *p = s->p;
  while (p < s->end && (is_letter(*p) || is_digit(*p))) p++;
  if (p == s->p) expected(s, "the name of a value after '%'");
  char *name = tg_arena_strndup(&s->scratch, s->p, (size_t)(p - s->p));
  s->p = p;
  return name;
}

static name_entry *find_name(name_entry *names, size_t capacity, const char *name) {
  size_t i = tg_hash(name, strlen(name), 0) & (capacity - 1);
  while (names[i].name && strcmp(names[i].name, name)) i = (i + 1) & (capacity - 1);
  return &names[i];
}

static void define(parser *s, const char *name, tg_value *value) {
  if (s->nnames * 2 >= s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 64;
    name_entry *names = TG_NEWN(&s->scratch, name_entry, capacity);
    for (size_t i = 0; i < s->capacity; i++) {
      if (s->names[i].name) *find_name(names, capacity, s->names[i].name) = s->names[i];
    }
    s->names = names;
    s->capacity = capacity;
  }
  name_entry *e = find_name(s->names, s->capacity, name);
  if (e->name) fail_at(s, s->token, tg_arena_printf(&s->scratch, "%%%s is defined twice", name));
  *e = (name_entry){name, value};
  s->nnames++;
}

static tg_value *use(parser *s, const char *name) {
  name_entry *e = s->capacity ? find_name(s->names, s->capacity, name) : NULL;
  if (!e || !e->name) fail_at(s, s->token, tg_arena_printf(&s->scratch, "%%%s is not defined before this use", name));
  return e->value;
}

// ---- ops

enum { MAX_ATTRS = 8 };

typedef struct op_text {
  const char *at; // where it begins
  int code, nnames, nin, nattrs, ntypes;
  const char **names;
  tg_value **in;
  tg_attr attrs[MAX_ATTRS];
  tg_type *types;
} op_text;

static tg_attr parse_attr(parser *s, int code) {
  const char *at = (skip(s), s->p), *column = tg_opcode_info(code)->attrs;
  char *key = expect_name(s, "an attribute's name");
  tg_attr_spec spec;
  bool found = false;
  while (!found && tg_next_attr_spec(&column, &spec)) found = (size_t)spec.length == strlen(key) && !memcmp(spec.key, key, strlen(key));
  if (!found)
    fail_at(s, at,
            tg_arena_printf(&s->scratch, "%s has no attribute %.40s; it takes \"%s\"", tg_opcode_info(code)->name, key,
                            tg_opcode_info(code)->attrs));
  expect(s, '=');
  if (spec.num || spec.kind == TG_ATTR_FLOAT) return expect_num(s, key);
  switch (spec.kind) {
  case TG_ATTR_INT: return TG_AINT(key, expect_int(s));
  case TG_ATTR_STR: return TG_ASTR(key, expect_string(s));
  case TG_ATTR_TYPE: return TG_ATYPE(key, expect_type(s));
  case TG_ATTR_EXPR: {
    if (!accept_word(s, "expr")) expected(s, "expr(...)");
    expect(s, '(');
    const tg_expr *e = expect_expr(s);
    expect(s, ')');
    return TG_AEXPR(key, e);
  }
  default: break;
  }
  int64_t *ints = NULL;
  int n = 0;
  expect(s, '[');
  if (!accept(s, ']')) {
    do {
      ints = tg_arena_grow(&s->scratch, ints, (size_t)n, sizeof *ints);
      ints[n++] = expect_int(s);
    } while (accept(s, ','));
    expect(s, ']');
  }
  return TG_AINTS(key, ints, n);
}

static void parse_head(parser *s, op_text *t) {
  skip(s);
  *t = (op_text){.at = s->p};
  if (next_is(s, '%')) {
    do {
      const char *name = accept_value_name(s);
      if (!name) expected(s, "the name of a value");
      t->names = tg_arena_grow(&s->scratch, t->names, (size_t)t->nnames, sizeof *t->names);
      t->names[t->nnames++] = name;
    } while (accept(s, ','));
    expect(s, '=');
  }
  skip(s);
  const char *at = s->p;
  const char *name = expect_name(s, "an op");
  t->code = tg_op_find(name, strlen(name), s->kernel->level);
  if (t->code < 0)
    fail_at(s, at,
            tg_arena_printf(&s->scratch, "there is no op '%.40s' at %s level", name, s->kernel->level == TG_LEVEL_TILE ? "tile" : "lane"));
  if (tg_opcode_info(t->code)->in_hi && next_is(s, '%')) {
    do {
      const char *operand = accept_value_name(s);
      if (!operand) expected(s, "the name of a value");
      t->in = tg_arena_grow(&s->scratch, t->in, (size_t)t->nin, sizeof *t->in);
      t->in[t->nin++] = use(s, operand);
    } while (accept(s, ','));
  }
  if (*tg_opcode_info(t->code)->attrs && accept(s, '{')) {
    do {
      if (t->nattrs == MAX_ATTRS) fail_at(s, s->p, "too many attributes");
      tg_attr a = parse_attr(s, t->code);
      t->attrs[t->nattrs++] = a;
    } while (accept(s, ','));
    expect(s, '}');
  }
  if (!accept(s, ':')) return;
  do {
    t->types = tg_arena_grow(&s->scratch, t->types, (size_t)t->ntypes, sizeof *t->types);
    t->types[t->ntypes++] = expect_type(s);
  } while (accept(s, ','));
}

static tg_op *make_op(parser *s, tg_region *region, op_text *t) {
  tg_type inferred[TG_MAX_RESULTS];
  tg_arena *arena = &s->kernel->arena;
  const char *name = tg_opcode_info(t->code)->name, *complaint = NULL;
  tg_attr *attrs;
  int n, nattrs;
  if (!tg_match_attrs(arena, t->code, t->nattrs, t->attrs, &nattrs, &attrs, &complaint) ||
      !tg_infer(arena, t->code, t->nin, t->in, nattrs, attrs, &n, inferred, &complaint))
    fail_at(s, t->at, tg_arena_printf(&s->scratch, "%s: %s", name, complaint));
  int want = n < 0 ? t->ntypes : n;
  if (t->nnames != want || t->ntypes != want || want > TG_MAX_RESULTS)
    fail_at(s, t->at,
            tg_arena_printf(&s->scratch, "%s: %d results and %d types are written, but it has %d", name, t->nnames, t->ntypes, want));
  for (int i = 0; i < n; i++) {
    if (tg_type_equal(inferred[i], t->types[i])) continue;
    fail_at(s, t->at,
            tg_arena_printf(&s->scratch, "%s: result %d is %s, not %s", name, i + 1, tg_type_text(&s->scratch, inferred[i]),
                            tg_type_text(&s->scratch, t->types[i])));
  }
  tg_builder b = {.kernel = s->kernel, .region = region};
  tg_op *op = tg_insert_op(&b, t->code, t->nin, t->in, nattrs, attrs, want, t->types);
  for (int i = 0; i < want; i++) define(s, t->names[i], op->out[i]);
  return op;
}

static void parse_ops(parser *s, tg_region *region);

static void parse_region(parser *s, tg_op *op, int index) {
  const char **names = NULL;
  tg_type *types = NULL;
  int n = 0;
  if (accept(s, '(')) {
    do {
      const char *name = accept_value_name(s);
      if (!name) expected(s, "the name of a region's argument");
      names = tg_arena_grow(&s->scratch, names, (size_t)n, sizeof *names);
      types = tg_arena_grow(&s->scratch, types, (size_t)n, sizeof *types);
      names[n] = name;
      expect(s, ':');
      types[n++] = expect_type(s);
    } while (accept(s, ','));
    expect(s, ')');
  }
  expect(s, '{');
  if (++s->depth > TG_MAX_NESTING) fail_at(s, s->token, "regions nest too deeply");
  tg_builder b = {.kernel = s->kernel, .region = op->parent};
  tg_region *region = tg_add_region(&b, op, index, n, types);
  for (int i = 0; i < n; i++) define(s, names[i], region->args[i]);
  parse_ops(s, region);
  s->depth--;
}

// Ops up to the closing brace.
static void parse_ops(parser *s, tg_region *region) {
  while (!accept(s, '}')) {
    op_text t;
    parse_head(s, &t);
    tg_op *op = make_op(s, region, &t);
    for (int i = 0; i < op->nregions; i++) parse_region(s, op, i);
    op->loc = accept_loc(s);
  }
}

// ---- header

static void parse_symbols(parser *s, tg_symbol_kind kind) {
  do {
    char *name = expect_name(s, "a name");
    int64_t value = accept(s, '=') ? expect_int(s) : -1;
    tg_declare_symbol(s->kernel, name, kind, value, (tg_loc){0});
  } while (kind == TG_SYM_DIM && accept(s, ','));
}

static void parse_setting(parser *s, tg_setting_kind kind) {
  tg_setting v = {.kind = kind, .name = expect_name(s, "a name")};
  const char **allowed = NULL;
  expect(s, '=');
  v.value = expect_string(s);
  if (!accept_word(s, "fallback")) expected(s, "fallback \"value\"");
  v.fallback = expect_string(s);
  if (accept_word(s, "of")) {
    expect(s, '(');
    do {
      allowed = tg_arena_grow(&s->scratch, allowed, (size_t)v.nallowed, sizeof *allowed);
      allowed[v.nallowed++] = expect_string(s);
    } while (accept(s, ','));
    expect(s, ')');
  }
  v.allowed = allowed;
  tg_declare_setting(s->kernel, &v, (tg_loc){0});
}

static void parse_param(parser *s, tg_param_kind kind) {
  tg_param q = {.kind = kind, .name = expect_name(s, "a name")};
  expect(s, ':');
  skip(s);
  const char *at = s->p, *dtype = expect_name(s, "a dtype");
  q.dtype = tg_dtype_find(dtype);
  if (q.dtype < 0) fail_at(s, at, tg_arena_printf(&s->scratch, "'%.40s' is not a dtype", dtype));
  if (accept(s, '[')) {
    do {
      if (q.rank == TG_MAX_RANK) fail_at(s, s->p, "a tensor has at most 4 axes");
      q.dims[q.rank++] = expect_expr(s);
    } while (accept(s, ','));
    expect(s, ']');
  }
  if (accept_word(s, "optional")) q.flags |= TG_PARAM_OPTIONAL;
  if (accept_word(s, "zero")) q.flags |= TG_PARAM_ZERO;
  if (accept_word(s, "packed")) {
    q.flags |= TG_PARAM_PACKED;
    expect(s, '(');
    q.packed[0] = expect_expr(s);
    expect(s, ',');
    q.packed[1] = expect_expr(s);
    if (accept(s, ',')) q.packed[2] = expect_expr(s);
    expect(s, ')');
  }
  for (int i = 0; i < 2; i++) {
    if (!accept_word(s, i ? "offsets" : "index")) continue;
    q.flags |= i ? TG_PARAM_OFFSETS : TG_PARAM_INDEX;
    expect(s, '(');
    q.below = expect_expr(s);
    expect(s, ')');
    if (!i && accept_word(s, "none")) q.flags |= TG_PARAM_NONE;
    if (!i && accept_word(s, "drops")) q.flags |= TG_PARAM_DROPS;
  }
  tg_declare_param(s->kernel, &q, accept_loc(s));
}

static void expect_word(parser *s, const char *word) {
  if (!accept_word(s, word)) expected(s, word);
}

// `of A e4m3 at (0) dims (K, M) strides (K) box (128, 64) steps (1, 1) swizzle 128 fill zero`
static void parse_map(parser *s, tg_arg *arg) {
  tg_arg_map *map = TG_NEW(&s->kernel->arena, tg_arg_map);
  expect_word(s, "of");
  map->of = expect_name(s, "the tensor of a map");
  skip(s);
  const char *at = s->p;
  tg_type t = expect_type(s);
  if (t.kind != TG_TILE || t.rank) fail_at(s, at, "a map has elements of one dtype");
  arg->dtype = t.dtype;
  expect_word(s, "at");
  expect(s, '(');
  map->byte_offset = expect_expr(s);
  expect(s, ')');
  expect_word(s, "dims");
  do {
    if (map->rank == TG_MAP_RANK) fail_at(s, s->p, "a map has at most 5 axes");
    expect(s, map->rank ? ',' : '(');
    map->dims[map->rank++] = expect_expr(s);
  } while (next_is(s, ','));
  expect(s, ')');
  expect_word(s, "strides");
  expect(s, '(');
  for (int i = 0; i + 1 < map->rank; i++) {
    if (i) expect(s, ',');
    map->strides_bytes[i] = expect_expr(s);
  }
  expect(s, ')');
  for (int k = 0; k < 2; k++) {
    expect_word(s, k ? "steps" : "box");
    for (int i = 0; i < map->rank; i++) {
      expect(s, i ? ',' : '(');
      (k ? map->element_strides : map->box)[i] = expect_int_in(s, 1, 256, "an extent of a box");
    }
    expect(s, ')');
  }
  expect_word(s, "swizzle");
  map->swizzle = expect_int_in(s, 0, 128, "bytes of a swizzle");
  expect_word(s, "fill");
  map->fill = accept_word(s, tg_map_fills[TG_FILL_NAN]) ? TG_FILL_NAN : TG_FILL_ZERO;
  if (map->fill == TG_FILL_ZERO) expect_word(s, tg_map_fills[TG_FILL_ZERO]);
  arg->map = map;
}

// One `%0 : ptr<global> = A`, `%1 : i64 = A.stride0 "K"` or `%2 : ptr<param> = A.map0 of A …`.
static void parse_arg(parser *s, tg_launch *launch) {
  const char *value = accept_value_name(s);
  if (!value) expected(s, "the name of an argument's value");
  expect(s, ':');
  skip(s);
  const char *at = s->p;
  tg_type t = expect_type(s);
  bool pointer = tg_type_equal(t, tg_ptr_type(TG_GLOBAL)), map = tg_type_equal(t, tg_ptr_type(TG_PARAMETER));
  if (!pointer && !map && (t.kind != TG_TILE || t.rank)) fail_at(s, at, "an argument is a ptr<global>, a ptr<param> or a scalar");
  expect(s, '=');
  const char *name = next_is(s, '"') ? expect_string(s) : accept_name(s, ".");
  if (!name) expected(s, "what the argument is: a parameter's name, A.stride0 or an expression");
  tg_arg arg = {.name = name, .kind = pointer ? TG_ARG_POINTER : map ? TG_ARG_MAP : TG_ARG_SCALAR, .dtype = t.dtype};
  const tg_param *param = tg_find_param(s->kernel, name);
  if (map) {
    parse_map(s, &arg);
  } else if (pointer) {
    if (!param || param->kind == TG_SCALAR_PARAM)
      fail_at(s, s->token, tg_arena_printf(&s->scratch, "there is no tensor parameter '%.40s'", name));
    arg.dtype = (uint8_t)param->dtype;
  } else if (next_is(s, '"')) {
    const char *text = expect_string(s), *stopped;
    arg.value = tg_e_parse(&s->kernel->arena, text, text + strlen(text), &stopped);
    if (!arg.value || *stopped) fail_at(s, s->token, "the text is not an expression over dims");
  }
  define(s, value, tg_add_arg(launch, &arg));
}

static void parse_launch(parser *s) {
  bool lane = s->kernel->level == TG_LEVEL_LANE;
  const tg_expr *grid[4];
  int n = 0;
  const char *entry = lane ? expect_name(s, "the entry's name") : NULL;
  expect(s, '(');
  do {
    if (n == 4) fail_at(s, s->p, "a grid has at most 4 axes");
    grid[n++] = expect_expr(s);
  } while (accept(s, ','));
  expect(s, ')');
  tg_launch *launch = tg_add_launch(s->kernel, n, grid);
  if (lane) {
    launch->entry = tg_arena_strdup(&s->kernel->arena, entry);
    if (!accept_word(s, "block")) expected(s, "block (x, y, z)");
    for (int i = 0; i < 3; i++) {
      expect(s, i ? ',' : '(');
      launch->block[i] = expect_int_in(s, 1, 1024, "threads of a block");
    }
    expect(s, ')');
    if (accept_word(s, "cluster")) launch->cluster = expect_int_in(s, 1, 16, "blocks of a cluster");
    expect(s, '(');
    if (!accept(s, ')')) {
      do parse_arg(s, launch);
      while (accept(s, ','));
      expect(s, ')');
    }
  }
  expect(s, '{');
  parse_ops(s, launch->body);
  launch->loc = accept_loc(s);
}

static void parse_declaration(parser *s) {
  static const char *const params[] = {"input", "output", "inout", "workspace", "scalar"};
  tg_kernel *k = s->kernel;
  if (accept_word(s, "dim")) return parse_symbols(s, TG_SYM_DIM);
  if (accept_word(s, "static")) return parse_symbols(s, TG_SYM_STATIC);
  if (accept_word(s, "option")) return parse_setting(s, TG_OPTION);
  if (accept_word(s, "tune")) return parse_setting(s, TG_TUNE);
  for (int i = TG_INPUT; i <= TG_SCALAR_PARAM; i++) {
    if (accept_word(s, params[i])) return parse_param(s, i);
  }
  if (accept_word(s, "launch")) return parse_launch(s);
  if (!accept_word(s, "require")) expected(s, "dim, static, option, tune, input, output, inout, workspace, scalar, require, launch or '}'");
  k->preconditions = tg_arena_grow(&k->arena, k->preconditions, (size_t)k->npreconditions, sizeof *k->preconditions);
  k->preconditions[k->npreconditions++] = tg_arena_strdup(&k->arena, expect_string(s));
}

static void parse_kernel(void *arg) {
  parser *s = arg;
  if (!accept_word(s, "kernel")) expected(s, "kernel");
  char *name = expect_name(s, "the kernel's name");
  if (!tg_is_name(name)) fail_at(s, s->token, tg_arena_printf(&s->scratch, "'%.40s' cannot name a kernel", name));
  s->kernel->name = tg_arena_strdup(&s->kernel->arena, name);
  if (accept_word(s, "lane")) s->kernel->level = TG_LEVEL_LANE;
  else if (!accept_word(s, "tile")) expected(s, "tile or lane");
  expect(s, '{');
  while (!accept(s, '}')) parse_declaration(s);
  s->kernel->loc = accept_loc(s);
  skip(s);
  if (s->p < s->end) expected(s, "the end of the text");
}

// A message of the declarations gets the position that they do not know.
static void add_position(void *arg) {
  parser *s = arg;
  char *text = tg_arena_strdup(&s->scratch, s->ctx->message);
  fail_at(s, s->token ? s->token : s->p, text);
}

tg_kernel *tg_parse(tg_context *ctx, const char *text, size_t length, const char *file) {
  parser s = {.ctx = ctx, .file = file ? file : "text", .start = text, .p = text, .end = text + length};
  s.kernel = tg_kernel_create(ctx, "", TG_LEVEL_TILE);
  tg_arena_init(&s.scratch, ctx);
  tg_status status = tg_protect(ctx, parse_kernel, &s);
  if (status == TG_INVALID && !s.positioned) status = tg_protect(ctx, add_position, &s);
  tg_arena_free(&s.scratch);
  if (!status) return s.kernel;
  tg_kernel_free(s.kernel);
  tg_rethrow(ctx);
}
