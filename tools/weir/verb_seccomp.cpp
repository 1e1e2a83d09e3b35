// weir seccomp: policies compiled, run around a command, and filters explained and audited.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/kernel/seccomp.h>
#include <weir/kernel/seccomp_analysis.h>
#include <weir/kernel/syscalls.h>

#include "json_text.h"
#include "program_output.h"
#include "quantity.h"
#include "seccomp_json.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string file = "-";
  std::string to = "bytecode";
  std::string output = "-";
  std::string architecture;
  int process = 0;
  bool log = false;
  bool json = false;
  bool quiet = false;
  std::vector<std::string> command;
};

Error in_file(Error error, const std::string& file) {
  if (error.source.empty()) error.source = file == "-" ? "standard input" : file;
  return error;
}

Error no_such_architecture(const std::string& name) {
  return Error{.code = ErrorCode::kUsage,
               .message = "unknown architecture '" + name + "'",
               .hint = kernel::architecture_hint(name)};
}

bool is_json(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{';
}

// Rules from JSON have no place in the text.
void report_warnings(Warnings warnings, const std::string& file, const std::string& text) {
  for (Diagnostic& one : warnings) {
    if (is_json(text)) one.place = {};
    one = in_file(std::move(one), file);
  }
  report_all(warnings, text);
}

std::optional<std::string> read_file(const std::string& file, int& status) {
  Result<std::string> text = read_whole_file(file, 16u << 20);
  if (text) return std::move(*text);
  status = report(text.error());
  return std::nullopt;
}

// The policy that a file's text is: JSON when it starts with a brace. Reports what is wrong.
std::optional<kernel::Policy> read_policy(const std::string& file, const std::string& text, int& status) {
  Result<kernel::Policy> policy = is_json(text) ? policy_from_json(text) : kernel::parse_policy(text);
  if (policy) return std::move(*policy);
  status = report(in_file(policy.error(), file), text);
  return std::nullopt;
}

std::optional<kernel::CompiledPolicy> compile(const std::string& file, const std::string& text, int& status) {
  const std::optional<kernel::Policy> policy = read_policy(file, text, status);
  if (!policy) return std::nullopt;
  Result<kernel::CompiledPolicy> compiled = kernel::compile_policy(*policy);
  if (!compiled) {
    status = report(in_file(compiled.error(), file));
    return std::nullopt;
  }
  report_warnings(compiled->warnings, file, text);
  return std::move(*compiled);
}

// As bubblewrap and others take it: struct sock_filter after struct sock_filter.
std::string raw_bytes(const cbpf::Program& program) {
  std::string bytes(program.size() * sizeof(cbpf::Instruction), '\0');
  std::memcpy(bytes.data(), program.instructions().data(), bytes.size());
  return bytes;
}

Result<cbpf::Program> read_any_program(const std::string& text) {
  if (text.find('\0') == std::string::npos) return cbpf::read(text);
  if (text.size() % sizeof(cbpf::Instruction) != 0)
    return fail("raw instructions have 8 bytes each, but the file ends within one", OffsetPlace{text.size()});
  std::vector<cbpf::Instruction> code(text.size() / sizeof(cbpf::Instruction));
  std::memcpy(code.data(), text.data(), text.size());
  return cbpf::Program(std::move(code));
}

// Whether a text that is no program is meant as a policy: JSON, or a line begins as policies' lines do.
bool looks_like_policy(const std::string& text) {
  if (is_json(text)) return true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') {
      const std::string_view word = line.substr(first, line.find_first_of(" \t\r(", first) - first);
      for (const std::string_view known : {"arch", "default", "mismatch", "kill", "kill-thread", "kill-process", "trap",
                                           "errno", "notify", "trace", "log", "allow"})
        if (word == known) return true;
    }
    at = end + 1;
  }
  return false;
}

// What the file says is a policy, not a program: its filter.
Result<cbpf::Program> program_of_policy(const std::string& file, const std::string& text) {
  WEIR_TRY(const kernel::Policy policy, is_json(text) ? policy_from_json(text) : kernel::parse_policy(text));
  WEIR_TRY(const kernel::CompiledPolicy compiled, kernel::compile_policy(policy));
  report_warnings(compiled.warnings, file, text);
  return compiled.program.program();
}

