// Byte streams. Exports open_stream, memory_stream and Window.
//
// The first bytes of a file tell its compression: gzip (RFC 1952), zstd (RFC 8878), lz4 frames. Several members or
// frames one after another are one stream, as gzip -cd and zstd -cd read them.
#include "capture/byte_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

#include <fmt/format.h>
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

namespace weir::capture {
namespace {

constexpr std::size_t kCompressedChunk = 128 * 1024;

class FileStream final : public ByteStream {
 public:
  FileStream(FileDescriptor file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    for (;;) {
      const ssize_t got = ::read(file_.get(), into.data(), into.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return fail(system_failure("cannot read '" + name_ + "'", errno));
    }
  }

 private:
  FileDescriptor file_;
  std::string name_;
};

// Hands out bytes that were read ahead, then the stream they came from.
class AheadStream final : public ByteStream {
 public:
  AheadStream(std::vector<std::uint8_t> ahead, std::unique_ptr<ByteStream> rest)
      : ahead_(std::move(ahead)), rest_(std::move(rest)) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    if (at_ == ahead_.size()) return rest_->read(into);
    const std::size_t count = std::min(into.size(), ahead_.size() - at_);
    std::memcpy(into.data(), ahead_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::vector<std::uint8_t> ahead_;
  std::size_t at_ = 0;
  std::unique_ptr<ByteStream> rest_;
};

class MemoryStream final : public ByteStream {
 public:
  explicit MemoryStream(ByteSpan bytes) : bytes_(bytes) {}
  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    const std::size_t count = std::min(into.size(), bytes_.size());
    if (count > 0) std::memcpy(into.data(), bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return count;
  }

 private:
  ByteSpan bytes_;
};

// What the three decompressors share: compressed input by the chunk, errors with its offset.
class Decompressor : public ByteStream {
 public:
  explicit Decompressor(std::unique_ptr<ByteStream> input) : input_(std::move(input)), chunk_(kCompressedChunk) {}

 protected:
  // More input if none is left; false at its end.
  Result<bool> refill() {
    if (at_ < size_) return true;
    consumed_ += size_;
    at_ = size_ = 0;
    WEIR_TRY(size_, input_->read(chunk_));
    return size_ > 0;
  }
  std::uint8_t* input_data() { return chunk_.data() + at_; }
  std::size_t input_size() const { return size_ - at_; }
  void use(std::size_t count) { at_ += count; }
  tl::unexpected<Error> damaged(std::string_view what) const {
    return fail(fmt::format("the compressed data is damaged: {}", what), OffsetPlace{consumed_ + at_});
  }
  tl::unexpected<Error> cut() const { return fail("the compressed data ends too early", OffsetPlace{consumed_ + at_}); }

