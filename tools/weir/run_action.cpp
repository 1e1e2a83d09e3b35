// Names of results. Exports action_name, action_word.
//
// Source: <linux/bpf.h>, enum xdp_action and enum sk_action; <linux/pkt_cls.h>, TC_ACT_...; for cgroups 0 drops and 1
// lets pass (Linux, Documentation/bpf).
#include "run_action.h"

#include <span>

namespace weir::tool {
namespace {

constexpr std::string_view kXdp[] = {"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};
constexpr std::string_view kTc[] = {"TC_ACT_OK",     "TC_ACT_RECLASSIFY", "TC_ACT_SHOT",
                                    "TC_ACT_PIPE",   "TC_ACT_STOLEN",     "TC_ACT_QUEUED",
                                    "TC_ACT_REPEAT", "TC_ACT_REDIRECT",   "TC_ACT_TRAP"};
constexpr std::string_view kSocket[] = {"SK_DROP", "SK_PASS"};

}  // namespace

std::string_view action_name(ebpf::ProgramType type, std::uint64_t result) {
  const auto value = static_cast<std::uint32_t>(result);
  const auto in = [&](std::span<const std::string_view> names) {
    return value < names.size() ? names[value] : std::string_view();
  };
  switch (type) {
    case ebpf::ProgramType::kXdp: return in(kXdp);
    case ebpf::ProgramType::kSchedCls:
    case ebpf::ProgramType::kSchedAct: return value == UINT32_MAX ? "TC_ACT_UNSPEC" : in(kTc);
    case ebpf::ProgramType::kSkSkb:
    case ebpf::ProgramType::kSkMsg: return in(kSocket);
    default: return {};
  }
}

std::string action_word(std::string_view name) {
  for (const std::string_view prefix : {"XDP_", "TC_ACT_", "SK_"})
    if (name.substr(0, prefix.size()) == prefix) name.remove_prefix(prefix.size());
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

}  // namespace weir::tool
