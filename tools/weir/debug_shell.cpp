// Lines in, replies out; libedit on terminals. Exports run_shell, shell_hooks.
//
// ^C gives the line up, as in other shells: the terminal makes no signal of it while a line is edited.
#include "debug_shell.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

#include <weir/base/file.h>
#include <weir/base/render.h>
#include <weir/capture/source.h>
#include <weir/filter/compile.h>

#include "libedit.h"

namespace weir::tool {
namespace {

constexpr const char* kPrompt = "> ";

Status write_text(const ShellOptions& options, std::string_view text) {
  return write_all(options.output, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()},
                   options.output_name);
}

// Names of files that begin with `word`; folders end in '/'.
std::vector<std::string> files_like(const std::string& word) {
  const std::size_t slash = word.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : word.substr(0, slash + 1);
  const std::string begin = word.substr(folder.size());
  std::vector<std::string> out;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder.empty() ? "." : folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.compare(0, begin.size(), begin) != 0 || (begin.empty() && name.front() == '.')) continue;
    std::error_code ignored;
    out.push_back(folder + name + (entry->is_directory(ignored) ? "/" : ""));
  }
  return out;
}

std::string common_start(const std::vector<std::string>& words) {
  std::string common = words.front();
  for (const std::string& word : words) {
    const auto differs = std::mismatch(common.begin(), common.end(), word.begin(), word.end()).first;
    common.erase(differs, common.end());
  }
  return common;
}

