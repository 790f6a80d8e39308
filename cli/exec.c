// exec: runs a kernel once on .npy files.
#include <sys/stat.h>

#include "cli/cli.h"

static const cli_option options[] = {{"--device", "D", "where to run (default cpu; tegula devices)", "@devices"},
                                     {"--set", "P=V,…", "options and meta-parameters (default: tuned, else the machine's)", NULL},
                                     {"--shape", "S=V,…", "dims that the inputs leave open", NULL},
                                     {"--threads", "N", "host threads (default all)", NULL},
                                     {"--out", "NAME=OUT.npy", "file of an output; once for each that is kept", "@files"},
                                     {0}};

typedef struct {
  cli *c;
  const tg_param *params;
  int nparams;
  tg_argument args[CLI_MAX_VALUES];
  const char *out_file[CLI_MAX_VALUES]; // per argument, NULL = dropped
  bool given[CLI_MAX_VALUES];           // per argument: its NAME=… has been read
  int nargs;
} call;

static const tg_param *find_param(const call *x, const char *name) {
  for (int i = 0; i < x->nparams; i++)
    if (!strcmp(x->params[i].name, name) && x->params[i].kind != TG_WORKSPACE) return &x->params[i];
  char list[1024] = "";
  for (int i = 0; i < x->nparams; i++)
    if (x->params[i].kind != TG_WORKSPACE && strlen(list) + strlen(x->params[i].name) + 3 < sizeof list)
      strcat(strcat(list, *list ? ", " : ""), x->params[i].name);
  cli_usage("exec: the kernel has no parameter '%s'; it has %s", name, list);
}

static int find_argument(call *x, const char *name) {
  for (int i = 0; i < x->nargs; i++)
    if (!strcmp(x->args[i].name, name)) return i;
  if (x->nargs == CLI_MAX_VALUES) cli_usage("exec: more than %d arguments", CLI_MAX_VALUES);
  x->args[x->nargs].name = name;
  return x->nargs++;
}

// Would the second of two outputs take the first one's place? Not in a pipe or /dev/null.
static bool same_array(const char *a, const char *b) {
  struct stat s, t;
  const bool there = !stat(a, &s);
  if (there && !S_ISREG(s.st_mode)) return false;
  return !strcmp(a, b) || (there && !stat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino);
}

static void set_output(call *x, const tg_param *p, const char *file) {
  int i = find_argument(x, p->name);
  if (x->out_file[i]) cli_usage("exec: output %s has two files", p->name);
  for (int k = 0; k < x->nargs; k++)
    if (x->out_file[k] && same_array(x->out_file[k], file))
      cli_usage("exec: outputs %s and %s have one file, %s", x->args[k].name, p->name, file);
  x->out_file[i] = file;
}

// --out NAME=FILE
static void add_output(call *x, const char *text) {
  tg_binding pair = cli_pair(x->c, text, "--out");
  const tg_param *p = find_param(x, pair.name);
  if (p->kind != TG_OUTPUT && p->kind != TG_INOUT) cli_usage("exec: --out %s: it is no output", pair.name);
  set_output(x, p, pair.value);
}

// NAME=FILE or NAME=NUMBER
static tg_status add_argument(call *x, const char *word) {
  tg_binding pair = cli_pair(x->c, word, "argument");
  const tg_param *p = find_param(x, pair.name);
  if (p->kind == TG_OUTPUT) {
    set_output(x, p, pair.value);
    return TG_OK;
  }
  int i = find_argument(x, p->name);
  if (x->given[i]) cli_usage("exec: %s is given twice", p->name);
  x->given[i] = true;
  if (p->kind == TG_SCALAR_PARAM) {
    char *end;
    x->args[i].number = strtod(pair.value, &end);
    if (end == pair.value || *end) cli_usage("exec: %s=%s: a scalar parameter takes a number", p->name, pair.value);
    return TG_OK;
  }
  return tg_npy_read(x->c->ctx, pair.value, p->dtype, &x->args[i].array);
}

