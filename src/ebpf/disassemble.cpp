// Programs to text. Exports write, write_instruction, to_bytes.
//
// An instruction is written in its language only if assembling that text gives the same slot back; all else is ".raw".
// Jump targets get labels: names of functions where there are, else L1, L2 in order. A jump to nowhere keeps its
// number.
#include <map>
#include <set>

#include <fmt/format.h>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>

namespace weir::ebpf {
namespace {

using Labels = std::map<std::int64_t, std::string>;

std::string raw(const Instruction& slot) {
  return fmt::format(".raw 0x{:02x}, {}, {}, {}, 0x{:x}", slot.code, +slot.dst, +slot.src, slot.offset,
                     static_cast<std::uint32_t>(slot.immediate));
}

// As Linux's verifier writes that the upper half of a register is cleared, for processors that do not do it: a move
// that the verifier takes from nobody else (<linux/filter.h>, BPF_ZEXT_REG).
bool is_zero_extension(const Instruction& slot) {
  return slot.dst < kRegisters && slot == make(info(Operation::kMov32X).code, slot.dst, slot.dst, 0, 1);
}

std::string hex(const Instruction& slot) {
  return fmt::format("{:02x}{:x}{:x}{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}", slot.code, +slot.src, +slot.dst,
                     slot.offset & 0xff, (slot.offset >> 8) & 0xff, slot.immediate & 0xff, (slot.immediate >> 8) & 0xff,
                     (slot.immediate >> 16) & 0xff, (slot.immediate >> 24) & 0xff);
}

class Writer {
 public:
  Writer(const Program* program, const Labels& labels, Format format)
      : program_(program), labels_(labels), format_(format) {
    for (const auto& label : labels)
      if (label.second.substr(0, 4) == "bpf_") like_helpers_.insert(label.second);
  }

  // The text of a slot; `wide` tells whether it took the next slot with it.
  std::string text(const Instruction& slot, const Instruction* next, std::int64_t at, bool& wide) const {
    wide = false;
    const Result<const OpcodeInfo*> decoded = decode(slot);
    if (!decoded && is_zero_extension(slot) && format_ != Format::kUbpf)
      return fmt::format("w{0} = w{0} zext", +slot.dst);
    if (!decoded) return raw(slot);
    const OpcodeInfo& row = **decoded;
    if (is_wide(row.shape)) {
      if (next == nullptr || next->code != 0 || next->dst != 0 || next->src != 0 || next->offset != 0) return raw(slot);
      const std::string constant = wide_constant(slot, *next, at);
      if (constant.empty()) return raw(slot);
      wide = true;
      return format_ == Format::kUbpf ? fmt::format("lddw r{}, {}", +slot.dst, constant)
                                      : fmt::format("r{} = {}", +slot.dst, constant);
    }
    return format_ == Format::kUbpf ? ubpf(row, slot, at) : kernel(row, slot, at);
  }

 private:
  // What a 64-bit constant says; empty when it has no text that gives it back.
  std::string wide_constant(const Instruction& slot, const Instruction& next, std::int64_t at) const {
    const auto low = static_cast<std::uint32_t>(slot.immediate);
    const auto high = static_cast<std::uint32_t>(next.immediate);
    if (slot.src == 0)
      return fmt::format("0x{:x}{}", std::uint64_t{high} << 32 | low, format_ == Format::kUbpf ? "" : " ll");
    const bool value = slot.src == kPseudoMapValue || slot.src == kPseudoMapIndexValue;
    if (slot.src == kPseudoVariable) return high != 0 ? "" : fmt::format("var[id:{}]", slot.immediate);
    if (!value && high != 0) return "";
    if (slot.src == kPseudoFunction) return fmt::format("subprog[{}]", distance(at, slot.immediate));
    std::string name;
    const MapReference* reference =
        program_ != nullptr && at >= 0 ? program_->map_reference(static_cast<std::size_t>(at)) : nullptr;
    const bool named = reference != nullptr && reference->map < program_->maps.size() && slot.immediate == 0 &&
                       (slot.src == kPseudoMapDescriptor || slot.src == kPseudoMapValue);
    if (named) name = program_->maps[reference->map].name;
    else if (slot.src == kPseudoMapDescriptor || slot.src == kPseudoMapValue)
      name = fmt::format("fd:{}", slot.immediate);
    else name = fmt::format("idx:{}", slot.immediate);
    return value ? fmt::format("map[{}][0]+{}", name, high) : fmt::format("map[{}]", name);
  }

