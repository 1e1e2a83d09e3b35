// Programs as packet sockets need them. Exports cooked_for_kernel and only_outgoing.
//
// A cooked socket (SOCK_DGRAM) gives its filter the packet from the network header on; the SLL2 header that readers see
// is made later. So loads behind the header move by 20, and loads of the header's fields become what the kernel knows.
#include <weir/capture/live.h>

#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "capture/live_interfaces.h"
#include "convert/facts.h"

namespace weir::capture {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

// The extension that holds a field of the SLL2 header, for a load of the field's own size.
bool field_of_header(Instruction& i) {
  const auto load = [&](cbpf::Extension extension) {
    i = cbpf::make(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + static_cast<std::uint32_t>(extension));
    return true;
  };
  if (i.opcode() == Opcode::kLdHalfAbsolute && i.k == 0) return load(cbpf::Extension::kProtocol);
  if (i.opcode() == Opcode::kLdWordAbsolute && i.k == 4) return load(cbpf::Extension::kInterfaceIndex);
  if (i.opcode() == Opcode::kLdHalfAbsolute && i.k == 8) return load(cbpf::Extension::kHardwareType);
  if (i.opcode() == Opcode::kLdByteAbsolute && i.k == 10) return load(cbpf::Extension::kType);
  return false;
}

tl::unexpected<Error> not_in_kernel(std::uint32_t at, std::string what) {
  return fail(Error{.code = ErrorCode::kUnsupported, .message = std::move(what), .place = InstructionPlace{at}});
}

}  // namespace

Result<cbpf::Checked> cooked_for_kernel(const cbpf::Checked& program) {
  std::vector<Instruction> code(program.program().begin(), program.program().end());
  const auto nowhere = [](std::uint32_t) { return UINT32_MAX; };
  const auto never = [](std::uint32_t, unsigned) { return false; };
  const convert::ProgramFacts facts = convert::find_facts(program.program(), std::vector<bool>(code.size(), true),
                                                          {.place = nowhere, .always_fails = never});
  for (std::uint32_t at = 0; at < code.size(); ++at) {
    Instruction& i = code[at];
    const cbpf::OpcodeInfo* info = cbpf::find(i.code);
    switch (info->shape) {
      case cbpf::OperandShape::kAbsolute:
      case cbpf::OperandShape::kHeaderLength:
        if (i.k >= cbpf::kLinkLayerOffset) break;
        if (i.k >= kCookedHeader) i.k -= kCookedHeader;
        else if (!field_of_header(i))
          return not_in_kernel(at, fmt::format("the kernel does not know what stands at {} of a cooked packet", i.k));
        break;
      case cbpf::OperandShape::kIndirect:
        // x + k must be behind the header: also where X is "negative" it may be in it.
        if (i.k < kCookedHeader || std::uint64_t{facts.at[at].x_most} + i.k > INT32_MAX)
          return not_in_kernel(at, "a load whose place depends on X may reach the cooked header");
        i.k -= kCookedHeader;
        break;
      case cbpf::OperandShape::kLength:
        return not_in_kernel(at, "the kernel counts a cooked packet without its header");
      default: break;
    }
  }
  return cbpf::check(cbpf::Program(std::move(code)), {.target = program.target()});
}

Result<cbpf::Checked> only_outgoing(const cbpf::Checked& program) {
  constexpr std::uint32_t kOutgoing = 4;  // PACKET_OUTGOING
  std::vector<Instruction> code = {
      cbpf::make(Opcode::kLdWordAbsolute, cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kType)),
      cbpf::make_jump(Opcode::kJeqK, kOutgoing, 1, 0), cbpf::make(Opcode::kRetK, 0),
      cbpf::make(Opcode::kLdImmediate, 0)};  // the program starts with A = 0
  code.insert(code.end(), program.program().begin(), program.program().end());
  return cbpf::check(cbpf::Program(std::move(code)), {.target = program.target()});
}

}  // namespace weir::capture
