// weir info: what a capture holds.
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/render.h>
#include <weir/capture/source.h>

#include "json_text.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> files;
  bool json = false;
};

struct InterfaceSummary {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

using capture::Time;

struct Summary {
  std::uint64_t packets = 0;
  std::uint64_t captured_bytes = 0;
  std::uint64_t wire_bytes = 0;
  std::uint64_t cut = 0;
  std::uint32_t shortest = 0xffffffff;
  std::uint32_t longest = 0;
  std::optional<Time> first;
  std::optional<Time> last;
  Time previous;
  bool in_order = true;
  std::vector<InterfaceSummary> interfaces;
  std::optional<Error> damage;
};

std::string write_time(const Time& time) {
  const std::time_t seconds = static_cast<std::time_t>(time.seconds);
  std::tm broken{};
  char text[64];
  if (::gmtime_r(&seconds, &broken) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &broken) == 0)
    return fmt::format("{}.{:09} s after 1970", time.seconds, time.nanoseconds);
  return fmt::format("{}.{:09} UTC", text, time.nanoseconds);
}

Summary summarise(capture::Source& source) {
  Summary summary;
  capture::RecordBatch batch;
  for (;;) {
    const Result<capture::Read> read = source.read(batch);
    if (!read) {
      summary.damage = read.error();
      break;
    }
    if (*read == capture::Read::kEnd) break;
    summary.interfaces.resize(source.interfaces().size());
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      const packet::Packet& packet = batch.packets[i];
      const capture::Record& record = batch.records[i];
      ++summary.packets;
      summary.captured_bytes += packet.length;
      summary.wire_bytes += packet.wire_length;
      if (packet.wire_length > packet.length) ++summary.cut;
      summary.shortest = std::min(summary.shortest, packet.length);
      summary.longest = std::max(summary.longest, packet.length);
      ++summary.interfaces[record.interface].packets;
      summary.interfaces[record.interface].bytes += packet.length;
      const Time time = time_of(record, source.interfaces()[record.interface]);
      if (summary.first && time < summary.previous) summary.in_order = false;
      summary.previous = time;
      if (!summary.first || time < *summary.first) summary.first = time;
      if (!summary.last || time > *summary.last) summary.last = time;
    }
  }
  summary.interfaces.resize(source.interfaces().size());
  return summary;
}

double duration(const Summary& summary) {
  if (!summary.first) return 0;
  return (static_cast<double>(summary.last->seconds) - static_cast<double>(summary.first->seconds)) +
         (static_cast<double>(summary.last->nanoseconds) - static_cast<double>(summary.first->nanoseconds)) / 1e9;
}

std::string resolution(std::uint64_t ticks) {
  if (ticks == 1000000) return "microseconds";
  if (ticks == 1000000000) return "nanoseconds";
  return fmt::format("1/{} s", ticks);
}

std::string link_type_text(packet::LinkType type) {
  const packet::LinkTypeInfo* info = packet::find(type);
  if (info == nullptr) return fmt::format("link type {}", static_cast<unsigned>(type));
  return fmt::format("{} ({})", info->name, info->description);
}

std::string as_text(const capture::Source& source, const Summary& summary) {
  std::string out = fmt::format("file         {}\n", printable(source.name()));
  const bool compressed = source.compression() != capture::Compression::kNone;
  out += fmt::format("format       {}, {}-endian{}{}\n", name_of(source.format()),
                     source.byte_order() == std::endian::little ? "little" : "big", compressed ? ", " : "",
                     compressed ? name_of(source.compression()) : "");
  if (source.format() == capture::Format::kPcapng) out += fmt::format("sections     {}\n", source.sections());
  for (std::size_t i = 0; i < source.interfaces().size(); ++i) {
    const capture::Interface& interface = source.interfaces()[i];
    const bool several = source.interfaces().size() > 1;
    out +=
        fmt::format("{:<12} {}, snap length {}, {}", several ? fmt::format("interface {}", i) : "interface",
                    link_type_text(interface.link_type), interface.snap_length, resolution(interface.ticks_per_second));
    if (!interface.name.empty()) out += fmt::format(", {}", printable(interface.name));
    if (several) out += fmt::format(", {} packets", summary.interfaces[i].packets);
    out += "\n";
  }
  out += fmt::format("packets      {}\n", summary.packets);
  if (summary.packets == 0) return out;
  out += fmt::format("bytes        {} captured, {} on the wire\n", summary.captured_bytes, summary.wire_bytes);
  out += fmt::format("lengths      {} to {}{}\n", summary.shortest, summary.longest,
                     summary.cut > 0 ? fmt::format(", {} packet{} cut", summary.cut, summary.cut == 1 ? "" : "s") : "");
  out += fmt::format("first        {}\n", write_time(*summary.first));
  out += fmt::format("last         {}\n", write_time(*summary.last));
  out += fmt::format("duration     {:.6f} s{}\n", duration(summary), summary.in_order ? "" : ", not in order of time");
  return out;
}

nlohmann::json as_json(const capture::Source& source, const Summary& summary) {
  nlohmann::json interfaces = nlohmann::json::array();
  for (std::size_t i = 0; i < source.interfaces().size(); ++i) {
    const capture::Interface& interface = source.interfaces()[i];
    interfaces.push_back({{"link_type", packet::name_of(interface.link_type)},
                          {"link_type_number", static_cast<unsigned>(interface.link_type)},
                          {"snap_length", interface.snap_length},
                          {"ticks_per_second", interface.ticks_per_second},
                          {"name", interface.name},
                          {"packets", summary.interfaces[i].packets},
                          {"bytes", summary.interfaces[i].bytes}});
  }
  nlohmann::json out = {{"version", 1},
                        {"file", source.name()},
                        {"format", name_of(source.format())},
                        {"compression", name_of(source.compression())},
                        {"byte_order", source.byte_order() == std::endian::little ? "little" : "big"},
                        {"sections", source.sections()},
                        {"interfaces", interfaces},
                        {"packets", summary.packets},
                        {"captured_bytes", summary.captured_bytes},
                        {"wire_bytes", summary.wire_bytes},
                        {"cut_packets", summary.cut},
                        {"in_order", summary.in_order},
                        {"damaged", summary.damage.has_value()}};
  if (summary.first) {
    out["first"] = fmt::format("{}.{:09}", summary.first->seconds, summary.first->nanoseconds);
    out["last"] = fmt::format("{}.{:09}", summary.last->seconds, summary.last->nanoseconds);
    out["duration"] = duration(summary);
    out["shortest"] = summary.shortest;
    out["longest"] = summary.longest;
  }
  return out;
}

int run(const Options& options) {
  int status = kYes;
  bool first = true;
  for (const std::string& file : options.files) {
    const Result<std::unique_ptr<capture::Source>> source = capture::open(file);
    if (!source) {
      status = report(source.error());
      continue;
    }
    const Summary summary = summarise(**source);
    const std::string text =
        options.json ? json_line(as_json(**source, summary)) : (first ? "" : "\n") + as_text(**source, summary);
    first = false;
    if (const int printed = print(text); printed != kYes) return printed;
    for (const Diagnostic& warning : (*source)->warnings()) status = report(warning);
    if (summary.damage) status = report(*summary.damage);
  }
  return status;
}

}  // namespace

void add_info(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("info", "tell what captures hold");
  verb->add_option("files", options->files, "the captures; '-' is standard input")->required();
  verb->add_flag("--json", options->json, "print one JSON object a capture, one a line");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
