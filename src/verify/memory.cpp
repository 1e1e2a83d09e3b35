// Loads, stores and atomics: whether the address is within what the base points to. Exports Walk's members for it.
#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

using ebpf::OperandShape;

namespace {
constexpr std::uint32_t kReadOnlyMap = 1u << 7;   // BPF_F_RDONLY_PROG
constexpr std::uint32_t kWriteOnlyMap = 1u << 8;  // BPF_F_WRONLY_PROG
constexpr unsigned kValueAlignment = 8;           // of map values, keys, records and stacks
std::string bytes_text(std::int64_t low, std::int64_t high) {
  return high - low == 1 ? fmt::format("byte {}", low) : fmt::format("bytes {} to {}", low, high - 1);
}

}  // namespace

// Atomics must not tear: their address is a multiple of their width, and what they work on is ordinary memory.
bool Walk::has_atomics(unsigned base) {
  const Kind kind = reg(base).kind;
  if (kind == Kind::kContext || kind == Kind::kFlowKeys ||
      (!on_memory_ && (kind == Kind::kPacket || kind == Kind::kPacketMeta)))
    return refuse(Rule::kAlignment, "an atomic on the packet or the context",
                  "memory whose address is a multiple of its width", {base},
                  "atomics work on the stack, map values and records");
  return true;
}

bool Walk::memory(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& it = slot();
  const bool loads = row.shape == OperandShape::kLoad || row.shape == OperandShape::kLoadAcquire;
  const unsigned base = loads ? it.src : it.dst;
  if (!readable(base)) return false;
  Access access{.base = static_cast<std::uint8_t>(base), .offset = it.offset, .size = row.width};
  access.reads = loads;
  access.writes = !loads;
  access.is_signed = row.sign.front() == 's';
  access.atomic = row.shape == OperandShape::kLoadAcquire || row.shape == OperandShape::kStoreRelease;
  if (access.atomic && !has_atomics(base)) return false;
  if (loads) {
    Value loaded = Value::of(Range::of_bytes(row.width, access.is_signed));
    if (!this->access(access, &loaded, nullptr)) return false;
    reg(it.dst) = loaded;
    return true;
  }
  if (row.shape == OperandShape::kStoreConstant) {
    const Value constant = Value::constant(static_cast<std::uint64_t>(std::int64_t{it.immediate}));
    return this->access(access, nullptr, &constant);
  }
  if (!readable(it.src)) return false;
  Value& stored = reg(it.src);
  if (stored.is_number() && stored.identity == 0 && !stored.number.is_constant()) stored.identity = new_identity();
  const Value copy = stored;
  return this->access(access, nullptr, &copy);
}

bool Walk::atomic(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& it = slot();
  if (!readable(it.src) || !readable(it.dst)) return false;
  const bool compares = row.shape == OperandShape::kAtomicCompare;
  if (compares && !readable(0)) return false;
  if (reg(it.src).is_pointer() || (compares && reg(0).is_pointer()))
    return refuse(Rule::kPointerArithmetic, "an atomic with a pointer as operand", "a number",
                  {unsigned{it.src}, compares ? 0u : unsigned{it.src}}, "");
  if (!has_atomics(it.dst)) return false;
  Access access{.base = it.dst, .offset = it.offset, .size = row.width, .reads = true, .writes = true, .atomic = true};
  const Value unknown = Value::of(Range::of_bytes(row.width));
  Value loaded = unknown;
  if (!this->access(access, &loaded, &unknown)) return false;
  loaded = unknown;  // others may write between
  if (row.shape == OperandShape::kAtomicFetch) reg(it.src) = loaded;
  if (compares) reg(0) = loaded;
  return true;
}

bool Walk::extent(const Access& access, std::int64_t& low, std::int64_t& high) const {
  const Value& base = reg(access.base);
  low = base.offset + access.offset + base.number.wide.smin;
  high = base.offset + access.offset + base.number.wide.smax + access.size;
  return base.number.wide.smin >= -(1 << 29) && base.number.wide.smax <= 1 << 29;
}

// Whether the address is surely a multiple of the access's size.
bool Walk::aligned(const Access& access, unsigned base_alignment) {
  const Value& base = reg(access.base);
  const Tnum offset = add(base.number.bits, Tnum::constant(static_cast<std::uint64_t>(base.offset + access.offset)));
  if (base_alignment % access.size == 0 && ((offset.value | offset.mask) & (access.size - 1)) == 0) return true;
  return refuse(
      Rule::kAlignment,
      fmt::format("{} of {} bytes at an address that may be no multiple of {}",
                  access.atomic ? "an atomic" : "an access", access.size, access.size),
      fmt::format("an offset that is a multiple of {}", access.size), {access.base},
      base_alignment % access.size == 0 ? "align the offset" : "the memory itself is not known to be aligned");
}

