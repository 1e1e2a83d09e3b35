// `weir filter` from end to end over memory: an expression up to the first zero byte, then a capture. What the pipe
// counts is what the engine says of each packet by itself, and what it writes can be read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <weir/filter/compile.h>

#include "fuzz_capture.h"

namespace {

using namespace weir;

Result<std::unique_ptr<engine::Engine>> engine_for(std::string_view expression, const capture::Interface& interface) {
  static filter::StaticResolver names;
  filter::CompileOptions options;
  options.bind.link_type = interface.link_type;
  options.bind.allow_no_match = true;
  options.bind.resolver = &names;
  WEIR_TRY(const filter::Compiled compiled, filter::compile(expression, options));
  return engine::load(compiled.program);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::uint8_t* const zero = std::find(data, data + size, 0);
  if (zero == data + size || zero - data > 200) return 0;
  const std::string_view expression(reinterpret_cast<const char*>(data), static_cast<std::size_t>(zero - data));
  const ByteSpan bytes(zero + 1, data + size);
  auto source = capture::open_memory(bytes, "input");
  if (!source) return 0;
  pipe::Filter filter({{[&](const capture::Interface& of) { return engine_for(expression, of); }}});
  if (!filter.run(**source)) return 0;

  source = capture::open_memory(bytes, "input");
  std::uint64_t matched = 0;
  capture::RecordBatch batch;
  while ((*source)->read(batch) == capture::Read::kMore)
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      const auto engine = engine_for(expression, (*source)->interfaces()[batch.records[i].interface]);
      fuzz::require(engine.has_value());
      matched += (*engine)->run(batch.packets[i]) != 0;
    }
  fuzz::require(matched == filter.statistics().jobs[0].packets);
  return 0;
}
