// PTX to cubin, and reading what the assembler says.
#include "targets/nvptx/assemble.h"

#include <stdlib.h>

// ---- reading

enum { MAX_ENTRIES = 4096, MAX_WARNINGS = 64 };

// The next line of a text, without its end; NULL after the last.
static const char *next_line(const char **text, size_t *n) {
  const char *line = *text;
  if (!*line) return NULL;
  *n = strcspn(line, "\n");
  *text = line + *n + (line[*n] == '\n');
  return line;
}

static const char *find(const char *line, size_t n, const char *what) {
  const size_t m = strlen(what);
  for (size_t i = 0; m <= n && i <= n - m; i++)
    if (!memcmp(line + i, what, m)) return line + i;
  return NULL;
}

// The number that stands before `after` in a line; -1 = none.
static int number_before(const char *line, size_t n, const char *after) {
  const char *p = find(line, n, after);
  if (!p || p == line || p[-1] < '0' || p[-1] > '9') return -1;
  while (p > line && p[-1] >= '0' && p[-1] <= '9') p--;
  const long value = strtol(p, NULL, 10);
  return value < 0 || value > INT32_MAX ? INT32_MAX : (int)value;
}

static tg_assembly_entry *add_entry(tg_arena *arena, tg_assembly *out, const char *name, size_t n) {
  if (out->nentries == MAX_ENTRIES) return NULL;
  if (!(out->nentries & (out->nentries - 1))) {
    tg_assembly_entry *more = TG_NEWN(arena, tg_assembly_entry, 2 * out->nentries + 1);
    for (int i = 0; i < out->nentries; i++) more[i] = out->entries[i];
    out->entries = more;
  }
  tg_assembly_entry *entry = &out->entries[out->nentries++];
  *entry = (tg_assembly_entry){tg_arena_strndup(arena, name, n), -1, -1};
  return entry;
}

// What follows a severity: "ptxas warning : TEXT", "info    : (C7519) TEXT".
static const char *after_severity(const char *line, size_t n, const char *severity) {
  const char *p = find(line, n, severity);
  if (!p) return NULL;
  p += strlen(severity);
  while (p < line + n && *p == ' ') p++;
  if (p == line + n || *p != ':') return NULL;
  for (p++; p < line + n && *p == ' ';) p++;
  return p;
}

// Warnings, and remarks with a number such as (C7510), which say that a loop of wgmma is not what it was meant to be.
static void read_warning(tg_arena *arena, tg_assembly *out, const char *line, size_t n, const tg_assembly_entry *entry) {
  const char *text = after_severity(line, n, "warning");
  if (!text) {
    text = after_severity(line, n, "info");
    if (text && ((size_t)(line + n - text) < 3 || text[0] != '(' || text[1] != 'C')) text = NULL;
  }
  if (!text || out->nwarnings == MAX_WARNINGS) return;
  if (!out->warnings) out->warnings = TG_NEWN(arena, const char *, MAX_WARNINGS);
  out->warnings[out->nwarnings++] = tg_arena_printf(arena, "%s%s%.*s", entry ? entry->name : "", entry ? ": " : "",
                                                    (int)(line + n - text < 500 ? line + n - text : 500), text);
}

void tg_assembly_read(tg_arena *arena, const char *said, tg_assembly *out) {
  tg_assembly_entry *entry = NULL;
  size_t n;
  for (const char *line; (line = next_line(&said, &n));) {
    const char *name = find(line, n, "Compiling entry function '");
    if (name) {
      name += strlen("Compiling entry function '");
      const char *end = memchr(name, '\'', (size_t)(line + n - name));
      entry = end ? add_entry(arena, out, name, (size_t)(end - name)) : NULL;
      continue;
    }
    read_warning(arena, out, line, n, entry);
    const int registers = find(line, n, "Used ") ? number_before(line, n, " registers") : -1;
    const int spilled = number_before(line, n, " bytes spill stores");
    if (entry && registers > entry->registers) entry->registers = registers;
    if (entry && spilled > entry->spilled_bytes) entry->spilled_bytes = spilled;
  }
}

// Line `number` of the PTX, without the space around it.
static const char *ptx_line(tg_arena *arena, tg_bytes ptx, int number) {
  const char *p = ptx.data, *end = p + ptx.size;
  for (int i = 1; i < number && p; i++) {
    p = memchr(p, '\n', (size_t)(end - p));
    if (p) p++;
  }
  if (!p || p >= end || number < 1) return NULL;
  const char *stop = memchr(p, '\n', (size_t)(end - p));
  if (!stop) stop = end;
  while (p < stop && (*p == ' ' || *p == '\t')) p++;
  const int n = stop - p < 160 ? (int)(stop - p) : 160;
  return tg_arena_printf(arena, "%.*s", n, p);
}

