// Every mistake that Lua invites gives a sentence with the line and the cure; what Lua code may legitimately do is left alone.
#include "tegula/tegula.h"
#include "test.h"

#include <unistd.h>

typedef struct mistake {
  int line; // of the error, counted in the body from 1; 0 = no error expected
  const char *body;
  const char *says; // after "bad.lua:LINE: in kernel 'bad': "
} mistake;

static const char before[] = "local tg <const> = require 'tegula'\n"
                             "local f32, bf16, i32, e4m3, i64 = tg.f32, tg.bf16, tg.i32, tg.e4m3, tg.i64\n"
                             "return tg.kernel('bad', function(k)\n"
                             "  local M, N, K = k.dim 'M', k.dim 'N', k.dim 'K'\n"
                             "  local A, B, H = k.input('A', f32, M, K), k.input('B', f32, N, K), k.input('H', bf16, M, N)\n"
                             "  local I, Q, S = k.input('I', i32, M), k.input('Q', e4m3, M, K), k.input('S', f32, M, K:cdiv(128))\n"
                             "  local C, eps, W = k.output('C', f32, M, N), k.scalar('eps', f32), k.input('W', f32, 4, 8)\n"
                             "  k.blocks(M:by(64), N:by(64), function(m, n) local x = C[{m, n}]\n";
static const char after[] = "\n  end)\nend)\n";
enum { BODY = 9 };

