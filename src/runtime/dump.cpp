// Maps as text. Exports hex_text, bytes_of_number, each_entry, each_reference, each_value, text_of.
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

void each_reference(
    const ReferenceMap& map,
    const std::function<void(const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held)>& use) {
  std::vector<std::uint8_t> key(map.key_size());
  std::vector<std::uint8_t> next(map.key_size());
  for (int more = map.next_key(nullptr, next.data()); more == 0; more = map.next_key(key.data(), next.data())) {
    key = next;
    if (const std::shared_ptr<const void> held = map.reference(key.data())) use(key, held);
  }
}

void each_value(Map& map, const std::function<void(ByteSpan value)>& use) {
  std::vector<std::vector<std::uint8_t>> values;
  for (std::vector<std::uint8_t> value(map.value_size()); map.pop(value.data()) == 0;) values.push_back(value);
  for (const auto& value : values) use(value);
  if (map.definition().type == ebpf::MapType::kStack) std::reverse(values.begin(), values.end());
  for (const auto& value : values) map.push(value.data(), 0);
}

namespace {

using NameOfHeld = std::function<std::string(const std::shared_ptr<const void>&)>;

// The lines of a map's entries: as many as may be shown, and how many more there are.
class Lines {
 public:
  void add(const std::string& line) {
    if (++count_ <= kMost) text_ += "  " + line + "\n";
  }
  void zeros(std::uint64_t count) { zeros_ = count; }  // entries that are not listed
  std::string finish() const {
    std::string out = text_;
    if (count_ > kMost) out += fmt::format("  ({} more)\n", count_ - kMost);
    if (zeros_ > 0) out += fmt::format("  ({} more, all zeros)\n", zeros_);
    return out;
  }
  std::uint64_t count() const { return count_; }

 private:
  static constexpr std::uint64_t kMost = 100'000;
  std::string text_;
  std::uint64_t count_ = 0;
  std::uint64_t zeros_ = 0;
};

std::string text_of_references(const ReferenceMap& map, const NameOfHeld& name_of_held, Lines& lines) {
  const char* const what = map.definition().type == ebpf::MapType::kProgArray ? "program" : "map";
  each_reference(map, [&](const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held) {
    lines.add(fmt::format("{}: {} {}", hex_text(key.data(), key.size()), what, name_of_held(held)));
  });
  return fmt::format("{} entries", lines.count());
}

// Adds the entries; gives their amount.
std::string text_of_entries(Map& map, const NameOfHeld& name_of_held, Lines& lines) {
  using T = ebpf::MapType;
  const T type = map.definition().type;
  if (const auto* ring = dynamic_cast<const RingBuffer*>(&map)) return fmt::format("{} bytes", ring->available());
  if (const auto* references = dynamic_cast<const ReferenceMap*>(&map))
    return text_of_references(*references, name_of_held, lines);
  if (type == T::kBloomFilter || needs_kernel(type)) return "entries not readable";
  if (type == T::kQueue || type == T::kStack) {
    each_value(map, [&](ByteSpan value) { lines.add(hex_text(value.data(), value.size())); });
    return fmt::format("{} entries", lines.count());
  }
  std::uint32_t zeros = 0;
  const auto show = [&](const std::vector<std::uint8_t>& key, const void* value) {
    const auto* bytes = static_cast<const std::uint8_t*>(value);
    if (type == T::kArray && std::all_of(bytes, bytes + map.value_size(), [](std::uint8_t byte) { return byte == 0; }))
      ++zeros;
    else lines.add(fmt::format("{}: {}", hex_text(key.data(), key.size()), hex_text(value, map.value_size())));
  };
  each_entry(map, show, UINT32_MAX);
  lines.zeros(zeros);
  return fmt::format("{} entries", map.size());
}

}  // namespace

std::string text_of(Map& map, const NameOfHeld& name_of_held) {
  Lines lines;
  const std::string amount = text_of_entries(map, name_of_held, lines);
  const ebpf::MapDefinition& definition = map.definition();
  return fmt::format("map {} ({}, {})\n{}", definition.name, ebpf::name_of(definition.type), amount, lines.finish());
}

}  // namespace weir::runtime
