// What memory a run may touch. Exports Memory.
//
// Looked through in the order in which programs use it: the stack of active functions, the packet, the regions of the
// invocation, values of maps. Addresses are compared as offsets, so that nothing overflows.
#pragma once

#include <cstdint>

#include <weir/runtime/helpers.h>

#include "engine/ebpf_code.h"

namespace weir::engine {

class Memory final : public runtime::AccessRule {
 public:
  Memory(const Code& code, const runtime::Invocation& run) : stack_begin(0), stack_end(0), code_(&code), run_(&run) {}

  // The stack that may be touched now.
  std::uint64_t stack_begin;
  std::uint64_t stack_end;

  void use(const Code& code) { code_ = &code; }

  Fault check(std::uint64_t address, std::uint64_t size, bool write) const {
    if (address - stack_begin <= stack_end - stack_begin && size <= stack_end - address && address >= stack_begin)
      return Fault::kNone;
    if (run_->packet != nullptr) {
      const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(run_->packet->data());
      if (offset <= run_->packet->size() && size <= run_->packet->size() - offset) return Fault::kNone;
    }
    return check_others(address, size, write);
  }
  bool allows(std::uint64_t address, std::uint64_t size, bool write) const override {
    return check(address, size, write) == Fault::kNone;
  }

 private:
  Fault check_others(std::uint64_t address, std::uint64_t size, bool write) const;
  const Code* code_;
  const runtime::Invocation* run_;
};

}  // namespace weir::engine
