// weir capture: packets of live interfaces, filtered in the kernel, into a file or a pipe.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pwd.h>
#include <sys/time.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/capture/live.h>
#include <weir/capture/live_writer.h>
#include <weir/capture/xdp.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/kernel/extended_filter.h>
#include <weir/kernel/privileges.h>

#include "capture_options.h"
#include "json_text.h"
#include "output_name.h"
#include "quantity.h"
#include "stop_signals.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

using Clock = std::chrono::steady_clock;

// What signal handlers stop. Written before they are installed.
std::vector<capture::LiveSource*> stopped_by_signals;
std::atomic<bool> stopping{false};

void on_signal(int) {
  stopping = true;
  for (capture::LiveSource* source : stopped_by_signals) source->request_stop();
}

// One ring, and who reads it.
struct Tap {
  std::unique_ptr<capture::LiveSource> source{};
  std::unique_ptr<engine::Engine> engine{};  // null: the kernel filters
  std::uint32_t interface = 0;
  std::uint64_t seen = 0;
  std::uint64_t captured = 0;
  std::uint64_t bytes = 0;
  capture::LiveStatistics statistics{};
  Status result{};
};

class CaptureRun {
 public:
  explicit CaptureRun(const CaptureOptions& options) : options_(options) {}

  int run() {
    const Status status = prepare();
    if (!status && status.error().system_error == EPIPE) return kYes;  // whoever reads has seen enough
    if (!status) return report(status.error(), std::holds_alternative<Span>(status.error().place) ? expression_ : "");
    return capture_all();
  }

 private:
  static constexpr std::uint32_t kWhole = 262144;  // bytes: the longest packet

