// The work on one chunk. Exports Chunk.
//
// Segments are given to the walker's cursors as these become free, so that all cursors have work until the end. After
// each walk the engines judge what every cursor found, while its first bytes are still in the cache. Matching records
// that lie side by side become one range.
#include "pipe/chunk.h"

#include <algorithm>
#include <bit>

namespace weir::pipe {
namespace {

using capture::Stripe;

constexpr std::size_t kWords = Stripe::kRecords / 64;
using Bits = std::uint64_t[kWords];

packet::Columns columns_of(const capture::Region& region, std::uint64_t base, const Stripe& stripe) {
  return {region.bytes.data() + base, stripe.offsets, stripe.lengths, stripe.wire_lengths, nullptr, stripe.count};
}

// Judges packets of several interfaces, those of each engine together.
std::size_t match_mixed(const ChunkJob& job, const packet::Columns& columns, const Stripe& stripe, Bits& bits) {
  std::fill(std::begin(bits), std::end(bits), 0);
  Bits done{};
  std::size_t all = 0;
  for (std::size_t first = 0; first < stripe.count; ++first) {
    if ((done[first / 64] >> first % 64 & 1) != 0) continue;
    const engine::Engine* const engine = job.engines[stripe.interfaces[first]];
    std::uint32_t offsets[Stripe::kRecords];
    std::uint32_t lengths[Stripe::kRecords];
    std::uint32_t wire_lengths[Stripe::kRecords];
    std::uint8_t places[Stripe::kRecords];
    static_assert(Stripe::kRecords <= 256);
    std::size_t count = 0;
    for (std::size_t i = first; i < stripe.count; ++i) {
      if (job.engines[stripe.interfaces[i]] != engine) continue;
      done[i / 64] |= std::uint64_t{1} << i % 64;
      offsets[count] = columns.offsets[i];
      lengths[count] = columns.lengths[i];
      wire_lengths[count] = columns.wire_lengths[i];
      places[count++] = static_cast<std::uint8_t>(i);
    }
    Bits found{};
    all += engine->match({columns.base, offsets, lengths, wire_lengths, nullptr, count},
                         std::span(found).first((count + 63) / 64));
    for (std::size_t i = 0; i < count; ++i)
      if ((found[i / 64] >> i % 64 & 1) != 0) bits[places[i] / 64] |= std::uint64_t{1} << places[i] % 64;
  }
  return all;
}

std::uint64_t sum_of_lengths(const Stripe& stripe, const Bits& bits) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < stripe.count; ++i)
    sum += stripe.lengths[i] & (0 - static_cast<std::uint32_t>(bits[i / 64] >> i % 64 & 1));
  return sum;
}

void add_ranges(const Stripe& stripe, const Bits& bits, bool pcap, std::vector<capture::Range>& ranges) {
  const std::uint32_t header = pcap ? 16 : 28;
  for (std::size_t word = 0; word * 64 < stripe.count; ++word) {
    std::uint64_t rest = bits[word];
    while (rest != 0) {
      const auto from = static_cast<unsigned>(std::countr_zero(rest));
      const auto length = static_cast<unsigned>(std::countr_one(rest >> from));
      const std::size_t first = word * 64 + from;
      const std::size_t last = first + length - 1;
      const std::uint32_t begin = stripe.offsets[first] - header;
      const std::uint32_t end = pcap ? stripe.offsets[last] + stripe.lengths[last] : stripe.ends[last];
      if (!ranges.empty() && ranges.back().end == begin) ranges.back().end = end;
      else ranges.push_back({begin, end});
      rest = from + length == 64 ? 0 : rest >> (from + length) << (from + length);
    }
  }
}

}  // namespace

void Chunk::reset(SegmentResult& segment, const ChunkWork& work) {
  segment.end = segment.segment.begin;
  segment.stopped = false;
  segment.packets = segment.bytes = 0;
  segment.jobs.resize(work.jobs.size());
  for (JobResult& job : segment.jobs) {
    job.packets = job.bytes = 0;
    job.ranges.clear();
  }
}

