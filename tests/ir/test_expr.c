// Launch-time expressions: values against 128-bit arithmetic from the definition, text, folding, overflow, solving.
#include "test.h"

#include "ir/ir.h"

typedef struct names {
  int64_t m, k; // negative: unknown
} names;

static bool lookup(void *user, const char *name, int64_t *value) {
  const names *n = user;
  if (!strcmp(name, "M") && n->m >= 0) *value = n->m;
  else if (!strcmp(name, "K") && n->k >= 0) *value = n->k;
  else return false;
  return true;
}

static const tg_expr *parse(tg_arena *arena, const char *text) {
  const char *stopped;
  const tg_expr *e = tg_e_parse(arena, text, text + strlen(text), &stopped);
  return e && !*stopped ? e : NULL;
}

static void check_text(tg_arena *arena) {
  static const char *const rows[][2] = {
      {"M", "M"},
      {" M+1 ", "M + 1"},
      {"(M + 1) * (K - 2)", "(M + 1) * (K - 2)"},
      {"M + (K + 1)", "M + (K + 1)"},
      {"M - (K - 1) - 2", "M - (K - 1) - 2"},
      {"M * K + 1", "M * K + 1"},
      {"M * (K * 2)", "M * (K * 2)"},
      {"ceildiv(M,128)*K", "ceildiv(M, 128) * K"},
      {"min(M, max(K, floordiv(M + 1, 2)))", "min(M, max(K, floordiv(M + 1, 2)))"},
      {"M + -3", "M + -3"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"((((M))))", "M"},
      // folding
      {"2 * 3 + 1", "7"},
      {"M * 1 + 0", "M"},
      {"M * 0", "0"},
      {"M + 1 + 2", "M + 3"},
      {"M - M", "0"},
      {"min(M, M)", "M"},
      {"ceildiv(M, 1)", "M"},
      {"ceildiv(-7, 2)", "-3"},
      {"floordiv(-7, 2)", "-4"},
      {"ceildiv(7, 2)", "4"},
      {"9223372036854775807 + 1", "9223372036854775807 + 1"}, // overflow is kept and found on evaluation
      {"floordiv(1, 0)", "floordiv(1, 0)"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const tg_expr *e = parse(arena, rows[i][0]);
    CHECKF(e, "%s", rows[i][0]);
    if (!e) continue;
    CHECK_STR(tg_e_text(arena, e), rows[i][1]);
    CHECK(tg_e_equal(e, parse(arena, rows[i][1])));
    char small[4];
    CHECK(tg_expr_print(e, small, sizeof small) == strlen(rows[i][1]) && !strncmp(small, rows[i][1], strlen(small)) && strlen(small) <= 3);
  }
  static const char *const bad[] = {"",
                                    "+",
                                    "M +",
                                    "M M",
                                    "(M",
                                    "ceildiv(M)",
                                    "ceildiv M, 2",
                                    "9223372036854775808",
                                    "-9223372036854775809",
                                    "-M",
                                    "min",
                                    "min(1, 2, 3)",
                                    "1.5",
                                    "M / 2",
                                    "M % 2",
                                    "%0",
                                    "3M"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECKF(!parse(arena, bad[i]), "\"%s\" was accepted", bad[i]);
  char deep[3000];
  memset(deep, '(', sizeof deep);
  deep[sizeof deep - 1] = 0;
  CHECK(!parse(arena, deep));
}

// The value by the definition, in 128 bits; false beyond int64 and on division by 0.
static bool oracle(const tg_expr *e, const names *n, __int128 *out) {
  __int128 a, b;
  if (e->op == TG_EXPR_CONST || e->op == TG_EXPR_SYM) {
    *out = e->op == TG_EXPR_CONST ? e->value : !strcmp(e->name, "M") ? n->m : n->k;
    return true;
  }
  if (!oracle(e->a, n, &a) || !oracle(e->b, n, &b)) return false;
  switch (e->op) {
  case TG_EXPR_ADD: *out = a + b; break;
  case TG_EXPR_SUB: *out = a - b; break;
  case TG_EXPR_MUL: *out = a * b; break;
  case TG_EXPR_MIN: *out = a < b ? a : b; break;
  case TG_EXPR_MAX: *out = a > b ? a : b; break;
  default: {
    if (b == 0) return false;
    __int128 q = a / b, below = q * b == a ? q : (a < 0) != (b < 0) ? q - 1 : q;
    *out = e->op == TG_EXPR_FLOORDIV || q * b == a ? below : below + 1;
  }
  }
  return *out >= INT64_MIN && *out <= INT64_MAX;
}

static uint64_t next_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

static const tg_expr *random_expr(tg_arena *arena, uint64_t *state, int depth) {
  static const int64_t constants[] = {0, 1, -1, 2, 3, 7, 128, -128, INT64_MAX, INT64_MIN, 1LL << 40};
  uint64_t r = next_random(state) % 10;
  if (depth == 0 || r < 2)
    return next_random(state) % 2 ? tg_e_sym(arena, next_random(state) % 2 ? "M" : "K")
                                  : tg_e_const(arena, constants[next_random(state) % 11]);
  tg_expr_op op = (tg_expr_op)(TG_EXPR_ADD + next_random(state) % 7);
  const tg_expr *a = random_expr(arena, state, depth - 1);
  return tg_e_bin(arena, op, a, random_expr(arena, state, depth - 1));
}

// Folding may only make more expressions defined (M * 0 where M overflows), never change a value: the unfolded oracle is on the folded
// tree.
static void check_values(tg_arena *arena) {
  uint64_t state = 1;
  int defined = 0;
  for (int i = 0; i < 20000; i++) {
    names n = {(int64_t)(next_random(&state) % 5000), (int64_t)(next_random(&state) % 9)};
    const tg_expr *e = random_expr(arena, &state, 4);
    int64_t got;
    __int128 want;
    const char *missing = "";
    bool ok = tg_e_eval(e, lookup, &n, &got, &missing), expect = oracle(e, &n, &want);
    defined += ok;
    CHECKF(ok == expect && (!ok || got == want), "%s with M=%lld K=%lld", tg_e_text(arena, e), (long long)n.m, (long long)n.k);
    CHECK(ok || !missing);
    const char *text = tg_e_text(arena, e);
    const tg_expr *again = parse(arena, text);
    CHECKF(again && tg_e_equal(again, e), "%s", text);
  }
  CHECK(defined > 5000);
}

static void check_solve(tg_arena *arena) {
  static const struct {
    const char *text;
    int64_t value, k, want; // want < 0: no solution
  } rows[] = {
      {"M", 7, -1, 7},
      {"2 * M", 14, -1, 7},
      {"2 * M", 15, -1, -1},
      {"M + 1", 257, -1, 256},
      {"M + K", 576, 64, 512},
      {"M + K", 576, -1, -1},
      {"K - M", 3, 10, 7},
      {"ceildiv(M, 128)", 2, -1, 256},
      {"ceildiv(M, 128)", 0, -1, 0},
      {"floordiv(M, 4)", 2, -1, 11},
      {"2 * (M + 1) - K", 8, 4, 5},
      {"0 * M", 0, -1, -1},
      {"min(M, K)", 3, 10, 3},
      {"min(M, K)", 10, 10, -1},
      {"max(M, K)", 10, 10, 10},
      {"max(M, K)", 4, 10, -1},
      {"M * K", 0, 0, -1},
      {"M * M", 9, -1, -1},
      {"128", 128, -1, -1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    names n = {-1, rows[i].k};
    const char *name = NULL;
    int64_t got = -1;
    bool ok = tg_e_solve(parse(arena, rows[i].text), rows[i].value, lookup, &n, &name, &got);
    CHECKF(rows[i].want < 0 ? !ok : ok && got == rows[i].want && !strcmp(name, "M"), "%s == %lld: %d %lld", rows[i].text,
           (long long)rows[i].value, ok, (long long)got);
  }
  names n = {-1, -1};
  const char *missing = NULL;
  int64_t got;
  CHECK(!tg_e_eval(parse(arena, "M + K"), lookup, &n, &got, &missing) && missing && !strcmp(missing, "M"));
}

static void grow_without_end(void *arg) {
  tg_arena *arena = arg;
  const tg_expr *e = tg_e_sym(arena, "M");
  for (int i = 0; i < 64; i++) e = tg_e_bin(arena, TG_EXPR_ADD, e, e);
}

// As deep as it may be: what is made prints to text that parses. One deeper is refused.
static void nest(void *arena) {
  const tg_expr *e = tg_e_sym(arena, "M"), *two = tg_e_const(arena, 2), *k = tg_e_sym(arena, "K");
  for (int depth = 1; depth <= TG_MAX_EXPR_DEPTH; depth++) {
    if (depth > TG_MAX_EXPR_DEPTH - 3 || depth % 50 == 0) CHECKF(tg_e_equal(e, parse(arena, tg_e_text(arena, e))), "%d deep", depth);
    e = depth % 2 ? tg_e_bin(arena, TG_EXPR_CEILDIV, e, two) : tg_e_bin(arena, TG_EXPR_SUB, k, e);
  }
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  check_text(&arena);
  check_values(&arena);
  check_solve(&arena);
  CHECK(tg_protect(ctx, grow_without_end, &arena) == TG_INVALID && strstr(tg_error_message(ctx), "more than 4096 terms"));
  CHECK(tg_protect(ctx, nest, &arena) == TG_INVALID && strstr(tg_error_message(ctx), "more than 256 deep"));
  CHECK(tg_is_name("a_B9") && !tg_is_name("") && !tg_is_name("9a") && !tg_is_name("min") && !tg_is_name("a.b") && !tg_is_name("a b"));
  tg_arena_free(&arena);
  tg_context_free(ctx);
  return test_done();
}
