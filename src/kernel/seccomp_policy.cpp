// The text of policies, read and written. Exports parse_policy, write_policy, write_rule, write_test.
//
// A policy is lines; a line is words; a word knows its place. Conditions are read by descent: or over and over one
// test.
#include <weir/kernel/seccomp.h>

#include <cctype>
#include <cstring>

#include <fmt/format.h>

#include "seccomp_actions.h"
#include "seccomp_number.h"

namespace weir::kernel {
namespace {

constexpr std::string_view kComparisons[] = {"==", "!=", "<", "<=", ">", ">="};

struct Word {
  std::string_view text;
  std::uint32_t begin = 0;
  Span span() const { return {begin, begin + static_cast<std::uint32_t>(text.size())}; }
};

// Words of one line: names with their brackets ("errno(EPERM)"), numbers, operators. Behind `if`, brackets and `|` are
// words of their own.
std::vector<Word> words_of(std::string_view line, std::uint32_t begin) {
  std::vector<Word> words;
  bool condition = false;
  const auto is_operator = [&](char c) { return std::strchr(condition ? "=!<>&|()" : "=!<>&", c) != nullptr; };
  for (std::size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (c == '#') break;
    if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ',') {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    if (is_operator(c)) {
      const char next = end < line.size() ? line[end] : '\0';
      if (c == '&' || c == '|' ? next == c : c != '(' && c != ')' && next == '=') ++end;
    } else {
      while (end < line.size() && std::isspace(static_cast<unsigned char>(line[end])) == 0 && line[end] != ',' &&
             line[end] != '#' && !is_operator(line[end]))
        ++end;
      if (!condition && line.substr(at, end - at).starts_with("if(")) end = at + 2;
    }
    words.push_back({line.substr(at, end - at), begin + static_cast<std::uint32_t>(at)});
    if (words.back().text == "if") condition = true;
    at = end;
  }
  return words;
}

class PolicyReader {
 public:
  Result<Policy> read(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = text.find('\n', at);
      if (end == std::string_view::npos) end = text.size();
      words_ = words_of(text.substr(at, end - at), static_cast<std::uint32_t>(at));
      line_end_ = static_cast<std::uint32_t>(end);
      next_ = 0;
      if (!words_.empty()) WEIR_CHECK(line());
      at = end + 1;
    }
    if (!default_seen_ && policy_.rules.empty())
      return fail(kEmptyPolicy, Span{0, 0}, "write a 'default' line, or rules such as 'allow read write'");
    return std::move(policy_);
  }

 private:
  Status line() {
    const Word first = words_[next_++];
    if (first.text == "arch") return architectures(first);
    if (first.text == "default" || first.text == "mismatch") {
      bool& seen = first.text == "default" ? default_seen_ : mismatch_seen_;
      if (std::exchange(seen, true)) return fail(fmt::format("'{}' stands twice", first.text), first.span());
      WEIR_TRY((first.text == "default" ? policy_.otherwise : policy_.mismatch), action(first));
      return nothing_left();
    }
    next_ = 0;
    return rule();
  }

  Status nothing_left() {
    if (next_ == words_.size()) return {};
    return fail(fmt::format("'{}' is not expected here", words_[next_].text), words_[next_].span());
  }

  Span here() const { return next_ < words_.size() ? words_[next_].span() : Span{line_end_, line_end_}; }

  Status architectures(const Word& first) {
    if (next_ == words_.size())
      return fail("the name of an architecture is missing", Span{first.span().end, line_end_});
    for (; next_ < words_.size(); ++next_) {
      const std::optional<Architecture> found = architecture_named(words_[next_].text);
      if (!found)
        return fail(fmt::format("unknown architecture '{}'", words_[next_].text), words_[next_].span(),
                    architecture_hint(words_[next_].text));
      for (const Architecture known : policy_.architectures)
        if (known == *found) return fail(fmt::format("'{}' stands twice", words_[next_].text), words_[next_].span());
      policy_.architectures.push_back(*found);
    }
    return {};
  }

  Result<Action> action(const Word& before) {
    if (next_ == words_.size())
      return fail(fmt::format("an action is missing after '{}'", before.text), here(), kActionHint);
    Result<Action> read = read_action(words_[next_].text);
    if (!read) {
      Error error = std::move(read).error();
      error.place = words_[next_].span();
      return fail(std::move(error));
    }
    ++next_;
    return read;
  }

  Status rule() {
    Rule rule;
    WEIR_TRY(rule.action, action(words_[0]));
    for (; next_ < words_.size() && words_[next_].text != "if"; ++next_) {
      const Word& word = words_[next_];
      if (find_syscall(word.text) == nullptr)
        return fail(fmt::format("unknown system call '{}'", word.text), word.span(), syscall_hint(word.text));
      rule.syscalls.emplace_back(word.text);
    }
    if (rule.syscalls.empty()) return fail("a rule names at least one system call", here());
    if (next_ < words_.size()) {
      ++next_;
      WEIR_TRY(rule.any_of, condition());
    }
    rule.place = cover(words_.front().span(), words_.back().span());
    policy_.rules.push_back(std::move(rule));
    return nothing_left();
  }

  bool take(std::string_view one, std::string_view other) {
    if (next_ == words_.size() || (words_[next_].text != one && words_[next_].text != other)) return false;
    ++next_;
    return true;
  }

  // Alternatives of tests that all hold; brackets are multiplied out.
  using AnyOf = std::vector<std::vector<ArgumentTest>>;
  static constexpr std::size_t kMostTests = 4096;
  static constexpr int kDeepest = 64;

