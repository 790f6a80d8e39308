// The compile boundary with stand-ins for the helper: cache hits and damage, helpers that hang, crash, babble or are missing.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include "targets/compiler.h"
#include "targets/wire.h"

#include "test.h"

static char directory[] = "/tmp/tegula-test-XXXXXX";
static int warnings;

static const char *in(const char *name) {
  static char path[8][256];
  static int next;
  char *out = path[next++ % 8];
  snprintf(out, 256, "%s/%s", directory, name);
  return out;
}

static void script(const char *name, const char *body) {
  FILE *file = fopen(in(name), "w");
  fprintf(file, "#!/bin/sh\ncd %s\n%s\n", directory, body);
  fclose(file);
  chmod(in(name), 0755);
}

static void log_line(void *user, tg_log_level level, const char *text) {
  (void)user, (void)text;
  warnings += level == TG_LOG_WARNING;
}

static tg_context *open_context(const char *worker, const char *cache) {
  tg_context *ctx;
  tg_config config = {.worker = in(worker), .cache_dir = cache, .compile_seconds = 1, .log = log_line};
  if (tg_context_new(&config, &ctx) != TG_OK) exit(1);
  return ctx;
}

static const char ir[] = "kernel probe tile {\n}\n";
static const tg_job job = {.ir = ir, .ir_size = sizeof ir - 1, .target = "cpu:avx2", .want = "obj"};

struct compile_call {
  tg_context *ctx;
  tg_job job;
  bool no_cache;
  tg_arena *arena;
  tg_product product;
};
static void compile_body(void *arg) {
  struct compile_call *call = arg;
  tg_compile_job(call->ctx, &call->job, call->no_cache, call->arena, &call->product);
}
static tg_status compile_it(tg_context *ctx, const tg_job *what, bool no_cache) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  struct compile_call call = {.ctx = ctx, .job = *what, .no_cache = no_cache, .arena = &arena};
  tg_status status = tg_protect(ctx, compile_body, &call);
  if (status == TG_OK)
    CHECK(call.product.bytes.size == 5 && !memcmp(call.product.bytes.data, "bytes", 5) && !strcmp(call.product.record, "{}"));
  tg_arena_free(&arena);
  return status;
}

static int lines(const char *name) {
  FILE *file = fopen(in(name), "r");
  int n = 0;
  for (int c; file && (c = fgetc(file)) != EOF;) n += c == '\n';
  if (file) fclose(file);
  return n;
}

// A stand-in that swallows jobs of the known size, answers with a product and counts.
static void make_counting_worker(void) {
  tg_context *ctx = open_context("none", directory);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_product product = {.bytes = {"bytes", 5}, .record = "{}", .record_size = 2, .variants = 1};
  int fd = open(in("reply"), O_WRONLY | O_CREAT, 0644);
  CHECK(tg_wire_send(fd, tg_wire_encode_product(&arena, &product), 0) == TG_WIRE_OK);
  close(fd);
  char body[256];
  snprintf(body, sizeof body, "while [ \"$(head -c %zu | wc -c)\" -gt 0 ]; do echo >> count; cat reply; done",
           tg_wire_encode_job(&arena, &job).size + 8);
  script("counting", body);
  tg_arena_free(&arena);
  tg_context_free(ctx);
}

static char entry[512];
static int files_found;
static void find_entry(const char *cache) {
  char command[512];
  snprintf(command, sizeof command, "find %s/compile -type f", cache);
  FILE *pipe = popen(command, "r");
  for (files_found = 0; fgets(entry, sizeof entry, pipe);) files_found++;
  entry[strcspn(entry, "\n")] = 0;
  pclose(pipe);
}

