// Policies as JSON. Exports policy_from_json and policy_to_json.
#include "seccomp_json.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/kernel/syscalls.h>

#include "json_text.h"

namespace weir::tool {
namespace {

using nlohmann::json;

// Whether an object has only these members.
Status only(const json& object, std::initializer_list<const char*> names, const std::string& where) {
  if (!object.is_object()) return fail(where + " is no object");
  for (const auto& member : object.items()) {
    const std::string& key = member.key();
    if (std::find_if(names.begin(), names.end(), [&](const char* name) { return key == name; }) == names.end())
      return fail(fmt::format("{} has an unknown member '{}'", where, key));
  }
  return {};
}

Result<std::string> text_of(const json& value, const std::string& where) {
  if (!value.is_string()) return fail(where + " is no text");
  return value.get<std::string>();
}

// With the path before the message.
tl::unexpected<Error> fail_at(const std::string& where, Error error) {
  error.message = fmt::format("{}: {}", where, error.message);
  return fail(std::move(error));
}

Result<kernel::Action> action_of(const json& value, const std::string& where) {
  WEIR_TRY(const std::string text, text_of(value, where));
  Result<kernel::Action> action = kernel::read_action(text);
  if (!action) return fail_at(where, std::move(action).error());
  return action;
}

// A number, or text as in policies: "AF_INET", "0x10", "-100".
Result<std::uint64_t> number_of(const json& object, const char* name, const std::string& where) {
  const std::string path = where + "." + name;
  if (!object.contains(name)) return fail(path + " is missing");
  const json& value = object[name];
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (value.is_number_integer()) return static_cast<std::uint64_t>(value.get<std::int64_t>());
  if (!value.is_string()) return fail(path + " is no whole number");
  Result<std::uint64_t> number = kernel::read_number(value.get<std::string>());
  if (!number) return fail_at(path, std::move(number).error());
  return number;
}

Result<kernel::ArgumentTest> test_of(const json& value, const std::string& where) {
  WEIR_CHECK(only(value, {"arg", "op", "value", "mask"}, where));
  kernel::ArgumentTest test;
  WEIR_TRY(const std::uint64_t argument, number_of(value, "arg", where));
  if (argument > 5) return fail(where + ".arg: arguments are 0 to 5");
  test.argument = static_cast<std::uint8_t>(argument);
  WEIR_TRY(test.value, number_of(value, "value", where));
  if (value.contains("mask")) {
    WEIR_TRY(test.mask, number_of(value, "mask", where));
  }
  WEIR_TRY(const std::string op, text_of(value.value("op", json()), where + ".op"));
  for (int i = 0; i < 6; ++i) {
    test.comparison = static_cast<kernel::Comparison>(i);
    if (kernel::name_of(test.comparison) == op) return test;
  }
  return fail(fmt::format("{}.op: unknown comparison '{}'", where, op), {}, "one of == != < <= > >=");
}

Result<kernel::Rule> rule_of(const json& value, const std::string& where) {
  WEIR_CHECK(only(value, {"action", "syscalls", "any_of"}, where));
  kernel::Rule rule;
  WEIR_TRY(rule.action, action_of(value.value("action", json()), where + ".action"));
  const json calls = value.value("syscalls", json());
  if (!calls.is_array() || calls.empty()) return fail(where + ".syscalls is no list of names");
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::string at = fmt::format("{}.syscalls[{}]", where, i);
    WEIR_TRY(std::string name, text_of(calls[i], at));
    if (kernel::find_syscall(name) == nullptr)
      return fail(fmt::format("{}: unknown system call '{}'", at, name), {}, kernel::syscall_hint(name));
    rule.syscalls.push_back(std::move(name));
  }
  if (!value.contains("any_of")) return rule;
  const json& any_of = value["any_of"];
  if (!any_of.is_array()) return fail(where + ".any_of is no list");
  if (any_of.empty())
    return fail(where + ".any_of is empty: none of no tests holds", {}, "a rule without 'any_of' always fits");
  for (std::size_t i = 0; i < any_of.size(); ++i) {
    const std::string at = fmt::format("{}.any_of[{}]", where, i);
    if (!any_of[i].is_array() || any_of[i].empty()) return fail(at + " is no list of tests, or empty");
    std::vector<kernel::ArgumentTest> tests;
    for (std::size_t j = 0; j < any_of[i].size(); ++j) {
      WEIR_TRY(const kernel::ArgumentTest test, test_of(any_of[i][j], fmt::format("{}[{}]", at, j)));
      tests.push_back(test);
    }
    rule.any_of.push_back(std::move(tests));
  }
  return rule;
}

}  // namespace

Result<kernel::Policy> policy_from_json(const std::string& text) {
  json whole;
  try {
    whole = json::parse(text);
  } catch (const json::parse_error& error) {
    const auto at = static_cast<std::uint32_t>(error.byte > 0 ? error.byte - 1 : 0);
    return fail(
        at >= text.size() ? "this is no JSON: it ends too early" : "this is no JSON: something else belongs here",
        Span{at, at});
  }
  WEIR_CHECK(only(whole, {"version", "architectures", "default", "mismatch", "rules"}, "the policy"));
  if (whole.contains("version") && whole["version"] != 1) return fail("the policy's version is not 1");
  kernel::Policy policy;
  if (whole.contains("architectures")) {
    if (!whole["architectures"].is_array()) return fail("'architectures' is no list");
    for (const json& one : whole["architectures"]) {
      WEIR_TRY(const std::string name, text_of(one, "an architecture"));
      const auto found = kernel::architecture_named(name);
      if (!found) return fail(fmt::format("unknown architecture '{}'", name), {}, kernel::architecture_hint(name));
      policy.architectures.push_back(*found);
    }
  }
  if (whole.contains("default")) {
    WEIR_TRY(policy.otherwise, action_of(whole["default"], "'default'"));
  }
  if (whole.contains("mismatch")) {
    WEIR_TRY(policy.mismatch, action_of(whole["mismatch"], "'mismatch'"));
  }
  if (!whole.contains("rules") || !whole["rules"].is_array()) return fail("'rules' is missing, or no list");
  for (std::size_t i = 0; i < whole["rules"].size(); ++i) {
    WEIR_TRY(kernel::Rule rule, rule_of(whole["rules"][i], fmt::format("rules[{}]", i)));
    policy.rules.push_back(std::move(rule));
  }
  if (!whole.contains("default") && policy.rules.empty())
    return fail(kernel::kEmptyPolicy, {}, "write 'default', or rules");
  return policy;
}

std::string policy_to_json(const kernel::Policy& policy) {
  json whole = {{"version", 1},
                {"architectures", json::array()},
                {"default", kernel::write_action(policy.otherwise)},
                {"mismatch", kernel::write_action(policy.mismatch)},
                {"rules", json::array()}};
  for (const kernel::Architecture one : policy.architectures) whole["architectures"].push_back(kernel::info(one).name);
  for (const kernel::Rule& rule : policy.rules) {
    json made = {{"action", kernel::write_action(rule.action)}, {"syscalls", rule.syscalls}};
    for (const auto& all : rule.any_of) {
      json tests = json::array();
      for (const kernel::ArgumentTest& test : all)
        tests.push_back({{"arg", test.argument},
                         {"op", kernel::name_of(test.comparison)},
                         {"value", test.value},
                         {"mask", test.mask}});
      made["any_of"].push_back(std::move(tests));
    }
    whole["rules"].push_back(std::move(made));
  }
  return json_text(whole, 2) + "\n";
}

}  // namespace weir::tool
