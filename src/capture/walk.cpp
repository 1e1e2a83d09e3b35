// Cursors over plain records, and guesses where one starts. Exports Walker and find_record.
//
// The inner loop takes one step of each cursor in turn: the loads of a step depend on the step before of the same
// cursor only, so a core has as many cache misses under way as there are cursors. The next record's header is also
// prefetched, and the packet's second cache line, which filters read. Nearly all steps end before their cursor's limit
// and so need no look at the end of the file: those are taken by a loop without anything else in it (walk_fast), which
// hands over to one that looks at everything.
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
enum class Found : std::uint8_t { kPacket, kOther, kStop };

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

  Found operator()(const std::uint8_t* at, std::size_t left, Entry& entry) const {
    if (left < kPcapHeader) return Found::kStop;
    entry.captured = number<swapped>(at + 8);
    entry.wire = number<swapped>(at + 12);
    entry.size = kPcapHeader + entry.captured;
    return entry.captured > limit || entry.size > left ? Found::kStop : Found::kPacket;
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

  Found operator()(const std::uint8_t* at, std::size_t left, Entry& entry) const {
    if (left < kBlockHeader + kBlockTrailer) return Found::kStop;
    const auto type = number<swapped>(at);
    entry.size = number<swapped>(at + 4);
    if (entry.size > left || entry.size % 4 != 0 || entry.size < kBlockHeader + kBlockTrailer) return Found::kStop;
    if (number<swapped>(at + entry.size - kBlockTrailer) != entry.size) return Found::kStop;
    if (type != kEnhancedPacket) {
      entry.captured = entry.wire = entry.interface = 0;
      return is_passive(type) && entry.size <= kLongestPacket ? Found::kOther : Found::kStop;
    }
    if (entry.size < kShortestEnhanced) return Found::kStop;
    entry.interface = number<swapped>(at + 8);
    entry.captured = number<swapped>(at + 20);
    entry.wire = number<swapped>(at + 24);
    if (entry.interface >= limits.size() || entry.captured > limits[entry.interface]) return Found::kStop;
    return entry.captured > entry.size - kShortestEnhanced ? Found::kStop : Found::kPacket;
  }
  bool ends_before(const std::uint8_t* at, const std::uint8_t* before, Entry& entry) const {
    return (*this)(at, static_cast<std::size_t>(before - at), entry) == Found::kPacket && at + entry.size < before;
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
  return step(at, left, entry) == Found::kPacket && entry.wire >= entry.captured &&
         entry.wire <= std::max(step.limit, kLongestPacket) && number<swapped>(at + 4) < layout.fraction_limit;
}

template <bool swapped>
bool is_plausible(const PcapngStep<swapped>& step, const Layout&, const std::uint8_t* at, std::size_t left,
                  Entry& entry) {
  return left >= kShortestEnhanced && number<swapped>(at) == kEnhancedPacket &&
         step(at, left, entry) == Found::kPacket && entry.captured > 0;
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

std::size_t Walker::start(const Segment& segment) {
  assert(has_free());
  std::size_t index = 0;
  while (taken_[index]) ++index;
  taken_[index] = true;
  ++running_;
  cursors_[index] = {segment.begin, segment.limit, segment.begin < segment.limit, false};
  stripes_[index].count = 0;
  return index;
}

void Walker::release(std::size_t index) {
  assert(taken_[index] && !cursors_[index].running);
  taken_[index] = false;
  --running_;
  stripes_[index].count = 0;
}

// The cursors that are under way, side by side.
struct Walker::Lanes {
  std::size_t count = 0;
  std::size_t index[kCursors];  // of the cursor
  const std::uint8_t* at[kCursors];
  const std::uint8_t* limit[kCursors];
  Stripe* stripe[kCursors];
  std::size_t rows[kCursors];  // records found so far
};

// Steps while every cursor's next record is a packet that ends before the cursor's limit. Returns the number of whole
// rows; lanes.rows has what each cursor found.
template <typename Step>
std::size_t Walker::walk_fast(const Step& step, Lanes& lanes) {
  const std::uint8_t* const base = region_.bytes.data() + base_;
  const std::uint8_t* const last_header = region_.bytes.data() + region_.bytes.size() - Step::kHeader;
  const std::uint8_t* before[kCursors];
  for (std::size_t i = 0; i < lanes.count; ++i) {
    before[i] = std::min(lanes.limit[i], last_header);
    if (lanes.at[i] > last_header) return 0;
  }
  for (std::size_t row = 0; row < Stripe::kRecords; ++row) {
    for (std::size_t i = 0; i < lanes.count; ++i) {
      const std::uint8_t* const here = lanes.at[i];
      Entry entry;
      if (!step.ends_before(here, before[i], entry)) [[unlikely]] {
        for (std::size_t j = 0; j < lanes.count; ++j) lanes.rows[j] = row + (j < i ? 1 : 0);
        return row;
      }
      const std::uint8_t* const next = here + entry.size;
      __builtin_prefetch(next);
      __builtin_prefetch(next + 64);
      Stripe& stripe = *lanes.stripe[i];
      stripe.offsets[row] = static_cast<std::uint32_t>(here - base + static_cast<std::ptrdiff_t>(Step::kHeader));
      stripe.lengths[row] = entry.captured;
      stripe.wire_lengths[row] = entry.wire;
      if constexpr (Step::kHeader == kEnhancedHeader) {
        stripe.ends[row] = static_cast<std::uint32_t>(next - base);
        stripe.interfaces[row] = entry.interface;
      }
      lanes.at[i] = next;
    }
  }
  for (std::size_t i = 0; i < lanes.count; ++i) lanes.rows[i] = Stripe::kRecords;
  return Stripe::kRecords;
}

template <typename Step>
void Walker::walk_all(const Step& step) {
  const std::uint8_t* const base = region_.bytes.data() + base_;
  const std::uint8_t* const end = region_.bytes.data() + region_.bytes.size();
  Lanes lanes;
  for (std::size_t i = 0; i < kCursors; ++i) {
    stripes_[i].count = 0;
    if (!taken_[i] || !cursors_[i].running) continue;
    const std::size_t lane = lanes.count++;
    lanes.index[lane] = i;
    lanes.at[lane] = region_.bytes.data() + cursors_[i].position;
    lanes.limit[lane] = region_.bytes.data() + cursors_[i].limit;
    lanes.stripe[lane] = &stripes_[i];
    lanes.rows[lane] = 0;
    stripes_[i].others = 0;
  }
  // Lane i ends here, and the last one takes its place.
  const auto finish = [&](std::size_t i) {
    lanes.stripe[i]->count = lanes.rows[i];
    cursors_[lanes.index[i]].position = static_cast<std::uint64_t>(lanes.at[i] - region_.bytes.data());
    const std::size_t last = --lanes.count;
    lanes.index[i] = lanes.index[last];
    lanes.at[i] = lanes.at[last];
    lanes.limit[i] = lanes.limit[last];
    lanes.stripe[i] = lanes.stripe[last];
    lanes.rows[i] = lanes.rows[last];
  };
  walk_fast(step, lanes);
  while (lanes.count > 0) {
    for (std::size_t i = 0; i < lanes.count;) {
      if (lanes.rows[i] == Stripe::kRecords) {
        finish(i);
        continue;
      }
      Cursor& cursor = cursors_[lanes.index[i]];
      const std::uint8_t* const here = lanes.at[i];
      Entry entry;
      const Found found = step(here, static_cast<std::size_t>(end - here), entry);
      if (found == Found::kStop) [[unlikely]] {
        cursor.running = false;
        cursor.stopped = true;
        finish(i);
        continue;
      }
      const std::uint8_t* const next = here + entry.size;
      __builtin_prefetch(next);
      __builtin_prefetch(next + 64);
      Stripe& stripe = *lanes.stripe[i];
      const std::size_t row = lanes.rows[i]++;
      stripe.offsets[row] = static_cast<std::uint32_t>(here - base + static_cast<std::ptrdiff_t>(Step::kHeader));
      stripe.lengths[row] = entry.captured;
      stripe.wire_lengths[row] = entry.wire;
      if constexpr (Step::kHeader == kEnhancedHeader) {
        stripe.ends[row] = static_cast<std::uint32_t>(next - base);
        stripe.interfaces[row] = entry.interface;
        if (found == Found::kOther) stripe.others |= std::uint64_t{1} << row;
      }
      lanes.at[i] = next;
      if (next >= lanes.limit[i]) [[unlikely]] {
        cursor.running = false;
        finish(i);
        continue;
      }
      ++i;
    }
  }
}

void Walker::walk() {
  with_step(region_.layout, [&](const auto& step) { walk_all(step); });
}

void fetch(const Region& region, std::uint64_t from, std::uint64_t to) {
  if (!region.mapped) return;
  constexpr std::uint64_t kProbeEvery = 2u << 20;
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
