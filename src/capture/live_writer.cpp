// Files of live captures. Exports LiveWriter.
//
// A Lane makes the pieces of a writev(2): headers and small packets in its buffer, large packets where they lie. The
// shared part takes a lock only to write the pieces, and to begin the next file where the pieces would make the
// current one too long; so a file holds whole records.
#include <weir/capture/live_writer.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include <weir/base/file.h>

#include "capture/live_headers.h"

namespace weir::capture {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBuffer = 256 * 1024;
constexpr std::size_t kMostPieces = IOV_MAX;
// Below this a copy is cheaper than a piece of its own.
constexpr std::uint32_t kCopyBelow = 512;
constexpr std::size_t kLongestHead = 64;
constexpr std::ptrdiff_t kStep = 64;
// Packets of one block of a ring lie no farther apart than this.
constexpr std::ptrdiff_t kSameBlock = 1 << 16;

// Copies `length` bytes and up to kStep - 1 more.
void copy_in_steps(std::uint8_t* to, const std::uint8_t* from, std::uint32_t length) {
  for (std::uint32_t at = 0; at < length; at += kStep) std::memcpy(to + at, from + at, kStep);
}

struct OpenFile {
  FileDescriptor descriptor;
  bool socket = false;
};

// A write to it does not block for good. `fresh`: it must not be there.
Result<OpenFile> open_for_writing(const std::string& path, bool fresh) {
  const int descriptor =
      path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                  : ::open(path.c_str(), O_WRONLY | O_CREAT | (fresh ? O_EXCL : O_TRUNC) | O_CLOEXEC | O_NOCTTY, 0666);
  if (descriptor < 0)
    return fail(system_failure(path == "-" ? "cannot write standard output" : "cannot write '" + path + "'", errno));
  OpenFile file{FileDescriptor(descriptor)};
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return file;
  file.socket = S_ISSOCK(status.st_mode);
  if (!S_ISFIFO(status.st_mode) && ::isatty(descriptor) != 1) return file;
  // The flags of a pipe or terminal are shared with other processes: it is opened once more.
  FileDescriptor again(
      ::open(fmt::format("/proc/self/fd/{}", descriptor).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (again) file.descriptor = std::move(again);
  return file;
}

ssize_t write_some(const OpenFile& file, std::span<iovec> pieces) {
  const std::size_t count = std::min(pieces.size(), kMostPieces);
  if (!file.socket) return ::writev(file.descriptor.get(), pieces.data(), static_cast<int>(count));
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  return ::sendmsg(file.descriptor.get(), &message, MSG_DONTWAIT);
}

// Waits until a pipe, socket or terminal takes more; an error when its reader stalls while the capture ends.
Status wait_for_reader(int descriptor, const std::atomic<bool>* stopping, const std::string& name) {
  constexpr int kLookMilliseconds = 100;
  constexpr auto kPatience = std::chrono::seconds(3);
  std::optional<Clock::time_point> give_up;
  for (;;) {
    pollfd wait{descriptor, POLLOUT, 0};
    if (::poll(&wait, 1, kLookMilliseconds) > 0) return {};
    if (stopping == nullptr || !*stopping) continue;
    if (!give_up) give_up = Clock::now() + kPatience;
    if (Clock::now() > *give_up)
      return fail(Error{.code = ErrorCode::kSystem,
                        .message = fmt::format("{} takes nothing: packets that were captured are lost",
                                               name == "-" ? "the reader of standard output" : "'" + name + "'")});
  }
}

// Writes all pieces, resuming after short writes and signals. Changes them.
Status write_pieces(const OpenFile& file, std::span<iovec> pieces, const std::string& name,
                    const std::atomic<bool>* stopping) {
  while (!pieces.empty()) {
    const ssize_t written = write_some(file, pieces);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        WEIR_CHECK(wait_for_reader(file.descriptor.get(), stopping, name));
        continue;
      }
      return fail(system_failure(name == "-" ? "cannot write standard output" : "cannot write '" + name + "'", errno));
    }
    auto left = static_cast<std::size_t>(written);
    while (!pieces.empty() && left >= pieces.front().iov_len) {
      left -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (pieces.empty()) break;
    pieces.front().iov_base = static_cast<std::uint8_t*>(pieces.front().iov_base) + left;
    pieces.front().iov_len -= left;
  }
  return {};
}

}  // namespace

class LiveWriter::State {
 public:
  State(std::string path, const std::vector<Interface>& interfaces, const LiveWriterOptions& options)
      : path_(std::move(path)), options_(options) {
    if (pcapng()) {
      append_section_header(head_);
      for (const Interface& interface : interfaces) append_interface(head_, interface);
    } else {
      append_pcap_header(head_, interfaces.front());
    }
    tail_size_ = tail_of(std::vector<LiveStatistics>(interfaces.size())).size();
  }

