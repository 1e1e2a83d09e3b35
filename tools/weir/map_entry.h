// Keys and values of the kernel's maps, as text and as JSON: by their types where the map has some, else as bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/kernel/ebpf.h>
#include <weir/object/btf.h>

namespace weir::tool {

// "0a 00 00 00"
std::string hex_bytes(ByteSpan bytes);

class EntryForm {
 public:
  // With `raw`, types are not asked for.
  static EntryForm of(const kernel::MapInfo& info, bool raw);

  // With this table of types, which no kernel was asked for.
  static EntryForm with(const kernel::MapInfo& info, std::optional<object::Btf> types);

  bool has_types() const { return types_.has_value(); }

  // A value of the map's type; of one CPU, for per-CPU maps. Null where there is no type.
  nlohmann::json key(ByteSpan bytes) const;
  nlohmann::json value(ByteSpan bytes) const;
  // By type, else as bytes.
  std::string key_text(ByteSpan bytes) const;
  std::string value_text(ByteSpan bytes) const;

  // The bytes that a text stands for: a number (5, -1, 0x1f) as large as the whole, an address (10.0.0.1, ::1), a net
  // (10.0.0.0/8, as a key of LPM tries), bytes in hexadecimal (hex:0a0b or "0a 0b"), characters (str:eth0), or JSON
  // where the map has types. An error says what is wrong with it; `what` is "key" or "value".
  Result<std::vector<std::uint8_t>> read_key(const std::string& text) const;
  Result<std::vector<std::uint8_t>> read_value(const std::string& text) const;

 private:
  kernel::MapInfo info_;
  std::optional<object::Btf> types_;
};

}  // namespace weir::tool
