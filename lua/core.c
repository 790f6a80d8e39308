// The table `core` that the DSL's modules build on: kernels, expressions and ops of the public API, one Lua function each.
#include <string.h>

#include "lua/binding.h"

#define KERNEL       "tegula.core.kernel"
#define MAX_OPERANDS 64

static tg_loc location(lua_State *L) {
  tg_loc loc = {0};
  const char *file;
  if (tg_lua_where(L, &file, &loc.line)) {
    const char *slash = strrchr(file, '/');
    loc.file = slash ? slash + 1 : file;
  }
  return loc;
}

// ---- kernels

static tg_kernel **kernel_box(lua_State *L) { return luaL_checkudata(L, 1, KERNEL); }
static tg_kernel *kernel_at(lua_State *L) {
  tg_kernel *kernel = *kernel_box(L);
  if (!kernel) luaL_error(L, "the kernel was already handed over");
  return kernel;
}

static int kernel_gc(lua_State *L) {
  tg_kernel **box = kernel_box(L);
  if (*box) tg_kernel_free(*box);
  *box = NULL;
  return 0;
}

// kernel_new(name, file, line)
static int kernel_new(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *file = luaL_optstring(L, 2, NULL);
  const char *slash = file ? strrchr(file, '/') : NULL;
  tg_loc loc = {slash ? slash + 1 : file, (int)luaL_optinteger(L, 3, 0)};
  tg_kernel **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, KERNEL);
  tg_lua_check(L, tg_kernel_new(tg_lua_of(L)->ctx, name, loc, box));
  return 1;
}

static int declare_dim(lua_State *L) {
  tg_lua_check(L, tg_kernel_dim(kernel_at(L), luaL_checkstring(L, 2), location(L)));
  return 0;
}

static int declare_static(lua_State *L) {
  tg_lua_check(L, tg_kernel_static(kernel_at(L), luaL_checkstring(L, 2), luaL_checkinteger(L, 3), location(L)));
  return 0;
}

static const char *field_string(lua_State *L, int table, const char *key) {
  lua_getfield(L, table, key);
  return luaL_checkstring(L, -1); // stays on the stack, and so alive
}

// setting(kernel, {name, kind, value, fallback, allowed})
static int declare_setting(lua_State *L) {
  tg_kernel *kernel = kernel_at(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  tg_setting s = {.name = field_string(L, 2, "name"), .value = field_string(L, 2, "value"), .fallback = field_string(L, 2, "fallback")};
  s.kind = strcmp(field_string(L, 2, "kind"), "tune") == 0 ? TG_TUNE : TG_OPTION;
  lua_getfield(L, 2, "allowed");
  int list = lua_gettop(L), n = (int)luaL_len(L, list);
  luaL_checkstack(L, n + 4, "too many values of a setting");
  const char **allowed = lua_newuserdatauv(L, sizeof *allowed * (size_t)(n + 1), 0);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, list, i + 1);
    allowed[i] = luaL_checkstring(L, -1);
  }
  s.nallowed = n;
  s.allowed = allowed;
  tg_lua_check(L, tg_kernel_setting(kernel, &s, location(L)));
  return 0;
}

static const tg_expr *expr_at(lua_State *L, int index) {
  luaL_checktype(L, index, LUA_TLIGHTUSERDATA);
  return lua_touserdata(L, index);
}

