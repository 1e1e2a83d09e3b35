// Programs in the forms that other tools and languages write, told from their content; and the messages for bad ones.
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/cbpf/text.h>

namespace weir::cbpf {
namespace {

constexpr const char* kArp = "4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0,\n";

std::string bytecode(std::string_view text, const ReadOptions& options = {}) {
  const Result<Program> program = read(text, options);
  return program ? write(*program, Format::kBytecode) : one_line(program.error(), text);
}

TEST(Read, NumbersAsToolsWriteThem) {
  EXPECT_EQ(bytecode("4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0"), kArp);
  EXPECT_EQ(bytecode("4\n40 0 0 12\n21 0 1 2054\n6 0 0 4096\n6 0 0 0\n"), kArp);
  EXPECT_EQ(bytecode("4\r\n40 0 0 12\r\n21 0 1 2054\r\n6 0 0 4096\r\n6 0 0 0\r\n"), kArp);
  EXPECT_EQ(bytecode("4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0,"), kArp);    // tcpdump -ddd | tr '\n' ','
  EXPECT_EQ(bytecode("40 0 0 12\n21 0 1 2054\n6 0 0 4096\n6 0 0 0\n"), kArp);  // bpfc -f tcpdump
  EXPECT_EQ(bytecode("2800 0 0 12"), "1,2800 0 0 12,\n");
  EXPECT_EQ(bytecode("280000000c000000\n1500000106080000\n0600000000100000\n0600000000000000"), kArp);
  EXPECT_EQ(bytecode("iptables -A INPUT -m bpf --bytecode \"4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0\" -j ACCEPT"),
            kArp);
  EXPECT_EQ(
      bytecode(
          "tc filter add dev em1 parent 1: bpf run bytecode '4,40 0 0 12,21 0 1 2054,6 0 0 4096,6 0 0 0,' flowid 1:1"),
      kArp);
}

TEST(Read, ListingsOfTcpdump) {
  EXPECT_EQ(
      bytecode(
          "(000) ldh      [12]\n(001) jeq      #0x806           jt 2\tjf 3\n(002) ret      #4096\n(003) ret      #0\n"),
      kArp);
  EXPECT_EQ(bytecode("(000) ld       [vlanp]\n(001) ldxb     4*([14]&0xf)\n(002) ldh      [x + 16]\n(003) ja       5\n"
                     "(004) ret      #-1\n(005) ret      \n"),
            "6,32 0 0 4294963248,177 0 0 14,72 0 0 16,5 0 0 1,6 0 0 4294967295,22 0 0 0,\n");
}

TEST(Read, ArraysOfC) {
  EXPECT_EQ(bytecode("{ 0x28, 0, 0, 0x0000000c },\n{ 0x15, 0, 1, 0x00000806 },\n{ 0x06, 0, 0, 0x00001000 },\n{ 0x06, "
                     "0, 0, 0000000000 },\n"),
            kArp);
  EXPECT_EQ(bytecode("#include <linux/filter.h>\n/* arp { 1 } */\nstruct sock_filter code[] = {\n\t{ 0x28, 0, 0, 12 }, "
                     "// EtherType\n"
                     "\t{ .code = 0x15, .jf = 1, .k = 0x806 },\n\tBPF_STMT(BPF_RET | BPF_K, 0x1000),\n"
                     "\tBPF_STMT(BPF_RET+BPF_K, 0)\n};\n\nstruct sock_fprog bpf = {\n\t.len = "
                     "ARRAY_SIZE(code),\n\t.filter = code,\n};\n"),
            kArp);
  EXPECT_EQ(bytecode("BPF_STMT(BPF_LD+BPF_H+BPF_ABS, 12),\nBPF_JUMP(BPF_JMP+BPF_JEQ+BPF_K, 0x0806, 0, 1),\n"
                     "BPF_STMT(BPF_RET+BPF_K, 4096),\nBPF_STMT(BPF_RET+BPF_K, (unsigned)0)"),
            "4:26: unknown name 'unsigned'");
  EXPECT_EQ(bytecode("struct sock_filter f[] = { { BPF_LD | BPF_W | BPF_ABS, 0, 0, SKF_AD_OFF + SKF_AD_VLAN_TAG }, "
                     "{ BPF_RET | BPF_A, 0, 0, 0 } };"),
            "2,32 0 0 4294963244,22 0 0 0,\n");
  EXPECT_EQ(bytecode("{ 6, 0, 0, 0xFFFFFFFFU }, { 6, 0, 0, -1 }, { 6, 0, 0, 1UL << 31 }, { 6, 0, 0, ~0 }"),
            "4,6 0 0 4294967295,6 0 0 4294967295,6 0 0 2147483648,6 0 0 4294967295,\n");
}

TEST(Read, Go) {
  EXPECT_EQ(
      bytecode(
          "bpf.Assemble([]bpf.Instruction{\n\t// Load \"EtherType\" field from the ethernet header.\n"
          "\tbpf.LoadAbsolute{Off: 12, Size: 2},\n\tbpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x0806, SkipTrue: 1},\n"
          "\tbpf.RetConstant{Val: 4096},\n\tbpf.RetConstant{Val: 0},\n})\n"),
      kArp);
  // In Go, as in C, ^ is exclusive or: the constant of the documentation's example is 2.
  EXPECT_EQ(bytecode("[]bpf.Instruction{ bpf.LoadExtension{Num: bpf.ExtRand}, bpf.JumpIf{Cond: bpf.JumpLessThan, "
                     "Val: 2^32/100, SkipFalse: 1}, bpf.RetConstant{Val: 4096}, bpf.RetConstant{} }"),
            "4,32 0 0 4294963256,53 1 0 2,6 0 0 4096,6 0 0 0,\n");
  EXPECT_EQ(
      bytecode(
          "var f = []bpf.RawInstruction{{0x28, 0, 0, 0xc}, {Op: 0x15, Jf: 1, K: 0x806}, {6, 0, 0, 4_096}, {Op: 6}}"),
      kArp);
  EXPECT_EQ(bytecode("[]bpf.RawInstruction{bpf.RawInstruction{Op: 0x6, Jt: 0x0, Jf: 0x0, K: 0x1}}"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("[{40 0 0 12} {21 0 1 2054} {6 0 0 4096} {6 0 0 0}]"), kArp);  // fmt.Println(raw)
  EXPECT_EQ(bytecode("[{Op:40 Jt:0 Jf:0 K:12} {Op:21 Jt:0 Jf:1 K:2054} {Op:6 Jt:0 Jf:0 K:4096} {Op:6 Jt:0 Jf:0 K:0}]"),
            kArp);
  EXPECT_EQ(bytecode("[ldh [12] jneq #2054,1 ret #4096 ret #0]\n"), kArp);  // fmt.Println(instructions)
  EXPECT_EQ(bytecode("[]bpf.Instruction{bpf.NegateA{}, bpf.TAX{}, bpf.LoadIndirect{Off: 1, Size: 1}, bpf.ALUOpX{Op: "
                     "bpf.ALUOpShiftLeft}, bpf.StoreScratch{Src: bpf.RegX, N: 2}, bpf.RetA{}}"),
            "6,132 0 0 0,7 0 0 0,80 0 0 1,108 0 0 0,3 0 0 2,22 0 0 0,\n");
}

TEST(Read, Rust) {
  EXPECT_EQ(
      bytecode(
          "const P: [libc::sock_filter; 4] = [\n libc::sock_filter { code: 0x28u16, jt: 0, jf: 0, k: 12 }, // ldh\n"
          " sock_filter { code: 0x15, jt: 0, jf: 1, k: 0x0806_u32 },\n sock_filter{code:6,jt:0,jf:0,k:4096},\n"
          " sock_filter{code:6,jt:0,jf:0,k:0},\n];\n"),
      kArp);
}

TEST(Read, Json) {
  EXPECT_EQ(
      bytecode(
          "{\"version\": 1, \"expression\": \"arp \\\"}\", \"x\": [1, {\"y\": null}], \"instruction_count\": 4,\n"
          " \"instructions\": [[40, 0, 0, 12], {\"code\": 21, \"jt\": 0, \"jf\": 1, \"k\": 2054, \"text\": \"\"},\n"
          " [6, 0, 0, 4096], {\"op\": 6, \"jt\": 0, \"jf\": 0, \"k\": 0}]}"),
      kArp);
  EXPECT_EQ(bytecode("[[40,0,0,12],[21,0,1,2054],[6,0,0,4096],[6,0,0,0]]"), kArp);
}

// ';' ends a statement of C and of Rust, and starts a comment of assembler language.
TEST(Read, SemicolonsOfSourceAndOfAssembly) {
  EXPECT_EQ(bytecode("int a; struct sock_filter code[] = {{0x06,0,0,1}};"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("static F: [sock_filter; 1] = [ sock_filter { code: 6, jt: 0, jf: 0, k: 12 } ];"),
            "1,6 0 0 12,\n");
  EXPECT_EQ(
      bytecode("#include <linux/filter.h>\nstatic int n; struct sock_filter f[] = { BPF_STMT(BPF_RET+BPF_K, 1), };"),
      "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("std::size_t n; sock_filter f[]{{6, 0, 0, 1}};"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("int a; struct sock_filter code[] = {{6, 0, 300, 1}};"), "1:44: 300 is not between 0 and 255");
  EXPECT_EQ(bytecode("ret #1 ; {6, 0, 0, 2}\n"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("; {\nL: RET #1 ; BPF_STMT(\n"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("lhd [12] ; {6, 0, 0, 2}\n"), "1:1: unknown instruction 'lhd' (did you mean 'ld'?)");
}

TEST(Read, QuotationsInCommentsOfAssembly) {
  EXPECT_EQ(bytecode("; use bytecode \"x\"\nret #1\n"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("ret #1 ; the bytecode \"foo\"\n"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("drop: ret #1 /* --bytecode 'x' */\n"), "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("# the rule\niptables -F; iptables -A INPUT -m bpf --bytecode '1,6 0 0 1' -j ACCEPT"),
            "1,6 0 0 1,\n");
  EXPECT_EQ(bytecode("-m bpf --bytecode '1,6 0 0 1'"), "1,6 0 0 1,\n");
}

TEST(Read, BinaryIsToldByItsZeros) {
  const std::string arp("\x28\0\0\0\x0c\0\0\0\x15\0\0\x01\x06\x08\0\0\x06\0\0\0\0\x10\0\0\x06\0\0\0\0\0\0\0", 32);
  EXPECT_EQ(bytecode(arp), kArp);
  EXPECT_EQ(read(arp.substr(0, 30)).error().message, "30 bytes: an instruction has 8, and 6 are left over");
  // A capture is no program, unless its reader insists.
  const std::string pcap("\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0", 24);
  EXPECT_EQ(
      one_line(read(pcap).error()),
      "byte 0: this is neither text nor a binary program: instruction 0 would have the opcode 0xc3d4 (weir disasm "
      "--from binary reads it nevertheless)");
  const std::string object(
      "\x7f"
      "ELF\2\1\1\0\0\0\0\0\0\0\0\0",
      16);
  EXPECT_EQ(read(object).error().message, "this is an ELF object, whose programs are extended");
  EXPECT_TRUE(read(pcap, {.format = Format::kBinary}));
}

TEST(Read, TheFormCanBeNamed) {
  EXPECT_EQ(recognize("ldh [12]"), Format::kAssembly);
  EXPECT_EQ(bytecode("0600000000000000", {.format = Format::kDecimal}), "1:1: the number is not between 0 and 1048576");
  EXPECT_EQ(bytecode("ldh [12]", {.format = Format::kText}), "1:1: expected '(' and the number of the instruction");
  EXPECT_EQ(bytecode("ldh [12]", {.format = Format::kIptables}),
            "1:1: there is no bytecode '...' in the text (expected the command line of iptables or tc)");
}

TEST(Read, MessagesPointAtThePlace) {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "1:1: the text holds no program"},
      {"5,40 0 0 12,6 0 0 0", "1:1: 2 instructions, but 5 announced"},
      {"1,40 0 0 12,6 0 0 0", "1:13: more instructions than the 1 announced (the first number is the count)"},
      {"1,40 0 256 12", "1:8: the number is not between 0 and 255"},
      {"1,65536 0 0 12", "1:3: the number is not between 0 and 65535"},
      {"1,40 0 0", "1:9: expected a number"},
      {"1,40 0 0 12 7", "1:13: expected ',' or the end of the line"},
      {"0,", "1:1: the program is empty"},
      {"(000) ldh [12]\n(002) ret #0", "2:1: instruction 2 is out of order (1 should follow)"},
      {"(000) lhd [12]", "1:7: unknown instruction 'lhd' (did you mean 'ld'?)"},
      {"(000) jeq #1 jt 1 jf 400",
       "1:22: instruction 400 is out of reach (a conditional jump reaches the 256 instructions "
       "after it)"},
      {"(000) ld [vlan_tic]", "1:11: unknown extension 'vlan_tic' (did you mean 'vlan_tci'?)"},
      {"{ 0x28, 0, 0 }", "1:1: 3 fields, an instruction has 4 (code, jt, jf, k)"},
      {"{ 0x28, 0, 0, 12", "1:17: expected '}', not the end of the text"},
      {"{ 0x28, 0, 300, 12 }", "1:12: 300 is not between 0 and 255"},
      {"BPF_STMT(BPF_LD+BPF_WW, 12)", "1:17: unknown name 'BPF_WW' (did you mean 'BPF_W'?)"},
      {"struct sock_filter c[] = { {6,0,0,0} }; struct sock_filter d[] = { {6,0,0,1} };",
       "1:68: a second array of instructions (give one program at a time)"},
      {"[]bpf.Instruction{bpf.LoadAbsolut{Off: 12}}",
       "1:19: unknown instruction 'LoadAbsolut' (did you mean 'LoadAbsolute'?)"},
      {"[]bpf.Instruction{bpf.LoadAbsolute{Of: 12}}", "1:36: LoadAbsolute has no field 'Of' (did you mean 'Off'?)"},
      {"[]bpf.Instruction{bpf.LoadAbsolute{Off: 12}}", "1:35: LoadAbsolute: cannot load 0 bytes at once (1, 2 or 4)"},
      {"[]bpf.Instruction{bpf.Jump{Skip: 1 << 33}}", "1:34: 8589934592 is not between 0 and 4294967295"},
      {"280000000c0000", "1:1: the number is not between 0 and 65535"},
      {"280000000c000000\n28", "2:1: 2 hexadecimal digits, an instruction has 16"},
      {"{\"version\": 2}", "1:13: version 2 is not known (1 is)"},
      {"{\"version\": 1}", "1:15: the object has no \"instructions\""},
      {"{\"instructions\": [[6, 0, 0]]}", "1:19: an instruction has four numbers (code, jt, jf, k)"},
      {"{\"instructions\": [[6, 0, 0, 1, 2]]}", "1:32: an instruction has four numbers (code, jt, jf, k)"},
      {"{\"instructions\": []}", "1:21: the program is empty"},
      {"tc bpf bytecode '1,6 0 0 0", "1:17: the quotation is not closed"},
  };
  for (const auto& [text, message] : kCases) EXPECT_EQ(bytecode(text), message) << text;
}

TEST(Forms, KnowTheirConsumersLimits) {
  std::vector<Instruction> code(65, make(Opcode::kTax));
  const Program program(std::move(code));
  EXPECT_TRUE(fits(program, Format::kBytecode));
  EXPECT_TRUE(fits(program, Format::kTc));
  for (const Format format : {Format::kXtBpf, Format::kIptables}) {
    ASSERT_FALSE(fits(program, format));
    EXPECT_EQ(fits(program, format).error().message, "the program has 65 instructions, xt_bpf takes at most 64");
  }
  EXPECT_FALSE(fits(Program(std::vector<Instruction>(4097)), Format::kTc));
  EXPECT_EQ(find_format("nothing"), nullptr);
  for (const FormatInfo& row : formats()) {
    EXPECT_EQ(find_format(row.name)->format, row.format);
    EXPECT_EQ(info(row.format).name, row.name);
  }
}

}  // namespace
}  // namespace weir::cbpf
