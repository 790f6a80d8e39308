// Atomics, element by element in the tile's order; equal indices of a vector add up.
#include "codegen/loops.h"

typedef struct atomic_job {
  placement at;
  const buffer *old; // NULL: nobody asks for the old values, or there is one
  tg_value *result;  // of a single element
  tg_attr attrs[3];
  bool single;
} atomic_job;

static void atomic_body(lower *L, nest *N, const pos *p) {
  atomic_job *J = N->user;
  const int dtype = J->at.view.dtype;
  const tg_type type = tg_scalar_type(dtype);
  tg_value *guard, *ptr = loops_place_element(L, &J->at, p, &guard), *x = loops_eval(L, J->at.value, p);
  if (J->single && J->at.whole) guard = guard ? loops_bin(L, TG_OP_AND, guard, J->at.whole) : J->at.whole;
  tg_op *branch = guard ? loops_open_if(L, guard, J->single, &type) : NULL;
  tg_value *in[] = {ptr, x}, *old = loops_op(L, L->top, TG_OP_ATOMICL, 2, in, 3, J->attrs)->out[0];
  if (J->old) loops_write_buffer(L, J->old, p, old, dtype);
  if (branch) {
    loops_else(L, branch, J->single, &old);
    old = loops_const(L, dtype, 0);
    loops_close_if(L, branch, J->single, &old);
  }
  J->result = old;
}

static void zero_all(lower *L, const buffer *b, int64_t elements) {
  const int64_t bytes = tg_dtypes[b->dtype].bits / 8, whole = (elements * bytes + 63) / 64 * 64; // what loops_new_buffer takes
  tg_value *zero = loops_splat(L, loops_const(L, b->dtype, 0), (int)(64 / bytes));
  tg_value *at = loops_open(L, loops_int(L, 0), loops_int(L, whole), 64, 0, NULL);
  loops_store_at(L, loops_ptradd(L, b->ptr, at), zero, 64);
  loops_close(L, 0, NULL);
}

void loops_atomic(lower *L, tg_op *op) {
  tg_value *y = op->out[0];
  atomic_job J = {.single = tg_type_elements(y->type) == 1};
  nest N;
  loops_place(L, op, &J.at, &N);
  J.attrs[0] = TG_ASTR("kind", tg_attr_str(op, "kind", "add"));
  J.attrs[1] = TG_ASTR("order", tg_attr_str(op, "order", "relaxed"));
  J.attrs[2] = TG_ASTR("scope", tg_attr_str(op, "scope", "device"));
  N.lanes = 1, N.body = atomic_body, N.user = &J;
  if (J.single) {
    loops_nest_run(L, &N);
    loops_bind(L, y, J.result);
    return;
  }
  if (loops_info(L, y)->root) {
    J.old = loops_new_buffer(L, y->type.dtype, y->type.rank, y->type.dim, "old");
    zero_all(L, J.old, tg_type_elements(y->type));
  }
  tg_op *branch = J.at.whole ? loops_open_if(L, J.at.whole, 0, NULL) : NULL;
  loops_nest_run(L, &N);
  if (branch) {
    loops_else(L, branch, 0, NULL);
    loops_close_if(L, branch, 0, NULL);
  }
  if (J.old) loops_bind_buffer(L, y, J.old);
}
