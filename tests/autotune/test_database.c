// The database: what goes in comes out, junk is skipped and named, many writers lose nothing, `cat` merges, lookups degrade as documented.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

static char warnings[4096];
static void keep_log(void *user, tg_log_level level, const char *text) {
  (void)user;
  size_t used = strlen(warnings);
  if (level == TG_LOG_WARNING) snprintf(warnings + used, sizeof warnings - used, "%s\n", text);
}

static tg_context *ctx;
static char directory[] = "/tmp/tegula-database-XXXXXX", file[128], other[128];

static tg_bindings shape_of(tg_arena *arena, int m, int n) {
  tg_binding *at = TG_NEWN(arena, tg_binding, 2);
  at[0] = (tg_binding){"M", tg_arena_printf(arena, "%d", m)};
  at[1] = (tg_binding){"N", tg_arena_printf(arena, "%d", n)};
  return (tg_bindings){2, at};
}

static tg_db_record record_of(tg_arena *arena, const char *machine, const char *target, int m, int n, const char *bm, double seconds) {
  tg_binding *config = TG_NEWN(arena, tg_binding, 2);
  config[0] = (tg_binding){"BM", bm};
  config[1] = (tg_binding){"mode", "a \"quoted\"\\ \n text"};
  return (tg_db_record){.kernel = "gemm",
                        .signature = "0123",
                        .device = "cpu",
                        .target = target,
                        .family = "cpu",
                        .machine = machine,
                        .version = TG_VERSION,
                        .lane = "ff",
                        .strategy = "random",
                        .shape = shape_of(arena, m, n),
                        .config = {2, config},
                        .threads = 2,
                        .runs = 7,
                        .final = true,
                        .seconds = seconds,
                        .mad = 1e-6,
                        .seed = 5,
                        .time = 1700000000};
}

static void append(const tg_db_record *record) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  size_t size;
  char *line = tg_db_line(&arena, record, &size);
  tg_db_append(ctx, file, line, size);
  tg_arena_free(&arena);
}

static void test_round_trip(tg_arena *arena) {
  tg_db_record in = record_of(arena, "box", "cpu:avx2", 64, 7168, "64", 1.25e-4);
  const tg_binding resources[] = {{"registers", "128"}, {"spilled_bytes", "0"}};
  in.resources = (tg_bindings){2, resources};
  append(&in);
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, file);
  CHECK(db.n == 1 && db.skipped == 0);
  const tg_db_record *out = &db.at[0];
  CHECK_STR(out->kernel, "gemm");
  CHECK_STR(out->machine, "box");
  CHECK(tg_bindings_equal(out->shape, in.shape) && tg_bindings_equal(out->config, in.config));
  CHECK(tg_bindings_equal(out->resources, in.resources));
  CHECK(out->seconds == in.seconds && out->mad == in.mad && out->runs == 7 && out->threads == 2 && out->final && out->seed == 5 &&
        out->time == in.time);
  tg_db_free(&db);
}

static void test_junk(tg_arena *arena) {
  FILE *out = fopen(file, "w");
  fputs("{\"kernel\":\"other\",\"someone\":\"else's\"}\n\n[1,2]\nnot json\n{\"kernel\":", out);
  fclose(out);
  tg_db_record record = record_of(arena, "box", "cpu:avx2", 64, 7168, "64", 1e-4);
  append(&record); // after a torn line
  out = fopen(file, "a");
  const char *const shapes[] = {"{\"M\":-1}", "{\"M\":1,\"M\":2}", "{\"M\":[1]}", "7"}; // negative, named twice, not numbers
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    fprintf(out,
            "{\"kernel\":\"gemm\",\"signature\":\"0123\",\"device\":\"cpu\",\"target\":\"cpu:avx2\",\"family\":\"cpu\",\"machine\":\"box\","
            "\"shape\":%s,\"config\":{},\"seconds\":1}\n",
            shapes[i]);
  fclose(out);
  warnings[0] = 0;
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, file);
  CHECKF(db.n == 1 && db.skipped == 8, "%d records, %d skipped", db.n, db.skipped);
  char want[256];
  snprintf(want, sizeof want, "%s:1: skipped 8 lines", file);
  CHECKF(strstr(warnings, want) && strchr(warnings, '\n') == warnings + strlen(warnings) - 1, "%s", warnings); // one warning
  tg_db_free(&db);
}

