// Which folds read their operands through the copy unit (TMA), and its copies. A load qualifies whose tensor is an input, whose axis k is
// contiguous, and which ends where the tensor does: beyond, the unit writes zeros, as the load would.
#include "codegen/simt_pipe.h"

// ---- boxes -----------------------------------------------------------------------------------------------------------------

static int size_of(int dtype) { return tg_dtypes[dtype].bits / 8; }

static const tg_param *param_of(simt *s, const tg_op *load) {
  const tg_op *op = load->in[0]->def;
  return op && op->code == TG_OP_PARAM ? tg_find_param(s->tile, tg_attr_str(op, "name", "")) : NULL;
}

typedef struct uses {
  const tg_value *of;
  int n;
} uses;

static void count_use(tg_op *op, void *user) {
  uses *u = user;
  for (int i = 0; i < op->nin; i++) u->n += op->in[i] == u->of;
}

static bool used_once_in(tg_region *region, const tg_value *v) {
  uses u = {.of = v};
  tg_walk(region, count_use, &u);
  return u.n == 1;
}

// The axis's extent as the map has it: up to the end of the range or of the tensor, whichever comes first. NULL: only the block knows.
static const tg_expr *extent_of(simt *s, const tg_param *p, int axis, const tg_value *index) {
  int64_t end, dim;
  if (index->type.kind != TG_RANGE) return p->dims[axis];
  const tg_expr *e = index->def ? tg_launch_expr(s->arena, index->def->in[1]) : NULL;
  if (!e || tg_e_equal(e, p->dims[axis])) return e;
  if (simt_expr_const(s, e, &end) && simt_expr_const(s, p->dims[axis], &dim)) return end < dim ? e : p->dims[axis];
  return tg_e_bin(s->arena, TG_EXPR_MIN, e, p->dims[axis]);
}

// Rows of 32, 64 or 128 bytes in shared memory, as many as k has, or parts of 128.
static bool shape_box(simt_box *box, const tg_type *tile) {
  enum { MOST_ROWS = 256 };
  const int size = size_of(tile->dtype), bytes = tile->dim[1] * size;
  box->rows = tile->dim[0];
  if (bytes % 128 == 0) box->map.swizzle = 128;
  else if (bytes == 64 || bytes == 32) box->map.swizzle = bytes;
  else return false;
  box->k_boxes = bytes / box->map.swizzle;
  box->row_boxes = (box->rows + MOST_ROWS - 1) / MOST_ROWS;
  if (box->rows % box->row_boxes || box->rows / box->row_boxes % 8) return false;
  box->map.box[0] = box->map.swizzle / size;
  box->map.box[box->row_axis] = box->rows / box->row_boxes;
  box->bytes = (int64_t)box->rows * bytes;
  return true;
}

enum { UNIT = 16 };
static const int64_t END = 1LL << 31;

// CUDA Driver API, cuTensorMapEncodeTiled: addresses and strides in multiples of 16 bytes, extents of 1 to 2^32; coordinates have 32 bits
// with their sign. What is no constant is asked for by require_box.
static bool map_fits(simt *s, const tg_arg_map *m) {
  for (int i = 0; i < m->rank; i++) {
    int64_t known;
    if (simt_expr_const(s, m->dims[i], &known) && (known < 1 || known >= END)) return false;
    if (i + 1 < m->rank && simt_expr_const(s, m->strides_bytes[i], &known) && known % UNIT) return false;
  }
  return true;
}

