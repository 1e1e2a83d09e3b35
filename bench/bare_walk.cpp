// Walks a pcap file from record to record and does nothing else: what a filter's time can be compared with.
//
// usage: bare_walk FILE [CURSORS]
//
// The file is mapped and walked by 1, 4, 8, 16 or 24 cursors (16), each in segments of a megabyte, as weir's walker
// does; each place is read, and where the next record and the line behind it are is asked for ahead. No record is
// checked, noted or judged: the time is that of the memory and of the process. Prints the number of records. Only for
// captures in the byte order of this machine whose packets do not look like captures.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr std::size_t kSegment = 1 << 20;
constexpr std::size_t kFileHeader = 24;
constexpr std::size_t kRecordHeader = 16;

std::uint32_t number(const std::uint8_t* at) {
  std::uint32_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool looks_like_a_record(const std::uint8_t* at, const std::uint8_t* end) {
  for (int i = 0; i < 6; ++i) {
    if (end - at < static_cast<std::ptrdiff_t>(kRecordHeader)) return at == end;
    const std::uint32_t captured = number(at + 8);
    if (captured - 1 >= 262144 || number(at + 12) - captured > 262144 || number(at + 4) >= 1000000) return false;
    at += kRecordHeader + captured;
  }
  return at <= end;
}

struct Segments {
  const std::uint8_t* bytes;
  std::size_t size;
  std::size_t next = kFileHeader;

  bool take(const std::uint8_t*& at, const std::uint8_t*& limit) {
    if (next >= size) return false;
    at = bytes + next;
    next = std::min(size, (next / kSegment + 1) * kSegment);
    limit = bytes + next;
    while (at < limit && !looks_like_a_record(at, bytes + size)) ++at;
    return true;
  }
};

template <int cursors>
std::uint64_t walk(Segments segments) {
  const std::uint8_t* at[cursors];
  const std::uint8_t* limit[cursors];
  for (int i = 0; i < cursors; ++i)
    if (!segments.take(at[i], limit[i])) at[i] = limit[i] = segments.bytes;
  std::uint64_t records = 0;
  bool more = true;
  while (more) {
    for (int i = 0; i < cursors; ++i) {
      if (at[i] >= limit[i]) [[unlikely]] {
        more = more && segments.take(at[i], limit[i]);
        continue;
      }
      const std::uint8_t* const next = at[i] + kRecordHeader + number(at[i] + 8);
      __builtin_prefetch(next);
      __builtin_prefetch(next + 64);
      at[i] = next;
      ++records;
    }
  }
  for (int i = 0; i < cursors; ++i)
    for (; at[i] < limit[i]; ++records) at[i] += kRecordHeader + number(at[i] + 8);
  return records;
}

}  // namespace

int main(int argc, char** argv) {
  const int cursors = argc > 2 ? std::atoi(argv[2]) : 16;
  const int file = argc > 1 ? ::open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
  struct stat status {};
  if (file < 0 || ::fstat(file, &status) != 0) {
    std::fprintf(stderr, "usage: bare_walk FILE [1|4|8|16|24]\n");
    return 2;
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const bytes = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) {
    std::perror(argv[1]);
    return 1;
  }
  const Segments segments{static_cast<const std::uint8_t*>(bytes), size};
  std::uint64_t records = 0;
  switch (cursors) {
    case 1: records = walk<1>(segments); break;
    case 4: records = walk<4>(segments); break;
    case 8: records = walk<8>(segments); break;
    case 24: records = walk<24>(segments); break;
    default: records = walk<16>(segments);
  }
  std::printf("%llu\n", static_cast<unsigned long long>(records));
  return 0;
}
