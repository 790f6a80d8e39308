// Inside of the llvm emitter: its state, the table of op emitters, and the helpers that all of its files share.
//
// A value of the lane IR is an LLVM value kept in tg_value.note. Scalars (rank 0) are LLVM scalars, short vectors (rank 1) are LLVM vectors
// of the same length, whatever it is: LLVM legalises. Element types:
//   i1 is i1 (one byte in memory), i8 i32 i64 f32 f64 are themselves;
//   f16 bf16 are i16 and e4m3 e4m3fnuz e5m2 e8m0 e2m1 are i8 (e2m1: one code in the low nibble; two a byte in memory): their bits, on which
//   arithmetic is done in f32 or f64 and rounded once (llvm_cast.c). So LLVM never sees an operation that it would turn into a library
//   call.
#ifndef TG_LLVM_H
#define TG_LLVM_H

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/codegen.h"

typedef struct tg_llvm tg_llvm;
struct tg_llvm_least;
typedef void tg_llvm_emit_fn(tg_llvm *e, tg_op *op); // emits one op: sets the notes of its results
typedef struct tg_llvm_row {
  int code; // tg_opcode
  tg_llvm_emit_fn *emit;
} tg_llvm_row;

// What a family of targets does in its own way.
typedef struct tg_llvm_family {
  const char *name;
  unsigned address_space[4];  // by tg_space
  void (*initialise)(void);   // LLVM's target, called once per process
  void (*module)(tg_llvm *e); // after the module is made, before any launch; may be NULL
  void (*launch)(tg_llvm *e); // makes the functions of e->launch and emits its body (tg_llvm_region)
  bool plain_addresses;       // no loop strength reduction
  // tg_llvm_float_least by an instruction, on f32 or vectors of it; NULL: by comparisons.
  LLVMValueRef (*least)(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, struct tg_llvm_least how);
  const tg_llvm_row *rows; // looked up before the common tables; ends with emit NULL
  const tg_llvm_row *more; // likewise; may be NULL
  const char *passes;      // default pass pipeline
  // Those of LLVM's intrinsics that the back end is known to select, ends with NULL; a name that ends in '.' stands for all that begin so.
  // NULL: every one. On what it cannot select LLVM ends the process ("Cannot select"), so that others are refused before it sees them.
  const char *const *intrinsics;
} tg_llvm_family;
extern const tg_llvm_family tg_llvm_cpu, tg_llvm_nvptx;
// A line of PTX with its operands; what the machine does in order keeps its place, and warps stay together.
LLVMValueRef tg_llvm_ptx(tg_llvm *e, const char *text, const char *constraints, LLVMTypeRef result, int n, LLVMValueRef *args);
// The same of text that reads and writes nothing but its operands, which may be left out, moved and made once for equals.
LLVMValueRef tg_llvm_pure_ptx(tg_llvm *e, const char *text, const char *constraints, LLVMTypeRef result, int n, LLVMValueRef *args);

struct tg_llvm {
  tg_context *ctx;
  tg_arena *arena;
  tg_kernel *kernel;
  tg_launch *launch; // at work
  tg_op *op;         // at work, for messages
  const tg_llvm_options *options;
  const tg_llvm_family *family;
  tg_llvm_emit_fn *const *table; // TG_NOPCODES entries
  LLVMContextRef context;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMTargetMachineRef target;
  LLVMValueRef function;                                           // being filled
  LLVMTypeRef none, i1, i8, i16, i32, i64, half, f32, f64, ptr[4]; // ptr by tg_space
  bool fma, f16c, bf16_dot, rounding; // native: fused multiply-add, f16 <-> f32 conversion, dots of bf16 pairs, floor and relatives
  bool byte_table;                    // 64 bytes can be looked up in a table of 128 at once
  LLVMMetadataRef unroll_disable, empty_node;
  bool *pairs;     // cpu: of the operands and results of casts, by value id; see llvm_pairs.c
  bool in_pairs;   // the f32 side of the cast being emitted is
  bool *short_nan; // cpu: of casts from f32, by their result's id, and of splats that are to be made so; see llvm_known.c
  bool in_short;   // mark of the cast being emitted
  // cpu: of the function being filled
  LLVMValueRef scratch, hooks;
  LLVMValueRef coordinate[4];
  LLVMMemoryBufferRef buffer; // code, and
  char *text;                 // text on its way to the arena; LLVM's
  char *diagnostic;           // LLVM's own words on an error; from the C library's allocator
};

// ---- llvm.c
_Noreturn void tg_llvm_fail(tg_llvm *e, const char *format, ...) __attribute__((format(printf, 2, 3))); // names the op and its Lua line
void tg_llvm_region(tg_llvm *e, tg_region *region); // emits its ops at the builder; stops before `yield`
// The `yield` that ends a region (the op itself is not emitted by tg_llvm_region).
static inline tg_op *tg_llvm_yield(const tg_region *region) { return region->last; }

