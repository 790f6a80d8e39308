// cp.async.bulk.tensor: boxes of tensors of 1 to 5 dimensions into shared memory and back, element by element against loops over
// coordinates: what lies outside, strides between elements, and the swizzle of the CUDA programming guide (16-byte column x of 128-byte
// line y).
#include "sim/ptx.h"

enum { ELEMENTS = 1 << 15, BOX_BYTES = 1 << 15 };
static _Alignas(64) uint8_t tensor[ELEMENTS * 8];
static uint8_t out[BOX_BYTES];
static char text[1 << 14];

typedef struct box {
  int bytes, rank, swizzle, nan;
  int type;
  int dims[5], box[5], step[5], at[5];
} box;

static int extent(const box *b, int d) {
  return d == 0 ? b->box[0] : (b->box[d] + (b->step[d] ? b->step[d] : 1) - 1) / (b->step[d] ? b->step[d] : 1);
}

static sim_tensor map_of(const box *b) {
  sim_tensor t = {.type = (uint8_t)b->type, .rank = (uint8_t)b->rank, .swizzle = (uint8_t)b->swizzle, .nan_fill = b->nan};
  uint64_t stride = ((uint64_t)b->dims[0] * (uint64_t)b->bytes + 15) / 16 * 16;
  for (int d = 0; d < b->rank; d++) {
    t.dims[d] = (uint64_t)b->dims[d], t.box[d] = (uint32_t)b->box[d], t.step[d] = b->step[d] ? (uint32_t)b->step[d] : 1;
    if (d) t.strides[d] = stride, stride *= (uint64_t)b->dims[d];
  }
  return t;
}

static int total(const box *b) {
  int n = b->bytes;
  for (int d = 0; d < b->rank; d++) n *= extent(b, d);
  return n;
}

// Place in shared memory of element i of the box, in the order of its coordinates.
static int place(const box *b, int i) {
  const int at = i * b->bytes, line = at / 128, column = at / 16 % 8;
  const int mixed = b->swizzle == 128  ? column ^ line % 8
                    : b->swizzle == 64 ? column ^ line % 4
                    : b->swizzle == 32 ? column ^ line % 2
                                       : column;
  return line * 128 + mixed * 16 + at % 16;
}

// Offset in the tensor of element i of the box; -1: outside.
static int64_t source(const box *b, int i) {
  const sim_tensor t = map_of(b);
  int64_t offset = 0;
  for (int d = 0; d < b->rank; d++) {
    const int n = extent(b, d), c = b->at[d] + i % n * (d && b->step[d] ? b->step[d] : 1);
    i /= n;
    if (c < 0 || c >= b->dims[d]) return -1;
    offset += (int64_t)c * (d ? (int64_t)t.strides[d] : b->bytes);
  }
  return offset;
}

static void coordinates(const box *b, char *room, size_t size) {
  size_t n = 0;
  for (int d = 0; d < b->rank; d++) n += (size_t)snprintf(room + n, size - n, "%s%d", d ? ", " : "", b->at[d]);
}

#define HEAD                                                                                                                               \
  PTX_HEAD                                                                                                                                 \
  ".extern .shared .align 1024 .b8 sm[];\n.entry k(.param .align 64 .b8 M[128], .param .u64 O)\n{\n.reg .b32 %%t, %%i, %%s, %%v<4>; "      \
  ".reg .b64 %%m, %%q, %%x; .reg .pred %%e, %%p;\nld.param.u64 %%q, [O]; mov.b64 %%m, M; cvta.param.u64 %%m, %%m; mov.u32 %%t, "           \
  "%%tid.x; "                                                                                                                              \
  "setp.ne.u32 %%e, %%t, 0;\n"

