// Keys and values of maps to text and back. Exports EntryForm, hex_bytes.
//
// By type (BTF) a struct becomes an object, an array an array (of characters: a string), an enumeration its name, and
// all other numbers numbers; what JSON has no number for is a string: pointers, "nan", bytes of numbers of 128 bits.
// Reading back takes the same; members that are left out are 0.
#include "map_entry.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <weir/runtime/dump.h>

#include "json_text.h"

namespace weir::tool {
namespace {

using Bytes = std::vector<std::uint8_t>;
using object::Btf;
using object::BtfKind;
using object::BtfType;
using Json = nlohmann::json;

constexpr int kDeepest = 32;

// For messages: JSON of any depth and length is not repeated whole.
std::string brief(const Json& json) {
  if (json.is_array()) return "an array";
  if (json.is_object()) return "an object";
  std::string text = json_text(json);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

Error usage(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

std::uint64_t unsigned_of(ByteSpan bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), std::min<std::size_t>(bytes.size(), 8));
  return value;
}
std::int64_t signed_of(ByteSpan bytes) {
  const unsigned unused = 64 - 8 * static_cast<unsigned>(std::clamp<std::size_t>(bytes.size(), 1, 8));
  return static_cast<std::int64_t>(unsigned_of(bytes) << unused) >> unused;
}

std::uint64_t mask_of(std::size_t bits) { return bits >= 64 ? ~0ull : (1ull << bits) - 1; }

bool is_bool(std::string_view name) { return name == "_Bool" || name == "bool"; }

// BTF's own mark is not kept by the reader; C's names tell.
bool is_signed(std::string_view name) {
  return name.find("unsigned") == std::string_view::npos && !is_bool(name) && name != "char" &&
         name.substr(0, 1) != "u" && name.substr(0, 3) != "__u";
}

std::optional<Bytes> read_hex(std::string_view text);

// Strings are what ends with a zero and can be printed.
std::optional<std::string> as_string(ByteSpan bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), 0);
  if (end == bytes.end() || !std::all_of(bytes.begin(), end, [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; }) ||
      !std::all_of(end, bytes.end(), [](std::uint8_t c) { return c == 0; }))
    return std::nullopt;
  return std::string(bytes.begin(), end);
}

// Shows and reads values of one table of types.
class Values {
 public:
  explicit Values(const Btf& types) : types_(types) {}

  Json show(std::uint32_t id, ByteSpan bytes, int depth = 0) const {
    const BtfType* const type = types_.type(types_.resolve(id));
    const auto size = types_.size_of(id);
    if (type == nullptr || depth > kDeepest || !size || *size > bytes.size()) return hex_bytes(bytes);
    bytes = bytes.first(*size);
    switch (type->kind) {
      case BtfKind::kInt: return number(*type, bytes);
      case BtfKind::kEnum:
      case BtfKind::kEnum64: return enumerator(*type, bytes);
      case BtfKind::kPointer: return fmt::format("0x{:x}", unsigned_of(bytes));
      case BtfKind::kFloat:
        if (*size == 4) return real(load_as<float>(bytes));
        if (*size == 8) return real(load_as<double>(bytes));
        return hex_bytes(bytes);
      case BtfKind::kArray: return array(*type, bytes, depth);
      case BtfKind::kStruct:
      case BtfKind::kUnion: return structure(*type, bytes, depth);
      case BtfKind::kDataSection: return variables(*type, bytes, depth);
      default: return hex_bytes(bytes);
    }
  }

  Status read(std::uint32_t id, const Json& from, std::uint8_t* to, std::size_t room, int depth = 0) const {
    const BtfType* const type = types_.type(types_.resolve(id));
    const auto size = types_.size_of(id);
    if (type == nullptr || depth > kDeepest || !size || *size > room) return fail(usage("the type is too large"));
    switch (type->kind) {
      case BtfKind::kInt:
      case BtfKind::kEnum:
      case BtfKind::kEnum64:
      case BtfKind::kPointer: return read_number(*type, from, to, *size);
      case BtfKind::kFloat: return read_real(*type, from, to, *size);
      case BtfKind::kArray: return read_array(*type, from, to, *size, depth);
      case BtfKind::kStruct:
      case BtfKind::kUnion: return read_structure(*type, from, to, *size, depth);
      case BtfKind::kDataSection: return read_variables(*type, from, to, *size, depth);
      default: return fail(usage("a value of this type cannot be written as JSON"));
    }
  }

