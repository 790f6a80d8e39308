// Scripts: tg.load, tg.device and their methods beside the DSL, and tg_script_run.
#include <stdlib.h>
#include <string.h>

#include "lua/script.h"

#define SOURCE        "tegula.kernel source"
#define DEVICE        TG_LUA_DEVICE
#define SCRIPT_BYTES  (16u << 20)
#define MAX_ARGUMENTS TG_LUA_MAX_ARGUMENTS

// ---- kernels

static tg_source **source_box(lua_State *L, int index) { return luaL_checkudata(L, index, SOURCE); }

static int source_gc(lua_State *L) {
  tg_source **box = source_box(L, 1);
  if (*box) tg_source_free(*box);
  *box = NULL;
  return 0;
}

static tg_source **push_source(lua_State *L) {
  tg_source **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, SOURCE);
  return box;
}

// A source from tg.load, or a kernel that the script itself made with tg.kernel, whose source is made once and kept in it.
tg_source *tg_lua_source_at(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (luaL_testudata(L, index, SOURCE)) return *source_box(L, index);
  bool kernel = false;
  if (lua_istable(L, index) && lua_getmetatable(L, index)) {
    tg_lua_push_module(L, "Kernel");
    kernel = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (!kernel) luaL_typeerror(L, index, "kernel (from tg.load or tg.kernel)");
  lua_pushliteral(L, "source");
  if (lua_rawget(L, index) == LUA_TNIL) {
    lua_pop(L, 1);
    tg_source **box = push_source(L);
    tg_lua_check(L, tg_source_of_script(tg_lua_of(L), L, index, box));
    lua_pushliteral(L, "source");
    lua_pushvalue(L, -2);
    lua_rawset(L, index);
  }
  tg_source *source = *source_box(L, -1);
  lua_pop(L, 1); // the kernel keeps it
  return source;
}

static int load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  tg_source **box = push_source(L);
  tg_lua_check(L, tg_source_load(tg_lua_of(L)->ctx, name, box));
  return 1;
}

tg_kernel *tg_lua_signature(lua_State *L, tg_source *source, const tg_bindings *settings) {
  tg_kernel *kernel = NULL;
  tg_lua_check(L, tg_source_signature(source, settings, &kernel));
  return kernel;
}

static int source_to_string(lua_State *L) {
  tg_bindings none = {0};
  lua_pushfstring(L, "kernel %s", tg_kernel_name(tg_lua_signature(L, tg_lua_source_at(L, 1), &none)));
  return 1;
}

typedef struct text_box {
  tg_kernel *kernel;
  tg_artifact *artifact;
} text_box;

static int text_box_close(lua_State *L) {
  text_box *box = lua_touserdata(L, 1);
  if (box->kernel) tg_kernel_free(box->kernel);
  if (box->artifact) tg_artifact_free(box->artifact);
  *box = (text_box){0};
  return 0;
}

// Holds what must be freed also when an error is raised.
static text_box *push_text_box(lua_State *L) {
  text_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = (text_box){0};
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, text_box_close);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return box;
}

// kernel:ir{set =, fix =} -> .tile text
static int kernel_ir(lua_State *L) {
  static const char *const allowed[] = {"set", "fix", NULL};
  tg_lua_check_options(L, 2, allowed);
  tg_bindings settings = tg_lua_option_bindings(L, 2, "set"), statics = tg_lua_option_bindings(L, 2, "fix");
  text_box *box = push_text_box(L);
  tg_lua_check(L, tg_source_trace(tg_lua_source_at(L, 1), &settings, &statics, &box->kernel));
  const char *text;
  size_t size;
  tg_lua_check(L, tg_kernel_print(box->kernel, &text, &size));
  lua_pushlstring(L, text, size);
  tg_kernel_free(box->kernel);
  box->kernel = NULL;
  return 1;
}

// kernel:compile{target =, emit =, set =, fix =, shape =} -> text or bytes
static int kernel_compile(lua_State *L) {
  static const char *const allowed[] = {"target", "emit", "set", "fix", "shape", NULL};
  tg_lua_check_options(L, 2, allowed);
  tg_compile_options options = {.target = tg_lua_option_string(L, 2, "target", "cpu"),
                                .settings = tg_lua_option_bindings(L, 2, "set"),
                                .statics = tg_lua_option_bindings(L, 2, "fix")};
  const char *what = tg_lua_option_string(L, 2, "emit", "asm");
  tg_bindings shape = tg_lua_option_bindings(L, 2, "shape");
  text_box *box = push_text_box(L);
  tg_source *source = tg_lua_source_at(L, 1);
  tg_lua_enter(L);
  tg_status status = tg_compile(tg_lua_of(L)->ctx, source, &options, &box->artifact);
  tg_lua_leave(L);
  tg_lua_check(L, status);
  const void *data;
  size_t size;
  tg_lua_check(L, tg_artifact_emit(box->artifact, what, shape.n ? &shape : NULL, &data, &size));
  lua_pushlstring(L, data, size);
  tg_artifact_free(box->artifact);
  box->artifact = NULL;
  return 1;
}

