// The program weir: reads the command line, runs one verb, exits with its status.
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "compatible.h"
#include "terminal.h"
#include "usage.h"
#include "verbs.h"

int main(int argc, char** argv) {
  using namespace weir::tool;
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
  add_filter(app, status);
  add_info(app, status);
  add_compile(app, status);
  add_diff(app, status);
  add_explain(app, status);
  add_program_verbs(app, status);
  add_optimize(app, status);
  add_verdict(app, status);
  add_debug(app, status);
  add_capture(app, status);
  add_inject(app, status);
  add_seccomp(app, status);
  add_install_compat(app, status);
  add_trace(app, status);
  add_jit(app, status);
  add_extended_forms(app, status);
  add_run(app, status);
  add_verify(app, status);
  add_map(app, status);
  add_prog(app, status);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, argc, argv);
  }
  return status;
}
