// Typed instructions as text. Exports typed::write and typed::write_go.
//
// The text is that of golang.org/x/net/bpf's String methods: numbers are unsigned decimal, jumps count what they skip,
// and a jump with one empty branch is written by the other alone. Where Go's text would drop a branch (JumpNotEqual
// with two of them), the test is turned round instead.
#include <weir/cbpf/typed.h>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf::typed {
namespace {

struct OperationName {
  Operation operation;
  std::string_view go;
  std::string_view mnemonic;
};
constexpr OperationName kOperations[] = {
#define WEIR_GO_OPERATION(value, go, mnemonic) {Operation::value, go, mnemonic},
#include "cbpf/go_names.def"
};
constexpr std::pair<Test, std::string_view> kTests[] = {
#define WEIR_GO_TEST(value, go) {Test::value, go},
#include "cbpf/go_names.def"
};
// SKF_AD_ALU_XOR_X has no name in Go.
constexpr std::pair<Extension, std::string_view> kExtensions[] = {
#define WEIR_GO_EXTENSION(value, go) {Extension::value, go},
#include "cbpf/go_names.def"
};

std::string_view mnemonic(Operation operation) {
  for (const OperationName& row : kOperations)
    if (row.operation == operation) return row.mnemonic;
  return "unknown";
}

std::string go_name(Operation operation) {
  for (const OperationName& row : kOperations)
    if (row.operation == operation) return fmt::format("bpf.{}", row.go);
  return fmt::format("{}", static_cast<unsigned>(operation));
}

std::string go_name(Test test) {
  for (const auto& [value, name] : kTests)
    if (value == test) return fmt::format("bpf.{}", name);
  return fmt::format("{}", static_cast<unsigned>(test));
}

std::string go_name(Extension extension) {
  for (const auto& [value, name] : kExtensions)
    if (value == extension) return fmt::format("bpf.{}", name);
  return fmt::format("{}", static_cast<std::uint32_t>(extension));
}

std::string_view load_of(std::uint32_t size) { return size == 1 ? "ldb" : size == 2 ? "ldh" : "ld"; }
std::string_view go_register(Register which) { return which == Register::kX ? "bpf.RegX" : "bpf.RegA"; }

std::string write_jump(Test test, const std::string& operand, unsigned skip_true, unsigned skip_false) {
  const auto straight = [&](std::string_view name, std::string_view opposite) {
    if (skip_true > 0 && skip_false > 0) return fmt::format("{} {},{},{}", name, operand, skip_true, skip_false);
    if (skip_true > 0) return fmt::format("{} {},{}", name, operand, skip_true);
    return fmt::format("{} {},{}", opposite, operand, skip_false);
  };
  switch (test) {
    case Test::kEqual: return straight("jeq", "jneq");
    case Test::kGreaterThan: return straight("jgt", "jle");
    case Test::kGreaterOrEqual: return straight("jge", "jlt");
    case Test::kBitsSet:
      if (skip_false == 0) return fmt::format("jset {},{}", operand, skip_true);
      return fmt::format("jset {},{},{}", operand, skip_true, skip_false);
    case Test::kNotEqual: return write_jump(Test::kEqual, operand, skip_false, skip_true);
    case Test::kLessOrEqual: return write_jump(Test::kGreaterThan, operand, skip_false, skip_true);
    case Test::kLessThan: return write_jump(Test::kGreaterOrEqual, operand, skip_false, skip_true);
    case Test::kBitsNotSet: return write_jump(Test::kBitsSet, operand, skip_false, skip_true);
  }
  return fmt::format("unknown {}", operand);
}

struct Text {
  std::string operator()(const LoadConstant& i) const {
    return fmt::format("{} #{}", i.dst == Register::kX ? "ldx" : "ld", i.value);
  }
  std::string operator()(const LoadScratch& i) const {
    return fmt::format("{} M[{}]", i.dst == Register::kX ? "ldx" : "ld", i.index);
  }
  std::string operator()(const LoadAbsolute& i) const {
    if (i.size == 4)
      if (const ExtensionInfo* extension = find_extension(i.offset); extension != nullptr)
        return fmt::format("ld #{}", extension->text);
    return fmt::format("{} [{}]", load_of(i.size), i.offset);
  }
  std::string operator()(const LoadIndirect& i) const { return fmt::format("{} [x + {}]", load_of(i.size), i.offset); }
  std::string operator()(const LoadMemShift& i) const { return fmt::format("ldx 4*([{}]&0xf)", i.offset); }
  std::string operator()(const LoadExtension& i) const {
    if (i.extension == Extension::kLength) return i.dst == Register::kX ? "ldx #len" : "ld #len";
    const ExtensionInfo* extension = find_extension(kExtensionBase + static_cast<std::uint32_t>(i.extension));
    return fmt::format("ld #{}", extension != nullptr ? extension->text : "unknown");
  }
  std::string operator()(const StoreScratch& i) const {
    return fmt::format("{} M[{}]", i.src == Register::kX ? "stx" : "st", i.index);
  }
  std::string operator()(const ALUOpConstant& i) const { return fmt::format("{} #{}", mnemonic(i.operation), i.value); }
  std::string operator()(const ALUOpX& i) const { return fmt::format("{} x", mnemonic(i.operation)); }
  std::string operator()(const NegateA&) const { return "neg"; }
  std::string operator()(const Jump& i) const { return fmt::format("ja {}", i.skip); }
  std::string operator()(const JumpIf& i) const {
    return write_jump(i.test, fmt::format("#{}", i.value), i.skip_true, i.skip_false);
  }
  std::string operator()(const JumpIfX& i) const { return write_jump(i.test, "x", i.skip_true, i.skip_false); }
  std::string operator()(const RetA&) const { return "ret a"; }
  std::string operator()(const RetConstant& i) const { return fmt::format("ret #{}", i.value); }
  std::string operator()(const TXA&) const { return "txa"; }
  std::string operator()(const TAX&) const { return "tax"; }
  std::string operator()(const RawInstruction& i) const {
    return fmt::format(".raw {:#x}, {}, {}, {:#x}", i.code, i.jt, i.jf, i.k);
  }
};

// The fields of a struct literal; SkipTrue and SkipFalse are left out where they are 0.
std::string go_skips(unsigned skip_true, unsigned skip_false) {
  std::string out;
  if (skip_true != 0) out += fmt::format(", SkipTrue: {}", skip_true);
  if (skip_false != 0) out += fmt::format(", SkipFalse: {}", skip_false);
  return out;
}

struct GoFields {
  std::string operator()(const LoadConstant& i) const {
    return fmt::format("Dst: {}, Val: {}", go_register(i.dst), i.value);
  }
  std::string operator()(const LoadScratch& i) const {
    return fmt::format("Dst: {}, N: {}", go_register(i.dst), i.index);
  }
  std::string operator()(const LoadAbsolute& i) const { return fmt::format("Off: {}, Size: {}", i.offset, i.size); }
  std::string operator()(const LoadIndirect& i) const { return fmt::format("Off: {}, Size: {}", i.offset, i.size); }
  std::string operator()(const LoadMemShift& i) const { return fmt::format("Off: {}", i.offset); }
  std::string operator()(const LoadExtension& i) const { return fmt::format("Num: {}", go_name(i.extension)); }
  std::string operator()(const StoreScratch& i) const {
    return fmt::format("Src: {}, N: {}", go_register(i.src), i.index);
  }
  std::string operator()(const ALUOpConstant& i) const {
    const bool bits = i.operation == Operation::kAnd || i.operation == Operation::kOr || i.operation == Operation::kXor;
    return fmt::format("Op: {}, Val: {}", go_name(i.operation),
                       bits ? fmt::format("{:#x}", i.value) : fmt::format("{}", i.value));
  }
  std::string operator()(const ALUOpX& i) const { return fmt::format("Op: {}", go_name(i.operation)); }
  std::string operator()(const Jump& i) const { return fmt::format("Skip: {}", i.skip); }
  std::string operator()(const JumpIf& i) const {
    return fmt::format("Cond: {}, Val: {:#x}{}", go_name(i.test), i.value, go_skips(i.skip_true, i.skip_false));
  }
  std::string operator()(const JumpIfX& i) const {
    return fmt::format("Cond: {}{}", go_name(i.test), go_skips(i.skip_true, i.skip_false));
  }
  std::string operator()(const RetConstant& i) const { return fmt::format("Val: {}", i.value); }
  std::string operator()(const RawInstruction& i) const {
    return fmt::format("Op: {:#x}, Jt: {}, Jf: {}, K: {:#x}", i.code, i.jt, i.jf, i.k);
  }
  std::string operator()(const NegateA&) const { return ""; }
  std::string operator()(const RetA&) const { return ""; }
  std::string operator()(const TXA&) const { return ""; }
  std::string operator()(const TAX&) const { return ""; }
};

}  // namespace

std::string write(const Instruction& instruction) {
  if (!assemble(instruction)) return fmt::format("unknown instruction: {}", write_go(instruction));
  return std::visit(Text{}, instruction);
}

std::string write_go(const Instruction& instruction) {
  // Go's LoadExtension has no register: `ldx #len` is raw there.
  if (const auto* load = std::get_if<LoadExtension>(&instruction); load != nullptr && load->dst == Register::kX)
    if (const Result<RawInstruction> raw = assemble(instruction)) return write_go(Instruction(*raw));
  return fmt::format("bpf.{}{{{}}}", kind_of(instruction), std::visit(GoFields{}, instruction));
}

}  // namespace weir::cbpf::typed
