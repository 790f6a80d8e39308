// Dtypes, types as text, and the op table with its attribute columns.
#include "ir/ir.h"

const tg_dtype_row tg_dtypes[TG_NDTYPES] = {
#define DTYPE(enum_, name, bits, cls, e, m, bias, npy, doc) {name, bits, e, m, cls, bias, npy, doc},
#include "ir/dtypes.def"
#undef DTYPE
};

tg_dtype tg_dtype_find(const char *name) {
  for (int i = 0; name && i < TG_NDTYPES; i++) {
    if (!strcmp(tg_dtypes[i].name, name)) return i;
  }
  return -1;
}

static bool known(tg_dtype d) { return d >= 0 && d < TG_NDTYPES; }
int tg_dtype_count(void) { return TG_NDTYPES; }
const char *tg_dtype_name(tg_dtype dtype) { return known(dtype) ? tg_dtypes[dtype].name : "none"; }
int tg_dtype_bits(tg_dtype dtype) { return known(dtype) ? tg_dtypes[dtype].bits : 0; }
bool tg_dtype_is_float(tg_dtype dtype) { return known(dtype) && (tg_dtypes[dtype].cls == 'f' || tg_dtypes[dtype].cls == 'e'); }
size_t tg_dtype_bytes(tg_dtype dtype, int64_t elements) {
  if (!known(dtype) || elements <= 0) return 0;
  return tg_dtypes[dtype].bits == 4 ? ((size_t)elements + 1) / 2 : (size_t)elements * (tg_dtypes[dtype].bits / 8);
}

// ---- ops

#define TRAIT(text, letter, bit) (__builtin_strchr(text, letter) ? (unsigned)(bit) : 0u)
#define TRAITS(t)                                                                                                                          \
  TRAIT(t, 'P', TG_PURE) | TRAIT(t, 'E', TG_ELEMENTWISE) | TRAIT(t, 'C', TG_COMMUTATIVE) | TRAIT(t, 'R', TG_READS) |                       \
      TRAIT(t, 'W', TG_WRITES) | TRAIT(t, 'T', TG_TERMINATOR) | TRAIT(t, 'V', TG_AT_TILE) | TRAIT(t, 'L', TG_AT_LANE)
static const tg_op_row op_rows[TG_NOPCODES] = {
#define OP(enum_, name, lo, hi, outs, regions, traits, rule, attrs, doc)                                                                   \
  {{name, traits, attrs, doc, lo, hi, outs, regions}, TRAITS(traits)},
#include "ir/elementwise.def"
#include "ir/tile.def"
#include "ir/lane.def"
#undef OP
};

const tg_op_row *tg_op_rows(void) { return op_rows; }

int tg_op_find(const char *name, size_t length, tg_level level) {
  unsigned at = level == TG_LEVEL_TILE ? TG_AT_TILE : TG_AT_LANE;
  for (int i = 0; i < TG_NOPCODES; i++) {
    const char *n = op_rows[i].info.name;
    if ((op_rows[i].traits & at) && !strncmp(n, name, length) && !n[length]) return i;
  }
  return -1;
}

int tg_opcode_count(void) { return TG_OP_TID; } // lane-level ops come last and are not for frontends
int tg_opcode_find(const char *name) { return name ? tg_op_find(name, strlen(name), TG_LEVEL_TILE) : -1; }
const tg_op_info *tg_opcode_info(int opcode) { return opcode >= 0 && opcode < TG_NOPCODES ? &op_rows[opcode].info : NULL; }

bool tg_next_attr_spec(const char **cursor, tg_attr_spec *out) {
  const char *p = *cursor;
  while (*p == ' ') p++;
  if (!*p) return false;
  out->key = p;
  while (*p && *p != ':') p++;
  out->length = (int)(p - out->key);
  if (*p) p++;
  const char *kind = p;
  while (*p && *p != ' ' && *p != '?') p++;
  size_t n = (size_t)(p - kind);
  out->optional = *p == '?';
  if (*p == '?') p++;
  out->num = n == 3 && !strncmp(kind, "num", n);
  out->kind = TG_ATTR_FLOAT;
  static const struct {
    const char *name;
    tg_attr_kind kind;
  } kinds[] = {{"int", TG_ATTR_INT}, {"str", TG_ATTR_STR}, {"ints", TG_ATTR_INTS}, {"type", TG_ATTR_TYPE}, {"expr", TG_ATTR_EXPR}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strlen(kinds[i].name) == n && !strncmp(kind, kinds[i].name, n)) out->kind = kinds[i].kind;
  }
  *cursor = p;
  return true;
}

