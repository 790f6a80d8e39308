// The tuning database: append-only text, one JSON record a line.
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/json.h"

enum { MAX_LINE = 1 << 20, FAR = 16 /* squared doublings: a config tuned for one row does not serve a thousand */ };

void tg_db_init(tg_db *db, tg_context *ctx) {
  memset(db, 0, sizeof *db);
  tg_arena_init(&db->arena, ctx);
}

void tg_db_free(tg_db *db) {
  if (db->at) tg_realloc(db->arena.ctx, db->at, 0);
  tg_arena_free(&db->arena);
  memset(db, 0, sizeof *db);
}

// ---- reading

static const char *text_field(tg_arena *arena, const cJSON *line, const char *name, bool *ok) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
  if (!cJSON_IsString(item)) {
    *ok = false;
    return "";
  }
  return tg_arena_strdup(arena, item->valuestring);
}

static const char *optional_text(tg_arena *arena, const cJSON *line, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
  return cJSON_IsString(item) ? tg_arena_strdup(arena, item->valuestring) : "";
}

static double number_field(const cJSON *line, const char *name, double fallback) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
  return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : fallback;
}

static tg_bindings bindings_field(tg_arena *arena, const cJSON *line, const char *name, bool *ok) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
  tg_bindings read = item ? tg_doc_read_bindings(arena, item) : (tg_bindings){0};
  if (read.n < 0) *ok = false;
  return read.n < 0 ? (tg_bindings){0} : read;
}

static bool is_shape(tg_bindings shape) {
  for (int i = 0; i < shape.n; i++) {
    char *end;
    long long value = strtoll(shape.at[i].value, &end, 10);
    if (*end || end == shape.at[i].value || value < 0) return false;
  }
  return true;
}

static int clamp_int(double value, int low, int high) { return value < low ? low : value > high ? high : (int)value; }

static const char *read_record(tg_arena *arena, const cJSON *line, tg_db_record *r) {
  bool ok = true;
  if (!cJSON_IsObject(line)) return "not a JSON object";
  r->kernel = text_field(arena, line, "kernel", &ok);
  r->signature = text_field(arena, line, "signature", &ok);
  r->device = text_field(arena, line, "device", &ok);
  r->target = text_field(arena, line, "target", &ok);
  r->family = text_field(arena, line, "family", &ok);
  r->machine = text_field(arena, line, "machine", &ok);
  r->version = optional_text(arena, line, "version");
  r->lane = optional_text(arena, line, "lane");
  r->strategy = optional_text(arena, line, "strategy");
  r->statics = bindings_field(arena, line, "statics", &ok);
  r->shape = bindings_field(arena, line, "shape", &ok);
  r->settings = bindings_field(arena, line, "settings", &ok);
  r->config = bindings_field(arena, line, "config", &ok);
  r->resources = bindings_field(arena, line, "resources", &ok);
  r->seconds = number_field(line, "seconds", -1);
  r->mad = number_field(line, "mad", 0);
  r->runs = clamp_int(number_field(line, "runs", 0), 0, 1 << 30);
  r->threads = clamp_int(number_field(line, "threads", 1), 1, 1 << 20);
  r->seed = (uint64_t)fmin(fmax(number_field(line, "seed", 0), 0), 0x1p53);
  r->time = (int64_t)fmin(fmax(number_field(line, "time", 0), 0), 0x1p53);
  r->final = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(line, "final"));
  if (!ok) return "a field is missing or of the wrong type";
  if (!is_shape(r->shape) || !is_shape(r->statics)) return "the shape is not of whole numbers";
  if (!(r->seconds > 0)) return "seconds is not positive";
  return NULL;
}

static void add_record(tg_db *db, const tg_db_record *record) {
  if (db->n == db->capacity) {
    int capacity = db->capacity ? 2 * db->capacity : 64;
    db->at = tg_realloc(db->arena.ctx, db->at, sizeof *db->at * (size_t)capacity);
    db->capacity = capacity;
  }
  db->at[db->n++] = *record;
}

static const char *parse_line(tg_db *db, const char *line, size_t size) {
  if (size > MAX_LINE) return "the line is longer than 1 MiB";
  cJSON *json = cJSON_ParseWithLength(line, size);
  if (!json) return "not JSON";
  tg_db_record record = {0};
  const char *reason = read_record(&db->arena, json, &record);
  cJSON_Delete(json);
  if (!reason) add_record(db, &record);
  return reason;
}

void tg_db_parse(tg_db *db, const char *text, size_t size) {
  int number = 1;
  for (const char *line = text, *end = text + size; line < end; number++) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) stop = end;
    size_t length = (size_t)(stop - line);
    bool blank = true;
    for (size_t i = 0; i < length && blank; i++) blank = line[i] == ' ' || line[i] == '\t' || line[i] == '\r';
    const char *reason = blank ? NULL : parse_line(db, line, length);
    if (reason && !db->skipped++) {
      db->first_skipped = number;
      db->first_reason = reason;
    }
    line = stop + 1;
  }
}