// Another libLLVM and, where it makes the bytes, another ptxas compile anew.
static void upgrades(tg_context *ctx) {
  tg_job cubin = job;
  int before = lines("count");
  cubin.target = "nvptx:sm_80"; // three letters more: the stand-in counts bytes
  cubin.ir_size -= 3;
  mkdir(in("lib"), 0755), mkdir(in("bin"), 0755);
  char *path = strdup(getenv("PATH")), *longer = NULL;
  CHECK(asprintf(&longer, "%s:%s", in("bin"), path) > 0);
  setenv("PATH", longer, 1), unsetenv("CUDA_HOME"), unsetenv("CUDA_PATH");
  script("bin/ptxas", "exit 0");
  CHECK(compile_it(ctx, &cubin, false) == TG_OK && compile_it(ctx, &cubin, false) == TG_OK && compile_it(ctx, &job, false) == TG_OK);
  CHECKF(lines("count") == before + 1, "%d", lines("count") - before);
  utime(in("bin/ptxas"), &(struct utimbuf){1, 1});
  CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == before + 1);
  CHECK(compile_it(ctx, &cubin, false) == TG_OK && lines("count") == before + 2);
  script("lib/libLLVM.so.22.1", "exit 0");
  setenv("LD_LIBRARY_PATH", in("lib"), 1);
  CHECK(compile_it(ctx, &cubin, false) == TG_OK && compile_it(ctx, &job, false) == TG_OK);
  CHECKF(lines("count") == before + 4, "%d", lines("count") - before);
  unsetenv("LD_LIBRARY_PATH");
  setenv("PATH", path, 1);
  free(path), free(longer);
}

static void cache(void) {
  char store[256];
  snprintf(store, sizeof store, "%s", in("deep/er/cache"));
  tg_context *ctx = open_context("counting", store);
  CHECKF(compile_it(ctx, &job, false) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(lines("count") == 1);
  CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == 1);
  tg_context_free(ctx);
  ctx = open_context("counting", store); // another process would see the same
  CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == 1);
  CHECK(compile_it(ctx, &job, true) == TG_OK && lines("count") == 2);
  find_entry(store);
  struct stat info;
  CHECK(stat(entry, &info) == 0 && info.st_size > 48);
  for (off_t cut = 0; cut < info.st_size; cut += 9) { // truncated anywhere: absent, and mended
    int before = lines("count");
    CHECK(truncate(entry, cut) == 0 && compile_it(ctx, &job, false) == TG_OK && lines("count") == before + 1);
    CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == before + 1);
  }
  for (off_t at = 0; at < info.st_size; at += 7) { // and so is any changed byte
    int before = lines("count");
    int fd = open(entry, O_RDWR);
    char byte;
    CHECK(pread(fd, &byte, 1, at) == 1);
    byte ^= 0x40;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
    CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == before + 1);
  }
  // Whatever matters is in the key; the lengths stay, for the stand-in's sake.
  tg_job other = job;
  int before = lines("count");
  other.want = "asm";
  CHECK(compile_it(ctx, &other, false) == TG_OK);
  other = job, other.variant = 1;
  CHECK(compile_it(ctx, &other, false) == TG_OK);
  other = job, other.ir = "kernel probf tile {\n}\n";
  CHECK(compile_it(ctx, &other, false) == TG_OK);
  CHECK(lines("count") == before + 3);
  utime(in("counting"), &(struct utimbuf){1, 1}); // a rebuilt helper
  CHECK(compile_it(ctx, &job, false) == TG_OK && lines("count") == before + 4);
  CHECK(warnings == 0);
  upgrades(ctx);
  tg_context_free(ctx);

  ctx = open_context("counting", "/proc/nowhere/tegula"); // nobody can write there, not even root
  before = lines("count");
  for (int i = 0; i < 3; i++) CHECK(compile_it(ctx, &job, false) == TG_OK);
  CHECK(lines("count") == before + 3 && warnings == 1);
  tg_context_free(ctx);
}

static tg_status with(const char *worker, const char *a, const char *b) {
  tg_context *ctx = open_context(worker, in("cache"));
  tg_status status = compile_it(ctx, &job, true);
  const char *message = tg_error_message(ctx);
  CHECKF(status != TG_OK && strstr(message, a) && strstr(message, b), "%s: %s", worker, message);
  tg_context_free(ctx);
  return status;
}

