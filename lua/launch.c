// What pipeline.lua stands on: shapes of outputs, launches prepared once and replayed, planned memory, the machine's limits. Users do not
// see these functions.
#include <math.h>
#include <string.h>
#include <time.h>

#include "lua/script.h"

#define LAUNCH "tegula.launch"

static void push_pairs(lua_State *L, tg_bindings list) {
  lua_createtable(L, 0, list.n);
  for (int i = 0; i < list.n; i++) {
    lua_pushstring(L, list.at[i].value);
    lua_setfield(L, -2, list.at[i].name);
  }
}

// params(kernel, options) -> {{name =, kind =, dtype =, optional =}…}, workspaces left out, and the names of settings that are tuned
static int params(lua_State *L) {
  static const char *const kinds[] = {"input", "output", "inout", "workspace", "scalar"};
  tg_bindings settings = tg_lua_option_bindings(L, 2, "set");
  tg_kernel *signature = tg_lua_signature(L, tg_lua_source_at(L, 1), &settings);
  const tg_param *at;
  const tg_setting *setting;
  const int n = tg_kernel_params(signature, &at), nsettings = tg_kernel_settings(signature, &setting);
  lua_newtable(L);
  for (int i = 0; i < n; i++) {
    if (at[i].kind == TG_WORKSPACE) continue;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, at[i].name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, kinds[at[i].kind]);
    lua_setfield(L, -2, "kind");
    lua_pushboolean(L, at[i].flags & TG_PARAM_OPTIONAL);
    lua_setfield(L, -2, "optional");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  lua_newtable(L);
  for (int i = 0; i < nsettings; i++) {
    lua_pushboolean(L, setting[i].kind == TG_TUNE);
    lua_setfield(L, -2, setting[i].name);
  }
  lua_pushstring(L, tg_kernel_name(signature));
  return 3;
}

// outputs(device, kernel, arguments, options) -> {NAME = declared buffer…} of the outputs that are not given
static int outputs(lua_State *L) {
  static const char *const allowed[] = {"set", "shape", "threads", NULL};
  tg_buffer **boxes[TG_LUA_MAX_ARGUMENTS] = {NULL};
  lua_settop(L, 4);
  tg_lua_run *c = tg_lua_read_call(L, allowed);
  lua_newtable(L);
  for (int i = 0; i < c->n; i++) {
    if (!c->made[i]) continue;
    luaL_checkstack(L, 8, "outputs");
    boxes[i] = tg_lua_push_buffer(L);
    lua_setfield(L, -2, c->at[i].name);
  }
  tg_status status = tg_declare_outputs(c->device, c->source, &c->options, c->n, c->at);
  for (int i = 0; i < c->n; i++) {
    if (boxes[i]) *boxes[i] = c->at[i].buffer;
  }
  tg_lua_check(L, status);
  return 1;
}

// declare(device, dtype, {dims})
static int declare(lua_State *L) {
  int64_t dim[8];
  tg_device *device = tg_lua_device_at(L, 1);
  const tg_dtype dtype = tg_lua_dtype_at(L, 2);
  const int rank = tg_lua_dims_at(L, 3, dim);
  tg_lua_check(L, tg_buffer_declare(device, dtype, rank, dim, tg_lua_push_buffer(L)));
  return 1;
}

// place(buffer, in, offset) -> false when it is not aligned there
static int place(lua_State *L) {
  tg_buffer *buffer = tg_lua_buffer_at(L, 1), *in = tg_lua_buffer_at(L, 2);
  const size_t offset = (size_t)luaL_optinteger(L, 3, 0);
  if (!tg_buffer_aligned(in)) return lua_pushboolean(L, false), 1;
  tg_lua_check(L, tg_buffer_place(buffer, in, offset));
  lua_pushboolean(L, true);
  return 1;
}

static int bytes(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_buffer_bytes(tg_lua_buffer_at(L, 1)));
  return 1;
}

