// Exact verdicts from a socket that only tells how many bytes are left. Exports VerdictRunner.
//
// A socket filter with verdict v lets min(v, length) bytes through. So the program itself, attached as it is, tells v
// whenever v is below the length of the packet. Where it is not, or is 0, variants of the program are asked, which
// differ in their ret instructions alone: in variant d each `ret` returns 1 + (digit d of the verdict), a number that
// fits in the packet. `ret #k` changes its constant; `ret a` becomes a jump to a common end that computes the digit. A
// load outside of the packet still drops it, and so can be told from `ret #0`. A program without `ret a` has only few
// verdicts: then the digits are those of an index into the list of its constants, and mostly one variant suffices.
// A packet of 0 or 1 bytes carries only "passed" or "dropped": one bit a variant, and one variant that always passes.
#include <weir/kernel/verdict.h>

#include <algorithm>
#include <bit>
#include <map>
#include <vector>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>

#include "kernel/datagram_pair.h"

namespace weir::kernel {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

// What a variant's ret instructions return.
struct Coding {
  std::uint32_t bits = 1;    // a digit's width
  std::uint32_t shift = 0;   // the digit begins at this bit of the symbol
  bool always = false;       // returns 1 whatever the verdict: did a ret end the program?
  std::uint32_t offset = 1;  // added to the digit; 0: a digit 0 drops
  auto operator<=>(const Coding&) const = default;
};

class Variants {
 public:
  explicit Variants(const cbpf::Program& program) : program_(program) {
    for (const Instruction& i : program) {
      if (i.opcode() == Opcode::kRetA) computed_ = true;
      if (i.opcode() == Opcode::kRetK) constants_.push_back(i.k);
    }
    std::sort(constants_.begin(), constants_.end());
    constants_.erase(std::unique(constants_.begin(), constants_.end()), constants_.end());
  }

  // Width of the symbols that stand for verdicts.
  std::uint32_t symbol_bits() const {
    if (computed_) return 32;
    return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(std::bit_width(constants_.size() - 1)));
  }

  std::uint32_t verdict_of(std::uint32_t symbol) const {
    return computed_ ? symbol : symbol < constants_.size() ? constants_[symbol] : 0;
  }

  cbpf::Program make(const Coding& coding) const {
    std::vector<Instruction> code(program_.begin(), program_.end());
    const std::uint32_t mask = (1u << coding.bits) - 1;
    for (std::size_t at = 0; at < code.size(); ++at) {
      Instruction& i = code[at];
      if (i.opcode() == Opcode::kRetK) {
        i.k = coding.always ? 1 : ((symbol_of(i.k) >> coding.shift) & mask) + coding.offset;
      } else if (i.opcode() == Opcode::kRetA) {
        if (coding.always) i = cbpf::make(Opcode::kRetK, 1);
        else i = cbpf::make(Opcode::kJa, static_cast<std::uint32_t>(program_.size() - at - 1));
      }
    }
    if (computed_ && !coding.always) {
      code.push_back(cbpf::make(Opcode::kRshK, coding.shift));
      code.push_back(cbpf::make(Opcode::kAndK, mask));
      code.push_back(cbpf::make(Opcode::kAddK, coding.offset));
      code.push_back(cbpf::make(Opcode::kRetA));
    }
    return cbpf::Program(std::move(code));
  }

 private:
  std::uint32_t symbol_of(std::uint32_t verdict) const {
    if (computed_) return verdict;
    const auto found = std::lower_bound(constants_.begin(), constants_.end(), verdict);
    return static_cast<std::uint32_t>(found - constants_.begin());
  }

  const cbpf::Program& program_;
  std::vector<std::uint32_t> constants_;
  bool computed_ = false;  // it has a `ret a`
};

// Loads whose value a socket pair's packets do not have, or not the same one twice.
std::string_view unsuitable(const Instruction& i) {
  const cbpf::OpcodeInfo* info = cbpf::find(i.code);
  if (info == nullptr) return "";
  const bool absolute = info->shape == cbpf::OperandShape::kAbsolute;
  if (absolute && i.k >= cbpf::kExtensionBase) {
    switch (static_cast<cbpf::Extension>(i.k - cbpf::kExtensionBase)) {
      case cbpf::Extension::kInterfaceIndex:
      case cbpf::Extension::kHardwareType: return "the network device";
      case cbpf::Extension::kCpu: return "the number of the CPU";
      case cbpf::Extension::kRandom: return "a random number";
      case cbpf::Extension::kPayloadOffset: return "where the payload begins";
      default: return "";
    }
  }
  const bool loads =
      absolute || info->shape == cbpf::OperandShape::kIndirect || info->shape == cbpf::OperandShape::kHeaderLength;
  if (loads && i.k >= cbpf::kLinkLayerOffset && i.k < cbpf::kExtensionBase)
    return "bytes relative to a network or link-layer header";
  return "";
}

}  // namespace

