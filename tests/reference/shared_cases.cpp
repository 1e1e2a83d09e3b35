// Reads case tables and small captures. Exports the functions of shared_cases.h.
#include "reference/shared_cases.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace weir::reference {
namespace {

std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
  }
  return out;
}

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = line.find('\t', begin);
    out.push_back(unescape(line.substr(begin, end - begin)));
  }
  return out;
}

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

Capture read_pcap(const Bytes& bytes) {
  Capture out;
  out.snap_length = bytes.word(16);
  out.link_type = bytes.word(20) & 0xffff;
  for (std::size_t at = 24; at + 16 <= bytes.size();) {
    const std::uint32_t kept = bytes.word(at + 8);
    if (kept > bytes.size() - at - 16) break;
    out.packets.push_back({bytes.slice(at + 16, kept), bytes.word(at + 12)});
    at += 16 + kept;
  }
  return out;
}

Capture read_pcapng(Bytes& bytes) {
  Capture out;
  for (std::size_t at = 0; at + 12 <= bytes.size();) {
    if (bytes.word(at) == 0x0a0d0d0a) bytes.set_swapped(false), bytes.set_swapped(bytes.word(at + 8) != 0x1a2b3c4d);
    const std::uint32_t type = bytes.word(at);
    const std::uint32_t length = bytes.word(at + 4);
    if (length < 12 || length > bytes.size() - at) break;
    if (type == 1 && length >= 20) out.link_type = bytes.half(at + 8), out.snap_length = bytes.word(at + 12);
    if (type == 6 && length >= 32 && bytes.word(at + 20) <= length - 32)
      out.packets.push_back({bytes.slice(at + 28, bytes.word(at + 20)), bytes.word(at + 24)});
    at += length;
  }
  return out;
}

}  // namespace

std::optional<std::filesystem::path> shared_data() {
  const char* shared = std::getenv("WEIR_SHARED");
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  std::filesystem::path folder;
  if (shared != nullptr) folder = shared;
  else if (source != nullptr) folder = std::filesystem::path(source).parent_path() / "shared";
  else return std::nullopt;
  folder /= "data";
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return folder;
}

std::vector<Row> read_table(const std::filesystem::path& path) {
  std::vector<Row> out;
  std::ifstream file(path, std::ios::binary);
  std::string line;
  std::getline(file, line);
  const std::vector<std::string> columns = split(line);
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = split(line);
    Row row;
    for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i]] = i < cells.size() ? cells[i] : "";
    out.push_back(std::move(row));
  }
  return out;
}

std::optional<Capture> read_capture(const std::filesystem::path& path) {
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
      Capture out = read_pcap(bytes);
      out.swapped = true;
      return out;
    }
    case 0x0a0d0d0a: return read_pcapng(bytes);
    default: return std::nullopt;
  }
}

}  // namespace weir::reference
