// The loop of the interpreter of extended programs. Part of Interpretation.
//
// A jump from decoded step to decoded step, or over a group of steps that compilers often write together. Arithmetic as
// RFC 9669: division by zero gives 0, remainder by zero the dividend, shifts are masked, 32-bit results have a zero
// upper half, the least number divided by -1 is itself.
#include <cstring>

#include "engine/ebpf_interpretation.h"
#include "engine/ebpf_interpreter_memory.h"

namespace weir::engine {
namespace {

using ebpf::Operation;

// How many operations there are: groups come behind them.
constexpr std::size_t kOperations = 0
#define WEIR_EBPF_OPCODE(name, code, field, value, width, shape, mnemonic, sign, version) +1
#include <weir/ebpf/opcodes.def>
#undef WEIR_EBPF_OPCODE
    ;

template <typename T>
T signed_divide(T a, T b) {
  using U = std::make_unsigned_t<T>;
  if (b == 0) return 0;
  if (b == -1) return static_cast<T>(U{0} - static_cast<U>(a));
  return a / b;
}
template <typename T>
T signed_remainder(T a, T b) {
  if (b == 0) return a;
  return b == -1 ? T{0} : a % b;
}

}  // namespace

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"  // places of labels as values
Outcome Interpretation::go_on(std::uint32_t from) {
  std::uint64_t left = budget_;
  std::uint64_t* const r = registers_;
  const Step* steps = code_->steps.data();
  const Step* next = steps + from;  // in a register: no address of it is taken
  const auto s64 = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  const auto s32 = [](std::uint32_t value) { return static_cast<std::int32_t>(value); };
  const auto u32 = [](std::int32_t value) { return static_cast<std::uint32_t>(value); };
  const auto u64 = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  static const void* const kPlaces[] = {
#define WEIR_EBPF_OPCODE(name, code, field, value, width, shape, mnemonic, sign, version) &&name,
#include <weir/ebpf/opcodes.def>
#undef WEIR_EBPF_OPCODE
      &&kMovAdd64K,          &&kMovAdd64X,           &&kMovAddJGt64X,
      &&kMovAddMov32KJGt64X, &&kMovAddXMovAddJGt64X, &&kLoad16Add32XAddJNe32K,
      &&kAddJNe64K,          &&kAddJNe32K,           &&kAddJLt64K,
      &&kLoad16Add32X,       &&kMov32KJGt64X,        &&kMov32KJNe32K,
      &&kMov32KJLt32K,       &&kMov32KJEq32K,        &&kAnd32KMov32KJNe32K,
      &&kJEqJNe32K,  // as Group has them
  };
  static_assert(std::size(kPlaces) == kOperations + static_cast<std::size_t>(Group::kCount));
  static_assert(std::size(kPlaces) <= Step::kSecond);
// Each step ends with a jump of its own to the next: processors predict many such jumps better than one.
#define WEIR_GO()                             \
  do {                                        \
    if (left == 0) WEIR_STOP(Fault::kBudget); \
    --left;                                   \
    goto* kPlaces[next->dispatch];            \
  } while (false)
// A group counts as its steps do: where the budget ends within, they are run one by one.
#define WEIR_MORE(steps_more)                                                           \
  do {                                                                                  \
    if (left < (steps_more)) goto* kPlaces[static_cast<std::uint8_t>(next->operation)]; \
    left -= (steps_more);                                                               \
  } while (false)
#define WEIR_NEXT() \
  do {              \
    ++next;         \
    WEIR_GO();      \
  } while (false)
#define WEIR_STOP(why) return stop(why, static_cast<std::uint32_t>(next - steps), left)
#define WEIR_FINISH(value) return finish(value, static_cast<std::uint32_t>(next - steps), left)
#define WEIR_DST r[next->dst]
#define WEIR_SRC r[next->src]
#define WEIR_K next->constant
#define WEIR_DST32 static_cast<std::uint32_t>(WEIR_DST)
#define WEIR_SRC32 static_cast<std::uint32_t>(WEIR_SRC)
#define WEIR_K32 static_cast<std::uint32_t>(WEIR_K)
  WEIR_GO();
#define WEIR_ALU(name, in64, in32)                      \
  k##name##64K : {                                      \
    const std::uint64_t a = WEIR_DST, b = WEIR_K;       \
    WEIR_DST = in64;                                    \
    WEIR_NEXT();                                        \
  }                                                     \
  k##name##64X : {                                      \
    const std::uint64_t a = WEIR_DST, b = WEIR_SRC;     \
    WEIR_DST = in64;                                    \
    WEIR_NEXT();                                        \
  }                                                     \
  k##name##32K : {                                      \
    const std::uint32_t a = WEIR_DST32, b = WEIR_K32;   \
    WEIR_DST = in32;                                    \
    WEIR_NEXT();                                        \
  }                                                     \
  k##name##32X : {                                      \
    const std::uint32_t a = WEIR_DST32, b = WEIR_SRC32; \
    WEIR_DST = in32;                                    \
    WEIR_NEXT();                                        \
  }
  WEIR_ALU(Add, a + b, a + b)
  WEIR_ALU(Sub, a - b, a - b)
  WEIR_ALU(Mul, a * b, a * b)
  WEIR_ALU(Div, b != 0 ? a / b : 0, b != 0 ? a / b : 0)
  WEIR_ALU(Mod, b != 0 ? a % b : a, b != 0 ? a % b : a)
  WEIR_ALU(Sdiv, u64(signed_divide(s64(a), s64(b))), u32(signed_divide(s32(a), s32(b))))
  WEIR_ALU(Smod, u64(signed_remainder(s64(a), s64(b))), u32(signed_remainder(s32(a), s32(b))))
  WEIR_ALU(Or, a | b, a | b)
  WEIR_ALU(And, a & b, a & b)
  WEIR_ALU(Xor, a ^ b, a ^ b)
  WEIR_ALU(Lsh, a << (b & 63), a << (b & 31))
  WEIR_ALU(Rsh, a >> (b & 63), a >> (b & 31))
  WEIR_ALU(Arsh, u64(s64(a) >> (b & 63)), u32(s32(a) >> (b & 31)))
