// Makes visible what metamethods cannot see: a tile under if, while, until, and, or, not, ==, ~=, as a loop's bound or a table's key.
//
// A source is parsed before Lua does it, and the operands of those constructs are passed through the checking functions of check.lua:
// `if E then` becomes `if __tg_if(E) then`, `A == B` becomes `__tg_eq(A, B)`. Lines stay as they are. What is no Lua is either refused here
// or handed on as it stands for Lua to refuse: nothing becomes valid by being rewritten.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"

#define MAX_DEPTH 250 // Lua itself accepts some 200 levels

// ---- tokens

// Operators and punctuation of one character are that character.
enum {
  END = 0,
  NAME = 256,
  NUMBER,
  STRING,
  EQ,   // ==
  NE,   // ~=
  LE,   // <=
  GE,   // >=
  IDIV, // //
  LABEL,
  SHL,
  SHR,
  CONCAT,
  DOTS,
  FIRST_KEYWORD,
  AND = FIRST_KEYWORD,
  BREAK,
  DO,
  ELSE,
  ELSEIF,
  END_WORD,
  FALSE_WORD,
  FOR,
  FUNCTION,
  GOTO,
  IF,
  IN,
  LOCAL,
  NIL,
  NOT,
  OR,
  REPEAT,
  RETURN,
  THEN,
  TRUE_WORD,
  UNTIL,
  WHILE,
};

static const char *const keywords[] = {"and", "break", "do",  "else", "elseif", "end",    "false",  "for",  "function", "goto",  "if",
                                       "in",  "local", "nil", "not",  "or",     "repeat", "return", "then", "true",     "until", "while"};
static const struct {
  char text[3];
  short kind;
} pairs[] = {{"==", EQ}, {"~=", NE}, {"<=", LE}, {">=", GE}, {"//", IDIV}, {"::", LABEL}, {"<<", SHL}, {">>", SHR}, {"..", CONCAT}};

typedef struct token {
  int kind;
  size_t first, stop; // bytes [first, stop)
} token;

typedef struct edit { // text put in front of byte `at`
  size_t at;
  int order; // among those of one place
  const char *text;
} edit;

typedef struct rewriter {
  lua_State *L;
  const char *text;
  size_t size;
  token now;
  size_t last; // end of the token before `now`
  size_t read; // tokens passed
  int depth;
  edit *edits; // in a userdata at index `box`
  int box, nedits, room, wraps;
} rewriter;

static size_t long_bracket_end(const rewriter *r, size_t at) { // of "[==[ … ]==]"; 0: none begins here
  size_t level = 0, i = at + 1;
  if (at >= r->size || r->text[at] != '[') return 0;
  while (i < r->size && r->text[i] == '=') i++, level++;
  if (i >= r->size || r->text[i] != '[') return 0;
  for (i++; i + level + 1 < r->size; i++) {
    if (r->text[i] != ']') continue;
    size_t k = 1;
    while (k <= level && r->text[i + k] == '=') k++;
    if (k > level && r->text[i + k] == ']') return i + k + 1;
  }
  return r->size;
}

static size_t string_end(const rewriter *r, size_t at) {
  for (size_t i = at + 1; i < r->size; i++) {
    if (r->text[i] == '\\') i++;
    else if (r->text[i] == r->text[at]) return i + 1;
  }
  return r->size;
}

static size_t skip_space(const rewriter *r, size_t at) {
  for (;;) {
    while (at < r->size && isspace((unsigned char)r->text[at])) at++;
    if (at + 1 >= r->size || r->text[at] != '-' || r->text[at + 1] != '-') return at;
    size_t stop = long_bracket_end(r, at + 2);
    if (!stop) {
      const char *line = memchr(r->text + at, '\n', r->size - at);
      stop = line ? (size_t)(line - r->text) : r->size;
    }
    at = stop;
  }
}

static bool is_word(int c) { return isalnum(c) || c == '_'; }

