// The compile helper: reads jobs on standard input and writes products on standard output until its input ends (targets/wire.h);
// `--dump DIR` is tg_config.dump_dir.
// `tegula-worker measure` is the tuner's measuring process instead (autotune/measure.c).
#include <signal.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "targets/wire.h"

typedef struct worker_job {
  tg_context *ctx;
  tg_arena *arena;
  tg_bytes payload, reply;
} worker_job;

static void compile(void *arg) {
  worker_job *w = arg;
  tg_job job = {0};
  tg_product product = {0};
  tg_wire_decode_job(w->ctx, w->arena, w->payload, &job);
  tg_compile_here(w->ctx, &job, w->arena, &product);
  w->reply = tg_wire_encode_product(w->arena, &product);
}

static void receive(void *arg) {
  worker_job *w = arg;
  if (tg_wire_receive(STDIN_FILENO, 0, w->arena, &w->payload) != TG_WIRE_OK) w->payload.data = NULL;
}

static void describe_failure(void *arg) {
  worker_job *w = arg;
  w->reply = tg_wire_encode_error(w->arena, w->ctx->status, w->ctx->message);
}

// One job; false when there are no more.
static bool serve(tg_context *ctx) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  worker_job w = {.ctx = ctx, .arena = &arena};
  bool alive = tg_protect(ctx, receive, &w) == TG_OK && w.payload.data;
  if (alive && tg_protect(ctx, compile, &w) != TG_OK) alive = tg_protect(ctx, describe_failure, &w) == TG_OK;
  alive = alive && tg_wire_send(STDOUT_FILENO, w.reply, 0) == TG_WIRE_OK;
  tg_arena_free(&arena);
  return alive;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "measure") == 0) return tg_measure_serve(TG_MEASURE_FD, &tg_backend_device);
  signal(SIGPIPE, SIG_IGN);
  tg_context *ctx;
  const tg_config config = {.dump_dir = argc == 3 && strcmp(argv[1], "--dump") == 0 ? argv[2] : NULL};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  while (serve(ctx)) continue;
  tg_context_free(ctx);
  return 0;
}
