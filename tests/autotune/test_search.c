// A tuning run against a made-up device: this program starts itself again as the measuring process, whose candidates crash, hang, eat the
// memory, fail to compile and compute wrong numbers. Each costs itself alone; a run that is killed resumes.
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

// ---- the made-up device: one letter `x` of a config decides its fate

typedef struct fake {
  tg_context *ctx;
  int x, y;
  const char *log; // names every config that is prepared
  int times[64];   // that x = 9 was prepared, by y
  int runs;        // since it was prepared
} fake;

static int value_of(tg_bindings config, const char *name) { return atoi(tg_binding_get(config, name)); }

static void *fake_open(tg_context *ctx, const tg_setup *setup) {
  if (!strcmp(setup->source, "refused")) tg_throw(ctx, TG_INVALID, "no such kernel");
  fake *f = TG_NEW(&ctx->arena, fake);
  *f = (fake){.ctx = ctx, .log = tg_binding_get(setup->settings, "log")};
  CHECK(setup->threads == 3 && setup->seed == UINT64_MAX && !strcmp(tg_binding_get(setup->shape, "M"), "64"));
  return f;
}

static uint64_t fake_lane(void *state, tg_bindings config) {
  (void)state;
  int x = value_of(config, "x"), y = value_of(config, "y");
  return x == 4 && y == 2 ? 1041 : (uint64_t)(1000 + 10 * x + y); // (4, 2) is the same code as (4, 1)
}

static double fake_prepare(void *state, tg_bindings config) {
  fake *f = state;
  f->x = value_of(config, "x");
  f->y = value_of(config, "y");
  f->runs = 0;
  if (f->x == 9) f->times[f->y]++;
  if (f->log) {
    int fd = open(f->log, O_WRONLY | O_APPEND | O_CREAT, 0666);
    char line[32];
    int n = snprintf(line, sizeof line, "%d %d\n", f->x, f->y);
    CHECK(write(fd, line, (size_t)n) == n);
    close(fd);
  }
  if (f->x == 7) tg_throw(f->ctx, TG_INVALID, "a \"tile\" of 7 is not\npossible");
  return 0.25;
}

// Some candidates leave a process behind that would live on; it holds a pipe open and says so by one byte.
static void leave_child(const fake *f) {
  char path[160];
  snprintf(path, sizeof path, "%s/children", f->ctx->config.cache_dir);
  int fd = open(path, O_WRONLY);
  CHECK(fd >= 0 && write(fd, "c", 1) == 1);
  pid_t child = fork();
  if (!child) {
    if (f->y % 2) close(TG_MEASURE_FD); // with it open, the end of the measuring process does not close the connection
    alarm(20);                          // whatever fails, it does not stay
    for (;;) pause();
  }
  CHECK(child > 0);
  close(fd);
}

static void fake_run(void *state, int repeat, double *seconds) {
  fake *f = state;
  if (f->x == 8 && f->y >= 10) {
    leave_child(f);
    if (f->y <= 11) signal(SIGSEGV, SIG_DFL), raise(SIGSEGV);
    if (f->y <= 13) _exit(9);
    if (f->y <= 15)
      for (;;) pause();
  }
  if (f->x == 3 && f->y == 1) signal(SIGSEGV, SIG_DFL), raise(SIGSEGV);
  if (f->x == 3 && f->y == 2) _exit(5);
  if (f->x == 5 && f->y == 1)
    for (;;) pause();
  if (f->x == 6) raise(SIGKILL); // as the kernel does when memory runs out
  if (f->log) usleep(3000);
  if (f->x == 9) { // fast in the search, slow when measured again; of y < 5 that takes all the time there is
    if (f->times[f->y] > 1 && f->y < 5 && !f->runs++) usleep(600000);
    for (int i = 0; i < repeat; i++) seconds[i] = f->times[f->y] > 1 ? 15.4e-3 : 1e-5 * (1 + 0.01 * f->y);
    return;
  }
  for (int i = 0; i < repeat; i++) seconds[i] = 1e-3 * (1 + abs(f->x - 4) + 0.3 * f->y);
}

static const char *fake_check(void *state) { return ((fake *)state)->x == 1 ? "C[3] is 2, should be 1" : NULL; }
static void fake_release(void *state) { ((fake *)state)->x = 0; }
static void fake_close(void *state) { (void)state; }
static const tg_backend backend = {fake_open, fake_lane, fake_prepare, fake_run, fake_check, fake_release, fake_close};

// ---- runs

