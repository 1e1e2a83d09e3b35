// Compressed streams: what comes before damage, frames without data, bytes behind the end.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include <weir/capture/open_file.h>

#include "capture/byte_stream.h"
#include "command.h"

namespace weir::capture {
namespace {

using testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

// Compresses by half or so with any of the three, and is the same in each run.
Bytes plain(std::size_t size) {
  Bytes out;
  std::uint32_t state = 1;
  while (out.size() < size) {
    state = state * 1664525 + 1013904223;
    out.insert(out.end(), state >> 29, static_cast<std::uint8_t>(state >> 20));
  }
  out.resize(size);
  return out;
}

Bytes zstd(const Bytes& from, bool checksum = true) {
  Bytes out(ZSTD_compressBound(from.size()));
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, checksum ? 1 : 0);
  out.resize(ZSTD_compress2(context.get(), out.data(), out.size(), from.data(), from.size()));
  return out;
}

constexpr std::size_t kLz4Block = 64 * 1024;

Bytes lz4(const Bytes& from) {
  LZ4F_preferences_t wishes{};
  wishes.frameInfo.blockSizeID = LZ4F_max64KB;
  wishes.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
  Bytes out(LZ4F_compressFrameBound(from.size(), &wishes));
  out.resize(LZ4F_compressFrame(out.data(), out.size(), from.data(), from.size(), &wishes));
  return out;
}

Bytes gzip(const Bytes& from) {
  Bytes out(from.size() + 1024);
  z_stream state{};
  EXPECT_EQ(deflateInit2(&state, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  state.next_in = const_cast<Bytef*>(from.data());
  state.avail_in = static_cast<uInt>(from.size());
  state.next_out = out.data();
  state.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&state, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - state.avail_out);
  deflateEnd(&state);
  return out;
}

Bytes skippable(std::uint32_t size, std::uint8_t nibble = 0) {
  Bytes out(8 + std::size_t{size}, 'x');
  store(out.data(), 0x184d2a50u + nibble, std::endian::little);
  store(out.data() + 4, size, std::endian::little);
  return out;
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

struct Seen {
  Bytes bytes;
  std::string error;
  std::string hint;
  Compression compression{};
};

Seen read_all(const Bytes& from, std::size_t step = 256 * 1024) {
  Seen seen;
  Result<OpenedStream> opened = decompressed(memory_stream(from));
  if (!opened) {
    seen.error = opened.error().message;
    return seen;
  }
  seen.compression = opened->compression;
  Bytes buffer(step);
  for (;;) {
    const Result<std::size_t> got = opened->stream->read(buffer);
    if (!got) {
      seen.error = got.error().message;
      seen.hint = got.error().hint;
    }
    if (!got || *got == 0) return seen;
    seen.bytes.insert(seen.bytes.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*got));
  }
}

bool starts_with(const Bytes& all, const Bytes& front) {
  return front.size() <= all.size() && std::memcmp(all.data(), front.data(), front.size()) == 0;
}

TEST(Decompress, WholeWhateverTheSteps) {
  for (const std::size_t size : {0u, 1u, 1000u, 65536u, 131072u, 262144u, 400000u}) {
    const Bytes expected = plain(size);
    for (const Bytes& file : {zstd(expected), zstd(expected, false), lz4(expected), gzip(expected)}) {
      for (const std::size_t step : {1000u, 65536u, 131072u, 262144u, 1000000u}) {
        const Seen seen = read_all(file + file, step);
        EXPECT_EQ(seen.error, "") << size << " " << step;
        EXPECT_EQ(seen.bytes, expected + expected) << size << " " << step;
      }
    }
  }
}

TEST(Decompress, Lz4BlocksBeforeDamage) {
  const Bytes expected = plain(5 * kLz4Block);
  Bytes file = lz4(expected);
  std::size_t at = 7;
  for (int block = 0; block < 3; ++block)
    at += 4 + (load<std::uint32_t>(file.data() + at, std::endian::little) & 0x7fffffff) + 4;
  const std::size_t size = load<std::uint32_t>(file.data() + at, std::endian::little) & 0x7fffffff;
  file[at + 4 + size] ^= 0xff;  // its checksum
  for (const std::size_t step : {1000u, 65536u, 262144u}) {
    const Seen seen = read_all(file, step);
    EXPECT_EQ(seen.bytes, Bytes(expected.begin(), expected.begin() + 3 * kLz4Block)) << step;
    EXPECT_THAT(seen.error, HasSubstr("near byte " + std::to_string(at + 4))) << step;
  }
}

TEST(Decompress, ZstdBlocksBeforeDamage) {
  const Bytes expected = plain(400000);
  Bytes file = zstd(expected);
  file.back() ^= 0xff;
  for (const std::size_t step : {1000u, 131072u, 262144u}) {
    const Seen seen = read_all(file, step);
    EXPECT_EQ(seen.bytes, expected) << step;
    EXPECT_THAT(seen.error, HasSubstr("checksum")) << step;
  }
  // A reserved type in the header of the third block.
  file = zstd(expected);
  ASSERT_EQ(file[4] >> 5, 5);  // the frame's header: magic number, this descriptor, 4 bytes of content size
  std::size_t at = 9;
  for (int block = 0; block < 2; ++block)
    at +=
        3 +
        ((file[at] | static_cast<std::size_t>(file[at + 1]) << 8 | static_cast<std::size_t>(file[at + 2]) << 16) >> 3);
  file[at] |= 6;
  for (const std::size_t step : {1000u, 131072u, 262144u}) {
    const Seen seen = read_all(file, step);
    EXPECT_EQ(seen.bytes, Bytes(expected.begin(), expected.begin() + 2 * 131072)) << step;
    EXPECT_THAT(seen.error, HasSubstr("near byte " + std::to_string(at))) << step;
  }
}

TEST(Decompress, GzipBytesBeforeDamage) {
  const Bytes expected = plain(400000);
  Bytes file = gzip(expected);
  file[file.size() - 8] ^= 0xff;  // its checksum
  EXPECT_EQ(read_all(file).bytes, expected);
  file = gzip(expected);
  file[file.size() / 2] ^= 0xff;
  const Seen seen = read_all(file);
  EXPECT_THAT(seen.error, HasSubstr("damaged"));
  ASSERT_GT(seen.bytes.size(), 150000u);
  EXPECT_TRUE(starts_with(expected, Bytes(seen.bytes.begin(), seen.bytes.begin() + 150000)));
}

TEST(Decompress, FramesWithoutDataComeFirst) {
  const Bytes expected = plain(1000);
  for (const std::uint32_t size : {0u, 4u, 50u, 300000u}) {
    const Seen as_zstd = read_all(skippable(size, 0xf) + skippable(3) + zstd(expected));
    EXPECT_EQ(as_zstd.bytes, expected) << size << as_zstd.error;
    EXPECT_EQ(as_zstd.compression, Compression::kZstd);
    const Seen as_lz4 = read_all(skippable(size) + lz4(expected) + skippable(size));
    EXPECT_EQ(as_lz4.bytes, expected) << size << as_lz4.error;
    EXPECT_EQ(as_lz4.compression, Compression::kLz4);
  }
  EXPECT_THAT(read_all(skippable(50)).error, HasSubstr("no data follows"));
  EXPECT_THAT(read_all(skippable(50) + gzip(expected)).error, HasSubstr("no data follows"));
  Bytes cut = skippable(50);
  cut.resize(20);
  EXPECT_THAT(read_all(cut).error, HasSubstr("no data follows"));
  // Places are those of the file.
  Bytes damaged = skippable(50) + zstd(expected);
  damaged.back() ^= 0xff;
  EXPECT_THAT(read_all(damaged).error, HasSubstr("near byte " + std::to_string(damaged.size() - 3)));
}

TEST(Decompress, ZstdWindowOfTooMuchMemory) {
  // A frame header (RFC 8878, 3.1.1.1) without content size, whose window is 256 MiB.
  const Seen seen = read_all({0x28, 0xb5, 0x2f, 0xfd, 0x00, (28 - 10) << 3, 0x01, 0x00, 0x00});
  EXPECT_THAT(seen.error, HasSubstr("a window of more than 128 MiB"));
  EXPECT_THAT(seen.hint, HasSubstr("--long=31"));
}

TEST(Decompress, BehindTheEndOfGzip) {
  const Bytes expected = plain(1000);
  const Bytes file = gzip(expected);
  EXPECT_EQ(read_all(file + Bytes(500000)).error, "");
  EXPECT_EQ(read_all(file + Bytes(3) + file).bytes, expected + expected);
  for (const Bytes& garbage : {Bytes{'h', 'i'}, Bytes{0, 0, 'h'}, Bytes{0x1f, 'h'}}) {
    const Seen seen = read_all(file + garbage);
    EXPECT_EQ(seen.bytes, expected);
    EXPECT_THAT(seen.error, HasSubstr("what follows the end of the gzip data is not gzip"));
  }
}

std::size_t threads() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) count += entry.exists() ? 1 : 0;
  return count;
}

