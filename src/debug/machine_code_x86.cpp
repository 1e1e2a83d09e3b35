// x86 as objdump writes it (AT&T syntax). Exports decode_x86.
//
// Zydis decodes; the text of integer instructions is made here, because Zydis' own AT&T form differs from objdump's in
// the names of conditions and conversions, in suffixes, and in how numbers look. Vector instructions, whose operands
// objdump and Zydis write alike but for roundings, take Zydis' text when they are encoded with EVEX. The rules were
// found by comparing with objdump 2.40.
#include "debug/machine_code_x86.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <Zydis/Zydis.h>
#include <fmt/format.h>

namespace weir::debug {
namespace {

struct Decoded {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

struct Rename {
  std::string_view zydis;
  std::string_view objdump;
};
constexpr Rename kConditions[] = {{"nz", "ne"}, {"z", "e"}, {"nb", "ae"}, {"nbe", "a"}, {"nl", "ge"}, {"nle", "g"}};
constexpr Rename kWhole[] = {{"cdqe", "cltq"},     {"cdq", "cltd"},   {"cqo", "cqto"},
                             {"cwde", "cwtl"},     {"cbw", "cbtw"},   {"cwd", "cwtd"},
                             {"movsxd", "movslq"}, {"int1", "icebp"}, {"salc", "(bad)"}};

char suffix_of(unsigned bits) {
  switch (bits) {
    case 8: return 'b';
    case 16: return 'w';
    case 32: return 'l';
    case 64: return 'q';
    default: return '\0';
  }
}

class Writer {
 public:
  Writer(const Decoded& decoded, std::uint64_t address) : d_(decoded), i_(decoded.instruction), address_(address) {
    // The count of a shift by one is not written; that by %cl is.
    for (unsigned n = 0; n < i_.operand_count && visible_ < 5; ++n) {
      const ZydisDecodedOperand& operand = d_.operands[n];
      if (operand.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) continue;
      if (operand.visibility == ZYDIS_OPERAND_VISIBILITY_IMPLICIT && operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        continue;
      operands_[visible_++] = &operand;
    }
    if (i_.mnemonic == ZYDIS_MNEMONIC_NOP && visible_ > 1) visible_ = 1;  // the register means nothing
  }

  // Masks, broadcasts and roundings: taken from Zydis.
  bool is_wide_vector() const {
    return i_.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || i_.encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX;
  }

  std::string run(std::optional<std::uint64_t>& target) {
    if (i_.opcode == 0x90 && i_.mnemonic == ZYDIS_MNEMONIC_NOP && i_.length == 2) return "xchg   %ax,%ax";
    std::string operands;
    for (unsigned n = visible_; n-- > 0;) {
      if (!operands.empty()) operands += ',';
      operands += operand(*operands_[n], target);
    }
    const std::string name = prefixes() + mnemonic();
    std::string text = operands.empty() ? name : fmt::format("{:<6} {}", name, operands);
    return text + comment_;
  }

 private:
  std::string_view zydis_name() const { return ZydisMnemonicGetString(i_.mnemonic); }

  bool is_branch() const {
    return i_.meta.category == ZYDIS_CATEGORY_CALL || i_.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
           i_.meta.category == ZYDIS_CATEGORY_COND_BR;
  }

  const ZydisDecodedOperand* memory() const {
    for (unsigned n = 0; n < visible_; ++n)
      if (operands_[n]->type == ZYDIS_OPERAND_TYPE_MEMORY) return operands_[n];
    return nullptr;
  }

  // A general register among the operands tells the size of memory, so objdump writes no suffix; a shift count does
  // not.
  bool size_is_told() const {
    for (unsigned n = 0; n < visible_; ++n)
      if (operands_[n]->type == ZYDIS_OPERAND_TYPE_REGISTER &&
          operands_[n]->visibility != ZYDIS_OPERAND_VISIBILITY_IMPLICIT)
        return true;
    return false;
  }

  std::string prefixes() const {
    std::string out;
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0) out += "lock ";
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) != 0) out += "notrack ";
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_REP) != 0) out += "rep ";
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_REPE) != 0) out += "repz ";
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0) out += "repnz ";
    if (i_.mnemonic == ZYDIS_MNEMONIC_RET)
      for (unsigned n = 0; n < i_.raw.prefix_count; ++n)
        if (i_.raw.prefixes[n].value == 0xf3) out += "repz ";
    if (i_.mnemonic == ZYDIS_MNEMONIC_NOP) out += padding();
    return out;
  }

  // Prefixes that only make a nop longer.
  std::string padding() const {
    int sizes = 0;
    bool segment = false;
    for (unsigned n = 0; n < i_.raw.prefix_count; ++n) {
      sizes += i_.raw.prefixes[n].value == 0x66 ? 1 : 0;
      segment = segment || i_.raw.prefixes[n].value == 0x2e;
    }
    std::string out;
    for (; sizes > 1; --sizes) out += "data16 ";
    return out + (segment ? "cs " : "");
  }

  std::string conversion(std::string_view stem) const {
    return fmt::format("{}{}{}", stem, suffix_of(operands_[1]->size), suffix_of(operands_[0]->size));
  }

  std::string mnemonic() const {
    const std::string_view name = zydis_name();
    switch (i_.mnemonic) {
      case ZYDIS_MNEMONIC_MOVZX: return conversion("movz");
      case ZYDIS_MNEMONIC_MOVSX: return conversion("movs");
      case ZYDIS_MNEMONIC_MOV:
        if (i_.raw.imm[0].size == 64) return "movabs";
        break;
      default: break;
    }
    for (const Rename& rename : kWhole)
      if (rename.zydis == name) return std::string(rename.objdump);
    for (const std::string_view stem : {"j", "set", "cmov"})
      for (const Rename& rename : kConditions)
        if (name.substr(0, stem.size()) == stem && name.substr(stem.size()) == rename.zydis)
          return std::string(stem) + std::string(rename.objdump);
    std::string out(name);
    const ZydisDecodedOperand* mem = memory();
    const bool no_suffix = is_branch() || i_.mnemonic == ZYDIS_MNEMONIC_PUSH || i_.mnemonic == ZYDIS_MNEMONIC_POP ||
                           name.substr(0, 8) == "prefetch" || i_.mnemonic == ZYDIS_MNEMONIC_LEA ||
                           name.substr(0, 3) == "set" || i_.mnemonic == ZYDIS_MNEMONIC_CLFLUSH;
    if (mem != nullptr && !no_suffix && (!size_is_told() || i_.mnemonic == ZYDIS_MNEMONIC_NOP))
      if (const char suffix = suffix_of(mem->size); suffix != '\0') out += suffix;
    return out;
  }

  static std::string name_of_register(ZydisRegister value) { return std::string("%") + ZydisRegisterGetString(value); }

  // Sign-extended to the operand's size, as the processor does.
  std::string immediate(const ZydisDecodedOperand& operand) const {
    std::uint64_t value = operand.imm.value.u;
    unsigned bits = i_.operand_width;
    if (bits == 8 || (i_.meta.category == ZYDIS_CATEGORY_SHIFT || i_.meta.category == ZYDIS_CATEGORY_ROTATE)) bits = 8;
    if (bits < 64) value &= (std::uint64_t{1} << bits) - 1;
    return fmt::format("${:#x}", value);
  }

  std::string memory_text(const ZydisDecodedOperand& operand) {
    const auto& mem = operand.mem;
    std::string out;
    if ((i_.attributes & ZYDIS_ATTRIB_HAS_SEGMENT) != 0 &&
        (mem.segment == ZYDIS_REGISTER_GS || mem.segment == ZYDIS_REGISTER_FS))
      out += name_of_register(mem.segment) + ":";
    const bool based = mem.base != ZYDIS_REGISTER_NONE;
    const bool indexed = mem.index != ZYDIS_REGISTER_NONE;
    const std::int64_t displacement = mem.disp.value;
    if (!based && !indexed) return out + fmt::format("{:#x}", static_cast<std::uint64_t>(displacement));
    if (i_.raw.disp.size != 0)
      out += displacement < 0 ? fmt::format("-{:#x}", 0 - static_cast<std::uint64_t>(displacement))
                              : fmt::format("{:#x}", displacement);
    out += "(";
    if (based) out += name_of_register(mem.base);
    if (indexed) out += fmt::format(",{},{}", name_of_register(mem.index), mem.scale);
    if (mem.base == ZYDIS_REGISTER_RIP)
      comment_ = fmt::format("        # {:#x}", address_ + i_.length + static_cast<std::uint64_t>(displacement));
    return out + ")";
  }

  std::string operand(const ZydisDecodedOperand& operand, std::optional<std::uint64_t>& target) {
    const char* star = is_branch() ? "*" : "";
    switch (operand.type) {
      case ZYDIS_OPERAND_TYPE_REGISTER: return star + name_of_register(operand.reg.value);
      case ZYDIS_OPERAND_TYPE_MEMORY: return star + memory_text(operand);
      case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        if (operand.imm.is_relative) {
          target = address_ + i_.length + operand.imm.value.u;
          return fmt::format("{:#010x}", *target);
        }
        return immediate(operand);
      default: return "?";
    }
  }

  const Decoded& d_;
  const ZydisDecodedInstruction& i_;
  std::uint64_t address_;
  const ZydisDecodedOperand* operands_[5] = {};
  unsigned visible_ = 0;
  std::string comment_;
};