static size_t number_end(const rewriter *r, size_t at) {
  const bool hex = r->text[at] == '0' && at + 1 < r->size && (r->text[at + 1] | 32) == 'x';
  const char exponent = hex ? 'p' : 'e';
  for (at += hex ? 2 : 0; at < r->size; at++) {
    const int c = (unsigned char)r->text[at];
    if ((c | 32) == exponent) {
      if (at + 1 < r->size && (r->text[at + 1] == '+' || r->text[at + 1] == '-')) at++;
    } else if (c != '.' && !is_word(c)) { // letters that no number has stay with it: Lua refuses them
      break;
    }
  }
  return at;
}

static int word_kind(const char *word, size_t n) {
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
    if (keywords[i][0] == word[0] && strlen(keywords[i]) == n && memcmp(keywords[i], word, n) == 0) return FIRST_KEYWORD + (int)i;
  return NAME;
}

static token token_at(const rewriter *r, size_t at) {
  const size_t first = skip_space(r, at);
  if (first >= r->size) return (token){END, r->size, r->size};
  const char *text = r->text + first;
  const size_t left = r->size - first;
  const int c = (unsigned char)*text, after = left > 1 ? (unsigned char)text[1] : 0;
  if (isdigit(c) || (c == '.' && isdigit(after))) return (token){NUMBER, first, number_end(r, first)};
  if (is_word(c)) {
    size_t n = 1;
    while (n < left && is_word((unsigned char)text[n])) n++;
    return (token){word_kind(text, n), first, first + n};
  }
  if (c == '"' || c == '\'') return (token){STRING, first, string_end(r, first)};
  const size_t bracket = long_bracket_end(r, first);
  if (bracket) return (token){STRING, first, bracket};
  if (left > 2 && memcmp(text, "...", 3) == 0) return (token){DOTS, first, first + 3};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (c == pairs[i].text[0] && after == pairs[i].text[1]) return (token){pairs[i].kind, first, first + 2};
  return (token){c, first, first + 1};
}

static int peek(const rewriter *r) { return r->now.kind; }

static void next(rewriter *r) {
  r->last = r->now.stop;
  r->read++;
  r->now = token_at(r, r->last);
}

static bool accept(rewriter *r, int kind) {
  if (peek(r) != kind) return false;
  next(r);
  return true;
}

static void refuse(rewriter *r) {
  luaL_error(r->L, "internal: byte %I of the source is not as the checks expect", (lua_Integer)r->now.first);
}

static void expect(rewriter *r, int kind) {
  if (!accept(r, kind)) refuse(r);
}

static void deeper(rewriter *r) {
  if (++r->depth > MAX_DEPTH) refuse(r);
}

// ---- edits

static void put(rewriter *r, size_t at, int order, const char *text) {
  if (r->nedits == r->room) {
    const int room = r->room ? 2 * r->room : 64;
    edit *more = lua_newuserdatauv(r->L, sizeof *more * (size_t)room, 0);
    if (r->nedits) memcpy(more, r->edits, sizeof *more * (size_t)r->nedits);
    lua_replace(r->L, r->box);
    r->edits = more;
    r->room = room;
  }
  r->edits[r->nedits++] = (edit){at, order, text};
}

// Passes what was read since byte `from` through a function. Calls around come later and so stand first at one place; before them what ends
// there.
static void wrap(rewriter *r, size_t from, const char *call) {
  put(r, from, -++r->wraps, call);
  put(r, r->last, -(1 << 30), ")");
}

static int by_place(const void *a, const void *b) {
  const edit *x = a, *y = b;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  return (x->order > y->order) - (x->order < y->order);
}

// ---- Lua 5.4's grammar, keeping only the extents of operands

static int expression(rewriter *r, int limit);
static void block(rewriter *r);

static void expression_list(rewriter *r) {
  do expression(r, 0);
  while (accept(r, ','));
}

static void checked(rewriter *r, const char *call) {
  const size_t from = r->now.first;
  expression(r, 0);
  wrap(r, from, call);
}

// A key in brackets: checked unless it is plainly a literal or a table constructor.
static void key(rewriter *r) {
  expect(r, '[');
  const size_t from = r->now.first, read = r->read;
  const int start = peek(r);
  expression(r, 0);
  const bool literal = r->read == read + 1 && (start == STRING || start == NUMBER);
  if (!literal && start != '{') wrap(r, from, " __tg_key(");
  expect(r, ']');
}

