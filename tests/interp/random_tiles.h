// Random tile kernels on i32, where every lowering must give the interpreter's very bits. One block per row tile; each block loads at odd
// places of X, computes with tiles of small shapes, and stores a tile of Y that is its own; edges are partial, ranges begin below 0 and end
// beyond.
#ifndef TG_RANDOM_TILES_H
#define TG_RANDOM_TILES_H
#include "interp/ops.h"
#include "oracle.h"

enum { MOST_VALUES = 64, ROWS = 29, COLUMNS = 23, BLOCKS = 4, OWN = 16 }; // OWN: elements of the workspace that are a block's

typedef struct made {
  char name[16];
  int rank, dim[4];
} made;

typedef struct generator {
  oracle_random random;
  char text[65536];
  size_t used;
  int names, nvalues, depth;
  made values[MOST_VALUES];
} generator;

static inline int dice(generator *g, int n) { return (int)(oracle_next(&g->random) >> 33) % n; }

__attribute__((format(printf, 2, 3))) static inline void emit(generator *g, const char *format, ...) {
  va_list args;
  va_start(args, format);
  g->used += (size_t)vsnprintf(g->text + g->used, sizeof g->text - g->used, format, args);
  va_end(args);
}

static inline const char *shape_text(const made *m, char *room) {
  int used = sprintf(room, "i32");
  for (int i = 0; i < m->rank; i++) used += sprintf(room + used, "%c%d", i ? 'x' : '[', m->dim[i]);
  if (m->rank) sprintf(room + used, "]");
  return room;
}

static inline int count_of(const made *m) {
  int n = 1;
  for (int i = 0; i < m->rank; i++) n *= m->dim[i];
  return n;
}

// A new value of this shape; the caller has emitted its op with the name. Kept in the pool, in place of a random one when that is full.
static inline void keep(generator *g, const made *m) {
  const int at = g->nvalues < MOST_VALUES ? g->nvalues++ : dice(g, MOST_VALUES);
  g->values[at] = *m;
}

static inline made fresh(generator *g, int rank, const int *dim) {
  made m = {.rank = rank};
  sprintf(m.name, "%%v%d", g->names++);
  for (int i = 0; i < rank; i++) m.dim[i] = dim[i];
  return m;
}

static inline made any_value(generator *g) { return g->values[dice(g, g->nvalues)]; }

static inline bool same_dims(const made *a, const made *b) {
  bool same = a->rank == b->rank;
  for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
  return same;
}

// A value of the shape of `m`: one from the pool, or a constant.
static inline made like(generator *g, const made *m) {
  char room[64];
  for (int tries = 0; tries < 12; tries++) {
    const made v = any_value(g);
    if (same_dims(&v, m) && strcmp(v.name, m->name)) return v;
  }
  const made c = fresh(g, m->rank, m->dim);
  shape_text(&c, room);
  emit(g, "%s = const {type = %s, value = %d} : %s\n", c.name, room, dice(g, 9) - 4, room);
  return c;
}

static inline void make_load(generator *g) {
  static const int lengths[] = {1, 2, 3, 4, 5, 8, 12, 16};
  const int d0 = lengths[dice(g, 8)], d1 = lengths[dice(g, 8)], n = g->names++;
  const bool drop = dice(g, 4) == 0;
  emit(g, "%%c%d = const {type = i64, value = %d} : i64\n%%k%d = const {type = i64, value = %d} : i64\n", n, dice(g, 12) - 4, n,
       dice(g, 7));
  emit(g, "%%q%d = mul %%p, %%k%d : i64\n%%s%d = add %%q%d, %%c%d : i64\n", n, n, n, n, n);
  emit(g, "%%e%d = const {type = i64, value = %d} : i64\n", n, dice(g, COLUMNS + 6));
  emit(g, "%%r%d = range %%s%d, %%e%d {len = %d, align = 1} : range<%d>\n", n, n, n, d1, d1);
  made m = fresh(g, 2, (int[]){d0, d1});
  char room[64];
  if (drop) {
    m.rank = 1, m.dim[0] = d1;
    emit(g, "%s = load %%x, %%p, %%r%d : %s\n", m.name, n, shape_text(&m, room));
  } else {
    emit(g, "%%t%d = range %%q%d, %%rows {len = %d, align = 1} : range<%d>\n", n, n, d0, d0);
    emit(g, "%s = load %%x, %%t%d, %%r%d%s : %s\n", m.name, n, n, dice(g, 3) ? "" : " {fill = -7}", shape_text(&m, room));
  }
  keep(g, &m);
}

