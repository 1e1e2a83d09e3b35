// Tree to formula: resolves names and gives every test its meaning for one link type.
//
// Meaning: that of libpcap's unoptimised code, test by test in the same order, so that a truncated packet is rejected
// by the same load. Thread-safe as far as the resolver is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <weir/base/error.h>
#include <weir/filter/ast.h>
#include <weir/filter/formula.h>
#include <weir/filter/resolver.h>
#include <weir/packet/link_type.h>

namespace weir::filter {

// Where the program will run: what it may load.
enum class Platform : std::uint8_t {
  kPortable,  // packet bytes only: a capture file
  kLinux,     // also what Linux knows beside the packet (extension loads), as `tcpdump -i` gets
};

// How a tag that `vlan` names changes what comes after it.
enum class VlanMode : std::uint8_t {
  kShift,  // libpcap's way: every test to the right looks behind the tag, whatever stands between
  kAuto,   // every test looks behind up to two tags if they are there, and `vlan` only asks for one: nothing shifts
};

// Where `port`, tcp[..] and udp[..] look for the header of a transport over IPv6.
enum class Ip6Headers : std::uint8_t {
  kDirect,  // libpcap's way: directly behind the IPv6 header, for ports alone; tcp[..] and udp[..] are IPv4's
  kWalk,    // behind up to eight extension headers, for tcp[..], udp[..] and sctp[..] too; not in later fragments
};

struct BindOptions {
  packet::LinkType link_type = packet::LinkType::kEthernet;
  Platform platform = Platform::kPortable;
  std::optional<std::uint32_t> netmask{};  // of the capturing interface, for `ip broadcast`; host byte order
  bool capture_file = true;                // address families of any system in either byte order (NULL, ENC,
                                           // PFLOG headers); false: only what Linux on this host writes
  bool allow_no_match = false;             // true: an expression that no packet of the link type can match is
                                           // bound (to false), as `tcpdump -O` has it; false: it is refused
  Resolver* resolver = nullptr;            // null: system_resolver()
  bool warn = false;                       // look for tests that contradict each other

  // Beyond libpcap's language.
  VlanMode vlan = VlanMode::kShift;
  Ip6Headers ip6 = Ip6Headers::kDirect;
  std::uint16_t geneve_port = 6081;  // RFC 8926
  std::uint16_t vxlan_port = 4789;   // RFC 7348
  // Gives the text of the file that `host @FILE` names; null: files of the system, up to 64 MiB.
  std::function<Result<std::string>(const std::string& path)> read_file{};
};

struct BindResult {
  Bound bound;
  Warnings warnings;
};

Result<BindResult> bind(const Ast& ast, const BindOptions& options = {});

}  // namespace weir::filter