// ---- types

int64_t tg_type_elements(tg_type t) {
  int64_t n = 1;
  if (t.kind == TG_TILE) {
    for (int i = 0; i < t.rank; i++) n = n > INT64_MAX / INT32_MAX ? n : n * t.dim[i];
  }
  return n;
}

static const char *const space_names[] = {"global", "shared", "local", "param"};
enum { NSPACES = sizeof space_names / sizeof *space_names };

const char *tg_type_text(tg_arena *arena, tg_type t) {
  tg_text text = {.arena = arena};
  switch (t.kind) {
  case TG_TILE:
    tg_text_add(&text, "%s", tg_dtype_name(t.dtype));
    for (int i = 0; i < t.rank; i++) tg_text_add(&text, "%c%d", i ? 'x' : '[', t.dim[i]);
    if (t.rank) tg_text_add(&text, "]");
    break;
  case TG_VIEW: tg_text_add(&text, "view<%s,%d>", tg_dtype_name(t.dtype), t.rank); break;
  case TG_RANGE: tg_text_add(&text, "range<%d>", t.dim[0]); break;
  case TG_PTR: tg_text_add(&text, "ptr<%s>", space_names[t.space]); break;
  default: tg_text_add(&text, "nothing");
  }
  return text.data;
}

// Reads a decimal extent of 1 … INT32_MAX.
static bool parse_extent(const char **cursor, const char *end, int32_t *out) {
  const char *p = *cursor;
  int64_t n = 0;
  if (p == end || *p < '0' || *p > '9') return false;
  for (; p < end && *p >= '0' && *p <= '9'; p++) {
    n = n * 10 + (*p - '0');
    if (n > INT32_MAX) return false;
  }
  *cursor = p;
  *out = (int32_t)n;
  return n > 0;
}

static bool accept(const char **cursor, const char *end, char c) {
  if (*cursor == end || **cursor != c) return false;
  ++*cursor;
  return true;
}

static bool parse_word(const char **cursor, const char *end, char *word, size_t size) {
  size_t n = 0;
  const char *p = *cursor;
  for (; p < end && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')); p++) {
    if (n + 1 < size) word[n++] = *p;
    else return false;
  }
  word[n] = 0;
  *cursor = p;
  return n > 0;
}

bool tg_type_parse(const char **cursor, const char *end, tg_type *out) {
  const char *p = *cursor;
  char word[16];
  tg_type t = {0};
  if (!parse_word(&p, end, word, sizeof word)) return false;
  if (!strcmp(word, "view")) {
    t.kind = TG_VIEW;
    int32_t rank;
    if (!accept(&p, end, '<') || !parse_word(&p, end, word, sizeof word) || tg_dtype_find(word) < 0 || !accept(&p, end, ',')) return false;
    t.dtype = (uint8_t)tg_dtype_find(word);
    while (p < end && *p == ' ') p++;
    if (!parse_extent(&p, end, &rank) || rank > TG_MAX_RANK || !accept(&p, end, '>')) return false;
    t.rank = (uint8_t)rank;
  } else if (!strcmp(word, "range")) {
    t.kind = TG_RANGE;
    if (!accept(&p, end, '<') || !parse_extent(&p, end, &t.dim[0]) || !accept(&p, end, '>')) return false;
  } else if (!strcmp(word, "ptr")) {
    t.kind = TG_PTR;
    if (!accept(&p, end, '<') || !parse_word(&p, end, word, sizeof word) || !accept(&p, end, '>')) return false;
    while (t.space < NSPACES && strcmp(word, space_names[t.space])) t.space++;
    if (t.space == NSPACES) return false;
  } else {
    t.kind = TG_TILE;
    if (tg_dtype_find(word) < 0) return false;
    t.dtype = (uint8_t)tg_dtype_find(word);
    if (accept(&p, end, '[')) {
      do {
        if (t.rank == TG_MAX_RANK || !parse_extent(&p, end, &t.dim[t.rank])) return false;
        t.rank++;
      } while (accept(&p, end, 'x'));
      if (!accept(&p, end, ']')) return false;
    }
  }
  *cursor = p;
  *out = t;
  return true;
}
