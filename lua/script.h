// What the files that serve scripts share.
#ifndef TG_LUA_SCRIPT_H
#define TG_LUA_SCRIPT_H

#include "lua/binding.h"

#define TG_LUA_DEVICE        "tegula.device"
#define TG_LUA_BUFFER        "tegula.buffer"
#define TG_LUA_MAX_ARGUMENTS 64

// ---- options.c

// Between these an interrupt is not waited for: what they surround may run for minutes.
void tg_lua_enter(lua_State *L);
void tg_lua_leave(lua_State *L);
// Fields of the options' table at `options`, which may be nil. Lists and texts stay alive on the stack until the caller returns.
tg_bindings tg_lua_option_bindings(lua_State *L, int options, const char *key);
int64_t tg_lua_option_integer(lua_State *L, int options, const char *key, int64_t fallback);
double tg_lua_option_number(lua_State *L, int options, const char *key);
bool tg_lua_option_boolean(lua_State *L, int options, const char *key, bool fallback);
const char *tg_lua_option_string(lua_State *L, int options, const char *key, const char *fallback);
const char *tg_lua_option_device(lua_State *L, int options); // by name, or one that tg.device gave
void tg_lua_check_options(lua_State *L, int options, const char *const *allowed);

// ---- script.c

// A source from tg.load, or a kernel that the script itself made with tg.kernel, whose source is made once and kept in it.
tg_source *tg_lua_source_at(lua_State *L, int index);
tg_kernel *tg_lua_signature(lua_State *L, tg_source *source, const tg_bindings *settings);
tg_device *tg_lua_device_at(lua_State *L, int index); // raises when it is closed
void tg_lua_new_class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

// What a call of run or time names.
typedef struct tg_lua_run {
  tg_device *device;
  tg_source *source;
  tg_run_options options;
  int n;
  tg_argument at[TG_LUA_MAX_ARGUMENTS];
  bool made[TG_LUA_MAX_ARGUMENTS]; // the output's array or buffer is to be made by the call
} tg_lua_run;
// Of (device, kernel, {NAME = tensor, buffer, number or false…} [, {set =, shape =, threads =}]) at 1 … 4 of the stack; a userdata.
tg_lua_run *tg_lua_read_call(lua_State *L, const char *const *allowed);

// ---- buffer.c

tg_buffer *tg_lua_buffer_at(lua_State *L, int index);        // raises when it is none, or closed
tg_buffer **tg_lua_push_buffer(lua_State *L);                // pushes one that has no buffer yet
int tg_lua_dims_at(lua_State *L, int first, int64_t dim[8]); // a list at `first`, or numbers from there to the top; gives the rank
int tg_lua_new_buffer(lua_State *L);                         // device:buffer(…)
void tg_lua_open_buffers(lua_State *L);

// ---- launch.c: `pipeline`, added to the table at the top
void tg_lua_open_pipelines(lua_State *L);

#endif