static inline void make_binary(generator *g) {
  static const char *const ops[] = {"add", "sub", "mul", "min", "max", "and", "or", "xor", "div", "rem", "shl", "shr"};
  char room[64];
  const made a = any_value(g), b = like(g, &a), m = fresh(g, a.rank, a.dim);
  emit(g, "%s = %s %s, %s : %s\n", m.name, ops[dice(g, 12)], a.name, b.name, shape_text(&m, room));
  keep(g, &m);
}

static inline void make_select(generator *g) {
  static const char *const ops[] = {"lt", "ge", "eq", "ne"};
  char room[64];
  const made a = any_value(g), b = like(g, &a), c = like(g, &a), m = fresh(g, a.rank, a.dim);
  shape_text(&m, room);
  emit(g, "%%b%d = %s %s, %s : i1%s\n", g->names, ops[dice(g, 4)], a.name, b.name, room + 3);
  emit(g, "%s = select %%b%d, %s, %s : %s\n", m.name, g->names++, a.name, c.name, room);
  keep(g, &m);
}

static inline void make_unary(generator *g) {
  static const char *const ops[] = {"neg", "abs", "not"};
  char room[64];
  const made a = any_value(g), m = fresh(g, a.rank, a.dim);
  emit(g, "%s = %s %s : %s\n", m.name, ops[dice(g, 3)], a.name, shape_text(&m, room));
  keep(g, &m);
}

static inline void make_transpose(generator *g) {
  made a = any_value(g), m = a;
  if (a.rank < 2) return;
  int perm[4] = {0, 1, 2, 3};
  for (int i = a.rank - 1; i > 0; i--) {
    const int j = dice(g, i + 1), t = perm[i];
    perm[i] = perm[j], perm[j] = t;
  }
  m = fresh(g, a.rank, a.dim);
  char room[64], list[32] = "";
  for (int i = 0; i < a.rank; i++) {
    m.dim[i] = a.dim[perm[i]];
    sprintf(list + strlen(list), "%s%d", i ? ", " : "", perm[i]);
  }
  emit(g, "%s = transpose %s {perm = [%s]} : %s\n", m.name, a.name, list, shape_text(&m, room));
  keep(g, &m);
}

static inline made reshaped(generator *g, const made *a, int rank, const int *dim) {
  char room[64], list[48] = "";
  const made m = fresh(g, rank, dim);
  for (int i = 0; i < rank; i++) sprintf(list + strlen(list), "%s%d", i ? ", " : "", dim[i]);
  emit(g, "%s = reshape %s {shape = [%s]} : %s\n", m.name, a->name, list, shape_text(&m, room));
  return m;
}

static inline void make_reshape(generator *g) {
  const made a = any_value(g);
  int rank = 1 + dice(g, 4), dim[4] = {1, 1, 1, 1}, rest = count_of(&a);
  for (int f = 2; rest > 1;) {
    if (rest % f) f++;
    else dim[dice(g, rank)] *= f, rest /= f;
  }
  const made m = reshaped(g, &a, rank, dim);
  keep(g, &m);
}

static inline void make_reduce(generator *g) {
  static const char *const kinds[] = {"sum", "prod", "min", "max", "and", "or", "xor"};
  const made a = any_value(g);
  if (!a.rank) return;
  char room[64];
  made m = fresh(g, a.rank, a.dim);
  const int axis = dice(g, a.rank);
  m.dim[axis] = 1;
  emit(g, "%s = reduce %s {kind = \"%s\", axis = %d} : %s\n", m.name, a.name, kinds[dice(g, 7)], axis, shape_text(&m, room));
  keep(g, &m);
}

static inline void make_scan(generator *g) {
  static const char *const kinds[] = {"sum", "prod", "min", "max", "and", "or", "xor"};
  const made a = any_value(g);
  if (!a.rank) return;
  char room[64];
  const made m = fresh(g, a.rank, a.dim);
  emit(g, "%s = scan %s {kind = \"%s\", axis = %d%s%s} : %s\n", m.name, a.name, kinds[dice(g, 7)], dice(g, a.rank),
       dice(g, 2) ? ", exclusive = 1" : "", dice(g, 2) ? ", reverse = 1" : "", shape_text(&m, room));
  keep(g, &m);
}

