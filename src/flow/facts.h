// What is known of a packet at some point of the decisions: how long it is, which loads and divisions are possible, and
// for a few expressions the values that they may have. Facts only ever say less than is true: where there would be too
// many, the ones used least recently are forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "flow/decisions.h"

namespace weir::flow {

class Facts {
 public:
  Facts() = default;
  Facts(const Facts& other) { *this = other; }
  Facts& operator=(const Facts& other);  // copies what is used only

  // The packet passes the demands of the decision.
  void learn_demands(const Decisions& decisions, const Decision& decision);
  // The decision's test went that way.
  void learn_outcome(const Decisions& decisions, const Decision& decision, bool outcome);
  // What holds on both ways.
  void meet(const Facts& other);

  bool covers_demands(const Decisions& decisions, const Decision& decision) const;
  bool covers_trap(const Decisions& decisions, ExprId trap) const;
  std::uint32_t need() const { return need_; }
  // How the decision's test goes for every packet of which these facts hold.
  std::optional<bool> decide(const Decisions& decisions, const Decision& decision);
  // Bits and bounds of an expression.
  Known known(const Expressions& expressions, ExprId id, int depth = 0) const;
  void clear();

 private:
  static constexpr std::size_t kMostRanges = 8;
  static constexpr std::size_t kMostEntries = 12;
  static constexpr std::size_t kMostTraps = 6;
  struct Entry {
    std::uint32_t used = 0;   // when last, by clock_
    std::uint32_t count = 0;  // of ranges; 0: any number
    std::uint32_t zeros = 0;
    std::uint32_t ones = 0;
    std::uint32_t some = 0;  // not 0: at least one of these bits is set
    std::array<Range, kMostRanges> ranges;
    std::span<const Range> values() const { return {ranges.data(), count}; }
    void copy(const Entry& from);
  };

  const Entry* find(ExprId expr) const {
    for (std::uint32_t i = 0; i < entry_count_; ++i)
      if (exprs_[i] == expr) return &entries_[i];
    return nullptr;
  }
  Entry& touch(ExprId expr);
  // `entry` may be null.
  static std::optional<bool> decide_set(std::span<const Range> set, const Known& value, const Entry* entry);
  static std::optional<bool> decide_test(Condition condition, const Known& left, const Known& right,
                                         const Entry* entry);
  static void restrict(Entry& entry, std::span<const Range> to);
  static void join(Entry& entry, const Entry& other);
  void learn_bits(const Expressions& expressions, ExprId expr, std::uint32_t zeros, std::uint32_t ones, int depth = 0);

  std::uint32_t need_ = 0;
  std::uint32_t trap_count_ = 0;
  std::uint32_t entry_count_ = 0;
  std::uint32_t clock_ = 0;
  std::array<ExprId, kMostTraps> traps_;
  std::array<ExprId, kMostEntries> exprs_;  // of each entry
  std::array<Entry, kMostEntries> entries_;
};

}  // namespace weir::flow
