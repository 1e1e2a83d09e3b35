// weir compile: an expression as a classic program, in the forms that tcpdump prints and more.
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>
#include <weir/filter/parse.h>
#include <weir/flow/emit.h>
#include <weir/flow/graph.h>

#include "actions.h"
#include "expression.h"
#include "extended_input.h"
#include "json_text.h"
#include "pass_printing.h"
#include "program_output.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string expression_file;
  std::string to = "text";
  std::string output = "-";
  std::string where = "socket";
  std::string accept;
  std::string reject;
  std::string emit;
  LanguageFlags language;
  TargetFlags target;
  std::vector<std::string> print_after;
  bool plain = false;
  bool json = false;
};

Result<filter::CompileOptions> compile_options(const Options& options) {
  filter::CompileOptions out;
  WEIR_CHECK(apply(options.language, out));
  WEIR_CHECK(apply(options.target, out));
  if (options.plain && !options.print_after.empty())
    return fail(Error{.code = ErrorCode::kUsage, .message = "--no-optimize runs no pass to print after"});
  out.optimise = !options.plain;
  out.passes = printing_after(options.print_after);
  return out;
}

// The form of a stage before the program, for people who look inside.
Result<std::string> emit_stage(const std::string& stage, const std::string& text,
                               const filter::CompileOptions& options) {
  if (stage == "flow" || stage == "dot") {
    WEIR_TRY(const filter::CompiledGraph made, filter::compile_to_graph(text, options));
    return stage == "dot" ? flow::write_dot(made.graph) : flow::write(made.graph);
  }
  Result<filter::Ast> ast = filter::parse(text, options.parse);
  if (!ast && filter::compile_to_graph(text, options))
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "this is a program, of which --emit shows flow, dot and cbpf alone"});
  if (stage == "tokens") return filter::write_tokens(text);
  if (!ast) return fail(std::move(ast).error());
  if (stage == "tree") return filter::write(*ast);
  WEIR_TRY(const filter::BindResult bound, filter::bind(*ast, options.bind));
  return filter::write(bound.bound);
}

std::string as_json(const cbpf::Program& program, const std::string& text, packet::LinkType link_type) {
  nlohmann::json instructions = nlohmann::json::array();
  for (const cbpf::Instruction& i : program) instructions.push_back({i.code, i.jt, i.jf, i.k});
  const nlohmann::json out = {{"version", 1},
                              {"expression", text},
                              {"link_type", packet::name_of(link_type)},
                              {"instruction_count", program.size()},
                              {"instructions", instructions}};
  return json_line(out);
}

// Programs that no kernel takes as classic ones, and what can hold them.
void warn_of_length(const cbpf::Program& program) {
  if (program.size() <= cbpf::kMaximumLength) return;
  report_all({{.severity = Severity::kWarning,
               .message = fmt::format("the program has {} instructions, the kernel takes at most {}", program.size(),
                                      cbpf::kMaximumLength),
               .hint = "--to ebpf-elf makes an extended program of it, which may have a million; weir capture loads one"
                       " by itself, and weir filter runs any"}});
}

bool is_extended(const Options& options) { return options.to == "ebpf-asm" || options.to == "ebpf-elf"; }

// Options that say nothing of what is printed.
Status without_idle_options(const Options& options, const CLI::App& verb) {
  const bool stage = !options.emit.empty() && options.emit != "cbpf";
  if (stage && verb.count("--to") > 0)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "--emit " + options.emit + " prints no program: --to has no meaning with it"});
  for (const char* option : {"--for", "--accept", "--reject"})
    if (verb.count(option) > 0 && !is_extended(options))
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = std::string(option) + " is for extended programs",
                        .hint = "--to ebpf-elf or ebpf-asm makes one"});
  return {};
}

int run(const Options& options) {
  const bool extended = is_extended(options);
  const Result<std::optional<convert::Returns>> returns = results_for(options.where, options.accept, options.reject);
  if (!returns) return report(returns.error());
  const Result<std::string> read = expression_text(options.words, options.expression_file);
  if (!read) return report(read.error());
  const std::string& text = *read;
  Result<filter::CompileOptions> compile_with = compile_options(options);
  if (!compile_with) return report(compile_with.error());
  // As tcpdump -O does: what no packet matches is found by the optimiser, and refused only with it.
  if (!compile_with->optimise) compile_with->bind.allow_no_match = true;
  if (!options.emit.empty() && options.emit != "cbpf") {
    const Result<std::string> stage = emit_stage(options.emit, text, *compile_with);
    if (stage && options.json)
      return write_text(
          json_line({{"version", 1}, {"expression", text}, {"stage", options.emit}, {"lines", lines_of(*stage)}}),
          options.output);
    return stage ? write_text(*stage, options.output)
                 : report(of_expression(stage.error(), options.expression_file, options.words), text);
  }
  const Result<filter::Compiled> compiled = filter::compile(text, *compile_with);
  if (!compiled) return report(of_expression(compiled.error(), options.expression_file, options.words), text);
  report_all(compiled->warnings, text);
  const cbpf::Program& program = compiled->program.program();
  if (!extended) warn_of_length(program);
  if (options.json) return write_text(as_json(program, text, compile_with->bind.link_type), options.output);
  if (extended) {
    const Result<std::string> converted = write_converted(compiled->program, options.to, options.where, *returns);
    return converted ? write_text(*converted, options.output) : report(converted.error());
  }
  return write_program(program, *format_named(options.to), options.output);
}

