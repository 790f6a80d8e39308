#include "codegen/llvm_shim.h"

#include <cstring>

#include "llvm/ADT/StringRef.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/Target/TargetMachine.h"

static bool is_feature(const llvm::MCSubtargetInfo &info, llvm::StringRef name) {
  if (name.empty() || (name[0] != '+' && name[0] != '-')) return false;
  for (const llvm::SubtargetFeatureKV &feature : info.getAllProcessorFeatures())
    if (name.drop_front() == feature.Key) return true;
  return false;
}

extern "C" bool tg_llvm_knows(LLVMTargetMachineRef target, const char *processor, const char *features, char *unknown, size_t size) {
  const llvm::MCSubtargetInfo &info = *reinterpret_cast<const llvm::TargetMachine *>(target)->getMCSubtargetInfo();
  llvm::StringRef bad, rest = features;
  bool known = info.isCPUStringValid(processor);
  if (!known) bad = processor;
  while (known && !rest.empty()) {
    const auto parts = rest.split(',');
    known = is_feature(info, parts.first);
    if (!known) bad = parts.first;
    rest = parts.second;
  }
  if (size) {
    const size_t n = bad.size() < size - 1 ? bad.size() : size - 1;
    std::memcpy(unknown, bad.data() ? bad.data() : "", n);
    unknown[n] = 0;
  }
  return known;
}
