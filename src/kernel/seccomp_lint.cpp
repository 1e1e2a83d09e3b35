// Suspicious rules. Exports lint_policy.
//
// A rule never acts when the tests of its condition contradict each other, or when an earlier rule takes all its calls.
// That is decided alternative by alternative: one is taken when every test of an earlier alternative follows from its
// own. It is a proof, never a guess; not every such rule is found. A rule is gone around when the kernel cuts an
// argument to 32 bits that the rule compares with 64.
#include "seccomp_lint.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "seccomp_arguments.h"
#include "seccomp_families.h"

namespace weir::kernel {
namespace {

using Tests = std::vector<ArgumentTest>;

bool holds(const ArgumentTest& test, std::uint64_t argument) {
  const std::uint64_t value = argument & test.mask;
  switch (test.comparison) {
    case Comparison::kEqual: return value == test.value;
    case Comparison::kNotEqual: return value != test.value;
    case Comparison::kLess: return value < test.value;
    case Comparison::kLessEqual: return value <= test.value;
    case Comparison::kGreater: return value > test.value;
    case Comparison::kGreaterEqual: return value >= test.value;
  }
  return false;
}

// The values of one masked argument that tests leave: least to most, of those with bits of the mask alone.
struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = ~std::uint64_t{0};
  bool empty = false;

  void narrow(const ArgumentTest& test) {
    switch (test.comparison) {
      case Comparison::kEqual:
        empty = empty || (test.value & ~test.mask) != 0;
        least = std::max(least, test.value);
        most = std::min(most, test.value);
        break;
      case Comparison::kNotEqual:
        if (least == test.value && most == test.value) empty = true;
        else if (least == test.value) ++least;
        else if (most == test.value) --most;
        break;
      case Comparison::kLess:
        if (test.value == 0) empty = true;
        else most = std::min(most, test.value - 1);
        break;
      case Comparison::kLessEqual: most = std::min(most, test.value); break;
      case Comparison::kGreater:
        if (test.value == ~std::uint64_t{0}) empty = true;
        else least = std::max(least, test.value + 1);
        break;
      case Comparison::kGreaterEqual: least = std::max(least, test.value); break;
    }
    empty = empty || least > most;
  }
};

Range range_of(const ArgumentTest& of, const Tests& tests) {
  Range range{.most = of.mask};
  // Twice: a `!=` may only cut at an end that a later test makes.
  for (int round = 0; round < 2; ++round)
    for (const ArgumentTest& one : tests)
      if (one.argument == of.argument && one.mask == of.mask) range.narrow(one);
  return range;
}

// Whether no arguments satisfy all tests. False is no proof.
bool contradict(const Tests& tests) {
  constexpr std::size_t kMostTests = 256;  // the time is their square
  if (tests.size() > kMostTests) return false;
  for (const ArgumentTest& one : tests) {
    if (range_of(one, tests).empty) return true;
    if (one.comparison != Comparison::kEqual) continue;
    for (const ArgumentTest& other : tests) {
      if (other.argument != one.argument) continue;
      const std::uint64_t both = one.mask & other.mask;
      if (other.comparison == Comparison::kEqual && ((one.value ^ other.value) & both) != 0) return true;
      if (both == other.mask && !holds(other, one.value)) return true;  // the value says all that the other asks
    }
  }
  return false;
}

// Whether `test` holds whenever all of `tests` do. False is no proof.
bool follows(const ArgumentTest& test, const Tests& tests) {
  Tests with = tests;
  ArgumentTest negated = test;
  switch (test.comparison) {
    case Comparison::kEqual: negated.comparison = Comparison::kNotEqual; break;
    case Comparison::kNotEqual: negated.comparison = Comparison::kEqual; break;
    case Comparison::kLess: negated.comparison = Comparison::kGreaterEqual; break;
    case Comparison::kLessEqual: negated.comparison = Comparison::kGreater; break;
    case Comparison::kGreater: negated.comparison = Comparison::kLessEqual; break;
    case Comparison::kGreaterEqual: negated.comparison = Comparison::kLess; break;
  }
  with.push_back(negated);
  return contradict(with);
}

class Linter {
 public:
  Linter(const Policy& policy, std::span<const Architecture> architectures)
      : policy_(policy), architectures_(architectures) {
    wide_ = std::any_of(architectures.begin(), architectures.end(), has_wide_registers);
  }

