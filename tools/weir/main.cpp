// The program weir: reads the command line, runs one verb, exits with its status.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "compatible.h"
#include "terminal.h"
#include "usage.h"
#include "verbs.h"

namespace weir::tool {
namespace {

constexpr char kCaptures[] = "Captures and interfaces";
constexpr char kClassic[] = "Expressions and classic programs";
constexpr char kExamine[] = "What a program does";
constexpr char kExtended[] = "Extended programs";
constexpr char kOther[] = "Other";

struct Verb {
  std::string_view name;
  void (*add)(CLI::App& app, int& status);
  const char* group;
  const char* manual;
};

void add_assembler_verbs(CLI::App& app, int& status) {
  add_program_verbs(app, status);
  add_extended_forms(app, status);
}

// In the order of the help. Verbs that one function adds stand side by side.
constexpr Verb kVerbs[] = {
    {"filter", add_filter, kCaptures, "weir-filter"},    {"info", add_info, kCaptures, "weir"},
    {"capture", add_capture, kCaptures, "weir-capture"}, {"inject", add_inject, kCaptures, "weir-inject"},
    {"compile", add_compile, kClassic, "weir"},          {"explain", add_explain, kClassic, "weir"},
    {"diff", add_diff, kClassic, "weir-diff"},           {"optimize", add_optimize, kClassic, "weir"},
    {"asm", add_assembler_verbs, kClassic, "weir-asm"},  {"disasm", add_assembler_verbs, kClassic, "weir-asm"},
    {"check", add_assembler_verbs, kClassic, "weir"},    {"trace", add_trace, kExamine, "weir-trace"},
    {"debug", add_debug, kExamine, "weir-debug"},        {"jit", add_jit, kExamine, "weir-jit"},
    {"verdict", add_verdict, kExamine, "weir-verdict"},  {"compare", add_verdict, kExamine, "weir-verdict"},
    {"verify", add_verify, kExtended, "weir-verify"},    {"run", add_run, kExtended, "weir-run"},
    {"prog", add_prog, kExtended, "weir-prog"},          {"map", add_map, kExtended, "weir-map"},
    {"seccomp", add_seccomp, kOther, "weir-seccomp"},    {"install-compat", add_install_compat, kOther, "weir"},
};

void name_manual(CLI::App& verb, const std::string& page) {
  verb.footer("'man " + page + "' tells more.");
  for (CLI::App* part : verb.get_subcommands({})) name_manual(*part, page);
}

// All verbs take longer to describe than many a command takes to run: only the one that the command line begins with
// is, if it does begin with one.
void add_verbs(CLI::App& app, int argc, char** argv, int& status) {
  void (*wanted)(CLI::App&, int&) = nullptr;
  if (argc > 1)
    for (const Verb& verb : kVerbs)
      if (verb.name == argv[1]) wanted = verb.add;
  void (*added)(CLI::App&, int&) = nullptr;
  for (const Verb& verb : kVerbs) {
    if (wanted != nullptr && verb.add != wanted) continue;
    if (verb.add != added) (added = verb.add)(app, status);
    CLI::App* described = app.get_subcommand(std::string(verb.name));
    described->group(verb.group);
    name_manual(*described, verb.manual);
  }
}

// `weir help VERB` is `weir VERB --help`.
std::vector<char*> with_help_as_option(int argc, char** argv) {
  static char option[] = "--help";
  std::vector<char*> words(argv, argv + argc);
  if (argc > 1 && std::string_view(argv[1]) == "help") {
    words.erase(words.begin() + 1);
    words.push_back(option);
  }
  words.push_back(nullptr);
  return words;
}

// A descriptor that the caller has closed would be given to the next file or socket that is opened, and what is meant
// for standard output would go there. /dev/null takes its place, opened the wrong way round: using it is an error.
void hold_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    const int opened = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != descriptor) std::_Exit(kBadInput);
  }
}

}  // namespace
}  // namespace weir::tool

int main(int argc, char** argv) {
  using namespace weir::tool;
  hold_standard_descriptors();
  // Writing to a closed pipe is an error value (EPIPE), not a death by signal.
  std::signal(SIGPIPE, SIG_IGN);

  // Called by the name of a tool that it replaces, the program takes that tool's command line.
  if (argc > 0)
    if (const CompatibleProgram* program = find_compatible_program(argv[0]); program != nullptr)
      return program->run(argc, argv);

  std::vector<char*> words = with_help_as_option(argc, argv);
  argc = static_cast<int>(words.size()) - 1;
  argv = words.data();

  int status = kYes;
  CLI::App app{"weir: a toolkit for the Berkeley Packet Filter", "weir"};
  app.set_version_flag("--version", "weir " WEIR_VERSION);
  app.footer("'weir help SUBCOMMAND' lists the options of one, 'man weir' tells more.");
  app.require_subcommand(1);
  add_verbs(app, argc, argv, status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, argc, argv);
  } catch (const std::bad_alloc&) {
    return report(weir::system_failure("cannot go on", ENOMEM));
  } catch (const std::system_error& error) {  // of threads: the library throws nothing
    return report(weir::system_failure("cannot start a thread", error.code().value()));
  }
  return status;
}
