// From a source through engines to sinks: the loop of every capture filter.
//
//   weir::pipe::Filter filter({{.engine_for = compile, .sink = sink.get()}});
//   weir::Status status = filter.run(*source);
//
// A file is mapped and walked at many places at once, on all cores (capture/walk.h); pipes and compressed captures are
// taken as they come. Either way packets are judged and written in the capture's order, and the result is the same byte
// for byte. Memory does not grow with the capture.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <weir/base/error.h>
#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/engine/engine.h>

namespace weir::pipe {

// The engine for packets of one interface; asked once for each link type that the sources have. An error ends the run.
using EngineFor = std::function<Result<std::unique_ptr<engine::Engine>>(const capture::Interface&)>;

// One expression, and where its packets go: nowhere when they are only counted. The sink must outlive the filter.
struct Job {
  EngineFor engine_for;
  capture::Sink* sink = nullptr;
};

// What went through. Bytes are captured bytes.
struct Matched {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};
struct Statistics {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<Matched> jobs;  // one a job
};

struct FilterOptions {
  unsigned threads = 0;          // 0: one a core
  std::size_t segment_size = 0;  // how mapped files are cut for cursors; 0: by the size of the file
  bool matched_bytes = true;     // false: Matched::bytes stays 0, and counting is a little faster
  // Called now and then, from the thread that runs the filter, with the statistics so far. May be empty.
  std::function<void(const Statistics&)> progress{};
};

// Filters one source after another, each with the engines of its interfaces. Engines are kept between sources.
// Not synchronised.
class Filter {
 public:
  explicit Filter(std::vector<Job> jobs, FilterOptions options = {});
  ~Filter();
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  // Reads the source to its end; every job gets every packet. An error in the capture comes after all packets before it
  // were filtered and written: statistics count them. A sink whose reader has gone (EPIPE) gets nothing more; the error
  // comes when that is so of every job.
  Status run(capture::Source& source);

  const Statistics& statistics() const;

 private:
  class Run;
  std::unique_ptr<Run> run_;
};

}  // namespace weir::pipe
