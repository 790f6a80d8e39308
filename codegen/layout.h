// Layouts: which lane holds what. Pure arithmetic on bits; knows neither IR nor machines.
//
// A `tg_map` is a linear map over GF(2): input bit i, when set, flips the output bits of col[i]. A `tg_layout` names the inputs and outputs
// of such a map: from (register, lane, warp) to the coordinates of a tile. A tile's extent is odd * 2^n on each axis: the map covers the
// 2^n part, and the odd parts are outermost repetitions, each with registers of its own. Several inputs may hold the same element (their
// difference is in the map's kernel): the tile is then replicated there.
#ifndef TG_LAYOUT_H
#define TG_LAYOUT_H

#include "ir/base.h"

// ---- linear maps

#define TG_MAP_BITS 32
typedef struct tg_map {
  int nin, nout;             // bits
  uint32_t col[TG_MAP_BITS]; // image of each input bit
} tg_map;

tg_map tg_map_identity(int bits);
tg_map tg_map_zero(int nin, int nout);
uint32_t tg_map_apply(const tg_map *f, uint32_t x);
bool tg_map_equal(const tg_map *f, const tg_map *g);
int tg_map_rank(const tg_map *f);
tg_map tg_map_compose(const tg_map *f, const tg_map *g); // x -> f(g(x)); g->nout = f->nin
tg_map tg_map_product(const tg_map *f, const tg_map *g); // f on the low bits, g on the high ones, of inputs and outputs
// q with f = product(g, q); false when f is not of that form.
bool tg_map_divide(const tg_map *f, const tg_map *g, tg_map *q);
// x with f(x(i)) = g(i) for every i; of several, the one that uses the lowest input bits of f that serve. False when g leaves the image of
// f.
bool tg_map_solve(const tg_map *f, const tg_map *g, tg_map *x);
bool tg_map_right_inverse(const tg_map *f, tg_map *r); // f(r(y)) = y; false when f is not onto
bool tg_map_left_inverse(const tg_map *f, tg_map *l);  // l(f(x)) = x; false when f is not one to one
// Basis of { x : f(x) = 0 } in reduced echelon form: each vector's highest bit (its pivot) is set in no other vector. Returns their number.
// Every element that the map reaches is then reached exactly once from inputs whose pivot bits are all 0.
int tg_map_kernel(const tg_map *f, uint32_t basis[TG_MAP_BITS]);
// Where the elements of a row-major tile lie in a memory of banks: a map of its `bits` packed coordinates onto element numbers that leaves
// `unit` low bits alone (elements that stay together) and under which each access meets no bank twice. 2^banks units lie side by side in
// all banks; an access maps the lanes that come at once to packed coordinates (lanes with one unit among them share it). False when there
// is none among the maps that flip bank bits by higher ones.
bool tg_map_swizzle(int bits, int unit, int banks, int n, const tg_map *accesses, tg_map *out);
// One column an input bit, lowest first: "[1 2 8 0]" with images in hexadecimal.
const char *tg_map_text(tg_arena *arena, const tg_map *f);

// ---- layouts

typedef enum tg_holder { TG_REGISTER, TG_LANE, TG_WARP, TG_NHOLDERS } tg_holder;

typedef struct tg_layout {
  int rank;
  int in[TG_NHOLDERS];  // bits of register, lane, warp
  int out[TG_MAX_RANK]; // bits of each axis
  int odd[TG_MAX_RANK]; // odd part of each axis, 1 or more
  tg_map map;           // inputs: register bits lowest, then lane, then warp; outputs: last axis lowest, so that a row-major number results
} tg_layout;

typedef struct tg_place { // input of a layout
  uint32_t at[TG_NHOLDERS];
} tg_place;

