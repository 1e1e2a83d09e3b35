// Classic instructions as typed values, one type a kind, as golang.org/x/net/bpf has them.
//
//   using namespace weir::cbpf::typed;
//   auto program = assemble({LoadAbsolute{.offset = 12, .size = 2},
//                            JumpIf{.test = Test::kNotEqual, .value = 0x806, .skip_true = 1},
//                            RetConstant{4096},
//                            RetConstant{0}});
//
// Instruction is the variant of all kinds; what has no typed form is a raw cbpf::Instruction, which is a kind, too.
// disassemble() is total, and assemble() of its result gives the same bytes for every instruction. docs/x-net-bpf.md
// shows the Go and the C++ form side by side, and where they differ.
// All are plain values with ==; no state, thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/instruction.h>
#include <weir/cbpf/program.h>

namespace weir::cbpf::typed {

enum class Register : std::uint8_t { kA, kX };

// Arithmetic on A: the bits of the opcode.
enum class Operation : std::uint16_t {
  kAdd = 0x00,
  kSub = 0x10,
  kMul = 0x20,
  kDiv = 0x30,
  kOr = 0x40,
  kAnd = 0x50,
  kLsh = 0x60,
  kRsh = 0x70,
  kMod = 0x90,
  kXor = 0xa0,
};

// What a jump asks of A. Half of them have no opcode: they are the other half with the branches exchanged.
enum class Test : std::uint8_t {
  kEqual,
  kNotEqual,
  kGreaterThan,
  kLessThan,
  kGreaterOrEqual,
  kLessOrEqual,
  kBitsSet,
  kBitsNotSet,
};

// What LoadExtension loads. Numbers are Linux's (SKF_AD_*), kLength excepted, which has an opcode of its own.
enum class Extension : std::uint32_t {
  kLength = 1,
#define WEIR_CBPF_EXTENSION(name, number, text) name = number,
#include <weir/cbpf/extensions.def>
#undef WEIR_CBPF_EXTENSION
};

// dst = value
struct LoadConstant {
  Register dst = Register::kA;
  std::uint32_t value = 0;
  friend bool operator==(const LoadConstant&, const LoadConstant&) = default;
};
// dst = M[index]; index 0 to 15
struct LoadScratch {
  Register dst = Register::kA;
  std::uint32_t index = 0;
  friend bool operator==(const LoadScratch&, const LoadScratch&) = default;
};
// A = packet[offset], `size` bytes (1, 2 or 4), big-endian
struct LoadAbsolute {
  std::uint32_t offset = 0;
  std::uint32_t size = 4;
  friend bool operator==(const LoadAbsolute&, const LoadAbsolute&) = default;
};
// A = packet[X + offset]
struct LoadIndirect {
  std::uint32_t offset = 0;
  std::uint32_t size = 4;
  friend bool operator==(const LoadIndirect&, const LoadIndirect&) = default;
};
// X = 4 * (packet[offset] & 15): the length of an IPv4 header
struct LoadMemShift {
  std::uint32_t offset = 0;
  friend bool operator==(const LoadMemShift&, const LoadMemShift&) = default;
};
// dst = what the kernel knows of the packet. X takes only kLength
struct LoadExtension {
  Extension extension = Extension::kLength;
  Register dst = Register::kA;
  friend bool operator==(const LoadExtension&, const LoadExtension&) = default;
};
// M[index] = src
struct StoreScratch {
  Register src = Register::kA;
  std::uint32_t index = 0;
  friend bool operator==(const StoreScratch&, const StoreScratch&) = default;
};
// A = A op value
struct ALUOpConstant {
  Operation operation = Operation::kAdd;
  std::uint32_t value = 0;
  friend bool operator==(const ALUOpConstant&, const ALUOpConstant&) = default;
};
// A = A op X
struct ALUOpX {
  Operation operation = Operation::kAdd;
  friend bool operator==(const ALUOpX&, const ALUOpX&) = default;
};
// A = -A
struct NegateA {
  friend bool operator==(const NegateA&, const NegateA&) = default;
};
// Goes on `skip` instructions after the next.
struct Jump {
  std::uint32_t skip = 0;
  friend bool operator==(const Jump&, const Jump&) = default;
};
// Compares A with value.
struct JumpIf {
  Test test = Test::kEqual;
  std::uint32_t value = 0;
  std::uint8_t skip_true = 0;
  std::uint8_t skip_false = 0;
  friend bool operator==(const JumpIf&, const JumpIf&) = default;
};
// Compares A with X.
struct JumpIfX {
  Test test = Test::kEqual;
  std::uint8_t skip_true = 0;
  std::uint8_t skip_false = 0;
  friend bool operator==(const JumpIfX&, const JumpIfX&) = default;
};
// The verdict is A.
struct RetA {
  friend bool operator==(const RetA&, const RetA&) = default;
};
// The verdict is value.
struct RetConstant {
  std::uint32_t value = 0;
  friend bool operator==(const RetConstant&, const RetConstant&) = default;
};
// A = X
struct TXA {
  friend bool operator==(const TXA&, const TXA&) = default;
};
// X = A
struct TAX {
  friend bool operator==(const TAX&, const TAX&) = default;
};
// Any fields at all.
using RawInstruction = cbpf::Instruction;

using Instruction =
    std::variant<LoadConstant, LoadScratch, LoadAbsolute, LoadIndirect, LoadMemShift, LoadExtension, StoreScratch,
                 ALUOpConstant, ALUOpX, NegateA, Jump, JumpIf, JumpIfX, RetA, RetConstant, TXA, TAX, RawInstruction>;

// The bytes of one instruction. Errors say the kind and what is wrong: "LoadAbsolute: cannot load 3 bytes at once".
Result<RawInstruction> assemble(const Instruction& instruction);
// The bytes of a program. Errors carry an InstructionPlace.
Result<Program> assemble(std::span<const Instruction> instructions);
Result<Program> assemble(std::initializer_list<Instruction> instructions);

// Never fails: what has no typed form comes back as it is.
Instruction disassemble(const RawInstruction& instruction);
struct Disassembled {
  std::vector<Instruction> instructions;
  bool all_decoded = true;  // none is raw
};
Disassembled disassemble(const Program& program);

// As Go prints it: "ldh [12]", "jneq #2054,1". A raw instruction is ".raw 0xff, 0, 0, 0x0". cbpf::assemble() of the
// lines of a program gives the program back.
std::string write(const Instruction& instruction);
// As Go source: "bpf.LoadAbsolute{Off: 12, Size: 2}".
std::string write_go(const Instruction& instruction);
// The name of the kind: "LoadAbsolute".
std::string_view kind_of(const Instruction& instruction);

}  // namespace weir::cbpf::typed