 private:
  std::unique_ptr<ByteStream> input_;
  std::vector<std::uint8_t> chunk_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
  std::uint64_t consumed_ = 0;
};

class GzipStream final : public Decompressor {
 public:
  explicit GzipStream(std::unique_ptr<ByteStream> input) : Decompressor(std::move(input)) {
    constexpr int kGzipOnly = 15 + 16;
    ::inflateInit2(&state_, kGzipOnly);
  }
  ~GzipStream() override { ::inflateEnd(&state_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    state_.next_out = into.data();
    state_.avail_out = static_cast<uInt>(into.size());
    while (state_.avail_out == into.size() && !finished_) {
      WEIR_TRY(const bool more, refill());
      if (!more) {
        if (inside_) return cut();
        finished_ = true;
        break;
      }
      const std::size_t before = input_size();
      state_.next_in = input_data();
      state_.avail_in = static_cast<uInt>(before);
      inside_ = true;
      const int result = ::inflate(&state_, Z_NO_FLUSH);
      use(before - state_.avail_in);
      if (result == Z_STREAM_END) {
        inside_ = false;
        ::inflateReset(&state_);
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        // Bytes behind the last member that start no other are ignored, as gzip does.
        if (members_ > 0 && result == Z_DATA_ERROR && state_.total_out == 0) {
          finished_ = true;
          break;
        }
        return damaged(state_.msg != nullptr ? state_.msg : "gzip");
      }
      if (result == Z_STREAM_END) ++members_;
    }
    return into.size() - state_.avail_out;
  }

 private:
  z_stream state_{};
  bool inside_ = false;
  bool finished_ = false;
  std::size_t members_ = 0;
};

class ZstdStream final : public Decompressor {
 public:
  explicit ZstdStream(std::unique_ptr<ByteStream> input)
      : Decompressor(std::move(input)), state_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      WEIR_TRY(const bool more, refill());
      if (!more) {
        if (pending_ != 0) return cut();
        break;
      }
      ZSTD_inBuffer in{input_data(), input_size(), 0};
      pending_ = ZSTD_decompressStream(state_.get(), &out, &in);
      use(in.pos);
      if (ZSTD_isError(pending_) != 0) return damaged(ZSTD_getErrorName(pending_));
    }
    return out.pos;
  }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_;
  std::size_t pending_ = 0;
};

class Lz4Stream final : public Decompressor {
 public:
  explicit Lz4Stream(std::unique_ptr<ByteStream> input) : Decompressor(std::move(input)) {
    LZ4F_createDecompressionContext(&state_, LZ4F_VERSION);
  }
  ~Lz4Stream() override { LZ4F_freeDecompressionContext(state_); }
  Lz4Stream(const Lz4Stream&) = delete;
  Lz4Stream& operator=(const Lz4Stream&) = delete;

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    std::size_t made = 0;
    while (made == 0) {
      WEIR_TRY(const bool more, refill());
      if (!more) {
        if (pending_ != 0) return cut();
        break;
      }
      std::size_t taken = input_size();
      made = into.size();
      pending_ = LZ4F_decompress(state_, into.data(), &made, input_data(), &taken, nullptr);
      use(taken);
      if (LZ4F_isError(pending_) != 0) return damaged(LZ4F_getErrorName(pending_));
    }
    return made;
  }

 private:
  LZ4F_dctx* state_ = nullptr;
  std::size_t pending_ = 0;
};

Compression compression_of(ByteSpan start) {
  const auto begins = [&](std::initializer_list<std::uint8_t> magic) {
    return start.size() >= magic.size() && std::equal(magic.begin(), magic.end(), start.begin());
  };
  if (begins({0x1f, 0x8b})) return Compression::kGzip;
  if (begins({0x28, 0xb5, 0x2f, 0xfd})) return Compression::kZstd;
  if (begins({0x04, 0x22, 0x4d, 0x18})) return Compression::kLz4;
  return Compression::kNone;
}

}  // namespace

Result<OpenedStream> open_stream(const std::string& path) {
  WEIR_TRY(FileDescriptor file, open_for_reading(path));
  std::unique_ptr<ByteStream> stream = std::make_unique<FileStream>(std::move(file), path);
  std::vector<std::uint8_t> ahead(4);
  std::size_t got = 0;
  while (got < ahead.size()) {
    WEIR_TRY(const std::size_t more, stream->read(std::span(ahead).subspan(got)));
    if (more == 0) break;
    got += more;
  }
  ahead.resize(got);
  OpenedStream out;
  out.compression = compression_of(ahead);
  stream = std::make_unique<AheadStream>(std::move(ahead), std::move(stream));
  switch (out.compression) {
    case Compression::kNone: out.stream = std::move(stream); break;
    case Compression::kGzip: out.stream = std::make_unique<GzipStream>(std::move(stream)); break;
    case Compression::kZstd: out.stream = std::make_unique<ZstdStream>(std::move(stream)); break;
    case Compression::kLz4: out.stream = std::make_unique<Lz4Stream>(std::move(stream)); break;
  }
  return out;
}

std::unique_ptr<ByteStream> memory_stream(ByteSpan bytes) { return std::make_unique<MemoryStream>(bytes); }

Status Window::fill(std::size_t wanted) {
  if (end_ - begin_ >= wanted || ended_) return {};
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (wanted > buffer_.size()) buffer_.resize(wanted);
  while (end_ < wanted) {
    WEIR_TRY(const std::size_t got, stream_->read(std::span(buffer_).subspan(end_)));
    if (got == 0) {
      ended_ = true;
      break;
    }
    end_ += got;
  }
  return {};
}

}  // namespace weir::capture
