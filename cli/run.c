// run: a Lua script with tegula loaded. completion: what a shell needs to complete all of this.
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static const cli_option none[] = {{0}};

static tg_context *running; // for the handler

// Only the first interrupt comes here: the second has its default action and kills at once.
static void interrupt(int signal) {
  (void)signal;
  const char *where = tg_script_interrupt(running);
  if (!where) return;
  const char *const words[] = {"tegula: error: interrupted at ", where, "\n"};
  for (int i = 0; i < 3; i++)
    if (write(STDERR_FILENO, words[i], strlen(words[i])) < 0) break;
  _exit(1);
}

static int run(cli *c) {
  running = c->ctx;
  sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt, .sa_flags = SA_RESETHAND}, NULL);
  tg_status status = tg_script_run(c->ctx, c->words[0], c->nwords - 1, c->words + 1);
  return status ? cli_fail(c, status) : 0;
}

const cli_command cli_run = {
    .name = "run",
    .arguments = "SCRIPT.lua [ARGS…]",
    .summary = "Runs a Lua script: load, launch, compare and time kernels",
    .examples = "  tegula run examples/first_kernel.lua\n",
    .options = none,
    .min_words = 1,
    .max_words = -1,
    .words = "@files",
    .run = run,
};

static void print_words(const char *values) {
  if (!values) return;
  if (!strcmp(values, "@files")) printf("compgen -f -- \"$cur\"");
  else if (!strcmp(values, "@devices")) printf("compgen -W \"$(tegula devices 2>/dev/null | cut -d' ' -f1)\" -- \"$cur\"");
  else if (!strcmp(values, "@targets"))
    printf("compgen -W \"$( (tegula targets; tegula machines) 2>/dev/null | cut -d' ' -f1)\" -f -- \"$cur\"");
  else if (!strcmp(values, "@kernels")) printf("compgen -W \"$(tegula kernels 2>/dev/null | grep -o '^[a-z][^ ]*')\" -f -- \"$cur\"");
  else printf("compgen -W \"%s\" -- \"$cur\"", values);
}

static void print_command_case(const cli_command *command) {
  printf("  %s)\n    case \"$prev\" in\n", command->name);
  for (const cli_option *o = command->options; o->name; o++) {
    if (!o->value) continue;
    printf("    %s) COMPREPLY=($(", o->name);
    if (o->values) print_words(o->values);
    else printf("true");
    printf(")); return ;;\n");
  }
  printf("    esac\n    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"--help");
  for (const cli_option *o = command->options; o->name; o++) printf(" %s", o->name);
  printf("\" -- \"$cur\"))");
  if (command->words) {
    printf("; else COMPREPLY=($(");
    print_words(command->words);
    printf("))");
  }
  printf("; fi ;;\n");
}

static int run_completion(cli *c) {
  (void)c;
  printf(
      "# bash completion of tegula; load it with: source <(tegula completion)\n_tegula() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n  if ((COMP_CWORD == 1)); then COMPREPLY=($(compgen -W \"");
  for (int i = 0; cli_commands[i]; i++) printf("%s%s", i ? " " : "", cli_commands[i]->name);
  printf("\" -- \"$cur\")); return; fi\n  case \"${COMP_WORDS[1]}\" in\n");
  for (int i = 0; cli_commands[i]; i++) print_command_case(cli_commands[i]);
  printf("  esac\n}\ncomplete -o default -F _tegula tegula\n");
  return 0;
}

const cli_command cli_completion = {
    .name = "completion",
    .arguments = "",
    .summary = "Prints completion for bash",
    .examples = "  source <(tegula completion)\n",
    .options = none,
    .run = run_completion,
};
