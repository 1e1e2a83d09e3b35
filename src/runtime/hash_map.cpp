// Hash tables: plain, least recently used, and the per-CPU forms of both. Exports make_hash.
//
// Open addressing in chunks of 14 places, after F14 (Bronson and Shi 2019): a chunk has a byte of the hash for each
// place, compared all at once, and a count of the entries that went on to a later chunk because this one was full, so
// that nothing is left behind where an entry is deleted. The places follow at once, so that a lookup touches one page.
// The number of places is fixed when the table is made: an entry never moves, and key and value lie in its place.
// Lookups take no lock. Whoever changes an entry locks the stripe of its first chunk, and for a moment the chunk where
// it takes a place.
//
// When an LRU table is full, a clock hand takes the first entry that was not looked up since it last came by: the
// kernel's is approximate in other ways. Source for results and errors: kernel/bpf/hashtab.c.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
// ThreadSanitizer cannot see that the bytes of a vector are read one by one.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_PLAIN_BYTES
#endif
#endif
#if !defined(WEIR_PLAIN_BYTES) && (!defined(__SSE2__) || defined(__SANITIZE_THREAD__))
#define WEIR_PLAIN_BYTES
#endif

#include "runtime/makers.h"
#include "runtime/slab.h"
#include "runtime/words.h"

namespace weir::runtime {
namespace {

constexpr std::uint64_t kPlaces = 14;  // of a chunk
constexpr std::uint64_t kFilled = 12;  // on average, at most
constexpr std::uint64_t kHead = 16;    // bytes of a chunk before its places
// Keys and values of up to 8 bytes: a place has 16 bytes, and a chunk starts a cache line.
constexpr std::uint64_t kSmall = 16;
constexpr std::uint64_t kSmallChunk = 256;
constexpr unsigned kOverflow = 14;  // the byte that counts entries that went on; kMany stays
constexpr unsigned kLock = 15;      // the byte that is 1 while a place is taken
constexpr std::uint8_t kEmpty = 0;
constexpr std::uint8_t kBusy = 1;     // taken, not filled yet
constexpr std::uint8_t kUsed = 0x80;  // and seven bits of the hash
constexpr std::uint8_t kMany = 127;   // below kUsed, so that only places look used
constexpr std::size_t kStripes = 64;
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

__extension__ using Wide = unsigned __int128;
std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
  const auto product = static_cast<Wide>(state ^ word) * 0xd6e8feb86659fd93ull;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
constexpr std::uint64_t kSeed = 0x9e3779b97f4a7c15ull;

// Keys by their size: 4 and 8 bytes known at compile time, 0 for any.
template <std::uint32_t kSize>
std::uint64_t hash_of(const void* key, std::uint32_t size) {
  const auto* at = static_cast<const std::uint8_t*>(key);
  if constexpr (kSize == 4) return mix(kSeed, load<std::uint32_t>(at, std::endian::native));
  if constexpr (kSize == 8) return mix(kSeed, load<std::uint64_t>(at, std::endian::native));
  std::uint64_t state = kSeed;
  for (; size >= 8; size -= 8, at += 8) state = mix(state, load<std::uint64_t>(at, std::endian::native));
  return size == 0 ? state : mix(state, partial_word(at, size));
}

// Whether a place holds the key.
template <std::uint32_t kSize>
bool is_key(const std::uint8_t* place, const void* key, std::uint32_t size) {
  const auto* at = static_cast<const std::uint8_t*>(key);
  if constexpr (kSize == 4)
    return __atomic_load_n(reinterpret_cast<const HalfWord*>(place), __ATOMIC_RELAXED) ==
           load<std::uint32_t>(at, std::endian::native);
  if constexpr (kSize == 8) return read_word(place) == load<std::uint64_t>(at, std::endian::native);
  for (; size >= 8; size -= 8, at += 8, place += 8)
    if (read_word(place) != load<std::uint64_t>(at, std::endian::native)) return false;
  return size == 0 || read_word(place) == partial_word(at, size);
}

// A bit for each place whose byte is `tag`.
std::uint32_t places_with(const std::uint8_t* chunk, std::uint8_t tag) {
#if !defined(WEIR_PLAIN_BYTES)
  const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(chunk));
  const __m128i same = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(static_cast<char>(tag)));
  std::atomic_thread_fence(std::memory_order_acquire);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(same)) & ((1u << kPlaces) - 1);
