// What helpers take, checked before they are called. Exports Walk's members for it.
//
// The kinds of arguments are those of runtime::Prototype, and what is asked of each is what an engine checks when the
// program runs. Which helper goes with which type of map is the kernel's rule (check_map_func_compatibility).
#include <algorithm>

#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

using ebpf::Helper;
using ebpf::MapType;
using runtime::ArgumentKind;

namespace {

constexpr std::int64_t kMostMemory = 1 << 29;
constexpr std::uint32_t kReadOnlyMap = 1u << 7;

// Whether the kernel's helper of this number works on maps of this type.
bool go_together(Helper helper, MapType type) {
  const bool queue = type == MapType::kQueue || type == MapType::kStack;
  const bool of_maps = type == MapType::kArrayOfMaps || type == MapType::kHashOfMaps;
  const bool plain = type == MapType::kHash || type == MapType::kArray || type == MapType::kLruHash ||
                     type == MapType::kLpmTrie || type == MapType::kPercpuHash || type == MapType::kPercpuArray ||
                     type == MapType::kLruPercpuHash;
  const bool of_sockets = type == MapType::kSockmap || type == MapType::kSockhash;
  switch (helper) {
    case Helper::kMapLookupElem:
      return plain || of_maps || of_sockets || type == MapType::kDevmap || type == MapType::kDevmapHash;
    case Helper::kMapUpdateElem: return plain;
    case Helper::kMapDeleteElem: return plain || of_sockets;
    case Helper::kMapPushElem:
    case Helper::kMapPeekElem: return queue || type == MapType::kBloomFilter;
    case Helper::kMapPopElem: return queue;
    case Helper::kMapLookupPercpuElem:
      return type == MapType::kPercpuHash || type == MapType::kPercpuArray || type == MapType::kLruPercpuHash;
    case Helper::kTailCall: return type == MapType::kProgArray;
    case Helper::kPerfEventRead:
    case Helper::kPerfEventReadValue:
    case Helper::kPerfEventOutput: return type == MapType::kPerfEventArray;
    case Helper::kRingbufOutput:
    case Helper::kRingbufReserve:
    case Helper::kRingbufQuery: return type == MapType::kRingbuf;
    case Helper::kGetStackid: return type == MapType::kStackTrace;
    case Helper::kSkbUnderCgroup:
    case Helper::kCurrentTaskUnderCgroup: return type == MapType::kCgroupArray;
    case Helper::kGetLocalStorage: return type == MapType::kCgroupStorage || type == MapType::kPercpuCgroupStorage;
    case Helper::kSkStorageGet:
    case Helper::kSkStorageDelete: return type == MapType::kSkStorage;
    case Helper::kRedirectMap:
      return type == MapType::kDevmap || type == MapType::kDevmapHash || type == MapType::kCpumap ||
             type == MapType::kXskmap;
    case Helper::kSkRedirectMap:
    case Helper::kMsgRedirectMap:
    case Helper::kSockMapUpdate: return type == MapType::kSockmap;
    case Helper::kSkRedirectHash:
    case Helper::kMsgRedirectHash:
    case Helper::kSockHashUpdate: return type == MapType::kSockhash;
    case Helper::kSkSelectReuseport: return of_sockets || type == MapType::kReuseportSockarray;
    default: return true;
  }
}

// Bytes of an argument that has no size beside it.
std::uint32_t fixed_size(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::kIntInOut: return 4;
    case ArgumentKind::kLongOut: return 8;
    case ArgumentKind::kIp6Header: return 40;
    default: return 20;
  }
}

bool changes_map(Helper helper) {
  return helper == Helper::kMapUpdateElem || helper == Helper::kMapDeleteElem || helper == Helper::kMapPushElem ||
         helper == Helper::kMapPopElem;
}

}  // namespace