// dot: whose operand it is, where it is enough that no store keeps rows beyond the range's end; NULL: what is beyond must be 0.
static bool box_of(simt *s, const tg_op *load, const tg_value *operand, const tg_op *dot, simt_box *out) {
  const tg_param *p = load && load->code == TG_OP_LOAD ? param_of(s, load) : NULL;
  const tg_type *tile = load ? &load->out[0]->type : NULL;
  if (!p || p->kind != TG_INPUT || p->rank < 2 || p->rank > TG_MAP_RANK || p->dtype != tile->dtype || tile->rank != 2) return false;
  if (p->flags & TG_PARAM_PACKED || simt_has_fill(load)) return false;
  for (const tg_value *v = operand;; v = v->def->in[0]) {
    if (!used_once_in(load->parent, v)) return false;
    if (v == load->out[0]) break;
  }
  *out = (simt_box){.load = load, .map = {.of = p->name, .rank = p->rank, .fill = TG_FILL_ZERO}, .row_axis = -1};
  tg_arg_map *m = &out->map;
  m->byte_offset = tg_e_const(s->arena, 0);
  const tg_expr *stride = tg_e_const(s->arena, size_of(p->dtype));
  for (int i = 0; i < p->rank; i++) {
    int axis = p->rank - 1 - i;
    const tg_value *index = load->in[1 + axis];
    out->axis[i] = axis;
    m->box[i] = m->element_strides[i] = 1;
    if (index->type.kind == TG_RANGE) {
      if (i > 0 && out->row_axis >= 0) return false;
      if (i > 0) out->row_axis = i;
    } else if (index->type.rank || i == 0) {
      return false;
    }
    m->dims[i] = extent_of(s, p, axis, index);
    if (!m->dims[i] && i > 0 && dot && simt_is_unkept(s, dot, operand == dot->in[1], index->def, p->dims[axis])) m->dims[i] = p->dims[axis];
    if (!m->dims[i]) return false;
    stride = tg_e_bin(s->arena, TG_EXPR_MUL, p->dims[axis], stride);
    if (i + 1 < p->rank) m->strides_bytes[i] = stride;
  }
  return out->row_axis > 0 && map_fits(s, m) && shape_box(out, tile);
}

// What a tensor map asks of the launch.
static void require_box(simt *s, const simt_box *box) {
  const tg_arg_map *m = &box->map;
  simt_require(s, tg_arena_printf(s->arena, "aligned(%s, %d)", m->of, UNIT));
  const int size = size_of(box->load->out[0]->type.dtype);
  const tg_expr *stride = tg_e_const(s->arena, 1);
  const tg_param *p = param_of(s, box->load);
  for (int i = 0; i < m->rank; i++) {
    int64_t known;
    if (!simt_expr_const(s, m->dims[i], &known)) {
      const char *text = tg_e_text(s->arena, m->dims[i]);
      simt_require(s, tg_arena_printf(s->arena, "%s > 0", text));
      simt_require(s, tg_arena_printf(s->arena, "%s < %lld", text, (long long)END));
    }
    if (i + 1 == m->rank) break;
    stride = tg_e_bin(s->arena, TG_EXPR_MUL, p->dims[box->axis[i]], stride);
    simt_divides(s, (simt_size){.e = stride}, UNIT / size, true);
  }
}

// ---- copies ----------------------------------------------------------------------------------------------------------------

tg_value *simt_barrier_at(simt *s, tg_value *barriers, tg_value *slot) {
  return simt_offset(s, barriers, tg_build2(&s->b, TG_OP_SHL, slot, simt_int(s, TG_I32, 3)));
}

// What 32 bits cannot say is as far outside as the nearest that they can. What lies within the tensor they can say.
static tg_value *coordinate(simt *s, const simt_box *box, int map_axis) {
  const tg_value *index = box->load->in[1 + box->axis[map_axis]];
  const tg_value *start = index->type.kind == TG_RANGE ? index->def->in[0] : index;
  tg_value *x = simt_scalar(s, start);
  if (x->type.dtype == TG_I32) return x;
  if (!simt_nonnegative(start)) x = tg_build2(&s->b, TG_OP_MAX, x, simt_int(s, TG_I64, INT32_MIN));
  if (!simt_is_below(s, start, box->map.dims[map_axis])) x = tg_build2(&s->b, TG_OP_MIN, x, simt_int(s, TG_I64, INT32_MAX));
  return tg_cast_to(&s->b, x, TG_I32, NULL);
}

