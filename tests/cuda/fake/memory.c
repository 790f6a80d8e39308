// Device memory, which the host cannot touch; streams that do their work when somebody waits for them; events.
#include <stdlib.h>
#include <sys/mman.h>

#include "fake.h"

enum { PAGE = 4096 };

// ---- allocations

fake_memory *fake_memory_of(fake_device *d, const void *at) {
  for (fake_memory *m = d->memory; m; m = m->next)
    if ((const char *)at >= m->base && (const char *)at < m->base + m->bytes) return m;
  return NULL;
}

bool fake_reach(fake_device *d, const void *at, size_t bytes) {
  const fake_memory *m = fake_memory_of(d, at);
  if (m && bytes <= (size_t)(m->base + m->bytes - (const char *)at)) return true;
  fake_complain("%zu bytes at %p are not within an allocation of %s", bytes, at, d->name);
  return false;
}

static void protect(fake_device *d, int how) {
  for (const fake_memory *m = d->memory; m; m = m->next)
    if (mprotect(m->base, m->mapped, how)) abort();
}

void fake_open_memory(fake_device *d) { protect(d, PROT_READ | PROT_WRITE); }
void fake_close_memory(fake_device *d) { protect(d, PROT_NONE); }

void fake_mark_written(fake_device *d, const char *at, size_t bytes) {
  fake_memory *m = fake_memory_of(d, at);
  for (size_t i = (size_t)(at - m->base), end = i + bytes; i < end;) {
    if (i % 8 == 0 && end - i >= 8) {
      const size_t whole = (end - i) / 8;
      memset(m->written + i / 8, 0xff, whole);
      i += 8 * whole;
    } else {
      m->written[i / 8] |= (uint8_t)(1 << i % 8);
      i++;
    }
  }
}

EXPORT int cuMemGetInfo_v2(size_t *unused, size_t *total) {
  ENTER_CONTEXT("cuMemGetInfo_v2");
  *unused = fake_capacity - current->used;
  *total = fake_capacity;
  return 0;
}

EXPORT int cuMemAlloc_v2(cu_pointer *memory, size_t bytes) {
  ENTER_CONTEXT("cuMemAlloc_v2");
  if (!bytes) {
    fake_complain("cuMemAlloc of 0 bytes");
    return INVALID_VALUE;
  }
  if (bytes > fake_capacity - current->used) return CUDA_ERROR_OUT_OF_MEMORY;
  fake_memory *m = calloc(1, sizeof *m);
  m->bytes = bytes;
  m->mapped = (bytes + PAGE - 1) / PAGE * PAGE;
  m->base = mmap(NULL, m->mapped + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); // a page more that stays closed
  m->written = calloc(bytes / 8 + 1, 1);
  if (m->base == MAP_FAILED || !m->written) abort();
  m->next = current->memory;
  current->memory = m;
  current->used += bytes;
  *memory = (cu_pointer)(uintptr_t)m->base;
  return 0;
}

void fake_memory_drop(fake_device *d, fake_memory *m) {
  fake_memory **at = &d->memory;
  while (*at != m) at = &(*at)->next;
  *at = m->next;
  d->used -= m->bytes;
  munmap(m->base, m->mapped + PAGE);
  free(m->written);
  free(m);
}

EXPORT int cuMemFree_v2(cu_pointer memory) {
  ENTER_CONTEXT("cuMemFree_v2");
  const int result = fake_run_all(current); // it waits for the device
  if (result) return result;
  for (fake_memory *m = current->memory; m; m = m->next) {
    if (m->base != (char *)(uintptr_t)memory) continue;
    fake_memory_drop(current, m);
    return 0;
  }
  fake_complain("cuMemFree of what cuMemAlloc did not give");
  return INVALID_VALUE;
}

// ---- queues

fake_op *fake_queue(fake_object *stream, fake_op op) {
  fake_op *queued = malloc(sizeof *queued);
  if (!queued) abort();
  *queued = op;
  queued->next = NULL;
  *(stream->first ? &stream->last->next : &stream->first) = queued;
  return stream->last = queued;
}

static int perform(fake_device *d, fake_op *op) {
  switch (op->kind) {
  case OP_SET: memset(op->memory, op->value, op->bytes); break;
  case OP_COPY_IN: memcpy(op->memory, op->host, op->bytes); break;
  case OP_COPY_OUT: memcpy(op->host, op->memory, op->bytes); break;
  case OP_LAUNCH: return fake_execute(d, op);
  case OP_RECORD:
    op->event->recorded = true;
    op->event->pending_on = NULL;
    op->event->seconds = tg_seconds();
    return 0;
  }
  if (op->kind != OP_COPY_OUT) fake_mark_written(d, op->memory, op->bytes);
  return 0;
}

int fake_run(fake_device *d, fake_object *stream, const fake_object *until) {
  fake_open_memory(d);
  for (bool more = true; more && stream->first;) {
    fake_op *op = stream->first;
    more = !until || op->event != until;
    if (!d->error) d->error = perform(d, op);
    stream->first = op->next;
    if (op->kind == OP_COPY_IN) free(op->host);
    free(op->params);
    free(op);
  }
  fake_close_memory(d);
  return d->error;
}

