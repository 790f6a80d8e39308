// What the type rules refuse and the sentence they say, one row each; and what they accept, with the type that follows.
#include "test.h"

#include "ir/ir.h"

typedef struct row {
  const char *op;   // text of one op (or several) after the prelude
  const char *want; // part of the message; NULL = accepted
} row;

static const char tile_prelude[] =
    "kernel k tile {\n"
    "  dim M, K\n  static E = 4\n"
    "  input A : f32[M, K]\n  input Q : e4m3[M, K]\n  output C : f32[M, K]\n  output L : i32[M]\n  scalar eps : f32\n"
    "  launch (M, K) {\n"
    "    %A = param {name = \"A\", type = view<f32,2>} : view<f32,2>\n"
    "    %C = param {name = \"C\", type = view<f32,2>} : view<f32,2>\n"
    "    %L = param {name = \"L\", type = view<i32,1>} : view<i32,1>\n"
    "    %p = pid {axis = 0} : i64\n"
    "    %n = expr {e = expr(M)} : i64\n"
    "    %r4 = range %p, %n {len = 4, align = 1} : range<4>\n"
    "    %r8 = range %p, %n {len = 8, align = 1} : range<8>\n"
    "    %s = const {type = f32, value = 1} : f32\n"
    "    %a = const {type = f32[4x8], value = 1} : f32[4x8]\n"
    "    %b = const {type = f32[8x4], value = 1} : f32[8x4]\n"
    "    %z = const {type = f32[4x4], value = 0} : f32[4x4]\n"
    "    %h = const {type = bf16[4x8], value = 1} : bf16[4x8]\n"
    "    %d = const {type = f64[4x8], value = 1} : f64[4x8]\n"
    "    %q = const {type = e4m3[4x8], value = 1} : e4m3[4x8]\n"
    "    %q5 = const {type = e5m2[8x4], value = 1} : e5m2[8x4]\n"
    "    %f4 = const {type = e2m1[4x8], value = 1} : e2m1[4x8]\n"
    "    %e8 = const {type = e8m0[4x8], value = 1} : e8m0[4x8]\n"
    "    %i = iota {type = i32[4]} : i32[4]\n"
    "    %j = const {type = i32, value = 1} : i32\n"
    "    %i8 = const {type = i8[4x8], value = 1} : i8[4x8]\n"
    "    %i8t = const {type = i8[8x4], value = 1} : i8[8x4]\n"
    "    %zi = const {type = i32[4x4], value = 0} : i32[4x4]\n"
    "    %c = const {type = i1[4x8], value = 1} : i1[4x8]\n"
    "    %t = const {type = i1, value = 1} : i1\n"
    "    %v = const {type = f32[1x4x1x2], value = 0} : f32[1x4x1x2]\n";

