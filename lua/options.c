// What scripts' calls take as tables: name = value lists and options.
#include <stdio.h>
#include <string.h>

#include "lua/script.h"

// ---- interrupts

// Between these an interrupt is not waited for: what they surround may run for minutes.
void tg_lua_enter(lua_State *L) {
  tg_lua_signal *s = tg_lua_signal_of(tg_lua_of(L)->ctx);
  const char *file = "?";
  int line = 0;
  tg_lua_where(L, &file, &line);
  snprintf(s->where, sizeof s->where, "%s:%d", file, line);
  s->busy = 1;
  if (!s->interrupted) return;
  s->busy = 0;
  luaL_error(L, "interrupted at %s", s->where);
}

void tg_lua_leave(lua_State *L) { tg_lua_signal_of(tg_lua_of(L)->ctx)->busy = 0; }

// ---- name = value tables as bindings

// The table's entries as text; everything stays alive on the stack until the caller returns.
static tg_bindings bindings_at(lua_State *L, int table, const char *what) {
  tg_bindings list = {0};
  if (lua_isnil(L, table)) return list;
  luaL_argexpected(L, lua_istable(L, table), table, what);
  tg_binding *at = lua_newuserdatauv(L, TG_LUA_MAX_ARGUMENTS * sizeof *at, 0);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    if (list.n == TG_LUA_MAX_ARGUMENTS) luaL_error(L, "%s: more than %d entries", what, TG_LUA_MAX_ARGUMENTS);
    luaL_checkstack(L, 8, "settings");
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "%s: names are texts", what);
    const char *name = lua_tostring(L, -2), *value;
    if (lua_isinteger(L, -1)) value = lua_pushfstring(L, "%I", lua_tointeger(L, -1));
    else if (lua_type(L, -1) == LUA_TNUMBER) value = lua_pushfstring(L, "%f", lua_tonumber(L, -1));
    else if (lua_type(L, -1) == LUA_TSTRING) value = lua_pushfstring(L, "%s", lua_tostring(L, -1));
    else luaL_error(L, "%s: the value of '%s' must be a number or a text", what, name), value = NULL;
    at[list.n++] = (tg_binding){name, value};
    lua_insert(L, -3); // below key and value
    lua_pop(L, 1);
  }
  list.at = at;
  return list;
}

tg_bindings tg_lua_option_bindings(lua_State *L, int options, const char *key) {
  if (!lua_istable(L, options)) return (tg_bindings){0};
  lua_getfield(L, options, key);
  return bindings_at(L, lua_gettop(L), key);
}

// Pushes an option; false when it is not given. One of another kind is an error that names it.
static bool push_option(lua_State *L, int options, const char *key, bool (*fits)(lua_State *L, int index), const char *want) {
  if (!lua_istable(L, options)) return false;
  luaL_checkstack(L, 8, "options");
  lua_getfield(L, options, key);
  if (lua_isnil(L, -1)) return false;
  if (!fits(L, -1)) luaL_error(L, "option '%s' must be %s, not %s", key, want, luaL_tolstring(L, -1, NULL));
  return true;
}

static bool is_integer(lua_State *L, int index) { return lua_type(L, index) == LUA_TNUMBER && lua_isinteger(L, index); }
static bool is_number(lua_State *L, int index) { return lua_type(L, index) == LUA_TNUMBER; }
static bool is_boolean(lua_State *L, int index) { return lua_isboolean(L, index); }
static bool is_text(lua_State *L, int index) { return lua_type(L, index) == LUA_TSTRING; }
static bool is_device(lua_State *L, int index) { return is_text(L, index) || luaL_testudata(L, index, TG_LUA_DEVICE); }

int64_t tg_lua_option_integer(lua_State *L, int options, const char *key, int64_t fallback) {
  return push_option(L, options, key, is_integer, "an integer") ? lua_tointeger(L, -1) : fallback;
}

bool tg_lua_option_boolean(lua_State *L, int options, const char *key, bool fallback) {
  return push_option(L, options, key, is_boolean, "true or false") ? lua_toboolean(L, -1) : fallback;
}

const char *tg_lua_option_string(lua_State *L, int options, const char *key, const char *fallback) {
  return push_option(L, options, key, is_text, "a text") ? lua_tostring(L, -1) : fallback; // stays on the stack, and so alive
}

// A device by name, or one that tg.device gave.
const char *tg_lua_option_device(lua_State *L, int options) {
  if (!push_option(L, options, "device", is_device, "a device or its name")) return "cpu";
  tg_device **box = luaL_testudata(L, -1, TG_LUA_DEVICE);
  if (box && !*box) luaL_error(L, "the device is closed");
  return box ? tg_device_name(*box) : lua_tostring(L, -1);
}

void tg_lua_check_options(lua_State *L, int options, const char *const *allowed) {
  if (lua_isnoneornil(L, options)) return;
  luaL_checktype(L, options, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, options)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    bool known = false;
    for (int i = 0; allowed[i]; i++) known |= strcmp(allowed[i], key) == 0;
    if (!known) {
      lua_pushstring(L, allowed[0]);
      for (int i = 1; allowed[i]; i++) {
        lua_pushfstring(L, ", %s", allowed[i]);
        lua_concat(L, 2);
      }
      luaL_error(L, "unknown option '%s'; there is %s", key, lua_tostring(L, -1));
    }
    lua_pop(L, 1);
  }
}

double tg_lua_option_number(lua_State *L, int options, const char *key) {
  return push_option(L, options, key, is_number, "a number") ? lua_tonumber(L, -1) : 0;
}
