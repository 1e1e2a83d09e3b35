// Listings of tcpdump -d. Exports read_listing.
//
// A row is "(000) ldh      [12]"; jump targets are numbers of rows. A listing does not show fields that an instruction
// does not use: they are 0 in what is read. Extensions have libpcap's names or bpf_asm's.
#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>

#include "cbpf/cursor.h"
#include "cbpf/mnemonics.h"
#include "cbpf/readers.h"

namespace weir::cbpf {
namespace {

struct Listed {
  OperandShape shape = OperandShape::kNone;
  std::uint32_t k = 0;
};

// A listing shows `#k` for constants of loads, arithmetic and jumps, and `x` for both kinds of index operand.
bool matches(OperandShape row, OperandShape seen) {
  if (row == seen) return true;
  if (seen == OperandShape::kConstant) return row == OperandShape::kBranchConstant;
  if (seen == OperandShape::kIndex) return row == OperandShape::kBranchIndex;
  if (seen == OperandShape::kNone) return row == OperandShape::kAccumulator;
  return false;
}

class Listing {
 public:
  explicit Listing(std::string_view text) : cursor_(text, 0, text.size()) {}

  Result<Program> run() {
    std::vector<Instruction> program;
    for (cursor_.skip(); !cursor_.done(); cursor_.skip()) {
      const std::size_t start = cursor_.at();
      if (!cursor_.take("(")) return fail("expected '(' and the number of the instruction", cursor_.here());
      WEIR_TRY(const std::uint32_t index, cursor_.number());
      if (index != program.size())
        return fail(fmt::format("instruction {} is out of order", index), cursor_.since(start),
                    fmt::format("{} should follow", program.size()));
      if (!cursor_.take(")")) return fail("expected ')'", cursor_.here());
      cursor_.skip_blanks();
      WEIR_TRY(const Instruction instruction, row(index));
      program.push_back(instruction);
      cursor_.skip_blanks();
      if (!cursor_.at_line_end()) return fail("expected the end of the line", cursor_.here());
    }
    if (program.empty()) return fail("the text holds no program", cursor_.here());
    return Program(std::move(program));
  }

 private:
  Result<Instruction> row(std::uint32_t index) {
    const std::size_t start = cursor_.at();
    const std::string_view mnemonic = cursor_.name();
    const Span mnemonic_span = cursor_.since(start);
    cursor_.skip_blanks();
    if (mnemonic == "unimp") {
      WEIR_TRY(const std::uint32_t code, cursor_.number(0xffff));
      Instruction instruction{static_cast<std::uint16_t>(code), 0, 0, 0};
      cursor_.skip_blanks();
      if (cursor_.at_line_end()) return instruction;
      WEIR_TRY(instruction.jt, target("jt", index));
      WEIR_TRY(instruction.jf, target("jf", index));
      return instruction;
    }
    const bool known = std::any_of(opcodes().begin(), opcodes().end(),
                                   [&](const OpcodeInfo& row) { return row.mnemonic == mnemonic; });
    if (!known)
      return fail(
          mnemonic.empty() ? std::string("expected an instruction") : fmt::format("unknown instruction '{}'", mnemonic),
          mnemonic_span, did_you_mean(mnemonic, mnemonic_names()));
    const std::size_t operand_start = cursor_.at();
    WEIR_TRY(const Listed seen, operand(mnemonic));
    for (const OpcodeInfo& row : opcodes()) {
      if (row.mnemonic != mnemonic || !matches(row.shape, seen.shape)) continue;
      Instruction instruction = make(row.opcode, seen.k);
      if (row.shape == OperandShape::kJump) instruction.k = seen.k - index - 1;
      if (row.shape == OperandShape::kBranchConstant || row.shape == OperandShape::kBranchIndex) {
        WEIR_TRY(instruction.jt, target("jt", index));
        WEIR_TRY(instruction.jf, target("jf", index));
      }
      return instruction;
    }
    return fail(fmt::format("'{}' does not take this operand", mnemonic), cursor_.since(operand_start));
  }

  Result<Listed> operand(std::string_view mnemonic) {
    if (cursor_.at_line_end()) return Listed{};
    if (cursor_.take("#pktlen") || cursor_.take("#len")) return Listed{OperandShape::kLength};
    if (cursor_.take("#")) return constant(OperandShape::kConstant, "");
    if (cursor_.take("M[")) return constant(OperandShape::kScratch, "]");
    if (cursor_.take("4*([")) return constant(OperandShape::kHeaderLength, "]&0xf)");
    if (cursor_.take("[x + ") || cursor_.take("[x+")) return constant(OperandShape::kIndirect, "]");
    if (cursor_.take("[")) {
      if (!is_letter(cursor_.peek())) return constant(OperandShape::kAbsolute, "]");
      return extension();
    }
    if (cursor_.take("x")) return Listed{OperandShape::kIndex};
    if (mnemonic == "ja") return constant(OperandShape::kJump, "");
    return fail("unknown operand", cursor_.here());
  }

  Result<Listed> extension() {
    const std::size_t start = cursor_.at();
    const std::string_view name = cursor_.name();
    const std::optional<NamedLoad> load = find_named_load(name);
    if (!load || load->length)
      return fail(fmt::format("unknown extension '{}'", name), cursor_.since(start), did_you_mean(name, named_loads()));
    if (!cursor_.take("]")) return fail("expected ']'", cursor_.here());
    return Listed{OperandShape::kAbsolute, load->offset};
  }

  Result<Listed> constant(OperandShape shape, std::string_view end) {
    WEIR_TRY(const std::uint32_t k, cursor_.number());
    if (!cursor_.take(end)) return fail(fmt::format("expected '{}'", end), cursor_.here());
    return Listed{shape, k};
  }

  Result<std::uint8_t> target(std::string_view word, std::uint32_t index) {
    cursor_.skip_blanks();
    if (!cursor_.take(word)) return fail(fmt::format("expected '{}'", word), cursor_.here());
    cursor_.skip_blanks();
    const std::size_t start = cursor_.at();
    WEIR_TRY(const std::uint32_t absolute, cursor_.number());
    const std::uint32_t distance = absolute - index - 1;
    if (distance > 255)
      return fail(fmt::format("instruction {} is out of reach", absolute), cursor_.since(start),
                  "a conditional jump reaches the 256 instructions after it");
    return static_cast<std::uint8_t>(distance);
  }

  Cursor cursor_;
};

}  // namespace

Result<Program> read_listing(std::string_view text) { return Listing(text).run(); }

}  // namespace weir::cbpf
