// The text assembler: the kernel's and LLVM's syntax of arithmetic, memory and 64-bit constants.
//
// Shapes as llvm-objdump and the kernel's kernel/bpf/disasm.c print them; see OperandShape. Atomics are taken in both
// of their spellings: "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)" and "r2 = atomic64_fetch_add(...)", "xchg_64(r1 + 0,
// r2)" and "atomic64_xchg((u64 *)(r1 +0), r2)".
#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "ebpf/text_parser.h"

namespace weir::ebpf {

// r1 ..., w1 ...
void TextParser::assignment() {
  const auto dst = any_register();
  if (!dst) return;
  const Span span = peek().span;
  const auto sign = operator_word();
  if (!sign) return;
  if (*sign == "=") return assign_value(*dst);
  if (sign->back() != '=' || *sign == "==")
    return complain(fmt::format("'{}' is not an assignment", *sign), span, "write '=', '+=' and so on");
  arithmetic(*dst, *sign);
}

void TextParser::arithmetic(RegisterWord dst, std::string_view sign) {
  const Span sign_span = words_[at_ - 1].span;
  const auto src = register_at(0);
  const OperandShape shape = src ? OperandShape::kAluRegister : OperandShape::kAluConstant;
  const OpcodeInfo* row = nullptr;
  for (const OpcodeInfo& candidate : opcodes())
    if (candidate.shape == shape && candidate.sign == sign && (candidate.width == 4) == dst.half) row = &candidate;
  if (row == nullptr) return complain(fmt::format("unknown operator '{}'", sign), sign_span);
  if (!src) {
    if (const auto value = immediate(!dst.half)) emit(*row, dst.reg, Register::kR0, 0, *value);
    return;
  }
  if (src->half != dst.half)
    return complain("both registers must have the same width", peek().span,
                    dst.half ? "write 'w' for 'r'" : "write 'r' for 'w'");
  any_register();
  const Span word_span = peek().span;
  if (sign != "=" || !dst.half || !take_name("zext")) return emit(*row, dst.reg, src->reg, 0, 0);
  // "w1 = w1 zext", as the disassembler writes what Linux's verifier adds
  if (src->reg != dst.reg) return complain("a register is extended in its place", word_span);
  const auto number = static_cast<unsigned>(dst.reg);
  assembler_.raw(ebpf::make(row->code, number, number, 0, 1));
}

// What stands after "r1 =".
void TextParser::assign_value(RegisterWord dst) {
  const Word& word = peek();
  if (is("*")) return assign_loaded(dst);
  if (is("(")) {  // (s8)r2
    next();
    const Word& type = next();
    if (!expect(")")) return;
    const auto src = any_register();
    if (!src) return;
    const std::string sign = fmt::format("({})", type.text);
    for (const OpcodeInfo& row : opcodes())
      if (row.shape == OperandShape::kSignExtend && row.sign == sign && (row.width == 4) == dst.half) {
        if (src->half != dst.half) return complain("both registers must have the same width", words_[at_ - 1].span);
        return emit(row, dst.reg, src->reg, 0, 0);
      }
    return complain(fmt::format("'{}' cannot be extended here", type.text), type.span,
                    dst.half ? "s8 and s16 can" : "s8, s16 and s32 can");
  }
  if (is("-") && register_at(1)) {
    next();
    const Span span = peek().span;
    const auto src = any_register();
    if (src && (src->reg != dst.reg || src->half != dst.half))
      return complain("a register is negated in its place", span, "move it first");
    if (src) emit(info(dst.half ? Operation::kNeg32 : Operation::kNeg64), dst.reg, Register::kR0, 0, 0);
    return;
  }
  if (register_at(0)) return arithmetic(dst, "=");
  if (word.kind == WordKind::kName) return assign_named(dst);
  assign_number(dst);
}

// r1 = 5, r1 = 0x1122334455667788 ll, 0: (18) r1 = 0x5
void TextParser::assign_number(RegisterWord dst) {
  const std::size_t start = at_;
  std::size_t after = is("-") || is("+") ? 1 : 0;
  const bool wide = is_name("ll", after + 1) || words_[statement_start_].code == kWideCode;
  if (peek(after).kind == WordKind::kNumber && wide) {
    const Span span = cover(words_[start].span, peek(after).span);
    const bool negative = take("-");
    if (!negative) take("+");
    const std::uint64_t value = next().number;
    take_name("ll");
    if (dst.half) return complain("a 64-bit constant needs a 64-bit register", span, "write 'r' for 'w'");
    if (negative && value > std::uint64_t{1} << 63) return complain("the number does not fit into 64 bits", span);
    assembler_.load_imm64(dst.reg, negative ? 0 - value : value);
    return;
  }
  const auto value = immediate(!dst.half);
  if (value) emit(info(dst.half ? Operation::kMov32K : Operation::kMov64K), dst.reg, Register::kR0, 0, *value);
}

void TextParser::assign_named(RegisterWord dst) {
  const Word& word = peek();
  for (const OpcodeInfo& row : opcodes()) {  // be16 r1
    if (row.shape != OperandShape::kByteOrder || row.sign != word.text) continue;
    next();
    const Span span = peek().span;
    const auto src = any_register();
    if (src && src->reg != dst.reg)
      return complain("byte order changes in the register's place", span, "move it first");
    if (src) emit(row, dst.reg, Register::kR0, 0, 0);
    return;
  }
  if (word.text == "load_acquire" && is("(", 1)) return assign_acquired(dst);
  if (word.text == "addr_space_cast" && is("(", 1)) return cast_address(dst);
  if (is("(", 1)) return assign_call_like(dst, next());
  if (dst.half) return complain("a 64-bit constant needs a 64-bit register", word.span, "write 'r' for 'w'");
  if (word.text == "map" && is("[", 1)) return assign_map(dst);
  if (word.text == "subprog" && is("[", 1)) {  // subprog[+5]
    next();
    next();
    const auto to = target();
    if (to && expect("]")) assembler_.load_function(dst.reg, *to);
    return;
  }
  if (word.text == "var" && is("[", 1)) {  // var[id:5]
    next();
    next();
    if (!take_name("id") || !expect(":")) return complain("expected 'id:' and a number", peek().span);
    const auto id = immediate();
    if (id && expect("]")) assembler_.load_variable(dst.reg, *id);
    return;
  }
  const std::size_t digits = word.text.find_first_of("0123456789");
  const std::string_view stem = word.text.substr(0, digits);
  const bool order = (stem == "be" || stem == "le" || stem == "bswap") && register_at(1);
  if (order)
    return complain(fmt::format("'{}' is no byte order", word.text), word.span,
                    fmt::format("there are {0}16, {0}32 and {0}64", stem));
  if (maps_.count(word.text) == 0 && labels_.count(word.text) == 0 && no_such_register()) return;
  next();  // a map or a function, as clang -S writes symbols: "r1 = counts ll"
  target_span_ = word.span;
  take_name("ll");
  if (maps_.count(word.text) != 0) assembler_.load_map(dst.reg, word.text);
  else if (labels_.count(word.text) != 0) assembler_.load_function(dst.reg, word.text);
  else {
    if (const std::string_view section = section_of(word.text); !section.empty())
      return complain(section == ".maps" ? fmt::format("what map '{}' is like is not in this text", word.text)
                                         : fmt::format("'{}' is a variable, and text has none", word.text),
                      word.span,
                      section == ".maps" ? "compile into an object (clang -c), or declare it with .map"
                                         : "compile into an object (clang -c), or keep it in a map");
    std::vector<std::string_view> known(maps_.begin(), maps_.end());
    known.insert(known.end(), labels_.begin(), labels_.end());
    complain(fmt::format("there is no map or function '{}'", word.text), word.span, did_you_mean(word.text, known));
  }
}

// map[fd:5], map[idx:1], map[name], each also with [0]+offset for the address of the value
void TextParser::assign_map(RegisterWord dst) {
  next();
  next();
  const Word& word = next();
  target_span_ = word.span;
  std::int32_t number = 0;
  const bool by_descriptor = word.text == "fd" && is(":");
  const bool by_index = word.text == "idx" && is(":");
  if (by_descriptor || by_index) {
    next();
    const auto value = immediate();
    if (!value) return;
    number = *value;
  } else if (word.text == "id" && is(":")) {
    return complain("a map of the running kernel, by its number there, is nothing that a program can hold", word.span,
                    "declare it with .map and write map[NAME], or give a descriptor with map[fd:N]");
  } else if (word.kind != WordKind::kName) {
    return complain("expected 'fd:', 'idx:' or the name of a map", word.span);
  }
  if (!expect("]")) return;
  bool value_address = false;
  std::uint32_t offset = 0;
  if (take("[")) {
    if (peek().kind != WordKind::kNumber || next().number != 0) return complain("expected [0]", words_[at_ - 1].span);
    if (!expect("]")) return;
    value_address = true;
    if (take("+")) {
      const Span span = peek().span;
      const auto distance = integer();
      if (!distance) return;
      if (*distance < 0 || *distance > UINT32_MAX) return complain("the offset does not fit into 32 bits", span);
      offset = static_cast<std::uint32_t>(*distance);
    }
  }
  take_name("ll");
  if (by_descriptor && value_address) assembler_.load_map_value(dst.reg, number, offset);
  else if (by_descriptor) assembler_.load_map_fd(dst.reg, number);
  else if (by_index && value_address) assembler_.load_map_index_value(dst.reg, number, offset);
  else if (by_index) assembler_.load_map_index(dst.reg, number);
  else if (value_address) assembler_.load_map_value(dst.reg, word.text, offset);
  else assembler_.load_map(dst.reg, word.text);
}

std::optional<Width> TextParser::width_of(std::string_view type, Span span, bool with_sign) {
  const bool is_signed = !type.empty() && type[0] == 's';
  const std::string_view bits = type.empty() ? type : type.substr(1);
  const bool known =
      (is_signed || (!type.empty() && type[0] == 'u')) && (bits == "8" || bits == "16" || bits == "32" || bits == "64");
  if (!known || (is_signed && (!with_sign || bits == "64"))) {
    complain(fmt::format("'{}' is no type here", type), span,
             with_sign ? "types are u8 u16 u32 u64 and s8 s16 s32" : "types are u8 u16 u32 u64");
    return std::nullopt;
  }
  return bits == "8" ? Width::kByte : bits == "16" ? Width::kHalf : bits == "32" ? Width::kWord : Width::kDouble;
}

// (u32 *)
std::optional<std::string_view> TextParser::pointer_type() {
  if (!expect("(")) return std::nullopt;
  if (peek().kind != WordKind::kName) {
    complain(fmt::format("expected a type, not {}", shown(peek())), peek().span, "types are u8 u16 u32 u64");
    return std::nullopt;
  }
  const std::string_view type = next().text;
  if (!expect("*") || !expect(")")) return std::nullopt;
  return type;
}

// r1, r1 + 4, r1 +4, r1 - 4
std::optional<TextParser::MemoryOperand> TextParser::memory_inside() {
  const auto base = full_register();
  if (!base) return std::nullopt;
  if (!is("+") && !is("-")) return MemoryOperand{*base, 0};
  Span span = peek().span;
  const bool minus = next().text == "-";
  const bool again = take("-");  // "r1 + -4"
  if (peek().kind != WordKind::kNumber) {
    complain(fmt::format("expected an offset, not {}", shown(peek())), peek().span);
    return std::nullopt;
  }
  span = cover(span, peek().span);
  const std::uint64_t distance = next().number;
  if (distance > 0x8000) {
    complain("the offset does not fit into 16 bits", span, "add to the register first");
    return std::nullopt;
  }
  const auto value = static_cast<std::int64_t>(distance);
  const auto offset = offset16(minus != again ? -value : value, span);
  if (!offset) return std::nullopt;
  return MemoryOperand{*base, *offset};
}

std::optional<TextParser::MemoryOperand> TextParser::kernel_memory() {
  if (!expect("(")) return std::nullopt;
  const auto memory = memory_inside();
  if (!memory || !expect(")")) return std::nullopt;
  return memory;
}

// r1 = *(u32 *)(r2 + 4), r0 = *(u16 *)skb[12]
void TextParser::assign_loaded(RegisterWord dst) {
  next();
  const Span span = peek(1).span;
  const auto type = pointer_type();
  if (!type) return;
  if (is_name("skb") && is("[", 1)) return assign_packet(dst, *type);
  const auto width = width_of(*type, span, true);
  if (!width) return;
  const auto memory = kernel_memory();
  if (!memory) return;
  // LLVM writes "w1 = *(u32 *)..." for the same instruction; only u64 needs all 64 bits, and signs all of them.
  if (dst.half && (*width == Width::kDouble || (*type)[0] == 's'))
    return complain("this load needs a 64-bit register", words_[statement_start_].span, "write 'r' for 'w'");
  if ((*type)[0] == 's') assembler_.mem_load_signed(*width, dst.reg, memory->base, memory->offset);
  else assembler_.mem_load(*width, dst.reg, memory->base, memory->offset);
}

void TextParser::assign_packet(RegisterWord dst, std::string_view type) {
  if (dst.reg != Register::kR0) return complain("packet loads give their result in r0", words_[statement_start_].span);
  next();
  next();
  const auto width = width_of(type, words_[at_ - 2].span, false);
  if (!width) return;
  if (*width == Width::kDouble)
    return complain("packet loads have at most 4 bytes", words_[at_ - 2].span, "types are u8 u16 u32");
  if (!register_at(0)) {
    const auto offset = immediate();
    if (offset && expect("]")) assembler_.load_abs(*width, *offset);
    return;
  }
  const auto src = full_register();
  if (!src) return;
  std::int32_t offset = 0;
  if (!is("]")) {
    const auto value = immediate();
    if (!value) return;
    offset = *value;
  }
  if (expect("]")) assembler_.load_ind(*width, *src, offset);
}

// *(u32 *)(r1 + 4) = r2
void TextParser::store() {
  next();
  const Span span = peek(1).span;
  const auto type = pointer_type();
  if (!type) return;
  const auto width = width_of(*type, span, false);
  if (!width) return;
  const auto memory = kernel_memory();
  if (!memory || !expect("=")) return;
  if (const auto src = register_at(0)) {
    if (src->half && *width == Width::kDouble)
      return complain("a store of 8 bytes needs a 64-bit register", peek().span, "write 'r' for 'w'");
    any_register();
    assembler_.mem_store_reg(*width, memory->base, src->reg, memory->offset);
  } else if (const auto value = immediate(*width == Width::kDouble)) {
    assembler_.mem_store_imm(*width, memory->base, memory->offset, *value);
  }
}

// lock *(u64 *)(r1 + 0) += r2; anything else after "lock" is uBPF's
void TextParser::locked() {
  next();
  if (!is("*")) return ubpf_locked();
  next();
  const Span span = peek(1).span;
  const auto type = pointer_type();
  if (!type) return;
  const auto memory = kernel_memory();
  if (!memory) return;
  const Span sign_span = peek().span;
  const auto sign = operator_word();
  if (!sign) return;
  const auto src = any_register();
  if (!src) return;
  for (const OpcodeInfo& row : opcodes())
    if (row.shape == OperandShape::kAtomic && row.sign == *sign && *type == (row.width == 8 ? "u64" : "u32"))
      return emit(row, memory->base, src->reg, memory->offset, 0);
  if (*type != "u64" && *type != "u32") return complain("atomics work on u32 or u64", span);
  complain(fmt::format("'{}' is no atomic operator", *sign), sign_span, "there are += |= &= ^=");
}

// r2 = atomic_fetch_add((u64 *)(r1 + 0), r2), xchg_64(r1 + 0, r2), cmpxchg_64(r1 + 0, r0, r2)
void TextParser::assign_call_like(RegisterWord dst, const Word& word) {
  std::string_view name = word.text;
  std::uint8_t width = 0;  // from the name, or from the pointer's type
  const auto strip = [&name](std::string_view prefix) {
    if (name.substr(0, prefix.size()) != prefix) return false;
    name.remove_prefix(prefix.size());
    return true;
  };
  if (strip("atomic64_")) width = 8;
  else strip("atomic_");
  const bool fetch = strip("fetch_");
  if (name == "xchg_64" || name == "cmpxchg_64") width = 8;
  if (name == "xchg32_32" || name == "cmpxchg32_32") width = 4;
  const std::string_view sign = name.substr(0, 3) == "xch" ? "xchg" : name.substr(0, 3) == "cmp" ? "cmpxchg" : name;
  if (!expect("(")) return;
  std::optional<MemoryOperand> memory;
  if (is("(")) {
    const auto type = pointer_type();
    if (!type) return;
    width = *type == "u64" ? 8 : *type == "u32" ? 4 : 0;
    memory = kernel_memory();
  } else {
    memory = memory_inside();
  }
  if (!memory || !expect(",")) return;
  const Span register_span = peek().span;
  auto src = any_register();
  if (!src) return;
  const bool compare = sign == "cmpxchg";
  if (compare) {
    if (src->reg != Register::kR0 || dst.reg != Register::kR0)
      return complain("cmpxchg compares with r0 and gives its result in r0", register_span);
    if (!expect(",")) return;
    src = any_register();
  }
  if (!src || !expect(")")) return;
  if (!compare && src->reg != dst.reg)
    return complain("the old value goes to the register that the operand is in", register_span);
  const OperandShape shape = compare ? OperandShape::kAtomicCompare : OperandShape::kAtomicFetch;
  for (const OpcodeInfo& row : opcodes())
    if (row.shape == shape && row.sign == sign && row.width == width && (fetch || sign == "xchg" || compare))
      return emit(row, memory->base, src->reg, memory->offset, 0);
  complain(fmt::format("'{}' is no atomic operation", word.text), word.span,
           "there are atomic_fetch_add, _or, _and, _xor, xchg_64 and cmpxchg_64");
}

}  // namespace weir::ebpf
