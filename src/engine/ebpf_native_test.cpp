// Machine code against the interpreter: the same results and the same faults at the same slots, for random programs,
// with and without blinded constants.
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>

namespace weir::engine {
namespace {

bool is_native_here() {
#if defined(__x86_64__)
  return true;
#else
  return false;
#endif
}
#define WEIR_REQUIRE_NATIVE() \
  if (!is_native_here()) GTEST_SKIP() << "no machine code for this processor"

ExtendedEnginePointer loaded(std::string_view text, ExtendedOptions options = {}) {
  const Result<ebpf::Program> program = ebpf::assemble(text);
  EXPECT_TRUE(program) << render(program.error(), text);
  const auto checked = ebpf::check(*program);
  EXPECT_TRUE(checked) << checked.error().message;
  options.kind = ExtendedKind::kNative;
  Result<ExtendedEnginePointer> engine = load_extended(*checked, options);
  EXPECT_TRUE(engine) << engine.error().message;
  return *engine;
}

// A program of arithmetic, memory on the stack and in a region, jumps forward and short loops, calls, atomics, maps.
class ProgramMaker {
 public:
  explicit ProgramMaker(std::uint64_t seed) : random_(seed) {}

  ebpf::Program next() {
    ebpf::Program program;
    program.maps = {{"a", ebpf::MapType::kArray, 4, 16, 2}};
    const std::size_t size = 6 + random_() % 40;
    for (unsigned reg = 0; reg < 10 && random_() % 4 != 0; ++reg)
      if (reg != 1) push(program, ebpf::Operation::kMov64K, reg, 0, 0, constant());
    while (program.size() < size) one(program, size);
    program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
    return program;
  }

 private:
  unsigned reg() { return static_cast<unsigned>(random_() % 10); }
  std::int32_t constant() {
    constexpr std::int32_t kOften[] = {0, 1, -1, 2, 7, 31, 32, 63, 64, 255, 256, 65535, INT32_MAX, INT32_MIN, -2};
    return random_() % 2 == 0 ? kOften[random_() % std::size(kOften)] : static_cast<std::int32_t>(random_());
  }
  static void push(ebpf::Program& program, ebpf::Operation operation, unsigned dst, unsigned src, int offset,
                   std::int32_t k) {
    ebpf::Instruction slot = ebpf::make(operation);
    const ebpf::OpcodeInfo& row = ebpf::info(operation);
    slot.dst = dst & 15;
    if (row.selector != ebpf::Selector::kSource) slot.src = src & 15;
    if (row.selector != ebpf::Selector::kOffset) slot.offset = static_cast<std::int16_t>(offset);
    if (row.selector != ebpf::Selector::kImmediate) slot.immediate = k;
    program.instructions.push_back(slot);
  }
  void one(ebpf::Program& program, std::size_t size) {
    const ebpf::OpcodeInfo& row = ebpf::opcodes()[random_() % ebpf::opcodes().size()];
    using S = ebpf::OperandShape;
    const int stack = -8 * static_cast<int>(1 + random_() % 8);
    switch (row.shape) {
      case S::kAluConstant: return push(program, row.operation, reg(), 0, 0, constant());
      case S::kAluRegister:
      case S::kSignExtend: return push(program, row.operation, reg(), static_cast<unsigned>(random_() % 11), 0, 0);
      case S::kNegate:
      case S::kByteOrder: return push(program, row.operation, reg(), 0, 0, 0);
      case S::kJump:
      case S::kBranchConstant:
      case S::kBranchRegister: {
        const auto left = static_cast<int>(size - program.size());
        const int back = -static_cast<int>(random_() % (program.size() + 1));
        const int offset = random_() % 12 == 0 && row.shape != S::kJump
                               ? back
                               : static_cast<int>(random_() % static_cast<unsigned>(left));
        return push(program, row.operation, row.shape == S::kJump ? 0 : reg(),
                    row.shape == S::kBranchRegister ? reg() : 0, offset,
                    row.shape == S::kBranchConstant ? constant() : 0);
      }
      case S::kCallLocal:
        if (random_() % 4 != 0) return;
        return push(program, row.operation, 0, 0, 0, static_cast<std::int32_t>(random_() % (size - program.size())));
      case S::kCallHelper: {  // none that tells the time
        constexpr std::int32_t kHelpers[] = {8, 8, 7, 7, 1, 3, 6, 12, 42, 87, 182, 9999};
        return push(program, row.operation, 0, 0, 0, kHelpers[random_() % std::size(kHelpers)]);
      }
      case S::kWideConstant:
        push(program, row.operation, reg(), 0, 0, constant());
        program.instructions.push_back(ebpf::make(std::uint8_t{0}, 0, 0, 0, constant()));
        return;
      case S::kWideMap:
        if (row.operation != ebpf::Operation::kLoadMapValue) return;
        program.map_references.push_back({static_cast<std::uint32_t>(program.size()), 0});
        push(program, row.operation, reg(), 0, 0, 0);
        program.instructions.push_back(ebpf::Instruction{});
        return;
      case S::kPacketAbsolute: return push(program, row.operation, 0, 0, 0, static_cast<std::int32_t>(random_() % 70));
      case S::kPacketIndirect:
        return push(program, row.operation, 0, reg(), 0, static_cast<std::int32_t>(random_() % 70));
      case S::kLoad:
        return push(program, row.operation, reg(),
                    random_() % 3 == 0   ? reg()
                    : random_() % 2 == 0 ? 1
                                         : 10,
                    random_() % 4 == 0 ? constant() % 70 : stack + 64, 0),
               fix(program, stack);
      case S::kStoreConstant:
        return push(program, row.operation, random_() % 2 == 0 ? 1 : 10, 0, stack + 64, constant()),
               fix(program, stack);
      case S::kStoreRegister:
      case S::kAtomic:
      case S::kAtomicFetch:
      case S::kAtomicCompare:
        return push(program, row.operation,
                    random_() % 8 == 0   ? reg()
                    : random_() % 2 == 0 ? 1
                                         : 10,
                    reg(), stack + 64, 0),
               fix(program, stack);
      default: return;
    }
  }
  // Accesses through r10 lie below it.
  static void fix(ebpf::Program& program, int stack) {
    ebpf::Instruction& slot = program.instructions.back();
    const bool load = (slot.code & 7) == 1;
    if ((load ? slot.src : slot.dst) == 10) slot.offset = static_cast<std::int16_t>(stack);
  }