static const mistake mistakes[] = {
    // tiles where Lua wants one truth value or text
    {1, "if x < 0 then x = x + 1 end", "'<' on tiles yields one Lua boolean; use a:lt(b) and tg.where"},
    {1, "local y = x <= x", "'<=' on tiles yields one Lua boolean; use a:le(b) and tg.where"},
    {1, "local y = x > 0", "'<' on tiles yields one Lua boolean"},
    {1, "if x == 0 then x = x + 1 end", "'==' on tiles yields one Lua boolean; use a:eq(b) and tg.where"},
    {2, "local y =\n x ~= 0", "'~=' on tiles yields one Lua boolean; use a:ne(b) and tg.where"},
    {1, "local y = x == x * 2", "'==' on tiles yields one Lua boolean"},
    {1, "if x:lt(3) then x = x + 1 end",
     "a tile under 'if' is always true in Lua; use tg.where(cond, a, b) for elements, tg.when(cond, body) for a whole block"},
    {2, "if M == nil then\nelseif x:lt(3) then x = x + 1 end", "a tile under 'if' is always true in Lua"},
    {1, "while x:lt(3) do x = x + 1 end", "a tile under 'while' is always true in Lua; use tg.loop"},
    {2, "repeat x = x + 1\nuntil x:gt(3)", "a tile under 'until' is always true in Lua; use tg.loop"},
    {1, "C[{m, n}] = x:lt(3) and x or 0", "a tile under 'and' is always true in Lua; use a & b on i1 tiles"},
    {1, "local y = x:lt(3) or x:gt(4)", "a tile under 'or' is always true in Lua; use a | b on i1 tiles"},
    {1, "local y = not x:lt(3)", "a tile under 'not' is always true in Lua; use ~a on an i1 tile"},
    {1, "local y = 'x is ' .. x", "'..' on a tile"},
    {1, "local y = #x", "'#' on a tile: its extents are t.shape[1] … t.shape[2]"},
    {1, "local seen = {}; seen[x] = true", "a tile as an index or key"},
    {1, "local seen = {[x] = true}", "a tile as an index or key"},
    {1, "for i = 1, x do end", "a tile as a bound of 'for'"},
    {1, "for i = 1, M do end", "dim M as a bound of 'for': Lua's loops run at trace time; use M:by(n):fold or :each"},
    {1, "for e in pairs(x) do end", "pairs on a tile"},
    {1, "local y = x[1]", "a tile is indexed with 1: a tile's elements cannot be picked"},
    {1, "local y = x ^ 2", "'^' on tiles: write x * x"},
    {1, "x.shap = 1", "tiles are immutable"},
    {1, "x.v = (x * 2).v", "tiles are immutable: cannot set 'v'; store to a tensor with V[{…}] = tile"},
    {1, "x.shape = {1}", "tiles are immutable: cannot set 'shape'"},
    {1, "x.dtype = 'i32'", "tiles are immutable: cannot set 'dtype'"},
    {1, "m:first().align = 128", "tiles are immutable: cannot set 'align'"},
    {1, "eps.dtype = 'i32'", "tiles are immutable: cannot set 'dtype'"},
    {1, "m.len = 3", "ranges are immutable: cannot set 'len'"},
    {1, "A.dtype = 'i32'", "view 'A': cannot set 'dtype'; store with A[{…}] = tile"},
    {1, "M.value = 3", "dim M cannot be changed"},
    {1, "local L = M + 1; L.resolved = 7", "dim M + 1 cannot be changed"},
    {1, "local _, own = next(x); own.shape = {1}", "next on a tile: it has no elements to visit"},
    {1, "local _, own = next(M)", "next on a dim: it has no elements to visit"},
    {1, "for _, own in next, m do own.len = 3 end", "next on a range: it has no elements to visit"},
    {1, "for e in pairs(m) do end", "pairs on a range: it has no elements to visit"},
    {1, "for e in pairs(A) do end", "pairs on a view: it has no elements to visit"},
    {1, "for e in pairs(M) do end", "pairs on a dim: it has no elements to visit"},
    {0, "for e in pairs {1, 2} do assert(next {e} == 1) end", ""},
    // numbers that wrap around
    {1, "local v = W:slice(1, 1, math.maxinteger)", ":slice: 1 + 9223372036854775807 is beyond the axis of 4"},
    {1, "local v = W:slice(1, 1 << 62, 1 << 62)", ":slice: 4611686018427387904 + 4611686018427387904 is beyond the axis of 4"},
    {1, "local v = W:slice(1, 0, -1)", ":slice: extent -1 is negative"},
    {1, "local v = W:reshape(-4, -8)", ":reshape: dim 1 -4 is negative"},
    {1, "local v = W:reshape(3, 0x5555555555555560)", "6148914691236517216 * 3 does not fit 64 bits"},
    {1, "local v = W:broadcast(1, -1)", ":broadcast: extent -1 is negative"},
    {1, "local r = tg.range(math.maxinteger - 1, 4)", "9223372036854775806 + 4 does not fit 64 bits"},
    {0, "C[{m, n}] = x + (tg.zeros(i64) + M * (1 << 32) * (1 << 32)):to(f32)", ""}, // the launch says so where M is not 0
    {1, "local y = Q[{m, K:by(64)}]:isnan()", ":isnan: e4m3 is a storage format; compute in f32: :to(tg.f32)"},
    {1, "local y = x:relu()", "tiles have no method 'relu'"},
    {1, "local y = x(1)", "a tile is called like a function"},
    {1, "local y = x:exp(2)", ":exp takes no arguments, 1 were given"},
    {1, "local y = x:max()", ":max takes one argument, 0 were given"},
    {1, "local y = x.exp(2)", "'exp' is a method of tiles: write t:exp(…), with a colon"},
    {1, "C.store({m, n}, x)", "'store' is a method of views: write V:store(…), with a colon"},
    {1, "local y = nil + 1", "attempt to perform arithmetic on a nil value"},
    {1, "local y = tg.zeros(f32, 1 << 40)", "tg.zeros: the extent 1099511627776 is too large for a tile"},
    {1, "local y = x:to(tg.e5m2, 'sat')", ":to(tg.e5m2): \"sat\" is for floats without Inf (e4m3, e4m3fnuz, e2m1, e8m0)"},
    {1, "local y = x:to(bf16, 'ieee')", ":to(tg.bf16): \"ieee\" is for floats without Inf"},
    {1, "local y = x:to(tg.e8m0)", ":to(tg.e8m0): say what becomes of values beyond the largest"},
    {1, "local y = x:to(i32):to(e4m3)", ":to(tg.e4m3): say what becomes of values beyond the largest"},
    {0, "local y = x:to(tg.e8m0, 'ieee'):to(f32) + x:to(tg.e5m2):to(f32) + x:to(i32):to(e4m3, 'sat'):to(f32) C[{m, n}] = y", NULL},
    {0, "local y = x:to(tg.e2m1, 'sat'):to(e4m3):to(f32) + x:gt(1):to(e4m3):to(f32) C[{m, n}] = y", NULL},
    // what looks like these and is right
    {0, "local y; if y == nil then y = x end; if x ~= nil and x.dtype == 'f32' and #x.shape == 2 then y = y + x end C[{m, n}] = y", NULL},
    {0, "local flag = k ~= nil; local y = flag and x or x * 2; C[{m, n}] = y", NULL},
    {0, "local y = x; for i = 1, 3 do y = y + i end; C[{m, n}] = y", NULL},
    {0, "-- if x then\nlocal s = 'if x and y or not z'; C[{m, n}] = x:eq(0):to(f32)", NULL},
    // regions
    {2, "local keep; K:by(16):each(function(kk) keep = A[{m, kk}] end)\nC[{m, n}] = keep:rsum(2)",
     "this tile is defined inside the each at line 9"},
    {3,
     "local keep\nlocal s = K:by(16):fold(tg.zeros(f32, 64, 1), function(a, kk) keep = A[{m, kk}] return a + keep:rsum(2) end)\nC[{m, n}] "
     "= s + keep:rsum(2)",
     "this tile is defined inside the fold at line 10 and does not exist outside; return it from the fold's function"},
    {2, "local keep; K:by(16):each(function(kk) keep = kk end)\nlocal y = A[{m, keep}]", "this range is defined inside the each at line 9"},
    {1, "k.blocks(M:by(64), function() end)", "k.blocks inside the k.blocks opened at line 8: launches follow each other"},
    {1, "K:by(16):fold(tg.zeros(f32, 64), function(a, kk) return a, a end)", "range:fold carries 1 value, its function returned 2"},
    {1, "K:by(16):fold(tg.zeros(f32, 64), tg.zeros(f32, 64), function(a, b, kk) return a end)",
     "range:fold carries 2 values, its function returned 1"},
    {1, "K:by(16):fold(tg.zeros(f32, 64), function(a, kk) a = a + 1 end)", "range:fold carries 1 value, its function returned 0"},
    {1, "K:by(16):fold(tg.zeros(f32, 64), function(a, kk) return a:to(bf16) end)",
     "carried value 1 changes from f32[64] to bf16[64]; convert it with :to(tg.f32)"},
    {1, "K:by(16):fold(tg.zeros(f32, 64, 1), function(a, kk) return a + A[{m, kk}] end)",
     "carried value 1 changes its shape from f32[64x1] to f32[64x16]"},
    {1, "K:by(16):fold(0, function(a, kk) return a end)", "initial value 1 is a number without dtype; write tg.full(dtype, 0, shape…)"},
    {1, "K:by(16):fold(function(kk) end)", "range:fold needs an initial value"},
    {1, "K:by(16):each(function(kk) return x end)", "range:each: its function returned 1 value"},
    {1, "K:fold(x, function(a) return a end)", "dim K has no 'fold'; dims have :by(n)"},
    {1, "tg.when(x:lt(0), function() end)", "the condition must be one truth value, i1 of rank 0, not tile i1[64x64]"},
    {1, "tg.when(M:by(2):first():lt(5), function() return x end)", "a function that returns values needs a second one"},
    // dtypes and shapes
    {1, "local y = x + H[{m, n}]", "'+': f32 and bf16 do not mix; convert one, for example :to(tg.f32)"},
    {1, "local y = x + I[{m}]:reshape(64, 1)", "'+': f32 and i32 do not mix"},
    {1, "local y = Q[{m, K:by(64)}] * 2", "e4m3 is a storage format; compute in f32: :to(tg.f32)"},
    {1, "local y = I[{m}] + 0.5", "0.5 is not an integer and cannot become i32"},
    {1, "local y = I[{m}] / 2", "'/' on i32: integers are divided by //"},
    {1, "local y = x & 3", "'&' works on integers and i1, not on floats"},
    {1, "local y = x + tg.zeros(f32, 32)",
     "'+': f32[64x64] and f32[32] do not broadcast: extents are aligned at the right and must be equal or 1"},
    {1, "local y = A[{m, K:by(16)}] + A[{m, K:by(16)}].T",
     "do not broadcast: extents are aligned at the right and must be equal or 1; is a .T missing?"},
    {1, "local y = A[{m, K:by(16)}] + I[{m}]:to(f32)", "a column is written :reshape(64, 1)"},
    {1, "C[{m, n}] = H[{m, n}]", "store to 'C': 'C' is f32, the value bf16; convert it with :to(tg.f32)"},
    {1, "C[{m, K:by(16)}] = tg.zeros(f32, 16, 64)", "store to 'C': the index selects f32[64x16], the value is tile f32[16x64]; write .T"},
    {1, "C[{m, 0}] = x:rsum(2)", "store to 'C': the index selects f32[64], the value is tile f32[64x1]; write :reshape(64)"},
    {1, "A[{m, n}] = x", "store to 'A': it is an input; declare it with k.output or k.inout"},
    {1, "local y = A[{m}]", "view 'A' has 2 axes, the index 1"},
    {1, "local y = A[m]", "view 'A' is indexed with braces: A[{…}]"},
    {1, "local y = A[{m, 'k'}]", "index 2 is \"k\"; an index is a range"},
    {1, "local y = A + 1", "arithmetic on a view: load a tile first: V[{…}]"},
    {1, "local y = x + A", "a tile does not mix with view 'A'; load it first: A[{…}]"},
    {1, "local y = x + m", "a tile does not mix with range of 64; :index() gives its indices as a tile"},
    {1, "local y = m + 1", "'+' on a range"},
    {1, "local y = x:to(e4m3)", ":to(tg.e4m3): say what becomes of values beyond the largest: \"sat\" gives the largest, \"ieee\" NaN"},
    {1, "local y = x:to('f31')", ":to: \"f31\" is not a dtype"},
    {1, "local y = tg.f31", "tegula has no 'f31'"},
    {1, "local y = x:reshape(64, 65)", ":reshape: [64x64] has 4096 elements, [64x65] has 4160"},
    {1, "local y = x:rsum()", ":rsum(axis) names the axis to reduce, 1 to 2"},
    {1, "local y = x:rsum(3)", ":rsum: the tile f32[64x64] has axes 1 to 2, not 3"},
    {1, "local y = tg.zeros(f32, M)", "extents of tiles are numbers known at trace time, not dim M"},
    {1, "local y = tg.where(x, x, 0)", "tg.where: the condition must be i1, not f32"},
    {1, "local y = tg.full(f32, 0, 24):sort(1)", "the extent 24 is not a power of two"},
    // dot
    {1, "local y = tg.dot(A[{m, K:by(16)}], B[{n, K:by(16)}])", "the second operand needs .T"},
    {1, "local y = K:by(64):fold(tg.zeros(f32, 64, 64), function(a, kk) return tg.dot(A[{m, kk}], B[{n, kk}], {acc = a}) end)",
     "tg.dot: the inner extents of tile f32[64x64] and tile f32[64x64] do not meet: a[M,K] times b[K,N]; the second operand needs .T"},
    {1, "local y = tg.dot(A[{m, K:by(16)}].T, tg.zeros(f32, 16, 32))", "the first operand needs .T"},
    {1, "local y = tg.dot(A[{m, K:by(16)}], tg.zeros(f32, 32, 8))", "tg.dot: the inner extents 16 and 32 differ"},
    {1, "local y = tg.dot(x, x.T, {ac = x})", "tg.dot: unknown option 'ac'; there is acc, scale_a, scale_b"},
    {1, "local y = tg.dot(x, x.T, {acc = H[{m, n}]})", "tg.dot of f32 accumulates in f32, acc is bf16"},
    // dims and ranges
    {1, "if M < 128 then x = x + 1 end", "'<' on dim M and 128: dims are known at launch, not at trace time"},
    {1, "if M == 128 then x = x + 1 end", "'==' on dim M and 128: dims are known at launch"},
    {1, "local y = M / 2", "'/' on dims: write a // b to round down or a:cdiv(b) to round up"},
    {1, "local y = S[{m, tg.range(1, 64, K) // 128}]",
     "range // 128: a range of 64 with starts that are multiples of 1 does not lie in whole blocks of 128"},
    {1, "local y = m // 48", "range // 48: a range of 64"},
    {1, "local y = m // m", "range // n: an extent must be an integer, not range of 64"},
    // declarations
    {1, "local y = k.tune('BM', 1, 2)", "k.tune: declarations come before the first k.blocks"},
    {1, "local y = k.tunes", "k has no 'tunes'"},
    // plain Lua
    {1, "y = x", "assignment to the global 'y'; write local y"},
    {1, "local y = z", "'z' is not defined here; is a local missing or misspelt?"},
    {1, "local y = io", "'io' is not defined here"},
    {1, "local y = require 'os'", "require 'os': a kernel's file may only require \"tegula\""},
};

