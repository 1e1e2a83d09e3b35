// weir prog attach, detach: a program to an interface, a control group or a tracepoint.
//
// A command's descriptors go with it. So a program is put where it stays by itself (XDP and tc through netlink, tcx and
// control groups through BPF_PROG_ATTACH), or a link is made and pinned (--pin), which tracepoints need.
#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <weir/base/file.h>
#include <weir/base/suggest.h>
#include <weir/kernel/net_attach.h>
#include <weir/kernel/placement.h>

#include "kernel_find.h"
#include "prog_verbs.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string program;
  std::string kind;
  std::string target;
  std::string pin;
  FileLoadOptions file;
  std::uint16_t priority = 1;
  bool priority_given = false;
  bool replace = false;
  bool multi = false;
  bool json = false;
};

Error usage(std::string message, std::string hint = {}) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

enum class Way : std::uint8_t { kXdp, kTc, kTcx, kCgroup, kTracepoint, kRawTracepoint };
struct Place {
  Way way{};
  kernel::XdpMode mode = kernel::XdpMode::kAutomatic;
  kernel::Direction direction = kernel::Direction::kIngress;
  ebpf::AttachType type{};
};

Result<Place> place_named(const std::string& kind) {
  using T = ebpf::AttachType;
  if (kind == "xdp") return Place{.way = Way::kXdp, .type = T::kXdp};
  if (kind == "xdp_generic") return Place{.way = Way::kXdp, .mode = kernel::XdpMode::kGeneric, .type = T::kXdp};
  if (kind == "xdp_driver") return Place{.way = Way::kXdp, .mode = kernel::XdpMode::kDriver, .type = T::kXdp};
  if (kind == "tc_ingress") return Place{.way = Way::kTc};
  if (kind == "tc_egress") return Place{.way = Way::kTc, .direction = kernel::Direction::kEgress};
  if (kind == "tcx_ingress") return Place{.way = Way::kTcx, .type = T::kTcxIngress};
  if (kind == "tcx_egress") return Place{.way = Way::kTcx, .type = T::kTcxEgress};
  if (kind == "tracepoint") return Place{.way = Way::kTracepoint, .type = T::kPerfEvent};
  if (kind == "raw_tracepoint") return Place{.way = Way::kRawTracepoint};
  std::vector<std::string_view> known = {"xdp",         "xdp_generic", "xdp_driver", "tc_ingress",    "tc_egress",
                                         "tcx_ingress", "tcx_egress",  "tracepoint", "raw_tracepoint"};
  for (const std::string_view name : ebpf::attach_type_names())
    if (name.substr(0, 7) == "cgroup_") known.push_back(name);
  if (kind.rfind("cgroup_", 0) == 0)
    if (const auto type = ebpf::find_attach_type(kind)) return Place{.way = Way::kCgroup, .type = *type};
  std::string hint = did_you_mean(kind, known);
  if (hint.empty())
    hint =
        "xdp, xdp_generic, xdp_driver, tc_ingress, tc_egress, tcx_ingress, tcx_egress, tracepoint, raw_tracepoint, "
        "cgroup_inet_ingress and the kernel's other cgroup_ names";
  return fail(usage(fmt::format("programs are not attached to '{}'", kind), std::move(hint)));
}

Status check_options(const Place& place, const Options& options) {
  const auto refuse = [&](const char* option, const char* places) {
    return fail(
        usage(fmt::format("{} means nothing at {}", option, options.kind), fmt::format("it is for {}", places)));
  };
  if (options.priority_given && place.way != Way::kTc) return refuse("--priority", "tc_ingress and tc_egress");
  if (options.multi && place.way != Way::kCgroup) return refuse("--multi", "control groups");
  if (!options.replace) return {};
  if (place.way != Way::kXdp) return refuse("--replace", "xdp, xdp_generic and xdp_driver");
  if (!options.pin.empty())
    return fail(usage("a link does not take the place of another program", "detach that one first"));
  return {};
}

Result<std::uint32_t> interface_index(const std::string& name) {
  if (const unsigned index = if_nametoindex(name.c_str()); index != 0) return index;
  std::vector<std::string> names;
  if (struct if_nameindex* const all = if_nameindex()) {
    for (const struct if_nameindex* each = all; each->if_index != 0; ++each) names.emplace_back(each->if_name);
    if_freenameindex(all);
  }
  std::string hint = did_you_mean(name, std::vector<std::string_view>(names.begin(), names.end()));
  if (hint.empty() && names.size() <= 10) hint = fmt::format("there are {}", fmt::join(names, ", "));
  return fail(Error{.message = fmt::format("there is no interface '{}'", name), .hint = std::move(hint)});
}

Result<FileDescriptor> open_group(const std::string& path) {
  FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) return folder;
  return fail(system_failure(fmt::format("open the control group '{}'", path), errno));
}

