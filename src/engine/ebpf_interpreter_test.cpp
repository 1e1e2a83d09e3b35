// The interpreter of extended programs: every way to misbehave is stopped and named, maps, calls, tail calls.
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/engine/stepper.h>

namespace weir::engine {
namespace {

ExtendedEnginePointer loaded(std::string_view text, ExtendedOptions options = {}) {
  options.kind = ExtendedKind::kInterpreter;
  const Result<ebpf::Program> program = ebpf::assemble(text);
  EXPECT_TRUE(program) << render(program.error(), text);
  const Result<ebpf::Checked> checked = ebpf::check(*program, {.register_calls = options.register_calls});
  EXPECT_TRUE(checked) << checked.error().message;
  Result<ExtendedEnginePointer> engine = load_extended(*checked, options);
  EXPECT_TRUE(engine) << engine.error().message;
  return *engine;
}

std::uint8_t memory[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

Outcome outcome_of(std::string_view text, const ExtendedOptions& options = {}, bool writable = true) {
  runtime::Invocation run;
  run.arguments = {reinterpret_cast<std::uint64_t>(memory), sizeof memory};
  run.regions = {{reinterpret_cast<std::uint64_t>(memory), sizeof memory, writable}};
  static ExtendedEnginePointer engine;  // an outcome points into it
  engine = loaded(text, options);
  return engine->run(run);
}
std::uint64_t value_of(std::string_view text, const ExtendedOptions& options = {}) {
  const Outcome outcome = outcome_of(text, options);
  EXPECT_EQ(outcome.fault, Fault::kNone) << describe(outcome).message;
  return outcome.value;
}
// The fault and where: "3: access outside".
std::string fault_of(std::string_view text, const ExtendedOptions& options = {}, bool writable = true) {
  const Outcome outcome = outcome_of(text, options, writable);
  return std::to_string(outcome.instruction) + ": " + std::string(name_of(outcome.fault));
}

TEST(Interpreter, ComputesAndLoads) {
  EXPECT_EQ(value_of("r0 = 5\nr0 += 6\nexit"), 11u);
  EXPECT_EQ(value_of("r0 = *(u32 *)(r1 + 0)\nexit"), 0x04030201u);
  EXPECT_EQ(value_of("w0 = -1\nr0 s/= 0\nexit"), 0u);
  EXPECT_EQ(value_of("r0 = 0x8000000000000000 ll\nr0 s/= -1\nexit"), 0x8000000000000000u);
  EXPECT_EQ(value_of("r0 = 0x8000000000000000 ll\nr0 s%= -1\nexit"), 0u);
  EXPECT_EQ(value_of("r2 = 10\nr0 = 0\na: r0 += r2\nr2 += -1\nif r2 != 0 goto a\nexit"), 55u);
}

TEST(Interpreter, StopsAccessesOutside) {
  EXPECT_EQ(fault_of("r0 = *(u8 *)(r1 + 16)\nexit"), "0: access outside");
  EXPECT_EQ(fault_of("r0 = *(u8 *)(r1 - 1)\nexit"), "0: access outside");
  EXPECT_EQ(fault_of("r0 = *(u64 *)(r1 + 9)\nexit"), "0: access outside");
  EXPECT_EQ(value_of("r0 = *(u64 *)(r1 + 8)\nexit"), 9u);
  EXPECT_EQ(fault_of("r1 = 0\n*(u8 *)(r1 + 0) = 1\nexit"), "1: access outside");
  EXPECT_EQ(fault_of("r1 = -1\nr0 = *(u64 *)(r1 + 0)\nexit"), "1: access outside");
  EXPECT_EQ(fault_of("*(u8 *)(r10 + 0) = 1\nexit"), "0: access outside");
  EXPECT_EQ(fault_of("*(u8 *)(r10 - 513) = 1\nexit"), "0: access outside");
  EXPECT_EQ(fault_of("*(u64 *)(r10 - 4) = 1\nexit"), "0: access outside");
  EXPECT_EQ(value_of("*(u64 *)(r10 - 512) = 1\nr0 = *(u64 *)(r10 - 512)\nexit"), 1u);
  EXPECT_EQ(fault_of("*(u8 *)(r1 + 0) = 1\nexit", {}, false), "0: write to read-only memory");
  EXPECT_EQ(fault_of("lock *(u64 *)(r1 + 0) += r2\nexit", {}, false), "0: write to read-only memory");
  EXPECT_EQ(fault_of("lock *(u64 *)(r10 - 12) += r2\nexit"), "0: unaligned atomic");
  EXPECT_EQ(fault_of("r0 = load_acquire((u32 *)(r10 - 6))\nexit"), "0: unaligned atomic");
  EXPECT_EQ(fault_of("store_release((u64 *)(r10 - 12), r2)\nexit"), "0: unaligned atomic");
  EXPECT_EQ(fault_of("r0 = load_acquire((u8 *)(r1 + 16))\nexit"), "0: access outside");
  EXPECT_EQ(fault_of("store_release((u16 *)(r1 + 0), r2)\nexit", {}, false), "0: write to read-only memory");
  EXPECT_EQ(
      value_of(
          "r2 = 0x1122334455667788 ll\nstore_release((u64 *)(r10 - 8), r2)\nr0 = load_acquire((u16 *)(r10 - 6))\nexit"),
      0x5566u);
  EXPECT_EQ(fault_of("r0 = cmpxchg_64(r1 + 10, r0, r2)\nexit"), "0: access outside");
}

TEST(Interpreter, EndlessProgramsEnd) {
  EXPECT_EQ(fault_of("a: goto a", {.budget = 1000}), "0: budget spent");
  EXPECT_EQ(outcome_of("a: goto a", {.budget = 1000}).steps, 1000u);
  EXPECT_EQ(fault_of("f: call local f\nexit"), "0: call too deep");
  EXPECT_EQ(value_of("r0 = 7\nexit", {.budget = 2}), 7u);
  EXPECT_EQ(fault_of("r0 = 7\nexit", {.budget = 1}), "1: budget spent");
}

TEST(Interpreter, FunctionsHaveStacksOfTheirOwn) {
  EXPECT_EQ(
      value_of(
          "*(u64 *)(r10 - 8) = 3\nr6 = 4\nr1 = r10\ncall local f\nr0 += r6\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit\n"
          "f: r6 = 100\n*(u64 *)(r10 - 8) = 50\nr0 = *(u64 *)(r1 - 8)\nexit"),
      3u + 4 + 3);
  // What a function wrote below its caller's stack is gone when the next one starts, and out of the caller's reach.
  EXPECT_EQ(
      value_of("call local f\ncall local g\nexit\nf: *(u64 *)(r10 - 8) = 5\nexit\ng: r0 = *(u64 *)(r10 - 8)\nexit"),
      0u);
  EXPECT_EQ(fault_of("call local f\nr0 = *(u64 *)(r10 - 520)\nexit\nf: exit"), "1: access outside");
}

TEST(Interpreter, HelpersAreCheckedBeforeTheyAreCalled) {
  constexpr std::string_view kMap = ".map m, hash, key 4, value 8, entries 4\n";
  EXPECT_EQ(fault_of("call 9999\nexit"), "0: unknown helper");
  EXPECT_EQ(fault_of("call kernel[id:3]\nexit"), "0: unknown helper");
  EXPECT_EQ(fault_of(std::string(kMap) + "r1 = 5\nr2 = r10\ncall bpf_map_lookup_elem\nexit"), "2: bad argument");
  EXPECT_EQ(fault_of(std::string(kMap) + "r1 = map[m]\nr2 = 0\ncall bpf_map_lookup_elem\nexit"), "3: bad argument");
  EXPECT_EQ(fault_of(std::string(kMap) + "r1 = map[m]\nr2 = r10\nr2 += -3\ncall bpf_map_lookup_elem\nexit"),
            "4: bad argument");
  EXPECT_EQ(fault_of("r1 = r10\nr2 = 8\ncall bpf_trace_printk\nexit"), "2: bad argument");
  EXPECT_EQ(fault_of(std::string(kMap) + "r0 = map[m]\n*(u64 *)(r0 + 0) = 0\nexit"), "2: access outside")
      << "the map itself";
  EXPECT_EQ(fault_of(".map r, ringbuf, entries 4096\nr1 = r10\nr2 = 0\ncall bpf_ringbuf_submit\nexit"),
            "2: bad argument");
}

TEST(Interpreter, CountsInAMap) {
  const auto engine = loaded(
      ".map counts, hash, key 4, value 8, entries 4\n"
      "*(u32 *)(r10 - 4) = 7\nr1 = map[counts]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto fresh\n"
      "r1 = 1\nlock *(u64 *)(r0 + 0) += r1\nr0 = *(u64 *)(r0 + 0)\nexit\n"
      "fresh: *(u64 *)(r10 - 16) = 1\nr1 = map[counts]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\n"
      "call bpf_map_update_elem\nr0 = 1\nexit");
  for (std::uint64_t i = 1; i < 5; ++i) {
    runtime::Invocation run;
    EXPECT_EQ(engine->run(run).value, i);
  }
  const std::uint32_t key = 7;
  EXPECT_EQ(*static_cast<std::uint64_t*>(engine->maps()[0]->lookup(&key, 0)), 4u);
}

TEST(Interpreter, VariablesOfTheProgram) {
  const auto engine = loaded(
      ".map data, array, key 4, value 16, entries 1, contents \"0a00000000000000\"\n"
      "r1 = map[data][0]+0\nr0 = *(u64 *)(r1 + 0)\nr0 += 1\n*(u64 *)(r1 + 8) = r0\nexit");
  runtime::Invocation run;
  EXPECT_EQ(engine->run(run).value, 11u);
  EXPECT_EQ(
      fault_of(
          ".map data, array, key 4, value 8, entries 1, flags 0x80\nr1 = map[data][0]+0\n*(u8 *)(r1 + 0) = 1\nexit"),
      "2: write to read-only memory");
}

// Maps in maps are for reading where they say so.
TEST(Interpreter, InnerMapsForReading) {
  const auto inner = runtime::make_map({"i", ebpf::MapType::kArray, 4, 8, 1, 1u << 7}).value();
  const std::uint32_t zero = 0;
  const auto outcome = [&](const std::string& access) {
    const auto engine =
        load_extended(
            ebpf::check(ebpf::assemble(".map outer, array_of_maps, key 4, value 4, entries 2\n*(u32 *)(r10 - 4) = 0\n"
                                       "r1 = map[outer]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nr1 = r0\n"
                                       "r2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n" +
                                       access + "\nr0 = 0\nexit")
                            .value())
                .value(),
            {.kind = ExtendedKind::kInterpreter})
            .value();
    dynamic_cast<runtime::ReferenceMap&>(*engine->maps()[0]).set_reference(&zero, inner);
    runtime::Invocation run;
    return engine->run(run).fault;
  };
  EXPECT_EQ(outcome("r1 = *(u64 *)(r0 + 0)"), Fault::kNone);
  EXPECT_EQ(outcome("*(u64 *)(r0 + 0) = 1"), Fault::kReadOnly);
}

TEST(Interpreter, TailCallsGoOnElsewhere) {
  const auto first = loaded(
      ".map next, prog_array, key 4, value 4, entries 3\n"
      "r6 = 5\nr2 = map[next]\nr3 = 1\ncall bpf_tail_call\nr0 = 77\nexit");
  const std::uint64_t context = 1;
  runtime::Invocation run;
  run.arguments[0] = context;
  EXPECT_EQ(first->run(run).value, 77u) << "nothing there: the program goes on";
  const auto second = loaded("r0 = *(u64 *)(r10 - 8)\nr0 += 99\nexit");
  ASSERT_TRUE(set_tail_call(*first->maps()[0], 1, second));
  EXPECT_EQ(first->run(run).value, 99u);
  EXPECT_FALSE(set_tail_call(*first->maps()[0], 3, second));
  EXPECT_EQ(set_tail_call(*first->maps()[0], 1, nullptr).error().message, "a program is missing");
  // A program that calls itself runs 1 + 33 times.
  const auto self = loaded(
      ".map next, prog_array, key 4, value 4, entries 1\n.map n, array, key 4, value 8, entries 1\n"
      "r6 = r1\nr7 = map[n][0]+0\nr0 = *(u64 *)(r7 + 0)\nr0 += 1\n*(u64 *)(r7 + 0) = r0\n"
      "r2 = map[next]\nr3 = 0\ncall bpf_tail_call\nr0 = *(u64 *)(r7 + 0)\nexit");
  ASSERT_TRUE(set_tail_call(*self->maps()[0], 0, self));
  EXPECT_EQ(self->run(run).value, 34u);
  dynamic_cast<runtime::ReferenceMap&>(*self->maps()[0]).clear();
}

TEST(Interpreter, FaultsTellThePlace) {
  const Error error = describe(outcome_of("r0 = 1\nr0 = *(u8 *)(r1 + 99)\nexit"));
  EXPECT_EQ(std::get<InstructionPlace>(error.place).index, 1u);
  EXPECT_EQ(error.hint, "in 'r0 = *(u8 *)(r1 + 99)'");
}

// Machine code whose budget is spent to the last instruction leads into the interpreter.
TEST(Interpreter, HasWhatMachineCodeLeftOfTheBudget) {
  const auto first = load_extended(*ebpf::check(*ebpf::assemble(".map next, prog_array, key 4, value 4, entries 1\n"
                                                                "call local f\nexit\nf: r2 = map[next]\nr3 = 0\n"
                                                                "call bpf_tail_call\nr0 = 0\nexit")),
                                   {.budget = 1})
                         .value();
  ASSERT_TRUE(set_tail_call(*first->maps()[0], 0, loaded("again: goto again")));
  runtime::Invocation run;
  EXPECT_EQ(first->run(run).fault, Fault::kBudget);
}

// Whatever passes check() runs to an end and touches nothing of the host: guard bytes stay, sanitizers stay silent.
TEST(Interpreter, RandomProgramsHarmNothing) {
  std::mt19937_64 random(9);
  int ended = 0;
  for (int round = 0; round < 20000; ++round) {
    ebpf::Program program;
    program.maps = {{"m", ebpf::MapType::kHash, 4, 8, 4}, {"a", ebpf::MapType::kArray, 4, 16, 2}};
    const std::size_t size = 4 + random() % 20;
    while (program.size() < size) {
      const ebpf::OpcodeInfo& row = ebpf::opcodes()[random() % ebpf::opcodes().size()];
      ebpf::Instruction slot = ebpf::make(row.operation);
      slot.dst = random() % 11 & 15;
      if (row.selector != ebpf::Selector::kSource) slot.src = random() % 11 & 15;
      if (row.selector == ebpf::Selector::kNone)
        slot.offset = static_cast<std::int16_t>(static_cast<int>(random() % 40) - 30);
      if (row.selector != ebpf::Selector::kImmediate) slot.immediate = static_cast<std::int32_t>(random() % 40) - 8;
      if (ebpf::is_wide(row.shape)) {
        slot.src = random() % 2 == 0 ? ebpf::kPseudoMapDescriptor : ebpf::kPseudoMapValue;
        slot.immediate = 0;
        program.map_references.push_back(
            {static_cast<std::uint32_t>(program.size()), slot.src == 1 ? static_cast<std::uint32_t>(random() % 2) : 1});
        program.instructions.push_back(slot);
        slot = {};
      }
      if (!ebpf::decode(slot) && slot.code != 0) {
        slot.offset = 0;
        slot.src = 0;
      }
      program.instructions.push_back(slot);
    }
    program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
    const auto checked = ebpf::check(program);
    if (!checked) continue;
    const auto engine = load_extended(*checked, {.kind = ExtendedKind::kInterpreter, .budget = 2000});
    if (!engine) continue;
    std::uint8_t room[48];
    std::memset(room, 0xee, sizeof room);
    runtime::Invocation run;
    run.arguments = {reinterpret_cast<std::uint64_t>(room + 16), 16};
    run.regions = {{reinterpret_cast<std::uint64_t>(room + 16), 16, true}};
    ended += (*engine)->run(run).fault == Fault::kNone ? 1 : 0;
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(room[i] == 0xee && room[32 + i] == 0xee);
  }
  EXPECT_GT(ended, 20);
}

TEST(Interpreter, CallsFunctionsBack) {
  constexpr std::string_view kLoop =
      "r1 = 10\nr2 = subprog[add]\nr3 = r10\nr3 += -8\nr4 = 0\nr6 = 77\ncall bpf_loop\nr1 = *(u64 *)(r10 - 8)\n"
      "r0 *= 1000\nr0 += r1\nif r6 == 77 goto +1\nr0 = 0\nexit\n"
      "add: r3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr6 = 5\nr0 = 0\nif r1 != 6 goto +1\nr0 = 1\nexit";
  EXPECT_EQ(value_of(kLoop), 7021u);  // 7 rounds, 0 + 1 + ... + 6
  EXPECT_EQ(fault_of(kLoop, {.budget = 30}), "16: budget spent");
  constexpr std::string_view kEach =
      ".map m, hash, key 4, value 8, entries 8\n*(u32 *)(r10 - 4) = 1\n*(u64 *)(r10 - 16) = 5\ncall local put\n"
      "*(u32 *)(r10 - 4) = 2\n*(u64 *)(r10 - 16) = 7\ncall local put\n*(u64 *)(r10 - 24) = 0\nr1 = map[m]\n"
      "r2 = subprog[sum]\nr3 = r10\nr3 += -24\nr4 = 0\ncall bpf_for_each_map_elem\nr1 = *(u64 *)(r10 - 24)\n"
      "r0 *= 100\nr0 += r1\nexit\n"
      "put: r2 = r10\nr2 += 508\nr3 = r10\nr3 += 496\nr1 = map[m]\nr4 = 0\ncall bpf_map_update_elem\nexit\n"
      "sum: r5 = *(u32 *)(r2 + 0)\nr0 = *(u64 *)(r3 + 0)\nr5 *= r0\nr0 = *(u64 *)(r4 + 0)\nr0 += r5\n"
      "*(u64 *)(r4 + 0) = r0\nr0 = 0\nexit";
  EXPECT_EQ(value_of(kEach), 219u);  // two entries, 1 * 5 + 2 * 7
  // What is no function is refused, faults are told where they happen, recursion ends.
  EXPECT_EQ(fault_of("r1 = 2\nr2 = 12345\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit"), "4: bad argument");
  EXPECT_EQ(fault_of("r1 = 2\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit\nf: r0 = *(u8 *)(r1 + 0)\nexit"),
            "7: access outside");
  EXPECT_EQ(fault_of("f: r1 = 2\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall bpf_loop\nexit"), "5: call too deep");
}

// Steps that are done at once do what they do one by one: alike when a jump to the next stands behind each of them, and
// in machine code, which knows no groups.
TEST(Interpreter, GroupsAreTheirSteps) {
  const std::vector<std::vector<std::string>> groups = {
      {"rA = rB", "rC += K"},
      {"rA = rB", "rC += rD"},
      {"rA = rB", "rC += K", "if rD > rE goto out"},
      {"rA = rB", "rC += K", "wD = K", "if rE > rF goto out"},
      {"rA = rB", "rC += rD", "rE = rF", "rG += K", "if rH > rI goto out"},
      {"rA = *(u16 *)(r10 - 8)", "wB += wC"},
      {"rA = *(u16 *)(r10 - 8)", "wB += wC", "rD += K", "if wE != K goto out"},
      {"rA += K", "if rB != K goto out"},
      {"rA += K", "if wB != K goto out"},
      {"rA += K", "if rB < K goto out"},
      {"wA = K", "if rB > rC goto out"},
      {"wA = K", "if wB != K goto out"},
      {"wA = K", "if wB == K goto out"},
      {"wA = K", "if wB < K goto out"},
      {"wA &= K", "wB = K", "if wC != K goto out"},
      {"if wA == K goto out", "if wB != K goto out"},
  };
  std::mt19937 random(7);
  const auto number = [&random] {
    constexpr const char* kNumbers[] = {"0", "1", "2", "3", "-1", "0x7fffffff", "-2147483648"};
    return std::string(kNumbers[random() % std::size(kNumbers)]);
  };
  int jumped = 0;
  for (int round = 0; round < 40; ++round)
    for (const std::vector<std::string>& group : groups) {
      std::string start = "*(u16 *)(r10 - 8) = 3\n";
      std::string end = "r0 = 100\nout:\n";
      std::uint64_t others = 1 + 1 + 1;  // the store, and what follows the group where it does not jump; exit
      for (int i = 0; i < 10; ++i, ++others) start += "r" + std::to_string(i) + " = " + number() + "\n";
      for (int i = 1; i < 10; ++i, others += 2) end += "r0 *= 31\nr0 += r" + std::to_string(i) + "\n";
      std::string plain, apart;
      const unsigned choices = 2 + random() % 8;  // few registers: the same one stands in several places
      std::map<char, char> chosen;
      for (const std::string& step : group) {
        std::string line;
        for (const char c : step) {
          if (c == 'K') {
            line += number();
          } else if (c >= 'A' && c <= 'I') {
            if (chosen.count(c) == 0) chosen[c] = static_cast<char>('0' + random() % choices);
            line += chosen[c];
          } else {
            line += c;
          }
        }
        plain += line + "\n";
        apart += line + "\ngoto +0\n";
      }
      SCOPED_TRACE(start + plain);
      const Outcome at_once = outcome_of(start + plain + end + "exit");
      const Outcome one_by_one = outcome_of(start + apart + end + "exit");
      ASSERT_EQ(at_once.fault, Fault::kNone);
      EXPECT_EQ(at_once.value, one_by_one.value);
      const Result<ebpf::Program> program = ebpf::assemble(start + plain + end + "exit");
      runtime::Invocation run;
      if (const auto native = load_extended(ebpf::check(*program).value(), {.kind = ExtendedKind::kNative})) {
        EXPECT_EQ(native.value()->run(run).value, at_once.value);
      }
      // Each step of the group counts once. A jump that is taken has no other behind it, and leaves out r0 = 100.
      const std::uint64_t gotos = one_by_one.steps - at_once.steps;
      const bool jumps = gotos < group.size();
      jumped += jumps;
      EXPECT_EQ(at_once.steps, others + gotos);
      for (std::uint64_t budget = 1; budget <= at_once.steps; ++budget) {
        const Outcome outcome = outcome_of(start + plain + end + "exit", {.budget = budget});
        EXPECT_EQ(outcome.fault, budget < at_once.steps ? Fault::kBudget : Fault::kNone) << budget;
        EXPECT_EQ(outcome.steps, budget);
      }
    }
  EXPECT_GT(jumped, 100);
}

Result<std::unique_ptr<ExtendedStepper>> stepper_of(const std::string& text, std::uint64_t budget = 1000) {
  return make_stepper(ebpf::check(ebpf::assemble(text).value()).value(), {.budget = budget});
}

// A helper is one step, whatever the function that it calls back calls.
TEST(Stepper, FunctionsCalledBackAreWithinTheStep) {
  runtime::Invocation run;
  const auto stepper = stepper_of(
                           "r1 = 3\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall loop\nr6 = 1\nr6 += 1\nexit\n"
                           "func f:\ncall ktime_get_ns\nr0 = 0\nexit")
                           .value();
  stepper->start(run);
  std::vector<std::uint32_t> slots;
  while (!stepper->has_ended()) {
    slots.push_back(stepper->outcome().instruction);
    stepper->step();
  }
  EXPECT_EQ(slots, (std::vector<std::uint32_t>{0, 1, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(stepper->outcome().fault, Fault::kNone);
  EXPECT_EQ(stepper->outcome().value, 3u);
}

// All rounds share one budget: no program runs for hours within a step.
TEST(Stepper, FunctionsCalledBackEnd) {
  runtime::Invocation run;
  const auto stepper = stepper_of(
                           "r1 = 8388608\nr2 = subprog[f]\nr3 = 0\nr4 = 0\ncall loop\nexit\n"
                           "func f:\nr1 = 0\nagain: r1 += 1\nif r1 != 100 goto again\nr0 = 0\nexit")
                           .value();
  stepper->start(run);
  while (!stepper->has_ended()) stepper->step();
  EXPECT_EQ(stepper->outcome().fault, Fault::kBudget);
  EXPECT_GE(stepper->outcome().instruction, 7u) << "in the function";
}

// Where a function that is called back stops, its caller is at the call.
TEST(Stepper, FunctionsCalledBackHaveCallers) {
  runtime::Invocation run;
  const auto stepper = stepper_of(
                           "call local f\nexit\nf: r1 = 3\nr2 = subprog[g]\nr3 = 0\nr4 = 0\ncall loop\nexit\n"
                           "g: r0 = *(u8 *)(r1 + 0)\nexit")
                           .value();
  stepper->start(run);
  while (!stepper->has_ended()) stepper->step();
  EXPECT_EQ(stepper->outcome().fault, Fault::kOutside);
  ASSERT_EQ(stepper->depth(), 2u);
  EXPECT_EQ(stepper->return_slot(1), 7u);
  EXPECT_EQ(stepper->return_slot(0), 1u);
}

// What a tail call in a function leads into has a stack of its own; those of the functions that wait can be looked at.
TEST(Stepper, StacksOfFunctionsThatWaitForAnotherProgram) {
  runtime::Invocation run;
  const auto stepper = stepper_of(
                           ".map next, prog_array, key 4, value 4, entries 1\n"
                           "*(u64 *)(r10 - 8) = 5\ncall local f\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit\n"
                           "f: r2 = map[next]\nr3 = 0\ncall bpf_tail_call\nr0 = 0\nexit")
                           .value();
  const auto other = loaded("*(u64 *)(r10 - 8) = 6\nr0 = 7\nexit");
  ASSERT_TRUE(set_tail_call(*stepper->maps()[0], 0, other));
  stepper->start(run);
  const std::uint64_t first = stepper->registers()[10];
  while (stepper->outcome().program != &other->program() || stepper->outcome().instruction < 1)
    ASSERT_TRUE(stepper->step());
  EXPECT_EQ(stepper->depth(), 1u);
  EXPECT_EQ(stepper->return_slot(0), 2u);
  EXPECT_EQ(stepper->frame_pointer(0), first);
  EXPECT_EQ(stepper->frame_pointer(1), stepper->registers()[10]);
  const auto word = [&](std::uint32_t depth) {
    const std::uint64_t address = stepper->frame_pointer(depth) - 8;
    EXPECT_TRUE(stepper->may_read(address, 8));
    return *reinterpret_cast<const std::uint64_t*>(address);
  };
  EXPECT_EQ(word(0), 5u);
  EXPECT_EQ(word(1), 6u);
  while (!stepper->has_ended()) stepper->step();
  EXPECT_EQ(stepper->outcome().fault, Fault::kNone);
  EXPECT_EQ(stepper->outcome().value, 12u);
}

}  // namespace
}  // namespace weir::engine
