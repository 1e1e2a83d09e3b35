// The fast path against the plain one: a capture that is mapped and walked from many places gives the same bytes, the
// same statistics and the same error as one that is read record by record, whatever it holds and however it is cut.
#include <weir/pipe/filter.h>

#include <random>
#include <set>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <weir/base/file.h>
#include <weir/capture/open_file.h>
#include <weir/capture/walk.h>
#include <weir/cbpf/program.h>

#include "capture_builder.h"
#include "command.h"
#include "rounds.h"

namespace weir::pipe {
namespace {

using tests::CaptureBuilder;
using tests::ipv4_packet;

// Hides what makes the fast path possible.
class SlowSource final : public capture::Source {
 public:
  explicit SlowSource(std::unique_ptr<capture::Source> inner) : inner_(std::move(inner)) { refresh(); }
  Result<capture::Read> read(capture::RecordBatch& batch) override {
    Result<capture::Read> read = inner_->read(batch);
    refresh();
    return read;
  }
  capture::Format format() const override { return inner_->format(); }

 private:
  void refresh() {
    interfaces_ = inner_->interfaces();
    byte_order_ = inner_->byte_order();
    name_ = inner_->name();
    warnings_ = inner_->warnings();
  }
  std::unique_ptr<capture::Source> inner_;
};

// Takes packets by their last byte, so that verdicts look random: `ld len; sub 1; tax; ldb [x+0]; jset mask`.
Result<std::unique_ptr<engine::Engine>> last_byte_engine(std::uint32_t mask) {
  const cbpf::Program program{{0x80, 0, 0, 0},    {0x14, 0, 0, 1},     {0x07, 0, 0, 0}, {0x50, 0, 0, 0},
                              {0x45, 0, 1, mask}, {0x06, 0, 0, 65535}, {0x06, 0, 0, 0}};
  return engine::load(cbpf::check(program, {.target = cbpf::Target::kUser}).value());
}

struct Outcome {
  std::vector<std::string> outputs;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> matched;
  std::string error;
  std::uint64_t error_offset = 0;
  std::size_t warnings = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

struct Setting {
  bool slow = false;
  capture::Format output = capture::Format::kPcap;
  FilterOptions options{};
};

// Two filters in one pass: one takes every other packet or so, the other nearly all.
Outcome filter_file(const std::string& path, const Setting& setting) {
  const tests::TemporaryFolder folder;
  Outcome outcome;
  auto source = capture::open(path);
  if (!source) {
    outcome.error = source.error().message;
    return outcome;
  }
  if (setting.slow) *source = std::make_unique<SlowSource>(std::move(*source));
  std::vector<std::unique_ptr<capture::Sink>> sinks;
  std::vector<Job> jobs;
  for (const std::uint32_t mask : {1u, 0x7fu}) {
    sinks.push_back(capture::create(folder / std::to_string(mask), {.format = setting.output}).value());
    jobs.push_back({[mask](const capture::Interface&) { return last_byte_engine(mask); }, sinks.back().get()});
  }
  jobs.push_back({[](const capture::Interface& of) { return last_byte_engine(of.snap_length % 2 == 0 ? 2 : 4); }});
  Filter filter(std::move(jobs), setting.options);
  const Status status = filter.run(**source);
  if (!status) {
    outcome.error = status.error().message;
    if (const auto* place = std::get_if<OffsetPlace>(&status.error().place)) outcome.error_offset = place->offset;
  }
  for (auto& sink : sinks) EXPECT_TRUE(sink->commit());
  for (const char* name : {"1", "127"}) outcome.outputs.push_back(tests::slurp(folder / name));
  outcome.packets = filter.statistics().packets;
  outcome.bytes = filter.statistics().bytes;
  for (const Matched& job : filter.statistics().jobs) outcome.matched.emplace_back(job.packets, job.bytes);
  outcome.warnings = (*source)->warnings().size();
  return outcome;
}

void expect_same(const std::string& bytes, capture::Format output, std::mt19937& random, const std::string& what) {
  const tests::TemporaryFolder folder;
  tests::write_file(folder / "in", bytes);
  const Outcome expected = filter_file(folder / "in", {.slow = true, .output = output});
  for (const unsigned threads : {1u, 3u}) {
    const std::size_t segment = 16 + random() % 5000;
    const Outcome fast =
        filter_file(folder / "in", {.output = output, .options = {.threads = threads, .segment_size = segment}});
    EXPECT_TRUE(fast == expected) << what << ", segments of " << segment << ", " << threads
                                  << " threads: " << fast.packets << " of " << expected.packets << " packets, '"
                                  << fast.error << "' and '" << expected.error << "' at " << fast.error_offset
                                  << " and " << expected.error_offset;
  }
}

std::vector<std::uint8_t> random_packet(std::mt19937& random, std::size_t longest = 300) {
  std::vector<std::uint8_t> packet = ipv4_packet(random() % longest);
  for (std::size_t i = 15; i < packet.size(); ++i) packet[i] = static_cast<std::uint8_t>(random());
  if (random() % 4 == 0) std::fill(packet.begin(), packet.end(), 0);
  return packet;
}

CaptureBuilder random_pcap(std::mt19937& random, std::endian order, int depth = 1) {
  CaptureBuilder file(order);
  file.pcap_header(random() % 3 == 0 ? 0xa1b23c4d : 0xa1b2c3d4, random() % 8 == 0 ? 250 : 65535);
  for (int i = 0, count = static_cast<int>(random() % 200); i < count; ++i) {
    std::vector<std::uint8_t> packet = random_packet(random);
    // A capture within a capture looks like records at the wrong places.
    if (depth > 0 && random() % 8 == 0) packet = random_pcap(random, order, depth - 1).bytes;
    file.record(packet, static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random() % 1000000),
                static_cast<std::uint32_t>(packet.size() + random() % 3));
  }
  return file;
}

CaptureBuilder random_pcapng(std::mt19937& random, int depth = 1) {
  CaptureBuilder file;
  for (int section = 0, sections = 1 + static_cast<int>(random() % 3); section < sections; ++section) {
    const std::endian order = random() % 2 == 0 ? std::endian::little : std::endian::big;
    CaptureBuilder part(order);
    part.section(random() % 2 == 0 ? ~std::uint64_t{0} : 1000);
    std::uint32_t interfaces = 0;
    for (int i = 0, count = static_cast<int>(random() % 150); i < count; ++i) {
      const unsigned kind = random() % 64;
      if (interfaces == 0 || kind == 0) {
        CaptureBuilder options(order);
        if (random() % 2 == 0) options.option(9, {static_cast<std::uint8_t>(random() % 12)}).number(0u);
        part.interface(random() % 2 == 0 ? 1 : 101, random() % 8 == 0 ? 250 : 65535 + random() % 2, options);
        ++interfaces;
      } else if (kind == 1) {
        part.block(5, CaptureBuilder(order).number(0u).number(0u).number(0u));
      } else if (kind == 2) {
        part.block(0x40000bad, CaptureBuilder(order).number(7u).raw(random_packet(random)));
      } else if (kind == 3) {
        const std::vector<std::uint8_t> packet = random_packet(random, 200);
        part.block(3, CaptureBuilder(order).number(static_cast<std::uint32_t>(packet.size())).raw(packet));
      } else {
        std::vector<std::uint8_t> packet = random_packet(random);
        if (depth > 0 && kind < 8) packet = random_pcapng(random, depth - 1).bytes;
        CaptureBuilder options(order);
        if (kind % 4 == 0) options.option(1, {'h', 'i'}).number(0u);
        part.enhanced(static_cast<std::uint32_t>(random() % interfaces), random(), packet, options);
      }
    }
    file.raw(part.bytes);
  }
  return file;
}

// Half of the time something is wrong with the file.
std::string damaged(const CaptureBuilder& file, std::mt19937& random) {
  std::string bytes = file.text();
  const unsigned how = random() % 4;
  if (how == 0) bytes.resize(bytes.size() - random() % (bytes.size() / 2));
  if (how == 1) bytes[24 + random() % (bytes.size() - 24)] = static_cast<char>(random());
  return bytes;
}

TEST(FilterFastPath, RandomPcapFiles) {
  std::mt19937 random(1);
  for (int round = 0; round < tests::rounds(60); ++round) {
    const std::endian order = round % 4 == 0 ? std::endian::big : std::endian::little;
    CaptureBuilder file = random_pcap(random, order);
    file.record(ipv4_packet(60));
    const auto output = round % 5 == 0 ? capture::Format::kPcapng : capture::Format::kPcap;
    expect_same(damaged(file, random), output, random, "round " + std::to_string(round));
  }
}

TEST(FilterFastPath, RandomPcapngFiles) {
  std::mt19937 random(2);
  for (int round = 0; round < tests::rounds(60); ++round)
    expect_same(damaged(random_pcapng(random), random), capture::Format::kPcapng, random,
                "round " + std::to_string(round));
}

// Real captures, joined to a length that is worth cutting.
TEST(FilterFastPath, RealCaptures) {
  const std::filesystem::path folder = tests::shared_folder() / "data" / "captures";
  WEIR_REQUIRE_SHARED(folder);
  std::mt19937 random(3);
  std::string joined = CaptureBuilder(std::endian::little).pcap_header().text();
  std::string nested = joined;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string file = tests::slurp(entry.path());
    if (file.substr(0, 4) != "\xd4\xc3\xb2\xa1") continue;
    if (file.size() < 60000) {
      CaptureBuilder record;
      record.record({file.begin(), file.end()});
      nested += record.text();
    }
    auto source = capture::open(entry.path());
    if (!source) continue;
    capture::RecordBatch batch;
    while ((*source)->read(batch) == capture::Read::kMore)
      for (const capture::Record& one : batch.records)
        joined.append(reinterpret_cast<const char*>(one.raw.data()), one.raw.size());
  }
  expect_same(joined, capture::Format::kPcap, random, "joined");
  expect_same(nested, capture::Format::kPcap, random, "nested");
}

// Packets that are whole captures: in most of the file, chains of sound records lie at places where none of the file's
// own starts. Cut as any file of this size is; the guesses must be seen to be wrong, or the test would test nothing.
void expect_nested(capture::Format format) {
  std::mt19937 random(4);
  const bool pcap = format == capture::Format::kPcap;
  CaptureBuilder file;
  if (pcap) file.pcap_header(0xa1b2c3d4, 262144);
  else file.section().interface(1, 262144);
  std::set<std::uint64_t> starts;
  while (file.bytes.size() < (6u << 20)) {
    CaptureBuilder inner;
    if (pcap) inner.pcap_header();
    else inner.section().interface(1, 65535);
    const std::size_t size = 1000 + random() % 180000;
    while (inner.bytes.size() < size) {
      if (pcap) inner.record(random_packet(random));
      else inner.enhanced(0, random(), random_packet(random));
    }
    starts.insert(file.bytes.size());
    if (pcap) file.record(inner.bytes);
    else file.enhanced(0, random(), inner.bytes);
  }
  const tests::TemporaryFolder folder;
  tests::write_file(folder / "in", file.text());
  auto source = capture::open(folder / "in");
  ASSERT_TRUE(source);
  capture::RecordBatch batch;
  if (!pcap) {
    ASSERT_TRUE((*source)->read(batch));  // the section and its interface
  }
  const auto region = (*source)->region();
  ASSERT_TRUE(region);
  int wrong = 0;
  for (std::uint64_t at = 131072; at + 131072 < region->bytes.size(); at += 131072) {
    const auto guess = capture::find_record(*region, at, at + 131072);
    if (guess && !starts.contains(region->offset + *guess)) ++wrong;
  }
  EXPECT_GT(wrong, 20);
  const Outcome expected = filter_file(folder / "in", {.slow = true, .output = format});
  EXPECT_EQ(expected.packets, starts.size());
  for (const unsigned threads : {1u, 2u, 5u})
    EXPECT_TRUE(filter_file(folder / "in", {.output = format, .options = {.threads = threads}}) == expected) << threads;
}

TEST(FilterFastPath, CapturesOfCaptures) {
  expect_nested(capture::Format::kPcap);
  expect_nested(capture::Format::kPcapng);
}

TEST(FilterFastPath, FileThatShrinks) {
  const tests::TemporaryFolder folder;
  CaptureBuilder file;
  file.pcap_header();
  for (int i = 0; i < 3000; ++i) file.record(ipv4_packet(1000));
  for (const std::size_t left : {std::size_t{0}, std::size_t{5000}, std::size_t{1000001}}) {
    tests::write_file(folder / "in", file.text());
    auto source = capture::open(folder / "in");
    ASSERT_TRUE(source);
    bool cut = false;
    FilterOptions options{.threads = 2, .segment_size = 20000};
    options.progress = [&](const Statistics&) {
      if (!cut) std::filesystem::resize_file(folder / "in", left);
      cut = true;
    };
    Filter filter({{[](const capture::Interface&) { return last_byte_engine(1); }}}, options);
    const Status status = filter.run(**source);
    ASSERT_FALSE(status) << left;
    EXPECT_EQ(status.error().message, "the file became shorter while it was read");
    EXPECT_GT(filter.statistics().packets, 0u);
    EXPECT_LT(filter.statistics().packets, 3000u);
  }
}

// What was cut off is neither written as zeros to a file, nor into a pipe that takes its time.
TEST(FilterFastPath, FileThatShrinksWhileItIsWritten) {
  const tests::TemporaryFolder folder;
  CaptureBuilder builder;
  builder.pcap_header();
  for (int i = 0; i < 6000; ++i) builder.record(ipv4_packet(1000, 1));
  const std::string text = builder.text();
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& to : {pipe, folder / "out"})
    for (const unsigned threads : {1u, 2u}) {
      tests::write_file(folder / "in", text);
      auto source = capture::open(folder / "in");
      ASSERT_TRUE(source);
      std::string read;
      std::thread reader([&] {
        if (to != pipe) return;
        const auto file = open_for_reading(pipe);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));  // by now the writer waits
        std::filesystem::resize_file(folder / "in", 1000001);
        char bytes[4096];
        for (ssize_t got; (got = ::read(file->get(), bytes, sizeof bytes)) > 0;)
          read.append(bytes, static_cast<std::size_t>(got));
      });
      {
        auto sink = capture::create(to, {.longest_snap_length = (*source)->interfaces().front().snap_length});
        ASSERT_TRUE(sink) << sink.error().message;
        FilterOptions options{.threads = threads, .segment_size = to == pipe ? std::size_t{0} : std::size_t{300000}};
        options.progress = [&](const Statistics&) {
          if (to != pipe) std::filesystem::resize_file(folder / "in", 1000001);
        };
        Filter filter({{[](const capture::Interface&) { return last_byte_engine(0xff); }, sink->get()}}, options);
        const Status status = filter.run(**source);
        EXPECT_EQ(status ? "" : status.error().message, "the file became shorter while it was read");
        static_cast<void>((*sink)->commit());
      }
      reader.join();
      if (to != pipe) read = *read_whole_file(to);
      EXPECT_LT(read.size(), text.size());
      const auto wrong = std::mismatch(read.begin(), read.end(), text.begin()).first - read.begin();
      EXPECT_EQ(static_cast<std::size_t>(wrong), read.size()) << to << ", " << threads << " threads";
    }
}