// Filters to look at: of a file, or all of a process.
std::optional<std::vector<cbpf::Checked>> read_filters(const Options& options, int& status) {
  std::vector<cbpf::Program> programs;
  if (options.process != 0) {
    Result<std::vector<cbpf::Program>> found = kernel::filters_of_process(options.process);
    if (!found) {
      status = report(found.error());
      return std::nullopt;
    }
    programs = std::move(*found);
    if (programs.empty()) {
      say(fmt::format("weir: process {} has no filter\n", options.process));
      status = kNo;
      return std::nullopt;
    }
  } else {
    const std::optional<std::string> text = read_file(options.file, status);
    if (!text) return std::nullopt;
    Result<cbpf::Program> program = read_any_program(*text);
    if (!program && looks_like_policy(*text)) program = program_of_policy(options.file, *text);
    if (!program) {
      status = report(in_file(program.error(), options.file), *text);
      return std::nullopt;
    }
    programs.push_back(std::move(*program));
  }
  std::vector<cbpf::Checked> filters;
  for (cbpf::Program& program : programs) {
    Result<cbpf::Checked> checked = cbpf::check(std::move(program), {.target = cbpf::Target::kSeccomp});
    if (!checked) {
      status = report(in_file(checked.error(), options.file));
      return std::nullopt;
    }
    filters.push_back(std::move(*checked));
  }
  return filters;
}

int run_compile(const Options& options) {
  int status = kYes;
  const std::optional<std::string> text = read_file(options.file, status);
  if (!text) return status;
  std::string out;
  if (options.to == "policy" || options.to == "json") {
    const std::optional<kernel::Policy> policy = read_policy(options.file, *text, status);
    if (!policy) return status;
    out = options.to == "json" ? policy_to_json(*policy) : kernel::write_policy(*policy);
  } else {
    const std::optional<kernel::CompiledPolicy> compiled = compile(options.file, *text, status);
    if (!compiled) return status;
    const cbpf::Program& program = compiled->program.program();
    if (options.to != "raw") return write_program(program, *format_named(options.to), options.output);
    out = raw_bytes(program);
  }
  return write_text(out, options.output);
}

// A command that may not be started is better told before than after.
void warn_of_execve(const cbpf::Checked& program) {
  const kernel::Architecture native = kernel::native_architecture();
  const kernel::Syscall* execve = kernel::find_syscall("execve");
  const kernel::Outcome outcome =
      kernel::outcome_of(program, kernel::info(native).audit, *kernel::number_of(*execve, native));
  if (std::any_of(outcome.actions.begin(), outcome.actions.end(), kernel::permits)) return;
  report(Diagnostic{.severity = Severity::kWarning,
                    .message = fmt::format("the policy answers execve with {}: the command cannot start",
                                           kernel::write_outcome(outcome)),
                    .hint = "let execve through"});
}

// What only a tracer or a listener answers.
void warn_of_listeners(const cbpf::Checked& program) {
  bool notify = false;
  bool trace = false;
  for (const cbpf::Instruction& i : program.program()) {
    if (i.opcode() != cbpf::Opcode::kRetK) continue;
    const kernel::Action action = kernel::without_data({i.k});
    notify = notify || action == kernel::kNotify;
    trace = trace || action == kernel::kTrace;
  }
  for (const auto& [used, name] : {std::pair{notify, "notify"}, std::pair{trace, "trace"}})
    if (used)
      report(Diagnostic{.severity = Severity::kWarning,
                        .message = fmt::format("nobody listens for '{}' here: its calls fail with ENOSYS", name),
                        .hint = "use errno(N), or install the filter in a program that answers"});
}

// The filter to run a command under: a program in any form or raw, else a policy.
std::optional<cbpf::Checked> read_filter(const std::string& file, int& status) {
  const std::optional<std::string> text = read_file(file, status);
  if (!text) return std::nullopt;
  Result<cbpf::Program> program = read_any_program(*text);
  if (!program && text->find('\0') == std::string::npos) {
    std::optional<kernel::CompiledPolicy> compiled = compile(file, *text, status);
    if (!compiled) return std::nullopt;
    return std::move(compiled->program);
  }
  Result<cbpf::Checked> checked = program ? cbpf::check(std::move(*program), {.target = cbpf::Target::kSeccomp})
                                          : Result<cbpf::Checked>(fail(program.error()));
  if (checked) return std::move(*checked);
  status = report(in_file(checked.error(), file), program ? std::string() : *text);
  return std::nullopt;
}

