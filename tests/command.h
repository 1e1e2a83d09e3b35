// Runs the program under test (or another) as a user would, through the shell.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "shared_data.h"

namespace weir::tests {

// A folder that is gone when the test is over.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

struct CommandResult {
  int status = -1;  // exit status; 128 and the signal's number when a signal ended it
  std::string output;
  std::string errors;
};

// `command` is a line for /bin/sh.
inline CommandResult run_command(const std::string& command) {
  const TemporaryFolder folder;
  const int result =
      std::system(("( " + command + "\n) >'" + (folder / "output") + "' 2>'" + (folder / "errors") + "'").c_str());
  CommandResult out;
  out.status = WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
  out.output = slurp(folder / "output");
  out.errors = slurp(folder / "errors");
  return out;
}

// One word for the shell.
inline std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

inline bool have_program(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace weir::tests