#else
  const std::uint64_t low = __atomic_load_n(reinterpret_cast<const Word*>(chunk), __ATOMIC_ACQUIRE);
  const std::uint64_t high = __atomic_load_n(reinterpret_cast<const Word*>(chunk + 8), __ATOMIC_ACQUIRE);
  std::uint32_t found = 0;
  for (unsigned i = 0; i < kPlaces; ++i)
    if (static_cast<std::uint8_t>((i < 8 ? low >> (8 * i) : high >> (8 * (i - 8)))) == tag) found |= 1u << i;
  return found;
#endif
}

#if !defined(WEIR_PLAIN_BYTES)
// For each seven bits of a hash, its byte sixteen times: SSE2 takes four steps to make that.
struct Tags {
  alignas(16) std::uint8_t bytes[128][16];
};
constexpr Tags kTags = [] {
  Tags tags{};
  for (unsigned tag = 0; tag < 128; ++tag)
    for (std::uint8_t& byte : tags.bytes[tag]) byte = static_cast<std::uint8_t>(tag | kUsed);
  return tags;
}();
#endif

// A bit for each place that seven bits of a hash, the uppermost, say.
std::uint64_t places_for(const std::uint8_t* chunk, std::uint64_t hash) {
#if !defined(WEIR_PLAIN_BYTES)
  const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(chunk));
  const __m128i same = _mm_cmpeq_epi8(bytes, *reinterpret_cast<const __m128i*>(kTags.bytes[hash >> 57]));
  std::atomic_thread_fence(std::memory_order_acquire);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(same));
#else
  return places_with(chunk, static_cast<std::uint8_t>(hash >> 57 | kUsed));
#endif
}
std::uint64_t chunks_for(std::uint64_t entries) {
  std::uint64_t chunks = 1;
  while (chunks * kFilled < entries) chunks *= 2;
  return chunks;
}

template <std::uint32_t kSize>
class HashMap final : public Map {
 public:
  HashMap(const ebpf::MapDefinition& definition, unsigned cpus)
      : Map(definition),
        key_size_(definition.key_size),
        lru_(definition.type == ebpf::MapType::kLruHash || definition.type == ebpf::MapType::kLruPercpuHash),
        cpus_(definition.type == ebpf::MapType::kPercpuHash || definition.type == ebpf::MapType::kLruPercpuHash ? cpus
                                                                                                                : 1),
        value_at_(round_up(definition.key_size, 8)),
        value_stride_(round_up(definition.value_size, 8)),
        chunk_count_(chunks_for(definition.max_entries)),
        stride_(value_at_ + value_stride_ * cpus_),
        chunk_bytes_(stride_ == kSmall ? kSmallChunk : round_up(kHead + kPlaces * stride_, 16)),
        chunks_(chunk_count_, chunk_bytes_),
        mask_(chunk_count_ - 1),
        chunk_mask_(mask_ * kSmallChunk),
        is_plain_(!lru_ && cpus_ == 1),
        referred_(lru_ && chunks_.data() != nullptr ? chunk_count_ * kPlaces : 0) {}

  bool good() const { return chunks_.data() != nullptr; }

  void* lookup(const void* key, unsigned cpu) override {
    return is_plain_ ? lookup_plain<0>(this, key) : lookup_any(key, cpu);
  }
  LookupFunction fast_lookup() const override {
    if (!is_plain_) return nullptr;
    return kSize != 0 && stride_ == kSmall ? &lookup_plain<kSmall> : &lookup_plain<0>;
  }

