// What a launch on a GPU has beside pointers and numbers: tensor maps by the driver, clusters, more dynamic shared memory than every kernel
// may have. The code is written here, so that it says what it got.
#include "cuda/use_fake.h"
#include "targets/target.h"
#include "test.h"

enum { ROWS = 6, COLUMNS = 20, BOX_ROWS = 4, BOX_COLUMNS = 8, BLOCKS = 4, ROW = 1, BOX = BOX_ROWS * BOX_COLUMNS, SHARED = 100 << 10 };

// Block x copies the box of the tensor at column 8x, row 1, by way of shared memory to O, and writes its rank in its cluster to R.
static const char text[] =
    ".version 8.0\n.target sm_90\n.address_size 64\n.extern .shared .align 1024 .b8 sm[];\n"
    ".entry k(.param .align 64 .b8 M[128], .param .u64 O, .param .u64 R)\n{\n"
    ".reg .b32 %t, %i, %s, %v, %x, %c; .reg .b64 %m, %q, %r, %o; .reg .pred %e, %p;\n"
    "ld.param.u64 %q, [O]; ld.param.u64 %r, [R]; mov.b64 %m, M; cvta.param.u64 %m, %m; mov.u32 %t, %tid.x; mov.u32 %x, %ctaid.x;\n"
    "setp.ne.u32 %e, %t, 0; mul.lo.u32 %i, %x, 8;\n@%e bra W;\n"
    "mbarrier.init.shared.b64 [sm+98304], 1;\nfence.mbarrier_init.release.cluster;\n"
    "mbarrier.arrive.expect_tx.shared.b64 _, [sm+98304], 128;\n"
    "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [sm], [%m, {%i, 1}], [sm+98304];\n"
    "mov.u32 %c, %cluster_ctarank; mul.wide.u32 %o, %x, 4; add.u64 %o, %o, %r; st.global.u32 [%o], %c;\n"
    "W:\nbar.sync 0;\nV: mbarrier.try_wait.parity.shared.b64 %p, [sm+98304], 0;\n@!%p bra V;\n"
    "shl.b32 %i, %t, 2; mov.u32 %s, sm; add.u32 %s, %s, %i; ld.shared.u32 %v, [%s];\n"
    "shl.b32 %x, %x, 7; add.u32 %x, %x, %i; cvt.u64.u32 %o, %x; add.u64 %o, %o, %q; st.global.u32 [%o], %v;\nret;\n}\n";

typedef struct run_call {
  tg_device *device;
  tg_arena arena;
  float in[ROWS * COLUMNS], out[BLOCKS * BOX];
  int32_t ranks[BLOCKS];
  int box_columns;
} run_call;

static tg_record *make_record(run_call *call) {
  tg_arena *a = &call->arena;
  tg_arg_map *map = TG_NEW(a, tg_arg_map);
  *map =
      (tg_arg_map){.of = "X", .rank = 2, .byte_offset = tg_e_const(a, 0), .box = {call->box_columns, BOX_ROWS}, .element_strides = {1, 1}};
  map->dims[0] = tg_e_const(a, COLUMNS), map->dims[1] = tg_e_const(a, ROWS), map->strides_bytes[0] = tg_e_const(a, COLUMNS * 4);
  tg_record_arg *args = TG_NEWN(a, tg_record_arg, 3);
  args[0] = (tg_record_arg){.name = "X.map0", .kind = TG_ARG_MAP, .dtype = TG_F32, .map = map};
  args[1] = (tg_record_arg){.name = "O", .kind = TG_ARG_POINTER};
  args[2] = (tg_record_arg){.name = "R", .kind = TG_ARG_POINTER};
  tg_record *record = TG_NEW(a, tg_record);
  *record = (tg_record){.arena = a, .kernel = "mapped", .target = "nvptx:sm_90a", .nlaunches = 1, .launches = TG_NEW(a, tg_record_launch)};
  record->launches[0] = (tg_record_launch){.entry = "k", .naxes = 1, .block = {32, 1, 1}, .cluster = {2, 1, 1}, .shared_bytes = SHARED};
  record->launches[0].grid[0] = tg_e_const(a, BLOCKS);
  record->launches[0].nargs = 3, record->launches[0].args = args;
  return record;
}

