// Any bytes as a program in any form: read() gives a program or an error, never a crash. The first byte says whether
// the form is named, and which.
//
// Checked: an error's place lies in the text; a program that was read survives being written and read in every exact
// form.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <weir/base/render.h>
#include <weir/cbpf/text.h>
#include <weir/cbpf/typed.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  cbpf::ReadOptions options;
  if (data[0] < cbpf::formats().size()) options.format = cbpf::formats()[data[0]].format;
  const Result<cbpf::Program> program = cbpf::read(text, options);
  if (!program) {
    const Error& error = program.error();
    require(!error.message.empty() && error.message.find('\n') == std::string::npos);
    if (const auto* span = std::get_if<Span>(&error.place))
      require(span->begin <= span->end && span->end <= text.size());
    require(!render(error, text).empty());
    return 0;
  }
  require(!program->empty());
  if (program->size() > 2000) return 0;
  for (const cbpf::FormatInfo& format : cbpf::formats()) {
    if (!format.exact) continue;
    const Result<cbpf::Program> again = cbpf::read(cbpf::write(*program, format.format), {.format = format.format});
    require(again && *again == *program);
  }
  const cbpf::typed::Disassembled typed = cbpf::typed::disassemble(*program);
  const Result<cbpf::Program> assembled = cbpf::typed::assemble(typed.instructions);
  require(assembled && *assembled == *program);
  return 0;
}
