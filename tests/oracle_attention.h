// Float64 oracles of the attention kernels, from their definitions, on raw storage (bf16 as bit patterns). They share nothing with the
// product.
#ifndef TG_ORACLE_ATTENTION_H
#define TG_ORACLE_ATTENTION_H
#include <stdint.h>

// What a query's head gives: out[D], sum[D] = the same weights times |value| (the scale of rounding errors), lse (natural logarithm).
typedef struct oracle_heads {
  int64_t D;
  double *out, *sum, *lse; // [queries, heads, D], the same, [queries, heads]
} oracle_heads;

// Q[B,S,N,D+R], KV[P,64,D+R], table[B,W], lens[B]: query s of sequence b sees the first lens[b]-S+s+1 keys; lens is held to 0 ... 64 W,
// keys of pages outside 0 ... P-1 do not exist; no key gives 0 and -Inf.
typedef struct oracle_decode_call {
  int64_t B, S, N, P, W, D, R;
  double scale;
  const uint16_t *Q, *KV;
  const int32_t *table, *lens;
} oracle_decode_call;
void oracle_mla_decode(const oracle_decode_call *call, oracle_heads *heads);

// Q[T,N,Dqk], K[T,N,Dqk], V[T,N,Dv], cu[B+1]: token i of sequence cu[b] ... cu[b+1]-1 sees that sequence's tokens up to itself. Tokens of
// no sequence give NaN in all three.
typedef struct oracle_prefill_call {
  int64_t T, N, Dqk, Dv, B;
  double scale;
  const uint16_t *Q, *K, *V;
  const int32_t *cu;
} oracle_prefill_call;
void oracle_mla_prefill(const oracle_prefill_call *call, oracle_heads *heads);
#endif
