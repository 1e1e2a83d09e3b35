// What holds for any text as a key or a value of a map, and a table of types to try it with. Shared by a test and a
// fuzzer.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <weir/object/btf.h>

#include "map_entry.h"

namespace weir::tests {

// A table of types, built record by record. Ids count from 1.
class TypeTableBuilder {
 public:
  std::uint32_t add(const char* name, unsigned kind, unsigned count, std::uint32_t size_or_type,
                    bool bit_fields = false) {
    put(name_of(name));
    put(kind << 24 | count | (bit_fields ? 1u << 31 : 0));
    put(size_or_type);
    return ++last_;
  }
  void put(std::uint32_t word) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&word);
    types_.insert(types_.end(), bytes, bytes + 4);
  }
  std::uint32_t name_of(const char* name) {
    if (*name == 0) return 0;
    const auto at = static_cast<std::uint32_t>(names_.size());
    names_ += name;
    names_ += '\0';
    return at;
  }
  void member(const char* name, std::uint32_t type, std::uint32_t bits) {
    put(name_of(name));
    put(type);
    put(bits);
  }
  object::Btf build() const {
    std::vector<std::uint8_t> out(24);
    const std::uint16_t magic = 0xeb9f;
    const std::uint32_t header[] = {24, 0, static_cast<std::uint32_t>(types_.size()),
                                    static_cast<std::uint32_t>(types_.size()),
                                    static_cast<std::uint32_t>(names_.size())};
    std::memcpy(out.data(), &magic, 2);
    out[2] = 1;
    std::memcpy(out.data() + 4, header, 20);
    out.insert(out.end(), types_.begin(), types_.end());
    out.insert(out.end(), names_.begin(), names_.end());
    return object::Btf::parse(out, std::endian::native).value();
  }

 private:
  std::vector<std::uint8_t> types_;
  std::string names_ = std::string(1, '\0');
  std::uint32_t last_ = 0;
};

// Numbers of all widths, a real one, an enumeration, arrays, text, a pointer, bit fields, and structures with and
// without a name. `whole` is the structure that holds them all.
struct EntryTypes {
  object::Btf btf;
  std::uint32_t whole = 0, whole_size = 0, number = 0;
};
inline EntryTypes entry_types() {
  TypeTableBuilder b;
  const auto integer = [&](const char* name, std::uint32_t size) {
    const std::uint32_t id = b.add(name, 1, 0, size);
    b.put(8 * size);
    return id;
  };
  const std::uint32_t u8 = integer("unsigned char", 1), s16 = integer("short", 2), u32 = integer("unsigned int", 4),
                      s64 = integer("long long", 8), text = integer("char", 1), flag = integer("_Bool", 1);
  const std::uint32_t colour = b.add("colour", 6, 2, 4);
  b.put(b.name_of("RED"));
  b.put(1);
  b.put(b.name_of("BLUE"));
  b.put(0x80000000u);
  const auto array = [&](std::uint32_t of, std::uint32_t count) {
    const std::uint32_t id = b.add("", 3, 0, 0);
    b.put(of);
    b.put(u32);
    b.put(count);
    return id;
  };
  const std::uint32_t name = array(text, 6), numbers = array(s16, 3), pointer = b.add("", 2, 0, 0);
  const std::uint32_t part = b.add("", 5, 2, 4);  // a union without a name
  b.member("low", u8, 0);
  b.member("all", u32, 0);
  const std::uint32_t bits = b.add("bits", 4, 3, 4, true);
  b.member("three", u32, 3u << 24);
  b.member("signed_five", s64, 5u << 24 | 3);
  b.member("rest", u32, 24u << 24 | 8);
  const std::uint32_t s8 = integer("signed char", 1), ratio = b.add("float", 16, 0, 4);
  const std::uint32_t whole = b.add("whole", 4, 12, 56);
  b.member("small", u8, 0);
  b.member("flag", flag, 8);
  b.member("s16", s16, 16);
  b.member("colour", colour, 32);
  b.member("name", name, 64);
  b.member("numbers", numbers, 112);
  b.member("", part, 160);
  b.member("bits", bits, 192);
  b.member("s64", s64, 256);
  b.member("pointer", pointer, 320);
  b.member("ratio", ratio, 384);
  b.member("s8", s8, 416);
  return {b.build(), whole, 56, u32};
}

// The first byte chooses what the entry is like; the rest is its text. What is read has the size that it must have,
// and what it is shown as is read back to the same bytes, as far as they are shown. Returns whether it was read.
inline bool try_entry(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return false;
  static const EntryTypes types = entry_types();
  constexpr std::uint32_t kSizes[] = {0, 1, 2, 4, 6, 8, 16, 20};
  const bool typed = (data[0] & 8) != 0, whole = (data[0] & 1) != 0;
  kernel::MapInfo info;
  info.value_size = !typed ? kSizes[data[0] & 7] : whole ? types.whole_size : 4;
  info.key_size = info.value_size;
  if (typed) info.value_type = whole ? types.whole : types.number;
  const tool::EntryForm form = tool::EntryForm::with(info, typed ? std::optional(types.btf) : std::nullopt);
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  (void)form.read_key(text);
  const Result<std::vector<std::uint8_t>> bytes = form.read_value(text);
  if (!bytes) {
    if (bytes.error().message.empty() || bytes.error().message.size() > text.size() + 200) std::abort();
    return false;
  }
  if (bytes->size() != info.value_size) std::abort();
  const std::string shown = form.value_text(*bytes);
  if (!typed || !whole) return true;
  const Result<std::vector<std::uint8_t>> again = form.read_value(shown);
  if (!again || form.value(*again) != form.value(*bytes)) std::abort();
  return true;
}

}  // namespace weir::tests
