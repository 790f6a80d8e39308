#include "targets/finish.h"

const tg_finisher tg_finishers[] = {{"cpu", tg_finish_cpu}, {"nvptx", tg_finish_nvptx}, {NULL, NULL}};
