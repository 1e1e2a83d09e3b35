// Socket filters and tc: struct __sk_buff, ldabs and ldind. Exports make_socket_converter.
//
// The kernel keeps these loads for converted classic filters: they take headers' offsets and end the program with 0
// where the packet is too short. They leave r6 to r9 alone, so A is r0, where they put their result. Programs whose
// return value is not the verdict cannot use them: a load that fails returns 0, which must then stand for no match.
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
  void prologue(bool) override { a_.mov64_reg(kContextRegister, Register::kR1).mov32_imm(kA, 0).mov32_imm(kX, 0); }

  void load_packet(Width width, bool indirect, std::uint32_t k) override {
    if (indirect) a_.load_ind(width, kX, static_cast<std::int32_t>(k));
    else a_.load_abs(width, static_cast<std::int32_t>(k));
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
  void field(Register dst, std::size_t offset) {
    a_.mem_load(Width::kWord, dst, kContextRegister, static_cast<std::int16_t>(offset));
  }
  unsigned devices_ = 0;
};

}  // namespace

std::unique_ptr<Converter> make_socket_converter(const cbpf::Checked& checked, const Options& options) {
  return std::make_unique<SocketConverter>(checked, options);
}

}  // namespace weir::convert
