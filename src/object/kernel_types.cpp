// The object's table of types as a kernel takes it. Exports kernel_types.
//
// Compilers leave to the loader what only the finished object tells: how large each section of variables is, and where
// in it they lie. Sections that the object does not have (of the kernel's variables) become plain structures, and their
// variables plain bytes: nothing refers to them. Source: libbpf's btf_fixup_datasec and bpf_object__sanitize_btf, as
// documented in Documentation/bpf/btf.rst; kernel/bpf/btf.c for what is refused.
#include <algorithm>
#include <map>

#include "object/btf_sizes.h"
#include "object/linker.h"

namespace weir::object {
namespace {

class Finisher {
 public:
  Finisher(std::vector<std::uint8_t> bytes, const Elf& elf, const Btf& btf)
      : bytes_(std::move(bytes)), elf_(elf), btf_(btf) {}

  // Btf::parse has checked all bounds.
  std::vector<std::uint8_t> run() {
    const std::size_t begin = word(4) + word(8);
    std::size_t at = begin;
    for (std::uint32_t id = 1; id < btf_.size(); ++id, at += size_of(at)) places_.push_back(at);
    for (std::uint32_t id = 1; id < btf_.size(); ++id) {
      const BtfType& type = *btf_.type(id);
      const std::size_t place = places_[id - 1];
      if (type.kind == BtfKind::kFunction && (word(place + 4) & 0xffff) == kExternal)
        set(place + 4, (word(place + 4) & ~0xffffu) | kGlobal);
      if (type.kind == BtfKind::kDataSection && !finish(type, place)) flatten(type, place);
    }
    return std::move(bytes_);
  }

 private:
  static constexpr std::uint32_t kGlobal = 1, kExternal = 2;  // linkage

  std::uint32_t word(std::size_t at) const { return load<std::uint32_t>(bytes_.data() + at, std::endian::native); }
  void set(std::size_t at, std::uint32_t value) { store(bytes_.data() + at, value, std::endian::native); }

  std::size_t size_of(std::size_t at) const {
    const auto kind = static_cast<BtfKind>(word(at + 4) >> 24 & 0x1f);
    return kBtfTypeSize + entries_size(kind, word(at + 4) & 0xffff);
  }

  // Fills in the size of a section and where its variables lie.
  bool finish(const BtfType& type, std::size_t place) {
    const auto section = std::find_if(elf_.sections.begin(), elf_.sections.end(),
                                      [&](const Section& each) { return each.name == type.name; });
    if (section == elf_.sections.end() || section->size == 0 || section->size > UINT32_MAX) return false;
    const auto index = static_cast<std::size_t>(section - elf_.sections.begin());
    struct Entry {
      std::uint32_t variable, offset, size;
    };
    std::vector<Entry> entries;
    for (const BtfMember& member : type.members) {
      const BtfType* variable = btf_.type(member.type);
      if (variable == nullptr || variable->kind != BtfKind::kVariable) return false;
      const auto symbol = std::find_if(elf_.symbols.begin(), elf_.symbols.end(), [&](const Symbol& each) {
        return each.section == index && each.name == variable->name;
      });
      if (symbol == elf_.symbols.end() || symbol->value > section->size) return false;
      entries.push_back({member.type, static_cast<std::uint32_t>(symbol->value), member.size});
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
    set(place + 8, static_cast<std::uint32_t>(section->size));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      set(place + 12 + 12 * i, entries[i].variable);
      set(place + 16 + 12 * i, entries[i].offset);
      set(place + 20 + 12 * i, entries[i].size);
    }
    return true;
  }

  void flatten(const BtfType& type, std::size_t place) {
    const auto kind = [](BtfKind which) { return static_cast<std::uint32_t>(which) << 24; };
    set(place, 0);
    set(place + 4, kind(BtfKind::kStruct) | (word(place + 4) & 0xffff));
    set(place + 8, 1);
    for (std::size_t i = 0; i < type.members.size(); ++i) {
      const BtfMember& member = type.members[i];
      set(place + 12 + 12 * i, 0);  // no name
      set(place + 16 + 12 * i, member.type);
      set(place + 20 + 12 * i, 0);
      const BtfType* variable = btf_.type(member.type);
      if (variable == nullptr || variable->kind != BtfKind::kVariable) continue;
      const std::size_t at = places_[member.type - 1];
      set(at + 4, kind(BtfKind::kInt));
      set(at + 8, 1);
      set(at + 12, 8);
    }
  }

  std::vector<std::uint8_t> bytes_;
  const Elf& elf_;
  const Btf& btf_;
  std::vector<std::size_t> places_;  // of each type's record
};

}  // namespace

std::vector<std::uint8_t> kernel_types(const Section& section, const Elf& elf, const Btf& btf) {
  if (elf.order != std::endian::native) return {};
  return Finisher({section.bytes.begin(), section.bytes.end()}, elf, btf).run();
}

}  // namespace weir::object
