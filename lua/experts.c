// tg.place_experts{loads, replicas, devices [, groups, nodes]} -> {slots, copies, places, loads, policy}
#include <string.h>

#include "lua/binding.h"

#define MOST 16384 // tg_place_experts' own limit, before memory is taken

static int field(lua_State *L, const char *key, int fallback) {
  lua_getfield(L, 1, key);
  if (lua_isnil(L, -1) && fallback) return lua_pop(L, 1), fallback;
  if (!lua_isinteger(L, -1)) luaL_error(L, "place_experts: %s must be a whole number, not %s", key, luaL_tolstring(L, -1, NULL));
  const lua_Integer x = lua_tointeger(L, -1);
  if (x < 1 || x > MOST) luaL_error(L, "place_experts: %s is %I, it must be 1 to %d", key, x, MOST);
  lua_pop(L, 1);
  return (int)x;
}

static void check_keys(lua_State *L) {
  static const char *const known[] = {"loads", "replicas", "devices", "groups", "nodes"};
  lua_pushnil(L);
  for (; lua_next(L, 1); lua_pop(L, 1)) {
    bool found = false;
    for (int i = 0; i < 5; i++) found |= lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), known[i]) == 0;
    if (!found)
      luaL_error(L, "place_experts: unknown field '%s'; there is loads, replicas, devices, groups, nodes", luaL_tolstring(L, -2, NULL));
  }
}

// The loads as doubles in a userdata, which stays on the stack: a list of numbers or a tensor of one axis.
static double *loads_at(lua_State *L, int *n) {
  lua_getfield(L, 1, "loads");
  const int from = lua_gettop(L);
  const tg_array *a = luaL_testudata(L, from, TG_LUA_TENSOR) ? tg_lua_array_at(L, from) : NULL;
  if (!a && !lua_istable(L, from))
    luaL_error(L, "place_experts: loads must be a list of numbers or a tensor, not a %s", luaL_typename(L, from));
  if (a && a->rank != 1) luaL_error(L, "place_experts: the loads of one layer are a tensor of one axis, this one has %d", a->rank);
  const lua_Integer count = a ? a->dim[0] : luaL_len(L, from);
  if (count > MOST) luaL_error(L, "place_experts: %I loads are too many; there may be %d", count, MOST);
  double *loads = lua_newuserdatauv(L, sizeof *loads * (size_t)(count + 1), 0);
  for (int i = 0; i < count; i++) {
    if (a) {
      loads[i] = tg_array_get(a, i);
      continue;
    }
    lua_rawgeti(L, from, i + 1);
    if (lua_type(L, -1) != LUA_TNUMBER) luaL_error(L, "place_experts: load %d is not a number", i + 1);
    loads[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  *n = (int)count;
  return loads;
}

static void set_integers(lua_State *L, const char *key, const int *list, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, list[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, key);
}

// places[e + 1]: the slots of expert e, from 0
static void set_places(lua_State *L, const tg_experts *s, const int *slots, const int *copies) {
  lua_createtable(L, s->experts, 0);
  for (int e = 0; e < s->experts; e++) {
    lua_createtable(L, copies[e], 0);
    lua_rawseti(L, -2, e + 1);
  }
  for (int i = 0; i < s->replicas; i++) {
    lua_rawgeti(L, -1, slots[i] + 1);
    lua_pushinteger(L, i);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
  lua_setfield(L, -2, "places");
}

static void set_device_loads(lua_State *L, const tg_experts *s, const double *loads, const int *slots, const int *copies) {
  const int each = s->replicas / s->devices;
  lua_createtable(L, s->devices, 0);
  for (int d = 0; d < s->devices; d++) {
    double sum = 0;
    for (int i = d * each; i < (d + 1) * each; i++) sum += loads[slots[i]] / copies[slots[i]];
    lua_pushnumber(L, sum);
    lua_rawseti(L, -2, d + 1);
  }
  lua_setfield(L, -2, "loads");
}

static int place_experts(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  check_keys(L);
  tg_experts s = {.replicas = field(L, "replicas", 0),
                  .groups = field(L, "groups", 1),
                  .nodes = field(L, "nodes", 1),
                  .devices = field(L, "devices", 0)};
  const double *loads = loads_at(L, &s.experts);
  const size_t room = (size_t)s.replicas + (size_t)s.experts;
  int *slots = lua_newuserdatauv(L, sizeof *slots * room, 0), *copies = slots + s.replicas;
  tg_lua_check(L, tg_place_experts(tg_lua_of(L)->ctx, &s, loads, slots, copies));
  lua_createtable(L, 0, 5);
  set_integers(L, "slots", slots, s.replicas);
  set_integers(L, "copies", copies, s.experts);
  set_places(L, &s, slots, copies);
  set_device_loads(L, &s, loads, slots, copies);
  lua_pushstring(L, tg_experts_hierarchical(&s) ? "hierarchical" : "global");
  lua_setfield(L, -2, "policy");
  return 1;
}

void tg_lua_open_experts(lua_State *L) {
  lua_pushcfunction(L, place_experts);
  lua_setfield(L, -2, "place_experts");
}
