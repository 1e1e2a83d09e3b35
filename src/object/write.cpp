// The object writer. Exports write.
//
// The first function stands in the program's section, the others in ".text", where libbpf looks for what a program
// calls; calls and addresses of functions and of maps are relocations. Variables (arrays of one entry named .data,
// .rodata, .bss and their like) are sections of their own, other maps are in ".maps". ".BTF" and ".BTF.ext" describe
// maps, functions and source lines. What an object cannot say is an error.
#include <elf.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/object/object.h>

#include "object/linker.h"
#include "object/write_elf.h"

namespace weir::object {
namespace {

using ebpf::Instruction;
using ebpf::MapDefinition;
using ebpf::OperandShape;

constexpr std::uint16_t kCode = 1;  // sections
constexpr std::uint16_t kText = 2;
constexpr std::uint32_t kMapRelocation = 1;    // R_BPF_64_64
constexpr std::uint32_t kCallRelocation = 10;  // R_BPF_64_32

struct Part {  // a function
  std::string name;
  std::uint32_t first = 0;  // slot of the program
  std::uint32_t end = 0;
  std::uint32_t at = 0;  // slot of its section
};

struct MapPlace {
  std::uint32_t symbol = 0;
  bool is_variables = false;
};

tl::unexpected<Error> cannot(std::string message, std::size_t slot, std::string hint = {}) {
  return fail(Error{.code = ErrorCode::kUnsupported,
                    .message = std::move(message),
                    .place = InstructionPlace{static_cast<std::uint32_t>(slot)},
                    .hint = std::move(hint)});
}

bool is_variables(const MapDefinition& map) {
  return is_variables_name(map.name) && map.type == ebpf::MapType::kArray && map.key_size == 4 && map.max_entries == 1;
}

class Writer {
 public:
  Writer(const ebpf::Program& program, const WriteOptions& options) : program_(program), options_(options) {}

  Result<Bytes> run() {
    section_ = options_.section;
    if (section_.empty()) {
      WEIR_TRY(section_, section_of(program_));
    }
    parts_ = split();
    WEIR_CHECK(parts_stand_alone());
    code_.resize(parts_.size() > 1 ? 2 : 1);
    sections_.resize(code_.size());
    license();
    WEIR_CHECK(maps());
    types();
    symbols();
    WEIR_CHECK(code());
    return finish();
  }

 private:
  const ebpf::OpcodeInfo* row_at(std::size_t slot) const { return ebpf::find(program_.instructions[slot]); }

  // Calls `visit(slot, row)` for each instruction; row: null for what none is.
  template <typename Visit>
  Status each_instruction(std::size_t first, std::size_t end, const Visit& visit) const {
    for (std::size_t i = first; i < end; ++i) {
      const ebpf::OpcodeInfo* row = row_at(i);
      WEIR_CHECK(visit(i, row));
      if (row != nullptr && ebpf::is_wide(row->shape)) ++i;
    }
    return {};
  }

  static std::int64_t target_of(std::size_t slot, const Instruction& instruction) {
    return static_cast<std::int64_t>(slot) + 1 + instruction.immediate;
  }

  std::vector<Part> split() const {
    std::map<std::uint32_t, std::string> starts{{0, ""}};
    static_cast<void>(each_instruction(0, program_.size(), [&](std::size_t i, const ebpf::OpcodeInfo* row) -> Status {
      if (row == nullptr || (row->shape != OperandShape::kCallLocal && row->shape != OperandShape::kWideFunction))
        return {};
      const std::int64_t target = target_of(i, program_.instructions[i]);
      if (target >= 0 && target < static_cast<std::int64_t>(program_.size()))
        starts[static_cast<std::uint32_t>(target)] = "";
      return {};
    }));
    for (const ebpf::Function& function : program_.functions)
      if (function.instruction < program_.size()) starts[function.instruction] = function.name;
    std::set<std::string> taken;
    for (const MapDefinition& map : program_.maps) taken.insert(map.name);
    if (!program_.name.empty()) starts[0] = program_.name;
    if (starts[0].empty()) starts[0] = "program";
    std::vector<Part> parts;
    for (auto at = starts.begin(); at != starts.end(); ++at) {
      const auto next = std::next(at);
      std::string name = at->second.empty() ? fmt::format("function_{}", at->first) : at->second;
      while (!taken.insert(name).second) name += '_';
      parts.push_back({std::move(name), at->first,
                       next == starts.end() ? static_cast<std::uint32_t>(program_.size()) : next->first,
                       parts.empty() ? 0 : at->first - parts.front().end});
    }
    return parts;
  }

