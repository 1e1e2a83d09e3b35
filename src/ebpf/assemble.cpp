// The text assembler: statements, directives, jumps and calls. Exports assemble.
//
// Labels are found first, so that `call name` knows functions of the text from helpers of the kernel. Distances are
// filled in by Assembler; what it complains about is put at the label's place.
//
//   .map NAME, TYPE, key N, value N, entries N [, flags N] [, inner NAME] [, contents "HEX"]
//   .program TYPE [NAME]    .attach TYPE    .license "TEXT"    .raw CODE, DST, SRC, OFFSET, CONSTANT
//   func NAME:              a label that the program keeps
// Directives of `clang -S` that say nothing about the code are skipped.
#include <algorithm>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/ebpf/text.h>

#include "ebpf/text_parser.h"

namespace weir::ebpf {
namespace {

constexpr std::string_view kSkipped[] = {".file",   ".globl",     ".global",   ".p2align",     ".type",         ".size",
                                         ".ident",  ".weak",      ".addrsig",  ".align",       ".balign",       ".loc",
                                         ".hidden", ".protected", ".internal", ".addrsig_sym", ".build_version"};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// What a map of this kind cannot do without, as words; empty when all was given. Kinds with rules of their own are let
// through: the kernel judges them.
std::string missing_words(MapType type, const std::set<std::string_view>& given) {
  bool key = true;
  bool value = true;
  switch (type) {
    case MapType::kQueue:
    case MapType::kStack:
    case MapType::kBloomFilter: key = false; break;
    case MapType::kRingbuf:
    case MapType::kUserRingbuf: key = value = false; break;
    case MapType::kHash:
    case MapType::kArray:
    case MapType::kProgArray:
    case MapType::kPercpuHash:
    case MapType::kPercpuArray:
    case MapType::kLruHash:
    case MapType::kLruPercpuHash:
    case MapType::kLpmTrie:
    case MapType::kArrayOfMaps:
    case MapType::kHashOfMaps: break;
    default: return {};
  }
  std::string out;
  const auto need = [&](bool needed, std::string_view word) {
    if (needed && given.count(word) == 0) out += fmt::format("{}'{}'", out.empty() ? "" : " and ", word);
  };
  need(key, "key");
  need(value, "value");
  need(true, "entries");
  return out;
}

std::string_view unquoted(const Word& word) { return word.text.substr(1, word.text.size() - 2); }

}  // namespace

void TextParser::complain(std::string message, Span span, std::string hint) {
  if (!error_) error_ = Error{.message = std::move(message), .place = span, .hint = std::move(hint)};
}

std::string TextParser::shown(const Word& word) const {
  if (word.kind == WordKind::kEnd || word.kind == WordKind::kLineEnd) return "the end of the line";
  return fmt::format("'{}'", word.text);
}

bool TextParser::expect(std::string_view sign) {
  if (take(sign)) return true;
  complain(fmt::format("expected '{}', not {}", sign, shown(peek())), peek().span);
  return false;
}

// Labels, names of maps, and symbols of data, which clang -S writes after the code.
void TextParser::find_labels() {
  bool start = true;
  for (std::size_t i = 0; i + 1 < words_.size(); ++i) {
    const Word& word = words_[i];
    const bool name = start && word.kind == WordKind::kName;
    const bool colon = words_[i].kind == WordKind::kSign && words_[i].text == ":";
    if (name && words_[i + 1].kind == WordKind::kSign && words_[i + 1].text == ":") {
      if (in_data_) data_.emplace(word.text, section_);
      else labels_.insert(word.text);
    }
    if (name && word.text == ".map" && words_[i + 1].kind == WordKind::kName) maps_.insert(words_[i + 1].text);
    if (name && is_section_directive(word.text) && words_[i + 1].text != ":") {
      at_ = i;
      section_directive();
    }
    start = word.kind == WordKind::kLineEnd || (name && word.text == "func") || colon;
  }
  at_ = 0;
  section_ = {};
  in_data_ = false;
}

Result<Program> TextParser::run() {
  find_labels();
  while (!error_ && peek().kind != WordKind::kEnd) {
    if (peek().kind == WordKind::kLineEnd) {
      next();
      continue;
    }
    statement_start_ = at_;
    target_span_.reset();
    const std::size_t before = assembler_.size();
    statement();
    const Span all = cover(words_[statement_start_].span, words_[at_ > statement_start_ ? at_ - 1 : at_].span);
    while (spans_.size() < assembler_.size()) spans_.push_back(target_span_.value_or(all));
    if (before < assembler_.size()) code_made(before, all);
    const bool was_label = before == assembler_.size() && at_ > 0 && words_[at_ - 1].text == ":";
    if (!error_ && !was_label && !at_line_end())
      complain(fmt::format("expected the end of the line, not {}", shown(peek())), peek().span);
  }
  if (error_) return fail(std::move(*error_));
  if (assembler_.size() == 0) return fail("the text holds no instruction", peek().span);
  // uBPF's tests jump to "exit" without such a label: the last of these instructions is meant.
  if (last_exit_ && !assembler_.has_label("exit")) assembler_.label_at("exit", *last_exit_);
  Result<Program> program = assembler_.assemble();
  if (!program) {
    Error error = std::move(program).error();
    if (const auto* place = std::get_if<InstructionPlace>(&error.place))
      error.place = place->index < spans_.size() ? spans_[place->index] : peek().span;
    return fail(std::move(error));
  }
  program->name = name_;
  program->license = license_;
  program->type = type_;
  program->has_attach_type = attach_type_.has_value();
  if (attach_type_) program->attach_type = *attach_type_;
  return program;
}

// What must hold of the instruction that a statement made.
void TextParser::code_made(std::size_t slot, Span span) {
  const int listed = words_[statement_start_].code;
  const std::uint8_t code = assembler_.instructions()[slot].code;
  if (listed >= 0 && listed != code)
    complain(fmt::format("the listing says that the code is 0x{:02x}; this is 0x{:02x}", listed, code), span);
  const bool objdump = listed == 0x85 && words_[statement_start_ + 1].text == "-" &&
                       assembler_.instructions()[slot] == ebpf::make(0x85, 0, kPseudoCall, 0, -1);
  if (objdump)  // as an object has it before it is linked
    complain("the listing does not say which function is called", span, "read the object itself");
  remember_code_section();
}

void TextParser::statement() {
  const Word& word = peek();
  if (is("*")) return store();
  if (is("%") && register_at(0)) return assignment();
  if (word.kind != WordKind::kName)
    return complain(fmt::format("expected an instruction, not {}", shown(word)), word.span);
  const bool function = word.text == "func" && peek(1).kind == WordKind::kName && is(":", 2);
  if (function) next();
  if (is(":", 1)) {
    const Word& name = next();
    next();
    if (in_data_) return;
    if (assembler_.has_label(name.text))
      return complain(fmt::format("label '{}' is defined twice", name.text), name.span);
    if (function) assembler_.function(name.text);
    else assembler_.label(name.text);
    return;
  }
  if (word.text[0] == '.') return directive();
  if (in_data_)
    return complain(fmt::format("an instruction in section '{}', which holds data", section_), word.span,
                    "write .text before it");
  if (register_at(0)) return assignment();
  if (word.text == "lock") return locked();
  if (word.text == "if") return branch();
  if (word.text == "goto" || word.text == "gotol") return jump(next().text == "gotol");
  if (word.text == "may_goto") return may_goto();
  if (word.text == "store_release" && is("(", 1)) return store_release();
  if (word.text == "call") return call();
  if (word.text == "callx") {
    next();
    if (const auto reg = full_register()) assembler_.call_register(*reg);
    return;
  }
  if ((is("=", 1) || (peek(1).text.size() > 1 && peek(1).text.back() == '=')) && no_such_register()) return;
  if (word.text == "exit") last_exit_ = static_cast<std::uint32_t>(assembler_.size());
  mnemonic();
}

void TextParser::directive() {
  const Word& word = next();
  if (word.text == ".map") return map_directive();
  if (word.text == ".raw") return raw_directive();
  if (word.text == ".program" || word.text == ".attach" || word.text == ".license") {
    --at_;
    return program_directive();
  }
  if (is_section_directive(word.text)) {
    --at_;
    return section_directive();
  }
  if (in_data_) return skip_data();
  if (std::find(std::begin(kSkipped), std::end(kSkipped), word.text) != std::end(kSkipped) ||
      word.text.substr(0, 5) == ".cfi_") {
    while (!at_line_end()) next();
    return;
  }
  constexpr std::string_view kOurs[] = {".map", ".raw", ".program", ".attach", ".license"};
  complain(fmt::format("unknown directive '{}'", word.text), word.span, did_you_mean(word.text, kOurs));
}

void TextParser::program_directive() {
  const Word& word = next();
  const Word& value = next();
  if (word.text == ".license") {
    if (value.kind == WordKind::kString) license_ = unquoted(value);
    else if (value.kind == WordKind::kName) license_ = value.text;
    else complain("expected the licence's name", value.span);
    return;
  }
  if (value.kind != WordKind::kName) return complain(fmt::format("expected a type after {}", word.text), value.span);
  if (word.text == ".attach") {
    attach_type_ = find_attach_type(value.text);
    if (!attach_type_)
      complain(fmt::format("unknown place to attach to '{}'", value.text), value.span,
               did_you_mean(value.text, attach_type_names()));
    return;
  }
  const std::optional<ProgramType> type = find_program_type(value.text);
  if (!type)
    return complain(fmt::format("unknown kind of program '{}'", value.text), value.span,
                    did_you_mean(value.text, program_type_names()));
  type_ = *type;
  if (peek().kind == WordKind::kName) name_ = next().text;
}

void TextParser::map_directive() {
  if (peek().kind != WordKind::kName) return complain("expected the map's name", peek().span);
  const Word& name = next();
  MapDefinition map{.name = std::string(name.text)};
  if (!expect(",")) return;
  const Word& type = next();
  const std::optional<MapType> found = find_map_type(type.text);
  if (!found)
    return complain(fmt::format("unknown kind of map '{}'", type.text), type.span,
                    did_you_mean(type.text, map_type_names()));
  map.type = *found;
  std::set<std::string_view> given;
  while (!error_ && take(",")) {
    const Word& word = next();
    if (word.text == "inner" && peek().kind == WordKind::kName) {
      map.inner = next().text;
      continue;
    }
    if (word.text == "contents" && peek().kind == WordKind::kString) {
      const Word& hex = next();
      const std::string_view digits = unquoted(hex);
      for (std::size_t i = 0; i < digits.size(); i += 2) {
        const int high = hex_digit(digits[i]);
        const int low = i + 1 < digits.size() ? hex_digit(digits[i + 1]) : -1;
        if (high < 0 || low < 0) return complain("expected pairs of hexadecimal digits", hex.span);
        map.contents.push_back(static_cast<std::uint8_t>(high * 16 + low));
      }
      continue;
    }
    std::uint32_t* field = word.text == "key"       ? &map.key_size
                           : word.text == "value"   ? &map.value_size
                           : word.text == "entries" ? &map.max_entries
                           : word.text == "flags"   ? &map.flags
                                                    : nullptr;
    constexpr std::string_view kWords[] = {"key", "value", "entries", "flags", "inner", "contents"};
    if (field == nullptr)
      return complain(fmt::format("maps have no '{}'", word.text), word.span, did_you_mean(word.text, kWords));
    const Span span = peek().span;
    const auto value = integer();
    if (!value) return;
    if (*value < 0 || *value > UINT32_MAX) return complain("the number does not fit into 32 bits", span);
    *field = static_cast<std::uint32_t>(*value);
    given.insert(word.text);
  }
  if (error_) return;
  if (!declared_.insert(name.text).second)
    return complain(fmt::format("map '{}' is defined twice", name.text), name.span);
  if (const std::string missing = missing_words(map.type, given); !missing.empty())
    return complain(fmt::format("map '{}' needs {}", name.text, missing), name.span,
                    fmt::format(".map {}, {}, key N, value N, entries N", name.text, name_of(map.type)));
  assembler_.map(std::move(map));
}

void TextParser::raw_directive() {
  constexpr std::int64_t kLow[] = {0, 0, 0, INT16_MIN, INT32_MIN};
  constexpr std::int64_t kHigh[] = {255, 15, 15, INT16_MAX, UINT32_MAX};
  std::int64_t fields[5] = {};
  for (int i = 0; i < 5; ++i) {
    if (i > 0 && !expect(",")) return;
    const Span span = peek().span;
    const auto value = integer();
    if (!value) return;
    if (*value < kLow[i] || *value > kHigh[i])
      return complain(fmt::format("the number must be from {} to {}", kLow[i], kHigh[i]), span);
    fields[i] = *value;
  }
  assembler_.raw(ebpf::make(static_cast<std::uint8_t>(fields[0]), static_cast<unsigned>(fields[1]),
                            static_cast<unsigned>(fields[2]), static_cast<std::int32_t>(fields[3]),
                            static_cast<std::int32_t>(static_cast<std::uint32_t>(fields[4]))));
}

std::optional<TextParser::SignedNumber> TextParser::signed_number() {
  const Span start = peek().span;
  const bool negative = take("-");
  if (!negative) take("+");
  if (peek().kind != WordKind::kNumber) {
    if (no_such_register()) return std::nullopt;
    complain(fmt::format("expected a number, not {}", shown(peek())), peek().span);
    return std::nullopt;
  }
  const Word& word = next();
  const char second = word.text.size() > 1 ? word.text[1] : '0';
  const bool has_prefix = second == 'x' || second == 'X' || second == 'b';
  return SignedNumber{negative, has_prefix, word.number, cover(start, word.span)};
}

std::optional<std::int64_t> TextParser::integer() {
  const auto read = signed_number();
  if (!read) return std::nullopt;
  if (read->magnitude > (read->negative ? std::uint64_t{1} << 63 : static_cast<std::uint64_t>(INT64_MAX))) {
    complain("the number does not fit into 64 bits with its sign", read->span);
    return std::nullopt;
  }
  return static_cast<std::int64_t>(read->value());
}

std::optional<std::int32_t> TextParser::immediate(bool extended) {
  const auto read = signed_number();
  if (!read) return std::nullopt;
  const std::uint64_t value = read->value();
  // Hexadecimal digits may be the bits of the slot; a decimal number above 2^31 would become another number.
  if (extended && !read->negative && !read->has_prefix && value > INT32_MAX && value <= UINT32_MAX) {
    complain(fmt::format("the sign of the constant is extended: {} would become {}", value,
                         static_cast<std::int32_t>(static_cast<std::uint32_t>(value))),
             read->span, "load it with 'r1 = N ll' first; write 0x... when the 32 bits are meant");
    return std::nullopt;
  }
  // 0xffffffffffffff80 says the same as -0x80.
  const bool fits = value <= UINT32_MAX || static_cast<std::int64_t>(value) >= INT32_MIN;
  if (!fits || (read->negative && static_cast<std::int64_t>(value) < INT32_MIN) ||
      (!read->negative && value > UINT32_MAX && static_cast<std::int64_t>(value) >= 0)) {
    complain("the number does not fit into 32 bits", read->span, "load it with 'r1 = N ll' first");
    return std::nullopt;
  }
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(value));
}

