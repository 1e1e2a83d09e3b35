// AF_XDP sockets by system calls alone. Exports XdpQueue.
//
// Memory is cut into chunks of one page. The fill ring holds chunks that the kernel may use, the receive ring those
// that it has filled; both have as many entries as there are chunks, so neither can overflow. Indexes run on and are
// masked where they are used; they are read with acquire and written with release order: the entries belong to them.
// Source: Documentation/networking/af_xdp.rst.
#include "capture/xdp_rings.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace weir::capture {
namespace {

constexpr std::uint16_t kSeveralChunks = 1u << 4;  // XDP_USE_SG, Linux 6.6: packets longer than a chunk
constexpr std::size_t kStamp = 8;                  // bytes before a packet where the program leaves its time

Error refused(std::string what, int error) {
  Error made = system_failure(std::move(what), error);
  if (error == EPERM || error == EACCES) made.hint = "it needs the capability CAP_NET_RAW";
  if (error == EAFNOSUPPORT) made.hint = "this kernel has no AF_XDP";
  if (error == ENOBUFS) made.hint = "ask for a smaller ring, or raise the limit of locked memory (ulimit -l)";
  if (error == EBUSY) made.hint = "another AF_XDP socket has this queue";
  return made;
}

}  // namespace

Result<XdpQueue> XdpQueue::create(int interface_index, std::uint32_t queue, std::uint32_t chunks) {
  XdpQueue made;
  made.chunks_ = chunks;
  made.socket_ = FileDescriptor(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!made.socket_) return fail(refused("cannot make an AF_XDP socket", errno));
  WEIR_CHECK(made.share_memory(chunks));
  WEIR_CHECK(made.map_rings(chunks));
  auto* const free_chunks = static_cast<std::uint64_t*>(made.fill_.entries);
  for (std::uint32_t i = 0; i < chunks; ++i) free_chunks[i] = std::uint64_t{i} * kChunk;
  __atomic_store_n(made.fill_.producer, chunks, __ATOMIC_RELEASE);
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = static_cast<std::uint32_t>(interface_index);
  address.sxdp_queue_id = queue;
  // The kernel frees a queue some time after its socket was closed: what is busy now may not be in half a second.
  for (int tried = 0; tried < 10; ++tried) {
    // Kernels before 6.6 do not know the flag.
    for (const std::uint16_t flags : {kSeveralChunks, std::uint16_t{0}}) {
      address.sxdp_flags = flags;
      if (::bind(made.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return made;
      if (errno != EINVAL && errno != EOPNOTSUPP) break;
    }
    if (errno != EBUSY) break;
    constexpr timespec kPause{0, 50'000'000};
    (void)::nanosleep(&kPause, nullptr);
    errno = EBUSY;
  }
  return fail(refused(fmt::format("cannot bind an AF_XDP socket to queue {}", queue), errno));
}

Status XdpQueue::share_memory(std::uint32_t chunks) {
  const std::size_t size = std::size_t{chunks} * kChunk;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return fail(system_failure("cannot get memory for packets", errno));
  memory_ = static_cast<std::uint8_t*>(memory);
  xdp_umem_reg area{};
  area.addr = reinterpret_cast<std::uintptr_t>(memory);
  area.len = size;
  area.chunk_size = kChunk;
  if (::setsockopt(socket_.get(), SOL_XDP, XDP_UMEM_REG, &area, sizeof area) != 0)
    return fail(refused(fmt::format("cannot share {} bytes with the kernel", size), errno));
  return {};
}

Status XdpQueue::map_rings(std::uint32_t chunks) {
  // A completion ring is for sending; the kernel wants one all the same.
  const std::pair<int, std::uint32_t> sizes[] = {
      {XDP_UMEM_FILL_RING, chunks}, {XDP_UMEM_COMPLETION_RING, 2}, {XDP_RX_RING, chunks}};
  for (const auto& [option, size] : sizes)
    if (::setsockopt(socket_.get(), SOL_XDP, option, &size, sizeof size) != 0)
      return fail(refused("cannot make the rings of an AF_XDP socket", errno));
  xdp_mmap_offsets offsets{};
  socklen_t size = sizeof offsets;
  if (::getsockopt(socket_.get(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0 || size != sizeof offsets)
    return fail(refused("cannot find the rings of an AF_XDP socket", errno));
  WEIR_TRY(received_, map_ring(offsets.rx, XDP_PGOFF_RX_RING, sizeof(xdp_desc)));
  WEIR_TRY(fill_, map_ring(offsets.fr, XDP_UMEM_PGOFF_FILL_RING, sizeof(std::uint64_t)));
  return {};
}

Result<XdpQueue::Shared> XdpQueue::map_ring(const xdp_ring_offset& offsets, std::uint64_t page,
                                            std::size_t entry_bytes) const {
  Shared ring;
  ring.size = offsets.desc + chunks_ * entry_bytes;
  void* const memory = ::mmap(nullptr, ring.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket_.get(),
                              static_cast<off_t>(page));
  if (memory == MAP_FAILED) return fail(system_failure("cannot map a ring of an AF_XDP socket", errno));
  ring.memory = static_cast<std::uint8_t*>(memory);
  ring.producer = reinterpret_cast<std::uint32_t*>(ring.memory + offsets.producer);
  ring.consumer = reinterpret_cast<std::uint32_t*>(ring.memory + offsets.consumer);
  ring.entries = ring.memory + offsets.desc;
  return ring;
}

XdpQueue::XdpQueue(XdpQueue&& other) noexcept { *this = std::move(other); }

XdpQueue& XdpQueue::operator=(XdpQueue&& other) noexcept {
  if (this != &other) {
    close();
    socket_ = std::move(other.socket_);
    memory_ = std::exchange(other.memory_, nullptr);
    chunks_ = other.chunks_;
    received_ = std::exchange(other.received_, {});
    fill_ = std::exchange(other.fill_, {});
  }
  return *this;
}

XdpQueue::~XdpQueue() { close(); }

void XdpQueue::close() {
  if (received_.memory != nullptr) ::munmap(received_.memory, received_.size);
  if (fill_.memory != nullptr) ::munmap(fill_.memory, fill_.size);
  socket_ = FileDescriptor();
  if (memory_ != nullptr) ::munmap(memory_, std::size_t{chunks_} * kChunk);
}

bool XdpQueue::zero_copy() const {
  xdp_options options{};
  socklen_t size = sizeof options;
  return ::getsockopt(socket_.get(), SOL_XDP, XDP_OPTIONS, &options, &size) == 0 &&
         (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

Result<xdp_statistics> XdpQueue::statistics() const {
  xdp_statistics now{};
  socklen_t size = sizeof now;
  if (::getsockopt(socket_.get(), SOL_XDP, XDP_STATISTICS, &now, &size) != 0)
    return fail(system_failure("cannot read the statistics of an AF_XDP socket", errno));
  return now;
}

std::uint32_t XdpQueue::waiting() const {
  return __atomic_load_n(received_.producer, __ATOMIC_ACQUIRE) - *received_.consumer;
}

const xdp_desc& XdpQueue::peek(std::uint32_t ahead) const {
  return static_cast<const xdp_desc*>(received_.entries)[(*received_.consumer + ahead) & (chunks_ - 1)];
}

void XdpQueue::release(std::uint32_t count) {
  auto* const free_chunks = static_cast<std::uint64_t*>(fill_.entries);
  const std::uint32_t at = *fill_.producer;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t address = peek(i).addr;
    // An old time must not be taken for that of the next packet.
    std::memset(memory_ + address - kStamp, 0, kStamp);
    free_chunks[(at + i) & (chunks_ - 1)] = address & ~std::uint64_t{kChunk - 1};
  }
  __atomic_store_n(fill_.producer, at + count, __ATOMIC_RELEASE);
  __atomic_store_n(received_.consumer, *received_.consumer + count, __ATOMIC_RELEASE);
}

}  // namespace weir::capture
