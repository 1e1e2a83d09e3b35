// Objects with CO-RE relocations in the running kernel: compiled here by clang, loaded by libbpf, run.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include <weir/kernel/core_object.h>
#include <weir/object/object.h>

#include "../src/kernel/private_namespace.h"
#include "bpf_syscall.h"

namespace weir {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Whether there is a clang that makes code for BPF.
bool clang_is_there() {
  return std::system("echo 'int x;' | clang -target bpf -x c -c - -o /dev/null 2>/dev/null") == 0;
}

// The object that clang makes of this file.
Bytes compiled_file(const std::string& source) {
  char folder[] = "/tmp/weir_core_XXXXXX";
  if (mkdtemp(folder) == nullptr) return {};
  const std::string object = std::string(folder) + "/task.o";
  const std::string command = "clang -O2 -g -target bpf -c " + source + " -o " + object;
  Bytes bytes;
  if (std::system(command.c_str()) == 0) {
    std::ifstream file(object, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::filesystem::remove_all(folder);
  return bytes;
}

Bytes compiled() {
  const char* const root = std::getenv("WEIR_SOURCE_DIR");
  return root == nullptr ? Bytes() : compiled_file(std::string(root) + "/tests/kernel/core_task.c");
}

// An XDP program that looks into a map, which these members and this linkage describe.
Bytes compiled_with_map(const std::string& linkage, const std::string& members) {
  char file[] = "/tmp/weir_core_XXXXXX.c";
  const int descriptor = mkstemps(file, 2);
  if (descriptor < 0) return {};
  close(descriptor);
  std::ofstream(file) << "#define SEC(name) __attribute__((section(name), used))\n"
                         "#define UINT(name, number) int (*name)[number]\n"
                         "char LICENSE[] SEC(\"license\") = \"GPL\";\n"
                         "struct in_er { int a; } whatever;\n"
                      << linkage << " struct { UINT(type, 2); UINT(max_entries, 1); int *value; " << members
                      << " } entries SEC(\".maps\");\n"
                         "static void *(*lookup)(void *, const void *) = (void *)1;\n"
                         "SEC(\"xdp\") int p(void *context) { long key = 0; int *v = lookup(&entries, &key);"
                         " return v ? *v + whatever.a : 0; }\n";
  Bytes bytes = compiled_file(file);
  std::filesystem::remove(file);
  return bytes;
}

#define WEIR_REQUIRE_CORE(bytes)                                                                              \
  WEIR_REQUIRE_KERNEL_BPF();                                                                                  \
  if (void* const library = dlopen("libbpf.so.1", RTLD_NOW); library == nullptr) GTEST_SKIP() << "no libbpf"; \
  else dlclose(library);                                                                                      \
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "the kernel shows no types";              \
  if (!clang_is_there()) GTEST_SKIP() << "no clang that compiles for BPF";                                    \
  const Bytes bytes = compiled();                                                                             \
  ASSERT_FALSE(bytes.empty())

TEST(CoreObject, ReadsTheKernelsStructs) {
  WEIR_REQUIRE_CORE(bytes);
  const Result<object::Object> read = object::read(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read->needs.front().core);
  std::string log;
  const Result<kernel::CoreObject> loaded = kernel::load_core_object(bytes, {.log = &log});
  ASSERT_TRUE(loaded) << loaded.error().message << " " << loaded.error().hint << log;
  ASSERT_EQ(loaded->programs.size(), 2u);
  const kernel::CoreObject::NamedProgram& program = loaded->programs[0];
  EXPECT_EQ(program.name, "group_of_task");
  EXPECT_EQ(program.section, "raw_tp/sys_enter");
  const Bytes words(16);
  for (int i = 0; i < 2; ++i) {
    const Result<kernel::TestResult> ran = program.program.test_run({.context = words});
    ASSERT_TRUE(ran) << ran.error().message;
    EXPECT_EQ(ran->value, static_cast<std::uint32_t>(getpid()));
  }
  for (const kernel::CoreObject::NamedMap& map : loaded->maps) {
    if (map.name != "runs") continue;
    Bytes key(8);
    store(key.data(), static_cast<std::uint32_t>(getpid()), std::endian::native);
    const Result<Bytes> value = map.map.lookup(key);
    ASSERT_TRUE(value) << value.error().message;
    EXPECT_EQ(load<std::uint64_t>(value->data(), std::endian::native), 6u);
    EXPECT_NE(map.map.info().value().types_id, 0u) << "libbpf tells the kernel the map's types";
  }
}

TEST(CoreObject, OnlyOneProgramWithAMapOfOurs) {
  WEIR_REQUIRE_CORE(bytes);
  const kernel::Map runs =
      std::move(kernel::Map::create(
                    {.name = "runs", .type = ebpf::MapType::kHash, .key_size = 8, .value_size = 8, .max_entries = 8})
                    .value());
  const Result<kernel::CoreObject> loaded =
      kernel::load_core_object(bytes, {.only = "group_of_task", .maps = {{"runs", &runs}}});
  ASSERT_TRUE(loaded) << loaded.error().message << " " << loaded.error().hint;
  ASSERT_EQ(loaded->programs.size(), 1u);
  ASSERT_TRUE(loaded->programs[0].program.test_run({.context = Bytes(16)}));
  int entries = 0;
  EXPECT_TRUE(runs.iterate([&](ByteSpan, ByteSpan) { return ++entries, false; }));
  EXPECT_EQ(entries, 1);
}

TEST(CoreObject, ErrorsSayWhy) {
  WEIR_REQUIRE_CORE(bytes);
  EXPECT_EQ(kernel::load_core_object(bytes, {.only = "nothing"}).error().message, "there is no program 'nothing'");
  const Bytes text = {'n', 'o', ' ', 'E', 'L', 'F'};
  const Result<kernel::CoreObject> bad = kernel::load_core_object(text);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kSystem);
  EXPECT_FALSE(bad.error().hint.empty());
  // A program that is loaded only when it is asked for; the verifier's words come back.
  const Result<kernel::CoreObject> refused = kernel::load_core_object(bytes, {.only = "unchecked"});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().hint.find("invalid mem access 'map_value_or_null'"), std::string::npos)
      << refused.error().hint;
}

TEST(CoreObject, TheVerifiersLogIsThereWhereItIsAskedFor) {
  WEIR_REQUIRE_CORE(bytes);
  std::string log;
  for (const std::uint32_t level : {0u, 1u, 2u}) {
    const Result<kernel::CoreObject> loaded =
        kernel::load_core_object(bytes, {.only = "group_of_task", .log_level = level, .log = &log});
    ASSERT_TRUE(loaded) << loaded.error().message << " " << loaded.error().hint;
    EXPECT_EQ(log.find("processed ") != std::string::npos, level > 0) << log;
    EXPECT_EQ(log.find("\n0: (") != std::string::npos, level > 1) << log;
  }
  // What was taken before is not the cause of a refusal.
  const Result<kernel::CoreObject> refused =
      kernel::load_core_object(bytes, {.only = "unchecked", .log_level = 1, .log = &log});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().hint.find("invalid mem access 'map_value_or_null'"), std::string::npos);
}

