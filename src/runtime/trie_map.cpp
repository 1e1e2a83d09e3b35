// Longest-prefix-match tries. Exports make_trie.
//
// A key is a prefix length in bits (4 bytes, host order) and data in network order. Entries are kept by length: for
// each length that occurs, a sorted table of masked data; a lookup goes from the longest asked-for length down and
// stops at the first hit. Values lie in a slab. One lock for writers and readers: the kernel's writers lock too, its
// readers do not. Source for results and errors: kernel/bpf/lpm_trie.c; next_key goes from long to short prefixes as
// there, in order of data within a length.
#include <cerrno>
#include <cstring>
#include <map>
#include <shared_mutex>
#include <string>
#include <vector>

#include "runtime/makers.h"
#include "runtime/slab.h"

namespace weir::runtime {
namespace {

class TrieMap : public Map {
 public:
  explicit TrieMap(const ebpf::MapDefinition& definition)
      : Map(definition),
        data_size_(definition.key_size - 4),
        values_(definition.max_entries, round_up(definition.value_size, 8)) {}

  bool good() const { return values_.data() != nullptr; }

  void* lookup(const void* key, unsigned) override {
    const std::uint32_t length = length_of(key);
    if (length > data_size_ * 8) return nullptr;
    const std::shared_lock lock(lock_);
    for (auto table = tables_.lower_bound(length); table != tables_.end(); ++table) {
      const auto found = table->second.find(masked(key, table->first));
      if (found != table->second.end()) return values_.at(found->second.place);
    }
    return nullptr;
  }

  int update(const void* key, const void* from, std::uint64_t flags, unsigned) override {
    const std::uint32_t length = length_of(key);
    if (flags > kExist || length > data_size_ * 8) return -EINVAL;
    const std::lock_guard lock(lock_);
    const std::string data = masked(key, length);
    const auto table = tables_.find(length);
    const bool there = table != tables_.end() && table->second.count(data) != 0;
    if (there && flags == kNoExist) return -EEXIST;
    if (!there && flags == kExist) return -ENOENT;
    std::uint32_t place = 0;
    if (there) {
      place = table->second[data].place;
    } else if (!free_.empty()) {
      place = free_.back();
      free_.pop_back();
    } else if (untouched_ < definition_.max_entries) {
      place = untouched_++;
    } else {
      return -ENOSPC;
    }
    std::memcpy(values_.at(place), from, definition_.value_size);
    tables_[length][data] = {place, {static_cast<const char*>(key) + 4, data_size_}};
    if (!there) ++count_;
    return 0;
  }

  int erase(const void* key) override {
    const std::uint32_t length = length_of(key);
    if (length > data_size_ * 8) return -EINVAL;
    const std::lock_guard lock(lock_);
    const auto table = tables_.find(length);
    if (table == tables_.end()) return -ENOENT;
    const auto found = table->second.find(masked(key, length));
    if (found == table->second.end()) return -ENOENT;
    free_.push_back(found->second.place);
    table->second.erase(found);
    if (table->second.empty()) tables_.erase(table);
    --count_;
    return 0;
  }

  int next_key(const void* key, void* next) const override {
    const std::shared_lock lock(lock_);
    if (tables_.empty()) return -ENOENT;
    auto table = tables_.begin();
    auto entry = table->second.begin();
    if (key != nullptr) {
      const auto same = tables_.find(length_of(key));
      if (same != tables_.end()) {
        const auto found = same->second.find(masked(key, same->first));
        if (found != same->second.end()) {
          table = same;
          entry = std::next(found);
          if (entry == table->second.end()) {
            if (++table == tables_.end()) return -ENOENT;
            entry = table->second.begin();
          }
        }
      }
    }
    std::memcpy(next, &table->first, 4);
    std::memcpy(static_cast<std::uint8_t*>(next) + 4, entry->second.data.data(), data_size_);
    return 0;
  }

  bool contains(std::uint64_t address, std::uint64_t size) const override {
    return values_.contains(address, size, 0, definition_.value_size);
  }
  std::uint32_t size() const override {
    const std::shared_lock lock(lock_);
    return count_;
  }

 private:
  static std::uint32_t length_of(const void* key) {
    return load<std::uint32_t>(static_cast<const std::uint8_t*>(key), std::endian::native);
  }
  std::string masked(const void* key, std::uint32_t length) const {
    std::string data(static_cast<const char*>(key) + 4, data_size_);
    for (std::uint32_t i = 0; i < data_size_; ++i) {
      const std::uint32_t kept = length > i * 8 ? length - i * 8 : 0;
      if (kept < 8) data[i] = static_cast<char>(static_cast<unsigned char>(data[i]) & (0xff00u >> kept));
    }
    return data;
  }

  struct Entry {
    std::uint32_t place;
    std::string data;  // as it was given, with what lies behind the prefix
  };
  std::uint32_t data_size_;
  Slab values_;
  mutable std::shared_mutex lock_;
  std::map<std::uint32_t, std::map<std::string, Entry>, std::greater<>> tables_;  // by length, longest first
  std::vector<std::uint32_t> free_;
  std::uint32_t untouched_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace

MadeMap make_trie(const ebpf::MapDefinition& definition, const MapOptions&) {
  auto map = std::make_shared<TrieMap>(definition);
  if (!map->good()) return no_memory(definition);
  return std::shared_ptr<Map>(std::move(map));
}

}  // namespace weir::runtime
