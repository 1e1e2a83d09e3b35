// A stream that is read ahead on a thread of its own. Exports threaded_stream.
//
// For decompression, which takes longer than filtering: the two overlap. A ring of buffers lies between the threads;
// the reader fills one after another and hands each on as soon as the other side waits for it. The first bytes are read
// without a thread, and but a few: so many captures may be open, and cost little until their packets are read. Where
// the system gives no thread, everything is read so. When the stream is dropped before its end, the reader may be
// waiting for a pipe that gives nothing: it is left to itself and holds what it needs through a shared pointer.
#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "capture/byte_stream.h"

namespace weir::capture {
namespace {

constexpr std::size_t kBuffer = 256 * 1024;
constexpr std::size_t kBuffers = 4;
constexpr std::size_t kFirstRead = 4 * 1024;

struct Buffer {
  std::unique_ptr<std::uint8_t[]> bytes = std::make_unique_for_overwrite<std::uint8_t[]>(kBuffer);
  std::size_t size = 0;
};

struct Shared {
  explicit Shared(std::unique_ptr<ByteStream> from) : stream(std::move(from)) {}
  void make_buffers() {
    buffers = std::make_unique<std::array<Buffer, kBuffers>>();
    for (Buffer& buffer : *buffers) empty.push_back(&buffer);
  }

  std::unique_ptr<ByteStream> stream;
  std::unique_ptr<std::array<Buffer, kBuffers>> buffers;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Buffer*> empty;
  std::deque<Buffer*> full;
  bool waiting = false;  // the consumer, for a full buffer
  bool dropped = false;  // by the consumer
  bool ended = false;    // after the buffers in `full`
  std::optional<Error> failure;
};

// Fills buffers until the stream ends, fails or is dropped.
void read_ahead(Shared& shared) {
  std::unique_lock lock(shared.mutex);
  while (!shared.dropped && !shared.ended) {
    shared.changed.wait(lock, [&] { return shared.dropped || !shared.empty.empty(); });
    if (shared.dropped) return;
    Buffer* const buffer = shared.empty.front();
    shared.empty.pop_front();
    buffer->size = 0;
    while (!shared.ended && buffer->size < kBuffer && !(shared.waiting && buffer->size > 0) && !shared.dropped) {
      lock.unlock();
      Result<std::size_t> got = shared.stream->read({buffer->bytes.get() + buffer->size, kBuffer - buffer->size});
      lock.lock();
      if (got) buffer->size += *got;
      else shared.failure = std::move(got).error();
      shared.ended = !got || *got == 0;
    }
    (buffer->size > 0 ? shared.full : shared.empty).push_back(buffer);
    shared.changed.notify_all();
  }
}

class ThreadedStream final : public ByteStream {
 public:
  explicit ThreadedStream(std::unique_ptr<ByteStream> stream) : shared_(std::make_shared<Shared>(std::move(stream))) {}
  ThreadedStream(const ThreadedStream&) = delete;
  ThreadedStream& operator=(const ThreadedStream&) = delete;
  ~ThreadedStream() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->dropped = true;
    shared_->changed.notify_all();
  }

  Result<std::size_t> read(std::span<std::uint8_t> into) override {
    if (state_ != State::kThread && !start(into)) return shared_->stream->read(into);
    if (current_ == nullptr || at_ == current_->size) {
      std::unique_lock lock(shared_->mutex);
      if (current_ != nullptr) shared_->empty.push_back(current_);
      current_ = nullptr;
      shared_->waiting = true;
      shared_->changed.notify_all();
      shared_->changed.wait(lock, [&] { return shared_->ended || !shared_->full.empty(); });
      shared_->waiting = false;
      if (shared_->full.empty()) {
        if (shared_->failure) return fail(*shared_->failure);
        return 0;
      }
      current_ = shared_->full.front();
      shared_->full.pop_front();
      at_ = 0;
    }
    const std::size_t count = std::min(into.size(), current_->size - at_);
    std::memcpy(into.data(), current_->bytes.get() + at_, count);
    at_ += count;
    return count;
  }

 private:
  enum class State : std::uint8_t { kNotRead, kRead, kThread, kNoThread };

  // Starts the thread, unless `into`, which is made shorter, is for the first bytes.
  bool start(std::span<std::uint8_t>& into) {
    if (state_ == State::kNotRead) {
      into = into.first(std::min(into.size(), kFirstRead));
      state_ = State::kRead;
      return false;
    }
    if (state_ == State::kNoThread) return false;
    shared_->make_buffers();
    try {
      std::thread([shared = shared_] { read_ahead(*shared); }).detach();
      state_ = State::kThread;
    } catch (const std::system_error&) {
      state_ = State::kNoThread;
    }
    return state_ == State::kThread;
  }

  State state_ = State::kNotRead;
  std::shared_ptr<Shared> shared_;
  Buffer* current_ = nullptr;
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<ByteStream> threaded_stream(std::unique_ptr<ByteStream> stream) {
  return std::make_unique<ThreadedStream>(std::move(stream));
}

}  // namespace weir::capture