// The name as objdump has it: Zydis appends the size of what is in memory, which objdump tells only of conversions to a
// register that does not tell it. A comparison's name says what it asks.
std::string vector_name(const Decoded& decoded, std::string_view zydis, std::string& operands) {
  const std::string_view name = ZydisMnemonicGetString(decoded.instruction.mnemonic);
  constexpr std::string_view kAsked[] = {"eq", "lt", "le", "", "neq", "nlt", "nle", ""};
  const std::size_t comma = operands.find(',');
  if (name.substr(0, 5) == "vpcmp" && operands.substr(0, 3) == "$0x" && comma == 4) {
    const std::string_view asked = operands[3] < '8' ? kAsked[operands[3] - '0'] : "";
    if (!asked.empty()) {
      operands.erase(0, comma + 1);
      return fmt::format("vpcmp{}{}", asked, name.substr(5));
    }
  }
  constexpr std::string_view kNarrowing[] = {"vcvtpd2ps",   "vcvtpd2dq", "vcvttpd2dq", "vcvtpd2udq",
                                             "vcvttpd2udq", "vcvtqq2ps", "vcvtuqq2ps"};
  const bool tells = (zydis.back() == 'x' || zydis.back() == 'y') &&
                     std::find(std::begin(kNarrowing), std::end(kNarrowing), name) != std::end(kNarrowing);
  return std::string(tells ? zydis : name);
}

