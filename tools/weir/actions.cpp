// Names of what XDP and tc do with a packet, and the defaults of each place. Exports results_for.
//
// XDP passes what matches and drops the rest. So does tc in its direct-action mode, in which tcx, weir prog attach and
// libbpf attach programs. Without it tc takes the result as a class: -1 is the filter's own class, 0 is no match.
// Source: <linux/bpf.h>, enum xdp_action; <linux/pkt_cls.h>; net/sched/cls_bpf.c.
#include "actions.h"

#include <charconv>
#include <span>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::tool {
namespace {

struct Action {
  std::string_view name;
  std::int32_t number;
};
constexpr Action kXdp[] = {{"pass", 2}, {"drop", 1}, {"aborted", 0}, {"tx", 3}};
constexpr Action kTc[] = {{"pass", 0},       {"drop", 2}, {"ok", 0},     {"shot", 2},
                          {"reclassify", 1}, {"pipe", 3}, {"stolen", 4}, {"unspec", -1}};

Result<std::int32_t> action(const std::string& text, std::span<const Action> names, const std::string& where) {
  std::vector<std::string_view> known;
  for (const Action& each : names) {
    if (each.name == text) return each.number;
    known.push_back(each.name);
  }
  std::int32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size() && !text.empty()) return number;
  std::string hint;
  for (const std::string_view each : known) hint += fmt::format("{}{}", hint.empty() ? "" : ", ", each);
  return fail(Error{.code = ErrorCode::kUsage,
                    .message = fmt::format("'{}' is no result of programs for {}", text, where),
                    .hint = names.empty() ? "give a number" : fmt::format("there are {}, and numbers", hint)});
}

}  // namespace

Result<std::optional<convert::Returns>> results_for(const std::string& where, const std::string& accept,
                                                    const std::string& reject) {
  const bool is_xdp = where == "xdp", is_tc = where == "tc", is_classifier = where == "classifier";
  const bool asked = !accept.empty() || !reject.empty();
  if (!is_xdp && !is_tc && !is_classifier && where != "memory") {
    if (!asked) return std::optional<convert::Returns>{};
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("programs for '{}' give back how much of a packet is kept", where),
                      .hint = "--accept and --reject are for xdp, tc, classifier and memory"});
  }
  if (where == "memory" && !asked) return std::optional<convert::Returns>{};
  const std::span<const Action> names = is_xdp  ? std::span<const Action>(kXdp)
                                        : is_tc ? std::span<const Action>(kTc)
                                                : std::span<const Action>{};
  convert::Returns returns{is_xdp ? 2 : is_tc ? 0 : is_classifier ? -1 : 1, is_xdp ? 1 : is_tc ? 2 : 0};
  if (!accept.empty()) {
    WEIR_TRY(returns.match, action(accept, names, where));
  }
  if (!reject.empty()) {
    WEIR_TRY(returns.no_match, action(reject, names, where));
  }
  if (returns.match == returns.no_match)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("what matches and what does not both give {}", returns.match),
                      .hint = "choose two results"});
  return std::optional<convert::Returns>{returns};
}

}  // namespace weir::tool
