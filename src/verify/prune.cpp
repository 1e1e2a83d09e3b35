// What was seen before: states kept at joins, and what of them mattered. Exports Walk's members for it.
//
// A path that comes to a join with a state that an older, finished one covers needs no walk. An older state covers a
// new one when everything that mattered to what followed it is alike or wider there: registers that are still read,
// stack slots that were read, and of numbers only those whose value decided something (an offset, a size, a branch).
// Which ones mattered is marked when it happens: each value knows from which registers and slots of the last checkpoint
// it comes (Origins), those know theirs from the checkpoint before, and so on back.
//
// A state that equals one of its own past is a loop that never ends; but not where a helper called a function back
// between the two, since helpers end. Between rounds of one call a state that one of its own past covers in everything
// needs no walk.
//
// States on the way here with which nothing is compared any more are left out from time to time, and where all that are
// kept take much memory, no more are: then more is walked.
#include <algorithm>
#include <bit>

#include "verify/walk.h"

namespace weir::verify {

// How an older state is compared: by what mattered after it, by everything, or whether it is the same.
enum class Likeness : std::uint8_t { kWhatMattered, kCovers, kIdentical };

// Compares a state with an older one.
namespace {

// Bytes of states with which others are compared. Those that wait for their other side are limited by their number
// alone, as in kernels, and take up to 600 MB where eight functions wait with whole stacks.
constexpr std::uint64_t kMostKept = 256u << 20;

std::uint64_t bytes_of(const State& state) {
  std::uint64_t bytes = sizeof(Checkpoint);
  for (const Frame& frame : state.frames)
    bytes += sizeof(Frame) + sizeof(Checkpoint::Marks) + frame.slots.size() * sizeof(Slot);
  return bytes;
}

}  // namespace

class Comparison {
 public:
  Comparison(const Checkpoint& old, const State& now, const Flow& flow, Likeness likeness)
      : old_(old),
        now_(now),
        flow_(flow),
        whole_(likeness != Likeness::kWhatMattered),
        identical_(likeness == Likeness::kIdentical) {}

  bool holds(std::uint32_t at) {
    const State& old = old_.state;
    if (old.frames.size() != now_.frames.size() || old.held.size() != now_.held.size()) return false;
    for (std::size_t i = old.frames.size(); i-- > 0;) {
      const bool top = i + 1 == old.frames.size();
      const Frame& then = old.frames[i];
      const Frame& now = now_.frames[i];
      if (then.back != now.back || then.function != now.function || then.is_callback != now.is_callback) return false;
      if (then.rounds > now.rounds) return false;  // more of them were to come
      for (std::size_t k = 0; then.is_callback && k < std::max(then.held.size(), now.held.size()); ++k)
        if (then.held.size() != now.held.size() || !same_identity(then.held[k].reference, now.held[k].reference))
          return false;
      // Behind a function that is called back the helper is called again, with its arguments.
      const bool whole = top || now_.frames[i + 1].is_callback;
      const std::uint32_t next = top ? at : now_.frames[i + 1].back;
      const auto live = static_cast<std::uint16_t>(flow_.live[next] & (whole ? 0x3ff : 0x3c0));
      const Checkpoint::Marks& marks = old_.marks[i];
      const auto exact = static_cast<std::uint16_t>(marks.exact_registers | marks.assumed_registers);
      if (!registers(then, now, live, exact)) return false;
    }
    for (std::size_t i = 0; i < old.frames.size(); ++i)
      if (!slots(old.frames[i], now_.frames[i], old_.marks[i])) return false;
    for (std::size_t i = 0; i < old.held.size(); ++i)
      if (!same_identity(old.held[i].reference, now_.held[i].reference)) return false;
    return true;
  }

 private:
  bool registers(const Frame& old, const Frame& now, std::uint16_t live, std::uint16_t exact) {
    for (unsigned i = 0; i < 10; ++i)
      if ((live >> i & 1) != 0 && !value(old.registers[i], now.registers[i], whole_ || (exact >> i & 1) != 0))
        return false;
    return true;
  }