static const row tile_rows[] = {
    // operands and attributes at large
    {"%x = neg : f32", "neg: 0 operands were given, 1 needed"},
    {"%x = add %a, %a, %a : f32[4x8]", "add: 3 operands were given, 2 needed"},
    {"%x = load : f32", "load: 0 operands were given, at least 1 needed"},
    {"%x = pid : i64", "pid: attribute axis is missing"},
    {"%x = pid {axis = 0, axis = 1} : i64", "pid: attribute axis is given twice"},
    {"%x = pid {axle = 0} : i64", "pid has no attribute axle; it takes \"axis:int\""},
    {"%x = pid {axis = \"a\"} : i64", "expected an integer, found '\"a\"}'"},
    {"%x = neg %A : f32", "neg: operand 1 is a tensor, view<f32,2>; load a tile from it by indexing it"},
    {"%x = neg %r4 : f32", "neg: operand 1 is a range; use its indices, :index(), or its start, :first()"},
    {"%x = neg %a : f32[8x4]", "neg: result 1 is f32[4x8], not f32[8x4]"},
    {"%x, %y = neg %a : f32[8x4], f32", "neg: 2 results and 2 types are written, but it has 1"},
    {"%x = warp %a : f32", "there is no op 'warp' at tile level"},
    {"%x = tid {axis = 0} : i32", "there is no op 'tid' at tile level"},
    // elementwise
    {"%x = add %a, %b : f32[4x8]", "add: operands 1 and 2 have unlike shapes, f32[4x8] and f32[8x4]; broadcast or reshape one of them"},
    {"%x = add %a, %s : f32[4x8]", "add: operands 1 and 2 have unlike shapes, f32[4x8] and f32; broadcast"},
    {"%x = mul %h, %a : f32[4x8]", "mul: operands 1 and 2 have unlike dtypes, bf16[4x8] and f32[4x8]; cast one of them with :to(f32)"},
    {"%x = add %q, %q : e4m3[4x8]", "add: operand 1 is e4m3[4x8], which is for storage only; cast it with :to(f32)"},
    {"%x = abs %e8 : e8m0[4x8]", "which is for storage only"},
    {"%x = add %c, %c : i1[4x8]", "add: operand 1 is a boolean; cast it with :to(i32) or use where()"},
    {"%x = exp %i : i32[4]", "exp: operand 1 is i32[4]; a float is needed, cast it with :to(f32)"},
    {"%x = isnan %q : i1[4x8]", "isnan: operand 1 is e4m3[4x8]; a float is needed"},
    {"%x = not %a : f32[4x8]", "not: operand 1 is f32[4x8]; an integer or boolean is needed"},
    {"%x = rem %a, %a : f32[4x8]", "rem: operand 1 is f32[4x8]; an integer or boolean is needed"},
    {"%x = shl %c, %c : i1[4x8]", "shl: operands are booleans; cast them with :to(i32)"},
    {"%x = and %c, %c : i1[4x8]", NULL},
    {"%x = lt %c, %c : i1[4x8]", "lt: operand 1 is a boolean"},
    {"%x = eq %c, %c : i1[4x8]", NULL},
    {"%x = eq %i, %i : i1[4]", NULL},
    {"%x = fma %a, %a, %h : f32[4x8]", "fma: operands 1 and 3 have unlike dtypes"},
    {"%x = select %a, %a, %a : f32[4x8]", "select: operand 1 is f32[4x8]; the condition must be i1, compare first"},
    {"%x = select %t, %a, %a : f32[4x8]", "select: the condition is i1 but the choices are f32[4x8]; broadcast one of them"},
    {"%x = select %c, %a, %h : f32[4x8]", "select: operands 2 and 3 have unlike dtypes"},
    {"%x = select %c, %q, %q : e4m3[4x8]", NULL},
    // cast
    {"%x = cast %a {to = \"f8\"} : f32[4x8]", "cast: \"f8\" is not a dtype"},
    {"%x = cast %a {to = \"i1\"} : i1[4x8]", "cast: there is no cast to i1; compare with 0, x:ne(0)"},
    {"%x = cast %a {to = \"e4m3\"} : e4m3[4x8]",
     "cast: e4m3 has no infinity: say what becomes of values beyond its largest, :to(e4m3, \"sat\") or :to(e4m3, \"ieee\")"},
    {"%x = cast %a {to = \"e4m3\", mode = \"wrap\"} : e4m3[4x8]", "cast: mode is \"wrap\"; it can be sat, ieee"},
    {"%x = cast %a {to = \"bf16\", mode = \"sat\"} : bf16[4x8]",
     "cast: mode is for floats without infinity (e4m3, e4m3fnuz, e2m1, e8m0), not for bf16"},
    {"%x = cast %q {to = \"e4m3fnuz\"} : e4m3fnuz[4x8]", "cast: e4m3fnuz has no infinity"},
    {"%x = cast %f4 {to = \"e4m3\"} : e4m3[4x8]", NULL},
    {"%x = cast %q {to = \"e4m3\"} : e4m3[4x8]", NULL},
    {"%x = cast %c {to = \"i32\"} : i32[4x8]", NULL},
    {"%x = cast %a {to = \"e5m2\"} : e5m2[4x8]", NULL},
    {"%x = bitcast %a {to = \"i64\"} : i64[4x8]", "bitcast: f32 has 32 bits and i64 64; a bitcast keeps the width"},
    {"%x = bitcast %i8 {to = \"i1\"} : i1[4x8]", "bitcast: i1 has no bits to look at"},
    {"%x = bitcast %q {to = \"i8\"} : i8[4x8]", NULL},
    // constants and coordinates
    {"%x = const {type = i8, value = 128} : i8", "const: 128 does not fit i8"},
    {"%x = const {type = i1, value = 2} : i1", "const: 2 does not fit i1"},
    {"%x = const {type = i32, value = 1.5} : i32", "const: value is a float but the dtype is i32"},
    {"%x = const {type = range<4>, value = 1} : range<4>", "const: type is range<4>; it must be a tile's"},
    {"%x = const {type = f32[4096x8192], value = 0} : f32[4096x8192]",
     "const: a tile of f32[4096x8192] is too large; 16777216 elements are the most"},
    {"%x = const {type = i8, value = -128} : i8", NULL},
    {"%x = iota {type = f32[4]} : f32[4]", "iota: type is f32[4]; it must be i32 or i64 of rank 1"},
    {"%x = iota {type = i32[2x2]} : i32[2x2]", "it must be i32 or i64 of rank 1"},
    {"%x = pid {axis = 4} : i64", "pid: axis 5 is not one of the 4"},
    {"%x = scalar {name = \"eps\", type = f32[4]} : f32[4]", "scalar: type is f32[4]; a scalar parameter has rank 0"},
    {"%x = param {name = \"A\", type = f32} : f32", "param: type is f32; a tensor parameter is a view"},
    // shape
    {"%x = broadcast %a {shape = [4, 16]} : f32[4x16]",
     "broadcast: f32[4x8] does not broadcast to f32[4x16]: axes are matched from the last, and must be equal or 1"},
    {"%x = broadcast %a {shape = [8]} : f32[8]", "does not broadcast"},
    {"%x = broadcast %s {shape = [1, 2, 3, 4, 5]} : f32", "broadcast: the shape has 5 axes; a tile has at most 4"},
    {"%x = broadcast %s {shape = [0]} : f32", "broadcast: extent 0 of axis 1 is out of range"},
    {"%x = broadcast %v {shape = [3, 4, 5, 2]} : f32[3x4x5x2]", NULL},
    {"%x = spread %a {axis = 2, factor = 2} : f32[4x8]", "spread: axis 3 is not one of the 2"},
    {"%x = spread %a {axis = 1, factor = 0} : f32[4x8]", "spread: factor 0 is out of range"},
    {"%x = spread %a {axis = 1, factor = 4611686018427387904} : f32[4x8]", "is out of range"},
    {"%x = reshape %a {shape = [4, 4]} : f32[4x4]", "reshape: f32[4x8] has 32 elements and f32[4x4] has 16"},
    {"%x = transpose %a {perm = [0]} : f32[4]", "transpose: the permutation has 1 axes and f32[4x8] has 2"},
    {"%x = transpose %a {perm = [1, 1]} : f32[4x4]", "transpose: each axis must appear once in the permutation"},
    {"%x = transpose %a {perm = [1, 2]} : f32[4x4]", "each axis must appear once"},
    {"%x = transpose %v {perm = [3, 1, 0, 2]} : f32[2x4x1x1]", NULL},
    {"%x = join %v, %v : f32[1x4x1x2]", "join: f32[1x4x1x2] has no room for one more axis"},
    {"%x = join %a, %b : f32[4x8x2]", "join: operands 1 and 2 have unlike shapes"},
    {"%x, %y = split %a : f32[4], f32[4]", "split: the last axis of f32[4x8] must have extent 2"},
    {"%x, %y = split %v : f32[1x4x1], f32[1x4x1]", NULL},
    // reductions
    {"%x = reduce %a {kind = \"mean\", axis = 0} : f32[1x8]",
     "reduce: kind is \"mean\"; it can be sum, prod, min, max, minnum, maxnum, and, or, xor"},
    {"%x = reduce %a {kind = \"and\", axis = 0} : f32[1x8]", "reduce: \"and\" does not work on f32; cast it with :to(i32)"},
    {"%x = reduce %c {kind = \"sum\", axis = 0} : i1[1x8]", "reduce: \"sum\" does not work on i1; cast it with :to(i32)"},
    {"%x = reduce %q {kind = \"max\", axis = 0} : e4m3[1x8]", "reduce: \"max\" does not work on e4m3; cast it with :to(f32)"},
    {"%x = reduce %s {kind = \"sum\", axis = 0} : f32", "reduce: axis 1 is not one of the 0"},
    {"%x = reduce %c {kind = \"or\", axis = 1} : i1[4x1]", NULL},
    {"%x = scan %a {kind = \"sum\", axis = 0, reverse = 2} : f32[4x8]", "scan: reverse is 2; it can be 0 or 1"},
    {"%x = argmax %c {axis = 0} : i32[1x8]", "argmax: operand 1 is a boolean"},
    {"%x = const {type = f32[12], value = 0} : f32[12] %y = sort %x {axis = 0} : f32[12]",
     "sort: the extent 12 along the axis is not a power of two; pad the keys"},
    {"%x, %y = sort %a, %b {axis = 0} : f32[4x8], f32[8x4]", "sort: the keys are f32[4x8] but operand 2 is f32[8x4]; shapes must be equal"},
    // dot
    {"%x = dot %a, %a, %z : f32[4x4]", "dot: inner extents 8 and 4 differ in f32[4x8] and f32[4x8]; transpose the second operand (.T)"},
    {"%x = dot %b, %b, %z : f32[4x4]", "dot: inner extents 4 and 8 differ in f32[8x4] and f32[8x4]; transpose the second operand (.T)"},
    {"%w = reshape %a {shape = [2, 16]} : f32[2x16] %x = dot %w, %b, %z : f32[2x4]",
     "dot: inner extents 16 and 8 differ in f32[2x16] and f32[8x4]; the first operand is [M,K], the second [K,N]"},
    {"%x = dot %a, %s, %z : f32[4x4]", "dot: operand 2 is f32; it must have two axes"},
    {"%x = dot %a, %b, %a : f32[4x4]", "dot: the accumulator is f32[4x8] but f32[4x8] and f32[8x4] make [4x4]"},
    {"%x = dot %h, %b, %z : f32[4x4]", "dot: operands are bf16[4x8] and f32[8x4]; cast one of them with :to(bf16)"},
    {"%x = dot %q, %b, %z : f32[4x4]", "cast one of them with :to(f32)"},
    {"%x = dot %q, %q5, %z : f32[4x4]", NULL},
    {"%x = dot %f4, %q5, %z : f32[4x4]", NULL},
    {"%x = dot %e8, %q5, %z : f32[4x4]", "dot: operand 1 is e8m0[4x8]; floats and i8 can be multiplied"},
    {"%x = dot %i8, %i8t, %z : f32[4x4]", "dot: the accumulator is f32[4x4]; i8 operands accumulate in i32"},
    {"%x = dot %i8, %i8t, %zi : i32[4x4]", NULL},
    {"%x = dot %a, %b, %zi : i32[4x4]", "dot: the accumulator is i32[4x4]; f32 operands accumulate in f32"},
    {"%w = transpose %d {perm = [1, 0]} : f64[8x4] %x = dot %d, %w, %z : f32[4x4]", "f64 operands accumulate in f64"},
    {"%w = reshape %s {shape = [1, 1]} : f32[1x1] %x = dot_scaled %q, %q5, %z, %w, %w : f32[4x4]", NULL},
    {"%w = const {type = f32[3x1], value = 0} : f32[3x1] %x = dot_scaled %q, %q5, %z, %w, %w : f32[4x4]",
     "dot_scaled: the scale of the first operand is f32[3x1]; its extents must divide [4x8] (rows, K)"},
    {"%w = const {type = f32[1x1], value = 0} : f32[1x1] %x = dot_scaled %q, %q5, %z, %w, %b : f32[4x4]",
     "dot_scaled: the scale of the second operand is f32[8x4]; its extents must divide [4x8] (columns, K)"},
    {"%w = const {type = e8m0[1x1], value = 1} : e8m0[1x1] %x = dot_scaled %q, %q5, %z, %w, %w : f32[4x4]",
     "dot_scaled: the scale of the first operand is e8m0[1x1]; cast it with :to(f32)"},
    {"%x = dot_scaled %i8, %i8t, %z, %s, %s : f32[4x4]", "dot_scaled: operand 1 is i8[4x8]; floats can be multiplied"},
    // memory
    {"%x = load %a, %r4, %r8 : f32[4x8]", "load: operand 1 is f32[4x8]; a tensor or view is indexed"},
    {"%x = load %A, %r4 : f32[4]", "load: 1 indices for the 2 axes of view<f32,2>"},
    {"%x = load %A, %r4, %r8, %r8 : f32[4x8]", "load: 3 indices for the 2 axes of view<f32,2>"},
    {"%x = load %A, %r4, %s : f32[4]", "load: the index on axis 2 is f32; it can be a range, an i32 or i64 scalar"},
    {"%x = load %A, %r4, %i : f32[4x4]", "load: an index is a vector; that is a gather or a scatter"},
    {"%x = gather %A, %r4, %p : f32[4]", "gather: 0 indices are vectors; one axis takes a vector of indices, the others ranges or scalars"},
    {"%x = gather %A, %i, %i : f32[4x4]", "gather: 2 indices are vectors"},
    {"%x = gather %A, %j, %i : f32[4]", NULL},
    {"%x = load %A, %r4, %r8 {fill = 1, any = 1} : f32[4x8]", "load: fill and any exclude each other"},
    {"%x = load %L, %r4 {fill = 0.5} : i32[4]", "load: fill is a float but the tensor is i32"},
    {"%x = load %L, %r4 {fill = 2147483648} : i32[4]", "load: 2147483648 does not fit i32"},
    {"%x = load %A, %p, %j : f32", NULL},
    {"store %C, %r4, %r8, %h", "store: the tile is bf16[4x8] but the tensor holds f32; cast it with :to(f32)"},
    {"store %C, %r4, %r8, %b", "store: the tile is f32[8x4] but the place is f32[4x8]; broadcast or reshape the tile"},
    {"store %C, %r4, %r8, %a, %c", "store: 5 operands were given; a view of rank 2 takes 2 indices and a tile"},
    {"store %C, %r4, %r8, %a, %t {mask = 1}", "store: the mask is i1; it must be i1[4x8]"},
    {"store %C, %r4, %r8, %a {mask = 1}", "store: 4 operands were given; a view of rank 2 takes 2 indices and a tile and a mask"},
    {"store %A, %r4, %r8, %a", "store: A is an input and cannot be written; declare it as output or inout"},
    {"%x = view %A, %p, %n, %p {type = view<f32,1>} : view<f32,1> store %x, %r4, %i", "store: the tile is i32[4] but the tensor holds f32"},
    {"%x = view %A, %p, %n, %p {type = view<i32,1>} : view<i32,1> store %x, %r4, %i", "store: A is an input and cannot be written"},
    {"scatter %L, %i, %i", NULL},
    {"scatter %L, %r4, %i", "scatter: 0 indices are vectors"},
    {"%x = atomic %L, %r4, %i {kind = \"sub\"} : i32[4]", "atomic: kind is \"sub\"; it can be add, min, max, and, or, xor, exch"},
    {"%x = atomic %C, %r4, %r8, %a {kind = \"and\"} : f32[4x8]", "atomic: \"and\" does not work on f32"},
    {"%x = atomic %L, %r4, %i {kind = \"add\", scope = \"galaxy\"} : i32[4]",
     "atomic: scope is \"galaxy\"; it can be block, device, system"},
    {"%x = atomic %C, %r4, %r8, %a {kind = \"add\"} : f32[4x8]", NULL},
    {"%x = view %a, %p, %n, %p {type = view<f32,1>} : view<f32,1>", "view: operand 1 is f32[4x8]; a view is made of a tensor or view"},
    {"%x = view %A, %p, %n, %p {type = view<f32,2>} : view<f32,2>",
     "view: 4 operands were given; a view of rank 2 takes base, offset, 2 dims and 2 strides"},
    {"%x = view %A, %p, %n, %j {type = view<f32,1>} : view<f32,1>", "view: operand 4 is i32, a scalar i64 is needed"},
    {"%x = range %p, %j {len = 4, align = 1} : range<4>", "range: operand 2 is i32, a scalar i64 is needed"},
    {"%x = range %p, %n {len = 0, align = 1} : range<4>", "range: the length 0 is out of range"},
    {"%x = range %p, %n {len = 4, align = 0} : range<4>", "range: align is 0; it must be positive"},
    {"%x = first %p : i64", "first: operand 1 is i64; a range is needed"},
    {"%x = index %a : i64[4]", "index: operand 1 is f32[4x8]; a range is needed"},
    // what the kernel lacks
    {"%x = pid {axis = 2} : i64", "pid: axis 3 is not one of the grid's 2"},
    {"%x = expr {e = expr(M * N)} : i64", "expr: N is not declared as a dim or static"},
    {"%x = param {name = \"B\", type = view<f32,2>} : view<f32,2>", "param: the kernel has no parameter B"},
    {"%x = param {name = \"eps\", type = view<f32,2>} : view<f32,2>", "param: eps is a scalar, not a tensor"},
    {"%x = scalar {name = \"A\", type = f32} : f32", "scalar: A is a tensor, not a scalar"},
    {"%x = param {name = \"A\", type = view<f32,1>} : view<f32,1>", "param: the type is view<f32,1> but A is declared as view<f32,2>"},
    // control, promises
    {"for %p, %j {step = 1} (%k : i64) { yield }", "for: operand 2 is i32, a scalar i64 is needed"},
    {"for %p, %n {step = 0} (%k : i64) { yield }", "for: step 0 is not positive"},
    {"%x = for %p, %n, %r4 {step = 1} : range<4> (%k : i64, %y : range<4>) { yield %y }",
     "for: carried value 1 is range<4>; only tiles are carried, carry its start or offset"},
    {"%x = for %p, %n, %a {step = 1} : f32[4x8] (%k : i64, %y : f32[4x8]) { yield %h }",
     "for: carried value 1 changes from f32[4x8] to bf16[4x8]; cast it with :to(f32)"},
    {"%x = for %p, %n, %a {step = 1} : f32[4x8] (%k : i64, %y : f32[4x8]) { yield %b }",
     "for: carried value 1 changes from f32[4x8] to f32[8x4]; its type must stay the same"},
    {"%x = for %p, %n, %a {step = 1} : f32[4x8] (%k : i64, %y : f32[4x8]) { yield }",
     "for: the loop carries 1 value but its body returns 0"},
    {"for %p, %n {step = 1} (%k : i64) { yield %a }", "for: the loop carries 0 values but its body returns 1"},
    {"for %p, %n {step = 1} (%k : i32) { yield }", "for: the arguments of region 1 are not what its operands ask for"},
    {"for %p, %n {step = 1} (%k : i64) { }", "for: region 1 does not end in a yield"},
    {"if %c { yield } { yield }", "if: operand 1 is i1[4x8], a scalar i1 is needed"},
    {"%x = if %t : f32 { yield %s } { yield %a }", "if: result 1 is f32 in one branch and f32[4x8] in the other; make them alike"},
    {"%x = if %t : f32 { yield %s } { yield }", "if: the branches give 1 and 0 results"},
    {"%x = if %t : f32[4x8] { yield %s } { yield %s }", "if: its results are not of the types that its first branch yields"},
    {"%x = if %t : view<f32,2> { yield %A } { yield %A }", "if: result 1 is view<f32,2>; only tiles can leave a branch"},
    {"while { yield %s } { yield }", "while: the loop's condition must be one scalar i1, not f32"},
    {"while { yield } { yield }", "while: the loop's condition must be one scalar i1"},
    {"yield", "yield: a yield stands only at the end of a loop's or branch's body"},
    {"if %t { yield yield } { yield }", "yield: a yield stands only at the end"},
    {"if %t { %x = neg %a : f32[4x8] yield } { yield } %y = neg %x : f32[4x8]", "neg: operand 1, %25, is defined inside the if before it"},
    {"%x = assume %a {min = 0} : f32[4x8]", "assume: operand 1 is f32[4x8]; promises are about integers"},
    {"%x = assume %p {min = 2, max = 1} : i64", "assume: min is greater than max"},
    {"%x = assume %p {divisible = 0} : i64", "assume: divisible is 0; it must be positive"},
    {"assert %a {text = \"\"}", "assert: operand 1 is f32[4x8]; an i1 is needed, compare first"},
};

