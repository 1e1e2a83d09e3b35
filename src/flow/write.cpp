// Text forms of the graph. Exports write and write_dot.
#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>
#include <weir/flow/graph.h>

namespace weir::flow {
namespace {

constexpr std::string_view kOperators[] = {"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"};
constexpr std::string_view kConditions[] = {"==", ">", ">=", "&"};

std::string constant(std::uint32_t k) { return k < 10 ? std::to_string(k) : fmt::format("{:#x}", k); }

std::string describe(const Value& value) {
  switch (value.op) {
    case Op::kConstant: return constant(value.k);
    case Op::kLoad:
      if (value.a == kNone) return fmt::format("load{} [{}]{}", value.size, value.k, value.inside ? " inside" : "");
      return fmt::format("load{} [v{} + {}]{}", value.size, value.a, value.k, value.inside ? " inside" : "");
    case Op::kLength: return "len";
    case Op::kExtension: {
      const cbpf::ExtensionInfo* info = cbpf::find_extension(cbpf::kExtensionBase + value.k);
      return fmt::format("extension {}", info != nullptr ? info->text : "?");
    }
    case Op::kGetSlot: return fmt::format("slot {}", value.k);
    case Op::kSetSlot: return fmt::format("slot {} = v{}", value.k, value.a);
    case Op::kParameter: return fmt::format("parameter {}", value.k);
    case Op::kNegate: return fmt::format("-v{}", value.a);
    default: break;
  }
  const auto index = static_cast<std::size_t>(value.op) - static_cast<std::size_t>(Op::kAdd);
  return fmt::format("v{} {} v{}", value.a, kOperators[index], value.b);
}

std::string describe(const Edge& edge) {
  std::string out = fmt::format("b{}", edge.target);
  for (std::size_t i = 0; i < edge.arguments.size(); ++i)
    out += fmt::format("{}v{}", i == 0 ? "(" : ", ", edge.arguments[i]);
  return edge.arguments.empty() ? out : out + ")";
}

std::string condition(const Exit& exit) {
  if (exit.kind == ExitKind::kTest)
    return fmt::format("v{} {} v{}", exit.lhs, kConditions[static_cast<std::size_t>(exit.condition)], exit.rhs);
  std::string out = fmt::format("v{} in {{", exit.lhs);
  for (std::size_t i = 0; i < exit.set.size(); ++i) {
    const Range& range = exit.set[i];
    out += i == 0 ? "" : ", ";
    out += range.first == range.last ? constant(range.first) : constant(range.first) + "-" + constant(range.last);
  }
  return out + "}";
}

std::string describe(const Exit& exit) {
  switch (exit.kind) {
    case ExitKind::kVerdict: return fmt::format("verdict v{}", exit.lhs);
    case ExitKind::kJump: return fmt::format("go to {}", describe(exit.if_true));
    case ExitKind::kTest:
    case ExitKind::kSet:
      return fmt::format("if {} go to {} else {}", condition(exit), describe(exit.if_true), describe(exit.if_false));
  }
  return "?";
}

std::string body(const Graph& graph, const Block& block, std::string_view indent, std::string_view end) {
  std::string out;
  for (const ValueId id : block.values) {
    const std::string text = describe(graph[id]);
    out += graph[id].op == Op::kSetSlot ? fmt::format("{}{}{}", indent, text, end)
                                        : fmt::format("{}v{} = {}{}", indent, id, text, end);
  }
  return out + fmt::format("{}{}{}", indent, describe(block.exit), end);
}

}  // namespace

std::string write(const Graph& graph) {
  std::string out;
  for (const BlockId id : topological_order(graph)) {
    const Block& block = graph.blocks[id];
    out += fmt::format("b{}", id);
    for (std::size_t i = 0; i < block.parameters.size(); ++i)
      out += fmt::format("{}v{}", i == 0 ? "(" : ", ", block.parameters[i]);
    out += block.parameters.empty() ? ":" : "):";
    if (block.outside != kNone) out += fmt::format(" outside b{}", block.outside);
    out += "\n" + body(graph, block, "  ", "\n");
  }
  return out;
}

std::string write_dot(const Graph& graph) {
  std::string out = "digraph flow {\n  node [shape=box, fontname=monospace];\n";
  for (const BlockId id : topological_order(graph)) {
    const Block& block = graph.blocks[id];
    out += fmt::format("  b{} [label=\"b{}\\l{}\"];\n", id, id, body(graph, block, "", "\\l"));
    if (block.exit.kind == ExitKind::kVerdict) continue;
    const bool two = block.exit.kind != ExitKind::kJump;
    out += fmt::format("  b{} -> b{}{};\n", id, block.exit.if_true.target, two ? " [label=true]" : "");
    if (two) out += fmt::format("  b{} -> b{} [label=false];\n", id, block.exit.if_false.target);
    if (block.outside != kNone) out += fmt::format("  b{} -> b{} [label=outside, style=dashed];\n", id, block.outside);
  }
  return out + "}\n";
}

}  // namespace weir::flow
