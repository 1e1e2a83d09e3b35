// A policy as a classic program. Exports compile_policy.
//
// For each architecture number the calls are a list of intervals of numbers that behave alike; a balanced search finds
// the interval, and tests of arguments follow only where a rule has some. x32 has x86_64's architecture number: both
// are one list, and whichever is not in the policy gets `mismatch`. Code is written with labels; a conditional jump of
// more than 255 instructions goes through a `ja` behind it.
#include <weir/kernel/seccomp.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "seccomp_lint.h"

namespace weir::kernel {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

constexpr std::uint32_t kNumberOffset = 0;  // struct seccomp_data
constexpr std::uint32_t kArchOffset = 4;
constexpr std::uint32_t kArgumentsOffset = 16;

// Instructions whose jumps go to labels.
class LabelledCode {
 public:
  using Label = std::size_t;

  Label label() {
    places_.push_back(kUnbound);
    return places_.size() - 1;
  }
  void bind(Label label) { places_[label] = items_.size(); }
  bool bound(Label label) const { return places_[label] != kUnbound; }

  void emit(Opcode opcode, std::uint32_t k = 0) { items_.push_back({cbpf::make(opcode, k)}); }
  void jump(Label to) { items_.push_back({cbpf::make(Opcode::kJa), to}); }
  void branch(Opcode opcode, std::uint32_t k, Label if_true, Label if_false) {
    items_.push_back({cbpf::make(opcode, k), if_true, if_false});
  }

  cbpf::Program finish() {
    while (grow()) {}
    std::vector<Instruction> code;
    for (std::size_t i = 0; i < items_.size(); ++i) append(code, i);
    return cbpf::Program(std::move(code));
  }

 private:
  static constexpr std::size_t kUnbound = ~std::size_t{0};
  struct Item {
    Instruction instruction{};
    Label if_true = kUnbound;
    Label if_false = kUnbound;
    bool far_true = false;  // through a ja
    bool far_false = false;
    std::size_t at = 0;  // index of its first instruction
    bool is_branch() const { return if_false != kUnbound; }
    std::size_t size() const { return 1u + far_true + far_false; }
  };

  std::size_t target(Label label) const { return items_[places_[label]].at; }

  // Places the items; makes jumps far that do not reach. True when one changed.
  bool grow() {
    std::size_t at = 0;
    for (Item& item : items_) {
      item.at = at;
      at += item.size();
    }
    bool changed = false;
    for (Item& item : items_) {
      if (!item.is_branch()) continue;
      const auto far = [&](Label label) { return target(label) - item.at - 1 > 255; };
      if (!item.far_true && far(item.if_true)) changed = item.far_true = true;
      if (!item.far_false && far(item.if_false)) changed = item.far_false = true;
    }
    return changed;
  }

  void append(std::vector<Instruction>& code, std::size_t index) const {
    const Item& item = items_[index];
    Instruction made = item.instruction;
    const auto distance = [&](Label label, std::size_t from) {
      return static_cast<std::uint32_t>(target(label) - from - 1);
    };
    if (!item.is_branch()) {
      if (item.if_true != kUnbound) made.k = distance(item.if_true, item.at);
      code.push_back(made);
      return;
    }
    made.jt = item.far_true ? std::uint8_t{0} : static_cast<std::uint8_t>(distance(item.if_true, item.at));
    made.jf =
        item.far_false ? std::uint8_t{item.far_true} : static_cast<std::uint8_t>(distance(item.if_false, item.at));
    code.push_back(made);
    if (item.far_true) code.push_back(cbpf::make(Opcode::kJa, distance(item.if_true, item.at + 1)));
    if (item.far_false) code.push_back(cbpf::make(Opcode::kJa, distance(item.if_false, item.at + 1 + item.far_true)));
  }

  std::vector<Item> items_;
  std::vector<std::size_t> places_;
};

using Label = LabelledCode::Label;

// What happens to a call: the first case whose tests hold, else the last action.
struct Behaviour {
  std::vector<std::pair<const Rule*, Action>> cases{};
  Action last{};
  friend bool operator==(const Behaviour&, const Behaviour&) = default;
};

struct Interval {
  std::uint32_t begin = 0;  // it ends where the next begins
  std::size_t behaviour = 0;
};

class PolicyCompiler {
 public:
  explicit PolicyCompiler(const Policy& policy) : policy_(policy), architectures_(policy.architectures) {
    if (architectures_.empty()) architectures_.push_back(native_architecture());
  }

