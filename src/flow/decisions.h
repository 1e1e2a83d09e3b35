// The form that passes work on: decisions over pure expressions.
//
// A decision is a block without values. It first demands that the packet is long enough (`need` bytes, and the loads
// and divisions in `traps`), or the program ends with verdict 0; then it looks at expressions, which it may since they
// cannot fail any more, and goes on. What a block computes is thereby split into what may end the program and what is
// only a value: values need no place, loads whose result nothing uses remain as demands, and a demand that an earlier
// one implies is dropped. Values that differ by the way on which a decision is reached are its parameters.
//
// Names are indexes. Lists (sets, traps, parameters, arguments) are slices of shared pools and never change once made.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <weir/flow/graph.h>

#include "base/scratch.h"
#include "flow/expressions.h"
#include "flow/ranges.h"

namespace weir::flow {

using DecisionId = std::uint32_t;

struct Slice {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  bool empty() const { return count == 0; }
};

struct Way {  // an edge
  DecisionId to = kNone;
  Slice arguments{};  // in `lists`: one expression for each parameter of `to`
};

struct Decision {
  ExitKind kind = ExitKind::kVerdict;
  Condition condition = Condition::kEqual;
  std::uint32_t need = 0;
  Slice traps{};       // in `lists`: loads and divisions that must be possible
  Slice parameters{};  // in `lists`
  ExprId lhs = kNone;
  ExprId rhs = kNone;  // of kTest
  Slice set{};         // of kSet, in `ranges`: normalised, without 0
  Way if_true{};
  Way if_false{};

  bool is_branch() const { return kind == ExitKind::kTest || kind == ExitKind::kSet; }
  bool demands() const { return need != 0 || !traps.empty(); }
};

struct Decisions {
  Expressions expressions;
  // Each before those it leads to, reachable or not: to_decisions() makes them so, and passes keep the order, all but
  // those that add decisions; order_decisions() makes it again.
  std::vector<Decision> all;
  DecisionId entry = kNone;
  bool ordered = true;
  bool tidy = false;                   // order_decisions() was the last to change anything
  std::vector<std::uint32_t> ways_in;  // by decision, as count_ways_in() left it
  std::vector<ExprId> lists;
  Ranges ranges;

  std::span<const ExprId> list(Slice slice) const { return {lists.data() + slice.first, slice.count}; }
  std::span<const Range> set(Slice slice) const { return {ranges.data() + slice.first, slice.count}; }
  Slice keep(std::span<const ExprId> list);
  Slice keep(std::span<const Range> set);
  const Decision& operator[](DecisionId id) const { return all[id]; }

  // How many ways lead to each decision from those that can be reached, one more to the entry: 0 says that it cannot.
  // Needs the order.
  void count_ways_in();
};

// Drops what cannot be reached, and names decisions so that each stands before those it leads to.
void order_decisions(Decisions& decisions);

// Reachable decisions, each before those it leads to; the true side follows directly where both orders are possible.
ScratchVector<DecisionId> topological_order(const Decisions& decisions, Scratch& scratch);

// What a test of two expressions is when simplified.
struct Test {
  enum Kind : std::uint8_t { kAlways, kNever, kMember, kGeneral } kind = kGeneral;
  bool negated = false;  // the sides are exchanged
  Condition condition = Condition::kEqual;
  ExprId lhs = kNone;
  ExprId rhs = kNone;  // kGeneral; with kBitsSet often a constant
  Ranges set{};        // kMember: normalised, without 0
  Ranges scratch{};
};
void simplify_test(Expressions& expressions, Condition condition, ExprId lhs, ExprId rhs, Test& out);
// The same for membership in `out.set`, of `out.lhs`.
void simplify_member(Expressions& expressions, Test& out);
// Makes the decision's exit the test, leading where it leads.
void set_exit(Decisions& decisions, Decision& decision, const Test& test);

// Packet loads at fixed places up to here count as `need`; others are traps.
inline constexpr std::uint32_t kFarthestNeed = 0x7ffffff0;

// Graph to decisions, with all slots resolved; nothing where the graph has what decisions cannot say (an outside edge
// that does not reject, random numbers, expressions of enormous depth).
std::optional<Decisions> to_decisions(const Graph& graph);
// Decisions to a graph in the promoted form.
Graph to_graph(const Decisions& decisions);

}  // namespace weir::flow
