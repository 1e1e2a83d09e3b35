// Every engine against the naive reference: random programs and packets, all short programs over a reduced alphabet,
// and packets that end where a page ends and nothing is mapped behind.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <weir/cbpf/text.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>

#include "engines.h"
#include "random_metadata.h"
#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "reference/steered_packets.h"
#include "rounds.h"
#include "shared_data.h"

namespace weir {
namespace {

// Packets each of which ends where a page ends and starts where none is mapped before, as columns.
class PagedPackets {
 public:
  static constexpr std::uint32_t kCount = 35;  // four groups of eight or two of sixteen, and some

  PagedPackets() : page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
    base_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, (2 * kCount + 1) * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (std::size_t i = 0; i < kCount; ++i) ::mprotect(base_ + (2 * i + 1) * page_, page_, PROT_READ | PROT_WRITE);
  }
  ~PagedPackets() { ::munmap(base_, (2 * kCount + 1) * page_); }
  PagedPackets(const PagedPackets&) = delete;
  PagedPackets& operator=(const PagedPackets&) = delete;

  // at_start: the packet starts where a page starts instead.
  std::uint8_t* place(std::uint32_t i, std::uint32_t size, bool at_start) {
    offsets_[i] = static_cast<std::uint32_t>((2 * i + 1) * page_ + (at_start ? 0 : page_ - size));
    lengths_[i] = size;
    return base_ + offsets_[i];
  }
  void describe(std::uint32_t i, std::uint32_t wire_length, const packet::Metadata* metadata) {
    wire_lengths_[i] = wire_length;
    metadata_[i] = metadata;
  }
  packet::Columns columns() const { return {base_, offsets_, lengths_, wire_lengths_, metadata_, kCount}; }

 private:
  std::size_t page_;
  std::uint8_t* base_;
  std::uint32_t offsets_[kCount] = {};
  std::uint32_t lengths_[kCount] = {};
  std::uint32_t wire_lengths_[kCount] = {};
  const packet::Metadata* metadata_[kCount] = {};
};

// All engines, over columns, over a batch and packet by packet, against the reference.
void compare_all(const cbpf::Checked& program, const packet::Columns& columns) {
  std::vector<std::uint32_t> expected;
  std::vector<packet::Packet> packets;
  for (std::size_t i = 0; i < columns.count; ++i) {
    packets.push_back(columns[i]);
    expected.push_back(tests::dissects(program.program())
                           ? (*engine::load(program, {.kind = engine::Kind::kInterpreter}))->run(packets.back())
                           : reference::run(program.program(), packets.back()).verdict);
  }
  for (const auto& engine : tests::all_engines(program)) {
    std::vector<std::uint32_t> verdicts(columns.count, 77);
    engine->run(columns, verdicts);
    ASSERT_EQ(verdicts, expected) << engine->name() << ", columns\n"
                                  << cbpf::write(program.program(), cbpf::Format::kText);
    verdicts.assign(columns.count, 77);
    engine->run(packets, verdicts);
    ASSERT_EQ(verdicts, expected) << engine->name() << ", batch\n"
                                  << cbpf::write(program.program(), cbpf::Format::kText);
    for (std::size_t i = 0; i < columns.count; i += 7)
      ASSERT_EQ(engine->run(packets[i]), expected[i]) << engine->name() << ", packet " << i << "\n"
                                                      << cbpf::write(program.program(), cbpf::Format::kText);
  }
}

TEST(Engine, AgreesWithTheReferenceOnRandomPrograms) {
  tests::ProgramMaker maker(7);
  PagedPackets memory;
  int checked = 0;
  for (int i = 0; i < tests::rounds(8000); ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program())) continue;
    ++checked;
    const packet::Metadata metadata = tests::some_metadata(maker);
    const bool all_long = maker.below(2) == 0;  // groups without short packets are what vector code takes
    for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
      const std::uint32_t size = all_long ? 54 + maker.below(20) : maker.below(72);
      std::uint8_t* bytes = memory.place(p, size, maker.below(2) == 0);
      for (std::uint32_t b = 0; b < size; ++b)
        bytes[b] = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
      memory.describe(p, size + maker.below(9), maker.below(2) == 0 ? &metadata : nullptr);
    }
    ASSERT_NO_FATAL_FAILURE(compare_all(*program, memory.columns()));
  }
  EXPECT_GT(checked, tests::rounds(8000) / 6);
}

