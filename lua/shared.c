// What the Lua states of a context share: the list of the library's kernels, the DSL's modules, a state to use again.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"

#define MODULE_BYTES (1u << 20)

typedef struct shared {
  bool listed;
  int n;
  const char **names;
  tg_lua *idle; // a kernel's state that no source uses
  tg_lua_signal signal;
} shared;

static void release(tg_context *ctx, void *state) {
  shared *s = state;
  for (int i = 0; i < s->n; i++) tg_context_allocate(ctx, (void *)s->names[i], 0);
  tg_context_allocate(ctx, s->names, 0);
  tg_lua_free(s->idle);
  tg_context_allocate(ctx, s, 0);
}

static shared *shared_of(tg_context *ctx) {
  shared *s = tg_context_binding(ctx);
  if (s) return s;
  s = tg_context_allocate(ctx, NULL, sizeof *s);
  if (!s) {
    tg_error(ctx, TG_NO_MEMORY, "out of memory");
    return NULL;
  }
  *s = (shared){0};
  tg_context_bind(ctx, s, release);
  return s;
}

tg_lua_signal *tg_lua_signal_of(tg_context *ctx) {
  shared *s = shared_of(ctx);
  return s ? &s->signal : NULL;
}

const char *tg_script_interrupt(tg_context *ctx) {
  shared *s = tg_context_binding(ctx);
  if (!s || !s->signal.L) return "?";
  s->signal.interrupted = 1;
  if (s->signal.busy) return s->signal.where;
  lua_sethook(s->signal.L, tg_lua_look, LUA_MASKCOUNT, 1); // at once, unless a coroutine is running: its own look comes soon
  return NULL;
}

// ---- the library

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static tg_status add_name(tg_context *ctx, shared *s, const char *file, size_t length) {
  const char **names = tg_context_allocate(ctx, s->names, sizeof *names * (size_t)(s->n + 1));
  if (names) s->names = names;
  char *copy = names ? tg_context_allocate(ctx, NULL, length + 1) : NULL;
  if (!copy) return tg_error(ctx, TG_NO_MEMORY, "out of memory");
  memcpy(copy, file, length);
  copy[length] = 0;
  names[s->n++] = copy;
  return TG_OK;
}

static tg_status list_library(tg_context *ctx, shared *s) {
  char path[4096];
  snprintf(path, sizeof path, "%s/kernels", tg_context_root(ctx));
  DIR *dir = opendir(path);
  if (!dir) return tg_error(ctx, TG_INVALID, "cannot list the kernel library %s: %s", path, strerror(errno));
  while (s->n) tg_context_allocate(ctx, (void *)s->names[--s->n], 0); // of an attempt that failed
  tg_status status = TG_OK;
  for (struct dirent *e; status == TG_OK && (e = readdir(dir));) {
    size_t n = strlen(e->d_name);
    if (n > 4 && strcmp(e->d_name + n - 4, ".lua") == 0 && e->d_name[0] != '.') status = add_name(ctx, s, e->d_name, n - 4);
  }
  closedir(dir);
  if (status == TG_OK && s->n > 1) qsort(s->names, (size_t)s->n, sizeof *s->names, by_name);
  s->listed = status == TG_OK;
  return status;
}

tg_status tg_library(tg_context *ctx, int *n, const char *const **names) {
  shared *s = shared_of(ctx);
  if (!s) return TG_NO_MEMORY;
  tg_status status = s->listed ? TG_OK : list_library(ctx, s);
  *n = status == TG_OK ? s->n : 0;
  *names = s->names;
  return status;
}

// ---- kernels' states

tg_status tg_lua_take(tg_context *ctx, tg_lua **out) {
  shared *s = shared_of(ctx);
  *out = NULL;
  if (!s) return TG_NO_MEMORY;
  if (!s->idle) return tg_lua_new(ctx, TG_LUA_KERNEL, out);
  *out = s->idle;
  s->idle = NULL;
  return TG_OK;
}

void tg_lua_give_back(tg_lua *lua) {
  if (!lua) return;
  shared *s = shared_of(lua->ctx);
  if (!s || s->idle || lua->failed) { // what an error left half done is nobody's business
    tg_lua_free(lua);
    return;
  }
  tg_lua_tidy(lua);
  s->idle = lua;
}

// ---- modules of the DSL

void tg_lua_push_file(lua_State *L, const char *name) {
  const char *chunk = lua_pushfstring(L, "=[tegula.%s]", name);
  const tg_dsl_module *m = tg_dsl_modules;
  while (m->name && strcmp(m->name, name) != 0) m++;
  if (m->name && strcmp(lua_ident, tg_dsl_lua) == 0) {
    if (luaL_loadbufferx(L, (const char *)m->code, m->size, chunk, "b") != LUA_OK) lua_error(L);
    lua_remove(L, -2);
    return;
  }
  // Another Lua than that of the build: its compiled form may differ, the text does not.
  tg_context *ctx = tg_lua_of(L)->ctx;
  const char *path = lua_pushfstring(L, "%s/lua/%s.lua", tg_context_root(ctx), name);
  char *text;
  size_t size;
  tg_lua_check(L, tg_lua_read_file(ctx, path, MODULE_BYTES, &text, &size));
  int status = luaL_loadbufferx(L, text, size, chunk, "t");
  tg_context_allocate(ctx, text, 0);
  if (status != LUA_OK) lua_error(L);
  lua_replace(L, -3); // where the chunk's name was
  lua_pop(L, 1);
}
