// Kernel sources: loading a Lua file, tracing it for its signature or in full.
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"

#define SOURCE_BYTES (1u << 20)

typedef struct signature {
  struct signature *next;
  tg_kernel *kernel;
  char key[]; // the settings it was traced under
} signature;

struct tg_source {
  tg_context *ctx;
  tg_lua *lua;
  bool owns_lua;
  lua_State *L;       // a thread of lua's, anchored in the registry when the state is a script's
  int thread, kernel; // registry references
  signature *signatures;
  char *file; // NULL when the kernel is a script's
};

// ---- loading

static tg_status unknown_kernel(tg_context *ctx, const char *name) {
  int n;
  const char *const *names;
  tg_status status = tg_library(ctx, &n, &names);
  if (status != TG_OK) return status;
  char list[2048];
  size_t used = 0;
  list[0] = 0;
  for (int i = 0; i < n && used < sizeof list - 64; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s", i ? ", " : "", names[i]);
  return tg_error(ctx, TG_INVALID,
                  "there is no library kernel '%s'; there is %s; a kernel of your own is named by its file, ending in .lua", name, list);
}

static bool is_file_name(const char *name) {
  size_t n = strlen(name);
  return strchr(name, '/') || (n > 4 && strcmp(name + n - 4, ".lua") == 0);
}

typedef struct load_args {
  tg_source *source;
  const char *text, *chunk;
  size_t size;
} load_args;

static int load_body(lua_State *L) {
  load_args *a = lua_touserdata(L, 1);
  tg_lua_push_module(L, "sandbox");
  lua_getfield(L, -1, "load_kernel");
  lua_pushlstring(L, a->text, a->size);
  lua_pushfstring(L, "@%s", a->chunk);
  lua_call(L, 2, 1);
  a->source->kernel = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static tg_status load_file(tg_source *source, const char *path) {
  tg_context *ctx = source->ctx;
  load_args a = {.source = source};
  char *text;
  tg_status status = tg_lua_read_file(ctx, path, SOURCE_BYTES, &text, &a.size);
  if (status != TG_OK) return status;
  const char *slash = strrchr(path, '/');
  a.chunk = slash ? slash + 1 : path;
  a.text = text;
  status = tg_lua_take(ctx, &source->lua);
  if (status == TG_OK) {
    source->owns_lua = true;
    source->L = source->lua->L;
    status = tg_lua_call(source->lua, source->L, load_body, &a, TG_INVALID);
  }
  tg_context_allocate(ctx, text, 0);
  return status;
}

static tg_source *new_source(tg_context *ctx) {
  tg_source *source = tg_context_allocate(ctx, NULL, sizeof *source);
  if (source) *source = (tg_source){.ctx = ctx, .thread = LUA_NOREF, .kernel = LUA_NOREF};
  else tg_error(ctx, TG_NO_MEMORY, "out of memory");
  return source;
}

static tg_status first_signature(tg_source *source) {
  tg_kernel *kernel;
  return tg_source_signature(source, NULL, &kernel);
}

static tg_status keep_file(tg_source *source, const char *path) {
  source->file = tg_context_allocate(source->ctx, NULL, strlen(path) + 1);
  if (!source->file) return tg_error(source->ctx, TG_NO_MEMORY, "out of memory");
  strcpy(source->file, path);
  return TG_OK;
}

const char *tg_source_file(const tg_source *source) { return source->file; }

tg_status tg_source_load(tg_context *ctx, const char *name_or_file, tg_source **out) {
  *out = NULL;
  char path[4096];
  if (is_file_name(name_or_file)) {
    snprintf(path, sizeof path, "%s", name_or_file);
  } else {
    if ((size_t)snprintf(path, sizeof path, "%s/kernels/%s.lua", tg_context_root(ctx), name_or_file) >= sizeof path) {
      return tg_error(ctx, TG_INVALID, "the kernel's name is too long");
    }
    FILE *f = fopen(path, "rb");
    if (!f) return unknown_kernel(ctx, name_or_file);
    fclose(f);
  }
  tg_source *source = new_source(ctx);
  if (!source) return TG_NO_MEMORY;
  tg_status status = keep_file(source, path);
  if (status == TG_OK) status = load_file(source, path);
  if (status == TG_OK) status = first_signature(source);
  if (status != TG_OK) {
    tg_source_free(source);
    return status;
  }
  *out = source;
  return TG_OK;
}

tg_status tg_source_of_script(tg_lua *lua, lua_State *L, int index, tg_source **out) {
  index = lua_absindex(L, index);
  lua_State *thread = lua_newthread(L); // what may raise comes before what would be lost then
  int thread_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, index);
  int kernel_ref = luaL_ref(L, LUA_REGISTRYINDEX);
  tg_source *source = new_source(lua->ctx);
  if (!source) return TG_NO_MEMORY;
  source->lua = lua;
  source->L = thread;
  source->thread = thread_ref;
  source->kernel = kernel_ref;
  tg_status status = first_signature(source);
  if (status != TG_OK) {
    tg_source_free(source);
    return status;
  }
  *out = source;
  return TG_OK;
}

void tg_source_free(tg_source *source) {
  if (!source) return;
  for (signature *s = source->signatures; s;) {
    signature *next = s->next;
    tg_kernel_free(s->kernel);
    tg_context_allocate(source->ctx, s, 0);
    s = next;
  }
  if (source->owns_lua) {
    luaL_unref(source->L, LUA_REGISTRYINDEX, source->kernel);
    tg_lua_give_back(source->lua);
  } else if (source->lua) {
    luaL_unref(source->lua->L, LUA_REGISTRYINDEX, source->thread);
    luaL_unref(source->lua->L, LUA_REGISTRYINDEX, source->kernel);
  }
  if (source->file) tg_context_allocate(source->ctx, source->file, 0);
  tg_context_allocate(source->ctx, source, 0);
}

// ---- tracing

typedef struct trace_args {
  tg_source *source;
  bool signature;
  const tg_bindings *settings, *statics;
  tg_kernel *kernel;
} trace_args;

static void push_bindings(lua_State *L, const tg_bindings *b) {
  lua_newtable(L);
  for (int i = 0; b && i < b->n; i++) {
    lua_pushstring(L, b->at[i].value);
    lua_setfield(L, -2, b->at[i].name);
  }
}

static int trace_body(lua_State *L) {
  trace_args *a = lua_touserdata(L, 1);
  tg_lua_push_module(L, "trace");
  lua_rawgeti(L, LUA_REGISTRYINDEX, a->source->kernel);
  lua_pushboolean(L, a->signature);
  push_bindings(L, a->settings);
  push_bindings(L, a->statics);
  lua_call(L, 4, 1);
  tg_kernel **box = lua_touserdata(L, -1);
  a->kernel = *box;
  *box = NULL; // ours now
  return 0;
}

static tg_status trace(trace_args *a) {
  tg_lua *lua = a->source->lua;
  const bool collects = lua_gc(lua->L, LUA_GCISRUNNING); // a script's state does
  lua_gc(lua->L, LUA_GCSTOP);
  tg_status status = tg_lua_call(lua, a->source->L, trace_body, a, TG_INVALID);
  if (collects) lua_gc(lua->L, LUA_GCRESTART);
  else tg_lua_tidy(lua);
  return status;
}

tg_status tg_source_trace(tg_source *source, const tg_bindings *settings, const tg_bindings *statics, tg_kernel **out) {
  trace_args a = {.source = source, .settings = settings, .statics = statics};
  tg_status status = trace(&a);
  *out = status == TG_OK ? a.kernel : NULL;
  return status;
}

// "name=value\n…": what tells signatures apart.
static size_t key_of(const tg_bindings *settings, char *key) {
  size_t n = 0;
  for (int i = 0; settings && i < settings->n; i++) {
    const char *parts[] = {settings->at[i].name, "=", settings->at[i].value, "\n"};
    for (int j = 0; j < 4; j++) {
      size_t length = strlen(parts[j]);
      if (key) memcpy(key + n, parts[j], length);
      n += length;
    }
  }
  if (key) key[n] = 0;
  return n;
}

tg_status tg_source_signature(tg_source *source, const tg_bindings *settings, tg_kernel **out) {
  *out = NULL;
  signature *s = tg_context_allocate(source->ctx, NULL, sizeof *s + key_of(settings, NULL) + 1);
  if (!s) return tg_error(source->ctx, TG_NO_MEMORY, "out of memory");
  key_of(settings, s->key);
  for (signature *old = source->signatures; old; old = old->next) {
    if (strcmp(old->key, s->key) == 0) {
      tg_context_allocate(source->ctx, s, 0);
      *out = old->kernel;
      return TG_OK;
    }
  }
  trace_args a = {.source = source, .signature = true, .settings = settings};
  tg_status status = trace(&a);
  if (status != TG_OK) {
    tg_context_allocate(source->ctx, s, 0);
    return status;
  }
  s->kernel = *out = a.kernel;
  s->next = source->signatures;
  source->signatures = s;
  return TG_OK;
}
