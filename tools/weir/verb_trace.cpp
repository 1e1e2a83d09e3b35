// weir trace: why one packet of a capture did or did not match.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/debug/text.h>
#include <weir/filter/compile.h>
#include <weir/filter/decide.h>
#include <weir/filter/parse.h>

#include "debug_shell.h"
#include "expression.h"
#include "json_text.h"
#include "program_input.h"
#include "terminal.h"
#include "trace_extended.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> arguments;
  std::string program;
  std::string extended;
  std::string name;
  std::string memory;
  std::uint32_t packet = 1;
  bool allow_callx = false;
  LanguageFlags language;
  bool json = false;
};

// What is traced: a packet, the program, and the expression that it was compiled from.
struct Subject {
  packet::Packet packet;
  packet::LinkType link_type;
  std::string expression{};
  std::optional<cbpf::Checked> program{};
  std::optional<filter::Ast> ast{};
  std::optional<filter::Decision> explanation{};
};

Status compile(const Options& options, Subject& subject) {
  filter::CompileOptions compile;
  compile.bind.link_type = subject.link_type;
  WEIR_CHECK(apply(options.language, compile));
  WEIR_TRY(filter::Compiled compiled, filter::compile(subject.expression, compile));
  report_all(compiled.warnings, subject.expression);
  subject.program = std::move(compiled.program);
  Result<filter::Ast> ast = filter::parse(subject.expression, compile.parse);
  if (!ast) return {};  // a raw program, as it compiles
  subject.ast = std::move(*ast);
  WEIR_TRY(const filter::BindResult bound, filter::bind(*subject.ast, compile.bind));
  subject.explanation = filter::decide(bound.bound, subject.packet);
  return {};
}

// The words of a part: `53` of `port (80 or 53)` are "port 53".
std::string words_of(const Subject& subject, const filter::Node& node) {
  const auto text = [&](Span span) { return subject.expression.substr(span.begin, span.end - span.begin); };
  const bool inherits =
      node.qualifiers_span.begin < node.qualifiers_span.end && node.qualifiers_span.end <= node.span.begin;
  return inherits ? text(node.qualifiers_span) + " " + text(node.span) : text(node.span);
}

// The words that decided, each with what became of it.
std::string words_text(const Subject& subject) {
  std::string out;
  for (const filter::Part& part : subject.explanation->parts) {
    const filter::Node& node = (*subject.ast)[part.node];
    const char* became = part.divides_by_zero ? "divides by zero, which rejects the packet"
                         : !part.holds        ? "loads from beyond the packet, which rejects it"
                         : *part.holds        ? "true"
                                              : "false";
    const std::string words = words_of(subject, node);
    out += fmt::format("  {}: {}\n", words.empty() ? "(empty)" : words, became);
  }
  return out;
}

nlohmann::json step_json(const cbpf::Program& program, const debug::Executed& step) {
  const std::string text = debug::instruction_text(program, step.before.pc);
  nlohmann::json row = {{"instruction", step.before.pc},
                        {"text", text.substr(text.find('\t') + 1)},
                        {"a", step.after.a},
                        {"x", step.after.x}};
  if (step.effect.load) row["load"] = {{"offset", step.effect.load->offset}, {"size", step.effect.load->size}};
  if (step.effect.taken) row["taken"] = *step.effect.taken;
  return row;
}

int show_json(const Options& options, const Subject& subject, const std::vector<debug::Executed>& run,
              const debug::Why& why) {
  nlohmann::json steps = nlohmann::json::array();
  for (const debug::Executed& step : run) steps.push_back(step_json(subject.program->program(), step));
  nlohmann::json out = {{"version", 1},
                        {"packet", options.packet},
                        {"verdict", why.end.verdict},
                        {"matches", why.end.verdict != 0},
                        {"outside_packet", why.end.ending == debug::Ending::kOutsidePacket},
                        {"division_by_zero", why.end.ending == debug::Ending::kDivisionByZero},
                        {"steps", steps}};
  if (why.decided_by) out["decided_by_step"] = *why.decided_by;
  if (subject.explanation) {
    nlohmann::json parts = nlohmann::json::array();
    for (const filter::Part& part : subject.explanation->parts) {
      const Span span = (*subject.ast)[part.node].span;
      nlohmann::json one = {
          {"begin", span.begin}, {"end", span.end}, {"text", words_of(subject, (*subject.ast)[part.node])}};
      one["holds"] = part.holds ? nlohmann::json(*part.holds) : nlohmann::json();
      parts.push_back(std::move(one));
    }
    out["expression"] = subject.expression;
    out["parts"] = parts;
  }
  return print(json_line(out));
}

