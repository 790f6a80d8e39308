// Kernels of tests/interp/ through the simt lowering, executed by the warp interpreter.
#ifndef TG_ELSEWHERE_H
#define TG_ELSEWHERE_H

#include "codegen/codegen.h"
#include "interp/ops.h"
#include "simt/warp.h"
#include "targets/target.h"

static const char *elsewhere_target = "nvptx:sm_80";
static int elsewhere_warps = 2, elsewhere_variant;
static const char *elsewhere_raster = "1";
static int64_t elsewhere_executed[TG_NOPCODES]; // by the last run

typedef struct elsewhere_job {
  tg_kernel *tile, *lane;
} elsewhere_job;

static inline void elsewhere_lower(void *arg) {
  elsewhere_job *e = arg;
  const tg_family *family;
  char warps[8];
  snprintf(warps, sizeof warps, "%d", elsewhere_warps);
  const tg_binding knobs[] = {{"warps", warps}, {"raster", elsewhere_raster}};
  tg_lower_options options = {
      .machine = tg_target_find(ctx, elsewhere_target, &family), .settings = {2, knobs}, .variant = elsewhere_variant};
  e->lane = tg_lowering_simt.lower(e->tile, &options);
  if (tg_verify(e->lane)) tg_rethrow(ctx);
}

typedef struct elsewhere_bind {
  tg_kernel *kernel;
  job *job;
  warp_job *warp;
  int nowned;
  void *owned[16];
} elsewhere_bind;

// Outputs and workspaces are poisoned as the interpreter does it.
static inline void elsewhere_tensors(void *arg) {
  elsewhere_bind *b = arg;
  for (int i = 0; i < b->kernel->nparams; i++) {
    const tg_param *p = &b->kernel->params[i];
    if (p->kind == TG_SCALAR_PARAM) continue;
    tg_tensor *t = &b->warp->tensors[b->warp->ntensors++];
    int64_t n = 1;
    *t = (tg_tensor){.name = p->name, .dtype = (uint8_t)p->dtype, .rank = p->rank};
    for (int a = 0; a < p->rank; a++) {
      const char *missing;
      if (!tg_e_eval(p->dims[a], b->job->lookup ? b->job->lookup : no_symbol, b->job->user, &t->dim[a], &missing))
        tg_throw(ctx, TG_INVALID, "'%s' has no value", missing);
      n *= t->dim[a];
    }
    t->bytes = tg_dtype_bytes(p->dtype, n);
    size_t given = 0;
    void *from = NULL, *data = b->owned[b->nowned++] = aligned_alloc(64, t->bytes / 64 * 64 + 64);
    for (int k = 0; k < b->job->ntensors; k++)
      if (!strcmp(b->job->tensors[k].name, p->name)) from = b->job->tensors[k].data, given = b->job->tensors[k].bytes;
    if (from) memcpy(data, from, given < t->bytes ? given : t->bytes);
    if (p->kind == TG_OUTPUT || p->kind == TG_WORKSPACE) memset(data, p->flags & TG_PARAM_ZERO ? 0 : 0xff, t->bytes);
    t->data = data;
  }
}

static inline tg_status elsewhere_run(tg_kernel *kernel, job *j) {
  ctx = kernel->ctx; // each file of cases has one of its own
  elsewhere_job e = {.tile = kernel};
  tg_status status = tg_protect(ctx, elsewhere_lower, &e);
  if (status) return status;
  tg_tensor tensors[16];
  warp_job w = {.tensors = tensors, .lookup = j->lookup ? j->lookup : no_symbol, .scalar = j->scalar, .user = j->user};
  elsewhere_bind b = {.kernel = kernel, .job = j, .warp = &w};
  status = tg_protect(ctx, elsewhere_tensors, &b);
  if (!status && !warp_run(e.lane, &w)) {
    CHECKF(false, "%d warps, variant %d: %s", elsewhere_warps, elsewhere_variant, w.error);
    status = TG_FAILED;
  }
  memcpy(elsewhere_executed, w.executed, sizeof elsewhere_executed);
  for (int i = 0; !status && i < w.ntensors; i++)
    for (int k = 0; k < j->ntensors; k++)
      if (!strcmp(j->tensors[k].name, tensors[i].name) && j->tensors[k].data && tg_find_param(kernel, tensors[i].name)->kind != TG_INPUT)
        memcpy(j->tensors[k].data, tensors[i].data, tensors[i].bytes < j->tensors[k].bytes ? tensors[i].bytes : j->tensors[k].bytes);
  for (int i = 0; i < b.nowned; i++) free(b.owned[i]);
  tg_kernel_free(e.lane);
  return status;
}

#endif