static char directory[] = "/tmp/tegula-search-XXXXXX", database[128], journal[128], log_file[128];
static const char *const self[] = {"/proc/self/exe", "measure", NULL};

static tg_search_space *space_new(tg_context *ctx, tg_arena *arena) {
  static const char *const xs[] = {"1", "2", "3", "4", "5", "6", "7", "8"}, *const ys[] = {"1", "2"};
  tg_axis axes[] = {{"x", 8, xs, 7}, {"y", 2, ys, 0}};
  return tg_space_make(ctx, arena, 2, axes, NULL, NULL);
}

static tg_plan plan_of(tg_context *ctx, tg_arena *arena, const char *strategy) {
  static const tg_binding shape[] = {{"M", "64"}};
  return (tg_plan){.ctx = ctx,
                   .space = space_new(ctx, arena),
                   .strategy = tg_strategy_find(ctx, strategy),
                   .seed = 11,
                   .argv = self,
                   .patience = 1,
                   .database = database,
                   .setup = {.cache_dir = directory,
                             .source = "fake",
                             .device = "fake",
                             .shape = {1, shape},
                             .threads = 3,
                             .seed = UINT64_MAX,
                             .reference_fd = 0},
                   .record = {.kernel = "fake",
                              .signature = "s",
                              .device = "fake",
                              .target = "fake",
                              .family = "fake",
                              .machine = "m",
                              .threads = 3,
                              .shape = {1, shape}}};
}

static const tg_evaluated *find(const tg_plan *plan, tg_arena *arena, const tg_outcome *out, int x, int y) {
  for (int i = 0; i < out->n; i++) {
    tg_bindings config = tg_space_config(plan->space, arena, out->at[i].index);
    if (value_of(config, "x") == x && value_of(config, "y") == y) return &out->at[i];
  }
  return NULL;
}

static void expect_failure(const tg_plan *plan, tg_arena *arena, const tg_outcome *out, int x, int y, const char *reason) {
  const tg_evaluated *e = find(plan, arena, out, x, y);
  CHECKF(e && !e->trial.ok && strstr(e->trial.reason, reason), "x=%d y=%d: '%s', not '%s'", x, y, e ? e->trial.reason : "not evaluated",
         reason);
}

static int reports, last_done, last_total;
static void progress(void *user, int done, int total, double best, double eta) {
  (void)user;
  reports++;
  CHECK(done >= last_done && done <= total && eta >= 0 && (best > 0 || done < total));
  last_done = done;
  last_total = total;
}

static void test_every_fate(tg_context *ctx, tg_arena *arena) {
  tg_plan plan = plan_of(ctx, arena, "exhaustive");
  plan.progress = progress;
  plan.budget = 20;
  tg_outcome out;
  tg_plan_run(&plan, arena, &out);
  CHECKF(out.n == 15, "%d evaluated", out.n); // 16 less the duplicate
  CHECK(reports >= 15 && last_total == 16);
  expect_failure(&plan, arena, &out, 1, 1, "C[3] is 2, should be 1");
  expect_failure(&plan, arena, &out, 3, 1, "signal 11");
  expect_failure(&plan, arena, &out, 3, 2, "status 5");
  expect_failure(&plan, arena, &out, 5, 1, "no result within");
  expect_failure(&plan, arena, &out, 6, 1, "memory");
  expect_failure(&plan, arena, &out, 6, 2, "memory");
  expect_failure(&plan, arena, &out, 7, 1, "a \"tile\" of 7 is not\npossible");
  CHECK(!find(&plan, arena, &out, 4, 2)); // the same lane IR as (4, 1)
  CHECK(out.best >= 0 && &out.at[out.best] == find(&plan, arena, &out, 4, 1));
  CHECK(fabs(out.at[out.best].trial.seconds - 1.3e-3) < 1e-9 && out.at[out.best].trial.runs >= 5);
  CHECK(out.standard == 0 && &out.at[0] == find(&plan, arena, &out, 8, 1)); // the default comes first
  CHECK_STR(find(&plan, arena, &out, 8, 1)->trial.lane, "0000000000000439");

  tg_db db;
  tg_db_init(&db, ctx);
  tg_db_read(&db, ctx, database);
  tg_db_level level;
  tg_db_query query = {.kernel = "fake",
                       .signature = "s",
                       .device = "fake",
                       .target = "fake",
                       .family = "fake",
                       .machine = "m",
                       .threads = 3,
                       .shape = plan.record.shape};
  const tg_db_record *record = tg_db_find(1, &db, &query, &level);
  CHECK(record && record->final && level == TG_DB_EXACT && value_of(record->config, "x") == 4 && value_of(record->config, "y") == 1);
  CHECK(db.n >= 2 && !db.skipped); // the bests on the way, too
  tg_db_free(&db);
}