int show(const Options& options, const Subject& subject, const std::vector<debug::Executed>& run, const debug::Why& why,
         const std::string& file, std::size_t count) {
  const cbpf::Program& program = subject.program->program();
  std::string out = fmt::format("packet {} of {} in {}: {} bytes, {}\n", options.packet, count, file,
                                subject.packet.length, why.end.verdict != 0 ? "matches" : "does not match");
  if (subject.explanation && subject.explanation->matches == (why.end.verdict != 0)) out += words_text(subject);
  out += "\n" + debug::trace_text(program, run, subject.packet, subject.link_type) + "\n";
  out += debug::why_text(program, run, why, subject.packet, subject.link_type) + "\n";
  const std::vector<debug::ByteRange> loaded = debug::loaded(run);
  out += debug::fields_text(subject.packet, subject.link_type, loaded);
  return print(out);
}

int run_extended(const Options& options) {
  if (!options.program.empty()) return report({.code = ErrorCode::kUsage, .message = "give one program only"});
  if (options.arguments.size() > 1)
    return report({.code = ErrorCode::kUsage,
                   .message = "one capture is enough",
                   .hint = "weir trace -X prog.o in.pcap --packet 3"});
  return trace_extended({.file = options.extended,
                         .name = options.name,
                         .capture = options.arguments.empty() ? "" : options.arguments.front(),
                         .memory = options.memory,
                         .packet = options.packet,
                         .allow_callx = options.allow_callx,
                         .json = options.json});
}

int run(const Options& options) {
  if (!options.extended.empty()) return run_extended(options);
  std::vector<std::string> arguments = options.arguments;
  const std::size_t wanted = options.program.empty() ? 2 : 1;
  if (arguments.size() != wanted)
    return report({.code = ErrorCode::kUsage,
                   .message = wanted == 2 ? "an expression and a capture are needed" : "one capture is needed",
                   .hint = "weir trace 'tcp port 80' in.pcap --packet 3"});
  const std::string& file = arguments.back();
  const Result<debug::Capture> capture = shell_hooks().open_capture(file);
  if (!capture) return report(capture.error());
  report_all(capture->warnings);
  const debug::PacketList& packets = *capture->packets;
  if (options.packet > packets.size())
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("there is no packet {}", options.packet),
                   .hint = fmt::format("'{}' has {}", file, packets.size())});
  Subject subject{.packet = packets[options.packet - 1], .link_type = packets.info(options.packet - 1).link_type};
  if (!options.program.empty()) {
    std::string text;
    Result<cbpf::Checked> program = read_checked(options.program, cbpf::Target::kUser, &text);
    if (!program) return report(program.error(), text);
    subject.program = std::move(*program);
  } else {
    Result<std::string> text = expression_text(arguments.front());
    if (!text) return report(text.error());
    subject.expression = std::move(*text);
    if (const Status status = compile(options, subject); !status)
      return report(of_expression(status.error(), "", arguments.front()), subject.expression);
  }
  std::vector<debug::Executed> steps;
  const debug::Surroundings surroundings{{}, options.packet - 1};
  for (debug::State state; state.ending == debug::Ending::kRunning; state = steps.back().after) {
    const debug::Step step = debug::execute(*subject.program, subject.packet, surroundings, state);
    steps.push_back({state, step.state, step.effect});
  }
  const debug::Why why = debug::explain(*subject.program, subject.packet, surroundings, steps);
  const int printed =
      options.json ? show_json(options, subject, steps, why) : show(options, subject, steps, why, file, packets.size());
  if (printed != kYes) return printed;
  return why.end.verdict != 0 ? kYes : kNo;
}

}  // namespace

void add_trace(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("trace", "tell why a packet did or did not match");
  verb->add_option("arguments", options->arguments, "EXPRESSION FILE; with a program FILE alone");
  verb->add_option("-p,--program", options->program, "trace the program in this file instead of an expression");
  verb->add_option("-X,--extended", options->extended,
                   "trace the extended program in this file: an ELF object, assembler text or numbers");
  verb->add_option("--name", options->name, "with -X: the program of this name or section; else the first")
      ->needs("--extended");
  verb->add_option("--mem", options->memory, "with -X: memory or one packet, the bytes of this file")
      ->needs("--extended");
  verb->add_flag("--allow-callx", options->allow_callx,
                 "with -X: callx calls the helper whose number its register holds")
      ->needs("--extended");
  verb->add_option("-n,--packet", options->packet, "the number of the packet, from 1")
      ->check(CLI::Range(1u, 0xffffffffu))
      ->capture_default_str();
  add_language_flags(*verb, options->language);
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
