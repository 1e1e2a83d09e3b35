// Filters on sockets: attach, read back, detach, lock.
//
// All functions take the descriptor of a socket that the caller owns and keeps open. The kernel copies the program, so
// it may go at once. Attaching to a socket that has a filter replaces it; when that fails, the old filter stays. What
// the kernel refuses comes back as an error that names its rule: the instruction that net/core/filter.c refuses, the
// lock, or the limit. Thread-safe as the system calls are.
// Source: socket(7), net/core/filter.c, net/core/sock.c.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <weir/base/error.h>
#include <weir/cbpf/program.h>

namespace weir::kernel {

enum class AttachPoint : std::uint8_t {
  kSocket,     // SO_ATTACH_FILTER, SO_ATTACH_BPF: the verdict is how many bytes of a packet to keep, 0 drops it
  kReuseport,  // SO_ATTACH_REUSEPORT_*: the verdict is the index of the socket in its SO_REUSEPORT group
};

Status attach(int socket, const cbpf::Checked& program, AttachPoint point = AttachPoint::kSocket);

// Hands any instructions to the kernel, to hear what it says: the error of attach() for what check() refuses.
Status attach_unchecked(int socket, const cbpf::Program& program, AttachPoint point = AttachPoint::kSocket);

// An extended program, by the descriptor that bpf(2) gave for it.
Status attach_extended(int socket, int program_descriptor, AttachPoint point = AttachPoint::kSocket);

// The classic program as it was attached (SO_GET_FILTER); none when no filter is there.
Result<std::optional<cbpf::Program>> attached(int socket);

Status detach(int socket, AttachPoint point = AttachPoint::kSocket);

// From now on nobody can change or detach the socket's filter, not even this process (SO_LOCK_FILTER).
Status lock(int socket);
Result<bool> locked(int socket);

// A filter that goes when this goes. Movable; the socket must outlive it.
class Attachment {
 public:
  static Result<Attachment> make(int socket, const cbpf::Checked& program, AttachPoint point = AttachPoint::kSocket);
  Attachment(Attachment&& other) noexcept : socket_(std::exchange(other.socket_, -1)), point_(other.point_) {}
  Attachment& operator=(Attachment&& other) noexcept;
  ~Attachment();                    // detaches; a lock keeps the filter
  void release() { socket_ = -1; }  // the filter stays

 private:
  Attachment(int socket, AttachPoint point) : socket_(socket), point_(point) {}
  int socket_;
  AttachPoint point_;
};

}  // namespace weir::kernel
