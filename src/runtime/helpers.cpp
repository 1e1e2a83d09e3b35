// The kernel's helper functions in user space. Exports Helpers.
//
// Results and errors as in kernel/bpf/helpers.c, kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c and net/core/filter.c.
// Arguments were checked by the engine against the prototype.
#include <weir/runtime/helpers.h>

#include <linux/bpf.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "runtime/print.h"

namespace weir::runtime {
namespace {

using Word = std::uint64_t;

Map& map_at(Word address) { return *reinterpret_cast<Map*>(address); }
template <typename T = void>
T* at(Word address) {
  return reinterpret_cast<T*>(address);
}
Word number(std::int64_t value) { return static_cast<Word>(value); }

Word map_lookup(Invocation& run, Word map, Word key, Word, Word, Word) {
  return reinterpret_cast<Word>(map_at(map).lookup(at(key), run.cpu));
}
Word map_update(Invocation& run, Word map, Word key, Word value, Word flags, Word) {
  return number(map_at(map).update(at(key), at(value), flags, run.cpu));
}
Word map_delete(Invocation&, Word map, Word key, Word, Word, Word) { return number(map_at(map).erase(at(key))); }
Word map_push(Invocation&, Word map, Word value, Word flags, Word, Word) {
  return number(map_at(map).push(at(value), flags));
}
Word map_pop(Invocation&, Word map, Word value, Word, Word, Word) { return number(map_at(map).pop(at(value))); }
Word map_peek(Invocation&, Word map, Word value, Word, Word, Word) { return number(map_at(map).peek(at(value))); }
Word map_lookup_percpu(Invocation&, Word map, Word key, Word cpu, Word, Word) {
  const auto which = static_cast<unsigned>(cpu);
  return which < map_at(map).cpus() ? reinterpret_cast<Word>(map_at(map).lookup(at(key), which)) : 0;
}

Word clock_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<Word>(now.tv_sec) * 1000000000u + static_cast<Word>(now.tv_nsec);
}
Word ktime(Invocation&, Word, Word, Word, Word, Word) { return clock_of(CLOCK_MONOTONIC); }
Word ktime_boot(Invocation&, Word, Word, Word, Word, Word) { return clock_of(CLOCK_BOOTTIME); }
Word ktime_coarse(Invocation&, Word, Word, Word, Word, Word) { return clock_of(CLOCK_MONOTONIC_COARSE); }
Word ktime_tai(Invocation&, Word, Word, Word, Word, Word) { return clock_of(CLOCK_TAI); }
Word jiffies(Invocation&, Word, Word, Word, Word, Word) { return clock_of(CLOCK_MONOTONIC) / 4000000u; }

Word random32(Invocation& run, Word, Word, Word, Word, Word) {  // PCG, O'Neill 2014
  const Word old = run.random;
  run.random = old * 6364136223846793005ull + 1442695040888963407ull;
  const auto shifted = static_cast<std::uint32_t>(((old >> 18) ^ old) >> 27);
  const auto turn = static_cast<std::uint32_t>(old >> 59);
  return (shifted >> turn) | (shifted << ((32 - turn) & 31));
}
Word processor(Invocation& run, Word, Word, Word, Word, Word) { return run.cpu; }
Word zero(Invocation&, Word, Word, Word, Word, Word) { return 0; }

Word probe_read(Invocation& run, Word to, Word size, Word from, Word, Word) {
  // No bytes may be wanted by a null pointer, which the C library does not take.
  if (!run.may_access(from, size, false)) {
    if (size != 0) std::memset(at(to), 0, size);
    return number(-EFAULT);
  }
  if (size != 0) std::memmove(at(to), at(from), size);
  return 0;
}

Word trace_print(Invocation& run, Word format, Word size, Word a, Word b, Word c) {
  const auto text = print_format({at<const char>(format), size}, {a, b, c}, run);
  if (!text) return number(-EINVAL);
  if (run.print) run.print(*text);
  return text->size();
}

Word compare_text(Invocation& run, Word s1, Word size, Word s2, Word, Word) {
  for (Word i = 0; i < size; ++i) {
    if (!run.may_access(s2 + i, 1, false)) return number(-EFAULT);
    const unsigned char left = at<const unsigned char>(s1)[i], right = at<const unsigned char>(s2)[i];
    if (left != right) return number(left < right ? -1 : 1);
    if (left == '\0') return 0;
  }
  return 0;
}

// Packets.
bool inside(const Invocation& run, Word offset, Word size) {
  return run.packet != nullptr && size <= run.packet->size() && (offset & 0xffffffff) <= run.packet->size() - size;
}
Word load_bytes(Invocation& run, Word, Word offset, Word to, Word size, Word) {
  if (!inside(run, offset, size) || (offset & 0xffffffff) > INT32_MAX) {
    std::memset(at(to), 0, size);
    return number(-EFAULT);
  }
  std::memcpy(at(to), run.packet->data() + (offset & 0xffffffff), size);
  return 0;
}
// From the frame's first byte on, or from the header that Ethernet carries.
Word load_bytes_relative(Invocation& run, Word context, Word offset, Word to, Word size, Word from) {
  constexpr Word kEthernetHeader = 14;
  if (from > 1 || (offset & 0xffffffff) > 0xffff) {
    std::memset(at(to), 0, size);
    return number(-EFAULT);
  }
  return load_bytes(run, context, (offset & 0xffffffff) + (from == 1 ? kEthernetHeader : 0), to, size, 0);
}
Word store_bytes(Invocation& run, Word, Word offset, Word from, Word size, Word flags) {
  if ((flags & ~Word{3}) != 0) return number(-EINVAL);
  if (!inside(run, offset, size)) return number(-EFAULT);
  std::memmove(run.packet->data() + (offset & 0xffffffff), at(from), size);
  return 0;
}
Word adjust_head(Invocation& run, Word, Word delta, Word, Word, Word) {
  return run.packet != nullptr && run.packet->adjust_head(static_cast<std::int32_t>(delta)) ? 0 : number(-EINVAL);
}
Word adjust_tail(Invocation& run, Word, Word delta, Word, Word, Word) {
  return run.packet != nullptr && run.packet->adjust_tail(static_cast<std::int32_t>(delta)) ? 0 : number(-EINVAL);
}
Word buffer_length(Invocation& run, Word, Word, Word, Word, Word) {
  return run.packet != nullptr ? run.packet->size() : 0;
}
Word redirect(Invocation& run, Word interface, Word flags, Word, Word, Word) {
  const bool xdp = run.packet != nullptr && run.arguments[0] == reinterpret_cast<Word>(run.packet->xdp_context());
  const Word known = xdp ? 0 : BPF_F_INGRESS;
  if ((flags & ~known) != 0) return xdp ? XDP_ABORTED : 2;  // TC_ACT_SHOT
  run.redirect = interface & 0xffffffff;
  return xdp ? XDP_REDIRECT : 7;  // TC_ACT_REDIRECT
}

// Sums, RFC 1071.
std::uint32_t fold(Word sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>(sum);
}
// In words of 32 bits, as kernels for x86-64 add: which of the two zeros of such a sum it is depends on it. What is
// missing from the last word is 0.
Word sum_of(const std::uint8_t* bytes, Word size, Word seed) {
  Word sum = seed & 0xffffffff;
  for (Word i = 0; i < size; i += 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes + i, std::min<Word>(size - i, 4));
    sum += word;
  }
  while (sum >> 32 != 0) sum = (sum & 0xffffffff) + (sum >> 32);
  return sum;
}
Word inverted(Word sum) { return ~sum & 0xffffffff; }
Word checksum_difference(Invocation&, Word from, Word from_size, Word to, Word to_size, Word seed) {
  const auto* const old = at<std::uint8_t>(from);
  if (from_size != 0 && to_size == 0) return fold(inverted(sum_of(old, from_size, inverted(seed))));
  const Word sum = sum_of(at<std::uint8_t>(to), to_size, seed);
  return fold(from_size == 0 ? sum : sum + inverted(sum_of(old, from_size, 0)));
}
// Replaces `from` by `to` in the sum at `offset`; both have flags & 15 bytes, or 0: `to` is a difference.
Word replace_sum(Invocation& run, Word offset, Word from, Word to, Word flags, bool transport) {
  const Word known = transport ? 0xff : 0xf;
  offset &= 0xffffffff;
  if ((flags & ~known) != 0) return number(-EINVAL);
  if (offset > 0xffff || (offset & 1) != 0 || !inside(run, offset, 2)) return number(-EFAULT);
  std::uint8_t* place = run.packet->data() + offset;
  const auto old = weir::load<std::uint16_t>(place, std::endian::native);
  const bool mangled = transport && (flags & 0x20) != 0;  // BPF_F_MARK_MANGLED_0: 0 says that there is no sum
  if (mangled && old == 0) return 0;
  // The kernel inverts 32 bits, so that the sum is never 0; but of 2 bytes in a header of IP it inverts 16.
  Word sum = static_cast<std::uint16_t>(~old);
  if (transport || (flags & 15) != 2) sum |= 0xffff0000;
  switch (flags & 15) {
    case 0:
      if (from != 0) return number(-EINVAL);
      sum += fold(to & 0xffffffff);
      break;
    case 2: sum += static_cast<std::uint16_t>(~from) + (to & 0xffff); break;
    case 4: sum += fold(inverted(from)) + fold(to & 0xffffffff); break;
    default: return number(-EINVAL);
  }
  auto made = static_cast<std::uint16_t>(~fold(sum));
  if (mangled && made == 0) made = 0xffff;
  std::memcpy(place, &made, 2);
  return 0;
}
Word replace_l3(Invocation& run, Word, Word offset, Word from, Word to, Word flags) {
  return replace_sum(run, offset, from, to, flags, false);
}
Word replace_l4(Invocation& run, Word, Word offset, Word from, Word to, Word flags) {
  return replace_sum(run, offset, from, to, flags, true);
}