static void copy_box(simt *s, const simt_box *box, tg_value *to, tg_value *barrier) {
  tg_value *in[3 + TG_MAP_RANK] = {NULL, box->argument, barrier}, *first[TG_MAP_RANK];
  const tg_arg_map *m = &box->map;
  for (int i = 0; i < m->rank; i++) first[i] = coordinate(s, box, i);
  const int64_t part = (int64_t)box->rows * m->swizzle, piece = part / box->row_boxes;
  const int pieces = box->blocks ? box->row_boxes / box->blocks : box->row_boxes;
  if (box->blocks) { // this block's
    tg_value *rank = simt_cluster_rank(s), **row = &first[box->row_axis];
    *row = simt_add(&s->b, *row, simt_mul(&s->prologue, rank, simt_int(s, TG_I32, (int64_t)pieces * m->box[box->row_axis])));
    to = simt_offset(s, to, simt_mul(&s->prologue, rank, simt_int(s, TG_I32, pieces * piece)));
  }
  for (int k = 0; k < box->k_boxes; k++)
    for (int r = 0; r < pieces; r++) {
      memcpy(in + 3, first, sizeof first);
      in[3] = simt_add(&s->b, first[0], simt_int(s, TG_I32, k * m->box[0]));
      in[3 + box->row_axis] = simt_add(&s->b, first[box->row_axis], simt_int(s, TG_I32, r * m->box[box->row_axis]));
      in[0] = simt_offset(s, to, simt_int(s, TG_I32, box->offset + k * part + r * piece));
      tg_build(&s->b, TG_OP_COPY_BOX, 3 + m->rank, in, box->blocks > 0, &TG_AINT("blocks", (1 << box->blocks) - 1));
    }
}

void simt_copy_boxes(simt *s, simt_pipe *pipe, tg_value *slot, tg_value *barrier) {
  tg_build(&s->b, TG_OP_MBAR_EXPECT, 1, &barrier, 1, &TG_AINT("count", pipe->box[0].bytes + pipe->box[1].bytes));
  tg_value *to = simt_offset(s, s->slots->base, simt_mul(&s->b, slot, simt_int(s, TG_I32, s->slots->bytes)));
  for (int i = 0; i < 2; i++) copy_box(s, &pipe->box[i], to, barrier);
}

// ---- which folds -----------------------------------------------------------------------------------------------------------

// A's load as it is, B's transposed: both [rows][k] in memory. trans: the other way round, [k][rows].
static const tg_op *load_of(const tg_op *dot, int operand, bool *trans) {
  const tg_value *v = dot->in[operand];
  const bool turned = v->def && v->def->code == TG_OP_TRANSPOSE;
  *trans = turned != (operand == 1);
  if (turned) v = v->def->in[0];
  return v->def && v->def->code == TG_OP_LOAD ? v->def : NULL;
}

bool simt_pipe_boxes(simt *s, const tg_op *dot, simt_box box[2]) {
  for (int i = 0; i < 2; i++) {
    bool trans;
    const tg_op *load = load_of(dot, i, &trans), *whose = trans ? NULL : dot; // rows of k are all kept
    if (!load || load->parent != dot->parent || !box_of(s, load, dot->in[i], whose, &box[i])) return false;
    box[i].trans = trans;
    for (int k = 1; k < load->nin; k++)
      if (!simt_is_ahead(s, load->in[k], dot->parent, 0)) return false;
  }
  return simt_can_follow(s, dot->parent->owner, (const tg_op *const[]){box[0].load, box[1].load});
}

bool simt_wgmma_shape(const tg_op *dot, int warps, bool turned, simt_wgmma *w) {
  enum { ROWS = 64, MOST = 256 };
  const tg_type *a = &dot->in[0]->type, *b = &dot->in[1]->type, *c = &dot->out[0]->type;
  if (c->rank != 2 || a->dtype != b->dtype || c->dtype != TG_F32 || warps < 4 || warps % 4) return false;
  const tg_wgmma_row *row = tg_wgmma_of(a->dtype);
  const int m = c->dim[turned], n = c->dim[!turned], groups = warps / 4;
  if (!row || m % ROWS || a->dim[1] % row->k) return false;
  *w = (simt_wgmma){.row = row, .k = a->dim[1], .groups_m = groups, .turned = turned};
  const int blocks = m / ROWS;
  while (w->groups_m > 1 && (blocks % w->groups_m || (blocks & (blocks - 1)))) w->groups_m /= 2; // neighbouring blocks for each
  w->groups_n = groups / w->groups_m;
  w->blocks = blocks / w->groups_m;
  w->n_each = n / w->groups_n;
  return n % (w->groups_n * 8) == 0 && w->n_each <= MOST && (w->groups_n == 1 || (n & (n - 1)) == 0);
}

