// What is done to a plan before code is made of it: free functions, one idea each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/scratch.h"
#include "engine/plan.h"

namespace weir::engine {

// The length that nearly all packets have and that makes most guards needless: the largest constant extent that is not
// above kCommonLength. Code is made for packets of that length; shorter ones are run by another engine.
inline constexpr std::uint32_t kCommonLength = 54;  // Ethernet, IPv6: up to the addresses' end. ARP has 42 bytes
std::uint32_t common_length(const Plan& plan);

// The constants that a load's address may be before its offset is added, ascending, where it is a phi of few; else
// none.
std::vector<std::uint32_t> address_choices(const Plan& plan, const Node& load);

// Drops guards that hold because the packet has `length` bytes, or because a block before made sure of it.
void drop_implied_guards(Plan& plan, std::uint32_t length);

// One guard for all loads at a varying address that lie near each other in blocks below: that of the last byte. A
// packet that fails it need not be rejected, so it must then be begun anew by an engine that knows all guards. Does
// nothing where that would draw a number twice.
void gather_guards(Plan& plan);
bool may_begin_anew(const Plan& plan);  // no numbers are drawn

// Runs of tests that lead to one place become set tests: `v == 1 or w == 7 or v == 2 or v > 90` is `v in {1, 2, 91..}
// or w == 7` where no guard stands between; and so do search trees over one value.
void find_sets(Plan& plan);

// The immediate dominator of each block; the entry's is itself. Block 0 dominates all entries of joined plans.
ScratchVector<PlanBlockId> dominators(const Plan& plan, Scratch& scratch);

// Several plans as one for code in lanes, after the passes above: bit i of its verdict says whether plan i accepts, so
// there may be 32. length: what all packets have at least. Only plans whose verdicts are constants can be joined.
bool can_join(const Plan& plan);
Plan join(std::span<const Plan* const> plans, std::uint32_t length);

}  // namespace weir::engine
