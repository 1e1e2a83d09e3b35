// The walk over the tree. Exports bind.
//
// Leaves are bound from left to right, since `vlan` and its like change the layout for all leaves after them, whatever
// connective stands between. The walk has its own stack, so a chain of any length and depth is bound.
#include <weir/filter/bind.h>

#include <fmt/format.h>

#include "filter/binder.h"

namespace weir::filter {

Binder::Binder(const Ast& ast, const BindOptions& options)
    : ast_(ast), options_(options), resolver_(options.resolver != nullptr ? *options.resolver : system_resolver()) {
  // A primitive becomes some twenty nodes, and its terms are mostly those of the one before.
  bound_.nodes.reserve(22 * ast.nodes.size() + 8);
  bound_.terms.reserve(4 * ast.nodes.size() + 32);
  no();  // node 0: what rules return after an error
}

Result<BindResult> Binder::run() {
  if (packet::find(options_.link_type) == nullptr)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format("unknown link type {}", static_cast<unsigned>(options_.link_type))});
  layout_ = layout_of(options_.link_type);
  if (has_variable_link_header(layout_.type)) layout_.link_header.variable = header_variable_ = new_variable();
  if (has_variable_payload(layout_.type)) layout_.payload.variable = payload_variable_ = new_variable();
  outer_type_field_ = layout_.type_field.constant;
  if (options_.vlan == VlanMode::kAuto) look_through_tags();
  outer_link_header_ = layout_.link_header;
  const FormulaId result = walk();
  if (!error_) refuse_no_match(result);
  if (error_) return fail(std::move(*error_));
  bound_.root = ast_[ast_.root].kind == NodeKind::kEmpty ? result : prelude(result);
  return BindResult{std::move(bound_), std::move(warnings_)};
}

FormulaId Binder::walk() {
  struct Frame {
    NodeId node;
    std::vector<FormulaId> bound{};
    std::size_t shifts = 0;  // how many there were before its children
  };
  std::vector<Frame> stack;
  stack.push_back({ast_.root});
  FormulaId result = 0;
  while (!stack.empty() && !error_) {
    Frame& frame = stack.back();
    const Node& node = ast_[frame.node];
    const bool connective = node.kind == NodeKind::kAnd || node.kind == NodeKind::kOr || node.kind == NodeKind::kNot;
    const bool shifted = shifts_.size() > frame.shifts;
    if (connective && frame.bound.size() < node.children.size()) {
      const NodeId child = node.children[frame.bound.size()];
      if (node.kind == NodeKind::kOr && shifted) warn_of_shift(shifts_.back(), false, ast_[child]);
      stack.push_back({child, {}, shifts_.size()});
      continue;
    }
    if (!connective) {
      result = leaf(node);
    } else if (node.kind == NodeKind::kNot) {
      result = negate(frame.bound.front());
      if (shifted) negated_shift_ = shifts_.back();
    } else {
      if (options_.warn) warn_of_contradiction(node, frame.bound);
      result = connect(node.kind == NodeKind::kAnd ? FormulaKind::kAnd : FormulaKind::kOr, frame.bound);
    }
    stack.pop_back();
    if (!stack.empty()) stack.back().bound.push_back(result);
  }
  return result;
}

// Two tests under one `and` that exclude each other, or two under one `or` of which one always holds.
void Binder::warn_of_contradiction(const Node& connective, std::span<const FormulaId> bound) {
  constexpr std::size_t kMostCompared = 24;
  if (bound.size() > kMostCompared) return;
  const bool is_and = connective.kind == NodeKind::kAnd;
  SmallVector<VariableId, 4> reassigned;
  if (chain_) reassigned = {chain_->first, chain_->second};
  if (transport_) reassigned.push_back(*transport_);
  const auto decided = [&](FormulaId id) {
    return bound_.nodes[id].kind == FormulaKind::kTrue || bound_.nodes[id].kind == FormulaKind::kFalse;
  };
  for (std::size_t j = 1; j < bound.size(); ++j)
    for (std::size_t i = 0; i < j; ++i) {
      if (decided(bound[i]) || decided(bound[j])) continue;
      if (!contradict(bound_, {bound[i], !is_and}, {bound[j], !is_and}, reassigned)) continue;
      const std::string_view first = words_of(ast_[connective.children[i]].span);
      const Node& second = ast_[connective.children[j]];
      warnings_.push_back(
          {.severity = Severity::kWarning,
           .message = is_and ? fmt::format("no packet matches both '{}' and '{}'", first, words_of(second.span))
                             : fmt::format("every packet matches '{}' or '{}'", first, words_of(second.span)),
           .place = second.span,
           .hint = is_and ? "so this 'and' matches nothing; did you mean 'or'?"
                          : "so this 'or' tests nothing but that the packet is long enough"});
      return;
    }
}

