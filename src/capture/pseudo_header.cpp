// Headers in the byte order of the capturing host. Exports has_host_order and swap_host_order.
//
// Systems hand some link types out with their own structures in front: USB monitor events (Documentation/usb/usbmon),
// CAN identifiers in cooked captures, attributes of netfilter's log, ids in the log of pf. A capture file holds them as
// they were, in the byte order that its header tells; a filter that loads them, and a file written in this host's
// order, need them swapped. As libpcap does (its pcap-util.c, or pcap-common.c before 1.11): when a file of the other
// byte order is read.
//
// Not done: libpcap also corrects the length on the wire of isochronous USB transfers that its own old versions wrote
// wrong.
#include "capture/pseudo_header.h"

#include <algorithm>
#include <initializer_list>

#include <weir/base/bytes.h>

namespace weir::capture {
namespace {

using packet::LinkType;

// Reverses the bytes of a field; false when the packet ends before the field does.
bool swap_field(std::span<std::uint8_t> packet, std::size_t at, std::size_t size) {
  if (at + size > packet.size()) return false;
  std::reverse(packet.begin() + static_cast<std::ptrdiff_t>(at),
               packet.begin() + static_cast<std::ptrdiff_t>(at + size));
  return true;
}

struct Field {
  std::size_t at;
  std::size_t size;
};

bool swap_fields(std::span<std::uint8_t> packet, std::initializer_list<Field> fields) {
  return std::all_of(fields.begin(), fields.end(),
                     [&](const Field& field) { return swap_field(packet, field.at, field.size); });
}

// struct mon_bin_hdr: 48 bytes, or 64 with what the kernel's mapped buffer adds.
void swap_usb(std::span<std::uint8_t> packet, bool mapped) {
  constexpr std::size_t kTransferType = 9;
  constexpr std::uint8_t kIsochronous = 0;
  constexpr std::size_t kDescriptorCount = 60;
  constexpr std::size_t kHeader = 64;
  constexpr std::size_t kDescriptor = 16;
  // id, bus, seconds, microseconds, status, length of the transfer, length of the data
  if (!swap_fields(packet, {{0, 8}, {12, 2}, {16, 8}, {24, 4}, {28, 4}, {32, 4}, {36, 4}})) return;
  const bool isochronous = packet[kTransferType] == kIsochronous;
  if (isochronous && !swap_fields(packet, {{40, 4}, {44, 4}})) return;
  // interval, first frame, flags, number of descriptors
  if (!mapped || !swap_fields(packet, {{48, 4}, {52, 4}, {56, 4}, {kDescriptorCount, 4}}) || !isochronous) return;
  const auto count = load<std::uint32_t>(packet.data() + kDescriptorCount, std::endian::native);
  for (std::size_t i = 0, at = kHeader; i < count; ++i, at += kDescriptor)
    if (!swap_fields(packet, {{at, 4}, {at + 4, 4}, {at + 8, 4}})) return;
}

// Behind a cooked header, CAN frames start with their identifier.
void swap_can(std::span<std::uint8_t> packet, std::size_t protocol_at, std::size_t header) {
  if (packet.size() < header) return;
  const std::uint16_t protocol = load_be16(packet.data() + protocol_at);
  constexpr std::uint16_t kCan = 0x000c;    // linux/if_ether.h: ETH_P_CAN
  constexpr std::uint16_t kCanFd = 0x000d;  // ETH_P_CANFD
  if (protocol == kCan || protocol == kCanFd) swap_field(packet, header, 4);
}

// linux/netfilter/nfnetlink_log.h: a header of 4 bytes, then attributes with length and type, padded to 4.
void swap_nflog(std::span<std::uint8_t> packet) {
  constexpr std::size_t kHeader = 4;
  constexpr std::size_t kAttributeHeader = 4;
  constexpr std::size_t kVersion = 1;
  if (packet.size() < kHeader || packet[kVersion] != 0) return;
  for (std::size_t at = kHeader; packet.size() - at >= kAttributeHeader;) {
    swap_fields(packet, {{at, 2}, {at + 2, 2}});
    const std::size_t size = (load<std::uint16_t>(packet.data() + at, std::endian::native) + std::size_t{3}) / 4 * 4;
    if (size < kAttributeHeader || size > packet.size() - at) return;
    at += size;
  }
}

// net/if_pflog.h of the BSDs: the ids of who sent and of who made the rule, in as much of the header as its first byte
// says there is.
void swap_pflog(std::span<std::uint8_t> packet) {
  if (packet.empty()) return;
  swap_fields(packet.first(std::min<std::size_t>(packet.size(), packet[0])), {{44, 4}, {48, 4}, {52, 4}, {56, 4}});
}

}  // namespace

bool has_host_order(LinkType type) {
  return type == LinkType::kLinuxSll || type == LinkType::kLinuxSll2 || type == LinkType::kUsbLinux ||
         type == LinkType::kUsbLinuxMmapped || type == LinkType::kNflog || type == LinkType::kPflog;
}

void swap_host_order(LinkType type, std::span<std::uint8_t> packet) {
  if (type == LinkType::kUsbLinux || type == LinkType::kUsbLinuxMmapped)
    return swap_usb(packet, type == LinkType::kUsbLinuxMmapped);
  if (type == LinkType::kLinuxSll) return swap_can(packet, 14, 16);
  if (type == LinkType::kLinuxSll2) return swap_can(packet, 0, 20);
  if (type == LinkType::kNflog) return swap_nflog(packet);
  if (type == LinkType::kPflog) return swap_pflog(packet);
}

}  // namespace weir::capture
