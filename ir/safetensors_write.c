// Writing .safetensors files, byte for byte as the safetensors package does: compact JSON, tensors by dtype and then by name, the header
// padded with spaces to a multiple of 8.
#include <stdlib.h>

#include "ir/json_in.h"
#include "ir/safetensors.h"
#include "ir/whole_file.h"

typedef struct item {
  const char *name;
  const tg_array *array;
  int stored; // row of the table
} item;

typedef struct write_args {
  tg_context *ctx;
  const char *file;
  int n;
  const tg_named_array *tensors;
  const tg_bindings *metadata;
  tg_arena arena;
  tg_whole_file whole;
} write_args;

static int by_dtype_and_name(const void *a, const void *b) {
  const item *x = a, *y = b;
  return x->stored != y->stored ? x->stored - y->stored : strcmp(x->name, y->name);
}

static int stored_as(tg_dtype dtype) {
  for (int i = 0; i < TG_NSTORED; i++)
    if (tg_stored[i].dtype == dtype && strcmp(tg_stored[i].name, "U8")) return i;
  return -1;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void refuse_twins(const write_args *a, const char **names, int n, const char *what) {
  if (n > 1) qsort(names, (size_t)n, sizeof *names, by_name);
  for (int i = 1; i < n; i++)
    if (!strcmp(names[i], names[i - 1])) tg_throw(a->ctx, TG_INVALID, "%s: %s '%.200s' is given twice", a->file, what, names[i]);
}

static bool is_utf8(const char *text) {
  const char *end = text + strlen(text);
  for (int n; text < end; text += n)
    if (!(n = tg_utf8_length(text, end))) return false;
  return true;
}

static item *sorted_items(write_args *a) {
  item *items = TG_NEWN(&a->arena, item, a->n + 1);
  const char **names = TG_NEWN(&a->arena, const char *, a->n + 1);
  for (int i = 0; i < a->n; i++) {
    const tg_named_array *t = &a->tensors[i];
    names[i] = t->name;
    if (!tg_is_tensor_name(t->name) || !strcmp(t->name, "__metadata__"))
      tg_throw(a->ctx, TG_INVALID, "%s: tensor %d has a name that a .safetensors file cannot hold; use UTF-8 without control characters%s",
               a->file, i + 1, strcmp(t->name, "__metadata__") ? "" : ", other than __metadata__");
    items[i] = (item){t->name, t->array, stored_as(t->array->dtype)};
    int64_t elements = 1;
    for (int k = 0; k < t->array->rank; k++) elements *= t->array->dim[k];
    if (t->array->dtype == TG_E2M1 && elements % 2)
      tg_throw(a->ctx, TG_INVALID, "%s: tensor '%.200s' has an odd number of e2m1 codes, of which a byte holds two; add one to an axis",
               a->file, t->name);
  }
  refuse_twins(a, names, a->n, "tensor");
  if (a->n > 1) qsort(items, (size_t)a->n, sizeof *items, by_dtype_and_name);
  return items;
}

static void add_string(tg_text *text, const char *value) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  tg_text_append(text, "\"", 1);
  for (const char *p = value; *p; p++) {
    const char *which = strchr(from, *p);
    if (which) tg_text_add(text, "\\%c", to[which - from]);
    else if ((unsigned char)*p < 0x20) tg_text_add(text, "\\u%04x", *p);
    else tg_text_append(text, p, 1);
  }
  tg_text_append(text, "\"", 1);
}

static void add_metadata(write_args *a, tg_text *text) {
  if (!a->metadata || a->metadata->n == 0) return;
  const char **keys = TG_NEWN(&a->arena, const char *, a->metadata->n);
  tg_text_add(text, "\"__metadata__\":{");
  for (int i = 0; i < a->metadata->n; i++) {
    const tg_binding *b = &a->metadata->at[i];
    if (!is_utf8(b->name) || !is_utf8(b->value)) tg_throw(a->ctx, TG_INVALID, "%s: its metadata are not UTF-8", a->file);
    keys[i] = b->name;
    if (i) tg_text_append(text, ",", 1);
    add_string(text, b->name);
    tg_text_append(text, ":", 1);
    add_string(text, b->value);
  }
  tg_text_add(text, "}%s", a->n ? "," : "");
  refuse_twins(a, keys, a->metadata->n, "metadata key");
}

static void add_tensor(tg_text *text, const item *it, uint64_t at) {
  add_string(text, it->name);
  tg_text_add(text, ":{\"dtype\":\"%s\",\"shape\":[", tg_stored[it->stored].name);
  for (int k = 0; k < it->array->rank; k++) tg_text_add(text, "%s%lld", k ? "," : "", (long long)it->array->dim[k]);
  tg_text_add(text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)(at + it->array->bytes));
}

static void write_body(void *arg) {
  write_args *a = arg;
  const item *items = sorted_items(a);
  tg_text text = {.arena = &a->arena};
  tg_text_append(&text, "\0\0\0\0\0\0\0\0{", 9); // the length comes later
  add_metadata(a, &text);
  uint64_t at = 0;
  for (int i = 0; i < a->n; at += items[i++].array->bytes) {
    if (i) tg_text_append(&text, ",", 1);
    add_tensor(&text, &items[i], at);
  }
  tg_text_append(&text, "}", 1);
  while (text.size % 8) tg_text_append(&text, " ", 1);
  for (int i = 0; i < 8; i++) text.data[i] = (char)((uint64_t)(text.size - 8) >> 8 * i);
  tg_whole_open(&a->whole, a->ctx, a->file);
  tg_whole_write(&a->whole, text.data, text.size);
  for (int i = 0; i < a->n; i++) tg_whole_write(&a->whole, items[i].array->data, items[i].array->bytes);
  tg_whole_commit(&a->whole);
}

tg_status tg_safetensors_write(tg_context *ctx, const char *file, int n, const tg_named_array *tensors, const tg_bindings *metadata) {
  write_args a = {.ctx = ctx, .file = file, .n = n, .tensors = tensors, .metadata = metadata};
  tg_arena_init(&a.arena, ctx);
  const tg_status status = tg_protect(ctx, write_body, &a);
  tg_whole_drop(&a.whole);
  tg_arena_free(&a.arena);
  return status;
}
