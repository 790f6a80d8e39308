// targets, machines, devices, kernels: what there is.
#include "cli/cli.h"

static const cli_option json_only[] = {{"--json", NULL, "one JSON document on standard output", NULL}, {0}};

static int run_targets(cli *c) {
  const tg_target_info *t;
  int n = tg_targets(c->ctx, &t);
  bool json = cli_has(c, "--json");
  if (json) printf("[");
  for (int i = 0; i < n; i++) {
    if (!json) {
      printf("%-20s %-5s -> %-5s %s%s\n", t[i].name, t[i].lowering, t[i].emitter, t[i].doc, t[i].available ? "" : " (not in this build)");
      continue;
    }
    printf("%s\n {\"name\":", i ? "," : "");
    cli_json_string(stdout, t[i].name);
    printf(",\"family\":");
    cli_json_string(stdout, t[i].family);
    printf(",\"lowering\":");
    cli_json_string(stdout, t[i].lowering);
    printf(",\"emitter\":");
    cli_json_string(stdout, t[i].emitter);
    printf(",\"available\":%s,\"doc\":", t[i].available ? "true" : "false");
    cli_json_string(stdout, t[i].doc);
    printf("}");
  }
  if (json) printf("\n]\n");
  return 0;
}

static int run_machines(cli *c) {
  const tg_machine_info *m;
  int n = tg_machines(c->ctx, &m);
  bool json = cli_has(c, "--json");
  if (json) printf("[");
  for (int i = 0; i < n; i++) {
    if (!json) {
      printf("%-20s %-20s %s\n", m[i].name, m[i].target, m[i].doc);
      continue;
    }
    printf("%s\n {\"name\":", i ? "," : "");
    cli_json_string(stdout, m[i].name);
    printf(",\"target\":");
    cli_json_string(stdout, m[i].target);
    printf(",\"doc\":");
    cli_json_string(stdout, m[i].doc);
    printf(",\"figures\":{");
    for (int k = 0; k < m[i].nfigures; k++) {
      if (k) printf(",");
      cli_json_string(stdout, m[i].figures[k].name);
      printf(":{\"value\":%.17g,\"unit\":", m[i].figures[k].value);
      cli_json_string(stdout, m[i].figures[k].unit);
      printf(",\"source\":");
      cli_json_string(stdout, m[i].figures[k].source);
      printf("}");
    }
    printf("}}");
  }
  if (json) printf("\n]\n");
  return 0;
}

static int run_devices(cli *c) {
  const tg_device_info *d;
  int n = tg_devices(c->ctx, &d);
  bool json = cli_has(c, "--json");
  if (json) printf("[");
  for (int i = 0; i < n; i++) {
    if (!json) {
      if (d[i].available) printf("%-12s %-16s %s\n", d[i].name, d[i].target ? d[i].target : "-", d[i].description);
      else printf("%-12s %-16s not available: %s\n", d[i].name, d[i].target ? d[i].target : "-", d[i].why);
      continue;
    }
    printf("%s\n {\"name\":", i ? "," : "");
    cli_json_string(stdout, d[i].name);
    printf(",\"family\":");
    cli_json_string(stdout, d[i].family);
    printf(",\"target\":");
    cli_json_string(stdout, d[i].target);
    printf(",\"description\":");
    cli_json_string(stdout, d[i].description);
    printf(",\"available\":%s,\"why\":", d[i].available ? "true" : "false");
    cli_json_string(stdout, d[i].available ? NULL : d[i].why);
    printf("}");
  }
  if (json) printf("\n]\n");
  return 0;
}

static const char *const kind_names[] = {"input", "output", "inout", "workspace", "scalar"};

static void print_dims(FILE *out, const tg_param *p, const char *before, const char *between, bool quoted) {
  for (int i = 0; i < p->rank; i++) {
    char text[256];
    tg_expr_print(p->dims[i], text, sizeof text);
    fputs(i ? between : before, out);
    if (quoted) cli_json_string(out, text);
    else fputs(text, out);
  }
}

