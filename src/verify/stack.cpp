// The stack: which bytes were written, and the values that stand there. Exports Walk's members for it.
//
// Slots of eight bytes. A value that was stored at a slot's first byte is kept and given back to loads; of all other
// bytes only whether they were written is known. Offsets that vary are taken at all their places: reads need them all
// written, writes make what stands there unknown.
#include <algorithm>

#include <fmt/format.h>

#include "verify/walk.h"

namespace weir::verify {

namespace {

// Offsets are below 0, from the frame pointer down.
unsigned slot_of(std::int64_t offset) { return static_cast<unsigned>((-offset - 1) / 8); }
unsigned byte_of(std::int64_t offset) { return static_cast<unsigned>(offset & 7); }
std::uint8_t bytes_mask(unsigned byte, std::uint64_t size) {
  return static_cast<std::uint8_t>(((1u << size) - 1) << byte);
}

}  // namespace

Slot& Walk::slot_at(unsigned frame, std::int64_t offset) {
  std::vector<Slot>& slots = state_.frames[frame].slots;
  const unsigned index = slot_of(offset);
  if (index >= slots.size()) slots.resize(index + 1);
  statistics_.stack = std::max(statistics_.stack, (index + 1) * 8);
  return slots[index];
}

bool Walk::stack_extent(const Access& access, std::int64_t& low, std::int64_t& high) {
  const bool near = extent(access, low, high);
  if (near && low >= -std::int64_t{ebpf::kStackSize} && high <= 0) return true;
  return refuse(Rule::kStackBounds,
                near ? fmt::format("bytes r10{:+} to r10{:+} of the stack", low, high - 1)
                     : std::string("an offset without bounds into the stack"),
                fmt::format("bytes r10-{} to r10-1", ebpf::kStackSize), {access.base},
                near && high > 0 ? "the stack lies below r10: use a negative offset"
                                 : "use less stack: put large data into a map value");
}

bool Walk::access_stack(const Access& access, Value* loaded, const Value* stored) {
  const Value base = reg(access.base);
  std::int64_t low = 0, high = 0;
  if (!stack_extent(access, low, high) || !aligned(access, 16)) return false;
  if (stored != nullptr && stored->is_pointer() && access.size != 8)
    return refuse(Rule::kPointerArithmetic, fmt::format("{} bytes of a pointer are stored", access.size),
                  "a pointer as a whole", {access.base}, "store all 8 bytes");
  if (access.reads && !read_stack(access, base.frame, low, high, loaded)) return false;
  if (!access.writes) return true;
  if (stored != nullptr && stored->kind == Kind::kStack && stored->frame > base.frame)
    return refuse(Rule::kStackBounds, "a pointer into this function's stack is stored in its caller's",
                  "pointers that live as long as what they point to", {access.base}, "let the caller give the memory");
  write_stack(base.frame, low, high, base.number.is_constant(), stored);
  return true;
}

// The first byte of [low, high) that was never written.
std::optional<std::int64_t> Walk::unwritten_byte(unsigned frame, std::int64_t low, std::int64_t high) {
  const std::vector<Slot>& slots = state_.frames[frame].slots;
  for (std::int64_t at = low; at < high; ++at) {
    const unsigned index = slot_of(at);
    if (index >= slots.size() || (slots[index].written >> byte_of(at) & 1) == 0) return at;
  }
  return std::nullopt;
}

bool Walk::read_stack(const Access& access, unsigned frame, std::int64_t low, std::int64_t high, Value* loaded) {
  const auto unwritten = unwritten_byte(frame, low, high);
  if (unwritten && options_.unwritten_stack) {
    reads_unwritten_stack_ = true;
    statistics_.stack = std::max(statistics_.stack, (slot_of(low) + 1) * 8);
  } else if (unwritten) {
    return refuse(Rule::kUninitialised,
                  fmt::format("byte r10{:+} of the stack is read but was never written", *unwritten),
                  fmt::format("bytes r10{:+} to r10{:+} written", low, high - 1), {access.base},
                  on_memory_ ? "write it on every path that leads here"
                             : "write it on every path that leads here (kernels let loaders with all rights read it: "
                               "--unwritten-stack)");
  }
  for (std::int64_t at = low & ~std::int64_t{7}; at < high; at += 8) mark_read(frame, slot_of(at));
  if (loaded == nullptr) return true;
  *loaded = Value::of(Range::of_bytes(access.size, access.is_signed));
  if (high - low != access.size || slot_of(low) >= state_.frames[frame].slots.size()) return true;
  const Slot& slot = state_.frames[frame].slots[slot_of(low)];
  const unsigned byte = byte_of(low);
  if (slot.kept == 0 || byte + access.size > slot.kept) return true;
  const Value& kept = slot.value;
  const bool whole = byte == 0 && access.size == slot.kept;
  if (whole) {
    *loaded = kept;
  } else if (!kept.is_number()) {
    return refuse(Rule::kPointerArithmetic, fmt::format("{} bytes of a pointer are read", access.size),
                  "a pointer as a whole", {access.base}, "load all 8 bytes");
  } else if (std::endian::native == std::endian::little && (byte == 0 || on_memory_ || kept.is_zero())) {
    const Range moved = arithmetic(ebpf::AluOperation::kRsh, false, true, kept.number, Range::constant(byte * 8u));
    *loaded = Value::of(zero_extended(moved, access.size * 8));
    loaded->origins = kept.origins;
  }
  if (access.is_signed && loaded->is_number()) {
    const Origins origins = loaded->origins;
    *loaded = Value::of(sign_extended(loaded->number, access.size * 8, true));
    loaded->origins = origins;
  }
  return true;
}

void Walk::write_stack(unsigned frame, std::int64_t low, std::int64_t high, bool exact, const Value* stored) {
  for (std::int64_t at = low; at < high;) {
    const std::int64_t end = std::min(high, (at & ~std::int64_t{7}) + 8);
    Slot& slot = slot_at(frame, at);
    const unsigned byte = byte_of(at);
    const auto size = static_cast<std::uint64_t>(end - at);
    if (byte < slot.kept) slot.kept = 0;
    if (exact) {
      slot.written |= bytes_mask(byte, size);
      if (size == 8) state_.frames[frame].overwritten |= std::uint64_t{1} << slot_of(at);
    }
    const bool one = exact && byte == 0 && high - low == end - at;
    if (one && stored != nullptr && (stored->is_number() || size == 8)) {
      slot.kept = static_cast<std::uint8_t>(size);
      slot.value = *stored;
      if (size < 8 && stored->number.wide.umax >> (size * 8) != 0) {
        slot.value = Value::of(zero_extended(stored->number, static_cast<unsigned>(size * 8)));
        slot.value.origins = stored->origins;
      }
    }
    at = end;
  }
}

}  // namespace weir::verify
