// Captures made in memory for tests: pcap and pcapng, either byte order, with whatever damage a test wants.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include <weir/base/bytes.h>

namespace weir::tests {

class CaptureBuilder {
 public:
  explicit CaptureBuilder(std::endian order = std::endian::little) : order_(order) {}

  std::vector<std::uint8_t> bytes;

  template <typename T>
  CaptureBuilder& number(T value) {
    std::uint8_t at[sizeof value];
    store(at, value, order_);
    bytes.insert(bytes.end(), at, at + sizeof value);
    return *this;
  }
  CaptureBuilder& raw(const std::vector<std::uint8_t>& more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return *this;
  }
  CaptureBuilder& padded(const std::vector<std::uint8_t>& more) {
    raw(more);
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return *this;
  }

  // pcap
  CaptureBuilder& pcap_header(std::uint32_t magic = 0xa1b2c3d4, std::uint32_t snap = 65535, std::uint32_t link = 1) {
    number(magic).number(std::uint16_t{2}).number(std::uint16_t{4});
    return number(0u).number(0u).number(snap).number(link);
  }
  CaptureBuilder& record(const std::vector<std::uint8_t>& packet, std::uint32_t seconds = 1, std::uint32_t fraction = 2,
                         std::uint32_t wire = 0) {
    const auto size = static_cast<std::uint32_t>(packet.size());
    number(seconds).number(fraction).number(size).number(wire == 0 ? size : wire);
    return raw(packet);
  }

  // pcapng
  CaptureBuilder& block(std::uint32_t type, const CaptureBuilder& body) {
    const auto padded_size = static_cast<std::uint32_t>((body.bytes.size() + 3) / 4 * 4);
    number(type).number(12 + padded_size).padded(body.bytes);
    return number(12 + padded_size);
  }
  CaptureBuilder& section(std::uint64_t length = ~std::uint64_t{0}) {
    CaptureBuilder body(order_);
    body.number(0x1a2b3c4du).number(std::uint16_t{1}).number(std::uint16_t{0}).number(length);
    return block(0x0a0d0d0a, body);
  }
  CaptureBuilder& option(std::uint16_t code, const std::vector<std::uint8_t>& value) {
    number(code).number(static_cast<std::uint16_t>(value.size()));
    return padded(value);
  }
  CaptureBuilder& interface(std::uint16_t link, std::uint32_t snap, const CaptureBuilder& options = CaptureBuilder()) {
    CaptureBuilder body(order_);
    body.number(link).number(std::uint16_t{0}).number(snap).raw(options.bytes);
    return block(1, body);
  }
  CaptureBuilder& enhanced(std::uint32_t interface_number, std::uint64_t ticks, const std::vector<std::uint8_t>& packet,
                           const CaptureBuilder& options = CaptureBuilder()) {
    const auto size = static_cast<std::uint32_t>(packet.size());
    CaptureBuilder body(order_);
    body.number(interface_number)
        .number(static_cast<std::uint32_t>(ticks >> 32))
        .number(static_cast<std::uint32_t>(ticks));
    body.number(size).number(size).padded(packet).raw(options.bytes);
    return block(6, body);
  }

  ByteSpan span() const { return bytes; }
  std::string text() const { return {bytes.begin(), bytes.end()}; }

 private:
  std::endian order_;
};

// A packet of `size` bytes that starts like Ethernet and IPv4, and is told from others by `tag`.
inline std::vector<std::uint8_t> ipv4_packet(std::size_t size, std::uint8_t tag = 0) {
  std::vector<std::uint8_t> packet(size, tag);
  const std::uint8_t start[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45};
  for (std::size_t i = 0; i < sizeof start && i < size; ++i) packet[i] = start[i];
  return packet;
}

}  // namespace weir::tests
