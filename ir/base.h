// Context internals, arena, protected calls, strings: what every folder below the public API stands on.
//
// Errors: inside the core a failure is `tg_throw`, which unwinds to the innermost tg_protect of the context. Public functions open one.
// Memory is taken from arenas that belong to a context, kernel or artifact, so unwinding leaks nothing; whoever owns anything else (files,
// processes, LLVM objects) runs the part that may throw under a tg_protect of its own, lets go, and rethrows.
#ifndef TG_BASE_H
#define TG_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tegula/tegula.h"

typedef struct tg_arena_block tg_arena_block;
typedef struct tg_arena {
  tg_context *ctx;
  tg_arena_block *head;
  size_t used, capacity; // of the head block
} tg_arena;

void tg_arena_init(tg_arena *arena, tg_context *ctx);
void tg_arena_free(tg_arena *arena);
void *tg_arena_alloc(tg_arena *arena, size_t bytes); // zeroed, 16-byte aligned, throws TG_NO_MEMORY
char *tg_arena_strdup(tg_arena *arena, const char *text);
char *tg_arena_strndup(tg_arena *arena, const char *text, size_t n);
char *tg_arena_printf(tg_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Room for one more element in an array of n that only this function has grown: the same array, or a copy twice as large.
void *tg_arena_grow(tg_arena *arena, void *array, size_t n, size_t element);
#define TG_NEW(arena, type)     ((type *)tg_arena_alloc(arena, sizeof(type)))
#define TG_NEWN(arena, type, n) ((type *)tg_arena_alloc(arena, sizeof(type) * (size_t)(n)))

typedef struct tg_frame {
  jmp_buf jump;
  struct tg_frame *outer;
} tg_frame;

struct tg_context {
  tg_config config;   // strings copied into `arena`, defaults resolved
  tg_arena arena;     // lives as long as the context
  tg_frame *frame;    // innermost protected call
  tg_status status;   // of the error being thrown
  char message[4096]; // its sentence
  int dump_count;     // numbered dump files so far
  void *slots[16];    // per-folder state (see enum tg_slot), freed by `slot_free`
  void (*slot_free[16])(tg_context *ctx, void *state);
};
enum tg_slot {
  TG_SLOT_LUA,
  TG_SLOT_COMPILER,
  TG_SLOT_MACHINES,
  TG_SLOT_DEVICES,
  TG_SLOT_DATABASE,
  TG_SLOT_LIBRARY,
  TG_SLOT_TARGETS,
  TG_SLOT_CUDA
};

// Raises: formats the sentence (without the "tegula: error: " prefix, which the command line adds) and unwinds.
_Noreturn void tg_throw(tg_context *ctx, tg_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void tg_rethrow(tg_context *ctx);                // passes the error in ctx->status/message on to the next frame
void *tg_realloc(tg_context *ctx, void *ptr, size_t size); // context's allocator; throws TG_NO_MEMORY; size 0 frees

// Runs body(arg) with a fresh innermost frame; returns TG_OK or the status thrown (message in ctx). Every public function that can fail is
// a small struct of arguments, a body and one call of this.
tg_status tg_protect(tg_context *ctx, void (*body)(void *arg), void *arg);

// Growing text.
typedef struct tg_text {
  tg_arena *arena;
  char *data; // NUL-terminated once anything was added
  size_t size, capacity;
} tg_text;
void tg_text_add(tg_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tg_text_append(tg_text *text, const char *data, size_t n);

uint64_t tg_hash(const void *data, size_t n, uint64_t seed); // for keys and hash tables, not for adversaries

// Makes the directories that a file's name goes through; what cannot be made shows when the file is opened.
void tg_make_parents(const char *file);

double tg_seconds(void);           // from some start, on a clock that only goes forward
double tg_processor_seconds(void); // that this thread has used

#endif
