// Kernels as text. The form is described in README.md; parse.c reads it back.
#include "ir/ir.h"

typedef struct printer {
  tg_arena *arena;
  tg_text text;
  uint32_t *number; // by id, 0 = not yet printed; NULL prints ids
  uint32_t count;
  int depth;
} printer;

static void indent(printer *p) {
  for (int i = 0; i < p->depth; i++) tg_text_append(&p->text, "  ", 2);
}

static void put(printer *p, const char *s) { tg_text_append(&p->text, s, strlen(s)); }

static void put_value(printer *p, const tg_value *v) {
  uint32_t n = v->id;
  if (p->number) {
    if (!p->number[n]) p->number[n] = ++p->count;
    n = p->number[n] - 1;
  }
  tg_text_add(&p->text, "%%%u", n);
}

static void put_type(printer *p, tg_type t) { put(p, tg_type_text(p->arena, t)); }

// C99 hexadecimal, digits as %a gives them but with a point in every locale.
static void put_float(printer *p, double f) {
  uint64_t bits;
  memcpy(&bits, &f, sizeof bits);
  uint64_t mantissa = bits & 0xfffffffffffffu;
  int exponent = (int)(bits >> 52 & 0x7ff);
  if (exponent == 0x7ff) {
    put(p, mantissa ? "nan" : bits >> 63 ? "-inf" : "inf");
    return;
  }
  tg_text_add(&p->text, "%s0x%d", bits >> 63 ? "-" : "", exponent != 0);
  if (mantissa) {
    int digits = 13;
    for (; !(mantissa & 15); mantissa >>= 4) digits--;
    tg_text_add(&p->text, ".%0*llx", digits, (unsigned long long)mantissa);
  }
  bool zero = !exponent && !mantissa;
  tg_text_add(&p->text, "p%+d", zero ? 0 : exponent ? exponent - 1023 : -1022);
}

static void put_string(printer *p, const char *s) {
  put(p, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') tg_text_add(&p->text, "\\%c", c);
    else if (c == '\n') put(p, "\\n");
    else if (c == '\t') put(p, "\\t");
    else if (c < 32 || c == 127) tg_text_add(&p->text, "\\x%02x", c);
    else tg_text_append(&p->text, s, 1);
  }
  put(p, "\"");
}

static bool plain_name(const char *s, const char *more) {
  for (const char *c = s; *c; c++) {
    bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (c > s && *c >= '0' && *c <= '9') || *c == '_';
    if (!letter && !strchr(more, *c)) return false;
  }
  return *s != 0;
}

static void put_name(printer *p, const char *s, const char *more) {
  if (plain_name(s, more)) put(p, s);
  else put_string(p, s);
}

static void put_loc(printer *p, tg_loc loc) {
  if (!loc.file) return;
  put(p, " @");
  put_name(p, loc.file, "./-+");
  tg_text_add(&p->text, ":%d", loc.line);
}

static void put_expr(printer *p, const tg_expr *e) { put(p, tg_e_text(p->arena, e)); }

static void put_attr(printer *p, const tg_attr *a) {
  tg_text_add(&p->text, "%s = ", a->key);
  switch (a->kind) {
  case TG_ATTR_INT: tg_text_add(&p->text, "%lld", (long long)a->i); break;
  case TG_ATTR_FLOAT: put_float(p, a->f); break;
  case TG_ATTR_STR: put_string(p, a->s); break;
  case TG_ATTR_INTS:
    put(p, "[");
    for (int i = 0; i < a->n; i++) tg_text_add(&p->text, "%s%lld", i ? ", " : "", (long long)a->ints[i]);
    put(p, "]");
    break;
  case TG_ATTR_TYPE: put_type(p, a->type); break;
  case TG_ATTR_EXPR:
    put(p, "expr(");
    put_expr(p, a->e);
    put(p, ")");
    break;
  }
}

static void put_region(printer *p, const tg_region *region);

// All of an op but its regions and location.
static void put_head(printer *p, const tg_op *op) {
  const tg_op_info *info = tg_opcode_info(op->code);
  for (int i = 0; i < op->nout; i++) {
    put(p, i ? ", " : "");
    put_value(p, op->out[i]);
  }
  tg_text_add(&p->text, "%s%s", op->nout ? " = " : "", info->name);
  for (int i = 0; i < op->nin; i++) {
    put(p, i ? ", " : " ");
    put_value(p, op->in[i]);
  }
  for (int i = 0; i < op->nattrs; i++) {
    put(p, i ? ", " : " {");
    put_attr(p, &op->attrs[i]);
  }
  put(p, op->nattrs ? "}" : "");
  for (int i = 0; i < op->nout; i++) {
    put(p, i ? ", " : " : ");
    put_type(p, op->out[i]->type);
  }
}

