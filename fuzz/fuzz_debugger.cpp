// Any bytes as lines for the debugger: each gets a reply of whole lines, a failure says why, and the session goes on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <weir/debug/console.h>

namespace {

void require(bool fact) {
  if (!fact) std::abort();
}

weir::Result<weir::debug::Capture> some_packets(const std::string&) {
  static const std::uint8_t kBytes[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6};
  auto packets = std::make_shared<weir::debug::PacketList>();
  for (const std::size_t size : {std::size_t{60}, std::size_t{0}, std::size_t{20}, std::size_t{34}})
    packets->add(weir::packet::make_packet({kBytes, size}));
  return weir::debug::Capture{packets, {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::debug;
  if (size == 0) return 0;
  Console console({.open_capture = some_packets}, data[0] % 2 == 0 ? Style::kOwn : Style::kBpfDbg);
  console.execute("load bpf 6,40 0 0 12,21 0 3 2048,48 0 0 23,21 0 1 6,6 0 0 96,6 0 0 0");
  console.execute("load pcap any");
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  for (int lines = 0; !text.empty() && lines < 100; ++lines) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const Reply reply = console.execute(line);
    require(reply.text.empty() || reply.text.back() == '\n');
    require(!reply.failed || !reply.text.empty());
    console.complete(line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return 0;
}