FormulaId Binder::leaf(const Node& leaf_node) {
  node_ = &leaf_node;
  if (negated_shift_) warn_of_shift(*negated_shift_, true, leaf_node);
  negated_shift_.reset();
  const std::size_t first = bound_.nodes.size();
  FormulaId result = 0;
  switch (leaf_node.kind) {
    case NodeKind::kEmpty: result = yes(); break;
    case NodeKind::kPrimitive: result = primitive(); break;
    case NodeKind::kProtocol: result = protocol_alone(leaf_node.qualifiers.protocol); break;
    case NodeKind::kRelation: result = relation(); break;
    default: result = special(); break;
  }
  if (!error_ && bound_.nodes[result].kind == FormulaKind::kFalse) no_match_.push_back(leaf_node.span);
  const auto origin = static_cast<std::uint32_t>(node_ - ast_.nodes.data());
  for (std::size_t i = first; i < bound_.nodes.size(); ++i) bound_.nodes[i].origin = origin;
  return result;
}

// A test that cannot hold is nearly always a mistake; as the whole expression it would drop every packet.
void Binder::refuse_no_match(FormulaId root) {
  const auto message = [&](Span span) {
    return fmt::format("'{}' matches no packet of link type {}", words_of(span), packet::name_of(options_.link_type));
  };
  if (bound_.nodes[root].kind == FormulaKind::kFalse && !options_.allow_no_match) {
    const Span span = no_match_.empty() ? ast_[ast_.root].span : no_match_.front();
    refuse(message(span), span, no_match_.empty() ? "" : "so the whole expression matches none");
    return;
  }
  for (const Span span : no_match_)
    warnings_.push_back({.severity = Severity::kWarning, .message = message(span), .place = span});
}

FormulaId Binder::primitive() {
  const Qualifiers& qualifiers = node().qualifiers;
  const Id& id = node().id;
  const bool address = qualifiers.type == Type::kDefault || qualifiers.type == Type::kHost;
  switch (id.kind) {
    case IdKind::kFile: return members_of_file();
    case IdKind::kName:
      if (qualifiers.protocol == Protocol::kDecnet)
        return refuse("'decnet' takes an address, not a name", id.span, "as in 'decnet host 10.15'");
      switch (qualifiers.type) {
        case Type::kNet: return net_named();
        case Type::kPort: return port_named();
        case Type::kPortRange: return port_range_named();
        case Type::kGateway: return gateway();
        case Type::kProto:
        case Type::kProtoChain: return proto_named();
        case Type::kDefault:
        case Type::kHost: break;
      }
      if (qualifiers.protocol == Protocol::kLink) return mac48_named(id.text, qualifiers.direction, "host");
      // A link type that says nothing of what it carries has no ARP either.
      if (layout_.type_field.constant == kNotThere && qualifiers.protocol == Protocol::kDefault)
        return host_named(id.text, Protocol::kIp, Protocol::kIp6, qualifiers.direction);
      return host_named(id.text, qualifiers.protocol, qualifiers.protocol, qualifiers.direction);
    case IdKind::kNumber:
      switch (qualifiers.type) {
        case Type::kPort:
        case Type::kPortRange: return port_number();
        case Type::kProto: return proto(id.number, qualifiers.protocol);
        case Type::kProtoChain: return proto_named();
        default: return ipv4_id();
      }
    case IdKind::kIpv4:
    case IdKind::kIpv4Prefix:
    case IdKind::kIpv4Mask: return ipv4_id();
    case IdKind::kIpv6:
    case IdKind::kIpv6Prefix: return ipv6_id();
    case IdKind::kMac48: {
      if (!address || qualifiers.protocol != Protocol::kLink)
        return refuse(fmt::format("the MAC address '{}' needs 'ether' before it", id.text), id.span,
                      fmt::format("as in 'ether host {}'", id.text));
      const auto mac = parse_mac48(id.text);
      if (!mac) return refuse(fmt::format("'{}' is not a MAC address", id.text), id.span);
      return mac48(*mac, qualifiers.direction, "host");
    }
    case IdKind::kMac8: {
      if (!address || qualifiers.protocol != Protocol::kLink)
        return refuse(fmt::format("the address '{}' needs 'link' before it", id.text), id.span,
                      fmt::format("as in 'link host {}'", id.text));
      return mac8(*parse_mac8(id.text), qualifiers.direction, "host");
    }
  }
  return no();
}

Result<BindResult> bind(const Ast& ast, const BindOptions& options) { return Binder(ast, options).run(); }

}  // namespace weir::filter
