// What building by frontends, the parser and the verifier share; private to ir/.
#ifndef TG_KERNEL_H
#define TG_KERNEL_H

#include "ir/ir.h"

// Throws TG_INVALID: "gemm.lua:12: in kernel 'gemm': …".
_Noreturn void tg_complain(tg_kernel *kernel, tg_loc loc, const char *format, ...) __attribute__((format(printf, 3, 4)));

// Declarations of the header; they copy what they are given and throw on anything that does not fit.
void tg_declare_symbol(tg_kernel *kernel, const char *name, tg_symbol_kind kind, int64_t value, tg_loc loc);
void tg_declare_setting(tg_kernel *kernel, const tg_setting *setting, tg_loc loc);
void tg_declare_param(tg_kernel *kernel, const tg_param *param, tg_loc loc);
const tg_symbol *tg_find_symbol(const tg_kernel *kernel, const char *name);
const char *tg_unknown_symbol(const tg_kernel *kernel, const tg_expr *e); // the first that is not declared; NULL if none

// An op with results already known and attributes already matched, which are taken as they are.
tg_op *tg_insert_op(tg_builder *b, int code, int nin, tg_value *const *in, int nattrs, tg_attr *attrs, int nout, const tg_type *types);

// What is wrong with an op that stands in `launch` beyond its types: undeclared parameters and symbols, axes the grid lacks, stores to
// inputs. NULL if nothing.
const char *tg_misplaced(tg_arena *arena, const tg_launch *launch, int code, int nin, tg_value *const *in, int nattrs,
                         const tg_attr *attrs);
// What is wrong with yielding `values` from region `index` of `op`; NULL if nothing.
const char *tg_bad_yield(tg_arena *arena, const tg_op *op, int index, int n, tg_value *const *values);

// Building by a frontend (frontend.c); these throw.
tg_launch *tg_open_launch(tg_kernel *kernel, int naxes, const tg_expr *const *grid, tg_loc loc);
void tg_close_launch(tg_kernel *kernel, tg_loc loc);
tg_op *tg_emit_op(tg_kernel *kernel, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs, tg_loc loc);
tg_region *tg_open_region(tg_kernel *kernel, tg_op *op, int index);
void tg_close_region(tg_kernel *kernel, int n, tg_value *const *yield, tg_loc loc);

#endif
