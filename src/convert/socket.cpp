// Socket filters and tc: struct __sk_buff, ldabs and ldind. Exports make_socket_converter.
//
// The kernel keeps these loads for converted classic filters: they take headers' offsets and end the program with 0
// where the packet is too short. They leave r6 to r9 alone, so A is r0, where they put their result. Where 0 does not
// stand for no match, the place is compared with the packet's length before, and what lies before the packet (headers
// that the kernel has taken off) is read by bpf_skb_load_bytes_relative, which programs of tc have.
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

class SocketConverter final : public Converter {
 public:
  using Converter::Converter;

 protected:
  void prologue(bool reads_packet) override {
    a_.mov64_reg(kContextRegister, Register::kR1);
    registers_at_start();
    if (is_guarded() && reads_packet) field(kLength, offsetof(__sk_buff, len));
  }

  std::uint32_t place_of(std::uint32_t k) const override { return k < cbpf::kLinkLayerOffset ? k : UINT32_MAX; }
  bool moving_counts() const override { return true; }

  bool always_fails(std::uint32_t k, unsigned size) const override {
    return is_guarded() && ((k > INT32_MAX - size && k < cbpf::kLinkLayerOffset) || k > UINT32_MAX - size);
  }

  void load_packet(Width width, bool indirect, std::uint32_t k) override {
    if (is_guarded()) return load_guarded(width, indirect, k);
    if (indirect) a_.load_ind(width, kX, static_cast<std::int32_t>(k));
    else a_.load_abs(width, static_cast<std::int32_t>(k));
  }
  void load_guarded(Width width, bool indirect, std::uint32_t k) {
    const unsigned size = bytes_of(width);
    if (!indirect) {
      if (always_fails(k, size)) return end_with_zero();
      if (k >= cbpf::kLinkLayerOffset) {
        const bool network = k >= cbpf::kNetworkOffset;
        a_.mov32_imm(kTemporary,
                     static_cast<std::int32_t>(k - (network ? cbpf::kNetworkOffset : cbpf::kLinkLayerOffset)));
        a_.mov32_imm(Register::kR5, network ? BPF_HDR_START_NET : BPF_HDR_START_MAC);
        return load_relative(width);
      }
      if (facts().compared != 0)
        end_unless(Condition::kGreaterOrEqual, kLength, static_cast<std::int32_t>(facts().compared));
      a_.load_abs(width, static_cast<std::int32_t>(k));
      return;
    }
    if (std::uint64_t{facts().x_most} + k + size <= INT32_MAX) {  // behind the packet's start, surely
      a_.mov32_reg(Register::kR1, kX);
      a_.alu64_imm(AluOperation::kAdd, Register::kR1, static_cast<std::int32_t>(k + size));
      end_unless(Condition::kGreaterOrEqual, kLength, Register::kR1);
      a_.load_ind(width, kX, static_cast<std::int32_t>(k));
      return;
    }
    const std::string number = fmt::format("{}", ++loads_);
    a_.mov32_reg(kTemporary, kX);
    if (k != 0) a_.alu32_imm(AluOperation::kAdd, kTemporary, static_cast<std::int32_t>(k));
    // In 64 bits: the sum does not wrap. What is beyond the greatest length may be relative to a header.
    a_.mov64_reg(Register::kR1, kTemporary)
        .alu64_imm(AluOperation::kAdd, Register::kR1, static_cast<std::int32_t>(size));
    a_.jump_reg(Condition::kGreaterOrEqual, kLength, Register::kR1, "inside" + number);
    a_.mov32_imm(Register::kR5, BPF_HDR_START_NET)
        .mov32_imm(Register::kR3, static_cast<std::int32_t>(cbpf::kNetworkOffset));
    a_.jump_reg(Condition::kGreaterOrEqual, kTemporary, Register::kR3, "header" + number);
    a_.mov32_imm(Register::kR5, BPF_HDR_START_MAC)
        .mov32_imm(Register::kR3, static_cast<std::int32_t>(cbpf::kLinkLayerOffset));
    a_.jump_reg(Condition::kGreaterOrEqual, kTemporary, Register::kR3, "header" + number);
    end_with_zero();
    a_.label("header" + number).alu32_reg(AluOperation::kSub, kTemporary, Register::kR3);
    load_relative(width);
    a_.jump("loaded" + number).label("inside" + number);
    a_.load_ind(width, kX, static_cast<std::int32_t>(k));
    a_.label("loaded" + number);
  }