  const Part* part_at(std::int64_t slot) const {
    for (const Part& part : parts_)
      if (part.first == slot) return &part;
    return nullptr;
  }

  // No jump leads from one function into another, and none runs over its end.
  Status parts_stand_alone() const {
    for (const Part& part : parts_) {
      const ebpf::OpcodeInfo* last = nullptr;
      WEIR_CHECK(each_instruction(part.first, part.end, [&](std::size_t i, const ebpf::OpcodeInfo* row) -> Status {
        last = row;
        const Instruction& slot = program_.instructions[i];
        if (row == nullptr) return {};
        std::int64_t to = static_cast<std::int64_t>(i) + 1;
        if (row->shape == OperandShape::kJumpLong) to += slot.immediate;
        else if (row->shape == OperandShape::kJump || ebpf::is_branch(row->shape)) to += slot.offset;
        else return {};
        if (to >= part.first && to < part.end) return {};
        return cannot(fmt::format("the jump leads out of the function '{}'", part.name), i,
                      "functions of an object stand alone");
      }));
      const bool ends =
          last != nullptr && (last->shape == OperandShape::kJump || last->shape == OperandShape::kJumpLong ||
                              last->operation == ebpf::Operation::kExit);
      if (parts_.size() > 1 && !ends && part.end > part.first)
        return cannot(fmt::format("the function '{}' runs over its end", part.name), part.end - 1);
    }
    return {};
  }

  void license() {
    const std::string text = program_.license.empty() ? options_.license : program_.license;
    sections_.push_back({.name = "license",
                         .type = SHT_PROGBITS,
                         .flags = SHF_ALLOC | SHF_WRITE,
                         .bytes = Bytes(text.c_str(), text.c_str() + text.size() + 1),
                         .align = 1});
  }

  // The sections of maps stand in the order of the maps, ".maps" where the first that it describes stands: that is the
  // order in which they are read.
  Status maps() {
    places_.resize(program_.maps.size());
    for (std::size_t i = 0; i < program_.maps.size(); ++i) {
      places_[i].is_variables = is_variables(program_.maps[i]);
      if (is_described(i)) in_maps_.push_back(static_cast<std::uint32_t>(i));
    }
    for (std::size_t i = 0; i < program_.maps.size(); ++i) {
      if (places_[i].is_variables) WEIR_CHECK(variables(i));
      else if (!in_maps_.empty() && i == in_maps_.front()) WEIR_CHECK(described_maps());
    }
    return {};
  }

  Status variables(std::size_t i) {
    const MapDefinition& map = program_.maps[i];
    const bool is_constant = map.name.substr(0, 7) == ".rodata";
    const bool is_empty = map.name.substr(0, 4) == ".bss";
    const auto refuse = [&](std::string_view why) {
      return fail(
          Error{.code = ErrorCode::kUnsupported,
                .message = fmt::format("map '{}' cannot be written as a section of variables: {}", map.name, why)});
    };
    if (map.flags != (is_constant ? kReadOnlyProgram : 0)) return refuse("of its flags");
    if (map.contents.size() > map.value_size) return refuse("its contents are longer than its value");
    if (is_empty && std::any_of(map.contents.begin(), map.contents.end(), [](std::uint8_t byte) { return byte != 0; }))
      return refuse("its contents are not all 0");
    OutSection section{.name = map.name,
                       .type = is_empty ? std::uint32_t{SHT_NOBITS} : std::uint32_t{SHT_PROGBITS},
                       .flags = is_constant ? std::uint64_t{SHF_ALLOC} : std::uint64_t{SHF_ALLOC | SHF_WRITE},
                       .size = map.value_size};
    if (!is_empty) {
      section.bytes = map.contents;
      section.bytes.resize(map.value_size, 0);
    }
    sections_.push_back(std::move(section));
    const auto number = static_cast<std::uint16_t>(sections_.size());
    places_[i].symbol = symbols_.add({}, STB_LOCAL, STT_SECTION, number, 0, 0);
    return {};
  }

