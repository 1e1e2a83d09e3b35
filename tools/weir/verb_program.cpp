// weir asm, weir disasm, weir check: classic programs from text, to text, and whether the kernel would take them.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>

#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string file = "-";
  std::string to;
  std::string output = "-";
  std::string target = "socket";
  bool json = false;
};

const std::vector<std::string> kFormats = {"text", "c", "decimal", "asm", "bytecode"};

int write_out(const std::string& text, const std::string& path) {
  if (path == "-") return print(text);
  Result<ReplacingFile> file = ReplacingFile::create(path);
  if (!file) return report(file.error());
  const ByteSpan bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  if (const Status status = write_all(file->descriptor(), bytes, path); !status) return report(status.error());
  if (const Status status = file->commit(); !status) return report(status.error());
  return kYes;
}

Error in_source(Error error, const std::string& file) {
  error.source = file == "-" ? "standard input" : file;
  return error;
}

// Reads a program with `reader` and hands it on, or reports what is wrong with the text.
template <typename Reader, typename Use>
int with_program(const Options& options, Reader reader, Use use) {
  const Result<std::string> text = read_whole_file(options.file, 64u << 20);
  if (!text) return report(text.error());
  const Result<cbpf::Program> program = reader(*text);
  if (!program) return report(in_source(program.error(), options.file), *text);
  return use(*program);
}

int check(const Options& options, const cbpf::Program& program) {
  const cbpf::Target target = options.target == "seccomp" ? cbpf::Target::kSeccomp
                              : options.target == "user"  ? cbpf::Target::kUser
                                                          : cbpf::Target::kSocket;
  const std::vector<Error> errors = cbpf::violations(program, {.target = target});
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Error& error : errors) {
      nlohmann::json one = {{"message", error.message}, {"hint", error.hint}};
      if (const auto* place = std::get_if<InstructionPlace>(&error.place)) one["instruction"] = place->index;
      list.push_back(std::move(one));
    }
    const nlohmann::json out = {{"version", 1},
                                {"target", options.target},
                                {"instructions", program.size()},
                                {"valid", errors.empty()},
                                {"violations", list}};
    const int printed = print(out.dump() + "\n");
    return printed != kYes ? printed : errors.empty() ? kYes : kBadInput;
  }
  for (const Error& error : errors) report(in_source(error, options.file));
  if (!errors.empty()) return kBadInput;
  return print(fmt::format("ok: {} instruction{}\n", program.size(), program.size() == 1 ? "" : "s"));
}

}  // namespace

void add_program_verbs(CLI::App& app, int& status) {
  {
    const auto options = std::make_shared<Options>(Options{.to = "bytecode"});
    CLI::App* verb = app.add_subcommand("asm", "assemble a classic program");
    verb->add_option("file", options->file, "assembler text ('-': standard input)")->capture_default_str();
    verb->add_option("--to", options->to, "the form: text, c, decimal, asm, bytecode")
        ->check(CLI::IsMember(kFormats))
        ->capture_default_str();
    verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
    verb->callback([options, &status] {
      status = with_program(*options, cbpf::assemble, [&](const cbpf::Program& program) {
        return write_out(cbpf::write(program, *format_named(options->to)), options->output);
      });
    });
  }
  {
    const auto options = std::make_shared<Options>(Options{.to = "asm"});
    CLI::App* verb = app.add_subcommand("disasm", "disassemble a classic program given in any form");
    verb->add_option("file", options->file,
                     "the program: numbers, C array, listing or assembler text ('-': standard input)")
        ->capture_default_str();
    verb->add_option("--to", options->to, "the form: text, c, decimal, asm, bytecode")
        ->check(CLI::IsMember(kFormats))
        ->capture_default_str();
    verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
    verb->callback([options, &status] {
      status = with_program(*options, cbpf::read, [&](const cbpf::Program& program) {
        return write_out(cbpf::write(program, *format_named(options->to)), options->output);
      });
    });
  }
  {
    const auto options = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("check", "tell whether the kernel would take a classic program");
    verb->add_option("file", options->file, "the program, in any form ('-': standard input)")->capture_default_str();
    verb->add_option("--target", options->target, "who would run it: socket, seccomp or user (weir itself)")
        ->check(CLI::IsMember({"socket", "seccomp", "user"}))
        ->capture_default_str();
    verb->add_flag("--json", options->json, "print the findings as JSON");
    verb->callback([options, &status] {
      status =
          with_program(*options, cbpf::read, [&](const cbpf::Program& program) { return check(*options, program); });
    });
  }
}

}  // namespace weir::tool