static void load(box b) {
  sim_tensor map = map_of(&b);
  char at[128];
  for (size_t i = 0; i < sizeof tensor; i++) tensor[i] = (uint8_t)(i * 2654435761u >> 13);
  coordinates(&b, at, sizeof at);
  snprintf(
      text, sizeof text,
      HEAD
      "@%%e bra W;\nmbarrier.init.shared.b64 [sm+32768], 1;\nfence.mbarrier_init.release.cluster;\nmbarrier.arrive.expect_tx.shared.b64 _, "
      "[sm+32768], %d;\ncp.async.bulk.tensor.%dd.shared::cluster.global.tile.mbarrier::complete_tx::bytes [sm], [%%m, {%s}], "
      "[sm+32768];\nW:\n"
      "bar.sync 0;\nV: mbarrier.try_wait.parity.shared.b64 %%p, [sm+32768], 0;\n@!%%p bra V;\nshl.b32 %%i, %%t, 4;\nL: setp.ge.u32 %%p, "
      "%%i, "
      "%d;\n@%%p bra R;\nmov.u32 %%s, sm;\nadd.u32 %%s, %%s, %%i;\nld.shared.v4.u32 {%%v0, %%v1, %%v2, %%v3}, [%%s];\ncvt.u64.u32 %%x, "
      "%%i;\n"
      "add.u64 %%x, %%x, %%q;\nst.global.v4.u32 [%%x], {%%v0, %%v1, %%v2, %%v3};\nadd.u32 %%i, %%i, 1024;\nbra L;\nR: ret;\n}\n",
      total(&b), b.rank, at, total(&b));
  const ptx_call call = {.text = text,
                         .entry = "k",
                         .block = {64},
                         .shared = 32768 + 64,
                         .nargs = 2,
                         .args = {{"T", tensor, sizeof tensor, false, 0, &map}, {"O", out, sizeof out, true, 0, NULL}}};
  PTX_CLEAN(&call);
  int wrong = 0, outside = 0;
  for (int i = 0; i < total(&b) / b.bytes; i++) {
    static const uint64_t nans[] = {[2] = 0x7fff, [4] = 0x7fffffff, [8] = 0x7fffffffffffffff};
    const int64_t from = source(&b, i);
    uint64_t want = b.nan ? nans[b.bytes] : 0, got = 0;
    if (from >= 0) want = 0, memcpy(&want, tensor + from, (size_t)b.bytes);
    memcpy(&got, out + place(&b, i), (size_t)b.bytes);
    wrong += want != got, outside += from < 0;
  }
  CHECKF(wrong == 0, "rank %d, %d bytes, swizzle %d, at %s: %d wrong of %d, %d outside", b.rank, b.bytes, b.swizzle, at, wrong,
         total(&b) / b.bytes, outside);
}

// op: NULL = a store, else a reduction.
static void store(box b, const char *op) {
  sim_tensor map = map_of(&b);
  char at[128], head[64] = "cp.async.bulk.tensor", tail[64] = "";
  static uint8_t image[BOX_BYTES], before[sizeof tensor];
  for (size_t i = 0; i < sizeof tensor; i++) tensor[i] = 0;
  for (int i = 0; i < BOX_BYTES; i++) image[i] = (uint8_t)(i * 40503u >> 5);
  if (op) {
    for (int i = 0; i < BOX_BYTES / 4; i++) ((float *)(void *)image)[i] = (float)(i % 100);
    for (size_t i = 0; i < sizeof tensor / 4; i++) ((float *)(void *)tensor)[i] = (float)(i % 7);
    snprintf(head, sizeof head, "cp.reduce.async.bulk.tensor"), snprintf(tail, sizeof tail, ".%s", op);
  }
  memcpy(before, tensor, sizeof tensor);
  coordinates(&b, at, sizeof at);
  snprintf(text, sizeof text,
           HEAD "shl.b32 %%i, %%t, 4;\nL: setp.ge.u32 %%p, %%i, %d;\n@%%p bra R;\nmov.u32 %%s, sm;\nadd.u32 %%s, %%s, %%i;\ncvt.u64.u32 "
                "%%x, %%i;\nadd.u64 "
                "%%x, %%x, %%q;\nld.global.v4.u32 {%%v0, %%v1, %%v2, %%v3}, [%%x];\nst.shared.v4.u32 [%%s], {%%v0, %%v1, %%v2, "
                "%%v3};\nadd.u32 %%i, %%i, "
                "1024;\nbra L;\nR:\nfence.proxy.async.shared::cta;\nbar.sync 0;\n@%%e ret;\n%s.%dd.global.shared::cta%s.tile.bulk_group "
                "[%%m, {%s}], [sm];\n"
                "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;\nret;\n}\n",
           total(&b), head, b.rank, tail, at);
  const ptx_call call = {.text = text,
                         .entry = "k",
                         .block = {64},
                         .shared = 32768,
                         .nargs = 2,
                         .args = {{"T", tensor, sizeof tensor, false, 0, &map}, {"I", image, sizeof image, false, 0, NULL}}};
  PTX_CLEAN(&call);
  int wrong = 0;
  for (int i = 0; i < total(&b) / b.bytes; i++) {
    const int64_t to = source(&b, i);
    if (to < 0) continue;
    if (op) {
      float sum, x;
      memcpy(&sum, before + to, 4), memcpy(&x, image + place(&b, i), 4);
      sum += x;
      memcpy(before + to, &sum, 4);
    } else {
      memcpy(before + to, image + place(&b, i), (size_t)b.bytes);
    }
  }
  wrong += memcmp(before, tensor, sizeof tensor) != 0;
  CHECKF(wrong == 0, "store of rank %d, %d bytes, swizzle %d, at %s", b.rank, b.bytes, b.swizzle, at);
}

