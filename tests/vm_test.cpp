// The virtual machine of typed instructions: what golang.org/x/net/bpf's runs, and what that does not.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/engine/vm.h>

#include "random_program.h"
#include "reference/reference_interpreter.h"

namespace weir {
namespace {

using namespace cbpf::typed;

std::uint32_t run(std::vector<Instruction> program, const std::vector<std::uint8_t>& bytes) {
  const Result<engine::Vm> vm = engine::Vm::make(program);
  if (!vm) ADD_FAILURE() << one_line(vm.error());
  return vm ? vm->run(bytes) : 0;
}

TEST(Vm, RunsWhatGoRuns) {
  const std::vector<std::uint8_t> bytes = {0x45, 1, 2, 3, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(run({LoadAbsolute{0, 1}, RetA{}}, bytes), 0x45u);
  EXPECT_EQ(run({LoadAbsolute{0, 2}, RetA{}}, bytes), 0x4501u);
  EXPECT_EQ(run({LoadAbsolute{0, 4}, RetA{}}, bytes), 0x45010203u);
  EXPECT_EQ(run({LoadAbsolute{5, 4}, RetConstant{1}}, bytes), 0u);
  EXPECT_EQ(run({LoadMemShift{0}, TXA{}, RetA{}}, bytes), 20u);
  EXPECT_EQ(run({LoadConstant{Register::kX, 1}, LoadIndirect{2, 1}, RetA{}}, bytes), 3u);
  EXPECT_EQ(run({LoadExtension{Extension::kLength}, RetA{}}, bytes), 8u);
  EXPECT_EQ(
      run({LoadConstant{Register::kA, 9}, StoreScratch{Register::kA, 2}, LoadScratch{Register::kX, 2}, TXA{}, RetA{}},
          bytes),
      9u);
  EXPECT_EQ(run({LoadConstant{Register::kA, 9}, ALUOpX{Operation::kDiv}, RetConstant{7}}, bytes), 0u);
  EXPECT_EQ(run({JumpIf{cbpf::typed::Test::kEqual, 1, 1}, RetConstant{7}, RetConstant{8}}, bytes), 7u);
  EXPECT_EQ(run({Jump{1}, RetConstant{7}, RetConstant{8}}, bytes), 8u);
}

// Where Go's machine stops with an error, or means something else than Linux.
TEST(Vm, RunsWhatGoDoesNot) {
  EXPECT_EQ(run({LoadConstant{Register::kA, 1}, NegateA{}, RetA{}}, {}), 0xffffffffu);
  EXPECT_EQ(run({LoadConstant{Register::kA, 1}, LoadConstant{Register::kX, 33}, ALUOpX{Operation::kLsh}, RetA{}}, {}),
            2u);
  EXPECT_EQ(run({LoadConstant{Register::kX, 2}, LoadIndirect{0xffffffff, 1}, RetA{}}, {5, 6, 7}), 6u);
  EXPECT_EQ(run({LoadExtension{Extension::kLength, Register::kX}, TXA{}, RetA{}}, {5, 6, 7}), 3u);
  EXPECT_EQ(run({RawInstruction{0x28, 9, 9, 1}, RetA{}}, {5, 6, 7}), 0x607u);

  const Instruction program[] = {LoadExtension{Extension::kMark}, TAX{}, LoadExtension{Extension::kProtocol},
                                 ALUOpX{Operation::kAdd}, RetA{}};
  const Result<engine::Vm> vm = engine::Vm::make(program);
  ASSERT_TRUE(vm);
  const packet::Metadata metadata{.protocol = 0x800, .mark = 5};
  const std::uint8_t byte = 1;
  EXPECT_EQ(vm->run(packet::Packet{&byte, 1, 60, &metadata}), 0x805u);
}

TEST(Vm, ErrorsNameTheInstruction) {
  const auto error = [](std::vector<Instruction> program) {
    const Result<engine::Vm> vm = engine::Vm::make(program);
    return vm ? std::string("none") : one_line(vm.error());
  };
  EXPECT_EQ(error({}), "the program is empty (it needs at least a ret instruction)");
  EXPECT_EQ(error({TAX{}}), "instruction 0: the program does not end with ret (add 'ret #0' as the last instruction)");
  EXPECT_EQ(error({Jump{5}, RetA{}}), "instruction 0: jump to instruction 6, but the last is 1");
  EXPECT_EQ(error({ALUOpConstant{Operation::kDiv, 0}, RetA{}}),
            "instruction 0: division by zero (the divisor is a constant: it must not be 0)");
  EXPECT_EQ(error({RetA{}, LoadAbsolute{0, 7}}),
            "instruction 1: LoadAbsolute: cannot load 7 bytes at once (1, 2 or 4)");
}

// Typed and raw are one program: the machine agrees with the reference on random programs that went through both.
TEST(Vm, AgreesWithTheReference) {
  tests::ProgramMaker maker(77);
  int runs = 0;
  while (runs < 3000) {
    const auto checked = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!checked) continue;
    const Result<engine::Vm> vm = engine::Vm::make(disassemble(checked->program()).instructions);
    ASSERT_TRUE(vm) << vm.error().message;
    std::vector<std::uint8_t> bytes(maker.below(64));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(maker.below(256));
    bool random_load = false;
    for (const cbpf::Instruction& instruction : checked->program())
      random_load |= instruction.k == cbpf::kExtensionBase + 56;
    if (random_load) continue;
    ASSERT_EQ(vm->run(bytes), reference::run(checked->program(), packet::make_packet(bytes)).verdict);
    ++runs;
  }
}

}  // namespace
}  // namespace weir
