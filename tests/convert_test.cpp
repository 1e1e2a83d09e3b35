// Classic programs and what convert() makes of them mean the same: recorded conversions of the kernel slot by slot,
// random programs over random packets in our interpreter, and in the running kernel after its verifier took them.
#include <fstream>
#include <optional>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <weir/cbpf/text.h>
#include <weir/convert/convert.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

#include "bpf_syscall.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"
#include "shared_data.h"

namespace weir {
namespace {

using convert::Context;

TEST(Convert, IsTheKernelsSlotBySlot) {
  const auto path = tests::shared_folder() / "data" / "classic" / "kernel-conversion.jsonl";
  WEIR_REQUIRE_SHARED(path);
  std::ifstream file(path);
  int same = 0;
  int refused = 0;
  for (std::string line; std::getline(file, line);) {
    const auto record = nlohmann::json::parse(line);
    SCOPED_TRACE(record["name"].get<std::string>());
    std::vector<cbpf::Instruction> classic;
    for (const auto& row : record["cbpf"])
      classic.push_back({row[0].get<std::uint16_t>(), row[1].get<std::uint8_t>(), row[2].get<std::uint8_t>(),
                         row[3].get<std::uint32_t>()});
    const auto checked = cbpf::check(cbpf::Program(std::move(classic)));
    if (!checked) {  // the record was made without the kernel's checker before the converter
      ++refused;
      continue;
    }
    const auto ours = convert::convert(*checked, {.context = Context::kKernel});
    ASSERT_TRUE(ours) << ours.error().message;
    const auto theirs = ebpf::read(record["ebpf"].get<std::string>());
    ASSERT_TRUE(theirs);
    EXPECT_EQ(ours->instructions, theirs->instructions) << write(*ours, ebpf::Format::kListing) << "\n"
                                                        << write(*theirs, ebpf::Format::kListing);
    ++same;
  }
  EXPECT_GE(same, 60);
  EXPECT_LT(refused, 10);
}

// A packet in struct sk_buff as KernelLayout places its fields, and the private functions of the converter.
class KernelPacket {
 public:
  explicit KernelPacket(const std::vector<std::uint8_t>& bytes) : bytes_(bytes) {
    const convert::KernelLayout layout;
    const auto length = static_cast<std::uint32_t>(bytes.size());
    const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
    std::memcpy(buffer_ + layout.length, &length, 4);
    std::memcpy(buffer_ + layout.data, &address, 8);
    current = this;
  }
  runtime::Invocation invocation() {
    runtime::Invocation run;
    run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer_);
    run.regions = {{run.arguments[0], sizeof buffer_, true},
                   {reinterpret_cast<std::uint64_t>(bytes_.data()), bytes_.size(), false}};
    return run;
  }
  template <typename T>
  static std::uint64_t load(runtime::Invocation&, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t offset,
                            std::uint64_t) {
    const auto at = static_cast<std::int32_t>(offset);
    const auto& bytes = current->bytes_;
    if (at < 0 || std::uint64_t(at) + sizeof(T) > bytes.size()) return static_cast<std::uint64_t>(-14);
    return weir::load<T>(bytes.data() + at, std::endian::big);
  }
  static runtime::Helpers functions() {
    runtime::Helpers out;
    const convert::KernelLayout layout;
    out.add(layout.load_byte, {"load_byte", {}}, load<std::uint8_t>);
    out.add(layout.load_half, {"load_half", {}}, load<std::uint16_t>);
    out.add(layout.load_word, {"load_word", {}}, load<std::uint32_t>);
    return out;
  }
  static KernelPacket* current;

