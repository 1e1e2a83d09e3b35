// The whole way from text to program. Exports compile and compile_to_graph.
//
// Where the text is no expression but a classic program in any form that cbpf::read knows, it is taken as it is: so a
// program may stand wherever an expression may.
#include <weir/filter/compile.h>

#include <algorithm>

#include <weir/cbpf/text.h>
#include <weir/filter/lower.h>
#include <weir/filter/parse.h>
#include <weir/flow/emit.h>
#include <weir/flow/lift.h>
#include <weir/flow/optimise.h>

namespace weir::filter {
namespace {

// Whether somebody meant a program, by the first words: then an error is that of the program.
bool looks_like_program(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return false;
  text.remove_prefix(start);
  const std::size_t digits = text.find_first_not_of("0123456789");
  const char after = digits == 0 || digits == std::string_view::npos ? '\0' : text[digits];
  const std::string_view row = text.substr(0, text.find('}'));
  const bool in_braces = text[0] == '{' && std::count(row.begin(), row.end(), ',') == 3;
  return in_braces || after == ',' || after == '\n' || text.substr(0, 4) == "(000";
}

struct Source {
  std::optional<Ast> expression{};
  std::optional<cbpf::Checked> program{};
};

Result<Source> read(std::string_view text, const ParseOptions& options) {
  Result<Ast> ast = parse(text, options);
  if (ast) return Source{.expression = std::move(*ast)};
  if (options.strict && (looks_like_program(text) || cbpf::read(text)))
    return fail(Error{.message = "a program stands where strict wants an expression of libpcap's language"});
  if (options.strict) return fail(std::move(ast.error()));
  Result<cbpf::Program> program = cbpf::read(text);
  if (!program) return fail(std::move(looks_like_program(text) ? program.error() : ast.error()));
  WEIR_TRY(cbpf::Checked checked, cbpf::check(std::move(*program), {.target = cbpf::Target::kUser}));
  return Source{.program = std::move(checked)};
}

Result<BindResult> bind_checked(const Ast& ast, const CompileOptions& options) {
  if (options.snap_length == 0)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "a snap length of 0 would reject every packet",
                      .hint = "262144 keeps all bytes of any packet"});
  return bind(ast, options.bind);
}

Result<cbpf::Program> make_program(const Bound& bound, const CompileOptions& options) {
  const LowerOptions lowering{.accept = options.snap_length};
  if (!options.optimise) return flow::emit(lower(bound, lowering));
  if (std::optional<cbpf::Program> program = lower_to_program(bound, lowering, options.passes))
    return *std::move(program);
  return flow::optimise_and_emit(lower(bound, lowering), options.passes);
}

// Whether a test looks at the packet; else numbers alone decide.
bool looks_at_packets(const Bound& bound) {
  return std::any_of(bound.terms.begin(), bound.terms.end(), [](const Term& term) {
    return term.op == TermOp::kLoad || term.op == TermOp::kLength || term.op == TermOp::kExtension;
  });
}

// A program of one instruction gives every packet the same verdict. Where it was found while the expression was bound,
// it was told there, with the tests that are the cause.
Status tell_what_is_decided(const Ast& ast, const cbpf::Program& program, BindResult& bound,
                            const CompileOptions& options) {
  const Node& root = ast[ast.root];
  if (program.size() != 1 || !bound.warnings.empty() || root.kind == NodeKind::kEmpty || !options.optimise) return {};
  const bool none = program[0].k == 0;
  if (none && options.bind.allow_no_match) return {};
  const char* message = none ? "no packet matches this expression" : "every packet matches this expression";
  if (none && !looks_at_packets(bound.bound))
    return fail(Error{.message = message, .place = root.span, .hint = "it compares numbers, and nothing of a packet"});
  if (options.bind.warn)
    bound.warnings.push_back({.severity = Severity::kWarning, .message = message, .place = root.span});
  return {};
}

}  // namespace

Result<CompiledGraph> compile_to_graph(std::string_view expression, const CompileOptions& options) {
  WEIR_TRY(const Source source, read(expression, options.parse));
  if (source.program) return CompiledGraph{flow::lift(*source.program), {}};
  WEIR_TRY(BindResult bound, bind_checked(*source.expression, options));
  return CompiledGraph{lower(bound.bound, {.accept = options.snap_length}), std::move(bound.warnings)};
}

Result<Compiled> compile(std::string_view expression, const CompileOptions& options) {
  WEIR_TRY(Source source, read(expression, options.parse));
  if (source.program) return Compiled{std::move(*source.program), {}};
  WEIR_TRY(BindResult bound, bind_checked(*source.expression, options));
  WEIR_TRY(cbpf::Program program, make_program(bound.bound, options));
  WEIR_CHECK(tell_what_is_decided(*source.expression, program, bound, options));
  WEIR_TRY(cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
  return Compiled{std::move(checked), std::move(bound.warnings)};
}

}  // namespace weir::filter
