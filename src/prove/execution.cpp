// Symbolic execution. Exports SymbolicPacket, furthest_load and execute.
#include "prove/execution.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace weir::prove {

using cbpf::Instruction;
using cbpf::Opcode;

SymbolicPacket::SymbolicPacket(Circuit& circuit, Solver& solver, std::uint32_t longest)
    : circuit_(circuit), solver_(solver), longest_(longest) {
  for (std::uint32_t i = 0; i < longest; ++i) {
    captured_.push_back(circuit.input());
    if (i > 0) solver.add({negated(captured_[i]), captured_[i - 1]});
  }
}

Literal SymbolicPacket::holds(std::uint32_t bytes) const {
  if (bytes == 0) return circuit_.yes();
  return bytes <= longest_ ? captured_[bytes - 1] : circuit_.no();
}

const std::array<Literal, 8>& SymbolicPacket::byte(std::uint32_t at) {
  const auto [entry, made] = bytes_.try_emplace(at);
  if (made)
    for (Literal& bit : entry->second) bit = circuit_.input();
  return entry->second;
}

Word SymbolicPacket::load(std::uint32_t at, std::uint32_t size) {
  Word out = circuit_.constant(0);
  for (std::uint32_t i = 0; i < size; ++i) {
    const std::array<Literal, 8>& bits = byte(at + i);
    std::copy(bits.begin(), bits.end(), out.begin() + 8 * (size - 1 - i));
  }
  return out;
}

// Never less than what was captured.
const Word& SymbolicPacket::wire_length() {
  if (wire_) return *wire_;
  Word length;
  for (Literal& bit : length) bit = circuit_.input();
  for (std::uint32_t i = 0; i < longest_; ++i)
    solver_.add({negated(captured_[i]), circuit_.less(circuit_.constant(i), length)});
  return wire_.emplace(length);
}

// Any value that Linux may give: narrow fields are narrow.
const Word& SymbolicPacket::beside(std::uint32_t extension) {
  const auto [entry, made] = beside_.try_emplace(extension);
  if (!made) return entry->second;
  std::size_t bits = 32;
  switch (static_cast<cbpf::Extension>(extension)) {
    case cbpf::Extension::kVlanPresent: bits = 1; break;
    case cbpf::Extension::kType: bits = 3; break;
    case cbpf::Extension::kProtocol:
    case cbpf::Extension::kQueue:
    case cbpf::Extension::kHardwareType:
    case cbpf::Extension::kVlanTci:
    case cbpf::Extension::kVlanProtocol: bits = 16; break;
    default: break;
  }
  for (std::size_t i = 0; i < 32; ++i) entry->second[i] = i < bits ? circuit_.input() : circuit_.no();
  return entry->second;
}

