// libFuzzer target: any bytes as a tuning database. Reads them, looks something up, writes what was read and reads that again.
#include <stdlib.h>

#include "autotune/autotune.h"

typedef struct attempt {
  tg_context *ctx;
  const char *text;
  size_t size;
} attempt;

static void body(void *arg) {
  attempt *a = arg;
  tg_db db, again;
  tg_db_init(&db, a->ctx);
  tg_db_init(&again, a->ctx);
  tg_db_parse(&db, a->text, a->size);
  for (int i = 0; i < db.n && i < 16; i++) {
    const tg_db_record *r = &db.at[i];
    tg_db_query query = {.kernel = r->kernel,
                         .signature = r->signature,
                         .device = r->device,
                         .target = r->target,
                         .family = r->family,
                         .machine = r->machine,
                         .statics = r->statics,
                         .shape = r->shape,
                         .settings = r->settings,
                         .threads = r->threads};
    tg_db_level level;
    if (!tg_db_find(1, &db, &query, &level)) abort(); // it fits itself
    size_t size;
    char *line = tg_db_line(&db.arena, r, &size);
    tg_db_parse(&again, line, size);
    if (again.n != i + 1) abort();
  }
  tg_db_free(&db);
  tg_db_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tg_context *ctx;
  if (tg_context_new(&(tg_config){.cache_dir = "/nonexistent"}, &ctx) != TG_OK) return 0;
  tg_protect(ctx, body, &(attempt){ctx, (const char *)data, size});
  tg_context_free(ctx);
  return 0;
}