  int update(const void* key, const void* from, std::uint64_t flags, unsigned cpu) override {
    if (flags > kExist) return -EINVAL;
    const std::uint64_t hash = hash_key(key);
    for (;;) {
      {
        const std::lock_guard lock(stripe(hash));
        const std::uint64_t place = find(key);
        if (place != kNowhere) {
          if (flags == kNoExist) return -EEXIST;
          write_words(value(place, cpu), from, definition_.value_size);
          if (lru_) referred_[place].store(1, std::memory_order_relaxed);
          return 0;
        }
        if (flags == kExist) return -ENOENT;
        if (count_.fetch_add(1, std::memory_order_relaxed) < definition_.max_entries) {
          fill(take_place(hash), key, from, hash, cpu);
          return 0;
        }
        count_.fetch_sub(1, std::memory_order_relaxed);
      }
      // The stripe is not held here: the victim may lie in any.
      if (!lru_) return -E2BIG;
      evict();
    }
  }

  int erase(const void* key) override {
    const std::uint64_t hash = hash_key(key);
    const std::lock_guard lock(stripe(hash));
    const std::uint64_t place = find(key);
    if (place == kNowhere) return -ENOENT;
    remove(place, hash);
    return 0;
  }

  int next_key(const void* key, void* next) const override {
    std::uint64_t from = 0;
    if (key != nullptr) {
      const std::uint64_t place = find(key);
      if (place != kNowhere) from = place + 1;
    }
    for (std::uint64_t i = from; i < chunk_count_ * kPlaces; ++i) {
      if (__atomic_load_n(tag(i), __ATOMIC_ACQUIRE) < kUsed) continue;
      copy_key(i, next);
      return 0;
    }
    return -ENOENT;
  }

  bool contains(std::uint64_t address, std::uint64_t size) const override {
    const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(chunks_.data());
    if (offset >= chunk_count_ * chunk_bytes_) return false;
    const std::uint64_t behind = offset % chunk_bytes_;
    if (behind < kHead || behind - kHead >= kPlaces * stride_) return false;
    const std::uint64_t place = (behind - kHead) % stride_;
    if (place < value_at_) return false;
    const std::uint64_t inside = (place - value_at_) % value_stride_;
    return inside <= definition_.value_size && size <= definition_.value_size - inside;
  }

  std::uint32_t size() const override { return count_.load(std::memory_order_relaxed); }
  unsigned cpus() const override { return cpus_; }

 private:
  std::uint8_t* place_at(std::uint64_t place) const {
    return chunk(place / kPlaces) + kHead + place % kPlaces * stride_;
  }
  std::uint8_t* value(std::uint64_t place, unsigned cpu) const {
    return place_at(place) + value_at_ + (cpus_ > 1 ? (cpu % cpus_) * value_stride_ : 0);
  }
  std::uint8_t* chunk(std::uint64_t index) const { return chunks_.data() + index * chunk_bytes_; }
  std::uint8_t* tag(std::uint64_t place) const { return chunk(place / kPlaces) + place % kPlaces; }
  // The bits above the lowest eight: in small chunks they are the offset as well.
  std::uint64_t first_chunk(std::uint64_t hash) const { return hash / kSmallChunk & mask_; }
  std::mutex& stripe(std::uint64_t hash) const { return stripes_[first_chunk(hash) & (kStripes - 1)]; }
  static std::uint8_t tag_of(std::uint64_t hash) { return static_cast<std::uint8_t>(hash >> 57 | kUsed); }
  // From chunk to chunk by an odd distance: all are visited.
  static std::uint64_t step_of(std::uint64_t hash) { return 2 * (hash >> 57) + 1; }

  std::uint64_t hash_key(const void* key) const { return hash_of<kSize>(key, key_size_); }