  bool pcapng() const { return options_.format == Format::kPcapng; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint32_t files() const { return files_; }

  Status open_next() {
    if (rotates() && files_ == 0) number_ = highest_number();
    ++files_;
    name_ = rotates() ? numbered(++number_) : path_;
    WEIR_TRY(file_, open_for_writing(name_, rotates()));
    opened_ = Clock::now();
    size_ = head_.size();
    bytes_ += head_.size();
    if (!rotates()) return write_bytes(head_);
    kept_.push_back(name_);
    if (options_.keep_files != 0 && kept_.size() > options_.keep_files) {
      ::unlink(kept_.front().c_str());
      kept_.pop_front();
    }
    return write_bytes(head_);
  }

  Status submit(std::span<iovec> pieces, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (failure_) return fail(*failure_);
    if (size_ == head_.size()) opened_ = Clock::now();  // no file is left without a packet
    else if (must_rotate(bytes)) WEIR_CHECK(open_next());
    if (const Status written = write_pieces(file_, pieces, name_, options_.stopping); !written) {
      failure_ = written.error();
      cut_back();
      return written;
    }
    size_ += bytes;
    bytes_ += bytes;
    return {};
  }

  // The longest stretch of records that is written at once: short where files are.
  std::uint64_t longest_stretch() const {
    if (options_.rotate_bytes == 0) return ~std::uint64_t{0};
    const std::uint64_t around = head_.size() + tail_size_ + kLongestHead;
    const std::uint64_t room = options_.rotate_bytes - std::min(around, options_.rotate_bytes);
    return std::min(std::max<std::uint64_t>(options_.rotate_bytes / 4, 4096), room);
  }

  Status finish(std::span<const LiveStatistics> statistics) {
    const std::lock_guard lock(mutex_);
    if (failure_) return {};
    const std::vector<std::uint8_t> tail = tail_of(statistics);
    bytes_ += tail.size();
    return write_bytes(tail);
  }

 private:
  std::vector<std::uint8_t> tail_of(std::span<const LiveStatistics> statistics) const {
    std::vector<std::uint8_t> tail;
    if (pcapng())
      for (std::size_t i = 0; i < statistics.size(); ++i)
        append_statistics(tail, static_cast<std::uint32_t>(i), statistics[i]);
    return tail;
  }

  Status write_bytes(ByteSpan bytes) {
    iovec piece{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    const Status written = write_pieces(file_, {&piece, 1}, name_, options_.stopping);
    if (!written) failure_ = written.error();
    return written;
  }

  // After a failed write: a file then ends with the last stretch of records that was written whole.
  void cut_back() {
    struct stat status {};
    if (name_ != "-" && ::fstat(file_.descriptor.get(), &status) == 0 && S_ISREG(status.st_mode))
      (void)!::ftruncate(file_.descriptor.get(), static_cast<off_t>(size_));
  }

  // The highest number that a file of this name has; 0: there is none.
  std::uint32_t highest_number() const {
    namespace fs = std::filesystem;
    const fs::path path(path_);
    const std::string prefix = fs::path(path_.substr(0, dot_of(path_)) + "-").filename().string();
    std::uint32_t highest = 0;
    std::error_code error;
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const std::string name = at->path().filename().string();
      if (!name.starts_with(prefix)) continue;
      std::uint32_t number = 0;
      if (std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number).ec != std::errc()) continue;
      if (number < 0xffffffff && fs::path(numbered(number)).filename().string() == name)
        highest = std::max(highest, number);
    }
    return highest;
  }

  bool rotates() const { return options_.rotate_bytes != 0 || options_.rotate_seconds > 0; }

  bool must_rotate(std::uint64_t bytes) const {
    if (options_.rotate_bytes != 0 && size_ + bytes + tail_size_ > options_.rotate_bytes) return true;
    return options_.rotate_seconds > 0 &&
           std::chrono::duration<double>(Clock::now() - opened_).count() >= options_.rotate_seconds;
  }

  std::string numbered(std::uint32_t number) const {
    const std::size_t dot = dot_of(path_);
    return fmt::format("{}-{:05}{}", path_.substr(0, dot), number, path_.substr(dot));
  }

  // Where the ending begins; the end when there is none.
  static std::size_t dot_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::size_t dot = path.rfind('.');
    const bool none = dot == std::string::npos || dot == 0 || (slash != std::string::npos && dot <= slash + 1);
    return none ? path.size() : dot;
  }

