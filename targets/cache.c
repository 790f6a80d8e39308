// The on-disk compile cache: <cache_dir>/compile/XX/YY…, named by the SHA-256 of everything that matters to a compile.
//
// An entry is "TGCACHE1", SHA-256(key, payload), payload. It is written to a temporary name and renamed, so that readers and other writers
// see it whole or not at all; the checksum catches what a crash or a full disk left behind.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "targets/compiler.h"
#include "targets/sha256.h"

enum {
  HEAD = 40,
  MAX_ENTRY = 1 << 28,
  EVICT_EVERY = 64, // writes between two looks at the size
};
static const int64_t max_bytes = (int64_t)512 << 20;
static const char magic[] = {'T', 'G', 'C', 'A', 'C', 'H', 'E', '1'};

static bool entry_path(const char *directory, const unsigned char key[32], char *path, size_t size) {
  if (!directory) return false;
  char hex[65];
  for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", key[i]);
  return snprintf(path, size, "%s/compile/%.2s/%s", directory, hex, hex + 2) < (int)size;
}

static void checksum(const unsigned char key[32], tg_bytes payload, unsigned char digest[32]) {
  tg_sha256 hash;
  tg_sha256_init(&hash);
  tg_sha256_add(&hash, key, 32);
  tg_sha256_add(&hash, payload.data, payload.size);
  tg_sha256_end(&hash, digest);
}

static bool read_all(int fd, char *data, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += (size_t)n;
  }
  return true;
}

bool tg_cache_get(tg_context *ctx, const unsigned char key[32], tg_arena *arena, tg_bytes *payload) {
  return tg_pack_get(ctx->config.cache_dir, key, arena, payload);
}

bool tg_pack_get(const char *directory, const unsigned char key[32], tg_arena *arena, tg_bytes *payload) {
  char path[4096];
  struct stat info;
  if (!entry_path(directory, key, path, sizeof path) || stat(path, &info) != 0) return false;
  if (!S_ISREG(info.st_mode) || info.st_size < HEAD || info.st_size > MAX_ENTRY) return false;
  size_t size = (size_t)info.st_size;
  char *data = tg_arena_alloc(arena, size + 1); // before the file is open: this may throw
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  *payload = (tg_bytes){data + HEAD, size - HEAD};
  bool good = read_all(fd, data, size) && memcmp(data, magic, sizeof magic) == 0;
  unsigned char digest[32];
  if (good) {
    checksum(key, *payload, digest);
    good = memcmp(digest, data + sizeof magic, 32) == 0;
  }
  if (good && time(NULL) - info.st_mtime > 3600) futimens(fd, NULL); // eviction takes the least recently used, to the hour
  close(fd);
  return good;
}

static bool write_entry(const char *path, const unsigned char key[32], tg_bytes payload) {
  char temporary[4200];
  snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
  int fd = mkostemp(temporary, O_CLOEXEC);
  if (fd < 0) return false;
  unsigned char head[HEAD];
  memcpy(head, magic, sizeof magic);
  checksum(key, payload, head + sizeof magic);
  bool good = write(fd, head, HEAD) == HEAD;
  for (size_t done = 0; good && done < payload.size;) {
    ssize_t n = write(fd, (const char *)payload.data + done, payload.size - done);
    if (n < 0 && errno == EINTR) continue;
    good = n > 0;
    done += n > 0 ? (size_t)n : 0;
  }
  good = fchmod(fd, 0644) == 0 && good;
  good = close(fd) == 0 && good;
  int problem = errno;
  if (good && rename(temporary, path) == 0) return true;
  if (good) problem = errno;
  unlink(temporary);
  errno = problem;
  return false;
}

bool tg_pack_put(const char *directory, const unsigned char key[32], tg_bytes payload) {
  char path[4096];
  if (payload.size > MAX_ENTRY - HEAD || !entry_path(directory, key, path, sizeof path)) return false;
  tg_make_parents(path);
  return write_entry(path, key, payload);
}

void tg_cache_put(tg_context *ctx, tg_cache_state *state, const unsigned char key[32], tg_bytes payload) {
  char path[4096];
  if (payload.size > MAX_ENTRY - HEAD || !entry_path(ctx->config.cache_dir, key, path, sizeof path)) return;
  tg_make_parents(path);
  if (!write_entry(path, key, payload)) {
    if (!state->warned)
      tg_log(ctx, TG_LOG_WARNING, "the compile cache in %s cannot be written (%m); working without", ctx->config.cache_dir);
    state->warned = true;
    return;
  }
  if (state->writes++ % EVICT_EVERY) return;
  snprintf(path, sizeof path, "%s/compile", ctx->config.cache_dir);
  tg_cache_evict(path, max_bytes);
}

// ---- the size bound

struct entry {
  char name[80]; // XX/YY…
  int64_t size;
  struct timespec used;
};

struct entries {
  struct entry *at;
  size_t n, capacity;
  int64_t bytes;
};

static void note_entry(struct entries *all, const char *directory, const char *part, const char *name) {
  if (name[0] == '.' || strlen(part) + strlen(name) + 2 > sizeof all->at->name) return;
  char path[4400];
  struct stat info;
  snprintf(path, sizeof path, "%s/%s/%s", directory, part, name);
  if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return;
  if (all->n == all->capacity) {
    size_t capacity = all->capacity ? 2 * all->capacity : 256;
    struct entry *at = realloc(all->at, capacity * sizeof *at);
    if (!at) return;
    all->at = at;
    all->capacity = capacity;
  }
  struct entry *entry = &all->at[all->n++];
  snprintf(entry->name, sizeof entry->name, "%s/%s", part, name);
  entry->size = info.st_size;
  entry->used = info.st_mtim;
  all->bytes += entry->size;
}

static int older_first(const void *a, const void *b) {
  const struct timespec x = ((const struct entry *)a)->used, y = ((const struct entry *)b)->used;
  if (x.tv_sec != y.tv_sec) return x.tv_sec < y.tv_sec ? -1 : 1;
  return (x.tv_nsec > y.tv_nsec) - (x.tv_nsec < y.tv_nsec);
}

void tg_cache_evict(const char *directory, int64_t limit) {
  struct entries all = {0};
  char path[4400];
  DIR *top = opendir(directory);
  if (!top) return;
  for (struct dirent *part; (part = readdir(top));) {
    if (strlen(part->d_name) != 2 || part->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", directory, part->d_name);
    DIR *inner = opendir(path);
    if (!inner) continue;
    for (struct dirent *entry; (entry = readdir(inner));) note_entry(&all, directory, part->d_name, entry->d_name);
    closedir(inner);
  }
  closedir(top);
  if (all.bytes > limit) {
    qsort(all.at, all.n, sizeof *all.at, older_first);
    for (size_t i = 0; i < all.n && all.bytes > limit / 4 * 3; i++) { // some slack, or every write would evict
      snprintf(path, sizeof path, "%s/%s", directory, all.at[i].name);
      if (unlink(path) == 0) all.bytes -= all.at[i].size;
    }
  }
  free(all.at);
}
