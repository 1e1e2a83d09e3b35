// weir verdict, weir compare: the verdict of a classic program for each packet of captures, from an engine of weir or
// from the running kernel; and whether all of them agree.
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/capture/source.h>
#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/kernel/verdict.h>

#include "expression.h"
#include "json_text.h"
#include "program_input.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> arguments;
  std::optional<std::string> expression;
  std::string expression_file;
  std::string engine = "auto";
  LanguageFlags language;
  bool kernel = false;
  bool json = false;
};

// One that gives verdicts: an engine or the kernel.
class Judge {
 public:
  virtual ~Judge() = default;
  virtual std::string name() const = 0;
  virtual Result<kernel::Verdict> run(const packet::Packet& packet) = 0;
  // Whether Verdict::implicit means something.
  virtual bool tells_implicit() const { return false; }
};

class EngineJudge final : public Judge {
 public:
  EngineJudge(std::string name, std::unique_ptr<engine::Engine> engine)
      : name_(std::move(name)), engine_(std::move(engine)) {}
  std::string name() const override { return name_; }
  Result<kernel::Verdict> run(const packet::Packet& packet) override {
    return kernel::Verdict{engine_->run(packet), false};
  }

 private:
  std::string name_;
  std::unique_ptr<engine::Engine> engine_;
};

class KernelJudge final : public Judge {
 public:
  explicit KernelJudge(kernel::VerdictRunner runner) : runner_(std::move(runner)) {}
  std::string name() const override { return "kernel"; }
  Result<kernel::Verdict> run(const packet::Packet& packet) override { return runner_.run(packet.bytes()); }
  bool tells_implicit() const override { return true; }

 private:
  kernel::VerdictRunner runner_;
};

using Judges = std::vector<std::unique_ptr<Judge>>;

Result<std::unique_ptr<Judge>> engine_judge(const cbpf::Checked& program, engine::Kind kind) {
  WEIR_TRY(std::unique_ptr<engine::Engine> engine, engine::load(program, {.kind = kind}));
  return std::make_unique<EngineJudge>(std::string(engine::name_of(kind)), std::move(engine));
}

Result<std::unique_ptr<Judge>> kernel_judge(const cbpf::Checked& program) {
  WEIR_TRY(kernel::VerdictRunner runner, kernel::VerdictRunner::create(program));
  return std::make_unique<KernelJudge>(std::move(runner));
}

// Whether the kernel has no room for the program; what it makes of it may be larger than a socket's memory.
bool is_too_long(const Error& error) { return error.code == ErrorCode::kLimit || error.system_error == ENOMEM; }

// `left_out`: why the kernel is not among them, if it is not.
Result<Judges> all_judges(const cbpf::Checked& program, std::string& left_out) {
  Judges judges;
  for (const engine::KindInfo& kind : engine::kinds()) {
    if (kind.kind == engine::Kind::kAutomatic) continue;
    Result<std::unique_ptr<Judge>> judge = engine_judge(program, kind.kind);
    // An engine that this processor or this program does not suit.
    if (!judge && judge.error().code == ErrorCode::kUnsupported) continue;
    if (!judge) return fail(std::move(judge).error());
    judges.push_back(std::move(*judge));
  }
  Result<std::unique_ptr<Judge>> kernel = kernel_judge(program);
  // A program that is too long for the kernel can still be compared between weir's own engines.
  if (kernel) judges.push_back(std::move(*kernel));
  else if (is_too_long(kernel.error())) left_out = kernel.error().message;
  else return fail(std::move(kernel).error());
  return judges;
}

// The program of a run: read from a file once, or compiled from an expression for each link type.
class Run {
 public:
  explicit Run(const Options& options) : options_(options), files_(options.arguments) {}

