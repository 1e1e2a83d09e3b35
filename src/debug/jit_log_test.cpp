// Logs of compiled programs: forms of all ages, mixed, cut, damaged. Machine code: the forms that objdump prints.
#include <weir/debug/jit_log.h>

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <weir/base/render.h>
#include <weir/debug/machine_code.h>

namespace weir::debug {
namespace {

constexpr std::string_view kLog =
    "[ 3389.935842] flen=6 proglen=20 pass=3 image=ffffffffa0069c8f\n"
    "[ 3389.935847] JIT code: 00000000: 55 48 89 e5 48 83 ec 60 48 89 5d f8 44 8b 4f 68\n"
    "[ 3389.935852] JIT code: 00000010: eb 02 31 c0\n";

Result<std::vector<JitImage>> read(std::string text) { return read_jit_log(text); }

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, what.size(), with);
}

TEST(JitLog, ReadsTheDocumentedForm) {
  const auto images = read(std::string(kLog));
  ASSERT_TRUE(images);
  ASSERT_EQ(images->size(), 1u);
  const JitImage& image = images->front();
  EXPECT_EQ(image.address, 0xffffffffa0069c8f);
  EXPECT_EQ(image.code.size(), 20u);
  EXPECT_EQ(image.code.back(), 0xc0);
  EXPECT_EQ(heading(image), "20 bytes emitted from JIT compiler (pass:3, flen:6)\nffffffffa0069c8f + <x>:\n");
}

TEST(JitLog, ReadsNewerAndOlderForms) {
  const auto from = read(replaced(std::string(kLog), "9c8f\n", "9c8f from=tcpdump pid=20734\n"));
  ASSERT_TRUE(from);
  EXPECT_EQ(from->front().from, "tcpdump");
  const auto hidden = read(replaced(std::string(kLog), "ffffffffa0069c8f", "(____ptrval____)"));
  ASSERT_TRUE(hidden);
  EXPECT_EQ(hidden->front().address, 0u);
  std::string addresses = replaced(std::string(kLog), "00000000:", "ffffffffa0069c8f:");
  addresses = replaced(addresses, "00000010:", "ffffffffa0069c9f:");
  EXPECT_TRUE(read(addresses));
  std::string bare = "flen=6 proglen=2 pass=1 image=00000000abcdef01\nJIT code: 00000000: c9 c3\n";
  EXPECT_TRUE(read(bare));
  EXPECT_TRUE(read("Nov 21 host kernel: [ 1.0] " + bare));
  EXPECT_TRUE(read("<6>" + bare));
}

TEST(JitLog, OtherLinesAndOtherDumpsMayStandBetween) {
  const auto images = read(
      "noise flen\n"
      "JIT code: 00000010: 11 22\n"
      "flen=1 proglen=18 pass=1 image=aa\n"
      "usb 1-1: new device\n"
      "flen=2 proglen=17 pass=1 image=bb\n"
      "JIT code: 00000000: 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01\n"
      "JIT code: 00000000: 02 02 02 02 02 02 02 02 02 02 02 02 02 02 02 02\n"
      "eth0: link up\n"
      "JIT code: 00000010: 01 01\n"
      "JIT code: 00000010: 02\n");
  ASSERT_TRUE(images) << images.error().message;
  ASSERT_EQ(images->size(), 2u);
  EXPECT_EQ((*images)[0].code, std::vector<std::uint8_t>(18, 1));
  EXPECT_EQ((*images)[1].code, std::vector<std::uint8_t>(17, 2));
}

TEST(JitLog, DamageIsAnErrorWithItsPlace) {
  const std::string log(kLog);
  const std::pair<std::string, const char*> cases[] = {
      {"", "no program was found in the log"},
      {"nothing here\n", "no program was found in the log"},
      {log.substr(0, log.find("[ 3389.935847]")), "the log holds 0 of the program's 20 bytes"},
      {log.substr(0, log.find("[ 3389.935852]")), "the log holds 16 of the program's 20 bytes"},
      {log.substr(0, log.size() - 2), "this is not a byte in hexadecimal"},
      {replaced(log, "5d f8", "5g f8"), "this is not a byte in hexadecimal"},
      {replaced(log, "31 c0", "31 c0 c3"), "more than the 20 bytes announced"},
      {replaced(log, "proglen=20", "proglen=4000000"), "a program of 4000000 bytes is too long"},
      {replaced(log, "proglen=20", "proglen=-1"), "'-1' is not a length"},
      {replaced(log, "proglen=20", "proglen=0"), "a program of 0 bytes"},
      {replaced(log, "pass=3 ", ""), "this line should have flen=, proglen=, pass= and image="},
      {replaced(log, "00000010:", "00000020:"), "no program waits for bytes at 0x20"},
      {replaced(log, "00000010:", "zz:"), "this is not an offset"},
  };
  for (const auto& [text, message] : cases) {
    const auto images = read(text);
    ASSERT_FALSE(images) << text;
    EXPECT_EQ(images.error().message, message) << text;
    const auto* span = std::get_if<Span>(&images.error().place);
    EXPECT_TRUE(span == nullptr || span->end <= text.size());
    EXPECT_FALSE(render(images.error(), text).empty());
  }
}

