// What verify accepts never trips the interpreter that checks every access: random programs, run over random packets
// and memory; the conformance suite; and the running kernel's verifier beside ours.
#include <linux/bpf.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include <gtest/gtest.h>
#ifdef WEIR_HAVE_LIBBPF
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#endif

#include <weir/ebpf/text.h>
#include <weir/engine/ebpf.h>
#include <weir/object/object.h>
#include <weir/verify/verify.h>

#include "bpf_syscall.h"
#include "conformance/cases.h"
#include "rounds.h"
#include "verified_programs.h"

namespace weir {
namespace {

// Runs a verified program as its premise says, over packets and memory of several sizes.
class Runner {
 public:
  explicit Runner(std::uint64_t seed) : random_(seed), buffer_(runtime::PacketBuffer::create(2048).value()) {}

  // The first outcome with a fault, or one without.
  engine::Outcome run(const ebpf::Verified& program, int times) {
    const auto engine =
        engine::load_extended(program.checked(), {.kind = engine::ExtendedKind::kInterpreter, .budget = 20'000'000});
    EXPECT_TRUE(engine) << engine.error().message;
    engine::Outcome outcome;
    for (int i = 0; engine && i < times && outcome; ++i) outcome = once(**engine, program.premise());
    outcome.program = nullptr;
    return outcome;
  }

 private:
  engine::Outcome once(const engine::ExtendedEngine& engine, const ebpf::Premise& premise) {
    runtime::Invocation run;
    run.random = random_();
    std::vector<std::uint8_t> bytes(size_of(premise));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    if (premise.type == ebpf::ProgramType::kUnspec) {
      const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
      run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
      run.regions = {{run.arguments[0], bytes.size(), premise.memory_writable}};
      run.loads = bytes;
    } else {
      buffer_.set(bytes, {.mark = static_cast<std::uint32_t>(random_())});
      run.packet = &buffer_;
      const bool xdp = premise.type == ebpf::ProgramType::kXdp;
      run.arguments[0] = xdp ? reinterpret_cast<std::uint64_t>(buffer_.xdp_context())
                             : reinterpret_cast<std::uint64_t>(buffer_.socket_context());
      run.regions = {{run.arguments[0], xdp ? sizeof(xdp_md) : sizeof(__sk_buff), !xdp}};
    }
    return engine.run(run);
  }
  std::size_t size_of(const ebpf::Premise& premise) {
    constexpr std::size_t kSizes[] = {0, 1, 2, 4, 8, 13, 14, 20, 34, 40, 64, 100, 1500};
    std::size_t size = kSizes[random_() % std::size(kSizes)];
    if (premise.type == ebpf::ProgramType::kUnspec)
      size = std::clamp<std::size_t>(size, premise.memory_least, premise.memory_most);
    return size;
  }
  std::mt19937_64 random_;
  runtime::PacketBuffer buffer_;
};

TEST(Verify, AcceptedProgramsNeverTripTheInterpreter) {
  const int rounds = tests::rounds(4000);
  const char* seed = std::getenv("WEIR_SEED");
  tests::VerifiedPrograms maker(seed != nullptr ? std::stoull(seed) : 1);
  Runner runner(2);
  int accepted = 0;
  int called_back = 0;
  std::map<std::string_view, int> refused;
  for (int i = 0; i < rounds; ++i) {
    const ebpf::Program program = maker.next();
    const verify::Report report = verify::examine(program, {.premise = {.type = program.type}, .budget = 100'000});
    if (!report.verified) {
      ++refused[verify::name_of(report.refusal->rule)];
      continue;
    }
    ++accepted;
    called_back += std::any_of(program.instructions.begin(), program.instructions.end(),
                               [](const auto& it) { return it.code == 0x18 && it.src == ebpf::kPseudoFunction; });
    const engine::Outcome outcome = runner.run(*report.verified, 5);
    ASSERT_TRUE(outcome) << "program " << i << ": " << engine::describe(outcome).message << " at "
                         << outcome.instruction << "\n"
                         << write(program, ebpf::Format::kListing);
  }
  EXPECT_GT(accepted, rounds / 5);
  EXPECT_GT(called_back, rounds / 100);
  EXPECT_GT(refused.size(), 8u);
  if (std::getenv("WEIR_ROUNDS") != nullptr) {
    std::printf("%d programs, %d accepted, %d of them with functions that are called back\n", rounds, accepted,
                called_back);
    for (const auto& [rule, count] : refused) std::printf("  %-20s %d\n", std::string(rule).c_str(), count);
  }
}

// A message of the kernel without its numbers: "RN invalid mem access 'scalar'".
std::string class_of(const std::string& log) {
  std::istringstream lines(log);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    const bool note = line.find("processed ") == 0 || line.find("mark_precise") == 0 || line.empty();
    const bool listing = !line.empty() && std::isdigit(static_cast<unsigned char>(line[0])) != 0;
    if (!note && !listing) last = line;
  }
  std::string out;
  for (const char c : last) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!digit) out += c;
    else if (out.empty() || out.back() != 'N') out += 'N';
  }
  return out;
}

// Maps in the kernel like those of VerifiedPrograms.
class KernelMaps {
 public:
  KernelMaps()
      : descriptors_{tests::make_kernel_map(BPF_MAP_TYPE_HASH, 4, 16, 8),
                     tests::make_kernel_map(BPF_MAP_TYPE_ARRAY, 4, 24, 4),
                     tests::make_kernel_map(BPF_MAP_TYPE_ARRAY, 4, 24, 1),
                     tests::make_kernel_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)} {}
  ~KernelMaps() {
    for (const int descriptor : descriptors_) close(descriptor);
  }
  // Whether the kernel takes the program; else why not.
  bool load(const ebpf::Program& program, std::string* log = nullptr) const {
    std::vector<ebpf::Instruction> slots = program.instructions;
    for (const ebpf::MapReference& reference : program.map_references)
      slots[reference.instruction].immediate = descriptors_[reference.map];
    const int loaded = tests::load_kernel_program(static_cast<unsigned>(program.type), slots.data(),
                                                  static_cast<unsigned>(slots.size()), log);
    if (loaded >= 0) close(loaded);
    return loaded >= 0;
  }

