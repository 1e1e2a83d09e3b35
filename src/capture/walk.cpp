// Cursors over plain records, and guesses where one starts. Exports Walker and find_record.
//
// The inner loop takes one step of each cursor in turn: the loads of a step depend on the step before of the same
// cursor only, so a core has as many cache misses under way as there are cursors. The next record's header is also
// prefetched, and the packet's second cache line, which filters read. Nearly all steps end before their cursor's limit
// and so need no look at the end of the file: those are taken by a loop without anything else in it (walk_fast), which
// hands over to a step that looks at everything. A cursor that has finished is given another segment at once, so that
// the others need not wait for anybody.
//
// A guess asks of kChain records in a row what records of real captures have: a captured length above 0 and within the
// limit, a length on the wire not below it but within it too, a fraction below a second (pcap); a known block type and
// the same length before and behind (pcapng). Times say nothing: merged captures come from any year.
#include <weir/capture/walk.h>

#include <algorithm>
#include <cassert>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "capture/pcapng_blocks.h"

namespace weir::capture {
namespace {

constexpr std::size_t kPcapHeader = 16;
constexpr std::size_t kEnhancedHeader = 28;
constexpr std::size_t kShortestEnhanced = kEnhancedHeader + kBlockTrailer;
constexpr int kChain = 6;

constexpr std::endian kForeign = std::endian::native == std::endian::little ? std::endian::big : std::endian::little;

template <bool swapped, typename T = std::uint32_t>
T number(const std::uint8_t* at) {
  return load<T>(at, swapped ? kForeign : std::endian::native);
}

// What one step found at a place.
enum class Kind : std::uint8_t { kPacket, kOther, kStop };

struct Entry {
  std::uint32_t captured = 0;
  std::uint32_t wire = 0;
  std::uint32_t interface = 0;
  std::size_t size = 0;  // of the whole record
};

template <bool swapped>
struct PcapStep {
  static constexpr std::size_t kHeader = kPcapHeader;
  std::uint32_t limit;

  Kind operator()(const std::uint8_t* at, std::size_t left, Entry& entry) const {
    if (left < kPcapHeader) return Kind::kStop;
    entry.captured = number<swapped>(at + 8);
    entry.wire = number<swapped>(at + 12);
    entry.size = kPcapHeader + entry.captured;
    return entry.captured > limit || entry.size > left ? Kind::kStop : Kind::kPacket;
  }
  // Whether a packet's record stands here and ends before `before`; the header is known to lie inside of the file.
  bool ends_before(const std::uint8_t* at, const std::uint8_t* before, Entry& entry) const {
    entry.captured = number<swapped>(at + 8);
    entry.wire = number<swapped>(at + 12);
    entry.size = kPcapHeader + std::size_t{entry.captured};
    return entry.captured <= limit && at + entry.size < before;
  }
};

// Whether a block may stand among plain packets: everything but what changes the meaning of others, or needs a Source.
constexpr bool is_passive(std::uint32_t type) {
  return type != kSectionHeader && type != kInterfaceDescription && type != kSimplePacket && type != kObsoletePacket &&
         type != kPrivateCustom;
}

template <bool swapped>
struct PcapngStep {
  static constexpr std::size_t kHeader = kEnhancedHeader;
  std::span<const std::uint32_t> limits;

  // A Source says what is to be done with blocks that are too long.
  Kind operator()(const std::uint8_t* at, std::size_t left, Entry& entry) const {
    return look(at, std::min(left, kLongestBlock), entry);
  }
  // Segments are shorter than the longest block.
  bool ends_before(const std::uint8_t* at, const std::uint8_t* before, Entry& entry) const {
    return look(at, static_cast<std::size_t>(before - at), entry) == Kind::kPacket && at + entry.size < before;
  }