  std::string distance(std::int64_t at, std::int64_t by) const {
    const auto found = labels_.find(at + 1 + by);
    if (at >= 0 && found != labels_.end()) return found->second;
    return fmt::format("{:+}", by);
  }

  bool is_label(const std::string& name) const { return like_helpers_.count(name) != 0; }

  static std::string memory(unsigned base, int offset) {
    return fmt::format("(r{} {} {})", base, offset < 0 ? '-' : '+', offset < 0 ? -offset : offset);
  }
  static std::string constant(std::int32_t value) {
    return value >= -4096 && value <= 4096 ? fmt::format("{}", value)
                                           : fmt::format("0x{:x}", static_cast<std::uint32_t>(value));
  }

  std::string call(const OpcodeInfo& row, const Instruction& slot, std::int64_t at) const {
    switch (row.shape) {
      case OperandShape::kCallHelper: {
        const auto number = static_cast<std::uint32_t>(slot.immediate);
        if (number == 0 || number >= helper_names().size() || format_ == Format::kUbpf)
          return fmt::format("call {}", slot.immediate < 0 ? fmt::format("0x{:x}", number) : fmt::format("{}", number));
        const std::string name = fmt::format("bpf_{}", helper_names()[number]);
        // A function of the program may have the helper's name; that with the number is the helper's.
        return format_ == Format::kListing || is_label(name) ? fmt::format("call {}#{}", name, number)
                                                             : fmt::format("call {}", name);
      }
      case OperandShape::kCallLocal: return fmt::format("call local {}", distance(at, slot.immediate));
      case OperandShape::kCallKernel:
        return slot.offset == 0 ? fmt::format("call kernel[id:{}]", slot.immediate)
                                : fmt::format("call kernel[id:{},{}]", slot.immediate, slot.offset);
      default: return fmt::format("callx r{}", +slot.dst);
    }
  }

