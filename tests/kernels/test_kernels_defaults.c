// The built-in descriptions' defaults: every entry is of a library kernel, whose options it names right, and holds what kernel and lowering
// take there. (One that does not fit would be passed over in silence.)
#include "autotune/check.h"
#include "targets/machines.h"
#include "targets/run.h"
#include "test.h"

static tg_context *ctx;

static bool in_library(const char *kernel) {
  const char *const *names;
  int n;
  CHECK(tg_library(ctx, &n, &names) == TG_OK);
  for (int i = 0; i < n; i++)
    if (!strcmp(names[i], kernel)) return true;
  return false;
}

typedef struct entry_case {
  const tg_machine_default *entry;
  const tg_machine *machine;
} entry_case;

static void check_entry(void *arg) {
  const entry_case *c = arg;
  const tg_machine_default *entry = c->entry;
  const tg_family *family;
  tg_target_find(ctx, c->machine->target, &family);
  tg_source *source;
  tg_check_status(ctx, tg_source_load(ctx, entry->kernel, &source));
  tg_binding own[64], rest[64];
  tg_bindings all = {0, own};
  tg_machine_knobs lowering = {.list = {0, rest}, .file = "the description"}; // as of a file of one's own, where nothing is passed over
  tg_kernel *signature, *tile;
  tg_check_status(ctx, tg_source_signature(source, &entry->when, &signature)); // throws when an option is none, or takes no such value
  for (int i = 0; i < entry->when.n; i++) own[all.n++] = entry->when.at[i];
  for (int i = 0; i < entry->set.n; i++) {
    bool declared = false;
    for (int s = 0; s < signature->nsettings; s++) declared |= !strcmp(signature->settings[s].name, entry->set.at[i].name);
    if (declared) own[all.n++] = entry->set.at[i];
    else rest[lowering.list.n++] = entry->set.at[i];
  }
  const tg_bindings statics = tg_check_statics(&ctx->arena, signature);
  tg_check_status(ctx, tg_source_trace(source, &all, &statics, &tile)); // throws when a value is not allowed
  tg_bindings none = {0};
  tg_join_knobs(ctx, &ctx->arena, tile, family, c->machine, &lowering, &none); // throws when the lowering does not take one
  CHECK(none.n == lowering.list.n);
  tg_kernel_free(tile);
  tg_source_free(source);
}

static void check_row(const tg_machine_row *row) {
  for (const tg_defaults *d = row->machine.defaults; d; d = d->base) {
    for (int i = 0; i < d->n; i++) {
      entry_case c = {&d->at[i], &row->machine};
      if (!in_library(c.entry->kernel)) {
        CHECKF(false, "%s: there is no kernel '%s'", row->machine.name, c.entry->kernel);
        continue;
      }
      CHECKF(tg_protect(ctx, check_entry, &c) == TG_OK, "%s: %s, entry %d: %s", row->machine.name, c.entry->kernel, i + 1,
             tg_error_message(ctx));
    }
  }
}

int main(void) {
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  int checked = 0;
  for (int i = 0; i < tg_machine_base_count; i++) {
    const tg_machine_row *row = &tg_machine_bases[i];
    if (!*row->machine.target) continue; // of every architecture: checked with each
    check_row(row);
    checked++;
  }
  CHECK(checked == 6);
  tg_context_free(ctx);
  return test_done();
}
