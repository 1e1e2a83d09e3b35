// Any bytes as blocks of a pcapng file, in a row of sections: the input's bytes are cut into blocks whose lengths are
// right, unless the input says otherwise, so that most of them get past the outermost checks.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fuzz_capture.h"

namespace {

void put(std::vector<std::uint8_t>& to, std::uint32_t value, std::endian order) {
  to.resize(to.size() + 4);
  weir::store(to.data() + to.size() - 4, value, order);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  constexpr std::uint32_t kTypes[] = {6, 6, 6, 1, 3, 2, 5, 0x40000bad};
  std::vector<std::uint8_t> file;
  std::endian order = std::endian::little;
  bool started = false;
  for (std::size_t at = 0; at + 2 <= size;) {
    const std::uint8_t control = data[at];
    const std::size_t length = std::min<std::size_t>(data[at + 1] % 64 * 4, (size - at - 2) / 4 * 4);
    at += 2;
    if (!started || control % 32 == 31) {
      started = true;
      order = (control & 0x40) != 0 ? std::endian::big : std::endian::little;
      for (const std::uint32_t word : {0x0a0d0d0au, 28u, 0x1a2b3c4du}) put(file, word, order);
      put(file, order == std::endian::little ? 1 : 0x10000, order);
      for (const std::uint32_t word : {~0u, ~0u, 28u}) put(file, word, order);
      for (const std::uint32_t word : {1u, 20u, order == std::endian::little ? 1u : 0x10000u, 0u, 20u})
        put(file, word, order);
    }
    const auto total = static_cast<std::uint32_t>(length + 12 + ((control & 0x80) != 0 ? control & 0x7c : 0));
    put(file, kTypes[control % 8], order);
    put(file, total, order);
    file.insert(file.end(), data + at, data + at + length);
    put(file, total, order);
    at += length;
  }
  fuzz::check_capture(file);
  fuzz::check_capture({data, size});
  return 0;
}
