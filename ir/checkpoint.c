// Checkpoints: the tensors of one or many .safetensors files under one set of names.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ir/json_in.h"
#include "ir/safetensors.h"

#define HEADER_LIMIT 100000000 // bytes; the safetensors package has the same limit
#define INDEX_LIMIT  100000000 // bytes; DeepSeek-V3's index has 9 million
#define INDEX_NAME   "model.safetensors.index.json"

typedef struct shard {
  const char *file;
  int fd;
  uint64_t bytes;
  void *map; // of the whole file, once asked for
} shard;

struct tg_checkpoint {
  tg_context *ctx;
  tg_arena arena;
  int nshards;
  shard *shards;
  tg_tensor_header tensors; // sorted by name
  bool described;
  char *text; // of the header or index that is being read
};

// ---- files

static void read_at(tg_context *ctx, const shard *s, uint64_t at, void *out, size_t n) {
  char *to = out;
  while (n) {
    const ssize_t got = pread(s->fd, to, n > (1u << 30) ? 1u << 30 : n, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      tg_throw(ctx, TG_INVALID, "%s: cannot be read to its end: %s", s->file, got < 0 ? strerror(errno) : "it shrank meanwhile");
    to += got;
    at += (uint64_t)got;
    n -= (size_t)got;
  }
}

static shard *open_file(tg_checkpoint *c, const char *file) {
  tg_context *ctx = c->ctx;
  c->shards = tg_arena_grow(&c->arena, c->shards, (size_t)c->nshards, sizeof *c->shards);
  shard *s = &c->shards[c->nshards];
  *s = (shard){.file = tg_arena_strdup(&c->arena, file)};
  s->fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is refused below, not waited for
  if (s->fd < 0) tg_throw(ctx, TG_INVALID, "%s: cannot be opened: %s", file, strerror(errno));
  c->nshards++;
  struct stat st;
  if (fstat(s->fd, &st)) tg_throw(ctx, TG_INVALID, "%s: %s", file, strerror(errno));
  if (!S_ISREG(st.st_mode)) tg_throw(ctx, TG_INVALID, "%s: is not a regular file; name a .safetensors file or a directory of them", file);
  s->bytes = (uint64_t)st.st_size;
  return s;
}

// Reads part of a file into c->text.
static void read_text(tg_checkpoint *c, const shard *s, uint64_t at, size_t n) {
  c->text = tg_realloc(c->ctx, c->text, n + 1);
  read_at(c->ctx, s, at, c->text, n);
  c->text[n] = 0;
}

static void add_shard(tg_checkpoint *c, const char *file) {
  tg_context *ctx = c->ctx;
  const shard *s = open_file(c, file);
  unsigned char pre[8];
  if (s->bytes < 8) tg_throw(ctx, TG_INVALID, "%s: is not a .safetensors file: it has %llu bytes", file, (unsigned long long)s->bytes);
  read_at(ctx, s, 0, pre, 8);
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--) length = length << 8 | pre[i];
  if (length > s->bytes - 8)
    tg_throw(ctx, TG_INVALID,
             "%s: is cut off inside its header or no .safetensors file (a header of %llu bytes in a file of %llu); copy it again", file,
             (unsigned long long)length, (unsigned long long)s->bytes);
  if (length > HEADER_LIMIT)
    tg_throw(ctx, TG_INVALID, "%s: has a header of %llu bytes; %d are read at most", file, (unsigned long long)length, HEADER_LIMIT);
  read_text(c, s, 8, length);
  const int first = c->tensors.n;
  tg_bindings described = c->tensors.metadata;
  tg_tensor_header_read(ctx, &c->arena, s->file, c->text, length, s->bytes, &c->tensors);
  for (int i = first; i < c->tensors.n; i++) c->tensors.at[i].shard = c->nshards - 1;
  if (c->described) c->tensors.metadata = described;
  c->described |= c->tensors.metadata.n > 0;
}

// ---- names

static int by_name(const void *a, const void *b) {
  const tg_tensor_entry *x = a, *y = b;
  const int order = strcmp(x->info.name, y->info.name);
  return order ? order : x->shard - y->shard;
}

static void sort_names(tg_checkpoint *c) {
  if (c->tensors.n > 1) qsort(c->tensors.at, (size_t)c->tensors.n, sizeof *c->tensors.at, by_name);
}

static void refuse_twins(tg_checkpoint *c) {
  for (int i = 1; i < c->tensors.n; i++) {
    const tg_tensor_info *a = &c->tensors.at[i - 1].info, *b = &c->tensors.at[i].info;
    if (strcmp(a->name, b->name)) continue;
    if (a->file == b->file) tg_throw(c->ctx, TG_INVALID, "%s: tensor '%.200s' comes twice; write the file again", a->file, a->name);
    tg_throw(c->ctx, TG_INVALID, "tensor '%.200s' is in both %s and %s; an index (" INDEX_NAME ") says which one counts, or open one file",
             a->name, a->file, b->file);
  }
}

