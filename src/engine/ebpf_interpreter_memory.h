// Where the interpreter touches memory with order: atomics, loads that acquire, stores that release; and packet loads.
// Part of Interpretation; included by its loop alone.
#pragma once

#include "engine/ebpf_interpretation.h"

namespace weir::engine {

// The memory at base + offset, when it may be used and its address is a multiple of its width; else null.
template <typename T>
T* Interpretation::aligned(std::uint64_t base, const Step& step, bool write) {
  const std::uint64_t address = base + static_cast<std::uint64_t>(std::int64_t{step.offset});
  if (!may(address, sizeof(T), write)) return nullptr;
  if (address % sizeof(T) == 0) return reinterpret_cast<T*>(address);
  stopped(Fault::kUnaligned, address);
  return nullptr;
}

template <typename T>
bool Interpretation::load_acquire(const Step& step) {
  const T* const place = aligned<T>(registers_[step.src], step, false);
  if (place == nullptr) return false;
  registers_[step.dst] = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  return true;
}

template <typename T>
bool Interpretation::store_release(const Step& step) {
  T* const place = aligned<T>(registers_[step.dst], step, true);
  if (place == nullptr) return false;
  __atomic_store_n(place, static_cast<T>(registers_[step.src]), __ATOMIC_RELEASE);
  return true;
}

template <typename T>
bool Interpretation::atomic(const Step& step) {
  T* const place = aligned<T>(registers_[step.dst], step, true);
  if (place == nullptr) return false;
  const T operand = static_cast<T>(registers_[step.src]);
  constexpr int kOrder = __ATOMIC_SEQ_CST;
  switch (static_cast<ebpf::AtomicOperation>(step.constant)) {
    case ebpf::AtomicOperation::kAdd: __atomic_fetch_add(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kOr: __atomic_fetch_or(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kAnd: __atomic_fetch_and(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kXor: __atomic_fetch_xor(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kFetchAdd: registers_[step.src] = __atomic_fetch_add(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kFetchOr: registers_[step.src] = __atomic_fetch_or(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kFetchAnd: registers_[step.src] = __atomic_fetch_and(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kFetchXor: registers_[step.src] = __atomic_fetch_xor(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kExchange: registers_[step.src] = __atomic_exchange_n(place, operand, kOrder); break;
    case ebpf::AtomicOperation::kCompareExchange: {
      T expected = static_cast<T>(registers_[0]);
      __atomic_compare_exchange_n(place, &expected, operand, false, kOrder, kOrder);
      registers_[0] = expected;
      break;
    }
  }
  return true;
}

// ldabs, ldind: network order; false where the packet is too short, which ends the function with 0.
template <typename T>
bool Interpretation::packet_load(std::uint64_t offset) {
  const std::uint8_t* const bytes = packet_bytes(run_, static_cast<std::uint32_t>(offset), sizeof(T));
  registers_[0] = bytes != nullptr ? load<T>(bytes, std::endian::big) : 0;
  return bytes != nullptr;
}

}  // namespace weir::engine
