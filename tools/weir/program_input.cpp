// Programs as arguments of verbs. Exports read_checked and in_program.
#include "program_input.h"

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/ebpf/text.h>

#include "program_output.h"

namespace weir::tool {

Result<cbpf::Checked> read_checked(const std::string& path, cbpf::Target target, std::string* text) {
  WEIR_TRY(std::string content, read_whole_file(path, 64u << 20));
  if (text != nullptr) *text = content;
  Result<cbpf::Program> program = cbpf::read(content);
  if (!program) return fail(in_program(std::move(program).error(), content, path));
  Result<cbpf::Checked> checked = cbpf::check(std::move(*program), {.target = target});
  if (!checked) return fail(in_source(std::move(checked).error(), path));
  return checked;
}

Error in_program(Error error, std::string_view text, const std::string& path) {
  if (ebpf::read(text))
    error = {.message = "this is an extended program", .hint = "weir asm -x, disasm -x, verify and run take it"};
  return in_source(std::move(error), path);
}

}  // namespace weir::tool
