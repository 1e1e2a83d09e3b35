// Commands for extended programs. Exports ExtendedConsole.
//
// A table of commands; each takes the rest of its line and gives a Reply. After each move the place is shown: packet
// and step, the source line where the program has lines, the next instruction, and the registers, those that hold
// addresses by what they point to.
#include <weir/debug/extended_console.h>
#include <weir/debug/extended_trace.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/engine/ebpf.h>
#include <weir/runtime/dump.h>

#include "debug/commands.h"
#include "debug/extended_places.h"
#include "debug/extended_text.h"

namespace weir::debug {
namespace {

using Reason = ExtendedStop::Reason;

std::string dump_text(std::string_view label, const std::vector<std::uint8_t>& bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 16)
    out += fmt::format("{}+{}: {}\n", label, at,
                       runtime::hex_text(&bytes[at], std::min<std::size_t>(16, bytes.size() - at)));
  return out;
}

Halt halt_of(const ExtendedSession& session, const ExtendedStop& stop) {
  constexpr std::string_view kReasons[] = {"step", "breakpoint", "watch", "packet-end", "fault", "run-end", "start"};
  Halt halt{.reason = kReasons[static_cast<std::size_t>(stop.reason)], .number = stop.number};
  if (stop.reason != Reason::kWatch) return halt;
  for (const ExtendedWatch& watch : session.watches()) {
    if (watch.number != stop.number) continue;
    if (!watch.before.empty()) halt.before = number_in(watch.before);
    if (!watch.value.empty()) halt.now = number_in(watch.value);
  }
  return halt;
}

Reply halted(const ExtendedSession& session, const ExtendedStop& stop) {
  Reply reply = say(stop_text(session, stop));
  reply.halt = halt_of(session, stop);
  return reply;
}

Reply with_value(Reply reply, std::uint64_t value) {
  reply.value = value;
  return reply;
}
Reply with_bytes(Reply reply, std::vector<std::uint8_t> bytes) {
  reply.bytes = std::move(bytes);
  return reply;
}

}  // namespace

struct ExtendedCommands {
  struct Command {
    std::string_view name, arguments, help;
    Reply (*run)(ExtendedConsole& console, std::string_view arguments);
  };
  static const std::vector<Command>& all();
  static const Command* find(std::string_view word);

  static Reply count(std::string_view arguments, std::uint64_t& out) {
    out = 1;
    if (arguments.empty()) return {};
    const auto number = number_of(arguments);
    if (!number || *number == 0) return refuse({.message = fmt::format("'{}' is not a number of steps", arguments)});
    out = *number;
    return {};
  }
  static Reply step(ExtendedConsole& console, std::string_view arguments) {
    std::uint64_t steps = 0;
    if (Reply bad = count(arguments, steps); bad.failed) return bad;
    return halted(console.session(), console.session().step(steps));
  }
  static Reply back(ExtendedConsole& console, std::string_view arguments) {
    std::uint64_t steps = 0;
    if (Reply bad = count(arguments, steps); bad.failed) return bad;
    const ExtendedStop stop = console.session().back(steps);
    Reply reply = halted(console.session(), stop);
    reply.failed = stop.reason == Reason::kStart;
    return reply;
  }
  static Reply go_on(ExtendedConsole& console, std::string_view) {
    return halted(console.session(), console.session().go_on());
  }
  static Reply run(ExtendedConsole& console, std::string_view) {
    ExtendedSession& session = console.session();
    const bool failed = session.has_ended() && session.outcome().fault != engine::Fault::kNone;
    if (failed || (session.has_ended() && session.packet_number() == session.packet_count())) session.restart();
    return halted(session, session.go_on());
  }
  static Reply select(ExtendedConsole& console, std::string_view arguments) {
    const auto number = number_of(arguments);
    if (!number || *number > UINT32_MAX || !console.session().select(static_cast<std::uint32_t>(*number)))
      return refuse({.message = fmt::format("there is no packet '{}'", arguments),
                     .hint = fmt::format("there are {}", console.session().packet_count())});
    return say(place_text(console.session()));
  }

