// Dims of a call, solved from tensor shapes, packed weights' headers, statics and --shape.
#include <errno.h>
#include <stdlib.h>

#include "targets/record.h"
#include "targets/run.h"

bool tg_dims_lookup(void *user, const char *name, int64_t *value) {
  const tg_dims *dims = user;
  for (int i = 0; i < dims->n; i++) {
    if (strcmp(dims->at[i].name, name) != 0) continue;
    *value = dims->at[i].value;
    return true;
  }
  return false;
}

struct solver {
  tg_context *ctx;
  const tg_record *record;
  tg_dims *dims;
  bool rounding; // also solve expressions in which a division loses the exact value
};

static const struct tg_dim *find(const tg_dims *dims, const char *name) {
  for (int i = 0; i < dims->n; i++) {
    if (strcmp(dims->at[i].name, name) == 0) return &dims->at[i];
  }
  return NULL;
}

static void define(struct solver *s, const char *name, int64_t value, const char *from) {
  const struct tg_dim *known = find(s->dims, name);
  if (known) {
    if (known->value == value) return;
    tg_throw(s->ctx, TG_INVALID, "%s = %lld from %s, but %s gives %s = %lld", name, (long long)known->value, known->from, from, name,
             (long long)value);
  }
  if (value < 0) tg_throw(s->ctx, TG_INVALID, "%s = %lld from %s: a dim is 0 or more", name, (long long)value, from);
  if (s->dims->n == sizeof s->dims->at / sizeof *s->dims->at)
    tg_throw(s->ctx, TG_INVALID, "kernel '%s' has too many dims", s->record->kernel);
  for (int i = 0; i < s->record->nsymbols; i++) { // keep the record's own string: callers' may go
    if (strcmp(s->record->symbols[i], name) == 0) name = s->record->symbols[i];
  }
  s->dims->at[s->dims->n++] = (struct tg_dim){name, value, from};
}

static bool rounds(const tg_expr *e) {
  if (!e || e->op == TG_EXPR_CONST || e->op == TG_EXPR_SYM) return false;
  if (e->op == TG_EXPR_CEILDIV || e->op == TG_EXPR_FLOORDIV || e->op == TG_EXPR_MIN || e->op == TG_EXPR_MAX) return true;
  return rounds(e->a) || rounds(e->b);
}

// "from A's axis 0, M = 64": where the known letters of an expression come from.
static void explain(tg_text *text, const tg_expr *e, const tg_dims *dims) {
  if (!e) return;
  const struct tg_dim *known = e->op == TG_EXPR_SYM ? find(dims, e->name) : NULL;
  if (known) tg_text_add(text, "%s%s = %lld from %s", text->size ? ", " : "", e->name, (long long)known->value, known->from);
  explain(text, e->a, dims);
  explain(text, e->b, dims);
}

// True when the extent is accounted for: it agrees, or it gave the one unknown letter its value.
static bool match(struct solver *s, const tg_expr *e, int64_t extent, const char *where) {
  int64_t value;
  const char *missing = NULL;
  if (tg_e_eval(e, tg_dims_lookup, s->dims, &value, &missing)) {
    if (value == extent) return true;
    tg_text known = {.arena = s->record->arena};
    explain(&known, e, s->dims);
    tg_throw(s->ctx, TG_INVALID, "%s is %lld, but %s = %lld (%s)", where, (long long)extent, tg_e_text(s->record->arena, e),
             (long long)value, known.size ? known.data : "fixed by the kernel");
  }
  if (!missing) tg_throw(s->ctx, TG_INVALID, "%s = %s exceeds 64 bits or divides by 0", where, tg_e_text(s->record->arena, e));
  if (rounds(e) && !s->rounding) return false;
  const char *name;
  if (tg_e_solve(e, extent, tg_dims_lookup, s->dims, &name, &value)) {
    define(s, name, value, where);
    return true;
  }
  return false;
}

static const tg_tensor *tensor_of(const char *name, int ntensors, const tg_tensor *tensors) {
  for (int i = 0; i < ntensors; i++) {
    if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
  }
  return NULL;
}

static const char *shape_text(tg_arena *arena, int rank, const int64_t *dim) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "[");
  for (int i = 0; i < rank; i++) tg_text_add(&text, "%s%lld", i ? ", " : "", (long long)dim[i]);
  tg_text_add(&text, "]");
  return text.data;
}

static const char *dims_text(tg_arena *arena, const tg_record_param *param) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "[");
  for (int i = 0; i < param->rank; i++) tg_text_add(&text, "%s%s", i ? ", " : "", tg_e_text(arena, param->dims[i]));
  tg_text_add(&text, "]");
  return text.data;
}

// Eight bytes with which packed weights begin; the header is described below.
static bool is_packed(const tg_tensor *tensor) { return tensor->data && tensor->bytes >= 64 && memcmp(tensor->data, "TGLPACK1", 8) == 0; }

