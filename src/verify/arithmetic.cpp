// Arithmetic on registers: numbers, and pointers with an offset. Exports Walk's members for it.
//
// Numbers follow Range. A pointer plus or minus a number stays a pointer; the difference of two pointers and 32-bit
// arithmetic on one are numbers of which nothing is known; all else on pointers is refused, as in the kernel.
#include <cstdlib>

#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

using ebpf::AluOperation;
using ebpf::OperandShape;

namespace {

// BPF_MAX_VAR_OFF: no offset may go farther, so that sums of offsets do not wrap.
constexpr std::int64_t kFarthest = 1 << 29;

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kMap: return "a map";
    case Kind::kFunction: return "a function";
    case Kind::kPacketEnd: return "the end of the packet";
    case Kind::kSocketCommon:
    case Kind::kSocket:
    case Kind::kTcpSocket: return "a socket";
    default: return "a pointer";
  }
}

// What is learnt of a number later is learnt of the one that is a constant more, too.
void keep_identity(Value& out, const Value& before, AluOperation operation, std::uint64_t constant) {
  if (before.identity <= kLengthIdentity || (operation != AluOperation::kAdd && operation != AluOperation::kSub))
    return;
  const auto by = static_cast<std::int64_t>(constant);
  if (by < INT16_MIN || by > INT16_MAX) return;
  const std::int64_t delta = before.delta + (operation == AluOperation::kAdd ? by : -by);
  if (delta < INT16_MIN || delta > INT16_MAX) return;
  out.identity = before.identity;
  out.delta = static_cast<std::int16_t>(delta);
}

}  // namespace

bool Walk::alu(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& it = slot();
  const bool is_wide = row.width == 8;
  switch (row.shape) {
    case OperandShape::kSignExtend: {
      if (!readable(it.src)) return false;
      const Value& from = reg(it.src);
      Value out = Value::of(from.is_number() ? sign_extended(from.number, static_cast<unsigned>(row.selected), is_wide)
                                             : Range::unknown());
      if (!from.is_number() && !is_wide) out.number = zero_extended(out.number, 32);
      out.origins = from.origins;
      reg(it.dst) = out;
      return true;
    }
    case OperandShape::kNegate:
    case OperandShape::kByteOrder: {
      if (!readable(it.dst)) return false;
      Value& dst = reg(it.dst);
      if (dst.is_pointer())
        return refuse(Rule::kPointerArithmetic, fmt::format("'{}' on a pointer", row.sign), "a number", {it.dst},
                      "only additions and subtractions of numbers make sense of a pointer");
      const auto bits = static_cast<unsigned>(row.selected);
      Range made;
      if (row.shape == OperandShape::kNegate) {
        made = arithmetic(AluOperation::kSub, false, is_wide, Range::constant(0), dst.number);
      } else {
        const bool is_swap = row.code == 0xd7;
        const bool to_little = row.code == 0xd4;
        const bool keeps = !is_swap && to_little == (std::endian::native == std::endian::little);
        made = keeps ? zero_extended(dst.number, bits) : swapped(dst.number, bits);
      }
      const Origins origins = dst.origins;
      dst = Value::of(made);
      dst.origins = origins;
      return true;
    }
    default: break;
  }
  if ((row.code & 0xf0) == static_cast<int>(AluOperation::kMov)) return move(row);
  if (row.shape == OperandShape::kAluRegister && !readable(it.src)) return false;
  if (!readable(it.dst)) return false;
  const Value constant = Value::constant(static_cast<std::uint64_t>(std::int64_t{it.immediate}));
  return combine(row, row.shape == OperandShape::kAluConstant ? constant : reg(it.src));
}

bool Walk::move(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& it = slot();
  if (row.shape == OperandShape::kAluConstant) {
    const auto number = static_cast<std::uint64_t>(std::int64_t{it.immediate});
    reg(it.dst) = Value::constant(row.width == 8 ? number : number & UINT32_MAX);
    return true;
  }
  if (!readable(it.src)) return false;
  Value& from = reg(it.src);
  const bool changes = row.width != 8 && from.is_number() && from.number.wide.umax > UINT32_MAX;
  if (row.width == 8 || (from.is_number() && !changes)) {
    if (from.is_number() && from.identity == 0 && !from.number.is_constant()) from.identity = new_identity();
    reg(it.dst) = from;
    return true;
  }
  Value out = Value::of(zero_extended(from.is_number() ? from.number : Range::unknown(), 32));
  out.origins = from.origins;
  reg(it.dst) = out;
  return true;
}

