// Tensors in a device's memory: allocations of their own, parts of others, and declared ones that get their place later.
#include "targets/buffer.h"

enum { ALIGNMENT = 64, MAX_AXES = 8 };

struct tg_buffer {
  tg_device *device; // counted
  tg_dtype dtype;
  int rank;
  int64_t dim[MAX_AXES];
  size_t bytes;
  bool declared;   // tg_buffer_place says where it lies
  void *memory;    // an allocation of its own, else NULL
  tg_buffer *in;   // counted; it lies in this one, NULL: nowhere, or in memory of its own
  size_t offset;   // from that one's start
  int64_t counted; // users
};

// ---- devices

void tg_device_hold(tg_device *device) { device->users++; }

void tg_device_drop(tg_device *device) {
  if (--device->users) return;
  device->driver->close(device);
  tg_realloc(device->ctx, device, 0);
}

// ---- where a buffer lies

typedef struct place {
  const tg_buffer *root; // that has memory, or is declared and lies nowhere
  size_t offset;
} place;

static place place_of(const tg_buffer *buffer) {
  place p = {buffer, 0};
  for (; p.root->in; p.root = p.root->in) p.offset += p.root->offset;
  return p;
}

bool tg_buffer_placed(const tg_buffer *buffer) { return place_of(buffer).root->memory != NULL; }

void *tg_buffer_data(const tg_buffer *buffer, const char *what) {
  const place p = place_of(buffer);
  tg_context *ctx = buffer->device->ctx;
  if (buffer->device->closed) tg_throw(ctx, TG_INVALID, "%s lies on device '%s', which is closed", what, buffer->device->name);
  if (!p.root->memory) tg_throw(ctx, TG_INVALID, "%s has no memory: it was declared, but not placed", what);
  return (char *)p.root->memory + p.offset;
}

bool tg_buffer_aligned(const tg_buffer *buffer) { return place_of(buffer).offset % ALIGNMENT == 0; }

void *tg_buffer_alignment(const tg_buffer *buffer) {
  return (void *)(uintptr_t)(ALIGNMENT * ALIGNMENT + place_of(buffer).offset % ALIGNMENT);
}

bool tg_buffer_overlap(const tg_buffer *a, const tg_buffer *b) {
  const place x = place_of(a), y = place_of(b);
  return x.root == y.root && a->bytes && b->bytes && x.offset < y.offset + b->bytes && y.offset < x.offset + a->bytes;
}

// ---- what it is

tg_device *tg_buffer_device(const tg_buffer *buffer) { return buffer->device; }
tg_dtype tg_buffer_dtype(const tg_buffer *buffer) { return buffer->dtype; }
size_t tg_buffer_bytes(const tg_buffer *buffer) { return buffer->bytes; }

int tg_buffer_dims(const tg_buffer *buffer, const int64_t **dim) {
  *dim = buffer->dim;
  return buffer->rank;
}

tg_array tg_buffer_as_array(const tg_buffer *buffer) {
  tg_array array = {.dtype = buffer->dtype, .rank = buffer->rank, .bytes = buffer->bytes};
  memcpy(array.dim, buffer->dim, sizeof array.dim);
  return array;
}

static const char *describe(tg_arena *arena, tg_dtype dtype, int rank, const int64_t *dim) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "%s[", tg_dtype_name(dtype));
  for (int i = 0; i < rank; i++) tg_text_add(&text, "%s%lld", i ? "x" : "", (long long)dim[i]);
  tg_text_add(&text, "]");
  return text.data;
}

// ---- making

enum kind { OWN, DECLARED, PART };

struct make_call {
  tg_device *device;
  enum kind kind;
  tg_dtype dtype;
  int rank;
  const int64_t *dim;
  tg_buffer *of; // PART
  size_t offset;
  tg_buffer *out;
};

static size_t checked_bytes(const struct make_call *call) {
  tg_context *ctx = call->device->ctx;
  if (call->dtype < 0 || call->dtype >= tg_dtype_count()) tg_throw(ctx, TG_INVALID, "there is no dtype %d", call->dtype);
  if (call->rank < 0 || call->rank > MAX_AXES) tg_throw(ctx, TG_INVALID, "a buffer has at most %d axes, not %d", MAX_AXES, call->rank);
  bool empty = false;
  for (int i = 0; i < call->rank; i++) {
    if (call->dim[i] < 0) tg_throw(ctx, TG_INVALID, "axis %d of the buffer is %lld: a dim is 0 or more", i, (long long)call->dim[i]);
    empty |= call->dim[i] == 0;
  }
  int64_t elements = !empty;
  for (int i = 0; !empty && i < call->rank; i++)
    if (__builtin_mul_overflow(elements, call->dim[i], &elements) || elements > INT64_MAX / 16)
      tg_throw(ctx, TG_INVALID, "the buffer %s is larger than any memory", describe(&ctx->arena, call->dtype, call->rank, call->dim));
  return tg_dtype_bytes(call->dtype, elements);
}

static void check_part(const struct make_call *call, size_t bytes) {
  tg_context *ctx = call->device->ctx;
  const size_t element = (size_t)(tg_dtype_bits(call->dtype) + 7) / 8;
  if (call->offset % element)
    tg_throw(ctx, TG_INVALID, "a part in %s starts at byte %zu, no multiple of %zu", tg_dtype_name(call->dtype), call->offset, element);
  if (call->offset > call->of->bytes || bytes > call->of->bytes - call->offset)
    tg_throw(ctx, TG_INVALID, "the part %s of %zu bytes from byte %zu on leads outside of the buffer %s of %zu bytes",
             describe(&ctx->arena, call->dtype, call->rank, call->dim), bytes, call->offset,
             describe(&ctx->arena, call->of->dtype, call->of->rank, call->of->dim), call->of->bytes);
}

