// Follows sums of registers along straight code. Exports find_addresses. See ebpf_addresses.h.
//
// A sum is forgotten where one of its parts changes and where other code may come in. Its parts may be read after the
// program's own last use of them, so all sums are forgotten, too, at calls and divisions, which keep only what the
// program still reads.
//
// `Known::address` and `kept_[r]` speak of what registers of the processor hold: r is the one's content plus what was
// kept back of it, and a sum of r names the content. So a sum lives until its part is written or advanced.
#include "engine/ebpf_addresses.h"

namespace weir::engine {
namespace {

using ebpf::OperandShape;
using ebpf::Operation;

class Search {
 public:
  Search(const Code& code, const Facts& facts) : code_(code), facts_(facts) { out_.steps.resize(code.steps.size()); }

  Addresses run() {
    for (at_ = 0; at_ < code_.steps.size(); ++at_) {
      if (facts_.steps[at_].is_target) {
        before_label_ = true;
        settle(live_before(at_));
        before_label_ = false;
      }
      if (code_.steps[at_].is_second() || facts_.steps[at_].is_idle) continue;
      if (is_sum()) {
        sum();
        ++at_;
      } else if (!keep_back()) {
        step();
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
  static bool is_constant_sum(const Step& step) {
    return (step.operation == Operation::kAdd64K || step.operation == Operation::kSub64K) &&
           static_cast<std::int32_t>(step.constant) != INT32_MIN;
  }
  static std::int64_t constant_of(const Step& step) {
    const std::int64_t by = static_cast<std::int32_t>(step.constant);
    return step.operation == Operation::kSub64K ? -by : by;
  }

  // A copy of a register and then an addition to the copy.
  bool is_sum() const {
    if (at_ + 1 >= code_.steps.size() || facts_.steps[at_ + 1].is_target) return false;
    const Step& move = code_.steps[at_];
    const Step& next = code_.steps[at_ + 1];
    if (move.operation != Operation::kMov64X || next.is_second() || move.dst != next.dst || move.dst == move.src)
      return false;
    return next.operation == Operation::kAdd64X ? next.src != next.dst : is_constant_sum(next);
  }

  // What a register is now, if an address can say it.
  Address now(std::size_t reg) const {
    if (known_[reg].address) return known_[reg].address;
    if (kept_[reg] != 0) return {static_cast<std::int8_t>(reg), -1, kept_[reg]};
    return {};
  }

  void sum() {
    const Step& move = code_.steps[at_];
    const Step& next = code_.steps[at_ + 1];
    const bool by_register = next.operation == Operation::kAdd64X;
    if (by_register) compute(next.src);
    const std::int64_t by = by_register ? kept_[next.src] : constant_of(next);
    const Address from = now(move.src);
    Address made{static_cast<std::int8_t>(move.src), -1, 0};
    if (from && !(by_register && from.index >= 0) && fits(from.offset + by)) made = from;
    else need(move.src);
    if (by_register) made.index = static_cast<std::int8_t>(next.src);
    // The two may be one register, which was advanced just now.
    made.offset += static_cast<std::int32_t>(by_register ? kept_[next.src] : by);
    out_.steps[at_].sum = made;
    write(move.dst, facts_.steps[at_ + 1].live);
    if (made.base == move.dst || made.index == move.dst) out_.steps[at_].is_needed = true;
    else known_[move.dst] = {made, at_};
  }

  bool keep_back() {
    const Step& step = code_.steps[at_];
    if (!is_constant_sum(step)) return false;
    compute(step.dst);
    known_[step.dst] = {};
    const std::int64_t all = kept_[step.dst] + constant_of(step);
    if (!fits(all)) return false;
    kept_[step.dst] = static_cast<std::int32_t>(all);
    out_.steps[at_].is_kept_back = true;
    return true;
  }

  void step() {
    const Step& step = code_.steps[at_];
    const OperandShape shape = row(at_).shape;
    const RegisterUse use = registers_of(code_, step);
    const bool load = shape == OperandShape::kLoad;
    const bool access = load || shape == OperandShape::kStoreRegister || shape == OperandShape::kStoreConstant;
    const std::uint8_t base = load ? step.src : step.dst;
    const bool is_stored = shape == OperandShape::kStoreRegister && step.src == base;
    for (unsigned reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((use.reads >> reg & 1) != 0 && (!access || reg != base || is_stored)) need(reg);
    // Behind the others: what they needed may have changed the parts.
    if (access) {
      const Address from = now(base);
      if (from && fits(std::int64_t{from.offset} + step.offset))
        out_.steps[at_].memory = {from.base, from.index, from.offset + step.offset};
      else need(base);
    }
    if (ebpf::is_branch(shape)) need_all(live_before(static_cast<std::size_t>(step.offset)));
    if (!is_simple()) settle(facts_.steps[at_].live);
    for (unsigned reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((use.writes >> reg & 1) != 0) write(reg, facts_.steps[at_].live);
  }

  // Whether a step leaves registers alone that the program does not read any more.
  bool is_simple() const {
    switch (row(at_).shape) {
      case OperandShape::kAluConstant:
      case OperandShape::kAluRegister: {
        const unsigned operation = row(at_).code & 0xf0u;
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
  // Something reads the register itself: its sum is computed where it was made, and nothing is kept back of it.
  void need(std::size_t reg) {
    compute(reg);
    if (kept_[reg] == 0) return;
    out_.advances.push_back(
        {static_cast<std::uint32_t>(at_), before_label_, static_cast<std::uint8_t>(reg), kept_[reg]});
    kept_[reg] = 0;
    part_changes(reg, live_before(at_));
  }
  void compute(std::size_t reg) {
    if (known_[reg].address) out_.steps[known_[reg].made].is_needed = true;
  }
  void need_all(std::uint16_t live) {
    for (std::size_t reg = 0; reg < ebpf::kRegisters; ++reg)
      if ((live >> reg & 1) != 0) need(reg);
  }
  void settle(std::uint16_t live) {
    need_all(live);
    for (Known& known : known_) known = {};
    for (std::int32_t& kept : kept_) kept = 0;
  }
  void write(unsigned reg, std::uint16_t live) {
    known_[reg] = {};
    kept_[reg] = 0;
    part_changes(reg, live);
  }
  // Sums of the register that are still wanted are computed where they were made.
  void part_changes(std::size_t reg, std::uint16_t live) {
    for (std::size_t other = 0; other < ebpf::kRegisters; ++other) {
      const Address& address = known_[other].address;
      if (!address || (address.base != static_cast<int>(reg) && address.index != static_cast<int>(reg))) continue;
      if ((live >> other & 1) != 0) compute(other);
      known_[other] = {};
    }
  }

  const Code& code_;
  const Facts& facts_;
  Addresses out_;
  std::size_t at_ = 0;
  bool before_label_ = false;
  Known known_[ebpf::kRegisters];
  std::int32_t kept_[ebpf::kRegisters] = {};
};

}  // namespace

Addresses find_addresses(const Code& code, const Facts& facts) {
  if (!code.proven || code.options.blind_constants) return {std::vector<StepAddress>(code.steps.size()), {}};
  return Search(code, facts).run();
}

}  // namespace weir::engine
