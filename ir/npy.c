// .npy files (NEP 1: magic, version, header length, a Python dict literal, raw elements), read and written defensively: a file is somebody
// else's bytes, so every count is checked against the file's size before memory is taken.
#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>

#include "ir/ir.h"
#include "ir/whole_file.h"

#define HEADER_LIMIT 65535 // bytes of the dict; numpy's own limit is 10000

typedef struct npy_header {
  char descr[16];
  bool fortran;
  int rank;
  int64_t dim[8];
} npy_header;

// ---- the dict literal

typedef struct cursor {
  tg_context *ctx;
  const char *file, *at, *end;
} cursor;

static void skip_space(cursor *c) {
  while (c->at < c->end && isspace((unsigned char)*c->at)) c->at++;
}

_Noreturn static void malformed(cursor *c, const char *what) {
  tg_throw(c->ctx, TG_INVALID, "%s: the .npy header %s; write the file again with numpy.save", c->file, what);
}

static bool take(cursor *c, char symbol) {
  skip_space(c);
  if (c->at >= c->end || *c->at != symbol) return false;
  c->at++;
  return true;
}

static void take_string(cursor *c, char *out, size_t size) {
  skip_space(c);
  if (c->at >= c->end || (*c->at != '\'' && *c->at != '"')) malformed(c, "lacks a quoted string where one belongs");
  const char quote = *c->at++;
  size_t n = 0;
  for (; c->at < c->end && *c->at != quote; c->at++) {
    if (n + 1 >= size || !isprint((unsigned char)*c->at)) malformed(c, "has a string that no array of plain elements has");
    out[n++] = *c->at;
  }
  if (c->at >= c->end) malformed(c, "ends inside a string");
  c->at++;
  out[n] = 0;
}

static bool take_word(cursor *c, const char *word) {
  skip_space(c);
  const size_t n = strlen(word);
  if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n)) return false;
  c->at += n;
  return true;
}

static int64_t take_extent(cursor *c) {
  skip_space(c);
  if (c->at >= c->end || !isdigit((unsigned char)*c->at)) malformed(c, "has a shape that is not a tuple of whole numbers");
  int64_t v = 0;
  for (; c->at < c->end && isdigit((unsigned char)*c->at); c->at++) {
    if (v > (INT64_MAX - 9) / 10) malformed(c, "has an extent beyond 2^63");
    v = v * 10 + (*c->at - '0');
  }
  return v;
}

static void take_shape(cursor *c, npy_header *h) {
  if (!take(c, '(')) malformed(c, "has a shape that is not a tuple");
  while (!take(c, ')')) {
    if (h->rank == 8) malformed(c, "has more than 8 axes; reshape the array");
    h->dim[h->rank++] = take_extent(c);
    if (take(c, ',')) continue;
    if (take(c, ')')) break;
    malformed(c, "has a shape without commas between its extents");
  }
}

static void parse_header(cursor *c, npy_header *h) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0;
  if (!take(c, '{')) malformed(c, "is not a dict");
  while (!take(c, '}')) {
    char key[32];
    take_string(c, key, sizeof key);
    const int bit = !strcmp(key, "descr") ? DESCR : !strcmp(key, "fortran_order") ? ORDER : !strcmp(key, "shape") ? SHAPE : 0;
    if (!bit || seen & bit) malformed(c, "has a key that is unknown or comes twice");
    seen |= bit;
    if (!take(c, ':')) malformed(c, "lacks a colon");
    if (bit == SHAPE) {
      take_shape(c, h);
    } else if (bit == ORDER) {
      if (take_word(c, "True")) h->fortran = true;
      else if (!take_word(c, "False")) malformed(c, "has a fortran_order that is neither True nor False");
    } else {
      skip_space(c);
      if (c->at < c->end && *c->at == '[')
        tg_throw(c->ctx, TG_INVALID, "%s: holds records; save each field as an array of its own", c->file);
      take_string(c, h->descr, sizeof h->descr);
    }
    if (take(c, ',')) continue;
    if (take(c, '}')) break;
    malformed(c, "lacks a comma");
  }
  skip_space(c);
  if (c->at != c->end) malformed(c, "goes on behind the dict");
  if (seen != (DESCR | ORDER | SHAPE)) malformed(c, "lacks one of descr, fortran_order and shape");
}

