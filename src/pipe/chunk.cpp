// The work on one chunk. Exports Chunk.
//
// Segments are given to the walker's cursors as these become free, so that all cursors have work until the end. After
// each walk the engines judge what every cursor found, while its first bytes are still in the cache. Matching records
// that lie side by side become one range.
#include "pipe/chunk.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weir::pipe {
namespace {

using capture::Stripe;

static_assert(Stripe::kRecords == 64);  // one word of bits

packet::Columns columns_of(const capture::Region& region, std::uint64_t base, const Stripe& stripe) {
  return {region.bytes.data() + base, stripe.offsets, stripe.lengths, stripe.wire_lengths, nullptr, stripe.count};
}

// Judges packets of several interfaces, those of each engine together; gives a bit a packet.
std::uint64_t match_mixed(const ChunkJob& job, const packet::Columns& columns, const Stripe& stripe) {
  std::uint64_t bits = 0;
  std::uint64_t done = 0;
  for (std::size_t first = 0; first < stripe.count; ++first) {
    if ((done >> first & 1) != 0) continue;
    const engine::Engine* const engine = job.engines[stripe.interfaces[first]];
    std::uint32_t offsets[Stripe::kRecords];
    std::uint32_t lengths[Stripe::kRecords];
    std::uint32_t wire_lengths[Stripe::kRecords];
    std::uint8_t places[Stripe::kRecords];
    std::size_t count = 0;
    for (std::size_t i = first; i < stripe.count; ++i) {
      if (job.engines[stripe.interfaces[i]] != engine) continue;
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

// The lengths of the packets whose bits are set. In vectors of four: a loop over single bits costs more than the
// filter.
std::uint64_t sum_of_lengths(const Stripe& stripe, std::uint64_t bits) {
  using Four = std::uint32_t __attribute__((vector_size(16)));
  constexpr Four kBits = {1, 2, 4, 8};
  Four sum = {};  // cannot wrap: all packets of a stripe lie within 2^32 bytes
  static_assert(Stripe::kSlack >= 3);
  for (std::size_t i = 0; i < stripe.count; i += 4) {
    const auto four = static_cast<std::uint32_t>(bits >> i & 15);
    Four lengths;
    std::memcpy(&lengths, stripe.lengths + i, sizeof lengths);
    // A comparison gives all bits of an element, or none.
    sum += lengths & reinterpret_cast<Four>((Four{four, four, four, four} & kBits) == kBits);
  }
  return std::uint64_t{sum[0]} + sum[1] + sum[2] + sum[3];
}

void add_ranges(const Stripe& stripe, std::uint64_t bits, bool pcap, std::vector<capture::Range>& ranges) {
  const std::uint32_t header = pcap ? 16 : 28;
  while (bits != 0) {
    const auto first = static_cast<unsigned>(std::countr_zero(bits));
    const auto length = static_cast<unsigned>(std::countr_one(bits >> first));
    const std::size_t last = first + length - 1;
    const std::uint32_t begin = stripe.offsets[first] - header;
    const std::uint32_t end = pcap ? stripe.offsets[last] + stripe.lengths[last] : stripe.ends[last];
    if (!ranges.empty() && ranges.back().end == begin) ranges.back().end = end;
    else ranges.push_back({begin, end});
    bits = first + length == 64 ? 0 : bits >> (first + length) << (first + length);
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
  segment.packets += stripe.count;
  if (!pcap) {
    for (std::size_t i = 0; i < stripe.count; ++i) segment.bytes += stripe.lengths[i];
    segment.packets -= static_cast<unsigned>(std::popcount(stripe.others));
  }
  if (work.joined != nullptr) {
    joined_bits_.resize(work.jobs.size());
    work.joined->match(columns, joined_bits_);
  }
  for (std::size_t j = 0; j < work.jobs.size(); ++j) {
    const ChunkJob& job = work.jobs[j];
    JobResult& result = segment.jobs[j];
    std::uint64_t bits = 0;
    std::size_t found = 0;
    if (work.joined != nullptr) {
      bits = joined_bits_[j];
      found = static_cast<unsigned>(std::popcount(bits));
    } else if (job.uniform) {
      found = job.engines.front()->match(columns, std::span(&bits, 1));
    } else {
      bits = match_mixed(job, columns, stripe);
    }
    if (!pcap) {
      bits &= ~stripe.others;
      found = static_cast<unsigned>(std::popcount(bits));
    }
    if (work.matched_bytes && bits != 0) result.bytes += sum_of_lengths(stripe, bits);
    result.packets += found;
    if (job.writes) add_ranges(stripe, pcap ? bits : bits | stripe.others, pcap, result.ranges);
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
      if (const Stripe stripe = walker.stripe(i); stripe.count > 0) {
        walker.look_ahead(i);
        take(work, stripe, segment);
      }
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
