// Tensors on a device for scripts: device:buffer(…) and its methods.
#include <stdio.h>
#include <string.h>

#include "lua/script.h"

static tg_buffer **box_at(lua_State *L, int index) { return luaL_checkudata(L, index, TG_LUA_BUFFER); }

tg_buffer *tg_lua_buffer_at(lua_State *L, int index) {
  tg_buffer *b = *box_at(L, index);
  if (!b) luaL_error(L, "the buffer is closed");
  return b;
}
#define buffer_at tg_lua_buffer_at

tg_buffer **tg_lua_push_buffer(lua_State *L) {
  tg_buffer **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, TG_LUA_BUFFER);
  return box;
}

int tg_lua_dims_at(lua_State *L, int first, int64_t dim[8]) {
  const bool list = lua_istable(L, first);
  const lua_Integer rank = list ? luaL_len(L, first) : lua_gettop(L) - first + 1;
  if (rank > 8) luaL_error(L, "there are at most 8 axes, not %I", rank);
  for (int i = 0; i < rank; i++) {
    if (list) lua_rawgeti(L, first, i + 1);
    else lua_pushvalue(L, first + i);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 0) luaL_error(L, "dim %d is not an integer of 0 or more", i + 1);
    dim[i] = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  return (int)rank;
}

// device:buffer(dtype, {dims}) or device:buffer(dtype, dim…): zeroed; device:buffer(tensor): a copy
int tg_lua_new_buffer(lua_State *L) {
  tg_device *device = tg_lua_device_at(L, 1);
  const tg_array *from = luaL_testudata(L, 2, TG_LUA_TENSOR) ? tg_lua_array_at(L, 2) : NULL;
  tg_array like = {.dtype = from ? from->dtype : tg_lua_dtype_at(L, 2)};
  if (from) like = *from;
  else like.rank = tg_lua_dims_at(L, 3, like.dim);
  tg_buffer **box = tg_lua_push_buffer(L);
  tg_status status = tg_buffer_new(device, like.dtype, like.rank, like.dim, box);
  if (status == TG_NO_MEMORY && lua_gc(L, LUA_GCCOLLECT) == 0) status = tg_buffer_new(device, like.dtype, like.rank, like.dim, box);
  tg_lua_check(L, status);
  tg_lua_charge(L, &(tg_array){.bytes = tg_buffer_bytes(*box)});
  if (from) tg_lua_check(L, tg_buffer_write(*box, from));
  return 1;
}

static int close_buffer(lua_State *L) {
  tg_buffer **box = box_at(L, 1);
  tg_buffer_free(*box);
  *box = NULL;
  return 0;
}

static int write_buffer(lua_State *L) {
  tg_lua_check(L, tg_buffer_write(buffer_at(L, 1), tg_lua_array_at(L, 2)));
  lua_settop(L, 1);
  return 1;
}

// b:read([tensor]): into the tensor given, else into a new one
static int read_buffer(lua_State *L) {
  const tg_buffer *b = buffer_at(L, 1);
  if (lua_isnoneornil(L, 2)) {
    const int64_t *dim;
    const int rank = tg_buffer_dims(b, &dim);
    lua_settop(L, 1);
    tg_array **box = tg_lua_push_array(L);
    tg_lua_check(L, tg_array_new(tg_lua_of(L)->ctx, tg_buffer_dtype(b), rank, dim, box));
    tg_lua_charge(L, *box);
  }
  tg_lua_check(L, tg_buffer_read(buffer_at(L, 1), tg_lua_array_at(L, 2)));
  lua_settop(L, 2);
  return 1;
}

static int64_t elements_of(const tg_buffer *b) {
  const int64_t *dim;
  const int rank = tg_buffer_dims(b, &dim);
  int64_t n = tg_buffer_bytes(b) > 0; // an empty one's other dims may have any size
  for (int i = 0; n && i < rank; i++) n *= dim[i];
  return n;
}