 private:
  Kind look(const std::uint8_t* at, std::size_t left, Entry& entry) const {
    if (left < kBlockHeader + kBlockTrailer) return Kind::kStop;
    const auto type = number<swapped>(at);
    entry.size = number<swapped>(at + 4);
    if (entry.size > left || entry.size % 4 != 0 || entry.size < kBlockHeader + kBlockTrailer) return Kind::kStop;
    if (number<swapped>(at + entry.size - kBlockTrailer) != entry.size) return Kind::kStop;
    if (type != kEnhancedPacket) {
      entry.captured = entry.wire = entry.interface = 0;
      return is_passive(type) && entry.size <= kLongestPacket ? Kind::kOther : Kind::kStop;
    }
    if (entry.size < kShortestEnhanced) return Kind::kStop;
    entry.interface = number<swapped>(at + 8);
    entry.captured = number<swapped>(at + 20);
    entry.wire = number<swapped>(at + 24);
    if (entry.interface >= limits.size() || entry.captured > limits[entry.interface]) return Kind::kStop;
    return entry.captured > entry.size - kShortestEnhanced ? Kind::kStop : Kind::kPacket;
  }
};

// Calls `use` with the step for a layout.
template <typename Use>
auto with_step(const Layout& layout, const Use& use) {
  const std::uint32_t limit = layout.limits.empty() ? 0 : layout.limits.front();
  if (layout.format == Format::kPcap) return layout.swapped ? use(PcapStep<true>{limit}) : use(PcapStep<false>{limit});
  return layout.swapped ? use(PcapngStep<true>{layout.limits}) : use(PcapngStep<false>{layout.limits});
}

template <bool swapped>
bool is_plausible(const PcapStep<swapped>& step, const Layout& layout, const std::uint8_t* at, std::size_t left,
                  Entry& entry) {
  // The length first: it refuses most places with one load.
  if (left < kPcapHeader || number<swapped>(at + 8) - 1 >= step.limit) return false;
  return step(at, left, entry) == Kind::kPacket && entry.wire >= entry.captured &&
         entry.wire <= std::max(step.limit, kLongestPacket) && number<swapped>(at + 4) < layout.fraction_limit;
}

template <bool swapped>
bool is_plausible(const PcapngStep<swapped>& step, const Layout&, const std::uint8_t* at, std::size_t left,
                  Entry& entry) {
  return left >= kShortestEnhanced && number<swapped>(at) == kEnhancedPacket &&
         step(at, left, entry) == Kind::kPacket && entry.captured > 0;
}

template <typename Step>
bool starts_chain(const Step& step, const Region& region, std::uint64_t at) {
  const std::size_t size = region.bytes.size();
  for (int i = 0; i < kChain && at < size; ++i) {
    Entry entry;
    if (!is_plausible(step, region.layout, region.bytes.data() + at, size - at, entry)) return false;
    at += entry.size;
  }
  return true;
}

}  // namespace

Walker::Walker(const Region& region) : region_(region) {
  const std::size_t header = region.layout.format == Format::kPcap ? kPcapHeader : kEnhancedHeader;
  if (region.bytes.size() >= header) last_header_ = region.bytes.data() + region.bytes.size() - header;
  found_.offsets = columns_.offsets;
  found_.lengths = columns_.lengths;
  found_.wire_lengths = columns_.wire_lengths;
  found_.ends = columns_.ends;
  found_.interfaces = columns_.interfaces;
  found_.lane = lane_;
}

std::size_t Walker::start(const Segment& segment) {
  assert(has_free() && segment.begin < segment.limit);
  std::size_t index = 0;
  while (taken_[index]) ++index;
  taken_[index] = true;
  ++running_;
  changed_ = true;
  const std::uint8_t* const bytes = region_.bytes.data();
  begin_[index] = at_[index] = bytes + segment.begin;
  limit_[index] = bytes + segment.limit;
  before_[index] = std::min(limit_[index], last_header_);
  first_step_[index] = steps_;
  others_[index] = 0;
  stopped_[index] = false;
  __builtin_prefetch(at_[index]);
  __builtin_prefetch(at_[index] + 64);
  return index;
}

Walker::End Walker::release(std::size_t index) {
  assert(taken_[index] && found_.finished == index);
  taken_[index] = false;
  --running_;
  changed_ = true;
  return {static_cast<std::uint64_t>(at_[index] - region_.bytes.data()), steps_ - first_step_[index] - others_[index],
          stopped_[index]};
}

void Walker::choose_lanes() {
  changed_ = false;
  before_ends_ = false;
  found_.lanes = 0;
  for (std::size_t i = 0; i < kCursors; ++i) {
    if (!taken_[i]) continue;
    if (found_.lanes == 0 || begin_[i] < base_) base_ = begin_[i];
    lane_[found_.lanes++] = static_cast<std::uint8_t>(i);
  }
  found_.base = base_;
}

// Writes what a cursor found here as an entry; gives the next record's place.
template <typename Step, typename Entry>
inline const std::uint8_t* Walker::note(Columns& columns, std::size_t entry_index, const std::uint8_t* here,
                                        const std::uint8_t* base, const Entry& entry) {
  const std::uint8_t* const next = here + entry.size;
  __builtin_prefetch(next);
  __builtin_prefetch(next + 64);
  columns.offsets[entry_index] = static_cast<std::uint32_t>(here - base + static_cast<std::ptrdiff_t>(Step::kHeader));
  columns.lengths[entry_index] = entry.captured;
  columns.wire_lengths[entry_index] = entry.wire;
  if constexpr (Step::kHeader == kEnhancedHeader) {
    columns.ends[entry_index] = static_cast<std::uint32_t>(next - base);
    columns.interfaces[entry_index] = entry.interface;
  }
  return next;
}

// Steps while every cursor's next record is a packet that ends before the cursor's limit, from entry `count` on, which
// the first lane's step makes. Returns the number of entries: fewer than a batch where the next step is another. On its
// own and unrolled for all cursors, so that what it needs stays in registers and places are constants.
template <typename Step, bool all>
[[gnu::noinline]] std::size_t Walker::walk_fast(const Step step, std::size_t count) {
  const std::uint8_t* const base = base_;
  const auto take = [&](std::size_t index, std::size_t entry_index) {
    const std::uint8_t* const here = at_[index];
    Entry entry;
    if (!step.ends_before(here, before_[index], entry)) [[unlikely]]
      return false;
    at_[index] = note<Step>(columns_, entry_index, here, base, entry);
    return true;
  };
  const std::size_t lanes = all ? kCursors : found_.lanes;
  for (; count + lanes <= Found::kRecords; count += lanes) {
    if constexpr (all) {
#pragma GCC unroll 16
      for (std::size_t i = 0; i < kCursors; ++i)
        if (!take(i, count + i)) return count + i;
    } else {
      for (std::size_t i = 0; i < lanes; ++i)
        if (!take(lane_[i], count + i)) return count + i;
    }
  }
  return count;
}

// One step of one cursor; false when it was its last.
template <typename Step>
bool Walker::walk_one(const Step& step, std::size_t index) {
  const std::uint8_t* const end = region_.bytes.data() + region_.bytes.size();
  const std::uint8_t* const here = at_[index];
  Entry entry;
  const Kind found = step(here, static_cast<std::size_t>(end - here), entry);
  if (found == Kind::kStop) [[unlikely]] {
    stopped_[index] = true;
    return false;
  }
  if (found == Kind::kOther) {
    found_.others |= std::uint64_t{1} << found_.count;
    ++others_[index];
  }
  at_[index] = note<Step>(columns_, found_.count++, here, base_, entry);
  return at_[index] < limit_[index];
}

template <typename Step>
void Walker::walk_all(const Step& step) {
  const std::size_t lanes = found_.lanes;
  while (found_.count + lanes <= Found::kRecords) {
    std::size_t lane = 0;
    if (!before_ends_)
      before_ends_ =
          std::all_of(lane_, lane_ + lanes, [this](std::size_t index) { return at_[index] <= before_[index]; });
    if (before_ends_) {
      found_.count =
          lanes == kCursors ? walk_fast<Step, true>(step, found_.count) : walk_fast<Step, false>(step, found_.count);
      if (found_.count + lanes > Found::kRecords && found_.count % lanes == 0) return;
      lane = found_.count % lanes;
    }
    before_ends_ = false;
    for (; lane < lanes; ++lane) {
      if (walk_one(step, lane_[lane])) continue;
      found_.finished = lane_[lane];
      return;
    }
  }
}

// While a batch is judged, nothing is asked of the memory; where records are short, these lines will be wanted next.
void Walker::look_ahead() const {
  constexpr std::uint32_t kShort = 3 * 256;  // three records: of longer ones, some lines are never looked at
  constexpr std::size_t kLast = Found::kRecords - kCursors;
  for (std::size_t i = 0; i < kCursors; ++i) {
    if (columns_.offsets[kLast + i] - columns_.offsets[i] > kShort) continue;
    for (std::size_t line = 2; line < 5; ++line) __builtin_prefetch(at_[i] + 64 * line);
  }
}

const Found& Walker::walk() {
  assert(running_ > 0);
  if (changed_) choose_lanes();
  found_.count = 0;
  found_.others = 0;
  found_.finished = kCursors;
  with_step(region_.layout, [&](const auto& step) { walk_all(step); });
  if (found_.count == Found::kRecords && found_.lanes == kCursors) look_ahead();
  steps_ += found_.count / found_.lanes;
  for (std::size_t lane = 0; lane < found_.count % found_.lanes; ++lane) --first_step_[lane_[lane]];
  return found_;
}

void fetch(const Region& region, std::uint64_t from, std::uint64_t to) {
  if (!region.mapped) return;
  constexpr std::uint64_t kProbeEvery = 4u << 20;
  const auto in_memory = [&](std::uint64_t at) {
    std::uint8_t byte = 0;
    iovec into{&byte, 1};
    return ::preadv2(region.descriptor, &into, 1, static_cast<off_t>(region.offset + at), RWF_NOWAIT) == 1;
  };
  std::uint64_t at = from;
  while (at < to && in_memory(at)) at += kProbeEvery;
  if (at >= to && in_memory(to - 1)) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(region.bytes.data() + from) & ~(page - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(region.bytes.data() + to);
  // A hint: where the system refuses (before Linux 5.14, or behind the end of a file that was cut) faults do the work.
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
}

std::optional<std::uint64_t> find_record(const Region& region, std::uint64_t from, std::uint64_t to) {
  // Blocks are multiples of four bytes long, and a capture starts with one.
  const std::uint64_t stride = region.layout.format == Format::kPcapng ? 4 : 1;
  if (stride == 4) from += (4 - (region.offset + from) % 4) % 4;
  return with_step(region.layout, [&](const auto& step) -> std::optional<std::uint64_t> {
    for (std::uint64_t at = from; at < to; at += stride)
      if (starts_chain(step, region, at)) return at;
    return std::nullopt;
  });
}

}  // namespace weir::capture
