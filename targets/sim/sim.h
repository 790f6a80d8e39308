// The functional PTX simulator: entries decoded into compact instructions, blocks executed warp by warp, all 32 lanes of an instruction at
// once. Registers of a warp are a struct of arrays: 32 lanes of each register lie side by side.
#ifndef TG_SIM_H
#define TG_SIM_H

#include <stdatomic.h>

#include "targets/sim/ptx.h"

enum { LANES = 32, MAX_WARPS = 32, MAX_BARRIERS = 16, MAX_CLUSTER = 16 };

// ---- code

typedef enum sim_class { // what the counts tell apart
#define CLASS(id, name) SIM_CLASS_##id,
#include "targets/sim/classes.def"
#undef CLASS
  SIM_NCLASSES
} sim_class;
extern const char *const sim_class_names[SIM_NCLASSES];

typedef enum sim_flow { // what the run loop does with it
  SIM_LANE,             // a function of its operands, lane by lane
  SIM_OP,               // everything else that goes on to the next instruction
  SIM_TOGETHER,         // SIM_OP of lanes that have to be there together
  SIM_BRANCH,
  SIM_TABLE_BRANCH,
  SIM_EXIT,
  SIM_BARRIER,
  SIM_PHASE_WAIT,   // for an mbarrier
  SIM_CLUSTER_WAIT, // for the barrier of the cluster
  SIM_REGISTERS     // setmaxnreg, which may wait for registers
} sim_flow;

typedef struct sim_arg {
  uint32_t at;    // place of its 32 lanes in the warp's registers, in bytes; of a predicate its number
  uint32_t valid; // number of the first of its masks of lanes that have a value, one for each 16 bits
  uint8_t halves; // how many masks; 0: it always has a value
  uint8_t bytes;  // of a lane; 0: a predicate
  bool negated;   // of a predicate
} sim_arg;

typedef struct sim_warp sim_warp;
typedef struct sim_block sim_block;
typedef struct sim_instr sim_instr;
typedef void sim_lane_fn(char *regs, uint32_t *preds, const sim_instr *in, uint32_t active);
typedef void sim_op_fn(sim_warp *w, const sim_instr *in, uint32_t active);

struct sim_instr {
  union {
    sim_lane_fn *lane;
    sim_op_fn *op;
  } run;
  sim_lane_fn *inner; // under another rounding mode
  uint8_t flow, cls;
  bool guard_negated;
  int32_t guard;         // predicate, -1 = none
  uint32_t guard_valid;  // its mask
  uint16_t nouts, nargs; // args: results first
  const sim_arg *args;
  int target;                  // of a branch; table; of SIM_TOGETHER the operand with the lanes that take part, -1 = all that live
  uint8_t space, bytes, items; // of memory: bytes of an element, elements
  uint8_t type, from;          // ptx_type; of a cvt its source
  uint8_t mode, select;        // rounding; what the op is, by its own enum
  uint8_t parts;               // sim_parts: which parts of the results have values
  bool memory;                 // it touches `items` elements of `bytes`
  bool ftz, sat, relu, packed, negated, weak; // weak: an access that others' atomics race with
  bool acquire, release;                      // of memory and barriers
  bool product, own; // it writes registers that products have as accumulators or as A; it looks after such registers itself
  bool satfinite;
  int64_t offset, imm; // of an address; an immediate, or the second address's
  uint32_t line;
  const ptx_instr *source;
};

// Results have values where all operands have, or 16 bits by 16 bits: moved, chosen by a predicate, of pairs each by itself.
typedef enum sim_parts { SIM_WHOLE, SIM_MOVED, SIM_CHOSEN, SIM_HALVES, SIM_PAIRED } sim_parts;
enum { SIM_RN, SIM_RZ, SIM_RM, SIM_RP, SIM_RNA };

typedef struct sim_code {
  const ptx_module *module;
  const ptx_entry *entry;
  int ninstrs;
  sim_instr *instrs; // the last one is an exit of its own
  uint32_t reg_bytes, npreds, nvalid;
  uint32_t special[PTX_NSPECIALS]; // places; 0 = not used
  uint32_t constants_at, constants_bytes;
  char *constants; // 32 lanes of each
  uint64_t shared_bytes, local_bytes;
  uint32_t shared_shift, global_shift; // log2 of the smallest piece of memory that an instruction touches
  bool products;                       // it has wgmma
} sim_code;

// Parses a text and gives its .global and .const variables memory, filled with what the text says, else zeros.
ptx_module *sim_load(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t size);
// Decodes an entry; throws TG_INVALID naming the line and what of it is not known.
sim_code *sim_decode(tg_context *ctx, tg_arena *arena, const ptx_module *module, const ptx_entry *entry);