  std::string kernel(const OpcodeInfo& row, const Instruction& slot, std::int64_t at) const {
    const unsigned dst = slot.dst;
    const unsigned src = slot.src;
    const char letter = row.width == 4 ? 'w' : 'r';
    switch (row.shape) {
      case OperandShape::kAluConstant:
        return fmt::format("{}{} {} {}", letter, dst, row.sign, constant(slot.immediate));
      case OperandShape::kAluRegister: return fmt::format("{0}{1} {2} {0}{3}", letter, dst, row.sign, src);
      case OperandShape::kNegate: return fmt::format("{0}{1} = -{0}{1}", letter, dst);
      case OperandShape::kSignExtend: return fmt::format("{0}{1} = {2}{0}{3}", letter, dst, row.sign, src);
      case OperandShape::kByteOrder: return fmt::format("r{0} = {1} r{0}", dst, row.sign);
      case OperandShape::kJump: return fmt::format("goto {}", distance(at, slot.offset));
      case OperandShape::kJumpLong: return fmt::format("gotol {}", distance(at, slot.immediate));
      case OperandShape::kBranchConstant:
        return fmt::format("if {}{} {} {} goto {}", letter, dst, row.sign, constant(slot.immediate),
                           distance(at, slot.offset));
      case OperandShape::kBranchRegister:
        return fmt::format("if {0}{1} {2} {0}{3} goto {4}", letter, dst, row.sign, src, distance(at, slot.offset));
      case OperandShape::kCallHelper:
      case OperandShape::kCallLocal:
      case OperandShape::kCallKernel:
      case OperandShape::kCallRegister: return call(row, slot, at);
      case OperandShape::kNone: return "exit";
      case OperandShape::kPacketAbsolute: return fmt::format("r0 = *({} *)skb[{}]", row.sign, slot.immediate);
      case OperandShape::kPacketIndirect:
        return fmt::format("r0 = *({} *)skb[r{} {} {}]", row.sign, src, slot.immediate < 0 ? '-' : '+',
                           slot.immediate < 0 ? 0 - static_cast<std::int64_t>(slot.immediate) : slot.immediate);
      case OperandShape::kLoad: return fmt::format("r{} = *({} *){}", dst, row.sign, memory(src, slot.offset));
      case OperandShape::kStoreConstant:
        return fmt::format("*({} *){} = {}", row.sign, memory(dst, slot.offset), constant(slot.immediate));
      case OperandShape::kStoreRegister: return fmt::format("*({} *){} = r{}", row.sign, memory(dst, slot.offset), src);
      case OperandShape::kAtomic:
        return fmt::format("lock *(u{} *){} {} r{}", row.width * 8, memory(dst, slot.offset), row.sign, src);
      case OperandShape::kAtomicFetch: {
        const std::string place = memory(dst, slot.offset);
        if (row.sign == "xchg")
          return fmt::format("{0}{1} = {2}({3}, {0}{1})", letter, src, row.width == 8 ? "xchg_64" : "xchg32_32",
                             place.substr(1, place.size() - 2));
        return fmt::format("{0}{1} = atomic_fetch_{2}((u{3} *){4}, {0}{1})", letter, src, row.sign, row.width * 8,
                           place);
      }
      case OperandShape::kAtomicCompare: {
        const std::string place = memory(dst, slot.offset);
        return fmt::format("{0}0 = {1}({2}, {0}0, {0}{3})", letter, row.width == 8 ? "cmpxchg_64" : "cmpxchg32_32",
                           place.substr(1, place.size() - 2), src);
      }
      case OperandShape::kLoadAcquire:
        return fmt::format("r{} = load_acquire(({} *){})", dst, row.sign, memory(src, slot.offset));
      case OperandShape::kStoreRelease:
        return fmt::format("store_release(({} *){}, r{})", row.sign, memory(dst, slot.offset), src);
      case OperandShape::kMayJump: return fmt::format("may_goto {}", distance(at, slot.offset));
      case OperandShape::kAddressSpace:
        return fmt::format("r{} = addr_space_cast(r{}, {}, {})", dst, src, address_space(slot, 16),
                           address_space(slot, 0));
      case OperandShape::kWideConstant:
      case OperandShape::kWideMap:
      case OperandShape::kWideVariable:
      case OperandShape::kWideFunction: break;
    }
    return raw(slot);
  }

  // Those from which and to which an address is cast are the halves of the constant.
  static unsigned address_space(const Instruction& slot, unsigned shift) {
    return static_cast<std::uint32_t>(slot.immediate) >> shift & 0xffffu;
  }