  Warnings run() {
    for (const Rule& rule : policy_.rules) {
      repeated_names(rule);
      constant_tests(rule);
      if (!never_true(rule)) shadowed(rule);
      if (wide_) upper_halves(rule);
      for (const std::string& name : rule.syscalls)
        if (earlier_[name].size() < kMostEarlier) earlier_[name].push_back(&rule);
    }
    multiplexers();
    return std::move(warnings_);
  }

 private:
  static constexpr std::size_t kMostEarlier = 200;
  static constexpr std::size_t kMostAlternatives = 5000;

  void warn(const Rule& rule, std::string message, std::string hint = {}) {
    warnings_.push_back(Diagnostic{
        .severity = Severity::kWarning, .message = std::move(message), .place = rule.place, .hint = std::move(hint)});
  }

  void repeated_names(const Rule& rule) {
    std::map<std::string_view, int> seen;
    for (const std::string& name : rule.syscalls)
      if (++seen[name] == 2) warn(rule, fmt::format("'{}' stands twice in this rule", name));
  }

  void constant_tests(const Rule& rule) {
    for (const Tests& all_of : rule.any_of)
      for (const ArgumentTest& test : all_of) {
        const bool never = contradict({test});
        if (!never && !follows(test, {})) continue;
        warn(rule, fmt::format("'{}' is {} true", write_test(test), never ? "never" : "always"),
             (test.value & ~test.mask) != 0 ? "the number has bits that the mask takes away" : "");
      }
  }

  bool never_true(const Rule& rule) {
    if (rule.any_of.empty() || !std::all_of(rule.any_of.begin(), rule.any_of.end(), contradict)) return false;
    warn(rule, "this rule never acts: its tests contradict each other");
    return true;
  }

  // Whether an earlier rule decides for all calls that these tests fit.
  bool takes(const Rule& earlier, const Tests& tests) {
    if (earlier.any_of.empty()) return true;
    const std::size_t cost = earlier.any_of.size() * (tests.size() + 1) * (tests.size() + 1);
    if (cost > budget_) return false;
    budget_ -= cost;
    return std::any_of(earlier.any_of.begin(), earlier.any_of.end(), [&](const Tests& all_of) {
      return std::all_of(all_of.begin(), all_of.end(), [&](const ArgumentTest& one) { return follows(one, tests); });
    });
  }

  const Rule* taken_by(const Rule& rule, const std::string& name) {
    if (rule.any_of.size() > kMostAlternatives) return nullptr;
    const std::vector<Tests> always(1);
    const Rule* last = nullptr;
    for (const Tests& tests : rule.any_of.empty() ? always : rule.any_of) {
      if (contradict(tests)) continue;
      const auto& rules = earlier_[name];
      const auto found = std::find_if(rules.begin(), rules.end(), [&](const Rule* one) { return takes(*one, tests); });
      if (found == rules.end()) return nullptr;
      last = *found;
    }
    return last;
  }

  static std::string shown(const Rule& rule, const std::string& name) {
    Rule one{.action = rule.action, .syscalls = {name}, .any_of = rule.any_of};
    if (one.any_of.size() > 3) one.any_of.resize(3);
    return write_rule(one) + (rule.any_of.size() > 3 ? " or ..." : "");
  }

  void shadowed(const Rule& rule) {
    const Rule* by = nullptr;
    std::vector<std::string> names;
    for (const std::string& name : rule.syscalls)
      if (const Rule* found = taken_by(rule, name)) {
        if (by == nullptr) by = found;
        names.push_back(name);
      }
    if (names.empty()) return;
    const bool whole = names.size() == rule.syscalls.size();
    warn(rule,
         fmt::format("this rule never acts{}: an earlier one decides, '{}'",
                     whole ? std::string() : fmt::format(" on {}", fmt::join(names, ", ")), shown(*by, names.front())),
         "the first rule that fits decides");
  }

