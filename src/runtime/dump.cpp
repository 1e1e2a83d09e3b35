// Maps as text. Exports hex_text, bytes_of_number, each_entry, text_of.
#include <weir/runtime/dump.h>

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace weir::runtime {

std::string hex_text(const void* bytes, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i)
    out += fmt::format("{}{:02x}", i > 0 ? " " : "", static_cast<const std::uint8_t*>(bytes)[i]);
  return out;
}

Result<std::vector<std::uint8_t>> bytes_of_number(std::string_view text, std::size_t size) {
  const auto too_large = [](std::string message) {
    return fail(Error{.code = ErrorCode::kLimit, .message = std::move(message)});
  };
  if (size == 0) return too_large(fmt::format("'{}' is given, and there are 0 bytes", text));
  const bool negative = text.substr(0, 1) == "-";
  std::string_view digits = text.substr(negative ? 1 : 0);
  const bool hexadecimal = digits.substr(0, 2) == "0x" || digits.substr(0, 2) == "0X";
  if (hexadecimal) digits.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
  if (error == std::errc::invalid_argument || end != digits.data() + digits.size())
    return fail(fmt::format("'{}' is no number", text));
  const std::uint64_t least_negative = std::uint64_t{1} << (8 * std::min<std::size_t>(size, 8) - 1);
  if (error != std::errc() || (negative ? value > least_negative : size < 8 && value >> (8 * size) != 0))
    return too_large(fmt::format("{} does not fit into {} byte{}", text, size, size == 1 ? "" : "s"));
  if (negative) value = 0 - value;
  std::vector<std::uint8_t> bytes(size, negative && value != 0 ? 0xff : 0);
  for (std::size_t i = 0; i < size && i < 8; ++i)
    bytes[std::endian::native == std::endian::little ? i : size - 1 - i] = static_cast<std::uint8_t>(value >> (8 * i));
  return bytes;
}

void each_entry(Map& map, const std::function<void(const std::vector<std::uint8_t>& key, const void* value)>& use,
                std::uint32_t most) {
  if (dynamic_cast<ReferenceMap*>(&map) != nullptr || map.key_size() == 0) return;
  std::vector<std::uint8_t> key(map.key_size());
  std::vector<std::uint8_t> next(map.key_size());
  std::uint32_t count = 0;
  for (int more = map.next_key(nullptr, next.data()); more == 0 && count < most;
       more = map.next_key(key.data(), next.data()), ++count) {
    key = next;
    if (const void* value = map.lookup(key.data(), 0)) use(key, value);
  }
}

std::string text_of(Map& map) {
  const ebpf::MapDefinition& definition = map.definition();
  const bool ring = definition.type == ebpf::MapType::kRingbuf;
  std::string out = fmt::format("map {} ({}, {} {})\n", definition.name, ebpf::name_of(definition.type), map.size(),
                                ring ? "bytes" : "entries");
  const bool array = definition.type == ebpf::MapType::kArray;
  std::uint32_t zeros = 0;
  std::uint32_t shown = 0;
  constexpr std::uint32_t kMost = 100'000;
  const auto show = [&](const std::vector<std::uint8_t>& key, const void* value) {
    const auto* bytes = static_cast<const std::uint8_t*>(value);
    if (array && std::all_of(bytes, bytes + map.value_size(), [](std::uint8_t byte) { return byte == 0; })) {
      ++zeros;
      return;
    }
    if (++shown > kMost) return;
    out += fmt::format("  {}: {}\n", hex_text(key.data(), key.size()), hex_text(value, map.value_size()));
  };
  each_entry(map, show, UINT32_MAX);
  if (shown > kMost) out += fmt::format("  ({} more)\n", shown - kMost);
  if (zeros > 0) out += fmt::format("  ({} more, all zeros)\n", zeros);
  return out;
}

}  // namespace weir::runtime
