// The choice of an engine. Exports load, the names of engines, and Engine::match.
#include <weir/engine/engine.h>

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weir/base/suggest.h>
#include <weir/flow/emit.h>

#include "engine/batch_x86.h"
#include "engine/interpreter.h"
#include "engine/machine_code.h"
#include "engine/plan_builder.h"
#include "engine/scalar_a64.h"
#include "engine/scalar_x86.h"

namespace weir::engine {
namespace {

constexpr KindInfo kKinds[] = {
    {Kind::kAutomatic, "auto", "the cheapest for the work at hand"},
    {Kind::kInterpreter, "interpreter", "every machine, nothing to compile"},
    {Kind::kScalar, "scalar", "machine code, one packet after another"},
    {Kind::kAvx2, "avx2", "machine code, eight packets a step"},
    {Kind::kAvx512, "avx512", "machine code, sixteen packets a step"},
};

// Making scalar code takes some 8 to 15 us and saves some 5 ns a packet; vector code takes 60 to 150 us and saves 2
// more.
constexpr std::uint64_t kPacketsWorthScalar = 3000;
constexpr std::uint64_t kPacketsWorthLanes = 30000;

bool runs(Kind kind, const CpuFeatures& features) {
  switch (kind) {
    case Kind::kAutomatic:
    case Kind::kInterpreter: return true;
    case Kind::kScalar: return features.x86_64 || features.aarch64;
    case Kind::kAvx2: return features.x86_64 && features.avx2;
    case Kind::kAvx512: return features.x86_64 && features.avx512;
  }
  return false;
}

tl::unexpected<Error> unsupported(Kind kind, ErrorCode code) {
  const std::string why = kind == Kind::kAvx512 ? "this processor has no AVX-512 (F, BW, DQ and VL)"
                          : kind == Kind::kAvx2 ? "this processor has no AVX2"
                                                : "no machine code is made for this processor";
  return fail(Error{.code = code,
                    .message = why + ": the engine '" + std::string(name_of(kind)) + "' does not run here",
                    .hint = "--engine=auto takes the fastest that does"});
}

// kind: one that makes machine code. any_length: see make_scalar_x86.
Result<std::unique_ptr<Engine>> make_machine_code(Kind kind, Plan plan, std::unique_ptr<Engine> any_length,
                                                  const LoadOptions& options) {
  const CpuFeatures& features = options.features;
  if (!runs(kind, features)) return unsupported(kind, ErrorCode::kUnsupported);
  if (kind == Kind::kScalar && features.aarch64) return make_scalar_a64(std::move(plan));
  if (kind == Kind::kScalar) return make_scalar_x86(std::move(plan), std::move(any_length), options.marks);
  return make_batch_x86(std::move(plan), std::move(any_length),
                        {.wide = kind == Kind::kAvx512, .fast_gather = features.fast_gather, .marks = options.marks});
}

// The kind that suits the work best.
Kind choose(const LoadOptions& options) {
  if (options.kind != Kind::kAutomatic) return options.kind;
  if (options.expected_packets < kPacketsWorthScalar) return Kind::kInterpreter;
  if (options.expected_packets >= kPacketsWorthLanes)
    for (const Kind lanes : {Kind::kAvx512, Kind::kAvx2})
      if (runs(lanes, options.features)) return lanes;
  return runs(Kind::kScalar, options.features) ? Kind::kScalar : Kind::kInterpreter;
}

}  // namespace

std::span<const KindInfo> kinds() { return kKinds; }

std::string_view name_of(Kind kind) { return kKinds[static_cast<std::size_t>(kind)].name; }

Result<Kind> read_kind(std::string_view name, const CpuFeatures& features) {
  std::vector<std::string_view> names;
  std::string all;
  for (const KindInfo& info : kKinds) {
    if (info.name == name && !runs(info.kind, features)) return unsupported(info.kind, ErrorCode::kUsage);
    if (info.name == name) return info.kind;
    names.push_back(info.name);
    all += (all.empty() ? "" : ", ") + std::string(info.name);
  }
  std::string hint = did_you_mean(name, names);
  if (hint.empty()) hint = "engines: " + all;
  return fail(Error{
      .code = ErrorCode::kUsage, .message = "there is no engine '" + std::string(name) + "'", .hint = std::move(hint)});
}

std::size_t Engine::match(const packet::Columns& columns, std::span<std::uint64_t> bits) const {
  constexpr std::size_t kChunk = 1024;  // verdicts stay in the first cache
  std::uint32_t verdicts[kChunk];
  std::size_t matched = 0;
  for (std::size_t begin = 0; begin < columns.count; begin += kChunk) {
    const packet::Columns chunk = part_of(columns, begin, std::min(kChunk, columns.count - begin));
    run(chunk, std::span(verdicts, chunk.count));
    for (std::size_t i = 0; i < chunk.count; i += 64) {
      std::uint64_t word = 0;
      const std::size_t end = std::min<std::size_t>(64, chunk.count - i);
      for (std::size_t bit = 0; bit < end; ++bit) word |= std::uint64_t{verdicts[i + bit] != 0} << bit;
      bits[(begin + i) / 64] = word;
      matched += static_cast<std::size_t>(std::popcount(word));
    }
  }
  return matched;
}

Result<std::unique_ptr<Engine>> load(const cbpf::Checked& program, const LoadOptions& options) {
  const Kind kind = choose(options);
  if (kind == Kind::kInterpreter) return make_interpreter(program);
  auto engine = make_machine_code(kind, plan_of(program.program()), make_interpreter(program), options);
  if (!engine && options.kind == Kind::kAutomatic) return make_interpreter(program);
  return engine;
}

Result<std::unique_ptr<Engine>> load(const flow::Graph& graph, const LoadOptions& options) {
  const Kind kind = choose(options);
  if (kind != Kind::kInterpreter) {
    if (std::optional<Plan> plan = plan_of(graph)) {
      auto engine = make_machine_code(kind, std::move(*plan), nullptr, options);
      if (engine || options.kind != Kind::kAutomatic) return engine;
    }
  }
  WEIR_TRY(cbpf::Program program, flow::emit(graph));
  WEIR_TRY(const cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
  return load(checked, options);
}

}  // namespace weir::engine