// ---- measuring: documents in the schemas of the command line's --json, as Lua tables

static int push_document(lua_State *L, tg_status status, char *json) {
  tg_lua_check(L, status);
  tg_lua_push_module(L, "json");
  lua_pushstring(L, json);
  tg_string_free(tg_lua_of(L)->ctx, json);
  lua_call(L, 1, 1);
  return 1;
}

// kernel:bench{device =, shape =, set =, threads =, runs =, seed =}
static int kernel_bench(lua_State *L) {
  static const char *const allowed[] = {"device", "shape", "set", "threads", "runs", "seed", NULL};
  tg_lua_check_options(L, 2, allowed);
  tg_bench_options options = {.device = tg_lua_option_device(L, 2),
                              .shape = tg_lua_option_bindings(L, 2, "shape"),
                              .settings = tg_lua_option_bindings(L, 2, "set")};
  options.threads = (int)tg_lua_option_integer(L, 2, "threads", 0);
  options.runs = (int)tg_lua_option_integer(L, 2, "runs", 0);
  options.seed = (uint64_t)tg_lua_option_integer(L, 2, "seed", 0);
  char *json = NULL;
  tg_source *source = tg_lua_source_at(L, 1);
  tg_lua_enter(L);
  tg_status status = tg_bench(tg_lua_of(L)->ctx, source, &options, &json);
  tg_lua_leave(L);
  return push_document(L, status, json);
}

// kernel:tune{device =, shape =, set =, strategy =, trials =, budget =, threads =, seed =, record =}
static int kernel_tune(lua_State *L) {
  static const char *const allowed[] = {"device", "shape", "set", "strategy", "trials", "budget", "threads", "seed", "record", NULL};
  tg_lua_check_options(L, 2, allowed);
  tg_tune_options options = {.device = tg_lua_option_device(L, 2),
                             .shape = tg_lua_option_bindings(L, 2, "shape"),
                             .settings = tg_lua_option_bindings(L, 2, "set")};
  options.strategy = tg_lua_option_string(L, 2, "strategy", NULL);
  options.trials = (int)tg_lua_option_integer(L, 2, "trials", 0);
  options.budget = tg_lua_option_number(L, 2, "budget");
  options.unrecorded = !tg_lua_option_boolean(L, 2, "record", true);
  options.threads = (int)tg_lua_option_integer(L, 2, "threads", 0);
  options.seed = (uint64_t)tg_lua_option_integer(L, 2, "seed", 0);
  char *json = NULL;
  tg_source *source = tg_lua_source_at(L, 1);
  tg_lua_enter(L);
  tg_status status = tg_tune(tg_lua_of(L)->ctx, source, &options, &json);
  tg_lua_leave(L);
  return push_document(L, status, json);
}

// ---- devices

static tg_device **device_box(lua_State *L, int index) { return luaL_checkudata(L, index, DEVICE); }

static int device_close(lua_State *L) {
  tg_device **box = device_box(L, 1);
  if (*box) tg_device_close(*box);
  *box = NULL;
  return 0;
}

static int open_device(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  tg_device **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, DEVICE);
  tg_lua_check(L, tg_device_open(tg_lua_of(L)->ctx, name, box));
  return 1;
}

tg_device *tg_lua_device_at(lua_State *L, int index) {
  tg_device *device = *device_box(L, index);
  if (!device) luaL_error(L, "the device is closed");
  return device;
}

static void known_argument(lua_State *L, int nparams, const tg_param *params, const char *name) {
  for (int i = 0; i < nparams; i++) {
    if (params[i].kind != TG_WORKSPACE && strcmp(params[i].name, name) == 0) return;
  }
  lua_pushliteral(L, "");
  for (int i = 0; i < nparams; i++) {
    if (params[i].kind == TG_WORKSPACE) continue;
    lua_pushfstring(L, "%s%s", lua_rawlen(L, -1) ? ", " : "", params[i].name);
    lua_concat(L, 2);
  }
  luaL_error(L, "the kernel has no parameter '%s'; it has %s", name, lua_tostring(L, -1));
}