 private:
  int descriptors_[4];
};

// Why the two differ. Kernels change: these are those of Linux 6.18 for a loader with all rights.
struct Difference {
  bool kernel_takes;
  const char* text;  // within our refusal or the kernel's message
};
constexpr Difference kKnownDifferences[] = {
    {true, "on a pointer"},                  // and make numbers of pointers
    {true, "an atomic of"},                  // x86 takes unaligned atomics
    {true, "may be null"},                   // the kernel knows keys in the upper half of a slot
    {false, "min value is negative"},        // the kernel follows no remainders: what they bound is not bounded there
    {false, "unbounded min value"},          // likewise
    {false, "unbounded memory access"},      // likewise
    {false, "makes pkt pointer be out of"},  // likewise
    {false, "makes map_value pointer be out"},  // likewise
};

TEST(Verify, BesideTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  const KernelMaps maps;
  const int rounds = tests::rounds(700);
  const char* seed = std::getenv("WEIR_SEED");
  tests::VerifiedPrograms maker(seed != nullptr ? std::stoull(seed) : 3, false);
  int both = 0, neither = 0, total = 0, unknown = 0;
  std::map<std::string, int> classes;
  std::string example;
  for (int i = 0; i < rounds; ++i) {
    const ebpf::Program program = maker.next();
    if (program.type == ebpf::ProgramType::kUnspec) continue;
    // Long loops take the kernel seconds.
    const verify::Report report =
        verify::examine(program, {.premise = {.type = program.type}, .unwritten_stack = true, .budget = 20'000});
    if (report.refusal && report.refusal->rule == verify::Rule::kTooComplex) continue;
    ++total;
    const bool taken = maps.load(program);
    if (taken == report.verified.has_value()) {
      ++(taken ? both : neither);
      continue;
    }
    std::string log;
    if (!taken) maps.load(program, &log);
    const std::string why = taken ? report.refusal->message : class_of(log);
    const auto* known = std::find_if(std::begin(kKnownDifferences), std::end(kKnownDifferences), [&](const auto& row) {
      return row.kernel_takes == taken && why.find(row.text) != std::string::npos;
    });
    ++classes[(taken ? "kernel only: " : "weir only:   ") +
              (known != std::end(kKnownDifferences) ? std::string(known->text) : why)];
    if (known != std::end(kKnownDifferences)) continue;
    ++unknown;
    example = why + "\n" + write(program, ebpf::Format::kListing);
  }
  EXPECT_GT(both, total / 6);
  EXPECT_LE(unknown, total / 50) << example;
  if (std::getenv("WEIR_ROUNDS") == nullptr) return;
  std::printf("%d programs: both take %d, neither %d\n", total, both, neither);
  for (const auto& [text, count] : classes) std::printf("  %5d %s\n", count, text.c_str());
  if (unknown > 0) std::printf("%s\n", example.c_str());
}

// Loads that acquire and stores that release: on which memory, and that they move pointers as others do.
TEST(Verify, OrderedAccessesBesideTheKernel) {
  WEIR_REQUIRE_KERNEL_BPF();
  const KernelMaps maps;
  const std::string head =
      ".program xdp p\n.map hash, hash, key 4, value 16, entries 8\n.map array, array, key 4, value 24, entries 4\n";
  const std::string value =
      "*(u32 *)(r10 - 4) = 1\nr1 = map[array]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\n";
  const std::string packet =
      "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 16\nr0 = 0\nif r4 > r3 goto out\n";
  const std::string out = "\nout: r0 = 0\nexit";
  std::string log;
  if (!maps.load(ebpf::assemble(head + "*(u64 *)(r10 - 8) = 1\nr0 = load_acquire((u64 *)(r10 - 8))\nexit").value(),
                 &log))
    GTEST_SKIP() << "this kernel has no load_acquire: " << log;
  const struct {
    std::string text;
    bool good;
  } cases[] = {
      {"*(u64 *)(r10 - 8) = 1\nr0 = load_acquire((u8 *)(r10 - 3))" + out, true},
      {"*(u64 *)(r10 - 8) = 1\nr0 = load_acquire((u16 *)(r10 - 2))" + out, true},
      {"*(u64 *)(r10 - 8) = 1\nr0 = load_acquire((u32 *)(r10 - 4))" + out, true},
      {"*(u64 *)(r10 - 8) = 1\n*(u64 *)(r10 - 16) = 1\nr0 = load_acquire((u64 *)(r10 - 12))" + out, false},
      {"r2 = 1\nstore_release((u16 *)(r10 - 3), r2)" + out, false},
      {"r2 = 1\nstore_release((u16 *)(r10 - 4), r2)" + out, true},
      {"store_release((u32 *)(r10 - 4), r9)" + out, false},          // r9 was never written
      {"r2 = 1\nstore_release((u64 *)(r2 + 0), r2)" + out, false},   // a number is no address
      {"r2 = 1\nstore_release((u64 *)(r10 + 0), r2)" + out, false},  // above the frame
      {"r0 = load_acquire((u32 *)(r1 + 0))" + out, false},           // the context
      {"r2 = 1\nstore_release((u32 *)(r1 + 0), r2)" + out, false},
      {packet + "r0 = load_acquire((u32 *)(r2 + 0))" + out, false},  // the packet
      {packet + "store_release((u32 *)(r2 + 0), r0)" + out, false},
      {value + "r2 = load_acquire((u64 *)(r0 + 16))\nstore_release((u64 *)(r0 + 8), r2)" + out, true},
      {value + "r2 = load_acquire((u64 *)(r0 + 17))" + out, false},
      {value + "r2 = load_acquire((u64 *)(r0 + 24))" + out, false},
      {value + "r2 = load_acquire((u64 *)(r0 + 4))" + out, false},
      {value + "r2 = 7\nstore_release((u32 *)(r0 + 22), r2)" + out, false},
      // A pointer goes through the stack whole.
      {"store_release((u64 *)(r10 - 8), r1)\nr3 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r3 + 0)" + out, true},
      {"*(u64 *)(r10 - 8) = r1\nr3 = load_acquire((u64 *)(r10 - 8))\nr0 = *(u32 *)(r3 + 0)" + out, true},
      {"*(u64 *)(r10 - 8) = r1\nr2 = 0\nstore_release((u8 *)(r10 - 8), r2)\nr3 = *(u64 *)(r10 - 8)\n"
       "r0 = *(u32 *)(r3 + 0)" +
           out,
       false},
      // What is known of a number stays known.
      {value +
           "r2 = 8\nstore_release((u64 *)(r10 - 16), r2)\nr3 = load_acquire((u64 *)(r10 - 16))\nr0 += r3\n"
           "r2 = *(u64 *)(r0 + 8)" +
           out,
       true},
  };
  for (const auto& each : cases) {
    const auto program = ebpf::assemble(head + each.text);
    ASSERT_TRUE(program) << each.text << program.error().message;
    EXPECT_EQ(maps.load(*program, &log), each.good) << each.text << "\n" << log;
    EXPECT_EQ(verify::examine(*program, {.premise = {.type = program->type}}).verified.has_value(), each.good)
        << each.text;
  }
}

// The public suite's programs, on the memory that each has.
TEST(Verify, ConformanceSuite) {
  WEIR_REQUIRE_SHARED(tests::conformance_folder());
  int accepted = 0;
  std::map<std::string_view, int> refused;
  for (const tests::ConformanceCase& test : tests::conformance_cases()) {
    SCOPED_TRACE(test.name);
    const Result<ebpf::Program> program = ebpf::assemble(test.assembly);
    ASSERT_TRUE(program);
    Result<std::vector<std::uint8_t>> memory = tests::bytes_of_hex(test.memory);
    ASSERT_TRUE(memory);
    verify::Options options{.helpers = &tests::conformance_helpers(), .register_calls = true};
    options.premise.memory_least = options.premise.memory_most = memory->size();
    options.premise.memory_alignment = 8;
    const verify::Report report = verify::examine(*program, options);
    ASSERT_NE(report.verified.has_value(), report.refusal.has_value());
    if (report.refusal) {
      EXPECT_FALSE(report.refusal->message.empty());
      ++refused[verify::name_of(report.refusal->rule)];
      continue;
    }
    ++accepted;
    engine::ExtendedOptions with = tests::conformance_options();
    with.kind = engine::ExtendedKind::kInterpreter;
    const Result<engine::Outcome> outcome = tests::run_conformance(*program, *memory, with);
    ASSERT_TRUE(outcome && *outcome);
    EXPECT_EQ(outcome->value, std::stoull(test.result, nullptr, 0));
  }
  EXPECT_GE(accepted, 250);
  for (const auto& [rule, count] : refused) RecordProperty(std::string(rule), count);
  if (std::getenv("WEIR_ROUNDS") == nullptr) return;
  std::printf("%d accepted\n", accepted);
  for (const auto& [rule, count] : refused) std::printf("  %-20s %d\n", std::string(rule).c_str(), count);
}

// What clang makes of small sources in the way of real programs.
struct Source {
  const char* name;
  const char* rule;  // of the refusal; null: accepted
  const char* text;
};
constexpr const char* kHeader = R"header(
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long long u64; typedef int s32;
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*update)(void *, const void *, const void *, u64) = (void *)2;
static void *(*reserve)(void *, u64, u64) = (void *)131;
static void (*submit)(void *, u64) = (void *)132;
static long (*load_bytes)(const void *, u32, void *, u32) = (void *)26;
static long (*remove)(void *, const void *) = (void *)3;
static long (*loop)(u32, void *, void *, u64) = (void *)181;
static long (*each)(void *, void *, void *, u64) = (void *)164;
struct key { u32 address; u16 port; u16 zero; };
struct count { u64 packets, bytes; };
struct { __uint(type, 1); __uint(max_entries, 64); __type(key, struct key); __type(value, struct count); } flows SEC(".maps");
struct { __uint(type, 27); __uint(max_entries, 4096); } events SEC(".maps");
u32 table[16]; const volatile u32 limit = 5; static const u32 steps[8] = {1, 3, 5, 7, 9, 11, 13, 15};
static u32 (*any)(void) = (void *)7;
static long (*adjust_head)(void *, int) = (void *)44;
static long (*read_kernel)(void *, u32, const void *) = (void *)113;
#define NOINLINE static __attribute__((noinline))
#define ROLLED _Pragma("clang loop unroll(disable)")
struct state {
  u64 n, *at;
  struct xdp_md* ctx;
};
#define DATA u8 *data = (u8*)(long)ctx->data, *end = (u8*)(long)ctx->data_end
)header";
constexpr Source kSources[] = {
    {"flows", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA;
  if (data + 34 > end) return XDP_PASS;
  if (*(u16 *)(data + 12) != 8) return XDP_PASS;
  u32 header = (data[14] & 15) * 4; if (header < 20) return XDP_DROP;
  u8 *tcp = data + 14 + header; if (tcp + 20 > end) return XDP_DROP;
  struct key key = {.address = *(u32 *)(data + 26), .port = *(u16 *)(tcp + 2)};
  struct count *c = lookup(&flows, &key);
  if (c) { __sync_fetch_and_add(&c->packets, 1); __sync_fetch_and_add(&c->bytes, end - data); }
  else { struct count first = {1, end - data}; update(&flows, &key, &first, 0); }
  return XDP_PASS; })"},
    {"options", nullptr, R"(SEC("tc") int p(struct __sk_buff *ctx) { DATA;
  u32 at = 34; int found = 0;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 16; i++) {
    u8 *option = data + at; if (option + 2 > end) break;
    if (option[0] == 0) break; if (option[0] == 8) found++;
    u8 size = option[1]; if (size < 2) break; at += size; if (at > 500) break; }
  return found; })"},
    {"table", nullptr, R"(SEC("socket") int p(struct __sk_buff *ctx) {
  u8 bytes[8] = {}; if (load_bytes(ctx, 14, bytes, 8) < 0) return 0;
  u32 slot = bytes[0] & 15; table[slot] += limit; return table[(slot + 1) & 15]; })"},
    {"events", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA;
  if (data + 14 > end) return XDP_PASS;
  u64 *event = reserve(&events, 16, 0); if (!event) return XDP_PASS;
  event[0] = data[0]; event[1] = end - data; submit(event, 0); return XDP_PASS; })"},
    {"functions", nullptr, R"(static __attribute__((noinline)) u32 sum(u8 *from, u8 *end, u32 n) {
  u32 s = 0; for (u32 i = 0; i < 64; i++) { if (i >= n || from + i + 1 > end) break; s += from[i]; } return s; }
