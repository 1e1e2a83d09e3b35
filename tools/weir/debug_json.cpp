// weir debug --json. Exports json_dialogue.
//
// A command gives one object: the command, whether it did what it was asked for, why the session halted, what was
// asked for, and the state that the session is in now, with the registers that the command changed. What a command
// shows that has no fields of its own is in `lines`, the lines that are printed without --json. docs/json.md lists the
// fields.
#include "debug_json.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/debug/extended_trace.h>
#include <weir/runtime/dump.h>

#include "json_text.h"
#include "map_output.h"
#include "program_json.h"

namespace weir::tool {
namespace {

using Json = nlohmann::json;
using debug::Reply;

std::string trimmed(std::string_view line) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r\n"), line.size());
  return std::string(line.substr(begin, line.find_last_not_of(" \t\r\n") + 1 - begin));
}

template <typename T>
Json number_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json error_json(const Reply& reply) {
  // Without a Diagnostic the reply's text says it.
  if (!reply.error) return {{"message", trimmed(reply.text)}};
  Json out = {{"message", reply.error->message}};
  if (!reply.error->hint.empty()) out["hint"] = reply.error->hint;
  if (const auto* span = std::get_if<Span>(&reply.error->place)) out["begin"] = span->begin, out["end"] = span->end;
  if (const auto* at = std::get_if<InstructionPlace>(&reply.error->place)) out["instruction"] = at->index;
  return out;
}

Json halt_json(const debug::Halt& halt) {
  Json out = {{"reason", halt.reason}};
  if (halt.number != 0) out["number"] = halt.number;
  if (halt.reason == "watch") {
    out["before"] = number_or_null(halt.before);
    out["now"] = number_or_null(halt.now);
  }
  return out;
}

// What is the same of both kinds.
Json begin_object(std::string_view line, const Reply& reply) {
  Json out = {{"version", 1}, {"command", trimmed(line)}, {"ok", !reply.failed}};
  if (reply.halt) out["halt"] = halt_json(*reply.halt);
  if (reply.failed) out["error"] = error_json(reply);
  if (reply.value) out["value"] = *reply.value;
  if (reply.command == "packet" || !reply.bytes.empty())
    out["bytes"] = runtime::hex_text(reply.bytes.data(), reply.bytes.size());
  return out;
}

// Whether the reply's lines say what no field does.
bool has_lines(const Reply& reply) {
  for (const std::string_view told :
       {"breakpoint", "watch", "delete", "print", "memory", "maps", "registers", "select"})
    if (reply.command == told) return false;
  return !reply.failed && !reply.halt && reply.bytes.empty() && !reply.text.empty();
}

bool is_about_stops(const Reply& reply) {
  return !reply.failed && (reply.command == "breakpoint" || reply.command == "watch" || reply.command == "delete");
}

// ---- classic programs ----

struct ClassicPoint {
  std::uint32_t packet = 0;
  debug::State state{};
};

Json classic_state(const debug::Session& session, std::optional<ClassicPoint>& before) {
  const debug::State& state = session.state();
  Json registers = {{"A", state.a}, {"X", state.x}};
  for (std::size_t i = 0; i < state.scratch.size(); ++i)
    if ((state.written >> i & 1u) != 0) registers[fmt::format("M[{}]", i)] = state.scratch[i];
  Json out = {{"packet", session.packet_number()},
              {"packets", session.packets().size()},
              {"begun", !session.at_start()},
              {"instruction", state.pc},
              {"registers", registers}};
  std::string text = debug::instruction_text(session.program(), state.pc);
  if (const std::size_t tab = text.find('\t'); tab != std::string::npos) text.erase(0, tab + 1);
  out["text"] = text;
  const bool same = before && before->packet == session.packet_number();
  Json changed = Json::array();
  const debug::State old = same ? before->state : debug::State{};
  if (state.a != old.a) changed.push_back("A");
  if (state.x != old.x) changed.push_back("X");
  for (std::size_t i = 0; i < state.scratch.size(); ++i)
    if (state.scratch[i] != old.scratch[i] || ((state.written ^ old.written) >> i & 1) != 0)
      changed.push_back(fmt::format("M[{}]", i));
  out["changed"] = std::move(changed);
  before = ClassicPoint{session.packet_number(), state};
  return out;
}

Json finished_json(const debug::Session& session) {
  Json out = Json::array();
  for (const debug::Finished& each : session.finished())
    out.push_back({{"packet", each.packet},
                   {"verdict", each.end.verdict},
                   {"outside_packet", each.end.ending == debug::Ending::kOutsidePacket},
                   {"division_by_zero", each.end.ending == debug::Ending::kDivisionByZero}});
  return out;
}

void add_stops(Json& out, const debug::Session& session) {
  constexpr std::string_view kKinds[] = {"instruction", "condition", "pass", "fail"};
  out["breakpoints"] = out["watches"] = Json::array();
  for (const debug::Breakpoint& each : session.breakpoints()) {
    Json row = {{"number", each.number}, {"kind", kKinds[static_cast<std::size_t>(each.kind)]}};
    if (each.kind == debug::BreakKind::kInstruction) row["instruction"] = each.instruction;
    if (each.condition) row["condition"] = each.condition->text();
    out["breakpoints"].push_back(std::move(row));
  }
  for (const debug::Watch& each : session.watches())
    out["watches"].push_back({{"number", each.number}, {"expression", each.expression.text()}});
}

std::string classic_reply(debug::Console& console, std::string_view line, Reply reply,
                          std::optional<ClassicPoint>& before) {
  Json out = begin_object(line, reply);
  const debug::Session& session = console.session();
  if (has_lines(reply)) out["lines"] = lines_of(reply.text);
  if (is_about_stops(reply)) add_stops(out, session);
  if (session.ready()) {
    if (reply.halt && reply.halt->reason == "run-end")
      out["halt"].update({{"passes", reply.halt->counts.passes}, {"fails", reply.halt->counts.fails}});
    if (reply.command == "step" && !session.finished().empty()) out["finished"] = finished_json(session);
    out["state"] = classic_state(session, before);
  }
  return json_line(out);
}

// ---- extended programs ----

// Registers as they were last shown. Addresses are compared by what they point to: going back moves what is there.
struct ExtendedPoint {
  Json registers = Json::object();
};

Json extended_registers(const debug::ExtendedSession& session) {
  Json out = Json::object();
  for (std::size_t i = 0; i < 10; ++i) {
    Json one = {{"value", session.registers()[i]}};
    const std::string place = session.address_text(session.registers()[i]);
    if (!place.empty()) one["place"] = place;
    out[fmt::format("r{}", i)] = std::move(one);
  }
  return out;
}

Json extended_state(const debug::ExtendedSession& session, ExtendedPoint& before) {
  const engine::Outcome& outcome = session.outcome();
  Json out = {{"packet", session.packet_number()},
              {"packets", session.packet_count()},
              {"step", session.step_number()},
              {"ended", session.has_ended()}};
  if (session.has_ended() && !session.printed().empty()) out["printed"] = session.printed();
  if (session.has_ended() && outcome.fault == engine::Fault::kNone) out["result"] = outcome.value;
  if (session.has_ended() && outcome.fault != engine::Fault::kNone)
    out["fault"] = {{"kind", engine::name_of(outcome.fault)},
                    {"instruction", outcome.instruction},
                    {"message", engine::describe(outcome).message}};
  if (session.has_ended()) return out;
  const ebpf::Program& program = session.active_program();
  out["instruction"] = outcome.instruction;
  out["text"] = debug::instruction_text(program, outcome.instruction);
  if (const std::string function = debug::function_of(program, outcome.instruction); !function.empty())
    out["function"] = function;
  if (session.depth() > 0) out["depth"] = session.depth();
  if (const ebpf::SourceLine* line = program.line_of(outcome.instruction)) out["source"] = line_as_json(*line);
  Json registers = extended_registers(session);
  Json changed = Json::array();
  for (const auto& [name, now] : registers.items()) {
    const Json& old = before.registers[name];
    const std::string_view by = now.contains("place") && old.contains("place") ? "place" : "value";
    if (now.contains("place") != old.contains("place") || now[by] != old[by]) changed.push_back(name);
  }
  out["changed"] = std::move(changed);
  out["registers"] = before.registers = std::move(registers);
  return out;
}

void add_stops(Json& out, const debug::ExtendedSession& session) {
  out["breakpoints"] = out["watches"] = Json::array();
  for (const debug::ExtendedBreakpoint& each : session.breakpoints()) {
    Json row = {{"number", each.number},
                {"instruction", each.instruction},
                {"text", debug::instruction_text(session.program(), each.instruction)}};
    if (each.condition)
      row["condition"] =
          fmt::format("r{} {} 0x{:x}", each.condition->reg, each.condition->operation, each.condition->value);
    out["breakpoints"].push_back(std::move(row));
  }
  for (const debug::ExtendedWatch& each : session.watches()) {
    Json row = {{"number", each.number}};
    if (each.reg) row["register"] = fmt::format("r{}", *each.reg);
    else row.update({{"place", each.place}, {"size", each.size}});
    const std::vector<std::uint8_t> now = session.current(each);
    row["value"] = now.empty() ? Json() : Json(debug::number_in(now));
    out["watches"].push_back(std::move(row));
  }
}

std::string extended_reply(debug::ExtendedConsole& console, std::string_view line, const Reply& reply,
                           ExtendedPoint& before) {
  Json out = begin_object(line, reply);
  const debug::ExtendedSession& session = console.session();
  if (has_lines(reply)) out["lines"] = lines_of(reply.text);
  if (is_about_stops(reply)) add_stops(out, session);
  if (reply.value) {
    const std::string place = session.address_text(*reply.value);
    if (!place.empty()) out["place"] = place;
  }
  if (reply.command == "maps" && !reply.failed) {
    const std::string text = trimmed(line);
    const std::string name = trimmed(text.substr(std::min(text.find_first_of(" \t"), text.size())));
    MapOutput maps;
    for (const auto& map : session.maps())
      if (name.empty() || map->definition().name == name) maps.add(*map, session.maps(), true);
    out["maps"] = maps.json();
  }
  out["state"] = extended_state(session, before);
  return json_line(out);
}

// Runs each command that is one, and makes its reply JSON.
template <typename ConsoleType, typename Point, typename Show>
Dialogue dialogue_of(ConsoleType& console, Point before, Show show) {
  return {[&console, before, show](std::string_view line) mutable {
            Reply reply = console.execute(line);
            const std::string command = trimmed(line);
            if (command.empty() || command.front() == '#') return reply;
            reply.text = show(console, line, reply, before);
            return reply;
          },
          [&console](std::string_view text) { return console.complete(text); }};
}

}  // namespace

Dialogue json_dialogue(debug::Console& console) {
  return dialogue_of(console, std::optional<ClassicPoint>(), classic_reply);
}

Dialogue json_dialogue(debug::ExtendedConsole& console) {
  return dialogue_of(console, ExtendedPoint{extended_registers(console.session())}, extended_reply);
}

}  // namespace weir::tool
