// Host arrays for scripts: tg.tensor(dtype, shape [, values]), tg.read(file [, dtype]) and their methods. Indices count from 0, like those
// of kernels; axes and Lua lists from 1.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lua/binding.h"

#define TENSOR TG_LUA_TENSOR

static tg_array **box_at(lua_State *L, int index) { return luaL_checkudata(L, index, TENSOR); }

tg_array *tg_lua_array_at(lua_State *L, int index) {
  tg_array *a = *box_at(L, index);
  if (!a) luaL_error(L, "the tensor was never filled");
  return a;
}
#define array_at tg_lua_array_at

tg_array **tg_lua_push_array(lua_State *L) {
  tg_array **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, TENSOR);
  return box;
}

static int64_t elements(const tg_array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->rank; i++) n *= a->dim[i];
  return n;
}

// The collector does not see the arrays' bytes: let it work in proportion.
void tg_lua_charge(lua_State *L, const tg_array *a) { lua_gc(L, LUA_GCSTEP, (int)(a->bytes >> 12 > 100000 ? 100000 : a->bytes >> 12)); }

tg_dtype tg_lua_dtype_at(lua_State *L, int index) {
  const char *name = luaL_checkstring(L, index);
  tg_dtype dtype = tg_dtype_find(name);
  if (dtype < 0) luaL_error(L, "'%s' is not a dtype; dtypes are tg.f32, tg.bf16, tg.e4m3, tg.i32 and so on", name);
  return dtype;
}

static int array_gc(lua_State *L) {
  tg_array **box = box_at(L, 1);
  if (*box) tg_array_free(tg_lua_of(L)->ctx, *box);
  *box = NULL;
  return 0;
}

// ---- making

// tensor(dtype, {dims} [, {values}]) or tensor(dtype, dim…)
static int make(lua_State *L) {
  tg_dtype dtype = tg_lua_dtype_at(L, 1);
  int64_t dim[8];
  int rank = 0, last = lua_gettop(L);
  bool list = lua_istable(L, 2);
  rank = list ? (int)luaL_len(L, 2) : last - 1;
  if (rank > 8) return luaL_error(L, "a tensor has at most 8 axes, not %d", rank);
  for (int i = 0; i < rank; i++) {
    if (list) lua_rawgeti(L, 2, i + 1);
    else lua_pushvalue(L, 2 + i);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0)
      return luaL_error(L, "dim %d of the tensor is not an integer of 0 or more", i + 1);
    dim[i] = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  tg_array **box = tg_lua_push_array(L);
  tg_lua_check(L, tg_array_new(tg_lua_of(L)->ctx, dtype, rank, dim, box));
  tg_lua_charge(L, *box);
  if (!list || !lua_istable(L, 3)) return 1;
  int64_t n = elements(*box);
  if ((int64_t)luaL_len(L, 3) != n) return luaL_error(L, "the shape has %I elements, %I values were given", (lua_Integer)n, luaL_len(L, 3));
  for (int64_t i = 0; i < n; i++) {
    lua_rawgeti(L, 3, i + 1);
    if (lua_type(L, -1) != LUA_TNUMBER) return luaL_error(L, "value %I is not a number", (lua_Integer)i + 1);
    tg_array_set(*box, i, lua_tonumber(L, -1));
    lua_pop(L, 1);
  }
  return 1;
}

static int read_npy(lua_State *L) {
  const char *file = luaL_checkstring(L, 1);
  tg_dtype dtype = lua_isnoneornil(L, 2) ? -1 : tg_lua_dtype_at(L, 2);
  tg_array **box = tg_lua_push_array(L);
  tg_lua_check(L, tg_npy_read(tg_lua_of(L)->ctx, file, dtype, box));
  tg_lua_charge(L, *box);
  return 1;
}

static int write_npy(lua_State *L) {
  tg_lua_check(L, tg_npy_write(tg_lua_of(L)->ctx, luaL_checkstring(L, 2), array_at(L, 1)));
  lua_settop(L, 1);
  return 1;
}

static tg_array *push_like(lua_State *L, const tg_array *a, tg_dtype dtype) {
  tg_array **box = tg_lua_push_array(L);
  tg_lua_check(L, tg_array_new(tg_lua_of(L)->ctx, dtype, a->rank, a->dim, box));
  tg_lua_charge(L, *box);
  return *box;
}

