// The work on segments. Exports SegmentWalk.
//
// After a few steps of all cursors the engines judge what was found in them, 64 packets at a time. These lie in the
// first cache then, and while they are judged the memory is busy with what the cursors' last steps have asked for: so
// judging costs less than it takes. Results are kept by cursor. With all sixteen running, bits 16 r + c of a word are
// cursor c's, and what they come to is added up in vectors: a loop over single bits costs more than the filter.
// Matching records that lie side by side become one range.
#include "pipe/segment_walk.h"

#include <bit>
#include <cstring>

namespace weir::pipe {
namespace {

using capture::Found;

static_assert(Found::kRecords == 64 && capture::Walker::kCursors == 16);  // four rows of sixteen in a word

// Judges packets of several interfaces, those of each engine together; gives a bit a packet.
std::uint64_t match_mixed(const RegionJob& job, const packet::Columns& columns, const std::uint32_t* interfaces) {
  std::uint64_t bits = 0;
  std::uint64_t done = 0;
  for (std::size_t first = 0; first < columns.count; ++first) {
    if ((done >> first & 1) != 0) continue;
    const engine::Engine* const engine = job.engines[interfaces[first]];
    std::uint32_t offsets[Found::kRecords];
    std::uint32_t lengths[Found::kRecords];
    std::uint32_t wire_lengths[Found::kRecords];
    std::uint8_t places[Found::kRecords];
    std::size_t count = 0;
    for (std::size_t i = first; i < columns.count; ++i) {
      if (job.engines[interfaces[i]] != engine) continue;
      done |= std::uint64_t{1} << i;
      offsets[count] = columns.offsets[i];
      lengths[count] = columns.lengths[i];
      wire_lengths[count] = columns.wire_lengths[i];
      places[count++] = static_cast<std::uint8_t>(i);
    }
    std::uint64_t found = 0;
    engine->match({columns.base, offsets, lengths, wire_lengths, nullptr, count}, std::span(&found, 1));
    for (; found != 0; found &= found - 1) bits |= std::uint64_t{1} << places[std::countr_zero(found)];
  }
  return bits;
}

using Four = std::uint32_t __attribute__((vector_size(16)));
constexpr Four kBits[4] = {{1, 2, 4, 8}, {16, 32, 64, 128}, {256, 512, 1024, 2048}, {4096, 8192, 16384, 32768}};

// All bits of an element where the bit of this column in a row of sixteen is set, else none.
Four chosen(std::uint64_t bits, unsigned row, unsigned quarter) {
  const auto sixteen = static_cast<std::uint32_t>(bits >> 16 * row & 0xffff);
  return reinterpret_cast<Four>((Four{sixteen, sixteen, sixteen, sixteen} & kBits[quarter]) == kBits[quarter]);
}

// Adds to sixteen counts how many of their bits are set.
void add_bits(std::uint64_t bits, std::uint32_t* counts) {
  for (unsigned quarter = 0; quarter < 4; ++quarter) {
    Four sum;
    std::memcpy(&sum, counts + 4 * quarter, sizeof sum);
    for (unsigned row = 0; row < 4; ++row) sum -= chosen(bits, row, quarter);
    std::memcpy(counts + 4 * quarter, &sum, sizeof sum);
  }
}

// Adds to sixteen sums the lengths of the packets whose bits are set.
void add_lengths(std::uint64_t bits, const std::uint32_t* lengths, std::uint64_t* sums) {
  for (unsigned quarter = 0; quarter < 4; ++quarter) {
    Four sum = {};  // cannot wrap: all of it lies within 2^32 bytes
    for (unsigned row = 0; row < 4; ++row) {
      Four some;
      std::memcpy(&some, lengths + 16 * row + 4 * quarter, sizeof some);
      sum += some & chosen(bits, row, quarter);
    }
    for (unsigned i = 0; i < 4; ++i) sums[4 * quarter + i] += sum[i];
  }
}

// The same for any number of lanes: the sum of lengths only where it is asked for.
void add(const Found& found, std::uint64_t bits, std::uint32_t* counts, std::uint64_t* sums) {
  if (bits == 0) return;
  if (found.lanes == capture::Walker::kCursors) {
    if (counts != nullptr) add_bits(bits, counts);
    if (sums != nullptr) add_lengths(bits, found.lengths, sums);
    return;
  }
  for (; bits != 0; bits &= bits - 1) {
    const auto entry = static_cast<unsigned>(std::countr_zero(bits));
    const std::size_t cursor = found.lane[found.lanes == 1 ? 0 : entry % found.lanes];
    if (counts != nullptr) ++counts[cursor];
    if (sums != nullptr) sums[cursor] += found.lengths[entry];
  }
}

}  // namespace

void SegmentResult::reset(const capture::Segment& of, std::size_t job_count) {
  segment = of;
  end = of.begin;
  stopped = false;
  packets = bytes = 0;
  jobs.resize(job_count);
  for (JobResult& job : jobs) {
    job.packets = job.bytes = 0;
    job.ranges.clear();
  }
  finished.store(false, std::memory_order_relaxed);
}

SegmentWalk::SegmentWalk(const RegionWork& work)
    : work_(work),
      pcap_(work.region->layout.format == capture::Format::kPcap),
      walker_(*work.region),
      sums_(work.jobs.size()),
      joined_bits_(work.jobs.size()) {}

void SegmentWalk::start(SegmentResult& result) {
  const std::size_t cursor = walker_.start(result.segment);
  results_[cursor] = &result;
  for (Sums& sums : sums_) sums.packets[cursor] = 0, sums.bytes[cursor] = 0;
  all_.bytes[cursor] = 0;
}

std::uint64_t SegmentWalk::match(const Found& found, std::size_t j) {
  if (work_.joined != nullptr) return joined_bits_[j];
  const RegionJob& job = work_.jobs[j];
  const packet::Columns columns{found.base, found.offsets, found.lengths, found.wire_lengths, nullptr, found.count};
  if (!job.uniform) return match_mixed(job, columns, found.interfaces);
  std::uint64_t bits = 0;
  job.engines.front()->match(columns, std::span(&bits, 1));
  return bits;
}

void SegmentWalk::judge(const Found& found) {
  if (!pcap_) {
    const std::uint64_t entries = ~std::uint64_t{0} >> (Found::kRecords - found.count);
    add(found, entries & ~found.others, nullptr, all_.bytes);
  }
  if (work_.joined != nullptr)
    work_.joined->match({found.base, found.offsets, found.lengths, found.wire_lengths, nullptr, found.count},
                        joined_bits_);
  for (std::size_t j = 0; j < work_.jobs.size(); ++j) {
    const std::uint64_t bits = match(found, j);
    add(found, bits & ~found.others, sums_[j].packets, work_.matched_bytes ? sums_[j].bytes : nullptr);
    // Blocks of pcapng that are no packets are written whatever the filter.
    if (work_.jobs[j].writes) add_ranges(found, bits | found.others, j);
  }
}

// Makes ranges of the records whose bits are set. A cursor's records lie side by side, so all four of its in a word are
// one range.
void SegmentWalk::add_ranges(const Found& found, std::uint64_t bits, std::size_t job) {
  const std::uint32_t header = pcap_ ? 16 : 28;
  const auto add_one = [&](std::size_t cursor, std::size_t first, std::size_t last) {
    SegmentResult& result = *results_[cursor];
    // Relative to the segment, of which the walker's base knows nothing. Sums wrap.
    const auto shift = static_cast<std::uint32_t>(found.base - work_.region->bytes.data()) -
                       static_cast<std::uint32_t>(result.segment.begin);
    const std::uint32_t begin = found.offsets[first] - header + shift;
    const std::uint32_t end = shift + (pcap_ ? found.offsets[last] + found.lengths[last] : found.ends[last]);
    std::vector<capture::Range>& ranges = result.jobs[job].ranges;
    if (!ranges.empty() && ranges.back().end == begin) ranges.back().end = end;
    else ranges.push_back({begin, end});
  };
  if (found.lanes != kCursors) {
    for (; bits != 0; bits &= bits - 1) {
      const auto entry = static_cast<unsigned>(std::countr_zero(bits));
      add_one(found.lane[entry % found.lanes], entry, entry);
    }
    return;
  }
  for (std::uint64_t any = (bits | bits >> 16 | bits >> 32 | bits >> 48) & 0xffff; any != 0; any &= any - 1) {
    const auto cursor = static_cast<unsigned>(std::countr_zero(any));
    constexpr std::uint64_t kColumn = 0x0001000100010001;
    std::uint64_t own = bits >> cursor & kColumn;
    if (own == kColumn) {
      add_one(cursor, cursor, cursor + 48);
      continue;
    }
    for (; own != 0; own &= own - 1) {
      const std::size_t entry = cursor + static_cast<unsigned>(std::countr_zero(own));
      add_one(cursor, entry, entry);
    }
  }
}

void SegmentWalk::finish(std::size_t cursor) {
  const capture::Walker::End end = walker_.release(cursor);
  SegmentResult& result = *results_[cursor];
  result.end = end.position;
  result.stopped = end.stopped;
  result.packets = end.packets;
  // Records of pcap are 16 bytes longer than their packets.
  result.bytes = pcap_ ? end.position - result.segment.begin - 16 * end.packets : all_.bytes[cursor];
  for (std::size_t j = 0; j < result.jobs.size(); ++j) {
    result.jobs[j].packets = sums_[j].packets[cursor];
    result.jobs[j].bytes = sums_[j].bytes[cursor];
  }
}

SegmentResult* SegmentWalk::step() {
  const Found& found = walker_.walk();
  if (found.count > 0) judge(found);
  if (found.finished == kCursors) return nullptr;
  finish(found.finished);
  return results_[found.finished];
}

void walk_known(const RegionWork& work, const capture::Segment& segment, SegmentResult& result) {
  result.reset(segment, work.jobs.size());
  if (segment.begin >= segment.limit) return;
  SegmentWalk walk(work);
  walk.start(result);
  while (walk.step() == nullptr) {}
}

}  // namespace weir::pipe