static char *read_whole(tg_context *ctx, const char *file, size_t *size) {
  FILE *in = fopen(file, "rb");
  if (!in) {
    if (errno != ENOENT && errno != ENOTDIR) tg_log(ctx, TG_LOG_WARNING, "cannot read the tuning database %s: %s", file, strerror(errno));
    return NULL;
  }
  struct stat info;
  char *text = NULL;
  *size = 0;
  if (!fstat(fileno(in), &info) && S_ISREG(info.st_mode) && (text = malloc((size_t)info.st_size + 1)))
    *size = fread(text, 1, (size_t)info.st_size, in);
  else tg_log(ctx, TG_LOG_WARNING, "cannot read the tuning database %s: not a regular file", file);
  fclose(in);
  return text;
}

typedef struct parse_call {
  tg_db *db;
  const char *text;
  size_t size;
} parse_call;

static void parse_body(void *arg) {
  parse_call *c = arg;
  tg_db_parse(c->db, c->text, c->size);
}

void tg_db_read(tg_db *db, tg_context *ctx, const char *file) {
  size_t size;
  char *text = read_whole(ctx, file, &size);
  if (!text) return;
  int before = db->skipped;
  tg_status status = tg_protect(ctx, parse_body, &(parse_call){db, text, size});
  free(text);
  if (status != TG_OK) tg_rethrow(ctx);
  if (db->skipped > before)
    tg_log(ctx, TG_LOG_WARNING, "%s:%d: skipped %d line%s of the tuning database: %s", file, db->first_skipped, db->skipped - before,
           db->skipped - before == 1 ? "" : "s", db->first_reason);
}

// ---- writing

char *tg_db_line(tg_arena *arena, const tg_db_record *r, size_t *size) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "{");
  tg_json_put_string(&text, "kernel", r->kernel);
  tg_json_put_string(&text, "signature", r->signature);
  tg_json_put_string(&text, "device", r->device);
  tg_json_put_string(&text, "target", r->target);
  tg_json_put_string(&text, "family", r->family);
  tg_json_put_string(&text, "machine", r->machine);
  tg_json_put_bindings(&text, "statics", r->statics);
  tg_json_put_bindings(&text, "shape", r->shape);
  tg_json_put_bindings(&text, "settings", r->settings);
  tg_json_put_bindings(&text, "config", r->config);
  if (r->resources.n) tg_json_put_bindings(&text, "resources", r->resources);
  tg_json_put_int(&text, "threads", r->threads);
  tg_json_put_number(&text, "seconds", r->seconds);
  tg_json_put_number(&text, "mad", r->mad);
  tg_json_put_int(&text, "runs", r->runs);
  tg_json_put_bool(&text, "final", r->final);
  tg_json_put_string(&text, "strategy", r->strategy);
  tg_json_key(&text, "seed");
  tg_text_add(&text, "%llu", (unsigned long long)r->seed);
  tg_json_put_string(&text, "lane", r->lane);
  tg_json_put_string(&text, "version", r->version);
  tg_json_put_int(&text, "time", r->time);
  tg_text_add(&text, "}\n");
  *size = text.size;
  return text.data;
}

static int open_to_append(const char *file) {
  int fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 && errno == ENOENT) {
    tg_make_parents(file);
    fd = open(file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  }
  return fd;
}

void tg_db_writable(tg_context *ctx, const char *file) {
  int fd = open_to_append(file);
  if (fd < 0)
    tg_throw(ctx, TG_INVALID, "cannot write the tuning database %s: %s; name another file in TEGULA_DATABASE", file, strerror(errno));
  close(fd);
}

// With the lock held: text in one write; on failure the file gets its old length back. Returns 0 or an errno.
static int append_locked(int fd, const char *text, size_t size) {
  struct stat info;
  char last = '\n';
  if (fstat(fd, &info)) return errno;
  if (info.st_size > 0 && pread(fd, &last, 1, info.st_size - 1) != 1) return errno ? errno : EIO;
  char *whole = malloc(size + 1);
  if (!whole) return ENOMEM;
  size_t n = 0;
  if (last != '\n') whole[n++] = '\n'; // an earlier writer was cut off: its line must not swallow ours
  memcpy(whole + n, text, size);
  n += size;
  ssize_t written = write(fd, whole, n);
  int error = written < 0 ? errno : written != (ssize_t)n ? ENOSPC : 0;
  free(whole);
  if (error && ftruncate(fd, info.st_size)) return error;
  return error;
}

