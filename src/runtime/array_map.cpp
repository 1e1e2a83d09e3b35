// Arrays: values by index, one a CPU in the per-CPU form. Exports make_array.
//
// Source: kernel/bpf/arraymap.c: entries always exist, so BPF_NOEXIST fails with EEXIST and deleting with EINVAL.
#include <cerrno>
#include <cstring>

#include "runtime/makers.h"
#include "runtime/slab.h"
#include "runtime/words.h"

namespace weir::runtime {
namespace {

class ArrayMap : public Map {
 public:
  ArrayMap(const ebpf::MapDefinition& definition, unsigned cpus)
      : Map(definition),
        stride_(round_up(definition.value_size, 8)),
        cpus_(definition.type == ebpf::MapType::kPercpuArray ? cpus : 1),
        values_(std::uint64_t{definition.max_entries} * cpus_, stride_) {}

  bool good() const { return values_.data() != nullptr; }

  void* lookup(const void* key, unsigned cpu) override {
    std::uint32_t index;
    std::memcpy(&index, key, 4);
    if (index >= definition_.max_entries) return nullptr;
    return value(index, cpu);
  }
  int update(const void* key, const void* from, std::uint64_t flags, unsigned cpu) override {
    std::uint32_t index;
    std::memcpy(&index, key, 4);
    if (flags > kExist) return -EINVAL;
    if (index >= definition_.max_entries) return -E2BIG;
    if (flags == kNoExist) return -EEXIST;
    write_words(value(index, cpu), from, definition_.value_size);
    return 0;
  }
  int erase(const void*) override { return -EINVAL; }
  int next_key(const void* key, void* next) const override {
    std::uint32_t index = UINT32_MAX;
    if (key != nullptr) std::memcpy(&index, key, 4);
    index = index >= definition_.max_entries ? 0 : index + 1;
    if (index >= definition_.max_entries) return -ENOENT;
    std::memcpy(next, &index, 4);
    return 0;
  }
  bool contains(std::uint64_t address, std::uint64_t size) const override {
    return values_.contains(address, size, 0, definition_.value_size);
  }
  std::uint32_t size() const override { return definition_.max_entries; }
  unsigned cpus() const override { return cpus_; }

 private:
  std::uint8_t* value(std::uint32_t index, unsigned cpu) const {
    return values_.at(std::uint64_t{index} * cpus_ + (cpus_ > 1 ? cpu % cpus_ : 0));
  }
  std::uint64_t stride_;
  unsigned cpus_;
  Slab values_;
};

}  // namespace

MadeMap make_array(const ebpf::MapDefinition& definition, const MapOptions& options) {
  auto map = std::make_shared<ArrayMap>(definition, options.cpus);
  if (!map->good()) return no_memory(definition);
  const std::uint32_t zero = 0;
  if (!definition.contents.empty())
    std::memcpy(map->lookup(&zero, 0), definition.contents.data(), definition.contents.size());
  return std::shared_ptr<Map>(std::move(map));
}

}  // namespace weir::runtime
