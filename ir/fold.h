// Constant folding of elementwise ops, with the meaning of the op tables. Shared by canonicalise and whoever needs a compile-time value.
#ifndef TG_FOLD_H
#define TG_FOLD_H

#include "ir/ir.h"

typedef struct tg_scalar { // value of a splat constant
  bool is_int;             // integers and i1
  int64_t i;
  double f;
} tg_scalar;

bool tg_scalar_of(const tg_value *v, tg_scalar *out); // v is made by `const`
// Value of an elementwise op on constants; false for ops that are not folded (transcendental functions: devices differ in the last bit).
bool tg_fold_scalar(const tg_op *op, const tg_scalar *in, tg_scalar *out);

#endif
