// Lua states with limits: memory through the allocator, VM instructions through a hook; errors from Lua to the context and back.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lua/binding.h"

enum { HOOK_STEP = 1024 }; // VM instructions between looks at the limits
// A kernel's trace takes some 10^5 VM instructions; 10^8 take about a second and end a loop that would never end.
#define KERNEL_STEPS 100000000
// Instructions that call into C on large texts and tables take longer each. CPU time, so that a laptop may sleep.
#define KERNEL_SECONDS 5
#define KERNEL_BYTES   ((size_t)256 << 20)
#define TIDY_BYTES     ((size_t)16 << 20) // the DSL itself takes half a megabyte, a trace about as much
#define SCRIPT_BYTES   ((size_t)1 << 30)  // host arrays are not Lua's memory and do not count

tg_lua *tg_lua_of(lua_State *L) { return *(tg_lua **)lua_getextraspace(L); }

// ---- where the user's code is

bool tg_lua_where(lua_State *L, const char **file, int *line) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.source[0] == '@' && ar.currentline > 0) { // modules of the DSL are named "=[tegula.…]"
      *file = ar.source + 1;
      *line = ar.currentline;
      return true;
    }
  }
  return false;
}

void tg_lua_check(lua_State *L, tg_status status) {
  if (status == TG_OK) return;
  const char *file, *message = tg_error_message(tg_lua_of(L)->ctx);
  int line;
  if (status == TG_NO_MEMORY) { // Lua's own words for it, which tg_lua_call knows again
    lua_pushliteral(L, "not enough memory");
    lua_error(L);
  }
  if (tg_lua_where(L, &file, &line)) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    size_t n = strlen(name);
    if (strncmp(message, name, n) != 0 || message[n] != ':') {
      lua_pushfstring(L, "%s:%d: %s", file, line, message);
      lua_error(L);
    }
  }
  lua_pushstring(L, message);
  lua_error(L);
}

int tg_lua_handler(lua_State *L) {
  const char *message = lua_tostring(L, 1), *file;
  int line;
  if (!message || lua_type(L, 1) != LUA_TSTRING) return 1;
  if (strncmp(message, "[tegula", 7) == 0 && tg_lua_where(L, &file, &line)) lua_pushfstring(L, "%s:%d: %s", file, line, message);
  return 1;
}

// ---- limits

static void *allocate(void *user, void *ptr, size_t old, size_t size) {
  tg_lua *lua = user;
  if (!ptr) old = 0;
  if (size > old && size - old > lua->max_bytes - lua->used) {
    const char *file;
    int line;
    lua->out_of_limit = true;
    if (lua->L && tg_lua_where(lua->L, &file, &line)) snprintf(lua->where, sizeof lua->where, "%s:%d: ", file, line);
    return NULL;
  }
  void *p = tg_context_allocate(lua->ctx, ptr, size);
  if (p || size == 0) lua->used = lua->used - old + size;
  return p;
}

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool out_of_time(tg_lua *lua, double now) {
  if (now - lua->began <= KERNEL_SECONDS) return false; // the clock that costs little to read first
  return seconds(CLOCK_THREAD_CPUTIME_ID) - lua->began_cpu > KERNEL_SECONDS;
}

// Looks come often enough that instructions which take long each are noticed in time.
static void pace(tg_lua *lua, lua_State *L, double now) {
  double taken = now - lua->looked;
  int step = lua->step;
  if (taken > 1e-3) lua->step = step > 16 ? step / 16 : 1;
  else if (step < HOOK_STEP && taken < 1e-4) lua->step = step * 2;
  lua->looked = now;
  if (lua->step == step) return;
  lua_sethook(L, tg_lua_look, LUA_MASKCOUNT, lua->step);
  lua->looked = seconds(CLOCK_MONOTONIC); // setting the hook goes through the whole stack
}

