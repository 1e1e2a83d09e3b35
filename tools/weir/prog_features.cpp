// weir prog features: what the running kernel takes.
#include <cerrno>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <sys/utsname.h>

#include <weir/base/suggest.h>
#include <weir/kernel/features.h>

#include "prog_verbs.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string helpers;
  bool json = false;
};

// true, false, or null where the question could not be asked.
Json as_json(const Result<bool>& answer) { return answer ? Json(*answer) : Json(); }
std::string_view as_text(const Result<bool>& answer) { return !answer ? "?" : *answer ? "yes" : "no"; }

// What of the kernel's answers is missing, and why.
Error explained(Error error) {
  if (error.system_error == EPERM && kernel::has(ebpf::MapType::kArray))  // bpf(2) itself is allowed
    error.hint =
        "programs need CAP_BPF, those on packets CAP_NET_ADMIN too, those that trace CAP_PERFMON; a policy of the "
        "machine may forbid some even to root";
  return error;
}

std::string kernel_release() {
  utsname name{};
  return uname(&name) == 0 ? name.release : "";
}

int helpers(const Options& options) {
  const auto type = ebpf::find_program_type(options.helpers);
  if (!type)
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("there is no type of program '{}'", options.helpers),
                   .hint = did_you_mean(options.helpers, ebpf::program_type_names())});
  Json names = Json::array();
  std::string out;
  const auto all = ebpf::helper_names();
  for (std::size_t i = 1; i < all.size(); ++i) {
    const Result<bool> there = kernel::has(*type, static_cast<ebpf::Helper>(i));
    if (!there && options.json)
      return print_prog_json({{"kernel", kernel_release()}, {"type", ebpf::name_of(*type)}, {"helpers", Json()}});
    if (!there) return report(explained(there.error()));
    if (!*there) continue;
    if (options.json) names.push_back(std::string(all[i]));
    else out += fmt::format("{}\n", all[i]);
  }
  if (!options.json) return print(out);
  return print_prog_json({{"kernel", kernel_release()}, {"type", ebpf::name_of(*type)}, {"helpers", names}});
}

int run(const Options& options) {
  if (!options.helpers.empty()) return helpers(options);
  if (options.json) {
    Json features = Json::object();
    Json programs = Json::object();
    Json maps = Json::object();
    for (const kernel::FeatureInfo& row : kernel::features())
      features[std::string(row.text)] = as_json(kernel::has(row.feature));
    for (std::size_t i = 1; i < ebpf::program_type_names().size(); ++i)
      programs[std::string(ebpf::program_type_names()[i])] = as_json(kernel::has(static_cast<ebpf::ProgramType>(i)));
    for (std::size_t i = 1; i < ebpf::map_type_names().size(); ++i)
      maps[std::string(ebpf::map_type_names()[i])] = as_json(kernel::has(static_cast<ebpf::MapType>(i)));
    return print_prog_json(
        {{"kernel", kernel_release()}, {"features", features}, {"program_types", programs}, {"map_types", maps}});
  }
  std::optional<Error> refused;
  const auto ask = [&](auto what) {
    Result<bool> answer = kernel::has(what);
    if (!answer && !refused) refused = answer.error();
    return as_text(answer);
  };
  std::string out = fmt::format("Linux {}\n", kernel_release());
  for (const kernel::FeatureInfo& row : kernel::features())
    out += fmt::format("  {:<16} {:<4} since {:<5} {}\n", row.text, ask(row.feature), row.since, row.meaning);
  out += "programs\n";
  for (std::size_t i = 1; i < ebpf::program_type_names().size(); ++i)
    out += fmt::format("  {:<23} {}\n", ebpf::program_type_names()[i], ask(static_cast<ebpf::ProgramType>(i)));
  out += "maps\n";
  for (std::size_t i = 1; i < ebpf::map_type_names().size(); ++i)
    out += fmt::format("  {:<23} {}\n", ebpf::map_type_names()[i], ask(static_cast<ebpf::MapType>(i)));
  if (refused) {  // most questions end with the same error
    Error warning = explained(*std::move(refused));
    warning.severity = Severity::kWarning;
    warning.message = "what is marked with '?' could not be asked: " + warning.message;
    report(warning);
  }
  return print(out);
}

}  // namespace

void add_prog_features(CLI::App& prog, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb =
      prog.add_subcommand("features", "what the running kernel takes: instructions, programs, maps, helpers");
  verb->add_option("--helpers", options->helpers, "the helpers that programs of this type may call");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