  Result<CompiledPolicy> compile() {
    std::map<std::uint32_t, std::vector<Architecture>> by_number;
    for (const Architecture one : architectures_) by_number[info(one).audit].push_back(one);
    code_.emit(Opcode::kLdWordAbsolute, kArchOffset);
    for (const auto& [audit, members] : by_number) {
      const Label section = code_.label();
      const Label next = code_.label();
      code_.branch(Opcode::kJeqK, audit, section, next);
      code_.bind(section);
      add_section(members);
      code_.bind(next);
    }
    code_.emit(Opcode::kRetK, policy_.mismatch.value);
    add_tests_of_arguments();
    warnings_ = lint_policy(policy_, architectures_);
    warn_of_missing();
    Result<cbpf::Checked> checked = cbpf::check(code_.finish(), {.target = cbpf::Target::kSeccomp});
    if (!checked) {
      Error error = std::move(checked).error();
      if (error.code == ErrorCode::kLimit)
        error.hint =
            "a filter has at most 4096 instructions; tests of argN:32 are the shortest, and 'weir seccomp run' may "
            "stand in another: split the policy in two";
      return fail(std::move(error));
    }
    return CompiledPolicy{std::move(*checked), std::move(warnings_)};
  }

 private:
  Behaviour behaviour_of(const std::string& name) const {
    Behaviour made;
    for (const Rule& rule : policy_.rules) {
      if (std::find(rule.syscalls.begin(), rule.syscalls.end(), name) == rule.syscalls.end()) continue;
      if (rule.any_of.empty()) {
        made.last = rule.action;
        return made;
      }
      made.cases.emplace_back(&rule, rule.action);
    }
    made.last = policy_.otherwise;
    return made;
  }

  std::size_t index_of(const Behaviour& behaviour) {
    const auto found = std::find(behaviours_.begin(), behaviours_.end(), behaviour);
    if (found != behaviours_.end()) return static_cast<std::size_t>(found - behaviours_.begin());
    behaviours_.push_back(behaviour);
    return behaviours_.size() - 1;
  }

  void add_section(const std::vector<Architecture>& members) {
    const std::vector<Interval> intervals = intervals_of(members);
    code_.emit(Opcode::kLdWordAbsolute, kNumberOffset);
    search(intervals);
  }

  std::vector<Interval> intervals_of(const std::vector<Architecture>& members) {
    std::map<std::uint32_t, std::size_t> named;
    std::vector<const std::string*> names;
    for (const Rule& rule : policy_.rules)
      for (const std::string& name : rule.syscalls) names.push_back(&name);
    const std::size_t otherwise = index_of(Behaviour{.last = policy_.otherwise});
    const std::size_t mismatch = index_of(Behaviour{.last = policy_.mismatch});
    for (const Architecture member : members)
      for (const std::string* name : names)
        if (const Syscall* syscall = find_syscall(*name))
          if (const auto number = number_of(*syscall, member)) named[*number] = index_of(behaviour_of(*name));
    const auto has = [&](Architecture one) { return std::find(members.begin(), members.end(), one) != members.end(); };
    const bool x86 = info(members.front()).audit == info(Architecture::kX86_64).audit;
    const auto unnamed = [&](std::uint32_t number) {
      if (!x86) return otherwise;
      return has(number < kX32Bit ? Architecture::kX86_64 : Architecture::kX32) ? otherwise : mismatch;
    };
    std::vector<Interval> intervals;
    const auto add = [&](std::uint32_t begin, std::size_t behaviour) {
      if (intervals.empty() || intervals.back().behaviour != behaviour) intervals.push_back({begin, behaviour});
    };
    add(0, unnamed(0));
    if (named.contains(0)) intervals.clear();
    bool upper_done = false;
    const auto pass_upper = [&] {
      if (!upper_done && x86) add(kX32Bit, unnamed(kX32Bit));
      upper_done = true;
    };
    for (const auto& [number, behaviour] : named) {
      if (number > kX32Bit) pass_upper();
      if (number == kX32Bit) upper_done = true;
      add(number, behaviour);
      if (!named.contains(number + 1) && !(x86 && number + 1 == kX32Bit)) add(number + 1, unnamed(number + 1));
    }
    pass_upper();
    return intervals;
  }

  // A holds the number.
  void search(std::span<const Interval> intervals) {
    if (intervals.size() == 1) {
      leaf(intervals.front().behaviour);
      return;
    }
    const std::size_t middle = intervals.size() / 2;
    const Label upper = code_.label();
    const Label lower = code_.label();
    code_.branch(Opcode::kJgeK, intervals[middle].begin, upper, lower);
    code_.bind(lower);
    search(intervals.first(middle));
    code_.bind(upper);
    search(intervals.subspan(middle));
  }

  // A single action stands where it is needed; tests of arguments stand once, behind all searches.
  void leaf(std::size_t index) {
    if (behaviours_[index].cases.empty()) {
      code_.emit(Opcode::kRetK, behaviours_[index].last.value);
      return;
    }
    const auto [place, added] = tests_.try_emplace(index, 0);
    if (added) place->second = code_.label();
    code_.jump(place->second);
  }

  void add_tests_of_arguments() {
    for (const auto& [index, label] : tests_) {
      code_.bind(label);
      held_word_.reset();
      for (const auto& [rule, action] : behaviours_[index].cases) add_case(*rule, action);
      code_.emit(Opcode::kRetK, behaviours_[index].last.value);
    }
  }

