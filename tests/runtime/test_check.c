// tg_check on a library of two kernels, one of which gives other results under other tile sizes: it must be caught, and only it.
#include <unistd.h>

#include "tegula/tegula.h"

#include "test.h"

static const char right[] = "local tg <const> = require 'tegula'\n"
                            "return tg.kernel('right', function(k)\n"
                            "  local M = k.dim 'M'\n"
                            "  local X, O = k.input('X', tg.f32, M), k.output('O', tg.f32, M)\n"
                            "  local bm = k.tune('BM', 8, 4)\n"
                            "  local more = k.option('more', 0, 0, 1)\n"
                            "  k.blocks(M:by(bm), function(m) O[{m}] = X[{m}] + more end)\n"
                            "end)\n";
static const char fickle[] = "local tg <const> = require 'tegula'\n"
                             "return tg.kernel('fickle', function(k)\n"
                             "  local M = k.dim 'M'\n"
                             "  local X, O = k.input('X', tg.f32, M), k.output('O', tg.f32, M)\n"
                             "  local bm = k.tune('BM', 8, 4)\n"
                             "  k.blocks(M:by(bm), function(m) O[{m}] = X[{m}] + bm end)\n"
                             "end)\n";

// BM = 1024 asks for more registers than a block has there.
static const char large[] = "local tg <const> = require 'tegula'\n"
                            "return tg.kernel('large', function(k)\n"
                            "  local M, K = k.dim 'M', k.dim 'K'\n"
                            "  local A, C = k.input('A', tg.bf16, M, K), k.output('C', tg.f32, M)\n"
                            "  local bm = k.tune('BM', 16, 1024)\n"
                            "  k.blocks(M:by(bm), function(m)\n"
                            "    C[{m}] = K:by(64):fold(tg.zeros(tg.f32, bm, bm), function(acc, kk)\n"
                            "      return tg.dot(A[{m, kk}], A[{m, kk}].T, {acc = acc}) end):rsum(2):reshape(bm)\n"
                            "  end)\n"
                            "end)\n";

static tg_context *ctx;
static char root[] = "/tmp/tegula-test-XXXXXX";

static void put(const char *name, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/kernels/%s.lua", root, name);
  FILE *file = fopen(path, "w");
  fputs(text, file);
  fclose(file);
}

typedef struct tally {
  int right, fickle, bad_right, bad_fickle, options, done, total;
} tally;

static void count_refused(void *user, const char *line, tg_verdict verdict, int done, int total) {
  (void)done, (void)total;
  int *refused = user;
  if (strncmp(line, "large", 5) != 0 || verdict != TG_VERDICT_REFUSED) return;
  ++*refused;
  CHECKF(strstr(line, " --set BM=1024: "), "%s", line); // and the reason behind it
}

static void count(void *user, const char *line, tg_verdict verdict, int done, int total) {
  tally *t = user;
  CHECKF(done == ++t->done && total >= done, "%d of %d after %d", done, total, t->done);
  t->total = total;
  bool ok = verdict == TG_VERDICT_OK;
  bool first = strncmp(line, "right", 5) == 0;
  *(first ? &t->right : &t->fickle) += 1;
  *(first ? &t->bad_right : &t->bad_fickle) += !ok;
  t->options += strstr(line, "more=1") != NULL;
  if (!ok && first) fprintf(stderr, "%s\n", line);
}

static tg_status check(const char *device, const char *target, void (*report)(void *, const char *, tg_verdict, int, int), void *user) {
  return tg_check(ctx, &(tg_check_options){.device = device, .target = target, .report = report, .user = user});
}

// Configs of `large`, whose space is 2 x 4 x 4 x 4 = 128, of which the tiles of 1024 rows have no room: each other one once, and what the
// note says of it.
typedef struct sampled {
  int configs, wide, notes;
  char text[256];
} sampled;

