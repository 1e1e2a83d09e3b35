// Branches: which sides are possible, and what each side tells. Exports Walk's members for it.
//
// Numbers follow assume(). A pointer that may be null and is compared with 0 is null on one side and not null on the
// other. A packet pointer that is not behind the packet's end makes known how many bytes are there, for all pointers
// with the same variable part; a number below the length of a program's memory makes known that its byte is there.
#include "verify/walk.h"

namespace weir::verify {

using ebpf::AluOperation;
using ebpf::Condition;
using ebpf::OperandShape;

namespace {

constexpr std::int64_t kFarthestPacket = 0xffff;  // MAX_PACKET_OFF
constexpr std::int64_t kFarthestMemory = 1 << 29;

// The same condition with its sides exchanged.
Condition turned(Condition condition) {
  switch (condition) {
    case Condition::kGreater: return Condition::kLess;
    case Condition::kLess: return Condition::kGreater;
    case Condition::kGreaterOrEqual: return Condition::kLessOrEqual;
    case Condition::kLessOrEqual: return Condition::kGreaterOrEqual;
    default: return condition;
  }
}

// Makes a pointer that may be null what it is on one side, with all its copies.
void decide_null(State& state, std::uint32_t identity, std::uint32_t reference, bool null) {
  each_value(state, [&](Value& value) {
    if (!value.is_pointer() || !value.may_be_null || value.identity != identity) return;
    if (null) {
      value = Value::constant(0);
    } else {
      value.may_be_null = false;
      value.identity = 0;
    }
  });
  // What a socket's helper gave of another socket is null without that one being so.
  if (null && reference != 0 && reference == identity)
    std::erase_if(state.held, [&](const Held& held) { return held.reference == reference; });
}

bool is_packet_start(const Value& value) {
  return value.kind == Kind::kPacket && value.identity == 0 && value.offset == 0;
}

// Whether `holds` of the condition says that the left side is below the right one (strictly, where `strict`).
bool is_below(Condition condition, bool holds, bool& strict) {
  strict = holds ? condition == Condition::kLess : condition == Condition::kGreaterOrEqual;
  return strict || (holds ? condition == Condition::kLessOrEqual : condition == Condition::kGreater);
}

}  // namespace

std::uint32_t Walk::target() const {
  const bool is_long = flow_.rows[at_]->shape == OperandShape::kJumpLong;
  return at_ + 1 + static_cast<std::uint32_t>(is_long ? slot().immediate : std::int32_t{slot().offset});
}

void Walk::one_way(bool taken) {
  path_steps_.push_back({path_, at_, taken, true, path_ != nullptr ? path_->length + 1 : 1});
  path_ = &path_steps_.back();
  at_ = taken ? target() : at_ + 1;
}

// state_ is the side that is not taken.
bool Walk::both_ways(State taken) {
  if (!push(std::move(taken), target(), at_, true)) return false;
  path_steps_.push_back({path_, at_, false, false, path_ != nullptr ? path_->length + 1 : 1});
  path_ = &path_steps_.back();
  ++at_;
  return true;
}

bool Walk::branch(const ebpf::OpcodeInfo& row) {
  const ebpf::Instruction& it = slot();
  if (!readable(it.dst)) return false;
  const bool by_register = row.shape == OperandShape::kBranchRegister;
  if (by_register && !readable(it.src)) return false;
  const auto condition = static_cast<Condition>(row.code & 0xf0);
  const Value left = reg(it.dst);
  const Value right =
      by_register ? reg(it.src) : Value::constant(static_cast<std::uint64_t>(std::int64_t{it.immediate}));
  if (left.is_pointer() || right.is_pointer()) {
    bool done = false;
    if (row.width == 8 && !compare_with_null(condition, left, right, done)) return false;
    if (row.width == 8 && !done && !compare_with_end(condition, left, right, done)) return false;
    if (row.width == 8 && !done && !compare_pointers(condition, left, right, done)) return false;
    return done || both_ways(state_);
  }
  const bool is_wide = row.width == 8;
  if (by_register && it.src == it.dst && condition != Condition::kSet) {  // the same, whatever it is
    Range one = Range::constant(0), other = one;
    one_way(assume(condition, true, is_wide, one, other));
    return true;
  }
  if (by_register && it.src == it.dst) return compare_numbers(Condition::kNotEqual, is_wide, left, Value::constant(0));
  return compare_numbers(condition, is_wide, left, right);
}

bool Walk::compare_numbers(Condition condition, bool is_wide, const Value& left, const Value& right) {
  Range taken_left = left.number, taken_right = right.number;
  const bool may_take = assume(condition, true, is_wide, taken_left, taken_right);
  Range falls_left = left.number, falls_right = right.number;
  const bool may_fall = assume(condition, false, is_wide, falls_left, falls_right);
  if (!may_take && !may_fall) return both_ways(state_);
  if (!may_take || !may_fall) {
    mark_exact(left);
    mark_exact(right);
    one_way(may_take);
    return true;
  }
  State taken = state_;
  learn_numbers(taken, left, taken_left, right, taken_right);
  learn_numbers(state_, left, falls_left, right, falls_right);
  if (is_wide) {
    learn_room(taken, condition, true, left, right);
    learn_room(state_, condition, false, left, right);
  }
  return both_ways(std::move(taken));
}

// What a branch tells of its operands, for them and their copies. What was learnt depends on both.
void Walk::learn_numbers(State& state, const Value& left, const Range& left_range, const Value& right,
                         const Range& right_range) {
  const Origins origins = left.origins | right.origins;
  const auto learn = [&](unsigned number, const Value& of, const Range& range) {
    const auto take = [&](Value& value) {
      value.number = range;
      value.origins = value.origins | origins;
    };
    const auto take_moved = [&](Value& value) {
      const auto by = static_cast<std::uint64_t>(std::int64_t{value.delta} - of.delta);
      Range moved = arithmetic(AluOperation::kAdd, false, true, range, Range::constant(by));
      if (!moved.meet(value.number)) return;
      value.number = moved;
      value.origins = value.origins | origins;
    };
    if (of.number == range) return;
    if (of.identity == 0) return take(state.registers()[number]);
    each_value(state, [&](Value& value) {
      if (!value.is_number() || value.identity != of.identity) return;
      if (value.delta == of.delta) take(value);
      else take_moved(value);
    });
    if (of.identity == kLengthIdentity) learn_length(state, range, origins);
  };
  learn(slot().dst, left, left_range);
  if (slot().src != slot().dst && flow_.rows[at_]->shape == OperandShape::kBranchRegister)
    learn(slot().src, right, right_range);
}

// The memory has at least as many bytes as its length is at least.
void Walk::learn_length(State& state, const Range& length, Origins origins) {
  const auto least = static_cast<std::uint32_t>(std::min<std::uint64_t>(length.wide.umin, kFarthestMemory));
  mark_exact(origins);
  each_value(state, [&](Value& value) {
    if (value.kind == Kind::kPacket && value.identity == 0) value.room = std::max(value.room, least);
  });
}

// A number below the length of the memory: its byte is there.
void Walk::learn_room(State& state, Condition condition, bool holds, const Value& left, const Value& right) {
  const bool turn = left.identity == kLengthIdentity;
  const Value& number = turn ? right : left;
  const Value& length = turn ? left : right;
  bool strict = false;
  if (length.identity != kLengthIdentity || number.identity == kLengthIdentity) return;
  if (!is_below(turn ? turned(condition) : condition, holds, strict) || !strict) return;
  if (flow_.rows[at_]->shape != OperandShape::kBranchRegister) return;
  const unsigned which = turn ? slot().src : slot().dst;
  const auto take = [](Value& value) { value.room = std::max(value.room, 1u); };
  if (number.identity == 0) return take(state.registers()[which]);
  each_value(state, [&](Value& value) {
    if (value.is_number() && value.identity == number.identity && value.delta == number.delta) take(value);
  });
}

// Whether a pointer that was not given as one that may be null is surely not 0: what it points into is there, and it
// points nowhere else. A packet of no bytes may be at 0, and packets and contexts may lie so low that what is moved out
// of them gets there.
bool Walk::is_never_null(const Value& pointer) const {
  std::int64_t first = 0, size = 0;
  switch (pointer.kind) {
    case Kind::kMap:
    case Kind::kSocketCommon:
    case Kind::kSocket:
    case Kind::kTcpSocket: break;
    case Kind::kMapValue: size = program_.maps[pointer.map].value_size; break;
    case Kind::kMapKey: size = program_.maps[pointer.map].key_size; break;
    case Kind::kRecord: size = pointer.size; break;
    case Kind::kStack: first = -std::int64_t{ebpf::kStackSize}; break;
    default: return false;
  }
  const Interval<std::uint64_t>& variable = pointer.number.wide;
  return variable.smin >= -kFarthestMemory && variable.smax <= kFarthestMemory &&
         pointer.offset + variable.smin >= first && pointer.offset + variable.smax <= size;
}

bool Walk::compare_with_null(Condition condition, const Value& left, const Value& right, bool& done) {
  if (condition != Condition::kEqual && condition != Condition::kNotEqual) return true;
  const Value& pointer = left.is_pointer() ? left : right;
  const Value& zero = left.is_pointer() ? right : left;
  if (!pointer.is_pointer() || !zero.is_zero()) return true;
  const bool taken_is_null = condition == Condition::kEqual;
  if (!pointer.may_be_null) {
    if (pointer.kind == Kind::kStack || !is_never_null(pointer)) return true;  // of stacks the kernel says nothing
    mark_exact(zero);
    one_way(!taken_is_null);
    done = true;
    return true;
  }
  mark_exact(zero);
  State taken = state_;
  decide_null(taken, pointer.identity, pointer.reference, taken_is_null);
  decide_null(state_, pointer.identity, pointer.reference, !taken_is_null);
  done = true;
  return both_ways(std::move(taken));
}

// What equals a pointer that is not null is not null.
bool Walk::compare_pointers(Condition condition, const Value& left, const Value& right, bool& done) {
  if (condition != Condition::kEqual && condition != Condition::kNotEqual) return true;
  if (!left.is_pointer() || !right.is_pointer() || left.may_be_null == right.may_be_null) return true;
  const Value& sure = left.may_be_null ? right : left;
  const Value& other = left.may_be_null ? left : right;
  if (!is_never_null(sure)) return true;
  State taken = state_;
  decide_null(condition == Condition::kEqual ? taken : state_, other.identity, other.reference, false);
  done = true;
  return both_ways(std::move(taken));
}

bool Walk::compare_with_end(Condition condition, const Value& left, const Value& right, bool& done) {
  const auto is_end_for = [](const Value& pointer, const Value& end) {
    return (pointer.kind == Kind::kPacket && end.kind == Kind::kPacketEnd) ||
           (pointer.kind == Kind::kPacketMeta && is_packet_start(end));
  };
  const bool turn = is_end_for(right, left);
  if (!turn && !is_end_for(left, right)) return true;
  const Value& pointer = turn ? right : left;
  if (turn) condition = turned(condition);
  const std::int64_t farthest = on_memory_ ? kFarthestMemory : kFarthestPacket;
  const Interval<std::uint64_t>& variable = pointer.number.wide;
  const bool plain = pointer.offset >= 0 && variable.smin >= 0 && variable.smax <= farthest &&
                     pointer.offset + variable.smax <= farthest;
  const auto learn = [&](State& state, bool holds) {
    bool strict = false;
    if (!plain || !is_below(condition, holds, strict)) return;
    const auto room = static_cast<std::uint32_t>(pointer.offset + (strict ? 1 : 0));
    each_value(state, [&](Value& value) {
      if (value.kind == pointer.kind && value.identity == pointer.identity) value.room = std::max(value.room, room);
    });
  };
  State taken = state_;
  learn(taken, true);
  learn(state_, false);
  done = true;
  return both_ways(std::move(taken));
}

}  // namespace weir::verify
