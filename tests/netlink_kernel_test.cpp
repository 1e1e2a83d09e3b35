// Netlink attributes as the running kernel finds them: every engine, on random and on well-formed runs of attributes.
#include <weir/kernel/verdict.h>

#include <random>

#include "engines.h"

namespace weir {
namespace {

cbpf::Checked program_of(std::uint32_t a, std::uint32_t x, cbpf::Extension extension) {
  using cbpf::Opcode;
  return cbpf::check(cbpf::Program{cbpf::make(Opcode::kLdImmediate, a), cbpf::make(Opcode::kLdxImmediate, x),
                                   cbpf::make(Opcode::kLdWordAbsolute,
                                              cbpf::kExtensionBase + static_cast<std::uint32_t>(extension)),
                                   cbpf::make(Opcode::kAddK, 1), cbpf::make(Opcode::kRetA)})
      .value();
}

// Attributes inside of attributes, some with lengths that lie.
void append_attributes(std::vector<std::uint8_t>& out, std::mt19937& random, int depth) {
  for (std::uint32_t n = random() % 4; n-- > 0;) {
    const std::size_t at = out.size();
    out.resize(at + 4);
    if (depth > 0 && random() % 2 == 0) {
      append_attributes(out, random, depth - 1);
    } else {
      out.resize(out.size() + random() % 7);
    }
    std::uint16_t length = static_cast<std::uint16_t>(out.size() - at);
    if (random() % 10 == 0) length = static_cast<std::uint16_t>(random() % 40);
    const auto type = static_cast<std::uint16_t>(random() % 4 + (random() % 3 == 0 ? 0x8000 : 0));
    std::memcpy(&out[at], &length, 2);
    std::memcpy(&out[at + 2], &type, 2);
    out.resize((out.size() + 3) / 4 * 4);
  }
}

TEST(NetlinkAttributes, AreWhereTheKernelFindsThem) {
  std::mt19937 random(3);
  int found = 0;
  for (int i = 0; i < 400; ++i) {
    const auto extension = i % 2 == 0 ? cbpf::Extension::kNetlinkAttribute : cbpf::Extension::kNetlinkNested;
    const cbpf::Checked program =
        program_of(random() % 5 == 0 ? random() % 40 : 4 * (random() % 6), random() % 4, extension);
    auto kernel = kernel::VerdictRunner::create(program);
    if (!kernel) GTEST_SKIP() << "no kernel: " << kernel.error().message;
    const auto engines = tests::all_engines(program);
    for (int p = 0; p < 4; ++p) {
      std::vector<std::uint8_t> bytes;
      append_attributes(bytes, random, 2);
      bytes.push_back(0);
      const auto expected = kernel->run(bytes);
      ASSERT_TRUE(expected) << expected.error().message;
      found += expected->value > 1;
      for (const auto& engine : engines)
        ASSERT_EQ(engine->run(packet::make_packet(bytes)), expected->value) << engine->name();
    }
  }
  EXPECT_GT(found, 100);
}

}  // namespace
}  // namespace weir
