// Exports Segments.
//
// Long segments need few guesses. Those at the end of a region are shorter, so that all cursors and threads have work
// until there is none.
#include "pipe/segments.h"

#include <algorithm>

namespace weir::pipe {
namespace {

constexpr std::uint64_t kMegabyte = 1 << 20;
constexpr std::uint64_t kShortest = kMegabyte / 8;
constexpr std::uint64_t kLongest = 4 * kMegabyte;
constexpr std::uint64_t kFetched = 32 * kMegabyte;  // at once from the disk
// What lies between the first segment not taken back and the last one given out, as long as segments are not the
// shortest. Where packets are written, the ranges of all of it are held: eight bytes for two of the shortest records.
constexpr std::uint64_t kInFlight = 256 * kMegabyte;
constexpr std::uint64_t kInFlightToWrite = 64 * kMegabyte;
constexpr std::size_t kLongestRing = 1024;
static_assert(2 * kInFlight <= capture::Walker::kSpan && 2 * kShortest * kLongestRing <= capture::Walker::kSpan);

}  // namespace

Segments::Segments(const SegmentsOptions& options)
    : threads_(options.threads),
      ring_size_(std::min<std::size_t>(std::size_t{2} * capture::Walker::kCursors * options.threads, kLongestRing)),
      wanted_size_(std::min<std::size_t>(options.segment_size, capture::Walker::kSpan / 2 / ring_size_)),
      ring_(std::make_unique<SegmentResult[]>(ring_size_)) {}

void Segments::reset(const RegionWork& work) {
  work_ = &work;
  size_ = work.region->bytes.size();
  const bool writes = std::any_of(work.jobs.begin(), work.jobs.end(), [](const RegionJob& job) { return job.writes; });
  longest_ = std::clamp((writes ? kInFlightToWrite : kInFlight) / ring_size_, kShortest, kLongest);
  ahead_ = any_ ? std::max(position_, kShortest) : size_;
  any_ = true;
  next_ = fetched_ = position_ = 0;
  given_ = taken_ = 0;
  all_given_ = size_ == 0;
  cancelled_ = false;
}

std::uint64_t Segments::next_size() const {
  if (wanted_size_ != 0) return wanted_size_;
  return std::clamp(std::min(size_ - next_, ahead_) / ring_size_, kShortest, longest_);
}

// With mutex_ held, where there are other threads.
bool Segments::may_give() const { return has_room() && (next_ == position_ || next_ - position_ < ahead_); }

bool Segments::has_room() const { return given_.load() - taken_.load() < ring_size_; }

SegmentResult* Segments::give() {
  if (all_given_.load(std::memory_order_relaxed) || !has_room()) return nullptr;
  const std::lock_guard lock(mutex_);
  if (all_given_ || cancelled_ || !may_give()) return nullptr;
  const capture::Segment segment{next_, std::min(size_, next_ + next_size())};
  if (segment.limit > fetched_) {
    const std::uint64_t to = std::min(size_, std::max(segment.limit, fetched_ + std::min(kFetched, ahead_)));
    capture::fetch(*work_->region, fetched_, to);
    fetched_ = to;
  }
  next_ = segment.limit;
  if (next_ == size_) {
    all_given_ = true;
    room_.notify_all();
  }
  SegmentResult& result = ring_[given_.load() % ring_size_];
  result.reset(segment, work_->jobs.size());
  ++given_;  // last: from here on front() may look at it
  return &result;
}

void Segments::finish(SegmentResult& result) {
  if (threads_ == 1) {
    result.finished.store(true, std::memory_order_relaxed);
    return;
  }
  const std::lock_guard lock(mutex_);
  result.finished.store(true, std::memory_order_release);
  finished_.notify_one();
}

bool Segments::wait_for_room() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return cancelled_ || all_given_ || may_give(); });
  return !cancelled_ && !all_given_;
}

void Segments::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  all_given_ = true;
  room_.notify_all();
}

const SegmentResult* Segments::front() const {
  if (taken_.load(std::memory_order_relaxed) == given_.load()) return nullptr;
  const SegmentResult& result = ring_[taken_.load(std::memory_order_relaxed) % ring_size_];
  return result.finished.load(std::memory_order_acquire) ? &result : nullptr;
}

void Segments::pop() {
  std::unique_lock lock(mutex_, std::defer_lock);
  if (threads_ > 1) lock.lock();
  position_ = ring_[taken_ % ring_size_].segment.limit;
  ++taken_;
  const bool grows = ahead_ < size_;
  if (grows) ahead_ *= 2;
  if (threads_ == 1) return;
  if (grows) room_.notify_all();
  else room_.notify_one();
}

bool Segments::is_done() const { return all_given_ && taken_.load() == given_.load(); }

void Segments::wait_for_front() {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return front() != nullptr; });
}

}  // namespace weir::pipe
