// Shared by the subcommands: options declared as tables (help, parsing and completion come from them), NAME=VALUE lists, output.
#ifndef TG_CLI_H
#define TG_CLI_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tegula/tegula.h"

enum { CLI_MAX_VALUES = 256 };

typedef struct cli_option {
  const char *name;  // "--device"
  const char *value; // "D", NULL for a flag
  const char *help;
  const char *values; // what completion offers: words, or "@devices" "@targets" "@kernels" "@files"; NULL = nothing
} cli_option;

typedef struct cli cli;
typedef struct cli_kept cli_kept;

typedef struct cli_command {
  const char *name, *arguments, *summary, *examples; // arguments: the positional words; the synopsis is these and the options
  const cli_option *options;                         // ends with name NULL; --help is common to all
  const char *required;                              // the option that must be given; "--a|--b": one of these; NULL = none
  int min_words, max_words;                          // positional words; max -1 = any
  const char *words;                                 // completion of the first word, as cli_option.values
  int (*run)(cli *c);
} cli_command;

struct cli {
  tg_context *ctx;
  const cli_command *command;
  int nwords;
  const char *words[CLI_MAX_VALUES]; // positional, in order
  int ngiven;
  struct {
    const cli_option *option;
    const char *value;
  } given[CLI_MAX_VALUES];
  cli_kept *kept; // memory that goes when the command ends
};

extern const cli_command *const cli_commands[]; // NULL-terminated

bool cli_has(const cli *c, const char *name);
const char *cli_value(const cli *c, const char *name, const char *fallback); // the last one given
// Integer or seconds option; a malformed value ends the command with exit status 2.
long cli_int(const cli *c, const char *name, long fallback, long low, long high);
double cli_number(const cli *c, const char *name, double fallback);
// Collects every NAME=VALUE of an option, split at commas. Lives as long as the command.
tg_bindings cli_bindings(cli *c, const char *name);
// The words of an option, split at commas; their number, 0 when it is not given. They live as long as the command.
int cli_names(cli *c, const char *name, const char *const **out);
// Splits NAME=VALUE; ends the command with exit status 2 naming `what` when there is no '='. Lives as long as the command.
tg_binding cli_pair(cli *c, const char *text, const char *what);

// Prints "tegula: error: …" and returns the exit status: 2 for a wrong call, 1 for failed work.
int cli_fail(const cli *c, tg_status status);
_Noreturn void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2))); // exit status 2
// Ends the command as the signal does that other programs get there when nobody reads standard output any more; returns when it is read.
void cli_stop_unread(void);
// Writes a file whole or not at all (temporary beside it, then rename; straight into what is no regular file); NULL or "-" is stdout.
// Returns the exit status.
int cli_write(const char *file, const void *data, size_t size);
// Loads the kernel named by the first word.
tg_status cli_source(cli *c, tg_source **source);

#endif
