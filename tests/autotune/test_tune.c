// The tuner on the host's own processor, through the worker program: two tuners on one database, a run killed from outside, bench from the
// database.
#include <cjson/cJSON.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

static char directory[] = "/tmp/tegula-tune-XXXXXX", database[128];
static const tg_binding shape_at[] = {{"M", "5"}, {"N", "96"}, {"K", "272"}};
static const tg_bindings shape = {3, shape_at};

static tg_context *context_new(void) {
  tg_context *ctx;
  CHECK(tg_context_new(&(tg_config){.root = ROOT_DIR, .cache_dir = directory, .database = database, .worker = BUILD_DIR "/tegula-worker"},
                       &ctx) == TG_OK);
  return ctx;
}

static cJSON *tune(tg_context *ctx, const char *kernel, uint64_t seed, int trials) {
  tg_source *source;
  char *text = NULL;
  CHECK(tg_source_load(ctx, kernel, &source) == TG_OK);
  tg_tune_options options = {.device = "cpu", .shape = shape, .threads = 2, .seed = seed, .trials = trials};
  tg_status status = tg_tune(ctx, source, &options, &text);
  CHECKF(status == TG_OK, "%s: %s", kernel, tg_error_message(ctx));
  cJSON *json = text ? cJSON_Parse(text) : NULL;
  tg_string_free(ctx, text);
  tg_source_free(source);
  return json;
}

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

static int journal_lines(void) {
  char command[256], line[64] = "0";
  snprintf(command, sizeof command, "cat %s.run-* 2>/dev/null | wc -l", database);
  FILE *pipe = popen(command, "r");
  if (!fgets(line, sizeof line, pipe)) line[0] = 0;
  pclose(pipe);
  return atoi(line);
}

static void test_killed(void) {
  pid_t child = fork();
  if (!child) {
    tg_context *ctx = context_new();
    tune(ctx, "gemm_f32", 3, 16);
    _exit(0);
  }
  for (int i = 0; i < 600 && journal_lines() < 4; i++) usleep(50000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  int before = journal_lines();
  CHECKF(before >= 4 && before <= 16, "%d", before);
  tg_context *ctx = context_new();
  cJSON *json = tune(ctx, "gemm_f32", 3, 16);
  CHECK(evaluated(json) == 16 && journal_lines() == 0);
  expect_all_right(json);
  cJSON_Delete(json);
  tg_context_free(ctx);
}

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  snprintf(database, sizeof database, "%s/tuning.jsonl", directory);
  test_two_tuners();
  test_bench_uses_it();
  test_killed();
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