  std::string ubpf(const OpcodeInfo& row, const Instruction& slot, std::int64_t at) const {
    const unsigned dst = slot.dst;
    const unsigned src = slot.src;
    const auto place = [&slot](unsigned base) {
      return slot.offset == 0 ? fmt::format("[r{}]", base) : fmt::format("[r{}{:+}]", base, slot.offset);
    };
    switch (row.shape) {
      case OperandShape::kAluConstant: return fmt::format("{} r{}, {}", row.mnemonic, dst, constant(slot.immediate));
      case OperandShape::kAluRegister:
      case OperandShape::kSignExtend: return fmt::format("{} r{}, r{}", row.mnemonic, dst, src);
      case OperandShape::kNegate:
      case OperandShape::kByteOrder: return fmt::format("{} r{}", row.mnemonic, dst);
      case OperandShape::kJump: return fmt::format("ja {}", distance(at, slot.offset));
      case OperandShape::kJumpLong: return fmt::format("ja32 {}", distance(at, slot.immediate));
      case OperandShape::kBranchConstant:
        return fmt::format("{} r{}, {}, {}", row.mnemonic, dst, constant(slot.immediate), distance(at, slot.offset));
      case OperandShape::kBranchRegister:
        return fmt::format("{} r{}, r{}, {}", row.mnemonic, dst, src, distance(at, slot.offset));
      case OperandShape::kCallHelper:
      case OperandShape::kCallLocal:
      case OperandShape::kCallKernel:
      case OperandShape::kCallRegister: return call(row, slot, at);
      case OperandShape::kNone: return "exit";
      case OperandShape::kPacketAbsolute: return fmt::format("{} {}", row.mnemonic, slot.immediate);
      case OperandShape::kPacketIndirect: return fmt::format("{} r{}, {}", row.mnemonic, src, slot.immediate);
      case OperandShape::kLoad: return fmt::format("{} r{}, {}", row.mnemonic, dst, place(src));
      case OperandShape::kStoreConstant:
        return fmt::format("{} {}, {}", row.mnemonic, place(dst), constant(slot.immediate));
      case OperandShape::kStoreRegister: return fmt::format("{} {}, r{}", row.mnemonic, place(dst), src);
      case OperandShape::kAtomic:
      case OperandShape::kAtomicFetch:
      case OperandShape::kAtomicCompare: return fmt::format("lock {} {}, r{}", row.mnemonic, place(dst), src);
      case OperandShape::kLoadAcquire: return fmt::format("{} r{}, {}", row.mnemonic, dst, place(src));
      case OperandShape::kStoreRelease: return fmt::format("{} {}, r{}", row.mnemonic, place(dst), src);
      case OperandShape::kMayJump: return fmt::format("may_goto {}", distance(at, slot.offset));
      case OperandShape::kAddressSpace:
        return fmt::format("addr_space_cast r{}, r{}, {}, {}", dst, src, address_space(slot, 16),
                           address_space(slot, 0));
      case OperandShape::kWideConstant:
      case OperandShape::kWideMap:
      case OperandShape::kWideVariable:
      case OperandShape::kWideFunction: break;
    }
    return raw(slot);
  }

  const Program* program_;
  const Labels& labels_;
  std::set<std::string> like_helpers_;  // labels that a helper may be called
  Format format_;
};

// Whether a name can be read back as a label: any word. That it is a mnemonic or a register's name does not matter,
// since labels stand where nothing else may ("add:", "goto exit", "call local r1").
bool is_plain_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  for (const char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
          c == '$'))
      return false;
  return true;
}

// Slots that can carry a label: every one but the second halves of 64-bit constants that are written as one.
Labels labels_of(const Program& program, const std::vector<bool>& second) {
  Labels labels;
  const auto mark = [&](std::size_t at, std::int64_t by) {
    const std::int64_t to = static_cast<std::int64_t>(at) + 1 + by;
    if (to >= 0 && to < static_cast<std::int64_t>(second.size()) && !second[static_cast<std::size_t>(to)])
      labels.emplace(to, "");
  };
  for (std::size_t i = 0; i < program.size(); ++i) {
    const Result<const OpcodeInfo*> row = decode(program.instructions[i]);
    if (second[i] || !row) continue;
    const OperandShape shape = (*row)->shape;
    if (shape == OperandShape::kJump || is_branch(shape)) mark(i, program.instructions[i].offset);
    if (shape == OperandShape::kJumpLong || shape == OperandShape::kCallLocal || shape == OperandShape::kWideFunction)
      mark(i, program.instructions[i].immediate);
  }
  std::set<std::string_view> taken;
  for (const Function& function : program.functions)
    if (function.instruction < second.size() && !second[function.instruction] && is_plain_name(function.name) &&
        taken.insert(function.name).second)
      labels[function.instruction] = function.name;
  int number = 0;
  for (auto& label : labels)
    while (label.second.empty())
      if (const std::string name = fmt::format("L{}", ++number); taken.count(name) == 0) label.second = name;
  return labels;
}

