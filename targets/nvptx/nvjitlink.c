// nvJitLink, NVIDIA's linker as a library, opened at run time: it assembles PTX in this process. Its functions carry the version of the
// interface in their names (nvJitLink.h of CUDA 13.0).
#include <dlfcn.h>

#include "targets/nvptx/assemble.h"
#include "targets/nvptx/tools.h"

enum { INPUT_PTX = 2 }; // nvJitLinkInputType

typedef struct library {
  char path[1024];
  void *handle;
  int (*create)(void **link, uint32_t n, const char **options);
  int (*add_data)(void *link, int type, const void *data, size_t size, const char *name);
  int (*complete)(void *link);
  int (*cubin_size)(void *link, size_t *size);
  int (*cubin)(void *link, void *out);
  int (*errors_size)(void *link, size_t *size);
  int (*errors)(void *link, char *out);
  int (*remarks_size)(void *link, size_t *size);
  int (*remarks)(void *link, char *out);
  int (*destroy)(void **link);
  int (*version)(unsigned *major, unsigned *minor);
} library;

static library *opened(tg_context *ctx, const char *path) {
  static library kept;
  if (kept.handle && !strcmp(kept.path, path)) return &kept;
  library l = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
  if (!l.handle) tg_throw(ctx, TG_FAILED, "cannot open %s: %s", path, dlerror());
  const struct {
    void *to;
    const char *name;
  } functions[] = {{&l.create, "__nvJitLinkCreate_13_0"},
                   {&l.add_data, "__nvJitLinkAddData_13_0"},
                   {&l.complete, "__nvJitLinkComplete_13_0"},
                   {&l.cubin_size, "__nvJitLinkGetLinkedCubinSize_13_0"},
                   {&l.cubin, "__nvJitLinkGetLinkedCubin_13_0"},
                   {&l.errors_size, "__nvJitLinkGetErrorLogSize_13_0"},
                   {&l.errors, "__nvJitLinkGetErrorLog_13_0"},
                   {&l.remarks_size, "__nvJitLinkGetInfoLogSize_13_0"},
                   {&l.remarks, "__nvJitLinkGetInfoLog_13_0"},
                   {&l.destroy, "__nvJitLinkDestroy_13_0"},
                   {&l.version, "nvJitLinkVersion"}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *function = dlsym(l.handle, functions[i].name);
    if (!function) {
      dlclose(l.handle);
      tg_throw(ctx, TG_FAILED, "%s has no function %s: it is not the nvJitLink of CUDA 13", path, functions[i].name);
    }
    memcpy(functions[i].to, &function, sizeof function);
  }
  snprintf(l.path, sizeof l.path, "%s", path);
  kept = l; // one that was open before stays so: it may have threads
  return &kept;
}

static const char *log_of(tg_arena *arena, void *link, int (*size)(void *, size_t *), int (*get)(void *, char *)) {
  size_t n = 0;
  if (size(link, &n) || n == 0) return "";
  char *text = tg_arena_alloc(arena, n + 1);
  if (get(link, text)) return "";
  text[n] = 0;
  tg_tool_plain(text, strlen(text));
  return text;
}

typedef struct job {
  tg_context *ctx;
  tg_arena *arena;
  library *l;
  void *link;
  const char *arch;
  tg_bytes ptx;
  tg_assembly *out;
} job;

static void assemble_body(void *arg) {
  job *j = arg;
  const library *l = j->l;
  char *text = tg_arena_strndup(j->arena, j->ptx.data, j->ptx.size); // with the NUL that it wants counted
  int error = l->add_data(j->link, INPUT_PTX, text, j->ptx.size + 1, "kernel");
  if (!error) error = l->complete(j->link);
  if (error)
    tg_throw(j->ctx, TG_FAILED, "%s does not take the PTX (error %d): %s", l->path, error,
             tg_assembly_complaint(j->arena, log_of(j->arena, j->link, l->errors_size, l->errors), j->ptx));
  size_t size = 0;
  if (l->cubin_size(j->link, &size) || !size) tg_throw(j->ctx, TG_FAILED, "%s left no cubin", l->path);
  j->out->cubin = (tg_bytes){tg_arena_alloc(j->arena, size), size};
  if (l->cubin(j->link, j->out->cubin.data)) tg_throw(j->ctx, TG_FAILED, "%s does not give its cubin", l->path);
  tg_assembly_read(j->arena, log_of(j->arena, j->link, l->remarks_size, l->remarks), j->out);
  unsigned major = 0, minor = 0;
  l->version(&major, &minor);
  j->out->tool = tg_arena_printf(j->arena, "nvJitLink %u.%u", major, minor);
}

void tg_nvjitlink_assemble(tg_context *ctx, tg_arena *arena, const char *path, const char *arch, tg_bytes ptx, tg_assembly *out) {
  job j = {.ctx = ctx, .arena = arena, .l = opened(ctx, path), .arch = arch, .ptx = ptx, .out = out};
  const char *options[] = {tg_arena_printf(arena, "-arch=%s", arch), "-Xptxas=-v", "-no-cache"};
  const int error = j.l->create(&j.link, 3, options);
  if (error) tg_throw(ctx, TG_FAILED, "%s cannot assemble for %s (error %d)", path, arch, error);
  const tg_status status = tg_protect(ctx, assemble_body, &j);
  j.l->destroy(&j.link);
  if (status) tg_rethrow(ctx);
}
