// An entry's text to compact instructions: the table of mnemonics, operands, constants.
#include "targets/sim/decode.h"

#include "targets/sim/block.h"
#include "targets/sim/number.h"

static const struct {
  const char *name;
  uint8_t cls;
  sim_decode_fn *decode;
} table[] = {
#define INSTR(name, cls, how) {name, SIM_CLASS_##cls, sim_decode_##how},
#include "targets/sim/instructions.def"
#undef INSTR
};
enum { NTABLE = sizeof table / sizeof *table };

const char *const sim_class_names[SIM_NCLASSES] = {
#define CLASS(id, name) name,
#include "targets/sim/classes.def"
#undef CLASS
};

static const int special_bytes[PTX_NSPECIALS] = {
#define SPECIAL(id, name, bytes) bytes,
#include "targets/sim/special.def"
#undef SPECIAL
};

// ---- words

static const char *spelled(sim_decoder *d) {
  tg_text text = {.arena = d->arena};
  tg_text_add(&text, "%s", d->in->mnemonic);
  for (int i = 0; i < d->in->nmods; i++) tg_text_add(&text, ".%s", d->in->mods[i]);
  return text.data;
}

void sim_bad(sim_decoder *d, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tg_throw(d->ctx, TG_INVALID, "%s:%u: '%.200s': %s", d->code->module->file, (unsigned)d->in->line, spelled(d), text);
}

bool sim_take(sim_decoder *d, const char *modifier) {
  for (int i = 0; i < d->in->nmods; i++)
    if (!(d->taken >> i & 1) && !strcmp(d->in->mods[i], modifier)) {
      d->taken |= 1u << i;
      return true;
    }
  return false;
}

bool sim_take_prefix(sim_decoder *d, const char *prefix, const char **whole) {
  for (int i = 0; i < d->in->nmods; i++)
    if (!(d->taken >> i & 1) && !strncmp(d->in->mods[i], prefix, strlen(prefix))) {
      d->taken |= 1u << i;
      if (whole) *whole = d->in->mods[i];
      return true;
    }
  return false;
}

int sim_take_type(sim_decoder *d) {
  for (int i = 0; i < d->in->nmods; i++) {
    const int type = d->taken >> i & 1 ? -1 : ptx_type_find(d->in->mods[i]);
    if (type < 0) continue;
    d->taken |= 1u << i;
    return type;
  }
  sim_bad(d, "a type is missing");
}

int sim_take_one(sim_decoder *d, const char *const *names, int n) {
  for (int k = 0; k < n; k++)
    if (sim_take(d, names[k])) return k;
  return -1;
}

void sim_take_rounding(sim_decoder *d) {
  static const char *const modes[] = {"rn", "rz", "rm", "rp", "rna"};
  const int mode = sim_take_one(d, modes, 5);
  d->out->mode = mode < 0 ? SIM_RN : (uint8_t)mode;
}

ptx_space sim_take_space(sim_decoder *d) {
  static const char *const names[] = {"global", "const", "shared", "local", "param", "shared::cta", "param::entry", "shared::cluster"};
  static const ptx_space spaces[] = {PTX_GLOBAL, PTX_CONST, PTX_SHARED, PTX_LOCAL, PTX_PARAM, PTX_SHARED, PTX_PARAM, PTX_CLUSTER};
  const int k = sim_take_one(d, names, 8);
  return k < 0 ? PTX_GENERIC : spaces[k];
}

// ---- operands

void sim_operands(sim_decoder *d, int least, int most) {
  if (d->in->noperands >= least && d->in->noperands <= most) return;
  if (least == most) sim_bad(d, "%d operands; %d are wanted", d->in->noperands, least);
  sim_bad(d, "%d operands; %d to %d are wanted", d->in->noperands, least, most);
}

const ptx_operand *sim_operand(const sim_decoder *d, int i) { return &d->in->operands[i]; }

static void add(sim_decoder *d, sim_arg arg) {
  if (d->nargs == SIM_MAX_ARGS) sim_bad(d, "more than %d registers", SIM_MAX_ARGS);
  d->args[d->nargs++] = arg;
}

static uint32_t place(sim_code *code, int bytes) {
  const uint32_t at = code->reg_bytes;
  code->reg_bytes += LANES * (uint32_t)bytes;
  return at;
}

