// Ring buffers. Exports make_ring_buffer.
//
// Records lie in a ring of 2^n bytes: a header of 8 bytes (the length and whether it is busy or discarded) and the
// data, rounded up to 8. The ring is mapped twice in a row, so that a record that runs over the end is still in one
// piece. Reserving takes a lock, committing does not. Source: kernel/bpf/ringbuf.c.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include <weir/base/file.h>

#include "runtime/makers.h"
#include "runtime/slab.h"

namespace weir::runtime {
namespace {

constexpr std::uint32_t kBusy = 1u << 31;
constexpr std::uint32_t kDiscarded = 1u << 30;
constexpr std::uint64_t kHeader = 8;

class Ring : public RingBuffer {
 public:
  explicit Ring(const ebpf::MapDefinition& definition) : RingBuffer(definition), size_(definition.max_entries) {
    const FileDescriptor memory(memfd_create("weir-ring", MFD_CLOEXEC));
    if (!memory || ftruncate(memory.get(), static_cast<off_t>(size_)) != 0) return;
    void* both = mmap(nullptr, 2 * size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (both == MAP_FAILED) return;
    auto* base = static_cast<std::uint8_t*>(both);
    for (const std::uint64_t half : {std::uint64_t{0}, size_})
      if (mmap(base + half, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory.get(), 0) == MAP_FAILED) {
        munmap(both, 2 * size_);
        return;
      }
    data_ = base;
  }
  ~Ring() override {
    if (data_ != nullptr) munmap(data_, 2 * size_);
  }
  bool good() const { return data_ != nullptr; }

  void* lookup(const void*, unsigned) override { return nullptr; }
  int update(const void*, const void*, std::uint64_t, unsigned) override { return -EOPNOTSUPP; }
  int erase(const void*) override { return -EOPNOTSUPP; }
  int next_key(const void*, void*) const override { return -EOPNOTSUPP; }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(available()); }

  bool contains(std::uint64_t address, std::uint64_t length) const override {
    // Any record that is being written; programs keep pointers to their own only.
    const std::lock_guard lock(lock_);
    for (std::uint64_t at = consumed_.load(); at < produced_.load();) {
      const std::uint32_t word = header(at).load(std::memory_order_acquire);
      const std::uint64_t bytes = word & ~(kBusy | kDiscarded);
      const std::uint64_t begin = reinterpret_cast<std::uint64_t>(data_ + at % size_ + kHeader);
      if ((word & kBusy) != 0 && address >= begin && address - begin <= bytes && length <= bytes - (address - begin))
        return true;
      at += round_up(bytes, 8) + kHeader;
    }
    return false;
  }

  void* reserve(std::uint64_t bytes) override {
    const std::uint64_t whole = round_up(bytes, 8) + kHeader;
    if (bytes >= kDiscarded || whole > size_) return nullptr;
    const std::lock_guard lock(lock_);
    const std::uint64_t at = produced_.load(std::memory_order_relaxed);
    if (at + whole - consumed_.load(std::memory_order_acquire) > size_) return nullptr;
    header(at).store(static_cast<std::uint32_t>(bytes) | kBusy, std::memory_order_release);
    produced_.store(at + whole, std::memory_order_release);
    return data_ + at % size_ + kHeader;
  }
  void commit(void* record) override { finish(record, 0); }
  void discard(void* record) override { finish(record, kDiscarded); }

  std::optional<std::uint64_t> reserved_size(const void* record) const override {
    const auto address = reinterpret_cast<std::uint64_t>(record);
    const std::lock_guard lock(lock_);
    for (std::uint64_t at = consumed_.load(); at < produced_.load();) {
      const std::uint32_t word = header(at).load(std::memory_order_acquire);
      const std::uint64_t bytes = word & ~(kBusy | kDiscarded);
      if (address == reinterpret_cast<std::uint64_t>(data_ + at % size_ + kHeader))
        return (word & kBusy) != 0 ? std::optional(bytes) : std::nullopt;
      at += round_up(bytes, 8) + kHeader;
    }
    return std::nullopt;
  }

  std::uint64_t available() const override { return produced_.load() - consumed_.load(); }

  std::size_t consume(const std::function<void(ByteSpan)>& use) override {
    const std::lock_guard reader(reader_lock_);
    std::size_t count = 0;
    for (;;) {
      const std::uint64_t at = consumed_.load(std::memory_order_relaxed);
      if (at >= produced_.load(std::memory_order_acquire)) return count;
      const std::uint32_t word = header(at).load(std::memory_order_acquire);
      if ((word & kBusy) != 0) return count;
      const std::uint64_t bytes = word & ~(kBusy | kDiscarded);
      if ((word & kDiscarded) == 0) {
        use({data_ + at % size_ + kHeader, bytes});
        ++count;
      }
      consumed_.store(at + round_up(bytes, 8) + kHeader, std::memory_order_release);
    }
  }

 private:
  std::atomic<std::uint32_t>& header(std::uint64_t at) const {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(data_ + at % size_);
  }
  void finish(void* record, std::uint32_t mark) {
    auto& word = *reinterpret_cast<std::atomic<std::uint32_t>*>(static_cast<std::uint8_t*>(record) - kHeader);
    word.store((word.load(std::memory_order_relaxed) & ~kBusy) | mark, std::memory_order_release);
  }

  std::uint64_t size_;
  std::uint8_t* data_ = nullptr;
  mutable std::mutex lock_;
  std::mutex reader_lock_;
  std::atomic<std::uint64_t> produced_{0};
  std::atomic<std::uint64_t> consumed_{0};
};

}  // namespace

MadeMap make_ring_buffer(const ebpf::MapDefinition& definition, const MapOptions&) {
  auto ring = std::make_shared<Ring>(definition);
  if (!ring->good()) return no_memory(definition);
  return std::shared_ptr<Map>(std::move(ring));
}

}  // namespace weir::runtime
