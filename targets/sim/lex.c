// Characters of PTX.
#include "targets/sim/lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

void ptx_fail(ptx_lexer *lex, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tg_throw(lex->ctx, TG_INVALID, "%s:%u: %s", lex->file, (unsigned)lex->line, text);
}

static bool starts(const ptx_lexer *lex, const char *text) {
  const size_t n = strlen(text);
  return (size_t)(lex->end - lex->at) >= n && !memcmp(lex->at, text, n);
}

static void skip_blanks(ptx_lexer *lex) {
  while (lex->at < lex->end) {
    if (*lex->at == '\n') {
      lex->line++, lex->at++;
    } else if (isspace((unsigned char)*lex->at)) {
      lex->at++;
    } else if (starts(lex, "//")) {
      while (lex->at < lex->end && *lex->at != '\n') lex->at++;
    } else if (starts(lex, "/*")) {
      for (lex->at += 2; lex->at < lex->end && !starts(lex, "*/"); lex->at++) lex->line += *lex->at == '\n';
      if (lex->at == lex->end) ptx_fail(lex, "a comment has no end");
      lex->at += 2;
    } else {
      return;
    }
  }
}

int ptx_peek_raw(ptx_lexer *lex) {
  if (lex->at == lex->end) return 0;
  if (!*lex->at) ptx_fail(lex, "a NUL in the text");
  return (unsigned char)*lex->at;
}

int ptx_peek(ptx_lexer *lex) {
  skip_blanks(lex);
  return ptx_peek_raw(lex);
}

bool ptx_accept(ptx_lexer *lex, int c) {
  if (ptx_peek(lex) != c) return false;
  lex->at++;
  return true;
}

void ptx_expect(ptx_lexer *lex, int c) {
  if (ptx_accept(lex, c)) return;
  size_t n = 0;
  while (lex->at + n < lex->end && n < 20 && lex->at[n] != '\n') n++;
  ptx_fail(lex, "'%c' is wanted where '%.*s' stands", c, (int)n, lex->at);
}

static bool in_word(int c) { return isalnum(c) || c == '_' || c == '$' || c == '%'; }

const char *ptx_word(ptx_lexer *lex) {
  skip_blanks(lex);
  const char *start = lex->at;
  while (lex->at < lex->end && in_word((unsigned char)*lex->at)) lex->at++;
  if (lex->at == start || isdigit((unsigned char)*start)) {
    lex->at = start;
    const int n = (int)(lex->end - start < 20 ? lex->end - start : 20);
    ptx_fail(lex, "a name is wanted where '%.*s' stands", n, start);
  }
  return tg_arena_strndup(lex->arena, start, (size_t)(lex->at - start));
}

const char *ptx_name(ptx_lexer *lex) {
  const char *word = ptx_word(lex);
  if (word[0] != '%' || lex->end - lex->at < 2 || *lex->at != '.' || !strchr("xyzw", lex->at[1])) return word;
  lex->at += 2;
  return tg_arena_printf(lex->arena, "%s.%c", word, lex->at[-1]);
}

const char *ptx_modifier(ptx_lexer *lex) {
  ptx_expect(lex, '.');
  const char *start = lex->at;
  while (lex->at < lex->end && (isalnum((unsigned char)*lex->at) || *lex->at == '_' || starts(lex, "::")))
    lex->at += *lex->at == ':' ? 2 : 1;
  if (lex->at == start) ptx_fail(lex, "nothing follows '.'");
  return tg_arena_strndup(lex->arena, start, (size_t)(lex->at - start));
}

bool ptx_accept_directive(ptx_lexer *lex, const char *name) {
  const ptx_lexer before = *lex; // its line too: what follows may be far away
  if (ptx_peek(lex) == '.' && !strcmp(ptx_modifier(lex), name)) return true;
  *lex = before;
  return false;
}