// Ring buffers.
RingBuffer* ring_at(Word map) { return dynamic_cast<RingBuffer*>(&map_at(map)); }
Word ring_output(Invocation&, Word map, Word data, Word size, Word flags, Word) {
  RingBuffer* ring = ring_at(map);
  if (ring == nullptr || (flags & ~Word{3}) != 0) return number(-EINVAL);
  void* record = ring->reserve(size);
  if (record == nullptr) return number(-EAGAIN);
  if (size != 0) std::memcpy(record, at(data), size);
  ring->commit(record);
  return 0;
}
Word ring_reserve(Invocation&, Word map, Word size, Word flags, Word, Word) {
  RingBuffer* ring = ring_at(map);
  return ring == nullptr || flags != 0 ? 0 : reinterpret_cast<Word>(ring->reserve(size));
}
// The record's header does not say whose it is; committing needs no more than the record.
Word ring_finish(Word record, std::uint32_t mark) {
  auto* word = reinterpret_cast<std::uint32_t*>(record - 8);
  __atomic_store_n(word, (__atomic_load_n(word, __ATOMIC_RELAXED) & 0x7fffffffu) | mark, __ATOMIC_RELEASE);
  return 0;
}
Word ring_submit(Invocation&, Word record, Word, Word, Word, Word) { return ring_finish(record, 0); }
Word ring_discard(Invocation&, Word record, Word, Word, Word, Word) { return ring_finish(record, 1u << 30); }
Word ring_query(Invocation&, Word map, Word what, Word, Word, Word) {
  const RingBuffer* ring = ring_at(map);
  if (ring == nullptr) return 0;
  if (what == 0) return ring->available();
  if (what == 1) return ring->definition().max_entries;
  if (what == 2) return ring->consumed();
  return what == 3 ? ring->produced() : 0;
}

