// Any bytes as an expression: parse() gives a tree or an error, never a crash.
//
// Checked of a tree: children stand before parents, every node but the root has one parent, places lie in the text and
// within the parent's, qualifiers are there where an identifier is. Of an error: one line, its place lies in the text,
// and it can be rendered. write_tokens() fails exactly when the text has something that is no word, which parse()
// then refuses too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <weir/base/render.h>
#include <weir/filter/parse.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

void check_tree(const weir::filter::Ast& ast, std::size_t length) {
  using namespace weir::filter;
  require(ast.root < ast.nodes.size());
  std::vector<int> parents(ast.nodes.size());
  for (NodeId id = 0; id < ast.nodes.size(); ++id) {
    const Node& node = ast[id];
    require(node.span.begin <= node.span.end && node.span.end <= length);
    if (node.kind == NodeKind::kPrimitive)
      require(node.qualifiers.direction != Direction::kDefault || node.qualifiers.type != Type::kDefault);
    if (node.kind == NodeKind::kAnd || node.kind == NodeKind::kOr) require(node.children.size() >= 2);
    if (node.kind == NodeKind::kNot) require(node.children.size() == 1);
    for (const NodeId child : node.children) {
      require(child < id);
      ++parents[child];
      require(ast[child].span.begin >= node.span.begin && ast[child].span.end <= node.span.end);
    }
  }
  for (NodeId id = 0; id < ast.nodes.size(); ++id) require(parents[id] == (id == ast.root ? 0 : 1));
  require(!write(ast).empty());
}

void check_error(const weir::Error& error, std::string_view text) {
  require(!error.message.empty() && error.message.find('\n') == std::string::npos);
  require(error.hint.find('\n') == std::string::npos);
  const auto* span = std::get_if<weir::Span>(&error.place);
  require(span != nullptr && span->begin <= span->end && span->end <= text.size());
  require(!weir::render(error, text).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ast = weir::filter::parse(text);
  if (ast) check_tree(*ast, size);
  else check_error(ast.error(), text);
  const auto tokens = weir::filter::write_tokens(text);
  if (!tokens) {
    check_error(tokens.error(), text);
    require(!ast);
  }
  return 0;
}
