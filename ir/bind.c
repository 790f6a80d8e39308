// What language bindings need of a context beside the rest of the public API.
#include "ir/base.h"

const char *tg_context_root(const tg_context *ctx) { return ctx->config.root; }

void *tg_context_allocate(tg_context *ctx, void *ptr, size_t size) { return ctx->config.allocate(ctx->config.user, ptr, size); }

void tg_context_bind(tg_context *ctx, void *state, void (*release)(tg_context *ctx, void *state)) {
  if (ctx->slots[TG_SLOT_LUA] && ctx->slot_free[TG_SLOT_LUA]) ctx->slot_free[TG_SLOT_LUA](ctx, ctx->slots[TG_SLOT_LUA]);
  ctx->slots[TG_SLOT_LUA] = state;
  ctx->slot_free[TG_SLOT_LUA] = release;
}

void *tg_context_binding(const tg_context *ctx) { return ctx->slots[TG_SLOT_LUA]; }