static sim_arg constant(sim_decoder *d, uint64_t bits, int bytes) {
  if (bytes < 8) bits &= ((uint64_t)1 << (8 * bytes)) - 1;
  sim_constant **bucket = &d->constants[(bits ^ bits >> 29 ^ (uint64_t)bytes * 31) % 256];
  for (sim_constant *c = *bucket; c; c = c->next)
    if (c->bits == bits && c->arg.bytes == bytes) return c->arg;
  sim_constant *c = TG_NEW(d->arena, sim_constant);
  *c = (sim_constant){bits, {.bytes = (uint8_t)bytes}, *bucket}; // placed when all registers are
  c->arg.at = (uint32_t)d->nconstants;
  c->arg.negated = true; // marks it until then
  *bucket = c;
  d->all_constants = tg_arena_grow(d->arena, d->all_constants, (size_t)d->nconstants, sizeof c);
  d->all_constants[d->nconstants++] = c;
  return c->arg;
}

static sim_arg special(sim_decoder *d, int which) {
  sim_code *code = d->code;
  if (!code->special[which]) code->special[which] = place(code, special_bytes[which]);
  return (sim_arg){.at = code->special[which], .bytes = (uint8_t)special_bytes[which]};
}

static uint64_t address_of(const ptx_var *v) {
  const bool module = v->space == PTX_GLOBAL || v->space == PTX_CONST;
  return module ? (uint64_t)(uintptr_t)v->memory : v->offset;
}

static sim_arg reg_arg(sim_decoder *d, const ptx_operand *o, int bytes) {
  const ptx_reg *r = &d->entry->regs[o->reg];
  sim_arg a = d->regs[o->reg];
  const bool fits = bytes < 0 ? a.bytes > 0 : a.bytes == bytes;
  if (!fits)
    sim_bad(d, "%s is a .%s register, %s is wanted", ptx_reg_name(d->arena, d->entry, o->reg), ptx_types[r->type].name,
            bytes == 0  ? "a predicate"
            : bytes < 0 ? "one that is no predicate"
                        : tg_arena_printf(d->arena, "one of %d bits", 8 * bytes));
  a.negated = o->negated;
  if (o->negated && bytes) sim_bad(d, "'!' stands before a register that is no predicate");
  return a;
}

void sim_add_source(sim_decoder *d, const ptx_operand *o, int bytes) {
  switch (o->kind) {
  case PTX_REG: add(d, reg_arg(d, o, bytes)); return;
  case PTX_SPECIAL: {
    const sim_arg a = special(d, (int)o->value);
    if (bytes >= 0 && bytes != a.bytes) sim_bad(d, "a special register of %d bits, one of %d is wanted", 8 * a.bytes, 8 * bytes);
    add(d, a);
    return;
  }
  case PTX_INT:
    if (bytes == 0) { // predicate 1 holds everywhere
      add(d, (sim_arg){.at = 1, .negated = !o->value});
      return;
    }
    add(d, constant(d, (uint64_t)o->value, bytes < 0 || bytes > 8 ? 8 : bytes));
    return;
  case PTX_FLOAT:
    if (bytes != 4 && bytes != 8) sim_bad(d, "a float where %d bits are wanted", 8 * bytes);
    add(d, constant(d, bytes == 8 ? (uint64_t)o->value : sim_f32_bits((float)sim_f64((uint64_t)o->value)), bytes));
    return;
  case PTX_SYMBOL:
    if (bytes != 4 && bytes != 8) sim_bad(d, "an address where %d bits are wanted", 8 * bytes);
    add(d, constant(d, address_of(o->var) + (uint64_t)o->value, bytes));
    return;
  default: sim_bad(d, "an operand is none of register, number or variable");
  }
}

void sim_add_result(sim_decoder *d, const ptx_operand *o, int bytes) {
  if (o->kind == PTX_SINK || (o->kind == PTX_REG && o->reg < 0)) {
    sim_arg a = bytes == 0 ? d->sink_pred : d->sink;
    a.bytes = (uint8_t)(bytes < 0 ? 8 : bytes);
    a.halves = (uint8_t)(a.bytes > 2 ? a.bytes / 2 : 1);
    add(d, a);
  } else if (o->kind == PTX_REG && !o->negated) {
    add(d, reg_arg(d, o, bytes));
  } else {
    sim_bad(d, "a result must be a register");
  }
  d->out->nouts = (uint16_t)d->nargs;
}

