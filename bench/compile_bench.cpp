// Compiling expressions, beside libpcap in the same run: small ones; lists of 1,000 to 10,000 terms with their growth,
// the length of the programs, and how many instructions a packet executes at most; the expressions of libpcap's own
// tests, those longest in comparison first (the file of WEIR_SHARED).
//
// libpcap takes minutes for a thousand hosts, so its lists have 50 to 200 terms: their growth tells the rest.
// Times are the shortest of many runs, since the machine may be busy. Prints tables; exits with 1 where a bound that
// the project has set itself is missed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <weir/filter/compile.h>

#include "accept_lengths.h"

#if defined(WEIR_HAVE_LIBPCAP)
#include <pcap/pcap.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

double shortest(int runs, const std::function<void()>& work) {
  double best = 1e9;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return best;
}

std::size_t compile(const std::string& text) {
  const auto compiled = weir::filter::compile(text);
  if (!compiled) {
    std::fprintf(stderr, "%.60s: %s\n", text.c_str(), compiled.error().message.c_str());
    std::exit(3);
  }
  return compiled->program.program().size();
}

#if defined(WEIR_HAVE_LIBPCAP)
std::size_t compile_libpcap(pcap_t* handle, const std::string& text, int optimise) {
  bpf_program program{};
  if (pcap_compile(handle, &program, text.c_str(), optimise, 0xffffff) != 0) return 0;
  const std::size_t size = program.bf_len;
  pcap_freecode(&program);
  return size;
}
#endif

// The longest path through a program: what some packet may execute at most.
std::size_t longest_path(const weir::cbpf::Program& program) {
  std::vector<std::size_t> from(program.size() + 1, 0);
  for (std::size_t at = program.size(); at-- > 0;) {
    const weir::cbpf::Instruction& i = program[at];
    std::size_t next = at + 1 < program.size() ? from[at + 1] : 0;
    if ((i.code & 7) == 6) next = 0;
    else if (i.opcode() == weir::cbpf::Opcode::kJa) next = from[at + 1 + i.k];
    else if ((i.code & 7) == 5) next = std::max(from[at + 1 + i.jt], from[at + 1 + i.jf]);
    from[at] = 1 + next;
  }
  return from[0];
}

std::string list(const std::string& kind, int n) {
  std::mt19937 random(static_cast<std::uint32_t>(n));
  const auto below = [&](std::uint32_t limit) { return std::to_string(random() % limit); };
  std::string out;
  for (int i = 0; i < n; ++i) {
    if (i != 0) out += " or ";
    if (kind == "host") {
      out += "host " + below(224) + "." + below(256) + "." + below(256) + "." + below(256);
    } else if (kind == "net") {
      out += "net " + std::to_string(1 + random() % 223) + "." + below(256) + "." + below(256) + ".0/24";
    } else if (kind == "port") {
      out += "port " + below(65536);
    } else {
      char text[64];
      std::snprintf(text, sizeof text, "ip6 host 2001:db8:%x:%x:%x:%x::%x", unsigned(random() % 65536),
                    unsigned(random() % 65536), unsigned(random() % 65536), unsigned(random() % 65536),
                    unsigned(random() % 65536));
      out += text;
    }
  }
  return out;
}

