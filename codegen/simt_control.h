// Carried values of loops and branches, shared by the files of the simt lowering that build them.
#ifndef TG_SIMT_CONTROL_H
#define TG_SIMT_CONTROL_H

#include "codegen/simt.h"

typedef struct simt_flat { // scalars and the registers of tiles, one after the other
  int n;
  tg_value *at[TG_MAX_RESULTS];
} simt_flat;

typedef struct simt_carried { // of one loop or branch: the layouts in which its tiles are handed on
  int n;
  tg_layout *layout;
  bool *left;   // values that nobody needs here
  bool counted; // it hands on what simt_counts says, after all else: there is a pipe in it
} simt_carried;

typedef struct simt_trip_ranges { // of a loop: full on every trip but perhaps the last
  simt *s;
  const tg_op *loop;
  int n;
  const tg_value *at[32];
} simt_trip_ranges;

simt_carried simt_carried_of(simt *s, const tg_op *op, tg_value *const *values); // values: as its region or its results have them
simt_flat *simt_flatten_all(simt *s, const tg_op *op, const simt_carried *c, tg_value *const *values);
void simt_unflatten_all(simt *s, const simt_carried *c, tg_value *const *values, tg_value *const *from);
void simt_find_trip_ranges(simt_trip_ranges *t);
bool simt_trips_are_even(simt *s, const tg_op *loop); // its step divides what lies between its bounds

#endif