bool Walk::access(const Access& access, Value* loaded, const Value* stored) {
  const Value& base = reg(access.base);
  if (base.is_pointer() && base.may_be_null)
    return refuse(Rule::kNull, fmt::format("r{} may be null", access.base), "a pointer that is not null", {access.base},
                  fmt::format("compare r{} with 0 and leave when it is", access.base));
  switch (base.kind) {
    case Kind::kStack: return access_stack(access, loaded, stored);
    case Kind::kContext: return access_context(access, loaded);
    case Kind::kPacket:
    case Kind::kPacketMeta: return access_packet(access);
    case Kind::kMapValue: {
      const ebpf::MapDefinition& map = program_.maps[base.map];
      if (!map_allows(access) || (access.atomic && !aligned(access, kValueAlignment)) ||
          !access_sized(access, map.value_size, Rule::kMapBounds, fmt::format("the value of map '{}'", map.name)))
        return false;
      if (loaded != nullptr && !access.atomic) load_constant(access, map, *loaded);
      return true;
    }
    case Kind::kMapKey: {
      const ebpf::MapDefinition& map = program_.maps[base.map];
      if (access.writes) return refuse_key_write(access.base);
      return (!access.atomic || aligned(access, kValueAlignment)) &&
             access_sized(access, map.key_size, Rule::kMapBounds, fmt::format("the key of map '{}'", map.name));
    }
    case Kind::kRecord:
      return (!access.atomic || aligned(access, kValueAlignment)) &&
             access_sized(access, base.size, Rule::kRecordBounds, "the record");
    case Kind::kSocketCommon: return access_structure(access, common_socket_layout());
    case Kind::kSocket: return access_structure(access, socket_layout());
    case Kind::kTcpSocket: return access_structure(access, tcp_socket_layout());
    case Kind::kFlowKeys: return access_sized(access, kFlowKeysSize, Rule::kContextAccess, "the flow keys");
    default: break;
  }
  const bool is_void = base.kind == Kind::kNumber && base.size != 0;
  if (is_void && flow_.rows[base.size - 1]->shape == ebpf::OperandShape::kNone)
    return refuse(Rule::kNotAPointer,
                  fmt::format("r{} pointed to a key that was gone at instruction {}", access.base, base.size - 1),
                  "a key of the round that runs", {access.base}, "copy the key while the function is called with it");
  if (is_void)
    return refuse(Rule::kNotAPointer,
                  fmt::format("r{} pointed into the packet until instruction {}", access.base, base.size - 1),
                  "a pointer into the packet as it is now", {access.base},
                  "the call may have moved the packet: load data and data_end again and compare again");
  const char* what = base.kind == Kind::kMap         ? "a map, not one of its values"
                     : base.kind == Kind::kFunction  ? "a function"
                     : base.kind == Kind::kPacketEnd ? "the end of the packet"
                                                     : "no pointer";
  return refuse(Rule::kNotAPointer, fmt::format("r{} is {}", access.base, what), "a pointer to memory", {access.base},
                base.kind == Kind::kMap ? "look a value up with map_lookup_elem" : "");
}

bool Walk::refuse_key_write(unsigned base) {
  return refuse(Rule::kReadOnly, "keys of maps may not be written", "memory that may be written", {base},
                "copy the key to the stack");
}

bool Walk::map_allows(const Access& access) {
  const ebpf::MapDefinition& map = program_.maps[reg(access.base).map];
  if (access.writes && (map.flags & kReadOnlyMap) != 0)
    return refuse(Rule::kReadOnly, fmt::format("map '{}' may not be written by programs", map.name),
                  "memory that may be written", {access.base}, "constants (.rodata) are set before the program runs");
  if (access.reads && (map.flags & kWriteOnlyMap) != 0)
    return refuse(Rule::kReadOnly, fmt::format("map '{}' may not be read by programs", map.name),
                  "memory that may be read", {access.base}, "");
  return true;
}

// What only shows what the maps of a map of maps are like may stand for one with other contents.
bool Walk::stands_for_others(const ebpf::MapDefinition& map) const {
  return std::any_of(program_.maps.begin(), program_.maps.end(),
                     [&](const ebpf::MapDefinition& outer) { return !map.name.empty() && outer.inner == map.name; });
}

