// The form that the kernel's own converter makes: pointers into struct sk_buff, private functions. Exports
// make_kernel_converter.
//
// Slot by slot what net/core/filter.c makes (bpf_convert_filter, convert_bpf_ld_abs, convert_bpf_extensions) for a
// little-endian machine with unaligned loads, for any place of the fields.
#include "convert/converter.h"

namespace weir::convert {
namespace {

using cbpf::Extension;
using ebpf::AluOperation;
using ebpf::Condition;
using ebpf::Register;
using ebpf::Width;

class KernelConverter final : public Converter {
 public:
  using Converter::Converter;

 protected:
  bool is_literal() const override { return !options_.returns; }
  std::uint32_t place_of(std::uint32_t) const override { return UINT32_MAX; }

  void prologue(bool reads_packet) override {
    const KernelLayout& layout = options_.layout;
    a_.alu32_reg(AluOperation::kXor, kA, kA).alu32_reg(AluOperation::kXor, kX, kX);
    a_.mov64_reg(kContextRegister, Register::kR1);
    if (!reads_packet) return;
    a_.mem_load(Width::kDouble, kData, kContextRegister, layout.data);
    a_.mem_load(Width::kWord, kEnd, kContextRegister, layout.length);
    a_.mem_load(Width::kWord, kTemporary, kContextRegister, layout.data_length);
    a_.alu32_reg(AluOperation::kSub, kEnd, kTemporary);
  }

  void load_packet(Width width, bool indirect, std::uint32_t k) override {
    const auto offset = static_cast<std::int32_t>(k);
    const auto size = static_cast<std::int32_t>(bytes_of(width));
    if (!indirect && offset >= 0) {
      const bool reaches = offset <= INT16_MAX;
      const bool swaps = width != Width::kByte;
      a_.mov64_reg(kTemporary, kEnd);
      if (offset != 0) a_.alu64_imm(AluOperation::kSub, kTemporary, offset);
      a_.jump_imm(Condition::kSignedLess, kTemporary, size, 2 + (swaps ? 1 : 0) + (reaches ? 0 : 2));
      if (reaches) {
        a_.mem_load(width, kA, kData, static_cast<std::int16_t>(offset));
      } else {
        a_.mov64_reg(kTemporary, kData).alu64_imm(AluOperation::kAdd, kTemporary, offset);
        a_.mem_load(width, kA, kTemporary, 0);
      }
      if (swaps) a_.big_endian(kA, static_cast<unsigned>(size) * 8);
      a_.jump(8);
    }
    a_.mov64_reg(Register::kR1, kContextRegister).mov64_reg(Register::kR2, kData).mov64_reg(Register::kR3, kEnd);
    if (indirect) {
      a_.mov64_reg(Register::kR4, kX);
      if (offset != 0) a_.alu64_imm(AluOperation::kAdd, Register::kR4, offset);
    } else {
      a_.mov64_imm(Register::kR4, offset);
    }
    const KernelLayout& layout = options_.layout;
    call(width == Width::kByte ? layout.load_byte : width == Width::kHalf ? layout.load_half : layout.load_word);
    a_.jump_imm(Condition::kSignedGreaterOrEqual, kA, 0, 2);
    end_with_zero();
  }

  void load_length(Register dst) override { a_.mem_load(Width::kWord, dst, kContextRegister, options_.layout.length); }

  Status load_extension(Extension extension) override {
    const KernelLayout& layout = options_.layout;
    switch (extension) {
      case Extension::kProtocol: half(layout.protocol, true); break;
      case Extension::kType:
        a_.mem_load(Width::kByte, kA, kContextRegister, layout.packet_type).alu32_imm(AluOperation::kAnd, kA, 7);
        break;
      case Extension::kInterfaceIndex: device(Width::kWord, layout.device_index); break;
      case Extension::kHardwareType: device(Width::kHalf, layout.device_type); break;
      case Extension::kMark: a_.mem_load(Width::kWord, kA, kContextRegister, layout.mark); break;
      case Extension::kReceiveHash: a_.mem_load(Width::kWord, kA, kContextRegister, layout.hash); break;
      case Extension::kQueue: half(layout.queue, false); break;
      case Extension::kVlanTci: half(layout.vlan_tci, false); break;
      case Extension::kVlanProtocol: half(layout.vlan_protocol, true); break;
      case Extension::kVlanPresent:
        a_.mem_load(Width::kByte, kA, kContextRegister, layout.vlan_present).alu32_imm(AluOperation::kAnd, kA, 1);
        break;
      case Extension::kXorX: a_.alu32_reg(AluOperation::kXor, kA, kX); break;
      case Extension::kPayloadOffset: function(layout.pay_offset); break;
      case Extension::kNetlinkAttribute: function(layout.netlink_attribute); break;
      case Extension::kNetlinkNested: function(layout.netlink_nested); break;
      case Extension::kCpu: function(layout.processor); break;
      case Extension::kRandom: function(layout.random); break;
    }
    return {};
  }

 private:
  void call(std::int32_t number) { a_.call(static_cast<ebpf::Helper>(number)); }
  void half(std::int16_t offset, bool network_order) {
    a_.mem_load(Width::kHalf, kA, kContextRegister, offset);
    if (network_order) a_.big_endian(kA, 16);
  }
  // Without a device the program ends with what A holds.
  void device(Width width, std::int16_t offset) {
    a_.mem_load(Width::kDouble, kTemporary, kContextRegister, options_.layout.device);
    a_.jump_imm(Condition::kNotEqual, kTemporary, 0, fmt::format("device{}", ++devices_));
    end_with_a();
    a_.label(fmt::format("device{}", devices_)).mem_load(width, kA, kTemporary, offset);
  }
  void function(std::int32_t number) {
    a_.mov64_reg(Register::kR1, kContextRegister).mov64_reg(Register::kR2, kA).mov64_reg(Register::kR3, kX);
    call(number);
  }
  unsigned devices_ = 0;
};

}  // namespace

std::unique_ptr<Converter> make_kernel_converter(const cbpf::Checked& checked, const Options& options) {
  return std::make_unique<KernelConverter>(checked, options);
}

}  // namespace weir::convert
