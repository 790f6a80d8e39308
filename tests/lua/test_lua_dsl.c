// The DSL's surface, views, host arrays and calls on the interpreter (dsl.lua), and how scripts end.
#include "tegula/tegula.h"
#include "test.h"

#include <unistd.h>

static tg_context *ctx;
static char file[] = "/tmp/tegula-script-XXXXXX";

static tg_status run(const char *text, int nargs, const char *const *args) {
  FILE *f = fopen(file, "wb");
  fputs(text, f);
  fclose(f);
  return tg_script_run(ctx, file, nargs, args);
}

static void fails(const char *text, const char *says) {
  CHECKF(run(text, 0, NULL) != TG_OK, "%s: no error", text);
  CHECKF(strstr(tg_error_message(ctx), says) != NULL, "%s\n  wanted: %s\n  got: %s", text, says, tg_error_message(ctx));
}

static void test_scripts(void) {
  const char *args[] = {"one", "2"};
  CHECKF(run("#!/usr/bin/env tegula\nassert(arg[1] == 'one' and arg[2] == '2' and #arg == 2 and select('#', ...) == 2)", 2, args) == TG_OK,
         "%s", tg_error_message(ctx));
  CHECKF(run("assert(io and os and require 'string' == string and pcall(error))", 0, NULL) != TG_OK, "pcall catches");
  CHECKF(
      run("local t = setmetatable({}, {__eq = function() return true end}) assert(t == setmetatable({}, getmetatable(t)) and not (t ~= t))",
          0, NULL) == TG_OK,
      "%s", tg_error_message(ctx));
  fails("\n\nerror 'oh'", ":3: oh");
  fails("error({})", "an error that is not a text was raised");
  fails("x = = 1", ":1: unexpected symbol near '='");
  fails("local s = ('x'):rep(1 << 30)", ":1: the Lua code wants more than its 1024 MiB of memory");
  fails("local tg = require 'tegula'\ntg.kernel('a', function(k)\nk.foo() end):ir()", ":3: in kernel 'a': k has no 'foo'");
  fails("local tg = require 'tegula'\nlocal k = tg.kernel('a', function(k) local A = k.output('A', tg.f32, 4)\nk.blocks(1, function() "
        "local x = A[{0}]\nif x then A[{0}] = 1 end end) end)\nk:ir()",
        ":4: in kernel 'a': a tile under 'if' is always true in Lua");
  fails("local tg = require 'tegula'\nlocal k = tg.kernel('a', function(k) local A = k.output('A', tg.f32, 4)\nk.blocks(1, function() "
        "pcall(function()\n"
        "tg.range(0, 1):each(function() error 'lost' end) end) end) end)\nk:ir()",
        "the each opened at line 4 was left open: an error inside it must not be caught");
  CHECK(tg_script_run(ctx, "/no/such.lua", 0, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "cannot open /no/such.lua"));
}

int main(void) {
  char cache[] = "/tmp/tegula-cache-XXXXXX";
  tg_config config = {.root = ROOT_DIR, .cache_dir = mkdtemp(cache), .worker = BUILD_DIR "/tegula-worker"};
  if (!config.cache_dir || tg_context_new(&config, &ctx) != TG_OK || mkstemp(file) < 0) return 1;
  tg_status status = tg_script_run(ctx, TESTS_DIR "/lua/dsl.lua", 0, NULL);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  test_scripts();
  unlink(file);
  tg_context_free(ctx);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", cache);
  CHECK(system(command) == 0);
  return test_done();
}