static void check_tensor(struct solver *s, const tg_record_param *param, const tg_tensor *tensor) {
  tg_arena *arena = s->record->arena;
  if (param->rank != tensor->rank) {
    tg_throw(s->ctx, TG_INVALID, "%s has shape %s, but kernel '%s' declares %s%s: %d axes, not %d%s", param->name,
             shape_text(arena, tensor->rank, tensor->dim), s->record->kernel, param->name, dims_text(arena, param), param->rank,
             tensor->rank,
             is_packed(tensor) ? "; it holds weights from pack_weights, which the setting packed=1 takes (--set packed=1)" : "");
  }
  if (param->dtype != tensor->dtype) {
    tg_throw(s->ctx, TG_INVALID, "%s holds %s, but kernel '%s' declares %s", param->name, tg_dtype_name(tensor->dtype), s->record->kernel,
             tg_dtype_name(param->dtype));
  }
  int64_t elements = 1;
  for (int i = 0; i < tensor->rank; i++) {
    if (tensor->dim[i] < 0) tg_throw(s->ctx, TG_INVALID, "%s's axis %d is %lld", param->name, i, (long long)tensor->dim[i]);
    if (__builtin_mul_overflow(elements, tensor->dim[i], &elements)) elements = INT64_MAX;
  }
  if (elements > INT64_MAX / 8 || tensor->bytes < tg_dtype_bytes(param->dtype, elements)) {
    tg_throw(s->ctx, TG_INVALID, "%s of shape %s in %s needs more than the %zu bytes it has", param->name,
             shape_text(arena, tensor->rank, tensor->dim), tg_dtype_name(param->dtype), tensor->bytes);
  }
}

// ---- packed weights: 64 bytes of eight little-endian i64: "TGLPACK1", N, K, layout, device family, matrices (0 = one), 0, 0

enum { PACK_LAYOUT = 1, PACK_FAMILY_CPU = 1 };

static int64_t little_endian(const unsigned char *bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
  return (int64_t)value;
}

static void read_packed(struct solver *s, const tg_record_param *param, const tg_tensor *tensor) {
  const unsigned char *header = tensor->data;
  if (!is_packed(tensor)) {
    tg_throw(s->ctx, TG_INVALID,
             "%s is not packed weights (its first bytes are not a TGLPACK1 header): make it with pack_weights, or pass it "
             "row-major with --set packed=0",
             param->name);
  }
  int64_t field[7];
  for (int i = 0; i < 7; i++) field[i] = little_endian(header + 8 + 8 * i);
  if (field[2] != PACK_LAYOUT || field[3] != PACK_FAMILY_CPU || field[5] || field[6]) {
    tg_throw(s->ctx, TG_INVALID,
             "%s is packed in layout %lld for device family %lld; this device takes layout %d of family %d (cpu): pack the "
             "weights again with this version's pack_weights",
             param->name, (long long)field[2], (long long)field[3], PACK_LAYOUT, PACK_FAMILY_CPU);
  }
  if (field[4] < 0 || (field[4] > 1 && !param->packed[2]))
    tg_throw(s->ctx, TG_INVALID, "%s holds %lld packed matrices; kernel '%s' takes one", param->name, (long long)field[4],
             s->record->kernel);
  static const char *const letters[] = {"N", "K"};
  for (int i = 0; i < 2; i++) {
    const char *where = tg_arena_printf(s->record->arena, "%s's pack header (%s)", param->name, letters[i]);
    if (field[i] < 0) tg_throw(s->ctx, TG_INVALID, "%s holds %lld", where, (long long)field[i]);
    if (param->packed[i] && (i || field[4] || !param->packed[2])) match(s, param->packed[i], field[i], where);
  }
  if (param->packed[2] && field[4])
    match(s, param->packed[2], field[4], tg_arena_printf(s->record->arena, "%s's pack header (matrices)", param->name));
}

// Several matrices that were packed as one: as good, if each begins with a whole panel.
static void match_stacked(struct solver *s, const tg_record_param *param, const tg_tensor *tensor) {
  enum { PANEL = 32 };
  const unsigned char *header = tensor->data;
  if (!param->packed[2] || little_endian(header + 40)) return;
  const int64_t rows = little_endian(header + 8);
  const tg_expr *all = tg_e_bin(s->record->arena, TG_EXPR_MUL, param->packed[2], param->packed[0]);
  match(s, all, rows, tg_arena_printf(s->record->arena, "%s's pack header (N)", param->name));
  int64_t each, matrices;
  const char *missing;
  if (!tg_e_eval(param->packed[0], tg_dims_lookup, s->dims, &each, &missing) ||
      !tg_e_eval(param->packed[2], tg_dims_lookup, s->dims, &matrices, &missing))
    return;
  if (matrices > 1 && each % PANEL)
    tg_throw(s->ctx, TG_INVALID,
             "%s was packed as one matrix of %lld rows, but holds %lld of %lld rows, no multiple of %d: pack it with "
             "pack_weights --set experts=%lld",
             param->name, (long long)rows, (long long)matrices, (long long)each, PANEL, (long long)matrices);
}

// ---- the order: exact shapes left to right, then --shape, then shapes that a rounded division blurs