bool Walk::argument(Call& call, unsigned index) {
  const unsigned number = index + 1;
  const ArgumentKind kind = call.prototype->arguments[index];
  if (kind == ArgumentKind::kNone) return true;
  // What a text to print has no place for need not be there: the kernel does not look at it.
  const bool printed = call.number == static_cast<std::int32_t>(Helper::kTracePrintk) &&
                       &helpers_ == &runtime::Helpers::standard() && kind == ArgumentKind::kAnything;
  if (printed) return true;
  if (!readable(number)) return false;
  const bool needs_map = kind == ArgumentKind::kMapKey || kind == ArgumentKind::kMapValue ||
                         kind == ArgumentKind::kMapValueOut || kind == ArgumentKind::kMapValueOrNull;
  if (needs_map && !call.map)
    return refuse(Rule::kHelper, "the helper's prototype has a key or value without a map", "a map before", {}, "");
  switch (kind) {
    case ArgumentKind::kNone:
    case ArgumentKind::kAnything: return true;
    case ArgumentKind::kContext: return context_argument(number);
    case ArgumentKind::kMap: return map_argument(call, number);
    case ArgumentKind::kMapKey: return key_argument(call, number);
    case ArgumentKind::kMapValue:
      return packet_may_be_taken(call, number) &&
             helper_memory(number, program_.maps[*call.map].value_size, true, false, true);
    case ArgumentKind::kMapValueOut: {
      const ebpf::MapDefinition& map = program_.maps[*call.map];
      return helper_memory(number, map.value_size, map.type == MapType::kBloomFilter, true, true);
    }
    case ArgumentKind::kMapValueOrNull:
      if (!reg(number).is_zero()) return helper_memory(number, program_.maps[*call.map].value_size, true, false, true);
      mark_exact(reg(number));
      return true;
    case ArgumentKind::kMemory:
    case ArgumentKind::kMemoryOrNull:
    case ArgumentKind::kMemoryOut:
    case ArgumentKind::kMemoryOutOrNull:
    case ArgumentKind::kMemoryInOut: return sized_memory(call, index);
    case ArgumentKind::kIntInOut:
    case ArgumentKind::kLongOut:
    case ArgumentKind::kIpHeader:
    case ArgumentKind::kIp6Header:
    case ArgumentKind::kTcpHeader: return fixed_memory(call, index);
    case ArgumentKind::kContextOrNull:
      if (!reg(number).is_zero()) return context_argument(number);
      mark_exact(reg(number));
      return true;
    case ArgumentKind::kSocket:
    case ArgumentKind::kFullSocketOrNull:
    case ArgumentKind::kTakenSocket: return socket_argument(call, index);
    case ArgumentKind::kConstantText:
    case ArgumentKind::kFormat: return on_memory_ || text_argument(call, index);
    case ArgumentKind::kZero:
      mark_exact(reg(number));
      if (reg(number).is_zero()) return true;
      return refuse(Rule::kArgument, fmt::format("r{}, flags, may be more than 0", number), "0", {number}, "");
    case ArgumentKind::kSizeOrZero: return true;
    case ArgumentKind::kSize:
      mark_exact(reg(number));
      if (reg(number).is_number() && reg(number).number.wide.umin >= 1) return true;
      return refuse(Rule::kArgument, fmt::format("r{}, a size, may be 0", number), "a size of at least 1", {number},
                    fmt::format("compare r{} with 0 and leave when it is", number));
    case ArgumentKind::kRecord: return record_argument(call, number);
    case ArgumentKind::kConstantSize: return constant_size(call, number);
    case ArgumentKind::kText:
      return refuse(Rule::kArgument, "text up to a zero byte cannot be verified", "memory with a known size", {number},
                    "helpers for verified programs take a size");
  }
  return true;
}

// A constant key within an array: the value is there.
bool Walk::key_argument(Call& call, unsigned number) {
  const ebpf::MapDefinition& map = program_.maps[*call.map];
  const Value key = reg(number);
  if (!packet_may_be_taken(call, number) || !helper_memory(number, map.key_size, true, false, true)) return false;
  if (map.type != MapType::kArray || map.key_size != 4 || key.kind != Kind::kStack || !key.number.is_constant())
    return true;
  const std::int64_t place = key.offset + static_cast<std::int64_t>(key.number.number());
  if (place % 8 != 0) return true;
  const Slot& slot = slot_at(key.frame, place);
  if (slot.kept < 4 || !slot.value.is_constant()) return true;
  if (std::endian::native != std::endian::little || (slot.value.number.number() & UINT32_MAX) >= map.max_entries)
    return true;
  mark_exact(slot.value);
  call.value_exists = true;
  return true;
}

