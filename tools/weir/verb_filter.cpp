// weir filter: the packets of captures that match an expression, written or counted.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>
#include <weir/capture/sink.h>
#include <weir/capture/source.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/filter/parse.h>
#include <weir/pipe/filter.h>

#include "expression.h"
#include "json_text.h"
#include "output_name.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> arguments;
  std::vector<std::string> expressions;
  std::vector<std::string> outputs;
  std::string expression_file;
  std::string format;
  LanguageFlags language;
  std::string engine = "auto";
  unsigned threads = 0;
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
    std::uint64_t matched = 0;
    for (const pipe::Matched& job : statistics.jobs) matched += job.packets;
    say(fmt::format("\r\x1b[Kweir: {} packets, {} matched, {}", statistics.packets, matched,
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

// What the process holds beside mapped files (proc(5): RssAnon), in bytes; 0 where the system does not tell.
std::uint64_t memory_in_use() {
  const Result<std::string> text = read_whole_file("/proc/self/status", 1 << 16);
  const std::size_t at = text ? text->find("RssAnon:") : std::string::npos;
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at + 8, nullptr, 10) * 1024;
}

// One expression, and where its packets go.
struct Wanted {
  std::string expression;
  std::string output;  // empty: nowhere
  std::unique_ptr<capture::Sink> sink{};
  std::string argument{};  // as on the command line: @FILE names where the expression was read from
  // Of the link types met so far:
  std::map<packet::LinkType, std::optional<cbpf::Checked>> programs{};  // none: the expression is for others
  bool possible = false;                                                // packets of one of them can match
  std::optional<Error> refusal{};                                       // why those of the first that cannot do not
  std::vector<Diagnostic> unfit{};  // of those that the expression means nothing for
};

// A capture to read. Of many, only the first few stay open before their turn: the others are opened again.
struct Input {
  std::string file;
  capture::Format format{};
  std::vector<capture::Interface> interfaces{};  // known before the first packet
  std::unique_ptr<capture::Source> source{};
};
constexpr std::size_t kMostOpen = 16;

class FilterRun {
 public:
  explicit FilterRun(const Options& options) : options_(options) {}

  int run() {
    for (const auto step : {&FilterRun::take_arguments, &FilterRun::open_inputs, &FilterRun::open_outputs})
      if (const Status status = (this->*step)(); !status) return report(status.error(), blamed_);
    Progress progress(!options_.quiet);
    std::vector<pipe::Job> jobs;
    for (Wanted& wanted : wanted_)
      jobs.push_back({[this, &wanted](const capture::Interface& interface) { return engine_for(wanted, interface); },
                      wanted.sink.get()});
    pipe::Filter filter(std::move(jobs),
                        {.threads = options_.threads,
                         .matched_bytes = options_.json,
                         .progress = [&](const pipe::Statistics& so_far) { progress.update(so_far); }});
    const Clock::time_point start = Clock::now();
    int status = kYes;
    for (Input& input : inputs_) {
      const Status done = run_over(filter, input, status);
      progress.clear();
      if (done) continue;
      const Error& error = done.error();
      if (error.system_error == EPIPE) break;  // whoever reads has seen enough
      status = std::max(status, report(error, std::holds_alternative<Span>(error.place) ? blamed_ : ""));
      // Packets before the damage of a capture are kept; an output that failed is not.
      if (error.code == ErrorCode::kUsage || (error.code == ErrorCode::kSystem && error.source.empty())) return status;
    }
    if (const int refused = report_unfit(); refused != kYes) return refused;
    for (const Wanted& wanted : wanted_) {
      if (!wanted.sink) continue;
      if (const Status done = wanted.sink->commit(); !done && done.error().system_error != EPIPE)
        return report(done.error());
    }
    return finish(filter.statistics(), seconds_since(start), status);
  }

 private:
  // Warnings make the status what they call for.
  static Status run_over(pipe::Filter& filter, Input& input, int& status) {
    if (input.source == nullptr) {
      WEIR_TRY(input.source, capture::open(input.file));
    }
    const Status done = filter.run(*input.source);
    for (const Diagnostic& warning : input.source->warnings()) status = report(warning);
    input.source.reset();
    return done;
  }

  // Interfaces may turn up late: only at the end it is known that an expression meant nothing for any of them.
  int report_unfit() const {
    for (const Wanted& wanted : wanted_) {
      if (!wanted.possible && wanted.refusal) return report(*wanted.refusal, wanted.expression);
      report_all(wanted.unfit, wanted.expression);
    }
    return kYes;
  }

  static Status usage(std::string message, std::string hint = {}) {
    return fail(Error{.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)});
  }

  Status want(const std::string& argument) {
    WEIR_TRY(std::string text, expression_text(argument));
    wanted_.push_back({std::move(text), {}});
    wanted_.back().argument = argument;
    return {};
  }

  Status take_arguments() {
    files_ = options_.arguments;
    if (!options_.expression_file.empty()) {
      if (!options_.expressions.empty()) return usage("-e and -F contradict each other");
      wanted_.emplace_back();
      WEIR_TRY(wanted_.back().expression, expression_text({}, options_.expression_file));
    } else if (!options_.expressions.empty()) {
      for (const std::string& expression : options_.expressions) WEIR_CHECK(want(expression));
    } else {
      if (files_.empty()) return usage("an expression is missing", "weir filter 'tcp port 443' in.pcap -w out.pcap");
      WEIR_CHECK(want(files_.front()));
      files_.erase(files_.begin());
    }
    if (files_.empty()) return usage("a capture to read is missing", "name a file, or '-' for standard input");
    return take_outputs();
  }

  Status take_outputs() {
    const std::vector<std::string>& outputs = options_.outputs;
    if (options_.count && !outputs.empty()) return usage("--count and -w contradict each other");
    if (!outputs.empty() && outputs.size() != wanted_.size())
      return usage(fmt::format("{} expressions, but {} outputs", wanted_.size(), outputs.size()),
                   "each -e needs a -w of its own");
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      wanted_[i].output = outputs[i];
      if (outputs[i].empty())
        return usage("the name after -w is empty", "a variable of the shell that is not set? Standard output is '-'");
      if (options_.json && (outputs[i] == "-" || would_collide(outputs[i], "-")))
        return usage("--json and '-w -' both write to standard output", "name a file with -w");
      for (std::size_t j = 0; j < i; ++j)
        if (would_collide(outputs[i], outputs[j]))
          return usage("'" + outputs[i] + "' is written twice",
                       outputs[i] == outputs[j] ? "" : "'" + outputs[j] + "' leads to it too");
      for (const std::string& file : files_)
        if (is_read_from(outputs[i], file)) return usage("'" + outputs[i] + "' is read and written at once");
    }
    if (std::count(files_.begin(), files_.end(), "-") > 1) return usage("standard input is read twice");
    if (options_.count || options_.json || !outputs.empty()) return {};
    if (wanted_.size() > 1) return usage("several expressions need '--count' or a -w each");
    if (::isatty(STDOUT_FILENO) == 1)
      return usage("a capture is not written to a terminal", "add '-w FILE' or '--count'");
    wanted_.front().output = "-";
    return {};
  }

  Status open_inputs() {
    WEIR_TRY(engine_, engine::read_kind(options_.engine));
    for (const std::string& file : files_) {
      Result<std::unique_ptr<capture::Source>> source = capture::open(file);
      if (!source) return fail(with_hint(std::move(source.error()), file));
      const auto& known = (*source)->interfaces();
      inputs_.push_back({file, (*source)->format(), {known.begin(), known.end()}});
      std::error_code ignored;
      const bool can_be_opened_again = file != "-" && std::filesystem::is_regular_file(file, ignored);
      if (inputs_.size() <= kMostOpen || !can_be_opened_again) inputs_.back().source = std::move(*source);
    }
    for (Wanted& wanted : wanted_) WEIR_CHECK(check(wanted));
    return {};
  }

  // What is no file may be an expression: "filter tcp port 80 in.pcap", "filter in.pcap tcp", "filter -e tcp ip
  // in.pcap".
  Error with_hint(Error error, const std::string& file) const {
    if (error.system_error != ENOENT) return error;
    if (!options_.expressions.empty() || !options_.expression_file.empty()) {
      if (filter::parse(file)) error.hint = "with -e and -F, all arguments are captures; each expression has a -e";
      return error;
    }
    std::error_code ignored;
    std::string words = wanted_.front().argument;
    if (std::filesystem::is_regular_file(words, ignored)) error.hint = "the expression comes before the captures";
    if (options_.count && words.find_first_not_of("0123456789") == std::string::npos)
      error.hint = "-c prints the number of matching packets and takes none";
    for (std::size_t i = 0; i + 1 < files_.size(); ++i) {
      words += " " + files_[i];
      if (std::filesystem::exists(files_[i + 1], ignored) && filter::parse(words))
        error.hint = "an expression is one argument: '" + words + "'";
    }
    return error;
  }

  Status open_outputs() {
    capture::SinkOptions sink{.longest_snap_length = 0};
    bool mixed = false;
    std::optional<capture::Interface> first;
    for (const Input& input : inputs_) {
      const bool pcapng = input.format == capture::Format::kPcapng;
      mixed = mixed || pcapng;
      // Interfaces of pcapng may come anywhere, with times of any resolution and packets of any length.
      sink.nanoseconds = sink.nanoseconds || pcapng;
      if (pcapng) sink.longest_snap_length.reset();
      for (const capture::Interface& interface : input.interfaces) {
        sink.nanoseconds = sink.nanoseconds || 1000000 % interface.ticks_per_second != 0;
        if (!first) first = interface;
        mixed = mixed || interface.link_type != first->link_type || interface.link_bits != first->link_bits;
        if (sink.longest_snap_length)
          sink.longest_snap_length = std::max(*sink.longest_snap_length, interface.snap_length);
      }
    }
    sink.format = mixed ? capture::Format::kPcapng : capture::Format::kPcap;
    if (options_.format == "pcap") sink.format = capture::Format::kPcap;
    if (options_.format == "pcapng") sink.format = capture::Format::kPcapng;
    for (Wanted& wanted : wanted_) {
      if (wanted.output.empty()) continue;
      warn_of_name(wanted.output, sink.format, !options_.format.empty());
      WEIR_TRY(wanted.sink, capture::create(wanted.output, sink));
    }
    return {};
  }

  // The expression is for some link type at least, of those that are known yet; and it is one where none is.
  Status check(Wanted& wanted) {
    for (const Input& input : inputs_)
      for (const capture::Interface& interface : input.interfaces) static_cast<void>(program_for(wanted, interface));
    if (!wanted.possible && wanted.refusal) return fail(*wanted.refusal);
    filter::CompileOptions options;
    WEIR_CHECK(apply(options_.language, options));
    if (!wanted.programs.empty() || filter::parse(wanted.expression, options.parse) || cbpf::read(wanted.expression))
      return {};
    return fail(of_expression(compile(wanted, {.link_type = packet::LinkType::kEthernet}, true).error(),
                              options_.expression_file, wanted.argument));
  }

  // The program for packets of this link type, made once.
  const std::optional<cbpf::Checked>& program_for(Wanted& wanted, const capture::Interface& interface) {
    const auto [program, is_new] = wanted.programs.try_emplace(interface.link_type);
    if (is_new) program->second = judge(wanted, interface);
    return program->second;
  }

  std::optional<cbpf::Checked> judge(Wanted& wanted, const capture::Interface& interface) {
    Result<filter::Compiled> compiled = compile(wanted, interface, false);
    if (compiled) {
      if (!wanted.possible) report_all(compiled->warnings, wanted.expression);
      wanted.possible = true;
      return std::move(compiled->program);
    }
    const Error refusal = of_expression(compiled.error(), options_.expression_file, wanted.argument);
    if (!wanted.refusal) wanted.refusal = refusal;
    compiled = compile(wanted, interface, true);
    if (compiled) return std::move(compiled->program);
    wanted.unfit.push_back(refusal);
    wanted.unfit.back().severity = Severity::kWarning;
    wanted.unfit.back().hint = fmt::format("packets of {} do not match", packet::name_of(interface.link_type));
    return std::nullopt;
  }

  Result<filter::Compiled> compile(const Wanted& wanted, const capture::Interface& interface, bool allow_no_match) {
    blamed_ = wanted.expression;
    filter::CompileOptions compile;
    compile.bind.link_type = interface.link_type;
    compile.bind.allow_no_match = allow_no_match;
    WEIR_CHECK(apply(options_.language, compile));
    return filter::compile(wanted.expression, compile);
  }

  Result<std::unique_ptr<engine::Engine>> engine_for(Wanted& wanted, const capture::Interface& interface) {
    std::optional<cbpf::Checked> program = program_for(wanted, interface);
    if (!program) {
      WEIR_TRY(program, cbpf::check({cbpf::make(cbpf::Opcode::kRetK, 0)}, {.target = cbpf::Target::kUser}));
    }
    WEIR_TRY(std::unique_ptr<engine::Engine> engine, engine::load(*program, {.kind = engine_}));
    engine_name_ = engine->name();
    return engine;
  }

  nlohmann::json as_json(const pipe::Statistics& statistics, double seconds) const {
    nlohmann::json out = {{"version", 1},
                          {"packets", statistics.packets},
                          {"matched", statistics.jobs.front().packets},
                          {"bytes", statistics.bytes},
                          {"matched_bytes", statistics.jobs.front().bytes},
                          {"seconds", seconds},
                          {"memory_bytes", memory_in_use()},
                          {"engine", engine_name_}};
    if (wanted_.size() == 1) return out;
    out.erase("matched");
    out.erase("matched_bytes");
    for (std::size_t i = 0; i < wanted_.size(); ++i)
      out["filters"].push_back({{"expression", wanted_[i].expression},
                                {"matched", statistics.jobs[i].packets},
                                {"matched_bytes", statistics.jobs[i].bytes}});
    return out;
  }

  int finish(const pipe::Statistics& statistics, double seconds, int status) {
    const double rate = seconds > 0 ? static_cast<double>(statistics.bytes) / 1e9 / seconds : 0;
    std::uint64_t matched = 0;
    std::string counts;
    std::string listed;
    for (const pipe::Matched& job : statistics.jobs) {
      matched += job.packets;
      counts += fmt::format("{}\n", job.packets);
      listed += fmt::format("{}{}", listed.empty() ? "" : " + ", job.packets);
    }
    int printed = kYes;
    if (options_.json) printed = print(json_line(as_json(statistics, seconds)));
    else if (options_.count) printed = print(counts);
    if (!options_.quiet)
      say(fmt::format("weir: {} packets, {} matched, {}, {:.2f} s ({:.1f} GB/s, {:.1f} MB of memory)\n",
                      statistics.packets, listed, megabytes(statistics.bytes), seconds, rate,
                      static_cast<double>(memory_in_use()) / 1e6));
    if (printed != kYes) return printed;
    if (status != kYes) return status;
    return matched > 0 ? kYes : kNo;
  }

  const Options& options_;
  std::vector<Wanted> wanted_;
  std::vector<std::string> files_;
  std::vector<Input> inputs_;
  engine::Kind engine_ = engine::Kind::kAutomatic;
  std::string engine_name_;  // of the engine loaded last
  std::string blamed_;       // the expression compiled last: errors with a place point into it
};

}  // namespace

