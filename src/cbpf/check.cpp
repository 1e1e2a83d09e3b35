// The checker: whether Linux would take a program, and if not, which rule which instruction breaks.
// Exports check and violations.
//
// The rules are those of net/core/filter.c (bpf_check_classic, chk_code_allowed, check_load_and_stores) and of
// kernel/seccomp.c (seccomp_check_filter). One pass over the instructions checks each alone; one more carries forward,
// to every jump target, which scratch words were written on all paths to it. Jumps only lead forward, so both passes
// are linear. The kernel stops at the first rule that is broken; this goes on and tells them all.
//
// What the kernel also takes and this does not complain of: unreachable instructions, jt, jf and k that the
// instruction does not use, absolute loads relative to the network and link-layer headers. As in the kernel, `ret`
// does not end a path for scratch words: what was written before it counts as written after it.
#include <weir/cbpf/program.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

namespace weir::cbpf {
namespace {

class Checker {
 public:
  Checker(const Program& program, const CheckOptions& options) : program_(program), options_(options) {}

  std::vector<Error> run() {
    if (!check_length()) return std::move(errors_);
    for (std::uint32_t at = 0; at < program_.size(); ++at) check_instruction(at);
    check_last();
    check_scratch_reads();
    std::stable_sort(errors_.begin(), errors_.end(), [](const Error& a, const Error& b) {
      return std::get<InstructionPlace>(a.place).index < std::get<InstructionPlace>(b.place).index;
    });
    return std::move(errors_);
  }

 private:
  void complain(std::uint32_t at, std::string message, std::string hint = {}) {
    errors_.push_back(Error{.message = std::move(message), .place = InstructionPlace{at}, .hint = std::move(hint)});
  }

  bool check_length() {
    if (program_.empty()) {
      errors_.push_back(Error{.message = "the program is empty", .hint = "it needs at least a ret instruction"});
      return false;
    }
    const std::uint32_t limit = options_.target == Target::kUser ? kUserMaximumLength : kMaximumLength;
    if (program_.size() > limit) {
      errors_.push_back(
          Error{.code = ErrorCode::kLimit,
                .message = fmt::format("the program has {} instructions, {} takes at most {}", program_.size(),
                                       options_.target == Target::kUser ? "weir" : "the kernel", limit),
                .place = InstructionPlace{limit}});
      return false;
    }
    return true;
  }

  void check_instruction(std::uint32_t at) {
    const Instruction& instruction = program_[at];
    const OpcodeInfo* info = find(instruction.code);
    if (info == nullptr) {
      complain(at, fmt::format("unknown opcode {:#04x}", instruction.code), opcode_hint(instruction.code));
      return;
    }
    if (options_.target == Target::kSeccomp && !info->seccomp) {
      complain(at, fmt::format("seccomp does not take the opcode {:#04x} ({})", instruction.code, info->mnemonic));
      return;
    }
    switch (info->shape) {
      case OperandShape::kScratch:
        if (instruction.k >= kScratchWords)
          complain(at, fmt::format("scratch word M[{}] does not exist", instruction.k), "words are M[0] to M[15]");
        break;
      case OperandShape::kAbsolute: check_absolute(at, instruction); break;
      case OperandShape::kConstant: check_constant(at, instruction); break;
      case OperandShape::kJump:
        // 64 bits: k may be any number.
        if (std::uint64_t{at} + 1 + instruction.k >= program_.size())
          complain(at, jump_message(std::uint64_t{at} + 1 + instruction.k), jump_hint(instruction.k));
        break;
      case OperandShape::kBranchConstant:
      case OperandShape::kBranchIndex: check_branch(at, instruction); break;
      default: break;
    }
  }

  // Codes that other systems know, and the one a transposed field makes.
  static std::string opcode_hint(std::uint16_t code) {
    constexpr std::uint16_t kRetX = 0x0e;
    if (code == kRetX) return "Linux has no 'ret x': write 'txa' and 'ret a'";
    if (code > 0xff) return "opcodes fit into one byte";
    return {};
  }

  // A distance that leads backward when it is taken as signed is most likely meant so.
  std::string jump_message(std::uint64_t target) const {
    const std::uint64_t backward = target - (std::uint64_t{1} << 32);
    if (backward < program_.size()) return fmt::format("jump backward to instruction {}", backward);
    return fmt::format("jump to instruction {}, but the last is {}", target, program_.size() - 1);
  }

