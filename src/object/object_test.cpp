// Objects: what clang compiles here is read and means the same; what we write we read back; corrupt files are errors.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

#include <weir/base/render.h>
#include <weir/ebpf/text.h>
#include <weir/object/object.h>

namespace weir::object {
namespace {

constexpr const char* kSource = R"(
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
typedef unsigned int u32; typedef unsigned long long u64;
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;
struct { __uint(type, 1); __uint(max_entries, 16); __type(key, u32); __type(value, u64); } counts SEC(".maps");
struct { __uint(type, 3); __uint(max_entries, 2); __uint(key_size, 4); __uint(value_size, 4); } jumps SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 2); __type(key, u32);
         __array(values, struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u32); }); } outer SEC(".maps");
struct small { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } small SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 2); __type(key, u32); __array(values, struct small); } full SEC(".maps") = {.values = {[1] = &small}};
int count(void *ctx);
struct { __uint(type, 3); __uint(max_entries, 2); __uint(key_size, 4); __array(values, int(void *)); } chain SEC(".maps") = {.values = {[0] = (void *)&count}};
struct { __uint(type, 30); __uint(max_entries, 8); __uint(value_size, 4); __uint(map_extra, 3); } sieve SEC(".maps");
const volatile u32 limit = 7; u64 total = 5; u64 seen; static u32 hidden[3] = {1, 2, 3};
static __attribute__((noinline)) u64 add(u64 a, u64 b) { total += a; return a * b + hidden[a & 1]; }
SEC("xdp") int count(void *ctx) { u32 key = 3; u64 *value = lookup(&counts, &key); if (!value) return limit; *value += add(*value, seen++); return 2; }
SEC("socket") int other(void *ctx) { tail_call(ctx, &jumps, 1); lookup(&outer, &seen); return add(1, 2); }
char license_[] SEC("license") = "GPL";
)";

std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The compiled source, or nothing where there is no clang for BPF. The object holds no name of this run, so that the
// same compiler gives the same bytes.
std::vector<std::uint8_t> compiled(const std::string& flags) {
  const std::string folder = testing::TempDir() + "weir_object" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/object.c") << "#define __array(name, val) typeof(val) *name[]\n" << kSource;
  const int status = std::system(
      ("cd " + folder + " && clang -O2 -fdebug-compilation-dir=. " + flags + " -c object.c -o object.o 2>object.log")
          .c_str());
  std::vector<std::uint8_t> bytes;
  if (status == 0) bytes = bytes_of(folder + "/object.o");
  std::filesystem::remove_all(folder);
  return bytes;
}

TEST(Object, SlotsThatAreFilledAndTypesForTheKernel) {
  const std::vector<std::uint8_t> bytes = compiled("-g -target bpfel");
  if (bytes.empty()) GTEST_SKIP() << "no clang for BPF";
  const Result<Object> object = read(bytes);
  ASSERT_TRUE(object) << render(object.error());
  ASSERT_EQ(object->facts.size(), object->maps.size());
  const auto index = [&](std::string_view name) {
    for (std::size_t i = 0; i < object->maps.size(); ++i)
      if (object->maps[i].name == name) return static_cast<std::uint32_t>(i);
    return UINT32_MAX;
  };
  ASSERT_EQ(object->presets.size(), 2u);
  for (const Preset& preset : object->presets) {
    if (preset.program.empty()) {
      EXPECT_EQ(preset.map, index("full"));
      EXPECT_EQ(preset.slot, 1u);
      EXPECT_EQ(preset.inner, index("small"));
    } else {
      EXPECT_EQ(preset.map, index("chain"));
      EXPECT_EQ(preset.program, "count");
    }
  }
  EXPECT_EQ(object->facts[index("sieve")].extra, 3u);
  EXPECT_NE(object->facts[index("counts")].value_type, 0u);
  if (std::endian::native != std::endian::little) return;
  // Sections have their sizes now, and the table is still one.
  const Result<Btf> types = Btf::parse(object->kernel_types, std::endian::native);
  ASSERT_TRUE(types);
  ASSERT_EQ(types->size(), object->btf->size());
  const std::uint32_t data = object->facts[index(".data")].value_type;
  ASSERT_NE(data, 0u);
  EXPECT_EQ(types->type(data)->size, object->maps[index(".data")].value_size);
}

