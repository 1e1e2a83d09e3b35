// The segments of a region: given out to threads in order, and taken back in order.
//
// A fixed number of results lies in a ring, so threads that are ahead wait for the one that takes back. The region is
// also read from the disk here, a stretch at a time and in order, before segments of that stretch are given out.
//
// A region may end at any record. Where the one before has ended soon, little is given out at first, and more and more
// as it is taken back: what cursors do behind the end, and the search for where they start, is for nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "pipe/segment_walk.h"

namespace weir::pipe {

struct SegmentsOptions {
  unsigned threads = 1;
  std::size_t segment_size = 0;  // 0: by the size of the region
};

class Segments {
 public:
  explicit Segments(const SegmentsOptions& options);

  // Begins a region. No thread may be at work on the one before; as much as was taken of that is given out at first.
  void reset(const RegionWork& work);

  // Any thread. The next segment, reset; null where none is left, or where there is no room (wait_for_room()).
  SegmentResult* give();
  // Any thread: a result is complete.
  void finish(SegmentResult& result);
  // Any thread: waits until give() may give something; false when all is given out or cancelled.
  bool wait_for_room();
  // Gives out nothing more.
  void cancel();
  bool is_cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // One thread takes back. The first result that was not taken back, if it is complete; null if not.
  const SegmentResult* front() const;
  void pop();
  bool is_done() const;  // all was taken back
  void wait_for_front();

 private:
  bool has_room() const;
  bool may_give() const;
  std::uint64_t next_size() const;

  const unsigned threads_;
  const std::size_t ring_size_;
  const std::size_t wanted_size_;  // 0: by the size of the region
  std::unique_ptr<SegmentResult[]> ring_;
  const RegionWork* work_ = nullptr;
  bool any_ = false;           // region was there before
  std::uint64_t size_ = 0;     // of the region
  std::uint64_t longest_ = 0;  // segment of it
  std::mutex mutex_;           // of those who give and finish
  std::uint64_t next_ = 0;     // where the next segment begins
  std::uint64_t fetched_ = 0;
  std::uint64_t position_ = 0;           // where the segment taken back last ends
  std::uint64_t ahead_ = 0;              // of it, what may be given out
  std::atomic<std::uint64_t> given_{0};  // segments
  std::atomic<std::uint64_t> taken_{0};  // of them, those taken back
  std::atomic<bool> all_given_{false};
  std::atomic<bool> cancelled_{false};
  std::condition_variable room_;
  std::condition_variable finished_;
};

}  // namespace weir::pipe
