// Buffers as launches see them.
#ifndef TG_BUFFER_H
#define TG_BUFFER_H

#include "targets/target.h"

// Every device counts what needs it: itself while open, buffers with memory, launchables.
void tg_device_hold(tg_device *device);
void tg_device_drop(tg_device *device); // the last one closes the driver's part

void tg_buffer_hold(tg_buffer *buffer); // undone by tg_buffer_free
// Where it lies; throws TG_INVALID naming `what` when it has no memory or its device is closed.
void *tg_buffer_data(const tg_buffer *buffer, const char *what);
bool tg_buffer_placed(const tg_buffer *buffer);
// An address of the alignment that it has, for preconditions; never read.
void *tg_buffer_alignment(const tg_buffer *buffer);
tg_array tg_buffer_as_array(const tg_buffer *buffer); // dtype and dims with no data, for what reads shapes

#endif
