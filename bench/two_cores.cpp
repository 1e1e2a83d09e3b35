// What two of this machine's processors give together: the ceiling of what two threads of a filter can.
//
// usage: two_cores FILE
//
// Each kind of work is done once by one process, then at once by two processes and by two threads of one process, on
// processors 0 and 1, and the work done in the same time is printed: 2.00 is two independent cores, 1.00 one core that
// two hyperthreads share, and threads below processes is something that a process has only once (its memory map's
// lock). FILE is a large file in the page cache. Kinds: arithmetic; reading 256 KiB over and over (a core's own cache);
// reading every line of the file; sixteen chains of dependent reads at random places in it; mapping it and touching
// every page. The shortest of several runs.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

int file = -1;
std::size_t size = 0;
const std::uint8_t* bytes = nullptr;
volatile std::uint64_t sink;

void arithmetic() {
  std::uint64_t a = 1;
  std::uint64_t b = 2;
  for (int i = 0; i < 50'000'000; ++i) {
    a = a * 3 + b;
    b ^= a >> 7;
  }
  sink = a + b;
}

void cache() {
  std::vector<std::uint64_t> words(32 * 1024, 1);
  std::uint64_t sum = 0;
  for (int round = 0; round < 4000; ++round) {
    for (std::size_t i = 0; i < words.size(); i += 8) sum += words[i];
    asm volatile("" : : "r"(sum) : "memory");
  }
  sink = sum;
}

void stream() {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 64 <= size; i += 64) sum += bytes[i];
  sink = sum;
}

void chains() {
  constexpr int kChains = 16;
  std::uint64_t at[kChains];
  for (int i = 0; i < kChains; ++i) at[i] = static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15;
  for (int step = 0; step < 300'000; ++step)
    for (std::uint64_t& place : at) place = place * 0xd1342543de82ef95 + bytes[(place >> 20) % size] + 1;
  sink = at[0];
}

void faults() {
  void* const own = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (own == MAP_FAILED) return;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < size; i += 4096) sum += static_cast<const std::uint8_t*>(own)[i];
  sink = sum;
  ::munmap(own, size);
}

void on_processor(int processor, void (*work)()) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  ::sched_setaffinity(0, sizeof set, &set);
  work();
}

double seconds(void (*work)(), int processes, bool threads) {
  const auto start = std::chrono::steady_clock::now();
  if (threads) {
    std::thread other([work] { on_processor(1, work); });
    std::thread one([work] { on_processor(0, work); });
    one.join();
    other.join();
  } else {
    for (int i = 0; i < processes; ++i) {
      if (::fork() != 0) continue;
      on_processor(i, work);
      ::_exit(0);
    }
    while (::wait(nullptr) > 0) {}
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  file = argc == 2 ? ::open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0) {
    std::fprintf(stderr, "usage: two_cores FILE\n");
    return 2;
  }
  size = static_cast<std::size_t>(status.st_size);
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) {
    std::perror(argv[1]);
    return 1;
  }
  bytes = static_cast<const std::uint8_t*>(mapped);
  const struct {
    const char* name;
    void (*work)();
  } kinds[] = {
      {"arithmetic", arithmetic}, {"cache", cache}, {"stream", stream}, {"chains", chains}, {"faults", faults}};
  for (const auto& kind : kinds) {
    double one = 1e9;
    double processes = 1e9;
    double threads = 1e9;
    for (int round = 0; round < 7; ++round) {
      one = std::min(one, seconds(kind.work, 1, false));
      processes = std::min(processes, seconds(kind.work, 2, false));
      threads = std::min(threads, seconds(kind.work, 2, true));
    }
    std::printf("%-10s one %6.1f ms, two processes %6.1f (%.2f), two threads %6.1f (%.2f)\n", kind.name, 1e3 * one,
                1e3 * processes, 2 * one / processes, 1e3 * threads, 2 * one / threads);
  }
  return 0;
}
