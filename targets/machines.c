// Machine descriptions: the generated table, a user's own files, and the host.
#include "targets/machines.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum {
  MAX_FILE = 1 << 20,         // bytes of a description
  MAX_LUA_BYTES = 16 << 20,   // memory of its evaluation
  MAX_INSTRUCTIONS = 1000000, // and steps
  MAX_DEFAULTS = 4096,        // entries of a description
  MAX_FIGURE = 1 << 24,       // above every figure of a chip; lowerings multiply them
};

static const struct {
  const char *name, *unit;
  size_t offset;
} figure_rows[TG_NFIGURES] = {
#define FIGURE(name, unit, doc) {#name, unit, offsetof(tg_machine, name)},
#include "targets/machines/figures.def"
#undef FIGURE
};

static double figure_value(const tg_machine *machine, int figure) {
  return *(const double *)((const char *)machine + figure_rows[figure].offset);
}

// ---- the list

static void append(tg_context *ctx, tg_machine_state *state, const tg_machine_row *row, const char *text, const char *file) {
  if (state->n == state->capacity) {
    int capacity = state->capacity ? 2 * state->capacity : 32;
    const tg_machine_row **rows = TG_NEWN(&ctx->arena, const tg_machine_row *, capacity);
    const char **texts = TG_NEWN(&ctx->arena, const char *, capacity), **files = TG_NEWN(&ctx->arena, const char *, capacity);
    for (int i = 0; i < state->n; i++) rows[i] = state->rows[i], texts[i] = state->texts[i], files[i] = state->files[i];
    state->rows = rows;
    state->texts = texts;
    state->files = files;
    state->capacity = capacity;
  }
  state->rows[state->n] = row;
  state->files[state->n] = file;
  state->texts[state->n++] = text;
}

tg_machine_state *tg_machine_list(tg_context *ctx) {
  tg_machine_state *state = ctx->slots[TG_SLOT_MACHINES];
  if (state) return state;
  state = TG_NEW(&ctx->arena, tg_machine_state);
  for (int i = 0; i < tg_machine_row_count; i++) append(ctx, state, &tg_machine_rows[i], NULL, NULL);
  ctx->slots[TG_SLOT_MACHINES] = state;
  return state;
}

static void fill_defaults(tg_context *ctx, const tg_defaults *defaults, tg_machine_info *out) {
  for (const tg_defaults *d = defaults; d; d = d->base) out->ndefaults += d->n;
  tg_machine_default *all = TG_NEWN(&ctx->arena, tg_machine_default, out->ndefaults + 1);
  int before = out->ndefaults;
  for (const tg_defaults *d = defaults; d; d = d->base) {
    before -= d->n;
    for (int i = 0; i < d->n; i++) all[before + i] = d->at[i];
  }
  out->defaults = all;
}

static void fill_info(tg_context *ctx, const tg_machine_row *row, tg_machine_info *out) {
  struct tg_figure *figures = TG_NEWN(&ctx->arena, struct tg_figure, TG_NFIGURES);
  int n = 0;
  for (int i = 0; i < TG_NFIGURES; i++) {
    if (!row->sources[i]) continue;
    figures[n++] = (struct tg_figure){figure_rows[i].name, figure_value(&row->machine, i), figure_rows[i].unit, row->sources[i]};
  }
  *out = (tg_machine_info){row->machine.name, row->machine.target, row->machine.doc, n, figures, 0, NULL};
  fill_defaults(ctx, row->machine.defaults, out);
}

struct machines_call {
  tg_context *ctx;
  int n;
  const tg_machine_info *out;
};

static void machines_body(void *arg) {
  struct machines_call *call = arg;
  tg_machine_state *state = tg_machine_list(call->ctx);
  if (!state->infos) {
    tg_machine_info *infos = TG_NEWN(&call->ctx->arena, tg_machine_info, state->n);
    for (int i = 0; i < state->n; i++) fill_info(call->ctx, state->rows[i], &infos[i]);
    state->infos = infos;
  }
  call->n = state->n;
  call->out = state->infos;
}