TEST(Object, ReadsWhatClangWrites) {
  for (const char* flags : {"-g -target bpfel", "-g -target bpfeb", "-g -target bpfel -mcpu=v3"}) {
    SCOPED_TRACE(flags);
    const std::vector<std::uint8_t> bytes = compiled(flags);
    if (bytes.empty()) GTEST_SKIP() << "no clang for BPF";
    const Result<Object> object = read(bytes);
    ASSERT_TRUE(object) << one_line(object.error());
    EXPECT_EQ(object->license, "GPL");
    for (const Needs& each : object->needs) EXPECT_FALSE(each.any());
    ASSERT_EQ(object->programs.size(), 2u);
    const ebpf::Program& count = object->programs[0];
    EXPECT_EQ(count.name, "count");
    EXPECT_EQ(count.type, ebpf::ProgramType::kXdp);
    EXPECT_EQ(object->programs[1].type, ebpf::ProgramType::kSocketFilter);
    ASSERT_EQ(count.functions.size(), 2u);
    EXPECT_EQ(count.functions[1].name, "add");
    const auto map = [&](std::string_view name) -> const ebpf::MapDefinition& {
      for (const ebpf::MapDefinition& each : object->maps)
        if (each.name == name) return each;
      static const ebpf::MapDefinition kNone;
      ADD_FAILURE() << "no map " << name;
      return kNone;
    };
    EXPECT_EQ(map("counts"), (ebpf::MapDefinition{"counts", ebpf::MapType::kHash, 4, 8, 16}));
    EXPECT_EQ(map("jumps"), (ebpf::MapDefinition{"jumps", ebpf::MapType::kProgArray, 4, 4, 2}));
    EXPECT_EQ(map("outer").inner, "outer.inner");
    EXPECT_EQ(map("outer.inner").max_entries, 4u);
    EXPECT_EQ(map(".rodata").flags, 0x80u);
    EXPECT_EQ(map(".data").contents.size(), 8u);
    EXPECT_EQ(map(".bss").value_size, 8u);
    for (const ebpf::Program& program : object->programs) {
      const Result<ebpf::Checked> checked = ebpf::check(program);
      ASSERT_TRUE(checked) << checked.error().message << write(program, ebpf::Format::kListing);
      EXPECT_GE(program.map_references.size(), 3u);
    }
    const ebpf::SourceLine* line = count.line_of(count.functions[1].instruction);
    ASSERT_NE(line, nullptr);
    EXPECT_NE(line->text.find("noinline"), std::string::npos) << line->text;
    EXPECT_GT(line->line, 10u);
  }
}

TEST(Object, BothByteOrdersAreTheSameProgram) {
  const std::vector<std::uint8_t> little = compiled("-g -target bpfel");
  const std::vector<std::uint8_t> big = compiled("-g -target bpfeb");
  if (little.empty() || big.empty()) GTEST_SKIP() << "no clang for BPF";
  const Object a = std::move(read(little).value());
  const Object b = std::move(read(big).value());
  EXPECT_EQ(a.order, std::endian::little);
  EXPECT_EQ(b.order, std::endian::big);
  EXPECT_EQ(a.programs[0].instructions, b.programs[0].instructions);
  EXPECT_EQ(a.programs[0].lines, b.programs[0].lines);
}

TEST(Object, WritesWhatItReads) {
  const ebpf::Program program =
      ebpf::assemble(
          ".program xdp drop\n.license \"Dual BSD/GPL\"\n.map m, hash, key 4, value 8, entries 3, flags 1\n"
          ".map n, array, key 4, value 4, entries 1\nfunc drop:\nr1 = map[n]\nr2 = map[m]\nr0 = 1\nexit\n")
          .value();
  const auto bytes = write(program, {.section = "xdp"});
  ASSERT_TRUE(bytes);
  const Result<Object> object = read(*bytes);
  ASSERT_TRUE(object) << one_line(object.error());
  ASSERT_EQ(object->programs.size(), 1u);
  EXPECT_EQ(object->programs[0].instructions, program.instructions);
  EXPECT_EQ(object->programs[0].maps, program.maps);
  EXPECT_EQ(object->programs[0].map_references, program.map_references);
  EXPECT_EQ(object->license, "Dual BSD/GPL");
  EXPECT_EQ(object->programs[0].type, ebpf::ProgramType::kXdp);
}