Word perf_output(Invocation& run, Word, Word map, Word flags, Word data, Word size) {
  const ebpf::MapDefinition& definition = map_at(map).definition();
  if (definition.type != ebpf::MapType::kPerfEventArray) return number(-EINVAL);
  constexpr Word kIndex = 0xffffffff;               // BPF_F_INDEX_MASK; all of it: this CPU's
  const Word packet_bytes = flags >> 32 & 0xfffff;  // BPF_F_CTXLEN_MASK
  if (flags >> 52 != 0 || (packet_bytes != 0 && run.packet == nullptr)) return number(-EINVAL);
  if (packet_bytes != 0 && !inside(run, 0, packet_bytes)) return number(-EFAULT);
  const Word index = (flags & kIndex) == kIndex ? run.cpu : flags & kIndex;
  if (index >= definition.max_entries) return number(-E2BIG);
  if (!run.perf_output) return number(-ENOENT);
  const auto* const bytes = at<const std::uint8_t>(data);
  std::vector<std::uint8_t> record(bytes, bytes + size);
  if (packet_bytes != 0) record.insert(record.end(), run.packet->data(), run.packet->data() + packet_bytes);
  run.perf_output(map_at(map), index, record);
  return 0;
}

using ebpf::Helper;
struct Standard {
  Helper helper;
  HelperFunction function;  // null: the engine does it
};
// What they take and give stands in prototypes.def.
constexpr Standard kStandard[] = {
    {Helper::kMapLookupElem, map_lookup},
    {Helper::kMapUpdateElem, map_update},
    {Helper::kMapDeleteElem, map_delete},
    {Helper::kProbeRead, probe_read},
    {Helper::kKtimeGetNs, ktime},
    {Helper::kTracePrintk, trace_print},
    {Helper::kGetPrandomU32, random32},
    {Helper::kGetSmpProcessorId, processor},
    {Helper::kSkbStoreBytes, store_bytes},
    {Helper::kL3CsumReplace, replace_l3},
    {Helper::kL4CsumReplace, replace_l4},
    {Helper::kTailCall, nullptr},
    {Helper::kRedirect, redirect},
    {Helper::kPerfEventOutput, perf_output},
    {Helper::kSkbLoadBytes, load_bytes},
    {Helper::kSkbLoadBytesRelative, load_bytes_relative},
    {Helper::kCsumDiff, checksum_difference},
    {Helper::kGetNumaNodeId, zero},
    {Helper::kXdpAdjustHead, adjust_head},
    {Helper::kXdpAdjustTail, adjust_tail},
    {Helper::kMapPushElem, map_push},
    {Helper::kMapPopElem, map_pop},
    {Helper::kMapPeekElem, map_peek},
    {Helper::kJiffies64, jiffies},
    {Helper::kProbeReadKernel, probe_read},
    {Helper::kKtimeGetBootNs, ktime_boot},
    {Helper::kRingbufOutput, ring_output},
    {Helper::kRingbufReserve, ring_reserve},
    {Helper::kRingbufSubmit, ring_submit},
    {Helper::kRingbufDiscard, ring_discard},
    {Helper::kRingbufQuery, ring_query},
    {Helper::kKtimeGetCoarseNs, ktime_coarse},
    {Helper::kForEachMapElem, nullptr},
    {Helper::kLoop, nullptr},
    {Helper::kStrncmp, compare_text},
    {Helper::kXdpGetBuffLen, buffer_length},
    {Helper::kMapLookupPercpuElem, map_lookup_percpu},
    {Helper::kKtimeGetTaiNs, ktime_tai},
};

