// Checkpoints: what the safetensors package writes (tests/golden/make_safetensors.py) is read, alone, sharded and loose; what is written is
// the package's own, byte for byte; hostile headers and indices are refused in a sentence that names them; memory that runs out is given
// back.
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tegula/tegula.h"
#include "test.h"

static tg_context *ctx;
static char dir[] = "/tmp/tegula-safetensors-XXXXXX";
static const double values[6] = {0, 1, -2, 3, 0.5, 6};

static const char *golden(const char *name) {
  static char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/golden/safetensors/%s", TESTS_DIR, name);
  return path;
}
static const char *scratch(const char *name) {
  static char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static tg_checkpoint *open_golden(const char *name) {
  tg_checkpoint *c = NULL;
  CHECKF(tg_checkpoint_open(ctx, golden(name), &c) == TG_OK, "%s", tg_error_message(ctx));
  if (!c) exit(1);
  return c;
}

// ---- reading

static void check_values(tg_checkpoint *c, const char *name, tg_dtype as, const char *dtype) {
  tg_array *a = NULL;
  CHECKF(tg_checkpoint_read(c, name, as, &a) == TG_OK, "%s: %s", name, tg_error_message(ctx));
  if (!a) return;
  CHECKF(a->dtype == tg_dtype_find(dtype), "%s is %s", name, tg_dtype_name(a->dtype));
  const bool whole = dtype[0] == 'i';
  int64_t n = 1;
  for (int i = 0; i < a->rank; i++) n *= a->dim[i];
  CHECKF(n == 6, "%s has %lld elements", name, (long long)n);
  for (int i = 0; i < 6 && n == 6; i++) {
    const double want = !strcmp(dtype, "i1") ? values[i] != 0 : whole ? (int)values[i] : values[i];
    CHECKF(tg_array_get(a, i) == want, "%s[%d] = %g, want %g", name, i, tg_array_get(a, i), want);
  }
  const tg_tensor_info *info = tg_checkpoint_find(c, name);
  const void *data;
  size_t bytes;
  CHECK(tg_checkpoint_map(c, name, &data, &bytes) == TG_OK && bytes == info->bytes && bytes == a->bytes);
  CHECK(!memcmp(data, a->data, bytes));
  tg_array_free(ctx, a);
}

static void check_ours(void) {
  tg_checkpoint *c = open_golden("ours.safetensors");
  CHECK(tg_checkpoint_count(c) == 16);
  for (int i = 1; i < 16; i++) CHECK(strcmp(tg_checkpoint_info(c, i - 1)->name, tg_checkpoint_info(c, i)->name) < 0);
  CHECK(!tg_checkpoint_info(c, 16) && !tg_checkpoint_info(c, -1) && !tg_checkpoint_find(c, "nothing") && !tg_checkpoint_find(c, ""));
  const char *own[] = {"f64", "f32", "f16", "bf16", "e4m3", "e4m3fnuz", "e5m2", "e2m1", "i64", "i32", "i8", "i1"};
  for (int i = 0; i < 12; i++) check_values(c, own[i], -1, own[i]);
  check_values(c, "bf16", tg_dtype_find("bf16"), "bf16");
  const tg_tensor_info *info = tg_checkpoint_find(c, "e2m1");
  CHECK(info && !strcmp(info->stored, "F4") && info->rank == 2 && info->dim[0] == 3 && info->dim[1] == 2 && info->bytes == 3);
  CHECK(strstr(info->file, "ours.safetensors"));
  info = tg_checkpoint_find(c, "empty");
  CHECK(info && info->rank == 2 && info->dim[0] == 0 && info->dim[1] == 7 && info->bytes == 0);
  tg_array *a;
  CHECK(tg_checkpoint_read(c, "empty", -1, &a) == TG_OK && a->bytes == 0);
  tg_array_free(ctx, a);
  CHECK(tg_checkpoint_read(c, "scalar", -1, &a) == TG_OK && a->rank == 0 && tg_array_get(a, 0) == 7);
  tg_array_free(ctx, a);
  CHECK(tg_checkpoint_read(c, "e8m0", -1, &a) == TG_OK && tg_array_get(a, 0) == 1 && tg_array_get(a, 1) == 2);
  tg_array_free(ctx, a);
  CHECK(tg_checkpoint_read(c, "größe \"q\"\\", -1, &a) == TG_OK && a->rank == 1 && tg_array_get(a, 4) == 4);
  tg_array_free(ctx, a);
  const tg_bindings metadata = tg_checkpoint_metadata(c);
  CHECK(metadata.n == 1 && !strcmp(metadata.at[0].name, "format"));
  CHECK_STR(metadata.at[0].value, "pt\n\x01\"é");
  tg_checkpoint_close(c);
  c = open_golden("none.safetensors");
  CHECK(tg_checkpoint_count(c) == 0 && !tg_checkpoint_find(c, "f32") && tg_checkpoint_metadata(c).n == 0);
  tg_checkpoint_close(c);
  tg_checkpoint_close(NULL);
}

static void refused_read(tg_checkpoint *c, const char *name, const char *dtype, const char *word) {
  tg_array *a = (tg_array *)1;
  CHECKF(tg_checkpoint_read(c, name, dtype ? tg_dtype_find(dtype) : -1, &a) == TG_INVALID && !a, "%s is read", name);
  CHECKF(strstr(tg_error_message(ctx), name) && strstr(tg_error_message(ctx), word), "%s", tg_error_message(ctx));
}

static void check_others(void) {
  tg_checkpoint *c = open_golden("others.safetensors");
  const char *others[][2] = {{"i16", "I16"}, {"u16", "U16"}, {"u32", "U32"}, {"u64", "U64"}, {"c64", "C64"}, {"e5m2fnuz", "F8_E5M2FNUZ"}};
  for (int i = 0; i < 6; i++) {
    const tg_tensor_info *info = tg_checkpoint_find(c, others[i][0]);
    CHECK(info && info->dtype == -1 && !strcmp(info->stored, others[i][1]));
    refused_read(c, others[i][0], NULL, others[i][1]);
    refused_read(c, others[i][0], "f32", others[i][1]);
  }
  const void *data;
  size_t bytes;
  CHECK(tg_checkpoint_map(c, "u16", &data, &bytes) == TG_OK && bytes == 6 && ((const uint8_t *)data)[2] == 1);
  CHECK(tg_checkpoint_map(c, "missing", &data, &bytes) == TG_INVALID && !data && bytes == 0);
  check_values(c, "f32", -1, "f32");
  check_values(c, "u8", tg_dtype_find("e4m3"), "e4m3");
  refused_read(c, "f32", "bf16", "not bf16");
  refused_read(c, "u8", "bf16", "not bf16");
  refused_read(c, "u8", "i1", "not i1");
  refused_read(c, "missing", NULL, "others.safetensors");
  tg_array *a;
  CHECK(tg_checkpoint_read(c, "u8", -1, &a) == TG_OK && a->dtype == tg_dtype_find("i8") && tg_array_get(a, 1) == 0x38);
  tg_array_free(ctx, a);
  CHECK(tg_checkpoint_read(c, "u8", tg_dtype_find("e2m1"), &a) == TG_OK && a->dim[0] == 2 && a->dim[1] == 6);
  tg_array_free(ctx, a);
  CHECK(tg_checkpoint_read(c, "f32", 99, &a) == TG_INVALID);
  tg_checkpoint_close(c);
}

static void check_directories(void) {
  const char *names[] = {"sharded", "loose", "sharded/model.safetensors.index.json"};
  for (int i = 0; i < 3; i++) {
    tg_checkpoint *c = open_golden(names[i]);
    CHECK(tg_checkpoint_count(c) == 4);
    check_values(c, "model.embed.weight", -1, "bf16");
    check_values(c, "lm_head.weight", -1, "e4m3");
    CHECK(strstr(tg_checkpoint_find(c, "lm_head.weight")->file, "model-00002-of-00002"));
    CHECK(tg_checkpoint_metadata(c).n == 1);
    refused_read(c, "model.norm.bias", NULL, "2 files");
    tg_checkpoint_close(c);
  }
}

// ---- hostile files

static const char *make_file(const char *name, const void *data, size_t n) {
  const char *path = scratch(name);
  FILE *f = fopen(path, "wb");
  CHECK(f && fwrite(data, 1, n, f) == n);
  fclose(f);
  return path;
}

// A file with this header and so many bytes of elements.
static const char *make(const char *header, size_t elements) {
  static char buffer[70000];
  const size_t n = strlen(header);
  memset(buffer, 0, sizeof buffer);
  memcpy(buffer, &(uint64_t){n}, 8);
  memcpy(buffer + 8, header, n);
  return make_file("t.safetensors", buffer, 8 + n + elements);
}

static void refused(const char *path, const char *word) {
  tg_checkpoint *c = (tg_checkpoint *)1;
  const tg_status status = tg_checkpoint_open(ctx, path, &c);
  CHECKF(status == TG_INVALID && !c, "not refused: %s", word);
  if (status == TG_INVALID) CHECKF(strstr(tg_error_message(ctx), word), "%s (wanted: %s)", tg_error_message(ctx), word);
  if (status == TG_OK) tg_checkpoint_close(c);
}

static const char *nested(int depth) {
  static char text[4000];
  char *p = text;
  for (int i = 0; i < depth; i++) *p++ = '[';
  for (int i = 0; i < depth; i++) *p++ = ']';
  *p = 0;
  return text;
}

#define F32(name, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" offsets "]}"

static void check_hostile(void) {
  refused(scratch("missing.safetensors"), "No such file");
  refused("/dev/null", "regular file");
  refused(make_file("e.safetensors", "", 0), "0 bytes");
  refused(make_file("e.safetensors", "\x10\0\0\0\0\0\0", 7), "7 bytes");
  refused(make_file("e.safetensors", "\x10\0\0\0\0\0\0\0{}", 10), "cut off");
  refused(make_file("e.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "18446744073709551615");
  refused(make_file("e.safetensors", "\x93NUMPY\x01\0 and more", 17), "no .safetensors file");
  struct hostile {
    const char *header;
    int elements;
    const char *word;
  } cases[] = {
      {"", 0, "does not begin"},
      {" {}", 0, "does not begin"},
      {"[]", 0, "does not begin"},
      {"{} {}", 0, "goes on"},
      {"{", 0, "lacks a string"},
      {"{,}", 0, "lacks a string"},
      {"{" F32("a", "0,8") ",}", 8, "lacks a string"},
      {"{" F32("a", "0,8") F32("b", "8,16") "}", 16, "lacks a ','"},
      {"{" F32("a", "0,8") "," F32("b", "0,8") "}", 8, "overlaps"},
      {"{" F32("a", "0,8") "," F32("b", "4,12") "}", 12, "overlaps"},
      {"{" F32("a", "0,8") "," F32("b", "12,20") "}", 20, "belong to none"},
      {"{" F32("a", "4,12") "}", 12, "belong to none"},
      {"{" F32("a", "0,8") "}", 9, "9 bytes of elements"},
      {"{" F32("a", "0,8") "}", 7, "of which there are 7"},
      {"{" F32("a", "8,0") "}", 8, "ends before"},
      {"{" F32("a", "0,9223372036854775000") "}", 8, "of which there are 8"},
      {"{" F32("a", "0,99999999999999999999") "}", 8, "2^63"},
      {"{" F32("a", "-8,0") "}", 8, "whole number"},
      {"{" F32("a", "0,8.0") "}", 8, "whole number"},
      {"{" F32("a", "0,8e0") "}", 8, "whole number"},
      {"{" F32("a", "0,08") "}", 8, "whole number"},
      {"{" F32("a", "0,4") "}", 4, "4 bytes where its shape and dtype need 8"},
      {"{" F32("a", "0") "}", 8, "lacks a ','"},
      {"{" F32("a", "0,8,8") "}", 8, "lacks a ']'"},
      {"{" F32("a", "0,8") "," F32("a", "8,16") "}", 16, "'a' comes twice"},
      {"{" F32("a", "0,8") "," F32("\\u0061", "8,16") "}", 16, "'a' comes twice"},
      {"{" F32("a\\u0000b", "0,8") "}", 8, "NUL"},
      {"{" F32("a\\u001b[2J", "0,8") "}", 8, "control characters"},
      {"{" F32("a\x01", "0,8") "}", 8, "control character"},
      {"{" F32("\\ud800", "0,8") "}", 8, "surrogate"},
      {"{" F32("\\ud800\\u0041", "0,8") "}", 8, "surrogate"},
      {"{" F32("\\u12", "0,8") "}", 8, "hexadecimal"},
      {"{" F32("\\x", "0,8") "}", 8, "escape"},
      {"{" F32("\xc0\x80", "0,8") "}", 8, "UTF-8"},
      {"{" F32("\xed\xa0\x80", "0,8") "}", 8, "UTF-8"},
      {"{" F32("\xf5\x80\x80\x80", "0,8") "}", 8, "UTF-8"},
      {"{\"a", 0, "ends inside a string"},
      {"{\"a\\", 0, "escape"},
      {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'F33'"},
      {"{\"a\":{\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "'f32'"},
      {"{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "lacks a string"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "lacks a '['"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "8 axes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, "2^60"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,0],\"data_offsets\":[0,0]}}", 0, "2^60"},
      {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "end with a byte"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "lacks one of"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":[[[[]]]]}}", 8, "unknown"},
      {"{\"a\":[]}", 8, "lacks a '{'"},
      {"{\"a\":null}", 8, "lacks a '{'"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "lacks a string"},
      {"{\"__metadata__\":{\"a\":{}}}", 0, "lacks a string"},
      {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "comes twice"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(make(cases[i].header, (size_t)cases[i].elements), cases[i].word);
  char deep[5000];
  snprintf(deep, sizeof deep, "{\"a\":%s}", nested(1500));
  refused(make(deep, 0), "lacks a '{'");
  tg_checkpoint *c; // any order of the header, and white space
  CHECK(tg_checkpoint_open(ctx, make("{ " F32("a", "8,16") " ,\n" F32("b", "0, 8") " , \"__metadata__\" : { } }  ", 16), &c) == TG_OK);
  tg_checkpoint_close(c);
}

static void check_index(void) {
  CHECK(mkdir(scratch("ckpt"), 0777) == 0);
  refused(scratch("ckpt"), "no .safetensors files");
  char header[] = "{" F32("a", "0,8") "," F32("b", "8,16") "}", buffer[sizeof header + 24] = {0};
  memcpy(buffer, &(uint64_t){sizeof header - 1}, 8);
  memcpy(buffer + 8, header, sizeof header - 1);
  make_file("ckpt/one.safetensors", buffer, 8 + sizeof header - 1 + 16);
  make_file("ckpt/two.safetensors", buffer, 8 + sizeof header - 1 + 16);
  refused(scratch("ckpt"), "is in both");
  char deep[5000];
  snprintf(deep, sizeof deep, "{\"metadata\":%s,\"weight_map\":{}}", nested(1500));
  const char *cases[][2] = {{"", "lacks a '{'"},
                            {"{}", "lacks weight_map"},
                            {"{\"weight_map\":[]}", "lacks a '{'"},
                            {"{\"weight_map\":{},\"weight_map\":{}}", "twice"},
                            {"{\"weight_map\":{\"a\":1}}", "lacks a string"},
                            {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "beside it"},
                            {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "beside it"},
                            {"{\"weight_map\":{\"a\":\"..\"}}", "beside it"},
                            {"{\"weight_map\":{\"a\":\"\"}}", "beside it"},
                            {"{\"weight_map\":{\"a\":\"three.safetensors\"}}", "three.safetensors: cannot be opened"},
                            {"{\"weight_map\":{\"c\":\"one.safetensors\"}}", "tensor 'c' in one.safetensors"},
                            {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"two.safetensors\"}}", "comes twice"},
                            {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}", "comes twice"},
                            {"{\"metadata\":nul,\"weight_map\":{}}", "no value"},
                            {deep, "too deep"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    make_file("ckpt/model.safetensors.index.json", cases[i][0], strlen(cases[i][0]));
    refused(scratch("ckpt"), cases[i][1]);
  }
  // A tensor in two files is where the index has it, and what the index leaves out is not seen.
  const char *good = "{\"metadata\":{\"x\":[true,false,null,-0.5e+3,\"\\u00e9\"]},\"weight_map\":{\"b\":\"two.safetensors\"}}";
  make_file("ckpt/model.safetensors.index.json", good, strlen(good));
  tg_checkpoint *c;
  CHECKF(tg_checkpoint_open(ctx, scratch("ckpt"), &c) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(tg_checkpoint_count(c) == 1 && strstr(tg_checkpoint_find(c, "b")->file, "ckpt/two.safetensors"));
  tg_array *a; // a file that shrinks between opening and reading is an error
  CHECK(truncate(scratch("ckpt/two.safetensors"), 100) == 0);
  CHECK(tg_checkpoint_read(c, "b", -1, &a) == TG_INVALID && !a && strstr(tg_error_message(ctx), "shrank"));
  tg_checkpoint_close(c);
}

// ---- writing

static bool same_file(const char *a, const char *b) {
  FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
  bool same = f && g;
  for (int c = 0; same && c != EOF;) same = (c = fgetc(f)) == fgetc(g);
  if (f) fclose(f);
  if (g) fclose(g);
  return same;
}

static void check_writing(void) {
  char out[PATH_MAX];
  snprintf(out, sizeof out, "%s", scratch("out.safetensors"));
  tg_checkpoint *c = open_golden("ours.safetensors");
  tg_named_array list[16];
  for (int i = 0; i < 16; i++) {
    tg_array *a = NULL;
    list[15 - i].name = tg_checkpoint_info(c, i)->name;
    CHECK(tg_checkpoint_read(c, list[15 - i].name, -1, &a) == TG_OK);
    list[15 - i].array = a;
  }
  const tg_bindings metadata = tg_checkpoint_metadata(c);
  CHECKF(tg_safetensors_write(ctx, out, 16, list, &metadata) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(same_file(out, golden("ours.safetensors")));
  CHECK(tg_safetensors_write(ctx, out, 0, NULL, NULL) == TG_OK && same_file(out, golden("none.safetensors")));
  const tg_named_array twice[] = {list[0], list[0]};
  CHECK(tg_safetensors_write(ctx, out, 2, twice, NULL) == TG_INVALID && strstr(tg_error_message(ctx), "twice"));
  const char *bad[] = {"__metadata__", "a\nb", "a\x7f", "\xff"};
  for (int i = 0; i < 4; i++) {
    const tg_named_array one = {bad[i], list[0].array};
    CHECK(tg_safetensors_write(ctx, out, 1, &one, NULL) == TG_INVALID && strstr(tg_error_message(ctx), "name"));
  }
  const tg_binding keys[] = {{"k", "1"}, {"k", "2"}}, broken = {"k", "\xff"};
  CHECK(tg_safetensors_write(ctx, out, 0, NULL, &(tg_bindings){2, keys}) == TG_INVALID && strstr(tg_error_message(ctx), "'k'"));
  CHECK(tg_safetensors_write(ctx, out, 0, NULL, &(tg_bindings){1, &broken}) == TG_INVALID && strstr(tg_error_message(ctx), "UTF-8"));
  tg_array *odd;
  CHECK(tg_array_new(ctx, tg_dtype_find("e2m1"), 1, (int64_t[]){3}, &odd) == TG_OK);
  CHECK(tg_safetensors_write(ctx, out, 1, &(tg_named_array){"x", odd}, NULL) == TG_INVALID && strstr(tg_error_message(ctx), "odd"));
  tg_array_free(ctx, odd);
  CHECK(same_file(out, golden("none.safetensors"))); // none of those touched the file
  for (int i = 0; i < 16; i++) tg_array_free(ctx, (tg_array *)list[i].array);
  tg_checkpoint_close(c);
}

static int files_in(const char *path) {
  int n = 0;
  DIR *d = opendir(path);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

// A write that fails half way leaves the old file and nothing else.
static void check_failing_writes(void) {
  tg_array *a;
  CHECK(tg_array_new(ctx, tg_dtype_find("f32"), 1, (int64_t[]){50000}, &a) == TG_OK);
  const tg_named_array one = {"x", a};
  char out[PATH_MAX];
  snprintf(out, sizeof out, "%s", make_file("old.safetensors", "old", 3));
  const int before = files_in(dir);
  struct rlimit old, small = {100000, RLIM_INFINITY};
  getrlimit(RLIMIT_FSIZE, &old);
  small.rlim_max = old.rlim_max;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK(tg_safetensors_write(ctx, out, 1, &one, NULL) == TG_FAILED && strstr(tg_error_message(ctx), "nothing was left"));
  setrlimit(RLIMIT_FSIZE, &old);
  CHECK(files_in(dir) == before);
  CHECK(tg_safetensors_write(ctx, "/dev/full", 1, &one, NULL) == TG_FAILED);
  CHECK(tg_safetensors_write(ctx, scratch("no/such/dir.safetensors"), 1, &one, NULL) == TG_INVALID);
  CHECK(tg_safetensors_write(ctx, dir, 1, &one, NULL) == TG_INVALID);
  CHECK(tg_safetensors_write(ctx, out, 1, &one, NULL) == TG_OK);
  tg_array_free(ctx, a);
}

// ---- memory

typedef struct hostile_memory {
  long requests, refuse_at; // 0 = never
  long live;
} hostile_memory;

static void *allocate(void *user, void *ptr, size_t size) {
  hostile_memory *h = user;
  if (size == 0) {
    if (ptr) h->live--;
    free(ptr);
    return NULL;
  }
  if (++h->requests == h->refuse_at) return NULL;
  void *p = realloc(ptr, size);
  if (p && !ptr) h->live++;
  return p;
}

static tg_status read_and_write(tg_context *poor) {
  tg_checkpoint *c;
  tg_array *a = NULL;
  tg_status status = tg_checkpoint_open(poor, golden("sharded"), &c);
  if (status) return status;
  status = tg_checkpoint_read(c, "lm_head.weight", -1, &a);
  const tg_bindings metadata = tg_checkpoint_metadata(c);
  if (!status) status = tg_safetensors_write(poor, scratch("poor.safetensors"), 1, &(tg_named_array){"x", a}, &metadata);
  tg_array_free(poor, a);
  tg_checkpoint_close(c);
  return status;
}

static long attempt(long refuse_at) {
  hostile_memory h = {.refuse_at = refuse_at};
  tg_context *poor;
  if (tg_context_new(&(tg_config){.allocate = allocate, .user = &h}, &poor) == TG_OK) {
    const tg_status status = read_and_write(poor);
    CHECKF(status == (refuse_at && h.requests >= refuse_at ? TG_NO_MEMORY : TG_OK), "request %ld: %s", refuse_at, tg_error_message(poor));
    tg_context_free(poor);
  }
  CHECKF(h.live == 0, "request %ld refused: %ld blocks not given back", refuse_at, h.live);
  return h.requests;
}

static void check_memory(void) {
  const long all = attempt(0);
  for (long n = 1; n <= all; n++) attempt(n);
}

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  CHECK(mkdtemp(dir) != NULL);
  check_ours();
  check_others();
  check_directories();
  check_hostile();
  check_index();
  check_writing();
  check_failing_writes();
  check_memory();
  char command[PATH_MAX];
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  CHECK(system(command) == 0);
  tg_context_free(ctx);
  return test_done();
}