// plan({{bytes =, first =, last =}…}) -> {offset…}, total
static int plan(lua_State *L) {
  const int n = (int)luaL_len(L, 1);
  tg_lifetime *list = lua_newuserdatauv(L, sizeof *list * (size_t)(n + 1), 0);
  size_t *offsets = lua_newuserdatauv(L, sizeof *offsets * (size_t)(n + 1), 0), total;
  static const char *const keys[] = {"bytes", "first", "last"};
  for (int i = 0; i < n; i++) {
    lua_Integer x[3];
    lua_rawgeti(L, 1, i + 1);
    for (int k = 0; k < 3; k++) {
      lua_getfield(L, -1, keys[k]);
      x[k] = luaL_checkinteger(L, -1);
      lua_pop(L, 1);
    }
    list[i] = (tg_lifetime){(size_t)x[0], (int)x[1], (int)x[2]};
    lua_pop(L, 1);
  }
  tg_lua_check(L, tg_plan_memory(tg_lua_of(L)->ctx, n, list, offsets, &total));
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, (lua_Integer)offsets[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushinteger(L, (lua_Integer)total);
  return 2;
}

// ---- launches

static tg_launchable *launch_at(lua_State *L) {
  tg_launchable *l = *(tg_launchable **)luaL_checkudata(L, 1, LAUNCH);
  if (!l) luaL_error(L, "the launch was given back");
  return l;
}

static int launch_gc(lua_State *L) {
  tg_launchable **box = luaL_checkudata(L, 1, LAUNCH);
  tg_launchable_free(*box);
  *box = NULL;
  return 0;
}

// prepare(device, kernel, arguments, options) -> launch; workspaces are to be lent
static int prepare(lua_State *L) {
  static const char *const allowed[] = {"set", "shape", "threads", "check", NULL};
  lua_settop(L, 4);
  tg_lua_run *c = tg_lua_read_call(L, allowed);
  lua_getfield(L, 4, "check");
  c->options.check_indices = lua_toboolean(L, -1);
  c->options.lent_workspace = true;
  tg_launchable **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, LAUNCH);
  tg_lua_enter(L);
  tg_status status = tg_prepare(c->device, c->source, &c->options, c->n, c->at, box);
  tg_lua_leave(L);
  tg_lua_check(L, status);
  return 1;
}

static int workspace(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tg_launchable_workspace(launch_at(L)));
  return 1;
}

static int lend(lua_State *L) {
  tg_lua_check(L, tg_launchable_lend(launch_at(L), tg_lua_buffer_at(L, 2)));
  return 0;
}

static int scalar(lua_State *L) {
  tg_lua_check(L, tg_launchable_scalar(launch_at(L), luaL_checkstring(L, 2), luaL_checknumber(L, 3)));
  return 0;
}

// launch:run() -> seconds
static int run(lua_State *L) {
  tg_launchable *l = launch_at(L);
  double seconds;
  tg_lua_enter(L);
  tg_status status = tg_launchable_run(l, 1, &seconds);
  tg_lua_leave(L);
  tg_lua_check(L, status);
  lua_pushnumber(L, seconds);
  return 1;
}

// launch:info() -> config's source, config, shape; is its time the processor's?
static int info(lua_State *L) {
  const tg_launchable *l = launch_at(L);
  lua_pushstring(L, tg_launchable_config_source(l));
  push_pairs(L, tg_launchable_config(l));
  push_pairs(L, tg_launchable_shape(l));
  lua_pushboolean(L, tg_launchable_own_time(l));
  return 4;
}

static void push_known(lua_State *L, double x) {
  if (isnan(x)) lua_pushnil(L);
  else lua_pushnumber(L, x);
}

// launch:work(kernel) -> flops, bytes; nil where they depend on data
static int work(lua_State *L) {
  double flops, moved;
  tg_lua_check(L, tg_launchable_work(launch_at(L), tg_lua_source_at(L, 2), &flops, &moved));
  push_known(L, flops);
  push_known(L, moved);
  return 2;
}