// Masked comparisons of loads: every run of bytes that a mask may leave, whole or in part.
TEST(Engine, AgreesOnMaskedComparisons) {
  std::mt19937 random(11);
  PagedPackets memory;
  struct Load {
    const char* text;
    std::uint32_t size;
  };
  constexpr Load kLoads[] = {{"ldb [3]", 1}, {"ldh [5]", 2}, {"ld [6]", 4}, {"ldh [x + 1]", 2}, {"ld [x + 2]", 4}};
  for (int i = 0; i < tests::rounds(600); ++i) {
    const Load& load = kLoads[random() % std::size(kLoads)];
    const std::uint32_t first = random() % load.size;
    const std::uint32_t count = 1 + random() % (load.size - first);
    const std::uint32_t whole = count == 4 ? 0xffffffff : ((1u << 8 * count) - 1) << 8 * first;
    const std::uint32_t mask = random() % 3 == 0 ? whole : whole & static_cast<std::uint32_t>(random());
    const std::uint32_t wanted = random() % 3 == 0 ? 0 : static_cast<std::uint32_t>(random()) & mask;
    const std::string test = random() % 3 == 0 ? fmt::format("jset #{:#x}, yes, no\n", mask)
                                               : fmt::format("and #{:#x}\njeq #{:#x}, yes, no\n", mask, wanted);
    // Kept, where the load is used again.
    const std::string again = random() % 3 == 0 ? "yes: ldb [0]\njeq #1, all, no\nall: ret a\n" : "yes: ret #7\n";
    const auto made = cbpf::read("ldx 4*([0]&0xf)\n" + std::string(load.text) + "\n" + test + again + "no: ret #0\n");
    ASSERT_TRUE(made) << made.error().message;
    const auto program = cbpf::check(*made, {.target = cbpf::Target::kUser});
    ASSERT_TRUE(program);
    for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
      const std::uint32_t size = random() % 4 == 0 ? random() % 16 : 64 + random() % 8;
      std::uint8_t* const bytes = memory.place(p, size, random() % 2 == 0);
      const std::uint32_t value =
          random() % 2 == 0 ? wanted | (static_cast<std::uint32_t>(random()) & ~mask) : random();
      for (std::uint32_t b = 0; b < size; ++b) bytes[b] = static_cast<std::uint8_t>(random() % 3);
      const bool varies = std::string_view(load.text).find('x') != std::string_view::npos;
      const std::uint32_t at = varies           ? 4 * (size == 0 ? 0 : bytes[0] & 15u) + (load.size == 2 ? 1 : 2)
                               : load.size == 1 ? 3
                               : load.size == 2 ? 5
                                                : 6;
      for (std::uint32_t b = 0; b < load.size && at + b < size; ++b)
        bytes[at + b] = static_cast<std::uint8_t>(value >> 8 * (load.size - 1 - b));
      memory.describe(p, size, nullptr);
    }
    ASSERT_NO_FATAL_FAILURE(compare_all(*program, memory.columns()));
  }
}

