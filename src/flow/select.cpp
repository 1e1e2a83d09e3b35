// Decisions to classic code. Exports select.
//
// Decisions are taken in topological order, so that what A, X and M[] hold at one is known: what they hold on every way
// that leads to it. Each gets straight-line code that executes its demands and brings its operands into A and X; what
// is there already is not loaded again. Then the code is laid out from its end, where jumps find their distances.
//
// Parameters live in X where nothing else needs X as long as they are needed, in A where the next test alone asks for
// them, or in a scratch word. Their values are put there at the end of the decision that jumps; where that is only a
// constant for X, before the test that leads there. Expressions that turn out to be computed again and again get a
// scratch word where that saves instructions, and the code is made once more.
#include "flow/select.h"

#include <algorithm>

#include "flow/backward_code.h"
#include "flow/placement.h"
#include "flow/registers.h"

namespace weir::flow {
namespace {

using cbpf::Opcode;

class Selection {
 public:
  Selection(Decisions& decisions, bool words_only)
      : decisions_(decisions), placement_(decisions, scratch_), code_(decisions.expressions, scratch_) {
    code_.words_only = words_only;
  }

  std::optional<Selected> run() {
    find_masked();
    placement_.place_parameters(true);
    generate();
    if (code_.failed) {
      placement_.place_parameters(false);
      generate();
    }
    if (code_.failed) return std::nullopt;
    const bool words = placement_.free_words != 0xffff;
    improve();
    return Selected{lay_out(), words};
  }

 private:
  struct Piece {  // of a decision
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    bool in_index = false;            // the test compares with X
    bool skipped = false;             // its work was done before the test that leads here
    bool holds_masked = false;        // A holds what is tested with the mask taken already
    std::uint32_t mask = 0xffffffff;  // taken of A before the set is looked up
  };

  void generate() {
    const std::size_t expressions = decisions_.expressions.size();
    code_.code.clear();
    code_.code.reserve(3 * decisions_.all.size());
    code_.failed = false;
    code_.home = placement_.home;
    code_.keep.assign(expressions, false);
    code_.computed.assign(expressions, 0);
    code_.cost.assign(expressions, 0);
    code_.twice_in_node.resize(expressions, false);
    code_.free_words = placement_.free_words;
    code_.most = 64 * decisions_.all.size() + 20000;
    pieces_.assign(decisions_.all.size(), {});
    entered_.assign(decisions_.all.size(), false);
    at_.resize(decisions_.all.size());
    for (DecisionId id = 0; id < decisions_.all.size(); ++id) {
      if (code_.failed) return;
      node(id);
    }
  }

  void node(DecisionId id) {
    Piece& piece = pieces_[id];
    piece.first = static_cast<std::uint32_t>(code_.code.size());
    if (id == decisions_.entry) {
      code_.now.clear();
      code_.now.a = code_.now.x = decisions_.expressions.constant(0);
    } else {
      code_.now = at_[id];
    }
    const Decision& decision = decisions_.all[id];
    if (!piece.skipped) {
      code_.x_locked = placement_.is_x_taken(id);
      placement_.mark_kept(id, code_.keep);
      demands_and_operands(decision, piece);
    }
    if (decision.is_branch()) {
      hoist(piece, decision.if_true.to, decision.if_false.to);
      hoist(piece, decision.if_false.to, decision.if_true.to);
    }
    piece.count = static_cast<std::uint32_t>(code_.code.size()) - piece.first;
    if (decision.kind == ExitKind::kSet) choose_mask(id, piece);
    enter(decision.if_true);
    if (decision.is_branch()) enter(decision.if_false);
  }

  void demands_and_operands(const Decision& decision, Piece& piece) {
    const Registers before = code_.now;
    const std::size_t size = code_.code.size();
    code_.start_node();
    operands(decision, piece);
    if (!decision.demands() || satisfied(decision)) return;
    // Once more: with the demands first. Loading again what A holds may be enough.
    restart(before, size);
    if (decision.is_branch() && code_.now.a == decision.lhs && decision.traps.empty()) {
      code_.now.a = kNone;
      operands(decision, piece);
      if (satisfied(decision)) return;
      restart(before, size);
    }
    explicit_demands(decision);
    operands(decision, piece);
  }

  void restart(const Registers& before, std::size_t size) {
    code_.code.resize(size);
    code_.now = before;
    code_.start_node();
  }

