// `weir filter` and `weir info` as a user meets them: compressed and damaged captures, outputs that cannot be written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture_builder.h"
#include "command.h"

namespace weir::tests {
namespace {

using testing::HasSubstr;

const std::string kWeir = quoted(WEIR_PROGRAM);

class FilterCommand : public testing::Test {
 protected:
  // Four packets, the first and the last of them IPv4.
  static CaptureBuilder capture() {
    CaptureBuilder file(std::endian::native);
    file.pcap_header().record(ipv4_packet(60)).record(std::vector<std::uint8_t>(70)).record({});
    return file.record(ipv4_packet(80));
  }
  std::string write(const std::string& name, const std::string& bytes) {
    write_file(folder_ / name, bytes);
    return quoted(folder_ / name);
  }
  CommandResult filter(const std::string& rest) { return run_command(kWeir + " filter -q " + rest); }

  TemporaryFolder folder_;
};

TEST_F(FilterCommand, CountAndExitStatus) {
  const std::string in = write("in.pcap", capture().text());
  EXPECT_EQ(filter("--count ip " + in).output, "2\n");
  EXPECT_EQ(filter("--count ip " + in).status, 0);
  EXPECT_EQ(filter("--count ip6 " + in).output, "0\n");
  EXPECT_EQ(filter("--count ip6 " + in).status, 1);
  EXPECT_EQ(filter("--count ip " + in + " " + in).output, "4\n");
  EXPECT_EQ(filter("--count ip - <" + in).output, "2\n");
  EXPECT_EQ(filter("--count ip").status, 2);
  EXPECT_EQ(filter("--count").status, 2);
  EXPECT_EQ(filter("--count ip nothing.pcap").status, 3);
  EXPECT_EQ(filter("--count ip " + in + " -w x").status, 2);
}

// A longer snap length in a later input: the header must hold for its packets too, wherever it goes.
TEST_F(FilterCommand, SnapLengthOfLaterInputs) {
  CaptureBuilder small(std::endian::native);
  small.pcap_header(0xa1b2c3d4, 100).record(ipv4_packet(60));
  CaptureBuilder large(std::endian::native);
  large.pcap_header(0xa1b2c3d4, 2000).record(ipv4_packet(1000));
  CaptureBuilder both(std::endian::native);
  both.pcap_header(0xa1b2c3d4, 2000).record(ipv4_packet(60)).record(ipv4_packet(1000));
  const std::string in = "'' " + write("small", small.text()) + " " + write("large", large.text());
  const std::string out = quoted(folder_ / "out");
  EXPECT_EQ(filter(in + " -w " + out).status, 0);
  EXPECT_EQ(slurp(folder_ / "out"), both.text());
  EXPECT_EQ(filter(in + " -w - | cat").output, both.text());
  EXPECT_EQ(filter(in + " -w - >" + out).status, 0);
  EXPECT_EQ(slurp(folder_ / "out"), both.text());
  const std::string fifo = quoted(folder_ / "fifo");
  const std::string through = "mkfifo " + fifo + "; cat " + fifo + " & " + kWeir + " filter -q " + in + " -w " + fifo;
  EXPECT_EQ(run_command(through + "; wait").output, both.text());
  for (const std::string name : {"-", "/dev/stdout"}) {
    const std::string before(32, 'x');
    write("out", before);
    EXPECT_EQ(filter(in + " -w " + name + " >>" + out).status, 0);
    EXPECT_EQ(slurp(folder_ / "out"), before + both.text());
    const std::string run = kWeir + " filter -q " + in + " -w " + name;
    EXPECT_EQ(run_command("(printf " + before + "; " + run + "; printf end) >" + out).status, 0);
    EXPECT_EQ(slurp(folder_ / "out"), before + both.text() + "end");
  }
}

TEST_F(FilterCommand, LateInterfaceWithNanoseconds) {
  CaptureBuilder options;
  options.option(9, {9}).number(0u);
  CaptureBuilder file;
  file.section().interface(1, 0).enhanced(0, 1000005, ipv4_packet(60));
  file.interface(1, 0, options).enhanced(1, 1123456789, ipv4_packet(60));
  CaptureBuilder expected(std::endian::native);
  expected.pcap_header(0xa1b23c4d, 262144).record(ipv4_packet(60), 1, 5000).record(ipv4_packet(60), 1, 123456789);
  EXPECT_EQ(filter("--format pcap '' " + write("in", file.text())).output, expected.text());
}

TEST_F(FilterCommand, CheckSequencesAreNotMixed) {
  CaptureBuilder with(std::endian::native);
  with.pcap_header(0xa1b2c3d4, 65535, 1 | 1u << 26 | 2u << 28).record(ipv4_packet(64));
  const std::string a = write("with", with.text());
  const std::string b = write("without", capture().text());
  for (const std::string& in : {a + " " + b, b + " " + a}) {
    EXPECT_EQ(filter("'' " + in).output.substr(0, 4), "\x0a\x0d\x0d\x0a");
    const CommandResult pcap = filter("--format pcap '' " + in + " -w " + quoted(folder_ / "out"));
    EXPECT_EQ(pcap.status, 2);
    EXPECT_THAT(pcap.errors, HasSubstr("EN10MB with a frame check sequence of 4 bytes"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
  }
  EXPECT_EQ(filter("'' " + a).output, with.text());
}

TEST_F(FilterCommand, OutputsThatAreOneOrNone) {
  const std::string in = write("in.pcap", capture().text());
  const CommandResult empty = filter("-w '' ip " + in);
  EXPECT_EQ(empty.status, 2);
  EXPECT_THAT(empty.errors, HasSubstr("the name after -w is empty"));
  const std::string folder = folder_.path();
  const CommandResult same = filter("-e ip -w " + folder + "/new -e ip6 -w " + folder + "/./new " + in);
  EXPECT_EQ(same.status, 2);
  EXPECT_THAT(same.errors, HasSubstr("is written twice"));
  EXPECT_THAT(filter("-e ip -w - -e ip6 -w /dev/stdout " + in).errors, HasSubstr("is written twice"));
  EXPECT_EQ(filter("-e ip -w /dev/null -e ip6 -w /dev/null " + in).status, 0);
  EXPECT_THAT(filter("--json ip -w /dev/stdout " + in).errors, HasSubstr("both write to standard output"));
}

TEST_F(FilterCommand, CompressedByContent) {
  const std::string plain = write("in", capture().text());
  const std::string expected = filter("ip " + plain).output;
  ASSERT_EQ(expected.size(), 24u + 76 + 96);
  for (const std::string program : {"gzip", "zstd", "lz4"}) {
    if (!have_program(program)) GTEST_SKIP() << program << " is not installed";
    ASSERT_EQ(run_command(program + " -c " + plain + " >" + folder_.path() + "/" + program).status, 0);
    const std::string compressed = slurp(folder_ / program);
    EXPECT_EQ(filter("ip " + quoted(folder_ / program)).output, expected) << program;
    EXPECT_EQ(filter("ip - <" + quoted(folder_ / program)).output, expected) << program;
    // Two members are one stream: the second one's header is then damage inside of the capture, but it is read.
    const CommandResult twice = filter("--count ip " + write("twice", compressed + compressed));
    EXPECT_EQ(twice.output, "2\n") << program;
    for (const std::size_t cut : {compressed.size() - 1, compressed.size() / 2, std::size_t{12}}) {
      const CommandResult result = filter("ip " + write("cut", compressed.substr(0, cut)));
      EXPECT_EQ(result.status, 3) << program << " " << cut;
      EXPECT_THAT(result.errors, HasSubstr("ends too early")) << program << " " << cut;
    }
    std::string damaged = compressed;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
    EXPECT_EQ(filter("ip " + write("damaged", damaged)).status, 3) << program;
  }
}

TEST_F(FilterCommand, PacketsBeforeDamageAreKept) {
  const std::string whole = capture().text();
  const std::string in = write("cut.pcap", whole.substr(0, whole.size() - 1));
  const CommandResult written = filter("ip " + in + " -w " + quoted(folder_ / "out.pcap"));
  EXPECT_EQ(written.status, 3);
  EXPECT_THAT(written.errors, HasSubstr("byte 202"));
  EXPECT_THAT(written.errors, HasSubstr("inside of a packet: 79 of 80"));
  EXPECT_EQ(slurp(folder_ / "out.pcap"), whole.substr(0, 24 + 76));
  const CommandResult counted = filter("--count ip " + in + " " + in);
  EXPECT_EQ(counted.output, "2\n");
  EXPECT_EQ(counted.status, 3);
  EXPECT_EQ(filter("--count ip " + write("header.pcap", whole.substr(0, 20))).status, 3);
  EXPECT_THAT(filter("--count ip " + write("record.pcap", whole.substr(0, 30))).errors, HasSubstr("6 of 16 bytes"));
  EXPECT_THAT(filter("--count ip " + write("empty.pcap", "")).errors, HasSubstr("the file is empty"));
  EXPECT_THAT(filter("--count ip " + write("text.pcap", "hello, world")).errors, HasSubstr("neither"));
}

TEST_F(FilterCommand, LongRecords) {
  CaptureBuilder file(std::endian::native);
  file.pcap_header(0xa1b2c3d4, 68).record(ipv4_packet(60)).record(ipv4_packet(80)).record(ipv4_packet(300000));
  const CommandResult result = filter("ip " + write("in.pcap", file.text()));
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.errors, HasSubstr("longer than the snap length of 68"));
  EXPECT_THAT(result.errors, HasSubstr("300000"));
  EXPECT_EQ(result.output.size(), 24u + 76 + 84);
}

TEST_F(FilterCommand, OutputsThatFail) {
  const std::string in = write("in.pcap", capture().text());
  const CommandResult full = filter("ip " + in + " -w /dev/full");
  EXPECT_EQ(full.status, 3);
  EXPECT_THAT(full.errors, HasSubstr("No space left"));
  EXPECT_EQ(filter("ip " + in + " >/dev/full").status, 3);
  EXPECT_EQ(filter("--count ip " + in + " >/dev/full").status, 3);
  EXPECT_EQ(filter("--json ip " + in + " >/dev/full").status, 3);
  const CommandResult bad = filter("ip " + in + " -w " + quoted(folder_ / "no/such/folder"));
  EXPECT_EQ(bad.status, 3);
  EXPECT_THAT(bad.errors, HasSubstr("No such file"));
  const CommandResult same = filter("ip " + in + " -w " + in);
  EXPECT_EQ(same.status, 2);
  EXPECT_EQ(slurp(folder_ / "in.pcap"), capture().text());
  ASSERT_EQ(run_command("ln " + in + " " + quoted(folder_ / "link")).status, 0);
  EXPECT_EQ(filter("ip " + in + " -w " + quoted(folder_ / "link")).status, 2);
  // A failed run leaves neither the file nor its temporary one.
  EXPECT_EQ(filter("'ip and' " + in + " -w " + quoted(folder_ / "none")).status, 3);
  EXPECT_EQ(run_command("ls -A " + quoted(folder_.path())).output, "in.pcap\nlink\n");
}

TEST_F(FilterCommand, BrokenPipeIsQuiet) {
  CaptureBuilder file(std::endian::native);
  file.pcap_header();
  for (int i = 0; i < 4000; ++i) file.record(ipv4_packet(1000));
  const std::string in = write("in.pcap", file.text());
  const CommandResult result =
      run_command("( " + kWeir + " filter -q ip " + in + "; echo $? >&2 ) | head -c 100 | wc -c");
  EXPECT_EQ(result.output, "100\n");
  EXPECT_EQ(result.errors, "0\n");
}

// Several expressions in one pass write what each would by itself.
TEST_F(FilterCommand, SeveralExpressions) {
  const std::string in = write("in.pcap", capture().text());
  const std::string a = quoted(folder_ / "a");
  const std::string b = quoted(folder_ / "b");
  EXPECT_EQ(filter("-e ip -w " + a + " -e 'not ip' -w " + b + " " + in).status, 0);
  EXPECT_EQ(slurp(folder_ / "a"), filter("ip " + in).output);
  EXPECT_EQ(slurp(folder_ / "b"), filter("'not ip' " + in).output);
  EXPECT_EQ(filter("--count -e ip -e 'not ip' -e '' " + in).output, "2\n1\n4\n");
  EXPECT_THAT(filter("--json -e ip -e 'not ip' " + in).output, HasSubstr(R"("expression":"not ip","matched":1)"));
  EXPECT_EQ(filter("-e ip -w " + a + " -e 'not ip' " + in).status, 2);
  const CommandResult both = filter("--json ip -w - " + in);
  EXPECT_EQ(both.status, 2);
  EXPECT_EQ(both.output, "");
  EXPECT_THAT(both.errors, HasSubstr("standard output"));
  EXPECT_EQ(filter("-e ip -w " + a + " -e 'not ip' -w " + a + " " + in).status, 2);
  EXPECT_EQ(filter("-e ip -e 'not ip' " + in).status, 2);
  EXPECT_EQ(filter("-e ip -F " + in + " " + in).status, 2);
  const CommandResult bad = filter("--count -e ip -e 'tcp prot 1' " + in);
  EXPECT_EQ(bad.status, 3);
  EXPECT_THAT(bad.errors, HasSubstr("  tcp prot 1\n"));
}

TEST_F(FilterCommand, EnginesAndThreads) {
  const std::string in = write("in.pcap", capture().text());
  EXPECT_EQ(filter("--count --engine=interpreter --threads 3 ip " + in).output, "2\n");
  const CommandResult none = filter("--count --engine=steam ip " + in);
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.errors, HasSubstr("interpreter"));
}

// An expression that no packet of one link type can match still filters the others.
TEST_F(FilterCommand, SeveralLinkTypes) {
  CaptureBuilder mixed;
  std::vector<std::uint8_t> arp = ipv4_packet(60);
  arp[13] = 6;
  mixed.section().interface(1, 0).interface(101, 0).enhanced(0, 1, arp).enhanced(1, 2, ipv4_packet(20));
  const std::string in = write("in.pcapng", mixed.text());
  EXPECT_EQ(filter("--count arp " + in).output, "1\n");
  CaptureBuilder raw;
  raw.pcap_header(0xa1b2c3d4, 65535, 101).record(ipv4_packet(60));
  EXPECT_EQ(filter("--count arp " + write("raw.pcap", raw.text())).status, 3);
}

TEST_F(FilterCommand, InfoTellsOfDamage) {
  const std::string whole = capture().text();
  const CommandResult result = run_command(kWeir + " info --json " + write("cut.pcap", whole.substr(0, 200)));
  EXPECT_EQ(result.status, 3);
  EXPECT_THAT(result.output, HasSubstr("\"damaged\":true"));
  EXPECT_THAT(result.output, HasSubstr("\"packets\":2"));
}

}  // namespace
}  // namespace weir::tests