// Functions, addresses of functions, variables, maps of maps: as text, written and read, as text again.
TEST(Object, WritesAllThatAProgramHas) {
  const std::string text =
      ".program cgroup_sock_addr main\n.attach cgroup_inet6_connect\n.license \"GPL\"\n"
      ".map .data, array, key 4, value 8, entries 1, contents \"0700000001000000\"\n"
      ".map .rodata.mine, array, key 4, value 2, entries 1, flags 128, contents \"0102\"\n"
      ".map .bss, array, key 4, value 16, entries 1\n"
      ".map outer, hash_of_maps, key 4, value 4, entries 2, inner outer.inner\n"
      ".map outer.inner, array, key 4, value 8, entries 3\n"
      "func main:\n  r6 = 1\n  call local second\n  r2 = subprog[last]\n  r1 = map[.data][0]+4\n"
      "  r1 = map[.bss][0]+8\n  r1 = map[.rodata.mine][0]+1\n  r1 = map[outer]\n  r0 = 1\n  exit\n"
      "func second:\n  call local third\n  exit\nfunc last:\n  r0 = 0\n  exit\nfunc third:\n  call local second\n"
      "  r0 = 5 ll\n  exit\n";
  const ebpf::Program program = ebpf::assemble(text).value();
  const auto bytes = write(program);
  ASSERT_TRUE(bytes) << one_line(bytes.error());
  const Result<Object> object = read(*bytes);
  ASSERT_TRUE(object) << one_line(object.error());
  ASSERT_EQ(object->programs.size(), 1u);
  EXPECT_EQ(object->sections, std::vector<std::string>{"cgroup/connect6"});
  const ebpf::Program& back = object->programs[0];
  EXPECT_EQ(back.instructions, program.instructions);
  EXPECT_EQ(back.functions, program.functions);
  EXPECT_EQ(back.type, program.type);
  EXPECT_EQ(back.attach_type, program.attach_type);
  ASSERT_EQ(back.map_references.size(), program.map_references.size());
  for (std::size_t i = 0; i < program.map_references.size(); ++i) {
    const ebpf::MapReference& is = back.map_references[i];
    const ebpf::MapReference& was = program.map_references[i];
    EXPECT_EQ(is.instruction, was.instruction);
    ebpf::MapDefinition map = back.maps[is.map];
    EXPECT_EQ(map, program.maps[was.map]) << map.name;
  }
  EXPECT_EQ(write(back).value(), *bytes);
}

// Maps are numbered by their order: run options and engines go by it.
TEST(Object, KeepsTheOrderOfMaps) {
  const auto names = [](const ebpf::Program& program) {
    std::string out;
    for (const ebpf::MapDefinition& map : program.maps) out += map.name + " ";
    return out;
  };
  const auto again = [](const ebpf::Program& program) {
    const auto bytes = write(program);
    return bytes ? read(*bytes).value().programs[0] : ebpf::Program{};
  };
  const std::string parts[] = {
      ".map .rodata, array, key 4, value 8, entries 1, flags 0x80\n", ".map .data, array, key 4, value 8, entries 1\n",
      ".map one, hash, key 4, value 8, entries 3\n.map two, array, key 4, value 8, entries 2\n"};
  const std::string code =
      ".program xdp main\nr1 = map[two]\nr2 = map[.data][0]+4\nr3 = map[one]\nr4 = map[.rodata][0]\nr0 = 1\nexit\n";
  int order[] = {0, 1, 2};
  do {
    const auto program = ebpf::assemble(parts[order[0]] + parts[order[1]] + parts[order[2]] + code);
    ASSERT_TRUE(program) << one_line(program.error());
    const ebpf::Program read_back = again(*program);
    EXPECT_EQ(names(read_back), names(*program));
    EXPECT_EQ(read_back.map_references, program->map_references);
    EXPECT_EQ(read_back.instructions, program->instructions);
  } while (std::next_permutation(std::begin(order), std::end(order)));
  // Where they do not stand together, the object has them together.
  const auto apart =
      ebpf::assemble(".map one, hash, key 4, value 8, entries 3\n" + parts[1] +
                     ".map two, array, key 4, value 8, entries 2\n.program xdp main\nr1 = map[two]\nr0 = 1\nexit\n");
  ASSERT_TRUE(apart) << one_line(apart.error());
  EXPECT_EQ(names(again(*apart)), "one two .data ");
  EXPECT_EQ(names(again(again(*apart))), "one two .data ");
}

