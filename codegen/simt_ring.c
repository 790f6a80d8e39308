// Folds whose dots read operands from memory: what the trips to come will read is on its way into the slots of a ring in shared memory
// while a trip computes. And operands that several trips read: once into shared memory, for all of them.
#include "codegen/matrix.h"
#include "codegen/simt_access.h"
#include "codegen/simt_control.h"
#include "codegen/simt_stage.h"

// ---- which operands --------------------------------------------------------------------------------------------------------

typedef struct ring_plan {
  simt *s;
  int64_t resident, stored;    // bytes
  int64_t own;                 // of what a dot stores for itself until it is done: of the one that stores most
  bool widen;                  // codes that several warps use, in shared memory
  const tg_value *brought[16]; // loads that are to be resident
  int nbrought;
} ring_plan;

bool simt_is_ahead(simt *s, const tg_value *v, const tg_region *body, int depth) {
  const tg_op *op = v->def;
  if (!op) return v->region != body || v->index == 0;
  if (op->parent != body) return true;
  if (depth > 32 || op->nregions || (!(tg_op_rows()[op->code].traits & TG_PURE) && !simt_reads_input(s, op))) return false;
  if (op->code == TG_OP_REDUCE || op->code == TG_OP_DOT || op->code == TG_OP_SORT || op->code == TG_OP_SCAN) return false;
  for (int i = 0; i < op->nin; i++)
    if (!simt_is_ahead(s, op->in[i], body, depth + 1)) return false;
  return true;
}

bool simt_has_fill(const tg_op *load) {
  const tg_attr *fill = tg_find_attr(load, "fill");
  return fill && (fill->kind == TG_ATTR_INT ? fill->i != 0 : fill->f != 0);
}

static bool in_loop_below(const tg_op *op, const tg_region *region) {
  for (const tg_region *r = op->parent; r != region; r = r->owner->parent) {
    if (!r->owner) return false;
    if (r->owner->code == TG_OP_FOR || r->owner->code == TG_OP_WHILE) return true;
  }
  return false;
}

static int64_t shared_of(const simt *s) { return s->machine->shared_bytes > 0 ? (int64_t)s->machine->shared_bytes : TG_STATIC_SHARED; }

typedef enum way { STRAIGHT, RING, BROUGHT } way; // into registers; ahead of the trip that uses it; into shared memory where it stands

// Registers of a lane that a tile would take.
static int64_t registers_of(const simt *s, tg_type type) {
  return tg_type_elements(type) * tg_dtypes[type.dtype].bits / 32 >> (s->lane_bits + s->warp_bits);
}

static bool is_ahead_of(simt *s, const tg_op *load, const simt_readers *r) {
  if (!load->parent->owner || load->parent->owner->code != TG_OP_FOR) return false;
  for (int i = 0; i < load->nin; i++)
    if (!simt_is_ahead(s, load->in[i], load->parent, 0)) return false;
  return !r->mask || simt_is_ahead(s, r->mask->in[0], load->parent, 0);
}

static way way_of(simt *s, const tg_op *load, simt_readers *r) {
  enum { MANY = 32 };
  if (s->lean || s->stages < 2 || !s->assume || !simt_reads_input(s, load) || simt_has_fill(load) || simt_note_of(s, load->out[0])->box)
    return STRAIGHT;
  if (!simt_find_readers(s, load->out[0], r)) return STRAIGHT;
  int beside = 0, below = 0; // dots in the load's own region, and in loops within it
  for (int i = 0; i < r->n; i++) {
    beside += r->at[i].op->parent == load->parent;
    below += in_loop_below(r->at[i].op, load->parent);
  }
  if (beside == r->n && is_ahead_of(s, load, r)) return RING;
  return below || r->n > 1 || registers_of(s, load->out[0]->type) > MANY ? BROUGHT : STRAIGHT;
}

