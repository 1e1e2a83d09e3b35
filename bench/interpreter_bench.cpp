// weir's interpreter beside libpcap's bpf_filter: the same programs over the same packets, in one run.
//
// The programs are libpcap's own, optimised, so both run the same instructions. The packets are read from a capture
// (made by make_capture, or any other): the first 16,384 of it. Times are of one pass over all packets; the ratio for
// each filter is printed at the end, libpcap's time over weir's: above 1, weir is faster.
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <pcap/pcap.h>

#include <weir/capture/source.h>
#include <weir/engine/engine.h>

namespace {

struct Case {
  std::string name;
  std::string expression;
};

std::string hosts(int count) {
  std::string out;
  for (int i = 0; i < count; ++i)
    out += (i == 0 ? "host 10.0." : " or host 10.0.") + std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
  return out;
}

std::vector<Case> cases() {
  return {{"ip", "ip"},
          {"ip6", "ip6"},
          {"vlan", "vlan and ip"},
          {"tcp443", "tcp port 443"},
          {"portrange", "portrange 6000-8000"},
          {"synfin", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10.0.0.0/8"},
          {"hosttcp", "host 10.0.0.1 and tcp"},
          {"hosts10", hosts(10)},
          {"hosts100", hosts(100)}};
}

struct Packets {
  std::vector<std::vector<std::uint8_t>> bytes;
  std::vector<weir::packet::Packet> packets;
};

Packets read_packets(const char* path) {
  constexpr std::size_t kCount = 16384;
  Packets out;
  auto source = weir::capture::open(path);
  if (!source) return out;
  weir::capture::RecordBatch batch;
  while (out.bytes.size() < kCount) {
    if ((*source)->read(batch) != weir::capture::Read::kMore) break;
    for (const weir::packet::Packet& packet : batch.packets)
      if (out.bytes.size() < kCount) out.bytes.emplace_back(packet.data, packet.data + packet.length);
  }
  for (const auto& bytes : out.bytes) out.packets.push_back(weir::packet::make_packet(bytes));
  return out;
}

struct Compiled {
  bpf_program theirs{};
  std::unique_ptr<weir::engine::Engine> ours;
};

Compiled compile(const std::string& expression) {
  Compiled out;
  pcap_t* dead = pcap_open_dead(DLT_EN10MB, 262144);
  if (pcap_compile(dead, &out.theirs, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    std::fprintf(stderr, "%s: %s\n", expression.c_str(), pcap_geterr(dead));
    std::exit(1);
  }
  pcap_close(dead);
  std::vector<weir::cbpf::Instruction> program;
  for (u_int i = 0; i < out.theirs.bf_len; ++i) {
    const bpf_insn& from = out.theirs.bf_insns[i];
    program.push_back({from.code, from.jt, from.jf, from.k});
  }
  auto checked = weir::cbpf::check(weir::cbpf::Program(std::move(program)), {.target = weir::cbpf::Target::kUser});
  out.ours = std::move(*weir::engine::load(*checked, {.kind = weir::engine::Kind::kInterpreter}));
  return out;
}

// Keeps each benchmark's time, for the ratios.
class Ratios : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      double& best = times[run.benchmark_name()];
      if (best == 0 || run.GetAdjustedRealTime() < best) best = run.GetAdjustedRealTime();
    }
  }
  std::map<std::string, double> times;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: interpreter_bench [--benchmark_...] CAPTURE\n");
    return 2;
  }
  const Packets packets = read_packets(argv[1]);
  if (packets.packets.empty()) {
    std::fprintf(stderr, "no packets in %s\n", argv[1]);
    return 1;
  }
  std::vector<Compiled> compiled;
  for (const Case& one : cases()) compiled.push_back(compile(one.expression));
  std::vector<std::uint32_t> verdicts(packets.packets.size());
  for (std::size_t i = 0; i < compiled.size(); ++i) {
    const std::string name = cases()[i].name;
    Compiled& program = compiled[i];
    std::uint64_t theirs = 0;
    for (const auto& packet : packets.packets)
      theirs += bpf_filter(program.theirs.bf_insns, packet.data, packet.wire_length, packet.length) != 0;
    program.ours->run(packets.packets, verdicts);
    std::uint64_t ours = 0;
    for (const std::uint32_t verdict : verdicts) ours += verdict != 0;
    if (ours != theirs) {
      std::fprintf(stderr, "%s: %llu matches, libpcap %llu\n", name.c_str(), static_cast<unsigned long long>(ours),
                   static_cast<unsigned long long>(theirs));
      return 1;
    }
    benchmark::RegisterBenchmark((name + "/libpcap").c_str(), [&program, &packets](benchmark::State& state) {
      for (auto _ : state) {
        u_int sum = 0;
        for (const auto& packet : packets.packets)
          sum += bpf_filter(program.theirs.bf_insns, packet.data, packet.wire_length, packet.length);
        benchmark::DoNotOptimize(sum);
      }
      state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(packets.packets.size()));
    })->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark((name + "/weir").c_str(), [&program, &packets, &verdicts](benchmark::State& state) {
      for (auto _ : state) {
        program.ours->run(packets.packets, verdicts);
        benchmark::DoNotOptimize(verdicts.data());
      }
      state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(packets.packets.size()));
    })->Unit(benchmark::kMicrosecond);
  }
  Ratios reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);

  std::printf("\n%-12s %14s %14s %8s\n", "filter", "libpcap ns/pkt", "weir ns/pkt", "ratio");
  double product = 0;
  int count = 0;
  for (const Case& one : cases()) {
    const double per_packet = 1000.0 / static_cast<double>(packets.packets.size());
    const double theirs = reporter.times[one.name + "/libpcap"] * per_packet;
    const double ours = reporter.times[one.name + "/weir"] * per_packet;
    if (theirs == 0 || ours == 0) continue;
    std::printf("%-12s %14.2f %14.2f %8.2f\n", one.name.c_str(), theirs, ours, theirs / ours);
    product += std::log(theirs / ours);
    ++count;
  }
  if (count > 0) std::printf("%-12s %14s %14s %8.2f\n", "geomean", "", "", std::exp(product / count));
  return 0;
}
