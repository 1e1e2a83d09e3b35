// Pages for machine code. Exports CodeMemory.
//
// A chunk is one mapping of kPages pages. What is free of it is writable; a page that was executable is made writable
// again when it is given back, before anybody else gets it. One empty chunk is kept, others are unmapped.
//
// In the first chunk for code of one page, which stays, a page that nobody may touch lies behind each: the system keeps
// each then in an area of its own, and changing its rights takes half the time of cutting it out of an area and joining
// it again. A process has a limited number of areas, so that other chunks have no such pages.
#include "engine/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace weir::engine {
namespace {

constexpr std::size_t kPages = 16;         // of a chunk
constexpr std::size_t kMostFromChunk = 4;  // larger code has a mapping of its own
constexpr std::uint32_t kAllFree = (1u << kPages) - 1;

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

void* map_pages(std::size_t size, int rights = PROT_READ | PROT_WRITE) {
  void* const pages = ::mmap(nullptr, size, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

std::uint32_t run_of(std::size_t first, std::size_t count) { return ((1u << count) - 1) << first; }

}  // namespace

struct CodeChunk {
  char* start = nullptr;
  std::uint32_t free = kAllFree;  // a bit a page
  bool apart = false;             // with a page between any two
  std::uint32_t opened = 0;       // pages of such a chunk that have been taken: the others may not be touched

  std::size_t stride() const { return (apart ? 2 : 1) * page_size(); }
  std::size_t size() const { return kPages * stride(); }
  // The first of `count` free pages next to each other; kPages when there are none.
  std::size_t find(std::size_t count) const {
    if (apart && count > 1) return kPages;
    for (std::size_t first = 0; first + count <= kPages; ++first)
      if ((free & run_of(first, count)) == run_of(first, count)) return first;
    return kPages;
  }
};

namespace {

class Chunks {
 public:
  // Never destroyed: filters may outlive what is static here.
  static Chunks& all() {
    static Chunks& chunks = *new Chunks;
    return chunks;
  }

  // Writable pages; null when no memory can be mapped.
  char* take(std::size_t count, CodeChunk*& from) {
    const std::lock_guard lock(mutex_);
    const bool is_first =
        count == 1 && std::none_of(chunks_.begin(), chunks_.end(), [](const auto& one) { return one->apart; });
    for (const bool apart : {true, false})
      for (const auto& chunk : chunks_)
        if (chunk->apart == apart && !is_first)
          if (char* const pages = take_from(*chunk, count)) return from = chunk.get(), pages;
    auto made = std::make_unique<CodeChunk>();
    made->apart = is_first;
    made->start = static_cast<char*>(made->apart ? map_pages(made->size(), PROT_NONE) : map_pages(made->size()));
    if (made->start == nullptr) return nullptr;
    from = made.get();
    chunks_.push_back(std::move(made));
    return take_from(*from, count);
  }

  void give_back(CodeChunk* chunk, char* pages, std::size_t count) {
    const std::lock_guard lock(mutex_);
    // Pages that cannot be made writable are never used again.
    if (::mprotect(pages, count * page_size(), PROT_READ | PROT_WRITE) != 0) return;
    chunk->free |= run_of(static_cast<std::size_t>(pages - chunk->start) / chunk->stride(), count);
    if (chunk->free != kAllFree || chunk->apart) return;
    const auto empty = std::count_if(chunks_.begin(), chunks_.end(),
                                     [](const auto& one) { return one->free == kAllFree && !one->apart; });
    if (empty < 2) return;
    ::munmap(chunk->start, chunk->size());
    std::erase_if(chunks_, [&](const auto& one) { return one.get() == chunk; });
  }

 private:
  static char* take_from(CodeChunk& chunk, std::size_t count) {
    const std::size_t first = chunk.find(count);
    if (first == kPages) return nullptr;
    char* const pages = chunk.start + first * chunk.stride();
    if (chunk.apart && (chunk.opened & run_of(first, 1)) == 0) {
      if (::mprotect(pages, page_size(), PROT_READ | PROT_WRITE) != 0) return nullptr;
      chunk.opened |= run_of(first, 1);
    }
    chunk.free &= ~run_of(first, count);
    return pages;
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<CodeChunk>> chunks_;
};

}  // namespace

CodeMemory::~CodeMemory() {
  if (pages_ == nullptr) return;
  if (chunk_ != nullptr) {
    Chunks::all().give_back(chunk_, static_cast<char*>(pages_), size_ / page_size());
  } else {
    ::munmap(pages_, size_);
  }
}

Result<CodeMemory> CodeMemory::allocate(std::size_t size) {
  const std::size_t pages = (size + page_size() - 1) / page_size();
  CodeMemory memory;
  memory.size_ = pages * page_size();
  memory.pages_ = pages <= kMostFromChunk ? Chunks::all().take(pages, memory.chunk_) : map_pages(memory.size_);
  if (memory.pages_ == nullptr) return fail(system_failure("map memory for machine code", errno));
  if (memory.chunk_ != nullptr) std::memset(memory.pages_, 0, memory.size_);  // nothing of older code stays
  return memory;
}

Status CodeMemory::seal() {
  if (::mprotect(pages_, size_, PROT_READ | PROT_EXEC) != 0)
    return fail(system_failure("make machine code executable", errno));
  __builtin___clear_cache(static_cast<char*>(pages_), static_cast<char*>(pages_) + size_);
  return {};
}

}  // namespace weir::engine
