// Running a filter with unknown arguments. Exports outcome_of, numbers_held_against, run_filter, write_outcome.
//
// A value is a number, or unknown with the set of things it comes from. A conditional jump on an unknown value is
// followed both ways; on the way where `arg == k` held, later loads of the same word give k, so that the usual pairs of
// tests on one argument do not make paths that cannot happen.
#include <weir/kernel/seccomp_analysis.h>

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "kernel/seccomp_explore.h"

namespace weir::kernel {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

constexpr std::uint32_t kWords = 16;  // of struct seccomp_data
constexpr int kMostPaths = 20000;
constexpr Effort kEffortForOne{20'000'000};
constexpr std::uint64_t kForkEffort = 32;

struct Value {
  bool known = true;
  std::uint32_t number = 0;
  std::uint16_t sources = 0;            // bit w: word w of seccomp_data
  std::optional<std::uint32_t> word{};  // exactly this word, unchanged
};

std::uint32_t arithmetic(Opcode opcode, std::uint32_t a, std::uint32_t b) {
  switch (opcode) {
    case Opcode::kAddK:
    case Opcode::kAddX: return a + b;
    case Opcode::kSubK:
    case Opcode::kSubX: return a - b;
    case Opcode::kMulK:
    case Opcode::kMulX: return a * b;
    case Opcode::kDivK:
    case Opcode::kDivX: return b == 0 ? 0 : a / b;
    case Opcode::kOrK:
    case Opcode::kOrX: return a | b;
    case Opcode::kAndK:
    case Opcode::kAndX: return a & b;
    case Opcode::kLshK:
    case Opcode::kLshX: return a << (b & 31);
    case Opcode::kRshK:
    case Opcode::kRshX: return a >> (b & 31);
    case Opcode::kXorK:
    case Opcode::kXorX: return a ^ b;
    default: return a;
  }
}

bool holds(Opcode opcode, std::uint32_t a, std::uint32_t b) {
  switch (opcode) {
    case Opcode::kJeqK:
    case Opcode::kJeqX: return a == b;
    case Opcode::kJgtK:
    case Opcode::kJgtX: return a > b;
    case Opcode::kJgeK:
    case Opcode::kJgeX: return a >= b;
    default: return (a & b) != 0;
  }
}

// The machine with some of its input known.
class Explorer {
 public:
  Explorer(const cbpf::Program& program, const std::optional<std::uint32_t> (&words)[kWords], Effort& effort)
      : program_(program), effort_(effort) {
    State start;
    std::copy(std::begin(words), std::end(words), start.words);
    pending_.push_back(start);
  }

  Outcome run() {
    int paths = 0;
    while (!pending_.empty()) {
      State state = pending_.back();
      pending_.pop_back();
      if (++paths > kMostPaths || !follow(state)) {
        outcome_.complete = false;
        break;
      }
    }
    std::sort(outcome_.actions.begin(), outcome_.actions.end(), [](Action a, Action b) { return a.value < b.value; });
    // What was asked decides nothing when there is one answer.
    if (outcome_.actions.size() == 1) {
      outcome_.arguments = 0;
      outcome_.instruction_pointer = false;
    }
    return std::move(outcome_);
  }

