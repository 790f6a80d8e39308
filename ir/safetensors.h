// .safetensors: 8 bytes of header length (little-endian), a JSON object {"name": {"dtype", "shape", "data_offsets"}, …, "__metadata__"},
// then the elements, each tensor's right behind the last.
#ifndef TG_SAFETENSORS_H
#define TG_SAFETENSORS_H

#include "ir/ir.h"

typedef struct tg_stored_row {
  const char *name;
  int bits, dtype;
} tg_stored_row;
enum {
  TG_NSTORED = 0
#define STORED(name, bits, dtype) +1
#include "ir/safetensors.def"
#undef STORED
};
extern const tg_stored_row tg_stored[TG_NSTORED];

typedef struct tg_tensor_entry {
  tg_tensor_info info; // first: what the public functions give
  const tg_stored_row *stored;
  uint64_t at; // of its first byte, from the file's first
  int shard;
} tg_tensor_entry;

// What the header of one file says.
typedef struct tg_tensor_header {
  tg_tensor_entry *at; // in the arena; grown by tg_arena_grow
  int n;
  tg_bindings metadata;
} tg_tensor_header;

// Checks a header's text, which begins at byte 8 of a file of so many bytes: names, shapes, dtypes, and that the tensors cover the rest of
// the file without gap or overlap. Appends to header->at. Throws TG_INVALID.
void tg_tensor_header_read(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t length, uint64_t file_bytes,
                           tg_tensor_header *header);

// A name that tensors may have: UTF-8 without control characters.
bool tg_is_tensor_name(const char *name);

#endif
