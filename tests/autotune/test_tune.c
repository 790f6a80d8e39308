// The tuner on the host's own processor, through the worker program: two tuners on one database, a run killed from outside, bench from the
// database; what it leaves out on a GPU.
#include <cjson/cJSON.h>
#include <glob.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

static char directory[] = "/tmp/tegula-tune-XXXXXX", database[128], worker[128] = BUILD_DIR "/tegula-worker";
static const tg_binding shape_at[] = {{"M", "5"}, {"N", "96"}, {"K", "272"}};
static const tg_bindings shape = {3, shape_at};

static tg_context *context_new(void) {
  tg_context *ctx;
  CHECK(tg_context_new(&(tg_config){.root = ROOT_DIR, .cache_dir = directory, .database = database, .worker = worker}, &ctx) == TG_OK);
  return ctx;
}

static cJSON *tune_on(tg_context *ctx, const char *device, const char *kernel, uint64_t seed, int trials) {
  tg_source *source;
  char *text = NULL;
  CHECK(tg_source_load(ctx, kernel, &source) == TG_OK);
  tg_tune_options options = {.device = device, .shape = shape, .threads = 2, .seed = seed, .trials = trials};
  tg_status status = tg_tune(ctx, source, &options, &text);
  CHECKF(status == TG_OK, "%s: %s", kernel, tg_error_message(ctx));
  cJSON *json = text ? cJSON_Parse(text) : NULL;
  tg_string_free(ctx, text);
  tg_source_free(source);
  return json;
}

static cJSON *tune(tg_context *ctx, const char *kernel, uint64_t seed, int trials) { return tune_on(ctx, "cpu", kernel, seed, trials); }

static int evaluated(const cJSON *json) { return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "evaluated")); }

static void expect_all_right(const cJSON *json) {
  const cJSON *item;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "evaluated")) {
    char *text = cJSON_PrintUnformatted(item);
    CHECKF(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "ok")), "%s", text);
    free(text);
  }
}

static void test_two_tuners(void) {
  pid_t child = fork();
  if (!child) {
    tg_context *ctx = context_new();
    cJSON *json = tune(ctx, "gemm_fp8", 1, 6);
    bool good = evaluated(json) == 6;
    cJSON_Delete(json);
    tg_context_free(ctx);
    _exit(good && !test_failures ? 0 : 1);
  }
  tg_context *ctx = context_new();
  cJSON *json = tune(ctx, "gemm_fp8", 2, 6);
  CHECK(evaluated(json) == 6);
  expect_all_right(json);
  cJSON_Delete(json);
  int status;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, database);
  int finals = 0;
  for (int i = 0; i < db.n; i++) finals += db.at[i].final;
  CHECKF(finals == 2 && !db.skipped, "%d final records, %d skipped lines", finals, db.skipped);
  for (int i = 0; i < db.n; i++) CHECK(strlen(db.at[i].lane) == 16);
  tg_db_free(&db);
  tg_context_free(ctx);
}

static void test_bench_uses_it(void) {
  tg_context *ctx = context_new();
  tg_source *source;
  char *text = NULL;
  CHECK(tg_source_load(ctx, "gemm_fp8", &source) == TG_OK);
  CHECK(tg_bench(ctx, source, &(tg_bench_options){.device = "cpu", .shape = shape, .threads = 2, .runs = 3}, &text) == TG_OK);
  CHECKF(text && strstr(text, "\"config_source\":\"database\""), "%s", text);
  tg_string_free(ctx, text);
  tg_source_free(source);
  tg_context_free(ctx);
}

// A knob's value that the lowering does not offer is passed over for the next best record, not for the default config.
static void append_odd_body(void *arg) {
  tg_context *ctx = arg;
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, database);
  CHECK(db.n > 0);
  for (int k = 0; k < 2 && db.n; k++) {
    tg_db_record record = db.at[db.n - 1];
    tg_binding at[16];
    CHECK(record.config.n <= 16 && tg_binding_get(record.config, "kc"));
    for (int i = 0; i < record.config.n; i++) {
      at[i] = record.config.at[i];
      if (!strcmp(at[i].name, "kc")) at[i].value = k ? "7777" : "7776";
    }
    record.config.at = at;
    record.final = true;
    record.seconds *= 0.1;
    size_t size;
    const char *line = tg_db_line(&db.arena, &record, &size);
    tg_db_append(ctx, database, line, size);
  }
  tg_db_free(&db);
}

static void test_odd_knobs(void) {
  tg_context *ctx = context_new();
  CHECK(tg_protect(ctx, append_odd_body, ctx) == TG_OK);
  tg_context_free(ctx);
  test_bench_uses_it();
}