static simt_ring *ring_of(simt *s, const tg_op *loop) {
  for (simt_ring *r = s->rings; r; r = r->next)
    if (r->loop == loop) return r;
  return NULL;
}

bool simt_has_ring(simt *s, const tg_op *loop) {
  const simt_ring *r = ring_of(s, loop);
  return r && r->nloads > 0;
}

static void add_to_ring(simt *s, tg_op *load, simt_stage *g) {
  simt_ring *r = ring_of(s, load->parent->owner);
  if (!r) {
    r = TG_NEW(s->arena, simt_ring);
    r->loop = load->parent->owner;
    r->next = s->rings;
    s->rings = r;
  }
  if (r->nloads == (int)(sizeof r->load / sizeof r->load[0])) return;
  const int64_t align = simt_region_align(s);
  g->offset = r->slot_bytes;
  r->slot_bytes += (g->bytes + align - 1) / align * align;
  r->groups |= g->swizzle > 0;
  r->load[r->nloads++] = load;
  simt_note_of(s, load->out[0])->stage = g;
  simt_note_of(s, load->out[0])->in_ring = true;
}

static void fragments_of(simt *s, const simt_readers *r, tg_layout *out) {
  for (int i = 0; i < r->n; i++) {
    simt_dot_layouts l;
    simt_dot_plan(s, r->at[i].op, &l);
    out[i] = r->at[i].operand ? l.b : l.a;
  }
}

// First which loads go to shared memory at all, as fragments' order of k depends on that.
static void choose_way(tg_op *op, void *user) {
  ring_plan *p = user;
  simt_readers r;
  if (simt_is_load(op) && op->out[0]->type.rank) simt_note_of(p->s, op->out[0])->ahead = way_of(p->s, op, &r) != STRAIGHT;
}

static bool is_wider(simt *s, const tg_value *operand) {
  return tg_dtypes[operand->type.dtype].bits > tg_dtypes[simt_staged(s, operand)->type.dtype].bits;
}

// Of codes that wait in a ring for one dot, whether they are widened in shared memory. What cannot be has other fragments.
static void choose_widened(tg_op *op, void *user) {
  ring_plan *p = user;
  simt *s = p->s;
  if (!p->widen || op->code != TG_OP_DOT || !simt_dot_row(s->machine, op)) return;
  for (int i = 0; i < 2; i++) {
    const tg_value *v = simt_staged(s, op->in[i]);
    simt_readers r;
    bool rings = is_wider(s, op->in[i]) && simt_is_load(v->def) && way_of(s, v->def, &r) == RING && r.n == 1;
    simt_note_of(s, v)->widened = rings && simt_dot_sharers(s, op, i) > 1;
  }
  simt_dot_layouts l;
  for (int i = 0; i < 2; i++) {
    simt_note *note = simt_note_of(s, simt_staged(s, op->in[i]));
    if (!note->widened) continue;
    simt_dot_plan(s, op, &l);
    note->widened = simt_can_widen(s, op->in[i], i ? &l.b : &l.a, i == 0);
  }
}

// Operands that are computed, or loaded without copies: for several dots, or trips, once and whole; else those that are computed beside
// each dot, the right one in chunks.
static void plan_computed(tg_op *op, void *user) {
  enum { CHUNK = 32 << 10 };
  ring_plan *p = user;
  simt *s = p->s;
  if (op->code != TG_OP_DOT || !simt_dot_row(s->machine, op) || simt_pipe_of_dot(s, op)) return;
  int64_t own = 0;
  for (int i = 0; i < 2; i++) {
    const tg_value *v = simt_renamed(op->in[i]);
    int64_t bytes = tg_type_elements(v->type) * tg_dtypes[v->type.dtype].bits / 8;
    simt_note *note = simt_note_of(s, v);
    simt_readers r;
    if (note->kept || simt_note_of(s, simt_staged(s, v))->ahead) continue;
    bool found = v->def && !simt_is_lazy(v) && v->type.dtype != TG_E4M3 && simt_find_readers(s, v, &r), several = found && r.n > 1;
    for (int k = 0; found && k < r.n; k++) several |= in_loop_below(r.at[k].op, v->def->parent);
    note->kept = note->ahead = several && !s->lean && p->stored + bytes <= shared_of(s) * 3 / 4;
    const bool whole = i == 0 || simt_groups_of_dot(s, op) || bytes < CHUNK;
    if (note->kept) p->stored += bytes;
    else if (!simt_is_load(v->def)) own += whole ? bytes : CHUNK;
  }
  p->own = own > p->own ? own : p->own;
}