// The kernel's buffer is a ring, and loses lines.
TEST(JitLog, WholeDumpsAreReadBesideDamagedOnes) {
  const std::string log(kLog);
  const std::string cut = log.substr(0, log.find("[ 3389.935852]"));
  const auto bytes = read(log)->front().code;
  for (const std::string& text : {cut + log, replaced(log, "5d f8", "5g f8") + log, "flen=6 image=\n" + log,
                                  cut + log + "[ 3390.1] JIT code: 00000000: 01 02\n"}) {
    EXPECT_FALSE(read(text)) << text;
    Warnings left_out;
    const auto images = read_jit_log(text, &left_out);
    ASSERT_TRUE(images) << text;
    ASSERT_EQ(images->size(), 1u) << text;
    EXPECT_EQ(images->front().code, bytes) << text;
    ASSERT_EQ(left_out.size(), 1u) << text;
    EXPECT_EQ(left_out.front().severity, Severity::kWarning);
    EXPECT_EQ(std::get<Span>(left_out.front().place).begin / cut.size(), 0u) << text;
    const auto last = read_last_jit_dump(text);
    ASSERT_TRUE(last) << text;
    EXPECT_EQ(last->code, bytes) << text;
  }
  Warnings left_out;
  EXPECT_EQ(read_jit_log(log + cut, &left_out)->size(), 1u);
  EXPECT_EQ(left_out.size(), 1u);
  EXPECT_EQ(read_last_jit_dump(log + cut).error().message, "the log holds 16 of the program's 20 bytes");
  EXPECT_EQ(read_jit_log(cut, &left_out).error().message, "the log holds 16 of the program's 20 bytes");
  EXPECT_EQ(read_last_jit_dump("").error().message, "no program was found in the log");
}

// A dump of `length` bytes that all are `byte`: its header, then its lines.
std::vector<std::string> dump_lines(unsigned length, unsigned byte) {
  std::vector<std::string> lines = {fmt::format("flen=1 proglen={} pass=1 image={:x}\n", length, 0xa0 + byte)};
  for (unsigned at = 0; at < length; at += 16) {
    lines.push_back(fmt::format("JIT code: {:08x}:", at));
    for (unsigned i = at; i < std::min(at + 16, length); ++i) lines.back() += fmt::format(" {:02x}", byte);
    lines.back() += '\n';
  }
  return lines;
}

// Whatever is lost, no program has another's code.
TEST(JitLog, MixedDumpsInADamagedLogAreLeftOut) {
  const auto a = dump_lines(20, 1);
  const auto b = dump_lines(20, 2);
  const auto c = dump_lines(18, 3);
  const std::string cut =
      "flen=9 proglen=40 pass=1 image=cc\n"
      "JIT code: 00000000: 09 09 09 09 09 09 09 09 09 09 09 09 09 09 09 09\n";
  const std::string whole = c[0] + c[1] + c[2];
  struct Case {
    std::string mixed;
    std::size_t damaged;
  };
  const Case cases[] = {
      {a[0] + b[0] + a[1] + b[1] + a[2] + b[2], 2},  // a line stands twice behind the second header
      {a[0] + b[0] + a[1] + a[2], 2},                // the lines may be those of either
      {a[0] + a[1] + b[0] + b[1] + a[2] + b[2], 2},
      {a[0] + a[1] + b[0] + a[2] + b[1] + b[2], 2},
      {a[0] + a[1] + b[0] + a[2] + b[1], 2},
      {b[0] + a[1] + b[1] + a[2] + b[2], 1},
      {b[0] + b[1] + a[2] + b[2], 1},
  };
  for (const Case& one : cases) {
    for (const std::string& text : {cut + whole + one.mixed, cut + one.mixed + whole, one.mixed + whole + cut}) {
      Warnings left_out;
      const auto images = read_jit_log(text, &left_out);
      ASSERT_TRUE(images) << text;
      ASSERT_EQ(images->size(), 1u) << text;
      EXPECT_EQ(images->front().code, std::vector<std::uint8_t>(18, 3)) << text;
      EXPECT_EQ(left_out.size(), 1 + one.damaged) << text;
    }
    EXPECT_FALSE(read_last_jit_dump(cut + one.mixed)) << one.mixed;
    Warnings left_out;
    EXPECT_FALSE(read_jit_log(cut + one.mixed, &left_out)) << one.mixed;
    EXPECT_TRUE(left_out.empty());
  }
  const auto last = read_last_jit_dump(cut + a[0] + b[0] + a[1] + b[1] + a[2] + b[2]);
  EXPECT_EQ(last.error().message, "the code of this program cannot be told from another's");
  // Of another shape, a line is not the dump's own.
  Warnings left_out;
  const auto images = read_jit_log(cut + a[0] + a[1] + a[2] + c[2] + b[0] + c[0] + dump_lines(2, 7)[1], &left_out);
  ASSERT_TRUE(images);
  ASSERT_EQ(images->size(), 1u);
  EXPECT_EQ(images->front().code, std::vector<std::uint8_t>(20, 1));
}