  static std::string jump_hint(std::uint32_t distance) {
    return distance >= 0x80000000 ? "distances are unsigned: a program cannot jump backward" : "";
  }

  void check_branch(std::uint32_t at, const Instruction& instruction) {
    const std::uint32_t if_true = at + 1 + instruction.jt;
    const std::uint32_t if_false = at + 1 + instruction.jf;
    if (if_true >= program_.size()) complain(at, jump_message(if_true) + " (when true)");
    if (if_false >= program_.size()) complain(at, jump_message(if_false) + " (when false)");
  }

  void check_absolute(std::uint32_t at, const Instruction& instruction) {
    if (options_.target == Target::kSeccomp) {
      constexpr std::uint32_t kSeccompDataSize = 64;  // sizeof(struct seccomp_data)
      if ((instruction.k & 3) != 0 || instruction.k >= kSeccompDataSize)
        complain(at, fmt::format("seccomp loads only aligned words below 64, not at {:#x}", instruction.k));
      return;
    }
    if (instruction.k >= kExtensionBase && find_extension(instruction.k) == nullptr)
      complain(at,
               fmt::format("load at {:#x}: there is no extension {}", instruction.k, instruction.k - kExtensionBase),
               "offsets from 0xfffff000 name extensions: 'proto', 'ifidx', 'mark' and others");
  }

  void check_constant(std::uint32_t at, const Instruction& instruction) {
    switch (instruction.opcode()) {
      case Opcode::kDivK:
      case Opcode::kModK:
        if (instruction.k == 0) complain(at, "division by zero", "the divisor is a constant: it must not be 0");
        break;
      case Opcode::kLshK:
      case Opcode::kRshK:
        if (instruction.k >= 32) complain(at, fmt::format("shift by {}", instruction.k), "at most 31");
        break;
      default: break;
    }
  }

  void check_last() {
    const Opcode last = program_[program_.size() - 1].opcode();
    if (last != Opcode::kRetK && last != Opcode::kRetA)
      complain(static_cast<std::uint32_t>(program_.size() - 1), "the program does not end with ret",
               "add 'ret #0' as the last instruction");
  }

  // Which words were written on every path: bit i for M[i]. All bits before the first path arrives. Jumps out of the
  // program and words that do not exist were complained of before and are passed over here.
  void check_scratch_reads() {
    std::vector<std::uint16_t> written(program_.size(), 0xffff);
    std::uint16_t now = 0;
    std::uint16_t ever = 0;
    const auto arrive = [&](std::uint64_t target) {
      if (target < written.size()) written[target] &= now;
    };
    for (std::uint32_t at = 0; at < program_.size(); ++at) {
      const Instruction& instruction = program_[at];
      const std::uint64_t next = std::uint64_t{at} + 1;
      const auto bit = static_cast<std::uint16_t>(instruction.k < kScratchWords ? 1u << instruction.k : 0);
      now &= written[at];
      switch (instruction.opcode()) {
        case Opcode::kSt:
        case Opcode::kStx:
          now |= bit;
          ever |= bit;
          break;
        case Opcode::kLdScratch:
        case Opcode::kLdxScratch:
          if ((now & bit) != bit)
            complain(at, fmt::format("M[{}] is read, but not written on every path to here", instruction.k),
                     (ever & bit) != 0 ? "a jump leads here past the st or stx" : "no st or stx before writes it");
          break;
        case Opcode::kJa:
          arrive(next + instruction.k);
          now = 0xffff;
          break;
        default:
          if (!is_branch(instruction)) break;
          arrive(next + instruction.jt);
          arrive(next + instruction.jf);
          now = 0xffff;
          break;
      }
    }
  }

  static bool is_branch(const Instruction& instruction) {
    const OpcodeInfo* info = find(instruction.code);
    return info != nullptr &&
           (info->shape == OperandShape::kBranchConstant || info->shape == OperandShape::kBranchIndex);
  }

  const Program& program_;
  const CheckOptions& options_;
  std::vector<Error> errors_;
};

}  // namespace

std::vector<Error> violations(const Program& program, const CheckOptions& options) {
  return Checker(program, options).run();
}

Result<Checked> check(Program program, const CheckOptions& options) {
  std::vector<Error> errors = violations(program, options);
  if (!errors.empty()) return fail(std::move(errors.front()));
  return Checked(std::move(program), options.target);
}

}  // namespace weir::cbpf