  // The place that holds the key, or kNowhere.
  std::uint64_t find(const void* key) const {
    const std::uint64_t hash = hash_key(key);
    std::uint64_t index = first_chunk(hash);
    for (std::uint64_t turn = 0; turn <= mask_; ++turn) {
      const std::uint8_t* at = chunk(index);
      for (std::uint64_t found = places_for(at, hash); found != 0; found &= found - 1) {
        const std::uint64_t place = index * kPlaces + static_cast<std::uint64_t>(__builtin_ctzll(found));
        if (is_key<kSize>(place_at(place), key, key_size_)) return place;
      }
      if (__atomic_load_n(at + kOverflow, __ATOMIC_ACQUIRE) == 0) break;
      index = (index + step_of(hash)) & mask_;
    }
    return kNowhere;
  }
  // find() without numbers of places, for what is called most: most keys are in their first chunk, or nowhere.
  // kStride: what a place takes, where it is known.
  template <std::uint64_t kStride>
  static void* lookup_plain(Map* map, const void* key) {
    auto& self = static_cast<HashMap&>(*map);
    const std::uint64_t hash = self.hash_key(key);
    const std::uint64_t stride = kStride != 0 ? kStride : self.stride_;
    const std::uint64_t value_at = kStride != 0 ? 8 : self.value_at_;
    const std::uint64_t offset = kStride != 0 ? hash & self.chunk_mask_ : self.first_chunk(hash) * self.chunk_bytes_;
    std::uint8_t* const at = self.chunks_.data() + offset;
    for (std::uint64_t found = places_for(at, hash); found != 0; found &= found - 1) {
      std::uint8_t* const place = at + kHead + static_cast<std::uint64_t>(__builtin_ctzll(found)) * stride;
      if (is_key<kSize>(place, key, self.key_size_)) return place + value_at;
    }
    if (__atomic_load_n(at + kOverflow, __ATOMIC_ACQUIRE) == 0) return nullptr;
    return self.lookup_any(key, 0);
  }
  __attribute__((noinline)) void* lookup_any(const void* key, unsigned cpu) {
    const std::uint64_t place = find(key);
    if (place == kNowhere) return nullptr;
    if (lru_) referred_[place].store(1, std::memory_order_relaxed);
    return value(place, cpu);
  }

  void copy_key(std::uint64_t place, void* to) const {
    const std::uint8_t* from = place_at(place);
    auto* out = static_cast<std::uint8_t*>(to);
    std::uint32_t left = key_size_;
    for (; left >= 8; left -= 8, from += 8, out += 8) {
      const std::uint64_t word = read_word(from);
      std::memcpy(out, &word, 8);
    }
    const std::uint64_t word = left != 0 ? read_word(from) : 0;
    std::memcpy(out, &word, left);
  }

  static void lock_chunk(std::uint8_t* at) {
    while (__atomic_exchange_n(at + kLock, std::uint8_t{1}, __ATOMIC_ACQUIRE) != 0) {}
  }
  static void unlock_chunk(std::uint8_t* at) { __atomic_store_n(at + kLock, std::uint8_t{0}, __ATOMIC_RELEASE); }

  // A free place for an entry; there is one: count_ was raised before. Chunks that are full count that it went on.
  std::uint64_t take_place(std::uint64_t hash) {
    for (std::uint64_t index = first_chunk(hash);; index = (index + step_of(hash)) & mask_) {
      std::uint8_t* at = chunk(index);
      lock_chunk(at);
      const std::uint32_t free = places_with(at, kEmpty);
      if (free != 0) {
        const auto i = static_cast<unsigned>(__builtin_ctz(free));
        __atomic_store_n(at + i, kBusy, __ATOMIC_RELAXED);
        unlock_chunk(at);
        return index * kPlaces + i;
      }
      const std::uint8_t gone_on = __atomic_load_n(at + kOverflow, __ATOMIC_RELAXED);
      if (gone_on != kMany) __atomic_store_n(at + kOverflow, static_cast<std::uint8_t>(gone_on + 1), __ATOMIC_RELEASE);
      unlock_chunk(at);
    }
  }

