// Characters of PTX (ISA 4.1 to 4.5): names, numbers, modifiers, blanks and comments.
#ifndef TG_PTX_LEX_H
#define TG_PTX_LEX_H

#include "ir/base.h"

typedef struct ptx_lexer {
  tg_context *ctx;
  tg_arena *arena;
  const char *file, *at, *end;
  uint32_t line;
} ptx_lexer;

// Throws TG_INVALID: "FILE:LINE: …".
_Noreturn void ptx_fail(ptx_lexer *lex, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ptx_peek(ptx_lexer *lex);             // the next character that is no blank and no comment; 0 at the end
int ptx_peek_raw(ptx_lexer *lex);         // the next character, a blank too
bool ptx_accept(ptx_lexer *lex, int c);   // takes it if it is the next
void ptx_expect(ptx_lexer *lex, int c);   // or fails
const char *ptx_word(ptx_lexer *lex);     // letters, digits, _ $ %
const char *ptx_name(ptx_lexer *lex);     // the same, with the .x of a special register
const char *ptx_modifier(ptx_lexer *lex); // ".shared::cta" without its point
bool ptx_accept_directive(ptx_lexer *lex, const char *name);
// An integer, or a real: then its bits as an f64. 0f… and 0d… are reals.
int64_t ptx_number(ptx_lexer *lex, bool *real);
void ptx_skip(ptx_lexer *lex); // one token
void ptx_skip_line(ptx_lexer *lex);
void ptx_skip_to(ptx_lexer *lex, int c);  // and over it
void ptx_skip_definition(ptx_lexer *lex); // up to ';', or over the braces

#endif
