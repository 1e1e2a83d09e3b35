// Tree to formula: resolves names and gives every test its meaning for one link type.
//
// Meaning: that of libpcap's unoptimised code, test by test in the same order, so that a truncated packet is rejected
// by the same load. Thread-safe as far as the resolver is.
#pragma once

#include <cstdint>
#include <optional>

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

struct BindOptions {
  packet::LinkType link_type = packet::LinkType::kEthernet;
  Platform platform = Platform::kPortable;
  std::optional<std::uint32_t> netmask{};  // of the capturing interface, for `ip broadcast`; host byte order
  bool capture_file = true;                // address families of any system in either byte order (NULL, ENC,
                                           // PFLOG headers); false: only what Linux on this host writes
  bool allow_no_match = false;             // true: an expression that no packet of the link type can match is
                                           // bound (to false), as `tcpdump -O` has it; false: it is refused
  Resolver* resolver = nullptr;            // null: system_resolver()
};

struct BindResult {
  Bound bound;
  Warnings warnings;
};

Result<BindResult> bind(const Ast& ast, const BindOptions& options = {});

}  // namespace weir::filter
