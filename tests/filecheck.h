// Tests as text files: an input with its command and what must appear in the output in comments, in the manner of LLVM's FileCheck.
//
//   // RUN: words        what to do with the input; the test program gives it its meaning
//   // CHECK: text       a line at or after the last match + 1 contains the text
//   // CHECK-NEXT: text  the very next line does
//   // CHECK-NOT: text   no line between the matches before and after contains it
//
// {{…}} in a text is an extended regular expression; all else is literal. A line `// -----` separates inputs; each has its own RUN.
#ifndef TG_FILECHECK_H
#define TG_FILECHECK_H

#include <dirent.h>
#include <regex.h>
#include <stdbool.h>

#include "test.h"

// Makes the output for an input; malloc'ed. `run` is what follows RUN.
typedef char *(*filecheck_produce)(const char *run, const char *source, size_t length, const char *name, void *user);

typedef struct filecheck_line {
  const char *p;
  size_t n;
} filecheck_line;

static inline bool filecheck_next_line(const char **cursor, const char *end, filecheck_line *out) {
  if (*cursor >= end) return false;
  const char *stop = memchr(*cursor, '\n', (size_t)(end - *cursor));
  if (!stop) stop = end;
  *out = (filecheck_line){*cursor, (size_t)(stop - *cursor)};
  *cursor = stop + 1;
  return true;
}

// What follows `// <directive>:` in a line, trimmed; NULL when it is another line.
static inline char *filecheck_directive(filecheck_line line, const char *directive) {
  size_t n = strlen(directive);
  const char *p = line.p, *end = line.p + line.n;
  while (p < end && *p == ' ') p++;
  if (end - p < 3 || memcmp(p, "// ", 3)) return NULL;
  p += 3;
  if ((size_t)(end - p) <= n || memcmp(p, directive, n) || p[n] != ':') return NULL;
  p += n + 1;
  while (p < end && *p == ' ') p++;
  while (end > p && end[-1] == ' ') end--;
  return strndup(p, (size_t)(end - p));
}

static inline bool filecheck_compile(const char *pattern, regex_t *out) {
  char *ere = malloc(strlen(pattern) * 2 + 1), *q = ere;
  for (const char *p = pattern; *p;) {
    const char *close = p[0] == '{' && p[1] == '{' ? strstr(p + 2, "}}") : NULL;
    if (close) {
      *q++ = '(';
      for (p += 2; p < close; p++) *q++ = *p;
      *q++ = ')';
      p += 2;
      continue;
    }
    if (strchr("\\^$.|?*+()[]{}", *p)) *q++ = '\\';
    *q++ = *p++;
  }
  *q = 0;
  int failed = regcomp(out, ere, REG_EXTENDED | REG_NOSUB);
  free(ere);
  return !failed;
}

static inline bool filecheck_contains(filecheck_line line, const char *pattern) {
  regex_t re;
  if (!filecheck_compile(pattern, &re)) {
    fprintf(stderr, "not a regular expression: %s\n", pattern);
    return false;
  }
  char *text = strndup(line.p, line.n);
  bool found = !regexec(&re, text, 0, NULL, 0);
  free(text);
  regfree(&re);
  return found;
}

// Holds one output against the CHECK lines of one input. Reports the first that fails.
static inline void filecheck_compare(const char *name, const char *source, size_t length, const char *output) {
  const char *cursor = source, *at = output, *end = output + strlen(output);
  char *forbidden[64];
  int nforbidden = 0, checks = 0;
  bool ok = true;
  filecheck_line line, got;
  while (ok && filecheck_next_line(&cursor, source + length, &line)) {
    char *text;
    if ((text = filecheck_directive(line, "CHECK-NOT"))) {
      if (nforbidden < 64) forbidden[nforbidden++] = text;
      checks++;
      continue;
    }
    bool next = (text = filecheck_directive(line, "CHECK-NEXT")) != NULL;
    if (!next && !(text = filecheck_directive(line, "CHECK"))) continue;
    checks++;
    bool found = false;
    while (!found && filecheck_next_line(&at, end, &got)) {
      found = filecheck_contains(got, text);
      for (int i = 0; !found && i < nforbidden; i++) {
        if (!filecheck_contains(got, forbidden[i])) continue;
        CHECKF(false, "%s: CHECK-NOT: %s stands in: %.*s\n%s", name, forbidden[i], (int)got.n, got.p, output);
        ok = false;
      }
      if (next) break;
    }
    CHECKF(found, "%s: %s: %s\n%s", name, next ? "CHECK-NEXT" : "CHECK", text, output);
    ok &= found;
    free(text);
    for (int i = 0; i < nforbidden; i++) free(forbidden[i]);
    nforbidden = 0;
  }
  while (ok && nforbidden && filecheck_next_line(&at, end, &got)) {
    for (int i = 0; i < nforbidden; i++)
      CHECKF(!filecheck_contains(got, forbidden[i]), "%s: CHECK-NOT: %s\n%s", name, forbidden[i], output);
  }
  for (int i = 0; i < nforbidden; i++) free(forbidden[i]);
  CHECKF(checks > 0, "%s checks nothing", name);
}

static inline void filecheck_input(const char *name, const char *source, size_t length, filecheck_produce produce, void *user) {
  const char *cursor = source;
  filecheck_line line;
  char *run = NULL;
  while (!run && filecheck_next_line(&cursor, source + length, &line)) run = filecheck_directive(line, "RUN");
  CHECKF(run, "%s has no RUN line", name);
  if (!run) return;
  char *output = produce(run, source, length, name, user);
  filecheck_compare(name, source, length, output);
  free(output);
  free(run);
}

// All inputs of a file; returns their number.
static inline int filecheck_file(const char *path, filecheck_produce produce, void *user) {
  FILE *f = fopen(path, "rb");
  CHECKF(f, "cannot open %s", path);
  if (!f) return 0;
  size_t capacity = 1 << 20;
  char *text = malloc(capacity);
  size_t size = fread(text, 1, capacity - 1, f);
  fclose(f);
  text[size] = 0;
  const char *base = strrchr(path, '/'), *begin = text, *cursor = text;
  filecheck_line line;
  int n = 0, number = 1, first = 1;
  char name[512];
  while (filecheck_next_line(&cursor, text + size, &line)) {
    bool bar = line.n >= 8 && !memcmp(line.p, "// -----", 8), last = cursor >= text + size;
    if (bar || last) {
      const char *stop = bar ? line.p : text + size;
      snprintf(name, sizeof name, "%.200s:%d", base ? base + 1 : path, first);
      filecheck_input(name, begin, (size_t)(stop - begin), produce, user);
      n++;
      begin = stop;
      first = number;
    }
    number++;
  }
  free(text);
  return n;
}

// All files of a directory whose names end so; returns the number of inputs.
static inline int filecheck_directory(const char *directory, const char *ending, filecheck_produce produce, void *user) {
  int n = 0;
  DIR *dir = opendir(directory);
  CHECKF(dir, "cannot open %s", directory);
  for (struct dirent *e; dir && (e = readdir(dir));) {
    size_t length = strlen(e->d_name), tail = strlen(ending);
    if (length < tail || strcmp(e->d_name + length - tail, ending)) continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
    n += filecheck_file(path, produce, user);
  }
  if (dir) closedir(dir);
  return n;
}
#endif
