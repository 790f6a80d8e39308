// Writing JSON into growing text.
#ifndef TG_JSON_H
#define TG_JSON_H

#include "ir/base.h"

void tg_json_string(tg_text *text, const char *value); // quoted and escaped
void tg_json_key(tg_text *text, const char *key);      // `,` where one is due, the key and `:`

#endif