static void make_body(void *arg) {
  struct make_call *call = arg;
  tg_context *ctx = call->device->ctx;
  if (call->device->closed) tg_throw(ctx, TG_INVALID, "device '%s' is closed", call->device->name);
  const size_t bytes = checked_bytes(call);
  if (call->kind == PART) check_part(call, bytes);
  tg_buffer *b = call->out = tg_realloc(ctx, NULL, sizeof *b);
  *b = (tg_buffer){.device = call->device, .dtype = call->dtype, .rank = call->rank, .bytes = bytes, .counted = 1};
  memcpy(b->dim, call->dim, sizeof *b->dim * (size_t)call->rank);
  tg_device_hold(call->device);
  b->declared = call->kind == DECLARED;
  if (call->kind == PART) {
    tg_buffer_hold(call->of);
    b->in = call->of;
    b->offset = call->offset;
  } else if (call->kind == OWN) {
    b->memory = b->device->driver->alloc(b->device, bytes);
    b->device->driver->zero(b->device, b->memory, bytes);
  }
}

static tg_status make(struct make_call call, tg_buffer **out) {
  *out = NULL;
  tg_status status = tg_protect(call.device->ctx, make_body, &call);
  if (status == TG_OK) *out = call.out;
  else tg_buffer_free(call.out);
  return status;
}

tg_status tg_buffer_new(tg_device *device, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out) {
  return make((struct make_call){.device = device, .kind = OWN, .dtype = dtype, .rank = rank, .dim = dim}, out);
}

tg_status tg_buffer_declare(tg_device *device, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out) {
  return make((struct make_call){.device = device, .kind = DECLARED, .dtype = dtype, .rank = rank, .dim = dim}, out);
}

tg_status tg_buffer_view(tg_buffer *of, size_t offset, tg_dtype dtype, int rank, const int64_t *dim, tg_buffer **out) {
  return make((struct make_call){of->device, PART, dtype, rank, dim, of, offset, NULL}, out);
}

void tg_buffer_hold(tg_buffer *buffer) { buffer->counted++; }

void tg_buffer_free(tg_buffer *buffer) {
  while (buffer && --buffer->counted == 0) {
    tg_buffer *in = buffer->in;
    tg_device *device = buffer->device;
    tg_context *ctx = device->ctx;
    if (buffer->memory) device->driver->free(device, buffer->memory);
    tg_realloc(ctx, buffer, 0);
    tg_device_drop(device);
    buffer = in;
  }
}

// ---- placing

struct place_call {
  tg_buffer *buffer, *in;
  size_t offset;
};

static void place_body(void *arg) {
  const struct place_call *call = arg;
  tg_buffer *b = call->buffer, *in = call->in;
  tg_context *ctx = b->device->ctx;
  if (!b->declared)
    tg_throw(ctx, TG_INVALID, "the buffer %s has a place already: only declared ones are placed",
             describe(&ctx->arena, b->dtype, b->rank, b->dim));
  if (!in) return;
  if (in->device != b->device)
    tg_throw(ctx, TG_INVALID, "a buffer of device '%s' cannot be placed in one that another tg_device_open ('%s') gave", b->device->name,
             in->device->name);
  for (const tg_buffer *at = in; at; at = at->in)
    if (at == b) tg_throw(ctx, TG_INVALID, "a buffer cannot be placed in itself or in a part of itself");
  if (call->offset > in->bytes || b->bytes > in->bytes - call->offset)
    tg_throw(ctx, TG_INVALID, "%zu bytes from byte %zu on lead outside of a buffer of %zu bytes", b->bytes, call->offset, in->bytes);
  if ((place_of(in).offset + call->offset) % ALIGNMENT)
    tg_throw(ctx, TG_INVALID, "the buffer would begin at a byte that is no multiple of %d of the device's allocation", ALIGNMENT);
}

tg_status tg_buffer_place(tg_buffer *buffer, tg_buffer *in, size_t offset) {
  tg_status status = tg_protect(buffer->device->ctx, place_body, &(struct place_call){buffer, in, offset});
  if (status != TG_OK) return status;
  tg_buffer *before = buffer->in;
  if (in) tg_buffer_hold(in);
  buffer->in = in;
  buffer->offset = in ? offset : 0;
  tg_buffer_free(before);
  return TG_OK;
}

// ---- copies

struct copy_call {
  const tg_buffer *buffer;
  const tg_array *array;
  bool write;
};

static void copy_body(void *arg) {
  const struct copy_call *call = arg;
  const tg_buffer *b = call->buffer;
  tg_device *device = b->device;
  const tg_array *a = call->array;
  tg_context *ctx = device->ctx;
  bool same = b->dtype == a->dtype && b->rank == a->rank && b->bytes == a->bytes;
  for (int i = 0; same && i < b->rank; i++) same = b->dim[i] == a->dim[i];
  if (!same)
    tg_throw(ctx, TG_INVALID, "the buffer is %s, the tensor %s: they must agree", describe(&ctx->arena, b->dtype, b->rank, b->dim),
             describe(&ctx->arena, a->dtype, a->rank, a->dim));
  void *memory = tg_buffer_data(b, "the buffer");
  if (call->write) device->driver->copy_in(device, memory, a->data, b->bytes);
  else device->driver->copy_out(device, a->data, memory, b->bytes);
}

tg_status tg_buffer_write(tg_buffer *buffer, const tg_array *array) {
  return tg_protect(buffer->device->ctx, copy_body, &(struct copy_call){buffer, array, true});
}

tg_status tg_buffer_read(tg_buffer *buffer, tg_array *array) {
  return tg_protect(buffer->device->ctx, copy_body, &(struct copy_call){buffer, array, false});
}
