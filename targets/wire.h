// The compile boundary on the wire: frames between the compiler's parent process and its helper.
//
// A frame is an 8-byte little-endian payload size and the payload. The parent writes a job, the helper answers with a reply (a product or
// an error); one job is under way at a time. Payloads are sequences of little-endian u64 and of byte strings preceded by their length.
#ifndef TG_WIRE_H
#define TG_WIRE_H

#include "targets/target.h"

enum { TG_WIRE_LIMIT = 1 << 30 }; // largest payload accepted

typedef enum tg_wire_status {
  TG_WIRE_OK,
  TG_WIRE_CLOSED,  // the other side is gone, between frames or within one
  TG_WIRE_TIMEOUT, // the deadline passed
  TG_WIRE_BROKEN   // not a frame
} tg_wire_status;

// `deadline` is on CLOCK_MONOTONIC in seconds; 0 = wait for ever. Neither raises SIGPIPE where the caller ignores it.
tg_wire_status tg_wire_send(int fd, tg_bytes payload, double deadline);
tg_wire_status tg_wire_receive(int fd, double deadline, tg_arena *arena, tg_bytes *payload);

// A job carries the context's dump directory along; decoding sets it.
tg_bytes tg_wire_encode_job(tg_arena *arena, const tg_job *job);
void tg_wire_decode_job(tg_context *ctx, tg_arena *arena, tg_bytes payload, tg_job *job); // throws TG_FAILED
tg_bytes tg_wire_encode_product(tg_arena *arena, const tg_product *product);
tg_bytes tg_wire_encode_error(tg_arena *arena, tg_status status, const char *message);
// Throws the error that the reply carries, or TG_FAILED when it is malformed.
void tg_wire_decode_reply(tg_context *ctx, tg_arena *arena, tg_bytes payload, tg_product *product);

#endif