static bool read_by_groups(simt *s, const simt_readers *r) {
  for (int i = 0; i < r->n; i++)
    if (simt_groups_of_dot(s, r->at[i].op)) return true;
  return false;
}

static void plan_load(tg_op *load, void *user) {
  ring_plan *p = user;
  simt *s = p->s;
  simt_readers r;
  way w = simt_is_load(load) && load->out[0]->type.rank ? way_of(s, load, &r) : STRAIGHT;
  if (w == STRAIGHT) return;
  simt_access a;
  const bool groups = read_by_groups(s, &r);
  tg_layout held = groups ? simt_group_copies(s, load->out[0]->type) : simt_default_layout(s, load->out[0]->type);
  tg_layout fragment[SIMT_MOST_READERS];
  simt_open_access(&a, s, load, load->out[0]->type);
  if (simt_access_width(&a, &held) * tg_dtypes[load->out[0]->type.dtype].bits < 32) return; // too narrow for the copies
  fragments_of(s, &r, fragment);
  const simt_use *first = &r.at[0];
  simt_stage *g = simt_note_of(s, load->out[0])->widened
                      ? simt_stage_to_widen(s, load, first->op->in[first->operand], &fragment[0], &held, first->operand == 0)
                      : simt_stage_of_load(s, load->out[0], &r, fragment, &held);
  if (!g) return;
  if (w == RING) {
    if (g->wide) p->stored += g->wide->bytes;
    add_to_ring(s, load, g);
  } else if (g->bytes <= 80 << 10 && p->nbrought < (int)(sizeof p->brought / sizeof p->brought[0])) {
    simt_note_of(s, load->out[0])->stage = g;
    p->brought[p->nbrought++] = load->out[0];
    p->resident += g->bytes;
  }
}

// Slots for one trip alone hold nothing ahead: then each trip brings its own, where there is room for that.
static void give_up(simt *s, simt_ring *r, int64_t room) {
  for (int i = 0; i < r->nloads; i++) {
    simt_note *note = simt_note_of(s, r->load[i]->out[0]);
    note->in_ring = false;
    if (r->slot_bytes > room) {
      note->stage = NULL;
      note->ahead = false;
    }
  }
  r->nloads = 0;
}

static void forget(tg_op *op, void *user) {
  simt *s = user;
  for (int i = 0; i < op->nout; i++) {
    simt_note *note = simt_note_of(s, op->out[i]);
    note->stage = NULL;
    note->in_ring = note->ahead = note->widened = note->kept = false;
    note->groups = NULL;
  }
}

// False where what is to be widened leaves too little for the rings.
static bool plan_rings(ring_plan *p, tg_launch *launch) {
  enum { SPARE = 3 << 10 }; // for conversions and sums across warps; three slots of 32 KiB fit beside it into 99 KiB
  simt *s = p->s;
  s->rings = NULL;
  s->grouped = false;
  tg_walk(launch->body, choose_way, p);
  tg_walk(launch->body, simt_choose_staged, s);
  tg_walk(launch->body, choose_widened, p);
  tg_walk(launch->body, plan_computed, p);
  tg_walk(launch->body, plan_load, p);
  int64_t room = shared_of(s) - p->stored - p->own - SPARE - s->shared_top;
  if (p->resident > room) { // what is computed has to lie there; what is loaded may stay in registers
    if (p->widen) return false;
    for (int i = 0; i < p->nbrought; i++) simt_note_of(s, p->brought[i])->stage = NULL;
    p->resident = 0;
  }
  room -= p->resident;
  for (simt_ring *r = s->rings; r; r = r->next) {
    r->slots = s->stages;
    while (r->slots > 1 && r->slots * r->slot_bytes > room) r->slots--;
    if (r->slots > 1) continue;
    if (p->widen) return false;
    give_up(s, r, room);
  }
  return true;
}