// ---- descriptors

static bool is_raw(int dtype) { return tg_dtypes[dtype].bits < 32 && tg_dtypes[dtype].npy[1] == 'u'; }

// Descriptors in which elements of the dtype may come: its own, and the bytes and voids that stand for formats numpy does not have.
static bool descr_fits(const char *descr, int dtype) {
  const tg_dtype_row *row = &tg_dtypes[dtype];
  const char *kind = descr + 1;
  if (descr[0] != row->npy[0] && descr[0] != '<' && descr[0] != '|') return false;
  if (descr[0] == '|' && row->bits > 8 && kind[0] != 'V') return false;
  if (!strcmp(kind, row->npy + 1)) return true;
  if (dtype == TG_I8) return !strcmp(kind, "u1"); // opaque bytes
  if (dtype == TG_BF16) return !strcmp(kind, "V2");
  return is_raw(dtype) && (!strcmp(kind, "V1") || !strcmp(kind, "f1")); // ml_dtypes calls e5m2 the latter
}

static int dtype_of(tg_context *ctx, const char *file, const char *descr, int wanted) {
  if (descr[0] == '>' && descr[1] && descr[2] && strcmp(descr + 2, "1"))
    tg_throw(ctx, TG_INVALID, "%s: holds big-endian elements ('%s'); save a.astype(a.dtype.newbyteorder('<'))", file, descr);
  if (wanted >= 0) {
    if (descr_fits(descr, wanted)) return wanted;
    const char *name = tg_dtypes[wanted].name;
    tg_throw(ctx, TG_INVALID, "%s: holds '%s' elements where %s is wanted, which is stored as '%s'%s", file, descr, name,
             tg_dtypes[wanted].npy,
             is_raw(wanted) ? " (bit patterns; save a.view(numpy.uint8 or uint16))" : "; convert it with astype before saving");
  }
  for (int dtype = 0; dtype < TG_NDTYPES; dtype++)
    if (!is_raw(dtype) && descr_fits(descr, dtype)) return dtype;
  if (!strcmp(descr, "<u2") || !strcmp(descr + 1, "V1") || !strcmp(descr + 1, "f1") || !strcmp(descr + 1, "V2"))
    tg_throw(ctx, TG_INVALID, "%s: holds bit patterns ('%s'); say which dtype they are: bf16, e4m3, e4m3fnuz, e5m2, e8m0 or e2m1", file,
             descr);
  tg_throw(ctx, TG_INVALID,
           "%s: holds '%s' elements, which no dtype here has; save it as f32, f16, f64, i8, i32, i64, bool or raw bytes (uint8)", file,
           descr);
}

// ---- reading

typedef struct read_args {
  tg_context *ctx;
  const char *file;
  tg_dtype dtype;
  tg_array **out;
  FILE *stream;
  char *text;
} read_args;

// Size of what was opened; refuses what has no size of its own.
static uint64_t file_size(tg_context *ctx, const char *file, FILE *stream) {
  struct stat st;
  if (fstat(fileno(stream), &st)) tg_throw(ctx, TG_INVALID, "%s: %s", file, strerror(errno));
  if (!S_ISREG(st.st_mode)) tg_throw(ctx, TG_INVALID, "%s: is not a regular file; arrays are read from .npy files", file);
  return (uint64_t)st.st_size;
}

