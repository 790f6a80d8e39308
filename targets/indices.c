// A look at the contents of index tensors before a launch. Kernels stay in bounds on any content; a user wants to hear what is wrong with
// it.
#include "targets/run.h"

static int64_t element(const tg_tensor *tensor, int64_t i) {
  switch (tensor->dtype) {
  case TG_I8: return ((const int8_t *)tensor->data)[i];
  case TG_I32: return ((const int32_t *)tensor->data)[i];
  default: return ((const int64_t *)tensor->data)[i];
  }
}

// "[3, 5]": where element i of a row-major tensor lies.
static const char *place(tg_arena *arena, const tg_tensor *tensor, int64_t i) {
  int64_t at[TG_MAX_RANK];
  for (int axis = tensor->rank - 1; axis >= 0; axis--) {
    at[axis] = i % tensor->dim[axis];
    i /= tensor->dim[axis];
  }
  tg_text text = {.arena = arena};
  for (int axis = 0; axis < tensor->rank; axis++) tg_text_add(&text, "%s%lld", axis ? ", " : "[", (long long)at[axis]);
  tg_text_add(&text, "]");
  return text.data;
}

static void check_one(tg_context *ctx, tg_arena *arena, const tg_record_param *param, const tg_tensor *tensor, const tg_dims *dims) {
  int64_t limit = tg_record_eval(ctx, param->below, dims, param->name), n = 1, before = 0;
  bool offsets = param->flags & TG_PARAM_OFFSETS;
  int64_t greatest = offsets ? limit : limit - 1, least = param->flags & TG_PARAM_NONE ? -1 : 0;
  for (int axis = 0; axis < tensor->rank; axis++) n *= tensor->dim[axis];
  for (int64_t i = 0; i < n; i++) {
    int64_t value = element(tensor, i);
    if (value < least || value > greatest) {
      tg_throw(ctx, TG_INVALID, "%s%s is %lld, but %s lie in 0 ... %lld (%s%s)%s", param->name, place(arena, tensor, i), (long long)value,
               offsets ? "these offsets" : "these indices", (long long)greatest, tg_e_text(arena, param->below), offsets ? "" : " - 1",
               least ? ", or are -1 for none" : "");
    }
    if (offsets && value < before) {
      tg_throw(ctx, TG_INVALID, "%s%s is %lld, less than the %lld before it: offsets never decrease", param->name, place(arena, tensor, i),
               (long long)value, (long long)before);
    }
    before = value;
  }
}

void tg_check_indices(tg_context *ctx, tg_arena *arena, const tg_record *record, int ntensors, const tg_tensor *tensors,
                      const tg_dims *dims) {
  for (int i = 0; i < record->nparams; i++) {
    const tg_record_param *param = &record->params[i];
    if (!(param->flags & (TG_PARAM_INDEX | TG_PARAM_OFFSETS)) || param->flags & TG_PARAM_DROPS) continue;
    for (int t = 0; t < ntensors; t++) {
      if (strcmp(tensors[t].name, param->name) == 0) check_one(ctx, arena, param, &tensors[t], dims);
    }
  }
}
