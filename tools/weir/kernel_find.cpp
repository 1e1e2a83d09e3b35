// Maps and programs of the running kernel by the names people give them. Exports what kernel_find.h declares.
#include "kernel_find.h"

#include <algorithm>
#include <ctime>
#include <optional>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::tool {
namespace {

Error usage(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

std::optional<std::uint32_t> number(std::string_view text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  return static_cast<std::uint32_t>(std::stoul(std::string(text)));
}

bool begins(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

// What the text asks for.
struct Wanted {
  enum class By : std::uint8_t { kId, kName, kTag, kPath } by = By::kName;
  std::uint32_t id = 0;
  std::string text{};
};

Result<Wanted> understand(const std::string& text, kernel::Pin::Kind kind) {
  using By = Wanted::By;
  if (const auto id = number(text)) return Wanted{By::kId, *id, text};
  if (begins(text, "id:")) {
    const auto id = number(std::string_view(text).substr(3));
    if (!id) return fail(usage(fmt::format("'{}' is no id", text.substr(3))));
    return Wanted{By::kId, *id, text};
  }
  if (begins(text, "name:")) return Wanted{By::kName, 0, text.substr(5)};
  if (begins(text, "tag:")) return Wanted{By::kTag, 0, text.substr(4)};
  if (begins(text, "pin:")) return Wanted{By::kPath, 0, text.substr(4)};
  if (text.find('/') != std::string::npos) return Wanted{By::kPath, 0, text};
  if (const Result<kernel::Pin> here = kernel::read_pin(text); here && here->kind == kind)
    return Wanted{By::kPath, 0, text};
  return Wanted{By::kName, 0, text};
}

// The kernel cuts names to 15 bytes.
bool same_name(std::string_view known, std::string_view wanted) { return known == wanted.substr(0, 15); }

Error not_one(std::string_view kind, const Wanted& wanted, const std::vector<std::uint32_t>& ids,
              const std::vector<std::string>& names) {
  const bool tag = wanted.by == Wanted::By::kTag;
  const std::string what = fmt::format("{} '{}'", tag ? "with the tag" : "named", wanted.text);
  if (ids.empty())
    return {.message = fmt::format("the kernel has no {} {}", kind, what),
            .hint = tag ? "" : did_you_mean(wanted.text, std::vector<std::string_view>(names.begin(), names.end()))};
  return usage(fmt::format("there are {} {}s {}", ids.size(), kind, what),
               fmt::format("say which by its id: {}", fmt::join(ids, ", ")));
}

template <typename T>
Result<T> by_id(std::string_view kind, std::uint32_t id) {
  Result<T> found = T::open_id(id);
  if (!found && found.error().system_error == ENOENT)
    return fail(Error{.message = fmt::format("the kernel has no {} with the id {}", kind, id),
                      .hint = fmt::format("'weir {} list' shows those it has", kind == "map" ? "map" : "prog")});
  return found;
}

// A pin of the other kind gives a descriptor that every call refuses; better to say so.
template <typename T>
Result<T> by_path(std::string_view kind, kernel::Pin::Kind expected, const std::string& path) {
  const Result<kernel::Pin> pin = kernel::read_pin(path);
  if (!pin) return fail(pin.error());
  if (pin->kind != expected) {
    constexpr std::string_view kKinds[] = {"map", "program", "link"};
    return fail(Error{.message = fmt::format("the pin is a {}, not a {}", kKinds[static_cast<int>(pin->kind)], kind),
                      .source = path});
  }
  return T::open_pinned(path);
}

}  // namespace

Status each_map(const std::function<void(const kernel::Map&, const kernel::MapInfo&)>& use) {
  WEIR_TRY(const std::vector<std::uint32_t> ids, kernel::map_ids());
  for (const std::uint32_t id : ids) {
    const Result<kernel::Map> map = kernel::Map::open_id(id);
    if (!map && map.error().system_error == ENOENT) continue;
    if (!map) return fail(map.error());
    WEIR_TRY(const kernel::MapInfo info, map->info());
    use(*map, info);
  }
  return {};
}

Status each_program(const std::function<void(const kernel::Program&, const kernel::ProgramInfo&)>& use) {
  WEIR_TRY(const std::vector<std::uint32_t> ids, kernel::program_ids());
  for (const std::uint32_t id : ids) {
    const Result<kernel::Program> program = kernel::Program::open_id(id);
    if (!program && program.error().system_error == ENOENT) continue;
    if (!program) return fail(program.error());
    WEIR_TRY(const kernel::ProgramInfo info, program->info());
    use(*program, info);
  }
  return {};
}

Result<kernel::Map> find_map(const std::string& text) {
  WEIR_TRY(const Wanted wanted, understand(text, kernel::Pin::Kind::kMap));
  if (wanted.by == Wanted::By::kId) return by_id<kernel::Map>("map", wanted.id);
  if (wanted.by == Wanted::By::kPath) return by_path<kernel::Map>("map", kernel::Pin::Kind::kMap, wanted.text);
  if (wanted.by == Wanted::By::kTag) return fail(usage("maps have no tags"));
  std::vector<std::uint32_t> ids;
  std::vector<std::string> names;
  WEIR_CHECK(each_map([&](const kernel::Map&, const kernel::MapInfo& info) {
    names.push_back(info.name);
    if (same_name(info.name, wanted.text)) ids.push_back(info.id);
  }));
  if (ids.size() != 1) return fail(not_one("map", wanted, ids, names));
  return by_id<kernel::Map>("map", ids.front());
}

Result<kernel::Program> find_program(const std::string& text) {
  WEIR_TRY(const Wanted wanted, understand(text, kernel::Pin::Kind::kProgram));
  if (wanted.by == Wanted::By::kId) return by_id<kernel::Program>("program", wanted.id);
  if (wanted.by == Wanted::By::kPath)
    return by_path<kernel::Program>("program", kernel::Pin::Kind::kProgram, wanted.text);
  std::vector<std::uint32_t> ids;
  std::vector<std::string> names;
  WEIR_CHECK(each_program([&](const kernel::Program&, const kernel::ProgramInfo& info) {
    names.push_back(info.name);
    if (wanted.by == Wanted::By::kTag ? info.tag == wanted.text : same_name(info.name, wanted.text))
      ids.push_back(info.id);
  }));
  if (ids.size() != 1) return fail(not_one("program", wanted, ids, names));
  return by_id<kernel::Program>("program", ids.front());
}

std::map<std::uint32_t, std::vector<std::string>> pinned(kernel::Pin::Kind kind) {
  std::map<std::uint32_t, std::vector<std::string>> out;
  for (kernel::Pin& pin : kernel::pins())
    if (pin.kind == kind) out[pin.id].push_back(std::move(pin.path));
  return out;
}

std::string amount(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (bytes < 1000 * 1000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string local_time(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  localtime_r(&time, &parts);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += i < right.size() && right[i] ? fmt::format("{:>{}}", row[i], widths[i])
                                           : fmt::format("{:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace weir::tool
