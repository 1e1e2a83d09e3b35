// weir inject: the packets of captures onto an interface: with recorded gaps, at a rate, or as fast as it goes.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/capture/inject.h>
#include <weir/capture/open_file.h>
#include <weir/capture/source.h>
#include <weir/kernel/privileges.h>

#include "json_text.h"
#include "quantity.h"
#include "stop_signals.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string interface;
  std::vector<std::string> captures;
  std::string bit_rate;
  std::string rate;
  double speed = 1;
  std::uint64_t loops = 1;
  std::uint64_t count = 0;
  bool top_speed = false;
  bool bypass = false;
  bool json = false;
  bool quiet = false;
};

using Nanoseconds = std::int64_t;

std::atomic<bool> stopped{false};

void on_signal(int) { stopped = true; }

Nanoseconds now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000 + time.tv_nsec;
}

// Sleeps until shortly before the time, then spins: a sleep alone comes 50 microseconds late.
void wait_until(Nanoseconds due) {
  constexpr Nanoseconds kEarly = 100000;
  while (!stopped) {
    const Nanoseconds left = due - now();
    if (left <= 0) return;
    if (left <= kEarly) continue;
    const Nanoseconds wake = std::min(due - kEarly, now() + 200000000);
    const timespec time{static_cast<time_t>(wake / 1000000000), static_cast<long>(wake % 1000000000)};
    (void)::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
  }
}

// A rate as people write it: 1000, 50k, 1.5M, 1G; 1000pps, 10Mbps.
Result<double> parse_rate(const std::string& text, std::string_view suffix) {
  std::size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  std::string unit = text.substr(used);
  if (unit.ends_with(suffix)) unit.resize(unit.size() - suffix.size());
  const double factor = unit.empty() ? 1 : unit == "k" || unit == "K" ? 1e3 : unit == "M" ? 1e6 : unit == "G" ? 1e9 : 0;
  if (used == 0 || factor == 0 || !(value > 0) || value * factor > 1e12)
    return fail(Error{.code = ErrorCode::kUsage, .message = "'" + text + "' is no rate", .hint = "write it like 50k"});
  return value * factor;
}

// When each packet is due, in nanoseconds since the first.
class Pace {
 public:
  static Result<Pace> make(const Options& options) {
    Pace pace;
    pace.speed_ = options.speed;
    pace.top_ = options.top_speed;
    if (!options.rate.empty()) {
      WEIR_TRY(const double rate, parse_rate(options.rate, "pps"));
      pace.packet_gap_ = 1e9 / rate;
    }
    if (!options.bit_rate.empty()) {
      WEIR_TRY(const double rate, parse_rate(options.bit_rate, "bps"));
      pace.bit_gap_ = 1e9 / rate;
    }
    return pace;
  }

  bool top_speed() const { return top_; }

  // Packets come in order; `recorded` is in nanoseconds. A new round goes on where the last one ended.
  Nanoseconds due(Nanoseconds recorded, std::uint32_t length) {
    if (packet_gap_ > 0 || bit_gap_ > 0) {
      const double at = at_;
      at_ += packet_gap_ > 0 ? packet_gap_ : bit_gap_ * 8 * length;
      return rounded(at);
    }
    if (!last_) last_ = recorded;
    // Captures may step back in time; a packet cannot.
    if (recorded > *last_) at_ += static_cast<double>(recorded - *last_) / speed_;
    last_ = recorded;
    return rounded(at_);
  }
  void new_round() { last_.reset(); }

 private:
  // At most 126 years: now() and this fit into a number.
  static Nanoseconds rounded(double at) { return static_cast<Nanoseconds>(std::min(4e18, at)); }

  bool top_ = false;
  double speed_ = 1;
  double packet_gap_ = 0;
  double bit_gap_ = 0;
  double at_ = 0;
  std::optional<Nanoseconds> last_;
};