#undef WEIR_ALU
kMov64K:
  WEIR_DST = WEIR_K;
  WEIR_NEXT();
kMov64X:
  WEIR_DST = WEIR_SRC;
  WEIR_NEXT();
kMov32K:
  WEIR_DST = WEIR_K32;
  WEIR_NEXT();
kMov32X:
  WEIR_DST = WEIR_SRC32;
  WEIR_NEXT();
kNeg64:
  WEIR_DST = 0 - WEIR_DST;
  WEIR_NEXT();
kNeg32:
  WEIR_DST = 0u - WEIR_DST32;
  WEIR_NEXT();
kMovSx8To64:
  WEIR_DST = u64(static_cast<std::int8_t>(WEIR_SRC));
  WEIR_NEXT();
kMovSx16To64:
  WEIR_DST = u64(static_cast<std::int16_t>(WEIR_SRC));
  WEIR_NEXT();
kMovSx32To64:
  WEIR_DST = u64(static_cast<std::int32_t>(WEIR_SRC));
  WEIR_NEXT();
kMovSx8To32:
  WEIR_DST = u32(static_cast<std::int8_t>(WEIR_SRC));
  WEIR_NEXT();
kMovSx16To32:
  WEIR_DST = u32(static_cast<std::int16_t>(WEIR_SRC));
  WEIR_NEXT();
#define WEIR_ORDER(bits, type)                                                                                \
  kLe##bits : WEIR_DST = std::endian::native == std::endian::little ? static_cast<type>(WEIR_DST)             \
                                                                    : byte_swap(static_cast<type>(WEIR_DST)); \
  WEIR_NEXT();                                                                                                \
  kBe##bits : WEIR_DST = std::endian::native == std::endian::big ? static_cast<type>(WEIR_DST)                \
                                                                 : byte_swap(static_cast<type>(WEIR_DST));    \
  WEIR_NEXT();                                                                                                \
  kSwap##bits : WEIR_DST = byte_swap(static_cast<type>(WEIR_DST));                                            \
  WEIR_NEXT();
  WEIR_ORDER(16, std::uint16_t)
  WEIR_ORDER(32, std::uint32_t)
  WEIR_ORDER(64, std::uint64_t)
#undef WEIR_ORDER
kJa:
kJaLong:
  next = steps + next->offset;
  WEIR_GO();