// ---- the index of a sharded checkpoint: {"metadata": …, "weight_map": {"tensor's name": "file"}}

typedef struct place {
  const char *name, *file; // the latter without its directory
  int shard;
} place;
typedef struct places {
  place *at;
  int n;
} places;

static void take_weight_map(tg_json_in *in, places *map) {
  int64_t n = 0;
  tg_json_in_want(in, '{');
  while (tg_json_in_more(in, &n, '}')) {
    map->at = tg_arena_grow(in->arena, map->at, (size_t)map->n, sizeof *map->at);
    place *p = &map->at[map->n++];
    *p = (place){.name = tg_json_in_key(in)};
    if (!tg_is_tensor_name(p->name)) tg_json_in_bad(in, "has a tensor's name with control characters");
    p->file = tg_json_in_string(in);
    if (!*p->file || strchr(p->file, '/') || !strcmp(p->file, ".") || !strcmp(p->file, "..") || !tg_is_tensor_name(p->file))
      tg_json_in_bad(in, "names a file that does not lie beside it");
  }
}

static places read_index(tg_checkpoint *c, const char *file) {
  const shard s = *open_file(c, file);
  if (s.bytes > INDEX_LIMIT)
    tg_throw(c->ctx, TG_INVALID, "%s: has %llu bytes; %d are read at most", file, (unsigned long long)s.bytes, INDEX_LIMIT);
  read_text(c, &s, 0, s.bytes);
  close(s.fd);
  c->nshards--;
  tg_json_in in = {.ctx = c->ctx,
                   .arena = &c->arena,
                   .file = s.file,
                   .document = "the index",
                   .begin = c->text,
                   .at = c->text,
                   .end = c->text + s.bytes,
                   .cure = "download it again, or remove it to open all .safetensors files beside it"};
  places map = {0};
  int64_t n = 0;
  bool found = false;
  tg_json_in_want(&in, '{');
  while (tg_json_in_more(&in, &n, '}')) {
    const bool wanted = !strcmp(tg_json_in_key(&in), "weight_map");
    if (wanted && found) tg_json_in_bad(&in, "has weight_map twice");
    if (wanted) take_weight_map(&in, &map);
    else tg_json_in_skip(&in);
    found |= wanted;
  }
  tg_json_in_end(&in);
  if (!found) tg_json_in_bad(&in, "lacks weight_map");
  return map;
}

static int place_by_file(const void *a, const void *b) { return strcmp(((const place *)a)->file, ((const place *)b)->file); }

static int place_by_name(const void *a, const void *b) {
  const place *x = a, *y = b;
  const int order = strcmp(x->name, y->name);
  return order ? order : x->shard - y->shard;
}

// Keeps of the shards' tensors those that the index places there.
static void keep_placed(tg_checkpoint *c, const char *file, const places *map) {
  int kept = 0, at = 0;
  for (int i = 0; i < map->n; i++) {
    const place *p = &map->at[i];
    if (i && !strcmp(p->name, p[-1].name))
      tg_throw(c->ctx, TG_INVALID, "%s: tensor '%.200s' comes twice; download it again", file, p->name);
    while (at < c->tensors.n) { // both lists are sorted by name, then by shard
      const tg_tensor_entry *e = &c->tensors.at[at];
      const int order = strcmp(e->info.name, p->name);
      if (order > 0 || (order == 0 && e->shard >= p->shard)) break;
      at++;
    }
    const tg_tensor_entry *e = at < c->tensors.n ? &c->tensors.at[at] : NULL;
    if (!e || strcmp(e->info.name, p->name) || e->shard != p->shard)
      tg_throw(c->ctx, TG_INVALID, "%s: places tensor '%.200s' in %s, which lacks it; download that file again", file, p->name, p->file);
    c->tensors.at[kept++] = *e;
    at++;
  }
  c->tensors.n = kept;
}