static tg_context *ctx;
static char path[] = "/tmp/tegula-test-XXXXXX";
static char file[64];

static tg_status trace(const char *text, size_t length) {
  FILE *f = fopen(file, "wb");
  fwrite(text, 1, length, f);
  fclose(f);
  tg_source *source;
  tg_status status = tg_source_load(ctx, file, &source);
  if (status != TG_OK) return status;
  tg_kernel *kernel;
  status = tg_source_trace(source, NULL, NULL, &kernel);
  if (status == TG_OK) tg_kernel_free(kernel);
  tg_source_free(source);
  return status;
}

static void test_mistakes(void) {
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    const mistake *m = &mistakes[i];
    char text[4096], want[64];
    int n = snprintf(text, sizeof text, "%s%s%s", before, m->body, after);
    tg_status status = trace(text, (size_t)n);
    const char *message = tg_error_message(ctx);
    if (!m->line) {
      CHECKF(status == TG_OK, "%s: %s", m->body, message);
      continue;
    }
    CHECKF(status == TG_INVALID, "%s: no error", m->body);
    if (status == TG_OK) continue;
    snprintf(want, sizeof want, "bad.lua:%d: in kernel 'bad': ", BODY + m->line - 1);
    CHECKF(strncmp(message, want, strlen(want)) == 0, "%s: wanted %s, got %s", m->body, want, message);
    CHECKF(strstr(message, m->says) != NULL, "%s\n  wanted: %s\n  got: %s", m->body, m->says, message);
  }
}

