// Programs as arguments of verbs. Exports read_checked.
#include "program_input.h"

#include <weir/base/file.h>
#include <weir/cbpf/text.h>

namespace weir::tool {

Result<cbpf::Checked> read_checked(const std::string& path, cbpf::Target target, std::string* text) {
  WEIR_TRY(std::string content, read_whole_file(path, 64u << 20));
  if (text != nullptr) *text = content;
  const auto named = [&](Error error) {
    error.source = path == "-" ? "standard input" : path;
    return error;
  };
  Result<cbpf::Program> program = cbpf::read(content);
  if (!program) return fail(named(std::move(program).error()));
  Result<cbpf::Checked> checked = cbpf::check(std::move(*program), {.target = target});
  if (!checked) return fail(named(std::move(checked).error()));
  return checked;
}

}  // namespace weir::tool
