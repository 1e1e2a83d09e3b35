// weir prog: the programs of the running kernel. Here: list, show, links, pin; the other parts are in prog_*.cpp.
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <net/if.h>
#include <pwd.h>

#include <weir/kernel/ebpf.h>
#include <weir/kernel/placement.h>

#include "json_text.h"
#include "kernel_find.h"
#include "prog_verbs.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string program;
  std::string path;
  bool json = false;
};

Json to_json(const kernel::ProgramInfo& info, const std::vector<std::string>& pins) {
  Json out = {{"id", info.id},
              {"type", ebpf::name_of(info.type)},
              {"name", info.name},
              {"tag", info.tag},
              {"gpl_compatible", info.gpl_compatible},
              {"loaded_at", info.loaded_at},
              {"user", info.user},
              {"bytes", info.bytes},
              {"machine_bytes", info.machine_bytes},
              {"memory", info.memory},
              {"verified_instructions", info.verified},
              {"maps", info.maps},
              {"pins", pins}};
  if (info.runs != 0) {
    out["runs"] = info.runs;
    out["run_nanoseconds"] = info.run_nanoseconds;
  }
  if (info.types_id != 0) out["types"] = info.types_id;
  if (info.interface_index != 0) out["interface_index"] = info.interface_index;
  return out;
}

std::string interface_name(std::uint32_t index) {
  char name[IF_NAMESIZE] = {};
  return if_indextoname(index, name) != nullptr ? name : fmt::format("interface {}", index);
}

// "xdp_generic eth0", "tc_ingress eth0 priority 1", "cgroup_inet_egress /sys/fs/cgroup/web"
std::string text_of(const kernel::Placement& place) {
  std::string out = place.kind;
  if (place.interface_index != 0) out += " " + interface_name(place.interface_index);
  if (!place.group.empty()) out += " " + place.group;
  if (place.map != 0) out += fmt::format(" map {}", place.map);
  if (place.handle != 0) out += fmt::format(" priority {} handle {}", place.priority, place.handle);
  return out;
}

Json to_json(const kernel::Placement& place) {
  Json out = {{"kind", place.kind}};
  if (place.interface_index != 0) out["interface_index"] = place.interface_index;
  if (!place.group.empty()) out["group"] = place.group;
  if (place.group_id != 0) out["cgroup"] = place.group_id;
  if (place.map != 0) out["map"] = place.map;
  if (place.handle != 0) {
    out["priority"] = place.priority;
    out["handle"] = place.handle;
    out["direct_action"] = place.direct_action;
  }
  return out;
}

struct Places {
  std::vector<kernel::Placement> without_links;
  std::map<std::uint64_t, std::string> folders;  // of control groups that have programs, by id
  std::set<std::uint32_t> links;                 // those whose place was found
  bool known = false;
};

// Where programs are. What cannot be asked is left out: links and programs are shown without.
Places find_places() {
  Places out;
  Result<std::vector<kernel::Placement>> all = kernel::placements();
  if (!all) return out;
  out.known = true;
  for (kernel::Placement& place : *all) {
    if (!place.group.empty()) out.folders[place.group_id] = place.group;
    if (place.link != 0) out.links.insert(place.link);
    else out.without_links.push_back(std::move(place));
  }
  return out;
}

std::vector<kernel::Placement> places_of(std::uint32_t program, const std::vector<kernel::Placement>& all) {
  std::vector<kernel::Placement> out;
  for (const kernel::Placement& place : all)
    if (place.program == program) out.push_back(place);
  return out;
}

Json as_json(const std::vector<kernel::Placement>& places) {
  Json out = Json::array();
  for (const kernel::Placement& place : places) out.push_back(to_json(place));
  return out;
}

// Indexes of interfaces are those of the link's own network namespace.
std::string interface_of(const kernel::LinkInfo& link, const Places& places) {
  if (link.interface_index == 0)
    return link.type == "xdp" || link.type == "tcx" || link.type == "netkit" ? " an interface that is gone" : "";
  if (places.links.count(link.id) != 0) return " " + interface_name(link.interface_index);
  return fmt::format(" interface {}{}", link.interface_index, places.known ? " of another network namespace" : "");
}

