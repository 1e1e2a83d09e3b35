// Runs machine code for AArch64 over packets: built by a cross compiler, run under qemu-user by a64_test.cpp.
//
// Standard input: programs one after another, each the code's size and the code, the number of packets, and for each
// its length, its length on the wire, whether it has metadata, the metadata, and its bytes. All numbers have 32 bits.
// Standard output: a verdict a packet. Packets end where a page ends and nothing is mapped behind.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include <weir/packet/columns.h>

namespace {

using Filter = void (*)(const weir::packet::Columns*, std::uint32_t*);

bool read_all(void* to, std::size_t size) { return std::fread(to, 1, size, stdin) == size; }

std::uint32_t number() {
  std::uint32_t value = 0;
  read_all(&value, sizeof value);
  return value;
}

}  // namespace

int main() {
  constexpr std::size_t kMostPackets = 32;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  auto* const base = static_cast<std::uint8_t*>(
      ::mmap(nullptr, (2 * kMostPackets + 1) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kMostPackets; ++i) ::mprotect(base + (2 * i + 1) * page, page, PROT_READ | PROT_WRITE);
  std::uint32_t size = 0;
  while (read_all(&size, sizeof size)) {
    void* const code = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED || !read_all(code, size)) return 1;
    __builtin___clear_cache(static_cast<char*>(code), static_cast<char*>(code) + size);
    if (::mprotect(code, size, PROT_READ | PROT_EXEC) != 0) return 1;
    const std::uint32_t count = number();
    if (count > kMostPackets) return 1;
    std::uint32_t offsets[kMostPackets], lengths[kMostPackets], wire_lengths[kMostPackets], verdicts[kMostPackets];
    weir::packet::Metadata all[kMostPackets];
    const weir::packet::Metadata* metadata[kMostPackets];
    for (std::uint32_t i = 0; i < count; ++i) {
      lengths[i] = number();
      wire_lengths[i] = number();
      metadata[i] = number() != 0 ? &all[i] : nullptr;
      offsets[i] = static_cast<std::uint32_t>((2 * i + 2) * page - lengths[i]);
      if (lengths[i] > page || !read_all(&all[i], sizeof all[i]) || !read_all(base + offsets[i], lengths[i])) return 1;
    }
    const weir::packet::Columns columns{base, offsets, lengths, wire_lengths, metadata, count};
    reinterpret_cast<Filter>(reinterpret_cast<std::uintptr_t>(code))(&columns, verdicts);
    std::fwrite(verdicts, sizeof verdicts[0], count, stdout);
    ::munmap(code, size);
  }
  return 0;
}
