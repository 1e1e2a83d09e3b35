// weir filter: the packets of captures that match an expression, written or counted.
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/pipe/filter.h>

#include "expression.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> arguments;
  std::string expression_file;
  std::string output;
  std::string format;
  LanguageFlags language;
  bool count = false;
  bool json = false;
  bool quiet = false;
};

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string megabytes(std::uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

// One line on a terminal, rewritten while long work goes on.
class Progress {
 public:
  explicit Progress(bool wanted) : shown_(wanted && stderr_is_terminal()) {}
  void update(const pipe::Statistics& statistics) {
    if (!shown_ || seconds_since(last_) < 0.2 || seconds_since(start_) < 1) return;
    last_ = Clock::now();
    drawn_ = true;
    say(fmt::format("\r\x1b[Kweir: {} packets, {} matched, {}", statistics.packets, statistics.matched,
                    megabytes(statistics.bytes)));
  }
  void clear() {
    if (drawn_) say("\r\x1b[K");
    drawn_ = false;
  }

 private:
  bool shown_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

bool same_file(const std::string& a, const std::string& b) {
  struct stat first {};
  struct stat second {};
  if (a == "-" || b == "-" || ::stat(a.c_str(), &first) != 0 || ::stat(b.c_str(), &second) != 0) return false;
  return S_ISREG(first.st_mode) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

class FilterRun {
 public:
  explicit FilterRun(const Options& options) : options_(options) {}

  int run() {
    if (const Status status = take_arguments(); !status) return report(status.error());
    if (const Status status = open_inputs(); !status) return report(status.error());
    if (const Status status = check_expression(); !status) return report(status.error(), expression_);
    if (const Status status = open_output(); !status) return report(status.error());
    pipe::Filter filter([this](const capture::Interface& interface) { return engine_for(interface); });
    Progress progress(!options_.quiet);
    const Clock::time_point start = Clock::now();
    int status = kYes;
    for (const std::unique_ptr<capture::Source>& source : sources_) {
      const Status done =
          filter.run(*source, sink_.get(), [&](const pipe::Statistics& so_far) { progress.update(so_far); });
      progress.clear();
      for (const Diagnostic& warning : source->warnings()) {
        report(warning);
        status = kBadInput;
      }
      if (done) continue;
      if (done.error().system_error == EPIPE) break;  // whoever reads has seen enough
      status =
          std::max(status, report(done.error(), std::holds_alternative<Span>(done.error().place) ? expression_ : ""));
      if (done.error().code == ErrorCode::kSystem) return status;
    }
    if (sink_) {
      if (const Status done = sink_->commit(); !done && done.error().system_error != EPIPE) return report(done.error());
    }
    return finish(filter.statistics(), seconds_since(start), status);
  }

 private:
  Status take_arguments() {
    files_ = options_.arguments;
    if (!options_.expression_file.empty()) {
      WEIR_TRY(expression_, read_whole_file(options_.expression_file, 64u << 20));
    } else {
      if (files_.empty())
        return fail(Error{.code = ErrorCode::kUsage,
                          .message = "an expression is missing",
                          .hint = "weir filter 'tcp port 443' in.pcap -w out.pcap"});
      expression_ = files_.front();
      files_.erase(files_.begin());
    }
    if (files_.empty())
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = "a capture to read is missing",
                        .hint = "name a file, or '-' for standard input"});
    if (options_.count && !options_.output.empty())
      return fail(Error{.code = ErrorCode::kUsage, .message = "--count and -w contradict each other"});
    if (!options_.count && !options_.json && options_.output.empty() && ::isatty(STDOUT_FILENO) == 1)
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = "a capture is not written to a terminal",
                        .hint = "add '-w FILE' or '--count'"});
    for (const std::string& file : files_)
      if (same_file(file, options_.output))
        return fail(
            Error{.code = ErrorCode::kUsage, .message = "'" + options_.output + "' is read and written at once"});
    return {};
  }

  Status open_inputs() {
    for (const std::string& file : files_) {
      WEIR_TRY(std::unique_ptr<capture::Source> source, capture::open(file));
      sources_.push_back(std::move(source));
    }
    return {};
  }

  Status open_output() {
    if (options_.count || (options_.json && options_.output.empty())) return {};
    capture::SinkOptions sink;
    bool mixed = false;
    std::optional<packet::LinkType> link_type;
    for (const auto& source : sources_) {
      mixed = mixed || source->format() == capture::Format::kPcapng;
      // A pcapng file tells its interfaces here, or only later: then its times may need all digits.
      sink.nanoseconds = sink.nanoseconds || source->interfaces().empty();
      for (const capture::Interface& interface : source->interfaces()) {
        sink.nanoseconds = sink.nanoseconds || 1000000 % interface.ticks_per_second != 0;
        mixed = mixed || interface.link_type != link_type.value_or(interface.link_type);
        link_type = interface.link_type;
      }
    }
    sink.format = mixed ? capture::Format::kPcapng : capture::Format::kPcap;
    if (options_.format == "pcap") sink.format = capture::Format::kPcap;
    if (options_.format == "pcapng") sink.format = capture::Format::kPcapng;
    WEIR_TRY(sink_, capture::create(options_.output.empty() ? "-" : options_.output, sink));
    return {};
  }

  // The expression is for some link type at least: for one that has no such packets it only warns, as long as another
  // has.
  Status check_expression() {
    std::optional<Error> first;
    bool possible = false;
    for (const auto& source : sources_)
      for (const capture::Interface& interface : source->interfaces()) {
        const Result<filter::Compiled> compiled = compile(interface, false);
        if (compiled && !possible) report_all(compiled->warnings, expression_);
        possible = possible || compiled.has_value();
        if (!compiled && !first) first = compiled.error();
        if (!compiled && !compile(interface, true)) return fail(compiled.error());
      }
    if (first && !possible) return fail(*first);
    return {};
  }

  Result<filter::Compiled> compile(const capture::Interface& interface, bool allow_no_match) {
    filter::CompileOptions compile;
    compile.bind.link_type = interface.link_type;
    compile.bind.allow_no_match = allow_no_match;
    WEIR_CHECK(apply(options_.language, compile));
    return filter::compile(expression_, compile);
  }

  Result<std::unique_ptr<engine::Engine>> engine_for(const capture::Interface& interface) {
    WEIR_TRY(const filter::Compiled compiled, compile(interface, true));
    return engine::load(compiled.program);
  }

  int finish(const pipe::Statistics& statistics, double seconds, int status) {
    const double rate = seconds > 0 ? static_cast<double>(statistics.bytes) / 1e9 / seconds : 0;
    int printed = kYes;
    if (options_.json) {
      const nlohmann::json out = {{"version", 1},
                                  {"packets", statistics.packets},
                                  {"matched", statistics.matched},
                                  {"bytes", statistics.bytes},
                                  {"matched_bytes", statistics.matched_bytes},
                                  {"seconds", seconds}};
      printed = print(out.dump() + "\n");
    } else if (options_.count) {
      printed = print(fmt::format("{}\n", statistics.matched));
    }
    if (!options_.quiet)
      say(fmt::format("weir: {} packets, {} matched, {}, {:.2f} s ({:.1f} GB/s)\n", statistics.packets,
                      statistics.matched, megabytes(statistics.bytes), seconds, rate));
    if (printed != kYes) return printed;
    if (status != kYes) return status;
    return statistics.matched > 0 ? kYes : kNo;
  }

  const Options& options_;
  std::string expression_;
  std::vector<std::string> files_;
  std::vector<std::unique_ptr<capture::Source>> sources_;
  std::unique_ptr<capture::Sink> sink_;
};

}  // namespace

void add_filter(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("filter", "write or count the packets of captures that match an expression");
  verb->add_option("arguments", options->arguments, "EXPRESSION FILE...: '-' is standard input")->expected(0, -1);
  verb->add_option("-F,--file", options->expression_file,
                   "read the expression from this file; all arguments are captures");
  verb->add_option("-w,--write", options->output, "write matching packets to this file ('-': standard output)");
  verb->add_flag("-c,--count", options->count, "print the number of matching packets, nothing else");
  verb->add_option("--format", options->format, "format of the output: pcap or pcapng (default: as the input)")
      ->check(CLI::IsMember({"pcap", "pcapng"}));
  add_language_flags(*verb, options->language);
  verb->add_flag("-q,--quiet", options->quiet, "no summary and no progress");
  verb->add_flag("--json", options->json, "print the summary as JSON on standard output");
  verb->callback([options, &status] { status = FilterRun(*options).run(); });
}

}  // namespace weir::tool