// Where a link keeps its program, in words.
std::string place_of(const kernel::LinkInfo& link, const Places& places) {
  std::string out = link.attach_type.empty() ? link.type : link.attach_type;
  out += interface_of(link, places);
  const auto folder = places.folders.find(link.cgroup);
  if (folder != places.folders.end()) {
    out += " " + folder->second;
  } else if (link.cgroup != 0) {
    out += fmt::format(" group {}", link.cgroup);
  }
  if (!link.target.empty()) out += " " + link.target;
  return out;
}

template <typename Use>
Status each_link(Use use) {
  WEIR_TRY(const std::vector<std::uint32_t> ids, kernel::link_ids());
  for (const std::uint32_t id : ids) {
    const Result<kernel::Link> link = kernel::Link::open_id(id);
    // Gone meanwhile, or not there yet: a link has an id before it is made.
    if (!link && (kernel::is_not_exist(link.error()) || link.error().system_error == EAGAIN)) continue;
    if (!link) return fail(link.error());
    WEIR_TRY(const kernel::LinkInfo info, link->info());
    use(info);
  }
  return {};
}

int list(const Options& options) {
  const Places places = find_places();
  std::map<std::uint32_t, std::vector<std::string>> where;
  for (const kernel::Placement& place : places.without_links) where[place.program].push_back(text_of(place));
  (void)each_link([&](const kernel::LinkInfo& link) { where[link.program].push_back(place_of(link, places)); });
  auto pins = pinned(kernel::Pin::Kind::kProgram);
  Json programs = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"ID", "TYPE", "NAME", "TAG", "SLOTS", "MACHINE", "MAPS", "PLACES", "PINS"}};
  const Status done = each_program([&](const kernel::Program&, const kernel::ProgramInfo& info) {
    if (options.json) {
      programs.push_back(to_json(info, pins[info.id]));
      programs.back()["attached"] = as_json(places_of(info.id, places.without_links));
    } else {
      rows.push_back({fmt::format("{}", info.id), ebpf::name_of(info.type), info.name, info.tag,
                      fmt::format("{}", info.bytes / 8), amount(info.machine_bytes),
                      fmt::format("{}", fmt::join(info.maps, ",")), fmt::format("{}", fmt::join(where[info.id], ", ")),
                      fmt::format("{}", fmt::join(pins[info.id], " "))});
    }
  });
  if (!done) return report(done.error());
  if (options.json) return print_prog_json({{"programs", programs}});
  return print(table(rows, {true, false, false, false, true, true, false, false, false}));
}

std::string user_name(std::uint32_t user) {
  const passwd* const found = getpwuid(user);
  return found != nullptr ? found->pw_name : fmt::format("user {}", user);
}

int show(const Options& options) {
  const Result<kernel::Program> program = find_program(options.program);
  if (!program) return report(program.error());
  const Result<kernel::ProgramInfo> info = program->info();
  if (!info) return report(info.error());
  const std::vector<std::string> pins = pinned(kernel::Pin::Kind::kProgram)[info->id];
  std::vector<kernel::LinkInfo> links;
  (void)each_link([&](const kernel::LinkInfo& link) {
    if (link.program == info->id) links.push_back(link);
  });
  const Places all = find_places();
  const std::vector<kernel::Placement> places = places_of(info->id, all.without_links);
  if (options.json) {
    Json out = to_json(*info, pins);
    out["attached"] = as_json(places);
    out["links"] = Json::array();
    for (const kernel::LinkInfo& link : links) out["links"].push_back(link.id);
    return print_prog_json(std::move(out));
  }
  std::string out = fmt::format("program {}: {}{}{}\n", info->id, ebpf::name_of(info->type),
                                info->name.empty() ? "" : " ", info->name);
  out += fmt::format("  tag {}{}\n", info->tag, info->gpl_compatible ? ", GPL-compatible" : "");
  out += fmt::format("  loaded {} by {}\n", local_time(info->loaded_at), user_name(info->user));
  out += fmt::format("  {} slots, {}, memory {}\n", info->bytes / 8,
                     info->machine_bytes != 0 ? amount(info->machine_bytes) + " of machine code" : "interpreted",
                     amount(info->memory));
  if (info->verified != 0) out += fmt::format("  the verifier walked {} instructions\n", info->verified);
  if (info->runs != 0)
    out += fmt::format("  ran {} times, {:.1f} ns each\n", info->runs,
                       static_cast<double>(info->run_nanoseconds) / static_cast<double>(info->runs));
  if (!info->maps.empty()) out += fmt::format("  maps {}\n", fmt::join(info->maps, ", "));
  if (info->types_id != 0) out += fmt::format("  types {}\n", info->types_id);
  for (const kernel::LinkInfo& link : links) out += fmt::format("  link {}: {}\n", link.id, place_of(link, all));
  for (const kernel::Placement& place : places) out += fmt::format("  attached: {}\n", text_of(place));
  for (const std::string& pin : pins) out += fmt::format("  pin {}\n", pin);
  return print(out);
}

