// Any bytes as an extended program in text or numbers: read() gives a program that survives being written in both
// languages, or an error whose place lies in the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::ebpf;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto program = read(text);
  if (!program) {
    const auto* span = std::get_if<weir::Span>(&program.error().place);
    require(span == nullptr || (span->begin <= span->end && span->end <= size));
    require(!weir::render(program.error(), text).empty());
    return 0;
  }
  (void)violations(*program);
  for (const Format format : {Format::kKernel, Format::kUbpf, Format::kC, Format::kHex}) {
    const auto back = read(write(*program, format));
    require(back.has_value() && (back->instructions == program->instructions));
  }
  return 0;
}
