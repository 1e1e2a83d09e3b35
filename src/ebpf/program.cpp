// The structure of a program. Exports check, violations and the look-ups of Program.
//
// One walk over the slots: each is decoded, its registers and where it goes are looked at. What a program does with
// memory is no business of this file. Source: RFC 9669; kernel/bpf/verifier.c, check_subprogs and
// resolve_pseudo_ldimm64, for what must be refused.
#include <weir/ebpf/program.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/ebpf/opcode_info.h>

namespace weir::ebpf {
namespace {

class Checker {
 public:
  Checker(const Program& program, const CheckOptions& options, bool only_first)
      : code_(program.instructions), options_(options), only_first_(only_first) {}

  std::vector<Error> run() {
    if (code_.empty()) return {Error{.message = "a program needs at least one instruction"}};
    if (code_.size() > kUserMaximumLength)
      return {Error{.code = ErrorCode::kLimit,
                    .message = fmt::format("{} slots are more than the {} that a program may have", code_.size(),
                                           kUserMaximumLength)}};
    second_.assign(code_.size(), false);
    for (std::size_t i = 0; i + 1 < code_.size(); ++i)
      if (code_[i].code == kWideCode) second_[++i] = true;
    for (std::size_t i = 0; i < code_.size() && !(only_first_ && !errors_.empty()); ++i)
      if (!second_[i]) slot(i);
    return std::move(errors_);
  }

 private:
  void complain(std::size_t at, std::string message, std::string hint = {}) {
    errors_.push_back(Error{.message = std::move(message),
                            .place = InstructionPlace{static_cast<std::uint32_t>(at)},
                            .hint = std::move(hint)});
  }

  void slot(std::size_t at) {
    const Instruction& instruction = code_[at];
    const Result<const OpcodeInfo*> decoded = decode(instruction);
    if (!decoded) return complain(at, decoded.error().message);
    const OpcodeInfo& row = **decoded;
    if (writes_dst(row) && instruction.dst == 10)
      complain(at, "the frame pointer r10 is written", "copy it to another register first");
    if (row.shape == OperandShape::kAtomicFetch && instruction.src == 10)
      complain(at, "the frame pointer r10 is written", "fetch into another register");
    if (row.shape == OperandShape::kCallRegister && !options_.register_calls)
      complain(at, "calls through registers are refused", "the kernel has no callx; --allow-callx takes it");
    if (is_for_kernels(row.shape) && !options_.kernel_instructions)
      complain(at, fmt::format("{} means something in kernels alone", row.sign),
               row.shape == OperandShape::kMayJump ? "it ends a loop by the kernel's own count: load the program there"
                                                   : "it is about arenas, which kernels have: load the program there");
    if (!options_.packet_loads &&
        (row.shape == OperandShape::kPacketAbsolute || row.shape == OperandShape::kPacketIndirect))
      complain(at, "packet loads are refused here");
    if (is_wide(row.shape)) wide(at);
    if (options_.kernel_constants) constants(at, row);
    where_to(at, row);
  }

  static bool writes_dst(const OpcodeInfo& row) {
    switch (row.shape) {
      case OperandShape::kAluConstant:
      case OperandShape::kAluRegister:
      case OperandShape::kNegate:
      case OperandShape::kSignExtend:
      case OperandShape::kByteOrder:
      case OperandShape::kLoad:
      case OperandShape::kLoadAcquire:
      case OperandShape::kAddressSpace:
      case OperandShape::kWideConstant:
      case OperandShape::kWideMap:
      case OperandShape::kWideVariable:
      case OperandShape::kWideFunction: return true;
      default: return false;
    }
  }

  void wide(std::size_t at) {
    if (at + 1 >= code_.size()) return complain(at, "the second half of the 64-bit constant is missing");
    const Instruction& half = code_[at + 1];
    if (half.code != 0 || half.dst != 0 || half.src != 0 || half.offset != 0)
      return complain(at + 1, "the second half of a 64-bit constant holds more than its constant");
    const std::uint8_t form = code_[at].src;
    const bool whole = form == 0 || form == kPseudoMapValue || form == kPseudoMapIndexValue || form == kPseudoVariable;
    if (!whole && half.immediate != 0) complain(at + 1, "the upper half must be 0 for this kind of constant");
  }

  void constants(std::size_t at, const OpcodeInfo& row) {
    if (row.shape != OperandShape::kAluConstant) return;
    const std::int32_t value = code_[at].immediate;
    const std::uint8_t operation = row.code & 0xf0;
    if ((operation == 0x30 || operation == 0x90) && value == 0) complain(at, "division by the constant 0");
    const bool shift = operation == 0x60 || operation == 0x70 || operation == 0xc0;
    if (shift && (value < 0 || value >= row.width * 8))
      complain(at, fmt::format("shift by {} in a register of {} bits", value, row.width * 8));
  }

  void target(std::size_t at, std::int64_t distance, const char* what) {
    const std::int64_t to = static_cast<std::int64_t>(at) + 1 + distance;
    if (to < 0 || to >= static_cast<std::int64_t>(code_.size()))
      return complain(at, fmt::format("{} to {}, outside of the program", what, to),
                      fmt::format("it has slots 0 to {}", code_.size() - 1));
    if (second_[static_cast<std::size_t>(to)])
      complain(at, fmt::format("{} to {}, into the middle of a 64-bit constant", what, to));
  }

  void where_to(std::size_t at, const OpcodeInfo& row) {
    const Instruction& instruction = code_[at];
    bool falls_through = true;
    if (row.shape == OperandShape::kJump || is_branch(row.shape)) target(at, instruction.offset, "jump");
    if (row.shape == OperandShape::kJumpLong) target(at, instruction.immediate, "jump");
    if (row.shape == OperandShape::kCallLocal) target(at, instruction.immediate, "call");
    if (row.shape == OperandShape::kWideFunction) target(at, instruction.immediate, "address of a function");
    if (row.shape == OperandShape::kJump || row.shape == OperandShape::kJumpLong || row.shape == OperandShape::kNone)
      falls_through = false;
    const std::size_t next = at + (is_wide(row.shape) ? 2 : 1);
    if (falls_through && next == code_.size())
      complain(at, "the program runs over its end", "end it with 'exit' or a jump");
  }

  std::span<const Instruction> code_;
  const CheckOptions& options_;
  bool only_first_;
  std::vector<bool> second_;  // the second slot of a 64-bit constant
  std::vector<Error> errors_;
};

}  // namespace

const MapReference* Program::map_reference(std::size_t instruction) const {
  const auto found = std::lower_bound(map_references.begin(), map_references.end(), instruction,
                                      [](const MapReference& row, std::size_t at) { return row.instruction < at; });
  return found != map_references.end() && found->instruction == instruction ? &*found : nullptr;
}

const SourceLine* Program::line_of(std::size_t instruction) const {
  const auto after = std::upper_bound(lines.begin(), lines.end(), instruction,
                                      [](std::size_t at, const SourceLine& row) { return at < row.instruction; });
  return after == lines.begin() ? nullptr : &*(after - 1);
}

Result<Checked> check(Program program, const CheckOptions& options) {
  std::vector<Error> errors = Checker(program, options, true).run();
  if (!errors.empty()) return fail(std::move(errors.front()));
  return Checked(std::move(program));
}

std::vector<Error> violations(const Program& program, const CheckOptions& options) {
  return Checker(program, options, false).run();
}

}  // namespace weir::ebpf
