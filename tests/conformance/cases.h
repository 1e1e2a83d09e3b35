// The cases of the public bpf_conformance suite, as its files have them.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "conformance/helpers.h"
#include "shared_data.h"

namespace weir::tests {

struct ConformanceCase {
  std::string name{}, assembly{}, memory{}, result{}, raw{};
};

inline ConformanceCase read_conformance_case(const std::filesystem::path& path) {
  std::ifstream file(path);
  ConformanceCase out;
  out.name = path.filename().string();
  std::string* section = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.substr(0, 3) == "-- ") {
      section = line == "-- asm"      ? &out.assembly
                : line == "-- mem"    ? &out.memory
                : line == "-- result" ? &out.result
                : line == "-- raw"    ? &out.raw
                                      : nullptr;
      continue;
    }
    if (section == &out.memory || section == &out.result) line = line.substr(0, line.find('#'));
    if (section != nullptr) *section += line + "\n";
  }
  return out;
}

inline std::filesystem::path conformance_folder() { return shared_folder() / "data" / "bpf_conformance"; }

inline std::vector<ConformanceCase> conformance_cases() {
  std::vector<ConformanceCase> out;
  for (const auto& entry : std::filesystem::directory_iterator(conformance_folder()))
    if (entry.path().extension() == ".data") out.push_back(read_conformance_case(entry.path()));
  return out;
}

}  // namespace weir::tests
