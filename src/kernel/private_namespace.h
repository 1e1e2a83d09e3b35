// For tests: a thread with namespaces of its own, so that what it mounts, attaches and sends stays there.
// Exports in_private_namespaces, Loopback.
#pragma once

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace weir::kernel::tests {

// Runs `body` in a thread with its own network (loopback up) and mounts. Skips the test where that is not allowed.
template <typename Body>
void in_private_namespaces(Body body) {
  std::thread([&] {
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "no namespaces of our own: " << std::strerror(errno);
    }
    const int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    const int up = ioctl(control, SIOCSIFFLAGS, &request);
    close(control);
    ASSERT_EQ(up, 0) << std::strerror(errno);
    body();
  }).join();
}

// Datagrams over 127.0.0.1 in this thread's network.
class Loopback {
 public:
  Loopback() : in_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), out_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(in_, reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    socklen_t size = sizeof address_;
    getsockname(in_, reinterpret_cast<sockaddr*>(&address_), &size);
  }
  ~Loopback() {
    close(in_);
    close(out_);
  }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  // Sends so many datagrams; how many came. Loopback delivers before sendto() returns.
  int arrived(int count) {
    int came = 0;
    for (int i = 0; i < count; ++i) {
      (void)sendto(out_, "hello", 5, 0, reinterpret_cast<sockaddr*>(&address_), sizeof address_);
      char text[16];
      came += recv(in_, text, sizeof text, MSG_DONTWAIT) == 5;
    }
    return came;
  }

 private:
  int in_;
  int out_;
  sockaddr_in address_{};
};

}  // namespace weir::kernel::tests
