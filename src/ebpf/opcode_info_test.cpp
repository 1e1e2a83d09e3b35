// The opcode table against the bits of RFC 9669 and the names against <linux/bpf.h>.
#include <set>
#include <tuple>

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <weir/ebpf/names.h>
#include <weir/ebpf/opcode_info.h>

namespace weir::ebpf {
namespace {

TEST(OpcodeInfo, RowsAreTheirOwn) {
  std::set<std::tuple<int, int>> seen;
  std::set<std::string_view> names;
  for (const OpcodeInfo& row : opcodes()) {
    EXPECT_TRUE(seen.emplace(row.code, row.selected).second) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(&info(row.operation), &row);
    EXPECT_EQ(find(make(row.operation)), &row) << row.name;
    const auto decoded = decode(make(row.operation));
    ASSERT_TRUE(decoded) << row.name << ": " << decoded.error().message;
    EXPECT_EQ(*decoded, &row);
  }
}

// The code byte's parts agree with what the row says: class, width, source.
TEST(OpcodeInfo, CodesAgreeWithTheirBits) {
  for (const OpcodeInfo& row : opcodes()) {
    const int cls = row.code & 7;
    const bool memory = cls <= 3;
    if (memory) {
      constexpr int kWidths[] = {4, 2, 1, 8};
      EXPECT_EQ(row.width, kWidths[(row.code >> 3) & 3]) << row.name;
    }
    if (row.shape == OperandShape::kAluConstant || row.shape == OperandShape::kBranchConstant) {
      EXPECT_EQ(row.code & BPF_X, 0) << row.name;
    }
    if (row.shape == OperandShape::kAluRegister || row.shape == OperandShape::kBranchRegister) {
      EXPECT_EQ(row.code & BPF_X, BPF_X) << row.name;
    }
    if (row.shape == OperandShape::kAluConstant || row.shape == OperandShape::kAluRegister) {
      EXPECT_EQ(cls, row.width == 8 ? BPF_ALU64 : 4) << row.name;
    }
    if (is_branch(row.shape)) {
      EXPECT_EQ(cls, row.width == 8 ? BPF_JMP : BPF_JMP32) << row.name;
    }
  }
  EXPECT_EQ(info(Operation::kExit).code, BPF_JMP | BPF_EXIT);
  EXPECT_EQ(info(Operation::kAtomicCompareExchange64).selected, BPF_CMPXCHG);
  EXPECT_EQ(info(Operation::kAtomicFetchXor32).selected, BPF_XOR | BPF_FETCH);
  EXPECT_EQ(info(Operation::kBe16).code, BPF_ALU | BPF_END | BPF_TO_BE);
}

// All 256 codes with all values of the selecting fields that could matter: found exactly where a row says so.
TEST(OpcodeInfo, NothingElseIsFound) {
  std::size_t found = 0;
  for (int code = 0; code < 256; ++code)
    for (int src = 0; src < 16; ++src)
      for (int offset : {0, 1, 2, 8, 16, 24, 32, 64, -1})
        for (int immediate : {0, 1, 16, 32, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0xe0, 7, -1}) {
          Instruction slot;
          slot.code = static_cast<std::uint8_t>(code);
          slot.src = static_cast<unsigned>(src) & 15;
          slot.offset = static_cast<std::int16_t>(offset);
          slot.immediate = immediate;
          const OpcodeInfo* expected = nullptr;
          for (const OpcodeInfo& row : opcodes()) {
            const int value = row.selector == Selector::kOffset      ? offset
                              : row.selector == Selector::kImmediate ? immediate
                              : row.selector == Selector::kSource    ? src
                                                                     : row.selected;
            if (row.code == code && value == row.selected) expected = &row;
          }
          EXPECT_EQ(find(slot), expected);
          found += expected != nullptr ? 1 : 0;
        }
  EXPECT_GT(found, 1000u);
}

TEST(OpcodeInfo, UnusedFieldsMustBeZero) {
  Instruction slot = make(Operation::kExit);
  slot.immediate = 1;
  EXPECT_EQ(decode(slot).error().message, "the constant must be 0 here, not 1");
  slot = make(Operation::kAdd64X);
  slot.src = 11;
  EXPECT_EQ(decode(slot).error().message, "there is no register r11");
  slot = make(0xff);
  EXPECT_EQ(decode(slot).error().message, "no instruction has the code 0xff");
  slot = make(Operation::kAtomicAdd64);
  slot.immediate = 7;
  EXPECT_EQ(decode(slot).error().message, "code 0xdb has no meaning with constant 7");
}

TEST(Names, AreThoseOfTheSystemHeader) {
  EXPECT_EQ(static_cast<int>(Helper::kMapLookupElem), BPF_FUNC_map_lookup_elem);
  EXPECT_EQ(static_cast<int>(Helper::kTailCall), BPF_FUNC_tail_call);
  EXPECT_EQ(static_cast<int>(Helper::kRingbufOutput), BPF_FUNC_ringbuf_output);
  EXPECT_EQ(static_cast<int>(Helper::kUserRingbufDrain), BPF_FUNC_user_ringbuf_drain);
  EXPECT_EQ(static_cast<int>(ProgramType::kSyscall), BPF_PROG_TYPE_SYSCALL);
  EXPECT_EQ(static_cast<int>(MapType::kUserRingbuf), BPF_MAP_TYPE_USER_RINGBUF);
  EXPECT_EQ(static_cast<int>(AttachType::kXdp), BPF_XDP);
  EXPECT_EQ(static_cast<int>(AttachType::kLsmCgroup), BPF_LSM_CGROUP);
}

TEST(Names, GoBothWays) {
  for (std::size_t i = 0; i < helper_names().size(); ++i)
    EXPECT_EQ(find_helper(helper_names()[i]), static_cast<Helper>(i));
  EXPECT_EQ(find_helper("bpf_map_lookup_elem"), Helper::kMapLookupElem);
  EXPECT_EQ(find_program_type("BPF_PROG_TYPE_XDP"), ProgramType::kXdp);
  EXPECT_EQ(find_map_type("lru_hash"), MapType::kLruHash);
  EXPECT_EQ(find_attach_type("BPF_CGROUP_INET_INGRESS"), AttachType::kCgroupInetIngress);
  EXPECT_FALSE(find_helper("bpf_map_lookup"));
  EXPECT_EQ(name_of(static_cast<Helper>(100000)), "100000");
}

}  // namespace
}  // namespace weir::ebpf
