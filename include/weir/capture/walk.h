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

// Records that a cursor found, in order. Columns are relative to the walker's base. A view into the walker.
struct Stripe {
  static constexpr std::size_t kRecords = 64;  // as many as a word has bits
  static constexpr std::size_t kSlack = 4;     // entries behind the last one that may be read, whatever they hold

  const std::uint32_t* offsets = nullptr;       // of the packets' bytes
  const std::uint32_t* lengths = nullptr;       // captured bytes
  const std::uint32_t* wire_lengths = nullptr;  // bytes on the wire
  std::size_t count = 0;
  // pcapng only; in pcap nothing stands between a packet's end and the next record.
  std::uint64_t others = 0;                   // bits of the entries that are blocks without a packet
  const std::uint32_t* ends = nullptr;        // where the record ends
  const std::uint32_t* interfaces = nullptr;  // index into Layout::limits
};

class Walker {
 public:
  static constexpr std::size_t kCursors = 16;

  // `region` and `layout` must outlive the walker. Offsets in stripes are relative to region.bytes.data() + base, and
  // all segments must lie in [base, base + 2^30).
  Walker(const Region& region, std::uint64_t base);

  // Takes a segment into a free cursor; gives the cursor's index.
  std::size_t start(const Segment& segment);
  bool has_free() const { return running_ < kCursors; }
  std::size_t running() const { return running_; }

  // Walks all cursors on, until they have filled a stripe or some of them finish. stripe() tells what is to be taken.
  void walk();

  struct Cursor {
    std::uint64_t position = 0;  // where the next record starts, once it has finished
    bool running = false;        // not finished: neither at the limit nor stopped
    bool stopped = false;        // at `position` is something else than a plain record, or it is cut
  };
  const Cursor& cursor(std::size_t index) const { return cursors_[index]; }
  // What this cursor found that was not to be taken before; nothing while its stripe fills. Valid until walk().
  Stripe stripe(std::size_t index) const;
  // Asks the memory for what this cursor will need next: worth it before its stripe is judged, where records are short.
  void look_ahead(std::size_t index) const;
  // Frees a cursor that has finished.
  void release(std::size_t index);

 private:
  // What the cursors find, a row at a time: entry r of every column is what each found in step r. A cursor that starts
  // while the others are under way fills its columns from first_ on.
  struct Columns {
    alignas(32) std::uint32_t offsets[Stripe::kRecords + Stripe::kSlack];
    std::uint32_t lengths[Stripe::kRecords + Stripe::kSlack];
    std::uint32_t wire_lengths[Stripe::kRecords + Stripe::kSlack];
    std::uint32_t ends[Stripe::kRecords + Stripe::kSlack];
    std::uint32_t interfaces[Stripe::kRecords + Stripe::kSlack];
    std::uint64_t others;
  };

  template <typename Step>
  void walk_all(const Step& step);
  template <typename Step, bool all>
  std::size_t walk_fast(Step step);
  template <typename Step>
  void walk_one(const Step& step, std::size_t index);
  template <typename Step, typename Entry>
  static const std::uint8_t* note(Columns& columns, std::size_t row, const std::uint8_t* here, const std::uint8_t* base,
                                  const Entry& entry);

  const Region& region_;
  const std::uint8_t* base_;
  const std::uint8_t* last_header_ = nullptr;  // where the last header in the region may stand
  std::size_t row_ = 0;                        // the next step's
  std::size_t running_ = 0;                    // cursors that are taken
  std::size_t lanes_ = 0;                      // of them, those that run
  std::size_t lane_[kCursors];                 // the indices of these
  const std::uint8_t* at_[kCursors];           // where the next record starts
  const std::uint8_t* limit_[kCursors];        // where the segment ends
  const std::uint8_t* before_[kCursors];       // the same, but not behind last_header_
  std::size_t first_[kCursors];                // the first row that was not to be taken yet
  std::size_t last_[kCursors];                 // behind the last one of a cursor that has finished
  bool taken_[kCursors] = {};
  Cursor cursors_[kCursors];
  Columns columns_[kCursors] = {};
};

// Lets the system read [from, to) of a mapped region from the disk now, in order: cursors would ask for it in pieces
// from all over. What is in the page cache already is left alone, since single faults map sixteen pages (or one large
// one) at a time, which is faster than mapping all in one call.
void fetch(const Region& region, std::uint64_t from, std::uint64_t to);

// Where a record probably starts in [from, to): the first place at which a chain of plausible records begins.
std::optional<std::uint64_t> find_record(const Region& region, std::uint64_t from, std::uint64_t to);

}  // namespace weir::capture
