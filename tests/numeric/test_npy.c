// .npy files: what numpy and ml_dtypes write (tests/golden/make_npy.py) is read, what is written can be read byte for byte as numpy would
// have it, and hostile files are refused in a sentence that names them.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tegula/tegula.h"
#include "test.h"

static tg_context *ctx;
static char dir[] = "/tmp/tegula-npy-XXXXXX";
static const double values[6] = {0, 1, -2, 3, 0.5, 6};

static const char *golden(const char *name) {
  static char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/golden/npy/%s.npy", TESTS_DIR, name);
  return path;
}
static const char *scratch(const char *name) {
  static char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static void check_values(const char *name, const char *wanted, const char *dtype, int rank, int64_t d0, int64_t d1) {
  tg_array *a = NULL;
  const tg_status status = tg_npy_read(ctx, golden(name), wanted ? tg_dtype_find(wanted) : -1, &a);
  CHECKF(status == TG_OK, "%s: %s", name, tg_error_message(ctx));
  if (status) return;
  CHECKF(a->dtype == tg_dtype_find(dtype), "%s is %s", name, tg_dtype_name(a->dtype));
  CHECKF(a->rank == rank && (rank < 1 || a->dim[0] == d0) && (rank < 2 || a->dim[1] == d1), "%s has rank %d, %lld x %lld", name, a->rank,
         (long long)a->dim[0], (long long)a->dim[1]);
  CHECK(((uintptr_t)a->data & 63) == 0);
  if (rank == 2 && d0 * d1 == 6) {
    const bool whole = dtype[0] == 'i';
    for (int i = 0; i < 6; i++) {
      const double want = !strcmp(dtype, "i1") ? values[i] != 0 : whole ? (int)values[i] : values[i];
      CHECKF(tg_array_get(a, i) == want, "%s[%d] = %g, want %g", name, i, tg_array_get(a, i), want);
    }
  }
  tg_array_free(ctx, a);
}

static void check_reading(void) {
  const char *own[] = {"f32", "f16", "f64", "i8", "i32", "i64", "i1"};
  for (int i = 0; i < 7; i++) {
    check_values(own[i], NULL, own[i], 2, 2, 3);
    check_values(own[i], own[i], own[i], 2, 2, 3);
  }
  const char *raw[][2] = {{"bf16", "bf16"},      {"bf16_void", "bf16"},         {"e4m3", "e4m3"},
                          {"e4m3_void", "e4m3"}, {"e4m3fnuz_void", "e4m3fnuz"}, {"e5m2_void", "e5m2"},
                          {"e2m1_void", "e2m1"}};
  for (int i = 0; i < 7; i++) check_values(raw[i][0], raw[i][1], raw[i][1], 2, 2, 3);
  check_values("e2m1_3x2", "e2m1", "e2m1", 2, 3, 2);
  check_values("v2", NULL, "f32", 2, 2, 3);
  check_values("v3", NULL, "f32", 2, 2, 3);
  check_values("empty_0x7", NULL, "f32", 2, 0, 7);
}

static void check_small(void) {
  tg_array *a;
  CHECK(tg_npy_read(ctx, golden("scalar"), -1, &a) == TG_OK && a->rank == 0 && tg_array_get(a, 0) == 7);
  tg_array_free(ctx, a);
  CHECK(tg_npy_read(ctx, golden("vector"), -1, &a) == TG_OK && a->rank == 1 && a->dim[0] == 5 && tg_array_get(a, 4) == 4);
  tg_array_free(ctx, a);
  CHECK(tg_npy_read(ctx, golden("e8m0"), tg_dtype_find("e8m0"), &a) == TG_OK && tg_array_get(a, 0) == 1 && tg_array_get(a, 1) == 2);
  tg_array_free(ctx, a);
  CHECK(tg_npy_read(ctx, golden("e4m3"), -1, &a) == TG_OK && a->dtype == tg_dtype_find("i8") && tg_array_get(a, 1) == 0x38);
  tg_array_free(ctx, a);
}

// The file must be refused as the caller's mistake, in a sentence with its name and the given word.
static void refused(const char *file, const char *dtype, const char *word) {
  tg_array *a = (tg_array *)1;
  const tg_status status = tg_npy_read(ctx, file, dtype ? tg_dtype_find(dtype) : -1, &a);
  CHECKF(status == TG_INVALID && a == NULL, "%s is not refused", file);
  if (status != TG_INVALID) return;
  const char *base = strrchr(file, '/') + 1;
  CHECKF(strstr(tg_error_message(ctx), base) && strstr(tg_error_message(ctx), word), "%s (wanted: %s)", tg_error_message(ctx), word);
}

static const char *make_file(const char *name, const void *data, size_t n) {
  const char *path = scratch(name);
  FILE *f = fopen(path, "wb");
  CHECK(f && fwrite(data, 1, n, f) == n);
  fclose(f);
  return path;
}

// A version 1 file with this dict and so many bytes of elements.
static const char *make_npy(const char *name, const char *dict, size_t elements) {
  static char buffer[70000];
  memset(buffer, 0, sizeof buffer);
  memcpy(buffer, "\x93NUMPY\x01\x00", 8);
  const size_t n = strlen(dict);
  buffer[8] = (char)(n & 0xff), buffer[9] = (char)(n >> 8);
  memcpy(buffer + 10, dict, n);
  return make_file(name, buffer, 10 + n + elements);
}

static void check_hostile(void) {
  refused(golden("fortran"), NULL, "ascontiguousarray");
  refused(golden("big_endian"), NULL, "big-endian");
  refused(golden("u32"), NULL, "save it as");
  refused(golden("u32"), "i32", "astype");
  refused(golden("record"), NULL, "records");
  refused(golden("text"), NULL, "<U2");
  refused(golden("bf16"), NULL, "say which dtype");
  refused(golden("e4m3_void"), NULL, "say which dtype");
  refused(golden("f64"), "f32", "astype");
  refused(golden("f32"), "bf16", "bf16");
  refused(golden("scalar"), "e2m1", "'<f4'");
  refused(scratch("missing.npy"), NULL, "No such file");
  refused(dir, NULL, "regular file");
  refused(make_file("empty.npy", "", 0), NULL, "NUMPY");
  refused(make_file("text.npy", "hello, this is text", 19), NULL, "NUMPY");
  refused(make_file("v9.npy", "\x93NUMPY\x09\x00\x10\x00{}", 12), NULL, "version 9");
  refused(make_file("cut.npy", "\x93NUMPY\x01\x00\x80\x00{'descr'", 18), NULL, "cut off");
  refused(make_file("huge.npy", "\x93NUMPY\x02\x00\xff\xff\xff\x7f{}", 14), NULL, "header of 2147483647");
  refused(make_file("v2cut.npy", "\x93NUMPY\x02\x00\x10\x00", 10), NULL, "cut off");
  refused(make_npy("short.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 15), NULL, "needs 16 bytes");
  refused(make_npy("long.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 17), NULL, "17 bytes");
  refused(make_npy("over.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 0), NULL, "2^60");
  refused(make_npy("wrap.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693953,), }", 8), NULL, "2^60");
  refused(make_npy("zero.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (922337203685477580, 0, 922337203685477580), }", 0), NULL,
          "2^60");
  refused(make_npy("digits.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8), NULL, "2^63");
  refused(make_npy("neg.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4), NULL, "whole numbers");
  refused(make_npy("rank.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4), NULL, "8 axes");
  refused(make_npy("list.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': [1], }", 4), NULL, "tuple");
  refused(make_npy("twice.npy", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4), NULL, "twice");
  refused(make_npy("lacks.npy", "{'descr': '<f4', 'shape': (1,), }", 4), NULL, "lacks one of");
  refused(make_npy("order.npy", "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }", 4), NULL, "fortran_order");
  refused(make_npy("tail.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } import os", 4), NULL, "behind the dict");
  refused(make_npy("open.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1", 4), NULL, "commas");
  refused(make_npy("quote.npy", "{'descr': '<f4, 'fortran_order", 4), NULL, "header");
  refused(make_npy("wide.npy", "{'descr': '<f4444444444444444444444', 'fortran_order': False, 'shape': (1,), }", 4), NULL, "string");
  refused(make_npy("void.npy", "{'descr': '', 'fortran_order': False, 'shape': (1,), }", 4), NULL, "''");
  refused(make_npy("brief.npy", "{'descr': '<', 'fortran_order': False, 'shape': (1,), }", 4), "f32", "'<'");
  refused(make_npy("big1.npy", "{'descr': '>', 'fortran_order': False, 'shape': (1,), }", 4), "bf16", "'>'");
  refused(make_npy("e2m1.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (), }", 1), "e2m1", "at least one axis");
  tg_array *a; // a 2-byte bool is still true
  const char *file = make_npy("bool.npy", "{'descr':'|b1','fortran_order':False,'shape':(3,)}", 3);
  FILE *f = fopen(file, "r+b");
  fseek(f, -1, SEEK_END), fputc(0xfe, f), fclose(f);
  CHECK(tg_npy_read(ctx, file, -1, &a) == TG_OK && ((unsigned char *)a->data)[2] == 1);
  tg_array_free(ctx, a);
}

static bool same_file(const char *a, const char *b) {
  FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
  bool same = f && g;
  for (int c = 0; same && c != EOF;) same = (c = fgetc(f)) == fgetc(g);
  if (f) fclose(f);
  if (g) fclose(g);
  return same;
}

// Written files are numpy's own, byte for byte.
static void check_writing(void) {
  const char *names[] = {"f32",  "f16",  "f64",  "i8",       "i32",    "i64",    "i1",
                         "bf16", "e4m3", "e8m0", "e2m1_3x2", "scalar", "vector", "empty_0x7"};
  const char *dtypes[] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, "bf16", "e4m3", "e8m0", "e2m1", NULL, NULL, NULL};
  for (int i = 0; i < 14; i++) {
    char out[PATH_MAX];
    snprintf(out, sizeof out, "%s", scratch("out.npy"));
    tg_array *a;
    CHECK(tg_npy_read(ctx, golden(names[i]), dtypes[i] ? tg_dtype_find(dtypes[i]) : -1, &a) == TG_OK);
    CHECKF(tg_npy_write(ctx, out, a) == TG_OK, "%s", tg_error_message(ctx));
    CHECKF(same_file(out, golden(names[i])), "%s", names[i]);
    tg_array_free(ctx, a);
  }
}

static int files_in(const char *path) {
  int n = 0;
  DIR *d = opendir(path);
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

// A write that fails half way leaves the old file and nothing else; devices are written through, links followed.
static void check_failing_writes(void) {
  tg_array *a, *back;
  CHECK(tg_array_new(ctx, tg_dtype_find("f32"), 1, (int64_t[]){50000}, &a) == TG_OK);
  char out[PATH_MAX], link[PATH_MAX];
  snprintf(out, sizeof out, "%s", make_file("old.npy", "old", 3));
  const int before = files_in(dir);
  struct rlimit old, small = {100000, RLIM_INFINITY};
  getrlimit(RLIMIT_FSIZE, &old);
  small.rlim_max = old.rlim_max;
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK(tg_npy_write(ctx, out, a) == TG_FAILED && strstr(tg_error_message(ctx), "old.npy") &&
        strstr(tg_error_message(ctx), "nothing was left"));
  setrlimit(RLIMIT_FSIZE, &old);
  CHECK(files_in(dir) == before);
  FILE *f = fopen(out, "rb");
  char text[8] = "";
  CHECK(f && fread(text, 1, 8, f) == 3 && !strcmp(text, "old"));
  fclose(f);
  CHECK(tg_npy_write(ctx, "/dev/full", a) == TG_FAILED && strstr(tg_error_message(ctx), "/dev/full"));
  CHECK(tg_npy_write(ctx, "/dev/null", a) == TG_OK);
  CHECK(tg_npy_write(ctx, scratch("no/such/dir.npy"), a) == TG_INVALID);
  CHECK(tg_npy_write(ctx, dir, a) == TG_INVALID);
  snprintf(link, sizeof link, "%s", scratch("link.npy"));
  CHECK(symlink("old.npy", link) == 0 && tg_npy_write(ctx, link, a) == TG_OK);
  struct stat st;
  CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(tg_npy_read(ctx, out, -1, &back) == TG_OK && back->dim[0] == 50000);
  tg_array_free(ctx, back);
  tg_array_free(ctx, a);
}

static void check_arrays(void) {
  tg_array *a;
  const tg_dtype f32 = tg_dtype_find("f32"), e2m1 = tg_dtype_find("e2m1");
  CHECK(tg_array_new(ctx, f32, 2, (int64_t[]){-1, 2}, &a) == TG_INVALID && a == NULL);
  CHECK(tg_array_new(ctx, f32, 2, (int64_t[]){INT64_MAX, 4}, &a) == TG_INVALID && a == NULL);
  CHECK(tg_array_new(ctx, f32, 9, (int64_t[9]){0}, &a) == TG_INVALID && a == NULL);
  CHECK(tg_array_new(ctx, 99, 0, NULL, &a) == TG_INVALID && a == NULL);
  CHECK(tg_array_new(ctx, e2m1, 1, (int64_t[]){5}, &a) == TG_OK && a->bytes == 3);
  for (int i = 0; i < 5; i++) tg_array_set(a, i, i - 2);
  for (int i = 0; i < 5; i++) CHECK(tg_array_get(a, i) == i - 2);
  CHECK(tg_npy_write(ctx, scratch("odd.npy"), a) == TG_INVALID);
  tg_array_free(ctx, a);
  CHECK(tg_array_new(ctx, tg_dtype_find("e4m3"), 1, (int64_t[]){2}, &a) == TG_OK);
  tg_array_set(a, 1, 1e9);
  CHECK(tg_array_get(a, 1) == 448 && tg_array_get(a, 0) == 0);
  tg_array_free(ctx, a);
}

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  CHECK(mkdtemp(dir) != NULL);
  check_reading();
  check_small();
  check_hostile();
  check_writing();
  check_failing_writes();
  check_arrays();
  char command[PATH_MAX];
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  CHECK(system(command) == 0);
  tg_context_free(ctx);
  return test_done();
}
