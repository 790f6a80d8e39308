// The header of a .safetensors file, read defensively: it is somebody else's text, and its offsets lead into memory.
#include "ir/safetensors.h"

#include <stdlib.h>

#include "ir/json_in.h"

#define CURE "write the file again with the safetensors package, or copy it again"

const tg_stored_row tg_stored[TG_NSTORED] = {
#define STORED(name, bits, dtype) {name, bits, dtype},
#include "ir/safetensors.def"
#undef STORED
};

bool tg_is_tensor_name(const char *name) {
  const char *end = name + strlen(name);
  for (int n; name < end; name += n) {
    n = tg_utf8_length(name, end);
    if (n == 0 || (unsigned char)*name < 0x20 || *name == 0x7f) return false;
  }
  return true;
}

// What is wrong with the tensor that is being read.
_Noreturn static void bad_tensor(const tg_json_in *in, const char *name, const char *what) {
  tg_throw(in->ctx, TG_INVALID, "%s: tensor '%.200s' %s; " CURE, in->file, name, what);
}

// ---- fields of a tensor

static const tg_stored_row *take_stored(tg_json_in *in, const char *name) {
  const char *text = tg_json_in_string(in);
  for (int i = 0; i < TG_NSTORED; i++)
    if (!strcmp(tg_stored[i].name, text)) return &tg_stored[i];
  tg_throw(in->ctx, TG_INVALID,
           "%s: tensor '%.200s' has the dtype '%.40s', which the format does not have; convert it to F32, BF16, F8_E4M3 or the like",
           in->file, name, tg_is_tensor_name(text) ? text : "?");
}

static void take_shape(tg_json_in *in, tg_tensor_info *info) {
  int64_t n = 0;
  tg_json_in_want(in, '[');
  while (tg_json_in_more(in, &n, ']')) {
    if (info->rank == 8) bad_tensor(in, info->name, "has more than 8 axes");
    info->dim[info->rank++] = tg_json_in_whole(in);
  }
}

static void take_offsets(tg_json_in *in, uint64_t offset[2]) {
  tg_json_in_want(in, '[');
  offset[0] = (uint64_t)tg_json_in_whole(in);
  tg_json_in_want(in, ',');
  offset[1] = (uint64_t)tg_json_in_whole(in);
  tg_json_in_want(in, ']');
}

// Bytes that shape and dtype need.
static uint64_t needed(const tg_json_in *in, const tg_tensor_entry *e) {
  const tg_tensor_info *info = &e->info;
  uint64_t bits = (uint64_t)e->stored->bits;
  bool empty = false;
  for (int i = 0; i < info->rank; i++) {
    if (info->dim[i] == 0) empty = true;
    else if (bits > (UINT64_C(1) << 60) / (uint64_t)info->dim[i]) bad_tensor(in, info->name, "has more than 2^60 bits of elements");
    else bits *= (uint64_t)info->dim[i];
  }
  if (empty) return 0;
  if (bits % 8) bad_tensor(in, info->name, "has elements that do not end with a byte");
  return bits / 8;
}

static void take_tensor(tg_json_in *in, uint64_t room, tg_tensor_entry *e) {
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
  int seen = 0;
  int64_t n = 0;
  uint64_t offset[2] = {0, 0};
  tg_json_in_want(in, '{');
  while (tg_json_in_more(in, &n, '}')) {
    const char *key = tg_json_in_key(in);
    const int bit = !strcmp(key, "dtype") ? DTYPE : !strcmp(key, "shape") ? SHAPE : !strcmp(key, "data_offsets") ? OFFSETS : 0;
    if (!bit || seen & bit) bad_tensor(in, e->info.name, "has a key that is unknown or comes twice");
    seen |= bit;
    if (bit == DTYPE) e->stored = take_stored(in, e->info.name);
    else if (bit == SHAPE) take_shape(in, &e->info);
    else take_offsets(in, offset);
  }
  if (seen != (DTYPE | SHAPE | OFFSETS)) bad_tensor(in, e->info.name, "lacks one of dtype, shape and data_offsets");
  if (offset[0] > offset[1]) bad_tensor(in, e->info.name, "ends before it begins");
  if (offset[1] > room)
    tg_throw(in->ctx, TG_INVALID, "%s: tensor '%.200s' ends at byte %llu of the elements, of which there are %llu; " CURE, in->file,
             e->info.name, (unsigned long long)offset[1], (unsigned long long)room);
  const uint64_t need = needed(in, e);
  if (offset[1] - offset[0] != need)
    tg_throw(in->ctx, TG_INVALID, "%s: tensor '%.200s' has %llu bytes where its shape and dtype need %llu; " CURE, in->file, e->info.name,
             (unsigned long long)(offset[1] - offset[0]), (unsigned long long)need);
  e->info.stored = e->stored->name;
  e->info.dtype = e->stored->dtype;
  e->info.bytes = need;
  e->at = offset[0];
}

