// Every recorded case of bpf_asm: the same bytes for what it takes, an error for what it refuses; where it is wrong,
// the case is named with what weir does instead.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/program.h>
#include <weir/cbpf/text.h>

#include "shared_data.h"

namespace weir::cbpf {
namespace {

// bpf_asm is silent or wrong; weir gives an error that has these words.
const std::map<std::string, std::string> kRefusedHere = {
    {"044-label-dup", "label 'aa' is defined twice"},  // bpf_asm: the first wins
};
// bpf_asm refuses these or swallows a part of them; weir makes this program.
const std::map<std::string, std::string> kAssembledHere = {
    {"020-ind-nospace", "2,72 0 0 14,22 0 0 0,\n"},        // `[x+14]`: +14 is one word there
    {"030-label-1char", "3,21 0 1 1,6 0 0 1,6 0 0 0,\n"},  // labels of one letter
    {"056-comment-stars", "2,6 0 0 1,6 0 0 2,\n"},         // `**/` does not end a comment there
    {"072-tabs-crlf", "2,40 0 0 12,22 0 0 0,\n"},          // a carriage return is an unknown character there
};

bool assembled_by_bpf_asm(const std::string& output) { return !output.empty() && output[0] >= '0' && output[0] <= '9'; }

TEST(BpfAsm, GivesTheSameBytesInEveryRecordedCase) {
  const auto folder = tests::shared_folder() / "data/classic/bpf_asm";
  WEIR_REQUIRE_SHARED(folder);
  int same = 0;
  int refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".asm") continue;
    const std::string name = entry.path().stem();
    SCOPED_TRACE(name);
    const std::string plain = tests::slurp(folder / (name + ".plain.out"));
    const std::string c = tests::slurp(folder / (name + ".c.out"));
    const std::string text = tests::slurp(entry.path());
    const Result<Program> program = assemble(text);
    if (name.find("108-max-4097") == 0) {
      // Longer than the kernel takes: the assembler makes it, the checker and bpf_asm's own front end refuse it.
      ASSERT_TRUE(program);
      EXPECT_EQ(program->size(), 4097u);
      EXPECT_FALSE(check(*program));
    } else if (const auto here = kRefusedHere.find(name); here != kRefusedHere.end()) {
      ASSERT_FALSE(program);
      EXPECT_NE(program.error().message.find(here->second), std::string::npos) << program.error().message;
    } else if (const auto made = kAssembledHere.find(name); made != kAssembledHere.end()) {
      ASSERT_TRUE(program) << one_line(program.error(), text);
      EXPECT_EQ(write(*program, Format::kBytecode), made->second);
    } else if (assembled_by_bpf_asm(plain)) {
      ASSERT_TRUE(program) << one_line(program.error(), text);
      EXPECT_EQ(write(*program, Format::kBytecode), plain);
      EXPECT_EQ(write(*program, Format::kBpfAsmC), c);
      ++same;
    } else {
      EXPECT_FALSE(program) << write(*program, Format::kBytecode);
      if (program) continue;
      EXPECT_TRUE(std::holds_alternative<Span>(program.error().place));
      ++refused;
    }
  }
  std::printf("%d cases with the same bytes, %d refused by both\n", same, refused);
  EXPECT_GT(same, 20);
  EXPECT_GT(refused, 20);
}

// What bpf_asm assembles without a word though no kernel takes it: the same bytes, and the checker says why.
TEST(BpfAsm, WhatNoKernelTakesIsAssembledAndToldByTheChecker) {
  const std::pair<const char*, const char*> kCases[] = {
      {"div #0\nret a", "division by zero"},
      {"lsh #32\nret a", "shift by 32"},
      {"ld M[16]\nret a", "scratch word M[16] does not exist"},
      {"ld #1", "does not end with ret"},
      {"ret x", "unknown opcode 0x0e"},
      {"aa: ld #1\nja aa\nret #0", "jump backward to instruction 0"},
  };
  for (const auto& [text, words] : kCases) {
    SCOPED_TRACE(text);
    const Result<Assembled> assembled = assemble_with_places(text);
    ASSERT_TRUE(assembled);
    ASSERT_EQ(assembled->places.size(), assembled->program.size());
    const std::vector<Error> errors = violations(assembled->program);
    ASSERT_FALSE(errors.empty());
    EXPECT_NE(errors.front().message.find(words), std::string::npos) << errors.front().message;
  }
}

}  // namespace
}  // namespace weir::cbpf
