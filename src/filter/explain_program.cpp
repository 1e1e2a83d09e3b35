// Programs in plain words: the ways in which they accept a packet. Exports explain(Checked).
//
// Every path to a verdict other than 0 is walked, with what A and X hold written as words; a path is told as the tests
// on it, but for those that an equality before has decided. Programs with more ways than people read are told as far as
// kMostWays, and the rest counted no further.
#include <weir/filter/explain.h>

#include <algorithm>
#include <optional>

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

// What a register holds: words for it, and what its values mean.
enum class Meaning : std::uint8_t { kNumber, kPort, kEtherType, kProtocol, kIpv4, kHeaderLength };
struct Held {
  std::string words = "0";
  Meaning meaning = Meaning::kNumber;
};

// A test on a way; of comparisons with a constant also what was compared, so that later ones are decided by it.
struct Test {
  enum class Kind : std::uint8_t { kOther, kNotEqual, kBounds };
  std::string text;
  Kind kind = Kind::kOther;
  std::string words{};
  std::uint32_t low = 0;  // kNotEqual: the number
  std::uint32_t high = 0xffffffff;
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
  Ways(const cbpf::Program& program, packet::LinkType link_type) : program_(program), layout_(layout_of(link_type)) {}

  std::string run() {
    walk();
    if (ways_.empty() && steps_ < kMostSteps) return "accepts no packet\n";
    std::string out;
    if (ways_.size() == 1 && ways_[0].tests.empty())
      return fmt::format("accepts every packet{}{}\n", loads_ ? " that its loads lie in" : "", kept(ways_[0]));
    out = ways_.size() == 1 ? "accepts a packet when\n" : "accepts a packet in one of these ways:\n";
    for (std::size_t i = 0; i < ways_.size(); ++i) {
      if (ways_.size() > 1) out += fmt::format("{}.\n", i + 1);
      for (const Test& test : ways_[i].tests) out += "  - " + test.text + "\n";
      if (const std::string keeps = kept(ways_[i]); !keeps.empty()) out += " " + keeps.substr(1) + "\n";
    }
    if (more_) out += fmt::format("and in further ways, after the first {}\n", kMostWays);
    out += "a load beyond the end of the packet rejects it\n";
    return out;
  }

 private:
  struct Way {
    std::vector<Test> tests;
    std::string verdict;
  };
  struct State {
    std::size_t at = 0;
    Held a{};
    Held x{};
    std::vector<Held> scratch = std::vector<Held>(cbpf::kScratchWords);
    std::vector<Test> tests{};
  };

  static std::string kept(const Way& way) {
    return way.verdict == "262144" || way.verdict == "65535" ? "" : fmt::format(", with the verdict {}", way.verdict);
  }

  void walk() {
    std::vector<State> pending(1);
    while (!pending.empty() && ++steps_ < kMostSteps) {
      State state = std::move(pending.back());
      pending.pop_back();
      const Instruction& i = program_[state.at];
      switch (i.opcode()) {
        case Opcode::kRetK:
          if (i.k != 0) add({std::move(state.tests), std::to_string(i.k)});
          break;
        case Opcode::kRetA: return_a(state); break;
        case Opcode::kJa:
          state.at += 1 + i.k;
          pending.push_back(std::move(state));
          break;
        default:
          if ((i.code & 7) == 5) {
            branch(state, i, pending);
          } else {
            compute(state, i);
            ++state.at;
            pending.push_back(std::move(state));
          }
      }
      if (more_) return;
    }
  }

  void add(Way way) {
    if (ways_.size() == kMostWays) more_ = true;
    else ways_.push_back(std::move(way));
  }

  // The verdict is what A holds: a packet is accepted where that is not 0.
  void return_a(State& state) {
    const std::string verdict = state.a.words;
    if (verdict == "0") return;
    if (!is_number(verdict)) state.tests.push_back({.text = verdict + " is not 0"});
    add({std::move(state.tests), verdict});
  }

  static bool is_number(std::string_view words) {
    return words.find_first_not_of("0123456789") == std::string_view::npos;
  }

  static std::string test_words(const Instruction& i, const State& state, bool taken) {
    const bool indexed = (i.code & 8) != 0;
    const std::string operand = indexed ? state.x.words : value_words(i.k, state.a.meaning);
    std::string_view relation;
    switch (i.code & 0xf0) {
      case 0x10: relation = taken ? "is" : "is not"; break;
      case 0x20: relation = taken ? "is greater than" : "is at most"; break;
      case 0x30: relation = taken ? "is at least" : "is less than"; break;
      default:
        if (state.a.words == "the fragment field" && i.k == 0x1fff)
          return taken ? "it is a later fragment" : "it is no later fragment";
        return fmt::format("{} has {} the bits {}", state.a.words, taken ? "some of" : "none of", operand);
    }
    return fmt::format("{} {} {}", state.a.words, relation, operand);
  }