  template <typename MakeJudges, typename Each>
  Status over_packets(MakeJudges make_judges, Each each) {
    std::optional<cbpf::Checked> program;
    if (!options_.expression) {
      if (files_.empty())
        return fail(Error{.code = ErrorCode::kUsage,
                          .message = "a program is missing",
                          .hint = "name its file, or give an expression with -e"});
      WEIR_TRY(cbpf::Checked read, read_checked(files_.front(), cbpf::Target::kUser, &text_));
      program = std::move(read);
      files_.erase(files_.begin());
    }
    if (files_.empty())
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = "a capture to read is missing",
                        .hint = "name a file, or '-' for standard input"});
    for (const std::string& file : files_) {
      capture_ = file;
      WEIR_TRY(const std::unique_ptr<capture::Source> source, capture::open(file));
      WEIR_TRY(const bool go_on, over_capture(*source, program, make_judges, each));
      if (!go_on) break;
    }
    return {};
  }

  // The capture that the packets are of; empty where there is one alone.
  std::string capture() const { return files_.size() > 1 ? capture_ : ""; }

  // What a Span in an error points into.
  const std::string& text() const { return options_.expression ? *options_.expression : text_; }

 private:
  // Whether `each` wants more.
  template <typename MakeJudges, typename Each>
  Result<bool> over_capture(capture::Source& source, const std::optional<cbpf::Checked>& program,
                            MakeJudges make_judges, Each each) {
    std::vector<std::pair<packet::LinkType, Judges>> loaded;
    capture::RecordBatch batch;
    std::uint64_t number = 0;
    for (;;) {
      WEIR_TRY(const capture::Read read, source.read(batch));
      if (read == capture::Read::kEnd) return true;
      for (std::size_t i = 0; i < batch.packets.size(); ++i) {
        const packet::LinkType link_type = source.interfaces()[batch.records[i].interface].link_type;
        auto known = std::find_if(loaded.begin(), loaded.end(), [&](const auto& l) { return l.first == link_type; });
        if (known == loaded.end()) {
          WEIR_TRY(Judges judges, program ? make_judges(*program) : compiled(link_type, make_judges));
          loaded.emplace_back(link_type, std::move(judges));
          known = loaded.end() - 1;
        }
        WEIR_TRY(const bool go_on, each(++number, batch.packets[i], known->second));
        if (!go_on) return false;
      }
    }
  }

  template <typename MakeJudges>
  Result<Judges> compiled(packet::LinkType link_type, MakeJudges make_judges) {
    filter::CompileOptions compile;
    WEIR_CHECK(apply(options_.language, compile));
    compile.bind.link_type = link_type;
    WEIR_TRY(const filter::Compiled made, filter::compile(text(), compile));
    if (!std::exchange(warned_, true)) report_all(made.warnings, text());
    return make_judges(made.program);
  }

  const Options& options_;
  std::vector<std::string> files_;
  std::string capture_;
  std::string text_;
  bool warned_ = false;
};

int report_of(const Run& run, const Error& error) {
  return report(error, std::holds_alternative<Span>(error.place) ? run.text() : "");
}

// -F as -e.
Status take_expression(Options& options) {
  if (options.expression_file.empty()) return {};
  if (options.expression) return fail(Error{.code = ErrorCode::kUsage, .message = "-e and -F contradict each other"});
  WEIR_TRY(options.expression, expression_text({}, options.expression_file));
  return {};
}

int run_verdict(Options& options) {
  if (const Status taken = take_expression(options); !taken) return report(taken.error());
  const Result<engine::Kind> kind = engine::read_kind(options.engine);
  if (!kind) return report(kind.error());
  Run run(options);
  std::string out;
  bool matched = false;
  const auto judge = [&](const cbpf::Checked& program) -> Result<Judges> {
    Judges judges;
    WEIR_TRY(std::unique_ptr<Judge> one, options.kernel ? kernel_judge(program) : engine_judge(program, *kind));
    judges.push_back(std::move(one));
    return judges;
  };
  const Status done = run.over_packets(
      judge, [&](std::uint64_t number, const packet::Packet& packet, const Judges& judges) -> Result<bool> {
        WEIR_TRY(const kernel::Verdict verdict, judges.front()->run(packet));
        matched = matched || verdict.value != 0;
        const bool implicit = verdict.implicit && judges.front()->tells_implicit();
        if (options.json) {
          nlohmann::json line = {{"version", 1}, {"packet", number}, {"verdict", verdict.value}};
          if (judges.front()->tells_implicit()) line["implicit"] = implicit;
          if (const std::string capture = run.capture(); !capture.empty()) line["capture"] = capture;
          out += json_line(line);
        } else {
          if (const std::string capture = run.capture(); !capture.empty()) out += capture + ": ";
          out += fmt::format("{} {}{}\n", number, verdict.value, implicit ? " implicit" : "");
        }
        if (out.size() < 1 << 16) return true;
        const int printed = print(std::exchange(out, {}));
        return printed == kYes;
      });
  const int printed = print(out);
  if (!done) return report_of(run, done.error());
  if (printed != kYes) return printed;
  return matched ? kYes : kNo;
}

