// The assembler: what its language has beyond the recorded cases, and its messages.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/text.h>

namespace weir::cbpf {
namespace {

std::string bytecode(std::string_view text) {
  const Result<Program> program = assemble(text);
  return program ? write(*program, Format::kBytecode) : one_line(program.error(), text);
}

std::string messages(std::string_view text) {
  std::string out;
  for (const Error& error : assembly_errors(text)) out += one_line(error, text) + "\n";
  return out;
}

TEST(Assemble, IndirectLoadsNeedNoBlanks) {
  for (const char* text : {"ldh [x+14]", "ldh [ x + 14 ]", "ldh [%x+14]", "LDH [X + 0xe]", "ldh [x+016]",
                           "ldh [x+0b1110]", "ldh[x+14]", "ldh [x--14]", "ldh [x - -14]"})
    EXPECT_EQ(bytecode(text), "1,72 0 0 14,\n") << text;
  EXPECT_EQ(bytecode("ldh [x-2]"), "1,72 0 0 4294967294,\n");
  EXPECT_EQ(bytecode("ldh [x+-2]"), "1,72 0 0 4294967294,\n");
}

TEST(Assemble, Numbers) {
  EXPECT_EQ(bytecode("ret #4294967295"), "1,6 0 0 4294967295,\n");
  EXPECT_EQ(bytecode("ret #-0x1"), "1,6 0 0 4294967295,\n");
  EXPECT_EQ(bytecode("ret #4294967296"), "1:6: the number 4294967296 does not fit into 32 bits");
  EXPECT_EQ(bytecode("ret #0x1ffffffff"), "1:6: the number 0x1ffffffff does not fit into 32 bits");
  EXPECT_EQ(bytecode("ret #0b12"), "1:6: '0b12' is not a number");
  EXPECT_EQ(bytecode("ret #08"), "1:6: '08' is not a number (a number that starts with 0 is octal)");
  EXPECT_EQ(bytecode("ret #0x"), "1:6: '0x' is not a number");
}

TEST(Assemble, WhatIsNoWordIsToldOnceAndTheRestIsReadOn) {
  EXPECT_EQ(messages("ld #0xfffffffff\nl1: ret #1\n"), "1:5: the number 0xfffffffff does not fit into 32 bits\n");
  EXPECT_EQ(messages("ld [$\nfoo\nl1: ret #1\njmp l1 $"),
            "1:5: unexpected character '$'\n2:1: unknown instruction 'foo'\n4:8: unexpected character '$'\n");
}

TEST(Assemble, CommentsOfBothKinds) {
  EXPECT_EQ(bytecode("; first\n/* a **/ ret #1 /* b */\n# whole line\nret #2 ; ret #3\n/****/ret #4/* */"),
            "3,6 0 0 1,6 0 0 2,6 0 0 4,\n");
  EXPECT_EQ(bytecode("/* multi\nline */ ret #1"), "1,6 0 0 1,\n");
  // In the first column, a # comment; but bpf_asm takes a line that is just an extension as the operand.
  EXPECT_EQ(bytecode("ld\n#len\nret a"), "2,128 0 0 0,22 0 0 0,\n");
  EXPECT_EQ(bytecode("ld\n#vlan_pr\r\nret a"), "2,32 0 0 4294963248,22 0 0 0,\n");
  EXPECT_EQ(bytecode("#len\nret a"), "1,22 0 0 0,\n");
}

TEST(Assemble, NamesOfBpfc) {
  const std::pair<const char*, int> kNames[] = {{"pto", 0},    {"ifx", 8},      {"que", 24},   {"Q", 24},
                                                {"hat", 28},   {"rxh", 32},     {"vlant", 44}, {"vlana", 48},
                                                {"vlanp", 48}, {"vlan_acc", 48}};
  for (const auto& [name, number] : kNames)
    for (const std::string prefix : {"", "#"})
      EXPECT_EQ(bytecode("ld " + prefix + name),
                "1,32 0 0 " + std::to_string(0xfffff000u + static_cast<unsigned>(number)) + ",\n");
  EXPECT_EQ(bytecode("ldx #pktlen"), "1,129 0 0 0,\n");
}

TEST(Assemble, TextOfXNetBpf) {
  EXPECT_EQ(bytecode("ldh [12]\njneq #2054,1\nret #4096\nret #0\n"), "4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0,\n");
  EXPECT_EQ(bytecode("jset #5,0,1\nja 0\nret a"), "3,69 0 1 5,5 0 0 0,22 0 0 0,\n");
  EXPECT_EQ(bytecode("jeq #1,2\nret a"),
            "1:8: the jump leads to instruction 3, but the last is 1 (a number says how many "
            "instructions to skip)");
}

// bpf_dbg labels every line, and gives the target of ja as a line.
TEST(Assemble, TextOfBpfDbg) {
  EXPECT_EQ(bytecode("l0:\tldh [12]\nl1:\tjeq #0x800, l2, l3\nl2:\tja 4\nl3:\tret #0\nl4:\tret #0xffff\n"),
            "5,40 0 0 12,21 0 1 2048,5 0 0 1,6 0 0 0,6 0 0 65535,\n");
  // Anybody else's numbers say how many instructions to skip.
  EXPECT_EQ(bytecode("l0: ja 1\nl1: ret #0\nl2: ret #1\n"), "3,5 0 0 1,6 0 0 0,6 0 0 1,\n");
  EXPECT_EQ(bytecode("l0:\tjeq #5, 0, 1\nl1:\tret #0\nl2:\tret #1\n"), "3,21 0 1 5,6 0 0 0,6 0 0 1,\n");
}

// Names of registers are labels, too, where a label stands.
TEST(Assemble, LabelsOfOneLetter) {
  EXPECT_EQ(bytecode("jeq x, a, x\na: ret a\nx: ret #1"), "3,29 0 1 0,22 0 0 0,6 0 0 1,\n");
  EXPECT_EQ(bytecode("ja M\nM: ld M[1]\nret a"), "3,5 0 0 0,96 0 0 1,22 0 0 0,\n");
}

TEST(Assemble, LongJumps) {
  std::string text = "jeq #1, far\nja far\n";
  for (int i = 0; i < 254; ++i) text += "ld #0\n";
  EXPECT_EQ(bytecode(text + "far: ret a\n").substr(0, 21), "257,21 255 0 1,5 0 0 ");
  EXPECT_EQ(bytecode(text + "ld #0\nfar: ret a\n"),
            "1:9: 'far' is 256 instructions away (a conditional jump reaches 255: go through a 'ja')");
}

TEST(Assemble, TellsEveryError) {
  EXPECT_EQ(
      messages("ldd [12]\n"
               "jeq #0x806, yes, nos\n"
               "  # note\n"
               "ret 5\n"
               "yes: ret #1 ? 2\n"
               "no: ret #0\n"
               "no: ret #3\n"
               "neg x\n"
               "jlt #1, yes, no\n"
               "ldx [4]\n"
               "ld vlan_tcl\n"),
      "1:1: unknown instruction 'ldd' (did you mean 'ld'?)\n"
      "2:18: there is no label 'nos' (did you mean 'no'?)\n"
      "3:3: expected an instruction, not '#' (a # after the first column starts an operand: comments are /* this */ "
      "and ; that)\n"
      "4:5: 'ret' needs a '#' before a number (did you mean '#5'?)\n"
      "5:13: unexpected character '?'\n"
      "5:15: expected an instruction, not '2'\n"
      "7:1: label 'no' is defined twice\n"
      "8:5: unknown instruction 'x'\n"
      "9:12: 'jlt' takes one label (it goes on with the next instruction when the test fails)\n"
      "10:5: 'ldx' does not take this operand (X is loaded with #k, M[k], #len or 4*([k]&0xf): load into A, then "
      "tax)\n"
      "11:4: unknown operand 'vlan_tcl' (did you mean 'vlan_tci'?)\n");
}

TEST(Assemble, MessagesPointAtThePlace) {
  const std::string text = "ldh [12]\n\tjeq #0x806, kep, drop\ndrop: ret #0\nkeep: ret #1\n";
  const Result<Program> program = assemble(text);
  ASSERT_FALSE(program);
  EXPECT_EQ(
      render(program.error(), text),
      "2:14: error: there is no label 'kep'\n  \tjeq #0x806, kep, drop\n  \t            ^^^ did you mean 'keep'?\n");
  EXPECT_EQ(messages("ldh [12\nret a"), "1:8: expected ']' after '12'\n");
  EXPECT_EQ(messages("ret"), "1:4: expected an operand of 'ret', not the end of the text\n");
  EXPECT_EQ(messages("ja ret\nret: ret #0"),
            "1:4: there is no label 'ret'\n2:1: 'ret' is a word of the language, not a label\n");
  EXPECT_EQ(messages("aa: bb: ret #0"), "1:5: an instruction takes one label (let both uses name the same label)\n");
  EXPECT_EQ(messages("ret #0 \x01"), "1:8: unexpected byte 0x01\n");
  EXPECT_EQ(messages("ret #0 \xff"), "1:8: unexpected byte 0xff\n");
  EXPECT_EQ(messages("/* ret #0"), "1:1: comment without end (close it with */)\n");
  EXPECT_EQ(messages("// hi\nret a"), "1:1: '//' does not start a comment (comments are /* this */ and ; that)\n");
  EXPECT_EQ(messages(" \n\t\n"), "3:1: the text holds no instruction\n");
  EXPECT_EQ(messages("ld [x]\nret a"), "1:6: '[x]' lacks its offset (write '[x + 0]')\n");
}

TEST(Assemble, PlacesAreThoseOfTheInstructions) {
  const std::string text = "one: ldh [x + 14]\nret\n  #1";
  const Result<Assembled> assembled = assemble_with_places(text);
  ASSERT_TRUE(assembled) << one_line(assembled.error(), text);
  ASSERT_EQ(assembled->places.size(), 2u);
  const auto said = [&](std::size_t i) {
    return text.substr(assembled->places[i].begin, assembled->places[i].end - assembled->places[i].begin);
  };
  EXPECT_EQ(said(0), "ldh [x + 14]");
  EXPECT_EQ(said(1), "ret\n  #1");
}

}  // namespace
}  // namespace weir::cbpf
