// Blocks resident on a multiprocessor.
//
// NVIDIA, cuda_occupancy.h (CUDA 13.0): registers are given to warps in units of 256, from one of four register files, which warps of a
// block are dealt to in turns; shared memory is given in units of 128 bytes, with what the system takes of each block. So from compute
// capability 8.0 to 12.0.
#include "targets/occupancy.h"

enum { REGISTER_UNIT = 256, REGISTER_FILES = 4, SHARED_UNIT = 128 };

static int64_t rounded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

static int warp_of(const tg_machine *machine) { return machine->warp > 0 ? (int)machine->warp : 32; }

// Blocks by registers; 0: a block asks for more than there are.
static int by_registers(const tg_machine *machine, int warps, int registers) {
  const int64_t each = rounded((int64_t)registers * warp_of(machine), REGISTER_UNIT), all = (int64_t)machine->registers_sm;
  if (each * rounded(warps, REGISTER_FILES) > all) return 0;
  return (int)(all / REGISTER_FILES / each * REGISTER_FILES / warps);
}

bool tg_occupancy_of(const tg_machine *machine, int threads, int registers, int64_t shared_bytes, tg_occupancy *out) {
  *out = (tg_occupancy){.limiter = ""};
  if (machine->warps_sm <= 0 || machine->blocks_sm <= 0 || threads < 1) return false;
  const int warps = (threads + warp_of(machine) - 1) / warp_of(machine);
  const int64_t shared = rounded(shared_bytes + (int64_t)machine->shared_reserved, SHARED_UNIT);
  const struct {
    const char *name;
    int64_t blocks;
  } limits[] = {{"warps", (int64_t)machine->warps_sm / warps},
                {"blocks", (int64_t)machine->blocks_sm},
                {"registers", registers > 0 && machine->registers_sm > 0 ? by_registers(machine, warps, registers) : INT32_MAX},
                {"shared memory", machine->shared_sm > 0 && shared > 0 ? (int64_t)machine->shared_sm / shared : INT32_MAX}};
  out->blocks = INT32_MAX;
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    if (limits[i].blocks >= out->blocks) continue;
    out->blocks = (int)limits[i].blocks;
    out->limiter = limits[i].name;
  }
  out->warps = out->blocks * warps;
  out->most_warps = (int)machine->warps_sm;
  return true;
}

const char *tg_launch_misfit(tg_arena *arena, const tg_machine *machine, const tg_record_launch *launch) {
  const int64_t threads = (int64_t)launch->block[0] * launch->block[1] * launch->block[2];
  const int64_t shared = launch->shared_bytes + launch->static_shared_bytes;
  tg_occupancy occupancy;
  if (machine->max_threads > 0 && threads > machine->max_threads)
    return tg_arena_printf(arena, "%s: blocks of %lld threads, and %s has %.0f at most", launch->entry, (long long)threads, machine->name,
                           machine->max_threads);
  if (machine->shared_bytes > 0 && shared > machine->shared_bytes)
    return tg_arena_printf(arena, "%s: %lld bytes of shared memory a block, and %s has %.0f at most", launch->entry, (long long)shared,
                           machine->name, machine->shared_bytes);
  if (tg_occupancy_of(machine, (int)threads, launch->registers, shared, &occupancy) && occupancy.blocks == 0) {
    const char *registers = launch->registers > 0 ? tg_arena_printf(arena, " of %d registers", launch->registers) : "";
    return tg_arena_printf(arena, "%s: not one block fits a multiprocessor of %s: %lld threads%s, %lld bytes of shared memory",
                           launch->entry, machine->name, (long long)threads, registers, (long long)shared);
  }
  return NULL;
}