static void bad_helpers(void) {
  mkdir(in("cache"), 0755);
  script("hang", "exec sleep 100");
  CHECK(with("hang", "longer than 1 s", "crashed-") == TG_FAILED);
  script("slow-reader", "head -c 8 > /dev/null; exec sleep 100");
  CHECK(with("slow-reader", "probe for cpu:avx2", "longer than 1 s") == TG_FAILED);
  script("shot", "echo out of registers >&2; head -c 20 > /dev/null; kill -9 $$");
  CHECK(with("shot", "signal 9", "out of registers") == TG_FAILED);
  script("leaves", "head -c 20 > /dev/null; exit 3");
  CHECK(with("leaves", "exit code 3", "probe") == TG_FAILED);
  script("babbles", "head -c 20 > /dev/null; echo 'Hello, I am no compile helper at all'; exec sleep 100");
  CHECK(with("babbles", "does not answer", "babbles") == TG_FAILED);
  script("echoes", "exec cat");
  CHECK(with("echoes", "", "") == TG_FAILED);
  script("half", "head -c 20 > /dev/null; head -c 15 reply; exec sleep 100");
  CHECK(with("half", "longer than", "") == TG_FAILED);
  CHECK(with("missing", "cannot be run", "TEGULA_WORKER") == TG_FAILED);
  chmod(in("reply"), 0755); // executable, but no program
  CHECK(with("reply", "could not be started", "") == TG_FAILED);
  // The kept job replays: a helper reads the same frame from its standard input.
  char command[512];
  snprintf(command, sizeof command, "cat $(ls %s/crashed-*.job | head -n 1) | %s 2>/dev/null | cmp -s - %s", in("cache"), in("counting"),
           in("reply"));
  CHECK(system(command) == 0);
}

