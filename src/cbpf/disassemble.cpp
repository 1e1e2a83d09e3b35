// Programs in assembler language. Exports disassemble.
//
// Jump targets get labels l0, l1, ... named by instruction. What the language cannot say exactly (unknown opcodes,
// garbage in fields that an instruction does not use, jumps out of the program) is written as `.raw code, jt, jf, k`,
// so that every program survives the way to text and back.
#include "cbpf/disassemble.h"

#include <vector>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf {
namespace {

class Disassembler {
 public:
  explicit Disassembler(const Program& program) : program_(program), labelled_(program.size(), false) {}

  std::string run() {
    for (std::size_t i = 0; i < program_.size(); ++i) mark_targets(i);
    std::string out;
    for (std::size_t i = 0; i < program_.size(); ++i) {
      const std::string label = labelled_[i] ? fmt::format("l{}:", i) : "";
      out += fmt::format("{:<7} {}\n", label, sayable(i) ? say(i) : say_raw(i));
    }
    return out;
  }

 private:
  static constexpr std::uint16_t kRetX = 0x0e;  // bpf_asm can say it; no Linux takes it

  std::uint64_t target(std::size_t at, std::uint8_t distance) const { return std::uint64_t{at} + 1 + distance; }
  // The distance of `ja` may lead backward, as in libpcap's loops.
  std::uint64_t jump_target(std::size_t at) const {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(at) + 1 + static_cast<std::int32_t>(program_[at].k));
  }

  // Whether the assembler would make exactly these fields of the text.
  bool sayable(std::size_t at) const {
    const Instruction& i = program_[at];
    const OpcodeInfo* info = find(i.code);
    if (info == nullptr) return i == Instruction{kRetX, 0, 0, 0};
    switch (info->shape) {
      case OperandShape::kNone:
      case OperandShape::kLength:
      case OperandShape::kIndex:
      case OperandShape::kAccumulator: return i.jt == 0 && i.jf == 0 && i.k == 0;
      case OperandShape::kJump: return i.jt == 0 && i.jf == 0 && jump_target(at) < program_.size();
      case OperandShape::kBranchIndex:
        if (i.k != 0) return false;
        [[fallthrough]];
      case OperandShape::kBranchConstant:
        return target(at, i.jt) < program_.size() && target(at, i.jf) < program_.size();
      default: return i.jt == 0 && i.jf == 0;
    }
  }

  void mark_targets(std::size_t at) {
    if (!sayable(at)) return;
    const Instruction& i = program_[at];
    if (i.code == kRetX) return;
    const OperandShape shape = find(i.code)->shape;
    if (shape == OperandShape::kJump) labelled_[jump_target(at)] = true;
    if (shape == OperandShape::kBranchConstant || shape == OperandShape::kBranchIndex)
      labelled_[target(at, i.jt)] = labelled_[target(at, i.jf)] = true;
  }

  std::string say_raw(std::size_t at) const {
    const Instruction& i = program_[at];
    return fmt::format(".raw    {:#x}, {}, {}, {:#x}", i.code, i.jt, i.jf, i.k);
  }

  std::string say(std::size_t at) const {
    const Instruction& i = program_[at];
    if (i.code == kRetX) return fmt::format("{:<7} x", "ret");
    const OpcodeInfo& info = *find(i.code);
    const auto with = [&](const std::string& operand) { return fmt::format("{:<7} {}", info.mnemonic, operand); };
    const auto labels = [&] { return fmt::format("l{}, l{}", target(at, i.jt), target(at, i.jf)); };
    switch (info.shape) {
      case OperandShape::kNone: return std::string(info.mnemonic);
      case OperandShape::kConstant: return with(fmt::format("#{:#x}", i.k));
      case OperandShape::kAbsolute:
        if (const ExtensionInfo* extension = find_extension(i.k); extension != nullptr)
          return with(fmt::format("#{}", extension->text));
        return with(fmt::format("[{}]", i.k));
      case OperandShape::kIndirect: return with(fmt::format("[x + {}]", i.k));
      case OperandShape::kScratch: return with(fmt::format("M[{}]", i.k));
      case OperandShape::kLength: return with("#len");
      case OperandShape::kHeaderLength: return with(fmt::format("4*([{}]&0xf)", i.k));
      case OperandShape::kIndex: return with("x");
      case OperandShape::kAccumulator: return with("a");
      case OperandShape::kJump: return with(fmt::format("l{}", jump_target(at)));
      case OperandShape::kBranchConstant: return with(fmt::format("#{:#x}, {}", i.k, labels()));
      case OperandShape::kBranchIndex: return with(fmt::format("x, {}", labels()));
    }
    return say_raw(at);
  }

  const Program& program_;
  std::vector<bool> labelled_;
};

}  // namespace

std::string disassemble(const Program& program) { return Disassembler(program).run(); }

}  // namespace weir::cbpf
