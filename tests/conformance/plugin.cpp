// Speaks the plugin protocol of the public bpf_conformance suite, so that its runner can test weir.
//
// usage: weir_conformance_plugin [MEMORY] [--program HEX] [--interpreter | --native]
// Reads a program as hexadecimal digits from standard input (or from --program), runs it with r1 the address of MEMORY
// (hexadecimal digits, blanks allowed) and r2 its length, and prints r0 in hexadecimal. Exit status 0 when it ran.
// The suite's helper functions are those of uBPF's tests; number 5 unwinds.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <string>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

#include "conformance/helpers.h"

namespace {

int complain(const weir::Error& error) {
  std::cerr << weir::render(error, {}, {.program = "weir_conformance_plugin"});
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace weir;
  std::string memory_text;
  std::string program_text;
  bool have_program = false;
  engine::ExtendedOptions options = tests::conformance_options();
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--program" && i + 1 < argc) {
      program_text = argv[++i];
      have_program = true;
    } else if (argument == "--interpreter" || argument == "--interpret") {
      options.kind = engine::ExtendedKind::kInterpreter;
    } else if (argument == "--native" || argument == "--jit") {
      options.kind = engine::ExtendedKind::kNative;
    } else if (argument.substr(0, 2) != "--") {
      memory_text = argument;
    }
  }
  if (!have_program) program_text.assign(std::istreambuf_iterator<char>(std::cin), {});
  Result<std::vector<std::uint8_t>> memory = tests::bytes_of_hex(memory_text);
  if (!memory) return complain(memory.error());
  const Result<std::vector<std::uint8_t>> bytes = tests::bytes_of_hex(program_text);
  if (!bytes) return complain(bytes.error());
  Result<ebpf::Program> program = ebpf::from_bytes(*bytes);
  if (!program) return complain(program.error());
  const Result<engine::Outcome> outcome = tests::run_conformance(std::move(*program), *memory, options);
  if (!outcome) return complain(outcome.error());
  if (!*outcome) return complain(engine::describe(*outcome));
  std::printf("%llx\n", static_cast<unsigned long long>(outcome->value));
  return 0;
}