bool Walk::combine(const ebpf::OpcodeInfo& row, const Value& operand) {
  const ebpf::Instruction& it = slot();
  const auto operation = static_cast<AluOperation>(row.code & 0xf0);
  const bool is_wide = row.width == 8;
  Value& dst = reg(it.dst);
  if (dst.is_number() && operand.is_number()) {
    const bool is_signed = row.selector == ebpf::Selector::kOffset && row.selected == 1;
    // r1 ^= r1 and r1 -= r1 are 0 whatever r1 was.
    const bool same = row.shape == OperandShape::kAluRegister && it.src == it.dst;
    if (same && (operation == AluOperation::kXor || operation == AluOperation::kSub)) {
      dst = Value::constant(0);
      return true;
    }
    Value out = Value::of(arithmetic(operation, is_signed, is_wide, dst.number, operand.number));
    out.origins = dst.origins | operand.origins;
    const bool shortens = operation == AluOperation::kAdd && is_wide && dst.room != 0 && operand.is_constant();
    if (shortens && operand.number.number() <= dst.room)
      out.room = dst.room - static_cast<std::uint32_t>(operand.number.number());
    if (is_wide && !same && operand.is_constant()) keep_identity(out, dst, operation, operand.number.number());
    dst = out;
    return true;
  }
  const bool adds = operation == AluOperation::kAdd, subtracts = operation == AluOperation::kSub;
  if (dst.is_pointer() && operand.is_pointer() && subtracts) {
    Value out = Value::of(is_wide ? Range::unknown() : Range::of_bytes(4));
    dst = out;
    return true;
  }
  if (!is_wide && subtracts) {
    dst = Value::of(Range::of_bytes(4));
    return true;
  }
  if (!is_wide || (!adds && !subtracts) || (dst.is_pointer() && operand.is_pointer()) ||
      (subtracts && operand.is_pointer())) {
    std::vector<unsigned> shown{it.dst};
    if (row.shape == OperandShape::kAluRegister) shown.push_back(it.src);
    return refuse(Rule::kPointerArithmetic, fmt::format("'{}' of {} bits on a pointer", row.sign, row.width * 8),
                  "two numbers, or a pointer plus or minus a number in 64 bits", shown,
                  "only 64-bit additions and subtractions of numbers make sense of a pointer");
  }
  const Value pointer = dst.is_pointer() ? dst : operand;
  const Value number = dst.is_pointer() ? operand : dst;
  return add_to_pointer(pointer, number, subtracts, it.dst);
}

bool Walk::add_to_pointer(const Value& pointer, const Value& number, bool subtract, unsigned dst) {
  if (subtract && pointer.kind == Kind::kStack && !on_memory_)
    return refuse(Rule::kPointerArithmetic, "subtraction from a pointer into the stack",
                  "an addition, which is what the kernel takes", {dst}, "add the negative number");
  if (number.is_zero()) {
    mark_exact(number);
    reg(dst) = pointer;
    return true;
  }
  if (pointer.may_be_null)
    return refuse(Rule::kNull, "arithmetic on a pointer that may be null", "a pointer that is not null", {dst},
                  "compare it with 0 and leave when it is, before adding to it");
  const bool moves_not = pointer.is_socket() || (pointer.kind == Kind::kFlowKeys && !number.is_constant());
  if (pointer.kind == Kind::kMap || pointer.kind == Kind::kPacketEnd || pointer.kind == Kind::kFunction || moves_not)
    return refuse(Rule::kPointerArithmetic, fmt::format("arithmetic on {}", kind_name(pointer.kind)),
                  "a pointer to memory", {dst}, "copy it to another register first if you need it unchanged");
  // The end of the memory: its address and its length.
  if (on_memory_ && pointer.kind == Kind::kPacket && !subtract && number.identity == kLengthIdentity &&
      pointer.offset == 0 && pointer.identity == 0) {
    reg(dst) = Value::pointer(Kind::kPacketEnd);
    return true;
  }
  mark_exact(number);
  Value out = pointer;
  if (number.is_constant()) {
    const auto by = static_cast<std::int64_t>(number.number.number());
    const bool near = by > -kFarthest && by < kFarthest;
    if (near) out.offset += subtract ? -by : by;
    if (!near || std::abs(out.offset) >= kFarthest)
      return refuse(Rule::kPointerArithmetic, "constants lead too far from what the pointer points to",
                    fmt::format("a sum of constants between {} and {}", -kFarthest, kFarthest), {dst}, "");
    reg(dst) = out;
    return true;
  }
  out.number =
      arithmetic(subtract ? AluOperation::kSub : AluOperation::kAdd, false, true, pointer.number, number.number);
  const Interval<std::uint64_t>& wide = out.number.wide;
  const bool bounded = number.number.wide.smin > -kFarthest && number.number.wide.smax < kFarthest &&
                       wide.smin > -kFarthest && wide.smax < kFarthest;
  if (!bounded)
    return refuse(Rule::kPointerArithmetic, "a number without bounds is added to a pointer",
                  fmt::format("a number between {} and {}", -kFarthest, kFarthest),
                  {dst, slot().src == dst ? dst : unsigned{slot().src}},
                  "compare the number with its greatest value before, or mask it with '&='");
  out.origins = pointer.origins | number.origins;
  if (pointer.kind == Kind::kPacket || pointer.kind == Kind::kPacketMeta) {
    add_room(out, number, subtract);
    out.identity = new_identity();
  }
  reg(dst) = out;
  return true;
}

