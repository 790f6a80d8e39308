// Operands of products in shared memory, as descriptors tell of them, and the numbers in their bytes.
#include "targets/sim/operand.h"

#include <pthread.h>

#include "targets/sim/number.h"

static uint32_t swizzled(uint32_t a, uint32_t swizzle) { return swizzle ? a ^ (a >> 7 & (swizzle / 16 - 1)) << 4 : a; }

// Places of the 16-byte pieces of rows [first, first + rows). Along K: two to a row, of groups of 8 rows that are `stride` apart; without
// swizzle each 8 rows of 16 bytes are a block of their own, and the next 16 bytes of K lie `leading` further.
static int pieces_along_k(const sim_matrix *m, uint32_t first, uint32_t rows, uint32_t *out) {
  int n = 0;
  for (uint32_t r = first; r < first + rows; r++)
    for (uint32_t h = 0; h < 2; h++) {
      const uint32_t a = m->start + r / 8 * m->stride + (m->swizzle ? r % 8 * m->swizzle + 16 * h : r % 8 * 16 + h * m->leading);
      out[n++] = swizzled(a, m->swizzle);
    }
  return n;
}

// Transposed, of 16 bits: for each k the pieces of 8 rows each. A line of the swizzle holds swizzle / 16 pieces of one k, and the next ones
// lie `leading` further; each 8 k are `stride` apart. Without swizzle the pieces are `stride` apart, each 8 k `leading`.
static int pieces_along_rows(const sim_matrix *m, uint32_t first, uint32_t rows, uint32_t *out) {
  const uint32_t line = m->swizzle / 16;
  int n = 0;
  for (uint32_t k = 0; k < 16; k++)
    for (uint32_t c = first / 8; c < (first + rows) / 8; c++) {
      const uint32_t a = line ? c % line * 16 + c / line * m->leading + k % 8 * m->swizzle + k / 8 * m->stride
                              : c * m->stride + k % 8 * 16 + k / 8 * m->leading;
      out[n++] = swizzled(m->start + a, m->swizzle);
    }
  return n;
}

int sim_matrix_pieces(const sim_matrix *m, bool transposed, uint32_t first, uint32_t rows, uint32_t *out) {
  return transposed ? pieces_along_rows(m, first, rows, out) : pieces_along_k(m, first, rows, out);
}

// ---- numbers

static float byte_number(int type, unsigned char code) {
  return type == PTX_s8     ? (float)(int8_t)code
         : type == PTX_u8   ? (float)code
         : type == PTX_e4m3 ? sim_from_e4m3(code)
                            : sim_from_f16((uint16_t)(code << 8));
}

// Of all codes of 8 bits, by type.
static float bytes[4][256];
static void fill_bytes(void) {
  static const uint8_t types[] = {PTX_s8, PTX_u8, PTX_e4m3, PTX_e5m2};
  for (int t = 0; t < 4; t++)
    for (int i = 0; i < 256; i++) bytes[t][i] = byte_number(types[t], (unsigned char)i);
}

static const float *table_of(int type) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_bytes);
  return bytes[type == PTX_s8 ? 0 : type == PTX_u8 ? 1 : type == PTX_e4m3 ? 2 : 3];
}

// The numbers in some bytes, `step` floats apart.
void sim_numbers(int type, const char *from, int n, float *out, int step) {
  switch (type) {
  case PTX_bf16:
  case PTX_f16:
    for (int i = 0; i < n / 2; i++) {
      uint16_t half;
      memcpy(&half, from + 2 * i, sizeof half);
      out[i * step] = type == PTX_bf16 ? sim_from_bf16(half) : sim_from_f16(half);
    }
    break;
  case PTX_tf32:
    for (int i = 0; i < n / 4; i++) {
      uint32_t word;
      memcpy(&word, from + 4 * i, sizeof word);
      out[i * step] = sim_f32(word & 0xffffe000);
    }
    break;
  default: {
    const float *table = table_of(type);
    for (int i = 0; i < n; i++) out[i * step] = table[(unsigned char)from[i]];
  }
  }
}

// Rows of a matrix as out[row × row_step + k × k_step].
void sim_matrix_read(const sim_block *b, int type, const uint32_t *pieces, int n, uint32_t rows, bool transposed, float *out, int row_step,
                     int k_step) {
  const int per_piece = 16 / ptx_types[type].bytes, columns = (int)rows / 8;
  for (int i = 0; i < n; i++) {
    if (transposed) sim_numbers(type, b->shared + pieces[i], 16, out + i / columns * k_step + i % columns * 8 * row_step, row_step);
    else sim_numbers(type, b->shared + pieces[i], 16, out + i / 2 * row_step + i % 2 * per_piece * k_step, k_step);
  }
}
