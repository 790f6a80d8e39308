// Accesses to tensors, shared by the files of the simt lowering that make them.
#ifndef TG_SIMT_ACCESS_H
#define TG_SIMT_ACCESS_H

#include "codegen/simt.h"

typedef struct simt_size { // an integer of the tile kernel: launch-time expression or value
  const tg_expr *e;
  const tg_value *v;
} simt_size;

typedef struct simt_view {
  const tg_param *param;
  tg_value *base;
  uint8_t dtype;
  int rank;
  simt_size shift; // byte offset = shift * scale; scale 0: none
  int scale;
  simt_size dim[TG_MAX_RANK], stride[TG_MAX_RANK];
} simt_view;

// One access of a tile. An axis of the tile runs along a range of the view's axis, or along the indices of a vector (gather, scatter).
typedef struct simt_access {
  simt *s;
  const tg_op *op;
  simt_view view;
  int rank;                        // of the tile
  int view_axis[TG_MAX_RANK];      // of each axis of the tile
  const tg_op *range[TG_MAX_RANK]; // the range op of each; NULL where indices are
  const tg_value *vector[TG_MAX_RANK];
  simt_tile *index[TG_MAX_RANK]; // the vector's elements, register by register of `layout`
  tg_layout layout;
  int width;                    // elements of a vector, along `fast`
  int fast;                     // axis of the tile whose stride is 1; -1 = none
  tg_value *ptr, *moving;       // of the lane's first element; bytes that loops move it by, NULL: none
  tg_value *inside;             // dropped axes; NULL = always
  tg_value *first[TG_MAX_RANK]; // index of the lane's first element on an axis that adds, i64
  tg_value *bound[TG_MAX_RANK]; // indices must stay below; NULL = they do
  tg_value *there[TG_MAX_RANK]; // elements that are there to be read, where addresses stay inside
  bool below[TG_MAX_RANK];      // start may be negative
  bool clamped[TG_MAX_RANK];    // addresses stay inside: what is outside reads something that is there
} simt_access;

void simt_open_access(simt_access *a, simt *s, const tg_op *op, tg_type tile);
// Has what is outside read something that is there, where a launch that has any elements has some in every range, so that no load waits for
// a branch; for an access that is open. False where it cannot.
bool simt_clamp_access(simt_access *a);
int simt_access_width(simt_access *a, const tg_layout *layout);     // elements of a vector, for an access that is open
void simt_start_access(simt_access *a, const tg_layout *layout);    // chooses the width
tg_value *simt_element(simt_access *a, int reg, tg_value **inside); // its address, and whether it is inside (NULL: always)
void simt_resolve_view(simt *s, const tg_op *user, const tg_value *v, simt_view *out);
simt_size simt_size_of(simt *s, const tg_value *v);
tg_value *simt_size_value(simt *s, simt_size z);
bool simt_size_const(simt *s, simt_size z, int64_t *value);
bool simt_size_same(simt_size a, simt_size b);
bool simt_ends_within(simt *s, simt_size end, simt_size dim); // the end is what the tensor has, or the smaller of that and something else

// ---- simt_known.c
bool simt_expr_const(simt *s, const tg_expr *e, int64_t *value);
int64_t simt_expr_divisor(simt *s, const tg_expr *e);
void simt_require(simt *s, const char *text);                    // a precondition of this variant
bool simt_divides(simt *s, simt_size z, int64_t n, bool commit); // proven, or to be asked for; commit: asks
int64_t simt_gcd(int64_t a, int64_t b);
// Ops looked at for one answer: a value that is made of another twice, and so on, leads there along more ways than could be followed.
enum { SIMT_MOST_LOOKED_AT = 1000 };
bool simt_nonnegative(const tg_value *v);
tg_value *simt_pointer_argument(simt *s, const tg_param *p);

#endif