static void count_configs(void *user, const char *line, tg_verdict verdict, int done, int total) {
  sampled *s = user;
  CHECKF(done <= total, "%d of %d", done, total);
  CHECKF(verdict != TG_VERDICT_FAIL, "%s", line);
  if (verdict == TG_VERDICT_NOTE) s->notes++, snprintf(s->text, sizeof s->text, "%s", line);
  else s->configs += strstr(line, "stages=") != NULL, s->wide += strstr(line, "BM=1024,") != NULL;
}

static void test_configs(void) {
  const char *const names[] = {"large"};
  tg_check_options o = {.target = "nvptx:sm_80", .nkernels = 1, .kernels = names, .configs = 100, .report = count_configs};
  sampled s = {0};
  o.user = &s;
  CHECKF(tg_check(ctx, &o) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(s.configs == 64 && s.wide == 0 && s.notes == 1 && strstr(s.text, "large: 64 of 64 configs, 13 of 13 values, 60 of 60 pairs") &&
             strstr(s.text, "64 were pruned before") && strstr(s.text, "too large for 128 threads"),
         "%d configs, %d wide; %s", s.configs, s.wide, s.text);
  s = (sampled){0};
  o.configs = 8; // twice as many as the longest axis has values
  CHECKF(tg_check(ctx, &o) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(s.configs == 8 && strstr(s.text, "large: 8 of 64 configs, 13 of 13 values"), "%d configs; %s", s.configs, s.text);
  const char *const missing[] = {"larger"};
  o.kernels = missing;
  CHECK(tg_check(ctx, &o) == TG_INVALID && strstr(tg_error_message(ctx), "no kernel 'larger'"));
}

int main(void) {
  char command[512], cache[64];
  if (!mkdtemp(root)) return 1;
  snprintf(command, sizeof command, "mkdir %s/kernels && ln -s '%s/lua' %s/lua", root, ROOT_DIR, root);
  CHECK(system(command) == 0);
  snprintf(cache, sizeof cache, "%s/cache", root);
  put("right", right);
  put("fickle", fickle);
  const tg_config config = {.root = root, .cache_dir = cache, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;

  tally t = {0};
  CHECK(check("cpu", NULL, count, &t) == TG_FAILED && strstr(tg_error_message(ctx), "on cpu"));
  CHECKF(t.right > 10 && t.options >= t.right / 3 && t.bad_right == 0, "%d, %d with the option, %d bad", t.right, t.options, t.bad_right);
  CHECKF(t.fickle > 5 && t.bad_fickle == t.fickle - 2, "%d of %d", t.bad_fickle, t.fickle); // right where M = 0, and under BM=4

  CHECKF(t.done == t.total, "%d of %d", t.done, t.total);
  t = (tally){0};
  CHECKF(check(NULL, "cpu:avx512", count, &t) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(t.done == t.total, "%d of %d", t.done, t.total);
  CHECK(t.right == 5 && t.fickle == 4); // the default, BM=4, more=1, and two values of the lowering's own `stream`
  put("large", large);
  tg_context_free(ctx);
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  int refused = 0;
  CHECKF(check(NULL, "nvptx:sm_80", count_refused, &refused) == TG_OK, "%s", tg_error_message(ctx));
  CHECKF(refused == 1, "%d", refused);
  test_configs();
  put("broken",
      "local tg <const> = require 'tegula'\nreturn tg.kernel('broken', function(k) k.blocks(1, function() error 'no' end) end)\n");
  tg_context_free(ctx);
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  CHECK(check(NULL, "cpu:avx2", NULL, NULL) == TG_FAILED && strstr(tg_error_message(ctx), "1 of"));

  CHECK(check(NULL, NULL, NULL, NULL) == TG_INVALID);
  CHECK(check("cpu", "cpu", NULL, NULL) == TG_INVALID);
  CHECK(check("abacus", NULL, NULL, NULL) == TG_INVALID && strstr(tg_error_message(ctx), "interp"));
  CHECK(check(NULL, "abacus", NULL, NULL) == TG_INVALID && strstr(tg_error_message(ctx), "cpu:avx2"));
  tg_context_free(ctx);
  snprintf(command, sizeof command, "rm -r %s", root);
  CHECK(system(command) == 0);
  return test_done();
}
