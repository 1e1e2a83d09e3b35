// The proof that no path of a program can go wrong.
//
// A Verified program, run as its Premise says, reads and writes only memory that is its own, calls helpers with what
// they take, gives back what it reserved, and ends. Only verify::verify() makes one. A value: copy and share it freely.
#pragma once

#include <cstdint>
#include <utility>

#include <weir/ebpf/program.h>

namespace weir::verify {
struct Proof;  // the verifier's key to Verified
}

namespace weir::ebpf {

// What must be so when the program runs.
struct Premise {
  // What r1 points to: the context of this kind of program. kUnspec: memory, with its length in r2.
  ProgramType type = ProgramType::kUnspec;
  // kUnspec: how long the memory is at least and at most, in bytes; of what its address is a multiple; whether it may
  // be written. With `memory_least` 0 the address may be 0 when the length is.
  std::uint64_t memory_least = 0;
  std::uint64_t memory_most = 1u << 28;
  std::uint32_t memory_alignment = 1;
  bool memory_writable = true;
  friend bool operator==(const Premise&, const Premise&) = default;
};

class Verified {
 public:
  const Checked& checked() const { return checked_; }
  const Program& program() const { return checked_.program(); }
  const Premise& premise() const { return premise_; }
  // Bytes of the stack that were never written are read, as verify::Options::unwritten_stack allows. Engines then clear
  // the stack and check the program as any other.
  bool reads_unwritten_stack() const { return reads_unwritten_stack_; }

 private:
  friend struct verify::Proof;
  Verified(Checked checked, Premise premise, bool reads_unwritten_stack)
      : checked_(std::move(checked)), premise_(premise), reads_unwritten_stack_(reads_unwritten_stack) {}
  Checked checked_;
  Premise premise_;
  bool reads_unwritten_stack_;
};

}  // namespace weir::ebpf
