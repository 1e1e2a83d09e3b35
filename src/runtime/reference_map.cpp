// Maps that hold programs or maps. Exports make_reference.
//
// Keys are an index (arrays) or bytes (hash). A reference is shared: what a program took out stays alive while it runs
// because the map keeps all that it ever held until it is destroyed, as a grace period that never ends.
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/makers.h"

namespace weir::runtime {
namespace {

class References : public ReferenceMap {
 public:
  References(const ebpf::MapDefinition& definition, const Map* inner)
      : ReferenceMap(definition), indexed_(definition.type != ebpf::MapType::kHashOfMaps) {
    if (inner != nullptr && definition.type != ebpf::MapType::kProgArray) inner_ = inner->definition();
  }

  // Maps of maps give the inner map's address to programs; program arrays give nothing.
  void* lookup(const void* key, unsigned) override {
    if (definition_.type == ebpf::MapType::kProgArray) return nullptr;
    return const_cast<void*>(reference(key).get());
  }
  int update(const void*, const void*, std::uint64_t, unsigned) override { return -EINVAL; }
  int erase(const void* key) override {
    if (indexed_ && index_of(key) >= definition_.max_entries) return -E2BIG;
    const std::lock_guard lock(lock_);
    return held_.erase(bytes_of(key)) != 0 ? 0 : -ENOENT;
  }
  int next_key(const void* key, void* next) const override {
    if (indexed_) {  // as in other arrays, empty slots too
      const std::uint32_t at = key != nullptr ? index_of(key) : UINT32_MAX;
      const std::uint32_t index = at >= definition_.max_entries ? 0 : at + 1;
      if (index >= definition_.max_entries) return -ENOENT;
      std::memcpy(next, &index, 4);
      return 0;
    }
    const std::lock_guard lock(lock_);
    auto entry = key != nullptr ? held_.find(bytes_of(key)) : held_.end();
    entry = entry == held_.end() ? held_.begin() : std::next(entry);
    if (entry == held_.end()) return -ENOENT;
    std::memcpy(next, entry->first.data(), definition_.key_size);
    return 0;
  }
  bool contains(std::uint64_t, std::uint64_t) const override { return false; }
  std::uint32_t size() const override {
    const std::lock_guard lock(lock_);
    return static_cast<std::uint32_t>(held_.size());
  }

  std::shared_ptr<const void> reference(const void* key) const override {
    const std::lock_guard lock(lock_);
    const auto found = held_.find(bytes_of(key));
    return found == held_.end() ? nullptr : found->second;
  }
  int set_reference(const void* key, std::shared_ptr<const void> reference) override {
    if (reference == nullptr) return -EINVAL;
    if (inner_ && !are_alike(static_cast<const Map*>(reference.get())->definition(), *inner_)) return -EINVAL;
    if (indexed_ && index_of(key) >= definition_.max_entries) return -E2BIG;
    const std::lock_guard lock(lock_);
    if (held_.size() >= definition_.max_entries && held_.count(bytes_of(key)) == 0) return -E2BIG;
    kept_.push_back(reference);
    held_[bytes_of(key)] = std::move(reference);
    return 0;
  }

  const ebpf::MapDefinition* inner() const override { return inner_ ? &*inner_ : nullptr; }

  void clear() override {
    std::vector<std::shared_ptr<const void>> dropped;  // destroyed after the lock is given back
    {
      const std::lock_guard lock(lock_);
      held_.clear();
      dropped.swap(kept_);
    }
  }

 private:
  static std::uint32_t index_of(const void* key) {
    return load<std::uint32_t>(static_cast<const std::uint8_t*>(key), std::endian::native);
  }
  std::string bytes_of(const void* key) const { return {static_cast<const char*>(key), definition_.key_size}; }

  bool indexed_;
  std::optional<ebpf::MapDefinition> inner_;
  mutable std::mutex lock_;
  std::map<std::string, std::shared_ptr<const void>> held_;
  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace

MadeMap make_reference(const ebpf::MapDefinition& definition, const MapOptions& options) {
  return std::shared_ptr<Map>(std::make_shared<References>(definition, options.inner.get()));
}

}  // namespace weir::runtime
