// Every engine beside libpcap's bpf_filter, the same program compiled by clang -O3, and the kernel: one run, ratios.
//
// usage: engine_bench CAPTURE [-t TRAFFIC] [-r ROUNDS] [FILTER...|compile]
//
// The programs are libpcap's own, optimised, so all run the same instructions (but for 1,000 hosts, which take libpcap
// minutes: a chain of comparisons in the order that libpcap gives shorter lists). The last column, "weir", is what a
// user of the library gets for the expression: weir's own program, on the engine that it chooses. Packets are the first
// 96 bytes of a capture's. What a branch predictor remembers decides much, so there are four kinds of traffic:
//   random   a million packets drawn at random from 4,096: in the caches, and nothing to learn. The default
//   hot1k    1,024 packets again and again: learnt by heart
//   hot16k   16,384 packets again and again: beyond the second cache of small processors, and partly learnt
//   stream   a million packets in the capture's order: from memory, and nothing to learn
// Each contestant takes pieces of the trace, one after another, where it stopped before. Rounds of all contestants are
// interleaved; what counts is the processor time of the fastest round, which a busy machine disturbs least.
// The kernel runs the program as its own converter makes it, by BPF_PROG_TEST_RUN, over 32 packets, each repeated, less
// the time of an empty program: its branches are predicted always.
// Every contestant's verdicts are compared with libpcap's before anything is timed.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <pcap/pcap.h>

#include <weir/convert/convert.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/kernel/program.h>
#include <weir/weir.h>

#include "c_program.h"
#include "traffic.h"

namespace {

using namespace weir;

struct Case {
  std::string name;
  std::string expression;
};

// Half of them occur in what make_capture makes; no two are near each other.
std::uint32_t host(unsigned i) {
  return i % 2 == 0 ? 0xc0a80000 + (i * 2654435761u >> 14) : 0x2c000000 + (i * 2654435761u >> 8);
}

std::string hosts(unsigned count) {
  std::string out;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned address = host(i);
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
          {"hosts300", hosts(300)},
          {"hosts1000", hosts(1000)}};
}

// The list of hosts as a chain: for IPv4, then for ARP and RARP, each source against all hosts, then each destination.
cbpf::Program chain_of_hosts(unsigned count) {
  using cbpf::Opcode;
  std::vector<cbpf::Instruction> out;
  const auto compare_all = [&](std::uint32_t at) {
    out.push_back(cbpf::make(Opcode::kLdWordAbsolute, at));
    for (unsigned i = 0; i < count;) {
      const unsigned here = std::min(count - i, 200u);  // jumps reach 255 instructions
      for (unsigned j = 0; j < here; ++j)
        out.push_back(cbpf::make_jump(Opcode::kJeqK, host(i + j), static_cast<std::uint8_t>(here - j), 0));
      out.push_back(cbpf::make(Opcode::kJa, 1));
      out.push_back(cbpf::make(Opcode::kRetK, 262144));
      i += here;
    }
  };
  const auto compare_both = [&](std::uint32_t source, std::uint32_t destination) {
    compare_all(source);
    compare_all(destination);
    out.push_back(cbpf::make(Opcode::kRetK, 0));
  };
  out.push_back(cbpf::make(Opcode::kLdHalfAbsolute, 12));
  out.push_back(cbpf::make_jump(Opcode::kJeqK, 0x800, 1, 0));
  out.push_back(cbpf::make(Opcode::kJa, 2 * (count + 2 * ((count + 199) / 200) + 1) + 1));
  compare_both(26, 30);
  out.push_back(cbpf::make_jump(Opcode::kJeqK, 0x806, 2, 0));
  out.push_back(cbpf::make_jump(Opcode::kJeqK, 0x8035, 1, 0));
  out.push_back(cbpf::make(Opcode::kRetK, 0));
  compare_both(28, 38);
  return cbpf::Program(std::move(out));
}

