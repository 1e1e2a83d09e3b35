// weir debug and bpf_dbg: step through a program over the packets of a capture.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/debug/extended_console.h>
#include <weir/kernel/socket_filter.h>

#include "debug_json.h"
#include "debug_shell.h"
#include "expression.h"
#include "extended_session.h"
#include "program_input.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string input;
  std::string output;
  std::optional<std::string> expression;
  std::string program;
  std::string capture;
  std::string extended;
  std::string name;
  std::string memory;
  std::string platform = "portable";
  LanguageFlags language;
  std::vector<std::string> commands;
  bool allow_callx = false;
  bool json = false;
};

Status usage(std::string message, std::string hint) {
  return fail(Error{.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)});
}

// Whether a file holds bytes that no text has, as captures, objects and what is compressed do.
Result<bool> is_binary(const std::string& path) {
  WEIR_TRY(const FileDescriptor file, open_for_reading(path));
  char bytes[4096];
  const ssize_t size = ::read(file.get(), bytes, sizeof bytes);
  return std::any_of(bytes, bytes + std::max<ssize_t>(size, 0),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' && (c < '\t' || c > '\r'); });
}

// Other verbs have a program and a capture where this one has its input and its output: what is neither commands nor
// a new session is not taken for them.
Status check_files(const Options& options) {
  constexpr const char* kOptions = "-r names a capture, -p a program, -X an extended one";
  if (!options.commands.empty() && !options.input.empty())
    return usage(fmt::format("'{}' would not be read beside -x", options.input), kOptions);
  struct stat info = {};
  const auto is_regular = [&](const std::string& path) {
    return !path.empty() && path != "-" && ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  };
  if (is_regular(options.input)) {
    WEIR_TRY(const bool binary, is_binary(options.input));
    if (binary) return usage(fmt::format("'{}' holds no commands", options.input), kOptions);
  }
  if (is_regular(options.output) && info.st_size > 0)
    return usage(fmt::format("'{}' is there already; the session does not replace it", options.output), kOptions);
  return {};
}

struct Files {
  std::FILE* input = stdin;
  std::optional<ReplacingFile> output;
  ~Files() {
    if (input != nullptr && input != stdin) std::fclose(input);
  }
};

Status open_files(const std::string& input, const std::string& output, Files& files, ShellOptions& shell) {
  if (!input.empty() && input != "-") {
    WEIR_TRY(FileDescriptor descriptor, open_for_reading(input));
    files.input = ::fdopen(descriptor.release(), "r");
  }
  shell.input = files.input;
  if (!output.empty() && output != "-") {
    WEIR_TRY(ReplacingFile file, ReplacingFile::create(output));
    files.output.emplace(std::move(file));
    shell.output = files.output->descriptor();
    shell.output_name = output;
  }
  return {};
}

// Runs the shell over the files; true in `failed` when a command of a script failed.
int converse(const Dialogue& console, ShellOptions& shell, Files& files, bool& failed) {
  const ShellResult result = run_shell(console, shell);
  if (!result.written && result.written.error().system_error != EPIPE) return report(result.written.error());
  if (files.output)
    if (const Status status = files.output->commit(); !status) return report(status.error());
  failed = result.any_failed;
  return kYes;
}

int prepare(debug::Console& console, const Options& options) {
  const auto take = [](const debug::Reply& reply) {
    if (reply.failed || reply.text.find("warning") != std::string::npos) say("weir: " + reply.text);
    return !reply.failed;
  };
  if (!options.capture.empty() && !take(console.load_capture(options.capture))) return kBadInput;
  if (options.expression) {
    const Result<std::string> text = expression_text(*options.expression);
    if (!text) return report(text.error());
    const debug::Reply reply = console.load_expression(*text);
    if (reply.error) return report(of_expression(*reply.error, "", *options.expression), *text);
    take(reply);
  }
  if (!options.program.empty()) {
    std::string text;
    const Result<cbpf::Checked> program = read_checked(options.program, cbpf::Target::kUser, &text);
    if (!program) return report(program.error(), text);
    if (!take(console.load_program(text))) return kBadInput;
  }
  return kYes;
}

// The commands of the command line, or of the input.
int talk(const Dialogue& console, const Options& options) {
  bool failed = false;
  if (!options.commands.empty()) {
    for (const std::string& command : options.commands) {
      const debug::Reply reply = console.execute(command);
      failed = failed || reply.failed;
      if (const int status = print(reply.text); status != kYes) return status;
      if (reply.quit) break;
    }
    return failed ? kBadInput : kYes;
  }
  ShellOptions shell{.name = "weir", .history = in_home(".weir_debug_history"), .replies_only = options.json};
  Files files;
  if (const Status status = open_files(options.input, options.output, files, shell); !status)
    return report(status.error());
  const bool script = ::isatty(::fileno(files.input)) != 1;
  if (const int status = converse(console, shell, files, failed); status != kYes) return status;
  return failed && script ? kBadInput : kYes;
}

int run_extended(const Options& options) {
  std::string text;
  auto session = open_session({.program = options.extended,
                               .name = options.name,
                               .capture = options.capture,
                               .memory = options.memory,
                               .allow_callx = options.allow_callx},
                              text);
  if (!session) return report(session.error(), text);
  debug::ExtendedConsole console(std::move(*session));
  return talk(options.json ? json_dialogue(console) : dialogue_with(console), options);
}

int run(const Options& options) {
  if (const Status sensible = check_files(options); !sensible) return report(sensible.error());
  if (!options.extended.empty()) {
    if (options.expression || !options.program.empty())
      return report({.code = ErrorCode::kUsage, .message = "give one program only"});
    return run_extended(options);
  }
  if (options.expression && !options.program.empty())
    return report({.code = ErrorCode::kUsage, .message = "give an expression or a program, not both"});
  filter::CompileOptions compile;
  if (const Status status = apply(options.language, compile); !status) return report(status.error());
  if (options.platform == "linux") compile.bind.platform = filter::Platform::kLinux;
  debug::Console console(shell_hooks(compile));
  if (const int status = prepare(console, options); status != kYes) return status;
  return talk(options.json ? json_dialogue(console) : dialogue_with(console), options);
}

// bpf_dbg attaches each program to a socket, so that the kernel's compiler can be watched at work.
Status try_in_kernel(const cbpf::Checked& program) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail("cannot open socket!");
  if (!kernel::attach(socket.get(), program)) return fail("program not allowed to run by kernel!");
  return {};
}

