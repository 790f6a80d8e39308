// PTX text as data: declarations, entries, instructions with their operands resolved to registers, variables and places in the code.
// Written from the PTX ISA, chapters 4 (syntax), 5 (state spaces, types) and 11 (directives). Knows no semantics: targets/sim/decode.c
// does.
#ifndef TG_PTX_H
#define TG_PTX_H

#include "ir/base.h"

// PTX_SHARED: of the block itself; PTX_CLUSTER: of any block of its cluster.
typedef enum ptx_space { PTX_GENERIC, PTX_GLOBAL, PTX_CONST, PTX_SHARED, PTX_LOCAL, PTX_PARAM, PTX_CLUSTER, PTX_NSPACES } ptx_space;

typedef enum ptx_type {
#define TYPE(name, bytes, cls) PTX_##name,
#include "targets/sim/types.def"
#undef TYPE
  PTX_NTYPES
} ptx_type;

typedef struct ptx_type_row {
  const char *name;
  uint8_t bytes; // in a register; of a predicate 0
  char cls;      // 'b' untyped bits, 'u', 's', 'f', 'p' predicate
} ptx_type_row;
extern const ptx_type_row ptx_types[PTX_NTYPES];
int ptx_type_find(const char *name); // -1 = none

typedef enum ptx_special {
#define SPECIAL(id, name, bytes) PTX_SPECIAL_##id,
#include "targets/sim/special.def"
#undef SPECIAL
  PTX_NSPECIALS
} ptx_special;

typedef struct ptx_var {
  const char *name;
  ptx_space space;
  uint32_t line, align;
  uint64_t bytes;
  bool sized;       // false: `name[]`, whose size the launch gives
  uint64_t offset;  // in its space: of a parameter in the parameter block, of .shared, .local, .global and .const in the module's memory
  const void *data; // initial content, `bytes` long; NULL = none
  ptx_type type;    // of an element
  char *memory;     // of .global and .const: the module's own
} ptx_var;

typedef enum ptx_kind {
  PTX_REG,     // reg; with pair >= 0 it is `p|q`
  PTX_SPECIAL, // special register: value is its ptx_special
  PTX_INT,     // value
  PTX_FLOAT,   // value: the bits of an f64; of 0f… too
  PTX_SYMBOL,  // address of var + value
  PTX_ADDRESS, // [reg + value], [var + value], [value]; items: the coordinates of a tensor
  PTX_VECTOR,  // items
  PTX_LABEL,   // value: index of the instruction; of a branch table: of ptx_entry.tables
  PTX_SINK     // _
} ptx_kind;

typedef struct ptx_operand ptx_operand;
struct ptx_operand {
  ptx_kind kind;
  bool negated; // !p
  int reg, pair;
  const ptx_var *var;
  int64_t value;
  int nitems;
  ptx_operand *items;
  const char *text; // of a name that is looked up when the entry ends
};

typedef struct ptx_reg {
  const char *prefix; // with the number in its family, "%r" 12
  int number;         // -1 = a name of its own
  ptx_type type;
} ptx_reg;

enum { PTX_MAX_MODS = 20, PTX_MAX_OPERANDS = 12 };
typedef struct ptx_instr {
  uint32_t line;
  int guard; // predicate register, -1 = none
  bool guard_negated;
  const char *mnemonic;
  int nmods;
  const char **mods; // "sync", "shared::cta", "v4", "b32"
  int noperands;
  ptx_operand *operands;
} ptx_instr;

typedef struct ptx_table { // of brx.idx
  int n;
  int *targets; // indices of instructions
} ptx_table;

typedef struct ptx_entry {
  const char *name;
  uint32_t line;
  int nparams, nvars, nregs, ninstrs, ntables;
  ptx_var **params, **vars; // vars: .shared and .local that the body declares
  ptx_reg *regs;
  ptx_instr *instrs;
  ptx_table *tables;
  uint64_t param_bytes;
  int maxntid[3], reqntid[3], cluster[3]; // 0 = not said; cluster: .reqnctapercluster
  int maxnreg, minnctapersm;              // likewise
} ptx_entry;

typedef struct ptx_module {
  const char *file, *target; // target: "sm_80"
  int version;               // 80 = 8.0
  int nvars, nentries;
  ptx_var **vars; // .global, .const, .shared of the module
  ptx_entry **entries;
} ptx_module;

// `file` names the text in messages. Throws TG_INVALID with a sentence and the line. Everything lives in the arena.
ptx_module *ptx_parse(tg_context *ctx, tg_arena *arena, const char *file, const char *text, size_t size);
// Throws TG_INVALID listing the entries there are.
const ptx_entry *ptx_entry_find(tg_context *ctx, const ptx_module *module, const char *name);
const char *ptx_reg_name(tg_arena *arena, const ptx_entry *entry, int reg);

#endif