constexpr std::uint32_t kXdpGeneric = 2;  // XDP_FLAGS_SKB_MODE
constexpr std::uint32_t kXdpDriver = 4;   // XDP_FLAGS_DRV_MODE

Result<kernel::Link> make_link(const kernel::Program& program, const Place& place, const Options& options) {
  if (place.way == Way::kRawTracepoint) return kernel::Link::raw_tracepoint(program, options.target);
  if (place.way == Way::kTracepoint) {
    const std::size_t colon = options.target.find(':');
    if (colon == std::string::npos)
      return fail(usage(fmt::format("'{}' is no tracepoint", options.target),
                        "write it as CATEGORY:NAME, such as syscalls:sys_enter_openat"));
    return kernel::Link::tracepoint(program, options.target.substr(0, colon), options.target.substr(colon + 1));
  }
  if (place.way == Way::kTc)
    return fail(usage("filters of tc have no links", "attach it to tcx_ingress or tcx_egress"));
  if (place.way == Way::kCgroup) {
    WEIR_TRY(const FileDescriptor group, open_group(options.target));
    return kernel::Link::create(program, static_cast<std::uint32_t>(group.get()), place.type);
  }
  WEIR_TRY(const std::uint32_t index, interface_index(options.target));
  const std::uint32_t flags = place.mode == kernel::XdpMode::kGeneric  ? kXdpGeneric
                              : place.mode == kernel::XdpMode::kDriver ? kXdpDriver
                                                                       : 0;
  return kernel::Link::create(program, index, place.type, flags);
}

Status attach_to_stay(const kernel::Program& program, const Place& place, const Options& options) {
  if (place.way == Way::kTracepoint || place.way == Way::kRawTracepoint)
    return fail(usage("a tracepoint needs --pin: the program is there as long as its link's pin"));
  if (place.way == Way::kCgroup) {
    WEIR_TRY(const FileDescriptor group, open_group(options.target));
    return program.attach_cgroup(group.get(), place.type,
                                 options.multi ? ebpf::CgroupAttach::kMulti : ebpf::CgroupAttach::kNone);
  }
  WEIR_TRY(const std::uint32_t index, interface_index(options.target));
  if (place.way == Way::kXdp) return kernel::attach_xdp(program, index, place.mode, options.replace);
  if (place.way == Way::kTc) return kernel::attach_tc(program, index, place.direction, {.priority = options.priority});
  return program.attach(index, place.type);
}

int done_with(const kernel::Program& program, const Options& options) {
  if (!options.json) return kYes;
  Json out = {{"id", program.id()}, {"kind", options.kind}, {"target", options.target}};
  if (!options.pin.empty()) out["pin"] = options.pin;
  return print_prog_json(std::move(out));
}

int attach(const Options& options) {
  const Result<Place> place = place_named(options.kind);
  if (!place) return report(place.error());
  if (const Status fits = check_options(*place, options); !fits) return report(fits.error());
  std::string text;
  const Result<LoadedPrograms> loaded = find_or_load(options.program, options.file, text);
  if (!loaded) return report(loaded.error(), text);
  const kernel::Program& program = loaded->programs.front().program;
  if (options.pin.empty()) {
    const Status done = attach_to_stay(program, *place, options);
    if (done) return done_with(program, options);
    Error error = done.error();
    if (place->way == Way::kXdp && error.system_error == EBUSY)
      error.hint += "; --replace takes the place of one that is there without a link";
    if (place->way == Way::kCgroup && error.system_error == EPERM && geteuid() == 0 && !options.multi)
      error.hint += "; --multi, given for each of them, lets several run";
    return report(error);
  }
  const Result<kernel::Link> link = make_link(program, *place, options);
  if (!link) return report(link.error());
  const Status pinned = link->pin(options.pin);
  return pinned ? done_with(program, options) : report(pinned.error());
}

// The program's own filters of one priority: of the given one, or the only one that they have.
Status detach_filters(const kernel::Program& program, const Place& place, const Options& options) {
  WEIR_TRY(const std::uint32_t index, interface_index(options.target));
  const std::string_view kind = place.direction == kernel::Direction::kIngress ? "tc_ingress" : "tc_egress";
  WEIR_TRY(const std::vector<kernel::Placement> all, kernel::placements());
  std::vector<kernel::Placement> own;
  std::set<std::uint32_t> priorities;
  std::string others;
  for (const kernel::Placement& one : all) {
    if (one.interface_index != index || one.kind != kind) continue;
    if (one.program == program.id()) {
      own.push_back(one);
      priorities.insert(one.priority);
    } else {
      others += fmt::format("{}{} at priority {}", others.empty() ? "" : ", ", one.program, one.priority);
    }
  }
  if (own.empty() && !others.empty())
    return fail(Error{.message = fmt::format("another program is at '{}': {}", options.target, others)});
  if (own.empty()) return fail(Error{.system_error = ENOENT});  // detach() says it
  if (options.priority_given && priorities.count(options.priority) == 0)
    return fail(Error{.message = fmt::format("the program is at priority {}, not {}", fmt::join(priorities, " and "),
                                             options.priority)});
  if (!options.priority_given && priorities.size() > 1)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("the program is at priority {}", fmt::join(priorities, " and ")),
                      .hint = "--priority says which"});
  for (const kernel::Placement& one : own) {
    if (options.priority_given && one.priority != options.priority) continue;
    WEIR_CHECK(kernel::detach_tc(index, place.direction,
                                 {.priority = static_cast<std::uint16_t>(one.priority),
                                  .handle = one.handle,
                                  .protocol = one.protocol,
                                  .chain = one.chain}));
  }
  return {};
}