// What a form is for tells what its packets look like: xt_bpf hands over packets from the IP header on; tc and sockets
// those whose VLAN tag the kernel has taken off, which XDP has in the packet.
void suit_the_form(Options& options, const CLI::App& verb) {
  const bool netfilter = options.to == "iptables" || options.to == "xt_bpf";
  if (netfilter && verb.count("--link-type") == 0) options.target.link_type = "RAW";
  if (netfilter && options.target.link_type != "RAW" && options.target.link_type != "IPV4" &&
      options.target.link_type != "IPV6")
    report_all({{.severity = Severity::kWarning,
                 .message = "xt_bpf sees packets from the IP header on, not of link type " + options.target.link_type,
                 .hint = "without -y, the program is made for such packets"}});
  const bool tagless = is_extended(options) && options.where != "xdp" && options.where != "memory";
  if ((options.to == "tc" || tagless) && verb.count("--platform") == 0) options.target.platform = "linux";
}

}  // namespace

Result<std::optional<std::uint32_t>> parse_netmask(const std::string& text) {
  if (text.empty()) return std::optional<std::uint32_t>{};
  in_addr mask{};
  if (::inet_pton(AF_INET, text.c_str(), &mask) == 1) return std::optional<std::uint32_t>{ntohl(mask.s_addr)};
  const bool hexadecimal = text.starts_with("0x");
  const std::string_view digits = std::string_view(text).substr(hexadecimal ? 2 : text[0] == '/' ? 1 : 0);
  std::uint32_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, hexadecimal ? 16 : 10);
  const bool read = error == std::errc{} && end == digits.data() + digits.size() && !digits.empty();
  if (read && hexadecimal) return std::optional<std::uint32_t>{number};
  if (read && number <= 32) return std::optional<std::uint32_t>{number == 0 ? 0 : ~0u << (32 - number)};
  return fail(Error{.code = ErrorCode::kUsage,
                    .message = "'" + text + "' is not a network mask",
                    .hint = "write it as 255.255.255.0, 0xffffff00 or 24"});
}

void add_compile(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compile", "compile a filter expression to a program, classic or extended");
  verb->add_option("expression", options->words, "the expression; several words are joined by blanks");
  verb->add_option("-F,--file", options->expression_file, "read the expression from this file ('-': standard input)");
  add_format_option(*verb, options->to, {"ebpf-asm", "ebpf-elf"});
  verb->add_option(
          "--for", options->where,
          "who runs an extended program: socket, tc, classifier (tc without direct action), xdp, memory (weir run) "
          "or kernel")
      ->check(CLI::IsMember({"socket", "tc", "classifier", "xdp", "memory", "kernel"}))
      ->capture_default_str();
  verb->add_option("--accept", options->accept, "xdp, tc: what happens to packets that match (pass)")
      ->type_name("ACTION");
  verb->add_option("--reject", options->reject, "xdp, tc: what happens to the others (drop)")->type_name("ACTION");
  verb->add_option("--emit", options->emit, "stop at a stage and print it: tokens, tree, bound, flow, dot, cbpf")
      ->check(CLI::IsMember({"tokens", "tree", "bound", "flow", "dot", "cbpf"}));
  verb->add_flag("-O,--no-optimize", options->plain, "leave the program as the expression has it");
  add_print_after(*verb, options->print_after);
  add_target_flags(*verb, options->target);
  add_language_flags(*verb, options->language);
  verb->add_option("-o,--output", options->output, "write to this file")->capture_default_str();
  verb->add_flag("--json", options->json, "print the program as JSON")->excludes(verb->get_option("--to"));
  verb->callback([options, verb, &status] {
    if (const Status sensible = without_idle_options(*options, *verb); !sensible) {
      status = report(sensible.error());
      return;
    }
    suit_the_form(*options, *verb);
    status = run(*options);
  });
}

}  // namespace weir::tool
