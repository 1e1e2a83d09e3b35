// The whole way from text to program. Exports compile and compile_to_graph.
#include <weir/filter/compile.h>

#include <weir/filter/lower.h>
#include <weir/filter/parse.h>
#include <weir/flow/emit.h>

namespace weir::filter {

Result<CompiledGraph> compile_to_graph(std::string_view expression, const CompileOptions& options) {
  if (options.snap_length == 0)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "a snap length of 0 would reject every packet",
                      .hint = "262144 keeps all bytes of any packet"});
  WEIR_TRY(const Ast ast, parse(expression));
  WEIR_TRY(BindResult bound, bind(ast, options.bind));
  return CompiledGraph{lower(bound.bound, {.accept = options.snap_length}), std::move(bound.warnings)};
}

Result<Compiled> compile(std::string_view expression, const CompileOptions& options) {
  WEIR_TRY(CompiledGraph compiled, compile_to_graph(expression, options));
  WEIR_TRY(cbpf::Program program, flow::emit(compiled.graph));
  WEIR_TRY(cbpf::Checked checked, cbpf::check(std::move(program), {.target = cbpf::Target::kUser}));
  return Compiled{std::move(checked), std::move(compiled.warnings)};
}

}  // namespace weir::filter