  void add_case(const Rule& rule, Action action) {
    for (const std::vector<ArgumentTest>& all_of : rule.any_of) {
      const Label failed = code_.label();
      for (const ArgumentTest& test : all_of) {
        const Label held = code_.label();
        add_test(test, held, failed);
        code_.bind(held);
      }
      code_.emit(Opcode::kRetK, action.value);
      code_.bind(failed);
      // One test of a lower half fails with that half in A; a list of values needs one load.
      if (all_of.size() != 1) held_word_.reset();
    }
  }

  // Loads a half of an argument, masked; not again when A holds it on every way to here.
  void load(std::uint8_t argument, bool high, std::uint64_t mask) {
    const HeldWord word{argument, high, static_cast<std::uint32_t>(high ? mask >> 32 : mask)};
    if (std::exchange(held_word_, word) == word) return;
    code_.emit(Opcode::kLdWordAbsolute, kArgumentsOffset + 8u * argument + (high ? 4 : 0));
    const auto half = static_cast<std::uint32_t>(high ? mask >> 32 : mask);
    if (half != 0xffffffff) code_.emit(Opcode::kAndK, half);
  }

  void add_test(const ArgumentTest& test, Label held, Label failed) {
    if (test.mask >> 32 == 0) return add_lower_test(test, held, failed);
    add_wide_test(test, held, failed);
    held_word_.reset();  // one way or the other half is in A
  }

  // The mask takes the upper half away.
  void add_lower_test(const ArgumentTest& test, Label held, Label failed) {
    const auto low = static_cast<std::uint32_t>(test.value);
    const bool less = test.comparison == Comparison::kNotEqual || test.comparison == Comparison::kLess ||
                      test.comparison == Comparison::kLessEqual;
    if (test.value >> 32 != 0) {
      held_word_.reset();
      code_.jump(less ? held : failed);
      return;
    }
    load(test.argument, false, test.mask);
    switch (test.comparison) {
      case Comparison::kEqual: code_.branch(Opcode::kJeqK, low, held, failed); return;
      case Comparison::kNotEqual: code_.branch(Opcode::kJeqK, low, failed, held); return;
      case Comparison::kGreater: code_.branch(Opcode::kJgtK, low, held, failed); return;
      case Comparison::kGreaterEqual: code_.branch(Opcode::kJgeK, low, held, failed); return;
      case Comparison::kLess: code_.branch(Opcode::kJgeK, low, failed, held); return;
      case Comparison::kLessEqual: code_.branch(Opcode::kJgtK, low, failed, held); return;
    }
  }

  void add_wide_test(const ArgumentTest& test, Label held, Label failed) {
    switch (test.comparison) {
      case Comparison::kEqual: return add_halves(test, Opcode::kJeqK, held, failed);
      case Comparison::kNotEqual: return add_halves(test, Opcode::kJeqK, failed, held);
      case Comparison::kGreater: return add_halves(test, Opcode::kJgtK, held, failed);
      case Comparison::kGreaterEqual: return add_halves(test, Opcode::kJgeK, held, failed);
      case Comparison::kLess: return add_halves(test, Opcode::kJgeK, failed, held);
      case Comparison::kLessEqual: return add_halves(test, Opcode::kJgtK, failed, held);
    }
  }

  // The upper half decides; where it is equal, the lower one.
  void add_halves(const ArgumentTest& test, Opcode opcode, Label yes, Label no) {
    const auto high = static_cast<std::uint32_t>(test.value >> 32);
    const auto low = static_cast<std::uint32_t>(test.value);
    held_word_.reset();
    load(test.argument, true, test.mask);
    if (opcode != Opcode::kJeqK) {
      const Label not_greater = code_.label();
      code_.branch(Opcode::kJgtK, high, yes, not_greater);
      code_.bind(not_greater);
    }
    const Label equal_high = code_.label();
    code_.branch(Opcode::kJeqK, high, equal_high, no);
    code_.bind(equal_high);
    load(test.argument, false, test.mask);
    code_.branch(opcode, low, yes, no);
  }

  void warn_of_missing() {
    for (const Rule& rule : policy_.rules)
      for (const std::string& name : rule.syscalls) {
        const Syscall* syscall = find_syscall(name);
        const bool somewhere =
            syscall != nullptr && std::any_of(architectures_.begin(), architectures_.end(),
                                              [&](Architecture one) { return number_of(*syscall, one).has_value(); });
        if (!somewhere)
          warnings_.push_back(Diagnostic{.severity = Severity::kWarning,
                                         .message = fmt::format("no architecture of the policy has '{}'", name),
                                         .place = rule.place});
      }
  }

  const Policy& policy_;
  std::vector<Architecture> architectures_;
  LabelledCode code_;
  std::vector<Behaviour> behaviours_;
  struct HeldWord {
    std::uint8_t argument;
    bool high;
    std::uint32_t mask;
    friend bool operator==(const HeldWord&, const HeldWord&) = default;
  };
  std::optional<HeldWord> held_word_;   // what A holds, when every way to here has loaded it
  std::map<std::size_t, Label> tests_;  // where a behaviour's tests of arguments begin
  Warnings warnings_;
};

}  // namespace

Result<CompiledPolicy> compile_policy(const Policy& policy) { return PolicyCompiler(policy).compile(); }

}  // namespace weir::kernel
