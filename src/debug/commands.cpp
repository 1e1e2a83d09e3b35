// What each command does. Exports the table of commands.
#include "debug/commands.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>

#include "cbpf/mnemonics.h"
#include "debug/bpf_dbg.h"

namespace weir::debug {

// A friend of Console: its commands.
struct ConsoleCommands {
  static Style style(const Console& c) { return c.style_; }
  static const Hooks& hooks(const Console& c) { return c.hooks_; }
};

namespace {

// A whole decimal number.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty() || value > 0xffffffff)
    return std::nullopt;
  return value;
}

Reply not_a_number(std::string_view text, std::string_view what) {
  return refuse({.message = fmt::format("'{}' is not {}", text, what)});
}

bool own(const Console& c) { return ConsoleCommands::style(c) == Style::kOwn; }

std::string cell(std::uint32_t value) { return fmt::format("{:#x} ({})", value, value); }

// Registers, the packet, and what stopped the run.
std::string where(Console& c, const std::string& reason) {
  const Session& s = c.session();
  if (!own(c)) return bpf_dbg::dump(s);
  std::string out = registers_text(s.program(), s.state(), Style::kOwn);
  out += packet_text(s.packet(), Style::kOwn, loaded(s.past()));
  return out + fmt::format("(packet {} of {}{})\n", s.packet_number(), s.packets().size(), reason);
}

std::string value_text(const std::optional<std::uint32_t>& value) { return value ? cell(*value) : "no value"; }

std::string stop_text(Console& c, const Stop& stop) {
  const Session& s = c.session();
  switch (stop.reason) {
    case Stop::Reason::kStep: return where(c, "");
    case Stop::Reason::kBreakpoint: return where(c, fmt::format(", breakpoint {}", stop.number));
    case Stop::Reason::kRunEnded: return fmt::format("bpf passes:{} fails:{}\n", stop.counts.passes, stop.counts.fails);
    case Stop::Reason::kStart: return "reached bottom of register history stack!\n";
    case Stop::Reason::kWatch: break;
  }
  for (const Watch& watch : s.watches())
    if (watch.number == stop.number)
      return where(c, fmt::format(", watch {}: {} was {}, is {}", watch.number, watch.expression.text(),
                                  value_text(stop.old_value), value_text(stop.new_value)));
  return where(c, "");
}

// The reply to a move.
Reply halted(Console& c, const Stop& stop, const std::string& before = {}) {
  constexpr std::string_view kReasons[] = {"step", "breakpoint", "watch", "run-end", "start"};
  Reply reply = say(before + stop_text(c, stop));
  reply.halt = Halt{.reason = kReasons[static_cast<std::size_t>(stop.reason)],
                    .number = stop.number,
                    .before = stop.old_value,
                    .now = stop.new_value,
                    .counts = stop.counts};
  return reply;
}

Reply load(Console& c, std::string_view arguments) {
  const std::string_view kind = take_word(arguments);
  const auto is = [&](std::string_view name) { return !kind.empty() && name.substr(0, kind.size()) == kind; };
  if (is("bpf")) return c.load_program(std::string(arguments));
  if (kind == "pcap" || kind == "p" || kind == "pc" || kind == "pca") {
    if (arguments.empty() && !own(c)) return {};
    if (arguments.empty()) return refuse({.message = "a capture is missing", .hint = "load pcap FILE"});
    if (arguments.size() > 1 && arguments.front() == arguments.back() && (arguments[0] == '"' || arguments[0] == '\''))
      arguments = arguments.substr(1, arguments.size() - 2);
    return c.load_capture(std::string(arguments));
  }
  if (is("expression")) return c.load_expression(std::string(arguments));
  if (is("program")) {
    if (!ConsoleCommands::hooks(c).read_file) return refuse({.message = "files cannot be read here"});
    const Result<std::string> text = ConsoleCommands::hooks(c).read_file(std::string(arguments));
    return text ? c.load_program(*text) : refuse(text.error());
  }
  const std::string more =
      own(c) ? "program <file>: load bpf code from a file\nexpression <text>: compile a filter expression\n" : "";
  return {"bpf <code>:  load bpf code\npcap <file>: load pcap file\n" + more, !own(c) || !kind.empty()};
}

Reply run(Console& c, std::string_view arguments) {
  std::uint32_t packets = 0;
  if (const std::int64_t wanted = bpf_dbg::leading_number(arguments); !own(c) && wanted >= 0) {
    packets = static_cast<std::uint32_t>(wanted);
  } else if (!arguments.empty()) {
    const std::optional<std::uint64_t> limit = number(arguments);
    if (!limit || *limit == 0) return not_a_number(arguments, "a number of packets");
    packets = static_cast<std::uint32_t>(*limit);
  }
  return halted(c, c.session().run(packets));
}

Reply resume(Console& c, std::string_view) { return halted(c, c.session().run()); }

Reply go_back(Console& c, std::uint64_t steps) {
  const Stop stop = c.session().back(steps);
  Reply reply = halted(c, stop);
  if (stop.reason != Stop::Reason::kStart) return reply;
  reply.failed = true;
  if (!own(c)) return reply;
  const std::optional<Halt> halt = reply.halt;
  reply = refuse({.message = "the run does not begin so far back",
                  .hint = fmt::format("'back {}' is its first instruction", stop.steps_back)});
  reply.halt = halt;
  return reply;
}

std::string finished_text(Console& c) {
  const Session& s = c.session();
  std::string out;
  for (const Finished& finished : s.finished()) {
    if (own(c))
      out += fmt::format("(packet {}: {})\n", finished.packet,
                         verdict_text(finished.end, s.packets()[finished.packet - 1]));
    out += finished.wrapped ? "(going back to first packet)\n" : "(next packet)\n";
  }
  return out;
}

Reply step(Console& c, std::string_view arguments) {
  if (!own(c)) return bpf_dbg::step(c.session(), arguments);
  const bool backward = !arguments.empty() && arguments.front() == '-';
  std::string_view digits = arguments;
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  const std::optional<std::uint64_t> steps = arguments.empty() ? 1 : number(digits);
  if (!steps || *steps == 0) return not_a_number(arguments, "a number of steps");
  if (backward) return go_back(c, *steps);
  const Stop stop = c.session().step(*steps);
  const std::string finished = finished_text(c);
  return halted(c, stop, finished);
}

Reply back(Console& c, std::string_view arguments) {
  const std::optional<std::uint64_t> steps = arguments.empty() ? 1 : number(arguments);
  if (!steps || *steps == 0) return not_a_number(arguments, "a number of steps");
  return go_back(c, *steps);
}

Reply select(Console& c, std::string_view arguments) {
  std::optional<std::uint64_t> wanted = number(arguments);
  if (!own(c)) {
    if (arguments.empty()) return {};
    // A negative number is a large one there.
    wanted = static_cast<std::uint32_t>(bpf_dbg::leading_number(arguments));
  }
  if (!wanted) return not_a_number(arguments, "the number of a packet");
  std::string text;
  if (*wanted == 0) text = "packet count starts with 1, clamping!\n";
  if (!c.session().select(static_cast<std::uint32_t>(*wanted == 0 ? 1 : *wanted))) {
    if (!own(c)) c.session().select(1);
    return {fmt::format("no packet #{} available!\n", *wanted), true};
  }
  const Session& s = c.session();
  if (own(c))
    text += fmt::format("packet {} of {}: {} bytes\n", s.packet_number(), s.packets().size(), s.packet().length);
  return {std::move(text), own(c) && *wanted == 0};
}

std::string breakpoint_text(const Session& s, const Breakpoint& b) {
  std::string what = b.kind == BreakKind::kInstruction ? instruction_text(s.program(), b.instruction)
                     : b.kind == BreakKind::kPass      ? "pass"
                     : b.kind == BreakKind::kFail      ? "fail"
                                                       : "";
  if (b.condition) what += (what.empty() ? "if " : " if ") + b.condition->text();
  return what;
}

Reply list_stops(Console& c) {
  const Session& s = c.session();
  if (own(c)) {
    std::string out;
    for (const Breakpoint& b : s.breakpoints()) out += fmt::format("{}: {}\n", b.number, breakpoint_text(s, b));
    for (const Watch& watch : s.watches()) out += fmt::format("{}: watch {}\n", watch.number, watch.expression.text());
    return say(out.empty() ? "no breakpoints\n" : out);
  }
  std::string out = "breakpoints: ";
  for (const Breakpoint& b : s.breakpoints())
    out += (b.kind == BreakKind::kInstruction ? fmt::format("{}", b.instruction) : breakpoint_text(s, b)) + " ";
  return say(out + "\n");
}

Reply breakpoint(Console& c, std::string_view arguments) {
  if (arguments.empty()) return list_stops(c);
  Session& s = c.session();
  std::string_view rest = arguments;
  const std::string_view word = take_word(rest);
  if (std::string_view("reset").substr(0, word.size()) == word) {
    s.clear_stops();
    return {};
  }
  BreakKind kind = BreakKind::kInstruction;
  std::uint32_t instruction = 0;
  if (word == "if") kind = BreakKind::kCondition, rest = arguments;
  else if (word == "pass") kind = BreakKind::kPass;
  else if (word == "fail") kind = BreakKind::kFail;
  else if (const auto index = number(word.front() == 'l' ? word.substr(1) : word))
    instruction = static_cast<std::uint32_t>(*index);
  else
    return refuse(
        {.message = fmt::format("'{}' is not an instruction", word), .hint = "0, 'pass', 'fail' or 'if A == 0x800'"});
  constexpr std::size_t kMostOfBpfDbg = 64;
  if (!own(c) && s.breakpoints().size() == kMostOfBpfDbg) return {"too many breakpoints set, reset first!\n", true};
  std::optional<Expression> condition;
  if (!rest.empty()) {
    if (take_word(rest) != "if") return refuse({.message = "expected 'if' and a condition"});
    Result<Expression> parsed = Expression::parse(rest);
    if (!parsed) return refuse(parsed.error(), rest);
    condition = std::move(*parsed);
  }
  const Result<std::uint32_t> added = s.add_breakpoint(kind, instruction, std::move(condition));
  if (!added)
    return own(c) || !added.error().hint.empty() ? refuse(added.error()) : Reply{added.error().message + "\n", true};
  return say("breakpoint at: " + breakpoint_text(s, s.breakpoints().back()) + "\n");
}

Reply remove(Console& c, std::string_view arguments) {
  const std::optional<std::uint64_t> which = number(arguments);
  if (!which) return not_a_number(arguments, "the number of a breakpoint or a watch");
  if (c.session().remove_stop(static_cast<std::uint32_t>(*which))) return {};
  return refuse(
      {.message = fmt::format("there is no breakpoint or watch {}", *which), .hint = "'breakpoint' lists them"});
}

Reply watch(Console& c, std::string_view arguments) {
  if (arguments.empty()) return list_stops(c);
  Result<Expression> parsed = Expression::parse(arguments);
  if (!parsed) return refuse(parsed.error(), arguments);
  const std::uint32_t added = c.session().add_watch(std::move(*parsed));
  return say(fmt::format("{}: watch {}\n", added, arguments));
}

Reply print(Console& c, std::string_view arguments) {
  Result<Expression> parsed = Expression::parse(arguments);
  if (!parsed) return refuse(parsed.error(), arguments);
  const Result<std::uint32_t> value = parsed->value(c.session().view());
  if (!value) return refuse(value.error());
  Reply reply = say(cell(*value) + "\n");
  reply.value = *value;
  return reply;
}

Reply disassemble(Console& c, std::string_view arguments) {
  const cbpf::Program& program = c.session().program();
  if (const std::int64_t line = bpf_dbg::leading_number(arguments);
      !own(c) && !arguments.empty() && line >= 0 && static_cast<std::uint64_t>(line) < program.size())
    return say(instruction_text(program, static_cast<std::uint32_t>(line)) + "\n");
  if (const auto index = number(arguments); index && *index < program.size())
    return say(instruction_text(program, static_cast<std::uint32_t>(*index)) + "\n");
  if (!arguments.empty() && own(c))
    return refuse({.message = fmt::format("there is no instruction {}", arguments),
                   .hint = fmt::format("the program has instructions 0 to {}", program.size() - 1)});
  return say(disassembly(program));
}

Reply dump(Console& c, std::string_view) { return say(c_dump(c.session().program())); }

Reply packet(Console& c, std::string_view) {
  const Session& s = c.session();
  const std::vector<ByteRange> marked = s.has_program() ? loaded(s.past()) : std::vector<ByteRange>{};
  Reply reply = say(packet_text(s.packet(), ConsoleCommands::style(c), marked) +
                    fields_text(s.packet(), s.packet_info().link_type, marked));
  reply.bytes.assign(s.packet().data, s.packet().data + s.packet().length);
  return reply;
}

Reply why(Console& c, std::string_view) {
  const Session& s = c.session();
  const std::vector<Executed> run = s.whole_run();
  return say(why_text(s.program(), run, explain(s.checked(), s.packet(), s.surroundings(), run), s.packet(),
                      s.packet_info().link_type));
}

Reply trace(Console& c, std::string_view) {
  const Session& s = c.session();
  const std::optional<std::size_t> current = s.at_start() ? std::nullopt : std::optional(s.past().size());
  return say(trace_text(s.program(), s.whole_run(), s.packet(), s.packet_info().link_type, current));
}

std::string extension_list(const Session& s) {
  std::string out;
  for (const cbpf::ExtensionInfo& extension : cbpf::extensions()) {
    if (extension.extension == cbpf::Extension::kXorX || extension.extension == cbpf::Extension::kRandom) continue;
    const std::uint32_t value = extension_value(extension.extension, s.packet(), s.surroundings(), s.state());
    const bool by_hand = s.extensions().count(extension.extension) > 0;
    const bool guessed = !by_hand && s.surroundings().set.count(extension.extension) > 0;
    out += fmt::format("{:<11} {}{}\n", extension.text, cell(value), by_hand ? ", set" : guessed ? ", guessed" : "");
  }
  return out;
}

Reply set(Console& c, std::string_view arguments) {
  Session& s = c.session();
  if (arguments.empty()) return say(extension_list(s));
  std::string_view name = take_word(arguments);
  if (name == "guess") {
    if (arguments != "on" && arguments != "off") return refuse({.message = "expected 'on' or 'off'"});
    s.set_guessing(arguments == "on");
    return {};
  }
  if (name.front() == '#') name.remove_prefix(1);
  if (!arguments.empty() && arguments.front() == '=') arguments = trim(arguments.substr(1));
  const std::optional<cbpf::NamedLoad> load = cbpf::find_named_load(cbpf::lower_case(name));
  if (!load || load->length) {
    std::vector<std::string_view> names;
    for (const cbpf::ExtensionInfo& extension : cbpf::extensions()) names.push_back(extension.text);
    return refuse({.message = fmt::format("there is no extension '{}'", name), .hint = did_you_mean(name, names)});
  }
  const auto extension = static_cast<cbpf::Extension>(load->offset - cbpf::kExtensionBase);
  if (extension == cbpf::Extension::kXorX) return refuse({.message = "xor_x computes A ^ X: it has no value to set"});
  if (arguments == "none") {
    s.unset_extension(extension);
    return {};
  }
  Result<Expression> parsed = Expression::parse(arguments);
  if (!parsed) return refuse(parsed.error(), arguments);
  const Result<std::uint32_t> value = parsed->value(s.view());
  if (!value) return refuse(value.error());
  s.set_extension(extension, *value);
  return {};
}

Reply status(Console& c, std::string_view) {
  const Session& s = c.session();
  std::string out = s.has_program() ? fmt::format("program: {} instructions\n", s.program().size()) : "program: none\n";
  if (!s.has_packets()) return say(out + "capture: none\n");
  out += fmt::format("capture: {} packets, {}\n", s.packets().size(), packet::name_of(s.packet_info().link_type));
  out += fmt::format("packet: {}, {} bytes\n", s.packet_number(), s.packet().length);
  out += fmt::format("this run: passes:{} fails:{}\n", s.counts().passes, s.counts().fails);
  if (s.ready())
    out += s.at_start() ? "at: the packet's start\n"
                        : fmt::format("at: {}\n", instruction_text(s.program(), s.state().pc));
  return say(std::move(out));
}

Reply help(Console&, std::string_view arguments) {
  const std::string text = Console::help_text(arguments);
  if (!text.empty()) return say(text);
  return refuse({.message = fmt::format("unknown command '{}'", arguments), .hint = "try 'help'"});
}

Reply quit(Console&, std::string_view) { return {.text = "", .failed = false, .quit = true}; }

constexpr Console::Command kCommands[] = {
    {"load", "bpf CODE | pcap FILE", "a program in any form; a capture; also program FILE, expression TEXT", load,
     Argument::kLoad, false, false},
    {"run", "[N]", "all packets from this one, or N of them; stops at breakpoints and watches", run, Argument::kNone,
     true, true},
    {"continue", "", "to the next breakpoint or watch, across packets", resume, Argument::kNone, true, true},
    {"step", "[+N | -N]", "N instructions forward or back in time, across packets", step, Argument::kNone, true, true},
    {"back", "[N]", "N instructions back in time", back, Argument::kNone, true, true},
    {"select", "N", "begin at packet N, counted from 1", select, Argument::kNone, false, true},
    {"breakpoint", "[N | pass | fail] [if CONDITION]",
     "stop before instruction N, before a verdict, on a condition; 'reset'", breakpoint, Argument::kBreakpoint, true,
     false},
    {"watch", "[EXPRESSION]", "stop when the value changes", watch, Argument::kExpression, true, false},
    {"delete", "N", "remove a breakpoint or a watch", remove, Argument::kNone, false, false},
    {"print", "EXPRESSION", "its value: A, X, M[0], P[12:2], len, mark, ...", print, Argument::kExpression, true, true},
    {"why", "", "which test decides the packet's verdict", why, Argument::kNone, true, true},
    {"trace", "", "the packet's whole run as a table", trace, Argument::kNone, true, true},
    {"packet", "", "the packet's bytes and fields, those loaded so far marked", packet, Argument::kNone, false, true},
    {"set", "[EXTENSION VALUE | none]", "what an extension reads; 'set guess on': from the packet's bytes", set,
     Argument::kExtension, true, true},
    {"disassemble", "[N]", "the program, or its instruction N", disassemble, Argument::kNone, true, false},
    {"dump", "", "the program as lines of C", dump, Argument::kNone, true, false},
    {"status", "", "what is loaded and where the session is", status, Argument::kNone, false, false},
    {"help", "[COMMAND]", "this list", help, Argument::kCommand, false, false},
    {"quit", "", "leave", quit, Argument::kNone, false, false},
};

}  // namespace

std::span<const Console::Command> commands() { return kCommands; }

}  // namespace weir::debug