// In whichever mode the program runs, or in that of `place` alone.
Status detach_from_interface(const kernel::Program& program, const Place& place, const Options& options) {
  using Mode = kernel::XdpMode;
  WEIR_TRY(const std::uint32_t index, interface_index(options.target));
  for (const Mode mode : {Mode::kDriver, Mode::kGeneric, Mode::kHardware}) {
    if (place.mode != Mode::kAutomatic && place.mode != mode) continue;
    WEIR_TRY(const std::uint32_t there, kernel::xdp_program(index, mode));
    if (there != program.id()) continue;
    const Status done = kernel::detach_xdp(index, mode, &program);
    // Kernels before 5.7 take off whatever is there.
    return done || done.error().system_error != EINVAL ? done : kernel::detach_xdp(index, mode);
  }
  WEIR_TRY(const std::uint32_t there, kernel::xdp_program(index));
  if (there == 0) return fail(Error{.message = fmt::format("no program is at '{}'", options.target)});
  if (there == program.id()) return fail(Error{.system_error = ENOENT});  // detach() says it
  return fail(Error{.message = fmt::format("another program is at '{}': {}", options.target, there)});
}

Status detach_from(const Place& place, const Options& options) {
  if (place.way == Way::kTracepoint || place.way == Way::kRawTracepoint)
    return fail(usage("a tracepoint's program goes with its link", "remove the link's pin"));
  WEIR_TRY(const kernel::Program program, find_program(options.program));
  if (place.way == Way::kTc) return detach_filters(program, place, options);
  if (place.way == Way::kCgroup) {
    WEIR_TRY(const FileDescriptor group, open_group(options.target));
    return program.detach_cgroup(group.get(), place.type);
  }
  if (place.way == Way::kXdp) return detach_from_interface(program, place, options);
  WEIR_TRY(const std::uint32_t index, interface_index(options.target));
  return program.detach(index, place.type);
}

int detach(const Options& options) {
  const Result<Place> place = place_named(options.kind);
  if (!place) return report(place.error());
  if (const Status fits = check_options(*place, options); !fits) return report(fits.error());
  const Status done = detach_from(*place, options);
  if (done && options.json) return print_prog_json({{"kind", options.kind}, {"target", options.target}});
  if (done) return kYes;
  Error error = done.error();
  if (error.system_error == ENOENT && error.hint.empty())
    error.message = fmt::format("the program is not at {} {}", options.kind, options.target);
  return report(error);
}

}  // namespace

void add_prog_attach(CLI::App& prog, int& status) {
  const auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* text, const char* program, int (*run)(const Options&)) {
    CLI::App* verb = prog.add_subcommand(name, text);
    verb->add_option("program", options->program, program)->required();
    verb->add_option("kind", options->kind,
                     "xdp, xdp_generic, xdp_driver, tcx_ingress, tcx_egress, tc_ingress, tc_egress, cgroup_..., "
                     "tracepoint, raw_tracepoint")
        ->required();
    verb->add_option("target", options->target, "an interface, a control group's folder, or a tracepoint's name")
        ->required();
    verb->add_option("--priority", options->priority, "tc_*: the filter's priority")->capture_default_str();
    verb->add_flag("--json", options->json, "print JSON");
    verb->callback([options, &status, run, verb] {
      options->priority_given = verb->count("--priority") != 0;
      status = run(*options);
    });
    return verb;
  };
  CLI::App* verb =
      add("attach", "put a program to work", "a loaded program (id, name, tag:TAG, pin), or a file", attach);
  verb->add_option("--pin", options->pin, "make a link and pin it here");
  verb->add_option("-p,--program", options->file.only, "of a file: the program of this name or section");
  verb->add_option("-t,--type", options->file.type, "of a file: its type, where the file does not say");
  verb->add_flag("--replace", options->replace, "xdp: in place of the program that is there");
  verb->add_flag("--multi", options->multi, "cgroup_*: beside others, and those of groups inside");
  add("detach", "take a program off", "a loaded program (id, name, tag:TAG, pin)", detach);
}

}  // namespace weir::tool
