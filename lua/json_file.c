// tg.json(file): a JSON document as a Lua value. Objects and lists become tables, null becomes nil, whole numbers up to 2^53 integers.
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "lua/binding.h"

#define DOCUMENT   "tegula.json document"
#define FILE_BYTES ((size_t)16 << 20) // a config has a few thousand, the index of the largest checkpoints 9 million
#define MAX_DEPTH  100

static int document_gc(lua_State *L) {
  cJSON **box = luaL_checkudata(L, 1, DOCUMENT);
  cJSON_Delete(*box);
  *box = NULL;
  return 0;
}

static void push_value(lua_State *L, const char *file, const cJSON *value, int depth) {
  if (depth > MAX_DEPTH) luaL_error(L, "%s: nests its brackets deeper than %d", file, MAX_DEPTH);
  luaL_checkstack(L, 4, "a deep JSON document");
  if (cJSON_IsNumber(value)) {
    const double x = value->valuedouble;
    if (x == floor(x) && fabs(x) <= 9007199254740992.0) lua_pushinteger(L, (lua_Integer)x);
    else lua_pushnumber(L, x);
  } else if (cJSON_IsBool(value)) {
    lua_pushboolean(L, cJSON_IsTrue(value));
  } else if (cJSON_IsString(value)) {
    lua_pushstring(L, value->valuestring);
  } else if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
    lua_Integer i = 0;
    lua_newtable(L);
    for (const cJSON *item = value->child; item; item = item->next) {
      push_value(L, file, item, depth + 1);
      if (cJSON_IsArray(value)) lua_rawseti(L, -2, ++i);
      else lua_setfield(L, -2, item->string);
    }
  } else {
    lua_pushnil(L);
  }
}

static int line_of(const char *text, const char *at) {
  int line = 1;
  for (; text < at; text++) line += *text == '\n';
  return line;
}

// cJSON cuts a string at a NUL, so that two keys could become one.
static bool holds_nul(const char *text, size_t size) {
  if (memchr(text, 0, size)) return true;
  for (const char *p = text; (p = strstr(p, "\\u0000")); p += 6) {
    const char *q = p;
    while (q > text && q[-1] == '\\') q--;
    if ((p - q) % 2 == 0) return true; // not the second half of an escaped backslash
  }
  return false;
}

static int read_json(lua_State *L) {
  const char *file = luaL_checkstring(L, 1);
  tg_context *ctx = tg_lua_of(L)->ctx;
  cJSON **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, DOCUMENT);
  char *text;
  size_t size;
  tg_lua_check(L, tg_lua_read_file(ctx, file, FILE_BYTES, &text, &size));
  const bool nul = holds_nul(text, size);
  const char *end = text;
  if (!nul) *box = cJSON_ParseWithLengthOpts(text, size, &end, false);
  if (*box) end += strspn(end, " \t\r\n");
  const bool whole = *box && end == text + size;
  const int line = line_of(text, end);
  tg_context_allocate(ctx, text, 0);
  if (nul) return luaL_error(L, "%s: holds a NUL in a text; it is no JSON document that anybody wrote", file);
  if (!whole) return luaL_error(L, "%s: is malformed JSON at line %d; NaN, comments and commas before a bracket are not JSON", file, line);
  push_value(L, file, *box, 0);
  cJSON_Delete(*box);
  *box = NULL;
  return 1;
}

void tg_lua_open_json(lua_State *L) {
  luaL_newmetatable(L, DOCUMENT);
  lua_pushcfunction(L, document_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_pushcfunction(L, read_json);
  lua_setfield(L, -2, "json");
}