int small_filters() {
  int missed = 0;
  std::printf("%-14s %10s %6s %10s %6s %14s\n", "small filter", "weir us", "insns", "libpcap us", "insns",
              "weir / libpcap");
  const std::pair<const char*, const char*> filters[] = {
      {"port 22", "port 22"},
      {"flags", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10.0.0.0/8"},
      {"five terms", "tcp and src net 192.168.0.0/16 and dst host 10.0.0.1 and dst port 443 and greater 100"},
  };
  for (const auto& [name, text] : filters) {
    std::size_t ours = 0, theirs = 0;
    double time = 1e9, their_time = 0;
#if defined(WEIR_HAVE_LIBPCAP)
    pcap_t* handle = pcap_open_dead(DLT_EN10MB, 262144);
    their_time = 1e9;
    for (int turn = 0; turn < 10; ++turn) {  // in turns, so that what disturbs one disturbs the other
      time = std::min(time, shortest(2000, [&] { ours = compile(text); }));
      their_time = std::min(their_time, shortest(2000, [&] { theirs = compile_libpcap(handle, text, 1); }));
    }
    pcap_close(handle);
    if (time > their_time || ours > theirs) ++missed;
#else
    time = shortest(20000, [&] { ours = compile(text); });
#endif
    std::printf("%-14s %10.2f %6zu %10.2f %6zu %14.2f\n", name, time, ours, their_time, theirs,
                their_time == 0 ? 0 : time / their_time);
  }
  return missed;
}

constexpr const char* kKinds[] = {"host", "net", "port", "ip6"};

double exponent(double before, double time, double times) { return std::log(time / before) / std::log(times); }

int lists() {
  int missed = 0;
  std::printf("\n%-6s %7s %10s %8s %8s %8s\n", "list", "terms", "ms", "growth", "insns", "executed");
  for (const char* kind : kKinds) {
    double before = 0, first = 0;
    for (const int n : {1000, 2000, 4000, 10000}) {
      const std::string text = list(kind, n);
      const double time = shortest(n == 10000 ? 9 : 25, [&] { compile(text); }) / 1000;
      const auto compiled = weir::filter::compile(text);
      const std::size_t size = compiled->program.program().size();
      const std::size_t executed = longest_path(compiled->program.program());
      const double growth = before == 0 ? 0 : exponent(before, time, n == 10000 ? 2.5 : 2.0);
      std::printf("%-6s %7d %10.2f %8.2f %8zu %8zu\n", kind, n, time, growth, size, executed);
      before = time;
      if (n == 1000) first = time;
      const bool named = std::string(kind) != "ip6";
      if (n == 1000 && named && (time > 5 || size > 4096 || executed > 40)) ++missed;
      if (n == 10000 && (time > 100 || exponent(first, time, 10) > 1.3)) ++missed;
    }
  }
  return missed;
}

#if defined(WEIR_HAVE_LIBPCAP)
void lists_of_libpcap() {
  std::printf("\n%-6s %7s %10s %8s %8s %10s %8s %14s\n", "list", "terms", "libpcap ms", "growth", "insns", "weir ms",
              "insns", "weir / libpcap");
  pcap_t* handle = pcap_open_dead(DLT_EN10MB, 262144);
  for (const char* kind : kKinds) {
    double before = 0;
    for (const int n : {25, 50, 100}) {
      const std::string text = list(kind, n);
      std::size_t ours = 0, theirs = 0;
      const double time = shortest(20, [&] { ours = compile(text); }) / 1000;
      const double their_time = shortest(n == 100 ? 1 : 3, [&] { theirs = compile_libpcap(handle, text, 1); }) / 1000;
      std::printf("%-6s %7d %10.2f %8.2f %8zu %10.3f %8zu %14.4f\n", kind, n, their_time,
                  before == 0 ? 0 : exponent(before, their_time, 2), theirs, time, ours, time / their_time);
      before = their_time;
    }
  }
  pcap_close(handle);
}
#endif

int lengths_of_accepted() {
  const auto path = weir::tests::shared_folder() / "data" / "pcap-filter" / "accept.tsv";
  if (!std::filesystem::exists(path)) {
    std::printf("\nno table of libpcap's tests at %s: set WEIR_SHARED\n", path.c_str());
    return 0;
  }
  const std::vector<weir::tests::Length> lengths = weir::tests::accept_lengths(path);
  const weir::tests::Totals totals = weir::tests::totals_of(lengths);
  std::printf("\n%6s %8s  %s\n", "weir", "libpcap", "instructions of libpcap's own tests, worst rows first");
  for (std::size_t i = 0; i < std::min<std::size_t>(lengths.size(), 15); ++i)
    std::printf("%6ld %8ld  %.90s\n", lengths[i].ours, lengths[i].theirs, lengths[i].what.c_str());
  std::printf("%6ld %8ld  all %zu rows: %.1f %% fewer, %zu rows longer\n", totals.ours, totals.theirs, lengths.size(),
              totals.percent_fewer(), totals.longer);
  return (totals.longer != 0 ? 1 : 0) + (totals.percent_fewer() < 15 ? 1 : 0);
}

}  // namespace

int main() {
  int missed = small_filters() + lists();
#if defined(WEIR_HAVE_LIBPCAP)
  lists_of_libpcap();
#endif
  missed += lengths_of_accepted();
  std::printf("\n%d bounds missed\n", missed);
  return missed == 0 ? 0 : 1;
}