  std::mt19937_64 random_;
};

struct Ran {
  Outcome outcome;
  std::vector<std::uint8_t> memory, map;
};

Ran run_once(const ebpf::Checked& checked, ExtendedKind kind, bool blind, std::uint64_t base) {
  ExtendedOptions options{.kind = kind, .budget = 3000, .blind_constants = blind};
  const auto engine = load_extended(checked, options);
  EXPECT_TRUE(engine) << engine.error().message;
  alignas(16) static std::uint8_t room[96];
  for (std::size_t i = 0; i < sizeof room; ++i) room[i] = static_cast<std::uint8_t>(base >> (i % 7) ^ i);
  runtime::Invocation run;
  run.arguments = {reinterpret_cast<std::uint64_t>(room), 64, 3, 4, 5};
  run.regions = {{run.arguments[0], 64, true}};
  run.loads = {room, 64};
  run.cpu = 3;
  Ran out{(*engine)->run(run), {room, room + sizeof room}, {}};
  out.outcome.program = nullptr;
  const std::uint32_t key = 0;
  const auto* values = static_cast<const std::uint8_t*>((*engine)->maps()[0]->lookup(&key, 0));
  out.map.assign(values, values + 32);
  return out;
}

// Addresses differ from run to run where a program keeps them (of maps, of the stack): those results are not compared.
bool keeps_addresses(const ebpf::Program& program) {
  for (const ebpf::Instruction& slot : program.instructions) {
    if (slot.code == ebpf::kWideCode && slot.src != 0) return true;
    if ((slot.code & 7) >= 4 && (slot.code & 8) != 0 && slot.src == 10) return true;
    if ((slot.code & 7) == 3 && (slot.src == 10)) return true;
    if (slot.code == 0x85 && slot.src == 1) return true;
  }
  return false;
}

TEST(Native, IsTheInterpreterOnRandomPrograms) {
  WEIR_REQUIRE_NATIVE();
  const char* asked = std::getenv("WEIR_ROUNDS");
  const int rounds = asked != nullptr ? std::atoi(asked) : 12000;
  ProgramMaker maker(41);
  int ended = 0;
  int compared = 0;
  for (int round = 0; round < rounds; ++round) {
    const ebpf::Program program = maker.next();
    const auto checked = ebpf::check(program);
    if (!checked) continue;
    if (keeps_addresses(program)) continue;
    const auto base = static_cast<std::uint64_t>(round) * 77;
    const Ran expected = run_once(*checked, ExtendedKind::kInterpreter, false, base);
    const Ran native = run_once(*checked, ExtendedKind::kNative, round % 2 == 1, base);
    // Machine code counts where control goes back: where the budget ends is another place, if it ends at all.
    if (expected.outcome.fault == Fault::kBudget || native.outcome.fault == Fault::kBudget) continue;
    const std::string text = write(program, ebpf::Format::kListing);
    ASSERT_EQ(native.outcome.fault, expected.outcome.fault)
        << describe(native.outcome).message << describe(expected.outcome).message << "\n"
        << text;
    if (!expected.outcome) {
      ASSERT_EQ(native.outcome.instruction, expected.outcome.instruction) << text;
    }
    ++compared;
    ASSERT_EQ(native.outcome.value, expected.outcome.value) << text;
    ASSERT_EQ(native.memory, expected.memory) << text;
    ASSERT_EQ(native.map, expected.map) << text;
    ended += expected.outcome.fault == Fault::kNone ? 1 : 0;
  }
  EXPECT_GT(compared, rounds / 10);
  EXPECT_GT(ended, rounds / 20);
}

TEST(Native, EndlessProgramsEnd) {
  WEIR_REQUIRE_NATIVE();
  runtime::Invocation run;
  EXPECT_EQ(loaded("a: goto a", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("a: gotol a", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("a: r0 += 1\nif r0 != 0 goto a\nexit", {.budget = 1000})->run(run).fault, Fault::kBudget);
  EXPECT_EQ(loaded("f: call local f\nexit")->run(run).fault, Fault::kCallDepth);
}

TEST(Native, CodeIsNotWritable) {
  WEIR_REQUIRE_NATIVE();
  const auto engine = loaded("r0 = 5\nexit");
  ASSERT_FALSE(engine->code().empty());
  std::ifstream maps("/proc/self/maps");
  const auto address = reinterpret_cast<std::uint64_t>(engine->code().data());
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char rights[5] = {};
    std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights);
    EXPECT_FALSE(rights[1] == 'w' && rights[2] == 'x') << line;
    if (address < begin || address >= end) continue;
    found = true;
    EXPECT_STREQ(rights, "r-xp");
  }
  EXPECT_TRUE(found);
}

TEST(Native, BlindedConstantsAreNotInTheCode) {
  WEIR_REQUIRE_NATIVE();
  constexpr std::string_view kText =
      "r0 = 0x3c909090\nr0 += 0x3c909091\nr1 = 0x1122334455667788 ll\nif r0 == 0x3c909092 goto +0\n*(u64 *)(r10 - 8) = "
      "0x3c909093\nw0 ^= 0x3c909094\nexit";
  const auto contains = [](const ExtendedEngine& engine, std::uint32_t value) {
    for (std::size_t i = 0; i + 4 <= engine.code().size(); ++i)
      if (load<std::uint32_t>(&engine.code()[i], std::endian::little) == value) return true;
    return false;
  };
  const auto plain = loaded(kText);
  const auto blind = loaded(kText, {.blind_constants = true});
  for (const std::uint32_t value : {0x3c909090u, 0x3c909091u, 0x55667788u, 0x3c909092u, 0x3c909093u, 0x3c909094u}) {
    EXPECT_TRUE(contains(*plain, value)) << std::hex << value;
    EXPECT_FALSE(contains(*blind, value)) << std::hex << value;
  }
  runtime::Invocation run;
  EXPECT_EQ(plain->run(run).value, blind->run(run).value);
}

TEST(Native, TailCallsBetweenBothEngines) {
  WEIR_REQUIRE_NATIVE();
  for (const ExtendedKind kind : {ExtendedKind::kNative, ExtendedKind::kInterpreter}) {
    const auto first = loaded(
        ".map next, prog_array, key 4, value 4, entries 3\ncall local f\nr0 += 1\nexit\nf: r2 = map[next]\nr3 = "
        "1\ncall bpf_tail_call\nr0 = 77\nexit");
    runtime::Invocation run;
    run.arguments[0] = 1;
    EXPECT_EQ(first->run(run).value, 78u);
    const auto second = load_extended(*ebpf::check(ebpf::assemble("r0 = 99\nexit").value()), {.kind = kind}).value();
    ASSERT_TRUE(set_tail_call(*first->maps()[0], 1, second));
    EXPECT_EQ(first->run(run).value, 100u) << "a tail call ends the function that made it, not its caller";
    const auto interpreted =
        load_extended(*ebpf::check(first->program()), {.kind = ExtendedKind::kInterpreter, .maps = first->maps()})
            .value();
    EXPECT_EQ(interpreted->run(run).value, 100u);
  }
}

}  // namespace
}  // namespace weir::engine
