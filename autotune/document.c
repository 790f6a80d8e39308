// Reading JSON, and name=value lists.
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

#include "autotune/autotune.h"

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

double tg_doc_read_number(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(item) ? item->valuedouble : 0;
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
