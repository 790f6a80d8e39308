// Operands of wgmma and tcgen05.mma in shared memory: where the pieces of 16 bytes lie of which a descriptor tells, and what numbers are in
// them.
#ifndef TG_SIM_OPERAND_H
#define TG_SIM_OPERAND_H

#include "targets/sim/block.h"

enum { SIM_ROW_BYTES = 32 }; // of K that one instruction takes, of any type

typedef struct sim_matrix {
  uint32_t start, leading, stride, base, swizzle; // bytes; swizzle 0, 32, 64, 128
} sim_matrix;

// Places of the pieces of rows [first, first + rows), two of each row, into `out`; returns how many. transposed: contiguous along the rows.
int sim_matrix_pieces(const sim_matrix *m, bool transposed, uint32_t first, uint32_t rows, uint32_t *out);
// Rows of a matrix as out[row × row_step + k × k_step].
void sim_matrix_read(const sim_block *b, int type, const uint32_t *pieces, int n, uint32_t rows, bool transposed, float *out, int row_step,
                     int k_step);
// The numbers in some bytes, `step` floats apart.
void sim_numbers(int type, const char *from, int n, float *out, int step);

#endif
