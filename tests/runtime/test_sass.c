// Loops of disassembled kernels, in text written by hand in the manner of nvdisasm and of cuobjdump.
#include "targets/nvptx/sass.h"
#include "test.h"

static tg_context *ctx;

static bool count(const char *text, const char *entry, int instructions, int matrix) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_sass_loop loop;
  const bool found = tg_sass_main_loop(&arena, text, strlen(text), entry, &loop);
  CHECKF(loop.instructions == instructions && loop.matrix == matrix, "%d instructions, %d matrix; not %d, %d", loop.instructions,
         loop.matrix, instructions, matrix);
  tg_arena_free(&arena);
  return found;
}

// Two loops after each other, the second with masks; an outer one around both; a wait whose retry lies behind the end.
static const char nested[] = "\t.section\t.text.k,\"ax\",@progbits\nk:\n.text.k:\n"
                             "        /*0000*/                   MOV R1, c[0x0][0x28] ;\n"
                             ".L_x_0:\n"
                             "        /*0010*/                   MOV R2, RZ ;\n"
                             ".L_x_1:\n"
                             "        /*0020*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R3 ;\n"
                             "        /*0030*/              @!P0 BRA `(.L_x_5) ;\n"
                             ".L_x_2:\n"
                             "        /*0040*/                   HGMMA.64x256x16.F32.BF16 R24, gdesc[UR8], R24, gsb0 ;\n"
                             "        /*0050*/                   QGMMA.64x128x32.F32.E4M3.E4M3 R88, gdesc[UR12], R88 ;\n"
                             "        /*0060*/                   WARPGROUP.DEPBAR.LE gsb0, 0x1 ;\n"
                             "        /*0070*/               @P1 BRA `(.L_x_1) ;\n"
                             ".L_x_3:\n"
                             "        /*0080*/                   ISETP.NE.AND P1, PT, R4, RZ, PT ;\n"
                             "        /*0090*/                   SEL R5, R6, RZ, P1 ;\n"
                             "        /*00a0*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
                             "        /*00b0*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
                             "        /*00c0*/                   SEL R5, R6, RZ, P1 ;\n"
                             "        /*00d0*/               @P1 BRA `(.L_x_3) ;\n"
                             "        /*00e0*/               @P2 BRA `(.L_x_0) ;\n"
                             "        /*00f0*/                   EXIT ;\n"
                             ".L_x_5:\n"
                             "        /*0100*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R3 ;\n"
                             "        /*0110*/              @!P0 BRA `(.L_x_5) ;\n"
                             "        /*0120*/                   BRA `(.L_x_2) ;\n"
                             ".L_x_6:\n"
                             "        /*0130*/                   BRA `(.L_x_6);\n"
                             "        /*0140*/                   NOP ;\n";

// A loop of a few large products, and one of many small ones.
static const char groups[] = "\t.section\t.text.k,\"ax\",@progbits\nk:\n.text.k:\n"
                             ".L_x_0:\n"
                             "        /*0000*/                   HGMMA.64x64x16.F32.BF16 R24, gdesc[UR8], R24, gsb0 ;\n"
                             "        /*0010*/               @P1 BRA `(.L_x_0) ;\n"
                             ".L_x_1:\n"
                             "        /*0020*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
                             "        /*0030*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
                             "        /*0040*/                   HMMA.1688.F32.TF32 R8, R4, R2, R8 ;\n"
                             "        /*0050*/               @P1 BRA `(.L_x_1) ;\n"
                             "        /*0060*/                   EXIT ;\n";

// A loop that has tensor memory multiply, whose instruction does not say its shape, and one of many small products.
static const char tensor[] =
    "\t.section\t.text.k,\"ax\",@progbits\nk:\n.text.k:\n"
    ".L_x_0:\n"
    "        /*0000*/                   UTCHMMA gdesc[UR4], gdesc[UR8], tmem[UR13], tmem[UR18], idesc[UR19], UP0 ;\n"
    "        /*0010*/               @P1 BRA `(.L_x_0) ;\n"
    ".L_x_1:\n"
    "        /*0020*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
    "        /*0030*/                   HMMA.16816.F32.BF16 R8, R4, R2, R8 ;\n"
    "        /*0040*/               @P1 BRA `(.L_x_1) ;\n"
    "        /*0050*/                   EXIT ;\n";

// Divergence inside a loop, gathered again by a barrier; addresses in the place of labels; two kernels.
static const char objdump[] = "\t\tFunction : first\n\t.headerflags\t@\"EF_CUDA_SM80\"\n"
                              "        /*0000*/                   MOV R1, c[0x0][0x28] ;            /* 0x00000a0000017a02 */\n"
                              "                                                                      /* 0x000fe40000000f00 */\n"
                              "        /*0010*/                   EXIT ;                            /* 0x000000000000794d */\n"
                              "\t\t..........\n\n\t\tFunction : second\n"
                              "        /*0000*/                   NOP ;                             /* 0x0 */\n"
                              "        /*0010*/                   BSSY B0, 0x50 ;                   /* 0x0 */\n"
                              "        /*0020*/               @P0 BRA 0x40 ;                        /* 0x0 */\n"
                              "        /*0030*/                   FFMA R1, R2, R3, R1 ;             /* 0x0 */\n"
                              "        /*0040*/                   BSYNC B0 ;                        /* 0x0 */\n"
                              "        /*0050*/                   IMMA.16832.S8.S8 R4, R5, R6, R4 ; /* 0x0 */\n"
                              "        /*0060*/                   BRA.U UP0, 0x10 ;                 /* 0x0 */\n"
                              "        /*0070*/                   EXIT ;                            /* 0x0 */\n"
                              "        /*0080*/                   BRA 0x80;                         /* 0x0 */\n";

int main(void) {
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  CHECK(count(nested, "k", 6, 2)); // of two loops with two each the shorter; neither the retry nor the outer loop
  CHECK(!count(nested, "other", 0, 0));
  CHECK(count(groups, "k", 2, 1)); // 16,384 multiplications of a warp for 5,120
  CHECK(count(tensor, "k", 2, 1));
  CHECK(count(objdump, "first", 0, 0));
  CHECK(count(objdump, "second", 6, 1)); // FFMA is no MMA
  CHECK(!count("", "k", 0, 0));
  // Cut anywhere, and with any byte spoilt, it is read to its end.
  char *copy = malloc(sizeof nested);
  tg_arena arena;
  for (size_t i = 0; i < sizeof nested - 1; i++) {
    tg_sass_loop loop;
    tg_arena_init(&arena, ctx);
    memcpy(copy, nested, i);
    copy[i] = 0;
    tg_sass_main_loop(&arena, copy, i, "k", &loop);
    memcpy(copy, nested, sizeof nested);
    copy[i] = (char)(copy[i] ^ (1 << i % 7));
    tg_sass_main_loop(&arena, copy, sizeof nested - 1, "k", &loop);
    tg_arena_free(&arena);
  }
  free(copy);
  tg_context_free(ctx);
  return test_done();
}