std::optional<std::int16_t> TextParser::offset16(std::int64_t value, Span span) {
  if (value < INT16_MIN || value > INT16_MAX) {
    complain("the offset does not fit into 16 bits", span);
    return std::nullopt;
  }
  return static_cast<std::int16_t>(value);
}

std::optional<TextParser::RegisterWord> TextParser::register_at(std::size_t ahead) const {
  if (is("%", ahead)) ++ahead;
  const Word& word = peek(ahead);
  if (word.kind != WordKind::kName) return std::nullopt;
  const std::string_view text = word.text;
  if (text == "fp") return RegisterWord{Register::kR10};
  if (text.size() < 2 || text.size() > 3 || (text[0] != 'r' && text[0] != 'w')) return std::nullopt;
  unsigned number = 0;
  for (const char c : text.substr(1)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
  }
  if (text.size() == 3 && text[1] == '0') return std::nullopt;
  if (number >= kRegisters) return std::nullopt;
  return RegisterWord{static_cast<Register>(number), text[0] == 'w'};
}

bool TextParser::no_such_register() {
  const Word& word = peek(is("%") ? 1 : 0);
  const std::string_view text = word.text;
  if (word.kind != WordKind::kName || text.size() < 2 || text.size() > 4 || (text[0] != 'r' && text[0] != 'w'))
    return false;
  for (const char c : text.substr(1))
    if (c < '0' || c > '9') return false;
  complain(fmt::format("there is no register {}", text), word.span, "registers are r0 to r10, or w0 to w10");
  return true;
}

