// An AF_XDP socket on one queue of an interface: its memory for packets, and the rings that say whose turn each part
// is.
#pragma once

#include <cstdint>

#include <linux/if_xdp.h>

#include <weir/base/error.h>
#include <weir/base/file.h>

namespace weir::capture {

class XdpQueue {
 public:
  static constexpr std::uint32_t kChunk = 4096;  // bytes for a packet and what stands before it

  XdpQueue() = default;
  // `chunks` is a power of two. All of them are given to the kernel.
  static Result<XdpQueue> create(int interface_index, std::uint32_t queue, std::uint32_t chunks);
  XdpQueue(XdpQueue&& other) noexcept;
  XdpQueue& operator=(XdpQueue&& other) noexcept;
  ~XdpQueue();

  int descriptor() const { return socket_.get(); }
  bool zero_copy() const;
  Result<xdp_statistics> statistics() const;

  // How many packets wait, and the one `ahead` places behind the first.
  std::uint32_t waiting() const;
  bool has_time() const { return chunks_ >= 1024 && waiting() < chunks_ / 4; }  // for more packets to come
  const xdp_desc& peek(std::uint32_t ahead) const;
  std::uint8_t* data(const xdp_desc& descriptor) const { return memory_ + descriptor.addr; }

  // Gives the memory of the first `count` packets back to the kernel.
  void release(std::uint32_t count);

 private:
  // A ring in memory shared with the kernel: one side writes `producer`, the other `consumer`.
  struct Shared {
    std::uint8_t* memory = nullptr;
    std::size_t size = 0;
    std::uint32_t* producer = nullptr;
    std::uint32_t* consumer = nullptr;
    void* entries = nullptr;
  };
  Status share_memory(std::uint32_t chunks);
  Status map_rings(std::uint32_t chunks);
  Result<Shared> map_ring(const xdp_ring_offset& offsets, std::uint64_t page, std::size_t entry_bytes) const;
  void close();

  FileDescriptor socket_;
  std::uint8_t* memory_ = nullptr;
  std::uint32_t chunks_ = 0;
  Shared received_;
  Shared fill_;
};

}  // namespace weir::capture