// Whole files: text, and what the message holds.
static const struct {
  const char *text, *says;
} files[] = {
    {"return 3", "bad.lua: a kernel's file must return tg.kernel(name, function(k) … end), not 3"},
    {"return function(X, r, c)\nreturn X[r, c] end", "bad.lua:2: ']' expected near ','; tensors are indexed with braces: X[{r, c}]"},
    {"", "bad.lua: a kernel's file must return tg.kernel(name, function(k) … end), not nil"},
    {"return require('tegula').kernel('a', function(k) end)", "in kernel 'a': the kernel has no k.blocks(…)"},
    {"return require('tegula').kernel('a b', function(k) end)", "a name is letters, digits and _, not \"a b\""},
    {"local x = = 3", "bad.lua:1: unexpected symbol near '='"},
    {"\033Lua", "attempt to load a binary chunk"},
    {"local x, y\ny = x == 3x = 5", "bad.lua:2: malformed number near '3x'"},
    {"local x\nx = x == 'a\nb'", "bad.lua:2: unfinished string near ''a'"},
    {"local x, y\nx == y", "bad.lua:2: syntax error near '=='"},
    {"local x\nif x == [==[a]=] then", "bad.lua:2: unfinished long string (starting at line 2) near <eof>"},
    {"local tg = require 'tegula'\ntg.zeros = nil", "bad.lua:2: tegula's table cannot be changed (key 'zeros')"},
    {"return require('tegula').kernel('a', function(k)\nk.dim = nil end)", "bad.lua:2: in kernel 'a': k cannot be changed"},
    {"while true do end", "bad.lua:1: the kernel's Lua code does not come to an end: stopped after 100 million steps"},
    {"return require('tegula').kernel('a', function(k)\nwhile true do end end)",
     "bad.lua:2: in kernel 'a': the kernel's Lua code does not come to an end"},
    {"local tg = require 'tegula'\nreturn tg.kernel('a', function(k) local e = k.dim 'M'\nfor i = 1, 300 do e = (e + 1):cdiv(2) end\n"
     "k.output('O', tg.f32, e) end)",
     "bad.lua:4: in kernel 'a': a launch-time expression nests more than 256 deep"},
    // what would run long inside C
    {"local s = ('a'):rep(10000)\nlocal t = s:find(('.-'):rep(30) .. 'b')",
     "bad.lua:2: string.find: matching this pattern in a text of 10000 bytes could take too long"},
    {"local s = string.match(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30))", "bad.lua:1: string.match: matching this pattern"},
    {"local s = ('a'):rep(1 << 20):gsub('a-b', '')", "bad.lua:1: string.gsub: matching this pattern"},
    {"for s in ('('):rep(1 << 20):gmatch('%b()') do end", "bad.lua:1: string.gmatch: matching this pattern"},
    {"local s = ('aa'):rep(1 << 18):match('(a*)%1b')", "bad.lua:1: string.match: matching this pattern"},
    {"local s = ('a'):find(('a'):rep(1001))", "bad.lua:1: string.find: a pattern may have 1000 bytes, this one has 1001"},
    {"local a, b = ('BM=64,BN=128'):match('^(%w+)=(%d+),(%w+)=(%d+)$')\nif a ~= 'BM' or b ~= '64' then error 'no match' end\n"
     "if ('a.b'):find('.', 1, true) ~= 2 or ('x-y'):gsub('%-', '+') ~= 'x+y' or ('%d'):find('%%d') ~= 1 then error 'no match' end\n"
     "local n = 0 for w in ('one two three'):gmatch('%a+') do n = n + #w end error('n is ' .. n)",
     "bad.lua:4: n is 11"},
    {"local s = ('x'):rep(1 << 20)\nfor i = 1, 5 do s = s .. s end\nwhile true do local t = s:upper() end",
     "bad.lua:3: the kernel's Lua code does not come to an end: stopped after 5 seconds"},
    {"\nlocal s = ('x'):rep(1 << 32)", "bad.lua:2: string.rep: 4294967296 copies of 1 bytes are more than 1048576 bytes"},
    {"local s = 'x'\nwhile true do\ns = s .. s end", "bad.lua:3: the Lua code wants more than its 256 MiB of memory"},
    {"local t = {}\nfor i = 1, 1 << 40 do t[i] = ('x'):rep(50000) .. i end",
     "bad.lua:2: the Lua code wants more than its 256 MiB of memory"},
    {"return require('tegula').kernel('a', function(k)\nlocal s = 'x' while true do s = s .. s end end)",
     "bad.lua:2: the Lua code wants more than its 256 MiB of memory"},
    {"local function f() return f() + 1 end return f()", "stack overflow"},
    {"return require('tegula').kernel('a', function(k) local t = k.tune('BM', 1, {default = 2}) end)",
     "k.tune('BM'): the default 2 is not among the values"},
    {"return require('tegula').kernel('a', function(k) k.dim 'M' k.dim 'M' end)", "k.dim: 'M' is declared twice"},
    {"return require('tegula').kernel('a', function(k) k:dim 'M' end)", "k.dim is called with a dot, not a colon"},
    {"local tg = require 'tegula' return tg.kernel('a', function(k) k.input('A', tg.f32, 3) k.input('b c', tg.f32, 3) end)",
     "k.input: a name is letters, digits and _, not \"b c\""},
    {"local tg = require 'tegula' return tg.kernel('a', function(k) k.input('A', 'f33', 3) end)", "k.input('A'): \"f33\" is not a dtype"},
    {"local tg = require 'tegula' return tg.kernel('a', function(k) k.input('A', tg.f32, 3, {zero = true}) end)",
     "k.input('A'): unknown option 'zero'"},
    {"local tg = require 'tegula' return tg.kernel('a', function(k) k.input('A', tg.f32, 3, {optional = true}) end)",
     "k.input('A'): unknown option 'optional'; there is drops, index, none, offsets, packed"},
    {"local tg = require 'tegula' return tg.kernel('a', function(k) k.inout('A', tg.f32, 3, {optional = true}) end)",
     "k.inout('A'): unknown option 'optional'; there is none"},
    {"return require('tegula').kernel('a', function(k)\nk.blocks(1, function() return 1 end) end)",
     "bad.lua:2: in kernel 'a': k.blocks: its function returned a value"},
    {"local tg = require 'tegula'\nlocal kept\nlocal function body(k) kept = kept or k.dim 'M' * 3 k.blocks(kept, function() end) end\n"
     "return tg.kernel('a', body)",
     "bad.lua:3: in kernel 'a': dim M * 3 belongs to another trace"},
    {"local tg = require 'tegula'\ntg.zeros(tg.f32, 3)", "bad.lua:2: this operation: tiles exist only while a kernel is traced"},
    {"local tg = require 'tegula'\nreturn tg.kernel('a', function(k) local s = tg.zeros(tg.f32, 3) k.blocks(1, function() end) end)",
     "in kernel 'a': this operation: tiles exist only inside k.blocks"},
    {"local tg = require 'tegula'\nreturn tg.kernel('a', function(k) local M = k.dim 'M'; local A = k.output('A', tg.f32, M) k.blocks(1, "
     "function()\nlocal t = A[{0}]\n"
     "for i = 1, 1000000 do t = t + 1 end end) end)",
     "bad.lua:4: in kernel 'a': the kernel has more than 50000 operations: a Lua loop unrolls at trace time"},
    {"local tg = require 'tegula'\nreturn tg.kernel('a', function(k) local M = k.dim 'M'; local A = k.output('A', tg.f32, M); local "
     "t\nk.blocks(1, function() t = A[{0}] end)\n"
     "k.blocks(1, function()\nA[{0}] = t end) end)",
     "bad.lua:5: in kernel 'a': store: this tile was made in the launch at line 3; launches share nothing but tensors"},
};

