// Payload offsets as the running kernel finds them: frames sent over a private loopback interface, every engine. Tags
// are left out: the kernel takes them off before the filter runs.
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>

#include <random>

#include "kernel/private_namespace.h"
#include "engines.h"

namespace weir {
namespace {

using Bytes = std::vector<std::uint8_t>;

void append(Bytes& out, std::initializer_list<int> bytes) {
  for (const int byte : bytes) out.push_back(static_cast<std::uint8_t>(byte));
}

// IPv4 or IPv6 with some transport header, at times with options, as a fragment, or of another protocol.
Bytes frame(std::mt19937& random) {
  constexpr int kTransports[] = {6, 17, 17, 1, 132, 33, 47, 99};
  const auto pick = [&](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  Bytes out(12, 0);
  const int transport = kTransports[pick(8)];
  if (pick(3) != 0) {
    const int words = pick(4) == 0 ? 5 + pick(4) : 5;
    append(out,
           {8, 0, 0x40 + words, 0, 0, 100, 0, 0, pick(6) == 0 ? 0x20 : 0, pick(8) == 0 ? 9 : 0, 64, transport, 0, 0});
    append(out, {127, 0, 0, 1, 127, 0, 0, 1});
    out.resize(out.size() + 4 * static_cast<std::size_t>(words - 5), 1);
  } else {
    append(out, {0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, transport, 64});
    out.resize(out.size() + 31, 0);
    out.push_back(1);
  }
  const std::size_t header = out.size();
  out.resize(header + 80, 0);
  if (transport == 6) out[header + 12] = static_cast<std::uint8_t>((5 + pick(4)) << 4);
  if (transport == 33) out[header + 4] = static_cast<std::uint8_t>(3 + pick(4));
  return out;
}

TEST(PayloadOffset, IsWhereTheKernelFindsIt) {
  using cbpf::Opcode;
  const cbpf::Checked program =
      cbpf::check(
          cbpf::Program{cbpf::make(Opcode::kLdWordAbsolute,
                                   cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kPayloadOffset)),
                        cbpf::make(Opcode::kAddK, 1), cbpf::make(Opcode::kRetA)})
          .value();
  kernel::tests::in_private_namespaces([&] {
    const int socket = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    ASSERT_GE(socket, 0);
    sock_filter code[] = {
        {0x20, 0, 0, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PAY_OFFSET)}, {0x04, 0, 0, 1}, {0x16, 0, 0, 0}};
    const sock_fprog filter{3, code};
    ASSERT_EQ(setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter), 0);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex("lo"));
    ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    std::mt19937 random(12);
    int found = 0;
    const auto engines = tests::all_engines(program);
    for (int i = 0; i < 300; ++i) {
      const Bytes bytes = frame(random);
      ASSERT_EQ(sendto(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address),
                static_cast<ssize_t>(bytes.size()))
          << std::strerror(errno);
      ssize_t kept = -1;
      while (kept < 0) {  // of the two copies that loopback shows, the one that comes in
        pollfd ready{socket, POLLIN, 0};
        ASSERT_EQ(poll(&ready, 1, 2000), 1) << "frame " << i << " does not come back";
        std::uint8_t buffer[512];
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        const ssize_t got = recvfrom(socket, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
        ASSERT_GE(got, 0);
        if (from.sll_pkttype == PACKET_HOST) kept = got;
      }
      found += kept > 1;
      const packet::Metadata metadata{.protocol = static_cast<std::uint32_t>(bytes[12] << 8 | bytes[13]),
                                      .hardware_type = 1};
      packet::Packet packet = packet::make_packet(bytes);
      packet.metadata = &metadata;
      for (const auto& engine : engines)
        EXPECT_EQ(engine->run(packet), static_cast<std::uint32_t>(kept))
            << engine->name() << ", frame " << i << ", transport " << int{bytes[23]};
    }
    EXPECT_GT(found, 150);
    close(socket);
  });
}

}  // namespace
}  // namespace weir