  void operands(const Decision& decision, Piece& piece) {
    const Expressions& expressions = decisions_.expressions;
    switch (decision.kind) {
      case ExitKind::kVerdict:
        if (!expressions.is_constant(decision.lhs)) code_.to_a(decision.lhs);
        return;
      case ExitKind::kJump:
        if (!decision.if_true.arguments.empty()) move_arguments(decision.if_true);
        return;
      case ExitKind::kSet:
        if (!holds_masked(decision, piece)) code_.to_a(decision.lhs);
        return;
      case ExitKind::kTest:
        piece.in_index = !expressions.is_constant(decision.rhs);
        if (!piece.in_index) return code_.to_a(decision.lhs);
        code_.to_a_and_x(decision.lhs, decision.rhs,
                         decision.condition == Condition::kEqual || decision.condition == Condition::kBitsSet);
        return;
    }
  }

  bool executed(ExprId trap) const {
    return std::find(code_.executed.begin(), code_.executed.end(), trap) != code_.executed.end();
  }

  bool satisfied(const Decision& decision) const {
    if (decision.need > code_.loaded_to) return false;
    const auto traps = decisions_.list(decision.traps);
    return std::all_of(traps.begin(), traps.end(), [&](ExprId trap) { return executed(trap); });
  }

  void explicit_demands(const Decision& decision) {
    // What a jump hands over may well execute them; a jump's own demands come first otherwise.
    for (const ExprId trap : decisions_.list(decision.traps))
      if (!executed(trap)) code_.execute(trap);
    if (decision.need <= code_.loaded_to) return;
    const std::uint32_t last = decision.need - 1;
    code_.push(Opcode::kLdByteAbsolute, last);
    code_.loaded_to = decision.need;
    code_.now.a = kNone;
  }

  // --- Parameters ---

  void move_arguments(const Way& way) {
    const auto arguments = decisions_.list(way.arguments);
    const auto parameters = decisions_.list(decisions_.all[way.to].parameters);
    std::size_t for_a = kNone, for_x = kNone;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::uint8_t home = placement_.home[parameters[i]];
      if (home == kInA) for_a = i;
      else if (home == kInX) for_x = i;
      else if (home < cbpf::kScratchWords) to_word(arguments[i], home);
    }
    if (for_a != kNone && for_x != kNone) code_.to_a_and_x(arguments[for_a], arguments[for_x], false);
    else if (for_a != kNone) code_.to_a(arguments[for_a]);
    else if (for_x != kNone) code_.to_x(arguments[for_x]);
    if (for_a != kNone && code_.now.a != arguments[for_a]) code_.failed = true;
    if (for_x != kNone && code_.now.x != arguments[for_x]) code_.failed = true;
  }

  void to_word(ExprId argument, std::uint32_t word) {
    if (code_.now.m[word] == argument) return;
    const bool through_x = code_.now.a != argument && code_.is_direct_x(argument) && !code_.x_locked;
    if (through_x) code_.to_x(argument);
    else code_.to_a(argument);
    code_.store(word, through_x);
  }

  // A jump that only puts one value into X, reached from this test alone: X is set before the test already.
  void hoist(const Piece& test, DecisionId to, DecisionId other) {
    const Decision& jump = decisions_.all[to];
    if (jump.kind != ExitKind::kJump || jump.demands() || jump.if_true.arguments.count != 1) return;
    if (placement_.ways_in[to] != 1 || placement_.needs_x[other] || pieces_[other].skipped) return;
    const ExprId parameter = decisions_.list(decisions_.all[jump.if_true.to].parameters)[0];
    const ExprId argument = decisions_.list(jump.if_true.arguments)[0];
    if (placement_.home[parameter] != kInX) return;
    if (code_.now.x != argument) {
      if (test.in_index || !decisions_.expressions.is_constant(argument) || finds_x_set(other)) return;
      code_.to_x(argument);
    }
    pieces_[to].skipped = true;
  }

  // A jump that puts into X what is there already.
  bool finds_x_set(DecisionId id) const {
    const Decision& jump = decisions_.all[id];
    if (jump.kind != ExitKind::kJump || jump.if_true.arguments.count != 1) return false;
    const ExprId parameter = decisions_.list(decisions_.all[jump.if_true.to].parameters)[0];
    return placement_.home[parameter] == kInX && decisions_.list(jump.if_true.arguments)[0] == code_.now.x;
  }