// Values that are not worth a trial of their own are taken when the user pins them; others are refused by a message with all that are.
static void test_pinned(void) {
  tg_context *ctx = context_new();
  const char *const values[] = {"0", "1", "2"};
  tg_source *source;
  CHECK(tg_source_load(ctx, "gemm_fp8", &source) == TG_OK);
  for (int i = 0; i < 3; i++) {
    char *text = NULL, want[32];
    tg_tune_options options = {.device = "cpu", .shape = shape, .threads = 1, .trials = 1};
    options.settings = (tg_bindings){1, &(tg_binding){"dot2", values[i]}};
    tg_status status = tg_tune(ctx, source, &options, &text);
    snprintf(want, sizeof want, "\"dot2\":%s", values[i]);
    if (i < 2) CHECKF(status == TG_OK && text && strstr(text, want), "dot2=%s: %s", values[i], text ? text : tg_error_message(ctx));
    else CHECKF(status == TG_INVALID && strstr(tg_error_message(ctx), "one of "), "%s", tg_error_message(ctx));
    tg_string_free(ctx, text);
  }
  tg_source_free(source);
  tg_context_free(ctx);
}

// A time too good to be true, from luck or from code that was generated otherwise, is in force until the next run, which measures it again.
static void append_lucky_body(void *arg) {
  tg_context *ctx = arg;
  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, database);
  CHECK(db.n > 0);
  for (int i = 0; i < db.n; i++) {
    tg_db_record record = db.at[i];
    if (!record.final || record.threads != 2 || strcmp(record.kernel, "gemm_fp8")) continue;
    record.seconds = 1e-9;
    record.time = 1;
    size_t size;
    const char *line = tg_db_line(&db.arena, &record, &size);
    unlink(database);
    tg_db_append(ctx, database, line, size);
    break;
  }
  tg_db_free(&db);
}

typedef struct looked_up {
  tg_context *ctx;
  tg_arena arena;
  double seconds;
  int64_t time;
} looked_up;

static void look_up_body(void *arg) {
  looked_up *l = arg;
  tg_source *source;
  tg_subject subject;
  tg_db_level level;
  CHECK(tg_source_load(l->ctx, "gemm_fp8", &source) == TG_OK);
  tg_subject_make(l->ctx, &l->arena, source, &(tg_request){.shape = shape, .threads = 2}, &subject);
  const tg_db_record *record = tg_subject_lookup(l->ctx, &l->arena, &subject, &level);
  CHECK(record && level == TG_DB_EXACT);
  if (record) l->seconds = record->seconds, l->time = record->time;
  tg_source_free(source);
}

static looked_up look_up(void) {
  looked_up l = {.ctx = context_new()};
  tg_arena_init(&l.arena, l.ctx);
  CHECK(tg_protect(l.ctx, look_up_body, &l) == TG_OK);
  tg_arena_free(&l.arena);
  tg_context_free(l.ctx);
  return l;
}

static void same_signature_body(void *arg) {
  looked_up *l = arg;
  tg_source *source;
  tg_subject free_, pinned;
  CHECK(tg_source_load(l->ctx, "mla_decode", &source) == TG_OK);
  tg_bindings set = {1, &(tg_binding){"splits", "8"}};
  tg_subject_make(l->ctx, &l->arena, source, &(tg_request){.partial = true, .threads = 2}, &free_);
  tg_subject_make(l->ctx, &l->arena, source, &(tg_request){.settings = set, .partial = true, .threads = 2}, &pinned);
  CHECK_STR(pinned.hash, free_.hash);
  tg_source_free(source);
}

// A meta-parameter that workspaces are sized by may be pinned: what is found then serves where it is not.
static void test_pinned_signature(void) {
  looked_up l = {.ctx = context_new()};
  tg_arena_init(&l.arena, l.ctx);
  CHECK(tg_protect(l.ctx, same_signature_body, &l) == TG_OK);
  tg_arena_free(&l.arena);
  tg_context_free(l.ctx);
}

static void test_lucky_record(void) {
  tg_context *ctx = context_new();
  CHECK(tg_protect(ctx, append_lucky_body, ctx) == TG_OK);
  tg_context_free(ctx);
  CHECK(look_up().seconds == 1e-9);
  ctx = context_new();
  cJSON_Delete(tune(ctx, "gemm_fp8", 9, 2));
  tg_context_free(ctx);
  looked_up now = look_up();
  CHECKF(now.seconds > 1e-7 && now.time > 1, "in force: %g s of %lld", now.seconds, (long long)now.time);
}