static bool field_true(lua_State *L, int table, const char *key) {
  lua_getfield(L, table, key);
  bool yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

// param(kernel, {name, kind, dtype, dims, packed, index, offsets, flags})
static int declare_param(lua_State *L) {
  static const char *const kinds[] = {"input", "output", "inout", "workspace", "scalar", NULL};
  tg_kernel *kernel = kernel_at(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  tg_param p = {.name = field_string(L, 2, "name"), .dtype = tg_dtype_find(field_string(L, 2, "dtype")), .loc = location(L)};
  lua_getfield(L, 2, "kind");
  p.kind = (tg_param_kind)luaL_checkoption(L, -1, NULL, kinds);
  lua_getfield(L, 2, "dims");
  int dims = lua_gettop(L);
  p.rank = (int)luaL_len(L, dims);
  luaL_argcheck(L, p.rank <= TG_MAX_RANK, 2, "too many dims");
  for (int i = 0; i < p.rank; i++) {
    lua_rawgeti(L, dims, i + 1);
    p.dims[i] = expr_at(L, -1);
  }
  lua_getfield(L, 2, "flags");
  int flags = lua_gettop(L);
  if (field_true(L, flags, "optional")) p.flags |= TG_PARAM_OPTIONAL;
  if (field_true(L, flags, "zero")) p.flags |= TG_PARAM_ZERO;
  if (field_true(L, flags, "none")) p.flags |= TG_PARAM_NONE;
  if (field_true(L, flags, "drops")) p.flags |= TG_PARAM_DROPS;
  if (lua_getfield(L, 2, "packed") == LUA_TTABLE) {
    p.flags |= TG_PARAM_PACKED;
    int packed = lua_gettop(L);
    for (int i = 0, n = (int)luaL_len(L, packed); i < n && i < 3; i++) {
      lua_rawgeti(L, packed, i + 1);
      p.packed[i] = expr_at(L, -1);
    }
  }
  static const char *const bounds[] = {"index", "offsets"};
  for (int i = 0; i < 2; i++) {
    if (lua_getfield(L, 2, bounds[i]) == LUA_TNIL) continue;
    p.flags |= i ? TG_PARAM_OFFSETS : TG_PARAM_INDEX;
    p.below = expr_at(L, -1);
  }
  tg_lua_check(L, tg_kernel_param(kernel, &p, p.loc));
  return 0;
}

static int verify(lua_State *L) {
  tg_lua_check(L, tg_kernel_verify(kernel_at(L)));
  return 0;
}

// ---- expressions

static int push_expr(lua_State *L, tg_status status, const tg_expr *e) {
  tg_lua_check(L, status);
  lua_pushlightuserdata(L, (void *)e);
  return 1;
}

static int expr_const(lua_State *L) {
  const tg_expr *e = NULL;
  tg_status status = tg_expr_const(kernel_at(L), luaL_checkinteger(L, 2), &e);
  return push_expr(L, status, e);
}

static int expr_sym(lua_State *L) {
  const tg_expr *e = NULL;
  tg_status status = tg_expr_sym(kernel_at(L), luaL_checkstring(L, 2), &e);
  return push_expr(L, status, e);
}

static int expr_binary(lua_State *L) {
  static const char *const names[] = {"+", "-", "*", "cdiv", "//", "min", "max", NULL};
  static const tg_expr_op ops[] = {TG_EXPR_ADD, TG_EXPR_SUB, TG_EXPR_MUL, TG_EXPR_CEILDIV, TG_EXPR_FLOORDIV, TG_EXPR_MIN, TG_EXPR_MAX};
  const tg_expr *e = NULL;
  tg_expr_op op = ops[luaL_checkoption(L, 2, NULL, names)];
  tg_status status = tg_expr_binary(kernel_at(L), op, expr_at(L, 3), expr_at(L, 4), &e);
  return push_expr(L, status, e);
}

// ---- ops

static int launch_begin(lua_State *L) {
  tg_kernel *kernel = kernel_at(L);
  const tg_expr *grid[4];
  int n = (int)luaL_len(L, 2);
  luaL_argcheck(L, n >= 1 && n <= 4, 2, "a grid has 1 to 4 axes");
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, 2, i + 1);
    grid[i] = expr_at(L, -1);
  }
  tg_lua_check(L, tg_launch_begin(kernel, n, grid, location(L)));
  return 0;
}

static int launch_end(lua_State *L) {
  tg_lua_check(L, tg_launch_end(kernel_at(L), location(L)));
  return 0;
}

