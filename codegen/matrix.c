// The tables of matrix instructions.
#include "codegen/matrix.h"

const tg_matrix_row tg_matrix_rows[] = {
#define MATRIX(name, m, n, k, operands, accumulators, arch, intrinsic, doc)                                                                \
  {name, m, n, k, TG_##operands, TG_##accumulators, arch, intrinsic, doc},
#include "targets/nvptx/matrix.def"
#undef MATRIX
    {0},
};

const tg_matrix_row *tg_matrix_find(const char *name) {
  for (const tg_matrix_row *row = tg_matrix_rows; row->name; row++)
    if (!strcmp(row->name, name)) return row;
  return NULL;
}