  bool slots(const Frame& old, const Frame& now, const Checkpoint::Marks& marks) {
    static const Slot kNone;
    for (std::size_t i = 0; i < old.slots.size(); ++i) {
      if (!whole_ && (marks.read >> i & 1) == 0) continue;
      const Slot& slot = i < now.slots.size() ? now.slots[i] : kNone;
      if (!this->slot(old.slots[i], slot, whole_ || ((marks.exact_slots | marks.assumed_slots) >> i & 1) != 0))
        return false;
    }
    return !identical_ || now.slots.size() <= old.slots.size();
  }

  bool slot(const Slot& old, const Slot& now, bool exact) {
    if ((old.written & ~now.written) != 0) return false;
    if (identical_)
      return old.written == now.written && old.kept == now.kept && (old.kept == 0 || value(old.value, now.value, true));
    const bool now_points = now.kept != 0 && !now.value.is_number();
    if (old.kept == 0) return !now_points;
    const Value& it = old.value;
    const bool matters = !it.is_number() || exact || it.room != 0 || it.identity == kLengthIdentity;
    if (!matters) return !now_points;
    return old.kept == now.kept && value(it, now.value, exact);
  }

  bool value(const Value& old, const Value& now, bool exact) {
    if (old.kind == Kind::kNothing) return !identical_ || now.kind == Kind::kNothing;
    if (old.kind != now.kind) return false;
    if (identical_ && (old.number != now.number || old.room != now.room)) return false;
    if (old.room > now.room) return false;
    if (old.kind == Kind::kNumber) {
      if (old.identity == kLengthIdentity && now.identity != kLengthIdentity) return false;
      if (!exact && !identical_) return true;
      if (!old.number.covers(now.number)) return false;
      return old.identity <= kLengthIdentity || same_identity(old.identity, now.identity, now.delta - old.delta);
    }
    return old.may_be_null == now.may_be_null && old.frame == now.frame && old.map == now.map && old.size == now.size &&
           old.offset == now.offset && old.number.covers(now.number) && same_identity(old.identity, now.identity) &&
           same_identity(old.reference, now.reference);
  }

  // Identities may be named otherwise, but alike everywhere, and stand for another number: then all deltas differ by as
  // much.
  bool same_identity(std::uint32_t old, std::uint32_t now, int moved = 0) {
    if (old == 0 || now == 0) return old == now;
    for (const Pair& pair : pairs_)
      if (pair.old == old || pair.now == now) return pair.old == old && pair.now == now && pair.moved == moved;
    pairs_.push_back({old, now, moved});
    return true;
  }

