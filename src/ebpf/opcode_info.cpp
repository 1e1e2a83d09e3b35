// The opcode table as data. Exports opcodes, info, find, decode, make.
//
// kFirst maps a code byte to its first row; rows of one code are looked through in order (twelve at most, the atomics).
#include <weir/ebpf/opcode_info.h>

#include <array>

#include <fmt/format.h>

namespace weir::ebpf {
namespace {

constexpr std::array kOpcodes = {
#define WEIR_EBPF_OPCODE(name, code, field, value, width, shape, mnemonic, sign, version) \
  OpcodeInfo{Operation::name, #name, code, Selector::field, value, width, OperandShape::shape, mnemonic, sign, version},
#include <weir/ebpf/opcodes.def>
#undef WEIR_EBPF_OPCODE
};
static_assert(kOpcodes.size() < 255);

// For each code byte the rows that have it, chained: kFirst[code] is a row number plus one, kNext[row] likewise.
struct Chains {
  std::array<std::uint8_t, 256> first{};
  std::array<std::uint8_t, kOpcodes.size()> next{};
};
constexpr Chains kChains = [] {
  Chains chains;
  for (std::size_t i = kOpcodes.size(); i-- > 0;) {
    chains.next[i] = chains.first[kOpcodes[i].code];
    chains.first[kOpcodes[i].code] = static_cast<std::uint8_t>(i + 1);
  }
  return chains;
}();

std::int32_t selecting_value(const OpcodeInfo& row, const Instruction& instruction) {
  switch (row.selector) {
    case Selector::kNone: return row.selected;
    case Selector::kOffset: return instruction.offset;
    case Selector::kImmediate: return instruction.immediate;
    case Selector::kSource: return instruction.src;
  }
  return 0;
}

// Which fields an operand shape uses, beside the code and the selecting field.
struct Fields {
  bool dst, src, offset, immediate;
};
Fields fields_of(OperandShape shape) {
  switch (shape) {
    case OperandShape::kAluConstant: return {true, false, false, true};
    case OperandShape::kAluRegister: return {true, true, false, false};
    case OperandShape::kNegate: return {true, false, false, false};
    case OperandShape::kSignExtend: return {true, true, false, false};
    case OperandShape::kByteOrder: return {true, false, false, false};
    case OperandShape::kJump: return {false, false, true, false};
    case OperandShape::kJumpLong: return {false, false, false, true};
    case OperandShape::kBranchConstant: return {true, false, true, true};
    case OperandShape::kBranchRegister: return {true, true, true, false};
    case OperandShape::kCallHelper: return {false, false, false, true};
    case OperandShape::kCallLocal: return {false, false, false, true};
    case OperandShape::kCallKernel: return {false, false, true, true};
    case OperandShape::kCallRegister: return {true, false, false, false};
    case OperandShape::kNone: return {false, false, false, false};
    case OperandShape::kWideConstant:
    case OperandShape::kWideMap:
    case OperandShape::kWideVariable:
    case OperandShape::kWideFunction: return {true, false, false, true};
    case OperandShape::kPacketAbsolute: return {false, false, false, true};
    case OperandShape::kPacketIndirect: return {false, true, false, true};
    case OperandShape::kLoad: return {true, true, true, false};
    case OperandShape::kStoreConstant: return {true, false, true, true};
    case OperandShape::kStoreRegister:
    case OperandShape::kAtomic:
    case OperandShape::kAtomicFetch:
    case OperandShape::kAtomicCompare:
    case OperandShape::kLoadAcquire:
    case OperandShape::kStoreRelease: return {true, true, true, false};
    case OperandShape::kMayJump: return {false, false, true, false};
    case OperandShape::kAddressSpace: return {true, true, false, true};
  }
  return {};
}

tl::unexpected<Error> unknown(const Instruction& instruction) {
  const std::uint8_t row = kChains.first[instruction.code];
  if (row == 0) return fail(fmt::format("no instruction has the code 0x{:02x}", instruction.code));
  const OpcodeInfo& some = kOpcodes[row - 1u];
  const char* field = some.selector == Selector::kOffset      ? "offset"
                      : some.selector == Selector::kImmediate ? "constant"
                                                              : "source register";
  return fail(fmt::format("code 0x{:02x} has no meaning with {} {}", instruction.code, field,
                          selecting_value(some, instruction)));
}

}  // namespace

std::span<const OpcodeInfo> opcodes() { return kOpcodes; }

const OpcodeInfo& info(Operation operation) { return kOpcodes[static_cast<std::size_t>(operation)]; }

const OpcodeInfo* find(const Instruction& instruction) {
  for (std::size_t row = kChains.first[instruction.code]; row != 0; row = kChains.next[row - 1])
    if (selecting_value(kOpcodes[row - 1], instruction) == kOpcodes[row - 1].selected) return &kOpcodes[row - 1];
  return nullptr;
}

Result<const OpcodeInfo*> decode(const Instruction& instruction) {
  const OpcodeInfo* row = find(instruction);
  if (row == nullptr) return unknown(instruction);
  const Fields used = fields_of(row->shape);
  const auto unused = [](std::string_view field, int value) {
    return fail(fmt::format("the {} must be 0 here, not {}", field, value));
  };
  if (used.dst && instruction.dst >= kRegisters) return fail(fmt::format("there is no register r{}", +instruction.dst));
  if (used.src && instruction.src >= kRegisters) return fail(fmt::format("there is no register r{}", +instruction.src));
  if (!used.dst && instruction.dst != 0) return unused("destination register", instruction.dst);
  if (!used.src && row->selector != Selector::kSource && instruction.src != 0)
    return unused("source register", instruction.src);
  if (!used.offset && row->selector != Selector::kOffset && instruction.offset != 0)
    return unused("offset", instruction.offset);
  if (row->shape == OperandShape::kCallRegister && instruction.immediate != 0)
    return fail(
        fmt::format("the register of callx is its destination, and the constant must be 0, not {}: clang "
                    "before 19 writes objects otherwise, and they are read as such",
                    instruction.immediate));
  if (!used.immediate && row->selector != Selector::kImmediate && instruction.immediate != 0)
    return unused("constant", instruction.immediate);
  return row;
}

Instruction make(Operation operation) {
  const OpcodeInfo& row = info(operation);
  Instruction out;
  out.code = row.code;
  if (row.selector == Selector::kOffset) out.offset = static_cast<std::int16_t>(row.selected);
  if (row.selector == Selector::kImmediate) out.immediate = row.selected;
  if (row.selector == Selector::kSource) out.src = static_cast<std::uint8_t>(row.selected & 15);
  return out;
}

}  // namespace weir::ebpf
