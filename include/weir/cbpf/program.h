// A classic program, and the proof that it may run.
//
// Program is any sequence of instructions: what was assembled, read or made, right or wrong. Checked is a Program that
// passed check(), and only check() makes one; engines and sockets take nothing else, so an unchecked program cannot
// be run by mistake. Both are immutable values, cheap to move, safe to share between threads.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include <weir/base/error.h>
#include <weir/cbpf/instruction.h>

namespace weir::cbpf {

class Program {
 public:
  Program() = default;
  Program(std::initializer_list<Instruction> instructions) : instructions_(instructions) {}
  explicit Program(std::vector<Instruction> instructions) : instructions_(std::move(instructions)) {}

  std::span<const Instruction> instructions() const { return instructions_; }
  std::size_t size() const { return instructions_.size(); }
  bool empty() const { return instructions_.empty(); }
  const Instruction& operator[](std::size_t index) const { return instructions_[index]; }
  auto begin() const { return instructions_.begin(); }
  auto end() const { return instructions_.end(); }
  friend bool operator==(const Program&, const Program&) = default;

 private:
  std::vector<Instruction> instructions_;
};

// Who will run the program: the rules differ.
enum class Target : std::uint8_t {
  kSocket,   // Linux sockets, tc, xt_bpf: net/core/filter.c, bpf_check_classic. At most 4096 instructions
  kSeccomp,  // seccomp(2): 41 opcodes, aligned word loads below 64, no extensions
  kUser,     // weir's own engines: as kSocket, but up to kUserMaximumLength instructions
};
inline constexpr std::uint32_t kUserMaximumLength = 1u << 20;

struct CheckOptions {
  Target target = Target::kSocket;
};

class Checked {
 public:
  const Program& program() const { return program_; }
  Target target() const { return target_; }

 private:
  Checked(Program program, Target target) : program_(std::move(program)), target_(target) {}
  friend Result<Checked> check(Program program, const CheckOptions& options);
  Program program_;
  Target target_;
};

// Accepts exactly what the kernel accepts for the target, or says which rule which instruction breaks.
Result<Checked> check(Program program, const CheckOptions& options = {});
// All violations, not only the first; empty when check() would succeed.
std::vector<Error> violations(const Program& program, const CheckOptions& options = {});

}  // namespace weir::cbpf