// Reads the preamble and the dict; returns the offset of the elements.
static uint64_t read_header(read_args *a, uint64_t size, npy_header *h) {
  tg_context *ctx = a->ctx;
  unsigned char pre[12];
  if (size < 10 || fread(pre, 1, 10, a->stream) != 10 || memcmp(pre, "\x93NUMPY", 6))
    tg_throw(ctx, TG_INVALID, "%s: is not a .npy file (it does not begin with \\x93NUMPY); write it with numpy.save", a->file);
  const int version = pre[6];
  if (version < 1 || version > 3)
    tg_throw(ctx, TG_INVALID, "%s: is a .npy file of version %d.%d; versions 1 to 3 are read", a->file, version, pre[7]);
  uint64_t length = pre[8] | (uint64_t)pre[9] << 8, offset = 10;
  if (version > 1) {
    if (fread(pre + 10, 1, 2, a->stream) != 2) tg_throw(ctx, TG_INVALID, "%s: is cut off inside its header; copy it again", a->file);
    length |= (uint64_t)pre[10] << 16 | (uint64_t)pre[11] << 24;
    offset = 12;
  }
  if (length > HEADER_LIMIT)
    tg_throw(ctx, TG_INVALID, "%s: has a header of %llu bytes; arrays of plain elements need a few dozen", a->file,
             (unsigned long long)length);
  if (offset + length > size) tg_throw(ctx, TG_INVALID, "%s: is cut off inside its header; copy it again", a->file);
  a->text = tg_realloc(ctx, NULL, length + 1);
  if (fread(a->text, 1, length, a->stream) != length) tg_throw(ctx, TG_INVALID, "%s: cannot be read: %s", a->file, strerror(errno));
  cursor c = {ctx, a->file, a->text, a->text + length};
  parse_header(&c, h);
  return offset + length;
}

static void check_size(tg_context *ctx, const char *file, const npy_header *h, int dtype, uint64_t have) {
  uint64_t need = (uint64_t)(tg_dtypes[dtype].bits < 8 ? 8 : tg_dtypes[dtype].bits) / 8;
  bool empty = false;
  for (int i = 0; i < h->rank; i++) {
    if (h->dim[i] == 0) empty = true;
    else if (need > (UINT64_C(1) << 60) / (uint64_t)h->dim[i])
      tg_throw(ctx, TG_INVALID, "%s: its shape has more than 2^60 bytes of elements", file);
    else need *= (uint64_t)h->dim[i];
  }
  if (empty) need = 0;
  if (have < need)
    tg_throw(ctx, TG_INVALID, "%s: is cut off: its shape needs %llu bytes of elements, it has %llu; copy it again", file,
             (unsigned long long)need, (unsigned long long)have);
  if (have > need)
    tg_throw(ctx, TG_INVALID, "%s: has %llu bytes of elements where its shape needs %llu; save one array a file", file,
             (unsigned long long)have, (unsigned long long)need);
}

// One code a byte, into two a byte.
static void read_codes(read_args *a, tg_array *array) {
  int64_t elements = 1;
  for (int i = 0; i < array->rank; i++) elements *= array->dim[i];
  uint8_t *packed = array->data;
  for (int64_t i = 0; i < elements; i++) {
    const int code = fgetc(a->stream);
    if (code == EOF) tg_throw(a->ctx, TG_INVALID, "%s: cannot be read to its end", a->file);
    packed[i / 2] |= (uint8_t)((code & 0xf) << (i & 1 ? 4 : 0));
  }
}