// Constants of the program (.rodata) are what they are before it runs: nobody writes them any more.
void Walk::load_constant(const Access& access, const ebpf::MapDefinition& map, Value& loaded) {
  const Value& base = reg(access.base);
  if ((map.flags & kReadOnlyMap) == 0 || map.contents.empty() || map.max_entries != 1 || !base.number.is_constant() ||
      stands_for_others(map))
    return;
  const auto from =
      static_cast<std::size_t>(base.offset + access.offset + static_cast<std::int64_t>(base.number.number()));
  std::uint8_t bytes[8] = {};
  for (std::size_t i = 0; i < access.size && from + i < map.contents.size(); ++i) bytes[i] = map.contents[from + i];
  std::uint64_t number = 0;
  std::memcpy(&number, bytes, sizeof number);
  if constexpr (std::endian::native == std::endian::big) number >>= 64 - 8 * access.size;
  const Range stored = Range::constant(number);
  const Origins origins = base.origins;
  loaded = Value::of(access.is_signed ? sign_extended(stored, access.size * 8, true) : stored);
  loaded.origins = origins;
}

bool Walk::access_sized(const Access& access, std::uint64_t size, Rule rule, const std::string& what) {
  std::int64_t low = 0, high = 0;
  const bool near = extent(access, low, high);
  const bool inside = near && low >= 0 && high <= static_cast<std::int64_t>(size);
  // The kernel wants the variable part of an offset to be none that may be negative, whatever was added before.
  if (inside && !on_memory_ && reg(access.base).number.wide.smin < 0 && !reg(access.base).number.is_constant())
    return refuse(rule, fmt::format("the variable part of the offset into {} may be negative", what),
                  "a variable part of at least 0", {access.base}, "add the constant to the index, not to the pointer");
  if (inside) return true;
  const bool fixed = reg(access.base).number.is_constant();
  const std::string where = !near   ? "an offset without bounds"
                            : fixed ? bytes_text(low, high)
                                    : bytes_text(low, high) + " at the farthest";
  const std::int64_t most = static_cast<std::int64_t>(size) - access.size;
  return refuse(rule, fmt::format("{} of {}, which has {}", where, what, size),
                fmt::format("an offset of at least 0 and at most {}", most), {access.base},
                fixed ? "" : fmt::format("compare the index first, so that the offset is at most {}", most));
}

bool Walk::access_packet(const Access& access) {
  const Value& base = reg(access.base);
  const bool writable =
      on_memory_ ? options_.premise.memory_writable : layout_ && layout_->packet == PacketAccess::kWrite;
  const char* what = on_memory_                       ? "the memory"
                     : base.kind == Kind::kPacketMeta ? "the packet's metadata"
                                                      : "the packet";
  if (access.writes && !writable)
    return refuse(Rule::kReadOnly, fmt::format("{} may not be written by this kind of program", what),
                  "memory that may be written", {access.base}, "");
  if (access.atomic && !aligned(access, options_.premise.memory_alignment)) return false;
  if (base.number.wide.smin < 0)
    return refuse(Rule::kPacketBounds, "the offset may be negative", "an offset of at least 0", {access.base},
                  "use an unsigned index, or compare it with 0 (signed) first");
  const std::int64_t low = base.offset + access.offset;
  const std::int64_t high = low + access.size;
  if (low >= 0 && high <= static_cast<std::int64_t>(base.room)) return true;
  const char* end = on_memory_                       ? "the memory's length (r2 at the start)"
                    : base.kind == Kind::kPacketMeta ? "data"
                                                     : "data_end";
  const bool variable = base.identity != 0;
  std::string suggestion = fmt::format("compare r{} + {} with {} and leave when it is greater", access.base,
                                       access.offset + static_cast<std::int64_t>(access.size), end);
  if (low < 0) suggestion = "start from the packet's first byte";
  else if (on_memory_ && !variable)
    suggestion = fmt::format("compare the length (r2 at the start) with {} before", high);
  const std::string there = base.room == 0 ? "none is" : base.room == 1 ? "1 is" : fmt::format("{} are", base.room);
  return refuse(Rule::kPacketBounds,
                fmt::format("{} of {}{}, of which {} known to be there", bytes_text(low, high), what,
                            variable ? " from the pointer's variable offset on" : "", there),
                fmt::format("{} byte{} before {}", high, high == 1 ? "" : "s", end), {access.base}, suggestion);
}

Value Walk::behind_field(FieldKind kind) {
  const bool may_be_null = kind == FieldKind::kSocketOrNull || kind == FieldKind::kSocketCommonOrNull;
  Value value = Value::pointer(kind == FieldKind::kData                 ? Kind::kPacket
                               : kind == FieldKind::kDataEnd            ? Kind::kPacketEnd
                               : kind == FieldKind::kDataMeta           ? Kind::kPacketMeta
                               : kind == FieldKind::kFlowKeys           ? Kind::kFlowKeys
                               : kind == FieldKind::kSocketCommonOrNull ? Kind::kSocketCommon
                                                                        : Kind::kSocket);
  value.may_be_null = may_be_null;
  if (may_be_null) value.identity = new_identity();
  return value;
}

