// The walks over a classic program that its conversion reads. Exports find_facts.
#include "convert/facts.h"

#include <algorithm>
#include <array>
#include <bit>

#include <weir/cbpf/opcode_info.h>

namespace weir::convert {

using cbpf::Instruction;
using cbpf::Opcode;

namespace {

constexpr std::uint32_t kNever = UINT32_MAX;  // no packet matches

struct Most {
  std::uint32_t a = 0, x = 0;
  std::array<std::uint32_t, 16> scratch{};
  bool is_reached = false;

  void join(const Most& other) {
    if (!is_reached) {
      *this = other;
      return;
    }
    a = std::max(a, other.a);
    x = std::max(x, other.x);
    for (std::size_t i = 0; i < scratch.size(); ++i) scratch[i] = std::max(scratch[i], other.scratch[i]);
  }
};

unsigned size_of(const Instruction& it) {
  if (it.opcode() == Opcode::kLdxHeaderLength) return 1;
  return (it.code & 0x18) == 0x10 ? 1 : (it.code & 0x18) == 0x08 ? 2 : 4;
}

bool is_moving(const Instruction& it) {
  const Opcode opcode = it.opcode();
  return opcode == Opcode::kLdWordIndirect || opcode == Opcode::kLdHalfIndirect || opcode == Opcode::kLdByteIndirect;
}

std::uint32_t saturated(std::uint64_t number) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(number, UINT32_MAX));
}
// All numbers with no more bits than the greater one.
std::uint32_t all_bits(std::uint32_t a, std::uint32_t b) {
  const int width = std::bit_width(a | b);
  return width == 32 ? UINT32_MAX : (1u << width) - 1;
}

std::uint32_t most_after(const Instruction& it, std::uint32_t a, std::uint32_t operand) {
  const bool by_x = (it.code & 8) != 0;
  switch (it.code & 0xf0) {
    case 0x00: return saturated(std::uint64_t{a} + operand);   // add
    case 0x20: return saturated(std::uint64_t{a} * operand);   // mul
    case 0x30: return by_x || operand == 0 ? a : a / operand;  // div
    case 0x40:
    case 0xa0: return all_bits(a, operand);                                                        // or, xor
    case 0x50: return std::min(a, operand);                                                        // and
    case 0x60: return by_x || operand > 31 ? UINT32_MAX : saturated(std::uint64_t{a} << operand);  // lsh
    case 0x70: return by_x || operand > 31 ? a : a >> operand;                                     // rsh
    case 0x90: return by_x || operand == 0 ? a : std::min(a, operand - 1);                         // mod
    default: return UINT32_MAX;
  }
}

void step(const Instruction& it, Most& most) {
  const std::uint32_t loaded = size_of(it) == 1 ? 0xff : size_of(it) == 2 ? 0xffff : UINT32_MAX;
  switch (it.opcode()) {
    case Opcode::kLdImmediate: most.a = it.k; return;
    case Opcode::kLdxImmediate: most.x = it.k; return;
    case Opcode::kLdScratch: most.a = most.scratch[it.k % 16]; return;
    case Opcode::kLdxScratch: most.x = most.scratch[it.k % 16]; return;
    case Opcode::kSt: most.scratch[it.k % 16] = most.a; return;
    case Opcode::kStx: most.scratch[it.k % 16] = most.x; return;
    case Opcode::kLdLength: most.a = UINT32_MAX; return;
    case Opcode::kLdxLength: most.x = UINT32_MAX; return;
    case Opcode::kTax: most.x = most.a; return;
    case Opcode::kTxa: most.a = most.x; return;
    case Opcode::kLdxHeaderLength: most.x = 60; return;
    default: break;
  }
  if (is_packet_load(it)) most.a = loaded;
  else if ((it.code & 7) == 4) most.a = most_after(it, most.a, (it.code & 8) != 0 ? most.x : it.k);
  else if ((it.code & 7) < 2) most.a = UINT32_MAX;  // an extension
}

bool is_return(const Instruction& it) { return (it.code & 7) == 6; }
bool is_branch(const Instruction& it) { return (it.code & 7) == 5 && it.opcode() != Opcode::kJa; }

// The instructions that may follow: one or two.
std::array<std::size_t, 2> followers(const Instruction& it, std::size_t at) {
  if (it.opcode() == Opcode::kJa) return {at + 1 + it.k, at + 1 + it.k};
  if (is_branch(it)) return {at + 1 + it.jt, at + 1 + it.jf};
  return {at + 1, at + 1};
}

// Extensions that end the program with what A holds, or take it.
bool reads_a_beside(const Instruction& it) {
  return (it.code & 7) == 0 && !is_packet_load(it) && it.opcode() != Opcode::kLdImmediate &&
         it.opcode() != Opcode::kLdScratch && it.opcode() != Opcode::kLdLength;
}

struct Reads {
  bool a = false, x = false;
};

