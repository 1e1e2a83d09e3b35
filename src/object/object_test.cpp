// Objects: what clang compiles here is read and means the same; what we write we read back; corrupt files are errors.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

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
    EXPECT_FALSE(object->needs_core);
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
  EXPECT_FALSE(write(ebpf::assemble("call local f\nexit\nf: exit").value()));
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
}

}  // namespace
}  // namespace weir::object