static void test_trials_and_seeds(tg_context *ctx, tg_arena *arena) {
  int order[2][6];
  for (int round = 0; round < 2; round++) {
    tg_plan plan = plan_of(ctx, arena, "random");
    plan.database = NULL;
    plan.trials = 6;
    plan.budget = 12;
    tg_outcome out;
    tg_plan_run(&plan, arena, &out);
    CHECKF(out.n == 6, "%d", out.n);
    for (int i = 0; i < 6 && i < out.n; i++) order[round][i] = out.at[i].index;
  }
  CHECK(!memcmp(order[0], order[1], sizeof order[0]));
}

// Load that comes up among the finalists: what is recorded is no slower than anything in the document, whether the time runs out while the
// first of them is measured (y < 5) or all that there is room for turn slow (y >= 5).
static void test_slow_finals(tg_context *ctx, tg_arena *arena) {
  for (int first = 0; first <= 5; first += 5) {
    tg_plan plan = plan_of(ctx, arena, "exhaustive");
    plan.database = NULL;
    plan.setup.reference_fd = -1;
    plan.budget = first ? 0 : 0.5;
    plan.patience = 5;
    int n = first ? 30 : 5;
    const char **ys = TG_NEWN(arena, const char *, n);
    for (int i = 0; i < n; i++) ys[i] = tg_arena_printf(arena, "%d", first + i);
    tg_axis axes[] = {{"x", 1, (const char *const[]){"9"}, 0}, {"y", n, ys, 0}};
    plan.space = tg_space_make(ctx, arena, 2, axes, NULL, NULL);
    tg_outcome out;
    tg_plan_run(&plan, arena, &out);
    CHECKF(out.n == n && out.best >= 0, "%d evaluated of %d", out.n, n);
    double best = out.at[out.best].trial.seconds;
    for (int i = 0; i < out.n; i++)
      CHECKF(best <= 1.02 * out.at[i].trial.seconds, "y from %d: best %g, but config %d has %g", first, best, i, out.at[i].trial.seconds);
    CHECKF(best < 2e-5, "y from %d: best %g", first, best);
  }
}

// A run that neither measured the config in force nor beats its record leaves it in force: its own record is not a final one.
static void test_standing(tg_context *ctx, tg_arena *arena) {
  const struct {
    int standing;
    double to_beat;
    bool final;
  } cases[] = {{-1, 0, true}, {-1, 1e-9, false}, {-1, 1, true}, {0, 1e-9, true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tg_plan plan = plan_of(ctx, arena, "random");
    plan.trials = 2;
    plan.standing = cases[i].standing; // a failing config, when there is one
    plan.to_beat = cases[i].to_beat;
    plan.seeds = &plan.standing;
    plan.nseeds = plan.standing >= 0;
    unlink(database);
    tg_outcome out;
    tg_plan_run(&plan, arena, &out);
    tg_db db;
    tg_db_init(&db, ctx);
    tg_db_read(&db, ctx, database);
    CHECK(db.n > 0);
    if (db.n) CHECKF(db.at[db.n - 1].final == cases[i].final, "case %d", (int)i);
    tg_db_free(&db);
  }
}

static void setup_refused(void *arg) {
  tg_plan *plan = arg;
  tg_outcome out;
  tg_plan_run(plan, &plan->ctx->arena, &out);
}

static void test_start_failures(tg_context *ctx, tg_arena *arena) {
  tg_plan plan = plan_of(ctx, arena, "random");
  plan.setup.source = "refused";
  CHECK(tg_protect(ctx, setup_refused, &plan) == TG_FAILED);
  CHECKF(strstr(tg_error_message(ctx), "no such kernel"), "%s", tg_error_message(ctx));
  const char *const missing[] = {"/nonexistent/tegula-worker", NULL};
  plan.argv = missing;
  CHECK(tg_protect(ctx, setup_refused, &plan) == TG_FAILED);
  CHECKF(strstr(tg_error_message(ctx), "/nonexistent/tegula-worker"), "%s", tg_error_message(ctx));
}

// However a measuring process ends, what it started ends with it.
static void test_children(tg_context *ctx, tg_arena *arena) {
  static const char *const reasons[] = {"signal 11", "signal 11", "status 9", "status 9", "no result within", "no result within", "", ""};
  char path[160], byte;
  snprintf(path, sizeof path, "%s/children", directory);
  CHECK(mkfifo(path, 0600) == 0);
  for (int y = 10; y <= 17; y++) {
    tg_plan plan = plan_of(ctx, arena, "random");
    tg_binding config[] = {{"x", "8"}, {"y", tg_arena_printf(arena, "%d", y)}};
    tg_pace pace = {.settle = 0.01, .limit = 0.5};
    tg_trial trial;
    tg_measurer m;
    plan.setup.reference_fd = -1;
    tg_measurer_init(&m, ctx, self, &plan.setup);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0);
    tg_measurer_run(&m, (tg_bindings){2, config}, &pace, &trial);
    CHECK(trial.ok == (y >= 16));
    CHECKF(strstr(trial.reason, reasons[y - 10]), "y=%d: %s", y, trial.reason);
    tg_measurer_stop(&m);
    int bytes = 0;
    ssize_t n = -1;
    while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000) == 1 && (n = read(fd, &byte, 1)) == 1) bytes++;
    CHECKF(bytes > 0, "y=%d: no child was left", y);
    CHECKF(n == 0, "y=%d: a child outlived its measuring process", y);
    close(fd);
  }
}