  static Error usage(std::string message, std::string hint = {}) {
    return Error{.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
  }

  Status prepare() {
    WEIR_CHECK(take_options());
    std::optional<kernel::User> user;
    if (!options_.user.empty()) {
      WEIR_TRY(user, kernel::find_user(options_.user));
    }
    for (const std::string& name : options_.interfaces) WEIR_CHECK(open_interface(name));
    const bool rotates = writer_.rotate_bytes != 0 || writer_.rotate_seconds > 0;
    // Of several files the first is the user's as well, and where it may not write, that shows now.
    if (user && rotates) WEIR_CHECK(kernel::become(*user));
    if (!options_.count_only) WEIR_CHECK(open_output());
    if (user) return rotates ? Status() : kernel::become(*user);
    if (options_.keep_privileges) return {};
    return kernel::drop_capabilities(rotates ? kernel::Keep::kFileAccess : kernel::Keep::kNothing);
  }

  Status take_options() {
    if (options_.interfaces.empty())
      return fail(usage("an interface is missing", "name it with -i; 'weir capture --list' shows them"));
    WEIR_TRY(expression_, expression_text(options_.expression, options_.expression_file));
    WEIR_CHECK(apply(options_.language, compile_));
    if (options_.count_only && !options_.output.empty()) return fail(usage("--count and -w contradict each other"));
    if (!options_.count_only && options_.output.empty()) {
      if (::isatty(STDOUT_FILENO) == 1)
        return fail(usage("a capture is not written to a terminal", "add '-w FILE' or '--count'"));
      output_ = "-";
    } else {
      output_ = options_.output;
    }
    if (options_.snap_length == 0) options_.snap_length = kWhole;
    live_.snap_length = options_.snap_length;
    live_.promiscuous = !options_.no_promiscuous;
    live_.direction = options_.direction == "in"    ? capture::Direction::kIn
                      : options_.direction == "out" ? capture::Direction::kOut
                                                    : capture::Direction::kBoth;
    WEIR_TRY(live_.ring_bytes, parse_bytes(options_.ring));
    if (live_.ring_bytes < (32u << 10)) return fail(usage("a ring has at least 32K"));
    if (live_.ring_bytes > (std::uint64_t{4} << 30)) return fail(usage("a ring holds at most 4G"));
    while (live_.block_bytes > 16384 && live_.block_bytes * 8 > live_.ring_bytes) live_.block_bytes /= 2;
    if (!options_.rotate_size.empty()) {
      WEIR_TRY(writer_.rotate_bytes, parse_bytes(options_.rotate_size));
      if (writer_.rotate_bytes < 4096) return fail(usage("a file holds at least 4K"));
    }
    if (!options_.rotate_time.empty()) {
      WEIR_TRY(writer_.rotate_seconds, parse_seconds(options_.rotate_time));
      if (writer_.rotate_seconds < 0.001) return fail(usage("a file lasts at least 1ms"));
    }
    if (!options_.duration.empty()) {
      WEIR_TRY(duration_, parse_seconds(options_.duration));
      if (duration_ < 0.001) return fail(usage("the duration is at least 1ms"));
    }
    const bool rotates = writer_.rotate_bytes != 0 || writer_.rotate_seconds > 0;
    if (rotates && (output_ == "-" || output_.empty())) return fail(usage("only files rotate", "add '-w FILE'"));
    if (options_.rotate_files != 0 && !rotates)
      return fail(usage("--rotate-files needs --rotate-size or --rotate-time"));
    if (options_.af_xdp) WEIR_CHECK(check_xdp_options());
    writer_.keep_files = options_.rotate_files;
    writer_.stopping = &stopping;
    writer_.format = options_.format == "pcap" ? capture::Format::kPcap : capture::Format::kPcapng;
    return {};
  }

  Status check_xdp_options() const {
    if (options_.direction == "out") return fail(usage("AF_XDP sees only packets that come in", "leave -Q out"));
    if (options_.threads > 1) return fail(usage("--af-xdp and --threads contradict each other"));
    return {};
  }

  Status open_interface(const std::string& name) {
    if (options_.af_xdp) return open_with_xdp(name);
    capture::LiveOptions live = live_;
    static constexpr std::pair<const char*, capture::Fanout> kModes[] = {{"hash", capture::Fanout::kHash},
                                                                         {"round-robin", capture::Fanout::kRoundRobin},
                                                                         {"cpu", capture::Fanout::kCpu},
                                                                         {"queue", capture::Fanout::kQueue}};
    if (options_.threads > 1)
      for (const auto& [mode, value] : kModes)
        if (options_.fanout == mode) live.fanout = value;
    const auto first = taps_.size();
    const auto number = static_cast<std::uint32_t>(interfaces_.size());
    WEIR_CHECK(open_taps(name, number, live, options_.in_weir));
    interfaces_.push_back(taps_[first]->source->interfaces().front());
    interfaces_.back().snap_length = options_.snap_length;
    // All sockets of a fanout group decide alike.
    WEIR_TRY(const bool in_kernel, set_filter(std::span(taps_).subspan(first)));
    if (in_kernel) return {};
    if (!options_.in_weir) {
      taps_.resize(first);
      WEIR_CHECK(open_taps(name, number, live, true));
    }
    return load_engines(std::span(taps_).subspan(first));
  }

  // A filter that runs in weir sees whole packets, as it would in the kernel: they are cut behind it.
  Status open_taps(const std::string& name, std::uint32_t number, capture::LiveOptions live, bool whole) {
    if (whole) live.snap_length = kWhole;
    for (std::uint32_t thread = 0; thread < options_.threads; ++thread) {
      auto tap = std::make_unique<Tap>();
      WEIR_TRY(tap->source, capture::open_live(name, live));
      live.fanout_group = tap->source->fanout_group();
      tap->interface = number;
      taps_.push_back(std::move(tap));
    }
    return {};
  }

  Status open_with_xdp(const std::string& name) {
    capture::XdpOptions how{.snap_length = options_.in_weir ? kWhole : live_.snap_length,
                            .promiscuous = live_.promiscuous,
                            .ring_bytes = live_.ring_bytes,
                            .mode = options_.xdp_mode == "native"    ? capture::XdpMode::kNative
                                    : options_.xdp_mode == "generic" ? capture::XdpMode::kGeneric
                                                                     : capture::XdpMode::kAutomatic};
    auto tap = std::make_unique<Tap>();
    WEIR_TRY(std::unique_ptr<capture::XdpSource> source, capture::open_xdp(name, how));
    interfaces_.push_back(source->interfaces().front());
    interfaces_.back().snap_length = options_.snap_length;
    tap->interface = static_cast<std::uint32_t>(interfaces_.size() - 1);
    const capture::XdpSource& opened = *source;
    tap->source = std::move(source);
    taps_.push_back(std::move(tap));
    WEIR_TRY(const bool in_kernel, set_filter(std::span(taps_).last(1)));
    if (!in_kernel) WEIR_CHECK(load_engines(std::span(taps_).last(1)));
    if (!options_.quiet)
      say(fmt::format("weir: {}: {} are taken from the host: it does not get them (AF_XDP, {} mode, {}, {} queue{})\n",
                      name, expression_.empty() || options_.in_weir ? "all packets" : "packets that match",
                      opened.native() ? "native" : "generic", opened.zero_copy() ? "no copy" : "copied",
                      opened.queues(), opened.queues() == 1 ? "" : "s"));
    return {};
  }

  Result<filter::Compiled> compile(const capture::Interface& interface, filter::Platform platform) {
    filter::CompileOptions compile = compile_;
    compile.bind.link_type = interface.link_type;
    compile.bind.platform = platform;
    compile.bind.capture_file = false;
    if (!compile.bind.netmask) compile.bind.netmask = capture::interface_netmask(interface.name);
    compile.snap_length = options_.snap_length;
    return filter::compile(expression_, compile);
  }

  // Whether the kernel filters; if not, weir has to.
  Result<bool> set_filter(std::span<const std::unique_ptr<Tap>> taps) {
    const capture::Interface& interface = interfaces_.back();
    const bool cooked = taps.front()->source->cooked();
    // What the kernel keeps beside the packet can only be read in the kernel, behind XDP; cooked programs are rewritten
    // for it.
    WEIR_TRY(const filter::Compiled compiled,
             compile(interface, cooked || options_.af_xdp ? filter::Platform::kPortable : filter::Platform::kLinux));
    report_all(compiled.warnings, expression_);
    if (options_.af_xdp && !options_.in_weir) {
      Status attached = taps.front()->source->attach(compiled.program);
      // Falling back would take all packets from the host: not without being asked.
      if (!attached && (attached.error().hint.empty() || attached.error().code == ErrorCode::kLimit))
        attached.error().hint =
            "leave --af-xdp out; or take all packets from the host and filter them in weir: add "
            "--filter-in-weir";
      if (!attached) return fail(std::move(attached).error());
      return true;
    }
    if (!options_.in_weir) {
      const Status taken = filter_in_kernel(taps, compiled.program, cooked);
      if (taken) return true;
      if (taken.error().code == ErrorCode::kSystem) return fail(taken.error());
      say(fmt::format("weir: {}: packets are filtered in weir, after the ring\n", taken.error().message));
    }
    return false;
  }

  Status load_engines(std::span<const std::unique_ptr<Tap>> taps) {
    WEIR_TRY(const filter::Compiled portable, compile(interfaces_.back(), filter::Platform::kPortable));
    for (const std::unique_ptr<Tap>& tap : taps) {
      WEIR_TRY(tap->engine, engine::load(portable.program));
    }
    return {};
  }

  Status filter_in_kernel(std::span<const std::unique_ptr<Tap>> taps, const cbpf::Checked& program, bool cooked) {
    cbpf::Checked moved = program;
    if (cooked) {
      WEIR_TRY(moved, capture::cooked_for_kernel(program));
    }
    Result<cbpf::Checked> classic = cbpf::check(moved.program(), {.target = cbpf::Target::kSocket});
    if (!classic) return filter_extended(taps, moved, std::move(classic).error());
    for (const std::unique_ptr<Tap>& tap : taps) WEIR_CHECK(tap->source->attach(*classic));
    return {};
  }

  // A program that is too long for a classic one; `why_not` says so.
  Status filter_extended(std::span<const std::unique_ptr<Tap>> taps, cbpf::Checked program, Error why_not) {
    if (live_.direction == capture::Direction::kOut) {
      WEIR_TRY(program, capture::only_outgoing(program));
    }
    const Result<kernel::ExtendedFilter> extended = kernel::ExtendedFilter::load(program);
    if (!extended) {
      why_not.message += fmt::format("; as an extended program: {}", extended.error().message);
      return fail(std::move(why_not));
    }
    for (const std::unique_ptr<Tap>& tap : taps) WEIR_CHECK(tap->source->attach_extended(extended->descriptor()));
    if (!options_.quiet)
      say(
          fmt::format("weir: the program has {} instructions, more than the kernel takes; it runs there as an extended "
                      "program of {} instructions, with {} values in maps\n",
                      program.program().size(), extended->instructions(), extended->map_entries()));
    return {};
  }

  Status open_output() {
    warn_of_name(output_, writer_.format, false);
    WEIR_TRY(file_, capture::LiveWriter::create(output_, interfaces_, writer_));
    return {};
  }

  void install_signals() {
    for (const std::unique_ptr<Tap>& tap : taps_) stopped_by_signals.push_back(tap->source.get());
    on_stop_signals(on_signal);
    if (duration_ <= 0) return;
    ::signal(SIGALRM, on_signal);
    itimerval timer{};
    timer.it_value.tv_sec = static_cast<time_t>(duration_);
    timer.it_value.tv_usec = static_cast<suseconds_t>((duration_ - static_cast<double>(timer.it_value.tv_sec)) * 1e6);
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }

  int capture_all() {
    install_signals();
    const Clock::time_point start = Clock::now();
    for (const std::unique_ptr<Tap>& tap : taps_)
      if (const Status started = tap->source->start(); !started) return report(started.error());
    announce();
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < taps_.size(); ++i) threads.emplace_back([this, i] { drain(*taps_[i]); });
    drain(*taps_.front());
    for (std::thread& thread : threads) thread.join();
    stopped_by_signals.clear();
    return finish(std::chrono::duration<double>(Clock::now() - start).count());
  }

