// An expression on the command line: its words or its file, and the options that say what it means. Every verb that
// takes an expression has the same ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <weir/base/error.h>
#include <weir/filter/compile.h>

namespace weir::tool {

// What an expression means, whatever it is compiled for.
struct LanguageFlags {
  std::string netmask;
  std::string vlan = "shift";
  std::string ip6 = "direct";
  std::uint16_t geneve_port = 6081;
  std::uint16_t vxlan_port = 4789;
  bool strict = false;
  bool no_dns = false;
};
void add_language_flags(CLI::App& verb, LanguageFlags& flags);
Status apply(const LanguageFlags& flags, filter::CompileOptions& options);

// The link type and the place where it will run.
struct TargetFlags {
  std::string link_type = "EN10MB";
  std::string platform = "portable";
  bool live = false;  // for packets of an interface of this machine, not of a file
  std::uint32_t snap_length = 262144;
};
void add_platform(CLI::App& verb, std::string& platform);
void add_target_flags(CLI::App& verb, TargetFlags& flags);
Status apply(const TargetFlags& flags, filter::CompileOptions& options);

// The words joined by blanks, or what the file holds. Both is an error. A single word @FILE is what that file holds.
Result<std::string> expression_text(const std::vector<std::string>& words, const std::string& file);
// An argument that is a whole expression: itself, or for @FILE what that file holds.
Result<std::string> expression_text(const std::string& argument);

// The error of an expression, with the name of the file that it was read from: -F FILE, or @FILE.
Error of_expression(Error error, const std::string& file, const std::string& argument);
Error of_expression(Error error, const std::string& file, const std::vector<std::string>& words);

}  // namespace weir::tool