// What is only opened has no thread: many captures may be open, each with a thread once its packets are read.
TEST(Decompress, NoThreadBeforePacketsAreRead) {
  const Bytes expected = plain(3000000);
  const tests::TemporaryFolder folder;
  const Bytes file = gzip(expected);
  tests::write_file(folder / "x", std::string(file.begin(), file.end()));
  const std::size_t before = threads();
  std::vector<OpenedStream> opened;
  Bytes first(8);
  for (int i = 0; i < 10; ++i) {
    Result<FileDescriptor> descriptor = open_for_reading(folder / "x");
    ASSERT_TRUE(descriptor);
    Result<OpenedStream> stream = decompressed(file_stream(std::move(*descriptor), "x"));
    ASSERT_TRUE(stream);
    opened.push_back(std::move(*stream));
    EXPECT_EQ(opened.back().stream->read(first), 8u);
  }
  EXPECT_EQ(threads(), before);
  Bytes all(expected.size());
  std::size_t at = 8;
  std::copy(first.begin(), first.end(), all.begin());
  while (at < all.size()) {
    const Result<std::size_t> got = opened.back().stream->read(std::span(all).subspan(at));
    ASSERT_TRUE(got && *got > 0);
    if (at == 8) {
      EXPECT_EQ(threads(), before + 1);
    }
    at += *got;
  }
  EXPECT_EQ(all, expected);
  EXPECT_EQ(opened.back().stream->read(first), 0u);
}

TEST(Window, LetsGoOfWhatOneLongRecordTook) {
  const Bytes all = plain(20000000);
  Window window(memory_stream(all));
  ASSERT_TRUE(window.fill(10000000));
  EXPECT_LT(window.capacity(), 11000000u);
  EXPECT_EQ(std::memcmp(window.bytes().data(), all.data(), 10000000), 0);
  window.skip(window.bytes().size() - 1000);
  ASSERT_TRUE(window.fill(2000));
  EXPECT_EQ(window.capacity(), Window::kCapacity);
  EXPECT_EQ(std::memcmp(window.bytes().data(), all.data() + window.offset(), 2000), 0);
}

}  // namespace
}  // namespace weir::capture
