// The innermost loops that do the work of the library's products on AVX-512 processors, as assembly: all products in zmm registers, no
// vector register spilled in them, few instructions beside.
#include <ctype.h>

#include "tegula/tegula.h"
#include "test.h"

static tg_context *ctx;

typedef struct loop {
  int instructions, products, wide, spills;
} loop;

static int count(const char *from, const char *to, const char *word) {
  int n = 0;
  for (const char *p = from; (p = strstr(p, word)) && p < to; p += strlen(word)) n++;
  return n;
}

static loop look(const char *from, const char *to, const char *product) {
  loop l = {.products = count(from, to, product), .spills = count(from, to, "Spill") + count(from, to, "Reload")};
  for (const char *p = from; p && p < to; p = strchr(p, '\n')) {
    p++;
    if (p[0] != '\t' || !isalpha((unsigned char)p[1])) continue;
    const char *end = strchr(p, '\n');
    l.instructions++;
    l.wide += count(p, end, product) && count(p, end, "%zmm");
  }
  return l;
}

// Innermost loops: from a label to the first jump back to it, no other label's loop in between.
static int find(const char *text, const char *product, int least, loop *out, int most) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, "Inner Loop Header")) && n < most;) {
    const char *label = p;
    while (label > text && strncmp(label, "\n.LBB", 5) != 0) label--;
    label++;
    char name[32];
    snprintf(name, sizeof name, "\t%.*s\n", (int)strcspn(label, ":"), label);
    const char *end = strstr(p, name);
    p += 17;
    if (!end) continue;
    const loop l = look(label, end, product);
    if (l.products >= least) out[n++] = l;
  }
  return n;
}

static void test(const char *kernel, const char *target, const char *name, const char *value, const char *product) {
  tg_source *source = NULL;
  tg_artifact *artifact = NULL;
  const tg_binding setting = {name, value};
  const tg_compile_options options = {.target = target, .settings = {name ? 1 : 0, &setting}};
  const char *text = NULL;
  size_t size;
  if (tg_source_load(ctx, kernel, &source) || tg_compile(ctx, source, &options, &artifact) ||
      tg_artifact_emit(artifact, "asm", NULL, (const void **)&text, &size)) {
    CHECKF(false, "%s for %s: %s", kernel, target, tg_error_message(ctx));
  } else {
    loop loops[8];
    const int n = find(text, product, 8, loops, 8);
    CHECKF(n >= 2, "%s for %s: %d loops of %s", kernel, target, n, product); // of 14 rows and of 8
    for (int i = 0; i < n; i++) {
      const loop *l = &loops[i];
      CHECKF(l->wide == l->products && !l->spills, "%s for %s: of %d %s %d in zmm, %d spills", kernel, target, l->products, product,
             l->wide, l->spills);
      CHECKF(l->products == 56 || l->products == 32, "%s for %s: %d %s in a loop", kernel, target, l->products, product);
      CHECKF(l->instructions * 10 <= l->products * 19, "%s for %s: %d instructions for %d %s", kernel, target, l->instructions, l->products,
             product);
    }
  }
  tg_artifact_free(artifact);
  tg_source_free(source);
}

int main(void) {
  const tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx)) return 1;
  static const char *const targets[] = {"cpu:avx512", "cpu:avx512bf16"};
  for (int t = 0; t < 2; t++) {
    const char *pairs = t ? "vdpbf16ps" : "vfmadd";
    test("gemm_f32", targets[t], NULL, NULL, "vfmadd");
    test("gemm_bf16", targets[t], NULL, NULL, pairs);
    test("gemm_fp8", targets[t], "packed", "0", pairs);
    test("gemm_fp8", targets[t], "packed", "1", pairs);
  }
  test("gemm_bf16", "cpu:avx512bf16", "dot2", "0", "vfmadd");
  tg_context_free(ctx);
  return test_done();
}
