// Pages for machine code: what one object holds no other gets, nothing is writable and executable, old code is gone.
#include "engine/code_memory.h"

#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

namespace weir::engine {
namespace {

bool anything_writable_and_executable() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(" rwx") != std::string::npos) return true;
  return false;
}

std::string rights_of(const void* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  for (std::string line; std::getline(maps, line);) {
    const std::size_t dash = line.find('-');
    const std::size_t space = line.find(' ');
    if (std::stoull(line.substr(0, dash), nullptr, 16) <= wanted &&
        wanted < std::stoull(line.substr(dash + 1, space - dash - 1), nullptr, 16))
      return line.substr(space + 1, 3);
  }
  return "";
}

struct Filled {
  CodeMemory memory;
  unsigned char fill;
};

Filled make(std::size_t size, unsigned char fill) {
  auto memory = CodeMemory::allocate(size);
  EXPECT_TRUE(memory);
  EXPECT_GE(memory->size(), size);
  std::memset(memory->writable(), fill, memory->size());
  EXPECT_TRUE(memory->seal());
  return {std::move(*memory), fill};
}

bool is_intact(const Filled& one) {
  const auto* bytes = static_cast<const unsigned char*>(one.memory.start());
  for (std::size_t i = 0; i < one.memory.size(); ++i)
    if (bytes[i] != one.fill) return false;
  return true;
}

// What a thread does: up to 50 objects of one to nine pages, made and dropped in any order.
void make_and_drop(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Filled> held;
  for (int i = 0; i < 400; ++i) {
    if (held.size() < 50 && random() % 5 < 3) {
      held.push_back(make(1 + random() % 36000, static_cast<unsigned char>(1 + random() % 255)));
    } else if (!held.empty()) {
      const std::size_t victim = random() % held.size();
      EXPECT_TRUE(is_intact(held[victim]));
      std::swap(held[victim], held.back());
      held.pop_back();
    }
  }
  for (const Filled& one : held) EXPECT_TRUE(is_intact(one));
}

TEST(CodeMemory, NoTwoObjectsShareBytes) {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) threads.emplace_back(make_and_drop, t);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(anything_writable_and_executable());
}

TEST(CodeMemory, IsExecutableOrWritable) {
  auto memory = CodeMemory::allocate(100);
  ASSERT_TRUE(memory);
  EXPECT_EQ(rights_of(memory->start()), "rw-");
  ASSERT_TRUE(memory->seal());
  EXPECT_EQ(rights_of(memory->start()), "r-x");
  const void* const start = memory->start();
  *memory = CodeMemory{};
  EXPECT_NE(rights_of(start), "r-x");
}

// More than the chunk whose pages lie apart has, and with rights of their own each.
TEST(CodeMemory, HoldsManyAtOnce) {
  std::vector<Filled> held;
  for (unsigned i = 0; i < 100; ++i) held.push_back(make(1 + i * 97 % 9000, static_cast<unsigned char>(1 + i)));
  for (const Filled& one : held) {
    EXPECT_TRUE(is_intact(one));
    EXPECT_EQ(rights_of(one.memory.start()), "r-x");
  }
  for (std::size_t i = 0; i < held.size(); i += 3) held[i] = make(100, 0x5a);
  for (const Filled& one : held) EXPECT_TRUE(is_intact(one));
  EXPECT_FALSE(anything_writable_and_executable());
}

// Code of one page has a page behind it that nobody may touch, unless there is much of it at once; what is given back
// is taken again, and can be written.
TEST(CodeMemory, PagesLieApart) {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const void* before = nullptr;
  for (int i = 0; i < 3; ++i) {
    const Filled one = make(100, 0x90);
    const auto* const start = static_cast<const char*>(one.memory.start());
    EXPECT_EQ(rights_of(start), "r-x");
    EXPECT_EQ(rights_of(start + size), "---");
    if (i > 0) {
      EXPECT_EQ(start, before);
    }
    before = start;
  }
  EXPECT_EQ(rights_of(before), "rw-");
}

TEST(CodeMemory, NothingOfOlderCodeStays) {
  const void* before = nullptr;
  {
    const Filled old = make(100, 0xcc);
    before = old.memory.start();
  }
  auto memory = CodeMemory::allocate(100);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->start(), before);  // else this test shows nothing
  for (std::size_t i = 0; i < memory->size(); ++i)
    ASSERT_EQ(static_cast<const unsigned char*>(memory->start())[i], 0) << i;
}

}  // namespace
}  // namespace weir::engine
