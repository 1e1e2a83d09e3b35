// The verifier's entries. Exports examine and verify.
//
// Structure (ebpf::check; constants that the kernel refuses, where it is the kernel's program), control flow
// (find_flow), then all paths (Walk). Only here is a Verified made.
#include <weir/verify/verify.h>

#include <algorithm>

#include <fmt/format.h>

#include <weir/ebpf/text.h>

#include "verify/flow.h"
#include "verify/walk.h"

namespace weir::verify {

struct Proof {
  static ebpf::Verified make(const ebpf::Checked& program, const ebpf::Premise& premise, bool reads_unwritten_stack) {
    return {program, premise, reads_unwritten_stack};
  }
};

namespace {

Refusal refusal_at(const ebpf::Program& program, std::uint32_t at, Rule rule, std::string message) {
  Refusal refusal;
  refusal.rule = rule;
  refusal.instruction = at;
  refusal.message = std::move(message);
  const auto& code = program.instructions;
  if (at < code.size()) {
    refusal.text = ebpf::write_instruction(code[at], at + 1 < code.size() ? code[at + 1] : ebpf::Instruction{});
    if (const ebpf::SourceLine* line = program.line_of(at)) refusal.line = *line;
  }
  return refusal;
}

Refusal structure_refusal(const ebpf::Program& program, const Error& error) {
  const auto* place = std::get_if<InstructionPlace>(&error.place);
  Refusal refusal = refusal_at(program, place != nullptr ? place->index : 0, Rule::kStructure, error.message);
  refusal.suggestion = error.hint;
  return refusal;
}

// A division by the constant 0 or a shift beyond the width, which mean something in user space alone.
std::optional<Refusal> constant_refusal(const ebpf::Program& program) {
  const std::vector<Error> errors =
      ebpf::violations(program, {.register_calls = true, .kernel_instructions = true, .kernel_constants = true});
  if (errors.empty()) return std::nullopt;
  Refusal refusal = structure_refusal(program, errors.front());
  refusal.required = "a constant that the kernel takes";
  refusal.suggestion = "put it into a register: there a divisor of 0 gives 0, and shifts are masked";
  return refusal;
}

Refusal flaw_refusal(const ebpf::Program& program, const Flow::Flaw& flaw) {
  if (!flaw.crosses) {
    Refusal refusal = refusal_at(program, flaw.instruction, Rule::kUnreachable, "no path leads to the instruction");
    refusal.required = "only instructions that can be reached";
    refusal.suggestion = "remove it";
    return refusal;
  }
  const bool jumps = flaw.target != flaw.instruction + 1;
  Refusal refusal = refusal_at(
      program, flaw.instruction, Rule::kFunctionBounds,
      jumps ? fmt::format("a jump to {}, in another function", flaw.target) : "the function runs into the next one");
  refusal.required = jumps ? "jumps within the function" : "'exit' or a jump at the end";
  refusal.suggestion = jumps ? "call the function instead" : "end the function with 'exit'";
  return refusal;
}

}  // namespace

Report examine(const ebpf::Checked& checked, const Options& options) {
  Report report;
  const ebpf::Program& program = checked.program();
  if (options.premise.type != ebpf::ProgramType::kUnspec) {
    report.refusal = constant_refusal(program);
    if (report.refusal) return report;
  }
  const runtime::Helpers& helpers = options.helpers != nullptr ? *options.helpers : runtime::Helpers::standard();
  Flow flow = find_flow(program, helpers);
  if (!flow.flaws.empty()) {
    report.refusal = flaw_refusal(program, flow.flaws.front());
    return report;
  }
  Walk walk(program, options, std::move(flow));
  const bool accepted = walk.run();
  report.statistics = walk.statistics();
  if (accepted) report.verified = Proof::make(checked, options.premise, walk.reads_unwritten_stack());
  else report.refusal = std::move(walk.refusal());
  return report;
}

Report examine(const ebpf::Program& program, const Options& options) {
  const Result<ebpf::Checked> checked = ebpf::check(program, {.register_calls = options.register_calls});
  if (checked) return examine(*checked, options);
  Report report;
  report.refusal = structure_refusal(program, checked.error());
  return report;
}

Result<ebpf::Verified> verify(const ebpf::Checked& program, const Options& options) {
  Report report = examine(program, options);
  if (!report.verified) return fail(to_error(*report.refusal));
  return std::move(*report.verified);
}

}  // namespace weir::verify