std::optional<TextParser::RegisterWord> TextParser::any_register() {
  const auto found = register_at(0);
  if (!found && no_such_register()) return std::nullopt;
  if (!found) {
    complain(fmt::format("expected a register, not {}", shown(peek())), peek().span, "registers are r0 to r10");
    return std::nullopt;
  }
  take("%");
  next();
  return found;
}

std::optional<Register> TextParser::full_register() {
  const Span span = peek().span;
  const auto found = any_register();
  if (found && found->half) {
    complain("expected a 64-bit register", span, "write 'r' for 'w'");
    return std::nullopt;
  }
  return found ? std::optional(found->reg) : std::nullopt;
}

std::optional<std::string_view> TextParser::operator_word() {
  if (is_name("s") && peek(1).kind == WordKind::kSign && !peek(1).blank_before) {
    const Word& sign = peek(1);
    const std::string_view joined(peek().text.data(), 1 + sign.text.size());
    next();
    next();
    return joined;
  }
  if (peek().kind == WordKind::kSign) return next().text;
  complain(fmt::format("expected an operator, not {}", shown(peek())), peek().span);
  return std::nullopt;
}

// A label, "+5", "-5", "pc+5"; "<LBB0_2>" after it, as llvm-objdump adds, is skipped.
std::optional<Target> TextParser::target() {
  target_span_ = peek().span;
  if (is_name("pc") && (is("+", 1) || is("-", 1))) next();
  if (peek().kind == WordKind::kName) return Target(next().text);
  const Span start = peek().span;
  const auto value = integer();
  if (!value) return std::nullopt;
  if (*value < INT32_MIN || *value > INT32_MAX) {
    complain("the distance does not fit into 32 bits", start);
    return std::nullopt;
  }
  if (is("<"))
    while (!at_line_end() && next().text != ">") continue;
  return Target(static_cast<std::int32_t>(*value));
}