void add_filter(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("filter", "write or count the packets of captures that match an expression");
  verb->add_option("arguments", options->arguments, "EXPRESSION FILE...: '-' is standard input");
  verb->add_option("-F,--file", options->expression_file,
                   "read the expression from this file; all arguments are captures");
  verb->add_option("-e,--expression", options->expressions,
                   "an expression; with several, each has its own -w and all are run in one pass")
      ->allow_extra_args(false);
  verb->add_option("-w,--write", options->outputs, "write matching packets to this file ('-': standard output)")
      ->allow_extra_args(false);
  verb->add_option("--engine", options->engine, "the engine that runs the program")->capture_default_str();
  verb->add_option("--threads", options->threads, "how many threads walk a file (0: one a core)")
      ->check(CLI::Range(0u, 1024u));
  verb->add_flag("-c,--count", options->count, "print the number of matching packets, nothing else");
  verb->add_option("--format", options->format, "format of the output: pcap or pcapng (default: as the input)")
      ->check(CLI::IsMember({"pcap", "pcapng"}));
  add_language_flags(*verb, options->language);
  verb->add_flag("-q,--quiet", options->quiet, "no summary and no progress");
  verb->add_flag("--json", options->json, "print the summary as JSON on standard output");
  verb->callback([options, &status] { status = FilterRun(*options).run(); });
}

}  // namespace weir::tool