  void announce() const {
    if (options_.quiet || !stderr_is_terminal()) return;
    say(fmt::format("weir: capturing on {}; Ctrl-C ends it\n", fmt::join(options_.interfaces, ", ")));
  }

  void stop_all() {
    for (const std::unique_ptr<Tap>& tap : taps_) tap->source->request_stop();
  }

  void drain(Tap& tap) {
    tap.result = drain_source(tap);
    if (!tap.result && !goes_on_without(tap)) stop_all();
    if (const Result<capture::LiveStatistics> statistics = tap.source->statistics()) tap.statistics = *statistics;
  }

  // Of several interfaces one may go away; each of its rings tells it.
  bool goes_on_without(Tap& tap) {
    if (tap.result.error().system_error != ENETDOWN) return false;
    const std::lock_guard lock(gone_mutex_);
    const bool first = std::find(gone_.begin(), gone_.end(), tap.interface) == gone_.end();
    if (first) gone_.push_back(tap.interface);
    if (gone_.size() == interfaces_.size() && gone_.back() == tap.interface) return false;
    Error warning = std::move(tap.result).error();
    warning.severity = Severity::kWarning;
    if (first) report(warning);
    tap.result = {};
    return true;
  }

  // Of `wanted` packets, how many may still be taken under -c.
  std::size_t claim(std::size_t wanted) {
    if (options_.count == 0) return wanted;
    const std::uint64_t before = claimed_.fetch_add(wanted);
    if (before + wanted >= options_.count) stop_all();
    if (before >= options_.count) return 0;
    return static_cast<std::size_t>(std::min<std::uint64_t>(wanted, options_.count - before));
  }