// The first row of each helper.
const std::vector<std::pair<Helper, Prototype>>& prototypes() {
  static const std::vector<std::pair<Helper, Prototype>> table = [] {
    using namespace trait;
    using enum ArgumentKind;
    std::vector<std::pair<Helper, Prototype>> made;
#define WEIR_LIST(...) \
  { __VA_ARGS__ }
#define WEIR_PROTOTYPE(helper, programs, traits, result, arguments) \
  made.emplace_back(Helper::helper, make_prototype(Helper::helper, traits, ResultKind::result, WEIR_LIST arguments));
#include <weir/runtime/prototypes.def>
#undef WEIR_PROTOTYPE
#undef WEIR_LIST
    return made;
  }();
  return table;
}

}  // namespace

Prototype make_prototype(Helper helper, unsigned traits, ResultKind result, std::array<ArgumentKind, 5> arguments) {
  const auto has = [traits](unsigned each) { return (traits & each) != 0; };
  return {.name = "bpf_" + name_of(helper),
          .arguments = arguments,
          .result = result,
          .changes_packet = has(trait::kMoves),
          .needs_gpl = has(trait::kGpl),
          .packet_memory = has(trait::kInPacket)};
}

void Helpers::add(std::int32_t number, Prototype prototype, HelperFunction function) {
  entries_[number] = {std::move(prototype), function};
}

const HelperEntry* Helpers::find(std::int32_t number) const {
  const auto found = entries_.find(number);
  return found == entries_.end() ? nullptr : &found->second;
}

std::vector<std::int32_t> Helpers::numbers() const {
  std::vector<std::int32_t> all;
  for (const auto& entry : entries_) all.push_back(entry.first);
  std::sort(all.begin(), all.end());
  return all;
}

const Helpers& Helpers::standard() {
  static const Helpers helpers = [] {
    Helpers made;
    for (const Standard& row : kStandard)
      for (const auto& [helper, prototype] : prototypes())
        if (helper == row.helper) {
          made.add(static_cast<std::int32_t>(helper), prototype, row.function);
          break;
        }
    return made;
  }();
  return helpers;
}

}  // namespace weir::runtime