  const Checkpoint& old_;
  const State& now_;
  const Flow& flow_;
  bool whole_;
  bool identical_;
  struct Pair {
    std::uint32_t old, now;
    int moved;
  };
  std::vector<Pair> pairs_;
};

bool Walk::join(bool& known) {
  std::vector<Checkpoint*>& listed = listed_[at_];
  bool in_loop = false;
  for (const Checkpoint* each : listed) in_loop |= each->branches > 0;
  const std::uint64_t steps = statistics_.steps - steps_at_checkpoint_, jumps = jumps_ - jumps_at_checkpoint_;
  const bool in_rounds = is_round(at_);
  const bool keep = in_rounds ? true : in_loop ? steps >= 100 || jumps >= 20 : listed.empty() || steps >= 8;
  for (std::size_t i = 0; i < listed.size();) {
    Checkpoint& old = *listed[i];
    const bool unfinished = old.branches > 0;
    const bool turned = unfinished && old.state.turns != state_.turns;
    const Frame& then = old.state.frame();
    const Frame& now = state_.frame();
    const bool other_round = turned && in_rounds && then.rounds != 0 && now.rounds != 0 && then.call == now.call;
    const Likeness likeness = other_round  ? Likeness::kCovers
                              : unfinished ? Likeness::kIdentical
                                           : Likeness::kWhatMattered;
    if ((!turned || other_round) && Comparison(old, state_, flow_, likeness).holds(at_)) {
      if (unfinished && !other_round)
        return refuse(Rule::kEndless, "the loop comes back to where it was, and nothing has changed",
                      "a loop that ends", {},
                      "count rounds in a register or on the stack and leave after a constant number of them");
      ++old.hits;
      if (unfinished) mark_all();
      else inherit_marks(old);
      known = true;
      return true;
    }
    // States that nothing is like only cost time.
    if (keep && ++old.misses > old.hits * 3 + 3) {
      old.is_listed = false;
      if (!unfinished) give_back(old);
      listed[i] = listed.back();
      listed.pop_back();
    } else {
      ++i;
    }
  }
  if (keep && kept_bytes_ < kMostKept) checkpoint();
  return true;
}

bool Walk::is_round(std::uint32_t at) const {
  return flow_.rows[at]->shape == ebpf::OperandShape::kCallHelper && calls_back(code_[at].immediate);
}

Checkpoint* Walk::new_checkpoint() {
  ++statistics_.checkpoints;
  if (free_.empty()) return &checkpoints_.emplace_back();
  Checkpoint* used = free_.back();
  free_.pop_back();
  used->hits = used->misses = 0;
  return used;
}

void Walk::give_back(Checkpoint& unused) {
  kept_bytes_ -= bytes_of(unused.state);
  free_.push_back(&unused);
}

void Walk::checkpoint() {
  steps_at_checkpoint_ = statistics_.steps;
  jumps_at_checkpoint_ = jumps_;
  drop_single_identities();
  Checkpoint& kept = *new_checkpoint();
  kept.state = state_;
  kept.parent = parent_;
  kept.at = at_;
  kept.branches = 1;
  kept.is_listed = true;
  kept.marks.assign(state_.frames.size(), {});
  for (std::size_t i = 0; i < state_.frames.size(); ++i) {
    Frame& frame = state_.frames[i];
    kept.marks[i].overwritten = frame.overwritten;
    frame.overwritten = 0;
    const bool top = i + 1 == state_.frames.size();
    const Origins whole{0, std::uint32_t{1} << (kFrameOrigins + i)};
    for (unsigned r = 0; r < 10; ++r) frame.registers[r].origins = top ? Origins{0, 1u << r} : whole;
    for (std::size_t s = 0; s < frame.slots.size(); ++s)
      frame.slots[s].value.origins = top ? Origins{std::uint64_t{1} << s, 0} : whole;
  }
  kept_bytes_ += bytes_of(kept.state);
  parent_ = &kept;
  listed_[at_].push_back(&kept);
  if (++kept_since_ >= way_length_) shorten_way();
}

// Leaves out the states before this one from which one way goes on and with which nothing is compared. A round that is
// the last one kept of its call stays: widen() looks for it.
void Walk::shorten_way() {
  kept_since_ = 0;
  way_length_ = 64;
  using Place = std::pair<std::uint32_t, std::size_t>;
  std::vector<Place> rounds;  // of which a later one is on all ways from here
  for (Checkpoint* at = parent_; at != nullptr; ++way_length_) {
    const auto place = [](const Checkpoint& of) { return Place(of.at, of.state.frames.size()); };
    if (at->branches != 1) rounds.clear();
    if (is_round(at->at)) rounds.push_back(place(*at));
    while (at->parent != nullptr && at->parent->branches == 1 && !at->parent->is_listed &&
           (!is_round(at->parent->at) || std::find(rounds.begin(), rounds.end(), place(*at->parent)) != rounds.end()))
      leave_out_parent(*at);
    at = at->parent;
  }
}

// What came from the parent's values comes from what those came from.
void Walk::leave_out_parent(Checkpoint& of) {
  Checkpoint& parent = *of.parent;
  const std::vector<Frame>& frames = parent.state.frames;
  std::vector<Origins> whole(frames.size());  // of all that a frame has
  for (std::size_t i = 0; i < frames.size(); ++i) {
    for (unsigned r = 0; r < 10; ++r) whole[i] = whole[i] | frames[i].registers[r].origins;
    for (const Slot& slot : frames[i].slots)
      if (slot.kept != 0) whole[i] = whole[i] | slot.value.origins;
  }
  each_value(of.state, [&](Value& value) {
    const Origins origins = value.origins;
    value.origins = {};
    for (std::uint32_t rest = origins.others & 0x3ff; rest != 0; rest &= rest - 1)
      value.origins = value.origins | frames.back().registers[std::countr_zero(rest)].origins;
    for (std::uint64_t rest = origins.slots; rest != 0; rest &= rest - 1)
      if (const auto s = static_cast<std::size_t>(std::countr_zero(rest));
          s < frames.back().slots.size() && frames.back().slots[s].kept != 0)
        value.origins = value.origins | frames.back().slots[s].value.origins;
    for (std::size_t i = 0; i + 1 < frames.size(); ++i)
      if ((origins.others >> (kFrameOrigins + i) & 1) != 0) value.origins = value.origins | whole[i];
  });
  for (std::size_t i = 0; i < std::min(of.marks.size(), parent.marks.size()); ++i)
    of.marks[i].overwritten |= parent.marks[i].overwritten;
  of.parent = parent.parent;
  give_back(parent);
}

// An identity that only one value has says nothing, and would keep states apart.
void Walk::drop_single_identities() {
  identities_.clear();
  each_value(state_, [&](const Value& value) {
    if (value.is_number() && value.identity > kLengthIdentity) identities_.push_back(value.identity);
  });
  if (identities_.empty()) return;
  std::sort(identities_.begin(), identities_.end());
  each_value(state_, [&](Value& value) {
    if (!value.is_number() || value.identity <= kLengthIdentity) return;
    const auto range = std::equal_range(identities_.begin(), identities_.end(), value.identity);
    if (range.second - range.first < 2) value.identity = 0;
  });
}

void Walk::mark_exact(Origins origins, bool assumed) {
  for (Checkpoint* at = parent_; at != nullptr && !origins.is_empty(); at = at->parent) {
    Origins before;
    const auto mark = [&](std::size_t frame, std::uint16_t registers, std::uint64_t slots) {
      Checkpoint::Marks& marks = at->marks[frame];
      const Frame& values = at->state.frames[frame];
      std::uint16_t& marked = assumed ? marks.assumed_registers : marks.exact_registers;
      std::uint64_t& marked_slots = assumed ? marks.assumed_slots : marks.exact_slots;
      registers &= static_cast<std::uint16_t>(~marked);
      slots &= ~marked_slots;
      marked |= registers;
      marked_slots |= slots;
      for (unsigned r = 0; r < 10; ++r)
        if ((registers >> r & 1) != 0) before = before | values.registers[r].origins;
      for (std::size_t s = 0; s < values.slots.size(); ++s)
        if ((slots >> s & 1) != 0 && values.slots[s].kept != 0) before = before | values.slots[s].value.origins;
    };
    const std::size_t top = at->state.frames.size() - 1;
    mark(top, static_cast<std::uint16_t>(origins.others & 0x3ff), origins.slots);
    for (std::size_t i = 0; i < top; ++i)
      if ((origins.others >> (kFrameOrigins + i) & 1) != 0) mark(i, 0x3ff, ~std::uint64_t{0});
    origins = before;
  }
}

void Walk::mark_read(unsigned frame, unsigned slot) {
  const std::uint64_t bit = std::uint64_t{1} << slot;
  if ((state_.frames[frame].overwritten & bit) != 0) return;
  for (Checkpoint* at = parent_; at != nullptr && frame < at->marks.size(); at = at->parent) {
    Checkpoint::Marks& marks = at->marks[frame];
    if ((marks.read & bit) != 0) return;
    marks.read |= bit;
    if ((marks.overwritten & bit) != 0) return;
  }
}

// What mattered after the older state matters after this one, which ends here in its place.
void Walk::inherit_marks(const Checkpoint& old) {
  for (std::size_t i = 0; i < old.marks.size(); ++i) {
    const Checkpoint::Marks& marks = old.marks[i];
    const Frame& frame = state_.frames[i];
    for (unsigned s = 0; s < kStackSlots; ++s) {
      if ((marks.read >> s & 1) != 0) mark_read(static_cast<unsigned>(i), s);
      if ((marks.exact_slots >> s & 1) != 0 && s < frame.slots.size() && frame.slots[s].kept != 0)
        mark_exact(frame.slots[s].value);
      if ((marks.assumed_slots >> s & 1) != 0 && s < frame.slots.size() && frame.slots[s].kept != 0)
        mark_exact(frame.slots[s].value, true);
    }
    for (unsigned r = 0; r < 10; ++r) {
      if ((marks.exact_registers >> r & 1) != 0) mark_exact(frame.registers[r]);
      if ((marks.assumed_registers >> r & 1) != 0) mark_exact(frame.registers[r], true);
    }
  }
}

}  // namespace weir::verify
