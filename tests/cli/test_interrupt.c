// Ctrl-C ends a script wherever it is and says which line was running; a second one does not wait.
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char directory[] = "/tmp/tegula-interrupt-XXXXXX", file[64], err[4096];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Runs the script, interrupts it `times` times once it has said "go", and gives its wait status; -1 when it did not end.
static int interrupted(const char *text, int times) {
  int output[2], errors[2], input[2];
  FILE *f = fopen(file, "w");
  fputs(text, f);
  fclose(f);
  CHECK(pipe(output) == 0 && pipe(errors) == 0 && pipe(input) == 0);
  pid_t pid = fork();
  if (!pid) {
    dup2(input[0], 0);
    dup2(output[1], 1);
    dup2(errors[1], 2);
    close(input[1]);
    chdir(directory);
    execl(BUILD_DIR "/tegula", "tegula", "run", "s.lua", NULL);
    _exit(127);
  }
  close(output[1]), close(errors[1]), close(input[0]);
  char byte;
  CHECK(read(output[0], &byte, 1) == 1);
  for (int i = 0; i < times; i++) {
    usleep(100000);
    kill(pid, SIGINT);
  }
  size_t n = 0;
  ssize_t got;
  double until = now() + 20;
  while (now() < until && poll(&(struct pollfd){.fd = errors[0], .events = POLLIN}, 1, 1000) >= 0) {
    if (poll(&(struct pollfd){.fd = errors[0], .events = POLLIN}, 1, 0) == 0) continue;
    if ((got = read(errors[0], err + n, sizeof err - 1 - n)) <= 0) break;
    n += (size_t)got;
  }
  err[n] = 0;
  int status = -1;
  bool ended = now() < until;
  if (!ended) kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  close(output[0]), close(errors[0]), close(input[1]);
  return ended ? status : -1;
}

static void expect(const char *text, const char *words) {
  int status = interrupted(text, 1);
  CHECKF(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s\nstatus %d: %s", text, status, err);
  CHECKF(strstr(err, "tegula: error: ") == err && strstr(err, words), "%s\nsays: %s", text, err);
}

#define GO "io.write 'go' io.flush()\n"

int main(void) {
  CHECK(mkdtemp(directory) != NULL);
  snprintf(file, sizeof file, "%s/s.lua", directory);
  expect(GO "while true do end", "interrupted at s.lua:2\n");
  expect(GO "while true do\npcall(function() while true do\nend end) end", "interrupted at s.lua:");
  expect(GO "local co = coroutine.wrap(function() while true do\nend end)\nco()", "interrupted at s.lua:");
  expect(GO "\nlocal line = io.read 'l'\nwhile true do end", "interrupted at s.lua:");
  // a kernel's own endless loop
  expect("local tg <const> = require 'tegula'\n" GO "local k = tg.kernel('k', function(k) while true do\nend end)\nprint(k:ir())",
         "interrupted at s.lua:");
  // a call that takes minutes: 2^20 blocks on the interpreter
  expect("local tg <const> = require 'tegula'\n"
         "local k = tg.kernel('k', function(k)\n"
         "  local M, N = k.dim 'M', k.dim 'N'\n"
         "  local X, O = k.input('X', tg.f32, N), k.output('O', tg.f32, M)\n"
         "  k.blocks(M:by(1), function(m) O[{m}] = N:by(64):fold(tg.zeros(tg.f32, 1), function(a, n) return a + X[{n}]:exp():rsum(1) end) "
         "end)\n"
         "end)\n"
         "local X, O = tg.tensor('f32', {4096}), tg.tensor('f32', {1 << 20})\n" GO "tg.device('interp'):run(k, {X = X, O = O})\n",
         "interrupted at s.lua:9\n");
  int status = interrupted(GO "local s = ('a'):rep(10000):find(('.-'):rep(30) .. 'b')", 2);
  CHECKF(status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "status %d: %s", status, err);
  unlink(file);
  rmdir(directory);
  return test_done();
}