int tg_machines(tg_context *ctx, const tg_machine_info **out) {
  struct machines_call call = {.ctx = ctx};
  if (tg_protect(ctx, machines_body, &call) != TG_OK) call.n = 0, call.out = NULL;
  *out = call.out;
  return call.n;
}

// ---- a user's own description

struct budget {
  size_t used, limit;
};

static void *limited(void *user, void *ptr, size_t old_size, size_t size) {
  struct budget *budget = user;
  size_t old = ptr ? old_size : 0;
  if (size == 0) {
    free(ptr);
    budget->used -= old;
    return NULL;
  }
  if (budget->used - old + size > budget->limit) return NULL;
  void *fresh = realloc(ptr, size);
  if (fresh) budget->used += size - old;
  return fresh;
}

static void too_long(lua_State *L, lua_Debug *info) {
  (void)info;
  luaL_error(L, "runs for more than %d steps; a description is plain data", MAX_INSTRUCTIONS);
}

struct add_call {
  tg_context *ctx;
  const char *text, *file;
  size_t size;
  struct budget budget;
  lua_State *L;
  tg_machine_row *row;
  bool based; // like another
};

// Whether the word at `at` is one of its own, and assigned to where that is asked for: name = …, ["name"] = …
static bool is_word(const char *text, const char *at, size_t length, bool assigned) {
  if (at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '_')) return false;
  const char *after = at + length;
  if (isalnum((unsigned char)*after) || *after == '_') return false;
  after += strspn(after, "\"'] \t");
  return !assigned || (*after == '=' && after[1] != '=');
}

// The first line outside comments that has the word, 0 if none: what Lua read has no lines any more.
static int line_of(const struct add_call *call, const char *word, bool assigned) {
  const size_t length = strlen(word);
  int line = 1;
  for (const char *p = call->text, *end = p + call->size; p < end; p++) {
    if (*p == '\n') line++;
    if (p + 1 < end && p[0] == '-' && p[1] == '-') {
      while (p + 1 < end && p[1] != '\n') p++;
    } else if ((size_t)(end - p) > length && !memcmp(p, word, length) && is_word(call->text, p, length, assigned)) {
      return line;
    }
  }
  return 0;
}

_Noreturn static void bad(struct add_call *call, const char *field, const char *complaint) {
  const char *dot = strrchr(field, '.'), *word = dot ? dot + 1 : field; // of defaults[3] the list's
  int line = line_of(call, tg_arena_strndup(&call->ctx->arena, word, strcspn(word, "[")), true);
  if (!line) line = line_of(call, "return", false); // a field that is missing
  tg_throw(call->ctx, TG_INVALID, "%s:%d: field '%s' %s", call->file, line, field, complaint);
}

// Reads a field without running any of the description's code: tables of an empty state have no metatables.
static const char *text_field(struct add_call *call, const char *key, bool needed) {
  lua_pushstring(call->L, key);
  int type = lua_rawget(call->L, -2);
  if (type == LUA_TNIL && needed) bad(call, key, "is missing");
  if (type != LUA_TNIL && type != LUA_TSTRING) bad(call, key, "is not a string");
  size_t n = 0;
  const char *text = type == LUA_TNIL ? "" : lua_tolstring(call->L, -1, &n);
  if (strlen(text) != n) bad(call, key, "holds a zero byte");
  const char *copy = tg_arena_strdup(&call->ctx->arena, text);
  lua_pop(call->L, 1);
  return copy;
}

static void figure_field(struct add_call *call, int figure) {
  lua_State *L = call->L;
  const char *field = tg_arena_printf(&call->ctx->arena, "figures.%s", figure_rows[figure].name);
  if (!lua_istable(L, -1)) bad(call, field, "is not { value, source = \"the document that states it\" }");
  if (lua_rawgeti(L, -1, 1) != LUA_TNUMBER) bad(call, field, "has no number as its first value");
  double value = lua_tonumber(L, -1);
  if (!(value >= 0 && value <= MAX_FIGURE) || value != floor(value)) bad(call, field, "is not a whole number from 0 to 16777216");
  lua_pop(L, 1);
  *(double *)((char *)&call->row->machine + figure_rows[figure].offset) = value;
  lua_pushstring(L, "source");
  if (lua_rawget(L, -2) != LUA_TSTRING || !*lua_tostring(L, -1)) bad(call, field, "names no document: source = \"…\" is missing");
  call->row->sources[figure] = tg_arena_strdup(&call->ctx->arena, lua_tostring(L, -1));
  lua_pop(L, 1);
}