#define WEIR_JUMP(name, in64, in32)                     \
  kJ##name##64K : {                                     \
    const std::uint64_t a = WEIR_DST, b = WEIR_K;       \
    if (in64) {                                         \
      next = steps + next->offset;                      \
      WEIR_GO();                                        \
    }                                                   \
    WEIR_NEXT();                                        \
  }                                                     \
  kJ##name##64X : {                                     \
    const std::uint64_t a = WEIR_DST, b = WEIR_SRC;     \
    if (in64) {                                         \
      next = steps + next->offset;                      \
      WEIR_GO();                                        \
    }                                                   \
    WEIR_NEXT();                                        \
  }                                                     \
  kJ##name##32K : {                                     \
    const std::uint32_t a = WEIR_DST32, b = WEIR_K32;   \
    if (in32) {                                         \
      next = steps + next->offset;                      \
      WEIR_GO();                                        \
    }                                                   \
    WEIR_NEXT();                                        \
  }                                                     \
  kJ##name##32X : {                                     \
    const std::uint32_t a = WEIR_DST32, b = WEIR_SRC32; \
    if (in32) {                                         \
      next = steps + next->offset;                      \
      WEIR_GO();                                        \
    }                                                   \
    WEIR_NEXT();                                        \
  }
  WEIR_JUMP(Eq, a == b, a == b)
  WEIR_JUMP(Ne, a != b, a != b)
  WEIR_JUMP(Gt, a > b, a > b)
  WEIR_JUMP(Ge, a >= b, a >= b)
  WEIR_JUMP(Lt, a < b, a < b)
  WEIR_JUMP(Le, a <= b, a <= b)
  WEIR_JUMP(Set, (a & b) != 0, (a & b) != 0)
  WEIR_JUMP(Sgt, s64(a) > s64(b), s32(a) > s32(b))
  WEIR_JUMP(Sge, s64(a) >= s64(b), s32(a) >= s32(b))
  WEIR_JUMP(Slt, s64(a) < s64(b), s32(a) < s32(b))
  WEIR_JUMP(Sle, s64(a) <= s64(b), s32(a) <= s32(b))
#undef WEIR_JUMP
kMovAdd64K:
  WEIR_MORE(1);
  WEIR_DST = WEIR_SRC + next[1].constant;
  next += 2;
  WEIR_GO();
kMovAdd64X:
  WEIR_MORE(1);
  WEIR_DST = WEIR_SRC;
  WEIR_DST += r[next[1].src];
  next += 2;
  WEIR_GO();
kMovAddJGt64X : {
  WEIR_MORE(2);
  const std::uint64_t bound = WEIR_SRC + next[1].constant;
  WEIR_DST = bound;
  if (bound > r[next[2].src]) {
    next = steps + next[2].offset;
    WEIR_GO();
  }
  next += 3;
  WEIR_GO();
}
kMovAddMov32KJGt64X : {
  WEIR_MORE(3);
  const std::uint64_t bound = WEIR_SRC + next[1].constant;
  WEIR_DST = bound;
  r[next[2].dst] = static_cast<std::uint32_t>(next[2].constant);
  if (bound > r[next[3].src]) {
    next = steps + next[3].offset;
    WEIR_GO();
  }
  next += 4;
  WEIR_GO();
}
kMovAddXMovAddJGt64X : {
  WEIR_MORE(4);
  const std::uint64_t sum = WEIR_SRC + r[next[1].src];
  const std::uint64_t bound = sum + next[3].constant;
  WEIR_DST = sum;
  r[next[2].dst] = bound;
  if (bound > r[next[4].src]) {
    next = steps + next[4].offset;
    WEIR_GO();
  }
  next += 5;
  WEIR_GO();
}
kLoad16Add32XAddJNe32K : {
  WEIR_MORE(3);
  const std::uint64_t address = WEIR_SRC + u64(next->offset);
  if (!may(address, sizeof(std::uint16_t), false)) {
    left += 3;
    WEIR_STOP(fault_);
  }
  const std::uint32_t value = loaded<std::uint16_t>(address);
  const std::uint64_t count = r[next[2].dst] + next[2].constant;
  WEIR_DST = value;
  r[next[1].dst] = static_cast<std::uint32_t>(r[next[1].dst] + value);
  r[next[2].dst] = count;
  if (static_cast<std::uint32_t>(count) != static_cast<std::uint32_t>(next[3].constant)) {
    next = steps + next[3].offset;
    WEIR_GO();
  }
  next += 4;
  WEIR_GO();
}
kLoad16Add32X:
  WEIR_MORE(1);
  if (!load_to<std::uint16_t>(*next)) {
    ++left;
    WEIR_STOP(fault_);
  }
  r[next[1].dst] = static_cast<std::uint32_t>(r[next[1].dst] + r[next[1].src]);
  next += 2;
  WEIR_GO();
