// Blocks, guards, edges, verdicts. Exports X86Body::emit.
#include "engine/x86_body.h"

#include <algorithm>

#include "engine/plan_likelihood.h"
#include "engine/plan_passes.h"

namespace weir::engine {

using asmjit::Label;
using asmjit::x86::CondCode;
using flow::ExitKind;
using flow::Op;
namespace x86 = asmjit::x86;

namespace {

constexpr std::uint32_t kHomeRegisters = 5;
constexpr float kUnlikely = 0.1F;

}  // namespace

X86Body::X86Body(x86::Assembler& assembler, const Plan& plan, std::span<const SetTable> tables, const Options& options)
    : a_(assembler),
      plan_(plan),
      tables_(tables),
      words_used_(plan.phi_count),
      values_(plan, scratch_),
      order_(scratch_),
      scan_(scratch_),
      labels_(plan.blocks.size(), scratch_),
      dominator_(dominators(plan, scratch_)),
      known_length_(plan.blocks.size(), ~std::uint64_t{0}, scratch_),
      costs_(scratch_),
      needed_(plan.blocks.size(), 0, scratch_),
      homes_(plan.nodes.size(), scratch_),
      scopes_(scratch_),
      taken_(scratch_),
      registers_((1u << kHomeRegisters) - 1),
      region_guards_(scratch_),
      wanted_(scratch_),
      stack_(scratch_),
      run_(scratch_) {
  constexpr std::size_t kUsual = 16;
  for (ScratchVector<NodeId>* each : {&taken_, &wanted_, &stack_, &run_}) each->reserve(kUsual);
  scopes_.reserve(kUsual);
  if (options.base_in_rdi) registers_ &= ~2u;
  // Homes for life: region code wants the others.
  if (plan.phi_count <= (options.base_in_rdi ? 1 : 2))
    for (NodeId id = 0; id < plan.nodes.size(); ++id)
      if (plan[id].op == Op::kParameter) {
        homes_[id] = {Home::kRegister, plan[id].k};
        registers_ &= ~(1u << plan[id].k);
      }
  known_length_[0] = options.known_length;
  for (PlanBlockId id = 0; id < plan.blocks.size(); ++id) {
    const PlanBlock& block = plan.blocks[id];
    std::uint64_t& known = known_length_[id];
    for (std::uint32_t i = block.guards.begin; i < block.guards.end; ++i)
      known = std::max(known, constant_extent(plan[plan.guards[i]]));
    if (block.kind == ExitKind::kVerdict) continue;
    std::uint64_t& if_true = known_length_[block.if_true.target];
    if_true = std::min(if_true, known);
    if (block.kind == ExitKind::kJump) continue;
    std::uint64_t& if_false = known_length_[block.if_false.target];
    if_false = std::min(if_false, known);
  }
  find_order();
}

// Preorder of the dominator tree, a block's children in order of their numbers.
void X86Body::find_order() {
  const auto count = static_cast<PlanBlockId>(plan_.blocks.size());
  ScratchVector<PlanBlockId> first_child(count, kNothing, scratch_);
  ScratchVector<PlanBlockId> sibling(count, kNothing, scratch_);
  for (PlanBlockId id = count; id-- > 1;) {
    sibling[id] = first_child[dominator_[id]];
    first_child[dominator_[id]] = id;
  }
  order_.reserve(count);
  ScratchVector<PlanBlockId> stack(scratch_);
  stack.reserve(count);
  stack.push_back(0);
  while (!stack.empty()) {
    const PlanBlockId id = stack.back();
    stack.pop_back();
    order_.push_back(id);
    const std::size_t mark = stack.size();
    for (PlanBlockId child = first_child[id]; child != kNothing; child = sibling[child]) stack.push_back(child);
    std::reverse(stack.begin() + static_cast<std::ptrdiff_t>(mark), stack.end());
  }
}

// Forgets what the copy before has left.
void X86Body::forget() {
  leave_scope({0, 0, registers_, plan_.phi_count});
  scopes_.clear();
  std::fill(labels_.begin(), labels_.end(), Label());
  std::fill(needed_.begin(), needed_.end(), std::uint8_t{0});
  is_straight_ = false;
}

void X86Body::emit(const X86Exits& exits, int packet, std::vector<CodeMark>* marks) {
  exits_ = exits;
  packet_ = packet;
  marks_ = marks;
  forget();
  if (costs_.empty()) estimate_costs();
  needed_[0] = 1;
  if (is_reject(0)) a_.jmp(exits_.reject);  // what stands behind the body may be anything
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const PlanBlockId id = order_[i];
    if (needed_[id] == 0 || is_reject(id)) continue;
    PlanBlockId next = kNothing;
    for (std::size_t j = i + 1; j < order_.size() && next == kNothing; ++j)
      if (!is_reject(order_[j])) next = order_[j];
    enter_scope(id);
    a_.bind(label_of(id));
    const PlanBlock& block = plan_.blocks[id];
    mark(block);
    for (std::uint32_t g = block.guards.begin; g < block.guards.end; ++g) emit_guard(plan_.guards[g]);
    if (emit_region(id)) continue;
    emit_exit(id, next);
  }
}