// libbpf says several things before and after the cause; only the cause is the hint.
TEST(CoreObject, LateFailuresNameTheCause) {
  WEIR_REQUIRE_CORE(bytes);
  const auto hint_of = [](const Bytes& object) {
    const Result<kernel::CoreObject> loaded = kernel::load_core_object(object, {.name = "late"});
    return loaded ? "loaded" : loaded.error().hint;
  };
  EXPECT_NE(hint_of(compiled_with_map("static", "int *key;")).find("unsupported map linkage static"),
            std::string::npos);
  const Bytes wide = compiled_with_map("", "long *key;");
  EXPECT_EQ(hint_of(wide).rfind("map 'entries': failed to create: Invalid argument", 0), 0u) << hint_of(wide);
  // The kernel takes no blank in a type's name: libbpf gets over that, and then the map fails.
  Bytes blank = wide;
  const std::string name = "in_er";
  for (auto at = blank.begin(); (at = std::search(at, blank.end(), name.begin(), name.end())) != blank.end(); ++at)
    at[2] = ' ';
  EXPECT_EQ(hint_of(blank).rfind("map 'entries': failed to create: Invalid argument", 0), 0u) << hint_of(blank);
  const Bytes pinned = compiled_with_map("", "int *key; UINT(pinning, 1);");
  kernel::tests::in_private_namespaces([&] {
    ASSERT_EQ(mount("none", "/sys/fs/bpf", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
    EXPECT_NE(hint_of(pinned).find("is not on BPF FS"), std::string::npos) << hint_of(pinned);
    ASSERT_EQ(umount("/sys/fs/bpf"), 0);
    ASSERT_EQ(mount("none", "/sys/fs/bpf", "bpf", 0, nullptr), 0) << std::strerror(errno);
    const kernel::Map other =
        std::move(kernel::Map::create(
                      {.name = "o", .type = ebpf::MapType::kHash, .key_size = 4, .value_size = 4, .max_entries = 8})
                      .value());
    ASSERT_TRUE(other.pin("/sys/fs/bpf/entries"));
    EXPECT_NE(hint_of(pinned).find("couldn't reuse pinned map"), std::string::npos) << hint_of(pinned);
  });
}

}  // namespace
}  // namespace weir
