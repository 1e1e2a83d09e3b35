// Programs for cooked sockets: what moves behind the header, and what cannot.
#include <weir/capture/live.h>

#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

namespace weir::capture {
namespace {

cbpf::Program program_of(std::string_view text) {
  Result<cbpf::Program> program = cbpf::assemble(text);
  EXPECT_TRUE(program) << program.error().message;
  return std::move(*program);
}
Result<cbpf::Checked> moved(std::string_view text) { return cooked_for_kernel(*cbpf::check(program_of(text))); }
bool moves_to(std::string_view text, std::string_view wanted) { return moved(text)->program() == program_of(wanted); }
bool stays_out(std::string_view text) {
  const Result<cbpf::Checked> made = moved(text);
  return !made && made.error().code == ErrorCode::kUnsupported;
}

TEST(CookedPrograms, LoadsBehindTheHeaderMove) {
  EXPECT_TRUE(moves_to("ld [20]\nret a", "ld [0]\nret a"));
  EXPECT_TRUE(moves_to("ldh [0]\nret a", "ld #proto\nret a"));
  EXPECT_TRUE(moves_to("ldx 4*([20]&0xf)\nldh [x + 22]\nret a", "ldx 4*([0]&0xf)\nldh [x + 2]\nret a"));
  EXPECT_TRUE(stays_out("ldh [2]\nret a"));
  EXPECT_TRUE(stays_out("ldx 4*([19]&0xf)\nret #1"));
  EXPECT_TRUE(stays_out("ld #len\nret a"));
}

TEST(CookedPrograms, LoadsThatMayReachTheHeaderStayOut) {
  EXPECT_TRUE(stays_out("ldb [20]\ntax\nldh [x + 19]\nret a"));
  EXPECT_TRUE(moves_to("ldb [20]\ntax\nldh [x + 20]\nret a", "ldb [0]\ntax\nldh [x + 0]\nret a"));
  // X is 0 - 255, and with it x + k may be anything.
  EXPECT_TRUE(stays_out("ldb [20]\nsub #255\ntax\nldh [x + 300]\nret a"));
  EXPECT_TRUE(stays_out("ld [20]\ntax\nldh [x + 20]\nret a"));
  EXPECT_TRUE(
      moves_to("ld [20]\nand #0xffff\ntax\nldh [x + 20]\nret a", "ld [0]\nand #0xffff\ntax\nldh [x + 0]\nret a"));
}

}  // namespace
}  // namespace weir::capture