static void print_kernel_json(const tg_kernel *k) {
  printf("{\"name\":");
  cli_json_string(stdout, tg_kernel_name(k));
  const tg_param *params;
  const tg_setting *settings;
  int np = tg_kernel_params(k, &params), ns = tg_kernel_settings(k, &settings);
  printf(",\"params\":[");
  for (int i = 0; i < np; i++) {
    printf("%s{\"name\":", i ? "," : "");
    cli_json_string(stdout, params[i].name);
    printf(",\"kind\":\"%s\",\"dtype\":\"%s\",\"dims\":[", kind_names[params[i].kind], tg_dtype_name(params[i].dtype));
    print_dims(stdout, &params[i], "", ",", true);
    printf("],\"optional\":%s}", params[i].flags & TG_PARAM_OPTIONAL ? "true" : "false");
  }
  printf("],\"settings\":[");
  for (int i = 0; i < ns; i++) {
    printf("%s{\"name\":", i ? "," : "");
    cli_json_string(stdout, settings[i].name);
    printf(",\"kind\":\"%s\",\"default\":", settings[i].kind == TG_OPTION ? "option" : "tune");
    cli_json_string(stdout, settings[i].fallback);
    printf(",\"allowed\":[");
    for (int a = 0; a < settings[i].nallowed; a++) {
      if (a) printf(",");
      cli_json_string(stdout, settings[i].allowed[a]);
    }
    printf("]}");
  }
  printf("]}");
}

static void print_kernel_text(const tg_kernel *k) {
  const tg_param *params;
  const tg_setting *settings;
  int np = tg_kernel_params(k, &params), ns = tg_kernel_settings(k, &settings);
  printf("%-22s", tg_kernel_name(k));
  int last = -1;
  for (int i = 0; i < np; i++) {
    if (params[i].kind == TG_WORKSPACE) continue;
    bool out = params[i].kind == TG_OUTPUT;
    fputs(last < 0 ? " " : out && !last ? " -> " : ", ", stdout);
    last = out;
    printf("%s %s", params[i].name, tg_dtype_name(params[i].dtype));
    if (params[i].kind == TG_SCALAR_PARAM) printf(" scalar");
    else print_dims(stdout, &params[i], "[", ",", false), printf("%s", params[i].rank ? "]" : "");
  }
  for (int i = 0; i < ns; i++)
    printf("%s%s=%s", i ? " " : "\n                         set ", settings[i].name, settings[i].fallback);
  printf("\n");
}

static int run_kernels(cli *c) {
  const char *const *names;
  int n;
  tg_status status = tg_library(c->ctx, &n, &names);
  if (status) return cli_fail(c, status);
  bool json = cli_has(c, "--json");
  if (json) printf("[");
  for (int i = 0; i < n; i++) {
    tg_source *source;
    tg_kernel *kernel;
    if ((status = tg_source_load(c->ctx, names[i], &source))) return cli_fail(c, status);
    if ((status = tg_source_signature(source, &(tg_bindings){0}, &kernel))) return cli_fail(c, status);
    if (json) printf("%s\n ", i ? "," : ""), print_kernel_json(kernel);
    else print_kernel_text(kernel);
    tg_source_free(source);
  }
  if (json) printf("\n]\n");
  return 0;
}

const cli_command cli_targets = {"targets", "[--json]", "What can be compiled for", "  tegula targets\n", json_only, 0, 0, NULL, run_targets};
const cli_command cli_machines = {
    "machines", "[--json]", "Chips that tegula has a description of, with the figures it uses", "  tegula machines --json\n", json_only, 0, 0, NULL, run_machines};
const cli_command cli_devices = {"devices", "[--json]", "Where kernels can run now", "  tegula devices\n", json_only, 0, 0, NULL, run_devices};
const cli_command cli_kernels = {
    "kernels", "[--json]", "The kernel library: parameters, shapes, options", "  tegula kernels\n", json_only, 0, 0, NULL, run_kernels};
