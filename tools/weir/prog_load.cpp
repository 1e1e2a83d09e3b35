// weir prog load: programs of a file into the kernel, to stay there under a pin, or only to hear what the verifier
// says.
#include <memory>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "prog_verbs.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string file;
  std::string path;
  std::string map_folder;
  FileLoadOptions load;
  bool log = false;
  unsigned verbose = 0;
  bool json = false;
};

// Pins all or nothing: what was pinned before an error goes away again.
class Pins {
 public:
  ~Pins() {
    if (!keep_)
      for (const std::string& path : made_) ::unlink(path.c_str());
  }
  template <typename T>
  Status add(const T& object, const std::string& path) {
    WEIR_CHECK(object.pin(path));
    made_.push_back(path);
    return {};
  }
  void keep() { keep_ = true; }

 private:
  std::vector<std::string> made_;
  bool keep_ = false;
};

// BPF file systems take no dots in names.
std::string file_name(std::string name) {
  for (char& c : name)
    if (c == '.' || c == '/') c = '_';
  return name;
}

Status make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  Error error = system_failure(fmt::format("make the folder '{}'", path), errno);
  error.hint = "pins need a file system of type bpf: mount -t bpf bpf /sys/fs/bpf";
  return fail(std::move(error));
}

Status pin_all(const Options& options, const LoadedPrograms& loaded) {
  Pins pins;
  if (options.load.all) {
    WEIR_CHECK(make_folder(options.path));
    for (const auto& program : loaded.programs)
      WEIR_CHECK(pins.add(program.program, options.path + "/" + file_name(program.name)));
  } else {
    WEIR_CHECK(pins.add(loaded.programs.front().program, options.path));
  }
  if (!options.map_folder.empty()) {
    WEIR_CHECK(make_folder(options.map_folder));
    for (const auto& map : loaded.maps) WEIR_CHECK(pins.add(map.map, options.map_folder + "/" + file_name(map.name)));
  }
  pins.keep();
  return {};
}

int tell(const Options& options, const LoadedPrograms& loaded, const std::string& log) {
  Json programs = Json::array();
  std::string out;
  for (const auto& program : loaded.programs) {
    const Result<kernel::ProgramInfo> info = program.program.info();
    if (!info) return report(info.error());
    Json row = {{"name", program.name},   {"section", program.section},
                {"id", info->id},         {"type", ebpf::name_of(info->type)},
                {"bytes", info->bytes},   {"verified_instructions", info->verified},
                {"loader", loaded.loader}};
    const std::string pin = options.path.empty() ? ""
                            : options.load.all   ? options.path + "/" + file_name(program.name)
                                                 : options.path;
    if (!pin.empty()) row["pin"] = pin;
    programs.push_back(std::move(row));
    out += fmt::format("{}{}, {} slots, {} instructions verified{}\n", ebpf::name_of(info->type),
                       program.name.empty() ? "" : " '" + program.name + "'", info->bytes / 8, info->verified,
                       pin.empty() ? ": the kernel takes it" : fmt::format(": program {} pinned at {}", info->id, pin));
  }
  if (!options.json) return print(out);
  Json maps = Json::array();
  for (const auto& map : loaded.maps) maps.push_back({{"name", map.name}, {"id", map.map.id()}});
  Json all = {{"programs", programs}, {"maps", maps}};
  if (options.log || options.verbose > 0) all["log"] = log;
  return print_prog_json(std::move(all));
}

int run(const Options& options) {
  if (!options.map_folder.empty() && options.path.empty())
    return report({.code = ErrorCode::kUsage, .message = "--pin-maps needs a path for the program too"});
  std::string text;
  std::string log;
  FileLoadOptions load = options.load;
  load.log = &log;
  load.log_level = options.verbose > 0 ? 2 : 1;
  const Result<LoadedPrograms> loaded = load_programs(options.file, load, text);
  if ((options.log || options.verbose > 0) && !options.json) say(log);
  if (!loaded) return report(loaded.error(), text);
  if (!options.path.empty())
    if (const Status pinned = pin_all(options, *loaded); !pinned) return report(pinned.error());
  return tell(options, *loaded, log);
}

}  // namespace

void add_prog_load(CLI::App& prog, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb =
      prog.add_subcommand("load", "load a file's program and pin it; without a path, see whether it loads");
  verb->add_option("file", options->file, "an ELF object, assembler text or numbers ('-': standard input)")->required();
  verb->add_option("path", options->path, "where to pin the program; with --all, a folder for all of them");
  verb->add_option("-p,--program", options->load.only, "the program of this name or section; else the first");
  verb->add_flag("--all", options->load.all, "all programs of the object");
  verb->add_option("-t,--type", options->load.type, "its type, where the file does not say: xdp, socket_filter, ...");
  verb->add_option("--map", options->load.maps, "NAME=MAP: this map of the kernel in place of a new one")
      ->allow_extra_args(false);
  verb->add_option("--pin-maps", options->map_folder, "pin the program's maps in this folder");
  verb->add_option("--loader", options->load.loader, "auto, weir or libbpf")
      ->check(CLI::IsMember({"auto", "weir", "libbpf"}))
      ->capture_default_str();
  verb->add_flag("--log", options->log, "show what the verifier says");
  verb->add_flag("--verbose", options->verbose, "show the verifier's state at each instruction");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