void sim_add_vector(sim_decoder *d, const ptx_operand *o, int n, int bytes, bool result) {
  const bool vector = o->kind == PTX_VECTOR;
  if ((vector ? o->nitems : 1) != n) sim_bad(d, "%d registers in an operand, %d are wanted", vector ? o->nitems : 1, n);
  for (int i = 0; i < n; i++) {
    const ptx_operand *item = vector ? &o->items[i] : o;
    if (result) sim_add_result(d, item, bytes);
    else sim_add_source(d, item, bytes);
  }
}

void sim_add_address(sim_decoder *d, const ptx_operand *o) {
  if (o->kind != PTX_ADDRESS) sim_bad(d, "an address in brackets is wanted");
  if (o->reg >= 0) {
    sim_add_source(d, &(ptx_operand){.kind = PTX_REG, .reg = o->reg}, -1);
    d->out->offset = o->value;
  } else {
    add(d, constant(d, (o->var ? address_of(o->var) : 0) + (uint64_t)o->value, 8));
  }
}

void sim_add_far_address(sim_decoder *d, const ptx_operand *o) {
  const int64_t before = d->out->offset;
  d->out->offset = 0;
  sim_add_address(d, o);
  add(d, constant(d, (uint64_t)d->out->offset, 8));
  d->out->offset = before;
}

void sim_add_carry(sim_decoder *d, bool result) {
  add(d, d->carry);
  if (result) d->out->nouts = (uint16_t)d->nargs;
}

int64_t sim_immediate(sim_decoder *d, const ptx_operand *o) {
  if (o->kind != PTX_INT) sim_bad(d, "a number in the text is wanted, no register");
  return o->value;
}

// ---- functions

void sim_set_op(sim_decoder *d, sim_op_fn *run, sim_flow flow) {
  d->out->run.op = run;
  d->out->flow = (uint8_t)flow;
}

// ---- entries

static void place_registers(sim_decoder *d) {
  const ptx_entry *e = d->entry;
  sim_code *code = d->code;
  d->regs = TG_NEWN(d->arena, sim_arg, e->nregs + 1);
  code->npreds = 2; // 0: sink, 1: true
  code->nvalid = 8; // of the sink
  for (int i = 0; i < e->nregs; i++) {
    const int bytes = ptx_types[e->regs[i].type].bytes;
    if (code->reg_bytes > UINT32_MAX / 4) sim_bad(d, "too many registers");
    const int halves = bytes > 2 ? bytes / 2 : 1;
    d->regs[i] = (sim_arg){bytes ? place(code, bytes) : code->npreds++, code->nvalid, (uint8_t)halves, (uint8_t)bytes, false};
    code->nvalid += (uint32_t)halves;
  }
  d->carry = (sim_arg){code->npreds++, code->nvalid++, 1, 0, false};
  d->sink = (sim_arg){.at = place(code, 16)};
  d->sink_pred = (sim_arg){.halves = 1};
}

static void place_constants(sim_decoder *d) {
  sim_code *code = d->code;
  code->constants_at = code->reg_bytes;
  for (int i = 0; i < d->nconstants; i++) d->all_constants[i]->arg.at = place(code, d->all_constants[i]->arg.bytes);
  code->constants_bytes = code->reg_bytes - code->constants_at;
  code->constants = tg_arena_alloc(d->arena, code->constants_bytes + 1);
  for (int i = 0; i < d->nconstants; i++) {
    const sim_constant *c = d->all_constants[i];
    for (int l = 0; l < LANES; l++) memcpy(code->constants + c->arg.at - code->constants_at + l * c->arg.bytes, &c->bits, c->arg.bytes);
  }
  for (int i = 0; i < code->ninstrs; i++)
    for (int k = 0; k < code->instrs[i].nargs; k++) {
      sim_arg *a = (sim_arg *)(uintptr_t)&code->instrs[i].args[k];
      if (!a->halves && a->negated && a->bytes) a->at = d->all_constants[a->at]->arg.at, a->negated = false;
    }
}