SEC("xdp") int p(struct xdp_md *ctx) { DATA; return sum(data, end, ctx->rx_queue_index) & 1 ? XDP_DROP : XDP_PASS; })"},
    {"no bounds", "packet-bounds", R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; (void)end; return data[12]; })"},
    {"one short", "packet-bounds",
     R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; if (data + 12 > end) return 2; return data[12]; })"},
    {"no null check", "null",
     R"(SEC("xdp") int p(struct xdp_md *ctx) { struct key k = {1}; struct count *c = lookup(&flows, &k); c->packets++; return 2; })"},
    {"index", "map-bounds", R"(SEC("xdp") int p(struct xdp_md *ctx) { return table[ctx->rx_queue_index & 31]; })"},
    {"kept record", "held",
     R"(SEC("xdp") int p(struct xdp_md *ctx) { u64 *e = reserve(&events, 8, 0); if (!e) return 1; *e = 1;
  if (ctx->rx_queue_index == 3) return 2; submit(e, 0); return 2; })"},
    {"stack", "uninitialised",
     R"(SEC("socket") int p(struct __sk_buff *ctx) { volatile u8 b[16]; return b[ctx->len & 15]; })"},
    {"endless", "endless",
     R"(static u32 (*rnd)(void) = (void *)7; SEC("xdp") int p(struct xdp_md *ctx) { while (rnd()); return 2; })"},
    {"constants", "read-only", R"(SEC("xdp") int p(struct xdp_md *ctx) { *(volatile u32 *)&limit = 3; return 2; })"},
    // What is known of constants, copies and spilled values.
    {"index below a constant", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) {
  u32 i = ctx->rx_queue_index; if (i >= limit) return 1; return steps[i] & 1 ? 1 : 2; })"},
    {"constant as index", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { return table[limit + 10]; })"},
    {"constant too large", "map-bounds",
     R"(SEC("xdp") int p(struct xdp_md *ctx) { u64 at = limit + 11; asm volatile("" : "+r"(at)); return table[at]; })"},
    {"two more", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { u64 a = any(), b;
  asm volatile("%0 = %1; %0 += 2" : "=r"(b) : "r"(a)); if (a < 14) return table[b]; return 2; })"},
    {"two more, too far", "map-bounds",
     R"(SEC("xdp") int p(struct xdp_md *ctx) { u64 a = any(), b; if (a > 1000) return 1;
  asm volatile("%0 = %1; %0 += 2" : "=r"(b) : "r"(a)); if (a < 15) return table[b]; return 2; })"},
    {"spilled index", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) {
  u32 x = any(); if (x > 15) return 1; volatile u64 kept = x; any(); return table[kept]; })"},
    {"spilled to half a slot", "pointer-arithmetic", R"(SEC("xdp") int p(struct xdp_md *ctx) {
  u32 x = any(); if (x > 15) return 1; volatile u32 kept = x; any(); return table[kept]; })"},
    {"null of a copy", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { struct key k = {1};
  struct count *c = lookup(&flows, &k), *d; asm volatile("%0 = %1" : "=r"(d) : "r"(c)); if (!c) return 1; d->packets = 1; return 2; })"},
    {"null of another", "null", R"(SEC("xdp") int p(struct xdp_md *ctx) { struct key k = {1};
  struct count *c = lookup(&flows, &k), *d = lookup(&flows, &k); if (!c) return 1; d->packets = 1; return 2; })"},
    {"signed index", "pointer-arithmetic", R"(SEC("xdp") int p(struct xdp_md *ctx) {
  s32 i = any(); if (i > 7) return 1; long at = i; asm volatile("" : "+r"(at)); return table[at]; })"},
    {"signs", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) {
  s32 i = any(); i >>= 28; long at = i + 8; if (at < 0 || at > 15) return 1; return table[at]; })"},
    // Packets that move, and loops over them.
    {"moved", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; if (data + 14 > end) return 1;
  if (adjust_head(ctx, -4)) return 1; data = (u8 *)(long)ctx->data; end = (u8 *)(long)ctx->data_end;
  if (data + 18 > end) return 1; __builtin_memmove(data, data + 4, 12); return 3; })"},
    {"moved and used", "not-a-pointer", R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; if (data + 14 > end) return 1;
  if (adjust_head(ctx, -4)) return 1; *data = 1; return 3; })"},
    {"headers of IPv6", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; if (data + 54 > end) return 1;
  u8 next = data[20], *at = data + 54; ROLLED for (int i = 0; i < 8; i++) { if (next == 6 || next == 17) break;
    if (at + 2 > end) return 1; next = at[0]; at += (at[1] + 1) * 8; }
  if (at + 4 > end) return 1; return at[3] == 53 ? 1 : 2; })"},
    {"TCP options", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; if (data + 54 > end) return 1;
  u32 left = (data[46] >> 4) * 4; if (left < 20) return 1; left -= 20; u8 *o = data + 54;
  ROLLED for (int i = 0; i < 20; i++) { if (left < 2 || o + 2 > end || o[0] == 0) break;
    if (o[0] == 1) { o++; left--; continue; } if (o[1] < 2 || o[1] > left) return 1; left -= o[1]; o += o[1]; }
  return 2; })"},
    {"copy to the stack", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { DATA; u8 name[64] = {}; u32 n = 0, s = 0;
  ROLLED for (int i = 0; i < 60; i++) { u8 *at = data + 54 + i; if (at + 1 > end || !*at) break; name[n++ & 63] = *at; }
  ROLLED for (int i = 0; i < 64; i++) s += name[i]; return s & 1 ? 1 : 2; })"},
    {"function's result", nullptr, R"(NOINLINE u8 *start(struct xdp_md *ctx) { return (u8 *)(long)ctx->data; }
SEC("xdp") int p(struct xdp_md *ctx) { u8 *data = start(ctx), *end = (u8 *)(long)ctx->data_end;
  if (data + 4 > end) return 1; return data[3] ? 1 : 2; })"},
    {"written by a helper", nullptr, R"(SEC("xdp") int p(struct xdp_md *ctx) { u64 x[2];
  read_kernel(x, 16, table); return x[1] < 16 ? table[x[1]] : 1; })"},
    // Functions that are called back: what they do to the state that they get.
    {"sum", nullptr, R"(static long turn(u32 i, struct state *s) { s->n += i; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(100, turn, &s, 0); return s.n & 1 ? 1 : 2; })"},
    {"walk", nullptr, R"(static long turn(u32 i, struct state *s) { struct xdp_md *ctx = s->ctx; DATA;
  u32 at = i * 2; if (at > 1000) return 1; if (data + at + 2 > end) return 1; s->n += *(u16 *)(data + at); return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {.ctx = ctx}; loop(500, turn, &s, 0); return s.n & 1 ? 1 : 2; })"},
    {"counter", nullptr,
     R"(static long turn(u32 i, struct state *s) { if (s->n >= 16) return 1; table[s->n++] = i; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(40, turn, &s, 0); return 2; })"},
    {"rounds", nullptr, R"(static long turn(u32 i, struct state *s) { table[s->n++] = i; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(16, turn, &s, 0); return 2; })"},
    {"one round more", "map-bounds", R"(static long turn(u32 i, struct state *s) { table[s->n++] = i; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(17, turn, &s, 0); return 2; })"},
    {"behind", nullptr, R"(static long turn(u32 i, struct state *s) { s->n++; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(100, turn, &s, 0); if (s.n > 15) return 1;
  table[s.n] = 7; return 2; })"},
    {"behind, unbound", "map-bounds", R"(static long turn(u32 i, struct state *s) { s->n++; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(100, turn, &s, 0); return table[s.n] ? 1 : 2; })"},
    {"nested", nullptr, R"(static long inner(u32 i, struct state *s) { s->n += i; return 0; }
static long turn(u32 i, struct state *s) { loop(i & 7, inner, s, 0); return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; loop(10, turn, &s, 0); return s.n & 1 ? 1 : 2; })"},
    {"other result", "return", R"(static long turn(u32 i, struct state *s) { return i; }
SEC("xdp") int p(struct xdp_md *ctx) { loop(10, turn, 0, 0); return 2; })"},
    {"endless within", "endless", R"(static u32 (*rnd)(void) = (void *)7;
static long turn(u32 i, struct state *s) { while (rnd()); return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { loop(10, turn, 0, 0); return 2; })"},
    {"kept within", "held", R"(static long turn(u32 i, struct state *s) { return !reserve(&events, 8, 0); }
SEC("xdp") int p(struct xdp_md *ctx) { loop(10, turn, 0, 0); return 2; })"},
    {"released within", "held", R"(static long turn(u32 i, struct state *s) { submit(s->at, 0); return 1; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {.at = reserve(&events, 8, 0)}; if (!s.at) return 1;
  loop(1, turn, &s, 0); return 2; })"},
    {"pointer", "null",
     R"(static long turn(u32 i, struct state *s) { struct key k = {i}; s->at = lookup(&flows, &k); return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { u64 x = 1; struct state s = {.at = &x}; loop(10, turn, &s, 0); return *s.at ? 1 : 2; })"},
    {"elements", nullptr, R"(static long element(void *map, struct key *k, struct count *c, struct state *s) {
  if (c->packets > 3) remove(map, k); s->n += k->port + c->bytes; c->bytes = 0; return s->n > 1000; }
