// Programs in plain words: the ways in which they accept a packet. Exports explain(Checked).
//
// Every path to a verdict other than 0 is walked, with what A and X hold written as words; a path is told as the tests
// on it, but for those that an equality before has decided. The walk goes down one path after the other, and the tests
// of the path it stands on are one stack: a branch point keeps how deep the stack was, not a copy of it, so that memory
// and time grow with the steps alone. What is left out is said: ways after kMostWays, tests of a way after kMostTests,
// and what the walk had not reached after kMostSteps.
#include <weir/filter/explain.h>

#include <array>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "filter/layout.h"
#include "filter/names.h"

namespace weir::filter {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

constexpr std::size_t kMostWays = 24;
constexpr std::size_t kMostSteps = 200000;
constexpr std::size_t kMostTests = 2000;    // of one way
constexpr std::size_t kLongestSum = 200;    // words of one computation
constexpr std::size_t kLongestWords = 400;  // of one value
constexpr std::uint32_t kNone = 0xffffffff;

// What a register holds: words for it, and what its values mean.
enum class Meaning : std::uint8_t {
  kNumber,
  kPort,
  kEtherType,
  kProtocol,
  kIpv4,
  kHeaderLength,
  kWordAtSix,
  kFragmentProtocol
};
struct Held {
  std::uint32_t words = 0;  // by number, see Words
  Meaning meaning = Meaning::kNumber;
  bool distinct = false;  // two values of the same words may differ: nothing is known of one by the other
};

// Words of values, each kept once. Number 0 is "0".
class Words {
 public:
  std::uint32_t number(std::string text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) return found->second;
    const std::string& kept = texts_.emplace_back(std::move(text));
    return numbers_.emplace(kept, static_cast<std::uint32_t>(numbers_.size())).first->second;
  }
  const std::string& operator[](const Held& value) const { return texts_[value.words]; }

 private:
  std::deque<std::string> texts_;
  std::unordered_map<std::string_view, std::uint32_t> numbers_;
};

// A test on a way; of comparisons with a constant also what they have left of the value, so that later ones are
// decided.
struct Test {
  enum class Kind : std::uint8_t { kOther, kNotEqual, kBounds, kNotZero };
  Instruction branch{};
  bool taken = false;
  Kind kind = Kind::kOther;
  Held a{};
  Held x{};
  std::uint32_t low = 0;  // what this test and those before it have left of A
  std::uint32_t high = 0xffffffff;
  std::uint32_t before = kNone;  // the newest test of the same words before it
};

std::string value_words(std::uint32_t k, Meaning meaning) {
  switch (meaning) {
    case Meaning::kEtherType:
      switch (k) {
        case kEtherIp: return "IPv4 (0x0800)";
        case kEtherIp6: return "IPv6 (0x86dd)";
        case kEtherArp: return "ARP (0x0806)";
        case kEtherRarp: return "RARP (0x8035)";
        case kEther8021q: return "a VLAN tag (0x8100)";
        case kEtherMpls: return "MPLS (0x8847)";
        default: return fmt::format("{:#06x}", k);
      }
    case Meaning::kProtocol:
      switch (k) {
        case kProtocolIcmp: return "ICMP (1)";
        case kProtocolTcp: return "TCP (6)";
        case kProtocolUdp: return "UDP (17)";
        case kProtocolIcmp6: return "ICMPv6 (58)";
        case kProtocolSctp: return "SCTP (132)";
        default: return std::to_string(k);
      }
    case Meaning::kPort: return std::to_string(k);
    case Meaning::kIpv4: return fmt::format("{}.{}.{}.{}", k >> 24, k >> 16 & 0xff, k >> 8 & 0xff, k & 0xff);
    default: return k < 1000 ? std::to_string(k) : fmt::format("{:#x}", k);
  }
}

class Ways {
 public:
  Ways(const cbpf::Program& program, packet::LinkType link_type)
      : program_(program), layout_(layout_of(link_type)), reached_(program.size()) {
    words_.number("0");
  }

