// weir explain: what an expression or a program matches, in plain words.
#include <memory>
#include <string>
#include <vector>

#include <weir/filter/explain.h>

#include "expression.h"
#include "json_text.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string file;
  LanguageFlags language;
  TargetFlags target;
  bool program = false;
  bool json = false;
};

int run(const Options& options) {
  filter::CompileOptions compile;
  compile.bind.allow_no_match = true;
  if (const Status status = apply(options.language, compile); !status) return report(status.error());
  if (const Status status = apply(options.target, compile); !status) return report(status.error());
  const Result<std::string> text = expression_text(options.words, options.file);
  if (!text) return report(text.error());
  const Result<filter::Compiled> compiled = filter::compile(*text, compile);
  if (!compiled) return report(of_expression(compiled.error(), options.file, options.words), *text);
  report_all(compiled->warnings, *text);
  const Result<filter::Ast> ast = filter::parse(*text, compile.parse);
  const std::string explanation = ast && !options.program ? filter::explain(*ast, compile.bind)
                                                          : filter::explain(compiled->program, compile.bind.link_type);
  if (!options.json) return print(explanation);
  return print(json_line({{"version", 1},
                          {"expression", *text},
                          {"link_type", packet::name_of(compile.bind.link_type)},
                          {"lines", lines_of(explanation)}}));
}

}  // namespace

void add_explain(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("explain", "what an expression or a program matches, in plain words");
  verb->add_option("expression", options->words, "an expression, or a program in any form");
  verb->add_option("-F,--file", options->file, "read it from this file ('-': standard input)");
  verb->add_flag("--json", options->json, "print JSON");
  verb->add_flag("--program", options->program, "explain the program that the expression is compiled to");
  add_target_flags(*verb, options->target);
  add_language_flags(*verb, options->language);
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
