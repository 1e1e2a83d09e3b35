// The text of policies, read and written. Exports parse_policy, write_policy, read_action, write_action.
//
// A policy is lines; a line is words; a word knows its place. Conditions are read by descent: or over and over one
// test.
#include <weir/kernel/seccomp.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::kernel {
namespace {

struct ErrorName {
  std::string_view name;
  std::uint32_t number;
};
constexpr ErrorName kErrors[] = {
    {"EPERM", EPERM},
    {"ENOENT", ENOENT},
    {"EINTR", EINTR},
    {"EIO", EIO},
    {"ENXIO", ENXIO},
    {"EBADF", EBADF},
    {"ECHILD", ECHILD},
    {"EAGAIN", EAGAIN},
    {"ENOMEM", ENOMEM},
    {"EACCES", EACCES},
    {"EFAULT", EFAULT},
    {"EBUSY", EBUSY},
    {"EEXIST", EEXIST},
    {"ENODEV", ENODEV},
    {"EINVAL", EINVAL},
    {"EMFILE", EMFILE},
    {"ENOTTY", ENOTTY},
    {"EROFS", EROFS},
    {"EPIPE", EPIPE},
    {"ENOSYS", ENOSYS},
    {"ENOTSUP", EOPNOTSUPP},
    {"EOPNOTSUPP", EOPNOTSUPP},
    {"EAFNOSUPPORT", EAFNOSUPPORT},
    {"EPROTONOSUPPORT", EPROTONOSUPPORT},
};

struct ActionName {
  std::string_view name;
  std::uint32_t value;
  bool has_data;
};
constexpr ActionName kActions[] = {
    {"kill", 0x80000000, false}, {"kill-thread", 0, false},     {"trap", 0x00030000, false},
    {"errno", 0x00050000, true}, {"notify", 0x7fc00000, false}, {"trace", 0x7ff00000, true},
    {"log", 0x7ffc0000, false},  {"allow", 0x7fff0000, false},
};

constexpr std::string_view kComparisons[] = {"==", "!=", "<", "<=", ">", ">="};

std::string action_hint() { return "actions: kill, kill-thread, trap, errno(N), notify, trace(N), log, allow"; }

struct Word {
  std::string_view text;
  std::uint32_t begin = 0;
  Span span() const { return {begin, begin + static_cast<std::uint32_t>(text.size())}; }
};

template <typename T>
bool read_number(std::string_view text, T& value) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const char* const first = text.data() + (hex ? 2 : 0);
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, value, hex ? 16 : 10);
  return error == std::errc() && end == last && first != last;
}