void TextParser::emit_branch(const OpcodeInfo& row, Register dst, Register src, std::int32_t constant,
                             const Target& to) {
  if (to.label() == nullptr && (to.distance() < INT16_MIN || to.distance() > INT16_MAX))
    return complain("the distance does not fit into 16 bits", *target_span_, "go through a 'gotol'");
  const auto condition = static_cast<Condition>(row.code & 0xf0);
  const bool constant_form = row.shape == OperandShape::kBranchConstant;
  if (row.width == 8) {
    if (constant_form) assembler_.jump_imm(condition, dst, constant, to);
    else assembler_.jump_reg(condition, dst, src, to);
  } else {
    if (constant_form) assembler_.jump32_imm(condition, dst, constant, to);
    else assembler_.jump32_reg(condition, dst, src, to);
  }
}

void TextParser::emit(const OpcodeInfo& row, Register dst, Register src, std::int32_t offset, std::int32_t constant) {
  Instruction out = make(row.operation);
  out.dst = static_cast<unsigned>(dst) & 15;
  if (row.selector != Selector::kSource) out.src = static_cast<unsigned>(src) & 15;
  if (row.selector != Selector::kOffset) out.offset = static_cast<std::int16_t>(offset);
  if (row.selector != Selector::kImmediate) out.immediate = constant;
  assembler_.raw(out);
}