static void require_all(const call *x) {
  for (int p = 0; p < x->nparams; p++) {
    const tg_param *param = &x->params[p];
    if (param->kind == TG_WORKSPACE || param->kind == TG_OUTPUT || (param->flags & TG_PARAM_OPTIONAL)) continue;
    bool found = false;
    for (int i = 0; i < x->nargs && !found; i++)
      found = !strcmp(x->args[i].name, param->name) && (param->kind == TG_SCALAR_PARAM || x->args[i].array);
    if (!found)
      cli_usage("exec: parameter %s is missing: give %s=%s", param->name, param->name,
                param->kind == TG_SCALAR_PARAM ? "NUMBER" : "FILE.npy");
  }
}

static int write_outputs(call *x) {
  int exit_status = 0;
  for (int i = 0; i < x->nargs && !exit_status; i++) {
    if (!x->out_file[i]) continue;
    tg_status status = tg_npy_write(x->c->ctx, x->out_file[i], x->args[i].array);
    if (status) exit_status = cli_fail(x->c, status);
  }
  return exit_status;
}

static int run(cli *c) {
  static call x;
  x.c = c;
  tg_source *source = NULL;
  tg_device *device = NULL;
  tg_kernel *signature;
  tg_run_options run_options = {.settings = cli_bindings(c, "--set"),
                                .shape = cli_bindings(c, "--shape"),
                                .threads = (int)cli_int(c, "--threads", 0, 1, 4096),
                                .check_indices = true};
  tg_status status = cli_source(c, &source);
  if (!status) status = tg_source_signature(source, &run_options.settings, &signature);
  if (status) {
    tg_source_free(source);
    return cli_fail(c, status);
  }
  x.nparams = tg_kernel_params(signature, &x.params);
  int named = 0;
  for (int i = 0; i < c->ngiven && !status; i++)
    if (!strcmp(c->given[i].option->name, "--out")) add_output(&x, c->given[i].value), named++;
  for (int i = 1; i < c->nwords && !status; i++) status = add_argument(&x, c->words[i]);
  for (int i = 0; i < x.nargs; i++) named += x.out_file[i] != NULL;
  if (!status) require_all(&x);
  if (!status && !named) cli_usage("exec: no output is kept; give --out NAME=FILE.npy");
  if (!status) status = tg_device_open(c->ctx, cli_value(c, "--device", "cpu"), &device);
  // Outputs without a file are computed and dropped.
  for (int p = 0; p < x.nparams && !status; p++)
    if (x.params[p].kind == TG_OUTPUT && !(x.params[p].flags & TG_PARAM_OPTIONAL)) find_argument(&x, x.params[p].name);
  if (!status) status = tg_run(device, source, &run_options, x.nargs, x.args, true);
  int exit_status = status ? cli_fail(c, status) : write_outputs(&x);
  for (int i = 0; i < x.nargs; i++) tg_array_free(c->ctx, x.args[i].array);
  tg_device_close(device);
  tg_source_free(source);
  return exit_status;
}

const cli_command cli_exec = {
    .name = "exec",
    .arguments = "KERNEL NAME=IN.npy… NAME=NUMBER…",
    .required = "--out",
    .summary = "Runs a kernel once on .npy files; dims follow from the inputs' shapes",
    .examples = "  tegula exec rmsnorm X=x.npy W=w.npy eps=1e-6 --out O=o.npy\n"
                "  tegula exec gemm_fp8 A=a.npy As=as.npy B=b.npy Bs=bs.npy --out C=c.npy --threads 1\n"
                "  tegula exec pack_weights B=b.npy --out Bp=bp.npy\n"
                "  tegula exec gemm_fp8 --set packed=1 A=a.npy As=as.npy B=bp.npy Bs=bs.npy --out C=c.npy\n"
                "  tegula exec gemm_f32 --device interp A=a.npy B=b.npy --out C=c.npy\n",
    .options = options,
    .min_words = 1,
    .max_words = -1,
    .words = "@kernels",
    .run = run,
};