void simt_plan_rings(simt *s, tg_launch *launch) {
  for (bool widen = true;;) {
    const bool room = plan_rings(&(ring_plan){.s = s, .widen = widen}, launch);
    if (room && simt_staged_have_all(s, launch)) return;
    widen &= room;
    tg_walk(launch->body, forget, s);
  }
}

// ---- operands for several trips --------------------------------------------------------------------------------------------

static void commit(simt *s) { tg_build(&s->b, TG_OP_CP_COMMIT, 0, NULL, 0, NULL); }
static void wait_for(simt *s, int pending) { tg_build(&s->b, TG_OP_CP_WAIT, 0, NULL, 1, &TG_AINT("pending", pending)); }

static void bring(simt *s, const tg_op *load) {
  simt_stage *g = simt_note_of(s, load->out[0])->stage;
  g->base = simt_take_shared(s, g->bytes); // until the tile kernel's region ends
  simt_barrier(s);                         // those who read what lay there before are done
  simt_copy_stage(s, load, g);
  commit(s);
  wait_for(s, 0);
  simt_publish(s, g->swizzle > 0);
}

bool simt_bring(simt *s, tg_op *op) {
  const tg_value *out = op->out[0], *under = simt_staged(s, out);
  const simt_stage *g = simt_note_of(s, under)->stage;
  if (simt_note_of(s, out)->kept) return false; // made anew
  if (op->code == TG_OP_CAST && out->type.rank && op->in[0]->type.dtype == TG_E4M3) g = simt_note_of(s, simt_renamed(op->in[0]))->stage;
  if (!g) return false;
  if (simt_is_load(op) && !g->mask) {
    if (!simt_note_of(s, out)->in_ring) bring(s, op);
  } else if (op == g->mask) { // what the mask is made of has been made
    if (!simt_note_of(s, under)->in_ring) bring(s, under->def);
  } else if (!simt_is_load(op) && op->code != TG_OP_CAST) {
    return false;
  }
  return true; // casts are made where the tile is read
}

void simt_keep(simt *s, const tg_value *v) {
  simt_note *note = simt_note_of(s, v);
  simt_readers r;
  tg_layout fragment[SIMT_MOST_READERS];
  note->stage = NULL;
  simt_find_readers(s, v, &r);
  fragments_of(s, &r, fragment);
  simt_stage *g = simt_stage_of_kept(s, v, &r, fragment, note->tiles);
  if (!g) return;
  g->base = simt_take_shared(s, g->bytes); // until the tile kernel's region ends
  simt_barrier(s);
  simt_store_stage(s, g, note->tiles, 0);
  simt_publish(s, g->swizzle > 0);
  note->stage = g;
}

// ---- rings -----------------------------------------------------------------------------------------------------------------

typedef struct turning {
  simt *s;
  simt_ring *ring;
  tg_op *loop;
  simt_carried c;
  tg_value *base, *lb, *ub;
  int64_t step;
  simt_trip_ranges full;
} turning;

static tg_value *ahead_of(turning *t, tg_value *i, int trips) { return simt_add(&t->s->b, i, simt_int(t->s, TG_I64, trips * t->step)); }

static void point_stages(turning *t, tg_value *slot) {
  simt *s = t->s;
  for (int k = 0; k < t->ring->nloads; k++) {
    simt_stage *g = simt_note_of(s, t->ring->load[k]->out[0])->stage;
    g->base = simt_offset(s, simt_offset(s, t->base, slot), simt_int(s, TG_I32, g->offset));
  }
}

