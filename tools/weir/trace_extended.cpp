// weir trace -X: the run of an extended program over one packet, or memory, as a table. Exports trace_extended.
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/debug/extended_trace.h>

#include "extended_session.h"
#include "json_text.h"
#include "program_json.h"
#include "terminal.h"
#include "trace_extended.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;

Json to_json(const debug::ExtendedRow& row) {
  Json changes = Json::object();
  for (const debug::RegisterChange& change : row.changes) {
    Json one = {{"value", change.value}};
    if (!change.place.empty()) one["place"] = change.place;
    changes[fmt::format("r{}", change.number)] = std::move(one);
  }
  Json out = {{"instruction", row.instruction}, {"text", row.text}, {"registers", changes}};
  if (!row.function.empty()) out["function"] = row.function;
  if (row.depth > 0) out["depth"] = row.depth;
  if (row.taken) out["taken"] = *row.taken;
  if (row.memory)
    out["memory"] = {{"place", row.memory->place},
                     {"size", row.memory->size},
                     {"write", row.memory->write},
                     {"value", row.memory->value}};
  if (row.line) out["source"] = line_as_json(*row.line);
  return out;
}

int show_json(const ExtendedTraceOptions& options, const debug::ExtendedTrace& trace) {
  Json steps = Json::array();
  for (const debug::ExtendedRow& row : trace.rows) steps.push_back(to_json(row));
  Json out = {{"version", 1},
              {"packet", options.packet},
              {"ended", trace.ended},
              {"steps", std::move(steps)},
              {"printed", trace.printed}};
  if (trace.ended && trace.outcome.fault == engine::Fault::kNone) out["result"] = trace.outcome.value;
  if (trace.ended && trace.outcome.fault != engine::Fault::kNone) {
    const Error error = engine::describe(trace.outcome);
    out["fault"] = {{"kind", engine::name_of(trace.outcome.fault)},
                    {"instruction", trace.outcome.instruction},
                    {"message", error.message}};
  }
  return print(json_line(out));
}

int show_text(const ExtendedTraceOptions& options, const debug::ExtendedSession& session,
              const debug::ExtendedTrace& trace) {
  std::string out;
  if (!options.capture.empty())
    out = fmt::format("packet {} of {} in {}: {} bytes\n\n", options.packet, session.packet_count(), options.capture,
                      session.packet().size());
  out += debug::trace_text(trace) + "\n";
  for (const std::string& line : trace.printed)
    out += "printk: " + line + (!line.empty() && line.back() == '\n' ? "" : "\n");
  if (!trace.ended) out += fmt::format("not ended after {} instructions\n", trace.rows.size());
  else if (trace.outcome.fault == engine::Fault::kNone) out += fmt::format("r0 = 0x{:x}\n", trace.outcome.value);
  return print(out);
}

}  // namespace

int trace_extended(const ExtendedTraceOptions& options) {
  std::string text;
  const auto session = open_session({.program = options.file,
                                     .name = options.name,
                                     .capture = options.capture,
                                     .memory = options.memory,
                                     .allow_callx = options.allow_callx},
                                    text);
  if (!session) return report(session.error(), text);
  if (options.packet > 1 && !(*session)->select(options.packet))
    return report(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("there is no packet {}", options.packet),
                        .hint = fmt::format("there are {}", (*session)->packet_count())});
  const debug::ExtendedTrace trace = debug::trace_packet(**session);
  const int printed = options.json ? show_json(options, trace) : show_text(options, **session, trace);
  if (printed != kYes) return printed;
  if (!trace.ended)
    return report(Error{.code = ErrorCode::kLimit, .message = "the program ran more instructions than are shown"});
  if (trace.outcome.fault == engine::Fault::kNone) return kYes;
  Error error = engine::describe(trace.outcome);
  error.source = options.file;
  return report(error);
}

}  // namespace weir::tool
