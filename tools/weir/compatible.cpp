// The table of other names, and weir install-compat, which links them to the program.
#include "compatible.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <unistd.h>

#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

constexpr std::array kPrograms = {
    CompatibleProgram{"bpf_asm", run_bpf_asm},
    CompatibleProgram{"bpf_dbg", run_bpf_dbg},
};

struct Options {
  std::string folder;
  bool force = false;
};

// The link is replaced when it is ours already; anything else stays unless it is forced.
Status link_one(const std::filesystem::path& target, const std::filesystem::path& link, bool force) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(link, error);
  if (std::filesystem::exists(status)) {
    const bool ours = std::filesystem::is_symlink(status) && std::filesystem::read_symlink(link, error) == target;
    if (ours) return {};
    if (std::filesystem::is_directory(status)) return fail("'" + link.string() + "' is a folder");
    if (!force) return fail("'" + link.string() + "' exists", {}, "--force replaces it");
    if (!std::filesystem::remove(link, error))
      return fail(system_failure("remove '" + link.string() + "'", error.value()));
  }
  if (::symlink(target.c_str(), link.c_str()) != 0) return fail(system_failure("link '" + link.string() + "'", errno));
  return {};
}

int install(const Options& options) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return report(system_failure("find this program", error.value()));
  const std::filesystem::path folder = options.folder;
  std::filesystem::create_directories(folder, error);
  if (error) return report(system_failure("make folder '" + options.folder + "'", error.value()));
  for (const CompatibleProgram& program : kPrograms) {
    const std::filesystem::path link = folder / program.name;
    if (const Status status = link_one(self, link, options.force); !status) return report(status.error());
    if (const int printed = print(link.string() + " -> " + self.string() + "\n"); printed != kYes) return printed;
  }
  return kYes;
}

}  // namespace

std::span<const CompatibleProgram> compatible_programs() { return kPrograms; }

const CompatibleProgram* find_compatible_program(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  for (const CompatibleProgram& program : kPrograms)
    if (program.name == name) return &program;
  return nullptr;
}

void add_install_compat(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("install-compat", "link bpf_asm and others to this program");
  verb->add_option("folder", options->folder, "where the links go; made if it is missing")->required();
  verb->add_flag("-f,--force", options->force, "replace files of these names");
  verb->callback([options, &status] { status = install(*options); });
}

}  // namespace weir::tool