static void shapes(void) {
  static const box boxes[] = {
      {.bytes = 1, .type = PTX_u8, .rank = 1, .dims = {1000}, .box = {256}, .at = {13}},
      {.bytes = 1, .type = PTX_u8, .rank = 1, .dims = {1000}, .box = {256}, .at = {900}},
      {.bytes = 2, .type = PTX_bf16, .rank = 2, .swizzle = 128, .dims = {100, 70}, .box = {64, 40}, .at = {-3, -5}},
      {.bytes = 2, .type = PTX_f16, .rank = 2, .swizzle = 128, .nan = 1, .dims = {100, 70}, .box = {64, 64}, .at = {64, 32}},
      {.bytes = 2, .type = PTX_bf16, .rank = 2, .swizzle = 64, .dims = {96, 70}, .box = {32, 64}, .at = {32, 8}},
      {.bytes = 2, .type = PTX_bf16, .rank = 2, .swizzle = 32, .dims = {96, 70}, .box = {16, 64}, .at = {80, 8}},
      {.bytes = 1, .type = PTX_u8, .rank = 2, .swizzle = 128, .dims = {256, 64}, .box = {128, 128}, .at = {128, 0}},
      {.bytes = 4, .type = PTX_f32, .rank = 3, .swizzle = 128, .nan = 1, .dims = {40, 9, 7}, .box = {32, 4, 3}, .at = {16, 7, -1}},
      {.bytes = 4, .type = PTX_s32, .rank = 4, .dims = {12, 5, 6, 4}, .box = {8, 3, 2, 3}, .at = {4, 1, 5, 2}},
      {.bytes = 8, .type = PTX_f64, .rank = 5, .dims = {6, 3, 4, 5, 3}, .box = {4, 2, 3, 2, 2}, .at = {-1, 2, 1, 4, 2}},
      {.bytes = 2, .type = PTX_bf16, .rank = 2, .swizzle = 128, .dims = {64, 70}, .box = {64, 9}, .at = {0, 3}},
  };
  for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) load(boxes[i]), store(boxes[i], NULL);
  box b = {
      .bytes = 2, .type = PTX_bf16, .rank = 3, .swizzle = 64, .dims = {64, 40, 8}, .box = {32, 16, 4}, .step = {1, 3, 2}, .at = {5, 4, 1}};
  load(b), store(b, NULL);
  b = (box){.bytes = 4, .type = PTX_f32, .rank = 2, .swizzle = 128, .dims = {40, 50}, .box = {32, 32}, .at = {16, 30}};
  store(b, "add");
}

#define REFUSED(words, ...)                                                                                                                \
  do {                                                                                                                                     \
    char map_[SIM_MAP_BYTES];                                                                                                              \
    sim_tensor t_ = {.base = (char *)tensor,                                                                                               \
                     .type = PTX_bf16,                                                                                                     \
                     .rank = 2,                                                                                                            \
                     .swizzle = 128,                                                                                                       \
                     .dims = {256, 64},                                                                                                    \
                     .strides = {0, 512},                                                                                                  \
                     .box = {64, 8},                                                                                                       \
                     .step = {1, 1}};                                                                                                      \
    CHECK(!sim_tensor_encode(&t_, map_));                                                                                                  \
    __VA_ARGS__;                                                                                                                           \
    const char *why_ = sim_tensor_encode(&t_, map_);                                                                                       \
    CHECKF(why_ && strstr(why_, words), "want '%s', got '%s'", words, why_ ? why_ : "nothing");                                            \
  } while (0)

static void rules(void) {
  REFUSED("rank", t_.rank = 6);
  REFUSED("multiple of 16", t_.base++);
  REFUSED("stride", t_.strides[1] = 520);
  REFUSED("box", t_.box[1] = 257);
  REFUSED("box", t_.box[0] = 0);
  REFUSED("no multiple of 16 bytes", t_.box[0] = 12);
  REFUSED("longer than its swizzle", t_.box[0] = 72);
  REFUSED("element stride", t_.step[1] = 9);
  REFUSED("NaN", (t_.type = PTX_u8, t_.box[0] = 128, t_.nan_fill = true));
  REFUSED("swizzle", t_.swizzle = 16);
  REFUSED("extent", t_.dims[1] = 0);
}

int main(void) {
  shapes(), rules();
  tg_context_free(ptx_ctx);
  return test_done();
}
