// The types of an object that is written. Exports make_types.
//
// A kernel wants to know of each function that another calls whether it is static; of what type its arguments are it
// asks for those that are not, and here all are. Lines are told where each function starts with one. Each map is a
// struct of pointers to arrays whose lengths are the numbers; a map of maps has an array `values` of pointers to such a
// struct besides. Source: the kernel's documentation of BTF; libbpf's of map definitions.
#include <algorithm>

#include "object/write_elf.h"

namespace weir::object {
namespace {

constexpr std::uint32_t kPointerBits = 64;

constexpr std::uint16_t kMagic = 0xeb9f;
constexpr std::uint32_t kHeader = 24;

enum TypeKind : std::uint32_t {
  kInt = 1,
  kPointer = 2,
  kArray = 3,
  kStruct = 4,
  kFunction = 12,
  kPrototype = 13,
  kVariable = 14,
  kDataSection = 15
};

class TypesWriter {
 public:
  explicit TypesWriter(const TypesInput& input) : input_(input) {
    int_ = head("int", kInt, 0, 4);
    put<std::uint32_t>(types_, 1u << 24 | 32);  // signed, 32 bits
  }

  Types make() {
    if (!input_.maps.empty()) maps();
    Bytes functions = function_table();
    Bytes lines = line_table();
    Types out;
    put(out.types, kMagic);
    put<std::uint16_t>(out.types, 1);
    for (const std::size_t number :
         {std::size_t{kHeader}, std::size_t{0}, types_.size(), types_.size(), names_.bytes().size()})
      put(out.types, static_cast<std::uint32_t>(number));
    append(out.types, types_);
    append(out.types, names_.bytes());
    put(out.ext, kMagic);
    put<std::uint16_t>(out.ext, 1);
    for (const std::size_t number :
         {std::size_t{kHeader}, std::size_t{0}, functions.size(), functions.size(), lines.size()})
      put(out.ext, static_cast<std::uint32_t>(number));
    append(out.ext, functions);
    append(out.ext, lines);
    return out;
  }

 private:
  struct Member {
    std::string_view name;
    std::uint32_t type;
  };

  static void append(Bytes& to, const Bytes& bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

  void maps() {
    std::vector<std::uint32_t> variables;
    for (const ebpf::MapDefinition* map : input_.maps) {
      const std::uint32_t body = definition(*map);
      variables.push_back(head(map->name, kVariable, 0, body));
      put<std::uint32_t>(types_, 1);  // global
    }
    const auto count = static_cast<std::uint32_t>(variables.size());
    head(".maps", kDataSection, count, count * kMapSize);
    for (std::uint32_t i = 0; i < count; ++i) {
      put(types_, variables[i]);
      put(types_, i * kMapSize);
      put(types_, kMapSize);
    }
  }

  // Records by section: the section's name, how many, and each as `record` writes it.
  template <typename Entry, typename Record>
  Bytes table(const std::vector<Entry>& entries, std::uint32_t size, const Record& record) {
    if (entries.empty()) return {};
    Bytes out;
    put(out, size);
    for (std::size_t i = 0; i < entries.size();) {
      std::size_t end = i;
      while (end < entries.size() && entries[end].section == entries[i].section) ++end;
      put(out, names_.add(entries[i].section));
      put(out, static_cast<std::uint32_t>(end - i));
      for (; i < end; ++i) {
        put(out, entries[i].at * 8);
        record(out, entries[i]);
      }
    }
    return out;
  }

  Bytes function_table() {
    if (input_.functions.empty()) return {};
    const std::uint32_t prototype = head("", kPrototype, 0, int_);
    return table(input_.functions, 8, [&](Bytes& out, const TypedFunction& function) {
      put(out, head(function.name, kFunction, function.is_static ? 0 : 1, prototype));
    });
  }

  Bytes line_table() {
    return table(input_.lines, 16, [&](Bytes& out, const TypedLine& entry) {
      put(out, names_.add(entry.line->file));
      put(out, names_.add(entry.line->text));
      put(out, entry.line->line << 10 | std::min(entry.line->column, 1023u));
    });
  }

  std::uint32_t head(std::string_view name, TypeKind kind, std::uint32_t count, std::uint32_t last) {
    put(types_, name.empty() ? 0 : names_.add(name));
    put(types_, kind << 24 | count);
    put(types_, last);
    return ++id_;
  }

  std::uint32_t array(std::uint32_t of, std::uint32_t length) {
    const std::uint32_t id = head("", kArray, 0, 0);
    put(types_, of);
    put(types_, int_);
    put(types_, length);
    return id;
  }
  std::uint32_t number(std::uint32_t n) { return head("", kPointer, 0, array(int_, n)); }

  std::uint32_t definition(const ebpf::MapDefinition& map) {
    std::vector<Member> members{{"type", number(static_cast<std::uint32_t>(map.type))},
                                {"key_size", number(map.key_size)},
                                {"value_size", number(map.value_size)},
                                {"max_entries", number(map.max_entries)},
                                {"map_flags", number(map.flags)}};
    const auto inner =
        std::find_if(input_.all->begin(), input_.all->end(), [&](const auto& each) { return each.name == map.inner; });
    if (!map.inner.empty() && inner != input_.all->end() && inner->inner.empty())
      members.push_back({"values", array(head("", kPointer, 0, definition(*inner)), 0)});
    const std::uint32_t body = head("", kStruct, static_cast<std::uint32_t>(members.size()), kMapSize);
    for (std::uint32_t i = 0; i < members.size(); ++i) {
      put(types_, names_.add(members[i].name));
      put(types_, members[i].type);
      put(types_, i * kPointerBits);
    }
    return body;
  }

  const TypesInput& input_;
  Bytes types_;
  NameTable names_;
  std::uint32_t id_ = 0;
  std::uint32_t int_ = 0;
};

}  // namespace

Types make_types(const TypesInput& input) { return TypesWriter(input).make(); }

}  // namespace weir::object
