// Every engine against the naive reference: random programs and packets, all short programs over a reduced alphabet,
// and packets that end where a page ends and nothing is mapped behind.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>

#include "engines.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"

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

packet::Metadata some_metadata(tests::ProgramMaker& maker) {
  return {.protocol = 0x0800,
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
}

TEST(Engine, AgreesWithTheReferenceOnRandomPrograms) {
  tests::ProgramMaker maker(7);
  PageEnd memory;
  int checked = 0;
  for (int i = 0; i < tests::rounds(30000); ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program())) continue;
    ++checked;
    const auto engines = tests::all_engines(*program);
    const packet::Metadata metadata = some_metadata(maker);
    for (int p = 0; p < 4; ++p) {
      const std::uint32_t size = maker.below(72);
      std::uint8_t* bytes = memory.last(size);
      for (std::uint32_t b = 0; b < size; ++b)
        bytes[b] = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
      const packet::Packet packet{bytes, size, size + maker.below(9), maker.below(2) == 0 ? &metadata : nullptr};
      const std::uint32_t expected = reference::run(program->program(), packet).verdict;
      for (const auto& engine : engines) {
        ASSERT_EQ(engine->run(packet), expected) << engine->name() << "\n"
                                                 << cbpf::write(program->program(), cbpf::Format::kText);
        std::uint32_t verdicts[2] = {};
        const packet::Packet two[] = {packet, packet};
        engine->run(two, verdicts);
        ASSERT_EQ(verdicts[0], expected);
        ASSERT_EQ(verdicts[1], expected);
      }
    }
  }
  EXPECT_GT(checked, tests::rounds(30000) / 6);
}

TEST(Engine, ColumnsAndBitsAgreeWithSinglePackets) {
  tests::ProgramMaker maker(11);
  constexpr std::size_t kCount = 1100;  // more than one chunk of match(), and not a multiple of 64
  std::vector<std::uint8_t> bytes(kCount * 80);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(maker.below(4));
  const packet::Metadata metadata = some_metadata(maker);
  std::vector<std::uint32_t> offsets, lengths, wire_lengths;
  std::vector<const packet::Metadata*> all_metadata;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    offsets.push_back(i * 80);
    lengths.push_back(maker.below(81));
    wire_lengths.push_back(lengths.back() + maker.below(3));
    all_metadata.push_back(maker.below(2) == 0 ? &metadata : nullptr);
  }
  packet::Columns columns{bytes.data(), offsets.data(), lengths.data(), nullptr, nullptr, kCount};
  for (int i = 0; i < tests::rounds(400); ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program())) continue;
    columns.wire_lengths = i % 2 == 0 ? wire_lengths.data() : nullptr;
    columns.metadata = i % 3 == 0 ? all_metadata.data() : nullptr;
    for (const auto& engine : tests::all_engines(*program)) {
      std::vector<std::uint32_t> verdicts(kCount, 77);
      std::vector<std::uint64_t> bits((kCount + 63) / 64, ~std::uint64_t{0});
      engine->run(columns, verdicts);
      const std::size_t matched = engine->match(columns, bits);
      std::size_t expected = 0;
      for (std::size_t p = 0; p < kCount; ++p) {
        ASSERT_EQ(verdicts[p], reference::run(program->program(), columns[p]).verdict)
            << engine->name() << " packet " << p << "\n"
            << cbpf::write(program->program(), cbpf::Format::kText);
        ASSERT_EQ((bits[p / 64] >> (p % 64)) & 1, verdicts[p] != 0 ? 1u : 0u);
        expected += verdicts[p] != 0;
      }
      EXPECT_EQ(matched, expected);
      EXPECT_EQ(bits.back() >> (kCount % 64), 0u);
    }
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
        const auto engines = tests::all_engines(*program);
        for (std::uint32_t size = 0; size <= 3; ++size) {
          const packet::Packet packet{bytes, size, 3, nullptr};
          const std::uint32_t expected = reference::run(program->program(), packet).verdict;
          for (const auto& engine : engines)
            ASSERT_EQ(engine->run(packet), expected) << engine->name() << "\n"
                                                     << cbpf::write(program->program(), cbpf::Format::kText);
        }
      }
  EXPECT_GT(checked, 15000);
}

}  // namespace
}  // namespace weir