 private:
  const std::vector<std::uint8_t>& bytes_;
  alignas(8) std::uint8_t buffer_[256] = {};
};
KernelPacket* KernelPacket::current = nullptr;

std::vector<std::uint8_t> random_packet(std::mt19937& random, std::size_t least) {
  std::vector<std::uint8_t> packet(least + random() % 64);
  for (std::uint8_t& byte : packet) byte = static_cast<std::uint8_t>(random() % 3 == 0 ? random() : random() % 4);
  return packet;
}

// Whether a program's verdict depends on what the reference knows and these packets do not.
bool is_comparable(const cbpf::Program& program) {
  for (const cbpf::Instruction& instruction : program)
    if ((instruction.code & 0xe7) == 0x20 && instruction.k >= cbpf::kExtensionBase &&
        instruction.k != cbpf::kExtensionBase + static_cast<std::uint32_t>(cbpf::Extension::kXorX))
      return false;
  return true;
}

TEST(Convert, RandomProgramsInTheInterpreter) {
  tests::ProgramMaker maker(21);
  std::mt19937 random(22);
  const runtime::Helpers kernel_functions = KernelPacket::functions();
  runtime::PacketBuffer buffer = std::move(runtime::PacketBuffer::create(2000).value());
  int compared = 0;
  for (int round = 0; round < tests::rounds(4000); ++round) {
    const cbpf::Program program = maker.next();
    const auto checked = cbpf::check(program);
    if (!checked || !is_comparable(program)) continue;
    for (const Context context : {Context::kPacket, Context::kXdp, Context::kSocket, Context::kKernel}) {
      const auto converted = convert::convert(*checked, {.context = context});
      ASSERT_TRUE(converted) << converted.error().message << "\n" << write(program, cbpf::Format::kText);
      // The kernel's form leaves X in unused fields.
      ebpf::Program cleaned = *converted;
      for (ebpf::Instruction& slot : cleaned.instructions) {
        const bool arithmetic = ((slot.code & 7) == 4 || (slot.code & 7) == 7) && (slot.code & 0xf0) != 0xd0;
        if (arithmetic && (slot.code & 8) == 0) slot.src = 0;
        if ((slot.code & 8) != 0 && (arithmetic || (slot.code & 7) == 5)) slot.immediate = 0;
        if (slot.code == 0x84) slot.immediate = 0;
      }
      const auto sound = ebpf::check(cleaned);
      ASSERT_TRUE(sound) << sound.error().message << "\n" << write(*converted, ebpf::Format::kListing);
      const auto engine =
          engine::load_extended(*sound, {.helpers = context == Context::kKernel ? &kernel_functions : nullptr});
      ASSERT_TRUE(engine) << engine.error().message;
      for (int i = 0; i < 3; ++i) {
        const std::vector<std::uint8_t> packet = random_packet(random, i == 0 ? 0 : 14);
        const reference::Outcome expected = reference::run(program, packet::make_packet(packet));
        KernelPacket kernel(packet);
        runtime::Invocation run;
        if (context == Context::kKernel) run = kernel.invocation();
        if (context == Context::kPacket) {
          run.arguments = {reinterpret_cast<std::uint64_t>(packet.data()), packet.size()};
          run.regions = {{run.arguments[0], packet.size(), false}};
        }
        if (context == Context::kXdp || context == Context::kSocket) {
          buffer.set(packet);
          run.packet = &buffer;
          run.arguments[0] = context == Context::kXdp ? reinterpret_cast<std::uint64_t>(buffer.xdp_context())
                                                      : reinterpret_cast<std::uint64_t>(buffer.socket_context());
          run.regions = {{run.arguments[0], 192, false}};
        }
        const engine::Outcome outcome = (*engine)->run(run);
        ASSERT_EQ(outcome.fault, engine::Fault::kNone)
            << engine::describe(outcome).message << " context " << int(context) << "\n"
            << write(*converted, ebpf::Format::kListing);
        ASSERT_EQ(static_cast<std::uint32_t>(outcome.value), expected.verdict)
            << "context " << int(context) << "\n"
            << write(program, cbpf::Format::kText) << write(*converted, ebpf::Format::kListing);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

// Test runs refuse packets that say they are IP and are too short for its header (net/bpf/test_run.c).
bool kernel_runs(const std::vector<std::uint8_t>& packet) {
  const int type = packet[12] << 8 | packet[13];
  return packet.size() >= (type == 0x0800 ? 34u : type == 0x86dd ? 54u : 14u);
}

// Test runs need an Ethernet header; XDP and tc see it.
TEST(Convert, RandomProgramsInTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  tests::ProgramMaker maker(31);
  std::mt19937 random(32);
  int compared = 0;
  for (int round = 0; round < tests::rounds(1500); ++round) {
    const cbpf::Program program = maker.next();
    const auto checked = cbpf::check(program);
    if (!checked || !is_comparable(program)) continue;
    // Headers the kernel knows and the reference does not.
    bool relative = false;
    for (const cbpf::Instruction& instruction : program)
      relative = relative || ((instruction.code & 7) < 2 && instruction.k >= cbpf::kLinkLayerOffset);
    for (const Context context : {Context::kXdp, Context::kSocket}) {
      const auto converted = convert::convert(*checked, {.context = context});
      ASSERT_TRUE(converted) << converted.error().message;
      std::string log;
      const int descriptor =
          tests::load_kernel_program(context == Context::kXdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS,
                                     converted->instructions.data(), static_cast<unsigned>(converted->size()), &log);
      ASSERT_GE(descriptor, 0) << log << write(program, cbpf::Format::kText);
      for (int i = 0; i < 3 && !relative; ++i) {
        const std::vector<std::uint8_t> packet = random_packet(random, 20);
        if (!kernel_runs(packet)) continue;
        const reference::Outcome expected = reference::run(program, packet::make_packet(packet));
        std::uint32_t verdict = 0;
        ASSERT_EQ(tests::test_run(descriptor, packet.data(), static_cast<unsigned>(packet.size()), verdict), 0);
        ASSERT_EQ(verdict, expected.verdict)
            << "context " << int(context) << "\n"
            << write(program, cbpf::Format::kText) << write(*converted, ebpf::Format::kListing);
        ++compared;
      }
      close(descriptor);
    }
  }
  EXPECT_GT(compared, 300);
}

// Results of tc in which 0 does not stand for no match: also where a load lies beyond the packet.
TEST(Convert, ResultsOfTcInTheInterpreterAndTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  tests::ProgramMaker maker(41);
  std::mt19937 random(42);
  runtime::PacketBuffer buffer = std::move(runtime::PacketBuffer::create(2000).value());
  int rejected = 0, accepted = 0;
  for (int round = 0; round < tests::rounds(2000); ++round) {
    const cbpf::Program program = maker.next();
    const auto checked = cbpf::check(program);
    if (!checked || !is_comparable(program)) continue;
    bool relative = false;
    for (const cbpf::Instruction& instruction : program)
      relative = relative || ((instruction.code & 7) < 2 && instruction.k >= cbpf::kLinkLayerOffset);
    const auto converted = convert::convert(*checked, {.context = Context::kSocket, .returns = convert::Returns{0, 2}});
    ASSERT_TRUE(converted) << converted.error().message;
    std::string log;
    const int descriptor = tests::load_kernel_program(BPF_PROG_TYPE_SCHED_CLS, converted->instructions.data(),
                                                      static_cast<unsigned>(converted->size()), &log);
    ASSERT_GE(descriptor, 0) << log << write(program, cbpf::Format::kText);
    const auto engine = engine::load_extended(*ebpf::check(*converted)).value();
    for (int i = 0; i < 3 && !relative; ++i) {
      const std::vector<std::uint8_t> packet = random_packet(random, 20);
      if (!kernel_runs(packet)) continue;
      const std::uint32_t expected = reference::run(program, packet::make_packet(packet)).verdict != 0 ? 0 : 2;
      std::uint32_t verdict = 0;
      ASSERT_EQ(tests::test_run(descriptor, packet.data(), static_cast<unsigned>(packet.size()), verdict), 0);
      ASSERT_EQ(verdict, expected) << write(program, cbpf::Format::kText) << write(*converted, ebpf::Format::kListing);
      buffer.set(packet);
      runtime::Invocation run;
      run.packet = &buffer;
      run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer.socket_context());
      run.regions = {{run.arguments[0], 192, false}};
      ASSERT_EQ(engine->run(run).value, expected) << write(*converted, ebpf::Format::kListing);
      // Shorter and shorter.
      const std::vector<std::uint8_t> part(packet.begin(), packet.begin() + static_cast<int>(random() % packet.size()));
      buffer.set(part);
      ASSERT_EQ(engine->run(run).value, reference::run(program, packet::make_packet(part)).verdict != 0 ? 0u : 2u)
          << part.size() << "\n"
          << write(*converted, ebpf::Format::kListing);
      (expected == 0 ? accepted : rejected) += 1;
    }
    close(descriptor);
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(rejected, 100);
}

// What lies before the packet is read where the kernel has it; 14 bytes of Ethernet come before the network's header.
TEST(Convert, HeadersOfTc) {
  WEIR_REQUIRE_KERNEL_BPF();
  std::vector<std::uint8_t> packet(60);
  for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<std::uint8_t>(i);
  packet[12] = 8;
  packet[13] = 0;
  const auto result = [&](const std::string& text) {
    const auto checked = cbpf::check(cbpf::assemble(text).value());
    const auto converted =
        convert::convert(*checked, {.context = Context::kSocket, .returns = convert::Returns{0, 2}}).value();
    std::string log;
    const int descriptor = tests::load_kernel_program(BPF_PROG_TYPE_SCHED_CLS, converted.instructions.data(),
                                                      static_cast<unsigned>(converted.size()), &log);
    EXPECT_GE(descriptor, 0) << log;
    std::uint32_t verdict = 99;
    EXPECT_EQ(tests::test_run(descriptor, packet.data(), static_cast<unsigned>(packet.size()), verdict), 0);
    close(descriptor);
    runtime::PacketBuffer buffer = std::move(runtime::PacketBuffer::create(2000).value());
    buffer.set(packet);
    runtime::Invocation run;
    run.packet = &buffer;
    run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer.socket_context());
    run.regions = {{run.arguments[0], 192, false}};
    EXPECT_EQ(engine::load_extended(*ebpf::check(converted)).value()->run(run).value, verdict) << text;
    return verdict;
  };
  const std::string yes = "\nret #1\nno: ret #0\n";
  EXPECT_EQ(result("ldb [0xfff00001]\njne #15, no" + yes), 0u);
  EXPECT_EQ(result("ldh [0xffe00004]\njne #0x0405, no" + yes), 0u);
  EXPECT_EQ(result("ldx #0xfff00000\nldb [x+2]\njne #16, no" + yes), 0u);
  EXPECT_EQ(result("ldx #0xffe00000\nld [x+4]\njne #0x04050607, no" + yes), 0u);
  EXPECT_EQ(result("ldb [0xfff00080]\njeq #15, no" + yes), 2u);
  EXPECT_EQ(result("ldb [0x7fffffff]" + yes), 2u);
  EXPECT_EQ(result("ldx #0x80000000\nldb [x+0]" + yes), 2u);
  EXPECT_EQ(result("ldb [60]" + yes), 2u);
  EXPECT_EQ(result("ldb [59]" + yes), 0u);
}

// Sums that the kernel's verifier remembers are no obstacle, however large.
TEST(Convert, LargeOffsetsInTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const char* k : {"27", "0x2ea70fec", "0x7fffffff", "0xfffffffe", "0xfff00000"}) {
    const auto checked =
        cbpf::check(cbpf::assemble("ld #len\nmul #3\ntax\nldb [x+" + std::string(k) + "]\nret a").value());
    const auto converted = convert::convert(*checked, {.context = Context::kXdp});
    std::string log;
    const int descriptor = tests::load_kernel_program(BPF_PROG_TYPE_XDP, converted->instructions.data(),
                                                      static_cast<unsigned>(converted->size()), &log);
    EXPECT_GE(descriptor, 0) << k << "\n" << log;
    if (descriptor >= 0) close(descriptor);
  }
}

TEST(Convert, ReturnsWhatIsAsked) {
  const auto checked = cbpf::check(cbpf::read("4,40 0 0 12,21 0 1 2048,6 0 0 65535,6 0 0 0").value());
  ASSERT_TRUE(checked);
  const auto converted = convert::convert(*checked, {.context = Context::kPacket, .returns = convert::Returns{2, 1}});
  ASSERT_TRUE(converted);
  const auto engine = engine::load_extended(*ebpf::check(*converted)).value();
  std::vector<std::uint8_t> packet(14);
  packet[12] = 8;
  const auto verdict = [&](std::size_t size) {
    runtime::Invocation run;
    run.arguments = {reinterpret_cast<std::uint64_t>(packet.data()), size};
    run.regions = {{run.arguments[0], size, false}};
    return engine->run(run).value;
  };
  EXPECT_EQ(verdict(14), 2u);
  EXPECT_EQ(verdict(13), 1u) << "a load outside is no match";
  packet[12] = 9;
  EXPECT_EQ(verdict(14), 1u);
}

TEST(Convert, RefusesWhatTheContextDoesNotKnow) {
  const auto checked = cbpf::check(cbpf::assemble("ld #5\nld hatype\nret a").value());
  const auto converted = convert::convert(*checked, {.context = Context::kXdp});
  ASSERT_FALSE(converted);
  EXPECT_EQ(converted.error().message, "XDP programs do not know the extension 'hatype'");
  EXPECT_EQ(std::get<InstructionPlace>(converted.error().place).index, 1u);
  EXPECT_EQ(convert::convert(*checked, {.context = Context::kSocket}).error().message,
            "extended programs on sockets do not know the extension 'hatype'");
  EXPECT_TRUE(convert::convert(*checked, {.context = Context::kKernel}));
}

TEST(Convert, SeccompReadsItsData) {
  const auto checked = cbpf::check(cbpf::assemble("ld [4]\njeq #7, yes\nret #0\nyes: ld #len\nret a").value(),
                                   {.target = cbpf::Target::kSeccomp});
  ASSERT_TRUE(checked) << checked.error().message;
  const auto engine = engine::load_extended(*ebpf::check(*convert::convert(*checked))).value();
  std::uint32_t data[16] = {0, 7};
  runtime::Invocation run;
  run.arguments = {reinterpret_cast<std::uint64_t>(data)};
  run.regions = {{run.arguments[0], sizeof data, false}};
  EXPECT_EQ(engine->run(run).value, 64u);
}

TEST(Convert, TooLongJumpsAreNamed) {
  std::string text = "ldh [12]\njeq #0x800, yes\nja far\nyes: ";
  for (int i = 0; i < 4000; ++i) text += "ldb [x+3]\n";
  text += "far: ret a\n";
  const auto checked = cbpf::check(cbpf::assemble(text).value());
  ASSERT_TRUE(checked);
  const auto converted = convert::convert(*checked, {.context = Context::kXdp});
  ASSERT_FALSE(converted);
  EXPECT_EQ(converted.error().message, "a jump is too long for an extended program");
  EXPECT_EQ(std::get<InstructionPlace>(converted.error().place).index, 2u);
}

}  // namespace
}  // namespace weir