void X86Body::mark(const PlanBlock& block) {
  if (marks_ == nullptr || block.instructions.empty()) return;
  marks_->push_back({static_cast<std::uint32_t>(a_.offset()), block.instructions.begin, block.instructions.end});
}

void X86Body::enter_scope(PlanBlockId id) {
  while (!scopes_.empty() && scopes_.back().block != dominator_[id]) {
    leave_scope(scopes_.back());
    scopes_.pop_back();
  }
  scopes_.push_back({id, taken_.size(), free_registers_, first_free_word_});
}

void X86Body::leave_scope(const Scope& scope) {
  for (; taken_.size() > scope.taken; taken_.pop_back()) homes_[taken_.back()].where = Home::kNone;
  free_registers_ = scope.free_registers;
  first_free_word_ = scope.first_free_word;
}

bool X86Body::is_reject(PlanBlockId id) const { return rejects(plan_, plan_.blocks[id]); }

Label X86Body::label_of(PlanBlockId id) {
  if (is_reject(id)) return exits_.reject;
  needed_[id] = 1;
  if (!labels_[id].isValid()) labels_[id] = a_.newLabel();
  return labels_[id];
}

void X86Body::emit_exit(PlanBlockId id, PlanBlockId next) {
  const PlanBlock& block = plan_.blocks[id];
  switch (block.kind) {
    case ExitKind::kVerdict: emit_verdict(block.lhs); break;
    case ExitKind::kJump: emit_edge(block.if_true, next); break;
    case ExitKind::kTest:
    case ExitKind::kSet: {
      if (emit_unlikely_set(block, next)) return;
      const CondCode condition = test(block);
      emit_branch(condition, block, next);
      break;
    }
  }
}

// Whether a test is for few single values: compared one by one.
bool X86Body::has_singles(const PlanBlock& block) const {
  if (block.kind != ExitKind::kSet || tables_[block.set].kind != SetKind::kFew) return false;
  const std::vector<flow::Range>& ranges = tables_[block.set].ranges;
  return std::all_of(ranges.begin(), ranges.end(), [](const flow::Range& range) { return range.first == range.last; });
}

// Compares with each single value in turn. Where `otherwise` is valid, values that are equal to none go there and the
// others on; else the other way round.
void X86Body::compare_singles(const PlanBlock& block, const Label& equal, const Label& otherwise) {
  const Node& node = plan_[block.lhs];
  const bool raw = node.op == Op::kLoad && homes_[block.lhs].where == Home::kNone;  // compared in its own byte order
  if (raw) {
    if (node.a != kNothing) prepare(node.a);
    load_raw(packet_at(block.lhs, x86::ecx), node.size, x86::eax);
  } else {
    prepare(block.lhs);
    evaluate(block.lhs, x86::eax);
  }
  const std::vector<flow::Range>& ranges = tables_[block.set].ranges;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const std::uint32_t member = ranges[i].first;
    // A value that the field cannot have is equal to none in either order.
    const bool possible = !raw || node.size == 4 || member >> (8 * node.size) == 0;
    a_.cmp(x86::eax, static_cast<std::int32_t>(raw && possible ? swap_bytes(member, node.size) : member));
    if (i + 1 == ranges.size() && otherwise.isValid()) {
      a_.jne(otherwise);
    } else {
      a_.je(equal);
    }
  }
}

// Few values, none of them likely: branches that are seldom taken are cheaper than bits.
bool X86Body::emit_unlikely_set(const PlanBlock& block, PlanBlockId next) {
  if (!block.if_true.assignments.empty() || !block.if_false.assignments.empty()) return false;
  if (!has_singles(block) || likelihood(plan_, block) > kUnlikely) return false;
  const Label equal = label_of(block.if_true.target);
  const bool falls_into_true = block.if_true.target == next;
  compare_singles(block, equal, falls_into_true ? label_of(block.if_false.target) : Label());
  if (!falls_into_true) emit_edge(block.if_false, next);
  return true;
}

// Whether a test is seldom true and reads only what every packet has.
bool X86Body::may_scan(const PlanBlock& block) const {
  if (block.kind != ExitKind::kTest && block.kind != ExitKind::kSet) return false;
  const Node& load = plan_[block.lhs];
  if (block.kind == ExitKind::kSet ? !has_singles(block) || load.op != Op::kLoad
                                   : raw_test(plan_, block).load != block.lhs)
    return false;
  return constant_extent(load) != 0 && constant_extent(load) <= known_length_[0] &&
         likelihood(plan_, block) <= kUnlikely;
}

// Whether no packet is accepted for which all of scan_ are false.
bool X86Body::scan_suffices() {
  std::fill(needed_.begin(), needed_.end(), std::uint8_t{0});
  needed_[0] = 1;
  for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id) {  // edges lead to higher numbers
    const PlanBlock& block = plan_.blocks[id];
    if (needed_[id] == 0 || is_reject(id)) continue;
    if (block.kind == ExitKind::kVerdict) return false;
    const bool is_false = std::find(scan_.begin(), scan_.end(), id) != scan_.end();
    if (!is_false) needed_[block.if_true.target] = 1;
    if (block.kind != ExitKind::kJump) needed_[block.if_false.target] = 1;
  }
  return true;
}