const char *tg_assembly_complaint(tg_arena *arena, const char *said, tg_bytes ptx) {
  const char *first = NULL, *text = said;
  size_t n;
  int more = 0;
  for (const char *line; (line = next_line(&text, &n));) {
    const char *complaint = after_severity(line, n, "error");
    if (!complaint) complaint = after_severity(line, n, "fatal");
    if (!complaint) continue;
    if (first) {
      more += find(line, n, "aborted due to errors") == NULL;
      continue;
    }
    const char *at = find(line, n, ", line ");
    const int number = at ? atoi(at + strlen(", line ")) : 0;
    const char *source = number ? ptx_line(arena, ptx, number) : NULL;
    first = tg_arena_printf(arena, "%.*s", (int)(line + n - complaint < 500 ? line + n - complaint : 500), complaint);
    if (source) first = tg_arena_printf(arena, "line %d: %s, in `%s`", number, first, source);
  }
  if (first && more) return tg_arena_printf(arena, "%s (and %d more)", first, more);
  return first ? first : *said ? tg_arena_printf(arena, "%.2000s", said) : "it says nothing";
}

// ---- ptxas

static const char *version_of(tg_context *ctx, tg_arena *arena, const char *path) {
  const char *const argv[] = {path, "--version", NULL};
  tg_tool_run run = {.argv = argv};
  tg_tool_execute(ctx, arena, &run);
  const char *said = run.said.data ? run.said.data : "", *release = strstr(said, "release ");
  if (!release) return "ptxas";
  release += strlen("release ");
  return tg_arena_printf(arena, "ptxas %.*s", (int)strcspn(release, ", \n"), release);
}

// Asked once a process: the program of that path.
static const char *ptxas_name(tg_context *ctx, tg_arena *arena, const char *path) {
  static struct {
    char path[1024], name[64];
  } known;
  if (strcmp(known.path, path)) {
    const char *name = version_of(ctx, arena, path);
    snprintf(known.name, sizeof known.name, "%s", name);
    snprintf(known.path, sizeof known.path, "%s", path);
  }
  return tg_arena_strdup(arena, known.name);
}

static void ptxas_assemble(tg_context *ctx, tg_arena *arena, const char *path, const char *arch, tg_bytes ptx, tg_assembly *out) {
  const char *const argv[] = {path, "-v", "-arch", arch, "INPUT", "-o", "OUTPUT", NULL};
  tg_tool_run run = {.argv = argv, .input = ptx};
  tg_tool_execute(ctx, arena, &run);
  const char *said = run.said.data ? run.said.data : "";
  if (run.status == -1)
    tg_throw(ctx, TG_FAILED, "%s was ended by a signal; its last words: %s", path, run.said.size > 400 ? said + run.said.size - 400 : said);
  if (run.status) tg_throw(ctx, TG_FAILED, "%s does not take the PTX: %s", path, tg_assembly_complaint(arena, said, ptx));
  if (!run.output.size) tg_throw(ctx, TG_FAILED, "%s left no cubin", path);
  out->cubin = run.output;
  out->tool = ptxas_name(ctx, arena, path);
  tg_assembly_read(arena, said, out);
}

// ---- whichever there is

const char *tg_assembler_find(tg_arena *arena) {
  const char *path = tg_cuda_find(arena, TG_CUDA_PTXAS);
  return path ? path : tg_cuda_find(arena, TG_CUDA_NVJITLINK);
}

const char *tg_disassembler_find(tg_arena *arena) {
  const char *path = tg_cuda_find(arena, TG_CUDA_NVDISASM);
  return path ? path : tg_cuda_find(arena, TG_CUDA_CUOBJDUMP);
}

const char *tg_disassemble(tg_context *ctx, tg_arena *arena, tg_bytes cubin, size_t *size) {
  const char *path = tg_cuda_find(arena, TG_CUDA_NVDISASM), *how = path ? "-c" : "-sass";
  *size = 0;
  if (!path) path = tg_cuda_find(arena, TG_CUDA_CUOBJDUMP);
  if (!path) return "";
  const char *const argv[] = {path, how, "INPUT", NULL};
  tg_tool_run run = {.argv = argv, .input = cubin, .separate = true};
  tg_tool_execute(ctx, arena, &run);
  if (run.status || !run.said.size) {
    tg_log(ctx, TG_LOG_WARNING, "%s does not take the cubin: its instructions are not counted", path);
    return "";
  }
  *size = run.said.size;
  return run.said.data;
}

void tg_no_assembler(tg_context *ctx, tg_arena *arena) {
  tg_throw(
      ctx, TG_INVALID,
      "no cubin without an assembler of NVIDIA's: %s: looked for where these variables say, below $CUDA_HOME and $CUDA_PATH, in $PATH "
      "and $LD_LIBRARY_PATH, and below /usr/local/cuda; install the CUDA toolkit, or take the PTX with asm: drivers assemble it themselves",
      tg_cuda_names(arena, TG_CUDA_PTXAS, TG_CUDA_NVJITLINK));
}

void tg_assemble(tg_context *ctx, tg_arena *arena, const char *arch, tg_bytes ptx, tg_assembly *out) {
  *out = (tg_assembly){0};
  const char *path = tg_cuda_find(arena, TG_CUDA_PTXAS);
  if (path) {
    ptxas_assemble(ctx, arena, path, arch, ptx, out);
    return;
  }
  path = tg_cuda_find(arena, TG_CUDA_NVJITLINK);
  if (!path) tg_no_assembler(ctx, arena);
  tg_nvjitlink_assemble(ctx, arena, path, arch, ptx, out);
}
