// math.lua: how far exp, log and relatives are off on the cpu device and on a simulated GPU.
#include "tegula/tegula.h"
#include "test.h"

int main(void) {
  tg_context *ctx;
  tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  tg_status status = tg_script_run(ctx, TESTS_DIR "/codegen/math.lua", 0, NULL);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  tg_context_free(ctx);
  return test_done();
}
