// What the Lua states of a context share: the list of the library's kernels and the DSL's modules, compiled once.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"

#define MODULE_BYTES (1u << 20)

typedef struct module {
  struct module *next;
  char name[32];
  size_t size;
  char code[]; // as lua_dump gives it; it never leaves this process
} module;

typedef struct shared {
  bool listed;
  int n;
  const char **names;
  module *modules;
} shared;

static void release(tg_context *ctx, void *state) {
  shared *s = state;
  for (int i = 0; i < s->n; i++) tg_context_allocate(ctx, (void *)s->names[i], 0);
  tg_context_allocate(ctx, s->names, 0);
  for (module *m = s->modules, *next; m; m = next) {
    next = m->next;
    tg_context_allocate(ctx, m, 0);
  }
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

// ---- modules of the DSL

static int measure(lua_State *L, const void *data, size_t size, void *user) {
  (void)L, (void)data;
  *(size_t *)user += size;
  return 0;
}

static int append(lua_State *L, const void *data, size_t size, void *user) {
  module *m = user;
  (void)L;
  memcpy(m->code + m->size, data, size);
  m->size += size;
  return 0;
}

// Keeps the function at the top under the name; without memory for it, the next state compiles again.
static void keep(lua_State *L, shared *s, const char *name) {
  size_t size = 0;
  lua_dump(L, measure, &size, 0);
  module *m = tg_context_allocate(tg_lua_of(L)->ctx, NULL, sizeof *m + size);
  if (!m) return;
  *m = (module){.next = s->modules};
  snprintf(m->name, sizeof m->name, "%s", name);
  lua_dump(L, append, m, 0);
  s->modules = m;
}

void tg_lua_push_file(lua_State *L, const char *name) {
  tg_context *ctx = tg_lua_of(L)->ctx;
  shared *s = shared_of(ctx);
  if (!s) tg_lua_check(L, TG_NO_MEMORY);
  const char *chunk = lua_pushfstring(L, "=[tegula.%s]", name);
  for (const module *m = s->modules; m; m = m->next) {
    if (strcmp(m->name, name) != 0) continue;
    if (luaL_loadbufferx(L, m->code, m->size, chunk, "b") != LUA_OK) lua_error(L);
    lua_remove(L, -2);
    return;
  }
  const char *path = lua_pushfstring(L, "%s/lua/%s.lua", tg_context_root(ctx), name);
  char *text;
  size_t size;
  tg_lua_check(L, tg_lua_read_file(ctx, path, MODULE_BYTES, &text, &size));
  int status = luaL_loadbufferx(L, text, size, chunk, "t");
  tg_context_allocate(ctx, text, 0);
  if (status != LUA_OK) lua_error(L);
  keep(L, s, name);
  lua_replace(L, -3); // where the chunk's name was
  lua_pop(L, 1);
}