void TextParser::jump(bool is_long) {
  const auto to = target();
  if (!to) return;
  if (is_long) assembler_.jump_long(*to);
  else if (to->label() == nullptr && (to->distance() < INT16_MIN || to->distance() > INT16_MAX))
    complain("the distance does not fit into 16 bits", *target_span_, "write 'gotol'");
  else assembler_.jump(*to);
}

// if r1 s>= 5 goto label
void TextParser::branch() {
  next();
  const auto dst = any_register();
  if (!dst) return;
  const Span sign_span = peek().span;
  const auto sign = operator_word();
  if (!sign) return;
  const auto reg = register_at(0);
  const OpcodeInfo* row = nullptr;
  for (const OpcodeInfo& candidate : opcodes())
    if (is_branch(candidate.shape) && candidate.sign == *sign && (candidate.width == 4) == dst->half &&
        (candidate.shape == OperandShape::kBranchRegister) == reg.has_value())
      row = &candidate;
  if (row == nullptr)
    return complain(fmt::format("'{}' is not a comparison", *sign), sign_span,
                    "comparisons are == != > >= < <= & and s> s>= s< s<=");
  std::int32_t constant = 0;
  if (reg) {
    if (reg->half != dst->half) return complain("both registers must have the same width", peek().span);
    any_register();
  } else {
    const auto value = immediate(!dst->half);
    if (!value) return;
    constant = *value;
  }
  if (!take_name("goto")) return complain(fmt::format("expected 'goto', not {}", shown(peek())), peek().span);
  const auto to = target();
  if (to) emit_branch(*row, dst->reg, reg ? reg->reg : Register::kR0, constant, *to);
}