bool X86Body::find_scan() {
  constexpr float kFound = 25;  // cycles that a packet costs which one of the tests does not reject
  scan_.clear();
  if (costs_.empty()) return false;
  for (PlanBlockId id = 0; id < plan_.blocks.size(); ++id)
    if (may_scan(plan_.blocks[id])) scan_.push_back(id);
  if (!scan_suffices()) return false;
  for (std::size_t i = scan_.size(); i-- > 0;) {
    const PlanBlockId id = scan_[i];
    scan_.erase(scan_.begin() + static_cast<std::ptrdiff_t>(i));
    if (!scan_suffices()) scan_.insert(scan_.begin() + static_cast<std::ptrdiff_t>(i), id);
  }
  float cost = 0;
  for (const PlanBlockId id : scan_) {
    const PlanBlock& block = plan_.blocks[id];
    cost += (block.kind == ExitKind::kSet ? 2 : 1) + kFound * likelihood(plan_, block);
  }
  return cost < costs_[0];
}

void X86Body::emit_scan(const Label& found) {
  forget();
  enter_scope(0);
  for (const PlanBlockId id : scan_) {
    const PlanBlock& block = plan_.blocks[id];
    if (block.kind == ExitKind::kSet) {
      compare_singles(block, found, Label());
    } else {
      a_.j(raw(raw_test(plan_, block)), found);
    }
  }
}

void X86Body::emit_edge(const PlanEdge& edge, PlanBlockId next) {
  for (std::uint32_t i = edge.assignments.begin; i < edge.assignments.end; ++i) {
    const Assignment& assignment = plan_.assignments[i];
    prepare(assignment.value);
    if (in_register(assignment.phi)) {
      evaluate(assignment.value, home_register(assignment.phi));
    } else {
      evaluate(assignment.value, x86::eax);
      a_.mov(frame_word(plan_[assignment.phi].k), x86::eax);
    }
  }
  const Label target = label_of(edge.target);
  if (edge.target != next) a_.jmp(target);
}

void X86Body::emit_branch(CondCode condition, const PlanBlock& block, PlanBlockId next) {
  const bool plain = block.if_true.assignments.empty() && block.if_false.assignments.empty();
  if (plain && block.if_true.target == next) {
    static_cast<void>(label_of(next));
    a_.j(x86::negateCond(condition), label_of(block.if_false.target));
    return;
  }
  if (plain) {
    a_.j(condition, label_of(block.if_true.target));
    emit_edge(block.if_false, next);
    return;
  }
  // What an edge computes for its assignments may take homes, which hold on this edge alone.
  const Label when_false = a_.newLabel();
  const Scope before{0, taken_.size(), free_registers_, first_free_word_};
  a_.j(x86::negateCond(condition), when_false);
  emit_edge(block.if_true, kNothing);
  leave_scope(before);
  a_.bind(when_false);
  emit_edge(block.if_false, next);
  leave_scope(before);
}

void X86Body::emit_verdict(NodeId value) {
  const x86::Mem to = x86::dword_ptr(x86::rbp, x86::r12, 2);
  if (plan_.is_constant(value)) {
    if (plan_[value].k == 0) {
      a_.jmp(exits_.reject);
      return;
    }
    a_.mov(to, plan_[value].k);
  } else {
    prepare(value);
    evaluate(value, x86::eax);
    a_.mov(to, x86::eax);
  }
  emit_next();
}

void X86Body::emit_next() {
  a_.inc(x86::r12);
  a_.jnz(exits_.loop);
  a_.jmp(exits_.done);
}

void X86Body::emit_guard(NodeId id) {
  const Node& node = plan_[id];
  if (const std::uint64_t extent = constant_extent(node); extent != 0) {
    a_.cmp(x86::r15d, static_cast<std::uint32_t>(extent));
    a_.jb(exits_.reject);
    return;
  }
  if (node.op == Op::kLoad) {
    prepare(node.a);
    if (std::uint64_t{values_.largest(node.a)} + node.k + node.size <= 0x7fffffff) {
      const auto behind = static_cast<std::int32_t>(node.k + node.size);
      if (in_register(node.a)) {
        a_.lea(x86::ecx, x86::ptr(home_register(node.a).r64(), behind));
      } else {
        operand_to(node.a, x86::ecx);
        a_.add(x86::ecx, behind);
      }
      a_.cmp(x86::ecx, x86::r15d);
    } else {  // base + k wraps at 32 bits, and the end of what is loaded does not
      operand_to(node.a, x86::ecx);
      if (node.k != 0) a_.add(x86::ecx, node.k);
      a_.add(x86::rcx, node.size);
      a_.cmp(x86::rcx, x86::r15);
    }
    a_.ja(exits_.outside);
    return;
  }
  if (is_draw(node)) {
    prepare(id);
    return;
  }
  prepare(node.b);
  operand_to(node.b, x86::ecx);
  a_.test(x86::ecx, x86::ecx);
  a_.jz(exits_.reject);
}

}  // namespace weir::engine
