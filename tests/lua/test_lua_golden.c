// The text of each library kernel's tile IR. golden/*.tile name the kernel and its settings in their first line: "// gemm_fp8 packed=1".
// TEGULA_UPDATE_GOLDEN=1 writes them anew; what changed is then read before it is committed.
#include "tegula/tegula.h"
#include "test.h"

#include <dirent.h>

static tg_context *ctx;

static char *read_all(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = calloc(1, 1 << 18);
  size_t n = fread(text, 1, (1 << 18) - 1, f);
  fclose(f);
  text[n] = 0;
  return text;
}

static tg_kernel *trace(char *command) {
  tg_binding at[8];
  tg_bindings settings = {0, at};
  char *save, *name = strtok_r(command, " ", &save);
  for (char *word; (word = strtok_r(NULL, " ", &save)) && settings.n < 8;) {
    char *equal = strchr(word, '=');
    if (!equal) break;
    *equal = 0;
    at[settings.n++] = (tg_binding){word, equal + 1};
  }
  tg_source *source;
  tg_kernel *kernel = NULL;
  if (tg_source_load(ctx, name, &source) != TG_OK) return NULL;
  if (tg_source_trace(source, &settings, NULL, &kernel) != TG_OK) kernel = NULL;
  tg_source_free(source);
  return kernel;
}

static void test_file(const char *path) {
  char *want = read_all(path), command[256] = "";
  CHECKF(want && sscanf(want, "// %255[^\n]", command) == 1, "%s: no command in the first line", path);
  char line[300];
  snprintf(line, sizeof line, "// %s\n", command);
  tg_kernel *kernel = trace(command);
  CHECKF(kernel, "%s: %s", path, tg_error_message(ctx));
  const char *text;
  size_t size;
  if (kernel && tg_kernel_print(kernel, &text, &size) == TG_OK) {
    if (getenv("TEGULA_UPDATE_GOLDEN")) {
      FILE *f = fopen(path, "wb");
      fprintf(f, "%s%s", line, text);
      fclose(f);
    } else {
      CHECK_STR(text, want + strlen(line));
    }
    tg_kernel *again = NULL; // the text reads back to the same kernel
    CHECKF(tg_kernel_parse(ctx, text, size, path, &again) == TG_OK, "%s: %s", path, tg_error_message(ctx));
    const char *second;
    size_t length;
    if (again && tg_kernel_print(again, &second, &length) == TG_OK) CHECK_STR(second, text);
    if (again) tg_kernel_free(again);
  }
  if (kernel) tg_kernel_free(kernel);
  free(want);
}

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  const char *folder = TESTS_DIR "/lua/golden";
  DIR *dir = opendir(folder);
  int files = 0;
  for (struct dirent *e; dir && (e = readdir(dir));) {
    if (!strstr(e->d_name, ".tile")) continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    test_file(path);
    files++;
  }
  if (dir) closedir(dir);
  CHECK(files >= 12);
  tg_context_free(ctx);
  return test_done();
}