// Words of one line: names with their brackets ("errno(EPERM)"), numbers, operators.
std::vector<Word> words_of(std::string_view line, std::uint32_t begin) {
  std::vector<Word> words;
  const auto is_operator = [](char c) { return std::strchr("=!<>&", c) != nullptr; };
  for (std::size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (c == '#') break;
    if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ',') {
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    if (is_operator(c)) {
      if (end < line.size() && c != '&' && line[end] == '=') ++end;
      else if (c == '&' && end < line.size() && line[end] == '&') ++end;
    } else {
      while (end < line.size() && std::isspace(static_cast<unsigned char>(line[end])) == 0 && line[end] != ',' &&
             line[end] != '#' && !is_operator(line[end]))
        ++end;
    }
    words.push_back({line.substr(at, end - at), begin + static_cast<std::uint32_t>(at)});
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
      return fail(fmt::format("an action is missing after '{}'", before.text), here(), action_hint());
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
      if (find_syscall(word.text) == nullptr) {
        std::vector<std::string_view> names;
        for (const Syscall& one : syscalls()) names.push_back(one.name);
        return fail(fmt::format("unknown system call '{}'", word.text), word.span(), did_you_mean(word.text, names));
      }
      rule.syscalls.emplace_back(word.text);
    }
    if (rule.syscalls.empty()) return fail("a rule names at least one system call", here());
    if (next_ < words_.size()) {
      ++next_;
      WEIR_TRY(rule.any_of, condition());
    }
    policy_.rules.push_back(std::move(rule));
    return nothing_left();
  }

  bool take(std::string_view one, std::string_view other) {
    if (next_ == words_.size() || (words_[next_].text != one && words_[next_].text != other)) return false;
    ++next_;
    return true;
  }

  Result<std::vector<std::vector<ArgumentTest>>> condition() {
    std::vector<std::vector<ArgumentTest>> any_of;
    do {
      std::vector<ArgumentTest> all_of;
      do {
        WEIR_TRY(const ArgumentTest one, test());
        all_of.push_back(one);
      } while (take("and", "&&"));
      any_of.push_back(std::move(all_of));
    } while (take("or", "||"));
    return any_of;
  }

  Result<std::uint64_t> number(const char* what) {
    std::uint64_t value = 0;
    if (next_ == words_.size()) return fail(fmt::format("{} is missing", what), here());
    if (!read_number(words_[next_].text, value))
      return fail(fmt::format("'{}' is no number of 64 bits", words_[next_].text), here(), "decimal, or 0x...");
    ++next_;
    return value;
  }

  Result<ArgumentTest> test() {
    ArgumentTest made;
    if (next_ == words_.size()) return fail("a test is missing", here(), "write it like 'arg1 == 5'");
    const std::string_view name = words_[next_].text;
    if (name.size() != 4 || !name.starts_with("arg") || name[3] < '0' || name[3] > '5')
      return fail(fmt::format("'{}' is no argument", name), here(), "arguments: arg0 to arg5");
    made.argument = static_cast<std::uint8_t>(name[3] - '0');
    ++next_;
    if (take("&", "&")) {
      WEIR_TRY(made.mask, number("a mask"));
    }
    for (std::size_t i = 0; i < std::size(kComparisons); ++i) {
      if (!take(kComparisons[i], i == 0 ? "=" : kComparisons[i])) continue;
      made.comparison = static_cast<Comparison>(i);
      WEIR_TRY(made.value, number("a number"));
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

std::string write_action(Action action) {
  // kernel/seccomp.c: what it does not know kills the process.
  const std::uint32_t data = action.value & 0xffff;
  for (const ActionName& one : kActions) {
    if (one.value != (action.value & 0xffff0000)) continue;
    if (!one.has_data) return std::string(one.name);
    if (one.name == "errno")
      for (const ErrorName& error : kErrors)
        if (error.number == data) return fmt::format("errno({})", error.name);
    return fmt::format("{}({})", one.name, data);
  }
  return fmt::format("kill (unknown action {:#x})", action.value);
}

Result<Action> read_action(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::string_view name = text.substr(0, open);
  for (const ActionName& one : kActions) {
    if (one.name != name) continue;
    if (!one.has_data) {
      if (open != std::string_view::npos) return fail(fmt::format("'{}' takes no number", name));
      return Action{one.value};
    }
    if (open == std::string_view::npos || !text.ends_with(')'))
      return fail(fmt::format("'{}' needs a number in brackets", name), {}, fmt::format("{}(1)", name));
    const std::string_view inside = text.substr(open + 1, text.size() - open - 2);
    if (one.name == "errno")
      for (const ErrorName& error : kErrors)
        if (error.name == inside) return Action{one.value | error.number};
    std::uint32_t data = 0;
    const std::uint32_t most = one.name == "errno" ? 4095 : 65535;  // MAX_ERRNO
    if (!read_number(inside, data) || data > most)
      return fail(fmt::format("'{}' is no number up to {}", inside, most), {},
                  one.name == "errno" ? "or a name: EPERM" : "");
    return Action{one.value | data};
  }
  std::vector<std::string_view> names;
  for (const ActionName& one : kActions) names.push_back(one.name);
  std::string hint = did_you_mean(name, names);
  return fail(fmt::format("unknown action '{}'", text), {}, hint.empty() ? action_hint() : std::move(hint));
}

Result<Policy> parse_policy(std::string_view text) { return PolicyReader().read(text); }

std::string write_policy(const Policy& policy) {
  std::string out;
  if (!policy.architectures.empty()) {
    out += "arch";
    for (const Architecture one : policy.architectures) out += fmt::format(" {}", info(one).name);
    out += "\n";
  }
  out += fmt::format("default {}\nmismatch {}\n", write_action(policy.otherwise), write_action(policy.mismatch));
  for (const Rule& rule : policy.rules) {
    out += fmt::format("{} {}", write_action(rule.action), fmt::join(rule.syscalls, " "));
    for (std::size_t i = 0; i < rule.any_of.size(); ++i) {
      out += i == 0 ? " if " : " or ";
      for (std::size_t j = 0; j < rule.any_of[i].size(); ++j) {
        const ArgumentTest& test = rule.any_of[i][j];
        out += fmt::format("{}arg{}", j == 0 ? "" : " and ", test.argument);
        if (test.mask != ~std::uint64_t{0}) out += fmt::format(" & {:#x}", test.mask);
        out += fmt::format(" {} {:#x}", name_of(test.comparison), test.value);
      }
    }
    out += "\n";
  }
  return out;
}

}  // namespace weir::kernel