static void run_body(void *arg) {
  run_call *call = arg;
  tg_device *device = call->device;
  const tg_driver *driver = device->driver;
  tg_record *record = make_record(call);
  tg_tensor tensors[] = {
      {.name = "X", .bytes = sizeof call->in}, {.name = "O", .bytes = sizeof call->out}, {.name = "R", .bytes = sizeof call->ranks}};
  void *module = driver->load(device, record, (tg_bytes){(void *)(uintptr_t)text, sizeof text - 1});
  for (int i = 0; i < 3; i++) {
    tensors[i].data = driver->alloc(device, tensors[i].bytes);
    driver->zero(device, tensors[i].data, tensors[i].bytes);
  }
  driver->copy_in(device, tensors[0].data, call->in, sizeof call->in);
  driver->launch(device, module, record, &(tg_dims){0}, 3, tensors, NULL, NULL, 0);
  driver->sync(device);
  driver->copy_out(device, call->out, tensors[1].data, sizeof call->out);
  driver->copy_out(device, call->ranks, tensors[2].data, sizeof call->ranks);
  for (int i = 0; i < 3; i++) driver->free(device, tensors[i].data);
  driver->unload(device, module);
}

static void right(const run_call *call) {
  int wrong = 0;
  for (int b = 0; b < BLOCKS; b++) {
    wrong += call->ranks[b] != b % 2;
    for (int i = 0; i < BOX; i++) {
      const int row = ROW + i / BOX_COLUMNS, column = BOX_COLUMNS * b + i % BOX_COLUMNS;
      wrong += call->out[b * BOX + i] != (row < ROWS && column < COLUMNS ? call->in[row * COLUMNS + column] : 0);
    }
  }
  CHECKF(wrong == 0, "%d wrong", wrong);
}

int main(void) {
  use_fake();
  setenv("FAKE_CUDA_DEVICES", "NVIDIA H100 80GB HBM3:9.0", 1);
  tg_context *ctx;
  static run_call call = {.box_columns = BOX_COLUMNS};
  if (tg_context_new(NULL, &ctx)) return 1;
  CHECKF(tg_device_open(ctx, "cuda:0", &call.device) == TG_OK, "%s", tg_error_message(ctx));
  CHECK_STR(call.device->target, "nvptx:sm_90a");
  for (int i = 0; i < ROWS * COLUMNS; i++) call.in[i] = (float)(i + 1);
  tg_arena_init(&call.arena, ctx);
  CHECKF(tg_protect(ctx, run_body, &call) == TG_OK, "%s", tg_error_message(ctx));
  right(&call);
  setenv("FAKE_CUDA_FAIL", "cuTensorMapEncodeTiled:1:1", 1);
  CHECK(tg_protect(ctx, run_body, &call) == TG_FAILED);
  CHECKF(strstr(tg_error_message(ctx), "cuda:0: making tensor map 'X.map0' (cuTensorMapEncodeTiled): CUDA_ERROR_INVALID_VALUE"), "%s",
         tg_error_message(ctx));
  setenv("FAKE_CUDA_FAIL", "cuLaunchKernelEx:1:701", 1);
  CHECK(tg_protect(ctx, run_body, &call) == TG_FAILED);
  CHECKF(strstr(tg_error_message(ctx), "launching 'k' of kernel 'mapped': 4 x 1 x 1 blocks of 32 threads, 102400 bytes of shared memory"),
         "%s", tg_error_message(ctx));
  tg_arena_free(&call.arena);
  tg_device_close(call.device);
  tg_context_free(ctx);
  return test_done();
}