static void constructor(rewriter *r) {
  expect(r, '{');
  while (peek(r) != '}') {
    if (peek(r) == '[') {
      key(r);
      expect(r, '=');
    } else if (peek(r) == NAME && token_at(r, r->now.stop).kind == '=') {
      next(r);
      next(r);
    }
    expression(r, 0);
    if (!accept(r, ',') && !accept(r, ';')) break;
  }
  expect(r, '}');
}

static void body(rewriter *r) {
  expect(r, '(');
  while (peek(r) != ')' && peek(r) != END) next(r);
  expect(r, ')');
  block(r);
  expect(r, END_WORD);
}

static void suffixed(rewriter *r) {
  if (accept(r, '(')) {
    expression(r, 0);
    expect(r, ')');
  } else {
    expect(r, NAME);
  }
  for (;;) {
    switch (peek(r)) {
    case '.':
    case ':':
      next(r);
      expect(r, NAME);
      break;
    case '[': key(r); break;
    case STRING: next(r); break;
    case '{': constructor(r); break;
    case '(':
      next(r);
      if (peek(r) != ')') expression_list(r);
      expect(r, ')');
      break;
    default: return;
    }
  }
}

static void simple(rewriter *r) {
  switch (peek(r)) {
  case NUMBER:
  case STRING:
  case NIL:
  case TRUE_WORD:
  case FALSE_WORD:
  case DOTS: next(r); break;
  case '{': constructor(r); break;
  case FUNCTION:
    next(r);
    body(r);
    break;
  default: suffixed(r);
  }
}

// Left priority of a binary operator, as in Lua's own parser; 0: it is none.
static int priority(int kind) {
  switch (kind) {
  case OR: return 1;
  case AND: return 2;
  case EQ:
  case NE:
  case LE:
  case GE:
  case '<':
  case '>': return 3;
  case '|': return 4;
  case '~': return 5;
  case '&': return 6;
  case SHL:
  case SHR: return 7;
  case CONCAT: return 9;
  case '+':
  case '-': return 10;
  case '*':
  case '/':
  case IDIV:
  case '%': return 11;
  case '^': return 14;
  default: return 0;
  }
}

static bool is_unary(int kind) { return kind == NOT || kind == '-' || kind == '#' || kind == '~'; }

// Returns the outermost operator that was read, 0 for none. `a and b or c` chooses between values: only `a` is tested.
static int expression(rewriter *r, int limit) {
  const size_t from = r->now.first;
  int top = 0;
  deeper(r);
  if (is_unary(peek(r))) {
    top = peek(r);
    next(r);
    const size_t operand = r->now.first;
    expression(r, 12);
    if (top == NOT) wrap(r, operand, " __tg_not(");
  } else {
    simple(r);
  }
  for (int op; priority(op = peek(r)) > limit; top = op) {
    if (op == AND) wrap(r, from, " __tg_and(");
    else if (op == OR && top != AND) wrap(r, from, " __tg_or(");
    const size_t at = r->now.first;
    next(r);
    expression(r, op == CONCAT || op == '^' ? priority(op) - 1 : priority(op)); // those two associate to the right
    if (op != EQ && op != NE) continue;
    wrap(r, from, op == EQ ? " __tg_eq(" : " __tg_ne(");
    put(r, at, 0, NULL); // a comma takes the operator's place
  }
  r->depth--;
  return top;
}

static bool ends_block(int kind) { return kind == END_WORD || kind == ELSE || kind == ELSEIF || kind == UNTIL || kind == END; }

static void if_statement(rewriter *r) {
  do {
    checked(r, " __tg_if(");
    expect(r, THEN);
    block(r);
  } while (accept(r, ELSEIF));
  if (accept(r, ELSE)) block(r);
  expect(r, END_WORD);
}

static void for_statement(rewriter *r) {
  expect(r, NAME);
  if (accept(r, '=')) {
    do checked(r, " __tg_for(");
    while (accept(r, ','));
  } else {
    while (peek(r) != IN && peek(r) != END) next(r);
    expect(r, IN);
    expression_list(r);
  }
  expect(r, DO);
  block(r);
  expect(r, END_WORD);
}