static void add_argument(lua_State *L, tg_lua_run *c, const tg_param *p) {
  if (c->n == MAX_ARGUMENTS) luaL_error(L, "more than %d arguments", MAX_ARGUMENTS);
  tg_argument *a = &c->at[c->n];
  *a = (tg_argument){.name = p->name};
  int type = lua_getfield(L, 3, p->name);
  if (p->kind == TG_SCALAR_PARAM) {
    if (type != LUA_TNUMBER) luaL_error(L, "argument %s is a scalar: give a number", p->name);
    a->number = lua_tonumber(L, -1);
  } else if (type == LUA_TNIL) {
    if (p->kind != TG_OUTPUT) luaL_error(L, "argument %s is missing", p->name);
    c->made[c->n] = true;
  } else if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1) && p->kind == TG_OUTPUT) { // dropped
    lua_pop(L, 1);
    return;
  } else if (luaL_testudata(L, -1, TG_LUA_BUFFER)) {
    a->buffer = tg_lua_buffer_at(L, -1);
  } else {
    if (!luaL_testudata(L, -1, TG_LUA_TENSOR))
      luaL_error(L, "argument %s must be a tensor or a buffer: tg.tensor(dtype, {dims}), tg.read(file) or device:buffer(dtype, {dims})",
                 p->name);
    a->array = tg_lua_array_at(L, -1);
  }
  lua_pop(L, 1); // the arguments' table keeps it
  c->n++;
}

// device:METHOD(kernel, {NAME = tensor or number…} [, {set =, shape =, threads =}])
tg_lua_run *tg_lua_read_call(lua_State *L, const char *const *allowed) {
  tg_lua_run *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (tg_lua_run){.device = tg_lua_device_at(L, 1)};
  luaL_checktype(L, 3, LUA_TTABLE);
  tg_lua_check_options(L, 4, allowed);
  c->options.settings = tg_lua_option_bindings(L, 4, "set");
  c->options.shape = tg_lua_option_bindings(L, 4, "shape");
  c->options.threads = (int)tg_lua_option_integer(L, 4, "threads", 0);
  c->options.check_indices = true;
  c->source = tg_lua_source_at(L, 2);
  const tg_param *params;
  int n = tg_kernel_params(tg_lua_signature(L, c->source, &c->options.settings), &params);
  lua_pushnil(L);
  while (lua_next(L, 3)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "arguments are named: {A = tensor, …}");
    known_argument(L, n, params, lua_tostring(L, -2));
    lua_pop(L, 1);
  }
  for (int i = 0; i < n; i++) {
    if (params[i].kind != TG_WORKSPACE) add_argument(L, c, &params[i]);
  }
  return c;
}

// Runs once; the table of all outputs, given or made, is left on the stack.
static void run_call(lua_State *L, tg_lua_run *c) {
  tg_array **boxes[MAX_ARGUMENTS] = {NULL};
  lua_newtable(L);
  for (int i = 0; i < c->n; i++) {
    if (!c->made[i]) continue;
    luaL_checkstack(L, 8, "outputs");
    boxes[i] = tg_lua_push_array(L); // made first, so that an array is never without an owner
    lua_setfield(L, -2, c->at[i].name);
  }
  tg_lua_enter(L);
  tg_status status = tg_run(c->device, c->source, &c->options, c->n, c->at, true);
  tg_lua_leave(L);
  for (int i = 0; i < c->n; i++) {
    if (boxes[i]) *boxes[i] = c->at[i].array;
  }
  tg_lua_check(L, status);
  for (int i = 0; i < c->n; i++) {
    if (c->made[i] || (!c->at[i].array && !c->at[i].buffer)) continue;
    lua_getfield(L, 3, c->at[i].name);
    lua_setfield(L, -2, c->at[i].name);
  }
}

