// targets, machines, devices, kernels: what there is. Each makes the list that --json prints; tables say what of it the text shows.
#include "cli/cli.h"

#include <cjson/cJSON.h>

static const cli_option json_only[] = {{"--json", NULL, "one JSON document on standard output", NULL}, {0}};

static const cli_option kernels_options[] = {
    {"--target", "T", "with the defaults there: a target, a machine or a description's FILE.lua", "@targets"},
    {"--json", NULL, "one JSON document on standard output", NULL},
    {0}};

static void add_text(cJSON *object, const char *key, const char *text) {
  cJSON_AddItemToObject(object, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static cJSON *add_object(cJSON *list) {
  cJSON *object = cJSON_CreateObject();
  cJSON_AddItemToArray(list, object);
  return object;
}

// ---- printing a list

// A field of the text: a member that is a string, at least so wide, with words before it.
typedef struct column {
  const char *key;
  int width;
  const char *before;
} column;

static void print_line(const cJSON *item, const column *columns) {
  const char *gap = "";
  for (const column *c = columns; c->key; c++) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, c->key));
    if (!text && !c->width) continue;
    printf("%s%s%-*s", gap, c->before, c->width, text ? text : "-");
    gap = " ";
  }
  printf("\n");
}

// JSON is a list of objects, one a line; the text has a line for each by the columns, or what `print` makes of it. Takes the list.
static int show(cli *c, cJSON *list, const column *columns, void (*print)(const cJSON *item)) {
  const bool json = cli_has(c, "--json");
  int status = list ? 0 : 1;
  const cJSON *item;
  if (json) printf("[");
  cJSON_ArrayForEach(item, list) {
    char *text = json ? cJSON_PrintUnformatted(item) : NULL;
    if (text) printf("%s\n %s", item == list->child ? "" : ",", text);
    else if (json) status = 1;
    else if (print) print(item);
    else print_line(item, columns);
    free(text);
  }
  if (json) printf("\n]\n");
  cJSON_Delete(list);
  if (status) fprintf(stderr, "tegula: error: out of memory\n");
  return status;
}

// ---- targets

static int run_targets(cli *c) {
  static const column columns[] = {{"name", 20, ""}, {"lowering", 5, ""}, {"emitter", 5, "-> "}, {"doc", 0, ""}, {0}};
  const tg_target_info *t;
  cJSON *list = cJSON_CreateArray();
  int n = tg_targets(c->ctx, &t);
  for (int i = 0; i < n; i++) {
    cJSON *object = add_object(list);
    add_text(object, "name", t[i].name);
    add_text(object, "family", t[i].family);
    add_text(object, "lowering", t[i].lowering);
    add_text(object, "emitter", t[i].emitter);
    cJSON_AddBoolToObject(object, "available", t[i].available);
    add_text(object, "doc", t[i].doc);
  }
  return show(c, list, columns, NULL);
}

// ---- machines

static void add_bindings(cJSON *object, const char *key, const tg_bindings *bindings) {
  cJSON *list = cJSON_AddObjectToObject(object, key);
  for (int i = 0; i < bindings->n; i++) add_text(list, bindings->at[i].name, bindings->at[i].value);
}

static void add_machine(cJSON *list, const tg_machine_info *m) {
  cJSON *object = add_object(list);
  add_text(object, "name", m->name);
  add_text(object, "target", m->target);
  add_text(object, "doc", m->doc);
  cJSON *figures = cJSON_AddObjectToObject(object, "figures");
  for (int i = 0; i < m->nfigures; i++) {
    cJSON *figure = cJSON_AddObjectToObject(figures, m->figures[i].name);
    cJSON_AddNumberToObject(figure, "value", m->figures[i].value);
    add_text(figure, "unit", m->figures[i].unit);
    add_text(figure, "source", m->figures[i].source);
  }
  cJSON *defaults = cJSON_AddArrayToObject(object, "defaults");
  for (int i = 0; i < m->ndefaults; i++) {
    cJSON *entry = add_object(defaults);
    add_text(entry, "kernel", m->defaults[i].kernel);
    add_bindings(entry, "when", &m->defaults[i].when);
    add_bindings(entry, "set", &m->defaults[i].set);
  }
}

static int run_machines(cli *c) {
  static const column columns[] = {{"name", 20, ""}, {"target", 20, ""}, {"doc", 0, ""}, {0}};
  const tg_machine_info *m;
  cJSON *list = cJSON_CreateArray();
  int n = tg_machines(c->ctx, &m);
  for (int i = 0; i < n; i++) add_machine(list, &m[i]);
  return show(c, list, columns, NULL);
}

// ---- devices

static int run_devices(cli *c) {
  static const column columns[] = {{"name", 12, ""}, {"target", 16, ""}, {"description", 0, ""}, {"why", 0, "not available: "}, {0}};
  const tg_device_info *d;
  cJSON *list = cJSON_CreateArray();
  int n = tg_devices(c->ctx, &d);
  for (int i = 0; i < n; i++) {
    cJSON *object = add_object(list);
    add_text(object, "name", d[i].name);
    add_text(object, "family", d[i].family);
    add_text(object, "target", d[i].target);
    add_text(object, "description", d[i].description);
    cJSON_AddBoolToObject(object, "available", d[i].available);
    add_text(object, "why", d[i].available ? NULL : d[i].why);
    add_text(object, "model", d[i].model);
    cJSON *facts = cJSON_AddObjectToObject(object, "facts");
    for (int k = 0; k < d[i].facts.n; k++) add_text(facts, d[i].facts.at[k].name, d[i].facts.at[k].value);
  }
  return show(c, list, columns, NULL);
}