// bpf_dbg's words for a capture that cannot be opened. A name with blanks is a name here; where there is no such file,
// the name ends at the first blank.
Result<debug::Capture> open_as_bpf_dbg(const std::string& name) {
  std::string path = name;
  if (::access(path.c_str(), F_OK) != 0) path = name.substr(0, name.find(' '));
  if (::access(path.c_str(), R_OK) != 0) return fail(std::string("cannot open pcap [") + std::strerror(errno) + "]!");
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return fail("not a regular pcap file, duh!");
  constexpr off_t kFileHeader = 24;
  if (S_ISREG(info.st_mode) && info.st_size <= kFileHeader) return fail("pcap file too small!");
  Result<debug::Capture> capture = shell_hooks().open_capture(path);
  if (!capture && capture.error().message.find("neither a pcap") != std::string::npos) return fail("wrong pcap magic!");
  return capture;
}

}  // namespace

constexpr const char* kBpfDbgUsage =
    "usage: bpf_dbg [INPUT [OUTPUT]]\n"
    "Reads commands from INPUT, else from standard input, and writes the session to OUTPUT, else to standard output.\n"
    "'help' lists the commands. This is weir; 'weir debug' has options.\n";

int run_bpf_dbg(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "-h" || first == "--help") return print(kBpfDbgUsage);
  debug::Hooks hooks = shell_hooks();
  hooks.loaded = try_in_kernel;
  hooks.open_capture = open_as_bpf_dbg;
  debug::Console console(std::move(hooks), debug::Style::kBpfDbg);
  ShellOptions shell{.name = "bpf_dbg", .history = in_home(".bpf_dbg_history"), .settings = in_home(".bpf_dbg_init")};
  Files files;
  if (const Status status = open_files(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "", files, shell); !status)
    return report(status.error());
  bool failed = false;
  return converse(dialogue_with(console), shell, files, failed);
}

void add_debug(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("debug", "step through a program, forward and back");
  verb->add_option("input", options->input, "read commands from this file (default: standard input)");
  verb->add_option("output", options->output, "write the session to this new file (default: standard output)");
  verb->add_option("-e,--expression", options->expression, "debug the program of this expression");
  verb->add_option("-p,--program", options->program, "debug the program in this file, in any form");
  verb->add_option("-X,--extended", options->extended,
                   "debug the extended program in this file: an ELF object, assembler text or numbers");
  verb->add_option("--name", options->name, "with -X: the program of this name or section; else the first");
  verb->add_option("--mem", options->memory, "with -X: memory or one packet, the bytes of this file");
  verb->add_flag("--allow-callx", options->allow_callx,
                 "with -X: callx calls the helper whose number its register holds");
  add_language_flags(*verb, options->language);
  add_platform(*verb, options->platform);
  verb->add_option("-r,--capture", options->capture, "over the packets of this capture");
  verb->add_option("-x,--execute", options->commands, "run this command and leave; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_flag("--json", options->json, "print JSON: an object for each command, one a line");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
