// Captures written while they are made: each block of packets is in the file before the next is read.
//
// Unlike a Sink's file, a live file has its name from the start, and a process that is killed leaves what was written
// so far as a readable capture. Files may rotate by size and by time. Small packets are copied into one buffer, large
// ones go from the ring to the file by writev(2) without a copy.
// LiveWriter may be shared by threads; each makes a Lane of its own, which is not synchronised.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <weir/base/error.h>
#include <weir/capture/live.h>
#include <weir/capture/source.h>

struct iovec;

namespace weir::capture {

struct LiveWriterOptions {
  Format format = Format::kPcapng;  // pcap: timestamps in nanoseconds, one link type
  // A file gets no longer and, from its first packet, no older; but each has a packet. 0: no limit.
  std::uint64_t rotate_bytes = 0;
  double rotate_seconds = 0;
  std::uint32_t keep_files = 0;  // the oldest goes when there are more; 0: all stay
  // Set when the capture shall end: then a pipe, socket or terminal that takes nothing for three seconds is an error.
  const std::atomic<bool>* stopping = nullptr;
};

class LiveWriter {
 public:
  // "-" is standard output. With rotation, files are named NAME-00001.EXT and so on, from the first number behind
  // those of all such files that are there.
  // `interfaces` are those that packets name by their index.
  static Result<std::unique_ptr<LiveWriter>> create(const std::string& path, const std::vector<Interface>& interfaces,
                                                    const LiveWriterOptions& options = {});
  ~LiveWriter();

  class Lane {
   public:
    explicit Lane(LiveWriter& writer);
    ~Lane();
    // Writes the packets of the batch whose verdict is not 0; all packets when `verdicts` is empty. All is on its way
    // to the file when this returns: the batch may go.
    Status write(const RecordBatch& batch, std::span<const std::uint32_t> verdicts, std::uint32_t interface);
    // What is in files, whole.
    std::uint64_t packets() const { return packets_written_; }
    std::uint64_t packet_bytes() const { return packet_bytes_written_; }

   private:
    bool has_room(std::uint32_t length) const;
    void end_piece();
    Status flush();
    LiveWriter& writer_;
    bool pcapng_;
    std::uint64_t longest_stretch_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    std::uint8_t* cursor_;
    std::uint8_t* piece_;  // where the buffer's part that is not in pieces_ yet begins
    std::vector<iovec> pieces_;
    std::uint64_t bytes_ = 0;  // in pieces_
    std::uint64_t packets_ = 0;
    std::uint64_t packet_bytes_ = 0;
    std::uint64_t packets_written_ = 0;
    std::uint64_t packet_bytes_written_ = 0;
  };

  // Ends the last file. pcapng tells what was received and dropped on each interface, when `statistics` has them.
  Status finish(std::span<const LiveStatistics> statistics);

  std::uint64_t bytes() const;  // written to all files
  std::uint32_t files() const;

 private:
  class State;
  explicit LiveWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir::capture
