// Functions that extended programs call: the kernel's, as far as they make sense in user space, and your own.
//
// A Prototype tells what arguments must be; engines check them before the call (an interpreter at run time, the
// verifier before), so that a function may rely on them: a kMap is a map, memory is there as long as the size after it
// says. Helpers is a table by number. A value type; share it constant between threads.
//
// A function of your own gets the run's Invocation and r1 to r5, and gives r0. It is called on the thread of the run,
// from several at once where several run; it must not throw, since machine code stands between it and the caller, and
// must not run a program with the same Invocation. Source of the standard ones: bpf-helpers(7), kernel/bpf/helpers.c,
// kernel/trace/bpf_trace.c, net/core/filter.c.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <weir/ebpf/names.h>
#include <weir/runtime/map.h>
#include <weir/runtime/packet_buffer.h>

namespace weir::runtime {

enum class ArgumentKind : std::uint8_t {
  kNone,         // not used
  kAnything,     // any number; pointers are numbers here
  kContext,      // the program's first argument
  kMap,          // a map
  kMapKey,       // readable, key_size bytes of the map before
  kMapValue,     // readable, value_size bytes of the map before
  kMapValueOut,  // writable, value_size bytes of the map before
  kMemory,       // readable; the next argument is its size
  kMemoryOrNull,
  kMemoryOut,  // writable; the next argument is its size
  kSize,       // of the memory before, at least 1
  kSizeOrZero,
  kRecord,        // what kRecordOrNull gave, of a ring buffer
  kConstantSize,  // how many bytes a record gets
  kText,          // readable up to a zero byte
  // What only kernels' helpers take.
  kMapValueOrNull,    // value_size bytes of the map before, or null
  kMemoryInOut,       // readable and writable; the next argument is its size
  kMemoryOutOrNull,   // writable; the next argument is its size
  kIntInOut,          // 4 bytes that are read and written
  kLongOut,           // 8 bytes that are written
  kIpHeader,          // 20 readable bytes
  kIp6Header,         // 40 readable bytes
  kTcpHeader,         // 20 readable bytes
  kConstantText,      // text with a zero byte at its end, in constants of the program
  kFormat,            // likewise, with conversions for what the memory after it holds, 8 bytes each
  kZero,              // 0 and nothing else
  kContextOrNull,     //
  kSocket,            // any socket
  kFullSocketOrNull,  // a socket that is a full one
  kTakenSocket,       // what a helper looked up: it is given back
};
enum class ResultKind : std::uint8_t {
  kInteger,
  kNothing,         // r0 is 0 afterwards
  kMapValueOrNull,  // of the map that the first argument is
  kRecordOrNull,    // of a ring buffer, as long as kConstantSize said
  // What only kernels' helpers give.
  kMapValue,                // of the map that the first argument is
  kSizeOrError,             // at most the size of the memory that was written, or a negative error
  kSocketOrNull,            // the socket of the argument, where it is a full one
  kTcpSocketOrNull,         // likewise, where it is of TCP
  kListenerOrNull,          // another socket, which need not be given back
  kTakenSocketOrNull,       // to be given back
  kTakenSocketCommonOrNull  // likewise; may be no full one
};

struct Prototype {
  std::string name{};
  std::array<ArgumentKind, 5> arguments{};
  ResultKind result = ResultKind::kInteger;
  bool changes_packet = false;  // pointers into the packet are void after the call
  bool needs_gpl = false;       // the kernel keeps it for programs whose license the GPL agrees with
  bool packet_memory = true;    // memory that it takes may lie in the packet
};

// Of the rows of prototypes.def, the one table of what the kernel's helpers take.
namespace trait {
inline constexpr unsigned kGpl = 1;
inline constexpr unsigned kMoves = 2;
inline constexpr unsigned kInPacket = 4;
}  // namespace trait
Prototype make_prototype(ebpf::Helper helper, unsigned traits, ResultKind result,
                         std::array<ArgumentKind, 5> arguments);

// What memory the program that runs may touch.
class AccessRule {
 public:
  virtual bool allows(std::uint64_t address, std::uint64_t size, bool write) const = 0;

 protected:
  ~AccessRule() = default;
};

// What a run has, beside registers. Whoever starts a run fills it; helpers use it. One for each run at a time.
struct Invocation {
  std::array<std::uint64_t, 5> arguments{};  // r1 to r5
  std::vector<Region> regions{};             // memory that the program may touch, beside its stack, maps and packet
  PacketBuffer* packet = nullptr;            // for programs on packets
  ByteSpan loads{};                          // what ldabs and ldind read; the packet's bytes where it is empty
  unsigned cpu = 0;
  std::function<void(std::string_view)> print{};  // a line of bpf_trace_printk
  // What bpf_perf_event_output puts into a map: at which index, the data and the packet's bytes after it. None: as
  // where nobody opened an event, -ENOENT.
  std::function<void(Map&, std::uint64_t, ByteSpan)> perf_output{};
  std::uint64_t random = 0x853c49e6748fea9bull;  // the state of bpf_get_prandom_u32
  std::uint64_t redirect = 0;                    // the interface that bpf_redirect named
  const AccessRule* access = nullptr;            // set by the engine, for helpers that follow pointers
  void* user = nullptr;                          // for your own helpers

  // Whether `size` bytes at an address may be read (or written) by the program that runs.
  bool may_access(std::uint64_t address, std::uint64_t size, bool write) const {
    return access != nullptr && access->allows(address, size, write);
  }
};

using HelperFunction = std::uint64_t (*)(Invocation&, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t,
                                         std::uint64_t);

struct HelperEntry {
  Prototype prototype;
  HelperFunction function = nullptr;  // null: the engine itself does it (tail calls, loops)
};

class Helpers {
 public:
  // The kernel's that exist in user space.
  static const Helpers& standard();

  // Adds or replaces one. Engines and the verifier look it up when a program is loaded, and when an interpreter calls
  // it: not while programs run. The kernel's numbers are those of weir/ebpf/helpers.def.
  void add(std::int32_t number, Prototype prototype, HelperFunction function);
  const HelperEntry* find(std::int32_t number) const;
  std::vector<std::int32_t> numbers() const;  // in order

 private:
  std::unordered_map<std::int32_t, HelperEntry> entries_;
};

}  // namespace weir::runtime
