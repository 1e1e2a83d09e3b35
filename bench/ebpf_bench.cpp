// Extended programs: machine code and interpreter beside the same C compiled by clang -O2 and the kernel's own code.
//
//   ebpf_bench [ROUNDS [PROGRAM]]
//
// Each of ebpf_programs.c is run over the same packets by all, in turns: "native" is a verified program's machine code,
// "checked" that of one that was not verified; the figure is the least time of many
// rounds, in nanoseconds a packet. The kernel's is its test run's own figure, with `repeat`: a little of it is the
// loop around. Results must be equal, else nothing is printed but an error. Then hash maps beside absl::flat_hash_map
// where it was built in.
#include <dlfcn.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <weir/base/render.h>
#include <weir/engine/ebpf.h>
#include <weir/object/object.h>
#include <weir/runtime/packet_buffer.h>
#include <weir/verify/verify.h>

#ifdef WEIR_HAVE_ABSL
#include <absl/container/flat_hash_map.h>
#endif

namespace {

using namespace weir;
using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "ebpf_bench: %s\n", why.c_str());
  std::exit(1);
}

// The least time of many rounds, ns a call; the candidates take turns.
std::vector<double> least_times(const std::vector<std::function<void()>>& candidates, int rounds, int calls) {
  std::vector<double> best(candidates.size(), 1e18);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const auto start = Clock::now();
      for (int call = 0; call < calls; ++call) candidates[i]();
      const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count() / calls;
      best[i] = std::min(best[i], ns);
    }
  return best;
}

std::vector<std::uint8_t> make_packet(const std::string& program) {
  std::vector<std::uint8_t> bytes(program == "checksum" ? 1480 : 118);
  std::mt19937 random(7);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  const std::uint8_t head[] = {0x81, 0, 0, 5, 8, 0, 0x45, 0, 0, 100, 1, 2, 0, 0, 64, 6, 0, 0};
  const std::uint8_t plain[] = {8, 0, 0x45, 0, 0, 100, 1, 2, 0, 0, 64, 6, 0, 0};
  if (program == "maps") std::memcpy(&bytes[12], plain, sizeof plain);
  else std::memcpy(&bytes[12], head, sizeof head);
  return bytes;
}

long bpf(int command, bpf_attr& attributes) { return syscall(SYS_bpf, command, &attributes, sizeof attributes); }

// The program in the running kernel; negative: not there.
int load_into_kernel(ebpf::Program program) {
  std::vector<int> maps;
  for (const ebpf::MapDefinition& map : program.maps) {
    bpf_attr attributes;
    std::memset(&attributes, 0, sizeof attributes);
    attributes.map_type = static_cast<unsigned>(map.type);
    attributes.key_size = map.key_size;
    attributes.value_size = map.value_size;
    attributes.max_entries = map.max_entries;
    maps.push_back(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
    if (maps.back() < 0) return -1;
  }
  for (const ebpf::MapReference& reference : program.map_references) {
    program.instructions[reference.instruction].src = ebpf::kPseudoMapDescriptor;
    program.instructions[reference.instruction].immediate = maps[reference.map];
  }
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.insns = reinterpret_cast<std::uint64_t>(program.instructions.data());
  attributes.insn_cnt = static_cast<unsigned>(program.size());
  attributes.license = reinterpret_cast<std::uint64_t>("GPL");
  const long result = bpf(BPF_PROG_LOAD, attributes);
  for (const int map : maps) close(map);
  return static_cast<int>(result);
}

struct KernelRun {
  std::uint32_t result = 0;
  double ns = 1e18;
};
bool run_in_kernel(int program, const std::vector<std::uint8_t>& packet, unsigned repeat, KernelRun& out) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof attributes);
  std::vector<std::uint8_t> back(packet.size() + 512);
  attributes.test.prog_fd = static_cast<unsigned>(program);
  attributes.test.data_in = reinterpret_cast<std::uint64_t>(packet.data());
  attributes.test.data_size_in = static_cast<unsigned>(packet.size());
  attributes.test.data_out = reinterpret_cast<std::uint64_t>(back.data());
  attributes.test.data_size_out = static_cast<unsigned>(back.size());
  attributes.test.repeat = repeat;
  if (bpf(BPF_PROG_TEST_RUN, attributes) != 0) return false;
  out.result = attributes.test.retval;
  out.ns = std::min(out.ns, static_cast<double>(attributes.test.duration));
  return true;
}