// The low bits of a as keys, so that many are equal, with a and something else for company.
static inline void make_order(generator *g) {
  const made a = any_value(g);
  if (!a.rank) return;
  char room[64];
  const int axis = dice(g, a.rank), n = g->names++;
  shape_text(&a, room);
  emit(g, "%%few%d = const {type = %s, value = 7} : %s\n%%low%d = and %s, %%few%d : %s\n", n, room, room, n, a.name, n, room);
  made m = fresh(g, a.rank, a.dim);
  if ((a.dim[axis] & (a.dim[axis] - 1)) || dice(g, 3) == 0) {
    m.dim[axis] = 1;
    emit(g, "%s = argmax %%low%d {axis = %d} : %s\n", m.name, n, axis, shape_text(&m, room));
    keep(g, &m);
    return;
  }
  const made b = like(g, &a), keys = fresh(g, a.rank, a.dim), c = fresh(g, a.rank, a.dim);
  emit(g, "%s, %s, %s = sort %%low%d, %s, %s {axis = %d%s} : %s, %s, %s\n", keys.name, m.name, c.name, n, a.name, b.name, axis,
       dice(g, 2) ? ", descending = 1" : "", room, room, room);
  keep(g, &keys), keep(g, &m), keep(g, &c);
}

// On the block's own part of a workspace, so that the old values do not depend on the order of blocks: through a range that begins or ends
// outside, or through a vector of indices, some equal and some outside; with a mask or without. Then loads what is there now.
static inline void make_atomic(generator *g) {
  static const char *const kinds[] = {"add", "min", "max", "and", "or", "xor", "exch"};
  const made a = any_value(g);
  if (a.rank != 1 || a.dim[0] > OWN) return;
  char room[64];
  const int n = g->names++, len = a.dim[0];
  const bool vector = dice(g, 2), mask = dice(g, 3) == 0;
  shape_text(&a, room);
  emit(g, "%%am%d = const {type = i64, value = %d} : i64\n%%ao%d = mul %%p, %%am%d : i64\n%%a1%d = const {type = i64, value = 1} : i64\n",
       n, OWN, n, n, n);
  emit(g, "%%av%d = view %%w, %%ao%d, %%am%d, %%a1%d {type = view<i32,1>} : view<i32,1>\n", n, n, n, n);
  emit(g, "%%as%d = const {type = i64, value = %d} : i64\n%%ar%d = range %%as%d, %%am%d {len = %d, align = 1} : range<%d>\n", n,
       dice(g, OWN) - 3, n, n, n, len, len);
  if (vector) {
    const made b = like(g, &a);
    emit(g, "%%ab%d = const {type = %s, value = 15} : %s\n%%ai%d = and %s, %%ab%d : %s\n%%ac%d = const {type = %s, value = -2} : %s\n", n,
         room, room, n, b.name, n, room, n, room, room);
    emit(g, "%%aj%d = add %%ai%d, %%ac%d : %s\n", n, n, n, room);
  }
  if (mask) emit(g, "%%ak%d = ne %s, %s : i1%s\n", n, a.name, like(g, &a).name, room + 3);
  const made old = fresh(g, 1, a.dim), now = fresh(g, 1, a.dim);
  emit(g, "%s = atomic %%av%d, %%a%c%d, %s", old.name, n, vector ? 'j' : 'r', n, a.name);
  if (mask) emit(g, ", %%ak%d", n);
  emit(g, " {kind = \"%s\"%s%s} : %s\n", kinds[dice(g, 7)], dice(g, 2) ? ", order = \"acq_rel\", scope = \"system\"" : "",
       mask ? ", mask = 1" : "", room);
  emit(g, "%s = load %%av%d, %%ar%d : %s\n", now.name, n, n, room);
  if (dice(g, 4)) keep(g, &old);
  keep(g, &now);
}