// {v = value, dtype = name, shape = {extents}}; ranges and views have no dtype and shape there.
static void push_value(lua_State *L, tg_value *value) {
  const tg_type *t = tg_value_type(value);
  lua_createtable(L, 0, 6);
  lua_pushlightuserdata(L, value);
  lua_setfield(L, -2, "v");
  if (t->kind != TG_TILE) return;
  lua_pushstring(L, tg_dtype_name(t->dtype));
  lua_setfield(L, -2, "dtype");
  lua_createtable(L, t->rank, 0);
  for (int i = 0; i < t->rank; i++) {
    lua_pushinteger(L, t->dim[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "shape");
}

static void push_values(lua_State *L, int n, tg_value *const *values) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    push_value(L, values[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static int values_at(lua_State *L, int index, tg_value **values) {
  luaL_checktype(L, index, LUA_TTABLE);
  int n = (int)lua_rawlen(L, index);
  if (n > MAX_OPERANDS) luaL_error(L, "more than %d operands or carried values", MAX_OPERANDS);
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, index, i + 1);
    luaL_checktype(L, -1, LUA_TLIGHTUSERDATA);
    values[i] = lua_touserdata(L, -1);
    lua_pop(L, 1);
  }
  return n;
}

static tg_type type_at(lua_State *L, int table) {
  tg_type t = {0};
  luaL_checktype(L, table, LUA_TTABLE);
  const char *kind = field_string(L, table, "kind");
  t.kind = strcmp(kind, "view") == 0 ? TG_VIEW : TG_TILE;
  t.dtype = (uint8_t)tg_dtype_find(field_string(L, table, "dtype"));
  if (t.kind == TG_VIEW) {
    lua_getfield(L, table, "rank");
    t.rank = (uint8_t)luaL_checkinteger(L, -1);
    return t;
  }
  lua_getfield(L, table, "shape");
  int shape = lua_gettop(L), n = (int)luaL_len(L, shape);
  if (n > TG_MAX_RANK) luaL_error(L, "a tile has at most %d axes", TG_MAX_RANK);
  t.rank = (uint8_t)n;
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, shape, i + 1);
    lua_Integer extent = luaL_checkinteger(L, -1);
    if (extent < 1 || extent > INT32_MAX) luaL_error(L, "the extent %I is out of range", extent);
    t.dim[i] = (int32_t)extent;
  }
  return t;
}

// Value at the top of the stack as attribute `key` of the kind that the op's row says.
static tg_attr attribute(lua_State *L, const char *key, const char *kind, int64_t ints[16]) {
  tg_attr a = {.key = key};
  int at = lua_gettop(L);
  if (strcmp(kind, "int") == 0 || (strcmp(kind, "num") == 0 && lua_isinteger(L, at))) {
    a.kind = TG_ATTR_INT;
    a.i = luaL_checkinteger(L, at);
  } else if (strcmp(kind, "float") == 0 || strcmp(kind, "num") == 0) {
    a.kind = TG_ATTR_FLOAT;
    a.f = luaL_checknumber(L, at);
  } else if (strcmp(kind, "str") == 0) {
    a.kind = TG_ATTR_STR;
    a.s = luaL_checkstring(L, at);
  } else if (strcmp(kind, "ints") == 0) {
    a.kind = TG_ATTR_INTS;
    a.n = (int)luaL_len(L, at);
    a.ints = ints;
    if (a.n > 16) luaL_error(L, "attribute %s has too many values", key);
    for (int i = 0; i < a.n; i++) {
      lua_rawgeti(L, at, i + 1);
      ints[i] = luaL_checkinteger(L, -1);
    }
  } else if (strcmp(kind, "type") == 0) {
    a.kind = TG_ATTR_TYPE;
    a.type = type_at(L, at);
  } else {
    a.kind = TG_ATTR_EXPR;
    a.e = expr_at(L, at);
  }
  return a;
}

// Attributes of an op from a Lua table, in the order of the row: "to:str mode:str?". Keys stay alive in `names`.
static int attributes(lua_State *L, int table, const char *row, tg_attr attrs[8], char names[8][24], int64_t ints[8][16]) {
  int n = 0;
  while (*row && n < 8) {
    size_t key = strcspn(row, ":"), end = strcspn(row, " ");
    if (key >= sizeof names[n] || key >= end) break;
    memcpy(names[n], row, key);
    names[n][key] = 0;
    char kind[16] = "";
    size_t length = end - key - 1;
    if (length && row[end - 1] == '?') length--;
    if (length >= sizeof kind) break;
    memcpy(kind, row + key + 1, length);
    if (lua_getfield(L, table, names[n]) != LUA_TNIL) {
      attrs[n] = attribute(L, names[n], kind, ints[n]);
      n++;
    }
    row += end;
    while (*row == ' ') row++;
  }
  return n;
}

// emit(kernel, opcode, {values}, {attributes}) -> op, {results}
static int emit(lua_State *L) {
  tg_kernel *kernel = kernel_at(L);
  int code = (int)luaL_checkinteger(L, 2);
  const tg_op_info *info = tg_opcode_info(code);
  tg_value *operands[MAX_OPERANDS];
  int n = values_at(L, 3, operands), nattrs = 0;
  tg_attr attrs[8];
  char names[8][24];
  int64_t ints[8][16];
  luaL_checkstack(L, 64, "attributes");
  if (lua_istable(L, 4)) nattrs = attributes(L, 4, info->attrs, attrs, names, ints);
  tg_op *op = NULL;
  tg_lua_check(L, tg_emit(kernel, code, n, operands, nattrs, attrs, location(L), &op));
  tg_value *const *results;
  int count = tg_op_results(op, &results);
  lua_pushlightuserdata(L, op);
  push_values(L, count, results);
  return 2;
}

