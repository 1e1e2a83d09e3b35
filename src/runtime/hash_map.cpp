// Hash tables: plain, least recently used, and the per-CPU forms of both. Exports make_hash.
//
// Entries lie in a slab and never move; buckets are chains of entry numbers. Lookups take no lock: a chain ends with a
// mark that names its bucket, so that a reader whom a reused entry led into another chain notices and starts again (the
// idea of the kernel's hlist_nulls). Whoever changes a chain locks its stripe of buckets; free entries form a list of
// their own under its own lock. When an LRU table is full, a clock hand takes the first entry that was not looked up
// since it last came by: the kernel's is approximate in other ways. Source for results and errors:
// kernel/bpf/hashtab.c. An extra entry a CPU lets full tables replace values in place.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

#include "runtime/makers.h"
#include "runtime/slab.h"

namespace weir::runtime {
namespace {

constexpr std::uint32_t kEndMark = 0x80000000;  // the end of the chain of bucket (link & ~kEndMark)
constexpr std::size_t kStripes = 64;

struct Head {  // of an entry; key and values follow
  std::atomic<std::uint32_t> next;
  std::atomic<std::uint32_t> hash;
  std::atomic<std::uint8_t> used;      // in a chain
  std::atomic<std::uint8_t> referred;  // looked up since the clock's hand came by
};

__extension__ using Wide = unsigned __int128;

std::uint32_t hash_of(const void* key, std::uint32_t size) {
  const auto* at = static_cast<const std::uint8_t*>(key);
  std::uint64_t state = 0x9e3779b97f4a7c15ull ^ size;
  const auto mix = [&state](std::uint64_t word) {
    const auto product = static_cast<Wide>(state ^ word) * 0xd6e8feb86659fd93ull;
    state = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  for (; size >= 8; size -= 8, at += 8) mix(load<std::uint64_t>(at, std::endian::native));
  if (size >= 4) {
    mix(load<std::uint32_t>(at, std::endian::native));
    at += 4;
    size -= 4;
  }
  std::uint64_t rest = 1;
  for (; size > 0; --size) rest = rest << 8 | *at++;
  mix(rest);
  return static_cast<std::uint32_t>(state ^ (state >> 32));
}

class HashMap : public Map {
 public:
  HashMap(const ebpf::MapDefinition& definition, unsigned cpus)
      : Map(definition),
        lru_(definition.type == ebpf::MapType::kLruHash || definition.type == ebpf::MapType::kLruPercpuHash),
        cpus_(definition.type == ebpf::MapType::kPercpuHash || definition.type == ebpf::MapType::kLruPercpuHash ? cpus
                                                                                                                : 1),
        key_at_(sizeof(Head)),
        value_at_(round_up(key_at_ + definition.key_size, 8)),
        value_stride_(round_up(definition.value_size, 8)),
        entries_(definition.max_entries, value_at_ + value_stride_ * cpus_) {
    std::uint32_t buckets = 1;
    while (buckets < definition.max_entries && buckets < (1u << 30)) buckets *= 2;
    mask_ = buckets - 1;
    buckets_ = std::vector<std::atomic<std::uint32_t>>(buckets);
    for (std::uint32_t i = 0; i < buckets; ++i) buckets_[i].store(kEndMark | i, std::memory_order_relaxed);
  }

  bool good() const { return entries_.data() != nullptr; }

  void* lookup(const void* key, unsigned cpu) override {
    const std::uint32_t entry = find(key, hash_of(key, definition_.key_size));
    if (entry == kEndMark) return nullptr;
    if (lru_) head(entry).referred.store(1, std::memory_order_relaxed);
    return value(entry, cpu);
  }

  int update(const void* key, const void* from, std::uint64_t flags, unsigned cpu) override {
    if (flags > kExist) return -EINVAL;
    const std::uint32_t hash = hash_of(key, definition_.key_size);
    for (;;) {
      {
        const std::lock_guard lock(stripe(hash));
        const std::uint32_t entry = find(key, hash);
        if (entry != kEndMark) {
          if (flags == kNoExist) return -EEXIST;
          std::memcpy(value(entry, cpu), from, definition_.value_size);
          if (lru_) head(entry).referred.store(1, std::memory_order_relaxed);
          return 0;
        }
        if (flags == kExist) return -ENOENT;
        const std::uint32_t fresh = take_free();
        if (fresh != kEndMark) {
          fill(fresh, key, from, hash, cpu);
          return 0;
        }
      }
      // The stripe is not held here: the victim may lie in any.
      if (!lru_) return -E2BIG;
      evict();
    }
  }

  int erase(const void* key) override {
    const std::uint32_t hash = hash_of(key, definition_.key_size);
    const std::lock_guard lock(stripe(hash));
    const std::uint32_t entry = find(key, hash);
    if (entry == kEndMark) return -ENOENT;
    unlink(entry, hash);
    give_free(entry);
    return 0;
  }

  int next_key(const void* key, void* next) const override {
    std::uint32_t from = 0;
    if (key != nullptr) {
      const std::uint32_t entry = find(key, hash_of(key, definition_.key_size));
      if (entry != kEndMark) from = entry + 1;
    }
    for (std::uint32_t i = from; i < definition_.max_entries; ++i)
      if (head(i).used.load(std::memory_order_acquire) != 0) {
        std::memcpy(next, entries_.at(i) + key_at_, definition_.key_size);
        return 0;
      }
    return -ENOENT;
  }

  bool contains(std::uint64_t address, std::uint64_t size) const override {
    for (unsigned cpu = 0; cpu < cpus_; ++cpu)
      if (entries_.contains(address, size, value_at_ + cpu * value_stride_, definition_.value_size)) return true;
    return false;
  }

  std::uint32_t size() const override { return count_.load(std::memory_order_relaxed); }

 private:
  Head& head(std::uint32_t entry) const { return *reinterpret_cast<Head*>(entries_.at(entry)); }
  std::uint8_t* value(std::uint32_t entry, unsigned cpu) const {
    return entries_.at(entry) + value_at_ + (cpus_ > 1 ? (cpu % cpus_) * value_stride_ : 0);
  }
  std::mutex& stripe(std::uint32_t hash) const { return stripes_[hash & mask_ & (kStripes - 1)]; }

  bool same_key(std::uint32_t entry, const void* key) const {
    const std::uint8_t* mine = entries_.at(entry) + key_at_;
    if (definition_.key_size == 4)
      return load<std::uint32_t>(mine, std::endian::native) ==
             load<std::uint32_t>(static_cast<const std::uint8_t*>(key), std::endian::native);
    if (definition_.key_size == 8)
      return load<std::uint64_t>(mine, std::endian::native) ==
             load<std::uint64_t>(static_cast<const std::uint8_t*>(key), std::endian::native);
    return std::memcmp(mine, key, definition_.key_size) == 0;
  }

  // The entry that holds the key, or kEndMark.
  std::uint32_t find(const void* key, std::uint32_t hash) const {
    const std::uint32_t bucket = hash & mask_;
    for (;;) {
      std::uint32_t at = buckets_[bucket].load(std::memory_order_acquire);
      while ((at & kEndMark) == 0) {
        const Head& entry = head(at);
        if (entry.hash.load(std::memory_order_relaxed) == hash && same_key(at, key)) return at;
        at = entry.next.load(std::memory_order_acquire);
      }
      if (at == (kEndMark | bucket)) return kEndMark;
    }
  }

  void fill(std::uint32_t entry, const void* key, const void* from, std::uint32_t hash, unsigned cpu) {
    Head& fresh = head(entry);
    std::memcpy(entries_.at(entry) + key_at_, key, definition_.key_size);
    if (cpus_ > 1) std::memset(entries_.at(entry) + value_at_, 0, value_stride_ * cpus_);
    std::memcpy(value(entry, cpu), from, definition_.value_size);
    fresh.hash.store(hash, std::memory_order_relaxed);
    fresh.referred.store(0, std::memory_order_relaxed);
    std::atomic<std::uint32_t>& bucket = buckets_[hash & mask_];
    fresh.next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
    bucket.store(entry, std::memory_order_release);
    fresh.used.store(1, std::memory_order_release);
    count_.fetch_add(1, std::memory_order_relaxed);
  }

  // The stripe of `hash` is held.
  void unlink(std::uint32_t entry, std::uint32_t hash) {
    head(entry).used.store(0, std::memory_order_relaxed);
    std::atomic<std::uint32_t>* link = &buckets_[hash & mask_];
    while (link->load(std::memory_order_relaxed) != entry) link = &head(link->load(std::memory_order_relaxed)).next;
    link->store(head(entry).next.load(std::memory_order_relaxed), std::memory_order_release);
    count_.fetch_sub(1, std::memory_order_relaxed);
  }

  std::uint32_t take_free() {
    const std::lock_guard lock(free_lock_);
    if (!free_.empty()) {
      const std::uint32_t entry = free_.back();
      free_.pop_back();
      return entry;
    }
    return untouched_ < definition_.max_entries ? untouched_++ : kEndMark;
  }
  void give_free(std::uint32_t entry) {
    const std::lock_guard lock(free_lock_);
    free_.push_back(entry);
  }

  // Frees the entry that the clock's hand stops at. Another thread may have freed one meanwhile: then nothing is lost.
  void evict() {
    const std::lock_guard clock(clock_lock_);
    for (std::uint64_t turn = 0; turn < 2ull * definition_.max_entries + 1; ++turn) {
      const std::uint32_t entry = hand_;
      hand_ = hand_ + 1 == definition_.max_entries ? 0 : hand_ + 1;
      Head& candidate = head(entry);
      if (candidate.used.load(std::memory_order_acquire) == 0) continue;
      if (candidate.referred.exchange(0, std::memory_order_relaxed) != 0) continue;
      const std::uint32_t hash = candidate.hash.load(std::memory_order_relaxed);
      const std::lock_guard lock(stripe(hash));
      if (candidate.used.load(std::memory_order_relaxed) == 0 || candidate.hash.load(std::memory_order_relaxed) != hash)
        continue;
      unlink(entry, hash);
      give_free(entry);
      return;
    }
  }

  bool lru_;
  unsigned cpus_;
  std::uint64_t key_at_;
  std::uint64_t value_at_;
  std::uint64_t value_stride_;
  Slab entries_;
  std::uint32_t mask_ = 0;
  std::vector<std::atomic<std::uint32_t>> buckets_;
  mutable std::mutex stripes_[kStripes];
  std::mutex free_lock_;
  std::vector<std::uint32_t> free_;
  std::uint32_t untouched_ = 0;
  std::mutex clock_lock_;
  std::uint32_t hand_ = 0;
  std::atomic<std::uint32_t> count_{0};
};

}  // namespace

MadeMap make_hash(const ebpf::MapDefinition& definition, const MapOptions& options) {
  if (definition.max_entries > (1u << 30)) return no_memory(definition);
  auto map = std::make_shared<HashMap>(definition, options.cpus);
  if (!map->good()) return no_memory(definition);
  return std::shared_ptr<Map>(std::move(map));
}

}  // namespace weir::runtime