// call 5, call bpf_name, call bpf_name#5, call name, call local name, call pc+5, call +5, call kernel[id:5], call r1
void TextParser::call() {
  next();
  if (register_at(0)) {
    if (const auto reg = full_register()) assembler_.call_register(*reg);
    return;
  }
  if (take_name("local")) {
    if (const auto to = target()) assembler_.call_local(*to);
    return;
  }
  if (is("+") || is("-") || (is_name("pc") && (is("+", 1) || is("-", 1)))) {
    if (const auto to = target()) assembler_.call_local(*to);
    return;
  }
  if (is_name("kernel") && is("[", 1)) {
    next();
    next();
    if (!take_name("id") || !expect(":")) return complain("expected 'id:' and a number", peek().span);
    const auto id = immediate();
    std::optional<std::int16_t> module = std::int16_t{0};
    if (id && take(",")) {
      const Span span = peek().span;
      const auto value = integer();
      module = value ? offset16(*value, span) : std::nullopt;
    }
    if (id && module && expect("]")) assembler_.call_kernel(*id, *module);
    return;
  }
  if (peek().kind == WordKind::kNumber) {
    if (const auto number = immediate()) assembler_.call(static_cast<Helper>(*number));
    return;
  }
  call_named();
}

void TextParser::call_named() {
  if (peek().kind != WordKind::kName)
    return complain(fmt::format("expected a helper or a function, not {}", shown(peek())), peek().span);
  const Word& word = next();
  const std::size_t hash = word.text.find('#');
  const std::string_view name = word.text.substr(0, hash);
  if (hash == std::string_view::npos && labels_.count(name) != 0) {
    target_span_ = word.span;
    assembler_.call_local(name);
    return;
  }
  if (const auto helper = find_helper(name)) {
    assembler_.call(*helper);
    return;
  }
  if (hash != std::string_view::npos) {
    std::int64_t number = 0;
    for (const char c : word.text.substr(hash + 1))
      number = c >= '0' && c <= '9' && number < INT32_MAX ? number * 10 + (c - '0') : number;
    if (number > INT32_MAX) return complain("the number does not fit into 32 bits", word.span);
    assembler_.call(static_cast<Helper>(number));
    return;
  }
  std::vector<std::string_view> known(helper_names().begin(), helper_names().end());
  known.insert(known.end(), labels_.begin(), labels_.end());
  const std::string_view bare = name.substr(0, 4) == "bpf_" ? name.substr(4) : name;
  complain(fmt::format("there is no helper or function '{}'", name), word.span, did_you_mean(bare, known));
}

Result<Program> assemble(std::string_view text) {
  WEIR_TRY(std::vector<Word> words, lex(text));
  return TextParser(std::move(words)).run();
}

}  // namespace weir::ebpf