  // After run().
  std::vector<std::uint32_t> numbers(std::uint32_t word) {
    std::vector<std::uint32_t>& found = numbers_[word];
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

 private:
  static constexpr std::size_t kMostNumbers = 10000;

  void held_against(const Value& value, const Value& other) {
    if (!other.known) return;
    for (std::uint32_t word = 4; word < kWords; ++word)
      if ((value.sources & (1u << word)) != 0 && numbers_[word].size() < kMostNumbers)
        numbers_[word].push_back(other.number);
  }

  struct State {
    std::uint32_t at = 0;
    Value a{};
    Value x{};
    Value memory[16]{};
    std::optional<std::uint32_t> words[kWords]{};
    std::vector<std::pair<std::uint32_t, std::uint32_t>> not_equal{};  // word, number
  };

  void end(const Value& verdict) {
    // An action computed from what is not known: any of them.
    if (!verdict.known) {
      outcome_.complete = false;
      return;
    }
    const Action action{verdict.number};
    if (std::find(outcome_.actions.begin(), outcome_.actions.end(), action) == outcome_.actions.end())
      outcome_.actions.push_back(action);
  }

  static Value load(const State& state, std::uint32_t word) {
    if (state.words[word]) return Value{true, *state.words[word], 0, {}};
    return Value{false, 0, static_cast<std::uint16_t>(1u << word), word};
  }

  static Value number(std::uint32_t k) { return Value{true, k, 0, {}}; }

  void asked(const Value& value) {
    for (std::uint32_t word = 0; word < kWords; ++word) {
      if ((value.sources & (1u << word)) == 0) continue;
      if (word >= 4) outcome_.arguments = static_cast<std::uint8_t>(outcome_.arguments | 1u << ((word - 4) / 2));
      else if (word >= 2) outcome_.instruction_pointer = true;
    }
  }

  bool spend(std::uint64_t effort) {
    const bool enough = effort_.left >= effort;
    effort_.left -= enough ? effort : effort_.left;
    return enough;
  }

  // Follows one path to its end; of forks it takes one way and leaves the other for later. False when it may not go on.
  bool follow(State& state) {
    for (;;) {
      if (!spend(1)) return false;
      const Instruction& i = program_[state.at++];
      const Opcode opcode = i.opcode();
      switch (opcode) {
        case Opcode::kRetK: end(number(i.k)); return true;
        case Opcode::kRetA: end(state.a); return true;
        case Opcode::kJa: state.at += i.k; break;
        case Opcode::kLdWordAbsolute: state.a = load(state, i.k / 4); break;
        case Opcode::kLdImmediate: state.a = number(i.k); break;
        case Opcode::kLdLength: state.a = number(64); break;
        case Opcode::kLdScratch: state.a = state.memory[i.k]; break;
        case Opcode::kLdxImmediate: state.x = number(i.k); break;
        case Opcode::kLdxLength: state.x = number(64); break;
        case Opcode::kLdxScratch: state.x = state.memory[i.k]; break;
        case Opcode::kSt: state.memory[i.k] = state.a; break;
        case Opcode::kStx: state.memory[i.k] = state.x; break;
        case Opcode::kTax: state.x = state.a; break;
        case Opcode::kTxa: state.a = state.x; break;
        case Opcode::kNeg:
          state.a.number = 0 - state.a.number;
          state.a.word.reset();
          break;
        case Opcode::kJeqK:
        case Opcode::kJgtK:
        case Opcode::kJgeK:
        case Opcode::kJsetK:
          if (!branch(state, i, number(i.k))) return false;
          break;
        case Opcode::kJeqX:
        case Opcode::kJgtX:
        case Opcode::kJgeX:
        case Opcode::kJsetX:
          if (!branch(state, i, state.x)) return false;
          break;
        default:
          if (!compute(state, i)) return true;
          break;
      }
    }
  }

  // Arithmetic; false when a division by zero ended the program.
  bool compute(State& state, const Instruction& i) {
    const bool by_x = (i.code & 0x08) != 0;
    const Value operand = by_x ? state.x : number(i.k);
    if (i.opcode() == Opcode::kDivX) {
      if (operand.known && operand.number == 0) {
        end(number(0));
        return false;
      }
      if (!operand.known) {
        asked(operand);
        end(number(0));
      }
    }
    if (i.opcode() == Opcode::kAndK) held_against(state.a, operand);
    Value made{state.a.known && operand.known, 0, static_cast<std::uint16_t>(state.a.sources | operand.sources), {}};
    if (made.known) made.number = arithmetic(i.opcode(), state.a.number, operand.number);
    state.a = made;
    return true;
  }

  // False when the effort does not suffice for a fork.
  bool branch(State& state, const Instruction& i, const Value& operand) {
    if (state.a.known && operand.known) {
      state.at += holds(i.opcode(), state.a.number, operand.number) ? i.jt : i.jf;
      return true;
    }
    if (!spend(kForkEffort + state.not_equal.size())) return false;
    const bool equality = i.opcode() == Opcode::kJeqK && state.a.word.has_value();
    if (equality)
      for (const auto& [word, not_this] : state.not_equal)
        if (word == *state.a.word && not_this == i.k) {
          state.at += i.jf;
          return true;
        }
    if (i.jt == i.jf) {
      state.at += i.jt;
      return true;
    }
    asked(state.a);
    asked(operand);
    held_against(state.a, operand);
    State other = state;
    other.at += i.jt;
    state.at += i.jf;
    if (equality) {
      other.words[*state.a.word] = i.k;
      other.a = number(i.k);
      state.not_equal.emplace_back(*state.a.word, i.k);
    }
    pending_.push_back(std::move(other));
    return true;
  }

  const cbpf::Program& program_;
  Effort& effort_;
  std::vector<State> pending_;
  std::vector<std::uint32_t> numbers_[kWords];
  Outcome outcome_;
};

// kernel/seccomp.c compares the actions without their data, as signed numbers; the least wins.
bool more_severe(Action a, Action b) {
  return static_cast<std::int32_t>(without_data(a).value) < static_cast<std::int32_t>(without_data(b).value);
}

Outcome combined(const Outcome& newer, const Outcome& older) {
  Outcome both{.arguments = static_cast<std::uint8_t>(newer.arguments | older.arguments),
               .instruction_pointer = newer.instruction_pointer || older.instruction_pointer,
               .complete = newer.complete && older.complete};
  for (const Action a : newer.actions)
    for (const Action b : older.actions) {
      const Action action = more_severe(b, a) ? b : a;
      if (std::find(both.actions.begin(), both.actions.end(), action) == both.actions.end())
        both.actions.push_back(action);
    }
  std::sort(both.actions.begin(), both.actions.end(), [](Action a, Action b) { return a.value < b.value; });
  if (both.actions.size() == 1) {
    both.arguments = 0;
    both.instruction_pointer = false;
  }
  return both;
}

Explorer explorer_of(const cbpf::Checked& program, const CallPattern& pattern, Effort& effort) {
  std::optional<std::uint32_t> words[kWords];
  words[0] = pattern.number;
  words[1] = pattern.architecture;
  std::copy(std::begin(pattern.halves), std::end(pattern.halves), words + 4);
  return Explorer(program.program(), words, effort);
}

}  // namespace

Outcome outcome_of(const cbpf::Checked& program, const CallPattern& pattern) {
  Effort effort = kEffortForOne;
  return explorer_of(program, pattern, effort).run();
}

Outcome outcome_of(const cbpf::Checked& program, std::uint32_t audit_architecture, std::uint32_t number) {
  return outcome_of(program, {.number = number, .architecture = audit_architecture});
}

Outcome outcome_of(std::span<const cbpf::Checked> filters, const CallPattern& pattern) {
  Effort effort{kEffortForOne.left * filters.size()};
  return outcome_of(filters, pattern, effort);
}

Outcome outcome_of(std::span<const cbpf::Checked> filters, const CallPattern& pattern, Effort& effort) {
  if (filters.empty()) return Outcome{.actions = {kAllow}};
  Outcome outcome = explorer_of(filters.front(), pattern, effort).run();
  for (const cbpf::Checked& older : filters.subspan(1))
    outcome = combined(outcome, explorer_of(older, pattern, effort).run());
  return outcome;
}

std::vector<std::uint32_t> numbers_held_against(const cbpf::Checked& program, std::uint32_t audit_architecture,
                                                std::uint32_t number, unsigned argument, Effort& effort) {
  Explorer explorer = explorer_of(program, {.number = number, .architecture = audit_architecture}, effort);
  (void)explorer.run();
  return explorer.numbers(4 + 2 * argument);
}

std::vector<std::uint32_t> numbers_held_against(const cbpf::Checked& program, std::uint32_t audit_architecture,
                                                std::uint32_t number, unsigned argument) {
  Effort effort = kEffortForOne;
  return numbers_held_against(program, audit_architecture, number, argument, effort);
}

Action run_filter(const cbpf::Checked& program, const SeccompCall& call) {
  std::optional<std::uint32_t> words[kWords];
  words[0] = call.number;
  words[1] = call.architecture;
  words[2] = static_cast<std::uint32_t>(call.instruction_pointer);
  words[3] = static_cast<std::uint32_t>(call.instruction_pointer >> 32);
  for (std::uint32_t i = 0; i < 6; ++i) {
    words[4 + 2 * i] = static_cast<std::uint32_t>(call.arguments[i]);
    words[5 + 2 * i] = static_cast<std::uint32_t>(call.arguments[i] >> 32);
  }
  Effort effort = kEffortForOne;
  return Explorer(program.program(), words, effort).run().actions.front();
}

std::string write_outcome(const Outcome& outcome) {
  std::vector<std::string> names;
  for (const Action action : outcome.actions) names.push_back(write_action(action));
  std::string text = fmt::format("{}", fmt::join(names, " or "));
  std::vector<std::string> by;
  for (int i = 0; i < 6; ++i)
    if ((outcome.arguments & (1u << i)) != 0) by.push_back(fmt::format("arg{}", i));
  if (outcome.instruction_pointer) by.emplace_back("the instruction pointer");
  if (!by.empty()) text += fmt::format(", by {}", fmt::join(by, ", "));
  if (!outcome.complete) text += text.empty() ? "not known" : ", or something else";
  return text;
}

}  // namespace weir::kernel
