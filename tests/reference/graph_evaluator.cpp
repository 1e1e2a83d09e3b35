// The naive oracle of graphs: one block after the other, one value after the other. Exports evaluate.
#include "reference/graph_evaluator.h"

#include <optional>
#include <vector>

#include <weir/cbpf/instruction.h>

namespace weir::reference {
namespace {

using flow::Op;
using flow::Value;
using Word = std::optional<std::uint32_t>;

class GraphMachine {
 public:
  GraphMachine(const flow::Graph& graph, const packet::Packet& packet)
      : graph_(graph), packet_(packet), values_(graph.values.size()), slots_(graph.slot_count) {}

  std::uint32_t run() {
    flow::BlockId at = graph_.entry;
    for (;;) {
      const flow::Block& block = graph_.blocks[at];
      if (!run_values(block)) {
        if (block.outside == flow::kNone) return 0;
        at = block.outside;
        continue;
      }
      const flow::Exit& exit = block.exit;
      if (exit.kind == flow::ExitKind::kVerdict) return values_[exit.lhs];
      at = follow(exit.kind == flow::ExitKind::kJump || holds(exit) ? exit.if_true : exit.if_false);
    }
  }

 private:
  bool run_values(const flow::Block& block) {
    for (const flow::ValueId id : block.values) {
      const Word result = value(graph_[id]);
      if (!result) return false;
      values_[id] = *result;
    }
    return true;
  }

  flow::BlockId follow(const flow::Edge& edge) {
    std::vector<std::uint32_t> arguments;
    for (const flow::ValueId argument : edge.arguments) arguments.push_back(values_[argument]);
    for (std::size_t i = 0; i < arguments.size(); ++i) values_[graph_.blocks[edge.target].parameters[i]] = arguments[i];
    return edge.target;
  }

  bool holds(const flow::Exit& exit) const {
    const std::uint32_t lhs = values_[exit.lhs];
    if (exit.kind == flow::ExitKind::kSet) {
      for (const flow::Range& range : exit.set)
        if (lhs >= range.first && lhs <= range.last) return true;
      return false;
    }
    const std::uint32_t rhs = values_[exit.rhs];
    switch (exit.condition) {
      case flow::Condition::kEqual: return lhs == rhs;
      case flow::Condition::kGreater: return lhs > rhs;
      case flow::Condition::kGreaterOrEqual: return lhs >= rhs;
      case flow::Condition::kBitsSet: return (lhs & rhs) != 0;
    }
    return false;
  }

  Word load(const Value& value) const {
    const std::uint32_t address = value.k + (value.a == flow::kNone ? 0 : values_[value.a]);
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < value.size; ++i) {
      const std::uint64_t byte = std::uint64_t{address} + i;
      if (byte >= packet_.length) return std::nullopt;
      out = out << 8 | packet_.data[byte];
    }
    return out;
  }

  std::uint32_t extension(std::uint32_t number) const {
    static const packet::Metadata kNothing{};
    const packet::Metadata& known = packet_.metadata != nullptr ? *packet_.metadata : kNothing;
    switch (static_cast<cbpf::Extension>(number)) {
      case cbpf::Extension::kProtocol: return known.protocol;
      case cbpf::Extension::kType: return known.type;
      case cbpf::Extension::kInterfaceIndex: return known.interface_index;
      case cbpf::Extension::kMark: return known.mark;
      case cbpf::Extension::kQueue: return known.queue;
      case cbpf::Extension::kHardwareType: return known.hardware_type;
      case cbpf::Extension::kReceiveHash: return known.receive_hash;
      case cbpf::Extension::kCpu: return known.cpu;
      case cbpf::Extension::kVlanTci: return known.vlan_tci;
      case cbpf::Extension::kVlanPresent: return known.vlan_present;
      case cbpf::Extension::kVlanProtocol: return known.vlan_protocol;
      default: return 0;
    }
  }

  Word value(const Value& v) {
    const std::uint32_t a = v.a == flow::kNone ? 0 : values_[v.a];
    const std::uint32_t b = v.b == flow::kNone ? 0 : values_[v.b];
    switch (v.op) {
      case Op::kConstant: return v.k;
      case Op::kLoad: return load(v);
      case Op::kLength: return packet_.wire_length;
      case Op::kExtension: return extension(v.k);
      case Op::kGetSlot: return slots_[v.k];
      case Op::kSetSlot: return slots_[v.k] = a;
      case Op::kParameter: return a;
      case Op::kNegate: return 0u - a;
      case Op::kAdd: return a + b;
      case Op::kSubtract: return a - b;
      case Op::kMultiply: return a * b;
      case Op::kDivide: return b == 0 ? Word{} : Word{a / b};
      case Op::kModulo: return b == 0 ? Word{} : Word{a % b};
      case Op::kAnd: return a & b;
      case Op::kOr: return a | b;
      case Op::kXor: return a ^ b;
      case Op::kShiftLeft: return a << (b & 31);
      case Op::kShiftRight: return a >> (b & 31);
    }
    return std::nullopt;
  }

  const flow::Graph& graph_;
  const packet::Packet& packet_;
  std::vector<std::uint32_t> values_;
  std::vector<std::uint32_t> slots_;
};

}  // namespace

std::uint32_t evaluate(const flow::Graph& graph, const packet::Packet& packet) {
  return GraphMachine(graph, packet).run();
}

}  // namespace weir::reference