// What an extension gives stays in a register while another is called.
TEST(Engine, AgreesOnKeptExtensions) {
  std::mt19937 random(12);
  PagedPackets memory;
  for (const char* text :
       {"ld poff\ntax\nldh [x + 1]\njeq #0x0101, a, b\na: ld poff\nadd x\nret a\nb: ldb [x + 0]\nret a\n",
        "ldb [0]\njeq #1, a, b\na: ld poff\nst M[0]\nja c\nb: ldb [1]\nst M[0]\nc: ld #1\nldx #2\nld nla\ntax\n"
        "ld M[0]\nadd x\nst M[1]\nldb [x + 1]\nldx M[1]\nadd x\nldx M[0]\nadd x\nret a\n",
        "ldb [0]\njeq #1, a, b\na: ld poff\nst M[0]\nld #4\nst M[1]\nja c\nb: ldb [1]\nst M[0]\nld poff\nst M[1]\n"
        "c: ldx M[1]\nldb [x + 3]\nldx M[0]\nadd x\nldx M[1]\nadd x\nst M[2]\nld poff\nldx M[2]\nadd x\nret a\n"}) {
    const auto made = cbpf::read(text);
    ASSERT_TRUE(made) << made.error().message << "\n" << text;
    const auto program = cbpf::check(*made, {.target = cbpf::Target::kUser});
    ASSERT_TRUE(program) << text;
    for (int round = 0; round < 20; ++round) {
      for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
        const std::uint32_t size = random() % 80;
        std::uint8_t* const bytes = memory.place(p, size, random() % 2 == 0);
        for (std::uint32_t b = 0; b < size; ++b) bytes[b] = static_cast<std::uint8_t>(random() % 3);
        if (size > 23 && random() % 2 == 0) bytes[12] = 8, bytes[13] = 0, bytes[14] = 0x45, bytes[23] = 17;
        memory.describe(p, size, nullptr);
      }
      ASSERT_NO_FATAL_FAILURE(compare_all(*program, memory.columns()));
    }
  }
}

// Packets steered down every branch of the program, and then cut.
void compare_on_steered(const cbpf::Checked& program, PagedPackets& memory, std::mt19937& random) {
  const reference::SteeredPackets steered =
      reference::steer(program.program().instructions(), random, {.length = 128, .rounds = 1, .turns = 8});
  if (steered.packets.empty()) return;
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
      const reference::Bytes& from = steered.packets[random() % steered.packets.size()];
      const auto size = static_cast<std::uint32_t>(
          round == 0 ? from.size() : std::min<std::size_t>(from.size(), (round == 1 ? 60 : 0) + random() % 60));
      std::copy_n(from.begin(), size, memory.place(p, size, random() % 2 == 0));
      memory.describe(p, size, nullptr);
    }
    ASSERT_NO_FATAL_FAILURE(compare_all(program, memory.columns()));
  }
}

// Programs as libpcap makes them.
TEST(Engine, AgreesOnRealProgramsAndSteeredPackets) {
  const auto path = tests::shared_folder() / "data/pcap-filter/accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  std::mt19937 random(5);
  PagedPackets memory;
  int programs = 0;
  for (const tests::Row& row : tests::read_table(path)) {
    const auto listing = cbpf::read(row.at("program"));
    if (!listing) continue;
    const auto program = cbpf::check(*listing, {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program())) continue;
    ++programs;
    ASSERT_NO_FATAL_FAILURE(compare_on_steered(*program, memory, random));
  }
  EXPECT_GT(programs, 300);
}

// Programs as our compiler makes them: lists become sets, and protocols share code that reads where the index register
// says, which holds one of few constants or a header's length.
TEST(Engine, AgreesOnOwnProgramsAndSteeredPackets) {
  std::mt19937 random(13);
  PagedPackets memory;
  const auto list = [&](int terms, const auto& term) {
    std::string out = term();
    for (int i = 1; i < terms; ++i) out += " or " + term();
    return out;
  };
  const auto number = [&](unsigned below) { return std::to_string(random() % below); };
  const auto host = [&] { return "host 10." + number(256) + "." + number(4) + "." + number(256); };
  const auto net = [&] { return "src net 10." + number(256) + "." + number(256) + ".0/24"; };
  const auto port = [&] { return "port " + number(65536); };
  for (int i = 0; i < tests::rounds(12); ++i)
    for (const std::string& expression :
         {list(1 + static_cast<int>(random() % 6), host), list(100, host), list(1000, host), list(30, net),
          list(1 + static_cast<int>(random() % 3), port), list(40, port),
          "(" + list(3, port) + ") and (" + list(3, host) + ")", "vlan and (" + list(9, host) + ")",
          "arp[6:2] = 1 or ip[6:2] = 2 or ip6[6:2] = 3 or " + host()}) {
      const auto compiled = filter::compile(expression);
      ASSERT_TRUE(compiled) << expression;
      ASSERT_NO_FATAL_FAILURE(compare_on_steered(compiled->program, memory, random)) << expression;
    }
}

