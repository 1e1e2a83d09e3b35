// What asm and disasm do with extended programs. Exports add_extended_forms.
//
// The verbs belong to classic programs; -x (or an ELF object as input) makes them take an extended one. Their other
// options stay; --form names the forms that extended programs have.
#include <fstream>
#include <memory>

#include "extended_input.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  bool extended = false;
  std::string form;
};

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
  verb.parse_complete_callback([options, &verb, &status, assembles] {
    const auto value = [&verb](const char* name, const std::string& otherwise) {
      const CLI::Option* option = verb.get_option_no_throw(name);
      return option != nullptr && option->count() > 0 ? option->as<std::string>() : otherwise;
    };
    const std::string file = value("file", "-");
    if (!options->extended && options->form.empty() && (assembles || !is_object(file))) return;
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