static const char lane_prelude[] =
    "kernel k lane {\n  dim M\n  input A : f32[M]\n  launch e (M) block (32, 1, 1) (%A : ptr<global> = A, %m : i64 = M \"M\") {\n"
    "    %s = undef {type = f32} : f32\n    %v = undef {type = f32[8]} : f32[8]\n    %j = undef {type = i32} : i32\n"
    "    %k = undef {type = i1[8]} : i1[8]\n    %b = undef {type = i1} : i1\n    %o = iota {type = i64[8]} : i64[8]\n"
    "    %sh = scratch {space = \"shared\", bytes = 64, align = 16} : ptr<shared>\n";

static const row lane_rows[] = {
    {"%x = undef {type = f32[2x2]} : f32[2x2]", "undef: result 1 is f32[2x2], which does not exist at lane level"},
    {"%x = pid {axis = 0} : i64", "there is no op 'pid' at lane level"},
    {"%x = ctaid {axis = 1} : i64", "ctaid: axis 2 is not one of the grid's 1"},
    {"%x = scratch {space = \"global\", bytes = 4, align = 4} : ptr<global>", "scratch: space is \"global\"; it can be shared, local"},
    {"%x = scratch {space = \"local\", bytes = 0, align = 4} : ptr<local>", "scratch: bytes is 0; it must be positive"},
    {"%x = scratch {space = \"local\", bytes = 4, align = 3} : ptr<local>", "scratch: align is 3; it must be a power of two up to 4096"},
    {"%x = ptradd %A, %j : ptr<global>", "ptradd: operand 2 is i32, a scalar i64 is needed"},
    {"%x = ptradd %s, %m : ptr<global>", "ptradd: operand 1 is f32; a pointer is needed"},
    {"%x = ptradd %sh, %j : ptr<shared>", NULL},
    {"%x = lload %A {type = view<f32,1>, align = 4} : view<f32,1>", "lload: type is view<f32,1>; it must be a scalar, vector or pointer"},
    {"%x = loadm %A, %b, %v {align = 4} : f32[8]", "loadm: operand 2 is i1; i1[8] is needed"},
    {"%x = loadm %A, %b, %s {align = 4} : f32", NULL},
    {"storem %A, %v, %b {align = 4}", "storem: operand 3 is i1; i1[8] is needed"},
    {"%x = gatherv %A, %v, %k, %v : f32[8]", "gatherv: operand 2 is f32[8]; i64[8] is needed"},
    {"%x = gatherv %A, %o, %k, %s : f32", "gatherv: operand 4 is f32; a vector is needed"},
    {"scatterv %A, %o, %v, %b", "scatterv: operand 4 is i1; i1[8] is needed"},
    {"%x = atomicl %A, %v {kind = \"add\", order = \"relaxed\", scope = \"device\"} : f32[8]",
     "atomicl: operand 2 is f32[8], a scalar i32 or i64 or f32 or f64 is needed"},
    {"prefetch %A {level = 4}", "prefetch: level is 4; it can be 1, 2 or 3"},
    {"%x = splat %v {n = 8} : f32[8]", "splat: operand 1 is f32[8]; a scalar is needed"},
    {"%x = splat %s {n = 0} : f32[8]", "splat: n is 0, which is out of range"},
    {"%x = extract %v {i = 8} : f32", "extract: element 8 is not in f32[8]"},
    {"%x = extract %v : f32", "extract: the element is said either by i or by operand 2"},
    {"%x = extract %v, %j {i = 0} : f32", "extract: the element is said either by i or by operand 2"},
    {"%x = extract %s {i = 0} : f32", "extract: operand 1 is f32; a vector is needed"},
    {"%x = insert %v, %j {i = 0} : f32[8]", "insert: operand 2 is i32; f32 is needed"},
    {"%x = shuffle %v, %v {mask = [16]} : f32[1]", "shuffle: mask element 16 is not in -1 ... 15"},
    {"%x = shuffle %v, %v {mask = []} : f32", "shuffle: the mask is empty"},
    {"%x = shuffle %v, %o {mask = [0]} : f32[1]", "shuffle: operand 2 is i64[8]; f32[8] is needed"},
    {"%x = vreduce %s {kind = \"sum\"} : f32", "vreduce: operand 1 is f32; a vector is needed"},
    {"%x = shfl %m, %j {kind = \"xor\", width = 32} : i64", "shfl: operand 1 is i64, a scalar i32 or f32 is needed"},
    {"%x = shfl %s, %j {kind = \"xor\", width = 3} : f32", "shfl: width is 3; it must be a power of two from 2 to 64"},
    {"%x = ldmatrix %A {count = 1} : i32", "ldmatrix: operand 1 is ptr<global>; ptr<shared> is needed"},
    {"%x = ldmatrix %sh {count = 3} : i32", "ldmatrix: count is 3; it can be 1, 2 or 4"},
    {"cp_async %A, %A, %j {bytes = 16}", "cp_async: operand 1 is ptr<global>; ptr<shared> is needed"},
    {"cp_async %sh, %A, %j {bytes = 6}", "cp_async: bytes is 6; it can be 4, 8 or 16"},
    {"trap %k {text = \"\"}", "trap: operand 1 is i1[8], a scalar i1 is needed"},
    {"%x = for %m, %m, %A {step = 1} : ptr<global> (%i : i64, %c : ptr<global>) { yield %c }", NULL},
};

static void check_row(tg_context *ctx, const char *prelude, const row *r) {
  char text[8192];
  int n = snprintf(text, sizeof text, "%s    %s\n  }\n}\n", prelude, r->op);
  tg_kernel *k;
  tg_status status = tg_kernel_parse(ctx, text, (size_t)n, "k", &k);
  const char *message = status ? tg_error_message(ctx) : "accepted";
  CHECKF(r->want ? status == TG_INVALID && strstr(message, r->want) : status == TG_OK, "%s\n  got:  %s\n  want: %s", r->op, message,
         r->want ? r->want : "accepted");
  tg_kernel_free(k);
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  for (size_t i = 0; i < sizeof tile_rows / sizeof *tile_rows; i++) check_row(ctx, tile_prelude, &tile_rows[i]);
  for (size_t i = 0; i < sizeof lane_rows / sizeof *lane_rows; i++) check_row(ctx, lane_prelude, &lane_rows[i]);
  tg_context_free(ctx);
  return test_done();
}