namespace {

bool is_branch(Opcode opcode) { return (static_cast<unsigned>(opcode) & 7) == 5 && opcode != Opcode::kJa; }
bool is_return(Opcode opcode) { return opcode == Opcode::kRetK || opcode == Opcode::kRetA; }

std::uint32_t load_size(Opcode opcode) {
  switch (static_cast<unsigned>(opcode) & 0x18) {
    case 0x00: return 4;
    case 0x08: return 2;
    default: return 1;
  }
}

// Registers as bits: A 1, X 2, M[i] 4 << i.
constexpr std::uint32_t kA = 1;
constexpr std::uint32_t kX = 2;
constexpr std::uint32_t word(std::uint32_t i) { return 4u << i; }

struct Effect {
  std::uint32_t reads = 0;
  std::uint32_t writes = 0;
};
Effect effect_of(const Instruction& i) {
  switch (i.opcode()) {
    case Opcode::kLdImmediate:
    case Opcode::kLdLength:
    case Opcode::kLdWordAbsolute:
    case Opcode::kLdHalfAbsolute:
    case Opcode::kLdByteAbsolute: return {i.k == cbpf::kExtensionBase + 40 ? kA | kX : 0, kA};
    case Opcode::kLdWordIndirect:
    case Opcode::kLdHalfIndirect:
    case Opcode::kLdByteIndirect: return {kX, kA};
    case Opcode::kLdScratch: return {word(i.k), kA};
    case Opcode::kLdxImmediate:
    case Opcode::kLdxLength:
    case Opcode::kLdxHeaderLength: return {0, kX};
    case Opcode::kLdxScratch: return {word(i.k), kX};
    case Opcode::kSt: return {kA, word(i.k)};
    case Opcode::kStx: return {kX, word(i.k)};
    case Opcode::kTax: return {kA, kX};
    case Opcode::kTxa: return {kX, kA};
    case Opcode::kRetA: return {kA, 0};
    case Opcode::kRetK:
    case Opcode::kJa: return {};
    default: break;
  }
  const std::uint32_t reads = kA | ((i.code & 8) != 0 ? kX : 0);
  return {reads, is_branch(i.opcode()) ? 0 : kA};
}

std::vector<std::uint32_t> live_before(const cbpf::Program& program) {
  std::vector<std::uint32_t> live(program.size() + 1, 0);
  for (std::size_t at = program.size(); at-- > 0;) {
    const Instruction& i = program[at];
    std::uint32_t after = 0;
    if (is_branch(i.opcode())) after = live[at + 1 + i.jt] | live[at + 1 + i.jf];
    else if (i.opcode() == Opcode::kJa) after = live[at + 1 + i.k];
    else if (!is_return(i.opcode())) after = live[at + 1];
    const Effect effect = effect_of(i);
    live[at] = (after & ~effect.writes) | effect.reads;
  }
  return live;
}

// Unsigned bounds of registers.
struct Bounds {
  static constexpr std::uint64_t kMost = 0xffffffff;
  std::array<std::uint64_t, 18> most{};  // A, X, M[0..15]

  void join(const Bounds& other) {
    for (std::size_t i = 0; i < most.size(); ++i) most[i] = std::max(most[i], other.most[i]);
  }
};

std::uint64_t bound_of(const Instruction& i, const Bounds& before) {
  const std::uint64_t a = before.most[0];
  const std::uint64_t b = (i.code & 8) != 0 ? before.most[1] : i.k;
  const std::uint64_t kMost = Bounds::kMost;
  switch (i.opcode()) {
    case Opcode::kAddK:
    case Opcode::kAddX: return a + b > kMost ? kMost : a + b;
    case Opcode::kMulK:
    case Opcode::kMulX: return a != 0 && b > kMost / a ? kMost : a * b;
    case Opcode::kLshK: return a << (i.k & 31) > kMost ? kMost : a << (i.k & 31);
    case Opcode::kRshK: return a >> (i.k & 31);
    case Opcode::kRshX:
    case Opcode::kDivX: return a;
    case Opcode::kDivK: return a / std::max<std::uint64_t>(b, 1);
    case Opcode::kModK: return std::min(a, b == 0 ? 0 : b - 1);
    case Opcode::kModX: return a;
    case Opcode::kAndK:
    case Opcode::kAndX: return std::min(a, b);
    case Opcode::kOrK:
    case Opcode::kOrX:
    case Opcode::kXorK:
    case Opcode::kXorX: {
      std::uint64_t all = a | b;
      for (int shift = 1; shift < 32; shift *= 2) all |= all >> shift;
      return all;
    }
    default: return kMost;
  }
}

}  // namespace

