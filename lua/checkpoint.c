// Checkpoints for scripts: tg.safetensors(path) and tg.write_safetensors(file, tensors [, metadata]).
#include <stdlib.h>
#include <string.h>

#include "lua/binding.h"

#define CHECKPOINT "tegula.checkpoint"

static tg_checkpoint **box_at(lua_State *L) { return luaL_checkudata(L, 1, CHECKPOINT); }

static tg_checkpoint *checkpoint_at(lua_State *L) {
  tg_checkpoint *c = *box_at(L);
  if (!c) luaL_error(L, "the checkpoint was closed");
  return c;
}

static int checkpoint_close(lua_State *L) {
  tg_checkpoint **box = box_at(L);
  tg_checkpoint_close(*box);
  *box = NULL;
  return 0;
}

static int open_checkpoint(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  tg_checkpoint **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, CHECKPOINT);
  tg_lua_check(L, tg_checkpoint_open(tg_lua_of(L)->ctx, path, box));
  return 1;
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

// checkpoint:info(name) -> {name, dtype, stored, shape, bytes, file}; nil: there is none
static int info(lua_State *L) {
  const tg_tensor_info *t = tg_checkpoint_find(checkpoint_at(L), luaL_checkstring(L, 2));
  if (!t) return lua_pushnil(L), 1;
  lua_createtable(L, 0, 6);
  set_string(L, "name", t->name);
  set_string(L, "stored", t->stored);
  set_string(L, "file", t->file);
  if (t->dtype >= 0) set_string(L, "dtype", tg_dtype_name(t->dtype));
  lua_pushinteger(L, (lua_Integer)t->bytes);
  lua_setfield(L, -2, "bytes");
  lua_createtable(L, t->rank, 0);
  for (int i = 0; i < t->rank; i++) {
    lua_pushinteger(L, t->dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "shape");
  return 1;
}

// checkpoint:tensor(name [, dtype])
static int tensor(lua_State *L) {
  tg_checkpoint *c = checkpoint_at(L);
  const char *name = luaL_checkstring(L, 2);
  tg_dtype dtype = lua_isnoneornil(L, 3) ? -1 : tg_lua_dtype_at(L, 3);
  tg_array **box = tg_lua_push_array(L);
  tg_lua_check(L, tg_checkpoint_read(c, name, dtype, box));
  tg_lua_charge(L, *box);
  return 1;
}

static void push_names(lua_State *L, const tg_checkpoint *c) {
  const int n = tg_checkpoint_count(c);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, tg_checkpoint_info(c, i)->name);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_metadata(lua_State *L, const tg_checkpoint *c) {
  const tg_bindings metadata = tg_checkpoint_metadata(c);
  lua_createtable(L, 0, metadata.n);
  for (int i = 0; i < metadata.n; i++) set_string(L, metadata.at[i].name, metadata.at[i].value);
}

static int index_of(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "names") == 0) return push_names(L, checkpoint_at(L)), 1;
  if (strcmp(key, "metadata") == 0) return push_metadata(L, checkpoint_at(L)), 1;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  return luaL_error(L, "checkpoints have no '%s'; there is names, metadata, :info(name), :tensor(name [, dtype]) and :close()",
                    luaL_tolstring(L, 2, NULL));
}

static int length(lua_State *L) {
  lua_pushinteger(L, tg_checkpoint_count(checkpoint_at(L)));
  return 1;
}

static int to_string(lua_State *L) {
  const tg_checkpoint *c = *box_at(L);
  if (c) lua_pushfstring(L, "checkpoint of %d tensors", tg_checkpoint_count(c));
  else lua_pushliteral(L, "closed checkpoint");
  return 1;
}

// ---- writing

// The text at the top of the stack, which must not hold a NUL; it stays alive in its table.
static const char *plain_text(lua_State *L, const char *what) {
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "write_safetensors: %s must be a text, not a %s", what, luaL_typename(L, -1));
  size_t n;
  const char *text = lua_tolstring(L, -1, &n);
  if (strlen(text) != n) luaL_error(L, "write_safetensors: %s holds a NUL", what);
  return text;
}

static int count_entries(lua_State *L, int table) {
  int n = 0;
  lua_pushnil(L);
  for (; lua_next(L, table); n++) lua_pop(L, 1);
  return n;
}

static int by_name(const void *a, const void *b) { return strcmp(((const tg_binding *)a)->name, ((const tg_binding *)b)->name); }

static tg_bindings metadata_at(lua_State *L, int table) {
  if (lua_isnoneornil(L, table)) return (tg_bindings){0};
  luaL_checktype(L, table, LUA_TTABLE);
  const int n = count_entries(L, table);
  tg_binding *list = lua_newuserdatauv(L, sizeof *list * (size_t)(n + 1), 0);
  int i = 0;
  lua_pushnil(L);
  for (; lua_next(L, table); i++) {
    list[i].value = plain_text(L, "a value of the metadata");
    lua_pop(L, 1);
    list[i].name = plain_text(L, "a key of the metadata");
  }
  if (n > 1) qsort(list, (size_t)n, sizeof *list, by_name);
  return (tg_bindings){n, list};
}

// write_safetensors(file, {name = tensor} [, {key = text}])
static int write_checkpoint(lua_State *L) {
  const char *file = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 3);
  const tg_bindings metadata = metadata_at(L, 3);
  const int n = count_entries(L, 2);
  tg_named_array *list = lua_newuserdatauv(L, sizeof *list * (size_t)(n + 1), 0);
  int i = 0;
  lua_pushnil(L);
  for (; lua_next(L, 2); i++) {
    const tg_array *array = tg_lua_array_at(L, lua_gettop(L));
    lua_pop(L, 1);
    list[i] = (tg_named_array){plain_text(L, "a tensor's name"), array};
  }
  tg_lua_check(L, tg_safetensors_write(tg_lua_of(L)->ctx, file, n, list, &metadata));
  return 0;
}

void tg_lua_open_checkpoints(lua_State *L) {
  static const luaL_Reg methods[] = {{"info", info}, {"tensor", tensor}, {"close", checkpoint_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", checkpoint_close}, {"__close", checkpoint_close}, {"__len", length}, {"__tostring", to_string}, {NULL, NULL}};
  luaL_newmetatable(L, CHECKPOINT);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, index_of, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, open_checkpoint);
  lua_setfield(L, -2, "safetensors");
  lua_pushcfunction(L, write_checkpoint);
  lua_setfield(L, -2, "write_safetensors");
}
