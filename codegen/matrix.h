// Matrix instructions, as the tables of the target families list them.
#ifndef TG_MATRIX_H
#define TG_MATRIX_H

#include "codegen/codegen.h"

typedef struct tg_matrix_row {
  const char *name; // the `row` of lane op mma
  int m, n, k, a, b, accumulators, depth, archs[4];
  const char *intrinsic, *doc;
} tg_matrix_row;
extern const tg_matrix_row tg_matrix_rows[];           // ends with name NULL
const tg_matrix_row *tg_matrix_find(const char *name); // NULL if there is none
bool tg_matrix_on(const tg_matrix_row *row, const tg_machine *machine);

typedef struct tg_wgmma_row { // by warp groups, from shared memory
  const char *name;           // the `row` of lane op wgmma
  int k, operands;
  const char *spelling;
  int trans; // operands may lie transposed
} tg_wgmma_row;
const tg_wgmma_row *tg_wgmma_find(const char *name); // NULL if there is none
const tg_wgmma_row *tg_wgmma_of(int operands);       // by dtype

enum { TG_TCGEN05_ROWS = 128, TG_TCGEN05_STEP = 16, TG_TCGEN05_MOST = 256 }; // rows; columns: a multiple of STEP up to MOST
typedef struct tg_tcgen05_row {                                              // by one thread, from shared memory to tensor memory
  const char *name;                                                          // the `row` of lane op tmem_mma
  int k, operands;
  const char *kind;
  int format;
} tg_tcgen05_row;
const tg_tcgen05_row *tg_tcgen05_find(const char *name); // NULL if there is none
const tg_tcgen05_row *tg_tcgen05_of(int operands);       // by dtype
uint32_t tg_tcgen05_descriptor(const tg_tcgen05_row *row, int n);

#endif
