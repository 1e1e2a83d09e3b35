// weir verify: whether extended programs are safe on every path, and if not, why not.
//
// One verdict a program of the input. Exit status 0: all are accepted; 1: one is not; 3: the input cannot be read.
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/ebpf/text.h>
#include <weir/verify/verify.h>

#include "extended_input.h"
#include "json_text.h"
#include "premise.h"
#include "terminal.h"
#include "verdict_output.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string file;
  std::string program;
  std::string type = "auto";
  std::uint64_t memory_least = 0;
  std::uint64_t memory_most = 1u << 28;
  std::uint64_t budget = 1'000'000;
  std::size_t path_length = 12;
  bool allow_callx = false;
  bool unwritten_stack = false;
  bool log = false;
  bool json = false;
};

class Verifier {
 public:
  Verifier(const Options& options, const ExtendedInput& input) : options_(options), input_(input) {}

  // Prints the verdict; false when the output cannot be written.
  bool one(const ebpf::Program& program, const std::string& section) {
    verify::Options with;
    with.register_calls = options_.allow_callx;
    with.premise.type = premise_type(options_.type, program.type);
    with.premise.memory_least = options_.memory_least;
    with.premise.memory_most = options_.memory_most;
    with.unwritten_stack = options_.unwritten_stack;
    with.budget = options_.budget;
    with.path_length = options_.path_length;
    if (options_.log) with.log = [](std::string_view line) { say(std::string(line) + "\n"); };
    const object::Needs needs = needs_of(input_, program);
    if (needs.core) {
      Diagnostic warning = core_error("the verdict is about the offsets that the object was compiled with");
      warning.severity = Severity::kWarning;
      warning.source = fmt::format("{}, {}", options_.file, program.name);
      report(warning);
    }
    const verify::Report report = needs.external.empty() ? verify::examine(program, with) : refused_for(needs, program);
    if (!report.verified) status = kNo;
    const VerdictRow row{program, with.premise.type, section, report};
    if (!options_.json) return print(verdict_as_text(row)) == kYes;
    rows.push_back(verdict_as_json(row));
    return true;
  }

  int status = kYes;
  nlohmann::json rows = nlohmann::json::array();

 private:
  // What is not in the object cannot be judged.
  static verify::Report refused_for(const object::Needs& needs, const ebpf::Program& program) {
    const ebpf::Instruction& at = program.instructions[needs.external_at];
    const bool is_call = at.code == 0x85;
    verify::Refusal refusal{
        .rule = is_call ? verify::Rule::kCall : verify::Rule::kStructure,
        .instruction = needs.external_at,
        .text = is_call ? "call " + needs.external : ebpf::write_instruction(at, {}),
        .message = is_call
                       ? fmt::format("the function '{}' is not in the object: the kernel may have it", needs.external)
                       : fmt::format("'{}' is not defined in the object", needs.external),
        .required = is_call ? "helpers and functions of the program" : "the program and all that it uses",
        .suggestion = is_call ? "functions of the kernel exist there alone: let it judge, weir prog load FILE"
                              : "variables of a kernel need libbpf and that kernel: weir prog load FILE"};
    if (const ebpf::SourceLine* line = program.line_of(needs.external_at)) refusal.line = *line;
    verify::Report report;
    report.refusal = std::move(refusal);
    return report;
  }

  const Options& options_;
  const ExtendedInput& input_;
};

int run(const Options& options) {
  if (options.memory_least > options.memory_most)
    return report(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("the memory has at least {} and at most {} bytes", options.memory_least,
                                               options.memory_most)});
  std::string text;
  const Result<ExtendedInput> input = read_extended(options.file, text);
  if (!input) return report(input.error(), text);
  Verifier verifier(options, *input);
  if (!options.program.empty()) {
    const Result<const ebpf::Program*> program = pick_program(*input, options.program);
    if (!program) return report(program.error());
    if (!verifier.one(**program, "")) return kBadInput;
  } else {
    for (std::size_t i = 0; i < input->programs.size(); ++i)
      if (!verifier.one(input->programs[i], i < input->sections.size() ? input->sections[i] : "")) return kBadInput;
  }
  if (!options.json) return verifier.status;
  const nlohmann::json out = {
      {"version", 1}, {"accepted", verifier.status == kYes}, {"programs", std::move(verifier.rows)}};
  const int printed = print(json_line(out));
  return printed != kYes ? printed : verifier.status;
}

}  // namespace

std::vector<std::string> premise_names() {
  std::vector<std::string> names{"auto", "memory"};
  for (const std::string_view name : ebpf::program_type_names())
    if (name != "unspec") names.emplace_back(name);
  for (const char* name : {"socket", "tc"}) names.emplace_back(name);
  return names;
}

ebpf::ProgramType premise_type(const std::string& name, ebpf::ProgramType of_program) {
  if (name == "auto") return of_program;
  if (name == "socket") return ebpf::ProgramType::kSocketFilter;
  if (name == "tc") return ebpf::ProgramType::kSchedCls;
  if (name == "memory") return ebpf::ProgramType::kUnspec;
  return ebpf::find_program_type(name).value_or(ebpf::ProgramType::kUnspec);
}

void add_verify(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("verify", "tell whether extended programs are safe on every path");
  verb->add_option("file", options->file, "an ELF object, assembler text or numbers ('-': standard input)")->required();
  verb->add_option("-p,--program", options->program, "only the program of this name or section");
  verb->add_option("--type", options->type,
                   "what the program sees: auto (by its kind), memory, xdp, socket, tc, kprobe, ...")
      ->check(CLI::IsMember(premise_names()))
      ->type_name("TYPE")
      ->capture_default_str();
  verb->add_option("--mem-least", options->memory_least, "memory: it has at least this many bytes")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 28))
      ->capture_default_str();
  verb->add_option("--mem-most", options->memory_most, "memory: it has at most this many bytes")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 28))
      ->capture_default_str();
  verb->add_flag(
      "--unwritten-stack", options->unwritten_stack,
      "let programs read bytes of the stack that were never written, as kernels do for loaders with all rights");
  verb->add_option("--budget", options->budget, "instructions to walk on all paths together")->capture_default_str();
  verb->add_option("--path", options->path_length, "how many decisions of the path a refusal shows")
      ->capture_default_str();
  verb->add_flag("--allow-callx", options->allow_callx, "callx may call the helper whose number its register holds");
  verb->add_flag("--log", options->log, "print each step to standard error");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