using CProgram = int (*)(xdp_md*);
struct Compiled {
  object::Object object;
  void* library = nullptr;
};

Compiled compile() {
  char folder[] = "/tmp/weir-ebpf-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) die("no folder in /tmp");
  const std::string stem = std::string(folder) + "/programs";
  const std::string source = WEIR_BENCH_SOURCES "/ebpf_programs.c";
  const std::string command = "clang -g -O2 -mcpu=v3 -target bpf -c -o " + stem + ".o " + source +
                              " && clang -O2 -w -shared -fPIC -o " + stem + ".so " + source;
  if (std::system(command.c_str()) != 0) die("clang does not compile ebpf_programs.c");
  std::ifstream file(stem + ".o", std::ios::binary);
  const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  auto object = object::read(bytes);
  if (!object) die(object.error().message);
  Compiled out{std::move(*object), dlopen((stem + ".so").c_str(), RTLD_NOW)};
  static_cast<void>(std::system(("rm -r " + std::string(folder)).c_str()));
  if (out.library == nullptr) die("the compiled C does not load");
  return out;
}

void* native_lookup(void* map, const void* key) { return static_cast<runtime::Map*>(map)->lookup(key, 0); }
long native_update(void* map, const void* key, const void* value, std::uint64_t flags) {
  return static_cast<runtime::Map*>(map)->update(key, value, flags, 0);
}

template <typename T>
void set_symbol(void* library, const char* name, T value) {
  auto* at = static_cast<T*>(dlsym(library, name));
  if (at == nullptr) die(std::string("no symbol ") + name);
  *at = value;
}

void bench_program(const Compiled& compiled, const ebpf::Program& program, int rounds) {
  const auto checked = ebpf::check(program);
  if (!checked) die(checked.error().message);
  const auto load = [&](const ebpf::Checked& it, engine::ExtendedKind kind) {
    auto engine = engine::load_extended(it, {.kind = kind});
    if (!engine) die(engine.error().message);
    return *engine;
  };
  const auto proof = verify::verify(*checked, {.premise = {.type = program.type}});
  if (!proof) die(program.name + ": " + proof.error().message);
  const auto proven = engine::load_extended(*proof, {.kind = engine::ExtendedKind::kNative});
  if (!proven) die(proven.error().message);
  const auto& native = *proven;
  const auto guarded = load(*checked, engine::ExtendedKind::kNative);
  const auto interpreter = load(*checked, engine::ExtendedKind::kInterpreter);
  for (const auto& map : native->maps()) {
    if (map->definition().name == "flows") set_symbol<void*>(compiled.library, "bench_flows", map.get());
    if (map->definition().name == "protocols") set_symbol<void*>(compiled.library, "bench_protocols", map.get());
  }
  set_symbol(compiled.library, "lookup", &native_lookup);
  set_symbol(compiled.library, "update", &native_update);
  const auto c = reinterpret_cast<CProgram>(dlsym(compiled.library, program.name.c_str()));
  if (c == nullptr) die("no C function " + program.name);

  const std::vector<std::uint8_t> packet = make_packet(program.name);
  auto buffer = runtime::PacketBuffer::create(4096);
  if (!buffer) die(buffer.error().message);
  buffer->set(packet);
  runtime::Invocation run;
  run.packet = &*buffer;
  run.arguments[0] = reinterpret_cast<std::uint64_t>(buffer->xdp_context());
  run.regions = {{run.arguments[0], sizeof(xdp_md), false}};
  const auto result_of = [&](const engine::ExtendedEngine& engine) {
    const engine::Outcome outcome = engine.run(run);
    if (!outcome) die(program.name + ": " + engine::describe(outcome).message);
    return static_cast<std::uint32_t>(outcome.value);
  };
  const std::uint32_t expected = result_of(*interpreter);
  const int calls = program.name == "arithmetic" || program.name == "checksum" ? 200 : 4000;
  KernelRun kernel;
  const int descriptor = load_into_kernel(program);
  bool has_kernel = descriptor >= 0 && run_in_kernel(descriptor, packet, 1, kernel);
  if (result_of(*native) != expected || result_of(*guarded) != expected ||
      static_cast<std::uint32_t>(c(buffer->xdp_context())) != expected || (has_kernel && kernel.result != expected))
    die(program.name + ": the results differ");
  kernel.ns = 1e18;
  for (int i = 0; i < rounds && has_kernel; ++i)
    has_kernel = run_in_kernel(descriptor, packet, static_cast<unsigned>(calls) * 20, kernel);
  if (descriptor >= 0) close(descriptor);
  volatile std::uint64_t sum = 0;
  volatile std::uint64_t* const sink = &sum;
  xdp_md* const context = buffer->xdp_context();
  runtime::Invocation* const given = &run;
  // Each with what it needs and no more.
  const auto run_all = [&](const engine::ExtendedEngine* engine) {
    return [sink, given, engine] { *sink = *sink + engine->run(*given).value; };
  };
  const auto times = least_times({[sink, context, c] { *sink = *sink + static_cast<std::uint64_t>(c(context)); },
                                  run_all(native.get()), run_all(interpreter.get()), run_all(guarded.get())},
                                 rounds, calls);
  std::printf("%-12s %9.1f %9.1f %9.1f %11.1f", program.name.c_str(), times[0], times[1], times[3], times[2]);
  if (has_kernel) std::printf(" %9.0f", kernel.ns);
  else std::printf(" %9s", "-");
  std::printf("   %8.2f %8.2f %9.2f %11.1f\n", times[1] / times[0], has_kernel ? times[1] / kernel.ns : 0.0,
              times[3] / times[0], times[2] / times[1]);
}

