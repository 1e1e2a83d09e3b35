// One chunk of a region, walked and judged: the work of one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/capture/walk.h>
#include <weir/engine/engine.h>

namespace weir::pipe {

// A job as chunks see it.
struct ChunkJob {
  std::vector<const engine::Engine*> engines;  // one an interface of the section
  bool uniform = true;                         // all of them the same
  bool writes = false;                         // ranges of records are wanted
};

// All that chunks of one region share.
struct ChunkWork {
  const capture::Region* region = nullptr;
  std::vector<ChunkJob> jobs;
  const engine::Joined* joined = nullptr;  // all jobs' engines, where they are joined
  std::size_t segment_size = 0;
  bool matched_bytes = true;  // JobResult::bytes is wanted
  std::atomic<bool> cancelled{false};
};

struct JobResult {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<capture::Range> ranges;  // of records to write, relative to the chunk's base
};

struct SegmentResult {
  capture::Segment segment;  // begin: where its first record was taken to start; the limit where none was found
  std::uint64_t end = 0;     // where the next record starts
  bool stopped = false;      // there, because it is not a plain one
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<JobResult> jobs;
};

class Chunk {
 public:
  // Walks all segments of [from, to). A record is known to start at `from` when `known`; other starts are guessed.
  void run(const ChunkWork& work, std::uint64_t from, std::uint64_t to, bool known);

  // Walks a segment whose first record is known to start at its begin. The result lives until the next call.
  const SegmentResult& walk_known(const ChunkWork& work, const capture::Segment& segment);

  std::uint64_t base() const { return base_; }
  std::span<const SegmentResult> segments() const { return std::span(segments_).first(used_); }

 private:
  void reset(SegmentResult& segment, const ChunkWork& work);
  void walk(capture::Walker& walker, const ChunkWork& work, std::size_t next, std::size_t last, bool known);
  void take(const ChunkWork& work, const capture::Stripe& stripe, SegmentResult& segment);
  std::vector<std::uint64_t> joined_bits_;  // a word a job
  static void finish(const ChunkWork& work, const capture::Walker::Cursor& cursor, SegmentResult& segment);

  std::uint64_t base_ = 0;
  std::size_t used_ = 0;                 // of segments_, which keep their memory
  std::vector<SegmentResult> segments_;  // one more than used_: that of walk_known()
};

}  // namespace weir::pipe
