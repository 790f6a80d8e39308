// e2m1 in memory: two codes a byte, the even element in the low nibble. An element is a byte and a choice of nibble; a store keeps the
// other nibble. A vector whose first element is known to be even is loaded or stored whole.
#include "codegen/loops.h"

tg_value *loops_nibble_byte(lower *L, tg_value *base, tg_value *index, int64_t offset, tg_value **high) {
  if (loops_multiple(index) % 2 == 0) {
    *high = loops_const(L, TG_I1, (double)(offset & 1));
    return loops_ptradd(L, loops_ptradd(L, base, loops_divc(L, index, 2)), loops_int(L, offset >> 1));
  }
  index = loops_addc(L, index, offset);
  *high = loops_bin(L, TG_OP_NE, loops_bin(L, TG_OP_AND, index, loops_int(L, 1)), loops_int(L, 0));
  return loops_ptradd(L, base, loops_divc(L, index, 2));
}

bool loops_nibbles_whole(const tg_value *index, const int64_t *offset, int lanes) {
  for (int l = 0; l < lanes; l++)
    if (offset[l] != l) return false;
  return lanes % 2 == 0 && loops_multiple(index) % 2 == 0;
}

tg_value *loops_nibbles_at(lower *L, tg_value *base, tg_value *index) { return loops_ptradd(L, base, loops_divc(L, index, 2)); }

tg_value *loops_nibble_get(lower *L, tg_value *byte, tg_value *high) {
  tg_value *in[] = {byte, loops_splat(L, high, loops_lanes(byte))};
  return loops_pure(L, TG_OP_UNPACK4, 2, in, 0, NULL);
}

tg_value *loops_nibble_set(lower *L, tg_value *byte, tg_value *code, tg_value *high) {
  const int lanes = loops_lanes(code);
  tg_value *in[] = {loops_splat(L, byte, lanes), code, loops_splat(L, high, lanes)};
  return loops_pure(L, TG_OP_PACK4, 3, in, 0, NULL);
}

void loops_nibble_store(lower *L, tg_value *base, tg_value *index, int64_t offset, tg_value *code) {
  tg_value *high, *at = loops_nibble_byte(L, base, index, offset, &high);
  tg_value *byte = loops_load_at(L, L->top, at, tg_scalar_type(TG_I8), 1, false);
  loops_store_at(L, at, loops_nibble_set(L, byte, code, high), 1);
}