// Zydis' text with objdump's spacing.
std::string vector_text(const Decoded& decoded, std::uint64_t address) {
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, 0);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_SIGNEDNESS, ZYDIS_SIGNEDNESS_UNSIGNED);
  char buffer[256];
  if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &decoded.instruction, decoded.operands,
                                                    decoded.instruction.operand_count_visible, buffer, sizeof buffer,
                                                    ZYDIS_RUNTIME_ADDRESS_NONE, nullptr)))
    return "(bad)";
  std::string text(buffer);
  const std::size_t blank = text.find(' ');
  if (blank == std::string::npos) return text;
  std::string operands;
  for (std::size_t n = blank + 1; n < text.size(); ++n)
    if (!(text[n] == ' ' && (text[n - 1] == ',' || text[n + 1] == '{'))) operands += text[n];
  std::string comment;
  for (unsigned n = 0; n < decoded.instruction.operand_count_visible; ++n)
    if (const ZydisDecodedOperand& one = decoded.operands[n];
        one.type == ZYDIS_OPERAND_TYPE_MEMORY && one.mem.base == ZYDIS_REGISTER_RIP)
      comment = fmt::format("        # {:#x}", address + decoded.instruction.length +
                                                   static_cast<std::uint64_t>(std::int64_t{one.mem.disp.value}));
  const std::string name = vector_name(decoded, text.substr(0, blank), operands);
  return fmt::format("{:<6} {}{}", name, operands, comment);
}

}  // namespace

MachineInstruction decode_x86(ByteSpan code, std::uint64_t address, bool wide) {
  ZydisDecoder decoder;
  if (wide) ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  else ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
  Decoded decoded;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data(), code.size(), &decoded.instruction, decoded.operands)))
    return {.offset = 0, .size = 1, .text = "(bad)"};
  MachineInstruction out{.offset = 0, .size = decoded.instruction.length};
  Writer writer(decoded, address);
  out.text = writer.is_wide_vector() ? vector_text(decoded, address) : writer.run(out.target);
  return out;
}

}  // namespace weir::debug