// What comes through a pipe goes on before the next is waited for.
TEST(FilterPipe, MatchesDoNotWaitForThePacketsBehindThem) {
  const tests::TemporaryFolder folder;
  for (const capture::Format format : {capture::Format::kPcap, capture::Format::kPcapng}) {
    CaptureBuilder builder;
    builder.pcap_header().record(ipv4_packet(100, 1));
    int in[2];
    int out[2];
    ASSERT_EQ(::pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    const FileDescriptor out_read(out[0]);
    FileDescriptor out_write(out[1]);
    const std::string text = builder.text();
    ASSERT_TRUE(write_all(in[1], {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "in"));
    bool came = false;
    std::thread reader([&] {
      const FileDescriptor in_write(in[1]);  // open until something came, or too late
      pollfd wait{out_read.get(), POLLIN, 0};
      came = ::poll(&wait, 1, 5000) == 1;
    });
    auto source = capture::open(FileDescriptor(in[0]), "in");
    ASSERT_TRUE(source);
    auto sink = capture::create("/dev/fd/" + std::to_string(out_write.get()), {.format = format});
    ASSERT_TRUE(sink);
    Filter filter({{[](const capture::Interface&) { return last_byte_engine(0xff); }, sink->get()}});
    EXPECT_TRUE(filter.run(**source));
    reader.join();
    EXPECT_TRUE(came);
  }
}

}  // namespace
}  // namespace weir::pipe
