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
#include <zstd_errors.h>

#include "capture/byte_stream.h"

namespace weir::capture {
namespace {

constexpr std::size_t kFirstChunk = 4 * 1024;  // little is read of a file that is only opened
constexpr std::size_t kCompressedChunk = 128 * 1024;

// What one call of a decoder did.
struct Step {
  std::size_t consumed = 0;
  std::size_t produced = 0;
  bool inside = false;           // of a member or frame: the stream may not end here
  const char* damage = nullptr;  // the decoder's words for what is wrong
  std::optional<Error> refusal;  // of what may be sound, instead of damage
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual Step step(ByteSpan from, std::span<std::uint8_t> into) = 0;
};

// A step that only failed.
Step damaged_step(const char* damage) {
  Step step;
  step.damage = damage;
  return step;
}

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
    if (!ready_) return damaged_step("out of memory");
    // Tapes and some tools pad with zeros behind the last member.
    if (!inside_ && members_ > 0) {
      while (step.consumed < from.size() && from[step.consumed] == 0) ++step.consumed;
      if (step.consumed == from.size()) return step;
      from = from.subspan(step.consumed);
      if (from.front() != kMagic[0]) return behind_the_end(step);
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
    } else if (result == Z_DATA_ERROR && members_ > 0 && state_.total_in <= sizeof kMagic) {
      return behind_the_end(step);
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      step.damage = state_.msg != nullptr ? state_.msg : ::zError(result);
    }
    step.inside = inside_;
    return step;
  }

 private:
  static constexpr std::uint8_t kMagic[2] = {0x1f, 0x8b};

  static Step behind_the_end(Step step) {
    step.refusal = Error{.message = "what follows the end of the gzip data is not gzip",
                         .hint = "all packets before it were read; gzip -dc ignores such bytes"};
    return step;
  }

  z_stream state_{};
  bool ready_ = false;
  bool inside_ = false;
  std::size_t members_ = 0;
};

// zstd and lz4 tell how much input they want next: the rest of a block and the header of the block behind it. What one
// call has decoded is lost when it fails, so no call may come from one block into the next: it gets the block without
// that header, and nothing as long as output is held back. So all that comes before damage is handed out, and the place
// of the damage is known to a block.
class BlockPace {
 public:
  BlockPace(std::size_t first, std::size_t block_header) : first_(first), block_header_(block_header), next_(first) {}

  ByteSpan allowed(ByteSpan from) const { return held_back_ ? ByteSpan() : from.first(std::min(from.size(), next_)); }
  // `wants`: what the decoder said, 0 at the end of a frame.
  void note(std::size_t wants, bool filled) {
    held_back_ = filled && wants != 0;
    next_ = wants == 0 ? first_ : wants > block_header_ ? wants - block_header_ : wants;
  }
  bool held_back() const { return held_back_; }

 private:
  std::size_t first_;         // bytes of a frame that tell how long its header is
  std::size_t block_header_;  // bytes
  std::size_t next_;
  bool held_back_ = false;  // the last call filled its output
};

// Calls decode(input, output, Step&) until it did something, or there is no input: an answer to whether output is held
// back may be that it is not.
template <typename Decode>
Step paced_step(BlockPace& pace, ByteSpan from, std::span<std::uint8_t> into, const Decode& decode) {
  for (;;) {
    const bool asked = pace.held_back();
    Step step;
    const std::size_t wants = decode(pace.allowed(from), into, step);
    if (step.damage != nullptr || step.refusal) return step;
    step.inside = wants != 0;
    pace.note(wants, step.produced == into.size());
    if (step.consumed > 0 || step.produced > 0 || !asked || from.empty()) return step;
  }
}

class ZstdDecoder final : public Decoder {
 public:
  Step step(ByteSpan from, std::span<std::uint8_t> into) override {
    if (!state_) return damaged_step("out of memory");
    return paced_step(pace_, from, into, [this](ByteSpan some, std::span<std::uint8_t> to, Step& step) {
      ZSTD_outBuffer out{to.data(), to.size(), 0};
      ZSTD_inBuffer in{some.data(), some.size(), 0};
      const std::size_t result = ZSTD_decompressStream(state_.get(), &out, &in);
      step.consumed = in.pos;
      step.produced = out.pos;
      if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
        step.refusal = Error{.message = "the zstd data needs a window of more than 128 MiB of memory to decompress",
                             .hint = "decompress it first (zstd --long=31 -dc FILE | weir ... -)"};
      else if (ZSTD_isError(result) != 0) step.damage = ZSTD_getErrorName(result);
      return result;
    });
  }

 private:
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_{ZSTD_createDStream(), &ZSTD_freeDStream};
  BlockPace pace_{5, 3};  // RFC 8878: magic number and descriptor; Block_Header
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
    if (state_ == nullptr) return damaged_step("out of memory");
    return paced_step(pace_, from, into, [this](ByteSpan some, std::span<std::uint8_t> to, Step& step) {
      step.consumed = some.size();
      step.produced = to.size();
      const std::size_t result =
          LZ4F_decompress(state_, to.data(), &step.produced, some.data(), &step.consumed, nullptr);
      if (LZ4F_isError(result) == 0) return result;
      step = damaged_step(LZ4F_getErrorName(result));
      return result;
    });
  }

 private:
  LZ4F_dctx* state_ = nullptr;
  BlockPace pace_{7, 4};  // lz4_Frame_format.md: the shortest frame header; a block's size
};