// Loads whose address is one of few constants, of every size and some beyond what most packets have.
TEST(Engine, AgreesOnChosenAddresses) {
  std::mt19937 random(17);
  PagedPackets memory;
  for (int i = 0; i < tests::rounds(150); ++i) {
    const unsigned count = 2 + random() % 4;  // one more than is taken as a choice
    std::string text = "ldh [12]\n";
    for (unsigned c = 0; c < count; ++c) text += "jeq #" + std::to_string(c) + ", c" + std::to_string(c) + "\n";
    text += "ret #0\n";
    for (unsigned c = 0; c < count; ++c)
      text += "c" + std::to_string(c) + ": ldx #" + std::to_string(random() % 24) + "\nja common\n";
    text += "common: ";
    const char* const loads[] = {"ld", "ldh", "ldb"};
    for (int load = 0; load < 2; ++load)
      text += std::string(loads[random() % 3]) + " [x + " + std::to_string(random() % 40) + "]\njset #" +
              std::to_string(1 + random() % 255) + ", yes\n";
    text += "ret #0\nyes: ret #7\n";
    const auto program = cbpf::read(text);
    ASSERT_TRUE(program) << text << program.error().message;
    const auto checked = cbpf::check(*program, {.target = cbpf::Target::kUser});
    ASSERT_TRUE(checked) << text;
    ASSERT_NO_FATAL_FAILURE(compare_on_steered(*checked, memory, random)) << text;
  }
}

TEST(Engine, ColumnsAndBitsAgreeWithSinglePackets) {
  tests::ProgramMaker maker(11);
  constexpr std::size_t kCount = 1100;  // more than one chunk of match(), and not a multiple of 64
  std::vector<std::uint8_t> bytes(kCount * 80);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(maker.below(4));
  const packet::Metadata metadata = tests::some_metadata(maker);
  std::vector<std::uint32_t> offsets, lengths, wire_lengths;
  std::vector<const packet::Metadata*> all_metadata;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    offsets.push_back(i * 80);
    lengths.push_back(maker.below(81));
    wire_lengths.push_back(lengths.back() + maker.below(3));
    all_metadata.push_back(maker.below(2) == 0 ? &metadata : nullptr);
  }
  packet::Columns columns{bytes.data(), offsets.data(), lengths.data(), nullptr, nullptr, kCount};
  for (int i = 0; i < tests::rounds(400); ++i) {
    auto program = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!program || tests::draws_numbers(program->program()) || tests::dissects(program->program())) continue;
    columns.wire_lengths = i % 2 == 0 ? wire_lengths.data() : nullptr;
    columns.metadata = i % 3 == 0 ? all_metadata.data() : nullptr;
    for (const auto& engine : tests::all_engines(*program)) {
      std::vector<std::uint32_t> verdicts(kCount, 77);
      std::vector<std::uint64_t> bits((kCount + 63) / 64, ~std::uint64_t{0});
      engine->run(columns, verdicts);
      const std::size_t matched = engine->match(columns, bits);
      std::size_t expected = 0;
      for (std::size_t p = 0; p < kCount; ++p) {
        ASSERT_EQ(verdicts[p], reference::run(program->program(), columns[p]).verdict)
            << engine->name() << " packet " << p << "\n"
            << cbpf::write(program->program(), cbpf::Format::kText);
        ASSERT_EQ((bits[p / 64] >> (p % 64)) & 1, verdicts[p] != 0 ? 1u : 0u);
        expected += verdicts[p] != 0;
      }
      EXPECT_EQ(matched, expected);
      EXPECT_EQ(bits.back() >> (kCount % 64), 0u);
    }
  }
}

