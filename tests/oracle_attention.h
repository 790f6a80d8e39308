// Float64 oracles of the attention kernels, from their definitions, on raw storage (bf16 as bit patterns). They share nothing with the
// product.
#ifndef TG_ORACLE_ATTENTION_H
#define TG_ORACLE_ATTENTION_H
#include <stdint.h>

#include "oracle.h"

// What a query's head gives: out[D], sum[D] = the same weights times |value| (the scale of rounding errors), lse (natural logarithm).
typedef struct oracle_heads {
  int64_t D;
  double *out, *sum, *lse; // [queries, heads, D], the same, [queries, heads]
} oracle_heads;

// Q[B,S,N,D+R], KV[P,64,D+R], table[B,W], lens[B]: query s of sequence b sees the first lens[b]-S+s+1 keys; lens is held to 0 ... 64 W,
// keys of pages outside 0 ... P-1 do not exist; no key gives 0 and -Inf. With idx[B,S,K] a query sees the positions named there instead of
// the first lens[b]; what lies outside is none.
typedef struct oracle_decode_call {
  int64_t B, S, N, P, W, D, R, K;
  double scale;
  oracle_format format, kv_format;
  const void *Q, *KV;
  const int32_t *table, *lens, *idx;
} oracle_decode_call;
void oracle_mla_decode(const oracle_decode_call *call, oracle_heads *heads);

// Q[T,N,Dqk], K[T,N,Dqk], V[T,N,Dv], cu[B+1]: token i of sequence cu[b] ... cu[b+1]-1 sees that sequence's tokens up to itself. Tokens of
// no sequence give NaN in all three.
typedef struct oracle_prefill_call {
  int64_t T, N, Dqk, Dv, B;
  double scale;
  oracle_format format;
  const void *Q, *K, *V;
  const int32_t *cu;
} oracle_prefill_call;
void oracle_mla_prefill(const oracle_prefill_call *call, oracle_heads *heads);

// Q[B,S,H,D] bf16, w[B,S,H] f32, K[P,64,D] f32, table[B,W], lens[B]: logits[B,S,64W] = sum_h w relu(q.k) where query s sees the key, the
// first lens[b]-S+s+1, else -Inf; sums: the same of absolute values, the scale of rounding errors.
typedef struct oracle_indexer_call {
  int64_t B, S, H, P, W, D;
  const void *Q, *w, *K;
  const int32_t *table, *lens;
} oracle_indexer_call;
void oracle_indexer(const oracle_indexer_call *call, double *logits, double *sums);
void oracle_topk(int64_t n, const float *row, int64_t k, int32_t *idx); // descending, of equals the lower column, NaN first; -1 behind
#endif