static void read_body(void *arg) {
  read_args *a = arg;
  tg_context *ctx = a->ctx;
  if (a->dtype < -1 || a->dtype >= TG_NDTYPES) tg_throw(ctx, TG_INVALID, "%s: %d is no dtype", a->file, a->dtype);
  a->stream = fopen(a->file, "rb");
  if (!a->stream) tg_throw(ctx, TG_INVALID, "%s: cannot be opened: %s", a->file, strerror(errno));
  const uint64_t size = file_size(ctx, a->file, a->stream);
  npy_header h = {0};
  const uint64_t offset = read_header(a, size, &h);
  const int dtype = dtype_of(ctx, a->file, h.descr, a->dtype);
  if (h.fortran && h.rank > 1)
    tg_throw(ctx, TG_INVALID, "%s: is stored column by column (fortran_order); save numpy.ascontiguousarray(a)", a->file);
  check_size(ctx, a->file, &h, dtype, size - offset);
  const bool unpacked = dtype == TG_E2M1 && h.descr[1] == 'V'; // ml_dtypes keeps one code a byte
  if (dtype == TG_E2M1 && !unpacked) {
    if (h.rank == 0) tg_throw(ctx, TG_INVALID, "%s: packed e2m1 needs at least one axis, of bytes with two codes each", a->file);
    if (h.dim[h.rank - 1] > INT64_MAX / 2) tg_throw(ctx, TG_INVALID, "%s: its last axis is too long", a->file);
    h.dim[h.rank - 1] *= 2;
  }
  if (tg_array_new(ctx, dtype, h.rank, h.dim, a->out)) tg_rethrow(ctx);
  tg_array *array = *a->out;
  if (unpacked) {
    read_codes(a, array);
    return;
  }
  if (fread(array->data, 1, array->bytes, a->stream) != array->bytes)
    tg_throw(ctx, TG_INVALID, "%s: cannot be read to its end: %s", a->file, ferror(a->stream) ? strerror(errno) : "it shrank meanwhile");
  if (dtype == TG_I1)
    for (size_t i = 0; i < array->bytes; i++) ((uint8_t *)array->data)[i] = ((uint8_t *)array->data)[i] != 0;
}

tg_status tg_npy_read(tg_context *ctx, const char *file, tg_dtype dtype, tg_array **out) {
  *out = NULL;
  read_args a = {.ctx = ctx, .file = file, .dtype = dtype, .out = out};
  const tg_status status = tg_protect(ctx, read_body, &a);
  if (a.stream) fclose(a.stream);
  if (a.text) tg_realloc(ctx, a.text, 0);
  if (status && *out) {
    tg_array_free(ctx, *out);
    *out = NULL;
  }
  return status;
}

// ---- writing

typedef struct write_args {
  tg_context *ctx;
  const char *file;
  const tg_array *array;
  tg_whole_file whole;
} write_args;

static size_t make_header(write_args *a, char *text, size_t size) {
  const tg_array *array = a->array;
  char shape[8 * 24] = "";
  size_t used = 0;
  for (int i = 0; i < array->rank; i++) {
    int64_t extent = array->dim[i];
    if (array->dtype == TG_E2M1 && i == array->rank - 1) {
      if (extent % 2)
        tg_throw(a->ctx, TG_INVALID, "%s: e2m1 packs two codes a byte along the last axis, whose extent %lld is odd", a->file,
                 (long long)extent);
      extent /= 2;
    }
    used += (size_t)snprintf(shape + used, sizeof shape - used, "%lld,%s", (long long)extent, i + 1 < array->rank ? " " : "");
  }
  if (array->dtype == TG_E2M1 && array->rank == 0)
    tg_throw(a->ctx, TG_INVALID, "%s: a single e2m1 code does not fill a byte; give it an axis of 2", a->file);
  if (array->rank > 1) shape[used - 1] = 0; // only a tuple of one keeps its comma
  const int n =
      snprintf(text + 10, size - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", tg_dtypes[array->dtype].npy, shape);
  size_t length = 10 + (size_t)n + 1;
  while (length % 64) length++; // elements start at a multiple of 64, as numpy has it
  memset(text + 10 + n, ' ', length - 10 - (size_t)n);
  text[length - 1] = '\n';
  memcpy(text, "\x93NUMPY\x01\x00", 8);
  text[8] = (char)((length - 10) & 0xff);
  text[9] = (char)((length - 10) >> 8);
  return length;
}

static void write_body(void *arg) {
  write_args *a = arg;
  char header[512];
  const size_t length = make_header(a, header, sizeof header);
  tg_whole_open(&a->whole, a->ctx, a->file);
  tg_whole_write(&a->whole, header, length);
  tg_whole_write(&a->whole, a->array->data, a->array->bytes);
  tg_whole_commit(&a->whole);
}

tg_status tg_npy_write(tg_context *ctx, const char *file, const tg_array *array) {
  write_args a = {.ctx = ctx, .file = file, .array = array};
  const tg_status status = tg_protect(ctx, write_body, &a);
  tg_whole_drop(&a.whole);
  return status;
}