static int copy(lua_State *L) {
  const tg_array *a = array_at(L, 1);
  tg_array *b = push_like(L, a, a->dtype);
  if (a->bytes) memcpy(b->data, a->data, a->bytes);
  return 1;
}

static int convert(lua_State *L) {
  const tg_array *a = array_at(L, 1);
  tg_array *b = push_like(L, a, tg_lua_dtype_at(L, 2));
  for (int64_t i = 0, n = elements(a); i < n; i++) tg_array_set(b, i, tg_array_get(a, i));
  return 1;
}

// ---- elements

static int64_t flat_index(lua_State *L, const tg_array *a, int first) {
  int64_t flat = 0;
  for (int i = 0; i < a->rank; i++) {
    if (!lua_isinteger(L, first + i)) luaL_error(L, "index %d must be an integer; the tensor has %d axes", i + 1, a->rank);
    lua_Integer x = lua_tointeger(L, first + i);
    if (x < 0 || x >= a->dim[i]) luaL_error(L, "index %d is %I, the axis has elements 0 to %I", i + 1, x, (lua_Integer)a->dim[i] - 1);
    flat = flat * a->dim[i] + x;
  }
  return flat;
}

static int get(lua_State *L) {
  const tg_array *a = array_at(L, 1);
  if (lua_gettop(L) != 1 + a->rank) return luaL_error(L, "get wants %d indices, %d were given", a->rank, lua_gettop(L) - 1);
  double x = tg_array_get(a, flat_index(L, a, 2));
  if (!tg_dtype_is_float(a->dtype) && x == floor(x) && fabs(x) <= 9007199254740992.0) lua_pushinteger(L, (lua_Integer)x);
  else lua_pushnumber(L, x);
  return 1;
}

static int set(lua_State *L) {
  tg_array *a = array_at(L, 1);
  if (lua_gettop(L) != 2 + a->rank)
    return luaL_error(L, "set wants %d indices and a value, %d arguments were given", a->rank, lua_gettop(L) - 1);
  tg_array_set(a, flat_index(L, a, 2), luaL_checknumber(L, 2 + a->rank));
  return 0;
}

static int fill(lua_State *L) {
  tg_array *a = array_at(L, 1);
  double x = luaL_checknumber(L, 2);
  for (int64_t i = 0, n = elements(a); i < n; i++) tg_array_set(a, i, x);
  lua_settop(L, 1);
  return 1;
}

// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), by counter: element i of a seed is always the
// same.
static uint64_t random_bits(uint64_t seed, uint64_t i) {
  uint64_t z = seed * 0xd1342543de82ef95u + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static double unit(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

// t:uniform(seed [, low, high]): in [low, high), [-1, 1) by default
static int uniform(lua_State *L) {
  tg_array *a = array_at(L, 1);
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 2);
  double low = luaL_optnumber(L, 3, -1), high = luaL_optnumber(L, 4, 1);
  bool whole = !tg_dtype_is_float(a->dtype);
  for (int64_t i = 0, n = elements(a); i < n; i++) {
    double x = low + (high - low) * unit(random_bits(seed, (uint64_t)i));
    tg_array_set(a, i, whole ? floor(x) : x);
  }
  lua_settop(L, 1);
  return 1;
}

// t:normal(seed [, deviation]): mean 0, by Box and Muller
static int normal(lua_State *L) {
  tg_array *a = array_at(L, 1);
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 2);
  double deviation = luaL_optnumber(L, 3, 1);
  for (int64_t i = 0, n = elements(a); i < n; i++) {
    double u = 1 - unit(random_bits(seed, 2 * (uint64_t)i)), v = unit(random_bits(seed, 2 * (uint64_t)i + 1));
    tg_array_set(a, i, deviation * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
  }
  lua_settop(L, 1);
  return 1;
}

// ---- comparing

static void same_shape(lua_State *L, const tg_array *a, const tg_array *b) {
  bool same = a->rank == b->rank;
  for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
  if (!same) luaL_error(L, "the two tensors differ in shape");
}

static double tolerance(lua_State *L, int index, const char *key) {
  if (!lua_istable(L, index)) return 0;
  lua_getfield(L, index, key);
  double x = luaL_optnumber(L, -1, 0);
  lua_pop(L, 1);
  return x;
}

static void set_number(lua_State *L, const char *key, double x) {
  lua_pushnumber(L, x);
  lua_setfield(L, -2, key);
}

// got:compare(want [, {rel =, abs =}]) -> ok, {bad, max_abs, at, got, want}: |got - want| <= abs + rel*|want|; NaN equals NaN
static int compare(lua_State *L) {
  const tg_array *a = array_at(L, 1), *b = array_at(L, 2);
  same_shape(L, a, b);
  double rel = tolerance(L, 3, "rel"), absolute = tolerance(L, 3, "abs"), worst = 0;
  int64_t bad = 0, at = -1, n = elements(a);
  for (int64_t i = 0; i < n; i++) {
    double x = tg_array_get(a, i), y = tg_array_get(b, i);
    if (x == y || (isnan(x) && isnan(y))) continue;
    double error = fabs(x - y);
    bool wrong = !(error <= absolute + rel * fabs(y));
    if (at < 0 || isnan(error) || error > worst) {
      if (!isnan(worst)) worst = error, at = i;
    }
    bad += wrong;
  }
  lua_pushboolean(L, bad == 0);
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, bad);
  lua_setfield(L, -2, "bad");
  set_number(L, "max_abs", worst);
  if (at < 0) return 2;
  set_number(L, "got", tg_array_get(a, at));
  set_number(L, "want", tg_array_get(b, at));
  lua_createtable(L, a->rank, 0);
  for (int i = a->rank - 1; i >= 0; i--) {
    lua_pushinteger(L, at % a->dim[i]);
    lua_rawseti(L, -2, i + 1);
    at /= a->dim[i];
  }
  lua_setfield(L, -2, "at");
  return 2;
}

