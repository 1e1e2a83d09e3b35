// Pages for machine code. Exports CodeMemory.
#include "engine/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace weir::engine {

CodeMemory::~CodeMemory() {
  if (pages_ != nullptr) ::munmap(pages_, size_);
}

Result<CodeMemory> CodeMemory::allocate(std::size_t size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  CodeMemory memory;
  memory.size_ = (size + page - 1) / page * page;
  void* pages = ::mmap(nullptr, memory.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return fail(system_failure("map memory for machine code", errno));
  memory.pages_ = pages;
  return memory;
}

Status CodeMemory::seal() {
  if (::mprotect(pages_, size_, PROT_READ | PROT_EXEC) != 0)
    return fail(system_failure("make machine code executable", errno));
  __builtin___clear_cache(static_cast<char*>(pages_), static_cast<char*>(pages_) + size_);
  return {};
}

}  // namespace weir::engine