bool Walk::context_argument(unsigned number) {
  const Value& value = reg(number);
  const bool moved = value.offset != 0 || value.identity != 0 || !value.number.is_constant();
  if (value.kind == (on_memory_ ? Kind::kPacket : Kind::kContext) && !moved && !value.may_be_null) return true;
  if (on_memory_ && options_.premise.memory_most == 0 && value.is_zero()) {
    mark_exact(value);
    return true;
  }
  return refuse(Rule::kArgument, fmt::format("r{} is not the program's first argument", number),
                "r1 as the program got it", {number}, "keep r1 in r6 at the start and give that");
}

bool Walk::map_argument(Call& call, unsigned number) {
  const Value& value = reg(number);
  if (value.kind != Kind::kMap)
    return refuse(Rule::kArgument, fmt::format("r{} is no map", number), "a map", {number},
                  "load it with 'r1 = map[name]'");
  if (value.may_be_null)
    return refuse(Rule::kNull, fmt::format("r{}, a map, may be null", number), "a map that is not null", {number},
                  fmt::format("compare r{} with 0 and leave when it is", number));
  const ebpf::MapDefinition& map = program_.maps[value.map];
  const auto helper = static_cast<Helper>(call.number);
  if (&helpers_ == &runtime::Helpers::standard()) {
    if (!go_together(helper, map.type))
      return refuse(Rule::kArgument,
                    fmt::format("{} does not work on map '{}' of type '{}'", ebpf::name_of(helper), map.name,
                                ebpf::name_of(map.type)),
                    "a map of a type that the helper is for", {number}, "");
    if (changes_map(helper) && (map.flags & kReadOnlyMap) != 0)
      return refuse(Rule::kReadOnly, fmt::format("map '{}' may not be written by programs", map.name),
                    "a map that may be written", {number}, "");
  }
  call.map = value.map;
  return true;
}

bool Walk::sized_memory(Call& call, unsigned index) {
  const unsigned number = index + 1, size_number = index + 2;
  const ArgumentKind kind = call.prototype->arguments[index];
  const ArgumentKind size_kind = index < 4 ? call.prototype->arguments[index + 1] : ArgumentKind::kNone;
  if (size_kind != ArgumentKind::kSize && size_kind != ArgumentKind::kSizeOrZero)
    return refuse(Rule::kHelper, "the helper's prototype has memory without a size", "a size after it", {}, "");
  if (!readable(size_number)) return false;
  const Value& size = reg(size_number);
  if (!size.is_number())
    return refuse(Rule::kArgument, fmt::format("r{}, a size, is a pointer", size_number), "a number", {size_number},
                  "");
  mark_exact(size);
  const Interval<std::uint64_t>& range = size.number.wide;
  if (range.smin < 0)
    return refuse(Rule::kArgument, fmt::format("r{}, a size, may be negative", size_number), "a size of at least 0",
                  {size_number, number}, "use an unsigned size, or compare it with 0 (signed) first");
  if (range.smax >= kMostMemory)
    return refuse(Rule::kArgument, fmt::format("r{}, a size, has no bound", size_number),
                  fmt::format("a size of at most {}", kMostMemory - 1), {size_number, number},
                  "compare it with the size of the memory, or mask it with '&='");
  const bool may_be_null = kind == ArgumentKind::kMemoryOrNull || kind == ArgumentKind::kMemoryOutOrNull;
  if (may_be_null && reg(number).is_zero()) {
    mark_exact(reg(number));
    if (range.umax == 0) return true;
    return refuse(Rule::kNull, fmt::format("r{} is null, but its size r{} may be more than 0", number, size_number),
                  "memory, or null with size 0", {number, size_number}, "");
  }
  const bool both = kind == ArgumentKind::kMemoryInOut;
  const bool writes = kind == ArgumentKind::kMemoryOut || kind == ArgumentKind::kMemoryOutOrNull || both;
  if (writes) call.written_most = range.smax;
  return packet_may_be_taken(call, number) &&
         helper_memory(number, range.umax, both || !writes || !size.is_constant(), writes, size.is_constant());
}

