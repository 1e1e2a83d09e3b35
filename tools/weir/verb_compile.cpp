// weir compile: an expression as a classic program, in the forms that tcpdump prints and more.
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>
#include <weir/filter/lower.h>
#include <weir/filter/parse.h>
#include <weir/flow/emit.h>
#include <weir/flow/graph.h>

#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string expression_file;
  std::string to = "text";
  std::string emit;
  std::string link_type = "EN10MB";
  std::string netmask;
  std::string platform = "portable";
  std::uint32_t snap_length = 262144;
  bool no_dns = false;
  bool json = false;
};

Result<filter::CompileOptions> compile_options(const Options& options) {
  filter::CompileOptions out;
  const std::optional<packet::LinkType> link_type = packet::link_type_named(options.link_type);
  if (!link_type)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "unknown link type '" + options.link_type + "'",
                      .hint = "EN10MB, RAW, LINUX_SLL2, ...: see weir-filter(7)"});
  out.bind.link_type = *link_type;
  WEIR_TRY(out.bind.netmask, parse_netmask(options.netmask));
  out.bind.platform = options.platform == "linux" ? filter::Platform::kLinux : filter::Platform::kPortable;
  out.bind.resolver = &filter::system_resolver({.allow_dns = !options.no_dns});
  out.snap_length = options.snap_length;
  return out;
}

// The form of a stage before the program, for people who look inside.
Result<std::string> emit_stage(const std::string& stage, const std::string& text,
                               const filter::CompileOptions& options) {
  if (stage == "tokens") return filter::write_tokens(text);
  WEIR_TRY(const filter::Ast ast, filter::parse(text));
  if (stage == "tree") return filter::write(ast);
  WEIR_TRY(const filter::BindResult bound, filter::bind(ast, options.bind));
  if (stage == "bound") return filter::write(bound.bound);
  const flow::Graph graph = filter::lower(bound.bound, {.accept = options.snap_length});
  return stage == "dot" ? flow::write_dot(graph) : flow::write(graph);
}

std::string as_json(const cbpf::Program& program, const std::string& text, const Options& options) {
  nlohmann::json instructions = nlohmann::json::array();
  for (const cbpf::Instruction& i : program) instructions.push_back({i.code, i.jt, i.jf, i.k});
  const nlohmann::json out = {{"version", 1},
                              {"expression", text},
                              {"link_type", options.link_type},
                              {"instruction_count", program.size()},
                              {"instructions", instructions}};
  return out.dump() + "\n";
}

int run(const Options& options) {
  std::string text;
  for (const std::string& word : options.words) text += text.empty() ? word : " " + word;
  if (!options.expression_file.empty()) {
    if (!text.empty())
      return report({.code = ErrorCode::kUsage, .message = "give an expression or a file that holds one, not both"});
    Result<std::string> read = read_whole_file(options.expression_file, 64u << 20);
    if (!read) return report(read.error());
    text = std::move(*read);
  }
  const Result<filter::CompileOptions> compile_with = compile_options(options);
  if (!compile_with) return report(compile_with.error());
  if (!options.emit.empty() && options.emit != "cbpf") {
    const Result<std::string> stage = emit_stage(options.emit, text, *compile_with);
    return stage ? print(*stage) : report(stage.error(), text);
  }
  const Result<filter::Compiled> compiled = filter::compile(text, *compile_with);
  if (!compiled) return report(compiled.error(), text);
  report_all(compiled->warnings, text);
  const cbpf::Program& program = compiled->program.program();
  if (options.json) return print(as_json(program, text, options));
  return print(cbpf::write(program, *format_named(options.to)));
}

}  // namespace

std::optional<cbpf::Format> format_named(const std::string& name) {
  if (name == "text") return cbpf::Format::kText;
  if (name == "c") return cbpf::Format::kC;
  if (name == "decimal") return cbpf::Format::kDecimal;
  if (name == "asm") return cbpf::Format::kAssembly;
  if (name == "bytecode") return cbpf::Format::kBytecode;
  return std::nullopt;
}

Result<std::optional<std::uint32_t>> parse_netmask(const std::string& text) {
  if (text.empty()) return std::optional<std::uint32_t>{};
  in_addr mask{};
  if (::inet_pton(AF_INET, text.c_str(), &mask) != 1)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "'" + text + "' is not a network mask",
                      .hint = "write it as 255.255.255.0"});
  return std::optional<std::uint32_t>{ntohl(mask.s_addr)};
}

void add_compile(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compile", "compile a filter expression to a classic program");
  verb->add_option("expression", options->words, "the expression; several words are joined by blanks");
  verb->add_option("-F,--file", options->expression_file, "read the expression from this file ('-': standard input)");
  verb->add_option("--to", options->to, "the form: text, c, decimal (as tcpdump -d, -dd, -ddd), asm, bytecode")
      ->check(CLI::IsMember({"text", "c", "decimal", "asm", "bytecode"}))
      ->capture_default_str();
  verb->add_option("--emit", options->emit, "stop at a stage and print it: tokens, tree, bound, flow, dot, cbpf")
      ->check(CLI::IsMember({"tokens", "tree", "bound", "flow", "dot", "cbpf"}));
  verb->add_option("-y,--link-type", options->link_type, "link type of the packets, by its DLT name")
      ->capture_default_str();
  verb->add_option("-s,--snap-length", options->snap_length, "bytes kept of a packet that matches")
      ->check(CLI::Range(1u, 0xffffffffu))
      ->capture_default_str();
  verb->add_option("--netmask", options->netmask, "mask of the capturing network, for 'ip broadcast'");
  verb->add_option("--platform", options->platform, "portable, or linux: may use what Linux knows beside the packet")
      ->check(CLI::IsMember({"portable", "linux"}))
      ->capture_default_str();
  verb->add_flag("--no-dns", options->no_dns, "resolve host names from /etc/hosts alone");
  verb->add_flag("--json", options->json, "print the program as JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
