// The debugger's machine against the naive reference and the engines; time, counts and stops against runs by hand.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include <weir/debug/console.h>
#include <weir/debug/machine_code.h>
#include <weir/debug/session.h>
#include <weir/engine/engine.h>

#include "random_metadata.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"

namespace weir::debug {
namespace {

bool same(const State& a, const State& b) { return a == b; }

// Uses no random numbers, which engines and debugger draw differently.
bool repeatable(const cbpf::Program& program) {
  for (const cbpf::Instruction& i : program) {
    const cbpf::OpcodeInfo* info = cbpf::find(i.code);
    if (info->shape != cbpf::OperandShape::kAbsolute) continue;
    const cbpf::ExtensionInfo* extension = cbpf::find_extension(i.k);
    if (extension != nullptr && extension->extension == cbpf::Extension::kRandom) return false;
  }
  return true;
}

std::vector<std::uint8_t> random_bytes(tests::ProgramMaker& maker) {
  std::vector<std::uint8_t> bytes(maker.below(64));
  for (std::uint8_t& byte : bytes)
    byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
  return bytes;
}

TEST(DebugMachine, AgreesWithTheReferenceAndTheEngines) {
  tests::ProgramMaker maker(11);
  int checked = 0;
  for (int i = 0; i < tests::rounds(30000); ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || !repeatable(program->program())) continue;
    ++checked;
    const auto engine = engine::load(*program);
    ASSERT_TRUE(engine);
    for (int p = 0; p < 3; ++p) {
      const std::vector<std::uint8_t> bytes = random_bytes(maker);
      const packet::Metadata metadata = tests::some_metadata(maker);
      packet::Packet packet = packet::make_packet(bytes);
      packet.wire_length += maker.below(3);
      packet.metadata = &metadata;
      const State end = finish(*program, packet, {}, {});
      const reference::Outcome expected = reference::run(program->program(), packet);
      ASSERT_EQ(end.verdict, expected.verdict) << disassembly(program->program());
      ASSERT_EQ(end.ending != Ending::kReturned, expected.implicit);
      ASSERT_EQ(end.verdict, (*engine)->run(packet));
    }
  }
  EXPECT_GT(checked, tests::rounds(30000) / 20);
}

struct World {
  Session session;
  std::vector<std::pair<std::uint32_t, State>> times;  // packet and state of each point in time
  Counts counts;
};

// A session over random packets, with every point in time found by steps of one.
bool make_world(tests::ProgramMaker& maker, World& world) {
  const cbpf::Program program = maker.next();
  if (!cbpf::check(program, {.target = cbpf::Target::kUser})) return false;
  auto packets = std::make_shared<PacketList>();
  const std::uint32_t count = 1 + maker.below(5);
  for (std::uint32_t p = 0; p < count; ++p) packets->add(packet::make_packet(random_bytes(maker)));
  EXPECT_TRUE(world.session.set_program(program));
  world.session.set_packets(packets);
  for (std::uint32_t p = 0; p < count; ++p) {
    EXPECT_EQ(world.session.select(p + 1), true);
    for (const Executed& step : world.session.whole_run()) world.times.emplace_back(p + 1, step.before);
    const Surroundings surroundings = world.session.surroundings();
    const State end = finish(world.session.checked(), (*packets)[p], surroundings, {});
    ++(end.verdict != 0 ? world.counts.passes : world.counts.fails);
  }
  world.session.select(1);
  return true;
}

TEST(DebugSession, StepsAndBackReachThePointInTimeThatTheyName) {
  tests::ProgramMaker maker(12);
  int made = 0;
  for (int i = 0; i < tests::rounds(4000); ++i) {
    World world;
    if (!make_world(maker, world)) continue;
    ++made;
    Session& s = world.session;
    s.step(1);
    std::uint64_t at = 0;
    for (int move = 0; move < 30; ++move) {
      const std::uint64_t size = world.times.size();
      if (maker.below(2) == 0) {
        const std::uint64_t steps = 1 + maker.below(static_cast<std::uint32_t>(size));
        if (at + steps >= size) continue;  // would begin a new run
        at += steps;
        ASSERT_EQ(s.step(steps).reason, Stop::Reason::kStep);
      } else {
        const std::uint64_t steps = 1 + maker.below(static_cast<std::uint32_t>(size));
        const Stop stop = s.back(steps);
        ASSERT_EQ(stop.reason == Stop::Reason::kStart, steps > at);
        if (steps > at) ASSERT_EQ(stop.steps_back, at);
        else at -= steps;
      }
      ASSERT_EQ(s.packet_number(), world.times[at].first);
      ASSERT_TRUE(same(s.state(), world.times[at].second));
    }
  }
  EXPECT_GT(made, tests::rounds(4000) / 20);
}

TEST(DebugSession, CountsAreThoseOfTheWholeCaptureHoweverOftenItStops) {
  tests::ProgramMaker maker(13);
  for (int i = 0; i < tests::rounds(3000); ++i) {
    World world;
    if (!make_world(maker, world)) continue;
    Session& s = world.session;
    ASSERT_EQ(s.run().counts, world.counts);
    ASSERT_TRUE(
        s.add_breakpoint(BreakKind::kInstruction, maker.below(static_cast<std::uint32_t>(s.program().size())), {}));
    s.select(1);
    std::size_t stops = 0;
    Stop stop = s.run();
    while (stop.reason == Stop::Reason::kBreakpoint) {
      ++stops;
      ASSERT_EQ(s.state().pc, s.breakpoints().front().instruction);
      // Going back over ended packets takes them out of the counts, coming again puts them back.
      if (maker.below(4) == 0 && s.back(1 + maker.below(6)).reason == Stop::Reason::kStep) {
        const std::uint32_t packet = s.packet_number();
        ASSERT_LE(s.counts().passes + s.counts().fails, packet - 1);
        if (stops > 50) s.clear_stops();
      }
      stop = s.run();
    }
    ASSERT_EQ(stop.reason, Stop::Reason::kRunEnded);
    ASSERT_EQ(stop.counts, world.counts);
  }
}

TEST(DebugSession, ABreakpointStopsAtEveryVisitOfItsInstruction) {
  tests::ProgramMaker maker(14);
  for (int i = 0; i < tests::rounds(3000); ++i) {
    World world;
    if (!make_world(maker, world)) continue;
    Session& s = world.session;
    const std::uint32_t pc = maker.below(static_cast<std::uint32_t>(s.program().size()));
    std::size_t visits = 0;
    for (const auto& [packet, state] : world.times) visits += state.pc == pc ? 1 : 0;
    ASSERT_TRUE(s.add_breakpoint(BreakKind::kInstruction, pc, {}));
    std::size_t stops = 0;
    while (s.run().reason == Stop::Reason::kBreakpoint) ++stops;
    ASSERT_EQ(stops, visits);
    s.clear_stops();
    ASSERT_TRUE(s.add_breakpoint(BreakKind::kPass, 0, {}));
    EXPECT_FALSE(s.add_breakpoint(BreakKind::kCondition, 0, {})) << "it has none";
    stops = 0;
    while (s.run().reason == Stop::Reason::kBreakpoint) {
      ++stops;
      ASSERT_NE(s.end().verdict, 0u);
    }
    ASSERT_EQ(stops, world.counts.passes);
  }
}

TEST(DebugWhy, TurningTheDecidingTestTurnsTheVerdict) {
  tests::ProgramMaker maker(15);
  int decided = 0;
  for (int i = 0; i < tests::rounds(20000); ++i) {
    World world;
    if (!make_world(maker, world)) continue;
    Session& s = world.session;
    const std::vector<Executed> run = s.whole_run();
    const Why why = explain(s.checked(), s.packet(), s.surroundings(), run);
    ASSERT_EQ(why.end.verdict, s.end().verdict);
    const std::size_t after = why.decided_by ? *why.decided_by + 1 : 0;
    // By hand: run on from each later jump's other side; none may change the packet's fate.
    for (std::size_t j = why.decided_by.value_or(0); j < run.size(); ++j) {
      if (!run[j].effect.taken) continue;
      State other = run[j].before;
      const cbpf::Instruction& jump = s.program()[other.pc];
      other.pc = run[j].before.pc + 1 + (*run[j].effect.taken ? jump.jf : jump.jt);
      const bool turned =
          (finish(s.checked(), s.packet(), s.surroundings(), other).verdict != 0) != (why.end.verdict != 0);
      ASSERT_EQ(turned, why.decided_by == j);
    }
    decided += after > 0 ? 1 : 0;
  }
  EXPECT_GT(decided, 10);
}

// Each mark names a part of the program and the place of a whole instruction of the code; marks change no verdict.
TEST(DebugMachineCode, MarksNamePartsOfTheProgramAndWholeInstructions) {
  tests::ProgramMaker maker(31);
  int marked = 0;
  for (int i = 0; i < tests::rounds(300); ++i) {
    const auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || !repeatable(program->program())) continue;
    const auto interpreter = engine::load(*program, {.kind = engine::Kind::kInterpreter});
    ASSERT_TRUE(interpreter);
    EXPECT_TRUE((*interpreter)->code().bytes.empty());
    for (const engine::Kind kind : {engine::Kind::kScalar, engine::Kind::kAvx2}) {
      const auto engine = engine::load(*program, {.kind = kind, .marks = true});
      if (!engine && engine.error().code == ErrorCode::kUnsupported) continue;  // another processor's
      ASSERT_TRUE(engine);
      const engine::CodeListing code = (*engine)->code();
      ASSERT_FALSE(code.bytes.empty());
      std::set<std::uint64_t> starts{code.bytes.size()};
      for (const MachineInstruction& instruction : disassemble(code.bytes)) {
        EXPECT_NE(instruction.text, "(bad)");
        starts.insert(instruction.offset);
      }
      std::uint32_t last = 0;
      for (const engine::CodeMark& mark : code.marks) {
        ++marked;
        EXPECT_LE(last, mark.offset);
        last = mark.offset;
        EXPECT_TRUE(starts.contains(mark.offset)) << mark.offset;
        EXPECT_LT(mark.first, mark.end);
        EXPECT_LE(mark.end, program->program().size());
      }
      for (int n = 0; n < 20; ++n) {
        const std::vector<std::uint8_t> bytes = random_bytes(maker);
        const packet::Packet packet = packet::make_packet(bytes);
        EXPECT_EQ((*engine)->run(packet), (*interpreter)->run(packet));
      }
    }
  }
#if defined(__x86_64__)
  EXPECT_GT(marked, tests::rounds(300));
#endif
}

}  // namespace
}  // namespace weir::debug