static void test_files(void) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    tg_status status = trace(files[i].text, strlen(files[i].text));
    CHECKF(status == TG_INVALID, "%s: no error", files[i].text);
    CHECKF(strstr(tg_error_message(ctx), files[i].says) != NULL, "%s\n  wanted: %s\n  got: %s", files[i].text, files[i].says,
           tg_error_message(ctx));
  }
}

// Nesting without end is refused in Lua's words, however it nests.
static void test_depth(void) {
  static const struct {
    const char *open, *says;
  } nests[] = {{"(", "overflow"}, {"{", "overflow"}, {"not ", "overflow"}, {"a..", "overflow"}, {"f(function() return ", "overflow"}};
  for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
    char text[1 << 16] = "local f, a\nlocal x = ";
    const size_t n = strlen(nests[i].open);
    for (size_t at = strlen(text); at + n < sizeof text; at += n) memcpy(text + at, nests[i].open, n + 1);
    CHECK(trace(text, strlen(text)) == TG_INVALID);
    CHECKF(strstr(tg_error_message(ctx), nests[i].says) != NULL, "%s: %s", nests[i].open, tg_error_message(ctx));
  }
}

static tg_status trace_library(const char *name, const char *setting, const char *value, const char *fixed, const char *number) {
  tg_source *source;
  tg_status status = tg_source_load(ctx, name, &source);
  if (status != TG_OK) return status;
  tg_binding set = {setting, value}, fix = {fixed, number};
  tg_bindings settings = {setting ? 1 : 0, &set}, statics = {fixed ? 1 : 0, &fix};
  tg_kernel *kernel;
  status = tg_source_trace(source, &settings, &statics, &kernel);
  if (status == TG_OK) tg_kernel_free(kernel);
  tg_source_free(source);
  return status;
}