Reads reads_before(const Instruction& it, Reads after) {
  const Opcode opcode = it.opcode();
  const unsigned kind = it.code & 7;
  if (is_return(it)) return {opcode == Opcode::kRetA, false};
  if (opcode == Opcode::kJa) return after;
  if (opcode == Opcode::kTax) return {true, false};
  if (opcode == Opcode::kTxa) return {false, true};
  if (opcode == Opcode::kSt) return {true, after.x};
  if (opcode == Opcode::kStx) return {after.a, true};
  if (kind == 4 || is_branch(it)) return {true, after.x || (it.code & 8) != 0};
  if (kind == 1) return {after.a, false};  // ldx; the header's length goes through A, which is kept where it is read
  if (reads_a_beside(it)) return {true, true};
  return {false, after.x || is_moving(it)};
}

class Finder {
 public:
  Finder(const cbpf::Program& program, const std::vector<bool>& reached, const FactOptions& options)
      : program_(program), reached_(reached), options_(options) {
    facts_.at.resize(program.size());
    needed_.resize(program.size());
  }

  ProgramFacts run() {
    greatest();
    backward();
    compared();
    return std::move(facts_);
  }

 private:
  void greatest() {
    std::vector<Most> most(program_.size());
    most[0].is_reached = true;
    for (std::size_t at = 0; at < program_.size(); ++at) {
      if (!reached_[at] || !most[at].is_reached) continue;
      facts_.at[at].x_most = most[at].x;
      const Instruction& it = program_[at];
      if (is_return(it)) continue;
      Most after = most[at];
      step(it, after);
      for (const std::size_t next : followers(it, at)) most[next].join(after);
    }
  }

  // The end of the bytes that a load must find; 0: not known, kNever: it always fails.
  std::uint32_t end_of(std::size_t at, bool counts_moving) const {
    const Instruction& it = program_[at];
    if (!is_packet_load(it)) return 0;
    const unsigned size = size_of(it);
    if (is_moving(it)) {
      const std::uint64_t most = std::uint64_t{facts_.at[at].x_most} + it.k + size;
      return counts_moving && most <= INT32_MAX ? it.k + size : 0;
    }
    if (options_.always_fails(it.k, size)) return kNever;
    const std::uint32_t place = options_.place(it.k);
    return place == UINT32_MAX ? 0 : place + size;
  }

  void backward() {
    std::vector<Reads> reads(program_.size());
    for (std::size_t at = program_.size(); at-- > 0;) {
      const Instruction& it = program_[at];
      if (is_return(it)) {
        needed_[at] = it.opcode() == Opcode::kRetK && it.k == 0 ? kNever : 0;
        reads[at] = reads_before(it, {});
        continue;
      }
      const auto [first, second] = followers(it, at);
      const Reads after{reads[first].a || reads[second].a, reads[first].x || reads[second].x};
      facts_.at[at].a_is_read = after.a;
      reads[at] = reads_before(it, after);
      needed_[at] = std::max(std::min(needed_[first], needed_[second]), end_of(at, true));
      if (reads_a_beside(it)) needed_[at] = 0;  // may end the program with A
    }
    facts_.a_is_read = reads[0].a;
    facts_.x_is_read = reads[0].x;
  }

  void compared() {
    std::vector<std::uint32_t> known(program_.size(), UINT32_MAX);
    known[0] = 0;
    for (std::size_t at = 0; at < program_.size(); ++at) {
      if (!reached_[at]) continue;
      const Instruction& it = program_[at];
      if (is_return(it)) continue;
      std::uint32_t there = known[at];
      const std::uint32_t end = end_of(at, options_.moving_counts);
      if (end == kNever) continue;
      if (end > there) {
        if (!is_moving(it)) facts_.at[at].compared = needed_[at] <= options_.most ? std::max(end, needed_[at]) : end;
        there = std::max(end, facts_.at[at].compared);
      }
      for (const std::size_t next : followers(it, at)) known[next] = std::min(known[next], there);
    }
  }

  const cbpf::Program& program_;
  const std::vector<bool>& reached_;
  const FactOptions& options_;
  ProgramFacts facts_;
  std::vector<std::uint32_t> needed_;
};

}  // namespace

bool is_packet_load(const Instruction& instruction) {
  switch (instruction.opcode()) {
    case Opcode::kLdWordAbsolute:
    case Opcode::kLdHalfAbsolute:
    case Opcode::kLdByteAbsolute:
      return instruction.k < cbpf::kExtensionBase || cbpf::find_extension(instruction.k) == nullptr;
    case Opcode::kLdWordIndirect:
    case Opcode::kLdHalfIndirect:
    case Opcode::kLdByteIndirect:
    case Opcode::kLdxHeaderLength: return true;
    default: return false;
  }
}

ProgramFacts find_facts(const cbpf::Program& program, const std::vector<bool>& reached, const FactOptions& options) {
  return Finder(program, reached, options).run();
}

}  // namespace weir::convert
