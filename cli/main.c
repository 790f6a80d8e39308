// The tegula command: finds the subcommand, parses its options by its table, runs it.
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

extern const cli_command cli_targets, cli_machines, cli_devices, cli_kernels, cli_compile, cli_exec, cli_tune, cli_bench, cli_check,
    cli_sim, cli_run, cli_completion;
const cli_command *const cli_commands[] = {&cli_targets, &cli_machines, &cli_devices, &cli_kernels, &cli_compile,    &cli_exec, &cli_tune,
                                           &cli_bench,   &cli_check,    &cli_sim,     &cli_run,     &cli_completion, NULL};

static void log_line(void *user, tg_log_level level, const char *text) {
  const cli *c = user;
  const char *const names[] = {"debug", "note", "warning"};
  if (level == TG_LOG_DEBUG && !getenv("TEGULA_DEBUG")) return;
  if (level == TG_LOG_INFO && c->command == &cli_check) return; // what is not tuned is no matter there
  fprintf(stderr, "tegula: %s: %s\n", names[level], text);
}

static void print_overview(FILE *out) {
  fprintf(out, "tegula %s: write, tune and ship tile kernels\n\nusage: tegula COMMAND [ARGUMENTS]\n\n", TG_VERSION);
  for (int i = 0; cli_commands[i]; i++) fprintf(out, "  %-11s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
  fprintf(out, "\n'tegula COMMAND --help' explains one with examples. Environment: TEGULA_CACHE (directory), TEGULA_DATABASE (file),\n"
               "TEGULA_DUMP (directory for numbered files after each pass), TEGULA_ROOT (where kernels/ and lua/ are).\n");
}

// Whether an option must be given: 1, or 2 in place of the one before it; 0 it need not.
static int is_required(const cli_command *command, const char *name) {
  const size_t n = strlen(name);
  for (const char *at = command->required; at && (at = strstr(at, name)); at += n)
    if (!at[n] || at[n] == '|') return at == command->required ? 1 : at[-1] == '|' ? 2 : 0;
  return 0;
}

// tegula NAME WORDS [OPTION]…, as docs/cli.md has it too (tests/cli/test_cli.c compares).
static void print_synopsis(FILE *out, const cli_command *command) {
  static const char *const before[] = {" [", " ", " | "};
  fprintf(out, "tegula %s%s%s", command->name, *command->arguments ? " " : "", command->arguments);
  for (const cli_option *o = command->options; o->name; o++) {
    const int required = is_required(command, o->name);
    fprintf(out, "%s%s%s%s%s", before[required], o->name, o->value ? " " : "", o->value ? o->value : "", required ? "" : "]");
  }
}

// Columns that a text takes, one for each character of its UTF-8.
static int columns(const char *text) {
  int n = 0;
  for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
  return n;
}

static void print_help(const cli_command *command) {
  printf("usage: ");
  print_synopsis(stdout, command);
  printf("\n\n%s\n", command->summary);
  if (command->options[0].name) printf("\noptions:\n");
  for (const cli_option *o = command->options; o->name; o++) {
    const char *value = o->value ? o->value : "";
    printf("  %s %s%*s %s\n", o->name, value, 21 - columns(o->name) - columns(value), "", o->help);
  }
  if (command->examples) printf("\nexamples:\n%s", command->examples);
}

static const cli_option *find_option(const cli_command *command, const char *word, size_t length) {
  for (const cli_option *o = command->options; o->name; o++)
    if (strlen(o->name) == length && !strncmp(o->name, word, length)) return o;
  return NULL;
}

static void give(cli *c, const cli_option *option, const char *value) {
  if (c->ngiven == CLI_MAX_VALUES) cli_usage("more than %d options", CLI_MAX_VALUES);
  c->given[c->ngiven].option = option;
  c->given[c->ngiven++].value = value;
}

static void add_word(cli *c, const char *word) {
  if (c->nwords == CLI_MAX_VALUES) cli_usage("more than %d arguments", CLI_MAX_VALUES);
  c->words[c->nwords++] = word;
}

_Noreturn static void wrong_words(const cli_command *command, const char *surplus) {
  fprintf(stderr, "tegula: error: %s: ", command->name);
  if (surplus) fprintf(stderr, "unexpected argument '%s'; usage: ", surplus);
  else fprintf(stderr, "too few arguments; usage: ");
  print_synopsis(stderr, command);
  fputc('\n', stderr);
  exit(2);
}

// Options may stand anywhere; "--" ends them; "--name=value" and "--name value" are the same. A script's own arguments are left alone.
static void parse_words(cli *c, int argc, char **argv) {
  bool options = true;
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];
    if (!options || word[0] != '-' || !word[1]) {
      add_word(c, word);
      if (!strcmp(c->command->name, "run")) options = false;
      continue;
    }
    if (!strcmp(word, "--")) {
      options = false;
      continue;
    }
    const char *equals = strchr(word, '=');
    const cli_option *option = find_option(c->command, word, equals ? (size_t)(equals - word) : strlen(word));
    if (!option) cli_usage("%s: no option %s; 'tegula %s --help' lists them", c->command->name, word, c->command->name);
    if (!option->value) {
      if (equals) cli_usage("%s takes no value", option->name);
      give(c, option, NULL);
    } else if (equals) {
      give(c, option, equals + 1);
    } else {
      if (i + 1 == argc) cli_usage("%s needs a value: %s %s", option->name, option->name, option->value);
      give(c, option, argv[++i]);
    }
  }
  if (c->nwords < c->command->min_words) wrong_words(c->command, NULL);
  if (c->command->max_words >= 0 && c->nwords > c->command->max_words) wrong_words(c->command, c->words[c->command->max_words]);
}