int links(const Options& options) {
  auto pins = pinned(kernel::Pin::Kind::kLink);
  const Places places = find_places();
  Json all = Json::array();
  std::vector<std::vector<std::string>> rows = {{"ID", "TYPE", "PROGRAM", "PLACE", "PINS"}};
  const Status done = each_link([&](const kernel::LinkInfo& link) {
    if (!options.json) {
      rows.push_back({fmt::format("{}", link.id), link.type, fmt::format("{}", link.program), place_of(link, places),
                      fmt::format("{}", fmt::join(pins[link.id], " "))});
      return;
    }
    Json row = {{"id", link.id}, {"type", link.type}, {"program", link.program}, {"pins", pins[link.id]}};
    if (link.interface_index != 0) {
      row["interface_index"] = link.interface_index;
      if (places.known) row["in_this_network"] = places.links.count(link.id) != 0;
    }
    if (link.cgroup != 0) row["cgroup"] = link.cgroup;
    if (const auto folder = places.folders.find(link.cgroup); folder != places.folders.end())
      row["group"] = folder->second;
    if (!link.attach_type.empty()) row["attach_type"] = link.attach_type;
    if (!link.target.empty()) row["target"] = link.target;
    all.push_back(std::move(row));
  });
  if (!done) return report(done.error());
  Json attached = Json::array();
  for (const kernel::Placement& place : places.without_links) {
    rows.push_back({"-", "none", fmt::format("{}", place.program), text_of(place)});
    attached.push_back(to_json(place));
    attached.back()["program"] = place.program;
  }
  if (options.json) return print_prog_json({{"links", all}, {"attached", attached}});
  return print(table(rows, {true, false, true, false, false}));
}

int pin(const Options& options) {
  const Result<kernel::Program> program = find_program(options.program);
  if (!program) return report(program.error());
  const Status done = program->pin(options.path);
  if (!done) return report(done.error());
  return options.json ? print_prog_json({{"id", program->id()}, {"pin", options.path}}) : int{kYes};
}

}  // namespace

int print_prog_json(Json out) {
  out["version"] = 1;
  return print(json_line(out));
}

void add_prog(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("prog", "programs of the running kernel: list, dump, run, load, attach");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* text, int (*run)(const Options&)) {
    CLI::App* one = verb->add_subcommand(name, text);
    one->callback([options, &status, run] { status = run(*options); });
    one->add_flag("--json", options->json, "print JSON");
    return one;
  };
  constexpr const char* kWhich = "the program: its id, name, tag:TAG or pin";
  add("list", "all programs", list);
  add("show", "one program, its maps, links and pins", show)
      ->add_option("program", options->program, kWhich)
      ->required();
  add_prog_dump(*verb, status);
  add_prog_run(*verb, status);
  add_prog_load(*verb, status);
  add_prog_attach(*verb, status);
  add("links", "where programs run: all links, and places without one", links);
  CLI::App* one = add("pin", "pin a program", pin);
  one->add_option("program", options->program, kWhich)->required();
  one->add_option("path", options->path, "where")->required();
  add_prog_features(*verb, status);
}

}  // namespace weir::tool