bool Walk::access_context(const Access& access, Value* loaded) {
  const Value& base = reg(access.base);
  if (!layout_)
    return refuse(
        Rule::kContextAccess,
        fmt::format("the context of programs of type '{}' is not known here", ebpf::name_of(options_.premise.type)),
        "a context that is known", {access.base}, "");
  if (base.offset != 0 || !base.number.is_constant())
    return refuse(Rule::kContextAccess, "the context is accessed through a pointer that was moved",
                  "the pointer as the program got it", {access.base}, "put the offset into the instruction");
  const std::int64_t low = access.offset, high = low + access.size;
  const char* verb = access.writes ? "written" : "read";
  if (layout_->flat_end != 0) {
    if (!access.writes && low >= layout_->flat_begin && high <= layout_->flat_end && low % access.size == 0)
      return true;
    return refuse(
        Rule::kContextAccess, fmt::format("{} of {} may not be {}", bytes_text(low, high), layout_->name, verb),
        fmt::format("reads of aligned bytes {} to {}", layout_->flat_begin, layout_->flat_end - 1), {access.base}, "");
  }
  return access_structure(access, *layout_, loaded);
}

// A field of the context, or of another structure with a layout.
bool Walk::access_structure(const Access& access, const Layout& layout, Value* loaded) {
  const std::int64_t low = access.offset, high = low + access.size;
  const Field* field = nullptr;
  for (const Field& each : layout.fields)
    if (low >= each.offset && high <= each.offset + each.size) field = &each;
  if (field == nullptr)
    return refuse(
        Rule::kContextAccess,
        fmt::format("{} of {} {} in no field", bytes_text(low, high), layout.name, access.size == 1 ? "lies" : "lie"),
        "one field, in one piece", {access.base}, "");
  return access_field(access, layout, *field, loaded);
}

bool Walk::access_field(const Access& access, const Layout& layout, const Field& field, Value* loaded) {
  const std::int64_t low = access.offset;
  const char* verb = access.writes ? "written" : "read";
  const bool behind = &layout != &*layout_;  // a structure that a pointer leads to: nothing is written there
  if (((access.writes ? (behind ? 0 : field.writers) : field.readers) & layout.family) == 0)
    return refuse(Rule::kContextAccess,
                  behind ? fmt::format("{}.{} may not be {}", layout.name, field.name, verb)
                         : fmt::format("{}.{} may not be {} by programs of type '{}'{}", layout.name, field.name, verb,
                                       ebpf::name_of(options_.premise.type),
                                       program_.has_attach_type ? " that attach there" : ""),
                  fmt::format("a field that may be {}", verb), {access.base},
                  field.kind == FieldKind::kData ? "read the packet with skb_load_bytes or ldabs" : "");
  const Pieces pieces = access.writes ? field.writes : field.reads;
  const bool narrow = access.size <= field.element;
  const bool fits = pieces == Pieces::kWhole          ? access.size == field.element
                    : pieces == Pieces::kNarrow       ? narrow
                    : pieces == Pieces::kNarrowOrWide ? narrow || access.size == 2u * field.element
                    : pieces == Pieces::kWholeOrWide  ? access.size % field.element == 0
                    : pieces == Pieces::kStart        ? narrow && low == field.offset
                                                      : narrow && access.size * 2u >= field.element;
  if (!fits || low % access.size != 0)
    return refuse(Rule::kContextAccess,
                  fmt::format("{} bytes at {} of {}.{}", access.size, low - field.offset, layout.name, field.name),
                  fmt::format("{} bytes, aligned", pieces == Pieces::kWhole || pieces == Pieces::kWholeOrWide
                                                       ? fmt::format("{}", field.element)
                                                       : fmt::format("at most {}", field.element)),
                  {access.base}, "use the type that the field has");
  if (field.kind == FieldKind::kNumber) return true;
  if (field.kind == FieldKind::kObject)
    return refuse(
        Rule::kContextAccess,
        fmt::format("{}.{} points to a structure of the kernel's, which is not followed here", layout.name, field.name),
        "a number, or a pointer into the packet", {access.base}, "let the kernel judge: weir prog load FILE");
  if (access.is_signed)
    return refuse(Rule::kContextAccess, fmt::format("a pointer, {}, is read with a sign", field.name),
                  "a load without a sign", {access.base}, "");
  if (loaded != nullptr) *loaded = behind_field(field.kind);
  return true;
}

}  // namespace weir::verify
