// Maps in user space and the kernel's: random operations on both give the same results, errors included.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include <weir/kernel/map.h>
#include <weir/runtime/map.h>

#include "bpf_syscall.h"
#include "rounds.h"

namespace weir {
namespace {

using Bytes = std::vector<std::uint8_t>;

// What an operation gave: a negative errno, or 0 with a value.
struct Answer {
  int error = 0;
  Bytes value{};
  friend bool operator==(const Answer&, const Answer&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    out << "error " << answer.error << ", value";
    for (const std::uint8_t byte : answer.value) out << " " << int{byte};
    return out;
  }
};

enum class Operation : std::uint8_t { kSet, kCreate, kUpdate, kLookup, kErase, kTake, kCount };

// Both maps behind one interface.
class Pair {
 public:
  explicit Pair(const ebpf::MapDefinition& definition)
      : kernel_(kernel::Map::create(definition).value()), user_(runtime::make_map(definition).value()) {}

  Answer in_kernel(Operation operation, ByteSpan key, ByteSpan value) {
    const auto status = [](const Status& done) { return Answer{done ? 0 : -done.error().system_error}; };
    const auto result = [](const Result<Bytes>& got) {
      return got ? Answer{0, *got} : Answer{-got.error().system_error};
    };
    switch (operation) {
      case Operation::kSet: return status(kernel_.set(key, value));
      case Operation::kCreate: return status(kernel_.create(key, value));
      case Operation::kUpdate: return status(kernel_.update(key, value));
      case Operation::kLookup: return result(kernel_.lookup(key));
      case Operation::kTake: return result(kernel_.take(key));
      default: return status(kernel_.erase(key));
    }
  }

  Answer in_user_space(Operation operation, ByteSpan key, ByteSpan value) {
    const bool keyless = key.empty();
    const auto write = [&](std::uint64_t flags) {
      return Answer{keyless ? user_->push(value.data(), flags) : user_->update(key.data(), value.data(), flags, 0)};
    };
    switch (operation) {
      case Operation::kSet: return write(runtime::kAny);
      case Operation::kCreate: return write(runtime::kNoExist);
      case Operation::kUpdate: return write(runtime::kExist);
      case Operation::kErase: return Answer{user_->erase(key.data())};
      default: break;
    }
    Bytes out(user_->value_size());
    if (keyless) {
      const int error = operation == Operation::kTake ? user_->pop(out.data()) : user_->peek(out.data());
      return error != 0 ? Answer{error} : Answer{0, out};
    }
    const void* const found = user_->lookup(key.data(), 0);
    if (found == nullptr) return Answer{-ENOENT};
    std::memcpy(out.data(), found, out.size());
    if (operation == Operation::kTake) user_->erase(key.data());
    return Answer{0, out};
  }

  using Entries = std::multimap<Bytes, Bytes>;
  Entries entries_in_kernel() const {
    Entries out;
    const Status done = kernel_.iterate([&](ByteSpan key, ByteSpan value) {
      out.emplace(Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end()));
      return false;
    });
    EXPECT_TRUE(done) << done.error().message;
    return out;
  }
  Entries entries_in_user_space() const {
    Entries out;
    Bytes key(user_->key_size());
    Bytes next(key.size());
    for (int more = user_->next_key(nullptr, next.data()); more == 0; more = user_->next_key(key.data(), next.data())) {
      key = next;
      const auto* const value = static_cast<const std::uint8_t*>(user_->lookup(key.data(), 0));
      if (value == nullptr) return ADD_FAILURE() << "a key without a value", out;
      out.emplace(key, Bytes(value, value + user_->value_size()));
    }
    return out;
  }