// A capture, opened once: what privileges are needed for it are gone later, and a pipe gives its bytes only once.
class Input {
 public:
  // `again`: it will be read several times.
  static Result<Input> open(const std::string& name, bool again) {
    Input input;
    input.name_ = name;
    WEIR_TRY(input.file_, open_for_reading(name));
    if (again && (name == "-" || ::lseek(input.file_.get(), 0, SEEK_CUR) < 0))
      return fail(
          Error{.code = ErrorCode::kUsage,
                .message = fmt::format("{} can be read only once", name == "-" ? "standard input" : "'" + name + "'"),
                .hint = "--loop needs files"});
    // One that cannot be read is an error before the first packet is sent.
    WEIR_TRY(FileDescriptor file, input.again());
    WEIR_TRY(input.first_, capture::open(std::move(file), name));
    return input;
  }

  // From the start; a pipe only the first time.
  Result<std::unique_ptr<capture::Source>> source() {
    if (first_) return std::move(first_);
    if (::lseek(file_.get(), 0, SEEK_SET) < 0) return fail(system_failure("cannot go back in '" + name_ + "'", errno));
    WEIR_TRY(FileDescriptor file, again());
    return capture::open(std::move(file), name_);
  }

 private:
  Result<FileDescriptor> again() const {
    FileDescriptor file(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3));
    if (!file) return fail(system_failure("cannot open '" + name_ + "' again", errno));
    return file;
  }

  std::string name_;
  FileDescriptor file_;
  std::unique_ptr<capture::Source> first_;
};

class InjectRun {
 public:
  InjectRun(const Options& options, std::vector<Input> inputs, capture::Injector injector, Pace pace)
      : options_(options), inputs_(std::move(inputs)), injector_(std::move(injector)), pace_(std::move(pace)) {}

  Status run() {
    start_ = now();
    for (std::uint64_t round = 0; round < options_.loops && !done(); ++round)
      for (Input& input : inputs_) {
        WEIR_CHECK(send_capture(input));
        pace_.new_round();
      }
    return {};
  }

  int finish() const {
    const double seconds = static_cast<double>(now() - start_) / 1e9;
    const double rate = seconds > 0 ? static_cast<double>(sent_.packets) / seconds : 0;
    if (options_.json) {
      const nlohmann::json out = {{"version", 1},
                                  {"packets", sent_.packets},
                                  {"bytes", sent_.bytes},
                                  {"refused", sent_.refused},
                                  {"cut_short", cut_short_},
                                  {"seconds", seconds}};
      if (const int printed = print(json_line(out)); printed != kYes) return printed;
    } else if (!options_.quiet) {
      say(fmt::format("weir: {} packets sent, {} bytes, {:.2f} s ({:.0f} packets/s, {:.1f} Mbit/s)\n", sent_.packets,
                      sent_.bytes, seconds, rate, seconds > 0 ? static_cast<double>(sent_.bytes) * 8e-6 / seconds : 0));
    }
    if (cut_short_ > 0 && !options_.quiet)
      say(fmt::format("weir: warning: {} packets were captured cut short, and sent so\n", cut_short_));
    if (sent_.refused > 0)
      return report(
          Error{.message = fmt::format("'{}' did not take {} packets: longer than its MTU, or without a header",
                                       options_.interface, sent_.refused)});
    return sent_.packets > 0 ? kYes : kNo;
  }

 private:
  bool done() const { return stopped || (options_.count != 0 && taken_ >= options_.count); }

  Status send_capture(Input& input) {
    WEIR_TRY(const std::unique_ptr<capture::Source> source, input.source());
    capture::RecordBatch batch;
    while (!done()) {
      WEIR_TRY(const capture::Read read, source->read(batch));
      if (read == capture::Read::kEnd) return {};
      if (options_.count != 0 && batch.packets.size() > options_.count - taken_)
        batch.packets.resize(static_cast<std::size_t>(options_.count - taken_));
      taken_ += batch.packets.size();
      WEIR_CHECK(check_batch(*source, batch));
      if (pace_.top_speed()) WEIR_CHECK(send(batch.packets));
      else WEIR_CHECK(send_in_time(*source, batch));
    }
    return {};
  }

