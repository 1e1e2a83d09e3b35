// Mistakes on the command line. Exports report_usage.
//
// CLI11 says what is wrong in words of its own; an unknown verb or option, the most frequent mistakes, get a suggestion
// here, and all messages the form of every other message of the program.
#include "usage.h"

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

#include "terminal.h"

namespace weir::tool {
namespace {

// The verb that the command line names, or the program itself.
const CLI::App& chosen(const CLI::App& app) {
  const std::vector<const CLI::App*> verbs = app.get_subcommands([](const CLI::App* verb) { return verb->parsed(); });
  return verbs.empty() ? app : chosen(*verbs.front());
}

std::string path_of(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : path_of(*app.get_parent()) + " " + app.get_name();
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  return names;
}

// What tcpdump's letters are here, as far as a verb has no such option.
struct Habit {
  std::string_view verbs;  // each between blanks
  char letter;
  const char* hint;
};
constexpr Habit kHabits[] = {
    {" weir compile ", 'd', "weir compile --to text (the default), c and decimal print as tcpdump's -d, -dd and -ddd"},
    {" filter trace verdict compare ", 'r', "captures are arguments, behind the expression or the program"},
    {" weir ", 'r', "weir filter EXPRESSION CAPTURE"},
    {" weir ", 'i', "weir capture -i INTERFACE EXPRESSION"},
    {" filter capture ", 'n', "not needed: addresses and ports are never turned into names"},
    {" filter ", 's', "packets are kept whole"},
    {" filter capture ", 'U', "not needed: packets are written as soon as there is nothing more to read"},
    {" capture ", 'C', "--rotate-size begins a new file before one gets larger"},
    {" capture ", 'G', "--rotate-time begins a new file after this time"},
    {" capture ", 'W', "--rotate-files keeps this many files"},
    {" weir filter capture ", 'v', "weir trace shows packets"},
    {" weir filter capture ", 'A', "weir trace shows packets"},
    {" weir filter capture ", 'X', "weir trace shows packets"},
};

std::string habit(std::string_view word, const std::string& verb) {
  constexpr std::size_t kMostLetters = 3;
  if (word.size() < 2 || word.size() > 1 + kMostLetters || word[1] == '-') return {};
  for (const Habit& row : kHabits)
    if (row.letter == word[1] && row.verbs.find(" " + verb + " ") != std::string_view::npos) return row.hint;
  return {};
}

// Of a single letter, every other letter is near.
std::string suggestion(std::string_view word, const std::vector<std::string>& names) {
  if (word.size() == 2 && word.front() == '-') return {};
  return did_you_mean(word, std::vector<std::string_view>(names.begin(), names.end()));
}

Error usage_error(std::string message, std::string hint) {
  return {.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)};
}

}  // namespace

int report_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) {
    std::ostringstream out;
    app.exit(error, out, out);
    return print(out.str());
  }
  const CLI::App& verb = chosen(app);
  const std::string help = fmt::format("'{} --help' lists what there is", path_of(verb));

  if (&verb == &app) {
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      const bool option = word.size() > 1 && word.front() == '-';
      std::string hint = option ? habit(word, app.get_name()) : "";
      if (hint.empty()) hint = suggestion(word, option ? option_names(app) : verb_names(app));
      return report(
          usage_error(fmt::format("unknown {} '{}'", option ? "option" : "command", word), hint.empty() ? help : hint));
    }
    return report(usage_error("a command is missing", help));
  }
  std::string message = error.what();
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    // "The following argument was not expected: WORD WORD": CLI11 keeps the words in no other place.
    const std::size_t colon = message.find(": ");
    std::string word = colon == std::string::npos ? message : message.substr(colon + 2);
    word = word.substr(0, word.find(' '));
    const bool option = word.size() > 1 && word.front() == '-';
    std::string hint = option ? habit(word, verb.get_name()) : "";
    if (hint.empty() && option) hint = suggestion(word.substr(0, word.find('=')), option_names(verb));
    return report(usage_error(option ? fmt::format("'{}' has no option '{}'", path_of(verb), word)
                                     : fmt::format("'{}' is one argument too many", word),
                              hint.empty() ? help : hint));
  }
  if (!message.empty() && message.back() == '.') message.pop_back();
  return report(usage_error(message, help));
}

}  // namespace weir::tool