SEC("xdp") int p(struct xdp_md *ctx) { struct state s = {}; each(&flows, element, &s, 0); return s.n & 1 ? 1 : 2; })"},
    {"key", "read-only",
     R"(static long element(void *map, struct key *k, struct count *c, struct state *s) { k->port = 1; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { each(&flows, element, 0, 0); return 2; })"},
    {"value", "map-bounds",
     R"(static long element(void *map, struct key *k, u64 *c, struct state *s) { c[2] = 1; return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { each(&flows, element, 0, 0); return 2; })"},
    {"no elements", "argument", R"(static long element(void *map, struct key *k, u64 *c, struct state *s) { return 0; }
SEC("xdp") int p(struct xdp_md *ctx) { each(&events, element, 0, 0); return 2; })"},
};

#ifdef WEIR_HAVE_LIBBPF
bool kernel_is_there() {
  const int probe = tests::make_kernel_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);
  if (probe >= 0) close(probe);
  return probe >= 0;
}
bool kernel_takes(const std::vector<std::uint8_t>& file) {
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
  bpf_object* object = bpf_object__open_mem(file.data(), file.size(), nullptr);
  const bool taken = object != nullptr && bpf_object__load(object) == 0;
  bpf_object__close(object);
  return taken;
}
#endif