// Ended from outside while it worked, once: the job is done again by a fresh helper.
static void killed_once(void) {
  script("once", "if [ ! -e was-shot ]; then touch was-shot; head -c 20 > /dev/null; kill -9 $$; fi; exec ./counting");
  tg_context *ctx = open_context("once", in("cache"));
  CHECKF(compile_it(ctx, &job, true) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(compile_it(ctx, &job, true) == TG_OK);
  CHECK(system("exit 0") == 0); // a child of the program's own is not disturbed
  tg_context_free(ctx);
  CHECK(waitpid(-1, NULL, WNOHANG) == -1); // no helper, living or dead, is left
}

// The limits that the helper runs under: 4 GiB of addresses, CPU time for one job, no core files.
static void limits(void) {
  // CPU time is limited from outside, with the job: the script may run before that
  script("limited", "for i in $(seq 200); do [ $(ulimit -t) = unlimited ] || break; sleep 0.02; done\n"
                    "ulimit -v > limits; ulimit -c >> limits; ulimit -t >> limits; exec ./counting");
  tg_context *ctx = open_context("limited", in("cache"));
  CHECKF(compile_it(ctx, &job, true) == TG_OK, "%s", tg_error_message(ctx));
  FILE *file = fopen(in("limits"), "r");
  char memory[32] = "", core[32] = "", cpu[32] = "";
  CHECK(file && fscanf(file, "%31s %31s %31s", memory, core, cpu) == 3);
  if (file) fclose(file);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK_STR(memory, "4194304");
#endif
  CHECK_STR(core, "0");
  CHECKF(atoi(cpu) >= 1 && atoi(cpu) <= 3, "%s", cpu); // one second and what was used before
  tg_context_free(ctx);
}

// Idle helpers that died are noticed without a SIGPIPE; helpers of a program that is gone leave.
static void lonely(void) {
  script("one-shot", "echo >> shots; head -c 20 > /dev/null; cat reply; exit 0");
  signal(SIGPIPE, SIG_DFL);
  tg_context *ctx = open_context("one-shot", in("cache"));
  for (int i = 0; i < 3; i++) {
    CHECKF(compile_it(ctx, &job, true) == TG_OK, "%s", tg_error_message(ctx));
    usleep(30000);
  }
  tg_context_free(ctx);

  script("orphan", "head -c 20 > /dev/null; cat reply; cat > /dev/null; touch orphan-left");
  pid_t child = fork();
  if (child == 0) {
    ctx = open_context("orphan", in("cache"));
    _exit(compile_it(ctx, &job, true) != TG_OK); // without a word to its helper
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  for (int i = 0; i < 100 && access(in("orphan-left"), F_OK) != 0; i++) usleep(20000);
  CHECK(access(in("orphan-left"), F_OK) == 0);
}

static void unknown_target(void) {
  tg_context *ctx = open_context("counting", in("cache"));
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  struct compile_call call = {.ctx = ctx, .job = job, .arena = &arena};
  call.job.target = "cpu:abacus";
  CHECK(tg_protect(ctx, compile_body, &call) == TG_INVALID && strstr(tg_error_message(ctx), "cpu:avx2"));
  tg_arena_free(&arena);
  tg_context_free(ctx);
}

// Files cannot grow beyond some bytes, as on a full disk: compiling goes on, one warning is given, and nothing half-written stays.
static void full_disk(void) {
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    warnings = test_failures = 0;
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){64, 64});
    tg_context *ctx = open_context("answering", in("small"));
    for (int i = 0; i < 2; i++) CHECKF(compile_it(ctx, &job, false) == TG_OK, "%s", tg_error_message(ctx));
    CHECK(warnings == 1);
    tg_context_free(ctx);
    find_entry(in("small"));
    CHECKF(files_found == 0, "%s", entry);
    _exit(test_failures != 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

// Many processes on one cache: an entry is there whole or not at all.
static void shared(void) {
  for (int p = 0; p < 6; p++) {
    if (fork()) continue;
    tg_context *ctx = open_context("none", in("shared"));
    tg_cache_state state = {0};
    tg_arena arena;
    tg_arena_init(&arena, ctx);
    int wrong = 0;
    for (int i = 0; i < 200; i++) {
      unsigned char key[32] = {(unsigned char)(i % 5)};
      char data[5000];
      memset(data, 'a' + i % 5, sizeof data);
      tg_bytes got;
      if (tg_cache_get(ctx, key, &arena, &got)) wrong += got.size != sizeof data || memcmp(got.data, data, sizeof data) != 0;
      tg_cache_put(ctx, &state, key, (tg_bytes){data, sizeof data});
      wrong += !tg_cache_get(ctx, key, &arena, &got);
    }
    _exit(wrong != 0 || state.warned);
  }
  for (int p = 0, status; p < 6; p++) CHECK(wait(&status) > 0 && status == 0);
}

static void eviction(void) {
  tg_context *ctx = open_context("none", in("full"));
  tg_cache_state state = {0};
  char data[1000] = "x";
  for (int i = 0; i < 10; i++) {
    unsigned char key[32] = {(unsigned char)i};
    tg_cache_put(ctx, &state, key, (tg_bytes){data, sizeof data - 40});
    char path[400];
    snprintf(path, sizeof path, "%s/compile/%02x/%062d", in("full"), i, 0);
    CHECK(utime(path, &(struct utimbuf){1000 - i, 1000 - i}) == 0); // the last written are the oldest
  }
  tg_cache_evict(in("full/compile"), 10000);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  find_entry(in("full")); // all are there still: looking at them by tg_cache_get would make them young
  CHECK(files_found == 10);
  tg_bytes got;
  tg_cache_evict(in("full/compile"), 8000);
  for (int i = 0; i < 10; i++) CHECKF(tg_cache_get(ctx, (unsigned char[32]){(unsigned char)i}, &arena, &got) == (i < 6), "entry %d", i);
  tg_arena_free(&arena);
  tg_context_free(ctx);
}

int main(void) {
  if (!mkdtemp(directory)) return 1;
  make_counting_worker();
  cache();
  bad_helpers();
  killed_once();
  limits();
  lonely();
  unknown_target();
  script("answering", "head -c 20 > /dev/null; cat reply; exit 0");
  full_disk();
  shared();
  eviction();
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