std::string head(const Program& program) {
  std::string out;
  if (program.type != ProgramType::kUnspec)
    out += fmt::format(".program {}{}{}\n", name_of(program.type), is_plain_name(program.name) ? " " : "",
                       is_plain_name(program.name) ? program.name : "");
  if (program.has_attach_type) out += fmt::format(".attach {}\n", name_of(program.attach_type));
  if (!program.license.empty()) out += fmt::format(".license \"{}\"\n", program.license);
  for (const MapDefinition& map : program.maps) {
    out += fmt::format(".map {}, {}, key {}, value {}, entries {}", map.name, name_of(map.type), map.key_size,
                       map.value_size, map.max_entries);
    if (map.flags != 0) out += fmt::format(", flags 0x{:x}", map.flags);
    if (!map.inner.empty()) out += fmt::format(", inner {}", map.inner);
    if (!map.contents.empty()) {
      out += ", contents \"";
      for (const std::uint8_t byte : map.contents) out += fmt::format("{:02x}", byte);
      out += '"';
    }
    out += '\n';
  }
  return out;
}

std::string write_numbers(const Program& program, Format format) {
  std::string out;
  for (const Instruction& slot : program.instructions)
    out += format == Format::kHex ? hex(slot) + "\n"
                                  : fmt::format("{{ 0x{:02x}, {}, {}, {}, 0x{:08x} }},\n", slot.code, +slot.dst,
                                                +slot.src, slot.offset, static_cast<std::uint32_t>(slot.immediate));
  return out;
}

}  // namespace

std::string write_instruction(const Instruction& instruction, const Instruction& next, Format format) {
  if (format == Format::kHex) return hex(instruction);
  bool wide = false;
  const Labels none;
  return Writer(nullptr, none, format).text(instruction, &next, -1, wide);
}

std::string write(const Program& program, Format format) {
  if (format == Format::kC || format == Format::kHex) return write_numbers(program, format);
  const std::vector<Instruction>& code = program.instructions;
  std::vector<bool> second(code.size(), false);
  const Labels none;
  bool wide = false;
  const Writer probe(&program, none, format);
  for (std::size_t i = 0; i + 1 < code.size(); ++i) {
    probe.text(code[i], &code[i + 1], static_cast<std::int64_t>(i), wide);
    if (wide) second[++i] = true;
  }
  const Labels labels = format == Format::kListing ? none : labels_of(program, second);
  const Writer writer(&program, labels, format);
  std::string out = head(program);
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (second[i]) continue;
    if (const auto label = labels.find(static_cast<std::int64_t>(i)); label != labels.end()) {
      bool function = false;
      for (const Function& entry : program.functions)
        function = function || (entry.instruction == i && entry.name == label->second);
      out += fmt::format("{}{}:\n", function ? "func " : "", label->second);
    }
    const std::string text =
        writer.text(code[i], i + 1 < code.size() ? &code[i + 1] : nullptr, static_cast<std::int64_t>(i), wide);
    if (format == Format::kListing) out += fmt::format("{:>4}: ({:02x}) {}\n", i, code[i].code, text);
    else out += fmt::format("  {}\n", text);
  }
  return out;
}

std::vector<std::uint8_t> to_bytes(const Program& program, std::endian order) {
  std::vector<std::uint8_t> bytes(program.size() * 8);
  for (std::size_t i = 0; i < program.size(); ++i) {
    const Instruction& slot = program.instructions[i];
    std::uint8_t* at = &bytes[i * 8];
    at[0] = slot.code;
    at[1] =
        static_cast<std::uint8_t>(order == std::endian::little ? slot.src << 4 | slot.dst : slot.dst << 4 | slot.src);
    store<std::int16_t>(at + 2, slot.offset, order);
    store<std::int32_t>(at + 4, slot.immediate, order);
  }
  return bytes;
}

}  // namespace weir::ebpf
