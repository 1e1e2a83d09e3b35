// Every engine beside libpcap's bpf_filter and beside the same program compiled by clang -O3: one run, ratios.
//
// usage: engine_bench CAPTURE [-p PACKETS] [-r ROUNDS] [FILTER...]
//
// The programs are libpcap's own, optimised, so all run the same instructions; packets are the first 96 bytes of a
// capture's, 16,384 of them, so they stay in the caches. Rounds of all contestants are interleaved; what counts is the
// processor time of the fastest round, which a busy machine disturbs least.
// Every contestant's verdicts are compared with libpcap's before anything is timed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <pcap/pcap.h>

#include <weir/engine/engine.h>

#include "c_program.h"
#include "traffic.h"

namespace {

using namespace weir;

struct Case {
  std::string name;
  std::string expression;
};

// Half of them occur in what make_capture makes; no two are near each other.
std::string hosts(unsigned count) {
  std::string out;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned known = 0xc0a80000 + (i * 2654435761u >> 14);
    const unsigned other = 0x2c000000 + (i * 2654435761u >> 8);
    const unsigned address = i % 2 == 0 ? known : other;
    char text[64];
    std::snprintf(text, sizeof text, "%shost %u.%u.%u.%u", i == 0 ? "" : " or ", address >> 24, address >> 16 & 255,
                  address >> 8 & 255, address & 255);
    out += text;
  }
  return out;
}

