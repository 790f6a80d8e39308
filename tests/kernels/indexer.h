// What sparse attention needs beside mla_decode_sparse, on a device: indexer_logits and topk against float64 oracles, quantize_cache byte
// by byte; NaN where no key was written, pages, lengths and positions that lead outside, ties.
#ifndef TG_CONFORMANCE_INDEXER_H
#define TG_CONFORMANCE_INDEXER_H

void conform_indexer(void);

#endif