// What libpcap makes of the expression, also in its own form.
cbpf::Program compile(const Case& one, bpf_program& theirs) {
  std::vector<cbpf::Instruction> program;
  if (one.name == "hosts1000") {
    cbpf::Program chain = chain_of_hosts(1000);
    theirs.bf_len = static_cast<u_int>(chain.size());
    theirs.bf_insns = static_cast<bpf_insn*>(std::calloc(chain.size(), sizeof(bpf_insn)));  // pcap_freecode frees it
    for (u_int i = 0; i < theirs.bf_len; ++i)
      theirs.bf_insns[i] = {chain[i].code, chain[i].jt, chain[i].jf, chain[i].k};
    return chain;
  }
  pcap_t* dead = pcap_open_dead(DLT_EN10MB, 262144);
  if (pcap_compile(dead, &theirs, one.expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    std::fprintf(stderr, "%s: %s\n", one.expression.c_str(), pcap_geterr(dead));
    std::exit(1);
  }
  pcap_close(dead);
  for (u_int i = 0; i < theirs.bf_len; ++i) {
    const bpf_insn& from = theirs.bf_insns[i];
    program.push_back({from.code, from.jt, from.jf, from.k});
  }
  return cbpf::Program(std::move(program));
}

struct Contestant {
  std::string name;
  std::function<void(const packet::Columns&, std::span<std::uint32_t>)> run;
  std::vector<double> times{};
  std::size_t at = 0;  // of the trace
};

double least(const std::vector<double>& times) { return *std::min_element(times.begin(), times.end()); }

double processor_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

packet::Columns part_of(packet::Columns columns, std::size_t begin, std::size_t count) {
  columns.offsets += begin;
  columns.lengths += begin;
  columns.wire_lengths += begin;
  columns.count = count;
  return columns;
}

std::vector<Contestant> contestants(const Case& one, const bpf_program& theirs, const cbpf::Program& program,
                                    std::vector<std::unique_ptr<engine::Engine>>& engines) {
  std::vector<Contestant> out;
  out.push_back({"libpcap", [&theirs](const packet::Columns& columns, std::span<std::uint32_t> verdicts) {
                   for (std::size_t i = 0; i < columns.count; ++i)
                     verdicts[i] = bpf_filter(theirs.bf_insns, columns.base + columns.offsets[i],
                                              columns.wire_lengths[i], columns.lengths[i]);
                 }});
  if (const bench::CompiledC compiled = bench::compile_c(program))
    out.push_back({"clang", [compiled](const packet::Columns& columns, std::span<std::uint32_t> verdicts) {
                     compiled(columns.base, columns.offsets, columns.lengths, columns.wire_lengths, columns.count,
                              verdicts.data());
                   }});
  const auto checked = cbpf::check(program, {.target = cbpf::Target::kUser});
  if (!checked) {
    std::fprintf(stderr, "engine_bench: %s\n", checked.error().message.c_str());
    std::exit(1);
  }
  for (const engine::KindInfo& info : engine::kinds()) {
    if (info.kind == engine::Kind::kAutomatic) continue;
    auto engine = engine::load(*checked, {.kind = info.kind});
    if (!engine) continue;
    engines.push_back(std::move(*engine));
    out.push_back({std::string(info.name),
                   [engine = engines.back().get()](const packet::Columns& columns, std::span<std::uint32_t> verdicts) {
                     engine->run(columns, verdicts);
                   }});
  }
  if (auto filter = Filter::compile(one.expression, {.load = {.expected_packets = 1 << 20}}))
    out.push_back(
        {"weir", [filter = std::move(*filter)](const packet::Columns& columns, std::span<std::uint32_t> verdicts) {
           filter.engine().run(columns, verdicts);
         }});
  return out;
}

void check_equal(const Case& one, const std::vector<Contestant>& all, packet::Columns columns) {
  columns.count = std::min<std::size_t>(columns.count, 65536);
  std::vector<std::uint32_t> expected(columns.count);
  all.front().run(columns, expected);
  for (const Contestant& contestant : all) {
    std::vector<std::uint32_t> verdicts(columns.count, 1);
    contestant.run(columns, verdicts);
    if (verdicts == expected) continue;
    std::fprintf(stderr, "%s: %s differs from libpcap\n", one.name.c_str(), contestant.name.c_str());
    std::exit(1);
  }
}

// piece: packets a call.
void time_all(std::vector<Contestant>& all, const packet::Columns& columns, std::size_t piece, int rounds) {
  std::vector<std::uint32_t> verdicts(piece);
  for (int round = 0; round < rounds; ++round)
    for (Contestant& contestant : all) {
      const double start = processor_nanoseconds();
      double now = start;
      std::size_t packets = 0;
      do {
        if (contestant.at + piece > columns.count) contestant.at = 0;
        contestant.run(part_of(columns, contestant.at, piece), verdicts);
        contestant.at += piece;
        packets += piece;
        now = processor_nanoseconds();
      } while (now - start < 2e6);
      contestant.times.push_back((now - start) / static_cast<double>(packets));
    }
}

// Nanoseconds a packet in the running kernel; 0 where it does not take the program.
double kernel_nanoseconds(const cbpf::Program& program, const packet::Columns& columns) {
  const auto load = [](const cbpf::Program& classic) -> Result<kernel::Program> {
    WEIR_TRY(const cbpf::Checked checked, cbpf::check(classic, {.target = cbpf::Target::kSocket}));
    WEIR_TRY(ebpf::Program extended, convert::convert(checked, {.context = convert::Context::kSocket}));
    extended.type = ebpf::ProgramType::kSchedCls;
    return kernel::Program::load(extended, {.source_lines = false});
  };
  const auto loaded = load(program);
  const auto empty = load(cbpf::Program{cbpf::make(cbpf::Opcode::kRetK, 0)});
  if (!loaded || !empty) return 0;
  double sum = 0;
  int packets = 0;
  for (std::size_t i = 0; i < 32 && i < columns.count; ++i) {
    const packet::Packet packet = columns[i];
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < 5; ++round)
      for (const int which : {0, 1}) {
        const auto ran =
            (which == 0 ? *loaded : *empty).test_run({.input = {packet.data, packet.length}, .repeat = 20000});
        if (!ran) return 0;
        best[which] = std::min<double>(best[which], ran->nanoseconds);
      }
    sum += best[0] - best[1];
    ++packets;
  }
  return sum / packets;
}