  Status drain_source(Tap& tap) {
    capture::RecordBatch batch;
    std::vector<std::uint32_t> verdicts;
    std::optional<capture::LiveWriter::Lane> lane;
    if (file_) lane.emplace(*file_);
    for (;;) {
      WEIR_TRY(const capture::Read read, tap.source->read(batch));
      if (read == capture::Read::kEnd) return {};
      std::size_t count = batch.packets.size();
      tap.seen += count;
      if (tap.engine) {
        count = filter_in_weir(*tap.engine, batch, verdicts);
        cut_to_snap_length(batch);
      }
      const std::size_t taken = claim(count);
      if (options_.count != 0 && taken < count) keep_first(batch, taken, verdicts);
      if (lane) {
        const Status written = lane->write(batch, verdicts, tap.interface);
        // What a failed write left out was not captured.
        tap.captured = lane->packets();
        tap.bytes = lane->packet_bytes();
        WEIR_CHECK(written);
      } else {
        tap.captured += taken;
        for (std::size_t i = 0; i < batch.packets.size(); ++i)
          if (verdicts.empty() || verdicts[i] != 0) tap.bytes += batch.packets[i].length;
      }
      if (options_.count != 0 && claimed_ >= options_.count) return {};
    }
  }

  // The number of packets that match.
  static std::size_t filter_in_weir(const engine::Engine& engine, const capture::RecordBatch& batch,
                                    std::vector<std::uint32_t>& verdicts) {
    verdicts.resize(batch.packets.size());
    engine.run(batch.packets, verdicts);
    std::size_t matched = 0;
    for (const std::uint32_t verdict : verdicts) matched += verdict != 0;
    return matched;
  }

