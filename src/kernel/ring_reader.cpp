// Ring buffers of the kernel, read. Exports Map::consume.
//
// The kernel maps a page with the reader's position, which user space writes, a page with the writers' position, and
// the data twice in a row, so that a record that runs over the end is still in one piece. A record has a header of 8
// bytes: its length, and whether it is being written or was dropped. Source: kernel/bpf/ringbuf.c.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include <fmt/format.h>

#include <weir/kernel/map.h>

namespace weir::kernel {
namespace {

constexpr std::uint32_t kBusy = 1u << 31;
constexpr std::uint32_t kDropped = 1u << 30;
constexpr std::uint64_t kHeader = 8;

class Mapping {
 public:
  Mapping(int descriptor, std::size_t bytes, int protection, std::size_t offset)
      : memory_(mmap(nullptr, bytes, protection, MAP_SHARED, descriptor, static_cast<off_t>(offset))), bytes_(bytes) {}
  ~Mapping() {
    if (*this) munmap(memory_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  explicit operator bool() const { return memory_ != MAP_FAILED; }
  std::uint8_t* data() const { return static_cast<std::uint8_t*>(memory_); }

 private:
  void* memory_;
  std::size_t bytes_;
};

}  // namespace

Result<std::uint64_t> Map::consume(const std::function<void(ByteSpan)>& use) {
  if (definition_.type != ebpf::MapType::kRingbuf)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("maps of type {} have no records", ebpf::name_of(definition_.type))});
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t size = definition_.max_entries;
  const Mapping reader(descriptor(), page, PROT_READ | PROT_WRITE, 0);
  if (!reader) return fail(system_failure("map the ring buffer's position", errno));
  const Mapping writers(descriptor(), page + 2 * size, PROT_READ, page);
  if (!writers) return fail(system_failure("map the ring buffer", errno));
  auto& consumed = *reinterpret_cast<std::atomic<std::uint64_t>*>(reader.data());
  const auto& produced = *reinterpret_cast<const std::atomic<std::uint64_t>*>(writers.data());
  const std::uint8_t* const data = writers.data() + page;
  std::uint64_t at = consumed.load(std::memory_order_acquire);
  const std::uint64_t before = produced.load(std::memory_order_acquire) - at;
  while (at < produced.load(std::memory_order_acquire)) {
    const std::uint8_t* const record = data + at % size;
    const std::uint32_t word =
        reinterpret_cast<const std::atomic<std::uint32_t>*>(record)->load(std::memory_order_acquire);
    if ((word & kBusy) != 0) break;
    const std::uint64_t bytes = word & ~(kBusy | kDropped);
    if ((word & kDropped) == 0) use({record + kHeader, bytes});
    at += (bytes + kHeader + 7) / 8 * 8;
    consumed.store(at, std::memory_order_release);
  }
  return before;
}

}  // namespace weir::kernel