TEST(Object, WritesSourceLines) {
  const std::vector<std::uint8_t> bytes = compiled("-g -target bpfel");
  if (bytes.empty()) GTEST_SKIP() << "no clang for BPF";
  const Object object = read(bytes).value();
  const ebpf::Program& program = object.programs[0];
  const auto written = write(program);
  ASSERT_TRUE(written) << one_line(written.error());
  const Object back = read(*written).value();
  EXPECT_EQ(back.programs[0].instructions, program.instructions);
  EXPECT_EQ(back.programs[0].functions, program.functions);
  EXPECT_EQ(back.programs[0].lines, program.lines);
}

TEST(Object, WhatAnObjectCannotSayIsNotWritten) {
  const auto message = [](std::string_view text) {
    const auto bytes = write(ebpf::assemble(text).value());
    return bytes ? "" : bytes.error().message;
  };
  EXPECT_EQ(message("r1 = map[fd:3]\nr0 = 0\nexit"),
            "a map of which only the descriptor is known cannot be part of an object");
  EXPECT_EQ(
      message(".map v, array, key 4, value 8, entries 1, contents \"0700000000000000\"\nr1 = map[v]\nr0 = 0\nexit"),
      "an object cannot say what map 'v' contains");
  EXPECT_EQ(message(".map v, array, key 4, value 8, entries 1\nr1 = map[v][0]+4\nr0 = 0\nexit"),
            "an object cannot say the address of a value of map 'v'");
  EXPECT_EQ(message(".map .bss, array, key 4, value 1, entries 1, contents \"01\"\nr0 = 0\nexit"),
            "map '.bss' cannot be written as a section of variables: its contents are not all 0");
  EXPECT_EQ(message("call kernel[id:9]\nexit"),
            "an object names variables and functions of the kernel, and only their numbers are known");
  EXPECT_EQ(message("call local f\nexit\nfunc f:\ngoto -3"), "the jump leads out of the function 'f'");
  EXPECT_EQ(message("call local f\nr0 = 1\nf:\nexit"), "the function 'program' runs over its end");
  EXPECT_EQ(message(".program cgroup_sock_addr\nr0 = 1\nexit"), "no section of an object says 'cgroup_sock_addr'");
}

