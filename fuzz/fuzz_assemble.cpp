// Any bytes as assembler text: assemble() gives a program or an error, never a crash.
//
// Checked: assembly_errors() is empty exactly when assemble() succeeds, and starts with its error; places lie in the
// text; a program that was made survives disassembly.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <weir/base/render.h>
#include <weir/cbpf/text.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<cbpf::Assembled> assembled = cbpf::assemble_with_places(text);
  const std::vector<Error> errors = cbpf::assembly_errors(text);
  require(assembled.has_value() == errors.empty());
  for (const Error& error : errors) {
    require(!error.message.empty() && error.message.find('\n') == std::string::npos);
    const auto* span = std::get_if<Span>(&error.place);
    require(span != nullptr && span->begin <= span->end && span->end <= size);
    require(!render(error, text).empty());
  }
  if (!assembled) {
    require(assembled.error().message == errors.front().message);
    return 0;
  }
  require(!assembled->program.empty() && assembled->places.size() == assembled->program.size());
  for (const Span& place : assembled->places) require(place.begin < place.end && place.end <= size);
  const Result<cbpf::Program> again = cbpf::assemble(cbpf::write(assembled->program, cbpf::Format::kAssembly));
  require(again && *again == assembled->program);
  return 0;
}