  // A map that only shows what the inner maps of another are like is part of that one's description.
  bool is_template(const MapDefinition& map) const {
    return std::any_of(program_.maps.begin(), program_.maps.end(), [&](const MapDefinition& outer) {
      return outer.inner == map.name && map.name == outer.name + ".inner";
    });
  }

  bool is_described(std::size_t i) const {
    if (is_variables(program_.maps[i])) return false;
    return !is_template(program_.maps[i]) ||
           std::any_of(program_.map_references.begin(), program_.map_references.end(),
                       [&](const ebpf::MapReference& reference) { return reference.map == i; });
  }

  Status described_maps() {
    for (const std::uint32_t i : in_maps_) {
      const MapDefinition& map = program_.maps[i];
      if (!map.contents.empty())
        return fail(Error{.code = ErrorCode::kUnsupported,
                          .message = fmt::format("an object cannot say what map '{}' contains", map.name),
                          .hint = fmt::format("variables can: an array of one entry, called '.data.{}'", map.name)});
      types_.maps.push_back(&map);
    }
    sections_.push_back({.name = ".maps",
                         .type = SHT_PROGBITS,
                         .flags = SHF_ALLOC | SHF_WRITE,
                         .bytes = Bytes(in_maps_.size() * kMapSize, 0)});
    maps_section_ = static_cast<std::uint16_t>(sections_.size());
    return {};
  }

  const std::string& section_of_part(const Part& part) const { return &part == &parts_.front() ? section_ : text_; }

  void types() {
    bool all_have_lines = true;
    for (const Part& part : parts_) {
      types_.functions.push_back({part.name, section_of_part(part), part.at, &part != &parts_.front()});
      const ebpf::SourceLine* first = program_.line_of(part.first);
      all_have_lines = all_have_lines && first != nullptr && first->instruction == part.first;
      for (const ebpf::SourceLine& line : program_.lines)
        if (line.instruction >= part.first && line.instruction < part.end)
          types_.lines.push_back({section_of_part(part), part.at + line.instruction - part.first, &line});
    }
    if (!all_have_lines) types_.lines.clear();
    if (parts_.size() == 1 && types_.maps.empty() && types_.lines.empty()) return;
    types_.all = &program_.maps;
    Types made = make_types(types_);
    sections_.push_back({.name = ".BTF", .type = SHT_PROGBITS, .bytes = std::move(made.types)});
    sections_.push_back({.name = ".BTF.ext", .type = SHT_PROGBITS, .bytes = std::move(made.ext)});
  }

  void symbols() {
    if (parts_.size() > 1) text_symbol_ = symbols_.add({}, STB_LOCAL, STT_SECTION, kText, 0, 0);
    for (std::size_t i = 1; i < parts_.size(); ++i)
      symbols_.add(parts_[i].name, STB_LOCAL, STT_FUNC, kText, std::uint64_t{parts_[i].at} * 8,
                   std::uint64_t{parts_[i].end - parts_[i].first} * 8);
    symbols_.add(parts_[0].name, STB_GLOBAL, STT_FUNC, kCode, 0, std::uint64_t{parts_[0].end} * 8);
    for (std::uint32_t i = 0; i < in_maps_.size(); ++i)
      places_[in_maps_[i]].symbol = symbols_.add(program_.maps[in_maps_[i]].name, STB_GLOBAL, STT_OBJECT, maps_section_,
                                                 std::uint64_t{i} * kMapSize, kMapSize);
  }

  struct Code {
    ebpf::Program program{};
    Bytes relocations{};
  };

  Status code() {
    for (const Part& part : parts_) {
      Code& code = code_[&part == &parts_.front() ? 0 : 1];
      const std::size_t start = code.program.instructions.size();
      code.program.instructions.insert(code.program.instructions.end(), program_.instructions.begin() + part.first,
                                       program_.instructions.begin() + part.end);
      WEIR_CHECK(each_instruction(part.first, part.end, [&](std::size_t i, const ebpf::OpcodeInfo* row) -> Status {
        return row == nullptr ? Status{} : relocate(i, *row, code, start + i - part.first);
      }));
    }
    return {};
  }