static void decode_one(sim_decoder *d, const ptx_instr *in, sim_instr *out) {
  d->in = in, d->out = out, d->taken = 0, d->nargs = 0;
  *out = (sim_instr){.guard = -1, .line = in->line, .source = in, .target = -1};
  int row = 0;
  while (row < NTABLE && strcmp(table[row].name, in->mnemonic)) row++;
  if (row == NTABLE) sim_bad(d, "the simulator does not know this instruction");
  out->cls = table[row].cls;
  if (in->guard >= 0) {
    out->guard = (int32_t)d->regs[in->guard].at, out->guard_valid = d->regs[in->guard].valid;
    out->guard_negated = in->guard_negated;
  }
  table[row].decode(d);
  for (int i = 0; i < in->nmods; i++)
    if (!(d->taken >> i & 1)) sim_bad(d, "the simulator does not know '.%s' here", in->mods[i]);
  out->nargs = (uint16_t)d->nargs;
  sim_arg *args = TG_NEWN(d->arena, sim_arg, d->nargs + 1);
  memcpy(args, d->args, sizeof *args * (size_t)d->nargs);
  out->args = args;
}

// Static shared memory of the module and of the entry; local memory of a thread.
static void measure_memory(sim_code *code) {
  for (int pass = 0; pass < 2; pass++) {
    const int n = pass ? code->entry->nvars : code->module->nvars;
    ptx_var *const *vars = pass ? code->entry->vars : code->module->vars;
    for (int i = 0; i < n; i++) {
      uint64_t *most = vars[i]->space == PTX_SHARED ? &code->shared_bytes : vars[i]->space == PTX_LOCAL ? &code->local_bytes : NULL;
      if (most && vars[i]->sized && vars[i]->offset + vars[i]->bytes > *most) *most = vars[i]->offset + vars[i]->bytes;
    }
  }
  // Dynamic shared memory begins behind all that is static, at its own alignment.
  uint64_t align = 16;
  for (int i = 0; i < code->module->nvars; i++)
    if (!code->module->vars[i]->sized && code->module->vars[i]->align > align) align = code->module->vars[i]->align;
  bool dynamic = false;
  for (int i = 0; i < code->module->nvars; i++) dynamic |= code->module->vars[i]->space == PTX_SHARED && !code->module->vars[i]->sized;
  if (dynamic) code->shared_bytes = (code->shared_bytes + align - 1) / align * align;
  for (int i = 0; i < code->module->nvars; i++)
    if (code->module->vars[i]->space == PTX_SHARED && !code->module->vars[i]->sized) code->module->vars[i]->offset = code->shared_bytes;
}

// Of a state space, or of no named one: what its accesses have in common, at most 16 bytes.
static uint32_t smallest_piece(const sim_code *code, ptx_space space) {
  uint32_t shift = 4;
  for (int i = 0; i < code->ninstrs; i++) {
    const sim_instr *in = &code->instrs[i];
    const bool bulk = in->cls == SIM_CLASS_ASYNC && in->bytes == 16; // `items` counts coordinates
    const uint32_t bytes = (uint32_t)in->bytes * (in->items && !bulk ? in->items : 1);
    const bool shared = space == PTX_SHARED && in->space == PTX_CLUSTER;
    const bool may = in->memory && (in->space == space || shared || in->space == PTX_GENERIC || in->cls == SIM_CLASS_ASYNC);
    while (may && bytes % (1u << shift)) shift--;
  }
  return shift;
}

sim_code *sim_decode(tg_context *ctx, tg_arena *arena, const ptx_module *module, const ptx_entry *entry) {
  sim_decoder *d = TG_NEW(arena, sim_decoder);
  sim_code *code = TG_NEW(arena, sim_code);
  static const ptx_instr last = {.guard = -1, .mnemonic = "exit"};
  *d = (sim_decoder){.ctx = ctx, .arena = arena, .code = code, .entry = entry, .lanes = sim_lanes_here(), .in = &last};
  code->module = module, code->entry = entry;
  code->reg_bytes = 32; // place 0 says that a special register is not used
  measure_memory(code);
  place_registers(d);
  code->instrs = TG_NEWN(arena, sim_instr, entry->ninstrs + 1);
  code->ninstrs = entry->ninstrs + 1;
  for (int i = 0; i < entry->ninstrs; i++) decode_one(d, &entry->instrs[i], &code->instrs[i]);
  decode_one(d, &last, &code->instrs[entry->ninstrs]);
  place_constants(d);
  sim_mark_products(code, arena);
  code->shared_shift = smallest_piece(code, PTX_SHARED);
  code->global_shift = smallest_piece(code, PTX_GLOBAL);
  return code;
}