int run_command(const Options& options) {
  int status = kYes;
  std::vector<std::string> command = options.command;
  if (!command.empty() && command.front() == "--") command.erase(command.begin());
  if (command.empty())
    return report(Error{
        .code = ErrorCode::kUsage, .message = "a command is missing", .hint = "weir seccomp run POLICY -- COMMAND"});
  const std::optional<cbpf::Checked> filter = read_filter(options.file, status);
  if (!filter) return status;
  warn_of_execve(*filter);
  warn_of_listeners(*filter);
  std::vector<char*> arguments;
  for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  if (const Status done = kernel::install(*filter, {.log = options.log}); !done) return report(done.error());
  ::execvp(arguments.front(), arguments.data());
  return report(system_failure("cannot run '" + command.front() + "'", errno));
}

std::string wrapped(const std::vector<std::string>& names) {
  std::string out;
  std::size_t column = 120;
  for (const std::string& name : names) {
    if (column + name.size() + 2 > 100) {
      out += (out.empty() ? "   " : "\n   ");
      column = 3;
    }
    out += " " + name;
    column += name.size() + 1;
  }
  return out + "\n";
}

std::string explained(const std::vector<kernel::ArchitectureSummary>& summaries) {
  std::string out;
  for (const kernel::ArchitectureSummary& summary : summaries) {
    out += fmt::format(
        "{}: {}{}\n", kernel::info(summary.architecture).name,
        summary.groups.empty() ? "every call: " : "calls not named below: ", kernel::write_outcome(summary.unnamed));
    for (const auto& group : summary.groups)
      out += fmt::format("  {}\n{}", kernel::write_outcome(group.outcome), wrapped(group.syscalls));
  }
  return out;
}

nlohmann::json explained_json(const std::vector<kernel::ArchitectureSummary>& summaries) {
  nlohmann::json list = nlohmann::json::array();
  const auto outcome_json = [](const kernel::Outcome& outcome) {
    nlohmann::json one = {{"complete", outcome.complete}, {"actions", nlohmann::json::array()}};
    for (const kernel::Action action : outcome.actions) one["actions"].push_back(kernel::write_action(action));
    one["arguments"] = nlohmann::json::array();
    for (int i = 0; i < 6; ++i)
      if ((outcome.arguments & (1u << i)) != 0) one["arguments"].push_back(i);
    return one;
  };
  for (const kernel::ArchitectureSummary& summary : summaries) {
    nlohmann::json groups = nlohmann::json::array();
    for (const auto& group : summary.groups)
      groups.push_back({{"outcome", outcome_json(group.outcome)}, {"syscalls", group.syscalls}});
    list.push_back({{"architecture", kernel::info(summary.architecture).name},
                    {"unnamed", outcome_json(summary.unnamed)},
                    {"groups", groups}});
  }
  return list;
}

int run_explain(const Options& options) {
  int status = kYes;
  const auto filters = read_filters(options, status);
  if (!filters) return status;
  std::string out;
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < filters->size(); ++i) {
    const auto summaries = kernel::explain((*filters)[i]);
    if (options.json) list.push_back(explained_json(summaries));
    else
      out +=
          (filters->size() > 1 ? fmt::format("filter {} of {}\n", i + 1, filters->size()) : "") + explained(summaries);
  }
  nlohmann::json whole{{"version", 1}, {"filters", list}};
  if (filters->size() > 1) {
    const auto together = kernel::explain(*filters);
    if (options.json) whole["together"] = explained_json(together);
    else out += fmt::format("all {} filters together\n", filters->size()) + explained(together);
  }
  if (options.json) out = json_line(whole);
  return print(out);
}