// The least of 51 rounds. Short work is done several times a round, since reading the clock is a system call.
double microseconds(const std::function<bool()>& work) {
  const auto round = [&](int turns) {
    const double start = processor_nanoseconds();
    for (int i = 0; i < turns; ++i)
      if (!work()) return 0.0;
    return (processor_nanoseconds() - start) / 1000 / turns;
  };
  constexpr double kRound = 1000;
  const double first = round(1);
  const int turns = first == 0 ? 1 : static_cast<int>(std::clamp(kRound / first, 1.0, 50.0));
  std::vector<double> times;
  for (int i = 0; i < 51; ++i) times.push_back(round(turns));
  return least(times);
}

// From the expression to machine code, by way of the classic program.
void print_compile_times() {
  std::printf("\n%-10s %6s %14s %14s %14s %14s %14s\n", "compile us", "insns", "text-program", "program-scalar",
              "program-avx2", "text-scalar", "text-avx2");
  std::vector<Case> all{{"port22", "port 22"}};
  for (const Case& one : cases()) all.push_back(one);
  for (const Case& one : all) {
    const auto compiled = filter::compile(one.expression);
    if (!compiled) continue;
    const auto load = [](const cbpf::Checked& program, engine::Kind kind) {
      return engine::load(program, {.kind = kind}).has_value();
    };
    std::printf("%-10s %6zu %14.1f", one.name.c_str(), compiled->program.program().size(),
                microseconds([&] { return filter::compile(one.expression).has_value(); }));
    for (const engine::Kind kind : {engine::Kind::kScalar, engine::Kind::kAvx2})
      std::printf(" %14.1f", microseconds([&] { return load(compiled->program, kind); }));
    for (const engine::Kind kind : {engine::Kind::kScalar, engine::Kind::kAvx2})
      std::printf(" %14.1f", microseconds([&] {
                    const auto made = filter::compile(one.expression);
                    return made && load(made->program, kind);
                  }));
    std::printf("\n");
  }
}

struct Trace {
  std::string name;
  bench::Traffic traffic;
  std::size_t piece;
};