// A batch's packets may lie anywhere. Here one lies across the place that is 2^31 bytes behind a column's base, where a
// signed index would turn negative, and one just before it.
TEST(Engine, PacketsFarFromEachOther) {
  constexpr std::size_t kGigabyte = std::size_t{1} << 30;
  constexpr std::uint32_t kLength = 80;
  void* const all = ::mmap(nullptr, 2 * kGigabyte, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(all, MAP_FAILED);
  auto* const first = static_cast<std::uint8_t*>(all);
  std::uint8_t* const far = first + kGigabyte - 4096;
  ASSERT_EQ(::mprotect(first, 4096, PROT_READ | PROT_WRITE), 0);
  ASSERT_EQ(::mprotect(far, 8192, PROT_READ | PROT_WRITE), 0);
  const auto program =
      cbpf::check(cbpf::read("ldxb 4*([14]&0xf)\nldh [x+16]\njeq #0x1bb, yes\nret #0\nyes: ret #9\n").value(),
                  {.target = cbpf::Target::kUser});
  ASSERT_TRUE(program);
  for (const std::size_t distance : {kGigabyte - 1, kGigabyte - 34, kGigabyte - 60, kGigabyte - 81, kGigabyte - 100}) {
    std::vector<packet::Packet> packets;
    std::vector<std::uint32_t> expected;
    for (std::uint32_t i = 0; i < 16; ++i) {
      std::uint8_t* const at = i == 5 ? first + distance : first + std::size_t{i} * kLength;
      std::memset(at, 0, kLength);
      at[14] = 5;
      at[36] = static_cast<std::uint8_t>(i % 3 != 0 ? 1 : 0);
      at[37] = 0xbb;
      packets.push_back(packet::make_packet(ByteSpan(at, kLength)));
    }
    for (const packet::Packet& packet : packets) expected.push_back(reference::run(program->program(), packet).verdict);
    ASSERT_EQ(expected[5], 9u);
    for (const auto& engine : tests::all_engines(*program)) {
      std::vector<std::uint32_t> verdicts(packets.size(), 77);
      engine->run(packets, verdicts);
      EXPECT_EQ(verdicts, expected) << engine->name() << ", " << distance;
    }
  }
  ::munmap(all, 2 * kGigabyte);
}

// Scalar code may run four packets at once: any number of packets, with short ones and matches in any place.
TEST(Engine, PacketsInARowAgreeWithTheReference) {
  std::mt19937 random(11);
  PagedPackets memory;
  for (const char* const expression : {"ip",
                                       "ip6",
                                       "not ip",
                                       "vlan and ip",
                                       "vlan 7",
                                       "arp",
                                       "arp net 10.0.0.0/8 and not host 10.0.0.1",
                                       "ip6 and (tcp port 80 or udp port 53)",
                                       "host 10.0.0.1 and tcp",
                                       "tcp port 80",
                                       "ether proto 0x88cc",
                                       "len > 60",
                                       "ether[6] = 1 or ether[7] = 2",
                                       "src net 10.0.0.0/8 and udp",
                                       "host 10.0.0.1 and not tcp",
                                       "ip[6:2] & 0x1fff != 0",
                                       "ether host 00:11:22:33:44:55",
                                       "ip proto 47 or ip proto 50",
                                       "net 10.1.2.0/24 and ip[8] < 5",
                                       "mpls"}) {
    const auto compiled = filter::compile(expression);
    ASSERT_TRUE(compiled) << expression;
    const cbpf::Checked& program = compiled->program;
    const reference::SteeredPackets steered =
        reference::steer(program.program().instructions(), random, {.length = 96, .rounds = 4, .turns = 12});
    ASSERT_FALSE(steered.packets.empty());
    for (std::uint32_t count = 1; count <= PagedPackets::kCount; ++count) {
      const auto often = random() % 4;
      for (std::uint32_t p = 0; p < count; ++p) {
        const reference::Bytes& from = steered.packets[random() % steered.packets.size()];
        const bool is_short = random() % 4 < often;
        const auto size = static_cast<std::uint32_t>(is_short ? random() % (from.size() + 1) : from.size());
        std::copy_n(from.begin(), size, memory.place(p, size, random() % 2 == 0));
        memory.describe(p, size + random() % 2, nullptr);
      }
      packet::Columns columns = memory.columns();
      columns.count = count;
      ASSERT_NO_FATAL_FAILURE(compare_all(program, columns)) << expression;
    }
  }
}

// What is called to draw a number may use all registers that calls may: lengths are compared all the same.
TEST(Engine, NumbersDrawnAmongShortPackets) {
  const auto listing =
      cbpf::read("ld rand\nldh [12]\njeq #0x800, a, b\na: ldb [30]\njeq #1, c, b\nc: ret #7\nb: ret #0\n");
  ASSERT_TRUE(listing);
  const auto program = cbpf::check(*listing, {.target = cbpf::Target::kUser});
  ASSERT_TRUE(program);
  PagedPackets memory;
  std::mt19937 random(5);
  const auto engines = tests::all_engines(*program);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::uint32_t> expected;
    for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
      const std::uint32_t size = random() % 3 == 0 ? 14 + random() % 17 : 31 + random() % 9;
      std::uint8_t* const bytes = memory.place(p, size, false);
      std::fill_n(bytes, size, std::uint8_t{1});
      bytes[12] = 8;
      bytes[13] = 0;
      memory.describe(p, size, nullptr);
      expected.push_back(size > 30 ? 7 : 0);
    }
    for (const auto& engine : engines) {
      std::vector<std::uint32_t> verdicts(PagedPackets::kCount, 77);
      engine->run(memory.columns(), verdicts);
      ASSERT_EQ(verdicts, expected) << engine->name();
    }
  }
}

