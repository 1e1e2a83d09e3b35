// Socket options of filters. Exports attach, attached, detach, lock and their kin.
//
// The kernel says EINVAL for a dozen reasons; the checker of module cbpf has the same rules and says which. What is
// left after it are limits of the kernel's conversion to extended instructions: the size of the result
// (net.core.optmem_max) and jumps that grow beyond 16 bits.
#include <weir/kernel/socket_filter.h>

#include <cerrno>
#include <linux/filter.h>
#include <sys/socket.h>
#include <vector>

#include <fmt/format.h>

namespace weir::kernel {
namespace {

// Of newer systems than the headers may know.
constexpr int kDetachReuseport = 68;  // SO_DETACH_REUSEPORT_BPF
constexpr int kMostInstructions = 4096;

Error not_a_socket(std::string what, int error) {
  Error made = system_failure(std::move(what), error);
  if (error == EPERM) made.hint = "the socket's filter is locked (SO_LOCK_FILTER): nobody can change it any more";
  if (error == ENOENT) made.hint = "no filter is attached";
  return made;
}

bool is_locked(int socket) {
  const Result<bool> is = locked(socket);
  return is && *is;
}

Error refusal(int socket, const cbpf::Program& program, AttachPoint point, int error) {
  const std::string what = "the kernel refuses the program";
  if (error == EINVAL) {
    std::vector<Error> broken = cbpf::violations(program);
    if (!broken.empty()) {
      broken.front().message = what + ": " + broken.front().message;
      broken.front().system_error = error;
      return std::move(broken.front());
    }
  }
  Error made = system_failure(what, error);
  if (error == EPERM && is_locked(socket))
    made.hint = "the socket's filter is locked (SO_LOCK_FILTER): nobody can change it any more";
  else if (error == ENOMEM) made.hint = "converted to extended instructions it is larger than net.core.optmem_max";
  else if (error == EINVAL && point == AttachPoint::kReuseport)
    made.hint = "the socket needs SO_REUSEPORT before it is bound";
  else if (error == EINVAL)
    made.hint = "a jump becomes longer than 32767 instructions when the kernel converts the program";
  return made;
}

int option_of(AttachPoint point) { return point == AttachPoint::kSocket ? SO_ATTACH_FILTER : SO_ATTACH_REUSEPORT_CBPF; }

}  // namespace

Status attach_unchecked(int socket, const cbpf::Program& program, AttachPoint point) {
  // sock_fprog counts in 16 bits: a longer program would be cut short silently.
  if (program.size() > kMostInstructions) return fail(std::move(cbpf::violations(program).front()));
  sock_fprog given{};
  given.len = static_cast<unsigned short>(program.size());
  std::vector<sock_filter> code;
  code.reserve(program.size());
  for (const cbpf::Instruction& i : program) code.push_back({i.code, i.jt, i.jf, i.k});
  given.filter = code.data();
  if (::setsockopt(socket, SOL_SOCKET, option_of(point), &given, sizeof given) != 0)
    return fail(refusal(socket, program, point, errno));
  return {};
}

Status attach(int socket, const cbpf::Checked& program, AttachPoint point) {
  return attach_unchecked(socket, program.program(), point);
}

Status attach_extended(int socket, int program_descriptor, AttachPoint point) {
  const int option = point == AttachPoint::kSocket ? SO_ATTACH_BPF : SO_ATTACH_REUSEPORT_EBPF;
  if (::setsockopt(socket, SOL_SOCKET, option, &program_descriptor, sizeof program_descriptor) == 0) return {};
  const int error = errno;
  Error made = system_failure("the kernel refuses the extended program", error);
  if (error == EPERM && is_locked(socket)) made.hint = "the socket's filter is locked (SO_LOCK_FILTER)";
  if (error == EBADF) made.hint = "no such descriptor is open";
  if (error == EINVAL) made.hint = "the descriptor is not of a program of type socket_filter";
  return fail(std::move(made));
}

Result<std::optional<cbpf::Program>> attached(int socket) {
  const std::string what = "cannot read the socket's filter";
  // The length of SO_GET_FILTER counts instructions, not bytes; 0 asks how many there are.
  socklen_t count = 0;
  if (::getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0) {
    Error error = system_failure(what, errno);
    if (errno == EACCES) error.hint = "an extended program is attached; the kernel gives back only classic ones";
    return fail(std::move(error));
  }
  if (count == 0) return std::optional<cbpf::Program>();
  std::vector<sock_filter> code(count);
  if (::getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, code.data(), &count) != 0)
    return fail(system_failure(what, errno));
  std::vector<cbpf::Instruction> instructions;
  for (const sock_filter& i : code) instructions.push_back({i.code, i.jt, i.jf, i.k});
  return std::optional<cbpf::Program>(cbpf::Program(std::move(instructions)));
}

Status detach(int socket, AttachPoint point) {
  int unused = 0;
  const int option = point == AttachPoint::kSocket ? SO_DETACH_FILTER : kDetachReuseport;
  if (::setsockopt(socket, SOL_SOCKET, option, &unused, sizeof unused) == 0) return {};
  return fail(not_a_socket("cannot detach the socket's filter", errno));
}

Status lock(int socket) {
  int on = 1;
  if (::setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0) return {};
  return fail(not_a_socket("cannot lock the socket's filter", errno));
}

Result<bool> locked(int socket) {
  int on = 0;
  socklen_t size = sizeof on;
  if (::getsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, &size) != 0)
    return fail(system_failure("cannot ask whether the socket's filter is locked", errno));
  return on != 0;
}

Result<Attachment> Attachment::make(int socket, const cbpf::Checked& program, AttachPoint point) {
  WEIR_CHECK(attach(socket, program, point));
  return Attachment(socket, point);
}

Attachment& Attachment::operator=(Attachment&& other) noexcept {
  if (this != &other) {
    if (socket_ >= 0) (void)detach(socket_, point_);
    socket_ = std::exchange(other.socket_, -1);
    point_ = other.point_;
  }
  return *this;
}

Attachment::~Attachment() {
  if (socket_ >= 0) (void)detach(socket_, point_);
}

}  // namespace weir::kernel
