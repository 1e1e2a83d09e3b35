// What both formats' fuzzers ask of a capture in memory.
//
// Packets lie within their records (or are swapped copies); lengths hold; the end or the error stays when it is read
// on; and the fast path gives the statistics that reading record by record gives.
#pragma once

#include <cstdlib>
#include <memory>

#include <weir/base/render.h>
#include <weir/capture/source.h>
#include <weir/cbpf/program.h>
#include <weir/pipe/filter.h>

namespace weir::fuzz {

inline void require(bool fact) {
  if (!fact) std::abort();
}

struct Totals {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t odd = 0;  // packets of odd length on the wire: what the program below takes
  std::string error;
};

inline Totals read_slowly(ByteSpan bytes) {
  Totals totals;
  const auto source = capture::open_memory(bytes, "input");
  if (!source) {
    require(!render(source.error()).empty());
    totals.error = one_line(source.error());
    return totals;
  }
  capture::RecordBatch batch;
  for (;;) {
    const Result<capture::Read> read = (*source)->read(batch);
    require(batch.packets.size() == batch.records.size());
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      const packet::Packet& packet = batch.packets[i];
      const capture::Record& record = batch.records[i];
      require(record.interface < (*source)->interfaces().size());
      const capture::Interface& interface = (*source)->interfaces()[record.interface];
      require(packet.length <= interface.snap_length && packet.length <= capture::longest_packet(interface.link_type));
      require(record.raw.size() > packet.length);
      const bool inside =
          packet.data > record.raw.data() && packet.data + packet.length <= record.raw.data() + record.raw.size();
      require(inside || !batch.changed.empty());
      require(capture::time_of(record, interface).nanoseconds < 1000000000);
      ++totals.packets;
      totals.bytes += packet.length;
      totals.odd += packet.wire_length % 2;
    }
    if (!read) totals.error = one_line(read.error());
    if (!read || *read == capture::Read::kEnd) break;
  }
  require((*source)->read(batch).has_value() == totals.error.empty());
  return totals;
}

inline void check_capture(ByteSpan bytes) {
  const Totals expected = read_slowly(bytes);
  const auto source = capture::open_memory(bytes, "input");
  if (!source) return;
  // ld len; jset 1; ret 1 or 0
  static const cbpf::Checked kOdd =
      cbpf::check({{0x80, 0, 0, 0}, {0x45, 0, 1, 1}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}}).value();
  pipe::Filter filter(
      {{[](const capture::Interface&) { return engine::load(kOdd, {.kind = engine::Kind::kInterpreter}); }}});
  const Status status = filter.run(**source);
  require((status ? std::string() : one_line(status.error())) == expected.error);
  require(filter.statistics().packets == expected.packets && filter.statistics().bytes == expected.bytes);
  require(filter.statistics().jobs[0].packets == expected.odd);
}

}  // namespace weir::fuzz