std::uint64_t furthest_load(const cbpf::Program& program) {
  std::vector<std::optional<Bounds>> at_start(program.size() + 1);
  at_start[0].emplace();
  std::uint64_t furthest = 0;
  const auto flow_to = [&](std::size_t target, const Bounds& bounds) {
    if (at_start[target]) at_start[target]->join(bounds);
    else at_start[target] = bounds;
  };
  for (std::size_t at = 0; at < program.size(); ++at) {
    if (!at_start[at]) continue;
    const Instruction& i = program[at];
    Bounds bounds = *at_start[at];
    std::uint64_t& a = bounds.most[0];
    std::uint64_t& x = bounds.most[1];
    switch (i.opcode()) {
      case Opcode::kLdImmediate: a = i.k; break;
      case Opcode::kLdWordAbsolute:
      case Opcode::kLdHalfAbsolute:
      case Opcode::kLdByteAbsolute:
        a = load_size(i.opcode()) == 4 || i.k >= cbpf::kLinkLayerOffset ? Bounds::kMost
            : load_size(i.opcode()) == 2                                ? 0xffff
                                                                        : 0xff;
        if (i.k < cbpf::kLinkLayerOffset) furthest = std::max<std::uint64_t>(furthest, i.k + load_size(i.opcode()));
        break;
      case Opcode::kLdWordIndirect:
      case Opcode::kLdHalfIndirect:
      case Opcode::kLdByteIndirect: {
        const std::uint32_t size = load_size(i.opcode());
        furthest = std::max(furthest, x + i.k + size);
        a = size == 4 ? Bounds::kMost : size == 2 ? 0xffff : 0xff;
        break;
      }
      case Opcode::kLdScratch: a = bounds.most[2 + i.k]; break;
      case Opcode::kLdLength: a = Bounds::kMost; break;
      case Opcode::kLdxImmediate: x = i.k; break;
      case Opcode::kLdxScratch: x = bounds.most[2 + i.k]; break;
      case Opcode::kLdxLength: x = Bounds::kMost; break;
      case Opcode::kLdxHeaderLength:
        x = 60;
        furthest = std::max<std::uint64_t>(furthest, std::uint64_t{i.k} + 1);
        break;
      case Opcode::kSt: bounds.most[2 + i.k] = a; break;
      case Opcode::kStx: bounds.most[2 + i.k] = x; break;
      case Opcode::kTax: x = a; break;
      case Opcode::kTxa: a = x; break;
      case Opcode::kJa: flow_to(at + 1 + i.k, bounds); continue;
      case Opcode::kRetK:
      case Opcode::kRetA: continue;
      default:
        if (is_branch(i.opcode())) {
          flow_to(at + 1 + i.jt, bounds);
          flow_to(at + 1 + i.jf, bounds);
          continue;
        }
        a = bound_of(i, bounds);
    }
    flow_to(at + 1, bounds);
  }
  return furthest;
}

namespace {

struct State {
  std::array<Word, 18> words;  // A, X, M[0..15]
};

class Machine {
 public:
  Machine(const cbpf::Program& program, Circuit& circuit, SymbolicPacket& packet)
      : program_(program),
        circuit_(circuit),
        packet_(packet),
        live_(live_before(program)),
        coming_(program.size() + 1) {
    verdict_ = circuit.constant(0);
  }

  Result<std::optional<Execution>> run(const Solver& solver, const Limits& limits) {
    auto start = std::make_shared<State>();
    start->words.fill(circuit_.constant(0));
    coming_[0].push_back({circuit_.yes(), start});
    for (std::size_t at = 0; at < program_.size(); ++at) {
      if (coming_[at].empty()) continue;
      if (solver.variables() > limits.variables || Solver::Clock::now() > limits.deadline) return std::nullopt;
      arrive(at);
      if (!step(at))
        return fail(Error{.code = ErrorCode::kUnsupported,
                          .message = "what this load gives is not a function of the packet",
                          .place = InstructionPlace{static_cast<std::uint32_t>(at)}});
    }
    return std::optional(Execution{circuit_.any(verdict_), verdict_});
  }

 private:
  struct Arrival {
    Literal condition;
    std::shared_ptr<const State> state;
  };

