// What the files of lua/ share. They stand on the public API alone.
//
// A tg_lua is one Lua state with its limits: a kernel source has one to itself while it lives, a running script another. Every entry from C
// runs under tg_lua_call, which turns whatever Lua raises into the context's error.
#ifndef TG_LUA_BINDING_H
#define TG_LUA_BINDING_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>

#include "tegula/tegula.h"

typedef enum tg_lua_kind { TG_LUA_KERNEL, TG_LUA_SCRIPT } tg_lua_kind;

typedef struct tg_lua {
  tg_context *ctx;
  lua_State *L;
  tg_lua_kind kind;
  size_t used, max_bytes;             // of Lua's own memory
  int64_t steps;                      // VM instructions since the last entry
  int step;                           // of them between two looks at the limits
  double began, began_cpu, looked;    // seconds of the clock and of this thread's CPU time at the entry; of the clock at the last look
  bool stopped;                       // by a limit on steps or time
  volatile sig_atomic_t *interrupted; // tg_lua_signal's
  bool out_of_limit;                  // an allocation would have passed max_bytes
  char where[256];                    // user code at that moment
  int module;                         // registry reference of what lua/tegula.lua returned
  bool failed;                        // an entry raised an error
} tg_lua;

// What tg_script_interrupt, which may be called in a signal handler, and the running script share; one per context (shared.c).
typedef struct tg_lua_signal {
  volatile sig_atomic_t interrupted, busy; // busy: in a call of the toolkit's that does not look at `interrupted`
  lua_State *L;                            // of the running script; NULL: none
  char where[300];                         // FILE:LINE of the call, while busy
} tg_lua_signal;
tg_lua_signal *tg_lua_signal_of(tg_context *ctx); // NULL: out of memory, recorded on the context
void tg_lua_look(lua_State *L, lua_Debug *ar);    // the hook that looks at the limits and at `interrupted`

// A state with the DSL loaded; kernels get Lua's computing libraries, scripts all of them. A kernel's state collects no garbage by itself:
// tg_lua_tidy does, between entries.
tg_status tg_lua_new(tg_context *ctx, tg_lua_kind kind, tg_lua **out);
void tg_lua_tidy(tg_lua *lua); // collects a kernel state's garbage when there is much of it
void tg_lua_free(tg_lua *lua);

// A kernel's state, fresh or one that an earlier source of the context used: nothing that a kernel's file does in it stays. Given back with
// tg_lua_give_back, after all references that the user made are gone.
tg_status tg_lua_take(tg_context *ctx, tg_lua **out);
void tg_lua_give_back(tg_lua *lua);
tg_lua *tg_lua_of(lua_State *L);

// Runs body(L) with `arg` as light userdata at index 1, protected; `L` is lua->L or a thread of it. A failure is recorded on the context
// with `status`.
tg_status tg_lua_call(tg_lua *lua, lua_State *L, lua_CFunction body, void *arg, tg_status status);
void tg_lua_push_module(lua_State *L, const char *field); // a field of what lua/tegula.lua returned
int tg_lua_handler(lua_State *L);                         // message handler: user's line in front of errors that lack one

// Innermost line of user code: file as the chunk was named and 1-based line; false outside user code.
bool tg_lua_where(lua_State *L, const char **file, int *line);
// Unless the status is TG_OK: raises the context's last error, with the user's line in front unless it has one already.
void tg_lua_check(lua_State *L, tg_status status);

void tg_lua_open_core(lua_State *L); // pushes the table of core functions (core.c)
// load(text, chunk name [, environment]): a kernel's or script's source as a function, its tests on tiles seen by check.lua (rewrite.c);
// raises Lua's own words on a syntax error.
int tg_lua_load_checked(lua_State *L);

// Host arrays of scripts (array.c).
#define TG_LUA_TENSOR "tegula.tensor"
void tg_lua_open_arrays(lua_State *L);               // adds `tensor` and `read` to the table at the top
tg_array *tg_lua_array_at(lua_State *L, int index);  // raises when it is none
tg_array **tg_lua_push_array(lua_State *L);          // pushes a tensor that has no array yet
void tg_lua_charge(lua_State *L, const tg_array *a); // lets the collector work for bytes that it does not see
tg_dtype tg_lua_dtype_at(lua_State *L, int index);   // by name; raises when there is none

// What tg.refuse raises: a userdata whose user value is the message. tg_lua_call gives it the status TG_INVALID.
#define TG_LUA_REFUSAL "tegula.refusal"

// More for scripts, added to the table at the top: `safetensors` and `write_safetensors` (checkpoint.c), `json` (json_file.c),
// `place_experts` (experts.c).
void tg_lua_open_checkpoints(lua_State *L);
void tg_lua_open_json(lua_State *L);
void tg_lua_open_experts(lua_State *L);

// Pushes the DSL's module lua/NAME.lua as a function (shared.c).
void tg_lua_push_file(lua_State *L, const char *name);

// The modules as embed.c compiled them, and the Lua that they are for; ends with a row of zeros.
typedef struct tg_dsl_module {
  const char *name;
  size_t size;
  const unsigned char *code;
} tg_dsl_module;
extern const tg_dsl_module tg_dsl_modules[];
extern const char tg_dsl_lua[];

// Reads a whole file of at most max_bytes; the caller frees *text with tg_context_allocate(ctx, text, 0).
tg_status tg_lua_read_file(tg_context *ctx, const char *file, size_t max_bytes, char **text, size_t *size);

// A source over a kernel of a running script: the kernel object is at `index` of L's stack, and the state must outlive the source.
tg_status tg_source_of_script(tg_lua *lua, lua_State *L, int index, tg_source **out);

#endif
