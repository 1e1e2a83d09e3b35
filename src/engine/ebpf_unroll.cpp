// Unrolls counted loops. Exports unroll. See ebpf_unroll.h.
//
// A loop is taken when it is straight code (there may be ways out, but none in but at its head) that ends with
// `if rX != K goto head`, when one step of it writes rX and adds a constant, and when the code right before the head
// sets rX to a number. Then the number of rounds is known, and as many of them stand in a row as divide it: between
// them the test would always go on, so it is left out.
#include "engine/ebpf_unroll.h"

#include <algorithm>
#include <optional>

namespace weir::engine {
namespace {

using ebpf::OperandShape;
using ebpf::Operation;

constexpr std::size_t kMostSteps = 48;  // of an unrolled loop
constexpr std::uint64_t kMostRounds = 8;

struct Loop {
  std::size_t head;
  std::size_t latch;   // the branch back
  std::size_t rounds;  // in a row
};

class Search {
 public:
  Search(const Code& code, const Facts& facts) : code_(code), facts_(facts) {}

  std::vector<Loop> run() const {
    std::vector<Loop> loops;
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      const Step& step = code_.steps[i];
      if (step.is_second() || (step.operation != Operation::kJNe64K && step.operation != Operation::kJNe32K)) continue;
      const auto head = static_cast<std::size_t>(step.offset);
      if (head >= i || !is_straight(head, i)) continue;
      const std::optional<std::uint64_t> trips = trips_of(head, i);
      if (!trips) continue;
      for (std::uint64_t rounds = kMostRounds; rounds > 1; --rounds)
        if (*trips % rounds == 0 && rounds * (i - head) <= kMostSteps) {
          loops.push_back({head, i, rounds});
          break;
        }
    }
    return loops;
  }

 private:
  const ebpf::OpcodeInfo& row(std::size_t at) const { return ebpf::info(code_.steps[at].operation); }

  // Nothing jumps into the loop, and to its head only the latch does.
  bool is_straight(std::size_t head, std::size_t latch) const {
    for (std::size_t i = head + 1; i <= latch; ++i)
      if (facts_.steps[i].is_target) return false;
    for (std::size_t i = 0; i < code_.steps.size(); ++i) {
      if (code_.steps[i].is_second() || i == latch) continue;
      const OperandShape shape = row(i).shape;
      const bool goes = shape == OperandShape::kJump || shape == OperandShape::kJumpLong ||
                        shape == OperandShape::kCallLocal || shape == OperandShape::kWideFunction ||
                        ebpf::is_branch(shape);
      if (goes && static_cast<std::size_t>(code_.steps[i].offset) == head) return false;
      const bool inside = i >= head && i < latch;
      if (inside && (shape == OperandShape::kJump || shape == OperandShape::kJumpLong || shape == OperandShape::kNone ||
                     shape == OperandShape::kCallHelper))
        return false;
    }
    return true;
  }

  std::optional<std::uint64_t> trips_of(std::size_t head, std::size_t latch) const {
    const std::uint8_t counter = code_.steps[latch].dst;
    const auto writes = [&](std::size_t at) {
      return !code_.steps[at].is_second() && (registers_of(code_, code_.steps[at]).writes >> counter & 1) != 0;
    };
    const Step* add = nullptr;
    for (std::size_t i = head; i < latch; ++i) {
      if (!writes(i)) continue;
      const Operation operation = code_.steps[i].operation;
      if (add != nullptr || (operation != Operation::kAdd64K && operation != Operation::kAdd32K)) return {};
      add = &code_.steps[i];
    }
    if (add == nullptr) return {};
    // Numbers of 31 bits, so that 32-bit and 64-bit steps do the same.
    const auto by = static_cast<std::int64_t>(add->constant);
    const auto end = static_cast<std::int64_t>(code_.steps[latch].constant);
    for (std::size_t i = head; i-- > 0;) {
      if (writes(i)) {
        const Operation operation = code_.steps[i].operation;
        if (operation != Operation::kMov64K && operation != Operation::kMov32K) return {};
        const auto begin = static_cast<std::int64_t>(code_.steps[i].constant);
        if (by <= 0 || begin < 0 || end <= begin || end > INT32_MAX || (end - begin) % by != 0) return {};
        return static_cast<std::uint64_t>((end - begin) / by);
      }
      if (!code_.steps[i].is_second() && (row(i).shape == OperandShape::kJump || row(i).shape == OperandShape::kNone ||
                                          row(i).shape == OperandShape::kJumpLong))
        return {};
      if (facts_.steps[i].is_target) return {};
    }
    return {};
  }

  const Code& code_;
  const Facts& facts_;
};

}  // namespace

std::unique_ptr<const Code> unroll(const Code& code, const Facts& facts) {
  if (!facts.is_bare || code.options.blind_constants) return nullptr;
  const std::vector<Loop> loops = Search(code, facts).run();
  if (loops.empty()) return nullptr;
  auto out = std::make_unique<Code>(code);
  out->steps.clear();
  std::vector<std::int32_t> moved(code.steps.size());  // where each step is now; in a loop, its first round
  auto loop = loops.begin();
  for (std::size_t i = 0; i < code.steps.size(); ++i) {
    if (loop != loops.end() && i == loop->latch) {
      for (std::size_t round = 1; round < loop->rounds; ++round)
        for (std::size_t k = loop->head; k < loop->latch; ++k) out->steps.push_back(code.steps[k]);
      ++loop;
    }
    moved[i] = static_cast<std::int32_t>(out->steps.size());
    out->steps.push_back(code.steps[i]);
  }
  for (Step& step : out->steps) {
    if (step.is_second()) continue;
    const OperandShape shape = ebpf::info(step.operation).shape;
    if (shape == OperandShape::kJump || shape == OperandShape::kJumpLong || shape == OperandShape::kCallLocal ||
        ebpf::is_branch(shape))
      step.offset = moved[static_cast<std::size_t>(step.offset)];
  }
  return out;
}

}  // namespace weir::engine