static int count_lines(const char *file) {
  FILE *in = fopen(file, "r");
  int n = 0, c;
  while (in && (c = fgetc(in)) != EOF) n += c == '\n';
  if (in) fclose(in);
  return n;
}

static void resumable(tg_context *ctx, tg_arena *arena, tg_outcome *out) {
  tg_plan plan = plan_of(ctx, arena, "random");
  tg_binding *settings = TG_NEWN(arena, tg_binding, 1);
  settings[0] = (tg_binding){"log", log_file};
  plan.setup.settings = (tg_bindings){1, settings};
  plan.journal = journal;
  plan.budget = 60;
  plan.setup.reference_fd = -1;
  tg_axis axes[] = {{"x", 1, (const char *const[]){"2"}, 0}, {"y", 60, NULL, 3}};
  const char **ys = TG_NEWN(arena, const char *, 60);
  for (int i = 0; i < 60; i++) ys[i] = tg_arena_printf(arena, "%d", i);
  axes[1].values = ys;
  plan.space = tg_space_make(ctx, arena, 2, axes, NULL, NULL);
  tg_plan_run(&plan, arena, out);
}

// kill -9 in the middle: nothing measured is lost or measured again, and the order is that of an undisturbed run.
static void test_resume(tg_context *ctx, tg_arena *arena) {
  tg_outcome whole, rest;
  resumable(ctx, arena, &whole);
  CHECK(whole.n == 60 && access(journal, F_OK) != 0); // the journal of a complete run is gone
  unlink(log_file);
  pid_t child = fork();
  if (!child) {
    tg_outcome out;
    resumable(ctx, arena, &out);
    _exit(0);
  }
  for (int i = 0; i < 5000 && count_lines(journal) < 20; i++) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  usleep(100000); // the measuring process follows
  int before = count_lines(journal), prepared = count_lines(log_file);
  CHECKF(before >= 20 && before < 60 && prepared <= before + 1, "%d lines, %d prepared", before, prepared);
  FILE *torn = fopen(journal, "a"); // as a write cut short leaves it
  fputs("{\"config\":{\"x\":2,", torn);
  fclose(torn);
  resumable(ctx, arena, &rest);
  CHECK(rest.n == 60);
  int resumed = 0;
  for (int i = 0; i < rest.n; i++) {
    resumed += rest.at[i].resumed;
    CHECK(rest.at[i].index == whole.at[i].index);
  }
  CHECKF(resumed == before, "%d resumed of %d", resumed, before);
  unlink(log_file);
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "measure")) return tg_measure_serve(TG_MEASURE_FD, &backend);
  CHECK(mkdtemp(directory) != NULL);
  snprintf(database, sizeof database, "%s/tuning.jsonl", directory);
  snprintf(journal, sizeof journal, "%s/run.journal", directory);
  snprintf(log_file, sizeof log_file, "%s/log", directory);
  tg_context *ctx;
  CHECK(tg_context_new(&(tg_config){.cache_dir = directory}, &ctx) == TG_OK);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  test_every_fate(ctx, &arena);
  test_trials_and_seeds(ctx, &arena);
  test_slow_finals(ctx, &arena);
  test_standing(ctx, &arena);
  test_start_failures(ctx, &arena);
  test_children(ctx, &arena);
  test_resume(ctx, &arena);
  tg_arena_free(&arena);
  tg_context_free(ctx);
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