struct Difference {
  std::string capture{};
  std::uint64_t packet = 0;
  std::uint32_t length = 0;
  std::vector<std::pair<std::string, std::uint32_t>> verdicts{};
};

int run_compare(Options& options) {
  if (const Status taken = take_expression(options); !taken) return report(taken.error());
  Run run(options);
  std::uint64_t packets = 0;
  std::vector<std::string> names;
  std::optional<Difference> first;
  std::string left_out;
  const Status done = run.over_packets(
      [&](const cbpf::Checked& program) { return all_judges(program, left_out); },
      [&](std::uint64_t number, packet::Packet packet, const Judges& judges) -> Result<bool> {
        ++packets;
        packet.wire_length = packet.length;  // the kernel gets the captured bytes, and so knows no other length
        packet.metadata = nullptr;
        Difference here{.capture = run.capture(), .packet = number, .length = packet.length};
        names.clear();
        bool differs = false;
        for (const std::unique_ptr<Judge>& judge : judges) {
          const Result<kernel::Verdict> ran = judge->run(packet);
          if (!ran && judge->tells_implicit() && is_too_long(ran.error())) {
            left_out = ran.error().message;
            continue;
          }
          WEIR_TRY(const kernel::Verdict verdict, ran);
          here.verdicts.emplace_back(judge->name(), verdict.value);
          names.push_back(judge->name());
          differs = differs || verdict.value != here.verdicts.front().second;
        }
        if (!differs) return true;
        first = std::move(here);
        return false;
      });
  if (!done) return report_of(run, done.error());
  if (!left_out.empty())
    report(Error{.severity = Severity::kWarning, .message = "the kernel is left out: " + left_out});
  if (options.json) {
    nlohmann::json out = {{"version", 1}, {"packets", packets}, {"engines", names}, {"agree", !first.has_value()}};
    if (first) {
      out["packet"] = first->packet;
      if (!first->capture.empty()) out["capture"] = first->capture;
      for (const auto& [name, verdict] : first->verdicts) out["verdicts"][name] = verdict;
    }
    if (!left_out.empty()) out["kernel_left_out"] = left_out;
    const int printed = print(json_line(out));
    return printed != kYes ? printed : first || packets == 0 ? kNo : kYes;
  }
  if (packets == 0) {
    const int printed = print("no packets: there was nothing to compare\n");
    return printed != kYes ? printed : kNo;
  }
  if (!first)
    return print(fmt::format("{} packet{}: {} agree\n", packets, packets == 1 ? "" : "s", fmt::join(names, ", ")));
  const std::string of = first->capture.empty() ? "" : " of " + first->capture;
  std::string out = fmt::format("first difference: packet {}{} ({} bytes)\n", first->packet, of, first->length);
  for (const auto& [name, verdict] : first->verdicts) out += fmt::format("  {:<12} {}\n", name, verdict);
  const int printed = print(out);
  return printed != kYes ? printed : kNo;
}

void add_options(CLI::App* verb, const std::shared_ptr<Options>& options) {
  verb->add_option("arguments", options->arguments, "PROGRAM CAPTURE...: '-' is standard input");
  verb->add_option("-e,--expression", options->expression,
                   "the program of this expression; all arguments are captures");
  verb->add_option("-F,--file", options->expression_file, "the same, the expression from this file");
  add_language_flags(*verb, options->language);
  verb->add_flag("--json", options->json, "print JSON");
}

}  // namespace

void add_verdict(CLI::App& app, int& status) {
  {
    const auto options = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("verdict", "print the verdict of a classic program for each packet");
    add_options(verb, options);
    CLI::Option* in_kernel =
        verb->add_flag("--kernel", options->kernel, "run the program in the running kernel, not in weir");
    verb->add_option("--engine", options->engine, "the engine of weir that runs it")
        ->capture_default_str()
        ->excludes(in_kernel);
    verb->callback([options, &status] { status = run_verdict(*options); });
  }
  {
    const auto options = std::make_shared<Options>();
    CLI::App* verb = app.add_subcommand("compare", "run a classic program in all engines and in the running kernel");
    add_options(verb, options);
    verb->callback([options, &status] { status = run_compare(*options); });
  }
}

}  // namespace weir::tool
