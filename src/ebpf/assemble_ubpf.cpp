// The text assembler: uBPF's syntax, a mnemonic and operands ("ldxw r0, [r1+4]").
//
// Also rBPF's and bpf_conformance's variants: names of registers with '%', "mov64" for "mov", "swap16" for "bswap16",
// "movsx832 r1, r2", "lock fetch add [r1+0], r2". The mnemonics are in opcodes.def.
#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "ebpf/text_parser.h"

namespace weir::ebpf {
namespace {

// The mnemonic as the table has it.
std::string canonical(std::string_view text) {
  std::string name(text);
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  if (name.substr(0, 4) == "swap") return "b" + name;
  if (name == "jmp") return "ja";
  if (name == "ldimm64") return "lddw";
  if (name.size() > 2 && name.substr(name.size() - 2) == "64" && name[0] != 'b' && name[0] != 'l' &&
      name.substr(0, 5) != "movsx")
    name.resize(name.size() - 2);
  return name;
}

std::vector<const OpcodeInfo*> rows_of(std::string_view mnemonic) {
  std::vector<const OpcodeInfo*> rows;
  for (const OpcodeInfo& row : opcodes())
    if (row.mnemonic == mnemonic) rows.push_back(&row);
  return rows;
}

const OpcodeInfo* with_shape(const std::vector<const OpcodeInfo*>& rows, OperandShape shape) {
  for (const OpcodeInfo* row : rows)
    if (row->shape == shape) return row;
  return nullptr;
}

}  // namespace

void TextParser::mnemonic() {
  const Word& word = next();
  const std::string name = canonical(word.text);
  const std::vector<const OpcodeInfo*> rows = rows_of(name);
  if (rows.empty() || name.find(' ') != std::string::npos) {
    std::vector<std::string_view> known{"if",   "goto", "gotol", "call",         "callx",
                                        "exit", "lock", "func",  "store_release"};
    for (const OpcodeInfo& row : opcodes()) known.push_back(row.mnemonic);
    return complain(fmt::format("unknown instruction '{}'", word.text), word.span, did_you_mean(name, known));
  }
  if (name == "lddw") return ubpf_wide(word);
  const OpcodeInfo& first = *rows.front();
  if (first.shape == OperandShape::kNone) return emit(first, Register::kR0, Register::kR0, 0, 0);
  if (first.shape == OperandShape::kJump || first.shape == OperandShape::kJumpLong)
    return jump(first.shape == OperandShape::kJumpLong);
  if (first.shape == OperandShape::kAtomic || first.shape == OperandShape::kAtomicFetch)
    if (with_shape(rows, OperandShape::kAluConstant) == nullptr)
      return complain(fmt::format("'{}' needs the word 'lock' before it", word.text), word.span);
  ubpf_operands(word, rows);
}

// [r1+4]
std::optional<TextParser::MemoryOperand> TextParser::ubpf_memory() {
  if (!expect("[")) return std::nullopt;
  const auto memory = memory_inside();
  if (!memory || !expect("]")) return std::nullopt;
  return memory;
}

void TextParser::ubpf_operands(const Word& word, const std::vector<const OpcodeInfo*>& rows) {
  const OpcodeInfo& first = *rows.front();
  switch (first.shape) {
    case OperandShape::kStoreConstant: {
      const auto memory = ubpf_memory();
      if (!memory || !expect(",")) return;
      if (register_at(0))
        return complain(fmt::format("'{}' stores a constant", word.text), peek().span,
                        fmt::format("a register is stored by 'stx{}'", first.mnemonic.substr(2)));
      if (const auto value = immediate(first.width == 8))
        emit(first, memory->base, Register::kR0, memory->offset, *value);
      return;
    }
    case OperandShape::kStoreRelease:
    case OperandShape::kStoreRegister: {
      const auto memory = ubpf_memory();
      if (!memory || !expect(",")) return;
      if (const auto src = full_register()) emit(first, memory->base, *src, memory->offset, 0);
      return;
    }
    case OperandShape::kPacketAbsolute:
      if (const auto value = immediate()) emit(first, Register::kR0, Register::kR0, 0, *value);
      return;
    default: break;
  }
  const auto dst = full_register();
  if (!dst) return;
  if (first.shape == OperandShape::kNegate || first.shape == OperandShape::kByteOrder)
    return emit(first, *dst, Register::kR0, 0, 0);
  if (!expect(",")) return;
  switch (first.shape) {
    case OperandShape::kPacketIndirect:
      if (const auto value = immediate()) emit(first, Register::kR0, *dst, 0, *value);
      return;
    case OperandShape::kLoadAcquire:
    case OperandShape::kLoad:
      if (const auto memory = ubpf_memory()) emit(first, *dst, memory->base, memory->offset, 0);
      return;
    case OperandShape::kAddressSpace: {
      const auto src = full_register();
      if (src && expect(",")) address_spaces(*dst, *src);
      return;
    }
    case OperandShape::kSignExtend:
      if (const auto src = full_register()) emit(first, *dst, *src, 0, 0);
      return;
    default: break;
  }
  const bool reg = register_at(0).has_value();
  const bool branches = is_branch(first.shape);
  const OpcodeInfo* row =
      with_shape(rows, branches ? (reg ? OperandShape::kBranchRegister : OperandShape::kBranchConstant)
                                : (reg ? OperandShape::kAluRegister : OperandShape::kAluConstant));
  if (row == nullptr) return complain(fmt::format("'{}' does not take this operand", word.text), peek().span);
  Register src = Register::kR0;
  std::int32_t constant = 0;
  if (reg) {
    const auto found = full_register();
    if (!found) return;
    src = *found;
  } else {
    const auto value = immediate(row->width == 8);
    if (!value) return;
    constant = *value;
  }
  if (!branches) return emit(*row, *dst, src, 0, constant);
  if (!expect(",")) return;
  if (const auto to = target()) emit_branch(*row, *dst, src, constant, *to);
}

// lddw r1, 0x1122334455667788; also all that may stand after "r1 =" in the other syntax: "lddw r1, map[fd:5]"
void TextParser::ubpf_wide(const Word&) {
  const auto dst = full_register();
  if (!dst || !expect(",")) return;
  if (peek().kind == WordKind::kName) return assign_named({*dst});
  const Span start = peek().span;
  const bool negative = take("-");
  if (!negative) take("+");
  if (peek().kind != WordKind::kNumber)
    return complain(fmt::format("expected a number, not {}", shown(peek())), peek().span);
  const Word& word = next();
  if (negative && word.number > std::uint64_t{1} << 63)
    return complain("the number does not fit into 64 bits", cover(start, word.span));
  assembler_.load_imm64(*dst, negative ? 0 - word.number : word.number);
}

// lock [fetch] add|or|and|xor|xchg|cmpxchg[32] [r1+0], r2
void TextParser::ubpf_locked() {
  const Span start = peek().span;
  std::string name;
  if (take_name("fetch")) name = "fetch ";
  const Word& word = next();
  name += canonical(word.text);
  const OpcodeInfo* row = nullptr;
  for (const OpcodeInfo* candidate : rows_of(name))
    if (candidate->shape == OperandShape::kAtomic || candidate->shape == OperandShape::kAtomicFetch ||
        candidate->shape == OperandShape::kAtomicCompare)
      row = candidate;
  if (row == nullptr)
    return complain(fmt::format("'{}' is no atomic operation", name), cover(start, word.span),
                    "there are add, or, and, xor (each also after 'fetch'), xchg and cmpxchg, with 32 or without");
  const auto memory = ubpf_memory();
  if (!memory || !expect(",")) return;
  if (const auto src = full_register()) emit(*row, memory->base, *src, memory->offset, 0);
}

}  // namespace weir::ebpf
