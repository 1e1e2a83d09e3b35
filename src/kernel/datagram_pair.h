// Two connected datagram sockets, the second with a filter: what of a packet does the filter let through?
#pragma once

#include <optional>

#include <weir/base/bytes.h>
#include <weir/base/error.h>
#include <weir/base/file.h>
#include <weir/cbpf/program.h>

namespace weir::kernel {

class DatagramPair {
 public:
  static Result<DatagramPair> create(const cbpf::Program& filter);
  // How many bytes of the packet came through; none when the filter dropped it.
  Result<std::optional<std::uint32_t>> pass(ByteSpan packet);

 private:
  DatagramPair(FileDescriptor sender, FileDescriptor receiver)
      : sender_(std::move(sender)), receiver_(std::move(receiver)) {}
  FileDescriptor sender_;
  FileDescriptor receiver_;
};

}  // namespace weir::kernel
