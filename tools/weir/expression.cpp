// Options of expressions. Exports add_language_flags, add_target_flags, apply and expression_text.
#include "expression.h"

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/base/suggest.h>

#include "verbs.h"

namespace weir::tool {

void add_language_flags(CLI::App& verb, LanguageFlags& flags) {
  verb.add_option("--netmask", flags.netmask, "mask of the capturing network, for 'ip broadcast'");
  verb.add_option("--vlan", flags.vlan,
                  "shift: tests after 'vlan' look behind the tag; auto: all tests look behind tags")
      ->check(CLI::IsMember({"shift", "auto"}))
      ->capture_default_str();
  verb.add_option("--ip6", flags.ip6,
                  "direct, or walk: find ports behind IPv6 extension headers, tcp[..] over IPv6 too")
      ->check(CLI::IsMember({"direct", "walk"}))
      ->capture_default_str();
  const CLI::Range port(0, 65535);
  verb.add_option("--geneve-port", flags.geneve_port, "UDP port of Geneve")->check(port)->capture_default_str();
  verb.add_option("--vxlan-port", flags.vxlan_port, "UDP port of VXLAN")->check(port)->capture_default_str();
  verb.add_flag("--strict", flags.strict, "refuse what libpcap's language does not have");
  verb.add_flag("--no-dns", flags.no_dns, "resolve host names from /etc/hosts alone");
}

Status apply(const LanguageFlags& flags, filter::CompileOptions& options) {
  WEIR_TRY(options.bind.netmask, parse_netmask(flags.netmask));
  if (flags.strict && (flags.vlan != "shift" || flags.ip6 != "direct"))
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = "--strict excludes --vlan=auto and --ip6=walk",
                      .hint = "libpcap's language has neither"});
  options.bind.vlan = flags.vlan == "auto" ? filter::VlanMode::kAuto : filter::VlanMode::kShift;
  options.bind.ip6 = flags.ip6 == "walk" ? filter::Ip6Headers::kWalk : filter::Ip6Headers::kDirect;
  options.bind.geneve_port = flags.geneve_port;
  options.bind.vxlan_port = flags.vxlan_port;
  options.bind.resolver = &filter::system_resolver({.allow_dns = !flags.no_dns});
  options.bind.warn = true;
  options.parse.strict = flags.strict;
  return {};
}

void add_platform(CLI::App& verb, std::string& platform) {
  verb.add_option("--platform", platform, "portable, or linux: may use what Linux knows beside the packet")
      ->check(CLI::IsMember({"portable", "linux"}))
      ->capture_default_str();
}

namespace {

std::string link_type_table() {
  std::string out = fmt::format("{:<26}{:>6}  {}", "name", "number", "packets");
  for (const packet::LinkTypeInfo& row : packet::link_types())
    out += fmt::format("\n{:<26}{:>6}  {}", row.name, row.dlt, row.description);
  return out;
}

}  // namespace

void add_target_flags(CLI::App& verb, TargetFlags& flags) {
  verb.add_option("-y,--link-type", flags.link_type,
                  "link type of the packets, by its DLT name or number; 'list' prints all")
      ->capture_default_str()
      ->check([](const std::string& name) -> std::string {
        // Printed instead of running the verb, as the version is.
        if (name == "list") throw CLI::CallForVersion(link_type_table(), CLI::ExitCodes::Success);
        return "";
      });
  verb.add_option("-s,--snap-length", flags.snap_length, "bytes kept of a packet that matches")
      ->check(CLI::Range(1u, 0xffffffffu))
      ->capture_default_str();
  add_platform(verb, flags.platform);
  verb.add_flag("--live", flags.live,
                "for packets of an interface of this machine: its byte order alone (NULL, PFLOG, ...)");
}

Status apply(const TargetFlags& flags, filter::CompileOptions& options) {
  std::optional<packet::LinkType> link_type = packet::link_type_named(flags.link_type);
  for (const packet::LinkTypeInfo& row : packet::link_types())
    if (!link_type && std::to_string(row.dlt) == flags.link_type) link_type = row.type;
  if (!link_type) {
    std::vector<std::string_view> names;
    for (const packet::LinkTypeInfo& row : packet::link_types()) names.push_back(row.name);
    std::string hint = did_you_mean(flags.link_type, names);
    if (hint.empty()) hint = "EN10MB, RAW, LINUX_SLL2, ...: '-y list' prints all";
    return fail(Error{
        .code = ErrorCode::kUsage, .message = "unknown link type '" + flags.link_type + "'", .hint = std::move(hint)});
  }
  options.bind.link_type = *link_type;
  options.bind.capture_file = !flags.live;
  options.bind.platform = flags.platform == "linux" ? filter::Platform::kLinux : filter::Platform::kPortable;
  options.snap_length = flags.snap_length;
  return {};
}

namespace {

constexpr std::size_t kLongestExpression = 64u << 20;

// The FILE of @FILE; a blank ends no name of a file here, for '@a or @b' is an expression.
std::string named_file(const std::string& argument) {
  const bool names_file = argument.size() > 1 && argument[0] == '@' && argument.find(' ') == std::string::npos;
  return names_file ? argument.substr(1) : "";
}

Result<std::string> read_expression(const std::string& file) {
  WEIR_TRY(std::string text, read_whole_file(file, kLongestExpression));
  if (text.starts_with("\x7f"
                       "ELF"))
    return fail(Error{.message = "this is an ELF object, whose programs are extended",
                      .source = file == "-" ? "standard input" : file,
                      .hint = "weir disasm, verify and run take it"});
  return text;
}

}  // namespace

Result<std::string> expression_text(const std::vector<std::string>& words, const std::string& file) {
  std::string text;
  for (const std::string& word : words) text += text.empty() ? word : " " + word;
  if (file.empty()) return words.size() == 1 ? expression_text(text) : text;
  if (!words.empty())
    return fail(Error{.code = ErrorCode::kUsage, .message = "give an expression or a file that holds one, not both"});
  return read_expression(file);
}

Result<std::string> expression_text(const std::string& argument) {
  const std::string file = named_file(argument);
  return file.empty() ? argument : read_expression(file);
}

Error of_expression(Error error, const std::string& file, const std::string& argument) {
  const std::string name = file.empty() ? named_file(argument) : file;
  if (error.source.empty() && !name.empty()) error.source = name == "-" ? "standard input" : name;
  return error;
}

Error of_expression(Error error, const std::string& file, const std::vector<std::string>& words) {
  return of_expression(std::move(error), file, words.size() == 1 ? words.front() : "");
}

}  // namespace weir::tool