// gcc calls GNU as, which before 2.42 leaves the symbol's value in the instruction that names the symbol.
TEST(Object, ReadsWhatGccWrites) {
  const std::string folder = testing::TempDir() + "weir_gcc" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/object.c") << R"(
#define SEC(name) __attribute__((section(name), used))
int first = 1, second = 2, third[3] = {3, 4, 5}; static int fourth = 6;
__attribute__((noinline)) int one(int a) { return a * first; }
__attribute__((noinline)) int two(int a) { return a * third[2]; }
static __attribute__((noinline)) int three(int a) { return a + fourth; }
SEC("xdp") int main_(void *ctx) { return two(second) + one(third[1]) + three(100); }
char license_[] SEC("license") = "GPL";
)";
  int compared = 0;
  for (const char* level : {"-O0", "-O1", "-O2"}) {
    const std::string command =
        "cd " + folder + " && bpf-gcc -mlittle-endian " + level + " -c object.c -o object.o 2>/dev/null";
    if (std::system(command.c_str()) != 0) continue;
    const Result<Object> object = read(bytes_of(folder + "/object.o"));
    ASSERT_TRUE(object) << level << one_line(object.error());
    const ebpf::Program* program = nullptr;
    for (const ebpf::Program& each : object->programs)
      if (each.name == "main_") program = &each;
    ASSERT_NE(program, nullptr);
    // Of each function, which variables it looks at, by what is in them.
    std::map<std::string, std::set<std::uint32_t>> values;
    for (const ebpf::MapReference& reference : program->map_references) {
      const ebpf::MapDefinition& map = program->maps[reference.map];
      ASSERT_EQ(map.name, ".data");
      std::string in;
      for (const ebpf::Function& function : program->functions)
        if (function.instruction <= reference.instruction) in = function.name;
      const auto offset = static_cast<std::uint32_t>(program->instructions[reference.instruction + 1].immediate);
      ASSERT_LE(offset + 4, map.contents.size()) << level;
      values[in].insert(load<std::uint32_t>(map.contents.data() + offset, std::endian::little));
    }
    using Values = std::set<std::uint32_t>;
    EXPECT_EQ(values["one"], Values{1}) << level;
    EXPECT_TRUE(values["two"] == Values{3} || values["two"] == Values{5}) << level;  // the array, or its last element
    EXPECT_TRUE(values["main_"] == (Values{2, 3}) || values["main_"] == (Values{2, 4})) << level;
    ++compared;
  }
  std::filesystem::remove_all(folder);
  if (compared == 0) GTEST_SKIP() << "no gcc for BPF";
}

// A program that needs the kernel's own names says so; the others of its object are whole.
TEST(Object, NamesOfTheKernelConcernOneProgram) {
  const std::string folder = testing::TempDir() + "weir_names" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/object.c") << R"(
#define SEC(name) __attribute__((section(name), used))
extern void bpf_rcu_read_lock(void) SEC(".ksyms"); extern int CONFIG_HZ SEC(".kconfig");
struct task { int pid; } __attribute__((preserve_access_index));
SEC("tc") int locks(void *ctx) { bpf_rcu_read_lock(); return 0; }
SEC("tc") int asks(void *ctx) { return CONFIG_HZ; }
SEC("tc") int core(struct task *t) { return t->pid; }
SEC("tc") int plain(void *ctx) { return 1; }
)";
  const int status =
      std::system(("cd " + folder + " && clang -O2 -g -target bpfel -c object.c -o object.o 2>/dev/null").c_str());
  const std::vector<std::uint8_t> bytes = bytes_of(folder + "/object.o");
  std::filesystem::remove_all(folder);
  if (status != 0) GTEST_SKIP() << "no clang for BPF";
  const Result<Object> object = read(bytes);
  ASSERT_TRUE(object) << one_line(object.error());
  ASSERT_EQ(object->needs.size(), object->programs.size());
  std::map<std::string, Needs> needs;
  for (std::size_t i = 0; i < object->programs.size(); ++i) needs[object->programs[i].name] = object->needs[i];
  EXPECT_EQ(needs["locks"].external, "bpf_rcu_read_lock");
  EXPECT_EQ(needs["asks"].external, "CONFIG_HZ");
  EXPECT_TRUE(needs["core"].core);
  EXPECT_TRUE(needs["core"].external.empty());
  EXPECT_FALSE(needs["plain"].any());
}

TEST(Object, CallsThroughRegistersOfEveryClang) {
  const ebpf::Program program = ebpf::assemble(".program xdp main\nr1 = 0x8d ll\nr3 = 5\ncallx r3\nexit\n").value();
  std::vector<std::uint8_t> bytes = write(program).value();
  const auto instructions = [&] { return read(bytes).value().programs[0].instructions; };
  EXPECT_EQ(instructions(), program.instructions);
  const std::vector<std::uint8_t> later = ebpf::to_bytes(program);
  const auto at = std::search(bytes.begin(), bytes.end(), later.begin(), later.end());
  ASSERT_NE(at, bytes.end());
  ebpf::Program old = program;
  const auto set = [&](std::int32_t constant) {
    old.instructions[3] = ebpf::make(0x8d, 0, 0, 0, constant);
    const std::vector<std::uint8_t> earlier = ebpf::to_bytes(old);
    std::copy(earlier.begin(), earlier.end(), at);
  };
  set(3);  // as clang before 19 writes it
  EXPECT_EQ(instructions(), program.instructions);
  set(11);  // no register: it stays as it is, and is refused
  EXPECT_EQ(instructions(), old.instructions);
  EXPECT_FALSE(ebpf::check(old, {.register_calls = true}));
}