static inline void make_wider(generator *g) {
  const made a = any_value(g);
  if (!a.rank || count_of(&a) > 128) return;
  made m = fresh(g, a.rank, a.dim);
  char room[64], list[48] = "";
  const int axis = dice(g, a.rank), factor = 2 + dice(g, 3);
  m.dim[axis] *= factor;
  if (a.dim[axis] != 1) {
    emit(g, "%s = spread %s {axis = %d, factor = %d} : %s\n", m.name, a.name, axis, factor, shape_text(&m, room));
  } else {
    for (int i = 0; i < m.rank; i++) sprintf(list + strlen(list), "%s%d", i ? ", " : "", m.dim[i]);
    emit(g, "%s = broadcast %s {shape = [%s]} : %s\n", m.name, a.name, list, shape_text(&m, room));
  }
  keep(g, &m);
}

static inline void make_join_split(generator *g) {
  const made a = any_value(g);
  char room[64];
  if (a.rank && a.dim[a.rank - 1] == 2) {
    made m = fresh(g, a.rank - 1, a.dim), n = fresh(g, a.rank - 1, a.dim);
    shape_text(&m, room);
    emit(g, "%s, %s = split %s : %s, %s\n", m.name, n.name, a.name, room, room);
    keep(g, &m), keep(g, &n);
  } else if (a.rank < 4 && count_of(&a) <= 128) {
    const made b = like(g, &a);
    made m = fresh(g, a.rank, a.dim);
    m.dim[m.rank++] = 2;
    emit(g, "%s = join %s, %s : %s\n", m.name, a.name, b.name, shape_text(&m, room));
    keep(g, &m);
  }
}

// The low three bits of a and of something shaped like it, multiplied as f32: sums that are exact in any order.
static inline void make_dot(generator *g) {
  const made a = any_value(g);
  if (a.rank != 2 || a.dim[0] > 32) return;
  const int m = a.dim[0], k = a.dim[1], n = g->names++;
  const bool scaled = dice(g, 3) == 0;
  const made b = like(g, &a), r = fresh(g, 2, (int[]){m, m});
  emit(g, "%%seven%d = const {type = i32[%dx%d], value = 7} : i32[%dx%d]\n", n, m, k, m, k);
  emit(g, "%%ia%d = and %s, %%seven%d : i32[%dx%d]\n%%ib%d = and %s, %%seven%d : i32[%dx%d]\n", n, a.name, n, m, k, n, b.name, n, m, k);
  emit(g, "%%fa%d = cast %%ia%d {to = \"f32\"} : f32[%dx%d]\n%%fb%d = cast %%ib%d {to = \"f32\"} : f32[%dx%d]\n", n, n, m, k, n, n, m, k);
  emit(g, "%%ft%d = transpose %%fb%d {perm = [1, 0]} : f32[%dx%d]\n%%fc%d = const {type = f32[%dx%d], value = %d} : f32[%dx%d]\n", n, n, k,
       m, n, m, m, dice(g, 3), m, m);
  if (scaled)
    emit(g, "%%sa%d = const {type = f32[%dx1], value = 2} : f32[%dx1]\n%%sb%d = const {type = f32[1x1], value = 0.5} : f32[1x1]\n", n, m, m,
         n);
  if (scaled) emit(g, "%%fr%d = dot_scaled %%fa%d, %%ft%d, %%fc%d, %%sa%d, %%sb%d : f32[%dx%d]\n", n, n, n, n, n, n, m, m);
  else emit(g, "%%fr%d = dot %%fa%d, %%ft%d, %%fc%d : f32[%dx%d]\n", n, n, n, n, m, m);
  emit(g, "%s = cast %%fr%d {to = \"i32\"} : i32[%dx%d]\n", r.name, n, m, m);
  keep(g, &r);
}

static inline void make_op(generator *g);