// Several programs in one pass give the bits of each. Every packet ends at a page end, or begins at a page's start.
void compare_joined(engine::Kind kind) {
  const auto path = tests::shared_folder() / "data/pcap-filter/accept.tsv";
  WEIR_REQUIRE_SHARED(path);
  std::mt19937 random(9);
  std::vector<cbpf::Checked> programs;
  for (const tests::Row& row : tests::read_table(path)) {
    const auto listing = cbpf::read(row.at("program"));
    if (!listing) continue;
    const auto program = cbpf::check(*listing, {.target = cbpf::Target::kUser});
    if (program && !tests::draws_numbers(program->program())) programs.push_back(*program);
  }
  PagedPackets memory;
  int joined_groups = 0;
  for (std::size_t first = 0; first + 9 < programs.size(); first += 9) {
    const std::size_t count = 2 + random() % 8;
    std::vector<std::unique_ptr<engine::Engine>> engines;
    std::vector<const engine::Engine*> pointers;
    std::vector<reference::Bytes> packets;
    for (std::size_t i = 0; i < count; ++i) {
      const cbpf::Checked& program = programs[first + i];
      engines.push_back(engine::load(program, {.kind = kind}).value());
      pointers.push_back(engines.back().get());
      const reference::SteeredPackets steered =
          reference::steer(program.program().instructions(), random, {.length = 128, .rounds = 1, .turns = 8});
      packets.insert(packets.end(), steered.packets.begin(), steered.packets.end());
    }
    const auto joined = engine::join(pointers);
    if (joined == nullptr || packets.empty()) continue;
    ++joined_groups;
    for (int round = 0; round < 6; ++round) {
      for (std::uint32_t p = 0; p < PagedPackets::kCount; ++p) {
        const reference::Bytes& from = packets[random() % packets.size()];
        const auto size = static_cast<std::uint32_t>(
            round % 2 == 0 ? from.size() : std::min<std::size_t>(from.size(), (round == 1 ? 60 : 0) + random() % 60));
        std::copy_n(from.begin(), size, memory.place(p, size, random() % 2 == 0));
        memory.describe(p, size, nullptr);
      }
      const packet::Columns columns = memory.columns();
      std::vector<std::uint64_t> bits(count, ~std::uint64_t{0});
      joined->match(columns, bits);
      for (std::size_t i = 0; i < count; ++i) {
        std::uint64_t expected = 0;
        for (std::size_t p = 0; p < columns.count; ++p)
          expected |= std::uint64_t{reference::run(programs[first + i].program(), columns[p]).verdict != 0} << p;
        ASSERT_EQ(bits[i], expected) << cbpf::write(programs[first + i].program(), cbpf::Format::kText);
      }
    }
  }
  EXPECT_GT(joined_groups, 20);
}