void tg_db_append(tg_context *ctx, const char *file, const char *text, size_t size) {
  int fd = open_to_append(file);
  if (fd < 0) tg_throw(ctx, TG_FAILED, "cannot write the tuning database %s: %s", file, strerror(errno));
  while (flock(fd, LOCK_EX) && errno == EINTR) continue;
  errno = 0;
  int error = append_locked(fd, text, size);
  close(fd); // lets go of the lock
  if (error) tg_throw(ctx, TG_FAILED, "cannot append to the tuning database %s: %s", file, strerror(error));
}

static bool ends_in_hash(const char *text) { return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16; }

void tg_db_expire_journals(const char *file, double age) {
  const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
  char *directory = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
  DIR *in = directory ? opendir(directory) : NULL;
  size_t n = strlen(base);
  for (struct dirent *entry; in && (entry = readdir(in));) {
    const char *name = entry->d_name;
    struct stat info;
    if (strncmp(name, base, n) || strncmp(name + n, ".run-", 5) || !ends_in_hash(name + n + 5)) continue;
    if (fstatat(dirfd(in), name, &info, AT_SYMLINK_NOFOLLOW) || !S_ISREG(info.st_mode)) continue;
    if (difftime(time(NULL), info.st_mtime) > age) unlinkat(dirfd(in), name, 0);
  }
  if (in) closedir(in);
  free(directory);
}

// ---- looking up

// Squared doublings over the letters; INFINITY when they name unlike letters.
static double distance_of(tg_bindings a, tg_bindings b) {
  double sum = 0;
  if (a.n != b.n) return INFINITY;
  for (int i = 0; i < a.n; i++) {
    const char *other = tg_binding_get(b, a.at[i].name);
    if (!other) return INFINITY;
    double step = log2(((double)strtoll(a.at[i].value, NULL, 10) + 1) / ((double)strtoll(other, NULL, 10) + 1));
    sum += step * step;
  }
  return sum;
}

typedef struct rank { // smaller is better, field by field
  int level;
  double distance;
  int layer, threads, provisional, old;
  int64_t age;  // negated time of this machine's final records: a run measures what it replaces, so the newest knows best
  int position; // of such a record, negated: of one second's the later line is the newer
  double seconds;
} rank;

static bool better(const rank *a, const rank *b) {
  if (a->level != b->level) return a->level < b->level;
  if (a->distance != b->distance) return a->distance < b->distance;
  if (a->layer != b->layer) return a->layer < b->layer;
  if (a->threads != b->threads) return a->threads < b->threads;
  if (a->provisional != b->provisional) return a->provisional < b->provisional;
  if (a->old != b->old) return a->old < b->old;
  if (a->age != b->age) return a->age < b->age;
  if (a->position != b->position) return a->position < b->position;
  return a->seconds < b->seconds;
}

static bool rank_record(const tg_db_record *r, const tg_db_query *q, int layer, int position, rank *out) {
  if (strcmp(r->kernel, q->kernel) || strcmp(r->signature, q->signature) || strcmp(r->family, q->family)) return false;
  if (!tg_bindings_equal(r->statics, q->statics) || !tg_bindings_equal(r->settings, q->settings)) return false;
  double distance = distance_of(r->shape, q->shape);
  if (!(distance <= FAR)) return false;
  // A processor's name does not say which extensions it offers: a hypervisor may hide some.
  // Nor does a device's number matter: of several alike what one was tuned for serves the others.
  bool target = !strcmp(r->target, q->target), here = target && !strcmp(r->machine, q->machine);
  *out = (rank){.level = here     ? (distance == 0 ? TG_DB_EXACT : TG_DB_NEAREST)
                         : target ? TG_DB_MACHINE
                                  : TG_DB_FAMILY,
                .distance = distance,
                .layer = layer,
                .threads = abs(r->threads - q->threads),
                .provisional = !r->final,
                .old = strcmp(r->version, TG_VERSION) != 0,
                .age = here && r->final ? -r->time : 0,
                .position = here && r->final ? -position : 0,
                .seconds = r->seconds};
  return true;
}

const tg_db_record *tg_db_find(int ndbs, const tg_db *dbs, const tg_db_query *query, tg_db_level *level) {
  const tg_db_record *best = NULL;
  rank best_rank = {.level = TG_DB_MISS};
  for (int d = 0; d < ndbs; d++) {
    for (int i = 0; i < dbs[d].n; i++) {
      rank here;
      if (!rank_record(&dbs[d].at[i], query, d, i, &here) || (best && !better(&here, &best_rank))) continue;
      if (query->accept && !query->accept(query->user, dbs[d].at[i].config)) continue;
      best = &dbs[d].at[i];
      best_rank = here;
    }
  }
  *level = (tg_db_level)best_rank.level;
  return best;
}
