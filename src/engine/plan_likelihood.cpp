// Guesses about traffic. Exports likelihood.
#include "engine/plan_likelihood.h"

#include <algorithm>

#include "engine/plan_values.h"

namespace weir::engine {
namespace {

using flow::Condition;
using flow::Op;

constexpr std::uint32_t kLastTypeOffset = 20;  // of an Ethernet type, behind two tags

float of_ethernet_type(std::uint32_t type) { return type == 0x0800 ? 0.88F : type == 0x86dd ? 0.08F : 0.03F; }

float of_transport(std::uint32_t protocol) { return protocol == 6 ? 0.65F : protocol == 17 ? 0.25F : 0.05F; }

float of_equal(const Node& load, std::uint32_t mask, std::uint32_t value) {
  const bool fixed = load.a == kNothing;
  if (load.size == 2 && fixed && load.k <= kLastTypeOffset) return of_ethernet_type(value);
  if (load.size == 1 && fixed && mask == 0xff) return of_transport(value);
  if (load.size == 4 && (mask & 0xff) == 0xff && mask >> 16 != 0xffff) return of_transport(value & 0xff);
  return load.size == 1 ? 0.3F : load.size == 2 ? 0.1F : 0.05F;
}

}  // namespace

float likelihood(const Plan& plan, const PlanBlock& block) {
  const Node& left = plan[block.lhs];
  if (block.kind == flow::ExitKind::kSet) {
    const bool is_type = left.op == Op::kLoad && left.size == 2 && left.a == kNothing && left.k <= kLastTypeOffset;
    if (!is_type) return 0.15F;
    const auto& set = plan.sets[block.set];
    const bool has_ip = std::any_of(
        set.begin(), set.end(), [](const flow::Range& range) { return range.first <= 0x800 && 0x800 <= range.last; });
    return has_ip ? 0.9F : 0.1F;
  }
  const RawTest raw = raw_test(plan, block);
  if (raw.load == kNothing) return 0.4F;
  if (raw.any_bit) return raw.mask == 0x1fff ? 0.02F : 0.25F;
  return of_equal(plan[raw.load], raw.mask, raw.value);
}

}  // namespace weir::engine
