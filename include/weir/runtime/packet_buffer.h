// A packet as XDP, tc and socket programs see it: bytes in memory, and the context that points to them.
//
// The contexts of these programs hold addresses of packet bytes in 32 bits (the kernel rewrites their loads). Here the
// bytes lie below 4 GiB, so that programs compiled for the kernel run as they are. Room before the packet and after it
// lets programs grow it at both ends. Reused from packet to packet; not synchronised: one for each thread.
#pragma once

#include <cstdint>
#include <memory>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

struct xdp_md;
struct __sk_buff;

namespace weir::runtime {

// A stretch of memory that a program may touch.
struct Region {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;  // bytes
  bool writable = false;
};

// What the kernel would know of the packet. Numbers in host byte order.
struct PacketFacts {
  std::uint32_t wire_length = 0;  // 0: as many bytes as there are
  std::uint32_t interface_index = 1;
  std::uint32_t queue = 0;
  std::uint32_t mark = 0;
  std::uint32_t type = 0;
  std::uint32_t hash = 0;
  bool has_ethernet = true;    // the protocol is told by bytes 12 and 13
  std::uint16_t protocol = 0;  // EtherType, where has_ethernet is false
};

class PacketBuffer {
 public:
  static constexpr std::uint32_t kHeadroom = 256;        // XDP_PACKET_HEADROOM, of which the kernel keeps 40 bytes
  static constexpr std::uint32_t kTailroom = 320;        // at the end of a frame, kept by the kernel
  static constexpr std::uint32_t kSocketContext = 1024;  // where it lies behind the other context

  // Room for packets of up to `capacity` bytes. ErrorCode::kSystem (ENOMEM) where there is no room below 4 GiB.
  static Result<PacketBuffer> create(std::uint32_t capacity = 65536);
  PacketBuffer(PacketBuffer&& other) noexcept;
  PacketBuffer& operator=(PacketBuffer&&) = delete;
  ~PacketBuffer();

  // Copies the packet in (cut to the capacity) and fills both contexts.
  void set(ByteSpan bytes, const PacketFacts& facts = {});

  std::uint8_t* data() const { return data_; }
  std::uint32_t size() const { return size_; }
  ByteSpan bytes() const { return {data_, size_}; }

  // For a program's first argument: the addresses of the contexts, and how large they are.
  xdp_md* xdp_context() const { return reinterpret_cast<xdp_md*>(memory_); }
  __sk_buff* socket_context() const { return reinterpret_cast<__sk_buff*>(memory_ + kSocketContext); }

  // Moves the start of the packet by `delta` bytes (negative: grows), or its end by `delta` (positive: grows); false
  // where fewer than 14 bytes would be left, or there is no room: as in a kernel a frame has 4096 bytes, with 256
  // before the packet and 320 behind, and nothing longer grows at its end. New bytes at the end are 0.
  bool adjust_head(std::int32_t delta);
  bool adjust_tail(std::int32_t delta);

 private:
  PacketBuffer(std::uint8_t* memory, std::uint64_t bytes, std::uint32_t capacity);
  void point_contexts();

  std::uint8_t* memory_;
  std::uint64_t mapped_;
  std::uint32_t capacity_;
  std::uint8_t* data_;
  std::uint32_t size_ = 0;
};

}  // namespace weir::runtime
