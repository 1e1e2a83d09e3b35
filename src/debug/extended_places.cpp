// What commands about extended programs name: numbers, registers, instructions, conditions, addresses.
#include "debug/extended_places.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include <weir/runtime/dump.h>

#include "debug/commands.h"

namespace weir::debug {
namespace {

// The value of a map's key, as in counts[7].
Result<std::uint64_t> value_of_key(const ExtendedSession& session, std::string_view text) {
  const std::size_t open = text.find('[');
  const std::string_view name = text.substr(0, open);
  const std::string_view key_text = text.substr(open + 1, text.size() - open - 2);
  for (const auto& map : session.maps()) {
    if (map->definition().name != name) continue;
    const auto key = runtime::bytes_of_number(key_text, map->key_size());
    if (!key) return fail(fmt::format("map '{}': {}", name, key.error().message));
    const void* const value = map->lookup(key->data(), 0);
    if (value == nullptr) return fail(fmt::format("map '{}' has no value for {}", name, key_text));
    return reinterpret_cast<std::uint64_t>(value);
  }
  return fail(fmt::format("there is no map '{}'", name));
}

}  // namespace

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.substr(0, 2) == "0x") {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return negative ? 0 - value : value;
}

std::optional<std::uint8_t> register_of(std::string_view text) {
  if (text == "fp") return std::uint8_t{10};
  if (text.size() < 2 || text.front() != 'r') return std::nullopt;
  const auto number = number_of(text.substr(1));
  return number && *number <= 10 ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
}

Result<std::uint32_t> slot_of(const ebpf::Program& program, std::string_view text) {
  if (const auto number = number_of(text)) {
    if (*number < program.size()) return static_cast<std::uint32_t>(*number);
    return fail(fmt::format("the program has instructions 0 to {}", program.size() - 1));
  }
  for (const ebpf::Function& function : program.functions)
    if (function.name == text) return function.instruction;
  const std::size_t colon = text.rfind(':');
  const auto line = colon == std::string_view::npos ? std::nullopt : number_of(text.substr(colon + 1));
  if (!line)
    return fail(Error{.code = ErrorCode::kBadInput,
                      .message = fmt::format("there is no function '{}'", text),
                      .hint = "an instruction's number, a function, :LINE or FILE:LINE"});
  const std::string_view file = text.substr(0, colon);
  for (const ebpf::SourceLine& each : program.lines)
    if (each.line == *line && each.file.size() >= file.size() &&
        std::string_view(each.file).substr(each.file.size() - file.size()) == file)
      return each.instruction;
  return fail(fmt::format("no instruction comes from line {}", *line));
}
Result<ExtendedCondition> condition_of(std::string_view text) {
  constexpr std::string_view kOperations[] = {"==", "!=", "<", "<=", ">", ">=", "&"};
  const std::string_view name = take_word(text);
  const std::string_view operation = take_word(text);
  const auto reg = register_of(name);
  const auto value = number_of(text);
  const auto* const known = std::find(std::begin(kOperations), std::end(kOperations), operation);
  if (!reg || !value || known == std::end(kOperations))
    return fail(Error{.code = ErrorCode::kBadInput,
                      .message = "this is no condition",
                      .hint = "REGISTER OPERATOR NUMBER with blanks between, as in: if r1 == 5"});
  return ExtendedCondition{*reg, *known, *value};
}
Result<std::uint64_t> address_of(const ExtendedSession& session, std::string_view text) {
  const std::size_t bracket = text.find(']');
  const std::size_t sign = text.find_first_of("+-", bracket == std::string_view::npos ? 1 : bracket);
  const std::string_view base = text.substr(0, sign);
  std::uint64_t value = 0;
  if (base.size() > 2 && base.back() == ']' && base.find('[') != std::string_view::npos) {
    WEIR_TRY(value, value_of_key(session, base));
  } else if (const auto reg = register_of(base)) value = session.registers()[*reg];
  else if (base == "packet" || base == "memory") value = session.packet_address();
  else if (base == "context") value = session.context_address();
  else if (const auto number = number_of(base)) value = *number;
  else
    return fail(Error{.code = ErrorCode::kBadInput,
                      .message = fmt::format("'{}' is no place", base),
                      .hint = "a register, fp, packet, memory, context, MAP[KEY] or a number, then +N or -N"});
  if (sign == std::string_view::npos) return value;
  const auto offset = number_of(text.substr(sign + (text[sign] == '+' ? 1 : 0)));
  if (!offset) return fail(fmt::format("'{}' is no distance", text.substr(sign)));
  return value + *offset;
}
Result<std::uint64_t> place_and_size(const ExtendedSession& session, std::string_view place, std::string_view bytes,
                                     std::uint64_t& size) {
  const auto number = bytes.empty() ? std::optional<std::uint64_t>(8) : number_of(bytes);
  if (!number || (*number != 1 && *number != 2 && *number != 4 && *number != 8))
    return fail(fmt::format("'{}' is no size: 1, 2, 4 or 8 bytes", bytes));
  size = *number;
  return address_of(session, place);
}
}  // namespace weir::debug
