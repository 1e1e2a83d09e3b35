// Commands for extended programs. Exports ExtendedConsole.
//
// A table of commands; each takes the rest of its line and gives a Reply. After each move the place is shown: packet
// and step, the source line where the program has lines, the next instruction, and the registers, those that hold
// addresses by what they point to.
#include <weir/debug/extended_console.h>
#include <weir/debug/extended_trace.h>

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/runtime/dump.h>

#include "debug/commands.h"

namespace weir::debug {
namespace {

using Reason = ExtendedStop::Reason;

std::optional<std::uint64_t> number_of(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  int base = 10;
  if (text.substr(0, 2) == "0x") {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return negative ? 0 - value : value;
}

std::optional<std::uint8_t> register_of(std::string_view text) {
  if (text == "fp") return std::uint8_t{10};
  if (text.size() < 2 || text.front() != 'r') return std::nullopt;
  const auto number = number_of(text.substr(1));
  return number && *number <= 10 ? std::optional(static_cast<std::uint8_t>(*number)) : std::nullopt;
}

// The program that runs: after a tail call another than the session's.
const ebpf::Program& active_program(const ExtendedSession& session) {
  return session.outcome().program != nullptr ? *session.outcome().program : session.program();
}

std::string value_text(const ExtendedSession& session, std::uint64_t value) {
  const std::string place = session.address_text(value);
  if (!place.empty()) return place;
  return value < 10 ? std::to_string(value) : fmt::format("0x{:x}", value);
}

std::string registers_text(const ExtendedSession& session) {
  std::string out;
  const auto registers = session.registers();
  for (std::size_t i = 0; i < 10; ++i)
    out += fmt::format("{}r{} {}{}", i % 5 == 0 ? "  " : "", i, value_text(session, registers[i]),
                       i % 5 == 4 ? "\n" : "  ");
  return out;
}

std::string place_text(const ExtendedSession& session) {
  std::string out =
      fmt::format("packet {} of {}, step {}", session.packet_number(), session.packet_count(), session.step_number());
  const engine::Outcome& outcome = session.outcome();
  if (session.has_ended()) {
    if (outcome.fault == engine::Fault::kNone) return out + fmt::format(": ended, r0 = 0x{:x}\n", outcome.value);
    const Error error = engine::describe(outcome);
    return out +
           fmt::format(": stopped at instruction {}\n  {}\n  {}\n", outcome.instruction, error.message, error.hint);
  }
  const ebpf::Program& program = active_program(session);
  const std::string function = function_of(program, outcome.instruction);
  if (!function.empty()) out += ", in " + function;
  if (session.depth() > 0) out += fmt::format(", {} call{} deep", session.depth(), session.depth() == 1 ? "" : "s");
  out += "\n";
  if (const ebpf::SourceLine* line = program.line_of(outcome.instruction)) out += source_text(*line) + "\n";
  out += fmt::format("=> {}: {}\n", outcome.instruction, instruction_text(program, outcome.instruction));
  return out + registers_text(session);
}

std::string long_text(const ExtendedSession& session, std::uint64_t value) {
  const std::string place = session.address_text(value);
  return place.empty() ? fmt::format("0x{:x} ({})", value, static_cast<std::int64_t>(value)) : place;
}

// As the number that the bytes are on this machine.
std::string bytes_text(const ExtendedSession& session, const std::vector<std::uint8_t>& bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size() && i < 8; ++i) {
    const std::size_t at = std::endian::native == std::endian::little ? bytes.size() - 1 - i : i;
    value = value << 8 | bytes[at];
  }
  if (bytes.empty()) return "not there";
  return bytes.size() == 8 ? long_text(session, value) : fmt::format("0x{:x} ({})", value, value);
}

std::string watch_text(const ExtendedWatch& watch) {
  return watch.reg ? fmt::format("r{}", *watch.reg) : fmt::format("{} {}", watch.place, watch.size);
}

std::string watch_stop_text(const ExtendedSession& session, const ExtendedStop& stop) {
  for (const ExtendedWatch& watch : session.watches())
    if (watch.number == stop.number)
      return fmt::format("watch {}: {} was {}, is {}\n", watch.number, watch_text(watch),
                         bytes_text(session, watch.before), bytes_text(session, watch.value));
  return {};
}

std::string stop_text(const ExtendedSession& session, const ExtendedStop& stop) {
  std::string out;
  if (stop.reason == Reason::kBreakpoint) out = fmt::format("breakpoint {}\n", stop.number);
  if (stop.reason == Reason::kWatch) out = watch_stop_text(session, stop);
  if (stop.reason == Reason::kStart) return "the run begins less far back\n";
  for (const std::string& line : session.has_ended() ? session.printed() : std::vector<std::string>())
    out += "printk: " + line + (!line.empty() && line.back() == '\n' ? "" : "\n");
  return out + place_text(session);
}

std::string dump_text(std::string_view label, const std::vector<std::uint8_t>& bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 16)
    out += fmt::format("{}+{}: {}\n", label, at,
                       runtime::hex_text(&bytes[at], std::min<std::size_t>(16, bytes.size() - at)));
  return out;
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
    return say(stop_text(console.session(), console.session().step(steps)));
  }
  static Reply back(ExtendedConsole& console, std::string_view arguments) {
    std::uint64_t steps = 0;
    if (Reply bad = count(arguments, steps); bad.failed) return bad;
    const ExtendedStop stop = console.session().back(steps);
    Reply reply = say(stop_text(console.session(), stop));
    reply.failed = stop.reason == Reason::kStart;
    return reply;
  }
  static Reply go_on(ExtendedConsole& console, std::string_view) {
    return say(stop_text(console.session(), console.session().go_on()));
  }
  static Reply run(ExtendedConsole& console, std::string_view) {
    ExtendedSession& session = console.session();
    const bool failed = session.has_ended() && session.outcome().fault != engine::Fault::kNone;
    if (failed || (session.has_ended() && session.packet_number() == session.packet_count())) session.restart();
    return say(stop_text(session, session.go_on()));
  }
  static Reply select(ExtendedConsole& console, std::string_view arguments) {
    const auto number = number_of(arguments);
    if (!number || *number > UINT32_MAX || !console.session().select(static_cast<std::uint32_t>(*number)))
      return refuse({.message = fmt::format("there is no packet '{}'", arguments),
                     .hint = fmt::format("there are {}", console.session().packet_count())});
    return say(place_text(console.session()));
  }

