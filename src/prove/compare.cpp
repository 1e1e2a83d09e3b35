// Two programs, one packet, one question. Exports compare.
#include <weir/prove/compare.h>

#include <algorithm>

#include <fmt/format.h>

#include "prove/execution.h"

namespace weir::prove {
namespace {

constexpr std::size_t kMostInstructions = 65536;
constexpr std::size_t kMostVariables = 4'000'000;  // about a gigabyte

std::uint32_t value_of(const Solver& solver, const Word& word) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 32; ++i) out |= static_cast<std::uint32_t>(solver.value(word[i])) << i;
  return out;
}

Witness read_witness(const Solver& solver, SymbolicPacket& packet) {
  Witness out;
  std::uint32_t length = 0;
  while (length < packet.longest() && solver.value(packet.holds(length + 1))) ++length;
  out.bytes.resize(length);
  for (std::uint32_t i = 0; i < length; ++i)
    out.bytes[i] = packet.is_loaded(i) ? static_cast<std::uint8_t>(value_of(solver, packet.load(i, 1))) : 0;
  out.wire_length = packet.uses_wire_length() ? value_of(solver, packet.wire_length()) : length;
  for (const auto& [extension, word] : packet.all_beside()) out.beside.push_back({extension, value_of(solver, word)});
  return out;
}

}  // namespace

Result<Comparison> compare(const cbpf::Checked& a, const cbpf::Checked& b, const CompareOptions& options) {
  for (const cbpf::Checked* program : {&a, &b})
    if (program->program().size() > kMostInstructions)
      return fail(
          Error{.code = ErrorCode::kLimit,
                .message = fmt::format("programs of more than {} instructions are not compared", kMostInstructions)});
  const std::uint64_t needed = std::max(furthest_load(a.program()), furthest_load(b.program()));
  using Clock = Solver::Clock;
  const Clock::time_point start = Clock::now();
  const bool timed = options.timeout < std::chrono::hours(24 * 365);
  const Clock::time_point deadline = timed ? start + options.timeout : Clock::time_point::max();
  Comparison out;
  out.covered = static_cast<std::uint32_t>(std::min<std::uint64_t>(needed, options.longest));
  Solver solver;
  Circuit circuit(solver);
  SymbolicPacket packet(circuit, solver, out.covered);
  const Limits limits{.deadline = deadline, .variables = kMostVariables};
  const auto executed = [&](const cbpf::Checked& program, const char* name) {
    return execute(program.program(), circuit, packet, solver, limits).map_error([&](Error error) {
      error.source = name;
      return error;
    });
  };
  WEIR_TRY(const std::optional<Execution> first, executed(a, "the first program"));
  WEIR_TRY(const std::optional<Execution> second, executed(b, "the second program"));
  if (!first || !second) {
    out.too_large = solver.variables() > kMostVariables;
    return out;
  }
  const Literal differs = options.exact ? circuit.any(circuit.differ(first->verdict, second->verdict))
                                        : circuit.differ(first->accepted, second->accepted);
  solver.add({differs});
  // Shorter and shorter packets, until there is none.
  for (;;) {
    const Outcome outcome = solver.solve(options.patience, deadline);
    if (outcome == Outcome::kGaveUp) {
      out.verdict = Verdict::kUndecided;
      return out;
    }
    if (outcome == Outcome::kUnsatisfiable) {
      if (out.witness) out.verdict = Verdict::kDifferent;
      else out.verdict = needed > out.covered ? Verdict::kSameSoFar : Verdict::kSame;
      return out;
    }
    out.witness = read_witness(solver, packet);
    const auto length = static_cast<std::uint32_t>(out.witness->bytes.size());
    if (length == 0) {
      out.verdict = Verdict::kDifferent;
      return out;
    }
    solver.add({negated(packet.holds(length))});
  }
}

}  // namespace weir::prove
