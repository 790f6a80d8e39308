// JSON text out.
#include "targets/json.h"

#include <math.h>

// ---- values

void tg_json_string(tg_text *text, const char *value) {
  tg_text_append(text, "\"", 1);
  for (const unsigned char *p = (const unsigned char *)(value ? value : ""); *p; p++) {
    if (*p == '"' || *p == '\\') tg_text_add(text, "\\%c", *p);
    else if (*p < 0x20) tg_text_add(text, "\\u%04x", *p);
    else tg_text_append(text, (const char *)p, 1);
  }
  tg_text_append(text, "\"", 1);
}

static void number(tg_text *text, double value) {
  if (!isfinite(value)) {
    tg_text_append(text, "null", 4);
    return;
  }
  bool whole = value == floor(value) && fabs(value) < 1e15;
  tg_text_add(text, whole ? "%.0f" : "%.9g", value);
}

// A decimal integer as JSON spells it, which a double holds exactly.
static bool plain_integer(const char *s) {
  const char *digits = s + (*s == '-');
  size_t n = strlen(digits);
  return n >= 1 && n <= 15 && strspn(digits, "0123456789") == n && (digits[0] != '0' || (n == 1 && digits == s));
}

void tg_json_bindings(tg_text *text, tg_bindings bindings) {
  tg_text_append(text, "{", 1);
  for (int i = 0; i < bindings.n; i++) {
    tg_json_key(text, bindings.at[i].name);
    if (plain_integer(bindings.at[i].value)) tg_text_add(text, "%s", bindings.at[i].value);
    else tg_json_string(text, bindings.at[i].value);
  }
  tg_text_append(text, "}", 1);
}

static void strings(tg_text *text, int n, const char *const *values) {
  tg_text_append(text, "[", 1);
  for (int i = 0; i < n; i++) {
    tg_json_comma(text);
    tg_json_string(text, values[i]);
  }
  tg_text_append(text, "]", 1);
}

// ---- members

void tg_json_comma(tg_text *text) {
  char last = text->size ? text->data[text->size - 1] : '{';
  if (last != '{' && last != '[' && last != ':') tg_text_append(text, ",", 1);
}

void tg_json_key(tg_text *text, const char *key) {
  tg_json_comma(text);
  tg_json_string(text, key);
  tg_text_append(text, ":", 1);
}

void tg_json_put_string(tg_text *text, const char *key, const char *value) {
  tg_json_key(text, key);
  tg_json_string(text, value);
}

void tg_json_put_number(tg_text *text, const char *key, double value) {
  tg_json_key(text, key);
  number(text, value);
}

void tg_json_put_int(tg_text *text, const char *key, int64_t value) {
  tg_json_key(text, key);
  tg_text_add(text, "%lld", (long long)value);
}

void tg_json_put_bool(tg_text *text, const char *key, bool value) {
  tg_json_key(text, key);
  tg_text_add(text, value ? "true" : "false");
}

void tg_json_put_bindings(tg_text *text, const char *key, tg_bindings bindings) {
  tg_json_key(text, key);
  tg_json_bindings(text, bindings);
}

void tg_json_put_strings(tg_text *text, const char *key, int n, const char *const *values) {
  tg_json_key(text, key);
  strings(text, n, values);
}