bool cli_has(const cli *c, const char *name) {
  for (int i = 0; i < c->ngiven; i++)
    if (!strcmp(c->given[i].option->name, name)) return true;
  return false;
}

const char *cli_value(const cli *c, const char *name, const char *fallback) {
  for (int i = c->ngiven; i-- > 0;)
    if (!strcmp(c->given[i].option->name, name)) return c->given[i].value;
  return fallback;
}

long cli_int(const cli *c, const char *name, long fallback, long low, long high) {
  const char *text = cli_value(c, name, NULL);
  if (!text) return fallback;
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (end == text || *end || errno || value < low || value > high)
    cli_usage("%s '%s' is not an integer from %ld to %ld", name, text, low, high);
  return value;
}

double cli_number(const cli *c, const char *name, double fallback) {
  const char *text = cli_value(c, name, NULL);
  if (!text) return fallback;
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= 0) || value > 1e9) cli_usage("%s '%s' is not a number of seconds", name, text);
  return value;
}

_Noreturn static void out_of_memory(void) {
  fprintf(stderr, "tegula: error: out of memory\n");
  exit(1);
}

static void *must(void *p) { return p ? p : (out_of_memory(), NULL); }

struct cli_kept {
  cli_kept *next;
  max_align_t memory[];
};

static void *keep(cli *c, size_t size) {
  cli_kept *kept = must(malloc(sizeof *kept + size));
  kept->next = c->kept;
  c->kept = kept;
  return kept->memory;
}

static void drop_kept(cli *c) {
  for (cli_kept *next; c->kept; c->kept = next) {
    next = c->kept->next;
    free(c->kept);
  }
}

static char *keep_text(cli *c, const char *text, size_t length) {
  char *copy = keep(c, length + 1);
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

tg_binding cli_pair(cli *c, const char *text, const char *what) {
  const char *equals = strchr(text, '=');
  if (!equals || equals == text) cli_usage("%s '%s' is not NAME=VALUE", what, text);
  return (tg_binding){keep_text(c, text, (size_t)(equals - text)), keep_text(c, equals + 1, strlen(equals + 1))};
}

tg_bindings cli_bindings(cli *c, const char *name) {
  int n = 0, most = 0;
  for (int i = 0; i < c->ngiven; i++) {
    if (strcmp(c->given[i].option->name, name)) continue;
    most++;
    for (const char *at = c->given[i].value; (at = strchr(at, ',')); at++) most++;
  }
  if (!most) return (tg_bindings){0};
  tg_binding *list = keep(c, sizeof *list * (size_t)most);
  for (int i = 0; i < c->ngiven; i++) {
    if (strcmp(c->given[i].option->name, name)) continue;
    char *copy = keep_text(c, c->given[i].value, strlen(c->given[i].value)), *save = NULL;
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) list[n++] = cli_pair(c, item, name);
  }
  return (tg_bindings){n, list};
}

int cli_names(cli *c, const char *name, const char *const **out) {
  const char *value = cli_value(c, name, "");
  char *copy = keep_text(c, value, strlen(value)), *save = NULL;
  const char **list = keep(c, sizeof *list * (strlen(value) + 1));
  int n = 0;
  for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) list[n++] = item;
  *out = list;
  return n;
}

int cli_fail(const cli *c, tg_status status) {
  fprintf(stderr, "tegula: error: %s\n", tg_error_message(c->ctx));
  return status == TG_INVALID ? 2 : 1;
}