static bool solve_tensors(struct solver *s, int ntensors, const tg_tensor *tensors) {
  bool all = true;
  for (int i = 0; i < s->record->nparams; i++) {
    const tg_record_param *param = &s->record->params[i];
    const tg_tensor *tensor = tensor_of(param->name, ntensors, tensors);
    if (!tensor) continue;
    for (int axis = 0; axis < param->rank; axis++) {
      all &= match(s, param->dims[axis], tensor->dim[axis], tg_arena_printf(s->record->arena, "%s's axis %d", param->name, axis));
    }
  }
  return all;
}

static void solve_until_settled(struct solver *s, int ntensors, const tg_tensor *tensors) {
  for (int before = -1; before != s->dims->n;) {
    before = s->dims->n;
    if (solve_tensors(s, ntensors, tensors)) return;
  }
}

int64_t tg_binding_int(tg_context *ctx, const tg_binding *binding, const char *option) {
  char *end;
  errno = 0;
  long long value = strtoll(binding->value, &end, 10);
  if (end == binding->value || *end || errno) {
    tg_throw(ctx, TG_INVALID, "%s %s=%s: '%s' is not a 64-bit integer", option, binding->name, binding->value, binding->value);
  }
  return value;
}

// A letter that an option sets is no symbol of the traced kernel: it has to agree.
static bool is_set(struct solver *s, const tg_binding *letter) {
  const char *value = tg_bindings_find(&s->record->config, letter->name);
  if (!value) return false;
  char *end;
  if (tg_binding_int(s->ctx, letter, "--shape") != strtoll(value, &end, 10) || *end)
    tg_throw(s->ctx, TG_INVALID, "--shape %s=%s contradicts the setting %s=%s of kernel '%s': change it with --set", letter->name,
             letter->value, letter->name, value, s->record->kernel);
  return true;
}

static void apply_shape(struct solver *s, const tg_bindings *shape) {
  for (int i = 0; i < shape->n; i++) {
    const char *name = shape->at[i].name;
    int known = 0;
    while (known < s->record->nsymbols && strcmp(s->record->symbols[known], name) != 0) known++;
    if (known == s->record->nsymbols && is_set(s, &shape->at[i])) continue;
    if (known == s->record->nsymbols) {
      tg_text text = {.arena = s->record->arena};
      for (int j = 0; j < s->record->nsymbols; j++) tg_text_add(&text, "%s%s", j ? ", " : "", s->record->symbols[j]);
      tg_throw(s->ctx, TG_INVALID, "--shape %s=%s: kernel '%s' has no dim '%s'; its dims are %s", name, shape->at[i].value,
               s->record->kernel, name, text.size ? text.data : "all fixed");
    }
    define(s, name, tg_binding_int(s->ctx, &shape->at[i], "--shape"), "--shape");
  }
}

// What is still unaccounted for after the last pass has an unknown with no value that fits, or several unknowns.
static void check_settled(struct solver *s, int ntensors, const tg_tensor *tensors) {
  for (int i = 0; i < s->record->nparams; i++) {
    const tg_record_param *param = &s->record->params[i];
    const tg_tensor *tensor = tensor_of(param->name, ntensors, tensors);
    for (int axis = 0; tensor && axis < param->rank; axis++) {
      const char *where = tg_arena_printf(s->record->arena, "%s's axis %d", param->name, axis);
      if (match(s, param->dims[axis], tensor->dim[axis], where)) continue;
      tg_throw(s->ctx, TG_INVALID, "%s is %lld, which no dims fit to %s: give the open ones with --shape", where,
               (long long)tensor->dim[axis], tg_e_text(s->record->arena, param->dims[axis]));
    }
  }
}

void tg_dims_solve(tg_context *ctx, const tg_record *record, int ntensors, const tg_tensor *tensors, const tg_bindings *shape,
                   tg_dims *out) {
  out->n = 0;
  struct solver s = {ctx, record, out, false};
  for (int i = 0; i < record->statics.n; i++)
    define(&s, record->statics.at[i].name, tg_binding_int(ctx, &record->statics.at[i], "--fix"), "the kernel's statics");
  for (int i = 0; i < record->nparams; i++) {
    const tg_tensor *tensor = tensor_of(record->params[i].name, ntensors, tensors);
    if (tensor) check_tensor(&s, &record->params[i], tensor);
  }
  for (int i = 0; i < record->nparams; i++) {
    const tg_record_param *param = &record->params[i];
    const tg_tensor *tensor = tensor_of(param->name, ntensors, tensors);
    if (tensor && (param->flags & TG_PARAM_PACKED) && param->kind != TG_OUTPUT) read_packed(&s, param, tensor);
  }
  solve_until_settled(&s, ntensors, tensors);
  for (int i = 0; i < record->nparams; i++) {
    const tg_record_param *param = &record->params[i];
    const tg_tensor *tensor = tensor_of(param->name, ntensors, tensors);
    if (tensor && (param->flags & TG_PARAM_PACKED) && param->kind != TG_OUTPUT) match_stacked(&s, param, tensor);
  }
  if (shape) apply_shape(&s, shape);
  solve_until_settled(&s, ntensors, tensors);
  s.rounding = true;
  solve_until_settled(&s, ntensors, tensors);
  check_settled(&s, ntensors, tensors);
}
