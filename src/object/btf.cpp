// The BTF reader. Exports Btf. Source: Documentation/bpf/btf.rst, <linux/btf.h>.
//
// One pass over the type section; ids are checked when they are used, sizes are computed with a limit on depth, so that
// types that contain themselves end.
#include <weir/object/btf.h>

#include <fmt/format.h>

#include "object/btf_sizes.h"

namespace weir::object {
namespace {

constexpr std::uint16_t kMagic = 0xeb9f;

class Parser {
 public:
  Parser(ByteSpan bytes, std::endian order, std::uint64_t offset) : bytes_(bytes), order_(order), base_(offset) {}

  Status header() {
    if (bytes_.size() < 24) return bad(0, "the BTF header is cut off");
    if (u16(0) != kMagic) return bad(0, "this is no BTF");
    const std::uint32_t length = u32(4);
    types_at_ = std::uint64_t{length} + u32(8);
    types_end_ = types_at_ + u32(12);
    strings_at_ = std::uint64_t{length} + u32(16);
    strings_end_ = strings_at_ + u32(20);
    if (length < 24 || types_end_ > bytes_.size()) return bad(8, "the BTF types lie outside of their section");
    if (strings_end_ > bytes_.size()) return bad(16, "the BTF strings lie outside of their section");
    if (strings_end_ > strings_at_ && bytes_[strings_end_ - 1] != 0)
      return bad(strings_end_ - 1, "the BTF strings do not end");
    return {};
  }
  std::string strings() const {
    return {reinterpret_cast<const char*>(bytes_.data()) + strings_at_,
            static_cast<std::size_t>(strings_end_ - strings_at_)};
  }

  Status types(std::vector<BtfType>& out, const std::string& strings) {
    strings_ = strings;
    out.emplace_back();
    for (std::uint64_t at = types_at_; at < types_end_;) {
      if (types_end_ - at < kBtfTypeSize) return bad(at, "a BTF type is cut off");
      const std::uint32_t info = u32(at + 4);
      const auto kind = static_cast<BtfKind>(info >> 24 & 0x1f);
      BtfType type{kind, name(u32(at)), 0, 0, 0, {}};
      const std::uint32_t last = u32(at + 8);
      if (kind == BtfKind::kVoid || kind > BtfKind::kEnum64)
        return bad(at, fmt::format("BTF kind {} is unknown", info >> 24 & 0x1f));
      if (has_size(kind)) type.size = last;
      else type.type = last;
      const std::uint64_t start = at;
      at += kBtfTypeSize;
      const std::uint32_t count = info & 0xffff;
      const std::uint64_t each = entry_size(kind);
      const std::uint64_t extra = entries_size(kind, count);
      if (types_end_ - at < extra) return bad(start, "a BTF type is cut off");
      if (kind == BtfKind::kArray) {
        type.type = u32(at);
        type.elements = u32(at + 8);
      } else if (repeats(kind)) {
        for (std::uint32_t i = 0; i < count; ++i)
          type.members.push_back(member(kind, at + each * i, (info >> 31) != 0));
      }
      at += extra;
      out.push_back(std::move(type));
    }
    return {};
  }

 private:
  std::uint16_t u16(std::uint64_t at) const { return load<std::uint16_t>(bytes_.data() + at, order_); }
  std::uint32_t u32(std::uint64_t at) const { return load<std::uint32_t>(bytes_.data() + at, order_); }
  tl::unexpected<Error> bad(std::uint64_t at, std::string message) const {
    return fail(std::move(message), OffsetPlace{base_ + at});
  }
  std::string_view name(std::uint32_t offset) const {
    return offset < strings_.size() ? std::string_view(strings_.data() + offset) : std::string_view();
  }
  static bool has_size(BtfKind kind) {
    return kind == BtfKind::kInt || kind == BtfKind::kStruct || kind == BtfKind::kUnion || kind == BtfKind::kEnum ||
           kind == BtfKind::kFloat || kind == BtfKind::kEnum64 || kind == BtfKind::kDataSection;
  }
  BtfMember member(BtfKind kind, std::uint64_t at, bool flag) const {
    switch (kind) {
      case BtfKind::kEnum: return {name(u32(at)), 0, u32(at + 4), 0};
      case BtfKind::kEnum64: return {name(u32(at)), 0, std::uint64_t{u32(at + 8)} << 32 | u32(at + 4), 0};
      case BtfKind::kPrototype: return {name(u32(at)), u32(at + 4), 0, 0};
      case BtfKind::kDataSection: return {{}, u32(at), u32(at + 4), u32(at + 8)};
      default:
        return {name(u32(at)), u32(at + 4), flag ? u32(at + 8) & 0xffffff : u32(at + 8), flag ? u32(at + 8) >> 24 : 0};
    }
  }

  ByteSpan bytes_;
  std::endian order_;
  std::uint64_t base_;
  std::uint64_t types_at_ = 0, types_end_ = 0, strings_at_ = 0, strings_end_ = 0;
  std::string_view strings_;
};

}  // namespace

Result<Btf> Btf::parse(ByteSpan bytes, std::endian order, std::uint64_t offset) {
  Parser parser(bytes, order, offset);
  WEIR_CHECK(parser.header());
  Btf btf;
  btf.strings_ = std::make_shared<const std::string>(parser.strings());
  WEIR_CHECK(parser.types(btf.types_, *btf.strings_));
  return btf;
}

std::string_view Btf::text(std::uint32_t offset) const {
  return offset < strings_->size() ? std::string_view(strings_->data() + offset) : std::string_view();
}

std::optional<std::uint32_t> Btf::find(BtfKind kind, std::string_view name) const {
  for (std::uint32_t id = 1; id < types_.size(); ++id)
    if (types_[id].kind == kind && types_[id].name == name) return id;
  return std::nullopt;
}

std::uint32_t Btf::resolve(std::uint32_t id) const {
  for (int depth = 0; depth < 32; ++depth) {
    const BtfType* it = type(id);
    if (it == nullptr) return 0;
    switch (it->kind) {
      case BtfKind::kTypedef:
      case BtfKind::kVolatile:
      case BtfKind::kConst:
      case BtfKind::kRestrict:
      case BtfKind::kTypeTag: id = it->type; break;
      default: return id;
    }
  }
  return 0;
}

std::optional<std::uint64_t> Btf::size_of(std::uint32_t id) const {
  std::uint64_t times = 1;
  for (int depth = 0; depth < 32; ++depth) {
    const BtfType* it = type(resolve(id));
    if (it == nullptr) return std::nullopt;
    switch (it->kind) {
      case BtfKind::kInt:
      case BtfKind::kStruct:
      case BtfKind::kUnion:
      case BtfKind::kEnum:
      case BtfKind::kEnum64:
      case BtfKind::kFloat:
      case BtfKind::kDataSection: return times * it->size;
      case BtfKind::kPointer: return times * 8;
      case BtfKind::kArray:
        if (times > (1ull << 30)) return std::nullopt;
        times *= it->elements;
        id = it->type;
        break;
      case BtfKind::kVariable: id = it->type; break;
      default: return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace weir::object