// ---- kernels

static const char *value_in(const tg_bindings *bindings, const char *name) {
  for (int i = 0; i < bindings->n; i++)
    if (!strcmp(bindings->at[i].name, name)) return bindings->at[i].value;
  return NULL;
}

// `there`: the defaults on a target, those of the lowering behind the kernel's own; NULL = by itself.
static void add_kernel(cJSON *list, const tg_kernel *k, const tg_bindings *there) {
  static const char *const kinds[] = {"input", "output", "inout", "workspace", "scalar"};
  const tg_param *params;
  const tg_setting *settings;
  int np = tg_kernel_params(k, &params), ns = tg_kernel_settings(k, &settings);
  char text[256];
  cJSON *object = add_object(list);
  add_text(object, "name", tg_kernel_name(k));
  cJSON *param_list = cJSON_AddArrayToObject(object, "params");
  for (int i = 0; i < np; i++) {
    cJSON *param = add_object(param_list);
    add_text(param, "name", params[i].name);
    add_text(param, "kind", kinds[params[i].kind]);
    add_text(param, "dtype", tg_dtype_name(params[i].dtype));
    cJSON *dims = cJSON_AddArrayToObject(param, "dims");
    for (int d = 0; d < params[i].rank; d++) {
      tg_expr_print(params[i].dims[d], text, sizeof text);
      cJSON_AddItemToArray(dims, cJSON_CreateString(text));
    }
    cJSON_AddBoolToObject(param, "optional", params[i].flags & TG_PARAM_OPTIONAL);
  }
  cJSON *setting_list = cJSON_AddArrayToObject(object, "settings");
  for (int i = 0; i < ns; i++) {
    cJSON *setting = add_object(setting_list);
    add_text(setting, "name", settings[i].name);
    add_text(setting, "kind", settings[i].kind == TG_OPTION ? "option" : "tune");
    add_text(setting, "default", there ? value_in(there, settings[i].name) : settings[i].fallback);
    cJSON_AddItemToObject(setting, "allowed", cJSON_CreateStringArray(settings[i].allowed, settings[i].nallowed));
  }
  if (there) add_bindings(object, "lowering", &(tg_bindings){there->n - ns, there->at + ns});
}

static const char *member(const cJSON *object, const char *key) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
  return text ? text : "";
}

static void print_params(const cJSON *kernel, const char *const kinds[], const char *before) {
  const cJSON *item, *dim;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(kernel, "params")) {
    const char *kind = member(item, "kind");
    bool meant = false;
    for (int i = 0; kinds[i]; i++) meant |= !strcmp(kind, kinds[i]);
    if (!meant) continue;
    printf("%s%s %s%s", before, member(item, "name"), member(item, "dtype"), !strcmp(kind, "scalar") ? " scalar" : "");
    const cJSON *dims = cJSON_GetObjectItemCaseSensitive(item, "dims");
    cJSON_ArrayForEach(dim, dims) printf("%s%s", dim == dims->child ? "[" : ",", cJSON_GetStringValue(dim));
    if (dims->child) printf("]");
    before = ", ";
  }
}

// The signature, what is read before what is written in whatever order they are declared, and below it what --set may set, with its
// defaults.
static void print_kernel(const cJSON *kernel) {
  static const char *const read[] = {"input", "scalar", NULL}, *const written[] = {"output", "inout", NULL};
  const cJSON *item;
  printf("%-22s", member(kernel, "name"));
  print_params(kernel, read, " ");
  print_params(kernel, written, " -> ");
  const cJSON *settings = cJSON_GetObjectItemCaseSensitive(kernel, "settings");
  cJSON_ArrayForEach(item, settings)
      printf("%s%s=%s", item == settings->child ? "\n                         set " : " ", member(item, "name"), member(item, "default"));
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(kernel, "lowering")) printf(" %s=%s", item->string, item->valuestring);
  printf("\n");
}

static int run_kernels(cli *c) {
  const char *const *names;
  int n;
  tg_status status = tg_library(c->ctx, &n, &names);
  if (status) return cli_fail(c, status);
  const char *target = cli_value(c, "--target", NULL);
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n && !status; i++) {
    tg_source *source = NULL;
    tg_bindings there;
    tg_kernel *kernel;
    status = tg_source_load(c->ctx, names[i], &source);
    if (!status) status = tg_source_signature(source, &(tg_bindings){0}, &kernel);
    if (!status && target) status = tg_target_defaults(c->ctx, source, target, &there);
    if (!status) add_kernel(list, kernel, target ? &there : NULL);
    tg_source_free(source);
  }
  if (!status) return show(c, list, NULL, print_kernel);
  cJSON_Delete(list);
  return cli_fail(c, status);
}

// ---- the commands

#define LIST(NAME, OPTIONS, SUMMARY, EXAMPLES)                                                                                             \
  const cli_command cli_##NAME = {                                                                                                         \
      .name = #NAME, .arguments = "", .summary = SUMMARY, .examples = EXAMPLES, .options = OPTIONS, .run = run_##NAME}

LIST(targets, json_only, "What can be compiled for", "  tegula targets\n");
LIST(machines, json_only, "Chips that tegula has a description of; --json has the figures it uses",
     "  tegula machines\n  tegula machines --json\n");
LIST(devices, json_only, "Where kernels can run now", "  tegula devices\n");
LIST(kernels, kernels_options, "The kernel library: parameters, shapes, options", "  tegula kernels\n  tegula kernels --target h100\n");
