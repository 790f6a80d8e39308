// Reading JSON (RFC 8259) a token at a time, strictly, from text that somebody else wrote. For headers of checkpoints, whose form is known
// and whose size is not: nothing is built but what the caller keeps. Every complaint names the file, the document and the byte.
#ifndef TG_JSON_IN_H
#define TG_JSON_IN_H

#include "ir/base.h"

typedef struct tg_json_in {
  tg_context *ctx;
  tg_arena *arena;             // of the strings that are given back
  const char *file, *document; // "model.safetensors", "the header"
  const char *begin, *at, *end;
  const char *cure; // what mends a malformed document
} tg_json_in;

_Noreturn void tg_json_in_bad(const tg_json_in *in, const char *what); // "FILE: the header, at byte N, WHAT; CURE"
bool tg_json_in_take(tg_json_in *in, char symbol);                     // behind white space; false leaves it
void tg_json_in_want(tg_json_in *in, char symbol);
// Behind an opening bracket: whether another entry follows; takes the comma in front of it or the closing bracket. *n begins as 0.
bool tg_json_in_more(tg_json_in *in, int64_t *n, char close);
// A string in UTF-8 without NUL, its escapes resolved.
const char *tg_json_in_string(tg_json_in *in);
const char *tg_json_in_key(tg_json_in *in); // a string and the colon behind it
int64_t tg_json_in_whole(tg_json_in *in);   // a number without sign, fraction and exponent
void tg_json_in_skip(tg_json_in *in);       // any value, of at most 64 brackets one in another
void tg_json_in_end(tg_json_in *in);        // nothing but white space may follow

// Length of the UTF-8 sequence at `at`, 0 when it is none (overlong, a surrogate, beyond U+10FFFF, cut off).
int tg_utf8_length(const char *at, const char *end);

#endif