  // What comparisons before have left of the value in A.
  static std::pair<std::uint32_t, std::uint32_t> bounds_of(const State& state) {
    for (const Test& test : state.tests)
      if (test.kind == Test::Kind::kBounds && test.words == state.a.words) return {test.low, test.high};
    return {0, 0xffffffff};
  }

  static std::optional<bool> known(const State& state, const Instruction& i) {
    const auto [low, high] = bounds_of(state);
    switch (i.opcode()) {
      case Opcode::kJeqK:
        if (i.k < low || i.k > high) return false;
        if (low == high) return true;
        for (const Test& test : state.tests)
          if (test.kind == Test::Kind::kNotEqual && test.words == state.a.words && test.low == i.k) return false;
        return std::nullopt;
      case Opcode::kJgtK: return low > i.k ? std::optional(true) : high <= i.k ? std::optional(false) : std::nullopt;
      case Opcode::kJgeK: return low >= i.k ? std::optional(true) : high < i.k ? std::optional(false) : std::nullopt;
      default: return std::nullopt;
    }
  }

  static std::string bounds_words(const Held& value, std::uint32_t low, std::uint32_t high) {
    const std::string first = value_words(low, value.meaning);
    if (low == high) return fmt::format("{} is {}", value.words, first);
    if (high == 0xffffffff) return fmt::format("{} is at least {}", value.words, first);
    const std::string last = value_words(high, value.meaning);
    if (low == 0) return fmt::format("{} is at most {}", value.words, last);
    return fmt::format("{} is {} to {}", value.words, first, last);
  }

  // One test tells all that comparisons with constants have left of a value; what it says of its own accord is dropped.
  static void narrow(State& state, std::uint32_t low, std::uint32_t high) {
    auto& tests = state.tests;
    tests.erase(std::remove_if(tests.begin(), tests.end(),
                               [&](const Test& test) {
                                 if (test.words != state.a.words || test.kind == Test::Kind::kOther) return false;
                                 return test.kind == Test::Kind::kBounds || test.low < low || test.low > high;
                               }),
                tests.end());
    tests.push_back({bounds_words(state.a, low, high), Test::Kind::kBounds, state.a.words, low, high});
  }

  static void add_test(State& state, const Instruction& i, bool taken) {
    auto [low, high] = bounds_of(state);
    const Opcode opcode = state.a.words == "a computed value" ? Opcode::kJsetK : i.opcode();
    switch (opcode) {
      case Opcode::kJeqK:
        if (taken) return narrow(state, i.k, i.k);
        state.tests.push_back({test_words(i, state, taken), Test::Kind::kNotEqual, state.a.words, i.k, i.k});
        return;
      case Opcode::kJgtK: return taken ? narrow(state, i.k + 1, high) : narrow(state, low, i.k);
      case Opcode::kJgeK: return taken ? narrow(state, i.k, high) : narrow(state, low, i.k - 1);
      default: state.tests.push_back({.text = test_words(i, state, taken)});
    }
  }

  void branch(State& state, const Instruction& i, std::vector<State>& pending) {
    const std::optional<bool> decided = i.jt == i.jf                          ? true
                                        : state.a.words == "a computed value" ? std::nullopt
                                                                              : known(state, i);
    if (decided) {
      state.at += 1 + (*decided ? i.jt : i.jf);
      pending.push_back(std::move(state));
      return;
    }
    State otherwise = state;
    add_test(otherwise, i, false);
    otherwise.at += 1 + i.jf;
    add_test(state, i, true);
    state.at += 1 + i.jt;
    pending.push_back(std::move(otherwise));
    pending.push_back(std::move(state));
  }

  // What lies at a place, where the link type says it.
  Held field(std::uint32_t at, std::uint32_t size) const {
    static constexpr std::string_view kSizes[] = {"", "the byte", "the half-word", "", "the word"};
    const bool plain = layout_.type_field.constant != kNotThere && !layout_.type_field.variable;
    if (plain && layout_.family == LinkFamily::kEthernet && at == layout_.type_field.constant && size == 2)
      return {"the EtherType", Meaning::kEtherType};
    if (layout_.payload.constant != kNotThere && layout_.network != kNotThere && layout_.family != LinkFamily::kWlan &&
        layout_.family != LinkFamily::kPflog && at >= layout_.payload.constant + layout_.network) {
      const std::uint32_t in = at - layout_.payload.constant - layout_.network;
      if (in == 9 && size == 1) return {"the IPv4 protocol", Meaning::kProtocol};
      if (in == 6 && size == 1) return {"the IPv6 next header", Meaning::kProtocol};
      if (in == 6 && size == 2) return {"the fragment field"};
      if (in == 12 && size == 4) return {"the IPv4 source", Meaning::kIpv4};
      if (in == 16 && size == 4) return {"the IPv4 destination", Meaning::kIpv4};
      if (in == 40 && size == 2) return {"the source port (IPv6)", Meaning::kPort};
      if (in == 42 && size == 2) return {"the destination port (IPv6)", Meaning::kPort};
    }
    return {fmt::format("{} at {}", kSizes[size], at)};
  }