  // What happens to a call when this rule does not decide, in the end.
  std::vector<Action> after(const Rule& rule, const std::string& name) const {
    std::vector<Action> actions;
    for (const Rule* later = &rule + 1; later != policy_.rules.data() + policy_.rules.size(); ++later) {
      if (std::find(later->syscalls.begin(), later->syscalls.end(), name) == later->syscalls.end()) continue;
      actions.push_back(later->action);
      if (later->any_of.empty()) return actions;
    }
    actions.push_back(policy_.otherwise);
    return actions;
  }

  // The upper half of an int is the caller's to choose: any test of it can be made true or false.
  void upper_halves(const Rule& rule) {
    for (const Tests& all_of : rule.any_of)
      for (const ArgumentTest& test : all_of) {
        if (test.mask >> 32 == 0) continue;
        const bool unequal = test.comparison == Comparison::kNotEqual || test.comparison == Comparison::kGreater ||
                             test.comparison == Comparison::kGreaterEqual;
        for (const std::string& name : rule.syscalls) {
          if (!is_int_argument(name, test.argument)) continue;
          const std::vector<Action> next = after(rule, name);
          const bool open = unequal ? permits(rule.action) && !std::all_of(next.begin(), next.end(), permits)
                                    : !permits(rule.action) && std::any_of(next.begin(), next.end(), permits);
          if (!open && test.value >> 32 == 0) continue;
          warn_of_upper_half(rule, test, name, open);
          return;
        }
      }
  }

  void warn_of_upper_half(const Rule& rule, const ArgumentTest& test, const std::string& name, bool open) {
    ArgumentTest better = test;
    better.mask &= kLower32;
    better.value &= kLower32;
    const std::string fact = fmt::format(
        "the kernel reads only the lower 32 bits of {}'s arg{}, and this rule compares 64", name, test.argument);
    warn(rule,
         open ? fmt::format("{}: {:#x} gets around it", fact, better.value | std::uint64_t{1} << 32)
              : fmt::format("{}: callers may leave the upper half 0", fact),
         fmt::format("write '{}'", write_test(better)));
  }

  // Calls that some architectures have a second time, behind one number.
  void multiplexers() {
    for (const Architecture one : architectures_)
      for (const Multiplexer& multiplexer : multiplexers_of(one)) {
        const bool closed = std::any_of(policy_.rules.begin(), policy_.rules.end(), [&](const Rule& rule) {
          return rule.any_of.empty() && !permits(rule.action) && names(rule, multiplexer.name);
        });
        const bool named = std::any_of(policy_.rules.begin(), policy_.rules.end(), [&](const Rule& rule) {
          return permits(rule.action) && names(rule, multiplexer.name);
        });
        if (closed || (!permits(policy_.otherwise) && !named)) continue;
        for (const Rule& rule : policy_.rules) {
          if (permits(rule.action)) continue;
          const auto found = std::find_if(rule.syscalls.begin(), rule.syscalls.end(),
                                          [&](const std::string& name) { return multiplexer.carries(name); });
          if (found == rule.syscalls.end()) continue;
          warn(rule,
               fmt::format("{} has '{}' behind {} too, which is let through: its arguments are in memory, out of reach",
                           info(one).name, *found, multiplexer.name),
               fmt::format("deny {} as well", multiplexer.name));
          break;
        }
      }
  }

  static bool names(const Rule& rule, std::string_view name) {
    return std::find(rule.syscalls.begin(), rule.syscalls.end(), name) != rule.syscalls.end();
  }

  const Policy& policy_;
  std::span<const Architecture> architectures_;
  bool wide_ = false;
  std::size_t budget_ = 3'000'000;  // of proofs; a policy of thousands of conditions is not searched to the end
  std::map<std::string, std::vector<const Rule*>> earlier_;
  Warnings warnings_;
};

}  // namespace

Warnings lint_policy(const Policy& policy, std::span<const Architecture> architectures) {
  return Linter(policy, architectures).run();
}

}  // namespace weir::kernel
