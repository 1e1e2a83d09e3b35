// Source -> batch -> engine -> sink. Exports Filter.
//
// A batch may mix interfaces; it is run in stretches of packets of one interface, each with that interface's engine.
#include <weir/pipe/filter.h>

namespace weir::pipe {

Result<const engine::Engine*> Filter::engine(const capture::Interface& interface) {
  for (const Loaded& loaded : engines_)
    if (loaded.link_type == interface.link_type) return loaded.engine.get();
  WEIR_TRY(std::unique_ptr<engine::Engine> made, engine_for_(interface));
  engines_.push_back({interface.link_type, std::move(made)});
  return engines_.back().engine.get();
}

Status Filter::verdicts_of(const capture::Source& source, const capture::RecordBatch& batch) {
  verdicts_.resize(batch.packets.size());
  for (std::size_t begin = 0; begin < batch.packets.size();) {
    const std::uint32_t interface = batch.records[begin].interface;
    std::size_t end = begin + 1;
    while (end < batch.packets.size() && batch.records[end].interface == interface) ++end;
    WEIR_TRY(const engine::Engine* const runs, engine(source.interfaces()[interface]));
    runs->run(packet::Batch(batch.packets).subspan(begin, end - begin),
              std::span(verdicts_).subspan(begin, end - begin));
    begin = end;
  }
  for (std::size_t i = 0; i < batch.packets.size(); ++i) {
    statistics_.bytes += batch.packets[i].length;
    if (verdicts_[i] == 0) continue;
    ++statistics_.matched;
    statistics_.matched_bytes += batch.packets[i].length;
  }
  statistics_.packets += batch.packets.size();
  return {};
}

Status Filter::run(capture::Source& source, capture::Sink* sink,
                   const std::function<void(const Statistics&)>& progress) {
  // Compiling before reading shows an error in the expression even for a capture without packets.
  for (const capture::Interface& interface : source.interfaces()) WEIR_CHECK(engine(interface).map([](auto) {}));
  if (sink != nullptr) WEIR_CHECK(sink->begin(source));
  capture::RecordBatch batch;
  for (;;) {
    WEIR_TRY(const std::size_t count, source.read(batch));
    WEIR_CHECK(verdicts_of(source, batch));
    if (sink != nullptr) WEIR_CHECK(sink->write(batch, verdicts_));
    if (count == 0) return {};
    if (progress) progress(statistics_);
  }
}

}  // namespace weir::pipe