  void enter(const Way& way) {
    if (way.to == kNone) return;
    Registers arriving = code_.now;
    const auto parameters = decisions_.list(decisions_.all[way.to].parameters);
    const auto arguments = decisions_.list(way.arguments);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (arriving.a == arguments[i]) arriving.a = parameters[i];
      if (arriving.x == arguments[i]) arriving.x = parameters[i];
      for (ExprId& word : arriving.m)
        if (word == arguments[i]) word = parameters[i];
    }
    for (const ExprId parameter : parameters) {
      const std::uint8_t home = placement_.home[parameter];
      if (home == kInA) arriving.a = parameter;
      else if (home == kInX) arriving.x = parameter;
      else if (home < cbpf::kScratchWords) arriving.m[home] = parameter;
    }
    if (entered_[way.to]) at_[way.to].meet(arriving);
    else at_[way.to] = arriving;
    entered_[way.to] = true;
  }

  // --- Masks: ranges that are all aligned to one power of two (nets of one size) are compared as single numbers ---

  // The bits in which numbers of one range differ, for the smallest of the ranges, as the trailing ones.
  std::uint32_t low_bits(const Decision& decision) const {
    std::uint32_t bits = 0xffffffff;
    for (const Range& range : decisions_.set(decision.set)) bits &= ~range.first & range.last;
    return bits & ~(bits + 1);
  }

  // Whether a way leads to another set of the same value whose ranges are aligned as well.
  bool looks_again_masked(const Decision& decision, const Way& way, std::uint32_t bits) const {
    const Decision& next = decisions_.all[way.to];
    return next.kind == ExitKind::kSet && next.lhs == decision.lhs && !next.demands() &&
           (low_bits(next) & bits) == bits;
  }

  // Values that are looked at again after a mask get a number before code is made.
  void find_masked() {
    Expressions& expressions = decisions_.expressions;
    masked_.assign(decisions_.all.size(), kNone);
    for (DecisionId id = 0; id < decisions_.all.size(); ++id) {
      const Decision& decision = decisions_.all[id];
      if (decision.kind != ExitKind::kSet) continue;
      const std::uint32_t bits = low_bits(decision);
      if (bits == 0 || bits == 0xffffffff) continue;
      if (!looks_again_masked(decision, decision.if_true, bits) &&
          !looks_again_masked(decision, decision.if_false, bits))
        continue;
      const ExprId value = expressions.binary(Op::kAnd, decision.lhs, expressions.constant(~bits));
      if (expressions[value].op == Op::kAnd && expressions[value].a == decision.lhs) masked_[id] = value;
    }
  }

  // A holds the value with a mask that leaves all that the set asks for.
  bool holds_masked(const Decision& decision, Piece& piece) {
    if (code_.now.a == kNone || code_.now.a == decision.lhs || decision.demands()) return false;
    const Expr& held = decisions_.expressions[code_.now.a];
    if (held.op != Op::kAnd || held.a != decision.lhs || !decisions_.expressions.is_constant(held.b)) return false;
    const std::uint32_t mask = decisions_.expressions[held.b].k;
    const std::uint32_t bits = ~mask & ~(~mask + 1);
    if ((~mask & ~bits & ~decisions_.expressions.known(decision.lhs).zeros) != 0) return false;
    if ((low_bits(decision) & bits) != bits) return false;
    piece.mask = ~bits;
    piece.holds_masked = true;
    return true;
  }

  void choose_mask(DecisionId id, Piece& piece) {
    const Decision& decision = decisions_.all[id];
    if (piece.holds_masked) return;
    const auto set = decisions_.set(decision.set);
    const std::uint32_t bits = low_bits(decision);
    if (bits == 0) return;
    std::size_t plain = 0, masked = 1;
    for (const Range& range : set) {
      plain += range.first == range.last || range.first == 0 || range.last == kLastNumber ? 1 : 2;
      masked += range.last - range.first == bits ? 1 : 2;
    }
    // One net alone is as short either way; what is tested stays in A only without the mask, unless what comes next
    // can do with the masked value.
    const auto looks_again = [&](const Way& way) { return decisions_.all[way.to].lhs == decision.lhs; };
    const bool keeps_a = looks_again(decision.if_true) || looks_again(decision.if_false);
    if (masked > plain) return;
    if (masked == plain && masked_[id] == kNone && (set.size() > 1 || keeps_a)) return;
    piece.mask = ~bits & ~decisions_.expressions.known(decision.lhs).zeros;
    code_.now.a = masked_[id];
  }

  // --- Scratch words for what is computed often ---