static int lines_of(const char *path) {
  FILE *f = fopen(path, "r");
  if (!f) return 0;
  int lines = 0;
  for (int c; (c = getc(f)) != EOF;) lines += c == '\n';
  fclose(f);
  return lines;
}

static int journal_lines(void) {
  char pattern[256];
  glob_t found;
  int lines = 0;
  snprintf(pattern, sizeof pattern, "%s.run-*", database);
  if (glob(pattern, 0, NULL, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; i++) lines += lines_of(found.gl_pathv[i]);
  globfree(&found);
  return lines;
}

// Starts a run and kills it; returns the lines of its journal. The whole run may take only some tenths of a second: look often.
static int kill_one(void) {
  pid_t child = fork();
  if (!child) {
    tg_context *ctx = context_new();
    tune(ctx, "gemm_f32", 3, 16);
    _exit(0);
  }
  for (int i = 0; i < 60000 && journal_lines() < 4; i++) usleep(500);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  int lines = journal_lines();
  CHECKF(lines >= 4 && lines <= 16, "%d", lines);
  return lines;
}

static void expect_journal_after_tune(int lines) {
  tg_context *ctx = context_new();
  cJSON *json = tune(ctx, "gemm_f32", 3, 16);
  CHECK(evaluated(json) == 16);
  CHECKF(journal_lines() == lines, "%d lines of journal left, not %d", journal_lines(), lines);
  expect_all_right(json);
  cJSON_Delete(json);
  tg_context_free(ctx);
}

static void test_killed(void) {
  kill_one();
  expect_journal_after_tune(0);
}

// The journal of a run whose worker has been built anew since is left alone.
static void test_rebuilt(void) {
  char command[400];
  snprintf(worker, sizeof worker, "%s/tegula-worker", directory);
  snprintf(command, sizeof command, "cp -p '%s/tegula-worker' '%s'", BUILD_DIR, worker);
  CHECK(system(command) == 0);
  int lines = kill_one();
  snprintf(command, sizeof command, "touch -d '2001-01-01' '%s'", worker);
  CHECK(system(command) == 0);
  expect_journal_after_tune(lines);
}

static bool write_file(const char *name, int days) {
  char path[400], command[1000];
  snprintf(path, sizeof path, "%s%s", database, name);
  snprintf(command, sizeof command, "echo '{}' > '%s' && touch -d '%d days ago' '%s'", path, days, path);
  return system(command) == 0;
}

static bool is_there(const char *name) {
  char path[400];
  snprintf(path, sizeof path, "%s%s", database, name);
  return access(path, F_OK) == 0;
}

// Journals that no run has taken up for a week go; younger ones, and files that only look like journals, stay.
static void test_dead_journals(void) {
  CHECK(write_file(".run-0123456789abcdef", 9) && write_file(".run-1123456789abcdef", 5));
  CHECK(write_file(".run-0123456789abcde", 9) && write_file(".run-0123456789abcdef.txt", 9) && write_file("2.run-0123456789abcdef", 9));
  tg_context *ctx = context_new();
  cJSON_Delete(tune(ctx, "gemm_f32", 3, 2));
  tg_context_free(ctx);
  CHECK(!is_there(".run-0123456789abcdef") && is_there(".run-1123456789abcdef"));
  CHECK(is_there(".run-0123456789abcde") && is_there(".run-0123456789abcdef.txt") && is_there("2.run-0123456789abcdef"));
  CHECK(is_there("")); // the database itself
}

// The document says how many configs a GPU has no room for, and why.
static void test_left_out(void) {
  tg_context *ctx = context_new();
  cJSON *json = tune_on(ctx, "sim:sm_80", "gemm_fp8", 1, 1);
  const cJSON *space = cJSON_GetObjectItemCaseSensitive(json, "space"), *item;
  const double configs = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(space, "configs"));
  const double pruned = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(space, "pruned"));
  double sum = 0;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(space, "reasons")) {
    const char *reason = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "reason"));
    CHECKF(reason && (strstr(reason, "registers") || strstr(reason, "too large")), "%s", reason);
    sum += cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(item, "configs"));
  }
  CHECKF(configs > 0 && pruned > 0, "%g and %g", configs, pruned);
  CHECKF(sum > 0 && sum <= pruned, "%g of %g", sum, pruned);
  cJSON_Delete(json);
  tg_context_free(ctx);
}

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  snprintf(database, sizeof database, "%s/tuning.jsonl", directory);
  test_two_tuners();
  test_bench_uses_it();
  test_odd_knobs();
  test_pinned_signature();
  test_lucky_record();
  test_pinned();
  test_killed();
  test_rebuilt();
  test_dead_journals();
  test_left_out();
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