bool Walk::fixed_memory(Call& call, unsigned index) {
  const ArgumentKind kind = call.prototype->arguments[index];
  const std::uint32_t size = fixed_size(kind);
  const bool both = kind == ArgumentKind::kIntInOut, writes = both || kind == ArgumentKind::kLongOut;
  const Access access{.base = static_cast<std::uint8_t>(index + 1), .size = size};
  if (writes && reg(index + 1).is_pointer() && !reg(index + 1).may_be_null && !aligned(access, 8)) return false;
  return packet_may_be_taken(call, index + 1) && helper_memory(index + 1, size, both || !writes, writes, true);
}

// The kernel gives memory of the packet to some helpers only.
bool Walk::packet_may_be_taken(const Call& call, unsigned number) {
  if (on_memory_ || &helpers_ != &runtime::Helpers::standard()) return true;
  const Kind kind = reg(number).kind;
  if (kind != Kind::kPacket && kind != Kind::kPacketMeta) return true;
  const ebpf::ProgramType type = options_.premise.type;
  if (type == ebpf::ProgramType::kCgroupSockopt) return true;
  if (call.prototype->packet_memory && type != ebpf::ProgramType::kSockOps) return true;
  return refuse(Rule::kArgument,
                fmt::format("{} takes no memory of the packet", ebpf::name_of(static_cast<Helper>(call.number))),
                "memory elsewhere", {number}, "copy the bytes to the stack first");
}

bool Walk::socket_argument(Call& call, unsigned index) {
  const unsigned number = index + 1;
  const ArgumentKind kind = call.prototype->arguments[index];
  const Value& value = reg(number);
  const bool full = kind == ArgumentKind::kFullSocketOrNull;
  if (full && value.is_zero()) {
    mark_exact(value);
    return true;
  }
  if (!value.is_socket() || (full && value.kind != Kind::kSocket))
    return refuse(Rule::kArgument, fmt::format("r{} is no {}socket", number, full ? "full " : ""),
                  full ? "a full socket, or 0" : "a socket", {number},
                  value.size != 0 && value.is_number() ? "it was released before" : "");
  if (value.may_be_null && !full)
    return refuse(Rule::kNull, fmt::format("r{}, a socket, may be null", number), "a socket that is not null", {number},
                  fmt::format("compare r{} with 0 and leave when it is", number));
  call.socket_reference = value.reference;
  if (kind != ArgumentKind::kTakenSocket) return true;
  const bool held = std::any_of(state_.held.begin(), state_.held.end(),
                                [&](const Held& each) { return each.reference == value.reference; });
  if (!held)
    return refuse(Rule::kArgument, fmt::format("r{} is a socket that nothing holds", number),
                  "a socket that was looked up", {number}, "only what sk_lookup_tcp and its like gave is released");
  call.released = value.reference;
  return true;
}

// Text among the program's constants, up to a zero byte.
bool Walk::text_argument(Call& call, unsigned index) {
  const unsigned number = index + 1;
  const Value& value = reg(number);
  if (value.kind != Kind::kMapValue || (program_.maps[value.map].flags & kReadOnlyMap) == 0 || value.may_be_null ||
      !value.number.is_constant() || stands_for_others(program_.maps[value.map]))
    return refuse(Rule::kArgument, fmt::format("r{} is no constant text", number),
                  "the address of a string constant, in a map that nobody writes", {number},
                  "keep it in .rodata: static const char text[] = ...");
  const ebpf::MapDefinition& map = program_.maps[value.map];
  const std::int64_t at = value.offset + static_cast<std::int64_t>(value.number.number());
  std::string text;
  bool ended = false;
  for (std::int64_t i = at; i >= 0 && i < static_cast<std::int64_t>(map.value_size) && !ended; ++i) {
    const auto byte = static_cast<std::size_t>(i);
    const char c = byte < map.contents.size() ? static_cast<char>(map.contents[byte]) : '\0';
    ended = c == '\0';
    if (!ended) text += c;
  }
  if (!ended)
    return refuse(Rule::kArgument, fmt::format("the text at r{} has no zero byte at its end", number),
                  "a zero byte within the map", {number}, "");
  if (call.prototype->arguments[index] != ArgumentKind::kFormat) return true;
  std::uint64_t conversions = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i)
    if (text[i] == '%' && text[++i] != '%') ++conversions;
  if (!readable(number + 2)) return false;
  const Value& size = reg(number + 2);
  mark_exact(size);
  if (!size.is_constant() || size.number.number() % 8 != 0)
    return refuse(Rule::kArgument,
                  fmt::format("r{}, the size of the numbers, is no constant multiple of 8", number + 2),
                  "8 bytes for each conversion", {number + 2}, "");
  if (conversions > size.number.number() / 8)
    return refuse(
        Rule::kArgument,
        fmt::format("the text has {} conversions, and there are {} numbers", conversions, size.number.number() / 8),
        "a number for each conversion", {number, number + 2}, "");
  return true;
}