static void figures_field(struct add_call *call) {
  lua_State *L = call->L;
  lua_pushstring(L, "figures");
  const int type = lua_rawget(L, -2);
  if (type != LUA_TTABLE && (type != LUA_TNIL || !call->based)) bad(call, "figures", "is not a table");
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(not a name)";
    int figure = 0;
    while (figure < TG_NFIGURES && strcmp(figure_rows[figure].name, key) != 0) figure++;
    if (figure == TG_NFIGURES) {
      bad(call, tg_arena_printf(&call->ctx->arena, "figures.%s", key), "does not exist; targets/machines/figures.def lists the figures");
    }
    figure_field(call, figure);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

// The value of a default or of an option, on top of the stack, as text; NULL = it is of another type.
static const char *value_text(struct add_call *call, bool words) {
  lua_State *L = call->L;
  if (lua_isinteger(L, -1)) return tg_arena_printf(&call->ctx->arena, "%lld", (long long)lua_tointeger(L, -1));
  if (!words || lua_type(L, -1) != LUA_TSTRING) return NULL;
  return tg_arena_strdup(&call->ctx->arena, lua_tostring(L, -1));
}

// The members of the table on top of the stack, sorted: { NAME = value, … }, without `when` and the name of the kernel in an entry.
static tg_bindings bindings_field(struct add_call *call, const char *field, bool is_entry) {
  lua_State *L = call->L;
  tg_arena *arena = &call->ctx->arena;
  enum { MOST = 32 };
  tg_binding *at = TG_NEWN(arena, tg_binding, MOST);
  int n = 0;
  lua_pushnil(L);
  for (; lua_next(L, -2); lua_pop(L, 1)) {
    if (is_entry && lua_isinteger(L, -2) && lua_tointeger(L, -2) == 1) continue;
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (is_entry && !strcmp(key, "when")) continue;
    if (!tg_is_name(key)) bad(call, field, "has something in it that is not NAME = value");
    const char *value = value_text(call, !is_entry);
    if (!value) {
      bad(call, field, tg_arena_printf(arena, "gives %.60s a value that is no whole number%s", key, is_entry ? "" : " and no text"));
    }
    if (n == MOST) bad(call, field, "names more than 32 values");
    int i = n++;
    for (; i > 0 && strcmp(at[i - 1].name, key) > 0; i--) at[i] = at[i - 1];
    at[i] = (tg_binding){tg_arena_strdup(arena, key), value};
  }
  return (tg_bindings){n, at};
}

static void default_field(struct add_call *call, lua_Integer i, tg_machine_default *out) {
  lua_State *L = call->L;
  const char *field = tg_arena_printf(&call->ctx->arena, "defaults[%lld]", (long long)i);
  if (!lua_istable(L, -1)) bad(call, field, "is not { \"kernel\", NAME = value, … }");
  if (lua_rawgeti(L, -1, 1) != LUA_TSTRING || !tg_is_name(lua_tostring(L, -1))) bad(call, field, "names no kernel as its first value");
  *out = (tg_machine_default){.kernel = tg_arena_strdup(&call->ctx->arena, lua_tostring(L, -1))};
  lua_pop(L, 1);
  lua_pushstring(L, "when");
  const int type = lua_rawget(L, -2);
  if (type == LUA_TTABLE) out->when = bindings_field(call, field, false);
  else if (type != LUA_TNIL) bad(call, field, "has a `when` that is not { option = value, … }");
  lua_pop(L, 1);
  out->set = bindings_field(call, field, true);
}

// What the architecture's kernels take, where a description is not like another.
static const tg_defaults *defaults_of_target(const char *target) {
  for (int i = 0; i < tg_machine_base_count; i++)
    if (!strcmp(tg_machine_bases[i].machine.target, target)) return tg_machine_bases[i].machine.defaults;
  return NULL;
}

// Nothing of `defaults` may go unread.
static void check_list(struct add_call *call, lua_Unsigned n) {
  lua_State *L = call->L;
  lua_pushnil(L);
  for (; lua_next(L, -2); lua_pop(L, 1)) {
    const bool read = lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && (lua_Unsigned)lua_tointeger(L, -2) <= n;
    if (!read) bad(call, "defaults", "is not a list of { \"kernel\", NAME = value, … }");
  }
}

static void defaults_field(struct add_call *call) {
  lua_State *L = call->L;
  tg_machine *machine = &call->row->machine;
  if (!call->based) machine->defaults = defaults_of_target(machine->target);
  lua_pushstring(L, "defaults");
  const int type = lua_rawget(L, -2);
  if (type != LUA_TNIL && type != LUA_TTABLE) bad(call, "defaults", "is not a table");
  const lua_Unsigned n = type == LUA_TTABLE ? lua_rawlen(L, -1) : 0;
  if (n > MAX_DEFAULTS) bad(call, "defaults", "has more than 4096 entries");
  if (n) {
    tg_machine_default *at = TG_NEWN(&call->ctx->arena, tg_machine_default, n);
    for (lua_Unsigned i = 0; i < n; i++) {
      lua_rawgeti(L, -1, (lua_Integer)i + 1);
      default_field(call, (lua_Integer)i + 1, &at[i]);
      lua_pop(L, 1);
    }
    tg_defaults *own = TG_NEW(&call->ctx->arena, tg_defaults);
    *own = (tg_defaults){machine->defaults, tg_arena_strdup(&call->ctx->arena, call->file), (int)n, at};
    machine->defaults = own;
  }
  if (type == LUA_TTABLE) check_list(call, n);
  lua_pop(L, 1);
}

static int evaluate(lua_State *L) { // light userdata: struct add_call; leaves the description
  struct add_call *call = lua_touserdata(L, 1);
  if (luaL_loadbufferx(L, call->text, call->size, lua_pushfstring(L, "@%s", call->file), "t") != LUA_OK) return lua_error(L);
  lua_newtable(L);
  lua_setupvalue(L, -2, 1); // _ENV: nothing
  lua_call(L, 0, 1);
  return 1;
}

static void check_unknown(struct add_call *call) {
  static const char *const fields[] = {"name", "target", "like", "arch", "features", "doc", "figures", "defaults"};
  lua_State *L = call->L;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(not a name)";
    bool known = false;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) known |= strcmp(fields[i], key) == 0;
    if (!known) bad(call, key, "does not exist; there are name, target, like, arch, features, doc, figures and defaults");
    lua_pop(L, 1);
  }
}

