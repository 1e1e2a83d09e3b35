// Jumps, relays and search trees. Exports BackwardCode.
//
// A set of up to kLinear ranges is compared one by one, a single number with one instruction, a range with two at most;
// a larger one is halved by `jge` until few are left, which costs one more instruction for every few numbers and makes
// the number of steps logarithmic. The upper half of a large part is out of a branch's reach and costs one step more;
// parts are cut so that the longest way is as short as it can be.
#include "flow/backward_code.h"

#include <algorithm>

namespace weir::flow {

using cbpf::Instruction;
using cbpf::Opcode;

namespace {

constexpr std::uint32_t kLongestBranch = 255;
constexpr std::size_t kLinear = 8;     // ranges of a whole set that is not worth a tree
constexpr std::size_t kLongLeaf = 3;   // ranges at the leaves of a tree: fewer instructions,
constexpr std::size_t kShortLeaf = 2;  // or fewer steps, for sets of more than
constexpr std::size_t kMiddling = 400;
constexpr std::size_t kLarge = 1100;  // ranges of a set that must be short rather than fast, as the kernel takes 4096
constexpr std::size_t kReach = 225;   // instructions that a branch may surely pass over, relays among them

// Scratch words that a checker finds read before they were written on every path, one bit a word. It finds more than
// there are: what follows a `ret` counts as if it followed from there (net/core/filter.c, check_load_and_stores).
std::uint32_t words_read_unwritten(const std::vector<Instruction>& code) {
  std::vector<std::uint32_t> written(code.size() + 1, 0xffffffff);
  std::uint32_t now = 0;
  std::uint32_t missing = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const Instruction& instruction = code[at];
    now &= written[at];
    const Opcode opcode = instruction.opcode();
    if (opcode == Opcode::kSt || opcode == Opcode::kStx) {
      now |= 1u << instruction.k;
    } else if (opcode == Opcode::kLdScratch || opcode == Opcode::kLdxScratch) {
      missing |= ~now & (1u << instruction.k);
    } else if (opcode == Opcode::kJa) {
      written[at + 1 + instruction.k] &= now;
      now = 0xffffffff;
    } else if ((instruction.code & 0x07) == 0x05) {  // the conditional jumps
      written[at + 1 + instruction.jt] &= now;
      written[at + 1 + instruction.jf] &= now;
      now = 0xffffffff;
    }
  }
  return missing;
}

bool uses_scratch(const std::vector<Instruction>& code) {
  return std::any_of(code.begin(), code.end(), [](const Instruction& instruction) {
    return instruction.opcode() == Opcode::kLdScratch || instruction.opcode() == Opcode::kLdxScratch;
  });
}

}  // namespace

BackwardCode::SetTree::SetTree(std::span<const Range> set)
    : leaf_(set.size() > kMiddling && set.size() <= kLarge ? kShortLeaf : kLongLeaf) {
  std::size_t comparisons = 0;
  for (const Range& range : set) comparisons += range.first == range.last ? 1 : 2;
  const std::size_t instructions = comparisons + set.size() / leaf_;
  near_ = std::max<std::size_t>(kReach * set.size() / instructions, leaf_);
  // A branch, then the lower part, or a `ja` and the upper part where the lower one is too large to pass over.
  holds_.assign({0, leaf_});
  while (holds_.back() < set.size()) {
    const std::size_t below = holds_.back();
    holds_.push_back(below + upper_holds(below, holds_.size() - 1));
  }
}

std::size_t BackwardCode::SetTree::upper_holds(std::size_t lower, std::size_t levels) const {
  return lower <= near_ ? holds_[levels] : holds_[levels - 1];
}

// As near to the middle as the number of levels allows.
std::size_t BackwardCode::SetTree::lower_half(std::size_t count) const {
  std::size_t levels = 1;
  while (holds_[levels] < count) ++levels;
  --levels;  // of each part
  const std::size_t half = count / 2;
  const std::size_t least = count - std::min(count - 1, upper_holds(half, levels));
  return std::clamp(half, std::max<std::size_t>(least, 1), holds_[levels]);
}

Opcode branch_opcode(Condition condition, bool index) {
  switch (condition) {
    case Condition::kEqual: return index ? Opcode::kJeqX : Opcode::kJeqK;
    case Condition::kGreater: return index ? Opcode::kJgtX : Opcode::kJgtK;
    case Condition::kGreaterOrEqual: return index ? Opcode::kJgeX : Opcode::kJgeK;
    case Condition::kBitsSet: return index ? Opcode::kJsetX : Opcode::kJsetK;
  }
  return Opcode::kJeqK;
}

void BackwardCode::push_jump(FromEnd target) {
  if (target == here()) return;
  const Instruction& there = code_[target - 1];
  push(there.opcode() == Opcode::kRetK ? there : cbpf::make(Opcode::kJa, distance(target)));
}