class Editor {
 public:
  Editor(const Libedit& lib, const Dialogue& console, const ShellOptions& options)
      : lib_(lib), console_(console), options_(options), history_(lib_.history_init()) {
    // A copy, so that libedit's stream and the shell's descriptor are one terminal.
    output_ = ::fdopen(::dup(options.output), "w");
    edit_ = lib_.el_init(options.name.c_str(), options.input, output_, stderr);
    lib_.history(history_, &event_, H_SETSIZE, 1000);
    lib_.history(history_, &event_, H_SETUNIQUE, 1);
    if (!options.history.empty()) read_history();
    lib_.el_set(edit_, EL_CLIENTDATA, this);
    lib_.el_set(edit_, EL_PROMPT, &prompt);
    lib_.el_set(edit_, EL_EDITOR, "emacs");
    lib_.el_set(edit_, EL_SIGNAL, 1);
    lib_.el_set(edit_, EL_HIST, lib_.history, history_);
    lib_.el_set(edit_, EL_ADDFN, "weir-complete", "completes commands and files", &complete);
    lib_.el_set(edit_, EL_ADDFN, "weir-give-up", "gives the line up", &give_up);
    lib_.el_set(edit_, EL_BIND, "^I", "weir-complete", nullptr);
    lib_.el_set(edit_, EL_BIND, "^C", "weir-give-up", nullptr);
    lib_.el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    lib_.el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
    lib_.el_source(edit_, nullptr);
    read_settings();
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;
  ~Editor() {
    if (!options_.history.empty()) write_history();
    lib_.el_end(edit_);
    lib_.history_end(history_);
    std::fclose(output_);
  }

  // False at the end of the input.
  bool read(std::string& line) {
    int length = 0;
    const char* text = lib_.el_gets(edit_, &length);
    if (text == nullptr || length <= 0) return false;
    line.assign(text, static_cast<std::size_t>(length));
    while (!line.empty() && line.back() == '\n') line.pop_back();
    return true;
  }

  void remember(const std::string& line) { lib_.history(history_, &event_, H_ENTER, line.c_str()); }

 private:
  static char* prompt(EditLine*) {
    static char text[] = "> ";
    return text;
  }
  static Editor& self(EditLine* edit) {
    void* data = nullptr;
    Libedit::find()->el_get(edit, EL_CLIENTDATA, &data);
    return *static_cast<Editor*>(data);
  }

  // One command a line, as readline keeps them; a file that libedit itself has written is read too.
  void read_history() {
    std::ifstream file(options_.history);
    std::string line;
    if (!std::getline(file, line)) return;
    if (line == "_HiStOrY_V2_") {
      lib_.history(history_, &event_, H_LOAD, options_.history.c_str());
      return;
    }
    do {
      if (!line.empty()) remember(line);
    } while (std::getline(file, line));
  }

  // A history that cannot be written is no reason to complain, but the old one stays whole.
  void write_history() {
    std::string text;
    for (int left = lib_.history(history_, &event_, H_LAST); left >= 0;
         left = lib_.history(history_, &event_, H_PREV)) {
      const std::string_view line = event_.str;
      text += std::string(line.substr(0, line.find('\n'))) + "\n";
    }
    const bool is_new = ::access(options_.history.c_str(), F_OK) != 0;
    Result<ReplacingFile> file = ReplacingFile::create(options_.history);
    if (!file || (is_new && ::fchmod(file->descriptor(), S_IRUSR | S_IWUSR) != 0)) return;
    const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    if (write_all(file->descriptor(), bytes, options_.history)) (void)file->commit();
  }

  // Of readline's settings, as bpf_dbg reads them, the one that libedit has too.
  void read_settings() {
    if (options_.settings.empty()) return;
    std::ifstream file(options_.settings);
    for (std::string line; std::getline(file, line);) {
      if (line.find("set editing-mode vi") == 0) lib_.el_set(edit_, EL_EDITOR, "vi");
      if (line.find("set editing-mode emacs") == 0) lib_.el_set(edit_, EL_EDITOR, "emacs");
    }
  }

  static unsigned char give_up(EditLine* edit, int) {
    const Libedit& lib = self(edit).lib_;
    std::fputs("^C\r\n", self(edit).output_);
    const LineInfo* line = lib.el_line(edit);
    lib.el_cursor(edit, static_cast<int>(line->lastchar - line->cursor));
    lib.el_deletestr(edit, static_cast<int>(line->lastchar - line->buffer));
    return CC_REDISPLAY;
  }

  static unsigned char complete(EditLine* edit, int) {
    Editor& editor = self(edit);
    const LineInfo* line = editor.lib_.el_line(edit);
    const std::string before(line->buffer, line->cursor);
    const std::size_t blank = before.find_last_of(" \t");
    const std::string word = blank == std::string::npos ? before : before.substr(blank + 1);
    const debug::Completion found = editor.console_.complete(before);
    std::vector<std::string> words = found.files ? files_like(word) : found.words;
    if (words.empty()) return CC_ERROR;
    std::sort(words.begin(), words.end());
    std::string more = common_start(words).substr(word.size());
    if (words.size() == 1 && words.front().back() != '/') more += ' ';
    if (!more.empty()) return editor.lib_.el_insertstr(edit, more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    std::fputs("\r\n", editor.output_);
    for (const std::string& each : words) std::fprintf(editor.output_, "%s\r\n", each.c_str());
    return CC_REDISPLAY;
  }

  const Libedit& lib_;
  const Dialogue& console_;
  const ShellOptions& options_;
  ::History* history_;
  ::HistEvent event_{};
  ::EditLine* edit_ = nullptr;
  std::FILE* output_ = nullptr;
};

bool read_plain(std::FILE* input, std::string& line) {
  line.clear();
  int c = 0;
  while ((c = std::getc(input)) != EOF && c != '\n') line.push_back(static_cast<char>(c));
  return c != EOF || !line.empty();
}

// A command as it is shown: on a terminal without what that would obey.
std::string echo(std::string line, int output) {
  if (::isatty(output) != 1) return line;
  std::replace(line.begin(), line.end(), '\t', ' ');
  return printable(line);
}

Result<debug::Capture> open_capture(const std::string& path) {
  WEIR_TRY(const std::unique_ptr<capture::Source> source, capture::open(path));
  auto packets = std::make_shared<debug::PacketList>();
  debug::Capture out{packets};
  capture::RecordBatch batch;
  for (;;) {
    const Result<capture::Read> read = source->read(batch);
    if (!read) {
      // What came before the damage can be debugged; a capture that is none cannot.
      if (packets->empty()) return fail(read.error());
      out.warnings.push_back(read.error());
      out.warnings.back().severity = Severity::kWarning;
      break;
    }
    if (*read == capture::Read::kEnd) break;
    for (std::size_t i = 0; i < batch.packets.size(); ++i) {
      const capture::Record& record = batch.records[i];
      const capture::Interface& interface = source->interfaces()[record.interface];
      packets->add(batch.packets[i], {interface.link_type, record.interface});
    }
  }
  for (const Diagnostic& warning : source->warnings()) out.warnings.push_back(warning);
  return out;
}

}  // namespace

debug::Hooks shell_hooks(const filter::CompileOptions& options) {
  const auto compile = [options](const std::string& expression,
                                 packet::LinkType link_type) -> Result<debug::CompiledExpression> {
    filter::CompileOptions here = options;
    here.bind.link_type = link_type;
    WEIR_TRY(filter::Compiled compiled, filter::compile(expression, here));
    return debug::CompiledExpression{compiled.program.program(), std::move(compiled.warnings)};
  };
  return {.open_capture = open_capture,
          .read_file = [](const std::string& path) { return read_whole_file(path, 64u << 20); },
          .compile = compile};
}

std::string in_home(const std::string& name) {
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? "" : std::string(home) + "/" + name;
}

ShellResult run_shell(const Dialogue& console, const ShellOptions& options) {
  ShellResult result;
  const bool on_terminal =
      !options.replies_only && ::isatty(::fileno(options.input)) == 1 && ::isatty(options.output) == 1;
  const Libedit* const lib = on_terminal ? Libedit::find() : nullptr;
  const bool edited = lib != nullptr;
  std::unique_ptr<Editor> editor;
  if (edited) editor = std::make_unique<Editor>(*lib, console, options);
  for (std::string line; edited ? editor->read(line) : read_plain(options.input, line);) {
    const debug::Reply reply = console.execute(line);
    result.any_failed = result.any_failed || reply.failed;
    if (edited && !reply.failed && line.find_first_not_of(" \t") != std::string::npos) editor->remember(line);
    result.written = write_text(
        options, (edited || options.replies_only ? "" : kPrompt + echo(line, options.output) + "\n") + reply.text);
    if (reply.quit || !result.written) return result;
  }
  if (edited) result.written = write_text(options, "\n");
  return result;
}

}  // namespace weir::tool