static int64_t bits_of(double value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// 0f3F800000, 0d…: the bits of a float.
static int64_t hex_real(ptx_lexer *lex, const char *text, size_t digits) {
  uint64_t bits = 0;
  if (strlen(text) != digits) ptx_fail(lex, "a float in hexadecimal has %zu digits", digits);
  for (size_t i = 0; i < digits; i++) {
    if (!isxdigit((unsigned char)text[i])) ptx_fail(lex, "'%c' in a float in hexadecimal", text[i]);
    bits = bits << 4 | (uint64_t)(isdigit((unsigned char)text[i]) ? text[i] - '0' : (text[i] | 32) - 'a' + 10);
  }
  if (digits == 16) return (int64_t)bits;
  const uint32_t low = (uint32_t)bits;
  if ((low & 0x7f800000) == 0x7f800000) // the payload of a NaN stays where it is
    return (int64_t)((uint64_t)(low & 0x80000000) << 32 | (uint64_t)0x7ff << 52 | (uint64_t)(low & 0x7fffff) << 29);
  float f;
  memcpy(&f, &low, sizeof f);
  return bits_of(f);
}

int64_t ptx_number(ptx_lexer *lex, bool *real) {
  skip_blanks(lex);
  char text[64];
  size_t n = 0;
  *real = false;
  while (lex->at + n < lex->end && n < sizeof text - 1) {
    const char c = lex->at[n];
    const bool hex = n > 1 && text[0] == '0' && strchr("xXfFdD", text[1]);
    const bool sign = n && !hex && (c == '+' || c == '-') && (text[n - 1] == 'e' || text[n - 1] == 'E');
    if (!isalnum((unsigned char)c) && c != '.' && !sign) break;
    text[n++] = c;
  }
  text[n] = 0;
  if (!n || !isdigit((unsigned char)text[0])) ptx_fail(lex, "a number is wanted here");
  lex->at += n;
  if (text[0] == '0' && (text[1] | 32) == 'f') return *real = true, hex_real(lex, text + 2, 8);
  if (text[0] == '0' && (text[1] | 32) == 'd') return *real = true, hex_real(lex, text + 2, 16);
  char *end;
  const bool hex = text[0] == '0' && (text[1] | 32) == 'x', binary = text[0] == '0' && (text[1] | 32) == 'b';
  if (!hex && !binary && strpbrk(text, ".eE")) {
    *real = true;
    const double value = strtod(text, &end);
    if (*end) ptx_fail(lex, "'%s' is no number", text);
    return bits_of(value);
  }
  errno = 0;
  const uint64_t value = binary ? strtoull(text + 2, &end, 2) : strtoull(text, &end, 0);
  if (*end == 'U') end++;
  if (*end || errno || (binary && end == text + 2)) ptx_fail(lex, "'%s' is no 64-bit number", text);
  return (int64_t)value;
}

void ptx_skip(ptx_lexer *lex) {
  const int c = ptx_peek(lex);
  if (c == '"') {
    for (lex->at++; lex->at < lex->end && *lex->at != '"'; lex->at++)
      if (*lex->at == '\n') ptx_fail(lex, "a string has no end");
  }
  if (in_word(c)) {
    while (lex->at < lex->end && in_word((unsigned char)*lex->at)) lex->at++;
  } else if (lex->at < lex->end) {
    lex->at++;
  }
}

void ptx_skip_line(ptx_lexer *lex) {
  while (lex->at < lex->end && *lex->at != '\n') lex->at++;
}

void ptx_skip_to(ptx_lexer *lex, int c) {
  while (ptx_peek(lex) != c) {
    if (!ptx_peek(lex)) ptx_fail(lex, "'%c' is missing", c);
    ptx_skip(lex);
  }
  lex->at++;
}

void ptx_skip_definition(ptx_lexer *lex) {
  for (int depth = 0;;) {
    const int c = ptx_peek(lex);
    if (!c) ptx_fail(lex, "a definition has no end");
    ptx_skip(lex);
    depth += c == '{';
    if ((c == ';' && !depth) || (c == '}' && --depth <= 0)) return;
  }
}
