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

// Records that the cursors found: a step of each cursor in turn, then the next step of each. Entry e was found by
// cursor lane[e % lanes]. A view into the walker, valid until its next walk().
struct Found {
  static constexpr std::size_t kRecords = 64;  // at most: as many as a word has bits
  static constexpr std::size_t kSlack = 4;     // entries behind the last one that may be read, whatever they hold

  const std::uint8_t* base = nullptr;
  const std::uint32_t* offsets = nullptr;       // of the packets' bytes, from base
  const std::uint32_t* lengths = nullptr;       // captured bytes
  const std::uint32_t* wire_lengths = nullptr;  // bytes on the wire
  std::size_t count = 0;
  // pcapng only; in pcap nothing stands between a packet's end and the next record.
  std::uint64_t others = 0;                   // bits of the entries that are blocks without a packet
  const std::uint32_t* ends = nullptr;        // where the record ends, from base
  const std::uint32_t* interfaces = nullptr;  // index into Layout::limits

  std::size_t lanes = 0;               // cursors that run
  const std::uint8_t* lane = nullptr;  // their indices, ascending
  // The cursor that has finished with the last of these entries, or without one; none while this is Walker::kCursors.
  std::size_t finished = 0;
};

class Walker {
 public:
  static constexpr std::size_t kCursors = 16;
  static constexpr std::uint64_t kSpan = std::uint64_t{1} << 30;

  // `region` must outlive the walker.
  explicit Walker(const Region& region);

  // Takes a segment, which is not empty, into a free cursor; gives the cursor's index. All segments that are walked at
  // once must lie within kSpan bytes.
  std::size_t start(const Segment& segment);
  bool has_free() const { return running_ < kCursors; }
  std::size_t running() const { return running_; }

  // Walks all cursors on until there are enough records for a batch, or one of the cursors finishes. At least one must
  // be running.
  const Found& walk();

  struct End {
    std::uint64_t position = 0;  // where the next record starts
    std::uint64_t packets = 0;   // in the segment
    bool stopped = false;        // at `position` is something else than a plain record, or it is cut
  };
  // Frees the cursor that has finished.
  End release(std::size_t index);

 private:
  struct Columns {
    alignas(64) std::uint32_t offsets[Found::kRecords + Found::kSlack];
    alignas(64) std::uint32_t lengths[Found::kRecords + Found::kSlack];
    alignas(64) std::uint32_t wire_lengths[Found::kRecords + Found::kSlack];
    alignas(64) std::uint32_t ends[Found::kRecords + Found::kSlack];
    alignas(64) std::uint32_t interfaces[Found::kRecords + Found::kSlack];
  };

  void choose_lanes();
  void look_ahead() const;
  template <typename Step>
  void walk_all(const Step& step);
  template <typename Step, bool all>
  std::size_t walk_fast(Step step, std::size_t count);
  template <typename Step>
  bool walk_one(const Step& step, std::size_t index);
  template <typename Step, typename Entry>
  static const std::uint8_t* note(Columns& columns, std::size_t entry_index, const std::uint8_t* here,
                                  const std::uint8_t* base, const Entry& entry);

  const Region& region_;
  const std::uint8_t* base_ = nullptr;         // the first of the running segments' begins
  const std::uint8_t* last_header_ = nullptr;  // where the last header in the region may stand
  std::size_t running_ = 0;
  bool changed_ = true;          // other cursors run than found_ says
  bool before_ends_ = false;     // no cursor is known to have passed its before_
  std::uint64_t steps_ = 0;      // that all cursors have taken
  std::uint8_t lane_[kCursors];  // the cursors that run
  bool taken_[kCursors] = {};
  const std::uint8_t* begin_[kCursors];   // of the segment
  const std::uint8_t* at_[kCursors];      // where the next record starts
  const std::uint8_t* limit_[kCursors];   // where the segment ends
  const std::uint8_t* before_[kCursors];  // the same, but not behind last_header_
  std::uint64_t first_step_[kCursors];    // what steps_ was, less the steps that this cursor alone has taken
  std::uint64_t others_[kCursors];        // blocks without a packet
  bool stopped_[kCursors];
  Found found_;
  Columns columns_ = {};
};

// Lets the system read [from, to) of a mapped region from the disk now, in order: cursors would ask for it in pieces
// from all over. What is in the page cache already is left alone, since single faults map sixteen pages (or one large
// one) at a time, which is faster than mapping all in one call.
void fetch(const Region& region, std::uint64_t from, std::uint64_t to);

// Where a record probably starts in [from, to): the first place at which a chain of plausible records begins.
std::optional<std::uint64_t> find_record(const Region& region, std::uint64_t from, std::uint64_t to);

}  // namespace weir::capture