int simt_wgmma_registers(const tg_op *dot, int warps) {
  simt_wgmma w;
  const tg_op *c = dot->in[2]->def;
  bool apart = dot->code == TG_OP_DOT_SCALED || (c && c->code == TG_OP_CONST); // what it is added to is held beside it
  return simt_wgmma_shape(dot, warps, false, &w) ? w.blocks * w.n_each / 2 * (apart ? 2 : 1) : 0;
}

int simt_most_registers(const tg_machine *machine, int otherwise) {
  return machine->max_registers > 0 && machine->max_registers < otherwise ? (int)machine->max_registers : otherwise;
}

static bool registers_fit(const tg_machine *machine, const tg_op *dot, int warps) {
  enum { OTHERS = 32, MOST = 232 }; // of a thread: addresses, scales and counters; what a group may have beside a producer
  const int registers = simt_wgmma_registers(dot, warps);
  return registers > 0 && registers + OTHERS <= simt_most_registers(machine, MOST);
}

static void count_product(tg_op *op, void *user) { *(int *)user += op->code == TG_OP_DOT || op->code == TG_OP_DOT_SCALED; }

// One product in the fold, and it within no other's: slots are taken in the order of trips, and a fold has either a pipe or a ring of
// copies.
static bool turns_alone(const tg_op *loop) {
  int within = 0, around = 0;
  tg_walk(loop->regions[0], count_product, &within);
  for (const tg_op *outer = loop->parent->owner; outer; outer = outer->parent->owner)
    if (outer->code == TG_OP_FOR)
      for (tg_op *op = outer->regions[0]->first; op; op = op->next) count_product(op, &around);
  return within == 1 && around == 0;
}

// As the descriptors for tensor memory say.
static bool lie_along_k(const simt_box box[2]) { return !box[0].trans && !box[1].trans && box[0].map.swizzle == box[1].map.swizzle; }

// Rows along k are for elements of 16 bits, and a group's columns begin where a part does.
static bool is_readable(const simt_wgmma *w, const simt_box *box, int side) {
  const int bytes = simt_wgmma_share(w, side) * size_of(w->row->operands);
  return !box->trans || (w->row->trans && bytes % box->map.swizzle == 0);
}

bool simt_pipe_fits(simt *s, const tg_op *dot, simt_wgmma *w) {
  simt_box box[2];
  if (!s->machine->tensor_maps || !s->assume || s->stages < 2 || s->by_threads) return false;
  const tg_op *loop = dot->parent->owner;
  if (!loop || loop->code != TG_OP_FOR || !turns_alone(loop)) return false;
  if (s->machine->tensor_memory > 0)
    return simt_tcgen05_shape(s->machine, dot, s->warps, w) && simt_pipe_boxes(s, dot, box) && lie_along_k(box);
  if (!s->machine->warpgroup_mma) return false;
  // What the instruction sums of eight-bit operands keeps few bits: every block of k is added to sums in f32 outside of it.
  const tg_op *c = dot->in[2]->def;
  if (tg_dtypes[dot->in[0]->type.dtype].bits == 8 && dot->code == TG_OP_DOT && !(c && c->code == TG_OP_CONST)) return false;
  return simt_wgmma_shape(dot, s->warps, false, w) && registers_fit(s->machine, dot, s->warps) && simt_pipe_boxes(s, dot, box) &&
         is_readable(w, &box[0], 0) && is_readable(w, &box[1], 1);
}

typedef struct largest {
  const tg_machine *machine;
  int warps;
} largest;