  // r2: the place, r5: from where on.
  void load_relative(Width width) {
    const unsigned size = bytes_of(width);
    a_.mov64_reg(Register::kR1, kContextRegister).mov64_reg(Register::kR3, Register::kR10);
    a_.alu64_imm(AluOperation::kAdd, Register::kR3, kBuffer).mov32_imm(Register::kR4, static_cast<std::int32_t>(size));
    a_.call(ebpf::Helper::kSkbLoadBytesRelative);
    end_unless(Condition::kEqual, kA, 0);
    a_.mem_load(width, kA, Register::kR10, kBuffer);
    if (width != Width::kByte) a_.big_endian(kA, size * 8);
  }

  void load_length(Register dst) override { field(dst, offsetof(__sk_buff, len)); }

  Status load_extension(Extension extension) override {
    switch (extension) {
      case Extension::kProtocol:
        field(kA, offsetof(__sk_buff, protocol));
        a_.big_endian(kA, 16);
        return {};
      case Extension::kType: field(kA, offsetof(__sk_buff, pkt_type)); return {};
      case Extension::kInterfaceIndex:  // without a device the program ends with what A holds
        field(kTemporary, offsetof(__sk_buff, ifindex));
        a_.jump_imm(Condition::kNotEqual, kTemporary, 0, fmt::format("device{}", ++devices_));
        end_with_a();
        a_.label(fmt::format("device{}", devices_)).mov64_reg(kA, kTemporary);
        return {};
      case Extension::kMark: field(kA, offsetof(__sk_buff, mark)); return {};
      case Extension::kQueue: field(kA, offsetof(__sk_buff, queue_mapping)); return {};
      case Extension::kReceiveHash: field(kA, offsetof(__sk_buff, hash)); return {};
      case Extension::kVlanTci: field(kA, offsetof(__sk_buff, vlan_tci)); return {};
      case Extension::kVlanPresent: field(kA, offsetof(__sk_buff, vlan_present)); return {};
      case Extension::kVlanProtocol:
        field(kA, offsetof(__sk_buff, vlan_proto));
        a_.big_endian(kA, 16);
        return {};
      case Extension::kXorX: a_.alu32_reg(AluOperation::kXor, kA, kX); return {};
      case Extension::kCpu: a_.call(ebpf::Helper::kGetSmpProcessorId); return {};
      case Extension::kRandom: a_.call(ebpf::Helper::kGetPrandomU32); return {};
      default: break;
    }
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format(
                          "extended programs on sockets do not know the extension '{}'",
                          cbpf::find_extension(cbpf::kExtensionBase + static_cast<std::uint32_t>(extension))->text),
                      .hint = "attach the classic program itself"});
  }

 private:
  static constexpr Register kLength = kEnd;
  static constexpr std::int16_t kBuffer = -72;  // below M[15]
  bool is_guarded() const { return !seccomp_ && options_.returns && options_.returns->no_match != 0; }
  void field(Register dst, std::size_t offset) {
    a_.mem_load(Width::kWord, dst, kContextRegister, static_cast<std::int16_t>(offset));
  }
  unsigned devices_ = 0;
  unsigned loads_ = 0;
};

}  // namespace

std::unique_ptr<Converter> make_socket_converter(const cbpf::Checked& checked, const Options& options) {
  return std::make_unique<SocketConverter>(checked, options);
}

}  // namespace weir::convert
