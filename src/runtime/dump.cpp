// Maps as text. Exports hex_text, each_entry, text_of.
#include <weir/runtime/dump.h>

#include <algorithm>

#include <fmt/format.h>

namespace weir::runtime {

std::string hex_text(const void* bytes, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i)
    out += fmt::format("{}{:02x}", i > 0 ? " " : "", static_cast<const std::uint8_t*>(bytes)[i]);
  return out;
}

void each_entry(Map& map, const std::function<void(const std::vector<std::uint8_t>& key, const void* value)>& use) {
  if (dynamic_cast<ReferenceMap*>(&map) != nullptr || map.key_size() == 0) return;
  std::vector<std::uint8_t> key(map.key_size());
  std::vector<std::uint8_t> next(map.key_size());
  std::uint32_t count = 0;
  for (int more = map.next_key(nullptr, next.data()); more == 0 && count < 100000;
       more = map.next_key(key.data(), next.data()), ++count) {
    key = next;
    if (const void* value = map.lookup(key.data(), 0)) use(key, value);
  }
}

std::string text_of(Map& map, bool consume) {
  const ebpf::MapDefinition& definition = map.definition();
  auto* ring = dynamic_cast<RingBuffer*>(&map);
  std::string out = fmt::format("map {} ({}, {} {})\n", definition.name, ebpf::name_of(definition.type), map.size(),
                                ring != nullptr ? "bytes" : "entries");
  const bool array = definition.type == ebpf::MapType::kArray;
  std::uint32_t zeros = 0;
  each_entry(map, [&](const std::vector<std::uint8_t>& key, const void* value) {
    const auto* bytes = static_cast<const std::uint8_t*>(value);
    if (array && std::all_of(bytes, bytes + map.value_size(), [](std::uint8_t byte) { return byte == 0; })) {
      ++zeros;
      return;
    }
    out += fmt::format("  {}: {}\n", hex_text(key.data(), key.size()), hex_text(value, map.value_size()));
  });
  if (zeros > 0) out += fmt::format("  ({} more, all zeros)\n", zeros);
  if (ring != nullptr && consume)
    ring->consume([&](ByteSpan record) { out += fmt::format("  {}\n", hex_text(record.data(), record.size())); });
  return out;
}

}  // namespace weir::runtime