// ---- the machine

// seconds(own): of this thread's processor time, or of a clock
static int seconds(lua_State *L) {
  struct timespec t;
  clock_gettime(lua_toboolean(L, 1) ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
  return 1;
}

// limits(threads) -> FMA peak, bf16 peak (nil: none), stream; per second
static int limits(lua_State *L) {
  tg_limits m;
  const int threads = (int)luaL_checkinteger(L, 1);
  tg_lua_enter(L);
  tg_status status = tg_measure_limits(tg_lua_of(L)->ctx, threads, &m);
  tg_lua_leave(L);
  tg_lua_check(L, status);
  lua_pushnumber(L, m.peak_gflops * 1e9);
  push_known(L, m.bf16_peak_gflops > 0 ? m.bf16_peak_gflops * 1e9 : NAN);
  lua_pushnumber(L, m.stream_gbs * 1e9);
  return 3;
}

static int device_name(lua_State *L) {
  lua_pushstring(L, tg_device_name(tg_lua_device_at(L, 1)));
  return 1;
}

// owns(device, buffer): is the buffer the device's?
static int owns(lua_State *L) {
  lua_pushboolean(L, tg_buffer_device(tg_lua_buffer_at(L, 2)) == tg_lua_device_at(L, 1));
  return 1;
}

// overlap(buffer, buffer): do they share a byte?
static int overlap(lua_State *L) {
  lua_pushboolean(L, tg_buffer_overlap(tg_lua_buffer_at(L, 1), tg_lua_buffer_at(L, 2)));
  return 1;
}

// record(kernel, {device =, set =, shape =, threads =, config =}, seconds): the database's from now on
static int record(lua_State *L) {
  tg_source *source = tg_lua_source_at(L, 1);
  const double took = luaL_checknumber(L, 3);
  lua_settop(L, 2);
  const char *device = tg_lua_option_device(L, 2);
  tg_bindings set = tg_lua_option_bindings(L, 2, "set"), shape = tg_lua_option_bindings(L, 2, "shape");
  tg_bindings config = tg_lua_option_bindings(L, 2, "config");
  const int threads = (int)tg_lua_option_integer(L, 2, "threads", 0);
  tg_lua_check(L, tg_config_record(tg_lua_of(L)->ctx, source, device, &shape, &set, threads, &config, took));
  return 0;
}

// Is the value a tensor, a buffer or a device? Nil for others.
static int kind(lua_State *L) {
  const char *what = luaL_testudata(L, 1, TG_LUA_TENSOR)   ? "tensor"
                     : luaL_testudata(L, 1, TG_LUA_BUFFER) ? "buffer"
                     : luaL_testudata(L, 1, TG_LUA_DEVICE) ? "device"
                                                           : NULL;
  lua_pushstring(L, what);
  return 1;
}

void tg_lua_open_pipelines(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"params", params}, {"outputs", outputs},         {"declare", declare}, {"place", place},   {"owns", owns},       {"bytes", bytes},
      {"plan", plan},     {"prepare", prepare},         {"overlap", overlap}, {"record", record}, {"seconds", seconds}, {"limits", limits},
      {"kind", kind},     {"device_name", device_name}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"workspace", workspace}, {"lend", lend}, {"scalar", scalar}, {"run", run},
                                     {"info", info},           {"work", work}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", launch_gc}, {NULL, NULL}};
  tg_lua_new_class(L, LAUNCH, meta, methods);
  tg_lua_push_module(L, "pipeline");
  luaL_newlib(L, functions);
  static const char *const ours[] = {"load", "tensor"};
  for (int i = 0; i < 2; i++) {
    lua_getfield(L, -3, ours[i]);
    lua_setfield(L, -2, ours[i]);
  }
  lua_call(L, 1, 1);
  lua_setfield(L, -2, "pipeline");
}
