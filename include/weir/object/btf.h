// BTF: the types of a compiled program or of a kernel, read from their bytes.
//
// A Btf owns all it needs. Type ids are indices, 0 is void. What is malformed is an error with the offset of the byte;
// what is well formed but unknown (a later kind) too. Values; thread-safe to read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

namespace weir::object {

enum class BtfKind : std::uint8_t {
  kVoid,
  kInt,
  kPointer,
  kArray,
  kStruct,
  kUnion,
  kEnum,
  kForward,
  kTypedef,
  kVolatile,
  kConst,
  kRestrict,
  kFunction,
  kPrototype,
  kVariable,
  kDataSection,
  kFloat,
  kDeclarationTag,
  kTypeTag,
  kEnum64,
};

struct BtfMember {
  std::string_view name{};
  std::uint32_t type = 0;
  std::uint64_t value = 0;  // struct: offset in bits; enum: the value; data section: offset in bytes
  std::uint32_t size = 0;   // data section: bytes; struct: bits of a bit field, 0 for other members
};

struct BtfType {
  BtfKind kind = BtfKind::kVoid;
  std::string_view name{};
  std::uint32_t size = 0;      // bytes, where the kind has a size
  std::uint32_t type = 0;      // what it refers to, where it does
  std::uint32_t elements = 0;  // kArray
  std::vector<BtfMember> members{};
};

class Btf {
 public:
  // `offset` is where the bytes lie in their file, for errors.
  static Result<Btf> parse(ByteSpan bytes, std::endian order, std::uint64_t offset = 0);

  std::size_t size() const { return types_.size(); }
  const BtfType* type(std::uint32_t id) const { return id < types_.size() ? &types_[id] : nullptr; }
  std::string_view text(std::uint32_t offset) const;  // of the string table; empty where there is none
  // The id of the first type of this kind and name.
  std::optional<std::uint32_t> find(BtfKind kind, std::string_view name) const;
  // Without typedef, const, volatile, restrict and tags around it.
  std::uint32_t resolve(std::uint32_t id) const;
  // Bytes of a value of this type; nothing for functions and what does not end.
  std::optional<std::uint64_t> size_of(std::uint32_t id) const;

 private:
  std::vector<BtfType> types_;
  std::shared_ptr<const std::string> strings_;  // what the views point into
};

}  // namespace weir::object