TEST(Object, CorruptFilesAreErrors) {
  std::vector<std::uint8_t> good = compiled("-g -target bpfel");
  if (good.empty())
    good =
        write(ebpf::assemble(".map m, hash, key 4, value 8, entries 3\nr1 = map[m]\nr0 = 1\nexit\n").value()).value();
  std::mt19937_64 random(3);
  for (std::size_t size = 0; size < good.size(); size += 1 + size / 40) (void)read({good.data(), size});
  int refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::vector<std::uint8_t> bytes = good;
    for (std::uint64_t i = 1 + random() % 4; i > 0; --i) {
      const std::size_t at = random() % bytes.size();
      constexpr std::uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xff};
      bytes[at] = random() % 2 == 0 ? static_cast<std::uint8_t>(random()) : kValues[random() % 5];
    }
    const Result<Object> object = read(bytes);
    if (object) continue;
    ++refused;
    EXPECT_FALSE(object.error().message.empty());
    EXPECT_TRUE(std::holds_alternative<OffsetPlace>(object.error().place)) << object.error().message;
  }
  EXPECT_GT(refused, 500);
  EXPECT_EQ(read({}).error().message, "this is no ELF file");
  EXPECT_EQ(std::get<OffsetPlace>(read({}).error().place).offset, 0u);
}

TEST(Object, SectionsMeanWhatTheyMeanToLibbpf) {
  EXPECT_EQ(meaning_of("xdp").type, ebpf::ProgramType::kXdp);
  EXPECT_EQ(meaning_of("xdp.frags").type, ebpf::ProgramType::kXdp);
  EXPECT_EQ(meaning_of("tc").type, ebpf::ProgramType::kSchedCls);
  EXPECT_EQ(meaning_of("kprobe/do_exit").type, ebpf::ProgramType::kKprobe);
  EXPECT_EQ(meaning_of("cgroup_skb/egress").attach, ebpf::AttachType::kCgroupInetEgress);
  EXPECT_EQ(meaning_of("tcx/egress").attach, ebpf::AttachType::kTcxEgress);
  EXPECT_EQ(meaning_of("mine").type, ebpf::ProgramType::kUnspec);
  EXPECT_EQ(meaning_of("tp_btf/sched_switch").attach, ebpf::AttachType::kTraceRawTp);
  EXPECT_EQ(meaning_of("tp/sched/sched_switch").type, ebpf::ProgramType::kTracepoint);
}

// Every kind of program and every place: the section that is written means what was asked for, or there is none.
TEST(Object, SectionsAreFoundForWhatTheyMean) {
  ebpf::Program classifier;
  classifier.type = ebpf::ProgramType::kSchedCls;
  EXPECT_EQ(section_of(classifier).value(), "tc");
  int found = 0;
  for (std::size_t t = 1; t < ebpf::program_type_names().size(); ++t) {
    ebpf::Program program;
    program.type = static_cast<ebpf::ProgramType>(t);
    if (const auto section = section_of(program)) {
      EXPECT_EQ(meaning_of(*section).type, program.type) << *section;
      ++found;
    }
    program.has_attach_type = true;
    for (std::size_t a = 0; a < ebpf::attach_type_names().size(); ++a) {
      program.attach_type = static_cast<ebpf::AttachType>(a);
      const auto section = section_of(program);
      if (!section) continue;
      EXPECT_EQ(meaning_of(*section).type, program.type) << *section;
      EXPECT_EQ(meaning_of(*section).attach, program.attach_type) << *section;
      ++found;
    }
  }
  EXPECT_GT(found, 60);
}

}  // namespace
}  // namespace weir::object
