// Compile and load in one step. Exports Filter.
#include <weir/front/filter.h>

#include <algorithm>
#include <utility>

namespace weir::front {

Result<Filter> Filter::compile(std::string_view expression, const FilterOptions& options) {
  WEIR_TRY(filter::Compiled compiled, filter::compile(expression, options.compile));
  WEIR_TRY(Filter made, load(std::move(compiled.program), options));
  made.warnings_ = std::move(compiled.warnings);
  return made;
}

Result<Filter> Filter::load(cbpf::Checked program, const FilterOptions& options) {
  WEIR_TRY(std::shared_ptr<const engine::Engine> engine, engine::load(program, options.load));
  return Filter(std::move(program), {}, std::move(engine));
}

std::size_t Filter::matches(packet::Batch batch, std::span<std::uint64_t> bits) const {
  constexpr std::size_t kChunk = 256;
  std::uint32_t verdicts[kChunk];
  std::size_t matched = 0;
  std::fill(bits.begin(), bits.end(), 0);
  for (std::size_t begin = 0; begin < batch.size(); begin += kChunk) {
    const std::size_t count = std::min(kChunk, batch.size() - begin);
    engine_->run(batch.subspan(begin, count), std::span(verdicts, count));
    for (std::size_t i = 0; i < count; ++i) {
      if (verdicts[i] == 0) continue;
      bits[(begin + i) / 64] |= std::uint64_t{1} << ((begin + i) % 64);
      ++matched;
    }
  }
  return matched;
}

}  // namespace weir::front
