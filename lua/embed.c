// Build step: compiles the DSL's modules and writes them as C tables (tg_dsl_modules of binding.h), so that no process parses them again.
//   tegula-embed OUT.c FILE.lua…
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

static int write_bytes(lua_State *L, const void *data, size_t size, void *user) {
  (void)L;
  const unsigned char *bytes = data;
  for (size_t i = 0; i < size; i++) fprintf(user, "%d,%s", bytes[i], i % 32 == 31 ? "\n" : "");
  return 0;
}

// "lua/tile.lua" to "tile".
static void module_name(const char *file, char *name, size_t size) {
  const char *slash = strrchr(file, '/');
  snprintf(name, size, "%s", slash ? slash + 1 : file);
  char *dot = strrchr(name, '.');
  if (dot) *dot = 0;
}

static char *read_text(const char *file, size_t *size) {
  FILE *f = fopen(file, "rb");
  if (!f || fseek(f, 0, SEEK_END) != 0) return NULL;
  const long length = ftell(f);
  char *text = length >= 0 ? malloc((size_t)length + 1) : NULL;
  rewind(f);
  *size = text ? fread(text, 1, (size_t)length, f) : 0;
  fclose(f);
  return text;
}

static int fail(const char *file, const char *why) {
  fprintf(stderr, "tegula-embed: error: %s: %s\n", file, why);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) return fail("arguments", "wants OUT.c FILE.lua…");
  FILE *out = fopen(argv[1], "w");
  lua_State *L = luaL_newstate();
  if (!out || !L) return fail(argv[1], "cannot be written");
  fprintf(out, "#include \"lua/binding.h\"\n");
  char name[64], chunk[96];
  for (int i = 2; i < argc; i++) {
    size_t size;
    char *text = read_text(argv[i], &size);
    if (!text) return fail(argv[i], "cannot be read");
    module_name(argv[i], name, sizeof name);
    snprintf(chunk, sizeof chunk, "=[tegula.%s]", name);
    if (luaL_loadbufferx(L, text, size, chunk, "t") != LUA_OK) return fail(argv[i], lua_tostring(L, -1));
    fprintf(out, "static const unsigned char %s_code[] = {\n", name);
    lua_dump(L, write_bytes, out, 0);
    fprintf(out, "};\n");
    lua_pop(L, 1);
    free(text);
  }
  fprintf(out, "const char tg_dsl_lua[] = \"%s\";\nconst tg_dsl_module tg_dsl_modules[] = {\n", lua_ident);
  for (int i = 2; i < argc; i++) {
    module_name(argv[i], name, sizeof name);
    fprintf(out, "  {\"%s\", sizeof %s_code, %s_code},\n", name, name, name);
  }
  fprintf(out, "  {0}};\n");
  lua_close(L);
  return fclose(out) == 0 ? 0 : fail(argv[1], "cannot be written");
}
