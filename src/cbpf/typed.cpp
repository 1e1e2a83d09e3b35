// Typed instructions to bytes and back. Exports typed::assemble, typed::disassemble and kind_of.
//
// Disassembly follows golang.org/x/net/bpf where that loses nothing: a conditional jump whose true branch skips nothing
// is shown as its negation. Where Go's form would lose a field (bits of the opcode, unused fields, the register of
// `ldx #len`), the instruction stays raw. That is decided in one place: a typed form is used only when it assembles to
// the very same bytes.
#include <weir/cbpf/typed.h>

#include <array>
#include <optional>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf::typed {
namespace {

// Parts of an opcode (<linux/bpf_common.h>).
constexpr std::uint16_t kLoad = 0x00, kLoadX = 0x01, kStore = 0x02, kStoreX = 0x03, kArithmetic = 0x04;
constexpr std::uint16_t kJump = 0x05, kSourceX = 0x08;
constexpr std::uint16_t kImmediate = 0x00, kAbsolute = 0x20, kIndirect = 0x40, kMemory = 0x60;

constexpr std::array<std::string_view, 18> kKinds = {
    "LoadConstant", "LoadScratch",   "LoadAbsolute", "LoadIndirect", "LoadMemShift", "LoadExtension",
    "StoreScratch", "ALUOpConstant", "ALUOpX",       "NegateA",      "Jump",         "JumpIf",
    "JumpIfX",      "RetA",          "RetConstant",  "TXA",          "TAX",          "RawInstruction"};
static_assert(kKinds.size() == std::variant_size_v<Instruction>);

using Made = Result<RawInstruction>;

RawInstruction bytes(unsigned code, std::uint32_t k = 0) { return {static_cast<std::uint16_t>(code), 0, 0, k}; }

struct Assemble {
  static std::optional<std::uint16_t> size_bits(std::uint32_t size) {
    if (size == 4) return 0x00;
    if (size == 2) return 0x08;
    if (size == 1) return 0x10;
    return std::nullopt;
  }
  static Made load(unsigned mode, std::uint32_t offset, std::uint32_t size) {
    const std::optional<std::uint16_t> bits = size_bits(size);
    if (!bits) return fail(fmt::format("cannot load {} bytes at once", size), {}, "1, 2 or 4");
    return bytes(kLoad | mode | *bits, offset);
  }
  static Made scratch(unsigned code, std::uint32_t index) {
    if (index >= kScratchWords) return fail(fmt::format("scratch word {} does not exist", index), {}, "0 to 15");
    return bytes(code, index);
  }
  static bool known(Register which) { return which == Register::kA || which == Register::kX; }
  static Made no_register(Register which) {
    return fail(fmt::format("register {} does not exist", static_cast<unsigned>(which)), {}, "Register::kA or kX");
  }
  static Made arithmetic(Operation operation, unsigned source, std::uint32_t value) {
    const auto bits = static_cast<std::uint16_t>(operation);
    if (bits > 0xa0 || bits % 0x10 != 0 || bits == 0x80) return fail(fmt::format("unknown operation {:#x}", bits));
    return bytes(kArithmetic | source | bits, value);
  }
  static Made jump(Test test, unsigned source, std::uint32_t value, std::uint8_t skip_true, std::uint8_t skip_false) {
    const auto straight = [&](unsigned code) {
      return RawInstruction{static_cast<std::uint16_t>(kJump | source | code), skip_true, skip_false, value};
    };
    const auto exchanged = [&](unsigned code) {
      return RawInstruction{static_cast<std::uint16_t>(kJump | source | code), skip_false, skip_true, value};
    };
    switch (test) {
      case Test::kEqual: return straight(0x10);
      case Test::kNotEqual: return exchanged(0x10);
      case Test::kGreaterThan: return straight(0x20);
      case Test::kLessOrEqual: return exchanged(0x20);
      case Test::kGreaterOrEqual: return straight(0x30);
      case Test::kLessThan: return exchanged(0x30);
      case Test::kBitsSet: return straight(0x40);
      case Test::kBitsNotSet: return exchanged(0x40);
    }
    return fail(fmt::format("unknown test {}", static_cast<unsigned>(test)));
  }

