// Any bytes as records of a pcap file: the first byte chooses the kind of file, so that no run is lost on headers.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzz_capture.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  if (size < 8) return 0;
  constexpr std::uint32_t kMagics[] = {0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34, 0xa1b2c3d4};
  constexpr std::uint32_t kTypes[] = {1, 101, 113, 189, 220, 239, 276, 231};
  const std::endian order = (data[0] & 1) != 0 ? std::endian::big : std::endian::little;
  std::vector<std::uint8_t> file(24);
  store(file.data(), kMagics[data[0] >> 1 & 3], order);
  store<std::uint16_t>(file.data() + 4, 2, order);
  store<std::uint16_t>(file.data() + 6, static_cast<std::uint16_t>((data[0] & 0x40) != 0 ? data[1] % 6 : 4), order);
  store<std::uint32_t>(file.data() + 16, (data[0] & 0x80) != 0 ? data[2] : 65535, order);
  store(file.data() + 20, kTypes[data[0] >> 3 & 7], order);
  file.insert(file.end(), data + 3, data + size);
  fuzz::check_capture(file);
  fuzz::check_capture({data, size});
  return 0;
}