  Result<AnyOf> condition(int depth = 0) {
    AnyOf any_of;
    do {
      WEIR_TRY(AnyOf one, conjunction(depth));
      any_of.insert(any_of.end(), one.begin(), one.end());
    } while (take("or", "||"));
    return any_of;
  }

  Result<AnyOf> conjunction(int depth) {
    const std::uint32_t begin = here().begin;
    AnyOf made{{}};
    do {
      WEIR_TRY(const AnyOf next, operand(depth));
      AnyOf both;
      std::size_t tests = 0;
      for (const auto& left : made)
        for (const auto& right : next) {
          tests += left.size() + right.size();
          if (tests > kMostTests)
            return fail(Error{.code = ErrorCode::kLimit,
                              .message = "multiplied out, this condition is too long",
                              .place = Span{begin, here().end},
                              .hint = "split the rule in several"});
          both.push_back(left);
          both.back().insert(both.back().end(), right.begin(), right.end());
        }
      made = std::move(both);
    } while (take("and", "&&"));
    return made;
  }

  Result<AnyOf> operand(int depth) {
    const Span open = here();
    if (!take("(", "(")) {
      WEIR_TRY(ArgumentTest one, test());
      return AnyOf{{one}};
    }
    if (depth == kDeepest) return fail("brackets are nested too deep", open);
    WEIR_TRY(AnyOf inside, condition(depth + 1));
    if (!take(")", ")")) return fail("a bracket is not closed", here(), "it needs a ')'");
    return inside;
  }

  // Numbers joined by '|', as O_WRONLY|O_RDWR; of 32 bits when `narrow`.
  Result<std::uint64_t> number(const char* what, bool narrow, bool ordered = false) {
    std::uint64_t whole = 0;
    const bool open = take("(", "(");
    do {
      if (next_ == words_.size()) return fail(fmt::format("{} is missing", what), here());
      const Word& word = words_[next_];
      Result<PolicyNumber> one = read_policy_number(word.text);
      if (!one) {
        Error error = std::move(one).error();
        error.place = word.span();
        if (word.text.starts_with("arg")) error.hint = "'or' and 'and' join tests; '|' joins numbers";
        return fail(std::move(error));
      }
      if (ordered && one->negative)
        return fail("numbers are compared without a sign: no number is less than 0", word.span());
      if (narrow) {
        const bool fits = one->negative ? one->value >= 0xffffffff80000000 : one->value <= 0xffffffff;
        if (!fits) return fail(fmt::format("'{}' does not fit in 32 bits", word.text), word.span());
        one->value &= 0xffffffff;
      }
      whole |= one->value;
      ++next_;
    } while (take("|", "|"));
    if (open && !take(")", ")")) return fail("a bracket is not closed", here(), "it needs a ')'");
    return whole;
  }

  Result<ArgumentTest> test() {
    ArgumentTest made;
    if (next_ == words_.size()) return fail("a test is missing", here(), "write it like 'arg1 == 5'");
    const std::string_view name = words_[next_].text;
    const bool narrow = name.ends_with(":32");
    if ((name.size() != 4 && !(narrow && name.size() == 7)) || !name.starts_with("arg") || name[3] < '0' ||
        name[3] > '5')
      return fail(fmt::format("'{}' is no argument", name), words_[next_].span(),
                  "arguments: arg0 to arg5, or arg0:32 for the lower 32 bits");
    made.argument = static_cast<std::uint8_t>(name[3] - '0');
    if (narrow) made.mask = kLower32;
    ++next_;
    if (take("&", "&")) {
      WEIR_TRY(made.mask, number("a mask", narrow));
    }
    for (std::size_t i = 0; i < std::size(kComparisons); ++i) {
      if (!take(kComparisons[i], i == 0 ? "=" : kComparisons[i])) continue;
      made.comparison = static_cast<Comparison>(i);
      WEIR_TRY(made.value, number("a number", narrow, i >= 2));
      return made;
    }
    return fail("a comparison is missing", here(), "one of == != < <= > >=");
  }

  Policy policy_;
  std::vector<Word> words_;
  std::size_t next_ = 0;
  std::uint32_t line_end_ = 0;
  bool default_seen_ = false;
  bool mismatch_seen_ = false;
};

}  // namespace

std::string_view name_of(Comparison comparison) { return kComparisons[static_cast<int>(comparison)]; }

Result<Policy> parse_policy(std::string_view text) { return PolicyReader().read(text); }

std::string write_test(const ArgumentTest& test) {
  std::string out = fmt::format("arg{}", test.argument);
  if (test.mask == kLower32 && test.value <= kLower32) out += ":32";
  else if (test.mask != ~std::uint64_t{0}) out += fmt::format(" & {:#x}", test.mask);
  return out + fmt::format(" {} {:#x}", name_of(test.comparison), test.value);
}

std::string write_rule(const Rule& rule) {
  std::string out = fmt::format("{} {}", write_action(rule.action), fmt::join(rule.syscalls, " "));
  for (std::size_t i = 0; i < rule.any_of.size(); ++i) {
    out += i == 0 ? " if " : " or ";
    for (std::size_t j = 0; j < rule.any_of[i].size(); ++j)
      out += (j == 0 ? "" : " and ") + write_test(rule.any_of[i][j]);
  }
  return out;
}

std::string write_policy(const Policy& policy) {
  std::string out;
  if (!policy.architectures.empty()) {
    out += "arch";
    for (const Architecture one : policy.architectures) out += fmt::format(" {}", info(one).name);
    out += "\n";
  }
  out += fmt::format("default {}\nmismatch {}\n", write_action(policy.otherwise), write_action(policy.mismatch));
  for (const Rule& rule : policy.rules) out += write_rule(rule) + "\n";
  return out;
}

}  // namespace weir::kernel
