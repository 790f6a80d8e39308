// mla_decode, mla_decode_sparse and mla_prefill on a device, judged against the float64 oracles: each element, each row and the whole, the
// same bits from one, two and three threads, NaN where no key was written, and NaN put into single keys, which must reach exactly the rows
// that see them.
#ifndef TG_ATTENTION_H
#define TG_ATTENTION_H
#include <stdint.h>

typedef struct decode_shape {
  int64_t B, S, N, D, R;
  const char *settings;
  int64_t lens[4]; // of the sequences, B at most 4
  int64_t K;       // mla_decode_sparse over so many positions; 0 = mla_decode
} decode_shape;

typedef struct prefill_shape {
  int64_t N, Dqk, Dv;
  const char *settings;
  int64_t lens[8], count; // of the sequences
} prefill_shape;

void attention_decode(const decode_shape *s);
void attention_decode_hostile(const char *settings, int64_t K); // tables, lengths and positions that lead outside
void attention_prefill(const prefill_shape *s);
void attention_prefill_hostile(void);
void attention_all(void); // what both devices run

#endif