static int results(lua_State *L) {
  tg_value *const *values;
  luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
  int n = tg_op_results(lua_touserdata(L, 1), &values);
  push_values(L, n, values);
  return 1;
}

static int region_begin(lua_State *L) {
  tg_value *const *args;
  int n = 0;
  luaL_checktype(L, 2, LUA_TLIGHTUSERDATA);
  tg_lua_check(L, tg_region_begin(kernel_at(L), lua_touserdata(L, 2), (int)luaL_checkinteger(L, 3), &n, &args));
  push_values(L, n, args);
  return 1;
}

static int region_end(lua_State *L) {
  tg_value *values[MAX_OPERANDS];
  int n = values_at(L, 2, values);
  tg_lua_check(L, tg_region_end(kernel_at(L), n, values, location(L)));
  return 0;
}

// ---- the rest

static int where(lua_State *L) {
  const char *file;
  int line;
  if (!tg_lua_where(L, &file, &line)) return 0;
  lua_pushstring(L, file);
  lua_pushinteger(L, line);
  return 2;
}

// pcall(f, ...) -> true and the first result, or false and the error with the user's line
static int protected_call(lua_State *L) {
  lua_pushcfunction(L, tg_lua_handler);
  lua_insert(L, 1);
  int status = lua_pcall(L, lua_gettop(L) - 2, 1, 1);
  lua_pushboolean(L, status == LUA_OK);
  lua_insert(L, -2);
  return 2;
}

static int number_methods(lua_State *L) {
  lua_pushinteger(L, 0);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  return 0;
}

static int string_methods(lua_State *L) {
  lua_pushliteral(L, "");
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  return 0;
}

static int log_line(lua_State *L) {
  tg_log(tg_lua_of(L)->ctx, TG_LOG_INFO, "%s", luaL_checkstring(L, 1));
  return 0;
}

static void push_ops(lua_State *L) {
  int n = tg_opcode_count();
  lua_createtable(L, n, 0);
  lua_createtable(L, 0, n);
  int listed = 0;
  for (int i = 0; i < n; i++) {
    const tg_op_info *info = tg_opcode_info(i);
    if (!strchr(info->traits, 'V')) continue;
    lua_pushinteger(L, i);
    lua_setfield(L, -2, info->name);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, info->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, info->attrs);
    lua_setfield(L, -2, "attrs");
    lua_pushstring(L, info->doc);
    lua_setfield(L, -2, "doc");
    lua_pushinteger(L, info->in_hi);
    lua_setfield(L, -2, "in_hi");
    lua_pushboolean(L, strchr(info->traits, 'E') != NULL);
    lua_setfield(L, -2, "elementwise");
    lua_rawseti(L, -3, ++listed);
  }
}

static void push_dtypes(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < tg_dtype_count(); i++) {
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, tg_dtype_bits(i));
    lua_setfield(L, -2, "bits");
    lua_pushboolean(L, tg_dtype_is_float(i));
    lua_setfield(L, -2, "float");
    lua_setfield(L, -2, tg_dtype_name(i));
  }
}

void tg_lua_open_core(lua_State *L) {
  static const luaL_Reg functions[] = {{"kernel_new", kernel_new},
                                       {"dim", declare_dim},
                                       {"static", declare_static},
                                       {"setting", declare_setting},
                                       {"param", declare_param},
                                       {"verify", verify},
                                       {"expr_const", expr_const},
                                       {"expr_sym", expr_sym},
                                       {"expr_binary", expr_binary},
                                       {"launch_begin", launch_begin},
                                       {"launch_end", launch_end},
                                       {"emit", emit},
                                       {"results", results},
                                       {"region_begin", region_begin},
                                       {"region_end", region_end},
                                       {"where", where},
                                       {"pcall", protected_call},
                                       {"load", tg_lua_load_checked},
                                       {"log", log_line},
                                       {"number_methods", number_methods},
                                       {"string_methods", string_methods},
                                       {NULL, NULL}};
  luaL_newmetatable(L, KERNEL);
  lua_pushcfunction(L, kernel_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  push_ops(L);
  lua_setfield(L, -3, "opcode");
  lua_setfield(L, -2, "ops");
  push_dtypes(L);
  lua_setfield(L, -2, "dtypes");
  lua_pushliteral(L, TG_VERSION);
  lua_setfield(L, -2, "version");
}
