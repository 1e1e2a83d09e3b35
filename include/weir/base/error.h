// What went wrong, and where.
//
// Diagnostic is the one value that carries a failure (or a warning) from any module to whoever shows it. It holds
// facts, not layout: message, place, hint. weir/base/render.h turns it into text with a caret. Nothing in the library
// throws across a public function; functions that can fail return Result<T>.
//
// A value type: copy it freely. Not synchronised.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <tl/expected.hpp>

namespace weir {

// A half-open range of bytes [begin, end) in a text. begin == end marks a point, such as the end of the text.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  friend bool operator==(const Span&, const Span&) = default;
};

// The smallest span that holds both.
constexpr Span cover(Span a, Span b) { return {a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end}; }

// The instruction with this index (from 0) of a program.
struct InstructionPlace {
  std::uint32_t index = 0;
  friend bool operator==(const InstructionPlace&, const InstructionPlace&) = default;
};

// The byte at this offset (from 0) of a file; of the decompressed bytes where the file is compressed.
struct OffsetPlace {
  std::uint64_t offset = 0;
  friend bool operator==(const OffsetPlace&, const OffsetPlace&) = default;
};

using Place = std::variant<std::monostate, Span, InstructionPlace, OffsetPlace>;

enum class Severity : std::uint8_t { kError, kWarning };

// What kind of failure, for callers that decide by it. The program weir maps it to its exit status.
enum class ErrorCode : std::uint8_t {
  kBadInput,     // a text, program or file is malformed or asks for what does not exist
  kUsage,        // options that contradict each other or the input
  kUnsupported,  // well formed, but not possible here (this link type, this kernel)
  kLimit,        // a documented limit was passed (program length, nesting depth)
  kSystem,       // the operating system refused; system_error holds errno
};

struct Diagnostic {
  ErrorCode code = ErrorCode::kBadInput;
  Severity severity = Severity::kError;
  std::string message{};  // one line, lower case, no full stop: "unknown name 'pot'"
  Place place{};          // where; monostate when no place makes sense
  std::string source{};   // what the place is in: a file's name, "expression"; may be empty
  std::string hint{};     // what to do: "did you mean 'port'?"; may be empty
  int system_error = 0;   // errno, for kSystem
};

using Error = Diagnostic;
using Warnings = std::vector<Diagnostic>;

template <typename T>
using Result = tl::expected<T, Error>;

using Status = Result<void>;

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

inline tl::unexpected<Error> fail(std::string message, Place place = {}, std::string hint = {}) {
  return fail(Error{.message = std::move(message), .place = place, .hint = std::move(hint)});
}

// A failed system call: message is what was attempted ("open 'in.pcap'"); the text of errno is added.
Error system_failure(std::string message, int error_number);

}  // namespace weir

// WEIR_TRY(name, expression): declares `name` as the value of a Result, or returns its error from this function.
#define WEIR_TRY_JOIN_(a, b) a##b
#define WEIR_TRY_NAME_(line) WEIR_TRY_JOIN_(weir_try_, line)
#define WEIR_TRY(name, ...)                                                                        \
  auto WEIR_TRY_NAME_(__LINE__) = (__VA_ARGS__);                                                   \
  if (!WEIR_TRY_NAME_(__LINE__)) return ::weir::fail(std::move(WEIR_TRY_NAME_(__LINE__)).error()); \
  name = std::move(*WEIR_TRY_NAME_(__LINE__))

// WEIR_CHECK(expression): returns the error of a Result<void> from this function.
#define WEIR_CHECK(...)                                                                                      \
  do {                                                                                                       \
    if (auto weir_status = (__VA_ARGS__); !weir_status) return ::weir::fail(std::move(weir_status).error()); \
  } while (false)
