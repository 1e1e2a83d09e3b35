// A program built for AArch64 and run under an emulator: what it reads is gathered here, given to it at once through a
// file, and its answer read from another. Both lie in a folder of their own, which goes with the object.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace weir::tests {

class EmulatedRunner {
 public:
  EmulatedRunner(std::string emulator, std::string runner)
      : emulator_(std::move(emulator)), runner_(std::move(runner)), folder_(testing::TempDir() + "weir-a64-XXXXXX") {
    if (::mkdtemp(folder_.data()) == nullptr) ADD_FAILURE() << "no folder like " << folder_;
  }
  ~EmulatedRunner() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  EmulatedRunner(const EmulatedRunner&) = delete;
  EmulatedRunner& operator=(const EmulatedRunner&) = delete;

  void append(const void* bytes, std::size_t size) { input_.append(static_cast<const char*>(bytes), size); }
  void number(std::size_t value) {
    const auto word = static_cast<std::uint32_t>(value);
    append(&word, sizeof word);
  }

  // Runs it over all that was appended. An exit status other than 0 fails the test.
  std::ifstream run() const {
    std::ofstream(folder_ + "/in", std::ios::binary).write(input_.data(), static_cast<std::streamsize>(input_.size()));
    const std::string command = emulator_ + " " + runner_ + " <" + folder_ + "/in >" + folder_ + "/out";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return std::ifstream(folder_ + "/out", std::ios::binary);
  }

 private:
  std::string emulator_;
  std::string runner_;
  std::string folder_;
  std::string input_;
};

}  // namespace weir::tests
