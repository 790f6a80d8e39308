// `tegula check`: what check.c, which walks the library, and check_cases.c, which runs or compiles one case, share.
#ifndef TG_CHECK_H
#define TG_CHECK_H

#include "autotune/autotune.h"

typedef struct tg_checking {
  tg_context *ctx;
  const tg_check_options *options;
  const tg_family *row; // what is compiled for; NULL where the device takes tile IR
  const tg_machine *machine;
  bool counting; // before the run, so that it knows how much there is to do
  int done, failed, total;
  int spaces, spaces_done; // search spaces that configs are taken of
  double began;            // when the first of them did, 0 before
} tg_checking;

// A kernel under settings, on a shape (of a target: its statics).
typedef struct tg_case {
  tg_source *source;
  const char *kernel;
  tg_bindings shape, settings;
  // A meta-parameter's value that the machine has no room for, which the lowering says with TG_INVALID and the tuner prunes, is refused;
  // else that is a failure.
  bool may_refuse;
} tg_case;

// The i-th of so many awkward shapes; one that no tile divides.
enum { TG_CHECK_SHAPES = 9, TG_CHECK_UNEVEN = 6 };
tg_bindings tg_check_shape(tg_arena *arena, const tg_kernel *signature, int i);
// The statics of the uneven shape: what a target compiles for, dims stay open.
tg_bindings tg_check_statics(tg_arena *arena, const tg_kernel *signature);
bool tg_check_case(tg_checking *c, const tg_case *given); // runs or compiles it and reports; false = it failed

#endif