static void put_op(printer *p, const tg_op *op) {
  indent(p);
  put_head(p, op);
  for (int i = 0; i < op->nregions; i++) {
    const tg_region *r = op->regions[i];
    for (int j = 0; r && j < r->nargs; j++) {
      put(p, j ? ", " : " (");
      put_value(p, r->args[j]);
      put(p, " : ");
      put_type(p, r->args[j]->type);
    }
    put(p, r && r->nargs ? ") {\n" : " {\n");
    if (r) put_region(p, r);
    indent(p);
    put(p, "}");
  }
  put_loc(p, op->loc);
  put(p, "\n");
}

static void put_region(printer *p, const tg_region *region) {
  p->depth++;
  for (const tg_op *op = region->first; op; op = op->next) put_op(p, op);
  p->depth--;
}

// ---- header

static void put_symbols(printer *p, const tg_kernel *k) {
  for (int i = 0; i < k->nsymbols; i++) {
    const tg_symbol *s = &k->symbols[i];
    bool dim = s->kind == TG_SYM_DIM, joined = dim && i && k->symbols[i - 1].kind == TG_SYM_DIM;
    tg_text_add(&p->text, "%s%s", joined ? ", " : dim ? "  dim " : "  static ", s->name);
    if (s->value >= 0) tg_text_add(&p->text, " = %lld", (long long)s->value);
    bool more = dim && i + 1 < k->nsymbols && k->symbols[i + 1].kind == TG_SYM_DIM;
    if (!more) put(p, "\n");
  }
}

static void put_setting(printer *p, const tg_setting *s) {
  tg_text_add(&p->text, "  %s %s = ", s->kind == TG_TUNE ? "tune" : "option", s->name);
  put_string(p, s->value);
  put(p, " fallback ");
  put_string(p, s->fallback);
  for (int i = 0; i < s->nallowed; i++) {
    put(p, i ? ", " : " of (");
    put_string(p, s->allowed[i]);
  }
  put(p, s->nallowed ? ")\n" : "\n");
}

static void put_param(printer *p, const tg_param *q) {
  static const char *const kinds[] = {"input", "output", "inout", "workspace", "scalar"};
  tg_text_add(&p->text, "  %s %s : %s", kinds[q->kind], q->name, tg_dtype_name(q->dtype));
  for (int i = 0; i < q->rank; i++) {
    put(p, i ? ", " : "[");
    put_expr(p, q->dims[i]);
  }
  put(p, q->rank ? "]" : "");
  if (q->flags & TG_PARAM_OPTIONAL) put(p, " optional");
  if (q->flags & TG_PARAM_ZERO) put(p, " zero");
  if (q->flags & TG_PARAM_PACKED) {
    put(p, " packed(");
    put_expr(p, q->packed[0]);
    put(p, ", ");
    put_expr(p, q->packed[1]);
    if (q->packed[2]) put(p, ", "), put_expr(p, q->packed[2]);
    put(p, ")");
  }
  if (q->below) {
    put(p, q->flags & TG_PARAM_INDEX ? " index(" : " offsets(");
    put_expr(p, q->below);
    put(p, q->flags & TG_PARAM_NONE ? ") none" : q->flags & TG_PARAM_DROPS ? ") drops" : ")");
  }
  put_loc(p, q->loc);
  put(p, "\n");
}

static void put_ints(printer *p, const char *what, int n, const int *values) {
  tg_text_add(&p->text, " %s (", what);
  for (int i = 0; i < n; i++) tg_text_add(&p->text, "%s%d", i ? ", " : "", values[i]);
  put(p, ")");
}

static void put_exprs(printer *p, const char *what, int n, const tg_expr *const *e) {
  tg_text_add(&p->text, " %s (", what);
  for (int i = 0; i < n; i++) {
    put(p, i ? ", " : "");
    put_expr(p, e[i]);
  }
  put(p, ")");
}