static const tg_machine_row *row_of(int n, const tg_machine_row *rows, const char *name) {
  for (int i = 0; i < n; i++)
    if (!strcmp(rows[i].machine.name, name)) return &rows[i];
  return NULL;
}

_Noreturn static void no_base(struct add_call *call) {
  tg_text text = {.arena = &call->ctx->arena};
  tg_text_add(&text, "names no built-in machine (`tegula machines` lists them) and none of the architectures ");
  for (int i = 0; i < tg_machine_base_count; i++) tg_text_add(&text, "%s%s", i ? ", " : "", tg_machine_bases[i].machine.name);
  bad(call, "like", text.data);
}

// A description that is `like` a built-in one takes from that one what it does not state itself. (Not from a user's own: the compile helper
// is told one description a job.)
static bool take_base(struct add_call *call) {
  const char *like = text_field(call, "like", false);
  if (!*like) return false;
  const tg_machine_row *base = row_of(tg_machine_row_count, tg_machine_rows, like);
  if (!base) base = row_of(tg_machine_base_count, tg_machine_bases, like);
  if (!base) no_base(call);
  *call->row = *base;
  return true;
}

// Instructions that an architecture does not have would be refused by LLVM or the assembler at best.
static void check_units(struct add_call *call) {
  const tg_machine *machine = &call->row->machine;
  const char *archs[] = {machine->arch, strchr(machine->target, ':')};
  if (archs[1]) archs[1]++;
  for (int i = 0; i < TG_NFIGURES; i++) {
    if (!(figure_value(machine, i) > 0)) continue;
    for (int a = 0; a < 2; a++) {
      if (!archs[a] || tg_target_may(machine->target, archs[a], figure_rows[i].name)) continue;
      bad(call, tg_arena_printf(&call->ctx->arena, "figures.%s", figure_rows[i].name),
          tg_arena_printf(&call->ctx->arena, "is above 0, but %s has nothing of the kind (%s)", archs[a],
                          tg_target_having(&call->ctx->arena, machine->target, figure_rows[i].name)));
    }
  }
}