  Held indexed_field(const Held& x, std::uint32_t k, std::uint32_t size) const {
    if (is_number(x.words) && x.words.size() < 10)
      return field(static_cast<std::uint32_t>(std::stoul(x.words)) + k, size);
    if (x.meaning == Meaning::kHeaderLength && layout_.payload.constant != kNotThere) {
      const std::uint32_t in = k - layout_.payload.constant - layout_.network;
      if (in == 0 && size == 2) return {"the source port", Meaning::kPort};
      if (in == 2 && size == 2) return {"the destination port", Meaning::kPort};
      if (in < 60)
        return {size == 1 ? fmt::format("byte {} of the transport header", in)
                          : fmt::format("{} bytes at {} of the transport header", size, in)};
    }
    return {fmt::format("{} byte{} at {} + {}", size, size == 1 ? "" : "s", x.words, k)};
  }

  void compute(State& state, const Instruction& i) {
    if ((i.code & 7) <= 1 && (i.code & 0xe0) != 0 && (i.code & 0xe0) != 0x60 && (i.code & 0xe0) != 0x80 &&
        cbpf::find_extension(i.k) == nullptr)
      loads_ = true;
    const std::uint32_t size = (i.code & 0x18) == 0x10 ? 1 : (i.code & 0x18) == 0x08 ? 2 : 4;
    const std::string operand = (i.code & 8) != 0 ? state.x.words : value_words(i.k, state.a.meaning);
    const auto combine = [&](std::string_view sign) {
      state.a = {fmt::format("({} {} {})", state.a.words, sign, operand), state.a.meaning};
      if (state.a.words.size() > 200) state.a.words = "a computed value";
    };
    switch (i.opcode()) {
      case Opcode::kLdImmediate: state.a = {std::to_string(i.k)}; break;
      case Opcode::kLdWordAbsolute:
      case Opcode::kLdHalfAbsolute:
      case Opcode::kLdByteAbsolute:
        if (const cbpf::ExtensionInfo* info = cbpf::find_extension(i.k); info != nullptr)
          state.a = {fmt::format("what Linux knows as '{}'", info->text)};
        else state.a = field(i.k, size);
        break;
      case Opcode::kLdWordIndirect:
      case Opcode::kLdHalfIndirect:
      case Opcode::kLdByteIndirect: state.a = indexed_field(state.x, i.k, size); break;
      case Opcode::kLdScratch: state.a = state.scratch[i.k]; break;
      case Opcode::kLdLength: state.a = {"the length on the wire"}; break;
      case Opcode::kLdxImmediate: state.x = {std::to_string(i.k)}; break;
      case Opcode::kLdxScratch: state.x = state.scratch[i.k]; break;
      case Opcode::kLdxLength: state.x = {"the length on the wire"}; break;
      case Opcode::kLdxHeaderLength: state.x = {fmt::format("4 * (byte {} & 15)", i.k), Meaning::kHeaderLength}; break;
      case Opcode::kSt: state.scratch[i.k] = state.a; break;
      case Opcode::kStx: state.scratch[i.k] = state.x; break;
      case Opcode::kTax: state.x = state.a; break;
      case Opcode::kTxa: state.a = state.x; break;
      case Opcode::kNeg: state.a = {"-" + state.a.words}; break;
      default: {
        static constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "|", "&", "<<", ">>", "", "%", "^"};
        const std::size_t sign = i.code >> 4 & 0xf;
        combine(sign < std::size(kSigns) ? kSigns[sign] : "?");
      }
    }
  }

  const cbpf::Program& program_;
  Layout layout_;
  std::vector<Way> ways_;
  std::size_t steps_ = 0;
  bool more_ = false;
  bool loads_ = false;  // from the packet
};

}  // namespace

std::string explain(const cbpf::Checked& program, packet::LinkType link_type) {
  return Ways(program.program(), link_type).run();
}

}  // namespace weir::filter
