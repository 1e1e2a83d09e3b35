// What asm and disasm do with extended programs. Exports add_extended_forms.
//
// The verbs belong to classic programs; -x (or an ELF object as input) makes them take an extended one. --form names
// the forms that those have; what is for classic programs alone is refused.
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "extended_input.h"
#include "json_text.h"
#include "program_json.h"
#include "map_entry.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  bool extended = false;
  std::string form;
  bool json = false;
};

using Json = nlohmann::json;

Json to_json(const ebpf::MapDefinition& map) {
  Json out = {{"name", map.name},
              {"type", ebpf::name_of(map.type)},
              {"key_size", map.key_size},
              {"value_size", map.value_size},
              {"max_entries", map.max_entries},
              {"flags", map.flags}};
  if (!map.inner.empty()) out["inner"] = map.inner;
  if (!map.contents.empty()) out["contents"] = hex_bytes(map.contents);
  return out;
}

Json to_json(const ebpf::Program& program, std::size_t slot) {
  const std::vector<ebpf::Instruction>& code = program.instructions;
  const ebpf::Instruction next = slot + 1 < code.size() ? code[slot + 1] : ebpf::Instruction{};
  const ebpf::Instruction& it = code[slot];
  Json out = {{"slot", slot},
              {"code", it.code},
              {"dst", unsigned{it.dst}},
              {"src", unsigned{it.src}},
              {"offset", it.offset},
              {"constant", it.immediate},
              {"text", ebpf::write_instruction(it, next)}};
  const bool wide = it.code == ebpf::kWideCode && slot + 1 < code.size();
  if (wide) out["upper"] = next.immediate;
  const ebpf::MapReference* map = program.map_reference(slot);
  if (map != nullptr && map->map < program.maps.size()) out["map"] = program.maps[map->map].name;
  if (const ebpf::SourceLine* line = program.line_of(slot)) out["source"] = line_as_json(*line);
  return out;
}

Json to_json(const ebpf::Program& program) {
  Json out = {{"name", program.name}, {"type", ebpf::name_of(program.type)}, {"license", program.license}};
  if (program.has_attach_type) out["attach_type"] = ebpf::name_of(program.attach_type);
  out["functions"] = Json::array();
  for (const ebpf::Function& function : program.functions)
    out["functions"].push_back({{"name", function.name}, {"slot", function.instruction}});
  out["maps"] = Json::array();
  for (const ebpf::MapDefinition& map : program.maps) out["maps"].push_back(to_json(map));
  out["instructions"] = Json::array();
  for (std::size_t slot = 0; slot < program.size(); ++slot) {
    out["instructions"].push_back(to_json(program, slot));
    if (program.instructions[slot].code == ebpf::kWideCode) ++slot;
  }
  return out;
}

int disassemble_to_json(const std::string& path) {
  std::string text;
  const Result<ExtendedInput> input = read_extended(path, text);
  if (!input) return report(input.error(), text);
  Json programs = Json::array();
  for (std::size_t i = 0; i < input->programs.size(); ++i) {
    Json one = to_json(input->programs[i]);
    if (i < input->sections.size() && !input->sections[i].empty()) one["section"] = input->sections[i];
    programs.push_back(std::move(one));
  }
  return print(json_line({{"version", 1}, {"programs", programs}}));
}

bool is_object(const std::string& path) {
  if (path == "-") return false;
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, 4) && std::string_view(magic, 4) ==
                                    "\x7f"
                                    "ELF";
}

void extend(CLI::App& verb, int& status, bool assembles) {
  const auto options = std::make_shared<Options>();
  verb.add_flag("-x,--extended", options->extended,
                assembles ? "the text is an extended program, in the kernel's or uBPF's syntax"
                          : "the program is extended (ELF objects always are)");
  verb.add_option("--form", options->form,
                  assembles ? "with -x: hex, c, elf, listing, asm, ubpf" : "with -x: asm, ubpf, listing, c, hex")
      ->check(CLI::IsMember(assembles ? std::vector<std::string>{"hex", "c", "elf", "listing", "asm", "ubpf"}
                                      : std::vector<std::string>{"asm", "ubpf", "listing", "c", "hex"}));
  if (!assembles)
    verb.add_flag("--json", options->json, "with -x: all of the programs as JSON")->excludes(verb.get_option("--form"));
  verb.parse_complete_callback([options, &verb, &status, assembles] {
    const auto value = [&verb](const char* name, const std::string& otherwise) {
      const CLI::Option* option = verb.get_option_no_throw(name);
      return option != nullptr && option->count() > 0 ? option->as<std::string>() : otherwise;
    };
    const std::string file = value("file", "-");
    const bool extended = options->extended || !options->form.empty() || (!assembles && is_object(file));
    if (!extended && options->json)
      verb.callback([&status] {
        status = report(Error{.code = ErrorCode::kUsage,
                              .message = "--json is for extended programs",
                              .hint = "a classic one takes --to json, an extended one -x"});
      });
    if (!extended) return;
    for (const char* option : {"--from", "--to", "--target", "--strict"})
      if (verb.get_option_no_throw(option) != nullptr && verb.count(option) > 0)
        return verb.callback([=, &status] {
          status = report(
              Error{.code = ErrorCode::kUsage,
                    .message = fmt::format("{} is for classic programs, and this one is extended", option),
                    .hint = option == std::string_view("--to") ? "--form names the forms of extended programs" : ""});
        }),
               void();
    if (options->json) return verb.callback([=, &status] { status = disassemble_to_json(file); }), void();
    const std::string output = value("--output", "-");
    const std::string form = !options->form.empty() ? options->form : assembles ? "hex" : "asm";
    verb.callback([=, &status] {
      status = assembles ? assemble_extended(file, form, output) : disassemble_extended(file, form, output);
    });
  });
}

}  // namespace

void add_extended_forms(CLI::App& app, int& status) {
  for (CLI::App* verb : app.get_subcommands({})) {
    if (verb->get_name() == "asm") extend(*verb, status, true);
    if (verb->get_name() == "disasm") extend(*verb, status, false);
  }
}

}  // namespace weir::tool
