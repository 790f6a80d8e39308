#ifndef TG_SHA256_H
#define TG_SHA256_H

#include <stddef.h>
#include <stdint.h>

// SHA-256 (FIPS 180-4). The compile cache runs what it finds under a key, so two compiles must never share one, by accident or by design: a
// cryptographic hash makes that certain enough, and serves as checksum as well.
typedef struct tg_sha256 {
  uint32_t state[8];
  uint64_t length;
  unsigned char block[64];
} tg_sha256;
void tg_sha256_init(tg_sha256 *hash);
void tg_sha256_add(tg_sha256 *hash, const void *data, size_t size);
void tg_sha256_end(tg_sha256 *hash, unsigned char digest[32]);

#endif
