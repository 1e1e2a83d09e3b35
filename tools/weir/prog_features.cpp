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

// What of the kernel's answers is missing, and why.
Error explained(Error error) {
  if (error.system_error == EPERM && kernel::has(ebpf::MapType::kArray))  // bpf(2) itself is allowed
    error.hint =
        "programs need CAP_BPF, those on packets CAP_NET_ADMIN too, those that trace CAP_PERFMON; a policy of the "
        "machine may forbid some even to root";
  return error;
}

// `mark` stands where there is no answer.
void warn(Error why, const char* mark) {
  why = explained(std::move(why));
  why.severity = Severity::kWarning;
  why.message = fmt::format("what is marked with {} could not be asked: {}", mark, why.message);
  report(why);
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
    if (!there && !options.json) return report(explained(there.error()));
    if (!there) {
      warn(there.error(), "null");
      return print_prog_json({{"kernel", kernel_release()}, {"type", ebpf::name_of(*type)}, {"helpers", Json()}});
    }
    if (!*there) continue;
    if (options.json) names.push_back(std::string(all[i]));
    else out += fmt::format("{}\n", all[i]);
  }
  if (!options.json) return print(out);
  return print_prog_json({{"kernel", kernel_release()}, {"type", ebpf::name_of(*type)}, {"helpers", names}});
}

// Asks the kernel, and keeps the first error: most questions that may not be asked end with the same one.
class Questions {
 public:
  // Nothing where it could not be asked.
  template <typename What>
  std::optional<bool> ask(What what) {
    const Result<bool> answer = kernel::has(what);
    if (answer) return *answer;
    if (!refused_) refused_ = answer.error();
    return std::nullopt;
  }
  template <typename What>
  std::string_view text(What what) {
    const std::optional<bool> answer = ask(what);
    return !answer ? "?" : *answer ? "yes" : "no";
  }
  template <typename What>
  Json json(What what) {
    const std::optional<bool> answer = ask(what);
    return answer ? Json(*answer) : Json();
  }
  void warn_of(const char* mark) const {
    if (refused_) warn(*refused_, mark);
  }

 private:
  std::optional<Error> refused_;
};

int run_json() {
  Questions ask;
  Json features = Json::object();
  Json programs = Json::object();
  Json maps = Json::object();
  for (const kernel::FeatureInfo& row : kernel::features()) features[std::string(row.text)] = ask.json(row.feature);
  for (std::size_t i = 1; i < ebpf::program_type_names().size(); ++i)
    programs[std::string(ebpf::program_type_names()[i])] = ask.json(static_cast<ebpf::ProgramType>(i));
  for (std::size_t i = 1; i < ebpf::map_type_names().size(); ++i)
    maps[std::string(ebpf::map_type_names()[i])] = ask.json(static_cast<ebpf::MapType>(i));
  ask.warn_of("null");
  return print_prog_json(
      {{"kernel", kernel_release()}, {"features", features}, {"program_types", programs}, {"map_types", maps}});
}

int run(const Options& options) {
  if (!options.helpers.empty()) return helpers(options);
  if (options.json) return run_json();
  Questions ask;
  std::string out = fmt::format("Linux {}\n", kernel_release());
  for (const kernel::FeatureInfo& row : kernel::features())
    out += fmt::format("  {:<16} {:<4} since {:<5} {}\n", row.text, ask.text(row.feature), row.since, row.meaning);
  out += "programs\n";
  for (std::size_t i = 1; i < ebpf::program_type_names().size(); ++i)
    out += fmt::format("  {:<23} {}\n", ebpf::program_type_names()[i], ask.text(static_cast<ebpf::ProgramType>(i)));
  out += "maps\n";
  for (std::size_t i = 1; i < ebpf::map_type_names().size(); ++i)
    out += fmt::format("  {:<23} {}\n", ebpf::map_type_names()[i], ask.text(static_cast<ebpf::MapType>(i)));
  ask.warn_of("'?'");
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
