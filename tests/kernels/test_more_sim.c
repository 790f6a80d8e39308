// A shape or two of every library kernel beside the products, on the simulated GPU; all of them are run by the long tests test_*_sim.
#include "kernels/attention.h"
#include "kernels/conformance.h"
#include "kernels/model.h"
#include "kernels/moe.h"
#include "kernels/training.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_moe_few(), conform_model_few(), conform_training_few();
  attention_decode(&(decode_shape){2, 2, 5, 32, 16, "splits=2,BM=16,BK=64", {65, 3}, 0});
  attention_decode(&(decode_shape){2, 2, 5, 32, 16, "splits=2,BM=16,BK=32", {65, 3}, 33});
  attention_prefill(&(prefill_shape){2, 48, 24, "BQ=16,BK=32", {17, 0, 33}, 3});
  return conformance_close();
}
