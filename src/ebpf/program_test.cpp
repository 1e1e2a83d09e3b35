// check(): what it accepts, each rule that it refuses by, and that nothing random crashes it.
#include <random>

#include <gtest/gtest.h>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>

namespace weir::ebpf {
namespace {

Program program_of(std::string_view text) {
  Result<Program> program = assemble(text);
  EXPECT_TRUE(program) << program.error().message;
  return std::move(*program);
}

std::string complaint(std::string_view text, const CheckOptions& options = {}) {
  const Result<Checked> checked = check(program_of(text), options);
  if (checked) return "";
  const auto* place = std::get_if<InstructionPlace>(&checked.error().place);
  return (place != nullptr ? std::to_string(place->index) + ": " : "") + checked.error().message;
}

TEST(Check, Accepts) {
  EXPECT_EQ(complaint("r0 = 0\nexit"), "");
  EXPECT_EQ(complaint("a: goto a"), "");
  EXPECT_EQ(complaint("r1 = 0x1122334455667788 ll\nexit"), "");
  EXPECT_EQ(complaint("call local f\nexit\nf: exit"), "");
  EXPECT_EQ(complaint("r0 /= 0\nr0 <<= 77\nexit"), "");
}

TEST(Check, Refuses) {
  EXPECT_EQ(complaint("r0 = 0"), "0: the program runs over its end");
  EXPECT_EQ(complaint("r0 = 0\nif r0 == 0 goto -2"), "1: the program runs over its end");
  EXPECT_EQ(complaint("goto +1\nexit"), "0: jump to 2, outside of the program");
  EXPECT_EQ(complaint("goto -2\nexit"), "0: jump to -1, outside of the program");
  EXPECT_EQ(complaint("gotol -2\nexit"), "0: jump to -1, outside of the program");
  EXPECT_EQ(complaint("goto +1\nr1 = 1 ll\nexit"), "0: jump to 2, into the middle of a 64-bit constant");
  EXPECT_EQ(complaint("call +7\nexit"), "0: call to 8, outside of the program");
  EXPECT_EQ(complaint("r1 = subprog[+7]\nexit"), "0: address of a function to 8, outside of the program");
  EXPECT_EQ(complaint("r10 = 0\nexit"), "0: the frame pointer r10 is written");
  EXPECT_EQ(complaint("r10 = *(u64 *)(r1 + 0)\nexit"), "0: the frame pointer r10 is written");
  EXPECT_EQ(complaint("r10 = xchg_64(r1 + 0, r10)\nexit"), "0: the frame pointer r10 is written");
  EXPECT_EQ(complaint("*(u64 *)(r10 - 8) = r10\nexit"), "");
  EXPECT_EQ(complaint("callx r1\nexit"), "0: calls through registers are refused");
  EXPECT_EQ(complaint("callx r1\nexit", {.register_calls = true}), "");
  EXPECT_EQ(complaint("may_goto +0\nexit"), "0: may_goto means something in kernels alone");
  EXPECT_EQ(complaint("r1 = addr_space_cast(r1, 0, 1)\nexit"), "0: addr_space_cast means something in kernels alone");
  EXPECT_EQ(complaint("may_goto +0\nr1 = addr_space_cast(r1, 0, 1)\nexit", {.kernel_instructions = true}), "");
  EXPECT_EQ(complaint("may_goto +1\nexit", {.kernel_instructions = true}), "0: jump to 2, outside of the program");
  EXPECT_EQ(complaint("r10 = load_acquire((u64 *)(r1 + 0))\nexit"), "0: the frame pointer r10 is written");
  EXPECT_EQ(complaint("r0 = *(u8 *)skb[0]\nexit", {.packet_loads = false}), "0: packet loads are refused here");
  EXPECT_EQ(complaint("r0 /= 0\nexit", {.kernel_constants = true}), "0: division by the constant 0");
  EXPECT_EQ(complaint("r0 s%= 0\nexit", {.kernel_constants = true}), "0: division by the constant 0");
  EXPECT_EQ(complaint("w0 <<= 32\nexit", {.kernel_constants = true}), "0: shift by 32 in a register of 32 bits");
  EXPECT_EQ(complaint("r0 <<= 63\nexit", {.kernel_constants = true}), "");
  EXPECT_EQ(complaint(".raw 0xff, 0, 0, 0, 0\nexit"), "0: no instruction has the code 0xff");
  EXPECT_EQ(complaint(".raw 0x18, 0, 0, 0, 0\n.raw 0, 1, 0, 0, 0\nexit"),
            "1: the second half of a 64-bit constant holds more than its constant");
  EXPECT_EQ(complaint("exit\n.raw 0x18, 0, 0, 0, 0"), "1: the second half of the 64-bit constant is missing");
  EXPECT_FALSE(check(Program{}));
}

TEST(Check, FindsAllViolations) {
  const Program program = program_of("goto +9\nr10 = 1\ncallx r1\nr0 = 1");
  EXPECT_EQ(violations(program).size(), 4u);
}

TEST(Check, NothingCrashesIt) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20000; ++round) {
    Program program;
    const std::size_t size = 1 + random() % 12;
    for (std::size_t i = 0; i < size; ++i) {
      Instruction slot = make(opcodes()[random() % opcodes().size()].operation);
      slot.dst = random() % 12 & 15;
      if (random() % 4 == 0) slot.offset = static_cast<std::int16_t>(random() % 20 - 10);
      if (random() % 8 == 0) slot.code = static_cast<std::uint8_t>(random());
      if (random() % 4 == 0) slot.immediate = static_cast<std::int32_t>(random());
      program.instructions.push_back(slot);
    }
    const std::vector<Error> errors = violations(program);
    EXPECT_EQ(check(program).has_value(), errors.empty());
    for (const Error& error : errors) EXPECT_LT(std::get<InstructionPlace>(error.place).index, size);
  }
}

}  // namespace
}  // namespace weir::ebpf