  static Reply breakpoint(ExtendedConsole& console, std::string_view arguments) {
    ExtendedSession& session = console.session();
    if (arguments.empty()) {
      std::string out;
      for (const ExtendedBreakpoint& each : session.breakpoints())
        out += fmt::format("{}: before {}: {}{}\n", each.number, each.instruction,
                           instruction_text(session.program(), each.instruction),
                           each.condition ? fmt::format(" if r{} {} 0x{:x}", each.condition->reg,
                                                        each.condition->operation, each.condition->value)
                                          : "");
      return say(out.empty() ? "no breakpoints\n" : out);
    }
    const Result<std::uint32_t> slot = slot_of(session.program(), take_word(arguments));
    if (!slot) return refuse(slot.error());
    std::optional<ExtendedCondition> condition;
    if (!arguments.empty()) {
      if (take_word(arguments) != "if") return refuse({.message = "'if' and a condition may follow"});
      const Result<ExtendedCondition> read = condition_of(arguments);
      if (!read) return refuse(read.error());
      condition = *read;
    }
    const std::uint32_t number = session.add_breakpoint(*slot, condition);
    return say(fmt::format("breakpoint {} before {}: {}\n", number, *slot, instruction_text(session.program(), *slot)));
  }
  static Reply remove(ExtendedConsole& console, std::string_view arguments) {
    const auto number = number_of(arguments);
    if (!number || *number > UINT32_MAX || !console.session().remove_stop(static_cast<std::uint32_t>(*number)))
      return refuse({.message = fmt::format("there is no breakpoint or watch '{}'", arguments)});
    return {};
  }

  // A register, or memory at a place: "r1", "fp-8 4".
  static Reply watch(ExtendedConsole& console, std::string_view arguments) {
    ExtendedSession& session = console.session();
    if (arguments.empty()) {
      std::string out;
      for (const ExtendedWatch& each : session.watches())
        out += fmt::format("{}: {} = {}\n", each.number, watch_text(each), bytes_text(session, session.current(each)));
      return say(out.empty() ? "nothing is watched\n" : out);
    }
    const std::string_view what = take_word(arguments);
    if (const auto reg = register_of(what); reg && arguments.empty())
      return say(fmt::format("watch {}: {}\n", session.add_watch(*reg), what));
    std::uint64_t size = 0;
    const Result<std::uint64_t> address = place_and_size(session, what, arguments, size);
    if (!address) return refuse(address.error());
    const auto number = session.add_watch(*address, static_cast<std::uint32_t>(size));
    if (!number)
      return refuse({.message = fmt::format("'{}' is nothing that can be watched", what),
                     .hint = "a register, or memory of the packet, the context, the stack or a map's value"});
    return say(fmt::format("watch {}: {}\n", *number, watch_text(session.watches().back())));
  }
  // A register, or a number in memory.
  static Reply print(ExtendedConsole& console, std::string_view arguments) {
    const ExtendedSession& session = console.session();
    if (arguments.empty()) return refuse({.message = "print what?", .hint = "print r1, print packet+12 2, print fp-8"});
    const std::string_view what = take_word(arguments);
    if (const auto reg = register_of(what); reg && arguments.empty())
      return with_value(say(fmt::format("{} = {}\n", what, long_text(session, session.registers()[*reg]))),
                        session.registers()[*reg]);
    std::uint64_t size = 0;
    const Result<std::uint64_t> address = place_and_size(session, what, arguments, size);
    if (!address) return refuse(address.error());
    const std::vector<std::uint8_t> bytes = session.read(*address, size);
    if (bytes.size() < size) return refuse({.message = "the program may not read there"});
    return with_value(say(fmt::format("{} = {}\n", what, bytes_text(session, bytes))), number_in(bytes));
  }
  // To the next source line, into functions that are called.
  static Reply line(ExtendedConsole& console, std::string_view) {
    ExtendedSession& session = console.session();
    if (session.program().lines.empty()) return refuse({.message = "the program has no source lines"});
    return halted(session, session.next_line());
  }
  // The lines around, as far as the program tells them.
  static Reply list(ExtendedConsole& console, std::string_view) {
    const ExtendedSession& session = console.session();
    const ebpf::Program& program = session.active_program();
    const ebpf::SourceLine* here = program.line_of(session.instruction());
    if (here == nullptr) return refuse({.message = "no source line is known here"});
    std::map<std::uint32_t, std::string> lines;
    for (const ebpf::SourceLine& each : program.lines)
      if (each.file == here->file && each.line + 5 >= here->line && each.line <= here->line + 5)
        lines[each.line] = each.text;
    std::string out = here->file + "\n";
    for (const auto& [number, text] : lines)
      out += fmt::format("{} {:>4}: {}\n", number == here->line ? "=>" : "  ", number, text);
    return say(out);
  }

