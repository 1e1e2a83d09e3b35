// weir as bpf_asm: its options and its output, byte for byte, for what it assembles rightly.
//
// bpf_asm [-c] [FILE]: one line of numbers, or with -c lines of C; without FILE it reads standard input. As in bpf_asm,
// arguments after FILE are not looked at, so -c stands before it. What bpf_asm assembles without a word and the kernel
// then refuses (a division by 0, a jump backward) is assembled here too, with a warning at its place. What it gets
// wrong (a number that does not fit, a label defined twice, a FILE that is missing) is an error. Exit status: 0, 1 bad
// input (as bpf_asm), 2 wrong options.
#include <string>
#include <string_view>

#include <weir/base/file.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>

#include "compatible.h"
#include "program_output.h"
#include "terminal.h"

namespace weir::tool {
namespace {

constexpr std::string_view kUsageText =
    "usage: bpf_asm [-c] [file]\n"
    "  -c   print lines of C instead of one line of numbers\n"
    "Reads standard input without a file. This is weir; 'weir asm' has more forms.\n";

int assemble_file(const std::string& file, cbpf::Format format) {
  const Result<std::string> text = read_whole_file(file, 64u << 20);
  if (!text) return report(text.error()), kNo;
  const Result<cbpf::Assembled> assembled = cbpf::assemble_with_places(*text);
  if (!assembled) return report_assembly_errors(*text, file), kNo;
  const cbpf::Program& program = assembled->program;
  if (program.size() > cbpf::kMaximumLength) {
    report(in_source({.message = "the program has " + std::to_string(program.size()) +
                                 " instructions, the kernel takes at most 4096",
                      .place = assembled->places[cbpf::kMaximumLength]},
                     file),
           *text);
    return kNo;
  }
  report_violations(*assembled, cbpf::Target::kSocket, *text, file);
  return print(cbpf::write(program, format)) == kYes ? kYes : kNo;
}

}  // namespace

int run_bpf_asm(int argc, char** argv) {
  std::string file = "-";
  cbpf::Format format = cbpf::Format::kBytecode;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "-c") {
      format = cbpf::Format::kBpfAsmC;
    } else if (word == "--") {
      continue;  // to bpf_asm a file that it cannot open, and passes over
    } else if (word == "-h" || word == "--help") {
      return print(kUsageText);
    } else if (word.size() > 1 && word[0] == '-') {
      report({.code = ErrorCode::kUsage, .message = "unknown option '" + std::string(word) + "'"});
      say(kUsageText);
      return kUsage;
    } else {
      // What follows the file is not looked at.
      file = word;
      break;
    }
  }
  return assemble_file(file, format);
}

}  // namespace weir::tool