// ---- the header

static void take_metadata(tg_json_in *in, tg_bindings *metadata) {
  tg_binding *list = NULL;
  int64_t n = 0;
  tg_json_in_want(in, '{');
  while (tg_json_in_more(in, &n, '}')) {
    list = tg_arena_grow(in->arena, list, (size_t)metadata->n, sizeof *list);
    list[metadata->n].name = tg_json_in_key(in);
    list[metadata->n++].value = tg_json_in_string(in);
  }
  metadata->at = list;
}

static int by_place(const void *a, const void *b) {
  const tg_tensor_entry *x = a, *y = b;
  const uint64_t xe = x->at + x->info.bytes, ye = y->at + y->info.bytes;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  return xe != ye ? (xe < ye ? -1 : 1) : strcmp(x->info.name, y->info.name);
}

// The tensors must cover the elements from the first byte to the last: what overlaps or is left out is a mistake or hides something.
static void check_cover(const tg_json_in *in, tg_tensor_entry *list, int n, uint64_t room) {
  uint64_t at = 0;
  if (n > 1) qsort(list, (size_t)n, sizeof *list, by_place);
  for (int i = 0; i < n; i++) {
    if (list[i].at != at) bad_tensor(in, list[i].info.name, list[i].at < at ? "overlaps another" : "lies behind bytes that belong to none");
    at += list[i].info.bytes;
  }
  if (at != room)
    tg_throw(in->ctx, TG_INVALID, "%s: has %llu bytes of elements where its tensors need %llu; " CURE, in->file, (unsigned long long)room,
             (unsigned long long)at);
}

static int by_key(const void *a, const void *b) { return strcmp(((const tg_binding *)a)->name, ((const tg_binding *)b)->name); }

static void check_metadata(const tg_json_in *in, tg_bindings *metadata) {
  tg_binding *list = (tg_binding *)metadata->at;
  if (metadata->n > 1) qsort(list, (size_t)metadata->n, sizeof *list, by_key);
  for (int i = 1; i < metadata->n; i++)
    if (!strcmp(list[i].name, list[i - 1].name))
      tg_throw(in->ctx, TG_INVALID, "%s: a key of its __metadata__ comes twice; " CURE, in->file);
}

void tg_tensor_header_read(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t length, uint64_t file_bytes,
                           tg_tensor_header *header) {
  tg_json_in in = {.ctx = ctx,
                   .arena = arena,
                   .file = file,
                   .document = "the .safetensors header",
                   .begin = text,
                   .at = text,
                   .end = text + length,
                   .cure = CURE};
  const uint64_t start = 8 + length, room = file_bytes - start;
  const int first = header->n;
  int64_t entries = 0;
  bool described = false;
  header->metadata = (tg_bindings){0};
  if (length == 0 || *text != '{') tg_json_in_bad(&in, "does not begin with '{'");
  tg_json_in_want(&in, '{');
  while (tg_json_in_more(&in, &entries, '}')) {
    const char *name = tg_json_in_key(&in);
    if (!strcmp(name, "__metadata__")) {
      if (described) tg_json_in_bad(&in, "has __metadata__ twice");
      described = true;
      take_metadata(&in, &header->metadata);
      continue;
    }
    if (!tg_is_tensor_name(name)) tg_json_in_bad(&in, "has a tensor's name with control characters");
    header->at = tg_arena_grow(arena, header->at, (size_t)header->n, sizeof *header->at);
    tg_tensor_entry *e = &header->at[header->n];
    *e = (tg_tensor_entry){.info = {.name = name, .file = file}};
    take_tensor(&in, room, e);
    header->n++;
  }
  tg_json_in_end(&in);
  check_cover(&in, header->at + first, header->n - first, room);
  check_metadata(&in, &header->metadata);
  for (int i = first; i < header->n; i++) header->at[i].at += start;
}
