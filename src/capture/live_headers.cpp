// Blocks that are written once a file. Exports append_section_header, append_interface and their kin.
#include "capture/live_headers.h"

#include <sys/utsname.h>

#include "capture/output.h"

namespace weir::capture {
namespace {

class BlockMaker {
 public:
  BlockMaker(std::vector<std::uint8_t>& to, std::uint32_t type) : to_(to), start_(to.size()) {
    number<std::uint32_t>(type);
    number<std::uint32_t>(0);
  }
  ~BlockMaker() {
    const auto length = static_cast<std::uint32_t>(to_.size() - start_ + 4);
    store(to_.data() + start_ + 4, length, std::endian::native);
    number<std::uint32_t>(length);
  }
  BlockMaker(const BlockMaker&) = delete;
  BlockMaker& operator=(const BlockMaker&) = delete;

  template <typename T>
  void number(T value) {
    append_number(to_, value);
  }
  void option(std::uint16_t code, ByteSpan value) {
    number<std::uint16_t>(code);
    number<std::uint16_t>(static_cast<std::uint16_t>(value.size()));
    to_.insert(to_.end(), value.begin(), value.end());
    to_.resize((to_.size() + 3) / 4 * 4);  // blocks start at multiples of four
  }
  void option(std::uint16_t code, std::string_view text) {
    option(code, ByteSpan{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  void option(std::uint16_t code, std::uint64_t value) {
    std::uint8_t bytes[8];
    store(bytes, value, std::endian::native);
    option(code, ByteSpan{bytes, 8});
  }
  void end_of_options() { number<std::uint32_t>(0); }

 private:
  std::vector<std::uint8_t>& to_;
  std::size_t start_;
};

std::string system_name() {
  utsname system{};
  return ::uname(&system) == 0 ? std::string(system.sysname) + " " + system.release : "Linux";
}

}  // namespace

void append_section_header(std::vector<std::uint8_t>& to) {
  BlockMaker block(to, 0x0a0d0d0a);
  block.number<std::uint32_t>(0x1a2b3c4d);
  block.number<std::uint16_t>(1);
  block.number<std::uint16_t>(0);
  block.number<std::uint64_t>(~std::uint64_t{0});  // section length: not known
  block.option(3, system_name());                  // shb_os
  block.option(4, std::string_view("weir"));       // shb_userappl
  block.end_of_options();
}

void append_interface(std::vector<std::uint8_t>& to, const Interface& interface) {
  BlockMaker block(to, 1);
  block.number(static_cast<std::uint16_t>(interface.link_type));
  block.number<std::uint16_t>(0);
  block.number<std::uint32_t>(interface.snap_length);
  block.option(2, interface.name);  // if_name
  const std::uint8_t nanoseconds[] = {9};
  block.option(9, ByteSpan(nanoseconds));  // if_tsresol: 10^-9
  block.option(12, system_name());         // if_os
  block.end_of_options();
}

void append_statistics(std::vector<std::uint8_t>& to, std::uint32_t interface, const LiveStatistics& statistics) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::uint64_t ticks =
      static_cast<std::uint64_t>(now.tv_sec) * 1000000000 + static_cast<std::uint64_t>(now.tv_nsec);
  BlockMaker block(to, 5);
  block.number<std::uint32_t>(interface);
  block.number(static_cast<std::uint32_t>(ticks >> 32));
  block.number(static_cast<std::uint32_t>(ticks));
  block.option(4, statistics.received);  // isb_ifrecv
  block.option(5, statistics.dropped);   // isb_ifdrop
  block.end_of_options();
}

void append_pcap_header(std::vector<std::uint8_t>& to, const Interface& interface) {
  append_number<std::uint32_t>(to, 0xa1b23c4d);  // nanoseconds
  append_number<std::uint16_t>(to, 2);
  append_number<std::uint16_t>(to, 4);
  append_number<std::uint64_t>(to, 0);
  append_number<std::uint32_t>(to, interface.snap_length);
  append_number(to, static_cast<std::uint32_t>(interface.link_type));
}

}  // namespace weir::capture
