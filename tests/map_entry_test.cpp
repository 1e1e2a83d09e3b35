// Keys and values of maps as texts: each form, its limits, and texts changed at random.
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string_view>

#include <gtest/gtest.h>

#include "map_entry_cases.h"

namespace weir {
namespace {

tool::EntryForm whole() {
  const tests::EntryTypes types = tests::entry_types();
  kernel::MapInfo info;
  info.key_size = 4;
  info.value_size = types.whole_size;
  info.value_type = types.whole;
  return tool::EntryForm::with(info, types.btf);
}

TEST(MapEntry, ByTypesThereAndBack) {
  const std::string text =
      R"({"all":305419896,"bits":{"rest":11,"signed_five":-3,"three":5},"colour":"BLUE","flag":true,"low":120,)"
      R"("name":"weir","numbers":[-1,2,300],"pointer":"0xffff800000001000","ratio":1.5,"s16":-300,"s64":-5,"s8":-56,"small":200})";
  const auto bytes = whole().read_value(text);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(whole().value_text(*bytes), text);
}

TEST(MapEntry, SaysWhatDoesNotFit) {
  const auto refused = [](const std::string& text, const char* why) {
    const auto bytes = whole().read_value(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_NE(bytes.error().message.find(why), std::string::npos) << bytes.error().message;
  };
  refused(R"({"small":256})", "does not fit into 1 byte");
  refused(R"({"s16":-32769})", "does not fit into 2 bytes");
  refused(R"({"s8":200})", "does not fit into 1 byte (signed char)");
  refused(R"({"small":-1})", "does not fit into 1 byte (unsigned char)");
  refused(R"({"pointer":-1})", "does not fit into 8 bytes");
  refused(R"({"flag":7})", "does not fit into 1 byte (_Bool)");
  refused(R"({"ratio":1e300})", "does not fit into 4 bytes (float)");
  refused(R"({"ratio":"1.5"})", "is no number");
  refused(R"({"numbers":"abcd"})", "is no array");
  refused(R"({"bits":{"three":8}})", "does not fit into 3 bits");
  refused(R"({"bits":{"signed_five":-17}})", "does not fit into 5 bits");
  refused(R"({"colour":"GREEN"})", "is no number");
  refused(R"({"numbers":[1,2,3,4]})", "an array has 3 elements");
  refused(R"({"name":"longer than six"})", "does not fit into 6 bytes");
  refused(R"({"nosuch":1})", "has no member 'nosuch'");
  refused(R"({"small":)", "is no JSON");
  refused("[1]", "is no object");
  refused(R"({"small":)" + std::string(50000, '[') + std::string(50000, ']') + "}", "an array is no number");
}

// What is shown may be written, whatever it is.
TEST(MapEntry, ShownAndReadBack) {
  tests::TypeTableBuilder b;
  const std::uint32_t wide = b.add("__int128", 1, 0, 16);
  b.put(128);
  const std::uint32_t real = b.add("double", 16, 0, 8), longest = b.add("long double", 16, 0, 16);
  const auto variable = [&](const char* name, std::uint32_t type) {
    const std::uint32_t id = b.add(name, 14, 0, type);
    b.put(1);
    return id;
  };
  const std::uint32_t one = variable("one", wide), two = variable("two", real), three = variable("three", longest);
  const std::uint32_t section = b.add(".data", 15, 3, 40);
  for (const auto& [id, offset, size] : {std::array{one, 0u, 16u}, {two, 16u, 8u}, {three, 24u, 16u}}) {
    b.put(id);
    b.put(offset);
    b.put(size);
  }
  kernel::MapInfo info;
  info.value_size = 40;
  info.value_type = section;
  const tool::EntryForm form = tool::EntryForm::with(info, b.build());
  for (const double number : {0.1, -1e300, HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    std::vector<std::uint8_t> bytes(40);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(200 + i);
    std::memcpy(&bytes[16], &number, sizeof number);
    const auto again = form.read_value(form.value_text(bytes));
    ASSERT_TRUE(again) << form.value_text(bytes) << again.error().message;
    EXPECT_EQ(*again, bytes) << form.value_text(bytes);
  }
  EXPECT_NE(form.read_value(R"({"four":1})").error().message.find("no variable 'four'"), std::string::npos);
}

TEST(MapEntry, NumbersWithoutBytes) {
  kernel::MapInfo info;
  const tool::EntryForm form = tool::EntryForm::with(info, std::nullopt);
  for (const char* text : {"5", "-5", "0x1f", "hex:00", "str:a", "10.0.0.1"}) EXPECT_FALSE(form.read_key(text)) << text;
  EXPECT_TRUE(form.read_key(""));
}

TEST(MapEntry, AnyText) {
  const std::string seeds[] = {
      "5",
      "-1",
      "0xffffffff",
      "18446744073709551616",
      "10.0.0.1",
      "fe80::1",
      "10.0.0.0/8",
      "::/128",
      "hex:0a0b",
      "0a 0b",
      "str:eth0",
      R"({"small":1,"flag":true,"s16":-5,"colour":"RED","name":"ab","numbers":[1,-2,3]})",
      R"({"all":7,"bits":{"three":7,"signed_five":-16,"rest":16777215},"s64":-9223372036854775808,"pointer":"0x10"})"};
  std::mt19937_64 random(5);
  int read = 0;
  for (int i = 0; i < 30000; ++i) {
    std::string text = std::string(1, static_cast<char>(random())) + seeds[random() % std::size(seeds)];
    for (std::uint64_t changes = random() % 4; changes > 0; --changes) {
      const std::size_t at = 1 + random() % text.size();
      constexpr std::string_view kOthers("0123456789-x:./ {}[],\"ae\0\xff", 26);
      const char other = kOthers[random() % kOthers.size()];
      if (at >= text.size() || random() % 3 == 0) text.insert(std::min(at, text.size()), 1, other);
      else if (random() % 2 == 0) text[at] = other;
      else text.erase(at, 1 + random() % 3);
    }
    read += tests::try_entry(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()) ? 1 : 0;
  }
  EXPECT_GT(read, 3000);
}

}  // namespace
}  // namespace weir