static void open_index(tg_checkpoint *c, const char *file) {
  places map = read_index(c, file);
  const char *slash = strrchr(file, '/');
  const int directory = slash ? (int)(slash - file) + 1 : 0;
  if (map.n > 1) qsort(map.at, (size_t)map.n, sizeof *map.at, place_by_file);
  for (int i = 0; i < map.n; i++) {
    if (i == 0 || strcmp(map.at[i].file, map.at[i - 1].file))
      add_shard(c, tg_arena_printf(&c->arena, "%.*s%s", directory, file, map.at[i].file));
    map.at[i].shard = c->nshards - 1;
  }
  if (map.n > 1) qsort(map.at, (size_t)map.n, sizeof *map.at, place_by_name);
  sort_names(c);
  for (int i = 1; i < c->tensors.n; i++) {
    const tg_tensor_entry *e = &c->tensors.at[i];
    if (e->shard == e[-1].shard && !strcmp(e->info.name, e[-1].info.name))
      tg_throw(c->ctx, TG_INVALID, "%s: tensor '%.200s' comes twice; download the file again", e->info.file, e->info.name);
  }
  keep_placed(c, file, &map);
}

// ---- opening

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcmp(text + n - m, end);
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

typedef struct listing {
  tg_checkpoint *c;
  DIR *dir;
  const char **files;
  int n;
} listing;

static void list_body(void *arg) {
  listing *l = arg;
  tg_arena *arena = &l->c->arena;
  for (struct dirent *e; (e = readdir(l->dir));) {
    if (!ends_with(e->d_name, ".safetensors") || e->d_name[0] == '.') continue;
    l->files = tg_arena_grow(arena, l->files, (size_t)l->n, sizeof *l->files);
    l->files[l->n++] = tg_arena_strdup(arena, e->d_name);
  }
}

// A directory: by its index, or else all its files.
static void open_directory(tg_checkpoint *c, const char *path) {
  tg_context *ctx = c->ctx;
  const char *index = tg_arena_printf(&c->arena, "%s/" INDEX_NAME, path);
  if (access(index, F_OK) == 0) {
    open_index(c, index);
    return;
  }
  listing l = {.c = c, .dir = opendir(path)};
  if (!l.dir) tg_throw(ctx, TG_INVALID, "%s: cannot be listed: %s", path, strerror(errno));
  const tg_status status = tg_protect(ctx, list_body, &l);
  closedir(l.dir);
  if (status) tg_rethrow(ctx);
  if (l.n == 0) tg_throw(ctx, TG_INVALID, "%s: has no .safetensors files; name the directory that holds the checkpoint", path);
  if (l.n > 1) qsort(l.files, (size_t)l.n, sizeof *l.files, by_text);
  for (int i = 0; i < l.n; i++) add_shard(c, tg_arena_printf(&c->arena, "%s/%s", path, l.files[i]));
  sort_names(c);
  refuse_twins(c);
}

typedef struct open_args {
  tg_context *ctx;
  const char *path;
  tg_checkpoint *c;
} open_args;

static void open_body(void *arg) {
  open_args *a = arg;
  tg_checkpoint *c = tg_realloc(a->ctx, NULL, sizeof *c);
  *c = (tg_checkpoint){.ctx = a->ctx};
  tg_arena_init(&c->arena, a->ctx);
  a->c = c;
  struct stat st;
  if (stat(a->path, &st)) tg_throw(c->ctx, TG_INVALID, "%s: cannot be opened: %s", a->path, strerror(errno));
  if (S_ISDIR(st.st_mode)) {
    open_directory(c, a->path);
  } else if (ends_with(a->path, ".json")) {
    open_index(c, a->path);
  } else {
    add_shard(c, a->path);
    sort_names(c);
    refuse_twins(c);
  }
  tg_realloc(c->ctx, c->text, 0);
  c->text = NULL;
}

tg_status tg_checkpoint_open(tg_context *ctx, const char *path, tg_checkpoint **out) {
  open_args a = {.ctx = ctx, .path = path};
  const tg_status status = tg_protect(ctx, open_body, &a);
  if (status) tg_checkpoint_close(a.c);
  *out = status ? NULL : a.c;
  return status;
}

void tg_checkpoint_close(tg_checkpoint *c) {
  if (!c) return;
  for (int i = 0; i < c->nshards; i++) {
    if (c->shards[i].map) munmap(c->shards[i].map, c->shards[i].bytes);
    close(c->shards[i].fd);
  }
  if (c->text) tg_realloc(c->ctx, c->text, 0);
  tg_arena_free(&c->arena);
  tg_realloc(c->ctx, c, 0);
}

// ---- asking

int tg_checkpoint_count(const tg_checkpoint *c) { return c->tensors.n; }
const tg_tensor_info *tg_checkpoint_info(const tg_checkpoint *c, int i) {
  return i >= 0 && i < c->tensors.n ? &c->tensors.at[i].info : NULL;
}
tg_bindings tg_checkpoint_metadata(const tg_checkpoint *c) { return c->tensors.metadata; }

static int name_against(const void *name, const void *entry) { return strcmp(name, ((const tg_tensor_entry *)entry)->info.name); }