// ---- looks

static void add_shape(luaL_Buffer *b, const tg_array *a) {
  char text[32];
  luaL_addchar(b, '[');
  for (int i = 0; i < a->rank; i++) {
    snprintf(text, sizeof text, "%s%lld", i ? "x" : "", (long long)a->dim[i]);
    luaL_addstring(b, text);
  }
  luaL_addchar(b, ']');
}

static int to_string(lua_State *L) {
  const tg_array *a = array_at(L, 1);
  int64_t n = elements(a), shown = n > 8 ? 8 : n;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "tensor ");
  luaL_addstring(&b, tg_dtype_name(a->dtype));
  add_shape(&b, a);
  luaL_addstring(&b, " {");
  for (int64_t i = 0; i < shown; i++) {
    char text[40];
    snprintf(text, sizeof text, "%s%.6g", i ? ", " : "", tg_array_get(a, i));
    luaL_addstring(&b, text);
  }
  luaL_addstring(&b, shown < n ? ", …}" : "}");
  luaL_pushresult(&b);
  return 1;
}

static int length(lua_State *L) {
  lua_pushinteger(L, elements(array_at(L, 1)));
  return 1;
}

static int index_of(lua_State *L) {
  const tg_array *a = array_at(L, 1);
  const char *key = lua_tostring(L, 2);
  if (key && strcmp(key, "dtype") == 0) {
    lua_pushstring(L, tg_dtype_name(a->dtype));
    return 1;
  }
  if (key && strcmp(key, "shape") == 0) {
    lua_createtable(L, a->rank, 0);
    for (int i = 0; i < a->rank; i++) {
      lua_pushinteger(L, a->dim[i]);
      lua_rawseti(L, -2, i + 1);
    }
    return 1;
  }
  lua_pushvalue(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING && lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  return luaL_error(L, "tensors have no '%s'; elements are t:get(i, …) and t:set(i, …, value), indices count from 0",
                    luaL_tolstring(L, 2, NULL));
}

static int no_assignment(lua_State *L) { return luaL_error(L, "elements of a tensor are set with t:set(i, …, value)"); }

void tg_lua_open_arrays(lua_State *L) {
  static const luaL_Reg methods[] = {{"get", get},         {"set", set},         {"fill", fill}, {"uniform", uniform}, {"normal", normal},
                                     {"compare", compare}, {"write", write_npy}, {"copy", copy}, {"to", convert},      {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", array_gc}, {"__tostring", to_string}, {"__len", length}, {"__newindex", no_assignment}, {NULL, NULL}};
  luaL_newmetatable(L, TENSOR);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, index_of, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, make);
  lua_setfield(L, -2, "tensor");
  lua_pushcfunction(L, read_npy);
  lua_setfield(L, -2, "read");
}