TEST(Engine, JoinedProgramsAgreeWithEach) {
  if (!engine::cpu_features().avx2) GTEST_SKIP() << "this processor has no AVX2";
  compare_joined(engine::Kind::kAvx2);
}

TEST(Engine, JoinedProgramsOfSixteenLanesAgreeWithEach) {
  if (!engine::cpu_features().avx512) GTEST_SKIP() << "this processor has no AVX-512";
  compare_joined(engine::Kind::kAvx512);
}

// What a processor lacks is said, and a mask of features is obeyed.
TEST(Engine, ForcingWhatTheProcessorLacksIsAnError) {
  const auto program = cbpf::check(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, 1)}, {.target = cbpf::Target::kUser});
  engine::CpuFeatures features = engine::cpu_features();
  features.avx512 = false;
  const auto refused = engine::load(*program, {.kind = engine::Kind::kAvx512, .features = features});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("has no AVX-512"), std::string::npos);
  const auto kind = engine::read_kind("avx512", features);
  ASSERT_FALSE(kind);
  EXPECT_EQ(kind.error().code, ErrorCode::kUsage);
  features.avx2 = false;
  const auto automatic = engine::load(*program, {.features = features});
  ASSERT_TRUE(automatic);
  EXPECT_NE((*automatic)->name(), "avx2");
  EXPECT_NE((*automatic)->name(), "avx512");
}

TEST(Engine, NamesAreReadBackAndWrongOnesAreAnswered) {
  for (const engine::KindInfo& info : engine::kinds()) {
    const auto kind = engine::read_kind(info.name, {.x86_64 = true, .avx2 = true, .avx512 = true});
    ASSERT_TRUE(kind);
    EXPECT_EQ(*kind, info.kind);
    EXPECT_EQ(engine::name_of(info.kind), info.name);
  }
  const auto wrong = engine::read_kind("interpretr");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().hint.find("interpreter"), std::string::npos);
}

TEST(Engine, AgreesOnAllProgramsOfThreeInstructionsOverAReducedAlphabet) {
  using cbpf::Opcode;
  std::vector<cbpf::Instruction> alphabet;
  for (const cbpf::OpcodeInfo& info : cbpf::opcodes())
    for (const std::uint32_t k : {0u, 1u, 0xffffffffu}) {
      const bool branch =
          info.shape == cbpf::OperandShape::kBranchConstant || info.shape == cbpf::OperandShape::kBranchIndex;
      alphabet.push_back(
          branch ? cbpf::make_jump(info.opcode, k, static_cast<std::uint8_t>(k == 1), static_cast<std::uint8_t>(k == 0))
                 : cbpf::make(info.opcode, k));
    }
  const std::uint8_t bytes[] = {0x45, 0x01, 0x80};
  int checked = 0;
  for (const cbpf::Instruction& first : alphabet)
    for (const cbpf::Instruction& second : alphabet)
      for (const Opcode last : {Opcode::kRetA, Opcode::kRetK}) {
        const auto program =
            cbpf::check(cbpf::Program{first, second, cbpf::make(last, 5)}, {.target = cbpf::Target::kUser});
        if (!program) continue;
        ++checked;
        const auto engines = tests::all_engines(*program);
        for (std::uint32_t size = 0; size <= 3; ++size) {
          const packet::Packet packet{bytes, size, 3, nullptr};
          const std::uint32_t expected = reference::run(program->program(), packet).verdict;
          for (const auto& engine : engines)
            ASSERT_EQ(engine->run(packet), expected) << engine->name() << "\n"
                                                     << cbpf::write(program->program(), cbpf::Format::kText);
        }
      }
  EXPECT_GT(checked, 15000);
}

}  // namespace
}  // namespace weir
