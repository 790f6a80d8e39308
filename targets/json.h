// Writing JSON into growing text, for every document of the core.
#ifndef TG_JSON_H
#define TG_JSON_H

#include "ir/base.h"

void tg_json_string(tg_text *text, const char *value);      // quoted and escaped; NULL is ""
void tg_json_bindings(tg_text *text, tg_bindings bindings); // {"BM":64,"mode":"x"}: plain integers become numbers

void tg_json_comma(tg_text *text);                // where one is due: after anything but an opening bracket or a colon
void tg_json_key(tg_text *text, const char *key); // `,` where one is due, the key and `:`
// A key and its value.
void tg_json_put_string(tg_text *text, const char *key, const char *value);
// Whole numbers in full, others to nine digits; null when not finite.
void tg_json_put_number(tg_text *text, const char *key, double value);
void tg_json_put_int(tg_text *text, const char *key, int64_t value);
void tg_json_put_bool(tg_text *text, const char *key, bool value);
void tg_json_put_bindings(tg_text *text, const char *key, tg_bindings bindings);
void tg_json_put_strings(tg_text *text, const char *key, int n, const char *const *strings);

#endif
