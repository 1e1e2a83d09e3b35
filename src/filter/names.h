// Built-in names and the text forms of addresses.
//
// Sources: IEEE EtherType and LLC registries; the forms of addresses are those of pcap-filter(7).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <weir/filter/resolver.h>

namespace weir::filter {

// EtherTypes.
inline constexpr std::uint32_t kEtherIp = 0x0800;
inline constexpr std::uint32_t kEtherArp = 0x0806;
inline constexpr std::uint32_t kEtherRarp = 0x8035;
inline constexpr std::uint32_t kEtherIp6 = 0x86dd;
inline constexpr std::uint32_t kEtherAtalk = 0x809b;
inline constexpr std::uint32_t kEtherAarp = 0x80f3;
inline constexpr std::uint32_t kEtherDecnet = 0x6003;
inline constexpr std::uint32_t kEtherMopdl = 0x6001;
inline constexpr std::uint32_t kEtherMoprc = 0x6002;
inline constexpr std::uint32_t kEtherLat = 0x6004;
inline constexpr std::uint32_t kEtherSca = 0x6007;
inline constexpr std::uint32_t kEtherIpx = 0x8137;
inline constexpr std::uint32_t kEtherNs = 0x0600;
inline constexpr std::uint32_t kEther8021q = 0x8100;
inline constexpr std::uint32_t kEther8021ad = 0x88a8;
inline constexpr std::uint32_t kEther8021qinq = 0x9100;
inline constexpr std::uint32_t kEtherMpls = 0x8847;
inline constexpr std::uint32_t kEtherPppoeDiscovery = 0x8863;
inline constexpr std::uint32_t kEtherPppoeSession = 0x8864;
inline constexpr std::uint32_t kEtherTransparentBridging = 0x6558;
// A type field up to this is an 802.3 length.
inline constexpr std::uint32_t kLongestEtherLength = 1500;

// LLC service access points.
inline constexpr std::uint32_t kSapIp = 0x06;
inline constexpr std::uint32_t kSapSpanningTree = 0x42;
inline constexpr std::uint32_t kSapSnap = 0xaa;
inline constexpr std::uint32_t kSapIpx = 0xe0;
inline constexpr std::uint32_t kSapNetbeui = 0xf0;
inline constexpr std::uint32_t kSapIso = 0xfe;

// ISO network-layer protocol identifiers.
inline constexpr std::uint32_t kIsoClnp = 0x81;
inline constexpr std::uint32_t kIsoEsis = 0x82;
inline constexpr std::uint32_t kIsoIsis = 0x83;

// IP protocols.
inline constexpr std::uint32_t kProtocolIcmp = 1;
inline constexpr std::uint32_t kProtocolIgmp = 2;
inline constexpr std::uint32_t kProtocolTcp = 6;
inline constexpr std::uint32_t kProtocolIgrp = 9;
inline constexpr std::uint32_t kProtocolUdp = 17;
inline constexpr std::uint32_t kProtocolIp6Fragment = 44;
inline constexpr std::uint32_t kProtocolEsp = 50;
inline constexpr std::uint32_t kProtocolAh = 51;
inline constexpr std::uint32_t kProtocolIcmp6 = 58;
inline constexpr std::uint32_t kProtocolPim = 103;
inline constexpr std::uint32_t kProtocolVrrp = 112;
inline constexpr std::uint32_t kProtocolSctp = 132;

std::optional<std::uint32_t> ether_type_named(std::string_view name);
std::optional<std::uint32_t> llc_sap_named(std::string_view name);
std::optional<std::uint32_t> iso_protocol_named(std::string_view name);

// An IPv4 address with one to four decimal octets, and how many bits they are: 10.1 is {0x0a01, 16}.
struct PartialIpv4 {
  std::uint32_t value = 0;
  int bits = 0;
};
std::optional<PartialIpv4> parse_ipv4(std::string_view text);
// area.node: 6 and 10 bits.
std::optional<std::uint32_t> parse_decnet(std::string_view text);
std::optional<Mac48> parse_mac48(std::string_view text);
std::optional<std::uint8_t> parse_mac8(std::string_view text);  // $2a
std::optional<Ipv6Address> parse_ipv6(std::string_view text);
// Decimal, 0 octal or 0x hexadecimal, 32 bits.
std::optional<std::uint32_t> parse_number(std::string_view text);

}  // namespace weir::filter
