// How long the programs of libpcap's own test suite are, beside what libpcap's optimiser made of them.
//
// Two kinds of rows are left out, since their programs do not mean the same: `protochain`, a loop there and unrolled
// here; and two tests whose load libpcap drops, and with it the rejection of empty packets (one instruction there, two
// here).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <arpa/inet.h>

#include <weir/filter/compile.h>

#include "libpcap_names.h"
#include "shared_data.h"

namespace weir::tests {

struct Length {
  std::string what;
  long ours = 0;  // 0: not compiled
  long theirs = 0;
};

inline filter::CompileOptions options_of(const Row& row, filter::Resolver& resolver) {
  filter::CompileOptions options;
  options.bind.link_type = packet::link_type_named(row.at("dlt")).value();
  options.bind.resolver = &resolver;
  if (!row.at("snaplen").empty()) options.snap_length = static_cast<std::uint32_t>(std::stoul(row.at("snaplen")));
  if (!row.at("netmask").empty()) options.bind.netmask = ntohl(inet_addr(row.at("netmask").c_str()));
  if (!row.at("linuxext").empty()) options.bind.platform = filter::Platform::kLinux;
  options.bind.capture_file = !row.at("offline_filter").empty();
  return options;
}

// Those longest in comparison first.
inline std::vector<Length> accept_lengths(const std::filesystem::path& table) {
  std::vector<Length> lengths;
  LibpcapTestNames resolver;
  for (const Row& row : read_table(table)) {
    if (row.at("optimise") != "1") continue;
    if (row.at("skip_reason").find("is not") == 0 || row.at("skip_reason") == "little-endian") continue;
    const std::string& expression = row.at("expr");
    if (expression.find("protochain") != std::string::npos || expression.find("& 0x00000000 == 0") != std::string::npos)
      continue;
    const auto compiled = filter::compile(expression, options_of(row, resolver));
    lengths.push_back({row.at("dlt") + " '" + expression + "'",
                       compiled ? static_cast<long>(compiled->program.program().size()) : 0,
                       std::stol(row.at("n_insns"))});
  }
  std::stable_sort(lengths.begin(), lengths.end(),
                   [](const Length& a, const Length& b) { return a.ours * b.theirs > b.ours * a.theirs; });
  return lengths;
}

struct Totals {
  long ours = 0, theirs = 0;
  std::size_t longer = 0;
  double percent_fewer() const { return 100.0 - 100.0 * static_cast<double>(ours) / static_cast<double>(theirs); }
};

inline Totals totals_of(const std::vector<Length>& lengths) {
  Totals out;
  for (const Length& one : lengths) {
    out.ours += one.ours;
    out.theirs += one.theirs;
    if (one.ours > one.theirs) ++out.longer;
  }
  return out;
}

}  // namespace weir::tests
