// Queues, stacks and bloom filters: values without keys. Exports make_queue.
//
// Source for results and errors: kernel/bpf/queue_stack_maps.c, kernel/bpf/bloom_filter.c. A full queue refuses a value
// with E2BIG, or drops its oldest where the flag BPF_EXIST is given.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "runtime/makers.h"

namespace weir::runtime {
namespace {

// What maps without keys answer to those who come with one. Source: the kernel's map_ops of these types.
class KeylessMap : public Map {
 public:
  using Map::Map;
  void* lookup(const void*, unsigned) override { return nullptr; }
  int update(const void*, const void*, std::uint64_t, unsigned) override { return -EINVAL; }
  int erase(const void*) override { return -EINVAL; }
  int next_key(const void*, void*) const override { return -EINVAL; }
  bool contains(std::uint64_t, std::uint64_t) const override { return false; }
};

class QueueMap : public KeylessMap {
 public:
  explicit QueueMap(const ebpf::MapDefinition& definition)
      : KeylessMap(definition), last_first_(definition.type == ebpf::MapType::kStack) {}

  int push(const void* value, std::uint64_t flags) override {
    if (flags != kAny && flags != kExist) return -EINVAL;
    const auto* bytes = static_cast<const std::uint8_t*>(value);
    const std::lock_guard lock(lock_);
    if (values_.size() >= definition_.max_entries) {
      if (flags != kExist) return -E2BIG;
      values_.pop_front();
    }
    values_.emplace_back(bytes, bytes + definition_.value_size);
    return 0;
  }
  int pop(void* value) override { return take(value, true); }
  int peek(void* value) override { return take(value, false); }
  std::uint32_t size() const override {
    const std::lock_guard lock(lock_);
    return static_cast<std::uint32_t>(values_.size());
  }

 private:
  int take(void* value, bool remove) {
    const std::lock_guard lock(lock_);
    if (values_.empty()) {
      std::memset(value, 0, definition_.value_size);
      return -ENOENT;
    }
    std::memcpy(value, last_first_ ? values_.back().data() : values_.front().data(), definition_.value_size);
    if (remove && last_first_) values_.pop_back();
    else if (remove) values_.pop_front();
    return 0;
  }

  bool last_first_;
  mutable std::mutex lock_;
  std::deque<std::vector<std::uint8_t>> values_;
};

// Five hash functions unless the definition's contents say otherwise; bits as the kernel sizes them, a power of two of
// at least entries * hashes * 7 / 5.
class BloomFilter : public KeylessMap {
 public:
  explicit BloomFilter(const ebpf::MapDefinition& definition) : KeylessMap(definition) {
    std::uint64_t bits = 64;
    const std::uint64_t wanted = std::uint64_t{definition.max_entries} * kHashes * 7 / 5;
    while (bits < wanted) bits *= 2;
    mask_ = bits - 1;
    words_ = std::vector<std::atomic<std::uint64_t>>(bits / 64);
  }
  int push(const void* value, std::uint64_t flags) override {
    if (flags != kAny) return -EINVAL;
    for (unsigned i = 0; i < kHashes; ++i) {
      const std::uint64_t bit = hash(value, i) & mask_;
      words_[bit / 64].fetch_or(std::uint64_t{1} << (bit % 64), std::memory_order_relaxed);
    }
    return 0;
  }
  int pop(void*) override { return -EOPNOTSUPP; }
  int peek(void* value) override {
    for (unsigned i = 0; i < kHashes; ++i) {
      const std::uint64_t bit = hash(value, i) & mask_;
      if ((words_[bit / 64].load(std::memory_order_relaxed) >> (bit % 64) & 1) == 0) return -ENOENT;
    }
    return 0;
  }
  std::uint32_t size() const override { return 0; }

 private:
  static constexpr unsigned kHashes = 5;
  std::uint64_t hash(const void* value, unsigned seed) const {
    std::uint64_t state = 0xcbf29ce484222325ull + seed * 0x9e3779b97f4a7c15ull;
    for (std::uint32_t i = 0; i < definition_.value_size; ++i)
      state = (state ^ static_cast<const std::uint8_t*>(value)[i]) * 0x100000001b3ull;
    state ^= state >> 29;
    state *= 0xbf58476d1ce4e5b9ull;
    return state ^ state >> 32;
  }
  std::uint64_t mask_;
  std::vector<std::atomic<std::uint64_t>> words_;
};

}  // namespace

MadeMap make_queue(const ebpf::MapDefinition& definition, const MapOptions&) {
  if (definition.type == ebpf::MapType::kBloomFilter)
    return std::shared_ptr<Map>(std::make_shared<BloomFilter>(definition));
  return std::shared_ptr<Map>(std::make_shared<QueueMap>(definition));
}

}  // namespace weir::runtime
