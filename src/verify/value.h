// What the verifier knows of one register. Exports Value, Kind, Origins.
//
// A Value is a number with its Range, or a pointer: to what (Kind), the constant part of its offset there, and the
// variable part as a Range. Values that are copies of each other share an `identity`, so that what a branch tells of
// one is known of all. Value types; no state.
#pragma once

#include <cstdint>

#include "verify/range.h"

namespace weir::verify {

enum class Kind : std::uint8_t {
  kNothing,       // never written: may not be read
  kNumber,        //
  kContext,       // the program's first argument
  kMap,           // a map itself
  kMapValue,      // into a value of a map
  kStack,         // into the stack of a frame
  kPacket,        // into the packet, or into the memory of a program on memory
  kPacketMeta,    // into the bytes before the packet that XDP programs pass on
  kPacketEnd,     // one past the packet's last byte
  kRecord,        // into a record that a ring buffer reserved
  kSocketCommon,  // a socket of the kernel: any
  kSocket,        // a full one
  kTcpSocket,     // the part of one that is of TCP
  kFlowKeys,      // what a flow dissector fills in
  kMapKey,        // into a key of a map, which may be read
  kFunction,      // a function of the program
};

// Where a value comes from: which registers and stack slots of the last checkpoint it depends on. A bit for each
// register and slot of the function that ran there, and one for each function that waited.
struct Origins {
  std::uint64_t slots = 0;
  std::uint32_t others = 0;  // bits 0 to 10: registers; 16 + n: anything of frame n

  bool is_empty() const { return slots == 0 && others == 0; }
  friend Origins operator|(Origins a, Origins b) { return {a.slots | b.slots, a.others | b.others}; }
  friend bool operator==(const Origins&, const Origins&) = default;
};
inline constexpr unsigned kFrameOrigins = 16;

// The identity of the length of a program's memory; others are counted from 2, and 0 is none.
inline constexpr std::uint32_t kLengthIdentity = 1;

struct Value {
  Kind kind = Kind::kNothing;
  bool may_be_null = false;
  std::uint8_t frame = 0;       // kStack: whose; kMapKey: of the function that was called back with it
  std::uint16_t map = 0;        // kMap, kMapValue, kMapKey: which of the program's
  std::int16_t delta = 0;       // kNumber: this much more than what its identity stands for
  std::uint32_t identity = 0;   // numbers: copies of each other, but for their deltas; pointers into the packet: those
                                // with one variable part; pointers that may be null: null together
  std::uint32_t reference = 0;  // kRecord, sockets: what must be released
  std::uint32_t size =
      0;  // kRecord: bytes. kFunction: where it starts. kNumber: 1 + the instruction that made a packet pointer void
  std::uint32_t room = 0;   // kPacket, kPacketMeta: how many bytes from offset 0 on are known to be there.
                            // kNumber: this many more than the number are known to be within the memory's length
  std::int64_t offset = 0;  // pointers: the constant part
  Range number{};           // numbers: the number; pointers: the variable part of the offset
  Origins origins{};

  bool is_number() const { return kind == Kind::kNumber; }
  bool is_pointer() const { return kind > Kind::kNumber; }
  bool is_constant() const { return kind == Kind::kNumber && number.is_constant(); }
  bool is_zero() const { return is_constant() && number.number() == 0; }
  bool is_socket() const { return kind >= Kind::kSocketCommon && kind <= Kind::kTcpSocket; }
  bool is_packet() const { return kind == Kind::kPacket || kind == Kind::kPacketMeta || kind == Kind::kPacketEnd; }

  static Value of(const Range& range) {
    Value out;
    out.kind = Kind::kNumber;
    out.number = range;
    return out;
  }
  static Value constant(std::uint64_t number) { return of(Range::constant(number)); }
  static Value pointer(Kind kind) {
    Value out;
    out.kind = kind;
    out.number = Range::constant(0);
    return out;
  }
};

}  // namespace weir::verify
