// The smallest test harness that serves: CHECK counts and prints failures with file and line; TEST_MAIN's exit status says whether all
// passed.
#ifndef TG_TEST_H
#define TG_TEST_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One count for all files of a program: tables of cases lie in libraries beside the main file.
__attribute__((weak)) int test_checks, test_failures;

#define CHECK(condition)                                                                                                                   \
  do {                                                                                                                                     \
    test_checks++;                                                                                                                         \
    if (!(condition)) {                                                                                                                    \
      test_failures++;                                                                                                                     \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                                              \
    }                                                                                                                                      \
  } while (0)
// With a message that shows the values.
#define CHECKF(condition, ...)                                                                                                             \
  do {                                                                                                                                     \
    test_checks++;                                                                                                                         \
    if (!(condition)) {                                                                                                                    \
      test_failures++;                                                                                                                     \
      if (test_failures < 50) {                                                                                                            \
        fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition);                                                            \
        fprintf(stderr, __VA_ARGS__);                                                                                                      \
        fputc('\n', stderr);                                                                                                               \
      }                                                                                                                                    \
    }                                                                                                                                      \
  } while (0)
#define CHECK_STR(got, want)                                                                                                               \
  do {                                                                                                                                     \
    const char *got_ = (got), *want_ = (want);                                                                                             \
    test_checks++;                                                                                                                         \
    if (!got_ || strcmp(got_, want_)) {                                                                                                    \
      test_failures++;                                                                                                                     \
      fprintf(stderr, "%s:%d: failed: got\n%s\nwant\n%s\n", __FILE__, __LINE__, got_ ? got_ : "NULL", want_);                              \
    }                                                                                                                                      \
  } while (0)

static inline int test_done(void) {
  printf("%d checks, %d failed\n", test_checks, test_failures);
  return test_failures ? 1 : 0;
}
#endif