void tg_lua_look(lua_State *L, lua_Debug *ar) {
  tg_lua *lua = tg_lua_of(L);
  const char *file = NULL, *what = "steps";
  int line = 0, amount;
  (void)ar;
  if (*lua->interrupted) {
    tg_lua_where(L, &file, &line);
    lua_pushfstring(L, "interrupted at %s:%d", file ? file : "?", line);
    lua_error(L);
  }
  if (lua->kind != TG_LUA_KERNEL || lua->stopped) return; // what was stopped unwinds undisturbed: kernels have no pcall
  double now = seconds(CLOCK_MONOTONIC);
  lua->steps += lua->step;
  pace(lua, L, now);
  if (lua->steps > KERNEL_STEPS) amount = KERNEL_STEPS / 1000000, what = "million steps";
  else if (out_of_time(lua, now)) amount = KERNEL_SECONDS, what = "seconds";
  else return;
  lua->stopped = true;
  tg_lua_where(L, &file, &line);
  lua_pushfstring(L,
                  "%s:%d: the kernel's Lua code does not come to an end: stopped after %d %s; loops over data are range:fold or range:each",
                  file ? file : "?", line, amount, what);
  lua_error(L);
}

// ---- files

tg_status tg_lua_read_file(tg_context *ctx, const char *file, size_t max_bytes, char **text, size_t *size) {
  FILE *f = fopen(file, "rb");
  if (!f) return tg_error(ctx, TG_INVALID, "cannot open %s: %s", file, strerror(errno));
  size_t room = 1 << 14, n = 0;
  char *data = NULL;
  for (;;) {
    char *more = tg_context_allocate(ctx, data, room);
    if (!more) {
      tg_context_allocate(ctx, data, 0);
      fclose(f);
      return tg_error(ctx, TG_NO_MEMORY, "out of memory reading %s", file);
    }
    data = more;
    size_t got = fread(data + n, 1, room - 1 - n, f);
    n += got;
    if (got == 0 || n >= max_bytes) break;
    if (n == room - 1) room *= 2;
  }
  int failed = ferror(f) ? errno : 0;
  fclose(f);
  tg_status status = TG_OK;
  if (failed) status = tg_error(ctx, TG_INVALID, "cannot read %s: %s", file, strerror(failed));
  else if (n >= max_bytes) status = tg_error(ctx, TG_INVALID, "%s is larger than %zu KiB, the most that is read", file, max_bytes >> 10);
  if (status != TG_OK) {
    tg_context_allocate(ctx, data, 0);
    return status;
  }
  data[n] = 0;
  *text = data;
  *size = n;
  return TG_OK;
}

// ---- loading the DSL

// load_module(name, ...): runs lua/NAME.lua of the context's root with the arguments.
static int load_module(lua_State *L) {
  tg_lua_push_file(L, luaL_checkstring(L, 1));
  lua_replace(L, 1); // the function where the name was, then its arguments
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

typedef struct setup {
  tg_lua *lua;
  tg_lua_kind kind;
} setup;

static int set_up(lua_State *L) {
  setup *s = lua_touserdata(L, 1);
  if (s->kind == TG_LUA_SCRIPT) {
    luaL_openlibs(L);
  } else {
    static const luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},
                                         {LUA_TABLIBNAME, luaopen_table},
                                         {LUA_STRLIBNAME, luaopen_string},
                                         {LUA_MATHLIBNAME, luaopen_math},
                                         {LUA_UTF8LIBNAME, luaopen_utf8}};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
      luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
      lua_pop(L, 1);
    }
  }
  lua_pushcfunction(L, load_module);
  lua_pushliteral(L, "tegula");
  tg_lua_open_core(L);
  lua_pushcfunction(L, load_module);
  lua_call(L, 3, 1);
  s->lua->module = luaL_ref(L, LUA_REGISTRYINDEX);
  if (s->kind == TG_LUA_SCRIPT) return 0;
  tg_lua_push_module(L, "sandbox");
  lua_getfield(L, -1, "restrict_strings");
  lua_call(L, 0, 0);
  return 0;
}

