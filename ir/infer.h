// What the type rules share; private to infer*.c.
#ifndef TG_INFER_H
#define TG_INFER_H

#include "ir/ir.h"

typedef struct tg_infer_state {
  tg_arena *arena;
  int code, nin, nattrs;
  tg_value *const *in;
  const tg_attr *attrs;
  int nout;
  tg_type *out;
  const char *complaint;
} tg_infer_state;

bool tg_rule_fail(tg_infer_state *s, const char *format, ...) __attribute__((format(printf, 2, 3))); // returns false
const char *tg_rule_text(tg_infer_state *s, int operand);                                            // its type
bool tg_rule_tile(tg_infer_state *s, int operand);                    // complains unless the operand is a tile (or scalar, or vector)
bool tg_rule_scalar(tg_infer_state *s, int operand, unsigned dtypes); // a rank-0 tile of one of the dtypes (bit mask)
bool tg_rule_choice(tg_infer_state *s, const char *key, const char *const *names); // a string attribute out of a NULL-terminated list
const tg_attr *tg_rule_attr(const tg_infer_state *s, const char *key);
int64_t tg_rule_int(const tg_infer_state *s, const char *key, int64_t fallback);
bool tg_rule_fits(tg_infer_state *s, int64_t value, int dtype); // complains unless an integer dtype or i1 holds the value
bool tg_rule_one(tg_infer_state *s, tg_type type);              // sets the only result; true
bool tg_rule_reduction(tg_infer_state *s, int dtype);           // attribute `kind` and a dtype it works on

enum { TG_M_I32 = 1 << TG_I32, TG_M_I64 = 1 << TG_I64, TG_M_I1 = 1 << TG_I1, TG_M_INDEX = TG_M_I32 | TG_M_I64 };
static inline bool tg_is_int(int dtype) { return tg_dtypes[dtype].cls == 'i'; }
// Has arithmetic.
static inline bool tg_is_real(int dtype) { return dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_F32 || dtype == TG_F64; }
static inline bool tg_is_small(int dtype) { return tg_dtypes[dtype].cls == 'f' && tg_dtypes[dtype].bits <= 8; }

typedef bool tg_rule(tg_infer_state *s);
// infer.c
tg_rule tg_infer_UNARY, tg_infer_INT1, tg_infer_FLOAT1, tg_infer_BINARY, tg_infer_TEST1, tg_infer_INT2, tg_infer_COMPARE, tg_infer_SELECT,
    tg_infer_FLOAT3, tg_infer_CAST, tg_infer_BITCAST, tg_infer_TYPED, tg_infer_PID, tg_infer_SCALAR32, tg_infer_SCALAR64, tg_infer_SCALAR,
    tg_infer_BROADCAST, tg_infer_SPREAD, tg_infer_RESHAPE, tg_infer_TRANSPOSE, tg_infer_JOIN, tg_infer_SPLIT, tg_infer_REDUCE,
    tg_infer_SCAN, tg_infer_ARGMAX, tg_infer_SORT, tg_infer_DOT, tg_infer_DOT_SCALED, tg_infer_FOR, tg_infer_WHILE, tg_infer_IF,
    tg_infer_NONE, tg_infer_ASSERT, tg_infer_ASSUME;
// infer_memory.c
tg_rule tg_infer_LOAD, tg_infer_STORE, tg_infer_ATOMIC, tg_infer_VIEW, tg_infer_RANGE, tg_infer_FIRST, tg_infer_INDEX, tg_infer_PARAM;
// infer_lane.c
tg_rule tg_infer_PTR, tg_infer_PTRADD, tg_infer_MISALIGN, tg_infer_LLOAD, tg_infer_LSTORE, tg_infer_LOADM, tg_infer_STOREM,
    tg_infer_GATHERV, tg_infer_SCATTERV, tg_infer_ATOMICL, tg_infer_PREFETCH, tg_infer_SPLAT, tg_infer_EXTRACT, tg_infer_INSERT,
    tg_infer_SHUFFLE, tg_infer_VREDUCE, tg_infer_SHFL, tg_infer_MMA, tg_infer_LDMATRIX, tg_infer_CP_ASYNC, tg_infer_TRAP, tg_infer_UNDEF,
    tg_infer_DOT2, tg_infer_UNPACK4, tg_infer_PACK4, tg_infer_PAIRS, tg_infer_QUADS, tg_infer_BYTES, tg_infer_SINGLE, tg_infer_REGROUP;

// infer_async.c
tg_rule tg_infer_ELECT, tg_infer_BARRIER, tg_infer_MBAR, tg_infer_MBAR_ARRIVE, tg_infer_MBAR_WAIT, tg_infer_MAPA, tg_infer_COPY_BOX,
    tg_infer_PREFETCH_MAP, tg_infer_SMEM_DESC, tg_infer_DESC_ADD, tg_infer_WGMMA, tg_infer_WGMMA_WAIT, tg_infer_TMEM_ALLOC,
    tg_infer_TMEM_FREE, tg_infer_TMEM_MMA, tg_infer_TMEM_COMMIT, tg_infer_TMEM_LOAD;

#endif
