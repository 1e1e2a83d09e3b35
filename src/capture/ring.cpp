// The ring's memory and whose turn each block is. Exports Ring.
//
// The kernel fills a block, sets its status to TP_STATUS_USER, and goes on to the next; user space reads it and sets
// TP_STATUS_KERNEL. Status words are read with acquire and written with release order: the packets belong to them.
#include "capture/ring.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace weir::capture {

Result<Ring> Ring::create(int socket, const Shape& shape) {
  const int version = TPACKET_V3;
  if (::setsockopt(socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0)
    return fail(system_failure("this kernel has no TPACKET_V3 rings", errno));
  const auto page = static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE));
  tpacket_req3 request{};
  request.tp_frame_size = (shape.frame_bytes + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT * TPACKET_ALIGNMENT;
  // A block must hold the longest packet.
  request.tp_block_size = std::bit_ceil(std::max({shape.block_bytes, page, request.tp_frame_size + 64}));
  request.tp_block_nr =
      static_cast<unsigned>(std::clamp<std::uint64_t>(shape.bytes / request.tp_block_size, 2, 1u << 20));
  request.tp_frame_nr = request.tp_block_size / request.tp_frame_size * request.tp_block_nr;
  request.tp_retire_blk_tov = shape.wait_milliseconds;
  if (::setsockopt(socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
    Error error = system_failure(
        fmt::format("cannot make a ring of {} blocks of {} bytes", request.tp_block_nr, request.tp_block_size), errno);
    if (errno == ENOMEM) error.hint = "ask for a smaller ring";
    return fail(std::move(error));
  }
  Ring ring;
  ring.size_ = std::size_t{request.tp_block_size} * request.tp_block_nr;
  ring.block_bytes_ = request.tp_block_size;
  ring.blocks_ = request.tp_block_nr;
  void* const memory = ::mmap(nullptr, ring.size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, 0);
  if (memory == MAP_FAILED) return fail(system_failure("cannot map the ring", errno));
  ring.memory_ = static_cast<std::uint8_t*>(memory);
  return ring;
}

Ring::Ring(Ring&& other) noexcept { *this = std::move(other); }

Ring& Ring::operator=(Ring&& other) noexcept {
  if (this != &other) {
    if (memory_ != nullptr) ::munmap(memory_, size_);
    memory_ = std::exchange(other.memory_, nullptr);
    size_ = other.size_;
    block_bytes_ = other.block_bytes_;
    blocks_ = other.blocks_;
    next_ = other.next_;
  }
  return *this;
}

Ring::~Ring() {
  if (memory_ != nullptr) ::munmap(memory_, size_);
}

tpacket_block_desc* Ring::ready() const {
  auto* const block = reinterpret_cast<tpacket_block_desc*>(memory_ + std::size_t{next_} * block_bytes_);
  const std::uint32_t status = __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE);
  return (status & TP_STATUS_USER) != 0 ? block : nullptr;
}

void Ring::release() {
  auto* const block = reinterpret_cast<tpacket_block_desc*>(memory_ + std::size_t{next_} * block_bytes_);
  __atomic_store_n(&block->hdr.bh1.block_status, std::uint32_t{TP_STATUS_KERNEL}, __ATOMIC_RELEASE);
  next_ = next_ + 1 == blocks_ ? 0 : next_ + 1;
}

}  // namespace weir::capture
