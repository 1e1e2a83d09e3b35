// Maps after a run. Exports MapOutput.
#include "map_output.h"

#include <algorithm>

#include <fmt/format.h>

#include <weir/runtime/dump.h>

#include "map_entry.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;
using T = ebpf::MapType;

constexpr std::uint64_t kMost = 100'000;  // entries that are listed

// The entries of one map as they come.
class Rows {
 public:
  explicit Rows(T type) : type_(type) {}

  void entry(ByteSpan key, ByteSpan value) {
    const bool zero =
        type_ == T::kArray && std::all_of(value.begin(), value.end(), [](auto byte) { return byte == 0; });
    if (entries_.size() < kMost) entries_.push_back({{"key", hex_bytes(key)}, {"value", hex_bytes(value)}});
    ++count_;
    if (zero) ++zeros_;
    else if (++shown_ <= kMost) lines_ += fmt::format("  {}: {}\n", hex_bytes(key), hex_bytes(value));
  }
  // What a slot refers to: "map" or "program", and its name.
  void reference(ByteSpan key, std::string_view what, const std::string& name) {
    other({{"key", hex_bytes(key)}, {what, name}}, fmt::format("{}: {} {}", hex_bytes(key), what, name));
  }
  void value(ByteSpan bytes) { other({{"value", hex_bytes(bytes)}}, hex_bytes(bytes)); }
  void record(ByteSpan bytes) {
    other({{"record", hex_bytes(bytes)}}, bytes.empty() ? "(no bytes)" : hex_bytes(bytes));
  }
  // Of ring buffers: bytes that are not read yet, with headers.
  void bytes(std::uint64_t count, bool kept = false) { bytes_ = count, kept_ = kept; }
  void unreadable() { unreadable_ = true; }

  void finish(const std::string& name, Json& json, std::string& text) const {
    const std::string amount = unreadable_ ? "entries not readable"
                               : bytes_    ? fmt::format("{} bytes", *bytes_)
                                           : fmt::format("{} entries", count_);
    text += fmt::format("map {} ({}, {})\n{}", name, ebpf::name_of(type_), amount, lines_);
    if (shown_ > kMost) text += fmt::format("  ({} more)\n", shown_ - kMost);
    if (zeros_ > 0) text += fmt::format("  ({} more, all zeros)\n", zeros_);
    Json row = {{"name", name}, {"type", ebpf::name_of(type_)}, {"entries", unreadable_ ? Json() : Json(entries_)}};
    if (count_ > entries_.size() && !unreadable_) row["more"] = count_ - entries_.size();
    if (kept_) row["bytes"] = *bytes_;
    json.push_back(std::move(row));
  }

 private:
  void other(Json row, const std::string& line) {
    ++count_;
    if (entries_.size() < kMost) entries_.push_back(std::move(row));
    if (++shown_ <= kMost) lines_ += fmt::format("  {}\n", line);
  }
  T type_;
  std::string lines_;
  Json entries_ = Json::array();
  std::uint64_t count_ = 0;
  std::uint64_t shown_ = 0;
  std::uint64_t zeros_ = 0;
  std::optional<std::uint64_t> bytes_{};
  bool kept_ = false;  // in the buffer
  bool unreadable_ = false;
};

bool is_queue(T type) { return type == T::kQueue || type == T::kStack; }

std::uint32_t word_of(ByteSpan bytes) {
  return bytes.size() < 4 ? 0 : load<std::uint32_t>(bytes.data(), std::endian::native);
}

// Slots of maps of maps and of programs, in user space.
void list_references(const runtime::ReferenceMap& map, const std::vector<std::shared_ptr<runtime::Map>>& all,
                     Rows& rows) {
  runtime::each_reference(map, [&](const std::vector<std::uint8_t>& key, const std::shared_ptr<const void>& held) {
    rows.reference(key, map.definition().type == T::kProgArray ? "program" : "map",
                   engine::name_of_held(map, held, all));
  });
}

}  // namespace

void MapOutput::add(runtime::Map& map, const std::vector<std::shared_ptr<runtime::Map>>& all, bool keep_records) {
  const T type = map.definition().type;
  Rows rows(type);
  if (auto* const ring = dynamic_cast<runtime::RingBuffer*>(&map)) {
    rows.bytes(ring->available(), keep_records);
    if (!keep_records) ring->consume([&](ByteSpan record) { rows.record(record); });
  } else if (auto* const references = dynamic_cast<runtime::ReferenceMap*>(&map)) {
    list_references(*references, all, rows);
  } else if (is_queue(type)) {
    runtime::each_value(map, [&](ByteSpan value) { rows.value(value); });
  } else if (type == T::kBloomFilter || runtime::needs_kernel(type)) {
    rows.unreadable();
  } else {
    runtime::each_entry(
        map,
        [&](const std::vector<std::uint8_t>& key, const void* value) {
          rows.entry(key, {static_cast<const std::uint8_t*>(value), map.value_size()});
        },
        UINT32_MAX);
  }
  rows.finish(map.definition().name, json_, text_);
}

void MapOutput::add(LoadedPrograms::Map& map, const LoadedPrograms& all) {
  const T type = map.map.definition().type;
  Rows rows(type);
  const auto name_of_map = [&](std::uint32_t id) {
    for (const LoadedPrograms::Map& each : all.maps)
      if (each.map.id() == id) return each.name;
    return fmt::format("{}", id);
  };
  const auto name_of_program = [&](std::uint32_t id) {
    for (const LoadedPrograms::Program& each : all.programs)
      if (each.program.id() == id) return each.name;
    return fmt::format("{}", id);
  };
  Status read;
  if (type == T::kRingbuf) {
    const Result<std::uint64_t> left = map.map.consume([&](ByteSpan record) { rows.record(record); });
    if (left) rows.bytes(*left);
    else read = fail(left.error());
  } else if (is_queue(type)) {
    Result<std::vector<std::uint8_t>> value = map.map.take({});
    for (; value; value = map.map.take({})) rows.value(*value);
    if (!kernel::is_not_exist(value.error())) read = fail(value.error());
  } else if (map.map.definition().key_size == 0) {
    rows.unreadable();
  } else {
    read = map.map.iterate_many(
        [&](ByteSpan key, ByteSpan value) {
          if (type == T::kProgArray) rows.reference(key, "program", name_of_program(word_of(value)));
          else if (type == T::kArrayOfMaps || type == T::kHashOfMaps)
            rows.reference(key, "map", name_of_map(word_of(value)));
          else rows.entry(key, value);
          return false;
        },
        4096);
  }
  if (!read) rows.unreadable();
  rows.finish(map.name, json_, text_);
}

}  // namespace weir::tool