// In all orders, behind a dump that is cut short.
TEST(JitLog, NoProgramHasAnothersCode) {
  const unsigned lengths[][3] = {{20, 20, 20}, {18, 20, 36}, {36, 20, 20}, {32, 16, 32}, {40, 40, 40}};
  for (const auto& length : lengths) {
    std::vector<std::string> lines[3];
    std::vector<unsigned> order;
    for (unsigned i = 0; i < 3; ++i) {
      lines[i] = dump_lines(length[i], i + 1);
      order.insert(order.end(), lines[i].size(), i);
    }
    do {
      std::string text =
          "flen=9 proglen=40 pass=1 image=a9\n"
          "JIT code: 00000000: 09 09 09 09 09 09 09 09 09 09 09 09 09 09 09 09\n";
      std::size_t next[3] = {};
      for (const unsigned i : order) text += lines[i][next[i]++];
      Warnings left_out;
      const auto images = read_jit_log(text, &left_out);
      if (!images) continue;
      EXPECT_EQ(images->size() + left_out.size(), 4u);
      for (const JitImage& image : *images)
        for (const std::uint8_t byte : image.code) ASSERT_EQ(byte, image.address - 0xa0) << text;
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST(JitLog, ManyDamagedDumpsAreFewWarnings) {
  std::string many;
  for (int i = 0; i < 100000; ++i) many += "flen=9 proglen=40 pass=1 image=ffffffffa0060000\n";
  std::string lines;
  for (int i = 0; i < 100000; ++i) lines += "JIT code: 00000010: 90\n";
  const std::string whole = "flen=1 proglen=2 pass=1 image=aa\nJIT code: 00000000: c9 c3\n";
  for (const std::string& text : {many + whole, whole + many, many + lines + whole}) {
    Warnings left_out;
    const auto images = read_jit_log(text, &left_out);
    ASSERT_TRUE(images);
    EXPECT_EQ(images->size(), 1u);
    ASSERT_EQ(left_out.size(), 6u);
    EXPECT_EQ(left_out[0].message, "the log holds 0 of the program's 40 bytes");
    EXPECT_EQ(left_out[5].message, "and 99995 more left out");
    EXPECT_FALSE(render(left_out[5], text).empty());
  }
}

// The short form of the fuzzer.
TEST(JitLog, AnyTextIsReadOrRefused) {
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text(kLog);
    for (auto n = random() % 6; n > 0 && !text.empty(); --n) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 20); break;
        case 2: text.insert(at, text.substr(random() % text.size(), random() % 80)); break;
        default: text.resize(at); break;
      }
    }
    Warnings left_out;
    const auto images = read_jit_log(text, &left_out);
    const auto last = read_last_jit_dump(text);
    EXPECT_TRUE(!last || last->code.size() >= 1);
    if (!images) {
      EXPECT_FALSE(images.error().message.empty());
      continue;
    }
    for (const JitImage& image : *images) {
      std::uint64_t size = 0;
      for (const MachineInstruction& instruction : disassemble(image.code)) size += instruction.size;
      ASSERT_EQ(size, image.code.size());
    }
  }
}

std::string text_of(std::initializer_list<std::uint8_t> bytes, std::uint64_t address = 0) {
  const std::vector<std::uint8_t> code(bytes);
  std::string out;
  for (const MachineInstruction& one : disassemble(code, {.processor = Processor::kX86_64, .address = address}))
    out += (out.empty() ? "" : "; ") + one.text;
  return out;
}

