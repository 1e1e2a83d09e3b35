// Small expressions over the machine and the packet: conditions of breakpoints, watches, `print`.
//
//   A == 0x800        X > 20 && M[3] != 0        P[12:2] == 0x806        len > 1500 || packet == 7
//
// Values are 32 bits wide and unsigned, as the machine's; operators and their ranks are those of C. Names, case
// ignored: A, X, M[i], P[offset] or P[offset:size] (bytes of the packet, big-endian, size 1, 2 or 4), pc, len (on the
// wire), cap (captured), packet (its number, from 1), and the extensions by their names in assembler (proto, mark,
// ...).
// && and || stop as soon as the result is known. Limits: 2000 values and operators, and 200 levels of nesting:
// parentheses, brackets, signs and right sides of operators are one each. An Expression is a value; thread-safe once
// made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weir/base/error.h>
#include <weir/debug/machine.h>

namespace weir::debug {

// What an expression looks at.
struct View {
  const State& state;
  const packet::Packet& packet;
  std::uint32_t packet_number;
  const Surroundings& surroundings;
};

class Expression {
 public:
  // Errors carry a Span into the text; those of a limit that was passed are kLimit.
  static Result<Expression> parse(std::string_view text);

  // Its value, or an error where it reads beyond the packet or divides by zero.
  Result<std::uint32_t> value(const View& view) const;
  // Whether the value is not 0; what has no value is not true.
  bool holds(const View& view) const;
  const std::string& text() const { return text_; }

  enum class Op : std::uint8_t {
    kConstant,
    kA,
    kX,
    kScratch,
    kBytes,
    kPc,
    kLength,
    kCaptured,
    kPacket,
    kExtension,  // leaves (kScratch, kBytes: left)
    kNot,
    kComplement,
    kNegate,  // left
    kMultiply,
    kDivide,
    kModulo,
    kAdd,
    kSubtract,
    kShiftLeft,
    kShiftRight,  // left, right
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kEqual,
    kNotEqual,
    kBitAnd,
    kBitXor,
    kBitOr,
    kAnd,
    kOr,
  };
  struct Node {
    Op op = Op::kConstant;
    std::uint32_t k = 0;  // constant, size of kBytes, extension
    std::uint32_t left = 0;
    std::uint32_t right = 0;
  };

 private:
  friend class ExpressionParser;
  Result<std::uint32_t> value_of(std::uint32_t node, const View& view) const;
  std::string text_;
  std::vector<Node> nodes_;  // the last is the root
};

}  // namespace weir::debug