 private:
  kernel::Map kernel_;
  std::shared_ptr<runtime::Map> user_;
};

// Keys from a small set, so that operations meet; now and then one that is out of bounds.
class Keys {
 public:
  Keys(const ebpf::MapDefinition& definition, std::mt19937_64& random) : definition_(definition), random_(random) {}
  Bytes next() {
    Bytes key(definition_.key_size);
    if (key.empty()) return key;
    if (definition_.type == ebpf::MapType::kLpmTrie) {
      const auto bits = static_cast<std::uint32_t>(8 * (key.size() - 4));
      store(key.data(), static_cast<std::uint32_t>(random_() % (bits + 2)), std::endian::native);
      for (std::size_t i = 4; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(random_() % 4 * 0x55);
      return key;
    }
    const std::uint64_t number = random_() % (definition_.max_entries + 4);
    std::memcpy(key.data(), &number, std::min<std::size_t>(key.size(), 8));
    return key;
  }

 private:
  const ebpf::MapDefinition& definition_;
  std::mt19937_64& random_;
};

void compare(const ebpf::MapDefinition& definition, std::uint64_t seed, bool lists) {
  std::mt19937_64 random(seed);
  Pair pair(definition);
  Keys keys(definition, random);
  const int rounds = tests::rounds(3000);
  for (int round = 0; round < rounds; ++round) {
    const auto operation = static_cast<Operation>(random() % static_cast<unsigned>(Operation::kCount));
    // The kernel's arrays and tries cannot take out.
    const bool takes = definition.type != ebpf::MapType::kArray && definition.type != ebpf::MapType::kLpmTrie;
    if (operation == Operation::kTake && !takes) continue;
    if (operation == Operation::kErase && definition.key_size == 0) continue;
    const Bytes key = keys.next();
    Bytes value(definition.value_size);
    for (std::uint8_t& byte : value) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(pair.in_user_space(operation, key, value), pair.in_kernel(operation, key, value))
        << "round " << round << ", operation " << static_cast<int>(operation) << ", key "
        << (key.size() >= 4 ? load<std::uint32_t>(key.data(), std::endian::native) : 0);
    if (lists && round % 97 == 0) {
      ASSERT_EQ(pair.entries_in_user_space(), pair.entries_in_kernel()) << round;
    }
  }
}

TEST(MapAgreement, Arrays) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const std::uint32_t size : {1u, 8u, 13u})
    compare({.type = ebpf::MapType::kArray, .key_size = 4, .value_size = size, .max_entries = 20}, size, true);
}

TEST(MapAgreement, HashTables) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const std::uint32_t flags : {0u, 1u})  // BPF_F_NO_PREALLOC
    for (const std::uint32_t key : {1u, 4u, 8u, 12u})
      compare({.type = ebpf::MapType::kHash, .key_size = key, .value_size = 9, .max_entries = 24, .flags = flags}, key,
              true);
}

TEST(MapAgreement, Tries) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const std::uint32_t key : {5u, 6u, 8u, 20u})
    compare({.type = ebpf::MapType::kLpmTrie, .key_size = key, .value_size = 4, .max_entries = 30, .flags = 1}, key,
            false);
}

TEST(MapAgreement, QueuesAndStacks) {
  WEIR_REQUIRE_KERNEL_BPF();
  for (const ebpf::MapType type : {ebpf::MapType::kQueue, ebpf::MapType::kStack})
    for (const std::uint32_t entries : {1u, 2u, 7u})
      compare({.type = type, .value_size = 8, .max_entries = entries}, entries, false);
}

// Which definitions are taken.
TEST(MapAgreement, Definitions) {
  WEIR_REQUIRE_KERNEL_BPF();
  using T = ebpf::MapType;
  std::mt19937_64 random(3);
  int taken = 0;
  for (int round = 0; round < tests::rounds(2000); ++round) {
    constexpr T kTypes[] = {T::kArray, T::kHash, T::kLpmTrie, T::kQueue, T::kStack};
    constexpr std::uint32_t kSizes[] = {0, 1, 4, 5, 8, 16, 260, 264, 513};
    constexpr std::uint32_t kCounts[] = {0, 1, 2, 100};
    const ebpf::MapDefinition definition{.type = kTypes[random() % std::size(kTypes)],
                                         .key_size = kSizes[random() % std::size(kSizes)],
                                         .value_size = kSizes[random() % std::size(kSizes)],
                                         .max_entries = kCounts[random() % std::size(kCounts)],
                                         .flags = static_cast<std::uint32_t>(random() % 2)};
    const auto mine = runtime::make_map(definition);
    const auto theirs = kernel::Map::create(definition);
    ASSERT_EQ(mine.has_value(), theirs.has_value())
        << ebpf::name_of(definition.type) << " key " << definition.key_size << " value " << definition.value_size
        << " entries " << definition.max_entries << " flags " << definition.flags;
    taken += theirs.has_value();
  }
  EXPECT_GT(taken, 100);
}

}  // namespace
}  // namespace weir
