// Cases from real systems, kept outside of the repository: WEIR_SHARED names their folder (default: ../shared beside
// the sources). Tests that need them skip, and say so, where they are absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace weir::tests {

inline std::filesystem::path shared_folder() {
  if (const char* folder = std::getenv("WEIR_SHARED"); folder != nullptr && *folder != '\0') return folder;
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / ".." / "shared";
}

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Rows of a tab-separated file without its header; \n, \t and \\ in fields are unescaped.
inline std::vector<std::vector<std::string>> read_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> row(1);
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '\t') {
        row.emplace_back();
      } else if (line[i] == '\\' && i + 1 < line.size() && std::string("nt\\").find(line[i + 1]) != std::string::npos) {
        ++i;
        row.back() += line[i] == 'n' ? '\n' : line[i] == 't' ? '\t' : '\\';
      } else {
        row.back() += line[i];
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// The same, each row as a map from the names in the header to fields.
using Row = std::map<std::string, std::string>;

inline std::vector<Row> read_table(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> columns;
  std::string line;
  std::getline(file, line);
  std::istringstream header(line);
  for (std::string column; std::getline(header, column, '\t');) columns.push_back(column);
  std::vector<Row> table;
  for (const std::vector<std::string>& fields : read_rows(path)) {
    Row row;
    for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i]] = i < fields.size() ? fields[i] : "";
    table.push_back(std::move(row));
  }
  return table;
}

}  // namespace weir::tests

// Skips the running test when a shared file is absent.
#define WEIR_REQUIRE_SHARED(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no shared cases at " << (path)