static void check_name(struct add_call *call, const char *name) {
  if (!*name || strlen(name) > 64 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(name)) {
    bad(call, "name", "is not 1 to 64 letters, digits, '-', '_' and '.'");
  }
  const tg_machine_state *state = tg_machine_list(call->ctx);
  for (int i = 0; i < state->n; i++) {
    if (strcmp(state->rows[i]->machine.name, name) == 0) bad(call, "name", "is taken by a machine that is already known");
  }
  if (row_of(tg_machine_base_count, tg_machine_bases, name)) bad(call, "name", "is taken by an architecture");
}

static void add_body(void *arg) {
  struct add_call *call = arg;
  lua_sethook(call->L, too_long, LUA_MASKCOUNT, MAX_INSTRUCTIONS);
  lua_pushcfunction(call->L, evaluate);
  lua_pushlightuserdata(call->L, call);
  if (lua_pcall(call->L, 1, 1, 0) != LUA_OK) {
    const char *complaint = lua_tostring(call->L, -1);
    tg_throw(call->ctx, TG_INVALID, "machine description %s: %s", call->file, complaint ? complaint : "failed without a message");
  }
  call->budget.limit += MAX_FILE; // what follows runs unprotected, and needs a few strings
  if (!lua_istable(call->L, -1)) tg_throw(call->ctx, TG_INVALID, "machine description %s does not return a table", call->file);
  check_unknown(call);
  call->row = TG_NEW(&call->ctx->arena, tg_machine_row);
  tg_machine *machine = &call->row->machine;
  const bool based = call->based = take_base(call);
  machine->name = text_field(call, "name", true);
  const bool has_target = based && *machine->target, has_arch = based && *machine->arch; // "nvptx" is of no one architecture
  const char *target = text_field(call, "target", !has_target);
  const char *arch = text_field(call, "arch", !has_arch), *features = text_field(call, "features", false);
  if (*target || !has_target) machine->target = target;
  if (*arch || !has_arch) machine->arch = arch;
  if (*features || !based) machine->features = features;
  machine->doc = text_field(call, "doc", true);
  check_name(call, machine->name);
  if (!tg_target_known(machine->target)) bad(call, "target", "is none of the targets that `tegula targets` lists");
  figures_field(call);
  check_units(call);
  defaults_field(call);
}

// Evaluates a description's text (in an empty Lua state with limits), checks it and adds it; `file` is for messages. Throws.
static void add_description(tg_context *ctx, const char *text, size_t size, const char *file) {
  if (size > MAX_FILE) tg_throw(ctx, TG_INVALID, "machine description %s: %zu bytes are too many (at most %d)", file, size, MAX_FILE);
  // It travels to the compile helper as a C string.
  if (memchr(text, 0, size)) tg_throw(ctx, TG_INVALID, "machine description %s: holds a zero byte; it is to be text", file);
  struct add_call call = {.ctx = ctx, .text = text, .file = file, .size = size, .budget.limit = MAX_LUA_BYTES};
  call.L = lua_newstate(limited, &call.budget);
  if (!call.L) tg_throw(ctx, TG_NO_MEMORY, "no memory to read %s", file);
  tg_status status = tg_protect(ctx, add_body, &call);
  lua_close(call.L);
  if (status != TG_OK) tg_rethrow(ctx);
  tg_machine_state *state = tg_machine_list(ctx);
  append(ctx, state, call.row, tg_arena_strndup(&ctx->arena, text, size), tg_arena_strdup(&ctx->arena, file));
  state->infos = NULL;
}