  // i: of the whole program; at: of the section.
  Status relocate(std::size_t i, const ebpf::OpcodeInfo& row, Code& code, std::size_t at) {
    Instruction& slot = code.program.instructions[at];
    const auto refer = [&](std::uint32_t symbol, std::uint32_t type) {
      put<std::uint64_t>(code.relocations, at * 8);
      put<std::uint64_t>(code.relocations, std::uint64_t{symbol} << 32 | type);
    };
    switch (row.shape) {
      case OperandShape::kCallLocal:
      case OperandShape::kWideFunction: {
        const Part* to = part_at(target_of(i, program_.instructions[i]));
        if (to == nullptr) return cannot("the function does not start inside of the program", i);
        if (to == &parts_.front()) return cannot("an object cannot say that a function calls the program itself", i);
        const bool is_call = row.shape == OperandShape::kCallLocal;
        slot.immediate = is_call ? static_cast<std::int32_t>(to->at) - 1 : static_cast<std::int32_t>(to->at * 8);
        if (!is_call) slot.src = 0;
        refer(text_symbol_, is_call ? kCallRelocation : kMapRelocation);
        return {};
      }
      case OperandShape::kWideMap: return refer_to_map(i, code, at, refer);
      case OperandShape::kWideVariable:
      case OperandShape::kCallKernel:
        return cannot("an object names variables and functions of the kernel, and only their numbers are known", i);
      default: return {};
    }
  }

  template <typename Refer>
  Status refer_to_map(std::size_t i, Code& code, std::size_t at, const Refer& refer) {
    const ebpf::MapReference* reference = program_.map_reference(i);
    if (reference == nullptr || reference->map >= places_.size())
      return cannot("a map of which only the descriptor is known cannot be part of an object", i,
                    "name it: '.map NAME, TYPE, ...' and map[NAME]");
    const MapDefinition& map = program_.maps[reference->map];
    const MapPlace place = places_[reference->map];
    Instruction& low = code.program.instructions[at];
    Instruction& high = code.program.instructions[at + 1];
    const bool is_value = low.src == ebpf::kPseudoMapValue;
    if (is_value != place.is_variables)
      return is_value
                 ? cannot(fmt::format("an object cannot say the address of a value of map '{}'", map.name), i,
                          fmt::format("variables have addresses: an array of one entry, called '.data.{}'", map.name))
                 : cannot(fmt::format("an object cannot refer to the variables of '{}' as a map", map.name), i);
    low.immediate = is_value ? high.immediate : 0;
    high.immediate = 0;
    low.src = 0;
    refer(place.symbol, kMapRelocation);
    return {};
  }

  Bytes finish() {
    for (std::size_t i = 0; i < code_.size(); ++i)
      sections_[i] = {.name = i == 0 ? section_ : text_,
                      .type = SHT_PROGBITS,
                      .flags = SHF_ALLOC | SHF_EXECINSTR,
                      .bytes = ebpf::to_bytes(code_[i].program)};
    const auto strings = static_cast<std::uint32_t>(sections_.size() + 1);
    sections_.push_back({.name = ".strtab", .type = SHT_STRTAB, .bytes = symbols_.names(), .align = 1});
    sections_.push_back({.name = ".symtab",
                         .type = SHT_SYMTAB,
                         .bytes = symbols_.bytes(),
                         .link = strings,
                         .info = symbols_.first_global(),
                         .each = 24});
    for (std::size_t i = 0; i < code_.size(); ++i)
      if (!code_[i].relocations.empty())
        sections_.push_back({.name = ".rel" + sections_[i].name,
                             .type = SHT_REL,
                             .bytes = code_[i].relocations,
                             .link = strings + 1,
                             .info = static_cast<std::uint32_t>(i + 1),
                             .each = 16});
    return lay_out(std::move(sections_));
  }

  const ebpf::Program& program_;
  const WriteOptions& options_;
  std::string section_;
  const std::string text_ = ".text";
  std::vector<Part> parts_;
  std::vector<Code> code_;
  std::vector<OutSection> sections_;
  SymbolTable symbols_;
  std::vector<MapPlace> places_;  // of each map
  std::vector<std::uint32_t> in_maps_;
  TypesInput types_;
  std::uint16_t maps_section_ = 0;
  std::uint32_t text_symbol_ = 0;
};

}  // namespace

Result<std::vector<std::uint8_t>> write(const ebpf::Program& program, const WriteOptions& options) {
  return Writer(program, options).run();
}

}  // namespace weir::object
