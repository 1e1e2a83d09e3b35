// From a source through engines to a sink: the loop of every capture filter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include <weir/base/error.h>
#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/engine/engine.h>

namespace weir::pipe {

// What went through. Bytes are captured bytes.
struct Statistics {
  std::uint64_t packets = 0;
  std::uint64_t matched = 0;
  std::uint64_t bytes = 0;
  std::uint64_t matched_bytes = 0;
};

// The engine for packets of one interface; asked once for each link type that a source has.
using EngineFor = std::function<Result<std::unique_ptr<engine::Engine>>(const capture::Interface&)>;

// Filters one source after another, each with the engines of its interfaces. Engines are kept between sources.
// Not synchronised.
class Filter {
 public:
  explicit Filter(EngineFor engine_for) : engine_for_(std::move(engine_for)) {}

  // Reads the source to its end; writes what matches, if there is a sink. An error in the capture comes after all
  // packets before it were filtered and written: statistics count them.
  // `progress` is called after each batch, with the statistics so far; may be empty.
  Status run(capture::Source& source, capture::Sink* sink, const std::function<void(const Statistics&)>& progress = {});

  const Statistics& statistics() const { return statistics_; }

 private:
  Result<const engine::Engine*> engine(const capture::Interface& interface);
  Status verdicts_of(const capture::Source& source, const capture::RecordBatch& batch);

  struct Loaded {
    packet::LinkType link_type;
    std::unique_ptr<engine::Engine> engine;
  };
  EngineFor engine_for_;
  std::vector<Loaded> engines_;
  std::vector<std::uint32_t> verdicts_;
  Statistics statistics_;
};

}  // namespace weir::pipe
