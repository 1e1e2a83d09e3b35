// Packets by pointer: user space (r1 packet, r2 length) and XDP (r1 struct xdp_md). Exports make_pointer_converter.
//
// Every load compares its end with the packet's end first, in the form that the verifier follows: a copy of the pointer
// is moved and compared, then the load goes through a pointer with the same origin. Offsets are 32 bits and wrap, as in
// classic programs. The verifier follows packet pointers up to 65535 bytes; XDP packets are shorter than that. Packets
// in memory are taken to be shorter than 512 MiB, as far as weir's verifier follows pointers.
#include <linux/bpf.h>

#include <cstddef>

#include <weir/cbpf/opcode_info.h>

#include "convert/converter.h"

namespace weir::convert {
namespace {

using cbpf::Extension;
using ebpf::AluOperation;
using ebpf::Condition;
using ebpf::Register;
using ebpf::Width;

constexpr std::uint32_t kXdpLargest = 0xffff;
constexpr std::uint32_t kMemoryLargest = (1u << 29) - 1;

class PointerConverter final : public Converter {
 public:
  PointerConverter(const cbpf::Checked& checked, const Options& options)
      : Converter(checked, options), xdp_(options.context == Context::kXdp) {}

 protected:
  void prologue(bool) override {
    a_.mov64_reg(kContextRegister, Register::kR1);
    if (!seccomp_) {
      if (xdp_) {
        a_.mem_load(Width::kWord, kData, Register::kR1, offsetof(xdp_md, data));
        a_.mem_load(Width::kWord, kEnd, Register::kR1, offsetof(xdp_md, data_end));
      } else {
        a_.mov64_reg(kData, Register::kR1)
            .mov64_reg(kEnd, Register::kR1)
            .alu64_reg(AluOperation::kAdd, kEnd, Register::kR2);
      }
    }
    registers_at_start();
  }

  // Loads relative to a header are loads at a fixed place here.
  std::uint32_t place_of(std::uint32_t k) const override {
    if (!options_.network_offset) return k;
    if (k >= cbpf::kNetworkOffset) return k - cbpf::kNetworkOffset + *options_.network_offset;
    if (k >= cbpf::kLinkLayerOffset) return k - cbpf::kLinkLayerOffset;
    return k;
  }

  std::uint32_t largest() const { return xdp_ ? kXdpLargest : kMemoryLargest; }
  std::uint32_t most_bytes() const override { return INT16_MAX; }

  // Below 0 and no known header: never there. So is what no packet of this context reaches.
  bool always_fails(std::uint32_t k, unsigned size) const override {
    const std::uint32_t place = place_of(k);
    return place > largest() - size;
  }

  void load_packet(Width width, bool indirect, std::uint32_t k) override {
    const auto size = static_cast<std::int32_t>(bytes_of(width));
    if (!indirect) {
      if (always_fails(k, bytes_of(width))) return end_with_zero();
      load_fixed(width, place_of(k), size);
    } else {
      load_moving(width, k, size);
    }
    if (width != Width::kByte) a_.big_endian(kA, static_cast<unsigned>(size) * 8);
  }

  void load_fixed(Width width, std::uint32_t place, std::int32_t size) {
    const bool is_near = place <= INT16_MAX;
    const auto end = is_near ? static_cast<std::int32_t>(facts().compared) : static_cast<std::int32_t>(place) + size;
    if (end != 0) {  // r2 = data + end; beyond the packet's end: out
      a_.mov64_reg(kTemporary, kData).alu64_imm(AluOperation::kAdd, kTemporary, end);
      end_unless(Condition::kLessOrEqual, kTemporary, kEnd);
    }
    if (is_near) a_.mem_load(width, kA, kData, static_cast<std::int16_t>(place));
    else a_.mem_load(width, kA, kTemporary, static_cast<std::int16_t>(-size));
  }

  void load_moving(Width width, std::uint32_t k, std::int32_t size) {
    // Not X + k: the kernel (6.18) remembers that sum, and refuses to add it to a pointer where k is large.
    if (k == 0) a_.mov32_reg(kTemporary, kX);
    else a_.mov32_imm(kTemporary, static_cast<std::int32_t>(k)).alu32_reg(AluOperation::kAdd, kTemporary, kX);
    const bool is_behind = std::uint64_t{facts().x_most} + k + static_cast<std::uint32_t>(size) <= INT32_MAX;
    if (options_.network_offset && !is_behind) headers();
    // The offset must be small before it may move a pointer.
    end_unless(Condition::kLessOrEqual, kTemporary, static_cast<std::int32_t>(largest()) - size);
    a_.mov64_reg(Register::kR3, kData).alu64_reg(AluOperation::kAdd, Register::kR3, kTemporary);
    a_.mov64_reg(kTemporary, Register::kR3).alu64_imm(AluOperation::kAdd, kTemporary, size);
    end_unless(Condition::kLessOrEqual, kTemporary, kEnd);
    a_.mem_load(width, kA, Register::kR3, 0);
  }

  // Offsets that are only known at run time may be relative to a header too.
  void headers() {
    const auto network = static_cast<std::int32_t>(cbpf::kNetworkOffset);
    const auto link = static_cast<std::int32_t>(cbpf::kLinkLayerOffset);
    a_.mov32_imm(Register::kR3, network).jump_reg(Condition::kLess, kTemporary, Register::kR3, 3);
    a_.alu32_reg(AluOperation::kSub, kTemporary, Register::kR3);
    a_.alu32_imm(AluOperation::kAdd, kTemporary, static_cast<std::int32_t>(*options_.network_offset)).jump(3);
    a_.mov32_imm(Register::kR3, link).jump_reg(Condition::kLess, kTemporary, Register::kR3, 1);
    a_.alu32_reg(AluOperation::kSub, kTemporary, Register::kR3);
  }

  void load_length(Register dst) override {
    a_.mov64_reg(dst, kEnd).alu64_reg(AluOperation::kSub, dst, kData);
    if (!xdp_) a_.mov32_reg(dst, dst);
  }

  Status load_extension(Extension extension) override {
    if (extension == Extension::kXorX) {
      a_.alu32_reg(AluOperation::kXor, kA, kX);
      return {};
    }
    if (extension == Extension::kCpu || extension == Extension::kRandom) {
      a_.call(extension == Extension::kCpu ? ebpf::Helper::kGetSmpProcessorId : ebpf::Helper::kGetPrandomU32);
      return {};
    }
    if (xdp_ && (extension == Extension::kInterfaceIndex || extension == Extension::kQueue)) {
      a_.mem_load(
          Width::kWord, kA, kContextRegister,
          extension == Extension::kQueue ? offsetof(xdp_md, rx_queue_index) : offsetof(xdp_md, ingress_ifindex));
      return {};
    }
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format(
                          "{} do not know the extension '{}'", xdp_ ? "XDP programs" : "packets in memory",
                          cbpf::find_extension(cbpf::kExtensionBase + static_cast<std::uint32_t>(extension))->text),
                      .hint = "convert for a socket"});
  }

 private:
  bool xdp_;
};

}  // namespace

std::unique_ptr<Converter> make_pointer_converter(const cbpf::Checked& checked, const Options& options) {
  return std::make_unique<PointerConverter>(checked, options);
}

}  // namespace weir::convert
