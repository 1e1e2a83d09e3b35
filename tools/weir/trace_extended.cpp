// weir trace -X: the run of an extended program over one packet, or memory, as a table. Exports trace_extended.
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/debug/extended_trace.h>

#include "debug_shell.h"
#include "extended_input.h"
#include "terminal.h"
#include "trace_extended.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;
using Packets = std::vector<std::vector<std::uint8_t>>;

Error usage(std::string message, std::string hint) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

Result<Packets> packets_of(const ExtendedTraceOptions& options, debug::Sight sight) {
  if (!options.memory.empty() && !options.capture.empty())
    return fail(usage("memory and a capture", "give one of them"));
  if (!options.memory.empty()) {
    WEIR_TRY(const std::string bytes, read_whole_file(options.memory, 64u << 20));
    return Packets{{bytes.begin(), bytes.end()}};
  }
  if (options.capture.empty()) {
    if (sight != debug::Sight::kMemory)
      return fail(usage("this kind of program needs a packet", "give a capture, or a packet with --mem"));
    return Packets{{}};
  }
  WEIR_TRY(const debug::Capture capture, shell_hooks().open_capture(options.capture));
  report_all(capture.warnings);
  Packets packets;
  for (std::uint32_t i = 0; i < capture.packets->size(); ++i) {
    const packet::Packet& packet = (*capture.packets)[i];
    packets.emplace_back(packet.data, packet.data + packet.length);
  }
  return packets;
}

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
  if (row.line) {
    out["source"] = {{"file", row.line->file}, {"line", row.line->line}};
    if (!row.line->text.empty()) out["source"]["text"] = row.line->text;
  }
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
  return print(out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
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
  const Result<ExtendedInput> input = read_extended(options.file, text);
  if (!input) return report(input.error(), text);
  const Result<const ebpf::Program*> program = pick_program(*input, options.name);
  if (!program) return report(program.error());
  if (input->needs_core)
    return report(Error{.code = ErrorCode::kUnsupported,
                        .message = "the object's accesses are relocated against the types of a kernel (CO-RE)"});
  const debug::Sight sight = debug::sight_of((*program)->type);
  Result<Packets> packets = packets_of(options, sight);
  if (!packets) return report(packets.error());
  const std::size_t count = packets->size();
  auto session = debug::ExtendedSession::create(**program, {std::move(*packets), sight});
  if (!session) {
    Error error = session.error();
    if (error.source.empty()) error.source = options.file;
    return report(error);
  }
  if (options.packet > 1 && !(*session)->select(options.packet))
    return report(usage(fmt::format("there is no packet {}", options.packet), fmt::format("there are {}", count)));
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