  std::string path_;
  LiveWriterOptions options_;
  std::vector<std::uint8_t> head_;  // of each file
  std::uint64_t tail_size_ = 0;     // of the last one
  std::mutex mutex_;
  OpenFile file_;
  std::string name_;
  std::deque<std::string> kept_;
  std::uint32_t number_ = 0;  // of the file that is written
  std::uint32_t files_ = 0;
  std::optional<Error> failure_;  // of a write: nothing more is written
  std::uint64_t size_ = 0;
  std::uint64_t bytes_ = 0;
  Clock::time_point opened_{};
};

LiveWriter::LiveWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
LiveWriter::~LiveWriter() = default;

Result<std::unique_ptr<LiveWriter>> LiveWriter::create(const std::string& path,
                                                       const std::vector<Interface>& interfaces,
                                                       const LiveWriterOptions& options) {
  if (options.format == Format::kPcap)
    for (const Interface& interface : interfaces)
      if (interface.link_type != interfaces.front().link_type)
        return fail(Error{
            .code = ErrorCode::kUsage,
            .message = fmt::format("a pcap file holds one link type: {} does not fit to {}",
                                   packet::name_of(interface.link_type), packet::name_of(interfaces.front().link_type)),
            .hint = "write pcapng"});
  auto state = std::make_unique<State>(path, interfaces, options);
  WEIR_CHECK(state->open_next());
  return std::unique_ptr<LiveWriter>(new LiveWriter(std::move(state)));
}

Status LiveWriter::finish(std::span<const LiveStatistics> statistics) { return state_->finish(statistics); }
std::uint64_t LiveWriter::bytes() const { return state_->bytes(); }
std::uint32_t LiveWriter::files() const { return state_->files(); }

LiveWriter::Lane::Lane(LiveWriter& writer)
    : writer_(writer),
      pcapng_(writer.state_->pcapng()),
      longest_stretch_(writer.state_->longest_stretch()),
      buffer_(new std::uint8_t[kBuffer]),
      cursor_(buffer_.get()),
      piece_(buffer_.get()) {
  pieces_.reserve(kMostPieces);
}

LiveWriter::Lane::~Lane() = default;

void LiveWriter::Lane::end_piece() {
  if (cursor_ == piece_) return;
  const auto size = static_cast<std::size_t>(cursor_ - piece_);
  pieces_.push_back({piece_, size});
  bytes_ += size;
  piece_ = cursor_;
}

Status LiveWriter::Lane::flush() {
  end_piece();
  if (pieces_.empty()) return {};
  const Status done = writer_.state_->submit(pieces_, bytes_);
  pieces_.clear();
  bytes_ = 0;
  if (done) {
    packets_written_ += packets_;
    packet_bytes_written_ += packet_bytes_;
  }
  packets_ = packet_bytes_ = 0;
  cursor_ = piece_ = buffer_.get();
  return done;
}

// Inline, and no Status: making and looking at one costs as much as all else that is done for a small packet.
inline bool LiveWriter::Lane::has_room(std::uint32_t length) const {
  const auto used = static_cast<std::size_t>(cursor_ - buffer_.get());
  return used + kLongestHead + kCopyBelow + kStep <= kBuffer && pieces_.size() + 3 <= kMostPieces &&
         bytes_ + static_cast<std::uint64_t>(cursor_ - piece_) + length < longest_stretch_;
}

Status LiveWriter::Lane::write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts,
                               std::uint32_t interface) {
  const std::size_t count = batch.packets.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (!verdicts.empty() && verdicts[i] == 0) continue;
    const packet::Packet& packet = batch.packets[i];
    const Record& record = batch.records[i];
    if (!has_room(packet.length)) WEIR_CHECK(flush());
    cursor_ = pcapng_ ? put_enhanced_head(cursor_, packet, record, interface) : put_pcap_head(cursor_, packet, record);
    if (packet.length >= kCopyBelow) {
      end_piece();
      // writev takes the memory as not const, and reads it.
      pieces_.push_back({const_cast<std::uint8_t*>(packet.data), packet.length});
      bytes_ += packet.length;
    } else {
      // In a ring the next packet lies behind this one, so a few bytes more may be read: whole steps are copied.
      const bool more_behind = i + 1 < count && batch.packets[i + 1].data > packet.data &&
                               batch.packets[i + 1].data - packet.data >= packet.length + kStep &&
                               batch.packets[i + 1].data - packet.data < kSameBlock;
      if (more_behind) copy_in_steps(cursor_, packet.data, packet.length);
      else std::memcpy(cursor_, packet.data, packet.length);
      cursor_ += packet.length;
    }
    if (pcapng_) cursor_ = put_enhanced_tail(cursor_, packet.length);
    ++packets_;
    packet_bytes_ += packet.length;
  }
  return flush();
}

}  // namespace weir::capture