TEST(MachineCode, LooksAsObjdumpPrintsIt) {
  EXPECT_EQ(text_of({0x55}), "push   %rbp");
  EXPECT_EQ(text_of({0x44, 0x8b, 0x4f, 0x68}), "mov    0x68(%rdi),%r9d");
  EXPECT_EQ(text_of({0xc7, 0x45, 0xf0, 0, 0, 0, 0}), "movl   $0x0,-0x10(%rbp)");
  EXPECT_EQ(text_of({0x83, 0xe8, 0xff}), "sub    $0xffffffff,%eax");
  EXPECT_EQ(text_of({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}), "movabs $0x807060504030201,%rax");
  EXPECT_EQ(text_of({0x48, 0x0f, 0xb6, 0x47, 0x10}), "movzbq 0x10(%rdi),%rax");
  EXPECT_EQ(text_of({0x48, 0x98}), "cltq");
  EXPECT_EQ(text_of({0x75, 0x16}, 0x2a), "jne    0x00000042");
  EXPECT_EQ(text_of({0xe8, 0x1d, 0x94, 0xff, 0xe0}, 0x20), "call   0xffffffffe0ff9442");
  EXPECT_EQ(text_of({0xff, 0x24, 0xc5, 0, 0, 0, 0}), "jmp    *0x0(,%rax,8)");
  EXPECT_EQ(text_of({0x66, 0xc1, 0xc8, 8}), "ror    $0x8,%ax");
  EXPECT_EQ(text_of({0xd1, 0xe0}), "shl    %eax");
  EXPECT_EQ(text_of({0x0f, 0x1f, 0x44, 0, 0}), "nopl   0x0(%rax,%rax,1)");
  EXPECT_EQ(text_of({0x66, 0x90}), "xchg   %ax,%ax");
  EXPECT_EQ(text_of({0xf3, 0xc3}), "repz ret");
  EXPECT_EQ(text_of({0x62, 0xe2, 0x7d, 0x48, 0x58, 0x2d, 0x07, 0x02, 0, 0}, 0x2f),
            "vpbroadcastd 0x207(%rip),%zmm21        # 0x240");
  EXPECT_EQ(text_of({0x62, 0xd2, 0x7d, 0x49, 0x90, 0x5c, 0x28, 0x03}), "vpgatherdd 0xc(%r8,%zmm5,1),%zmm3{%k1}");
  EXPECT_EQ(text_of({0x62, 0xf1, 0x7e, 0x48, 0x7f, 0x3c, 0x96}), "vmovdqu32 %zmm7,(%rsi,%rdx,4)");
  EXPECT_EQ(text_of({0x62, 0xf3, 0x75, 0x48, 0x1e, 0xca, 0x02}), "vpcmpleud %zmm2,%zmm1,%k1");
  EXPECT_EQ(text_of({0x62, 0xf3, 0x75, 0x48, 0x1e, 0xca, 0x05}), "vpcmpnltud %zmm2,%zmm1,%k1");
  EXPECT_EQ(text_of({0x62, 0xf3, 0x75, 0x48, 0x1e, 0xca, 0x07}), "vpcmpud $0x7,%zmm2,%zmm1,%k1");
  EXPECT_EQ(text_of({0x62, 0xe1, 0x7e, 0x48, 0x7a, 0x10}), "vcvtudq2pd (%rax),%zmm18");
  EXPECT_EQ(text_of({0x62, 0xe1, 0xfd, 0x28, 0x5a, 0x10}), "vcvtpd2psy (%rax),%xmm18");
  EXPECT_EQ(text_of({0xc9, 0xff}), "leave; (bad)");
  EXPECT_EQ(text_of({}), "");
}

TEST(MachineCode, OtherProcessors) {
  const std::vector<std::uint8_t> ret = {0xc0, 0x03, 0x5f, 0xd6, 0xff};
  const auto instructions = disassemble(ret, {.processor = Processor::kArm64});
  ASSERT_EQ(instructions.size(), 2u);
  EXPECT_EQ(instructions[0].text, "ret");
  EXPECT_EQ(instructions[1].text, "(bad)");
  EXPECT_EQ(instructions[1].size, 1u);
  EXPECT_EQ(*read_processor("aarch64"), Processor::kArm64);
  EXPECT_FALSE(read_processor("z80"));
  std::mt19937 random(1);
  for (const char* name : {"x86_64", "i386", "aarch64", "arm", "ppc64", "ppc64le", "s390x", "sparc64", "mips64"}) {
    std::vector<std::uint8_t> noise(3001);
    for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(random());
    std::uint64_t size = 0;
    for (const MachineInstruction& one : disassemble(noise, {.processor = *read_processor(name)})) {
      EXPECT_EQ(one.offset, size);
      size += one.size;
    }
    EXPECT_EQ(size, noise.size()) << name;
  }
}

}  // namespace
}  // namespace weir::debug