int run_audit(const Options& options) {
  kernel::Architecture architecture = kernel::native_architecture();
  if (!options.architecture.empty()) {
    const auto named = kernel::architecture_named(options.architecture);
    if (!named) return report(no_such_architecture(options.architecture));
    architecture = *named;
  }
  int status = kYes;
  const auto filters = read_filters(options, status);
  if (!filters) return status;
  std::string out;
  nlohmann::json list = nlohmann::json::array();
  bool holes = false;
  for (const kernel::Finding& finding : kernel::audit(*filters, architecture)) {
    holes = holes || finding.hole;
    std::vector<std::size_t> of;
    for (const std::size_t index : finding.filters) of.push_back(index + 1);
    const std::string which =
        of.empty() ? std::string() : fmt::format(", filter{} {}", of.size() == 1 ? "" : "s", fmt::join(of, ", "));
    out += fmt::format("{}: {} [{}{}]\n", finding.hole ? "hole" : "note", finding.message, finding.kind, which);
    list.push_back({{"hole", finding.hole}, {"kind", finding.kind}, {"message", finding.message}});
    if (filters->size() > 1) list.back()["filters"] = of;
  }
  if (out.empty()) out = "no holes found\n";
  if (options.json) out = json_line(nlohmann::json{{"version", 1}, {"holes", holes}, {"findings", list}});
  const int printed = print(out);
  return printed != kYes ? printed : holes ? kNo : kYes;
}

int run_syscalls(const Options& options) {
  std::string out;
  if (options.architecture.empty()) {
    out = fmt::format("{:<24}", "");
    for (const kernel::ArchitectureInfo& one : kernel::architectures()) out += fmt::format(" {:>10}", one.name);
    out += "\n";
    for (const kernel::Syscall& call : kernel::syscalls()) {
      out += fmt::format("{:<24}", call.name);
      for (const std::int32_t number : call.numbers)
        out += number < 0 ? fmt::format(" {:>10}", "-") : fmt::format(" {:>10}", number);
      out += "\n";
    }
    return print(out);
  }
  const auto named = kernel::architecture_named(options.architecture);
  if (!named) return report(no_such_architecture(options.architecture));
  for (const kernel::Syscall& call : kernel::syscalls())
    if (const auto number = kernel::number_of(call, *named)) out += fmt::format("{} {}\n", call.name, *number);
  return print(out);
}

}  // namespace

void add_seccomp(CLI::App& app, int& status) {
  CLI::App* verb = app.add_subcommand("seccomp", "system-call policies: compile, run, explain, audit");
  verb->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* text, int (*run)(const Options&)) {
    CLI::App* one = verb->add_subcommand(name, text);
    one->callback([options, &status, run] { status = run(*options); });
    return one;
  };
  CLI::App* compile_verb = add("compile", "compile a policy", run_compile);
  compile_verb->add_option("policy", options->file, "the policy, text or JSON ('-': standard input)")->required();
  // Its json is the policy's.
  add_format_option(*compile_verb, options->to, {"raw", "policy"});
  compile_verb->add_option("-o,--output", options->output, "write to this file");
  CLI::App* run_verb = add("run", "run a command under a policy or filter", run_command);
  run_verb->add_option("policy", options->file, "the policy, text or JSON, or a filter in any form or raw")->required();
  run_verb->add_option("command", options->command, "the command and its arguments, behind '--'");
  run_verb->add_flag("--log", options->log, "let the kernel log what is not allowed");
  run_verb->positionals_at_end();
  CLI::App* explain_verb = add("explain", "tell what a filter does with each call", run_explain);
  CLI::App* audit_verb = add("audit", "look for holes in a filter", run_audit);
  for (CLI::App* one : {explain_verb, audit_verb}) {
    one->add_option("file", options->file, "the filter, in any form or raw, or a policy ('-': standard input)");
    one->add_option("--pid", options->process, "the filters of this process")->check(at_least_one());
    one->add_flag("--json", options->json, "print JSON");
  }
  audit_verb->add_option("--arch", options->architecture, "the architecture of the process (default: this machine's)");
  CLI::App* list = add("syscalls", "list system calls and their numbers", run_syscalls);
  list->add_option("--arch", options->architecture, "of this architecture alone");
}

}  // namespace weir::tool