std::optional<Trace> make_trace(const std::string& path, const std::string& name) {
  constexpr std::size_t kMany = 1 << 20;
  const std::size_t distinct = name == "hot1k" ? 1024 : name == "hot16k" ? 16384 : name == "stream" ? kMany : 4096;
  if (distinct == 4096 && name != "random") return std::nullopt;
  auto traffic = bench::read_traffic(path, distinct, 96);
  if (!traffic || traffic->offsets.empty()) return std::nullopt;
  if (name == "random") *traffic = bench::shuffle(*traffic, distinct, kMany);
  const std::size_t count = traffic->offsets.size();
  return Trace{name, std::move(*traffic),
               std::min<std::size_t>(count, name == "hot16k"  ? 16384
                                            : name == "hot1k" ? 1024
                                                              : 4096)};
}

void print_row(const Case& one, const cbpf::Program& program, const std::vector<Contestant>& all, double kernel) {
  const double libpcap = least(all[0].times);
  const double clang = all.size() > 1 && all[1].name == "clang" ? least(all[1].times) : 0;
  std::printf("%-10s %5zu", one.name.c_str(), program.size());
  for (const Contestant& contestant : all) {
    const double time = least(contestant.times);
    std::printf(" %8.2f %6.1fx %4.2f", time, libpcap / time, clang / time);
  }
  std::printf(" %8.1f\n", kernel);
  std::fflush(stdout);
}

struct Options {
  int rounds = 15;
  std::string path;
  std::vector<std::string> traffic;
  std::vector<std::string> wanted;
};

bool wanted(const Options& options, const std::string& name) {
  return options.wanted.empty() ||
         std::find(options.wanted.begin(), options.wanted.end(), name) != options.wanted.end();
}

void run_traffic(const Options& options, const Trace& trace) {
  const packet::Columns columns = trace.traffic.columns();
  std::printf("\ntraffic: %s; ns a packet, least of %d interleaved rounds; times faster than libpcap, and than clang\n",
              trace.name.c_str(), options.rounds);
  std::map<std::string, double> logs;  // of libpcap's time over the contestant's
  std::map<std::string, double> clang_logs;
  int filters = 0;
  for (const Case& one : cases()) {
    if (!wanted(options, one.name)) continue;
    bpf_program theirs{};
    const cbpf::Program program = compile(one, theirs);
    std::vector<std::unique_ptr<engine::Engine>> engines;
    std::vector<Contestant> all = contestants(one, theirs, program, engines);
    check_equal(one, all, columns);
    time_all(all, columns, trace.piece, options.rounds);
    if (filters++ == 0) {
      std::printf("%-10s %5s", "filter", "insns");
      for (const Contestant& contestant : all) std::printf(" %21s", contestant.name.c_str());
      std::printf(" %8s\n", "kernel");
    }
    print_row(one, program, all, kernel_nanoseconds(program, columns));
    for (const Contestant& contestant : all) {
      logs[contestant.name] += std::log(least(all[0].times) / least(contestant.times));
      clang_logs[contestant.name] += std::log(least(contestant.times) / least(all[1].times));
    }
    pcap_freecode(&theirs);
  }
  for (const auto& [name, log] : logs)
    std::printf("%-12s geometric mean: %6.2f x libpcap, %5.2f of %s's time\n", name.c_str(), std::exp(log / filters),
                std::exp(clang_logs[name] / filters), clang_logs.count("clang") != 0 ? "clang" : "the second");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "-r") == 0 && i + 1 < argc) {
      options.rounds = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "-t") == 0 && i + 1 < argc) {
      options.traffic.emplace_back(argv[++i]);
    } else if (options.path.empty()) {
      options.path = argv[i];
    } else {
      options.wanted.emplace_back(argv[i]);
    }
  }
  if (options.traffic.empty()) options.traffic = {"random"};
  if (options.wanted == std::vector<std::string>{"compile"}) return print_compile_times(), 0;
  for (const std::string& name : options.traffic) {
    const std::optional<Trace> trace = make_trace(options.path, name);
    if (!trace) {
      std::fprintf(stderr,
                   "usage: engine_bench CAPTURE [-t random|hot1k|hot16k|stream]... [-r ROUNDS] [FILTER...|compile]\n");
      return 2;
    }
    run_traffic(options, *trace);
  }
  if (options.wanted.empty()) print_compile_times();
  return 0;
}