const tg_tensor_info *tg_checkpoint_find(const tg_checkpoint *c, const char *name) {
  if (c->tensors.n == 0) return NULL;
  return bsearch(name, c->tensors.at, (size_t)c->tensors.n, sizeof *c->tensors.at, name_against);
}

typedef struct get_args {
  tg_checkpoint *c;
  const char *name;
  tg_dtype dtype;
  tg_array **array;
  const void **data;
  size_t *bytes;
} get_args;

static const tg_tensor_entry *entry_of(const get_args *a) {
  const tg_tensor_entry *e = (const tg_tensor_entry *)tg_checkpoint_find(a->c, a->name);
  if (e) return e;
  if (a->c->nshards == 1) tg_throw(a->c->ctx, TG_INVALID, "%s: has no tensor '%.200s'", a->c->shards[0].file, a->name);
  tg_throw(a->c->ctx, TG_INVALID, "no tensor '%.200s' in the %d files from %s on", a->name, a->c->nshards,
           a->c->nshards ? a->c->shards[0].file : "none");
}

// The dtype to read an entry as.
static tg_dtype dtype_of(const get_args *a, const tg_tensor_entry *e) {
  tg_context *ctx = a->c->ctx;
  const tg_tensor_info *info = &e->info;
  if (a->dtype < -1 || a->dtype >= TG_NDTYPES) tg_throw(ctx, TG_INVALID, "%d is no dtype", a->dtype);
  const bool opaque = !strcmp(info->stored, "U8") && a->dtype >= 0 && tg_dtypes[a->dtype].bits <= 8 && a->dtype != TG_I1;
  if (opaque) return a->dtype;
  if (info->dtype < 0)
    tg_throw(ctx, TG_INVALID, "%s: tensor '%.200s' is %s, which no dtype here has; convert it before writing the checkpoint", info->file,
             info->name, info->stored);
  if (a->dtype >= 0 && a->dtype != info->dtype)
    tg_throw(ctx, TG_INVALID, "%s: tensor '%.200s' is %s, not %s; read it as it is and convert it with :to", info->file, info->name,
             info->stored, tg_dtypes[a->dtype].name);
  return info->dtype;
}

static void read_body(void *arg) {
  const get_args *a = arg;
  tg_context *ctx = a->c->ctx;
  const tg_tensor_entry *e = entry_of(a);
  const tg_tensor_info *info = &e->info;
  const tg_dtype dtype = dtype_of(a, e);
  int64_t dim[8];
  memcpy(dim, info->dim, sizeof dim);
  if (dtype == TG_E2M1 && e->stored->bits == 8) { // two codes in each byte
    if (info->rank == 0) tg_throw(ctx, TG_INVALID, "%s: tensor '%.200s' has no axis for two e2m1 codes a byte", info->file, info->name);
    if (dim[info->rank - 1] > INT64_MAX / 2) tg_throw(ctx, TG_INVALID, "%s: tensor '%.200s' is too long", info->file, info->name);
    dim[info->rank - 1] *= 2;
  }
  if (tg_array_new(ctx, dtype, info->rank, dim, a->array)) tg_rethrow(ctx);
  tg_array *array = *a->array;
  read_at(ctx, &a->c->shards[e->shard], e->at, array->data, info->bytes);
  if (dtype == TG_I1)
    for (size_t i = 0; i < array->bytes; i++) ((uint8_t *)array->data)[i] = ((uint8_t *)array->data)[i] != 0;
}

tg_status tg_checkpoint_read(tg_checkpoint *c, const char *name, tg_dtype dtype, tg_array **out) {
  *out = NULL;
  get_args a = {.c = c, .name = name, .dtype = dtype, .array = out};
  const tg_status status = tg_protect(c->ctx, read_body, &a);
  if (status && *out) {
    tg_array_free(c->ctx, *out);
    *out = NULL;
  }
  return status;
}

static void map_body(void *arg) {
  const get_args *a = arg;
  const tg_tensor_entry *e = entry_of(a);
  shard *s = &a->c->shards[e->shard];
  if (!s->map) {
    void *map = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED) tg_throw(a->c->ctx, TG_FAILED, "%s: cannot be mapped: %s", s->file, strerror(errno));
    s->map = map;
  }
  *a->data = (const char *)s->map + e->at;
  *a->bytes = e->info.bytes;
}

tg_status tg_checkpoint_map(tg_checkpoint *c, const char *name, const void **data, size_t *bytes) {
  *data = NULL;
  *bytes = 0;
  return tg_protect(c->ctx, map_body, &(get_args){.c = c, .name = name, .data = data, .bytes = bytes});
}