static int device_run(lua_State *L) {
  static const char *const allowed[] = {"set", "shape", "threads", NULL};
  lua_settop(L, 4);
  run_call(L, tg_lua_read_call(L, allowed));
  return 1;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int launchable_gc(lua_State *L) {
  tg_launchable **box = lua_touserdata(L, 1);
  if (*box) tg_launchable_free(*box);
  *box = NULL;
  return 0;
}

// device:time(kernel, args [, {runs = 10, set =, shape =, threads =}]) -> {min =, median =, seconds = {…}}
static int device_time(lua_State *L) {
  static const char *const allowed[] = {"runs", "set", "shape", "threads", NULL};
  lua_settop(L, 4);
  tg_lua_run *c = tg_lua_read_call(L, allowed);
  int64_t runs = tg_lua_option_integer(L, 4, "runs", 10);
  if (runs < 1 || runs > 1000000) return luaL_error(L, "runs must be 1 to 1000000");
  run_call(L, c); // compiles, warms up and makes the outputs
  tg_launchable **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, launchable_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  tg_lua_check(L, tg_prepare(c->device, c->source, &c->options, c->n, c->at, box));
  double *seconds = lua_newuserdatauv(L, sizeof *seconds * (size_t)runs, 0);
  tg_lua_enter(L);
  tg_status status = tg_launchable_run(*box, (int)runs, seconds);
  tg_lua_leave(L);
  tg_lua_check(L, status);
  tg_launchable_free(*box);
  *box = NULL;
  lua_createtable(L, 0, 3);
  lua_createtable(L, (int)runs, 0);
  for (int64_t i = 0; i < runs; i++) {
    lua_pushnumber(L, seconds[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "seconds");
  qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
  lua_pushnumber(L, seconds[0]);
  lua_setfield(L, -2, "min");
  lua_pushnumber(L, (seconds[(runs - 1) / 2] + seconds[runs / 2]) / 2);
  lua_setfield(L, -2, "median");
  return 1;
}

// ---- refusing

// refuse(message): ends the script as a wrong call, without a place in the script
static int refuse(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_newuserdatauv(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, TG_LUA_REFUSAL);
  return lua_error(L);
}

static int refusal_text(lua_State *L) {
  luaL_checkudata(L, 1, TG_LUA_REFUSAL);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

// ---- opening

void tg_lua_new_class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

static int open_host(lua_State *L) {
  static const luaL_Reg source_meta[] = {{"__gc", source_gc}, {"__tostring", source_to_string}, {NULL, NULL}};
  static const luaL_Reg kernel_methods[] = {
      {"ir", kernel_ir}, {"compile", kernel_compile}, {"bench", kernel_bench}, {"tune", kernel_tune}, {NULL, NULL}};
  static const luaL_Reg device_meta[] = {{"__gc", device_close}, {"__close", device_close}, {NULL, NULL}};
  static const luaL_Reg device_methods[] = {
      {"run", device_run}, {"time", device_time}, {"close", device_close}, {"buffer", tg_lua_new_buffer}, {NULL, NULL}};
  luaL_newmetatable(L, TG_LUA_REFUSAL);
  lua_pushcfunction(L, refusal_text);
  lua_setfield(L, -2, "__tostring");
  tg_lua_new_class(L, SOURCE, source_meta, kernel_methods);
  tg_lua_new_class(L, DEVICE, device_meta, device_methods);
  tg_lua_push_module(L, "Kernel"); // kernels that the script makes have the same methods
  luaL_newlib(L, kernel_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  tg_lua_open_arrays(L);
  tg_lua_open_checkpoints(L);
  tg_lua_open_json(L);
  tg_lua_open_experts(L);
  tg_lua_open_buffers(L);
  lua_pushcfunction(L, load);
  lua_setfield(L, -2, "load");
  lua_pushcfunction(L, open_device);
  lua_setfield(L, -2, "device");
  lua_pushcfunction(L, refuse);
  lua_setfield(L, -2, "refuse");
  tg_lua_open_pipelines(L);
  return 1;
}

// ---- running a script

typedef struct script {
  const char *file, *text;
  size_t size;
  int nargs;
  const char *const *args;
} script;

static int script_body(lua_State *L) {
  script *s = lua_touserdata(L, 1);
  tg_lua_push_module(L, "script");
  lua_pushcfunction(L, open_host);
  lua_call(L, 0, 1);
  lua_pushlstring(L, s->text, s->size);
  lua_pushfstring(L, "@%s", s->file);
  lua_call(L, 3, 1); // the chunk
  lua_createtable(L, s->nargs, 1);
  lua_pushstring(L, s->file);
  lua_rawseti(L, -2, 0);
  for (int i = 0; i < s->nargs; i++) {
    lua_pushstring(L, s->args[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "arg");
  luaL_checkstack(L, s->nargs + 1, "too many arguments");
  for (int i = 0; i < s->nargs; i++) lua_pushstring(L, s->args[i]);
  lua_call(L, s->nargs, 0);
  return 0;
}

tg_status tg_script_run(tg_context *ctx, const char *file, int nargs, const char *const *args) {
  script s = {.file = file, .nargs = nargs, .args = args};
  char *text;
  tg_status status = tg_lua_read_file(ctx, file, SCRIPT_BYTES, &text, &s.size);
  if (status != TG_OK) return status;
  s.text = text;
  tg_lua *lua;
  status = tg_lua_new(ctx, TG_LUA_SCRIPT, &lua);
  if (status == TG_OK) {
    tg_lua_signal *signal = tg_lua_signal_of(ctx);
    signal->L = lua->L;
    status = tg_lua_call(lua, lua->L, script_body, &s, TG_FAILED);
    signal->L = NULL;
    signal->interrupted = 0;
    tg_lua_free(lua);
  }
  tg_context_allocate(ctx, text, 0);
  return status;
}
