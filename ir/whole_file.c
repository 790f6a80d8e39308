// Files that come whole or not at all.
#include "ir/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void tg_whole_open(tg_whole_file *w, tg_context *ctx, const char *file) {
  *w = (tg_whole_file){.ctx = ctx, .file = file, .fd = -1};
  struct stat st;
  if (stat(file, &st) == 0) {
    if (!realpath(file, w->target)) tg_throw(ctx, TG_INVALID, "%s: %s", file, strerror(errno));
    if (S_ISDIR(st.st_mode)) tg_throw(ctx, TG_INVALID, "%s: is a directory; name a file", file);
    if (!S_ISREG(st.st_mode)) {
      w->fd = open(file, O_WRONLY | O_CLOEXEC);
      if (w->fd < 0) tg_throw(ctx, TG_FAILED, "%s: cannot be written: %s", file, strerror(errno));
      return;
    }
  } else {
    if (strlen(file) >= sizeof w->target) tg_throw(ctx, TG_INVALID, "a file name of %zu bytes is too long", strlen(file));
    strcpy(w->target, file);
  }
  for (int attempt = 0; attempt < 100 && w->fd < 0; attempt++) { // beside the target, so that the rename stays within one file system
    snprintf(w->part, sizeof w->part, "%s.part%ld-%d", w->target, (long)getpid(), attempt);
    w->fd = open(w->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0 && errno != EEXIST) break;
  }
  if (w->fd < 0) {
    w->part[0] = 0;
    const bool full = errno == ENOSPC || errno == EDQUOT || errno == EIO; // any other reason lies in the name
    tg_throw(ctx, full ? TG_FAILED : TG_INVALID, "%s: cannot be created: %s", file, strerror(errno));
  }
}

void tg_whole_write(tg_whole_file *w, const void *data, size_t n) {
  const char *at = data;
  while (n) {
    const ssize_t wrote = write(w->fd, at, n > (1u << 30) ? 1u << 30 : n);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0)
      tg_throw(w->ctx, TG_FAILED, "%s: could not be written (%s); nothing was left behind: free some space or name another place", w->file,
               wrote < 0 ? strerror(errno) : "no progress");
    at += wrote;
    n -= (size_t)wrote;
  }
}

void tg_whole_commit(tg_whole_file *w) {
  const int fd = w->fd;
  w->fd = -1;
  if (close(fd)) tg_throw(w->ctx, TG_FAILED, "%s: could not be written: %s; nothing was left behind", w->file, strerror(errno));
  if (w->part[0] && rename(w->part, w->target)) tg_throw(w->ctx, TG_FAILED, "%s: cannot be replaced: %s", w->file, strerror(errno));
  w->part[0] = 0;
}

void tg_whole_drop(tg_whole_file *w) {
  if (!w->ctx) return;
  if (w->fd >= 0) close(w->fd);
  if (w->part[0]) unlink(w->part);
  w->fd = -1;
  w->part[0] = 0;
}