#ifdef WEIR_HAVE_ABSL
void bench_map(std::uint32_t entries, int rounds) {
  const auto map =
      runtime::make_map(
          {.name = "m", .type = ebpf::MapType::kHash, .key_size = 8, .value_size = 8, .max_entries = entries})
          .value();
  absl::flat_hash_map<std::uint64_t, std::uint64_t> other;
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> keys(entries);
  for (std::uint64_t& key : keys) {
    key = random();
    if (map->update(&key, &key, 0, 0) != 0) die("a map refuses an entry");
    other[key] = key;
  }
  std::shuffle(keys.begin(), keys.end(), random);
  for (std::size_t i = 0; i < keys.size(); i += 4) keys[i] ^= 1;  // a quarter is not there
  const std::size_t count = std::min<std::size_t>(entries, 20000);
  volatile std::uint64_t sink = 0;
  const runtime::Map::LookupFunction lookup = map->fast_lookup();  // what machine code calls
  const auto times = least_times({[&] {
                                    std::uint64_t sum = 0;
                                    for (std::size_t i = 0; i < count; ++i) {
                                      const auto found = other.find(keys[i]);
                                      if (found != other.end()) sum += found->second;
                                    }
                                    sink = sum;
                                  },
                                  [&] {
                                    std::uint64_t sum = 0;
                                    runtime::Map* const table = map.get();
                                    const std::uint64_t* const wanted = keys.data();
                                    const auto look = lookup;
                                    for (std::size_t i = 0; i < count; ++i)
                                      if (const void* value = look(table, &wanted[i]))
                                        sum += *static_cast<const std::uint64_t*>(value);
                                    if (sum != sink) die("the maps differ");
                                  }},
                                 rounds, 1 + static_cast<int>(20000 / count));
  std::printf("%-12u %9.2f %9.2f   %8.2f\n", entries, times[0] / static_cast<double>(count),
              times[1] / static_cast<double>(count), times[1] / times[0]);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 40;
  const Compiled compiled = compile();
  std::printf("%-12s %9s %9s %9s %11s %9s   %8s %8s %9s %11s\n", "program, ns", "clang -O2", "native", "checked",
              "interpreter", "kernel", "n/clang", "n/kernel", "ch/clang", "interp/n");
  for (const ebpf::Program& program : compiled.object.programs)
    if (argc < 3 || program.name == argv[2]) bench_program(compiled, program, rounds);
  if (argc > 2) return 0;
#ifdef WEIR_HAVE_ABSL
  std::printf("\n%-12s %9s %9s   %8s\n", "map, entries", "absl", "weir", "ratio");
  for (const std::uint32_t entries : {100u, 1000u, 10000u, 100000u, 1000000u}) bench_map(entries, rounds);
#endif
  return 0;
}
