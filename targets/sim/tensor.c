// Tensor maps: what cuTensorMapEncodeTiled takes (CUDA driver API, tensor map management), checked by its rules, as 128 bytes of our own.
#include "ir/ir.h"
#include "targets/sim/sim.h"

bool sim_tensor_type(int dtype, sim_tensor *tensor) {
  static const struct {
    uint8_t dtype, type;
  } rows[] = {{TG_F16, PTX_f16}, {TG_BF16, PTX_bf16}, {TG_F32, PTX_f32}, {TG_F64, PTX_f64}, {TG_I32, PTX_s32}, {TG_I64, PTX_s64}};
  if (dtype < 0 || dtype >= tg_dtype_count() || tg_dtype_bits(dtype) < 8) return false;
  tensor->type = PTX_u8; // the small floats are bytes to it
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].dtype == dtype) tensor->type = rows[i].type;
  return true;
}

enum { MAP_VERSION = 1 };
typedef struct map_bytes {
  char magic[6];
  uint8_t version, rank;
  uint64_t base;
  uint64_t strides[4]; // of dimensions 1 …
  uint32_t last[5];    // index of the last element
  uint16_t box[5];
  uint8_t step[5], type, swizzle, nan_fill;
  uint8_t unused[SIM_MAP_BYTES - 16 - 32 - 20 - 10 - 8 - 8];
  uint64_t checksum;
} map_bytes;
_Static_assert(sizeof(map_bytes) == SIM_MAP_BYTES, "a tensor map has 128 bytes");

static uint64_t checksum(const map_bytes *m) { return tg_hash((const char *)m, offsetof(map_bytes, checksum), 0); }

static const char *wrong(const sim_tensor *t) {
  const uint64_t bytes = ptx_types[t->type].bytes;
  if (t->rank < 1 || t->rank > 5) return "its rank is not 1 to 5";
  if (!bytes || bytes > 8) return "it has no element type";
  if (t->swizzle != 0 && t->swizzle != 32 && t->swizzle != 64 && t->swizzle != 128) return "its swizzle is not 0, 32, 64 or 128 bytes";
  if ((uintptr_t)t->base % 16) return "its address is no multiple of 16";
  if (t->nan_fill && ptx_types[t->type].cls != 'f') return "only floats can be filled with NaN";
  for (int i = 0; i < t->rank; i++) {
    if (!t->dims[i] || t->dims[i] > (uint64_t)1 << 32) return "an extent is not 1 to 2^32";
    if (!t->box[i] || t->box[i] > 256) return "an extent of its box is not 1 to 256";
    if (!t->step[i] || t->step[i] > 8) return "an element stride is not 1 to 8";
    if (i && (t->strides[i] % 16 || t->strides[i] >= (uint64_t)1 << 40)) return "a stride is no multiple of 16 below 2^40";
  }
  if (t->box[0] * bytes % 16) return "a row of its box is no multiple of 16 bytes";
  if (t->swizzle && t->box[0] * bytes > t->swizzle) return "a row of its box is longer than its swizzle";
  return NULL;
}

const char *sim_tensor_encode(const sim_tensor *t, char map[SIM_MAP_BYTES]) {
  const char *why = wrong(t);
  if (why) return why;
  map_bytes m = {.magic = "tgmap", .version = MAP_VERSION, .rank = t->rank, .base = (uint64_t)(uintptr_t)t->base};
  m.type = t->type, m.swizzle = t->swizzle, m.nan_fill = t->nan_fill;
  for (int i = 0; i < t->rank; i++) {
    if (i) m.strides[i - 1] = t->strides[i];
    m.last[i] = (uint32_t)(t->dims[i] - 1), m.box[i] = (uint16_t)t->box[i], m.step[i] = (uint8_t)t->step[i];
  }
  m.checksum = checksum(&m);
  memcpy(map, &m, sizeof m);
  return NULL;
}

bool sim_tensor_decode(const char map[SIM_MAP_BYTES], sim_tensor *t) {
  map_bytes m;
  memcpy(&m, map, sizeof m);
  if (memcmp(m.magic, "tgmap", 6) != 0 || m.version != MAP_VERSION || m.checksum != checksum(&m)) return false;
  *t = (sim_tensor){.base = (char *)(uintptr_t)m.base, .type = m.type, .rank = m.rank, .swizzle = m.swizzle, .nan_fill = m.nan_fill};
  if (m.rank > 5 || m.type >= PTX_NTYPES) return false;
  for (int i = 0; i < m.rank; i++) {
    t->strides[i] = i ? m.strides[i - 1] : 0;
    t->dims[i] = (uint64_t)m.last[i] + 1, t->box[i] = m.box[i], t->step[i] = m.step[i];
  }
  return !wrong(t);
}

static const char *set_field(map_bytes *m, sim_tensor_field field, int d, uint64_t v) {
  static const uint8_t types[] = {PTX_u8,  PTX_u16, PTX_u32, PTX_s32,  PTX_u64,  PTX_s64, PTX_f16,
                                  PTX_f32, PTX_f32, PTX_f64, PTX_bf16, PTX_tf32, PTX_tf32};
  static const uint8_t swizzles[] = {0, 32, 64, 128};
  switch (field) {
  case SIM_TENSOR_ADDRESS: m->base = v; return NULL;
  case SIM_TENSOR_RANK: m->rank = (uint8_t)(v < 5 ? v + 1 : 0); return v < 5 ? NULL : "a rank, less 1, is not 0 to 4";
  case SIM_TENSOR_BOX: m->box[d] = (uint16_t)(v <= 256 ? v : 0); return v <= 256 ? NULL : "an extent of a box is not 1 to 256";
  case SIM_TENSOR_DIM: m->last[d] = (uint32_t)v - 1; return NULL;
  case SIM_TENSOR_STRIDE:
    if (d > 3) return "there are strides of 4 dimensions";
    m->strides[d] = v;
    return NULL;
  case SIM_TENSOR_STEP: m->step[d] = (uint8_t)(v <= 8 ? v : 0); return v <= 8 ? NULL : "an element stride is not 1 to 8";
  case SIM_TENSOR_TYPE: m->type = v < sizeof types ? types[v] : 0; return v < sizeof types ? NULL : "no such element type is known";
  case SIM_TENSOR_INTERLEAVE: return v ? "only tensor maps without interleaving are known" : NULL;
  case SIM_TENSOR_SWIZZLE: m->swizzle = v < 4 ? swizzles[v] : 0; return v < 4 ? NULL : "no such swizzle is known";
  case SIM_TENSOR_FILL: m->nan_fill = v == 1; return v < 2 ? NULL : "a fill mode is not 0 or 1";
  }
  return NULL;
}

const char *sim_tensor_replace(char map[SIM_MAP_BYTES], sim_tensor_field field, int dimension, uint64_t value) {
  static const char blank[SIM_MAP_BYTES];
  map_bytes m;
  memcpy(&m, map, sizeof m);
  if (!memcmp(map, blank, sizeof blank)) memcpy(m.magic, "tgmap", 6), m.version = MAP_VERSION;
  else if (memcmp(m.magic, "tgmap", 6) != 0 || m.checksum != checksum(&m)) return "what it changes is neither a tensor map nor 128 zeros";
  const char *why = set_field(&m, field, dimension, value);
  m.checksum = checksum(&m);
  memcpy(map, &m, sizeof m);
  return why;
}
