// Feature probes, against what this machine's kernel is known to take.
#include <sys/utsname.h>

#include <cstdio>
#include <thread>

#include <gtest/gtest.h>

#include <weir/kernel/ebpf.h>
#include <weir/kernel/features.h>

namespace weir::kernel {
namespace {

bool newer_than(std::string_view version) {
  utsname name{};
  uname(&name);
  int have[2] = {};
  int want[2] = {};
  std::sscanf(name.release, "%d.%d", &have[0], &have[1]);
  std::sscanf(std::string(version).c_str(), "%d.%d", &want[0], &want[1]);
  return std::pair(have[0], have[1]) >= std::pair(want[0], want[1]);
}

TEST(Features, AreThereSinceTheirVersions) {
  if (!has(ebpf::MapType::kArray)) GTEST_SKIP() << has(ebpf::MapType::kArray).error().message;
  for (const FeatureInfo& row : features()) {
    const Result<bool> there = has(row.feature);
    ASSERT_TRUE(there) << row.text << ": " << there.error().message << " " << there.error().hint;
    // A newer kernel may still be built without compiler or types.
    const bool depends = row.feature == Feature::kMachineCode || row.feature == Feature::kKernelTypes;
    const bool expected = newer_than(row.since);
    if (expected && depends) continue;
    EXPECT_EQ(*there, expected) << row.text;
  }
}

TEST(Features, KindsOfProgramsAndMaps) {
  if (!has(ebpf::MapType::kArray)) GTEST_SKIP() << has(ebpf::MapType::kArray).error().message;
  for (const auto type : {ebpf::ProgramType::kSocketFilter, ebpf::ProgramType::kXdp, ebpf::ProgramType::kSchedCls,
                          ebpf::ProgramType::kTracepoint, ebpf::ProgramType::kCgroupSkb})
    EXPECT_TRUE(has(type).value()) << ebpf::name_of(type);
  for (const auto type : {ebpf::MapType::kHash, ebpf::MapType::kLpmTrie, ebpf::MapType::kHashOfMaps,
                          ebpf::MapType::kRingbuf, ebpf::MapType::kSkStorage, ebpf::MapType::kQueue})
    EXPECT_TRUE(has(type).value()) << ebpf::name_of(type);
  EXPECT_FALSE(has(static_cast<ebpf::ProgramType>(999)).value());
  EXPECT_FALSE(has(static_cast<ebpf::MapType>(999)).value());
  EXPECT_FALSE(has(ebpf::ProgramType::kUnspec).value());
}

TEST(Features, Helpers) {
  if (!has(ebpf::MapType::kArray)) GTEST_SKIP() << has(ebpf::MapType::kArray).error().message;
  using P = ebpf::ProgramType;
  const auto helper = [](const char* name) { return ebpf::find_helper(name).value(); };
  EXPECT_TRUE(has(P::kXdp, helper("xdp_adjust_head")).value());
  EXPECT_FALSE(has(P::kSocketFilter, helper("xdp_adjust_head")).value());
  EXPECT_TRUE(has(P::kSocketFilter, helper("map_lookup_elem")).value());
  EXPECT_TRUE(has(P::kSchedCls, helper("skb_store_bytes")).value());
  EXPECT_FALSE(has(P::kXdp, static_cast<ebpf::Helper>(9999)).value());
  if (has(P::kStructOps).value()) {
    EXPECT_EQ(has(P::kStructOps, helper("map_lookup_elem")).error().code, ErrorCode::kUnsupported);
  }
}

TEST(Features, FromManyThreadsAtOnce) {
  if (!has(ebpf::MapType::kArray)) GTEST_SKIP() << has(ebpf::MapType::kArray).error().message;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([] {
      for (const FeatureInfo& row : features()) EXPECT_TRUE(has(row.feature));
      EXPECT_TRUE(has(ebpf::ProgramType::kXdp, ebpf::find_helper("redirect").value()).value());
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace weir::kernel