// A loop of a few trips that carries up to three tiles; what it yields is made inside, or its own arguments in another order.
static inline void make_for(generator *g) {
  made in[3], args[3], out[3];
  const int n = 1 + dice(g, 3), id = g->names++;
  in[0] = any_value(g);
  for (int i = 1; i < n; i++) in[i] = dice(g, 2) ? like(g, &in[0]) : any_value(g);
  emit(g, "%%lo%d = const {type = i64, value = 0} : i64\n%%hi%d = const {type = i64, value = %d} : i64\n", id, id, dice(g, 4));
  char room[64];
  for (int i = 0; i < n; i++) out[i] = fresh(g, in[i].rank, in[i].dim), args[i] = fresh(g, in[i].rank, in[i].dim);
  for (int i = 0; i < n; i++) emit(g, "%s%s", i ? ", " : "", out[i].name);
  emit(g, " = for %%lo%d, %%hi%d", id, id);
  for (int i = 0; i < n; i++) emit(g, ", %s", in[i].name);
  emit(g, " {step = 1} : ");
  for (int i = 0; i < n; i++) emit(g, "%s%s", i ? ", " : "", shape_text(&in[i], room));
  emit(g, " (%%i%d : i64", id);
  for (int i = 0; i < n; i++) emit(g, ", %s : %s", args[i].name, shape_text(&args[i], room));
  emit(g, ") {\n");
  made outer[MOST_VALUES];
  const int kept = g->nvalues;
  memcpy(outer, g->values, sizeof outer);
  for (int i = 0; i < n; i++) keep(g, &args[i]);
  g->depth++;
  for (int i = 2 + dice(g, 4); i > 0; i--) make_op(g);
  g->depth--;
  made yields[3];
  for (int i = 0; i < n; i++) yields[i] = like(g, &out[i]);
  emit(g, "yield ");
  for (int i = 0; i < n; i++) emit(g, "%s%s", i ? ", " : "", yields[i].name);
  emit(g, "\n}\n");
  memcpy(g->values, outer, sizeof outer);
  g->nvalues = kept;
  for (int i = 0; i < n; i++) keep(g, &out[i]);
}

static inline void make_if(generator *g) {
  const made like_this = any_value(g), out = fresh(g, like_this.rank, like_this.dim);
  char room[64];
  const int id = g->names++;
  emit(g, "%%one%d = const {type = i64, value = 1} : i64\n%%w%d = eq %%p, %%one%d : i1\n%s = if %%w%d : %s {\n", id, id, id, out.name, id,
       shape_text(&out, room));
  g->depth++;
  for (int side = 0; side < 2; side++) {
    made outer[MOST_VALUES];
    const int kept = g->nvalues;
    memcpy(outer, g->values, sizeof outer);
    for (int i = dice(g, 4); i > 0; i--) make_op(g);
    const made y = like(g, &out);
    emit(g, "yield %s\n}%s\n", y.name, side ? "" : " {");
    memcpy(g->values, outer, sizeof outer);
    g->nvalues = kept;
  }
  g->depth--;
  keep(g, &out);
}

static inline void make_op(generator *g) {
  switch (dice(g, g->depth < 2 ? 20 : 17)) {
  case 0:
  case 1: make_load(g); break;
  case 2:
  case 3:
  case 4: make_binary(g); break;
  case 5: make_select(g); break;
  case 6: make_unary(g); break;
  case 7: make_transpose(g); break;
  case 8: make_reshape(g); break;
  case 9:
  case 10: make_reduce(g); break;
  case 11: make_wider(g); break;
  case 12: make_join_split(g); break;
  case 13: make_dot(g); break;
  case 14: make_scan(g); break;
  case 15: make_order(g); break;
  case 16: make_atomic(g); break;
  case 17:
  case 18: make_for(g); break;
  default: make_if(g);
  }
}

// Folds some of the pool into one number, so that little of the kernel is dead code.
static inline made digest(generator *g) {
  char room[64];
  made all = fresh(g, 1, (int[]){1});
  emit(g, "%s = const {type = i32[1], value = 1} : i32[1]\n", all.name);
  for (int i = 0; i < 6; i++) {
    const made v = any_value(g), flat = reshaped(g, &v, 1, (int[]){count_of(&v)}), one = fresh(g, 1, (int[]){1}),
               sum = fresh(g, 1, (int[]){1});
    emit(g, "%s = reduce %s {kind = \"%s\", axis = 0} : %s\n", one.name, flat.name, dice(g, 2) ? "sum" : "xor", shape_text(&one, room));
    emit(g, "%s = %s %s, %s : %s\n", sum.name, dice(g, 2) ? "add" : "xor", all.name, one.name, room);
    all = sum;
  }
  return all;
}

