// Reads small captures. Exports read_capture.
#include "reference/capture_reader.h"

#include <fstream>
#include <iterator>

namespace weir::reference {
namespace {

class Bytes {
 public:
  explicit Bytes(std::string data) : data_(std::move(data)) {}
  std::size_t size() const { return data_.size(); }
  void set_swapped(bool swapped) { swapped_ = swapped; }
  std::uint32_t word(std::size_t at) const {
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < 4; ++i)
      out |= static_cast<std::uint32_t>(static_cast<unsigned char>(data_[at + i])) << 8 * (swapped_ ? 3 - i : i);
    return out;
  }
  std::uint32_t half(std::size_t at) const {
    const auto first = static_cast<unsigned char>(data_[at]);
    const auto second = static_cast<unsigned char>(data_[at + 1]);
    return swapped_ ? first * 256u + second : second * 256u + first;
  }
  std::vector<std::uint8_t> slice(std::size_t at, std::size_t size) const {
    return {data_.begin() + static_cast<std::ptrdiff_t>(at), data_.begin() + static_cast<std::ptrdiff_t>(at + size)};
  }

 private:
  std::string data_;
  bool swapped_ = false;  // big-endian
};

CaptureFile read_pcap(const Bytes& bytes) {
  CaptureFile out;
  out.snap_length = bytes.word(16);
  out.link_type = static_cast<packet::LinkType>(bytes.word(20) & 0xffff);
  for (std::size_t at = 24; at + 16 <= bytes.size();) {
    const std::uint32_t kept = bytes.word(at + 8);
    if (kept > bytes.size() - at - 16) break;
    out.packets.push_back({bytes.slice(at + 16, kept), bytes.word(at + 12)});
    at += 16 + kept;
  }
  return out;
}

CaptureFile read_pcapng(Bytes& bytes) {
  CaptureFile out;
  for (std::size_t at = 0; at + 12 <= bytes.size();) {
    if (bytes.word(at) == 0x0a0d0d0a) bytes.set_swapped(false), bytes.set_swapped(bytes.word(at + 8) != 0x1a2b3c4d);
    const std::uint32_t type = bytes.word(at);
    const std::uint32_t length = bytes.word(at + 4);
    if (length < 12 || length > bytes.size() - at) break;
    if (type == 1 && length >= 20)
      out.link_type = static_cast<packet::LinkType>(bytes.half(at + 8)), out.snap_length = bytes.word(at + 12);
    if (type == 6 && length >= 32 && bytes.word(at + 20) <= length - 32)
      out.packets.push_back({bytes.slice(at + 28, bytes.word(at + 20)), bytes.word(at + 24)});
    at += length;
  }
  return out;
}

}  // namespace

std::optional<CaptureFile> read_capture(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string data{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (data.size() < 24) return std::nullopt;
  Bytes bytes(std::move(data));
  switch (bytes.word(0)) {
    case 0xa1b2c3d4:
    case 0xa1b23c4d: return read_pcap(bytes);
    case 0xd4c3b2a1:
    case 0x4d3cb2a1: {
      bytes.set_swapped(true);
      CaptureFile out = read_pcap(bytes);
      out.swapped = true;
      return out;
    }
    case 0x0a0d0d0a: return read_pcapng(bytes);
    default: return std::nullopt;
  }
}

}  // namespace weir::reference