void simt_make_addresses(simt *s, const tg_value *v, const tg_region *body) {
  tg_op *op = v->def;
  if (!op || op->parent != body || simt_note_of(s, v)->fetch == s->fetches) return;
  simt_note_of(s, v)->fetch = s->fetches;
  for (int i = 0; i < op->nin; i++) simt_make_addresses(s, op->in[i], body);
  simt_op(s, op);
}

// The scalars that a mask is made of; its tiles are made where they are asked for.
static void make_scalars(simt *s, const tg_value *v, const tg_region *body) {
  tg_op *op = v->def;
  if (!op || op->parent != body) return;
  if (v->type.kind == TG_TILE && v->type.rank == 0) {
    simt_make_addresses(s, v, body);
    return;
  }
  for (int i = 0; i < op->nin; i++) make_scalars(s, op->in[i], body);
}

static void fetch(turning *t, tg_value *i, tg_value *slot) {
  simt *s = t->s;
  tg_region *body = t->loop->regions[0];
  simt_note_of(s, body->args[0])->scalar = i;
  point_stages(t, slot);
  s->fetches++;
  for (int k = 0; k < t->ring->nloads; k++) {
    tg_op *load = t->ring->load[k];
    const simt_stage *g = simt_note_of(s, load->out[0])->stage;
    for (int n = 0; n < load->nin; n++) simt_make_addresses(s, load->in[n], body);
    if (g->mask) make_scalars(s, g->mask->in[0], body);
    simt_copy_stage(s, load, g);
  }
}

static void fetch_if_any(turning *t, tg_value *i, tg_value *slot) {
  simt *s = t->s;
  tg_value *some = tg_build2(&s->b, TG_OP_LT, i, t->ub);
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &some, 0, NULL, 0, NULL);
  tg_builder outer = s->b, otherwise = s->b;
  s->b.region = tg_add_region(&outer, branch, 0, 0, NULL), otherwise.region = tg_add_region(&outer, branch, 1, 0, NULL);
  s->b.before = otherwise.before = NULL;
  fetch(t, i, slot);
  tg_build_yield(&s->b, 0, NULL);
  tg_build_yield(&otherwise, 0, NULL);
  s->b.region = outer.region, s->b.before = outer.before;
}

// One loop over trips [from, to). Carries the fold's values, then where the trip's operands are and where those of the trip before it were,
// which is where the newest go.
static simt_flat *turn(turning *t, tg_value *from, tg_value *to, const simt_flat *init, bool full) {
  simt *s = t->s;
  tg_region *body = t->loop->regions[0];
  tg_op *loop = tg_build_for(&s->b, from, to, t->step, init->n, init->at);
  tg_builder outer = s->b;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  tg_value *i = loop->regions[0]->args[0], *const *args = loop->regions[0]->args + 1, *slot = args[init->n - 2], *free_ = args[init->n - 1];
  int known = s->nfull, slots = t->ring->slots;
  tg_value *block_full = s->block_full;
  s->block_full = NULL; // all that its trips touch has masks, or nothing has
  if (full) {
    memcpy(&s->full[known], t->full.at, sizeof t->full.at[0] * (size_t)t->full.n);
    s->nfull += t->full.n;
    if (block_full) {
      memcpy(&s->full[s->nfull], s->block_range, sizeof s->full[0] * (size_t)s->nblock_ranges);
      s->nfull += s->nblock_ranges;
    }
  }
  wait_for(s, slots - 2);
  simt_publish(s, t->ring->groups); // the trip's operands are there for all, and all are done with those of the trip before
  s->fresh = true;
  (full ? fetch : fetch_if_any)(t, ahead_of(t, i, slots - 1), free_);
  commit(s);
  simt_note_of(s, body->args[0])->scalar = i;
  simt_unflatten_all(s, &t->c, body->args + 1, args);
  point_stages(t, slot);
  simt_region(s, body);
  simt_flat *f = simt_flatten_all(s, t->loop, &t->c, body->last->in);
  tg_value *next = tg_build2(&s->b, TG_OP_ADD, slot, simt_int(s, TG_I32, t->ring->slot_bytes));
  tg_value *round = tg_build2(&s->b, TG_OP_EQ, next, simt_int(s, TG_I32, t->ring->slot_bytes * slots));
  f->at[f->n++] = tg_build3(&s->b, TG_OP_SELECT, round, simt_int(s, TG_I32, 0), next);
  f->at[f->n++] = slot;
  tg_build_yield(&s->b, f->n, f->at);
  s->nfull = known;
  s->block_full = block_full;
  s->b = outer;
  simt_flat *out = TG_NEW(s->arena, simt_flat);
  for (; out->n < init->n; out->n++) out->at[out->n] = loop->out[out->n];
  return out;
}