void Chunk::take(const ChunkWork& work, const Stripe& stripe, SegmentResult& segment) {
  const bool pcap = work.region->layout.format == capture::Format::kPcap;
  const packet::Columns columns = columns_of(*work.region, base_, stripe);
  const std::size_t words = (stripe.count + 63) / 64;
  segment.packets += stripe.count;
  if (!pcap) {
    for (std::size_t i = 0; i < stripe.count; ++i) segment.bytes += stripe.lengths[i];
    for (std::size_t i = 0; i < words; ++i) segment.packets -= static_cast<unsigned>(std::popcount(stripe.others[i]));
  }
  for (std::size_t j = 0; j < work.jobs.size(); ++j) {
    const ChunkJob& job = work.jobs[j];
    JobResult& result = segment.jobs[j];
    Bits bits;
    std::uint64_t found = job.uniform ? job.engines.front()->match(columns, std::span(bits).first(words))
                                      : match_mixed(job, columns, stripe, bits);
    for (std::size_t i = 0; !pcap && i < words; ++i) {
      found -= static_cast<unsigned>(std::popcount(bits[i] & stripe.others[i]));
      bits[i] &= ~stripe.others[i];
    }
    if (found > 0) result.bytes += sum_of_lengths(stripe, bits);
    result.packets += found;
    if (!job.writes) continue;
    for (std::size_t i = 0; !pcap && i < words; ++i) bits[i] |= stripe.others[i];
    add_ranges(stripe, bits, pcap, result.ranges);
  }
}

void Chunk::finish(const ChunkWork& work, const capture::Walker::Cursor& cursor, SegmentResult& segment) {
  segment.end = cursor.position;
  segment.stopped = cursor.stopped;
  // Records of pcap are 16 bytes longer than their packets.
  if (work.region->layout.format == capture::Format::kPcap)
    segment.bytes = segment.end - segment.segment.begin - 16 * segment.packets;
}

// Walks segments_[next..last) with all cursors.
void Chunk::walk(capture::Walker& walker, const ChunkWork& work, std::size_t next, std::size_t last, bool known) {
  std::size_t segment_of[capture::Walker::kCursors];
  bool taken[capture::Walker::kCursors] = {};
  for (;;) {
    while (walker.has_free() && next < last) {
      SegmentResult& segment = segments_[next];
      capture::Segment& where = segment.segment;
      if (!known) where.begin = capture::find_record(*work.region, where.begin, where.limit).value_or(where.limit);
      known = false;
      segment.end = where.begin;
      if (where.begin < where.limit) {
        const std::size_t cursor = walker.start(where);
        segment_of[cursor] = next;
        taken[cursor] = true;
      }
      ++next;
    }
    if (walker.running() == 0 || work.cancelled.load(std::memory_order_relaxed)) return;
    walker.walk();
    for (std::size_t i = 0; i < capture::Walker::kCursors; ++i) {
      if (!taken[i]) continue;
      SegmentResult& segment = segments_[segment_of[i]];
      if (walker.stripe(i).count > 0) take(work, walker.stripe(i), segment);
      if (walker.cursor(i).running) continue;
      finish(work, walker.cursor(i), segment);
      walker.release(i);
      taken[i] = false;
    }
  }
}

void Chunk::run(const ChunkWork& work, std::uint64_t from, std::uint64_t to, bool known) {
  base_ = from;
  used_ = 0;
  for (std::uint64_t at = from; at < to; at += work.segment_size, ++used_) {
    if (used_ == segments_.size()) segments_.emplace_back();
    segments_[used_].segment = {at, std::min<std::uint64_t>(at + work.segment_size, to)};
    reset(segments_[used_], work);
  }
  segments_.resize(used_ + 1);
  capture::Walker walker(*work.region, base_);
  walk(walker, work, 0, used_, known);
}

const SegmentResult& Chunk::walk_known(const ChunkWork& work, const capture::Segment& segment) {
  SegmentResult& result = segments_[used_];
  result.segment = segment;
  reset(result, work);
  capture::Walker walker(*work.region, base_);
  walk(walker, work, used_, used_ + 1, true);
  return result;
}

}  // namespace weir::pipe
