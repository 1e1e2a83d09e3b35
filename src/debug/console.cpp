// One command line to one reply. Exports Console: finding the command, loading, completion, help.
#include <weir/debug/console.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include <weir/base/render.h>
#include <weir/base/suggest.h>
#include <weir/cbpf/opcode_info.h>
#include <weir/cbpf/text.h>

#include "debug/bpf_dbg.h"
#include "debug/commands.h"

namespace weir::debug {
namespace {

struct Alias {
  std::string_view name;
  std::string_view command;
};
constexpr Alias kAliases[] = {{"s", "step"},  {"b", "breakpoint"},  {"c", "continue"}, {"p", "print"},
                              {"r", "run"},   {"q", "quit"},        {"?", "help"},     {"exit", "quit"},
                              {"w", "watch"}, {"next", "continue"}, {"h", "help"}};

const Console::Command* find_command(std::string_view word, Style style) {
  for (const Console::Command& command : commands())
    if (command.name == word) return &command;
  if (style == Style::kBpfDbg) return nullptr;
  for (const Alias& alias : kAliases)
    if (alias.name == word) return find_command(alias.command, style);
  const Console::Command* only = nullptr;
  for (const Console::Command& command : commands()) {
    if (command.name.substr(0, word.size()) != word) continue;
    if (only != nullptr) return nullptr;
    only = &command;
  }
  return only;
}

Reply unknown(std::string_view word) {
  // Enough of it to know it again.
  constexpr std::size_t kMostShown = 60;
  if (word.size() > kMostShown)
    return refuse({.message = fmt::format("unknown command of {} characters", word.size()), .hint = "try 'help'"});
  std::vector<std::string_view> names;
  std::string candidates;
  for (const Console::Command& command : commands()) {
    names.push_back(command.name);
    if (command.name.substr(0, word.size()) == word)
      candidates += (candidates.empty() ? "" : ", ") + std::string(command.name);
  }
  if (!candidates.empty()) return refuse({.message = fmt::format("'{}' may be {}", word, candidates)});
  const std::string hint = did_you_mean(word, names);
  return refuse({.message = fmt::format("unknown command '{}'", word), .hint = hint.empty() ? "try 'help'" : hint});
}

std::string program_size(const cbpf::Program& program) {
  return fmt::format("{} instruction{}", program.size(), program.size() == 1 ? "" : "s");
}

}  // namespace

Reply say(std::string text) { return {std::move(text)}; }
Reply refuse(const Diagnostic& diagnostic, std::string_view text) {
  return {.text = render(diagnostic, text), .failed = true, .error = diagnostic};
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text = trim(text.substr(end));
  return word;
}

Reply Console::execute(std::string_view line) {
  std::string_view arguments = trim(line);
  if (arguments.empty() || arguments.front() == '#') return {};
  const std::string_view word = take_word(arguments);
  const Command* command = find_command(word, style_);
  if (command == nullptr) return unknown(word);
  const bool own = style_ == Style::kOwn;
  const auto missing = [&](std::string what, std::string hint) -> Reply {
    if (!own) return {what + "\n", true};
    return refuse({.message = std::move(what), .hint = std::move(hint)});
  };
  if (command->needs_program && !session_.has_program())
    return missing("no bpf program loaded!", "load bpf ..., or load expression ...");
  if (command->needs_packets && !session_.has_packets()) return missing("no pcap file loaded!", "load pcap FILE");
  if (own && command->completes == Argument::kNone && command->arguments.empty() && !arguments.empty())
    return refuse({.message = fmt::format("'{}' takes no arguments", command->name)});
  Reply reply = command->run(*this, arguments);
  reply.command = command->name;
  return reply;
}

// Like bpf_dbg: a program that is refused leaves none, and the packet stays where the session is.
Reply Console::load_program_as_bpf_dbg(const std::string& text) {
  const std::uint32_t packet = session_.has_packets() ? session_.packet_number() : 0;
  Result<cbpf::Program> program = cbpf::read(text);
  Status status = program ? session_.set_program(std::move(*program)) : Status(fail(program.error()));
  Reply reply;
  if (!status) reply = {bpf_dbg::load_message(text), true};
  else if (hooks_.loaded)
    if (status = hooks_.loaded(session_.checked()); !status) reply.text = status.error().message + "\n";
  if (!status) session_.clear_program();
  if (packet != 0) session_.select(packet);
  expression_.clear();
  return reply;
}

Reply Console::load_program(const std::string& text) {
  if (style_ == Style::kBpfDbg) return load_program_as_bpf_dbg(text);
  Result<cbpf::Program> program = cbpf::read(text);
  if (!program) return refuse(program.error(), text);
  if (const Status status = session_.set_program(std::move(*program)); !status) return refuse(status.error());
  expression_.clear();
  Reply reply{program_size(session_.program()) + "\n"};
  if (hooks_.loaded)
    if (const Status status = hooks_.loaded(session_.checked()); !status) reply.text += render(status.error());
  return reply;
}

Reply Console::load_expression(const std::string& text) {
  if (!hooks_.compile) return refuse({.message = "expressions cannot be compiled here"});
  const packet::LinkType link_type =
      session_.has_packets() ? session_.packets().info(0).link_type : packet::LinkType::kEthernet;
  Result<CompiledExpression> compiled = hooks_.compile(text, link_type);
  if (!compiled) return refuse(compiled.error(), text);
  if (const Status status = session_.set_program(std::move(compiled->program)); !status) return refuse(status.error());
  expression_ = text;
  std::string reply;
  for (const Diagnostic& warning : compiled->warnings) reply += render(warning, text);
  return say(reply + program_size(session_.program()) + "\n");
}

Reply Console::load_capture(const std::string& path) {
  if (!hooks_.open_capture) return refuse({.message = "captures cannot be read here"});
  Result<Capture> capture = hooks_.open_capture(path);
  if (!capture && style_ == Style::kBpfDbg) {
    session_.clear_packets();
    return {capture.error().message + "\n", true};
  }
  if (!capture) return refuse(capture.error());
  Reply reply;
  for (const Diagnostic& warning : capture->warnings) reply.text += render(warning);
  if (capture->packets->empty()) {
    reply.text += render({.message = "'" + path + "' holds no packets"});
    reply.failed = true;
    return reply;
  }
  session_.set_packets(std::move(capture->packets));
  const PacketList& packets = session_.packets();
  std::set<packet::LinkType> types;
  for (std::size_t i = 0; i < packets.size(); ++i) types.insert(packets.info(i).link_type);
  std::string names;
  for (const packet::LinkType type : types) names += (names.empty() ? "" : ", ") + std::string(packet::name_of(type));
  if (style_ == Style::kOwn)
    reply.text += fmt::format("{} packet{}, {}\n", packets.size(), packets.size() == 1 ? "" : "s", names);
  if (types.size() > 1)
    reply.text += render({.severity = Severity::kWarning,
                          .message = "packets of several link types: a program is made for one of them"});
  if (!expression_.empty()) {
    Reply compiled = load_expression(expression_);
    if (compiled.failed) reply.text += compiled.text, reply.failed = true;
  }
  return reply;
}

namespace {

void add_matching(std::vector<std::string>& out, std::string_view word, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    if (name.substr(0, word.size()) == word) out.emplace_back(name);
}

void add_extensions(std::vector<std::string>& out, std::string_view word) {
  for (const cbpf::ExtensionInfo& extension : cbpf::extensions()) add_matching(out, word, {extension.text});
}

}  // namespace

Completion Console::complete(std::string_view before) const {
  Completion out;
  const std::size_t blank = before.find_last_of(" \t");
  const std::string_view word = blank == std::string_view::npos ? before : before.substr(blank + 1);
  std::string_view rest = before.substr(0, before.size() - word.size());
  const std::string_view first = take_word(rest);
  if (first.empty()) {
    for (const Command& command : commands()) add_matching(out.words, word, {command.name});
    return out;
  }
  const Command* command = find_command(first, style_);
  if (command == nullptr) return out;
  switch (command->completes) {
    case Argument::kNone: break;
    case Argument::kLoad:
      if (rest.empty()) add_matching(out.words, word, {"bpf", "pcap", "program", "expression"});
      else out.files = rest.front() == 'p';
      break;
    case Argument::kBreakpoint:
      add_matching(out.words, word, {"reset", "if", "pass", "fail"});
      if (!rest.empty()) add_extensions(out.words, word);
      break;
    case Argument::kExpression: add_extensions(out.words, word); break;
    case Argument::kExtension:
      if (!rest.empty()) break;
      add_extensions(out.words, word);
      add_matching(out.words, word, {"guess"});
      break;
    case Argument::kCommand:
      for (const Command& other : commands()) add_matching(out.words, word, {other.name});
      break;
  }
  return out;
}

std::string Console::help_text(std::string_view name) {
  std::string out;
  for (const Command& command : commands()) {
    if (!name.empty() && command.name != name) continue;
    out += fmt::format("{:<34} {}\n", fmt::format("{} {}", command.name, command.arguments), command.help);
  }
  return out;
}

}  // namespace weir::debug
