// `host @FILE`: every word of a file is an identifier with the qualifiers before the @. Exports
// Binder::members_of_file.
//
// Words are parted by blanks, commas and line ends; '#' starts a comment. A word has the form of an identifier in an
// expression: an address, perhaps with a prefix length, a number, a range of ports, a name. As in a set, a prefix makes
// it a net and a range a range of ports.
#include <fmt/format.h>

#include <weir/base/file.h>

#include "filter/binder.h"
#include "filter/lex.h"

namespace weir::filter {
namespace {

IdKind id_kind_of(const Token& token) {
  switch (token.kind) {
    case TokenKind::kNumber: return IdKind::kNumber;
    case TokenKind::kIpv4: return IdKind::kIpv4;
    case TokenKind::kIpv6: return IdKind::kIpv6;
    case TokenKind::kMac48: return IdKind::kMac48;
    case TokenKind::kMac8: return IdKind::kMac8;
    default: return IdKind::kName;
  }
}

// The identifier that a word stands for; nothing where it has no such form.
std::optional<Id> read_id(std::string_view word, Span span) {
  const Words words = lex(word);
  if (words.error || words.tokens.size() < 2) return std::nullopt;
  const Token& first = words.tokens[0];
  const bool name = first.kind == TokenKind::kName || first.kind == TokenKind::kKeyword;
  const bool address = first.kind == TokenKind::kIpv4 || first.kind == TokenKind::kIpv6;
  if (!name && !address && first.kind != TokenKind::kNumber && first.kind != TokenKind::kMac48 &&
      first.kind != TokenKind::kMac8)
    return std::nullopt;
  Id id{.kind = id_kind_of(first), .text = std::string(first.text), .second = {}, .number = first.value, .span = span};
  if (words.tokens.size() == 2) return id;
  const bool slash = is_symbol(words.tokens[1], Symbol::kSlash);
  if (!address || words.tokens.size() != 4 || !slash || words.tokens[2].kind != TokenKind::kNumber) return std::nullopt;
  id.kind = first.kind == TokenKind::kIpv4 ? IdKind::kIpv4Prefix : IdKind::kIpv6Prefix;
  id.number = words.tokens[2].value;
  if (id.number > (first.kind == TokenKind::kIpv4 ? 32u : 128u)) return std::nullopt;
  return id;
}

}  // namespace

FormulaId Binder::file_member(std::string_view word, const std::string& place) {
  std::optional<Id> id = read_id(word, node().id.span);
  if (!id)
    return refuse(fmt::format("{}: '{}' is neither an address nor a number nor a name", place, tidy(std::string(word))),
                  node().id.span);
  Node member = node();
  member.id = std::move(*id);
  const Type type = member.qualifiers.type;
  const bool prefix = member.id.kind == IdKind::kIpv4Prefix || member.id.kind == IdKind::kIpv6Prefix;
  if (prefix && (type == Type::kHost || type == Type::kDefault)) member.qualifiers.type = Type::kNet;
  if (member.id.kind == IdKind::kName && type == Type::kPort && word.find('-') != std::string_view::npos)
    member.qualifiers.type = Type::kPortRange;
  const Node* outer = node_;
  node_ = &member;
  const FormulaId result = primitive();
  node_ = outer;
  if (error_) error_->message = fmt::format("{}: {}", place, error_->message);
  return result;
}

FormulaId Binder::members_of_file() {
  constexpr std::size_t kLargest = 64u << 20;
  const std::string path = node().id.text;
  Result<std::string> text = options_.read_file ? options_.read_file(path) : read_whole_file(path, kLargest);
  if (!text) {
    Error error = std::move(text.error());
    error.place = node().id.span;
    if (!error_) error_ = std::move(error);
    return 0;
  }
  std::vector<FormulaId> members;
  std::size_t line = 1;
  const std::string_view rest = *text;
  const auto parts_words = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ','; };
  for (std::size_t at = 0; at < rest.size() && !error_;) {
    if (parts_words(rest[at])) {
      line += rest[at++] == '\n' ? 1 : 0;
    } else if (rest[at] == '#') {
      at = std::min(rest.find('\n', at), rest.size());
    } else {
      std::size_t end = at;
      while (end < rest.size() && !parts_words(rest[end]) && rest[end] != '#') ++end;
      members.push_back(file_member(rest.substr(at, end - at), fmt::format("{}:{}", path, line)));
      at = end;
    }
  }
  if (error_) return 0;
  if (members.empty()) return refuse(fmt::format("the file '{}' names nothing", path), node().id.span);
  return connect(FormulaKind::kOr, members);
}

}  // namespace weir::filter