void tg_lua_push_module(lua_State *L, const char *field) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, tg_lua_of(L)->module);
  lua_getfield(L, -1, field);
  lua_remove(L, -2);
}

tg_status tg_lua_new(tg_context *ctx, tg_lua_kind kind, tg_lua **out) {
  *out = NULL;
  tg_lua *lua = tg_context_allocate(ctx, NULL, sizeof *lua);
  if (!lua) return tg_error(ctx, TG_NO_MEMORY, "out of memory");
  tg_lua_signal *signal = tg_lua_signal_of(ctx);
  *lua = (tg_lua){.ctx = ctx, .kind = kind, .step = HOOK_STEP, .module = LUA_NOREF};
  lua->max_bytes = kind == TG_LUA_KERNEL ? KERNEL_BYTES : SCRIPT_BYTES;
  if (!signal) {
    tg_context_allocate(ctx, lua, 0);
    return TG_NO_MEMORY;
  }
  lua->interrupted = &signal->interrupted;
  lua_State *L = lua_newstate(allocate, lua);
  if (!L) {
    tg_context_allocate(ctx, lua, 0);
    return tg_error(ctx, TG_NO_MEMORY, "out of memory");
  }
  lua->L = L;
  *(tg_lua **)lua_getextraspace(L) = lua;
  setup s = {lua, kind};
  lua_gc(L, LUA_GCSTOP); // setting up leaves little garbage, and traces are short-lived and small
  tg_status status = tg_lua_call(lua, L, set_up, &s, TG_INVALID);
  if (status != TG_OK) {
    tg_lua_free(lua);
    return status;
  }
  if (kind == TG_LUA_SCRIPT) lua_gc(L, LUA_GCRESTART);
  lua_sethook(L, tg_lua_look, LUA_MASKCOUNT, lua->step); // coroutines inherit it
  *out = lua;
  return TG_OK;
}

void tg_lua_tidy(tg_lua *lua) {
  if (lua->used > TIDY_BYTES) lua_gc(lua->L, LUA_GCCOLLECT);
}

void tg_lua_free(tg_lua *lua) {
  if (!lua) return;
  lua_State *L = lua->L;
  lua_sethook(L, NULL, 0, 0);
  lua_close(L);
  tg_context_allocate(lua->ctx, lua, 0);
}

// ---- protected entry

// The message at the top says that memory ran out, also when it was caught and raised again on the way.
static bool is_memory_error(lua_State *L, int result) {
  return result == LUA_ERRMEM || (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "not enough memory") == 0);
}

tg_status tg_lua_call(tg_lua *lua, lua_State *L, lua_CFunction body, void *arg, tg_status status) {
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 8)) return tg_error(lua->ctx, TG_NO_MEMORY, "out of memory");
  lua->out_of_limit = false;
  lua->where[0] = 0;
  if (L == lua->L && top == 0) {
    lua->steps = 0;
    lua->stopped = false;
    lua->began = lua->looked = seconds(CLOCK_MONOTONIC);
    lua->began_cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
  }
  lua_pushcfunction(L, tg_lua_handler); // light C functions and light userdata take no memory
  lua_pushcfunction(L, body);
  lua_pushlightuserdata(L, arg);
  int result = lua_pcall(L, 1, 0, top + 1);
  if (result == LUA_OK) {
    status = TG_OK;
  } else if (lua->out_of_limit && is_memory_error(L, result)) {
    status = tg_error(lua->ctx, TG_INVALID, "%sthe Lua code wants more than its %zu MiB of memory", lua->where, lua->max_bytes >> 20);
  } else if (is_memory_error(L, result)) {
    status = tg_error(lua->ctx, TG_NO_MEMORY, "out of memory");
  } else {
    if (luaL_testudata(L, -1, TG_LUA_REFUSAL)) {
      status = TG_INVALID;
      lua_getiuservalue(L, -1, 1);
    }
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    status = tg_error(lua->ctx, status, "%s", message ? message : "an error that is not a text was raised");
  }
  lua->failed |= status != TG_OK;
  lua_settop(L, top);
  return status;
}