// A layout that holds nothing yet: extents of `shape` split into odd and 2^n parts, no input bits. Add bits with tg_layout_add.
tg_layout tg_layout_empty(int rank, const int32_t *shape);
// One more input bit of `holder`, above those it has; it flips bit `bit` of axis `axis`, or nothing (a replica) when axis is -1.
void tg_layout_add(tg_layout *layout, tg_holder holder, int axis, int bit);
// The same with an image of several bits, in the packed form of `map`.
void tg_layout_add_image(tg_layout *layout, tg_holder holder, uint32_t image);
// Which registers exist: 2^register bits for each repetition.
int tg_layout_repetitions(const tg_layout *layout);
int tg_layout_registers(const tg_layout *layout);
// Coordinates in the 2^n part of the element that a place holds.
void tg_layout_coords(const tg_layout *layout, tg_place place, uint32_t coords[TG_MAX_RANK]);
uint32_t tg_layout_image(const tg_layout *layout, tg_holder holder, int bit);     // packed
uint32_t tg_layout_axis_part(const tg_layout *layout, uint32_t packed, int axis); // coordinate on one axis of a packed image
int tg_layout_axis_shift(const tg_layout *layout, int axis);                      // position of the axis's lowest bit in a packed image
bool tg_layout_equal(const tg_layout *a, const tg_layout *b);
// b's tile repeats a's: each holder's bits are a's, then b's; each axis likewise. Odd parts multiply (one of them must be 1).
tg_layout tg_layout_product(const tg_layout *a, const tg_layout *b);
// q with a = product(b, q); false when a does not begin with b.
bool tg_layout_divide(const tg_layout *a, const tg_layout *b, tg_layout *q);
// Same holders, coordinates sent through `f` (packed to packed), for tiles of the given shape: what an op that renames coordinates needs of
// its operand when its result is held in `layout`.
tg_layout tg_layout_rename(const tg_layout *layout, const tg_map *f, int rank, const int32_t *shape);
// The axis collapsed to extent 1: its former inputs become replicas.
tg_layout tg_layout_collapse(const tg_layout *layout, int axis);
// Without the register bits that hold nothing of their own: no element twice in one lane for their sake.
tg_layout tg_layout_compact(const tg_layout *layout);
// Map from `to`'s inputs to `from`'s inputs: where each element that `to` wants is held in `from`. Lanes and warps stay themselves where
// they can. Both hold the same tile. False when `from` lacks an element.
bool tg_layout_conversion(const tg_layout *from, const tg_layout *to, tg_map *out);
// "f[64x32] register(1: .., ..) lane(..)": every input bit with the axis and offset it moves, for `--emit lane` comments and tests.
const char *tg_layout_text(tg_arena *arena, const tg_layout *layout);

// ---- layouts that machines impose

// Elementwise work, loads, stores: `vector` consecutive elements of the last axis a lane, lanes then warps along it and up the outer axes,
// what is left in registers; lanes and warps that find nothing left are replicas.
tg_layout tg_layout_blocked(int rank, const int32_t *shape, int vector, int lane_bits, int warp_bits);

// Fragments of mma.sync.m16n8k16 on 16-bit floats, PTX ISA "Matrix Fragments for mma.m16n8k16 with floating point type": A 16x16 (m, k),
// B 16x8 (k, n), C and D 16x8 (m, n). One register of the layout = one element; the instruction packs two 16-bit ones in 32 bits.
tg_layout tg_layout_mma_a(void);
tg_layout tg_layout_mma_b(void);
tg_layout tg_layout_mma_c(void);
// What ldmatrix.sync.aligned.m8n8.xCOUNT.b16 leaves in registers, as a tile [COUNT, 8, 8] of (matrix, row, column) (PTX ISA "ldmatrix"):
// each lane gets two neighbours of a row, or with .trans of a column. COUNT is 1, 2 or 4.
tg_layout tg_layout_ldmatrix(int count, bool transposed);
// Which row each lane must give the address of: (lane) -> (matrix, row) as a tile [COUNT, 8]; lanes beyond 8*COUNT are replicas.
tg_layout tg_layout_ldmatrix_rows(int count);

#endif
