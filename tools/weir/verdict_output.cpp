// Verdicts as text and JSON. Exports verdict_as_json, verdict_as_text.
#include "verdict_output.h"

#include <fmt/format.h>

#include "program_json.h"

namespace weir::tool {
namespace {

nlohmann::json refusal_as_json(const verify::Refusal& refusal) {
  nlohmann::json path = nlohmann::json::array();
  for (const verify::Decision& decision : refusal.path) {
    nlohmann::json row = {{"instruction", decision.instruction},
                          {"code", decision.text},
                          {"taken", decision.taken},
                          {"sure", decision.sure}};
    if (decision.line) row["source"] = line_as_json(*decision.line);
    path.push_back(std::move(row));
  }
  nlohmann::json out = {{"rule", verify::name_of(refusal.rule)},
                        {"instruction", refusal.instruction},
                        {"code", refusal.text},
                        {"message", refusal.message},
                        {"required", refusal.required},
                        {"known", refusal.known},
                        {"path", path},
                        {"decisions_before", refusal.decisions_before},
                        {"suggestion", refusal.suggestion}};
  if (refusal.line) out["source"] = line_as_json(*refusal.line);
  return out;
}

std::string name_of(const VerdictRow& row) {
  return !row.program.name.empty() ? row.program.name : row.section.empty() ? "program" : row.section;
}
std::string seen_as(const VerdictRow& row) {
  return row.seen_as == ebpf::ProgramType::kUnspec ? "memory" : ebpf::name_of(row.seen_as);
}

}  // namespace

nlohmann::json verdict_as_json(const VerdictRow& row) {
  const verify::Statistics& numbers = row.report.statistics;
  nlohmann::json out = {{"program", name_of(row)},
                        {"type", seen_as(row)},
                        {"accepted", row.report.verified.has_value()},
                        {"instructions", row.program.size()},
                        {"steps", numbers.steps},
                        {"paths", numbers.paths},
                        {"stack", numbers.stack}};
  if (!row.section.empty()) out["section"] = row.section;
  if (row.report.refusal) out["refusal"] = refusal_as_json(*row.report.refusal);
  return out;
}

std::string verdict_as_text(const VerdictRow& row) {
  const verify::Statistics& numbers = row.report.statistics;
  if (!row.report.verified)
    return fmt::format("{}: refused as {}: {}", name_of(row), seen_as(row), verify::explain(*row.report.refusal));
  return fmt::format("{}: accepted as {}: {} instructions, {} walked on {} path{}, {} bytes of stack\n", name_of(row),
                     seen_as(row), row.program.size(), numbers.steps, numbers.paths, numbers.paths == 1 ? "" : "s",
                     numbers.stack);
}

}  // namespace weir::tool
