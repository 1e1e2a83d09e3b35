// The object reader. Exports read, is_elf.
//
// First the maps of all sections, then the functions, then each program: its function and, in order of first use, those
// it calls, one after the other, with calls and addresses filled in from the relocations. Source for their meaning:
// llvm, docs of the BPF back end; libbpf's bpf_object__collect_relos for what an object may say.
#include <elf.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include <weir/ebpf/text.h>

#include "object/linker.h"

namespace weir::object {
namespace {

struct Piece {  // a function in its section
  std::string_view name{};
  std::size_t section = 0;
  std::uint32_t first = 0;  // slot
  std::uint32_t count = 0;
  bool global = false;
};

bool is_variables(const Section& section) {
  return (section.flags & SHF_ALLOC) != 0 && (section.flags & SHF_EXECINSTR) == 0 && is_variables_name(section.name);
}

// Whether GNU as before 2.42 made the object: it leaves a symbol's value in the instruction that names the symbol. GCC,
// which calls it, tells its own version only.
bool leaves_values(const Section* comment) {
  constexpr int kFirstWithNewer = 14;
  if (comment == nullptr) return false;
  const std::string_view text(reinterpret_cast<const char*>(comment->bytes.data()), comment->bytes.size());
  if (text.find("clang") != std::string_view::npos || text.find("GCC:") == std::string_view::npos) return false;
  std::size_t at = text.find(')');  // GCC: (Debian 12.2.0-14) 12.2.0
  if (at == std::string_view::npos) return false;
  while (at < text.size() && (text[at] < '0' || text[at] > '9')) ++at;
  int major = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && major < 1000; ++at)
    major = major * 10 + text[at] - '0';
  return major > 0 && major < kFirstWithNewer;
}

struct SlotMap {  // where the slots of a map's `values` lie in their section
  std::uint64_t begin = 0, end = 0;
  std::uint32_t map = 0;
};

class ObjectReader {
 public:
  explicit ObjectReader(Elf elf) : elf_(std::move(elf)) {
    object_.order = elf_.order;
    leaves_values_ = leaves_values(elf_.find(".comment"));
  }