static void find_largest(tg_op *op, void *user) {
  largest *most = user;
  if ((op->code != TG_OP_DOT && op->code != TG_OP_DOT_SCALED) || op->out[0]->type.rank != 2 || !op->parent->owner) return;
  simt_wgmma w;
  for (int warps = 8; warps >= 4; warps /= 2)
    if (simt_wgmma_shape(op, warps, false, &w) && (w.groups_n == 1 || !registers_fit(most->machine, op, warps / 2)) && warps > most->warps)
      most->warps = warps;
}

int simt_wgmma_warps(const tg_machine *machine, const tg_kernel *tile) {
  largest most = {.machine = machine};
  if (machine->tensor_memory > 0) return simt_tcgen05_warps(machine, tile);
  if (!machine->warpgroup_mma) return 0;
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, find_largest, &most);
  return most.warps;
}

simt_pipe *simt_pipe_of_loop(simt *s, const tg_op *loop) {
  for (simt_pipe *p = s->pipes; p; p = p->next)
    if (p->loop == loop) return p;
  return NULL;
}

simt_pipe *simt_pipe_of_dot(simt *s, const tg_op *dot) {
  for (simt_pipe *p = s->pipes; p; p = p->next)
    if (p->dot == dot) return p;
  return NULL;
}

// The carried value that the product is added to, where nothing else looks at either; -1: none.
static int in_flight(const tg_op *loop, const tg_op *dot) {
  tg_region *body = loop->regions[0];
  for (int i = 0; i < loop->nout; i++)
    if (dot->in[2] == body->args[1 + i] && body->last->in[i] == dot->out[0])
      return used_once_in(body, dot->in[2]) && used_once_in(body, dot->out[0]) ? i : -1;
  return -1;
}

enum { ALIGN = 1024, BARRIERS = 256 }; // bytes

// Slots of so many bytes that shared memory has room for.
static int slots_that_fit(const simt *s, int64_t at, int64_t bytes) {
  const int64_t room = (int64_t)s->machine->shared_bytes - at - BARRIERS - (s->lean ? 48 << 10 : 8 << 10); // conversions
  int n = s->stages;
  while (n > 1 && n * bytes > room) n--;
  return n;
}

static void plan_dot(tg_op *op, void *user) {
  simt *s = user;
  simt_pipe pipe = {.dot = op};
  if (op->code != TG_OP_DOT || !simt_pipe_fits(s, op, &pipe.shape) || simt_pipe_of_loop(s, op->parent->owner)) return;
  pipe.loop = op->parent->owner;
  simt_pipe_boxes(s, op, pipe.box);
  for (int i = 0; i < 2; i++) {
    pipe.box[i].offset = pipe.bytes;
    pipe.bytes += (pipe.box[i].bytes + ALIGN - 1) / ALIGN * ALIGN;
  }
  simt_slots *slots = s->slots;
  const int64_t bytes = pipe.bytes > slots->bytes ? pipe.bytes : slots->bytes;
  const int n = slots_that_fit(s, slots->at, bytes);
  if (n < 2) return;
  slots->n = n, slots->bytes = bytes;
  pipe.flight = pipe.shape.memory && !simt_tcgen05_stays(op) ? -1 : in_flight(pipe.loop, op);
  if (pipe.shape.memory) simt_tcgen05_buffers(s, &pipe);
  simt_pipe *kept = TG_NEW(s->arena, simt_pipe);
  *kept = pipe;
  kept->next = s->pipes;
  s->pipes = kept;
  for (int i = 0; i < 2; i++) {
    require_box(s, &kept->box[i]);
    simt_note_of(s, kept->box[i].load->out[0])->box = &kept->box[i];
  }
}

void simt_plan_pipes(simt *s, tg_launch *launch) {
  s->pipes = NULL;
  s->slots = TG_NEW(s->arena, simt_slots);
  s->slots->at = (s->shared_top + ALIGN - 1) / ALIGN * ALIGN;
  tg_walk(launch->body, plan_dot, s);
  if (!s->pipes) return;
  s->shared_top = s->slots->at + s->slots->n * s->slots->bytes + BARRIERS;
  simt_plan_following(s);
}
