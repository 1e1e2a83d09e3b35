// Mapped files that survive being cut. Exports Mapping.
//
// Reading a mapped page behind the end of its file raises SIGBUS (mmap(2)). One handler for the whole process looks the
// address up among the mappings made here, puts zeroed memory over the rest of that mapping, and notes that this
// happened; whoever reads goes on with zeros and asks is_intact() before a result is believed. The rest of a file's
// last page reads as zero without a signal, so is_intact() also asks for the file's size. Faults at other addresses go
// to the handler that was there before.
//
// The table is fixed and of atomics, since a signal handler may neither lock nor allocate; where it is full, map()
// refuses and the file is read instead.
#include "capture/mapping.h"

#include <array>
#include <csignal>
#include <mutex>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace weir::capture {
namespace {

struct Slot {
  std::atomic<std::uintptr_t> begin{0};  // 0: free
  std::atomic<std::uintptr_t> end{0};
  std::atomic<bool> cut{false};
};

constexpr std::size_t kSlots = 1024;
std::array<Slot, kSlots> slots;
std::mutex slots_mutex;  // of those who take and free slots
struct sigaction previous;
std::size_t page_size = 4096;

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Slot& slot : slots) {
    const std::uintptr_t end = slot.end.load();
    if (address < slot.begin.load() || address >= end) continue;
    const std::uintptr_t page = address & ~(page_size - 1);
    void* const zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) break;
    slot.cut.store(true);
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // The same fault again, now without a handler, ends the process as it would have.
    ::signal(SIGBUS, SIG_DFL);
  }
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous);
  });
}

}  // namespace

std::unique_ptr<Mapping> Mapping::map(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) return nullptr;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (at == MAP_FAILED) return nullptr;
  install_handler();
  const std::lock_guard lock(slots_mutex);
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots[i];
    if (slot.begin.load() != 0) continue;
    slot.cut.store(false);
    slot.end.store(reinterpret_cast<std::uintptr_t>(at) + size);
    slot.begin.store(reinterpret_cast<std::uintptr_t>(at));
    std::unique_ptr<Mapping> mapping(new Mapping);
    mapping->bytes_ = {static_cast<const std::uint8_t*>(at), size};
    mapping->descriptor_ = descriptor;
    mapping->slot_ = i;
    return mapping;
  }
  ::munmap(at, size);
  return nullptr;
}

Mapping::~Mapping() {
  {
    const std::lock_guard lock(slots_mutex);
    slots[slot_].end.store(0);
    slots[slot_].begin.store(0);
  }
  // mmap gave the address; nothing is written through it.
  ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

bool Mapping::is_intact() const {
  struct stat status {};
  return !slots[slot_].cut.load() && ::fstat(descriptor_, &status) == 0 &&
         static_cast<std::uint64_t>(status.st_size) >= bytes_.size();
}

}  // namespace weir::capture
