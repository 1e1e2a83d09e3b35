// A TPACKET_V3 receive ring: blocks of packets in memory shared with the kernel.
#pragma once

#include <cstdint>

#include <linux/if_packet.h>

#include <weir/base/error.h>

namespace weir::capture {

class Ring {
 public:
  struct Shape {
    std::uint64_t bytes = 0;
    std::uint32_t block_bytes = 0;
    std::uint32_t frame_bytes = 0;  // the longest packet with its headers
    std::uint32_t wait_milliseconds = 0;
  };

  Ring() = default;
  static Result<Ring> create(int socket, const Shape& shape);
  Ring(Ring&& other) noexcept;
  Ring& operator=(Ring&& other) noexcept;
  ~Ring();

  // The next block when the kernel has handed it over; null while it fills.
  tpacket_block_desc* ready() const;
  // Gives the block that ready() showed back to the kernel and goes to the next.
  void release();

 private:
  std::uint8_t* memory_ = nullptr;
  std::size_t size_ = 0;
  std::uint32_t block_bytes_ = 0;
  std::uint32_t blocks_ = 0;
  std::uint32_t next_ = 0;
};

}  // namespace weir::capture
