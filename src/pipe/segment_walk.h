// Segments of a region, walked and judged: the work of one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/capture/walk.h>
#include <weir/engine/engine.h>

namespace weir::pipe {

// A job as a region sees it.
struct RegionJob {
  std::vector<const engine::Engine*> engines;  // one an interface of the section
  bool uniform = true;                         // all of them the same
  bool writes = false;                         // ranges of records are wanted
};

// All that the segments of one region share.
struct RegionWork {
  const capture::Region* region = nullptr;
  std::vector<RegionJob> jobs;
  const engine::Joined* joined = nullptr;  // all jobs' engines, where they are joined
  bool matched_bytes = true;               // JobResult::bytes is wanted
};

struct JobResult {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<capture::Range> ranges;  // of records to write, relative to the segment's begin
};

struct SegmentResult {
  capture::Segment segment;  // begin: where its first record was taken to start; the limit where none was found
  std::uint64_t end = 0;     // where the next record starts
  bool stopped = false;      // there, because it is not a plain one
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<JobResult> jobs;        // keep their memory
  std::atomic<bool> finished{false};  // all of this may be read

  // Makes it that of a segment in which nothing was found yet.
  void reset(const capture::Segment& of, std::size_t job_count);
};

class SegmentWalk {
 public:
  // Both must outlive the walk.
  explicit SegmentWalk(const RegionWork& work);

  bool has_free() const { return walker_.has_free(); }
  bool is_running() const { return walker_.running() > 0; }
  // Begins a segment, which is not empty: its first record starts at segment.begin. The result must stay where it is.
  void start(SegmentResult& result);
  // Walks on and judges some packets; gives the result that became complete with them, or null.
  SegmentResult* step();

 private:
  static constexpr std::size_t kCursors = capture::Walker::kCursors;

  // What each cursor's packets come to.
  struct Sums {
    alignas(16) std::uint32_t packets[kCursors];
    alignas(16) std::uint64_t bytes[kCursors];
  };

  void judge(const capture::Found& found);
  std::uint64_t match(const capture::Found& found, std::size_t job);
  void finish(std::size_t cursor);
  void add_ranges(const capture::Found& found, std::uint64_t bits, std::size_t job);

  const RegionWork& work_;
  const bool pcap_;
  capture::Walker walker_;
  SegmentResult* results_[kCursors] = {};
  std::vector<Sums> sums_;                  // one a job
  Sums all_;                                // pcapng: of all packets
  std::vector<std::uint64_t> joined_bits_;  // a word a job
};

// Walks one segment whose first record is known to start at its begin.
void walk_known(const RegionWork& work, const capture::Segment& segment, SegmentResult& result);

}  // namespace weir::pipe
