// Files that come whole or not at all: written to a temporary beside the target and renamed over it. What is no regular file (a pipe,
// /dev/null) is written to directly, since replacing it would be wrong; links are followed.
#ifndef TG_WHOLE_FILE_H
#define TG_WHOLE_FILE_H

#include <limits.h>

#include "ir/base.h"

typedef struct tg_whole_file {
  tg_context *ctx;
  const char *file;                           // as the caller named it
  char target[PATH_MAX], part[PATH_MAX + 32]; // what `file` leads to; the temporary beside it, "" for none
  int fd;
} tg_whole_file;

// All but the last throw. Whoever calls tg_whole_open calls tg_whole_drop on every way out, also when it threw.
void tg_whole_open(tg_whole_file *whole, tg_context *ctx, const char *file);
void tg_whole_write(tg_whole_file *whole, const void *data, size_t n);
void tg_whole_commit(tg_whole_file *whole); // the file is there from now on
void tg_whole_drop(tg_whole_file *whole);   // removes what was not committed; of a struct of zeros nothing

#endif