class VerdictRunner::State {
 public:
  explicit State(const cbpf::Program& program) : program_(program), variants_(program_) {}

  Status prepare() {
    WEIR_TRY(DatagramPair itself, DatagramPair::create(program_));
    itself_ = std::make_unique<DatagramPair>(std::move(itself));
    return {};
  }

  Result<Verdict> run(ByteSpan packet) {
    WEIR_TRY(const std::optional<std::uint32_t> kept, itself_->pass(packet));
    const auto length = static_cast<std::uint32_t>(packet.size());
    if (!kept) return dropped(packet);
    if (*kept < length) return Verdict{*kept, false};
    return passed(packet);
  }

 private:
  Result<Verdict> dropped(ByteSpan packet) {
    WEIR_TRY(const std::optional<std::uint32_t> explicit_end, ask({.bits = 1, .always = true}, packet));
    return Verdict{0, !explicit_end};
  }

  // The verdict is at least the length: read it digit by digit.
  Result<Verdict> passed(ByteSpan packet) {
    const std::uint32_t total = variants_.symbol_bits();
    const bool single = packet.size() < 2;
    // The widest digit whose largest value, plus 1, fits in the packet; from a short list, so that few variants exist.
    std::uint32_t bits = 1;
    for (const std::uint32_t wide : {2u, 4u, 8u})
      if (packet.size() >= (std::size_t{1} << wide)) bits = wide;
    std::uint32_t symbol = 0;
    for (std::uint32_t shift = 0; shift < total; shift += bits) {
      const Coding coding{.bits = bits, .shift = shift, .always = false, .offset = single ? 0u : 1u};
      WEIR_TRY(const std::optional<std::uint32_t> kept, ask(coding, packet));
      const std::uint32_t digit = single ? (kept ? 1 : 0) : kept.value_or(0) - 1;
      if (!single && !kept) return disagreement();
      symbol |= digit << shift;
    }
    const std::uint32_t verdict = variants_.verdict_of(symbol);
    if (verdict < packet.size()) return disagreement();
    return Verdict{verdict, false};
  }

  static tl::unexpected<Error> disagreement() {
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "the kernel gave one packet different verdicts",
                      .hint = "the program reads something that changes between packets"});
  }

  Result<std::optional<std::uint32_t>> ask(const Coding& coding, ByteSpan packet) {
    std::unique_ptr<DatagramPair>& pair = pairs_[coding];
    if (!pair) {
      const cbpf::Program variant = variants_.make(coding);
      if (variant.size() > cbpf::kMaximumLength)
        return fail(
            Error{.code = ErrorCode::kLimit,
                  .message = fmt::format("exact verdicts of 'ret a' need 4 instructions more than the program's "
                                         "{}, and the kernel takes {}",
                                         program_.size(), cbpf::kMaximumLength)});
      WEIR_TRY(DatagramPair made, DatagramPair::create(variant));
      pair = std::make_unique<DatagramPair>(std::move(made));
    }
    return pair->pass(packet);
  }

  cbpf::Program program_;
  Variants variants_;
  std::unique_ptr<DatagramPair> itself_;
  std::map<Coding, std::unique_ptr<DatagramPair>> pairs_;
};

VerdictRunner::VerdictRunner(std::unique_ptr<State> state) : state_(std::move(state)) {}
VerdictRunner::VerdictRunner(VerdictRunner&&) noexcept = default;
VerdictRunner& VerdictRunner::operator=(VerdictRunner&&) noexcept = default;
VerdictRunner::~VerdictRunner() = default;

Result<VerdictRunner> VerdictRunner::create(const cbpf::Checked& program) {
  const cbpf::Program& code = program.program();
  if (code.size() > cbpf::kMaximumLength)
    return fail(
        Error{.code = ErrorCode::kLimit,
              .message = fmt::format("the program has {} instructions, and the kernel takes {} of a classic one",
                                     code.size(), cbpf::kMaximumLength)});
  for (std::uint32_t at = 0; at < code.size(); ++at)
    if (const std::string_view what = unsuitable(code[at]); !what.empty())
      return fail(
          Error{.code = ErrorCode::kUnsupported,
                .message = fmt::format("the program reads {}, which packets of a socket pair do not have", what),
                .place = InstructionPlace{at}});
  auto state = std::make_unique<State>(code);
  WEIR_CHECK(state->prepare());
  return VerdictRunner(std::move(state));
}

Result<Verdict> VerdictRunner::run(ByteSpan packet) { return state_->run(packet); }

}  // namespace weir::kernel