  // Joins the ways on which an instruction is reached. They exclude each other.
  void arrive(std::size_t at) {
    std::vector<Arrival>& arrivals = coming_[at];
    reached_ = arrivals[0].condition;
    state_ = *arrivals[0].state;
    for (std::size_t i = 1; i < arrivals.size(); ++i) {
      const Arrival& other = arrivals[i];
      for (std::size_t r = 0; r < state_.words.size(); ++r)
        if ((live_[at] >> r & 1) != 0 && other.state->words[r] != state_.words[r])
          state_.words[r] = circuit_.choose(other.condition, other.state->words[r], state_.words[r]);
      reached_ = circuit_.either(reached_, other.condition);
    }
    arrivals.clear();
    arrivals.shrink_to_fit();
  }

  void go(std::size_t target, Literal condition, const std::shared_ptr<const State>& state) {
    if (condition != circuit_.no()) coming_[target].push_back({condition, state});
  }

  void end(const Word& verdict) {
    for (std::size_t bit = 0; bit < 32; ++bit)
      verdict_[bit] = circuit_.either(verdict_[bit], circuit_.both(reached_, verdict[bit]));
  }

  // A load at a known or computed place; beyond the packet the program ends.
  Word load(const Word& index, std::uint32_t k, std::uint32_t size, bool indexed) {
    if (!indexed) {
      if (k > packet_.longest() || k + size > packet_.longest()) {
        reached_ = circuit_.no();
        return circuit_.constant(0);
      }
      reached_ = circuit_.both(reached_, packet_.holds(k + size));
      return packet_.load(k, size);
    }
    const Word address = circuit_.add(index, circuit_.constant(k));
    Word out = circuit_.constant(0);
    Literal inside = circuit_.no();
    for (std::uint32_t at = 0; at + size <= packet_.longest(); ++at) {
      const Literal here = circuit_.equal(address, circuit_.constant(at));
      if (here == circuit_.no()) continue;
      inside = circuit_.either(inside, circuit_.both(here, packet_.holds(at + size)));
      const Word value = packet_.load(at, size);
      for (std::size_t bit = 0; bit < 8 * size; ++bit)
        out[bit] = circuit_.either(out[bit], circuit_.both(here, value[bit]));
    }
    reached_ = circuit_.both(reached_, inside);
    return out;
  }

  bool load_absolute(const Instruction& i) {
    if (i.k >= cbpf::kExtensionBase) {
      const auto extension = static_cast<cbpf::Extension>(i.k - cbpf::kExtensionBase);
      switch (extension) {
        case cbpf::Extension::kXorX: a() = circuit_.differ(a(), x()); return true;
        case cbpf::Extension::kNetlinkAttribute:
        case cbpf::Extension::kNetlinkNested:
        case cbpf::Extension::kPayloadOffset:
        case cbpf::Extension::kRandom: return false;
        default: a() = packet_.beside(i.k - cbpf::kExtensionBase); return true;
      }
    }
    if (i.k >= cbpf::kLinkLayerOffset) return false;
    a() = load(a(), i.k, load_size(i.opcode()), false);
    return true;
  }

  void divide(const Word& divisor, bool remainder) {
    reached_ = circuit_.both(reached_, circuit_.any(divisor));
    Word quotient = circuit_.constant(0);
    Word rest = circuit_.constant(0);
    circuit_.divide(a(), divisor, quotient, rest);
    a() = remainder ? rest : quotient;
  }

  void branch(std::size_t at, Literal condition) {
    const Instruction& i = program_[at];
    const auto state = std::make_shared<const State>(state_);
    go(at + 1 + i.jt, circuit_.both(reached_, condition), state);
    go(at + 1 + i.jf, circuit_.both(reached_, negated(condition)), state);
  }

  Word& a() { return state_.words[0]; }
  Word& x() { return state_.words[1]; }