// Several processes append at once; every record arrives whole.
static void test_writers(tg_arena *arena) {
  enum { WRITERS = 4, EACH = 200 };
  unlink(file);
  for (int w = 0; w < WRITERS; w++) {
    if (fork()) continue;
    for (int i = 0; i < EACH; i++) {
      tg_db_record record =
          record_of(arena, w % 2 ? "a machine with a rather longer name than the other" : "box", "cpu:avx2", w + 1, i + 1, "64", 1e-4);
      append(&record);
    }
    _exit(0);
  }
  for (int w = 0; w < WRITERS; w++) {
    int status;
    wait(&status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, file);
  CHECKF(db.n == WRITERS * EACH && !db.skipped, "%d records, %d skipped", db.n, db.skipped);
  bool seen[WRITERS][EACH] = {{false}};
  for (int i = 0; i < db.n; i++) seen[atoi(tg_binding_get(db.at[i].shape, "M")) - 1][atoi(tg_binding_get(db.at[i].shape, "N")) - 1] = true;
  for (int i = 0; i < WRITERS * EACH; i++) CHECK(seen[i / EACH][i % EACH]);
  tg_db_free(&db);
}

static void test_merge(tg_arena *arena) {
  unlink(file);
  tg_db_record record = record_of(arena, "box", "cpu:avx2", 1, 1, "1", 1e-4);
  append(&record);
  rename(file, other);
  record = record_of(arena, "box", "cpu:avx2", 2, 2, "2", 1e-4);
  append(&record);
  char command[400];
  snprintf(command, sizeof command, "cat %s >> %s", other, file);
  CHECK(system(command) == 0);
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, file);
  CHECK(db.n == 2 && !db.skipped);
  tg_db_free(&db);
}

static bool not_64(void *user, tg_bindings config) {
  (void)user;
  return strcmp(tg_binding_get(config, "BM"), "64") != 0;
}

static void expect(tg_arena *arena, const tg_db *db, const char *machine, const char *target, int m, bool (*accept)(void *, tg_bindings),
                   tg_db_level level, const char *bm) {
  tg_db_query query = {.kernel = "gemm",
                       .signature = "0123",
                       .device = "cpu",
                       .target = target,
                       .family = "cpu",
                       .machine = machine,
                       .shape = shape_of(arena, m, 7168),
                       .threads = 2,
                       .accept = accept};
  tg_db_level got;
  const tg_db_record *record = tg_db_find(1, db, &query, &got);
  CHECKF(got == level, "M=%d on %s: level %d, want %d", m, machine, got, level);
  CHECK(!!record == !!bm);
  if (record && bm) CHECK_STR(tg_binding_get(record->config, "BM"), bm);
}