static void put_map(printer *p, const tg_arg *arg) {
  const tg_arg_map *map = arg->map;
  tg_text_add(&p->text, " of %s %s at (", map->of, tg_dtype_name(arg->dtype));
  put_expr(p, map->byte_offset);
  put(p, ")");
  put_exprs(p, "dims", map->rank, map->dims);
  put_exprs(p, "strides", map->rank - 1, map->strides_bytes);
  put_ints(p, "box", map->rank, map->box);
  put_ints(p, "steps", map->rank, map->element_strides);
  tg_text_add(&p->text, " swizzle %d fill %s", map->swizzle, tg_map_fills[map->fill]);
}

static void put_launch(printer *p, const tg_launch *l) {
  bool lane = l->kernel->level == TG_LEVEL_LANE;
  put(p, "  launch ");
  if (lane) tg_text_add(&p->text, "%s ", l->entry ? l->entry : "_");
  for (int i = 0; i < l->naxes; i++) {
    put(p, i ? ", " : "(");
    put_expr(p, l->grid[i]);
  }
  put(p, ")");
  if (lane) tg_text_add(&p->text, " block (%d, %d, %d)", l->block[0], l->block[1], l->block[2]);
  if (l->cluster > 1) tg_text_add(&p->text, " cluster %d", l->cluster);
  if (lane) put(p, " (");
  for (int i = 0; i < l->nargs; i++) {
    put(p, i ? ", " : "");
    put_value(p, l->body->args[i]);
    put(p, " : ");
    put_type(p, l->body->args[i]->type);
    put(p, " = ");
    put_name(p, l->args[i].name, ".");
    if (l->args[i].map) put_map(p, &l->args[i]);
    if (!l->args[i].value) continue;
    put(p, " \"");
    put_expr(p, l->args[i].value);
    put(p, "\"");
  }
  put(p, lane ? ") {\n" : " {\n");
  p->depth = 1;
  put_region(p, l->body);
  put(p, "  }");
  put_loc(p, l->loc);
  put(p, "\n");
}

const char *tg_print(tg_arena *arena, const tg_kernel *kernel, size_t *length) {
  printer p = {.arena = arena, .text = {.arena = arena}, .number = TG_NEWN(arena, uint32_t, kernel->next_id + 1)};
  tg_text_add(&p.text, "kernel %s %s {\n", kernel->name, kernel->level == TG_LEVEL_TILE ? "tile" : "lane");
  put_symbols(&p, kernel);
  for (int i = 0; i < kernel->nsettings; i++) put_setting(&p, &kernel->settings[i]);
  for (int i = 0; i < kernel->nparams; i++) put_param(&p, &kernel->params[i]);
  for (int i = 0; i < kernel->npreconditions; i++) {
    put(&p, "  require ");
    put_string(&p, kernel->preconditions[i]);
    put(&p, "\n");
  }
  for (int i = 0; i < kernel->nlaunches; i++) put_launch(&p, kernel->launches[i]);
  put(&p, "}");
  put_loc(&p, kernel->loc);
  put(&p, "\n");
  if (length) *length = p.text.size;
  return p.text.data;
}

// ---- values, for the op `print`

int tg_printed_slots(tg_type type) {
  if (type.kind == TG_RANGE) return 2;
  if (type.kind != TG_TILE) return 0;
  const int64_t n = tg_type_elements(type);
  return n < TG_PRINTED ? (int)n : TG_PRINTED;
}

__attribute__((format(printf, 4, 5))) static size_t append(char *out, size_t used, size_t size, const char *format, ...) {
  if (used + 1 >= size) return used;
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(out + used, size - used, format, args);
  va_end(args);
  return n < 0 ? used : used + (size_t)n < size ? used + (size_t)n : size - 1;
}

size_t tg_print_value(char *out, size_t used, size_t size, tg_type type, const uint64_t *slots) {
  if (type.kind == TG_RANGE) return append(out, used, size, " range %lld…%lld", (long long)slots[0], (long long)slots[1]);
  if (type.kind != TG_TILE) return used;
  used = append(out, used, size, " %s", tg_dtypes[type.dtype].name);
  for (int i = 0; i < type.rank; i++) used = append(out, used, size, "%c%d", i ? 'x' : '[', type.dim[i]);
  if (type.rank) used = append(out, used, size, "]");
  const int n = tg_printed_slots(type);
  for (int i = 0; i < n; i++) {
    double x;
    memcpy(&x, &slots[i], sizeof x);
    if (tg_dtype_is_float(type.dtype)) used = x == x ? append(out, used, size, " %.9g", x) : append(out, used, size, " nan"); // of any sign
    else used = append(out, used, size, " %lld", (long long)slots[i]);
  }
  return tg_type_elements(type) > n ? append(out, used, size, " …") : used;
}