  void cut_to_snap_length(capture::RecordBatch& batch) const {
    for (packet::Packet& packet : batch.packets) packet.length = std::min(packet.length, options_.snap_length);
  }

  static void keep_first(capture::RecordBatch& batch, std::size_t wanted, std::vector<std::uint32_t>& verdicts) {
    std::size_t end = 0;
    for (std::size_t taken = 0; taken < wanted; ++end) taken += verdicts.empty() || verdicts[end] != 0;
    batch.packets.resize(end);
    batch.records.resize(end);
    if (!verdicts.empty()) verdicts.resize(end);
  }

  int finish(double seconds) {
    std::uint64_t captured = 0;
    std::uint64_t bytes = 0;
    capture::LiveStatistics all;
    std::vector<capture::LiveStatistics> by_interface(interfaces_.size());
    int status = kYes;
    std::string reported;
    for (const std::unique_ptr<Tap>& tap : taps_) {
      captured += tap->captured;
      bytes += tap->bytes;
      for (capture::LiveStatistics* sum : {&all, &by_interface[tap->interface]}) {
        sum->received += tap->statistics.received;
        sum->dropped += tap->statistics.dropped;
        sum->freezes += tap->statistics.freezes;
      }
      if (tap->result || tap->result.error().system_error == EPIPE) continue;
      // All that write to a file fail with it.
      if (std::exchange(reported, tap->result.error().message) != tap->result.error().message)
        status = std::max(status, report(tap->result.error()));
    }
    if (file_)
      if (const Status done = file_->finish(by_interface); !done && done.error().system_error != EPIPE)
        status = std::max(status, report(done.error()));
    const int printed = summarise(captured, bytes, all, seconds);
    if (printed != kYes) return printed;
    return status != kYes ? status : captured > 0 ? kYes : kNo;
  }

  int summarise(std::uint64_t captured, std::uint64_t bytes, const capture::LiveStatistics& all, double seconds) {
    if (options_.count_only && !options_.json)
      if (const int printed = print(fmt::format("{}\n", captured)); printed != kYes) return printed;
    if (options_.json) {
      const nlohmann::json out = {{"version", 1},
                                  {"captured", captured},
                                  {"bytes", bytes},
                                  {"received", all.received},
                                  {"dropped", all.dropped},
                                  {"freezes", all.freezes},
                                  {"files", file_ ? file_->files() : 0},
                                  {"seconds", seconds},
                                  {"filtered_in", taps_.front()->engine ? "weir"
                                                  : options_.af_xdp     ? "xdp"
                                                                        : "kernel"}};
      // The capture itself may be on standard output.
      if (output_ == "-") say(json_line(out));
      else if (const int printed = print(json_line(out)); printed != kYes) return printed;
    } else if (!options_.quiet) {
      say(fmt::format("weir: {} packets captured, {} received by the filter, {} dropped by the kernel, {:.2f} s\n",
                      captured, all.received, all.dropped, seconds));
    }
    return kYes;
  }

  CaptureOptions options_;
  std::string expression_;
  filter::CompileOptions compile_;
  std::string output_;
  capture::LiveOptions live_;
  capture::LiveWriterOptions writer_;
  double duration_ = 0;
  std::vector<capture::Interface> interfaces_;
  std::vector<std::unique_ptr<Tap>> taps_;
  std::unique_ptr<capture::LiveWriter> file_;
  std::atomic<std::uint64_t> claimed_{0};
  std::mutex gone_mutex_;
  std::vector<std::uint32_t> gone_;  // interfaces, in the order in which they went away
};

}  // namespace

int run_capture(const CaptureOptions& options) { return CaptureRun(options).run(); }

}  // namespace weir::tool