static void local_statement(rewriter *r) {
  if (accept(r, FUNCTION)) {
    expect(r, NAME);
    body(r);
    return;
  }
  do {
    expect(r, NAME);
    if (accept(r, '<')) {
      expect(r, NAME);
      expect(r, '>');
    }
  } while (accept(r, ','));
  if (accept(r, '=')) expression_list(r);
}

static void assignment_or_call(rewriter *r) {
  suffixed(r);
  if (peek(r) != ',' && peek(r) != '=') return;
  while (accept(r, ',')) suffixed(r);
  expect(r, '=');
  expression_list(r);
}

static void statement(rewriter *r) {
  const int what = peek(r);
  if (what == NAME || what == '(') {
    assignment_or_call(r);
    return;
  }
  next(r);
  switch (what) {
  case IF: if_statement(r); break;
  case FOR: for_statement(r); break;
  case LOCAL: local_statement(r); break;
  case WHILE:
    checked(r, " __tg_while(");
    expect(r, DO);
    block(r);
    expect(r, END_WORD);
    break;
  case DO:
    block(r);
    expect(r, END_WORD);
    break;
  case REPEAT:
    block(r);
    expect(r, UNTIL);
    checked(r, " __tg_until(");
    break;
  case FUNCTION:
    while (peek(r) != '(' && peek(r) != END) next(r);
    body(r);
    break;
  case RETURN:
    if (!ends_block(peek(r)) && peek(r) != ';') expression_list(r);
    accept(r, ';');
    break;
  case GOTO: expect(r, NAME); break;
  case LABEL:
    expect(r, NAME);
    expect(r, LABEL);
    break;
  case BREAK:
  case ';': break;
  default: refuse(r);
  }
}

static void block(rewriter *r) {
  deeper(r);
  while (!ends_block(peek(r))) statement(r);
  r->depth--;
}

// Takes the text at index 1 and pushes it with its checks.
static int rewrite(lua_State *L) {
  rewriter r = {.L = L, .box = 2};
  r.text = luaL_checklstring(L, 1, &r.size);
  lua_settop(L, 2);
  if (memmem(r.text, r.size, "_ENV", 4)) { // the checks would not be found
    lua_settop(L, 1);
    return 1;
  }
  r.now = token_at(&r, 0);
  block(&r);
  expect(&r, END);
  if (r.nedits) qsort(r.edits, (size_t)r.nedits, sizeof *r.edits, by_place);
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  size_t at = 0;
  for (int i = 0; i < r.nedits; i++) {
    const edit *e = &r.edits[i];
    luaL_addlstring(&out, r.text + at, e->at - at);
    luaL_addstring(&out, e->text ? e->text : ", ");
    at = e->text ? e->at : e->at + 2;
  }
  luaL_addlstring(&out, r.text + at, r.size - at);
  luaL_pushresult(&out);
  return 1;
}

static int load_as(lua_State *L, int text) {
  size_t size;
  const char *at = lua_tolstring(L, text, &size);
  return luaL_loadbufferx(L, at, size, lua_tostring(L, 2), "t");
}

int tg_lua_load_checked(lua_State *L) {
  luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  lua_settop(L, 3);
  if (*lua_tostring(L, 1) == '#') { // a script's first line, kept for the count of lines
    lua_pushliteral(L, "--");
    lua_pushvalue(L, 1);
    lua_concat(L, 2);
    lua_replace(L, 1);
  }
  lua_pushcfunction(L, rewrite);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK || load_as(L, 4) != LUA_OK) {
    if (load_as(L, 1) == LUA_OK) lua_pop(L, 1); // else the error in Lua's words about what the user wrote
    if (lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), "']' expected near ','"))
      lua_pushfstring(L, "%s; tensors are indexed with braces: X[{r, c}]", lua_tostring(L, -1));
    return lua_error(L);
  }
  if (!lua_isnil(L, 3)) {
    lua_pushvalue(L, 3);
    lua_setupvalue(L, -2, 1);
  }
  return 1;
}