// ---- tensor maps: 128 bytes that a launch passes by value, opaque to the code (ISA 5.5.8; limits: CUDA driver API,
// cuTensorMapEncodeTiled)

enum { SIM_MAP_BYTES = 128 };
typedef struct sim_tensor { // innermost dimension first
  char *base;
  uint8_t type;             // ptx_type of an element: b8 b16 u32 s32 u64 s64 f16 bf16 f32 f64 tf32 …
  uint8_t rank;             // 1 … 5
  uint8_t swizzle;          // bytes: 0, 32, 64, 128
  bool nan_fill;            // what lies outside is NaN; else zero
  uint64_t dims[5];         // elements
  uint64_t strides[5];      // bytes; strides[0] is not used
  uint32_t box[5], step[5]; // elements of a box, of which every step-th is taken
} sim_tensor;
bool sim_tensor_type(int dtype, sim_tensor *tensor); // its element type from a tg_dtype; false: it has none of 8 to 64 bits
// NULL, or what is wrong with it.
const char *sim_tensor_encode(const sim_tensor *tensor, char map[SIM_MAP_BYTES]);
// One field anew, by the numbers of ISA 9.7.9.27; `dimension` of those that each has. NULL, or why it cannot be.
typedef enum sim_tensor_field {
  SIM_TENSOR_ADDRESS,
  SIM_TENSOR_RANK,
  SIM_TENSOR_BOX,
  SIM_TENSOR_DIM,
  SIM_TENSOR_STRIDE,
  SIM_TENSOR_STEP,
  SIM_TENSOR_TYPE,
  SIM_TENSOR_INTERLEAVE,
  SIM_TENSOR_SWIZZLE,
  SIM_TENSOR_FILL
} sim_tensor_field;
const char *sim_tensor_replace(char map[SIM_MAP_BYTES], sim_tensor_field field, int dimension, uint64_t value);
bool sim_tensor_decode(const char map[SIM_MAP_BYTES], sim_tensor *tensor); // false: these bytes are no map, or were changed

// ---- launches

typedef struct sim_touch { // who touched a grain of global memory: block + 1, with the high bit for atomic accesses; 0 = nobody
  _Atomic uint32_t writer, reader;
} sim_touch;

enum { SIM_TOUCH_PAGE = 1 << 14 };
typedef struct sim_buffer { // global memory that a launch may touch
  const char *name;
  char *base;
  uint64_t bytes;
  bool read_only;
  uint8_t *written;              // a bit for each byte: has it a value? NULL: all of them have
  _Atomic(sim_touch *) *touches; // pages of SIM_TOUCH_PAGE pieces of sim_code.global_shift, NULL until touched; NULL: not watched
} sim_buffer;

typedef enum sim_fault {
#define FAULT(id, name, doc) SIM_FAULT_##id,
#include "targets/sim/faults.def"
#undef FAULT
  SIM_NFAULTS
} sim_fault;

extern const char *const sim_fault_names[SIM_NFAULTS];

typedef struct sim_finding { // all occurrences of one fault at one instruction
  sim_fault fault;
  int pc;
  uint64_t count;
  char text[480]; // of the first
} sim_finding;

typedef struct sim_counts {
  uint64_t instrs[SIM_NCLASSES];                             // issued to a warp
  uint64_t shared_accesses, shared_wavefronts, shared_ideal; // wavefronts beyond the ideal are bank conflicts
} sim_counts;

enum { SIM_MAX_FINDINGS = 64 };
typedef struct sim_result {
  sim_counts counts;
  int nfindings;
  bool more; // findings beyond those kept
  sim_finding findings[SIM_MAX_FINDINGS];
} sim_result;

typedef struct sim_launch {
  const sim_code *code;
  uint32_t grid[3], block[3], cluster[3]; // cluster 0: what the entry says, else single blocks
  const char *params;                     // entry->param_bytes
  uint64_t dynamic_shared, max_shared;
  int nbuffers;
  sim_buffer *buffers;
  int threads;        // of the host; 0 = all
  uint64_t max_steps; // instructions of a warp, after which it is given up
} sim_launch;

// Appends the module's own variables to an array with room for module->nvars more.
void sim_add_variables(const ptx_module *module, sim_launch *launch);
// Executes every block. Findings do not end it, unless a block cannot go on. Throws TG_INVALID for a launch that no GPU would take.
void sim_run(tg_context *ctx, const sim_launch *launch, sim_result *result);
// Sentences of the findings, one a line, at most `most`.
const char *sim_findings_text(tg_arena *arena, const sim_code *code, const sim_result *result, int most);

#endif
