// Any bytes as a log of the kernel: images whose code can be listed, or an error with its place in the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <weir/base/render.h>
#include <weir/debug/jit_log.h>
#include <weir/debug/machine_code.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::debug;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  weir::Warnings left_out;
  const auto images = read_jit_log(text, &left_out);
  for (const weir::Diagnostic& one : left_out) require(!weir::render(one, text).empty());
  if (const auto last = read_last_jit_dump(text)) require(!last->code.empty());
  if (!images) {
    if (const auto* span = std::get_if<weir::Span>(&images.error().place))
      require(span->begin <= span->end && span->end <= size);
    require(!weir::render(images.error(), text).empty());
    // The bytes themselves as code, for processors in turn.
    const auto processor = static_cast<Processor>(size % 9);
    std::uint64_t covered = 0;
    for (const MachineInstruction& one : disassemble({data, size}, {.processor = processor})) covered += one.size;
    require(covered == size);
    return 0;
  }
  require(!images->empty());
  for (const JitImage& image : *images) {
    std::uint64_t covered = 0;
    for (const MachineInstruction& one : disassemble(image.code)) covered += one.size;
    require(covered == image.code.size());
  }
  return 0;
}
