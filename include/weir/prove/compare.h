// Whether two classic programs say the same of every packet: a shortest packet that tells them apart, or a proof that
// there is none.
//
// Both programs become one circuit of the packet's bits, its captured length and its length on the wire, and a solver
// for boolean satisfiability looks for an input on which they differ. Programs have no loops and load at bounded
// offsets as a rule, so a search that finds nothing has seen all packets of all lengths. Where a program loads further
// than `longest` bytes from the start, packets up to that length are covered and the answer says so.
// Meaning: that of Linux (weir/cbpf/program.h). What Linux knows beside a packet is any value that Linux may give.
// Thread-safe: no state.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::prove {

struct CompareOptions {
  bool exact = false;                // compare verdicts as numbers; false: only whether a packet is accepted
  std::uint32_t longest = 1024;      // bytes of a packet that are looked at
  std::uint64_t patience = 1000000;  // conflicts of the solver before it gives up
  std::chrono::milliseconds timeout = std::chrono::milliseconds::max();  // of it all, on the wall's clock
};

// What a program may load beside the bytes, by the offset of the extension (cbpf::Extension).
struct Beside {
  std::uint32_t extension = 0;
  std::uint32_t value = 0;
};

struct Witness {
  std::vector<std::uint8_t> bytes;
  std::uint32_t wire_length = 0;
  std::vector<Beside> beside;  // those that either program loads
};

enum class Verdict : std::uint8_t {
  kSame,       // proven for every packet
  kSameSoFar,  // proven for packets up to `covered` bytes
  kDifferent,  // `witness` tells them apart; no shorter packet does
  kUndecided,  // the time is over, the solver gave up, or the programs are too large
};

struct Comparison {
  Verdict verdict = Verdict::kUndecided;
  std::uint32_t covered = 0;         // bytes that were looked at
  std::optional<Witness> witness{};  // kDifferent; kept when a shorter one could not be decided
  bool too_large = false;            // kUndecided: what the programs compute does not fit; more time does not help
};

// Errors: kUnsupported for loads whose meaning is not a function of the packet (random numbers, netlink attributes,
// network-header offsets), with the program and the instruction; kLimit for programs of more than 65,536 instructions.
Result<Comparison> compare(const cbpf::Checked& a, const cbpf::Checked& b, const CompareOptions& options = {});

}  // namespace weir::prove
