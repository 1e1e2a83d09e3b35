// Maps in user space: the tables that extended programs and whoever runs them share.
//
// A Map behaves as the kernel's of its type does: the same results, the same errors (negative errno), the same flags.
// Pointers that lookup() returns stay valid as long as the map lives; the value behind one may be deleted and its
// memory be used for another key, as in the kernel's preallocated maps. Keys and values are plain bytes of the sizes
// that definition() tells; no alignment is asked of what is passed in, and values start at a multiple of 8. Per-CPU
// maps have a value for each of cpus() CPUs; a CPU's number counts modulo that. Where update() replaces a value, it is
// written in place: who holds a pointer sees the new one.
//
// Thread-safe: any member from any thread; the map must outlive the calls. Values themselves are not locked: a reader
// may see one half written, and programs use atomics, as in the kernel. Iteration by next_key() begins anew where the
// key was deleted meanwhile, as the kernel's does: count what you take. Source: kernel/bpf/arraymap.c, hashtab.c,
// lpm_trie.c, queue_stack_maps.c, bloom_filter.c, ringbuf.c.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/ebpf/program.h>

namespace weir::runtime {

// What update() may do. Source: <linux/bpf.h>, BPF_ANY and others.
enum UpdateFlag : std::uint64_t { kAny = 0, kNoExist = 1, kExist = 2 };

class Map {
 public:
  explicit Map(ebpf::MapDefinition definition) : definition_(std::move(definition)) {}
  virtual ~Map() = default;
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  const ebpf::MapDefinition& definition() const { return definition_; }
  std::uint32_t key_size() const { return definition_.key_size; }
  std::uint32_t value_size() const { return definition_.value_size; }

  // The value of a key on this CPU, or null. Keys have key_size() bytes.
  virtual void* lookup(const void* key, unsigned cpu) = 0;
  // 0 or a negative errno: -EEXIST (kNoExist, and it is there), -ENOENT (kExist, and it is not), -E2BIG (full, or no
  // such index), -ENOSPC (a full trie), -EINVAL (other flags). LRU tables make room. On per-CPU maps the value of `cpu`
  // is set; a new entry's other values are 0.
  virtual int update(const void* key, const void* value, std::uint64_t flags, unsigned cpu) = 0;
  // 0, -ENOENT, or -EINVAL where entries cannot go (arrays).
  virtual int erase(const void* key) = 0;
  // The key after `key` (the first where key is null or unknown) into `next`: 0, or -ENOENT after the last.
  virtual int next_key(const void* key, void* next) const = 0;

  // Queues, stacks and bloom filters: 0 or a negative errno: -E2BIG (full, without kExist, which drops the oldest),
  // -ENOENT (empty: `value` is zeroed), -EOPNOTSUPP (another kind of map). A bloom filter's peek asks whether `value`
  // may be there: 0, else -ENOENT.
  virtual int push(const void* value, std::uint64_t flags);
  virtual int pop(void* value);
  virtual int peek(void* value);

  // Whether [address, address + size) lies within one value, so that a program may touch it.
  virtual bool contains(std::uint64_t address, std::uint64_t size) const = 0;

  // How many entries there are: of arrays all, of ring buffers the bytes that are not read yet, of bloom filters 0
  // (they do not count). While others write it is a moment's number.
  virtual std::uint32_t size() const = 0;
  // How many values a key has.
  virtual unsigned cpus() const { return 1; }

  // A function that does what lookup() does, for maps to which the CPU does not matter; null: there is none. Machine
  // code calls it: lookup() without the detour through the object's type.
  using LookupFunction = void* (*)(Map* map, const void* key);
  virtual LookupFunction fast_lookup() const { return nullptr; }

 protected:
  ebpf::MapDefinition definition_;
};

struct MapOptions {
  unsigned cpus = 1;                        // how many values a per-CPU map has for a key; at least 1
  std::shared_ptr<Map> inner{};             // maps of maps: what the inner ones must be like, no map of maps itself;
                                            // null: anything
  std::uint64_t memory_limit = 1ull << 30;  // bytes that one map may take; ErrorCode::kLimit where it would be more
};

// Makes a map, empty (arrays: of zeros, or of the definition's contents). Refuses what bpf(2) refuses (EINVAL, E2BIG),
// in words; ErrorCode::kUnsupported for maps that need a kernel. Memory is touched as entries come. Nothing is thrown.
Result<std::shared_ptr<Map>> make_map(const ebpf::MapDefinition& definition, const MapOptions& options = {});

// Whether maps of both definitions may stand in one map of maps: type, sizes, entries and flags are the same.
bool are_alike(const ebpf::MapDefinition& one, const ebpf::MapDefinition& other);

// Whether maps of this type are maps of maps.
bool holds_maps(ebpf::MapType type);

// Whether only kernels have maps of this type (devices, sockets), so that make_map refuses it.
bool needs_kernel(ebpf::MapType type);
// Stands where a program has such a map that it does not use: it is empty and takes nothing.
std::shared_ptr<Map> make_kernel_map(const ebpf::MapDefinition& definition);

// Maps of programs and maps of maps hold references, not bytes.
class ReferenceMap : public Map {
 public:
  using Map::Map;
  // Null where nothing is. The key is as for lookup(). update() is for bytes and gives -EINVAL here.
  virtual std::shared_ptr<const void> reference(const void* key) const = 0;
  // 0, -E2BIG (full, or no such index), -EINVAL (null: use erase(); a map that is not like inner()).
  virtual int set_reference(const void* key, std::shared_ptr<const void> reference) = 0;
  // What the maps of a map of maps are like; null: it was made without MapOptions::inner.
  virtual const ebpf::MapDefinition* inner() const = 0;
  // Drops all references, also those that were replaced or deleted, which else live as long as the map. No program may
  // be running. Needed where a program stands in an array of its own: the two would keep each other alive.
  virtual void clear() = 0;
};

// A ring buffer: programs write records, the other side reads them in order. Source: kernel/bpf/ringbuf.c.
class RingBuffer : public Map {
 public:
  using Map::Map;
  // A record of `size` bytes (0 too) to fill, or null when the ring is full. commit() or discard() must follow, once
  // and with this pointer; until then nothing behind it is handed out. A record takes its bytes rounded up to 8, and 8
  // more; a ring is never filled to its last byte.
  virtual void* reserve(std::uint64_t size) = 0;
  virtual void commit(void* record) = 0;
  virtual void discard(void* record) = 0;
  // Bytes that a reserved record has; nothing when `record` is none that is reserved now.
  virtual std::optional<std::uint64_t> reserved_size(const void* record) const = 0;
  virtual std::uint64_t available() const = 0;  // bytes not read yet, with headers
  virtual std::uint64_t produced() const = 0;   // bytes of all records that there ever were, with headers
  virtual std::uint64_t consumed() const = 0;   // those of them that were read
  // Hands each finished record to `use`, oldest first, until one is still being written; how many there were. Its bytes
  // are there until `use` returns. Readers wait for each other; `use` must not call consume().
  virtual std::size_t consume(const std::function<void(ByteSpan)>& use) = 0;
};

}  // namespace weir::runtime
