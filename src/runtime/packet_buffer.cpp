// Packets below 4 GiB with their contexts. Exports PacketBuffer.
//
// One mapping: a page with both contexts, room, the packet, room. Source of the layouts: <linux/bpf.h>, struct xdp_md
// and struct __sk_buff; of the limits: net/core/filter.c, bpf_xdp_adjust_head and bpf_xdp_adjust_tail.
#include <weir/runtime/packet_buffer.h>

#include <linux/bpf.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "runtime/slab.h"

namespace weir::runtime {
namespace {

constexpr std::uint64_t kContextPage = 4096;
constexpr std::uint64_t kLimit = 1ull << 32;
// What the kernel keeps of a frame, which has a page: struct xdp_frame before the room, struct skb_shared_info behind.
constexpr std::int64_t kFrameHead = 40;
constexpr std::int64_t kFrameEnd = 4096 - PacketBuffer::kTailroom;

// A mapping below 4 GiB, or null.
std::uint8_t* map_low(std::uint64_t bytes) {
#ifdef MAP_32BIT
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (memory != MAP_FAILED) return static_cast<std::uint8_t*>(memory);
#endif
  for (std::uint64_t hint = 0x40000000; hint + bytes < kLimit; hint += 0x4000000) {
    void* place = reinterpret_cast<void*>(hint);
    void* got = mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) continue;
    if (reinterpret_cast<std::uint64_t>(got) + bytes <= kLimit) return static_cast<std::uint8_t*>(got);
    munmap(got, bytes);
  }
  return nullptr;
}

}  // namespace

Result<PacketBuffer> PacketBuffer::create(std::uint32_t capacity) {
  const std::uint64_t bytes = round_up(kContextPage + kHeadroom + std::uint64_t{capacity} + kTailroom, 4096);
  std::uint8_t* memory = bytes < kLimit ? map_low(bytes) : nullptr;
  if (memory == nullptr) return fail(system_failure("find memory below 4 GiB for packets", ENOMEM));
  return PacketBuffer(memory, bytes, capacity);
}

PacketBuffer::PacketBuffer(std::uint8_t* memory, std::uint64_t bytes, std::uint32_t capacity)
    : memory_(memory), mapped_(bytes), capacity_(capacity), data_(memory + kContextPage + kHeadroom) {
  set({});
}
PacketBuffer::PacketBuffer(PacketBuffer&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      mapped_(other.mapped_),
      capacity_(other.capacity_),
      data_(other.data_),
      size_(other.size_) {}
PacketBuffer::~PacketBuffer() {
  if (memory_ != nullptr) munmap(memory_, mapped_);
}

static_assert(sizeof(xdp_md) <= PacketBuffer::kSocketContext);

void PacketBuffer::point_contexts() {
  const auto begin = static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(data_));
  xdp_context()->data = begin;
  xdp_context()->data_meta = begin;
  xdp_context()->data_end = begin + size_;
  socket_context()->data = begin;
  socket_context()->data_meta = begin;
  socket_context()->data_end = begin + size_;
}

void PacketBuffer::set(ByteSpan bytes, const PacketFacts& facts) {
  data_ = memory_ + kContextPage + kHeadroom;
  size_ = bytes.size() < capacity_ ? static_cast<std::uint32_t>(bytes.size()) : capacity_;
  if (size_ != 0) std::memcpy(data_, bytes.data(), size_);
  xdp_md& xdp = *xdp_context();
  xdp = {};
  xdp.ingress_ifindex = facts.interface_index;
  xdp.rx_queue_index = facts.queue;
  __sk_buff& buffer = *socket_context();
  std::memset(static_cast<void*>(&buffer), 0, sizeof buffer);
  buffer.len = facts.wire_length != 0 ? facts.wire_length : size_;
  buffer.wire_len = buffer.len;
  buffer.pkt_type = facts.type;
  buffer.mark = facts.mark;
  buffer.queue_mapping = facts.queue;
  buffer.ifindex = buffer.ingress_ifindex = facts.interface_index;
  buffer.hash = facts.hash;
  // In network order, as the kernel keeps it.
  std::uint16_t protocol = byte_swap(facts.protocol);
  if (std::endian::native == std::endian::big) protocol = facts.protocol;
  if (facts.has_ethernet && size_ >= 14) std::memcpy(&protocol, data_ + 12, 2);
  buffer.protocol = protocol;
  point_contexts();
}

bool PacketBuffer::adjust_head(std::int32_t delta) {
  const std::int64_t room = data_ - (memory_ + kContextPage) - kFrameHead;
  if (delta > static_cast<std::int64_t>(size_) - 14 || -static_cast<std::int64_t>(delta) > room) return false;
  data_ += delta;
  size_ = static_cast<std::uint32_t>(static_cast<std::int64_t>(size_) - delta);
  point_contexts();
  return true;
}

bool PacketBuffer::adjust_tail(std::int32_t delta) {
  const std::int64_t size = static_cast<std::int64_t>(size_) + delta;
  if (size < 14 || (delta > 0 && data_ + size > memory_ + kContextPage + kFrameEnd)) return false;
  if (delta > 0) std::memset(data_ + size_, 0, static_cast<std::size_t>(delta));
  size_ = static_cast<std::uint32_t>(size);
  point_contexts();
  return true;
}

}  // namespace weir::runtime
