// Inside of stages: places in shared memory, shared by the files that read and write there.
#ifndef TG_SIMT_STAGE_H
#define TG_SIMT_STAGE_H

#include "codegen/simt.h"

enum { SIMT_BANK_BITS = 3, SIMT_UNIT = 16 }; // units side by side in all banks, 2^SIMT_BANK_BITS; bytes of a unit

simt_stage *simt_make_stage(simt *s, const tg_value *value, uint8_t dtype, const tg_layout *held); // nothing chosen of its places yet
uint32_t simt_stage_byte(const simt_stage *g, uint32_t packed);                                    // of an element, within a repetition
int64_t simt_stage_block(const simt_stage *g);                                                     // bytes of one repetition
// Bytes that lanes (by `lanes`, five images) and warps of a layout contribute; *bits: those that it may set.
tg_value *simt_stage_part(simt *s, const simt_stage *g, const uint32_t *lanes, const tg_layout *l, uint32_t *bits);
// base + (part ^ bytes) + more, what can be added apart from what has to be flipped.
tg_value *simt_stage_address(simt *s, tg_value *base, tg_value *part, uint32_t bits, uint32_t bytes, int64_t more);
// Moves units so that neither the lanes that read a fragment meet in a bank nor, where possible, eight that write at packed coordinates of
// these images.
void simt_choose_places(simt_stage *g, const tg_value *operand, const tg_layout *fragment, const uint32_t writes[3]);
// The fragment's layout as one of the stage's tile, and which of its repetitions each repetition of the fragment is (NULL: nobody asks).
bool simt_follow(const tg_value *operand, const tg_value *staged, const tg_layout *fragment, tg_layout *out, int *repetition);
// Bytes of a row that lie side by side of a tile that warp groups read; 0: they cannot.
int simt_group_swizzle(tg_type type);
void simt_place_for_groups(simt_stage *g);
// Which lanes copy it: eight of them 128 bytes of a row, a lane what lies in one row, so that its copies are constants apart and have one
// mask.
tg_layout simt_group_copies(simt *s, tg_type type);
// Whether a fragment is read by ldmatrix.
bool simt_stage_has_matrices(const simt_stage *g, const tg_value *operand, const tg_layout *fragment);

#endif
