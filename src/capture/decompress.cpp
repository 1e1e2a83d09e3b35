// Compressed streams. Exports decompressed.
//
// The first bytes of a stream tell its compression: gzip (RFC 1952), zstd (RFC 8878), lz4 frames
// (lz4_Frame_format.md). Several members or frames one after another are one stream, as gzip -cd, zstd -cd and lz4 -cd
// read them. Decoders may hold output back when they have taken all input, so each is asked again before it gets more.
#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>

#include "capture/byte_stream.h"

namespace weir::capture {
namespace {

constexpr std::size_t kCompressedChunk = 128 * 1024;

// What one call of a decoder did.
struct Step {
  std::size_t consumed = 0;
  std::size_t produced = 0;
  bool inside = false;           // of a member or frame: the stream may not end here
  const char* damage = nullptr;  // the decoder's words for what is wrong
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual Step step(ByteSpan from, std::span<std::uint8_t> into) = 0;
};

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() {
    constexpr int kGzipOnly = 15 + 16;  // zlib.h, inflateInit2: largest window, gzip wrapping
    ready_ = ::inflateInit2(&state_, kGzipOnly) == Z_OK;
  }
  ~GzipDecoder() override {
    if (ready_) ::inflateEnd(&state_);
  }
  GzipDecoder(const GzipDecoder&) = delete;
  GzipDecoder& operator=(const GzipDecoder&) = delete;

  Step step(ByteSpan from, std::span<std::uint8_t> into) override {
    Step step;
    if (!ready_) return {.damage = "out of memory"};
    // Tapes and some tools pad with zeros behind the last member.
    if (!inside_ && members_ > 0) {
      while (step.consumed < from.size() && from[step.consumed] == 0) ++step.consumed;
      if (step.consumed == from.size()) return step;
      from = from.subspan(step.consumed);
    }
    inside_ = true;
    state_.next_in = const_cast<Bytef*>(from.data());  // zlib's interface predates const; inflate only reads
    state_.avail_in = static_cast<uInt>(from.size());
    state_.next_out = into.data();
    state_.avail_out = static_cast<uInt>(into.size());
    const int result = ::inflate(&state_, Z_NO_FLUSH);
    step.consumed += from.size() - state_.avail_in;
    step.produced = into.size() - state_.avail_out;
    if (result == Z_STREAM_END) {
      inside_ = false;
      ++members_;
      ::inflateReset(&state_);
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      step.damage = state_.msg != nullptr ? state_.msg : ::zError(result);
    }
    step.inside = inside_;
    return step;
  }

 private:
  z_stream state_{};
  bool ready_ = false;
  bool inside_ = false;
  std::size_t members_ = 0;
};

class ZstdDecoder final : public Decoder {
 public:
  Step step(ByteSpan from, std::span<std::uint8_t> into) override {
    if (!state_) return {.damage = "out of memory"};
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    ZSTD_inBuffer in{from.data(), from.size(), 0};
    const std::size_t result = ZSTD_decompressStream(state_.get(), &out, &in);
    Step step{in.pos, out.pos, result != 0};
    if (ZSTD_isError(result) != 0) step.damage = ZSTD_getErrorName(result);
    return step;
  }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_{ZSTD_createDStream(), &ZSTD_freeDStream};
};

class Lz4Decoder final : public Decoder {
 public:
  Lz4Decoder() {
    if (LZ4F_isError(LZ4F_createDecompressionContext(&state_, LZ4F_VERSION)) != 0) state_ = nullptr;
  }
  ~Lz4Decoder() override { LZ4F_freeDecompressionContext(state_); }
  Lz4Decoder(const Lz4Decoder&) = delete;
  Lz4Decoder& operator=(const Lz4Decoder&) = delete;

  Step step(ByteSpan from, std::span<std::uint8_t> into) override {
    if (state_ == nullptr) return {.damage = "out of memory"};
    std::size_t taken = from.size();
    std::size_t made = into.size();
    const std::size_t result = LZ4F_decompress(state_, into.data(), &made, from.data(), &taken, nullptr);
    if (LZ4F_isError(result) != 0) return {.damage = LZ4F_getErrorName(result)};
    return {taken, made, result != 0};
  }