  std::string run() {
    const bool complete = walk();
    if (ways_.empty()) return (complete ? "accepts no packet\n" : "no way to accept a packet was found\n") + stopped();
    if (ways_.size() == 1 && ways_[0].tests.empty())
      return fmt::format("accepts every packet{}{}\n", loads_ ? " that its loads lie in" : "", kept(ways_[0]));
    std::string out = ways_.size() == 1 ? "accepts a packet when\n" : "accepts a packet in one of these ways:\n";
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      if (ways_.size() > 1) out += fmt::format("{}.\n", i + 1);
      out += ways_[i].tests;
      if (const std::string keeps = kept(ways_[i]); !keeps.empty()) out += " " + keeps.substr(1) + "\n";
    }
    if (more_) out += fmt::format("and in further ways, after the first {}\n", kMostWays);
    return out + "a load beyond the end of the packet rejects it\n" + stopped();
  }

 private:
  struct Way {
    std::string tests;
    std::string verdict;
  };
  struct State {
    std::size_t at = 0;
    Held a{};
    Held x{};
    std::array<Held, cbpf::kScratchWords> scratch{};
    std::size_t tests = 0;          // how many of tests_ are on its way
    std::uint32_t refused = kNone;  // the branch that it starts with, as not taken
  };

  static std::string kept(const Way& way) {
    return way.verdict == "262144" || way.verdict == "65535" ? "" : fmt::format(", with the verdict {}", way.verdict);
  }

  // What to say where the walk was not finished.
  std::string stopped() const {
    if (!cut_) return "";
    return fmt::format(
        "the explanation stops after {} steps: they reached {} of the {} instructions, and there may be further ways\n",
        kMostSteps, reached_count_, program_.size());
  }

  // Whether every way was walked.
  bool walk() {
    std::vector<State> pending(1);
    for (std::size_t steps = 0; !pending.empty(); ++steps) {
      if (steps == kMostSteps) {
        cut_ = true;
        return false;
      }
      State state = pending.back();
      pending.pop_back();
      forget_after(state.tests);
      if (state.refused != kNone) {
        add_test(state, program_[state.refused], false);
        state.refused = kNone;
      }
      if (!reached_[state.at]) ++reached_count_;
      reached_[state.at] = true;
      step(state, pending);
      if (more_) return false;
    }
    return true;
  }

  void step(State& state, std::vector<State>& pending) {
    const Instruction& i = program_[state.at];
    switch (i.opcode()) {
      case Opcode::kRetK:
        if (i.k != 0) add_way(std::to_string(i.k));
        return;
      case Opcode::kRetA: return return_a(state);
      case Opcode::kJa: state.at += 1 + i.k; break;
      default:
        if ((i.code & 7) == 5) return branch(state, i, pending);
        compute(state, i);
        ++state.at;
    }
    pending.push_back(state);
  }

  void add_way(std::string verdict) {
    if (ways_.size() == kMostWays) more_ = true;
    else ways_.push_back({tests_told(), std::move(verdict)});
  }

  // The verdict is what A holds: a packet is accepted where that is not 0.
  void return_a(State& state) {
    const std::string& verdict = words_[state.a];
    if (verdict == "0") return;
    if (!is_number(verdict)) push(state, {.kind = Test::Kind::kNotZero, .a = state.a});
    add_way(verdict);
  }

  static bool is_number(std::string_view words) {
    return words.find_first_not_of("0123456789") == std::string_view::npos;
  }

  std::string test_words(const Test& test) const {
    const Instruction& i = test.branch;
    const std::string& value = words_[test.a];
    if (test.kind == Test::Kind::kNotZero) return value + " is not 0";
    if (test.kind == Test::Kind::kBounds) return bounds_words(test);
    if (test.kind == Test::Kind::kNotEqual && test.a.meaning == Meaning::kFragmentProtocol && i.k <= 0xff)
      return "it is a later fragment, or the IPv4 protocol is not " + value_words(i.k, Meaning::kProtocol);
    const std::string operand = (i.code & 8) != 0 ? words_[test.x] : value_words(i.k, test.a.meaning);
    std::string_view relation;
    switch (i.code & 0xf0) {
      case 0x10: relation = test.taken ? "is" : "is not"; break;
      case 0x20: relation = test.taken ? "is greater than" : "is at most"; break;
      case 0x30: relation = test.taken ? "is at least" : "is less than"; break;
      default:
        if (value == "the fragment field" && i.k == 0x1fff)
          return test.taken ? "it is a later fragment" : "it is no later fragment";
        return fmt::format("{} has {} the bits {}", value, test.taken ? "some of" : "none of", operand);
    }
    return fmt::format("{} {} {}", value, relation, operand);
  }

  std::string bounds_words(const Test& test) const {
    const std::string& value = words_[test.a];
    if (test.low == test.high && test.a.meaning == Meaning::kFragmentProtocol && test.low <= 0xff)
      return "it is no later fragment, and the IPv4 protocol is " + value_words(test.low, Meaning::kProtocol);
    const std::string first = value_words(test.low, test.a.meaning);
    if (test.low == test.high) return fmt::format("{} is {}", value, first);
    if (test.high == 0xffffffff) return fmt::format("{} is at least {}", value, first);
    const std::string last = value_words(test.high, test.a.meaning);
    if (test.low == 0) return fmt::format("{} is at most {}", value, last);
    return fmt::format("{} is {} to {}", value, first, last);
  }

  // The tests of the way the walk stands on. The last bounds of a value tell what all comparisons before them have left
  // of it, and what they say of their own accord is dropped.
  std::string tests_told() const {
    std::string out;
    std::size_t told = 0;
    for (const Test& test : tests_) {
      if (test.kind == Test::Kind::kBounds || test.kind == Test::Kind::kNotEqual) {
        const Test& last = tests_[newest_.at(test.a.words)];
        if (test.kind == Test::Kind::kBounds && (test.low != last.low || test.high != last.high)) continue;
        if (test.kind == Test::Kind::kNotEqual && (test.branch.k < last.low || test.branch.k > last.high)) continue;
      }
      if (++told <= kMostTests) out += "  - " + test_words(test) + "\n";
    }
    if (told > kMostTests)
      out += fmt::format("  - and {} further test{}\n", told - kMostTests, told == kMostTests + 1 ? "" : "s");
    return out;
  }

  // What comparisons before have left of the value in A.
  std::pair<std::uint32_t, std::uint32_t> bounds_of(const State& state) const {
    const auto found = newest_.find(state.a.words);
    if (found == newest_.end() || found->second == kNone) return {0, 0xffffffff};
    return {tests_[found->second].low, tests_[found->second].high};
  }

  static std::uint64_t pair_of(std::uint32_t words, std::uint32_t k) { return std::uint64_t{words} << 32 | k; }

  std::optional<bool> known(const State& state, const Instruction& i) const {
    if (state.a.distinct) return std::nullopt;
    const auto [low, high] = bounds_of(state);
    switch (i.opcode()) {
      case Opcode::kJeqK:
        if (i.k < low || i.k > high) return false;
        if (low == high) return true;
        return unequal_.count(pair_of(state.a.words, i.k)) != 0 ? std::optional(false) : std::nullopt;
      case Opcode::kJgtK: return low > i.k ? std::optional(true) : high <= i.k ? std::optional(false) : std::nullopt;
      case Opcode::kJgeK: return low >= i.k ? std::optional(true) : high < i.k ? std::optional(false) : std::nullopt;
      default: return std::nullopt;
    }
  }

  void push(State& state, Test test) {
    const auto at = static_cast<std::uint32_t>(tests_.size());
    if (test.kind == Test::Kind::kNotEqual) unequal_.insert(pair_of(test.a.words, test.branch.k));
    if (test.kind == Test::Kind::kNotEqual || test.kind == Test::Kind::kBounds) {
      const auto [newest, first] = newest_.emplace(test.a.words, at);
      if (!first) test.before = std::exchange(newest->second, at);
    }
    tests_.push_back(test);
    state.tests = tests_.size();
  }

  // Back to a branch point: the tests after it are of another way.
  void forget_after(std::size_t tests) {
    for (; tests_.size() > tests; tests_.pop_back()) {
      const Test& test = tests_.back();
      if (test.kind == Test::Kind::kNotEqual) unequal_.erase(pair_of(test.a.words, test.branch.k));
      if (test.kind == Test::Kind::kNotEqual || test.kind == Test::Kind::kBounds) newest_[test.a.words] = test.before;
    }
  }

  void add_test(State& state, const Instruction& i, bool taken) {
    auto [low, high] = bounds_of(state);
    Test test{.branch = i, .taken = taken, .kind = Test::Kind::kBounds, .a = state.a, .x = state.x};
    switch (state.a.distinct ? Opcode::kJsetK : i.opcode()) {
      case Opcode::kJeqK:
        if (taken) low = high = i.k;
        else test.kind = Test::Kind::kNotEqual;
        break;
      case Opcode::kJgtK: taken ? low = i.k + 1 : high = i.k; break;
      case Opcode::kJgeK: taken ? low = i.k : high = i.k - 1; break;
      default: test.kind = Test::Kind::kOther;
    }
    test.low = low;
    test.high = high;
    push(state, test);
  }

  void branch(State& state, const Instruction& i, std::vector<State>& pending) {
    const std::optional<bool> decided = i.jt == i.jf ? true : known(state, i);
    if (decided) {
      state.at += 1 + (*decided ? i.jt : i.jf);
      pending.push_back(state);
      return;
    }
    State otherwise = state;
    otherwise.refused = static_cast<std::uint32_t>(state.at);
    otherwise.at += 1 + i.jf;
    pending.push_back(otherwise);
    add_test(state, i, true);
    state.at += 1 + i.jt;
    pending.push_back(state);
  }

  Held held(std::string words, Meaning meaning = Meaning::kNumber, bool distinct = false) {
    if (words.size() > kLongestWords) return too_long(meaning);
    return {words_.number(std::move(words)), meaning, distinct};
  }
  Held too_long(Meaning meaning) { return {words_.number("a computed value"), meaning, true}; }

  // What lies at a place, where the link type says it.
  Held field(std::uint32_t at, std::uint32_t size) {
    static constexpr std::string_view kSizes[] = {"", "the byte", "the half-word", "", "the word"};
    const bool plain = layout_.type_field.constant != kNotThere && !layout_.type_field.variable;
    if (plain && layout_.family == LinkFamily::kEthernet && at == layout_.type_field.constant && size == 2)
      return held("the EtherType", Meaning::kEtherType);
    if (layout_.payload.constant != kNotThere && layout_.network != kNotThere && layout_.family != LinkFamily::kWlan &&
        layout_.family != LinkFamily::kPflog && at >= layout_.payload.constant + layout_.network) {
      const std::uint32_t in = at - layout_.payload.constant - layout_.network;
      if (in == 9 && size == 1) return held("the IPv4 protocol", Meaning::kProtocol);
      if (in == 6 && size == 1) return held("the IPv6 next header", Meaning::kProtocol);
      if (in == 6 && size == 2) return held("the fragment field");
      if (in == 6 && size == 4) return held(fmt::format("the word at {}", at), Meaning::kWordAtSix);
      if (in == 12 && size == 4) return held("the IPv4 source", Meaning::kIpv4);
      if (in == 16 && size == 4) return held("the IPv4 destination", Meaning::kIpv4);
      if (in == 40 && size == 2) return held("the source port (IPv6)", Meaning::kPort);
      if (in == 42 && size == 2) return held("the destination port (IPv6)", Meaning::kPort);
    }
    return held(fmt::format("{} at {}", kSizes[size], at));
  }

  Held indexed_field(const Held& x, std::uint32_t k, std::uint32_t size) {
    const std::string& index = words_[x];
    if (is_number(index) && index.size() < 10) return field(static_cast<std::uint32_t>(std::stoul(index)) + k, size);
    if (x.meaning == Meaning::kHeaderLength && layout_.payload.constant != kNotThere) {
      const std::uint32_t in = k - layout_.payload.constant - layout_.network;
      if (in == 0 && size == 2) return held("the source port", Meaning::kPort);
      if (in == 2 && size == 2) return held("the destination port", Meaning::kPort);
      if (in < 60)
        return held(size == 1 ? fmt::format("byte {} of the transport header", in)
                              : fmt::format("{} bytes at {} of the transport header", size, in));
    }
    return held(fmt::format("{} byte{} at {} + {}", size, size == 1 ? "" : "s", index, k), Meaning::kNumber,
                x.distinct);
  }

  void compute(State& state, const Instruction& i) {
    if ((i.code & 7) <= 1 && (i.code & 0xe0) != 0 && (i.code & 0xe0) != 0x60 && (i.code & 0xe0) != 0x80 &&
        cbpf::find_extension(i.k) == nullptr)
      loads_ = true;
    const std::uint32_t size = (i.code & 0x18) == 0x10 ? 1 : (i.code & 0x18) == 0x08 ? 2 : 4;
    const std::string operand = (i.code & 8) != 0 ? words_[state.x] : value_words(i.k, state.a.meaning);
    const auto combine = [&](std::string_view sign) {
      const bool distinct = state.a.distinct || ((i.code & 8) != 0 && state.x.distinct);
      std::string words = fmt::format("({} {} {})", words_[state.a], sign, operand);
      state.a =
          words.size() > kLongestSum ? too_long(state.a.meaning) : held(std::move(words), state.a.meaning, distinct);
    };
    switch (i.opcode()) {
      case Opcode::kLdImmediate: state.a = held(std::to_string(i.k)); break;
      case Opcode::kLdWordAbsolute:
      case Opcode::kLdHalfAbsolute:
      case Opcode::kLdByteAbsolute:
        if (const cbpf::ExtensionInfo* info = cbpf::find_extension(i.k); info != nullptr)
          state.a = held(fmt::format("what Linux knows as '{}'", info->text), Meaning::kNumber, info->text == "rand");
        else state.a = field(i.k, size);
        break;
      case Opcode::kLdWordIndirect:
      case Opcode::kLdHalfIndirect:
      case Opcode::kLdByteIndirect: state.a = indexed_field(state.x, i.k, size); break;
      case Opcode::kLdScratch: state.a = state.scratch[i.k]; break;
      case Opcode::kLdLength: state.a = held("the length on the wire"); break;
      case Opcode::kLdxImmediate: state.x = held(std::to_string(i.k)); break;
      case Opcode::kLdxScratch: state.x = state.scratch[i.k]; break;
      case Opcode::kLdxLength: state.x = held("the length on the wire"); break;
      case Opcode::kLdxHeaderLength:
        state.x = held(fmt::format("4 * (byte {} & 15)", i.k), Meaning::kHeaderLength);
        break;
      case Opcode::kSt: state.scratch[i.k] = state.a; break;
      case Opcode::kStx: state.scratch[i.k] = state.x; break;
      case Opcode::kTax: state.x = state.a; break;
      case Opcode::kTxa: state.a = state.x; break;
      case Opcode::kNeg: state.a = held("-" + words_[state.a], Meaning::kNumber, state.a.distinct); break;
      default: {
        static constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "|", "&", "<<", ">>", "", "%", "^"};
        const std::size_t sign = i.code >> 4 & 0xf;
        const bool with_protocol =
            state.a.meaning == Meaning::kWordAtSix && i.opcode() == Opcode::kAndK && i.k == 0x1fff00ff;
        combine(sign < std::size(kSigns) ? kSigns[sign] : "?");
        if (state.a.meaning == Meaning::kWordAtSix || state.a.meaning == Meaning::kFragmentProtocol)
          state.a.meaning = with_protocol ? Meaning::kFragmentProtocol : Meaning::kNumber;
      }
    }
  }

  const cbpf::Program& program_;
  Layout layout_;
  Words words_;
  std::vector<Way> ways_;
  std::vector<Test> tests_;                                  // of the way the walk stands on
  std::unordered_map<std::uint32_t, std::uint32_t> newest_;  // words to the newest comparison of them in tests_
  std::unordered_set<std::uint64_t> unequal_;                // words and number of the inequalities in tests_
  std::vector<bool> reached_;                                // instructions
  std::size_t reached_count_ = 0;
  bool more_ = false;   // ways than kMostWays
  bool cut_ = false;    // after kMostSteps
  bool loads_ = false;  // from the packet
};

}  // namespace

std::string explain(const cbpf::Checked& program, packet::LinkType link_type) {
  return Ways(program.program(), link_type).run();
}

}  // namespace weir::filter
