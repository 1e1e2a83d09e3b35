// Programs for captures run elsewhere too: in libpcap's own interpreter, where an address [x + k] does not wrap, weir's
// program and libpcap's give the same verdict for each packet.
#include <gtest/gtest.h>

#if defined(WEIR_HAVE_LIBPCAP)

#include <random>

#include <pcap/pcap.h>

#include <weir/cbpf/text.h>
#include <weir/filter/compile.h>

#include "rounds.h"

namespace weir {
namespace {

constexpr const char* kExpressions[] = {
    "ether[len - 4:4] = 1",
    "ip[len - 20] = 1",
    "ip[ip[2:2] - 1] = 0",
    "link[len - 1] = 0",
    "ether[ether[14] - 3:2] > 7",
    "ether[ether[14:4] + 3] = 1 or ether[ether[14:4] + 4] = 2",
    "ip[ip[8] + 4:4] & 1 = 0 and ip[ip[8] - 4:4] & 2 = 0",
    "ether[4 * (ether[15] & 3) + 2] = 1",
    "ether[0xfffffff0 + ether[1]] = 0",
    "ether[0 - ether[1]] = 0 or ether[2] = 1",
    "not ether[len - len + 0xfffffffe] = 1",
    "ether[(len - 4) + 8 - 4:1] = 0",
};

TEST(PortablePrograms, AnswerInLibpcapsInterpreterAsLibpcapsDo) {
  std::mt19937 random(17);
  pcap_t* handle = pcap_open_dead(DLT_EN10MB, 65535);
  int accepted = 0;
  int refused = 0;
  for (const char* expression : kExpressions) {
    SCOPED_TRACE(expression);
    bpf_program theirs{};
    ASSERT_EQ(pcap_compile(handle, &theirs, expression, 0, PCAP_NETMASK_UNKNOWN), 0) << pcap_geterr(handle);
    const auto ours = filter::compile(expression);
    ASSERT_TRUE(ours);
    std::vector<bpf_insn> code;
    for (const cbpf::Instruction& each : ours->program.program()) code.push_back({each.code, each.jt, each.jf, each.k});
    for (int round = 0; round < tests::rounds(4000); ++round) {
      std::vector<std::uint8_t> packet(random() % 80);
      for (std::uint8_t& byte : packet)
        byte = static_cast<std::uint8_t>(random() % 3 == 0 ? random() % 90 : random() % 3);
      if (packet.size() > 14 && random() % 8 != 0) packet[12] = 8, packet[13] = 0;
      if (packet.size() > 18 && random() % 2 == 0)
        packet[16] = 0, packet[17] = static_cast<std::uint8_t>(random() % 70);
      const auto size = static_cast<unsigned>(packet.size());
      const unsigned wire = size + (random() % 4 == 0 ? random() % 9 : 0);
      const bool expected = bpf_filter(theirs.bf_insns, packet.data(), wire, size) != 0;
      ASSERT_EQ(bpf_filter(code.data(), packet.data(), wire, size) != 0, expected)
          << cbpf::write(ours->program.program(), cbpf::Format::kText) << "packet of " << size << " bytes, " << wire
          << " on the wire";
      (expected ? accepted : refused) += 1;
    }
    pcap_freecode(&theirs);
  }
  pcap_close(handle);
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace weir

#endif