  void fill(std::uint64_t place, const void* key, const void* from, std::uint64_t hash, unsigned cpu) {
    write_words(place_at(place), key, key_size_);
    if (cpus_ > 1)
      for (std::uint64_t i = 0; i < value_stride_ * cpus_; i += 8) write_word(place_at(place) + value_at_ + i, 0);
    write_words(value(place, cpu), from, definition_.value_size);
    if (lru_) referred_[place].store(0, std::memory_order_relaxed);
    __atomic_store_n(tag(place), tag_of(hash), __ATOMIC_RELEASE);
  }

  // The stripe of `hash` is held.
  void remove(std::uint64_t place, std::uint64_t hash) {
    __atomic_store_n(tag(place), kEmpty, __ATOMIC_RELEASE);
    for (std::uint64_t index = first_chunk(hash); index != place / kPlaces; index = (index + step_of(hash)) & mask_) {
      std::uint8_t* at = chunk(index);
      lock_chunk(at);
      const std::uint8_t gone_on = __atomic_load_n(at + kOverflow, __ATOMIC_RELAXED);
      if (gone_on != kMany) __atomic_store_n(at + kOverflow, static_cast<std::uint8_t>(gone_on - 1), __ATOMIC_RELEASE);
      unlock_chunk(at);
    }
    count_.fetch_sub(1, std::memory_order_relaxed);
  }

  // Removes the entry that the clock's hand stops at. Where another thread removed one meanwhile, nothing is lost.
  void evict() {
    const std::lock_guard clock(clock_lock_);
    const std::uint64_t places = chunk_count_ * kPlaces;
    std::vector<std::uint8_t> key(key_size_);
    for (std::uint64_t turn = 0; turn < 2 * places + 1; ++turn) {
      const std::uint64_t place = hand_;
      hand_ = hand_ + 1 == places ? 0 : hand_ + 1;
      if (__atomic_load_n(tag(place), __ATOMIC_ACQUIRE) < kUsed) continue;
      if (referred_[place].exchange(0, std::memory_order_relaxed) != 0) continue;
      copy_key(place, key.data());
      const std::uint64_t hash = hash_key(key.data());
      const std::lock_guard lock(stripe(hash));
      if (find(key.data()) != place) continue;
      remove(place, hash);
      return;
    }
  }

  std::uint32_t key_size_;
  bool lru_;
  unsigned cpus_;
  std::uint64_t value_at_;
  std::uint64_t value_stride_;
  std::uint64_t chunk_count_;
  std::uint64_t stride_;  // bytes of a place
  std::uint64_t chunk_bytes_;
  Slab chunks_;
  std::uint64_t mask_;
  std::uint64_t chunk_mask_;  // of the offsets of small chunks
  bool is_plain_;             // neither LRU nor a value for each CPU
  mutable std::mutex stripes_[kStripes];
  std::atomic<std::uint32_t> count_{0};
  std::mutex clock_lock_;
  std::uint64_t hand_ = 0;
  std::vector<std::atomic<std::uint8_t>> referred_;  // LRU: a byte a place
};

template <std::uint32_t kSize>
MadeMap make_sized(const ebpf::MapDefinition& definition, const MapOptions& options) {
  auto map = std::make_shared<HashMap<kSize>>(definition, options.cpus);
  if (!map->good()) return no_memory(definition);
  return std::shared_ptr<Map>(std::move(map));
}

}  // namespace

MadeMap make_hash(const ebpf::MapDefinition& definition, const MapOptions& options) {
  if (definition.max_entries > (1u << 30)) return no_memory(definition);
  if (definition.key_size == 4) return make_sized<4>(definition, options);
  if (definition.key_size == 8) return make_sized<8>(definition, options);
  return make_sized<0>(definition, options);
}

}  // namespace weir::runtime
