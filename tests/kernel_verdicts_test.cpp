// What a running Linux answered for random programs: whether it takes them, and their exact verdicts.
#include <nlohmann/json.hpp>

#include <weir/engine/engine.h>

#include "engines.h"
#include "reference/reference_interpreter.h"
#include "shared_data.h"

namespace weir {
namespace {

std::vector<std::uint8_t> from_hex(const std::string& text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(KernelVerdicts, CheckerReferenceAndEngineAgreeInEveryRow) {
  const auto path = tests::shared_folder() / "data/classic/kernel-verdicts.jsonl";
  WEIR_REQUIRE_SHARED(path);
  std::ifstream file(path);
  int rows = 0;
  int runs = 0;
  for (std::string line; std::getline(file, line); ++rows) {
    const nlohmann::json row = nlohmann::json::parse(line);
    std::vector<cbpf::Instruction> instructions;
    for (const auto& i : row["insns"])
      instructions.push_back(
          {i[0].get<std::uint16_t>(), i[1].get<std::uint8_t>(), i[2].get<std::uint8_t>(), i[3].get<std::uint32_t>()});
    const Result<cbpf::Checked> checked = cbpf::check(cbpf::Program(std::move(instructions)));
    ASSERT_EQ(checked.has_value(), row["attach"] == 0)
        << "id " << row["id"] << (checked ? "" : ": " + checked.error().message);
    if (!checked) continue;
    const auto engines = tests::all_engines(*checked);
    for (const auto& run : row["runs"]) {
      const std::vector<std::uint8_t> bytes = from_hex(run["packet"]);
      const packet::Packet packet = packet::make_packet(bytes);
      const reference::Outcome outcome = reference::run(checked->program(), packet);
      ASSERT_EQ(outcome.verdict, run["verdict"].get<std::uint32_t>()) << "id " << row["id"];
      ASSERT_EQ(outcome.implicit, run["how"] == "implicit0") << "id " << row["id"];
      for (const auto& engine : engines)
        ASSERT_EQ(engine->run(packet), outcome.verdict) << engine->name() << ", id " << row["id"];
      ++runs;
    }
  }
  EXPECT_GT(rows, 1000);
  std::printf("%d rows, %d runs\n", rows, runs);
}

}  // namespace
}  // namespace weir