  static Reply registers(ExtendedConsole& console, std::string_view) {
    std::string out;
    const auto all = console.session().registers();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string place = console.session().address_text(all[i]);
      out +=
          fmt::format("r{:<3} {}\n", i,
                      !place.empty() ? place : fmt::format("0x{:x} ({})", all[i], static_cast<std::int64_t>(all[i])));
    }
    return say(out);
  }
  static Reply stack(ExtendedConsole& console, std::string_view) {
    const ExtendedSession& session = console.session();
    std::string out;
    for (std::uint32_t up = 0; up <= session.depth(); ++up) {
      const std::uint64_t frame = session.frame_pointer(session.depth() - up);
      const std::uint32_t at = up == 0 ? session.instruction() : session.return_slot(session.depth() - up);
      const std::string function = function_of(session.active_program(), at);
      out += fmt::format("#{} {}{}\n", up, function.empty() ? "program" : function,
                         up == 0 ? "" : fmt::format(", goes on at {}", at));
      const std::vector<std::uint8_t> bytes = session.read(frame - ebpf::kStackSize, ebpf::kStackSize);
      for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
        const auto word = load<std::uint64_t>(&bytes[i], std::endian::native);
        if (word != 0) out += fmt::format("   fp-{}: {}\n", ebpf::kStackSize - i, value_text(session, word));
      }
    }
    return say(out);
  }
  static Reply memory(ExtendedConsole& console, std::string_view arguments) {
    const std::string_view what = take_word(arguments);
    if (what.empty()) return refuse({.message = "which memory?", .hint = "memory r1 16"});
    const Result<std::uint64_t> address = address_of(console.session(), what);
    if (!address) return refuse(address.error());
    const auto size = arguments.empty() ? std::optional<std::uint64_t>(64) : number_of(arguments);
    if (!size || *size == 0 || *size > 65536) return refuse({.message = "1 to 65536 bytes"});
    const std::vector<std::uint8_t> bytes = console.session().read(*address, *size);
    if (bytes.empty()) return refuse({.message = "the program may not read there"});
    return with_bytes(say(dump_text(what, bytes)), bytes);
  }
  static Reply packet(ExtendedConsole& console, std::string_view) {
    const ByteSpan span = console.session().packet();
    const std::vector<std::uint8_t> bytes(span.begin(), span.end());
    return with_bytes(say(fmt::format("{} bytes\n", bytes.size()) + dump_text("packet", bytes)), bytes);
  }
  static Reply maps(ExtendedConsole& console, std::string_view arguments) {
    std::string out;
    for (const auto& map : console.session().maps())
      if (arguments.empty() || map->definition().name == arguments)
        out += runtime::text_of(
            *map, [&](const auto& held) { return engine::name_of_held(*map, held, console.session().maps()); });
    if (out.empty()) return refuse({.message = "there is no such map"});
    return say(out);
  }
  static Reply disassemble(ExtendedConsole& console, std::string_view) {
    const ExtendedSession& session = console.session();
    const ebpf::Program& program = session.active_program();
    std::string out;
    const ebpf::SourceLine* shown = nullptr;
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      for (const ebpf::Function& function : program.functions)
        if (function.instruction == i) out += function.name + ":\n";
      const ebpf::SourceLine* line = program.line_of(i);
      if (line != nullptr && (shown == nullptr || line->line != shown->line || line->file != shown->file))
        out += "; " + source_text(*line) + "\n";
      shown = line;
      out += fmt::format("{} {:>4}: {}\n", !session.has_ended() && session.instruction() == i ? "=>" : "  ", i,
                         instruction_text(program, i));
      if (program.instructions[i].code == ebpf::kWideCode) ++i;
    }
    return say(out);
  }
  static Reply status(ExtendedConsole& console, std::string_view) { return say(place_text(console.session())); }
  static Reply help(ExtendedConsole&, std::string_view) { return say(ExtendedConsole::help_text()); }
  static Reply quit(ExtendedConsole&, std::string_view) { return {{}, false, true}; }
};

