// Follows sums of registers along straight code. Exports find_addresses. See ebpf_addresses.h.
//
// A sum is forgotten where one of its parts changes and where other code may come in. Its parts may be read after the
// program's own last use of them, so all sums are forgotten, too, at calls and divisions, which keep only what the
// program still reads.
#include "engine/ebpf_addresses.h"

namespace weir::engine {
namespace {

using ebpf::OperandShape;
using ebpf::Operation;

class Addresses {
 public:
  Addresses(const Code& code, const Facts& facts) : code_(code), facts_(facts), out_(code.steps.size()) {}

  std::vector<StepAddress> run() {
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      if (facts_.steps[i].is_target) settle(live_before(i));
      if (code_.steps[i].is_second() || facts_.steps[i].is_idle) continue;
      if (is_sum(i)) {
        sum(i);
        ++i;
      } else {
        step(i);
      }
    }
    return std::move(out_);
  }

 private:
  struct Known {
    Address address;
    std::size_t made = 0;
  };

  const ebpf::OpcodeInfo& row(std::size_t at) const { return ebpf::info(code_.steps[at].operation); }
  std::uint16_t live_before(std::size_t at) const {
    const RegisterUse use = registers_of(code_, code_.steps[at]);
    if (facts_.steps[at].is_idle) return facts_.steps[at].live;
    return static_cast<std::uint16_t>((facts_.steps[at].live & ~use.writes) | use.reads);
  }

  // A copy of a register and then an addition to the copy.
  bool is_sum(std::size_t at) const {
    if (at + 1 >= code_.steps.size() || facts_.steps[at + 1].is_target) return false;
    const Step& move = code_.steps[at];
    const Step& next = code_.steps[at + 1];
    if (move.operation != Operation::kMov64X || next.is_second() || move.dst != next.dst || move.dst == move.src)
      return false;
    if (next.operation == Operation::kAdd64X) return next.src != next.dst;
    return (next.operation == Operation::kAdd64K || next.operation == Operation::kSub64K) &&
           static_cast<std::int32_t>(next.constant) != INT32_MIN;
  }

  void sum(std::size_t at) {
    const Step& move = code_.steps[at];
    const Step& next = code_.steps[at + 1];
    Address made{static_cast<std::int8_t>(move.src), -1, 0};
    const Address from = known_[move.src].address;
    const bool by_register = next.operation == Operation::kAdd64X;
    if (by_register) need(next.src);
    auto by = by_register ? 0 : std::int64_t{static_cast<std::int32_t>(next.constant)};
    if (next.operation == Operation::kSub64K) by = -by;
    if (from && !(by_register && from.index >= 0) && fits(from.offset + by)) made = from;
    else need(move.src);
    if (by_register) made.index = static_cast<std::int8_t>(next.src);
    made.offset += static_cast<std::int32_t>(by);
    out_[at].sum = made;
    write(move.dst, facts_.steps[at + 1].live);
    if (made.base == move.dst || made.index == move.dst) out_[at].is_needed = true;
    else known_[move.dst] = {made, at};
  }

  void step(std::size_t at) {
    const Step& step = code_.steps[at];
    const OperandShape shape = row(at).shape;
    const RegisterUse use = registers_of(code_, step);
    std::uint16_t reads = use.reads;
    const bool load = shape == OperandShape::kLoad;
    if (load || shape == OperandShape::kStoreRegister || shape == OperandShape::kStoreConstant) {
      const std::uint8_t base = load ? step.src : step.dst;
      const Address from = known_[base].address;
      const bool is_stored = shape == OperandShape::kStoreRegister && step.src == base;
      if (from && fits(std::int64_t{from.offset} + step.offset)) {
        out_[at].memory = {from.base, from.index, from.offset + step.offset};
        if (!is_stored) reads = static_cast<std::uint16_t>(reads & ~(1u << base));
      }
    }
    for (unsigned reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((reads >> reg & 1) != 0) need(reg);
    if (ebpf::is_branch(shape)) need_all(live_before(static_cast<std::size_t>(step.offset)));
    if (!is_simple(at)) settle(facts_.steps[at].live);
    for (unsigned reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((use.writes >> reg & 1) != 0) write(reg, facts_.steps[at].live);
  }

  // Whether a step leaves registers alone that the program does not read any more.
  bool is_simple(std::size_t at) const {
    switch (row(at).shape) {
      case OperandShape::kAluConstant:
      case OperandShape::kAluRegister: {
        const unsigned operation = row(at).code & 0xf0u;
        return operation != 0x30 && operation != 0x90;
      }
      case OperandShape::kNegate:
      case OperandShape::kSignExtend:
      case OperandShape::kByteOrder:
      case OperandShape::kBranchConstant:
      case OperandShape::kBranchRegister:
      case OperandShape::kWideConstant:
      case OperandShape::kWideMap:
      case OperandShape::kLoad:
      case OperandShape::kStoreConstant:
      case OperandShape::kStoreRegister: return true;
      default: return false;
    }
  }

  static bool fits(std::int64_t offset) { return offset >= INT32_MIN && offset <= INT32_MAX; }
  void need(std::size_t reg) {
    if (known_[reg].address) out_[known_[reg].made].is_needed = true;
  }
  void need_all(std::uint16_t live) {
    for (std::size_t reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((live >> reg & 1) != 0) need(reg);
  }
  void settle(std::uint16_t live) {
    need_all(live);
    for (Known& known : known_) known = {};
  }
  void write(unsigned reg, std::uint16_t live) {
    known_[reg] = {};
    for (std::size_t other = 0; other < ebpf::kRegisters; ++other) {
      const Address& address = known_[other].address;
      if (!address || (address.base != static_cast<int>(reg) && address.index != static_cast<int>(reg))) continue;
      if ((live >> other & 1) != 0) need(other);
      known_[other] = {};
    }
  }

  const Code& code_;
  const Facts& facts_;
  std::vector<StepAddress> out_;
  Known known_[ebpf::kRegisters];
};

}  // namespace

std::vector<StepAddress> find_addresses(const Code& code, const Facts& facts) {
  if (!code.proven || code.options.blind_constants) return std::vector<StepAddress>(code.steps.size());
  return Addresses(code, facts).run();
}

}  // namespace weir::engine
