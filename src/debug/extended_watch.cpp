// Watches: registers and memory whose change stops a run. Exports ExtendedSession's members for them.
//
// Memory is remembered by what it belongs to, not by its address: going back runs the program anew, and maps lie
// elsewhere then. A change is told after the instruction that made it.
#include <algorithm>

#include <weir/debug/extended_session.h>

#include <weir/runtime/dump.h>

namespace weir::debug {

std::uint32_t ExtendedSession::add_watch(std::uint8_t reg) {
  ExtendedWatch watch;
  watch.number = next_number_++;
  watch.reg = reg;
  watch.value = current(watch);
  watches_.push_back(std::move(watch));
  return watches_.back().number;
}

std::optional<std::uint32_t> ExtendedSession::add_watch(std::uint64_t address, std::uint32_t size) {
  ExtendedWatch watch;
  watch.size = size;
  watch.place = address_text(address);
  std::uint32_t level = 0;  // the depth of the function on whose stack it is
  while (level <= depth() && address - (frame_pointer(level) - ebpf::kStackSize) > ebpf::kStackSize - size) ++level;
  bool found = true;
  if (level <= depth()) {
    watch.base = ExtendedWatch::Base::kStack;
    watch.level = level;
    watch.offset = static_cast<std::int64_t>(address - frame_pointer(level));
  } else if (address - packet_address() + size <= packet().size()) {
    watch.offset = static_cast<std::int64_t>(address - packet_address());
  } else if (buffer_ && address - context_address() + size <= run_.regions[0].size) {
    watch.base = ExtendedWatch::Base::kContext;
    watch.offset = static_cast<std::int64_t>(address - context_address());
  } else {
    found = false;
    watch.base = ExtendedWatch::Base::kMap;
    for (std::size_t i = 0; i < maps().size(); ++i)
      runtime::each_entry(*maps()[i], [&](const std::vector<std::uint8_t>& key, const void* value) {
        const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(value);
        if (offset + size > maps()[i]->value_size() || offset > maps()[i]->value_size()) return;
        watch.map = i;
        watch.key = key;
        watch.offset = static_cast<std::int64_t>(offset);
        found = true;
      });
  }
  if (!found || watch.place.empty()) return std::nullopt;
  watch.number = next_number_++;
  watch.value = current(watch);
  watches_.push_back(std::move(watch));
  return watches_.back().number;
}

std::vector<std::uint8_t> ExtendedSession::current(const ExtendedWatch& watch) const {
  if (watch.reg) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&registers()[*watch.reg]);
    return {bytes, bytes + 8};
  }
  std::uint64_t base = 0;
  switch (watch.base) {
    case ExtendedWatch::Base::kPacket:
      if (static_cast<std::uint64_t>(watch.offset) + watch.size > packet().size()) return {};
      base = packet_address();
      break;
    case ExtendedWatch::Base::kContext: base = context_address(); break;
    case ExtendedWatch::Base::kStack:
      // A function that has returned has no frame any more.
      if (watch.level > depth()) return {};
      base = frame_pointer(watch.level);
      break;
    case ExtendedWatch::Base::kMap: {
      const void* value = maps()[watch.map]->lookup(watch.key.data(), 0);
      if (value == nullptr) return {};
      base = reinterpret_cast<std::uint64_t>(value);
      break;
    }
  }
  std::vector<std::uint8_t> bytes = read(base + static_cast<std::uint64_t>(watch.offset), watch.size);
  if (bytes.size() < watch.size) bytes.clear();
  return bytes;
}

void ExtendedSession::refresh_watches() {
  for (ExtendedWatch& watch : watches_) watch.value = current(watch);
}

std::optional<ExtendedStop> ExtendedSession::stopped() {
  std::optional<ExtendedStop> out;
  // At the start of a packet all is another's; maps alone go on.
  for (ExtendedWatch& watch : watches_) {
    std::vector<std::uint8_t> now = current(watch);
    const bool is_map = !watch.reg && watch.base == ExtendedWatch::Base::kMap;
    const bool changed = now != watch.value && (step_ > 0 || is_map) && !(has_ended() && watch.reg);
    watch.before = std::exchange(watch.value, std::move(now));
    if (changed && !out) out = ExtendedStop{ExtendedStop::Reason::kWatch, watch.number};
  }
  if (const ExtendedBreakpoint* breakpoint = hit())
    out = ExtendedStop{ExtendedStop::Reason::kBreakpoint, breakpoint->number};
  return out;
}

}  // namespace weir::debug