  Made operator()(const LoadConstant& i) const {
    if (!known(i.dst)) return no_register(i.dst);
    return bytes((i.dst == Register::kA ? kLoad : kLoadX) | kImmediate, i.value);
  }
  Made operator()(const LoadScratch& i) const {
    if (!known(i.dst)) return no_register(i.dst);
    return scratch((i.dst == Register::kA ? kLoad : kLoadX) | kMemory, i.index);
  }
  Made operator()(const LoadAbsolute& i) const { return load(kAbsolute, i.offset, i.size); }
  Made operator()(const LoadIndirect& i) const { return load(kIndirect, i.offset, i.size); }
  Made operator()(const LoadMemShift& i) const { return make(Opcode::kLdxHeaderLength, i.offset); }
  Made operator()(const LoadExtension& i) const {
    if (!known(i.dst)) return no_register(i.dst);
    if (i.extension == Extension::kLength) return make(i.dst == Register::kA ? Opcode::kLdLength : Opcode::kLdxLength);
    const std::uint32_t offset = kExtensionBase + static_cast<std::uint32_t>(i.extension);
    if (find_extension(offset) == nullptr)
      return fail(fmt::format("unknown extension {}", static_cast<std::uint32_t>(i.extension)));
    if (i.dst == Register::kX) return fail("only the length can be loaded into X", {}, "load into A, then TAX");
    return make(Opcode::kLdWordAbsolute, offset);
  }
  Made operator()(const StoreScratch& i) const {
    if (!known(i.src)) return no_register(i.src);
    return scratch(i.src == Register::kA ? kStore : kStoreX, i.index);
  }
  Made operator()(const ALUOpConstant& i) const { return arithmetic(i.operation, 0, i.value); }
  Made operator()(const ALUOpX& i) const { return arithmetic(i.operation, kSourceX, 0); }
  Made operator()(const NegateA&) const { return make(Opcode::kNeg); }
  Made operator()(const Jump& i) const { return make(Opcode::kJa, i.skip); }
  Made operator()(const JumpIf& i) const { return jump(i.test, 0, i.value, i.skip_true, i.skip_false); }
  Made operator()(const JumpIfX& i) const { return jump(i.test, kSourceX, 0, i.skip_true, i.skip_false); }
  Made operator()(const RetA&) const { return make(Opcode::kRetA); }
  Made operator()(const RetConstant& i) const { return make(Opcode::kRetK, i.value); }
  Made operator()(const TXA&) const { return make(Opcode::kTxa); }
  Made operator()(const TAX&) const { return make(Opcode::kTax); }
  Made operator()(const RawInstruction& i) const { return i; }
};

std::uint32_t size_of(const RawInstruction& i) { return (i.code & 0x18) == 0x10 ? 1 : (i.code & 0x18) == 0x08 ? 2 : 4; }

Instruction decode_load(const RawInstruction& i) {
  if (i.code == static_cast<std::uint16_t>(Opcode::kLdWordAbsolute))
    if (const ExtensionInfo* extension = find_extension(i.k); extension != nullptr)
      return LoadExtension{static_cast<Extension>(extension->extension), Register::kA};
  return LoadAbsolute{i.k, size_of(i)};
}

// The test, and its negation, that the opcode asks.
Instruction decode_jump(const RawInstruction& i, bool index) {
  static constexpr Test kTests[][2] = {{Test::kEqual, Test::kNotEqual},
                                       {Test::kGreaterThan, Test::kLessOrEqual},
                                       {Test::kGreaterOrEqual, Test::kLessThan},
                                       {Test::kBitsSet, Test::kBitsNotSet}};
  const bool negated = i.jt == 0;
  const Test test = kTests[(i.code >> 4) - 1][negated ? 1 : 0];
  const std::uint8_t skip_true = negated ? i.jf : i.jt;
  const std::uint8_t skip_false = negated ? i.jt : i.jf;
  if (index) return JumpIfX{test, skip_true, skip_false};
  return JumpIf{test, i.k, skip_true, skip_false};
}

// The typed form by the opcode alone; other fields may be lost in it.
std::optional<Instruction> decode(const RawInstruction& i) {
  const OpcodeInfo* info = find(i.code);
  if (info == nullptr) return std::nullopt;
  const Register loaded = info->writes == "X" ? Register::kX : Register::kA;
  switch (info->shape) {
    case OperandShape::kNone:
      if (info->opcode == Opcode::kTax) return TAX{};
      if (info->opcode == Opcode::kTxa) return TXA{};
      return NegateA{};
    case OperandShape::kConstant:
      if (info->opcode == Opcode::kRetK) return RetConstant{i.k};
      if ((i.code & 0x07) == kArithmetic) return ALUOpConstant{static_cast<Operation>(i.code & 0xf0), i.k};
      return LoadConstant{loaded, i.k};
    case OperandShape::kAbsolute: return decode_load(i);
    case OperandShape::kIndirect: return LoadIndirect{i.k, size_of(i)};
    case OperandShape::kScratch:
      if (info->writes == "M") return StoreScratch{info->reads == "X" ? Register::kX : Register::kA, i.k};
      return LoadScratch{loaded, i.k};
    case OperandShape::kLength: return LoadExtension{Extension::kLength, loaded};
    case OperandShape::kHeaderLength: return LoadMemShift{i.k};
    case OperandShape::kIndex: return ALUOpX{static_cast<Operation>(i.code & 0xf0)};
    case OperandShape::kAccumulator: return RetA{};
    case OperandShape::kJump: return Jump{i.k};
    case OperandShape::kBranchConstant: return decode_jump(i, false);
    case OperandShape::kBranchIndex: return decode_jump(i, true);
  }
  return std::nullopt;
}

}  // namespace

std::string_view kind_of(const Instruction& instruction) { return kKinds[instruction.index()]; }

Result<RawInstruction> assemble(const Instruction& instruction) {
  Result<RawInstruction> made = std::visit(Assemble{}, instruction);
  if (!made) made.error().message = fmt::format("{}: {}", kind_of(instruction), made.error().message);
  return made;
}

Result<Program> assemble(std::span<const Instruction> instructions) {
  std::vector<RawInstruction> program;
  program.reserve(instructions.size());
  for (const Instruction& instruction : instructions) {
    Result<RawInstruction> made = assemble(instruction);
    if (!made) {
      made.error().place = InstructionPlace{static_cast<std::uint32_t>(program.size())};
      return fail(std::move(made.error()));
    }
    program.push_back(*made);
  }
  return Program(std::move(program));
}

Result<Program> assemble(std::initializer_list<Instruction> instructions) {
  return assemble(std::span<const Instruction>(instructions.begin(), instructions.size()));
}

Instruction disassemble(const RawInstruction& instruction) {
  std::optional<Instruction> typed = decode(instruction);
  if (!typed) return instruction;
  const Result<RawInstruction> again = assemble(*typed);
  if (again && *again == instruction) return std::move(*typed);
  return instruction;
}

Disassembled disassemble(const Program& program) {
  Disassembled out;
  out.instructions.reserve(program.size());
  for (const RawInstruction& raw : program) {
    out.instructions.push_back(disassemble(raw));
    out.all_decoded = out.all_decoded && !std::holds_alternative<RawInstruction>(out.instructions.back());
  }
  return out;
}

}  // namespace weir::cbpf::typed
