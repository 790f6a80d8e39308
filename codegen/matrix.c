// The tables of matrix instructions.
#include "codegen/matrix.h"

#include <stdlib.h>

#define MATRIX(...) MATRIX_ROW(__VA_ARGS__)
const tg_matrix_row tg_matrix_rows[] = {
#define MATRIX_ROW(name, m, n, k, a, b, accumulators, depth, from, to, from2, to2, intrinsic, doc)                                         \
  {name, m, n, k, TG_##a, TG_##b, TG_##accumulators, depth, {from, to, from2, to2}, intrinsic, doc},
#include "targets/nvptx/matrix.def"
#undef MATRIX_ROW
    {0},
};
#undef MATRIX

const tg_matrix_row *tg_matrix_find(const char *name) {
  for (const tg_matrix_row *row = tg_matrix_rows; row->name; row++)
    if (!strcmp(row->name, name)) return row;
  return NULL;
}

bool tg_matrix_on(const tg_matrix_row *row, const tg_machine *machine) {
  const long sm = machine->arch && !strncmp(machine->arch, "sm_", 3) ? strtol(machine->arch + 3, NULL, 10) : 0;
  return (sm >= row->archs[0] && sm <= row->archs[1]) || (sm >= row->archs[2] && sm <= row->archs[3]);
}

static const tg_wgmma_row wgmma_rows[] = {
#define WGMMA(name, k, operands, spelling, trans) {name, k, TG_##operands, spelling, trans},
#include "targets/nvptx/wgmma.def"
#undef WGMMA
    {0},
};

const tg_wgmma_row *tg_wgmma_find(const char *name) {
  for (const tg_wgmma_row *row = wgmma_rows; row->name; row++)
    if (!strcmp(row->name, name)) return row;
  return NULL;
}

const tg_wgmma_row *tg_wgmma_of(int operands) {
  for (const tg_wgmma_row *row = wgmma_rows; row->name; row++)
    if (row->operands == operands) return row;
  return NULL;
}

static const tg_tcgen05_row tcgen05_rows[] = {
#define TCGEN05(name, k, operands, kind, format) {name, k, TG_##operands, kind, format},
#include "targets/nvptx/tcgen05.def"
#undef TCGEN05
    {0},
};

const tg_tcgen05_row *tg_tcgen05_find(const char *name) {
  for (const tg_tcgen05_row *row = tcgen05_rows; row->name; row++)
    if (!strcmp(row->name, name)) return row;
  return NULL;
}

const tg_tcgen05_row *tg_tcgen05_of(int operands) {
  for (const tg_tcgen05_row *row = tcgen05_rows; row->name; row++)
    if (row->operands == operands) return row;
  return NULL;
}

// targets/nvptx/tcgen05.def says which bits these are.
uint32_t tg_tcgen05_descriptor(const tg_tcgen05_row *row, int n) {
  const uint32_t format = (uint32_t)row->format;
  return 1u << 4 | format << 7 | format << 10 | (uint32_t)n / 8 << 17 | (uint32_t)TG_TCGEN05_ROWS / 16 << 24;
}
