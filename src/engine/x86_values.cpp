// Values on x86-64. The part of X86Body that computes nodes.
#include <algorithm>
#include <bit>
#include <cstddef>

#include <weir/packet/columns.h>

#include "engine/extension_load.h"
#include "engine/x86_body.h"

namespace weir::engine {

using flow::Op;
namespace x86 = asmjit::x86;

namespace {

constexpr x86::Gp kHomes[] = {x86::esi, x86::edi, x86::r8d, x86::r9d, x86::r10d};

// Called by machine code for extension loads that look into the packet or draw a number.
std::uint32_t extension_of(const packet::Columns* columns, std::uint64_t index, std::uint32_t number, std::uint32_t a,
                           std::uint32_t x) {
  return load_extension(static_cast<cbpf::Extension>(number), (*columns)[index], a, x);
}

}  // namespace

x86::Gp X86Body::home_register(NodeId id) const { return kHomes[homes_[id].index]; }
x86::Mem X86Body::frame_word(std::uint32_t index) const {
  return x86::dword_ptr(x86::rsp, X86Frame::kWords + 4 * static_cast<std::int32_t>(index));
}
x86::Mem X86Body::home_word(NodeId id) const { return frame_word(homes_[id].index); }

void X86Body::take_home(NodeId id) {
  taken_.push_back(id);
  if (free_registers_ != 0) {
    const auto index = static_cast<std::uint32_t>(std::countr_zero(free_registers_));
    free_registers_ &= free_registers_ - 1;
    homes_[id] = {Home::kRegister, index};
    return;
  }
  homes_[id] = {Home::kWord, first_free_word_++};
  words_used_ = std::max(words_used_, first_free_word_);
}

// Operands come before their users, so computing the missing kept nodes in order of their numbers meets all needs.
void X86Body::prepare(NodeId root) {
  wanted_.clear();
  stack_.push_back(root);
  while (!stack_.empty()) {
    const NodeId id = stack_.back();
    stack_.pop_back();
    if (homes_[id].where != Home::kNone) continue;
    const Node& node = plan_[id];
    if (values_.kept(id)) {
      if (std::find(wanted_.begin(), wanted_.end(), id) != wanted_.end()) continue;
      wanted_.push_back(id);
    }
    if (node.op == Op::kConstant || node.op == Op::kParameter) continue;
    if (first_operand(node) != kNothing) stack_.push_back(first_operand(node));
    if (second_operand(node) != kNothing) stack_.push_back(second_operand(node));
  }
  std::sort(wanted_.begin(), wanted_.end());
  for (const NodeId id : wanted_) {
    take_home(id);
    if (in_register(id)) {
      compute(id, home_register(id));
    } else {
      compute(id, x86::eax);
      a_.mov(home_word(id), x86::eax);
    }
  }
}

void X86Body::operand_to(NodeId id, Gp to) {
  const Node& node = plan_[id];
  if (homes_[id].where == Home::kRegister) {
    a_.mov(to, home_register(id));
  } else if (homes_[id].where == Home::kWord) {
    a_.mov(to, home_word(id));
  } else if (node.op == Op::kConstant) {
    if (node.k == 0) {
      a_.xor_(to, to);
    } else {
      a_.mov(to, node.k);
    }
  } else if (node.op == Op::kParameter) {
    a_.mov(to, frame_word(node.k));
  } else {  // kLength
    a_.mov(to.r64(), x86::qword_ptr(x86::rsp, X86Frame::kWireLengths));
    a_.mov(to, x86::dword_ptr(to.r64(), x86::r12, 2, 4 * packet_));
  }
}

void X86Body::evaluate(NodeId id, Gp to) {
  if (homes_[id].where != Home::kNone) {
    operand_to(id, to);
  } else {
    compute(id, to);
  }
}

x86::Mem X86Body::packet_at(NodeId id, Gp scratch) {
  const Node& load = plan_[id];
  if (may_lie_outside(id)) {
    safe_address(load);
    return x86::ptr(x86::rcx);
  }
  if (load.a == kNothing) return x86::ptr(x86::rbx, static_cast<std::int32_t>(load.k));
  if (std::uint64_t{values_.largest(load.a)} + load.k <= 0x7fffffff) {
    if (in_register(load.a))
      return x86::ptr(x86::rbx, home_register(load.a).r64(), 0, static_cast<std::int32_t>(load.k));
    operand_to(load.a, scratch);
    return x86::ptr(x86::rbx, scratch.r64(), 0, static_cast<std::int32_t>(load.k));
  }
  operand_to(load.a, scratch);
  if (load.k != 0) a_.add(scratch, load.k);
  return x86::ptr(x86::rbx, scratch.r64());
}

void X86Body::load_raw(const Mem& from, std::uint8_t size, Gp to) {
  Mem memory = from;
  memory.setSize(size);
  if (size == 4) {
    a_.mov(to, memory);
  } else {
    a_.movzx(to, memory);
  }
}

void X86Body::load_swapped(const Mem& from, std::uint8_t size, Gp to) {
  load_raw(from, size, to);
  if (size == 4) a_.bswap(to);
  if (size == 2) a_.rol(to.r16(), 8);
}

// A run of operations on `to`, from the innermost left operand outwards.
void X86Body::compute(NodeId id, Gp to) {
  run_.clear();
  NodeId at = id;
  for (;;) {
    const Node& node = plan_[at];
    const bool leaf = node.op == Op::kLoad || node.op == Op::kExtension || node.a == kNothing;
    if ((at != id && homes_[at].where != Home::kNone) || leaf) break;
    run_.push_back(at);
    at = node.a;
  }
  const Node& inner = plan_[at];
  if (at != id && homes_[at].where != Home::kNone) {
    operand_to(at, to);
  } else if (inner.op == Op::kLoad) {
    load_swapped(packet_at(at, to), inner.size, to);
  } else if (inner.op == Op::kExtension) {
    extension(inner, to);
  } else {
    operand_to(at, to);
  }
  for (std::size_t i = run_.size(); i-- > 0;) {
    const Node& node = plan_[run_[i]];
    if (node.op == Op::kNegate) {
      a_.neg(to);
    } else {
      compute_binary(node, to);
    }
  }
}

void X86Body::compute_binary(const Node& node, Gp to) {
  const bool constant = plan_.is_constant(node.b);
  const std::uint32_t k = plan_[node.b].k;
  asmjit::Operand right = asmjit::Imm(static_cast<std::int32_t>(k));
  if (!constant) {
    if (in_register(node.b)) {
      right = home_register(node.b);
    } else if (homes_[node.b].where == Home::kWord) {
      right = home_word(node.b);
    } else {
      operand_to(node.b, x86::ecx);
      right = x86::ecx;
    }
  }
  const auto plain = [&](x86::Inst::Id op) { a_.emit(op, to, right); };
  switch (node.op) {
    case Op::kAdd: return plain(x86::Inst::kIdAdd);
    case Op::kSubtract: return plain(x86::Inst::kIdSub);
    case Op::kAnd: return plain(x86::Inst::kIdAnd);
    case Op::kOr: return plain(x86::Inst::kIdOr);
    case Op::kXor: return plain(x86::Inst::kIdXor);
    case Op::kMultiply:
      if (constant) {
        a_.imul(to, to, static_cast<std::int32_t>(k));
      } else {
        plain(x86::Inst::kIdImul);
      }
      return;
    case Op::kShiftLeft:
    case Op::kShiftRight: {
      const bool left = node.op == Op::kShiftLeft;
      if (constant) {
        a_.emit(left ? x86::Inst::kIdShl : x86::Inst::kIdShr, to, asmjit::Imm(k & 31));
      } else {
        operand_to(node.b, x86::ecx);
        a_.emit(left ? x86::Inst::kIdShl : x86::Inst::kIdShr, to, x86::cl);
      }
      return;
    }
    case Op::kDivide:
    case Op::kModulo:
      operand_to(node.b, x86::ecx);
      if (to.id() != x86::eax.id()) a_.mov(x86::eax, to);
      a_.xor_(x86::edx, x86::edx);
      a_.div(x86::ecx);
      if (node.op == Op::kModulo) {
        a_.mov(to, x86::edx);
      } else if (to.id() != x86::eax.id()) {
        a_.mov(to, x86::eax);
      }
      return;
    default: return;
  }
}

void X86Body::extension(const Node& node, Gp to) {
  const std::int32_t offset = metadata_offset(static_cast<cbpf::Extension>(node.k));
  if (offset < 0) return call_extension(node, to);
  const asmjit::Label unknown = a_.newLabel();
  const asmjit::Label done = a_.newLabel();
  a_.mov(to.r64(), x86::qword_ptr(x86::rsp, X86Frame::kMetadata));
  a_.test(to.r64(), to.r64());
  a_.jz(unknown);
  a_.mov(to.r64(), x86::qword_ptr(to.r64(), x86::r12, 3, 8 * packet_));
  a_.test(to.r64(), to.r64());
  a_.jz(unknown);
  a_.mov(to, x86::dword_ptr(to.r64(), offset));
  a_.jmp(done);
  a_.bind(unknown);
  a_.xor_(to, to);
  a_.bind(done);
}

void X86Body::call_extension(const Node& node, Gp to) {
  for (std::uint32_t i = 0; i < std::size(kHomes); ++i)
    a_.mov(x86::dword_ptr(x86::rsp, X86Frame::kSaved + 4 * static_cast<std::int32_t>(i)), kHomes[i]);
  // The operands before the registers that they may lie in are overwritten.
  if (node.a != kNothing) operand_to(node.a, x86::eax);
  if (second_operand(node) != kNothing) operand_to(node.b, x86::r8d);
  if (node.a != kNothing) a_.mov(x86::ecx, x86::eax);
  a_.mov(x86::rdi, x86::qword_ptr(x86::rsp, X86Frame::kColumns));
  a_.lea(x86::rsi, x86::ptr(x86::r12, packet_));
  a_.add(x86::rsi, x86::qword_ptr(x86::rsp, X86Frame::kCount));
  a_.mov(x86::edx, node.k);
  a_.mov(x86::rax, reinterpret_cast<std::uint64_t>(&extension_of));
  a_.call(x86::rax);
  if (to.id() != x86::eax.id()) a_.mov(to, x86::eax);
  for (std::uint32_t i = 0; i < std::size(kHomes); ++i)
    if (kHomes[i].id() != to.id())
      a_.mov(kHomes[i], x86::dword_ptr(x86::rsp, X86Frame::kSaved + 4 * static_cast<std::int32_t>(i)));
}

}  // namespace weir::engine