// ---- types and small things (llvm_build.c)
static inline LLVMValueRef tg_llvm_in(const tg_op *op, int i) { return (LLVMValueRef)op->in[i]->note; }
static inline void tg_llvm_set(tg_op *op, LLVMValueRef v) { op->out[0]->note = v; }
LLVMTypeRef tg_llvm_type(tg_llvm *e, tg_type type);               // of a value
LLVMTypeRef tg_llvm_element(tg_llvm *e, int dtype);               // of one element of it
LLVMTypeRef tg_llvm_like(LLVMTypeRef shape, LLVMTypeRef element); // element, or a vector of it as long as `shape` (scalar or vector)
LLVMTypeRef tg_llvm_like_value(LLVMValueRef shape, LLVMTypeRef element);
unsigned tg_llvm_lanes(LLVMTypeRef type);                   // 0 for scalars
LLVMValueRef tg_llvm_int(LLVMTypeRef type, int64_t value);  // every element; type is an integer or a vector of them
LLVMValueRef tg_llvm_float(LLVMTypeRef type, double value); // every element
LLVMValueRef tg_llvm_splat(tg_llvm *e, LLVMValueRef scalar, unsigned n);
LLVMValueRef tg_llvm_shuffle(tg_llvm *e, LLVMValueRef a, LLVMValueRef b, unsigned n, const int *mask); // -1 = unspecified
LLVMValueRef tg_llvm_bitcast(tg_llvm *e, LLVMValueRef v, LLVMTypeRef element);                         // same shape
// Call of an intrinsic by its base name, overloaded on `types`.
LLVMValueRef tg_llvm_intrinsic(tg_llvm *e, const char *name, int ntypes, LLVMTypeRef *types, int n, LLVMValueRef *args);
LLVMValueRef tg_llvm_intrinsic1(tg_llvm *e, const char *name, LLVMValueRef x);                               // overloaded on x's type
LLVMValueRef tg_llvm_intrinsic2(tg_llvm *e, const char *name, LLVMValueRef x, LLVMValueRef y);               // overloaded on x's type
void tg_llvm_attribute(tg_llvm *e, LLVMValueRef function, unsigned index, const char *name, uint64_t value); // enum attribute
void tg_llvm_string_attribute(tg_llvm *e, LLVMValueRef function, const char *key, const char *value);
LLVMBasicBlockRef tg_llvm_block(tg_llvm *e, const char *name); // appended to the function being filled
// A private constant string; its address.
LLVMValueRef tg_llvm_text(tg_llvm *e, const char *text);

// ---- element conversions (llvm_cast.c); values are in the representation above
bool tg_llvm_is_narrow(int dtype);                                     // kept as bits: f16, bf16 and the formats below
LLVMValueRef tg_llvm_to_f32(tg_llvm *e, int dtype, LLVMValueRef bits); // narrow to f32, exact
LLVMValueRef tg_llvm_from_f32(tg_llvm *e, int dtype, LLVMValueRef x, tg_round_mode mode);

LLVMValueRef tg_llvm_cast(tg_llvm *e, int from, int to, LLVMValueRef x, tg_round_mode mode);

// ---- the order in which elements are held (llvm_pairs.c)
void tg_llvm_find_pairs(tg_llvm *e); // of e->launch

// ---- memory (llvm_memory.c); alignment and hints from the attributes of `op`
LLVMValueRef tg_llvm_load(tg_llvm *e, tg_type type, LLVMValueRef pointer, const tg_op *op);
void tg_llvm_atomic(tg_llvm *e, tg_op *op, LLVMValueRef pointer, const char *order); // of an atomicl
void tg_llvm_store(tg_llvm *e, tg_type type, LLVMValueRef v, LLVMValueRef pointer, const tg_op *op);

// ---- what is known of a value (llvm_known.c)
bool tg_llvm_known_int(const tg_value *v, int64_t *k); // a constant, or a splat of one
bool tg_llvm_never_nan(const tg_value *v);
bool tg_llvm_never_minus_zero(const tg_value *v);
bool tg_llvm_unlike_zeros(const tg_op *op); // its two float operands may be -0 and +0
void tg_llvm_find_short_nans(tg_llvm *e);   // of e->launch
bool tg_llvm_known_nonnegative(const tg_value *v);

// ---- integers (llvm_int.c)
LLVMValueRef tg_llvm_int_div(tg_llvm *e, const tg_op *op);
LLVMValueRef tg_llvm_int_rem(tg_llvm *e, const tg_op *op);
LLVMValueRef tg_llvm_shift(tg_llvm *e, const tg_op *op); // shl and shr

// ---- floats (llvm_arith.c)
// Smaller or greater of two f32 or f64; NaN if either is (propagate), else the number if one is; -0 < +0. What is known of the operands
// saves instructions: a NaN where there should be none comes out as the second operand, zeros that are not looked at as either; where the
// machine has the instruction, `propagate` alone decides about NaN.
typedef struct tg_llvm_least {
  bool greatest, propagate;
  bool x_number, y_number; // is never NaN
  bool zeros;              // both may be zeros of unlike signs
} tg_llvm_least;
LLVMValueRef tg_llvm_float_least(tg_llvm *e, LLVMValueRef x, LLVMValueRef y, tg_llvm_least how);

// ---- memory (llvm_memory.c)
LLVMValueRef tg_llvm_ptradd(tg_llvm *e, LLVMValueRef pointer, LLVMValueRef bytes);

// ---- loops (llvm_control.c)
void tg_llvm_no_unroll(tg_llvm *e, LLVMValueRef branch); // on a loop's backward branch: neither unrolled nor vectorised

// ---- tables of the op emitters by file
extern const tg_llvm_row tg_llvm_rows_async[]; // NVIDIA's, from sm_90 on
extern const tg_llvm_row tg_llvm_rows_arith[], tg_llvm_rows_cast[], tg_llvm_rows_memory[], tg_llvm_rows_vector[], tg_llvm_rows_control[];

#endif