std::vector<Case> cases() {
  return {{"ip", "ip"},
          {"ip6", "ip6"},
          {"vlanip", "vlan and ip"},
          {"hosttcp", "host 10.0.0.1 and tcp"},
          {"synfin", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10.0.0.0/8"},
          {"tcp443", "tcp port 443"},
          {"portrange", "portrange 6000-8000"},
          {"hosts10", hosts(10)},
          {"hosts100", hosts(100)},
          {"hosts300", hosts(300)}};
}

cbpf::Program compile(const std::string& expression, bpf_program& theirs) {
  pcap_t* dead = pcap_open_dead(DLT_EN10MB, 262144);
  if (pcap_compile(dead, &theirs, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    std::fprintf(stderr, "%s: %s\n", expression.c_str(), pcap_geterr(dead));
    std::exit(1);
  }
  pcap_close(dead);
  std::vector<cbpf::Instruction> program;
  for (u_int i = 0; i < theirs.bf_len; ++i) {
    const bpf_insn& from = theirs.bf_insns[i];
    program.push_back({from.code, from.jt, from.jf, from.k});
  }
  return cbpf::Program(std::move(program));
}

struct Contestant {
  std::string name;
  std::function<void(std::vector<std::uint32_t>&)> run;
  std::vector<double> times{};
};

double least(const std::vector<double>& times) { return *std::min_element(times.begin(), times.end()); }

double processor_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

std::vector<Contestant> contestants(const bpf_program& theirs, const cbpf::Program& program,
                                    const packet::Columns& columns,
                                    std::vector<std::unique_ptr<engine::Engine>>& engines) {
  std::vector<Contestant> out;
  out.push_back({"libpcap", [&theirs, columns](std::vector<std::uint32_t>& verdicts) {
                   for (std::size_t i = 0; i < columns.count; ++i)
                     verdicts[i] = bpf_filter(theirs.bf_insns, columns.base + columns.offsets[i],
                                              columns.wire_lengths[i], columns.lengths[i]);
                 }});
  if (const bench::CompiledC compiled = bench::compile_c(program))
    out.push_back({"clang", [compiled, columns](std::vector<std::uint32_t>& verdicts) {
                     compiled(columns.base, columns.offsets, columns.lengths, columns.wire_lengths, columns.count,
                              verdicts.data());
                   }});
  const auto checked = cbpf::check(program, {.target = cbpf::Target::kUser});
  for (const engine::KindInfo& info : engine::kinds()) {
    if (info.kind == engine::Kind::kAutomatic) continue;
    auto engine = engine::load(*checked, {.kind = info.kind});
    if (!engine) continue;
    engines.push_back(std::move(*engine));
    out.push_back(
        {std::string(info.name), [engine = engines.back().get(), columns](std::vector<std::uint32_t>& verdicts) {
           engine->run(columns, verdicts);
         }});
  }
  return out;
}

void check_equal(const Case& one, const std::vector<Contestant>& all, std::size_t count) {
  std::vector<std::uint32_t> expected(count);
  all.front().run(expected);
  for (const Contestant& contestant : all) {
    std::vector<std::uint32_t> verdicts(count, 1);
    contestant.run(verdicts);
    if (verdicts == expected) continue;
    std::fprintf(stderr, "%s: %s differs from libpcap\n", one.name.c_str(), contestant.name.c_str());
    std::exit(1);
  }
}

void time_all(std::vector<Contestant>& all, std::size_t count, int rounds) {
  std::vector<std::uint32_t> verdicts(count);
  for (int round = 0; round < rounds; ++round)
    for (Contestant& contestant : all) {
      const double start = processor_nanoseconds();
      double now = start;
      int passes = 0;
      do {
        contestant.run(verdicts);
        ++passes;
        now = processor_nanoseconds();
      } while (now - start < 1e6);
      contestant.times.push_back((now - start) / passes / static_cast<double>(count));
    }
}

double compile_microseconds(const cbpf::Program& program, engine::Kind kind) {
  const auto checked = cbpf::check(program, {.target = cbpf::Target::kUser});
  std::vector<double> times;
  for (int i = 0; i < 31; ++i) {
    const double start = processor_nanoseconds();
    const auto engine = engine::load(*checked, {.kind = kind});
    times.push_back((processor_nanoseconds() - start) / 1000);
    if (!engine) return 0;
  }
  return least(times);
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t packets = 16384;
  int rounds = 15;
  std::string path;
  std::vector<std::string> wanted;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "-p") == 0 && i + 1 < argc) {
      packets = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "-r") == 0 && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else if (path.empty()) {
      path = argv[i];
    } else {
      wanted.push_back(argv[i]);
    }
  }
  const auto traffic = bench::read_traffic(path, packets, 96);
  if (!traffic || traffic->offsets.empty()) {
    std::fprintf(stderr, "usage: engine_bench CAPTURE [-p PACKETS] [-r ROUNDS] [FILTER...]\n");
    return 2;
  }
  const packet::Columns columns = traffic->columns();
  std::printf("ns a packet, least of %d interleaved rounds; %zu packets\n", rounds, columns.count);
  std::map<std::string, double> logs;  // of libpcap's time over the contestant's
  std::map<std::string, double> clang_logs;
  int filters = 0;
  for (const Case& one : cases()) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), one.name) == wanted.end()) continue;
    bpf_program theirs{};
    const cbpf::Program program = compile(one.expression, theirs);
    std::vector<std::unique_ptr<engine::Engine>> engines;
    std::vector<Contestant> all = contestants(theirs, program, columns, engines);
    check_equal(one, all, columns.count);
    time_all(all, columns.count, rounds);
    const double libpcap = least(all[0].times);
    const double clang = all.size() > 1 && all[1].name == "clang" ? least(all[1].times) : 0;
    if (filters++ == 0) {
      std::printf("%-10s %5s", "filter", "insns");
      for (const Contestant& contestant : all) std::printf(" %18s", contestant.name.c_str());
      std::printf("   compile us\n");
    }
    std::printf("%-10s %5zu", one.name.c_str(), program.size());
    for (const Contestant& contestant : all) {
      const double time = least(contestant.times);
      std::printf(" %7.2f %4.1fx %4.2f", time, libpcap / time, clang / time);
      logs[contestant.name] += std::log(libpcap / time);
      if (clang != 0) clang_logs[contestant.name] += std::log(time / clang);
    }
    for (const engine::KindInfo& info : engine::kinds())
      if (info.kind > engine::Kind::kInterpreter) std::printf(" %6.0f", compile_microseconds(program, info.kind));
    std::printf("\n");
    std::fflush(stdout);
    pcap_freecode(&theirs);
  }
  for (const auto& [name, log] : logs)
    std::printf("%-12s geometric mean: %6.2f x libpcap, %5.2f of clang's time\n", name.c_str(), std::exp(log / filters),
                std::exp(clang_logs[name] / filters));
  return 0;
}
