// The options of weir capture, and its list of interfaces. Exports add_capture.
#include "capture_options.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/capture/live.h>

#include "json_text.h"
#include "quantity.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

int list_interfaces(const CaptureOptions& options) {
  const Result<std::vector<capture::LiveInterface>> all = capture::live_interfaces();
  if (!all) return report(all.error());
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const capture::LiveInterface& one : *all)
      list.push_back({{"index", one.index}, {"name", one.name}, {"up", one.up}, {"loopback", one.loopback}});
    return print(json_line(list));
  }
  std::string out;
  for (const capture::LiveInterface& one : *all)
    out += fmt::format("{:<16} {}{}\n", one.name, one.up ? "up" : "down", one.loopback ? ", loopback" : "");
  out += fmt::format("{:<16} all of them\n", "any");
  return print(out);
}

void add_choice_options(CLI::App* verb, const std::shared_ptr<CaptureOptions>& options) {
  verb->add_option("-i,--interface", options->interfaces, "the interface, or 'any'; may be given several times")
      ->allow_extra_args(false);
  verb->add_option("expression", options->expression, "which packets; all when missing");
  verb->add_option("-F,--file", options->expression_file, "read the expression from this file");
  verb->add_option("-s,--snap-length", options->snap_length, "bytes kept of a packet; 0: all")
      ->check(CLI::Range(0u, 262144u))
      ->capture_default_str();
  verb->add_option("-Q,--direction", options->direction, "in, out or both")
      ->check(CLI::IsMember({"in", "out", "both"}))
      ->capture_default_str();
  verb->add_flag("-p,--no-promiscuous", options->no_promiscuous, "do not set the interface to promiscuous mode");
  verb->add_option("-c", options->count, "end after this many packets")->check(at_least_one());
  verb->add_option("--duration", options->duration, "end after this time: 10s, 500ms, 2min");
  add_language_flags(*verb, options->language);
}

void add_output_options(CLI::App* verb, const std::shared_ptr<CaptureOptions>& options) {
  verb->add_option("-w,--write", options->output, "write packets to this file ('-': standard output)")
      ->check([](const std::string& path) { return std::string(path.empty() ? "the name of a file is empty" : ""); });
  verb->add_flag("--count", options->count_only, "write nothing, print the number of packets");
  verb->add_option("--format", options->format, "pcapng or pcap")
      ->check(CLI::IsMember({"pcap", "pcapng"}))
      ->capture_default_str();
  verb->add_option("--rotate-size", options->rotate_size, "begin a new file before one gets larger: 100M");
  verb->add_option("--rotate-time", options->rotate_time, "begin a new file after this time: 60s");
  verb->add_option("--rotate-files", options->rotate_files, "keep this many files");
  verb->add_flag("--json", options->json, "print the summary as JSON");
  verb->add_flag("-q,--quiet", options->quiet, "no summary");
}

}  // namespace

void add_capture(CLI::App& app, int& status) {
  const auto options = std::make_shared<CaptureOptions>();
  CLI::App* verb = app.add_subcommand("capture", "write the packets of an interface that match an expression");
  add_choice_options(verb, options);
  add_output_options(verb, options);
  verb->add_option("--ring", options->ring, "size of the ring that the kernel fills, for each thread")
      ->capture_default_str();
  verb->add_option("--threads", options->threads, "read each interface with this many threads")
      ->check(CLI::Range(1u, 256u));
  verb->add_option("--fanout", options->fanout, "how threads share packets: hash, round-robin, cpu, queue")
      ->check(CLI::IsMember({"hash", "round-robin", "cpu", "queue"}))
      ->capture_default_str();
  verb->add_flag("--af-xdp", options->af_xdp,
                 "take packets before the network stack: those that match do NOT reach the host");
  verb->add_option("--xdp-mode", options->xdp_mode, "with --af-xdp: native (in the driver), generic, or auto")
      ->check(CLI::IsMember({"auto", "native", "generic"}))
      ->capture_default_str();
  verb->add_flag("--filter-in-weir", options->in_weir, "filter after the ring, not in the kernel");
  verb->add_option("-Z,--user", options->user, "become this user once all is open");
  verb->add_flag("--keep-privileges", options->keep_privileges, "do not give up capabilities");
  verb->add_flag("-D,--list", options->list, "list the interfaces");
  verb->callback([options, &status] { status = options->list ? list_interfaces(*options) : run_capture(*options); });
}

}  // namespace weir::tool