  Status check_batch(const capture::Source& source, const capture::RecordBatch& batch) {
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      cut_short_ += batch.packets[i].length < batch.packets[i].wire_length;
      const packet::LinkType type = source.interfaces()[batch.records[i].interface].link_type;
      if (type != injector_.link_type())
        return fail(Error{
            .code = ErrorCode::kUnsupported,
            .message = fmt::format("packets of link type {} do not fit to '{}', which takes {}", packet::name_of(type),
                                   options_.interface, packet::name_of(injector_.link_type())),
            .source = source.name()});
    }
    return {};
  }

  // Packets that are due at the same time, or overdue, go in one call.
  Status send_in_time(const capture::Source& source, const capture::RecordBatch& batch) {
    const packet::Batch all = batch.packets;
    std::size_t first = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const capture::Interface& interface = source.interfaces()[batch.records[i].interface];
      const Nanoseconds due = start_ + pace_.due(nanoseconds_of(batch.records[i], interface), all[i].length);
      if (due <= now()) continue;
      WEIR_CHECK(send(all.subspan(first, i - first)));
      first = i;
      wait_until(due);
      if (stopped) return {};
    }
    return send(all.subspan(first));
  }

  static Nanoseconds nanoseconds_of(const capture::Record& record, const capture::Interface& interface) {
    constexpr std::uint64_t kMostSeconds = 9000000000;
    const std::uint64_t ticks = interface.ticks_per_second;
    const auto rest = static_cast<double>(record.ticks % ticks) * 1e9 / static_cast<double>(ticks);
    return static_cast<Nanoseconds>(std::min(record.ticks / ticks, kMostSeconds)) * 1000000000 +
           static_cast<Nanoseconds>(rest);
  }

  Status send(packet::Batch packets) {
    WEIR_TRY(const capture::InjectResult result, injector_.send(packets));
    sent_.packets += result.packets;
    sent_.bytes += result.bytes;
    sent_.refused += result.refused;
    return {};
  }

  const Options& options_;
  std::vector<Input> inputs_;
  capture::Injector injector_;
  Pace pace_;
  Nanoseconds start_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t cut_short_ = 0;
  capture::InjectResult sent_;
};

int run_inject(const Options& options) {
  if (options.interface.empty() || options.captures.empty())
    return report(Error{.code = ErrorCode::kUsage,
                        .message = options.interface.empty() ? "an interface is missing" : "a capture is missing",
                        .hint = "weir inject -i eth0 in.pcap"});
  const Result<Pace> pace = Pace::make(options);
  if (!pace) return report(pace.error());
  Result<capture::Injector> injector =
      capture::Injector::open(options.interface, {.bypass_queues = options.bypass, .stopping = &stopped});
  if (!injector) return report(injector.error());
  std::vector<Input> inputs;
  for (const std::string& name : options.captures) {
    Result<Input> input = Input::open(name, options.loops > 1);
    if (!input) return report(input.error());
    inputs.push_back(std::move(*input));
  }
  if (const Status dropped = kernel::drop_capabilities(); !dropped) return report(dropped.error());
  on_stop_signals(on_signal);
  InjectRun run(options, std::move(inputs), std::move(*injector), *pace);
  const Status done = run.run();
  const int status = run.finish();
  if (!done) return report(done.error());
  return status;
}

}  // namespace

void add_inject(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("inject", "send the packets of captures on an interface");
  verb->add_option("captures", options->captures, "captures; '-' is standard input");
  verb->add_option("-i,--interface", options->interface, "the interface");
  CLI::Option* const top = verb->add_flag("-t,--top-speed", options->top_speed, "as fast as it goes");
  CLI::Option* const rate = verb->add_option("--rate", options->rate, "packets a second: 50k");
  CLI::Option* const bits = verb->add_option("--bit-rate", options->bit_rate, "bits of packets a second: 100M");
  CLI::Option* const speed =
      verb->add_option("--speed", options->speed, "recorded gaps divided by this")->check(CLI::Range(1e-6, 1e9));
  top->excludes(rate)->excludes(bits)->excludes(speed);
  rate->excludes(bits)->excludes(speed);
  bits->excludes(speed);
  verb->add_option("--loop", options->loops, "send the captures this many times")->check(at_least_one());
  verb->add_option("-c", options->count, "end after this many packets")->check(at_least_one());
  verb->add_flag("--bypass-queues", options->bypass, "past queueing disciplines, straight to the driver");
  verb->add_flag("--json", options->json, "print the summary as JSON");
  verb->add_flag("-q,--quiet", options->quiet, "no summary");
  verb->callback([options, &status] { status = run_inject(*options); });
}

}  // namespace weir::tool