void cli_usage(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  fputs("tegula: error: ", stderr);
  vfprintf(stderr, format, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(2);
}

void cli_stop_unread(void) {
  fflush(stdout);
  if (!ferror(stdout) || poll(&(struct pollfd){.fd = STDOUT_FILENO}, 1, 0) != 1) return; // errors are reported without being asked for
  signal(SIGPIPE, SIG_DFL);
  raise(SIGPIPE);
}

static bool write_all(FILE *out, const void *data, size_t size) {
  bool ok = !size || fwrite(data, 1, size, out) == size;
  return fflush(out) == 0 && ok;
}

int cli_write(const char *file, const void *data, size_t size) {
  if (!file || !strcmp(file, "-")) {
    if (write_all(stdout, data, size)) return 0;
    cli_stop_unread();
    fprintf(stderr, "tegula: error: standard output: %s\n", strerror(errno));
    return 1;
  }
  struct stat info;
  // A pipe, a terminal, /dev/null are written to directly: there is nothing to put in their place. What a link leads to is replaced, not
  // the link.
  bool there = !stat(file, &info), direct = there && !S_ISREG(info.st_mode);
  char *target = there ? realpath(file, NULL) : NULL;
  const char *to = target ? target : file;
  size_t length = strlen(to) + 32;
  char *temporary = must(malloc(length));
  if (direct) snprintf(temporary, length, "%s", to);
  else snprintf(temporary, length, "%s.%ld.tmp", to, (long)getpid());
  FILE *out = fopen(temporary, "wb");
  bool ok = out && write_all(out, data, size);
  int error = errno;
  if (out && fclose(out) && ok) ok = false, error = errno;
  if (ok && !direct && rename(temporary, to)) ok = false, error = errno;
  if (!ok) {
    if (out && !direct) unlink(temporary);
    fprintf(stderr, "tegula: error: %s: cannot write: %s\n", file, strerror(error));
  }
  free(temporary);
  free(target);
  return ok ? 0 : out ? 1 : 2; // no room for it, or a name where nothing can be
}

tg_status cli_source(cli *c, tg_source **source) { return tg_source_load(c->ctx, c->words[0], source); }

static const cli_command *find_command(const char *name) {
  for (int i = 0; cli_commands[i]; i++)
    if (!strcmp(cli_commands[i]->name, name)) return cli_commands[i];
  return NULL;
}

_Noreturn static void unknown_command(const char *name) { cli_usage("no command '%s'; 'tegula --help' lists them", name); }

// Streams that came closed are taken, each opened the wrong way round: no file opened later gets their numbers, and using them stays an
// error.
static void hold_streams(void) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd) _exit(1);
}

static int finish(int status) {
  cli_stop_unread();
  if (ferror(stdout) && !status) {
    fprintf(stderr, "tegula: error: standard output: %s\n", strerror(errno));
    return 1;
  }
  return status;
}

// OpenMP's threads wait for each other by spinning, for milliseconds: on a busy machine they take the time from those they wait for. How
// long is read from the environment before main, so the command starts itself again, once, unless the user has chosen.
static void bound_spinning(char **argv) {
  if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", "1000", 1)) return;
  char *self = realpath("/proc/self/exe", NULL); // under its own name, which the process keeps
  if (self) execv(self, argv);
  free(self);
}

static bool runs_kernels(const cli_command *command) {
  return command == &cli_exec || command == &cli_tune || command == &cli_bench || command == &cli_check || command == &cli_sim ||
         command == &cli_run;
}

int main(int argc, char **argv) {
  hold_streams();
  signal(SIGPIPE, SIG_IGN); // a helper's pipe that closed is a write error; standard output's: cli_stop_unread
  signal(SIGXFSZ, SIG_IGN); // and so is a limit on the size of files
  if (argc < 2) {
    print_overview(stderr);
    return 2;
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
    const cli_command *command = argc > 2 ? find_command(argv[2]) : NULL;
    if (argc > 2 && !command) unknown_command(argv[2]);
    if (command) print_help(command);
    else print_overview(stdout);
    return finish(0);
  }
  if (!strcmp(argv[1], "--version")) {
    printf("tegula %s\n", TG_VERSION);
    return finish(0);
  }
  cli c = {.command = find_command(argv[1])};
  if (!c.command) unknown_command(argv[1]);
  if (runs_kernels(c.command)) bound_spinning(argv);
  for (int i = 2; i < argc && strcmp(argv[i], "--"); i++) {
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
      print_help(c.command);
      return finish(0);
    }
    if (!strcmp(c.command->name, "run") && argv[i][0] != '-') break;
  }
  parse_words(&c, argc - 2, argv + 2);
  if (tg_context_new(&(tg_config){.log = log_line, .user = &c}, &c.ctx)) out_of_memory();
  int status = finish(c.command->run(&c));
  tg_context_free(c.ctx);
  drop_kept(&c);
  return status;
}
