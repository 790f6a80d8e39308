#include "targets/lld_shim.h"

#include <cstring>
#include <mutex>
#include <string>

#include "lld/Common/Driver.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

extern "C" int tg_lld_link(int argc, const char *const *argv, char *message, size_t size) {
  static std::mutex one_at_a_time;
  static bool broken; // lld said that its state is beyond use
  std::lock_guard<std::mutex> guard(one_at_a_time);
  std::string said;
  int code = -1;
  if (broken) {
    said = "an earlier link left the linker unusable in this process";
  } else {
    llvm::raw_string_ostream stream(said);
    const lld::DriverDef drivers[] = {{lld::Gnu, &lld::elf::link}};
    const lld::Result result = lld::lldMain(llvm::ArrayRef<const char *>(argv, argc), llvm::nulls(), stream, drivers);
    broken = !result.canRunAgain;
    code = result.retCode;
  }
  if (size) {
    const size_t n = said.size() < size - 1 ? said.size() : size - 1;
    std::memcpy(message, said.data(), n);
    message[n] = 0;
  }
  return code;
}
