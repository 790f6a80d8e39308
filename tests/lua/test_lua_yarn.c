// tg.yarn (yarn.lua) against frequencies that golden/make_yarn.py computed.
#include "tegula/tegula.h"
#include "test.h"

int main(void) {
  tg_context *ctx;
  tg_config config = {.root = ROOT_DIR};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  const char *args[] = {TESTS_DIR "/golden/yarn.lua"};
  tg_status status = tg_script_run(ctx, TESTS_DIR "/lua/yarn.lua", 1, args);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  tg_context_free(ctx);
  return test_done();
}