TEST(Verify, WhatClangMakes) {
  const std::string path = testing::TempDir() + "weir_verify" + std::to_string(getpid());
  Runner runner(4);
  for (const Source& source : kSources) {
    SCOPED_TRACE(source.name);
    std::ofstream(path + ".c") << kHeader << source.text << "\nchar license_[] SEC(\"license\") = \"GPL\";\n";
    const std::string command = "clang -O2 -g -target bpfel -mcpu=v3 -I/usr/include/x86_64-linux-gnu -c " + path +
                                ".c -o " + path + ".o 2>" + path + ".log";
    if (std::system(command.c_str()) != 0) GTEST_SKIP() << "no clang for BPF with <linux/bpf.h>";
    std::ifstream file(path + ".o", std::ios::binary);
    const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    const Result<object::Object> object = object::read(bytes);
    ASSERT_TRUE(object) << object.error().message;
    const ebpf::Program& program = object->programs.front();
    const verify::Report report = verify::examine(program, {.premise = {.type = program.type}});
#ifdef WEIR_HAVE_LIBBPF
    // Who has all rights may read a stack that was never written.
    if (kernel_is_there() && source.name != std::string_view("stack")) {
      EXPECT_EQ(kernel_takes(bytes), source.rule == nullptr);
    }
#endif
    if (source.rule != nullptr) {
      ASSERT_TRUE(report.refusal);
      EXPECT_EQ(verify::name_of(report.refusal->rule), source.rule) << verify::explain(*report.refusal);
      EXPECT_TRUE(report.refusal->line);
      continue;
    }
    ASSERT_TRUE(report.verified) << verify::explain(*report.refusal) << write(program, ebpf::Format::kListing);
    const engine::Outcome outcome = runner.run(*report.verified, 50);
    EXPECT_TRUE(outcome) << engine::describe(outcome).message;
  }
  for (const char* end : {".c", ".o", ".log"}) std::remove((path + end).c_str());
}

}  // namespace
}  // namespace weir