// With a new variable part nothing is known of what lies behind the pointer, but for numbers that were compared with
// the memory's length: address + number + room is not behind its end.
void Walk::add_room(Value& pointer, const Value& number, bool subtract) {
  pointer.room = 0;
  if (subtract || number.room == 0 || pointer.kind != Kind::kPacket || pointer.identity != 0) return;
  // pointer = address + offset + number, so that [address + number, ... + room) is known to be there.
  pointer.room = number.room;
}

bool Walk::wide_constant(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& low = slot();
  const ebpf::Instruction& high = code_[at_ + 1];
  if (row.shape == OperandShape::kWideConstant) {
    reg(low.dst) = Value::constant(std::uint64_t{static_cast<std::uint32_t>(high.immediate)} << 32 |
                                   static_cast<std::uint32_t>(low.immediate));
    return true;
  }
  if (row.shape == OperandShape::kWideFunction) {
    Value function = Value::pointer(Kind::kFunction);
    function.size = at_ + 1 + static_cast<std::uint32_t>(low.immediate);
    reg(low.dst) = function;
    return true;
  }
  if (row.shape == OperandShape::kWideVariable)
    return refuse(Rule::kCall, "a variable of the kernel", "variables of the program", {},
                  "variables of the kernel exist in a kernel only");
  const ebpf::MapReference* reference = program_.map_reference(at_);
  const bool by_descriptor = row.selected == ebpf::kPseudoMapDescriptor || row.selected == ebpf::kPseudoMapValue;
  const std::size_t index = reference != nullptr ? reference->map : static_cast<std::uint32_t>(low.immediate);
  if ((by_descriptor && reference == nullptr) || index >= program_.maps.size() || index > UINT16_MAX)
    return refuse(Rule::kArgument, fmt::format("there is no map {} here", low.immediate),
                  "a map that the program declares", {},
                  "descriptors of maps mean something to a kernel only: name the map");
  const auto map = static_cast<std::uint16_t>(index);
  const bool is_value = row.selected == ebpf::kPseudoMapValue || row.selected == ebpf::kPseudoMapIndexValue;
  Value out = Value::pointer(is_value ? Kind::kMapValue : Kind::kMap);
  out.map = map;
  if (is_value) {
    const ebpf::MapDefinition& definition = program_.maps[map];
    const auto offset = static_cast<std::uint32_t>(high.immediate);
    if (definition.type != ebpf::MapType::kArray || definition.key_size != 4 || definition.max_entries != 1)
      return refuse(Rule::kArgument,
                    fmt::format("map '{}' is no array of one entry: its values have no fixed address", definition.name),
                    "an array", {}, "look the value up");
    if (offset >= definition.value_size)
      return refuse(Rule::kMapBounds,
                    fmt::format("offset {} lies outside of the {} bytes of map '{}'", offset, definition.value_size,
                                definition.name),
                    "an offset within the value", {}, "");
    out.offset = offset;
  }
  reg(low.dst) = out;
  return true;
}

}  // namespace weir::verify