  Result<Object> run() {
    WEIR_CHECK(types());
    WEIR_CHECK(maps());
    WEIR_CHECK(functions());
    if (const Section* license = elf_.find("license"); license != nullptr && !license->bytes.empty())
      object_.license =
          std::string(reinterpret_cast<const char*>(license->bytes.data()),
                      strnlen(reinterpret_cast<const char*>(license->bytes.data()), license->bytes.size()));
    const bool only_text =
        std::none_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) { return is_program(piece, false); });
    std::stable_sort(pieces_.begin(), pieces_.end(), [](const Piece& a, const Piece& b) {
      return std::pair(a.section, a.first) < std::pair(b.section, b.first);
    });
    for (const Piece& piece : pieces_) {
      if (!is_program(piece, only_text)) continue;
      needs_ = {};
      WEIR_TRY(ebpf::Program program, link(piece));
      object_.needs.push_back(std::move(needs_));
      object_.programs.push_back(std::move(program));
      object_.sections.emplace_back(elf_.sections[piece.section].name);
    }
    for (ebpf::Program& program : object_.programs) program.maps = object_.maps;
    if (object_.programs.empty()) return bad_at(0, "the object holds no program");
    return std::move(object_);
  }

 private:
  bool is_program(const Piece& piece, bool only_text) const {
    return piece.global && (only_text || elf_.sections[piece.section].name != ".text");
  }

  Status types() {
    const Section* section = elf_.find(".BTF");
    if (section == nullptr) return {};
    WEIR_TRY(object_.btf, Btf::parse(section->bytes, elf_.order, section->offset));
    object_.kernel_types = kernel_types(*section, elf_, *object_.btf);
    if (const Section* more = elf_.find(".BTF.ext")) {
      WEIR_TRY(extra_, read_extra_types(*more, elf_.order, *object_.btf));
    }
    return {};
  }

  Status maps() {
    for (std::size_t i = 0; i < elf_.sections.size(); ++i) {
      const Section& section = elf_.sections[i];
      if (section.name == "maps") WEIR_CHECK(legacy_maps(i));
      if (section.name == ".maps") WEIR_CHECK(btf_maps(i));
      if (is_variables(section) && section.size > 0) variables(i);
    }
    return {};
  }

  // struct bpf_map_def: type, key, value, entries, flags, 4 bytes each
  Status legacy_maps(std::size_t index) {
    const Section& section = elf_.sections[index];
    for (const Symbol& symbol : elf_.symbols) {
      if (symbol.section != index || symbol.type == STT_SECTION || symbol.name.empty()) continue;
      if (symbol.value + 16 > section.bytes.size())
        return bad_at(section.offset + symbol.value, fmt::format("map '{}' is cut off", symbol.name));
      const auto field = [&](std::uint64_t at) {
        return at + 4 <= section.bytes.size() ? load<std::uint32_t>(section.bytes.data() + at, elf_.order) : 0;
      };
      const bool flags = symbol.size == 0 || symbol.size >= 20;
      add_map({index, symbol.value}, {.name = std::string(symbol.name),
                                      .type = static_cast<ebpf::MapType>(field(symbol.value)),
                                      .key_size = field(symbol.value + 4),
                                      .value_size = field(symbol.value + 8),
                                      .max_entries = field(symbol.value + 12),
                                      .flags = flags ? field(symbol.value + 16) : 0});
    }
    return {};
  }

  Status btf_maps(std::size_t index) {
    const Section& section = elf_.sections[index];
    const std::optional<std::uint32_t> id =
        object_.btf ? object_.btf->find(BtfKind::kDataSection, ".maps") : std::nullopt;
    if (!id) return bad_at(section.offset, "the maps have no BTF", "compile with -g");
    std::vector<BtfMap> inner;
    std::vector<SlotMap> slots;
    for (const BtfMember& member : object_.btf->type(*id)->members) {
      const BtfType* variable = object_.btf->type(member.type);
      if (variable == nullptr || variable->kind != BtfKind::kVariable)
        return bad_at(section.offset, "the BTF of the maps names no variables");
      Result<BtfMap> map = read_btf_map(*object_.btf, *variable, inner);
      if (!map) return bad_at(section.offset, map.error().message);
      // BTF's offsets are filled in by loaders: the symbol tells the place.
      const auto symbol = std::find_if(elf_.symbols.begin(), elf_.symbols.end(), [&](const Symbol& each) {
        return each.section == index && each.name == variable->name;
      });
      if (symbol == elf_.symbols.end())
        return bad_at(section.offset, fmt::format("map '{}' has no symbol", variable->name));
      if (map->slots_at)
        slots.push_back({symbol->value + *map->slots_at, symbol->value + std::max(symbol->size, *map->slots_at),
                         static_cast<std::uint32_t>(object_.maps.size())});
      add_map({index, symbol->value}, std::move(map->definition), map->facts);
    }
    for (BtfMap& each : inner) {
      object_.maps.push_back(std::move(each.definition));
      object_.facts.push_back(each.facts);
    }
    return presets(index, slots);
  }

  // Relocations of the section of maps: what stands in the slots of `values`.
  Status presets(std::size_t index, const std::vector<SlotMap>& slots) {
    const Section& section = elf_.sections[index];
    WEIR_TRY(const std::vector<Relocation> relocations, elf_.relocations(index));
    for (const Relocation& relocation : relocations) {
      const auto of = std::find_if(slots.begin(), slots.end(), [&](const SlotMap& each) {
        return relocation.offset >= each.begin && relocation.offset < each.end;
      });
      if (of == slots.end() || (relocation.offset - of->begin) % 8 != 0 || relocation.offset + 8 > section.bytes.size())
        return bad_at(relocation.place, "a relocation of the maps is in no slot of a map's values");
      const Symbol& symbol = elf_.symbols[relocation.symbol];
      Preset preset{.map = of->map, .slot = static_cast<std::uint32_t>((relocation.offset - of->begin) / 8)};
      const std::uint64_t addend = load<std::uint64_t>(section.bytes.data() + relocation.offset, elf_.order);
      const auto inner = map_at_.find({symbol.section, symbol.value + addend});
      if (inner != map_at_.end()) preset.inner = inner->second;
      else if (symbol.section < elf_.sections.size() && (elf_.sections[symbol.section].flags & SHF_EXECINSTR) != 0)
        preset.program = std::string(symbol.name);
      else
        return bad_at(relocation.place, fmt::format("'{}', in a slot of map '{}', is neither a map nor a program",
                                                    symbol.name, object_.maps[of->map].name));
      const bool of_programs = object_.maps[of->map].type == ebpf::MapType::kProgArray;
      if (of_programs == preset.program.empty())
        return bad_at(relocation.place,
                      fmt::format("'{}' does not belong into map '{}'", symbol.name, object_.maps[of->map].name));
      object_.presets.push_back(std::move(preset));
    }
    return {};
  }

  void variables(std::size_t index) {
    const Section& section = elf_.sections[index];
    const auto size = static_cast<std::uint32_t>(section.size);
    ebpf::MapDefinition map{.name = std::string(section.name),
                            .type = ebpf::MapType::kArray,
                            .key_size = 4,
                            .value_size = size,
                            .max_entries = 1};
    if (section.name.substr(0, 7) == ".rodata") map.flags = kReadOnlyProgram;
    map.contents.assign(section.bytes.begin(), section.bytes.end());
    MapFacts facts;
    if (object_.btf) facts.value_type = object_.btf->find(BtfKind::kDataSection, section.name).value_or(0);
    add_map({index, 0}, std::move(map), facts);
  }

  void add_map(std::pair<std::size_t, std::uint64_t> place, ebpf::MapDefinition map, const MapFacts& facts = {}) {
    object_.facts.push_back(facts);
    map_at_.emplace(place, static_cast<std::uint32_t>(object_.maps.size()));
    object_.maps.push_back(std::move(map));
  }

  Status functions() {
    for (std::size_t i = 0; i < elf_.sections.size(); ++i) {
      const Section& section = elf_.sections[i];
      if ((section.flags & SHF_EXECINSTR) == 0 || section.type != SHT_PROGBITS || section.size == 0) continue;
      if (section.size % 8 != 0)
        return bad_at(section.offset, fmt::format("section '{}' does not hold whole slots", section.name));
      std::map<std::uint64_t, Piece> found;
      for (const Symbol& symbol : elf_.symbols) {
        const bool code = symbol.type == STT_FUNC || (symbol.type == STT_NOTYPE && symbol.binding == STB_GLOBAL);
        if (symbol.section != i || !code || symbol.value >= section.size) continue;
        if (symbol.value % 8 != 0 || symbol.size % 8 != 0)
          return bad_at(section.offset + symbol.value,
                        fmt::format("function '{}' does not hold whole slots", symbol.name));
        found[symbol.value] = {symbol.name, i, static_cast<std::uint32_t>(symbol.value / 8),
                               static_cast<std::uint32_t>(symbol.size / 8),
                               symbol.binding == STB_GLOBAL || symbol.binding == STB_WEAK};
      }
      if (found.empty()) found[0] = {section.name, i, 0, 0, true};
      for (auto at = found.begin(); at != found.end(); ++at) {
        const auto next = std::next(at);
        const auto end = static_cast<std::uint32_t>((next == found.end() ? section.size : next->first) / 8);
        if (at->second.count == 0 || at->second.first + at->second.count > end)
          at->second.count = end - at->second.first;
        pieces_.push_back(at->second);
      }
      WEIR_TRY(relocations_[i], elf_.relocations(i));
    }
    return {};
  }

  const Piece* piece_at(std::size_t section, std::uint64_t slot) const {
    for (const Piece& piece : pieces_)
      if (piece.section == section && piece.first == slot) return &piece;
    return nullptr;
  }

  // What `main` needs, laid out one after the other.
  Result<ebpf::Program> link(const Piece& main) {
    order_ = {&main};
    starts_ = {{&main, 0}};
    ebpf::Program program;
    program.name = std::string(main.name);
    program.license = object_.license;
    const SectionMeaning meaning = meaning_of(elf_.sections[main.section].name);
    program.type = meaning.type;
    program.has_attach_type = meaning.attach.has_value();
    if (meaning.attach) program.attach_type = *meaning.attach;
    std::vector<Call> calls;
    for (std::size_t i = 0; i < order_.size(); ++i) WEIR_CHECK(append(*order_[i], program, calls));
    for (const Call& call : calls)
      program.instructions[call.slot].immediate =
          static_cast<std::int32_t>(starts_[call.target]) - static_cast<std::int32_t>(call.slot) - 1;
    return program;
  }

  struct Call {  // also addresses of functions
    std::uint32_t slot;
    const Piece* target;
  };

  void need(const Piece* piece) {
    if (starts_.count(piece) != 0) return;
    starts_[piece] = 0;
    order_.push_back(piece);
  }

  // Clang before 19 writes the register of callx as the constant; later ones, and RFC 9669, as the destination.
  static void settle_register_calls(std::vector<ebpf::Instruction>& code) {
    constexpr std::uint8_t kCallRegister = 0x8d;
    for (std::size_t i = 0; i < code.size(); ++i) {
      ebpf::Instruction& slot = code[i];
      if (slot.code == ebpf::kWideCode) ++i;
      else if (slot == ebpf::make(kCallRegister, 0, 0, 0, slot.immediate) && slot.immediate > 0 &&
               slot.immediate < static_cast<std::int32_t>(ebpf::kRegisters))
        slot = ebpf::make(kCallRegister, static_cast<unsigned>(slot.immediate));
    }
  }

  Status append(const Piece& piece, ebpf::Program& program, std::vector<Call>& calls) {
    const Section& section = elf_.sections[piece.section];
    const auto start = static_cast<std::uint32_t>(program.size());
    if (program.size() + piece.count > ebpf::kUserMaximumLength)
      return fail(Error{.code = ErrorCode::kLimit,
                        .message = fmt::format("program '{}' is too long", program.name),
                        .place = OffsetPlace{section.offset + std::uint64_t{piece.first} * 8}});
    starts_[&piece] = start;
    program.functions.push_back({std::string(piece.name), start});
    WEIR_TRY(ebpf::Program code,
             ebpf::from_bytes(section.bytes.subspan(std::uint64_t{piece.first} * 8, std::uint64_t{piece.count} * 8),
                              elf_.order));
    settle_register_calls(code.instructions);
    program.instructions.insert(program.instructions.end(), code.instructions.begin(), code.instructions.end());
    if (const auto core = extra_.core.find(std::string(section.name)); core != extra_.core.end()) {
      const auto first = core->second.lower_bound(piece.first);
      needs_.core = needs_.core || (first != core->second.end() && *first < piece.first + piece.count);
    }
    std::set<std::uint32_t> relocated;
    for (const Relocation& relocation : relocations_[piece.section]) {
      const std::uint64_t slot = relocation.offset / 8;
      if (slot < piece.first || slot >= std::uint64_t{piece.first} + piece.count) continue;
      const auto at = start + static_cast<std::uint32_t>(slot - piece.first);
      relocated.insert(at);
      WEIR_CHECK(relocate(relocation, piece, at, program, calls));
    }
    for (std::uint32_t at = start; at < program.size(); ++at) {
      const ebpf::Instruction& slot = program.instructions[at];
      if (slot.code == ebpf::kWideCode) {
        ++at;
        continue;
      }
      if (slot.code != 0x85 || slot.src != ebpf::kPseudoCall || relocated.count(at) != 0) continue;
      const std::int64_t target = std::int64_t{at} - start + piece.first + slot.immediate + 1;
      const Piece* callee = target < 0 ? nullptr : piece_at(piece.section, static_cast<std::uint64_t>(target));
      if (callee == nullptr)
        return bad_at(section.offset + (std::uint64_t{at} - start + piece.first) * 8,
                      "the call does not lead to a function");
      need(callee);
      calls.push_back({at, callee});
    }
    if (const auto lines = extra_.lines.find(std::string(section.name)); lines != extra_.lines.end())
      for (const LineRecord& record : lines->second)
        if (record.slot >= piece.first && record.slot < piece.first + piece.count) {
          program.lines.push_back(record.line);
          program.lines.back().instruction = start + record.slot - piece.first;
        }
    std::stable_sort(
        program.lines.begin(), program.lines.end(),
        [](const ebpf::SourceLine& a, const ebpf::SourceLine& b) { return a.instruction < b.instruction; });
    return {};
  }

  // What is added to a symbol's value.
  std::int64_t addend_of(const Symbol& symbol, std::int32_t immediate) const {
    if (!leaves_values_ || symbol.type == STT_SECTION) return immediate;
    const std::int64_t addend = immediate - static_cast<std::int64_t>(symbol.value);
    const bool is_inside = addend >= -1 && addend < static_cast<std::int64_t>(std::max<std::uint64_t>(symbol.size, 1));
    return is_inside ? addend : immediate;
  }

  Status relocate(const Relocation& relocation, const Piece& piece, std::uint32_t at, ebpf::Program& program,
                  std::vector<Call>& calls) {
    const Symbol& symbol = elf_.symbols[relocation.symbol];
    ebpf::Instruction& slot = program.instructions[at];
    const bool wide = slot.code == ebpf::kWideCode;
    if (relocation.offset % 8 != 0 || (!wide && slot.code != 0x85) || (wide && at + 1 >= program.size()))
      return bad_at(relocation.place, fmt::format("a relocation is for slot {} of '{}', which takes none",
                                                  relocation.offset / 8, piece.name));
    if (symbol.section == SHN_UNDEF && !symbol.name.empty()) {
      if (needs_.external.empty()) {
        needs_.external = std::string(symbol.name);
        needs_.external_at = at;
      }
      return {};
    }
    if (symbol.section == SHN_UNDEF || symbol.section >= elf_.sections.size())
      return bad_at(relocation.place, fmt::format("'{}' is not defined in the object", symbol.name));
    const Section& home = elf_.sections[symbol.section];
    const std::int64_t addend = addend_of(symbol, slot.immediate);
    if ((home.flags & SHF_EXECINSTR) != 0) {
      std::int64_t target = static_cast<std::int64_t>(symbol.value / 8);
      if (!wide) target += addend + 1;
      else target += addend / 8;
      const Piece* callee = target < 0 ? nullptr : piece_at(symbol.section, static_cast<std::uint64_t>(target));
      if (callee == nullptr) return bad_at(relocation.place, "the call does not lead to a function");
      slot.src = wide ? ebpf::kPseudoFunction : ebpf::kPseudoCall;
      need(callee);
      calls.push_back({at, callee});
      return {};
    }
    if (!wide) return bad_at(relocation.place, fmt::format("'{}' is called and is no function", symbol.name));
    const bool variables = is_variables(home);
    const auto found = map_at_.find({symbol.section, variables ? 0 : symbol.value});
    if (found == map_at_.end())
      return bad_at(relocation.place, fmt::format("'{}' is neither a map nor a variable", symbol.name));
    if (variables) {
      slot.src = ebpf::kPseudoMapValue;
      program.instructions[at + 1].immediate =
          static_cast<std::int32_t>(static_cast<std::uint32_t>(addend) + static_cast<std::uint32_t>(symbol.value));
    } else {
      slot.src = ebpf::kPseudoMapDescriptor;
      program.instructions[at + 1].immediate = 0;
    }
    slot.immediate = 0;
    if (program.map_reference(at) != nullptr) return bad_at(relocation.place, "a slot is relocated twice");
    program.map_references.push_back({at, found->second});
    return {};
  }

  Elf elf_;
  Object object_;
  ExtraTypes extra_;
  bool leaves_values_ = false;
  std::map<std::pair<std::size_t, std::uint64_t>, std::uint32_t> map_at_;  // by section and offset
  std::vector<Piece> pieces_;
  std::map<std::size_t, std::vector<Relocation>> relocations_;
  std::vector<const Piece*> order_;
  std::map<const Piece*, std::uint32_t> starts_;
  Needs needs_;  // of the program that is being linked
};

}  // namespace

bool is_elf(ByteSpan bytes) {
  return bytes.size() >= 4 && std::memcmp(bytes.data(),
                                          "\x7f"
                                          "ELF",
                                          4) == 0;
}

Result<Object> read(ByteSpan bytes) {
  WEIR_TRY(Elf elf, Elf::parse(bytes));
  return ObjectReader(std::move(elf)).run();
}

}  // namespace weir::object