 private:
  template <typename T>
  static T load_as(ByteSpan bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  static Json number(const BtfType& type, ByteSpan bytes) {
    if (is_bool(type.name)) return bytes[0] != 0;
    if (bytes.size() > 8) return hex_bytes(bytes);
    return is_signed(type.name) ? Json(signed_of(bytes)) : Json(unsigned_of(bytes));
  }

  static Json real(double value) {
    return std::isfinite(value) ? Json(value) : std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
  }

  static Json enumerator(const BtfType& type, ByteSpan bytes) {
    const std::uint64_t mask = mask_of(8 * bytes.size());
    for (const object::BtfMember& member : type.members)
      if ((member.value & mask) == unsigned_of(bytes)) return std::string(member.name);
    return unsigned_of(bytes);
  }

  Json array(const BtfType& type, ByteSpan bytes, int depth) const {
    const auto each = types_.size_of(type.type);
    if (!each || *each == 0) return hex_bytes(bytes);
    const BtfType* const element = types_.type(types_.resolve(type.type));
    if (element->kind == BtfKind::kInt && *each == 1 && element->name.find("char") != std::string_view::npos &&
        element->name != "unsigned char")
      if (auto text = as_string(bytes)) return *text;
    Json out = Json::array();
    for (std::size_t i = 0; i < type.elements; ++i) out.push_back(show(type.type, bytes.subspan(i * *each), depth + 1));
    return out;
  }

  Json structure(const BtfType& type, ByteSpan bytes, int depth) const {
    Json out = Json::object();
    for (const object::BtfMember& member : type.members) {
      const std::size_t at = member.value / 8;
      if (at > bytes.size()) continue;
      Json value = member.size != 0        ? bit_field(member, bytes)
                   : member.value % 8 == 0 ? show(member.type, bytes.subspan(at), depth + 1)
                                           : Json("bits");
      if (member.name.empty() && value.is_object()) out.update(value);
      else out[std::string(member.name)] = std::move(value);
    }
    return out;
  }

  // Of up to 64 bits, on machines that count bits from the lowest byte.
  Json bit_field(const object::BtfMember& member, ByteSpan bytes) const {
    const BtfType* const type = types_.type(types_.resolve(member.type));
    const std::uint64_t end = member.value + member.size;
    if (type == nullptr || member.size > 64 || end > 8 * bytes.size() || std::endian::native == std::endian::big)
      return "bits";
    std::uint64_t value = 0;
    for (std::uint64_t bit = member.value; bit < end; ++bit)
      value |= std::uint64_t{bytes[bit / 8] >> (bit % 8) & 1u} << (bit - member.value);
    for (const object::BtfMember& each : type->members)
      if (enumerator_bits(*type, each, member.size) == value) return std::string(each.name);
    if (is_bool(type->name)) return value != 0;
    if (type->kind != BtfKind::kInt || !is_signed(type->name)) return value;
    const unsigned unused = 64 - member.size;
    return static_cast<std::int64_t>(value << unused) >> unused;
  }

  Status read_bit_field(const object::BtfMember& member, const Json& from, std::uint8_t* to, std::size_t size) const {
    const BtfType* const type = types_.type(types_.resolve(member.type));
    const std::uint64_t end = member.value + member.size;
    if (type == nullptr || member.size > 64 || end > 8 * size || std::endian::native == std::endian::big)
      return fail(usage(fmt::format("the bit field '{}' cannot be written", member.name)));
    WEIR_TRY(const std::uint64_t value, bits_of(*type, from, member.size));
    for (std::uint64_t bit = member.value; bit < end; ++bit) {
      const auto one = static_cast<std::uint8_t>(value >> (bit - member.value) & 1u);
      to[bit / 8] = static_cast<std::uint8_t>((to[bit / 8] & ~(1u << bit % 8)) | unsigned{one} << bit % 8);
    }
    return {};
  }

  // A member by its name, also within structures that have none; its place in bits from the start of the outermost.
  std::optional<object::BtfMember> find_member(const BtfType& type, std::string_view name, int depth) const {
    for (const object::BtfMember& member : type.members) {
      if (member.name == name && !name.empty()) return member;
      const BtfType* const within = types_.type(types_.resolve(member.type));
      if (!member.name.empty() || within == nullptr || depth > kDeepest ||
          (within->kind != BtfKind::kStruct && within->kind != BtfKind::kUnion))
        continue;
      if (auto found = find_member(*within, name, depth + 1)) {
        found->value += member.value;
        return found;
      }
    }
    return std::nullopt;
  }

  Json variables(const BtfType& type, ByteSpan bytes, int depth) const {
    Json out = Json::object();
    for (const object::BtfMember& member : type.members) {
      const BtfType* const variable = types_.type(member.type);
      if (variable == nullptr || member.value > bytes.size()) continue;
      out[std::string(variable->name)] = show(variable->type, bytes.subspan(member.value), depth + 1);
    }
    return out;
  }

  // "0x1f", as pointers are shown.
  static std::optional<std::uint64_t> hexadecimal(const std::string& text) {
    if (text.size() < 3 || text.size() > 18 || text.substr(0, 2) != "0x" ||
        text.find_first_not_of("0123456789abcdefABCDEF", 2) != std::string::npos)
      return std::nullopt;
    return std::stoull(text.substr(2), nullptr, 16);
  }

  // Nothing where so many bits do not hold it.
  static std::optional<std::uint64_t> enumerator_bits(const BtfType& type, const object::BtfMember& member,
                                                      std::size_t bits) {
    const std::uint64_t whole = mask_of(std::size_t{8} * type.size), value = member.value & whole;
    const std::uint64_t mask = mask_of(bits), low = value & mask;
    const bool negative = low > mask >> 1;
    if (value != low && !(negative && value == ((low | ~mask) & whole))) return std::nullopt;
    return low;
  }

  // A whole number of the type as so many bits, of which the lower 64 are given. "0x1f" is bits, whatever the type's
  // sign.
  static Result<std::uint64_t> bits_of(const BtfType& type, const Json& from, std::size_t bits) {
    const std::uint64_t mask = mask_of(bits);
    if (from.is_boolean()) return std::uint64_t{from.get<bool>()};
    if (from.is_string()) {
      const auto text = from.get<std::string>();
      for (const object::BtfMember& member : type.members)
        if (member.name == text) {
          if (const auto value = enumerator_bits(type, member, bits)) return *value;
          return fail(too_large(type, from, bits));
        }
      const auto number = hexadecimal(text);
      if (!number) return fail(usage(fmt::format("{} is no number", brief(from))));
      if (*number > mask) return fail(too_large(type, from, bits));
      return *number;
    }
    if (!from.is_number_integer()) return fail(usage(fmt::format("{} is no number", brief(from))));
    // Of enumerations and plain char nothing tells the sign.
    const bool either = type.kind == BtfKind::kEnum || type.kind == BtfKind::kEnum64 || type.name == "char";
    const bool with_sign = type.kind == BtfKind::kInt && is_signed(type.name);
    if (!from.is_number_unsigned() && from.get<std::int64_t>() < 0) {
      const auto value = from.get<std::int64_t>();
      if ((!either && !with_sign) || value < -1 - static_cast<std::int64_t>(mask >> 1))
        return fail(too_large(type, from, bits));
      return static_cast<std::uint64_t>(value) & mask;
    }
    const auto value = from.get<std::uint64_t>();
    if (value > (is_bool(type.name) ? 1 : with_sign && bits <= 64 ? mask >> 1 : mask))
      return fail(too_large(type, from, bits));
    return value;
  }

  static Error too_large(const BtfType& type, const Json& from, std::size_t bits) {
    const bool bytes = bits % 8 == 0;
    const std::size_t count = bytes ? bits / 8 : bits;
    return usage(fmt::format("{} does not fit into {} {}{}{}", brief(from), count, bytes ? "byte" : "bit",
                             count == 1 ? "" : "s", type.name.empty() ? "" : fmt::format(" ({})", type.name)));
  }

  static Status read_number(const BtfType& type, const Json& from, std::uint8_t* to, std::size_t size) {
    if (size == 0) return fail(usage("a number without bytes cannot be written"));
    if (size > 8 && from.is_string() && !hexadecimal(from.get<std::string>())) return read_shown_bytes(from, to, size);
    WEIR_TRY(const std::uint64_t value, bits_of(type, from, 8 * size));
    const bool negative = from.is_number_integer() && !from.is_number_unsigned() && from.get<std::int64_t>() < 0;
    std::memset(to, negative ? 0xff : 0, size);
    std::memcpy(to, &value, std::min<std::size_t>(size, 8));
    return {};
  }

  // "0a 0b", as what JSON has no number for is shown.
  static Status read_shown_bytes(const Json& from, std::uint8_t* to, std::size_t size) {
    const std::optional<Bytes> bytes = from.is_string() ? read_hex(from.get<std::string>()) : std::nullopt;
    if (!bytes || bytes->size() != size) return fail(usage(fmt::format("{} are not {} bytes", brief(from), size)));
    std::copy(bytes->begin(), bytes->end(), to);
    return {};
  }

  static Status read_real(const BtfType& type, const Json& from, std::uint8_t* to, std::size_t size) {
    if (size != 4 && size != 8) return read_shown_bytes(from, to, size);
    double value = 0;
    if (from.is_number()) value = from.get<double>();
    else if (from == "nan") value = std::numeric_limits<double>::quiet_NaN();
    else if (from == "inf") value = std::numeric_limits<double>::infinity();
    else if (from == "-inf") value = -std::numeric_limits<double>::infinity();
    else return fail(usage(fmt::format("{} is no number", brief(from))));
    if (size == 8) {
      std::memcpy(to, &value, 8);
      return {};
    }
    if (std::isfinite(value) && std::abs(value) > std::numeric_limits<float>::max())
      return fail(too_large(type, from, 32));
    const auto single = static_cast<float>(value);
    std::memcpy(to, &single, 4);
    return {};
  }

  Status read_array(const BtfType& type, const Json& from, std::uint8_t* to, std::size_t size, int depth) const {
    const BtfType* const element = types_.type(types_.resolve(type.type));
    const bool characters =
        element != nullptr && element->kind == BtfKind::kInt && element->size == 1 && !is_bool(element->name);
    if (from.is_string() && characters) {
      const auto text = from.get<std::string>();
      if (text.size() > size) return fail(usage(fmt::format("{} does not fit into {} bytes", brief(from), size)));
      std::memcpy(to, text.data(), text.size());
      return {};
    }
    const auto each = types_.size_of(type.type);
    if (!from.is_array() || !each) return fail(usage(fmt::format("{} is no array", brief(from))));
    if (from.size() > type.elements) return fail(usage(fmt::format("an array has {} elements", type.elements)));
    for (std::size_t i = 0; i < from.size(); ++i)
      WEIR_CHECK(read(type.type, from[i], to + i * *each, size - i * *each, depth + 1));
    return {};
  }

  Status read_structure(const BtfType& type, const Json& from, std::uint8_t* to, std::size_t size, int depth) const {
    if (!from.is_object()) return fail(usage(fmt::format("{} is no object", brief(from))));
    for (const auto& [name, value] : from.items()) {
      const std::optional<object::BtfMember> member = find_member(type, name, 0);
      if (!member) return fail(usage(fmt::format("struct {} has no member '{}'", type.name, name)));
      if (member->size != 0) {
        WEIR_CHECK(read_bit_field(*member, value, to, size));
        continue;
      }
      if (member->value % 8 != 0) return fail(usage(fmt::format("the bit field '{}' cannot be written", name)));
      const std::size_t at = member->value / 8;
      if (at > size) return fail(usage("the type is too large"));
      WEIR_CHECK(read(member->type, value, to + at, size - at, depth + 1));
    }
    return {};
  }

  Status read_variables(const BtfType& type, const Json& from, std::uint8_t* to, std::size_t size, int depth) const {
    if (!from.is_object()) return fail(usage(fmt::format("{} is no object", brief(from))));
    for (const auto& [key, value] : from.items()) {
      const std::string& name = key;
      const auto found = std::find_if(type.members.begin(), type.members.end(), [&](const object::BtfMember& member) {
        const BtfType* const variable = types_.type(member.type);
        return variable != nullptr && variable->name == name;
      });
      if (found == type.members.end()) return fail(usage(fmt::format("{} has no variable '{}'", type.name, name)));
      if (found->value > size) return fail(usage("the type is too large"));
      WEIR_CHECK(read(types_.type(found->type)->type, value, to + found->value, size - found->value, depth + 1));
    }
    return {};
  }

  const Btf& types_;
};

std::optional<Bytes> read_hex(std::string_view text) {
  Bytes out;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == ':' || c == ',') {
      if (high >= 0) return std::nullopt;
      continue;
    }
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    if (high >= 0) out.push_back(static_cast<std::uint8_t>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  return high >= 0 ? std::nullopt : std::optional(out);
}

// 10.0.0.1, ::1, and with a length behind a slash the key of a trie: the length, then the address.
std::optional<Bytes> read_address(const std::string& text, std::size_t size) {
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  Bytes out(16);
  if (inet_pton(AF_INET, address.c_str(), out.data()) == 1) out.resize(4);
  else if (inet_pton(AF_INET6, address.c_str(), out.data()) != 1) return std::nullopt;
  if (slash == std::string::npos) return out.size() == size ? std::optional(out) : std::nullopt;
  const std::string length = text.substr(slash + 1);
  if (length.empty() || length.size() > 3 || length.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  const auto bits = static_cast<std::uint32_t>(std::stoul(length));
  if (bits > 8 * out.size() || size != out.size() + 4) return std::nullopt;
  Bytes key(4);
  std::memcpy(key.data(), &bits, 4);
  key.insert(key.end(), out.begin(), out.end());
  return key;
}

Result<Bytes> read_bytes(const std::string& text, std::size_t size, const std::optional<Btf>& types,
                         std::uint32_t type) {
  const auto exactly = [&](Bytes bytes) -> Result<Bytes> {
    if (bytes.size() != size) return fail(usage(fmt::format("{} bytes, want {}", bytes.size(), size)));
    return bytes;
  };
  if (text.empty()) return exactly({});
  if (text[0] == '{' || text[0] == '[' || text[0] == '"') {
    if (!types || type == 0) return fail(usage("the map has no types, so that JSON means nothing"));
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return fail(usage(fmt::format("'{}' is no JSON", text)));
    Bytes out(size);
    WEIR_CHECK(Values(*types).read(type, json, out.data(), out.size()));
    return out;
  }
  if (text.rfind("hex:", 0) == 0) {
    auto bytes = read_hex(std::string_view(text).substr(4));
    if (!bytes) return fail(usage(fmt::format("'{}' are no bytes in hexadecimal", text.substr(4))));
    return exactly(std::move(*bytes));
  }
  if (text.rfind("str:", 0) == 0) {
    Bytes out(text.begin() + 4, text.end());
    if (out.size() > size) return fail(usage(fmt::format("{} characters, at most {} fit", out.size(), size)));
    out.resize(size);
    return out;
  }
  if (auto address = read_address(text, size)) return std::move(*address);
  if (text.find_first_of(" :") != std::string::npos)
    if (auto bytes = read_hex(text)) return exactly(std::move(*bytes));
  if (size == 0) return fail(usage(fmt::format("the map has none: leave '{}' out", text)));
  Result<Bytes> number = runtime::bytes_of_number(text, size);
  if (number) return number;
  const bool no_number = number.error().code == ErrorCode::kBadInput;
  return fail(
      usage(number.error().message,
            no_number ? "write 5, 0x1f, hex:0a0b0c0d, str:text, 10.0.0.1, or JSON where the map has types" : ""));
}

Error about(Error error, std::string_view what) {
  error.source = what;
  return error;
}

}  // namespace

std::string hex_bytes(ByteSpan bytes) { return runtime::hex_text(bytes.data(), bytes.size()); }

EntryForm EntryForm::with(const kernel::MapInfo& info, std::optional<Btf> types) {
  EntryForm form;
  form.info_ = info;
  form.types_ = std::move(types);
  return form;
}

EntryForm EntryForm::of(const kernel::MapInfo& info, bool raw) {
  EntryForm form;
  form.info_ = info;
  if (raw || info.types_id == 0 || (info.key_type == 0 && info.value_type == 0)) return form;
  // Types that cannot be read are no reason to show nothing.
  const Result<kernel::TypeTable> table = kernel::TypeTable::open_id(info.types_id);
  const Result<Bytes> bytes = table ? table->bytes() : fail(table.error());
  if (!bytes) return form;
  if (Result<Btf> types = Btf::parse(*bytes, std::endian::native)) form.types_ = std::move(*types);
  return form;
}

Json EntryForm::key(ByteSpan bytes) const {
  return types_ && info_.key_type != 0 ? Values(*types_).show(info_.key_type, bytes) : Json();
}
Json EntryForm::value(ByteSpan bytes) const {
  return types_ && info_.value_type != 0 ? Values(*types_).show(info_.value_type, bytes) : Json();
}
std::string EntryForm::key_text(ByteSpan bytes) const {
  const Json json = key(bytes);
  return json.is_null() ? hex_bytes(bytes) : json_text(json);
}
std::string EntryForm::value_text(ByteSpan bytes) const {
  const Json json = value(bytes);
  return json.is_null() ? hex_bytes(bytes) : json_text(json);
}

Result<Bytes> EntryForm::read_key(const std::string& text) const {
  const bool trie = info_.type == ebpf::MapType::kLpmTrie && info_.key_size > 4;
  if (trie && read_address(text, info_.key_size - 4))
    return fail(about(usage(fmt::format("'{}' is an address, and the key of an LPM trie a net", text),
                            fmt::format("write {}/{}", text, 8 * (info_.key_size - 4))),
                      "key"));
  Result<Bytes> bytes = read_bytes(text, info_.key_size, types_, info_.key_type);
  return bytes ? bytes : fail(about(std::move(bytes).error(), "key"));
}
Result<Bytes> EntryForm::read_value(const std::string& text) const {
  Result<Bytes> bytes = read_bytes(text, info_.value_size, types_, info_.value_type);
  return bytes ? bytes : fail(about(std::move(bytes).error(), "value"));
}

}  // namespace weir::tool
