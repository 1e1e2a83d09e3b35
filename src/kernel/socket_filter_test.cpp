// Socket options against the running kernel; none of it needs privilege, but for extended programs.
#include <weir/kernel/socket_filter.h>

#include <cerrno>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weir/base/file.h>
#include <weir/cbpf/text.h>
#include <weir/kernel/extended_filter.h>
#include <weir/kernel/privileges.h>

namespace weir::kernel {
namespace {

using cbpf::Opcode;

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    from = FileDescriptor(ends[0]);
    to = FileDescriptor(ends[1]);
  }
  // Bytes of a packet of this length that come through; -1 for none.
  ssize_t pass(std::size_t length) const {
    const std::vector<std::uint8_t> bytes(length, 7);
    EXPECT_EQ(::send(from.get(), bytes.data(), length, 0), static_cast<ssize_t>(length));
    std::uint8_t buffer[2048];
    return ::recv(to.get(), buffer, sizeof buffer, MSG_DONTWAIT);
  }
  FileDescriptor from, to;
};

cbpf::Checked checked(std::string_view text) {
  auto program = cbpf::check(*cbpf::assemble(text));
  EXPECT_TRUE(program) << program.error().message;
  return std::move(*program);
}

TEST(SocketFilter, KeepsAsManyBytesAsTheVerdictSays) {
  const Pair pair;
  ASSERT_TRUE(attach(pair.to.get(), checked("ret #10")));
  EXPECT_EQ(pair.pass(100), 10);
  EXPECT_EQ(pair.pass(5), 5);
  ASSERT_TRUE(attach(pair.to.get(), checked("ret #0")));
  EXPECT_EQ(pair.pass(100), -1);
  ASSERT_TRUE(detach(pair.to.get()));
  EXPECT_EQ(pair.pass(100), 100);
}

TEST(SocketFilter, ReadsBackWhatWasAttached) {
  const Pair pair;
  EXPECT_FALSE(attached(pair.to.get())->has_value());
  const cbpf::Checked program = checked("ldh [12]\njeq #0x800, yes, no\nyes: ret #-1\nno: ret #0");
  ASSERT_TRUE(attach(pair.to.get(), program));
  const auto back = attached(pair.to.get());
  ASSERT_TRUE(back && back->has_value());
  EXPECT_EQ(**back, program.program());
}

TEST(SocketFilter, RefusedReplacementLeavesTheOldFilterAndNamesTheRule) {
  const Pair pair;
  ASSERT_TRUE(attach(pair.to.get(), checked("ret #10")));
  const cbpf::Program bad{cbpf::make(Opcode::kLdImmediate, 1), cbpf::make(Opcode::kDivK, 0), cbpf::make(Opcode::kRetA)};
  const Status refused = attach_unchecked(pair.to.get(), bad);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("division by zero"));
  EXPECT_EQ(refused.error().place, Place(InstructionPlace{1}));
  EXPECT_EQ(refused.error().system_error, EINVAL);
  EXPECT_EQ(pair.pass(100), 10);
}

TEST(SocketFilter, RefusesProgramsThatTheLengthFieldWouldCut) {
  const Pair pair;
  std::vector<cbpf::Instruction> code(65537, cbpf::make(Opcode::kRetK, 1));
  const Status refused = attach_unchecked(pair.to.get(), cbpf::Program(std::move(code)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kLimit);
  EXPECT_EQ(pair.pass(3), 3);
}

TEST(SocketFilter, SaysWhenTheConvertedProgramIsTooLarge) {
  const Pair pair;
  std::vector<cbpf::Instruction> code(4095, cbpf::make(Opcode::kLdxHeaderLength, 1));
  code.push_back(cbpf::make(Opcode::kRetK, 1));
  const Result<cbpf::Checked> program = cbpf::check(cbpf::Program(std::move(code)));
  ASSERT_TRUE(program);
  const Status refused = attach(pair.to.get(), *program);
  if (refused) GTEST_SKIP() << "this kernel's net.core.optmem_max has room for 4095 ldxb";
  EXPECT_EQ(refused.error().system_error, ENOMEM);
  EXPECT_THAT(refused.error().hint, testing::HasSubstr("optmem_max"));
}

TEST(SocketFilter, LockHoldsAgainstChangeAndDetach) {
  const Pair pair;
  ASSERT_TRUE(attach(pair.to.get(), checked("ret #10")));
  EXPECT_FALSE(*locked(pair.to.get()));
  ASSERT_TRUE(lock(pair.to.get()));
  EXPECT_TRUE(*locked(pair.to.get()));
  const Status change = attach(pair.to.get(), checked("ret #20"));
  ASSERT_FALSE(change);
  EXPECT_EQ(change.error().system_error, EPERM);
  EXPECT_THAT(change.error().hint, testing::HasSubstr("locked"));
  const Status gone = detach(pair.to.get());
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().hint, testing::HasSubstr("locked"));
  EXPECT_EQ(pair.pass(100), 10);
}

// What a process that gave up its privileges finds out about the socket that it was given: bit 0 it could change the
// filter, 1 detach it, 2 unlock it, 3 the refusals do not say why, 4 the filter does not work, 5 it is root still.
int tried_without_privileges(const Pair& pair, bool is_locked) {
  int found = 0;
  const Result<User> nobody = find_user("nobody");
  if (::geteuid() == 0 && (!nobody || !become(*nobody))) return 64;
  if (::geteuid() != 0 && !drop_capabilities()) return 64;
  if (::geteuid() == 0) found |= 32;
  const Status changed = attach(pair.to.get(), checked("ret #10"));
  if (changed) found |= 1;
  else if (changed.error().system_error != EPERM || changed.error().hint.find("locked") == std::string::npos)
    found |= 8;
  if (pair.pass(100) != 10) found |= 16;
  int off = 0;
  if (is_locked && ::setsockopt(pair.to.get(), SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof off) == 0) found |= 4;
  if (detach(pair.to.get())) found |= 2;
  return found;
}

