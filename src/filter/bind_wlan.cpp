// 802.11: where its header ends and which address is which.
//
// Source: IEEE 802.11-2020, 9.2 and 9.3. Byte 0 of the frame control holds type (0x0c) and subtype (0xf0), byte 1 the
// To DS (0x01) and From DS (0x02) bits.
#include "filter/binder.h"

namespace weir::filter {
namespace {

constexpr std::uint32_t kTypeMask = 0x0c;
constexpr std::uint32_t kSubtypeMask = 0xf0;
constexpr std::uint32_t kControlFrame = 0x04;
constexpr std::uint32_t kDataFrame = 0x08;
constexpr std::uint32_t kQos = 0x80;
constexpr std::uint32_t kToDs = 0x01;
constexpr std::uint32_t kFromDs = 0x02;

}  // namespace

// 24 bytes; data frames with QoS have 2 more. A radiotap header may say that the whole is padded to four bytes.
FormulaId Binder::wlan_payload_offset(VariableId header, VariableId payload) {
  const bool radio = header_variable_.has_value();
  const auto frame_control = [&] { return load_at(radio ? variable(header) : kNoTerm, 0, 1); };
  const FormulaId start = assign(payload, radio ? binary(TermOp::kAdd, variable(header), constant(24)) : constant(24));
  const FormulaId not_high = negate(bits_set(frame_control(), kDataFrame));
  const FormulaId not_low = bits_set(frame_control(), kControlFrame);
  const FormulaId no_qos = negate(bits_set(frame_control(), kQos));
  const FormulaId add_qos = assign(payload, binary(TermOp::kAdd, variable(payload), constant(2)));
  FormulaId data = either({no_qos, add_qos});
  if (options_.link_type == packet::LinkType::kIeee80211Radio) {
    // The first presence word, little-endian: TSFT 1, flags 2, another word follows 0x80000000. Only one word is read.
    const auto present = [&](std::uint32_t bits) { return bits_set(load_at(kNoTerm, 4, 4), __builtin_bswap32(bits)); };
    constexpr std::uint32_t kPadded = 0x20;
    const FormulaId flags = present(0x00000002);
    const FormulaId single = negate(present(0x80000000));
    const FormulaId timestamp = present(0x00000001);
    const FormulaId behind_timestamp = bits_set(load_at(kNoTerm, 16, 1), kPadded);
    const FormulaId no_timestamp = negate(present(0x00000001));
    const FormulaId first = bits_set(load_at(kNoTerm, 8, 1), kPadded);
    const FormulaId padded = either({both({timestamp, behind_timestamp}), both({no_timestamp, first})});
    const TermId rounded =
        binary(TermOp::kAnd, binary(TermOp::kAdd, variable(payload), constant(3)), constant(0xfffffffc));
    const FormulaId round = assign(payload, rounded);
    data = both({data, attempt(both({flags, single, padded, round}))});
  }
  return both({start, either({not_high, not_low, data})});
}

// `address` tests the destination at an offset: 4, or 16 in data frames to the distribution system.
// Management frames have it at 4, control frames have none.
template <typename AddressTest>
FormulaId Binder::wlan_destination(AddressTest address) {
  const FormulaId not_control = negate(bits_set(link(0, 1), kControlFrame));
  const FormulaId management = negate(bits_set(link(0, 1), kDataFrame));
  const FormulaId managed = both({management, address(4)});
  const FormulaId data = bits_set(link(0, 1), kDataFrame);
  const FormulaId from_station = negate(bits_set(link(1, 1), kToDs));
  const FormulaId near = both({from_station, address(4)});
  const FormulaId to_ds = bits_set(link(1, 1), kToDs);
  const FormulaId far = both({to_ds, address(16)});
  return both({not_control, either({managed, both({data, either({near, far})})})});
}

// 10; in data frames from the distribution system 16, or 24 with both bits.
FormulaId Binder::wlan_source(const Mac48& mac) {
  const auto address = [&](std::uint32_t at) { return bytes_equal(layout_.link_header, at, mac); };
  const FormulaId not_control = negate(bits_set(link(0, 1), kControlFrame));
  const FormulaId management = negate(bits_set(link(0, 1), kDataFrame));
  const FormulaId managed = both({management, address(10)});
  const FormulaId data = bits_set(link(0, 1), kDataFrame);
  const FormulaId not_from_ds = negate(bits_set(link(1, 1), kFromDs));
  const FormulaId near = both({not_from_ds, address(10)});
  const FormulaId from_ds = bits_set(link(1, 1), kFromDs);
  const FormulaId not_to_ds = negate(bits_set(link(1, 1), kToDs));
  const FormulaId far = both({not_to_ds, address(16)});
  const FormulaId to_ds = bits_set(link(1, 1), kToDs);
  const FormulaId farthest = both({to_ds, address(24)});
  const FormulaId forwarded = both({from_ds, either({far, farthest})});
  return both({not_control, either({managed, both({data, either({near, forwarded})})})});
}

FormulaId Binder::wlan_host(const Mac48& mac, Direction direction) {
  const auto address = [&](std::uint32_t at) { return bytes_equal(layout_.link_header, at, mac); };
  const auto not_frame = [&](std::uint32_t bits, std::uint32_t mask) { return negate(masked(link(0, 1), bits, mask)); };
  // CTS and ACK have no second address.
  const auto has_second = [&] {
    const FormulaId not_control = not_frame(kControlFrame, kTypeMask);
    const FormulaId not_cts = not_frame(0xc0, kSubtypeMask);
    return either({not_control, both({not_cts, not_frame(0xd0, kSubtypeMask)})});
  };
  switch (direction) {
    case Direction::kAddress1: return address(4);
    case Direction::kAddress2: {
      const FormulaId there = has_second();
      return both({there, address(10)});
    }
    case Direction::kAddress3: {
      const FormulaId there = not_frame(kControlFrame, kTypeMask);
      return both({there, address(16)});
    }
    case Direction::kAddress4: {
      const FormulaId both_bits = masked(link(1, 1), kToDs | kFromDs, kToDs | kFromDs);
      return both({both_bits, address(24)});
    }
    case Direction::kReceiver: {
      const FormulaId not_management = bits_set(link(0, 1), kDataFrame);
      return both({not_management, address(4)});
    }
    case Direction::kTransmitter: {
      const FormulaId not_management = bits_set(link(0, 1), kDataFrame);
      const FormulaId there = has_second();
      return both({not_management, there, address(10)});
    }
    default: break;
  }
  return directed(
      direction,
      [&](Direction side) { return side == Direction::kSource ? wlan_source(mac) : wlan_destination(address); },
      "host");
}

FormulaId Binder::wlan_field() {
  if (layout_.family != LinkFamily::kWlan)
    return not_on_this_link(node().special == Special::kWlanType ? "type" : "dir");
  if (node().special == Special::kWlanType) return masked(link(0, 1), node().values[0], node().values[1]);
  return masked(link(1, 1), node().values[0], kToDs | kFromDs);
}

FormulaId Binder::multicast() {
  const auto group_bit = [&](std::uint32_t at) { return bits_set(link(at, 1), 1); };
  const Protocol protocol = node().qualifiers.protocol;
  if (protocol == Protocol::kIp) {
    const FormulaId ip = carries(kEtherIp);
    return both({ip, masked(network(16, 1), 0xe0, 0xf0)});
  }
  if (protocol == Protocol::kIp6) {
    const FormulaId ip6 = carries(kEtherIp6);
    return both({ip6, equal(network(24, 1), 255)});
  }
  if (protocol != Protocol::kDefault && protocol != Protocol::kLink)
    return bad_qualifier(name_of(protocol), "multicast");
  if (layout_.family == LinkFamily::kArcnet) return mac8(0, Direction::kDestination, "multicast");
  if (!link_has_mac48()) return not_on_this_link("multicast");
  if (layout_.family == LinkFamily::kWlan) return wlan_destination(group_bit);
  if (layout_.type == packet::LinkType::kFddi) return group_bit(1);
  if (layout_.type == packet::LinkType::kTokenRing || layout_.type == packet::LinkType::kIpOverFc) return group_bit(2);
  if (!layout_.encapsulated && !layout_.lane) return group_bit(0);
  const FormulaId there = has_ethernet();
  return both({there, group_bit(0)});
}

}  // namespace weir::filter