  // A slot, a function, or ":LINE" or "FILE:LINE" of the source.
  static Result<std::uint32_t> slot_of(const ebpf::Program& program, std::string_view text) {
    if (const auto number = number_of(text)) {
      if (*number < program.size()) return static_cast<std::uint32_t>(*number);
      return fail(fmt::format("the program has instructions 0 to {}", program.size() - 1));
    }
    for (const ebpf::Function& function : program.functions)
      if (function.name == text) return function.instruction;
    const std::size_t colon = text.rfind(':');
    const auto line = colon == std::string_view::npos ? std::nullopt : number_of(text.substr(colon + 1));
    if (!line)
      return fail(Error{.code = ErrorCode::kBadInput,
                        .message = fmt::format("there is no function '{}'", text),
                        .hint = "an instruction's number, a function, :LINE or FILE:LINE"});
    const std::string_view file = text.substr(0, colon);
    for (const ebpf::SourceLine& each : program.lines)
      if (each.line == *line && each.file.size() >= file.size() &&
          std::string_view(each.file).substr(each.file.size() - file.size()) == file)
        return each.instruction;
    return fail(fmt::format("no instruction comes from line {}", *line));
  }
  static Result<ExtendedCondition> condition_of(std::string_view text) {
    constexpr std::string_view kOperations[] = {"==", "!=", "<", "<=", ">", ">=", "&"};
    const std::string_view name = take_word(text);
    const std::string_view operation = take_word(text);
    const auto reg = register_of(name);
    const auto value = number_of(text);
    const auto* const known = std::find(std::begin(kOperations), std::end(kOperations), operation);
    if (!reg || !value || known == std::end(kOperations))
      return fail(Error{.code = ErrorCode::kBadInput,
                        .message = "this is no condition",
                        .hint = "REGISTER OPERATOR NUMBER with blanks between, as in: if r1 == 5"});
    return ExtendedCondition{*reg, *known, *value};
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
      return say(fmt::format("{} = {}\n", what, long_text(session, session.registers()[*reg])));
    std::uint64_t size = 0;
    const Result<std::uint64_t> address = place_and_size(session, what, arguments, size);
    if (!address) return refuse(address.error());
    const std::vector<std::uint8_t> bytes = session.read(*address, size);
    if (bytes.size() < size) return refuse({.message = "the program may not read there"});
    return say(fmt::format("{} = {}\n", what, bytes_text(session, bytes)));
  }
  static Result<std::uint64_t> place_and_size(const ExtendedSession& session, std::string_view place,
                                              std::string_view bytes, std::uint64_t& size) {
    const auto number = bytes.empty() ? std::optional<std::uint64_t>(8) : number_of(bytes);
    if (!number || (*number != 1 && *number != 2 && *number != 4 && *number != 8))
      return fail(fmt::format("'{}' is no size: 1, 2, 4 or 8 bytes", bytes));
    size = *number;
    return address_of(session, place);
  }
  // To the next source line, into functions that are called.
  static Reply line(ExtendedConsole& console, std::string_view) {
    ExtendedSession& session = console.session();
    if (session.program().lines.empty()) return refuse({.message = "the program has no source lines"});
    return say(stop_text(session, session.next_line()));
  }
  // The lines around, as far as the program tells them.
  static Reply list(ExtendedConsole& console, std::string_view) {
    const ExtendedSession& session = console.session();
    const ebpf::Program& program = active_program(session);
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
    std::uint64_t frame = session.registers()[10];
    for (std::uint32_t up = 0; up <= session.depth(); ++up, frame += ebpf::kStackSize) {
      const std::uint32_t at = up == 0 ? session.instruction() : session.return_slot(session.depth() - up);
      const std::string function = function_of(active_program(session), at);
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
  // The value of a map's key, as in counts[7]: the key is a number of at most 8 bytes.
  static Result<std::uint64_t> value_of_key(const ExtendedSession& session, std::string_view text) {
    const std::size_t open = text.find('[');
    const std::string_view name = text.substr(0, open);
    const std::string_view key_text = text.substr(open + 1, text.size() - open - 2);
    for (const auto& map : session.maps()) {
      if (map->definition().name != name) continue;
      const auto number = number_of(key_text);
      if (!number || map->key_size() > 8 || map->key_size() == 0)
        return fail(fmt::format("'{}' is no key of map '{}'", key_text, name));
      std::uint8_t key[8];
      for (std::uint32_t i = 0; i < map->key_size(); ++i)
        key[std::endian::native == std::endian::little ? i : map->key_size() - 1 - i] =
            static_cast<std::uint8_t>(*number >> (8 * i));
      const void* const value = map->lookup(key, 0);
      if (value == nullptr) return fail(fmt::format("map '{}' has no value for {}", name, key_text));
      return reinterpret_cast<std::uint64_t>(value);
    }
    return fail(fmt::format("there is no map '{}'", name));
  }

  // rN, fp, packet, context, map[key], or a number; then +N or -N.
  static Result<std::uint64_t> address_of(const ExtendedSession& session, std::string_view text) {
    const std::size_t bracket = text.find(']');
    const std::size_t sign = text.find_first_of("+-", bracket == std::string_view::npos ? 1 : bracket);
    const std::string_view base = text.substr(0, sign);
    std::uint64_t value = 0;
    if (base.size() > 2 && base.back() == ']' && base.find('[') != std::string_view::npos) {
      WEIR_TRY(value, value_of_key(session, base));
    } else if (const auto reg = register_of(base)) value = session.registers()[*reg];
    else if (base == "packet" || base == "memory") value = session.packet_address();
    else if (base == "context") value = session.context_address();
    else if (const auto number = number_of(base)) value = *number;
    else
      return fail(Error{.code = ErrorCode::kBadInput,
                        .message = fmt::format("'{}' is no place", base),
                        .hint = "a register, fp, packet, memory, context, MAP[KEY] or a number, then +N or -N"});
    if (sign == std::string_view::npos) return value;
    const auto offset = number_of(text.substr(sign + (text[sign] == '+' ? 1 : 0)));
    if (!offset) return fail(fmt::format("'{}' is no distance", text.substr(sign)));
    return value + *offset;
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
    return say(dump_text(what, bytes));
  }
  static Reply packet(ExtendedConsole& console, std::string_view) {
    const ByteSpan bytes = console.session().packet();
    return say(fmt::format("{} bytes\n", bytes.size()) + dump_text("packet", {bytes.begin(), bytes.end()}));
  }
  static Reply maps(ExtendedConsole& console, std::string_view arguments) {
    std::string out;
    for (const auto& map : console.session().maps())
      if (arguments.empty() || map->definition().name == arguments) out += runtime::text_of(*map);
    if (out.empty()) return refuse({.message = "there is no such map"});
    return say(out);
  }
  static Reply disassemble(ExtendedConsole& console, std::string_view) {
    const ExtendedSession& session = console.session();
    const ebpf::Program& program = active_program(session);
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
  return command->run(*this, arguments);
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