std::optional<FromEnd> BackwardCode::shared_before(FromEnd target, const Instruction& instruction) const {
  if (target == here() || !(code_[target] == instruction)) return std::nullopt;
  const auto kind = instruction.code & 7;
  return kind == 5 || kind == 6 ? std::nullopt : std::optional(target + 1);  // jumps and returns fall into nothing
}

// Where to jump for `target` from an instruction placed next: within 255 after `slack` more instructions, or nothing.
std::optional<FromEnd> BackwardCode::reachable(FromEnd target, std::uint32_t slack) const {
  if (distance(target) + slack <= kLongestBranch) return target;
  for (const Relay& relay : relays_)
    if (relay.target == target && distance(relay.at) + slack <= kLongestBranch) return relay.at;
  return std::nullopt;
}

void BackwardCode::push_relay(FromEnd target) {
  const Instruction& there = code_[target - 1];
  push(there.opcode() == Opcode::kRetK ? there : cbpf::make(Opcode::kJa, distance(target)));
  // Relays out of reach will stay so.
  const auto far = [&](const Relay& relay) { return relay.target == target || distance(relay.at) > kLongestBranch; };
  relays_.erase(std::remove_if(relays_.begin(), relays_.end(), far), relays_.end());
  relays_.push_back({target, here()});
}

// The conditional jump itself, with relays behind it where a side is too far.
void BackwardCode::push_branch(Opcode opcode, std::uint32_t k, FromEnd if_true, FromEnd if_false) {
  std::optional<FromEnd> f = reachable(if_false, 1);
  std::optional<FromEnd> t = reachable(if_true, 1);
  if (!f) {
    push_relay(if_false);
    f = here();
  }
  if (!t) {
    push_relay(if_true);
    t = here();
  }
  push(cbpf::make_jump(opcode, k, static_cast<std::uint8_t>(distance(*t)), static_cast<std::uint8_t>(distance(*f))));
}

FromEnd BackwardCode::push_set(std::span<const Range> set, FromEnd if_true, FromEnd if_false) {
  if (set.size() > kLinear) {
    const SetTree tree(set);
    return push_part(tree, set, false, if_true, if_false);
  }
  FromEnd next = if_false;
  for (std::size_t i = set.size(); i-- > 0;) next = push_range(set[i], false, if_true, next);
  return next;
}

FromEnd BackwardCode::push_range(const Range& range, bool at_least, FromEnd if_true, FromEnd if_false) {
  at_least = at_least || range.first == 0;
  if (range.first == range.last) {
    push_branch(Opcode::kJeqK, range.first, if_true, if_false);
    return here();
  }
  if (range.last != 0xffffffff) {
    push_branch(Opcode::kJgtK, range.last, if_false, if_true);
    if_true = here();
  }
  if (at_least) return if_true;
  push_branch(Opcode::kJgeK, range.first, if_true, if_false);
  return here();
}

// at_least: A is known to be no less than the first number. Recursion is as deep as the tree.
FromEnd BackwardCode::push_part(const SetTree& tree, std::span<const Range> set, bool at_least, FromEnd if_true,
                                FromEnd if_false) {
  std::size_t comparisons = tree.leaf() + 1;
  if (set.size() <= tree.leaf()) {
    comparisons = 0;
    for (std::size_t i = 0; i < set.size(); ++i)
      comparisons += set[i].first == set[i].last || (at_least && i == 0) ? 1 : 2;
  }
  if (comparisons <= tree.leaf() || set.size() == 1) {
    FromEnd next = if_false;
    for (std::size_t i = set.size(); i-- > 0;) next = push_range(set[i], at_least && i == 0, if_true, next);
    return next;
  }
  const std::size_t middle = set.size() <= tree.leaf() ? set.size() / 2 : tree.lower_half(set.size());
  const FromEnd right = push_part(tree, set.subspan(middle), true, if_true, if_false);
  const FromEnd left = push_part(tree, set.first(middle), at_least, if_true, if_false);
  push_branch(Opcode::kJgeK, set[middle].first, right, left);
  return here();
}

cbpf::Program BackwardCode::finish() {
  std::reverse(code_.begin(), code_.end());
  if (!uses_scratch(code_)) return cbpf::Program(std::move(code_));
  const std::uint32_t unwritten = words_read_unwritten(code_);
  std::vector<Instruction> zeroes;
  if (unwritten != 0) zeroes.push_back(cbpf::make(Opcode::kLdImmediate, 0));
  for (std::uint32_t word = 0; word < cbpf::kScratchWords; ++word)
    if ((unwritten & (1u << word)) != 0) zeroes.push_back(cbpf::make(Opcode::kSt, word));
  code_.insert(code_.begin(), zeroes.begin(), zeroes.end());
  return cbpf::Program(std::move(code_));
}

}  // namespace weir::flow