  void improve() {
    std::vector<ExprId> candidates;
    const auto gain = [&](ExprId e) {
      return (std::int64_t{code_.computed[e]} - 1) * (std::int64_t{code_.cost[e]} - 1) - 1;
    };
    for (ExprId e = 0; e < code_.computed.size(); ++e)
      if (code_.computed[e] > 1 && gain(e) > 0 && placement_.home[e] == kNoHome) candidates.push_back(e);
    if (candidates.empty()) return;
    std::sort(candidates.begin(), candidates.end(), [&](ExprId a, ExprId b) { return gain(a) > gain(b); });
    if (candidates.size() > 12) candidates.resize(12);
    std::size_t best = code_.code.size();
    placement_.find_last_uses();
    for (const ExprId e : candidates) {
      if (!placement_.give_word(e)) break;
      generate();
      if (!code_.failed && code_.code.size() < best) best = code_.code.size();
      else placement_.take_back(e);
    }
    generate();
  }

  // --- Layout ---

  cbpf::Program lay_out() {
    BackwardCode out;
    out.reserve(code_.code.size() + 2 * decisions_.all.size());
    ScratchVector<FromEnd> starts(decisions_.all.size(), 0, scratch_);
    for (auto id = static_cast<DecisionId>(decisions_.all.size()); id-- > 0;) {
      const Decision& decision = decisions_.all[id];
      const Piece& piece = pieces_[id];
      if (piece.skipped || (decision.kind == ExitKind::kJump && piece.count == 0)) {
        starts[id] = starts[decision.if_true.to];
        continue;
      }
      const std::uint32_t count = push_exit(out, decision, piece, starts);
      for (std::uint32_t i = count; i-- > 0;) out.push(code_.code[piece.first + i]);
      starts[id] = out.here();
    }
    return out.finish();
  }

  // How many of the piece's instructions must still stand before the exit.
  std::uint32_t push_exit(BackwardCode& out, const Decision& decision, const Piece& piece,
                          const ScratchVector<FromEnd>& starts) {
    const Expressions& expressions = decisions_.expressions;
    switch (decision.kind) {
      case ExitKind::kVerdict:
        if (expressions.is_constant(decision.lhs)) out.push(cbpf::make(Opcode::kRetK, expressions[decision.lhs].k));
        else out.push(cbpf::make(Opcode::kRetA));
        break;
      case ExitKind::kJump: return push_jump(out, piece, starts[decision.if_true.to]);
      case ExitKind::kTest: {
        const std::uint32_t k = piece.in_index ? 0 : expressions[decision.rhs].k;
        out.push_branch(branch_opcode(decision.condition, piece.in_index), k, starts[decision.if_true.to],
                        starts[decision.if_false.to]);
        break;
      }
      case ExitKind::kSet:
        push_set(out, decision, piece, starts[decision.if_true.to], starts[decision.if_false.to]);
        break;
    }
    return piece.count;
  }

  // The last instructions may stand before the target already.
  std::uint32_t push_jump(BackwardCode& out, const Piece& piece, FromEnd target) {
    std::uint32_t count = piece.count;
    for (; count > 0; --count) {
      const std::optional<FromEnd> shared = out.shared_before(target, code_.code[piece.first + count - 1]);
      if (!shared) break;
      target = *shared;
    }
    out.push_jump(target);
    return count;
  }

  void push_set(BackwardCode& out, const Decision& decision, const Piece& piece, FromEnd inside, FromEnd outside) {
    set_.assign(decisions_.set(decision.set).begin(), decisions_.set(decision.set).end());
    if (piece.mask != 0xffffffff)
      for (Range& range : set_) range.last &= piece.mask;
    if (set_.front().first == 1 && set_.front().last == kLastNumber) {  // "not less than" is "less than" turned
      set_.assign(1, {0, 0});
      std::swap(inside, outside);
    }
    out.push_jump(out.push_set(set_, inside, outside));
    if (piece.mask != 0xffffffff && !piece.holds_masked) out.push(cbpf::make(Opcode::kAndK, piece.mask));
  }

  Decisions& decisions_;
  Scratch scratch_;
  Placement placement_;
  ExpressionCode code_;
  ScratchVector<ExprId> masked_{scratch_};  // by decision: its value after a mask, if that is looked at again
  ScratchVector<Piece> pieces_{scratch_};   // by decision
  ScratchVector<Registers> at_{scratch_};   // by decision: what registers hold on all ways in
  ScratchVector<bool> entered_{scratch_};   // by decision
  Ranges set_;
};

}  // namespace

std::optional<Selected> select(Decisions& decisions, bool words_only) {
  split_ways(decisions);
  if (!decisions.tidy) order_decisions(decisions);
  return Selection(decisions, words_only).run();
}

}  // namespace weir::flow