const std::vector<ExtendedCommands::Command>& ExtendedCommands::all() {
  using C = ExtendedCommands;
  static const std::vector<Command> kAll = {
      {"step", "[n]", "one instruction, or n", C::step},
      {"breakpoint", "[PLACE [if rN OP n]]", "stop before an instruction, a function, or a line (:12); lists without",
       C::breakpoint},
      {"watch", "[PLACE [bytes]]", "stop when a register or 1, 2, 4, 8 bytes of memory change; lists without",
       C::watch},
      {"print", "PLACE [bytes]", "a register, or a number in memory: r1, packet+12 2, fp-8", C::print},
      {"line", "", "to the next source line", C::line},
      {"list", "", "the source around", C::list},
      {"back", "[n]", "one instruction back, or n, over packets too", C::back},
      {"continue", "", "to the next breakpoint, fault, or the end of the run", C::go_on},
      {"run", "", "the same; at the end of the run, from its beginning", C::run},
      {"select", "n", "begin at packet n, counted from 1, with fresh maps", C::select},
      {"delete", "n", "remove a breakpoint or a watch", C::remove},
      {"registers", "", "all registers", C::registers},
      {"stack", "", "the functions that are active, and what is not 0 in their frames", C::stack},
      {"memory", "PLACE [bytes]", "memory at a register, fp-16, packet+14, context, a number", C::memory},
      {"packet", "", "the packet's bytes, or the memory's", C::packet},
      {"maps", "[name]", "what the maps hold", C::maps},
      {"disassemble", "", "the program, with source lines where it has them", C::disassemble},
      {"status", "", "where the session is", C::status},
      {"help", "", "this list", C::help},
      {"quit", "", "leave", C::quit},
  };
  return kAll;
}

const ExtendedCommands::Command* ExtendedCommands::find(std::string_view word) {
  const Command* only = nullptr;
  for (const Command& command : all()) {
    if (command.name == word) return &command;
    if (command.name.substr(0, word.size()) != word) continue;
    // Of one letter the first of the table is meant: s step, b breakpoint, c continue, r run, d delete, ...
    if (only == nullptr) only = &command;
    else if (word.size() > 1) return nullptr;
  }
  return only;
}

Reply ExtendedConsole::execute(std::string_view line) {
  std::string_view arguments = trim(line);
  if (arguments.empty() || arguments.front() == '#') return {};
  const std::string_view word = take_word(arguments);
  const ExtendedCommands::Command* command = ExtendedCommands::find(word);
  if (command == nullptr) {
    std::vector<std::string_view> names;
    for (const auto& each : ExtendedCommands::all()) names.push_back(each.name);
    const std::string hint = did_you_mean(word, names);
    return refuse({.message = fmt::format("unknown command '{}'", word), .hint = hint.empty() ? "try 'help'" : hint});
  }
  if (command->arguments.empty() && !arguments.empty())
    return refuse({.message = fmt::format("'{}' takes no arguments", command->name)});
  Reply reply = command->run(*this, arguments);
  reply.command = command->name;
  return reply;
}

Completion ExtendedConsole::complete(std::string_view before) const {
  Completion out;
  const std::string_view word = take_word(before);
  if (!before.empty()) return out;
  for (const auto& command : ExtendedCommands::all())
    if (command.name.substr(0, word.size()) == word) out.words.emplace_back(command.name);
  return out;
}

std::string ExtendedConsole::help_text() {
  std::string out;
  for (const auto& command : ExtendedCommands::all())
    out += fmt::format("{:<34} {}\n", fmt::format("{} {}", command.name, command.arguments), command.help);
  return out;
}

}  // namespace weir::debug