int fake_run_all(fake_device *d) {
  for (fake_object *o = d->objects; o; o = o->next)
    if (o->kind == FAKE_STREAM) fake_run(d, o, NULL);
  return d->error;
}

// ---- streams and what goes on them

EXPORT int cuStreamCreate(cu_stream *stream, unsigned flags) {
  ENTER_CONTEXT("cuStreamCreate");
  if (flags > 1) return INVALID_VALUE;
  *stream = (cu_stream)fake_object_new(current, FAKE_STREAM);
  return 0;
}

EXPORT int cuStreamSynchronize(cu_stream stream) {
  ENTER_CONTEXT("cuStreamSynchronize");
  fake_object *s = fake_object_find(current, FAKE_STREAM, stream);
  return s ? fake_run(current, s, NULL) : INVALID_HANDLE;
}

EXPORT int cuStreamDestroy_v2(cu_stream stream) {
  ENTER_CONTEXT("cuStreamDestroy_v2");
  fake_object *s = fake_object_find(current, FAKE_STREAM, stream);
  if (!s) return INVALID_HANDLE;
  fake_run(current, s, NULL);
  fake_object_drop(current, s);
  return 0;
}

EXPORT int cuMemcpyHtoDAsync_v2(cu_pointer to, const void *from, size_t bytes, cu_stream stream) {
  ENTER_CONTEXT("cuMemcpyHtoDAsync_v2");
  fake_object *s = fake_object_find(current, FAKE_STREAM, stream);
  if (!s) return INVALID_HANDLE;
  if (!fake_reach(current, (void *)(uintptr_t)to, bytes)) return INVALID_VALUE;
  fake_op op = {.kind = OP_COPY_IN, .memory = (char *)(uintptr_t)to, .bytes = bytes, .host = malloc(bytes + 1)};
  memcpy(op.host, from, bytes); // pageable memory is staged
  fake_queue(s, op);
  return 0;
}

EXPORT int cuMemcpyDtoHAsync_v2(void *to, cu_pointer from, size_t bytes, cu_stream stream) {
  ENTER_CONTEXT("cuMemcpyDtoHAsync_v2");
  fake_object *s = fake_object_find(current, FAKE_STREAM, stream);
  if (!s) return INVALID_HANDLE;
  if (!fake_reach(current, (void *)(uintptr_t)from, bytes)) return INVALID_VALUE;
  fake_queue(s, (fake_op){.kind = OP_COPY_OUT, .memory = (char *)(uintptr_t)from, .bytes = bytes, .host = to});
  return 0;
}

EXPORT int cuMemsetD8Async(cu_pointer to, unsigned char value, size_t bytes, cu_stream stream) {
  ENTER_CONTEXT("cuMemsetD8Async");
  fake_object *s = fake_object_find(current, FAKE_STREAM, stream);
  if (!s) return INVALID_HANDLE;
  if (!fake_reach(current, (void *)(uintptr_t)to, bytes)) return INVALID_VALUE;
  fake_queue(s, (fake_op){.kind = OP_SET, .memory = (char *)(uintptr_t)to, .bytes = bytes, .value = value});
  return 0;
}

// ---- events

EXPORT int cuEventCreate(cu_event *event, unsigned flags) {
  ENTER_CONTEXT("cuEventCreate");
  if (flags) return INVALID_VALUE;
  *event = (cu_event)fake_object_new(current, FAKE_EVENT);
  return 0;
}

EXPORT int cuEventRecord(cu_event event, cu_stream stream) {
  ENTER_CONTEXT("cuEventRecord");
  fake_object *e = fake_object_find(current, FAKE_EVENT, event), *s = fake_object_find(current, FAKE_STREAM, stream);
  if (!e || !s) return INVALID_HANDLE;
  e->recorded = false;
  e->pending_on = s;
  fake_queue(s, (fake_op){.kind = OP_RECORD, .event = e});
  return 0;
}

EXPORT int cuEventElapsedTime(float *milliseconds, cu_event start, cu_event end) {
  ENTER_CONTEXT("cuEventElapsedTime");
  const fake_object *a = fake_object_find(current, FAKE_EVENT, start), *b = fake_object_find(current, FAKE_EVENT, end);
  if (!a || !b) return INVALID_HANDLE;
  if (!a->recorded || !b->recorded) {
    fake_complain("the time between events that were not reached yet");
    return INVALID_HANDLE;
  }
  *milliseconds = (float)(1e3 * (b->seconds - a->seconds));
  return 0;
}

EXPORT int cuEventDestroy_v2(cu_event event) {
  ENTER_CONTEXT("cuEventDestroy_v2");
  fake_object *e = fake_object_find(current, FAKE_EVENT, event);
  if (!e) return INVALID_HANDLE;
  if (e->pending_on) fake_complain("an event is destroyed while its stream has not reached it");
  else fake_object_drop(current, e);
  return 0;
}
