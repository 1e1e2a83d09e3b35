// A program as a picture of its blocks, for Graphviz and for Mermaid. Exports write_dot and write_mermaid.
//
// A block is a run of instructions that only its first is jumped to; its label is the listing of them. Jumps that lead
// out of the program lead to a node of that name.
#include <fmt/format.h>

#include <functional>
#include <vector>

#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>

#include "cbpf/write_source.h"

namespace weir::cbpf {
namespace {

struct Edge {
  std::uint64_t to;        // an instruction; the program's size or more is outside
  std::string_view label;  // "true", "false", or empty
};

// Where control goes after the instruction.
std::vector<Edge> edges_of(const Program& program, std::size_t at) {
  const Instruction& i = program[at];
  const OpcodeInfo* info = find(i.code);
  const std::uint64_t next = std::uint64_t{at} + 1;
  if (info == nullptr) return {{next, ""}};
  if (info->mnemonic == "ret") return {};
  if (info->shape == OperandShape::kJump) return {{next + i.k, ""}};
  if (info->shape == OperandShape::kBranchConstant || info->shape == OperandShape::kBranchIndex) {
    if (i.jt == i.jf) return {{next + i.jt, ""}};
    return {{next + i.jt, "true"}, {next + i.jf, "false"}};
  }
  return {{next, ""}};
}

bool ends_block(const Program& program, std::size_t at) {
  const std::vector<Edge> edges = edges_of(program, at);
  return edges.size() != 1 || edges[0].to != at + 1;
}

struct Block {
  std::size_t begin;
  std::size_t end;
};

std::vector<Block> blocks_of(const Program& program) {
  std::vector<bool> starts(program.size() + 1, false);
  for (std::size_t at = 0; at < program.size(); ++at) {
    if (!ends_block(program, at)) continue;
    starts[at + 1] = true;
    for (const Edge& edge : edges_of(program, at))
      if (edge.to < program.size()) starts[edge.to] = true;
  }
  std::vector<Block> blocks;
  for (std::size_t at = 0; at < program.size(); ++at) {
    if (at == 0 || starts[at]) blocks.push_back({at, at});
    blocks.back().end = at + 1;
  }
  return blocks;
}

std::string node(const Program& program, std::uint64_t at) {
  return at < program.size() ? fmt::format("b{}", at) : std::string("outside");
}

using EachNode = std::function<void(const Block&, const std::string& name)>;
using EachEdge = std::function<void(const std::string& from, const Edge& edge, const std::string& to)>;

// Returns whether an edge leads outside.
bool visit(const Program& program, const EachNode& each_node, const EachEdge& each_edge) {
  bool outside = false;
  for (const Block& block : blocks_of(program)) {
    const std::string name = node(program, block.begin);
    each_node(block, name);
    for (const Edge& edge : edges_of(program, block.end - 1)) {
      each_edge(name, edge, node(program, edge.to));
      outside = outside || edge.to >= program.size();
    }
  }
  return outside;
}

}  // namespace

std::string write_dot(const Program& program) {
  std::string out = "digraph program {\n  node [shape=box, fontname=monospace, labeljust=l];\n";
  const bool outside = visit(
      program,
      [&](const Block& block, const std::string& name) {
        std::string label;
        for (std::size_t at = block.begin; at < block.end; ++at)
          label += fmt::format("({:03}) {}\\l", at, program_remark(program, at));
        out += fmt::format("  {} [label=\"{}\"];\n", name, label);
      },
      [&](const std::string& from, const Edge& edge, const std::string& to) {
        out += fmt::format("  {} -> {}", from, to);
        out += edge.label.empty() ? ";\n" : fmt::format(" [label=\"{}\"];\n", edge.label);
      });
  if (outside) out += "  outside [style=dashed];\n";
  return out + "}\n";
}

std::string write_mermaid(const Program& program) {
  std::string out = "flowchart TD\n";
  const auto escaped = [](const std::string& text) {
    std::string safe;
    for (const char c : text) {
      if (c == '#') safe += "#35;";
      else if (c == '&') safe += "#38;";
      else safe += c;
    }
    return safe;
  };
  visit(
      program,
      [&](const Block& block, const std::string& name) {
        std::string label;
        for (std::size_t at = block.begin; at < block.end; ++at)
          label +=
              fmt::format("{}({:03}) {}", at == block.begin ? "" : "<br/>", at, escaped(program_remark(program, at)));
        out += fmt::format("  {}[\"{}\"]\n", name, label);
      },
      [&](const std::string& from, const Edge& edge, const std::string& to) {
        out += edge.label.empty() ? fmt::format("  {} --> {}\n", from, to)
                                  : fmt::format("  {} -->|{}| {}\n", from, edge.label, to);
      });
  return out;
}

}  // namespace weir::cbpf
