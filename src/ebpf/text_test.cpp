// Text and back: every instruction in both languages, foreign listings, messages with their places.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <unistd.h>

#include <weir/base/render.h>
#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>

namespace weir::ebpf {
namespace {

std::vector<Instruction> code_of(std::string_view text) {
  const Result<Program> program = assemble(text);
  EXPECT_TRUE(program) << render(program.error(), text);
  return program ? program->instructions : std::vector<Instruction>{};
}

TEST(Text, KernelSyntax) {
  const auto one = [](std::string_view text) { return code_of(text).at(0); };
  EXPECT_EQ(one("r1 += 5"), make(0x07, 1, 0, 0, 5));
  EXPECT_EQ(one("w1 s>>= w2"), make(0xcc, 1, 2));
  EXPECT_EQ(one("r1 = -r1"), make(0x87, 1));
  EXPECT_EQ(one("r1=-5"), make(0xb7, 1, 0, 0, -5));
  EXPECT_EQ(one("r1 = (s32)r2"), make(0xbf, 1, 2, 32));
  EXPECT_EQ(one("w1 = (s16)w2"), make(0xbc, 1, 2, 16));
  EXPECT_EQ(one("r1 = be32 r1"), make(0xdc, 1, 0, 0, 32));
  EXPECT_EQ(one("r3 = bswap64 r3"), make(0xd7, 3, 0, 0, 64));
  EXPECT_EQ(one("r1 s/= r2"), make(0x3f, 1, 2, 1));
  EXPECT_EQ(one("r0 = *(u32 *)(r1 + 4)"), make(0x61, 0, 1, 4));
  EXPECT_EQ(one("r0 = *(s8 *)(r1 -4)"), make(0x91, 0, 1, -4));
  EXPECT_EQ(one("w0 = *(u8 *)(r1 + 0)"), make(0x71, 0, 1));
  EXPECT_EQ(one("*(u64*)(r10-8)=r1"), make(0x7b, 10, 1, -8));
  EXPECT_EQ(one("*(u16 *)(r10 - 8) = 0x1234"), make(0x6a, 10, 0, -8, 0x1234));
  EXPECT_EQ(one("r0 = *(u16 *)skb[12]"), make(0x28, 0, 0, 0, 12));
  EXPECT_EQ(one("r0 = *(u16 *)skb[r3 - 2]"), make(0x48, 0, 3, 0, -2));
  EXPECT_EQ(one("lock *(u64 *)(r1 + 8) |= r2"), make(0xdb, 1, 2, 8, 0x40));
  EXPECT_EQ(one("r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)"), make(0xdb, 1, 2, 8, 1));
  EXPECT_EQ(one("r2 = atomic64_fetch_xor((u64 *)(r1 +8), r2)"), make(0xdb, 1, 2, 8, 0xa1));
  EXPECT_EQ(one("w2 = xchg32_32(r1 + 0, w2)"), make(0xc3, 1, 2, 0, 0xe1));
  EXPECT_EQ(one("r2 = atomic64_xchg((u64 *)(r1 +0), r2)"), make(0xdb, 1, 2, 0, 0xe1));
  EXPECT_EQ(one("r0 = cmpxchg_64(r1 - 8, r0, r2)"), make(0xdb, 1, 2, -8, 0xf1));
  EXPECT_EQ(one("r0 = atomic_cmpxchg((u32 *)(r1 - 8), r0, r2)"), make(0xc3, 1, 2, -8, 0xf1));
  EXPECT_EQ(one("if w1 s<= -1 goto +3"), make(0xd6, 1, 0, 3, -1));
  EXPECT_EQ(one("if r1 & r2 goto pc-3"), make(0x4d, 1, 2, -3));
  EXPECT_EQ(one("gotol -100000"), make(0x06, 0, 0, 0, -100000));
  EXPECT_EQ(one("call bpf_ktime_get_ns#5"), make(0x85, 0, 0, 0, 5));
  EXPECT_EQ(one("call bpf_ktime_get_ns"), make(0x85, 0, 0, 0, 5));
  EXPECT_EQ(one("call pc+2"), make(0x85, 0, 1, 0, 2));
  EXPECT_EQ(one("call -0x1"), make(0x85, 0, 1, 0, -1));
  EXPECT_EQ(one("call kernel[id:77,2]"), make(0x85, 0, 2, 2, 77));
  EXPECT_EQ(one("r1 = 0xffffffffffffff80"), make(0xb7, 1, 0, 0, -128));
  EXPECT_EQ(code_of("r1 = -1 ll"), (std::vector{make(0x18, 1, 0, 0, -1), make(0, 0, 0, 0, -1)}));
  EXPECT_EQ(code_of("r1 = map[idx:3][0]+8"), (std::vector{make(0x18, 1, 6, 0, 3), make(0, 0, 0, 0, 8)}));
}

TEST(Text, UbpfSyntax) {
  const auto one = [](std::string_view text) { return code_of(text).at(0); };
  EXPECT_EQ(one("mov %r0, %r2"), make(0xbf, 0, 2));
  EXPECT_EQ(one("add32 r0, -3"), make(0x04, 0, 0, 0, -3));
  EXPECT_EQ(one("mov64 r1, 4"), make(0xb7, 1, 0, 0, 4));
  EXPECT_EQ(one("ldxdw r6, [r1+0x10]"), make(0x79, 6, 1, 16));
  EXPECT_EQ(one("ldxsw r0, [%r10-4]"), make(0x81, 0, 10, -4));
  EXPECT_EQ(one("stxh [r1+2], r2"), make(0x6b, 1, 2, 2));
  EXPECT_EQ(one("stb [r1], 1"), make(0x72, 1, 0, 0, 1));
  EXPECT_EQ(one("jsgt32 r1, -1, +4"), make(0x66, 1, 0, 4, -1));
  EXPECT_EQ(one("ja32 -5"), make(0x06, 0, 0, 0, -5));
  EXPECT_EQ(one("swap16 r2"), make(0xd7, 2, 0, 0, 16));
  EXPECT_EQ(one("le64 r2"), make(0xd4, 2, 0, 0, 64));
  EXPECT_EQ(one("movsx1664 r8, r7"), make(0xbf, 8, 7, 16));
  EXPECT_EQ(one("call 5"), make(0x85, 0, 0, 0, 5));
  EXPECT_EQ(one("call %r2"), make(0x8d, 2));
  EXPECT_EQ(one("lock fetch or32 [r10-8], r1"), make(0xc3, 10, 1, -8, 0x41));
  EXPECT_EQ(one("lock cmpxchg [r10-8], r1"), make(0xdb, 10, 1, -8, 0xf1));
  EXPECT_EQ(one("ldindh r3, -4"), make(0x48, 0, 3, 0, -4));
  EXPECT_EQ(code_of("lddw r1, 0x8000000000000000"), (std::vector{make(0x18, 1), make(0, 0, 0, 0, INT32_MIN)}));
}

// What the table can say, with random fields, survives both languages slot by slot; so does any 8 bytes.
TEST(Text, EverySlotSurvives) {
  std::mt19937_64 random(11);
  for (const Format format : {Format::kKernel, Format::kUbpf, Format::kListing, Format::kC, Format::kHex}) {
    for (int round = 0; round < 4000; ++round) {
      Program program;
      const std::size_t size = 1 + random() % 20;
      for (std::size_t i = 0; i < size; ++i) {
        const OpcodeInfo& row = opcodes()[random() % opcodes().size()];
        Instruction slot = make(row.operation);
        const auto value = static_cast<std::int32_t>(random() >> (random() % 60));
        if (random() % 4 != 0) slot.dst = random() % 11 & 15;
        if (row.selector != Selector::kSource && random() % 2 != 0) slot.src = random() % 11 & 15;
        if (row.selector != Selector::kOffset && random() % 2 != 0)
          slot.offset = static_cast<std::int16_t>(random() % 30 - 15);
        if (row.selector != Selector::kImmediate && random() % 2 != 0)
          slot.immediate = random() % 3 == 0 ? static_cast<std::int32_t>(random() % 20) - 10 : value;
        if (random() % 16 == 0) {
          const std::uint64_t any = random();
          std::memcpy(static_cast<void*>(&slot), &any, 8);
        }
        program.instructions.push_back(slot);
        if (slot.code == kWideCode && random() % 4 != 0)
          program.instructions.push_back(make(0, 0, 0, 0, random() % 2 != 0 ? 0 : value));
      }
      const std::string text = write(program, format);
      const Result<Program> back = read(text);
      ASSERT_TRUE(back) << text << render(back.error(), text);
      ASSERT_EQ(back->instructions, program.instructions) << text;
    }
  }
}

TEST(Text, ProgramsWithNamesSurvive) {
  constexpr std::string_view kText =
      ".program xdp counter\n.license \"GPL\"\n"
      ".map counts, lru_hash, key 4, value 8, entries 16, flags 0x2\n"
      ".map data, array, key 4, value 4, entries 1, contents \"01020304\"\n"
      "func main:\n  r1 = map[counts]\n  r2 = map[data][0]+2\n  r3 = subprog[work]\n  call local work\n  exit\n"
      "func work:\n  if r1 == 0 goto L1\n  call bpf_ktime_get_ns\nL1:\n  exit\n";
  const Result<Program> program = assemble(kText);
  ASSERT_TRUE(program) << render(program.error(), kText);
  const std::string text = write(*program, Format::kKernel);
  EXPECT_EQ(text, kText);
  const Result<Program> back = assemble(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, *program);
  const std::string ubpf = write(*program, Format::kUbpf);
  const Result<Program> again = assemble(ubpf);
  ASSERT_TRUE(again) << ubpf << render(again.error(), ubpf);
  EXPECT_EQ(*again, *program) << ubpf;
}

TEST(Text, ReadsListingsOfOthers) {
  EXPECT_EQ(code_of("; int f() {\n   0: (b7) r0 = 5\n   1: (95) exit\n"),
            (std::vector{make(0xb7, 0, 0, 0, 5), make(0x95)}));
  EXPECT_EQ(code_of("0000000000000000 <f>:\n       0:\tb7 00 00 00 05 00 00 00\tr0 = 5\n"
                    "       1:\t55 00 01 00 00 00 00 00\tif r0 != 0 goto +1 <LBB0_1>\n"
                    "       2:\t18 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00\tr1 = 0 ll\n"
                    "       4:\t95 00 00 00 00 00 00 00\texit\n"),
            (std::vector{make(0xb7, 0, 0, 0, 5), make(0x55, 0, 0, 1), make(0x18, 1), make(0), make(0x95)}));
  EXPECT_EQ(code_of("\t.text\n\t.globl\tf\n\t.p2align\t3\n\t.type\tf,@function\nf:\n\tr0 = "
                    "1\n\texit\n.Lend:\n\t.size\tf, .Lend-f\n"),
            (std::vector{make(0xb7, 0, 0, 0, 1), make(0x95)}));
}

TEST(Text, ReadsLogsOfTheVerifier) {
  const std::vector<Instruction> code = {
      make(0x18, 1, 0, 0, 5), make(0, 0, 0, 0, 1), make(0x15, 1, 0, 2), make(0xb7, 0, 0, 0, 1), make(0x95),
      make(0xb7, 0, 0, 0, 2), make(0x95)};
  constexpr std::string_view kOnce =
      "func#0 @0\n0: R1=ctx() R10=fp0\n; int x = 5; @ a.c:3\n"
      "0: (18) r1 = 0x100000005         ; R1_w=0x100000005\n"
      "2: (15) if r1 == 0x0 goto pc+2   ; frame1: R1_w=0x100000005\n"
      "5: (b7) r0 = 2\n6: (95) exit\nmark_precise: frame0: last_idx 6 first_idx 0\n"
      "\nfrom 2 to 3: R1=0 R10=fp0\n3: (b7) r0 = 1 ; R0=1 refs=2\n4: (95) exit\n"
      "\nfrom 4 to 6: safe\nR0 !read_ok\n"
      "processed 6 insns (limit 1000000) max_states_per_insn 0\n";
  EXPECT_EQ(code_of(kOnce), code);
  constexpr std::string_view kLive =
      "Live regs before insn:\n      0: .......... (18) r1 = 0x100000005\n"
      "      2: .1........ (15) if r1 == 0x0 goto pc+2\n"
      "      3: .......... (b7) r0 = 1\n      4: 0......... (95) exit\n"
      "      5: .......... (b7) r0 = 2\n      6: 0......... (95) exit\n";
  EXPECT_EQ(code_of(std::string(kLive) + std::string(kOnce)), code);
  EXPECT_EQ(code_of("int prog(struct xdp_md * ctx):\n; return f(2);\n   0: (85) call pc+1#bpf_prog_6deef7357e7b4530_f\n"
                    "       85 10 00 00 01 00 00 00\n   1: (95) exit\nint f(int a):\n   2: (95) exit\n"),
            (std::vector{make(0x85, 0, 1, 0, 1), make(0x95), make(0x95)}));
  EXPECT_EQ(code_of("\np.o:\tfile format elf64-bpf\n\nDisassembly of section xdp:\n\n0000000000000000 <p>:\n"
                    "       0:\tb7 00 00 00 02 00 00 00\tr0 = 2\n       1:\t95 00 00 00 00 00 00 00\texit\n"),
            (std::vector{make(0xb7, 0, 0, 0, 2), make(0x95)}));
}

// Words of the languages, names of registers and of helpers are good names of functions.
TEST(Text, AnyWordIsAFunctionsName) {
  Program program;
  program.maps.push_back({.name = "lock", .type = MapType::kArray, .key_size = 4, .value_size = 8, .max_entries = 1});
  for (const char* name :
       {"add", "sub",      "exit", "lock",  "if", "goto", "func",  "call", "r1", "w3",   "be16", "map",
        "pc",  "bpf_loop", "loop", "local", "fp", ".map", ".data", ".L1",  "L1", "safe", "R1",   "ll"}) {
    program.functions.push_back({name, static_cast<std::uint32_t>(program.size())});
    program.map_references.push_back({static_cast<std::uint32_t>(program.size()), 0});
    program.instructions.push_back(make(0x18, 1, kPseudoMapDescriptor));
    program.instructions.push_back(make(0));
    program.instructions.push_back(make(0x85, 0, 1, 0, 1));    // call local, the next function or the exit
    program.instructions.push_back(make(0x85, 0, 0, 0, 181));  // call bpf_loop
    const auto back = -static_cast<std::int32_t>(program.size()) - 1;
    program.instructions.push_back(make(0x05, 0, 0, back));
    program.instructions.push_back(make(0x18, 2, kPseudoFunction, 0, -6));
    program.instructions.push_back(make(0));
  }
  program.instructions.push_back(make(0x95));
  program.instructions.push_back(make(0x95));
  for (const Format format : {Format::kKernel, Format::kUbpf}) {
    const std::string text = write(program, format);
    const Result<Program> back = assemble(text);
    ASSERT_TRUE(back) << render(back.error(), text);
    EXPECT_EQ(*back, program) << text;
  }
  const std::string listing = write(program, Format::kListing);
  const Result<Program> back = assemble(listing);
  ASSERT_TRUE(back) << render(back.error(), listing);
  EXPECT_EQ(back->instructions, program.instructions) << listing;
  EXPECT_EQ(back->maps, program.maps);
  EXPECT_EQ(back->map_references, program.map_references);
}

TEST(Text, SkipsDataThatNoInstructionNeeds) {
  constexpr std::string_view kText =
      "\t.text\n\t.file\t0 \"/a\" \"b.c\" md5 0x7dfce19ede64c6f6241df616296bad5f\n"
      "\t.section\tcgroup_skb/egress,\"ax\",@progbits\n\t.globl\tf\nf:\n\tr0 = 1\n\texit\n"
      "\t.section\t.rodata.str1.1,\"aMS\",@progbits,1\n.L.str:\n\t.asciz\t\"a \\\"b\\\" \\001\"\n\t.data\nv:\n"
      "\t.long\t5\n\t.quad\tv\n\t.local\tz\n\t.comm\tz,4,4\n"
      "\t.section\tlicense,\"aw\",@progbits\n_license:\n\t.asciz\t\"GPL\"\n\t.size\t_license, 4\n"
      "\t.section\t.debug_info,\"\",@progbits\n.Lcu:\n\t.long\t.Lb-.Lcu\n\t.byte\t1\n\t.uleb128\t17\n.Lb:\n"
      "\t.addrsig\n\t.addrsig_sym f\n";
  const Result<Program> program = assemble(kText);
  ASSERT_TRUE(program) << render(program.error(), kText);
  EXPECT_EQ(program->instructions, (std::vector{make(0xb7, 0, 0, 0, 1), make(0x95)}));
  EXPECT_EQ(program->license, "GPL");
}

TEST(Text, ReadsWhatClangWrites) {
  if (std::system("clang -target bpf --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no clang for BPF";
  const std::string folder = testing::TempDir() + "weir" + std::to_string(getpid());
  std::ofstream(folder + "weir_text.c")
      << "typedef unsigned long u; static int a[4];\n"
         "u f(u *p, u n, int k) { u s = 0; for (u i = 0; i < n; i++) s += p[i] ^ (s >> 3);\n"
         "  if (k < 3 && s > 0x123456789) s = __sync_fetch_and_add(p, s);\n"
         "  return s * (unsigned short)k / (n | 1); }\n";
  for (const char* cpu : {"v1", "v2", "v3"}) {
    const std::string base = "clang -O2 -target bpf -mcpu=" + std::string(cpu) + " " + folder + "weir_text.c ";
    ASSERT_EQ(std::system((base + "-S -o " + folder + "weir_text.s").c_str()), 0);
    ASSERT_EQ(std::system((base + "-c -o " + folder + "weir_text.o && llvm-objcopy -O binary -j .text " + folder +
                           "weir_text.o " + folder + "weir_text.bin")
                              .c_str()),
              0);
    std::ifstream source(folder + "weir_text.s");
    std::ifstream binary(folder + "weir_text.bin", std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(source)), {});
    const std::string bytes((std::istreambuf_iterator<char>(binary)), {});
    const Result<Program> ours = assemble(text);
    ASSERT_TRUE(ours) << render(ours.error(), text);
    const std::vector<std::uint8_t> made = to_bytes(*ours);
    EXPECT_EQ(std::string(made.begin(), made.end()), bytes) << cpu;
  }
}

struct Complaint {
  std::string_view text;
  std::string_view message;  // "line:column: message"
};

TEST(Text, SaysWhatIsWrongAndWhere) {
  constexpr Complaint kCases[] = {
      {"", "1:1: the text holds no instruction"},
      {"r0 = 0\nexti", "2:1: unknown instruction 'exti' (did you mean 'exit'?)"},
      {"r11 = 0", "1:1: there is no register r11 (registers are r0 to r10, or w0 to w10)"},
      {"r0 = r11", "1:6: there is no register r11 (registers are r0 to r10, or w0 to w10)"},
      {"r0 += w12", "1:7: there is no register w12 (registers are r0 to r10, or w0 to w10)"},
      {"r0 = be24 r0", "1:6: 'be24' is no byte order (there are be16, be32 and be64)"},
      {"r0 = 4294967295",
       "1:6: the sign of the constant is extended: 4294967295 would become -1 (load it with 'r1 = N ll' first; write "
       "0x... when the 32 bits are meant)"},
      {"jeq r0, 2147483648, +1",
       "1:9: the sign of the constant is extended: 2147483648 would become -2147483648 (load it with 'r1 = N ll' "
       "first; write 0x... when the 32 bits are meant)"},
      {"r0 = 0x1ffffffff", "1:6: the number does not fit into 32 bits (load it with 'r1 = N ll' first)"},
      {"r0 += w1", "1:7: both registers must have the same width (write 'r' for 'w')"},
      {"r0 = *(u33 *)(r1 + 0)", "1:8: 'u33' is no type here (types are u8 u16 u32 u64 and s8 s16 s32)"},
      {"r0 = *(u32 *)(r1 + 40000)", "1:18: the offset does not fit into 16 bits (add to the register first)"},
      {"if r0 = 5 goto +1", "1:7: '=' is not a comparison (comparisons are == != > >= < <= & and s> s>= s< s<=)"},
      {"if r0 == 5 goto done\ndoen: exit", "1:17: there is no label 'done' (did you mean 'doen'?)"},
      {"a: exit\na: exit", "2:1: label 'a' is defined twice"},
      {"call bpf_map_lookup_elm",
       "1:6: there is no helper or function 'bpf_map_lookup_elm' (did you mean 'map_lookup_elem'?)"},
      {"stw [r1+0], r2", "1:13: 'stw' stores a constant (a register is stored by 'stxw')"},
      {"exit exit", "1:6: expected the end of the line, not 'exit'"},
      {"r0 = 5 /* ", "1:8: comment without end (close it with */)"},
      {"r0 = 99999999999999999999", "1:6: the number does not fit into 64 bits"},
      {".map m, hsh, key 4", "1:9: unknown kind of map 'hsh' (did you mean 'hash'?)"},
      {".map m, hash, size 4", "1:15: maps have no 'size'"},
      {".map m, hash, key 4, value 4, entries 1\n.map m, hash\nexit", "2:6: map 'm' is defined twice"},
      {".map m, hash, key 4\nexit",
       "1:6: map 'm' needs 'value' and 'entries' (.map m, hash, key N, value N, entries N)"},
      {".map m, ringbuf\nexit", "1:6: map 'm' needs 'entries' (.map m, ringbuf, key N, value N, entries N)"},
      {"0: (b7) r1 = 5\n1: (95) call 5", "2:9: the listing says that the code is 0x95; this is 0x85"},
      {"0: (b7) r0 = 5\n2: (95) exit",
       "2:9: the listing goes from instruction 0 to 2 (what is between is missing: a verifier's log shows only what it "
       "went through)"},
      {"0: (b7) r0 = 5\n0: (95) exit", "2:9: the listing has two instructions with the number 0"},
      {"0: (18) r0 = 5\n1: (95) exit", "2:9: instruction 1 is in the middle of the 64-bit constant before it"},
      {"0: (18) r1 = map[id:5]",
       "1:18: a map of the running kernel, by its number there, is nothing that a program can hold (declare it with "
       ".map and write map[NAME], or give a descriptor with map[fd:N])"},
      {"Disassembly of section a:\n 0:\t95 00 00 00 00 00 00 00\texit\nDisassembly of section b:\n",
       "3:1: the listing holds a second section (take one: llvm-objdump -d --section=NAME, or read the object itself)"},
      {" 0:\t85 10 00 00 ff ff ff ff\tcall -1",
       "1:29: the listing does not say which function is called (read the object itself)"},
      {"R1 = 5", "1:1: unknown instruction 'R1'"},
      {"f:\nr1 = v ll\nexit\n.data\nv:\n.long 5",
       "2:6: 'v' is a variable, and text has none (compile into an object (clang -c), or keep it in a map)"},
      {"f:\nr1 = m ll\nexit\n.section .maps,\"aw\",@progbits\nm:\n.zero 24",
       "2:6: what map 'm' is like is not in this text (compile into an object (clang -c), or declare it with .map)"},
      {"r0 = 1\nexit\n.section xdp,\"ax\",@progbits\nexit",
       "4:1: instructions in two sections, '.text' and 'xdp' (a text is one program: compile into an object (clang -c) "
       "instead)"},
      {".data\nv: .long 5\nexit", "3:1: an instruction in section '.data', which holds data (write .text before it)"},
      {"r0 = cmpxchg_64(r1 + 0, r2, r3)", "1:25: cmpxchg compares with r0 and gives its result in r0"},
      {"lock nand [r1], r2",
       "1:6: 'nand' is no atomic operation (there are add, or, and, xor (each also after 'fetch'), xchg "
       "and cmpxchg, with 32 or without)"},
      {"r0 = \x01", "1:6: unexpected byte 0x01"},
      {"goto 40000", "1:6: the distance does not fit into 16 bits (write 'gotol')"},
  };
  for (const Complaint& each : kCases) {
    const Result<Program> program = assemble(each.text);
    ASSERT_FALSE(program) << each.text;
    EXPECT_EQ(one_line(program.error(), each.text), each.message) << each.text;
  }
}

// As Linux 6.18 and LLVM 20 write them, and as we do.
TEST(Text, WhatCameAfterTheStandard) {
  const struct {
    const char* text;
    Instruction slot;
    const char* kernel;
    const char* ubpf;
  } cases[] = {
      {"r1 = load_acquire((u8 *)(r2 +0))", make(0xd3, 1, 2, 0, 0x100), "r1 = load_acquire((u8 *)(r2 + 0))",
       "ldacqb r1, [r2]"},
      {"w1 = load_acquire((u16 *)(r2 - 2))", make(0xcb, 1, 2, -2, 0x100), "r1 = load_acquire((u16 *)(r2 - 2))",
       "ldacqh r1, [r2-2]"},
      {"r1 = load_acquire((u32 *)(r10 -4))", make(0xc3, 1, 10, -4, 0x100), "r1 = load_acquire((u32 *)(r10 - 4))",
       "ldacqw r1, [r10-4]"},
      {"r1 = load_acquire((u64 *)(r2 + 8))", make(0xdb, 1, 2, 8, 0x100), "r1 = load_acquire((u64 *)(r2 + 8))",
       "ldacqdw r1, [r2+8]"},
      {"store_release((u8 *)(r1 +0), r2)", make(0xd3, 1, 2, 0, 0x110), "store_release((u8 *)(r1 + 0), r2)",
       "strelb [r1], r2"},
      {"store_release((u16 *)(r1 +2), w2)", make(0xcb, 1, 2, 2, 0x110), "store_release((u16 *)(r1 + 2), r2)",
       "strelh [r1+2], r2"},
      {"store_release((u32 *)(r1 +4), r2)", make(0xc3, 1, 2, 4, 0x110), "store_release((u32 *)(r1 + 4), r2)",
       "strelw [r1+4], r2"},
      {"store_release((u64 *)(r10 -8), r2)", make(0xdb, 10, 2, -8, 0x110), "store_release((u64 *)(r10 - 8), r2)",
       "streldw [r10-8], r2"},
      {"0: (e5) may_goto pc+2", make(0xe5, 0, 0, 2, 0), "may_goto +2", "may_goto +2"},
      {"r1 = addr_space_cast(r2, 0, 1)", make(0xbf, 1, 2, 1, 1), "r1 = addr_space_cast(r2, 0, 1)",
       "addr_space_cast r1, r2, 0, 1"},
      {"r3 = addr_space_cast(r3, 65535, 0)", make(0xbf, 3, 3, 1, static_cast<std::int32_t>(0xffff0000)),
       "r3 = addr_space_cast(r3, 65535, 0)", "addr_space_cast r3, r3, 65535, 0"},
  };
  for (const auto& each : cases) {
    const Result<Program> program = read(each.text);
    ASSERT_TRUE(program) << each.text << program.error().message;
    EXPECT_EQ(program->instructions, std::vector{each.slot}) << each.text;
    EXPECT_EQ(write_instruction(each.slot, {}), each.kernel);
    EXPECT_EQ(write_instruction(each.slot, {}, Format::kUbpf), each.ubpf);
    EXPECT_EQ(assemble(each.kernel).value().instructions, std::vector{each.slot});
    EXPECT_EQ(assemble(each.ubpf).value().instructions, std::vector{each.slot});
  }
  EXPECT_EQ(assemble("a: may_goto b\ngoto a\nb: exit").value().instructions[0], make(0xe5, 0, 0, 1, 0));
  EXPECT_EQ(assemble("func store_release:\nmay_goto store_release").value().instructions[0], make(0xe5, 0, 0, -1, 0));
  // What Linux's verifier adds is no instruction of the set, and comes back whole.
  const Instruction extension = make(0xbc, 3, 3, 0, 1);
  EXPECT_EQ(write_instruction(extension, {}), "w3 = w3 zext");
  EXPECT_EQ(assemble("w3 = w3 zext\nw3 = w3").value().instructions, (std::vector{extension, make(0xbc, 3, 3, 0, 0)}));
  EXPECT_EQ(assemble(write_instruction(extension, {}, Format::kUbpf)).value().instructions, std::vector{extension});
  EXPECT_EQ(write_instruction(make(0xbc, 3, 2, 0, 1), {}), ".raw 0xbc, 3, 2, 0, 0x1");
  const Complaint complaints[] = {
      {"w1 = w2 zext", "1:9: a register is extended in its place"},
      {"w1 = load_acquire((u64 *)(r2 + 0))", "1:1: this load needs a 64-bit register (write 'r' for 'w')"},
      {"r1 = load_acquire((s8 *)(r2 + 0))", "1:20: 's8' is no type here (types are u8 u16 u32 u64)"},
      {"store_release((u64 *)(r1 + 0), w2)", "1:32: a store of 8 bytes needs a 64-bit register (write 'r' for 'w')"},
      {"store_release((u64 *)(r1 + 0), 5)", "1:32: expected a register, not '5' (registers are r0 to r10)"},
      {"may_goto 40000", "1:10: the distance does not fit into 16 bits"},
      {"r1 = addr_space_cast(r2, 0, 65536)",
       "1:29: an address space is a number from 0 to 65535 (0 is the kernel's, 1 that of arenas)"},
      {"w1 = addr_space_cast(r2, 0, 1)", "1:1: an address needs a 64-bit register (write 'r' for 'w')"},
  };
  for (const Complaint& each : complaints)
    EXPECT_EQ(one_line(assemble(each.text).error(), each.text), each.message) << each.text;
}

TEST(Text, NumbersInAndOut) {
  EXPECT_EQ(read("b7000000 05000000 9500000000000000").value().instructions,
            (std::vector{make(0xb7, 0, 0, 0, 5), make(0x95)}));
  EXPECT_EQ(read("{ 0xb7, 0, 0, 0, 5 },\n{ 0x95, 0, 0, 0, 0 },\n").value().instructions,
            (std::vector{make(0xb7, 0, 0, 0, 5), make(0x95)}));
  EXPECT_EQ(one_line(read("b700").error(), "b700"),
            "1:5: 4 hexadecimal digits are not a whole number of slots (a slot has 16 digits)");
  const Program program{.instructions = {make(0x61, 1, 2, -2, 0x01020304)}};
  EXPECT_EQ(from_bytes(to_bytes(program, std::endian::big), std::endian::big).value(), program);
  EXPECT_EQ(to_bytes(program, std::endian::big), (std::vector<std::uint8_t>{0x61, 0x12, 0xff, 0xfe, 1, 2, 3, 4}));
  EXPECT_FALSE(from_bytes(ByteSpan(reinterpret_cast<const std::uint8_t*>("abc"), 3)));
}

TEST(Text, NothingCrashesIt) {
  std::mt19937_64 random(3);
  constexpr std::string_view kParts[] = {
      "r0",        " = ",      "*(",  "u32 *)",   "(r1 + ", "4",     ")",        "if ",  "goto ",  "lock ", "[", "]",
      "call ",     "map[",     "fd:", "ll",       "\n",     ";",     ".map ",    "x",    ":",      ",",     "-", "+",
      "0x",        "%",        "s>",  "exit",     "lddw ",  "func ", "\"",       "#",    "skb",    "<",     ">", "w3",
      "12: (b7) ", "0: (18) ", "1: ", "R1=ctx()", "from 1", ".data", ".section", "(95)", "func#0", "):"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (std::size_t i = random() % 14; i > 0; --i) text += kParts[random() % std::size(kParts)];
    const Result<Program> program = read(text);
    if (program) {
      const Result<Program> back = assemble(write(*program, Format::kKernel));
      ASSERT_TRUE(back) << text;
      ASSERT_EQ(back->instructions, program->instructions) << text;
    } else {
      const auto* span = std::get_if<Span>(&program.error().place);
      ASSERT_NE(span, nullptr) << text << program.error().message;
      ASSERT_LE(span->end, text.size()) << text;
      ASSERT_LE(span->begin, span->end) << text;
    }
  }
}

}  // namespace
}  // namespace weir::ebpf
