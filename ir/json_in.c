// Reading JSON a token at a time.
#include "ir/json_in.h"

#define MAX_DEPTH 64

void tg_json_in_bad(const tg_json_in *in, const char *what) {
  tg_throw(in->ctx, TG_INVALID, "%s: %s, at byte %lld, %s; %s", in->file, in->document, (long long)(in->at - in->begin), what, in->cure);
}

static void skip_space(tg_json_in *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

bool tg_json_in_take(tg_json_in *in, char symbol) {
  skip_space(in);
  if (in->at >= in->end || *in->at != symbol) return false;
  in->at++;
  return true;
}

void tg_json_in_want(tg_json_in *in, char symbol) {
  if (tg_json_in_take(in, symbol)) return;
  char what[32];
  snprintf(what, sizeof what, "lacks a '%c'", symbol);
  tg_json_in_bad(in, what);
}

bool tg_json_in_more(tg_json_in *in, int64_t *n, char close) {
  if (tg_json_in_take(in, close)) return false;
  if ((*n)++) tg_json_in_want(in, ',');
  return true;
}

void tg_json_in_end(tg_json_in *in) {
  skip_space(in);
  if (in->at != in->end) tg_json_in_bad(in, "goes on behind its last bracket");
}

// ---- strings

int tg_utf8_length(const char *at, const char *end) {
  const unsigned char *p = (const unsigned char *)at;
  const ptrdiff_t room = end - at;
  if (room < 1 || (p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4) return 0;
  const int n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
  if (n > room) return 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
    return 0;
  return n;
}

static unsigned hex4(tg_json_in *in) {
  unsigned code = 0;
  for (int i = 0; i < 4; i++, in->at++) {
    const char c = in->at < in->end ? *in->at : 0;
    const int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) tg_json_in_bad(in, "has a \\u without four hexadecimal digits");
    code = code << 4 | (unsigned)digit;
  }
  return code;
}

// The rest of a \u escape as UTF-8 of up to 4 bytes.
static int unicode_escape(tg_json_in *in, char out[4]) {
  unsigned code = hex4(in);
  if (code == 0) tg_json_in_bad(in, "has a NUL in a string");
  if (code >= 0xd800 && code < 0xe000) {
    if (code >= 0xdc00 || in->end - in->at < 2 || in->at[0] != '\\' || in->at[1] != 'u') tg_json_in_bad(in, "has half a surrogate pair");
    in->at += 2;
    const unsigned low = hex4(in);
    if (low < 0xdc00 || low > 0xdfff) tg_json_in_bad(in, "has half a surrogate pair");
    code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
  }
  if (code < 0x80) return out[0] = (char)code, 1;
  const int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (int i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | code);
  return n;
}

// One character of a string, resolved; returns its bytes.
static int take_character(tg_json_in *in, char out[4]) {
  if (*in->at == '\\') {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    in->at++;
    const char c = in->at < in->end ? *in->at : 0;
    const char *which = c ? strchr(from, c) : NULL;
    if (c != 'u' && !which) tg_json_in_bad(in, "has an escape that JSON does not know");
    in->at++;
    if (c == 'u') return unicode_escape(in, out);
    out[0] = to[which - from];
    return 1;
  }
  if ((unsigned char)*in->at < 0x20) tg_json_in_bad(in, "has a control character in a string");
  const int n = tg_utf8_length(in->at, in->end);
  if (n == 0) tg_json_in_bad(in, "is not UTF-8");
  memcpy(out, in->at, (size_t)n);
  in->at += n;
  return n;
}

// Reads a string into `out`, which is as long as the string is in the document; NULL skips it.
static void read_string(tg_json_in *in, char *out) {
  while (in->at < in->end && *in->at != '"') {
    char bytes[4];
    const int n = take_character(in, bytes);
    if (!out) continue;
    memcpy(out, bytes, (size_t)n);
    out += n;
  }
  if (in->at >= in->end) tg_json_in_bad(in, "ends inside a string");
  in->at++;
}

const char *tg_json_in_string(tg_json_in *in) {
  if (!tg_json_in_take(in, '"')) tg_json_in_bad(in, "lacks a string where one belongs");
  tg_json_in ahead = *in;
  read_string(&ahead, NULL);
  char *text = tg_arena_alloc(in->arena, (size_t)(ahead.at - in->at)); // the quote's byte is the NUL's
  read_string(in, text);
  return text;
}

const char *tg_json_in_key(tg_json_in *in) {
  const char *key = tg_json_in_string(in);
  tg_json_in_want(in, ':');
  return key;
}

// ---- numbers and the rest

static bool digit_at(const tg_json_in *in) { return in->at < in->end && *in->at >= '0' && *in->at <= '9'; }

int64_t tg_json_in_whole(tg_json_in *in) {
  skip_space(in);
  const char *first = in->at;
  int64_t value = 0;
  for (; digit_at(in); in->at++) {
    if (value > (INT64_MAX - 9) / 10) tg_json_in_bad(in, "has a number beyond 2^63");
    value = value * 10 + (*in->at - '0');
  }
  const ptrdiff_t digits = in->at - first;
  const bool goes_on = in->at < in->end && strchr("+-.eE", *in->at) && *in->at;
  if (digits == 0 || goes_on || (digits > 1 && *first == '0')) tg_json_in_bad(in, "lacks a whole number where one belongs");
  return value;
}

static void skip_digits(tg_json_in *in) {
  if (!digit_at(in)) tg_json_in_bad(in, "has something that is no value");
  while (digit_at(in)) in->at++;
}

static void skip_number(tg_json_in *in) {
  if (in->at < in->end && *in->at == '-') in->at++;
  if (in->at < in->end && *in->at == '0') in->at++;
  else skip_digits(in);
  if (in->at < in->end && *in->at == '.') in->at++, skip_digits(in);
  if (in->at < in->end && (*in->at | 32) == 'e') {
    in->at++;
    if (in->at < in->end && (*in->at == '+' || *in->at == '-')) in->at++;
    skip_digits(in);
  }
}

static bool take_word(tg_json_in *in, const char *word) {
  const size_t n = strlen(word);
  if ((size_t)(in->end - in->at) < n || memcmp(in->at, word, n)) return false;
  in->at += n;
  return true;
}

static void skip(tg_json_in *in, int depth) {
  int64_t n = 0;
  if (depth > MAX_DEPTH) tg_json_in_bad(in, "nests its brackets too deep");
  if (tg_json_in_take(in, '"')) {
    read_string(in, NULL);
  } else if (tg_json_in_take(in, '[')) {
    while (tg_json_in_more(in, &n, ']')) skip(in, depth + 1);
  } else if (tg_json_in_take(in, '{')) {
    while (tg_json_in_more(in, &n, '}')) {
      if (!tg_json_in_take(in, '"')) tg_json_in_bad(in, "lacks a string where one belongs");
      read_string(in, NULL);
      tg_json_in_want(in, ':');
      skip(in, depth + 1);
    }
  } else if (!take_word(in, "true") && !take_word(in, "false") && !take_word(in, "null")) {
    skip_number(in);
  }
}

void tg_json_in_skip(tg_json_in *in) { skip(in, 0); }