const char *tg_machine_text(tg_context *ctx, const tg_machine *machine) {
  const tg_machine_state *state = tg_machine_list(ctx);
  for (int i = 0; i < state->n; i++) {
    if (&state->rows[i]->machine == machine) return state->texts[i];
  }
  return NULL;
}

void tg_machine_ensure(tg_context *ctx, const char *text) {
  tg_machine_state *state = tg_machine_list(ctx);
  for (int i = 0; i < state->n; i++) {
    if (state->texts[i] && strcmp(state->texts[i], text) == 0) return;
  }
  add_description(ctx, text, strlen(text), "machine description");
}

struct load_call {
  tg_context *ctx;
  const char *file;
  FILE *stream;
};

static void load_body(void *arg) {
  struct load_call *call = arg;
  char *text = tg_arena_alloc(&call->ctx->arena, MAX_FILE + 2);
  size_t size = fread(text, 1, MAX_FILE + 1, call->stream);
  if (ferror(call->stream)) tg_throw(call->ctx, TG_INVALID, "cannot read the machine description %s: %m", call->file);
  add_description(call->ctx, text, size, call->file);
}

static void open_body(void *arg) {
  struct load_call *call = arg;
  call->stream = fopen(call->file, "rbe");
  if (!call->stream) tg_throw(call->ctx, TG_INVALID, "cannot open the machine description %s: %m", call->file);
  tg_status status = tg_protect(call->ctx, load_body, call);
  fclose(call->stream);
  if (status != TG_OK) tg_rethrow(call->ctx);
}

const tg_machine *tg_machine_file(tg_context *ctx, const char *file) {
  const tg_machine_state *state = tg_machine_list(ctx);
  for (int i = 0; i < state->n; i++)
    if (state->files[i] && strcmp(state->files[i], file) == 0) return &state->rows[i]->machine;
  open_body(&(struct load_call){.ctx = ctx, .file = file});
  return &state->rows[state->n - 1]->machine;
}

tg_status tg_machine_load(tg_context *ctx, const char *file) {
  struct load_call call = {.ctx = ctx, .file = file};
  return tg_protect(ctx, open_body, &call);
}

// ---- the host

static const char *host_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) {
    const bool pairs = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    return pairs ? "cpu-avx512bf16" : "cpu-avx512";
  }
  if (__builtin_cpu_supports("x86-64-v3")) return "cpu-avx2";
#endif
  return "cpu-generic";
}

const tg_machine *tg_machine_host(tg_context *ctx) {
  tg_machine_state *state = tg_machine_list(ctx);
  if (state->host_known) return &state->host.machine;
  const char *level = host_level();
  for (int i = 0; i < tg_machine_row_count; i++) {
    if (strcmp(tg_machine_rows[i].machine.name, level) == 0) state->host = tg_machine_rows[i];
  }
  tg_machine *machine = &state->host.machine;
  machine->target = "cpu";
  machine->arch = NULL; // LLVM's own name for this processor, asked for by the finisher
  machine->doc = "this machine";
  state->host_known = true;
  return machine;
}

const char *tg_machine_host_signature(tg_context *ctx) {
  const tg_machine *host = tg_machine_host(ctx);
  tg_text text = {.arena = &ctx->arena};
  tg_text_add(&text, "%s", host->name);
#if defined(__x86_64__)
  static const unsigned leaves[][2] = {{0, 0}, {1, 0}, {7, 0}, {7, 1}, {0x80000001, 0}};
  for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid_count(leaves[i][0], leaves[i][1], &a, &b, &c, &d);
    if (leaves[i][0] == 1) b = 0, c &= ~(1u << 27); // EBX: number of the core this runs on; ECX[27]: OSXSAVE follows the level
    tg_text_add(&text, " %x.%x:%x,%x,%x,%x", leaves[i][0], leaves[i][1], a, b, c, d);
  }
#endif
  return text.data;
}
