// What memory a run may touch. Exports Memory, packet_bytes.
//
// Looked through in the order in which programs use it: the stack of active functions, the packet, the regions of the
// invocation, values of maps. Addresses are compared as offsets, so that nothing overflows.
#pragma once

#include <cstdint>

#include <weir/runtime/helpers.h>

#include "engine/ebpf_code.h"

namespace weir::engine {

// What ldabs and ldind read at an offset, or null where that many bytes are not there. As in classic BPF, the greatest
// offsets begin at the packet's first byte or at what Ethernet carries. Source: net/core/filter.c,
// bpf_internal_load_pointer_neg_helper.
inline const std::uint8_t* packet_bytes(const runtime::Invocation& run, std::uint32_t offset, std::size_t size) {
  constexpr std::uint32_t kNetwork = 0xfff00000, kLinkLayer = 0xffe00000;  // SKF_NET_OFF, SKF_LL_OFF
  constexpr std::uint32_t kEthernetHeader = 14;
  const ByteSpan bytes = !run.loads.empty() || run.packet == nullptr ? run.loads : run.packet->bytes();
  const std::uint32_t at = offset >= kNetwork     ? offset - kNetwork + kEthernetHeader
                           : offset >= kLinkLayer ? offset - kLinkLayer
                                                  : offset;
  return size <= bytes.size() && at <= bytes.size() - size ? bytes.data() + at : nullptr;
}

class Memory final : public runtime::AccessRule {
 public:
  Memory(const Code& code, const runtime::Invocation& run) : stack_begin(0), stack_end(0), code_(&code), run_(&run) {
    look_at_packet();
  }

  // The stack that may be touched now.
  std::uint64_t stack_begin;
  std::uint64_t stack_end;

  void use(const Code& code) { code_ = &code; }
  // Helpers may move the packet: to be called after them.
  void look_at_packet() {
    if (run_->packet == nullptr) return;
    packet_begin_ = reinterpret_cast<std::uint64_t>(run_->packet->data());
    packet_size_ = run_->packet->size();
  }

  Fault check(std::uint64_t address, std::uint64_t size, bool write) const {
    if (address - stack_begin <= stack_end - stack_begin && size <= stack_end - address && address >= stack_begin)
      return Fault::kNone;
    const std::uint64_t offset = address - packet_begin_;
    if (offset < packet_size_ && size <= packet_size_ - offset) return Fault::kNone;
    return check_others(address, size, write);
  }
  bool allows(std::uint64_t address, std::uint64_t size, bool write) const override {
    return check(address, size, write) == Fault::kNone;
  }

 private:
  Fault check_others(std::uint64_t address, std::uint64_t size, bool write) const;
  const Code* code_;
  const runtime::Invocation* run_;
  std::uint64_t packet_begin_ = 0;
  std::uint64_t packet_size_ = 0;
};

}  // namespace weir::engine
