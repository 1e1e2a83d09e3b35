// Plain records in memory, found without reading them one after another.
//
// A record's place follows from the length of the one before it, so a loop over a capture waits for memory at each
// packet. A Walker runs many cursors over one piece of a capture at once, each in a segment of its own, so that the
// waits overlap. Where a segment's first record starts is guessed (find_record); it is proved when the cursor of the
// segment before ends exactly there. Unproved segments must be walked again from where that cursor ended, so a wrong
// guess costs time, never a packet.
//
// Only plain records are walked: those that a Source would hand out as they are. At anything else (damage, a packet
// longer than its snap length, a pcapng section or interface) a cursor stops, and the Source reads on from there.
//
// Values without synchronisation; different walkers may run in different threads.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/capture/source.h>
#include <weir/packet/columns.h>

namespace weir::capture {

// One stretch of a capture that a cursor walks: all records that start in [begin, limit). Offsets are in the region.
struct Segment {
  std::uint64_t begin = 0;
  std::uint64_t limit = 0;
};

// The records that a cursor found last, in order. Columns are relative to the walker's base.
struct Stripe {
  static constexpr std::size_t kRecords = 64;  // as many as a word has bits

  alignas(32) std::uint32_t offsets[kRecords];  // of the packets' bytes
  std::uint32_t lengths[kRecords];              // captured bytes
  std::uint32_t wire_lengths[kRecords];         // bytes on the wire
  std::size_t count = 0;
  // pcapng only; in pcap nothing stands between a packet's end and the next record.
  std::uint64_t others;                // bits of the entries that are blocks without a packet
  std::uint32_t ends[kRecords];        // where the record ends
  std::uint32_t interfaces[kRecords];  // index into Layout::limits
};

class Walker {
 public:
  static constexpr std::size_t kCursors = 16;

  // `region` and `layout` must outlive the walker. Offsets in stripes are relative to region.bytes.data() + base, and
  // all segments must lie in [base, base + 2^30).
  Walker(const Region& region, std::uint64_t base) : region_(region), base_(base) {}

  // Takes a segment into a free cursor; gives the cursor's index.
  std::size_t start(const Segment& segment);
  bool has_free() const { return running_ < kCursors; }
  std::size_t running() const { return running_; }

  // Walks all cursors on, by at most Stripe::kRecords records each.
  void walk();

  struct Cursor {
    std::uint64_t position = 0;  // where the next record starts
    std::uint64_t limit = 0;
    bool running = false;  // not finished: neither at the limit nor stopped
    bool stopped = false;  // at `position` is something else than a plain record, or it is cut
  };
  const Cursor& cursor(std::size_t index) const { return cursors_[index]; }
  const Stripe& stripe(std::size_t index) const { return stripes_[index]; }
  // Frees a cursor that has finished.
  void release(std::size_t index);

 private:
  struct Lanes;
  template <typename Step>
  std::size_t walk_fast(const Step& step, Lanes& lanes);
  template <typename Step>
  void walk_all(const Step& step);

  const Region& region_;
  std::uint64_t base_;
  std::size_t running_ = 0;
  bool taken_[kCursors] = {};
  Cursor cursors_[kCursors];
  Stripe stripes_[kCursors];
};

// Lets the system read [from, to) of a mapped region from the disk now, in order: cursors would ask for it in pieces
// from all over. What is in the page cache already is left alone, since single faults map sixteen pages (or one large
// one) at a time, which is faster than mapping all in one call.
void fetch(const Region& region, std::uint64_t from, std::uint64_t to);

// Where a record probably starts in [from, to): the first place at which a chain of plausible records begins.
std::optional<std::uint64_t> find_record(const Region& region, std::uint64_t from, std::uint64_t to);

}  // namespace weir::capture