static void test_settings(void) {
  CHECK(trace_library("gemm_fp8", "BM", "48", NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "setting BM=48 is not allowed; it is one of 1, 2, 4, 8, 16, 32, 64, 128, 192, 256"));
  CHECK(trace_library("gemm_fp8", "packed", "yes", NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "setting packed=yes: it must be a number, one of 0, 1"));
  CHECK(trace_library("gemm_fp8", "warps", "4", NULL, NULL) == TG_OK); // a lowering's own parameter
  CHECK(trace_library("gemm_fp8", NULL, NULL, "K", "2048") == TG_OK);
  CHECK(trace_library("gemm_fp8", NULL, NULL, "L", "2048") == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "kernel 'gemm_fp8' has no dim or static 'L'; it has M, N, K"));
  CHECK(trace_library("gemm_fp8", NULL, NULL, "K", "-2") == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "K=-2: a dim is an integer, 0 or more"));
  CHECK(trace_library("quantize_cache", "D", "192", NULL, NULL) == TG_INVALID); // scales would reach into what follows
  CHECK(strstr(tg_error_message(ctx), "D is a multiple of 128 and R even, not D=192, R=64"));
  CHECK(trace_library("quantize_cache", "R", "3", NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "not D=512, R=3"));
  CHECK(trace_library("cross_entropy", "smoothing", "1", NULL, NULL) == TG_OK);
  CHECK(trace_library("cross_entropy", "smoothing", "1.5", NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "smoothing is a share of the loss, 0 to 1, not 1.5"));
  CHECK(trace_library("cross_entropy_grad", "smoothing", "2", NULL, NULL) == TG_INVALID);
  CHECK(trace_library("gemm_fp9", NULL, NULL, NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "there is no library kernel 'gemm_fp9'; there is add, add_rmsnorm, append_cache"));
  CHECK(trace_library("no/such.lua", NULL, NULL, NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "cannot open no/such.lua: No such file or directory"));
  CHECK(trace_library("/tmp/", NULL, NULL, NULL, NULL) == TG_INVALID);
  CHECK(strstr(tg_error_message(ctx), "/tmp/"));
}

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  if (tg_context_new(&config, &ctx) != TG_OK || !mkdtemp(path)) return 1;
  snprintf(file, sizeof file, "%s/bad.lua", path);
  test_mistakes();
  test_files();
  test_depth();
  test_settings();
  unlink(file);
  rmdir(path);
  tg_context_free(ctx);
  return test_done();
}