  // False where the instruction is no function of the packet.
  bool step(std::size_t at) {
    const Instruction& i = program_[at];
    const Word operand = (i.code & 8) != 0 ? x() : circuit_.constant(i.k);
    switch (i.opcode()) {
      case Opcode::kLdImmediate: a() = circuit_.constant(i.k); break;
      case Opcode::kLdWordAbsolute:
      case Opcode::kLdHalfAbsolute:
      case Opcode::kLdByteAbsolute:
        if (!load_absolute(i)) return false;
        break;
      case Opcode::kLdWordIndirect:
      case Opcode::kLdHalfIndirect:
      case Opcode::kLdByteIndirect: a() = load(x(), i.k, load_size(i.opcode()), true); break;
      case Opcode::kLdScratch: a() = state_.words[2 + i.k]; break;
      case Opcode::kLdLength: a() = packet_.wire_length(); break;
      case Opcode::kLdxImmediate: x() = circuit_.constant(i.k); break;
      case Opcode::kLdxScratch: x() = state_.words[2 + i.k]; break;
      case Opcode::kLdxLength: x() = packet_.wire_length(); break;
      case Opcode::kLdxHeaderLength: {
        const Word byte = load(x(), i.k, 1, false);
        x() = circuit_.constant(0);
        for (std::size_t bit = 0; bit < 4; ++bit) x()[bit + 2] = byte[bit];
        break;
      }
      case Opcode::kSt: state_.words[2 + i.k] = a(); break;
      case Opcode::kStx: state_.words[2 + i.k] = x(); break;
      case Opcode::kAddK:
      case Opcode::kAddX: a() = circuit_.add(a(), operand); break;
      case Opcode::kSubK:
      case Opcode::kSubX: a() = circuit_.subtract(a(), operand); break;
      case Opcode::kMulK:
      case Opcode::kMulX: a() = circuit_.multiply(a(), operand); break;
      case Opcode::kDivK:
      case Opcode::kDivX: divide(operand, false); break;
      case Opcode::kModK:
      case Opcode::kModX: divide(operand, true); break;
      case Opcode::kOrK:
      case Opcode::kOrX: a() = circuit_.either(a(), operand); break;
      case Opcode::kAndK:
      case Opcode::kAndX: a() = circuit_.both(a(), operand); break;
      case Opcode::kXorK:
      case Opcode::kXorX: a() = circuit_.differ(a(), operand); break;
      case Opcode::kLshK:
      case Opcode::kLshX: a() = circuit_.shift_left(a(), operand); break;
      case Opcode::kRshK:
      case Opcode::kRshX: a() = circuit_.shift_right(a(), operand); break;
      case Opcode::kNeg: a() = circuit_.subtract(circuit_.constant(0), a()); break;
      case Opcode::kTax: x() = a(); break;
      case Opcode::kTxa: a() = x(); break;
      case Opcode::kJa: go(at + 1 + i.k, reached_, std::make_shared<const State>(state_)); return true;
      case Opcode::kJeqK:
      case Opcode::kJeqX: branch(at, circuit_.equal(a(), operand)); return true;
      case Opcode::kJgtK:
      case Opcode::kJgtX: branch(at, circuit_.less(operand, a())); return true;
      case Opcode::kJgeK:
      case Opcode::kJgeX: branch(at, negated(circuit_.less(a(), operand))); return true;
      case Opcode::kJsetK:
      case Opcode::kJsetX: branch(at, circuit_.any(circuit_.both(a(), operand))); return true;
      case Opcode::kRetK: end(circuit_.constant(i.k)); return true;
      case Opcode::kRetA: end(a()); return true;
    }
    go(at + 1, reached_, std::make_shared<const State>(state_));
    return true;
  }

  const cbpf::Program& program_;
  Circuit& circuit_;
  SymbolicPacket& packet_;
  std::vector<std::uint32_t> live_;
  std::vector<std::vector<Arrival>> coming_;
  Literal reached_ = 0;
  State state_{};
  Word verdict_{};
};

}  // namespace

Result<std::optional<Execution>> execute(const cbpf::Program& program, Circuit& circuit, SymbolicPacket& packet,
                                         const Solver& solver, const Limits& limits) {
  return Machine(program, circuit, packet).run(solver, limits);
}

}  // namespace weir::prove