#define WEIR_GROUP(name, first, type, operand, condition) \
  k##name : {                                             \
    WEIR_MORE(1);                                         \
    first;                                                \
    const type a = static_cast<type>(r[next[1].dst]);     \
    const type b = static_cast<type>(operand);            \
    if (condition) {                                      \
      next = steps + next[1].offset;                      \
      WEIR_GO();                                          \
    }                                                     \
    next += 2;                                            \
    WEIR_GO();                                            \
  }
  WEIR_GROUP(AddJNe64K, WEIR_DST += WEIR_K, std::uint64_t, next[1].constant, a != b)
  WEIR_GROUP(AddJNe32K, WEIR_DST += WEIR_K, std::uint32_t, next[1].constant, a != b)
  WEIR_GROUP(AddJLt64K, WEIR_DST += WEIR_K, std::uint64_t, next[1].constant, a < b)
  WEIR_GROUP(Mov32KJGt64X, WEIR_DST = WEIR_K32, std::uint64_t, r[next[1].src], a > b)
  WEIR_GROUP(Mov32KJNe32K, WEIR_DST = WEIR_K32, std::uint32_t, next[1].constant, a != b)
  WEIR_GROUP(Mov32KJEq32K, WEIR_DST = WEIR_K32, std::uint32_t, next[1].constant, a == b)
  WEIR_GROUP(Mov32KJLt32K, WEIR_DST = WEIR_K32, std::uint32_t, next[1].constant, a < b)
#undef WEIR_GROUP
kAnd32KMov32KJNe32K : {
  WEIR_MORE(2);
  const std::uint32_t a = WEIR_DST32 & WEIR_K32;
  WEIR_DST = a;
  r[next[1].dst] = static_cast<std::uint32_t>(next[1].constant);
  if (a != static_cast<std::uint32_t>(next[2].constant)) {
    next = steps + next[2].offset;
    WEIR_GO();
  }
  next += 3;
  WEIR_GO();
}
kJEqJNe32K:  // the second step counts only where the first does not jump
  if (WEIR_DST32 == WEIR_K32) {
    next = steps + next->offset;
    WEIR_GO();
  }
  ++next;
  if (left == 0) WEIR_STOP(Fault::kBudget);
  --left;
  if (WEIR_DST32 != WEIR_K32) {
    next = steps + next->offset;
    WEIR_GO();
  }
  WEIR_NEXT();
kCallRegister:
kCallHelper : {
  const bool by_register = next->operation == Operation::kCallRegister;
  if (by_register && !code_->options.register_calls) {
    detail_ = WEIR_DST;
    WEIR_STOP(Fault::kHelper);
  }
  bool ended = false;
  std::uint32_t at = static_cast<std::uint32_t>(next - steps);
  left_ = left;
  const bool good = helper(s32(static_cast<std::uint32_t>(by_register ? WEIR_DST : WEIR_K)), at, ended);
  left = left_;
  if (!good) return stop(fault_, at, left);
  if (ended) WEIR_FINISH(r[0]);
  steps = code_->steps.data();  // after a tail call: of another program
  next = steps + at;
  WEIR_GO();
}
kCallLocal:
  if (std::uint32_t at = static_cast<std::uint32_t>(next - steps); !call(*next, at)) WEIR_STOP(fault_);
  next = steps + next->offset;
  WEIR_GO();
kCallKernel:
  detail_ = WEIR_K;
  WEIR_STOP(Fault::kHelper);
