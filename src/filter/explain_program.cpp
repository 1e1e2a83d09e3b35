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
enum class Meaning : std::uint8_t { kNumber, kEtherType, kProtocol, kIpv4, kHeaderLength };
struct Held {
  std::string words = "0";
  Meaning meaning = Meaning::kNumber;
};

// A test on a way; of equalities also what was compared with what, so that a later one is decided by it.
struct Test {
  std::string text;
  std::string words{};  // empty: no equality with a constant
  std::uint32_t k = 0;
  bool equal = false;
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
    if (ways_.size() == 1 && ways_[0].tests.empty()) return fmt::format("accepts every packet{}\n", kept(ways_[0]));
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
        case Opcode::kRetA: add({std::move(state.tests), state.a.words}); break;
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

  // Whether `words == k` is known on this way.
  static std::optional<bool> known(const State& state, std::uint32_t k) {
    for (const Test& test : state.tests) {
      if (test.words != state.a.words) continue;
      if (test.equal) return test.k == k;
      if (test.k == k) return false;
    }
    return std::nullopt;
  }

  // A value that is known leaves no use for what it is not.
  static void add_test(State& state, const Instruction& i, bool taken) {
    Test test{.text = test_words(i, state, taken)};
    if (i.opcode() == Opcode::kJeqK && state.a.words != "a computed value") {
      test.words = state.a.words;
      test.k = i.k;
      test.equal = taken;
      if (taken)
        state.tests.erase(std::remove_if(state.tests.begin(), state.tests.end(),
                                         [&](const Test& other) { return other.words == test.words; }),
                          state.tests.end());
    }
    state.tests.push_back(std::move(test));
  }

  void branch(State& state, const Instruction& i, std::vector<State>& pending) {
    const std::optional<bool> decided = i.jt == i.jf                  ? true
                                        : i.opcode() == Opcode::kJeqK ? known(state, i.k)
                                                                      : std::nullopt;
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
      if (in == 40 && size == 2) return {"the source port (IPv6)"};
      if (in == 42 && size == 2) return {"the destination port (IPv6)"};
    }
    return {fmt::format("{} at {}", kSizes[size], at)};
  }

  Held indexed_field(const Held& x, std::uint32_t k, std::uint32_t size) const {
    if (x.meaning == Meaning::kHeaderLength && layout_.payload.constant != kNotThere) {
      const std::uint32_t in = k - layout_.payload.constant - layout_.network;
      if (in == 0 && size == 2) return {"the source port"};
      if (in == 2 && size == 2) return {"the destination port"};
      if (in < 60)
        return {size == 1 ? fmt::format("byte {} of the transport header", in)
                          : fmt::format("{} bytes at {} of the transport header", size, in)};
    }
    return {fmt::format("{} byte{} at {} + {}", size, size == 1 ? "" : "s", x.words, k)};
  }

  void compute(State& state, const Instruction& i) const {
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
};

}  // namespace

std::string explain(const cbpf::Checked& program, packet::LinkType link_type) {
  return Ways(program.program(), link_type).run();
}

}  // namespace weir::filter
