// Every engine against the naive reference: random programs and packets, all short programs over a reduced alphabet,
// and packets that end where a page ends and nothing is mapped behind.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>

#include "random_program.h"
#include "reference/reference_interpreter.h"

namespace weir {
namespace {

// A packet buffer whose end is the end of a mapped page.
class PageEnd {
 public:
  PageEnd() : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
    base_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::mprotect(base_ + page_, page_, PROT_NONE);
  }
  ~PageEnd() { ::munmap(base_, 2 * page_); }
  PageEnd(const PageEnd&) = delete;
  PageEnd& operator=(const PageEnd&) = delete;
  std::uint8_t* last(std::size_t size) { return base_ + page_ - size; }

 private:
  std::size_t page_;
  std::uint8_t* base_;
};

TEST(Engine, AgreesWithTheReferenceOnRandomPrograms) {
  tests::ProgramMaker maker(7);
  PageEnd memory;
  int checked = 0;
  for (int i = 0; i < 60000; ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program) continue;
    ++checked;
    const auto engine = engine::load(*program);
    ASSERT_TRUE(engine);
    for (int p = 0; p < 4; ++p) {
      const std::uint32_t size = maker.below(72);
      std::uint8_t* bytes = memory.last(size);
      for (std::uint32_t b = 0; b < size; ++b)
        bytes[b] = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
      packet::Metadata metadata{.protocol = 0x0800,
                                .type = maker.below(5),
                                .interface_index = 3,
                                .mark = 9,
                                .queue = 1,
                                .hardware_type = 1,
                                .receive_hash = 77,
                                .cpu = 2,
                                .vlan_tci = 5,
                                .vlan_present = 1,
                                .vlan_protocol = 0x8100};
      packet::Packet packet{bytes, size, size + maker.below(9), maker.below(2) == 0 ? &metadata : nullptr};
      bool random_load = false;
      for (const cbpf::Instruction& instruction : program->program())
        random_load |= instruction.k == cbpf::kExtensionBase + 56;
      if (random_load) continue;
      const std::uint32_t expected = reference::run(program->program(), packet).verdict;
      ASSERT_EQ((*engine)->run(packet), expected) << cbpf::write(program->program(), cbpf::Format::kText);
      std::uint32_t verdicts[2] = {};
      const packet::Packet two[] = {packet, packet};
      (*engine)->run(two, verdicts);
      ASSERT_EQ(verdicts[0], expected);
      ASSERT_EQ(verdicts[1], expected);
    }
  }
  EXPECT_GT(checked, 10000);
}

TEST(Engine, ColumnsAndBitsAgreeWithSinglePackets) {
  tests::ProgramMaker maker(11);
  constexpr std::size_t kCount = 1100;  // more than one chunk of match(), and not a multiple of 64
  std::vector<std::uint8_t> bytes(kCount * 40);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(maker.below(4));
  std::vector<std::uint32_t> offsets, lengths, wire_lengths;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    offsets.push_back(i * 40);
    lengths.push_back(maker.below(41));
    wire_lengths.push_back(lengths.back() + maker.below(3));
  }
  packet::Columns columns{bytes.data(), offsets.data(), lengths.data(), wire_lengths.data(), nullptr, kCount};
  for (int i = 0; i < 300; ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program) continue;
    const auto engine = engine::load(*program);
    ASSERT_TRUE(engine);
    bool random_load = false;
    for (const cbpf::Instruction& instruction : program->program())
      random_load |= instruction.k == cbpf::kExtensionBase + 56;
    if (random_load) continue;
    columns.wire_lengths = i % 2 == 0 ? wire_lengths.data() : nullptr;
    std::vector<std::uint32_t> verdicts(kCount, 77);
    std::vector<std::uint64_t> bits((kCount + 63) / 64, ~std::uint64_t{0});
    (*engine)->run(columns, verdicts);
    const std::size_t matched = (*engine)->match(columns, bits);
    std::size_t expected = 0;
    for (std::size_t p = 0; p < kCount; ++p) {
      ASSERT_EQ(verdicts[p], reference::run(program->program(), columns[p]).verdict);
      ASSERT_EQ((bits[p / 64] >> (p % 64)) & 1, verdicts[p] != 0 ? 1u : 0u);
      expected += verdicts[p] != 0;
    }
    EXPECT_EQ(matched, expected);
    EXPECT_EQ(bits.back() >> (kCount % 64), 0u);
  }
}

TEST(Engine, NamesAreReadBackAndWrongOnesAreAnswered) {
  for (const engine::KindInfo& info : engine::kinds()) {
    const auto kind = engine::read_kind(info.name);
    ASSERT_TRUE(kind);
    EXPECT_EQ(*kind, info.kind);
    EXPECT_EQ(engine::name_of(info.kind), info.name);
  }
  const auto wrong = engine::read_kind("interpretr");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().hint.find("interpreter"), std::string::npos);
}

TEST(Engine, AgreesOnAllProgramsOfThreeInstructionsOverAReducedAlphabet) {
  using cbpf::Opcode;
  std::vector<cbpf::Instruction> alphabet;
  for (const cbpf::OpcodeInfo& info : cbpf::opcodes())
    for (const std::uint32_t k : {0u, 1u, 0xffffffffu}) {
      const bool branch =
          info.shape == cbpf::OperandShape::kBranchConstant || info.shape == cbpf::OperandShape::kBranchIndex;
      alphabet.push_back(
          branch ? cbpf::make_jump(info.opcode, k, static_cast<std::uint8_t>(k == 1), static_cast<std::uint8_t>(k == 0))
                 : cbpf::make(info.opcode, k));
    }
  const std::uint8_t bytes[] = {0x45, 0x01, 0x80};
  int checked = 0;
  for (const cbpf::Instruction& first : alphabet)
    for (const cbpf::Instruction& second : alphabet)
      for (const Opcode last : {Opcode::kRetA, Opcode::kRetK}) {
        const auto program =
            cbpf::check(cbpf::Program{first, second, cbpf::make(last, 5)}, {.target = cbpf::Target::kUser});
        if (!program) continue;
        ++checked;
        const auto engine = engine::load(*program);
        for (std::uint32_t size = 0; size <= 3; ++size) {
          const packet::Packet packet{bytes, size, 3, nullptr};
          ASSERT_EQ((*engine)->run(packet), reference::run(program->program(), packet).verdict)
              << cbpf::write(program->program(), cbpf::Format::kText);
        }
      }
  EXPECT_GT(checked, 15000);
}

}  // namespace
}  // namespace weir