static void test_lookup(tg_arena *arena) {
  unlink(file);
  const struct {
    const char *machine, *target;
    int m;
    const char *bm;
    double seconds;
    int age;
  } rows[] = {{"box", "cpu:avx2", 64, "64", 1e-4, 0},       {"box", "cpu:avx2", 64, "32", 2e-4, 0}, // one second, two lines
              {"box", "cpu:avx2", 64, "16", 1e-6, 1},    // a lucky time, or of code that was generated otherwise
              {"rack", "cpu:avx2", 128, "256", 1e-5, 1}, // on another machine the fastest counts
              {"box", "cpu:avx2", 1, "1", 1e-5, 0},         {"rack", "cpu:avx2", 128, "128", 1e-4, 0},
              {"phone", "cpu:generic", 256, "256", 1e-3, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    tg_db_record record = record_of(arena, rows[i].machine, rows[i].target, rows[i].m, 7168, rows[i].bm, rows[i].seconds);
    record.time -= rows[i].age;
    append(&record);
  }
  tg_db_record provisional = record_of(arena, "box", "cpu:avx2", 64, 7168, "8", 1e-9);
  provisional.final = false;
  append(&provisional);
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, file);
  expect(arena, &db, "box", "cpu:avx2", 64, NULL, TG_DB_EXACT, "32"); // the later of the newest final ones
  expect(arena, &db, "box", "cpu:avx2", 3, NULL, TG_DB_NEAREST, "1"); // log2(4/2) = 1 < log2(65/4)
  expect(arena, &db, "box", "cpu:avx2", 40, NULL, TG_DB_NEAREST, "32");
  expect(arena, &db, "box", "cpu:avx2", 200, NULL, TG_DB_NEAREST, "32"); // this machine before others that are nearer
  expect(arena, &db, "box", "cpu:avx2", 100000, NULL, TG_DB_MISS, NULL); // nothing within a factor of 16
  expect(arena, &db, "desk", "cpu:avx2", 128, NULL, TG_DB_MACHINE, "256");
  expect(arena, &db, "rack", "cpu:avx2", 128, NULL, TG_DB_EXACT, "128");
  expect(arena, &db, "phone", "cpu:avx2", 256, NULL, TG_DB_MACHINE, "256"); // its own record is for code that it does not get here
  expect(arena, &db, "desk", "cpu:avx512", 256, NULL, TG_DB_FAMILY, "256");
  expect(arena, &db, "rack", "cpu:avx2", 64, not_64, TG_DB_NEAREST, "128");
  tg_db_query query = {.kernel = "gemm",
                       .signature = "changed",
                       .device = "cpu",
                       .target = "cpu:avx2",
                       .family = "cpu",
                       .machine = "box",
                       .shape = shape_of(arena, 64, 7168)};
  tg_db_level level;
  CHECK(!tg_db_find(1, &db, &query, &level) && level == TG_DB_MISS); // other declarations
  query.signature = "0123";
  query.settings = (tg_bindings){1, (tg_binding[]){{"packed", "1"}}};
  CHECK(!tg_db_find(1, &db, &query, &level)); // other options
  tg_db_free(&db);
}

// A disk that is full: the write fails, the file is as it was.
static void test_full_disk(tg_arena *arena) {
  struct stat before, after;
  stat(file, &before);
  pid_t child = fork();
  if (!child) {
    struct rlimit limit = {(rlim_t)before.st_size + 20, (rlim_t)before.st_size + 20};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    tg_arena child_arena;
    tg_arena_init(&child_arena, ctx);
    tg_db_record record = record_of(arena, "box", "cpu:avx2", 64, 7168, "64", 1e-4);
    size_t size;
    struct {
      char *line;
      size_t size;
    } a = {tg_db_line(&child_arena, &record, &size), size};
    tg_frame frame = {.outer = ctx->frame};
    ctx->frame = &frame;
    if (setjmp(frame.jump)) _exit(strstr(ctx->message, file) ? 7 : 8);
    tg_db_append(ctx, file, a.line, a.size);
    _exit(9);
  }
  int status;
  waitpid(child, &status, 0);
  stat(file, &after);
  CHECKF(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", status);
  CHECK(before.st_size == after.st_size);
}

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  snprintf(file, sizeof file, "%s/deep/er/tuned.jsonl", directory);
  snprintf(other, sizeof other, "%s/deep/er/other.jsonl", directory);
  CHECK(tg_context_new(&(tg_config){.log = keep_log, .cache_dir = directory}, &ctx) == TG_OK);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  test_round_trip(&arena);
  test_junk(&arena);
  test_writers(&arena);
  test_merge(&arena);
  test_lookup(&arena);
  test_full_disk(&arena);
  tg_db none;
  tg_db_init(&none, ctx);
  tg_db_read(&none, ctx, "/nonexistent/tuned.jsonl");
  CHECK(none.n == 0);
  tg_db_free(&none);
  tg_arena_free(&arena);
  tg_context_free(ctx);
  unlink(file);
  unlink(other);
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