// b:view(dims…): the same bytes under other dims
static int view(lua_State *L) {
  tg_buffer *b = buffer_at(L, 1);
  int64_t dim[8], elements = 1;
  const int rank = tg_lua_dims_at(L, 2, dim);
  for (int i = 0; i < rank; i++)
    if (__builtin_mul_overflow(elements, dim[i], &elements)) elements = INT64_MAX;
  if (elements != elements_of(b))
    return luaL_error(L, "a view of %s has as many elements as it, not %I", luaL_tolstring(L, 1, NULL), (lua_Integer)elements);
  tg_lua_check(L, tg_buffer_view(b, 0, tg_buffer_dtype(b), rank, dim, tg_lua_push_buffer(L)));
  return 1;
}

// b:slice(start, count): rows start … start + count - 1 of the first axis
static int slice(lua_State *L) {
  tg_buffer *b = buffer_at(L, 1);
  const int64_t *whole;
  int64_t dim[8];
  const int rank = tg_buffer_dims(b, &whole);
  const lua_Integer start = luaL_checkinteger(L, 2), count = luaL_checkinteger(L, 3);
  if (rank == 0) return luaL_error(L, "%s has no axis to slice", luaL_tolstring(L, 1, NULL));
  if (start < 0 || count < 0 || start > whole[0] || count > whole[0] - start)
    return luaL_error(L, "%I rows from row %I on lead outside of %s", count, start, luaL_tolstring(L, 1, NULL));
  memcpy(dim, whole, sizeof *dim * (size_t)rank);
  dim[0] = count;
  const int64_t row = whole[0] ? elements_of(b) / whole[0] * tg_dtype_bits(tg_buffer_dtype(b)) : 0; // in bits
  if (row % 8) return luaL_error(L, "a row of %s is no whole number of bytes", luaL_tolstring(L, 1, NULL));
  tg_lua_check(L, tg_buffer_view(b, (size_t)(row / 8 * start), tg_buffer_dtype(b), rank, dim, tg_lua_push_buffer(L)));
  return 1;
}

static int length(lua_State *L) {
  lua_pushinteger(L, elements_of(buffer_at(L, 1)));
  return 1;
}

static int to_string(lua_State *L) {
  const tg_buffer *b = *box_at(L, 1);
  if (!b) return lua_pushliteral(L, "closed buffer"), 1;
  const int64_t *dim;
  const int rank = tg_buffer_dims(b, &dim);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  luaL_addstring(&text, "buffer ");
  luaL_addstring(&text, tg_dtype_name(tg_buffer_dtype(b)));
  luaL_addchar(&text, '[');
  for (int i = 0; i < rank; i++) {
    char number[32];
    snprintf(number, sizeof number, "%s%lld", i ? "x" : "", (long long)dim[i]);
    luaL_addstring(&text, number);
  }
  luaL_addchar(&text, ']');
  luaL_pushresult(&text);
  return 1;
}

static int index_of(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "dtype") == 0) {
    lua_pushstring(L, tg_dtype_name(tg_buffer_dtype(buffer_at(L, 1))));
    return 1;
  }
  if (strcmp(key, "shape") == 0) {
    const int64_t *dim;
    const int rank = tg_buffer_dims(buffer_at(L, 1), &dim);
    lua_createtable(L, rank, 0);
    for (int i = 0; i < rank; i++) {
      lua_pushinteger(L, dim[i]);
      lua_rawseti(L, -2, i + 1);
    }
    return 1;
  }
  lua_pushvalue(L, 2);
  if (*key && lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  return luaL_error(L, "buffers have no '%s'; there is dtype, shape, write, read, view, slice, close", luaL_tolstring(L, 2, NULL));
}

static int no_assignment(lua_State *L) { return luaL_error(L, "a buffer's contents are set with b:write(tensor)"); }

void tg_lua_open_buffers(lua_State *L) {
  static const luaL_Reg methods[] = {{"write", write_buffer}, {"read", read_buffer},   {"view", view},
                                     {"slice", slice},        {"close", close_buffer}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", close_buffer}, {"__close", close_buffer},     {"__tostring", to_string},
                                  {"__len", length},      {"__newindex", no_assignment}, {NULL, NULL}};
  luaL_newmetatable(L, TG_LUA_BUFFER);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, index_of, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
