// Keys and values of maps as texts: each form, its limits, and texts changed at random.
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
      R"("name":"weir","numbers":[-1,2,300],"pointer":"0xffff800000001000","s16":-300,"s64":-5,"small":200})";
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
