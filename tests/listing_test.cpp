// Listings are, byte for byte, libpcap's: bpf_image() for every opcode and field, bpf_dump() for -d, -dd and -ddd.
#include <gtest/gtest.h>

#ifdef WEIR_HAVE_LIBPCAP
#include <pcap/bpf.h>
#include <pcap/pcap.h>
#endif

#include <unistd.h>

#include <cstdio>

#include <weir/cbpf/text.h>

#include "random_instructions.h"

namespace weir {
namespace {

#ifdef WEIR_HAVE_LIBPCAP

std::vector<bpf_insn> for_libpcap(const cbpf::Program& program) {
  std::vector<bpf_insn> out;
  for (const cbpf::Instruction& i : program) out.push_back({i.code, i.jt, i.jf, i.k});
  return out;
}

// libpcap has no form for `ldx #len`, a load that Linux knows; ours has the shape of `ld #pktlen` and is read back.
std::string with_length_into_x(std::string text) {
  const std::string theirs = "unimp    0x81";
  for (std::size_t at = 0; (at = text.find(theirs, at)) != std::string::npos; ++at) {
    const std::size_t end = at + theirs.size();
    if (end == text.size() || text[end] == '\n') text.replace(at, theirs.size(), "ldx      #pktlen");
  }
  return text;
}

// What bpf_dump prints on standard output.
std::string dump(const cbpf::Program& program, int option) {
  std::vector<bpf_insn> instructions = for_libpcap(program);
  bpf_program pcap{static_cast<u_int>(instructions.size()), instructions.data()};
  std::FILE* file = std::tmpfile();
  std::fflush(stdout);
  const int saved = ::dup(STDOUT_FILENO);
  ::dup2(::fileno(file), STDOUT_FILENO);
  bpf_dump(&pcap, option);
  std::fflush(stdout);
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  std::string out(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  out.resize(std::fread(out.data(), 1, out.size(), file));
  std::fclose(file);
  return out;
}

TEST(Listing, EveryOpcodeAndOperandIsWrittenAsLibpcapDoes) {
  tests::InstructionMaker maker(3);
  const auto fmt_index = [](int at) {
    char text[16];
    std::snprintf(text, sizeof text, "(%03d) ", at);
    return std::string(text);
  };
  const auto compare = [&](const cbpf::Instruction& i, int at) {
    const bpf_insn theirs{i.code, i.jt, i.jf, i.k};
    const std::string image = with_length_into_x(bpf_image(&theirs, at));
    const std::string ours = fmt_index(at) + cbpf::write_instruction(i, static_cast<std::size_t>(at));
    ASSERT_EQ(ours, image) << i.code << " " << int{i.jt} << " " << int{i.jf} << " " << i.k;
  };
  for (std::uint32_t code = 0; code < 0x10000; ++code)
    for (const std::uint32_t k :
         {0u, 1u, 14u, 0x7fffffffu, 0x80000000u, 0xfffff000u, 0xfffff02cu, 0xfffff030u, 0xffffffffu})
      compare({static_cast<std::uint16_t>(code), 3, 200, k}, 7);
  for (const cbpf::OpcodeInfo& info : cbpf::opcodes())
    for (int i = 0; i < 2000; ++i)
      compare({static_cast<std::uint16_t>(info.opcode), static_cast<std::uint8_t>(maker.below(256)),
               static_cast<std::uint8_t>(maker.below(256)), maker.constant()},
              static_cast<int>(maker.below(2000)));
  for (std::uint32_t extension = 0; extension < 200; ++extension)
    for (const cbpf::Opcode load :
         {cbpf::Opcode::kLdWordAbsolute, cbpf::Opcode::kLdHalfAbsolute, cbpf::Opcode::kLdByteAbsolute})
      compare(cbpf::make(load, cbpf::kExtensionBase + extension), 0);
}

TEST(Listing, WholeProgramsAreWrittenAsBpfDumpDoes) {
  tests::InstructionMaker maker(4);
  for (int i = 0; i < 400; ++i) {
    const cbpf::Program program = maker.program(i % 50 == 0 ? 1200 : 40);
    ASSERT_EQ(cbpf::write(program, cbpf::Format::kText), with_length_into_x(dump(program, 1)));
    ASSERT_EQ(cbpf::write(program, cbpf::Format::kC), dump(program, 2));
    ASSERT_EQ(cbpf::write(program, cbpf::Format::kDecimal), dump(program, 3));
  }
}

#else
TEST(Listing, EveryOpcodeAndOperandIsWrittenAsLibpcapDoes) { GTEST_SKIP() << "libpcap was not found"; }
#endif

}  // namespace
}  // namespace weir