// The whole kernel; *rows, *columns are Y's extents.
static inline void make_kernel(generator *g, int *rows, int *columns) {
  const int blocks = 1 + dice(g, BLOCKS);
  g->used = 0, g->nvalues = 0, g->names = 0, g->depth = 0;
  emit(g,
       "launch (%d) {\n%%x = param {name = \"X\", type = view<i32,2>} : view<i32,2>\n%%y = param {name = \"Y\", type = view<i32,2>} : "
       "view<i32,2>\n%%w = param {name = \"W\", type = view<i32,1>} : view<i32,1>\n",
       blocks);
  emit(g, "%%p = pid {axis = 0} : i64\n%%rows = const {type = i64, value = %d} : i64\n", ROWS);
  make_load(g), make_load(g);
  for (int i = 6 + dice(g, 12); i > 0; i--) make_op(g);
  const made last = g->values[g->nvalues - 1];
  const int n = count_of(&last);
  int d0 = 1;
  for (int f = 1; f <= n && f <= 16; f++)
    if (n % f == 0 && dice(g, 2)) d0 = f;
  const int d1 = n / d0;
  const made tile = reshaped(g, &last, 2, (int[]){d0, d1}), one = digest(g), wide = fresh(g, 2, tile.dim), flat = fresh(g, 2, tile.dim);
  emit(g, "%s = broadcast %s {shape = [%d, %d]} : i32[%dx%d]\n", wide.name, one.name, d0, d1, d0, d1);
  emit(g, "%s = add %s, %s : i32[%dx%d]\n", flat.name, tile.name, wide.name, d0, d1);
  *rows = blocks * d0 - dice(g, d0), *columns = d1 - dice(g, (d1 + 1) / 2);
  emit(g, "%%d0 = const {type = i64, value = %d} : i64\n%%ys = mul %%p, %%d0 : i64\n%%ye = const {type = i64, value = %d} : i64\n", d0,
       *rows);
  emit(g, "%%zero = const {type = i64, value = 0} : i64\n%%yc = const {type = i64, value = %d} : i64\n", *columns);
  emit(g, "%%ra = range %%ys, %%ye {len = %d, align = 1} : range<%d>\n%%rb = range %%zero, %%yc {len = %d, align = 1} : range<%d>\n", d0,
       d0, d1, d1);
  if (dice(g, 3) == 0) {
    const made other = like(g, &flat);
    emit(g, "%%mask = ne %s, %s : i1[%dx%d]\nstore %%y, %%ra, %%rb, %s, %%mask {mask = 1}\n", flat.name, other.name, d0, d1, flat.name);
  } else {
    emit(g, "store %%y, %%ra, %%rb, %s\n", flat.name);
  }
  emit(g, "}\n}\n");
}

// Runs `count` kernels on the interpreter and on the device; 0 = the same bits from both.
static inline void random_tiles(tg_device *on, uint64_t seed, int count) {
  static int32_t x[ROWS * COLUMNS], want[1 << 16], got[1 << 16];
  static generator g;
  static char text[1 << 17];
  g.random.state = seed;
  for (int k = 0; k < count; k++) {
    int rows, columns;
    make_kernel(&g, &rows, &columns);
    for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (int32_t)(oracle_next(&g.random) >> (dice(&g, 2) ? 60 : 30));
    snprintf(text, sizeof text, "kernel t tile {\ninput X : i32[%d, %d]\noutput Y : i32[%d, %d]\nworkspace W : i32[%d] zero\n%s", ROWS,
             COLUMNS, rows, columns, BLOCKS * OWN, g.text);
    io tensors[2] = {{"X", "i32", 2, {ROWS, COLUMNS}, x, false, NULL}, {"Y", "i32", 2, {rows, columns}, want, true, NULL}};
    const size_t bytes = sizeof *want * (size_t)rows * (size_t)columns;
    device = NULL;
    const tg_status reference = run_text(2, tensors, text);
    CHECKF(reference == TG_OK, "kernel %d of seed %llu on the interpreter: %s\n%s", k, (unsigned long long)seed, tg_error_message(ctx),
           text);
    device = on;
    tensors[1].data = got;
    if (reference || !has_run(run_text(2, tensors, text), text)) continue;
    CHECKF(!memcmp(want, got, bytes), "kernel %d of seed %llu gives other bits than the interpreter\n%s", k, (unsigned long long)seed,
           text);
  }
}
#endif
