// Every elementwise op, cast and atomic on every dtype, and the memory ops of hosts, as PTX for the oldest and newest architectures: code
// or a sentence, never an end of the process, in which LLVM's code generator answers what it cannot select.
#include <sys/wait.h>
#include <unistd.h>

#include "targets/finish.h"
#include "test.h"

static tg_context *ctx;

typedef struct lane_job {
  const char *text, *target;
  tg_arena *arena;
  tg_kernel *lane;
} lane_job;

static void lane_body(void *arg) {
  lane_job *j = arg;
  const tg_family *family;
  const tg_machine *machine = tg_target_find(ctx, j->target, &family);
  j->lane = tg_parse(ctx, j->text, strlen(j->text), "test.lane");
  if (tg_verify(j->lane)) tg_rethrow(ctx);
  tg_record *record = tg_record_make(j->arena, j->lane, j->target);
  CHECK(tg_finish_nvptx(j->lane, machine, "asm", j->arena, record).size > 0);
}

// 'c' code, 'r' refused in a sentence; the caller's process may end here.
static char compile(const char *target, const char *body) {
  static const char *const format =
      "kernel k lane {\n  output O : i32[64]\n  launch k_0 (1) block (32, 1, 1) (%%o : ptr<global> = O) {\n%s  }\n}\n";
  char text[4096];
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  snprintf(text, sizeof text, format, body);
  lane_job j = {.text = text, .target = target, .arena = &arena};
  const tg_status status = tg_protect(ctx, lane_body, &j);
  tg_kernel_free(j.lane);
  tg_arena_free(&arena);
  return status == TG_OK ? 'c' : 'r';
}

static const char *type_of(char *text, int dtype, int lanes) {
  sprintf(text, lanes ? "%s[%d]" : "%s", tg_dtypes[dtype].name, lanes);
  return text;
}

static int compiled, tried;

// Runs in a process of its own all dtypes and lengths of one op; whatever ends that process is a failure.
static void in_child(const char *what, void (*all)(const void *of), const void *of) {
  int ends[2], status = 0;
  if (pipe(ends)) return;
  const pid_t pid = fork();
  if (pid == 0) {
    compiled = tried = 0;
    all(of);
    const int counts[] = {compiled, tried};
    _exit(write(ends[1], counts, sizeof counts) == sizeof counts ? 0 : 1);
  }
  close(ends[1]);
  int counts[2] = {0, 0};
  const bool told = read(ends[0], counts, sizeof counts) == sizeof counts;
  close(ends[0]);
  waitpid(pid, &status, 0);
  CHECKF(told && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: the process ended with status %x", what, (unsigned)status);
  compiled += counts[0];
  tried += counts[1];
}

static void one(const char *body) {
  static const char *const targets[] = {"nvptx:sm_80", "nvptx:sm_120a"};
  for (int t = 0; t < 2; t++) {
    tried++;
    compiled += compile(targets[t], body) == 'c';
  }
}

static const int lengths[] = {0, 2, 4, 8};

static void every_dtype(const void *of) {
  const tg_op_info *info = of;
  char body[2048], type[32], bits[32];
  for (int d = 0; d < tg_dtype_count(); d++)
    for (int l = 0; l < 4; l++) {
      type_of(type, d, lengths[l]);
      sprintf(bits, lengths[l] ? "i1[%d]" : "i1", lengths[l]);
      // The result is of the operands' type, or a test.
      for (int test = 0; test < 2; test++) {
        const bool select = !strcmp(info->name, "select");
        int n = sprintf(body, "    %%x = lload %%o {type = %s, align = 1} : %s\n    %%y = lload %%o {type = %s, align = 1} : %s\n", type,
                        type, type, type);
        if (select) n += sprintf(body + n, "    %%m = lload %%o {type = %s, align = 1} : %s\n", bits, bits);
        n += sprintf(body + n, "    %%z = %s %s%s%s : %s\n", info->name, select ? "%m, " : "", "%x",
                     info->in_lo - select == 3   ? ", %y, %x"
                     : info->in_lo - select == 2 ? ", %y"
                                                 : "",
                     test ? bits : type);
        sprintf(body + n, "    lstore %%o, %%z {align = 1}\n");
        one(body);
      }
    }
}

static void every_cast(const void *of) {
  const int from = *(const int *)of;
  char body[2048], a[32], b[32];
  for (int to = 0; to < tg_dtype_count(); to++)
    for (int l = 0; l < 4; l++)
      for (int sat = 0; sat < 2; sat++) {
        type_of(a, from, lengths[l]), type_of(b, to, lengths[l]);
        sprintf(
            body,
            "    %%x = lload %%o {type = %s, align = 1} : %s\n    %%z = cast %%x {to = \"%s\", mode = \"%s\"} : %s\n    lstore %%o, %%z "
            "{align = 1}\n",
            a, a, tg_dtype_name(to), sat ? "sat" : "ieee", b);
        one(body);
      }
}

static void every_atomic(const void *of) {
  static const char *const orders[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst"};
  static const char *const scopes[] = {"block", "device"};
  char body[2048];
  for (int d = 0; d < tg_dtype_count(); d++)
    for (int o = 0; o < 5; o++)
      for (int s = 0; s < 2; s++) {
        const char *name = tg_dtype_name(d);
        sprintf(
            body,
            "    %%x = lload %%o {type = %s, align = 1} : %s\n    %%z = atomicl %%o, %%x {kind = \"%s\", order = \"%s\", scope = \"%s\"} : "
            "%s\n    lstore %%o, %%z {align = 1}\n",
            name, name, (const char *)of, orders[o], scopes[s], name);
        one(body);
      }
}

static void host_memory(const void *of) {
  (void)of;
  one("    prefetch %o {level = 1}\n");
  one("    %m = lload %o {type = i1[8], align = 1} : i1[8]\n    %x = lload %o {type = f32[8], align = 4} : f32[8]\n"
      "    %y = loadm %o, %m, %x {align = 4} : f32[8]\n    lstore %o, %y {align = 4}\n");
  one("    %m = lload %o {type = i1[8], align = 1} : i1[8]\n    %x = lload %o {type = f32[8], align = 4} : f32[8]\n"
      "    %i = iota {type = i64[8]} : i64[8]\n    %y = gatherv %o, %i, %m, %x : f32[8]\n    scatterv %o, %i, %y, %m\n");
  one("    %x = lload %o {type = f32[8], align = 4} : f32[8]\n    %y = vreduce %x {kind = \"max\"} : f32\n    lstore %o, %y {align = 4}\n");
}

int main(void) {
  static const char *const kinds[] = {"add", "min", "max", "and", "or", "xor", "exch"};
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  for (int code = 0; code < tg_opcode_count(); code++) {
    const tg_op_info *info = tg_opcode_info(code);
    if (strchr(info->traits, 'E') && strchr(info->traits, 'L') && strcmp(info->name, "cast")) in_child(info->name, every_dtype, info);
  }
  for (int d = 0; d < tg_dtype_count(); d++) in_child(tg_dtype_name(d), every_cast, &d);
  for (int k = 0; k < 7; k++) in_child(kinds[k], every_atomic, kinds[k]);
  CHECKF(compiled > 2000, "only %d of %d became code", compiled, tried);
  const int before = compiled;
  in_child("memory of hosts", host_memory, NULL);
  CHECKF(compiled - before <= 2, "%d", compiled - before); // sums over vectors at most
  printf("%d of %d became PTX, the others a sentence\n", compiled, tried);
  tg_context_free(ctx);
  return test_done();
}