kExit : {
  std::uint32_t at = 0;
  if (!leave(at)) WEIR_FINISH(r[0]);
  steps = code_->steps.data();
  next = steps + at;
  WEIR_GO();
}
kLoadConstant:
kLoadMapDescriptor:
kLoadMapValue:
kLoadVariable:
kLoadFunction:
kLoadMapIndex:
kLoadMapIndexValue:
  WEIR_DST = WEIR_K;
  next += 2;
  WEIR_GO();
kLoadPacketAbsolute32:
  if (!packet_load<std::uint32_t>(WEIR_K)) goto kExit;
  WEIR_NEXT();
kLoadPacketAbsolute16:
  if (!packet_load<std::uint16_t>(WEIR_K)) goto kExit;
  WEIR_NEXT();
kLoadPacketAbsolute8:
  if (!packet_load<std::uint8_t>(WEIR_K)) goto kExit;
  WEIR_NEXT();
kLoadPacketIndirect32:
  if (!packet_load<std::uint32_t>(WEIR_SRC + WEIR_K)) goto kExit;
  WEIR_NEXT();
kLoadPacketIndirect16:
  if (!packet_load<std::uint16_t>(WEIR_SRC + WEIR_K)) goto kExit;
  WEIR_NEXT();
kLoadPacketIndirect8:
  if (!packet_load<std::uint8_t>(WEIR_SRC + WEIR_K)) goto kExit;
  WEIR_NEXT();
#define WEIR_MEMORY(bits)                                                                   \
  kLoad##bits : if (!load_to<std::uint##bits##_t>(*next)) WEIR_STOP(fault_);                \
  WEIR_NEXT();                                                                              \
  kStoreConstant##bits : if (!store<std::uint##bits##_t>(*next, WEIR_K)) WEIR_STOP(fault_); \
  WEIR_NEXT();                                                                              \
  kStore##bits : if (!store<std::uint##bits##_t>(*next, WEIR_SRC)) WEIR_STOP(fault_);       \
  WEIR_NEXT();
  WEIR_MEMORY(8)
  WEIR_MEMORY(16)
  WEIR_MEMORY(32)
  WEIR_MEMORY(64)
#undef WEIR_MEMORY
kLoadSigned8:
  if (!load_to<std::int8_t>(*next)) WEIR_STOP(fault_);
  WEIR_NEXT();
kLoadSigned16:
  if (!load_to<std::int16_t>(*next)) WEIR_STOP(fault_);
  WEIR_NEXT();
kLoadSigned32:
  if (!load_to<std::int32_t>(*next)) WEIR_STOP(fault_);
  WEIR_NEXT();
#define WEIR_ATOMIC(bits)                                                                            \
  kAtomicAdd##bits : kAtomicOr##bits : kAtomicAnd##bits : kAtomicXor##bits : kAtomicFetchAdd##bits   \
      : kAtomicFetchOr##bits : kAtomicFetchAnd##bits : kAtomicFetchXor##bits : kAtomicExchange##bits \
      : kAtomicCompareExchange##bits : if (!atomic<std::uint##bits##_t>(*next)) WEIR_STOP(fault_);   \
  WEIR_NEXT();
  WEIR_ATOMIC(32)
  WEIR_ATOMIC(64)
#undef WEIR_ATOMIC
#define WEIR_ORDERED(bits)                                                                 \
  kLoadAcquire##bits : if (!load_acquire<std::uint##bits##_t>(*next)) WEIR_STOP(fault_);   \
  WEIR_NEXT();                                                                             \
  kStoreRelease##bits : if (!store_release<std::uint##bits##_t>(*next)) WEIR_STOP(fault_); \
  WEIR_NEXT();
  WEIR_ORDERED(8)
  WEIR_ORDERED(16)
  WEIR_ORDERED(32)
  WEIR_ORDERED(64)
#undef WEIR_ORDERED
kMayGoto:
kAddressSpaceCast:
  __builtin_unreachable();  // prepare() refuses them
}
#undef WEIR_GO
#undef WEIR_NEXT
#undef WEIR_MORE
#undef WEIR_STOP
#undef WEIR_FINISH
#undef WEIR_DST
#undef WEIR_SRC
#undef WEIR_K
#undef WEIR_DST32
#undef WEIR_SRC32
#undef WEIR_K32
#pragma GCC diagnostic pop

}  // namespace weir::engine