 private:
  LZ4F_dctx* state_ = nullptr;
};

class DecompressedStream final : public ByteStream {
 public:
  DecompressedStream(std::unique_ptr<ByteStream> input, std::unique_ptr<Decoder> decoder, std::string_view format)
      : input_(std::move(input)), decoder_(std::move(decoder)), format_(format), chunk_(kCompressedChunk) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    while (!failure_) {
      const ByteSpan input(chunk_.data() + at_, size_ - at_);
      if (!input.empty() || inside_) {
        const Step step = decoder_->step(input, into);
        at_ += step.consumed;
        inside_ = step.inside;
        if (step.damage != nullptr) failure_ = damaged(step.damage);
        else if (step.produced == 0 && step.consumed == 0 && !input.empty()) failure_ = damaged("it makes no sense");
        if (step.produced > 0) return step.produced;
        if (failure_ || step.consumed > 0) continue;
      }
      consumed_ += size_;
      at_ = size_ = 0;
      Result<std::size_t> got = input_->read(chunk_);
      if (!got) {
        failure_ = std::move(got).error();
      } else if (*got > 0) {
        size_ = *got;
      } else if (inside_) {
        failure_ = Error{.message = fmt::format("the {} data ends too early, at byte {} of the compressed file",
                                                format_, consumed_)};
      } else {
        return 0;
      }
    }
    return fail(*failure_);
  }

 private:
  Error damaged(const char* what) const {
    return {.message = fmt::format("the {} data is damaged near byte {} of the compressed file: {}", format_,
                                   consumed_ + at_, what)};
  }

  std::unique_ptr<ByteStream> input_;
  std::unique_ptr<Decoder> decoder_;
  std::string_view format_;
  std::vector<std::uint8_t> chunk_;
  std::size_t at_ = 0;          // in the chunk: what the decoder has not taken
  std::size_t size_ = 0;        // of the chunk
  std::uint64_t consumed_ = 0;  // before the chunk
  bool inside_ = false;
  std::optional<Error> failure_;
};

// Hands out bytes that were read ahead, then the stream they came from.
class AheadStream final : public ByteStream {
 public:
  AheadStream(std::vector<std::uint8_t> ahead, std::unique_ptr<ByteStream> rest)
      : ahead_(std::move(ahead)), rest_(std::move(rest)) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    if (moved_ || at_ == ahead_.size()) return rest_->read(into);
    const std::size_t count = std::min(into.size(), ahead_.size() - at_);
    std::memcpy(into.data(), ahead_.data() + at_, count);
    at_ += count;
    return count;
  }
  Status seek(std::uint64_t offset) override {
    moved_ = true;
    return rest_->seek(offset);
  }
  std::unique_ptr<Mapping> map() override { return rest_->map(); }

 private:
  std::vector<std::uint8_t> ahead_;
  std::size_t at_ = 0;
  bool moved_ = false;
  std::unique_ptr<ByteStream> rest_;
};

Compression compression_of(ByteSpan start) {
  constexpr std::uint32_t kZstdMagic = 0xfd2fb528;
  constexpr std::uint32_t kLz4Magic = 0x184d2204;
  constexpr std::uint32_t kSkippable = 0x184d2a50;  // to ...5f: frames without data, in zstd and lz4 alike
  if (start.size() >= 2 && start[0] == 0x1f && start[1] == 0x8b) return Compression::kGzip;
  while (start.size() >= 4) {
    const auto magic = load<std::uint32_t>(start.data(), std::endian::little);
    if (magic == kZstdMagic) return Compression::kZstd;
    if (magic == kLz4Magic) return Compression::kLz4;
    if ((magic & ~0xfu) != kSkippable || start.size() < 8) break;
    const std::uint64_t frame = std::uint64_t{8} + load<std::uint32_t>(start.data() + 4, std::endian::little);
    if (frame > start.size()) break;
    start = start.subspan(static_cast<std::size_t>(frame));
  }
  return Compression::kNone;
}

std::unique_ptr<Decoder> decoder_of(Compression compression) {
  switch (compression) {
    case Compression::kNone: break;
    case Compression::kGzip: return std::make_unique<GzipDecoder>();
    case Compression::kZstd: return std::make_unique<ZstdDecoder>();
    case Compression::kLz4: return std::make_unique<Lz4Decoder>();
  }
  return nullptr;
}

}  // namespace

Result<OpenedStream> decompressed(std::unique_ptr<ByteStream> stream) {
  // Parallel zstd writes a short skippable frame first: look behind it.
  std::vector<std::uint8_t> ahead(24);
  std::size_t got = 0;
  while (got < ahead.size()) {
    WEIR_TRY(const std::size_t more, stream->read(std::span(ahead).subspan(got)));
    if (more == 0) break;
    got += more;
  }
  ahead.resize(got);
  OpenedStream out;
  out.compression = compression_of(ahead);
  const bool borrows = stream->borrows();
  out.stream = std::make_unique<AheadStream>(std::move(ahead), std::move(stream));
  if (std::unique_ptr<Decoder> decoder = decoder_of(out.compression)) {
    out.stream =
        std::make_unique<DecompressedStream>(std::move(out.stream), std::move(decoder), name_of(out.compression));
    // The thread may still be reading when the stream is dropped: not from memory that is the caller's.
    if (!borrows) out.stream = threaded_stream(std::move(out.stream));
  }
  return out;
}

}  // namespace weir::capture