TEST(SocketFilter, LockHoldsForAProcessThatGaveUpItsPrivileges) {
  for (const bool is_locked : {true, false}) {
    const Pair pair;
    ASSERT_TRUE(attach(pair.to.get(), checked("ret #10")));
    if (is_locked) {
      ASSERT_TRUE(lock(pair.to.get()));
    }
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(tried_without_privileges(pair, is_locked));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    // Without the lock nobody needs a privilege to take the filter off: it is the lock that holds.
    EXPECT_EQ(WEXITSTATUS(status), is_locked ? 0 : 1 | 2);
    EXPECT_EQ(pair.pass(100), is_locked ? 10 : 100);
  }
}

TEST(SocketFilter, DetachWithoutFilterAndOnWhatIsNoSocketSaySo) {
  const Pair pair;
  const Status nothing = detach(pair.to.get());
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().hint, "no filter is attached");
  EXPECT_EQ(detach(-1).error().system_error, EBADF);
  EXPECT_EQ(attach(-1, checked("ret #1")).error().system_error, EBADF);
  EXPECT_FALSE(attached(-1));
  EXPECT_FALSE(locked(-1));
  int pipes[2];
  ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
  EXPECT_EQ(attach(pipes[0], checked("ret #1")).error().system_error, ENOTSOCK);
  ::close(pipes[0]);
  ::close(pipes[1]);
}

TEST(SocketFilter, AttachmentDetachesWhenItGoes) {
  const Pair pair;
  {
    auto attachment = Attachment::make(pair.to.get(), checked("ret #10"));
    ASSERT_TRUE(attachment);
    EXPECT_EQ(pair.pass(100), 10);
    Attachment moved = std::move(*attachment);
    EXPECT_EQ(pair.pass(100), 10);
  }
  EXPECT_EQ(pair.pass(100), 100);
  Attachment::make(pair.to.get(), checked("ret #11"))->release();
  EXPECT_EQ(pair.pass(100), 11);
}

// A UDP socket of a port that several share.
FileDescriptor shared_port(sockaddr_in& address) {
  FileDescriptor made(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  EXPECT_EQ(::setsockopt(made.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
  EXPECT_EQ(::bind(made.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(made.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return made;
}

// Sends the numbers 0 and 1 to a port that two sockets share; the program there picks the socket of this number.
void expect_picked(const FileDescriptor& first, const FileDescriptor& second, const sockaddr_in& address) {
  const FileDescriptor sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  for (int round = 0; round < 8; ++round) {
    const std::uint8_t index = round & 1;
    ASSERT_EQ(::sendto(sender.get(), &index, 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address), 1);
    std::uint8_t got = 9;
    EXPECT_EQ(::recv((index == 0 ? first : second).get(), &got, 1, MSG_DONTWAIT), 1);
    EXPECT_EQ(got, index);
    EXPECT_EQ(::recv((index == 0 ? second : first).get(), &got, 1, MSG_DONTWAIT), -1);
  }
}

TEST(SocketFilter, ReuseportProgramPicksTheSocket) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const FileDescriptor first = shared_port(address);
  const FileDescriptor second = shared_port(address);
  // The packet starts at the UDP payload: its first byte is the index.
  ASSERT_TRUE(attach(first.get(), checked("ldb [0]\nret a"), AttachPoint::kReuseport));
  expect_picked(first, second, address);
  EXPECT_TRUE(detach(first.get(), AttachPoint::kReuseport));
  const FileDescriptor alone(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Status refused = attach(alone.get(), checked("ret #0"), AttachPoint::kReuseport);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().hint, testing::HasSubstr("SO_REUSEPORT"));
}

TEST(SocketFilter, ExtendedProgramsAttachEverywhere) {
  const auto ten = ExtendedFilter::load(checked("ret #10"));
  if (!ten && ten.error().system_error == EPERM) GTEST_SKIP() << ten.error().message;
  ASSERT_TRUE(ten) << ten.error().message;
  const Pair pair;
  ASSERT_TRUE(attach_extended(pair.to.get(), ten->descriptor()));
  EXPECT_EQ(pair.pass(100), 10);
  const auto back = attached(pair.to.get());
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().hint, testing::HasSubstr("extended"));
  // What is no program is refused, and the old one stays.
  const Status wrong = attach_extended(pair.to.get(), pair.from.get());
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().hint, testing::HasSubstr("socket_filter"));
  EXPECT_EQ(pair.pass(100), 10);
  ASSERT_TRUE(lock(pair.to.get()));
  const Status late = attach_extended(pair.to.get(), ten->descriptor());
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().hint, testing::HasSubstr("locked"));

  const auto picks = ExtendedFilter::load(checked("ldb [0]\nret a"));
  ASSERT_TRUE(picks) << picks.error().message;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const FileDescriptor first = shared_port(address);
  const FileDescriptor second = shared_port(address);
  ASSERT_TRUE(attach_extended(first.get(), picks->descriptor(), AttachPoint::kReuseport));
  expect_picked(first, second, address);
  EXPECT_TRUE(detach(first.get(), AttachPoint::kReuseport));
}

}  // namespace
}  // namespace weir::kernel
