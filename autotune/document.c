// JSON text out, and name=value lists in and out of it.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

#include "autotune/autotune.h"

void tg_doc_quote(tg_text *text, const char *string) {
  tg_text_append(text, "\"", 1);
  for (const unsigned char *s = (const unsigned char *)(string ? string : ""); *s; s++) {
    if (*s == '"' || *s == '\\') tg_text_add(text, "\\%c", *s);
    else if (*s < 0x20) tg_text_add(text, "\\u%04x", *s);
    else tg_text_append(text, (const char *)s, 1);
  }
  tg_text_append(text, "\"", 1);
}

void tg_doc_number(tg_text *text, double value) {
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

void tg_doc_bindings(tg_text *text, tg_bindings bindings) {
  tg_text_append(text, "{", 1);
  for (int i = 0; i < bindings.n; i++) {
    if (i) tg_text_append(text, ",", 1);
    tg_doc_quote(text, bindings.at[i].name);
    tg_text_append(text, ":", 1);
    if (plain_integer(bindings.at[i].value)) tg_text_add(text, "%s", bindings.at[i].value);
    else tg_doc_quote(text, bindings.at[i].value);
  }
  tg_text_append(text, "}", 1);
}

tg_bindings tg_doc_read_bindings(tg_arena *arena, const cJSON *object) {
  if (!cJSON_IsObject(object)) return (tg_bindings){.n = -1};
  enum { MAX_BINDINGS = 256 };
  int n = cJSON_GetArraySize(object), i = 0;
  if (n > MAX_BINDINGS) return (tg_bindings){.n = -1};
  tg_binding *at = TG_NEWN(arena, tg_binding, n + 1);
  for (const cJSON *item = object->child; item; item = item->next, i++) {
    if (tg_binding_get((tg_bindings){i, at}, item->string)) return (tg_bindings){.n = -1}; // named twice
    at[i].name = tg_arena_strdup(arena, item->string);
    if (cJSON_IsString(item)) at[i].value = tg_arena_strdup(arena, item->valuestring);
    else if (cJSON_IsNumber(item) && fabs(item->valuedouble) < 1e15 && item->valuedouble == floor(item->valuedouble))
      at[i].value = tg_arena_printf(arena, "%lld", (long long)item->valuedouble);
    else if (cJSON_IsNumber(item)) at[i].value = tg_arena_printf(arena, "%.17g", item->valuedouble);
    else return (tg_bindings){.n = -1};
  }
  return (tg_bindings){n, at};
}

const char *tg_binding_get(tg_bindings bindings, const char *name) {
  for (int i = 0; i < bindings.n; i++)
    if (!strcmp(bindings.at[i].name, name)) return bindings.at[i].value;
  return NULL;
}

bool tg_bindings_equal(tg_bindings a, tg_bindings b) {
  if (a.n != b.n) return false;
  for (int i = 0; i < a.n; i++) {
    const char *other = tg_binding_get(b, a.at[i].name);
    if (!other || strcmp(other, a.at[i].value)) return false;
  }
  return true;
}

tg_bindings tg_bindings_join(tg_arena *arena, tg_bindings a, tg_bindings b) {
  tg_binding *at = TG_NEWN(arena, tg_binding, a.n + b.n + 1);
  int n = 0;
  for (int i = 0; i < a.n; i++) at[n++] = a.at[i];
  for (int i = 0; i < b.n; i++)
    if (!tg_binding_get(a, b.at[i].name)) at[n++] = b.at[i];
  return (tg_bindings){n, at};
}

char *tg_doc_finish(const tg_text *text) {
  char *copy = tg_realloc(text->arena->ctx, NULL, text->size + 1);
  memcpy(copy, text->data, text->size + 1);
  return copy;
}

void tg_string_free(tg_context *ctx, char *string) {
  if (string) tg_realloc(ctx, string, 0);
}
