// targets, machines, devices, kernels: what there is.
#include "cli/cli.h"

#include <cjson/cJSON.h>

static const cli_option json_only[] = {{"--json", NULL, "one JSON document on standard output", NULL}, {0}};

// ---- JSON: a list of objects, one a line

static void add_text(cJSON *object, const char *key, const char *text) {
  cJSON_AddItemToObject(object, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static cJSON *add_object(cJSON *list) {
  cJSON *object = cJSON_CreateObject();
  cJSON_AddItemToArray(list, object);
  return object;
}

static int print_list(cJSON *list) {
  int status = list ? 0 : 1;
  const cJSON *item;
  printf("[");
  cJSON_ArrayForEach(item, list) {
    char *text = cJSON_PrintUnformatted(item);
    if (!text) status = 1;
    else printf("%s\n %s", item == list->child ? "" : ",", text);
    free(text);
  }
  printf("\n]\n");
  cJSON_Delete(list);
  if (status) fprintf(stderr, "tegula: error: out of memory\n");
  return status;
}

// ---- targets

static int run_targets(cli *c) {
  const tg_target_info *t;
  int n = tg_targets(c->ctx, &t);
  if (!cli_has(c, "--json")) {
    for (int i = 0; i < n; i++)
      printf("%-20s %-5s -> %-5s %s%s\n", t[i].name, t[i].lowering, t[i].emitter, t[i].doc, t[i].available ? "" : " (not in this build)");
    return 0;
  }
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n; i++) {
    cJSON *object = add_object(list);
    add_text(object, "name", t[i].name);
    add_text(object, "family", t[i].family);
    add_text(object, "lowering", t[i].lowering);
    add_text(object, "emitter", t[i].emitter);
    cJSON_AddBoolToObject(object, "available", t[i].available);
    add_text(object, "doc", t[i].doc);
  }
  return print_list(list);
}

// ---- machines

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
}

static int run_machines(cli *c) {
  const tg_machine_info *m;
  int n = tg_machines(c->ctx, &m);
  if (!cli_has(c, "--json")) {
    for (int i = 0; i < n; i++) printf("%-20s %-20s %s\n", m[i].name, m[i].target, m[i].doc);
    return 0;
  }
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n; i++) add_machine(list, &m[i]);
  return print_list(list);
}

// ---- devices

static int run_devices(cli *c) {
  const tg_device_info *d;
  int n = tg_devices(c->ctx, &d);
  if (!cli_has(c, "--json")) {
    for (int i = 0; i < n; i++)
      printf("%-12s %-16s %s%s\n", d[i].name, d[i].target ? d[i].target : "-",
             d[i].available ? "" : "not available: ", d[i].available ? d[i].description : d[i].why);
    return 0;
  }
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n; i++) {
    cJSON *object = add_object(list);
    add_text(object, "name", d[i].name);
    add_text(object, "family", d[i].family);
    add_text(object, "target", d[i].target);
    add_text(object, "description", d[i].description);
    cJSON_AddBoolToObject(object, "available", d[i].available);
    add_text(object, "why", d[i].available ? NULL : d[i].why);
  }
  return print_list(list);
}

// ---- kernels

static const char *dim_text(const tg_param *p, int axis, char *buffer, size_t size) {
  tg_expr_print(p->dims[axis], buffer, size);
  return buffer;
}

static void add_kernel(cJSON *list, const tg_kernel *k) {
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
    for (int d = 0; d < params[i].rank; d++) cJSON_AddItemToArray(dims, cJSON_CreateString(dim_text(&params[i], d, text, sizeof text)));
    cJSON_AddBoolToObject(param, "optional", params[i].flags & TG_PARAM_OPTIONAL);
  }
  cJSON *setting_list = cJSON_AddArrayToObject(object, "settings");
  for (int i = 0; i < ns; i++) {
    cJSON *setting = add_object(setting_list);
    add_text(setting, "name", settings[i].name);
    add_text(setting, "kind", settings[i].kind == TG_OPTION ? "option" : "tune");
    add_text(setting, "default", settings[i].fallback);
    cJSON_AddItemToObject(setting, "allowed", cJSON_CreateStringArray(settings[i].allowed, settings[i].nallowed));
  }
}

static void print_kernel_text(const tg_kernel *k) {
  const tg_param *params;
  const tg_setting *settings;
  int np = tg_kernel_params(k, &params), ns = tg_kernel_settings(k, &settings);
  printf("%-22s", tg_kernel_name(k));
  int last = -1;
  char text[256];
  for (int i = 0; i < np; i++) {
    if (params[i].kind == TG_WORKSPACE) continue;
    bool out = params[i].kind == TG_OUTPUT;
    fputs(last < 0 ? " " : out && !last ? " -> " : ", ", stdout);
    last = out;
    printf("%s %s%s", params[i].name, tg_dtype_name(params[i].dtype), params[i].kind == TG_SCALAR_PARAM ? " scalar" : "");
    for (int d = 0; d < params[i].rank; d++) printf("%s%s", d ? "," : "[", dim_text(&params[i], d, text, sizeof text));
    if (params[i].rank) printf("]");
  }
  for (int i = 0; i < ns; i++) printf("%s%s=%s", i ? " " : "\n                         set ", settings[i].name, settings[i].fallback);
  printf("\n");
}

static int run_kernels(cli *c) {
  const char *const *names;
  int n;
  tg_status status = tg_library(c->ctx, &n, &names);
  if (status) return cli_fail(c, status);
  cJSON *list = cli_has(c, "--json") ? cJSON_CreateArray() : NULL;
  for (int i = 0; i < n && !status; i++) {
    tg_source *source = NULL;
    tg_kernel *kernel;
    status = tg_source_load(c->ctx, names[i], &source);
    if (!status) status = tg_source_signature(source, &(tg_bindings){0}, &kernel);
    if (!status && list) add_kernel(list, kernel);
    else if (!status) print_kernel_text(kernel);
    tg_source_free(source);
  }
  if (!status && list) return print_list(list);
  cJSON_Delete(list);
  return status ? cli_fail(c, status) : 0;
}

const cli_command cli_targets = {
    .name = "targets",
    .usage = "[--json]",
    .summary = "What can be compiled for",
    .examples = "  tegula targets\n",
    .options = json_only,
    .run = run_targets,
};
const cli_command cli_machines = {
    .name = "machines",
    .usage = "[--json]",
    .summary = "Chips that tegula has a description of, with the figures it uses",
    .examples = "  tegula machines --json\n",
    .options = json_only,
    .run = run_machines,
};
const cli_command cli_devices = {
    .name = "devices",
    .usage = "[--json]",
    .summary = "Where kernels can run now",
    .examples = "  tegula devices\n",
    .options = json_only,
    .run = run_devices,
};
const cli_command cli_kernels = {
    .name = "kernels",
    .usage = "[--json]",
    .summary = "The kernel library: parameters, shapes, options",
    .examples = "  tegula kernels\n",
    .options = json_only,
    .run = run_kernels,
};
