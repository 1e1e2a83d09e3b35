// Ring buffers. Exports make_ring_buffer.
//
// Records lie in a ring of 2^n bytes: a header of 8 bytes (the length and whether it is busy or discarded) and the
// data, rounded up to 8. The ring is mapped twice in a row, so that a record that runs over the end is still in one
// piece. Reserving takes a lock, committing does not. Source: kernel/bpf/ringbuf.c.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <new>

#include <weir/base/file.h>

#include "runtime/makers.h"
#include "runtime/slab.h"

namespace weir::runtime {
namespace {

constexpr std::uint32_t kBusy = 1u << 31;
constexpr std::uint32_t kDiscarded = 1u << 30;
constexpr std::uint32_t kMarks = kBusy | kDiscarded;
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
    const std::optional<ByteSpan> record = reserved_around(address);
    return record && length <= record->size() - (address - reinterpret_cast<std::uint64_t>(record->data()));
  }

  void* reserve(std::uint64_t bytes) override {
    const std::uint64_t whole = round_up(bytes, 8) + kHeader;
    if (bytes >= kDiscarded || whole >= size_) return nullptr;
    const std::lock_guard lock(lock_);
    const std::uint64_t at = produced_.load(std::memory_order_relaxed);
    const std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    if (at + whole - consumed >= size_) return nullptr;  // one byte stays free
    while (!reserved_.empty() && (reserved_.front() < consumed || !is_busy(reserved_.front()))) reserved_.pop_front();
    while (!reserved_.empty() && !is_busy(reserved_.back())) reserved_.pop_back();
    try {
      reserved_.push_back(at);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    header(at).store(static_cast<std::uint32_t>(bytes) | kBusy, std::memory_order_release);
    produced_.store(at + whole, std::memory_order_release);
    return data_ + at % size_ + kHeader;
  }
  void commit(void* record) override { finish(record, 0); }
  void discard(void* record) override { finish(record, kDiscarded); }

  std::optional<std::uint64_t> reserved_size(const void* record) const override {
    const std::optional<ByteSpan> found = reserved_around(reinterpret_cast<std::uint64_t>(record));
    return found && found->data() == record ? std::optional<std::uint64_t>(found->size()) : std::nullopt;
  }

  std::uint64_t available() const override {
    const std::uint64_t consumed = consumed_.load();  // first: what is read was there before
    return produced_.load() - consumed;
  }
  std::uint64_t produced() const override { return produced_.load(); }
  std::uint64_t consumed() const override { return consumed_.load(); }

  std::size_t consume(const std::function<void(ByteSpan)>& use) override {
    const std::lock_guard reader(reader_lock_);
    std::size_t count = 0;
    for (;;) {
      const std::uint64_t at = consumed_.load(std::memory_order_relaxed);
      if (at >= produced_.load(std::memory_order_acquire)) return count;
      const std::uint32_t word = header(at).load(std::memory_order_acquire);
      if ((word & kBusy) != 0) return count;
      const std::uint64_t bytes = word & ~kMarks;
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
  bool is_busy(std::uint64_t at) const { return (header(at).load(std::memory_order_acquire) & kBusy) != 0; }
  // The record that is being written and has this address, or ends before it.
  std::optional<ByteSpan> reserved_around(std::uint64_t address) const {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(data_);
    if (offset > 2 * size_) return std::nullopt;
    const std::lock_guard lock(lock_);
    // A record lies in this round through the ring or in the next one.
    const std::uint64_t consumed = consumed_.load(std::memory_order_acquire);
    const std::uint64_t round = consumed - consumed % size_;
    for (const std::uint64_t place : {round + offset, round + size_ + offset}) {
      if (place < kHeader) continue;
      const auto next = std::upper_bound(reserved_.begin(), reserved_.end(), place - kHeader);
      if (next == reserved_.begin()) continue;
      const std::uint64_t at = *std::prev(next);
      if (at < consumed || !is_busy(at)) continue;
      const ByteSpan record(data_ + at % size_ + kHeader, header(at).load(std::memory_order_relaxed) & ~kMarks);
      if (address - reinterpret_cast<std::uint64_t>(record.data()) <= record.size()) return record;
    }
    return std::nullopt;
  }
  void finish(void* record, std::uint32_t mark) {
    auto& word = *reinterpret_cast<std::atomic<std::uint32_t>*>(static_cast<std::uint8_t*>(record) - kHeader);
    word.store((word.load(std::memory_order_relaxed) & ~kBusy) | mark, std::memory_order_release);
  }

  std::uint64_t size_;
  std::uint8_t* data_ = nullptr;
  mutable std::mutex lock_;
  std::deque<std::uint64_t> reserved_;  // where records begin that may still be written, in order
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