class DecompressedStream final : public ByteStream {
 public:
  DecompressedStream(std::unique_ptr<ByteStream> input, std::unique_ptr<Decoder> decoder, std::string_view format,
                     std::uint64_t skipped)
      : input_(std::move(input)), decoder_(std::move(decoder)), format_(format), consumed_(skipped) {}

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    while (!failure_) {
      const ByteSpan input(chunk_.get() + at_, size_ - at_);
      if (!input.empty() || inside_) {
        const Step step = decoder_->step(input, into);
        at_ += step.consumed;
        inside_ = step.inside;
        if (step.refusal) failure_ = refused(*step.refusal);
        else if (step.damage != nullptr) failure_ = damaged(step.damage);
        else if (step.produced == 0 && step.consumed == 0 && !input.empty()) failure_ = damaged("it makes no sense");
        if (step.produced > 0) return step.produced;
        if (failure_ || step.consumed > 0) continue;
      }
      consumed_ += size_;
      at_ = size_ = 0;
      Result<std::size_t> got = input_->read({chunk_.get(), limit_});
      limit_ = std::min(2 * limit_, kCompressedChunk);
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

  Error refused(Error refusal) const {
    refusal.message += fmt::format(" (at byte {} of the compressed file)", consumed_ + at_);
    return refusal;
  }

  std::unique_ptr<ByteStream> input_;
  std::unique_ptr<Decoder> decoder_;
  std::string_view format_;
  std::unique_ptr<std::uint8_t[]> chunk_ = std::make_unique_for_overwrite<std::uint8_t[]>(kCompressedChunk);
  std::size_t at_ = 0;               // in the chunk: what the decoder has not taken
  std::size_t size_ = 0;             // of the chunk
  std::size_t limit_ = kFirstChunk;  // of its size
  std::uint64_t consumed_;           // before the chunk
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
  bool would_wait() const override { return (moved_ || at_ == ahead_.size()) && rest_->would_wait(); }

 private:
  std::vector<std::uint8_t> ahead_;
  std::size_t at_ = 0;
  bool moved_ = false;
  std::unique_ptr<ByteStream> rest_;
};

constexpr std::size_t kMagicBytes = 4;
constexpr std::size_t kSkippableHeader = 8;
constexpr std::size_t kAhead = 24;  // the header of a pcap file, of which no more is read before it is mapped

Compression compression_of(ByteSpan start) {
  constexpr std::uint32_t kZstdMagic = 0xfd2fb528;
  constexpr std::uint32_t kLz4Magic = 0x184d2204;
  if (start.size() >= 2 && start[0] == 0x1f && start[1] == 0x8b) return Compression::kGzip;
  if (start.size() < kMagicBytes) return Compression::kNone;
  const auto magic = load<std::uint32_t>(start.data(), std::endian::little);
  if (magic == kZstdMagic) return Compression::kZstd;
  return magic == kLz4Magic ? Compression::kLz4 : Compression::kNone;
}

// The bytes of a frame without data, which zstd and lz4 have alike; 0 where none starts.
std::uint64_t skippable_frame(ByteSpan start) {
  constexpr std::uint32_t kSkippable = 0x184d2a50;  // to ...5f
  if (start.size() < kSkippableHeader) return 0;
  if ((load<std::uint32_t>(start.data(), std::endian::little) & ~0xfu) != kSkippable) return 0;
  return std::uint64_t{kSkippableHeader} + load<std::uint32_t>(start.data() + 4, std::endian::little);
}

// Reads until `ahead` has kAhead bytes, or the stream ends.
Status read_ahead(ByteStream& stream, std::vector<std::uint8_t>& ahead) {
  while (ahead.size() < kAhead) {
    const std::size_t have = ahead.size();
    ahead.resize(kAhead);
    Result<std::size_t> more = stream.read(std::span(ahead).subspan(have));
    ahead.resize(have + more.value_or(0));
    if (!more) return fail(std::move(more).error());
    if (*more == 0) break;
  }
  return {};
}

// Reads over `count` bytes; false when the stream ends before.
Result<bool> skip(ByteStream& stream, std::uint64_t count) {
  std::vector<std::uint8_t> unused(static_cast<std::size_t>(std::min<std::uint64_t>(count, 64 * 1024)));
  while (count > 0) {
    WEIR_TRY(
        const std::size_t got,
        stream.read(std::span(unused).first(static_cast<std::size_t>(std::min<std::uint64_t>(count, unused.size())))));
    if (got == 0) return false;
    count -= got;
  }
  return true;
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
  std::vector<std::uint8_t> ahead;
  WEIR_CHECK(read_ahead(*stream, ahead));
  // Frames without data may come first (parallel zstd writes one): the frame behind them tells the compression.
  std::uint64_t skipped = 0;
  while (const std::uint64_t frame = skippable_frame(ahead)) {
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(frame, ahead.size()));
    ahead.erase(ahead.begin(), ahead.begin() + static_cast<std::ptrdiff_t>(here));
    WEIR_TRY(const bool whole, skip(*stream, frame - here));
    skipped += frame;
    if (!whole) break;
    WEIR_CHECK(read_ahead(*stream, ahead));
  }
  OpenedStream out;
  out.compression = compression_of(ahead);
  if (skipped > 0 && out.compression != Compression::kZstd && out.compression != Compression::kLz4)
    return fail(Error{.message = "the file starts as zstd and lz4 files may, but no data follows",
                      .place = OffsetPlace{skipped}});
  const bool borrows = stream->borrows();
  out.stream = std::make_unique<AheadStream>(std::move(ahead), std::move(stream));
  if (std::unique_ptr<Decoder> decoder = decoder_of(out.compression)) {
    out.stream = std::make_unique<DecompressedStream>(std::move(out.stream), std::move(decoder),
                                                      name_of(out.compression), skipped);
    // The thread may still be reading when the stream is dropped: not from memory that is the caller's.
    if (!borrows) out.stream = threaded_stream(std::move(out.stream));
  }
  return out;
}

}  // namespace weir::capture
