// Transcendental functions as lane IR, shared by every lowering: emitters never see exp, log, sin ….
#ifndef TG_MATH_H
#define TG_MATH_H

#include "ir/ir.h"

// Value of a unary function on a float scalar or vector, built at `b`; NULL when `code` is not one of exp exp2 log log2 rsqrt sigmoid tanh
// sin cos. f32 is computed in f32 within the bounds of ir/elementwise.def; narrower floats through f32. Throws TG_INVALID on f64.
tg_value *tg_math_expand(tg_builder *b, int code, tg_value *x);

// The same for machines that have 2^x and 1/x as instructions: exp, exp2 and sigmoid of scalars are made of lane ops ex2, rcp and exp2.
tg_value *tg_math_expand_by_ex2(tg_builder *b, int code, tg_value *x);

#endif
