// The table of layouts. Exports layout_of.
#include "filter/layout.h"

namespace weir::filter {
namespace {

using packet::LinkType;

struct Row {
  LinkType type;
  LinkFamily family;
  std::uint32_t link_header;
  std::uint32_t type_field;
  std::uint32_t payload;
  std::uint32_t network;
  std::uint32_t network_no_snap;
};

constexpr std::uint32_t kNo = kNotThere;

constexpr Row kRows[] = {
    // type, family, link header, type field, payload, network, network without SNAP
    {LinkType::kEthernet, LinkFamily::kEthernet, 0, 12, 14, 0, 3},
    {LinkType::kNetAnalyzer, LinkFamily::kEthernet, 4, 16, 18, 0, 3},
    {LinkType::kNetAnalyzerTransparent, LinkFamily::kEthernet, 12, 24, 26, 0, 3},
    {LinkType::kDsaTagBrcm, LinkFamily::kEthernet, 0, 16, 18, 0, 3},
    {LinkType::kDsaTagDsa, LinkFamily::kEthernet, 0, 16, 18, 0, 3},
    {LinkType::kArcnet, LinkFamily::kArcnet, 0, 2, 6, 0, 0},
    {LinkType::kArcnetLinux, LinkFamily::kArcnet, 0, 4, 8, 0, 0},
    {LinkType::kSlip, LinkFamily::kVersion, 0, kNo, 16, 0, 0},
    {LinkType::kSlipBsdos, LinkFamily::kVersion, 0, kNo, 24, 0, 0},
    {LinkType::kRaw, LinkFamily::kVersion, 0, kNo, 0, 0, 0},
    {LinkType::kIpv4, LinkFamily::kIpv4Only, 0, kNo, 0, 0, 0},
    {LinkType::kIpv6, LinkFamily::kIpv6Only, 0, kNo, 0, 0, 0},
    {LinkType::kNull, LinkFamily::kLoopback, 0, 0, 4, 0, 0},
    {LinkType::kLoop, LinkFamily::kLoopback, 0, 0, 4, 0, 0},
    {LinkType::kEnc, LinkFamily::kLoopback, 0, 0, 12, 0, 0},
    {LinkType::kPpp, LinkFamily::kPpp, 0, 2, 4, 0, 0},
    {LinkType::kPppPppd, LinkFamily::kPpp, 0, 2, 4, 0, 0},
    {LinkType::kPppSerial, LinkFamily::kPpp, 0, 2, 4, 0, 0},
    {LinkType::kPppEther, LinkFamily::kPpp, 0, 6, 8, 0, 0},
    {LinkType::kPppBsdos, LinkFamily::kPppBsdos, 0, 5, 24, 0, 0},
    {LinkType::kCiscoHdlc, LinkFamily::kCiscoHdlc, 0, 2, 4, 0, 0},
    {LinkType::kHdlc, LinkFamily::kCiscoHdlc, 0, 2, 4, 0, 0},
    {LinkType::kFddi, LinkFamily::kLlc, 0, 13, 13, 8, 3},
    {LinkType::kTokenRing, LinkFamily::kLlc, 0, 14, 14, 8, 3},
    {LinkType::kIpOverFc, LinkFamily::kLlc, 0, 16, 16, 8, 3},
    {LinkType::kAtmRfc1483, LinkFamily::kLlc, 0, 0, 0, 8, 3},
    {LinkType::kAtmClip, LinkFamily::kLlc, 0, 0, 0, 8, 3},
    {LinkType::kSunAtm, LinkFamily::kSunAtm, 0, 4, 4, 8, 3},
    {LinkType::kIeee80211, LinkFamily::kWlan, 0, 24, 0, 8, 3},
    {LinkType::kPrism, LinkFamily::kWlan, 0, 24, 0, 8, 3},
    {LinkType::kIeee80211RadioAvs, LinkFamily::kWlan, 0, 24, 0, 8, 3},
    {LinkType::kIeee80211Radio, LinkFamily::kWlan, 0, 24, 0, 8, 3},
    {LinkType::kPpi, LinkFamily::kWlan, 0, 24, 0, 8, 3},
    {LinkType::kLinuxSll, LinkFamily::kLinuxSll, 0, 14, 16, 0, 0},
    {LinkType::kLinuxSll2, LinkFamily::kEtherType, 0, 0, 20, 0, 0},
    {LinkType::kLocalTalk, LinkFamily::kLocalTalk, 0, kNo, 0, 0, 0},
    {LinkType::kFrameRelay, LinkFamily::kFrameRelay, 0, kNo, 0, 0, 0},
    {LinkType::kMfr, LinkFamily::kOpaque, 0, kNo, 0, 4, 0},
    {LinkType::kAppleIpOver1394, LinkFamily::kEtherType, 0, 16, 18, 0, 0},
    {LinkType::kSymantecFirewall, LinkFamily::kEtherType, 0, 6, 44, 0, 0},
    {LinkType::kPflog, LinkFamily::kPflog, 0, 0, 0, 0, 0},
    {LinkType::kPfsync, LinkFamily::kOpaque, 0, kNo, 4, 0, 0},
    {LinkType::kIpnet, LinkFamily::kIpnet, 0, 1, 24, 0, kNo},
    {LinkType::kJuniperMfr, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperMlfr, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperMlppp, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperPpp, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperChdlc, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperFrelay, LinkFamily::kJuniper, 0, 4, 4, 0, kNo},
    {LinkType::kJuniperAtm1, LinkFamily::kJuniper, 0, 4, 4, 0, 10},
    {LinkType::kJuniperAtm2, LinkFamily::kJuniper, 0, 8, 8, 0, 10},
    {LinkType::kJuniperPppoe, LinkFamily::kJuniper, 0, 16, 14, 18, 21},
    {LinkType::kJuniperEther, LinkFamily::kJuniper, 0, 16, 14, 18, 21},
    {LinkType::kJuniperPppoeAtm, LinkFamily::kJuniper, 0, 4, 6, 0, kNo},
    {LinkType::kJuniperGgsn, LinkFamily::kJuniper, 0, 6, 12, 0, kNo},
    {LinkType::kJuniperEs, LinkFamily::kJuniper, 0, 6, kNo, kNo, kNo},
    {LinkType::kJuniperMonitor, LinkFamily::kJuniper, 0, 12, 12, 0, kNo},
    {LinkType::kJuniperServices, LinkFamily::kJuniper, 0, 12, kNo, kNo, kNo},
    {LinkType::kJuniperVp, LinkFamily::kJuniper, 0, 18, kNo, kNo, kNo},
    {LinkType::kJuniperSt, LinkFamily::kJuniper, 0, 18, kNo, kNo, kNo},
    {LinkType::kJuniperIsm, LinkFamily::kJuniper, 0, 8, kNo, kNo, kNo},
    {LinkType::kJuniperVs, LinkFamily::kJuniper, 0, 8, kNo, kNo, kNo},
    {LinkType::kJuniperSrxE2e, LinkFamily::kJuniper, 0, 8, kNo, kNo, kNo},
    {LinkType::kJuniperFibrechannel, LinkFamily::kJuniper, 0, 8, kNo, kNo, kNo},
    {LinkType::kJuniperAtmCemic, LinkFamily::kJuniper, 0, 8, kNo, kNo, kNo},
};

}  // namespace

Layout layout_of(LinkType type) {
  Layout layout;
  layout.type = type;
  layout.family = LinkFamily::kOpaque;
  layout.type_field.constant = layout.payload.constant = kNotThere;
  layout.network = layout.network_no_snap = kNotThere;
  for (const Row& row : kRows) {
    if (row.type != type) continue;
    layout.family = row.family;
    layout.link_header.constant = layout.previous_link_header.constant = row.link_header;
    layout.type_field.constant = row.type_field;
    layout.payload.constant = row.payload;
    layout.network = row.network;
    layout.network_no_snap = row.network_no_snap;
    return layout;
  }
  return layout;
}

bool has_variable_link_header(LinkType type) {
  return type == LinkType::kPrism || type == LinkType::kIeee80211RadioAvs || type == LinkType::kIeee80211Radio ||
         type == LinkType::kPpi;
}

bool has_variable_payload(LinkType type) {
  return has_variable_link_header(type) || type == LinkType::kIeee80211 || type == LinkType::kPflog;
}

}  // namespace weir::filter
