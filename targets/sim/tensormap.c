// Tensor maps that the code makes by itself: tensormap.replace in shared or global memory, tensormap.cp_fenceproxy from the one to the
// other (ISA 9.7.9.27, 9.7.13.8). 128 zero bytes are a map of which nothing is said yet.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

static void replace(sim_warp *w, const sim_instr *in, uint32_t active) {
  for (int i = 0; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    const uint64_t address = sim_address(w, in, in->args, l);
    sim_place place, half;
    if (!sim_resolve(w, l, (ptx_space)in->space, address, 64, true, &place) ||
        !sim_resolve(w, l, (ptx_space)in->space, address + 64, 64, true, &half))
      continue;
    sim_touch_place(w, l, &place, SIM_MAP_BYTES, SIM_READ, true, true);
    sim_touch_place(w, l, &place, SIM_MAP_BYTES, SIM_WRITE, true, false);
    const char *why = sim_tensor_replace(place.memory, (sim_tensor_field)in->select, (int)in->imm, sim_get(w, &in->args[1], l));
    if (why) sim_report(w, l, SIM_FAULT_TENSOR, "%s", why);
  }
}

// tensormap.replace.tile.FIELD[.ss].b1024.type [map], [dimension,] value
static void decode_replace(sim_decoder *d) {
  static const char *const fields[] = {"global_address", "rank",     "box_dim",           "global_dim",   "global_stride",
                                       "element_stride", "elemtype", "interleave_layout", "swizzle_mode", "fill_mode"};
  sim_instr *out = d->out;
  if (!sim_take(d, "tile")) sim_bad(d, "only .tile is known");
  const int field = sim_take_one(d, fields, 10);
  if (field < 0) sim_bad(d, "the simulator does not know this field");
  out->select = (uint8_t)field;
  out->space = (uint8_t)sim_take_space(d);
  const bool whole = sim_take(d, "b1024"), many = field >= SIM_TENSOR_BOX && field <= SIM_TENSOR_STEP;
  const int type = sim_take_type(d);
  if (!whole || type != (field == SIM_TENSOR_ADDRESS || field == SIM_TENSOR_STRIDE ? PTX_b64 : PTX_b32))
    sim_bad(d, "its types are .b1024 and .b32 or .b64");
  sim_operands(d, 2 + many, 2 + many);
  sim_add_address(d, sim_operand(d, 0));
  if (many) out->imm = sim_immediate(d, sim_operand(d, 1));
  if (many && (out->imm < 0 || out->imm > 4)) sim_bad(d, "a dimension from 0 to 4 is wanted");
  sim_add_source(d, sim_operand(d, 1 + many), ptx_types[type].bytes);
  out->bytes = 16, out->items = 1, out->memory = true;
  sim_set_op(d, replace, SIM_OP);
}

// The lanes copy it together.
static void copy(sim_warp *w, const sim_instr *in, uint32_t active) {
  const int l = __builtin_ctz(active);
  for (int i = 0; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  const uint64_t to = sim_get(w, &in->args[0], l) + sim_get(w, &in->args[1], l),
                 from = sim_get(w, &in->args[2], l) + sim_get(w, &in->args[3], l);
  sim_place place, source;
  if (to % SIM_MAP_BYTES || from % SIM_MAP_BYTES) {
    sim_report(w, l, SIM_FAULT_MISALIGNED, "a tensor map is copied at multiples of 128 bytes");
    return;
  }
  if (!sim_resolve_global(w, l, to, SIM_MAP_BYTES, true, &place) || !sim_resolve(w, l, PTX_SHARED, from, 64, false, &source)) return;
  if (source.block->shared_bytes - source.offset < SIM_MAP_BYTES) {
    sim_report(w, l, SIM_FAULT_OUT_OF_BOUNDS, "it reads 128 bytes at byte %llu of the shared memory", (unsigned long long)source.offset);
    return;
  }
  sim_touch_place(w, l, &source, SIM_MAP_BYTES, SIM_READ, true, true);
  sim_touch_place(w, l, &place, SIM_MAP_BYTES, SIM_WRITE, true, false);
  memcpy(place.memory, source.memory, SIM_MAP_BYTES);
}

// tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.scope.sync.aligned [to], [from], 128
static void decode_copy(sim_decoder *d) {
  static const char *const words[] = {"global", "shared::cta", "tensormap::generic", "release", "cta", "cluster", "gpu", "sys",
                                      "sync",   "aligned"};
  while (sim_take_one(d, words, 10) >= 0) {
  }
  sim_operands(d, 3, 3);
  if (sim_immediate(d, sim_operand(d, 2)) != SIM_MAP_BYTES) sim_bad(d, "128 bytes are copied");
  sim_add_far_address(d, sim_operand(d, 0));
  sim_add_far_address(d, sim_operand(d, 1));
  d->out->bytes = 16, d->out->items = 1, d->out->memory = true;
  sim_set_op(d, copy, SIM_TOGETHER);
}

void sim_decode_tensormap(sim_decoder *d) {
  if (sim_take(d, "replace")) decode_replace(d);
  else if (sim_take(d, "cp_fenceproxy")) decode_copy(d);
  else sim_bad(d, "the simulator does not know this operation");
}
