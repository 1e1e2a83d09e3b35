// Files with extended programs into the running kernel. Exports load_programs, load_input, find_or_load,
// set_slot.
//
// What needs the kernel's types (CO-RE; programs that attach to functions of the kernel) goes through libbpf, and so do
// objects that describe their maps by BTF, where libbpf is installed. All else weir loads itself: assembler text,
// numbers, objects without BTF, of the other byte order, or with maps in the old form, which libbpf refuses.
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/base/suggest.h>
#include <weir/ebpf/names.h>
#include <weir/kernel/core_object.h>
#include <weir/object/object.h>

#include "extended_input.h"
#include "kernel_find.h"
#include "prog_verbs.h"

namespace weir::tool {
namespace {

constexpr std::uint32_t kReadOnlyProgram = 1u << 7;  // BPF_F_RDONLY_PROG

Error usage(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

using Replacements = std::vector<std::pair<std::string, kernel::Map>>;
Result<Replacements> replacements(const std::vector<std::string>& texts) {
  Replacements out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) return fail(usage("write --map as NAME=MAP"));
    WEIR_TRY(kernel::Map map, find_map(text.substr(equals + 1)));
    out.emplace_back(text.substr(0, equals), std::move(map));
  }
  return out;
}

Result<ebpf::ProgramType> type_named(const std::string& text) {
  if (text.empty()) return ebpf::ProgramType::kUnspec;
  if (const auto type = ebpf::find_program_type(text)) return *type;
  return fail(
      usage(fmt::format("there is no type of program '{}'", text), did_you_mean(text, ebpf::program_type_names())));
}

// With its types where it has some and the kernel takes them: some kinds of maps take none.
Result<kernel::Map> make_map(const ebpf::MapDefinition& definition, kernel::MapOptions with,
                             const object::MapFacts& facts, const kernel::TypeTable* types) {
  with.extra = facts.extra;
  if (types != nullptr && facts.value_type != 0) {
    kernel::MapOptions typed = with;
    typed.types = types;
    typed.key_type = facts.key_type;
    typed.value_type = facts.value_type;
    if (Result<kernel::Map> map = kernel::Map::create(definition, typed)) return map;
  }
  return kernel::Map::create(definition, with);
}

// The maps of an object, made or taken from `given`, in the order of the definitions.
Result<std::vector<LoadedPrograms::Map>> make_maps(const ExtendedInput& input, Replacements& given) {
  const std::vector<ebpf::MapDefinition>& definitions = input.programs.front().maps;
  std::optional<kernel::TypeTable> types;  // kernels that take none can do without
  if (!input.types.empty())
    if (Result<kernel::TypeTable> table = kernel::TypeTable::load(input.types)) types.emplace(std::move(*table));
  for (const auto& [name, map] : given)
    if (std::none_of(definitions.begin(), definitions.end(),
                     [&, &wanted = name](const ebpf::MapDefinition& definition) { return definition.name == wanted; }))
      return fail(usage(fmt::format("the program has no map '{}'", name)));
  std::vector<std::optional<kernel::Map>> made(definitions.size());
  const auto index_of = [&](const std::string& name) {
    return static_cast<std::size_t>(
        std::find_if(definitions.begin(), definitions.end(),
                     [&](const ebpf::MapDefinition& definition) { return definition.name == name; }) -
        definitions.begin());
  };
  // Maps that show what others hold come first.
  for (const bool outer : {false, true})
    for (std::size_t i = 0; i < definitions.size(); ++i) {
      const ebpf::MapDefinition& definition = definitions[i];
      if (definition.inner.empty() == outer) continue;
      const auto replacement =
          std::find_if(given.begin(), given.end(), [&](const auto& one) { return one.first == definition.name; });
      if (replacement != given.end()) {
        made[i] = std::move(replacement->second);
        continue;
      }
      const std::size_t inner = outer ? index_of(definition.inner) : definitions.size();
      const bool known = inner < definitions.size() && made[inner];
      kernel::MapOptions with{.inner = known ? &*made[inner] : nullptr};
      const object::MapFacts facts = i < input.facts.size() ? input.facts[i] : object::MapFacts();
      Result<kernel::Map> map = make_map(definition, with, facts, types ? &*types : nullptr);
      if (!map) {
        Error error = std::move(map).error();
        error.message = fmt::format("map '{}': {}", definition.name, error.message);
        return fail(std::move(error));
      }
      // So that the verifier may take what is in it for constants.
      if ((definition.flags & kReadOnlyProgram) != 0) WEIR_CHECK(map->freeze());
      made[i] = std::move(*map);
    }
  std::vector<LoadedPrograms::Map> out;
  for (std::size_t i = 0; i < definitions.size(); ++i) out.push_back({definitions[i].name, std::move(*made[i])});
  return out;
}

// Slots of maps of maps and of programs that the object fills itself; programs that are not loaded leave theirs empty.
Status set_presets(const ExtendedInput& input, LoadedPrograms& loaded) {
  for (const object::Preset& preset : input.presets) {
    if (preset.map >= loaded.maps.size() || preset.inner >= loaded.maps.size()) continue;
    int descriptor = loaded.maps[preset.inner].map.descriptor();
    if (!preset.program.empty()) {
      const auto program =
          std::find_if(loaded.programs.begin(), loaded.programs.end(),
                       [&](const LoadedPrograms::Program& each) { return each.name == preset.program; });
      if (program == loaded.programs.end()) continue;
      descriptor = program->program.descriptor();
    }
    LoadedPrograms::Map& map = loaded.maps[preset.map];
    Status set = set_slot(map.map, preset.slot, descriptor);
    if (set) continue;
    Error error = std::move(set).error();
    error.message = fmt::format("slot {} of map '{}': {}", preset.slot, map.name, error.message);
    return fail(std::move(error));
  }
  return {};
}

// Kinds that name a function of the kernel, by its types.
bool needs_kernel_types(ebpf::ProgramType type) {
  return type == ebpf::ProgramType::kTracing || type == ebpf::ProgramType::kLsm || type == ebpf::ProgramType::kExt ||
         type == ebpf::ProgramType::kStructOps;
}

Result<LoadedPrograms> load_ourselves(const ExtendedInput& input, const FileLoadOptions& options) {
  WEIR_TRY(const ebpf::ProgramType type, type_named(options.type));
  WEIR_TRY(Replacements given, replacements(options.maps));
  std::vector<const ebpf::Program*> wanted;
  if (options.all)
    for (const ebpf::Program& program : input.programs) wanted.push_back(&program);
  else {
    WEIR_TRY(const ebpf::Program* const one, pick_program(input, options.only));
    wanted.push_back(one);
  }
  LoadedPrograms out;
  out.loader = "weir";
  WEIR_TRY(out.maps, make_maps(input, given));
  std::vector<const kernel::Map*> maps;
  for (const LoadedPrograms::Map& map : out.maps) maps.push_back(&map.map);
  for (const ebpf::Program* const one : wanted) {
    ebpf::Program program = *one;
    if (type != ebpf::ProgramType::kUnspec) program.type = type;
    if (program.type == ebpf::ProgramType::kUnspec)
      return fail(usage(fmt::format("nothing says of which type the program{} is",
                                    program.name.empty() ? "" : " '" + program.name + "'"),
                        "give it with --type, or as '.program xdp NAME' in assembler text"));
    if (needs_kernel_types(program.type))
      return fail(Error{.code = ErrorCode::kUnsupported,
                        .message = fmt::format("programs of type {} attach to functions of the kernel, by its types",
                                               ebpf::name_of(program.type)),
                        .hint = "libbpf loads an object with them: --loader libbpf"});
    if (program.license.empty()) program.license = "GPL";
    Result<kernel::Program> loaded =
        kernel::Program::load(program, {.maps = maps, .log_level = options.log_level, .log = options.log});
    if (!loaded) {
      Error error = loaded.error();
      if (!program.name.empty()) error.message = fmt::format("program '{}': {}", program.name, error.message);
      return fail(std::move(error));
    }
    const auto at = static_cast<std::size_t>(one - input.programs.data());
    out.programs.push_back({program.name, at < input.sections.size() ? input.sections[at] : "", std::move(*loaded)});
  }
  WEIR_CHECK(set_presets(input, out));
  return out;
}

// "filter" of "/tmp/filter.o".
std::string stem(const std::string& file) {
  std::string name = file.substr(file.rfind('/') + 1);
  name = name.substr(0, name.find('.'));
  return name.empty() || name == "-" ? "object" : name;
}

// `wanted`: the program that is asked for; null: all of them.
Result<LoadedPrograms> load_by_libbpf(const std::string& file, const ExtendedInput& input, const ebpf::Program* wanted,
                                      const std::string& bytes, const FileLoadOptions& options) {
  WEIR_TRY(const ebpf::ProgramType type, type_named(options.type));
  WEIR_TRY(const Replacements given, replacements(options.maps));
  kernel::CoreOptions core{.name = stem(file),
                           .type = type,
                           .log_level = options.log != nullptr ? options.log_level : 0,
                           .log = options.log};
  // libbpf fills arrays of programs only where it loads all that are in them.
  core.only = wanted != nullptr ? wanted->name : options.only;
  core.others = wanted == nullptr || fills_programs(input);
  for (const auto& [name, map] : given) core.maps.emplace_back(name, &map);
  WEIR_TRY(kernel::CoreObject object,
           kernel::load_core_object({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, core));
  LoadedPrograms out;
  out.loader = "libbpf";
  for (auto& program : object.programs) {
    if (wanted != nullptr && program.name != wanted->name) continue;
    out.programs.push_back({program.name, program.section, std::move(program.program)});
  }
  for (auto& map : object.maps) out.maps.push_back({map.name, std::move(map.map)});
  if (out.programs.empty()) return fail("there is no program in the object");
  return out;
}

// What libbpf is better at, where it is installed.
bool is_for_libbpf(const ExtendedInput& input) {
  const bool kernels = std::any_of(input.programs.begin(), input.programs.end(),
                                   [](const ebpf::Program& program) { return needs_kernel_types(program.type); });
  return input.native && (kernels || input.typed_maps);
}

}  // namespace

Status set_slot(kernel::Map& map, std::uint32_t slot, int descriptor) {
  return map.set({reinterpret_cast<const std::uint8_t*>(&slot), sizeof slot},
                 {reinterpret_cast<const std::uint8_t*>(&descriptor), sizeof descriptor});
}

Result<LoadedPrograms> load_programs(const std::string& file, const FileLoadOptions& options, std::string& text) {
  WEIR_TRY(const ExtendedInput input, read_extended(file, text));
  return load_input(file, input, text, options);
}

Result<LoadedPrograms> load_input(const std::string& file, const ExtendedInput& input, const std::string& text,
                                  const FileLoadOptions& options) {
  if (options.loader == "libbpf" && !input.elf) return fail(usage("libbpf loads ELF objects alone"));
  Result<LoadedPrograms> loaded = [&]() -> Result<LoadedPrograms> {
    std::vector<const ebpf::Program*> wanted;  // programs that are to be loaded
    if (options.all) {
      for (const ebpf::Program& program : input.programs) wanted.push_back(&program);
    } else {
      WEIR_TRY(const ebpf::Program* const program, pick_program(input, options.only));
      wanted.push_back(program);
    }
    const bool needs_libbpf = std::any_of(wanted.begin(), wanted.end(),
                                          [&](const ebpf::Program* each) { return needs_of(input, *each).any(); });
    if (options.loader == "libbpf" || (needs_libbpf && input.native && options.loader == "auto"))
      return load_by_libbpf(file, input, options.all ? nullptr : wanted.front(), text, options);
    for (const ebpf::Program* program : wanted)
      WEIR_CHECK(usable_here(input, *program, "libbpf loads it: --loader libbpf"));
    if (options.loader == "auto" && is_for_libbpf(input)) {
      Result<LoadedPrograms> through =
          load_by_libbpf(file, input, options.all ? nullptr : wanted.front(), text, options);
      if (through || through.error().code != ErrorCode::kUnsupported) return through;
    }
    return load_ourselves(input, options);
  }();
  if (!loaded && loaded.error().source.empty()) {
    Error error = std::move(loaded).error();
    error.source = file == "-" ? "standard input" : file;
    return fail(std::move(error));
  }
  return loaded;
}

Result<LoadedPrograms> find_or_load(const std::string& program, const FileLoadOptions& options, std::string& text) {
  struct stat status {};
  const bool file = program == "-" || (stat(program.c_str(), &status) == 0 && !S_ISDIR(status.st_mode));
  if (file && (program == "-" || !kernel::read_pin(program))) return load_programs(program, options, text);
  WEIR_TRY(kernel::Program found, find_program(program));
  if (!options.only.empty() || !options.type.empty())
    return fail(
        usage(fmt::format("{} means nothing with a loaded program", options.only.empty() ? "--type" : "--program"),
              "it is for a file"));
  WEIR_TRY(const kernel::ProgramInfo info, found.info());
  LoadedPrograms out;
  out.programs.push_back({info.name, "", std::move(found)});
  return out;
}

}  // namespace weir::tool
