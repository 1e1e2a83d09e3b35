// Random expressions on every link type: the emitted program gives the verdicts of the formula, evaluated by
// definition.
//
// What an expression means is tested elsewhere (accept_test.cpp, libpcap_differential_test.cpp); this tests the way
// from the formula through the graph to classic code, also for what no libpcap here compiles: metadata of Linux,
// variables that were never assigned, conditions of all kinds on terms of any shape.
#include <gtest/gtest.h>

#include <weir/filter/compile.h>
#include <weir/filter/lower.h>
#include <weir/filter/parse.h>
#include <weir/flow/emit.h>

#include "libpcap_names.h"
#include "reference/formula_evaluator.h"
#include "reference/random_expression.h"
#include "reference/steered_packets.h"
#include "reference/tracing_machine.h"
#include "rounds.h"

namespace weir {
namespace {

constexpr reference::SteerOptions kSteering{.length = 200, .rounds = 3, .turns = 10};
constexpr std::uint32_t kAccept = 4711;

packet::Metadata random_metadata(std::mt19937& random) {
  packet::Metadata out;
  out.type = random() % 5;
  out.interface_index = random() % 4;
  out.vlan_present = random() % 2;
  out.vlan_tci = random() % 4 + (random() % 2 << 13);
  return out;
}

// Whether a formula was compared: it may need more scratch words than there are.
bool compare(const filter::Bound& bound, std::mt19937& random, const std::string& what) {
  const Result<cbpf::Program> program = flow::emit(filter::lower(bound, {.accept = kAccept}));
  if (!program) {
    EXPECT_EQ(program.error().code, ErrorCode::kLimit) << what << ": " << program.error().message;
    return false;
  }
  const auto checked = cbpf::check(*program, {.target = cbpf::Target::kUser});
  EXPECT_TRUE(checked.has_value()) << what << ": " << (checked ? "" : checked.error().message);
  const packet::Metadata metadata = random_metadata(random);
  for (const reference::Bytes& bytes : reference::steer(program->instructions(), random, kSteering).packets) {
    std::uint32_t length = kSteering.length;
    for (int cut = 0; cut < 3; ++cut, length = random() % 120) {
      const packet::Packet packet{bytes.data(), length, kSteering.length + length % 3, &metadata};
      const std::uint32_t expected = reference::evaluate(bound, packet).value_or(false) ? kAccept : 0;
      const std::uint32_t actual = reference::run(program->instructions(), packet).verdict;
      if (expected == actual) continue;
      ADD_FAILURE() << what << ": the formula says " << expected << ", its program " << actual << " for " << length
                    << " bytes\n"
                    << filter::write(bound);
      return true;
    }
  }
  return true;
}

TEST(Formula, ProgramsGiveItsVerdicts) {
  std::mt19937 random(7);
  tests::LibpcapTestNames resolver;
  const auto types = packet::link_types();
  const int rounds = tests::rounds(2500);
  int compared = 0;
  for (int i = 0; i < rounds; ++i) {
    filter::BindOptions options;
    options.link_type = i % 2 == 0 ? packet::LinkType::kEthernet : types[random() % types.size()].type;
    options.platform = random() % 2 == 0 ? filter::Platform::kPortable : filter::Platform::kLinux;
    options.netmask = 0xffffff00;
    options.capture_file = random() % 2 == 0;
    options.allow_no_match = true;
    options.resolver = &resolver;
    const std::string expression = reference::random_expression(random, {.primitives = 5});
    const Result<filter::Ast> ast = filter::parse(expression);
    ASSERT_TRUE(ast.has_value()) << expression << ": " << ast.error().message;
    const Result<filter::BindResult> bound = filter::bind(*ast, options);
    if (!bound) continue;
    const std::string what = std::string(packet::name_of(options.link_type)) + " '" + expression + "'";
    compared += compare(bound->bound, random, what) ? 1 : 0;
    if (HasFailure()) return;
  }
  std::printf("%d of %d expressions compared\n", compared, rounds);
  EXPECT_GT(compared, rounds / 3);
}

}  // namespace
}  // namespace weir
