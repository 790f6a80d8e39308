// What the text of a module may be, and what is said of one that is wrong: the line and the reason.
#include "sim/ptx.h"

static ptx_call call(const char *text) { return (ptx_call){.text = text, .entry = "k"}; }
#define REFUSES(text, words)                                                                                                               \
  do {                                                                                                                                     \
    const ptx_call c_ = call(text);                                                                                                        \
    PTX_REFUSES(&c_, words);                                                                                                               \
  } while (0)
#define TAKES(text)                                                                                                                        \
  do {                                                                                                                                     \
    const ptx_call c_ = call(text);                                                                                                        \
    PTX_CLEAN(&c_);                                                                                                                        \
  } while (0)
#define BODY(body)                                                                                                                         \
  PTX_HEAD ".entry k()\n{\n.reg .b32 %r<4>; .reg .b16 %h<4>; .reg .b64 %d<4>; .reg .pred %p<4>; .reg .f32 %f<4>;\n" body "\nret;\n}\n"

int main(void) {
  TAKES(BODY(""));
  TAKES(BODY("// a comment\n/* another\none */ .loc 1 2 3\n.pragma \"nounroll\";"));
  TAKES(PTX_HEAD ".file 1 \"a.cu\"\n.visible .func (.param .b32 r) f(.param .b32 x)\n{\n ret;\n}\n.extern .func g();\n.global .align 4 .b8 "
                 "t[8] = {1, 2, "
                 "3};\n.const .f32 c[2] = {0f3F800000, -2.5};\n.weak .entry k()\n.maxntid 32, 1, 1\n.minnctapersm 1\n{\n{ .reg .b32 %r1; { "
                 ".reg .b16 %r1; mov.b16 "
                 "%r1, 1; } mov.b32 %r1, 2; }\nL: bra.uni M;\nM:\n}\n.section .debug_info\n{\n.b8 1, 2\n}\n");
  REFUSES("", "t.ptx:1: a PTX text begins with .version and .target");
  REFUSES(".version 8.0\n.target sm_80\n.address_size 32\n", "t.ptx:3: only .address_size 64 is known");
  REFUSES(PTX_HEAD, "t.ptx has no entry 'k'; it has none");
  REFUSES(PTX_HEAD "hello", "t.ptx:4: a directive");
  REFUSES(PTX_HEAD ".entry k()\n{\nret;\n", "entry 'k' has no end");
  REFUSES(BODY("add.s32 %r1, %r2"), "t.ptx:8: ';' is wanted where 'ret;' stands");
  REFUSES(BODY("add.s32 %r9, %r2, 1;"), "t.ptx:7: register '%r9' is not declared");
  REFUSES(BODY("bra NOWHERE;"), "t.ptx:7: 'NOWHERE' is neither a register, nor a variable, nor a label of entry 'k'");
  REFUSES(BODY("L:\nL:"), "t.ptx:8: 'L' is declared twice");
  REFUSES(BODY("frobnicate.u32 %r1, %r2;"), "t.ptx:7: 'frobnicate.u32': the simulator does not know this instruction");
  REFUSES(BODY("add.s32.wild %r1, %r2, %r3;"), "'add.s32.wild': the simulator does not know this form");
  REFUSES(BODY("ld.global.wild.u32 %r1, [%d1];"), "the simulator does not know '.wild' here");
  REFUSES(BODY("add.s32 %r1, %d2, %r3;"), "%d2 is a .b64 register, one of 32 bits is wanted");
  REFUSES(BODY("add.s32 %r1, %r2;"), "2 operands; 3 are wanted");
  REFUSES(BODY("@%r1 ret;"), "'%r1' is no predicate");
  REFUSES(BODY("call f, (%r1);"), "calls no functions");
  REFUSES(BODY("mov.b64 %d1, {%r1, %r2, %r3};"), "3 registers do not make 64 bits");
  REFUSES(BODY("mov.u32 %r1, 99999999999999999999;"), "is no 64-bit number");
  REFUSES(BODY("mov.f32 %f1, 0f3F8;"), "a float in hexadecimal has 8 digits");
  REFUSES(BODY("ld.global.u32 %r1, [4.5];"), "what stands in brackets must be");
  REFUSES(BODY("/* without end"), "a comment has no end");
  REFUSES(PTX_HEAD ".shared .b8 s[2400000000];\n.entry k() { ret; }\n", "'s' is larger than");
  REFUSES(PTX_HEAD ".shared .b8 s[240000];\n.entry k() { ret; }\n", "wants 240000 bytes of shared memory in a block; there are 232448");
  REFUSES(PTX_HEAD ".entry k()\n.reqntid 32\n{ ret; }\n", "says .reqntid 32, 1, 1");
  REFUSES(PTX_HEAD ".entry k()\n{\n.reg .b32 %r<99999999>;\n}\n", "more than 1048576 registers");
  REFUSES(PTX_HEAD ".entry k()\n{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "braces are open");
  REFUSES(BODY("mma.sync.aligned.m16n8k16.row.col.f32.bf16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1,%r2,%r3}, {%r0,%r1}, {%f0,%f1,%f2,%f3};"),
          "no such matrix instruction is known");
  tg_context_free(ptx_ctx);
  return test_done();
}