// Trips that need no masks, as far as what they fetch needs none either; then the others. Where full blocks and others go one way, the
// former are those of full blocks alone.
static simt_flat *turn_all(turning *t, simt_flat *values) {
  simt *s = t->s;
  tg_value *from = t->lb;
  const int known = s->nfull + t->full.n + (s->block_full ? s->nblock_ranges : 0);
  if (s->split && known <= (int)(sizeof s->full / sizeof s->full[0])) {
    tg_value *end = t->ub;
    if (!simt_trips_are_even(s, t->loop)) {
      tg_value *length = tg_build2(&s->b, TG_OP_SUB, t->ub, t->lb);
      end = tg_build2(&s->b, TG_OP_SUB, t->ub, tg_build2(&s->b, TG_OP_REM, length, simt_int(s, TG_I64, t->step)));
    }
    end = tg_build2(&s->b, TG_OP_SUB, end, simt_int(s, TG_I64, (t->ring->slots - 1) * t->step));
    if (s->block_full) end = tg_build3(&s->b, TG_OP_SELECT, s->block_full, end, from);
    values = turn(t, from, end, values, true);
    from = tg_build2(&s->b, TG_OP_MAX, from, end);
  }
  return turn(t, from, t->ub, values, false);
}

bool simt_ring_for(simt *s, tg_op *op) {
  if (!simt_has_ring(s, op)) return false;
  simt_ring *ring = ring_of(s, op);
  turning t = {.s = s, .ring = ring, .loop = op, .step = tg_attr_int(op, "step", 1), .full = {.s = s, .loop = op}};
  int64_t top = s->shared_top;
  simt_touches before = simt_order_save(s);
  simt_order_loop(s, op);
  if (s->split) simt_find_trip_ranges(&t.full);
  t.base = simt_take_shared(s, ring->slot_bytes * ring->slots);
  t.c = simt_carried_of(s, op, op->regions[0]->args + 1);
  t.lb = simt_scalar(s, op->in[0]), t.ub = simt_scalar(s, op->in[1]);
  simt_flat *values = simt_flatten_all(s, op, &t.c, op->in + 2);
  if (values->n + 2 > TG_MAX_RESULTS) simt_fail(s, op, "the carried tiles take too many registers of a thread; choose smaller tiles");
  values->at[values->n++] = simt_int(s, TG_I32, 0);
  values->at[values->n++] = simt_int(s, TG_I32, ring->slot_bytes * (ring->slots - 1));
  simt_barrier(s); // those who read what lay there before are done
  for (int k = 0; k < ring->slots - 1; k++) {
    fetch_if_any(&t, ahead_of(&t, t.lb, k), simt_int(s, TG_I32, k * ring->slot_bytes));
    commit(s);
  }
  values = turn_all(&t, values);
  wait_for(s, 0);
  simt_free_shared(s, top);
  simt_unflatten_all(s, &t.c, op->out, values->at);
  simt_order_merge(s, before);
  simt_order_loop(s, op);
  return true;
}
