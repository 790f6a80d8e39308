// Finishers of all families; each lives in its family's folder. The table is in targets/finish.c.
#ifndef TG_FINISH_H
#define TG_FINISH_H

#include "targets/target.h"

tg_bytes tg_finish_cpu(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record);
tg_bytes tg_finish_nvptx(tg_kernel *lane, const tg_machine *machine, const char *want, tg_arena *arena, tg_record *record);

#endif
