// Tests on x86-64. The part of X86Body that leaves a test's outcome in the flags.
//
// Set tests have no branches: which member a packet's value is, or none, is what branch predictors cannot know. A few
// values that are seldom met are compared one by one elsewhere (emit_unlikely_set, emit_scan).
#include "engine/x86_body.h"

#include <bit>

namespace weir::engine {

using flow::Condition;
namespace x86 = asmjit::x86;
using x86::CondCode;

namespace {

std::uint32_t all_bits(std::uint8_t size) { return size == 4 ? 0xffffffffu : (1u << (8 * size)) - 1; }

// What of a load a test looks at, as it lies in memory: often fewer bytes than the load has.
struct InMemory {
  std::int32_t offset = 0;  // behind the load's own place
  std::uint8_t size = 0;
  std::uint32_t mask = 0;
  std::uint32_t value = 0;
};

InMemory in_memory(const RawTest& raw, const Node& load) {
  constexpr std::uint32_t kFarthest = 0x7fffff00;  // what is added still fits a displacement
  const std::uint8_t size = load.size;
  const std::uint32_t mask = swap_bytes(raw.mask, size);
  const std::uint32_t value = swap_bytes(raw.value, size);
  if (mask == 0 || load.k > kFarthest) return {0, size, mask, value};
  const int first = std::countr_zero(mask) / 8;
  const int count = (31 - std::countl_zero(mask)) / 8 - first + 1;
  if (count > 2) return {0, size, mask, value};
  return {first, static_cast<std::uint8_t>(count), mask >> 8 * first, value >> 8 * first};
}

}  // namespace

CondCode X86Body::test(const PlanBlock& block) {
  if (block.kind == flow::ExitKind::kSet) {
    prepare(block.lhs);
    evaluate(block.lhs, x86::eax);
    return contains(tables_[block.set]);
  }
  if (const RawTest one = raw_test(plan_, block); one.load != kNothing) return raw(one);
  prepare(block.lhs);
  prepare(block.rhs);
  Gp left = x86::eax;
  if (in_register(block.lhs)) {
    left = home_register(block.lhs);
  } else {
    evaluate(block.lhs, left);
  }
  const bool bits = block.condition == Condition::kBitsSet;
  if (plan_.is_constant(block.rhs)) {
    const auto k = static_cast<std::int32_t>(plan_[block.rhs].k);
    if (bits) {
      a_.test(left, k);
    } else {
      a_.cmp(left, k);
    }
  } else {
    Gp right = x86::ecx;
    if (in_register(block.rhs)) {
      right = home_register(block.rhs);
    } else {
      operand_to(block.rhs, right);
    }
    if (bits) {
      a_.test(left, right);
    } else {
      a_.cmp(left, right);
    }
  }
  switch (block.condition) {
    case Condition::kEqual: return CondCode::kE;
    case Condition::kGreater: return CondCode::kA;
    case Condition::kGreaterOrEqual: return CondCode::kAE;
    case Condition::kBitsSet: return CondCode::kNE;
  }
  return CondCode::kE;
}

CondCode X86Body::raw(const RawTest& raw) {
  const Node& load = plan_[raw.load];
  if (homes_[raw.load].where != Home::kNone) {
    operand_to(raw.load, x86::eax);
    if (raw.any_bit) {
      a_.test(x86::eax, static_cast<std::int32_t>(raw.mask));
      return CondCode::kNE;
    }
    if (raw.mask != all_bits(load.size)) a_.and_(x86::eax, static_cast<std::int32_t>(raw.mask));
    a_.cmp(x86::eax, static_cast<std::int32_t>(raw.value));
    return CondCode::kE;
  }
  if (load.a != kNothing) prepare(load.a);
  const InMemory looked_at = in_memory(raw, load);
  x86::Mem from = packet_at(raw.load, x86::ecx);
  from.addOffset(looked_at.offset);
  from.setSize(looked_at.size);
  const auto mask = static_cast<std::int32_t>(looked_at.mask);
  if (raw.any_bit || (looked_at.value == 0 && looked_at.mask != all_bits(looked_at.size))) {
    a_.test(from, mask);
    return raw.any_bit ? CondCode::kNE : CondCode::kE;
  }
  const auto value = static_cast<std::int32_t>(looked_at.value);
  if (looked_at.mask == all_bits(looked_at.size)) {
    a_.cmp(from, value);
  } else {
    load_raw(from, looked_at.size, x86::eax);
    a_.and_(x86::eax, mask);
    a_.cmp(x86::eax, value);
  }
  return CondCode::kE;
}

// Whether eax is a member; ecx, edx and r11 are free to use.
CondCode X86Body::contains(const SetTable& set) {
  const auto first = static_cast<std::int32_t>(set.first);
  const auto span = static_cast<std::int32_t>(set.span);
  switch (set.kind) {
    case SetKind::kNever: a_.or_(x86::eax, 1); return CondCode::kE;
    case SetKind::kAlways: a_.xor_(x86::eax, x86::eax); return CondCode::kE;
    case SetKind::kRange:
      if (first != 0) a_.sub(x86::eax, first);
      a_.cmp(x86::eax, span);
      return CondCode::kBE;
    case SetKind::kWord:
      if (first != 0) a_.sub(x86::eax, first);
      a_.mov(x86::rdx, set.bits);
      a_.xor_(x86::ecx, x86::ecx);
      a_.cmp(x86::eax, span);
      a_.cmova(x86::rdx, x86::rcx);
      a_.bt(x86::rdx, x86::rax);
      return CondCode::kC;
    case SetKind::kFew: return contains_few(set);
    case SetKind::kBitmap:
      if (first != 0) a_.sub(x86::eax, first);
      a_.mov(x86::ecx, span);
      a_.cmp(x86::eax, x86::ecx);
      a_.cmovb(x86::ecx, x86::eax);  // the nearest inside, whose bit counts only if it is eax itself
      a_.mov(x86::r11d, x86::ecx);
      a_.shr(x86::ecx, 5);
      a_.mov(x86::rdx, reinterpret_cast<std::uint64_t>(set.words.data()));
      a_.mov(x86::edx, x86::dword_ptr(x86::rdx, x86::rcx, 2));
      a_.mov(x86::ecx, x86::r11d);
      a_.shr(x86::edx, x86::cl);
      a_.xor_(x86::ecx, x86::ecx);
      a_.cmp(x86::eax, x86::r11d);
      a_.cmovne(x86::edx, x86::ecx);
      a_.test(x86::edx, 1);
      return CondCode::kNE;
    case SetKind::kPerfect:
    case SetKind::kCuckoo: return contains_hashed(set);
    case SetKind::kSearch: return contains_by_search(set);
  }
  return CondCode::kE;
}

CondCode X86Body::contains_few(const SetTable& set) {
  for (std::size_t i = 0; i < set.ranges.size(); ++i) {
    const flow::Range& range = set.ranges[i];
    CondCode inside = CondCode::kE;
    if (range.first == range.last) {
      a_.cmp(x86::eax, static_cast<std::int32_t>(range.first));
    } else {
      a_.lea(x86::ecx, x86::ptr(x86::rax, static_cast<std::int32_t>(0u - range.first)));
      a_.cmp(x86::ecx, static_cast<std::int32_t>(range.last - range.first));
      inside = CondCode::kBE;
    }
    a_.set(inside, i == 0 ? x86::dl : x86::cl);
    if (i != 0) a_.or_(x86::dl, x86::cl);
  }
  a_.test(x86::dl, x86::dl);
  return CondCode::kNE;
}

CondCode X86Body::contains_hashed(const SetTable& set) {
  if (set.key_shift != 0) a_.shr(x86::eax, set.key_shift);
  a_.imul(x86::ecx, x86::eax, static_cast<std::int32_t>(set.multipliers[0]));
  a_.shr(x86::ecx, set.hash_shift);
  a_.mov(x86::rdx, reinterpret_cast<std::uint64_t>(set.words.data()));
  if (set.kind == SetKind::kPerfect) {
    a_.cmp(x86::eax, x86::dword_ptr(x86::rdx, x86::rcx, 2));
    return CondCode::kE;
  }
  a_.imul(x86::r11d, x86::eax, static_cast<std::int32_t>(set.multipliers[1]));
  a_.shr(x86::r11d, set.hash_shift);
  a_.cmp(x86::eax, x86::dword_ptr(x86::rdx, x86::rcx, 2));
  a_.sete(x86::cl);
  a_.cmp(x86::eax, x86::dword_ptr(x86::rdx, x86::r11, 2, static_cast<std::int32_t>(4 * set.second_table)));
  a_.sete(x86::al);
  a_.or_(x86::al, x86::cl);
  return CondCode::kNE;
}

CondCode X86Body::contains_by_search(const SetTable& set) {
  a_.mov(x86::rdx, reinterpret_cast<std::uint64_t>(set.words.data()));
  a_.xor_(x86::ecx, x86::ecx);
  for (auto step = static_cast<std::int32_t>((set.words.size() + 1) / 2); step != 0; step /= 2) {
    a_.lea(x86::r11d, x86::ptr(x86::rcx, step));
    a_.cmp(x86::eax, x86::dword_ptr(x86::rdx, x86::r11, 2, -4));
    a_.cmovae(x86::ecx, x86::r11d);
  }
  a_.test(x86::cl, 1);
  return set.parity ? CondCode::kE : CondCode::kNE;
}

}  // namespace weir::engine