bool Walk::helper_memory(unsigned number, std::uint64_t size, bool reads, bool writes, bool exact) {
  const Value base = reg(number);
  Access access{.base = static_cast<std::uint8_t>(number),
                .size = static_cast<std::uint32_t>(size),
                .reads = reads,
                .writes = writes};
  if (base.is_pointer() && base.may_be_null)
    return refuse(Rule::kNull, fmt::format("r{} may be null", number), "a pointer that is not null", {number},
                  fmt::format("compare r{} with 0 and leave when it is", number));
  switch (base.kind) {
    case Kind::kStack: {
      std::int64_t low = 0, high = 0;
      if (!stack_extent(access, low, high)) return false;
      if (reads && !read_stack(access, base.frame, low, high, nullptr)) return false;
      if (writes) write_stack(base.frame, low, high, exact && base.number.is_constant(), nullptr);
      return true;
    }
    case Kind::kPacket:
    case Kind::kPacketMeta: return access_packet(access);
    case Kind::kMapValue: {
      const ebpf::MapDefinition& map = program_.maps[base.map];
      return map_allows(access) &&
             access_sized(access, map.value_size, Rule::kMapBounds, fmt::format("the value of map '{}'", map.name));
    }
    case Kind::kMapKey: {
      const ebpf::MapDefinition& map = program_.maps[base.map];
      if (writes) return refuse_key_write(number);
      return access_sized(access, map.key_size, Rule::kMapBounds, fmt::format("the key of map '{}'", map.name));
    }
    case Kind::kRecord: return access_sized(access, base.size, Rule::kRecordBounds, "the record");
    default: break;
  }
  return refuse(Rule::kArgument, fmt::format("r{} does not point to memory", number),
                fmt::format("a pointer to {} bytes that may be {}", size, writes ? "written" : "read"), {number},
                base.kind == Kind::kNumber ? "give the address of a variable on the stack" : "");
}

bool Walk::constant_size(Call& call, unsigned number) {
  const Value& value = reg(number);
  mark_exact(value);
  if (value.is_constant() && value.number.number() < static_cast<std::uint64_t>(kMostMemory)) {
    call.record_size = value.number.number();
    return true;
  }
  return refuse(Rule::kArgument, fmt::format("r{}, the size of the record, is not a constant", number),
                fmt::format("a constant below {}", kMostMemory), {number}, "reserve the greatest size that you need");
}

bool Walk::record_argument(Call& call, unsigned number) {
  const Value& value = reg(number);
  const bool held = std::any_of(state_.held.begin(), state_.held.end(),
                                [&](const Held& each) { return each.reference == value.reference; });
  if (value.kind != Kind::kRecord || !held)
    return refuse(Rule::kArgument, fmt::format("r{} is no record", number), "a record that ringbuf_reserve gave",
                  {number}, value.size != 0 && value.is_number() ? "it was submitted or discarded before" : "");
  if (value.may_be_null)
    return refuse(Rule::kNull, fmt::format("r{}, a record, may be null", number), "a record that is not null", {number},
                  fmt::format("compare r{} with 0 and leave when it is", number));
  if (value.offset != 0 || !value.number.is_constant())
    return refuse(Rule::kArgument, fmt::format("r{} points into the record, not to its start", number),
                  "the pointer that ringbuf_reserve gave", {number}, "keep a copy of the pointer");
  call.released = value.reference;
  return true;
}

}  // namespace weir::verify
