// The program weir: reads the command line, runs one verb, exits with its status.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "compatible.h"
#include "terminal.h"
#include "usage.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Verb {
  std::string_view name;
  void (*add)(CLI::App& app, int& status);
};

void add_assembler_verbs(CLI::App& app, int& status) {
  add_program_verbs(app, status);
  add_extended_forms(app, status);
}

// In the order of the help. Verbs that one function adds stand side by side.
constexpr Verb kVerbs[] = {
    {"filter", add_filter},
    {"info", add_info},
    {"compile", add_compile},
    {"diff", add_diff},
    {"explain", add_explain},
    {"asm", add_assembler_verbs},
    {"disasm", add_assembler_verbs},
    {"check", add_assembler_verbs},
    {"optimize", add_optimize},
    {"verdict", add_verdict},
    {"compare", add_verdict},
    {"debug", add_debug},
    {"capture", add_capture},
    {"inject", add_inject},
    {"seccomp", add_seccomp},
    {"install-compat", add_install_compat},
    {"trace", add_trace},
    {"jit", add_jit},
    {"run", add_run},
    {"verify", add_verify},
    {"map", add_map},
    {"prog", add_prog},
};

// All verbs take longer to describe than many a command takes to run: only the one that the command line begins with
// is, if it does begin with one.
void add_verbs(CLI::App& app, int argc, char** argv, int& status) {
  if (argc > 1)
    for (const Verb& verb : kVerbs)
      if (verb.name == argv[1]) return verb.add(app, status);
  void (*added)(CLI::App&, int&) = nullptr;
  for (const Verb& verb : kVerbs)
    if (verb.add != added) (added = verb.add)(app, status);
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

  int status = kYes;
  CLI::App app{"weir: a toolkit for the Berkeley Packet Filter", "weir"};
  app.set_version_flag("--version", "weir " WEIR_VERSION);
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
